"""From an invoice line to the events behind it, and from events to the lines they were billed on.

A line's events are those of its service period that its meter counts, with a stamp above `clock_from` and at most
`clock_to`: arrivals, and corrections, which take back what stood before and put what stands since.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from django.db import connection

from billing.metering.decoding import decode_data
from billing.metering.directory import MeterPlan, meter_plan
from billing.metering.labelling import Held, read_meters
from billing.models import Event, InvoiceLine, LineKind
from catalog.models import Meter
from catalog.money import ZERO, exact_arithmetic


@dataclass(frozen=True, slots=True)
class LineageEntry:
    """An event, or a correction of one, that a line billed.

    `sign` is 1 for what was added and -1 for what was taken back; `value` is what the meter reads in the data, None
    for a count. `position` is 0 for the event itself, else its correction's.
    """

    sign: Literal[1, -1]
    kind: Literal["event", "void", "amend"]
    key: UUID
    position: int
    source_id: int
    event_id: str
    occurred_at: dt.datetime
    clock: int
    value: Decimal | str | None


@dataclass(frozen=True, slots=True)
class Lineage:
    """What a line billed: events added less events taken back, the sum of their values, and (a page of) them."""

    count: int
    sum: Decimal
    entries: list[LineageEntry]


# Every change of the line's use in order: what came, what was taken back (-1), what was put in its place (1).
_CHANGES = """
    SELECT 1 AS sign, 'event' AS kind, event.key, 0 AS position, event.source_id, event.event_id, event.occurred_at,
        event.clock, event.data, event.meters
    FROM billing_event AS event
    WHERE event.customer_id = %(customer)s AND event.clock > %(after)s AND event.clock <= %(upto)s
        AND event.occurred_at >= %(starts_at)s AND event.occurred_at < %(ends_at)s
        AND %(meter)s = ANY (event.meters)
    UNION ALL
    SELECT change.sign, correction.kind, correction.key, correction.position, correction.source_id,
        correction.event_id, correction.occurred_at, correction.clock, change.data, change.meters
    FROM billing_correction AS correction
    JOIN billing_event AS event ON event.customer_id = correction.customer_id
        AND event.occurred_at = correction.occurred_at AND event.key = correction.key
    LEFT JOIN billing_correction AS before
        ON before.key = correction.key AND before.position = correction.position - 1
    CROSS JOIN LATERAL (VALUES
        (-1, coalesce(before.data, event.data), coalesce(before.meters, event.meters)),
        (1, correction.data, correction.meters)
    ) AS change (sign, data, meters)
    WHERE correction.customer_id = %(customer)s AND correction.clock > %(after)s AND correction.clock <= %(upto)s
        AND correction.occurred_at >= %(starts_at)s AND correction.occurred_at < %(ends_at)s
        AND %(meter)s = ANY (change.meters)
    ORDER BY clock, occurred_at, key, position, sign
"""


def events_behind(line: InvoiceLine, *, offset: int = 0, limit: int | None = None) -> Lineage:
    """The events a usage line billed. For a count or a sum, `count` or `sum` is the line's quantity, exactly.

    All of them are counted, in flat memory; `entries` holds `limit` of them from `offset` on. A line without a meter
    has none.
    """
    count = 0
    total = ZERO
    entries: list[LineageEntry] = []
    last = None if limit is None else offset + limit
    with exact_arithmetic():
        for place, entry in enumerate(entries_behind(line)):
            count += entry.sign
            if isinstance(entry.value, Decimal):
                total += entry.sign * entry.value
            if place >= offset and (last is None or place < last):
                entries.append(entry)
    return Lineage(count, total, entries)


def entries_behind(line: InvoiceLine) -> Iterator[LineageEntry]:
    """Everything that a usage line billed, in the order in which it became known; streamed."""
    is_usage = line.entry_kind == LineKind.USAGE and line.clock_to is not None
    meter = Meter.objects.filter(key=line.meter).first() if is_usage else None
    if meter is None:
        return
    plan = meter_plan(meter)
    asked: dict[str, Any] = {
        "customer": line.contract.customer_id,
        "meter": meter.pk,
        "after": line.clock_from or 0,
        "upto": line.clock_to,
        "starts_at": line.service_starts_at,
        "ends_at": line.service_ends_at,
    }
    with connection.chunked_cursor() as cursor:
        cursor.execute(_CHANGES, asked)
        for sign, kind, key, position, source_id, event_id, occurred_at, clock, data, _ in cursor:
            read = _value(plan, data)
            yield LineageEntry(sign, kind, key, position, source_id, event_id, occurred_at, clock, read)


def _value(plan: MeterPlan, data: str) -> Decimal | str | None:
    read = read_meters((plan,), decode_data(data.encode()))
    if isinstance(read, Held) or not read:
        return None  # changed behind our back; the books say so
    value = read[0].value
    return Decimal(value) if isinstance(value, int) else value


_LINES = """
    SELECT asked.key, array_agg(DISTINCT line.id)
    FROM unnest(%s::uuid[], %s::bigint[], %s::timestamptz[]) AS asked (key, customer_id, occurred_at)
    JOIN billing_event AS event ON event.customer_id = asked.customer_id
        AND event.occurred_at = asked.occurred_at AND event.key = asked.key
    JOIN contracts_contract AS contract ON contract.customer_id = event.customer_id
    JOIN billing_invoiceline AS line ON line.contract_id = contract.id
        AND line.service_starts_at <= event.occurred_at AND line.service_ends_at > event.occurred_at
    JOIN catalog_meter AS meter ON meter.key = line.meter
    CROSS JOIN LATERAL (
        SELECT event.clock, event.meters
        UNION ALL
        SELECT correction.clock, correction.meters || coalesce(before.meters, event.meters)
        FROM billing_correction AS correction
        LEFT JOIN billing_correction AS before
            ON before.key = correction.key AND before.position = correction.position - 1
        WHERE correction.key = event.key
    ) AS change (clock, meters)
    WHERE line.entry_kind = 'usage' AND change.clock > coalesce(line.clock_from, 0) AND change.clock <= line.clock_to
        AND meter.id = ANY (change.meters)
    GROUP BY asked.key
"""


def lines_of(events: Sequence[Event]) -> dict[UUID, list[InvoiceLine]]:
    """The invoice lines that each of these events, or a correction of it, was billed on, by the event's key.

    Two queries, however many events. Lines of drafts and of voided invoices are among them; the invoice says so.
    """
    columns: list[list[Any]] = [
        [event.key for event in events],
        [event.customer_id for event in events],
        [event.occurred_at for event in events],
    ]
    with connection.cursor() as cursor:
        cursor.execute(_LINES, columns)
        found: dict[UUID, list[int]] = dict(cursor.fetchall())
    lines = _lines({id for ids in found.values() for id in ids})
    return {event.key: [lines[id] for id in sorted(found.get(event.key, []))] for event in events}


def _lines(ids: Iterable[int]) -> dict[int, InvoiceLine]:
    return InvoiceLine.objects.select_related("invoice").in_bulk(list(ids))
