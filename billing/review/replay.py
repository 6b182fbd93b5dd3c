"""Sending what is open through the front door again, as its senders would: after a rule, a contract or a source came.

Nothing is corrected and nothing is overridden, so it needs no approval: a sender that repeats a record does the same.
What comes in is superseded, like a held record that arrives again in good form; what a discard rule catches is
discarded in the name of those who approved the rule; what is still held says why now.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connections, transaction

from billing.metering.decoding import Record, instant_of
from billing.metering.directory import Directory
from billing.metering.ingestion import QUARANTINED, Judged, RecordResult, readmit
from billing.metering.quarantine import supersede
from billing.review.alike import QUARANTINE
from billing.review.choosing import COLUMNS, MOST_BYTES, Chosen, HeldRow, held_row, record_ids
from billing.review.release import BATCH
from billing.review.resolutions import Release, judge


@dataclass(slots=True)
class Replayed:
    """What became of the records that were sent again: received before counts as `duplicates`."""

    tried: int = 0
    accepted: int = 0
    duplicates: int = 0
    discarded: int = 0
    held: int = 0


def replay(*, at: dt.datetime, chosen: Chosen | None = None) -> Replayed:
    """Send open records under no standing proposal again: those chosen, or all. Conflicts stay as they are.

    Call outside a transaction of the main database. Idempotent; raises UnableToIngest where a database is away.
    """
    total = Replayed()
    ids = None if chosen is None else record_ids(chosen)
    for rows in _batches(ids):
        _replay_some(rows, ids, at, total)
    return total


_FREE = """
    held.status = 'open' AND held.current_reason <> 'conflict' AND held.id > %s
      AND (%s::bigint[] IS NULL OR held.id = ANY(%s)) AND NOT EXISTS (
        SELECT 1 FROM quarantine_proposedrecord standing WHERE standing.record_id = held.id AND standing.outcome = ''
    )
"""

_NEXT = f"""
    SELECT {COLUMNS} FROM (
        SELECT held.*, sum(octet_length(held.raw)) OVER (ORDER BY held.id) - octet_length(held.raw) AS bytes_before
        FROM quarantine_heldrecord held WHERE {_FREE} ORDER BY held.id LIMIT %s
    ) held WHERE held.bytes_before < %s ORDER BY held.id
"""

_TO_COME = f"SELECT held.id FROM quarantine_heldrecord held WHERE {_FREE} AND held.key = ANY(%s)"


def _batches(ids: list[int] | None) -> Iterator[list[HeldRow]]:
    after = 0
    while True:
        with connections[QUARANTINE].cursor() as cursor:
            cursor.execute(_NEXT, [after, ids, ids, BATCH, MOST_BYTES])
            rows = [held_row(row) for row in cursor.fetchall()]
        if not rows:
            return
        yield rows
        after = rows[-1].id


def _replay_some(rows: Sequence[HeldRow], ids: list[int] | None, at: dt.datetime, total: Replayed) -> None:
    records: list[Record] = []

    def decide(directory: Directory) -> Judged:
        judged = judge(rows, Release(), directory, instant_of(at), is_replay=True)
        records[:] = judged[0]
        return judged

    done = readmit(decide, at=at, door="replay")
    total.tried += len(rows)
    total.accepted += done.accepted
    total.duplicates += done.duplicates
    came_in: list[UUID] = []
    turned_away: list[tuple[int, int]] = []
    still_held: list[tuple[int, RecordResult]] = []
    for row, record, result in zip(rows, records, done.results, strict=True):
        if result.status != QUARANTINED:
            came_in += [UUID(bytes=record.key)] if record.key else []
        elif record.stop is not None and record.stop.approval is not None:
            turned_away.append((row.id, record.stop.approval))
        else:
            still_held.append((row.id, result))
    with transaction.atomic(using=QUARANTINE), connections[QUARANTINE].cursor() as cursor:
        total.discarded += _discard(cursor, turned_away, at)
        # What contradicts a record that came in is a conflict from here on, and stays.
        _hold_on(cursor, still_held)
        supersede([key.bytes for key in came_in], at, but=_to_come(cursor, came_in, rows[-1].id, ids))
    total.held += len(still_held)


_DISCARD = """
    UPDATE quarantine_heldrecord held SET status = 'discarded', resolved_at = %s, discarded_by_id = proposal.id
    FROM unnest(%s::bigint[], %s::bigint[]) AS caught (id, approval)
    JOIN quarantine_proposal proposal ON proposal.id = caught.approval
        AND proposal.kind = 'discard' AND proposal.keep_as_rule AND proposal.decision = 'approved'
    WHERE held.id = caught.id AND held.status = 'open'
"""

_HOLD_ON = """
    UPDATE quarantine_heldrecord held SET current_reason = found.reason, current_detail = found.detail
    FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS found (id, reason, detail)
    WHERE held.id = found.id AND held.status = 'open'
      AND (held.current_reason, held.current_detail) IS DISTINCT FROM (found.reason, found.detail)
"""


def _to_come(cursor: Any, keys: list[UUID], after: int, ids: list[int] | None) -> list[int]:
    """Records under the same keys that are tried in a later batch: they may say something else."""
    cursor.execute(_TO_COME, [after, ids, ids, keys])
    return [id for (id,) in cursor.fetchall()]


def _discard(cursor: Any, caught: Sequence[tuple[int, int]], at: dt.datetime) -> int:
    if not caught:
        return 0
    cursor.execute(_DISCARD, [at, [id for id, _ in caught], [approval for _, approval in caught]])
    return int(cursor.rowcount)


def _hold_on(cursor: Any, held: Sequence[tuple[int, RecordResult]]) -> None:
    if held:
        reasons = [result.reason or "" for _, result in held]
        details = [result.detail[:1000] for _, result in held]
        cursor.execute(_HOLD_ON, [[id for id, _ in held], reasons, details])
