"""The queue of drafts: what a seller holds for review before it is issued, and what is unusual about each."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator
from django.db.models import Count

from billing.invoicing.comparing import LARGE, differences
from billing.models import Invoice

PER_PAGE = 50


def queue_of(page: str) -> dict[str, Any]:
    """A page of the drafts, the oldest first, with what differs from the document before each. Six queries."""
    drafts = (
        Invoice.objects.drafts()
        .select_related("customer", "contract", "seller")
        .annotate(line_count=Count("lines"))
        .order_by("pk")
    )
    shown = Paginator(drafts, PER_PAGE).get_page(page)
    found = list(shown)
    differing = differences(found)
    return {
        "page": shown,
        "rows": [{"draft": draft, "difference": differing[draft.pk]} for draft in found],
        "large": LARGE,
        "flagged": sum(difference.is_large for difference in differing.values()),
    }
