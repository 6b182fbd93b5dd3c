"""The runner itself: what differs is found, and nothing outside the vocabulary passes."""

from decimal import Decimal
from typing import Any

import pytest

from tests.golden import test_golden as runner
from tests.golden.unsupported import KINDS
from tests.golden.vocabulary import ADAPTERS, differences, instant

GOOD = {"model": "per_unit", "quantity": "10", "unit_amount": "10"}


def run(input: dict[str, Any], expected: dict[str, Any]) -> None:
    runner.test_golden_case({"id": "x", "input": input, "expected": expected})


def test_a_right_case_passes_and_a_wrong_one_fails() -> None:
    run(GOOD, {"amount": "100.00"})
    with pytest.raises(AssertionError, match="expected 101"):
        run(GOOD, {"amount": "101"})


@pytest.mark.parametrize(
    ("input", "expected"),
    [
        ({**GOOD, "colour": "red"}, {"amount": "100"}),
        ({**GOOD, "model": "barter"}, {"amount": "100"}),
        ({"colour": "red"}, {}),
        (GOOD, {"sum": "100"}),
        (GOOD, {"amount": None}),
        ({**GOOD, "quantity": 10.0}, {"amount": "100"}),
    ],
)
def test_what_is_outside_the_vocabulary_never_passes(input: dict[str, Any], expected: dict[str, Any]) -> None:
    with pytest.raises((AssertionError, TypeError)):
        run(input, expected)


def test_unsupported_kinds_are_skipped_with_their_reason() -> None:
    capacity = {"input": {"model": "capacity"}}
    assert runner.reason_to_skip(capacity) == "capacity: one system's own rule"
    in_a_sum = {"input": {"model": "sum_of", "parts": [GOOD, {"model": "sum_of", "parts": [capacity["input"]]}]}}
    assert runner.reason_to_skip(in_a_sum) == "capacity: one system's own rule"
    assert runner.reason_to_skip({"input": {"model": "sum_of", "parts": [GOOD]}}) is None
    assert not set(KINDS) & set(ADAPTERS)


def test_the_kind_of_a_case_is_its_kind_its_model_or_its_aggregation() -> None:
    inputs: list[dict[str, Any]] = [{"kind": "tax"}, GOOD, {"aggregation": "sum"}, {"lines": []}, {}]
    assert [runner.kind_of(input) for input in inputs] == ["tax", "per_unit", "sum", "invoice", "unknown"]


def test_numbers_instants_and_nulls_compare_by_meaning() -> None:
    def same(expected: object, actual: object, tolerance: str = "0") -> bool:
        return not differences({"x": expected}, {"x": actual, "y": 1}, Decimal(tolerance))

    assert same("1.50", Decimal("1.5")) and not same("1.50", Decimal("1.51"))
    assert same("1.50", Decimal("1.51"), "0.01")
    assert same("2024-01-01T00:00:00Z", instant("2024-01-01T00:00:00.000Z"))
    assert same(None, None) and not same(None, Decimal(0)) and not same("0", None)
    assert same({"a": "1"}, {"a": Decimal(1)}) and not same({"a": "1"}, {"a": Decimal(1), "b": Decimal(0)})
    assert same(["1", "2"], [1, 2]) and not same(["1"], [1, 2]) and not same({"a": "1"}, "a")
