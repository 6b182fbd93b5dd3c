"""The deed that grants credit to a contract."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.contrib.auth.models import AbstractBaseUser
from django.core.validators import MaxValueValidator

from billing.invoicing.balances import GrantBalance, balance_of, grants
from catalog.deeds import Change, DayField, Deed
from catalog.money import ZERO, exact_sum
from catalog.periods import local_date
from catalog.wording import money_words
from contracts.drafts import GrantDraft
from contracts.lifecycle import UnableToAmend, grant_credit
from contracts.models import Contract, ContractStatus, GrantKind


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
                f"{kind.capitalize()} credit left",
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
