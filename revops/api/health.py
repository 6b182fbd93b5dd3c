"""Whether this process can serve: for load balancers and for whoever waits for a start."""

from __future__ import annotations

import msgspec
from django.db import connections
from django.http import HttpRequest, HttpResponse

from revops.api.problems import DATABASE_AWAY, unavailable
from revops.databases import ALIASES


def healthz(request: HttpRequest) -> HttpResponse:
    """200 when both databases answer, else 503."""
    for alias in ALIASES:
        try:
            with connections[alias].cursor() as cursor:
                cursor.execute("SELECT 1")
        except DATABASE_AWAY:
            return unavailable(f"The database {alias!r} does not answer.").response()
    return HttpResponse(msgspec.json.encode({"status": "ok"}), content_type="application/json")
