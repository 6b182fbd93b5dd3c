"""Which usage of its meter a price takes, and in which pieces. Pure.

Among the prices of a version on one meter each unit of use is taken once by those with filters: the first whose filters
match. A price without filters takes the rest: what none of them takes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

Combine = Literal["rate_each_bucket", "sum_then_rate"]

# (property, the values it may have); all of them must hold. None: the property is absent.
Filter = tuple[tuple[str, tuple[str | None, ...]], ...]

DAY = timedelta(days=1)
_WINDOW = re.compile(r"P(?:T(?:(?P<hours>\d{1,2})H)?(?:(?P<minutes>\d{1,3})M)?|(?P<day>1)D)")
_NAMED = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": DAY}


@dataclass(frozen=True, slots=True)
class Selection:
    """`only`: the filters of the price; `besides`: what other prices take before it.

    `window` is the length of the pieces that are aggregated each by itself, in local time; `by_event` asks for single
    events in order, with the value of `dimension`.
    """

    only: Filter = ()
    besides: tuple[Filter, ...] = ()
    window: timedelta | None = None
    combine: Combine = "rate_each_bucket"
    by_event: bool = False
    dimension: str = ""

    @property
    def is_everything(self) -> bool:
        """Whether every event of the meter is taken."""
        return not self.only and not self.besides

    @property
    def is_plain(self) -> bool:
        """Whether the total of the meter answers it."""
        return self.is_everything and self.window is None and not self.by_event

    def takes(self, dimensions: Sequence[str], values: Sequence[str | None]) -> bool:
        """Whether use with these values of the meter's dimensions is the price's."""
        if self.is_everything:
            return True
        found = dict(zip(dimensions, values, strict=True))
        return passes(self.only, found) and not any(passes(other, found) for other in self.besides)

    def as_json(self) -> dict[str, Any]:
        """What names the events behind a line: the filters alone."""
        if self.is_everything:
            return {}
        return {"only": _lists(self.only), "besides": [_lists(other) for other in self.besides]}


EVERYTHING = Selection()


def from_json(stored: Mapping[str, Any]) -> Selection:
    """The filters as `as_json` wrote them."""
    return Selection(
        only=filter_of(stored.get("only", {})), besides=tuple(filter_of(other) for other in stored.get("besides", ()))
    )


def filter_of(stated: Mapping[str, Iterable[Any]]) -> Filter:
    """`{property: [values]}` as a value, in the order of the properties' names."""
    return tuple((name, tuple(text_of(value) for value in stated[name])) for name in sorted(stated))


def passes(only: Filter, values: Mapping[str, str | None]) -> bool:
    return all(values.get(name) in allowed for name, allowed in only)


def text_of(value: object) -> str | None:
    """A value of a filter as a dimension holds it."""
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def parse_window(text: str) -> timedelta:
    """`PT1M` to `PT12H`, `P1D`, or minute, hour, day. Raises ValueError unless a day holds a whole number of them."""
    length = _NAMED.get(text)
    matched = _WINDOW.fullmatch(text)
    if matched is not None:
        parts = {name: int(number or 0) for name, number in matched.groupdict().items()}
        length = timedelta(days=parts["day"], hours=parts["hours"], minutes=parts["minutes"])
    if not length or DAY % length:
        raise ValueError(f"{text!r} is no window: give a part of a day such as PT15M, PT1H or P1D")
    return length


def _lists(only: Filter) -> dict[str, list[str | None]]:
    return {name: list(values) for name, values in only}
