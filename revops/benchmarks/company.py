"""Catalog, customers, contracts and a key for a measurement, through the real operations."""

from __future__ import annotations

import datetime as dt

from billing.models import Source
from catalog.models import Interval, Meter, Plan, PriceKind, Seller
from catalog.publishing import PriceDraft, draft_version, publish
from contracts.drafts import LineDraft, TermsDraft
from contracts.lifecycle import approve, draft
from contracts.models import Contract, Customer
from revops.api.keys import create_key
from revops.benchmarks.sample import SOURCE, TYPE, Load
from revops.models import Scope


def source() -> Source:
    made, _ = Source.objects.get_or_create(key=SOURCE)
    return made


def plan_of(at: dt.datetime) -> Plan:
    """A plan of a base fee and two meters, published."""
    Meter.objects.get_or_create(key="requests", defaults={"event_type": TYPE, "aggregation": "count"})
    tokens = {"event_type": TYPE, "aggregation": "sum", "value": "tokens", "group_by": ["model"]}
    Meter.objects.get_or_create(key="tokens", defaults=tokens)
    plan, is_new = Plan.objects.get_or_create(key="bench", defaults={"name": "Bench", "interval": Interval.MONTH})
    if is_new:
        tiers = [{"up_to": "1000000", "unit_amount": "0.000002"}, {"up_to": None, "unit_amount": "0.000001"}]
        prices = [
            PriceDraft("base", PriceKind.RECURRING, {"model": "flat", "flat_amount": "99"}),
            PriceDraft("requests", PriceKind.USAGE, {"model": "per_unit", "unit_amount": "0.001"}, meter="requests"),
            PriceDraft("tokens", PriceKind.USAGE, {"model": "graduated", "tiers": tiers}, meter="tokens"),
        ]
        publish(draft_version(plan, currency="USD", prices=prices, at=at), at=at)
    return plan


def found(load: Load, starts_on: dt.date, at: dt.datetime) -> str:
    """A plan on two meters, and a customer with a contract for each of the load's; returns the secret of a key."""
    seller, _ = Seller.objects.get_or_create(key="bench", defaults={"name": "Bench Inc"})
    source()
    version = plan_of(at).versions.get()
    for number in range(load.customers):
        key = f"{load.prefix}-{number:05d}"
        customer = Customer.objects.create(key=key, name=key)
        contract = Contract(number=key, customer=customer, seller=seller, currency="USD", starts_on=starts_on)
        draft(contract, TermsDraft(lines=(LineDraft(version, starts_on=starts_on),)), at=at)
        approve(contract, at=at)
    _, secret = create_key("bench", [Scope.EVENTS_WRITE, Scope.USAGE_READ], at=at)
    return secret
