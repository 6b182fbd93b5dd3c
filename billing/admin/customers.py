"""The desk of customers as billing sees them: the list with how each stands, and the page of one.

Who a customer is belongs to contracts, and is edited on the form it has there.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.timesince import timesince
from unfold.views import ChangeList

from billing.admin.customer_page import overview_of
from billing.admin.standing import standing_of
from catalog.wording import money_words
from contracts.admin import CustomerDesk
from contracts.models import Customer

admin.site.unregister(Customer)


class CustomerList(ChangeList):  # type: ignore[misc]
    """A page of customers with how each stands; a row leads to the customer's page."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        customers: list[Any] = list(self.result_list)  # type: ignore[has-type]
        standing = standing_of(customers, timezone.now().date(), with_held=sees_held(request))
        for customer in customers:
            customer.standing = standing[customer.pk]
        self.result_list = customers

    def url_for_result(self, result: Any) -> str:
        return reverse("admin:contracts_customer_overview", args=[result.pk])


@admin.register(Customer)
class CustomerOffice(CustomerDesk):
    list_display = [
        "name",
        "key",
        "country",
        "contracts_figure",
        "open_figure",
        "overdue_figure",
        "last_use",
        "held_figure",
    ]
    csv_columns = ["name", "key", "country", "timezone", "tax_id", "contracts_figure"]

    def get_list_display(self, request: HttpRequest) -> Any:
        shown = super().get_list_display(request)
        return shown if sees_held(request) else [name for name in shown if name != "held_figure"]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        return CustomerList

    @admin.display(description="open amount")
    def open_figure(self, customer: Any) -> SafeString | str:
        return amounts(customer.standing.owed)

    @admin.display(description="of it overdue")
    def overdue_figure(self, customer: Any) -> SafeString | str:
        overdue = customer.standing.overdue
        return format_html('<span class="state bad">{}</span>', amounts(overdue)) if overdue else "-"

    @admin.display(description="last use")
    def last_use(self, customer: Any) -> str:
        used = customer.standing.last_use
        return f"{timesince(used, timezone.now(), depth=1)} ago" if used else "never"

    @admin.display(description="held")
    def held_figure(self, customer: Any) -> SafeString | str:
        held = customer.standing.held
        return format_html('<span class="state warn">{}</span>', f"{held:,}") if held else "-"

    def get_urls(self) -> list[URLPattern]:
        overview = self.admin_site.admin_view(self.overview_view)
        return [path("<int:pk>/overview/", overview, name="contracts_customer_overview"), *super().get_urls()]

    def overview_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Everything about one customer on one page; its own fields are edited on the form."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        customer = get_object_or_404(Customer, pk=pk)
        context = {
            **self.admin_site.each_context(request),
            "title": "Overview",
            "opts": self.opts,
            "original": customer,
            "may_change": self.has_change_permission(request, customer),
            **overview_of(customer, timezone.now(), range_name=request.GET.get("range", ""), user=request.user),
        }
        return TemplateResponse(request, "admin/contracts/customer/overview.html", context)


def sees_held(request: HttpRequest) -> bool:
    return bool(request.user.has_perm("quarantine.view_heldrecord"))


def amounts(by_currency: Mapping[str, Decimal]) -> SafeString | str:
    """Amounts below each other, one for each currency."""
    words = [(money_words(amount, currency),) for currency, amount in by_currency.items()]
    return format_html_join(mark_safe("<br>"), "{}", words) if words else "-"
