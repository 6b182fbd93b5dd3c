"""What was expected is compared by what it names, as values and not as texts."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from revops.simulation.comparing import Mismatch, differences


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ("1.5", "1.50"),
        (Decimal("1.5"), "1.500"),
        (2, "2"),
        ("1e3", "1000"),
        (dt.date(2026, 1, 1), "2026-01-01"),
        (dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC), "2026-01-01T12:00:00+00:00"),
        ("2026-01-01T13:00:00+01:00", "2026-01-01T12:00:00Z"),
        (None, None),
        (True, True),
        ({"a": "1"}, {"a": "1.0", "b": "2"}),
        ({"a": None}, {}),
        ([], []),
        ([{"a": 1}], [{"a": "2"}, {"a": "1"}]),
        ([{}], [{"a": "1"}, {"a": "2"}]),
        # the first expected item fits both, the second only the first actual one
        ([{"kind": "usage"}, {"kind": "usage", "n": 1}], [{"kind": "usage", "n": "1"}, {"kind": "usage", "n": "2"}]),
    ],
)
def test_the_outcome_holds_what_was_expected(expected: Any, actual: Any) -> None:
    assert differences(expected, actual, "") == []


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ("1.5", "1.51"),
        ("open", "closed"),
        (None, "1"),
        ("1", None),
        (True, "true"),
        (1, True),
        ({"a": 1}, None),
        ([], [{"a": 1}]),
        ([{"a": 1}, {"a": 1}], [{"a": 1}]),
        ([1], "1"),
        ("2026-01-01T13:00:00+01:00", "2026-01-01T13:00:00Z"),
    ],
)
def test_the_outcome_does_not_hold_what_was_expected(expected: Any, actual: Any) -> None:
    assert differences(expected, actual, "here")


def test_a_mismatch_names_the_place_in_what_was_expected_and_both_values() -> None:
    expected = {
        "invoices": [{"number": "INV-2", "lines": [{"price": "base", "amount": Decimal("9.00")}], "total": "9"}]
    }
    actual = {
        "invoices": [
            {"number": "INV-1", "lines": [], "total": "9"},
            {"number": "INV-2", "lines": [{"price": "base", "amount": "8.00"}], "total": "9"},
        ]
    }
    assert differences(expected["invoices"], actual["invoices"], "invoices") == [
        Mismatch("invoices[0].lines[0].amount", "9.00", "8.00")
    ]


def test_an_item_that_nothing_is_left_for_is_missing() -> None:
    assert differences([{"a": 1}, {"a": 2}], [{"a": 2}], "list") == [Mismatch("list[0]", {"a": 1}, None)]
