"""How what is sold, and to whom, reads in the API, with one example of each."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType, field

from revops.api.shapes import Currency, Day, Instant, Quantity, Shown

Key = Annotated[str, Meta(description="Its key: letters, digits, dots, dashes and underscores.", examples=["globex"])]
Window = Annotated[
    str | None, Meta(description="A duration in hours, minutes or seconds; null: not set here.", examples=["24h"])
]
PriceNumber = Quantity | UnsetType


class Source(Shown, kw_only=True):
    """Who reports events."""

    key: Annotated[str, Meta(description="The `source` of its events.", examples=["gateway"])]
    name: str
    tolerance_window: Window


class Meter(Shown, kw_only=True):
    """What is counted, and how."""

    key: Annotated[str, Meta(description="The meter's key.", examples=["words"])]
    name: str
    event_type: Annotated[str, Meta(description="The `type` of the events it counts.", examples=["text.translated"])]
    aggregation: Literal["count", "sum", "max", "min", "avg", "latest", "unique_count", "weighted_sum"]
    value: Annotated[str, Meta(description="The property of `data` it reads; empty for a count.", examples=["words"])]
    group_by: list[str]
    filters: Annotated[dict[str, Any], Meta(description="Only events whose `data` match are counted.")]
    unit: str
    allow_negative: bool


class Feature(Shown, kw_only=True):
    """Something a plan lets a customer use."""

    key: Key
    name: str
    description: str


class PriceTier(Shown, kw_only=True):
    """A step in a price; `up_to` is included, and null in the last one."""

    up_to: Quantity | None
    unit_amount: Quantity
    flat_amount: Quantity


class Price(Shown, kw_only=True):
    """One way of charging. Of the numbers, those its model uses are there."""

    key: Key
    name: str
    kind: Literal["recurring", "usage", "one_time"]
    meter: str | None
    model: Literal["flat", "per_unit", "package", "graduated", "volume"]
    unit_amount: PriceNumber = UNSET
    flat_amount: PriceNumber = UNSET
    package_size: PriceNumber = UNSET
    package_amount: PriceNumber = UNSET
    included_units: PriceNumber = UNSET
    minimum_amount: PriceNumber = UNSET
    maximum_amount: PriceNumber = UNSET
    tiers: list[PriceTier] | UnsetType = UNSET
    billing: Literal["in_arrears", "in_advance"]
    prorate: bool


class PlanVersion(Shown, kw_only=True):
    """The dated content of a plan; it never changes once published."""

    number: int
    status: Literal["draft", "review", "published", "retired"]
    currency: Currency
    effective_from: Annotated[dt.date | None, Meta(description="Null: from ever.")]
    published_at: Instant | None
    prices: list[Price]


class Plan(Shown, kw_only=True):
    """A plan; what it costs is in its versions."""

    key: Key
    name: str
    interval: Literal["day", "week", "month", "quarter", "half_year", "year"]
    tolerance_window: Window
    versions: list[PlanVersion]


class Customer(Shown, kw_only=True):
    """Whoever uses and pays."""

    key: Key
    name: str
    country: Annotated[str, Meta(description="Two letters, ISO 3166; may be empty.", examples=["DE"])]
    timezone: Annotated[str, Meta(description="Empty: the seller's.", examples=["Europe/Berlin"])]
    tax_id: str
    billing_address: str
    subjects: Annotated[list[str], Meta(description="The `subject`s of its events, beside its key.")]


class ContractLine(Shown, kw_only=True):
    """One plan version over a range of days."""

    key: Key
    plan: str
    version: int
    quantity: Quantity
    starts_on: Day = field(name="from")
    ends_on: Annotated[dt.date | None, Meta(description="The first day that is no longer covered.")] = field(
        name="until"
    )


class ContractDiscount(Shown, kw_only=True):
    """Less to pay: on named prices, or (with none named) on all entries of a period."""

    key: Key
    kind: Literal["percent", "amount"]
    value: Quantity
    applies_to: list[str]
    starts_on: Day = field(name="from")
    ends_on: Annotated[dt.date | None, Meta(description="The first day it no longer counts.")] = field(name="until")


class OneTimeTerm(Shown, kw_only=True):
    """An amount charged once, or (below zero) a credit."""

    key: Key
    description: str
    amount: Quantity
    on: Day


class Contract(Shown, kw_only=True):
    """An agreement with a customer, with the terms that are in force."""

    number: Annotated[str, Meta(description="The contract's number.", examples=["G-1"])]
    customer: str
    seller: str
    status: Literal["draft", "review", "approved"]
    currency: Currency
    starts_on: Day
    ends_on: Annotated[dt.date | None, Meta(description="The first day that is no longer covered; null: no end.")]
    anchor: Literal["start", "calendar"]
    payment_terms_days: int
    purchase_order: str
    timezone: str
    tolerance_window: Window
    lines: list[ContractLine]
    discounts: list[ContractDiscount]
    one_time_terms: list[OneTimeTerm]


SOURCE = {"key": "gateway", "name": "API gateway", "tolerance_window": None}

METER = {
    "key": "words",
    "name": "Words translated",
    "event_type": "text.translated",
    "aggregation": "sum",
    "value": "words",
    "group_by": ["language"],
    "filters": {},
    "unit": "words",
    "allow_negative": False,
}

FEATURE = {"key": "glossaries", "name": "Glossaries", "description": "Terms that are always translated alike."}

VERSION = {
    "number": 1,
    "status": "published",
    "currency": "USD",
    "effective_from": None,
    "published_at": "2026-01-01T09:00:00Z",
    "prices": [
        {
            "key": "base",
            "name": "Base fee",
            "kind": "recurring",
            "meter": None,
            "model": "flat",
            "flat_amount": "20",
            "billing": "in_arrears",
            "prorate": True,
        },
        {
            "key": "words",
            "name": "Words",
            "kind": "usage",
            "meter": "words",
            "model": "graduated",
            "tiers": [
                {"up_to": "100000", "unit_amount": "0.0004", "flat_amount": "0"},
                {"up_to": None, "unit_amount": "0.0002", "flat_amount": "0"},
            ],
            "billing": "in_arrears",
            "prorate": True,
        },
    ],
}

PLAN = {
    "key": "translate",
    "name": "Translate",
    "interval": "month",
    "tolerance_window": None,
    "versions": [VERSION],
}

CUSTOMER = {
    "key": "globex",
    "name": "Globex Corp",
    "country": "DE",
    "timezone": "Europe/Berlin",
    "tax_id": "DE129274202",
    "billing_address": "Musterweg 1, 10115 Berlin",
    "subjects": ["globex-prod"],
}

CONTRACT = {
    "number": "G-1",
    "customer": "globex",
    "seller": "main",
    "status": "approved",
    "currency": "USD",
    "starts_on": "2026-01-01",
    "ends_on": None,
    "anchor": "calendar",
    "payment_terms_days": 30,
    "purchase_order": "",
    "timezone": "Europe/Berlin",
    "tolerance_window": None,
    "lines": [
        {"key": "translate", "plan": "translate", "version": 1, "quantity": "1", "from": "2026-01-01", "until": None}
    ],
    "discounts": [],
    "one_time_terms": [],
}
