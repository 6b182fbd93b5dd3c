"""Reading a meter's value out of an event's data: a number, a text, or the reason why there is none."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from catalog.money import NUMBER, decimals, quantity_text

MAX_DIGITS = 38  # written out plainly, before and after the point together


@dataclass(frozen=True, slots=True)
class MissingValue:
    """The property is absent or null."""

    path: str


@dataclass(frozen=True, slots=True)
class InvalidValue:
    """The property holds something that is not a usable value."""

    path: str
    detail: str


ABSENT = object()
_TOO_LARGE = 10**MAX_DIGITS


def read_value(data: Mapping[str, object], path: str) -> Decimal | MissingValue | InvalidValue:
    """The exact number at `path`: a JSON number (int or Decimal) or a numeric string of up to 38 digits.

    `path` is a property name, or a dotted way into nested objects. Booleans, floats, NaN, infinities and
    anything else are an InvalidValue. Nothing is expanded before its size is known.
    """
    found = property_at(data, path)
    if found is None or found is ABSENT:
        return MissingValue(path)
    if isinstance(found, str):
        if len(found) > 3 * MAX_DIGITS or not NUMBER.fullmatch(found):
            return InvalidValue(path, f"{found[:40]!r} is not a decimal number")
        return _bounded(Decimal(found), path)
    if isinstance(found, Decimal):
        return _bounded(found, path)
    if isinstance(found, int) and not isinstance(found, bool):
        if abs(found) >= _TOO_LARGE:
            return InvalidValue(path, f"a value has at most {MAX_DIGITS} digits")
        return Decimal(found)
    return InvalidValue(path, f"a {type(found).__name__} is not a number")


def read_text(data: Mapping[str, object], path: str) -> str | MissingValue | InvalidValue:
    """The text at `path` that distinct values and groups are told apart by.

    Strings are taken as they are, numbers in plain decimal notation (1 and 1.0 are the same), true and false
    as words.
    """
    found = property_at(data, path)
    if found is None or found is ABSENT:
        return MissingValue(path)
    if isinstance(found, str):
        return found
    if isinstance(found, bool):
        return "true" if found else "false"
    if isinstance(found, int | Decimal):
        number = read_value({path: found}, path)
        return quantity_text(number) if isinstance(number, Decimal) else number
    return InvalidValue(path, f"a {type(found).__name__} is not a text or a number")


def property_at(data: Mapping[str, object], path: str) -> object:
    """The property itself, else what the dotted path leads to; ABSENT where there is nothing."""
    if path in data:
        return data[path]
    found: object = data
    for name in path.split("."):
        if not isinstance(found, Mapping) or name not in found:
            return ABSENT
        found = found[name]
    return found


def _bounded(number: Decimal, path: str) -> Decimal | InvalidValue:
    if not number.is_finite():
        return InvalidValue(path, f"{number} is not a finite number")
    if number.is_zero():
        return Decimal(0)
    # Only the exponent is looked at until it is known to be small.
    if abs(number.adjusted()) > MAX_DIGITS or decimals(number) + max(number.adjusted() + 1, 1) > MAX_DIGITS:
        return InvalidValue(path, f"a value has at most {MAX_DIGITS} digits")
    return number
