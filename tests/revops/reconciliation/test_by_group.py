"""Use that prices take by its dimensions: what no filter takes is found, what the rest takes is billed."""

from __future__ import annotations

from typing import Any

import pytest

from revops.simulation.playing import perform, read_scenario
from tests.revops.reconciliation.conftest import check_books

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])


def scenario(*rest: dict[str, Any]) -> dict[str, Any]:
    """Ten tokens of big and seven of small in January; only big has a price of its own."""
    usage = {"kind": "usage", "meter": "tokens", "model": "per_unit"}
    big = {"key": "big", "unit_amount": "1", "filters": {"model": ["big"]}, **usage}
    prices = [big, *({"key": "rest", "unit_amount": "2", **usage, **one} for one in rest)]

    def event(id: str, tokens: int, model: str) -> dict[str, Any]:
        said = {"id": id, "source": "gw", "type": "use", "subject": "acme", "time": "2026-01-10T00:00:00Z"}
        return said | {"data": {"tokens": tokens, "model": model}}

    return {
        "currency": "USD",
        "sources": [{"key": "gw"}],
        "meters": [
            {"key": "tokens", "event_type": "use", "aggregation": "sum", "value": "tokens", "group_by": ["model"]}
        ],
        "plans": [{"key": "pro", "versions": [{"prices": prices}]}],
        "customers": [{"key": "acme"}],
        "contracts": [{"number": "C-1", "customer": "acme", "starts_on": "2026-01-01", "lines": [{"plan": "pro"}]}],
        "steps": [
            {"at": "2026-01-10T01:00:00Z", "events": [event("e1", 10, "big"), event("e2", 7, "small")]},
            {"at": "2026-02-02T00:00:00Z", "bill_run": True},
        ],
    }


def test_use_that_no_filter_takes_is_found() -> None:
    perform(read_scenario(scenario()))
    books = check_books(at="2026-02-03T00:00:00Z")
    assert not books.failed
    assert books.check(4)["figures"]["meters"]["tokens"] == {"billed": "10", "unpriced": "7"}
    assert [one["what"] for one in books.document["findings"]] == ["unpriced use"]


def test_the_rest_is_billed_by_the_price_without_filters() -> None:
    """10 x 1 and 7 x 2."""
    [invoice] = perform(read_scenario(scenario({})))["invoices"]
    assert invoice["total"] == "24.00"
    books = check_books(at="2026-02-03T00:00:00Z")
    assert books.check(4)["figures"]["meters"]["tokens"] == {"billed": "17"}
    assert books.document["findings"] == []
