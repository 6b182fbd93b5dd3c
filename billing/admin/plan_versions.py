"""The desks of plans and their versions as billing sees them: who stands on which, and what a change would cost whom.

What a version says belongs to the catalog, and is edited on the form it has there.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from billing.admin.consequences import ApproveKnowingly, SubmitKnowingly, may_try
from billing.admin.migrating import LISTED, PERMISSION, DayForm, candidates, choices, elsewhere, move, trial
from billing.admin.source_rules import user_of
from billing.invoicing.shadow import UnableToCompare
from catalog.admin import CopyVersion, PlanDesk, PlanVersionDesk, RetireVersion
from catalog.models import Plan, PlanVersion, VersionStatus
from contracts.lifecycle import UnableToAmend
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
    deeds = (SubmitKnowingly(), ApproveKnowingly(), RetireVersion(), CopyVersion())

    def get_urls(self) -> list[URLPattern]:
        moving = self.admin_site.admin_view(self.migrate_view)
        return [path("<int:pk>/migrate/", moving, name="catalog_planversion_migrate"), *super().get_urls()]

    def said(self, request: HttpRequest, row: PlanVersion, at: dt.datetime) -> dict[str, Any]:
        shown = super().said(request, row, at)
        shown |= {"version": row, "versions": versions_of(row.plan, at.date(), request)}
        shown["stored"] = list(row.prices.all())
        shown["tries"] = may_try(request)
        shown["moves_contracts"] = may_move(request, row)
        if request.user.has_perm("contracts.view_contract"):
            shown["moves"] = moves_to(row, MOVES_SHOWN + 1)
            shown["moves_shown"] = MOVES_SHOWN
        return shown

    def migrate_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Choose contracts on other versions, see what each would cost on this one, and then move them."""
        if not may_try(request):
            raise PermissionDenied
        version, at = get_object_or_404(PlanVersion.objects.select_related("plan"), pk=pk), timezone.now()
        asked = request.POST if request.method == "POST" else request.GET
        form = DayForm({"on": first_of_next_month(at.date()), **{name: asked[name] for name in asked}})
        if not form.is_valid():
            return self._migration_page(request, version, "migrate", {"form": form})
        on, words = form.cleaned_data["on"], form.cleaned_data["q"]
        try:
            if "confirmed" in request.POST:
                return self._moved(request, version, on, at)
            if request.method == "POST":
                contracts = chosen(request, version, on, words)
                if contracts:
                    said = {"trial": trial(contracts, version, on, at), "on": on, "is_past": on < at.date()}
                    return self._migration_page(request, version, "migration", said)
                messages.error(request, "Choose at least one contract.")
        except UnableToCompare as refusal:
            messages.error(request, f"Nothing can be compared: {refusal}.")
        except UnableToAmend as refusal:
            messages.error(request, f"Nobody was moved: {refusal}.")
        found = candidates(version, on, words)
        said = {
            "form": form,
            "on": on,
            "words": words,
            "choices": choices(version, on, list(found[:LISTED])),
            "found": found.count(),
            "listed": LISTED,
            "elsewhere": elsewhere(version, on),
        }
        return self._migration_page(request, version, "migrate", said)

    def _moved(self, request: HttpRequest, version: PlanVersion, on: dt.date, at: dt.datetime) -> HttpResponse:
        """Those that the trial showed are moved. Raises UnableToCompare, UnableToAmend."""
        if not may_move(request, version):
            raise PermissionDenied
        contracts = numbers(request.POST.get("contracts", "").split(","))
        if contracts:
            moved = move(contracts, version, on, at, user_of(request))
            said = f"{moved:,} contract{'' if moved == 1 else 's'} moved to {version} from {on}."
            self.log_change(request, version, said)
            messages.success(request, said)
        return HttpResponseRedirect(reverse("admin:catalog_planversion_change", args=[version.pk]) + "#moves")

    def _migration_page(
        self, request: HttpRequest, version: PlanVersion, name: str, said: dict[str, Any]
    ) -> HttpResponse:
        moves = may_move(request, version)
        context = {
            **self.admin_site.each_context(request),
            "title": f"Move contracts to {version}" if moves else f"What {version} would cost",
            "opts": self.opts,
            "original": version,
            "may_move": moves,
            **said,
        }
        return TemplateResponse(request, f"admin/billing/planversion/{name}.html", context)


def may_move(request: HttpRequest, version: PlanVersion) -> bool:
    """Whether a person may move contracts to the version, and it is one that is sold."""
    return version.status == VersionStatus.PUBLISHED and bool(request.user.has_perm(PERMISSION))


def chosen(request: HttpRequest, version: PlanVersion, on: dt.date, words: str) -> list[int]:
    """The contracts (ids) that are ticked, or all that can be chosen; of these, and no others."""
    found = candidates(version, on, words)
    if request.POST.get("all") != "yes":
        found = found.filter(pk__in=numbers(request.POST.getlist("contract")))
    return list(found.values_list("pk", flat=True))


def numbers(texts: Iterable[str]) -> list[int]:
    return [int(text) for text in texts if text.isdecimal()]


def first_of_next_month(day: dt.date) -> dt.date:
    return (day.replace(day=1) + dt.timedelta(days=32)).replace(day=1)


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
