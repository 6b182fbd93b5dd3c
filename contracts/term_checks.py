"""What is wrong with single terms of a contract: discounts, overrides, commitments, grants."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from catalog.models import ADDITIVE, Price, PriceKind
from catalog.money import minor_places, quantize
from catalog.pricing import ARITHMETIC_FIELDS, FieldError, InvalidPrice, parse_price
from catalog.publishing import bracketed
from contracts.drafts import CommitmentDraft, DiscountDraft, GrantDraft, LineDraft, OverrideDraft
from contracts.models import CommitmentKind, Contract, DiscountKind, GrantKind
from contracts.terms import overridden

OfLines = Sequence[tuple[LineDraft, Sequence[Price]]]
"""The lines of a contract, each with the prices of its version."""

# From the shortest to the longest; "term" is longer than any.
INTERVALS = ("day", "week", "month", "quarter", "half_year", "year", "term")


def discount_faults(contract: Contract, discounts: Sequence[DiscountDraft], lines: OfLines) -> Iterator[FieldError]:
    yield from doubles("discounts", discounts)
    for index, discount in enumerate(discounts):
        path = f"discounts[{index}]"
        if discount.kind not in DiscountKind.values:
            yield FieldError(f"{path}.kind", "invalid", "a discount is percent, amount or quantity")
        if discount.value < 0 or (discount.kind == DiscountKind.PERCENT and discount.value > 100):
            detail = "a discount is not negative, and at most 100 percent"
            yield FieldError(f"{path}.value", "invalid", detail)
        if discount.kind == DiscountKind.AMOUNT and discount.value >= 0:
            yield from _money_faults(f"{path}.value", discount.value, contract)
        yield from _money_faults(f"{path}.total", discount.total, contract)
        yield from _scope_faults(path, discount.applies_to, lines)
        if discount.kind == DiscountKind.QUANTITY:
            yield from _units_faults(f"{path}.applies_to", discount.applies_to, lines)
        yield from order_faults(path, "discount", discount.starts_on, discount.ends_on)


def override_faults(overrides: Sequence[OverrideDraft], lines: OfLines) -> Iterator[FieldError]:
    for index, override in enumerate(overrides):
        path = f"overrides[{index}]"
        if not override.terms:
            yield FieldError(
                path, "missing", f"an override of {override.price} says what is otherwise, and this nothing"
            )
        for name in override.terms:
            if name not in ARITHMETIC_FIELDS:
                yield FieldError(f"{path}.{name}", "unknown", f"{name} is nothing that an override changes")
        yield from order_faults(path, "override", override.starts_on, override.ends_on)
        found = [
            price
            for line, prices in lines
            for price in prices
            if line.line_key == override.line and price.key == override.price and _meet(line, override)
        ]
        if not found:
            detail = f"no line {override.line} of the contract has a price {override.price} on these days"
            yield FieldError(f"{path}.price", "unknown", detail)
        for price in found:
            yield from _rule_faults(path, price, override)
        for other in overrides[:index]:
            same = (other.line, other.price) == (override.line, override.price)
            if same and overlap(other.starts_on, other.ends_on, override.starts_on, override.ends_on):
                yield FieldError(path, "overlap", f"two overrides of {override.price} hold on the same days")


def _rule_faults(path: str, price: Price, override: OverrideDraft) -> Iterator[FieldError]:
    """Whether what is left of the price and what the override says make a price, of what its meter can tell."""
    if price.included and "included_units" in override.terms:
        detail = f"the free units of {price.key} are an entitlement; agree on that one in `entitlements`"
        yield FieldError(f"{path}.included_units", "invalid", detail)
    try:
        rule = parse_price(overridden(price.terms(), override.terms))
    except InvalidPrice as invalid:
        for error in invalid.errors:
            yield FieldError(f"{path}.{bracketed(error.path)}", error.code, error.detail)
        return
    is_usage = price.kind == PriceKind.USAGE and price.meter is not None
    if price.included and not rule.counts_units:
        detail = f"the free units of {price.key} are an entitlement, so it charges for a number of units"
        yield FieldError(f"{path}.model", "invalid", detail)
    if rule.by_dimension and not price.dimension:
        detail = f"{price.key} has no dimension to share tiers over; only a plan version can give it one"
        yield FieldError(f"{path}.model", "invalid", detail)
    elif rule.reads_events and not (is_usage and adds_up(price) and not price.window):
        detail = f"such a price looks at single events, and {price.key} is not of a sum or a count of them"
        yield FieldError(f"{path}.model", "invalid", detail)


def adds_up(price: Price) -> bool:
    return price.meter is not None and price.meter.aggregation in ADDITIVE


def commitment_faults(
    contract: Contract, commitments: Sequence[CommitmentDraft], lines: OfLines
) -> Iterator[FieldError]:
    yield from doubles("commitments", commitments)
    if commitments and len({line.plan_version.tax_behavior for line, _ in lines}) > 1:
        detail = "some prices of the contract are with tax and some without, so that no commitment can count both"
        yield FieldError("commitments", "mixed", detail)
    billing = min((INTERVALS.index(line.plan_version.plan.interval) for line, _ in lines), default=0)
    for index, one in enumerate(commitments):
        path = f"commitments[{index}]"
        if one.kind not in CommitmentKind.values:
            detail = f"a commitment is {', '.join(CommitmentKind.values[:-1])} or {CommitmentKind.values[-1]}"
            yield FieldError(f"{path}.kind", "invalid", detail)
        yield from _size_faults(path, one, contract)
        yield from _overage_faults(path, one)
        yield from _stretch_faults(f"{path}.interval", one, contract, billing)
        yield from _scope_faults(path, one.applies_to, lines)
        yield from order_faults(path, "commitment", one.starts_on, one.ends_on)
        if one.kind == CommitmentKind.QUANTITY:
            if len(one.applies_to) != 1:
                yield FieldError(f"{path}.applies_to", "invalid", "a committed quantity is of one price: name it")
            yield from _units_faults(f"{path}.applies_to", one.applies_to, lines)
        yield from _cap_faults(path, one, commitments)


def _cap_faults(path: str, one: CommitmentDraft, commitments: Sequence[CommitmentDraft]) -> Iterator[FieldError]:
    """What must be spent may be spent: no minimum is above a cap of the same prices, stretch and days."""
    if one.kind != CommitmentKind.MINIMUM:
        return
    for cap in commitments:
        alike = cap.interval == one.interval and set(cap.applies_to) == set(one.applies_to)
        meet = overlap(cap.starts_on, cap.ends_on, one.starts_on, one.ends_on)
        if cap.kind != CommitmentKind.CAP or not alike or not meet or cap.amount is None or one.amount is None:
            continue
        if one.amount > cap.amount:
            detail = f"a minimum of {one.amount:f} is above the cap of {cap.amount:f} on the same days"
            yield FieldError(f"{path}.amount", "contradiction", detail)


def _size_faults(path: str, one: CommitmentDraft, contract: Contract) -> Iterator[FieldError]:
    needed, other = ("quantity", "amount") if one.kind == CommitmentKind.QUANTITY else ("amount", "quantity")
    if getattr(one, needed) is None:
        yield FieldError(f"{path}.{needed}", "invalid", f"a commitment of the kind {one.kind} needs its {needed}")
    if getattr(one, other) is not None:
        yield FieldError(f"{path}.{other}", "invalid", f"a commitment of the kind {one.kind} has no {other}")
    yield from _money_faults(f"{path}.amount", one.amount, contract)
    if one.quantity is not None and one.quantity < 0:
        yield FieldError(f"{path}.quantity", "invalid", "a quantity is not negative")


def _overage_faults(path: str, one: CommitmentDraft) -> Iterator[FieldError]:
    if one.overage_factor is None:
        return
    if one.overage_factor < 1:
        yield FieldError(f"{path}.overage_factor", "invalid", "an overage factor is at least 1")
    if one.kind == CommitmentKind.CAP:
        yield FieldError(f"{path}.overage_factor", "invalid", "nothing is charged beyond a cap")


def _stretch_faults(path: str, one: CommitmentDraft, contract: Contract, billing: int) -> Iterator[FieldError]:
    """The stretches a commitment is counted in are whole billing periods, and come to an end."""
    if not one.interval:
        return
    if one.kind == CommitmentKind.QUANTITY:
        yield FieldError(path, "invalid", "a committed quantity is for each interval of its price; give the price one")
    elif one.interval not in INTERVALS:
        yield FieldError(path, "invalid", f"interval is one of {', '.join(INTERVALS)}")
    elif INTERVALS.index(one.interval) < billing:
        detail = f"the contract is billed by the {INTERVALS[billing]}, so a commitment is at least as long"
        yield FieldError(path, "invalid", detail)
    elif one.interval == "term" and contract.ends_on is None and one.ends_on is None:
        detail = "the contract has no end, so its term has none; give the commitment an interval, or an until"
        yield FieldError(path, "invalid", detail)


def grant_faults(contract: Contract, grants: Sequence[GrantDraft], lines: OfLines) -> Iterator[FieldError]:
    yield from doubles("credits", grants)
    for index, grant in enumerate(grants):
        path = f"credits[{index}]"
        if grant.kind not in GrantKind.values:
            yield FieldError(f"{path}.kind", "invalid", f"a grant is {' or '.join(GrantKind.values)}")
        if grant.amount <= 0:
            yield FieldError(f"{path}.amount", "invalid", "a grant is above zero")
        else:
            yield from _money_faults(f"{path}.amount", grant.amount, contract)
        yield from _scope_faults(path, grant.applies_to, lines)
        if grant.expires_on is not None and grant.expires_on <= grant.starts_on:
            yield FieldError(f"{path}.expires_on", "order", "a grant expires after it begins")


def doubles(name: str, terms: Sequence[Any]) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, term in enumerate(terms):
        if term.key in seen:
            yield FieldError(f"{name}[{index}].key", "duplicate", f"the key {term.key} is there twice")
        seen.add(term.key)


def _scope_faults(path: str, keys: Sequence[str], lines: OfLines) -> Iterator[FieldError]:
    known = {price.key for _, prices in lines for price in prices}
    for key in keys:
        if key not in known:
            yield FieldError(f"{path}.applies_to", "unknown", f"no line of the contract has a price {key}")


def _units_faults(path: str, keys: Sequence[str], lines: OfLines) -> Iterator[FieldError]:
    """Units are of prices that charge for a quantity of use."""
    if not keys:
        yield FieldError(path, "missing", "units are of a price: name it")
    for price in (price for _, prices in lines for price in prices if price.key in keys):
        try:
            counts = price.kind == PriceKind.USAGE and price.rule().counts_units and not price.window
        except InvalidPrice:
            continue  # said elsewhere
        if not counts:
            detail = f"{price.key} is {price.get_model_display().lower()}, which charges for no quantity of use"
            yield FieldError(path, "invalid", detail)


def order_faults(path: str, what: str, starts_on: dt.date, ends_on: dt.date | None) -> Iterator[FieldError]:
    if ends_on is not None and ends_on <= starts_on:
        article = "an" if what[0] in "aeiou" else "a"
        yield FieldError(f"{path}.until", "order", f"{article} {what} ends after it starts")


def _money_faults(path: str, amount: Decimal | None, contract: Contract) -> Iterator[FieldError]:
    if amount is None:
        return
    places = minor_places(contract.currency)
    if amount < 0:
        yield FieldError(path, "invalid", "an amount is not negative")
    elif quantize(amount, places) != amount:
        yield FieldError(path, "precision", f"an amount in {contract.currency} has at most {places} decimals")


def _meet(line: LineDraft, override: OverrideDraft) -> bool:
    return overlap(line.starts_on, line.ends_on, override.starts_on, override.ends_on)


def overlap(one: dt.date, one_until: dt.date | None, other: dt.date, other_until: dt.date | None) -> bool:
    return (one_until is None or other < one_until) and (other_until is None or one < other_until)
