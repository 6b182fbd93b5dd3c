"""Commitments: minimums, limits, and what use beyond a promise costs."""

from dataclasses import replace

from billing.rating.charges import charge, charge_increment
from billing.rating.commitments import (
    CommittedWindow,
    SpendLimits,
    clamped,
    cumulative_overage,
    expire,
    limit_spend,
    overage,
    true_up,
)
from catalog.money import ZERO
from catalog.pricing import PerUnit, PriceRule
from tests.golden.adapt_charges import price
from tests.golden.vocabulary import Input, Outcome, adapts, chosen, fraction, number, optional, rounding


@adapts("true_up", "minimum", "charges", "proration", "rounding", "round_stage")
def true_up_of(input: Input) -> Outcome:
    done = true_up(
        number(input["minimum"]),
        [number(charge) for charge in input.get("charges", [])],
        rounding(input.get("rounding")),
        share=fraction(input["proration"]) if input.get("proration") else None,
        round_stage=chosen(input, "round_stage", "true_up", "minimum", "charges"),
    )
    return {"prorated_minimum": done.minimum, "true_up": done.amount}


@adapts(
    "spend_limits",
    "pricing",
    "quantity",
    "prior_quantity",
    "prior_total",
    "percent_discount",
    "maximum",
    "minimum",
    "final_line",
    "rounding",
)
def spend_limits(input: Input) -> Outcome:
    rule, to = price(spent_by(input["pricing"])), rounding(input.get("rounding"))
    quantity, before = number(input["quantity"]), optional(input.get("prior_quantity"))
    limits = SpendLimits(
        optional(input.get("minimum")),
        optional(input.get("maximum")),
        optional(input.get("percent_discount")) or ZERO,
    )
    prior = optional(input.get("prior_total"))
    if before is None:
        gross = charge(rule, quantity, None, rounding=to).amount
    else:
        gross = charge_increment(rule, before, quantity, None, rounding=to).amount
        if prior is None:
            uncapped = replace(limits, minimum=None, maximum=None)
            prior = limit_spend(charge(rule, before, None, rounding=to).amount, uncapped, to).total
    done = limit_spend(gross, limits, to, prior=prior or ZERO, final_line=bool(input.get("final_line")))
    return {
        "gross": done.gross,
        "discount": done.discount,
        "maximum_discount": done.maximum_discount,
        "minimum_true_up": done.minimum_true_up,
        "total": done.total,
    }


def spent_by(pricing: Input) -> Input:
    """The price of a line; without a `zero_quantity` no use costs nothing, for a flat price too: one open band."""
    if pricing["model"] != "flat" or "zero_quantity" in pricing:
        return pricing
    return {"model": "stairstep", "tiers": [{"up_to": None, "flat_amount": pricing["flat_amount"]}]}


@adapts("commitment_overage", "windows", "rounding")
def commitment_overage(input: Input) -> Outcome:
    done = overage([window(value) for value in input["windows"]], rounding(input.get("rounding")))
    return {
        "total": done.total,
        "per_window": done.per_window,
        "utilized": done.utilized,
        "overage": done.overage,
        "true_up": done.true_up,
    }


def window(value: Input) -> CommittedWindow:
    assert set(value) <= {"usage", "unit_amount", "commitment", "overage_factor", "true_up"}, value
    return CommittedWindow(
        charge(PriceRule(PerUnit(number(value["unit_amount"]))), number(value["usage"]), None).amount,
        optional(value.get("commitment")),
        number(value.get("overage_factor") or "1"),
        bool(value.get("true_up")),
    )


@adapts("commitment_cumulative", "commitment", "overage_factor", "prior_usage", "charges", "rounding")
def commitment_cumulative(input: Input) -> Outcome:
    done = cumulative_overage(
        number(input["commitment"]),
        number(input.get("prior_usage") or "0"),
        [number(charge) for charge in input["charges"]],
        number(input.get("overage_factor") or "1"),
        rounding(input.get("rounding")),
        spread="proportional",
    )
    return {"total": done.total, "overage": done.overage, "allocations": done.allocations}


@adapts("clamp", "amount", "minimum", "maximum")
def clamp(input: Input) -> Outcome:
    amount = number(input["amount"])
    return {"amount": clamped(amount, optional(input.get("minimum")), optional(input.get("maximum")))}


@adapts("prepaid_expiry", "prepaid", "consumed")
def prepaid_expiry(input: Input) -> Outcome:
    done = expire(number(input["prepaid"]), number(input.get("consumed") or "0"))
    return {"expired": done.expired, "remaining": done.remaining}
