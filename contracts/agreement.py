"""A whole contract as a value, and what of it counts in one billing period. Pure.

`Agreement.terms(period)` says every price over the stretch of the period its line covers, the discounts and commitments
that touch it, and the one-time terms dated in it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cached_property, lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

from catalog.money import ZERO, exact_sum
from catalog.periods import BillingCalendar, Interval, Period, local_date
from catalog.pricing import parse_price
from contracts.entitled import AllowanceTerms, EntitlementTerms, entitlements_on, extra_units
from contracts.tax_terms import DatedRate, Relief, TaxRounding, TaxTerms, rates_on
from contracts.terms import (
    Allowance,
    CommitmentTerms,
    Days,
    DiscountTerms,
    GrantTerms,
    LineTerms,
    OneTimeTerms,
    OverrideTerms,
    PriceTerms,
    Proration,
    Segment,
    Span,
    Stretch,
    Terms,
    midnight,
    overridden,
)

_MICROSECOND = dt.timedelta(microseconds=1)
_grid_period = lru_cache(maxsize=10_000)(BillingCalendar.period_at)


@dataclass(frozen=True, slots=True)
class Said:
    """What a price says over a span of its line's time. `opens_line`: it begins where the line's key does."""

    line: LineTerms
    price: PriceTerms
    span: Span
    opens_line: bool
    is_trial: bool


@dataclass(frozen=True)
class Agreement:
    """A whole contract as values. `interval` is that of its billing periods: the shortest of its plans'."""

    number: str
    currency: str
    zone: ZoneInfo
    days: Days
    anchor: Literal["start", "calendar"]
    interval: Interval
    lines: tuple[LineTerms, ...]
    discounts: tuple[DiscountTerms, ...] = ()
    one_time: tuple[OneTimeTerms, ...] = ()
    taxes: tuple[DatedRate, ...] = ()
    """Rates with the day each begins; what is in force on a period's last day counts for all of it."""
    tax_relief: Relief = ""
    tax_rounding: TaxRounding = "line"
    tolerance: dt.timedelta = field(default=dt.timedelta(hours=24))
    overrides: tuple[OverrideTerms, ...] = ()
    commitments: tuple[CommitmentTerms, ...] = ()
    grants: tuple[GrantTerms, ...] = ()
    bill_day: int | None = None
    proration: Proration = "days"
    settles_at_once: bool = False
    """Whether a change of what was billed in advance is settled on a document of its own."""
    allowances: tuple[AllowanceTerms, ...] = ()
    """What the contract itself says of features."""

    @cached_property
    def calendar(self) -> BillingCalendar:
        return self.calendar_of(self.interval)

    def calendar_of(self, interval: Interval) -> BillingCalendar:
        """The grid of an interval, on the contract's anchor."""
        alignment: Literal["anniversary", "calendar"] = "anniversary" if self.anchor == "start" else "calendar"
        bill_day = self.bill_day if interval.months is not None else None
        return BillingCalendar(interval, self.days.start, self.zone, alignment, bill_day)

    @cached_property
    def carries_over(self) -> bool:
        """Whether what is due for a period depends on the periods before it."""
        longer = (one.interval is not None and one.interval != self.interval for one in self.commitments)
        own = ((price.interval or line.interval) != self.interval for line in self.lines for price in line.prices)
        totals = (one.total is not None for one in self.discounts)
        return bool(self.grants) or any(totals) or any(longer) or any(own) or self._rolls_over

    @property
    def _rolls_over(self) -> bool:
        """Whether free units depend on what earlier periods left of an allowance."""
        if not any(price.entitlement for line in self.lines for price in line.prices):
            return False
        given = (one.rollover for line in self.lines for one in line.entitlements)
        return any(given) or any("rollover" in one.changes for one in self.allowances)

    @cached_property
    def starts_at(self) -> dt.datetime:
        return midnight(self.days.start, self.zone)

    @cached_property
    def ends_at(self) -> dt.datetime | None:
        return midnight(self.days.until, self.zone) if self.days.until else None

    @cached_property
    def _entitled(self) -> dict[dt.date, Mapping[str, EntitlementTerms]]:
        return {}

    def entitlements(self, instant: dt.datetime) -> Mapping[str, EntitlementTerms]:
        """Feature -> what the customer may use of it at an instant, without what is `extra`."""
        day = local_date(instant, self.zone)
        found = self._entitled.get(day)
        if found is None:
            runs = self.days.start <= day and (self.days.until is None or day < self.days.until)
            given = ((line.interval, line.entitlements) for line in self.lines if _is_among(day, line.days))
            found = entitlements_on(day, given, self.allowances, self.interval) if runs else {}
            self._entitled[day] = found
        return found

    def allowance_period(self, terms: EntitlementTerms, instant: dt.datetime) -> Period:
        """The time over which use counts against an allowance: on the contract's grid, as far as the contract goes."""
        return self._within_contract(self.calendar_of(terms.interval or self.interval).period_at(instant))

    def allowance(self, terms: EntitlementTerms, period: Period, instant: dt.datetime) -> Decimal | None:
        """Limit and extra units of a period, as agreed at an instant of it; None: as much as they like."""
        if terms.limit is None:
            return None
        first, day = local_date(period.starts_at, self.zone), local_date(instant, self.zone)
        return exact_sum([terms.limit, extra_units(terms.feature, first, day, self.allowances)])

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
        """What a period that is not closed is taxed with: the rates in force on its last day."""
        last = local_date(period.ends_at, self.zone) - dt.timedelta(days=1)
        return TaxTerms(rates_on(last, self.taxes), self.tax_relief, self.tax_rounding)

    def terms(self, period: Period, tax: TaxTerms | None = None) -> Terms:
        """What counts in a period. `tax` is what a closed period was closed with.

        Where the contract has come to end inside a period that was closed whole, its terms are those of the part.
        """
        covered, segments = self.days.period(self.zone, period) or period, self._segments(period)
        return Terms(
            period=covered,
            zone=self.zone,
            currency=self.currency,
            segments=segments,
            discounts=tuple(one for one in self.discounts if one.days.period(self.zone, period)),
            one_time=tuple(one for one in self.one_time if period.contains(midnight(one.on, self.zone))),
            tax=self.tax_in(period) if tax is None else tax,
            commitments=tuple(self._stretches(period)),
            grants=tuple(one for one in self.grants if one.days.period(self.zone, period)),
            proration=self.proration,
            with_tax=any(line.with_tax for line in self.lines),
            allowances=tuple(self._allowances(segments, covered)),
        )

    def _allowances(self, segments: Iterable[Segment], period: Period) -> Iterator[Allowance]:
        """Those that are free at prices of the period, as agreed at its end."""
        last = period.ends_at - _MICROSECOND
        for feature in dict.fromkeys(one.price.entitlement for one in segments if one.price.entitlement):
            terms = self.entitlements(last).get(feature)
            if terms is None:
                yield Allowance(feature, ZERO, None)
            else:
                yield Allowance(feature, self.allowance(terms, period, last), terms.rollover)

    def _segments(self, period: Period) -> tuple[Segment, ...]:
        """What prices say for a period; worked out once, as a run asks more than once."""
        found = self._known.get(period)
        if found is None:
            # It may have come to end before a period that was closed long ago.
            is_covered = self.days.period(self.zone, period) is not None
            said = self._said if is_covered else ()
            found = self._known[period] = tuple(segment for one in said for segment in self._services(one, period))
        return found

    @cached_property
    def _known(self) -> dict[Period, tuple[Segment, ...]]:
        return {}

    @cached_property
    def _said(self) -> tuple[Said, ...]:
        """What each price says over which time: the trial, the spans of its overrides, and the rest of its line's."""
        return tuple(said for line in self.lines for price in line.prices for said in self._spans(line, price))

    def _spans(self, line: LineTerms, price: PriceTerms) -> Iterator[Said]:
        starts_at, ends_at = midnight(line.days.start, self.zone), self._end_of(line.days)
        if ends_at is not None and ends_at <= starts_at:
            return  # the contract has come to end before the line began
        opens = line.days == self._first_of(line.key).days
        trial_ends_at = self._trial_end(line.key)
        others = [one for one in self.overrides if one.line == line.key and one.price == price.key]
        edges = {starts_at, *((trial_ends_at,) if trial_ends_at is not None else ())}
        for one in others:
            edges |= {midnight(day, self.zone) for day in (one.days.start, one.days.until) if day is not None}
        inside = sorted(edge for edge in edges if edge >= starts_at and (ends_at is None or edge < ends_at))
        for begins, until in zip(inside, [*inside[1:], ends_at], strict=True):
            is_trial = trial_ends_at is not None and begins < trial_ends_at
            override = next((one for one in others if _covers(one.days, begins, self.zone)), None)
            said = price if override is None else _overridden(price, override)
            yield Said(line, said, (begins, until), opens and begins == starts_at, is_trial)

    def _end_of(self, days: Days) -> dt.datetime | None:
        ends = [midnight(day, self.zone) for day in (days.until, self.days.until) if day is not None]
        return min(ends, default=None)

    def _trial_end(self, key: str) -> dt.datetime | None:
        first = self._first_of(key)
        if not first.trial_days:
            return None
        return midnight(first.days.start + dt.timedelta(days=first.trial_days), self.zone)

    def _first_of(self, key: str) -> LineTerms:
        return min((line for line in self.lines if line.key == key), key=lambda line: line.days.start)

    def _services(self, said: Said, period: Period) -> Iterator[Segment]:
        """What of a price is settled in a billing period.

        Where it has an interval of its own, what is in advance is settled where that begins, what is recurring in
        arrears, or cannot be added up, where it ends, and use piece by piece.
        """
        line, price, span = said.line, said.price, said.span
        own = price.interval or line.interval
        if price.kind == "one_time" or own == self.interval:
            service = _cut(period, span)
            if service is not None:
                opens = said.opens_line and service.starts_at == span[0]
                whole = _grid_period(self.calendar, period.starts_at)
                yield Segment(line, price, service, opens, whole, service, True, said.is_trial)
            return
        for whole in _grid_periods(self.calendar_of(own), period):
            stretch = _cut(whole, span)
            if stretch is None:
                continue
            if price.meter is not None and price.meter.adds_up:
                service, is_last = stretch.overlap(period), stretch.ends_at <= period.ends_at
            else:
                begins = period.contains(stretch.starts_at)
                ends = period.starts_at < stretch.ends_at <= period.ends_at
                service, is_last = (stretch if (begins if price.in_advance else ends) else None), True
            if service is not None:
                yield Segment(line, price, service, False, whole, stretch, is_last, said.is_trial)

    def _stretches(self, period: Period) -> Iterator[Stretch]:
        """The commitments of a period. What is not over when it ends is carried on to the next one."""
        for one in self.commitments:
            span = (max(midnight(one.days.start, self.zone), self.starts_at), self._end_of(one.days))
            cut = ((whole, _cut(whole, span)) for whole in self._intervals_of(one, period, span))
            found = [(whole, days) for whole, days in cut if days is not None and days.overlap(period) is not None]
            for whole, days in found:
                ends_here = days.ends_at <= period.ends_at
                yield Stretch(one, days, whole, period.contains(days.starts_at), ends_here, days == found[-1][1])

    def _intervals_of(self, commitment: CommitmentTerms, period: Period, span: Span) -> Iterator[Period]:
        if commitment.interval == "term":
            if span[1] is not None and span[0] < span[1]:
                yield Period(span[0], span[1])
        elif commitment.interval is None or commitment.interval == self.interval:
            yield _grid_period(self.calendar, period.starts_at)
        else:
            yield from _grid_periods(self.calendar_of(commitment.interval), period)


def _is_among(day: dt.date, days: Days) -> bool:
    return days.start <= day and (days.until is None or day < days.until)


def _cut(period: Period, span: Span) -> Period | None:
    starts_at = max(period.starts_at, span[0])
    ends_at = period.ends_at if span[1] is None else min(period.ends_at, span[1])
    return Period(starts_at, ends_at) if starts_at < ends_at else None


def _grid_periods(calendar: BillingCalendar, period: Period) -> Iterator[Period]:
    """The full intervals of a calendar that meet a period, in order."""
    found = _grid_period(calendar, period.starts_at)
    while found.starts_at < period.ends_at:
        yield found
        found = _grid_period(calendar, found.ends_at)


def _covers(days: Days, instant: dt.datetime, zone: ZoneInfo) -> bool:
    return midnight(days.start, zone) <= instant and (days.until is None or instant < midnight(days.until, zone))


def _overridden(price: PriceTerms, override: OverrideTerms) -> PriceTerms:
    arithmetic = overridden(price.arithmetic, override.arithmetic)
    rule = parse_price(arithmetic)
    selection = replace(price.selection, by_event=rule.reads_events)
    return replace(price, rule=rule, arithmetic=arithmetic, selection=selection)
