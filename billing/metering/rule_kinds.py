"""What each kind of rule does to a record, as values: built once from its terms, then applied in memory.

An action changes the record and answers CHANGED, or leaves it as it is and answers why.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any

from billing.metering.decoding import Record, exact_number
from billing.metering.patterns import Pattern, fill_in
from billing.metering.places import Place
from billing.metering.readings import read_value
from catalog.money import NUMBER

CHANGED = ""
Act = Callable[[Record], str]

MAX_TEXT = 1000  # characters of a text that rules look into; longer ones are left alone
MAX_NUMBER = 100  # characters of a text that is read as a number

_ABSENT = "the field is not there"
_NOT_TEXT = "it is not a text"
_TOO_LONG = f"it is longer than {MAX_TEXT} characters"
_SAME = "it is so already"

_EXACT = Context(prec=1000)  # wider than any product of a value and a factor


@dataclass(frozen=True, kw_only=True)
class RuleTerms:
    """What a rule says; the words are those of the model `SourceRule`. `id` is 0 for a rule that is not stored."""

    kind: str
    field: str = ""
    value: str = ""
    to: str = ""
    factor: Decimal | None = None
    number_format: str = "point"
    when_type: str = ""
    when_subjects: tuple[str, ...] = ()
    when_field: str = ""
    when_values: tuple[str, ...] = ()
    when_ignores_case: bool = False
    occurs_from: dt.datetime | None = None
    occurs_until: dt.datetime | None = None
    note: str = ""
    is_active: bool = True
    position: int = 0
    id: int = 0
    proposal: int | None = None


def act_of(terms: RuleTerms) -> Act | None:
    """The action of a rule; None for one that stops the record."""
    build = _BUILDERS.get(terms.kind)
    return build(terms) if build else None


def _rename(terms: RuleTerms) -> Act:
    old, new = Place(terms.field), Place(terms.to)

    def act(record: Record) -> str:
        found = old.read(record)
        if found is None:
            return _ABSENT
        if new.read(record) is not None:
            return f"there is a {terms.to} already"
        if old.attribute:
            return f"a record without a {old.text} could not be counted: copy it"
        # Taken away first: the new place may lie within the old one.
        old.remove(record)
        unable = new.put(record, found)
        if unable:
            old.put(record, found)
        return unable

    return act


def _copy(terms: RuleTerms) -> Act:
    origin, target = Place(terms.field), Place(terms.to)

    def act(record: Record) -> str:
        found = origin.read(record)
        if found is None:
            return _ABSENT
        # Of its own: a later rule may change one of the two.
        return _SAME if _are_same(target.read(record), found) else target.put(record, deepcopy(found))

    return act


# Digits in groups of three, or none grouped; then the decimals. Blanks and apostrophes may separate groups in both.
_GROUPED = r"[+-]?(?:\d{1,3}(?P<separator>[%s'\u2019 \u00a0\u202f])\d{3}(?:(?P=separator)\d{3})*|\d+)(?:%s\d+)?"
_WRITTEN = {
    "point": re.compile(_GROUPED % (",", r"\."), re.ASCII).fullmatch,
    "comma": re.compile(_GROUPED % (".", ","), re.ASCII).fullmatch,
}
_NO_SEPARATORS = {
    "point": str.maketrans("", "", ",'\u2019 \u00a0\u202f"),
    "comma": str.maketrans(",", ".", ".'\u2019 \u00a0\u202f"),
}
EXAMPLE_OF_NUMBER = {"point": "1,234.5", "comma": "1.234,5"}


def _number(terms: RuleTerms) -> Act:
    written, cleaned = _WRITTEN[terms.number_format], _NO_SEPARATORS[terms.number_format]
    unfit = f"it is not a number written like {EXAMPLE_OF_NUMBER[terms.number_format]}"
    place = Place(terms.field)

    def act(record: Record) -> str:
        found = place.read(record)
        if found is None:
            return _ABSENT
        if type(found) is not str:
            return _NOT_TEXT
        text = found.strip() if len(found) <= MAX_NUMBER else ""
        return place.put(record, exact_number(text.translate(cleaned))) if written(text) else unfit

    return act


def _text(terms: RuleTerms) -> Act:
    place = Place(terms.field)

    def act(record: Record) -> str:
        found = place.read(record)
        if found is None:
            return _ABSENT
        if type(found) is str:
            return _SAME
        text = place.read_text(record)
        return "it is neither a number nor true or false" if text is None else place.put(record, text)

    return act


def _on_text(field: str, change: Callable[[str], str | None], unfit: str = _SAME) -> Act:
    """An action on the text of a field; `change` answers None for a text it is not meant for."""
    place = Place(field)

    def act(record: Record) -> str:
        found = place.read(record)
        if found is None:
            return _ABSENT
        if type(found) is not str:
            return _NOT_TEXT
        if len(found) > MAX_TEXT:
            return _TOO_LONG
        text = change(found)
        if text is None:
            return unfit
        return _SAME if text == found else place.put(record, text)

    return act


def _strip_prefix(terms: RuleTerms) -> Act:
    prefix = terms.value
    return _on_text(
        terms.field,
        lambda text: text[len(prefix) :] if text.startswith(prefix) else None,
        f"it does not begin with {prefix!r}",
    )


def _strip_suffix(terms: RuleTerms) -> Act:
    suffix = terms.value
    return _on_text(
        terms.field,
        lambda text: text[: -len(suffix)] if text.endswith(suffix) else None,
        f"it does not end with {suffix!r}",
    )


def _rewrite(terms: RuleTerms) -> Act:
    pattern, result = Pattern(terms.value), terms.to

    def change(text: str) -> str | None:
        taken = pattern.match(text)
        return None if taken is None else fill_in(result, taken)

    return _on_text(terms.field, change, f"it is not like {terms.value}")


def _map_type(terms: RuleTerms) -> Act:
    return _on_text("type", lambda text: terms.to if text == terms.value else None, f"it is not {terms.value}")


def _convert(terms: RuleTerms) -> Act:
    place, factor = Place(terms.field), terms.factor or Decimal(1)

    def act(record: Record) -> str:
        if place.read(record) is None:
            return _ABSENT
        value = read_value(record.data, place.path)
        if not isinstance(value, Decimal):
            return "it is not a number"
        return place.put(record, exact_number(str(_EXACT.multiply(value, factor))))

    return act


def scalar(text: str) -> Any:
    """The value that a text of a rule stands for: a number, true or false where it reads so, else the text."""
    if text in ("true", "false"):
        return text == "true"
    return exact_number(text) if len(text) <= MAX_NUMBER and NUMBER.fullmatch(text) else text


def _default(terms: RuleTerms) -> Act:
    place, value = Place(terms.field), _value(terms)
    return lambda record: "it is there" if place.read(record) is not None else place.put(record, value)


def _set(terms: RuleTerms) -> Act:
    place, value = Place(terms.field), _value(terms)

    def act(record: Record) -> str:
        return _SAME if _are_same(place.read(record), value) else place.put(record, value)

    return act


def _are_same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one == other


def _value(terms: RuleTerms) -> Any:
    """Attributes are texts, whatever they look like."""
    return terms.value if Place(terms.field).attribute else scalar(terms.value)


_BUILDERS: dict[str, Callable[[RuleTerms], Act]] = {
    "rename": _rename,
    "copy": _copy,
    "number": _number,
    "text": _text,
    "trim": lambda terms: _on_text(terms.field, str.strip),
    "lower": lambda terms: _on_text(terms.field, str.lower),
    "upper": lambda terms: _on_text(terms.field, str.upper),
    "strip_prefix": _strip_prefix,
    "strip_suffix": _strip_suffix,
    "rewrite": _rewrite,
    "convert": _convert,
    "default": _default,
    "set": _set,
    "map_type": _map_type,
}
