"""What lowers entries: discounts, spend caps, prepaid spend and promotional credit, each an entry of its own. Pure.

Every reduction sees what earlier ones left of the entries in its scope, is rounded once, and names the entry it lowers,
whose tax it lowers with it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from billing.rating.charges import Step
from billing.rating.credits import turn
from billing.rating.discounts import DiscountableLine, DiscountKind, LineDiscount, apply_discounts
from billing.rating.entries import Entry, EntryKind, Priced, covered_share
from billing.rating.parts import spoken
from catalog.money import ZERO, decimal_of, exact_arithmetic, money_rounding, split
from catalog.periods import Period
from catalog.selection import EVERYTHING
from contracts.terms import DiscountTerms, GrantTerms, Terms

UNITS = {"percent": "%", "quantity": "units"}

Carried = Mapping[str, Decimal]
"""What crosses periods, by the term it belongs to: how much of a total is taken off, of a commitment spent ..."""


class Remainder:
    """What is left of entries before tax, and the state that is carried from period to period."""

    def __init__(self, terms: Terms, entries: Sequence[Entry], opening: Carried) -> None:
        self.terms = terms
        self.entries = list(entries)
        self.left = {entry.key: entry.amount for entry in entries}
        self.closing = dict(opening)

    def add(self, entry: Entry) -> Entry:
        self.entries.append(entry)
        self.left[entry.key] = entry.amount
        return entry

    def of_prices(self, applies_to: frozenset[str]) -> list[Entry]:
        """Entries of these prices, or of any."""
        return [entry for entry in self.entries if entry.price and (not applies_to or entry.price in applies_to)]

    def positive(self, applies_to: frozenset[str]) -> list[Entry]:
        return [entry for entry in self.of_prices(applies_to) if self.left[entry.key] > 0]

    def charged(self) -> list[Entry]:
        """Everything that is charged, true-ups and one-time charges too."""
        return [entry for entry in self.entries if self.left[entry.key] > 0]

    def net(self, entries: Sequence[Entry]) -> Decimal:
        with exact_arithmetic():
            return sum((self.left[entry.key] for entry in entries), ZERO)

    def spread(self, amount: Decimal, entries: Sequence[Entry]) -> Iterator[tuple[Entry, Decimal]]:
        """An amount, of at most all that is left, over entries by what is left of each."""
        places = money_rounding(self.terms.currency).places
        if amount:
            yield from zip(entries, split(amount, [self.left[entry.key] for entry in entries], places), strict=True)

    def lower(self, entry: Entry, off: Decimal) -> None:
        with exact_arithmetic():
            self.left[entry.key] -= off

    def carry(self, key: str, amount: Decimal) -> None:
        """Remember an amount for later periods; nothing is what is not there."""
        self.closing.pop(key, None)
        if amount:
            self.closing[key] = amount


@dataclass(frozen=True, slots=True)
class Reduction:
    """How a reduction shows: the key of its entries, its term, and what they say around what they lower."""

    key: str
    kind: EntryKind
    term: str
    before: str
    step: str
    after: str = ""

    def on(self, entry: Entry, off: Decimal) -> Entry:
        return replace(
            entry,
            key=f"{self.key}/{entry.key}",
            kind=self.kind,
            meter="",
            term=self.term,
            description=f"{self.before} {entry.description}{self.after}",
            unit="",
            quantity=Decimal(1),
            amount=-off,
            clock=None,
            selection=EVERYTHING,
            steps=(Step(self.step, None, None, -off),),
        )


def discounts(remainder: Remainder, wanted: Sequence[DiscountTerms], priced: Mapping[str, Priced]) -> Iterator[Entry]:
    """Each discount in its order, on what is left of its entries.

    Percentages compound. A discount that covers a part of the days counts by that part, and one with a total takes no
    more than is left of it. Money is spread over its entries by what is left of each, with the largest remainder.
    """
    for discount in wanted:
        state = f"discount/{discount.key}"
        before = taken = remainder.closing.get(state, ZERO)
        for group, share in _groups(remainder, discount):
            amount = _off(remainder, discount, group, share, priced)
            if discount.total is not None:
                amount = max(min(amount, discount.total - taken), ZERO)
            taken += amount
            for entry, off in list(remainder.spread(amount, group)):
                remainder.lower(entry, off)
                if off:
                    yield _reduction(remainder.terms, discount, share).on(entry, off)
        if discount.total is not None:
            remainder.carry(state, max(before, taken))


def _groups(remainder: Remainder, discount: DiscountTerms) -> Iterator[tuple[list[Entry], Fraction]]:
    """What a discount is taken and rounded on at a time, and the part of the days it counts for.

    A percentage or units on named prices are taken on each entry, so that what was billed in advance stands; anything
    else is taken on all entries together.
    """
    terms, scope = remainder.terms, remainder.positive(discount.applies_to)
    if discount.kind == "quantity" or (discount.kind == "percent" and discount.applies_to):
        yield from (([entry], _share(terms, discount, entry.service)) for entry in scope)
    elif scope:
        yield scope, _share(terms, discount, terms.period)


def _off(
    remainder: Remainder,
    discount: DiscountTerms,
    group: Sequence[Entry],
    share: Fraction,
    priced: Mapping[str, Priced],
) -> Decimal:
    """What the discount takes off a group, at most all that is left of it."""
    rounding, value = money_rounding(remainder.terms.currency), Fraction(discount.value) * share
    if discount.kind == "quantity":
        off = _free_units(remainder, priced[group[0].key], decimal_of(value)) if group[0].key in priced else ZERO
        return max(ZERO, min(off, remainder.net(group)))
    kind: DiscountKind = "percent" if discount.kind == "percent" else "amount"
    exact = decimal_of(value) if kind == "percent" else rounding.of(value)
    lines = [DiscountableLine(entry.key, remainder.left[entry.key]) for entry in group]
    return apply_discounts(lines, [LineDiscount(kind, exact)], rounding).total


def _free_units(remainder: Remainder, priced: Priced, units: Decimal) -> Decimal:
    """What the entry costs less where so many more units are included."""
    rule = replace(priced.rule, included_units=priced.rule.included_units + units)
    with exact_arithmetic():
        return priced.entry.amount - priced.amount_under(rule, remainder.terms)


def _share(terms: Terms, discount: DiscountTerms, service: Period) -> Fraction:
    """The part of a stretch of days that the discount covers."""
    return covered_share(terms, discount.days.period(terms.zone, service), service)


def _reduction(terms: Terms, discount: DiscountTerms, share: Fraction) -> Reduction:
    value = f"{spoken(discount.value)} {UNITS.get(discount.kind, terms.currency)}"
    partly = "" if share == 1 else f", for {spoken(decimal_of(share * 100, 2))} % of the days"
    key = f"discount/{discount.key}"
    return Reduction(key, "discount", discount.key, f"Discount {value} on", f"{value} off{partly}", partly)


def promotional_credit(remainder: Remainder, grants: Sequence[GrantTerms]) -> Iterator[Entry]:
    """Grants by priority, expiry (none last) and place, each spent on entries in order, those in advance first.

    golden/README.md: credits by priority, expiry, creation, id; a grant pays lines in their order.
    """
    for grant in sorted(grants, key=lambda one: turn(one.priority, one.days.until)):
        state = f"grant/{grant.key}"
        before = remainder.closing.get(state, ZERO)
        scope = remainder.positive(grant.applies_to) if grant.applies_to else remainder.charged()
        said = f"{grant.description} spent"
        shown = Reduction(state, "credit", grant.key, f"{grant.description} on", said)
        spent = yield from spend(remainder, grant.amount - before, scope, shown)
        remainder.carry(state, before + spent)


def spend(
    remainder: Remainder, amount: Decimal, scope: Sequence[Entry], shown: Reduction
) -> Generator[Entry, None, Decimal]:
    """Spend up to an amount on entries, in order; returns what was spent."""
    spent = ZERO
    for entry in sorted(scope, key=lambda one: not one.in_advance):
        off = min(remainder.left[entry.key], amount - spent)
        if off > 0:
            spent += off
            remainder.lower(entry, off)
            yield shown.on(entry, off)
    return spent
