"""What came and went of credit: every time it was drawn, every return, when it was granted and when it expired."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import pairwise
from typing import Any, Literal

from django.db import connection
from django.db.models import Min

from billing.invoicing.balances import balance_of, begins_at, expires_at
from catalog.money import ZERO
from contracts.models import CreditGrant

Kind = Literal["granted", "amended", "drawn", "returned", "expired", "withdrawn"]


@dataclass(frozen=True, slots=True)
class Movement:
    """`amount` is what the credit has more (below zero: less) by it, `left` what it has then."""

    at: dt.datetime
    kind: Kind
    amount: Decimal
    credit: str
    """The key of the grant, or the number of the credit note."""
    contract_id: int
    invoice_id: int | None = None
    number: str | None = None
    note_id: int | None = None
    place: str = ""
    """Tells movements of the same instant apart, in their order."""
    words: str = ""
    left: Decimal | None = None


_MOVEMENTS = """
    SELECT at, kind, amount, credit, contract_id, invoice_id, number, note_id, place FROM (
        SELECT used.used_at AS at, 'drawn' AS kind, -used.amount AS amount, invoice.contract_id, used.invoice_id,
            coalesce(nullif(used.grant_key, ''), note.number) AS credit, invoice.number, note.id AS note_id,
            'use-' || lpad(used.id::text, 20, '0') || '-1' AS place
        FROM billing_credituse used
        JOIN billing_invoice invoice ON invoice.id = used.invoice_id
        LEFT JOIN billing_invoice note ON note.id = used.credit_note_id
        WHERE invoice.contract_id = ANY(%(contracts)s)
        UNION ALL
        SELECT used.returned_at, 'returned', used.amount, invoice.contract_id, used.invoice_id,
            coalesce(nullif(used.grant_key, ''), note.number), invoice.number, note.id,
            'use-' || lpad(used.id::text, 20, '0') || '-2'
        FROM billing_credituse used
        JOIN billing_invoice invoice ON invoice.id = used.invoice_id
        LEFT JOIN billing_invoice note ON note.id = used.credit_note_id
        WHERE invoice.contract_id = ANY(%(contracts)s) AND used.returned_at IS NOT NULL
        UNION ALL
        SELECT coalesce(invoice.issued_at, invoice.drafted_at),
            CASE WHEN sum(line.amount) < 0 THEN 'drawn' ELSE 'returned' END, sum(line.amount), line.contract_id,
            invoice.id, line.term, invoice.number, NULL,
            'line-' || lpad(invoice.id::text, 20, '0') || '-1'
        FROM billing_invoiceline line JOIN billing_invoice invoice ON invoice.id = line.invoice_id
        WHERE line.contract_id = ANY(%(contracts)s) AND line.entry_kind = 'credit'
          AND line.entry_key LIKE 'grant/%%'
        GROUP BY invoice.id, line.contract_id, line.term
        UNION ALL
        SELECT invoice.voided_at, CASE WHEN sum(line.amount) < 0 THEN 'returned' ELSE 'drawn' END, -sum(line.amount),
            line.contract_id, invoice.id, line.term, invoice.number, NULL,
            'line-' || lpad(invoice.id::text, 20, '0') || '-2'
        FROM billing_invoiceline line JOIN billing_invoice invoice ON invoice.id = line.invoice_id
        WHERE line.contract_id = ANY(%(contracts)s) AND line.entry_kind = 'credit'
          AND line.entry_key LIKE 'grant/%%' AND invoice.status = 'voided'
        GROUP BY invoice.id, line.contract_id, line.term
    ) movement
    WHERE amount <> 0 AND (%(credit)s::text IS NULL OR credit = %(credit)s)
      AND (%(at)s::timestamptz IS NULL OR at < %(at)s OR at = %(at)s AND place COLLATE "C" < %(place)s)
    ORDER BY at DESC, place COLLATE "C" DESC
    LIMIT %(limit)s
"""


def movements(
    contracts: Sequence[int],
    *,
    credit: str | None = None,
    before: tuple[dt.datetime, str] | None = None,
    limit: int | None = None,
) -> list[Movement]:
    """What documents of these contracts drew and gave back, the latest first.

    `credit` is the key of a grant or the number of a credit note; `before` the instant and place of a movement.
    """
    at, place = before or (None, "")
    asked = {"contracts": list(contracts), "credit": credit, "at": at, "place": place, "limit": limit}
    with connection.cursor() as cursor:
        cursor.execute(_MOVEMENTS, asked)
        return [Movement(*row) for row in cursor.fetchall()]


def history_of(grant: Any, at: dt.datetime) -> list[Movement]:
    """Everything that happened to a grant of `balances.grants`, the first first, with what was left each time."""
    told = [*_amendments(grant), *movements([grant.contract_id], credit=grant.key)]
    first, *others = told
    told = [first, *sorted(others, key=lambda one: (one.at, one.place))]
    balance, ends_at = balance_of(grant, at), expires_at(grant)
    if balance.withdrawn:
        told = list(_ended(told, grant.superseded_at, "withdrawn", balance.withdrawn))
    elif balance.expired and ends_at is not None:
        told = list(_ended(told, ends_at, "expired", balance.expired))
    return list(_with_what_is_left(told))


def _amendments(grant: Any) -> Iterator[Movement]:
    """How the grant was made, and what amendments made of its amount and its last day."""
    rows = list(CreditGrant.objects.filter(contract=grant.contract_id, key=grant.key).order_by("pk"))
    made_at = CreditGrant.history.filter(id=rows[0].pk).aggregate(at=Min("history_date"))["at"]
    yield Movement(made_at or begins_at(grant), "granted", rows[0].amount, grant.key, grant.contract_id)
    for before, row in pairwise(rows):
        if (before.amount, before.expires_on) == (row.amount, row.expires_on):
            continue
        words = "" if before.expires_on == row.expires_on else f"expires on {row.expires_on or 'no day'}"
        amount = row.amount - before.amount
        yield Movement(before.superseded_at, "amended", amount, grant.key, grant.contract_id, words=words)


def _ended(told: Sequence[Movement], ends_at: dt.datetime, kind: Kind, lost: Decimal) -> Iterator[Movement]:
    """What was left at the end was lost then, and what came back later when it came."""
    early, late = [told[0]], list[Movement]()
    for one in told[1:]:
        (early if one.at < ends_at else late).append(one)
    at_once = min(sum((one.amount for one in early), ZERO), lost)
    yield from early
    if at_once > 0:
        yield replace(told[0], at=ends_at, kind=kind, amount=-at_once)
    yield from late
    if lost > at_once:
        latest = late[-1].at if late else ends_at
        yield replace(told[0], at=latest, kind=kind, amount=max(at_once, ZERO) - lost)


def _with_what_is_left(told: Sequence[Movement]) -> Iterator[Movement]:
    left = ZERO
    for one in told:
        left += one.amount
        yield replace(one, left=left)
