"""The parts a price is made of, in exact fractions, and how numbers read in an explanation."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from catalog.money import ONE, decimal_of, decimals, quantize


class UnableToCharge(ValueError):
    """A price that cannot be worked out from what was given."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one step of a price adds; with a quantity and a unit amount, the amount is their product."""

    description: str
    quantity: Fraction | None
    unit_amount: Fraction | None
    amount: Fraction


def units_part(description: str, units: Fraction, unit_amount: Fraction) -> Part:
    return Part(description, units, unit_amount, units * unit_amount)


def flat_part(description: str, amount: Decimal) -> Part:
    return units_part(description, Fraction(ONE), Fraction(amount))


def note(description: str) -> Part:
    return Part(description, None, None, Fraction(0))


def range_text(below: Fraction, up_to: Decimal | None) -> str:
    if up_to is None:
        return f"over {spoken(decimal_of(below))}" if below else "all units"
    return f"over {spoken(decimal_of(below))} up to {spoken(up_to)}" if below else f"up to {spoken(up_to)}"


def spoken(number: Decimal, places: int = 0) -> str:
    """A number for people, with at least `places` decimals: "1,000", "0.002", "5.00"."""
    return format(quantize(number, max(places, decimals(number))), ",f")
