"""Charge models: a case becomes a price, and the price is charged."""

from decimal import Decimal
from typing import Any

from billing.rating.charges import (
    Charge,
    billable_increment,
    charge,
    charge_events,
    charge_increment,
    charge_windows,
    converted,
)
from billing.rating.event_prices import PricedEvent
from catalog.money import exact_sum, rounded
from catalog.pricing import PriceRule, UnitConversion, parse_price
from tests.golden.vocabulary import ADAPTERS, Input, Outcome, adapts, chosen, number, optional, rounding

QUANTITY = ("model", "quantity", "prior_quantity", "rounding")
UNITS = ("free_units", "unit_conversion", "zero_quantity")
FIELDS = {
    "per_unit": ("unit_amount",),
    "flat": ("flat_amount",),
    "package": ("package_size", "package_amount", "package_rounding"),
    "graduated": ("tiers",),
    "volume": ("tiers", "quantity_for_tier"),
    "graduated_percentage": ("tiers",),
}
EVENT_FIELDS = {
    "percentage": (
        "rate_percent",
        "fixed_amount",
        "free_events",
        "free_amount",
        "per_transaction_min",
        "per_transaction_max",
    ),
    "dynamic": ("multiplier",),
    "graduated_by_dimension": ("tiers",),
}
OF_THE_USE = {
    "quantity",
    "prior_quantity",
    "quantity_for_tier",
    "prior_amount",
    "events",
    "event_amounts",
    "rounding",
    "currency",
    "tolerance",
}


def price(input: Input) -> PriceRule:
    """The price of a case in our words; a bounded last tier is opened, for our prices end in an open one."""
    fields: dict[str, Any] = {name: value for name, value in input.items() if name not in OF_THE_USE}
    if "free_units" in fields:
        fields["included_units"] = fields.pop("free_units")
    if fields["model"] == "percentage" and fields.get("rate_percent") is None:
        fields["rate_percent"] = "0"
    if fields.get("tiers"):
        *tiers, last = fields["tiers"]
        fields["tiers"] = [*tiers, {**last, "up_to": None}]
    return parse_price(fields)


def quantity_model(input: Input) -> Outcome:
    """A flat price may come without a quantity."""
    rule, quantity = price(input), number(input.get("quantity", "0"))
    prior, chosen_by = optional(input.get("prior_quantity")), optional(input.get("quantity_for_tier"))
    to = rounding(input.get("rounding"))
    if prior is None:
        return outcome(charge(rule, quantity, None, tier_quantity=chosen_by, rounding=to))
    return outcome(charge_increment(rule, prior, quantity, None, tier_quantity=chosen_by, rounding=to))


def event_model(input: Input) -> Outcome:
    to = rounding(input.get("rounding"))
    prior = optional(input.get("prior_amount"))
    if prior is not None:
        amounts = exact_sum(number(amount) for amount in input["event_amounts"])
        return outcome(charge_increment(price(input), prior, amounts, None, rounding=to))
    events = [event(value) for value in input.get("events", input.get("event_amounts", []))]
    return outcome(charge_events(price(input), events, None, rounding=to))


def event(value: Any) -> PricedEvent:
    if isinstance(value, dict):
        assert set(value) <= {"value", "dimension"}, value
        return PricedEvent(number(value["value"]), value.get("dimension"))
    return PricedEvent(number(value))


def outcome(done: Charge) -> Outcome:
    assert exact_sum(step.amount for step in done.steps) == done.amount
    return {"amount": done.amount}


for model, own in FIELDS.items():
    adapts(model, *QUANTITY, *UNITS, *own)(quantity_model)
for model, own in EVENT_FIELDS.items():
    adapts(model, "model", "events", "event_amounts", "prior_amount", "rounding", *own)(event_model)


@adapts("bucketed", "model", "buckets", "combine", "pricing", "rounding")
def bucketed(input: Input) -> Outcome:
    """A rounding of the pricing is that of a bucket, or of the sum where that is priced."""
    pricing = input["pricing"]
    assert set(pricing) <= ADAPTERS[pricing["model"]].keys - {"quantity", "prior_quantity"}, pricing
    quantities = [number(bucket) for bucket in input["buckets"]]
    each, to = rounding(pricing.get("rounding")), rounding(input.get("rounding"))
    combine = chosen(input, "combine", "rate_each_bucket", "sum_then_rate")
    if combine == "sum_then_rate":
        each, to = None, to or each
    return outcome(charge_windows(price(pricing), quantities, None, combine=combine, window_rounding=each, rounding=to))


@adapts("sum_of", "model", "parts", "rounding")
def sum_of(input: Input) -> Outcome:
    amounts: list[Decimal] = []
    for part in input["parts"]:
        adapter = ADAPTERS[part["model"]]
        assert set(part) <= adapter.keys, part
        amounts.append(adapter.run(part)["amount"])
    return {"amount": rounded(exact_sum(amounts), rounding(input.get("rounding")))}


@adapts("unit_conversion", "model", "quantity", "unit_conversion")
def unit_conversion(input: Input) -> Outcome:
    return {"quantity": converted(number(input["quantity"]), conversion(input["unit_conversion"]))}


def conversion(value: Any) -> UnitConversion:
    rule = parse_price({"model": "per_unit", "unit_amount": "1", "unit_conversion": value})
    assert rule.unit_conversion is not None
    return rule.unit_conversion


@adapts("usage_discount", "model", "quantity", "prior_quantity", "free_units")
def usage_discount(input: Input) -> Outcome:
    names = ("prior_quantity", "quantity", "free_units")
    prior, quantity, free = (number(input.get(name) or "0") for name in names)
    return {"quantity": billable_increment(prior, quantity, free)}
