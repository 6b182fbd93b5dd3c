"""`POST events`: the door of ingestion. Kept thin and off the framework's path: raw body in, encoded answer out."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from msgspec import Meta

from billing.entitlements.intake import take_in
from billing.metering.decoding import NotABatch, decode_batch
from billing.metering.ingestion import ReceiptResult, UnableToIngest
from revops.api.calls import call
from revops.api.event_shapes import EVENT, RECEIPT, CloudEvent, Receipt, RecordResult
from revops.api.keys import authenticated_lately, lacking
from revops.api.limits import Allowance, Kind
from revops.api.lineage import EventList
from revops.api.problems import Fault, Problem, as_problem, invalid, too_large, too_many, unavailable
from revops.api.reading import LARGEST_BODY, Query, body_in_chunks, names_of, unknown_parameter
from revops.models import Scope

LARGEST_BATCH = 10_000

ONE = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
EITHER = "application/json"

# The first byte of the body that a content type calls for.
OPENING = {ONE: (b"{",), BATCH: (b"[",), EITHER: (b"{", b"[")}

FORM = {
    ONE: "one event as a JSON object",
    BATCH: "a JSON array of events",
    EITHER: "one event as a JSON object, or a JSON array of events",
}


def split(detail: str) -> Problem:
    return too_large(f"{detail} Split the batch; nothing was stored.")


def not_a_batch(detail: str) -> Problem:
    return Problem(400, f"{detail.rstrip('.')}. Nothing was stored.", [Fault("", "not_a_batch", detail)])


class Reported(Query, frozen=True, kw_only=True):
    """How much of the answer is wanted."""

    results: Annotated[
        Literal["all"] | None, Meta(description="List what was accepted, too; by default only what was not.")
    ] = None


class Events(EventList):
    """GET lists events; POST takes them."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method != "POST":
            return super().dispatch(request, *args, **kwargs)
        try:
            return self.post(request)
        except Exception as error:
            answer = as_problem(error, {})
            if answer is None:
                raise
            return answer

    @call(
        Scope.EVENTS_WRITE,
        "Report events",
        answers=Receipt,
        example=RECEIPT,
        takes={ONE: CloudEvent, BATCH: list[CloudEvent], EITHER: CloudEvent | list[CloudEvent]},
        sends={ONE: EVENT, BATCH: [EVENT], EITHER: [EVENT]},
        refuses=[
            not_a_batch("The body is cut off, or not one JSON array."),
            split(f"The batch has 12000 records; at most {LARGEST_BATCH} are taken at once."),
            Problem(415, f"Send events as {ONE}, {BATCH} or {EITHER}."),
        ],
        reads_itself=Reported,
    )
    def post(self, request: HttpRequest) -> HttpResponse:
        """One event or a batch, as CloudEvents in structured mode: up to 10,000 records and 16 MiB.

        What is answered for is stored. Each record is judged alone: it is accepted, a duplicate of one that was
        accepted before (sent again, it counts once), or held in the quarantine with a reason. Only a body that as a
        whole is not of its form is refused; then nothing of it was stored.
        """
        at = timezone.now()
        key = authenticated_lately(request, at)
        if not key.may(Scope.EVENTS_WRITE):
            raise Problem(403, lacking(Scope.EVENTS_WRITE))
        passing(key.allowance(Kind.RECORDS, cost=0))
        everything = wants_everything(request)
        batch = batch_of(request)
        allowance = passing(key.allowance(Kind.RECORDS, cost=max(1, len(batch))))
        try:
            result = take_in(batch, at=at, door="api", bound_source=key.source_id)
        except UnableToIngest as error:
            raise unavailable(str(error)) from error
        return HttpResponse(encoded(result, everything), content_type=EITHER, headers=allowance.headers())


def passing(allowance: Allowance) -> Allowance:
    """Raises Problem (429)."""
    if allowance.wait:
        raise too_many(allowance.wait, headers=allowance.headers())
    return allowance


def batch_of(request: HttpRequest) -> list[Any]:
    """The records of the body, as bytes. Raises Problem: 400 where the whole is not of its form, 413, 415."""
    body = body_of(request)
    kind = request.content_type or ""
    if body.lstrip()[:1] not in OPENING[kind]:
        raise not_a_batch(f"A body of type {kind} is {FORM[kind]}.")
    try:
        batch = decode_batch(body)
    except NotABatch as error:
        raise not_a_batch(str(error)) from error
    if len(batch) > LARGEST_BATCH:
        raise split(f"The batch has {len(batch)} records; at most {LARGEST_BATCH} are taken at once.")
    return batch


def wants_everything(request: HttpRequest) -> bool:
    unknown = sorted(set(request.GET) - {"results"})
    if unknown:
        raise unknown_parameter(unknown[0], names_of(Reported))
    if request.GET.get("results", "all") != "all":
        raise invalid("results", "invalid", "`results` can only be `all`.")
    return "results" in request.GET


def body_of(request: HttpRequest) -> bytes:
    """The body; its type and its announced length are judged before a byte is read."""
    if request.content_type not in OPENING:
        raise Problem(415, f"Send events as {ONE}, {BATCH} or {EITHER}.")
    if request.META.get("HTTP_CONTENT_ENCODING", "identity") != "identity":
        raise Problem(415, "Send the body without a content encoding.")
    in_chunks = body_in_chunks(request)
    if in_chunks is not None:
        return in_chunks
    announced = int(request.META.get("CONTENT_LENGTH") or 0)
    if announced > LARGEST_BODY:
        raise split("The body is larger than 16 MiB.")
    if len(request.body) < announced:
        raise not_a_batch("The body ended before its announced length.")
    return request.body


def encoded(result: ReceiptResult, everything: bool) -> bytes:
    listed = result.results if everything else result.not_accepted
    answer = Receipt(
        receipt=result.receipt,
        received=result.received,
        accepted=result.accepted,
        duplicates=result.duplicates,
        quarantined=result.quarantined,
        results=[
            RecordResult(one.index, one.source, one.id, one.status, one.reason)  # type: ignore[arg-type]
            for one in listed
        ],
    )
    return msgspec.json.encode(answer)
