"""Held records that two persons let in: where they land, what becomes of those that cannot, and nothing twice."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from billing.models import (
    Correction,
    Event,
    HeldRecord,
    HeldStatus,
    OriginalEvent,
    Outcome,
    Proposal,
    Receipt,
    Register,
)
from billing.review.choosing import Records
from billing.review.preview import UnableToPreview, preview_proposal
from billing.review.proposals import UnableToDecide, UnableToPropose, approve, propose
from billing.review.release import UnableToRelease, release, release_approved
from billing.review.resolutions import FixValue, stored_argument
from catalog.auditing import KeyHolder
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
    # What came is kept beside it.
    assert OriginalEvent.objects.get().data == '{"tokens":"n/a"}'
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


def test_an_empty_event_is_no_fix(company: Company) -> None:
    send(b'"ping"')
    with pytest.raises(UnableToPropose, match="The event is empty") as unable:
        proposed("fix_value", "", event={})
    assert (unable.value.code, unable.value.path) == ("invalid", "event")
    assert stored_argument(FixValue(event={"data": {}})) == {"event": {"data": {}}}


def test_a_proposal_that_cannot_be_done_keeps_no_other_waiting(company: Company) -> None:
    send(event("e1", "word"), event("e2", 7, subject="stranger"))
    both = [Proposal.objects.create(kind=kind, argument=argument, reason="x", proposed_by="key:1", proposed_at=AT)
            for kind, argument in (("fix_value", {}), ("assign_customer", {"customer": "acme"}))]  # fmt: skip
    for proposal, id in zip(both, ("e1", "e2"), strict=True):
        proposal.records.create(record=held(id))
    with pytest.raises(UnableToDecide, match="What is proposed cannot be done"):
        approve(both[0], by=FINN, at=AT)
    with pytest.raises(UnableToPreview):
        preview_proposal(both[0], at=AT)
    Proposal.objects.update(decision="approved", decided_by="key:2", decided_at=AT)
    with pytest.raises(UnableToRelease, match="What was approved cannot be done"):
        release(Proposal.objects.get(pk=both[0].pk), at=LATER)
    assert release_approved(LATER) == 1
    assert (held("e1").status, held("e2").status) == ("open", "released")


@pytest.mark.parametrize(("batch", "most_bytes"), [(1, 10**6), (2000, 1)])
def test_a_contradiction_in_a_later_batch_is_a_conflict(
    company: Company, monkeypatch: pytest.MonkeyPatch, batch: int, most_bytes: int
) -> None:
    monkeypatch.setattr("billing.review.release.BATCH", batch)
    monkeypatch.setattr("billing.review.release.MOST_BYTES", most_bytes)
    send(event("e1", 1, subject="stranger"), event("e1", 2, subject="stranger"), event("e2", 3, subject="stranger"))
    done = resolved("assign_customer", "e1", "e2", customer="acme")
    assert (done.released, done.failures, done.superseded) == (2, {"conflict": 1}, 0)
    assert [one.status for one in HeldRecord.objects.order_by("event_id", "pk")] == ["released", "open", "released"]
    assert Receipt.objects.filter(door="release").count() == 2


def test_a_key_with_the_longest_name_proposes_decides_and_replaces(company: Company) -> None:
    send(event("e1", 1))
    send(event("e1", 2))
    chosen = Records((HeldRecord.objects.get().pk,))
    proposal = propose(chosen, "replace", {}, reason="x", by=KeyHolder(1, "r" * 200), at=AT)
    assert approve(proposal, by=KeyHolder(2, "f" * 200), at=AT).released == 1
    assert Correction.objects.get().made_by == "API key " + "f" * 200
