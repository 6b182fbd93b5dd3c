"""Invoices over HTTP: lists, documents, and the deeds."""

import datetime as dt
import uuid

import pytest

from billing.invoicing import bill_run
from billing.models import Invoice
from catalog.models import Seller
from revops.models import Deed

from .conftest import Api, Company, event

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])

FEBRUARY = dt.datetime(2026, 2, 2, tzinfo=dt.UTC)
MARCH = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)


@pytest.fixture
def january(api: Api, company: Company) -> dict:
    """acme's invoice for January: 20.00 and 30 tokens at 0.01, as the API shows it."""
    api.post("events", [event("e1"), event("e2", tokens=20)])
    bill_run.run(FEBRUARY)
    return api.get("invoices").json["results"][0]


def test_an_invoice_has_the_promised_shape(january: dict) -> None:
    assert set(january) >= {
        "id", "number", "status", "purpose", "customer", "contract", "currency", "period_start", "period_end",
        "issued_at", "due_on", "lines", "subtotal", "tax", "credits", "total", "amount_due",
    }  # fmt: skip
    shown = {name: january[name] for name in ("status", "purpose", "customer", "contract", "period_start")}
    assert shown == {
        "status": "issued", "purpose": "close", "customer": "acme", "contract": "C-1", "period_start": "2026-01-01",
    }  # fmt: skip
    # 20.00 + 30 x 0.01
    assert january["total"] == "20.30"
    assert [(line["kind"], line["amount"]) for line in january["lines"]] == [("recurring", "20.00"), ("usage", "0.30")]


def test_one_invoice_is_the_same_as_in_the_list(api: Api, january: dict) -> None:
    assert api.get(f"invoices/{january['id']}").json == january


def test_the_document_is_a_page(api: Api, january: dict) -> None:
    answer = api.get(f"invoices/{january['id']}/document")
    assert answer.headers["content-type"].startswith("text/html")
    assert january["number"] in answer.raw.decode()
    assert "20.30" in answer.raw.decode()


def test_lists_are_filtered_and_paged_without_skips_or_repeats(api: Api, january: dict) -> None:
    bill_run.run(MARCH)
    assert len(api.get("invoices?customer=acme&contract=C-1&status=issued").json["results"]) == 2
    assert api.get("invoices?customer=nobody").json == {"results": [], "next": None}
    assert api.get("invoices?status=draft").json["results"] == []
    assert api.get("invoices?status=paid").status == 400
    first = api.get("invoices?limit=1").json
    second = api.get(first["next"].partition("/api/v1/")[2]).json
    assert second["next"] is None
    assert [one["period_start"] for one in [*first["results"], *second["results"]]] == ["2026-02-01", "2026-01-01"]


def test_the_events_behind_a_line_add_up_to_its_quantity(api: Api, january: dict) -> None:
    usage = next(line for line in january["lines"] if line["kind"] == "usage")
    behind = api.get(f"invoices/{january['id']}/lines/{usage['id']}/events").json
    assert (behind["count"], behind["sum"]) == (2, "30")
    assert {one["id"] for one in behind["results"]} == {"e1", "e2"}
    recurring = next(line for line in january["lines"] if line["kind"] == "recurring")
    assert api.get(f"invoices/{january['id']}/lines/{recurring['id']}/events").json["count"] == 0
    assert api.get(f"invoices/{january['id']}/lines/0/events").status == 404


def test_a_void_reopens_the_period_and_is_refused_twice(api: Api, january: dict) -> None:
    answer = api.post(f"invoices/{january['id']}/void", {"reason": "wrong address"})
    assert answer.status == 200
    assert answer.json["status"] == "voided"
    again = api.post(f"invoices/{january['id']}/void", {"reason": "wrong address"})
    assert again.status == 409
    assert again.json["errors"][0]["code"] == "unable_to_void"
    assert [invoice["total"] for invoice in bill_run.run(FEBRUARY).invoices] == ["20.30"]


def test_a_void_needs_a_reason(api: Api, january: dict) -> None:
    assert api.post(f"invoices/{january['id']}/void", {"reason": " "}).json["errors"][0]["path"] == "reason"
    assert Invoice.objects.get().status == "issued"


def test_a_draft_is_issued_once(api: Api, company: Company) -> None:
    Seller.objects.update(review_drafts=True)
    bill_run.run(FEBRUARY)
    draft = api.get("invoices?status=draft").json["results"][0]
    assert draft["number"] is None
    answer = api.post(f"invoices/{draft['id']}/issue")
    assert answer.status == 200
    assert answer.json["number"] is not None
    refused = api.post(f"invoices/{draft['id']}/issue", {})
    assert refused.status == 409
    assert refused.json["errors"][0]["code"] == "unable_to_issue"


def test_a_deed_with_an_idempotency_key_is_done_once_and_answered_alike(api: Api, january: dict) -> None:
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    path = f"invoices/{january['id']}/void"
    first = api.post(path, {"reason": "wrong address"}, headers=headers)
    second = api.post(path, {"reason": "wrong address"}, headers=headers)
    assert first.status == second.status == 200
    assert first.json == second.json
    other = api.post(path, {"reason": "another reason"}, headers=headers)
    assert other.status == 422


def test_a_refusal_under_an_idempotency_key_is_repeated(api: Api, january: dict) -> None:
    headers = {"Idempotency-Key": "k"}
    first = api.post(f"invoices/{january['id']}/issue", {}, headers=headers)
    second = api.post(f"invoices/{january['id']}/issue", {}, headers=headers)
    assert first.status == second.status == 409
    assert second.headers["content-type"] == "application/problem+json"
    assert first.json == second.json


def test_a_deed_under_way_is_not_begun_again_until_it_is_given_up(api: Api, january: dict) -> None:
    headers = {"Idempotency-Key": "k"}
    path = f"invoices/{january['id']}/void"
    api.post(path, {"reason": "x"}, headers=headers)
    Deed.objects.update(status=None, answer="", begun_at=dt.datetime.now(dt.UTC))
    under_way = api.post(path, {"reason": "x"}, headers=headers)
    assert under_way.status == 409
    assert "retry-after" in under_way.headers
    Deed.objects.update(begun_at=FEBRUARY)
    assert api.post(path, {"reason": "x"}, headers=headers).json["errors"][0]["code"] == "unable_to_void"
