"""What is held for review, in a few figures: for the sidebar and the page of the day.

The quarantine is a database of its own; where it cannot be reached the console works on, and says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from django.core.cache import cache
from django.db import DatabaseError, connections

from billing.models import HeldRecord, HeldStatus

COUNTED_UP_TO = 10_000  # records
KEPT_FOR = 10  # seconds

_BY_REASON = """
    SELECT current_reason, count(*) FROM (
        SELECT current_reason FROM quarantine_heldrecord WHERE status = 'open' LIMIT %s
    ) held GROUP BY current_reason ORDER BY count(*) DESC, current_reason
"""


@dataclass(frozen=True, slots=True)
class HeldNow:
    """Open records, no more than 10,000 of them counted, by reason; what they may be worth; proposals that wait."""

    records: int
    by_reason: list[tuple[str, int]]
    at_risk: dict[str, Decimal] = field(default_factory=dict)  # currency -> amount
    unestimated: int = 0
    waiting: int = 0

    @property
    def is_bounded(self) -> bool:
        return self.records > COUNTED_UP_TO


def held_now() -> HeldNow | None:
    """None where the quarantine cannot be reached."""
    connection = connections[HeldRecord.objects.db]
    try:
        with connection.cursor() as cursor:
            cursor.execute(_BY_REASON, [COUNTED_UP_TO + 1])
            by_reason = [(str(reason), int(count)) for reason, count in cursor.fetchall()]
    except DatabaseError:
        return None
    return HeldNow(records=sum(count for _, count in by_reason), by_reason=by_reason)


def open_records() -> str:
    """How many records are open, for the sidebar: "" for none, "10,000+" for many, "?" where it cannot be known."""
    return str(cache.get_or_set("console.open_records", _open_records, KEPT_FOR))


def _open_records() -> str:
    try:
        found = HeldRecord.objects.filter(status=HeldStatus.OPEN)[: COUNTED_UP_TO + 1].count()
    except DatabaseError:
        return "?"
    if found > COUNTED_UP_TO:
        return f"{COUNTED_UP_TO:,}+"
    return f"{found:,}" if found else ""
