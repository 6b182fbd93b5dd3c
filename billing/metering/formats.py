"""Files of usage, record by record: csv, JSON lines, CloudEvents and Apache access logs.

Reads forward only and holds one record at a time, whatever the size of the file. A record that cannot be read is
returned as such, with its bytes, and never stops the file.
"""

from __future__ import annotations

import csv
import datetime as dt
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, BinaryIO, Literal
from zoneinfo import ZoneInfo

import msgspec

Format = Literal["csv", "jsonl", "cloudevents", "clf"]

LONGEST_LINE = 1024 * 1024  # bytes; a longer one is held in pieces of this size
CHUNK = 256 * 1024
UTC = ZoneInfo("UTC")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class UnableToRead(Exception):
    """The file as a whole is not what its layout says: a column is missing, the type is not named."""


@dataclass(frozen=True)
class Layout:
    """How the records of a file become events.

    `subject` is a column, or `=CONST`. `values` maps a property of the event's data to a column; where it is empty,
    every column that has no other part becomes a property. Columns of JSON lines may be paths: `usage.tokens`.
    """

    format: Format
    source: str
    type: str | None = None
    subject: str | None = None
    time: str | None = None
    id: str | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    timezone: ZoneInfo = UTC

    @property
    def constant_subject(self) -> str | None:
        return self.subject[1:] if self.subject is not None and self.subject.startswith("=") else None

    @property
    def columns(self) -> list[str]:
        """The columns that must be there."""
        named = [self.time, self.id, None if self.constant_subject is not None else self.subject]
        return [name for name in [*named, *self.values.values()] if name is not None]


@dataclass(frozen=True)
class Readable:
    """A record: its event (as it came, where nothing is added), and the digest of all it says where it has no id."""

    event: dict[str, Any] | bytes
    digest: bytes | None


@dataclass(frozen=True)
class Unreadable:
    """Bytes that are no record."""

    raw: bytes


Record = Readable | Unreadable


def records(stream: BinaryIO, layout: Layout) -> Iterator[Record]:
    """Every record of a file. Raises UnableToRead before the first one."""
    reader: Callable[[BinaryIO, Layout], Iterator[Record]] = {
        "csv": csv_records,
        "jsonl": jsonl_records,
        "cloudevents": cloudevent_records,
        "clf": access_log_records,
    }[layout.format]
    if layout.type is None and layout.format != "cloudevents":
        raise UnableToRead("Name the type of the events with --type.")
    return reader(stream, layout)


def lines_of(stream: BinaryIO) -> Iterator[bytes]:
    """Lines with their ends; blank ones are left out."""
    first = True
    while line := stream.readline(LONGEST_LINE):
        if first:
            line, first = line.removeprefix(BYTE_ORDER_MARK), False
        if line.strip():
            yield line


# csv


class RememberedLines:
    """Feeds lines to a csv reader and remembers which ones a row took, so that a bad row gives them back."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.first = True
        self.taken: list[bytes] = []
        self.returned: deque[bytes] = deque()

    def __iter__(self) -> RememberedLines:
        return self

    def __next__(self) -> str:
        line = self.returned.popleft() if self.returned else self.stream.readline(LONGEST_LINE)
        if not line:
            raise StopIteration
        if self.first:
            line, self.first = line.removeprefix(BYTE_ORDER_MARK), False
        self.taken.append(line)
        return line.decode("utf-8", "surrogateescape")

    def refuse_row(self) -> bytes:
        """The first line of the row; the others are read again. A stray quote must not swallow good lines."""
        first, *others = self.taken
        self.returned.extendleft(reversed(others))
        self.taken.clear()
        return first


def csv_records(stream: BinaryIO, layout: Layout) -> Iterator[Record]:
    lines = RememberedLines(stream)
    rows = csv.reader(lines)
    header = next((row for row in rows if row), None)
    if header is None:
        return iter(())
    check_columns(header, layout)
    lines.taken.clear()
    return rows_of(rows, lines, [name.strip() for name in header], layout)


def check_columns(header: list[str], layout: Layout) -> None:
    names = [name.strip() for name in header]
    missing = [name for name in layout.columns if name not in names]
    if missing:
        raise UnableToRead(f"There is no column {missing[0]!r}; the columns are: {', '.join(names)}.")
    twice = [name for name in layout.columns if names.count(name) > 1]
    if twice:
        raise UnableToRead(f"There are {names.count(twice[0])} columns {twice[0]!r}.")


def rows_of(rows: Any, lines: RememberedLines, header: list[str], layout: Layout) -> Iterator[Record]:
    build = csv_row_builder(header, layout)
    while True:
        try:
            row = next(rows)
            good = len(row) == len(header)
        except StopIteration:
            return
        except csv.Error:
            row, good = [], False
        if good and is_text(row):
            lines.taken.clear()
            yield build(row)
        elif row or not good:
            raw = lines.refuse_row()
            if raw.strip():
                yield Unreadable(raw.rstrip(b"\r\n"))


def is_text(cells: list[str]) -> bool:
    """False where bytes of the file were not UTF-8."""
    return all(cell.isascii() or not any("\udc80" <= letter <= "\udcff" for letter in cell) for cell in cells)


def csv_row_builder(header: list[str], layout: Layout) -> Callable[[list[str]], Readable]:
    """A function from the cells of a row to its event. Empty cells are left out; numbers stay as they are written."""
    place = {name: index for index, name in enumerate(header)}
    constant = layout.constant_subject
    used = {layout.time, layout.id, None if constant is not None else layout.subject}
    values = layout.values or {name: name for name in header if name and name not in used}
    properties = [(name, place[column]) for name, column in values.items()]
    fixed = fixed_part(layout)
    order = sorted(range(len(header)), key=lambda index: header[index])
    mark = digest_start(layout, [header[index] for index in order])

    def build(row: list[str]) -> Readable:
        event = dict(fixed)
        if layout.subject is not None and constant is None and (subject := row[place[layout.subject]]):
            event["subject"] = subject
        if layout.time is not None and (time := row[place[layout.time]]):
            event["time"] = in_utc(time.strip(), layout.timezone)
        event["data"] = {name: cell for name, index in properties if (cell := row[index])}
        if layout.id is not None:
            event["id"] = row[place[layout.id]]
            return Readable(event, None)
        return Readable(event, digest(mark, [row[index] for index in order]))

    return build


def fixed_part(layout: Layout) -> dict[str, Any]:
    """What all events of a file share."""
    part: dict[str, Any] = {"specversion": "1.0", "source": layout.source}
    if layout.type is not None:
        part["type"] = layout.type
    if layout.constant_subject is not None:
        part["subject"] = layout.constant_subject
    return part


def digest_start(layout: Layout, names: list[str]) -> Any:
    """A hash that already holds what is not in the record, so that two customers' equal files stay apart."""
    return blake2b(msgspec.msgpack.encode([layout.type, layout.constant_subject, names]), digest_size=16)


def digest(start: Any, content: Any) -> bytes:
    hashed = start.copy()
    hashed.update(msgspec.msgpack.encode(content))
    return bytes(hashed.digest())


# JSON lines and CloudEvents

_AS_WRITTEN = msgspec.json.Decoder(float_hook=str)


def jsonl_records(stream: BinaryIO, layout: Layout) -> Iterator[Record]:
    start = digest_start(layout, [])
    fixed = fixed_part(layout)
    constant = layout.constant_subject
    used = {layout.time, layout.id, None if constant is not None else layout.subject}
    for line in lines_of(stream):
        raw = line.strip()
        columns = json_object(raw)
        if columns is None:
            yield Unreadable(raw)
            continue
        event = dict(fixed)
        if layout.subject is not None and constant is None:
            event |= part("subject", text_of(at_path(columns, layout.subject)))
        if layout.time is not None:
            time = text_of(at_path(columns, layout.time))
            event |= part("time", in_utc(time, layout.timezone) if time is not None else None)
        if layout.values:
            found = {name: at_path(columns, column) for name, column in layout.values.items()}
            event["data"] = {name: value for name, value in found.items() if value is not None}
        else:
            event["data"] = {name: value for name, value in columns.items() if name not in used}
        if layout.id is not None:
            event |= part("id", text_of(at_path(columns, layout.id)))
            yield Readable(event, None)
        else:
            yield Readable(event, digest(start, canonical(raw)))


def json_object(raw: bytes) -> dict[str, msgspec.Raw] | None:
    """The members of a JSON object, each as it is written; None for anything else."""
    try:
        members = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, RecursionError):
        return None
    return members


def canonical(raw: bytes) -> bytes:
    """The same JSON without white space, its names in order, so that two writings of a record are one."""
    return msgspec.json.encode(_AS_WRITTEN.decode(raw), order="sorted")


def at_path(columns: dict[str, msgspec.Raw], path: str) -> msgspec.Raw | None:
    """The value of a column, or (where no column has this name) of a member further in."""
    if path in columns:
        value = columns[path]
        return None if bytes(value) == b"null" else value
    first, dot, rest = path.partition(".")
    if not dot or first not in columns:
        return None
    inner = json_object(bytes(columns[first]))
    return at_path(inner, rest) if inner is not None else None


def text_of(value: msgspec.Raw | None) -> str | None:
    """A string's content; another value as it is written."""
    if value is None:
        return None
    raw = bytes(value)
    return str(msgspec.json.decode(raw)) if raw.startswith(b'"') else raw.decode()


def part(name: str, value: Any) -> dict[str, Any]:
    return {} if value is None or value == "" else {name: value}


def cloudevent_records(stream: BinaryIO, layout: Layout) -> Iterator[Record]:
    """Events one on a line, or in one JSON array. What an event does not say, the layout may: source, type, subject."""
    start = digest_start(layout, [])
    fixed = fixed_part(layout)
    opening = first_byte(stream)
    for raw in elements_of(stream) if opening == b"[" else lines_of(stream):
        raw = raw.strip()
        members = json_object(raw)
        if members is None:
            yield Unreadable(raw)
            continue
        identified = bytes(members.get("id", msgspec.Raw(b"null"))) not in (b"null", b'""')
        if identified and fixed.keys() <= members.keys():
            yield Readable(raw, None)
        else:
            yield Readable({**fixed, **members}, None if identified else digest(start, canonical(raw)))


def first_byte(stream: BinaryIO) -> bytes:
    """The first byte that is not white space or a byte order mark; the stream is left in front of it."""
    while True:
        byte = stream.read(1)
        if byte == BYTE_ORDER_MARK[:1]:
            stream.read(2)
        elif not byte or not byte.isspace():
            stream.seek(-len(byte), 1)
            return byte


_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|["\[\]{},]', re.DOTALL)
_STEP = {b"{": 1, b"[": 1, b"}": -1, b"]": -1}


def elements_of(stream: BinaryIO) -> Iterator[bytes]:
    """The elements of a JSON array, as they are written. One that is not JSON costs the others nothing, as long as
    its quotes and brackets pair; an array that is cut off ends with the piece that is left."""
    stream.read(1)
    cutter = ArrayCutter()
    while not cutter.closed and (chunk := stream.read(CHUNK)):
        yield from cutter.cut(chunk)
    if cutter.held.strip() and not cutter.closed:
        yield cutter.held.strip()


class ArrayCutter:
    """Cuts the inside of an array at its own commas. Holds what belongs to the element under way."""

    def __init__(self) -> None:
        self.held = b""
        self.scanned = 0  # how much of `held` has been looked at
        self.depth = 0
        self.closed = False

    def cut(self, chunk: bytes) -> Iterator[bytes]:
        self.held += chunk
        begun = 0
        for token in _TOKEN.finditer(self.held, self.scanned):
            mark = token.group()
            if mark == b'"':
                # A string that goes on in the next chunk; the last byte may be half an escape.
                self.scanned = token.start()
                break
            self.scanned = token.end()
            self.depth += _STEP.get(mark, 0)
            self.closed = self.depth < 0
            if self.closed or (self.depth == 0 and mark == b","):
                if element := self.held[begun : token.start()].strip():
                    yield element
                begun = token.end()
            if self.closed:
                break
        self.held, self.scanned = self.held[begun:], self.scanned - begun
        if len(self.held) > 16 * LONGEST_LINE:
            yield self.held
            self.held, self.scanned = b"", 0


# Apache access logs


_ACCESS = re.compile(
    r"(?P<client>\S+) \S+ .*? \[(?P<day>\d{2})/(?P<month>[A-Z][a-z]{2})/(?P<year>\d{4}):(?P<clock>\d{2}:\d{2}:\d{2})"
    r' (?P<offset>[+-]\d{4})\] "(?P<request>(?:[^"\\]|\\.)*)" (?P<status>\d{3}) (?P<bytes>\d+|-)'
    r'(?: "(?P<referrer>(?:[^"\\]|\\.)*)" "(?P<agent>.*?)"?)?'
)
_MONTHS = {
    name: number + 1
    for number, name in enumerate(["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"])
}


def access_log_records(stream: BinaryIO, layout: Layout) -> Iterator[Record]:
    """Apache's combined (or common) log format, also where an overlong agent was cut off at its end.

    The subject is the client's address unless the layout fixes one.
    """
    start = digest_start(layout, [])
    fixed = fixed_part(layout)
    for line in lines_of(stream):
        raw = line.rstrip(b"\r\n")
        found = _ACCESS.fullmatch(raw.decode("utf-8", "backslashreplace").strip())
        time = time_of_access(found) if found else None
        if found is None or time is None:
            yield Unreadable(raw)
            continue
        method, path, protocol = request_parts(found["request"])
        event = {"subject": found["client"], **fixed, "time": time}
        event["data"] = {
            "method": method,
            "path": path,
            "protocol": protocol,
            "status": int(found["status"]),
            "bytes": 0 if found["bytes"] == "-" else int(found["bytes"]),
            "referrer": found["referrer"] or "-",
            "agent": found["agent"] or "-",
        }
        yield Readable(event, digest(start, raw))


def time_of_access(found: re.Match[str]) -> str | None:
    month = _MONTHS.get(found["month"])
    if month is None:
        return None
    offset = f"{found['offset'][:3]}:{found['offset'][3:]}"
    time = in_utc(f"{found['year']}-{month:02}-{found['day']}T{found['clock']}{offset}", UTC)
    return time if time.endswith("Z") else None


def request_parts(request: str) -> tuple[str, str, str]:
    """Method, path and protocol; what is no HTTP request is all path."""
    parts = request.split(" ")
    if len(parts) >= 3 and parts[-1].startswith("HTTP/"):
        return parts[0], " ".join(parts[1:-1]), parts[-1]
    return ("", request, "") if len(parts) != 2 else (parts[0], parts[1], "")


def in_utc(text: str, zone: ZoneInfo) -> str:
    """An ISO 8601 time as RFC 3339 in UTC, cut to microseconds; without an offset it is of the zone (in an hour that
    clocks repeat, the first one). What is no time is returned as it is, for ingestion to judge."""
    try:
        time = dt.datetime.fromisoformat(text)
        aware = time if time.tzinfo is not None else time.replace(tzinfo=zone)
        return aware.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError):
        return text
