"""How what a customer may use reads in the API."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType, field

from revops.api.shapes import Day, Instant, Quantity, Shown

Key = Annotated[str, Meta(description="The key of the feature.", examples=["words"])]
Value = Annotated[Any, Meta(description="Of a static feature: text, number, true or false, or a list of such.")]
Limit = Annotated[Quantity | None, Meta(description="Units; null: as many as they like.")]
Kind = Literal["boolean", "static", "metered"]
Reset = Literal["billing_period", "day", "week", "month"]
OnLimit = Literal["restrict", "warn", "bill"]


class Rollover(Shown, kw_only=True):
    """What is left of an allowance and stays."""

    unused: Annotated[str, Meta(description="The share that stays.", examples=["50%"])]
    cap: Annotated[Quantity | None, Meta(description="At most so many units in all.")]
    periods: Annotated[int, Meta(description="For how many periods.")]


class VersionEntitlement(Shown, kw_only=True):
    """A feature of a plan version. Of the fields, those its kind uses are there."""

    feature: Key
    kind: Kind
    value: Value = UNSET
    meter: str | UnsetType = UNSET
    limit: Limit | UnsetType = UNSET
    reset: Reset | UnsetType = UNSET
    on_limit: OnLimit | UnsetType = UNSET
    thresholds: Annotated[list[int] | UnsetType, Meta(description="At how many percent the customer is told.")] = UNSET
    rollover: Rollover | UnsetType = UNSET


class ContractEntitlement(Shown, kw_only=True):
    """A feature otherwise than the plans say, or beside them; what is left out stays as they have it."""

    key: Annotated[str, Meta(description="Names the term in the contract.", examples=["entitlement-1"])]
    feature: Key
    kind: Kind | UnsetType = UNSET
    value: Value = UNSET
    meter: str | UnsetType = UNSET
    limit: Limit | UnsetType = UNSET
    reset: Reset | UnsetType = UNSET
    on_limit: OnLimit | UnsetType = UNSET
    thresholds: list[int] | UnsetType = UNSET
    rollover: Rollover | UnsetType = UNSET
    unlimited: bool | UnsetType = UNSET
    extra: Annotated[Quantity | UnsetType, Meta(description="Units more, in each period that its days touch.")] = UNSET
    starts_on: Day = field(name="from")
    ends_on: Annotated[dt.date | None, Meta(description="The first day it no longer counts.")] = field(name="until")
    reason: str


class Access(Shown, kw_only=True):
    """How a customer stands with a feature now. `limit` includes what rolled over."""

    feature: Key
    has_access: bool
    kind: Annotated[Kind | None, Meta(description="Null: the customer does not have the feature.")]
    value: Value
    limit: Limit
    used: Annotated[Quantity | None, Meta(description="In the running period; null where nothing is counted.")]
    remaining: Annotated[Quantity | None, Meta(description="Never below zero; null: no limit.")]
    overage: Annotated[Quantity | None, Meta(description="What was used beyond the limit.")]
    on_limit: Annotated[
        OnLimit | None, Meta(description="Once the limit is reached: restrict is no access, warn and bill go on.")
    ]
    resets_at: Annotated[Instant | None, Meta(description="When the allowance begins anew.")]


ACCESS = {
    "feature": "words",
    "has_access": True,
    "kind": "metered",
    "value": None,
    "limit": "250000",
    "used": "120000",
    "remaining": "130000",
    "overage": "0",
    "on_limit": "bill",
    "resets_at": "2026-03-01T00:00:00+01:00",
}

SWITCH = {
    **dict.fromkeys(ACCESS, None),
    "feature": "glossaries",
    "has_access": True,
    "kind": "boolean",
}
