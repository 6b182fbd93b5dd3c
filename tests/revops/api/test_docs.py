"""The documentation page: whoever has it and a key gets from nothing to a preview, and no other host is asked."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from billing.metering.labelling import Reason
from catalog.models import Feature
from contracts.drafts import AllowanceDraft
from contracts.lifecycle import amend
from contracts.models import Contract
from revops.api.docs import sample, sender
from revops.api.guide import REASONS

from .conftest import Api

SCOPES = ("events:write", "usage:read", "catalog:read", "contracts:read")


def commands_of(page: str) -> list[str]:
    """The commands of the guide, as they are copied from it, without the ones that say where the key is."""
    blocks = re.findall(r'<pre><button class="copy" type="button">Copy</button><code>(.*?)</code></pre>', page, re.S)
    return [command for block in blocks if "curl" in (command := html.unescape(block))]


def run(command: str, environment: dict[str, str]) -> list[Any]:
    """What a command prints, one JSON document after the other."""
    done = subprocess.run(
        ["bash", "-c", command.replace("curl ", "curl --silent --show-error ")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    documents, decoder, rest = [], json.JSONDecoder(), done.stdout.strip()
    while rest:
        document, end = decoder.raw_decode(rest)
        documents.append(document)
        rest = rest[end:].strip()
    return documents


@pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])
def test_the_commands_of_the_guide_lead_from_a_key_to_a_preview(api: Api, key: Any, globex: None) -> None:
    page = api.as_key(None).get("/api/docs").raw.decode()
    assert f"export URL=http://127.0.0.1:{api.port}/api/v1" in page
    environment = {**os.environ, "URL": f"http://127.0.0.1:{api.port}/api/v1", "KEY": key(*SCOPES)}
    environment["NOW"] = f"{timezone.now():%Y-%m-%dT%H:%M:%SZ}"
    look, send, usage, preview, correct = commands_of(page)
    meters, sources, customers = run(look, environment)
    assert [one["results"][0]["key"] for one in (meters, sources, customers)] == ["words", "gateway", "globex"]
    send = send.replace("NOW=$(date -u +%Y-%m-%dT%H:%M:%SZ)\n", "")
    (first,) = run(send, environment)
    assert (first["accepted"], first["results"]) == (1, [])
    (again,) = run(send, environment)
    assert (again["accepted"], again["duplicates"]) == (0, 1)
    (used,) = run(usage, environment)
    assert [(window["group"], window["value"]) for window in used["windows"]] == [({"language": "de"}, "1250")]
    (previews,) = run(preview, environment)
    # 20.00 and 1250 x 0.0004
    assert (previews[0]["contract"], previews[0]["total"]) == ("G-1", "20.50")
    (corrected,) = run(correct, environment)
    assert corrected["kind"] == "amend"
    (used,) = run(usage, environment)
    assert used["windows"][0]["value"] == "1200"


@pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])
def test_the_sample_program_sends_and_tries_again(api: Api, key: Any, globex: None, tmp_path: Path) -> None:
    program = tmp_path / "send_events.py"
    program.write_text(sender())
    environment = {**os.environ, "URL": f"http://127.0.0.1:{api.port}/api/v1", "KEY": key(*SCOPES)}
    done = subprocess.run([sys.executable, program], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout == "1 accepted; nothing held back\n", done.stderr


@pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])
def test_the_sample_middleware_serves_until_the_allowance_is_used_up(
    api: Api, key: Any, globex: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    Feature.objects.create(key="words", name="Words")
    terms = [AllowanceDraft("words", timezone.now().date(), meter="words", limit=Decimal(10))]
    amend(Contract.objects.get(number="G-1"), entitlements=terms, at=timezone.now())
    monkeypatch.setenv("URL", f"http://127.0.0.1:{api.port}/api/v1")
    monkeypatch.setenv("KEY", key("usage:read"))
    named: dict[str, Any] = {}
    exec(sample("limit_access.py"), named)
    served: list[str] = []
    app = named["limited"](lambda environ, start: [b"served"], "words", lambda environ: "globex")

    def answer() -> bytes:
        return b"".join(app({}, lambda status, headers: served.append(status)))

    assert answer() == b"served"
    sent = {"specversion": "1.0", "id": "m", "source": "gateway", "type": "text.translated", "subject": "globex"}
    assert api.post("events", {**sent, "data": {"words": 10, "language": "de"}}).json["accepted"] == 1
    assert answer() == b"Your allowance is used up.\n"
    assert served == ["429 Too Many Requests"]
    monkeypatch.setenv("URL", "http://127.0.0.1:9")  # nobody there: what is used is counted all the same
    assert answer() == b"served"


def test_the_page_asks_no_other_host(client: Client) -> None:
    answer = client.get("/api/docs")
    page = answer.content.decode()
    loaded = re.findall(r'(?:src|<link[^>]*href)="([^"]+)"', page)
    assert loaded
    assert all(address.startswith("/static/") for address in loaded)
    policy = answer["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    for address in loaded:
        assert client.get(address).status_code == 200, address


def test_the_guide_explains_every_reason_to_hold_a_record() -> None:
    assert list(REASONS) == [reason.value for reason in Reason]
