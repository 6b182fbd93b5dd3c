"""Logs hold no secrets, whatever is asked and however much is logged."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.contrib.auth.models import User

from revops.serving import CHECKOUT, current_names, environment_for, free_port, wait_until_healthy

from .conftest import Api, Company, event

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])


def test_no_key_password_or_token_is_logged(company: Company, key: Any, tmp_path: Path) -> None:
    log, port = tmp_path / "log", free_port()
    environment = {**environment_for(current_names()), "LOG_LEVEL": "DEBUG"}
    command = [sys.executable, str(CHECKOUT / "manage.py"), "serve", "--port", str(port), "--workers", "1"]
    with log.open("wb") as out:
        server = subprocess.Popen(command, env=environment, cwd=CHECKOUT, stdout=out, stderr=out)
    secret = key("events:write")
    User.objects.create_superuser("boss", password="correct-horse-battery")
    try:
        wait_until_healthy(port, server)
        api = Api(port, secret)
        assert api.post("events", [event("e1")]).status == 200
        assert api.get(f"invoices?api_key={secret}").status == 403
        assert api.post("events", b"[{", content_type="application/json").status == 400
        assert api.as_key("wt_a-key-that-nobody-has").get("usage").status == 401
        assert api.as_key(None).get("usage", headers={"X-API-Key": "wt_another-key"}).status == 401
        for password in ("correct-horse-battery", "wrong-horse-battery"):
            sign_in(api, password)
    finally:
        server.terminate()
        server.wait()
    logged = log.read_text()
    assert "/api/v1/usage" in logged  # it was listened to
    passwords = [
        urlsplit(url).password or "" for url in (*settings.PLAN.application.values(), *settings.PLAN.owner.values())
    ]
    secrets = [
        secret,
        "wt_a-key-that",
        "wt_another-key",
        "horse-battery",
        settings.SECRET_KEY,
        *filter(None, passwords),
    ]
    assert len(secrets) > 5
    assert [one[:8] for one in secrets if one in logged] == []


def sign_in(api: Api, password: str) -> None:
    token = "a" * 32
    body = f"username=boss&password={password}&csrfmiddlewaretoken={token}".encode()
    answer = api.as_key(None).call(
        "POST", "/admin/login/", body, "application/x-www-form-urlencoded", headers={"Cookie": f"csrftoken={token}"}
    )
    assert answer.status in (200, 302)
