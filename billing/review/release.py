"""Releasing what two persons approved: each record goes through the same front door as everything else, corrected.

A batch of records is settled in one transaction of the quarantine database, which stays open while the main one takes
them in. Killed in between, the records are in and still wait: done again, the front door finds them there under their
key and digest, and they are settled without being counted twice. What is received keeps the instant it came in by
release (`received_at`), in a receipt of the door `release`; when it happened is what it says, or its first arrival.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import InterfaceError, OperationalError, connections, transaction
from django.db.models import Count

from billing.entitlements.notices import tell
from billing.metering.decoding import instant_of
from billing.metering.directory import Directory
from billing.metering.ingestion import QUARANTINED, Judged, UnableToIngest, readmit
from billing.metering.quarantine import supersede
from billing.models import Decision, HeldStatus, Outcome, Proposal, ResolutionKind
from billing.review.alike import QUARANTINE
from billing.review.choosing import COLUMNS, MOST_BYTES, HeldRow, held_row
from billing.review.keeping import keep
from billing.review.replacing import replace
from billing.review.resolutions import InvalidArgument, Replace, Resolution, judge, read_resolution
from catalog.auditing import OPERATOR

BATCH = 2000  # records released in one transaction
DISCARDED_AT_ONCE = 10_000

logger = logging.getLogger(__name__)


class UnableToRelease(Exception):
    """The release cannot begin, or was cut short; what is settled stays, and doing it again goes on with the rest."""


@dataclass(frozen=True, slots=True)
class Released:
    """What became of a proposal's records. `failures` counts those held again by their reason."""

    proposal: Proposal
    released: int = 0
    failed: int = 0
    discarded: int = 0
    superseded: int = 0
    waiting: int = 0
    failures: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of one record under the proposal; `place` is its row there."""

    place: int
    record: int
    outcome: str
    reason: str = ""
    detail: str = ""
    key: UUID | None = None
    receipt: UUID | None = None


def release(proposal: Proposal, *, at: dt.datetime) -> Released:
    """Release, or discard, what waits under an approved proposal; call outside a transaction of the main database.

    Idempotent: what has its outcome keeps it. Raises UnableToRelease.
    """
    if proposal.decision != Decision.APPROVED:
        raise UnableToRelease("Only what a second person approved is released.")
    try:
        resolution = read_resolution(proposal.kind, proposal.argument)
    except InvalidArgument as invalid:
        raise UnableToRelease(f"What was approved cannot be done: {invalid}") from invalid
    try:
        if proposal.keep_as_rule and not proposal.rule:
            keep(proposal, resolution, at)
        if proposal.kind == ResolutionKind.DISCARD:
            while _discard_some(proposal, at):
                pass
        else:
            while _release_some(proposal, resolution, at):
                pass
        _finish(proposal, at)
    except UnableToIngest as unable:
        raise UnableToRelease(_CUT_SHORT) from unable
    except (OperationalError, InterfaceError) as error:
        logger.error("The release of proposal %s was cut short: %s", proposal.pk, error)
        raise UnableToRelease(_CUT_SHORT) from error
    return released(proposal)


_CUT_SHORT = "A database does not answer. The resolution is approved, and the release goes on when it is back."


def release_approved(at: dt.datetime) -> int:
    """Go on with everything that is approved and was cut short; returns how many proposals are done with it.

    One that cannot be released is logged, and keeps none of the others waiting.
    """
    done = 0
    for proposal in Proposal.objects.unfinished().order_by("pk"):
        try:
            release(proposal, at=at)
            done += 1
        except UnableToRelease as unable:
            logger.error("Proposal %s is not released to the end: %s", proposal.pk, unable)
        except Exception as error:
            logger.exception("Proposal %s is not released to the end: %s", proposal.pk, error)
    return done


def released(proposal: Proposal) -> Released:
    """What became of the records of a proposal so far."""
    proposal.refresh_from_db()
    counted: Counter[str] = Counter()
    failures: dict[str, int] = {}
    rows = proposal.records.values_list("outcome", "reason").annotate(Count("id")).order_by("outcome", "reason")
    for outcome, reason, n in rows:
        counted[outcome] += n
        if outcome == Outcome.FAILED:
            failures[reason] = n
    return Released(
        proposal=proposal,
        released=counted[Outcome.RELEASED],
        failed=counted[Outcome.FAILED],
        discarded=counted[Outcome.DISCARDED],
        superseded=counted[Outcome.SUPERSEDED],
        waiting=counted[""],
        failures=failures,
    )


_WAITING = f"""
    SELECT proposed.place, held.status, {COLUMNS}
    FROM (
        SELECT waiting.id AS place, waiting.record_id,
            sum(octet_length(record.raw)) OVER (ORDER BY waiting.id) - octet_length(record.raw) AS bytes_before
        FROM quarantine_proposedrecord waiting JOIN quarantine_heldrecord record ON record.id = waiting.record_id
        WHERE waiting.proposal_id = %s AND waiting.outcome = '' ORDER BY waiting.id LIMIT %s
    ) proposed JOIN quarantine_heldrecord held ON held.id = proposed.record_id
    WHERE proposed.bytes_before < %s ORDER BY proposed.place
"""


def _release_some(proposal: Proposal, resolution: Resolution, at: dt.datetime) -> bool:
    """Settle the next records; False where none waits."""
    with transaction.atomic(using=QUARANTINE), connections[QUARANTINE].cursor() as cursor:
        _one_at_a_time(cursor, proposal)
        cursor.execute(_WAITING, [proposal.pk, BATCH, MOST_BYTES])
        found = cursor.fetchall()
        open_rows = [(place, held_row(row)) for place, status, *row in found if status == HeldStatus.OPEN]
        settled = [
            Settled(place, row[0], Outcome.SUPERSEDED) for place, status, *row in found if status != HeldStatus.OPEN
        ]
        if isinstance(resolution, Replace):
            settled += [_replaced(place, row, proposal, at) for place, row in open_rows]
        elif open_rows:
            settled += _readmitted(open_rows, resolution, at)
        _settle(cursor, proposal, settled, at)
    return bool(found)


def _one_at_a_time(cursor: Any, proposal: Proposal) -> None:
    """Two that release the same proposal take turns, batch by batch."""
    cursor.execute("SELECT pg_advisory_xact_lock(hashtext('quarantine_release'), %s)", [proposal.pk % 2**31])


def _readmitted(places: Sequence[tuple[int, HeldRow]], resolution: Resolution, at: dt.datetime) -> list[Settled]:
    rows = [row for _, row in places]

    keys: list[bytes | None] = []

    def decide(directory: Directory) -> Judged:
        judged = judge(rows, resolution, directory, instant_of(at))
        keys[:] = [record.key for record in judged[0]]
        return judged

    done = readmit(decide, at=at, door="release")
    tell(done.touched, at)
    settled = []
    for (place, row), key, result in zip(places, keys, done.results, strict=True):
        if result.status == QUARANTINED or key is None:
            settled.append(Settled(place, row.id, Outcome.FAILED, result.reason or "", result.detail))
        else:
            settled.append(Settled(place, row.id, Outcome.RELEASED, key=UUID(bytes=key), receipt=done.receipt))
    return settled


def _replaced(place: int, row: HeldRow, proposal: Proposal, at: dt.datetime) -> Settled:
    """A conflict settled by amending what was counted; what cannot be amended so stays a conflict, and says why."""
    by = proposal.decided_by_name or proposal.decided_by or OPERATOR
    refusal = replace(row, reason=proposal.reason, at=at, by=by)
    if refusal or row.key is None:
        return Settled(place, row.id, Outcome.FAILED, row.reason, refusal)
    return Settled(place, row.id, Outcome.RELEASED, key=UUID(bytes=row.key))


_STILL_OPEN = """
    SELECT id FROM quarantine_heldrecord WHERE id = ANY(%s) AND status = 'open' ORDER BY id FOR NO KEY UPDATE
"""

_SETTLE = """
    UPDATE quarantine_proposedrecord proposed SET outcome = settled.outcome, reason = settled.reason,
        detail = settled.detail, key = settled.key, receipt = settled.receipt, settled_at = %s
    FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::uuid[], %s::uuid[])
        AS settled (id, outcome, reason, detail, key, receipt)
    WHERE proposed.id = settled.id
"""

_RESOLVE = "UPDATE quarantine_heldrecord SET status = %s, resolved_at = %s WHERE id = ANY(%s)"

_HOLD_ON = """
    UPDATE quarantine_heldrecord held SET current_reason = failed.reason, current_detail = failed.detail
    FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS failed (id, reason, detail) WHERE held.id = failed.id
"""


# Records of the same proposal that are still to be tried: if they contradict what came in, somebody looks at that.
_STILL_WAITING = """
    SELECT held.id FROM quarantine_heldrecord held
    JOIN quarantine_proposedrecord waiting ON waiting.record_id = held.id
    WHERE held.key = ANY(%s) AND held.status = 'open' AND waiting.proposal_id = %s AND waiting.outcome = ''
"""


def _settle(cursor: Any, proposal: Proposal, settled: Sequence[Settled], at: dt.datetime) -> None:
    """Write what became of records. One that a sender's repeat has resolved since is superseded, not released.

    Held records are locked only here, after the main transaction: a batch that waits for them there has committed too.
    """
    if not settled:
        return
    cursor.execute(_STILL_OPEN, [[one.record for one in settled]])
    still_open = {id for (id,) in cursor.fetchall()}
    outcomes = [one.outcome if one.record in still_open else Outcome.SUPERSEDED.value for one in settled]
    columns: list[list[Any]] = [
        [one.place for one in settled],
        outcomes,
        [one.reason for one in settled],
        [one.detail[:1000] for one in settled],
        [one.key for one in settled],
        [one.receipt for one in settled],
    ]
    cursor.execute(_SETTLE, [at, *columns])
    final = list(zip(settled, outcomes, strict=True))
    for outcome, status in ((Outcome.RELEASED, HeldStatus.RELEASED), (Outcome.DISCARDED, HeldStatus.DISCARDED)):
        ids = [one.record for one, became in final if became == outcome]
        if ids:
            cursor.execute(_RESOLVE, [status, at, ids])
    failed = [one for one, became in final if became == Outcome.FAILED]
    if failed:
        reasons, details = [one.reason for one in failed], [one.detail[:1000] for one in failed]
        cursor.execute(_HOLD_ON, [[one.record for one in failed], reasons, details])
    keys = [one.key for one, _ in final if one.key is not None]
    if keys:
        cursor.execute(_STILL_WAITING, [keys, proposal.pk])
        supersede((key.bytes for key in keys), at, but=[id for (id,) in cursor.fetchall()])


_TO_DISCARD = """
    SELECT proposed.id, held.id, held.status
    FROM quarantine_proposedrecord proposed JOIN quarantine_heldrecord held ON held.id = proposed.record_id
    WHERE proposed.proposal_id = %s AND proposed.outcome = '' ORDER BY proposed.id LIMIT %s
"""


def _discard_some(proposal: Proposal, at: dt.datetime) -> bool:
    with transaction.atomic(using=QUARANTINE), connections[QUARANTINE].cursor() as cursor:
        _one_at_a_time(cursor, proposal)
        cursor.execute(_TO_DISCARD, [proposal.pk, DISCARDED_AT_ONCE])
        found = cursor.fetchall()
        _settle(cursor, proposal, [Settled(place, record, Outcome.DISCARDED) for place, record, _ in found], at)
    return bool(found)


def _finish(proposal: Proposal, at: dt.datetime) -> None:
    with transaction.atomic(using=QUARANTINE):
        locked = Proposal.objects.select_for_update().get(pk=proposal.pk)
        if locked.done_at is None and not locked.records.filter(outcome="").exists():
            locked.done_at = at
            locked.save(update_fields=["done_at"])
