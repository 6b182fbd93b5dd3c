"""What was used: meters read over stretches of time, for many customers at once.

Reads buckets, so it sees an event as soon as its batch is committed and costs the same whether a customer sent a
thousand events or a billion. Only distinct values are counted from the events themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
from django.db import connection

from billing.metering.aggregation import Latest, Partial, value
from billing.metering.readings import read_text
from catalog.models import Aggregation, Meter
from catalog.money import ZERO
from catalog.periods import Period


@dataclass(frozen=True, slots=True)
class Ask:
    """A meter of a customer over a stretch of time whose ends are quarters of an hour."""

    customer_id: int
    meter_id: int
    period: Period


@dataclass(frozen=True, slots=True)
class Measured:
    """The aggregated quantity, the events behind it, and the customer's usage clock at which it was read."""

    quantity: Decimal
    events: int
    clock: int


_MEASURE = """
    WITH asked AS (
        SELECT * FROM unnest(%s::int[], %s::bigint[], %s::bigint[], %s::timestamptz[], %s::timestamptz[], %s::text[])
            AS asked (ask, customer_id, meter_id, starts_at, ends_at, aggregation)
    )
    SELECT asked.ask, coalesce(clock.clock, 0), coalesce(used.n, 0), used.total, used.maximum, used.minimum,
        used.weighted, latest.latest, latest.latest_at, latest.latest_clock
    FROM asked
    LEFT JOIN billing_usageclock clock ON clock.customer_id = asked.customer_id
    CROSS JOIN LATERAL (
        SELECT sum(bucket.n) AS n, sum(bucket.total) AS total, max(bucket.maximum) AS maximum,
            min(bucket.minimum) AS minimum,
            sum(bucket.weighted + bucket.total * 1000000 * extract(
                epoch FROM asked.ends_at - bucket.starts_at - interval '15 minutes'
            )) AS weighted
        FROM billing_bucket bucket
        WHERE bucket.customer_id = asked.customer_id AND bucket.meter_id = asked.meter_id
          AND bucket.starts_at >= asked.starts_at AND bucket.starts_at < asked.ends_at
    ) used
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
"""One statement, so that the clock and the buckets are of one snapshot."""


def measure(asks: Sequence[Ask]) -> dict[Ask, Measured]:
    """Answer every ask, in one query for all that buckets answer. Nothing used is zero."""
    if not asks:
        return {}
    meters = Meter.objects.in_bulk({ask.meter_id for ask in asks})
    measured: dict[Ask, Measured] = {}
    distinct: list[tuple[Ask, int]] = []
    for index, clock, n, *numbers in _read(asks, meters):
        ask = asks[index]
        meter = meters[ask.meter_id]
        if meter.aggregation == Aggregation.UNIQUE_COUNT:
            distinct.append((ask, clock))
            continue
        quantity = value(meter.aggregation, _partial(ask, n, *numbers), ask.period) if n else ZERO
        measured[ask] = Measured(quantity, n, clock)
    for ask, clock in distinct:
        measured[ask] = _distinct(ask, meters[ask.meter_id], clock)
    return measured


def _read(asks: Sequence[Ask], meters: Mapping[int, Meter]) -> Iterable[tuple[Any, ...]]:
    columns: list[Any] = [
        list(range(len(asks))),
        [ask.customer_id for ask in asks],
        [ask.meter_id for ask in asks],
        [ask.period.starts_at for ask in asks],
        [ask.period.ends_at for ask in asks],
        [meters[ask.meter_id].aggregation for ask in asks],
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


_STANDING = """
    SELECT coalesce(last.data, event.data)
    FROM billing_event event
    LEFT JOIN LATERAL (
        SELECT correction.kind, correction.data, correction.meters
        FROM billing_correction correction
        WHERE correction.key = event.key AND correction.clock <= %(clock)s
        ORDER BY correction.position DESC LIMIT 1
    ) last ON true
    WHERE event.customer_id = %(customer)s AND event.clock <= %(clock)s
      AND event.occurred_at >= %(starts_at)s AND event.occurred_at < %(ends_at)s
      AND last.kind IS DISTINCT FROM 'void' AND %(meter)s = ANY (coalesce(last.meters, event.meters))
"""
"""The data of events as corrected up to a clock."""


def _distinct(ask: Ask, meter: Meter, clock: int) -> Measured:
    """Distinct values, from the events themselves; the clock keeps out what came after the buckets were read."""
    values: set[str] = set()
    events = 0
    with connection.cursor() as cursor:
        cursor.execute(
            _STANDING,
            {
                "customer": ask.customer_id,
                "meter": meter.pk,
                "clock": clock,
                "starts_at": ask.period.starts_at,
                "ends_at": ask.period.ends_at,
            },
        )
        for (data,) in cursor:
            found = read_text(msgspec.json.decode(data), meter.value)
            if isinstance(found, str):
                values.add(found)
                events += 1
    return Measured(Decimal(len(values)), events, clock)
