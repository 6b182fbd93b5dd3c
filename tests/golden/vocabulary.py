"""The vocabulary of golden cases: how their numbers, instants and roundings read, and how outcomes compare.

An adapter turns the input of one kind of case into a call of the product and names every key it
understands; a case with any other key fails, so that nothing is ignored by accident.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from billing.rating.proration import Share
from catalog.money import NUMBER, Rounding, exact
from catalog.periods import Interval, as_utc

Input = Mapping[str, Any]
Outcome = Mapping[str, Any]

INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
INFORMATIONAL = frozenset({"kind", "tolerance", "currency"})


@dataclass(frozen=True)
class Adapter:
    """What runs a kind of case, and the input keys it understands."""

    run: Callable[[Input], Outcome]
    keys: frozenset[str]


ADAPTERS: dict[str, Adapter] = {}


def adapts(kind: str, *keys: str) -> Callable[[Callable[[Input], Outcome]], Callable[[Input], Outcome]]:
    """Register the adapter of a kind of case with the input keys it understands."""

    def register(run: Callable[[Input], Outcome]) -> Callable[[Input], Outcome]:
        ADAPTERS[kind] = Adapter(run, INFORMATIONAL | set(keys))
        return run

    return register


def number(text: str | None) -> Decimal:
    assert text is not None
    return exact(text)


def optional(text: str | None) -> Decimal | None:
    return None if text is None else exact(text)


def whole(text: str) -> int:
    count = int(number(text))
    assert count == number(text)
    return count


def instant(text: str) -> datetime:
    assert INSTANT.fullmatch(text), text
    return as_utc(datetime.fromisoformat(text))


def day(text: str) -> date:
    """A plain date, which golden cases write as its midnight in UTC."""
    return instant(text).date()


def rounding(value: Mapping[str, str] | None) -> Rounding | None:
    if value is None:
        return None
    mode = value["mode"]
    assert mode in ("half_up", "half_even", "ceil", "floor"), mode
    return Rounding(whole(value["places"]), mode)  # type: ignore[arg-type]


def fraction(value: Mapping[str, str]) -> Share:
    assert set(value) == {"numerator", "denominator"}, value
    return Share(number(value["numerator"]), number(value["denominator"]))


def chosen(input: Input, name: str, default: str, *others: str) -> Any:
    """A policy of a case; the word has to be one of the vocabulary's."""
    value = input.get(name) or default
    assert value in (default, *others), value
    return value


def interval(value: Mapping[str, str]) -> Interval:
    return Interval(value["unit"], whole(value.get("count") or "1"))  # type: ignore[arg-type]


def zone(value: Input) -> ZoneInfo:
    return ZoneInfo(value.get("timezone") or "UTC")


def differences(expected: object, actual: object, tolerance: Decimal, path: str = "") -> list[str]:
    """Every place where the outcome differs from what is expected; numbers compare as numbers."""
    if isinstance(expected, dict):
        if not isinstance(actual, Mapping):
            return [f"{path}: expected an object, got {actual!r}"]
        missing = [f"{path}.{key}: missing" for key in expected if key not in actual]
        extra = [f"{path}.{key}: not expected" for key in actual if path and key not in expected]
        return (
            missing
            + extra
            + [
                found
                for key, value in expected.items()
                if key in actual
                for found in differences(value, actual[key], tolerance, f"{path}.{key}")
            ]
        )
    if isinstance(expected, list):
        if not isinstance(actual, list | tuple) or len(actual) != len(expected):
            return [f"{path}: expected {expected}, got {actual}"]
        pairs = enumerate(zip(expected, actual, strict=True))
        return [found for n, (one, other) in pairs for found in differences(one, other, tolerance, f"{path}.{n}")]
    return [] if _same(expected, actual, tolerance) else [f"{path}: expected {expected}, got {actual}"]


def _same(expected: object, actual: object, tolerance: Decimal) -> bool:
    if isinstance(expected, str) and isinstance(actual, datetime):
        return instant(expected) == actual
    if isinstance(expected, str) and isinstance(actual, date):
        return day(expected) == actual
    if isinstance(expected, str) and isinstance(actual, int | Decimal) and NUMBER.fullmatch(expected):
        return abs(exact(expected) - exact(actual)) <= tolerance
    return type(expected) is type(actual) and expected == actual
