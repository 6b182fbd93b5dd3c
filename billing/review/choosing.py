"""Which open records a proposal covers: named ones, whole groups of alike ones, or all that a condition meets."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from django.db import connections

from billing.metering.decoding import Record, decode_record, instant_of
from billing.metering.directory import Directory, current_directory, directory_version, forget_directory
from billing.metering.rule_kinds import RuleTerms
from billing.metering.rules import Condition, apply_rules
from billing.review.alike import QUARANTINE, GroupKey


class Match(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What records of a source have in common, as a rule of the source would look for it.

    `type` is exact; the subject is one of `subjects`; `field` (`data.agent`, `subject`) is one of `values`. Texts may
    hold `*`. What is empty is not looked at.
    """

    source: str
    type: str = ""
    subjects: tuple[str, ...] = ()
    field: str = ""
    values: tuple[str, ...] = ()
    ignores_case: bool = False

    @property
    def is_empty(self) -> bool:
        return not (self.type or self.subjects or (self.field and self.values))

    def terms(self, kind: str, proposal: int | None = None) -> RuleTerms:
        return RuleTerms(
            kind=kind,
            when_type=self.type,
            when_subjects=self.subjects,
            when_field=self.field,
            when_values=self.values,
            when_ignores_case=self.ignores_case,
            proposal=proposal,
        )


@dataclass(frozen=True, slots=True)
class Records:
    """Records by their ids."""

    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Groups:
    """Every open record of some groups."""

    keys: tuple[GroupKey, ...]


@dataclass(frozen=True, slots=True)
class Matching:
    """Every open record that a match meets."""

    match: Match


Chosen = Records | Groups | Matching


def as_json(chosen: Chosen) -> dict[str, Any]:
    """How records were chosen, to be kept with a proposal."""
    match chosen:
        case Records(ids):
            return {"records": len(ids)}
        case Groups(keys):
            return {"groups": [{"reason": key.reason, "source": key.source, "alike": key.alike} for key in keys]}
        case Matching(match):
            found: dict[str, Any] = msgspec.to_builtins(match)
            return {"match": found}


_FREE = """
    AND held.status = 'open' AND NOT EXISTS (
        SELECT 1 FROM quarantine_proposedrecord standing WHERE standing.record_id = held.id AND standing.outcome = ''
    )
"""

_BY_ID = f"SELECT held.id FROM quarantine_heldrecord held WHERE held.id = ANY(%s) {_FREE} ORDER BY held.id"

_BY_GROUP = f"""
    SELECT held.id FROM quarantine_heldrecord held
    JOIN unnest(%s::text[], %s::text[], %s::text[]) AS chosen (reason, source, alike)
        ON held.current_reason = chosen.reason AND held.source = chosen.source AND held.alike = chosen.alike
    WHERE true {_FREE} ORDER BY held.id
"""


def record_ids(chosen: Chosen) -> list[int]:
    """The open records that are chosen and under no standing proposal, in order."""
    match chosen:
        case Records(ids):
            return _ids(_BY_ID, [list(ids)])
        case Groups(keys):
            columns = [[getattr(key, name) for key in keys] for name in ("reason", "source", "alike")]
            return _ids(_BY_GROUP, columns)
        case Matching(match):
            return [held.id for held in matching(match)]


def _ids(sql: str, parameters: Sequence[Any]) -> list[int]:
    with connections[QUARANTINE].cursor() as cursor:
        cursor.execute(sql, parameters)
        return [id for (id,) in cursor.fetchall()]


class HeldRow(msgspec.Struct, frozen=True, gc=False):
    """As much of a held record as it takes to send it through the front door again."""

    id: int
    key: bytes | None
    digest: bytes
    reason: str
    source: str
    subject: str
    type: str
    bound_source: str
    held_at: dt.datetime
    raw: bytes


MOST_BYTES = 64 * 2**20  # of what came, decoded at once

COLUMNS = """
    held.id, held.key, held.digest, held.current_reason, held.source, held.subject, held.type, held.bound_source,
    held.held_at, held.raw
"""

_OF_SOURCE = f"""
    SELECT {COLUMNS} FROM quarantine_heldrecord held
    WHERE held.source = %s AND held.current_reason <> 'malformed' {_FREE} ORDER BY held.id
"""

_SOME = f"""
    SELECT {COLUMNS} FROM (
        SELECT held.*, sum(octet_length(held.raw)) OVER (ORDER BY held.id) - octet_length(held.raw) AS bytes_before
        FROM quarantine_heldrecord held WHERE held.id = ANY(%s)
    ) held WHERE held.bytes_before < %s ORDER BY held.id
"""


def held_row(row: Sequence[Any]) -> HeldRow:
    id, key, digest, reason, source, subject, type, bound_source, held_at, raw = row
    return HeldRow(
        id, key.bytes if key else None, digest.bytes, reason, source, subject, type, bound_source, held_at, bytes(raw)
    )


def held_rows(ids: Sequence[int]) -> list[HeldRow]:
    """Records by id, open or not, in the order of their ids; of very large ones, the first `MOST_BYTES`."""
    with connections[QUARANTINE].cursor() as cursor:
        cursor.execute(_SOME, [list(ids), MOST_BYTES])
        return [held_row(row) for row in cursor.fetchall()]


def directory_now() -> Directory:
    """What records are labelled by at this moment. The one kept in memory is only sure to be so inside a batch."""
    directory = current_directory()
    if directory.version is not None and directory.version != directory_version():
        forget_directory()
        directory = current_directory()
    return directory


def matching(match: Match) -> Iterator[HeldRow]:
    """The open records of a source, under no standing proposal, that a rule with this match would catch.

    Reads and decodes everything that is open of the source: some 20,000 records a second.
    """
    if match.is_empty:
        return
    condition = Condition(match.terms("discard"))
    directory = directory_now()
    with connections[QUARANTINE].chunked_cursor() as cursor:
        cursor.execute(_OF_SOURCE, [match.source])
        for row in cursor:
            held = held_row(row)
            if meets(condition, held, directory):
                yield held


def meets(condition: Condition, held: HeldRow, directory: Directory) -> bool:
    """Whether a rule at the end of its source's rules would catch the record."""
    record = as_labelled(held, directory)
    occurred_at = instant_of(held.held_at) if record.occurred_at is None else record.occurred_at
    return record.fault is None and not condition.unmet(record, occurred_at)


def as_labelled(held: HeldRow, directory: Directory, raw: bytes | None = None) -> Record:
    """The record as the labelling sees it: decoded, and changed by the rules of its source."""
    record = decode_record(held.raw if raw is None else raw)
    apply_rules(directory.rules.get(record.source, ()), record, instant_of(held.held_at))
    return record
