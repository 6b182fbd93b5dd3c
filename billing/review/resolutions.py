"""What can be done with a held record, as values: read from a proposal, then applied to the record on its way in.

A fix speaks the source's language: it is applied to what came, before the rules of the source. A mapped type and an
assigned customer come after the rules, in place of what the labelling would have looked up.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from billing.metering.decoding import (
    MAX_RECORD,
    Original,
    Record,
    decode_record,
    exact_number,
    instant_of,
)
from billing.metering.directory import FOR_EVER, Directory, KnownCustomer
from billing.metering.ingestion import Judged
from billing.metering.labelling import Held, Label, decide_at
from billing.metering.rules import apply_rules
from billing.models import ResolutionKind
from billing.review.choosing import HeldRow, Match
from catalog.periods import local_midnight
from contracts.models import Contract, Customer

ATTRIBUTES = ("id", "source", "type", "subject", "time")
DATA = "data."
MOST_FIXED = 20  # fields of one fix
MOST_DIGITS = 1000  # before the point, and after it, of a number in a fix

_FIELD = re.compile("`([^`]+)`$")
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")

_decode = msgspec.json.Decoder(dict[str, Any], float_hook=exact_number).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode


class Resolution(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of what is done; subclasses hold the argument of their kind."""


class AssignCustomer(Resolution, frozen=True):
    """Whose use it is, whatever the subject says."""

    customer: str


class MapType(Resolution, frozen=True):
    """The event type it is counted as."""

    type: str


class FixValue(Resolution, frozen=True):
    """What the record should have said: some fields (None takes one away), or the whole event in place of it."""

    set: dict[str, Any] = {}
    event: dict[str, Any] | None = None


class Release(Resolution, frozen=True):
    """Nothing is changed: what kept it out has gone."""


class Replace(Resolution, frozen=True):
    """What was counted under the same id is amended to what this record says."""


class Discard(Resolution, frozen=True):
    """It never counts. `match` says what a rule turns away from now on; without it, what is alike."""

    match: Match | None = None


_FORMS: Mapping[str, type[Resolution]] = {
    ResolutionKind.ASSIGN_CUSTOMER: AssignCustomer,
    ResolutionKind.MAP_TYPE: MapType,
    ResolutionKind.FIX_VALUE: FixValue,
    ResolutionKind.RELEASE: Release,
    ResolutionKind.REPLACE: Replace,
    ResolutionKind.DISCARD: Discard,
}


class InvalidArgument(ValueError):
    """The argument of a resolution cannot be used; `path` says where."""

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(detail)
        self.path = path


def read_resolution(kind: str, argument: Mapping[str, Any]) -> Resolution:
    """The resolution of a kind with its argument. Raises InvalidArgument."""
    form = _FORMS.get(kind)
    if form is None:
        raise InvalidArgument("kind", f"`kind` is one of {', '.join(ResolutionKind.values)}.")
    if not _can_be_kept(argument):
        raise InvalidArgument("argument", "A text holds a character that no event can have: NUL, or half of a pair.")
    if not _can_be_written(argument):
        raise InvalidArgument("argument", f"A number has to have an end, and at most {MOST_DIGITS:,} digits.")
    try:
        found = msgspec.convert(argument, form)
    except msgspec.ValidationError as error:
        named = _FIELD.search(str(error))
        path = named[1].removeprefix("$.") if named else "argument"
        raise InvalidArgument(path, f"To {ResolutionKind(kind).label}: {error}.") from error
    if isinstance(found, FixValue):
        _check_fix(found)
    return found


def _can_be_kept(value: Any) -> bool:
    """Whether every text in it can be stored: no NUL, no lone surrogate."""
    if isinstance(value, str):
        return _UNSTORABLE.search(value) is None
    if isinstance(value, Mapping):
        return all(_can_be_kept(name) and _can_be_kept(inner) for name, inner in value.items())
    return all(_can_be_kept(inner) for inner in value) if isinstance(value, list | tuple) else True


def _can_be_written(value: Any) -> bool:
    """Whether every number in it can be written out: neither infinite nor of absurdly many digits."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, Decimal):
        exponent = value.as_tuple().exponent
        return isinstance(exponent, int) and exponent >= -MOST_DIGITS and value.adjusted() < MOST_DIGITS
    if isinstance(value, Mapping):
        return all(map(_can_be_written, value.values()))
    return all(map(_can_be_written, value)) if isinstance(value, list | tuple) else True


def stored_argument(resolution: Resolution) -> dict[str, Any]:
    """The argument as it is kept. Fractions are kept as texts, which read as the same exact numbers."""
    found: dict[str, Any] = msgspec.to_builtins(resolution, builtin_types=(Decimal,))
    if not found.get("set"):
        found.pop("set", None)
    return {name: _exact(value) for name, value in found.items() if value is not None}


def _exact(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _exact(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_exact(inner) for inner in value]
    if isinstance(value, float):
        return repr(value)
    return f"{value:f}" if isinstance(value, Decimal) else value


def _check_fix(fix: FixValue) -> None:
    if bool(fix.set) == (fix.event is not None):
        raise InvalidArgument("set", "Give either `set`, the fields to correct, or `event`, the whole event.")
    if fix.event is not None and not fix.event:
        raise InvalidArgument("event", "The event is empty: write the whole of what should have come.")
    if len(fix.set) > MOST_FIXED:
        raise InvalidArgument("set", f"A fix sets at most {MOST_FIXED} fields.")
    for path, value in fix.set.items():
        is_data = path.startswith(DATA) and all(path.split("."))
        if not is_data and path not in ATTRIBUTES:
            known = ", ".join(ATTRIBUTES)
            raise InvalidArgument(f"set.{path}", f"{path!r} is no field: there are {known}, and data.NAME.")
        if not is_data and not (value is None and path == "time") and not (isinstance(value, str) and value):
            raise InvalidArgument(f"set.{path}", f"`{path}` is a text that is not empty.")
    if fix.event is not None and len(_encode(fix.event)) > MAX_RECORD:
        raise InvalidArgument("event", f"An event is at most {MAX_RECORD} bytes.")


class Unfixable(ValueError):
    """A fix that does not fit what came."""


def fixed(raw: bytes, fix: FixValue) -> bytes:
    """The bytes of the record as they should have been. Raises Unfixable."""
    if fix.event is not None:
        return _encode(fix.event)
    try:
        event = _decode(raw)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise Unfixable("what came is no JSON object; write the whole event instead") from error
    for path, value in fix.set.items():
        _put(event, path.split("."), value)
    return _encode(event)


def _put(holder: dict[str, Any], way: list[str], value: Any) -> None:
    *through, last = way
    for name in through:
        if holder.get(name) is None:
            holder[name] = {}
        holder = holder[name]
        if not isinstance(holder, dict):
            raise Unfixable(f"{name} is no object, so nothing can be set inside it")
    if value is None:
        holder.pop(last, None)
    else:
        holder[last] = value


def judge(
    rows: Sequence[HeldRow], resolution: Resolution, directory: Directory, arrival: int, *, is_replay: bool = False
) -> Judged:
    """Decode held records again, correct them, and decide them as the front door does.

    An event that said no time happened when it first arrived; whether a time lies in the future is asked as of
    `arrival`, now. What two persons approved passes the rules that hold and discard, and the binding of its sender
    to a source; a replay (`is_replay`) passes neither.
    """
    records = [_read(row, resolution, directory) for row in rows]
    if isinstance(resolution, AssignCustomer):
        directory = assigning(directory, resolution.customer)
    directory.look_up({record.subject for record in records})
    decisions: list[Label | Held] = []
    for row, record in zip(rows, records, strict=True):
        if not is_replay:
            record.stop = None
        bound = (row.bound_source or None) if is_replay else None
        decisions.append(decide_at(record, directory, arrival, bound))
    return records, decisions


def _read(row: HeldRow, resolution: Resolution, directory: Directory) -> Record:
    """The record as it is to be labelled, still known by the key and the digest of what came."""
    if isinstance(resolution, FixValue):
        try:
            record = decode_record(fixed(row.raw, resolution))
        except Unfixable as unable:
            record = decode_record(row.raw)
            record.fault = record.fault or str(unable)
    else:
        record = decode_record(row.raw)
    came = decode_record(row.raw) if isinstance(resolution, FixValue) else record
    original = (came.type, came.subject, came.data_text)
    is_readable = came.fault is None
    record.raw = row.raw
    # A repeat of what came is a duplicate then, whatever was corrected.
    record.digest = row.digest
    if record.occurred_at is None:
        record.occurred_at = instant_of(row.held_at)
    apply_rules(directory.rules.get(record.source, ()), record, instant_of(row.held_at))
    if isinstance(resolution, MapType) and record.fault is None:
        record.type = resolution.type
    if isinstance(resolution, AssignCustomer) and not record.subject:
        record.subject = resolution.customer
    if is_readable and (record.type, record.subject, record.data_text) != original:
        rules = record.original.rules if record.original else ()
        record.original = Original(*original, rules)
    return record


class _Everybody(dict[str, KnownCustomer | None]):
    """Says of every subject that it is one customer's."""

    def __init__(self, customer: KnownCustomer | None) -> None:
        super().__init__()
        self.customer = customer

    def __contains__(self, subject: object) -> bool:
        return True

    def get(self, subject: str, default: Any = None) -> KnownCustomer | None:
        return self.customer


def assigning(directory: Directory, key: str) -> Directory:
    """The directory with every subject being a customer's."""
    assigned = Directory(directory.version, directory.sources, directory.types, rules=directory.rules)
    assigned.customers = _Everybody(known_customer(key))
    return assigned


def known_customer(key: str) -> KnownCustomer | None:
    """A customer by its own key, whatever subjects others have, with the spans of its approved contracts."""
    customer = Customer.objects.filter(key=key).first()
    if customer is None:
        return None
    contracts = Contract.objects.approved().filter(customer=customer).select_related("customer", "seller")
    return KnownCustomer(customer.pk, tuple(_span(contract) for contract in contracts))


def _span(contract: Contract) -> tuple[int, int]:
    zone = ZoneInfo(contract.timezone_name())
    ends = contract.ends_on
    starts_at = instant_of(local_midnight(contract.starts_on, zone))
    return starts_at, FOR_EVER if ends is None else instant_of(local_midnight(ends, zone))
