"""Events as they stand: net of what later corrections took back or replaced."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection
from msgspec import Struct

from billing.metering.aggregation import Sample
from billing.metering.decoding import decode_data
from billing.metering.directory import MeterPlan, meter_plan
from billing.metering.labelling import Held, Reading, read_meters
from catalog.models import Meter
from catalog.periods import Period


class StandingEvent(Struct, frozen=True):
    """An event that is not voided, with the data that count. `clock` stays that of its arrival."""

    key: UUID
    customer_id: int
    occurred_at: dt.datetime
    clock: int
    data: dict[str, Any]
    meters: list[int]


# The data and meters that count, for the events of an alias `event`; a void leaves no row.
STANDING = """
    SELECT event.key, event.customer_id, event.occurred_at, event.clock,
        coalesce(last.data, event.data), coalesce(last.meters, event.meters)
    FROM billing_event AS event
    LEFT JOIN LATERAL (
        SELECT kind, data, meters FROM billing_correction AS correction
        WHERE correction.key = event.key AND correction.clock <= %(clock)s
        ORDER BY position DESC LIMIT 1
    ) AS last ON true
    WHERE event.customer_id = %(customer)s AND event.clock <= %(clock)s
        AND event.occurred_at >= %(starts_at)s AND event.occurred_at < %(ends_at)s
        AND last.kind IS DISTINCT FROM 'void'
"""
LATEST_CLOCK = 2**63 - 1


def standing_events(
    customer_id: int,
    stretch: Period,
    *,
    clock: int = LATEST_CLOCK,
    meter_id: int | None = None,
    in_order: bool = False,
) -> Iterator[StandingEvent]:
    """The events of a customer in a stretch of time, as corrected up to a clock; streamed from the server.

    `meter_id`: only those that this meter counts; `in_order`: of time, then of arrival.
    """
    where = "" if meter_id is None else " AND %(meter)s = ANY (coalesce(last.meters, event.meters))"
    order = " ORDER BY event.occurred_at, event.clock, event.key" if in_order else ""
    asked: dict[str, Any] = {
        "customer": customer_id,
        "clock": clock,
        "starts_at": stretch.starts_at,
        "ends_at": stretch.ends_at,
        "meter": meter_id,
    }
    with connection.chunked_cursor() as cursor:
        cursor.execute(STANDING + where + order, asked)
        for key, customer, occurred_at, stamp, data, meters in cursor:
            yield StandingEvent(key, customer, occurred_at, stamp, _read(data), meters)


def _read(text: str) -> dict[str, Any]:
    """Data that somebody made unreadable behind our back hold nothing; then what was counted shows as a difference."""
    try:
        return decode_data(text.encode())
    except (ValueError, ArithmeticError, RecursionError):
        return {}


def plans_of(meter_ids: Iterable[int]) -> dict[int, MeterPlan]:
    return {meter.pk: meter_plan(meter) for meter in Meter.objects.filter(pk__in=set(meter_ids))}


def readings_of(data: Mapping[str, Any], meters: Iterable[int], plans: Mapping[int, MeterPlan]) -> list[Reading]:
    """What data add to the meters that are known to count them. Data that can no longer be read add nothing."""
    readings: list[Reading] = []
    for meter_id in meters:
        read = read_meters((plans[meter_id],), data) if meter_id in plans else []
        readings += [] if isinstance(read, Held) else read
    return readings


def sample_of(reading: Reading, event: StandingEvent) -> Sample:
    """A reading in the words of the pure fold."""
    text = reading.value if isinstance(reading.value, str) else None
    number = None if reading.value is None or isinstance(reading.value, str) else Decimal(reading.value)
    return Sample(value=number, at=event.occurred_at, clock=event.clock, unique=text)
