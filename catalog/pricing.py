"""Price models as values, and the one place that reads them from the vocabulary of scenario files.

A `PriceRule` says how a quantity (or a list of events) becomes an amount; billing.rating.charges does the
arithmetic. Everything here is exact: a unit price keeps up to 12 decimals, a float is refused.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, cast

from catalog.money import ONE, ZERO, decimals, exact

UNIT_PRICE_PLACES = 12
_INTEGER_DIGITS = 26  # with 12 decimals: 38 digits in all

PackageRounding = Literal["up", "down"]
ZeroQuantity = Literal["no_charge", "first_tier_flat"]
ConversionOp = Literal["multiply", "divide"]
ConversionRounding = Literal["none", "ceil", "floor", "half_up"]


@dataclass(frozen=True, slots=True)
class Tier:
    """One step of a tiered price: from the tier before (exclusive) to `up_to` (inclusive, None: no end).

    `cap_amount` limits what the units of this tier cost, before its flat amount.
    """

    up_to: Decimal | None
    unit_amount: Decimal = ZERO
    flat_amount: Decimal = ZERO
    cap_amount: Decimal | None = None


@dataclass(frozen=True, slots=True)
class RateTier:
    """A tier of amounts of money, priced in percent; `cap_amount` limits what the percentage comes to."""

    up_to: Decimal | None
    rate_percent: Decimal = ZERO
    flat_amount: Decimal = ZERO
    cap_amount: Decimal | None = None


@dataclass(frozen=True, slots=True)
class DimensionTier:
    """A tier with a unit price for each value of a dimension, and one for the other values where there is any."""

    up_to: Decimal | None
    unit_amounts: tuple[tuple[str, Decimal], ...]
    unit_amount: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Flat:
    """An amount whatever the quantity."""

    flat_amount: Decimal


@dataclass(frozen=True, slots=True)
class PerUnit:
    """Every unit at one price."""

    unit_amount: Decimal


@dataclass(frozen=True, slots=True)
class Package:
    """Whole packages of units: a begun one counts, or with "down" only full ones."""

    package_size: Decimal
    package_amount: Decimal
    package_rounding: PackageRounding = "up"


@dataclass(frozen=True, slots=True)
class Graduated:
    """Each tier prices the part of the quantity inside it, and adds its flat amount once reached."""

    tiers: tuple[Tier, ...]


@dataclass(frozen=True, slots=True)
class Volume:
    """The whole quantity at the tier that holds it, plus that tier's flat amount."""

    tiers: tuple[Tier, ...]


@dataclass(frozen=True, slots=True)
class Stairstep:
    """The flat amount of the band that holds the quantity; `cumulative`: of every band up to it."""

    tiers: tuple[Tier, ...]
    cumulative: bool = False


@dataclass(frozen=True, slots=True)
class Percentage:
    """A percentage of each event's amount plus a fixed amount per event, within limits per event.

    The first events are free until `free_events` or `free_amount` is used up, whichever comes first.
    """

    rate_percent: Decimal
    fixed_amount: Decimal = ZERO
    free_events: int | None = None
    free_amount: Decimal | None = None
    per_transaction_min: Decimal | None = None
    per_transaction_max: Decimal | None = None


@dataclass(frozen=True, slots=True)
class GraduatedPercentage:
    """Graduated over an amount of money, each tier at its percentage."""

    tiers: tuple[RateTier, ...]


@dataclass(frozen=True, slots=True)
class Dynamic:
    """The events carry the amount; it is multiplied and added up."""

    multiplier: Decimal = ONE


@dataclass(frozen=True, slots=True)
class GraduatedByDimension:
    """Graduated tiers that the events of all dimensions use up together, in order, each at its own price."""

    tiers: tuple[DimensionTier, ...]


Model = (
    Flat
    | PerUnit
    | Package
    | Graduated
    | Volume
    | Stairstep
    | Percentage
    | GraduatedPercentage
    | Dynamic
    | GraduatedByDimension
)


@dataclass(frozen=True, slots=True)
class UnitConversion:
    """From the meter's unit to the priced one, before everything else; `rounding` is to whole units."""

    op: ConversionOp
    factor: Decimal
    rounding: ConversionRounding = "none"


@dataclass(frozen=True, slots=True)
class PriceRule:
    """A model and what surrounds it: conversion, included units, model, minimum, maximum, in this order."""

    model: Model
    included_units: Decimal = ZERO
    minimum_amount: Decimal | None = None
    maximum_amount: Decimal | None = None
    unit_conversion: UnitConversion | None = None
    zero_quantity: ZeroQuantity = "no_charge"

    @property
    def by_dimension(self) -> bool:
        """Whether the value of a dimension decides what a unit costs."""
        return isinstance(self.model, GraduatedByDimension)

    @property
    def counts_units(self) -> bool:
        """Whether it charges for a number of units, so that some of them can be free or committed."""
        return isinstance(self.model, PerUnit | Package | Graduated | Volume | Stairstep)

    @property
    def reads_events(self) -> bool:
        """Whether single events, or their order, decide the amount, so that a total is not enough."""
        match self.model:
            case GraduatedByDimension():
                return True
            case Percentage() as model:
                return model != Percentage(model.rate_percent)
            case _:
                return False


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field; `path` is dotted, as in "tiers.0.up_to"."""

    path: str
    code: str
    detail: str


class InvalidPrice(ValueError):
    """A price that cannot be read; `errors` names every field at fault."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        self.errors = list(errors)
        super().__init__("; ".join(f"{error.path}: {error.detail}" for error in errors))


def known_models() -> tuple[str, ...]:
    """The names a price may give as its `model`."""
    return tuple(_MODELS)


def fields_of(model: str) -> frozenset[str]:
    """The arithmetic fields that a price of this model may have, `tiers` among them."""
    return frozenset({*_MODELS[model][0], *_SURROUNDINGS[model]})


def parse_price(mapping: Mapping[str, object]) -> PriceRule:
    """The rule described by the arithmetic fields of a price, as in a scenario file.

    Numbers are decimal strings (ints and Decimals pass). A field that is null counts as absent. Raises
    InvalidPrice naming every unknown, missing or unusable field.
    """
    fields = _Fields(mapping, "", [])
    name = fields.choice("model", tuple(_MODELS))
    if name is None:
        raise InvalidPrice(fields.errors)
    model_fields, read_model = _MODELS[name]
    fields.refuse_others({"model", *model_fields, *_SURROUNDINGS[name]}, f"the model {name}")
    model = read_model(fields)
    minimum, maximum = fields.number("minimum_amount"), fields.number("maximum_amount")
    if minimum is not None and maximum is not None and minimum > maximum:
        fields.fail("maximum_amount", "order", "the maximum is below the minimum")
    rule = PriceRule(
        model=cast(Model, model),
        included_units=fields.number("included_units", default=ZERO) or ZERO,
        minimum_amount=minimum,
        maximum_amount=maximum,
        unit_conversion=_conversion(fields),
        zero_quantity=cast(
            ZeroQuantity,
            fields.choice("zero_quantity", ("no_charge", "first_tier_flat"), default="no_charge"),
        ),
    )
    if fields.errors:
        raise InvalidPrice(fields.errors)
    return rule


class _Fields:
    """Reads typed fields of a mapping and collects what is wrong with them."""

    def __init__(self, mapping: Mapping[str, object], path: str, errors: list[FieldError]) -> None:
        self.mapping, self.path, self.errors = mapping, path, errors

    def fail(self, name: str, code: str, detail: str) -> None:
        error = FieldError(f"{self.path}{name}", code, detail)
        if error not in self.errors:  # a bound is read twice: against its neighbours and for the tier
            self.errors.append(error)

    def refuse_others(self, allowed: set[str], of: str) -> None:
        for name, value in self.mapping.items():
            if name not in allowed and not (value is None and name in ARITHMETIC_FIELDS):
                self.fail(str(name), "unknown", f"{name} is not a field of {of}")

    def required(self, name: str) -> object:
        value = self.mapping.get(name)
        if value is None:
            self.fail(name, "missing", f"{name} is required")
        return value

    def number(
        self, name: str, required: bool = False, default: Decimal | None = None, positive: bool = False
    ) -> Decimal | None:
        """A number that is not negative (`positive`: nor zero), of at most 26 and 12 digits."""
        value = self.required(name) if required else self.mapping.get(name)
        if value is None:
            return default
        try:
            number = exact(cast(str, value))
        except (TypeError, ValueError) as error:
            self.fail(name, "invalid", f'{error}; give a decimal string such as "0.002"')
            return default
        if number < 0 or (positive and number == 0):
            self.fail(name, "invalid", f"{name} must be {'above' if positive else 'at least'} 0")
        if number.adjusted() >= _INTEGER_DIGITS or decimals(number) > UNIT_PRICE_PLACES:
            digits = f"at most {_INTEGER_DIGITS} digits and {UNIT_PRICE_PLACES} decimals"
            self.fail(name, "precision", f"{name} has {digits}")
        return number

    def amount(self, name: str) -> Decimal:
        """A required number; zero stands in for one that was reported as wrong."""
        return self.number(name, required=True) or ZERO

    def choice(self, name: str, options: tuple[str, ...], default: str | None = None) -> str | None:
        value = self.mapping.get(name) if default is not None else self.required(name)
        if value is None:
            return default
        if value not in options:
            self.fail(name, "invalid", f"{value!r} is not one of {', '.join(options)}")
            return default
        return str(value)

    def rows(self, name: str, allowed: set[str]) -> "list[_Fields]":
        """The mappings of a list, each ready to be read."""
        value = self.required(name)
        if value is None:
            return []
        if isinstance(value, str | Mapping) or not isinstance(value, Sequence) or not value:
            self.fail(name, "invalid", f"{name} is a list of at least one object")
            return []
        rows = []
        for index, row in enumerate(value):
            if not isinstance(row, Mapping):
                self.fail(f"{name}.{index}", "invalid", "an object is expected")
                continue
            fields = _Fields(row, f"{self.path}{name}.{index}.", self.errors)
            fields.refuse_others(allowed, "a tier")
            rows.append(fields)
        _check_bounds(rows)
        return rows


def _check_bounds(tiers: list[_Fields]) -> None:
    """Upper bounds ascend, and the last tier alone has none."""
    before = ZERO
    for index, tier in enumerate(tiers):
        up_to = tier.number("up_to")
        last = index == len(tiers) - 1
        if last and up_to is not None:
            tier.fail("up_to", "order", "the last tier has no upper bound: its up_to is null")
        elif not last and tier.mapping.get("up_to") is None:
            tier.fail("up_to", "missing", "every tier but the last needs an upper bound")
        elif up_to is not None and up_to <= before:
            tier.fail("up_to", "order", f"up_to must be above {before}, the end of the tier before")
        before = up_to if up_to is not None else before


def _tiers(
    fields: _Fields, allowed: tuple[str, ...] = ("unit_amount", "flat_amount", "cap_amount")
) -> tuple[Tier, ...]:
    return tuple(
        Tier(
            up_to=row.number("up_to"),
            unit_amount=row.number("unit_amount") or ZERO,
            flat_amount=row.number("flat_amount") or ZERO,
            cap_amount=row.number("cap_amount"),
        )
        for row in fields.rows("tiers", {"up_to", *allowed})
    )


def _package(fields: _Fields) -> Package:
    return Package(
        fields.number("package_size", required=True, positive=True) or ONE,
        fields.amount("package_amount"),
        cast(PackageRounding, fields.choice("package_rounding", ("up", "down"), default="up")),
    )


def _stairstep(fields: _Fields) -> Stairstep:
    cumulative = fields.mapping.get("cumulative") or False
    if not isinstance(cumulative, bool):
        fields.fail("cumulative", "invalid", "cumulative is true or false")
    return Stairstep(_tiers(fields, ("flat_amount",)), bool(cumulative))


def _percentage(fields: _Fields) -> Percentage:
    free_events = fields.number("free_events")
    if free_events is not None and free_events != int(free_events):
        fields.fail("free_events", "invalid", "free_events is a whole number")
    lowest, highest = fields.number("per_transaction_min"), fields.number("per_transaction_max")
    if lowest is not None and highest is not None and lowest > highest:
        fields.fail("per_transaction_max", "order", "the maximum is below the minimum")
    return Percentage(
        fields.amount("rate_percent"),
        fields.number("fixed_amount") or ZERO,
        None if free_events is None else int(free_events),
        fields.number("free_amount"),
        lowest,
        highest,
    )


def _graduated_percentage(fields: _Fields) -> GraduatedPercentage:
    rows = fields.rows("tiers", {"up_to", "rate_percent", "flat_amount", "cap_amount"})
    return GraduatedPercentage(
        tuple(
            RateTier(
                row.number("up_to"),
                row.number("rate_percent") or ZERO,
                row.number("flat_amount") or ZERO,
                row.number("cap_amount"),
            )
            for row in rows
        )
    )


def _graduated_by_dimension(fields: _Fields) -> GraduatedByDimension:
    tiers = []
    for row in fields.rows("tiers", {"up_to", "unit_amounts", "unit_amount"}):
        amounts = row.required("unit_amounts")
        if not isinstance(amounts, Mapping):
            row.fail("unit_amounts", "invalid", "an object of dimension and unit price is expected")
            continue
        prices = _Fields(amounts, f"{row.path}unit_amounts.", row.errors)
        by_value = tuple((str(key), prices.amount(key)) for key in amounts)
        tiers.append(DimensionTier(row.number("up_to"), by_value, row.number("unit_amount")))
    return GraduatedByDimension(tuple(tiers))


def _conversion(fields: _Fields) -> UnitConversion | None:
    value = fields.mapping.get("unit_conversion")
    if value is None:
        return None
    if not isinstance(value, Mapping):
        fields.fail("unit_conversion", "invalid", "an object of op, factor and rounding is expected")
        return None
    conversion = _Fields(value, f"{fields.path}unit_conversion.", fields.errors)
    conversion.refuse_others({"op", "factor", "rounding"}, "a unit conversion")
    return UnitConversion(
        cast(ConversionOp, conversion.choice("op", ("multiply", "divide"))),
        conversion.number("factor", required=True, positive=True) or ONE,
        cast(
            ConversionRounding,
            conversion.choice("rounding", ("none", "ceil", "floor", "half_up"), default="none"),
        ),
    )


_MODELS: dict[str, tuple[tuple[str, ...], Callable[[_Fields], object]]] = {
    "flat": (("flat_amount",), lambda fields: Flat(fields.amount("flat_amount"))),
    "per_unit": (("unit_amount",), lambda fields: PerUnit(fields.amount("unit_amount"))),
    "package": (("package_size", "package_amount", "package_rounding"), _package),
    "graduated": (("tiers",), lambda fields: Graduated(_tiers(fields))),
    "volume": (("tiers",), lambda fields: Volume(_tiers(fields))),
    "stairstep": (("tiers", "cumulative"), _stairstep),
    "percentage": (
        (
            "rate_percent",
            "fixed_amount",
            "free_events",
            "free_amount",
            "per_transaction_min",
            "per_transaction_max",
        ),
        _percentage,
    ),
    "graduated_percentage": (("tiers",), _graduated_percentage),
    "dynamic": (
        ("multiplier",),
        lambda fields: Dynamic(fields.number("multiplier", default=ONE) or ZERO),
    ),
    "graduated_by_dimension": (("tiers",), _graduated_by_dimension),
}

_LIMITS = ("minimum_amount", "maximum_amount")
_UNITS = ("included_units", "unit_conversion", "zero_quantity")
# Models over amounts of money or single events have their own free parts instead of included units.
_SURROUNDINGS = {
    name: _LIMITS if name in ("percentage", "dynamic", "graduated_by_dimension") else _LIMITS + _UNITS
    for name in _MODELS
}

ARITHMETIC_FIELDS = frozenset(
    {"model", *_LIMITS, *_UNITS}.union(*(model_fields for model_fields, _ in _MODELS.values()))
)
