"""The desk of documents: what it shows, its deeds with their confirm pages, and who may do them."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from billing.invoicing import bill_run
from billing.models import Invoice, InvoiceLine, InvoiceStatus
from tests.billing.invoicing.conftest import BASE, TOKENS, Shop, instant
from tests.billing.invoicing.console import LIST, do, messages, page, signed_in, use, words

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])


@pytest.fixture
def invoice(shop: Shop) -> Invoice:
    """99.00 before and 117.81 with tax (19 % of 99.00 is 18.81), issued on 1 January."""
    shop.vat()
    shop.sign(shop.customer("acme", billing_address="Main Street 1"), shop.version(BASE, TOKENS))
    bill_run.run(instant("2026-01-01"))
    return Invoice.objects.get()


@pytest.fixture
def draft(shop: Shop) -> Invoice:
    shop.seller.review_drafts = True
    shop.seller.save()
    shop.sign(shop.customer("acme"), shop.version(BASE))
    bill_run.run(instant("2026-01-01"))
    return Invoice.objects.get()


def test_a_void_shows_the_money_before_and_after_and_then_asks_why(invoice: Invoice) -> None:
    finance = signed_in("void_invoice")
    shown = do(finance, "void_invoice", invoice)
    changes = [(one.subject, one.before, one.after) for one in shown.context["cases"][0]["changes"]]
    assert changes == [
        ("Status", "Issued", "Voided"),
        ("Billed before tax", "99.00 EUR", "0.00 EUR"),
        ("Total", "117.81 EUR", "0.00 EUR"),
        ("Amount due", "117.81 EUR", "0.00 EUR"),
        ("The customer owes", "117.81 EUR", "0.00 EUR"),
    ]
    assert Invoice.objects.get().status == InvoiceStatus.ISSUED
    again = do(finance, "void_invoice", invoice, confirmed="yes", reason="")
    assert again.context["form"].errors["reason"] == ["This field is required."]
    done = do(finance, "void_invoice", invoice, confirmed="yes", reason="Wrong address")
    assert messages(done) == ["INV-000001 is void; the next bill run bills its period again."]
    assert done.redirect_chain == [(f"{LIST}{invoice.pk}/change/", 302)]
    voided = Invoice.objects.get()
    assert (voided.status, voided.void_reason, voided.waived) == ("voided", "Wrong address", False)
    assert "117.81 EUR 0.00 EUR" in words(page(finance, LIST))  # its total, and what is due on it


def test_a_deed_that_cannot_be_done_says_why(invoice: Invoice) -> None:
    finance = signed_in("void_invoice")
    do(finance, "void_invoice", invoice, confirmed="yes", reason="Wrong address", waive="on")
    refused = do(finance, "void_invoice", invoice, confirmed="yes", reason="Once more")
    assert messages(refused) == ["INV-000001: INV-000001 is voided already."]
    assert "can be voided" in do(finance, "void_invoice", invoice).context["cases"][0]["refusal"]
    assert Invoice.objects.get().waived


def test_a_deed_needs_its_own_permission(invoice: Invoice) -> None:
    clerk = signed_in("issue_invoice")
    assert "Void" not in page(clerk, f"{LIST}{invoice.pk}/change/")
    do(clerk, "void_invoice", invoice, confirmed="yes", reason="Not mine to do")
    assert Invoice.objects.get().status == InvoiceStatus.ISSUED


def test_a_draft_is_issued_or_discarded(draft: Invoice) -> None:
    finance = signed_in("issue_invoice", "delete_invoice")
    shown = do(finance, "issue_invoice", draft)
    assert [one.after for one in shown.context["cases"][0]["changes"]] == [
        "the next",
        "99.00 EUR",
        "0.00 EUR",
        "99.00 EUR",
        "99.00 EUR",
    ]
    done = do(finance, "issue_invoice", draft, confirmed="yes")
    assert messages(done)[0].startswith("INV-000001 is issued; 99.00 EUR due on ")
    assert "INV-000001 is issued: void it instead" in messages(do(finance, "discard_draft", draft, confirmed="yes"))[0]


def test_a_discarded_draft_is_gone(draft: Invoice) -> None:
    done = do(signed_in("delete_invoice"), "discard_draft", draft, confirmed="yes", origin="")
    assert messages(done) == ["The draft is gone; the next bill run makes it anew."]
    assert not Invoice.objects.exists()


def test_an_invoice_is_only_read(invoice: Invoice) -> None:
    boss = Client()
    boss.force_login(User.objects.create_superuser("boss"))
    address = f"{LIST}{invoice.pk}/"
    assert boss.post(f"{address}change/", {"total": "1"}).status_code == 403
    assert boss.post(f"{address}delete/", {"post": "yes"}).status_code == 403
    assert boss.get(f"{LIST}add/").status_code == 403


def test_the_events_of_an_adjustment_are_those_that_came_late(shop: Shop) -> None:
    shop.sign(shop.customer("acme"), shop.version(TOKENS))
    use("first-request", 123_400, "2026-01-10T10:00:00Z", "2026-01-10T10:01:00")
    bill_run.run(instant("2026-02-02"))
    use("second-request", 5_000, "2026-01-11T10:00:00Z", "2026-02-03T10:00:00")
    bill_run.run(instant("2026-03-02"))
    auditor = signed_in()
    corrected = InvoiceLine.objects.get(invoice__number="INV-000002")
    for address in ("events/", "first-events/", "events.csv"):
        answer = auditor.get(f"/admin/billing/invoiceline/{corrected.pk}/{address}")
        shown = answer.getvalue().decode() if answer.streaming else answer.content.decode()
        assert "second-request" in shown
        assert "first-request" not in shown


def test_events_need_their_own_permission(shop: Shop) -> None:
    shop.sign(shop.customer("acme"), shop.version(TOKENS))
    use("first-request", 700, "2026-01-10T10:00:00Z", "2026-01-10T10:01:00")
    bill_run.run(instant("2026-02-02"))
    line = InvoiceLine.objects.get()
    sales = User.objects.create_user("sam", is_staff=True)
    sales.user_permissions.set(Permission.objects.filter(codename__in=["view_invoice", "view_invoiceline"]))
    client = Client()
    client.force_login(sales)
    for address in ("events/", "first-events/", "events.csv"):
        assert client.get(f"/admin/billing/invoiceline/{line.pk}/{address}").status_code == 403
    assert "first-events" not in page(client, f"{LIST}{line.invoice_id}/change/")


def test_the_latest_events_of_a_customer_are_shown(shop: Shop) -> None:
    customer = shop.customer("acme")
    shop.sign(customer, shop.version(TOKENS))
    use("first-request", 700, "2026-01-10T10:00:00Z", "2026-01-10T10:01:00")
    shown = page(signed_in(), f"/admin/billing/usageclock/customer/{customer.pk}/")
    assert "first-request" in shown


def test_billing_is_run_from_the_list_of_invoices(shop: Shop) -> None:
    shop.sign(shop.customer("acme"), shop.version(BASE), ends_on=instant("2026-02-01").date())
    finance = signed_in("run_billing")
    shown = page(finance, f"{LIST}run-billing/")
    assert "99.00 EUR" in shown
    assert not Invoice.objects.exists()
    done = finance.post(f"{LIST}run-billing/", follow=True)
    assert messages(done) == ["Billing was run: 1 periods closed, 1 invoices, 0 credit notes."]
    assert signed_in().get(f"{LIST}run-billing/").status_code == 403


def test_the_document_opens_for_who_may_see_invoices(invoice: Invoice) -> None:
    assert "INV-000001" in page(signed_in(), f"{LIST}{invoice.pk}/document/")
    stranger = Client()
    stranger.force_login(User.objects.create_user("stranger", is_staff=True))
    assert stranger.get(f"{LIST}{invoice.pk}/document/").status_code == 403
