"""A list as CSV: what is filtered, every row of it, not only the page; streamed, with a bound.

A cell that a spreadsheet would take for a formula is preceded by an apostrophe: what a sender or a customer wrote is
text here and stays text there. Numbers are written plainly, instants in ISO 8601 with their offset.
"""

from __future__ import annotations

import csv
import datetime as dt
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from html import unescape
from typing import Any

from django.contrib.admin.utils import label_for_field, lookup_field
from django.core.exceptions import ObjectDoesNotExist
from django.db import models
from django.http import StreamingHttpResponse
from django.utils.html import strip_tags
from django.utils.safestring import SafeString

from catalog.money import quantity_text

EXPORTED_UP_TO = 200_000  # rows
CHUNK = 2_000
FORMULA_STARTS = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")  # the last four are full-width = + - @

Column = tuple[str, Callable[[Any], Any]]


class Echo:
    """A file that hands back what is written to it."""

    def write(self, text: str) -> str:
        return text


def csv_response(desk: Any, rows: models.QuerySet[Any], names: Sequence[str], filename: str) -> StreamingHttpResponse:
    """The rows as a download, `names` being columns as in `list_display`; no more than 200,000 rows."""
    columns = columns_of(desk, names)
    found = rows[:EXPORTED_UP_TO].iterator(chunk_size=CHUNK)
    response = StreamingHttpResponse(csv_lines(columns, found), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{filename}"'
    response["Cache-Control"] = "no-store"
    return response


def csv_lines(columns: Sequence[Column], rows: Iterable[Any]) -> Iterator[str]:
    """Lines of CSV; the mark at the start tells spreadsheets that it is UTF-8."""
    writer = csv.writer(Echo())
    yield "\ufeff" + writer.writerow([heading for heading, _ in columns])
    for row in rows:
        yield writer.writerow([cell(read(row)) for _, read in columns])


def columns_of(desk: Any, names: Sequence[str]) -> list[Column]:
    """The columns of a list for a file; those of money and quantities say themselves what they are there."""
    columns: list[Column] = []
    for name in names:
        cells = getattr(getattr(desk, name, None), "cells", None)
        for heading, read in cells or [(str(label_for_field(name, desk.model, desk)), _reading(desk, name))]:
            if heading not in [known for known, _ in columns]:
                columns.append((heading, read))
    return columns


def _reading(desk: Any, name: str) -> Callable[[Any], Any]:
    def read(row: Any) -> Any:
        try:
            field, _, value = lookup_field(name, row, desk)
        except ObjectDoesNotExist:
            return None
        if isinstance(field, models.ForeignKey):
            return getattr(row, field.name)
        if field is not None and getattr(field, "flatchoices", None):
            return dict(field.flatchoices).get(value, value)
        return unescape(strip_tags(value)) if isinstance(value, SafeString) else value

    return read


def cell(value: Any) -> str:
    """A value as the text of a cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Decimal):
        return quantity_text(value)
    if isinstance(value, dt.datetime | dt.date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return defused(json.dumps(value, ensure_ascii=False, default=str))
    if isinstance(value, list | tuple):
        return defused(", ".join(str(one) for one in value))
    return defused(str(value))


def defused(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text and text[0] in FORMULA_STARTS and not _is_number(text) else text


def _is_number(text: str) -> bool:
    """Whether it is a plain negative number, such as an amount: "-12.50"."""
    return text[0] == "-" and text[1:].replace(".", "", 1).isdecimal() and text.isascii()
