"""Who may call: keys, their hashes, scopes and ends."""

import datetime as dt
import hashlib
import time

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.test import Client

from revops.api.keys import UnableToRotate, create_key, rotate_key
from revops.models import ApiKey, Scope

from .conftest import THEN, Api, Company, event

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


def test_a_key_revoked_elsewhere_reports_events_for_a_second_at_most(api: Api, key, company: Company) -> None:
    revoked = api.as_key(key("events:write"))
    assert revoked.post("events", [event("e1")]).status == 200
    ApiKey.objects.filter(scopes=["events:write"]).update(revoked_at=THEN)
    time.sleep(1.05)
    answer = revoked.post("events", [event("e2")])
    assert (answer.status, answer.json["detail"]) == (401, "This API key was revoked.")


def test_a_key_revoked_on_the_console_reports_nothing_more(api: Api, key, company: Company) -> None:
    boss = User.objects.create_superuser("boss")
    reporter = api.as_key(key("events:write"))
    revoked = ApiKey.objects.get(scopes=["events:write"])
    client = Client()
    client.force_login(boss)
    console = api.as_key(None)
    cookies = {"Cookie": f"sessionid={client.cookies['sessionid'].value}; csrftoken={'a' * 32}"}
    sent = f"action=revoke_key&_selected_action={revoked.pk}&confirmed=yes&csrfmiddlewaretoken={'a' * 32}".encode()
    assert reporter.post("events", [event("e1")]).status == 200
    done = console.call(
        "POST", "/admin/revops/apikey/", sent, content_type="application/x-www-form-urlencoded", headers=cookies
    )
    assert done.status == 302
    assert reporter.post("events", [event("e2")]).status == 401


def test_an_old_key_and_its_replacement_work_side_by_side_until_the_old_one_ends(key) -> None:
    old, _ = create_key("gateway", ["events:write"], at=THEN, records_per_minute=500)
    until = THEN + dt.timedelta(days=1)
    new, _ = rotate_key(old, works_until=until, at=THEN)
    old.refresh_from_db()
    assert old.is_usable(until - dt.timedelta(seconds=1)) and not old.is_usable(until)
    assert (new.scopes, new.records_per_minute, new.is_usable(until)) == (["events:write"], 500, True)
    with pytest.raises(UnableToRotate, match="make a new key"):
        rotate_key(old, works_until=until, at=until)
    # A key that ends sooner is not made to live longer.
    ending, _ = create_key("short", ["events:write"], at=THEN, expires_at=THEN + dt.timedelta(hours=1))
    rotate_key(ending, works_until=until, at=THEN)
    ending.refresh_from_db()
    assert ending.expires_at == THEN + dt.timedelta(hours=1)


def test_use_is_noted_to_the_minute(api: Api) -> None:
    api.get("meters")
    noted = ApiKey.objects.get().last_used_at
    assert noted is not None
    api.get("meters")
    assert ApiKey.objects.get().last_used_at == noted
