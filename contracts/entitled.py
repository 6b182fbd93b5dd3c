"""What a contract lets its customer use on a day: what its lines give, and what it says otherwise. Pure.

Where several lines give one feature, their limits add up, and anything one of them allows is allowed; what cannot be
put together (the meter, when it begins anew, thresholds, rollover, a value) is that of the first line. Of the terms of
the contract itself the one that began last counts, field by field; what they give `extra` adds up.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Literal

from catalog.money import ZERO, exact_sum
from catalog.periods import Interval

Kind = Literal["boolean", "static", "metered"]
Reset = Literal["billing_period", "day", "week", "month"]
OnLimit = Literal["restrict", "warn", "bill"]

USUAL_THRESHOLDS = (50, 90, 100)
MOST_GENEROUS: Sequence[OnLimit] = ("bill", "warn", "restrict")


@dataclass(frozen=True, slots=True)
class Rollover:
    """`percent` of what is left of a period's own allowance, at most `cap` units in all, stays for `periods` more."""

    percent: Decimal
    cap: Decimal | None
    periods: int


@dataclass(frozen=True, slots=True)
class EntitlementTerms:
    """A feature as agreed. `limit` None: as much as they like; `interval` is how long its allowance lasts."""

    feature: str
    kind: Kind
    value: Any = None
    meter_id: int | None = None
    meter: str = ""
    unit: str = ""
    limit: Decimal | None = None
    reset: Reset = "billing_period"
    on_limit: OnLimit = "restrict"
    thresholds: tuple[int, ...] = ()
    rollover: Rollover | None = None
    interval: Interval | None = None
    adds_up: bool = False
    """Whether its use is a sum or a count."""

    @property
    def is_limited(self) -> bool:
        return self.kind == "metered" and self.limit is not None


@dataclass(frozen=True, slots=True)
class AllowanceTerms:
    """What a contract says of a feature from one day to another: `changes` are fields of `EntitlementTerms`.

    `kind` is what it is where no plan gives the feature.
    """

    feature: str
    starts_on: dt.date
    ends_on: dt.date | None
    changes: Mapping[str, Any] = field(default_factory=dict)
    extra: Decimal = ZERO
    kind: Kind = "boolean"

    def holds_on(self, day: dt.date) -> bool:
        return self.starts_on <= day and (self.ends_on is None or day < self.ends_on)


def entitlements_on(
    day: dt.date,
    given: Iterable[tuple[Interval, Sequence[EntitlementTerms]]],
    others: Sequence[AllowanceTerms],
    interval: Interval,
) -> dict[str, EntitlementTerms]:
    """Feature -> its terms, without what is extra; `given` is what each line has, with the interval of its plan."""
    found: dict[str, EntitlementTerms] = {}
    for plan_interval, terms in given:
        for one in terms:
            lasting = replace(one, interval=_lasting(one.reset, plan_interval))
            found[one.feature] = _together(found[one.feature], lasting) if one.feature in found else lasting
    for other in sorted((one for one in others if one.holds_on(day)), key=lambda one: one.starts_on):
        after = replace(found.get(other.feature) or _beside_the_plans(other, interval), **other.changes)
        if "reset" in other.changes:
            after = replace(after, interval=_lasting(after.reset, interval))
        found[other.feature] = after
    return found


def extra_units(feature: str, first: dt.date, day: dt.date, others: Iterable[AllowanceTerms]) -> Decimal:
    """What is given beside the limit in a period that begins on `first`: all that began by `day` and touches it."""
    return exact_sum(
        one.extra
        for one in others
        if one.feature == feature and one.starts_on <= day and (one.ends_on is None or first < one.ends_on)
    )


def _beside_the_plans(one: AllowanceTerms, interval: Interval) -> EntitlementTerms:
    if one.kind != "metered":
        return EntitlementTerms(one.feature, one.kind, interval=interval)
    return EntitlementTerms(one.feature, one.kind, limit=ZERO, thresholds=USUAL_THRESHOLDS, interval=interval)


def _together(one: EntitlementTerms, other: EntitlementTerms) -> EntitlementTerms:
    """Two that hold at once."""
    if one.kind == "boolean":
        return other if one.value is False else one
    if one.kind != "metered" or other.meter_id != one.meter_id:
        return one
    unlimited = one.limit is None or other.limit is None
    limit = None if unlimited else exact_sum(part for part in (one.limit, other.limit) if part is not None)
    return replace(one, limit=limit, on_limit=min(one.on_limit, other.on_limit, key=MOST_GENEROUS.index))


def all_together(found: Sequence[EntitlementTerms]) -> EntitlementTerms:
    """What several contracts give of one feature; the first of them leads."""
    first, *rest = found
    for one in rest:
        first = _together(first, one)
    return first


def _lasting(reset: Reset, plan_interval: Interval) -> Interval:
    return plan_interval if reset == "billing_period" else Interval(reset)
