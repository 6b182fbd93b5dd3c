"""Prices of a contract's own, from a day on."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from django import forms

from catalog.deeds import DayField
from catalog.money import quantity_text
from contracts import amendments
from contracts.admin.amending.asking import AmendForm, Amendment, EndTermForm, NumberField, price_of_line_choices
from contracts.drafts import TermsDraft
from contracts.models import Contract
from contracts.wording import override_words

OVERRIDDEN = (
    "unit_amount", "flat_amount", "package_amount", "package_size", "rate_percent", "fixed_amount", "included_units",
    "minimum_amount", "maximum_amount",
)  # fmt: skip


class OverrideForm(AmendForm):
    price = forms.ChoiceField()
    unit_amount = NumberField(required=False)
    flat_amount = NumberField(required=False)
    package_amount = NumberField(required=False)
    package_size = NumberField(required=False)
    rate_percent = NumberField(required=False)
    fixed_amount = NumberField(required=False)
    included_units = NumberField(required=False)
    minimum_amount = NumberField(required=False)
    maximum_amount = NumberField(required=False)
    tiers = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "cols": 40}),
        help_text="One a line: up to, price of a unit, and where there is one a flat amount. The last is “above”: "
        "1000 0.002, then above 0.001 5.00.",
    )
    until = DayField(required=False, help_text="The first day it no longer counts; empty: as long as the line.")
    field_order = ("price", *OVERRIDDEN, "tiers", "on", "until", "reason")

    def offer(self, contract: Contract) -> None:
        self.fields["price"].choices = price_of_line_choices(contract)  # type: ignore[attr-defined]

    def clean_tiers(self) -> list[dict[str, Any]]:
        return [_tier(line) for line in self.cleaned_data["tiers"].splitlines() if line.strip()]

    def clean(self) -> dict[str, Any]:
        """What is left empty stays as the plan version says it."""
        super().clean()
        named = {name: self.cleaned_data.get(name) for name in OVERRIDDEN}
        changes: dict[str, Any] = {name: quantity_text(value) for name, value in named.items() if value is not None}
        if self.cleaned_data.get("tiers"):
            changes["tiers"] = self.cleaned_data["tiers"]
        if not changes and not self.errors:
            raise forms.ValidationError("Say at least one number that is to be otherwise.")
        return {**self.cleaned_data, "changes": changes}


def _tier(line: str) -> dict[str, Any]:
    up_to, *amounts = line.replace(",", " ").split()
    if not 1 <= len(amounts) <= 2:
        raise forms.ValidationError(f"“{line.strip()}” is no tier; write “1000 0.002”, or “above 0.001”.")
    names = ("unit_amount", "flat_amount")
    numbers = {name: _number(amount) for name, amount in zip(names, amounts, strict=False)}
    return {"up_to": None if up_to.lower() == "above" else _number(up_to), **numbers}


def _number(text: str) -> str:
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise forms.ValidationError(f"“{text}” is not a number.")
    return quantity_text(number)


class OverridePrice(Amendment):
    name, label = "override_price", "Override a price"
    explanation = "Other numbers for one price from a day on; what is left empty stays as the plan version says it."
    form_class = OverrideForm

    def amended(self, terms: TermsDraft, asked: Mapping[str, Any]) -> TermsDraft:
        line, _, price = asked["price"].partition("/")
        return amendments.override_price(terms, line, price, asked["changes"], asked["on"], asked["until"])

    def said(self, asked: Mapping[str, Any]) -> str:
        return f"has another price for {asked['price']} from {asked['on']}"


class EndOverrideForm(EndTermForm):
    def offer(self, contract: Contract) -> None:
        words = {one.key: override_words(one, None, contract.currency) for one in contract.overrides.in_force()}
        self.fields["term"].choices = [(key, f"{key}: {said}") for key, said in words.items()]  # type: ignore[attr-defined]


class EndOverride(Amendment):
    name, label = "end_override", "End an override"
    explanation = "From that day on the price is as its plan version says it."
    form_class = EndOverrideForm

    def amended(self, terms: TermsDraft, asked: Mapping[str, Any]) -> TermsDraft:
        line, _, price = asked["term"].partition("/")
        return amendments.end_override(terms, line, price, asked["on"])

    def said(self, asked: Mapping[str, Any]) -> str:
        return f"has its own price for {asked['term']} until {asked['on']}"
