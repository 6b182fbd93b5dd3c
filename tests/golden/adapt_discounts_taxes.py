"""Discounts, taxes, currencies and splitting."""

from typing import Any

from billing.rating.discounts import DiscountableLine, LineDiscount, apply_discounts
from billing.rating.taxes import TaxableLine, tax_lines
from catalog.money import (
    UnableToSplit,
    UnknownCurrency,
    exact_sum,
    minor_places,
    minor_units,
    money_rounding,
    round_money,
    split,
)
from tests.golden.vocabulary import Input, Outcome, adapts, chosen, number, rounding, whole


def line_discount(value: Input) -> LineDiscount:
    assert set(value) <= {"type", "value", "lines", "used"}, value
    assert value["type"] in ("percent", "fixed"), value
    return LineDiscount(
        kind="percent" if value["type"] == "percent" else "amount",
        value=number(value["value"]),
        lines=frozenset(value["lines"]) if value.get("lines") is not None else None,
        used=number(value.get("used", "0")),
    )


def discountable(value: Input) -> DiscountableLine:
    assert set(value) <= {"id", "amount", "already_discounted"}, value
    already = number(value.get("already_discounted", "0"))
    return DiscountableLine(value["id"], number(value["amount"]), already)


@adapts("discounts", "lines", "discounts", "rounding", "order", "share_method", "share_rounding")
def discounts(input: Input) -> Outcome:
    order: Any = "percent_first" if input.get("order") == "percent_first" else "as_given"
    assert input.get("order") in (None, "percent_first", "as_given", "application_order"), input["order"]
    spread = chosen(input, "share_method", "proportional", "largest_remainder", "sequential")
    done = apply_discounts(
        [discountable(line) for line in input["lines"]],
        [line_discount(discount) for discount in input["discounts"]],
        rounding(input.get("rounding")),
        order=order,
        spread=spread,
        share_rounding=rounding(input.get("share_rounding")),
    )
    return {
        "discount_total": done.total,
        "subtotal_after": done.subtotal_after,
        "line_discounts": done.line_discounts,
        "line_nets": done.line_nets,
    }


def taxable(value: Input) -> TaxableLine:
    assert set(value) <= {"id", "amount", "discount", "rates"}, value
    rates = tuple(number(rate) for rate in value["rates"])
    return TaxableLine(number(value["amount"]), rates, number(value.get("discount", "0")))


@adapts("tax", "behavior", "lines", "rounding", "round_per", "compound", "inclusive_rounding", "exempt")
def tax(input: Input) -> Outcome:
    done = tax_lines(
        [taxable(line) for line in input["lines"]],
        rounding(input.get("rounding")),
        behavior=chosen(input, "behavior", "exclusive", "inclusive"),
        round_per=chosen(input, "round_per", "line", "rate", "line_then_total_of_unrounded"),
        compound=bool(input.get("compound")),
        inclusive_rounding=chosen(input, "inclusive_rounding", "tax", "net"),
        exempt=bool(input.get("exempt")),
    )
    return {
        "tax_total": done.tax_total,
        "line_taxes": done.line_taxes,
        "rate_taxes": [tax for line in done.rate_taxes for tax in line],
        "net_total": done.net_total,
        "total": done.total,
    }


@adapts("round_currency", "amount", "rounding")
def round_currency(input: Input) -> Outcome:
    """By our own rule for the currency, unless the case asks for another."""
    amount, to = number(input["amount"]), rounding(input.get("rounding"))
    if to in (None, money_rounding(input["currency"])):
        return {"amount": round_money(amount, input["currency"])}
    return {"amount": to.of(amount)}


@adapts("currency_precision", "currencies")
def currency_precision(input: Input) -> Outcome:
    return {"precisions": {currency: places(currency) for currency in input["currencies"]}}


def places(currency: str) -> int | None:
    try:
        return minor_places(currency)
    except UnknownCurrency:
        return None


@adapts("minor_units", "amount", "minor_digits")
def minor_units_of(input: Input) -> Outcome:
    return {"minor": minor_units(number(input["amount"]), whole(input["minor_digits"]))}


@adapts("minor_units_step", "amount", "minor_digits", "step")
def minor_units_step(input: Input) -> Outcome:
    amount, digits, step = number(input["amount"]), whole(input["minor_digits"]), whole(input["step"])
    return {
        "lower": minor_units(amount, digits, step, "floor"),
        "upper": minor_units(amount, digits, step, "ceil"),
    }


@adapts("sum_lines", "amounts", "rounding", "method")
def sum_lines(input: Input) -> Outcome:
    to = rounding(input["rounding"])
    assert input.get("method", "round_each") == "round_each" and to is not None, input
    return {"total": exact_sum(to.of(number(amount)) for amount in input["amounts"])}


@adapts("allocate", "amount", "items", "places", "method", "tie_break")
def allocate(input: Input) -> Outcome:
    assert input.get("method", "largest_remainder") == "largest_remainder", input["method"]
    items = list(input["items"])
    if chosen(input, "tie_break", "input_order", "key_ascending") == "key_ascending":
        items.sort(key=lambda item: item["key"])
    weights = [number(item["weight"]) for item in items]
    try:
        shares = split(number(input["amount"]), weights, whole(input["places"]))
    except UnableToSplit:  # nothing to divide in proportion to: no one gets a share
        assert not any(weights)
        return {"shares": {}}
    return {"shares": {item["key"]: share for item, share in zip(items, shares, strict=True) if share}}
