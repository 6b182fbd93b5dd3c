"""Contracts read as agreements: rows in, values out, in a fixed number of queries however many contracts."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.db.models import F, Prefetch, QuerySet

from catalog.models import BillingTime, PlanVersion, Price, TaxRate
from catalog.periods import Interval, Unit
from catalog.pricing import PriceRule
from catalog.selection import EVERYTHING, Selection, filter_of, parse_window
from contracts.models import Contract, ContractLine, Discount, OneTimeTerm
from contracts.terms import (
    Agreement,
    Days,
    DiscountTerms,
    LineTerms,
    MeterTerms,
    OneTimeTerms,
    PriceTerms,
    TaxTerms,
)


class UnreadableContract(ValueError):
    """A contract whose terms make no agreement."""


class PriceBook:
    """The prices of plan versions as values, each read once. Versions on contracts are frozen, so it never ages."""

    def __init__(self) -> None:
        self._prices: dict[int, tuple[PriceTerms, ...]] = {}

    def load(self, version_ids: Iterable[int]) -> None:
        missing = set(version_ids) - self._prices.keys()
        if not missing:
            return
        versions = PlanVersion.objects.filter(pk__in=missing).prefetch_related("prices__tiers", "prices__meter")
        for version in versions:
            prices = list(version.prices.all())
            self._prices[version.pk] = tuple(_price_terms(price, prices) for price in prices)

    def of(self, version_id: int) -> tuple[PriceTerms, ...]:
        return self._prices[version_id]


def for_rating(contracts: Iterable[int]) -> list[Contract]:
    """The contracts (ids, or a query of ids) with everything an agreement reads, by id."""
    return list(
        Contract.objects.filter(pk__in=contracts if isinstance(contracts, QuerySet) else list(contracts))
        .select_related("customer", "seller")
        .prefetch_related(
            Prefetch("lines", ContractLine.objects.in_force().select_related("plan_version__plan")),
            Prefetch("discounts", Discount.objects.in_force()),
            Prefetch("one_time_terms", OneTimeTerm.objects.in_force()),
        )
        .order_by("pk")
    )


def tax_table() -> Mapping[str, Sequence[tuple[dt.date | None, TaxTerms]]]:
    """Country -> its rates with the day each begins, in order."""
    table: dict[str, list[tuple[dt.date | None, TaxTerms]]] = defaultdict(list)
    for rate in TaxRate.objects.order_by("country", F("effective_from").asc(nulls_first=True)):
        table[rate.country].append((rate.effective_from, TaxTerms(rate.code, rate.percent.normalize())))
    return table


def agreement(
    contract: Contract,
    book: PriceBook,
    taxes: Mapping[str, Sequence[tuple[dt.date | None, TaxTerms]]],
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
        interval=Interval(cast(Unit, plan.interval)),
        lines=tuple(_line_terms(line, book) for line in lines),
        discounts=tuple(_discount_terms(discount) for discount in contract.discounts.all()),
        one_time=tuple(
            OneTimeTerms(term.key, term.description, term.amount.normalize() + 0, term.on)
            for term in contract.one_time_terms.all()
        ),
        taxes=tuple(taxes.get(contract.customer.country, ())),
        tolerance=tolerance,
    )


def agreements(contracts: Sequence[Contract], book: PriceBook) -> dict[int, Agreement | UnreadableContract]:
    """Contract id -> its agreement, or why it has none; one bad contract costs no other."""
    book.load(line.plan_version_id for contract in contracts for line in contract.lines.all())
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
    )


def _price_terms(price: Price, prices: Sequence[Price]) -> PriceTerms:
    meter, rule = price.meter, price.rule()
    return PriceTerms(
        key=price.key,
        description=price.name or price.key,
        kind=price.kind,  # type: ignore[arg-type]  # a choice of PriceKind
        rule=rule,
        meter=MeterTerms(meter.pk, meter.key, meter.unit) if meter is not None else None,
        in_advance=price.billing == BillingTime.IN_ADVANCE,
        prorate=price.prorate,
        selection=_selection(price, rule, prices) if meter is not None else EVERYTHING,
    )


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
        kind="percent" if discount.kind == "percent" else "amount",
        value=discount.value,
        applies_to=frozenset(discount.applies_to),
        days=Days(discount.starts_on, discount.ends_on),
    )
