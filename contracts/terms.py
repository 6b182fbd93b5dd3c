"""The terms of a contract as values, and those of one billing period cut out of them. Pure.

An `Agreement` is the whole contract; `Agreement.terms(period)` says what counts in one period: every price over the
stretch of the period its line covers, the discounts that touch it, and the one-time terms dated in it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property, lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

from catalog.periods import BillingCalendar, Interval, Period, local_date, local_midnight
from catalog.pricing import PriceRule
from catalog.selection import EVERYTHING, Selection

PriceKind = Literal["recurring", "usage", "one_time"]

# Contracts share their days: most of a bill run asks for the same few.
_midnight = lru_cache(maxsize=10_000)(local_midnight)
_grid_period = lru_cache(maxsize=10_000)(BillingCalendar.period_at)


@dataclass(frozen=True, slots=True)
class Days:
    """A half-open range of local days; `until` None has no end."""

    start: dt.date
    until: dt.date | None = None

    def period(self, zone: ZoneInfo, within: Period) -> Period | None:
        """The part of a period that these days cover, or None."""
        starts_at = _midnight(self.start, zone)
        ends_at = within.ends_at if self.until is None else _midnight(self.until, zone)
        if max(starts_at, within.starts_at) >= min(ends_at, within.ends_at):
            return None
        return Period(max(starts_at, within.starts_at), min(ends_at, within.ends_at))


@dataclass(frozen=True, slots=True)
class MeterTerms:
    id: int
    key: str
    unit: str


@dataclass(frozen=True, slots=True)
class PriceTerms:
    """A price as its plan version says it."""

    key: str
    description: str
    kind: PriceKind
    rule: PriceRule
    meter: MeterTerms | None
    in_advance: bool
    prorate: bool
    selection: Selection = EVERYTHING


@dataclass(frozen=True, slots=True)
class LineTerms:
    """One plan version over a range of days. `key` survives amendments."""

    key: str
    plan: str
    version: int
    quantity: Decimal
    days: Days
    prices: tuple[PriceTerms, ...]

    @property
    def term(self) -> str:
        """What a line on an invoice names: the plan and its version."""
        return f"{self.plan}@{self.version}"


@dataclass(frozen=True, slots=True)
class DiscountTerms:
    """`value` is a percentage, or an amount per billing period. No prices named: all entries of the period."""

    key: str
    kind: Literal["percent", "amount"]
    value: Decimal
    applies_to: frozenset[str]
    days: Days


@dataclass(frozen=True, slots=True)
class OneTimeTerms:
    """An amount on a day; below zero a credit."""

    key: str
    description: str
    amount: Decimal
    on: dt.date


@dataclass(frozen=True, slots=True)
class TaxTerms:
    """The exclusive rate of a period; an empty code is no tax."""

    code: str = ""
    percent: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Segment:
    """One price over the part of a period that its line covers."""

    line: LineTerms
    price: PriceTerms
    service: Period
    opens_line: bool
    """Whether the line of this key begins here: then one-time prices are due."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the contract says for one billing period.

    `whole` is the full period of the calendar, of which `period` may be a stub.
    """

    period: Period
    whole: Period
    zone: ZoneInfo
    currency: str
    segments: tuple[Segment, ...]
    discounts: tuple[DiscountTerms, ...]
    one_time: tuple[OneTimeTerms, ...]
    tax: TaxTerms

    def starts_on(self, day: dt.date) -> bool:
        """Whether the period begins on that local day."""
        return local_date(self.period.starts_at, self.zone) == day


@dataclass(frozen=True)
class Agreement:
    """A whole contract as values."""

    number: str
    currency: str
    zone: ZoneInfo
    days: Days
    anchor: Literal["start", "calendar"]
    interval: Interval
    lines: tuple[LineTerms, ...]
    discounts: tuple[DiscountTerms, ...] = ()
    one_time: tuple[OneTimeTerms, ...] = ()
    taxes: tuple[tuple[dt.date | None, TaxTerms], ...] = ()
    """Rates with the day each begins, in order; the last that has begun on a period's last day counts."""
    tolerance: dt.timedelta = field(default=dt.timedelta(hours=24))

    @cached_property
    def calendar(self) -> BillingCalendar:
        alignment: Literal["anniversary", "calendar"] = "anniversary" if self.anchor == "start" else "calendar"
        return BillingCalendar(self.interval, self.days.start, self.zone, alignment)

    @cached_property
    def starts_at(self) -> dt.datetime:
        return local_midnight(self.days.start, self.zone)

    @cached_property
    def ends_at(self) -> dt.datetime | None:
        return local_midnight(self.days.until, self.zone) if self.days.until else None

    def period_at(self, instant: dt.datetime) -> Period:
        """The billing period that holds an instant of the contract; stubs at its start and end are short."""
        return self._within_contract(_grid_period(self.calendar, instant))

    def first_period(self) -> Period:
        return self.period_at(self.starts_at)

    def following(self, period: Period) -> Period | None:
        """The next billing period, or None where the contract has ended."""
        return next(self.periods_from(period.ends_at), None)

    def periods_from(self, instant: dt.datetime) -> Iterator[Period]:
        """The billing periods from an instant on to the contract's end, or without end.

        The first begins at the instant, also where the calendar has moved since: an end was taken back, or the plans
        have another interval. No time is ever in two periods.
        """
        starts_at = max(instant, self.starts_at)
        while self.ends_at is None or starts_at < self.ends_at:
            period = Period(starts_at, self.period_at(starts_at).ends_at)
            yield period
            starts_at = period.ends_at

    def _within_contract(self, period: Period) -> Period:
        starts_at = max(period.starts_at, self.starts_at)
        return Period(starts_at, period.ends_at if self.ends_at is None else min(period.ends_at, self.ends_at))

    def tax_in(self, period: Period) -> TaxTerms:
        """The rate in force on the last day of a period."""
        last = local_date(period.ends_at, self.zone) - dt.timedelta(days=1)
        begun = [tax for start, tax in self.taxes if start is None or start <= last]
        return begun[-1] if begun else TaxTerms()

    def terms(self, period: Period, tax: TaxTerms | None = None) -> Terms:
        """What counts in a period. `tax` is the rate a closed period was closed with.

        Where the contract has come to end inside a period that was closed whole, its terms are those of the part.
        """
        return Terms(
            period=self.days.period(self.zone, period) or period,
            whole=_grid_period(self.calendar, period.starts_at),
            zone=self.zone,
            currency=self.currency,
            segments=tuple(self._segments(period)),
            discounts=tuple(one for one in self.discounts if one.days.period(self.zone, period)),
            one_time=tuple(one for one in self.one_time if period.contains(local_midnight(one.on, self.zone))),
            tax=self.tax_in(period) if tax is None else tax,
        )

    def _segments(self, period: Period) -> Iterator[Segment]:
        covered = self.days.period(self.zone, period)  # a contract may have ended inside a period closed long ago
        for line in self.lines:
            service = line.days.period(self.zone, covered) if covered else None
            if service is None:
                continue
            opens = line.days == self._first_of(line.key) and service.starts_at == local_midnight(
                line.days.start, self.zone
            )
            for price in line.prices:
                yield Segment(line, price, service, opens)

    def _first_of(self, key: str) -> Days:
        return min((line.days for line in self.lines if line.key == key), key=lambda days: days.start)
