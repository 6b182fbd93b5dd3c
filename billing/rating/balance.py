"""Due minus billed. Pure.

For every key of a period: what is due now, less what documents that stand already claim, is what is still to be
invoiced, in quantity, amount and tax. Doing it twice changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

from billing.rating.charges import Step
from billing.rating.claims import Claim, Claims, Seen, Tax, sum_of_taxes
from billing.rating.entries import Entry, EntryKind
from billing.rating.parts import spoken
from billing.rating.taxing import Group, groups_of
from catalog.money import ZERO, exact_arithmetic, exact_sum
from contracts.tax_terms import TaxTerms

DueKind = Literal["recurring", "usage", "one_time", "discount", "true_up", "credit", "adjustment"]


@dataclass(frozen=True, slots=True)
class Due:
    """What is still to be invoiced for one entry: a line to be."""

    entry: Entry
    kind: DueKind
    quantity: Decimal
    amount: Decimal
    seen: Seen
    corrects: int | None
    steps: tuple[Step, ...]
    taxes: tuple[Tax, ...] = ()
    tax_percent: Decimal = ZERO
    """The sum of the rates it is taxed at."""

    @property
    def tax(self) -> Decimal:
        return exact_sum(tax.amount for tax in self.taxes)

    @property
    def is_level(self) -> bool:
        """Whether nothing is left to invoice, in quantity, amount or tax of any rate."""
        return not (self.quantity or self.amount or any(tax.base or tax.amount for tax in self.taxes))


def balance(entries: Sequence[Entry], claims: Claims, tax: TaxTerms, currency: str, *, closed: bool) -> list[Due]:
    """Due minus claimed for every key; keys that are level are left out.

    `closed` makes the differences adjustments that name the line they correct. A claim without an entry is no longer
    due and comes back whole.
    """
    known = {entry.key for entry in entries}
    gone = [_nothing(claim.entry) for key, claim in claims.items() if key not in known]
    order = {entry.key: place for place, entry in enumerate((*entries, *gone))}
    with exact_arithmetic():
        dues: list[Due] = []
        for group in groups_of((*entries, *gone), claims, tax, currency).values():
            lines = [_due(entry, claims.get(entry.key), closed=closed) for entry in group.entries]
            dues += _taxed(lines, group, claims)
        return sorted((due for due in dues if not due.is_level), key=lambda due: order[due.entry.key])


def settle(claims: Claims, dues: Iterable[Due]) -> dict[str, Claim]:
    """The claims once these lines stand too."""
    after = dict(claims)
    for due in dues:
        before = claims.get(due.entry.key)
        after[due.entry.key] = Claim(
            entry=due.entry,
            quantity=due.quantity + (before.quantity if before else ZERO),
            amount=due.amount + (before.amount if before else ZERO),
            corrects=before.corrects if before else None,
            seen=_sum_of(due.seen, before.seen if before else {}),
            taxes=sum_of_taxes([*(before.taxes.values() if before else ()), *due.taxes]),
        )
    return after


def _nothing(entry: Entry) -> Entry:
    steps = (Step("no longer due", None, None, ZERO),)
    return replace(entry, quantity=ZERO, amount=ZERO, gross=ZERO, clock=None, steps=steps)


def _sum_of(one: Seen, other: Seen, times: int = 1) -> Seen:
    counts = Counter(one)
    for reading, count in other.items():
        counts[reading] += times * count
    return {reading: count for reading, count in counts.items() if count}


def _due(entry: Entry, claim: Claim | None, *, closed: bool) -> Due:
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
        seen=_sum_of(now, claim.seen if claim else {}, -1),
        corrects=claim.corrects if claim and closed else None,
        steps=entry.steps + billed,
    )


def _billed_step(claim: Claim, kind: EntryKind) -> tuple[Step, ...]:
    if not claim.quantity and not claim.amount:
        return ()
    used = f", {spoken(claim.quantity)} used" if kind == "usage" else ""
    return (Step(f"already billed{used}", None, None, -claim.amount),)


def _taxed(dues: Sequence[Due], group: Group, claims: Claims) -> Iterator[Due]:
    """The lines of a group with their tax: what is open of each rate goes to the first line that has something else.

    What a rate is on is said by each line for itself.
    """
    bearer = next((due for due in dues if due.quantity or due.amount), dues[0])
    keys = [(rate.code, rate.percent) for rate in group.rates]
    percent = exact_sum(rate.percent for rate in group.rates)
    for due in dues:
        claim = claims.get(due.entry.key)
        claimed = claim.taxes if claim else {}
        taxes = []
        for key in (*keys, *(key for key in group.claimed if key not in keys)):
            base = (due.entry.amount if key in keys else ZERO) - (claimed[key].base if key in claimed else ZERO)
            amount = group.open_amount(key) if due is bearer else ZERO
            if base or amount or key in keys:
                taxes.append(Tax(*key, base, amount))
        given_back = exact_sum(tax.percent for tax in taxes)
        yield replace(due, taxes=tuple(taxes), tax_percent=percent if keys else given_back)
