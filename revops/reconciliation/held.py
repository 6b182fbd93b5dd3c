"""Check 2: everything ever held is open, released, superseded or discarded, and what is said to be in really is."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any
from uuid import UUID

from billing.models import HeldStatus
from revops.reconciliation.report import Check
from revops.reconciliation.snapshot import QUARANTINE, ROWS, rows, stream

_BY_STATUS = """
    SELECT record.status, record.reason, count(DISTINCT record.id), count(sighting.id)
    FROM quarantine_heldrecord record LEFT JOIN quarantine_sighting sighting ON sighting.record_id = record.id
    GROUP BY 1, 2 ORDER BY 1, 2
"""

_NEVER_SEEN = """
    SELECT id, source, event_id, reason FROM quarantine_heldrecord record
    WHERE NOT EXISTS (SELECT 1 FROM quarantine_sighting sighting WHERE sighting.record_id = record.id)
"""

_SIGHTINGS = "SELECT count(*) FROM quarantine_sighting"

_OF_NOTHING = """
    SELECT receipt, index, record_id FROM quarantine_sighting sighting
    WHERE NOT EXISTS (SELECT 1 FROM quarantine_heldrecord record WHERE record.id = sighting.record_id)
"""

_IN_A_FALSE_STATE = """
    SELECT id, source, event_id, reason, status FROM quarantine_heldrecord
    WHERE NOT status = ANY(%s) OR (status = 'open') <> (resolved_at IS NULL)
"""

_SAID_TO_BE_IN = """
    SELECT id, source, event_id, reason, status, key FROM quarantine_heldrecord WHERE status = 'superseded'
    UNION ALL
    SELECT held.id, held.source, held.event_id, held.reason, held.status, placed.key
    FROM quarantine_heldrecord held
    LEFT JOIN quarantine_proposedrecord placed ON placed.record_id = held.id AND placed.outcome = 'released'
    WHERE held.status = 'released'
"""
"""A release may give a record another id; then its event is under another key."""

# What left by review, and the proposal it must have left by: its own, or the one that made the rule.
_WITHOUT_APPROVAL = """
    SELECT held.id, held.source, held.event_id, held.reason, held.status
    FROM quarantine_heldrecord held
    WHERE held.status IN ('released', 'discarded') AND NOT EXISTS (
        SELECT 1 FROM quarantine_proposedrecord placed JOIN quarantine_proposal proposal
            ON proposal.id = placed.proposal_id
        WHERE placed.record_id = held.id AND placed.outcome = held.status AND proposal.decision = 'approved'
          AND (proposal.kind = 'discard') = (held.status = 'discarded')
    ) AND NOT EXISTS (
        SELECT 1 FROM quarantine_proposal rule
        WHERE held.status = 'discarded' AND rule.id = held.discarded_by_id AND rule.decision = 'approved'
          AND rule.kind = 'discard' AND rule.keep_as_rule
    )
"""

_APPROVED_BY_THEMSELVES = """
    SELECT id, kind, proposed_by, decided_by FROM quarantine_proposal
    WHERE decision IN ('approved', 'rejected') AND (decided_by = proposed_by OR decided_by = '')
"""

_SETTLED_OTHERWISE = """
    SELECT held.id, held.source, held.event_id, held.reason, placed.outcome, held.status
    FROM quarantine_proposedrecord placed
    JOIN quarantine_heldrecord held ON held.id = placed.record_id
    WHERE placed.outcome IN ('released', 'discarded') AND placed.outcome <> held.status
"""

_UNFINISHED = """
    SELECT proposal.id, proposal.kind, proposal.decided_at, count(placed.id)
    FROM quarantine_proposal proposal
    JOIN quarantine_proposedrecord placed ON placed.proposal_id = proposal.id AND placed.outcome = ''
    WHERE proposal.decision = 'approved' GROUP BY 1, 2, 3 ORDER BY 1
"""

_DONE_TOO_SOON = """
    SELECT proposal.id, proposal.kind, count(placed.id)
    FROM quarantine_proposal proposal
    JOIN quarantine_proposedrecord placed ON placed.proposal_id = proposal.id AND placed.outcome = ''
    WHERE proposal.done_at IS NOT NULL OR proposal.decision IN ('rejected', 'withdrawn') GROUP BY 1, 2 ORDER BY 1
"""

_OPEN = """
    SELECT id, source, event_id, reason, status, key FROM quarantine_heldrecord
    WHERE status = 'open' AND current_reason <> 'conflict' AND key IS NOT NULL
"""

_REGISTERED = "SELECT key FROM billing_register WHERE key = ANY(%s)"

# id, source, event id, reason, status, key
Held = tuple[int, str, str, str, str, UUID | None]


def prove_held() -> tuple[Check, list[Held]]:
    """The check, and the records whose event is not in the register as of the view, for `confirm_missing`."""
    check = Check(2, "held records")
    _count(check)
    for id, source, event_id, reason in stream(_NEVER_SEEN, using=QUARANTINE):
        check.leak("a held record without a sighting", _where(id, source, event_id, reason), "1 or more", 0)
    for receipt, index, record_id in stream(_OF_NOTHING, using=QUARANTINE):
        where = {"receipt": str(receipt), "index": index}
        check.leak("a sighting without its record", where, f"record {record_id}", "none")
    for id, source, event_id, reason, status in stream(_IN_A_FALSE_STATE, [HeldStatus.values], QUARANTINE):
        expected = "a known state, and an instant where it is resolved"
        check.leak("a held record in a false state", _where(id, source, event_id, reason), expected, status)
    _prove_reviewed(check)
    missing = [record for record, is_in in _looked_up(_SAID_TO_BE_IN) if not is_in]
    for (id, source, event_id, reason, _, _), is_in in _looked_up(_OPEN):
        if is_in:
            found = "its id was accepted since; any repeat of it resolves this"
            check.find("open for review without need", _where(id, source, event_id, reason), found)
    return check, missing


def confirm_missing(check: Check, missing: list[Held]) -> None:
    """Name those that are still not in the register. Call after the view.

    A record is superseded after its event is committed: between the two views both may have happened.
    """
    for start in range(0, len(missing), ROWS):
        some = missing[start : start + ROWS]
        known = _registered(some)
        for id, source, event_id, reason, status, key in some:
            if key not in known:
                where = _where(id, source, event_id, reason)
                check.leak(f"a {status} record whose event is not there", where, "a register entry", "none")


def _count(check: Check) -> None:
    counted = rows(_BY_STATUS, using=QUARANTINE)
    sightings = {status: 0 for status in HeldStatus.values}
    records = dict(sightings)
    reasons: dict[str, dict[str, int]] = {}
    for status, reason, n, seen in counted:
        sightings[status] = sightings.get(status, 0) + seen
        records[status] = records.get(status, 0) + n
        reasons.setdefault(reason, dict.fromkeys(HeldStatus.values, 0))[status] = n
    total = rows(_SIGHTINGS, using=QUARANTINE)[0][0]
    check.figures = {"sightings": total, "sightings_of": sightings, "records": records, "reasons": reasons}
    states = " + ".join(f"{n:,} {status}" for status, n in sightings.items())
    check.sentence = f"{total:,} sightings = {states}"


def _prove_reviewed(check: Check) -> None:
    """What was released or discarded has the approval of a second person, and is what the approval says."""
    for id, source, event_id, reason, status in stream(_WITHOUT_APPROVAL, using=QUARANTINE):
        where = _where(id, source, event_id, reason)
        check.leak(f"a {status} record without an approved proposal", where, "two persons", "none")
    for id, kind, proposed_by, decided_by in stream(_APPROVED_BY_THEMSELVES, using=QUARANTINE):
        where = {"proposal": id, "kind": kind}
        check.leak("a proposal decided by its own proposer", where, f"somebody other than {proposed_by}", decided_by)
    for id, source, event_id, reason, outcome, status in stream(_SETTLED_OTHERWISE, using=QUARANTINE):
        check.leak("a reviewed record is not what its review made it", _where(id, source, event_id, reason), outcome,
                   status)  # fmt: skip
    for id, kind, waiting in stream(_DONE_TOO_SOON, using=QUARANTINE):
        check.leak("a proposal is through, and records still wait under it", {"proposal": id, "kind": kind}, 0, waiting)
    for id, kind, decided_at, waiting in stream(_UNFINISHED, using=QUARANTINE):
        where = {"proposal": id, "kind": kind}
        said = f"{waiting} records wait since {decided_at.isoformat()}; the worker goes on, or `release` does"
        check.find("approved and not released to the end", where, said)


def _looked_up(sql: str) -> Iterator[tuple[Held, bool]]:
    """Held records, and whether their key is in the register."""
    found = stream(sql, using=QUARANTINE)
    while some := list(islice(found, ROWS)):
        known = _registered(some)
        for record in some:
            yield record, record[5] in known


def _registered(records: list[Any]) -> set[UUID]:
    keys = [key for *_, key in records if key is not None]
    return {key for (key,) in rows(_REGISTERED, [keys])}


def _where(id: int, source: str, event_id: str, reason: str) -> dict[str, str | int]:
    return {"record": id, "source": source, "id": event_id, "reason": reason}
