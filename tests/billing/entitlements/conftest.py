"""A company that sells allowances, made through the operations."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from billing.entitlements.intake import take_in
from billing.metering.ingestion import ReceiptResult
from billing.models import Notice, Source
from catalog.entitling import EntitlementDraft
from catalog.models import Feature, Meter, Plan, PlanVersion, Seller
from catalog.publishing import PriceDraft, draft_version, publish
from contracts.drafts import AllowanceDraft, LineDraft, terms_draft
from contracts.lifecycle import approve, draft
from contracts.models import Contract, Customer
from tests.factories import body, event

START = dt.date(2026, 1, 1)
_numbers = itertools.count(1)


def instant(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


class Office:
    """One seller with a meter of tokens; plans and customers as a test needs them."""

    def __init__(self) -> None:
        self.seller = Seller.objects.create(key="main", name="Watertight Inc")
        self.meter = Meter.objects.create(key="tokens", event_type="llm.request", aggregation="sum", value="tokens")
        for key in ("tokens", "sso", "seats"):
            Feature.objects.create(key=key, name=key)
        Source.objects.create(key="gw")

    def version(self, *given: EntitlementDraft, plan: str = "pro", interval: str = "month") -> PlanVersion:
        home, _ = Plan.objects.get_or_create(key=plan, defaults={"name": plan, "interval": interval})
        prices = [PriceDraft("base", "recurring", {"model": "flat", "flat_amount": "10"})]
        drafted = draft_version(home, currency="USD", prices=prices, entitlements=given, at=instant("2025-12-01"))
        return publish(drafted, at=instant("2025-12-01"))

    def sign(
        self,
        version: PlanVersion,
        *,
        customer: Customer | None = None,
        allowances: Sequence[AllowanceDraft] = (),
        starts_on: dt.date = START,
        **fields: Any,
    ) -> Contract:
        """A contract with a customer of its own, unless one is named."""
        number = next(_numbers)
        who = customer or Customer.objects.create(key=f"customer-{number}", name=f"Customer {number}")
        contract = Contract(
            number=f"C-{number}", customer=who, seller=self.seller, currency="USD", starts_on=starts_on, **fields
        )
        terms = terms_draft([LineDraft(version, starts_on)], entitlements=allowances)
        draft(contract, terms, at=instant("2025-12-02"))
        return approve(contract, at=instant("2025-12-02"))


def tokens(limit: str | None, **others: Any) -> EntitlementDraft:
    """So many tokens in each billing period."""
    amount = None if limit is None else Decimal(limit)
    return EntitlementDraft("tokens", "metered", meter="tokens", limit=amount, **others)


def use(customer: Customer, amount: Any, at: str, id: str = "", received: str = "") -> ReceiptResult:
    """An event of the customer's, received when it happened unless told."""
    sent = event(id or f"e-{next(_numbers)}", amount, subject=customer.key, time=instant(at).isoformat())
    return take_in(body(sent), at=instant(received or at), door="api")


def told(contract: Contract) -> list[tuple[str, int]]:
    """(first day of the period, threshold) of every notice, in the order they came to be."""
    rows = Notice.objects.filter(contract=contract).order_by("at", "pk")
    return [(f"{one.period_starts_at:%Y-%m-%d}", one.threshold) for one in rows]


@pytest.fixture
def office(transactional_db: None) -> Office:
    return Office()
