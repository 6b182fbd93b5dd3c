"""What a price makes of a quantity: an amount, and the steps that explain it.

Order: unit conversion, included units, the model, minimum, maximum, rounding. Arithmetic is in exact
fractions and the amount is rounded once, at the end. The amounts of the steps add up to the amount.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from billing.rating.event_prices import PricedEvent, dimension_parts, percentage_parts
from billing.rating.parts import Part, spoken
from billing.rating.quantity_prices import converted_units, quantity_parts
from catalog.money import ZERO, Rounding, decimal_of, exact_arithmetic, exact_sum, money_rounding
from catalog.pricing import GraduatedByDimension, Percentage, PriceRule, UnitConversion

Combine = Literal["rate_each_bucket", "sum_then_rate"]


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the explanation. `amount` is exact; where both others are given it is their product."""

    description: str
    quantity: Decimal | None
    unit_amount: Decimal | None
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Charge:
    """An amount and the steps that add up to it."""

    amount: Decimal
    steps: tuple[Step, ...]


def charge(
    rule: PriceRule,
    quantity: Decimal,
    currency: str | None,
    *,
    tier_quantity: Decimal | None = None,
    rounding: Rounding | None = None,
) -> Charge:
    """The price of a quantity, rounded to the currency's minor unit.

    `rounding` replaces that; with neither, the amount is exact (30 decimals where it has no end). A price
    over amounts of money takes the amount as its quantity. `tier_quantity` chooses the tier of a volume price
    in place of the quantity that is priced. Raises UnableToCharge for a price that needs single events.
    """
    return _settled(quantity_parts(rule, quantity, tier_quantity), rule, rounding or _rounding(currency))


def charge_increment(
    rule: PriceRule,
    prior_quantity: Decimal,
    quantity: Decimal,
    currency: str | None,
    *,
    tier_quantity: Decimal | None = None,
    rounding: Rounding | None = None,
) -> Charge:
    """What `quantity` more costs after `prior_quantity`: the difference of two rounded cumulative amounts.

    It can be negative, where more usage moves everything into a cheaper tier. `tier_quantity` chooses the tier of
    both, as in `charge`.
    """
    with exact_arithmetic():
        after = prior_quantity + quantity
        cumulative = charge(rule, after, currency, tier_quantity=tier_quantity, rounding=rounding)
        prior = charge(rule, prior_quantity, currency, tier_quantity=tier_quantity, rounding=rounding)
        counted = Step(f"already counted for {spoken(prior_quantity)} units", None, None, -prior.amount)
        return Charge(cumulative.amount - prior.amount, (*cumulative.steps, counted))


def charge_windows(
    rule: PriceRule,
    quantities: Sequence[Decimal],
    currency: str | None,
    *,
    combine: Combine = "rate_each_bucket",
    window_rounding: Rounding | None = None,
    rounding: Rounding | None = None,
) -> Charge:
    """The price of the quantities of windows of time: the sum of their prices, or the price of their sum.

    `window_rounding` rounds the price of each window before they are added.
    """
    if combine == "sum_then_rate":
        return charge(rule, exact_sum(quantities), currency, rounding=rounding)
    windows = [quantity_parts(rule, quantity, None) for quantity in quantities if quantity]
    parts = _together(part for window in windows for part in window)
    if window_rounding is not None:
        rest = sum((_rest(window, window_rounding) for window in windows), Fraction(0))
        parts.append(Part(f"each window rounded to {window_rounding.places} places", None, None, rest))
    return _settled(parts, rule, rounding or _rounding(currency))


def _rest(window: Iterable[Part], rounding: Rounding) -> Fraction:
    """What rounding adds to the price of one window."""
    total = sum((part.amount for part in window), Fraction(0))
    return Fraction(rounding.of(total)) - total


def _together(parts: Iterable[Part]) -> list[Part]:
    """Parts of many windows that say the same, added up: one step of a tier, however many windows reached it."""
    found: dict[tuple[str, Fraction | None, bool], Part] = {}
    for part in parts:
        key = (part.description, part.unit_amount, part.quantity is None)
        before = found.get(key)
        if before is None:
            found[key] = part
        else:
            quantity = None if part.quantity is None else part.quantity + (before.quantity or 0)
            found[key] = Part(part.description, quantity, part.unit_amount, part.amount + before.amount)
    return list(found.values())


def charge_events(
    rule: PriceRule,
    events: Iterable[Decimal | PricedEvent],
    currency: str | None,
    *,
    rounding: Rounding | None = None,
) -> Charge:
    """The price of events in (time, clock) order; a price that needs only a total prices their sum."""
    listed = [event if isinstance(event, PricedEvent) else PricedEvent(event) for event in events]
    match rule.model:
        case Percentage() as model if rule.reads_events:
            parts = percentage_parts(model, [event.value for event in listed])
        case GraduatedByDimension() as model:
            parts = dimension_parts(model, listed)
        case _:
            return charge(rule, exact_sum(event.value for event in listed), currency, rounding=rounding)
    return _settled(parts, rule, rounding or _rounding(currency))


def converted(quantity: Decimal, conversion: UnitConversion) -> Decimal:
    """The quantity in the priced unit."""
    return decimal_of(converted_units(Fraction(quantity), conversion))


def billable_increment(prior_quantity: Decimal, quantity: Decimal, included_units: Decimal) -> Decimal:
    """How many of `quantity` more units lie beyond the included ones, after `prior_quantity`."""
    with exact_arithmetic():
        before = max(ZERO, prior_quantity - included_units)
        return max(ZERO, prior_quantity + quantity - included_units) - before


def _rounding(currency: str | None) -> Rounding | None:
    return None if currency is None else money_rounding(currency)


def _settled(parts: list[Part], rule: PriceRule, rounding: Rounding | None) -> Charge:
    """The limited, rounded sum, its steps, and a last step for what rounding changed."""
    parts = [*parts, *_limits(parts, rule, rounding.places if rounding else 0)]
    total = sum((part.amount for part in parts), Fraction(0))
    amount = decimal_of(total) if rounding is None else rounding.of(total)
    steps = [_step(part) for part in parts] or [Step("nothing to charge", ZERO, None, ZERO)]
    with exact_arithmetic():
        difference = amount - exact_sum(step.amount for step in steps)
    if difference:
        text = "rounded" if rounding is None else f"rounded to {rounding.places} places"
        steps.append(Step(text, None, None, difference))
    return Charge(amount, tuple(steps))


def _limits(parts: list[Part], rule: PriceRule, places: int) -> list[Part]:
    """What the minimum adds to the sum of the parts, or the maximum takes off."""
    total = sum((part.amount for part in parts), Fraction(0))
    if rule.minimum_amount is not None and total < rule.minimum_amount:
        gap = Fraction(rule.minimum_amount) - total
        raised = f"raises by {spoken(decimal_of(gap), places)}"
        return [Part(f"minimum {spoken(rule.minimum_amount, places)} {raised}", None, None, gap)]
    if rule.maximum_amount is not None and total > rule.maximum_amount:
        over = total - Fraction(rule.maximum_amount)
        lowered = f"lowers by {spoken(decimal_of(over), places)}"
        return [Part(f"maximum {spoken(rule.maximum_amount, places)} {lowered}", None, None, -over)]
    return []


def _step(part: Part) -> Step:
    return Step(
        part.description,
        None if part.quantity is None else decimal_of(part.quantity),
        None if part.unit_amount is None else decimal_of(part.unit_amount),
        decimal_of(part.amount),
    )
