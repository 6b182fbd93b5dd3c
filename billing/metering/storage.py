"""The statements with which a batch enters the main database, in the order in which they take their locks:

register, clocks, events, buckets and their distinct values (billing/metering/buckets.py), receipt. All within one
transaction of the caller's.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from struct import Struct
from uuid import UUID

import psycopg
from django.db import connection

from billing.metering.binary import (
    bigint_array_field,
    bigints,
    copy_rows,
    instants,
    sized,
    uuids,
)
from billing.metering.decoding import Record, datetime_of
from billing.metering.directory import MOST_DATABASES
from billing.metering.labelling import Label

Cursor = psycopg.Cursor[tuple[object, ...]]
Accepted = tuple[Record, Label]


def bulk_cursor() -> Cursor:
    """A cursor with parameters bound by the server; call within a transaction."""
    raw: psycopg.Connection[tuple[object, ...]] = connection.connection
    return psycopg.Cursor(raw)


# The keys are sent in order, and taken in that order.
REGISTER = """
    WITH given AS MATERIALIZED (
        SELECT * FROM unnest(%s, %s, %s, %s) AS given (key, digest, customer_id, occurred_at)
    ), fresh AS (
        INSERT INTO billing_register (key, digest, customer_id, occurred_at)
        SELECT key, digest, customer_id, occurred_at FROM given
        ON CONFLICT DO NOTHING RETURNING key
    )
    SELECT uuid_send(key) FROM given WHERE key NOT IN (SELECT key FROM fresh)
"""


def register(cursor: Cursor, events: Sequence[Accepted]) -> set[bytes]:
    """Take the keys of events that are sorted by them. Returns those that were taken before."""
    if not events:
        return set()
    parameters = [
        uuids([record.key for record, _ in events]),  # type: ignore[misc]  # what has a label has a key
        uuids([record.digest for record, _ in events]),
        bigints([label.customer_id for _, label in events]),
        instants([label.occurred_at for _, label in events]),
    ]
    return {key for (key,) in cursor.execute(REGISTER, parameters, binary=True)}  # type: ignore[misc]


DIGESTS = """
    SELECT uuid_send(key), uuid_send(digest) FROM unnest(%s) AS asked (key) JOIN billing_register USING (key)
"""


def registered_digests(cursor: Cursor, keys: Iterable[bytes]) -> dict[bytes, bytes]:
    """The digests under which these keys are registered.

    A statement after `register`: what another batch has committed in between is invisible to the first one.
    """
    asked = list(keys)
    if not asked:
        return {}
    return dict(cursor.execute(DIGESTS, [uuids(asked)], binary=True).fetchall())  # type: ignore[arg-type]


CLOCKS = """
    INSERT INTO billing_usageclock AS mine (customer_id, clock, dirty_from)
    SELECT customer_id, 1, dirty_from FROM unnest(%s, %s) AS touched (customer_id, dirty_from) ORDER BY customer_id
    ON CONFLICT (customer_id) DO UPDATE SET
        clock = mine.clock + 1, dirty_from = least(mine.dirty_from, excluded.dirty_from)
    RETURNING customer_id, clock
"""


def take_clocks(cursor: Cursor, earliest: Mapping[int, int]) -> dict[int, int]:
    """Lock the clocks of customers and add one; `earliest` is the first instant touched of each. Returns the stamps."""
    customers = sorted(earliest)
    times = [earliest[customer] for customer in customers]
    cursor.execute(CLOCKS, [bigints(customers), instants(times)], binary=True)
    return dict(cursor.fetchall())  # type: ignore[arg-type]


# The clock comes first, so that the rest of a row is packed before anybody's clock is taken.
EVENTS = """
    COPY billing_event (clock, customer_id, occurred_at, key, source_id, event_id, type, subject, data, meters,
        receipt, received_at) FROM STDIN (FORMAT BINARY)
"""
# Each field has its length before it.
_EVENT_STAMP = Struct(">hiq").pack  # the number of fields; clock
_EVENT_HEAD = Struct(">iqiqi16siqi").pack  # customer_id, occurred_at, key, source_id; the length of event_id
_EVENT_TAIL = Struct(">i16siq").pack  # receipt, received_at
_LENGTH = Struct(">i").pack

# A customer, and all of an event's row but the clock.
PackedEvent = tuple[int, bytes]


def pack_events(events: Iterable[Accepted], receipt: UUID, arrival: int) -> list[PackedEvent]:
    """The rows of accepted events, to be stamped and stored by `copy_events`."""
    tail = _EVENT_TAIL(16, receipt.bytes, 8, arrival)
    meters_field = lru_cache(bigint_array_field)
    text_field = lru_cache(_text_field)  # types and subjects repeat
    packed: list[PackedEvent] = []
    for record, label in events:
        customer, event_id, data = label.customer_id, record.id.encode(), record.data_text
        head = _EVENT_HEAD(8, customer, 8, label.occurred_at, 16, record.key, 8, label.source_id, len(event_id))
        fields = (
            head, event_id, text_field(record.type), text_field(record.subject),
            _LENGTH(len(data)), data, meters_field(label.meters), tail,
        )  # fmt: skip
        packed.append((customer, b"".join(fields)))
    return packed


def copy_events(cursor: Cursor, events: Iterable[PackedEvent], clocks: Mapping[int, int]) -> None:
    """Store events, stamped with their customers' clocks."""
    stamps = {customer: _EVENT_STAMP(12, 8, clock) for customer, clock in clocks.items()}
    copy_rows(cursor, EVENTS, [part for customer, rest in events for part in (stamps[customer], rest)])


def _text_field(text: str) -> bytes:
    return sized(text.encode())


RECEIPT = """
    WITH receipt AS (
        INSERT INTO billing_receipt (id, received_at, door, received, accepted, duplicates, quarantined)
        VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING id
    )
    INSERT INTO billing_receiptcount (receipt_id, source, received, accepted, duplicates, quarantined)
    SELECT receipt.id, part.* FROM receipt,
        unnest(%s::text[], %s::int[], %s::int[], %s::int[], %s::int[])
            AS part (source, received, accepted, duplicates, quarantined)
"""

# accepted, duplicates, quarantined
Counts = tuple[int, int, int]


def write_receipt(
    cursor: Cursor, receipt: UUID, at: dt.datetime, door: str, totals: Counts, by_source: Mapping[str, Counts]
) -> None:
    parts = list(by_source.values())
    columns = [[sum(part) for part in parts], *([part[place] for part in parts] for place in range(3))]
    cursor.execute(RECEIPT, [receipt, at, door, sum(totals), *totals, list(by_source), *columns])


# Months of which this process knows that they have a partition, per database.
_months: dict[tuple[object, ...], set[tuple[int, int]]] = {}
_DAY = 24 * 60 * 60 * 1_000_000


def ensure_partitions(times: Iterable[int]) -> None:
    """Make what is missing of the partitions that hold these instants. Call before the batch's transaction."""
    known = _known_months()
    for day in {time // _DAY for time in times}:
        first = datetime_of(day * _DAY)
        if (first.year, first.month) not in known:
            with connection.cursor() as cursor:
                cursor.execute("SELECT watertight_event_partition(%s)", [first])
            known.add((first.year, first.month))


def _known_months() -> set[tuple[int, int]]:
    if connection.in_atomic_block:
        return set()  # what is made inside somebody else's transaction may be rolled back with it
    if len(_months) > MOST_DATABASES:
        _months.clear()
    settings = connection.settings_dict
    return _months.setdefault((settings["HOST"], settings["PORT"], settings["NAME"]), set())


def forget_partitions() -> None:
    """Look again: they may have gone, or another database has taken the place of the one we knew."""
    _months.clear()
