"""How a contract goes on at its end."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib.auth.models import AbstractBaseUser

from catalog.money import quantity_text
from contracts.admin.deeds import ApprovedDeed, ContractForm
from contracts.extending import Renewal
from contracts.lifecycle import amend
from contracts.models import Contract


class RenewalForm(ContractForm):
    auto = forms.BooleanField(
        label="Renews by itself",
        required=False,
        help_text="At its end, unless that is cancelled before the notice day.",
    )
    months = forms.IntegerField(min_value=1, max_value=120, label="Renewed for", help_text="Months.")
    notice_days = forms.IntegerField(
        min_value=0, max_value=1000, label="Notice", help_text="So many days before its end it renews."
    )
    uplift_percent = forms.DecimalField(
        max_digits=12, decimal_places=6, label="Uplift", help_text="Percent on all prices, on top of earlier ones."
    )
    reason = forms.CharField(label="Why", max_length=500)

    def offer(self, contract: Contract) -> None:
        agreed = Renewal.of(contract)
        for name in ("auto", "months", "notice_days"):
            self.fields[name].initial = getattr(agreed, name)
        self.fields["uplift_percent"].initial = quantity_text(agreed.uplift_percent)


class SetRenewal(ApprovedDeed):
    name, label, permission = "set_renewal", "Say how it renews", "contracts.amend_contract"
    explanation = "By itself or by hand, for how long, and at which prices. To cancel a renewal, switch it off."
    form_class = RenewalForm

    def do(self, row: Contract, at: dt.datetime, by: AbstractBaseUser, asked: Mapping[str, Any]) -> str:
        names = ("auto", "months", "notice_days", "uplift_percent")
        amend(row, renewal=Renewal(**{name: asked[name] for name in names}), at=at, by=by, reason=asked["reason"])
        return f"{row} {'renews by itself' if row.renewal_auto else 'does not renew by itself'}."
