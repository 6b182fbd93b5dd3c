"""What prices make of single events, where one event, or their order, decides the amount."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from billing.rating.parts import Part, UnableToCharge, range_text, spoken, units_part
from catalog.money import ZERO, exact_arithmetic, exact_sum
from catalog.pricing import GraduatedByDimension, Percentage


@dataclass(frozen=True, slots=True)
class PricedEvent:
    """The value of one event and, where a price asks for it, the value of its dimension."""

    value: Decimal
    dimension: str | None = None


def percentage_parts(model: Percentage, amounts: Sequence[Decimal]) -> list[Part]:
    billed, free_count = _billed_amounts(model, amounts)
    with exact_arithmetic():
        rate = model.rate_percent.scaleb(-2)
        raised = lowered = ZERO
        for amount in billed:
            price = amount * rate + model.fixed_amount
            if model.per_transaction_min is not None and price < model.per_transaction_min:
                raised += model.per_transaction_min - price
            elif model.per_transaction_max is not None and price > model.per_transaction_max:
                lowered += price - model.per_transaction_max
    parts = [units_part("events free", Fraction(free_count), Fraction(0))] if free_count else []
    if billed:
        total = Fraction(exact_sum(billed))
        parts.append(units_part(f"{spoken(model.rate_percent)}% of the amounts", total, Fraction(rate)))
    if billed and model.fixed_amount:
        text = f"{spoken(model.fixed_amount)} for each event"
        parts.append(units_part(text, Fraction(len(billed)), Fraction(model.fixed_amount)))
    if raised and model.per_transaction_min is not None:
        text = f"at least {spoken(model.per_transaction_min)} for each event"
        parts.append(Part(text, None, None, Fraction(raised)))
    if lowered and model.per_transaction_max is not None:
        text = f"at most {spoken(model.per_transaction_max)} for each event"
        parts.append(Part(text, None, None, -Fraction(lowered)))
    return parts


def _billed_amounts(model: Percentage, amounts: Sequence[Decimal]) -> tuple[list[Decimal], int]:
    """The amount of each event that is billed, and how many were free.

    The free stretch ends as soon as its events or its amount are used up. The event that uses up the free
    amount is billed on what that did not cover, also when nothing is left of it.
    """
    if model.free_events is None and model.free_amount is None:
        return list(amounts), 0
    used, free_count = ZERO, 0
    with exact_arithmetic():
        for index, amount in enumerate(amounts):
            if model.free_events is not None and index >= model.free_events:
                return list(amounts[index:]), free_count
            used += amount
            if model.free_amount is not None and used >= model.free_amount:
                return [used - model.free_amount, *amounts[index + 1 :]], free_count
            free_count += 1
    return [], free_count


def dimension_parts(model: GraduatedByDimension, events: Sequence[PricedEvent]) -> list[Part]:
    """Tiers that all dimensions fill together; one part per tier and dimension, as they were reached."""
    filled: dict[tuple[int, str], Fraction] = {}
    running, index = Fraction(0), 0
    for event in events:
        if event.value < 0:
            raise UnableToCharge("tiers shared by dimensions cannot take back units: a value is below zero")
        left = Fraction(event.value)
        while left > 0:
            up_to = model.tiers[index].up_to
            room = left if up_to is None else Fraction(up_to) - running
            if room <= 0:
                index += 1
                continue
            inside = min(left, room)
            key = (index, event.dimension or "")
            filled[key] = filled.get(key, Fraction(0)) + inside
            running, left = running + inside, left - inside
    return [_dimension_part(model, index, dimension, units) for (index, dimension), units in filled.items()]


def _dimension_part(model: GraduatedByDimension, index: int, dimension: str, units: Fraction) -> Part:
    tier = model.tiers[index]
    prices = dict(tier.unit_amounts)
    if dimension not in prices and tier.unit_amount is None:
        raise UnableToCharge(f"the price has no unit amount for {dimension!r}; it knows {', '.join(prices)}")
    unit_amount = prices.get(dimension, tier.unit_amount or ZERO)
    below = Fraction(model.tiers[index - 1].up_to or 0) if index else Fraction(0)
    text = f"{dimension or 'without a value'}, {range_text(below, tier.up_to)} at {spoken(unit_amount)} each"
    return units_part(text, units, Fraction(unit_amount))
