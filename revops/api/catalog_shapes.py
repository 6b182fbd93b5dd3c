"""How what is sold, and to whom, reads in the API, with one example of each."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType, field

from revops.api.entitlement_shapes import VersionEntitlement
from revops.api.shapes import Currency, Day, Instant, Money, Quantity, RequestFault, Shown

Key = Annotated[str, Meta(description="Its key: letters, digits, dots, dashes and underscores.", examples=["globex"])]
Window = Annotated[
    str | None, Meta(description="A duration in hours, minutes or seconds; null: not set here.", examples=["24h"])
]
PriceNumber = Quantity | UnsetType
IntervalName = Literal["day", "week", "month", "quarter", "half_year", "year"]
PriceModel = Literal[
    "flat",
    "per_unit",
    "package",
    "graduated",
    "volume",
    "stairstep",
    "percentage",
    "graduated_percentage",
    "dynamic",
    "graduated_by_dimension",
]
Person = Annotated[
    str | None, Meta(description="`user:ID`, `key:ID` or `operator`; null: nobody has.", examples=["key:3"])
]


class RuleCondition(Shown, kw_only=True):
    """Which records a rule is for; all that is said must hold. A star in a text stands for anything."""

    from_: Instant | UnsetType = field(default=UNSET, name="from")
    until: Instant | UnsetType = UNSET
    type: str | UnsetType = UNSET
    subjects: list[str] | UnsetType = UNSET
    field: str | UnsetType = UNSET
    equals: list[str] | UnsetType = UNSET
    ignore_case: bool | UnsetType = UNSET


class SourceRule(Shown, kw_only=True):
    """A rule of a source, applied on arrival in the order of the list. What a kind has no use for is left out."""

    kind: Annotated[str, Meta(examples=["rename"])]
    field: Annotated[str | UnsetType, Meta(description="`subject`, `type`, or `data.` and the way to a property.")] = (
        UNSET
    )
    value: str | UnsetType = UNSET
    to: str | UnsetType = UNSET
    factor: Quantity | UnsetType = UNSET
    format: Literal["point", "comma"] | UnsetType = UNSET
    when: RuleCondition | UnsetType = UNSET
    note: str | UnsetType = UNSET
    active: Annotated[bool, Meta(description="Whether it is switched on.")]


class Source(Shown, kw_only=True):
    """Who reports events."""

    key: Annotated[str, Meta(description="The `source` of its events.", examples=["gateway"])]
    name: str
    tolerance_window: Annotated[Window, Meta(description="How late it is expected to report; null: not said.")]
    clock_skew: Annotated[str, Meta(description="How far ahead of ours its clock may run.", examples=["5m"])]
    cadence: Annotated[Window, Meta(description="How often it should report; null: not said.")]
    rules: Annotated[
        list[SourceRule],
        Meta(
            description="Sent, they replace those there are. What two persons agreed to discard is not among them: "
            "that is decided on the quarantine desk."
        ),
    ]


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
    unit_amount: PriceNumber = UNSET
    flat_amount: PriceNumber = UNSET
    cap_amount: PriceNumber = UNSET
    rate_percent: PriceNumber = UNSET
    unit_amounts: dict[str, Quantity] | UnsetType = UNSET


class UnitConversion(Shown, kw_only=True):
    """From the meter's unit to the priced one."""

    op: Literal["multiply", "divide"]
    factor: Quantity
    rounding: Literal["none", "ceil", "floor", "half_up"]


class Amounts(Shown, kw_only=True):
    """The numbers of a price: those that are said."""

    unit_amount: PriceNumber = UNSET
    flat_amount: PriceNumber = UNSET
    package_size: PriceNumber = UNSET
    package_amount: PriceNumber = UNSET
    package_rounding: Literal["up", "down"] | UnsetType = UNSET
    cumulative: bool | UnsetType = UNSET
    rate_percent: PriceNumber = UNSET
    fixed_amount: PriceNumber = UNSET
    free_events: int | UnsetType = UNSET
    free_amount: PriceNumber = UNSET
    per_transaction_min: PriceNumber = UNSET
    per_transaction_max: PriceNumber = UNSET
    multiplier: PriceNumber = UNSET
    included_units: PriceNumber = UNSET
    unit_conversion: UnitConversion | UnsetType = UNSET
    zero_quantity: Literal["no_charge", "first_tier_flat"] | UnsetType = UNSET
    minimum_amount: PriceNumber = UNSET
    maximum_amount: PriceNumber = UNSET
    tiers: list[PriceTier] | UnsetType = UNSET


class Price(Amounts, kw_only=True):
    """One way of charging. Of the numbers, those its model uses are there."""

    key: Key
    name: str
    kind: Literal["recurring", "usage", "one_time"]
    meter: str | None
    model: PriceModel
    filters: Annotated[
        dict[str, list[Any]] | UnsetType, Meta(description="Only usage with these values of the meter's dimensions.")
    ] = UNSET
    dimension: Annotated[str | UnsetType, Meta(description="The dimension its tiers are shared over.")] = UNSET
    window: Annotated[str | UnsetType, Meta(description="The length of the pieces that it takes usage in.")] = UNSET
    combine: Literal["rate_each_bucket", "sum_then_rate"] | UnsetType = UNSET
    tax_category: Annotated[str | UnsetType, Meta(description="Where it has tax rates of its own.")] = UNSET
    included: Annotated[
        Literal["entitlement"] | UnsetType, Meta(description="Its free units are the entitlement on its meter.")
    ] = UNSET
    billing: Literal["in_arrears", "in_advance"]
    interval: Annotated[IntervalName | UnsetType, Meta(description="Where it has one of its own, not the plan's.")] = (
        UNSET
    )
    prorate: bool


class PlanVersion(Shown, kw_only=True):
    """The dated content of a plan; it never changes once published."""

    number: int
    status: Literal["draft", "review", "published", "retired"]
    currency: Currency
    effective_from: Annotated[dt.date | None, Meta(description="Null: from ever.")]
    tax_behavior: Annotated[
        Literal["exclusive", "inclusive"],
        Meta(description="Inclusive: tax is taken out of its prices, and the total is the prices."),
    ]
    trial_days: Annotated[int, Meta(description="Free days at the start of a contract line.")]
    published_at: Instant | None
    submitted_by: Person
    approved_by: Person
    prices: list[Price]
    entitlements: Annotated[list[VersionEntitlement], Meta(description="What it lets a customer use.")]


class Plan(Shown, kw_only=True):
    """A plan; what it costs is in its versions."""

    key: Key
    name: str
    interval: IntervalName
    tolerance_window: Window
    versions: list[PlanVersion]


class CustomerContact(Shown, kw_only=True):
    """A person at the customer's to write to."""

    email: str
    name: str
    receives_invoices: bool


class Customer(Shown, kw_only=True):
    """Whoever uses and pays."""

    key: Key
    name: str
    country: Annotated[str, Meta(description="Two letters, ISO 3166; may be empty.", examples=["DE"])]
    timezone: Annotated[str, Meta(description="Empty: the seller's.", examples=["Europe/Berlin"])]
    tax_id: Annotated[str, Meta(description="In the EU and the United Kingdom a VAT id.")]
    tax_exempt: Annotated[bool, Meta(description="Pays no tax; counts for periods that are not closed yet.")]
    tax_exempt_reason: Annotated[str, Meta(description="As printed on invoices.")]
    billing_address: str
    subjects: Annotated[list[str], Meta(description="The `subject`s of its events, beside its key.")]
    contacts: list[CustomerContact]


class PriceShift(Shown, kw_only=True):
    """What a price of a line comes to, with its discounts, as it stands and with the version."""

    line: str
    price: str
    before: Money
    after: Money


class ContractShift(Shown, kw_only=True):
    """What a contract's last closed period costs as it stands and with the version, before tax; null: none closed."""

    contract: str
    customer: str
    currency: Currency
    period_start: dt.date | None
    period_end: dt.date | None
    before: Money | None
    after: Money | None
    delta: Money | None
    prices: list[PriceShift]


class ShiftTotal(Shown, kw_only=True):
    """The sums of what was compared, in one currency."""

    currency: Currency
    before: Money
    after: Money
    delta: Money


class Migration(Shown, kw_only=True):
    """Contracts moved to a version, or (a dry run) what moving them would change."""

    plan: str
    version: int
    on: Day
    dry_run: bool
    contracts: list[ContractShift]
    totals: list[ShiftTotal]
    refused: Annotated[list[RequestFault], Meta(description="What would be in the way; only in a dry run.")]


class FieldShift(Shown, kw_only=True):
    """One field, before and after; null: nothing was said."""

    field: Annotated[str, Meta(examples=["minimum_amount"])]
    before: Any
    after: Any


class TierShift(Shown, kw_only=True):
    """A step before and after; null: that side has no such step."""

    before: PriceTier | None
    after: PriceTier | None
    changed: bool


class PriceDifference(Shown, kw_only=True):
    """A price of one version or of both. Its `tiers` are all of them, unless it is the same in both."""

    key: Key
    name: str
    change: Literal["added", "removed", "changed", "same"]
    fields: Annotated[list[FieldShift], Meta(description="Those that differ.")]
    tiers: list[TierShift]


class VersionDifference(Shown, kw_only=True):
    """What a version of a plan says otherwise than another."""

    plan: str
    version: int
    against: Annotated[int | None, Meta(description="The version it is compared with; null: there is no other.")]
    same: Annotated[bool, Meta(description="Whether both charge and say the same.")]
    fields: Annotated[list[FieldShift], Meta(description="Those of the version itself that differ.")]
    prices: list[PriceDifference]


SOURCE = {
    "key": "gateway",
    "name": "API gateway",
    "tolerance_window": None,
    "clock_skew": "5m",
    "cadence": "1h",
    "rules": [
        {"kind": "lower", "field": "subject", "active": True},
        {
            "kind": "rename",
            "field": "data.tok",
            "to": "data.words",
            "when": {"type": "text.translated"},
            "active": True,
        },
    ],
}

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
    "tax_behavior": "exclusive",
    "trial_days": 0,
    "published_at": "2026-01-01T09:00:00Z",
    "submitted_by": "key:3",
    "approved_by": "user:2",
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
    "entitlements": [
        {
            "feature": "words",
            "kind": "metered",
            "meter": "words",
            "limit": "200000",
            "reset": "billing_period",
            "on_limit": "bill",
            "thresholds": [50, 90, 100],
            "rollover": {"unused": "50%", "cap": "100000", "periods": 1},
        },
        {"feature": "glossaries", "kind": "boolean"},
    ],
}

DRAFT = {**VERSION, "number": 2, "status": "draft", "published_at": None, "submitted_by": None, "approved_by": None}

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
    "tax_exempt": False,
    "tax_exempt_reason": "",
    "billing_address": "Musterweg 1, 10115 Berlin",
    "subjects": ["globex-prod"],
    "contacts": [{"email": "billing@globex.example", "name": "Billing", "receives_invoices": True}],
}

MIGRATION = {
    "plan": "translate",
    "version": 2,
    "on": "2026-07-01",
    "dry_run": True,
    "contracts": [
        {
            "contract": "G-1",
            "customer": "globex",
            "currency": "USD",
            "period_start": "2026-05-01",
            "period_end": "2026-06-01",
            "before": "64.00",
            "after": "70.00",
            "delta": "6.00",
            "prices": [
                {"line": "translate", "price": "base", "before": "20.00", "after": "30.00"},
                {"line": "translate", "price": "words", "before": "44.00", "after": "40.00"},
            ],
        }
    ],
    "totals": [{"currency": "USD", "before": "64.00", "after": "70.00", "delta": "6.00"}],
    "refused": [],
}

DIFFERENCE = {
    "plan": "translate",
    "version": 2,
    "against": 1,
    "same": False,
    "fields": [{"field": "effective_from", "before": None, "after": "2026-07-01"}],
    "prices": [
        {
            "key": "base",
            "name": "Base fee",
            "change": "changed",
            "fields": [{"field": "flat_amount", "before": "20.00", "after": "30.00"}],
            "tiers": [],
        },
        {
            "key": "words",
            "name": "Words",
            "change": "changed",
            "fields": [],
            "tiers": [
                {
                    "before": {"up_to": "100000", "unit_amount": "0.0004", "flat_amount": "0.00"},
                    "after": {"up_to": "100000", "unit_amount": "0.0003", "flat_amount": "0.00"},
                    "changed": True,
                },
                {
                    "before": {"up_to": None, "unit_amount": "0.0002", "flat_amount": "0.00"},
                    "after": {"up_to": None, "unit_amount": "0.0002", "flat_amount": "0.00"},
                    "changed": False,
                },
            ],
        },
    ],
}
