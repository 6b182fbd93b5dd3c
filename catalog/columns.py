"""Columns of a list: money, quantities, counts and states, each read from an attribute of the row.

    total_figure = money("total")
    amount_figure = money("amount", currency="invoice.currency")

A path with dots is followed, and is what the column sorts by. Names that contain `_figure` are set at the right, with
tabular figures; in an export they are plain numbers, and money brings its currency along.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, TypeVar

from django.utils.html import format_html
from django.utils.safestring import SafeString

from catalog.money import money_text, quantity_text
from catalog.wording import figure, money_figure

Cell = tuple[str, Callable[[Any], Any]]  # heading, and what it reads of a row
_Shown = TypeVar("_Shown", bound=Callable[[Any, Any], str])


def money(
    path: str, currency: str = "currency", title: str = "", with_currency: bool = True, order: str = ""
) -> Callable[[Any, Any], str]:
    """An amount in its currency's places: "1,234.50 EUR", or without the currency where a column beside it says it.

    `order` names the field that the list is sorted by, where `path` is none.
    """
    title = title or _words(path)

    def column(desk: Any, row: Any) -> str:
        amount, code = follow(row, path), follow(row, currency)
        if amount is None:
            return "-"
        return f"{money_figure(amount, code)} {code}" if with_currency else money_figure(amount, code)

    def plain(row: Any) -> str:
        amount = follow(row, path)
        return "" if amount is None else money_text(amount, follow(row, currency))

    cells: list[Cell] = [(title, plain)]
    if with_currency:
        cells.append(("currency", lambda row: follow(row, currency)))
    return _declared(column, title, order or path, cells)


def quantity(path: str, unit: str = "", title: str = "") -> Callable[[Any, Any], str]:
    """A number with thousands separators and no trailing zeros: "1,234.5", with its unit where the row has one."""
    title = title or _words(path)

    def column(desk: Any, row: Any) -> str:
        number = follow(row, path)
        if number is None:
            return "-"
        return f"{figure(number)} {follow(row, unit) or ''}".strip() if unit else figure(number)

    def plain(row: Any) -> str:
        number = follow(row, path)
        return "" if number is None else quantity_text(number)

    cells: list[Cell] = [(title, plain)]
    if unit:
        cells.append(("unit", lambda row: follow(row, unit)))
    return _declared(column, title, path, cells)


def count(path: str, title: str = "") -> Callable[[Any, Any], str]:
    """A whole number with thousands separators: "12,345"."""
    title = title or _words(path)

    def column(desk: Any, row: Any) -> str:
        number = follow(row, path)
        return "-" if number is None else f"{number:,d}"

    return _declared(column, title, path, [(title, lambda row: follow(row, path))])


def status(
    path: str, good: Collection[str] = (), warn: Collection[str] = (), bad: Collection[str] = (), title: str = ""
) -> Callable[[Any, Any], SafeString]:
    """A state as a coloured label. The values named are those stored; the label shows what the model calls them."""
    title = title or _words(path)

    def words(row: Any) -> str:
        owner, _, name = path.rpartition(".")
        holder = follow(row, owner) if owner else row
        display = getattr(holder, f"get_{name}_display", None)
        return str(display() if display else getattr(holder, name))

    def column(desk: Any, row: Any) -> SafeString:
        value = follow(row, path)
        tone = "good" if value in good else "warn" if value in warn else "bad" if value in bad else ""
        return format_html('<span class="state {}">{}</span>', tone, words(row))

    return _declared(column, title, path, [(title, words)])


def follow(row: Any, path: str) -> Any:
    """The value at the end of a path with dots; None where a step of it is."""
    value = row
    for name in path.split("."):
        value = getattr(value, name)
        if value is None:
            return None
    return value


def _declared(column: _Shown, title: str, path: str, cells: list[Cell]) -> _Shown:
    declared: Any = column
    declared.short_description = title
    if path:
        declared.admin_order_field = path.replace(".", "__")
    declared.cells = cells
    return column


def _words(path: str) -> str:
    return path.rpartition(".")[2].replace("_", " ")
