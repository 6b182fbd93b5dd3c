from decimal import Decimal

import pytest

from billing.metering.readings import InvalidValue, MissingValue, read_text, read_value

D = Decimal


@pytest.mark.parametrize(
    ("found", "number"),
    [(12, "12"), (D("0.10"), "0.1"), ("1e3", "1000"), ("-0.5", "-0.5"), (10**37, "1e37"), ("0e999", "0")],
)
def test_json_numbers_and_numeric_strings_are_exact_numbers(found: object, number: str) -> None:
    assert read_value({"tokens": found}, "tokens") == D(number)


@pytest.mark.parametrize(
    "found",
    [
        True,
        1.5,
        [],
        {},
        "",
        "NaN",
        "Infinity",
        "12 ",
        "1_000",
        D("NaN"),
        D("sNaN"),
        D("-Infinity"),
        10**38,
        -(10**1000),
        "1e999999999",
        D("1E+999999"),
        D("1E-999999"),
        "0." + "0" * 38 + "1",
        "1" * 39,
        "1" * 20 + "." + "1" * 19,
    ],
)
def test_anything_else_is_an_invalid_value_not_an_exception(found: object) -> None:
    assert isinstance(read_value({"tokens": found}, "tokens"), InvalidValue)


@pytest.mark.parametrize("data", [{}, {"tokens": None}, {"usage": {}}, {"usage": 3}])
def test_an_absent_or_null_property_is_missing(data: dict[str, object]) -> None:
    path = "usage.tokens" if "usage" in data else "tokens"
    assert read_value(data, path) == MissingValue(path)
    assert read_text(data, path) == MissingValue(path)


def test_a_dotted_path_leads_into_nested_objects_unless_the_property_itself_has_dots() -> None:
    assert read_value({"usage": {"tokens": 5}}, "usage.tokens") == 5
    assert read_value({"usage.tokens": 6, "usage": {"tokens": 5}}, "usage.tokens") == 6


@pytest.mark.parametrize(
    ("found", "text"), [("m1", "m1"), (1, "1"), (D("1.0"), "1"), (True, "true"), (False, "false"), ("", "")]
)
def test_texts_are_told_apart_by_their_plain_writing(found: object, text: str) -> None:
    assert read_text({"model": found}, "model") == text


@pytest.mark.parametrize("found", [1.5, [], D("NaN")])
def test_what_has_no_plain_writing_is_invalid(found: object) -> None:
    assert isinstance(read_text({"model": found}, "model"), InvalidValue)
