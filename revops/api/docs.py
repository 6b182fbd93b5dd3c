"""`/api/docs`: a guide for integrators, and all calls to try. Everything comes from this server."""

from __future__ import annotations

from functools import lru_cache

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import get_template

from revops.api.guide import REASONS, STATUSES
from revops.api.limits import FAILURES, RECORDS, REQUESTS
from revops.api.problems import not_allowed
from revops.models import Scope

# The page asks nothing of another host, and runs no script but those of its files.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


def docs(request: HttpRequest) -> HttpResponse:
    """The page. Needs no key and shows nothing of the company."""
    if request.method not in ("GET", "HEAD"):
        return not_allowed(request.method or "", ["GET", "HEAD"]).response()
    page = render(
        request,
        "api/docs.html",
        {
            "base": request.build_absolute_uri("/api/v1"),
            "python": sender(),
            "middleware": sample("limit_access.py"),
            "reasons": REASONS.items(),
            "statuses": STATUSES,
            "scopes": Scope.choices,
            "records": f"{RECORDS:,}",
            "requests": f"{REQUESTS:,}",
            "failures": FAILURES,
        },
    )
    page["Content-Security-Policy"] = POLICY
    return page


@lru_cache(maxsize=8)
def sample(name: str) -> str:
    """A sample program of the guide; each is a file of its own, and tested."""
    return str(get_template(f"api/{name}").template.source)  # type: ignore[attr-defined]


def sender() -> str:
    return sample("send_events.py")
