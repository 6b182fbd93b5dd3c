"""The books after a review: clean as they are; and each leak that somebody with the owner's rights made, found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections, transaction

from billing.review.choosing import Records
from billing.review.proposals import propose, reject
from revops.reconciliation.books import check
from revops.reconciliation.report import Report
from tests.billing.review.conftest import AT, FINN, RITA, Company, held, make_company, proposed, resolved, send
from tests.factories import event

pytestmark = [pytest.mark.sql, pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])]


@pytest.fixture
def reviewed(transactional_db: None) -> Company:
    """Of each fate one: released, given another id, discarded, turned away by a rule, rejected, failed, open."""
    company = make_company()
    send(event("rel", 10, subject="stranger"), event("same", 1), event("gone", 10, subject="bot-1"))
    send(event("same", 2), event("rej", "x"), event("fail", 5, subject="stranger", time="2025-01-01T00:00:00Z"))
    send(event("left", 10, subject="nobody"), event("mine", "y"))
    resolved("assign_customer", "rel", customer="acme")
    resolved("fix_value", "same", set={"id": "same-2"})
    resolved("discard", "gone", keep_as_rule=True)
    send(event("gone-2", 10, subject="bot-1"))
    reject(proposed("discard", "rej"), by=FINN, at=AT)
    resolved("assign_customer", "fail", customer="acme")
    propose(Records((held("mine").pk,)), "discard", {}, reason="Not decided yet", by=RITA, at=AT)
    return company


def test_reviewed_books_are_clean(reviewed: Company) -> None:
    report = check(AT)
    assert report.leaks == []
    assert report.findings == []
    figures = report.checks[1].figures
    assert figures["records"] == {"open": 4, "released": 2, "superseded": 0, "discarded": 2}
    assert figures["sightings_of"] == figures["records"]


@pytest.fixture
def plain(reviewed: Company) -> Iterator[Any]:
    """Statements with the triggers of the quarantine off; all of it is rolled back."""

    def run(*statements: str) -> Report:
        with connections["quarantine"].cursor() as cursor:
            for table in ("heldrecord", "proposal", "proposedrecord"):
                cursor.execute(f"ALTER TABLE quarantine_{table} DISABLE TRIGGER USER")
            for statement in statements:
                cursor.execute(statement)
                assert cursor.rowcount != 0
        return check(AT)

    with transaction.atomic(using="quarantine"):
        yield run
        transaction.set_rollback(True, using="quarantine")


HELD = "(SELECT id FROM quarantine_heldrecord WHERE event_id = '{}')"
SINGLE = "ALTER TABLE quarantine_proposal DROP CONSTRAINT proposal_two_persons"


@pytest.mark.parametrize(
    ("statements", "what"),
    [
        (
            ["UPDATE quarantine_heldrecord SET status = 'discarded', resolved_at = now() WHERE event_id = 'left'"],
            "a discarded record without an approved proposal",
        ),
        (
            ["UPDATE quarantine_heldrecord SET status = 'released', resolved_at = now() WHERE event_id = 'left'"],
            "a released record without an approved proposal",
        ),
        (
            ["UPDATE quarantine_heldrecord SET status = 'discarded', resolved_at = now() WHERE event_id = 'mine'"],
            "a discarded record without an approved proposal",
        ),
        (
            ["UPDATE quarantine_heldrecord SET discarded_by_id = NULL WHERE event_id = 'gone-2'"],
            "a discarded record without an approved proposal",
        ),
        (
            [f"UPDATE quarantine_proposedrecord SET key = gen_random_uuid() WHERE record_id = {HELD.format('rel')}"],
            "a released record whose event is not there",
        ),
        (
            [f"DELETE FROM quarantine_proposedrecord WHERE record_id = {HELD.format('same')}"],
            "a released record without an approved proposal",
        ),
        (
            ["UPDATE quarantine_heldrecord SET status = 'open', resolved_at = NULL WHERE event_id = 'gone'"],
            "a reviewed record is not what its review made it",
        ),
        (
            [SINGLE, "UPDATE quarantine_proposal SET decided_by = proposed_by WHERE kind = 'fix_value'"],
            "a proposal decided by its own proposer",
        ),
        (
            [
                "UPDATE quarantine_proposal SET decision = 'rejected', decided_by = 'key:2', decided_at = now()"
                " WHERE decision = ''"
            ],
            "a proposal is through, and records still wait under it",
        ),
        (["UPDATE quarantine_proposal SET kind = 'release' WHERE kind = 'discard'"],
         "a discarded record without an approved proposal"),
    ],
)  # fmt: skip
def test_a_planted_leak_is_found_and_named(plain: Any, statements: list[str], what: str) -> None:
    leaks = plain(*statements).leaks
    assert what in {leak.what for leak in leaks}
    assert all(leak.check == 2 for leak in leaks)


def test_an_approved_release_that_was_cut_short_is_a_finding(plain: Any) -> None:
    report = plain(
        "UPDATE quarantine_proposal SET decision = 'approved', decided_by = 'key:2', decided_at = now()"
        " WHERE decision = ''"
    )
    assert report.leaks == []
    assert [finding.what for finding in report.findings] == ["approved and not released to the end"]
