"""Background entry points: parse, then one call each.

Schedules name these functions by their path: renaming one leaves its schedule behind.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.utils import timezone

from billing.entitlements import delivering, notices
from billing.invoicing import bill_run as runs
from billing.review.at_risk import refresh_estimates
from billing.review.release import release_approved as go_on


def bill_run(at: str) -> dict[str, Any]:
    """Bill as of an instant, ISO 8601 with its offset: the one the schedule meant, however late the worker is.

    Answers the numbers of the documents made, and the contracts that could not be billed.
    """
    instant = _instant(at)
    result = runs.run(instant)
    return {
        "at": instant.isoformat(),
        "closed": result.closed,
        "invoices": [invoice["number"] or invoice["id"] for invoice in result.invoices],
        "credit_notes": [note["number"] or note["id"] for note in result.credit_notes],
        "failures": result.failures,
    }


def review_held(at: str) -> dict[str, int]:
    """Go on with releases that were cut short, and estimate the money at risk in what came since."""
    instant = _instant(at)
    return {"released": go_on(instant), "estimated": refresh_estimates(instant)}


def estimate_held_again(at: str) -> dict[str, int]:
    """Estimate everything that is held anew: customers, prices and use have changed since."""
    return {"estimated": refresh_estimates(_instant(at), only_new=False)}


def give_notices(at: str) -> dict[str, int]:
    """Tell customers what of their allowances is used: what no batch has told them yet."""
    return {"given": notices.look_over(_instant(at))}


def deliver_notices(at: str) -> dict[str, int]:
    """Send notices by mail and to webhooks, and what failed again when its time has come.

    A late worker sends now, whenever it was meant to: what is sent says when.
    """
    _instant(at)
    return delivering.deliver_due(timezone.now)


def _instant(at: str) -> dt.datetime:
    instant = dt.datetime.fromisoformat(at)
    if instant.tzinfo is None:
        raise ValueError(f"{at} has no offset; an instant of a schedule has one")
    return instant
