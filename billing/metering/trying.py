"""Trying records against the rules of a source: what each rule does, and what would become of the record.

Nothing is stored.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

import msgspec

from billing.metering.decoding import (
    NotABatch,
    Original,
    Record,
    Stop,
    datetime_of,
    decode_batch,
    decode_record,
    instant_of,
)
from billing.metering.directory import Directory, load_directory
from billing.metering.labelling import Held, Label, decide_at
from billing.metering.rule_kinds import RuleTerms
from billing.metering.rulebook import rules_of
from billing.metering.rules import Rules, Step, apply_rules, compile_rules, trace_rules
from billing.models import Register, Source
from catalog.models import Meter
from catalog.money import quantity_text
from contracts.models import Customer

MOST_RECORDS = 20

EMPTY = "Paste a record first: a CloudEvent, a JSON object with id, type, subject, time and data."


class UnableToTry(Exception):
    """What was pasted is no record; the message says where and why."""


@dataclass(frozen=True, slots=True)
class Addition:
    """What a record would add to one meter; `value` is empty for a count, `group` is its dimensions."""

    meter: str
    unit: str
    value: str
    group: dict[str, str]


@dataclass(frozen=True, slots=True)
class Trial:
    """What would become of one record.

    `decision` is its label or why it would be held; `known` says that its id was accepted before ("duplicate", or
    "conflict" where the content was another), whatever the rules say.
    """

    record: Record
    notes: list[str]
    steps: list[Step]
    decision: Label | Held
    occurred_at: dt.datetime | None
    customer: Customer | None
    additions: list[Addition]
    known: str

    @property
    def is_accepted(self) -> bool:
        return isinstance(self.decision, Label) and self.known != "conflict"


def try_records(
    source: Source, body: bytes, *, at: dt.datetime, rules: Sequence[RuleTerms] | None = None
) -> list[Trial]:
    """What would become of a record, or a few, if this source sent them at `at`. Raises UnableToTry.

    `rules`: to be tried instead of those the source has.
    """
    tried = rules_of(source) if rules is None else rules
    records, notes = zip(*[_of_source(raw, source) for raw in _raws(body)], strict=True)
    arrival = instant_of(at)
    steps = [trace_rules(tried, record, arrival) for record in records]
    directory = load_directory(None)
    directory.look_up({record.subject for record in records})
    decisions = [decide_at(record, directory, arrival) for record in records]
    known = _known(records)
    customers = Customer.objects.in_bulk({one.customer_id for one in decisions if isinstance(one, Label)})
    meters = Meter.objects.in_bulk({id for one in decisions if isinstance(one, Label) for id in one.meters})
    return [
        Trial(
            record=record,
            notes=notes[place],
            steps=steps[place],
            decision=decision,
            occurred_at=None if record.fault else datetime_of(_instant(record, arrival)),
            customer=customers.get(decision.customer_id) if isinstance(decision, Label) else None,
            additions=_additions(decision, meters) if isinstance(decision, Label) else [],
            known=known.get(record.key or b"", ""),
        )
        for place, (record, decision) in enumerate(zip(records, decisions, strict=True))
    ]


def _raws(body: bytes) -> list[bytes]:
    if not body.strip():
        raise UnableToTry(EMPTY)
    try:
        raws = [bytes(raw) for raw in decode_batch(body)]
    except NotABatch as error:
        raise UnableToTry(_place_of_fault(body) or str(error)) from error
    if not raws:
        raise UnableToTry("The list is empty. " + EMPTY)
    if len(raws) > MOST_RECORDS:
        raise UnableToTry(f"{len(raws)} records are too many to look at; paste at most {MOST_RECORDS}.")
    return raws


def _place_of_fault(body: bytes) -> str:
    """Where a text stops to be JSON, by line, as somebody who pasted it can find it."""
    try:
        msgspec.json.decode(body)
    except UnicodeDecodeError as error:
        return f"This is not UTF-8: {error.reason} (byte {error.start})."
    except (ValueError, RecursionError) as error:
        said, _, tail = str(error).removeprefix("JSON is malformed: ").partition(" (byte ")
        place = tail.rstrip(")")
        if not place.isdecimal():
            return f"This is not JSON: {said}."
        before = body[: int(place)]
        line, column = before.count(b"\n") + 1, len(before.rpartition(b"\n")[2].decode(errors="replace")) + 1
        return f"This is not JSON: {said} (line {line}, column {column})."
    return ""


def _of_source(raw: bytes, source: Source) -> tuple[Record, list[str]]:
    """The record as if the source had sent it, and what was done about it."""
    record = decode_record(raw)
    if record.source == source.key or record.fault is not None:
        return record, []
    note = f"It says it is of the source {record.source}" if record.source else "It names no source"
    said = {**msgspec.json.decode(raw, type=dict[str, msgspec.Raw]), "source": source.key}
    return decode_record(msgspec.json.encode(said)), [f"{note}; tried as one of {source.key}."]


def _instant(record: Record, arrival: int) -> int:
    return arrival if record.occurred_at is None else record.occurred_at


def _known(records: Iterable[Record]) -> dict[bytes, str]:
    """The records whose ids were accepted before, by key: duplicates and conflicts."""
    digests = {record.key: record.digest for record in records if record.key is not None and record.fault is None}
    rows = Register.objects.filter(key__in=[UUID(bytes=key) for key in digests])
    return {
        row.key.bytes: "duplicate" if row.digest.bytes == digests[row.key.bytes] else "conflict" for row in rows
    }  # fmt: skip


def _additions(label: Label, meters: dict[int, Meter]) -> list[Addition]:
    additions = []
    for reading in label.readings:
        meter = meters[reading.meter.id]
        texts = msgspec.json.decode(reading.group) if reading.group else []
        group = {name: text or "" for name, text in zip(meter.group_by, texts, strict=False)}
        additions.append(Addition(meter.key, meter.unit, _text(reading.value), group))
    return additions


def _text(value: int | Decimal | str | None) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else quantity_text(Decimal(value))


@dataclass(frozen=True, slots=True)
class Fate:
    """What would become of a record under some rules: label or reason, and the rule that stops it, if one does.

    `known` as in a trial.
    """

    decision: Label | Held
    type: str
    subject: str
    original: Original | None
    stop: Stop | None
    known: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """What becomes of a record with the rules in force, and what would with others."""

    raw: bytes
    now: Fate
    then: Fate

    @property
    def is_changed(self) -> bool:
        return self.now != self.then


def compare(source: Source, raws: Iterable[bytes], rules: Sequence[RuleTerms], *, at: dt.datetime) -> list[Comparison]:
    """What other rules would change for these records, if the source sent them at `at`.

    To see what one more rule would catch: `rules=[*rules_of(source), candidate]`.
    """
    given = list(raws)
    directory = load_directory(None)
    now = fates(given, compile_rules(rules_of(source)), directory, at)
    then = fates(given, compile_rules(rules), directory, at)
    return [Comparison(*one) for one in zip(given, now, then, strict=True)]


def fates(raws: Iterable[bytes], rules: Rules, directory: Directory, at: dt.datetime) -> list[Fate]:
    """What would become of these records under these rules; subjects are looked up all together."""
    arrival = instant_of(at)
    records = [decode_record(raw) for raw in raws]
    for record in records:
        apply_rules(rules, record, arrival)
    directory.look_up({record.subject for record in records})
    known = _known(records)
    return [
        Fate(
            decision=decide_at(record, directory, arrival),
            type=record.type,
            subject=record.subject,
            original=record.original,
            stop=record.stop,
            known=known.get(record.key or b"", ""),
        )
        for record in records
    ]
