"""The desk of customers: who they are, the subjects they are known by, and whom to write to."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest

from catalog.columns import count
from catalog.desks import HistoryDesk, ShownInline, TabularInline
from contracts.models import Contact, Contract, ContractStatus, Customer, CustomerAlias


class AliasInline(TabularInline[CustomerAlias, Customer]):
    model = CustomerAlias
    extra = 0


class ContactInline(TabularInline[Contact, Customer]):
    model = Contact
    extra = 0


class ContractInline(ShownInline):
    """The contracts of a customer, to go to; they are edited on their own page."""

    model = Contract
    fields = ["number", "status", "currency", "starts_on", "ends_on"]
    ordering = ["-starts_on"]
    show_change_link = True


@admin.register(Customer)
class CustomerDesk(HistoryDesk):
    list_display = ["name", "key", "country", "timezone", "tax_id", "contracts_figure"]
    list_filter = ["country", "tax_exempt"]
    search_fields = ["key", "name", "tax_id", "aliases__subject", "contacts__email"]
    search_help_text = "Name, key, tax id, a subject of its events, or a contact's address."
    ordering = ["name"]
    fields = [
        "name", "key", "country", "timezone", "tax_id", "tax_exempt", "tax_exempt_reason", "billing_address",
    ]  # fmt: skip
    inlines = [AliasInline, ContactInline, ContractInline]
    empty_hint = "A customer is who is billed. Its key, or a subject of its own, names it in events."
    contracts_figure = count("approved_contracts", title="contracts")
    change_form_template = "admin/contracts/customer/change_form.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Customer]:
        rows: QuerySet[Customer] = super().get_queryset(request)
        approved = Count("contracts", filter=Q(contracts__status=ContractStatus.APPROVED))
        return rows.annotate(approved_contracts=approved)

    def get_readonly_fields(self, request: HttpRequest, obj: Customer | None = None) -> list[str]:
        if obj is None:
            return []
        # The billing days of contracts without a zone of their own follow the customer's.
        bound = obj.contracts.approved().filter(timezone="").exists()
        return ["key", "timezone"] if bound else ["key"]


@admin.register(CustomerAlias)
class CustomerAliasDesk(HistoryDesk):
    list_display = ["subject", "customer"]
    list_select_related = ["customer"]
    search_fields = ["subject", "customer__key", "customer__name"]
    ordering = ["subject"]
    autocomplete_fields = ["customer"]


@admin.register(Contact)
class ContactDesk(HistoryDesk):
    list_display = ["email", "name", "customer", "receives_invoices", "receives_notices"]
    list_filter = ["receives_invoices", "receives_notices"]
    list_select_related = ["customer"]
    search_fields = ["email", "name", "customer__name"]
    ordering = ["email"]
    autocomplete_fields = ["customer"]
