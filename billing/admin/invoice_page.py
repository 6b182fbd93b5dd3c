"""What the page of a document shows: its lines with what explains them, related documents, and what happened to it."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from billing.invoicing.tracing import (
    Correction,
    EntryName,
    billed_again_on,
    bills_again,
    chains,
    corrections,
    name_of_entry,
    waived_on,
)
from billing.models import CreditUse, Document, Invoice, InvoiceLine, InvoiceStatus, LineKind
from catalog.models import PlanVersion, Price
from catalog.money import exact_sum
from catalog.wording import figure, money_words, price_figure
from contracts.models import Contract, ContractLine, Discount, OneTimeTerm

NO_STEP = {"sum": "", "amount": "", "description": "", "exact": "0"}
CORRECTIONS = "Corrections of earlier periods"
LESS = (LineKind.DISCOUNT, LineKind.CREDIT)  # shown with what they reduce


@dataclass(slots=True)
class Origin:
    """The rows of the catalog and the contract that a line comes from, where they are found."""

    version: PlanVersion | None = None
    price: Price | None = None
    contract_line: ContractLine | None = None
    discount: Discount | None = None
    one_time: OneTimeTerm | None = None


@dataclass(slots=True)
class ShownLine:
    """A line, the steps to its amount, where it comes from, and the discounts that reduce it."""

    line: InvoiceLine
    steps: list[dict[str, str]]
    origin: Origin
    correction: Correction | None
    corrected_by: InvoiceLine | None
    discounts: list[ShownLine] = field(default_factory=list)

    @property
    def net(self) -> Decimal:
        return exact_sum([self.line.amount, *(one.line.amount for one in self.discounts)])

    @property
    def net_words(self) -> str:
        return (
            "After credit"
            if any(one.line.entry_kind == LineKind.CREDIT for one in self.discounts)
            else "After discounts"
        )

    @property
    def gist(self) -> dict[str, str]:
        """The step that makes the most of the amount."""
        return max(self.steps, key=_weight, default=NO_STEP)

    @property
    def has_events(self) -> bool:
        return self.line.pk is not None and self.line.entry_kind == LineKind.USAGE and self.line.clock_to is not None


@dataclass(slots=True)
class Group:
    """Lines of one contract line and plan version, or what corrects earlier periods."""

    title: str
    lines: list[ShownLine]

    @property
    def amount(self) -> Decimal:
        return exact_sum(one.net for one in self.lines)


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that was done to a document: when, by whom, what, and the document it concerns."""

    at: dt.datetime
    by: str
    what: str
    document: Invoice | None = None


def page_of(document: Invoice) -> dict[str, Any]:
    """Everything the page shows, in a number of queries that does not grow with the lines.

    `document` has its contract, customer and seller selected.
    """
    lines = list(document.lines.order_by("position"))
    linked = chains(lines)
    drawn = list(document.credits.select_related("credit_note").order_by("pk"))
    spent = list(CreditUse.objects.filter(credit_note=document.pk).select_related("invoice").order_by("pk"))
    return {
        "document": document,
        "is_note": document.document == Document.CREDIT_NOTE,
        "groups": grouped(document, lines, linked),
        "line_count": len(lines),
        "drawn": drawn,
        "spent": spent,
        "granted": abs(document.total),
        "left_of_note": _left_of(document, spent),
        "related": related(document, linked),
        "happenings": happenings(document, lines, linked, [*drawn, *spent]),
    }


def grouped(document: Invoice, lines: Sequence[InvoiceLine], linked: dict[EntryName, list[InvoiceLine]]) -> list[Group]:
    """The lines by contract line and plan version, discounts with what they reduce, corrections last."""
    shown = _shown(document, lines, linked)
    reduced = {(one.line.kind == LineKind.ADJUSTMENT, one.line.entry_key): one for one in shown}
    groups: dict[str, Group] = {}
    for one in shown:
        is_adjustment = one.line.kind == LineKind.ADJUSTMENT
        if one.line.entry_kind in LESS:
            home = reduced.get((is_adjustment, one.line.tax_key))
            if home is not None and home is not one and home.line.period_starts_at == one.line.period_starts_at:
                home.discounts.append(one)
                continue
        title = CORRECTIONS if is_adjustment else _title(one)
        groups.setdefault(title, Group(title, [])).lines.append(one)
    return sorted(groups.values(), key=lambda group: group.title == CORRECTIONS)


def _title(one: ShownLine) -> str:
    version, line = one.origin.version, one.line
    if version is not None:
        named = "" if line.contract_line == version.plan.key else f", {line.contract_line}"
        return f"{version.plan.name or version.plan.key}, version {version.number}{named}"
    if line.entry_kind in LESS:
        return "Discounts and credit on what other invoices bill"
    return "Charged or credited once"


def _shown(
    document: Invoice, lines: Sequence[InvoiceLine], linked: dict[EntryName, list[InvoiceLine]]
) -> list[ShownLine]:
    origin_of = Origins(document.contract, lines)
    corrected = corrections(document, lines, linked)
    later = {one.corrects_id: one for chain in linked.values() for one in chain if one.corrects_id is not None}
    return [
        ShownLine(
            line=line,
            steps=[step_words(step, document.currency) for step in line.steps],
            origin=origin_of(line),
            correction=corrected.get(line.position),
            corrected_by=later.get(line.pk) if line.pk is not None else None,
        )
        for line in lines
    ]


def _weight(step: dict[str, str]) -> Decimal:
    return abs(Decimal(step["exact"])) if step["sum"] else Decimal(-1)


def step_words(step: dict[str, str | None], currency: str) -> dict[str, str]:
    """A step in figures: "10,000 times 0.002" and what it comes to, and what it stands for."""
    amount = price_figure(step["amount"] or "0", currency)
    quantity, unit_amount = step["quantity"], step["unit_amount"]
    sum_of = ""
    if quantity is not None and unit_amount is not None:
        sum_of = f"{figure(quantity)} \N{MULTIPLICATION SIGN} {price_figure(unit_amount, currency)}"
    elif quantity is not None:
        sum_of = figure(quantity)
    return {
        "sum": sum_of,
        "amount": amount,
        "description": step["description"] or "",
        "exact": step["amount"] or "0",
    }


class Origins:
    """Where lines of one contract come from; everything is read once."""

    def __init__(self, contract: Contract, lines: Iterable[InvoiceLine]) -> None:
        named = {line.term.rpartition("@")[::2] for line in lines if "@" in line.term}
        versions = PlanVersion.objects.filter(
            plan__key__in={plan for plan, _ in named}, number__in={int(n) for _, n in named if n.isdecimal()}
        )
        self._versions = {
            f"{version.plan.key}@{version.number}": version
            for version in versions.select_related("plan").prefetch_related("prices__meter")
        }
        self._lines: dict[tuple[str, int], list[ContractLine]] = defaultdict(list)
        for row in contract.lines.order_by("superseded_at", "starts_on"):
            self._lines[row.key, row.plan_version_id].append(row)
        # Of a key that was amended, the term in force comes last.
        self._discounts = {row.key: row for row in contract.discounts.order_by("superseded_at")}
        self._one_time = {row.key: row for row in contract.one_time_terms.order_by("superseded_at")}

    def __call__(self, line: InvoiceLine) -> Origin:
        if line.entry_kind == LineKind.DISCOUNT:
            return Origin(discount=self._discounts.get(line.term))
        version = self._versions.get(line.term)
        if version is None:
            return Origin(one_time=self._one_time.get(line.term))
        price = next((price for price in version.prices.all() if price.key == line.price), None)
        return Origin(version, price, self._contract_line(line, version))

    def _contract_line(self, line: InvoiceLine, version: PlanVersion) -> ContractLine | None:
        """The line of the contract that covered the first day; an amended one only where no other does."""
        candidates = [
            row
            for row in self._lines[line.contract_line, version.pk]
            if row.starts_on <= line.service_start and (row.ends_on is None or row.ends_on > line.service_start)
        ]
        standing = [row for row in candidates if row.superseded_at is None]
        return next(iter([*standing, *candidates]), None)


def related(document: Invoice, linked: dict[EntryName, list[InvoiceLine]]) -> list[tuple[str, Invoice]]:
    """(how, document): what a voided one became, what this one stands for, what it corrects and is corrected by."""
    found = [("Replaces the voided", one) for one in bills_again(document, linked)]
    found += [("Billed again on", one) for one in billed_again_on(document, linked)]
    found += [("Waived on", one) for one in waived_on(document)]
    own = {one.pk for chain in linked.values() for one in chain if one.invoice_id == document.pk}
    correcting = {one.invoice_id: one.invoice for chain in linked.values() for one in chain if one.corrects_id in own}
    corrected_ids = {one.corrects_id for chain in linked.values() for one in chain if one.invoice_id == document.pk}
    corrected = {one.invoice_id: one.invoice for chain in linked.values() for one in chain if one.pk in corrected_ids}
    found += [("Corrects", one) for _, one in sorted(corrected.items())]
    found += [("Corrected by", one) for _, one in sorted(correcting.items())]
    return found


def happenings(
    document: Invoice,
    lines: Sequence[InvoiceLine],
    linked: dict[EntryName, list[InvoiceLine]],
    uses: Iterable[CreditUse],
) -> list[Happening]:
    """What was done to a document, the first first."""
    found = [Happening(document.drafted_at, "bill run", "Drafted")]
    if document.issued_at is not None:
        found.append(Happening(document.issued_at, document.issued_by, f"Issued as {document.number}"))
    for use in uses:
        to_note = use.credit_note_id == document.pk
        other = use.invoice if to_note else use.credit_note
        amount, grant = money_words(use.amount, document.currency), f" {use.words}" if use.grant_key else ""
        drawn = f"{amount} {'spent on' if to_note else 'of credit drawn from'}{grant}"
        found.append(Happening(use.used_at, "", drawn, other))
        if use.returned_at is not None:
            back = f"{amount} returned {'by' if to_note else 'to'}{grant}"
            found.append(Happening(use.returned_at, "", back, other))
    found += _corrections_of(document, lines, linked)
    if document.voided_at is not None:
        waived = "; the amount is waived" if document.waived else ""
        found.append(Happening(document.voided_at, document.voided_by, f"Voided: {document.void_reason}{waived}"))
    return sorted(found, key=lambda one: one.at)


def _corrections_of(
    document: Invoice, lines: Sequence[InvoiceLine], linked: dict[EntryName, list[InvoiceLine]]
) -> list[Happening]:
    own = {line.pk for line in lines}
    later: dict[int, list[InvoiceLine]] = defaultdict(list)
    for line in lines:
        for one in linked[name_of_entry(line)]:
            if one.corrects_id in own:
                later[one.invoice_id].append(one)
    return [
        Happening(
            rows[0].invoice.drafted_at,
            "bill run",
            f"{len(rows)} line{'' if len(rows) == 1 else 's'} corrected by "
            f"{money_words(exact_sum(one.amount for one in rows), document.currency)} on",
            rows[0].invoice,
        )
        for rows in later.values()
    ]


def _left_of(document: Invoice, spent: Iterable[CreditUse]) -> Decimal:
    """What is left of a credit note."""
    if document.document != Document.CREDIT_NOTE or document.status != InvoiceStatus.ISSUED:
        return Decimal(0)
    return -exact_sum([document.total, *(use.amount for use in spent if use.returned_at is None)])
