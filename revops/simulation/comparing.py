"""Does the outcome hold what was expected? What is not named is not compared."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from catalog.money import NUMBER


@dataclass(frozen=True, slots=True)
class Mismatch:
    path: str
    expected: Any
    actual: Any


def differences(expected: Any, actual: Any, path: str) -> list[Mismatch]:
    """Where the actual value does not hold the expected one.

    Objects are compared by the keys that are named, decimal strings as numbers, instants as instants. Each item of an
    expected list must be held by an item of its own; an empty list holds nothing else.
    """
    if isinstance(expected, Mapping):
        if not isinstance(actual, Mapping):
            return [_mismatch(path, expected, actual)]
        return [
            found
            for key, value in expected.items()
            for found in differences(value, actual.get(str(key)), f"{path}.{key}" if path else str(key))
        ]
    if isinstance(expected, list | tuple):
        if not isinstance(actual, Sequence) or isinstance(actual, str) or (not expected and actual):
            return [_mismatch(path, expected, actual)]
        return _in_any_order(expected, actual, path)
    return [] if _same(expected, actual) else [_mismatch(path, expected, actual)]


def _in_any_order(expected: Sequence[Any], actual: Sequence[Any], path: str) -> list[Mismatch]:
    """Pair each expected item with the actual one it differs least from."""
    found = [
        [differences(wanted, given, f"{path}[{index}]") for given in actual] for index, wanted in enumerate(expected)
    ]
    pairs = _exact_pairs([[not one for one in row] for row in found])
    spare = [place for place in range(len(actual)) if place not in pairs.values()]
    mismatches: list[Mismatch] = []
    for index, wanted in enumerate(expected):
        if index in pairs:
            continue
        if not spare:
            mismatches.append(_mismatch(f"{path}[{index}]", wanted, None))
            continue
        best = min(spare, key=lambda place: len(found[index][place]))
        spare.remove(best)
        mismatches += found[index][best]
    return mismatches


def _exact_pairs(fits: Sequence[Sequence[bool]]) -> dict[int, int]:
    """Expected index -> actual index for as many as can be paired exactly (augmenting paths)."""
    holder: dict[int, int] = {}

    def place(index: int, tried: set[int]) -> bool:
        for slot, fit in enumerate(fits[index]):
            if fit and slot not in tried:
                tried.add(slot)
                if slot not in holder or place(holder[slot], tried):
                    holder[slot] = index
                    return True
        return False

    for index in range(len(fits)):
        place(index, set())
    return {index: slot for slot, index in holder.items()}


def _same(expected: Any, actual: Any) -> bool:
    if isinstance(expected, bool) or isinstance(actual, bool) or expected is None or actual is None:
        return expected is actual
    first, second = _plain(expected), _plain(actual)
    if isinstance(first, str) and isinstance(second, str) and first != second:
        number, other = _number(first), _number(second)
        if number is not None and other is not None:
            return number == other
        instant, moment = _instant(first), _instant(second)
        return instant is not None and instant == moment
    return bool(first == second)


def _plain(value: Any) -> Any:
    """A value as JSON has it, numbers as text."""
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat()
    if isinstance(value, dt.date):
        return value.isoformat()
    return str(value) if isinstance(value, int | Decimal) else value


def _number(text: str) -> Decimal | None:
    return Decimal(text) if NUMBER.fullmatch(text) else None


def _instant(text: str) -> dt.datetime | None:
    try:
        instant = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return instant if instant.tzinfo else None


def _mismatch(path: str, expected: Any, actual: Any) -> Mismatch:
    return Mismatch(path, _as_json(expected), _as_json(actual))


def _as_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(item) for item in value]
    return value if isinstance(value, bool | int) or value is None else _plain(value)
