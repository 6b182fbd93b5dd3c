"""Reading requests: query parameters and JSON bodies as msgspec structs. What is not known is refused by name."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, TypeVar, get_args, get_type_hints

import msgspec
from django.http import HttpRequest

from revops.api.problems import Fault, Problem, invalid, not_json, too_large
from revops.vocabulary.decoding import InvalidDocument, decode

T = TypeVar("T")

LARGEST_BODY = 16 * 1024 * 1024

_AT = re.compile(r"(?s)(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*)`")
_MISSING = re.compile(r"Object missing required field `(?P<name>.*)`")
_EXACT = msgspec.json.Decoder(float_hook=Decimal)

# How an instant of an address reads in the documentation.
INSTANT = {"format": "date-time"}

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
# In a query string a plus sign that was not escaped arrives as a space.
_LOST_PLUS = re.compile(r"(\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?) (\d{2}:?\d{2})")


class Query(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the parameters of an address."""


class Nothing(Query, frozen=True, kw_only=True):
    """An address without parameters."""


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the fields of a JSON body."""


class Empty(Body, frozen=True, kw_only=True):
    """A deed that needs no more than its address."""


def query(request: HttpRequest, form: type[T]) -> T:
    """The parameters of the address. Lists may be repeated or separated by commas; a date is its midnight in UTC.

    Raises Problem (400).
    """
    hints = get_type_hints(form)
    given: dict[str, Any] = {}
    names = {field.encode_name: hints[field.name] for field in msgspec.structs.fields(form)}  # type: ignore[arg-type]
    for name, values in request.GET.lists():
        wanted = names.get(name)
        if any("\0" in value for value in values):
            raise invalid(name, "invalid", f"`{name}` holds the character NUL.")
        if wanted is None:
            raise unknown_parameter(name, list(names))
        if "list[" in str(wanted):
            given[name] = [part for value in values for part in value.split(",") if part]
        elif len(values) > 1:
            raise invalid(name, "repeated_parameter", f"The parameter `{name}` is given {len(values)} times.")
        elif "datetime" in str(wanted):
            given[name] = instant(name, values[0])
        elif values[0].lower() == "null" and not takes_text(wanted):
            raise invalid(name, "invalid", f"`{name}` cannot be null; leave it out.")
        else:
            given[name] = values[0]
    try:
        return msgspec.convert(given, form, strict=False)
    except msgspec.ValidationError as error:
        raise as_invalid(error) from error


def takes_text(wanted: Any) -> bool:
    """Whether any text is a value of this type; others read the word null as nothing."""
    return wanted is str or str in get_args(wanted)


def names_of(form: type[Any]) -> list[str]:
    """The parameters of an address, as they are called in it."""
    return [field.encode_name for field in msgspec.structs.fields(form)]


def unknown_parameter(name: str, known: Sequence[str]) -> Problem:
    there_are = f"; there are: {', '.join(known)}" if known else " (none is taken)"
    return invalid(name, "unknown_parameter", f"There is no parameter `{name}` here{there_are}.")


def instant(name: str, text: str) -> dt.datetime:
    """An instant of a parameter, in UTC. Raises Problem (400)."""
    whole = f"{text}T00:00:00Z" if _DATE.fullmatch(text) else _LOST_PLUS.sub(r"\1+\2", text)
    try:
        value = dt.datetime.fromisoformat(whole)
        if value.tzinfo is None:
            raise invalid(name, "invalid", f"`{name}` needs an offset, for example {whole}Z.")
        return value.astimezone(dt.UTC)
    except (ValueError, OverflowError) as error:
        raise invalid(
            name, "invalid", f"`{name}` is not an instant like 2026-01-31T12:00:00Z: {text[:60]!r}."
        ) from error


def body(request: HttpRequest, form: type[T]) -> T:
    """The JSON body as a struct; an empty body is an empty object. Raises Problem (400, 415)."""
    return decoded(json_of(request), msgspec.json.Decoder(form))


def document(request: HttpRequest) -> Any:
    """The JSON body; numbers with a fraction are exact decimals. Raises Problem (400, 415)."""
    return decoded(json_of(request), _EXACT)


def words(request: HttpRequest, kind: type[T]) -> T:
    """The JSON body in the words of a file. Raises Problem (400, 415), with every fault and its path."""
    try:
        return decode(kind, document(request))
    except InvalidDocument as error:
        faults = [Fault(fault.path, fault.code, fault.detail) for fault in error.errors]
        raise Problem(400, "The body does not say what it should.", faults) from error


def body_in_chunks(request: HttpRequest) -> bytes | None:
    """A body that was sent in chunks; None where its length was announced. Raises Problem (400, 413).

    Django reads no body without a length; the server's own stream ends where the chunks do.
    """
    if request.META.get("HTTP_TRANSFER_ENCODING", "").lower() != "chunked":
        return None
    try:
        sent: bytes = request.environ["wsgi.input"].read(LARGEST_BODY + 1)  # type: ignore[attr-defined]
    except Exception as error:  # every server has errors of its own for chunks that are cut off, or none
        raise invalid("", "cut_off", "The chunks of the body are not whole. Nothing was stored.") from error
    if len(sent) > LARGEST_BODY:
        raise too_large()
    return sent


def json_of(request: HttpRequest) -> bytes:
    if request.body and request.META.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() != "application/json":
        raise not_json()
    if b"\\u0000" in request.body:
        raise invalid("", "invalid", "A text holds the character NUL.")
    return request.body or b"{}"


def decoded(text: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    try:
        return decoder.decode(text)
    except msgspec.ValidationError as error:
        raise as_invalid(error) from error
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise invalid("", "not_json", f"The body is not JSON: {error}.") from error


def as_invalid(error: msgspec.ValidationError) -> Problem:
    """msgspec says where at the end of its message: `Expected str, got int - at $.lines[0].plan`."""
    found = _AT.fullmatch(str(error))
    what, place = (found["what"], found["path"] or "") if found else (str(error), "")
    path = place.removeprefix("$").removeprefix(".")
    if unknown := _UNKNOWN.fullmatch(what):
        name = f"{path}.{unknown['name']}".lstrip(".")
        return invalid(name, "unknown_field", f"There is no field `{name}` here.")
    if missing := _MISSING.fullmatch(what):
        name = f"{path}.{missing['name']}".lstrip(".")
        return invalid(name, "required", f"The field `{name}` is required.")
    return invalid(path, "invalid", f"`{path}`: {what}." if path else f"{what}.")
