"""From a plain document to words: dataclasses of typed values, with everything that is wrong and where.

A field's type says how it is read; its metadata may give it another name in the file (`word`). A class may name in
`later` what is part of the language but not supported yet: it is refused by that name. `named_by` is the field that
tells the objects of a list apart.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from decimal import Decimal
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, NewType, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from catalog.money import exact, minor_places
from catalog.periods import known_zones
from catalog.pricing import FieldError

Key = NewType("Key", str)
Zone = NewType("Zone", str)
Currency = NewType("Currency", str)
Country = NewType("Country", str)
Percent = NewType("Percent", Decimal)
T = TypeVar("T")

DURATION = re.compile(r"(?:\d+(?:\.\d+)?[wdhms])+", re.ASCII)
LONGEST = 3660 * 86400  # of a duration, in seconds
# Billing reaches beyond what a contract says: to the end of its period, in any zone, and the tolerance window.
FIRST_YEAR, LAST_YEAR = 1900, 2999
SECONDS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}


class InvalidDocument(ValueError):
    """A document that does not say what it should; `errors` names every fault with its path."""

    def __init__(self, errors: list[FieldError]) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{error.path}: {error.detail}" for error in errors))


def decode(kind: type[T], document: object) -> T:
    """The document as the given kind of words. Raises InvalidDocument."""
    errors: list[FieldError] = []
    words = _object(kind, document, "", errors)
    if errors or words is None:
        raise InvalidDocument(errors)
    return words


@dataclass(frozen=True, slots=True)
class Word:
    """A field as the file has it."""

    name: str
    attribute: str
    type: Any
    required: bool


@cache
def _words_of(kind: Any) -> dict[str, Word]:
    hints = get_type_hints(kind)
    found = {}
    for field in fields(kind):
        name = field.metadata.get("word", field.name)
        required = field.default is MISSING and field.default_factory is MISSING
        found[name] = Word(name, field.name, hints[field.name], required)
    return found


def _object(kind: type[T], value: object, path: str, errors: list[FieldError]) -> T | None:
    if not isinstance(value, Mapping):
        errors.append(FieldError(path, "invalid", "an object with named fields is expected"))
        return None
    words, later = _words_of(cast(Any, kind)), getattr(kind, "later", {})
    found_before = len(errors)
    for name in value:
        if name in words:
            continue
        place = under(path, str(name))
        if name in later:
            if value[name] not in (None, [], {}, False):
                errors.append(FieldError(place, "unsupported", later[name]))
        else:
            known = ", ".join(words)
            errors.append(FieldError(place, "unknown", f"{name} is not a word here; there are: {known}"))
    read = {}
    for word in words.values():
        given = value.get(word.name)
        if given is None:
            if word.required:
                errors.append(FieldError(under(path, word.name), "missing", f"{word.name} is required"))
            continue
        read[word.attribute] = _value(word.type, given, under(path, word.name), errors)
    return kind(**read) if len(errors) == found_before else None


def _value(kind: Any, value: Any, path: str, errors: list[FieldError]) -> Any:
    if kind is Any:
        return value
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        chosen = [one for one in arguments if one is not NoneType]
        # Only "a switch or something" has two kinds of value.
        if bool in chosen and isinstance(value, bool):
            return value
        return _value(next((one for one in chosen if one is not bool), bool), value, path, errors)
    if origin is tuple:
        if not isinstance(value, list):
            errors.append(FieldError(path, "invalid", "a list is expected"))
            return ()
        items = tuple(_value(arguments[0], item, f"{path}[{index}]", errors) for index, item in enumerate(value))
        errors += _doubles(items, getattr(arguments[0], "named_by", ""), path)
        return items
    if is_dataclass(kind):
        return _object(cast(type[Any], kind), value, path, errors)
    try:
        if origin is Literal:
            return _choice(arguments, value)
        return READERS[origin or kind](value)
    except (ValueError, TypeError) as error:
        errors.append(FieldError(path, "invalid", str(error)))
        return None


def _doubles(items: tuple[Any, ...], name: str, path: str) -> Iterator[FieldError]:
    seen = set()
    for index, item in enumerate(items):
        if not name or item is None:
            continue
        key = getattr(item, name)
        if key in seen:
            detail = f"{key} is there twice; make one of them, or give the other a {name} of its own"
            yield FieldError(f"{path}[{index}].{name}", "duplicate", detail)
        seen.add(key)


def under(path: str, name: str) -> str:
    """Where a part is, as in `lines[0].plan`."""
    return f"{path}.{name}" if path else name


def _choice(options: tuple[str, ...], value: object) -> str:
    if value not in options:
        raise ValueError(f"{value!r} is not one of {', '.join(options)}")
    return str(value)


def read_text(value: object) -> str:
    # Numbers are common as identifiers, and mean the same without quotes as with them.
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"text is expected, not {value!r}; put it in quotes")
    text = str(value)
    if "\0" in text:
        raise ValueError("text cannot hold a NUL character")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("text cannot hold half a character (a lone surrogate)")
    return text


def read_key(value: object) -> str:
    text = read_text(value)
    if len(text) > 80 or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", text):
        raise ValueError(f"{text[:90]!r} is not a key: at most 80 letters, digits, dots, dashes and underscores")
    return text


def read_switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"true or false is expected, not {value!r}")
    return value


def read_whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str) or not re.fullmatch(r"\d{1,9}", str(value)):
        raise ValueError(f"a whole number of at least 0 is expected, not {value!r}")
    return int(value)


def read_number(value: object) -> Decimal:
    try:
        return exact(value)  # type: ignore[arg-type]  # what it does not take it refuses
    except (TypeError, ValueError) as error:
        raise ValueError(f'{error}; give a decimal string such as "12.50"') from error


def read_percent(value: object) -> Decimal:
    """A percentage, with or without its sign: "50%", 50."""
    return read_number(value[:-1].rstrip() if isinstance(value, str) and value.endswith("%") else value)


def read_date(value: object) -> dt.date:
    found: object = value
    if isinstance(value, str):
        try:
            found = dt.date.fromisoformat(value)
        except ValueError:
            found = None
    if not isinstance(found, dt.date) or isinstance(found, dt.datetime):
        raise ValueError(f"a date such as 2026-01-31 is expected, not {_shown(value)}")
    if not FIRST_YEAR <= found.year <= LAST_YEAR:
        raise ValueError(f"{found} is not a day between the years {FIRST_YEAR} and {LAST_YEAR}")
    return found


def read_instant(value: object) -> dt.datetime:
    """An instant in UTC; without an offset it is UTC, and a date is its first instant."""
    instant: object = value
    if isinstance(value, str):
        try:
            instant = dt.datetime.fromisoformat(value)
        except ValueError:
            instant = None
    elif isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        instant = dt.datetime.combine(value, dt.time(0))
    if not isinstance(instant, dt.datetime):
        raise ValueError(f"an instant such as 2026-01-31T12:00:00Z is expected, not {_shown(value)}")
    return instant.replace(tzinfo=dt.UTC) if instant.tzinfo is None else instant.astimezone(dt.UTC)


def read_duration(value: object) -> dt.timedelta:
    if isinstance(value, dt.timedelta):
        return value
    text = str(value)
    if text == "0":
        return dt.timedelta(0)
    if isinstance(value, bool) or not DURATION.fullmatch(text):
        raise ValueError(f"a duration such as 24h, 30m or 2d is expected, not {value!r}")
    parts = re.findall(r"(\d+(?:\.\d+)?)([wdhms])", text)
    seconds = sum(Decimal(number) * SECONDS[unit] for number, unit in parts)
    if seconds > LONGEST:
        raise ValueError(f"a duration is at most {LONGEST // SECONDS['d']} days")
    return dt.timedelta(microseconds=int(seconds * 1_000_000))


def read_zone(value: object) -> str:
    text = read_text(value)
    if text not in known_zones():
        raise ValueError(f"{text!r} is not a time zone; use a name such as Europe/Berlin")
    return text


def read_currency(value: object) -> str:
    text = read_text(value)
    minor_places(text)
    return text


def read_country(value: object) -> str:
    text = read_text(value)
    if not re.fullmatch(r"[A-Z]{2}", text):
        raise ValueError(f"{text!r} is not a country; use its two letters (ISO 3166) such as DE")
    return text


def read_mapping(value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError("an object with named fields is expected")
    return {str(name): item for name, item in value.items()}


def _shown(value: object) -> str:
    return repr(value.isoformat()) if isinstance(value, dt.date) else repr(value)


READERS: dict[Any, Callable[[object], Any]] = {
    str: read_text,
    bool: read_switch,
    int: read_whole,
    Decimal: read_number,
    Percent: read_percent,
    dt.date: read_date,
    dt.datetime: read_instant,
    dt.timedelta: read_duration,
    dict: read_mapping,
    Key: read_key,
    Zone: read_zone,
    Currency: read_currency,
    Country: read_country,
}
