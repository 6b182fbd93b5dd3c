"""Records received hour by hour, from the receipts of their batches, drawn as bars."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from django.core.cache import cache
from django.db import connection

HOUR = dt.timedelta(hours=1)
HOURS = 48
SETTLED_AFTER = dt.timedelta(minutes=5)  # an hour that is over stays as it is, once its last batches have committed
KEPT_FOR = 60 * 60 * HOURS

WIDTH, HEIGHT = 960, 150  # of the drawing
GAP = 3

_RECEIVED = """
    SELECT date_trunc('hour', received_at, 'UTC'), sum(accepted), sum(duplicates), sum(quarantined)
    FROM billing_receipt WHERE received_at >= %s AND received_at < %s GROUP BY 1
"""


@dataclass(frozen=True, slots=True)
class Hour:
    """What became of the records that came in one hour."""

    starts_at: dt.datetime
    accepted: int = 0
    duplicates: int = 0
    held: int = 0

    @property
    def received(self) -> int:
        return self.accepted + self.duplicates + self.held


@dataclass(frozen=True, slots=True)
class Bar:
    """An hour as drawn: where it stands, and how high each part is, from the ground up."""

    hour: Hour
    x: float
    width: float
    parts: list[tuple[str, float, float]]  # class, y, height
    label: str


def received_by_hour(at: dt.datetime) -> list[Hour]:
    """The last 48 hours, the one under way included. One query, of the hours that are not known yet.

    Raises DatabaseError where the receipts cannot be read.
    """
    current = at.replace(minute=0, second=0, microsecond=0)
    wanted = [current - HOUR * back for back in range(HOURS - 1, -1, -1)]
    known: dict[dt.datetime, Hour] = cache.get("console.traffic", {})
    since = next(hour for hour in wanted if hour not in known)
    with connection.cursor() as cursor:
        cursor.execute(_RECEIVED, [since, current + HOUR])
        read = {row[0]: Hour(row[0], *map(int, row[1:])) for row in cursor.fetchall()}
    hours = [known[hour] if hour < since else read.get(hour, Hour(hour)) for hour in wanted]
    settled = {hour.starts_at: hour for hour in hours if hour.starts_at + HOUR + SETTLED_AFTER <= at}
    cache.set("console.traffic", settled, KEPT_FOR)
    return hours


def bars(hours: list[Hour]) -> list[Bar]:
    """The hours as bars on a ground of 960 by 150, the fullest hour taking the whole height."""
    most = max((hour.received for hour in hours), default=0) or 1
    step = WIDTH / len(hours)
    drawn = []
    for index, hour in enumerate(hours):
        parts = []
        ground = float(HEIGHT)
        for name, count in (("accepted", hour.accepted), ("duplicates", hour.duplicates), ("held", hour.held)):
            if count:
                height = max(HEIGHT * count / most, 1.5)
                ground -= height
                parts.append((name, round(max(ground, 0), 1), round(height, 1)))
        drawn.append(Bar(hour, round(index * step, 1), round(step - GAP, 1), parts, in_words(hour)))
    return drawn


def in_words(hour: Hour) -> str:
    counts = f"{hour.accepted:,} accepted, {hour.duplicates:,} repeated, {hour.held:,} held"
    return f"{hour.starts_at:%d %b %H}:00 UTC: {counts}"
