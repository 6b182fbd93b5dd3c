from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.rating.calculate import InvalidRequest, calculate
from catalog.money import exact_sum
from catalog.pricing import ARITHMETIC_FIELDS, known_models

PRICE = {
    "key": "tokens",
    "kind": "usage",
    "meter": "tokens",
    "model": "per_unit",
    "unit_amount": "0.0123",
    "billing": "in_arrears",
}


def faults(request: object) -> set[tuple[str, str]]:
    with pytest.raises(InvalidRequest) as refused:
        calculate(request)
    return {(error.path, error.code) for error in refused.value.errors}


def test_a_price_as_in_a_scenario_file_is_calculated_with_its_steps() -> None:
    assert calculate({"currency": "USD", "price": PRICE, "quantity": "3"}) == {
        "amount": "0.04",
        "steps": [
            {
                "description": "at 0.0123 each",
                "quantity": "3",
                "unit_amount": "0.0123",
                "amount": "0.0369",
            },
            {
                "description": "rounded to 2 places",
                "quantity": None,
                "unit_amount": None,
                "amount": "0.0031",
            },
        ],
    }


def test_an_array_is_answered_by_an_array_and_money_has_its_places() -> None:
    fees = {"model": "percentage", "rate_percent": "1", "fixed_amount": "1"}
    answers = calculate(
        [
            {"currency": "JPY", "price": PRICE, "quantity": "100"},
            {"currency": "EUR", "price": fees, "events": ["100", {"value": "300"}]},
        ]
    )
    assert isinstance(answers, list)
    assert [answer["amount"] for answer in answers] == ["1", "6.00"]


@pytest.mark.parametrize(
    ("request_", "fault"),
    [
        ("text", ("", "invalid")),
        ({"price": PRICE, "quantity": "1"}, ("currency", "missing")),
        ({"currency": "usd", "price": PRICE, "quantity": "1"}, ("currency", "invalid")),
        ({"currency": ["USD"], "price": PRICE, "quantity": "1"}, ("currency", "invalid")),
        ({"currency": "USD", "quantity": "1"}, ("price", "missing")),
        ({"currency": "USD", "price": PRICE}, ("quantity", "missing")),
        ({"currency": "USD", "price": PRICE, "quantity": "1", "events": []}, ("quantity", "conflict")),
        ({"currency": "USD", "price": PRICE, "quantity": 1.5}, ("quantity", "invalid")),
        ({"currency": "USD", "price": PRICE, "quantity": "1", "at": "noon"}, ("at", "unknown")),
        ({"currency": "USD", "price": {**PRICE, "cost": "1"}, "quantity": "1"}, ("price.cost", "unknown")),
        ({"currency": "USD", "price": PRICE, "events": "1"}, ("events", "invalid")),
        ({"currency": "USD", "price": PRICE, "events": [{}]}, ("events.0.value", "missing")),
        (
            {"currency": "USD", "price": PRICE, "events": [{"value": "1", "dimension": 3}]},
            ("events.0.dimension", "invalid"),
        ),
        ([{"currency": "USD", "price": PRICE, "quantity": "x"}], ("0.quantity", "invalid")),
        (
            {
                "currency": "USD",
                "price": {"model": "percentage", "rate_percent": "1", "free_events": "1"},
                "quantity": "5",
            },
            ("events", "missing"),
        ),
    ],
)
def test_what_cannot_be_calculated_is_refused_by_name(request_: object, fault: tuple[str, str]) -> None:
    assert faults(request_) == {fault}


numbers = st.one_of(
    st.sampled_from(["0", "1", "12.5", "-3", "1e30", "1e-30", "1e999999", "NaN", "x", ""]),
    st.integers(-10, 10**30),
    st.floats(),
    st.none(),
    st.booleans(),
)
anything = st.one_of(numbers, st.lists(numbers, max_size=2), st.dictionaries(st.text(max_size=3), numbers))
tiers = st.lists(
    st.dictionaries(
        st.sampled_from(["up_to", "unit_amount", "flat_amount", "rate_percent", "unit_amounts", "cap_amount"]),
        anything,
    ),
    max_size=3,
)
prices = st.builds(
    lambda model, fields, tiers: {"model": model, **fields, **({"tiers": tiers} if tiers else {})},
    st.sampled_from([*known_models(), "barter", None]),
    st.dictionaries(st.sampled_from(sorted(ARITHMETIC_FIELDS - {"model", "tiers"})), anything, max_size=4),
    tiers,
)
requests = st.dictionaries(
    st.sampled_from(["currency", "price", "quantity", "events"]),
    st.one_of(anything, prices, st.sampled_from(["USD", "JPY"])),
)


@given(request_=st.one_of(anything, requests, st.lists(requests, max_size=2)))
def test_whatever_is_sent_is_calculated_or_refused_by_name(request_: object) -> None:
    try:
        calculate(request_)
    except InvalidRequest as refused:
        assert refused.errors


@given(price=prices, quantity=st.sampled_from(["0", "7", "-2.5", "1e30", "1e-30"]))
def test_any_price_that_is_read_can_be_charged(price: dict[str, object], quantity: str) -> None:
    for use in ({"quantity": quantity}, {"events": [{"value": quantity, "dimension": "eu"}]}):
        try:
            answer = calculate({"currency": "USD", "price": price, **use})
        except InvalidRequest as refused:
            assert refused.errors
        else:
            assert isinstance(answer, dict)
            steps = answer["steps"]
            assert isinstance(steps, list)
            assert exact_sum(D(step["amount"]) for step in steps) == D(str(answer["amount"]))
