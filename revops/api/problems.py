"""Errors as RFC 9457 problem documents."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus
from math import ceil
from typing import Any

import msgspec
import psycopg
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from django.template.loader import render_to_string
from django.urls import is_valid_path
from django.views import defaults
from rest_framework.exceptions import APIException, Throttled

CONTENT_TYPE = "application/problem+json"
RETRY_AFTER = 5  # seconds

# A server that is away or restarting, a connection cut, a deadlock: the same request may succeed in a moment.
DATABASE_AWAY = (OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError)


# What a problem is called where nothing in the request is to be named.
CODES = {
    400: "invalid",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    409: "conflict",
    412: "changed_since",
    413: "too_large",
    415: "unsupported_media_type",
    422: "used_before",
    429: "too_many_requests",
    500: "server_error",
    503: "unavailable",
}


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a request: where (`lines[0].amount`, a parameter's name), a code, and what to do."""

    path: str
    code: str
    detail: str


class Problem(Exception):
    """A request that cannot be met, as it is answered."""

    def __init__(
        self,
        status: int,
        detail: str,
        errors: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.headers = dict(headers or {})

    def document(self) -> dict[str, Any]:
        errors = self.errors or [Fault("", CODES.get(self.status, "refused"), self.detail)]
        return {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "errors": [asdict(fault) for fault in errors],
        }

    def response(self) -> HttpResponse:
        return HttpResponse(
            msgspec.json.encode(self.document()), status=self.status, content_type=CONTENT_TYPE, headers=self.headers
        )


def invalid(path: str, code: str, detail: str, status: int = 400) -> Problem:
    """A problem with one fault."""
    return Problem(status, detail, [Fault(path, code, detail)])


def unavailable(detail: str = "The database is not available. Send the same request again.") -> Problem:
    return Problem(503, detail, headers={"Retry-After": str(RETRY_AFTER)})


def not_allowed(method: str, allowed: Sequence[str]) -> Problem:
    return Problem(405, f"This address does not take {method}.", headers={"Allow": ", ".join(allowed)})


def not_json() -> Problem:
    return Problem(415, "Send the body as application/json.")


def too_large(detail: str = "The body is larger than 16 MiB.") -> Problem:
    return Problem(413, detail, [Fault("", "too_large", detail)])


def too_many(
    wait: float, what: str = "Too much is asked with this key.", headers: Mapping[str, str] | None = None
) -> Problem:
    """`wait`: seconds until the same request may pass."""
    seconds = max(1, ceil(wait))
    return Problem(
        429,
        f"{what} Nothing was done; send the same again in {seconds} s.",
        headers={"Retry-After": str(seconds), **(headers or {})},
    )


def something_wrong() -> Problem:
    return Problem(500, "Something went wrong here. The request may be sent again.")


def as_problem(error: Exception, context: Mapping[str, Any]) -> HttpResponse | None:
    """The answer to an exception of a view; None for a fault of ours, which the server logs and answers with 500."""
    problem = problem_of(error)
    return problem.response() if problem else None


def problem_of(error: Exception) -> Problem | None:
    match error:
        case Problem():
            return error
        case Http404():
            return Problem(404, sentence(error, "There is nothing at this address."))
        case PermissionDenied():
            return Problem(403, sentence(error, "This is not allowed."))
        case UnreadablePostError():
            return Problem(400, "The body ended before its announced length.")
        case RequestDataTooBig():
            return too_large()
        case SuspiciousOperation():
            return Problem(400, "The request cannot be read.")
        case APIException():
            return problem_of_framework(error)
        case _ if isinstance(error, DATABASE_AWAY):
            return unavailable()
    return None


def problem_of_framework(error: APIException) -> Problem:
    headers = {}
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    wait = getattr(error, "wait", None)
    if isinstance(error, Throttled) and wait is not None:
        headers["Retry-After"] = str(int(wait) + 1)
    if isinstance(error.detail, str):
        return Problem(error.status_code, str(error.detail), headers=headers)
    return Problem(error.status_code, "The request is not valid.", list(faults_in(error.detail)), headers)


def faults_in(detail: Any, path: str = "") -> list[Fault]:
    """The framework's nested error details, each with its path."""
    if isinstance(detail, Mapping):
        return [
            fault
            for name, inner in detail.items()
            for fault in faults_in(inner, path if name == "non_field_errors" else f"{path}.{name}".lstrip("."))
        ]
    if isinstance(detail, list):
        return [
            fault
            for index, inner in enumerate(detail)
            for fault in faults_in(inner, path if isinstance(inner, str) else f"{path}[{index}]")
        ]
    return [Fault(path, getattr(detail, "code", "invalid"), str(detail))]


def sentence(error: Exception, otherwise: str) -> str:
    """What a door said itself; the framework's own messages (which show its insides) are not passed on."""
    said = error.args[0] if error.args else None
    return said if isinstance(said, str) and said.endswith(".") else otherwise


def is_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """For addresses no view has."""
    if not is_api(request):
        return defaults.page_not_found(request, exception)
    without = request.path.rstrip("/")
    if without != request.path and is_valid_path(without):
        return Problem(404, f"Addresses have no slash at their end: {without}").response()
    return Problem(404, "There is nothing at this address.").response()


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if is_api(request):
        return Problem(400, "The request cannot be read.").response()
    return defaults.bad_request(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """For a fault of ours; what happened is in the server's log. A database that is away passes, and is told apart."""
    is_away = isinstance(sys.exc_info()[1], DATABASE_AWAY)
    if is_api(request):
        return (unavailable() if is_away else something_wrong()).response()
    if is_away:
        return HttpResponse(render_to_string("503.html"), status=503, headers={"Retry-After": str(RETRY_AFTER)})
    return defaults.server_error(request)
