"""Money and exact numbers: the one place where an amount is rounded or divided.

Every number is a `Decimal`; a float is refused. Sums and products are exact (`exact_arithmetic`), and a ratio
is a `Fraction` until it is rounded once, half up with ties away from zero, to the currency's minor unit.
"""

import re
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from decimal import (
    ROUND_CEILING,
    ROUND_FLOOR,
    ROUND_HALF_EVEN,
    ROUND_HALF_UP,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
    localcontext,
)
from fractions import Fraction
from typing import Literal

from moneyed import CURRENCIES

RoundingMode = Literal["half_up", "half_even", "ceil", "floor"]
Number = int | str | Decimal

ZERO, ONE = Decimal(0), Decimal(1)

# Wide enough for any product of bounded inputs; what does not fit raises instead of losing a digit.
_EXACT = Context(prec=1000, traps=[InvalidOperation, DivisionByZero, Overflow, Inexact])
_ROUNDING = {
    "half_up": ROUND_HALF_UP,
    "half_even": ROUND_HALF_EVEN,
    "ceil": ROUND_CEILING,
    "floor": ROUND_FLOOR,
}
_WIDE = {name: Context(prec=1000, rounding=mode) for name, mode in _ROUNDING.items()}

# A number as text: plain or scientific, ASCII digits, no blanks or underscores.
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_MAX_PLACES = 200  # digits on either side of the decimal point; money and usage never come near

# Where the currency list differs from how the currency is used: the ariary has fifths, no decimal part.
_PLACES_OVERRIDES = {"MGA": 0}
# ISO 4217 codes of metals, units of account and tests: nothing is billed in them, and they have no minor unit.
_NO_CURRENCIES = frozenset(["XAG", "XAU", "XBA", "XBB", "XBC", "XBD", "XDR", "XPD", "XPT", "XSU", "XTS", "XUA", "XXX"])


class UnknownCurrency(ValueError):
    """A currency code that is not an ISO 4217 code we know."""


class UnableToSplit(ValueError):
    """An amount that cannot be divided as asked, so that the parts would not sum back."""


def exact(value: Number) -> Decimal:
    """An exact decimal from an int, a plain or scientific decimal string, or a Decimal.

    Floats, booleans and other types raise TypeError; text that is no number, NaN, infinities and numbers of
    absurd size raise ValueError.
    """
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise TypeError(f"a number must be an int, a decimal string or a Decimal, not {type(value).__name__}")
    if isinstance(value, str):
        if len(value) > 2 * _MAX_PLACES or not NUMBER.fullmatch(value):
            raise ValueError(f"{value[:60]!r} is not a decimal number")
    elif isinstance(value, int) and value.bit_length() > 4 * _MAX_PLACES:
        raise ValueError("the number is too large")
    number = Decimal(value)
    if not number.is_finite():
        raise ValueError(f"{number} is not a finite number")
    exponent = number.as_tuple().exponent
    if number.adjusted() >= _MAX_PLACES or (isinstance(exponent, int) and abs(exponent) > _MAX_PLACES):
        raise ValueError("the number is too large or has too many decimals")
    return number


def decimals(number: Decimal) -> int:
    """How many digits after the point the number needs; trailing zeros do not count."""
    exponent = number.normalize(context=_EXACT).as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def exact_arithmetic() -> AbstractContextManager[Context]:
    """A context in which sums and products keep every digit, and a lost digit raises `decimal.Inexact`."""
    return localcontext(_EXACT)


def exact_sum(amounts: Iterable[Decimal]) -> Decimal:
    """The sum of amounts with every digit kept."""
    with exact_arithmetic():
        return sum(amounts, ZERO)


def minor_places(currency: str) -> int:
    """Decimal places of a currency's minor unit, 0 to 4; raises UnknownCurrency."""
    if currency in _PLACES_OVERRIDES:
        return _PLACES_OVERRIDES[currency]
    known = CURRENCIES.get(currency)
    if known is None or currency in _NO_CURRENCIES:
        raise UnknownCurrency(f"{currency!r} is not a currency code; use an ISO 4217 code such as EUR")
    return len(str(known.sub_unit)) - 1


@dataclass(frozen=True, slots=True)
class Rounding:
    """How and where to round, as a value."""

    places: int
    mode: RoundingMode = "half_up"

    def of(self, amount: Decimal | Fraction) -> Decimal:
        return quantize(amount, self.places, self.mode)


def rounded(amount: Decimal | Fraction, rounding: Rounding | None) -> Decimal:
    """The amount as rounded; with no rounding exact, to 30 decimals where a ratio has no end."""
    return decimal_of(Fraction(amount)) if rounding is None else rounding.of(amount)


def money_rounding(currency: str) -> Rounding:
    """To the currency's minor unit, half up."""
    return Rounding(minor_places(currency))


def decimal_of(ratio: Fraction, places: int = 30) -> Decimal:
    """The ratio as a decimal: exact where it ends, else rounded half up to `places` decimals."""
    rest, fives = ratio.denominator, 0
    twos = (rest & -rest).bit_length() - 1
    rest >>= twos
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    if rest != 1:
        return quantize(ratio, places)
    shift = max(twos, fives)
    return Decimal(ratio.numerator * 10**shift // ratio.denominator).scaleb(-shift, context=_EXACT)


def quantize(amount: Decimal | Fraction, places: int, mode: RoundingMode = "half_up") -> Decimal:
    """`amount` rounded to `places` decimals; negative places round to tens, hundreds and so on.

    half_up sends ties away from zero, half_even to the even neighbour; ceil goes up, floor down. A Fraction
    is rounded from its exact value.
    """
    if isinstance(amount, Fraction):
        return _rounded_ratio(amount, places, mode)
    rounded = amount.quantize(Decimal((0, (1,), -places)), context=_WIDE[mode])
    return _plain(rounded)


def _rounded_ratio(amount: Fraction, places: int, mode: RoundingMode) -> Decimal:
    scaled = amount * Fraction(10) ** places
    below = scaled.numerator // scaled.denominator
    rest = scaled - below
    if mode == "floor" or rest == 0:
        whole = below
    elif mode == "ceil":
        whole = below + 1
    elif rest != Fraction(1, 2):
        whole = below + (rest > Fraction(1, 2))
    elif mode == "half_even":
        whole = below + below % 2
    else:
        whole = below + (amount > 0)
    return _plain(Decimal(whole).scaleb(-places, context=_EXACT))


def _plain(number: Decimal) -> Decimal:
    """The same number without a positive exponent or a negative zero."""
    exponent = number.as_tuple().exponent
    if isinstance(exponent, int) and exponent > 0:
        number = number.quantize(Decimal(1), context=_EXACT)
    return abs(number) if number.is_zero() else number


def round_money(amount: Decimal | Fraction, currency: str) -> Decimal:
    """`amount` at the currency's minor unit, half up, ties away from zero."""
    return quantize(amount, minor_places(currency))


def minor_units(amount: Decimal, places: int, step: int = 1, mode: RoundingMode = "half_up") -> int:
    """The amount as a count of minor units, for a payment processor that wants them.

    `places` are the processor's decimals for the currency, usually `minor_places`; `step` is the multiple it
    takes, as where amounts of three decimals must end in zero.
    """
    return int(quantize(Fraction(amount) * 10**places / step, 0, mode)) * step


def split(amount: Decimal, weights: Sequence[Decimal], places: int) -> list[Decimal]:
    """Divide `amount` in proportion to `weights` into parts of `places` decimals that sum back exactly.

    Largest remainder: every part is cut off towards zero, then the missing units go to the parts that lost
    most, ties in input order. A negative amount is split like its opposite. Raises UnableToSplit when a
    weight is negative, when the amount has more decimals than `places`, or when there is something to divide
    and all weights are zero.
    """
    if any(weight < 0 for weight in weights):
        raise UnableToSplit("a weight must not be negative")
    if quantize(amount, places) != amount:
        raise UnableToSplit(f"{amount} has more than {places} decimals; round it before splitting")
    if amount == 0:
        return [quantize(ZERO, places) for _ in weights]
    total = sum((Fraction(weight) for weight in weights), Fraction(0))
    if total == 0:
        raise UnableToSplit(f"nothing to divide {amount} in proportion to: all weights are zero")

    units = int(abs(Fraction(amount)) * Fraction(10) ** places)
    shares = [units * Fraction(weight) / total for weight in weights]
    wholes = [int(share) for share in shares]
    by_loss = sorted(range(len(shares)), key=lambda index: wholes[index] - shares[index])
    for index in by_loss[: units - sum(wholes)]:
        wholes[index] += 1

    sign = -1 if amount < 0 else 1
    parts = [_plain(Decimal(sign * whole).scaleb(-places, context=_EXACT)) for whole in wholes]
    assert exact_sum(parts) == amount, "the parts of a split must sum back to the amount"
    return parts


def split_near(amount: Decimal, shares: Sequence[Fraction], places: int) -> list[Decimal]:
    """Divide `amount` into parts of `places` decimals, each next to its exact share, that sum back to it.

    Shares may be of either sign, and need not add up to the amount: every one is cut off downwards, then the missing
    units go to those that lost most, ties in input order. Of what is split like this, nothing is left to split again.
    """
    unit = Fraction(10) ** places
    wholes = [(share * unit).__floor__() for share in shares]
    by_loss = sorted(range(len(shares)), key=lambda index: wholes[index] - shares[index] * unit)
    missing = int(Fraction(amount) * unit) - sum(wholes)
    for place, index in enumerate(by_loss):
        wholes[index] += missing // len(shares) + (place < missing % len(shares))
    return [_plain(Decimal(whole).scaleb(-places, context=_EXACT)) for whole in wholes]


def money_text(amount: Decimal, currency: str) -> str:
    """The amount with exactly the currency's places, as in "5.00"; an unrounded amount raises ValueError."""
    places = minor_places(currency)
    rounded = quantize(amount, places)
    if rounded != amount:
        raise ValueError(f"{amount} is not a whole number of minor units of {currency}; round it first")
    return format(rounded, "f")


def quantity_text(value: Decimal) -> str:
    """The number as a plain decimal string: no exponent, no trailing zeros."""
    if value.is_zero():
        return "0"
    return format(value.normalize(context=_EXACT), "f")
