"""The desk of what contracts say of features: a deed that changes an allowance, and the list of all."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import AbstractBaseUser
from django.http import HttpRequest

from catalog.deeds import Change, DayField, Deed
from catalog.desks import FactDesk, PartsMixin
from catalog.entitlements import OnLimit
from catalog.entitling import HIGHEST_THRESHOLD, is_typed
from catalog.models import Feature
from catalog.wording import allowance_words
from contracts.drafts import AllowanceDraft
from contracts.lifecycle import UnableToApprove, add_allowance
from contracts.models import AllowanceTerm, Contract, ContractStatus
from contracts.wording import features_in_words


class AllowanceForm(forms.Form):
    feature = forms.ModelChoiceField(Feature.objects.order_by("key"), to_field_name="key")
    limit = forms.DecimalField(required=False, min_value=0, max_digits=30, decimal_places=12, help_text="Units.")
    unlimited = forms.BooleanField(required=False, help_text="As much as they like.")
    extra = forms.DecimalField(
        required=False, min_value=0, max_digits=30, decimal_places=12,
        help_text="Units beside the limit, in each period that the days touch.",
    )  # fmt: skip
    value = forms.JSONField(required=False, help_text='Of a feature that is not counted: true, 10, "gold".')
    on_limit = forms.ChoiceField(
        label="Once it is used up", required=False, choices=[("", "as the plan says"), *OnLimit.choices]
    )
    thresholds = forms.CharField(
        label="Tell the customer at", required=False, max_length=100, help_text="Percent of the limit: 50, 90, 100."
    )
    starts_on = DayField(label="From")
    ends_on = DayField(label="Until", required=False, help_text="The first day it no longer counts. Empty: for good.")
    reason = forms.CharField(label="Why", max_length=200)

    def clean_thresholds(self) -> tuple[int, ...] | None:
        parts = [part.strip().removesuffix("%").strip() for part in self.cleaned_data["thresholds"].split(",")]
        given = [part for part in parts if part]
        if any(not part.isdecimal() or not 1 <= int(part) <= HIGHEST_THRESHOLD for part in given):
            raise forms.ValidationError(f"Percentages from 1 to {HIGHEST_THRESHOLD}, separated by commas.")
        return tuple(sorted({int(part) for part in given})) or None

    def clean_value(self) -> Any:
        value = self.cleaned_data["value"]
        if not is_typed(value):
            raise forms.ValidationError("Text in quotes, a whole number, true or false, or a list of such.")
        return value


class ChangeAllowance(Deed):
    name, label, permission = "change_allowance", "Change an allowance", "contracts.amend_contract"
    explanation = "For this contract alone. Of several terms for a feature the one that begins last counts."
    refusals = (UnableToApprove,)
    form_class = AllowanceForm

    def applies(self, row: Contract) -> bool:
        return row.status == ContractStatus.APPROVED

    def changes(self, row: Contract, at: dt.datetime) -> Sequence[Change]:
        said = features_in_words(row)
        return [Change(name, words, f"{words}, or as said below") for name, words in said] or [
            Change("Features", "none", "as said below")
        ]

    def do(self, row: Contract, at: dt.datetime, by: AbstractBaseUser, asked: Mapping[str, Any]) -> str:
        told = {name: asked[name] for name in ("limit", "extra", "value", "thresholds", "ends_on", "reason")}
        allowance = AllowanceDraft(
            feature=asked["feature"].key,
            starts_on=asked["starts_on"],
            unlimited=asked["unlimited"],
            on_limit=asked["on_limit"],
            **told,
        )
        add_allowance(row, allowance, at=at, by=by)
        return f"{row}: {asked['feature']} is as agreed from {asked['starts_on']}."


@admin.register(AllowanceTerm)
class AllowanceTermDesk(PartsMixin, FactDesk):
    """Said in files, over the API and with the deed of a contract; amendments supersede them."""

    part_of = "contract"
    list_display = ["contract", "feature", "in_words", "starts_on", "ends_on", "reason", "superseded_at"]
    list_filter = [("superseded_at", admin.EmptyFieldListFilter), "feature"]
    list_select_related = ["contract"]
    search_fields = ["contract__number", "feature", "reason"]
    ordering = ["contract__number", "position"]
    empty_hint = "A contract says here what it agrees otherwise than its plans: “Change an allowance” on its page."

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Terms go with a contract that is not approved; one of them alone, with a draft's only."""
        if obj is None or obj.contract.status == ContractStatus.APPROVED:
            return False
        return bool(admin.ModelAdmin.has_delete_permission(self, request, obj))

    @admin.display(description="says")
    def in_words(self, term: AllowanceTerm) -> str:
        return allowance_words(term)
