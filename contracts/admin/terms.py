"""Terms of all contracts, to search: lines, overrides, discounts, commitments, one-time amounts."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from catalog.columns import money, quantity
from catalog.desks import FactDesk, PartsMixin
from contracts.models import (
    Commitment,
    ContractLine,
    ContractStatus,
    Discount,
    OneTimeTerm,
    PriceOverride,
)
from contracts.wording import commitment_words, discount_words, override_words


class TermDesk(PartsMixin, FactDesk):
    """Terms of all contracts, to search; they are edited on a draft's page and superseded by amendments."""

    part_of = "contract"

    list_select_related = ["contract"]
    search_fields = ["contract__number", "key"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Terms go with a contract that is not approved; one of them alone, with a draft's only."""
        if obj is None or obj.contract.status == ContractStatus.APPROVED:
            return False
        return bool(admin.ModelAdmin.has_delete_permission(self, request, obj))


@admin.register(ContractLine)
class ContractLineDesk(TermDesk):
    list_display = ["contract", "key", "plan_version", "quantity_figure", "starts_on", "ends_on", "superseded_at"]
    list_filter = [("superseded_at", admin.EmptyFieldListFilter), "plan_version__plan"]
    list_select_related = ["contract", "plan_version__plan"]
    ordering = ["contract__number", "position", "starts_on"]

    quantity_figure = quantity("quantity")


@admin.register(Discount)
class DiscountDesk(TermDesk):
    list_display = ["contract", "key", "value_figure", "starts_on", "ends_on", "superseded_at"]
    list_filter = [("superseded_at", admin.EmptyFieldListFilter), "kind"]
    ordering = ["contract__number", "position"]

    @admin.display(description="what it takes off", ordering="value")
    def value_figure(self, discount: Discount) -> str:
        return discount_words(discount, discount.contract.currency)


@admin.register(OneTimeTerm)
class OneTimeTermDesk(TermDesk):
    list_display = ["contract", "key", "description", "amount_figure", "on", "superseded_at"]
    list_filter = [("superseded_at", admin.EmptyFieldListFilter)]
    date_hierarchy = "on"
    ordering = ["-on"]

    amount_figure = money("amount", currency="contract.currency")


@admin.register(PriceOverride)
class PriceOverrideDesk(TermDesk):
    list_display = ["contract", "line", "price", "in_words", "starts_on", "ends_on", "superseded_at"]
    list_filter = [("superseded_at", admin.EmptyFieldListFilter), "price"]
    search_fields = ["contract__number", "line", "price"]
    ordering = ["contract__number", "line", "price", "starts_on"]

    @admin.display(description="what it says instead")
    def in_words(self, override: PriceOverride) -> str:
        return override_words(override, None, override.contract.currency)


@admin.register(Commitment)
class CommitmentDesk(TermDesk):
    list_display = ["contract", "key", "kind", "in_words", "starts_on", "ends_on", "superseded_at"]
    list_filter = [("superseded_at", admin.EmptyFieldListFilter), "kind", "interval"]
    ordering = ["contract__number", "position"]

    @admin.display(description="what it says")
    def in_words(self, commitment: Commitment) -> str:
        return commitment_words(commitment, commitment.contract.currency)
