"""A seller, a catalog and customers with contracts, made through the operations."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from billing.models import Source
from catalog.models import Meter, Plan, PlanVersion, Seller, TaxRate
from catalog.publishing import PriceDraft, draft_version, publish
from contracts.drafts import DiscountDraft, GrantDraft, LineDraft, OneTimeDraft, terms_draft
from contracts.lifecycle import approve, draft
from contracts.models import Contract, Customer

START = dt.date(2026, 1, 1)


def instant(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


BASE: dict[str, Any] = {
    "key": "base",
    "kind": "recurring",
    "name": "Base fee",
    "arithmetic": {"model": "flat", "flat_amount": "99.00"},
    "billing": "in_advance",
}
TOKENS: dict[str, Any] = {
    "key": "tokens",
    "kind": "usage",
    "name": "Tokens",
    "meter": "tokens",
    "arithmetic": {"model": "per_unit", "unit_amount": "0.01"},
}


class Shop:
    """One seller in EUR with a meter of tokens; plans and contracts as a test needs them."""

    def __init__(self) -> None:
        self.seller = Seller.objects.create(key="main", name="Watertight Inc", currency="EUR")
        self.meter = Meter.objects.create(
            key="tokens", event_type="llm.request", aggregation="sum", value="tokens", unit="tokens"
        )
        self.source = Source.objects.create(key="gw")
        self.sent = 0

    def vat(self) -> TaxRate:
        return TaxRate.objects.create(code="de-vat", percent=Decimal(19), country="DE")

    def version(self, *prices: dict[str, Any], plan: str = "pro", interval: str = "month") -> PlanVersion:
        home, _ = Plan.objects.get_or_create(key=plan, defaults={"name": plan.title(), "interval": interval})
        drafts = [PriceDraft(**price) for price in prices]
        version = draft_version(home, currency="EUR", prices=drafts, at=instant("2025-12-01"))
        return publish(version, at=instant("2025-12-01"))

    def customer(self, key: str, **fields: Any) -> Customer:
        return Customer.objects.create(key=key, name=key.title(), country="DE", **fields)

    def sign(
        self,
        customer: Customer,
        version: PlanVersion,
        *,
        ends_on: dt.date | None = None,
        discounts: Sequence[DiscountDraft] = (),
        one_time: Sequence[OneTimeDraft] = (),
        credits: Sequence[GrantDraft] = (),
        number: str = "",
        **fields: Any,
    ) -> Contract:
        contract = Contract(
            number=number or f"C-{customer.key}",
            customer=customer,
            seller=self.seller,
            currency="EUR",
            starts_on=START,
            ends_on=ends_on,
            **fields,
        )
        terms = terms_draft([LineDraft(version, START)], discounts, one_time, credits=credits)
        draft(contract, terms, at=instant("2025-12-02"))
        return approve(contract, at=instant("2025-12-02"))


@pytest.fixture
def shop(transactional_db: None) -> Shop:
    return Shop()
