"""The desk of what is held: what came, byte for byte, and why it was not counted."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince

from billing.models import HeldRecord, Sighting
from catalog.desks import FactDesk, ShownInline

SHOWN = 20_000  # characters of a raw record on its page


class SightingInline(ShownInline):
    model = Sighting
    fields = ["seen_at", "receipt", "index"]
    ordering = ["-seen_at"]


@admin.register(HeldRecord)
class HeldRecordDesk(FactDesk):
    list_display = ["event", "reason", "source", "type", "subject", "age", "sightings_figure", "status"]
    list_filter = ["status", "reason", "held_at"]
    search_fields = ["event_id", "source", "subject", "type"]
    search_help_text = "Id, source, subject or type of the event."
    ordering = ["-held_at"]
    fieldsets = [
        (None, {"fields": ["reason", "detail", "status", "resolved_at"]}),
        ("What it says", {"fields": ["source", "event_id", "type", "subject", "occurred_at", "raw_text"]}),
        ("How it came", {"fields": ["held_at", "receipt", "key", "digest"]}),
    ]
    inlines = [SightingInline]

    def get_queryset(self, request: HttpRequest) -> QuerySet[HeldRecord]:
        seen = Sighting.objects.filter(record=OuterRef("pk")).order_by().values("record")
        counted = Subquery(seen.annotate(count=Count("pk")).values("count"), output_field=IntegerField())
        rows: QuerySet[HeldRecord] = super().get_queryset(request)
        return rows.defer("raw").annotate(sighting_count=Coalesce(counted, 0))

    @admin.display(description="event", ordering="event_id")
    def event(self, record: HeldRecord) -> str:
        return record.event_id or "(no id)"

    @admin.display(description="held for", ordering="-held_at")
    def age(self, record: HeldRecord) -> str:
        return timesince(record.held_at, timezone.now(), depth=1)

    @admin.display(description="sightings", ordering="sighting_count")
    def sightings_figure(self, record: Any) -> int:
        return int(record.sighting_count)

    @admin.display(description="as received")
    def raw_text(self, record: HeldRecord) -> SafeString:
        """Text, escaped: whatever a sender wrote is never markup here."""
        text = bytes(record.raw).decode("utf-8", "replace")
        rest = f"\n... {len(text) - SHOWN:,} more characters" if len(text) > SHOWN else ""
        return format_html('<pre class="raw">{}{}</pre>', text[:SHOWN], rest)


@admin.register(Sighting)
class SightingDesk(FactDesk):
    list_display = ["seen_at", "reason", "source", "event", "receipt", "index"]
    list_filter = ["seen_at", "record__reason"]
    list_select_related = ["record"]
    search_fields = ["=receipt", "=record__event_id"]
    search_help_text = "A receipt's id, or the whole id of an event."
    ordering = ["-seen_at", "-pk"]

    @admin.display(description="reason", ordering="record__reason")
    def reason(self, sighting: Sighting) -> str:
        return sighting.record.reason

    @admin.display(description="source", ordering="record__source")
    def source(self, sighting: Sighting) -> str:
        return sighting.record.source

    @admin.display(description="event", ordering="record__event_id")
    def event(self, sighting: Sighting) -> str:
        return sighting.record.event_id or "(no id)"
