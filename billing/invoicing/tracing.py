"""Where a document stands among others: what its adjustments correct, and which documents it led to.

Everything is read for a whole document at once, in a number of queries that does not grow with its lines.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Q

from billing.models import Invoice, InvoiceLine, InvoiceStatus, LineKind
from catalog.money import exact_sum
from contracts.models import Contract

EntryName = tuple[dt.datetime, str]
"""The billing period's start and the entry's key: the same on every document of a contract."""


@dataclass(frozen=True, slots=True)
class Correction:
    """What an adjustment did to its entry: the sums that stood when it was drafted, and with it.

    `chain` holds every line of the entry on any document, the oldest first; `amendments` are the changes of the
    contract's terms since the line it corrects.
    """

    line: InvoiceLine
    chain: tuple[InvoiceLine, ...]
    quantity_before: Decimal
    amount_before: Decimal
    amendments: tuple[Any, ...]

    @property
    def quantity_after(self) -> Decimal:
        return Decimal(self.quantity_before + self.line.quantity)

    @property
    def less(self) -> Decimal:
        """How much the quantity fell."""
        return Decimal(-self.line.quantity)

    @property
    def amount_after(self) -> Decimal:
        return Decimal(self.amount_before + self.line.amount)


def name_of_entry(line: InvoiceLine) -> EntryName:
    return line.period_starts_at, line.entry_key


def chains(lines: Sequence[InvoiceLine]) -> dict[EntryName, list[InvoiceLine]]:
    """Every line of the entries of one contract's lines, with its document, the oldest first. One query."""
    found: dict[EntryName, list[InvoiceLine]] = defaultdict(list)
    if not lines:
        return found
    names = {name_of_entry(line) for line in lines}
    rows = InvoiceLine.objects.filter(
        contract=lines[0].contract_id,
        period_starts_at__in={starts_at for starts_at, _ in names},
        entry_key__in={key for _, key in names},
    )
    for row in rows.select_related("invoice").order_by("pk"):
        if name_of_entry(row) in names:
            found[name_of_entry(row)].append(row)
    return found


def corrections(
    document: Invoice, lines: Sequence[InvoiceLine], linked: dict[EntryName, list[InvoiceLine]]
) -> dict[int, Correction]:
    """Position of an adjustment -> what it corrects, and what changed. `lines` may be unsaved (of a preview)."""
    adjustments = [line for line in lines if line.kind == LineKind.ADJUSTMENT]
    if not adjustments:
        return {}
    changes = amendments(document.contract, document.drafted_at)
    return {line.position: _correction(document, line, linked[name_of_entry(line)], changes) for line in adjustments}


def amendments(contract: Contract, until: dt.datetime) -> list[Any]:
    """The rows of a contract's history, up to an instant, with which its terms changed; the oldest first."""
    rows = contract.history.filter(history_date__lte=until).select_related("history_user")
    changes, revision = [], 0
    for row in rows.order_by("history_date", "history_id"):
        if row.revision > revision:
            changes.append(row)
        revision = row.revision
    return changes


def _since(line: InvoiceLine, chain: Iterable[InvoiceLine]) -> dt.datetime | None:
    """When the line that an adjustment corrects was drafted; None for an entry that is new."""
    return next((one.invoice.drafted_at for one in chain if one.pk == line.corrects_id), None)


def _correction(
    document: Invoice,
    line: InvoiceLine,
    chain: Sequence[InvoiceLine],
    changes: Sequence[Any],
) -> Correction:
    since = _since(line, chain)
    standing = [one for one in chain if _is_before(one, line) and stood(one.invoice, document.drafted_at)]
    return Correction(
        line=line,
        chain=tuple(chain),
        quantity_before=exact_sum(one.quantity for one in standing),
        amount_before=exact_sum(one.amount for one in standing),
        amendments=tuple(one for one in changes if since is None or one.history_date > since),
    )


def _is_before(one: InvoiceLine, line: InvoiceLine) -> bool:
    return line.pk is None or one.pk < line.pk


def stood(document: Invoice, at: dt.datetime) -> bool:
    """Whether a document counted as billed at an instant: it was drafted, and not void yet."""
    return document.voided_at is None or document.voided_at > at


def billed_again_on(document: Invoice, linked: dict[EntryName, list[InvoiceLine]]) -> list[Invoice]:
    """The documents that billed what a voided one had on it, the oldest first."""
    voided_at = document.voided_at
    if voided_at is None:
        return []
    later = {
        one.invoice_id: one.invoice
        for chain in linked.values()
        for one in chain
        if one.invoice_id != document.pk and one.invoice.drafted_at >= voided_at and one.kind != LineKind.ADJUSTMENT
    }
    return sorted(later.values(), key=lambda one: one.pk)


def bills_again(document: Invoice, linked: dict[EntryName, list[InvoiceLine]]) -> list[Invoice]:
    """The voided documents whose lines a document bills anew, the oldest first."""
    earlier = {
        one.invoice_id: one.invoice
        for chain in linked.values()
        for one in chain
        if one.invoice_id != document.pk
        and one.invoice.voided_at is not None
        and one.invoice.voided_at <= document.drafted_at
        and one.kind != LineKind.ADJUSTMENT
        and any(own.invoice_id == document.pk and own.kind != LineKind.ADJUSTMENT for own in chain)
    }
    return sorted(earlier.values(), key=lambda one: one.pk)


def waived_on(document: Invoice) -> list[Invoice]:
    """The documents that carry the waiver of a voided one; the waiver a document carries, on its own page."""
    if not document.waived:
        return []
    key = f"waive-{document.number}"
    waiver = Q(term=key) | Q(term__startswith=f"{key}-")  # one for each category of tax
    lines = InvoiceLine.objects.filter(waiver, contract=document.contract_id).select_related("invoice").order_by("pk")
    kinds = (LineKind.ONE_TIME, LineKind.ADJUSTMENT)
    found = {line.invoice_id: line.invoice for line in lines if line.kind in kinds}
    return [invoice for invoice in found.values() if invoice.status != InvoiceStatus.VOIDED]
