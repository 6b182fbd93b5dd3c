"""When sources were last heard from, and which are silent for longer than they should be."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery

from billing.models import ReceiptCount, Source

OURS = ("release", "replay")  # doors by which staff take in what is held: that is not the source reporting


def with_last_heard(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Sources with `heard_at`, when each last reported anything; None where it never did.

    Read from the end of the index of counts by source: the same cost however much a source has sent.
    """
    counts = ReceiptCount.objects.filter(source=OuterRef("key")).exclude(receipt__door__in=OURS)
    heard: QuerySet[Any] = rows.annotate(heard_at=Subquery(counts.order_by("-pk").values("receipt__received_at")[:1]))
    return heard


def last_heard(sources: Iterable[str]) -> dict[str, dt.datetime]:
    """When each of these sources last reported anything, by its key; those that never did are left out. One query."""
    asked = with_last_heard(Source.objects.filter(key__in=list(sources)))
    return {key: heard for key, heard in asked.values_list("key", "heard_at") if heard is not None}


def silent_for(source: Source, heard: dt.datetime | None, at: dt.datetime) -> dt.timedelta | None:
    """How much longer than its cadence a source has said nothing; None where it is in time, or has no cadence.

    A source that was never heard from is not expected yet.
    """
    if source.cadence is None or heard is None or at - heard <= source.cadence:
        return None
    return at - heard - source.cadence
