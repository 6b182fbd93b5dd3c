"""API keys on the console: the secret is shown once, a key is revoked and never deleted."""

from __future__ import annotations

import datetime as dt

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from revops.api.keys import create_key, hash_of, revoke_key
from revops.models import ApiKey

pytestmark = pytest.mark.django_db

LIST = "/admin/revops/apikey/"


@pytest.fixture
def boss(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    return client


def test_a_new_keys_secret_is_shown_once_and_kept_nowhere(boss: Client) -> None:
    answer = boss.post(f"{LIST}add/", {"name": "Gateway", "scopes": ["events:write"]})
    secret = answer.context["secret"]
    key = ApiKey.objects.get()
    assert (key.secret_hash, key.scopes, key.created_by) == (hash_of(secret), ["events:write"], "boss")
    assert secret in answer.content.decode()
    assert secret not in boss.get(f"{LIST}{key.pk}/change/").content.decode()


def test_a_key_needs_a_scope(boss: Client) -> None:
    answer = boss.post(f"{LIST}add/", {"name": "Gateway"})
    assert answer.context["form"].errors["scopes"] == ["This field is required."]
    assert not ApiKey.objects.exists()


def test_a_key_is_revoked_and_stays_known(boss: Client) -> None:
    boss.post(f"{LIST}add/", {"name": "Gateway", "scopes": ["events:write"]})
    key = ApiKey.objects.get()
    chosen = {"action": "revoke_key", "_selected_action": key.pk}
    assert "Works" in boss.post(LIST, chosen).content.decode()
    boss.post(LIST, {**chosen, "confirmed": "yes"})
    key.refresh_from_db()
    assert key.revoked_at is not None
    assert key.history.latest().history_user.username == "boss"
    assert boss.post(f"{LIST}{key.pk}/delete/", {"post": "yes"}).status_code == 403


def test_a_key_gets_limits_and_an_end_of_its_own(boss: Client) -> None:
    asked = {"name": "Gateway", "scopes": ["events:write"], "requests_per_minute": "60", "records_per_minute": "1000"}
    past = {**asked, "expires_at_0": "2020-01-01", "expires_at_1": "00:00"}
    assert "never work" in boss.post(f"{LIST}add/", past).content.decode()
    boss.post(f"{LIST}add/", {**asked, "expires_at_0": "2999-01-01", "expires_at_1": "00:00"})
    key = ApiKey.objects.get()
    assert (key.requests_per_minute, key.records_per_minute, key.expires_at.year) == (60, 1000, 2999)
    assert boss.post(f"{LIST}add/", {**asked, "requests_per_minute": "0"}).context["form"].errors


def test_a_rotated_key_has_the_rights_of_the_old_one_which_works_on_for_a_day(boss: Client) -> None:
    boss.post(f"{LIST}add/", {"name": "Gateway", "scopes": ["events:write"], "records_per_minute": "1000"})
    old = ApiKey.objects.get()
    assert f"{LIST}{old.pk}/rotate/" in boss.get(f"{LIST}{old.pk}/change/").content.decode()
    assert boss.get(f"{LIST}{old.pk}/rotate/").status_code == 200
    begun = timezone.now()
    answer = boss.post(f"{LIST}{old.pk}/rotate/", {"overlap": "24"})
    new = ApiKey.objects.get(secret_hash=hash_of(answer.context["secret"]))
    assert (new.name, new.scopes, new.records_per_minute, new.created_by) == ("Gateway", ["events:write"], 1000, "boss")
    assert new.expires_at is None
    assert "no-store" in answer["Cache-Control"]
    old.refresh_from_db()
    assert begun + dt.timedelta(hours=24) <= old.expires_at <= timezone.now() + dt.timedelta(hours=24)
    assert f"Replaced by {new.prefix}" in old.history.latest().history_change_reason


def test_a_revoked_key_is_not_rotated(boss: Client) -> None:
    key, _ = create_key("Gateway", ["events:write"], at=timezone.now())
    revoke_key(key, at=timezone.now())
    answer = boss.post(f"{LIST}{key.pk}/rotate/", {"overlap": "0"})
    assert "make a new key" in answer.content.decode()
    assert ApiKey.objects.count() == 1


def test_who_may_not_make_keys_may_not_rotate_them(db: None) -> None:
    key, _ = create_key("Gateway", ["events:write"], at=timezone.now())
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="change_apikey"))
    client = Client()
    client.force_login(viewer)
    assert client.post(f"{LIST}{key.pk}/rotate/", {"overlap": "0"}).status_code == 403
