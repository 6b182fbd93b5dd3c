"""Scenarios that cannot be played say why, and a played one answers with every key."""

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from revops.simulation import UnableToPlay, play
from revops.simulation.databases import throw_away_databases
from revops.simulation.playing import Stage, perform, read_scenario, take_step
from revops.vocabulary.decoding import decode
from revops.vocabulary.documents import read_text
from revops.vocabulary.words import StepWords

SCENARIO = """
name: one call
currency: EUR
meters: [{key: calls, event_type: call, aggregation: count}]
plans:
  - {key: payg, versions: [{prices: [{key: calls, kind: usage, meter: calls, model: per_unit, unit_amount: "0.25"}]}]}
customers: [{key: acme}]
contracts: [{number: C-1, customer: acme, starts_on: 2026-01-01, lines: [{plan: payg}]}]
steps:
  - at: 2026-01-10T00:00:00Z
    events: [{id: a, source: gw, type: call, subject: acme, time: 2026-01-10}, {id: 7}, text]
  - {at: 2026-02-02T00:00:00Z, bill_run: true}
"""


def with_step(step: str) -> Any:
    return read_text(f"{SCENARIO}  - {step}\n")


def faults(error: pytest.ExceptionInfo[UnableToPlay]) -> list[tuple[str, str]]:
    return [(one.path, one.code) for one in error.value.errors]


@pytest.mark.parametrize(
    ("step", "fault"),
    [
        ("{at: 2026-01-01T00:00:00Z, bill_run: true}", ("steps[2].at", "order")),
        ("{at: 2026-03-01T00:00:00Z, bill_run: true, preview: acme}", ("steps[2]", "invalid")),
        ("{at: 2026-03-01T00:00:00Z, refund: {contract: C-1}}", ("steps[2].refund", "unsupported")),
        ("{at: 2026-03-01T00:00:00Z, dance: true}", ("steps[2].dance", "unknown")),
        ("{bill_run: true}", ("steps[2].at", "missing")),
    ],
)
def test_a_step_that_is_not_one_is_refused_before_anything_is_played(step: str, fault: tuple[str, str]) -> None:
    with pytest.raises(UnableToPlay) as error:
        read_scenario(with_step(step))
    assert faults(error) == [fault]


@pytest.fixture(scope="module")
def played(throw_away: None) -> Iterator[Stage]:
    """The scenario up to its last step."""
    with throw_away_databases():
        perform(read_scenario(read_text(SCENARIO)))
        yield Stage()


@pytest.mark.sql
@pytest.mark.usefixtures("throw_away")
class TestPlayed:
    def test_the_outcome_has_every_key(self) -> None:
        outcome = play(read_text(SCENARIO))
        assert [one["total"] for one in outcome["invoices"]] == ["0.25"]
        assert outcome["quarantine"] == [
            {"source": None, "id": None, "reason": "malformed"},
            {"source": None, "id": None, "reason": "malformed"},
        ]
        rest = ("previews", "credit_notes", "notices", "entitlements", "mismatches")
        assert {name: outcome[name] for name in rest} == {name: [] for name in rest}
        assert len(outcome) == 7

    @pytest.mark.parametrize(
        ("step", "fault"),
        [
            ("preview: zeta", ("steps[2].preview", "unknown")),
            ("bill_run: {customer: zeta}", ("steps[2].bill_run.customer", "unknown")),
            ("void_event: {source: gw, id: zzz, reason: none}", ("steps[2]", "impossible")),
            (
                "migrate: {contract: C-9, plan: payg, version: 1, on: 2026-02-01}",
                ("steps[2].migrate.contract", "unknown"),
            ),
            (
                "migrate: {contract: C-1, plan: payg, version: 9, on: 2026-02-01}",
                ("steps[2].migrate.version", "unknown"),
            ),
            ("migrate: {contract: C-1, plan: payg, version: 1, on: 2026-02-01}", ("steps[2].plan", "unknown")),
            (
                "amend: {contract: C-1, discounts: [{kind: percent, value: 10, applies_to: [x]}]}",
                ("steps[2].discounts[0].applies_to", "unknown"),
            ),
            ("amend: {contract: C-1, lines: [{plan: gone}]}", ("steps[2].lines[0].plan", "unknown")),
            ("void_invoice: {reason: why}", ("steps[2].void_invoice", "unknown")),
            (
                "void_invoice: {customer: acme, period_start: 2026-02-01, reason: x}",
                ("steps[2].void_invoice", "unknown"),
            ),
        ],
    )
    def test_a_step_that_is_not_possible_names_itself(self, played: Stage, step: str, fault: tuple[str, str]) -> None:
        words = decode(StepWords, read_text(f"{{at: 2026-02-02T00:00:00Z, {step}}}"))
        with pytest.raises(UnableToPlay) as error:
            take_step(played, words, "steps[2]")
        assert faults(error) == [fault]

    def test_a_catalog_that_cannot_be_is_refused_with_its_path(self) -> None:
        document = read_text(SCENARIO.replace("meter: calls, model", "meter: texts, model"))
        with pytest.raises(UnableToPlay) as error:
            play(document)
        assert ("plans[0].versions[0].prices[0].meter", "unknown") in faults(error)

    def test_the_command_prints_one_outcome_or_several(self, tmp_path: Path) -> None:
        good, wrong, refused = tmp_path / "good.yaml", tmp_path / "wrong.yaml", tmp_path / "refused.yaml"
        good.write_text(SCENARIO + "expect: {invoices: [{total: 0.25}]}")
        wrong.write_text(SCENARIO + "expect: {invoices: [{total: 0.26}]}")
        refused.write_text(SCENARIO + "credits: [{kind: prepaid}]")
        out, err = StringIO(), StringIO()
        call_command("simulate", good, stdout=out, stderr=err)
        assert json.loads(out.getvalue())["mismatches"] == []
        out = StringIO()
        with pytest.raises(CommandError, match=r"Not as expected: .*wrong\.yaml, .*refused\.yaml"):
            call_command("simulate", good, wrong, refused, "--json", stdout=out, stderr=err)
        first, second, third = json.loads(out.getvalue())
        assert first["invoices"][0]["total"] == "0.25"
        assert second["mismatches"] == [{"path": "invoices[0].total", "expected": "0.26", "actual": "0.25"}]
        assert third["errors"] == [
            {"path": "credits", "code": "unsupported", "detail": "credits are not supported yet"}
        ]
        assert "credits are not supported yet" in err.getvalue()
