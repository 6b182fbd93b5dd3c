"""Periods: a case becomes a billing calendar and a question to it."""

from datetime import date, datetime, timedelta

from billing.rating.proration import days_between
from catalog.periods import (
    BillingCalendar,
    Period,
    bill_date,
    first_bill_date,
    first_period_end,
    local_date,
)
from tests.golden.vocabulary import Input, Outcome, adapts, chosen, day, instant, interval, whole, zone

GRID = ("interval", "timezone", "alignment", "anchor", "bill_day", "overflow")
SUBSCRIPTION = ("subscription_start", "subscription_end")
MICROSECOND = timedelta(microseconds=1)
ANY_NEW_YEAR = date(2001, 1, 1)  # a calendar-aligned grid of single units is the same from any anchor


def calendar(input: Input) -> BillingCalendar:
    """The grid of a case. The days of a month only matter where it counts in months from an anchor."""
    every, where = interval(input["interval"]), zone(input)
    if chosen(input, "alignment", "anniversary", "calendar") == "calendar":
        return BillingCalendar(every, ANY_NEW_YEAR, where, "calendar")
    bill_day = whole(input["bill_day"]) if input.get("bill_day") and every.months is not None else None
    overflow = chosen(input, "overflow", "clamp", "first_of_next_month")
    return BillingCalendar.anchored_at(anchor(input), every, where, bill_day, overflow)


def anchor(input: Input) -> datetime:
    """The anchor, else the start that a case names."""
    return instant(input.get("anchor") or input.get("subscription_start") or input["start"])


def edge(input: Input, name: str) -> datetime | None:
    return instant(input[name]) if input.get(name) else None


def cut(period: Period, input: Input) -> Outcome:
    """The part of a grid period inside the subscription."""
    start, end = edge(input, "subscription_start"), edge(input, "subscription_end")
    starts_at = max(period.starts_at, start) if start else period.starts_at
    ends_at = min(period.ends_at, end) if end else period.ends_at
    return {"start": starts_at, "end": ends_at, "days": days_between(starts_at, ends_at, zone(input))}


@adapts("next_boundary", "start", "stub", "subscription_end", *GRID)
def next_boundary(input: Input) -> Outcome:
    stub = chosen(input, "stub", "short", "long")
    ends_at = first_period_end(calendar(input), instant(input["start"]), stub)
    last = edge(input, "subscription_end")
    return {"end": min(ends_at, last) if last else ends_at}


@adapts("period_containing", "at", *SUBSCRIPTION, *GRID)
def period_containing(input: Input) -> Outcome:
    """An instant outside the subscription gives its first period, or its last."""
    at = instant(input["at"])
    start, end = edge(input, "subscription_start"), edge(input, "subscription_end")
    if end and at >= end:
        at = end - MICROSECOND
    return cut(calendar(input).period_at(max(at, start) if start else at), input)


@adapts("billed_period", "mode", "billing_at", *SUBSCRIPTION, *GRID)
def billed_period(input: Input) -> Outcome:
    today = local_date(instant(input["billing_at"]), zone(input))
    grid = calendar(input)
    running = chosen(input, "mode", "current", "arrears") == "current"
    return cut(grid.period_on(today) if running else grid.period_ended_on(today), input)


@adapts("split_range", "start", "end", *GRID)
def split_range(input: Input) -> Outcome:
    periods = list(calendar(input).periods(instant(input["start"]), instant(input["end"])))
    return {"ends": [period.ends_at for period in periods], "count": len(periods)}


@adapts("schedule", "count", "step", *GRID)
def schedule(input: Input) -> Outcome:
    step = whole(input.get("step") or "1")
    return {"boundaries": [calendar(input).boundary(step * index) for index in range(whole(input["count"]))]}


@adapts("cycles_elapsed", "target", "subscription_start", *GRID)
def cycles_elapsed(input: Input) -> Outcome:
    after = edge(input, "subscription_start") or anchor(input)
    return {"cycles": calendar(input).boundaries_between(after, instant(input["target"]))}


@adapts("previous_boundary", "at", "inclusive", "bounded", *GRID)
def previous_boundary(input: Input) -> Outcome:
    found = calendar(input).previous_boundary(instant(input["at"]), bool(input.get("inclusive")))
    return {"at": None if input.get("bounded") and found < anchor(input) else found}


@adapts("following_boundary", "at", "inclusive", "bounded", *GRID)
def following_boundary(input: Input) -> Outcome:
    at, inclusive = instant(input["at"]), bool(input.get("inclusive"))
    if input.get("bounded") and at < anchor(input):
        at, inclusive = anchor(input), True
    return {"at": calendar(input).following_boundary(at, inclusive)}


@adapts("first_bill_date", "start", "bill_day", "interval", "timezone")
def first_bill(input: Input) -> Outcome:
    starts_on = local_date(instant(input["start"]), zone(input))
    every = interval(input.get("interval") or {"unit": "month"})
    return {"date": first_bill_date(starts_on, whole(input["bill_day"]), every)}


@adapts("align_date", "date", "bill_day", "rule", "timezone")
def align_date(input: Input) -> Outcome:
    moves = chosen(input, "rule", "same_month", "on_or_after") == "on_or_after"
    return {"date": bill_date(day(input["date"]), whole(input["bill_day"]), moves)}


@adapts("bill_day_of", "at", "timezone")
def bill_day_of(input: Input) -> Outcome:
    return {"bill_day": local_date(instant(input["at"]), zone(input)).day}
