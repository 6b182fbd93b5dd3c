"""What comes in, and telling customers what that made of their allowances."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from billing.entitlements.notices import look_again, tell
from billing.metering import corrections
from billing.metering.ingestion import ReceiptResult, ingest
from billing.models import Correction


def take_in(
    batch: bytes | Iterable[bytes], *, at: dt.datetime, door: str, bound_source: str | None = None
) -> ReceiptResult:
    """As `ingest`; then whoever has reached a threshold is told. Costs customers without limits nothing."""
    result = ingest(batch, at=at, door=door, bound_source=bound_source)
    tell(result.touched, at)
    return result


def void_event(source: str, id: str, *, reason: str, at: dt.datetime, by: str = "") -> Correction:
    """As `corrections.void_event`: what rolled over may have become more, and a limit another."""
    made = corrections.void_event(source, id, reason=reason, at=at, by=by)
    look_again([made.customer_id], at)
    return made


def amend_event(source: str, id: str, data: Any, *, reason: str, at: dt.datetime, by: str = "") -> Correction:
    """As `corrections.amend_event`; then whoever has reached a threshold is told."""
    made = corrections.amend_event(source, id, data, reason=reason, at=at, by=by)
    look_again([made.customer_id], at)
    return made
