"""The terms of a contract as people read them: on the console, before and after a deed."""

from __future__ import annotations

import datetime as dt
from copy import copy
from typing import Any

from catalog.models import NUMBERS, PLAIN, Price, PriceTier
from catalog.money import exact
from catalog.wording import allowance_words, entitlement_words, figure, money_words, price_words
from contracts.extending import Renewal, notice_day
from contracts.models import (
    AllowanceTerm,
    Commitment,
    CommitmentKind,
    Contract,
    ContractLine,
    CreditGrant,
    Discount,
    DiscountKind,
    GrantKind,
    OneTimeTerm,
    PriceOverride,
)
from contracts.terms import overridden

INTERVALS = {
    "": "billing period",
    "day": "day",
    "week": "week",
    "month": "month",
    "quarter": "quarter",
    "half_year": "half-year",
    "year": "year",
}


def days_words(starts_on: dt.date, ends_on: dt.date | None) -> str:
    """ "from 2026-01-01 until 2026-07-01"; the second is the first day out."""
    return f"from {starts_on}" + (f" until {ends_on}" if ends_on else "")


def scope_words(applies_to: list[str]) -> str:
    return ", ".join(applies_to) if applies_to else "everything in the period"


def line_words(line: ContractLine) -> str:
    said = f"{line.plan_version}, {figure(line.quantity)} {days_words(line.starts_on, line.ends_on)}"
    if line.uplift_percent:
        more = "more" if line.uplift_percent > 0 else "less"
        said += f", all prices {figure(abs(line.uplift_percent))} % {more}"
    days = line.plan_version.trial_days if line.trial_days is None else line.trial_days
    return f"{said}, the first {days} days free" if days else said


def override_words(override: PriceOverride, price: Price | None, currency: str) -> str:
    """The price as it is charged then; without the price only the numbers that are said."""
    if price is not None:
        return price_words(under_override(price, override.terms), currency)
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in override.terms.items())


def under_override(price: Price, terms: dict[str, Any]) -> Price:
    """A price as an override lets it charge; it is not stored."""
    said = overridden(price.terms(), terms)
    other = copy(price)
    other.model = said["model"]
    for name in NUMBERS:
        setattr(other, name, _number(said.get(name)))
    for name, plain in PLAIN.items():
        setattr(other, name, _number(said.get(name, plain)))
    conversion = said.get("unit_conversion") or {}
    other.conversion_op = conversion.get("op", "")
    other.conversion_factor = _number(conversion.get("factor"))
    tiers = [PriceTier(**{name: _number(value) for name, value in tier.items()}) for tier in said.get("tiers", ())]
    other._prefetched_objects_cache = {"tiers": tiers}  # type: ignore[attr-defined]
    return other


def _number(value: Any) -> Any:
    """Numbers are kept as decimal strings; what is no number is left as it is."""
    if not isinstance(value, str):
        return value
    try:
        return exact(value)
    except ValueError:
        return value


def discount_words(discount: Discount, currency: str) -> str:
    value, scope = figure(discount.value), scope_words(discount.applies_to)
    match discount.kind:
        case DiscountKind.PERCENT:
            said = f"{value} % off {scope}"
        case DiscountKind.QUANTITY:
            said = f"{value} units of {scope} free in each period"
        case _:
            said = f"{money_words(discount.value, currency)} off {scope}, in each period"
    if discount.total is not None:
        said += f"; it runs out after {money_words(discount.total, currency)}"
    return said


def commitment_words(commitment: Commitment, currency: str) -> str:
    amount = money_words(commitment.amount or 0, currency)
    span = "in the whole term" if commitment.interval == "term" else f"each {INTERVALS[commitment.interval]}"
    scope = f" for {', '.join(commitment.applies_to)}" if commitment.applies_to else ""
    match commitment.kind:
        case CommitmentKind.MINIMUM:
            said = [f"at least {amount}{scope} {span}"]
        case CommitmentKind.QUANTITY:
            said = [f"at least {figure(commitment.quantity or 0)} units of {scope_words(commitment.applies_to)}"]
        case CommitmentKind.PREPAID:
            said = [f"{amount} paid ahead {span}, drawn down by what is charged{scope}"]
        case _:
            said = [f"at most {amount}{scope} {span}"]
    if commitment.kind in (CommitmentKind.MINIMUM, CommitmentKind.QUANTITY) and not commitment.true_up:
        said.append("what is missing is not charged")
    if commitment.overage_factor is not None:
        said.append(f"beyond it {figure(commitment.overage_factor)} times the price")
    if not commitment.prorate:
        said.append("in full also where a stretch is not whole")
    return "; ".join(said)


def grant_words(grant: CreditGrant, currency: str) -> str:
    amount = money_words(grant.amount, currency)
    scope = f" on {', '.join(grant.applies_to)}" if grant.applies_to else ""
    if grant.kind == GrantKind.PROMOTIONAL:
        said = f"{amount} given away, spent{scope} before tax"
    else:
        said = f"{amount} paid for elsewhere, pays what is due{scope}"
    return f"{said}; priority {grant.priority}" if grant.priority != 1 else said


def grant_title(grant: CreditGrant) -> str:
    expires = f", expires {grant.expires_on}" if grant.expires_on else ""
    return f"{grant.name or 'Credit'} from {grant.starts_on}{expires}"


def renewal_words(contract: Contract) -> str:
    """How it goes on at its end; empty where it has none."""
    if contract.ends_on is None:
        return ""
    agreed = Renewal.of(contract)
    months = f"{agreed.months} month{'' if agreed.months == 1 else 's'}"
    more = f" at {figure(agreed.uplift_percent)} % more" if agreed.uplift_percent else ""
    if not agreed.auto:
        return f"ends on {contract.ends_on} unless it is renewed"
    return f"renews by itself on {notice_day(contract)} for {months}{more} from {contract.ends_on}, unless cancelled"


def conditions_in_words(contract: Contract) -> list[tuple[str, str]]:
    """What the contract says beside its terms, where it is not as usual."""
    said = []
    if contract.bill_day:
        said.append(("Billed", f"on day {contract.bill_day} of the month, or its last"))
    if contract.renewal_auto:
        said.append(("At its end", renewal_words(contract)))
    return said


def terms_in_words(contract: Contract) -> list[tuple[str, str]]:
    """The terms in force as (what, how much), in the order of the contract; a heading says no amount."""
    currency = contract.currency
    said: list[tuple[str, str]] = []
    overrides = list(contract.overrides.in_force())
    for line in contract.lines.in_force().select_related("plan_version__plan"):
        said.append((line_words(line), ""))
        prices = {price.key: price for price in line.plan_version.prices.prefetch_related("tiers", "meter")}
        given = line.plan_version.entitlements.select_related("feature", "meter")
        said += [(str(price), price_words(price, line.plan_version.currency)) for price in prices.values()]
        for one in [one for one in overrides if one.line == line.key and one.price in prices and _meet(one, line)]:
            title = f"{prices[one.price]} instead, {days_words(one.starts_on, one.ends_on)}"
            said.append((title, override_words(one, prices[one.price], currency)))
        said += [(one.feature.name, entitlement_words(one)) for one in given]
    said += [(term_title(row), words) for row, words in _others_in_words(contract)]
    return said + conditions_in_words(contract)


def _others_in_words(contract: Contract) -> list[tuple[Any, str]]:
    currency = contract.currency
    return [
        *((one, discount_words(one, currency)) for one in contract.discounts.in_force()),
        *((one, commitment_words(one, currency)) for one in contract.commitments.in_force()),
        *((one, grant_words(one, currency)) for one in contract.credits.in_force()),
        *((one, money_words(one.amount, currency)) for one in contract.one_time_terms.in_force()),
        *((one, agreed_allowance_words(one)) for one in contract.entitlements.in_force()),
    ]


def features_in_words(contract: Contract) -> list[tuple[str, str]]:
    """What the lines in force give and what the contract says otherwise, as (feature, words)."""
    lines = contract.lines.in_force().prefetch_related(
        "plan_version__entitlements__feature", "plan_version__entitlements__meter"
    )
    said = [(one.feature.key, entitlement_words(one)) for line in lines for one in line.plan_version.entitlements.all()]
    own = contract.entitlements.in_force()
    return said + [
        (row.feature, f"{agreed_allowance_words(row)}, {days_words(row.starts_on, row.ends_on)}") for row in own
    ]


def agreed_allowance_words(term: AllowanceTerm) -> str:
    return allowance_words(term) + (f" ({term.reason})" if term.reason else "")


def term_title(row: Any) -> str:
    """What a term is called, with its days."""
    match row:
        case OneTimeTerm():
            return f"{row.description}, once on {row.on}"
        case CreditGrant():
            return grant_title(row)
        case Commitment():
            return f"{row.get_kind_display().capitalize()} {days_words(row.starts_on, row.ends_on)}"
        case Discount():
            return f"Discount {days_words(row.starts_on, row.ends_on)}"
        case AllowanceTerm():
            return f"{row.feature} {days_words(row.starts_on, row.ends_on)}"
        case PriceOverride():
            return f"{row.price} instead, {days_words(row.starts_on, row.ends_on)}"
        case ContractLine():
            return line_words(row)
    return str(row)


def _meet(override: PriceOverride, line: ContractLine) -> bool:
    begins = line.ends_on is None or override.starts_on < line.ends_on
    return begins and (override.ends_on is None or line.starts_on < override.ends_on)


def suggested_key(contract: Contract, name: str, singular: str) -> str:
    """A key that no term of the kind has ever had on this contract."""
    taken = set(getattr(contract, name).values_list("key", flat=True))
    number = next(number for number in range(1, len(taken) + 2) if f"{singular}-{number}" not in taken)
    return f"{singular}-{number}"


def seen_terms(contract: Contract, at: dt.datetime) -> dict[str, str]:
    """What the contract says, by what it says it of, to compare before and after a deed."""
    currency = contract.currency
    until = f"until {contract.ends_on}" if contract.ends_on else "without an end"
    said = {"It runs": f"from {contract.starts_on} {until}", "At its end": renewal_words(contract)}
    prices: dict[tuple[str, str], Price] = {}
    lines: dict[str, list[str]] = {}
    for line in contract.lines.in_force().select_related("plan_version__plan"):
        lines.setdefault(f"Line {line.key}", []).append(line_words(line))
        for price in line.plan_version.prices.prefetch_related("tiers"):
            prices[line.key, price.key] = price
    said |= {subject: "; then ".join(words) for subject, words in lines.items()}
    said |= {f"{price} ({key})": price_words(price, currency) for (key, _), price in prices.items()}
    for one in contract.overrides.in_force():
        subject = f"Override of {one.price} ({one.line})"
        words = f"{override_words(one, prices.get((one.line, one.price)), currency)}, {_days_of(one)}"
        said[subject] = f"{said[subject]}; then {words}" if subject in said else words
    for row, words in _others_in_words(contract):
        said[f"{str(row._meta.verbose_name).capitalize()} {row.key}"] = f"{words}, {_days_of(row)}"
    return {subject: words for subject, words in said.items() if words}


def _days_of(row: Any) -> str:
    if isinstance(row, OneTimeTerm):
        return f"on {row.on}"
    return days_words(row.starts_on, row.expires_on if isinstance(row, CreditGrant) else row.ends_on)
