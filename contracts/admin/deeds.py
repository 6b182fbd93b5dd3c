"""Deeds on contracts: submit, approve, renew, end, move to a version, charge or credit once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django import forms
from django.contrib.auth.models import AbstractBaseUser
from django.db.models import QuerySet

from catalog.deeds import Change, DayField, Deed, TriedDeed
from catalog.models import PlanVersion, VersionStatus
from catalog.wording import money_words
from contracts.checking import faults
from contracts.drafts import terms_of
from contracts.lifecycle import UnableToApprove, add_one_time, approve, end, move_to_version, renew, submit
from contracts.models import Contract, ContractStatus
from contracts.wording import seen_terms, terms_in_words

TriedDeed.watch(Contract, seen_terms)


class SubmitContract(Deed):
    name, label, permission = "submit_contract", "Submit for approval", "contracts.submit_contract"
    explanation = "Another person then approves it. After: what is billed once it counts."
    refusals = (UnableToApprove,)

    def applies(self, row: Contract) -> bool:
        return row.status == ContractStatus.DRAFT

    def changes(self, row: Contract, at: dt.datetime) -> Sequence[Change]:
        if found := faults(row, terms_of(row)):
            raise UnableToApprove(found)
        return [Change(subject, "not billed", words) for subject, words in terms_in_words(row) if words]

    def do(self, row: Contract, at: dt.datetime, by: AbstractBaseUser, asked: Mapping[str, Any]) -> str:
        submit(row, at=at, by=by)
        return f"{row} waits for approval by another person."


class ApproveContract(SubmitContract):
    name, label, permission = "approve_contract", "Approve", "contracts.approve_contract"
    explanation = "From then on its use is billed, and its terms change by amendment only."
    is_grave = True

    def applies(self, row: Contract) -> bool:
        return row.status == ContractStatus.REVIEW

    def do(self, row: Contract, at: dt.datetime, by: AbstractBaseUser, asked: Mapping[str, Any]) -> str:
        approve(row, at=at, by=by)
        return f"{row} is approved."


class ContractForm(forms.Form):
    """What is asked about one contract, or about several; its choices are the contract's."""

    def __init__(self, data: Any, contract: Contract | None) -> None:
        super().__init__(data)
        self.contract = contract
        if contract is not None:
            self.offer(contract)

    def offer(self, contract: Contract) -> None:
        """Fill choices and first values in."""


class ApprovedDeed(TriedDeed):
    """A deed on an approved contract, which shows the terms and the next invoice before and after."""

    refusals = (UnableToApprove,)
    form_class: ClassVar[type[ContractForm]] = ContractForm

    def applies(self, row: Contract) -> bool:
        return row.status == ContractStatus.APPROVED

    def form_for(self, rows: QuerySet[Any], sent: Any) -> forms.Form:
        chosen = list(rows[:2])
        return self.form_class(sent, chosen[0] if len(chosen) == 1 else None)


class RenewForm(ContractForm):
    months = forms.IntegerField(
        min_value=1, max_value=120, required=False, help_text="Its end moves on by so many months; empty: as agreed."
    )
    uplift_percent = forms.DecimalField(
        label="Uplift", max_digits=12, decimal_places=6, required=False,
        help_text="Percent on all prices from the old end on, on top of earlier ones; empty: as agreed.",
    )  # fmt: skip
    reason = forms.CharField(label="Why", max_length=500)

    def offer(self, contract: Contract) -> None:
        self.fields["months"].initial = contract.renewal_months
        self.fields["uplift_percent"].initial = f"{contract.renewal_uplift_percent.normalize():f}"


class RenewContract(ApprovedDeed):
    name, label, permission = "renew_contract", "Renew", "contracts.renew_contract"
    explanation = "It runs on past its end. What ran to the end runs on; up to then the old prices stay."
    form_class = RenewForm

    def applies(self, row: Contract) -> bool:
        return super().applies(row) and row.ends_on is not None

    def do(self, row: Contract, at: dt.datetime, by: AbstractBaseUser, asked: Mapping[str, Any]) -> str:
        renew(row, at=at, by=by, **asked)
        return f"{row} runs until {row.ends_on}."


class EndForm(ContractForm):
    on = DayField(label="First day out", help_text="The first day that is no longer covered.")
    reason = forms.CharField(label="Why", max_length=500)

    def offer(self, contract: Contract) -> None:
        self.fields["on"].initial = contract.ends_on


class EndContract(ApprovedDeed):
    name, label, permission = "end_contract", "End", "contracts.end_contract"
    explanation = (
        "Its lines end with it, and it no longer renews by itself. Use after that day is held for review; what was "
        "paid ahead comes back."
    )
    form_class = EndForm
    is_grave = True

    def do(self, row: Contract, at: dt.datetime, by: AbstractBaseUser, asked: Mapping[str, Any]) -> str:
        end(row, asked["on"], at=at, by=by, reason=asked["reason"])
        return f"{row} ends on {row.ends_on}."


class MoveForm(ContractForm):
    version = forms.ModelChoiceField(
        PlanVersion.objects.filter(status=VersionStatus.PUBLISHED)
        .select_related("plan")
        .order_by("plan__key", "number"),
        help_text="Lines of the same plan are moved to it.",
    )
    on = DayField(label="From", help_text="The first day at the new prices; a day in the past is adjusted.")


class MoveToVersion(ApprovedDeed):
    name, label, permission = "move_to_version", "Move to version", "contracts.amend_contract"
    explanation = "From that day on the contract's lines of a plan stand on another of its versions."
    form_class = MoveForm

    def do(self, row: Contract, at: dt.datetime, by: AbstractBaseUser, asked: Mapping[str, Any]) -> str:
        version = asked["version"]
        move_to_version(row, version.plan, version, asked["on"], at=at, by=by)
        return f"{row} stands on {version} from {asked['on']}."


class OneTimeForm(ContractForm):
    key = forms.CharField(max_length=80, help_text="Names the term, once in the contract: setup, goodwill-1.")
    description = forms.CharField(max_length=200, help_text="As printed on the invoice.")
    amount = forms.DecimalField(max_digits=24, decimal_places=4, help_text="Below zero it is a credit.")
    on = DayField(help_text="The day of the contract it belongs to.")


class AddOneTime(ApprovedDeed):
    name, label, permission = "add_one_time", "Charge or credit once", "contracts.amend_contract"
    explanation = "An amount on the contract's next invoice, before tax."
    form_class = OneTimeForm

    def do(self, row: Contract, at: dt.datetime, by: AbstractBaseUser, asked: Mapping[str, Any]) -> str:
        add_one_time(row, asked["key"], asked["description"], asked["amount"], asked["on"], at=at, by=by)
        return f"{money_words(asked['amount'], row.currency)} on {asked['on']}: {asked['description']}."
