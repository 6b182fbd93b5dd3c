"""The books of a world made through the real operations: clean, with every figure counted by hand in world.yaml."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.core.management import call_command

from tests.revops.reconciliation.conftest import NOW, check_books

pytestmark = pytest.mark.sql


@pytest.fixture(scope="module")
def books(world: dict[str, Any]) -> Any:
    return check_books()


def test_clean_books_pass(books: Any) -> None:
    assert books.document["leaks"] == []
    assert books.document["ok"] is True
    assert not books.failed


def test_receipts_by_source(books: Any) -> None:
    figures = books.check(1)["figures"]
    assert figures["sources"]["app"] == {"received": 8, "accepted": 8, "duplicates": 0, "quarantined": 0}
    assert figures["sources"]["gw"] == {"received": 18, "accepted": 11, "duplicates": 1, "quarantined": 6}
    assert (figures["received"], figures["events"], figures["registered"]) == (26, 19, 19)


def test_held_records_by_state_and_reason(books: Any) -> None:
    figures = books.check(2)["figures"]
    assert figures["sightings"] == 6
    assert figures["sightings_of"] == {"open": 5, "released": 0, "superseded": 1, "discarded": 0}
    # x1, seen twice, is one record
    assert figures["reasons"]["unknown_customer"] == {"open": 2, "released": 0, "superseded": 0, "discarded": 0}
    assert figures["reasons"]["missing_field"] == {"open": 1, "released": 0, "superseded": 1, "discarded": 0}
    assert figures["reasons"]["conflict"] == {"open": 1, "released": 0, "superseded": 0, "discarded": 0}


def test_events_net_of_corrections(books: Any) -> None:
    figures = books.check(3)["figures"]
    assert (figures["events"], figures["voided"], figures["amended"], figures["standing"]) == (19, 1, 1, 18)
    assert figures["distinct_values"] == 3  # ann on two days, bob on one


def test_all_use_is_somewhere(books: Any) -> None:
    figures = books.check(4)["figures"]
    # ten requests stand, each counted by two meters, and eight other reports
    assert figures["events"] == {"used": 28, "billed": 19, "included": 1, "open": 2, "changed": 4, "unpriced": 2}
    # acme 8350 and 8000, delta 1500, gamma 2000; beta's are free
    assert figures["meters"]["tokens"] == {"billed": "19850", "included": "5000", "open": "100", "pending": "500"}
    assert figures["meters"]["requests"] == {"billed": "7", "open": "1", "pending": "1", "unpriced": "1"}
    assert figures["meters"]["probes"] == {"unpriced": "1"}


def test_late_use_is_pending_with_its_amount_and_not_a_leak(books: Any) -> None:
    # 500 tokens at 0.002 and a request at 0.10
    assert books.document["pending"] == [
        {
            "contract": "C-gamma",
            "period_start": "2026-03-01",
            "amount": "1.10",
            "currency": "USD",
            "why": "its use or its documents changed since it was closed",
        }
    ]
    assert books.check(5)["figures"] == {"closed": 12, "level": 11, "changed_since": 1, "pending": {"USD": "1.10"}}


def test_documents_add_up(books: Any) -> None:
    figures = books.check(6)["figures"]
    assert figures["documents"] == {"issued invoice": 13, "issued credit_note": 1, "voided invoice": 1}
    # advances 99.00 three times and 20.00; closes of January 134.19, 0.00, 99.00, 100.10, of February 113.14, 99.00,
    # of March 99.00, 101.10, 20.00; the credit note -49.50
    assert figures["issued"]["USD"]["lines"] == "1033.03"
    # 20.00 of the credit note; of gamma's pack 99.00 and the last 51.00, and for 1000 tokens over those included 2.00
    assert figures["issued"]["USD"]["credits"] == "172.00"


def test_use_that_nothing_prices_is_a_finding(books: Any) -> None:
    found = [(one["where"]["customer"], one["where"]["meter"], one["found"]) for one in books.document["findings"]]
    assert found == [
        ("acme", "probes", "1 counted, priced by no contract line; money at risk unknown"),
        ("beta", "requests", "1 counted, priced by no contract line; money at risk unknown"),
    ]


def test_a_period_no_run_has_closed_yet_is_pending(world: dict[str, Any]) -> None:
    books = check_books(at="2026-05-02T00:00:00Z")
    assert not books.failed
    april = {(one["contract"], one["period_start"]): one["amount"] for one in books.document["pending"]}
    # acme used 100 tokens, which are included, and made one request; C-delta has ended
    assert april == {
        ("C-acme", "2026-04-01"): "0.10",
        ("C-beta", "2026-04-01"): "0.00",
        ("C-gamma", "2026-03-01"): "1.10",
        ("C-gamma", "2026-04-01"): "0.00",
        ("C-delta-2", "2026-04-01"): "0.00",
    }


def test_a_line_for_each_check(world: dict[str, Any]) -> None:
    out = io.StringIO()
    call_command("check_books", "--at", NOW, stdout=out)
    lines = out.getvalue().splitlines()
    assert lines[0] == "1 receipts: 26 received = 19 accepted + 1 duplicates + 6 quarantined  ok"
    assert lines[1] == "2 held records: 6 sightings = 5 open + 0 released + 1 superseded + 0 discarded  ok"
    assert lines[3] == "4 usage: 28 counted = 19 billed + 1 included + 2 open + 4 changed + 2 unpriced  ok"
    assert lines[4] == "5 closed periods: 12 closed = 11 billed as due + 1 changed since; 1.10 USD pending  ok"
    assert [line.split(":")[0] for line in lines[6:]] == ["pending", "finding in 4", "finding in 4"]
