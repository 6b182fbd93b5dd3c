"""What is wrong with what a contract says of features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from catalog.entitlements import Entitlement, EntitlementKind, OnLimit, Reset
from catalog.entitling import LARGEST, kind_faults, units_faults
from catalog.models import Feature, Meter, Price
from catalog.pricing import FieldError
from contracts.drafts import AllowanceDraft, LineDraft
from contracts.term_checks import doubles, order_faults, overlap

OfVersions = Mapping[int, Sequence[Entitlement]]
"""Plan version -> its entitlements, with feature and meter."""


def entitlements_of(versions: set[int]) -> dict[int, list[Entitlement]]:
    found: dict[int, list[Entitlement]] = {pk: [] for pk in versions}
    for row in Entitlement.objects.filter(version__in=versions).select_related("feature", "meter"):
        found[row.version_id].append(row)
    return found


def allowance_faults(
    allowances: Sequence[AllowanceDraft], lines: Sequence[tuple[LineDraft, Sequence[Price]]]
) -> Iterator[FieldError]:
    """Reads features, meters and entitlements of the lines' versions, where the contract says anything of features."""
    if not allowances:
        return
    given = entitlements_of({line.plan_version.pk for line, _ in lines})
    features = set(Feature.objects.filter(key__in={one.feature for one in allowances}).values_list("key", flat=True))
    meters = set(Meter.objects.filter(key__in={one.meter for one in allowances}).values_list("key", flat=True))
    yield from doubles("entitlements", allowances)
    for index, one in enumerate(allowances):
        path = f"entitlements[{index}]"
        if one.feature not in features:
            yield FieldError(f"{path}.feature", "unknown", f"there is no feature {one.feature}")
        if one.meter and one.meter not in meters:
            yield FieldError(f"{path}.meter", "unknown", f"there is no meter {one.meter}")
        yield from order_faults(path, "entitlement", one.starts_on, one.ends_on)
        yield from _number_faults(path, one)
        theirs = [row for line, _ in lines if _meet(line, one) for row in given[line.plan_version.pk]]
        theirs = [row for row in theirs if row.feature.key == one.feature]
        yield from (_changed(path, one, theirs) if theirs else _added(path, one))
        if one.reset and one.reset != Reset.BILLING_PERIOD and _is_priced(theirs, lines):
            detail = f"the free units of a price are those of {one.feature}, which therefore lasts a billing period"
            yield FieldError(f"{path}.reset", "invalid", detail)


def included_faults(lines: Sequence[tuple[LineDraft, Sequence[Price]]]) -> Iterator[FieldError]:
    """Free units that are an allowance are for a billing period: of the plan, and of the contract."""
    intervals = [line.plan_version.plan.interval for line, _ in lines]
    for index, (line, prices) in enumerate(lines):
        interval = line.plan_version.plan.interval
        if any(price.included for price in prices) and any(other != interval for other in intervals):
            detail = (
                f"the free units of {line.plan_version} are those of a {interval}, and another line of the contract is "
                "billed otherwise; sign another contract for that one"
            )
            yield FieldError(f"lines[{index}].plan", "interval", detail)


def _number_faults(path: str, one: AllowanceDraft) -> Iterator[FieldError]:
    yield from units_faults(path, one.limit, one.thresholds, one.rollover)
    if one.extra is not None and not 0 <= one.extra < LARGEST:
        yield FieldError(f"{path}.extra", "invalid", "what is given beside the limit is not negative")
    if one.unlimited and one.limit is not None:
        yield FieldError(f"{path}.limit", "invalid", "what is unlimited has no limit")
    if one.reset and one.reset not in Reset.values:
        yield FieldError(f"{path}.reset", "invalid", f"reset is one of {', '.join(Reset.values)}")
    if one.on_limit and one.on_limit not in OnLimit.values:
        yield FieldError(f"{path}.on_limit", "invalid", f"on_limit is one of {', '.join(OnLimit.values)}")


def _changed(path: str, one: AllowanceDraft, theirs: Sequence[Entitlement]) -> Iterator[FieldError]:
    """A feature that a plan of the contract gives stays of its kind, and keeps its meter."""
    kind = theirs[0].kind
    if one.kind and one.kind != kind:
        yield FieldError(f"{path}.kind", "invalid", f"the plan gives {one.feature} as {kind}")
    if one.meter and all(row.meter is None or row.meter.key != one.meter for row in theirs):
        yield FieldError(f"{path}.meter", "invalid", f"the plan gives {one.feature} by another meter, or none")
    if kind == EntitlementKind.METERED:
        if one.value is not None:
            yield FieldError(f"{path}.value", "invalid", f"{one.feature} has a limit, no value")
    else:
        if one.value is None:
            yield FieldError(f"{path}.value", "missing", f"{one.feature} is {kind}: say which value it has here")
        yield from _no_units(path, one)
        yield from kind_faults(path, kind, None, one.value)


def _added(path: str, one: AllowanceDraft) -> Iterator[FieldError]:
    """A feature that no plan of the contract gives on these days is said whole."""
    kind = one.own_kind
    yield from kind_faults(path, kind, one.meter or None, one.value)
    if kind != EntitlementKind.METERED:
        yield from _no_units(path, one)
    elif one.limit is None and one.extra is None and not one.unlimited:
        detail = f"no plan of the contract gives {one.feature} on these days: give a limit, or say unlimited"
        yield FieldError(f"{path}.limit", "missing", detail)


def _no_units(path: str, one: AllowanceDraft) -> Iterator[FieldError]:
    for name in ("limit", "extra", "rollover"):
        if getattr(one, name) is not None:
            yield FieldError(f"{path}.{name}", "invalid", f"{one.feature} is not counted, so it has no {name}")
    if one.unlimited:
        yield FieldError(f"{path}.unlimited", "invalid", f"{one.feature} is not counted, so it has no limit")


def _is_priced(theirs: Sequence[Entitlement], lines: Sequence[tuple[LineDraft, Sequence[Price]]]) -> bool:
    meters = {row.meter_id for row in theirs}
    return any(price.included and price.meter_id in meters for _, prices in lines for price in prices)


def _meet(line: LineDraft, one: AllowanceDraft) -> bool:
    return overlap(line.starts_on, line.ends_on, one.starts_on, one.ends_on)
