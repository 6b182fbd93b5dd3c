"""Trying what is held again: through the front door, as its sender would, after rules or the catalog have changed."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from billing.admin.quarantine.wording import reason_label
from billing.metering.ingestion import UnableToIngest
from billing.review.alike import totals_by_reason
from billing.review.replay import Replayed, replay


def replay_view(desk: Any, request: HttpRequest) -> HttpResponse:
    """What would be tried; confirmed, the trial and what came of it."""
    if not request.user.has_perm("quarantine.release_resolution"):
        raise PermissionDenied
    if request.method == "POST":
        try:
            messages.success(request, replayed_sentence(replay(at=timezone.now())))
        except UnableToIngest as unable:
            messages.error(request, str(unable))
        return HttpResponseRedirect(reverse("admin:quarantine_queue"))
    totals = totals_by_reason()
    context = {
        **desk.admin_site.each_context(request),
        "title": "Try what is held again",
        "opts": desk.opts,
        "reasons": [(reason_label(total.reason), total.records) for total in totals],
        "records": sum(total.records for total in totals),
    }
    return TemplateResponse(request, "admin/quarantine/queue/replay.html", context)


def replayed_sentence(done: Replayed) -> str:
    """What came of it: "8,797 tried: 482 counted, 8,315 are held still"."""
    known = f"{done.duplicates:,} had been counted before, " if done.duplicates else ""
    away = f"{done.discarded:,} turned away by a rule, " if done.discarded else ""
    return f"{done.tried:,} tried: {done.accepted:,} counted, {known}{away}{done.held:,} are held still."
