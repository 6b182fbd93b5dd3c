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
    SELECT id, source, event_id, reason, status, key FROM quarantine_heldrecord
    WHERE status IN ('released', 'superseded')
"""

_OPEN = """
    SELECT id, source, event_id, reason, status, key FROM quarantine_heldrecord
    WHERE status = 'open' AND reason <> 'conflict' AND key IS NOT NULL
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
