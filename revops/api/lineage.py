"""Events with their labels, corrections and the invoice lines they were billed on; and the events behind a line."""

from __future__ import annotations

import datetime as dt
import uuid
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec
from django.db.models import QuerySet
from django.http import HttpResponse
from rest_framework.request import Request

from billing.metering.decoding import register_key
from billing.metering.lineage import Lineage, events_behind, lines_of
from billing.models import Correction, Event, InvoiceLine, Register, Source
from catalog.models import Meter
from catalog.money import quantity_text
from contracts.models import Customer
from revops.api.door import Door, absolute, answer
from revops.api.invoices import found_line
from revops.api.paging import Page, decoded, encoded, page_of
from revops.api.problems import invalid
from revops.api.reading import query
from revops.models import Scope


class EventFilter(Page, frozen=True, kw_only=True):
    """`from` is included, `to` is not; `id` goes with `source`."""

    customer: str | None = None
    type: str | None = None
    starts_at: dt.datetime | None = msgspec.field(name="from", default=None)
    ends_at: dt.datetime | None = msgspec.field(name="to", default=None)
    source: str | None = None
    id: str | None = None


class EventList(Door):
    """Accepted events by customer and time. What was held is in the quarantine."""

    scopes = {"GET": Scope.USAGE_READ}

    @property
    def allowed_methods(self) -> list[str]:
        return ["GET", "HEAD", "POST"]

    def get(self, request: Request) -> HttpResponse:
        asked = query(request, EventFilter)
        order = {"customer_id": int, "occurred_at": dt.datetime, "key": uuid.UUID}
        return answer(page_of(matching(asked), request, asked, order, events_json))


def matching(asked: EventFilter) -> QuerySet[Event]:
    rows = Event.objects.all()
    if asked.customer is not None:
        rows = rows.filter(customer_id__in=Customer.objects.filter(key=asked.customer).values("pk"))
    if asked.type is not None:
        rows = rows.filter(type=asked.type)
    if asked.starts_at is not None:
        rows = rows.filter(occurred_at__gte=asked.starts_at)
    if asked.ends_at is not None:
        rows = rows.filter(occurred_at__lt=asked.ends_at)
    if asked.id is not None:
        return rows.filter(**place_of(asked))
    if asked.source is not None:
        rows = rows.filter(source_id__in=Source.objects.filter(key=asked.source).values("pk"))
    return rows


NOWHERE = {"customer_id": 0}


def place_of(asked: EventFilter) -> dict[str, Any]:
    """Where the register says that the event of (source, id) is: no search, however many there are."""
    if asked.source is None:
        raise invalid("id", "invalid", "`id` is unique within a source: name the `source` too.")
    key = uuid.UUID(bytes=register_key(asked.source, asked.id or ""))
    entry = Register.objects.filter(key=key).first()
    return {"key": key} | ({"customer_id": entry.customer_id, "occurred_at": entry.occurred_at} if entry else NOWHERE)


def events_json(events: Sequence[Event]) -> list[dict[str, Any]]:
    """A page of events, in a fixed number of queries."""
    customers = dict(Customer.objects.filter(pk__in={event.customer_id for event in events}).values_list("pk", "key"))
    sources = dict(Source.objects.filter(pk__in={event.source_id for event in events}).values_list("pk", "key"))
    meters = dict(Meter.objects.values_list("pk", "key"))
    lines = lines_of(events) if events else {}
    corrections = corrections_of(events)
    return [
        {
            "source": sources.get(event.source_id),
            "id": event.event_id,
            "type": event.type,
            "subject": event.subject,
            "time": event.occurred_at,
            "data": msgspec.Raw(event.data.encode()),
            "received_at": event.received_at,
            "receipt": event.receipt,
            "customer": customers.get(event.customer_id),
            "meters": [meters[meter] for meter in event.meters if meter in meters],
            "corrections": corrections.get(event.key, []),
            "invoice_lines": [line_json(line) for line in lines.get(event.key, [])],
        }
        for event in events
    ]


def corrections_of(events: Sequence[Event]) -> dict[uuid.UUID, list[dict[str, Any]]]:
    found: dict[uuid.UUID, list[dict[str, Any]]] = defaultdict(list)
    rows = Correction.objects.filter(
        customer_id__in={event.customer_id for event in events}, key__in=[event.key for event in events]
    )
    for row in rows.order_by("key", "position"):
        data = msgspec.Raw(row.data.encode()) if row.data else None
        shown = {"kind": row.kind, "reason": row.reason, "data": data, "made_at": row.made_at, "made_by": row.made_by}
        found[row.key].append(shown)
    return found


def line_json(line: InvoiceLine) -> dict[str, Any]:
    return {
        "invoice": line.invoice_id,
        "number": line.invoice.number,
        "status": line.invoice.status,
        "line": line.pk,
        "price": line.price,
        "kind": line.kind,
    }


class LineEvents(Door):
    """The events behind an invoice line: `count` and `sum` of all of them, and a page of `results`.

    A correction is there as what it took back (`sign` -1) and what it put in its place (`sign` 1).
    """

    scopes = {"GET": Scope.BILLING_READ}

    def get(self, request: Request, id: int, line: int) -> HttpResponse:
        asked = query(request, Page)
        row = found_line(id, line)
        (offset,) = decoded(asked.cursor, [int]) if asked.cursor else (0,)
        behind = events_behind(row, offset=offset, limit=asked.limit + 1)
        following = None
        if len(behind.entries) > asked.limit:
            following = absolute(request, {"cursor": encoded([offset + asked.limit])})
        return answer(
            {
                "count": behind.count,
                "sum": quantity_text(behind.sum),
                "results": entries_json(behind, asked.limit),
                "next": following,
            }
        )


def entries_json(behind: Lineage, limit: int) -> list[dict[str, Any]]:
    shown = behind.entries[:limit]
    sources = dict(Source.objects.filter(pk__in={entry.source_id for entry in shown}).values_list("pk", "key"))
    return [
        {
            "source": sources.get(entry.source_id),
            "id": entry.event_id,
            "kind": entry.kind,
            "sign": entry.sign,
            "time": entry.occurred_at,
            "value": entry.value if entry.value is None or isinstance(entry.value, str) else quantity_text(entry.value),
        }
        for entry in shown
    ]
