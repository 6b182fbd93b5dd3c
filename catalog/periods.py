"""Stretches of time: half-open periods of aware UTC instants, and the calendars that bill by them.

A billing calendar is a grid of boundaries in a time zone. Boundary k is computed from the anchor alone, never
from boundary k - 1, so month ends do not drift (31 January, 28 February, 31 March) and any period is found at
once, however far from the anchor.
"""

import calendar as month_lengths
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from functools import cache
from typing import Literal, get_args
from zoneinfo import available_timezones

Unit = Literal["day", "week", "month", "quarter", "half_year", "year"]
Alignment = Literal["anniversary", "calendar"]
Overflow = Literal["clamp", "first_of_next_month"]
Stub = Literal["short", "long"]

_DAYS = {"day": 1, "week": 7}
_MONTHS = {"month": 1, "quarter": 3, "half_year": 6, "year": 12}
_MIDNIGHT = time(0)
_MICROSECOND = timedelta(microseconds=1)


def as_utc(instant: datetime) -> datetime:
    """The instant in UTC; a datetime without a zone raises ValueError."""
    if instant.tzinfo is None or instant.utcoffset() is None:
        raise ValueError(f"{instant.isoformat()} has no time zone; give an aware datetime")
    return instant.astimezone(UTC)


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """From `starts_at` up to but not including `ends_at`, both aware, kept in UTC. Never empty."""

    starts_at: datetime
    ends_at: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "starts_at", as_utc(self.starts_at))
        object.__setattr__(self, "ends_at", as_utc(self.ends_at))
        if self.starts_at >= self.ends_at:
            raise ValueError(f"a period must end after it starts, not {self}")

    def __str__(self) -> str:
        return f"[{self.starts_at.isoformat()}, {self.ends_at.isoformat()})"

    def contains(self, instant: datetime) -> bool:
        return self.starts_at <= instant < self.ends_at

    def overlap(self, other: "Period") -> "Period | None":
        """The stretch both share, or None."""
        starts_at, ends_at = max(self.starts_at, other.starts_at), min(self.ends_at, other.ends_at)
        return Period(starts_at, ends_at) if starts_at < ends_at else None

    @property
    def microseconds(self) -> int:
        return (self.ends_at - self.starts_at) // _MICROSECOND

    @property
    def seconds(self) -> Decimal:
        """The exact length; a day across a clock change has 23 or 25 hours."""
        return Decimal(self.microseconds).scaleb(-6)


@cache
def known_zones() -> frozenset[str]:
    """The names of all time zones; the files are looked through once."""
    return frozenset(available_timezones())


def local_date(instant: datetime, zone: tzinfo) -> date:
    """The date on the wall in `zone` at that instant."""
    return as_utc(instant).astimezone(zone).date()


def local_days(period: Period, zone: tzinfo) -> int:
    """Days between the local dates of start and end: the start's day counts, the end's does not."""
    return (local_date(period.ends_at, zone) - local_date(period.starts_at, zone)).days


def local_midnight(day: date, zone: tzinfo) -> datetime:
    """The first instant of a local day, in UTC.

    Where the clock jumps over midnight this is the instant of the jump; where midnight comes twice, the
    first one.
    """
    wall = datetime.combine(day, _MIDNIGHT)
    instant = wall.replace(tzinfo=zone).astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) == wall:
        return instant
    return _end_of_gap(wall, zone)


def _end_of_gap(wall: datetime, zone: tzinfo) -> datetime:
    """The instant at which the local clock jumps over `wall`."""
    before = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    after = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    jumped = after.astimezone(zone).utcoffset()
    while after - before > _MICROSECOND:
        middle = before + (after - before) // 2
        if middle.astimezone(zone).utcoffset() == jumped:
            after = middle
        else:
            before = middle
    return after


def _local_instant(day: date, at: time, zone: tzinfo) -> datetime:
    if at == _MIDNIGHT:
        return local_midnight(day, zone)
    return datetime.combine(day, at).replace(tzinfo=zone).astimezone(UTC)


def clamped(year: int, month_index: int, day: int, overflow: Overflow = "clamp") -> date:
    """`day` of a month counted from January of `year` (0 is January, 12 next January, -1 last December).

    A day the month does not have becomes its last day, or the first of the next month.
    """
    years, month = divmod(month_index, 12)
    length = month_lengths.monthrange(year + years, month + 1)[1]
    if day <= length:
        return date(year + years, month + 1, day)
    last = date(year + years, month + 1, length)
    return last if overflow == "clamp" else last + timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Interval:
    """A number of calendar units: one month, two weeks, a quarter."""

    unit: Unit
    count: int = 1

    def __post_init__(self) -> None:
        if self.unit not in get_args(Unit):
            raise ValueError(f"{self.unit!r} is not an interval; use one of {', '.join(get_args(Unit))}")
        if self.count < 1:
            raise ValueError("an interval has a count of at least 1")

    @property
    def months(self) -> int | None:
        """Length in months, or None when it is counted in days."""
        return _MONTHS[self.unit] * self.count if self.unit in _MONTHS else None

    @property
    def days(self) -> int | None:
        """Length in days, or None when it is counted in months."""
        return _DAYS[self.unit] * self.count if self.unit in _DAYS else None

    def after(self, day: date, bill_day: int | None = None) -> date:
        """The date one interval later, on `bill_day` (else the day's own number) clamped to the month."""
        if self.months is None:
            return day + timedelta(days=self.days or 0)
        return clamped(day.year, day.month - 1 + self.months, bill_day or day.day)


@dataclass(frozen=True, slots=True)
class BillingCalendar:
    """The grid of billing periods of a contract, in its own time zone.

    alignment "anniversary": boundary 0 is `anchor` at `time_of_day` (local midnight unless told), the others
    follow every interval on the anchor's day, clamped to the month; `bill_day` (1 to 31) replaces the
    anchor's day. alignment "calendar": boundaries are at local midnight on the 1st of the month, quarter,
    half-year or year, on Monday for weeks; a count above 1 is counted from the unit that holds the anchor.
    """

    interval: Interval
    anchor: date
    zone: tzinfo
    alignment: Alignment = "anniversary"
    bill_day: int | None = None
    time_of_day: time = _MIDNIGHT
    overflow: Overflow = "clamp"

    def __post_init__(self) -> None:
        if isinstance(self.anchor, datetime):
            raise ValueError("an anchor is a local date; use BillingCalendar.anchored_at for an instant")
        if self.alignment not in get_args(Alignment):
            raise ValueError(f"{self.alignment!r} is not an alignment; use anniversary or calendar")
        if self.overflow not in get_args(Overflow):
            raise ValueError(f"{self.overflow!r} is not an overflow; use clamp or first_of_next_month")
        if self.bill_day is not None and not 1 <= self.bill_day <= 31:
            raise ValueError("a bill day is a day of the month, 1 to 31")
        if self.bill_day is not None and (self.interval.months is None or self.alignment == "calendar"):
            raise ValueError("a bill day needs an anniversary calendar counted in months")

    @classmethod
    def anchored_at(
        cls,
        instant: datetime,
        interval: Interval,
        zone: tzinfo,
        bill_day: int | None = None,
        overflow: Overflow = "clamp",
    ) -> "BillingCalendar":
        """An anniversary calendar whose boundaries keep the instant's local time of day."""
        local = as_utc(instant).astimezone(zone)
        return cls(interval, local.date(), zone, "anniversary", bill_day, local.time(), overflow)

    def boundary(self, index: int) -> datetime:
        """The instant of boundary `index`, counted from the anchor; negative ones lie before it."""
        return _local_instant(self._day(index), self._time, self.zone)

    def index_at(self, instant: datetime, inclusive: bool = True) -> int:
        """Index of the last boundary at or before the instant (`inclusive` False: strictly before it)."""
        instant = as_utc(instant)
        index = self._estimate(local_date(instant, self.zone))
        while self._is_before(self.boundary(index + 1), instant, inclusive):
            index += 1
        while not self._is_before(self.boundary(index), instant, inclusive):
            index -= 1
        return index

    def period_at(self, instant: datetime) -> Period:
        """The full grid period that holds the instant."""
        return self._period(self.index_at(instant))

    def period_on(self, day: date) -> Period:
        """The full grid period that holds the local date, whatever the time of day its boundary has."""
        return self._period(self._index_on(day))

    def period_ended_on(self, day: date) -> Period:
        """The last full grid period whose end falls on or before the local date."""
        return self.period_at(self.boundary(self._index_on(day)) - _MICROSECOND)

    def following(self, period: Period) -> Period:
        """The grid period after this one, which may be a stub."""
        return self.period_at(period.ends_at)

    def periods(self, from_instant: datetime, until_instant: datetime | None) -> Iterator[Period]:
        """The grid periods from one instant to another (None: for ever), the first and last cut to fit."""
        starts_at = as_utc(from_instant)
        while until_instant is None or starts_at < until_instant:
            ends_at = self.period_at(starts_at).ends_at
            yield Period(starts_at, ends_at if until_instant is None else min(ends_at, until_instant))
            starts_at = ends_at

    def previous_boundary(self, instant: datetime, inclusive: bool = False) -> datetime:
        """The last boundary before the instant, or exactly at it if `inclusive`."""
        return self.boundary(self.index_at(instant, inclusive))

    def following_boundary(self, instant: datetime, inclusive: bool = False) -> datetime:
        """The first boundary after the instant, or exactly at it if `inclusive`."""
        return self.period_at(self.previous_boundary(instant, not inclusive)).ends_at

    def boundaries_between(self, after: datetime, until: datetime) -> int:
        """How many boundaries lie after one instant and at or before the other; 0 if reversed."""
        return max(0, self.index_at(until) - self.index_at(after))

    def _index_on(self, day: date) -> int:
        return self.index_at(local_midnight(day + timedelta(days=1), self.zone), inclusive=False)

    def _period(self, index: int) -> Period:
        return Period(self.boundary(index), self.boundary(index + 1))

    @staticmethod
    def _is_before(boundary: datetime, instant: datetime, inclusive: bool) -> bool:
        return boundary <= instant if inclusive else boundary < instant

    @property
    def _time(self) -> time:
        return _MIDNIGHT if self.alignment == "calendar" else self.time_of_day

    @property
    def _origin(self) -> date:
        """The local day from which boundaries are counted."""
        if self.alignment == "anniversary" or self.interval.unit == "day":
            return self.anchor
        if self.interval.unit == "week":
            return self.anchor - timedelta(days=self.anchor.weekday())
        step = _MONTHS[self.interval.unit]
        return date(self.anchor.year, (self.anchor.month - 1) // step * step + 1, 1)

    def _day(self, index: int) -> date:
        origin, months = self._origin, self.interval.months
        if months is None:
            return origin + timedelta(days=index * (self.interval.days or 0))
        return clamped(origin.year, origin.month - 1 + index * months, self.bill_day or origin.day, self.overflow)

    def _estimate(self, day: date) -> int:
        """An index at most a step or two away from the one that holds the local date."""
        origin, months = self._origin, self.interval.months
        if months is None:
            return (day - origin).days // (self.interval.days or 1)
        return ((day.year - origin.year) * 12 + day.month - origin.month) // months


def first_period_end(calendar: BillingCalendar, starts_at: datetime, stub: Stub = "short") -> datetime:
    """The end of a first period that may start off the grid of the calendar's plain unit.

    A short stub runs to the first boundary on a later local date and counts as one unit of the interval; a
    long one, for a start on the date of no boundary, gets one unit more. The rest of the interval's count is
    added on the grid of single units.
    """
    units = BillingCalendar(
        Interval(calendar.interval.unit),
        calendar.anchor,
        calendar.zone,
        calendar.alignment,
        calendar.bill_day,
        calendar.time_of_day,
        calendar.overflow,
    )
    today = local_date(starts_at, calendar.zone)
    tomorrow = local_midnight(today + timedelta(days=1), calendar.zone)
    index = units.index_at(tomorrow, inclusive=False) + 1
    on_grid = local_date(units.boundary(index - 1), calendar.zone) == today
    extra = 1 if stub == "long" and not on_grid else 0
    return units.boundary(index + calendar.interval.count - 1 + extra)


def first_bill_date(starts_on: date, bill_day: int, interval: Interval) -> date:
    """The bill day in the month of the start, or one interval later where that is before the start."""
    due = clamped(starts_on.year, starts_on.month - 1, bill_day)
    return due if due >= starts_on else interval.after(due, bill_day)


def bill_date(day: date, bill_day: int, on_or_after: bool = False) -> date:
    """The bill day in the month of `day`; with `on_or_after`, next month's where this month's has passed."""
    due = clamped(day.year, day.month - 1, bill_day)
    return due if due >= day or not on_or_after else clamped(day.year, day.month, bill_day)
