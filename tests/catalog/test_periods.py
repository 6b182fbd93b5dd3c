from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.periods import (
    Alignment,
    BillingCalendar,
    Interval,
    Period,
    Unit,
    as_utc,
    bill_date,
    first_bill_date,
    first_period_end,
    local_date,
    local_days,
    local_midnight,
)

BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Asia/Kolkata", "Pacific/Apia"]
ZONES += ["America/Havana", "Australia/Lord_Howe", "Asia/Beirut", "America/St_Johns", "Africa/Cairo"]


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


def monthly(day: date, zone: ZoneInfo = BERLIN, count: int = 1) -> BillingCalendar:
    return BillingCalendar(Interval("month", count), day, zone)


def test_a_period_holds_its_start_but_not_its_end() -> None:
    period = Period(utc(2026, 1, 1), utc(2026, 2, 1))
    assert period.contains(utc(2026, 1, 1))
    assert not period.contains(utc(2026, 2, 1))


def test_a_period_keeps_microseconds_and_is_in_utc() -> None:
    plus_two = timezone(timedelta(hours=2))
    period = Period(datetime(2026, 1, 1, 2, tzinfo=plus_two), utc(2026, 1, 1, 0, 0, 1, 5))
    assert period.starts_at.tzinfo is UTC
    assert period.seconds == Decimal("1.000005")


def test_naive_instants_and_empty_periods_are_refused() -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001
    with pytest.raises(ValueError, match="time zone"):
        as_utc(naive)
    with pytest.raises(ValueError, match="time zone"):
        Period(naive, utc(2026, 2, 1))
    with pytest.raises(ValueError, match="end after"):
        Period(utc(2026, 1, 1), utc(2026, 1, 1))


def test_the_overlap_of_periods_that_only_touch_is_nothing() -> None:
    january, february = Period(utc(2026, 1, 1), utc(2026, 2, 1)), Period(utc(2026, 2, 1), utc(2026, 3, 1))
    assert january.overlap(february) is None
    assert january.overlap(Period(utc(2026, 1, 20), utc(2026, 3, 1))) == Period(utc(2026, 1, 20), utc(2026, 2, 1))


def test_a_month_with_a_clock_change_has_its_days_but_an_hour_less() -> None:
    # Berlin, March 2026: summer time starts on the 29th
    march = monthly(date(2026, 3, 1)).period_at(utc(2026, 3, 10))
    assert local_days(march, BERLIN) == 31
    assert march.seconds == (31 * 24 - 1) * 3600


def test_days_are_counted_on_the_local_wall() -> None:
    # 23:30Z on 31 January is 1 February in Berlin
    assert local_days(Period(utc(2026, 1, 31, 23, 30), utc(2026, 2, 2, 22)), BERLIN) == 1


@pytest.mark.parametrize(
    ("zone", "day", "instant"),
    [
        ("Europe/Berlin", date(2026, 7, 1), utc(2026, 6, 30, 22)),
        # Cuba's summer time began at midnight: 10 March 2024 starts at 01:00 local, 05:00Z
        ("America/Havana", date(2024, 3, 10), utc(2024, 3, 10, 5)),
        # and ended at 01:00, so midnight of 3 November came twice; the first is at 04:00Z
        ("America/Havana", date(2024, 11, 3), utc(2024, 11, 3, 4)),
        # Toronto jumped from 23:30 on 30 March 1919 to 00:30 on the 31st
        ("America/Toronto", date(1919, 3, 31), utc(1919, 3, 31, 4, 30)),
        # Samoa left out 30 December 2011: both days begin with the jump
        ("Pacific/Apia", date(2011, 12, 30), utc(2011, 12, 30, 10)),
        ("Pacific/Apia", date(2011, 12, 31), utc(2011, 12, 30, 10)),
    ],
)
def test_a_local_day_begins_at_its_first_instant(zone: str, day: date, instant: datetime) -> None:
    assert local_midnight(day, ZoneInfo(zone)) == instant


def test_a_day_that_a_zone_left_out_has_no_period() -> None:
    days = BillingCalendar(Interval("day"), date(2011, 12, 1), ZoneInfo("Pacific/Apia"))
    starts = [
        local_date(period.starts_at, days.zone).day
        for period in days.periods(utc(2011, 12, 28, 10), utc(2012, 1, 1, 10))
    ]
    assert starts == [28, 29, 31, 1]


def test_month_ends_do_not_drift() -> None:
    starts = [
        local_date(period.starts_at, BERLIN)
        for period in islice(monthly(date(2025, 1, 31)).periods(utc(2025, 1, 30, 23), None), 5)
    ]
    assert starts == [
        date(2025, 1, 31),
        date(2025, 2, 28),
        date(2025, 3, 31),
        date(2025, 4, 30),
        date(2025, 5, 31),
    ]


def test_a_leap_day_anniversary_returns_to_the_leap_day() -> None:
    yearly = BillingCalendar(Interval("year"), date(2024, 2, 29), NEW_YORK)
    assert [local_date(yearly.boundary(year), NEW_YORK) for year in (1, 4)] == [
        date(2025, 2, 28),
        date(2028, 2, 29),
    ]


def test_a_bill_day_replaces_the_day_of_the_anchor_in_its_month() -> None:
    calendar = BillingCalendar(Interval("quarter"), date(2026, 1, 10), BERLIN, bill_day=31)
    period = calendar.period_at(utc(2026, 2, 15))
    assert (local_date(period.starts_at, BERLIN), local_date(period.ends_at, BERLIN)) == (
        date(2026, 1, 31),
        date(2026, 4, 30),
    )


@pytest.mark.parametrize(
    ("unit", "first", "last"),
    [
        # the calendar unit that holds Wednesday 20 May 2026
        ("day", date(2026, 5, 20), date(2026, 5, 21)),
        ("week", date(2026, 5, 18), date(2026, 5, 25)),
        ("month", date(2026, 5, 1), date(2026, 6, 1)),
        ("quarter", date(2026, 4, 1), date(2026, 7, 1)),
        ("half_year", date(2026, 1, 1), date(2026, 7, 1)),
        ("year", date(2026, 1, 1), date(2027, 1, 1)),
    ],
)
def test_calendar_periods_follow_the_wall_calendar(unit: Unit, first: date, last: date) -> None:
    calendar = BillingCalendar(Interval(unit), date(2025, 3, 17), BERLIN, "calendar")
    assert calendar.period_at(utc(2026, 5, 20, 12)) == Period(
        local_midnight(first, BERLIN), local_midnight(last, BERLIN)
    )


def test_the_first_and_last_period_of_a_range_are_cut_to_fit() -> None:
    calendar = BillingCalendar(Interval("month"), date(2026, 1, 1), BERLIN, "calendar")
    starts, ends = utc(2026, 1, 14, 23), utc(2026, 3, 9, 23)
    periods = list(calendar.periods(starts, ends))
    assert [local_days(period, BERLIN) for period in periods] == [17, 28, 9]
    assert (periods[0].starts_at, periods[-1].ends_at) == (starts, ends)


def test_the_period_after_a_stub_is_a_full_one() -> None:
    calendar = monthly(date(2026, 1, 15))
    stub = Period(utc(2026, 1, 20), calendar.period_at(utc(2026, 1, 20)).ends_at)
    assert calendar.following(stub) == calendar.period_at(utc(2026, 2, 20))


@given(
    zone=st.sampled_from(ZONES),
    unit=st.sampled_from(["day", "week", "month", "quarter", "half_year", "year"]),
    count=st.integers(1, 14),
    alignment=st.sampled_from(["anniversary", "calendar"]),
    anchor=st.dates(date(1990, 1, 1), date(2040, 1, 1)),
    instant=st.datetimes(
        datetime(1985, 1, 1),  # noqa: DTZ001
        datetime(2045, 1, 1),  # noqa: DTZ001
        timezones=st.just(UTC),
    ),
)
def test_periods_tile_time_without_gap_or_overlap_in_any_zone(
    zone: str, unit: Unit, count: int, alignment: Alignment, anchor: date, instant: datetime
) -> None:
    calendar = BillingCalendar(Interval(unit, count), anchor, ZoneInfo(zone), alignment)
    period = calendar.period_at(instant)
    assert period.contains(instant)
    following = calendar.following(period)
    assert following.starts_at == period.ends_at
    assert calendar.period_at(period.ends_at - timedelta(microseconds=1)) == period
    assert calendar.period_at(following.starts_at) == following


def test_a_first_period_off_the_grid_is_a_short_stub_or_a_long_one() -> None:
    monthly = BillingCalendar(Interval("month"), date(2026, 1, 31), UTC)
    start = datetime(2026, 2, 10, tzinfo=UTC)
    assert first_period_end(monthly, start) == datetime(2026, 2, 28, tzinfo=UTC)
    assert first_period_end(monthly, start, "long") == datetime(2026, 3, 31, tzinfo=UTC)
    on_the_date = datetime(2026, 2, 28, 18, tzinfo=UTC)
    assert first_period_end(monthly, on_the_date, "long") == datetime(2026, 3, 31, tzinfo=UTC)


def test_a_period_far_from_its_anchor_is_found_at_once() -> None:
    calendar = BillingCalendar(Interval("day"), date(1900, 1, 1), BERLIN)
    assert calendar.index_at(utc(2400, 1, 1)) == (date(2400, 1, 1) - date(1900, 1, 1)).days


@pytest.mark.parametrize(
    ("starts_on", "bill_day", "due"),
    [
        (date(2026, 1, 10), 15, date(2026, 1, 15)),
        (date(2026, 1, 20), 15, date(2026, 2, 15)),
        (date(2026, 2, 20), 31, date(2026, 2, 28)),
    ],
)
def test_the_first_bill_falls_on_the_bill_day(starts_on: date, bill_day: int, due: date) -> None:
    assert first_bill_date(starts_on, bill_day, Interval("month")) == due
    assert bill_date(starts_on, bill_day, on_or_after=True) == due


@pytest.mark.parametrize(
    "make",
    [
        lambda: Interval("fortnight"),  # type: ignore[arg-type]
        lambda: Interval("month", 0),
        lambda: BillingCalendar(Interval("month"), date(2026, 1, 1), BERLIN, bill_day=32),
        lambda: BillingCalendar(Interval("week"), date(2026, 1, 1), BERLIN, bill_day=3),
        lambda: BillingCalendar(Interval("month"), utc(2026, 1, 1), BERLIN),
        lambda: BillingCalendar(Interval("month"), date(2026, 1, 1), BERLIN, "lunar"),  # type: ignore[arg-type]
    ],
)
def test_a_calendar_that_makes_no_sense_is_refused(make: object) -> None:
    with pytest.raises(ValueError):
        make()  # type: ignore[operator]
