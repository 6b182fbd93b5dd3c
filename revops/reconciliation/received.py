"""Check 1: received = accepted + duplicates + quarantined, and each of them is really there."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from itertools import groupby
from typing import Any
from uuid import UUID

from revops.reconciliation.report import Check
from revops.reconciliation.snapshot import QUARANTINE, rows, stream

_BY_SOURCE = """
    SELECT source, sum(received), sum(accepted), sum(duplicates), sum(quarantined)
    FROM billing_receiptcount GROUP BY source ORDER BY source
"""

_RECEIPTS_THAT_DIFFER = """
    WITH parts AS (
        SELECT receipt_id, sum(received) AS received, sum(accepted) AS accepted, sum(duplicates) AS duplicates,
            sum(quarantined) AS quarantined
        FROM billing_receiptcount GROUP BY receipt_id
    )
    SELECT coalesce(receipt.id, parts.receipt_id),
        ARRAY[receipt.received, receipt.accepted, receipt.duplicates, receipt.quarantined],
        ARRAY[parts.received, parts.accepted, parts.duplicates, parts.quarantined]
    FROM billing_receipt receipt FULL JOIN parts ON parts.receipt_id = receipt.id
    WHERE (receipt.received, receipt.accepted, receipt.duplicates, receipt.quarantined)
        IS DISTINCT FROM (parts.received, parts.accepted, parts.duplicates, parts.quarantined)
      AND (receipt.received <> 0 OR receipt.id IS NULL OR parts.received IS NOT NULL)
"""
"""An empty batch has a receipt without parts."""

_COUNTS_THAT_DO_NOT_ADD_UP = """
    SELECT receipt_id, source, received, accepted + duplicates + quarantined
    FROM billing_receiptcount WHERE received <> accepted + duplicates + quarantined
"""

_ACCEPTED_THAT_DIFFER = """
    WITH stored AS (
        SELECT event.receipt, coalesce(source.key, 'source ' || event.source_id) AS source, event.n
        FROM (SELECT receipt, source_id, count(*) AS n FROM billing_event GROUP BY 1, 2) event
        LEFT JOIN billing_source source ON source.id = event.source_id
    )
    SELECT coalesce(part.receipt_id, stored.receipt), coalesce(part.source, stored.source),
        coalesce(part.accepted, 0), coalesce(stored.n, 0)
    FROM billing_receiptcount part
    FULL JOIN stored ON stored.receipt = part.receipt_id AND stored.source = part.source
    WHERE coalesce(part.accepted, 0) <> coalesce(stored.n, 0)
"""

_TOTALS = "SELECT (SELECT count(*) FROM billing_event), (SELECT count(*) FROM billing_register)"

_WITHOUT_THE_OTHER = """
    SELECT event.key IS NULL, coalesce(event.key, register.key), source.key, event.event_id,
        coalesce(event.customer_id, register.customer_id), coalesce(event.occurred_at, register.occurred_at)
    FROM billing_event event
    FULL JOIN billing_register register ON register.key = event.key AND register.customer_id = event.customer_id
        AND register.occurred_at = event.occurred_at
    LEFT JOIN billing_source source ON source.id = event.source_id
    WHERE event.key IS NULL OR register.key IS NULL
"""

_COUNTED = "SELECT receipt_id, source, quarantined FROM billing_receiptcount ORDER BY receipt_id"

_SIGHTED = """
    SELECT sighting.receipt, coalesce(record.source, ''), count(*)
    FROM quarantine_sighting sighting LEFT JOIN quarantine_heldrecord record ON record.id = sighting.record_id
    GROUP BY 1, 2 ORDER BY 1
"""


def prove_received() -> Check:
    """Receipts against their parts, the events stored, the register, and what is held."""
    check = Check(1, "receipts")
    _count(check)
    for receipt, header, parts in stream(_RECEIPTS_THAT_DIFFER):
        where = {"receipt": str(receipt)}
        check.leak("a receipt is not the sum of its sources", where, _counts(parts), _counts(header))
    for receipt, source, received, parts in stream(_COUNTS_THAT_DO_NOT_ADD_UP):
        where = {"receipt": str(receipt), "source": source}
        check.leak("a source's part of a receipt does not add up", where, parts, received)
    for receipt, source, accepted, stored in stream(_ACCEPTED_THAT_DIFFER):
        where = {"receipt": str(receipt), "source": source}
        check.leak("events stored are not those accepted", where, accepted, stored)
    _prove_register(check)
    _prove_sightings(check)
    return check


def _count(check: Check) -> None:
    names = ("received", "accepted", "duplicates", "quarantined")
    by_source = {source: dict(zip(names, map(int, counts), strict=True)) for source, *counts in rows(_BY_SOURCE)}
    totals = {name: sum(counts[name] for counts in by_source.values()) for name in names}
    events, registered = rows(_TOTALS)[0]
    check.figures = {**totals, "events": events, "registered": registered, "sources": by_source}
    check.sentence = (
        f"{totals['received']:,} received = {totals['accepted']:,} accepted + {totals['duplicates']:,} duplicates"
        f" + {totals['quarantined']:,} quarantined"
    )


def _prove_register(check: Check) -> None:
    for is_gone, key, source, event_id, customer_id, occurred_at in stream(_WITHOUT_THE_OTHER):
        where: dict[str, str | int] = {"key": str(key), "customer_id": customer_id, "time": _instant(occurred_at)}
        if is_gone:
            check.leak("a register entry without its event", where, "an event", "none")
        else:
            named: dict[str, str | int] = {"source": source or "", "id": event_id, **where}
            check.leak("an event behind the register's back", named, "a register entry", "none")


def _prove_sightings(check: Check) -> None:
    """Both databases by receipt, side by side.

    What is held is committed first: a receipt that never came was never answered, and its sender asks again.
    """
    unconfirmed = 0
    for receipt, counted, sighted in _side_by_side():
        if counted is None:
            unconfirmed += sum(sighted.values())
            continue
        for source in sorted(counted.keys() | sighted.keys()):
            expected, found = counted.get(source, 0), sighted.get(source, 0)
            if expected != found:
                where = {"receipt": str(receipt), "source": source}
                check.leak("sightings in quarantine are not those counted", where, expected, found)
    check.figures["unconfirmed_sightings"] = unconfirmed
    if unconfirmed:
        said = "held, and then their batch failed; the sender repeats it"
        check.find("answers never confirmed", {"sightings": unconfirmed}, said)


def _side_by_side() -> Iterator[tuple[UUID, dict[str, int] | None, dict[str, int]]]:
    """(receipt, source -> quarantined by its receipt or None, source -> sightings), in the order of receipts."""
    counted, sighted = _by_receipt(stream(_COUNTED)), _by_receipt(stream(_SIGHTED, using=QUARANTINE))
    ours, theirs = next(counted, None), next(sighted, None)
    while ours is not None or theirs is not None:
        if theirs is None or (ours is not None and ours[0] < theirs[0]):
            assert ours is not None
            yield ours[0], ours[1], {}
            ours = next(counted, None)
        elif ours is None or theirs[0] < ours[0]:
            yield theirs[0], None, theirs[1]
            theirs = next(sighted, None)
        else:
            yield ours[0], ours[1], theirs[1]
            ours, theirs = next(counted, None), next(sighted, None)


def _by_receipt(found: Iterator[tuple[Any, ...]]) -> Iterator[tuple[UUID, dict[str, int]]]:
    for receipt, parts in groupby(found, key=lambda row: row[0]):
        yield receipt, {source: n for _, source, n in parts}


def _counts(four: list[Any]) -> str:
    if four[0] is None:
        return "none"
    received, accepted, duplicates, quarantined = map(int, four)
    return f"{received} = {accepted} accepted + {duplicates} duplicates + {quarantined} quarantined"


def _instant(instant: dt.datetime) -> str:
    return instant.astimezone(dt.UTC).isoformat()
