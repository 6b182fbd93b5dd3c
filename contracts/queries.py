"""Contracts read as agreements: rows in, values out, in a fixed number of queries however many contracts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, cast, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.db.models import F, Prefetch, QuerySet

from catalog.entitlements import Entitlement
from catalog.models import (
    ADDITIVE,
    BillingTime,
    CreditUnused,
    Meter,
    PlanVersion,
    Price,
    Seller,
    TaxBehavior,
    TaxRate,
)
from catalog.money import ZERO
from catalog.periods import Interval, Unit
from catalog.pricing import PriceRule
from catalog.selection import EVERYTHING, Selection, filter_of, parse_window
from catalog.tax_ids import is_reverse_charge
from contracts.agreement import Agreement
from contracts.drafts import KINDS, AllowanceDraft, rows_of
from contracts.entitled import AllowanceTerms, EntitlementTerms, Kind, Rollover
from contracts.entitled import OnLimit as OnLimitName
from contracts.entitled import Reset as ResetName
from contracts.models import (
    AllowanceTerm,
    Commitment,
    CommitmentKind,
    Contract,
    ContractLine,
    CreditGrant,
    Customer,
    Discount,
    GrantKind,
    OneTimeTerm,
    PriceOverride,
)
from contracts.tax_terms import DatedRate, RateTerms, Relief, TaxRounding
from contracts.terms import (
    CommitmentTerms,
    Days,
    DiscountTerms,
    GrantTerms,
    LineTerms,
    MeterTerms,
    OneTimeTerms,
    OverrideTerms,
    PriceTerms,
    Proration,
)


class UnreadableContract(ValueError):
    """A contract whose terms make no agreement."""


class PriceBook:
    """Prices and entitlements of plan versions as values, each read once. Versions on contracts are frozen, so it never
    ages; what contracts themselves say of features names meters by their key."""

    def __init__(self) -> None:
        self._prices: dict[int, tuple[PriceTerms, ...]] = {}
        self._entitlements: dict[int, tuple[EntitlementTerms, ...]] = {}
        self._meters: dict[str, Meter | None] = {}

    def load(self, version_ids: Iterable[int]) -> None:
        missing = set(version_ids) - self._prices.keys()
        if not missing:
            return
        versions = PlanVersion.objects.filter(pk__in=missing).prefetch_related(
            "prices__tiers", "prices__meter", "entitlements__feature", "entitlements__meter"
        )
        for version in versions:
            prices = list(version.prices.all())
            given = self._entitlements[version.pk] = tuple(entitlement_terms(one) for one in version.entitlements.all())
            self._prices[version.pk] = tuple(_price_terms(price, prices, given) for price in prices)

    def of(self, version_id: int) -> tuple[PriceTerms, ...]:
        return self._prices[version_id]

    def entitlements(self, version_id: int) -> tuple[EntitlementTerms, ...]:
        return self._entitlements[version_id]

    def load_meters(self, keys: Iterable[str]) -> None:
        missing = set(keys) - self._meters.keys()
        if missing:
            found = Meter.objects.in_bulk(missing, field_name="key")
            self._meters |= {key: found.get(key) for key in missing}

    def meter(self, key: str) -> Meter | None:
        return self._meters[key]


def for_rating(contracts: Iterable[int]) -> list[Contract]:
    """The contracts (ids, or a query of ids) with everything an agreement reads, by id."""
    return list(
        Contract.objects.filter(pk__in=contracts if isinstance(contracts, QuerySet) else list(contracts))
        .select_related("customer", "seller")
        .prefetch_related(
            *(Prefetch(kind.manager, rows_of(kind).filter(superseded_at=None)) for kind in KINDS.values())
        )
        .order_by("pk")
    )


def terms_in_force() -> list[Any]:
    """What to prefetch so that a contract has its terms, of every kind, that no amendment has replaced."""
    return [Prefetch(kind.manager, rows_of(kind).filter(superseded_at__isnull=True)) for kind in KINDS.values()]


def tax_table() -> Mapping[str, Sequence[DatedRate]]:
    """Country -> its rates with the day each begins."""
    table: dict[str, list[DatedRate]] = defaultdict(list)
    for rate in TaxRate.objects.order_by("country", F("effective_from").asc(nulls_first=True), "code"):
        terms = RateTerms(rate.code, rate.percent.normalize() + 0, rate.category, rate.tax, rate.compound)
        table[rate.country].append((rate.effective_from, terms))
    return table


def agreement(
    contract: Contract,
    book: PriceBook,
    taxes: Mapping[str, Sequence[DatedRate]],
) -> Agreement:
    """The contract as a value. `contract` comes from `for_rating`; `book` holds the versions of its lines."""
    lines = contract.lines.all()
    if not lines:
        raise UnreadableContract(f"contract {contract.number} has no line")
    plan = lines[0].plan_version.plan
    tolerance = contract.tolerance_window
    if tolerance is None:
        tolerance = plan.tolerance_window
    if tolerance is None:
        tolerance = contract.seller.tolerance_window
    return Agreement(
        number=contract.number,
        currency=contract.currency,
        zone=ZoneInfo(contract.timezone_name()),
        days=Days(contract.starts_on, contract.ends_on),
        anchor="start" if contract.anchor == "start" else "calendar",
        interval=min((_interval_of(line) for line in lines), key=_length),
        lines=tuple(_line_terms(line, book) for line in lines),
        discounts=tuple(_discount_terms(discount) for discount in contract.discounts.all()),
        one_time=tuple(_one_time_terms(term) for term in contract.one_time_terms.all()),
        taxes=tuple(taxes.get(contract.customer.country, ())),
        tax_relief=relief(contract.seller, contract.customer),
        tax_rounding=cast(TaxRounding, contract.seller.tax_rounding),
        tolerance=tolerance,
        overrides=tuple(_override_terms(override) for override in contract.overrides.all()),
        commitments=tuple(_commitment_terms(one) for one in contract.commitments.all()),
        grants=tuple(_grant_terms(one) for one in contract.credits.all() if one.kind == GrantKind.PROMOTIONAL),
        bill_day=contract.bill_day,
        proration=cast(Proration, contract.seller.proration),
        settles_at_once=contract.seller.credit_unused == CreditUnused.AT_ONCE,
        allowances=tuple(allowance_terms(one, book) for one in contract.entitlements.all()),
    )


def relief(seller: Seller, customer: Customer) -> Relief:
    """Why the customer is charged no tax as things are now; empty where it is charged some."""
    if customer.tax_exempt:
        return "exempt"
    reverse = is_reverse_charge((seller.tax_id, seller.country), (customer.tax_id, customer.country))
    return "reverse-charge" if reverse else ""


def _length(interval: Interval) -> int:
    """To compare intervals by."""
    return get_args(Unit).index(interval.unit)


def _interval_of(line: ContractLine) -> Interval:
    return Interval(cast(Unit, line.plan_version.plan.interval))


def agreements(contracts: Sequence[Contract], book: PriceBook) -> dict[int, Agreement | UnreadableContract]:
    """Contract id -> its agreement, or why it has none; one bad contract costs no other."""
    book.load(line.plan_version_id for contract in contracts for line in contract.lines.all())
    book.load_meters(one.meter for contract in contracts for one in contract.entitlements.all() if one.meter)
    taxes = tax_table()
    read: dict[int, Agreement | UnreadableContract] = {}
    for contract in contracts:
        try:
            read[contract.pk] = agreement(contract, book, taxes)
        except (ValueError, ZoneInfoNotFoundError) as error:
            read[contract.pk] = UnreadableContract(str(error))
    return read


def _line_terms(line: ContractLine, book: PriceBook) -> LineTerms:
    version = line.plan_version
    return LineTerms(
        key=line.key,
        plan=version.plan.key,
        version=version.number,
        quantity=line.quantity.normalize() + Decimal(0),
        days=Days(line.starts_on, line.ends_on),
        prices=book.of(version.pk),
        interval=_interval_of(line),
        uplift=line.uplift_percent.normalize() + Decimal(0),
        trial_days=version.trial_days if line.trial_days is None else line.trial_days,
        with_tax=version.tax_behavior == TaxBehavior.INCLUSIVE,
        entitlements=book.entitlements(version.pk),
    )


def _price_terms(price: Price, prices: Sequence[Price], entitlements: Sequence[EntitlementTerms] = ()) -> PriceTerms:
    meter, rule = price.meter, price.rule()
    included = [one.feature for one in entitlements if price.included and one.meter_id == price.meter_id]
    return PriceTerms(
        key=price.key,
        description=price.name or price.key,
        kind=price.kind,  # type: ignore[arg-type]  # a choice of PriceKind
        rule=rule,
        meter=MeterTerms(meter.pk, meter.key, meter.unit, meter.aggregation in ADDITIVE) if meter is not None else None,
        in_advance=price.billing == BillingTime.IN_ADVANCE,
        prorate=price.prorate,
        selection=_selection(price, rule, prices) if meter is not None else EVERYTHING,
        interval=Interval(cast(Unit, price.interval)) if price.interval else None,
        arithmetic=price.terms(),
        tax_category=price.tax_category,
        entitlement=included[0] if included else "",
    )


def entitlement_terms(row: Entitlement) -> EntitlementTerms:
    meter = row.meter
    return EntitlementTerms(
        feature=row.feature.key,
        kind=cast(Kind, row.kind),
        value=row.value,
        meter_id=row.meter_id,
        meter=meter.key if meter else "",
        unit=meter.unit if meter else "",
        adds_up=meter is not None and meter.aggregation in ADDITIVE,
        limit=_plain(row.limit),
        reset=cast(ResetName, row.reset),
        on_limit=cast(OnLimitName, row.on_limit),
        thresholds=tuple(row.thresholds),
        rollover=_rollover(row),
    )


def allowance_terms(row: AllowanceTerm, book: PriceBook) -> AllowanceTerms:
    """What a contract says of a feature: only what it says is changed."""
    changes: dict[str, Any] = {name: getattr(row, name) for name in ("reset", "on_limit") if getattr(row, name)}
    if row.meter:
        meter = book.meter(row.meter)
        if meter is None:
            raise UnreadableContract(f"contract {row.contract_id}: there is no meter {row.meter}")
        adds_up = meter.aggregation in ADDITIVE
        changes |= {"meter_id": meter.pk, "meter": meter.key, "unit": meter.unit, "adds_up": adds_up}
    if row.value is not None:
        changes["value"] = row.value
    if row.unlimited or row.limit is not None:
        changes["limit"] = None if row.unlimited else _plain(row.limit)
    if row.thresholds is not None:
        changes["thresholds"] = tuple(row.thresholds)
    if row.rollover_percent is not None:
        changes["rollover"] = _rollover(row)
    kind = cast(Kind, AllowanceDraft.of(row).own_kind)
    return AllowanceTerms(row.feature, row.starts_on, row.ends_on, changes, _plain(row.extra) or ZERO, kind)


def _rollover(row: Entitlement | AllowanceTerm) -> Rollover | None:
    if row.rollover_percent is None:
        return None
    return Rollover(_plain(row.rollover_percent) or ZERO, _plain(row.rollover_cap), row.rollover_periods)


def _plain(number: Decimal | None) -> Decimal | None:
    """Without the zeros of its column."""
    return None if number is None else number.normalize() + ZERO


def _selection(price: Price, rule: PriceRule, prices: Sequence[Price]) -> Selection:
    """Which usage the price takes among the prices of its version: those with filters come first, in their order."""
    filtered = [one for one in prices if one.meter_id == price.meter_id and one.filters]
    before = filtered[: filtered.index(price)] if price.filters else filtered
    return Selection(
        only=filter_of(price.filters),
        besides=tuple(filter_of(one.filters) for one in before),
        window=parse_window(price.window) if price.window else None,
        combine="sum_then_rate" if price.combine == "sum_then_rate" else "rate_each_bucket",
        by_event=rule.reads_events,
        dimension=price.dimension,
    )


def _discount_terms(discount: Discount) -> DiscountTerms:
    return DiscountTerms(
        key=discount.key,
        kind=cast(Any, discount.kind),
        value=discount.value,
        applies_to=frozenset(discount.applies_to),
        days=Days(discount.starts_on, discount.ends_on),
        total=discount.total,
    )


def _one_time_terms(term: OneTimeTerm) -> OneTimeTerms:
    return OneTimeTerms(
        key=term.key,
        description=term.description,
        amount=term.amount.normalize() + 0,
        on=term.on,
        tax_category=term.tax_category,
        with_tax=term.tax_behavior == TaxBehavior.INCLUSIVE,
    )


def _override_terms(override: PriceOverride) -> OverrideTerms:
    days = Days(override.starts_on, override.ends_on)
    return OverrideTerms(override.line, override.price, override.terms, days)


def _commitment_terms(commitment: Commitment) -> CommitmentTerms:
    interval = commitment.interval
    value = commitment.quantity if commitment.kind == CommitmentKind.QUANTITY else commitment.amount
    return CommitmentTerms(
        key=commitment.key,
        kind=cast(Any, commitment.kind),
        amount=value or Decimal(0),
        interval="term" if interval == "term" else Interval(cast(Unit, interval)) if interval else None,
        applies_to=frozenset(commitment.applies_to),
        days=Days(commitment.starts_on, commitment.ends_on),
        overage_factor=commitment.overage_factor or Decimal(1),
        true_up=commitment.true_up,
        prorate=commitment.prorate,
    )


def _grant_terms(grant: CreditGrant) -> GrantTerms:
    return GrantTerms(
        key=grant.key,
        description=grant.name or "Credit",
        amount=grant.amount.normalize() + 0,
        priority=grant.priority,
        applies_to=frozenset(grant.applies_to),
        days=Days(grant.starts_on, grant.expires_on),
    )
