from decimal import Decimal

import pytest

from catalog.pricing import (
    ARITHMETIC_FIELDS,
    Dynamic,
    Flat,
    Graduated,
    GraduatedByDimension,
    GraduatedPercentage,
    InvalidPrice,
    Package,
    Percentage,
    PerUnit,
    PriceRule,
    Stairstep,
    Tier,
    UnitConversion,
    Volume,
    known_models,
    parse_price,
)

D = Decimal
TIERS = [{"up_to": "10", "unit_amount": "2"}, {"up_to": None, "flat_amount": "5"}]
READ_TIERS = (Tier(D(10), unit_amount=D(2)), Tier(None, flat_amount=D(5)))
DIMENSIONS = [{"up_to": None, "unit_amounts": {"eu": "1", "us": "2"}}]


def faults(price: dict[str, object]) -> set[tuple[str, str]]:
    """Where a price is refused, and with which code."""
    with pytest.raises(InvalidPrice) as refused:
        parse_price(price)
    return {(error.path, error.code) for error in refused.value.errors}


@pytest.mark.parametrize(
    ("price", "model"),
    [
        ({"model": "flat", "flat_amount": "99.00"}, Flat(D(99))),
        ({"model": "per_unit", "unit_amount": "0.000000000001"}, PerUnit(D("1e-12"))),
        ({"model": "package", "package_size": "100", "package_amount": "5"}, Package(D(100), D(5))),
        (
            {"model": "package", "package_size": 100, "package_amount": D(5), "package_rounding": "down"},
            Package(D(100), D(5), "down"),
        ),
        ({"model": "graduated", "tiers": TIERS}, Graduated(READ_TIERS)),
        ({"model": "volume", "tiers": TIERS}, Volume(READ_TIERS)),
        (
            {"model": "stairstep", "tiers": [{"up_to": None, "flat_amount": "5"}], "cumulative": True},
            Stairstep((Tier(None, flat_amount=D(5)),), cumulative=True),
        ),
        (
            {"model": "percentage", "rate_percent": "2.9", "free_events": "3", "per_transaction_max": "12"},
            Percentage(D("2.9"), free_events=3, per_transaction_max=D(12)),
        ),
        ({"model": "dynamic"}, Dynamic()),
    ],
)
def test_each_model_is_read_from_its_own_fields(price: dict[str, object], model: object) -> None:
    assert parse_price(price) == PriceRule(model)  # type: ignore[arg-type]


def test_tiers_of_percentages_and_dimensions_are_read() -> None:
    tiers = [{"up_to": None, "rate_percent": "1", "cap_amount": "5"}]
    percentages = parse_price({"model": "graduated_percentage", "tiers": tiers})
    assert isinstance(percentages.model, GraduatedPercentage)
    assert (percentages.model.tiers[0].rate_percent, percentages.model.tiers[0].cap_amount) == (1, 5)
    dimensions = parse_price({"model": "graduated_by_dimension", "tiers": DIMENSIONS}).model
    assert isinstance(dimensions, GraduatedByDimension)
    assert dict(dimensions.tiers[0].unit_amounts) == {"eu": D(1), "us": D(2)}


def test_what_surrounds_the_model_is_read_too() -> None:
    rule = parse_price(
        {
            "model": "per_unit",
            "unit_amount": "1",
            "included_units": "1000",
            "minimum_amount": "5.00",
            "maximum_amount": "50",
            "unit_conversion": {"op": "divide", "factor": "1000", "rounding": "ceil"},
            "zero_quantity": "first_tier_flat",
        }
    )
    assert rule == PriceRule(
        PerUnit(D(1)), D(1000), D(5), D(50), UnitConversion("divide", D(1000), "ceil"), "first_tier_flat"
    )


def test_a_null_field_counts_as_absent() -> None:
    price: dict[str, object] = dict.fromkeys(ARITHMETIC_FIELDS)
    assert parse_price({**price, "model": "flat", "flat_amount": "1"}) == PriceRule(Flat(D(1)))


@pytest.mark.parametrize(
    ("price", "fault"),
    [
        ({}, ("model", "missing")),
        ({"model": "block_tiered"}, ("model", "invalid")),
        ({"model": "flat"}, ("flat_amount", "missing")),
        ({"model": "flat", "flat_amount": "1", "colour": None}, ("colour", "unknown")),
        ({"model": "flat", "flat_amount": "1", "unit_amount": "1"}, ("unit_amount", "unknown")),
        ({"model": "per_unit", "unit_amount": "1", "free_units": "5"}, ("free_units", "unknown")),
        ({"model": "percentage", "rate_percent": "1", "included_units": "5"}, ("included_units", "unknown")),
        ({"model": "flat", "flat_amount": 1.5}, ("flat_amount", "invalid")),
        ({"model": "flat", "flat_amount": "-1"}, ("flat_amount", "invalid")),
        ({"model": "flat", "flat_amount": "one"}, ("flat_amount", "invalid")),
        ({"model": "per_unit", "unit_amount": "0.0000000000001"}, ("unit_amount", "precision")),
        ({"model": "per_unit", "unit_amount": "1e26"}, ("unit_amount", "precision")),
        ({"model": "package", "package_size": "0", "package_amount": "1"}, ("package_size", "invalid")),
        (
            {"model": "flat", "flat_amount": "1", "minimum_amount": "2", "maximum_amount": "1"},
            ("maximum_amount", "order"),
        ),
        (
            {"model": "percentage", "rate_percent": "1", "free_events": "1.5"},
            ("free_events", "invalid"),
        ),
        ({"model": "graduated", "tiers": []}, ("tiers", "invalid")),
        ({"model": "graduated", "tiers": "no"}, ("tiers", "invalid")),
        ({"model": "graduated", "tiers": [3]}, ("tiers.0", "invalid")),
        ({"model": "graduated", "tiers": [{"up_to": "5"}]}, ("tiers.0.up_to", "order")),
        ({"model": "graduated", "tiers": [{"unit_amount": "5"}] * 2}, ("tiers.0.up_to", "missing")),
        (
            {"model": "graduated", "tiers": [{"up_to": "5"}, {"up_to": "5"}, {"up_to": None}]},
            ("tiers.1.up_to", "order"),
        ),
        ({"model": "graduated", "tiers": [{"up_to": None, "price": "1"}]}, ("tiers.0.price", "unknown")),
        ({"model": "stairstep", "tiers": TIERS}, ("tiers.0.unit_amount", "unknown")),
        ({"model": "stairstep", "tiers": TIERS[1:], "cumulative": "yes"}, ("cumulative", "invalid")),
        (
            {"model": "graduated_by_dimension", "tiers": [{"unit_amounts": {"eu": 1.5}}]},
            ("tiers.0.unit_amounts.eu", "invalid"),
        ),
        (
            {"model": "per_unit", "unit_amount": "1", "unit_conversion": {"op": "divide", "factor": "0"}},
            ("unit_conversion.factor", "invalid"),
        ),
        (
            {"model": "per_unit", "unit_amount": "1", "unit_conversion": {"op": "root", "factor": "2"}},
            ("unit_conversion.op", "invalid"),
        ),
        ({"model": "per_unit", "unit_amount": "1", "unit_conversion": 5}, ("unit_conversion", "invalid")),
    ],
)
def test_a_price_that_cannot_be_read_names_the_field_and_why(price: dict[str, object], fault: tuple[str, str]) -> None:
    assert faults(price) == {fault}


def test_all_faults_of_a_price_are_named_at_once() -> None:
    assert faults({"model": "package", "package_size": "x", "package_rounding": "sideways"}) == {
        ("package_size", "invalid"),
        ("package_amount", "missing"),
        ("package_rounding", "invalid"),
    }


def test_the_models_that_are_known_are_listed() -> None:
    assert known_models()[:5] == ("flat", "per_unit", "package", "graduated", "volume")


@pytest.mark.parametrize(
    ("price", "reads"),
    [
        ({"model": "graduated", "tiers": TIERS}, False),
        ({"model": "percentage", "rate_percent": "1"}, False),
        ({"model": "percentage", "rate_percent": "1", "fixed_amount": "0.1"}, True),
        ({"model": "percentage", "rate_percent": "1", "free_events": "0"}, True),
        ({"model": "dynamic"}, False),
        ({"model": "graduated_by_dimension", "tiers": DIMENSIONS}, True),
    ],
)
def test_a_price_says_whether_it_depends_on_single_events(price: dict[str, object], reads: bool) -> None:
    assert parse_price(price).reads_events is reads
