"""The desk of credit: what every grant has, and where it went."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from billing.invoicing.balances import State, balance_of, grants
from billing.invoicing.movements import history_of
from catalog.columns import Cell, money
from catalog.desks import FactDesk
from catalog.money import money_text
from catalog.wording import money_figure
from contracts.models import CreditGrant

TONES: Mapping[State, str] = {"open": "good", "not begun": "warn", "expired": "bad", "withdrawn": "bad"}


def balance(title: str) -> Callable[[Any, Any], str]:
    """A column of one figure of a grant's balance, as of now."""

    def read(row: Any) -> Decimal:
        amount: Decimal = getattr(balance_of(row, timezone.now()), title)
        return amount

    def column(desk: Any, row: Any) -> str:
        return money_figure(read(row), row.contract.currency)

    cells: list[Cell] = [(title, lambda row: money_text(read(row), row.contract.currency))]
    declared: Any = column
    declared.short_description, declared.cells = title, cells
    return column


@admin.register(CreditGrant)
class GrantDesk(FactDesk):
    """Grants as they are in force or were last; they are terms of a contract, and change by amending it."""

    list_display = [
        "grant", "customer_and_contract", "kind", "state", "amount_figure", "drawn_figure", "returned_figure",
        "left_figure", "expired_figure", "starts_on", "expires_on", "priority",
    ]  # fmt: skip
    csv_columns = [
        "key", "name", "customer", "contract", "kind", "state", "amount_figure", "drawn_figure", "returned_figure",
        "left_figure", "expired_figure", "withdrawn_figure", "starts_on", "expires_on", "priority", "applies_to",
    ]  # fmt: skip
    list_filter = ["kind", "contract__currency", "expires_on", ("superseded_at", admin.EmptyFieldListFilter)]
    search_fields = ["key", "name", "contract__number", "contract__customer__key", "contract__customer__name"]
    search_help_text = "Key or name of a grant, a contract or a customer."
    ordering = ["-pk"]
    fields = [
        ("key", "name"), ("customer", "contract"), ("kind", "state"), ("amount_figure", "drawn_figure"),
        ("left_figure", "expired_figure"), ("starts_on", "expires_on"), ("priority", "applies_to"), "movements",
    ]  # fmt: skip
    readonly_fields = [
        "customer", "state", "amount_figure", "drawn_figure", "left_figure", "expired_figure", "movements",
    ]  # fmt: skip
    wide_fields = ("movements",)
    empty_hint = "Grants are terms of a contract; “Grant credit” is on the page of an approved one."

    amount_figure = money("amount", currency="contract.currency")
    drawn_figure = balance("drawn")
    returned_figure = balance("returned")
    left_figure = balance("left")
    expired_figure = balance("expired")
    withdrawn_figure = balance("withdrawn")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return grants().order_by("-pk")

    @admin.display(description="grant", ordering="key")
    def grant(self, row: CreditGrant) -> SafeString:
        return format_html("{}<br><small>{}</small>", row.name or row.key, row.key if row.name else "")

    @admin.display(description="customer, contract", ordering="contract__customer__name")
    def customer_and_contract(self, row: CreditGrant) -> SafeString:
        return format_html("{}<br><small>{}</small>", row.contract.customer, row.contract)

    @admin.display(description="customer")
    def customer(self, row: CreditGrant) -> str:
        return str(row.contract.customer)

    @admin.display(description="state")
    def state(self, row: Any) -> SafeString:
        found = balance_of(row, timezone.now()).state
        return format_html('<span class="state {}">{}</span>', TONES.get(found, ""), found)

    @admin.display(description="what came and went")
    def movements(self, row: Any) -> SafeString:
        shown = {"history": history_of(row, timezone.now()), "currency": row.contract.currency}
        return mark_safe(render_to_string("admin/billing/credit/history.html", shown))
