"""Due minus billed. Pure.

For every key of a period: what is due now, less what documents that stand already claim, is what is still to be
invoiced, in quantity, amount and tax. Doing it twice changes nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from billing.rating.charges import Step
from billing.rating.entries import Entry, EntryKind
from billing.rating.parts import spoken
from catalog.money import ZERO, exact_arithmetic, round_money
from catalog.periods import Period
from contracts.terms import TaxTerms

DueKind = Literal["recurring", "usage", "one_time", "discount", "true_up", "credit", "adjustment"]


Seen = Mapping[tuple[Period, int], int]
"""(service, clock) -> how many times: use of that stretch with a stamp up to that clock. What a line is for is what is
seen now less what standing lines have seen, so that the use of all lines adds up to the use that is due."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What standing documents say of one key: their sums, and the entry as the latest of them described it.

    `corrects` is the latest line of the key on any document, the next link of its chain of adjustments. `seen` says
    which use the lines together are for.
    """

    entry: Entry
    quantity: Decimal
    amount: Decimal
    tax: Decimal
    corrects: int | None
    seen: Seen


Claims = Mapping[str, Claim]


@dataclass(frozen=True, slots=True)
class Due:
    """What is still to be invoiced for one entry: a line to be."""

    entry: Entry
    kind: DueKind
    quantity: Decimal
    amount: Decimal
    tax: Decimal
    tax_terms: TaxTerms
    seen: Seen
    corrects: int | None
    steps: tuple[Step, ...]


def balance(entries: Sequence[Entry], claims: Claims, tax: TaxTerms, currency: str, *, closed: bool) -> list[Due]:
    """Due minus claimed for every key; keys that are level are left out.

    `closed` makes the differences adjustments that name the line they correct. A claim without an entry is no longer
    due and comes back whole.
    """
    known = {entry.key for entry in entries}
    gone = [_nothing(claim.entry) for key, claim in claims.items() if key not in known]
    with exact_arithmetic():
        dues = [_due(entry, claims.get(entry.key), tax, closed=closed) for entry in (*entries, *gone)]
        return [due for due in _taxed(dues, claims, tax, currency) if due.quantity or due.amount or due.tax]


def settle(claims: Claims, dues: Iterable[Due]) -> dict[str, Claim]:
    """The claims once these lines stand too."""
    after = dict(claims)
    for due in dues:
        before = claims.get(due.entry.key)
        after[due.entry.key] = Claim(
            entry=due.entry,
            quantity=due.quantity + (before.quantity if before else ZERO),
            amount=due.amount + (before.amount if before else ZERO),
            tax=due.tax + (before.tax if before else ZERO),
            corrects=before.corrects if before else None,
            seen=_sum_of(due.seen, before.seen if before else {}),
        )
    return after


def _nothing(entry: Entry) -> Entry:
    return replace(entry, quantity=ZERO, amount=ZERO, clock=None, steps=(Step("no longer due", None, None, ZERO),))


def _sum_of(one: Seen, other: Seen, times: int = 1) -> Seen:
    counts = Counter(one)
    for reading, count in other.items():
        counts[reading] += times * count
    return {reading: count for reading, count in counts.items() if count}


def _due(entry: Entry, claim: Claim | None, tax: TaxTerms, *, closed: bool) -> Due:
    quantity = entry.quantity - (claim.quantity if claim else ZERO)
    amount = entry.amount - (claim.amount if claim else ZERO)
    if (claim is None or not claim.quantity) and entry.kind != "usage" and not amount:
        quantity = ZERO  # a price of nothing is no line; use is shown also where it is free
    kind: DueKind = "adjustment" if closed else entry.kind
    now = {} if entry.clock is None else {(entry.service, entry.clock): 1}
    billed = _billed_step(claim, entry.kind) if claim else ()
    return Due(
        entry=entry,
        kind=kind,
        quantity=quantity,
        amount=amount,
        tax=ZERO,
        tax_terms=tax,
        seen=_sum_of(now, claim.seen if claim else {}, -1),
        corrects=claim.corrects if claim and closed else None,
        steps=entry.steps + billed,
    )


def _billed_step(claim: Claim, kind: EntryKind) -> tuple[Step, ...]:
    if not claim.quantity and not claim.amount:
        return ()
    used = f", {spoken(claim.quantity)} used" if kind == "usage" else ""
    return (Step(f"already billed{used}", None, None, -claim.amount),)


def _taxed(dues: Sequence[Due], claims: Claims, tax: TaxTerms, currency: str) -> list[Due]:
    """The same lines with tax: per entry, the rate on its net due less the tax already claimed for it.

    An entry's discounts lower its net; the difference goes to the first line that belongs to it.
    """
    net: dict[str, Decimal] = defaultdict(Decimal)
    claimed: dict[str, Decimal] = defaultdict(Decimal)
    for due in dues:
        net[due.entry.tax_key] += due.entry.amount
        claim = claims.get(due.entry.key)
        claimed[due.entry.tax_key] += claim.tax if claim else ZERO
    open_tax = {
        key: round_money(Fraction(amount) * Fraction(tax.percent) / 100, currency) - claimed[key]
        for key, amount in net.items()
    }
    taxed = []
    for due in sorted(dues, key=lambda one: not (one.quantity or one.amount)):
        taxed.append(replace(due, tax=open_tax.pop(due.entry.tax_key, ZERO)))
    order = {due.entry.key: position for position, due in enumerate(dues)}
    return sorted(taxed, key=lambda due: order[due.entry.key])
