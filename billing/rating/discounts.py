"""Discounts over lines: percentages compound in the order given, amounts are capped at what is left.

Each discount sees what earlier ones left of its lines, is rounded once, and is spread over them. The largest
remainder is our rule; the other policies are what customers may bring from elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from catalog.money import ZERO, Rounding, decimals, exact_arithmetic, exact_sum, rounded, split

DiscountKind = Literal["percent", "amount"]
Order = Literal["as_given", "percent_first"]
Spread = Literal["largest_remainder", "proportional", "sequential"]


@dataclass(frozen=True, slots=True)
class DiscountableLine:
    """A line before discounts; `already_discounted` was taken off earlier."""

    id: str
    amount: Decimal
    already_discounted: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class LineDiscount:
    """A percentage, or an amount of which `used` is spent; `lines` None: every line."""

    kind: DiscountKind
    value: Decimal
    lines: frozenset[str] | None = None
    used: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Discounted:
    """`line_discounts` and `line_nets` are in line order and include what was discounted already."""

    amounts: tuple[Decimal, ...]  # one per discount, in the order they were given
    line_discounts: tuple[Decimal, ...]
    line_nets: tuple[Decimal, ...]

    @property
    def total(self) -> Decimal:
        """What these discounts take off together."""
        return exact_sum(self.amounts)

    @property
    def subtotal_after(self) -> Decimal:
        return exact_sum(self.line_nets)


def apply_discounts(
    lines: Sequence[DiscountableLine],
    discounts: Sequence[LineDiscount],
    rounding: Rounding | None,
    *,
    order: Order = "as_given",
    spread: Spread = "largest_remainder",
    share_rounding: Rounding | None = None,
) -> Discounted:
    """Take the discounts off the lines, one after the other.

    A percentage is rounded by `rounding`. `spread` "proportional" rounds every share by `share_rounding`
    and does not repair the sum; "sequential" fills the first line, then the next. A line is never
    discounted below zero.
    """
    with exact_arithmetic():
        taken = [line.already_discounted for line in lines]
        amounts = [ZERO] * len(discounts)
        for index in _ordered(discounts, order):
            discount = discounts[index]
            chosen = [
                position for position, line in enumerate(lines) if discount.lines is None or line.id in discount.lines
            ]
            left = [max(ZERO, lines[position].amount - taken[position]) for position in chosen]
            amounts[index] = _amount(discount, exact_sum(left), rounding)
            shares = spread_over(left, amounts[index], rounding, spread=spread, share_rounding=share_rounding)
            for position, share in zip(chosen, shares, strict=True):
                taken[position] += share
        nets = tuple(line.amount - part for line, part in zip(lines, taken, strict=True))
    return Discounted(tuple(amounts), tuple(taken), nets)


def _ordered(discounts: Sequence[LineDiscount], order: Order) -> list[int]:
    indexes = list(range(len(discounts)))
    if order == "percent_first":
        indexes.sort(key=lambda index: discounts[index].kind != "percent")
    return indexes


def _amount(discount: LineDiscount, base: Decimal, rounding: Rounding | None) -> Decimal:
    """What the discount takes off its base, between nothing and all of it."""
    if discount.kind == "percent":
        amount = rounded(Fraction(base) * Fraction(discount.value) / 100, rounding)
    else:
        amount = discount.value - discount.used
    return max(ZERO, min(amount, base))


def spread_over(
    left: Sequence[Decimal],
    amount: Decimal,
    rounding: Rounding | None,
    *,
    spread: Spread = "largest_remainder",
    share_rounding: Rounding | None = None,
) -> list[Decimal]:
    """The part of an amount that each line bears, in line order, by what is left of each.

    The largest remainder counts in units of `share_rounding`, else `rounding`, or of the amount where it is finer.
    """
    if not amount:
        return [ZERO for _ in left]
    if spread == "sequential":
        shares = []
        for room in left:
            share = min(amount, room)
            shares.append(share)
            amount -= share
        return shares
    if spread == "largest_remainder":
        unit = share_rounding or rounding
        return split(amount, left, max(unit.places if unit else 0, decimals(amount)))
    base = Fraction(exact_sum(left))
    return [rounded(Fraction(amount) * Fraction(room) / base, share_rounding) for room in left]
