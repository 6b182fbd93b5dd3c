"""What was used: meters read over stretches of time, for many customers at once.

Reads buckets, so it sees an event as soon as its batch is committed and costs the same whether a customer sent a
thousand events or a billion. Only distinct values are counted from the events themselves.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from decimal import Decimal
from itertools import islice
from operator import itemgetter
from typing import Any, Literal

import msgspec
from django.db import connection

from billing.metering.aggregation import QUARTER, Latest, Partial, Sample, bucket_of, fold, merge, value, window_of
from billing.metering.directory import meter_plan
from billing.metering.standing import LATEST_CLOCK, readings_of, sample_of, standing_events
from catalog.models import Aggregation, Meter
from catalog.money import ONE, ZERO, exact_sum
from catalog.periods import BillingCalendar, Interval, Period
from catalog.selection import EVERYTHING, Selection


@dataclass(frozen=True, slots=True)
class Ask:
    """A meter of a customer over a stretch of time whose ends are quarters of an hour.

    `selection` says which of its use, in which pieces; `zone` is where its windows are local.
    """

    customer_id: int
    meter_id: int
    period: Period
    selection: Selection = EVERYTHING
    zone: tzinfo | None = None


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


_MEASURE = """
    WITH asked AS (
        SELECT asked.*, meter.aggregation
        FROM unnest(%s::int[], %s::bigint[], %s::bigint[], %s::timestamptz[], %s::timestamptz[])
            AS asked (ask, customer_id, meter_id, starts_at, ends_at)
        JOIN catalog_meter meter ON meter.id = asked.meter_id
    )
    SELECT asked.ask, asked.aggregation, coalesce(clock.clock, 0), coalesce(used.n, 0), used.total,
        extreme.maximum, extreme.minimum, weighed.weighted, latest.latest, latest.latest_at, latest.latest_clock
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
    for index, aggregation, clock, n, *numbers in _read(asks):
        ask = asks[index]
        if n and (aggregation == Aggregation.UNIQUE_COUNT or not ask.selection.is_plain):
            others.append((ask, clock))
            continue
        quantity = value(aggregation, _partial(ask, int(n), *numbers), ask.period) if n else ZERO
        measured[ask] = Measured(quantity, int(n), clock)
    meters = Meter.objects.in_bulk({ask.meter_id for ask, _ in others})
    for ask, clock in others:
        measured[ask] = _measured_apart(ask, meters[ask.meter_id], clock)
    return measured


def _measured_apart(ask: Ask, meter: Meter, clock: int) -> Measured:
    """What the totals of buckets do not answer; the clock keeps out what came after they were read."""
    selection = ask.selection
    if selection.by_event:
        return _singles(ask, meter, clock)
    if meter.aggregation == Aggregation.UNIQUE_COUNT or (selection.window and selection.window % QUARTER):
        return _folded(ask, meter, clock)
    return _merged(ask, meter, clock)


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
        cursor.execute(_MEASURE, columns)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
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


_PARTIALS = """
    SELECT bucket."group", CASE WHEN %(apart)s THEN bucket.starts_at END AS part,
        sum(bucket.n), sum(bucket.total), max(bucket.maximum), min(bucket.minimum),
        sum(bucket.weighted + bucket.total * 1000000 * extract(
            epoch FROM CASE WHEN NOT %(apart)s THEN %(ends_at)s - bucket.starts_at - interval '15 minutes'
                ELSE interval '0' END
        )),
        (array_agg(bucket.latest ORDER BY bucket.latest_at DESC, bucket.latest_clock DESC, bucket.latest DESC)
            FILTER (WHERE bucket.latest_at IS NOT NULL))[1],
        max(bucket.latest_at),
        (array_agg(bucket.latest_clock ORDER BY bucket.latest_at DESC, bucket.latest_clock DESC)
            FILTER (WHERE bucket.latest_at IS NOT NULL))[1],
        coalesce((SELECT clock FROM billing_usageclock WHERE customer_id = %(customer)s), 0)
    FROM billing_bucket AS bucket
    WHERE bucket.customer_id = %(customer)s AND bucket.meter_id = %(meter)s
      AND bucket.starts_at >= %(starts_at)s AND bucket.starts_at < %(ends_at)s AND bucket.n <> 0
    GROUP BY 1, 2
"""
"""Partials by group, and quarter by quarter where windows are asked for."""


def _merged(ask: Ask, meter: Meter, clock: int) -> Measured:
    """The use that filters let through, window by window, from the partials of buckets."""
    selection, period = ask.selection, ask.period
    found: dict[Period, Partial] = {}
    asked: dict[str, Any] = {
        "apart": selection.window is not None,
        "customer": ask.customer_id,
        "meter": ask.meter_id,
        "starts_at": period.starts_at,
        "ends_at": period.ends_at,
    }
    with connection.cursor() as cursor:
        cursor.execute(_PARTIALS, asked)
        for group, starts_at, n, total, maximum, minimum, weighted, latest, latest_at, latest_clock, read_at in cursor:
            clock = read_at
            if not selection.takes(meter.group_by, _values(group, meter)):
                continue
            window = period if starts_at is None else _window(ask, starts_at)
            partial = Partial(
                n=int(n),
                total=total,
                maximum=maximum,
                minimum=minimum,
                latest=None if latest is None else Latest(latest_at, latest_clock or 0, latest),
                weighted=weighted,
                ends_at=None if weighted is None else (period.ends_at if starts_at is None else starts_at + QUARTER),
            )
            found[window] = merge(found[window], partial) if window in found else partial
    return _of_windows(ask, meter, found, clock)


def _of_windows(ask: Ask, meter: Meter, found: Mapping[Period, Partial], clock: int) -> Measured:
    quantities = tuple(value(meter.aggregation, found[window], window) for window in sorted(found))
    events = sum(partial.n for partial in found.values())
    windows = quantities if ask.selection.window is not None else ()
    return Measured(exact_sum(quantities), events, clock, windows=windows)


def _window(ask: Ask, instant: dt.datetime) -> Period:
    """The window of the ask that holds an instant, cut to its period."""
    assert ask.selection.window is not None
    window = window_of(instant, ask.selection.window, ask.zone or dt.UTC).overlap(ask.period)
    assert window is not None
    return window


def _values(group: str, meter: Meter) -> list[str | None]:
    """The values of the meter's dimensions, in their order."""
    return msgspec.json.decode(group, type=list[str | None]) if group else [None] * len(meter.group_by)


def _folded(ask: Ask, meter: Meter, clock: int) -> Measured:
    """Distinct values, and windows that are no whole quarters of an hour, from the events themselves."""
    samples: dict[Period, list[Sample]] = {}
    for group, sample in _samples(meter, ask.customer_id, ask.period, clock):
        if ask.selection.takes(meter.group_by, _values(group, meter)):
            window = ask.period if ask.selection.window is None else _window(ask, sample.at)
            samples.setdefault(window, []).append(sample)
    found = {window: fold(meter.aggregation, some, window) for window, some in samples.items()}
    return _of_windows(ask, meter, found, clock)


def _singles(ask: Ask, meter: Meter, clock: int) -> Measured:
    """Single events in (time, clock) order; where the meter counts, each is worth one."""
    dimension = meter.group_by.index(ask.selection.dimension) if ask.selection.dimension else None
    found: list[tuple[dt.datetime, int, Decimal, str | None]] = []
    for group, sample in _samples(meter, ask.customer_id, ask.period, clock):
        values = _values(group, meter)
        if ask.selection.takes(meter.group_by, values):
            amount = ONE if sample.value is None else sample.value
            found.append((sample.at, sample.clock, amount, None if dimension is None else values[dimension]))
    found.sort(key=itemgetter(0, 1))
    quantity = exact_sum(amount for _, _, amount, _ in found)
    return Measured(quantity, len(found), clock, singles=tuple((amount, value) for _, _, amount, value in found))


def _samples(meter: Meter, customer_id: int, period: Period, clock: int = LATEST_CLOCK) -> Iterator[tuple[str, Sample]]:
    """What events give a meter, each with its group."""
    plans = {meter.pk: meter_plan(meter)}
    for event in standing_events(customer_id, period, clock=clock, meter_id=meter.pk):
        for reading in readings_of(event.data, plans, plans):
            yield reading.group, sample_of(reading, event)


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


_WINDOWS = """
    SELECT place, part, sum(n), sum(total), max(maximum), min(minimum),
        sum(weighted + total * 1000000 * extract(
            epoch FROM (%(ends)s::timestamptz[])[place] - starts_at - interval '15 minutes'
        )),
        (array_agg(latest ORDER BY latest_at DESC, latest_clock DESC, latest DESC)
            FILTER (WHERE latest_at IS NOT NULL))[1]
    FROM (
        SELECT bucket.*, width_bucket(starts_at, %(starts)s::timestamptz[]) AS place,
            ARRAY(SELECT "group"::jsonb ->> dimension FROM unnest(%(dimensions)s::int[]) AS dimension) AS part
        FROM billing_bucket AS bucket
        WHERE customer_id = %(customer)s AND meter_id = %(meter)s
          AND starts_at >= %(from)s AND starts_at < %(until)s AND n <> 0
    ) AS used
    GROUP BY place, part ORDER BY place, part
"""


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
    if meter.aggregation == Aggregation.UNIQUE_COUNT:
        return _distinct_windows(customer_id, meter, period, grid, group_by)
    asked: dict[str, Any] = {
        "customer": customer_id,
        "meter": meter.pk,
        "from": period.starts_at,
        "until": period.ends_at,
        "starts": [window.starts_at for window in grid],
        "ends": [window.ends_at for window in grid],
        "dimensions": [meter.group_by.index(name) for name in group_by],
    }
    with connection.cursor() as cursor:
        cursor.execute(_WINDOWS, asked)
        rows = cursor.fetchall()
    found = []
    for place, part, n, total, maximum, minimum, weighted, latest in rows:
        window = grid[place - 1]
        partial = Partial(
            n=int(n),
            total=total,
            maximum=maximum,
            minimum=minimum,
            latest=None if latest is None else Latest(window.starts_at, 0, latest),
            weighted=weighted,
            ends_at=None if weighted is None else window.ends_at,
        )
        group = dict(zip(group_by, part, strict=True))
        found.append(UsageWindow(window.starts_at, window.ends_at, group, value(meter.aggregation, partial, window)))
    return found


def _distinct_windows(
    customer_id: int, meter: Meter, period: Period, grid: Sequence[Period], group_by: Sequence[str]
) -> list[UsageWindow]:
    starts = [window.starts_at for window in grid]
    dimensions = [meter.group_by.index(name) for name in group_by]
    samples: dict[tuple[int, tuple[str | None, ...]], list[Sample]] = {}
    for group, sample in _samples(meter, customer_id, period):
        values = msgspec.json.decode(group, type=list[str | None]) if group else []
        part = tuple(values[dimension] for dimension in dimensions)
        samples.setdefault((bisect_right(starts, sample.at) - 1, part), []).append(sample)
    found = []
    for place, part in sorted(samples, key=lambda one: (one[0], [(text is None, text or "") for text in one[1]])):
        window = grid[place]
        partial = fold(meter.aggregation, samples[place, part], window)
        quantity = value(meter.aggregation, partial, window)
        found.append(UsageWindow(window.starts_at, window.ends_at, dict(zip(group_by, part, strict=True)), quantity))
    return found


def window_starts(period: Period, size: WindowSize, zone: tzinfo) -> list[dt.datetime]:
    """Where each of the windows of a period begins, also those without use."""
    return [window.starts_at for window in islice(_grid(period, size, zone), MOST_WINDOWS)]


def _grid(period: Period, size: WindowSize, zone: tzinfo) -> Iterator[Period]:
    """The windows of a period: local days or months, or hours counted from local midnight."""
    whole = BillingCalendar(Interval("month" if size == "month" else "day"), dt.date(1970, 1, 1), zone)
    for stretch in whole.periods(period.starts_at, period.ends_at):
        yield from [stretch] if size != "hour" else _hours(stretch, whole.period_at(stretch.starts_at).starts_at)


def _hours(stretch: Period, midnight: dt.datetime) -> Iterator[Period]:
    hour = dt.timedelta(hours=1)
    starts_at = stretch.starts_at
    while starts_at < stretch.ends_at:
        following = starts_at - (starts_at - midnight) % hour + hour
        yield Period(starts_at, min(following, stretch.ends_at))
        starts_at = following


def _check_quarters(period: Period) -> None:
    for instant in (period.starts_at, period.ends_at):
        if instant != bucket_of(instant).starts_at:
            raise UnableToMeasure(f"Use is kept by quarters of an hour; {instant.isoformat()} lies inside one.")
