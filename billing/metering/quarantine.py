"""What was received and could not be labelled or trusted, kept in its own database until somebody has looked at it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from django.db import connections, router, transaction
from django.db.models import Min, OuterRef, Subquery, Window
from msgspec import Struct

from billing.metering.decoding import Record, datetime_of
from billing.metering.labelling import Held
from billing.models import Event, HeldRecord, Sighting


class Rejected(Struct, frozen=True):
    """A record that is held: its place in the batch, and why."""

    index: int
    record: Record
    held: Held


HOLD = """
    INSERT INTO quarantine_heldrecord (
        key, source, event_id, digest, reason, detail, type, subject, occurred_at, raw,
        receipt, held_at, bound_source, status, current_reason, current_detail
    )
    SELECT key, source, event_id, digest, reason, detail, type, subject, occurred_at, raw, %s, %s, %s, 'open', reason,
        detail
    FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::uuid[], %s::text[], %s::text[], %s::text[], %s::text[],
        %s::timestamptz[], %s::bytea[])
        AS rejected (key, source, event_id, digest, reason, detail, type, subject, occurred_at, raw)
    ORDER BY source, event_id, digest, reason
    ON CONFLICT (source, event_id, digest, reason) DO NOTHING
"""

# A statement of its own: it sees the rows that another batch has held in the meantime.
SIGHT = """
    INSERT INTO quarantine_sighting (record_id, receipt, index, seen_at)
    SELECT held.id, %s, rejected.index, %s
    FROM unnest(%s::text[], %s::text[], %s::uuid[], %s::text[], %s::int[])
        AS rejected (source, event_id, digest, reason, index)
    JOIN quarantine_heldrecord AS held USING (source, event_id, digest, reason)
    ON CONFLICT (receipt, index) DO NOTHING
"""

# What a rule turns away is discarded at once, in the name of those who approved the rule. Nothing else is.
TURN_AWAY = """
    UPDATE quarantine_heldrecord AS held
    SET status = 'discarded', resolved_at = %s, discarded_by_id = proposal.id
    FROM unnest(%s::text[], %s::text[], %s::uuid[], %s::text[], %s::bigint[])
        AS rejected (source, event_id, digest, reason, approval)
    JOIN quarantine_proposal AS proposal ON proposal.id = rejected.approval
        AND proposal.kind = 'discard' AND proposal.keep_as_rule AND proposal.decision = 'approved'
    WHERE held.status = 'open' AND (held.source, held.event_id, held.digest, held.reason)
        = (rejected.source, rejected.event_id, rejected.digest, rejected.reason)
"""


def hold(rejected: Sequence[Rejected], *, receipt: UUID, at: dt.datetime, bound_source: str = "") -> None:
    """Commit records to the quarantine. A repeat of a held record is another sighting of it.

    `bound_source` is the only source their sender may report for; empty: any.
    """
    if not rejected:
        return
    records = [one.record for one in rejected]
    sources = [record.source for record in records]
    ids = [record.id for record in records]
    digests = [UUID(bytes=record.digest) for record in records]
    reasons = [one.held.reason.value for one in rejected]
    held: list[list[Any]] = [
        [record.key and UUID(bytes=record.key) for record in records],
        sources,
        ids,
        digests,
        reasons,
        [one.held.detail[:1000] for one in rejected],
        [record.type for record in records],
        [record.subject for record in records],
        [None if record.occurred_at is None else datetime_of(record.occurred_at) for record in records],
        [bytes(record.raw) for record in records],
    ]
    approvals = [record.stop.approval if record.stop else None for record in records]
    alias = router.db_for_write(HeldRecord)
    with transaction.atomic(using=alias, durable=True), connections[alias].cursor() as cursor:
        cursor.execute(HOLD, [receipt, at, bound_source, *held])
        places = [one.index for one in rejected]
        cursor.execute(SIGHT, [receipt, at, sources, ids, digests, reasons, places])
        if any(approval is not None for approval in approvals):
            cursor.execute(TURN_AWAY, [at, sources, ids, digests, reasons, approvals])


# Answered from the first entry of an index; conflicts count too, or many of them would have to be read past.
IS_ANY_OPEN = "SELECT EXISTS (SELECT 1 FROM quarantine_heldrecord WHERE status = 'open' AND key IS NOT NULL)"

SUPERSEDE = """
    UPDATE quarantine_heldrecord AS held SET status = 'superseded', resolved_at = %s
    FROM unnest(%s::uuid[], %s::timestamptz[]) AS accepted (key, accepted_at)
    WHERE held.status = 'open' AND held.current_reason <> 'conflict' AND held.key = accepted.key
      AND held.held_at <= accepted.accepted_at AND NOT (held.id = ANY (%s))
"""

IS_OPEN = "SELECT DISTINCT key FROM quarantine_heldrecord WHERE status = 'open' AND key = ANY (%s)"

# What came in under a key, in the order of the events' own index.
ACCEPTED_AT = """
    SELECT event.key, event.received_at FROM billing_register AS register
    JOIN billing_event AS event ON event.customer_id = register.customer_id
        AND event.occurred_at = register.occurred_at AND event.key = register.key
    WHERE register.key = ANY (%s)
"""

# Of this batch, what was held after the good record of its id.
HELD_AFTER = """
    SELECT held.id FROM unnest(%s::uuid[], %s::uuid[]) AS later (key, digest)
    JOIN quarantine_heldrecord AS held USING (key, digest)
"""


def is_any_open() -> bool:
    """Whether anything is held that a good record could resolve; a small query."""
    with connections[router.db_for_write(HeldRecord)].cursor() as cursor:
        cursor.execute(IS_ANY_OPEN)
        return bool(cursor.fetchone()[0])


def supersede(
    accepted: Iterable[bytes],
    at: dt.datetime,
    *,
    repeated: Iterable[bytes] = (),
    later: Sequence[tuple[bytes, bytes]] = (),
    but: Sequence[int] = (),
) -> int:
    """Resolve what was held under keys before they came in good form. Returns how many; conflicts stay.

    `accepted` came in now, `repeated` some time ago: a crash may have kept that from being noted. What was held under
    a key after it was accepted stays open: it says something else. `later` names such records of the same batch by key
    and digest, `but` other records that stay by their ids.
    """
    with connections[router.db_for_write(HeldRecord)].cursor() as cursor:
        since = {UUID(bytes=key): at for key in accepted}
        cursor.execute(IS_OPEN, [[UUID(bytes=key) for key in repeated]])
        since |= _accepted_at([key for (key,) in cursor.fetchall()])
        spared = list(but)
        if later:
            columns = zip(*later, strict=True)
            cursor.execute(HELD_AFTER, [[UUID(bytes=one) for one in column] for column in columns])
            spared += [id for (id,) in cursor.fetchall()]
        cursor.execute(SUPERSEDE, [at, list(since), list(since.values()), spared])
        return int(cursor.rowcount)


def _accepted_at(keys: Sequence[UUID]) -> dict[UUID, dt.datetime]:
    """When the events of these keys came in."""
    if not keys:
        return {}
    with connections[router.db_for_read(Event)].cursor() as cursor:
        cursor.execute(ACCEPTED_AT, [list(keys)])
        return dict(cursor.fetchall())


def held_records() -> list[HeldRecord]:
    """Everything that was ever held, in the order of arrival: by batch, then by place in the batch."""
    first = Sighting.objects.filter(record=OuterRef("pk"), receipt=OuterRef("receipt"))
    batches = HeldRecord.objects.annotate(
        batch=Window(Min("id"), partition_by="receipt"), place=Subquery(first.values("index")[:1])
    )
    return list(batches.order_by("batch", "place"))
