"""Who may call: keys, their hashes, scopes and ends."""

import datetime as dt
import hashlib

import pytest
from django.core.exceptions import ValidationError

from revops.api.keys import create_key
from revops.models import ApiKey, Scope

from .conftest import THEN, Api, Company

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])


def test_a_key_is_kept_as_its_hash_only() -> None:
    key, secret = create_key("collector", ["events:write"], at=THEN)
    stored = ApiKey.objects.get()
    assert secret.startswith("wt_")
    assert stored.secret_hash == hashlib.sha256(secret.encode()).hexdigest()
    assert secret.startswith(stored.prefix)
    assert secret not in str(ApiKey.objects.values().get())
    assert secret not in str(list(ApiKey.history.values()))
    assert key.created_at == THEN


def test_a_scope_nobody_knows_is_refused() -> None:
    with pytest.raises(ValidationError, match="events:write"):
        create_key("typo", ["event:write"], at=THEN)


def test_writing_includes_reading_the_same_thing_and_no_other() -> None:
    key, _ = create_key("billing", [Scope.BILLING_WRITE], at=THEN)
    assert key.may("billing:read")
    assert not key.may("usage:read")


def test_a_call_without_a_key_is_answered_401_with_a_challenge(api: Api) -> None:
    answer = api.as_key(None).get("invoices")
    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["invoices", "events"])
def test_an_unknown_key_is_answered_401(api: Api, path: str) -> None:
    assert api.as_key("wt_nobody").get(path).status == 401
    assert api.as_key("wt_nobody").post("events", []).status == 401


def test_a_key_may_come_in_the_header_of_its_own(api: Api) -> None:
    answer = api.as_key(None).get("meters", headers={"X-API-Key": api.secret or ""})
    assert answer.status == 200


def test_a_key_without_the_scope_is_told_which_one_it_lacks(api: Api, key, company: Company) -> None:
    weak = api.as_key(key("usage:read"))
    for answer in (weak.get("invoices"), weak.post("invoices/1/issue", {})):
        assert answer.status == 403
    assert "`billing:read`" in weak.get("invoices").json["detail"]
    assert "`events:write`" in weak.post("events", []).json["detail"]


def test_an_expired_key_and_a_revoked_one_are_refused(api: Api, key) -> None:
    expired = key("billing:read", expires_at=dt.datetime(2026, 1, 2, tzinfo=dt.UTC))
    assert api.as_key(expired).get("invoices").status == 401
    assert "expired" in api.as_key(expired).get("invoices").json["detail"]
    revoked = key("billing:read")
    assert api.as_key(revoked).get("invoices").status == 200
    ApiKey.objects.filter(scopes=["billing:read"]).update(revoked_at=THEN)
    assert api.as_key(revoked).get("invoices").status == 401


def test_use_is_noted_to_the_minute(api: Api) -> None:
    api.get("meters")
    noted = ApiKey.objects.get().last_used_at
    assert noted is not None
    api.get("meters")
    assert ApiKey.objects.get().last_used_at == noted
