"""API keys: made once, shown once, checked by one indexed look-up of their hash."""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from catalog.auditing import KeyHolder, sign
from revops.api.calls import call_of
from revops.api.problems import Problem
from revops.models import ApiKey, validate_scopes

if TYPE_CHECKING:
    # The framework reads this module (named in settings) while it is still loading its views.
    from rest_framework.views import APIView

MARK = "wt_"
CHALLENGE = 'Bearer realm="watertight"'
USE_IS_NOTED_EVERY = dt.timedelta(minutes=1)


def create_key(
    name: str,
    scopes: Sequence[str],
    *,
    at: dt.datetime,
    source: str | None = None,
    expires_at: dt.datetime | None = None,
    by: str = "",
) -> tuple[ApiKey, str]:
    """A new key and its secret, which is kept nowhere. `source`, a source's key, binds it to that source.

    Raises ValidationError for an unknown scope.
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
        expires_at=expires_at,
    )
    return key, secret


def revoke_key(key: ApiKey, *, at: dt.datetime, by: AbstractBaseUser | None = None, reason: str = "") -> ApiKey:
    """Refuse the key from now on. Revoking it again changes nothing."""
    with transaction.atomic():
        locked = ApiKey.objects.select_for_update().get(pk=key.pk)
        if locked.revoked_at is None:
            locked.revoked_at = at
            sign(locked, at, by, reason or "Revoked")
            locked.save()
    return locked


def hash_of(secret: str) -> str:
    """A secret has 256 random bits, so a plain hash cannot be searched; equal cost for right and wrong ones."""
    return hashlib.sha256(secret.encode()).hexdigest()


def authenticated(request: HttpRequest, at: dt.datetime) -> ApiKey:
    """The key of a request. Raises Problem (401)."""
    secret = presented_secret(request)
    if secret is None:
        raise unauthorized("Send an API key: `Authorization: Bearer KEY` or `X-API-Key: KEY`.")
    key = ApiKey.objects.filter(secret_hash=hash_of(secret)).first()
    if key is None:
        raise unauthorized("This API key is not known.")
    if not key.is_usable(at):
        raise unauthorized("This API key was revoked." if key.revoked_at else "This API key has expired.")
    if key.last_used_at is None or at - key.last_used_at >= USE_IS_NOTED_EVERY:
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=at)
    return key


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
