"""The catalog as a file says it. Repeatable: what is there already is left alone."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db import transaction

from billing.models import Bucket, Source
from catalog import publishing
from catalog.comparing import compare_versions
from catalog.entitlements import OnLimit, Reset
from catalog.entitling import USUAL_THRESHOLDS, EntitlementDraft
from catalog.models import Feature, Interval, Meter, Plan, PlanVersion, TaxBehavior, TaxRate, VersionStatus
from catalog.publishing import PriceDraft, UnableToPublish, VersionContent
from contracts.models import ContractLine
from revops.vocabulary.contract_terms import rollover
from revops.vocabulary.decoding import under
from revops.vocabulary.loading import Load, keep_seller
from revops.vocabulary.rules import keep_rules
from revops.vocabulary.words import (
    CatalogWords,
    EntitlementWords,
    FeatureWords,
    MeterWords,
    PlanWords,
    PriceWords,
    SourceWords,
    TaxRateWords,
    VersionWords,
)

# What the database freezes in a meter once it has counted something.
FROZEN_IN_METER = ("event_type", "aggregation", "value", "group_by", "filters")


def load_catalog(words: CatalogWords, load: Load, *, publish: bool = False) -> Load:
    """Make the catalog say what the words say, all or nothing.

    A version whose content is not among the plan's versions becomes a new draft; `publish` goes on to publish it.
    Raises UnableToLoad.
    """
    with transaction.atomic():
        keep_catalog(words, load, publish=publish)
        load.finish()
    return load


def keep_catalog(words: CatalogWords, load: Load, *, publish: bool) -> None:
    """As `load_catalog`, inside the caller's transaction; what is wrong is left in `load.errors`."""
    seller = keep_seller(load, words.seller, words)
    for index, source in enumerate(words.sources):
        keep_source(load, source, f"sources[{index}]")
        load.step()
    for index, rate in enumerate(words.tax_rates):
        keep_tax_rate(load, rate, f"tax_rates[{index}]")
        load.step()
    for index, feature in enumerate(words.features):
        keep_feature(load, feature, f"features[{index}]")
        load.step()
    for index, meter in enumerate(words.meters):
        keep_meter(load, meter, f"meters[{index}]")
        load.step()
    for index, plan in enumerate(words.plans):
        if seller is not None:
            keep_plan(load, plan, f"plans[{index}]", words.currency or seller.currency, publish=publish)
        load.step()


def keep_source(load: Load, words: SourceWords, path: str, cleared: Collection[str] = ()) -> Source | None:
    values = {name: value for name, value in vars(words).items() if name != "rules"}
    told = [name for name in cleared if name != "rules"]
    source = load.keep(Source.objects.filter(key=words.key), path, values, cleared=told)
    if source is not None and (words.rules is not None or "rules" in cleared):
        keep_rules(load, source, words.rules or (), under(path, "rules"))
    return source


def keep_tax_rate(load: Load, words: TaxRateWords, path: str) -> None:
    """A rate that is to begin on another day is another rate: the days before would be left without one."""
    rates = TaxRate.objects.filter(code=words.code)
    standing = rates.first()
    if standing is not None and words.effective_from not in (None, standing.effective_from):
        detail = (
            f"{words.code} counts from {standing.effective_from or 'ever'}; give the rate that begins on "
            f"{words.effective_from} a code of its own, or move this one in the admin"
        )
        load.fail(under(path, "effective_from"), "frozen", detail)
        return
    load.keep(rates, path, vars(words))


def keep_feature(load: Load, words: FeatureWords, path: str, cleared: Collection[str] = ()) -> Feature | None:
    return load.keep(Feature.objects.filter(key=words.key), path, vars(words), {"name": words.key}, cleared)


def keep_meter(load: Load, words: MeterWords, path: str, cleared: Collection[str] = ()) -> Meter | None:
    values: dict[str, Any] = {
        **vars(words),
        # Words say all of what a meter counts: what they leave out is not there.
        "value": words.value or "",
        "group_by": list(words.group_by or ()),
        "filters": {name: _filter_values(given) for name, given in (words.filters or {}).items()},
    }
    for name, given in (words.filters or {}).items():
        if any(isinstance(value, list | dict) for value in (given if isinstance(given, list) else [given])):
            detail = "a filter is a value or a list of values: texts, numbers, true or false"
            load.fail(under(path, f"filters.{name}"), "invalid", detail)
            return None
    existing = Meter.objects.filter(key=words.key).first()
    if existing is not None:
        differing = [name for name in FROZEN_IN_METER if getattr(existing, name) != values[name]]
        if differing and Bucket.objects.filter(meter_id=existing.pk).exists():
            detail = f"the meter {words.key} has events, so what it counts is frozen; use a new key"
            for name in differing:
                load.fail(under(path, name), "frozen", detail)
            return None
    told = [name for name in cleared if name not in FROZEN_IN_METER]
    return load.keep(Meter.objects.filter(key=words.key), path, values, cleared=told)


def _filter_values(given: Any) -> list[Any]:
    """The allowed values of a filter as JSON holds them; one value stands for a list of one."""
    return [
        str(value) if not isinstance(value, str | bool | int | None) else value
        for value in (given if isinstance(given, list) else [given])
    ]


def keep_plan(
    load: Load, words: PlanWords, path: str, currency: str, cleared: Collection[str] = (), *, publish: bool = False
) -> None:
    """The plan and, beside those it has, the versions; `currency` is theirs where they name none."""
    values: dict[str, Any] = {
        "key": words.key,
        "name": words.name,
        "interval": words.interval,
        "tolerance_window": words.tolerance_window,
    }
    if "interval" in cleared:
        values["interval"], cleared = Interval.MONTH.value, {*cleared} - {"interval"}
    if values["interval"] is not None and _is_agreed(words.key, but_for=values["interval"]):
        detail = f"contracts stand on the plan {words.key}, so its interval is frozen; use a new key"
        load.fail(under(path, "interval"), "frozen", detail)
        return
    plan = load.keep(Plan.objects.filter(key=words.key), path, values, {"name": words.key}, cleared)
    if plan is None:
        return
    for index, version in enumerate(words.versions):
        try:
            with transaction.atomic():
                stored = _keep_version(load, plan, index + 1, content_of(version, currency))
                if publish and stored.status in (VersionStatus.DRAFT, VersionStatus.REVIEW):
                    publishing.publish(stored, at=load.at, by=load.by)
                    load.note(f"plan version {stored}", "published")
        except UnableToPublish as unable:
            load.fail_under(under(path, f"versions[{index}]"), unable.errors)


def _is_agreed(plan: str, but_for: str) -> bool:
    """Whether contracts stand on the plan, and its interval is another one."""
    lines = ContractLine.objects.filter(plan_version__plan__key=plan)
    return lines.exclude(plan_version__plan__interval=but_for).exists()


def _keep_version(load: Load, plan: Plan, number: int, content: VersionContent) -> PlanVersion:
    """The version with this content: preferably the one of this number, else any, else a new draft."""
    versions = sorted(plan.versions.all(), key=lambda version: (version.number != number, -version.number))
    for version in versions:
        if publishing.same_content(publishing.content_of(version), content):
            load.unchanged += 1
            return version
    drafted = publishing.draft_version(
        plan,
        currency=content.currency,
        effective_from=content.effective_from,
        prices=content.prices,
        trial_days=content.trial_days,
        tax_behavior=content.tax_behavior,
        entitlements=content.entitlements,
        at=load.at,
        by=load.by,
        reason=load.why,
    )
    nearest = versions[0] if versions else None
    currencies = (content.currency if nearest is None else nearest.currency, content.currency)
    load.drafted.append((compare_versions(nearest, drafted), currencies))
    why = ""
    if nearest is not None and nearest.number == number:
        why = f"version {number} is {nearest.get_status_display()} with other content"
    load.note(f"plan version {drafted}", "drafted", why)
    return drafted


def content_of(words: VersionWords, currency: str) -> VersionContent:
    """A version of a file as publishing takes it; `currency` is the file's."""
    return VersionContent(
        words.currency or currency,
        words.effective_from,
        tuple(_price(price) for price in words.prices),
        words.trial_days or 0,
        words.tax_behavior or TaxBehavior.EXCLUSIVE,
        tuple(_entitlement(one) for one in words.entitlements),
    )


def _entitlement(words: EntitlementWords) -> EntitlementDraft:
    kind = words.kind
    if kind is None and (words.meter is not None or words.limit is not None):
        kind = "metered"
    elif kind is None:
        kind = "boolean" if words.value is None or isinstance(words.value, bool) else "static"
    return EntitlementDraft(
        feature=words.feature,
        kind=kind,
        value=words.value,
        meter=words.meter,
        limit=words.limit,
        reset=words.reset or Reset.BILLING_PERIOD,
        on_limit=words.on_limit or OnLimit.RESTRICT,
        thresholds=USUAL_THRESHOLDS if words.thresholds is None else words.thresholds,
        rollover=rollover(words.rollover),
    )


def _price(words: PriceWords) -> PriceDraft:
    return PriceDraft(
        key=words.key,
        kind=words.kind,
        arithmetic=words.arithmetic(),
        meter=words.meter,
        name=words.name or "",
        billing=words.billing,
        prorate=words.kind == "recurring" if words.prorate is None else words.prorate,
        filters={name: _filter_values(given) for name, given in (words.filters or {}).items()},
        dimension=words.dimension or "",
        window=words.window or "",
        combine=words.combine or "rate_each_bucket",
        interval=words.interval or "",
        tax_category=words.tax_category or "",
        included=words.included or "",
    )
