"""Periods: a case becomes a billing calendar and a question to it."""

from datetime import date
from typing import Any

from catalog.periods import (
    BillingCalendar,
    Period,
    bill_date,
    first_bill_date,
    first_period_end,
    local_date,
    local_days,
)
from tests.golden.vocabulary import Input, Outcome, adapts, day, instant, interval, whole, zone

GRID = ("interval", "timezone", "alignment", "anchor", "bill_day", "overflow")
SUBSCRIPTION = ("subscription_start", "subscription_end")
ANY_NEW_YEAR = date(2001, 1, 1)  # a calendar-aligned grid of single units is the same from any anchor


def calendar(input: Input) -> BillingCalendar:
    alignment = input["alignment"]
    if alignment == "calendar":
        assert "overflow" not in input and "bill_day" not in input, input
        return BillingCalendar(interval(input["interval"]), ANY_NEW_YEAR, zone(input), "calendar")
    assert alignment == "anniversary", alignment
    bill_day = whole(input["bill_day"]) if input.get("bill_day") is not None else None
    overflow: Any = input.get("overflow", "clamp")
    return BillingCalendar.anchored_at(
        instant(input["anchor"]), interval(input["interval"]), zone(input), bill_day, overflow
    )


def cut(period: Period, input: Input) -> Outcome:
    """The part of a grid period inside the subscription."""
    start = max(period.starts_at, instant(input["subscription_start"])) if _has(input, "start") else None
    end = min(period.ends_at, instant(input["subscription_end"])) if _has(input, "end") else None
    inside = Period(start or period.starts_at, end or period.ends_at)
    return {"start": inside.starts_at, "end": inside.ends_at, "days": local_days(inside, zone(input))}


def _has(input: Input, edge: str) -> bool:
    return input.get(f"subscription_{edge}") is not None


@adapts("next_boundary", "start", "stub", "subscription_end", *GRID)
def next_boundary(input: Input) -> Outcome:
    stub: Any = input.get("stub", "short")
    assert stub in ("short", "long"), stub
    end = first_period_end(calendar(input), instant(input["start"]), stub)
    return {"end": min(end, instant(input["subscription_end"])) if _has(input, "end") else end}


@adapts("period_containing", "at", *SUBSCRIPTION, *GRID)
def period_containing(input: Input) -> Outcome:
    at = instant(input["at"])
    if _has(input, "start"):
        at = max(at, instant(input["subscription_start"]))
    return cut(calendar(input).period_at(at), input)


@adapts("billed_period", "mode", "billing_at", *SUBSCRIPTION, *GRID)
def billed_period(input: Input) -> Outcome:
    today = local_date(instant(input["billing_at"]), zone(input))
    assert input["mode"] in ("current", "arrears"), input["mode"]
    grid = calendar(input)
    return cut(grid.period_on(today) if input["mode"] == "current" else grid.period_ended_on(today), input)


@adapts("split_range", "start", "end", *GRID)
def split_range(input: Input) -> Outcome:
    periods = list(calendar(input).periods(instant(input["start"]), instant(input["end"])))
    return {"ends": [period.ends_at for period in periods], "count": len(periods)}


@adapts("schedule", "count", "step", *GRID)
def schedule(input: Input) -> Outcome:
    step = whole(input.get("step", "1"))
    return {"boundaries": [calendar(input).boundary(step * index) for index in range(whole(input["count"]))]}


@adapts("cycles_elapsed", "target", "subscription_start", *GRID)
def cycles_elapsed(input: Input) -> Outcome:
    after = instant(input.get("subscription_start") or input["anchor"])
    return {"cycles": calendar(input).boundaries_between(after, instant(input["target"]))}


@adapts("previous_boundary", "at", "inclusive", "bounded", *GRID)
def previous_boundary(input: Input) -> Outcome:
    found = calendar(input).previous_boundary(instant(input["at"]), bool(input.get("inclusive")))
    return {"at": None if input.get("bounded") and found < instant(input["anchor"]) else found}


@adapts("following_boundary", "at", "inclusive", "bounded", *GRID)
def following_boundary(input: Input) -> Outcome:
    at, inclusive = instant(input["at"]), bool(input.get("inclusive"))
    if input.get("bounded") and at < instant(input["anchor"]):
        at, inclusive = instant(input["anchor"]), True
    return {"at": calendar(input).following_boundary(at, inclusive)}


@adapts("first_bill_date", "start", "bill_day", "interval", "timezone")
def first_bill(input: Input) -> Outcome:
    starts_on = local_date(instant(input["start"]), zone(input))
    return {"date": first_bill_date(starts_on, whole(input["bill_day"]), interval(input["interval"]))}


@adapts("align_date", "date", "bill_day", "rule")
def align_date(input: Input) -> Outcome:
    rule = input.get("rule")
    assert rule in (None, "on_or_after", "same_month"), rule
    return {"date": bill_date(day(input["date"]), whole(input["bill_day"]), rule == "on_or_after")}


@adapts("bill_day_of", "at", "timezone")
def bill_day_of(input: Input) -> Outcome:
    return {"bill_day": local_date(instant(input["at"]), zone(input)).day}
