"""Deeds that may be sent twice: with an `Idempotency-Key` the second call gets the first one's answer."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Callable

from django.db import IntegrityError, transaction
from django.http import HttpResponse
from rest_framework.request import Request

from revops.api.door import caller
from revops.api.problems import CONTENT_TYPE, Problem, invalid
from revops.models import ApiKey, Deed

# A call that was cut off (the process died) blocks its key no longer than this.
GIVEN_UP_AFTER = dt.timedelta(minutes=5)
LONGEST_KEY = 200
PRINTABLE = re.compile(f"[ -~]{{1,{LONGEST_KEY}}}")


def deed(request: Request, at: dt.datetime, do: Callable[[], HttpResponse]) -> HttpResponse:
    """Do it, or (under an Idempotency-Key that was used) answer as before. `do` may raise Problem.

    Refusals are remembered too; a fault of ours or an absent database is not, so that it may be tried again.
    """
    name = request.META.get("HTTP_IDEMPOTENCY_KEY")
    if name is None:
        return do()
    if not PRINTABLE.fullmatch(name):
        raise invalid(
            "Idempotency-Key", "invalid", f"An Idempotency-Key has 1 to {LONGEST_KEY} printable characters (ASCII)."
        )
    digest = digest_of(request)
    row, is_new = begin(caller(request), name, digest, at)
    if not is_new:
        return repeated(row, digest)
    try:
        done = answered(do)
    except Exception:
        row.delete()
        raise
    row.status, row.answer = done.status_code, done.content.decode()
    row.save(update_fields=["status", "answer"])
    return done


def begin(key: ApiKey, name: str, digest: str, at: dt.datetime) -> tuple[Deed, bool]:
    """The row of this call; a unique index decides between two at once."""
    abandoned = Deed.objects.filter(api_key=key, idempotency_key=name, status__isnull=True, digest=digest)
    if abandoned.filter(begun_at__lt=at - GIVEN_UP_AFTER).update(begun_at=at):
        return abandoned.get(), True
    try:
        with transaction.atomic():
            return Deed.objects.create(api_key=key, idempotency_key=name, digest=digest, begun_at=at), True
    except IntegrityError:
        return Deed.objects.get(api_key=key, idempotency_key=name), False


def repeated(row: Deed, digest: str) -> HttpResponse:
    if row.digest != digest:
        raise in_use()
    if row.status is None:
        raise under_way()
    kind = "application/json" if row.status < 400 else CONTENT_TYPE
    return HttpResponse(row.answer, status=row.status, content_type=kind)


def in_use() -> Problem:
    return Problem(422, "This Idempotency-Key was used for another request; take a new one for a new deed.")


def under_way() -> Problem:
    return Problem(409, "A call with this Idempotency-Key is under way.", headers={"Retry-After": "5"})


def answered(do: Callable[[], HttpResponse]) -> HttpResponse:
    try:
        return do()
    except Problem as problem:
        if problem.status >= 500:
            raise
        return problem.response()


def digest_of(request: Request) -> str:
    parts = (request.method or "", request.get_full_path(), hashlib.sha256(request.body).hexdigest())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
