"""The distinct values of buckets: what a batch adds to them, and what a correction leaves of them.

Kept as digests, 16 bytes each, however long the texts are; the database can make them too. Like its bucket, a row is
only ever written by whoever holds the clock of its customer, after the buckets and in the order of its key.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from hashlib import sha256
from uuid import UUID

import psycopg
from msgspec import Struct

from billing.metering.binary import bigints, instants, texts, uuids
from billing.metering.decoding import datetime_of

Cursor = psycopg.Cursor[tuple[object, ...]]

# customer, meter, start (microseconds since EPOCH, a multiple of a quarter), group
BucketKey = tuple[int, int, int, str]


def digest_of(text: str) -> bytes:
    """The name of a value among the distinct ones: the first 16 bytes of its SHA-256."""
    return sha256(text.encode()).digest()[:16]


ADD = """
    INSERT INTO billing_distinctvalue (customer_id, meter_id, starts_at, "group", digest, clock)
    SELECT customer_id, meter_id, starts_at, "group", digest, clock
    FROM unnest(%s, %s, %s, %s, %s, %s) AS added (customer_id, meter_id, starts_at, "group", digest, clock)
    ON CONFLICT DO NOTHING
"""


class PreparedValues(Struct, frozen=True):
    """Values as parameters of the statement above, but for the clocks; `customers` are those of the rows."""

    customers: list[int]
    keys: list[bytes]


def prepare_values(values: Iterable[tuple[BucketKey, Collection[str]]]) -> PreparedValues:
    """Values by bucket, these in the order of their keys."""
    rows = [(key, digest) for key, some in values for digest in sorted(map(digest_of, some))]
    customers = [key[0] for key, _ in rows]
    keys: list[bytes] = [
        bigints(customers),
        bigints([key[1] for key, _ in rows]),
        instants([key[2] for key, _ in rows]),
        texts([key[3] for key, _ in rows]),
        uuids([digest for _, digest in rows]),
    ]
    return PreparedValues(customers, keys)


def add_values(cursor: Cursor, prepared: PreparedValues, clocks: Mapping[int, int]) -> None:
    """Add those that their buckets have not seen yet, stamped with their customers' clocks."""
    if prepared.customers:
        cursor.execute(ADD, [*prepared.keys, bigints([clocks[customer] for customer in prepared.customers])])


DROP = """
    DELETE FROM billing_distinctvalue
    WHERE customer_id = %s AND meter_id = %s AND starts_at = %s AND "group" = %s AND digest <> ALL (%s)
"""


def put_values(cursor: Cursor, values: Mapping[BucketKey, Collection[str]], clocks: Mapping[int, int]) -> None:
    """Leave in these buckets exactly these values; what was there before keeps its stamp."""
    ordered = sorted(values.items())
    for (customer_id, meter_id, starts_at, group), some in ordered:
        standing = [UUID(bytes=digest_of(text)) for text in some]
        cursor.execute(DROP, [customer_id, meter_id, datetime_of(starts_at), group, standing])
    add_values(cursor, prepare_values(ordered), clocks)
