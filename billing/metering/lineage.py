"""From an invoice line to the events behind it, and from events to the lines they were billed on.

A line's events are those of its service period that its meter counts, with a stamp above `clock_from` and at most
`clock_to`: arrivals, and corrections, which take back what stood before and put what stands since. After a void, or
where terms moved the days of a line, its `extent` says what adds up to them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from typing import Any, Literal
from uuid import UUID

import msgspec
from django.db import connection

from billing.metering.decoding import decode_data
from billing.metering.directory import MeterPlan, meter_plan
from billing.metering.labelling import Held, Reading, read_meters
from billing.models import Correction, Event, InvoiceLine, LineKind
from catalog.models import Meter
from catalog.money import ZERO, exact_arithmetic
from catalog.selection import Selection, from_json


@dataclass(frozen=True, slots=True)
class LineageEntry:
    """An event, or a correction of one, that a line billed.

    `sign` is 1 for what was added and -1 for what was taken back; `value` is what the meter reads in the data, None
    for a count. `position` is 0 for the event itself, else its correction's.
    """

    sign: int
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


# Every change of the line's use in order: what came, what was taken back (-1), what was put in its place (1). A line
# has one stretch, or several that add up: what is in as often as out is not its own.
_CHANGES = """
    WITH stretch AS (
        SELECT * FROM unnest(%(times)s::int[], %(starts)s::timestamptz[], %(ends)s::timestamptz[], %(after)s::bigint[],
            %(upto)s::bigint[]) AS stretch (times, starts_at, ends_at, after, upto)
    ), change AS (
        SELECT times AS sign, 'event' AS kind, event.key, 0 AS position, event.source_id, event.event_id,
            event.occurred_at, event.clock, event.data, event.meters
        FROM stretch
        JOIN billing_event AS event ON event.customer_id = %(customer)s
            AND event.clock > stretch.after AND event.clock <= stretch.upto
            AND event.occurred_at >= stretch.starts_at AND event.occurred_at < stretch.ends_at
        WHERE %(meter)s = ANY (event.meters)
        UNION ALL
        SELECT change.sign * times, correction.kind, correction.key, correction.position, correction.source_id,
            correction.event_id, correction.occurred_at, correction.clock, change.data, change.meters
        FROM stretch
        JOIN billing_correction AS correction ON correction.customer_id = %(customer)s
            AND correction.clock > stretch.after AND correction.clock <= stretch.upto
            AND correction.occurred_at >= stretch.starts_at AND correction.occurred_at < stretch.ends_at
        JOIN billing_event AS event ON event.customer_id = correction.customer_id
            AND event.occurred_at = correction.occurred_at AND event.key = correction.key
        LEFT JOIN billing_correction AS before
            ON before.key = correction.key AND before.position = correction.position - 1
        CROSS JOIN LATERAL (VALUES
            (-1, coalesce(before.data, event.data), coalesce(before.meters, event.meters)),
            (1, correction.data, correction.meters)
        ) AS change (sign, data, meters)
        WHERE %(meter)s = ANY (change.meters)
    )
"""

_IN_ORDER = "SELECT * FROM change ORDER BY clock, occurred_at, key, position, sign"
_ADDED_UP = """
    SELECT sum(sign), kind, key, position, source_id, event_id, occurred_at, clock, data, meters
    FROM change
    GROUP BY kind, key, position, source_id, event_id, occurred_at, clock, data, meters
    HAVING sum(sign) <> 0
    ORDER BY clock, occurred_at, key, position, 1
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


def count_behind(line: InvoiceLine) -> int:
    """How many events a usage line billed, less those taken back.

    Counted by the database, whatever their number, unless the price takes a part of the meter's use alone.
    """
    if line.selection:
        return sum(entry.sign for entry in entries_behind(line))
    asked = _asked(line)
    if asked is None:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(f"{_CHANGES} SELECT coalesce(sum(sign), 0) FROM change", asked[1])
        return int(cursor.fetchone()[0])


def entries_behind(line: InvoiceLine, *, offset: int = 0, limit: int | None = None) -> Iterator[LineageEntry]:
    """Everything that a usage line billed, or a page of it, in the order in which it became known; streamed."""
    asked = _asked(line)
    if asked is None:
        return
    meter, parameters = asked
    plan = meter_plan(meter)
    if not line.selection:
        page = {"offset": offset, "limit": limit}
        yield from (_entry(row, _reading(plan, row[8])) for row in _changes(line, {**parameters, **page}))
        return
    selection = from_json(line.selection)
    read = ((row, _reading(plan, row[8])) for row in _changes(line, {**parameters, "offset": 0, "limit": None}))
    taken = (_entry(row, reading) for row, reading in read if reading is None or _takes(selection, plan, reading))
    yield from islice(taken, offset, None if limit is None else offset + limit)


def _changes(line: InvoiceLine, parameters: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    statement = f"{_CHANGES}{_ADDED_UP if line.extent else _IN_ORDER} OFFSET %(offset)s LIMIT %(limit)s"
    with connection.chunked_cursor() as cursor:
        cursor.execute(statement, parameters)
        yield from cursor


def _entry(row: tuple[Any, ...], reading: Reading | None) -> LineageEntry:
    sign, kind, key, position, source_id, event_id, occurred_at, clock, *_ = row
    value = None if reading is None else reading.value
    number = Decimal(value) if isinstance(value, int) else value
    return LineageEntry(sign, kind, key, position, source_id, event_id, occurred_at, clock, number)


def _takes(selection: Selection, plan: MeterPlan, reading: Reading) -> bool:
    values = msgspec.json.decode(reading.group, type=list[str | None]) if reading.group else []
    return selection.takes(plan.group_by, values or [None] * len(plan.group_by))


def _asked(line: InvoiceLine) -> tuple[Meter, dict[str, Any]] | None:
    """The meter of a usage line and the parameters of `_CHANGES`; None where no events are behind it."""
    is_usage = line.entry_kind == LineKind.USAGE and line.clock_to is not None
    meter = Meter.objects.filter(key=line.meter).first() if is_usage else None
    if meter is None:
        return None
    plain = [[1, line.service_starts_at, line.service_ends_at, line.clock_to]]
    stretches = line.extent or plain
    return meter, {
        "customer": line.contract.customer_id,
        "meter": meter.pk,
        "times": [times for times, *_ in stretches],
        "starts": [starts_at for _, starts_at, _, _ in stretches],
        "ends": [ends_at for _, _, ends_at, _ in stretches],
        "after": [0 if line.extent else line.clock_from or 0 for _ in stretches],
        "upto": [upto for *_, upto in stretches],
    }


def _reading(plan: MeterPlan, data: str) -> Reading | None:
    """What data add to the meter; None where they were changed behind our back, as the books say."""
    read = read_meters((plan,), decode_data(data.encode()))
    return None if isinstance(read, Held) or not read else read[0]


_LINES = """
    WITH change AS (
        SELECT asked.key, event.customer_id, event.occurred_at, own.clock, own.meters
        FROM unnest(%s::uuid[], %s::bigint[], %s::timestamptz[]) AS asked (key, customer_id, occurred_at)
        JOIN billing_event AS event ON event.customer_id = asked.customer_id
            AND event.occurred_at = asked.occurred_at AND event.key = asked.key
        CROSS JOIN LATERAL (
            SELECT event.clock, event.meters
            UNION ALL
            SELECT correction.clock, correction.meters || coalesce(before.meters, event.meters)
            FROM billing_correction AS correction
            LEFT JOIN billing_correction AS before
                ON before.key = correction.key AND before.position = correction.position - 1
            WHERE correction.key = event.key
        ) AS own (clock, meters)
    ), told AS (
        SELECT change.key, line.id, change.clock
        FROM change
        JOIN contracts_contract AS contract ON contract.customer_id = change.customer_id
        JOIN billing_invoiceline AS line ON line.contract_id = contract.id AND line.entry_kind = 'usage'
        JOIN catalog_meter AS meter ON meter.key = line.meter AND meter.id = ANY (change.meters)
        CROSS JOIN LATERAL (
            SELECT 1 AS times, line.service_starts_at AS starts_at, line.service_ends_at AS ends_at,
                coalesce(line.clock_from, 0) AS after, line.clock_to AS upto
            WHERE line.extent = '[]'
            UNION ALL
            SELECT (part ->> 0)::int, (part ->> 1)::timestamptz, (part ->> 2)::timestamptz, 0, (part ->> 3)::bigint
            FROM jsonb_array_elements(line.extent) AS part
        ) AS stretch
        WHERE stretch.starts_at <= change.occurred_at AND stretch.ends_at > change.occurred_at
            AND change.clock > stretch.after AND change.clock <= stretch.upto
        GROUP BY change.key, line.id, change.clock
        HAVING sum(stretch.times) <> 0
    )
    SELECT DISTINCT key, id FROM told ORDER BY key, id
"""


def lines_of(events: Sequence[Event]) -> dict[UUID, list[InvoiceLine]]:
    """The invoice lines that each of these events, or a correction of it, was billed on, by the event's key.

    A few queries, however many events. Lines of drafts and of voided invoices are among them; the invoice says so.
    """
    columns: list[list[Any]] = [
        [event.key for event in events],
        [event.customer_id for event in events],
        [event.occurred_at for event in events],
    ]
    with connection.cursor() as cursor:
        cursor.execute(_LINES, columns)
        pairs: list[tuple[UUID, int]] = cursor.fetchall()
    lines = _lines({id for _, id in pairs})
    parts = {pk: line for pk, line in lines.items() if line.selection}
    if parts:
        pairs = _taken(pairs, parts, {event.key: event for event in events})
    found: dict[UUID, list[InvoiceLine]] = {event.key: [] for event in events}
    for key, id in pairs:
        found[key].append(lines[id])
    return found


def _taken(
    pairs: Sequence[tuple[UUID, int]], parts: Mapping[int, InvoiceLine], events: Mapping[UUID, Event]
) -> list[tuple[UUID, int]]:
    """Without the lines whose price takes other use: what the event said, or came to say, is not theirs."""
    meters = Meter.objects.filter(key__in={line.meter for line in parts.values()})
    plans = {meter.key: meter_plan(meter) for meter in meters}
    said: dict[UUID, list[str]] = {key: [event.data] for key, event in events.items()}
    for key, data in Correction.objects.filter(key__in=list(events), kind="amend").values_list("key", "data"):
        said[key].append(data)

    def is_taken(key: UUID, line: InvoiceLine) -> bool:
        plan, selection = plans[line.meter], from_json(line.selection)
        read = (_reading(plan, data) for data in said[key])
        return any(reading is not None and _takes(selection, plan, reading) for reading in read)

    return [(key, id) for key, id in pairs if id not in parts or is_taken(key, parts[id])]


def _lines(ids: Iterable[int]) -> dict[int, InvoiceLine]:
    return InvoiceLine.objects.select_related("invoice").in_bulk(list(ids))
