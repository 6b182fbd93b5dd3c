"""The printable document: what a customer reads."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal

import pytest

from billing.invoicing import bill_run
from billing.invoicing.crediting import void_invoice
from billing.invoicing.rendering import for_rendering, invoice_html
from billing.metering.corrections import void_event
from billing.metering.ingestion import ingest
from billing.models import Invoice
from catalog.models import Seller, TaxRate
from contracts.drafts import DiscountDraft
from contracts.models import Customer
from tests.billing.invoicing.conftest import BASE, TOKENS, Shop, instant

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])


def document(**which: object) -> str:
    return invoice_html(for_rendering(Invoice.objects.filter(**which)).get())


def use(id: str, tokens: int, day: str) -> None:
    event = {"specversion": "1.0", "id": id, "source": "gw", "type": "llm.request", "subject": "acme"}
    event |= {"time": f"{day}T10:00:00Z", "data": {"tokens": tokens}}  # type: ignore[dict-item]
    ingest(json.dumps(event).encode(), at=instant(day) + dt.timedelta(hours=11), door="test")


def test_it_names_both_parties_the_period_and_what_is_due(shop: Shop) -> None:
    shop.vat()
    customer = shop.customer("acme", billing_address="Main Street 1\n80331 Munich", tax_id="DE123")
    shop.sign(customer, shop.version(BASE), purchase_order="PO-7", payment_terms_days=14)
    bill_run.run(instant("2026-01-01"))
    shown = document()
    for text in (
        "INV-000001",
        "Watertight Inc",
        "Main Street 1<br>80331 Munich",
        "Tax ID DE123",
        "PO-7",
        "1 January 2026 to 31 January 2026",
        "15 January 2026",  # issued on the 1st, 14 days to pay
        "Tax 19 % on 99.00",
        "18.81",
        "117.81 EUR",
    ):
        assert text in shown
    assert "DRAFT" not in shown
    assert "VOID" not in shown


def test_what_people_wrote_is_never_markup(shop: Shop) -> None:
    customer = shop.customer("acme", billing_address="<script>alert(1)</script>")
    shop.sign(customer, shop.version({**BASE, "name": "<b>Base</b> & more"}))
    bill_run.run(instant("2026-01-01"))
    shown = document()
    assert "<script>" not in shown
    assert "&lt;b&gt;Base&lt;/b&gt; &amp; more" in shown


def test_amounts_have_separators_and_the_places_of_their_currency(shop: Shop) -> None:
    off = DiscountDraft("percent", Decimal(10), dt.date(2026, 1, 1))
    shop.sign(shop.customer("acme"), shop.version(TOKENS), discounts=[off])
    use("e1", 1_234_567, "2026-01-10")
    bill_run.run(instant("2026-02-02"))
    shown = document()
    # 12,345.67 less 10 % (1,234.567, so 1,234.57) is 11,111.10
    for text in ("1,234,567 tokens", "12,345.67", "-1,234.57", "11,111.10 EUR"):
        assert text in shown


def test_a_draft_and_a_void_document_are_marked(shop: Shop) -> None:
    shop.seller.review_drafts = True
    shop.seller.save()
    shop.sign(shop.customer("acme"), shop.version(BASE))
    bill_run.run(instant("2026-01-01"))
    assert "DRAFT: not issued, not payable, and without a number." in document()
    shop.seller.review_drafts = False
    shop.seller.save()
    shop.sign(shop.customer("beta"), shop.version(BASE, plan="other"))
    bill_run.run(instant("2026-01-01"))
    issued = Invoice.objects.get(customer__key="beta")
    void_invoice(issued, reason="internal remark", at=instant("2026-01-05"))
    shown = document(customer__key="beta")
    assert "VOID since 5 January 2026" in shown
    assert "0.00 EUR" in shown
    assert "internal remark" not in shown


def test_a_credit_note_is_worded_as_one_and_names_what_it_corrects(shop: Shop) -> None:
    shop.sign(shop.customer("acme"), shop.version(TOKENS), ends_on=dt.date(2026, 2, 1))
    use("e1", 250, "2026-01-10")
    use("e2", 1000, "2026-01-11")
    bill_run.run(instant("2026-02-02"))
    void_event("gw", "e1", reason="test traffic", at=instant("2026-02-03"))
    bill_run.run(instant("2026-02-04"))
    shown = document(document="credit_note")
    assert "Credit note" in shown
    assert "corrects line 1 of INV-000001" in shown
    # 250 at 0.01
    assert "2.50 EUR" in shown
    assert "Please pay" not in shown


def test_reverse_charge_names_both_vat_ids(shop: Shop) -> None:
    Seller.objects.update(country="DE", tax_id="DE 129 274 202")
    shop.seller.refresh_from_db()
    customer = shop.customer("acme", tax_id="FR 40 303 265 045")
    Customer.objects.update(country="FR")
    TaxRate.objects.create(code="fr-vat", percent=Decimal(20), country="FR")
    shop.sign(customer, shop.version(BASE))
    bill_run.run(instant("2026-01-01"))
    shown = document()
    assert "Tax 0 % on 99.00" in shown
    assert (
        "Reverse charge: VAT to be accounted for by the recipient. VAT ID of the supplier DE129274202, of the recipient"
        " FR40303265045."
    ) in shown
    assert "99.00 EUR" in shown


def test_an_exemption_says_why(shop: Shop) -> None:
    shop.vat()
    shop.sign(shop.customer("acme", tax_exempt=True, tax_exempt_reason="Hospital"), shop.version(BASE))
    bill_run.run(instant("2026-01-01"))
    assert "Exempt from tax: Hospital." in document()
