"""What the page of a held record shows: what came, why it is held, what can be done, and what was done so far."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
from django.urls import reverse
from django.utils.http import urlencode

from billing.admin.quarantine.queue import records_address
from billing.admin.quarantine.wording import OUTCOME_WORDS, REASONS, age, reason_label, state_of, what_words
from billing.metering.lineage import lines_of
from billing.models import (
    Estimate,
    Event,
    HeldRecord,
    HeldStatus,
    InvoiceLine,
    Outcome,
    ProposedRecord,
    Receipt,
    Register,
)
from billing.review.alike import GroupKey, group_of
from billing.review.choosing import Groups, record_ids
from billing.review.details import contradicted, pretty, suggestions
from billing.review.replacing import Counted
from billing.review.suggestions import Suggestion
from contracts.models import Customer

SHOWN = 20_000  # characters of a raw record on its page
SIGHTINGS_SHOWN = 10
ALIKE_SHOWN = 5


@dataclass(frozen=True, slots=True)
class CountedAs:
    """The event a record became, or contradicts: whose it is, and the invoice lines it was billed on."""

    event: Event
    customer: Customer | None
    lines: list[InvoiceLine]


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A conflict: what was counted under the same id, and field by field what is said otherwise."""

    counted: Counted
    rows: list[tuple[str, str | None, str | None, bool]]  # field, as counted, as held, whether they differ


def page_of(record: HeldRecord, at: dt.datetime) -> dict[str, Any]:
    """Everything the page shows, in a number of queries that does not grow with what is held."""
    key = group_of(record)
    is_open = record.status == HeldStatus.OPEN
    sightings = record.sightings.order_by("-seen_at", "-pk")
    shown = list(sightings[:SIGHTINGS_SHOWN])
    history = history_of(record)
    counted = counted_as(record, history)
    return {
        "record": record,
        "words": REASONS.get(record.current_reason or record.reason),
        "first_words": first_words(record),
        "is_open": is_open,
        "age": age(record.held_at, at),
        "raw": raw_text(record),
        "sightings": list(zip(shown, receipts_of([one.receipt for one in shown]), strict=True)),
        "sighting_count": sightings.count(),
        "estimate": Estimate.objects.filter(record=record).first(),
        "suggestions": [(one, suggestion_address(record, one)) for one in suggestions([record])[0]] if is_open else [],
        "history": history,
        "standing": next((row["proposed"].proposal for row in history if not row["proposed"].outcome), None),
        "discarded_by": record.discarded_by,
        "counted": counted,
        "contradiction": contradiction_of(record),
        **alike_of(record, key),
    }


def raw_text(record: HeldRecord) -> str:
    """What came, indented where it is JSON; else its bytes as text. The template escapes it: it is never markup."""
    text = pretty(bytes(record.raw))
    rest = f"\n... {len(text) - SHOWN:,} more characters" if len(text) > SHOWN else ""
    return f"{text[:SHOWN]}{rest}"


def first_words(record: HeldRecord) -> str:
    """What it was held for at first, where that is not why it is held now."""
    return reason_label(record.reason) if record.current_reason not in ("", record.reason) else ""


def receipts_of(ids: list[UUID]) -> list[Receipt | None]:
    """The receipts of these ids; None for one that this database never committed."""
    found = Receipt.objects.in_bulk(ids)
    return [found.get(id) for id in ids]


def suggestion_address(record: HeldRecord, suggestion: Suggestion) -> str:
    """The form of a proposal, filled in with what is suggested."""
    asked: dict[str, str | int] = {"record": record.pk, "kind": suggestion.kind, "suggested": suggestion.value}
    return f"{reverse('admin:quarantine_propose')}?{urlencode(asked)}"


def history_of(record: HeldRecord) -> list[dict[str, Any]]:
    """Every proposal about the record and what became of it under that, the latest first."""
    rows = ProposedRecord.objects.filter(record=record).select_related("proposal").order_by("-proposal__proposed_at")
    return [
        {
            "proposed": row,
            "what": what_words(row.proposal.kind, row.proposal.argument),
            "state": state_of(row.proposal),
            "outcome": OUTCOME_WORDS[row.outcome],
            "reason": reason_label(row.reason) if row.reason else "",
        }
        for row in rows
    ]


def counted_as(record: HeldRecord, history: list[dict[str, Any]]) -> CountedAs | None:
    """The event a record became, if it did; for a conflict, the event it contradicts."""
    released = next((row["proposed"] for row in history if row["proposed"].outcome == Outcome.RELEASED), None)
    key = released.key if released else record.key
    is_known = record.status in (HeldStatus.RELEASED, HeldStatus.SUPERSEDED) or record.current_reason == "conflict"
    return event_under(key) if key and is_known else None


def event_under(key: UUID) -> CountedAs | None:
    place = Register.objects.filter(pk=key).first()
    if place is None:
        return None
    event = Event.objects.filter(customer_id=place.customer_id, occurred_at=place.occurred_at, key=key).first()
    if event is None:
        return None
    customer = Customer.objects.filter(pk=place.customer_id).first()
    return CountedAs(event, customer, list(lines_of([event])[event.key]))


def contradiction_of(record: HeldRecord) -> Contradiction | None:
    """For a conflict, the two contents side by side: every field, those that differ marked."""
    found = contradicted(record)
    if found is None:
        return None
    counted, differing = found
    rows = [(one.path, one.counted, one.held, True) for one in differing]
    differ = {one.path for one in differing}
    same = [(path, value, value, False) for path, value in _fields(counted).items() if path not in differ]
    return Contradiction(counted, [*rows, *same])


def _fields(counted: Counted) -> dict[str, str]:
    try:
        data: Any = msgspec.json.decode(counted.data)
    except msgspec.DecodeError:
        data = {}
    fields = {"type": counted.type, "subject": counted.subject}
    if isinstance(data, dict):
        for name, value in data.items():
            fields[f"data.{name}"] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return fields


def alike_of(record: HeldRecord, key: GroupKey) -> dict[str, Any]:
    """How many other open records are alike, and where they are."""
    ids = HeldRecord.objects.filter(
        status=HeldStatus.OPEN, current_reason=key.reason, source=key.source, alike=key.alike
    ).exclude(pk=record.pk)
    return {
        "alike_count": ids.count(),
        "alike_address": records_address(key),
        "group_token": key.token,
        "group_free": len(record_ids(Groups((key,)))),
    }
