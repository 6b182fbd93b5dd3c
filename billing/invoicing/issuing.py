"""Issuing: a draft gets its number, draws credit, and becomes a fact."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from itertools import chain
from typing import Any
from zoneinfo import ZoneInfo

from django.db import IntegrityError, connection, transaction

from billing.invoicing.drawing import draw_credit
from billing.models import CreditUse, Document, Invoice, InvoiceStatus, NumberSeries
from catalog.auditing import Actor, name_of
from catalog.periods import local_date
from contracts.models import Contract

PREFIXES = {Document.INVOICE.value: "INV", Document.CREDIT_NOTE.value: "CN"}
LONGEST_PREFIX = 20


class UnableToIssue(ValueError):
    """A document that cannot be issued, and why."""


def issue(invoice: Invoice, *, at: dt.datetime, by: Actor = None) -> Invoice:
    """Issue one draft, and say who did. Raises UnableToIssue where it is none any more."""
    with transaction.atomic(durable=True):
        Contract.objects.select_for_update(no_key=True).get(pk=invoice.contract_id)
        draft = (
            Invoice.objects.select_for_update(of=("self",))
            .select_related("contract__customer", "contract__seller")
            .filter(pk=invoice.pk)
            .first()
        )
        if draft is None:
            raise UnableToIssue("This draft is gone: it was discarded, and a bill run will make it again.")
        if draft.status != InvoiceStatus.DRAFT:
            raise UnableToIssue(f"{draft.number} is {draft.status} already; only a draft can be issued.")
        issue_drafts([draft], at, by)
    return draft


def issue_drafts(drafts: Sequence[Invoice], at: dt.datetime, by: Actor) -> list[list[CreditUse]]:
    """Issue drafts in their order, inside the caller's transaction. Returns the credit that each drew.

    The series is locked until that ends: numbers have no gap, and two runs take turns only here.
    """
    if not drafts:
        return []
    series = _lock_series(drafts)
    uses = draw_credit(drafts, at)
    for draft in drafts:
        numbers = series[draft.seller_id, draft.document]
        draft.series, draft.seq = numbers, numbers.next_seq
        draft.prev_seq = numbers.next_seq - 1 or None
        draft.number = f"{numbers.prefix}-{numbers.next_seq:06d}"
        numbers.next_seq += 1
        draft.status = InvoiceStatus.ISSUED
        draft.issued_at, draft.issued_by = at, name_of(by)
        zone = ZoneInfo(draft.contract.timezone_name())
        draft.due_on = local_date(at, zone) + dt.timedelta(days=draft.contract.payment_terms_days)
    _store(drafts, at, name_of(by))
    NumberSeries.objects.bulk_update(series.values(), ["next_seq"])
    CreditUse.objects.bulk_create(chain.from_iterable(uses))
    return uses


_ISSUE = """
    UPDATE billing_invoice SET status = 'issued', series_id = given.series_id, seq = given.seq,
        prev_seq = nullif(given.seq - 1, 0), number = given.number, issued_at = %s, issued_by = %s,
        due_on = given.due_on, credited = given.credited, amount_due = given.amount_due
    FROM unnest(%s::bigint[], %s::bigint[], %s::int[], %s::text[], %s::date[], %s::numeric[], %s::numeric[])
        AS given (id, series_id, seq, number, due_on, credited, amount_due)
    WHERE billing_invoice.id = given.id
"""


def _store(drafts: Sequence[Invoice], at: dt.datetime, by: str) -> None:
    """One statement for all: the database checks that each number follows the one before."""
    columns: list[Any] = [
        [draft.pk for draft in drafts],
        [draft.series_id for draft in drafts],
        [draft.seq for draft in drafts],
        [draft.number for draft in drafts],
        [draft.due_on for draft in drafts],
        [draft.credited for draft in drafts],
        [draft.amount_due for draft in drafts],
    ]
    with connection.cursor() as cursor:
        cursor.execute(_ISSUE, [at, by, *columns])


def _lock_series(drafts: Sequence[Invoice]) -> dict[tuple[int, str], NumberSeries]:
    """(seller id, document) -> its series, made where missing, locked in the order of their ids."""
    wanted = {(draft.seller_id, draft.document): draft for draft in drafts}
    known = set(
        NumberSeries.objects.filter(seller__in={seller for seller, _ in wanted}).values_list("seller_id", "document")
    )
    for (seller_id, document), draft in wanted.items():
        if (seller_id, document) not in known:
            _make_series(draft, document)
    rows = NumberSeries.objects.select_for_update().filter(seller__in={seller for seller, _ in wanted}).order_by("pk")
    return {(row.seller_id, row.document): row for row in rows}


def _make_series(draft: Invoice, document: str) -> None:
    """The first seller numbers INV-000001; others carry their key, so that no two documents share a number."""
    first = not NumberSeries.objects.filter(document=document).exists()
    own = f"{PREFIXES[document]}-{draft.seller.key}"
    if len(own) > LONGEST_PREFIX:
        own = f"{PREFIXES[document]}-{draft.seller.key[:8]}-{draft.seller_id}"
    prefix = PREFIXES[document] if first else own
    try:
        with transaction.atomic():
            NumberSeries.objects.create(seller=draft.seller, document=document, prefix=prefix)
    except IntegrityError:
        if not NumberSeries.objects.filter(seller=draft.seller, document=document).exists():
            NumberSeries.objects.create(seller=draft.seller, document=document, prefix=own)
