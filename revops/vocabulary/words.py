"""The words of the files. What a file leaves out is None here; its plain meaning is given where the words are used."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar, Literal

from catalog.pricing import ARITHMETIC_FIELDS
from revops.vocabulary.decoding import Country, Currency, Key, Percent, Zone

MAIN = Key("main")
IntervalWord = Literal["day", "week", "month", "quarter", "half_year", "year"]


def not_yet(*names: str) -> dict[str, str]:
    """Words of the language that nothing here acts on yet."""
    return {name: f"{name.replace('_', ' ')} {_is_or_are(name)} not supported yet" for name in names}


def elsewhere(command: str, *names: str) -> dict[str, str]:
    """Words of another kind of file."""
    return {name: f"{name} cannot be here; {command} takes them, from a file of its own" for name in names}


def _is_or_are(name: str) -> str:
    return "are" if name.endswith("s") and not name.endswith("ss") else "is"


@dataclass(frozen=True, kw_only=True)
class SellerWords:
    key: Key = MAIN
    name: str | None = None
    country: Country | None = None
    address: str | None = None
    tax_id: str | None = None
    currency: Currency | None = None
    timezone: Zone | None = None
    tolerance_window: dt.timedelta | None = None
    payment_terms_days: int | None = None
    review_drafts: bool | None = None
    proration: Literal["days", "utc_days", "seconds", "fixed_months"] | None = None
    credit_unused: Literal["next_invoice", "at_once"] | None = None
    tax_rounding: Literal["line", "rate", "invoice"] | None = None
    later: ClassVar = not_yet("number_series", "refunds", "tax_ids", "e_invoices", "ledger")


@dataclass(frozen=True, kw_only=True)
class WhenWords:
    """Which records a rule is for; all that is given must hold. A star in a text stands for anything."""

    type: str | None = None
    subjects: tuple[str, ...] | None = None
    field_: str | None = field(default=None, metadata={"word": "field"})
    equals: tuple[str, ...] | None = None
    ignore_case: bool | None = None
    from_: dt.datetime | None = field(default=None, metadata={"word": "from"})
    until: dt.datetime | None = None


@dataclass(frozen=True, kw_only=True)
class RuleWords:
    """A rule of a source, applied on arrival in the order of the list."""

    kind: Literal[
        "rename", "copy", "default", "set", "trim", "lower", "upper", "strip_prefix", "strip_suffix", "rewrite",
        "number", "text", "convert", "map_type", "hold",
    ]  # fmt: skip
    field_: str | None = field(default=None, metadata={"word": "field"})
    value: Any = None
    to: str | None = None
    factor: Decimal | None = None
    format: Literal["point", "comma"] | None = None
    when: WhenWords | None = None
    note: str | None = None
    active: bool | None = None


@dataclass(frozen=True, kw_only=True)
class SourceWords:
    key: str
    name: str | None = None
    tolerance_window: dt.timedelta | None = None
    clock_skew: dt.timedelta | None = None
    cadence: dt.timedelta | None = None
    rules: tuple[RuleWords, ...] | None = None
    named_by: ClassVar = "key"
    later: ClassVar = not_yet("control_totals")


@dataclass(frozen=True, kw_only=True)
class TaxRateWords:
    code: Key
    percent: Decimal
    country: Country
    category: Key | None = None
    tax: Key | None = None
    compound: bool | None = None
    description: str | None = None
    effective_from: dt.date | None = None
    named_by: ClassVar = "code"
    later: ClassVar = {
        **not_yet("region", "until"),
        "behavior": "whether prices are with tax is said by a plan version: tax_behavior",
        "inclusive": "whether prices are with tax is said by a plan version: tax_behavior",
        "exempt": "who pays no tax is said by a customer: tax_exempt",
        "reverse_charge": "reverse charge follows from the countries and tax ids of seller and customer",
    }


@dataclass(frozen=True, kw_only=True)
class FeatureWords:
    key: Key
    name: str | None = None
    description: str | None = None
    named_by: ClassVar = "key"
    later: ClassVar = not_yet("meter", "entitlements")


@dataclass(frozen=True, kw_only=True)
class MeterWords:
    key: Key
    event_type: str
    aggregation: Literal["count", "sum", "max", "min", "avg", "latest", "unique_count", "weighted_sum"]
    value: str | None = None
    group_by: tuple[str, ...] | None = None
    filters: dict[str, Any] | None = None
    name: str | None = None
    unit: str | None = None
    allow_negative: bool | None = None
    named_by: ClassVar = "key"
    later: ClassVar = not_yet("rounding", "window", "unit_conversion", "multiplier", "empty_result")


@dataclass(frozen=True, kw_only=True)
class TierWords:
    up_to: Decimal | None = None
    unit_amount: Decimal | None = None
    flat_amount: Decimal | None = None
    cap_amount: Decimal | None = None
    rate_percent: Decimal | None = None
    unit_amounts: dict[str, Decimal] | None = None


@dataclass(frozen=True, kw_only=True)
class ConversionWords:
    """From the meter's unit to the priced one."""

    op: Literal["multiply", "divide"]
    factor: Decimal
    rounding: Literal["none", "ceil", "floor", "half_up"] = "none"


@dataclass(frozen=True, kw_only=True)
class ArithmeticWords:
    """What a price makes of a quantity."""

    unit_amount: Decimal | None = None
    flat_amount: Decimal | None = None
    package_size: Decimal | None = None
    package_amount: Decimal | None = None
    package_rounding: Literal["up", "down"] | None = None
    cumulative: bool | None = None
    rate_percent: Decimal | None = None
    fixed_amount: Decimal | None = None
    free_events: int | None = None
    free_amount: Decimal | None = None
    per_transaction_min: Decimal | None = None
    per_transaction_max: Decimal | None = None
    multiplier: Decimal | None = None
    tiers: tuple[TierWords, ...] | None = None
    included_units: Decimal | None = None
    unit_conversion: ConversionWords | None = None
    zero_quantity: Literal["no_charge", "first_tier_flat"] | None = None
    minimum_amount: Decimal | None = None
    maximum_amount: Decimal | None = None

    def arithmetic(self) -> dict[str, Any]:
        """The fields `parse_price` reads, without those that are absent."""
        found = {name: getattr(self, name) for name in ARITHMETIC_FIELDS - {"tiers", "unit_conversion"}}
        if self.tiers is not None:
            found["tiers"] = [_present(vars(tier)) | {"up_to": tier.up_to} for tier in self.tiers]
        if self.unit_conversion is not None:
            found["unit_conversion"] = vars(self.unit_conversion)
        return _present(found)


@dataclass(frozen=True, kw_only=True)
class PriceHeadWords:
    """What a price is called, and what it charges for."""

    key: Key
    kind: Literal["recurring", "usage", "one_time"]
    model: str
    name: str | None = None
    meter: str | None = None


@dataclass(frozen=True, kw_only=True)
class PriceWords(ArithmeticWords, PriceHeadWords):
    filters: dict[str, Any] | None = None
    dimension: str | None = None
    window: str | None = None
    combine: Literal["rate_each_bucket", "sum_then_rate"] | None = None
    billing: Literal["in_arrears", "in_advance"] = "in_arrears"
    interval: IntervalWord | None = None
    prorate: bool | None = None
    tax_category: Key | None = None
    included: Literal["entitlement"] | None = None
    later: ClassVar = not_yet("group_by", "group", "tax", "tax_rates", "trial_days", "dimensions")


@dataclass(frozen=True, kw_only=True)
class OverrideWords(ArithmeticWords):
    """Other numbers for one price of a line: what is given replaces what the plan version says."""

    price: Key
    model: str | None = None
    from_: dt.date | None = field(default=None, metadata={"word": "from"})
    until: dt.date | None = None
    later: ClassVar = not_yet("interval", "billing", "prorate", "filters", "meter", "name")


@dataclass(frozen=True, kw_only=True)
class RolloverWords:
    """What is left of an allowance and stays: a share of it ("50%"), at most `cap` units, for so many periods."""

    unused: Percent = Percent(Decimal(100))  # noqa: RUF009  # a number by another name
    cap: Decimal | None = None
    periods: int | None = None


@dataclass(frozen=True, kw_only=True)
class EntitlementWords:
    """What a version lets a customer use: with a meter so many units, with a value that value, else on or off."""

    feature: Key
    kind: Literal["boolean", "static", "metered"] | None = None
    meter: str | None = None
    value: Any = None
    limit: Decimal | None = None
    reset: Literal["billing_period", "day", "week", "month"] | None = None
    on_limit: Literal["restrict", "warn", "bill"] | None = None
    thresholds: tuple[int, ...] | None = None
    rollover: RolloverWords | None = None


@dataclass(frozen=True, kw_only=True)
class AllowanceWords(EntitlementWords):
    """A feature otherwise than the plans say, or beside them; what is left out stays as they have it."""

    unlimited: bool | None = None
    extra: Decimal | None = None
    from_: dt.date | None = field(default=None, metadata={"word": "from"})
    until: dt.date | None = None
    reason: str | None = None
    key: Key | None = None


def _present(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class VersionWords:
    effective_from: dt.date | None = None
    currency: Currency | None = None
    prices: tuple[PriceWords, ...] = ()
    trial_days: int | None = None
    tax_behavior: Literal["exclusive", "inclusive"] | None = None
    entitlements: tuple[EntitlementWords, ...] = ()
    later: ClassVar = not_yet("commitments", "credits", "status")


@dataclass(frozen=True, kw_only=True)
class PlanWords:
    key: Key
    name: str | None = None
    interval: IntervalWord | None = None
    tolerance_window: dt.timedelta | None = None
    versions: tuple[VersionWords, ...] = ()
    named_by: ClassVar = "key"
    later: ClassVar = not_yet("entitlements", "commitments", "trial_days", "interval_count", "features")


@dataclass(frozen=True, kw_only=True)
class ContactWords:
    email: str
    name: str | None = None
    receives_invoices: bool | None = None
    receives_notices: bool | None = None


@dataclass(frozen=True, kw_only=True)
class CustomerWords:
    key: Key
    name: str | None = None
    country: Country | None = None
    timezone: Zone | None = None
    tax_id: str | None = None
    tax_exempt: bool | None = None
    tax_exempt_reason: str | None = None
    billing_address: str | None = None
    subjects: tuple[str, ...] | None = None
    contacts: tuple[ContactWords, ...] | None = None
    later: ClassVar = {
        **not_yet("tax_rates", "credits", "parent", "currency", "payment_method"),
        "reverse_charge": "reverse charge follows from the countries and tax ids of seller and customer",
    }


@dataclass(frozen=True, kw_only=True)
class LineWords:
    plan: str
    version: int | None = None
    quantity: Decimal | None = None
    from_: dt.date | None = field(default=None, metadata={"word": "from"})
    until: dt.date | None = None
    key: Key | None = None
    overrides: tuple[OverrideWords, ...] | None = None
    uplift_percent: Decimal | None = None
    trial_days: int | None = None
    later: ClassVar = not_yet("entitlements", "commitments", "discounts")


@dataclass(frozen=True, kw_only=True)
class DiscountWords:
    kind: Literal["percent", "amount", "quantity"]
    value: Decimal
    total: Decimal | None = None
    applies_to: tuple[str, ...] | None = None
    from_: dt.date | None = field(default=None, metadata={"word": "from"})
    until: dt.date | None = None
    key: Key | None = None
    later: ClassVar = not_yet("code", "interval", "periods", "share_method")


@dataclass(frozen=True, kw_only=True)
class CommitmentWords:
    """`interval` is how long each stretch is that it is counted in: by default the billing period."""

    kind: Literal["minimum", "quantity", "prepaid", "cap"]
    amount: Decimal | None = None
    quantity: Decimal | None = None
    interval: Literal[IntervalWord, "term"] | None = None
    overage_factor: Decimal | None = None
    true_up: bool | None = None
    prorate: bool | None = None
    applies_to: tuple[str, ...] | None = None
    from_: dt.date | None = field(default=None, metadata={"word": "from"})
    until: dt.date | None = None
    key: Key | None = None


@dataclass(frozen=True, kw_only=True)
class GrantWords:
    """`from` is the first day it may be spent, `expires_on` the first day it may no longer be."""

    kind: Literal["promotional", "prepaid"]
    amount: Decimal
    priority: int | None = None
    from_: dt.date | None = field(default=None, metadata={"word": "from"})
    expires_on: dt.date | None = None
    applies_to: tuple[str, ...] | None = None
    name: str | None = None
    key: Key | None = None


@dataclass(frozen=True, kw_only=True)
class OneTimeWords:
    key: Key
    description: str
    amount: Decimal
    on: dt.date
    tax_category: Key | None = None
    tax_behavior: Literal["exclusive", "inclusive"] | None = None


@dataclass(frozen=True, kw_only=True)
class RenewalWords:
    """How a contract runs on at its end. `auto`: by itself, unless it is cancelled before the notice day."""

    auto: bool | None = None
    months: int | None = None
    notice_days: int | None = None
    uplift_percent: Decimal | None = None


@dataclass(frozen=True, kw_only=True)
class ContractWords:
    number: str
    customer: str
    starts_on: dt.date
    lines: tuple[LineWords, ...]
    seller: str | None = None
    currency: Currency | None = None
    ends_on: dt.date | None = None
    anchor: Literal["start", "calendar"] | None = None
    bill_day: int | None = None
    timezone: Zone | None = None
    tolerance_window: dt.timedelta | None = None
    payment_terms_days: int | None = None
    purchase_order: str | None = None
    discounts: tuple[DiscountWords, ...] | None = None
    one_time: tuple[OneTimeWords, ...] | None = None
    commitments: tuple[CommitmentWords, ...] | None = None
    credits: tuple[GrantWords, ...] | None = None
    entitlements: tuple[AllowanceWords, ...] | None = None
    renewal: RenewalWords | None = None
    later: ClassVar = not_yet("overrides", "spend_cap", "trial_days")


@dataclass(frozen=True, kw_only=True)
class EventPointWords:
    """Takes an event back."""

    source: str
    id: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class AmendEventWords(EventPointWords):
    data: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class MigrateWords:
    contract: str
    plan: str
    version: int
    on: dt.date


@dataclass(frozen=True, kw_only=True)
class AmendmentWords:
    """What of an approved contract is to be otherwise: the lists that are named are replaced."""

    lines: tuple[LineWords, ...] | None = None
    discounts: tuple[DiscountWords, ...] | None = None
    one_time: tuple[OneTimeWords, ...] | None = None
    commitments: tuple[CommitmentWords, ...] | None = None
    credits: tuple[GrantWords, ...] | None = None
    entitlements: tuple[AllowanceWords, ...] | None = None
    ends_on: dt.date | None = None
    renewal: RenewalWords | None = None
    reason: str | None = None
    later: ClassVar = not_yet("overrides")


@dataclass(frozen=True, kw_only=True)
class AmendWords(AmendmentWords):
    contract: str


@dataclass(frozen=True, kw_only=True)
class RenewWords:
    """What is left out is as the contract agrees."""

    months: int | None = None
    uplift_percent: Decimal | None = None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class RenewStepWords(RenewWords):
    contract: str


@dataclass(frozen=True, kw_only=True)
class VoidInvoiceWords:
    """Which invoice: by its number, or by customer (or contract) and the first day of its period."""

    reason: str
    customer: str | None = None
    contract: str | None = None
    period_start: dt.date | None = None
    number: str | None = None
    purpose: Literal["close", "advance", "adjustment"] | None = None
    waive: bool = False


@dataclass(frozen=True, kw_only=True)
class NewGrantWords(GrantWords):
    """Credit for an approved contract. Without `from` it may be spent from the day it is granted."""

    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class GrantStepWords(NewGrantWords):
    contract: str


@dataclass(frozen=True, kw_only=True)
class BillRunWords:
    customer: str | None = None


@dataclass(frozen=True, kw_only=True)
class StepWords:
    """What happens at an instant: one deed."""

    at: dt.datetime
    events: tuple[Any, ...] | None = None
    preview: str | None = None
    bill_run: bool | BillRunWords | None = None
    void_event: EventPointWords | None = None
    amend_event: AmendEventWords | None = None
    migrate: MigrateWords | None = None
    amend: AmendWords | None = None
    renew: RenewStepWords | None = None
    void_invoice: VoidInvoiceWords | None = None
    grant: GrantStepWords | None = None
    later: ClassVar = not_yet(
        "top_up", "payment", "pay", "refund", "release", "issue_invoice", "propose", "control_total"
    )

    def deeds(self) -> list[str]:
        return [name for name in STEP_DEEDS if getattr(self, name) is not None]


STEP_DEEDS = (
    "events",
    "preview",
    "bill_run",
    "void_event",
    "amend_event",
    "migrate",
    "amend",
    "renew",
    "void_invoice",
    "grant",
)


@dataclass(frozen=True, kw_only=True)
class FileWords:
    """What catalog, contract and scenario files share. Zone and tolerance window are the seller's."""

    currency: Currency | None = None
    timezone: Zone | None = None
    tolerance_window: dt.timedelta | None = None


@dataclass(frozen=True, kw_only=True)
class CatalogWords(FileWords):
    seller: SellerWords | None = None
    sources: tuple[SourceWords, ...] = ()
    tax_rates: tuple[TaxRateWords, ...] = ()
    features: tuple[FeatureWords, ...] = ()
    meters: tuple[MeterWords, ...] = ()
    plans: tuple[PlanWords, ...] = ()
    later: ClassVar = {
        **not_yet("entitlements", "commitments", "credits"),
        **elsewhere("load_contracts", "customers", "contracts"),
    }


@dataclass(frozen=True, kw_only=True)
class ContractsWords(FileWords):
    customers: tuple[CustomerWords, ...] = ()
    contracts: tuple[ContractWords, ...] = ()
    later: ClassVar = elsewhere("load_catalog", "seller", "sources", "tax_rates", "features", "meters", "plans")


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """The part of the outcome that a scenario expects; what is None is not compared."""

    invoices: tuple[Any, ...] | None = None
    previews: tuple[Any, ...] | None = None
    credit_notes: tuple[Any, ...] | None = None
    quarantine: tuple[Any, ...] | None = None
    notices: tuple[Any, ...] | None = None
    entitlements: tuple[Any, ...] | None = None

    def named(self) -> Iterable[tuple[str, list[Any]]]:
        for name in ("invoices", "previews", "credit_notes", "quarantine", "notices", "entitlements"):
            expected = getattr(self, name)
            if expected is not None:
                yield name, list(expected)


@dataclass(frozen=True, kw_only=True)
class ScenarioWords(CatalogWords, ContractsWords):
    name: str = ""
    description: str = ""
    steps: tuple[StepWords, ...] = ()
    expect: Expectation | None = None
    later: ClassVar = not_yet("entitlements", "commitments", "credits", "payments")
