"""Approving at the desk: two persons, the confirm page, what comes of it in usage and money; replays; rules kept."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from billing.invoicing import bill_run
from billing.invoicing.preview import previews
from billing.metering.usage import windows
from billing.models import HeldRecord, Proposal, SourceRule
from billing.review.at_risk import refresh_estimates
from catalog.models import Meter
from catalog.periods import Period
from contracts.models import Customer, CustomerAlias
from revops.roles import AUDITOR, ENGINEERING, FINANCE, REVOPS
from tests.billing.review.conftest import AT, Company, held, proposed, resolved, send, signed
from tests.billing.review.office import (
    PROPOSALS,
    PROPOSE,
    QUEUE,
    REPLAY,
    RULES,
    decide,
    employ,
    messages,
    page,
    proposal_page,
    record_page,
    text_of,
)
from tests.factories import event

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])

JANUARY = Period(dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.datetime(2026, 2, 1, tzinfo=dt.UTC))


@pytest.fixture
def robin() -> Client:
    return employ("robin", REVOPS)


@pytest.fixture
def fiona() -> Client:
    return employ("fiona", FINANCE)


def propose_at_desk(client: Client, *ids: str, **asked: Any) -> Proposal:
    records = [held(id).pk for id in ids]
    sent = {"kind": "assign_customer", "reason": "Their new office", "step": "store", "record": records, **asked}
    if sent["kind"] == "assign_customer":
        sent.setdefault("customer", Customer.objects.get(key="acme").pk)
    client.post(PROPOSE, sent)
    return Proposal.objects.latest("pk")


def tokens(customer: Customer) -> Decimal:
    """What a customer used in January."""
    found = windows(customer.pk, Meter.objects.get(key="tokens"), JANUARY, "month", dt.UTC)
    return Decimal(sum(Decimal(str(window.value)) for window in found if window.value is not None))


def billed_for_tokens(customer: Customer) -> list[str]:
    """The usage lines of the next invoice as it stands."""
    return [
        line["amount"] for preview in previews(customer, AT) for line in preview["lines"] if line["price"] == "tokens"
    ]


def test_two_persons_let_a_record_in_and_the_bill_changes(company: Company, robin: Client, fiona: Client) -> None:
    acme = company.customer
    send(event("e1", 100), event("h1", 250, subject="acme-emea"))
    refresh_estimates(AT)
    # 100 tokens at 0.01
    assert (tokens(acme), billed_for_tokens(acme)) == (Decimal(100), ["1.00"])
    proposal = propose_at_desk(robin, "h1")

    own = decide(robin, "approve_proposal", proposal.pk, confirmed="yes")
    assert "cases" not in own.context
    assert Proposal.objects.get().is_undecided
    shown = decide(fiona, "approve_proposal", proposal.pk)
    changes = {one.subject: (one.before, one.after) for one in shown.context["cases"][0]["changes"]}
    assert changes["Records"] == ("1 held", "1 counted")
    # 250 tokens at 0.01
    assert changes["Money, about"] == ("not billed", "2.50 USD more use to bill, before tax")
    assert Proposal.objects.get().is_undecided
    done = decide(fiona, "approve_proposal", proposal.pk, confirmed="yes", note="Checked with Acme")
    assert messages(done) == [f"Proposal {proposal.pk} is approved: 1 counted."]
    assert done.redirect_chain == [(proposal_page(proposal.pk), 302)]
    assert "Checked with Acme" in text_of(done)
    # 100 + 250 tokens at 0.01
    assert (tokens(acme), billed_for_tokens(acme)) == (Decimal(350), ["3.50"])
    assert held("h1").status == "released"


def test_who_proposed_cannot_approve_even_with_the_right_to(company: Company) -> None:
    """A user with both rights still needs another person."""
    both = employ("both", REVOPS)
    User.objects.get(username="both").groups.add(Group.objects.get(name=FINANCE))
    send(event("h1", subject="acme-emea"))
    proposal = propose_at_desk(both, "h1")
    shown = both.get(proposal_page(proposal.pk))
    assert [deed.name for deed in shown.context["deeds"]] == ["withdraw_proposal"]
    assert "You proposed this, so another person has to approve it" in text_of(shown)
    refused = decide(both, "approve_proposal", proposal.pk, confirmed="yes")
    assert "Two persons decide" in messages(refused)[0]
    refused = decide(both, "reject_proposal", proposal.pk, confirmed="yes", note="No")
    assert "withdraw it, or let somebody else decide" in messages(refused)[0]
    assert Proposal.objects.get().is_undecided
    assert HeldRecord.objects.get().status == "open"


def test_a_rejection_says_why_and_leaves_the_records_held(company: Company, robin: Client, fiona: Client) -> None:
    send(event("h1", subject="acme-emea"))
    proposal = propose_at_desk(robin, "h1")
    asked = decide(fiona, "reject_proposal", proposal.pk, confirmed="yes", note="")
    assert asked.context["form"].errors["note"] == ["This field is required."]
    done = decide(fiona, "reject_proposal", proposal.pk, confirmed="yes", note="That is Globex")
    assert messages(done) == [f"Proposal {proposal.pk} is rejected; its records stay held."]
    assert "That is Globex" in page(robin, record_page(held("h1").pk)) or "That is Globex" in text_of(done)
    assert held("h1").status == "open"
    again = decide(fiona, "approve_proposal", proposal.pk, confirmed="yes")
    assert "fiona has rejected it" in messages(again)[0]
    assert propose_at_desk(robin, "h1").pk != proposal.pk


def test_only_the_proposer_withdraws(company: Company, robin: Client) -> None:
    send(event("h1", subject="acme-emea"))
    proposal = propose_at_desk(robin, "h1")
    refused = decide(employ("erin", ENGINEERING), "withdraw_proposal", proposal.pk, confirmed="yes")
    assert "Only who made a proposal withdraws it" in messages(refused)[0]
    done = decide(robin, "withdraw_proposal", proposal.pk, confirmed="yes")
    assert messages(done)[-1:] == [f"Proposal {proposal.pk} is withdrawn; its records stay held."]
    assert "Withdrawn by robin" in text_of(done)


def test_several_proposals_are_approved_at_once(company: Company, robin: Client, fiona: Client) -> None:
    send(event("h1", 10, subject="acme-emea"), event("h2", 20, subject="acme-apac"))
    ids = [propose_at_desk(robin, id).pk for id in ("h1", "h2")]
    assert len(decide(fiona, "approve_proposal", *ids).context["cases"]) == 2
    done = decide(fiona, "approve_proposal", *ids, confirmed="yes")
    assert len(messages(done)) == 2
    assert tokens(company.customer) == 30


def test_what_cannot_be_counted_is_held_again_and_said(company: Company, robin: Client, fiona: Client) -> None:
    free = Customer.objects.create(key="free", name="No contract")
    send(event("h1", subject="somebody"), event("h2", subject="somebody"))
    proposal = propose_at_desk(robin, "h1", "h2", customer=free.pk)
    done = decide(fiona, "approve_proposal", proposal.pk, confirmed="yes")
    assert messages(done) == [
        f"Proposal {proposal.pk} is approved: 2 held again (no active contract 2)."
    ]  # fmt: skip
    label, count, address = done.context["failures_by_reason"][0]
    assert (label, count) == ("No active contract", 2)
    assert {row.record.event_id for row in robin.get(address).context["cl"].result_list} == {"h1", "h2"}
    shown = page(robin, record_page(held("h1").pk))
    assert "At first it was held for “unknown customer”" in shown


def test_what_lies_in_a_closed_period_is_said_to_become_an_adjustment(
    company: Company, robin: Client, fiona: Client
) -> None:
    send(event("e1", 100), event("h1", 250, subject="acme-emea"))
    bill_run.run(dt.datetime(2026, 2, 2, tzinfo=dt.UTC))
    proposal = propose_at_desk(robin, "h1")
    shown = decide(fiona, "approve_proposal", proposal.pk)
    changes = {one.subject: one.after for one in shown.context["cases"][0]["changes"]}
    assert changes["Of periods closed already"] == "1, billed as adjustments"
    assert "Of these in closed periods 1" in page(fiona, proposal_page(proposal.pk))


def test_a_release_that_was_cut_short_is_gone_on_with(company: Company, fiona: Client) -> None:
    send(event("h1", 250, subject="acme-emea"))
    proposal = proposed("assign_customer", "h1", customer="acme")
    # As a kill right after the decision leaves it.
    Proposal.objects.filter(pk=proposal.pk).update(
        decision="approved", decided_by="user:0", decided_by_name="Fay", decided_at=AT
    )
    shown = page(fiona, proposal_page(proposal.pk))
    assert "The release was cut short" in shown
    assert "1 not finished" in page(fiona, QUEUE)
    done = decide(fiona, "continue_release", proposal.pk, confirmed="yes")
    assert messages(done) == [f"Proposal {proposal.pk} is approved: 1 counted."]
    assert tokens(company.customer) == 250


def test_what_is_held_is_tried_again_after_the_cause_has_gone(company: Company, robin: Client) -> None:
    later = Customer.objects.create(key="later", name="Later Ltd")
    send(event("h1", 70, subject="later"), event("h2", subject="nobody"))
    signed("C-2", later, company)
    assert "To be tried 2" in page(robin, REPLAY)
    done = robin.post(REPLAY, follow=True)
    assert messages(done) == ["2 tried: 1 counted, 1 are held still."]
    assert tokens(later) == 70
    assert held("h1").status == "superseded"


def test_rules_that_were_kept_say_what_they_caught_and_can_be_switched_off(company: Company, robin: Client) -> None:
    send(event("b1", data={"tokens": 1, "agent": "Googlebot"}, subject="ip-1"), event("a1", subject="acme-emea"))
    match = {"source": "gw", "field": "data.agent", "values": ["*bot*"], "ignores_case": True}
    resolved("discard", "b1", keep_as_rule=True, match=match)
    resolved("assign_customer", "a1", keep_as_rule=True, customer="acme")
    send(event("b2", data={"tokens": 1, "agent": "bingbot"}, subject="ip-2"))
    rule = SourceRule.objects.get()
    shown = page(robin, RULES)
    assert "1 turned away" in shown
    assert "Rita, approved by API key Finn" in shown
    assert "the subject acme-emea of acme" in shown
    assert CustomerAlias.objects.get().subject == "acme-emea"
    assert "It was turned away when it arrived, by the rule kept from proposal" in page(
        robin, record_page(held("b2").pk)
    )
    chosen = {"action": "switch_rule_off", "_selected_action": rule.pk}
    assert "applied to what arrives" in text_of(robin.post(RULES, chosen))
    done = robin.post(RULES, {**chosen, "confirmed": "yes", "reason": "We sell to crawlers now"}, follow=True)
    assert messages(done) == [f"Rule {rule.pk} is off."]
    assert not SourceRule.objects.get().is_active
    assert employ("fiona", FINANCE).post(RULES, {**chosen, "confirmed": "yes", "reason": "x"}).status_code == 403


@pytest.mark.parametrize("role", [AUDITOR, FINANCE, REVOPS, ENGINEERING])
def test_each_door_asks_for_its_own_right(company: Company, role: str) -> None:
    send(event("h1", subject="acme-emea"), event("h2", subject="acme-emea"))
    proposal = proposed("assign_customer", "h1", customer="acme")
    somebody = employ("somebody", role)
    shown = {deed.name for deed in somebody.get(proposal_page(proposal.pk)).context["deeds"]}
    approves, replays = role == FINANCE, role in (FINANCE, REVOPS)
    assert shown == ({"approve_proposal", "reject_proposal"} if approves else set())
    assert (somebody.get(REPLAY).status_code == 200) is replays
    assert (somebody.post(REPLAY).status_code == 302) is replays
    for deed in ("approve_proposal", "reject_proposal"):
        decide(somebody, deed, proposal.pk, confirmed="yes", note="x")
    assert Proposal.objects.get().is_undecided is not approves


def test_proposals_that_wait_come_first_and_cost_the_same_queries(company: Company, fiona: Client) -> None:
    def make(numbers: range) -> None:
        send(*(event(f"h{n}", subject=f"s{n}") for n in numbers))
        for n in numbers:
            proposed("discard", f"h{n}")

    def questions() -> int:
        with (
            CaptureQueriesContext(connections["default"]) as main,
            CaptureQueriesContext(connections["quarantine"]) as side,
        ):
            assert fiona.get(PROPOSALS).status_code == 200
        return len(main) + len(side)

    make(range(3))
    decide(fiona, "approve_proposal", Proposal.objects.latest("pk").pk, confirmed="yes")
    fiona.get(PROPOSALS)
    few = questions()
    make(range(3, 30))
    assert questions() == few
    rows = fiona.get(PROPOSALS).context["cl"].result_list
    assert [row.decision for row in rows][-1] == "approved"
    waiting = fiona.get(PROPOSALS, {"state": "waiting"}).context["cl"].result_list
    assert len(waiting) == 29
    csv = b"".join(fiona.get(f"{PROPOSALS}export/", {"state": "approved"}))
    assert b"1 discarded" in csv
