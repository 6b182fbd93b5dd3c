"""API keys on the console: the secret is shown once, a key is revoked and never deleted."""

from __future__ import annotations

import datetime as dt

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.utils import timezone

from catalog.auditing import KeyHolder, are_one_person, identity
from revops.api.keys import create_key, hash_of, revoke_key, rotate_key
from revops.models import ApiKey, Scope
from revops.roles import ENGINEERING, SCOPES

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
    past = {**asked, "expires_at": "2020-01-01T00:00"}
    assert "never work" in boss.post(f"{LIST}add/", past).content.decode()
    boss.post(f"{LIST}add/", {**asked, "expires_at": "2999-01-01T00:00"})
    key = ApiKey.objects.get()
    assert key.expires_at is not None
    assert (key.requests_per_minute, key.records_per_minute, key.expires_at.year) == (60, 1000, 2999)
    assert boss.post(f"{LIST}add/", {**asked, "requests_per_minute": "0"}).context["form"].errors


def test_nobody_hands_out_a_right_that_they_lack(db: None) -> None:
    """An engineer may correct events and propose, and approves nothing."""
    erin = User.objects.create_user("erin", is_staff=True)
    erin.groups.add(Group.objects.get(name=ENGINEERING))
    client = Client()
    client.force_login(erin)
    page = client.get(f"{LIST}add/").content.decode()
    assert "events:write" in page and "quarantine:read" in page
    for scope in ("catalog:write", "contracts:write", "billing:write", "quarantine:write"):
        assert scope not in page
        refused = client.post(f"{LIST}add/", {"name": "Mine", "scopes": ["events:write", scope]})
        assert "may not do yourself" in refused.context["form"].errors["scopes"][0]
        key, _ = create_key("ERP", [scope], at=timezone.now())
        assert client.post(f"{LIST}{key.pk}/rotate/", {"overlap": "0"}).status_code == 403
    client.post(f"{LIST}add/", {"name": "Mine", "scopes": ["events:write"]})
    assert ApiKey.objects.get(name="Mine").makers == [f"user:{erin.pk}"]


def test_every_scope_says_which_permissions_it_stands_for(db: None) -> None:
    assert set(SCOPES) == set(Scope.values)
    for permission in (one for named in SCOPES.values() for one in named):
        app, _, codename = permission.partition(".")
        assert Permission.objects.filter(content_type__app_label=app, codename=codename).exists(), permission


def test_who_has_had_a_keys_secret_is_one_person_with_it(db: None) -> None:
    """Erin made it, Robin rotated it; the replacement is also one with the key it replaces."""
    erin, robin, fiona = (User.objects.create_user(name) for name in ("erin", "robin", "fiona"))
    at = timezone.now()
    old, _ = create_key("ERP", ["catalog:write"], at=at, makers=[identity(erin)])
    new, _ = rotate_key(old, works_until=at + dt.timedelta(days=1), at=at, by=robin)
    other, _ = create_key("CI", ["catalog:write"], at=at)
    was, key, apart = (identity(KeyHolder(one.pk, one.name)) for one in (old, new, other))
    same = [(was, identity(erin)), (key, identity(erin)), (identity(robin), key), (key, was), (apart, apart)]
    assert all(are_one_person(*pair) for pair in same)
    different = [(was, identity(robin)), (key, identity(fiona)), (key, apart), (identity(erin), identity(robin))]
    assert not any(are_one_person(*pair) for pair in different)


@pytest.mark.django_db(transaction=True)
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
    assert old.expires_at is not None
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
