"""One held record to look at: what came, what contradicts it, and what it probably was meant to be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from billing.models import HeldRecord
from billing.review.choosing import HeldRow
from billing.review.replacing import Counted, Difference, counted_under, differences
from billing.review.suggestions import Names, Suggestion, closest_types, known_names, known_types

MOST_SHOWN = 20_000  # characters of what cannot be shown as JSON

MOST_COMPARED = 2_000_000  # names with subjects, for one page

_decode = msgspec.json.Decoder(dict[str, Any], float_hook=str).decode


def readable(raw: bytes) -> dict[str, Any] | str:
    """What came: a JSON object where it is one (fractions as texts, exact), else its text as far as it can be read."""
    try:
        found: dict[str, Any] = _decode(raw)
        msgspec.json.encode(found)
        return found
    except (ValueError, ArithmeticError, RecursionError, TypeError):
        text = raw.decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
        return text[:MOST_SHOWN]


def verbatim(raw: bytes) -> msgspec.Raw | str:
    """What came, to be put into a JSON document as it is; its text where it is no JSON object."""
    found = readable(raw)
    return found if isinstance(found, str) else msgspec.Raw(raw)


def pretty(raw: bytes) -> str:
    """What came, indented where it is JSON, every number and text as it was written."""
    found = readable(raw)
    return found if isinstance(found, str) else msgspec.json.format(raw, indent=2).decode()


def row_of(record: HeldRecord) -> HeldRow:
    """The record as the release and the estimate read it."""
    return HeldRow(
        id=record.pk,
        key=record.key.bytes if record.key else None,
        digest=record.digest.bytes,
        reason=record.current_reason,
        source=record.source,
        subject=record.subject,
        type=record.type,
        bound_source=record.bound_source,
        held_at=record.held_at,
        raw=bytes(record.raw),
    )


def contradicted(record: HeldRecord) -> tuple[Counted, list[Difference]] | None:
    """For a conflict: the event that was counted under its id, and where the two differ; None where there is none."""
    if record.current_reason != "conflict" or record.key is None:
        return None
    counted = counted_under([record.key]).get(record.key)
    return None if counted is None else (counted, differences(row_of(record), counted))


def contradictions(records: Iterable[HeldRecord]) -> Mapping[int, list[Difference]]:
    """The differences of the conflicts among some records, by id; a fixed number of queries."""
    conflicts = [(one, one.key) for one in records if one.current_reason == "conflict" and one.key is not None]
    counted = counted_under(list({key for _, key in conflicts}))
    return {one.pk: differences(row_of(one), counted[key]) for one, key in conflicts if key in counted}


def suggestions(records: Sequence[HeldRecord]) -> list[list[Suggestion]]:
    """What each of a page of records was probably meant to be, the best first; three queries at most.

    Of very many subjects and customers, the first subjects are compared.
    """
    wants_customer = any(one.current_reason == "unknown_customer" for one in records)
    wants_type = any(one.current_reason == "unknown_event_type" for one in records)
    names = known_names() if wants_customer else None
    types = known_types() if wants_type else []
    affordable = MOST_COMPARED // max(1, len(names.texts)) if names else len(records)
    known: dict[tuple[str, str], list[Suggestion]] = {}
    found = []
    for record in records:
        asked = (record.current_reason, record.alike)
        if asked not in known and len(known) < affordable:
            known[asked] = _suggested(record.current_reason, record.subject, record.type, names, types)
        found.append(known.get(asked, []))
    return found


def _suggested(reason: str, subject: str, type: str, names: Names | None, types: Sequence[str]) -> list[Suggestion]:
    if reason == "unknown_customer" and names is not None:
        return names.closest(subject)
    return closest_types(type, types) if reason == "unknown_event_type" else []
