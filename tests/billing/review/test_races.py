"""Reviews among others: two approvers, two releases, a sender that repeats, a process killed between two commits."""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
from typing import Any

import pytest
from django.db import connection, connections, transaction

from billing.metering.recount import recount
from billing.models import Decision, Event, HeldRecord, HeldStatus, Outcome, Proposal, Receipt, Register
from billing.review.proposals import UnableToDecide, UnableToPropose, approve, reject
from billing.review.release import release, release_approved
from revops.reconciliation.books import check
from tests.billing.metering.test_races import at_once, databases_of_this_test, until
from tests.billing.review.conftest import AT, FINN, Company, proposed, resolved, send
from tests.factories import event

pytestmark = [pytest.mark.sql, pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])]

LATER = AT + dt.timedelta(hours=1)
STRANGERS = [event(f"e{n}", n, subject="stranger", time=f"2026-01-20T10:{n % 60:02d}:00Z") for n in range(60)]
IDS = [one["id"] for one in STRANGERS]


def attempt(do: Any, *arguments: Any, **named: Any) -> Any:
    """What came of it, or the refusal."""

    def job() -> Any:
        try:
            return do(*arguments, **named)
        except (UnableToDecide, UnableToPropose) as refusal:
            return refusal

    return job


def assert_counted_once() -> None:
    assert Event.objects.count() == Register.objects.count() == len(STRANGERS)
    assert set(HeldRecord.objects.values_list("status", flat=True)) == {HeldStatus.RELEASED}
    assert list(recount()) == []
    assert check(LATER).leaks == []


def test_of_two_approvers_at_once_one_approves_and_everything_is_released_once(company: Company) -> None:
    send(*STRANGERS)
    proposal = proposed("assign_customer", *IDS, customer="acme")
    found = at_once(
        attempt(approve, proposal, by=FINN, at=LATER), attempt(approve, proposal, by="third person", at=LATER)
    )
    assert sorted(type(one).__name__ for one in found) == ["Released", "UnableToDecide"]
    assert_counted_once()


def test_of_an_approval_and_a_rejection_at_once_one_counts(company: Company) -> None:
    send(*STRANGERS[:5])
    proposal = proposed("assign_customer", *IDS[:5], customer="acme")
    found = at_once(attempt(approve, proposal, by=FINN, at=LATER), attempt(reject, proposal, by="third", at=LATER))
    assert sum(isinstance(one, UnableToDecide) for one in found) == 1
    proposal.refresh_from_db()
    assert Event.objects.count() == (5 if proposal.decision == Decision.APPROVED else 0)
    assert check(LATER).leaks == []


def test_of_two_proposals_for_a_record_at_once_one_is_made(company: Company) -> None:
    send(*STRANGERS[:5])
    found = at_once(*[attempt(proposed, "discard", *IDS[:5]) for _ in range(4)])
    assert sum(isinstance(one, Proposal) for one in found) == 1
    assert Proposal.objects.count() == 1


def test_releases_of_one_proposal_at_once_release_everything_once(company: Company) -> None:
    send(*STRANGERS)
    done = resolved("assign_customer", *IDS[:1], customer="acme")
    proposal = proposed("assign_customer", *IDS[1:], customer="acme")
    approve_only(proposal)
    at_once(*[attempt(release, proposal, at=LATER) for _ in range(4)])
    assert done.released == 1
    assert_counted_once()


def approve_only(proposal: Proposal) -> None:
    """Approved, and cut off before anything was released."""
    Proposal.objects.filter(pk=proposal.pk).update(decision="approved", decided_by="key:2", decided_at=LATER)
    proposal.refresh_from_db()


def test_a_sender_that_repeats_during_the_release_adds_nothing(company: Company) -> None:
    send(*STRANGERS)
    proposal = proposed("assign_customer", *IDS, keep_as_rule=True, customer="acme")
    at_once(attempt(approve, proposal, by=FINN, at=LATER), *[lambda: send(*STRANGERS, at=LATER) for _ in range(3)])
    send(*STRANGERS, at=LATER)
    assert Event.objects.count() == Register.objects.count() == len(STRANGERS)
    assert not HeldRecord.objects.filter(status="open").exists()
    assert list(recount()) == []
    assert check(LATER).leaks == []


APPROVE = """
import datetime as dt, os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "revops.settings"
import django
django.setup()
from billing.models import Proposal
from billing.review.proposals import approve
approve(Proposal.objects.get(), by="key:2", at=dt.datetime.fromisoformat(sys.argv[1]))
"""


def test_a_process_killed_between_the_two_commits_loses_and_doubles_nothing(company: Company) -> None:
    send(*STRANGERS)
    proposed("assign_customer", *IDS, customer="acme")
    with transaction.atomic(using="quarantine"), connections["quarantine"].cursor() as cursor:
        # Records are locked after the main commit and before what became of them is written.
        cursor.execute("LOCK TABLE quarantine_heldrecord IN EXCLUSIVE MODE")
        process = subprocess.Popen(
            [sys.executable, "-c", APPROVE, LATER.isoformat()], env={**os.environ, **databases_of_this_test()}
        )
        until(lambda: Event.objects.count() == len(STRANGERS))
        process.send_signal(signal.SIGKILL)
        process.wait()
    until(_nobody_is_in_the_quarantine)

    proposal = Proposal.objects.get()
    assert proposal.is_unfinished
    assert set(proposal.records.values_list("outcome", flat=True)) == {""}
    assert [finding.what for finding in check(LATER).findings if finding.check == 2][:1] == [
        "approved and not released to the end"
    ]
    assert release_approved(LATER) == 1
    proposal.refresh_from_db()
    assert proposal.done_at == LATER
    assert set(proposal.records.values_list("outcome", flat=True)) == {Outcome.RELEASED}
    assert sum(receipt.accepted for receipt in Receipt.objects.filter(door="release")) == len(STRANGERS)
    assert_counted_once()


def _nobody_is_in_the_quarantine() -> bool:
    with connections["quarantine"].cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend' AND state <> 'idle'"
        )
        return bool(cursor.fetchone()[0] == 0)


def test_a_release_cut_short_goes_on_with_what_waits(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database goes away after the first batch; the worker goes on when it is back."""
    monkeypatch.setattr("billing.review.release.BATCH", 25)
    send(*STRANGERS)
    proposal = proposed("assign_customer", *IDS, customer="acme")
    with connection.cursor() as cursor:
        # Whatever comes after the first batch is refused, as by a full disk.
        cursor.execute(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " IF (SELECT count(*) FROM billing_receipt WHERE door = 'release') > 1 THEN"
            " RAISE EXCEPTION 'no space left' USING ERRCODE = '53100'; END IF; RETURN NULL; END $$"
        )
        cursor.execute(
            "CREATE TRIGGER full_disk AFTER INSERT ON billing_receipt FOR EACH ROW EXECUTE FUNCTION full_disk()"
        )
    try:
        with pytest.raises(Exception, match="goes on when it is back"):
            approve(proposal, by=FINN, at=LATER)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TRIGGER full_disk ON billing_receipt; DROP FUNCTION full_disk()")
    assert (Event.objects.count(), HeldRecord.objects.filter(status="open").count()) == (25, 35)
    assert release_approved(LATER) == 1
    assert_counted_once()


def test_what_is_held_twice_under_one_id_comes_in_once(company: Company) -> None:
    """Two contents of one id, both of an unknown subject: the first is counted, the second is a conflict then."""
    send(event("e1", 1, subject="stranger"), event("e1", 2, subject="stranger"))
    records = HeldRecord.objects.filter(event_id="e1").order_by("pk")
    assert records.count() == 2
    done = resolved("assign_customer", "e1", customer="acme")
    assert (done.released, done.failed, done.failures) == (1, 1, {"conflict": 1})
    assert [one.status for one in records] == ["released", "open"]
    assert records[1].current_reason == "conflict"
    assert check(LATER).leaks == []
