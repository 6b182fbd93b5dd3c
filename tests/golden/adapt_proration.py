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
    share_of_period,
)
from catalog.money import ZERO, decimal_of, exact_sum
from catalog.pricing import PerUnit, PriceRule
from tests.golden.vocabulary import Input, Outcome, adapts, fraction, instant, number, optional, rounding, whole, zone

UTC = ZoneInfo("UTC")
SERVICE = ("service_start", "service_end", "period_start", "period_end", "method", "month_days")
CHANGE = ("change_at", "period_start", "period_end", "method", "fraction", "rounding", "net_rounding")


def share(input: Input, start: str = "service_start", end: str = "service_end") -> Share:
    """The part that was used, given as a fraction or as instants; golden days are days in UTC."""
    if "fraction" in input:
        return fraction(input["fraction"])
    method = input.get("method", "days")
    if method == "fixed_month_days":
        days = whole(input.get("month_days", "30"))
        return share_of_fixed_months(instant(input[start]), instant(input[end]), UTC, days)
    assert method in ("days", "seconds"), method
    edges = (start, end, "period_start", "period_end")
    first, last, period_start, period_end = (instant(input[edge]) for edge in edges)
    return share_of_period(first, last, period_start, period_end, UTC, method)


@adapts("ratio", "fraction", "rounding", *SERVICE)
def ratio(input: Input) -> Outcome:
    used, to = share(input), rounding(input.get("rounding"))
    exact = decimal_of(used.ratio) if to is None else to.of(used.ratio)
    return {"numerator": used.numerator, "denominator": used.denominator, "ratio": exact}


@adapts("amount", "amount", "fraction", "rounding", *SERVICE)
def amount(input: Input) -> Outcome:
    return {"amount": prorate(number(input["amount"]), share(input), rounding(input.get("rounding")))}


@adapts("full_plus_partial", "amount", "full_periods", "fraction", "rounding", *SERVICE)
def full_plus_partial(input: Input) -> Outcome:
    full, to = whole(input["full_periods"]), rounding(input.get("rounding"))
    return {"amount": prorate(number(input["amount"]), share(input), to, full)}


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


def full_price(value: Input | None) -> Decimal:
    if value is None:
        return ZERO
    assert set(value) <= {"unit_amount", "quantity"}, value
    price = PriceRule(PerUnit(number(value["unit_amount"])))
    return charge(price, number(value.get("quantity", "1")), None).amount


@adapts("multi_change", "credits", "charges", *CHANGE)
def multi_change(input: Input) -> Outcome:
    remaining, to = share(input, "change_at", "period_end"), rounding(input.get("rounding"))
    credits = [change(number(full), ZERO, remaining, to).credit for full in input["credits"]]
    charges = [change(ZERO, number(full), remaining, to).charge for full in input["charges"]]
    return {"credits": credits, "charges": charges, "net": exact_sum(credits + charges)}


@adapts("deferred_change", "old", "new", *CHANGE)
def deferred_change(input: Input) -> Outcome:
    new = number(input["new"])
    done = change(
        number(input["old"]),
        new,
        share(input, "change_at", "period_end"),
        rounding(input.get("rounding")),
    )
    return {
        "credit": done.credit,
        "charge": done.charge,
        "next_invoice": exact_sum([new, done.credit, done.charge]),
    }


@adapts("credit_cap", "potential_credit", "original_amount", "previous_credits")
def credit_cap(input: Input) -> Outcome:
    names = ("potential_credit", "original_amount", "previous_credits")
    potential, original, previous = (number(input.get(name, "0")) for name in names)
    return {"credit": capped_credit(potential, original, previous)}


@adapts("days_between", "start", "end", "calendar", "timezone")
def days(input: Input) -> Outcome:
    assert input.get("calendar", "utc") in ("utc", "local"), input["calendar"]
    where = UTC if input.get("calendar", "utc") == "utc" else zone(input)
    return {"days": days_between(instant(input["start"]), instant(input["end"]), where)}
