"""What differs between two contents of a plan, as lines of text and as JSON: for commands and the API."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from decimal import Decimal
from typing import Any

from catalog.comparing import Difference, PriceDifference, TierTable
from catalog.money import decimals, exact, minor_places, quantity_text, quantize

INDENT = "  "


def as_lines(difference: Difference) -> list[str]:
    """What differs, a line for each field and each tier: before -> after."""
    if difference.is_same:
        return [f"charges the same as {difference.before}"]
    lines = [f"compared with {difference.before}:" if difference.before else "is the first version:"]
    lines += [f"{INDENT}{said.label.lower()}: {said.before} -> {said.after}" for said in difference.fields
              if said.differs and difference.before]  # fmt: skip
    for price in difference.shifted("changed", "added", "removed"):
        lines += [INDENT + line for line in _price_lines(price)]
    if same := difference.shifted("same"):
        lines.append(f"{INDENT}as before: {', '.join(price.key for price in same)}")
    return lines


def _price_lines(price: PriceDifference) -> Iterator[str]:
    name = f"{price.key} ({price.name})" if price.name else price.key
    yield f"{price.shift} {name}"
    if price.shift == "removed":
        return
    for said in price.differing if price.shift == "changed" else price.fields:
        value = f"{said.before} -> {said.after}" if price.shift == "changed" else said.after
        yield f"{INDENT}{said.label.lower()}: {value}"
    if price.tiers is not None and (price.shift == "added" or price.tiers.differs):
        yield from (INDENT + line for line in _tier_lines(price.tiers, both=price.shift == "changed"))


def _tier_lines(table: TierTable, both: bool) -> Iterator[str]:
    """The tiers as columns; where there are two sides, what is another one after has a star."""
    lines = [["before", *table.columns, "", "after", *table.columns] if both else ["tier", *table.columns]]
    for row in table.rows:
        after = [f"{text} *" if marked and both else text for text, marked in row.sides[1]] or ["no such tier *"]
        after += [""] * (table.width - len(after))
        before = [text for text, _ in row.sides[0]] or ["no such tier"]
        before += [""] * (table.width - len(before))
        lines.append([*before, "", *after] if both else after)
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    for line in lines:
        yield "  ".join(cell.lower().ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


def as_json(difference: Difference, currencies: tuple[str, str]) -> dict[str, Any]:
    """The fields and tiers that differ, as they are stored; `currencies` are those of before and after."""
    return {
        "same": difference.is_same,
        "fields": [
            {"field": said.name, "before": plain(said.values[0]), "after": plain(said.values[1])}
            for said in difference.fields
            if said.differs
        ],
        "prices": [_price_json(price, currencies) for price in difference.prices],
    }


def _price_json(price: PriceDifference, currencies: tuple[str, str]) -> dict[str, Any]:
    return {
        "key": price.key,
        "name": price.name,
        "change": price.shift,
        "fields": [
            {
                "field": said.name,
                "before": plain(said.values[0], said.name, currencies[0]),
                "after": plain(said.values[1], said.name, currencies[1]),
            }
            for said in price.differing
        ],
        "tiers": [
            {
                "before": plain(row.values[0], currency=currencies[0]),
                "after": plain(row.values[1], currency=currencies[1]),
                "changed": any(row.changed),
            }
            for row in (price.tiers.rows if price.tiers and price.shift != "same" else ())
        ],
    }


def plain(value: Any, name: str = "", currency: str = "") -> Any:
    """A value as JSON has it: amounts in the currency's places or more, numbers without zeros at their end."""
    if is_dataclass(value) and not isinstance(value, type):
        value = {one.name: getattr(value, one.name) for one in fields(value)}
    if isinstance(value, Mapping):
        own = name if name == "unit_amounts" else ""
        return {key: plain(inner, own or key, currency) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(inner, name, currency) for inner in value]
    if isinstance(value, dt.date):
        return value.isoformat()
    is_amount = name == "unit_amounts" or name.endswith("_amount") or name.startswith("per_transaction")
    if is_amount and currency and value is not None:
        amount = exact(value)
        return format(quantize(amount, max(minor_places(currency), decimals(amount))), "f")
    return quantity_text(value) if isinstance(value, Decimal) else value
