"""Events with their labels, corrections and the invoice lines they were billed on; and the events behind a line."""

from __future__ import annotations

import datetime as dt
import uuid
from collections import defaultdict
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from django.db.models import QuerySet
from django.http import HttpResponse
from msgspec import UNSET, Meta, UnsetType
from rest_framework.request import Request

from billing.metering.decoding import register_key
from billing.metering.lineage import Lineage, events_behind, lines_of
from billing.metering.originals import originals_of
from billing.models import Correction, Event, InvoiceLine, OriginalEvent, Register, Source
from catalog.models import Meter
from catalog.money import quantity_text
from contracts.models import Customer
from revops.api.calls import call
from revops.api.door import Door, absolute, answer
from revops.api.invoice_shapes import InvoiceId, LineId
from revops.api.invoices import found_line
from revops.api.paging import Page, decoded, encoded, page_of
from revops.api.problems import Problem, invalid
from revops.api.reading import INSTANT
from revops.api.shapes import Instant, Paged, Quantity, Shown
from revops.models import Scope


class EventFilter(Page, frozen=True, kw_only=True):
    """`from` is included, `to` is not; `id` goes with `source`."""

    customer: Annotated[str | None, Meta(description="Only events of this customer.", examples=["globex"])] = None
    type: Annotated[str | None, Meta(description="Only this type.", examples=["text.translated"])] = None
    starts_at: Annotated[
        dt.datetime | None,
        Meta(
            description="Only events that happened at this instant or later; a date is its midnight in UTC.",
            extra_json_schema=INSTANT,
            examples=["2026-02-01T00:00:00Z"],
        ),
    ] = msgspec.field(name="from", default=None)
    ends_at: Annotated[
        dt.datetime | None,
        Meta(
            description="Only events that happened before this instant.",
            extra_json_schema=INSTANT,
            examples=["2026-03-01T00:00:00Z"],
        ),
    ] = msgspec.field(name="to", default=None)
    source: Annotated[str | None, Meta(description="Only events of this source.", examples=["gateway"])] = None
    id: Annotated[str | None, Meta(description="Only the event of this id; name its `source` too.")] = None


class EventCorrection(Shown, kw_only=True):
    """A later word on an event; the last one stands."""

    kind: Literal["void", "amend"]
    reason: str
    data: Annotated[dict[str, Any] | None, Meta(description="What replaced its data; null for a void.")]
    made_at: Instant
    made_by: str


class BilledOn(Shown, kw_only=True):
    """A line that an event was billed on."""

    invoice: int
    number: str | None
    status: Literal["draft", "issued", "voided"]
    line: int
    price: str
    kind: str


class ReceivedContent(Shown, kw_only=True):
    """What came, before rules of its source changed it."""

    type: str
    subject: str
    data: dict[str, Any] | None


class AcceptedEvent(Shown, kw_only=True):
    """An event as it counts, after the rules of its source, with its label: whose it is and what counts it."""

    source: str | None
    id: str
    type: str
    subject: str
    time: Annotated[Instant, Meta(description="When it happened.")]
    data: dict[str, Any]
    received: Annotated[ReceivedContent | UnsetType, Meta(description="What came, where rules changed it.")] = UNSET
    received_at: Instant
    receipt: Annotated[uuid.UUID, Meta(description="The answer to the batch it came with.")]
    customer: str | None
    meters: Annotated[list[str], Meta(description="The meters that count it.")]
    corrections: list[EventCorrection]
    invoice_lines: list[BilledOn]


EVENT = {
    "source": "gateway",
    "id": "req-1",
    "type": "text.translated",
    "subject": "globex-prod",
    "time": "2026-02-03T10:00:00Z",
    "data": {"words": 1250, "language": "de"},
    "received_at": "2026-02-03T10:00:04.218000Z",
    "receipt": "8a60f82c-f500-450a-a680-1739fd581b45",
    "customer": "globex",
    "meters": ["words"],
    "corrections": [],
    "invoice_lines": [
        {"invoice": 1042, "number": "INV-000050", "status": "issued", "line": 9001, "price": "words", "kind": "usage"}
    ],
}


class EventList(Door):
    tag = "Events"

    @call(
        Scope.USAGE_READ,
        "List accepted events",
        answers=Paged[AcceptedEvent],
        example={"results": [EVENT], "next": None},
        refuses=[invalid("id", "invalid", "`id` is unique within a source: name the `source` too.")],
    )
    def get(self, request: Request, asked: EventFilter) -> HttpResponse:
        """Accepted events by customer and time, with their corrections and the invoice lines they were billed on.
        What was held is in the quarantine.
        """
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
    originals = originals_of(events)
    return [
        {
            "source": sources.get(event.source_id),
            "id": event.event_id,
            "type": event.type,
            "subject": event.subject,
            "time": event.occurred_at,
            "data": msgspec.Raw(event.data.encode()),
            **received_json(originals.get(event.key)),
            "received_at": event.received_at,
            "receipt": event.receipt,
            "customer": customers.get(event.customer_id),
            "meters": [meters[meter] for meter in event.meters if meter in meters],
            "corrections": corrections.get(event.key, []),
            "invoice_lines": [line_json(line) for line in lines.get(event.key, [])],
        }
        for event in events
    ]


def received_json(original: OriginalEvent | None) -> dict[str, Any]:
    if original is None:
        return {}
    data = msgspec.Raw(original.data.encode())
    return {"received": {"type": original.type, "subject": original.subject, "data": data}}


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


class LineEvent(Shown, kw_only=True):
    """An event, or a correction of one, that a line billed."""

    source: str | None
    id: str
    kind: Literal["event", "void", "amend"]
    sign: Annotated[int, Meta(description="1: added; -1: taken back by a correction.")]
    time: Instant
    value: Annotated[str | None, Meta(description="What the meter reads in its data; null for a count.")]


class EventsBehind(Paged[LineEvent], kw_only=True):
    """A page of the events behind a line; `count` and `sum` are those of all of them."""

    count: int
    sum: Quantity


EVENTS_BEHIND = {
    "count": 1,
    "sum": "1250",
    "results": [
        {
            "source": "gateway",
            "id": "req-1",
            "kind": "event",
            "sign": 1,
            "time": "2026-02-03T10:00:00Z",
            "value": "1250",
        }
    ],
    "next": None,
}


class LineEvents(Door):
    tag = "Invoices"

    @call(
        Scope.BILLING_READ,
        "List the events behind a line",
        answers=EventsBehind,
        example=EVENTS_BEHIND,
        refuses=[Problem(404, "Invoice 1042 has no line 9001.")],
    )
    def get(self, request: Request, id: InvoiceId, line: LineId, asked: Page) -> HttpResponse:
        """Every event a line billed, with their `count` and `sum`. A correction is there as what it took back (`sign`
        -1) and what it put in its place (`sign` 1).
        """
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
