"""The decision about a record, in memory: a label, or the first reason for which it is held."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Struct

from billing.metering.decoding import Record, instant_of
from billing.metering.directory import Directory, MeterPlan
from billing.metering.readings import InvalidValue, MissingValue, read_text, read_value

MAX_GROUP = 1000  # bytes of a set of group-by values as JSON: it is part of an index
MAX_GROUPS_REMEMBERED = 10_000
_PLAIN = 10**15  # whole numbers below this need no further look


class Reason(StrEnum):
    """Why a record is held, in the order in which reasons are looked for."""

    MALFORMED = "malformed"
    UNKNOWN_SOURCE = "unknown_source"
    MISSING_FIELD = "missing_field"
    TIME_IN_FUTURE = "time_in_future"
    UNKNOWN_EVENT_TYPE = "unknown_event_type"
    UNKNOWN_CUSTOMER = "unknown_customer"
    NO_ACTIVE_CONTRACT = "no_active_contract"
    INVALID_VALUE = "invalid_value"
    RULE = "rule"
    CONFLICT = "conflict"


class Held(Struct, frozen=True, gc=False):
    """Not counted, and why."""

    reason: Reason
    detail: str


class Reading(Struct, frozen=True, gc=False):
    """What one event adds to one meter.

    `group` is the JSON array of its group-by values ("" for none). `value` is the number that is aggregated, a text
    for unique_count, None for count.
    """

    meter: MeterPlan
    group: str
    value: int | Decimal | str | None


class Label(Struct, frozen=True, gc=False):
    """Whose the event is, when it happened (microseconds since EPOCH), and what it adds to which meters."""

    source_id: int
    customer_id: int
    occurred_at: int
    readings: list[Reading]
    meters: tuple[int, ...]


def decide(record: Record, directory: Directory, at: dt.datetime, bound_source: str | None = None) -> Label | Held:
    """Label a record received at `at`, or say why it is held.

    The rules of its source have been applied, and its subject has been looked up in the directory. `bound_source` is
    the only source the sender may report for.
    """
    return decide_at(record, directory, instant_of(at), bound_source)


def decide_at(record: Record, directory: Directory, arrival: int, bound_source: str | None = None) -> Label | Held:
    """As `decide`, with the arrival in microseconds since EPOCH."""
    may_report = bound_source is None or bound_source == record.source
    source = directory.sources.get(record.source) if may_report else None
    if record.fault is not None or source is None or not (record.id and record.type and record.subject):
        return _unusable(record, source is not None, may_report)
    type = directory.types.get(record.type)
    read = read_meters(type.meters, record.data) if type else []
    if isinstance(read, Held) and read.reason is Reason.MISSING_FIELD:
        return read
    occurred_at = arrival if record.occurred_at is None else record.occurred_at
    if occurred_at > arrival + source.clock_skew:
        return Held(Reason.TIME_IN_FUTURE, "its time is later than the clock skew of the source allows")
    if type is None:
        return Held(Reason.UNKNOWN_EVENT_TYPE, f"no meter counts events of type {record.type!r}")
    customer = directory.customers.get(record.subject)
    if customer is None:
        return Held(Reason.UNKNOWN_CUSTOMER, f"no customer has the subject {record.subject!r}")
    for starts_at, ends_at in customer.spans:
        if starts_at <= occurred_at < ends_at:
            if isinstance(read, Held):
                return read
            if record.stop is not None:
                return Held(Reason.RULE, record.stop.detail)
            return Label(source.id, customer.id, occurred_at, read, type.ids or meter_ids(read))
    return Held(Reason.NO_ACTIVE_CONTRACT, "no approved contract of the customer runs at its time")


def meter_ids(readings: Iterable[Reading]) -> tuple[int, ...]:
    return tuple([reading.meter.id for reading in readings])


def read_meters(meters: tuple[MeterPlan, ...], data: Mapping[str, Any]) -> list[Reading] | Held:
    """What data add to those of the meters whose filters they pass. A missing value comes before an invalid one."""
    readings = []
    invalid: Held | None = None
    for meter in meters:
        if meter.filters and not passes(meter, data):
            continue
        value = _value(meter, data) if meter.value else None
        group = _group(meter, data) if meter.group_by else ""
        if type(value) is MissingValue:
            return Held(Reason.MISSING_FIELD, f"no {value.path} in data, which the meter {meter.key} needs")
        if type(value) is InvalidValue:
            invalid = invalid or Held(Reason.INVALID_VALUE, f"{value.path}: {value.detail}")
        elif type(group) is InvalidValue:
            invalid = invalid or Held(Reason.INVALID_VALUE, f"{group.path}: {group.detail}")
        else:
            readings.append(Reading(meter, group, value))  # type: ignore[arg-type]  # neither missing nor invalid
    return invalid or readings


def passes(meter: MeterPlan, data: Mapping[str, Any]) -> bool:
    for path, allowed in meter.filters:
        found = read_text(data, path)
        if (found if isinstance(found, str) else None) not in allowed:
            return False
    return True


def _value(meter: MeterPlan, data: Mapping[str, Any]) -> int | Decimal | str | MissingValue | InvalidValue:
    path = meter.value
    plain = data.get(path)
    if type(plain) is int and 0 <= plain < _PLAIN and meter.aggregation != "unique_count":
        return plain
    if meter.aggregation == "unique_count":
        return read_text(data, path)
    value = read_value(data, path)
    if isinstance(value, Decimal) and value < 0 and not meter.allows_negative:
        return InvalidValue(path, "the meter takes no value below zero")
    return value


def _group(meter: MeterPlan, data: Mapping[str, Any]) -> str | InvalidValue:
    if len(meter.group_by) == 1:
        plain = data.get(meter.group_by[0])
        known = meter.groups.get(plain) if type(plain) is str else None
        if known is not None:
            return known
    return _read_group(meter, data)


def _read_group(meter: MeterPlan, data: Mapping[str, Any]) -> str | InvalidValue:
    texts: list[str | None] = []
    for path in meter.group_by:
        found = read_text(data, path)
        if isinstance(found, InvalidValue):
            return found
        texts.append(found if isinstance(found, str) else None)
    values = tuple(texts)
    known = meter.groups.get(values)
    return known if known is not None else _new_group(meter, values)


def _new_group(meter: MeterPlan, values: tuple[str | None, ...]) -> str | InvalidValue:
    text = msgspec.json.encode(values)
    if len(text) > MAX_GROUP:
        return InvalidValue(meter.group_by[0], f"group-by values are longer than {MAX_GROUP} bytes")
    if len(meter.groups) >= MAX_GROUPS_REMEMBERED:
        meter.groups.clear()
    group = meter.groups[values] = text.decode()
    if len(values) == 1 and values[0] is not None:
        meter.groups[values[0]] = group
    return group


def _unusable(record: Record, is_known_source: bool, may_report: bool) -> Held:
    """Why a record of bad form, of an unknown source or without an attribute is held."""
    if record.fault is not None:
        return Held(Reason.MALFORMED, record.fault)
    if record.source and not may_report:
        return Held(Reason.UNKNOWN_SOURCE, f"this key may not report for the source {record.source!r}")
    if record.source and not is_known_source:
        return Held(Reason.UNKNOWN_SOURCE, f"there is no source {record.source!r}")
    missing = next(name for name in ("source", "id", "type", "subject") if not getattr(record, name))
    return Held(Reason.MISSING_FIELD, f"no {missing}")
