"""Numbers, money and prices as people read them: on the console and on documents."""

from __future__ import annotations

import datetime as dt
from calendar import monthrange
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from catalog.entitlements import Entitlement, EntitlementKind, OnLimit, Reset
from catalog.entitling import EntitlementDraft, RolloverDraft, draft_of, rollover_of
from catalog.models import BillingTime, Price, PriceKind, PriceModel, PriceTier
from catalog.money import exact, minor_places, money_text, quantity_text, round_money


def figure(number: Decimal | int | str) -> str:
    """A number with thousands separators and no trailing zeros: "1,234.5"."""
    return f"{Decimal(quantity_text(exact(number))):,f}"


def money_figure(amount: Decimal | int | str, currency: str) -> str:
    """An amount in the currency's places, with thousands separators: "1,234.50"."""
    return f"{Decimal(money_text(exact(amount), currency)):,f}"


def money_words(amount: Decimal | int | str, currency: str) -> str:
    """An amount with its currency: "1,234.50 EUR"."""
    return f"{money_figure(amount, currency)} {currency}"


def about_figure(amount: Decimal | int | str, currency: str) -> str:
    """An estimate in the currency's places: "1,234.50", or "< 0.01" for what is less than the smallest of them."""
    amount = exact(amount)
    rounded = round_money(amount, currency)
    smallest = Decimal(1).scaleb(-minor_places(currency))
    return money_figure(rounded, currency) if rounded or not amount else f"< {smallest:f}"


def price_figure(amount: Decimal | int | str, currency: str) -> str:
    """A price: the currency's places, or as many more as it has."""
    amount = exact(amount)
    return money_figure(amount, currency) if round_money(amount, currency) == amount else figure(amount)


def signed_figure(number: Decimal | int | str) -> str:
    """A number that is a change: "+1,234.5", "-3", "0"."""
    return f"+{figure(number)}" if exact(number) > 0 else figure(number)


def period_words(first: dt.date, after_last: dt.date) -> str:
    """Days, the second being the one after the last: "Sep 2026" for a calendar month, else "15 Sep to 14 Oct 2026"."""
    last = after_last - dt.timedelta(days=1)
    if first.day == 1 and last == first.replace(day=monthrange(first.year, first.month)[1]):
        return f"{first:%b %Y}"
    if first == last:
        return f"{last.day} {last:%b %Y}"
    year = "" if first.year == last.year else f" {first.year}"
    return f"{first.day} {first:%b}{year} to {last.day} {last:%b %Y}"


def price_words(price: Price, currency: str) -> str:
    """What a price charges, in a sentence without a verb: "0.002 up to 10,000, then 0.001; at least 5.00 EUR"."""
    said = [_charge(price, currency)]
    if price.filters:
        taken = "; ".join(f"{name} {' or '.join(map(str, values))}" for name, values in price.filters.items())
        said.append(f"for {taken}")
    if price.conversion_op and price.conversion_factor is not None:
        sign = "times" if price.conversion_op == "multiply" else "divided by"
        said.append(f"units {sign} {figure(price.conversion_factor)}")
    if price.window:
        said.append(f"in windows of {price.window}")
    if price.included:
        said.append("the allowance included")
    if price.included_units:
        said.append(f"the first {figure(price.included_units)} included")
    if price.minimum_amount is not None:
        said.append(f"at least {price_figure(price.minimum_amount, currency)}")
    if price.maximum_amount is not None:
        said.append(f"at most {price_figure(price.maximum_amount, currency)}")
    if price.interval:
        said.append(f"every {price.get_interval_display().lower()}")
    if price.kind == PriceKind.RECURRING and price.billing == BillingTime.IN_ADVANCE:
        said.append("in advance")
    return "; ".join(said)


def _charge(price: Price, currency: str) -> str:
    tiers = list(price.tiers.all())
    match price.model:
        case PriceModel.STAIRSTEP:
            bands = ", ".join(_band(tier, currency) for tier in tiers)
            return f"{bands} {currency}" + (", all bands reached together" if price.cumulative else "")
        case PriceModel.GRADUATED_PERCENTAGE:
            return ", then ".join(_rate(tier, currency) for tier in tiers)
        case PriceModel.GRADUATED_BY_DIMENSION:
            return f"by {price.dimension}: {', then '.join(_by_value(tier, currency) for tier in tiers)} {currency}"
        case PriceModel.PERCENTAGE:
            return _percentage(price, currency)
        case PriceModel.DYNAMIC:
            times = "" if price.multiplier in (None, 1) else f" times {figure(price.multiplier)}"
            return f"the amounts of the events{times}"
    if tiers:
        joint = ", then " if price.model == PriceModel.GRADUATED else ", or all at "
        first = "" if price.model == PriceModel.GRADUATED else "all at "
        return f"{first}{joint.join(_tier(tier, currency) for tier in tiers)} {currency}"
    if price.package_amount is not None and price.package_size is not None:
        return f"{price_figure(price.package_amount, currency)} {currency} per {figure(price.package_size)}"
    if price.unit_amount is not None:
        return f"{price_figure(price.unit_amount, currency)} {currency} each"
    if price.flat_amount is not None:
        return f"{price_figure(price.flat_amount, currency)} {currency}"
    return "no amount yet"


def _tier(tier: PriceTier, currency: str) -> str:
    amount = price_figure(tier.unit_amount or 0, currency)
    if tier.flat_amount:
        flat = price_figure(tier.flat_amount, currency)
        amount = f"{flat} + {amount} each" if tier.unit_amount else flat
    return f"{amount} up to {figure(tier.up_to)}" if tier.up_to is not None else f"{amount} above"


def _band(tier: PriceTier, currency: str) -> str:
    amount = price_figure(tier.flat_amount, currency)
    return f"{amount} up to {figure(tier.up_to)}" if tier.up_to is not None else f"{amount} above"


def _rate(tier: PriceTier, currency: str) -> str:
    flat = f" + {price_figure(tier.flat_amount, currency)} {currency}" if tier.flat_amount else ""
    bound = f"up to {figure(tier.up_to)}" if tier.up_to is not None else "above"
    return f"{figure(tier.rate_percent)} %{flat} {bound}"


def _by_value(tier: PriceTier, currency: str) -> str:
    amounts = [f"{value} {price_figure(amount, currency)}" for value, amount in tier.unit_amounts.items()]
    if tier.unit_amount is not None:
        amounts.append(f"others {price_figure(tier.unit_amount, currency)}")
    bound = f"up to {figure(tier.up_to)}" if tier.up_to is not None else "above"
    return f"{', '.join(amounts)} {bound}"


def _percentage(price: Price, currency: str) -> str:
    said = [f"{figure(price.rate_percent or 0)} %"]
    if price.fixed_amount:
        said.append(f"{price_figure(price.fixed_amount, currency)} {currency} an event")
    text = " + ".join(said)
    if price.per_transaction_min is not None:
        text += f", at least {price_figure(price.per_transaction_min, currency)} an event"
    if price.per_transaction_max is not None:
        text += f", at most {price_figure(price.per_transaction_max, currency)} an event"
    if price.free_events:
        text += f", the first {price.free_events:,} events free"
    if price.free_amount:
        text += f", the first {price_figure(price.free_amount, currency)} free"
    return text


def entitlement_words(row: Entitlement) -> str:
    """What a version lets a customer use: "1,000 tokens each billing period, then no access; told at 50, 90, 100 %"."""
    return given_words(draft_of(row), row.meter.unit if row.meter else "")


def given_words(draft: EntitlementDraft, unit: str = "") -> str:
    """The same of what an entitlement is to be."""
    if draft.kind != EntitlementKind.METERED:
        return _value(draft.value)
    said = [_limit(draft.limit, unit, Reset(draft.reset).label)]
    if draft.limit is not None:
        said[0] += f", then {OnLimit(draft.on_limit).label}"
        said += _told(draft.thresholds) + _rolling(draft.rollover)
    return "; ".join(said)


def allowance_words(term: Any) -> str:
    """What a contract says of a feature otherwise; nothing of what stays as the plan has it."""
    said = []
    if term.value is not None:
        said.append(_value(term.value))
    if term.unlimited or term.limit is not None:
        said.append(_limit(None if term.unlimited else term.limit, "", term.get_reset_display() if term.reset else ""))
    if term.extra is not None:
        said.append(f"{figure(term.extra)} more")
    if term.on_limit:
        said.append(f"then {term.get_on_limit_display()}")
    if term.thresholds is not None:
        said += _told(term.thresholds)
    return "; ".join([*said, *_rolling(rollover_of(term))]) or "on"


def _value(value: Any) -> str:
    if value in (None, True):
        return "on"
    if value is False:
        return "off"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _limit(limit: Decimal | None, unit: str, reset: str) -> str:
    amount = "as much as they like" if limit is None else f"{figure(limit)} {unit}".strip()
    return f"{amount} each {reset.lower()}" if reset and limit is not None else amount


def _told(thresholds: Sequence[int]) -> list[str]:
    return [f"told at {', '.join(map(str, thresholds))} %"] if thresholds else ["told nothing"]


def _rolling(rollover: RolloverDraft | None) -> list[str]:
    if rollover is None:
        return []
    most = "" if rollover.cap is None else f", at most {figure(rollover.cap)}"
    periods = "a period" if rollover.periods == 1 else f"{rollover.periods} periods"
    return [f"{figure(rollover.percent)} % of what is left stays for {periods}{most}"]
