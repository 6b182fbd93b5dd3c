"""Taking an event back, or replacing its data: new records beside it; the event itself stays as it came.

A correction takes the customer's clock first, like a batch, so that nothing else counts for the customer meanwhile;
it is stamped, and buckets follow in the same transaction.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import msgspec
from django.db import connection, transaction

from billing.metering.aggregation import EMPTY, Partial, fold
from billing.metering.buckets import Addition, Number, add_to_buckets, gather, prepare, put_partials
from billing.metering.decoding import (
    QUARTER,
    Original,
    Record,
    datetime_of,
    decode_data,
    decode_record,
    instant_of,
    register_key,
)
from billing.metering.directory import MeterPlan, directory_version, meter_plan
from billing.metering.distinct import BucketKey, put_values
from billing.metering.labelling import Held, Label, Reading, meter_ids, read_meters
from billing.metering.originals import originals_of, store_original_data
from billing.metering.rulebook import terms_of
from billing.metering.rules import apply_rules, compile_rules
from billing.metering.standing import plans_of, readings_of, sample_of, standing_events
from billing.metering.storage import bulk_cursor, take_clocks
from billing.models import Correction, CorrectionKind, Event, Register, SourceRule
from catalog.models import Meter
from catalog.money import exact_arithmetic
from catalog.periods import Period

# These cannot be changed by a difference: what was hidden behind the old value shows only in the events.
REBUILT = ("max", "min", "latest", "unique_count")

_encode = msgspec.json.Encoder(decimal_format="number").encode


class UnableToCorrect(Exception):
    """The event cannot be corrected so; `code` is unknown_event, already_voided or invalid_data."""

    def __init__(self, code: Literal["unknown_event", "already_voided", "invalid_data"], message: str) -> None:
        super().__init__(message)
        self.code = code


def void_event(source: str, id: str, *, reason: str, at: dt.datetime, by: str = "") -> Correction:
    """Take an accepted event back. Raises UnableToCorrect."""
    return _correct(source, id, None, reason=reason, at=at, by=by)


def amend_event(
    source: str, id: str, data: bytes | Mapping[str, Any], *, reason: str, at: dt.datetime, by: str = ""
) -> Correction:
    """Replace the whole data of an accepted event; its type, subject and time stay. Raises UnableToCorrect.

    The data are said in the words of the source, like those of a new event, and go through its rules as they are now.
    """
    text = data if isinstance(data, bytes) else _encode(data)
    return _correct(source, id, text, reason=reason, at=at, by=by)


def _correct(source: str, id: str, text: bytes | None, *, reason: str, at: dt.datetime, by: str) -> Correction:
    key = UUID(bytes=register_key(source, id))
    with transaction.atomic(durable=True), connection.wrap_database_errors:
        entry = Register.objects.filter(key=key).first()
        if entry is None:
            raise UnableToCorrect("unknown_event", f"No event {id!r} of the source {source!r} was accepted.")
        directory_version()  # meters stay as they are until the end
        clocks = take_clocks(bulk_cursor(), {entry.customer_id: instant_of(entry.occurred_at)})
        event = Event.objects.get(customer_id=entry.customer_id, occurred_at=entry.occurred_at, key=key)
        before = Correction.objects.filter(key=key).order_by("position").last()
        if before is not None and before.kind == CorrectionKind.VOID:
            raise UnableToCorrect("already_voided", f"The event {id!r} is voided; nothing of it is left to correct.")
        standing = before or event
        plans = plans_of(standing.meters)
        taken = readings_of(decode_data(standing.data.encode()), standing.meters, plans)
        amended = None if text is None else _amended(event, source, text)
        given = amended.readings if amended else []
        correction = Correction.objects.create(
            key=key,
            position=1 if before is None else before.position + 1,
            kind=CorrectionKind.VOID if text is None else CorrectionKind.AMEND,
            customer_id=event.customer_id,
            occurred_at=event.occurred_at,
            source_id=event.source_id,
            event_id=event.event_id,
            clock=clocks[event.customer_id],
            data=amended.record.data_text.decode() if amended else "",
            meters=[reading.meter.id for reading in given],
            reason=reason,
            made_at=at,
            made_by=by,
        )
        if amended and amended.original:
            store_original_data(correction, amended.original)
        _adjust_buckets(event, taken, given, clocks)
    return correction


@dataclass(frozen=True, slots=True)
class _Amended:
    """New data after the rules of the source, and what they add to the meters of the event's type."""

    record: Record
    readings: list[Reading]

    @property
    def original(self) -> Original | None:
        """What was given, where the rules changed it."""
        original = self.record.original
        return original if original and original.data_text != self.record.data_text else None


def _amended(event: Event, source: str, text: bytes) -> _Amended:
    """New data of an event; they must pass like those of a new one. Raises UnableToCorrect."""
    try:
        decode_data(text)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise UnableToCorrect("invalid_data", f"The new data are not a JSON object: {error}.") from error
    came = originals_of([event]).get(event.key) or event
    said = {"id": event.event_id, "source": source, "type": came.type, "subject": came.subject}
    record = decode_record(_encode({**said, "data": msgspec.Raw(text)}))
    if record.fault is not None:
        raise UnableToCorrect("invalid_data", f"The new data cannot be taken: {record.fault}.")
    rules = SourceRule.objects.filter(source_id=event.source_id, is_active=True)
    apply_rules(compile_rules(map(terms_of, rules)), record, instant_of(event.occurred_at))
    if record.stop is not None:
        raise UnableToCorrect("invalid_data", f"The new data cannot be counted: a rule says {record.stop.detail}.")
    meters = tuple(meter_plan(meter) for meter in Meter.objects.filter(event_type=event.type).order_by("id"))
    read = read_meters(meters, record.data)
    if isinstance(read, Held):
        raise UnableToCorrect("invalid_data", f"The new data cannot be counted: {read.detail}.")
    return _Amended(record, read)


def _adjust_buckets(event: Event, taken: list[Reading], given: list[Reading], clocks: Mapping[int, int]) -> None:
    """Take the old readings out of the buckets and put the new ones in; they may fall into other groups."""
    occurred_at = instant_of(event.occurred_at)
    starts_at = occurred_at - occurred_at % QUARTER
    plus: dict[BucketKey, Addition] = {}
    minus: dict[BucketKey, Addition] = {}
    with exact_arithmetic():
        gather(plus, [_label(event, given)])
        gather(minus, [_label(event, taken)])
        for key, addition in minus.items():
            plus[key] = _less(plus.get(key, Addition()), addition)
    cursor = bulk_cursor()
    add_to_buckets(cursor, prepare(plus), clocks)
    rebuilt: dict[BucketKey, Partial] = {}
    values: dict[BucketKey, frozenset[str]] = {}
    for meter in {one.meter.id: one.meter for one in [*taken, *given] if one.meter.aggregation in REBUILT}.values():
        groups = {one.group for one in [*taken, *given] if one.meter.id == meter.id}
        folded = fold_quarter(meter, event.customer_id, starts_at)
        for group in groups:
            key = (event.customer_id, meter.id, starts_at, group)
            rebuilt[key] = folded.get(group, EMPTY)
            if meter.aggregation == "unique_count":
                values[key] = rebuilt[key].values
    put_partials(cursor, rebuilt, clocks)
    put_values(cursor, values, clocks)


def _label(event: Event, readings: Iterable[Reading]) -> Label:
    """The part of an event's readings that a difference can change."""
    some = [reading for reading in readings if reading.meter.aggregation not in REBUILT]
    return Label(event.source_id, event.customer_id, instant_of(event.occurred_at), some, meter_ids(some))


def _less(one: Addition, other: Addition) -> Addition:
    return Addition(
        n=one.n - other.n, total=_minus(one.total, other.total), weighted=_minus(one.weighted, other.weighted)
    )


def _minus(one: Number | None, other: Number | None) -> Number | None:
    return one if other is None else (one or 0) - other


def fold_quarter(meter: MeterPlan, customer_id: int, starts_at: int) -> dict[str, Partial]:
    """The partials of a quarter of an hour by group, from the events as they stand."""
    stretch = Period(datetime_of(starts_at), datetime_of(starts_at + QUARTER))
    samples: dict[str, list[Any]] = {}
    for event in standing_events(customer_id, stretch, meter_id=meter.id):
        for reading in readings_of(event.data, [meter.id], {meter.id: meter}):
            samples.setdefault(reading.group, []).append(sample_of(reading, event))
    return {group: fold(meter.aggregation, found, stretch) for group, found in samples.items()}
