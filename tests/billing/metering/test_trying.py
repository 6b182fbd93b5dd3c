"""Trying records against rules says what arriving would do, and stores nothing."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from billing.metering.labelling import Held, Label
from billing.metering.rule_kinds import RuleTerms
from billing.metering.rulebook import keep_rule, rules_of
from billing.metering.trying import Trial, UnableToTry, compare, try_records
from billing.models import Bucket, Event, HeldRecord, Receipt, Source
from contracts.models import Customer
from tests.billing.metering.conftest import AT, send
from tests.factories import body, event

pytestmark = pytest.mark.django_db(databases=["default", "quarantine"])

RULES = [
    RuleTerms(kind="trim", field="subject"),
    RuleTerms(kind="rename", field="data.tok", to="data.tokens"),
    RuleTerms(kind="number", field="data.tokens"),
]


@pytest.fixture
def gw(acme: Customer) -> Source:
    source = Source.objects.get()
    for terms in RULES:
        keep_rule(source, terms, at=AT, by=None, reason="")
    return source


def trial(source: Source, said: dict[str, Any], **options: Any) -> Trial:
    (only,) = try_records(source, msgspec.json.encode(said), at=AT, **options)
    return only


def test_a_record_is_followed_step_by_step(gw: Source, acme: Customer) -> None:
    found = trial(gw, event("e1", subject=" acme", data={"tok": "1,200", "model": "m1"}))
    assert [[(one.field, one.before, one.after) for one in step.changes] for step in found.steps] == [
        [("subject", '" acme"', '"acme"')],
        [("data.tok", '"1,200"', ""), ("data.tokens", "", '"1,200"')],
        [("data.tokens", '"1,200"', "1200")],
    ]
    assert found.is_accepted and found.customer == acme
    (added,) = found.additions
    assert (added.meter, added.value, added.group) == ("tokens", "1200", {"model": "m1"})


def test_what_would_be_held_says_why(gw: Source) -> None:
    found = trial(gw, event("e1", "many"))
    assert isinstance(found.decision, Held) and found.decision.reason.value == "invalid_value"
    assert [step.said for step in found.steps] == [
        "it is so already",
        "the field is not there",
        "it is not a number written like 1,234.5",
    ]
    assert not found.is_accepted and found.additions == [] and found.customer is None


def test_nothing_is_stored(gw: Source) -> None:
    trial(gw, event("e1", 5))
    trial(gw, event("e2", "many"))
    assert not any(model.objects.exists() for model in (Event, Bucket, Receipt, HeldRecord))


def test_an_id_that_was_accepted_is_told_apart(gw: Source) -> None:
    send(event("e1", 5))
    assert trial(gw, event("e1", 5)).known == "duplicate"
    assert trial(gw, event("e1", 6)).known == "conflict"
    assert trial(gw, event("e2", 5)).known == ""


def test_a_record_of_no_or_another_source_is_tried_as_one_of_this(gw: Source) -> None:
    assert trial(gw, event("e1", source=None)).notes == ["It names no source; tried as one of gw."]
    found = trial(gw, event("e1", source="other"))
    assert found.notes == ["It says it is of the source other; tried as one of gw."]
    assert isinstance(found.decision, Label)


def test_other_rules_can_be_tried_before_they_are_kept(gw: Source) -> None:
    held = RuleTerms(kind="hold", position=9)
    found = trial(gw, event("e1"), rules=[*rules_of(gw), held])
    assert isinstance(found.decision, Held) and found.decision.reason.value == "rule"
    assert found.steps[-1].is_stop
    assert isinstance(trial(gw, event("e1")).decision, Label)


def test_several_are_tried_at_once(gw: Source) -> None:
    found = try_records(gw, body(event("e1"), b'{"id": 5}', event("e2", subject="nobody")), at=AT)
    assert [one.is_accepted for one in found] == [True, False, False]
    assert isinstance(found[1].decision, Held) and found[1].decision.reason.value == "malformed"
    assert found[1].occurred_at is None


@pytest.mark.parametrize(
    ("pasted", "said"),
    [
        ("", "Paste a record first"),
        ("  \n", "Paste a record first"),
        ("[]", "The list is empty"),
        ("id: e1", "This is not JSON: invalid character (line 1, column 1)."),
        ('"e1"', "must be a JSON object"),
        ('{"id": "e1",\n "source": gw}', "line 2, column 12"),
        ('{"id": "e1"', "This is not JSON"),
        (json.dumps([{}] * 21), "21 records are too many"),
    ],
)
def test_what_is_no_record_is_told_where_and_why(gw: Source, pasted: str, said: str) -> None:
    with pytest.raises(UnableToTry) as unable:
        try_records(gw, pasted.encode(), at=AT)
    assert said in str(unable.value)


@pytest.mark.parametrize("pasted", [b"\xff\xfe", b'{"id": "\xff"}', b"[" * 500, b'{"id": 1e999999999999999999999}'])
def test_nothing_that_is_pasted_is_an_error_of_ours(gw: Source, pasted: bytes) -> None:
    try:
        found = try_records(gw, pasted, at=AT)
    except UnableToTry:
        return
    assert all(isinstance(one.decision, Held) for one in found)


def test_rules_are_compared_over_what_is_held(gw: Source) -> None:
    raws = [
        msgspec.json.encode(one) for one in (event("e1", subject="ACME"), event("e2"), event("e3", subject="NOBODY"))
    ]
    candidate = RuleTerms(kind="lower", field="subject", position=4)
    found = compare(gw, raws, [*rules_of(gw), candidate], at=AT)
    assert [isinstance(one.now.decision, Label) for one in found] == [False, True, False]
    assert [isinstance(one.then.decision, Label) for one in found] == [True, True, False]
    assert [one.is_changed for one in found] == [True, False, True]
    assert [one.then.subject for one in found] == ["acme", "acme", "nobody"]
