"""Proposing at the desk: from records, groups, a whole list or a condition, after a preview; and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from billing.models import HeldRecord, Proposal
from billing.review.alike import GroupKey
from billing.review.at_risk import refresh_estimates
from contracts.models import Customer
from revops.roles import AUDITOR, ENGINEERING, FINANCE, REVOPS
from tests.billing.review.conftest import AT, Company, held, proposed, send
from tests.billing.review.office import (
    MATCHING,
    PROPOSE,
    QUEUE,
    RECORDS,
    employ,
    errors,
    messages,
    page,
    proposal_page,
    text_of,
)
from tests.factories import event

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])


@pytest.fixture
def robin() -> Client:
    return employ("robin", REVOPS)


def assigning(customer: str = "acme", **asked: Any) -> dict[str, Any]:
    """What the form of an assignment sends."""
    pk = Customer.objects.get(key=customer).pk
    return {"kind": "assign_customer", "customer": pk, "reason": "Their new office", **asked}


def token(subject: str, reason: str = "unknown_customer") -> str:
    return GroupKey(reason, "gw", subject).token


def test_a_group_is_proposed_for_by_way_of_a_preview_that_stores_nothing(company: Company, robin: Client) -> None:
    # 100 and 150 tokens at 0.01 are 2.50 USD.
    send(event("a", 100, subject="acme-emea"), event("b", 150, subject="acme-emea"), event("c", subject="other"))
    refresh_estimates(AT)
    form = robin.post(PROPOSE, {"group": token("acme-emea")})
    assert "2 records: unknown customer, acme-emea" in text_of(form)
    sent = assigning(group=token("acme-emea"), keep_as_rule="on")
    shown = robin.post(PROPOSE, {**sent, "step": "preview"})
    assert "Assign to acme: what it would do" in text_of(shown)
    assert "Would be counted 2 about 2.50 USD more use to bill" in text_of(shown)
    assert not Proposal.objects.exists()
    done = robin.post(PROPOSE, {**sent, "step": "store", "back": "reason=unknown_customer"}, follow=True)
    assert done.redirect_chain == [(f"{QUEUE}?reason=unknown_customer", 302)]
    assert "Another person has to approve it" in messages(done)[0]
    proposal = Proposal.objects.get()
    assert (proposal.kind, proposal.argument, proposal.keep_as_rule) == ("assign_customer", {"customer": "acme"}, True)
    assert (proposal.reason, proposal.proposed_by_name) == ("Their new office", "robin")
    assert {row.record.event_id for row in proposal.records.all()} == {"a", "b"}
    assert HeldRecord.objects.filter(status="open").count() == 3


def test_a_suggestion_fills_in_the_form(company: Company, robin: Client) -> None:
    send(event("a", subject="acm"), event("b", type="llm.reqest"))
    asked = {"record": str(held("a").pk), "kind": "assign_customer", "suggested": "acme"}
    form = robin.get(PROPOSE, asked)
    assert form.context["form"].initial["customer"].key == "acme"
    again = robin.post(PROPOSE, {**asked, "reason": "Typo"})
    assert again.context["form"].initial["reason"] == "Typo"
    form = robin.get(PROPOSE, {"record": held("b").pk})
    assert (form.context["kind"], form.context["form"].initial["type"]) == ("map_type", "llm.request")


def test_many_groups_and_a_whole_list_are_proposed_for_at_once(company: Company, robin: Client) -> None:
    send(*(event(f"s{n}", subject=f"shop-{n}") for n in range(60)), event("x", subject="other"))
    two = robin.post(PROPOSE, assigning(group=[token("shop-1"), token("shop-2")], step="store"), follow=True)
    assert Proposal.objects.get().records.count() == 2
    assert two.status_code == 200
    listed = {"listed": "1", "listed_reason": "unknown_customer", "listed_text": "shop-"}
    form = robin.post(PROPOSE, listed)
    assert "58 records of 58 groups" in text_of(form)
    robin.post(PROPOSE, assigning(**listed, step="store"))
    assert Proposal.objects.latest("pk").records.count() == 58
    again = robin.post(PROPOSE, listed, follow=True)
    assert messages(again)[-1:] == ["No group of this list is free: a proposal waits for each."]


def test_ticked_records_of_the_list_are_proposed_for(company: Company, robin: Client) -> None:
    send(*(event(f"s{n}", subject=f"shop-{n}") for n in range(3)))
    ids = [held("s0").pk, held("s2").pk]
    form = robin.post(RECORDS, {"action": "propose", "_selected_action": ids})
    assert ("record", f"{ids[0]},{ids[1]}") in form.context["fields"]
    robin.post(PROPOSE, {**dict(form.context["fields"]), "kind": "discard", "reason": "Tests", "step": "store"})
    assert Proposal.objects.get().records.count() == 2


def test_crawlers_are_chosen_by_what_they_say(company: Company, robin: Client) -> None:
    agents = ["Googlebot/2.1", "Mozilla", "bingBOT"]
    send(*(event(f"c{n}", subject=f"ip-{n}", data={"tokens": 1, "agent": agent}) for n, agent in enumerate(agents)))
    condition: dict[str, str] = {"source": "gw", "field": "data.agent", "values": "*bot*", "ignores_case": "on"}
    found = robin.get(MATCHING, condition)
    assert "2 held records with source gw, data.agent *bot*" in text_of(found)
    assert "data.agent" in found.context["known_fields"]
    form = robin.post(PROPOSE, {"match": found.context["match"], "kind": "discard"})
    assert form.context["kind"] == "discard"
    sent = {"match": found.context["match"], "kind": "discard", "reason": "Crawlers", "keep_as_rule": "on"}
    assert "Would be discarded 2" in text_of(robin.post(PROPOSE, {**sent, "step": "preview"}))
    robin.post(PROPOSE, {**sent, "step": "store"})
    proposal = Proposal.objects.get()
    assert proposal.argument["match"]["values"] == ["*bot*"]
    assert {row.record.event_id for row in proposal.records.all()} == {"c0", "c2"}


def test_a_condition_says_what_is_missing(company: Company, robin: Client) -> None:
    send(event("a", subject="nobody"))

    def said(**asked: str) -> list[str]:
        return errors(robin.get(MATCHING, {"source": "gw", **asked}))

    assert said() == ["Say what they have in common: a field and its values, a type, or subjects."]
    assert said(field="data.agent") == ["A field and its values belong together: say both, or neither."]
    assert len(said(field="agent", values="x")) == 1
    assert said(source="elsewhere")[0].startswith("Select a valid choice")
    assert "Nothing that is held says this" in page(robin, MATCHING, source="gw", field="data.agent", values="x")


def fix(paths: dict[str, str], *away: str, **asked: Any) -> dict[str, Any]:
    """What the form of a fix sends: fields with their values, and those that are to go."""
    names = [*paths, *away]
    return {
        "kind": "fix_value",
        "reason": "The counter was broken",
        "fix_path": names,
        "fix_value": [*paths.values(), *("" for _ in away)],
        "fix_away": [str(names.index(name)) for name in away],
        **asked,
    }


def test_values_are_fixed_as_numbers_and_texts(company: Company, robin: Client) -> None:
    send(event("a", "n/a", data={"tokens": "n/a", "model": "m1", "note": "x"}))
    one = held("a").pk
    form = robin.get(PROPOSE, {"record": one})
    assert form.context["kind"] == "fix_value"
    assert [(row.path, row.came) for row in form.context["form"].rows][-5:-2] == [
        ("data.tokens", "n/a"), ("data.model", "m1"), ("data.note", "x"),
    ]  # fmt: skip
    sent = fix({"data.tokens": "12.5", "data.model": '"7"', "data.new": "true"}, "data.note", record=one)
    shown = robin.post(PROPOSE, {**sent, "step": "preview"})
    assert "Would be counted 1" in text_of(shown)
    robin.post(PROPOSE, {**sent, "step": "store"})
    assert Proposal.objects.get().argument == {
        "set": {"data.tokens": "12.5", "data.model": "7", "data.new": True, "data.note": None}
    }


def test_what_cannot_be_a_fix_is_said_on_the_form(company: Company, robin: Client) -> None:
    send(event("a", "n/a"), event("b", "n/a"), b'"ping"')
    one, two, ping = held("a").pk, held("b").pk, HeldRecord.objects.get(reason="malformed").pk

    def said(**sent: Any) -> list[str]:
        return errors(robin.post(PROPOSE, {**sent, "step": "preview"}))

    assert said(**fix({}, record=one)) == ["Write at least one value."]
    assert said(**fix({"tokens": "1"}, record=one))[0].startswith("'tokens' is no field")
    assert "This is not JSON" in said(**fix({}, record=ping, event="{"))[0]
    assert said(**fix({}, record=ping, event="[]")) == [
        "An event is an object: it begins with { and ends with }.", "Write at least one value.",
    ] or said(**fix({}, record=ping, event="[]"))[0].startswith("An event is an object")  # fmt: skip
    both = fix({"id": "new"}, record=[one, two], step="store")
    assert errors(robin.post(PROPOSE, both)) == ["A whole event, or an id, fixes one record; choose a single one."]
    assert not Proposal.objects.exists()


def test_a_malformed_record_is_written_anew(company: Company, robin: Client) -> None:
    send(b'"ping"')
    whole = '{"specversion":"1.0","id":"p","source":"gw","type":"llm.request","subject":"acme","data":{"tokens":3}}'
    ping = HeldRecord.objects.get().pk
    sent = fix({}, record=ping, event=whole)
    assert "Would be counted 1" in text_of(robin.post(PROPOSE, {**sent, "step": "preview"}))
    robin.post(PROPOSE, {**sent, "step": "store"})
    assert Proposal.objects.get().argument["event"]["data"] == {"tokens": 3}


@pytest.mark.parametrize("value", ['"\\u0000"', '"\\ud800"', "1e400", "9" * 5000, "[" * 5000, "NaN", "a\0b", "\ud800"])
def test_a_value_that_no_event_can_have_is_never_an_error_page(company: Company, robin: Client, value: str) -> None:
    send(event("a", "n/a"))
    one = str(held("a").pk)
    for step in ("preview", "store"):
        sent = fix({"data.tokens": value}, record=one, step=step)
        encoded = {name: _bytes(text) if name == "fix_value" else text for name, text in sent.items()}
        answer = robin.post(PROPOSE, encoded)
        assert answer.status_code in (200, 302)


def _bytes(texts: list[str]) -> list[bytes]:
    return [text.encode("utf-8", "surrogatepass") for text in texts]


def test_what_would_fail_is_said_before_it_is_proposed(company: Company, robin: Client) -> None:
    Customer.objects.create(key="free", name="No contract")
    send(event("a", 100, subject="somebody"))
    shown = robin.post(PROPOSE, assigning("free", record=held("a").pk, step="preview"))
    assert "Would be counted 0" in text_of(shown)
    assert "Would be held again 1 No active contract" in text_of(shown)


def test_the_kinds_that_do_not_fit_are_not_offered(company: Company, robin: Client) -> None:
    send(event("a", 1), b'"ping"')
    send(event("a", 2))
    kinds = [kind for kind, _ in robin.get(PROPOSE, {"record": held("a").pk}).context["kinds"]]
    assert kinds == ["replace", "fix_value", "discard"]
    ping = HeldRecord.objects.get(reason="malformed").pk
    assert [kind for kind, _ in robin.get(PROPOSE, {"record": ping}).context["kinds"]] == ["fix_value", "discard"]
    both = robin.get(PROPOSE, {"record": [held("a").pk, ping]})
    assert [kind for kind, _ in both.context["kinds"]] == ["fix_value", "discard"]


def test_a_reason_is_asked_for_and_a_second_proposal_refused(company: Company, robin: Client) -> None:
    send(event("a", subject="somebody"))
    one = held("a").pk
    assert errors(robin.post(PROPOSE, assigning(record=one, reason=" ", step="store"))) == ["This field is required."]
    proposed("discard", "a")
    gone = robin.post(PROPOSE, assigning(record=one, step="store"), follow=True)
    assert "a proposal waits for it already" in messages(gone)[0]


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"group": "nonsense"},
        {"group": token("a\0b")},
        {"record": "1;2"},
        {"record": "-1"},
        {"record": "7"},
        {"match": "{"},
        {"match": '{"source": "gw"}'},
        {"match": '{"source": "gw", "field": "agent", "values": ["x"]}'},
        {"match": '{"source": "g\\u0000", "type": "x"}'},
        {"listed": "1"},
        {"listed": "1", "listed_text": "a\0b"},
    ],
)
def test_a_choice_that_cannot_be_read_leads_back_to_the_queue(
    company: Company, robin: Client, asked: dict[str, str]
) -> None:
    answer = robin.post(PROPOSE, asked, follow=True)
    assert answer.redirect_chain == [(QUEUE, 302)]
    assert len(messages(answer)) == 1


def test_who_may_propose(company: Company) -> None:
    send(event("a", subject="somebody"))
    one = held("a").pk
    assert employ("erin", ENGINEERING).get(PROPOSE, {"record": one}).status_code == 200
    for name, role in (("fiona", FINANCE), ("arthur", AUDITOR)):
        client = employ(name, role)
        assert client.get(PROPOSE, {"record": one}).status_code == 403
        assert client.post(PROPOSE, assigning(record=one, step="store")).status_code == 403
        assert client.get(MATCHING).status_code == 403
        client.post(RECORDS, {"action": "propose", "_selected_action": [one]})
    assert not Proposal.objects.exists()


def test_one_record_leads_to_the_page_of_its_proposal(company: Company, robin: Client) -> None:
    send(event("a", subject="somebody"))
    done = robin.post(PROPOSE, assigning(record=held("a").pk, step="store"), follow=True)
    assert done.redirect_chain == [(proposal_page(Proposal.objects.get().pk), 302)]
    assert "You proposed this, so another person has to approve it" in text_of(done)


def test_an_address_stores_nothing(company: Company, robin: Client) -> None:
    send(event("a", 1, subject="stranger"))
    asked = {"record": held("a").pk, "kind": "discard", "reason": "x", "step": "store"}
    assert "what it would do" in text_of(robin.get(PROPOSE, asked))
    assert not Proposal.objects.exists()


def test_numbers_without_an_end_are_refused_on_the_form(company: Company, robin: Client) -> None:
    send(event("a", "n/a"))
    one = held("a").pk
    for value in ("1e999999999", "1e-999999999"):
        said = errors(robin.post(PROPOSE, {**fix({"data.tokens": value}, record=one), "step": "store"}))
        assert said == ["A number has to have an end, and at most 1,000 digits."]
    said = errors(robin.post(PROPOSE, {**fix({}, record=one, event='{"data": NaN}'), "step": "store"}))
    assert said[0] == "This is not JSON: NaN is no number."
    assert not Proposal.objects.exists()
