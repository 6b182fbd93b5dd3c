"""What documents that stand say of entries: their sums, the tax by rate, and which use they are for. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from billing.rating.entries import Entry
from catalog.money import ZERO, exact_sum
from catalog.periods import Period

Seen = Mapping[tuple[Period, int], int]
"""(service, clock) -> how many times: use of that stretch with a stamp up to that clock. What a line is for is what is
seen now less what standing lines have seen, so that the use of all lines adds up to the use that is due."""

RateKey = tuple[str, Decimal]
"""Code and percent: a percentage that was edited is another rate than the one that was billed."""


@dataclass(frozen=True, slots=True)
class Tax:
    """The tax of lines under one rate, and what it is on."""

    code: str
    percent: Decimal
    base: Decimal
    amount: Decimal

    @property
    def key(self) -> RateKey:
        return self.code, self.percent


Taxes = Mapping[RateKey, Tax]


@dataclass(frozen=True, slots=True)
class Claim:
    """What standing documents say of one key: their sums, and the entry as the latest of them described it.

    `corrects` is the latest line of the key on any document, the next link of its chain of adjustments. `seen` says
    which use the lines together are for.
    """

    entry: Entry
    quantity: Decimal
    amount: Decimal
    corrects: int | None
    seen: Seen
    taxes: Taxes = field(default_factory=dict)

    @property
    def tax(self) -> Decimal:
        return exact_sum(tax.amount for tax in self.taxes.values())


Claims = Mapping[str, Claim]


def sum_of_taxes(taxes: Iterable[Tax]) -> dict[RateKey, Tax]:
    """By rate. Tax that was given back under no code, as documents once did, belongs to the rate it was billed at."""
    found: dict[RateKey, Tax] = {}
    for tax in taxes:
        before = found.get(tax.key)
        found[tax.key] = _add(before, tax.base, tax.amount) if before else tax
    for key in [key for key in found if not key[0] and len(found) > 1]:
        loose = found.pop(key)
        billed = _add(next(iter(found.values())), ZERO, loose.amount)
        found[billed.key] = billed if billed.amount else replace(billed, base=ZERO)
    return found


def _add(tax: Tax, base: Decimal, amount: Decimal) -> Tax:
    return replace(tax, base=exact_sum([tax.base, base]), amount=exact_sum([tax.amount, amount]))
