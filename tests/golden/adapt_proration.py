"""Proration: shares of a period, and what a change inside it credits and charges."""

from decimal import Decimal
from zoneinfo import ZoneInfo

from billing.rating.charges import charge
from billing.rating.proration import (
    Share,
    capped_credit,
    change,
    days_between,
    prorate,
    share_of_fixed_months,
    share_of_month,
    share_of_period,
)
from catalog.money import ONE, ZERO, exact_sum, rounded
from catalog.pricing import PerUnit, PriceRule
from tests.golden.vocabulary import (
    Input,
    Outcome,
    adapts,
    chosen,
    day,
    fraction,
    instant,
    number,
    optional,
    rounding,
    whole,
    zone,
)

UTC = ZoneInfo("UTC")
COMMON = ("period_start", "period_end", "method", "month_days", "fraction", "rounding", "timezone")
SERVICE = ("service_start", "service_end", "first_day", "last_day", *COMMON)
CHANGE = ("change_at", "net_rounding", *COMMON)
MONTHS = ("month_actual", "month_30_actual_days", "month_30_360")


def share(input: Input, start: str = "service_start", end: str = "service_end") -> Share:
    """The part that was used, given as a fraction or as instants; golden days are days in UTC."""
    if input.get("fraction"):
        return fraction(input["fraction"])
    method = chosen(input, "method", "days", "seconds", "fixed_month_days", *MONTHS)
    if method in MONTHS:
        return share_of_month(day(input["first_day"]), day(input["last_day"]), method)
    if method == "fixed_month_days":
        days = whole(input.get("month_days") or "30")
        return share_of_fixed_months(instant(input[start]), instant(input[end]), UTC, days)
    edges = (start, end, "period_start", "period_end")
    first, last, period_start, period_end = (instant(input[edge]) for edge in edges)
    return share_of_period(first, last, period_start, period_end, UTC, method)


@adapts("ratio", *SERVICE)
def ratio_of(input: Input) -> Outcome:
    used = share(input)
    ratio = rounded(used.ratio, rounding(input.get("rounding")))
    return {"numerator": used.numerator, "denominator": used.denominator, "ratio": ratio}


@adapts("amount", "amount", *SERVICE)
def amount(input: Input) -> Outcome:
    return {"amount": prorate(number(input["amount"]), share(input), rounding(input.get("rounding")))}


@adapts("full_plus_partial", "amount", "full_periods", *SERVICE)
def full_plus_partial(input: Input) -> Outcome:
    """Full periods alone, where no part is named."""
    full, to = whole(input.get("full_periods") or "0"), rounding(input.get("rounding"))
    begun = any(input.get(name) for name in ("fraction", "service_start", "first_day"))
    partial = share(input) if begun else Share(ZERO, ONE)
    return {"amount": prorate(number(input["amount"]), partial, to, full)}


@adapts("change", "old", "new", "credit_cap", *CHANGE)
def change_of_price(input: Input) -> Outcome:
    done = change(
        full_price(input.get("old")),
        full_price(input.get("new")),
        share(input, "change_at", "period_end"),
        rounding(input.get("rounding")),
        credit_cap=optional(input.get("credit_cap")),
        net_rounding="sum_of_rounded" if input.get("net_rounding") == "sum_of_rounded" else "rounded_difference",
    )
    return {"credit": done.credit, "charge": done.charge, "net": done.net}


def full_price(value: Input | str | None) -> Decimal:
    """What a plan costs for the whole period, given as an amount or as a price and a quantity."""
    if value is None or isinstance(value, str):
        return optional(value) or ZERO
    assert set(value) <= {"unit_amount", "quantity"}, value
    price = PriceRule(PerUnit(number(value["unit_amount"])))
    return charge(price, number(value.get("quantity") or "1"), None).amount


@adapts("multi_change", "credits", "charges", *CHANGE)
def multi_change(input: Input) -> Outcome:
    """The net is the sum of the items as rounded, unless the case names another policy."""
    remaining, to = share(input, "change_at", "period_end"), rounding(input.get("rounding"))
    old, new = ([number(full) for full in input.get(name) or []] for name in ("credits", "charges"))
    credits = [change(full, ZERO, remaining, to).credit for full in old]
    charges = [change(ZERO, full, remaining, to).charge for full in new]
    net = exact_sum(credits + charges)
    if input.get("net_rounding") not in (None, "sum_of_rounded"):
        together = change(exact_sum(old), exact_sum(new), remaining, to, net_rounding="rounded_difference")
        net = together.net
    return {"credits": credits, "charges": charges, "net": net}


@adapts("deferred_change", "old", "new", *CHANGE)
def deferred_change(input: Input) -> Outcome:
    old, new = (full_price(input.get(name)) for name in ("old", "new"))
    done = change(old, new, share(input, "change_at", "period_end"), rounding(input.get("rounding")))
    next_invoice = exact_sum([new, done.credit, done.charge])
    return {"credit": done.credit, "charge": done.charge, "next_invoice": next_invoice}


@adapts("credit_cap", "potential_credit", "original_amount", "previous_credits")
def credit_cap(input: Input) -> Outcome:
    names = ("potential_credit", "original_amount", "previous_credits")
    potential, original, previous = (number(input.get(name) or "0") for name in names)
    return {"credit": capped_credit(potential, original, previous)}


@adapts("days_between", "start", "end", "calendar", "timezone")
def days_of(input: Input) -> Outcome:
    where = UTC if chosen(input, "calendar", "utc", "local") == "utc" else zone(input)
    return {"days": days_between(instant(input["start"]), instant(input["end"]), where)}
