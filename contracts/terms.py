"""The terms of a contract as values: as it is signed, and as they count in one billing period. Pure.

contracts/agreement.py cuts the second out of the first.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal
from zoneinfo import ZoneInfo

from catalog.periods import Interval, Period, local_date, local_midnight
from catalog.pricing import PriceRule
from catalog.selection import EVERYTHING, Selection
from contracts.entitled import EntitlementTerms, Rollover
from contracts.tax_terms import TaxTerms

PriceKind = Literal["recurring", "usage", "one_time"]
Proration = Literal["days", "utc_days", "seconds", "fixed_months"]

MONTH = Interval("month")

# From one instant to another, or without an end.
Span = tuple[dt.datetime, dt.datetime | None]

# Contracts share their days: most of a bill run asks for the same few.
midnight = lru_cache(maxsize=10_000)(local_midnight)


@dataclass(frozen=True, slots=True)
class Days:
    """A half-open range of local days; `until` None has no end."""

    start: dt.date
    until: dt.date | None = None

    def period(self, zone: ZoneInfo, within: Period) -> Period | None:
        """The part of a period that these days cover, or None."""
        starts_at = midnight(self.start, zone)
        ends_at = within.ends_at if self.until is None else midnight(self.until, zone)
        if max(starts_at, within.starts_at) >= min(ends_at, within.ends_at):
            return None
        return Period(max(starts_at, within.starts_at), min(ends_at, within.ends_at))


@dataclass(frozen=True, slots=True)
class MeterTerms:
    """`adds_up`: its quantity of a stretch of time is the sum of those of the stretch's parts."""

    id: int
    key: str
    unit: str
    adds_up: bool = True


@dataclass(frozen=True, slots=True)
class PriceTerms:
    """A price as its plan version says it. `interval` is its own, where that is not the plan's."""

    key: str
    description: str
    kind: PriceKind
    rule: PriceRule
    meter: MeterTerms | None
    in_advance: bool
    prorate: bool
    selection: Selection = EVERYTHING
    interval: Interval | None = None
    arithmetic: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """The fields `rule` was read from, for overrides."""
    tax_category: str = ""
    entitlement: str = ""
    """The feature whose allowance are its free units, where it says so."""


@dataclass(frozen=True, slots=True)
class LineTerms:
    """One plan version over a range of days. `key` survives amendments.

    `interval` is the plan's; `uplift` the percentage a renewal put on all prices; `trial_days` are those the version,
    or the line itself, gives at the start of its key. `with_tax`: its prices have their tax in them.
    """

    key: str
    plan: str
    version: int
    quantity: Decimal
    days: Days
    prices: tuple[PriceTerms, ...]
    interval: Interval = MONTH
    uplift: Decimal = Decimal(0)
    trial_days: int = 0
    with_tax: bool = False
    entitlements: tuple[EntitlementTerms, ...] = ()

    @property
    def term(self) -> str:
        """What a line on an invoice names: the plan and its version."""
        return f"{self.plan}@{self.version}"


@dataclass(frozen=True, slots=True)
class OverrideTerms:
    """Other numbers for one price of a line, over some days."""

    line: str
    price: str
    arithmetic: Mapping[str, Any]
    days: Days


@dataclass(frozen=True, slots=True)
class DiscountTerms:
    """`value` is a percentage, or an amount or units per billing period. No prices named: all entries of the period.

    `total` is what it takes off in all before it has run out.
    """

    key: str
    kind: Literal["percent", "amount", "quantity"]
    value: Decimal
    applies_to: frozenset[str]
    days: Days
    total: Decimal | None = None


@dataclass(frozen=True, slots=True)
class CommitmentTerms:
    """What is spent at least (minimum, quantity), ahead (prepaid) or at most (cap) in each stretch.

    `interval` None is the billing period, "term" all of its days.
    """

    key: str
    kind: Literal["minimum", "quantity", "prepaid", "cap"]
    amount: Decimal
    interval: Interval | Literal["term"] | None
    applies_to: frozenset[str]
    days: Days
    overage_factor: Decimal = Decimal(1)
    true_up: bool = True
    prorate: bool = True


@dataclass(frozen=True, slots=True)
class GrantTerms:
    """Promotional credit: it lowers the net of the periods that its days touch, until it is spent."""

    key: str
    description: str
    amount: Decimal
    priority: int
    applies_to: frozenset[str]
    days: Days


@dataclass(frozen=True, slots=True)
class OneTimeTerms:
    """An amount on a day; below zero a credit."""

    key: str
    description: str
    amount: Decimal
    on: dt.date
    tax_category: str = ""
    with_tax: bool = False


@dataclass(frozen=True, slots=True)
class Segment:
    """One price over the part of a period that its line covers.

    `whole` is the full interval of the price, and `stretch` the part of it the price holds for, of which `service` is
    all or, where use adds up over several billing periods, a piece; `is_last` says whether it is the last one.
    """

    line: LineTerms
    price: PriceTerms
    service: Period
    opens_line: bool
    """Whether the line of this key begins here: then one-time prices are due."""
    whole: Period
    stretch: Period
    is_last: bool = True
    is_trial: bool = False

    @property
    def adds_up(self) -> bool:
        """Whether earlier billing periods have a part of its use."""
        return self.stretch.starts_at < self.service.starts_at


@dataclass(frozen=True, slots=True)
class Stretch:
    """A commitment over one of its intervals, as far as its days and the contract's go.

    `begins` and `is_last` say whether it begins and ends in the billing period, `counts` whether the period's entries
    are its own (where two meet in a period, they are the later one's); `whole` is the full interval.
    """

    commitment: CommitmentTerms
    days: Period
    whole: Period
    begins: bool
    is_last: bool
    counts: bool


@dataclass(frozen=True, slots=True)
class Allowance:
    """The allowance that is free at some prices, without what rolled over; `own` None: all of it is free."""

    feature: str
    own: Decimal | None
    rollover: Rollover | None


@dataclass(frozen=True, slots=True)
class Terms:
    """What the contract says for one billing period."""

    period: Period
    zone: ZoneInfo
    currency: str
    segments: tuple[Segment, ...]
    discounts: tuple[DiscountTerms, ...]
    one_time: tuple[OneTimeTerms, ...]
    tax: TaxTerms
    commitments: tuple[Stretch, ...] = ()
    grants: tuple[GrantTerms, ...] = ()
    proration: Proration = "days"
    with_tax: bool = False
    """Whether its prices have their tax in them, and with them what commitments charge."""
    allowances: tuple[Allowance, ...] = ()

    def starts_on(self, day: dt.date) -> bool:
        """Whether the period begins on that local day."""
        return local_date(self.period.starts_at, self.zone) == day


def overridden(arithmetic: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a price with some said otherwise; another model takes none but the limits of the one before."""
    if "model" in changes and changes["model"] != arithmetic.get("model"):
        arithmetic = {name: value for name, value in arithmetic.items() if name in ("minimum_amount", "maximum_amount")}
    return {**arithmetic, **changes}
