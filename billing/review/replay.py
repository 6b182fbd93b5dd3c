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

from django.db import connections, transaction

from billing.metering.decoding import Record, instant_of
from billing.metering.directory import Directory
from billing.metering.ingestion import QUARANTINED, Judged, RecordResult, readmit
from billing.metering.quarantine import supersede
from billing.review.alike import QUARANTINE
from billing.review.choosing import COLUMNS, Chosen, HeldRow, held_row, record_ids
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
        _replay_some(rows, at, total)
    return total


_FREE = f"""
    SELECT {COLUMNS} FROM quarantine_heldrecord held
    WHERE held.status = 'open' AND held.current_reason <> 'conflict' AND held.id > %s
      AND (%s::bigint[] IS NULL OR held.id = ANY(%s)) AND NOT EXISTS (
        SELECT 1 FROM quarantine_proposedrecord standing WHERE standing.record_id = held.id AND standing.outcome = ''
    ) ORDER BY held.id LIMIT %s
"""


def _batches(ids: list[int] | None) -> Iterator[list[HeldRow]]:
    after = 0
    while True:
        with connections[QUARANTINE].cursor() as cursor:
            cursor.execute(_FREE, [after, ids, ids, BATCH])
            rows = [held_row(row) for row in cursor.fetchall()]
        if not rows:
            return
        yield rows
        after = rows[-1].id


def _replay_some(rows: Sequence[HeldRow], at: dt.datetime, total: Replayed) -> None:
    records: list[Record] = []

    def decide(directory: Directory) -> Judged:
        judged = judge(rows, Release(), directory, instant_of(at), is_replay=True)
        records[:] = judged[0]
        return judged

    done = readmit(decide, at=at, door="replay")
    total.tried += len(rows)
    total.accepted += done.accepted
    total.duplicates += done.duplicates
    came_in = []
    turned_away: list[tuple[int, int]] = []
    still_held: list[tuple[int, RecordResult]] = []
    for row, record, result in zip(rows, records, done.results, strict=True):
        if result.status != QUARANTINED:
            came_in.append(record.key)
        elif record.stop is not None and record.stop.approval is not None:
            turned_away.append((row.id, record.stop.approval))
        else:
            still_held.append((row.id, result))
    with transaction.atomic(using=QUARANTINE), connections[QUARANTINE].cursor() as cursor:
        supersede([key for key in came_in if key is not None], at)
        total.discarded += _discard(cursor, turned_away, at)
        _hold_on(cursor, still_held)
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
