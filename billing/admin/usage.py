"""The desk of use: what arrived, what was corrected."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone

from billing.admin.columns import with_customer_name, with_source_key
from billing.admin.customer_usage import usage_of
from billing.models import Correction, Receipt, ReceiptCount, Register, UsageClock
from catalog.columns import count
from catalog.desks import FactDesk, ShownInline
from contracts.models import Customer


class ReceiptCountInline(ShownInline):
    model = ReceiptCount
    fields = ["source", "received", "accepted", "duplicates", "quarantined"]


class CountsMixin:
    """What came and where it went."""

    received_figure = count("received")
    accepted_figure = count("accepted")
    duplicates_figure = count("duplicates")
    held_figure = count("quarantined", title="held")


COUNTS = ["received_figure", "accepted_figure", "duplicates_figure", "held_figure"]


@admin.register(Receipt)
class ReceiptDesk(CountsMixin, FactDesk):
    list_display = ["received_at", "door", *COUNTS, "id"]
    list_filter = ["door", "received_at"]
    empty_hint = "Nothing was reported yet. Make an API key under Settings and send events, or run import_usage."
    search_fields = ["=id"]
    search_help_text = "The receipt's id, as the sender got it."
    ordering = ["-received_at"]
    inlines = [ReceiptCountInline]


@admin.register(ReceiptCount)
class ReceiptCountDesk(CountsMixin, FactDesk):
    list_display = ["source", *COUNTS, "received_at"]
    list_select_related = ["receipt"]
    search_fields = ["=source"]
    search_help_text = "The whole key of a source."
    empty_hint = "Nothing was reported yet."
    ordering = ["-pk"]

    @admin.display(description="received at")
    def received_at(self, count: ReceiptCount) -> Any:
        return count.receipt.received_at


@admin.register(Register)
class RegisterDesk(FactDesk):
    """The identity of every accepted event. Too many to sort or count: found by the key."""

    list_display = ["key", "customer", "occurred_at", "digest"]
    search_fields = ["=key"]
    search_help_text = "The key of an event."
    empty_hint = "No event was accepted yet."
    ordering = ["key"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Register]:
        return with_customer_name(super().get_queryset(request))

    @admin.display(description="customer")
    def customer(self, row: Any) -> str:
        return row.customer_name or f"#{row.customer_id}"


@admin.register(UsageClock)
class UsageClockDesk(FactDesk):
    list_display = ["customer", "clock_figure", "dirty_from"]
    clock_figure = count("clock")
    list_filter = [("dirty_from", admin.EmptyFieldListFilter)]
    empty_hint = "A customer has a usage clock from its first event on."
    ordering = ["customer_id"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[UsageClock]:
        return with_customer_name(super().get_queryset(request))

    @admin.display(description="customer")
    def customer(self, row: Any) -> str:
        return row.customer_name or f"#{row.customer_id}"

    def get_urls(self) -> list[URLPattern]:
        usage = self.admin_site.admin_view(self.usage_view)
        return [path("customer/<int:pk>/", usage, name="billing_customer_usage"), *super().get_urls()]

    def usage_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """What one customer uses; here are its events, which have no list of their own."""
        if not (request.user.has_perm("contracts.view_customer") and request.user.has_perm("billing.view_event")):
            raise PermissionDenied
        customer = get_object_or_404(Customer, pk=pk)
        context = {
            **self.admin_site.each_context(request),
            "title": f"Usage of {customer}",
            **usage_of(customer, timezone.now()),
        }
        return TemplateResponse(request, "admin/billing/customer_usage.html", context)


@admin.register(Correction)
class CorrectionDesk(FactDesk):
    list_display = ["made_at", "kind", "event_id", "source", "customer", "occurred_at", "reason", "made_by"]
    list_filter = ["kind", "made_at"]
    search_fields = ["=event_id", "reason", "made_by"]
    search_help_text = "The whole id of an event, or words of the reason."
    empty_hint = "Integrations void or amend events with POST /api/v1/corrections."
    ordering = ["-made_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Correction]:
        return with_source_key(with_customer_name(super().get_queryset(request)))

    @admin.display(description="customer")
    def customer(self, row: Any) -> str:
        return row.customer_name or f"#{row.customer_id}"

    @admin.display(description="source")
    def source(self, row: Any) -> str:
        return row.source_key or f"#{row.source_id}"
