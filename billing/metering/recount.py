"""Buckets computed again from the events as they stand, by the pure fold, and compared with what is there.

Shares nothing with the way buckets are written: no upsert, no difference, no SQL arithmetic. Streams a month of a
customer at a time and keeps no more than a quarter of an hour of events in memory. Call inside one snapshot
(REPEATABLE READ), or what arrives meanwhile shows as a difference.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import groupby

from django.db import connection

from billing.metering.aggregation import EMPTY, Latest, Partial, Sample, bucket_of, fold
from billing.metering.directory import MeterPlan, meter_plan
from billing.metering.standing import StandingEvent, readings_of, sample_of, standing_events
from billing.models import Bucket
from catalog.models import Meter
from catalog.periods import Period

# meter, start, group
Place = tuple[int, dt.datetime, str]


@dataclass(frozen=True, slots=True)
class Difference:
    """A bucket that does not hold what its events come to; `expected` is from the events, `found` from the table."""

    customer_id: int
    meter_id: int
    starts_at: dt.datetime
    group: str
    expected: Partial
    found: Partial


@dataclass(frozen=True, slots=True)
class CustomerMonth:
    """A customer's month (UTC) of which there are events or buckets."""

    customer_id: int
    month: Period


_MONTHS = """
    SELECT customer_id, date_trunc('month', occurred_at, 'UTC') FROM billing_event GROUP BY 1, 2
    UNION
    SELECT customer_id, date_trunc('month', starts_at, 'UTC') FROM billing_bucket GROUP BY 1, 2
    ORDER BY 1, 2
"""


def months_with_use() -> list[CustomerMonth]:
    """Everything there is to recount."""
    with connection.cursor() as cursor:
        cursor.execute(_MONTHS)
        return [CustomerMonth(customer_id, month_from(first)) for customer_id, first in cursor.fetchall()]


def month_from(first: dt.datetime) -> Period:
    first = first.astimezone(dt.UTC)
    following = dt.datetime(first.year + first.month // 12, first.month % 12 + 1, 1, tzinfo=dt.UTC)
    return Period(first, following)


def recount(months: Iterable[CustomerMonth] | None = None) -> Iterator[Difference]:
    """Every bucket of these months (all of them) that is not what its events come to, in order."""
    plans = {meter.pk: meter_plan(meter) for meter in Meter.objects.all()}
    for one in months_with_use() if months is None else months:
        yield from recount_month(one, plans)


def recount_month(one: CustomerMonth, plans: Mapping[int, MeterPlan]) -> Iterator[Difference]:
    found = buckets_found(one)
    for place, expected in expected_partials(one, plans):
        there = found.pop(place, EMPTY)
        if there != expected:
            yield Difference(one.customer_id, *place, expected, there)
    for place, there in sorted(found.items()):
        if there != EMPTY:
            yield Difference(one.customer_id, *place, EMPTY, there)


def expected_partials(one: CustomerMonth, plans: Mapping[int, MeterPlan]) -> Iterator[tuple[Place, Partial]]:
    """The partial of every bucket that events of the month belong to, a quarter of an hour after the other."""
    events = standing_events(one.customer_id, one.month, in_order=True)
    for stretch, quarter in groupby(events, key=lambda event: bucket_of(event.occurred_at)):
        samples: dict[tuple[int, str], list[Sample]] = {}
        for event in quarter:
            for meter_id, group, sample in _samples(event, plans):
                samples.setdefault((meter_id, group), []).append(sample)
        for (meter_id, group), some in sorted(samples.items()):
            partial = fold(plans[meter_id].aggregation, some, stretch)
            # A bucket does not hold distinct values; they are read from the events.
            yield (meter_id, stretch.starts_at, group), replace(partial, values=frozenset())


def _samples(event: StandingEvent, plans: Mapping[int, MeterPlan]) -> Iterator[tuple[int, str, Sample]]:
    for reading in readings_of(event.data, event.meters, plans):
        yield reading.meter.id, reading.group, sample_of(reading, event)


def buckets_found(one: CustomerMonth) -> dict[Place, Partial]:
    """What the table says; a bucket that corrections have emptied is as good as none."""
    stored = Bucket.objects.filter(
        customer_id=one.customer_id, starts_at__gte=one.month.starts_at, starts_at__lt=one.month.ends_at
    )
    return {(row.meter_id, row.starts_at, row.group): partial_of(row) for row in stored.iterator()}


def partial_of(row: Bucket) -> Partial:
    """A stored bucket in the words of the pure fold."""
    if row.latest is None or row.latest_at is None:
        latest = None
    else:
        latest = Latest(row.latest_at, row.latest_clock or 0, row.latest)
    partial = Partial(
        n=row.n,
        total=row.total,
        maximum=row.maximum,
        minimum=row.minimum,
        latest=latest,
        weighted=row.weighted,
        ends_at=None if row.weighted is None else bucket_of(row.starts_at).ends_at,
    )
    nothing = (None, Decimal(0))
    is_empty = row.n == 0 and row.total in nothing and row.weighted in nothing
    return EMPTY if is_empty and (row.maximum, row.minimum, row.latest) == (None, None, None) else partial
