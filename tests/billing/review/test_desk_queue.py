"""The queue of what is held: totals by reason, groups of alike records, the flat list, and a record's page."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from billing.invoicing import bill_run
from billing.models import HeldRecord
from billing.review.alike import GroupKey
from billing.review.at_risk import refresh_estimates
from revops.roles import AUDITOR, FINANCE, REVOPS, SALES
from tests.billing.review.conftest import AT, Company, held, resolved, send
from tests.billing.review.office import MATCHING, QUEUE, RECORDS, RULES, employ, page, record_page
from tests.factories import event

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])


@pytest.fixture
def robin() -> Client:
    return employ("robin", REVOPS)


def questions(client: Client, address: str) -> int:
    with (
        CaptureQueriesContext(connections["default"]) as main,
        CaptureQueriesContext(connections["quarantine"]) as side,
    ):
        assert client.get(address).status_code == 200
    return len(main) + len(side)


def strangers(count: int, of: str = "stranger") -> None:
    """That many subjects nobody knows, with one record each."""
    send(*(event(f"{of}-{n}", subject=f"{of}-{n}") for n in range(count)))


def test_totals_are_by_reason_with_the_money_said_to_be_an_estimate(company: Company, robin: Client) -> None:
    # 120 and 80 tokens of acme-emea at 0.01 are 2.00 USD, at the best guess: acme.
    send(event("a", 120, subject="acme-emea"), event("b", 80, subject="acme-emea"))
    send(event("b", 80, subject="acme-emea"))
    send(event("c", type="llm.reqest"), b'"ping"')
    refresh_estimates(AT)
    answer = robin.get(QUEUE)
    rows = {row["total"].reason: row for row in answer.context["reasons"]}
    assert {reason: (row["total"].records, row["total"].sightings) for reason, row in rows.items()} == {
        "unknown_customer": (2, 3),
        "unknown_event_type": (1, 1),
        "malformed": (1, 1),
    }
    shown = page(robin, QUEUE)
    assert "Unknown customer 2 3 2.00 USD" in shown
    assert "is an estimate" in shown
    assert "All reasons 4 5" in shown


def test_groups_are_ordered_searched_and_paged(company: Company, robin: Client) -> None:
    strangers(55)
    send(event("big", 9_000, subject="whale"), *(event(f"many-{n}", subject="shoal") for n in range(3)))
    refresh_estimates(AT)

    def subjects(**asked: Any) -> list[str]:
        return [row["group"].alike for row in robin.get(QUEUE, asked).context["rows"]]

    assert subjects()[0] == "whale"
    assert subjects(order="records")[0] == "shoal"
    assert subjects(q="WHA") == ["whale"]
    assert subjects(q="%") == []
    assert subjects(reason="malformed") == []
    first = robin.get(QUEUE)
    assert len(first.context["rows"]) == 50
    second = robin.get(first.context["next"])
    both = [row["group"].alike for answer in (first, second) for row in answer.context["rows"]]
    assert len(set(both)) == len(both) == first.context["total_groups"] == 57
    assert second.context["next"] is None


def test_a_page_that_is_gone_leads_to_the_first(robin: Client) -> None:
    answer = robin.get(QUEUE, {"after": "nonsense"}, follow=True)
    assert answer.redirect_chain[0][0].startswith(QUEUE)
    assert answer.status_code == 200


def test_the_queue_costs_the_same_queries_for_3_and_for_30_groups(company: Company, robin: Client) -> None:
    strangers(3)
    robin.get(QUEUE)
    few = questions(robin, QUEUE)
    strangers(30, of="other")
    assert questions(robin, QUEUE) == few
    assert questions(robin, MATCHING) > 0
    assert questions(robin, RULES) > 0


def test_a_records_page_costs_the_same_queries_for_2_and_for_30_alike(company: Company, robin: Client) -> None:
    send(*(event(f"a{n}", subject="nobody") for n in range(2)))
    robin.get(record_page(held("a0").pk))
    few = questions(robin, record_page(held("a0").pk))
    send(*(event(f"b{n}", subject="nobody") for n in range(28)))
    assert questions(robin, record_page(held("a0").pk)) == few


def test_nothing_held_is_said_in_words(company: Company, robin: Client) -> None:
    assert "Nothing was ever held" in page(robin, QUEUE)
    send(event("a", subject="nobody"))
    resolved("discard", "a")
    shown = page(robin, QUEUE)
    assert "Nothing is held" in shown
    assert "The last one was done with" in shown
    assert "There is no record of any source" in page(robin, MATCHING)


def test_who_sees_no_held_records_has_no_queue(company: Company) -> None:
    assert employ("sam", SALES).get(QUEUE).status_code == 403


def test_the_auditor_reads_and_ticks_nothing(company: Company) -> None:
    strangers(2)
    arthur = employ("arthur", AUDITOR)
    answer = arthur.get(QUEUE)
    assert b'name="group"' not in answer.content
    assert b"Propose for" not in answer.content
    assert b"Propose what becomes" not in arthur.get(record_page(held("stranger-0").pk)).content


def test_the_list_is_filtered_by_reason_status_source_and_age(company: Company, robin: Client) -> None:
    send(event("old", subject="nobody"))
    send(event("typo", type="llm.reqest"), event("elsewhere", source="staging"))

    def shown(**asked: str) -> set[str]:
        return {record.event_id for record in robin.get(RECORDS, asked).context["cl"].result_list}

    assert shown() == {"old", "typo", "elsewhere"}
    assert shown(current_reason__exact="unknown_customer") == {"old"}
    assert shown(source__exact="staging") == {"elsewhere"}
    assert shown(q="reqest") == {"typo"}
    assert shown(status__exact="released") == set()
    assert shown(older_than="1") == {"old", "typo", "elsewhere"}
    csv = b"".join(robin.get(f"{RECORDS}export/", {"current_reason__exact": "unknown_customer"}))
    assert b"old,gw,llm.request,nobody" in csv
    assert b"typo" not in csv


def test_a_records_page_says_why_it_is_held_and_what_to_do(company: Company, robin: Client) -> None:
    send(event("a", 100, subject="acm"), event("b", subject="acm"))
    send(event("a", 100, subject="acm"), at=AT + dt.timedelta(hours=1))
    refresh_estimates(AT)
    shown = page(robin, record_page(held("a").pk))
    assert "No customer has this subject as its key or as an alias" in shown
    assert "Assign it to its customer" in shown
    assert "2 sightings" in shown
    assert "1.00 USD" in shown
    assert "1 other held" in shown
    assert "Assign to Acme GmbH" in shown
    assert "Nobody has proposed anything yet" in shown


def test_what_a_sender_wrote_is_never_markup(company: Company, robin: Client) -> None:
    evil = "<script>alert(1)</script>"
    send(event("a", subject=evil, type=evil), event("b", 1, subject=evil), evil.encode())
    for record in HeldRecord.objects.all():
        assert evil.encode() not in robin.get(record_page(record.pk)).content
    assert evil.encode() not in robin.get(QUEUE).content
    assert evil.encode() not in robin.get(RECORDS).content
    assert "&lt;script&gt;" in robin.get(record_page(held("b").pk)).content.decode()


def test_a_conflict_shows_both_contents_and_the_invoice_it_is_billed_on(company: Company, robin: Client) -> None:
    send(event("a", 100))
    bill_run.run(dt.datetime(2026, 2, 2, tzinfo=dt.UTC))
    send(event("a", 130))
    answer = robin.get(record_page(held("a").pk))
    rows = {path: (counted, here, differs) for path, counted, here, differs in answer.context["contradiction"].rows}
    assert rows["data.tokens"] == ("100", "130", True)
    assert rows["subject"] == ("acme", "acme", False)
    assert "INV-" in page(robin, record_page(held("a").pk))


def test_a_released_record_says_what_it_became(company: Company) -> None:
    send(event("a", 100, subject="acme-emea"))
    resolved("assign_customer", "a", customer="acme")
    shown = page(employ("fiona", FINANCE), record_page(held("a").pk))
    assert "What it became Counted for Acme GmbH" in shown
    assert "Not billed yet" in shown
    assert "Assign to acme" in shown
    assert "Rita: Seen by Rita" in shown


def test_a_group_is_read_only_from_its_own_token(company: Company, robin: Client) -> None:
    key = GroupKey("unknown_customer", "gw", "acm\u00e9 & co")
    assert GroupKey.read(key.token) == key
    send(event("a", subject="acm\u00e9 & co"))
    assert "acm\u00e9 &amp; co" in robin.get(QUEUE).content.decode()
