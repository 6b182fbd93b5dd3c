"""API keys: made once, shown once, checked by one indexed look-up of their hash."""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
from collections.abc import Iterable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from catalog.auditing import KeyHolder, identity, name_of, sign
from revops.api.calls import call_of
from revops.api.limits import FAILURES, Kind, generation, next_generation, number_of, take
from revops.api.problems import Problem, too_many
from revops.models import ApiKey, validate_scopes

if TYPE_CHECKING:
    # The framework reads this module (named in settings) while it is still loading its views.
    from rest_framework.views import APIView

MARK = "wt_"
CHALLENGE = 'Bearer realm="watertight"'
USE_IS_NOTED_EVERY = dt.timedelta(minutes=1)
KEPT_FOR = 1.0  # seconds
MOST_KEPT = 1000


def create_key(
    name: str,
    scopes: Sequence[str],
    *,
    at: dt.datetime,
    source: str | None = None,
    expires_at: dt.datetime | None = None,
    requests_per_minute: int | None = None,
    records_per_minute: int | None = None,
    by: str = "",
    makers: Iterable[str] = (),
) -> tuple[ApiKey, str]:
    """A new key and its secret, which is kept nowhere. `source`, a source's key, binds it to that source.

    Without limits of its own it has the usual ones. `makers` are the identities of who gets to see the secret: what
    they propose, the key does not approve, nor they what it proposes. Raises ValidationError for an unknown scope.
    """
    validate_scopes(list(scopes))
    secret = MARK + secrets.token_urlsafe(32)
    key = ApiKey.objects.create(
        name=name,
        prefix=secret[:10],
        secret_hash=hash_of(secret),
        scopes=list(scopes),
        source_id=source,
        created_at=at,
        created_by=by,
        makers=sorted(set(makers)),
        expires_at=expires_at,
        requests_per_minute=requests_per_minute,
        records_per_minute=records_per_minute,
    )
    return key, secret


def rotate_key(
    key: ApiKey, *, works_until: dt.datetime, at: dt.datetime, by: AbstractBaseUser | None = None
) -> tuple[ApiKey, str]:
    """A new key with the rights of an old one, which works on until then (or its own end) and no longer.

    Raises UnableToRotate for a key that works no more.
    """
    with transaction.atomic():
        old = ApiKey.objects.select_for_update().get(pk=key.pk)
        if not old.is_usable(at):
            raise UnableToRotate(f"{old} works no more: make a new key.")
        new, secret = create_key(
            old.name,
            old.scopes,
            at=at,
            source=old.source_id,
            expires_at=old.expires_at,
            requests_per_minute=old.requests_per_minute,
            records_per_minute=old.records_per_minute,
            by=name_of(by),
            makers=[*old.makers, f"key:{old.pk}", *([identity(by)] if by else [])],
        )
        old.expires_at = min(works_until, old.expires_at or works_until)
        sign(old, at, by, f"Replaced by {new.prefix}...")
        old.save()
    transaction.on_commit(next_generation)
    return new, secret


class UnableToRotate(ValueError):
    """A key that cannot be replaced, and why."""


def revoke_key(key: ApiKey, *, at: dt.datetime, by: AbstractBaseUser | None = None, reason: str = "") -> ApiKey:
    """Refuse the key from now on. Revoking it again changes nothing."""
    with transaction.atomic():
        locked = ApiKey.objects.select_for_update().get(pk=key.pk)
        if locked.revoked_at is None:
            locked.revoked_at = at
            sign(locked, at, by, reason or "Revoked")
            locked.save()
    transaction.on_commit(next_generation)
    return locked


def hash_of(secret: str) -> str:
    """A secret has 256 random bits, so a plain hash cannot be searched; equal cost for right and wrong ones."""
    return hashlib.sha256(secret.encode()).hexdigest()


def authenticated(request: HttpRequest, at: dt.datetime) -> ApiKey:
    """The key of a request. Raises Problem (401; 429 for who sends many that are not good)."""
    secret = presented_secret(request)
    if secret is None:
        raise unauthorized("Send an API key: `Authorization: Bearer KEY` or `X-API-Key: KEY`.")
    digest = hash_of(secret)
    before = generation()  # a key that is revoked while it is read is not kept
    key = ApiKey.objects.filter(secret_hash=digest).first()
    _kept.pop(digest, None)
    if key is None or not key.is_usable(at):
        raise refusal_of(key, request)
    if key.last_used_at is None or at - key.last_used_at >= USE_IS_NOTED_EVERY:
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=at)
        key.last_used_at = at
    if len(_kept) >= MOST_KEPT:
        _kept.clear()
    _kept[digest] = Kept(key, monotonic(), before)
    return key


class Kept(NamedTuple):
    """A key as it was read."""

    key: ApiKey
    read_at: float
    generation: float


_kept: dict[str, Kept] = {}


def authenticated_lately(request: HttpRequest, at: dt.datetime) -> ApiKey:
    """As `authenticated`, but a key that was good within the last second is not looked up again.

    For the door of events, where a look-up is felt. A key that is revoked on this server's console is refused at once;
    one that is revoked elsewhere may report events for another second.
    """
    kept = _kept.get(hash_of(presented_secret(request) or ""))
    if kept and monotonic() - kept.read_at < KEPT_FOR and kept.generation == generation() and kept.key.is_usable(at):
        return kept.key
    return authenticated(request, at)


def refusal_of(key: ApiKey | None, request: HttpRequest) -> Problem:
    """Who tries many keys is slowed down; good keys from the same address are not."""
    allowance = take(Kind.FAILURES, number_of(request.META.get("REMOTE_ADDR", "")), FAILURES)
    if allowance.wait:
        return too_many(allowance.wait, "Too many keys from this address that are not good.")
    if key is None:
        return unauthorized("This API key is not known.")
    return unauthorized("This API key was revoked." if key.revoked_at else "This API key has expired.")


def holder(request: Request) -> KeyHolder:
    """Whoever calls, as operations take it: a key is a person where two are needed."""
    key: Any = request.auth
    return KeyHolder(key.pk, key.name)


def presented_secret(request: HttpRequest) -> str | None:
    scheme, _, secret = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() == "bearer" and secret.strip():
        return str(secret.strip())
    return str(request.META["HTTP_X_API_KEY"]).strip() if request.META.get("HTTP_X_API_KEY") else None


def unauthorized(detail: str) -> Problem:
    return Problem(401, detail, headers={"WWW-Authenticate": CHALLENGE})


def lacking(scope: str) -> str:
    return f"This API key lacks the scope `{scope}`."


class KeyAuthentication(BaseAuthentication):
    """`request.auth` is the ApiKey. No user stands behind it, so what it changes is signed with the key's name."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, ApiKey]:
        return AnonymousUser(), authenticated(request, timezone.now())

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


class HasScope(BasePermission):
    """The key has the scope its view names for the method: `scopes = {"GET": "billing:read"}`."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        method = request.method or ""
        declared = call_of(view, method)
        scope = declared.scope if declared else getattr(view, "scopes", {}).get("GET" if method == "HEAD" else method)
        if scope is None:
            # A method the view does not have is answered 405 further on; nothing else goes without a scope.
            return method.lower() not in view.http_method_names or not hasattr(view, method.lower())
        key: Any = request.auth
        if not key.may(scope):
            raise PermissionDenied(lacking(scope))
        return True
