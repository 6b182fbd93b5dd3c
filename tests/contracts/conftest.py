"""A catalog to sign contracts on, and drafts of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import pytest

from catalog.models import Meter, Plan, PlanVersion
from catalog.publishing import PriceDraft, draft_version, publish
from contracts import lifecycle
from contracts.drafts import DiscountDraft, LineDraft, terms_draft
from contracts.models import Contract, Customer
from tests.factories import CustomerFactory, MeterFactory, SellerFactory

AT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
START = dt.date(2026, 1, 1)


class Desk:
    """Makes plans and contracts in the words of the tests."""

    def __init__(self, customer: Customer) -> None:
        self.customer = customer

    def version(self, plan: str = "pro", **given: Any) -> PlanVersion:
        """A version with a price `base` and one for each meter, published unless told."""
        row, _ = Plan.objects.get_or_create(
            key=plan, defaults={"name": plan, "interval": given.get("interval", "month")}
        )
        meters: Sequence[str] = given.get("meters", ["tokens"])
        prices = [PriceDraft("base", "recurring", {"model": "flat", "flat_amount": "30"})]
        for key in meters:
            if not Meter.objects.filter(key=key).exists():
                MeterFactory(key=key)
            prices.append(PriceDraft(key, "usage", {"model": "per_unit", "unit_amount": "1"}, meter=key))
        said = {"currency": given.get("currency", "USD"), "tax_behavior": given.get("tax_behavior", "exclusive")}
        version = draft_version(row, prices=prices, at=AT, **said)
        return publish(version, at=AT) if given.get("published", True) else version

    def draft(self, *lines: LineDraft, discounts: Sequence[DiscountDraft] = (), **given: Any) -> Contract:
        contract = Contract(
            **{
                "number": "C-1",
                "customer": self.customer,
                "seller": SellerFactory(),
                "currency": "USD",
                "starts_on": START,
                **given,
            }
        )
        return lifecycle.draft(contract, terms_draft(lines, discounts), at=AT)

    def signed(self, *lines: LineDraft, **given: Any) -> Contract:
        return lifecycle.approve(self.draft(*lines, **given), at=AT)


@pytest.fixture
def desk(db: None) -> Desk:
    return Desk(CustomerFactory(key="acme"))
