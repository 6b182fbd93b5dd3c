"""API keys on the console: the secret is shown once, a key is revoked and never deleted."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from revops.api.keys import hash_of
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
