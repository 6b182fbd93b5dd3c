"""How contracts and their terms read in the API, with one example of each."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType, field

from revops.api.catalog_shapes import Amounts, IntervalName, Key, Person, PriceModel, Window
from revops.api.entitlement_shapes import ContractEntitlement
from revops.api.shapes import Currency, Day, Money, Quantity, Shown

Until = Annotated[dt.date | None, Meta(description="The first day it no longer counts; null: as long as the contract.")]
Scope = Annotated[list[str], Meta(description="Keys of prices; none: all of them.")]


class PriceOverride(Amounts, kw_only=True):
    """Other numbers for one price of a line: what is there replaces what the plan version says."""

    price: Annotated[str, Meta(description="The key of the price.", examples=["words"])]
    model: PriceModel | UnsetType = UNSET
    starts_on: Day = field(name="from")
    ends_on: Annotated[dt.date | None, Meta(description="The first day it no longer counts; null: as its line.")] = (
        field(name="until")
    )


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
    uplift_percent: Annotated[Quantity, Meta(description="On all of its prices, as renewals have raised them.")]
    trial_days: Annotated[int | None, Meta(description="Free days at its start; null: as the plan version gives.")]
    overrides: list[PriceOverride]


class ContractDiscount(Shown, kw_only=True):
    """Less to pay: on named prices, or (with none named) on all entries of a period."""

    key: Key
    kind: Literal["percent", "amount", "quantity"]
    value: Annotated[Quantity, Meta(description="Percent, or money or units for each billing period.")]
    total: Annotated[Money | None, Meta(description="It runs out once it has taken off so much; null: it does not.")]
    applies_to: Scope
    starts_on: Day = field(name="from")
    ends_on: Until = field(name="until")


class ContractCommitment(Shown, kw_only=True):
    """What is spent at least (in money or units), ahead, or at most, in each of its intervals."""

    key: Key
    kind: Literal["minimum", "quantity", "prepaid", "cap"]
    amount: Money | None
    quantity: Quantity | None
    interval: Annotated[
        IntervalName | Literal["term"] | None,
        Meta(description="How long each stretch is that it is counted in; null: a billing period."),
    ]
    overage_factor: Annotated[
        Quantity | None, Meta(description="Spend beyond it costs so many times as much; null: as much.")
    ]
    true_up: Annotated[bool, Meta(description="Whether what is missing at the end of a stretch is charged.")]
    prorate: Annotated[bool, Meta(description="Whether a stretch that is not whole counts by its days.")]
    applies_to: Scope
    starts_on: Day = field(name="from")
    ends_on: Until = field(name="until")


class ContractCredit(Shown, kw_only=True):
    """Credit, given away (promotional: before tax) or paid for elsewhere (prepaid: pays what is due)."""

    key: Key
    name: Annotated[str, Meta(description="As printed on an invoice.")]
    kind: Literal["promotional", "prepaid"]
    amount: Money
    priority: Annotated[int, Meta(description="The lowest is spent first.")]
    applies_to: Scope
    starts_on: Day = field(name="from")
    expires_on: Annotated[dt.date | None, Meta(description="The first day it may no longer be spent; null: never.")]


class OneTimeTerm(Shown, kw_only=True):
    """An amount charged once, or (below zero) a credit."""

    key: Key
    description: str
    amount: Quantity
    on: Day
    tax_category: Annotated[str | UnsetType, Meta(description="Where it has tax rates of its own.")] = UNSET
    tax_behavior: Annotated[
        Literal["inclusive"] | UnsetType, Meta(description="Where the amount has its tax in it.")
    ] = UNSET


class ContractRenewal(Shown, kw_only=True):
    """How it runs on at its end. `auto`: by itself, unless it is cancelled before the notice day."""

    auto: bool
    months: int
    notice_days: Annotated[int, Meta(description="So many days before its end it renews.")]
    uplift_percent: Annotated[Quantity, Meta(description="On all prices, on top of earlier uplifts.")]


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
    bill_day: Annotated[
        int | None, Meta(description="The day of the month on which periods begin; null: as the anchor says.")
    ]
    payment_terms_days: int
    purchase_order: str
    timezone: Annotated[str, Meta(description="Its own, else the customer's, else the seller's.")]
    tolerance_window: Window
    renewal: ContractRenewal
    revision: Annotated[int, Meta(description="How often its terms have changed since it was approved.")]
    submitted_by: Person
    approved_by: Person
    lines: list[ContractLine]
    discounts: list[ContractDiscount]
    commitments: list[ContractCommitment]
    credits: list[ContractCredit]
    one_time: list[OneTimeTerm]
    entitlements: Annotated[
        list[ContractEntitlement], Meta(description="Features otherwise than its plans say, or beside them.")
    ]


LINE: dict[str, Any] = {
    "key": "translate",
    "plan": "translate",
    "version": 1,
    "quantity": "1",
    "from": "2026-01-01",
    "until": None,
    "uplift_percent": "0",
    "trial_days": None,
    "overrides": [{"price": "words", "minimum_amount": "5.00", "from": "2026-01-01", "until": None}],
}

DISCOUNT: dict[str, Any] = {
    "key": "discount-1",
    "kind": "percent",
    "value": "10",
    "total": "500.00",
    "applies_to": [],
    "from": "2026-03-01",
    "until": None,
}

COMMITMENT: dict[str, Any] = {
    "key": "commitment-1",
    "kind": "minimum",
    "amount": "1200.00",
    "quantity": None,
    "interval": "year",
    "overage_factor": None,
    "true_up": True,
    "prorate": True,
    "applies_to": [],
    "from": "2026-01-01",
    "until": None,
}

CREDIT: dict[str, Any] = {
    "key": "credit-1",
    "name": "Welcome credit",
    "kind": "promotional",
    "amount": "50.00",
    "priority": 1,
    "applies_to": [],
    "from": "2026-01-01",
    "expires_on": "2026-07-01",
}

CONTRACT: dict[str, Any] = {
    "number": "G-1",
    "customer": "globex",
    "seller": "main",
    "status": "approved",
    "currency": "USD",
    "starts_on": "2026-01-01",
    "ends_on": None,
    "anchor": "calendar",
    "bill_day": None,
    "payment_terms_days": 30,
    "purchase_order": "",
    "timezone": "Europe/Berlin",
    "tolerance_window": None,
    "renewal": {"auto": False, "months": 12, "notice_days": 30, "uplift_percent": "0"},
    "revision": 0,
    "submitted_by": "key:3",
    "approved_by": "user:2",
    "lines": [LINE],
    "discounts": [],
    "commitments": [COMMITMENT],
    "credits": [CREDIT],
    "one_time": [],
    "entitlements": [],
}

CONTRACT_DRAFT = {**CONTRACT, "status": "draft", "submitted_by": None, "approved_by": None}
