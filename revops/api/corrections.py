"""`POST corrections`: take an event back, or replace its data."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

import msgspec
from django.http import HttpResponse
from django.utils import timezone
from msgspec import Meta
from rest_framework.request import Request

from billing.entitlements.intake import amend_event, void_event
from billing.metering.corrections import UnableToCorrect
from billing.models import Correction
from contracts.models import Customer
from revops.api.calls import call
from revops.api.deeds import deed
from revops.api.door import Door, answer, caller
from revops.api.problems import Fault, Problem, invalid
from revops.api.reading import Body
from revops.api.shapes import Instant, Shown
from revops.models import Scope

STATUS = {"unknown_event": 404, "already_voided": 409, "invalid_data": 400}
PATH = {"unknown_event": "id", "already_voided": "id", "invalid_data": "data"}


NONE = msgspec.Raw(b"")


class NewCorrection(Body, frozen=True, kw_only=True):
    """What is wrong with which event."""

    kind: Annotated[
        Literal["void", "amend"], Meta(description="`void` takes the event back, `amend` replaces its `data`.")
    ]
    source: Annotated[str, Meta(description="The event's `source`.", examples=["gateway"])]
    id: Annotated[str, Meta(description="The event's `id`.", examples=["req-1"])]
    reason: Annotated[str, Meta(description="Why. It stays with the event.", examples=["a test by our own staff"])]
    data: Annotated[
        msgspec.Raw,
        Meta(
            description="For an amend: the whole `data` the source should have sent; its rules are applied to it.",
            extra_json_schema={"type": ["object", "null"], "examples": [{"words": 1200}]},
        ),
    ] = msgspec.field(default_factory=lambda: NONE)

    @property
    def has_data(self) -> bool:
        return bytes(self.data) not in (b"", b"null")


class MadeCorrection(Shown, kw_only=True):
    """A correction, linked to its event by source and id; `position` counts the corrections of one event."""

    customer: str
    source: str
    correction: int
    kind: Literal["void", "amend"]
    id: str
    time: Annotated[Instant, Meta(description="When the event happened.")]
    position: int
    reason: str
    data: dict[str, Any] | None
    made_at: Instant
    made_by: str


AMENDED = {
    "customer": "globex",
    "source": "gateway",
    "correction": 12,
    "kind": "amend",
    "id": "req-1",
    "time": "2026-02-03T10:00:00Z",
    "position": 1,
    "reason": "the meter counted the headline twice",
    "data": {"words": 1200},
    "made_at": "2026-02-04T08:15:00Z",
    "made_by": "API key gateway",
}
AMEND = {name: AMENDED[name] for name in ("kind", "source", "id", "reason", "data")}


def uncorrectable(code: str, detail: str) -> Problem:
    return Problem(STATUS[code], detail, [Fault(PATH[code], code, detail)])


class Corrections(Door):
    tag = "Events"

    @call(
        Scope.EVENTS_WRITE,
        "Correct an event",
        status=201,
        answers=MadeCorrection,
        example=AMENDED,
        sends=AMEND,
        is_deed=True,
        refuses=[
            invalid("data", "required", "An amend needs `data`, the whole data the event should have had."),
            Problem(403, "This API key may correct events of the source 'media' only."),
            uncorrectable("unknown_event", "No event 'req-1' of the source 'gateway' was accepted."),
            uncorrectable("already_voided", "The event 'req-1' is voided; nothing of it is left to correct."),
        ],
    )
    def post(self, request: Request, asked: NewCorrection) -> HttpResponse:
        """Takes an accepted event back, or replaces its `data`. The event itself stays as it came, and so does every
        correction of it; usage, previews and the next invoice follow at once, also where the period is closed.
        """
        at = timezone.now()
        check(asked)
        key = caller(request)
        if key.source_id is not None and key.source_id != asked.source:
            raise Problem(403, f"This API key may correct events of the source {key.source_id!r} only.")
        return deed(request, at, lambda: corrected(asked, at, f"API key {key.name}"))


def check(asked: NewCorrection) -> None:
    if not asked.reason.strip():
        raise invalid("reason", "required", "Say why the event is corrected.")
    if asked.kind == "amend" and not asked.has_data:
        raise invalid("data", "required", "An amend needs `data`, the whole data the event should have had.")
    if asked.kind == "void" and asked.has_data:
        raise invalid("data", "invalid", "A void has no `data`; to replace the data, send an amend.")


def corrected(asked: NewCorrection, at: dt.datetime, by: str) -> HttpResponse:
    try:
        if not asked.has_data:
            made = void_event(asked.source, asked.id, reason=asked.reason, at=at, by=by)
        else:
            made = amend_event(asked.source, asked.id, bytes(asked.data), reason=asked.reason, at=at, by=by)
    except UnableToCorrect as error:
        raise uncorrectable(error.code, str(error)) from error
    customer = Customer.objects.get(pk=made.customer_id)
    return answer({"customer": customer.key, "source": asked.source, **correction_json(made)}, status=201)


def correction_json(made: Correction) -> dict[str, Any]:
    return {
        "correction": made.pk,
        "kind": made.kind,
        "id": made.event_id,
        "time": made.occurred_at,
        "position": made.position,
        "reason": made.reason,
        "data": msgspec.Raw(made.data.encode()) if made.data else None,
        "made_at": made.made_at,
        "made_by": made.made_by,
    }
