"""Plan versions: drafted, in review, published, retired.

What is published never changes; other content is a new version, and a version ends where the next one begins.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Max

from catalog.auditing import Actor, are_one_person, identity, sign
from catalog.entitling import (
    EntitlementDraft,
    drafts_of,
    entitlement_faults,
    included_faults,
    known_features,
    store_entitlements,
)
from catalog.models import (
    ADDITIVE,
    NUMBERS,
    BillingTime,
    Interval,
    Meter,
    Plan,
    PlanVersion,
    Price,
    PriceKind,
    PriceModel,
    PriceTier,
    TaxBehavior,
    VersionStatus,
)
from catalog.money import UnknownCurrency, exact, minor_places
from catalog.pricing import FieldError, InvalidPrice, parse_price
from catalog.selection import filter_of, parse_window

OPERATOR = "by the operator at the command line"
LONGEST_NAME = 200
LONGEST_TRIAL = 3_660  # days
LARGEST_AMOUNT = 10**18  # what the columns of amounts hold is below it
DECIMAL = frozenset({*NUMBERS, "included_units"} - {"free_events"})
LIMITED = frozenset({*NUMBERS, "included_units", "up_to", "cap_amount", "factor"})
COMBINE = ("rate_each_bucket", "sum_then_rate")
# Models over the amounts or the order of events.
EVENT_MODELS = frozenset(
    {PriceModel.PERCENTAGE, PriceModel.GRADUATED_PERCENTAGE, PriceModel.DYNAMIC, PriceModel.GRADUATED_BY_DIMENSION}
)


class UnableToPublish(Exception):
    """A version cannot take the step; `errors` says everything that is in the way."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        self.errors = list(errors)
        super().__init__("; ".join(f"{error.path}: {error.detail}" for error in errors))


@dataclass(frozen=True, slots=True)
class PriceDraft:
    """What a price is to be. `arithmetic` is in the words of `parse_price`; `meter` is a meter's key."""

    key: str
    kind: str
    arithmetic: Mapping[str, Any]
    meter: str | None = None
    name: str = ""
    billing: str = BillingTime.IN_ARREARS
    prorate: bool = True
    filters: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    dimension: str = ""
    window: str = ""
    combine: str = "rate_each_bucket"
    interval: str = ""
    tax_category: str = ""
    included: str = ""


@dataclass(frozen=True, slots=True)
class VersionContent:
    """What a version says, comparable: a version's content is frozen, so other content is another version."""

    currency: str
    effective_from: dt.date | None
    prices: tuple[PriceDraft, ...] = field(default=())
    trial_days: int = 0
    tax_behavior: str = TaxBehavior.EXCLUSIVE
    entitlements: tuple[EntitlementDraft, ...] = ()

    def meters(self) -> dict[str, Meter]:
        """The meters that it names, as far as they are there, by key."""
        named = {one.meter for one in self.prices} | {one.meter for one in self.entitlements}
        return Meter.objects.in_bulk(named - {None, ""}, field_name="key")


def draft_version(
    plan: Plan,
    *,
    currency: str,
    prices: Sequence[PriceDraft],
    at: dt.datetime,
    effective_from: dt.date | None = None,
    trial_days: int = 0,
    tax_behavior: str = TaxBehavior.EXCLUSIVE,
    entitlements: Sequence[EntitlementDraft] = (),
    by: Actor = None,
    reason: str = "",
) -> PlanVersion:
    """Add the next version of a plan, as a draft. Raises UnableToPublish where its prices cannot be read."""
    content = VersionContent(currency, effective_from, tuple(prices), trial_days, tax_behavior, tuple(entitlements))
    meters = content.meters()
    if errors := content_errors(content, meters):
        raise UnableToPublish(errors)
    with transaction.atomic():
        plan = Plan.objects.select_for_update().get(pk=plan.pk)  # one number at a time
        latest = plan.versions.aggregate(latest=Max("number"))["latest"] or 0
        version = PlanVersion(
            plan=plan,
            number=latest + 1,
            currency=currency,
            effective_from=effective_from,
            trial_days=trial_days,
            tax_behavior=tax_behavior,
        )
        sign(version, at, by, reason or "Drafted")
        version.save()
        _store_prices(version, prices, meters, (at, by))
        store_entitlements(version, entitlements, meters, (at, by))
    return version


def redraft(
    version: PlanVersion, content: VersionContent, *, at: dt.datetime, by: Actor = None, reason: str = ""
) -> PlanVersion:
    """Let a draft say something else. Raises UnableToPublish where it is none, or the content cannot be read."""

    def rewrite(locked: PlanVersion, at: dt.datetime, by: Actor) -> None:
        _demand(locked, VersionStatus.DRAFT, "change")
        if same_content(content_of(locked), content):
            return
        meters = content.meters()
        if errors := content_errors(content, meters):
            raise UnableToPublish(errors)
        locked.currency, locked.effective_from = content.currency, content.effective_from
        locked.trial_days, locked.tax_behavior = content.trial_days, content.tax_behavior
        sign(locked, at, by, reason or "Drafted anew")
        locked.save()
        locked.prices.all().delete()
        locked.entitlements.all().delete()
        _store_prices(locked, content.prices, meters, (at, by))
        store_entitlements(locked, content.entitlements, meters, (at, by))

    return _step(version, rewrite, at, by)


def discard(version: PlanVersion, *, at: dt.datetime, by: Actor = None, reason: str = "") -> None:
    """Delete a version that was never published. Raises UnableToPublish."""

    def remove(locked: PlanVersion, at: dt.datetime, by: Actor) -> None:
        if locked.is_frozen:
            now = locked.get_status_display().lower()
            detail = f"{locked} is {now} and stays; " + ("retire it" if now == "published" else "nothing is left to do")
            raise UnableToPublish([FieldError("status", "frozen", detail)])
        line = locked.contract_lines.select_related("contract").first()
        if line is not None:
            detail = f"the contract {line.contract} names {locked}; change or delete that contract first"
            raise UnableToPublish([FieldError("status", "in_use", detail)])
        sign(locked, at, by, reason or "Discarded")
        locked.delete()

    _step(version, remove, at, by)


def submit(version: PlanVersion, *, at: dt.datetime, by: Actor = None) -> PlanVersion:
    """Hand a draft over for review. Raises UnableToPublish."""
    return _step(version, _submit, at, by)


def approve(version: PlanVersion, *, at: dt.datetime, by: Actor = None) -> PlanVersion:
    """Publish a version in review; not by the person who submitted it, nor with an API key of theirs.

    Raises UnableToPublish.
    """
    return _step(version, _approve, at, by)


def publish(version: PlanVersion, *, at: dt.datetime, by: Actor = None) -> PlanVersion:
    """Submit and approve in one go: where no user is named, the operator stands for both persons."""

    def both(locked: PlanVersion, at: dt.datetime, by: Actor) -> None:
        if locked.status == VersionStatus.DRAFT:
            _submit(locked, at, by)
        _approve(locked, at, by)

    return _step(version, both, at, by)


def retire(version: PlanVersion, *, at: dt.datetime, by: Actor = None, reason: str = "") -> PlanVersion:
    """Stop selling a published version; contracts that have it keep it. Raises UnableToPublish."""

    def end_sale(locked: PlanVersion, at: dt.datetime, by: Actor) -> None:
        _demand(locked, VersionStatus.PUBLISHED, "retire")
        locked.status = VersionStatus.RETIRED
        sign(locked, at, by, reason or _said("Retired", by))
        locked.save()

    return _step(version, end_sale, at, by)


def content_of(version: PlanVersion) -> VersionContent:
    """The content of a stored version, as `draft_version` takes it."""
    return VersionContent(
        version.currency,
        version.effective_from,
        tuple(
            PriceDraft(
                key=price.key,
                kind=price.kind,
                arithmetic=price.terms(),
                meter=price.meter.key if price.meter else None,
                name=price.name,
                billing=price.billing,
                prorate=price.prorate,
                filters=price.filters,
                dimension=price.dimension,
                window=price.window,
                combine=price.combine,
                interval=price.interval,
                tax_category=price.tax_category,
                included=price.included,
            )
            for price in version.prices.select_related("meter").prefetch_related("tiers")
        ),
        version.trial_days,
        version.tax_behavior,
        drafts_of(version),
    )


def same_content(one: VersionContent, other: VersionContent) -> bool:
    """Whether two contents charge and say the same, however their numbers are written."""
    try:
        return _comparable(one) == _comparable(other)
    except InvalidPrice:
        return False


def content_errors(content: VersionContent, meters: Mapping[str, Meter]) -> list[FieldError]:
    """What keeps a content from being sold, with paths such as `prices[1].tiers[0].up_to`."""
    errors = []
    try:
        minor_places(content.currency)
    except UnknownCurrency as unknown:
        errors.append(FieldError("currency", "invalid", str(unknown)))
    if not 0 <= content.trial_days <= LONGEST_TRIAL:
        errors.append(FieldError("trial_days", "invalid", f"trial_days is a number from 0 to {LONGEST_TRIAL:,}"))
    if content.tax_behavior not in TaxBehavior.values:
        errors.append(FieldError("tax_behavior", "invalid", f"tax_behavior is one of {', '.join(TaxBehavior.values)}"))
    seen: set[str] = set()
    for index, price in enumerate(content.prices):
        errors += [
            FieldError(f"prices[{index}].{error.path}", error.code, error.detail)
            for error in price_errors(price, meters)
        ]
        if price.key in seen:
            errors.append(FieldError(f"prices[{index}].key", "duplicate", f"{price.key} is there twice"))
        seen.add(price.key)
    errors += entitlement_faults(content.entitlements, meters, known_features(content.entitlements))
    errors += included_faults(content.prices, content.entitlements, meters)
    return errors


def bracketed(path: str) -> str:
    """`tiers.0.up_to` as `tiers[0].up_to`."""
    first, *rest = path.split(".")
    return first + "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in rest)


def price_errors(price: PriceDraft, meters: Mapping[str, Meter]) -> list[FieldError]:
    """What keeps one price from being sold, with paths such as `tiers[0].up_to`."""
    errors = []
    if price.kind not in PriceKind.values:
        errors.append(FieldError("kind", "invalid", f"kind is one of {', '.join(PriceKind.values)}"))
    if price.kind == PriceKind.USAGE and not price.meter:
        errors.append(FieldError("meter", "missing", "a usage price needs a meter"))
    if price.kind != PriceKind.USAGE and price.meter:
        errors.append(FieldError("meter", "invalid", f"a {price.kind} price has no meter"))
    if price.meter and price.meter not in meters:
        errors.append(FieldError("meter", "unknown", f"there is no meter {price.meter}"))
    errors += _time_errors(price)
    if len(price.name) > LONGEST_NAME:
        errors.append(FieldError("name", "invalid", f"a name has at most {LONGEST_NAME} characters"))
    errors += _selection_errors(price, meters.get(price.meter or ""))
    errors += _size_errors(price.arithmetic)
    try:
        parse_price(price.arithmetic)
    except InvalidPrice as invalid:
        errors += [FieldError(bracketed(error.path), error.code, error.detail) for error in invalid.errors]
    return errors


def _time_errors(price: PriceDraft) -> Iterator[FieldError]:
    """What is wrong with when a price is billed."""
    if price.billing not in BillingTime.values:
        yield FieldError("billing", "invalid", f"billing is one of {', '.join(BillingTime.values)}")
    if price.kind == PriceKind.USAGE and price.billing == BillingTime.IN_ADVANCE:
        yield FieldError("billing", "invalid", "usage is billed in arrears")
    if price.interval and price.interval not in Interval.values:
        yield FieldError("interval", "invalid", f"interval is one of {', '.join(Interval.values)}")
    if price.interval and price.kind == PriceKind.ONE_TIME:
        yield FieldError("interval", "invalid", "a one-time price has no interval")


def _selection_errors(price: PriceDraft, meter: Meter | None) -> Iterator[FieldError]:
    """What is wrong with which usage a price takes, and in which pieces."""
    if price.kind != PriceKind.USAGE:
        for name in ("filters", "dimension", "window"):
            if getattr(price, name):
                yield FieldError(name, "invalid", f"a {price.kind} price reads no usage, so it has no {name}")
        if price.arithmetic.get("model") in EVENT_MODELS:
            yield FieldError("model", "invalid", f"the model {price.arithmetic['model']} is for usage alone")
        return
    if price.window:
        try:
            parse_window(price.window)
        except ValueError as error:
            yield FieldError("window", "invalid", str(error))
    if price.combine not in COMBINE:
        yield FieldError("combine", "invalid", f"combine is one of {', '.join(COMBINE)}")
    if meter is not None:
        yield from _dimension_errors(price, meter)
        yield from _event_errors(price, meter)


def _event_errors(price: PriceDraft, meter: Meter) -> Iterator[FieldError]:
    """A price that reads single events takes them one by one: from a meter that adds up, in no windows."""
    try:
        rule = parse_price(price.arithmetic)
    except InvalidPrice:
        return  # said elsewhere
    if not rule.reads_events:
        return
    if price.window:
        yield FieldError("window", "invalid", "this price looks at single events, so their windows make no difference")
    if meter.aggregation not in ADDITIVE:
        detail = f"this price looks at single events, so its meter must be a sum or a count; {meter.key} is not"
        yield FieldError("meter", "invalid", detail)
    if rule.by_dimension and meter.allow_negative:
        detail = (
            f"tiers shared over a dimension cannot take back units, and the meter {meter.key} allows them below zero"
        )
        yield FieldError("meter", "invalid", detail)


def _dimension_errors(price: PriceDraft, meter: Meter) -> Iterator[FieldError]:
    """Filters and shared tiers are over dimensions that the meter has."""
    shared = price.arithmetic.get("model") == PriceModel.GRADUATED_BY_DIMENSION
    known = ", ".join(meter.group_by) or "none"
    named = {f"filters.{name}": name for name in price.filters} | ({"dimension": price.dimension} if shared else {})
    for path, name in named.items():
        if name not in meter.group_by:
            detail = f"the meter {meter.key} is not grouped by {name!r}; its dimensions are: {known}"
            yield FieldError(path, "unknown", detail)
    for name, values in price.filters.items():
        if not values:
            yield FieldError(f"filters.{name}", "missing", "name at least one value")
    if price.dimension and not shared:
        yield FieldError("dimension", "invalid", "only a graduated_by_dimension price shares its tiers")


def _size_errors(arithmetic: Mapping[str, Any]) -> Iterator[FieldError]:
    yield from _too_large(arithmetic)
    conversion = arithmetic.get("unit_conversion")
    if isinstance(conversion, Mapping):
        yield from _too_large(conversion, "unit_conversion.")
    for index, tier in enumerate(arithmetic.get("tiers") or ()):
        yield from _too_large(tier, f"tiers[{index}].")


def _too_large(amounts: Mapping[str, Any], path: str = "") -> Iterator[FieldError]:
    """Amounts that fit a price, but no column; what is no number is said elsewhere."""
    for name, value in amounts.items():
        try:
            too_large = name in LIMITED and value is not None and exact(value) >= LARGEST_AMOUNT
        except (TypeError, ValueError):
            continue
        if too_large:
            yield FieldError(f"{path}{name}", "precision", f"{name} has at most 18 digits before the point")


def _step(
    version: PlanVersion,
    step: Callable[[PlanVersion, dt.datetime, Actor], None],
    at: dt.datetime,
    by: Actor,
) -> PlanVersion:
    """Take a step on the locked row; the caller's instance follows it."""
    with transaction.atomic():
        # Versions of a plan are published one by one.
        Plan.objects.select_for_update().get(pk=version.plan_id)
        locked = PlanVersion.objects.select_for_update().get(pk=version.pk)
        step(locked, at, by)
    followed = ("currency", "effective_from", "trial_days", "tax_behavior")
    for name in ("status", "published_at", "submitted_by", "approved_by", *followed):
        setattr(version, name, getattr(locked, name))
    return version


def _submit(version: PlanVersion, at: dt.datetime, by: Actor) -> None:
    _demand(version, VersionStatus.DRAFT, "submit")
    require_sellable(version)
    version.status, version.submitted_by = VersionStatus.REVIEW, identity(by)
    sign(version, at, by, _said("Submitted for review", by))
    version.save()


def _approve(version: PlanVersion, at: dt.datetime, by: Actor) -> None:
    _demand(version, VersionStatus.REVIEW, "approve")
    if by is not None and are_one_person(version.submitted_by, identity(by)):
        theirs = "" if version.submitted_by == identity(by) else ", nor with an API key of theirs"
        detail = f"whoever submitted a version cannot approve it{theirs}; ask another person"
        raise UnableToPublish([FieldError("by", "same_person", detail)])
    require_sellable(version)
    version.status, version.published_at, version.approved_by = VersionStatus.PUBLISHED, at, identity(by)
    sign(version, at, by, _said("Approved and published", by))
    version.save()


def _demand(version: PlanVersion, status: VersionStatus, deed: str) -> None:
    if version.status != status:
        now, needed = version.get_status_display().lower(), status.label.lower()
        detail = f"{version} is {now}; to {deed} it, it must be {needed}"
        if version.is_frozen and deed == "change":
            detail = f"{version} is {now}, so it stays as it is; draft another version for other content"
        raise UnableToPublish([FieldError("status", "invalid", detail)])


def require_sellable(version: PlanVersion) -> None:
    content = content_of(version)
    errors = content_errors(content, content.meters())
    before = (
        PlanVersion.objects.sold()
        .filter(plan_id=version.plan_id, number__lt=version.number, effective_from__isnull=False)
        .order_by("-effective_from")
        .first()
    )
    # A version without a date holds where no dated one does; only a date can contradict a date.
    if before and version.effective_from and version.effective_from < (before.effective_from or dt.date.min):
        detail = f"{before} begins on {before.effective_from}; a later version cannot begin before it"
        errors.append(FieldError("effective_from", "order", detail))
    if errors:
        raise UnableToPublish(errors)


def _store_prices(
    version: PlanVersion,
    prices: Sequence[PriceDraft],
    meters: Mapping[str, Meter],
    signature: tuple[dt.datetime, Actor],
) -> None:
    for position, price in enumerate(prices):
        _store_price(version, price, meters, position, signature)


def _store_price(
    version: PlanVersion,
    draft: PriceDraft,
    meters: Mapping[str, Meter],
    position: int,
    signature: tuple[dt.datetime, Actor],
) -> None:
    arithmetic = {name: value for name, value in draft.arithmetic.items() if value is not None}
    tiers = arithmetic.pop("tiers", ())
    conversion = arithmetic.pop("unit_conversion", None) or {}
    price = Price(
        version=version,
        key=draft.key,
        name=draft.name,
        kind=draft.kind,
        meter=meters[draft.meter] if draft.meter else None,
        billing=draft.billing,
        prorate=draft.prorate,
        position=position,
        filters={name: list(values) for name, values in draft.filters.items()},
        dimension=draft.dimension,
        window=draft.window,
        combine=draft.combine,
        interval=draft.interval,
        tax_category=draft.tax_category,
        included=draft.included,
        **{name: Decimal(value) if name in DECIMAL else value for name, value in arithmetic.items()},
        **{f"conversion_{name}": value for name, value in conversion.items()},
    )
    sign(price, *signature, f"Drafted with {version}")
    price.save()
    for number, tier in enumerate(tiers):
        amounts = {name: Decimal(tier.get(name) or 0) for name in ("flat_amount", "rate_percent")}
        bounds: dict[str, Decimal | None] = {
            name: None if tier.get(name) is None else Decimal(tier[name]) for name in ("up_to", "cap_amount")
        }
        # Where tiers are shared over a dimension, no unit amount means that there is none for other values.
        if tier.get("unit_amount") is not None or "unit_amounts" not in tier:
            bounds["unit_amount"] = Decimal(tier.get("unit_amount") or 0)
        else:
            bounds["unit_amount"] = None
        by_value = {name: str(amount) for name, amount in (tier.get("unit_amounts") or {}).items()}
        PriceTier.objects.create(price=price, position=number, unit_amounts=by_value, **amounts, **bounds)


def _comparable(content: VersionContent) -> object:
    rules = [parse_price(price.arithmetic) for price in content.prices]
    filters = [filter_of(price.filters) for price in content.prices]
    prices = [replace(price, arithmetic={}, filters={}) for price in content.prices]
    entitlements = sorted(
        (
            replace(one, thresholds=tuple(sorted(one.thresholds)), value=_plain(one.value))
            for one in content.entitlements
        ),
        key=lambda one: one.feature,
    )
    said = content.currency, content.effective_from, content.trial_days, content.tax_behavior
    return *said, prices, filters, rules, entitlements


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _said(deed: str, by: Actor) -> str:
    return deed if by is not None else f"{deed} {OPERATOR}"
