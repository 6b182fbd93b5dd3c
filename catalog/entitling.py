"""The entitlements of a plan version: what they are to be, what is wrong with them, and how they are stored."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from catalog.auditing import Actor, sign
from catalog.entitlements import Entitlement, EntitlementKind, OnLimit, Reset
from catalog.models import ADDITIVE, Feature, Meter, PlanVersion, PriceKind
from catalog.pricing import FieldError, InvalidPrice, parse_price

USUAL_THRESHOLDS = (50, 90, 100)
HIGHEST_THRESHOLD = 1000  # percent
LARGEST = 10**18  # what the columns of units hold is below it
LONGEST_ROLLOVER = 120  # periods
BY_ENTITLEMENT = "entitlement"
"""What a price says in `included` where its free units are the allowance of the plan."""


@dataclass(frozen=True, slots=True)
class RolloverDraft:
    """`percent` of what is left, at most `cap` units in all, for so many periods."""

    percent: Decimal
    cap: Decimal | None = None
    periods: int = 1


@dataclass(frozen=True, slots=True)
class EntitlementDraft:
    """What an entitlement is to be; `feature` and `meter` are keys. No limit: as much as they like."""

    feature: str
    kind: str = EntitlementKind.BOOLEAN
    value: Any = None
    meter: str | None = None
    limit: Decimal | None = None
    reset: str = Reset.BILLING_PERIOD
    on_limit: str = OnLimit.RESTRICT
    thresholds: tuple[int, ...] = USUAL_THRESHOLDS
    rollover: RolloverDraft | None = None


def drafts_of(version: PlanVersion) -> tuple[EntitlementDraft, ...]:
    """The entitlements of a stored version."""
    rows = version.entitlements.select_related("feature", "meter")
    return tuple(draft_of(row) for row in rows)


def draft_of(row: Entitlement) -> EntitlementDraft:
    return EntitlementDraft(
        feature=row.feature.key,
        kind=row.kind,
        value=row.value,
        meter=row.meter.key if row.meter else None,
        limit=row.limit,
        reset=row.reset,
        on_limit=row.on_limit,
        thresholds=tuple(row.thresholds),
        rollover=rollover_of(row),
    )


def rollover_of(row: Any) -> RolloverDraft | None:
    """What rolls over, of a row with its three fields."""
    if row.rollover_percent is None:
        return None
    return RolloverDraft(row.rollover_percent, row.rollover_cap, row.rollover_periods)


def entitlement_faults(
    drafts: Sequence[EntitlementDraft], meters: Mapping[str, Meter], features: Collection[str]
) -> Iterator[FieldError]:
    """What keeps entitlements from counting, with paths as in `entitlements[0].limit`."""
    seen: set[str] = set()
    for index, one in enumerate(drafts):
        path = f"entitlements[{index}]"
        if one.feature in seen:
            yield FieldError(f"{path}.feature", "duplicate", f"the feature {one.feature} is there twice")
        seen.add(one.feature)
        if one.feature not in features:
            yield FieldError(f"{path}.feature", "unknown", f"there is no feature {one.feature}")
        if one.meter is not None and one.meter not in meters:
            yield FieldError(f"{path}.meter", "unknown", f"there is no meter {one.meter}")
        yield from kind_faults(path, one.kind, one.meter, one.value)
        if one.kind == EntitlementKind.METERED:
            yield from units_faults(path, one.limit, one.thresholds, one.rollover)
            yield from _choice_faults(path, one)
        elif one.limit is not None or one.rollover is not None:
            yield FieldError(path, "invalid", "only a feature with a meter has a limit and rolls over")


def kind_faults(path: str, kind: str, meter: str | None, value: Any) -> Iterator[FieldError]:
    if kind not in EntitlementKind.values:
        yield FieldError(f"{path}.kind", "invalid", "an entitlement is boolean, static or metered")
    if kind == EntitlementKind.METERED and meter is None:
        yield FieldError(f"{path}.meter", "missing", "so many units of what? name the meter")
    if kind != EntitlementKind.METERED and meter is not None:
        yield FieldError(f"{path}.meter", "invalid", f"a {kind} entitlement has no meter")
    if kind == EntitlementKind.STATIC and value is None:
        yield FieldError(f"{path}.value", "missing", "a static entitlement is a value: give it")
    if kind == EntitlementKind.BOOLEAN and value is not None and not isinstance(value, bool):
        yield FieldError(f"{path}.value", "invalid", "a boolean entitlement is true or false")
    if kind == EntitlementKind.METERED and value is not None:
        yield FieldError(f"{path}.value", "invalid", "a metered entitlement has a limit, no value")
    if not is_typed(value):
        detail = "a value is text, a whole number, true or false, or a list of such; put other numbers in quotes"
        yield FieldError(f"{path}.value", "invalid", detail)


def is_typed(value: Any) -> bool:
    """Whether JSON keeps the value as it is."""
    if isinstance(value, list | tuple):
        return all(is_typed(one) and one is not None and not isinstance(one, list | tuple) for one in value)
    return value is None or isinstance(value, str | int)


def units_faults(
    path: str, limit: Decimal | None, thresholds: Sequence[int] | None, rollover: RolloverDraft | None
) -> Iterator[FieldError]:
    if limit is not None and not 0 <= limit < LARGEST:
        yield FieldError(f"{path}.limit", "invalid", "a limit is not negative, and has at most 18 digits")
    for threshold in thresholds or ():
        if not 1 <= threshold <= HIGHEST_THRESHOLD:
            detail = f"a threshold is a percentage from 1 to {HIGHEST_THRESHOLD}"
            yield FieldError(f"{path}.thresholds", "invalid", detail)
    if len(set(thresholds or ())) != len(thresholds or ()):
        yield FieldError(f"{path}.thresholds", "duplicate", "a threshold is there twice")
    if rollover is None:
        return
    if not 0 <= rollover.percent <= 100:
        yield FieldError(f"{path}.rollover.unused", "invalid", "from 0 % to 100 % of what is left rolls over")
    if rollover.cap is not None and not 0 <= rollover.cap < LARGEST:
        yield FieldError(f"{path}.rollover.cap", "invalid", "a cap is not negative, and has at most 18 digits")
    if not 1 <= rollover.periods <= LONGEST_ROLLOVER:
        detail = f"what rolls over stays for 1 to {LONGEST_ROLLOVER} periods"
        yield FieldError(f"{path}.rollover.periods", "invalid", detail)


def _choice_faults(path: str, one: EntitlementDraft) -> Iterator[FieldError]:
    if one.reset not in Reset.values:
        yield FieldError(f"{path}.reset", "invalid", f"reset is one of {', '.join(Reset.values)}")
    if one.on_limit not in OnLimit.values:
        yield FieldError(f"{path}.on_limit", "invalid", f"on_limit is one of {', '.join(OnLimit.values)}")


def included_faults(
    prices: Sequence[Any], entitlements: Sequence[EntitlementDraft], meters: Mapping[str, Meter]
) -> Iterator[FieldError]:
    """A price whose free units are the plan's allowance: both count the same use in the same periods."""
    for index, price in enumerate(prices):
        if not price.included:
            continue
        path = f"prices[{index}].included"
        if price.included != BY_ENTITLEMENT:
            yield FieldError(path, "invalid", f"included is {BY_ENTITLEMENT}, or left out")
            continue
        for what in _in_the_way(price, prices, meters):
            yield FieldError(path, "invalid", what)
        given = [one for one in entitlements if one.meter == price.meter and price.meter is not None]
        if len(given) != 1:
            found = "none is" if not given else "several are"
            detail = f"its free units are those of the entitlement on the meter {price.meter}, and {found} there"
            yield FieldError(path, "unknown" if not given else "invalid", detail)
        elif given[0].reset != Reset.BILLING_PERIOD:
            detail = f"{given[0].feature} begins anew each {given[0].reset}, and a price is for a billing period"
            yield FieldError(path, "invalid", detail)


def _in_the_way(price: Any, prices: Sequence[Any], meters: Mapping[str, Meter]) -> Iterator[str]:
    """Why the allowance of a plan cannot be a price's free units."""
    if price.kind != PriceKind.USAGE:
        yield "only a price for use has free units"
        return
    try:
        rule = parse_price(price.arithmetic)
    except InvalidPrice:
        return  # said elsewhere
    if not rule.counts_units:
        yield "only a price that charges for a number of units has free ones"
    if rule.included_units:
        yield "its free units are those of the entitlement; leave included_units out"
    if rule.unit_conversion is not None:
        yield "an entitlement is in the meter's unit, so the price cannot convert it"
    if price.window or price.interval:
        yield "an entitlement is for a billing period, so the price has no windows and no interval of its own"
    if price.filters or any(one.meter == price.meter for one in prices if one is not price):
        yield "an entitlement is for all use of its meter, so the price is the only one on it and has no filters"
    meter = meters.get(price.meter or "")
    if meter is not None and meter.aggregation not in ADDITIVE:
        yield f"free units are of what adds up, and the meter {meter.key} is neither a sum nor a count"


def store_entitlements(
    version: PlanVersion,
    drafts: Sequence[EntitlementDraft],
    meters: Mapping[str, Meter],
    signature: tuple[dt.datetime, Actor],
) -> None:
    features = Feature.objects.in_bulk([one.feature for one in drafts], field_name="key")
    for position, one in enumerate(drafts):
        rolls = one.rollover
        row = Entitlement(
            version=version,
            feature=features[one.feature],
            kind=one.kind,
            value=list(one.value) if isinstance(one.value, tuple) else one.value,
            meter=meters[one.meter] if one.meter else None,
            limit=one.limit,
            reset=one.reset,
            on_limit=one.on_limit,
            thresholds=sorted(one.thresholds),
            rollover_percent=rolls.percent if rolls else None,
            rollover_cap=rolls.cap if rolls else None,
            rollover_periods=rolls.periods if rolls else 1,
            position=position,
        )
        sign(row, *signature, f"Drafted with {version}")
        row.save()


def known_features(drafts: Sequence[EntitlementDraft]) -> set[str]:
    """Which of the features named there are."""
    if not drafts:
        return set()
    named = {one.feature for one in drafts}
    return set(Feature.objects.filter(key__in=named).values_list("key", flat=True))
