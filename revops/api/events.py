"""`POST events`: the door of ingestion. Kept thin and off the framework's path: raw body in, encoded answer out."""

from __future__ import annotations

import uuid

import msgspec
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from billing.metering.decoding import NotABatch, decode_batch
from billing.metering.ingestion import ReceiptResult, UnableToIngest, ingest
from revops.api.keys import authenticated, lacking
from revops.api.lineage import EventList
from revops.api.problems import Fault, Problem, as_problem, invalid, unavailable
from revops.models import Scope

LARGEST_BODY = 16 * 1024 * 1024
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

list_events = EventList.as_view()


class Fate(msgspec.Struct, omit_defaults=True, gc=False):
    """What became of one record."""

    index: int
    source: str
    id: str
    status: str
    reason: str | None = None


class Answer(msgspec.Struct):
    receipt: uuid.UUID
    received: int
    accepted: int
    duplicates: int
    quarantined: int
    results: list[Fate]


@csrf_exempt
def events(request: HttpRequest) -> HttpResponse:
    """GET: the list of events. POST: take a batch; see `receive`."""
    if request.method != "POST":
        listed: HttpResponse = list_events(request)
        return listed
    try:
        return receive(request)
    except Exception as error:
        answer = as_problem(error, {})
        if answer is None:
            raise
        return answer


def receive(request: HttpRequest) -> HttpResponse:
    """One event or a batch -> the receipt. What is answered for is committed.

    Raises Problem: 400 where the body as a whole is not of its form, 413, 415, 503; then nothing was stored.
    """
    at = timezone.now()
    key = authenticated(request, at)
    if not key.may(Scope.EVENTS_WRITE):
        raise Problem(403, lacking(Scope.EVENTS_WRITE))
    everything = wants_everything(request)
    body = body_of(request)
    kind = request.content_type or ""
    if body.lstrip()[:1] not in OPENING[kind]:
        raise not_a_batch(f"A body of type {kind} is {FORM[kind]}.")
    try:
        batch = decode_batch(body)
    except NotABatch as error:
        raise not_a_batch(str(error)) from error
    if len(batch) > LARGEST_BATCH:
        raise too_large(f"The batch has {len(batch)} records; at most {LARGEST_BATCH} are taken at once.")
    try:
        result = ingest(batch, at=at, door="api", bound_source=key.source_id)
    except UnableToIngest as error:
        raise unavailable(str(error)) from error
    return HttpResponse(encoded(result, everything), content_type=EITHER)


def wants_everything(request: HttpRequest) -> bool:
    unknown = sorted(set(request.GET) - {"results"})
    if unknown:
        raise invalid(unknown[0], "unknown_parameter", f"There is no parameter `{unknown[0]}` here; there is: results.")
    if request.GET.get("results", "all") != "all":
        raise invalid("results", "invalid", "`results` can only be `all`.")
    return "results" in request.GET


def body_of(request: HttpRequest) -> bytes:
    """The body; its type and its announced length are judged before a byte is read."""
    if request.content_type not in OPENING:
        raise Problem(415, f"Send events as {ONE}, {BATCH} or {EITHER}.")
    if request.META.get("HTTP_CONTENT_ENCODING", "identity") != "identity":
        raise Problem(415, "Send the body without a content encoding.")
    if request.META.get("HTTP_TRANSFER_ENCODING", "").lower() == "chunked":
        # Django reads no body without a length; the server's own stream ends where the chunks do.
        body: bytes = request.environ["wsgi.input"].read(LARGEST_BODY + 1)  # type: ignore[attr-defined]
        if len(body) > LARGEST_BODY:
            raise too_large("The body is larger than 16 MiB.")
        return body
    if int(request.META.get("CONTENT_LENGTH") or 0) > LARGEST_BODY:
        raise too_large("The body is larger than 16 MiB.")
    return request.body


def too_large(detail: str) -> Problem:
    return Problem(413, f"{detail} Split the batch; nothing was stored.", [Fault("", "too_large", detail)])


def not_a_batch(detail: str) -> Problem:
    return Problem(400, f"{detail.rstrip('.')}. Nothing was stored.", [Fault("", "not_a_batch", detail)])


def encoded(result: ReceiptResult, everything: bool) -> bytes:
    listed = result.results if everything else result.not_accepted
    answer = Answer(
        receipt=result.receipt,
        received=result.received,
        accepted=result.accepted,
        duplicates=result.duplicates,
        quarantined=result.quarantined,
        results=[Fate(one.index, one.source, one.id, one.status, one.reason) for one in listed],
    )
    return msgspec.json.encode(answer)
