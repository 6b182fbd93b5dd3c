"""Aggregations: the events of a case become samples of the pure fold."""

import operator
import re
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from billing.metering.aggregation import (
    Partial,
    Sample,
    active_values,
    fold,
    fold_windows,
    keep_latest,
    matches,
    value_or_none,
)
from billing.metering.readings import read_text, read_value
from billing.rating.charges import converted
from catalog.money import ZERO, exact_sum
from catalog.periods import Period
from catalog.pricing import UnitConversion
from tests.golden.vocabulary import Input, Outcome, adapts, instant, number, optional, rounding, zone

KEYS = (
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
)
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
    assert event.get("operation", "add") in ("add", "remove"), event
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
    return {**event, **event.get("properties", {})}


def in_scope(input: Input) -> list[tuple[Event, Sample]]:
    """The events that are aggregated: deduplicated, inside the period, through the filters; in list order."""
    property_ = input.get("value_property")
    pairs = [(event, sample(event, clock, property_)) for clock, event in enumerate(input["events"])]
    if "dedup" in input:
        assert input["dedup"] == "by_id_keep_latest", input["dedup"]
        kept = keep_latest(one for _, one in pairs)
        pairs = [(event, one) for event, one in pairs if any(one is other for other in kept)]
    period, filters = period_of(input), input.get("filter", {})
    return [
        (event, one)
        for event, one in pairs
        if period.contains(one.at) and matches(data(event), filters) and stored_in_time(input, event)
    ]


def stored_in_time(input: Input, event: Event) -> bool:
    stored_at = instant(event.get("stored_at") or event["timestamp"])
    limits = input.get("stored_at_filter", {})
    return all(COMPARISONS[name](stored_at, instant(limit)) for name, limit in limits.items())


def ending(input: Input, partials: Partial, period: Period) -> Decimal | None:
    """The value as the case wants it: rounded, not below zero where it says so, null or zero where empty."""
    assert input.get("empty_result", "zero") in ("zero", "null"), input
    assert input.get("negative_result", "clamp_to_zero") == "clamp_to_zero", input
    initial = optional(input.get("initial_value"))
    to = rounding(input.get("rounding"))
    value = value_or_none(name_of(input), partials, period, initial=initial, rounding=to)
    if value is None:
        return None if input.get("empty_result") == "null" else ZERO
    return max(ZERO, value) if "negative_result" in input else value


def name_of(input: Input) -> str:
    return "sum" if input["aggregation"] == "sum_with_multiplier" else str(input["aggregation"])


def aggregated(input: Input, samples: Iterable[Sample]) -> Decimal | None:
    period = period_of(input)
    return ending(input, fold(name_of(input), samples, period), period)


def aggregation(input: Input) -> Outcome:
    pairs = in_scope(input)
    if "window" in input:
        assert "group_by" not in input
        samples = [one for _, one in pairs]
        length = duration(input["window"])
        folded = fold_windows(input["aggregation"], samples, period_of(input), length, zone(input))
        return {
            "windows": [
                {"start": window.starts_at, "end": window.ends_at, "value": ending(input, partial, window)}
                for window, partial in folded.items()
            ]
        }
    if "group_by" in input:
        return {"groups": {name: aggregated(input, group) for name, group in groups(input, pairs).items()}}
    return {"value": aggregated(input, [one for _, one in pairs])}


def groups(input: Input, pairs: list[tuple[Event, Sample]]) -> dict[str, list[Sample]]:
    grouped: dict[str, list[Sample]] = {}
    for event, one in pairs:
        name = read_text(data(event), input["group_by"])
        grouped.setdefault(name if isinstance(name, str) else "null", []).append(one)
    return grouped


for known in ("count", "sum", "min", "max", "avg", "latest", "weighted_sum"):
    adapts(known, *KEYS)(aggregation)


@adapts("unique_count", *KEYS, "value_property", "initial_active")
def unique_count(input: Input) -> Outcome:
    """Distinct values of a property, or what additions and removals leave active at the end."""
    moves = "initial_active" in input or any("operation" in event for event in input["events"])
    if "value_property" in input or not moves:
        assert not input.get("initial_active"), input
        return aggregation(input)
    assert "window" not in input and "group_by" not in input, input
    active = active_values([one for _, one in in_scope(input)], input.get("initial_active", []))
    return {"value": len(active)}


@adapts("sum_with_multiplier", *KEYS, "multiplier")
def sum_with_multiplier(input: Input) -> Outcome:
    total = aggregated({**input, "rounding": None}, [one for _, one in in_scope(input)])
    assert total is not None
    multiplied = converted(total, UnitConversion("multiply", number(input["multiplier"])))
    to = rounding(input.get("rounding"))
    return {"value": multiplied if to is None else to.of(multiplied)}


@adapts("bucketed_max", *KEYS, "bucket", "bucket_group_by")
def bucketed_max(input: Input) -> Outcome:
    by = input.get("bucket_group_by")
    pairs = in_scope(input)
    grouped = groups({"group_by": by}, pairs) if by else {"": [one for _, one in pairs]}
    peaks = [
        value_or_none("max", partial, window) or ZERO
        for group in grouped.values()
        for window, partial in fold_windows(
            "max", group, period_of(input), duration(input["bucket"]), zone(input)
        ).items()
    ]
    total, to = exact_sum(peaks), rounding(input.get("rounding"))
    return {"value": total if to is None else to.of(total)}


@adapts("round", "aggregation", "value", "rounding")
def round_(input: Input) -> Outcome:
    to = rounding(input["rounding"])
    return {"value": number(input["value"]) if to is None else to.of(number(input["value"]))}
