"""`load_catalog` says what differs, before it applies it and as it does; at a terminal it asks."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from catalog.models import Meter, PlanVersion, VersionStatus
from revops.vocabulary import commands

pytestmark = pytest.mark.django_db(databases="__all__")

CATALOG = """
currency: EUR
meters: [{key: tokens, event_type: llm.request, aggregation: sum, value: tokens, unit: tokens}]
plans:
  - key: pro
    versions:
      - prices:
          - {key: base, kind: recurring, model: flat, flat_amount: "99.00"}
          - {key: tokens, kind: usage, meter: tokens, model: graduated, name: Tokens,
             tiers: [{up_to: "1000", unit_amount: "0.02"}, {up_to: null, unit_amount: "0.01"}]}
"""
CHANGED = """
currency: EUR
meters: [{key: tokens, event_type: llm.request, aggregation: sum, value: tokens, unit: words}]
plans:
  - key: pro
    versions:
      - effective_from: 2026-07-01
        prices:
          - {key: tokens, kind: usage, meter: tokens, model: graduated, name: Tokens, minimum_amount: "5",
             tiers: [{up_to: "1000", unit_amount: "0.03"}, {up_to: "5000", unit_amount: "0.015"},
                     {up_to: null, unit_amount: "0.01"}]}
          - {key: setup, kind: one_time, model: flat, flat_amount: "50"}
"""
SAID = """\
meter tokens: updated (unit: tokens -> words)
plan version pro@2: drafted (version 1 is Published with other content)
  compared with pro@1:
    effective from: from ever -> 2026-07-01
    changed tokens (Tokens)
      minimum amount: none -> 5.00
      before        each unit    after          each unit
      up to 1,000   0.02         up to 1,000    0.03 *
      no such tier               up to 5,000 *  0.015 *
      above 1,000   0.01         above 5,000 *  0.01
    added setup
      kind: one-time
      model: flat
      flat amount: 50.00
      prorated by days: no
    removed base
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with other content than the published pro@1."""
    file = tmp_path / "catalog.yaml"
    file.write_text(CATALOG)
    run(file, "--publish")
    file.write_text(CHANGED)
    return file


def run(file: Path, *options: str) -> str:
    out = io.StringIO()
    call_command("load_catalog", file, *options, stdout=out)
    return out.getvalue()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def answers(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(commands.sys, "stdin", Terminal(text))


def test_a_dry_run_says_what_differs_and_stores_nothing(file: Path) -> None:
    assert run(file, "--dry-run") == SAID + "Nothing is stored: this was a dry run.\n"
    assert PlanVersion.objects.count() == 1
    assert Meter.objects.get().unit == "tokens"


def test_a_run_says_the_same_as_it_applies_it(file: Path) -> None:
    assert run(file) == SAID
    assert PlanVersion.objects.get(number=2).status == VersionStatus.DRAFT
    assert run(file, "--dry-run") == "Nothing changed: everything is as the file says.\n"


def test_a_dry_run_of_publishing_publishes_nothing(file: Path) -> None:
    assert "plan version pro@2: published" in run(file, "--publish", "--dry-run")
    assert PlanVersion.objects.count() == 1


def test_a_first_version_is_shown_whole(tmp_path: Path) -> None:
    file = tmp_path / "catalog.yaml"
    file.write_text(CATALOG)
    said = run(file, "--dry-run")
    assert "plan version pro@1: drafted\n  is the first version:\n    added base\n" in said
    assert "      tier         each unit\n      up to 1,000  0.02\n      above 1,000  0.01\n" in said
    assert not PlanVersion.objects.exists()


def test_the_difference_is_in_the_json_too(file: Path) -> None:
    document: dict[str, Any] = json.loads(run(file, "--dry-run", "--json"))
    assert document["dry_run"] is True
    [drafted] = document["drafted"]
    assert (drafted["version"], drafted["against"], drafted["same"]) == ("pro@2", "pro@1", False)
    assert drafted["fields"] == [{"field": "effective_from", "before": None, "after": "2026-07-01"}]
    assert [(price["key"], price["change"]) for price in drafted["prices"]] == [
        ("tokens", "changed"), ("setup", "added"), ("base", "removed"),
    ]  # fmt: skip
    tokens = drafted["prices"][0]
    assert tokens["fields"] == [{"field": "minimum_amount", "before": None, "after": "5.00"}]
    assert tokens["tiers"][1] == {
        "before": None, "after": {"up_to": "5000", "flat_amount": "0.00", "unit_amount": "0.015"}, "changed": True,
    }  # fmt: skip


def test_at_a_terminal_it_is_applied_once_it_is_said_to_be(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, "n\n")
    with pytest.raises(CommandError, match="Nothing was stored"):
        run(file)
    answers(monkeypatch, "")
    with pytest.raises(CommandError, match="Nothing was stored"):
        run(file)
    assert PlanVersion.objects.count() == 1
    answers(monkeypatch, "y\n")
    assert run(file) == SAID
    assert PlanVersion.objects.count() == 2
    answers(monkeypatch, "")
    assert run(file) == "Nothing changed: everything is as the file says.\n"


def test_it_does_not_ask_where_that_is_said(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, "")
    assert run(file, "--yes") == SAID
    assert json.loads(run(file, "--json"))["changes"] == []


def test_what_changed_between_the_question_and_the_answer_is_not_applied(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(Terminal):
        def readline(self, *args: Any) -> str:
            Meter.objects.update(unit="pages")
            return "y\n"

    monkeypatch.setattr(commands.sys, "stdin", Slow())
    with pytest.raises(CommandError, match="has changed meanwhile: run it again"):
        run(file)
    assert PlanVersion.objects.count() == 1


def test_contracts_are_tried_too(tmp_path: Path) -> None:
    file = tmp_path / "contracts.yaml"
    file.write_text("customers: [{key: acme, name: Acme}]")
    out = io.StringIO()
    call_command("load_contracts", file, "--dry-run", stdout=out)
    assert out.getvalue() == "seller main: created\ncustomer acme: created\nNothing is stored: this was a dry run.\n"
