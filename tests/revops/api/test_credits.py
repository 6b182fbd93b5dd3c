"""Credit over HTTP: granted, drawn by invoices, read with its history."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from billing.invoicing import bill_run
from billing.invoicing.crediting import void_invoice
from billing.models import Invoice
from contracts.models import CreditGrant

from .conftest import Api, Company
from .test_catalog_writing import fault

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])

PACK = {"kind": "prepaid", "amount": "50", "key": "pack", "name": "Starter pack", "from": "2026-01-01"}


def run(month: int) -> None:
    """20.00 for the month before."""
    assert bill_run.run(dt.datetime(2026, month, 3, tzinfo=dt.UTC)).failures == []


def test_credit_is_granted_once_however_often_it_is_sent(api: Api, company: Company) -> None:
    sent = {**PACK, "reason": "Outage"}
    answers = [api.post("contracts/C-1/credits", sent, headers={"Idempotency-Key": "g1"}) for _ in range(2)]
    assert [one.status for one in answers] == [201, 201]
    assert answers[0].json == answers[1].json == {
        "contract": "C-1", "grant": "pack", "name": "Starter pack", "kind": "prepaid", "state": "open",
        "currency": "USD", "amount": "50.00", "drawn": "0.00", "returned": "0.00", "left": "50.00", "expired": "0.00",
        "withdrawn": "0.00", "priority": 1, "from": "2026-01-01", "expires_on": None, "applies_to": [],
    }  # fmt: skip
    row = CreditGrant.objects.get()
    assert row.history.get().history_change_reason == "Outage (API key test)"
    company.contract.refresh_from_db()
    assert company.contract.revision == 1
    assert fault(api.post("contracts/C-1/credits", PACK)) == (409, "key", "taken")
    assert api.post("contracts/C-1/credits", {"kind": "promotional", "amount": "5"}).json["grant"] == "credit-1"


@pytest.mark.parametrize(
    ("body", "status", "where", "code"),
    [
        ({"kind": "prepaid", "amount": "0"}, 400, "amount", "invalid"),
        ({"kind": "prepaid", "amount": "1.234"}, 400, "amount", "precision"),
        ({"kind": "prepaid", "amount": "5", "applies_to": ["seats"]}, 400, "applies_to", "unknown"),
        ({"kind": "prepaid", "amount": "5", "expires_on": "2020-01-01"}, 400, "expires_on", "order"),
        ({"kind": "gift", "amount": "5"}, 400, "kind", "invalid"),
        ({"kind": "prepaid"}, 400, "amount", "missing"),
        ({"kind": "prepaid", "amount": "5", "colour": "red"}, 400, "colour", "unknown"),
    ],
)
def test_a_grant_that_does_not_hold_is_refused(
    api: Api, company: Company, body: dict[str, Any], status: int, where: str, code: str
) -> None:
    assert fault(api.post("contracts/C-1/credits", body)) == (status, where, code)
    assert not CreditGrant.objects.exists()


def test_credit_is_read_with_its_history_page_by_page(api: Api, company: Company) -> None:
    assert api.post("contracts/C-1/credits", PACK).status == 201
    for month in (2, 3, 4):
        run(month)
    void_invoice(Invoice.objects.get(number="INV-000003"), reason="wrong", at=dt.datetime(2026, 4, 5, tzinfo=dt.UTC))
    read = api.get("customers/acme/credits").json
    [grant] = read["grants"]
    figures = ("amount", "drawn", "returned", "left", "expired")
    assert [grant[name] for name in figures] == ["50.00", "40.00", "10.00", "10.00", "0.00"]
    assert read["credit_notes"] == []
    whole = read["history"]["results"]
    assert [(one["kind"], one["grant"], one["number"], one["amount"]) for one in whole] == [
        ("returned", "pack", "INV-000003", "10.00"),
        ("drawn", "pack", "INV-000003", "-10.00"),
        ("drawn", "pack", "INV-000002", "-20.00"),
        ("drawn", "pack", "INV-000001", "-20.00"),
    ]
    assert whole[0]["invoice"] == Invoice.objects.get(number="INV-000003").pk
    seen, following = [], "/api/v1/customers/acme/credits?limit=3"
    while following:
        page = api.get(following).json["history"]
        seen, following = seen + page["results"], page["next"] and page["next"].partition("127.0.0.1")[2]
        following = following and following[following.index("/") :]
    assert seen == whole
    assert api.get("customers/acme/credits?grant=other").json["history"]["results"] == []
    assert api.get("customers/acme/credits?contract=C-2").json["grants"] == []
    assert api.get("customers/nobody/credits").status == 404
    assert api.get("customers/acme/credits?cursor=x").status == 400
    shown = api.get("invoices?customer=acme").json["results"]
    assert [one["credits"] for one in shown] == [
        [{"grant": "pack", "amount": amount}] for amount in ("10.00", "20.00", "20.00")
    ]


def test_an_amendment_below_what_is_spent_is_refused(api: Api, company: Company) -> None:
    api.post("contracts/C-1/credits", PACK)
    run(2)
    less = api.post("contracts/C-1/amend", {"credits": [{**PACK, "amount": "19.99"}]})
    assert fault(less) == (400, "credits[0].amount", "spent")
    assert less.json["detail"] == (
        "20.00 USD of pack is spent, so it cannot be less; void the invoices it was spent on first."
    )
    assert api.post("contracts/C-1/amend", {"credits": [{**PACK, "amount": "20"}]}).status == 200
    assert api.get("customers/acme/credits").json["grants"][0]["state"] == "used up"


def test_a_key_needs_the_scope(api: Api, company: Company, key: Any) -> None:
    reader = api.as_key(key("contracts:read"))
    assert reader.post("contracts/C-1/credits", PACK).status == 403
    assert reader.get("customers/acme/credits").status == 403
    assert api.as_key(key("billing:read")).get("customers/acme/credits").status == 200
