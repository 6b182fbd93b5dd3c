"""Rules of a source over the API: sent, read, and at work on what is posted, down to the usage."""

from __future__ import annotations

from typing import Any

import pytest

from billing.metering.rule_kinds import RuleTerms
from billing.metering.rulebook import Approval, keep_rule
from billing.models import HeldRecord, OriginalEvent, Source, SourceRule
from revops.reconciliation.books import check

from .conftest import THEN, Api, Company, event

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])

RULES: list[dict[str, Any]] = [
    {"kind": "lower", "field": "subject"},
    {"kind": "rename", "field": "data.tok", "to": "data.tokens"},
    {"kind": "number", "field": "data.tokens", "format": "comma"},
    {"kind": "hold", "when": {"field": "data.agent", "equals": ["*bot*"]}},
]


def test_what_is_posted_counts_as_the_rules_leave_it(api: Api, company: Company) -> None:
    assert api.call("PATCH", "sources/gw", {"rules": RULES}).status == 200
    shouted = event("e1", subject="ACME", data={"tok": "1.200,5", "model": "m1"})
    answer = api.post(
        "events?results=all", [shouted, event("e2", data={"tokens": 1, "agent": "a bot"}), event("e3", subject="X")]
    )
    assert [(one["status"], one.get("reason")) for one in answer.json["results"]] == [
        ("accepted", None), ("quarantined", "rule"), ("quarantined", "unknown_customer"),
    ]  # fmt: skip
    usage = api.get("usage?customer=acme&meter=tokens&from=2026-01-01&to=2026-02-01&window=month&group_by=model").json
    assert [(one["group"], one["value"]) for one in usage["windows"]] == [({"model": "m1"}, "1200.5")]
    assert OriginalEvent.objects.get().data == '{"tok": "1.200,5", "model": "m1"}'
    (shown,) = api.get("events?customer=acme").json["results"]
    assert (shown["subject"], shown["data"]) == ("acme", {"model": "m1", "tokens": 1200.5})
    assert shown["received"] == {"type": "llm.request", "subject": "ACME", "data": {"tok": "1.200,5", "model": "m1"}}
    assert set(HeldRecord.objects.values_list("subject", "reason")) == {("acme", "rule"), ("x", "unknown_customer")}
    assert check(THEN).leaks == []


def test_a_change_counts_from_the_next_batch_on_and_a_repeat_is_a_duplicate(api: Api, company: Company) -> None:
    """The server is another process, and keeps what it labels by in memory."""
    assert api.post("events", [event("e1", 1000)]).json["accepted"] == 1
    assert "received" not in api.get("events?customer=acme").json["results"][0]
    convert = {"kind": "convert", "field": "data.tokens", "factor": "0.001"}
    api.call("PATCH", "sources/gw", {"rules": [convert]})
    assert api.post("events", [event("e1", 1000), event("e2", 1000)]).json["duplicates"] == 1
    api.call("PATCH", "sources/gw", {"rules": []})
    assert api.post("events", [event("e2", 1000), event("e3", 1000)]).json["duplicates"] == 1
    usage = api.get("usage?customer=acme&meter=tokens&from=2026-01-01&to=2026-02-01&window=month").json
    assert usage["windows"][0]["value"] == "2001"
    assert SourceRule.objects.get().is_active is False


def test_a_correction_is_said_in_the_words_of_the_source(api: Api, company: Company) -> None:
    api.call("PATCH", "sources/gw", {"rules": [{"kind": "convert", "field": "data.tokens", "factor": "0.001"}]})
    api.post("events", [event("e1", 5000)])
    amended = {
        "kind": "amend",
        "source": "gw",
        "id": "e1",
        "reason": "meter fault",
        "data": {"tokens": 7000, "model": "m1"},
    }
    assert api.post("corrections", amended).status == 201
    usage = api.get("usage?customer=acme&meter=tokens&from=2026-01-01&to=2026-02-01&window=month").json
    assert usage["windows"][0]["value"] == "7"


def test_what_could_not_work_is_refused_by_its_place(api: Api, company: Company) -> None:
    answer = api.call("PATCH", "sources/gw", {"rules": [RULES[1], {"kind": "number", "field": "data.tok"}]})
    assert answer.status == 400
    (fault,) = answer.json["errors"]
    assert (fault["path"], fault["code"]) == ("rules[1].field", "never_applies")
    assert not SourceRule.objects.exists()


def test_what_two_persons_discard_is_neither_shown_nor_taken_away(api: Api, company: Company) -> None:
    source = Source.objects.get(key="gw")
    terms = RuleTerms(kind="discard", when_subjects=("crawler",))
    keep_rule(source, terms, at=THEN, by=None, reason="", approval=Approval(7, "user:1", "user:2"))
    assert api.call("PATCH", "sources/gw", {"rules": RULES[1:2]}).json["rules"] == [{**RULES[1], "active": True}]
    assert SourceRule.objects.filter(kind="discard", is_active=True).exists()
    [fault] = api.call("PATCH", "sources/gw", {"rules": RULES[:1]}).json["errors"]
    assert (fault["path"], fault["code"]) == ("rules[0].kind", "widens_discard")
