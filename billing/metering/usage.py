"""What was used: meters read over stretches of time, for many customers at once.

Reads buckets, so it sees an event as soon as its batch is committed and costs the same whether a customer sent a
thousand events or a billion. Only windows of parts of a quarter of an hour, and prices that look at single events, read
these.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from decimal import Decimal
from itertools import groupby, islice
from typing import Any, Literal

import msgspec
from django.db import connection

from billing.metering.aggregation import QUARTER, Latest, Partial, Sample, bucket_of, fold, value, windows_in
from billing.metering.directory import meter_plan
from billing.metering.pieces import pieces
from billing.metering.standing import readings_of, sample_of, standing_events
from catalog.models import ADDITIVE, Aggregation, Meter
from catalog.money import ONE, ZERO, exact_sum
from catalog.periods import BillingCalendar, Interval, Period
from catalog.selection import EVERYTHING, Selection


@dataclass(frozen=True, slots=True)
class Ask:
    """A meter of a customer over a stretch of time whose ends are quarters of an hour.

    `selection` says which of its use, in which pieces; `zone` is where its windows are local. `adds_up`: whoever asks
    knows that the meter is a sum or a count, which is answered by a shorter statement where all asks are such.
    """

    customer_id: int
    meter_id: int
    period: Period
    selection: Selection = EVERYTHING
    zone: tzinfo | None = None
    adds_up: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Measured:
    """The aggregated quantity, the events behind it, and the customer's usage clock at which it was read.

    Where windows were asked for, `windows` are their quantities in order and the quantity is their sum. Where single
    events were, `singles` are their values in (time, clock) order, each with the value of the dimension asked for.
    """

    quantity: Decimal
    events: int
    clock: int
    windows: tuple[Decimal, ...] = ()
    singles: tuple[tuple[Decimal, str | None], ...] = ()


_TOTALS = """
    SELECT asked.ask, meter.aggregation, coalesce(clock.clock, 0), coalesce(used.n, 0), 0,
        used.total, NULL, NULL, NULL, NULL, NULL, NULL
    FROM unnest(%s::int[], %s::bigint[], %s::bigint[], %s::timestamptz[], %s::timestamptz[])
        AS asked (ask, customer_id, meter_id, starts_at, ends_at)
    JOIN catalog_meter meter ON meter.id = asked.meter_id
    LEFT JOIN billing_usageclock clock ON clock.customer_id = asked.customer_id
    CROSS JOIN LATERAL (
        SELECT sum(bucket.n) AS n, sum(bucket.total) AS total
        FROM billing_bucket bucket
        WHERE bucket.customer_id = asked.customer_id AND bucket.meter_id = asked.meter_id
          AND bucket.starts_at >= asked.starts_at AND bucket.starts_at < asked.ends_at
    ) used
"""
"""The same for sums and counts alone: half the time of the other is what the planner takes."""

_MEASURE = """
    WITH asked AS (
        SELECT asked.*, meter.aggregation
        FROM unnest(%s::int[], %s::bigint[], %s::bigint[], %s::timestamptz[], %s::timestamptz[])
            AS asked (ask, customer_id, meter_id, starts_at, ends_at)
        JOIN catalog_meter meter ON meter.id = asked.meter_id
    )
    SELECT asked.ask, asked.aggregation, coalesce(clock.clock, 0), coalesce(used.n, 0), told.distinct_values,
        used.total, extreme.maximum, extreme.minimum, weighed.weighted,
        latest.latest, latest.latest_at, latest.latest_clock
    FROM asked
    LEFT JOIN billing_usageclock clock ON clock.customer_id = asked.customer_id
    CROSS JOIN LATERAL (
        SELECT sum(bucket.n) AS n, sum(bucket.total) AS total
        FROM billing_bucket bucket
        WHERE bucket.customer_id = asked.customer_id AND bucket.meter_id = asked.meter_id
          AND bucket.starts_at >= asked.starts_at AND bucket.starts_at < asked.ends_at
    ) used
    CROSS JOIN LATERAL (
        SELECT max(bucket.maximum) AS maximum, min(bucket.minimum) AS minimum
        FROM billing_bucket bucket
        WHERE asked.aggregation IN ('max', 'min')
          AND bucket.customer_id = asked.customer_id AND bucket.meter_id = asked.meter_id
          AND bucket.starts_at >= asked.starts_at AND bucket.starts_at < asked.ends_at
    ) extreme
    CROSS JOIN LATERAL (
        SELECT count(*) AS distinct_values
        FROM (
            SELECT DISTINCT value.digest FROM billing_distinctvalue value
            WHERE asked.aggregation = 'unique_count'
              AND value.customer_id = asked.customer_id AND value.meter_id = asked.meter_id
              AND value.starts_at >= asked.starts_at AND value.starts_at < asked.ends_at
        ) value
    ) told
    CROSS JOIN LATERAL (
        SELECT sum(bucket.weighted + bucket.total * 1000000 * extract(
            epoch FROM asked.ends_at - bucket.starts_at - interval '15 minutes'
        )) AS weighted
        FROM billing_bucket bucket
        WHERE asked.aggregation = 'weighted_sum'
          AND bucket.customer_id = asked.customer_id AND bucket.meter_id = asked.meter_id
          AND bucket.starts_at >= asked.starts_at AND bucket.starts_at < asked.ends_at
    ) weighed
    LEFT JOIN LATERAL (
        SELECT bucket.latest, bucket.latest_at, bucket.latest_clock
        FROM billing_bucket bucket
        WHERE asked.aggregation = 'latest'
          AND bucket.customer_id = asked.customer_id AND bucket.meter_id = asked.meter_id
          AND bucket.starts_at >= asked.starts_at AND bucket.starts_at < asked.ends_at
          AND bucket.latest_at IS NOT NULL
        ORDER BY bucket.starts_at DESC, bucket.latest_at DESC, bucket.latest_clock DESC, bucket.latest DESC
        LIMIT 1
    ) latest ON true
"""
"""One statement, so that the clock and the buckets are of one snapshot. Buckets are read again only by the aggregations
that keep more than a count and a total."""


def measure(asks: Sequence[Ask]) -> dict[Ask, Measured]:
    """Answer every ask, in one query for all that plain totals of buckets answer. Nothing used is zero.

    Raises UnableToMeasure.
    """
    if not asks:
        return {}
    measured: dict[Ask, Measured] = {}
    others: list[tuple[Ask, int]] = []
    for index, aggregation, clock, n, distinct_values, *numbers in _read(asks):
        ask = asks[index]
        if n and not ask.selection.is_plain:
            others.append((ask, clock))
        elif n and aggregation == Aggregation.UNIQUE_COUNT:
            measured[ask] = Measured(Decimal(distinct_values), int(n), clock)
        else:
            quantity = value(aggregation, _partial(ask, int(n), *numbers), ask.period) if n else ZERO
            measured[ask] = Measured(quantity, int(n), clock)
    meters = Meter.objects.in_bulk({ask.meter_id for ask, _ in others})
    for ask, clock in others:
        measured[ask] = _measured_apart(ask, meters[ask.meter_id], clock)
    return measured


def _measured_apart(ask: Ask, meter: Meter, clock: int) -> Measured:
    """What the totals of buckets do not answer; where events are read, the clock keeps out what came after."""
    selection = ask.selection
    if selection.by_event:
        return _singles(ask, meter, clock)
    if selection.window and selection.window % QUARTER:
        return _folded(ask, meter, clock)
    return _in_pieces(ask, meter)


def _read(asks: Sequence[Ask]) -> Iterable[tuple[Any, ...]]:
    for ask in asks:
        _check_quarters(ask.period)
    columns: list[Any] = [
        list(range(len(asks))),
        [ask.customer_id for ask in asks],
        [ask.meter_id for ask in asks],
        [ask.period.starts_at for ask in asks],
        [ask.period.ends_at for ask in asks],
    ]
    with connection.cursor() as cursor:
        cursor.execute(_TOTALS if all(ask.adds_up for ask in asks) else _MEASURE, columns)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        if any(aggregation not in ADDITIVE for _, aggregation, *_ in rows):
            cursor.execute(_MEASURE, columns)
            rows = cursor.fetchall()
    return rows


def _partial(
    ask: Ask,
    n: int,
    total: Decimal | None,
    maximum: Decimal | None,
    minimum: Decimal | None,
    weighted: Decimal | None,
    latest: Decimal | None,
    latest_at: Any,
    latest_clock: int | None,
) -> Partial:
    return Partial(
        n=n,
        total=total,
        maximum=maximum,
        minimum=minimum,
        latest=None if latest is None else Latest(latest_at, latest_clock or 0, latest),
        weighted=weighted,
        ends_at=None if weighted is None else ask.period.ends_at,
    )


def _in_pieces(ask: Ask, meter: Meter) -> Measured:
    """The use that filters let through, window by window, from buckets."""
    stretches = [ask.period] if ask.selection.window is None else list(_windows(ask))
    read = pieces(ask.customer_id, meter, stretches, selection=ask.selection)
    quantities = tuple(piece.quantity for piece in read.found)
    windows = quantities if ask.selection.window is not None else ()
    return Measured(exact_sum(quantities), sum(piece.n for piece in read.found), read.clock, windows=windows)


def _windows(ask: Ask) -> Iterator[Period]:
    assert ask.selection.window is not None
    return windows_in(ask.period, ask.selection.window, ask.zone or dt.UTC)


def _folded(ask: Ask, meter: Meter, clock: int) -> Measured:
    """Windows that are no whole quarters of an hour, from the events themselves, one after the other."""
    following = _windows(ask)
    window = next(following)

    def window_of(sample: Sample) -> Period:
        nonlocal window
        while sample.at >= window.ends_at:
            window = next(following)
        return window

    quantities: list[Decimal] = []
    events = 0
    for stretch, samples in groupby((sample for sample, _ in _taken(ask, meter, clock)), key=window_of):
        partial = fold(meter.aggregation, samples, stretch)
        quantities.append(value(meter.aggregation, partial, stretch))
        events += partial.n
    return Measured(exact_sum(quantities), events, clock, windows=tuple(quantities))


def _singles(ask: Ask, meter: Meter, clock: int) -> Measured:
    """Single events in (time, clock) order; where the meter counts, each is worth one."""
    dimension = meter.group_by.index(ask.selection.dimension) if ask.selection.dimension else None
    singles = tuple(
        (ONE if sample.value is None else sample.value, None if dimension is None else values[dimension])
        for sample, values in _taken(ask, meter, clock)
    )
    return Measured(exact_sum(amount for amount, _ in singles), len(singles), clock, singles=singles)


def _taken(ask: Ask, meter: Meter, clock: int) -> Iterator[tuple[Sample, list[str | None]]]:
    """What events give a meter, in (time, clock) order, where the filters let it through; each with its dimensions."""
    plans = {meter.pk: meter_plan(meter)}
    groups: dict[str, tuple[list[str | None], bool]] = {}
    for event in standing_events(ask.customer_id, ask.period, clock=clock, meter_id=meter.pk, in_order=True):
        for reading in readings_of(event.data, plans, plans):
            if reading.group not in groups:
                values = _values(reading.group, meter)
                groups[reading.group] = values, ask.selection.takes(meter.group_by, values)
            values, is_taken = groups[reading.group]
            if is_taken:
                yield sample_of(reading, event), values


def _values(group: str, meter: Meter) -> list[str | None]:
    """The values of the meter's dimensions, in their order."""
    return msgspec.json.decode(group, type=list[str | None]) if group else [None] * len(meter.group_by)


WindowSize = Literal["hour", "day", "month"]
MOST_WINDOWS = 10_000


class UnableToMeasure(ValueError):
    """A stretch of time or a grouping that cannot be answered; the message says what can."""


@dataclass(frozen=True, slots=True)
class UsageWindow:
    """What was used in one window, for one set of dimensions; `group` is None where an event had no such value."""

    starts_at: dt.datetime
    ends_at: dt.datetime
    group: dict[str, str | None]
    value: Decimal


def windows(
    customer_id: int,
    meter: Meter,
    period: Period,
    size: WindowSize,
    zone: tzinfo,
    group_by: Sequence[str] = (),
) -> list[UsageWindow]:
    """A meter of a customer per hour, day or month of a time zone, where there was use; in order.

    The first and the last window are cut to the period. `group_by` names some of the meter's own dimensions.
    Raises UnableToMeasure.
    """
    for name in group_by:
        if name not in meter.group_by:
            known = ", ".join(meter.group_by) or "none"
            raise UnableToMeasure(f"The meter {meter.key} is not grouped by {name!r}; its dimensions are: {known}.")
    _check_quarters(period)
    grid = list(islice(_grid(period, size, zone), MOST_WINDOWS + 1))
    if len(grid) > MOST_WINDOWS:
        raise UnableToMeasure(f"More than {MOST_WINDOWS} windows; ask for a shorter time or longer windows.")
    return [
        UsageWindow(
            piece.stretch.starts_at,
            piece.stretch.ends_at,
            dict(zip(group_by, piece.group, strict=True)),
            piece.quantity,
        )
        for piece in pieces(customer_id, meter, grid, group_by).found
    ]


def window_starts(period: Period, size: WindowSize, zone: tzinfo) -> list[dt.datetime]:
    """Where each of the windows of a period begins, also those without use."""
    return [window.starts_at for window in islice(_grid(period, size, zone), MOST_WINDOWS)]


def _grid(period: Period, size: WindowSize, zone: tzinfo) -> Iterator[Period]:
    """The windows of a period: local days or months, or hours counted from local midnight."""
    if size == "month":
        months = BillingCalendar(Interval("month"), dt.date(1970, 1, 1), zone)
        return months.periods(period.starts_at, period.ends_at)
    return windows_in(period, dt.timedelta(hours=1) if size == "hour" else dt.timedelta(days=1), zone)


def _check_quarters(period: Period) -> None:
    for instant in (period.starts_at, period.ends_at):
        if instant != bucket_of(instant).starts_at:
            raise UnableToMeasure(f"Use is kept by quarters of an hour; {instant.isoformat()} lies inside one.")
