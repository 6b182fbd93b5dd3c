"""Cells of an export: numbers plain, instants in ISO 8601, and nothing a spreadsheet would run."""

from __future__ import annotations

import csv
import datetime as dt
import io
from decimal import Decimal
from typing import Any

import pytest
from django.contrib import admin
from django.utils.html import format_html

from catalog.exporting import cell, columns_of, csv_lines, defused
from catalog.models import Plan


# The characters are those of the OWASP page on CSV injection.
@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
def test_text_that_a_spreadsheet_would_run_gets_an_apostrophe(start: str) -> None:
    assert defused(f'{start}HYPERLINK("http://x","y")') == f'\'{start}HYPERLINK("http://x","y")'


@pytest.mark.parametrize("text", ["Acme GmbH", "a=b", "", "1-2", "-12.50", "-7"])
def test_other_text_and_negative_numbers_stay_as_they_are(text: str) -> None:
    assert defused(text) == text


@pytest.mark.parametrize("text", ["-1+1", "--1", "-", "-1.2.3", "-\u0661"])
def test_what_only_begins_like_a_number_is_text(text: str) -> None:
    assert defused(text) == f"'{text}"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "yes"),
        (False, "no"),
        (1234567, "1234567"),
        (Decimal("1234.5000"), "1234.5"),
        (Decimal("-0.000002"), "-0.000002"),
        (dt.date(2026, 3, 1), "2026-03-01"),
        (dt.datetime(2026, 3, 1, 12, 30, tzinfo=dt.UTC), "2026-03-01T12:30:00+00:00"),
        (["a", "b"], "a, b"),
        (["=a"], "'=a"),
        ({"a": Decimal("1.5")}, '{"a": "1.5"}'),
    ],
)
def test_a_value_becomes_the_text_of_a_cell(value: Any, text: str) -> None:
    assert cell(value) == text


def test_quotes_commas_and_line_breaks_survive_the_way_through_a_file() -> None:
    told = ['He said "no"', "a, b", "two\nlines", "Éditions"]
    lines = csv_lines([(str(n), lambda row, n=n: row[n]) for n in range(4)], [told])
    text = "".join(lines)
    assert text.startswith("\ufeff")
    assert list(csv.reader(io.StringIO(text[1:], newline="")))[1] == told


class MarkedDesk(admin.ModelAdmin[Plan]):
    @admin.display(description="marked")
    def marked(self, plan: Plan) -> str:
        return format_html("<b>{}</b>", plan.name)


@pytest.mark.parametrize(("name", "text"), [("Fish & Chips < 5", "Fish & Chips < 5"), ("=1+1", "'=1+1")])
def test_a_cell_that_is_dressed_on_the_page_is_plain_text_in_the_file(name: str, text: str) -> None:
    columns = columns_of(MarkedDesk(Plan, admin.site), ["marked"])
    lines = "".join(csv_lines(columns, [Plan(name=name)]))
    assert list(csv.reader(io.StringIO(lines.lstrip("\ufeff")))) == [["marked"], [text]]
