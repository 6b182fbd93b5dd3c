import pytest

from billing.rating.calculate import InvalidRequest, calculate

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
