"""Buckets: what a batch adds, gathered in memory, then added in one statement.

A bucket holds the partials of its meter's aggregation as billing/metering/aggregation.py defines them; tests compare
the two. Its row is only ever changed by whoever holds the clock of its customer, so buckets need no order of locks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from operator import itemgetter

import psycopg
from msgspec import Struct

from billing.metering.aggregation import Partial
from billing.metering.binary import bigints, instants, texts
from billing.metering.decoding import QUARTER, datetime_of
from billing.metering.distinct import BucketKey, PreparedValues, add_values, prepare_values
from billing.metering.labelling import Label

Number = int | Decimal


class Addition(Struct):
    """What some events add to one bucket; what its aggregation does not keep is None."""

    n: int = 0
    total: Number | None = None
    maximum: Number | None = None
    minimum: Number | None = None
    latest: tuple[int, Number] | None = None  # (instant, value): one batch has one stamp per customer
    weighted: Number | None = None
    values: set[str] | None = None

    @property
    def keeps_only_total(self) -> bool:
        return self.maximum is None and self.minimum is None and self.latest is None and self.weighted is None


def gather(additions: dict[BucketKey, Addition], labels: Iterable[Label]) -> None:
    """Add the readings of events. Call within `exact_arithmetic()`."""
    for label in labels:
        customer_id, occurred_at = label.customer_id, label.occurred_at
        starts_at = occurred_at - occurred_at % QUARTER
        for reading in label.readings:
            meter, value = reading.meter, reading.value
            key = (customer_id, meter.id, starts_at, reading.group)
            addition = additions.get(key)
            if addition is None:
                addition = additions[key] = Addition()
            addition.n += 1
            if value is None:
                continue  # a count keeps only n
            if type(value) is not str:
                _keep(addition, meter.aggregation, occurred_at, value)  # type: ignore[arg-type]  # no text
            elif addition.values is None:
                addition.values = {value}
            else:
                addition.values.add(value)


def _keep(addition: Addition, aggregation: str, occurred_at: int, value: Number) -> None:
    """Add a value to what this aggregation keeps."""
    if aggregation == "sum" or aggregation == "avg":
        addition.total = value if addition.total is None else addition.total + value
    elif aggregation == "max":
        addition.maximum = value if addition.maximum is None else max(addition.maximum, value)
    elif aggregation == "min":
        addition.minimum = value if addition.minimum is None else min(addition.minimum, value)
    elif aggregation == "latest":
        here = (occurred_at, value)
        addition.latest = here if addition.latest is None else max(addition.latest, here)
    else:
        weighted = value * (QUARTER - occurred_at % QUARTER)
        addition.total = value if addition.total is None else addition.total + value
        addition.weighted = weighted if addition.weighted is None else addition.weighted + weighted


# Counts, sums and averages keep two numbers; they are most of what there is.
ADD_TOTALS = """
    INSERT INTO billing_bucket AS bucket (customer_id, meter_id, starts_at, "group", clock, n, total)
    SELECT customer_id, meter_id, starts_at, "group", clock, n, total::numeric
    FROM unnest(%s, %s, %s, %s, %s, %s, %s)
        AS added (customer_id, meter_id, starts_at, "group", clock, n, total)
    ON CONFLICT (customer_id, meter_id, starts_at, "group") DO UPDATE SET
        clock = excluded.clock,
        n = bucket.n + excluded.n,
        total = coalesce(bucket.total + excluded.total, bucket.total, excluded.total)
"""

ADD_PARTIALS = """
    INSERT INTO billing_bucket AS bucket (
        customer_id, meter_id, starts_at, "group", clock, n, total, maximum, minimum,
        latest, latest_at, latest_clock, weighted
    )
    SELECT customer_id, meter_id, starts_at, "group", clock, n, total::numeric, maximum::numeric, minimum::numeric,
        latest::numeric, latest_at, CASE WHEN latest_at IS NOT NULL THEN clock END, weighted::numeric
    FROM unnest(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) AS added (
        customer_id, meter_id, starts_at, "group", clock, n, total, maximum, minimum, latest, latest_at, weighted
    )
    ON CONFLICT (customer_id, meter_id, starts_at, "group") DO UPDATE SET
        clock = excluded.clock,
        n = bucket.n + excluded.n,
        total = coalesce(bucket.total + excluded.total, bucket.total, excluded.total),
        maximum = greatest(bucket.maximum, excluded.maximum),
        minimum = least(bucket.minimum, excluded.minimum),
        (latest, latest_at, latest_clock) = (
            SELECT CASE WHEN newer THEN excluded.latest ELSE bucket.latest END,
                CASE WHEN newer THEN excluded.latest_at ELSE bucket.latest_at END,
                CASE WHEN newer THEN excluded.latest_clock ELSE bucket.latest_clock END
            FROM (SELECT excluded.latest_at IS NOT NULL AND (
                bucket.latest_at IS NULL OR (excluded.latest_at, excluded.latest_clock, excluded.latest)
                    > (bucket.latest_at, bucket.latest_clock, bucket.latest)
            ) AS newer) AS compared
        ),
        weighted = coalesce(bucket.weighted + excluded.weighted, bucket.weighted, excluded.weighted)
"""

Cursor = psycopg.Cursor[tuple[object, ...]]


class PreparedRows(Struct, frozen=True):
    """Additions as parameters of one of the statements above, but for the clocks; `customers` are those of the rows."""

    statement: str
    customers: list[int]
    keys: list[bytes]
    numbers: list[bytes]


class PreparedAdditions(Struct, frozen=True):
    """What is added to the rows of buckets, and to their distinct values where there are any."""

    rows: list[PreparedRows]
    values: PreparedValues | None


def prepare(additions: Mapping[BucketKey, Addition]) -> PreparedAdditions:
    """Everything about adding that can be done before anybody's clock is taken."""
    totals: list[tuple[BucketKey, Addition]] = []
    partials: list[tuple[BucketKey, Addition]] = []
    values: list[tuple[BucketKey, set[str]]] = []
    for added in sorted(additions.items(), key=itemgetter(0)):
        (totals if added[1].keeps_only_total else partials).append(added)
        if added[1].values is not None:
            values.append((added[0], added[1].values))
    rows = [_prepared(statement, some) for statement, some in ((ADD_TOTALS, totals), (ADD_PARTIALS, partials)) if some]
    return PreparedAdditions(rows, prepare_values(values) if values else None)


def add_to_buckets(cursor: Cursor, prepared: PreparedAdditions, clocks: Mapping[int, int]) -> None:
    """Add to the buckets, stamped with their customers' clocks, which this transaction has taken."""
    for rows in prepared.rows:
        stamps = bigints([clocks[customer] for customer in rows.customers])
        cursor.execute(rows.statement, [*rows.keys, stamps, *rows.numbers])
    if prepared.values is not None:
        add_values(cursor, prepared.values, clocks)


def _prepared(statement: str, added: list[tuple[BucketKey, Addition]]) -> PreparedRows:
    customers = [key[0] for key, _ in added]
    keys: list[bytes] = [
        bigints(customers),
        bigints([key[1] for key, _ in added]),
        instants([key[2] for key, _ in added]),
        texts([key[3] for key, _ in added]),
    ]
    numbers: list[bytes] = [
        bigints([addition.n for _, addition in added]),
        texts([_number(addition.total) for _, addition in added]),
    ]
    if statement is ADD_PARTIALS:
        numbers += _rest([addition for _, addition in added])
    return PreparedRows(statement, customers, keys, numbers)


def _rest(additions: list[Addition]) -> list[bytes]:
    latest = [addition.latest or (None, None) for addition in additions]
    return [
        texts([_number(addition.maximum) for addition in additions]),
        texts([_number(addition.minimum) for addition in additions]),
        texts([_number(value) for _, value in latest]),
        instants([at for at, _ in latest]),
        texts([_number(addition.weighted) for addition in additions]),
    ]


def _number(value: Number | None) -> str | None:
    return None if value is None else str(value)


PUT = """
    INSERT INTO billing_bucket AS bucket (
        customer_id, meter_id, starts_at, "group", clock, n, maximum, minimum, latest, latest_at, latest_clock
    )
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (customer_id, meter_id, starts_at, "group") DO UPDATE SET
        clock = excluded.clock, n = excluded.n, maximum = excluded.maximum, minimum = excluded.minimum,
        latest = excluded.latest, latest_at = excluded.latest_at, latest_clock = excluded.latest_clock
"""


def put_partials(cursor: Cursor, partials: Mapping[BucketKey, Partial], clocks: Mapping[int, int]) -> None:
    """Set buckets of extremes, latest values and unique counts to what their events came to."""
    for (customer_id, meter_id, starts_at, group), partial in partials.items():
        latest = partial.latest
        cursor.execute(
            PUT,
            [
                customer_id,
                meter_id,
                datetime_of(starts_at),
                group,
                clocks[customer_id],
                partial.n,
                partial.maximum,
                partial.minimum,
                latest and latest.value,
                latest and latest.at,
                latest and latest.clock,
            ],
        )
