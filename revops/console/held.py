"""What is held for review, in a few figures: for the sidebar and the page of the day.

The quarantine is a database of its own; where it cannot be reached the console works on, and says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from django.core.cache import cache
from django.db import DatabaseError, connections, transaction

from billing.models import HeldRecord, HeldStatus
from billing.review.alike import QUARANTINE, ReasonTotal, totals_by_reason, waiting
from catalog.money import ZERO

COUNTED_UP_TO = 10_000  # records, where they are too many to add up
PATIENCE = "3s"
BADGE = "console.open_records"  # in the cache
KEPT_FOR = 15  # seconds


@dataclass(frozen=True, slots=True)
class HeldNow:
    """Open records, by reason, with what they may be worth; proposals that wait for a second person.

    Without totals there are too many records to add up in time, and `records` is no more than 10,001.
    """

    records: int
    totals: list[ReasonTotal] = field(default_factory=list)
    undecided: int = 0

    @property
    def at_risk(self) -> dict[str, Decimal]:
        """Currency -> amount, an estimate."""
        sums: dict[str, Decimal] = {}
        for total in self.totals:
            for currency, amount in total.at_risk.items():
                sums[currency] = sums.get(currency, ZERO) + amount
        return sums

    @property
    def unestimated(self) -> int:
        return sum(total.unestimated for total in self.totals)


def held_now() -> HeldNow | None:
    """None where the quarantine cannot be reached."""
    try:
        with transaction.atomic(using=QUARANTINE):
            with connections[QUARANTINE].cursor() as cursor:
                cursor.execute(f"SET LOCAL statement_timeout = '{PATIENCE}'")
            totals = totals_by_reason()
            return HeldNow(sum(total.records for total in totals), totals, waiting().undecided)
    except DatabaseError:
        pass
    try:
        return HeldNow(_count())
    except DatabaseError:
        return None


def open_records() -> str:
    """How many records are open, for the sidebar: "" for none, "10,000+" for many, "?" where it cannot be known."""
    return str(cache.get_or_set(BADGE, _open_records, KEPT_FOR))


def open_records_if_known() -> str | None:
    """The same, if somebody asked for it in the last seconds: no page waits for the quarantine."""
    known: str | None = cache.get(BADGE)
    return known


def _open_records() -> str:
    try:
        found = _count()
    except DatabaseError:
        return "?"
    if found > COUNTED_UP_TO:
        return f"{COUNTED_UP_TO:,}+"
    return f"{found:,}" if found else ""


def _count() -> int:
    return HeldRecord.objects.filter(status=HeldStatus.OPEN)[: COUNTED_UP_TO + 1].count()
