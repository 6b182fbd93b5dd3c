"""Held records that two persons let in: where they land, what becomes of those that cannot, and nothing twice."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from billing.models import Event, HeldStatus, Outcome, Receipt, Register
from billing.review.proposals import approve
from billing.review.release import release, release_approved
from contracts.models import Customer
from tests.billing.review.conftest import AT, FINN, Company, held, proposed, resolved, send, signed
from tests.factories import event

pytestmark = [pytest.mark.sql, pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])]

LATER = AT + dt.timedelta(days=3)


def test_an_assigned_record_counts_for_the_customer_it_was_assigned_to(company: Company) -> None:
    send(event("e1", 40, subject="acme-emea"))
    done = resolved("assign_customer", "e1", customer="acme", at=LATER)

    assert (done.released, done.failed, done.waiting) == (1, 0, 0)
    stored = Event.objects.get()
    assert (stored.customer_id, stored.subject, stored.data) == (company.customer.pk, "acme-emea", '{"tokens":40}')
    assert (stored.occurred_at, stored.received_at) == (dt.datetime(2026, 1, 20, 10, tzinfo=dt.UTC), LATER)
    receipt = Receipt.objects.get(pk=stored.receipt)
    assert (receipt.door, receipt.received, receipt.accepted, receipt.quarantined) == ("release", 1, 1, 0)
    record = held("e1")
    assert (record.status, record.resolved_at) == (HeldStatus.RELEASED, LATER)
    place = record.proposals.get()
    assert (place.outcome, place.key, place.receipt) == (Outcome.RELEASED, stored.key, stored.receipt)
    assert place.proposal.done_at == LATER


def test_what_the_sender_repeats_after_the_release_is_a_duplicate(company: Company) -> None:
    send(event("e1", 40, subject="acme-emea"))
    resolved("assign_customer", "e1", customer="acme")
    again = send(event("e1", 40, subject="acme-emea"), at=LATER)
    assert (again.accepted, again.duplicates, again.quarantined) == (0, 1, 0)


def test_a_fixed_value_is_counted_and_its_repeat_is_a_duplicate(company: Company) -> None:
    send(event("e1", "n/a"))
    resolved("fix_value", "e1", set={"data.tokens": "12.5"})
    assert Event.objects.get().data == '{"tokens":"12.5"}'
    assert send(event("e1", "n/a"), at=LATER).duplicates == 1


def test_a_mapped_type_is_counted_by_the_meters_of_that_type(company: Company) -> None:
    send(event("e1", 7, type="chat.completion"))
    resolved("map_type", "e1", type="llm.request")
    assert Event.objects.get().type == "llm.request"


def test_what_said_no_time_happened_when_it_first_came(company: Company) -> None:
    send(event("e1", 7, subject="stranger", time=None))
    resolved("assign_customer", "e1", customer="acme", at=LATER)
    assert Event.objects.get().occurred_at == AT


def test_what_fails_again_stays_held_with_its_new_reason(company: Company) -> None:
    Customer.objects.create(key="globex", name="Globex")
    send(event("e1", 7, subject="stranger"), event("e2", 8, subject="stranger"))
    done = resolved("assign_customer", "e1", customer="globex")

    assert (done.released, done.failed, done.failures) == (0, 1, {"no_active_contract": 1})
    record = held("e1")
    assert (record.status, record.reason, record.current_reason) == ("open", "unknown_customer", "no_active_contract")
    assert Receipt.objects.filter(door="release").count() == 0

    signed("G-1", Customer.objects.get(key="globex"), company)
    assert resolved("assign_customer", "e1", customer="globex").released == 1


def test_a_record_without_an_id_gets_one(company: Company) -> None:
    without = event("e1", 7)
    del without["id"]
    send(without)
    record = held("")
    done = resolved("fix_value", "", set={"id": "found-1"})
    assert done.released == 1
    assert record.proposals.get().key == Register.objects.get().key == Event.objects.get().key


def test_a_malformed_record_is_written_anew(company: Company) -> None:
    send(b'{"id": 7, "source": "gw"}')
    done = resolved("fix_value", "", event=event("e7", 70))
    assert done.released == 1
    assert (Event.objects.get().event_id, Event.objects.get().data) == ("e7", '{"tokens":70}')


def test_a_release_does_nothing_twice(company: Company) -> None:
    send(event("e1", 7, subject="stranger"))
    done = resolved("assign_customer", "e1", customer="acme")
    assert release(done.proposal, at=LATER) == done
    assert release_approved(LATER) == 0
    assert Event.objects.count() == 1


def test_what_the_sender_repaired_meanwhile_is_not_released(company: Company) -> None:
    send(event("e1", "n/a"))
    proposal = proposed("fix_value", "e1", set={"data.tokens": 5})
    send(event("e1", 9))
    done = approve(proposal, by=FINN, at=LATER)
    assert (done.released, done.superseded) == (0, 1)
    assert Decimal(Event.objects.get().data[10:-1]) == 9
