"""Commitments that begin or end on a day."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms

from catalog.deeds import DayField
from catalog.models import Interval
from contracts import amendments
from contracts.admin.amending.asking import AmendForm, Amendment, EndTermForm, NumberField, ScopeField, price_choices
from contracts.drafts import CommitmentDraft, TermsDraft
from contracts.models import CommitmentKind, Contract
from contracts.wording import commitment_words, suggested_key


class AddCommitmentForm(AmendForm):
    key = forms.CharField(max_length=80, help_text="Names the commitment, once in the contract.")
    kind = forms.ChoiceField(choices=CommitmentKind.choices)
    amount = NumberField(places=4, required=False, help_text="Money before tax. Not for a committed quantity.")
    quantity = NumberField(required=False, help_text="Units of one price, for a committed quantity alone.")
    interval = forms.ChoiceField(
        required=False,
        choices=[("", "each billing period"), *Interval.choices, ("term", "the whole term")],
        help_text="How long each stretch is that it is counted in.",
    )
    applies_to = ScopeField()
    overage_factor = NumberField(
        places=6, required=False, help_text="Spend beyond it costs so many times as much; empty: as much."
    )
    true_up = forms.BooleanField(
        required=False, initial=True, help_text="What is missing at the end of a stretch is charged."
    )
    prorate = forms.BooleanField(required=False, initial=True, help_text="By days, where a stretch is not whole.")
    until = DayField(required=False, help_text="The first day it no longer counts.")
    field_order = (
        "key", "kind", "amount", "quantity", "interval", "applies_to", "overage_factor", "true_up", "prorate", "on",
        "until", "reason",
    )  # fmt: skip

    def offer(self, contract: Contract) -> None:
        self.fields["key"].initial = suggested_key(contract, "commitments", "commitment")
        self.fields["applies_to"].choices = price_choices(contract)  # type: ignore[attr-defined]


class AddCommitment(Amendment):
    name, label = "add_commitment", "Add a commitment"
    explanation = "Spend at least, at most, or ahead, or a committed quantity, from a day on."
    form_class = AddCommitmentForm

    def amended(self, terms: TermsDraft, asked: Mapping[str, Any]) -> TermsDraft:
        names = ("key", "kind", "amount", "quantity", "interval", "overage_factor", "true_up", "prorate")
        commitment = CommitmentDraft(
            starts_on=asked["on"],
            ends_on=asked["until"],
            applies_to=tuple(asked["applies_to"]),
            **{name: asked[name] for name in names},
        )
        return amendments.add_commitment(terms, commitment)

    def said(self, asked: Mapping[str, Any]) -> str:
        return f"has the commitment {asked['key']} from {asked['on']}"


class EndCommitmentForm(EndTermForm):
    def offer(self, contract: Contract) -> None:
        rows = contract.commitments.in_force()
        choices = [(one.key, f"{one.key}: {commitment_words(one, contract.currency)}") for one in rows]
        self.fields["term"].choices = choices  # type: ignore[attr-defined]


class EndCommitment(Amendment):
    name, label = "end_commitment", "End a commitment"
    explanation = "Its running stretch ends on that day, and is settled with the billing period that holds it."
    form_class = EndCommitmentForm

    def amended(self, terms: TermsDraft, asked: Mapping[str, Any]) -> TermsDraft:
        return amendments.end_commitment(terms, asked["term"], asked["on"])

    def said(self, asked: Mapping[str, Any]) -> str:
        return f"has the commitment {asked['term']} until {asked['on']}"
