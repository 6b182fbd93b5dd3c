"""Discounts, taxes, currencies and splitting."""

from billing.rating.discounts import DiscountableLine, LineDiscount, apply_discounts
from billing.rating.taxes import TaxableLine, tax_lines
from catalog.money import (
    Rounding,
    UnableToSplit,
    UnknownCurrency,
    exact_sum,
    minor_places,
    minor_units,
    money_rounding,
    round_money,
    rounded,
    split,
)
from tests.golden.vocabulary import Input, Outcome, adapts, chosen, number, rounding, whole


def line_discount(value: Input) -> LineDiscount:
    assert set(value) <= {"id", "type", "value", "lines", "used"}, value
    assert value["type"] in ("percent", "fixed"), value["type"]
    return LineDiscount(
        kind="percent" if value["type"] == "percent" else "amount",
        value=number(value["value"]),
        lines=frozenset(value["lines"]) if value.get("lines") is not None else None,
        used=number(value.get("used") or "0"),
    )


def discountable(value: Input) -> DiscountableLine:
    assert set(value) <= {"id", "amount", "already_discounted"}, value
    already = number(value.get("already_discounted") or "0")
    return DiscountableLine(value["id"], number(value["amount"]), already)


@adapts("discounts", "lines", "discounts", "rounding", "order", "share_method", "share_rounding")
def discounts(input: Input) -> Outcome:
    order = chosen(input, "order", "as_given", "percent_first")
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
    rates = tuple(number(rate) for rate in value.get("rates") or [])
    return TaxableLine(number(value["amount"]), rates, number(value.get("discount") or "0"))


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
    ours = None if places(input["currency"]) is None else money_rounding(input["currency"])
    return {"amount": round_money(amount, input["currency"]) if to in (None, ours) else rounded(amount, to)}


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
    to = rounding(input.get("rounding"))
    chosen(input, "method", "round_each")
    return {"total": exact_sum(rounded(number(amount), to) for amount in input["amounts"])}


@adapts("allocate", "amount", "items", "places", "method", "tie_break")
def allocate(input: Input) -> Outcome:
    chosen(input, "method", "largest_remainder")
    items = list(input.get("items") or [])
    if chosen(input, "tie_break", "input_order", "key_ascending") == "key_ascending":
        items.sort(key=lambda item: item["key"])
    weights = [number(item["weight"]) for item in items]
    amount = Rounding(whole(input["places"])).of(number(input["amount"]))
    try:
        shares = split(amount, weights, whole(input["places"]))
    except UnableToSplit:  # nothing to divide in proportion to: no one gets a share
        assert not any(weights)
        return {"shares": {}}
    return {"shares": {item["key"]: share for item, share in zip(items, shares, strict=True) if share}}
