"""A company with a price, and ways to get something held."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from billing.metering.ingestion import ReceiptResult, ingest
from billing.models import HeldRecord, Proposal, Source
from billing.review.choosing import Records
from billing.review.proposals import approve, propose
from billing.review.release import Released
from catalog.auditing import KeyHolder
from catalog.models import Meter, Plan, PriceKind, Seller
from catalog.publishing import PriceDraft, draft_version, publish
from contracts.drafts import LineDraft, TermsDraft
from contracts.lifecycle import approve as approve_contract
from contracts.lifecycle import draft
from contracts.models import Contract, Customer
from tests.factories import body

THEN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
AT = dt.datetime(2026, 1, 20, 12, tzinfo=dt.UTC)

RITA = KeyHolder(1, "Rita")
FINN = KeyHolder(2, "Finn")


def send(*events: dict[str, Any] | bytes, at: dt.datetime = AT, bound_source: str | None = None) -> ReceiptResult:
    return ingest(body(*events), at=at, door="api", bound_source=bound_source)


def held(id: str) -> HeldRecord:
    return HeldRecord.objects.get(event_id=id)


def proposed(kind: str, *ids: str, keep_as_rule: bool = False, at: dt.datetime = AT, **argument: Any) -> Proposal:
    """Rita proposes something for the open records with these event ids."""
    records = HeldRecord.objects.filter(event_id__in=ids, status="open").values_list("pk", flat=True)
    chosen = Records(tuple(records))
    return propose(chosen, kind, argument, reason="Seen by Rita", by=RITA, at=at, keep_as_rule=keep_as_rule)


def resolved(kind: str, *ids: str, keep_as_rule: bool = False, at: dt.datetime = AT, **argument: Any) -> Released:
    """Rita proposes, Finn approves."""
    proposal = proposed(kind, *ids, keep_as_rule=keep_as_rule, at=at, **argument)
    return approve(proposal, by=FINN, at=at)


@dataclass
class Company:
    seller: Seller
    plan: Plan
    customer: Customer
    contract: Contract
    source: Source


def signed(number: str, customer: Customer, company: Company, starts_on: dt.date = dt.date(2026, 1, 1)) -> Contract:
    """A contract of a customer on the company's plan, in calendar months of UTC."""
    contract = Contract(
        number=number, customer=customer, seller=company.seller, currency="USD", starts_on=starts_on, anchor="calendar"
    )
    version = company.plan.versions.get()
    draft(contract, TermsDraft(lines=(LineDraft(version, starts_on=starts_on),)), at=THEN)
    approve_contract(contract, at=THEN)
    return contract


def make_company(prices: Sequence[PriceDraft] | None = None) -> Company:
    """acme, on a plan of 20.00 and 0.01 a token, in calendar months of UTC since 2026-01-01; the source gw."""
    seller = Seller.objects.create(key="main", name="Watertight Inc")
    source = Source.objects.create(key="gw")
    Meter.objects.create(
        key="tokens", event_type="llm.request", aggregation="sum", value="tokens", group_by=["model"], unit="tokens"
    )
    plan = Plan.objects.create(key="pro", name="Pro", interval="month")
    prices = prices or [
        PriceDraft("base", PriceKind.RECURRING, {"model": "flat", "flat_amount": "20.00"}),
        PriceDraft("tokens", PriceKind.USAGE, {"model": "per_unit", "unit_amount": "0.01"}, meter="tokens"),
    ]
    publish(draft_version(plan, currency="USD", prices=prices, at=THEN), at=THEN)
    customer = Customer.objects.create(key="acme", name="Acme GmbH", country="DE")
    company = Company(seller, plan, customer, Contract(), source)
    company.contract = signed("C-1", customer, company)
    return company


@pytest.fixture
def company(transactional_db: None) -> Company:
    return make_company()
