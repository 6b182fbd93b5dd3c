from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.money import (
    Rounding,
    RoundingMode,
    UnableToSplit,
    UnknownCurrency,
    decimal_of,
    exact,
    exact_sum,
    minor_places,
    minor_units,
    money_text,
    quantity_text,
    quantize,
    round_money,
    rounded,
    split,
)

D = Decimal


@pytest.mark.parametrize("value", [3, "3", D(3), "3.0", "+3", "30e-1"])
def test_ints_decimal_strings_and_decimals_are_exact_numbers(value: int | str | Decimal) -> None:
    assert exact(value) == D(3)


@pytest.mark.parametrize("value", [1.5, True, None, b"1", Fraction(1, 2)])
def test_floats_booleans_and_other_types_are_refused(value: object) -> None:
    with pytest.raises(TypeError):
        exact(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "value", ["nan", "sNaN", "Infinity", "", "1_000", " 1", "1,5", "\u0661", "1e999999999", "1e500", "1e-500"]
)
def test_text_that_is_no_number_or_far_too_large_is_refused(value: str) -> None:
    with pytest.raises(ValueError):
        exact(value)


@pytest.mark.parametrize("value", [D("NaN"), D("-Infinity"), D("1E+999999"), 10**1000])
def test_decimals_that_are_not_finite_or_far_too_large_are_refused(value: Decimal | int) -> None:
    with pytest.raises(ValueError):
        exact(value)


@pytest.mark.parametrize(
    ("currency", "places"), [("USD", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4), ("MGA", 0), ("UGX", 0)]
)
def test_each_currency_has_its_own_minor_unit(currency: str, places: int) -> None:
    assert minor_places(currency) == places


@pytest.mark.parametrize("currency", ["usd", "ABC", "", "XXX", "XAU"])
def test_an_unknown_currency_is_an_error(currency: str) -> None:
    with pytest.raises(UnknownCurrency):
        minor_places(currency)


def test_an_amount_stays_exact_where_nothing_rounds_it() -> None:
    assert rounded(Fraction(1, 8), None) == D("0.125")
    assert rounded(Fraction(1, 3), None) == D("0." + "3" * 30)
    assert rounded(D("0.125"), Rounding(2)) == D("0.13")


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        # 2.5, -2.5, 2.4, -2.6 in each mode, by hand
        ("half_up", [3, -3, 2, -3]),
        ("half_even", [2, -2, 2, -3]),
        ("ceil", [3, -2, 3, -2]),
        ("floor", [2, -3, 2, -3]),
    ],
)
def test_the_four_rounding_modes_treat_ties_and_signs_as_named(mode: RoundingMode, expected: list[int]) -> None:
    values = [D("2.5"), D("-2.5"), D("2.4"), D("-2.6")]
    assert [quantize(value, 0, mode) for value in values] == expected
    assert [quantize(Fraction(value), 0, mode) for value in values] == expected


def test_negative_places_round_to_hundreds_and_print_plainly() -> None:
    assert str(quantize(D(1250), -2)) == "1300"
    assert str(quantize(Fraction(1250), -2)) == "1300"


def test_a_third_is_rounded_from_its_exact_value() -> None:
    assert round_money(Fraction(100, 3), "USD") == D("33.33")
    assert round_money(Fraction(-5, 1000), "USD") == D("-0.01")


def test_what_rounds_to_nothing_is_plain_zero() -> None:
    assert str(round_money(D("-0.001"), "USD")) == "0.00"


def test_a_sum_keeps_every_digit() -> None:
    # 10^30 + 10^-30 needs 61 digits, twice what an ordinary decimal context keeps
    assert exact_sum([D("1e30"), D("1e-30"), D("-1e30")]) == D("1e-30")


def test_the_largest_remainders_get_the_missing_cents() -> None:
    # 10.00 over 1 : 1 : 1 is 3.333 each; the one missing cent goes to the first of the tie
    assert split(D(10), [D(1), D(1), D(1)], 2) == [D("3.34"), D("3.33"), D("3.33")]
    # 1.00 over 1 : 2 is 33.3 and 66.7 cents; the second lost more
    assert split(D(1), [D(1), D(2)], 2) == [D("0.33"), D("0.67")]
    assert split(D(-10), [D(1), D(1), D(1)], 2) == [D("-3.34"), D("-3.33"), D("-3.33")]


def test_nothing_is_split_into_nothings() -> None:
    assert split(D(0), [D(0), D(0)], 2) == [D(0), D(0)]


@pytest.mark.parametrize(
    ("amount", "weights"), [(D(1), [D(0)]), (D(1), []), (D("0.001"), [D(1)]), (D(1), [D(2), D(-1)])]
)
def test_a_split_that_could_not_sum_back_is_refused(amount: Decimal, weights: list[Decimal]) -> None:
    with pytest.raises(UnableToSplit):
        split(amount, weights, 2)


@given(
    cents=st.integers(-(10**15), 10**15),
    weights=st.lists(st.decimals(0, 10**9, places=6), min_size=1, max_size=20).filter(any),
)
def test_a_split_conserves_the_amount_and_strays_less_than_a_cent(cents: int, weights: list[Decimal]) -> None:
    amount = D(cents).scaleb(-2)
    parts = split(amount, weights, 2)
    assert exact_sum(parts) == amount
    total = sum(map(Fraction, weights))
    for part, weight in zip(parts, weights, strict=True):
        assert abs(Fraction(part) - Fraction(amount) * Fraction(weight) / total) < Fraction(1, 100)


def test_money_is_printed_with_the_places_of_its_currency() -> None:
    assert money_text(D(5), "USD") == "5.00"
    assert money_text(D("1E+2"), "JPY") == "100"
    assert money_text(D("5.000000"), "KWD") == "5.000"
    with pytest.raises(ValueError):
        money_text(D("5.001"), "USD")


def test_quantities_are_printed_without_exponent_or_trailing_zeros() -> None:
    assert [quantity_text(D(text)) for text in ("1E+3", "1.500", "-0", "1E-7")] == [
        "1000",
        "1.5",
        "0",
        "0.0000001",
    ]


def test_an_amount_is_counted_in_minor_units_and_in_the_steps_a_processor_takes() -> None:
    assert minor_units(D("5.124"), 3) == 5124
    assert [minor_units(D("5.124"), 3, 10, mode) for mode in ("half_up", "floor", "ceil")] == [
        5120,
        5120,
        5130,
    ]


def test_a_ratio_is_a_decimal_that_is_exact_where_it_ends() -> None:
    assert decimal_of(Fraction(1, 2**40)) == D(5) ** 40 / D(10) ** 40
    assert decimal_of(Fraction(2, 3), 4) == D("0.6667")
    assert decimal_of(Fraction(-7, 1)) == -7
