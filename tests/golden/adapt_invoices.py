"""Whole invoices: lines, discounts, tax and credits."""

from billing.rating.discounts import LineDiscount
from billing.rating.totals import TotalledCredit, TotalledLine, balance_of, totals
from tests.golden.adapt_discounts_taxes import line_discount
from tests.golden.vocabulary import Input, Outcome, adapts, number, rounding


@adapts(
    "invoice",
    "lines",
    "line_discounts",
    "invoice_discounts",
    "tax_rates",
    "tax_rounding",
    "credits",
    "rounding",
    "share_rounding",
)
def invoice(input: Input) -> Outcome:
    of_lines = [discount_of_line(value) for value in input.get("line_discounts") or []]
    of_invoice = [line_discount(value) for value in input.get("invoice_discounts") or []]
    shares = rounding(input.get("share_rounding"))
    assert input.get("tax_rounding") in (None, "line", "total_of_unrounded"), input["tax_rounding"]
    done = totals(
        [line(value, input) for value in input["lines"]],
        [*of_lines, *of_invoice],
        [credit(value) for value in input.get("credits") or []],
        rounding(input.get("rounding")),
        spread="largest_remainder" if shares is None else "proportional",
        share_rounding=shares,
        tax_round_per=("line_then_total_of_unrounded" if input.get("tax_rounding") == "total_of_unrounded" else "line"),
    )
    return {
        "subtotal": done.subtotal,
        "discount_total": done.discount_total,
        "tax_total": done.tax_total,
        "line_taxes": done.line_taxes,
        "credits_applied": done.credits_applied,
        "total": done.total,
    }


def line(value: Input, input: Input) -> TotalledLine:
    assert set(value) <= {"id", "amount", "type", "tax_rates"}, value
    rates = value.get("tax_rates")
    own = input.get("tax_rates") or [] if rates is None else rates
    return TotalledLine(value["id"], number(value["amount"]), tuple(map(number, own)), value.get("type"))


def discount_of_line(value: Input) -> LineDiscount:
    assert set(value) <= {"id", "line", "type", "value"}, value
    return line_discount({"type": value["type"], "value": value["value"], "lines": [value["line"]]})


def credit(value: Input) -> TotalledCredit:
    assert set(value) <= {"id", "amount", "line_types"}, value
    kinds = value.get("line_types")
    return TotalledCredit(number(value["amount"]), None if kinds is None else frozenset(kinds))


@adapts("repair", "new_items", "repairs")
def repair(input: Input) -> Outcome:
    names = ("new_items", "repairs")
    done = balance_of(number(amount) for name in names for amount in input.get(name) or [])
    return {"invoice_balance": done.invoice, "account_credit": done.credit}
