"""The desk of what plan versions let customers use."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse

from catalog.desks import HistoryDesk, PartsMixin
from catalog.entitlements import Entitlement
from catalog.models import PlanVersion, VersionStatus
from catalog.wording import entitlement_words


@admin.register(Entitlement)
class EntitlementDesk(PartsMixin, HistoryDesk):
    """Entitlements are part of a version: they are added and changed while that is a draft."""

    part_of = "version"
    list_display = ["feature", "version", "kind", "in_words"]
    list_filter = ["kind", "on_limit", "version__status"]
    list_select_related = ["version__plan", "feature", "meter"]
    search_fields = ["feature__key", "version__plan__key"]
    ordering = ["version__plan__key", "-version__number", "position"]
    autocomplete_fields = ["feature", "meter"]
    empty_hint = "An entitlement is a feature of a plan version: on or off, a value, or so many units of a meter."
    fieldsets = [
        (None, {"fields": ["version", ("feature", "kind"), "value", "position"]}),
        (
            "So many units",
            {
                "fields": [
                    ("meter", "limit"),
                    ("reset", "on_limit"),
                    "thresholds",
                    ("rollover_percent", "rollover_cap", "rollover_periods"),
                ],
                "description": "Only where it is metered. A limit never refuses an event: it decides what the answer "
                "is to whoever asks.",
            },
        ),
    ]

    def get_readonly_fields(self, request: HttpRequest, obj: Entitlement | None = None) -> list[str]:
        return ["version", "in_words"] if obj else []

    def get_fieldsets(self, request: HttpRequest, obj: Entitlement | None = None) -> Any:
        if obj is None or self.is_loose(obj):
            return super().get_fieldsets(request, obj)
        return [(None, {"fields": ["version", "feature", "kind", "meter", "in_words"]})]

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "version":
            kwargs["queryset"] = PlanVersion.objects.filter(status=VersionStatus.DRAFT).select_related("plan")
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def frozen(self, row: Entitlement) -> str | None:
        if self.is_loose(row):
            return None
        return (
            f"The version {row.version} is {row.version.get_status_display()}, so what it gives stays as it is. "
            "Make a new draft from that version, or agree otherwise on a contract."
        )

    def has_delete_permission(self, request: HttpRequest, obj: Entitlement | None = None) -> bool:
        """A version in review goes with its entitlements; one of them alone stays."""
        if obj is not None and obj.version.status == VersionStatus.REVIEW:
            return bool(admin.ModelAdmin.has_delete_permission(self, request, obj))
        return super().has_delete_permission(request, obj)

    def response_post_save_add(self, request: HttpRequest, obj: Entitlement) -> HttpResponseRedirect:
        return to_version(obj)

    def response_post_save_change(self, request: HttpRequest, obj: Entitlement) -> HttpResponseRedirect:
        return to_version(obj)

    @admin.display(description="gives")
    def in_words(self, row: Entitlement) -> str:
        return entitlement_words(row)


def to_version(row: Entitlement) -> HttpResponseRedirect:
    return HttpResponseRedirect(reverse("admin:catalog_planversion_change", args=[row.version_id]))


def given_in_words(version: PlanVersion) -> list[tuple[Model, str]]:
    """What a version lets customers use, with words."""
    return [(one, entitlement_words(one)) for one in version.entitlements.select_related("feature", "meter")]
