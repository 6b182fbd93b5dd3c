"""Conflicts: what came under an id that was counted with other content, and how it differs; and its replacement."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from billing.metering.corrections import UnableToCorrect, amend_event
from billing.metering.decoding import datetime_of, decode_data, decode_record
from billing.models import Correction, CorrectionKind, Event, OriginalEvent, Register
from billing.review.choosing import HeldRow


@dataclass(frozen=True, slots=True)
class Counted:
    """What was accepted under an id, as it was sent, with the last correction of it. `data` is its JSON.

    `counts` are the data that count, after the rules of the source, for the customer and the meters of its label;
    `is_void` says that nothing of it counts any more.
    """

    key: UUID
    type: str
    subject: str
    occurred_at: dt.datetime
    data: str
    counts: str
    customer_id: int
    meters: list[int]
    received_at: dt.datetime
    is_void: bool


def counted_under(keys: list[UUID]) -> dict[UUID, Counted]:
    """The events accepted under these keys; four queries however many."""
    places = {
        key: (customer_id, occurred_at)
        for key, customer_id, occurred_at in Register.objects.filter(key__in=keys).values_list(
            "key", "customer_id", "occurred_at"
        )
    }
    times = [occurred_at for _, occurred_at in places.values()]
    where: dict[str, Any] = {"key__in": list(places), "customer_id__in": {customer for customer, _ in places.values()}}
    if not times:
        return {}
    where |= {"occurred_at__gte": min(times), "occurred_at__lte": max(times)}
    corrections: dict[UUID, Correction] = {}
    for correction in Correction.objects.filter(key__in=list(places)).order_by("position"):
        corrections[correction.key] = correction
    originals = {(one.key, one.position): one for one in OriginalEvent.objects.filter(**where)}
    return {
        event.key: _counted(event, corrections.get(event.key), originals) for event in Event.objects.filter(**where)
    }


def _counted(event: Event, last: Correction | None, originals: dict[tuple[UUID, int], OriginalEvent]) -> Counted:
    first = originals.get((event.key, 0))
    data, counts, meters = first.data if first else event.data, event.data, event.meters
    if last is not None and last.kind == CorrectionKind.AMEND:
        changed = originals.get((event.key, last.position))
        data, counts, meters = changed.data if changed else last.data, last.data, last.meters
    return Counted(
        key=event.key,
        type=first.type if first else event.type,
        subject=first.subject if first else event.subject,
        occurred_at=event.occurred_at,
        data=data,
        counts=counts,
        customer_id=event.customer_id,
        meters=meters,
        received_at=event.received_at,
        is_void=last is not None and last.kind == CorrectionKind.VOID,
    )


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that differs: what was counted and what is held, each as text, None where it is absent."""

    path: str
    counted: str | None
    held: str | None


def differences(row: HeldRow, counted: Counted) -> list[Difference]:
    """Field by field what a held record says otherwise than what was counted."""
    record = decode_record(row.raw)
    occurred_at = row.held_at if record.occurred_at is None else datetime_of(record.occurred_at)
    ours = {"type": counted.type, "subject": counted.subject, "time": _instant(counted.occurred_at)}
    theirs = {"type": record.type, "subject": record.subject, "time": _instant(occurred_at)}
    if record.occurred_at is None:
        ours.pop("time")
        theirs.pop("time")
    _flatten("data", _read(counted.data), ours)
    _flatten("data", record.data, theirs)
    paths = [*ours, *(path for path in theirs if path not in ours)]
    return [
        Difference(path, ours.get(path), theirs.get(path)) for path in paths if ours.get(path) != theirs.get(path)
    ]  # fmt: skip


def replace(row: HeldRow, *, reason: str, at: dt.datetime, by: str) -> str:
    """Amend what was counted to the data that are held. Returns why it could not be, or nothing.

    Done again after a cut, it finds the amended data there and adds no second correction.
    """
    counted = counted_under([UUID(bytes=row.key)]).get(UUID(bytes=row.key)) if row.key else None
    if counted is None:
        return "nothing was counted under this id; release the record as it is"
    if counted.is_void:
        return "what was counted under this id has been voided; give this record an id of its own"
    record = decode_record(row.raw)
    if record.fault is not None:
        return record.fault
    differing = [one for one in differences(row, counted) if not one.path.startswith("data")]
    if differing:
        names = ", ".join(one.path for one in differing)
        return f"not only the data differ but also {names}: void the event and give this record an id of its own"
    if _read(counted.data) == record.data:
        return ""
    try:
        amend_event(record.source, record.id, record.data_text, reason=reason, at=at, by=by)
    except UnableToCorrect as unable:
        return str(unable)
    return ""


def _read(data: str) -> dict[str, Any]:
    try:
        return decode_data(data.encode())
    except (ValueError, ArithmeticError, RecursionError):
        return {}


def _flatten(path: str, value: Any, found: dict[str, str]) -> None:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            _flatten(f"{path}.{name}", inner, found)
    elif value != {}:
        found[path] = value if isinstance(value, str) else _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, list):
        return "[" + ", ".join(map(_text, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_text(inner)}" for name, inner in value.items()) + "}"
    return f"{value:f}" if hasattr(value, "as_tuple") else str(value)


def _instant(at: dt.datetime) -> str:
    return at.astimezone(dt.UTC).isoformat()
