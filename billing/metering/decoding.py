"""From the bytes of a batch to records, each judged alone: a bad record never costs a good one.

A record is a CloudEvent 1.0 in JSON. What can be said of its form alone is said here: JSON, UTF-8, the types and
lengths of its attributes, its time, the bounds on size and depth. Whether it can be counted is labelling's business.
"""

from __future__ import annotations

import datetime as dt
import re
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal, InvalidOperation
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import Raw, Struct

MAX_RECORD = 256 * 1024  # bytes
MAX_DEPTH = 32  # objects and lists inside each other, the record itself included
ATTRIBUTES = ("id", "source", "type", "subject")
MAX_ATTRIBUTE = 255  # characters of id, source, type and subject

# Instants of records are counted in microseconds from here, as PostgreSQL stores them.
EPOCH = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
MICROSECOND = dt.timedelta(microseconds=1)
QUARTER = 15 * 60 * 1_000_000  # of an hour: the time a bucket covers
_FIRST = (dt.datetime.min.replace(tzinfo=dt.UTC) - EPOCH) // MICROSECOND
_LAST = (dt.datetime.max.replace(tzinfo=dt.UTC) - EPOCH) // MICROSECOND

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII).fullmatch
_from_iso_format = dt.datetime.fromisoformat
_PLAIN_SPACE = b" \t\r\n"
_WIDE = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[InvalidOperation])


class NotABatch(ValueError):
    """The body as a whole is neither a JSON object nor a JSON array."""


class Envelope(Struct, gc=False):
    """The attributes of a CloudEvent that we read; others are tolerated."""

    id: str | None = None
    source: str | None = None
    type: str | None = None
    subject: str | None = None
    time: str | None = None
    specversion: str | None = None
    data: Raw = Raw(b"null")


class Original(Struct, frozen=True, gc=False):
    """What a record said before rules of its source changed it, and the ids of those that did, in their order."""

    type: str
    subject: str
    data_text: bytes
    rules: tuple[int, ...]


class Stop(Struct, frozen=True, gc=False):
    """The rule by which a record is held for review (`kind` hold) or discarded (discard).

    `approval` is the proposal of the quarantine desk by which two persons agreed to discard.
    """

    rule: int
    kind: str
    detail: str
    approval: int | None = None


class Record(Struct, gc=False):
    """A record that was received. `fault` says what is wrong with its form; then the rest is what could be read.

    `occurred_at` is in microseconds since EPOCH, None where the record has no time. `key` names it in the register
    (None without source or id); `digest` is of its canonical content, or of its bytes where it is malformed. Both are
    of what was received, also where rules of the source have changed the rest (`original`).
    """

    raw: Raw | bytes
    fault: str | None
    id: str
    source: str
    type: str
    subject: str
    occurred_at: int | None
    data: dict[str, Any]
    data_text: bytes
    key: bytes | None
    digest: bytes
    original: Original | None = None
    stop: Stop | None = None


def instant_of(at: dt.datetime) -> int:
    """An aware datetime as microseconds since EPOCH."""
    return (at - EPOCH) // MICROSECOND


def datetime_of(instant: int) -> dt.datetime:
    return EPOCH + instant * MICROSECOND


def exact_number(text: str) -> int | Decimal:
    """A JSON number with a point or an exponent, exact and in one form: 1.50 is 1.5, 2.0 and 2e0 are 2."""
    number = _WIDE.normalize(Decimal(text))
    if not number:
        return 0
    small = number.as_tuple().exponent >= 0 and number.adjusted() < 38  # type: ignore[operator]
    return int(number) if small else number


_decode_batch = msgspec.json.Decoder(list[Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode
_decode_single = msgspec.json.Decoder(Raw).decode
_decode_envelope = msgspec.json.Decoder(Envelope).decode
_decode_data = msgspec.json.Decoder(dict[str, Any] | None, float_hook=exact_number).decode
_decode_anything = msgspec.json.Decoder(dict[str, Any], float_hook=exact_number).decode
_encode_canonical = msgspec.json.Encoder(order="sorted", decimal_format="number").encode

# What a decoder raises: DecodeError and UnicodeDecodeError are ValueErrors.
_UNREADABLE = (ValueError, InvalidOperation, RecursionError)


def decode_batch(body: bytes) -> list[Raw] | list[bytes]:
    """The bytes of each record of a body that holds one object or an array of them.

    Raises NotABatch when it does not, or when its brackets do not close, so that nothing says where a record ends.
    """
    start = body.lstrip(_PLAIN_SPACE)[:1]
    if start == b"{":
        return [_single(body)]
    if start != b"[":
        raise NotABatch("The body must be a JSON object (one event) or a JSON array of such objects.")
    try:
        return _decode_batch(body)
    except _UNREADABLE:
        return split_elements(body)


def _single(body: bytes) -> bytes:
    try:
        _decode_single(body)
    except RecursionError:
        pass  # JSON, and too deep: a matter of the record
    except ValueError as error:
        raise NotABatch(f"The body is not JSON: {error}.") from error
    return body


_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"|["\[\]{},]', re.DOTALL)
_OPENED_BY = {b"]": b"[", b"}": b"{"}


def split_elements(body: bytes) -> list[bytes]:
    """The elements of an array of which some are not JSON: cut where the outermost commas are.

    Looks only at strings and brackets. Raises NotABatch where these do not match up.
    """
    elements: list[bytes] = []
    opened: list[bytes] = []
    start = end = 0
    for token in _TOKEN.finditer(body):
        mark = token[0]
        if end:
            raise NotABatch(f"The body goes on after its array has ended (byte {end}).")
        if mark in (b"[", b"{"):
            opened.append(mark)
            start = start or token.end()
        elif mark in (b"]", b"}"):
            if not opened or opened.pop() != _OPENED_BY[mark]:
                raise NotABatch(f"The brackets of the body do not match up at byte {token.start()}.")
            if not opened:
                elements.append(body[start : token.start()])
                end = token.end()
        elif mark == b"," and len(opened) == 1:
            elements.append(body[start : token.start()])
            start = token.end()
        elif mark == b'"':
            break  # the start of a string that never ends
    if not end or body[end:].strip(_PLAIN_SPACE):
        raise NotABatch("The body is cut off, or not one JSON array.")
    return [element.strip(_PLAIN_SPACE) for element in elements]


def decode_record(raw: Raw | bytes) -> Record:
    """One record from its bytes; never raises, whatever they are."""
    try:
        said = _decode_envelope(raw)
        data = _decode_data(said.data)
    except _UNREADABLE as error:
        return _malformed(raw, _cause(error))
    id, source, type, subject = said.id or "", said.source or "", said.type or "", said.subject or ""
    occurred_at = None if said.time is None else parse_time(said.time)
    fault = _fault(bytes(raw), said, data, occurred_at)
    if fault is not None:
        return _malformed(raw, fault)
    content = _encode_canonical((type, subject, occurred_at, data))
    key = register_key(source, id) if source and id else None
    digest = blake2b(content, digest_size=16).digest()
    return Record(
        raw, None, id, source, type, subject, occurred_at, data or {}, bytes(said.data), key, digest
    )  # fmt: skip


def decode_data(text: bytes) -> dict[str, Any]:
    """The stored data of an event; numbers are exact. Raises ValueError where it is no JSON object."""
    return _decode_data(text) or {}


def register_key(source: str, id: str) -> bytes:
    """The name of (source, id) in the register: BLAKE2b-16 of the pair, each with its length in bytes before it."""
    second = id.encode()
    hashed = _hashed(source).copy()
    hashed.update(b"%d:%b" % (len(second), second))
    return hashed.digest()


@lru_cache(maxsize=1000)
def _hashed(source: str) -> blake2b:
    """The beginning of the hash, which all ids of a source share."""
    first = source.encode()
    return blake2b(b"%d:%b" % (len(first), first), digest_size=16)


def parse_time(text: str) -> int | None:
    """An RFC 3339 time as microseconds since EPOCH, cut off after the sixth decimal; None if it is none."""
    second = _seconds.get(text[:19])
    if second is not None and text[-1] == "Z":
        if len(text) == 20:
            return second
        decimals = text[20:-1]
        if text[19] == "." and decimals.isdecimal() and decimals.isascii():
            return second + int(decimals[:6].ljust(6, "0"))
    return _parse_any_time(text)


# Whole seconds in UTC that were read lately: events of a batch share them.
_seconds: dict[str, int] = {}
MOST_SECONDS = 10_000


def _parse_any_time(text: str) -> int | None:
    if not _RFC_3339(text):
        return None
    try:
        since = _from_iso_format(text.upper()) - EPOCH
    except ValueError:
        return None  # the thirtieth of February, or a leap second
    instant = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    if not _FIRST <= instant <= _LAST:
        return None
    if text[-1] == "Z":
        if len(_seconds) >= MOST_SECONDS:
            _seconds.clear()
        _seconds[text[:19]] = instant - since.microseconds
    return instant


def _fault(text: bytes, said: Envelope, data: dict[str, Any] | None, occurred_at: int | None) -> str | None:
    """What is wrong with the form of a record that is JSON of the right types."""
    if said.time is not None and occurred_at is None:
        return f"time {said.time[:60]!r} is not an RFC 3339 instant with an offset"
    if said.specversion is not None and said.specversion != "1.0":
        return f"specversion {said.specversion[:20]!r} is not 1.0"
    if len(text) > MAX_RECORD:
        return f"the record is larger than {MAX_RECORD} bytes"
    if len(text) > MAX_ATTRIBUTE and (name := _overlong(said)):
        return f"{name} is longer than {MAX_ATTRIBUTE} characters"
    if text.count(b"{") + text.count(b"[") > MAX_DEPTH and depth(text) > MAX_DEPTH:
        return f"objects and lists are nested deeper than {MAX_DEPTH}"
    if b"\\u0000" in text and holds_nul([said.id, said.source, said.type, said.subject, data]):
        return "a text holds the character NUL"
    return None


def _overlong(said: Envelope) -> str | None:
    named = (said.id or "", said.source or "", said.type or "", said.subject or "")
    if len("".join(named)) <= MAX_ATTRIBUTE:
        return None
    return next((name for name, value in zip(ATTRIBUTES, named, strict=True) if len(value) > MAX_ATTRIBUTE), None)


def depth(text: bytes) -> int:
    """How deep objects and lists of a JSON text are nested."""
    deepest = level = 0
    for token in _TOKEN.finditer(text):
        if token[0] in (b"[", b"{"):
            level += 1
            deepest = max(deepest, level)
        elif token[0] in (b"]", b"}"):
            level -= 1
    return deepest


def holds_nul(value: object) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any("\0" in name or holds_nul(inner) for name, inner in value.items())
    return isinstance(value, list) and any(map(holds_nul, value))


def _malformed(raw: Raw | bytes, fault: str) -> Record:
    """A record of bad form, with its source, id, type and subject where they can be read nevertheless."""
    text = bytes(raw)
    try:
        said = _decode_anything(text)
    except _UNREADABLE:
        said = _readable_texts(text[:MAX_RECORD])
    id, source, type, subject = (_readable(said.get(name)) for name in ATTRIBUTES)
    is_named = bool(id and source) and fault.find("longer than") < 0
    return Record(
        raw=raw,
        fault=fault,
        id=id,
        source=source,
        type=type,
        subject=subject,
        occurred_at=None,
        data={},
        data_text=b"",
        key=register_key(source, id) if is_named else None,
        digest=blake2b(text, digest_size=16).digest(),
    )


def _readable_texts(text: bytes) -> dict[str, Any]:
    """The texts among the members of an object that is not JSON as a whole: those that can be read by themselves."""
    found: dict[str, Any] = {}
    level = 0
    name, before, end = None, b"", 0
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if mark in (b"{", b"["):
            level += 1
        elif mark in (b"}", b"]"):
            level -= 1
        elif level == 1 and mark[:1] == b'"':
            between = text[end : token.start()].strip(_PLAIN_SPACE)
            if before in (b"{", b",") and not between:
                name = _text_of(mark)
            elif name is not None and between == b":":
                found[name], name = _text_of(mark), None
        before, end = mark, token.end()
    return found


def _text_of(token: bytes) -> str | None:
    try:
        return _decode_text(token)
    except _UNREADABLE:
        return None


def _readable(value: object) -> str:
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}")[:MAX_ATTRIBUTE] if isinstance(value, str) else ""


def _cause(error: BaseException) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8: {error.reason}"
    if isinstance(error, RecursionError):
        return f"objects and lists are nested deeper than {MAX_DEPTH}"
    if isinstance(error, InvalidOperation):
        return "a number has an absurd exponent"
    return str(error)[:300]
