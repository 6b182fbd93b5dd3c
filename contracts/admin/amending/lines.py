"""Plans on a contract: more or fewer of one, another beside it or in its place, one less."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from django import forms

from catalog.deeds import DayField
from catalog.models import PlanVersion, VersionStatus
from catalog.money import quantity_text
from contracts import amendments
from contracts.admin.amending.asking import AmendForm, Amendment, NumberField, line_choices
from contracts.drafts import LineDraft, TermsDraft
from contracts.models import Contract


class LineForm(AmendForm):
    line = forms.ChoiceField()
    field_order: Sequence[str] = ("line", "on", "reason")

    def offer(self, contract: Contract) -> None:
        self.fields["line"].choices = line_choices(contract)  # type: ignore[attr-defined]


class QuantityForm(LineForm):
    quantity = NumberField(places=6, help_text="So many from then on.")
    field_order = ("line", "quantity", "on", "reason")


class ChangeQuantity(Amendment):
    name, label = "change_quantity", "Change a quantity"
    explanation = "More or fewer of a line's plan from a day on; recurring prices are split by days."
    form_class = QuantityForm

    def amended(self, terms: TermsDraft, asked: Mapping[str, Any]) -> TermsDraft:
        return amendments.change_quantity(terms, asked["line"], asked["quantity"], asked["on"])

    def said(self, asked: Mapping[str, Any]) -> str:
        return f"has {quantity_text(asked['quantity'])} of {asked['line']} from {asked['on']}"


def sold_versions() -> Any:
    rows = PlanVersion.objects.filter(status=VersionStatus.PUBLISHED).select_related("plan")
    return rows.order_by("plan__key", "number")


class AddLineForm(AmendForm):
    version = forms.ModelChoiceField(sold_versions(), label="Plan version")
    quantity = NumberField(places=6, initial=Decimal(1))
    key = forms.CharField(max_length=80, required=False, help_text="Names the line; empty: the plan's key.")
    until = DayField(required=False, help_text="The first day that is no longer covered.")
    field_order: Sequence[str] = ("version", "quantity", "key", "on", "until", "reason")

    def offer(self, contract: Contract) -> None:
        versions = sold_versions().filter(currency=contract.currency)
        self.fields["version"].queryset = versions  # type: ignore[attr-defined]


class AddLine(Amendment):
    name, label = "add_line", "Add a plan"
    explanation = "Another plan on the same contract from a day on, beside those it has."
    form_class = AddLineForm

    def amended(self, terms: TermsDraft, asked: Mapping[str, Any]) -> TermsDraft:
        key = asked["key"] or asked["version"].plan.key
        line = LineDraft(asked["version"], asked["on"], asked["until"], asked["quantity"], key)
        return amendments.add_line(terms, line)

    def said(self, asked: Mapping[str, Any]) -> str:
        return f"has {asked['version']} from {asked['on']}"


class RemoveLineForm(LineForm):
    on = DayField(label="First day without it", help_text="What was paid ahead for days from then on comes back.")


class RemoveLine(Amendment):
    name, label = "remove_line", "Take a plan off"
    explanation = "The line ends on a day; the rest of the contract runs on."
    form_class = RemoveLineForm
    is_grave = True

    def amended(self, terms: TermsDraft, asked: Mapping[str, Any]) -> TermsDraft:
        return amendments.remove_line(terms, asked["line"], asked["on"])

    def said(self, asked: Mapping[str, Any]) -> str:
        return f"has {asked['line']} until {asked['on']}"


class MoveLineForm(AddLineForm):
    line = forms.ChoiceField(help_text="It ends where the other plan begins.")
    field_order = ("line", "version", "key", "on", "reason")

    def __init__(self, data: Any, contract: Contract | None) -> None:
        super().__init__(data, contract)
        del self.fields["until"], self.fields["quantity"]

    def offer(self, contract: Contract) -> None:
        super().offer(contract)
        self.fields["line"].choices = line_choices(contract)  # type: ignore[attr-defined]


class MoveLine(Amendment):
    name, label = "move_line", "Move to another plan"
    explanation = "Another plan in place of one from a day on. What was paid ahead for the old one comes back by days."
    form_class = MoveLineForm

    def amended(self, terms: TermsDraft, asked: Mapping[str, Any]) -> TermsDraft:
        return amendments.move_line(terms, asked["line"], asked["version"], asked["on"], asked["key"])

    def said(self, asked: Mapping[str, Any]) -> str:
        return f"has {asked['version']} in place of {asked['line']} from {asked['on']}"
