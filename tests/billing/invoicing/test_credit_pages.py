"""Credit on the console and on documents: what every grant has, where it went, and the deed that grants more."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from billing.invoicing import bill_run
from billing.invoicing.crediting import void_invoice
from billing.models import Invoice
from contracts.drafts import GrantDraft
from contracts.models import Contract, CreditGrant, Customer
from tests.billing.invoicing.conftest import BASE, START, TOKENS, Shop, instant
from tests.billing.invoicing.console import do as do_to_invoice
from tests.billing.invoicing.console import messages, page, questions, signed_in, use, words

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])

LIST = "/admin/contracts/creditgrant/"
CONTRACTS = "/admin/contracts/contract/"
PACK = GrantDraft("prepaid", Decimal(150), START, name="Starter pack", key="pack")
OLD = GrantDraft("prepaid", Decimal(5), START, dt.date(2026, 1, 1) + dt.timedelta(days=1), key="old", priority=9)
WELCOME = GrantDraft("promotional", Decimal(30), START, name="Welcome credit", key="welcome", applies_to=("tokens",))


@pytest.fixture
def contract(shop: Shop) -> Contract:
    """99.00 a month ahead and 0.01 a token; 150.00 are prepaid, 30.00 given away on tokens."""
    contract = shop.sign(shop.customer("acme"), shop.version(BASE, TOKENS), credits=[PACK, OLD, WELCOME])
    bill_run.run(instant("2026-01-01"))
    use("one", 5000, "2026-01-10T10:00:00Z", "2026-01-10T10:01:00")
    # 50.00 - 30.00 + 99.00 = 119.00, of which 51.00 are left of the pack
    bill_run.run(instant("2026-02-02"))
    return contract


def grant(client: Client, contract: Contract, **asked: Any) -> Any:
    chosen = {"action": "grant_credit", "_selected_action": contract.pk, "origin": "row"}
    return client.post(CONTRACTS, {**chosen, **asked}, follow=True)


def test_the_list_says_what_every_grant_has(contract: Contract) -> None:
    text = words(page(signed_in(), LIST))
    assert "Starter pack pack Acme C-acme prepaid, after tax used up 150.00 EUR 150.00 0.00 0.00 0.00" in text
    assert "old Acme C-acme prepaid, after tax expired 5.00 EUR 0.00 0.00 0.00 5.00" in text
    assert "Welcome credit welcome Acme C-acme promotional, before tax used up 30.00 EUR 30.00 0.00" in text


def test_a_grant_tells_where_it_went(contract: Contract) -> None:
    void_invoice(Invoice.objects.get(number="INV-000002"), reason="Wrong", at=instant("2026-02-05"))
    text = words(page(signed_in(), f"{LIST}{CreditGrant.objects.get(key='pack').pk}/change/"))
    assert "Left 51.00 Expired 0.00" in text
    assert "granted 150.00 150.00 2026-01-01 00:00 drawn INV-000001 -99.00 51.00" in text
    assert "2026-02-02 00:00 drawn INV-000002 -51.00 0.00 2026-02-05 00:00 returned INV-000002 51.00 51.00" in text
    text = words(page(signed_in(), f"{LIST}{CreditGrant.objects.get(key='welcome').pk}/change/"))
    assert "drawn INV-000002 -30.00 0.00 2026-02-05 00:00 returned INV-000002 30.00 30.00" in text


def test_the_customer_page_says_what_is_left_and_what_expires(contract: Contract, shop: Shop) -> None:
    text = words(page(signed_in(), f"/admin/contracts/customer/{contract.customer_id}/overview/"))
    assert "Starter pack C-acme Prepaid, after tax everything used up open 150.00 EUR 150.00 0.00 0.00" in text.replace(
        "prepaid", "Prepaid"
    )
    assert "everything expired before 2026-01-02 5.00 EUR 0.00 5.00 0.00" in text
    other = shop.customer("none")
    assert "Grant Contract Kind" not in words(page(signed_in(), f"/admin/contracts/customer/{other.pk}/overview/"))


def test_the_customer_page_asks_as_much_for_thirty_grants_as_for_three(shop: Shop) -> None:
    def customer(key: str, number: int) -> Customer:
        credits = [GrantDraft("prepaid", Decimal(5), START, key=f"g{place}") for place in range(number)]
        return shop.sign(shop.customer(key), shop.version(BASE, plan=key), credits=credits).customer

    few, many = customer("few", 3), customer("many", 30)
    client = signed_in()
    address = "/admin/contracts/customer/{}/overview/"
    assert questions(client, address.format(many.pk)) == questions(client, address.format(few.pk))


def test_the_invoice_and_its_document_show_what_was_drawn_and_what_was_left(contract: Contract) -> None:
    invoice = Invoice.objects.get(number="INV-000002")
    text = words(page(signed_in(), f"/admin/billing/invoice/{invoice.pk}/change/"))
    assert "Total 119.00 Starter pack 0.00 left then -51.00 Amount due 68.00 EUR" in text
    assert "51.00 EUR of credit drawn from Starter pack" in text
    assert "After credit 20.00" in text
    printed = words(page(signed_in(), f"/admin/billing/invoice/{invoice.pk}/document/"))
    assert "Total 119.00 Starter pack 0.00 left -51.00 Amount due 68.00 EUR" in printed


def test_credit_is_granted_on_the_page_of_a_contract(contract: Contract) -> None:
    client = signed_in("amend_contract", "view_contract")
    text = words(grant(client, contract).content.decode())
    assert "Prepaid credit left 0.00 EUR 0.00 EUR, and the amount below if it is prepaid" in text
    asked = {"kind": "prepaid", "amount": "40", "reason": "Outage of 3 March", "priority": "0", "confirmed": "yes"}
    answer = grant(client, contract, **asked, starts_on="", applies_to="tokens, base", name="Outage", expires_on="")
    assert messages(answer) == ["40.00 EUR granted to C-acme as credit-1; 40.00 EUR of prepaid credit left."]
    row = CreditGrant.objects.get(key="credit-1")
    assert (row.applies_to, row.name, row.priority) == (["tokens", "base"], "Outage", 0)
    assert row.history.get().history_change_reason == "Outage of 3 March"
    assert row.history.get().history_user.username == User.objects.get().username
    refused = grant(client, contract, **(asked | {"applies_to": "seats", "amount": "-1"}))
    assert "applies_to: no line of the contract has a price seats" in messages(refused)[0]
    assert "amount: a grant is above zero" in messages(refused)[0]
    assert grant(signed_in(), contract, **asked).status_code == 200
    assert CreditGrant.objects.count() == 4


def test_the_page_that_issues_says_what_is_drawn_from_which_grant(shop: Shop) -> None:
    shop.seller.review_drafts = True
    shop.seller.save()
    shop.sign(shop.customer("acme"), shop.version(BASE), credits=[PACK])
    bill_run.run(instant("2026-01-01"))
    text = words(do_to_invoice(signed_in("issue_invoice"), "issue_invoice", Invoice.objects.get()).content.decode())
    assert "Starter pack left 150.00 EUR 51.00 EUR" in text
    assert "Amount due nothing 0.00 EUR" in text
