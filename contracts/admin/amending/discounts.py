"""Discounts that begin or end on a day."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms

from catalog.deeds import DayField
from contracts import amendments
from contracts.admin.amending.asking import AmendForm, Amendment, EndTermForm, NumberField, ScopeField, price_choices
from contracts.drafts import DiscountDraft, TermsDraft
from contracts.models import Contract, DiscountKind
from contracts.wording import discount_words, suggested_key


class AddDiscountForm(AmendForm):
    key = forms.CharField(max_length=80, help_text="Names the discount, once in the contract.")
    kind = forms.ChoiceField(choices=DiscountKind.choices)
    value = NumberField(help_text="Percent, or an amount or a number of units for each billing period.")
    total = NumberField(places=4, required=False, help_text="It runs out once it has taken off so much in all.")
    applies_to = ScopeField()
    until = DayField(required=False, help_text="The first day it no longer counts.")
    field_order = ("key", "kind", "value", "applies_to", "total", "on", "until", "reason")

    def offer(self, contract: Contract) -> None:
        self.fields["key"].initial = suggested_key(contract, "discounts", "discount")
        self.fields["applies_to"].choices = price_choices(contract)  # type: ignore[attr-defined]


class AddDiscount(Amendment):
    name, label = "add_discount", "Add a discount"
    explanation = "Less to pay from a day on: percent, an amount or free units, on some prices or on the whole period."
    form_class = AddDiscountForm

    def amended(self, terms: TermsDraft, asked: Mapping[str, Any]) -> TermsDraft:
        discount = DiscountDraft(
            kind=asked["kind"],
            value=asked["value"],
            starts_on=asked["on"],
            ends_on=asked["until"],
            applies_to=tuple(asked["applies_to"]),
            key=asked["key"],
            total=asked["total"],
        )
        return amendments.add_discount(terms, discount)

    def said(self, asked: Mapping[str, Any]) -> str:
        return f"has the discount {asked['key']} from {asked['on']}"


class EndDiscountForm(EndTermForm):
    def offer(self, contract: Contract) -> None:
        rows = contract.discounts.in_force()
        choices = [(one.key, f"{one.key}: {discount_words(one, contract.currency)}") for one in rows]
        self.fields["term"].choices = choices  # type: ignore[attr-defined]


class EndDiscount(Amendment):
    name, label = "end_discount", "End a discount"
    explanation = "From that day on it is no longer taken off. What it took off before stays."
    form_class = EndDiscountForm

    def amended(self, terms: TermsDraft, asked: Mapping[str, Any]) -> TermsDraft:
        return amendments.end_discount(terms, asked["term"], asked["on"])

    def said(self, asked: Mapping[str, Any]) -> str:
        return f"has the discount {asked['term']} until {asked['on']}"
