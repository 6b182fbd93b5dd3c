"""What every amendment asks and does: a change of the terms from a day on, with a reason."""

from __future__ import annotations

import datetime as dt
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.contrib.auth.models import AbstractBaseUser

from catalog.admin import priced
from catalog.deeds import DayField
from catalog.wording import price_words
from contracts.admin.deeds import ApprovedDeed, ContractForm
from contracts.drafts import TermsDraft
from contracts.lifecycle import amend_by
from contracts.models import Contract
from contracts.wording import line_words

Choices = list[tuple[str, str]]


class NumberField(forms.DecimalField):
    """A number of a contract's terms: as many digits as its column has."""

    def __init__(self, places: int = 12, **options: Any) -> None:
        super().__init__(**{"max_digits": 30, "decimal_places": places, "min_value": 0, **options})


class ScopeField(forms.MultipleChoiceField):
    """Keys of prices; none: all of them."""

    widget = forms.CheckboxSelectMultiple

    def __init__(self, **options: Any) -> None:
        super().__init__(
            **{"label": "On which prices", "required": False, "help_text": "None: all of them.", **options}
        )


class AmendForm(ContractForm):
    """A change from a day on, and why. Subclasses put their own questions before these."""

    on = DayField(label="From", help_text="The first day that it counts; a day in the past is adjusted.")
    reason = forms.CharField(label="Why", max_length=500, help_text="Kept in the history, beside who and when.")
    field_order: Sequence[str] = ()


class Amendment(ApprovedDeed):
    """One way to amend. It is offered on the page of the contract behind the button Amend."""

    permission = "contracts.amend_contract"

    @abstractmethod
    def amended(self, terms: TermsDraft, asked: Mapping[str, Any]) -> TermsDraft:
        """The terms as they are to be."""

    @abstractmethod
    def said(self, asked: Mapping[str, Any]) -> str:
        """What was done, in words that end a sentence beginning with the contract."""

    def do(self, row: Contract, at: dt.datetime, by: AbstractBaseUser, asked: Mapping[str, Any]) -> str:
        amend_by(row, lambda terms: self.amended(terms, asked), at=at, by=by, reason=asked["reason"])
        return f"{row} {self.said(asked)}."


def price_choices(contract: Contract) -> Choices:
    """The prices of all lines in force, each key once."""
    lines = contract.lines.in_force().select_related("plan_version")
    rows = (price for line in lines for price in line.plan_version.prices.all())
    found = {price.key: f"{price} ({price.key})" if str(price) != price.key else price.key for price in rows}
    return list(found.items())


def line_choices(contract: Contract) -> Choices:
    """The keys of lines in force, each with what it says last."""
    lines = contract.lines.in_force().select_related("plan_version__plan").order_by("starts_on")
    return list({line.key: f"{line.key}: {line_words(line)}" for line in lines}.items())


def price_of_line_choices(contract: Contract) -> Choices:
    lines = contract.lines.in_force().select_related("plan_version__plan").order_by("starts_on")
    return list(
        {
            f"{line.key}/{price.key}": f"{price} ({line.key}), now {price_words(price, contract.currency)}"
            for line in lines
            for price in priced(line.plan_version)
        }.items()
    )


class EndTermForm(AmendForm):
    term = forms.ChoiceField()
    on = DayField(label="First day without it", help_text="A day in the past is adjusted on the next invoice.")
    field_order = ("term", "on", "reason")
