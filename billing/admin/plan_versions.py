"""The desks of plans and their versions as billing sees them: who stands on which, and what a change would cost whom.

What a version says belongs to the catalog, and is edited on the form it has there.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from catalog.admin import PlanDesk, PlanVersionDesk
from catalog.models import Plan, PlanVersion
from contracts.standing import moves_to, standing_on

MOVES_SHOWN = 50

admin.site.unregister(Plan)
admin.site.unregister(PlanVersion)


@admin.register(Plan)
class PlanOffice(PlanDesk):
    change_form_template = "admin/billing/plan/change_form.html"

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id) if request.method == "GET" else None
        said = {} if row is None else {"versions": versions_of(row, timezone.now().date(), request)}
        return super().change_view(request, object_id, form_url, {**said, **(extra_context or {})})


@admin.register(PlanVersion)
class VersionOffice(PlanVersionDesk):
    change_form_template = "admin/billing/planversion/change_form.html"

    def said(self, request: HttpRequest, row: PlanVersion, at: dt.datetime) -> dict[str, Any]:
        shown = super().said(request, row, at)
        shown |= {"version": row, "versions": versions_of(row.plan, at.date(), request)}
        if request.user.has_perm("contracts.view_contract"):
            shown["moves"] = moves_to(row, MOVES_SHOWN + 1)
            shown["moves_shown"] = MOVES_SHOWN
        return shown


def versions_of(plan: Plan, day: dt.date, request: HttpRequest) -> list[dict[str, Any]]:
    """The versions of a plan, the latest first, each with who stands on it; that only for who may see contracts."""
    versions = list(plan.versions.order_by("-number"))
    sees = request.user.has_perm("contracts.view_contract")
    standing = standing_on([version.pk for version in versions], day) if sees else {}
    in_force = plan.versions.in_force(day).first()
    return [
        {"row": version, "standing": standing.get(version.pk), "is_in_force": version == in_force}
        for version in versions
    ]
