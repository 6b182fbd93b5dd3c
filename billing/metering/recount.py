"""Buckets computed again from the events as they stand, by the pure fold, and compared with what is there.

Shares nothing with the way buckets are written: no upsert, no difference, no SQL arithmetic. Streams events, buckets
and distinct values side by side and keeps no more than a quarter of an hour of them in memory. Call inside one snapshot
(REPEATABLE READ), or what arrives meanwhile shows as a difference.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from heapq import merge
from itertools import groupby
from operator import itemgetter
from uuid import UUID

from django.db import connection

from billing.metering.aggregation import EMPTY, Latest, Partial, Sample, bucket_of, fold
from billing.metering.directory import MeterPlan, meter_plan
from billing.metering.distinct import digest_of
from billing.metering.standing import StandingEvent, readings_of, sample_of, standing_events
from billing.models import Bucket, DistinctValue
from catalog.models import Meter
from catalog.periods import Period

# meter, start, group
Place = tuple[int, dt.datetime, str]
# start, which of the streams, and what it says of a place
_Tagged = tuple[dt.datetime, int, Place, Partial]


@dataclass(frozen=True, slots=True)
class Difference:
    """A bucket that does not hold what its events come to; `expected` is from the events, `found` from the tables.

    Their `values` are the digests by which distinct values are kept.
    """

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
    UNION
    SELECT customer_id, date_trunc('month', starts_at, 'UTC') FROM billing_distinctvalue GROUP BY 1, 2
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
    """The differences of one month, in order."""
    streams = (expected_partials(one, plans), buckets_found(one), values_found(one))
    tagged = [_tagged(tag, stream) for tag, stream in enumerate(streams)]
    for _, quarter in groupby(merge(*tagged, key=_starts_at), key=_starts_at):
        expected: dict[Place, Partial] = {}
        found: dict[Place, Partial] = {}
        values: dict[Place, Partial] = {}
        for _, tag, place, partial in quarter:
            (expected, found, values)[tag][place] = partial
        for place in sorted({*expected, *found, *values}):
            wanted = expected.get(place, EMPTY)
            there = replace(found.get(place, EMPTY), values=values.get(place, EMPTY).values)
            if there != wanted:
                yield Difference(one.customer_id, *place, wanted, there)


def _tagged(tag: int, stream: Iterable[tuple[Place, Partial]]) -> Iterator[_Tagged]:
    return ((place[1], tag, place, partial) for place, partial in stream)


def _starts_at(tagged: _Tagged) -> dt.datetime:
    return tagged[0]


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
            digests = frozenset(str(UUID(bytes=digest_of(text))) for text in partial.values)
            yield (meter_id, stretch.starts_at, group), replace(partial, values=digests)


def _samples(event: StandingEvent, plans: Mapping[int, MeterPlan]) -> Iterator[tuple[int, str, Sample]]:
    for reading in readings_of(event.data, event.meters, plans):
        yield reading.meter.id, reading.group, sample_of(reading, event)


def buckets_found(one: CustomerMonth) -> Iterator[tuple[Place, Partial]]:
    """What the table says, a quarter after the other; a bucket that corrections have emptied is as good as none."""
    stored = Bucket.objects.filter(
        customer_id=one.customer_id, starts_at__gte=one.month.starts_at, starts_at__lt=one.month.ends_at
    )
    for row in stored.order_by("starts_at").iterator():
        yield (row.meter_id, row.starts_at, row.group), partial_of(row)


def values_found(one: CustomerMonth) -> Iterator[tuple[Place, Partial]]:
    """The distinct values that the table has of each bucket, a quarter after the other."""
    stored = DistinctValue.objects.filter(
        customer_id=one.customer_id, starts_at__gte=one.month.starts_at, starts_at__lt=one.month.ends_at
    )
    rows = stored.order_by("starts_at", "meter_id", "group").values_list("meter_id", "starts_at", "group", "digest")
    for place, some in groupby(rows.iterator(), key=itemgetter(0, 1, 2)):
        yield place, Partial(values=frozenset(str(digest) for *_, digest in some))


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
