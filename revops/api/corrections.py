"""`POST corrections`: take an event back, or replace its data."""

from __future__ import annotations

import datetime as dt
from typing import Any, Literal

import msgspec
from django.http import HttpResponse
from django.utils import timezone
from rest_framework.request import Request

from billing.metering.corrections import UnableToCorrect, amend_event, void_event
from billing.models import Correction
from contracts.models import Customer
from revops.api.deeds import deed
from revops.api.door import Door, answer, caller
from revops.api.problems import Fault, Problem, invalid
from revops.api.reading import Body, Nothing, body, query
from revops.models import Scope

STATUS = {"unknown_event": 404, "already_voided": 409, "invalid_data": 400}
PATH = {"unknown_event": "id", "already_voided": "id", "invalid_data": "data"}


NONE = msgspec.Raw(b"")


class Asked(Body, frozen=True, kw_only=True):
    """`data` replaces the whole of the event's data; only for an amend."""

    kind: Literal["void", "amend"]
    source: str
    id: str
    reason: str
    data: msgspec.Raw = NONE

    @property
    def has_data(self) -> bool:
        return bytes(self.data) not in (b"", b"null")


class Corrections(Door):
    """`{kind, source, id, reason, data?}` -> 201 and the correction."""

    scopes = {"POST": Scope.EVENTS_WRITE}

    def post(self, request: Request) -> HttpResponse:
        at = timezone.now()
        query(request, Nothing)
        asked = body(request, Asked)
        check(asked)
        key = caller(request)
        if key.source_id is not None and key.source_id != asked.source:
            raise Problem(403, f"This API key may correct events of the source {key.source_id!r} only.")
        return deed(request, at, lambda: corrected(asked, at, f"API key {key.name}"))


def check(asked: Asked) -> None:
    if not asked.reason.strip():
        raise invalid("reason", "required", "Say why the event is corrected.")
    if asked.kind == "amend" and not asked.has_data:
        raise invalid("data", "required", "An amend needs `data`, the whole data the event should have had.")
    if asked.kind == "void" and asked.has_data:
        raise invalid("data", "invalid", "A void has no `data`; to replace the data, send an amend.")


def corrected(asked: Asked, at: dt.datetime, by: str) -> HttpResponse:
    try:
        if not asked.has_data:
            made = void_event(asked.source, asked.id, reason=asked.reason, at=at, by=by)
        else:
            made = amend_event(asked.source, asked.id, bytes(asked.data), reason=asked.reason, at=at, by=by)
    except UnableToCorrect as error:
        raise Problem(STATUS[error.code], str(error), [Fault(PATH[error.code], error.code, str(error))]) from error
    customer = Customer.objects.get(pk=made.customer_id)
    return answer({"customer": customer.key, "source": asked.source, **correction_json(made)}, status=201)


def correction_json(made: Correction) -> dict[str, Any]:
    """A correction, linked to its event by source and id; `position` counts the corrections of one event."""
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
