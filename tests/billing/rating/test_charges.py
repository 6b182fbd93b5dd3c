from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from billing.rating.parts import UnableToCharge
from catalog.money import Rounding, exact_sum
from catalog.pricing import PriceRule, UnitConversion, parse_price

D = Decimal
TIERS = [{"up_to": "10000", "unit_amount": "0.002"}, {"up_to": None, "unit_amount": "0.001"}]


def rule(model: str, **fields: Any) -> PriceRule:
    return parse_price({"model": model, **fields})


def explained(done: Charge) -> list[tuple[str, str]]:
    return [(step.description, str(step.amount)) for step in done.steps]


def test_a_charge_explains_itself_in_steps() -> None:
    # 1,200 tokens, 1,000 of them included: 200 x 0.002 = 0.40, raised to 5.00
    tokens = rule("graduated", tiers=TIERS, included_units="1000", minimum_amount="5.00")
    done = charge(tokens, D(1200), "USD")
    assert done.amount == D("5.00")
    assert [(step.description, step.quantity, step.amount) for step in done.steps] == [
        ("first 1,000 units included", 1000, 0),
        ("up to 10,000 at 0.002 each", 200, D("0.4")),
        ("minimum 5.00 raises by 4.60", None, D("4.6")),
    ]


def test_the_order_is_conversion_included_model_maximum_rounding() -> None:
    # 12,345 / 1000 = 13 begun thousands; 3 included; 10 x 0.3333 = 3.333; at most 3.3 -> 3.30
    price = rule(
        "per_unit",
        unit_amount="0.3333",
        included_units="3",
        unit_conversion={"op": "divide", "factor": "1000", "rounding": "ceil"},
    )
    assert charge(price, D(12345), "USD").amount == D("3.33")
    capped = rule("per_unit", unit_amount="0.3333", maximum_amount="3.3")
    assert explained(charge(capped, D(10), "USD"))[-1] == ("maximum 3.30 lowers by 0.033", "-0.033")


def test_rounding_is_the_last_step_and_happens_once() -> None:
    # three tiers of 0.005 would round to 0.03 one by one; together 0.015 is 0.02
    tiers = [{"up_to": "1", "flat_amount": "0.005"}, {"up_to": "2", "flat_amount": "0.005"}]
    done = charge(rule("graduated", tiers=[*tiers, {"up_to": None, "flat_amount": "0.005"}]), D(3), "EUR")
    assert done.amount == D("0.02")
    assert explained(done)[-1] == ("rounded to 2 places", "0.005")


def test_an_amount_is_rounded_to_the_minor_unit_of_its_currency() -> None:
    price = rule("per_unit", unit_amount="0.1235")
    assert [charge(price, D(1), code).amount for code in ("USD", "JPY", "KWD", None)] == [
        D("0.12"),
        0,
        D("0.124"),
        D("0.1235"),
    ]
    assert charge(price, D(1), None, rounding=Rounding(1, "ceil")).amount == D("0.2")


@pytest.mark.parametrize(
    ("model", "fields", "amount"),
    [
        ("flat", {"flat_amount": "99"}, "99"),
        ("per_unit", {"unit_amount": "1"}, "0"),
        ("package", {"package_size": "10", "package_amount": "5"}, "0"),
        ("graduated", {"tiers": [{"up_to": None, "flat_amount": "7"}]}, "0"),
        ("graduated", {"tiers": [{"flat_amount": "7"}], "zero_quantity": "first_tier_flat"}, "7"),
        ("volume", {"tiers": [{"flat_amount": "7"}], "zero_quantity": "first_tier_flat"}, "7"),
        ("per_unit", {"unit_amount": "1", "minimum_amount": "5"}, "5"),
    ],
)
def test_no_use_costs_nothing_but_flat_parts_and_minimums(model: str, fields: dict[str, Any], amount: str) -> None:
    assert charge(rule(model, **fields), D(0), "USD").amount == D(amount)


def test_use_within_the_included_units_is_no_use() -> None:
    price = rule("volume", tiers=[{"unit_amount": "1", "flat_amount": "7"}], included_units="10")
    assert charge(price, D(10), "USD").amount == 0
    assert charge(price, D(11), "USD").amount == 8


def test_a_quantity_below_zero_earns_nothing_in_tiers() -> None:
    tiers = [{"unit_amount": "1", "flat_amount": "7"}]
    assert charge(rule("graduated", tiers=tiers), D(-5), "USD").amount == 0
    assert charge(rule("volume", tiers=tiers), D(-5), "USD").amount == 0


def test_a_conversion_that_does_not_end_stays_exact() -> None:
    # 1 / 3 x 3 is 1, not 0.999...
    price = rule("per_unit", unit_amount="3", unit_conversion={"op": "divide", "factor": "3"})
    done = charge(price, D(1), None)
    assert done.amount == 1
    assert exact_sum(step.amount for step in done.steps) == 1


def test_a_stairstep_costs_its_band_or_all_bands_up_to_it() -> None:
    tiers = [{"up_to": "10", "flat_amount": "50"}, {"up_to": None, "flat_amount": "100"}]
    assert charge(rule("stairstep", tiers=tiers), D(11), "USD").amount == 100
    assert charge(rule("stairstep", tiers=tiers, cumulative=True), D(11), "USD").amount == 150


def test_an_increment_is_the_difference_of_rounded_cumulative_amounts() -> None:
    # 333 x 0.001 = 0.33; 666 x 0.001 = 0.67; the second 333 cost 0.34
    price = rule("per_unit", unit_amount="0.001")
    done = charge_increment(price, D(333), D(333), "USD")
    assert done.amount == D("0.34")
    assert exact_sum(step.amount for step in done.steps) == D("0.34")


def test_windows_are_priced_one_by_one_or_as_their_sum() -> None:
    price = rule("graduated", tiers=[{"up_to": "5", "unit_amount": "0"}, {"unit_amount": "2"}])
    assert charge_windows(price, [D(8), D(0), D(10)], "USD").amount == 16  # 3 x 2 + 5 x 2
    assert charge_windows(price, [D(8), D(10)], "USD", combine="sum_then_rate").amount == 26  # 13 x 2


def test_a_percentage_explains_its_free_events_and_limits() -> None:
    # 100 free; 10 x 1% + 1 = 1.10 -> 2 at least; 900 x 1% + 1 = 10 -> 9 at most
    fees = rule(
        "percentage",
        rate_percent="1",
        fixed_amount="1",
        free_events="1",
        per_transaction_min="2",
        per_transaction_max="9",
    )
    done = charge_events(fees, [D(100), D(10), D(900)], "USD")
    assert done.amount == 11
    assert [(step.description, step.amount) for step in done.steps] == [
        ("events free", 0),
        ("1% of the amounts", D("9.1")),
        ("1 for each event", 2),
        ("at least 2 for each event", D("0.9")),
        ("at most 9 for each event", -1),
    ]


def test_an_event_that_just_uses_up_the_free_amount_is_billed_on_nothing() -> None:
    fees = rule("percentage", rate_percent="1", fixed_amount="1", free_amount="100")
    assert charge_events(fees, [D(60), D(40), D(10)], "USD").amount == D("2.10")  # 0 + 1, then 0.10 + 1


def test_a_price_over_single_events_refuses_a_total() -> None:
    with pytest.raises(UnableToCharge, match="single events"):
        charge(rule("percentage", rate_percent="1", free_events="1"), D(100), "USD")
    assert charge(rule("percentage", rate_percent="1"), D(100), "USD").amount == 1
    assert charge_events(rule("percentage", rate_percent="1"), [D(60), D(40)], "USD").amount == 1


def test_dimensions_fill_their_tiers_together() -> None:
    tiers = [{"up_to": "3", "unit_amounts": {"a": "2", "b": "1"}}, {"unit_amounts": {"a": "1", "b": "0.5"}}]
    price = rule("graduated_by_dimension", tiers=tiers)
    # 2 a at 2; 1 b at 1 and 1 b at 0.5; 1 a at 1
    events = [PricedEvent(D(2), "a"), PricedEvent(D(2), "b"), PricedEvent(D(1), "a")]
    assert charge_events(price, events, "USD").amount == D("6.50")
    with pytest.raises(UnableToCharge, match="'c'"):
        charge_events(price, [PricedEvent(D(1), "c")], "USD")
    with pytest.raises(UnableToCharge, match="below zero"):
        charge_events(price, [PricedEvent(D(-1), "a")], "USD")


def test_units_are_converted_and_counted_beyond_the_included_ones() -> None:
    assert converted(D(1500), UnitConversion("divide", D(1000), "half_up")) == 2
    assert converted(D(1400), UnitConversion("divide", D(1000), "floor")) == 1
    assert converted(D(3), UnitConversion("multiply", D("0.5"))) == D("1.5")
    assert billable_increment(D(20), D(15), D(10)) == 15
    assert billable_increment(D(5), D(15), D(10)) == 10


def test_a_tier_in_percent_may_cap_what_it_comes_to() -> None:
    tiers = [{"up_to": "500", "rate_percent": "10", "cap_amount": "20"}, {"up_to": None, "rate_percent": "2"}]
    done = charge(rule("graduated_percentage", tiers=tiers), D(1000), "USD")
    assert done.amount == 30  # 50 capped at 20, and 10
    assert [step.amount for step in done.steps] == [50, -30, 10]


def test_the_tier_of_an_increment_may_be_chosen_by_another_number() -> None:
    price = rule("volume", tiers=[{"up_to": "10", "unit_amount": "2"}, {"up_to": None, "unit_amount": "1"}])
    assert charge_increment(price, D(3), D(4), "USD").amount == 8
    assert charge_increment(price, D(3), D(4), "USD", tier_quantity=D(50)).amount == 4


def test_windows_may_be_rounded_each() -> None:
    price = rule("per_unit", unit_amount="0.335")
    assert charge_windows(price, [D(1)] * 3, "USD").amount == D("1.01")  # 1.005
    done = charge_windows(price, [D(1)] * 3, "USD", window_rounding=Rounding(2))
    assert done.amount == D("1.02")  # three times 0.34
    assert done.steps[-1].description == "each window rounded to 2 places"


money = st.decimals(0, 1000, places=6)
bounds = st.lists(st.integers(1, 10**6), min_size=0, max_size=4, unique=True).map(sorted)


@st.composite
def tiered(draw: st.DrawFn) -> list[dict[str, object]]:
    ends = [*draw(bounds), None]
    return [
        {
            "up_to": None if end is None else str(end),
            "unit_amount": str(draw(money)),
            "flat_amount": str(draw(money)),
        }
        for end in ends
    ]


quantities = st.decimals(0, 2 * 10**6, places=3)


@given(tiers=tiered(), first=quantities, second=quantities)
def test_more_use_never_costs_less_where_tiers_are_graduated(
    tiers: list[dict[str, object]], first: Decimal, second: Decimal
) -> None:
    price = rule("graduated", tiers=tiers)
    less, more = sorted((first, second))
    assert charge(price, less, "USD").amount <= charge(price, more, "USD").amount


@given(
    model=st.sampled_from(["graduated", "volume", "stairstep"]),
    tiers=tiered(),
    parts=st.lists(quantities, min_size=1, max_size=5),
    currency=st.sampled_from(["USD", "JPY", None]),
)
def test_use_that_is_charged_in_parts_costs_what_it_costs_at_once(
    model: str, tiers: list[dict[str, object]], parts: list[Decimal], currency: str | None
) -> None:
    bands = [{"up_to": tier["up_to"], "flat_amount": tier["flat_amount"]} for tier in tiers]
    price = rule(model, tiers=bands if model == "stairstep" else tiers)
    before = [exact_sum(parts[:index]) for index in range(len(parts))]
    charged = [charge_increment(price, prior, part, currency).amount for prior, part in zip(before, parts, strict=True)]
    assert exact_sum(charged) == charge(price, exact_sum(parts), currency).amount


@given(tiers=tiered(), windows=st.lists(quantities, max_size=5), places=st.integers(0, 3))
def test_windows_that_are_rounded_alone_add_up_to_their_sum(
    tiers: list[dict[str, object]], windows: list[Decimal], places: int
) -> None:
    price, each = rule("graduated", tiers=tiers), Rounding(places)
    done = charge_windows(price, windows, None, window_rounding=each)
    assert done.amount == exact_sum(charge(price, window, None, rounding=each).amount for window in windows)
    assert exact_sum(step.amount for step in done.steps) == done.amount


@given(
    model=st.sampled_from(["graduated", "volume"]),
    tiers=tiered(),
    quantity=quantities,
    included=quantities,
    minimum=st.one_of(st.none(), money),
    factor=st.integers(1, 999),
    currency=st.sampled_from(["USD", "JPY", "KWD", "CLF", None]),
)
def test_the_steps_add_up_to_the_amount(
    model: str,
    tiers: list[dict[str, object]],
    quantity: Decimal,
    included: Decimal,
    minimum: Decimal | None,
    factor: int,
    currency: str | None,
) -> None:
    conversion = {"op": "divide", "factor": factor}
    price = rule(model, tiers=tiers, included_units=included, minimum_amount=minimum, unit_conversion=conversion)
    done = charge(price, quantity, currency)
    assert exact_sum(step.amount for step in done.steps) == done.amount
    for step in done.steps:
        if step.quantity is not None and step.unit_amount is not None:
            product = Fraction(step.quantity) * Fraction(step.unit_amount)
            assert abs(product - Fraction(step.amount)) <= Fraction(1, 10**20)


def test_windows_that_reach_the_same_tier_share_a_step() -> None:
    """Days of 12, 5 and 30 units, 1.00 up to 10 and 0.50 above: 10 + 5 + 10 and 2 + 20."""
    rule = parse_price(
        {
            "model": "graduated",
            "tiers": [{"up_to": "10", "unit_amount": "1"}, {"up_to": None, "unit_amount": "0.50"}],
        }
    )
    charged = charge_windows(rule, [Decimal(12), Decimal(5), Decimal(30)], "USD")
    assert charged.amount == Decimal("36.00")
    assert [(step.quantity, step.amount) for step in charged.steps] == [(25, 25), (22, 11)]
