"""What the quarantine database refuses, in raw SQL: to the application's role, and to its owner too."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, ProgrammingError, connections, transaction

from billing.models import Proposal
from billing.review.proposals import approve
from tests.billing.metering.test_refusals import as_application, refused
from tests.billing.review.conftest import AT, FINN, Company, held, proposed, resolved, send
from tests.factories import event

pytestmark = [pytest.mark.sql, pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])]

DECIDE = "UPDATE quarantine_proposal SET decision = '{}', decided_by = '{}', decided_at = now() WHERE id = {}"


@pytest.fixture
def waiting(company: Company) -> Proposal:
    """Rita (key:1) proposes to discard w; o is open."""
    send(event("w", 1, subject="stranger"), event("o", 2, subject="stranger"))
    return proposed("discard", "w")


EITHER = (IntegrityError, ProgrammingError)


def refuses(statement: str, match: str) -> None:
    """Both roles are refused: the owner by constraint or trigger."""
    with as_application("quarantine") as cursor, pytest.raises(EITHER, match=match), transaction.atomic("quarantine"):
        cursor.execute(statement)
    with connections["quarantine"].cursor() as cursor, pytest.raises(IntegrityError, match=match):
        cursor.execute(statement)


def test_nobody_approves_or_rejects_what_they_proposed(waiting: Proposal) -> None:
    for decision in ("approved", "rejected"):
        refuses(DECIDE.format(decision, "key:1", waiting.pk), "proposal_two_persons")
    refuses(DECIDE.format("withdrawn", "key:2", waiting.pk), "proposal_withdrawn_by_its_proposer")
    refuses(f"UPDATE quarantine_proposal SET decision = 'approved' WHERE id = {waiting.pk}", "decided_by_somebody")


def test_no_proposal_begins_approved(waiting: Proposal) -> None:
    columns = "kind, argument, reason, keep_as_rule, chosen, proposed_by, proposed_by_name, proposed_at, decision"
    rest = "decided_by, decided_by_name, decided_at, note, rule"
    refuses(
        f"INSERT INTO quarantine_proposal ({columns}, {rest}) VALUES ('discard', '{{}}', 'x', true, '{{}}', 'key:1',"
        " '', now(), 'approved', 'key:2', '', now(), '', '')",
        "begins undecided",
    )


def test_a_record_leaves_only_with_an_approval(waiting: Proposal) -> None:
    for status in ("released", "discarded"):
        for id in ("w", "o"):
            refuses(
                f"UPDATE quarantine_heldrecord SET status = '{status}', resolved_at = now() WHERE event_id = '{id}'",
                "approval of a second person",
            )
    refuses(
        f"UPDATE quarantine_heldrecord SET status = 'discarded', discarded_by_id = {waiting.pk}, resolved_at = now()"
        " WHERE event_id = 'o'",
        "approval of a second person",
    )
    refuses("UPDATE quarantine_proposedrecord SET outcome = 'discarded', settled_at = now()", "decided by two persons")
    columns = "source, event_id, digest, reason, detail, type, subject, raw, receipt, held_at, bound_source, status"
    refuses(
        f"INSERT INTO quarantine_heldrecord ({columns}, current_reason, current_detail) SELECT source, 'new', digest,"
        " reason, detail, type, subject, raw, receipt, held_at, bound_source, 'discarded', '', ''"
        " FROM quarantine_heldrecord WHERE event_id = 'o'",
        "approval of a second person",
    )


def test_a_record_is_under_one_standing_proposal_and_joins_none_that_is_decided(waiting: Proposal) -> None:
    record, other = held("w").pk, held("o").pk
    second = proposed("discard", "o")
    columns = "proposal_id, record_id, outcome, reason, detail"
    put = f"INSERT INTO quarantine_proposedrecord ({columns}) VALUES ({{}}, {{}}, '', '', '')"
    refuses(put.format(second.pk, record), "record_in_one_standing_proposal")
    done = approve(waiting, by=FINN, at=AT).proposal
    refuses(put.format(done.pk, other), "before it is decided")


def test_a_decision_and_what_came_of_it_stay(company: Company) -> None:
    send(event("w", 1, subject="stranger"))
    done = resolved("discard", "w").proposal
    for change in (
        "decision = ''", "decision = 'rejected'", "decided_by = 'key:9'", "note = 'no'", "reason = 'other'",
        "argument = '{\"a\": 1}'", "done_at = NULL", "keep_as_rule = true", "proposed_by = 'key:8'",
    ):  # fmt: skip
        refuses(f"UPDATE quarantine_proposal SET {change} WHERE id = {done.pk}", "refused|permission")
    for change in ("outcome = ''", "outcome = 'failed'", "record_id = record_id + 1", "detail = 'other'"):
        refuses(f"UPDATE quarantine_proposedrecord SET {change}", "refused|permission")
    refuses("UPDATE quarantine_heldrecord SET status = 'open', resolved_at = NULL", "refused")
    refuses("UPDATE quarantine_heldrecord SET current_reason = 'malformed'", "refused")


def test_a_proposal_is_done_only_when_nothing_waits(waiting: Proposal) -> None:
    refuses(f"UPDATE quarantine_proposal SET done_at = now() WHERE id = {waiting.pk}", "still wait")


@pytest.mark.parametrize("table", ["proposal", "proposedrecord", "heldrecord", "sighting"])
def test_nothing_of_a_review_is_deleted(waiting: Proposal, table: str) -> None:
    refuses(f"DELETE FROM quarantine_{table}", "refused|permission")
    refused(f"TRUNCATE quarantine_{table} CASCADE", "quarantine")


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE quarantine_proposal DISABLE TRIGGER ALL", "SET session_replication_role = replica",
        "ALTER TABLE quarantine_proposal DROP CONSTRAINT proposal_two_persons", "DROP TABLE quarantine_proposedrecord",
        "CREATE OR REPLACE FUNCTION watertight_guard_proposal() RETURNS trigger LANGUAGE sql AS 'SELECT NULL'",
    ],
)  # fmt: skip
def test_the_application_gets_around_no_fence_of_the_review(waiting: Proposal, statement: str) -> None:
    refused(statement, "quarantine", match="permission|must be owner")


def test_the_application_can_review_with_its_own_rights(company: Company) -> None:
    with as_application("default"), as_application("quarantine"):
        send(event("a", 1, subject="stranger"), event("b", 1, subject="bot"), event("c", "x"))
        assert resolved("assign_customer", "a", customer="acme", keep_as_rule=True).released == 1
        assert resolved("discard", "b", keep_as_rule=True).discarded == 1
        assert resolved("fix_value", "c", set={"data.tokens": 3}).released == 1
