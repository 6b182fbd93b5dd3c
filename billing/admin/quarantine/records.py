"""The desk of held records: the flat list, the page of each, and the addresses of the pages of the review."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import partial
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Count, F, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils import timezone

from billing.admin.quarantine.matching import matching_view
from billing.admin.quarantine.proposing import propose_for, propose_view
from billing.admin.quarantine.queue import queue_view
from billing.admin.quarantine.record_page import page_of
from billing.admin.quarantine.replaying import replay_view
from billing.admin.quarantine.rules import rules_view
from billing.admin.quarantine.wording import REASONS, age, reason_label
from billing.models import Estimate, HeldRecord, HeldStatus, Sighting
from billing.review.choosing import Records
from catalog.columns import count, status
from catalog.desks import FactDesk
from catalog.wording import about_figure

AGES = (("1", "a day"), ("7", "a week"), ("30", "30 days"), ("90", "90 days"))


def estimate(path: str, currency: str, title: str) -> Callable[[Any, Any], str]:
    """A column of an estimate, which has more places than its currency; "-" where there is none."""

    def column(desk: Any, row: Any) -> str:
        amount, code = getattr(row, path), getattr(row, currency)
        return "-" if amount is None else f"{about_figure(amount, code)} {code}"

    column.short_description = title  # type: ignore[attr-defined]
    column.admin_order_field = path  # type: ignore[attr-defined]
    column.cells = [(title, lambda row: getattr(row, path)), ("currency", lambda row: getattr(row, currency))]  # type: ignore[attr-defined]
    return column


class ReasonFilter(admin.SimpleListFilter):
    """Why a record is held now."""

    title = "why"
    parameter_name = "current_reason__exact"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(reason, words.label) for reason, words in REASONS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(current_reason=self.value()) if self.value() else queryset


class SourceFilter(admin.SimpleListFilter):
    """The sources that ever had something held."""

    title = "source"
    parameter_name = "source__exact"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        sources = HeldRecord.objects.order_by("source").values_list("source", flat=True).distinct()
        return [(source, source) for source in sources[:100] if source]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(source=self.value()) if self.value() else queryset


class AgeFilter(admin.SimpleListFilter):
    """How long a record is held at least."""

    title = "held for more than"
    parameter_name = "older_than"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(AGES)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() not in dict(AGES):
            return queryset
        return queryset.filter(held_at__lt=timezone.now() - dt.timedelta(days=int(str(self.value()))))


def propose_for_ticked(desk: HeldRecordDesk, request: HttpRequest, rows: QuerySet[HeldRecord]) -> HttpResponse:
    """The action of the list: the form of a proposal for what is ticked."""
    ids = rows.filter(status=HeldStatus.OPEN).order_by("pk").values_list("pk", flat=True)
    return propose_for(desk, request, Records(tuple(ids)))


@admin.register(HeldRecord)
class HeldRecordDesk(FactDesk):
    list_display = [
        "event", "why", "source", "type", "subject", "age_figure", "sightings_figure", "at_risk_figure", "state",
    ]  # fmt: skip
    list_filter = ["status", ReasonFilter, SourceFilter, AgeFilter]
    search_fields = ["event_id", "type", "subject"]
    search_help_text = "Subject, type or id of the event."
    ordering = ["-held_at", "-pk"]
    csv_columns = [
        "event_id", "source", "type", "subject", "occurred_at", "current_reason", "current_detail", "held_at",
        "sightings_figure", "at_risk_figure", "status", "resolved_at",
    ]  # fmt: skip
    fields = ["reason"]
    change_form_template = "admin/quarantine/record/page.html"
    change_list_template = "admin/quarantine/record/list.html"
    empty_hint = "What cannot be counted is held here until two people have decided on it. Nothing is lost meanwhile."
    sightings_figure = count("sighting_count", title="sightings")
    at_risk_figure = estimate("risk", currency="risk_currency", title="at risk, about")
    state = status("status", good=["released", "superseded"], warn=["open"])

    def get_queryset(self, request: HttpRequest) -> QuerySet[HeldRecord]:
        seen = Sighting.objects.filter(record=OuterRef("pk")).order_by().values("record")
        counted = Subquery(seen.annotate(count=Count("pk")).values("count"), output_field=IntegerField())
        rows: QuerySet[HeldRecord] = super().get_queryset(request)
        return rows.defer("raw").annotate(
            sighting_count=Coalesce(counted, 0), risk=F("estimate__amount"), risk_currency=F("estimate__currency")
        )

    @admin.display(description="event", ordering="event_id")
    def event(self, record: HeldRecord) -> str:
        return record.event_id or "(no id)"

    @admin.display(description="why", ordering="current_reason")
    def why(self, record: HeldRecord) -> str:
        return reason_label(record.current_reason or record.reason)

    @admin.display(description="held for", ordering="-held_at")
    def age_figure(self, record: HeldRecord) -> str:
        return age(record.held_at, record.resolved_at or timezone.now())

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions: dict[str, Any] = super().get_actions(request)
        if request.user.has_perm("quarantine.propose_resolution"):
            actions["propose"] = (propose_for_ticked, "propose", "Propose what becomes of them")
        return actions

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        record = self.get_object(request, object_id) if request.method == "GET" else None
        context: dict[str, Any] = {}
        if record is not None:
            if not self.has_view_permission(request, record):
                raise PermissionDenied
            context = {**page_of(record, timezone.now()), "title": f"Held record {self.event(record)}"}
            context["may_propose"] = request.user.has_perm("quarantine.propose_resolution")
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    def get_urls(self) -> list[URLPattern]:
        pages = {
            "queue/": queue_view,
            "queue/matching/": matching_view,
            "queue/propose/": propose_view,
            "queue/replay/": replay_view,
            "rules/": rules_view,
        }
        own = [
            path(address, self.admin_site.admin_view(partial(view, self)), name=f"quarantine_{_last(address)}")
            for address, view in pages.items()
        ]
        return [*own, *super().get_urls()]


def _last(address: str) -> str:
    """The name of a page: the last part of its address."""
    return address.rstrip("/").rpartition("/")[2]


@admin.register(Sighting)
class SightingDesk(FactDesk):
    list_display = ["seen_at", "why", "source", "event", "receipt", "index"]
    list_filter = ["seen_at"]
    list_select_related = ["record"]
    search_fields = ["=receipt", "=record__event_id"]
    search_help_text = "A receipt's id, or the whole id of an event."
    ordering = ["-seen_at", "-pk"]
    empty_hint = "Each arrival of a held record is a sighting: a sender that repeats itself gives several."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Sighting]:
        rows: QuerySet[Sighting] = super().get_queryset(request)
        return rows.defer("record__raw")

    @admin.display(description="why", ordering="record__current_reason")
    def why(self, sighting: Sighting) -> str:
        return reason_label(sighting.record.current_reason or sighting.record.reason)

    @admin.display(description="source", ordering="record__source")
    def source(self, sighting: Sighting) -> str:
        return sighting.record.source

    @admin.display(description="event", ordering="record__event_id")
    def event(self, sighting: Sighting) -> str:
        return sighting.record.event_id or "(no id)"


@admin.register(Estimate)
class EstimateDesk(FactDesk):
    """What the money at risk was estimated from, record by record."""

    list_display = ["record", "customer", "score_figure", "type", "amount_figure", "basis", "estimated_at"]
    list_select_related = ["record"]
    search_fields = ["record__event_id", "customer"]
    search_help_text = "The id of an event, or a customer's key."
    ordering = ["-amount", "record"]
    empty_hint = "What is held is estimated every few minutes."
    score_figure = count("score")
    amount_figure = estimate("amount", currency="currency", title="about")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Estimate]:
        rows: QuerySet[Estimate] = super().get_queryset(request)
        return rows.defer("record__raw")
