"""What each price model makes of a quantity, before minimum, maximum and rounding.

Order: unit conversion, included units, the model. Zero units cost nothing unless the price says otherwise.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor

from billing.rating.parts import Part, UnableToCharge, flat_part, note, range_text, spoken, units_part
from catalog.money import decimal_of, quantize
from catalog.pricing import (
    Dynamic,
    Flat,
    Graduated,
    GraduatedByDimension,
    GraduatedPercentage,
    Package,
    Percentage,
    PerUnit,
    PriceRule,
    Stairstep,
    Tier,
    UnitConversion,
    Volume,
)

_PERCENT = Fraction(1, 100)


def quantity_parts(rule: PriceRule, quantity: Decimal, tier_quantity: Decimal | None) -> list[Part]:
    """The parts of a quantity's price, before minimum, maximum and rounding."""
    units, parts = Fraction(quantity), []
    if rule.unit_conversion is not None:
        units = converted_units(units, rule.unit_conversion)
        parts.append(note(_conversion_text(quantity, units, rule.unit_conversion)))
    if rule.included_units:
        included = min(max(units, Fraction(0)), Fraction(rule.included_units))
        units = max(units - Fraction(rule.included_units), Fraction(0))
        parts.append(Part(f"first {spoken(rule.included_units)} units included", included, Fraction(0), Fraction(0)))
    chosen_by = units if tier_quantity is None else Fraction(tier_quantity)
    parts += _zero(rule) if units == 0 else _modelled(rule, units, chosen_by)
    return parts


def _zero(rule: PriceRule) -> list[Part]:
    """No units cost nothing, but for a flat price and where the price asks for its first tier's flat part."""
    match rule.model:
        case Flat():
            return _modelled(rule, Fraction(0), Fraction(0))
        case (Graduated() | Volume() | Stairstep() | GraduatedPercentage()) as model:
            if rule.zero_quantity == "first_tier_flat" and model.tiers[0].flat_amount:
                return [flat_part("first tier, also without usage", model.tiers[0].flat_amount)]
        case GraduatedByDimension() | Percentage() if rule.reads_events:
            return _modelled(rule, Fraction(0), Fraction(0))
    return []


def _modelled(rule: PriceRule, units: Fraction, chosen_by: Fraction) -> list[Part]:
    match rule.model:
        case Flat(flat_amount):
            return [flat_part("flat amount", flat_amount)]
        case PerUnit(unit_amount):
            return [units_part(f"at {spoken(unit_amount)} each", units, Fraction(unit_amount))]
        case Package() as model:
            return _package(model, units)
        case Graduated(tiers):
            return _graduated(tiers, units)
        case GraduatedPercentage(tiers):
            return _graduated(
                [Tier(tier.up_to, tier.rate_percent, tier.flat_amount, tier.cap_amount) for tier in tiers],
                units,
                _PERCENT,
            )
        case Volume(tiers):
            return _volume(tiers, units, chosen_by)
        case Stairstep(tiers, cumulative):
            return _graduated(tiers, units) if cumulative else _volume(tiers, units, chosen_by)
        case Dynamic(multiplier):
            text = "amounts of the events" + ("" if multiplier == 1 else f" times {spoken(multiplier)}")
            return [units_part(text, units, Fraction(multiplier))]
        case Percentage(rate_percent) if not rule.reads_events:
            return [units_part(f"{spoken(rate_percent)}% of the amount", units, Fraction(rate_percent) / 100)]
        case _:
            raise UnableToCharge("this price depends on single events; give the events, not their total")


def _package(model: Package, units: Fraction) -> list[Part]:
    whole = ceil if model.package_rounding == "up" else floor
    packages = Fraction(whole(units / Fraction(model.package_size)))
    text = f"packages of {spoken(model.package_size)} at {spoken(model.package_amount)}"
    return [units_part(text, packages, Fraction(model.package_amount))]


def _graduated(tiers: Sequence[Tier], units: Fraction, scale: Fraction = Fraction(1)) -> list[Part]:
    parts: list[Part] = []
    below = Fraction(0)
    for tier in tiers:
        if units <= below:
            break
        inside = (units if tier.up_to is None else min(units, Fraction(tier.up_to))) - below
        parts += _tier_parts(tier, range_text(below, tier.up_to), inside, scale)
        below += inside
    return parts


def _volume(tiers: Sequence[Tier], units: Fraction, chosen_by: Fraction) -> list[Part]:
    """A quantity below zero lies in no tier and costs nothing, as with graduated tiers."""
    if units < 0:
        return []
    below = Fraction(0)
    for tier in tiers:
        if tier.up_to is None or chosen_by <= Fraction(tier.up_to) or tier is tiers[-1]:
            return _tier_parts(tier, f"all in the tier {range_text(below, tier.up_to)}", units, Fraction(1))
        below = Fraction(tier.up_to)
    raise UnableToCharge("a volume price needs at least one tier")


def _tier_parts(tier: Tier, where: str, units: Fraction, scale: Fraction) -> list[Part]:
    """The units of one tier at its unit price, up to its cap, and its flat amount."""
    parts = []
    if tier.unit_amount or not tier.flat_amount:
        price = f"{spoken(tier.unit_amount)}%" if scale == _PERCENT else f"{spoken(tier.unit_amount)} each"
        parts.append(units_part(f"{where} at {price}", units, Fraction(tier.unit_amount) * scale))
        over = parts[0].amount - Fraction(tier.cap_amount) if tier.cap_amount is not None else Fraction(0)
        if over > 0 and tier.cap_amount is not None:
            parts.append(Part(f"{where} capped at {spoken(tier.cap_amount)}", None, None, -over))
    if tier.flat_amount:
        parts.append(flat_part(f"{where}, flat", tier.flat_amount))
    return parts


def converted_units(units: Fraction, conversion: UnitConversion) -> Fraction:
    factor = Fraction(conversion.factor)
    result = units * factor if conversion.op == "multiply" else units / factor
    if conversion.rounding == "none":
        return result
    whole: dict[str, Callable[[Fraction], Fraction | int | Decimal]] = {
        "ceil": ceil,
        "floor": floor,
        "half_up": lambda exact: quantize(exact, 0),
    }
    return Fraction(whole[conversion.rounding](result))


def _conversion_text(quantity: Decimal, units: Fraction, conversion: UnitConversion) -> str:
    sign = "x" if conversion.op == "multiply" else "/"
    rounded = "" if conversion.rounding == "none" else ", rounded to whole units"
    return f"{spoken(quantity)} {sign} {spoken(conversion.factor)} = {spoken(decimal_of(units))}{rounded}"
