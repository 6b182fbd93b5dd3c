"""Use in pieces: the buckets of a meter added up by stretches of time and by some of its dimensions.

The database adds them up, whatever the aggregation, and answers with a row for each piece that has use. Distinct values
are counted over all buckets of a piece.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import connection

from billing.metering.aggregation import Latest, Partial, value
from catalog.models import Aggregation, Meter
from catalog.periods import Period
from catalog.selection import EVERYTHING, Filter, Selection


@dataclass(frozen=True, slots=True)
class Piece:
    """What was used in one stretch of time with these values of the dimensions; `n` events came to `quantity`."""

    stretch: Period
    group: tuple[str | None, ...]
    n: int
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class Pieces:
    """The pieces with use, in the order of time, and the customer's usage clock at which they were read."""

    clock: int
    found: list[Piece]


# One statement, so that the clock, the buckets and their values are of one snapshot. What a group means is found out
# once, not for each of its buckets.
_PIECES = """
    WITH within AS MATERIALIZED (
        SELECT "group", {part} AS part
        FROM (SELECT DISTINCT "group" FROM billing_bucket WHERE {asked_for}) AS bucket
        WHERE {condition}
    ), used AS (
        SELECT place, part, sum(n) AS n, sum(total) AS total, max(maximum) AS maximum, min(minimum) AS minimum,
            sum(weighted + total * 1000000 * extract(
                epoch FROM (%(ends)s::timestamptz[])[place] - starts_at - interval '15 minutes'
            )) AS weighted,
            (array_agg(latest ORDER BY latest_at DESC, latest_clock DESC, latest DESC)
                FILTER (WHERE latest_at IS NOT NULL))[1] AS latest
        FROM (
            SELECT bucket.*, part, width_bucket(starts_at, %(starts)s::timestamptz[]) AS place
            FROM billing_bucket AS bucket JOIN within USING ("group") WHERE {asked_for} AND n <> 0
        ) AS bucket
        GROUP BY place, part
    ), told AS (
        SELECT place, part, count(*) AS distinct_values
        FROM (
            SELECT DISTINCT part, digest, width_bucket(starts_at, %(starts)s::timestamptz[]) AS place
            FROM billing_distinctvalue JOIN within USING ("group") WHERE {asked_for} AND %(distinct)s
        ) AS value
        GROUP BY place, part
    )
    SELECT read.clock, place, part, n, total, maximum, minimum, weighted, latest, coalesce(distinct_values, 0)
    FROM (
        SELECT coalesce((SELECT clock FROM billing_usageclock WHERE customer_id = %(customer)s), 0) AS clock
    ) AS read
    LEFT JOIN (used LEFT JOIN told USING (place, part)) ON true
    ORDER BY place, part
"""
_ASKED_FOR = """customer_id = %(customer)s AND meter_id = %(meter)s
                AND starts_at >= %(from)s AND starts_at < %(until)s"""


def pieces(
    customer_id: int,
    meter: Meter,
    stretches: Sequence[Period],
    group_by: Sequence[str] = (),
    selection: Selection = EVERYTHING,
) -> Pieces:
    """What a customer used of a meter in stretches of time that follow each other, whole quarters of an hour each.

    `group_by` names some of the meter's dimensions; `selection` says which of the use, by its filters alone.
    """
    asked: dict[str, Any] = {
        "customer": customer_id,
        "meter": meter.pk,
        "from": stretches[0].starts_at,
        "until": stretches[-1].ends_at,
        "starts": [stretch.starts_at for stretch in stretches],
        "ends": [stretch.ends_at for stretch in stretches],
        "distinct": meter.aggregation == Aggregation.UNIQUE_COUNT,
    }
    statement = _PIECES.format(
        part=f"ARRAY[{', '.join(_dimension(meter.group_by.index(name)) for name in group_by)}]::text[]",
        condition=condition(selection, meter.group_by, asked),
        asked_for=_ASKED_FOR,
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, asked)
        rows = cursor.fetchall()
    found = [_piece(meter, stretches[place - 1], *row) for _, place, *row in rows if place is not None]
    return Pieces(rows[0][0], found)


def _piece(
    meter: Meter,
    stretch: Period,
    part: list[str | None],
    n: Decimal,
    total: Decimal | None,
    maximum: Decimal | None,
    minimum: Decimal | None,
    weighted: Decimal | None,
    latest: Decimal | None,
    distinct_values: int,
) -> Piece:
    if meter.aggregation == Aggregation.UNIQUE_COUNT:
        return Piece(stretch, tuple(part), int(n), Decimal(distinct_values))
    partial = Partial(
        n=int(n),
        total=total,
        maximum=maximum,
        minimum=minimum,
        latest=None if latest is None else Latest(stretch.starts_at, 0, latest),
        weighted=weighted,
        ends_at=None if weighted is None else stretch.ends_at,
    )
    return Piece(stretch, tuple(part), int(n), value(meter.aggregation, partial, stretch))


def condition(selection: Selection, dimensions: Sequence[str], asked: dict[str, Any]) -> str:
    """What `Selection.takes` says of a bucket's dimensions, as a condition in SQL; its texts are put into `asked`."""
    besides = [f"NOT ({_passes(other, dimensions, asked)})" for other in selection.besides]
    return " AND ".join([_passes(selection.only, dimensions, asked), *besides])


def _passes(only: Filter, dimensions: Sequence[str], asked: dict[str, Any]) -> str:
    return " AND ".join(_allows(dimensions, name, allowed, asked) for name, allowed in only) or "true"


def _allows(dimensions: Sequence[str], name: str, allowed: Iterable[str | None], asked: dict[str, Any]) -> str:
    """Whether the bucket's value of a dimension is an allowed one; what is no dimension is absent everywhere."""
    if name not in dimensions:
        return "true" if None in allowed else "false"
    key = f"allowed_{len(asked)}"
    asked[key] = [text for text in allowed if text is not None]
    text = _dimension(dimensions.index(name))
    is_one = f"coalesce({text} = ANY (%({key})s::text[]), false)"
    return f"({text} IS NULL OR {is_one})" if None in allowed else is_one


def _dimension(place: int) -> str:
    return f'(bucket."group"::jsonb ->> {place})'
