"""What came, kept beside what counts where rules of the source changed it.

An event holds the data that count, so that a bucket, a recount and an invoice line can be followed to it. The original
is kept only where it differs: a source without rules costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from billing.metering.decoding import Original, datetime_of
from billing.metering.storage import Accepted, Cursor
from billing.models import Correction, Event, OriginalEvent

COPY = """
    COPY billing_originalevent (customer_id, occurred_at, key, position, type, subject, data, rules) FROM STDIN
"""


def store_originals(cursor: Cursor, events: Iterable[Accepted]) -> None:
    """Store what came of those of these events that rules have changed."""
    changed = [(record, label, record.original) for record, label in events if record.original is not None]
    if not changed:
        return
    with cursor.copy(COPY) as copy:
        for record, label, original in changed:
            key = UUID(bytes=record.key)
            place: list[Any] = [label.customer_id, datetime_of(label.occurred_at), key, 0]
            copy.write_row([*place, original.type, original.subject, _text(original), list(original.rules)])


def store_original_data(correction: Correction, original: Original) -> None:
    """Store what came as the data of a correction that rules have changed."""
    OriginalEvent.objects.create(
        customer_id=correction.customer_id,
        occurred_at=correction.occurred_at,
        key=correction.key,
        position=correction.position,
        type=original.type,
        subject=original.subject,
        data=_text(original),
        rules=list(original.rules),
    )


def _text(original: Original) -> str:
    return original.data_text.decode()


def originals_of(events: Sequence[Event]) -> dict[UUID, OriginalEvent]:
    """What came, of those of these events that rules have changed, by the event's key. One query."""
    if not events:
        return {}
    found = OriginalEvent.objects.filter(
        position=0,
        customer_id__in={event.customer_id for event in events},
        occurred_at__in={event.occurred_at for event in events},
        key__in=[event.key for event in events],
    )
    return {original.key: original for original in found}
