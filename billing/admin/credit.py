"""The desk of credit: what every grant has, where it went, and the deed that grants more."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import admin
from django.contrib.auth.models import AbstractBaseUser
from django.core.validators import MaxValueValidator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from billing.invoicing.balances import GrantBalance, State, balance_of, grants
from billing.invoicing.movements import history_of
from catalog.columns import Cell, money
from catalog.deeds import Change, DayField, Deed
from catalog.desks import FactDesk
from catalog.money import ZERO, exact_sum, money_text
from catalog.periods import local_date
from catalog.wording import money_figure, money_words
from contracts.admin import ContractDesk
from contracts.drafts import GrantDraft
from contracts.lifecycle import UnableToAmend, grant_credit
from contracts.models import Contract, ContractStatus, CreditGrant, GrantKind

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
        ("key", "name"), ("customer", "contract"), ("kind", "state"), ("starts_on", "expires_on"),
        ("priority", "applies_to"), "movements",
    ]  # fmt: skip
    readonly_fields = ["customer", "state", "movements"]
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
        return format_html("{}<small>{}</small>", row.name or row.key, row.key if row.name else "")

    @admin.display(description="customer, contract", ordering="contract__customer__name")
    def customer_and_contract(self, row: CreditGrant) -> SafeString:
        return format_html("{}<small>{}</small>", row.contract.customer, row.contract)

    @admin.display(description="customer")
    def customer(self, row: CreditGrant) -> str:
        return str(row.contract.customer)

    @admin.display(description="state")
    def state(self, row: Any) -> SafeString:
        found = balance_of(row, timezone.now()).state
        return format_html('<span class="state {}">{}</span>', TONES.get(found, ""), found)

    @admin.display(description="what came and went")
    def movements(self, row: Any) -> SafeString:
        at = timezone.now()
        shown = {"history": history_of(row, at), "balance": balance_of(row, at), "currency": row.contract.currency}
        return mark_safe(render_to_string("admin/billing/credit/history.html", shown))


class GrantForm(forms.Form):
    kind = forms.ChoiceField(choices=GrantKind, help_text="Prepaid: it was paid for, and makes no line on an invoice.")
    amount = forms.DecimalField(max_digits=24, decimal_places=4, help_text="In the contract's currency.")
    name = forms.CharField(required=False, max_length=200, help_text="As printed on invoices.")
    reason = forms.CharField(label="Why", max_length=500)
    priority = forms.IntegerField(
        initial=1, min_value=0, validators=[MaxValueValidator(32_767)], help_text="The lowest is spent first."
    )
    starts_on = DayField(label="From", required=False, help_text="The first day it may be spent. Empty: today.")
    expires_on = DayField(required=False, help_text="The first day it may no longer be spent. Empty: it never expires.")
    applies_to = forms.CharField(
        required=False, help_text="Keys of the prices it may pay, with commas between. Empty: everything."
    )


class GrantCredit(Deed):
    name, label, permission = "grant_credit", "Grant credit", "contracts.amend_contract"
    explanation = (
        "An amendment. Promotional credit lowers the next invoices before tax; prepaid credit pays what is due on "
        "them, tax included."
    )
    refusals = (UnableToAmend,)
    form_class = GrantForm

    def applies(self, row: Contract) -> bool:
        return row.status == ContractStatus.APPROVED

    def changes(self, row: Contract, at: dt.datetime) -> Sequence[Change]:
        now = {kind: ZERO for kind in GrantKind.values}
        for one in balances_of([row.pk], at):
            now[one.grant.kind] += one.left
        return [
            Change(
                f"{GrantKind(kind).label} credit left".capitalize(),
                money_words(left, row.currency),
                f"{money_words(left, row.currency)}, and the amount below if it is {kind}",
            )
            for kind, left in now.items()
        ]

    def do(self, row: Contract, at: dt.datetime, by: AbstractBaseUser, asked: Mapping[str, Any]) -> str:
        granted = grant_credit(
            row,
            GrantDraft(
                kind=asked["kind"],
                amount=asked["amount"],
                starts_on=asked["starts_on"] or local_date(at, ZoneInfo(row.timezone_name())),
                expires_on=asked["expires_on"],
                priority=asked["priority"],
                applies_to=tuple(key.strip() for key in asked["applies_to"].split(",") if key.strip()),
                name=asked["name"],
            ),
            at=at,
            by=by,
            reason=asked["reason"],
        )
        left = exact_sum(one.left for one in balances_of([row.pk], at) if one.grant.kind == granted.kind)
        said = f"{money_words(granted.amount, row.currency)} granted to {row} as {granted.key}"
        return f"{said}; {money_words(left, row.currency)} of {granted.kind} credit left."


def balances_of(contracts: Sequence[int], at: dt.datetime) -> list[GrantBalance]:
    """How the grants of contracts (ids) stand."""
    return [balance_of(row, at) for row in grants().filter(contract__in=contracts)]


admin.site.unregister(Contract)


@admin.register(Contract)
class ContractOffice(ContractDesk):
    """Contracts as billing sees them: what is granted and spent, too."""

    deeds: ClassVar[Sequence[Deed]] = (*ContractDesk.deeds[:-1], GrantCredit(), ContractDesk.deeds[-1])
