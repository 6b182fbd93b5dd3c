"""Resolutions kept as rules: what later records meet, what cannot be kept, and replays of what is held."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from billing.metering.rule_kinds import RuleTerms
from billing.metering.rulebook import keep_rule
from billing.models import Event, HeldRecord, Proposal, Receipt, Sighting, Source, SourceRule
from billing.review.alike import group_of
from billing.review.choosing import Groups, Match, Matching, Records
from billing.review.preview import catches
from billing.review.proposals import UnableToDecide, UnableToPropose, approve, propose, reject, withdraw
from billing.review.replay import replay
from contracts.models import Customer, CustomerAlias
from revops.reconciliation.books import check
from tests.billing.review.conftest import AT, FINN, RITA, Company, held, proposed, resolved, send, signed
from tests.factories import event

pytestmark = [pytest.mark.sql, pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])]

LATER = AT + dt.timedelta(hours=1)


def statuses(*events: Any, at: dt.datetime = LATER) -> list[str]:
    return [one.reason or one.status for one in send(*events, at=at).results]


def test_an_assigned_subject_is_the_customers_from_then_on(company: Company) -> None:
    send(event("e1", 1, subject="acme-emea"))
    proposal = proposed("assign_customer", "e1", keep_as_rule=True, customer="acme")
    send(event("e2", 2, subject="acme-emea"))
    done = approve(proposal, by=FINN, at=LATER)
    # What came between proposal and approval is alike, and comes in with it.
    assert (done.released, done.proposal.rule) == (2, "the subject acme-emea of acme")
    assert statuses(event("e3", 3, subject="acme-emea")) == ["accepted"]
    alias = CustomerAlias.objects.get(subject="acme-emea")
    assert alias.customer == company.customer
    assert alias.history.get().history_change_reason.startswith(f"Proposal {proposal.pk}: Seen by Rita")


def test_without_a_rule_what_arrives_after_the_proposal_stays_held(company: Company) -> None:
    send(event("e1", 1, subject="acme-emea"))
    chosen = Groups((group_of(held("e1")),))
    proposal = propose(chosen, "assign_customer", {"customer": "acme"}, reason="x", by=RITA, at=AT)
    send(event("e2", 2, subject="acme-emea"))
    assert approve(proposal, by=FINN, at=LATER).released == 1
    assert held("e2").status == "open"
    assert not CustomerAlias.objects.exists()


def test_a_mapped_type_becomes_a_rule_of_the_source(company: Company) -> None:
    send(event("e1", 1, type="chat"))
    done = resolved("map_type", "e1", keep_as_rule=True, type="llm.request")
    rule = SourceRule.objects.get()
    assert done.proposal.rule == f"rule {rule.pk} of gw"
    assert (rule.kind, rule.value, rule.to, rule.proposal) == ("map_type", "chat", "llm.request", done.proposal.pk)
    assert (rule.proposed_by, rule.approved_by) == ("key:1", "key:2")
    assert statuses(event("e2", 2, type="chat")) == ["accepted"]


def test_a_fix_fills_what_is_absent_and_replaces_only_the_wrong_texts_that_were_seen(company: Company) -> None:
    send(event("e1", "n/a"), event("e2", None), event("good", 70))
    assert resolved("fix_value", "e1", "e2", keep_as_rule=True, set={"data.tokens": 5}).released == 2
    assert sorted(SourceRule.objects.values_list("kind", flat=True)) == ["default", "set"]
    assert statuses(event("e3", "n/a"), event("e4", None), event("e5", 80), event("e6", "many")) == [
        "accepted", "accepted", "accepted", "invalid_value",
    ]  # fmt: skip
    assert Event.objects.get(event_id="e5").data == '{"tokens":80}'
    assert Event.objects.get(event_id="e3").data in ('{"tokens":5}', '{"tokens":"5"}')


def test_a_discard_rule_turns_away_in_the_name_of_two_persons(company: Company) -> None:
    send(event("e1", 1, subject="bot-1"), event("ok", 1))
    done = resolved("discard", "e1", keep_as_rule=True)
    assert (done.discarded, done.released) == (1, 0)
    assert statuses(event("e2", 1, subject="bot-1"), event("ok", 1)) == ["unknown_customer", "duplicate"]
    turned_away = held("e2")
    assert (turned_away.status, turned_away.discarded_by, turned_away.resolved_at) == (
        "discarded", done.proposal, LATER,
    )  # fmt: skip
    # A known customer's records too, where the rule says so.
    signed("B-1", Customer.objects.create(key="bot-1", name="Bot"), company)
    assert statuses(event("e3", 1, subject="bot-1")) == ["rule"]
    assert held("e3").status == "discarded"
    assert statuses(event("e2", 1, subject="bot-1")) == ["rule"]
    report = check(LATER)
    assert report.leaks == []
    assert report.checks[1].figures["sightings_of"]["discarded"] == Sighting.objects.count() == 4


def test_crawlers_are_found_by_a_property_and_turned_away(company: Company) -> None:
    bot, person = {"tokens": 1, "agent": "Googlebot/2.1"}, {"tokens": 1, "agent": "Firefox"}
    send(event("b1", subject="1.2.3.4", data=bot), event("p1", subject="1.2.3.5", data=person))
    match = Match("gw", field="data.agent", values=("*bot*",), ignores_case=True)
    assert catches(match).records == 1
    argument = {"match": {"source": "gw", "field": "data.agent", "values": ["*bot*"], "ignores_case": True}}
    proposal = propose(Matching(match), "discard", argument, reason="Crawlers", by=RITA, at=AT, keep_as_rule=True)
    assert approve(proposal, by=FINN, at=AT).discarded == 1
    send(event("b2", subject="1.2.3.9", data=bot), event("p2", subject="1.2.3.9", data=person))
    assert (held("b2").status, held("p2").status) == ("discarded", "open")


def test_a_replay_lets_in_what_its_sender_could_repeat_and_discards_what_a_rule_catches(company: Company) -> None:
    send(event("a", 1, subject="later"), event("b", 1, subject="bot-1"), event("c", "x"), event("d", 1, type="chat"))
    source = Source.objects.get()
    keep_rule(source, RuleTerms(kind="map_type", value="chat", to="llm.request"), at=AT, by=None, reason="x")
    signed("L-1", Customer.objects.create(key="later", name="Later"), company)
    send(event("other", 1, subject="bot-1"))
    proposal = proposed("discard", "other", keep_as_rule=True)
    withheld = proposed("discard", "c")
    HeldRecord.objects.filter(event_id="b")
    assert approve(proposal, by=FINN, at=AT).discarded == 2  # b is alike

    done = replay(at=LATER)
    assert (done.tried, done.accepted, done.duplicates, done.discarded, done.held) == (2, 2, 0, 0, 0)
    assert (held("a").status, held("d").status, held("c").status) == ("superseded", "superseded", "open")
    assert Receipt.objects.get(door="replay").accepted == 2
    assert replay(at=LATER).tried == 0
    reject(withheld, by=FINN, at=LATER)
    assert replay(at=LATER).held == 1
    assert check(LATER).leaks == []


def test_a_replay_discards_what_a_rule_catches_by_now(company: Company) -> None:
    send(event("a", subject="x", data={"tokens": 1, "agent": "bot"}), event("b", subject="y", data={"tokens": 1}))
    match = {"source": "gw", "field": "data.agent", "values": ["bot"]}
    proposal = propose(
        Records((held("b").pk,)), "discard", {"match": match}, reason="x", by=RITA, at=AT, keep_as_rule=True
    )
    send(event("c", 1, subject="z"))
    approve(proposal, by=FINN, at=AT)
    assert (held("a").status, held("b").status) == ("discarded", "discarded")
    send(event("a2", subject="x", data={"tokens": 1, "agent": "bot"}))
    assert held("a2").discarded_by == proposal


def test_a_replay_keeps_a_sender_to_its_source_and_a_release_does_not(company: Company) -> None:
    Source.objects.create(key="other")
    send(event("e1", 1), bound_source="other")
    assert (held("e1").current_reason, held("e1").bound_source) == ("unknown_source", "other")
    assert replay(at=LATER).held == 1
    assert Event.objects.count() == 0
    assert resolved("release", "e1").released == 1


def test_a_rule_that_holds_is_passed_by_a_release_and_not_by_a_replay(company: Company) -> None:
    terms = RuleTerms(kind="hold", when_field="data.tokens", when_values=("666",))
    keep_rule(Source.objects.get(), terms, at=AT, by=None, reason="x")
    send(event("e1", 666))
    assert held("e1").current_reason == "rule"
    assert replay(at=LATER).held == 1
    assert resolved("release", "e1").released == 1


@pytest.mark.parametrize(
    ("kind", "argument", "sent", "code"),
    [
        ("release", {}, event("e1", 1, subject="x"), "no_rule"),
        ("fix_value", {"set": {"id": "new"}}, event("e1", 1, subject="x"), "no_rule"),
        ("discard", {}, event("e1", "word"), "no_rule"),
        ("discard", {"match": {"source": "gw"}}, event("e1", 1, subject="x"), "no_rule"),
        ("discard", {"match": {"source": "nix", "type": "y"}}, event("e1", 1, subject="x"), "no_rule"),
        ("map_type", {"type": "llm.request"}, event("e1", 1, source="nix"), "no_rule"),
        ("assign_customer", {"customer": "acme"}, event("e1", 1, subject="globex"), "no_rule"),
    ],
)
def test_what_cannot_be_kept_as_a_rule_is_said_before(
    company: Company, kind: str, argument: dict[str, Any], sent: dict[str, Any], code: str
) -> None:
    Customer.objects.create(key="globex", name="Globex")
    send(sent)
    chosen = Records((held("e1").pk,))
    with pytest.raises(UnableToPropose) as refused:
        propose(chosen, kind, argument, reason="x", by=RITA, at=AT, keep_as_rule=True)
    assert refused.value.code == code
    assert not Proposal.objects.exists()


def test_a_subject_given_away_before_the_approval_stops_it(company: Company) -> None:
    send(event("e1", 1, subject="acme-emea"))
    proposal = proposed("assign_customer", "e1", keep_as_rule=True, customer="acme")
    globex = Customer.objects.create(key="globex", name="Globex")
    CustomerAlias.objects.create(customer=globex, subject="acme-emea")
    with pytest.raises(UnableToDecide, match="globex's"):
        approve(proposal, by=FINN, at=LATER)
    assert Proposal.objects.get().is_undecided


def test_who_may_decide_what(company: Company) -> None:
    send(event("e1", 1, subject="x"))
    proposal = proposed("discard", "e1")
    for decide, by, code in ((approve, RITA, "own_proposal"), (reject, RITA, "own_proposal"),
                             (withdraw, FINN, "not_yours")):  # fmt: skip
        with pytest.raises(UnableToDecide) as refused:
            decide(proposal, by=by, at=AT)
        assert refused.value.code == code
    withdraw(proposal, by=RITA, at=AT)
    with pytest.raises(UnableToDecide) as refused:
        approve(proposal, by=FINN, at=AT)
    assert refused.value.code == "decided"
    assert proposed("discard", "e1").is_undecided


@pytest.mark.parametrize("batch", [1, 2000])
def test_a_replay_leaves_what_contradicts_a_record_that_came_in(
    company: Company, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr("billing.review.replay.BATCH", batch)
    send(event("e1", 1, subject="later"), event("e1", 2, subject="later"))
    signed("L-1", Customer.objects.create(key="later", name="Later"), company)
    done = replay(at=LATER)
    assert (done.tried, done.accepted, done.held) == (2, 1, 1)
    found = HeldRecord.objects.order_by("pk").values_list("status", "current_reason")
    assert list(found) == [("superseded", "unknown_customer"), ("open", "conflict")]
    assert Event.objects.get().data == '{"tokens":1}'
