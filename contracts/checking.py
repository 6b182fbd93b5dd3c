"""What must hold before the terms of a contract count: everything that is wrong, not just the first."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from itertools import combinations

from django.db.models import Prefetch

from catalog.models import PlanVersion, Price, PriceKind, VersionStatus
from catalog.money import minor_places, quantize
from catalog.periods import known_zones
from catalog.pricing import FieldError
from contracts.drafts import DiscountDraft, LineDraft, OneTimeDraft, TermsDraft
from contracts.models import Contract, ContractLine, DiscountKind

SOLD = (VersionStatus.PUBLISHED, VersionStatus.RETIRED)


def faults(contract: Contract, terms: TermsDraft) -> list[FieldError]:
    """Why the contract cannot count with these terms; empty where it can. Paths as in `lines[0].plan`."""
    prices = _prices_by_version(line.plan_version for line in terms.lines)
    found = [*_contract_faults(contract), *_line_faults(contract, terms.lines)]
    found += _discount_faults(terms.discounts, {price.key for each in prices.values() for price in each})
    found += _one_time_faults(contract, terms.one_time)
    found += _billed_elsewhere(contract, terms.lines, prices)
    return found


def _contract_faults(contract: Contract) -> Iterator[FieldError]:
    if contract.ends_on is not None and contract.ends_on <= contract.starts_on:
        yield FieldError("ends_on", "order", "a contract ends after it starts; ends_on is the first day out")
    if contract.timezone_name() not in known_zones():
        detail = f"{contract.timezone_name()!r} is not a time zone; use a name such as Europe/Berlin"
        yield FieldError("timezone", "invalid", detail)


def _line_faults(contract: Contract, lines: Sequence[LineDraft]) -> Iterator[FieldError]:
    if not lines:
        yield FieldError("lines", "missing", "a contract needs a line")
    for index, line in enumerate(lines):
        path, version = f"lines[{index}]", line.plan_version
        if version.status not in SOLD:
            detail = f"{version} is {version.get_status_display().lower()}; publish it, or name a published version"
            yield FieldError(f"{path}.version", "unsold", detail)
        if version.currency != contract.currency:
            detail = f"{version} is in {version.currency}, the contract in {contract.currency}"
            yield FieldError(f"{path}.version", "currency", detail)
        if version.plan.interval != lines[0].plan_version.plan.interval:
            detail = "plans with different intervals on one contract are not supported yet; use two contracts"
            yield FieldError(f"{path}.plan", "unsupported", detail)
        if line.quantity < 0:
            yield FieldError(f"{path}.quantity", "invalid", "a quantity is not negative")
        yield from _outside(contract, line, path)
    for (_, one), (index, other) in combinations(enumerate(lines), 2):
        if one.line_key == other.line_key and _overlap(_days(one), _days(other)):
            detail = f"two lines of the key {one.line_key} overlap; give each its own `key`, or its own days"
            yield FieldError(f"lines[{index}]", "overlap", detail)


def _outside(contract: Contract, line: LineDraft, path: str) -> Iterator[FieldError]:
    if line.ends_on is not None and line.ends_on <= line.starts_on:
        yield FieldError(f"{path}.until", "order", "a line ends after it starts; until is the first day out")
    if line.starts_on < contract.starts_on:
        detail = f"the line begins on {line.starts_on}, the contract on {contract.starts_on}"
        yield FieldError(f"{path}.from", "outside", detail)
    if contract.ends_on is None:
        return
    if line.starts_on >= contract.ends_on or (line.ends_on is not None and line.ends_on > contract.ends_on):
        detail = f"the line runs from {line.starts_on} to {line.ends_on}, the contract ends on {contract.ends_on}"
        yield FieldError(f"{path}.until", "outside", detail)


def _discount_faults(discounts: Sequence[DiscountDraft], prices: set[str]) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, discount in enumerate(discounts):
        path = f"discounts[{index}]"
        if discount.kind not in DiscountKind.values:
            yield FieldError(f"{path}.kind", "invalid", "a discount is percent or amount")
        if discount.value < 0 or (discount.kind == DiscountKind.PERCENT and discount.value > 100):
            detail = "a discount is not negative, and at most 100 percent"
            yield FieldError(f"{path}.value", "invalid", detail)
        for key in discount.applies_to:
            if key not in prices:
                detail = f"no line of the contract has a price {key}"
                yield FieldError(f"{path}.applies_to", "unknown", detail)
        if discount.ends_on is not None and discount.ends_on <= discount.starts_on:
            yield FieldError(f"{path}.until", "order", "a discount ends after it starts")
        if discount.key in seen:
            yield FieldError(f"{path}.key", "duplicate", f"the key {discount.key} is there twice")
        seen.add(discount.key)


def _one_time_faults(contract: Contract, one_time: Sequence[OneTimeDraft]) -> Iterator[FieldError]:
    seen: set[str] = set()
    places = minor_places(contract.currency)
    for index, term in enumerate(one_time):
        path = f"one_time[{index}]"
        if term.on < contract.starts_on or (contract.ends_on is not None and term.on >= contract.ends_on):
            yield FieldError(f"{path}.on", "outside", f"{term.on} is not a day of the contract")
        if quantize(term.amount, places) != term.amount:
            detail = f"an amount in {contract.currency} has at most {places} decimals"
            yield FieldError(f"{path}.amount", "precision", detail)
        if term.key in seen:
            yield FieldError(f"{path}.key", "duplicate", f"the key {term.key} is there twice")
        seen.add(term.key)


def _billed_elsewhere(
    contract: Contract, lines: Sequence[LineDraft], prices: dict[int, list[Price]]
) -> Iterator[FieldError]:
    """Use that another contract of the customer bills already would be billed twice."""
    meters = {
        price.meter_id for line in lines for price in prices[line.plan_version.pk] if price.kind == PriceKind.USAGE
    }
    usage = Price.objects.filter(kind=PriceKind.USAGE, meter__in=meters).select_related("meter")
    others = (
        ContractLine.objects.in_force()
        .filter(contract__in=contract.customer.contracts.approved().exclude(pk=contract.pk))
        .filter(plan_version__prices__meter__in=meters)
        .select_related("contract", "plan_version")
        .prefetch_related(Prefetch("plan_version__prices", usage))
        .distinct()
    )
    for other in others:
        their_days = _cut((other.starts_on, other.ends_on), other.contract)
        theirs = {price.meter_id: price.meter for price in other.plan_version.prices.all()}
        for index, line in enumerate(lines):
            if not _overlap(_cut(_days(line), contract), their_days):
                continue
            for price in prices[line.plan_version.pk]:
                if meter := theirs.get(price.meter_id):
                    detail = f"the meter {meter.key} is billed by contract {other.contract.number} on the same days"
                    yield FieldError(f"lines[{index}].plan", "billed_twice", detail)


def _prices_by_version(versions: Iterator[PlanVersion]) -> dict[int, list[Price]]:
    found: dict[int, list[Price]] = {version.pk: [] for version in versions}
    for price in Price.objects.filter(version__in=found):
        found[price.version_id].append(price)
    return found


Span = tuple[dt.date, dt.date | None]


def _days(line: LineDraft) -> Span:
    return line.starts_on, line.ends_on


def _cut(days: Span, contract: Contract) -> Span:
    """A line runs no longer than its contract."""
    starts_on, ends_on = days
    ends = [day for day in (ends_on, contract.ends_on) if day is not None]
    return starts_on, min(ends) if ends else None


def _overlap(one: Span, other: Span) -> bool:
    return (one[1] is None or other[0] < one[1]) and (other[1] is None or one[0] < other[1])
