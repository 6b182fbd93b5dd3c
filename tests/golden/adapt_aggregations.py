"""Aggregations: the events of a case become samples of the pure fold."""

import operator
import re
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from billing.metering.aggregation import (
    Sample,
    active_values,
    fold,
    fold_windows,
    keep_latest,
    matches,
    value_or_none,
    window_of,
)
from billing.metering.readings import read_text, read_value
from billing.rating.charges import converted
from catalog.money import ZERO, exact_sum, rounded
from catalog.periods import Period
from catalog.pricing import UnitConversion
from tests.golden.vocabulary import (
    ADAPTERS,
    INFORMATIONAL,
    Adapter,
    Input,
    Outcome,
    adapts,
    chosen,
    instant,
    number,
    optional,
    rounding,
    zone,
)

KEYS = {
    "aggregation",
    "period_start",
    "period_end",
    "period_end_inclusive",
    "events",
    "dedup",
    "filter",
    "stored_at_filter",
    "rounding",
    "non_numeric",
    "initial_value",
    "empty_result",
    "negative_result",
    "group_by",
    "window",
    "timezone",
}
EVENT_KEYS = {"timestamp", "value", "id", "operation", "properties", "stored_at", "subject"}
DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")
COMPARISONS: dict[str, Callable[[datetime, datetime], bool]] = {
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
}
MICROSECOND = timedelta(microseconds=1)
Event = dict[str, Any]
Pairs = list[tuple[Event, Sample]]
Value = Callable[[Input, Pairs, Period], Decimal | None]


def duration(text: str) -> timedelta:
    """An ISO 8601 duration of days, hours, minutes and seconds."""
    found = DURATION.fullmatch(text)
    assert found, text
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def period_of(input: Input) -> Period:
    """An inclusive end takes in the events of that instant."""
    after = MICROSECOND if input.get("period_end_inclusive") else timedelta()
    return Period(instant(input["period_start"]), instant(input["period_end"]) + after)


def sample(event: Event, clock: int, value_property: str | None = None) -> Sample:
    """An event as the meter reads it; a value that is missing or not a number counts as none."""
    assert set(event) <= EVENT_KEYS, event
    assert event.get("operation") in (None, "add", "remove"), event
    read = read_value(event, "value")
    text = read_text(event, "value") if value_property is None else read_text(data(event), value_property)
    return Sample(
        value=read if isinstance(read, Decimal) else None,
        at=instant(event["timestamp"]),
        clock=clock,
        unique=text if isinstance(text, str) else None,
        id=event.get("id"),
        removes=event.get("operation") == "remove",
    )


def data(event: Event) -> Event:
    """The properties of an event, with its top-level keys behind them."""
    return {**event, **(event.get("properties") or {})}


def in_scope(input: Input) -> Pairs:
    """The events that are aggregated: deduplicated, inside the period, through the filters; in list order."""
    property_ = input.get("value_property")
    pairs = [(event, sample(event, clock, property_)) for clock, event in enumerate(input["events"])]
    if chosen(input, "dedup", "none", "by_id_keep_latest") != "none":
        kept = keep_latest(one for _, one in pairs)
        pairs = [(event, one) for event, one in pairs if any(one is other for other in kept)]
    period, filters = period_of(input), input.get("filter") or {}
    return [
        (event, one)
        for event, one in pairs
        if period.contains(one.at) and matches(data(event), filters) and stored_in_time(input, event)
    ]


def stored_in_time(input: Input, event: Event) -> bool:
    stored_at = instant(event.get("stored_at") or event["timestamp"])
    limits = input.get("stored_at_filter") or {}
    return all(COMPARISONS[name](stored_at, instant(limit)) for name, limit in limits.items())


def aggregates(kind: str, *keys: str) -> Callable[[Value], Value]:
    """Register what gives a kind its value: over the period, and over each of its groups and windows."""

    def register(value: Value) -> Value:
        def run(input: Input) -> Outcome:
            period, pairs = period_of(input), in_scope(input)
            outcome: dict[str, Any] = {"value": ending(input, value(input, pairs, period))}
            if input.get("group_by"):
                grouped = groups(pairs, input["group_by"])
                outcome["groups"] = {
                    name: ending(input, value(input, group, period)) for name, group in grouped.items()
                }
            if input.get("window"):
                outcome["windows"] = [
                    {
                        "start": window.starts_at,
                        "end": window.ends_at,
                        "value": ending(input, value(input, inside, window.overlap(period) or period)),
                    }
                    for window, inside in sorted(in_windows(input, pairs).items(), key=lambda found: found[0])
                ]
            return outcome

        ADAPTERS[kind] = Adapter(run, INFORMATIONAL | KEYS | set(keys))
        return value

    return register


def ending(input: Input, value: Decimal | None) -> Decimal | None:
    """The value as the case wants it: not below zero where it says so, null or zero where nothing was there."""
    empty = "null" if input.get("empty_result", "") is None else chosen(input, "empty_result", "zero", "null")
    if value is None:
        return None if empty == "null" else ZERO
    return max(ZERO, value) if chosen(input, "negative_result", "as_is", "clamp_to_zero") != "as_is" else value


def groups(pairs: Pairs, by: str) -> dict[str, Pairs]:
    grouped: dict[str, Pairs] = {}
    for event, one in pairs:
        name = read_text(data(event), by)
        grouped.setdefault(name if isinstance(name, str) else "null", []).append((event, one))
    return grouped


def in_windows(input: Input, pairs: Pairs) -> dict[Period, Pairs]:
    """The events of each whole window, also where the period covers only a part of it."""
    windows: dict[Period, Pairs] = {}
    for event, one in pairs:
        window = window_of(one.at, duration(input["window"]), zone(input))
        windows.setdefault(window, []).append((event, one))
    return windows


def folded(input: Input, name: str, samples: Iterable[Sample], period: Period, to: Any = None) -> Decimal | None:
    initial = optional(input.get("initial_value"))
    return value_or_none(name, fold(name, samples, period), period, initial=initial, rounding=to)


def folds(input: Input, pairs: Pairs, period: Period) -> Decimal | None:
    samples = [one for _, one in pairs]
    return folded(input, input["aggregation"], samples, period, rounding(input.get("rounding")))


for known in ("count", "sum", "min", "max", "avg", "latest"):
    aggregates(known)(folds)


@aggregates("weighted_sum")
def weighted_sum(input: Input, pairs: Pairs, period: Period) -> Decimal | None:
    """What changes at an inclusive end weighs nothing, and the period is no longer for it."""
    half_open = Period(period.starts_at, min(period.ends_at, instant(input["period_end"])))
    return folds(input, [(event, one) for event, one in pairs if half_open.contains(one.at)], half_open)


@aggregates("unique_count", "value_property", "initial_active")
def unique_count(input: Input, pairs: Pairs, period: Period) -> Decimal | None:
    """Distinct values of a property, or what additions and removals leave active at the end."""
    if input.get("value_property"):
        return folds(input, pairs, period)
    active = active_values([one for _, one in pairs], input.get("initial_active") or [])
    return rounded(Decimal(len(active)), rounding(input.get("rounding")))


@aggregates("sum_with_multiplier", "multiplier")
def sum_with_multiplier(input: Input, pairs: Pairs, period: Period) -> Decimal | None:
    total = folded(input, "sum", [one for _, one in pairs], period)
    if total is None:
        return None
    multiplied = converted(total, UnitConversion("multiply", number(input["multiplier"])))
    return rounded(multiplied, rounding(input.get("rounding")))


@aggregates("bucketed_max", "bucket", "bucket_group_by")
def bucketed_max(input: Input, pairs: Pairs, period: Period) -> Decimal | None:
    by, length = input.get("bucket_group_by"), duration(input["bucket"])
    peaks = [
        peak
        for group in (groups(pairs, by) if by else {"": pairs}).values()
        for window, partial in fold_windows("max", [one for _, one in group], period, length, zone(input)).items()
        if (peak := value_or_none("max", partial, window)) is not None
    ]
    return rounded(exact_sum(peaks), rounding(input.get("rounding"))) if peaks else None


@adapts("round", "aggregation", "value", "rounding")
def round_(input: Input) -> Outcome:
    return {"value": rounded(number(input["value"]), rounding(input.get("rounding")))}
