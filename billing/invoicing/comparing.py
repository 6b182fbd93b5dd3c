"""What a draft says that the document before it did not, for the person who reviews it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from django.db.models import OuterRef, QuerySet, Subquery

from billing.models import Invoice, InvoiceLine, InvoiceStatus, LineKind
from catalog.money import ZERO, exact_sum, quantize

LARGE = Decimal(25)
"""From this change in percent on, a draft asks for a second look."""


@dataclass(frozen=True, slots=True)
class Moved:
    """One charge, before and now; a charge that is new was nothing, one that is gone is nothing."""

    description: str
    before: Decimal
    now: Decimal

    @property
    def change(self) -> Decimal:
        return self.now - self.before

    @property
    def percent(self) -> Decimal | None:
        return percent_of_change(self.before, self.now)


@dataclass(frozen=True, slots=True)
class Difference:
    """A draft against the document before it, before tax. Adjustments of earlier periods are counted apart."""

    previous: Invoice | None
    before: Decimal
    now: Decimal
    moved: tuple[Moved, ...]
    added: tuple[Moved, ...]
    gone: tuple[Moved, ...]
    adjustments: int
    adjusted: Decimal

    @property
    def percent(self) -> Decimal | None:
        """The change in percent; None where there was nothing to compare with."""
        return percent_of_change(self.before, self.now) if self.previous is not None else None

    @property
    def is_large(self) -> bool:
        """Whether somebody should look twice: the charges, or what is corrected, moved by a quarter or more."""
        compared = self.previous is not None
        base = abs(self.before if compared else self.now)
        moved = compared and bool(self.before) and abs(self.now - self.before) * 100 >= LARGE * base
        return moved or (bool(self.adjusted) and abs(self.adjusted) * 100 >= LARGE * base)


def percent_of_change(before: Decimal, now: Decimal) -> Decimal | None:
    """In percent with one decimal; None from nothing."""
    if not before:
        return None
    return quantize(Fraction(now - before) / Fraction(abs(before)) * 100, 1)


def differences(drafts: Sequence[Invoice]) -> dict[int, Difference]:
    """Draft id -> what differs from the document before it of the same contract. Two queries, however many drafts."""
    previous = previous_documents(drafts)
    lines: dict[int, list[InvoiceLine]] = defaultdict(list)
    wanted = {draft.pk for draft in drafts} | {document.pk for document in previous.values()}
    for line in InvoiceLine.objects.filter(invoice__in=wanted).order_by("invoice", "position"):
        lines[line.invoice_id].append(line)
    found = {}
    for draft in drafts:
        before = previous.get(draft.pk)
        found[draft.pk] = compare(lines[draft.pk], before, lines[before.pk] if before else ())
    return found


def previous_documents(drafts: Sequence[Invoice]) -> Mapping[int, Invoice]:
    """Draft id -> the latest document for an earlier period of its contract that is not void."""
    earlier: QuerySet[Invoice] = Invoice.objects.exclude(status=InvoiceStatus.VOIDED).filter(
        contract=OuterRef("contract"), purpose=OuterRef("purpose"), period_starts_at__lt=OuterRef("period_starts_at")
    )
    latest = Subquery(earlier.order_by("-period_starts_at", "-pk").values("pk")[:1])
    asked = Invoice.objects.filter(pk__in=[draft.pk for draft in drafts]).annotate(previous=latest)
    ids = dict(asked.exclude(previous=None).values_list("pk", "previous"))
    documents = Invoice.objects.in_bulk(set(ids.values()))
    return {draft: documents[before] for draft, before in ids.items()}


def compare(lines: Iterable[InvoiceLine], previous: Invoice | None, before: Iterable[InvoiceLine]) -> Difference:
    """The lines of a draft against those of the document before it."""
    lines = list(lines)
    adjustments = [line for line in lines if line.kind == LineKind.ADJUSTMENT]
    now, then = _charges(lines), _charges(before)
    charges = {
        key: Moved(description, then[key][1] if key in then else ZERO, now[key][1] if key in now else ZERO)
        for key, (description, _) in {**then, **now}.items()
    }
    return Difference(
        previous=previous,
        before=exact_sum(amount for _, amount in then.values()),
        now=exact_sum(amount for _, amount in now.values()),
        moved=tuple(one for key, one in charges.items() if key in now and key in then and one.change),
        added=tuple(one for key, one in charges.items() if key not in then and previous is not None),
        gone=tuple(one for key, one in charges.items() if key not in now),
        adjustments=len(adjustments),
        adjusted=exact_sum(line.amount for line in adjustments),
    )


def _charges(lines: Iterable[InvoiceLine]) -> dict[tuple[str, str, str], tuple[str, Decimal]]:
    """What is charged, under a name that is the same in every period: (kind, contract line, price or term)."""
    charges: dict[tuple[str, str, str], tuple[str, Decimal]] = {}
    for line in lines:
        if line.kind == LineKind.ADJUSTMENT:
            continue
        discount = f"{line.price} {line.term}" if line.kind == LineKind.DISCOUNT else ""
        key = (line.kind, line.contract_line, discount or line.price or line.term)
        _, sum_so_far = charges.get(key, ("", ZERO))
        charges[key] = (line.description, sum_so_far + line.amount)
    return charges
