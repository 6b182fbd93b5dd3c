"""Documents are read exactly as they are written."""

import datetime as dt
from decimal import Decimal
from pathlib import Path

import pytest

from revops.vocabulary.documents import UnableToRead, read_file, read_text


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("0.1", Decimal("0.1")),
        ("0.10", Decimal("0.10")),
        ("123456789012345678901234567890.000000000001", Decimal("123456789012345678901234567890.000000000001")),
        ("1e3", Decimal("1e3")),
        ("-.5", Decimal("-0.5")),
        ("007", 7),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("0x10", "0x10"),
        (".nan", ".nan"),
        ("NO", "NO"),
        ("on", "on"),
        ("true", True),
        ("~", None),
        ("2026-01-31", dt.date(2026, 1, 31)),
        ("'2026-01-31'", "2026-01-31"),
        ("2026-01-31T12:00:00Z", dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)),
        ("2026-01-31T12:00:00.5+01:00", dt.datetime(2026, 1, 31, 11, 0, 0, 500_000, tzinfo=dt.UTC)),
        ("2026-01-31 12:00:00", dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)),
    ],
)
def test_a_scalar_keeps_its_meaning(written: str, read: object) -> None:
    found = read_text(f"value: {written}")["value"]
    assert found == read
    assert type(found) is type(read)
    assert str(found) == str(read)


def test_words_that_yaml_once_took_for_booleans_are_keys() -> None:
    assert read_text("{on: 1, no: 2, y: 3}") == {"on": 1, "no": 2, "y": 3}


def test_json_numbers_are_exact_and_dates_stay_text() -> None:
    assert read_text('{"a": 0.10, "b": "2026-01-01"}') == {"a": Decimal("0.10"), "b": "2026-01-01"}
    assert str(read_text('{"a": 0.10}')["a"]) == "0.10"


@pytest.mark.parametrize(
    "text", ["a: 1\nb: 2\na: 3", '{"a": 1, "a": 2}', "a: [", "a: !!python/name:os.system x", '{"a": NaN}', "[" * 5000]
)
def test_what_is_no_document_or_says_a_thing_twice_is_refused(text: str) -> None:
    with pytest.raises(UnableToRead):
        read_text(text)


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnableToRead, match=r"missing\.yaml"):
        read_file(tmp_path / "missing.yaml")
