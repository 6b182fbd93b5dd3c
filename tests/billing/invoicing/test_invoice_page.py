"""The page of a document: its lines explain themselves, and it names the documents it stands among."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError
from django.test import Client

from billing.admin.invoice_page import page_of
from billing.invoicing import bill_run
from billing.invoicing.crediting import void_invoice
from billing.models import Invoice
from contracts.drafts import DiscountDraft
from contracts.lifecycle import add_one_time
from contracts.models import Contract
from revops.api.keys import create_key
from revops.models import Scope
from tests.billing.invoicing.conftest import BASE, START, TOKENS, Shop, instant
from tests.billing.invoicing.console import LIST, do, page, questions, signed_in, use, words

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])


def document(number: str) -> Invoice:
    return Invoice.objects.select_related("contract", "customer", "seller").get(number=number)


def shown(number: str, client: Client | None = None) -> str:
    return words(page(client or signed_in(), f"{LIST}{document(number).pk}/change/"))


def tenth_off(**fields: Any) -> DiscountDraft:
    return DiscountDraft("percent", Decimal(10), START, key="tenth", **fields)


@pytest.fixture
def january(shop: Shop) -> Contract:
    """123,400 tokens at 0.01 are 1,234.00; a tenth off is 123.40; 19 % of 1,110.60 is 211.01."""
    shop.vat()
    contract = shop.sign(shop.customer("acme"), shop.version(TOKENS), discounts=[tenth_off(applies_to=("tokens",))])
    use("first-request", 123_400, "2026-01-10T10:00:00Z", "2026-01-10T10:01:00")
    bill_run.run(instant("2026-02-02"))
    return contract


def test_a_line_shows_its_steps_its_discount_and_what_is_left(january: Contract) -> None:
    text = shown("INV-000001")
    assert "Tokens Jan 2026 123,400 tokens 19 % 1,234.00" in text
    assert "123,400 \N{MULTIPLICATION SIGN} 0.01 = 1,234.00" in text
    assert "Discount 10 % on Tokens Jan 2026 19 % -123.40" in text
    assert "After discounts 1,110.60" in text
    assert "Tax 19 % on 1,110.60 de-vat 211.01" in text
    assert "Total 1,321.61" in text
    assert "Amount due 1,321.61 EUR" in text


def test_a_line_names_its_price_its_version_and_its_contract_line(january: Contract) -> None:
    html = page(signed_in(), f"{LIST}{document('INV-000001').pk}/change/")
    version = january.lines.get().plan_version
    price = version.prices.get()
    for link in (
        f"/admin/catalog/price/{price.pk}/change/",
        f"/admin/catalog/planversion/{version.pk}/change/",
        f"/admin/catalog/meter/{price.meter_id}/change/",
        f"/admin/contracts/contractline/{january.lines.get().pk}/change/",
        f"/admin/contracts/discount/{january.discounts.get().pk}/change/",
    ):
        assert f'href="{link}"' in html


def test_an_adjustment_shows_before_and_after_and_the_line_it_corrects(january: Contract) -> None:
    # 5,000 more: 50.00 on 1,234.00; the discount goes from -123.40 to -128.40.
    use("second-request", 5_000, "2026-01-11T10:00:00Z", "2026-02-03T10:00:00")
    bill_run.run(instant("2026-03-02"))
    text = shown("INV-000002")
    assert "Corrections of earlier periods" in text
    assert "Corrects line 1 of INV-000001 : 5,000 tokens more than was billed, from late or corrected events." in text
    assert "Quantity 123,400 +5,000 128,400" in text
    assert "Amount 1,234.00 +50.00 1,284.00" in text
    assert "Corrects line 2 of INV-000001 : -123.40 becomes -128.40, because what it reduces changed." in text
    assert "already billed, 123,400 used" in text
    assert "Corrects INV-000001 Issued 1,321.61 EUR" in text
    before = shown("INV-000001")
    assert "corrected by INV-000002" in before
    assert "2 lines corrected by 45.00 EUR on INV-000002" in before


def test_a_chain_of_adjustments_is_told_from_its_first_line(january: Contract) -> None:
    use("second-request", 5_000, "2026-01-11T10:00:00Z", "2026-02-03T10:00:00")
    bill_run.run(instant("2026-03-02"))
    use("third-request", 600, "2026-01-12T10:00:00Z", "2026-03-03T10:00:00")
    bill_run.run(instant("2026-04-02"))
    text = shown("INV-000003")
    assert "Amount 1,284.00 +6.00 1,290.00" in text
    assert "Every line of this charge: INV-000001 1,234.00, INV-000002 50.00, INV-000003 6.00." in text


def test_an_adjustment_by_changed_terms_names_the_amendment(january: Contract) -> None:
    robin = User.objects.create_user("robin")
    add_one_time(january, "setup", "Setup", Decimal(200), dt.date(2026, 1, 5), at=instant("2026-02-10"), by=robin)
    bill_run.run(instant("2026-03-02"))
    text = shown("INV-000002")
    assert "Not billed before: the terms changed." in text
    assert "Amount 0.00 +200.00 200.00" in text
    assert "Terms changed on 2026-02-10 by robin: Setup" in text


def test_a_voided_invoice_and_the_one_that_bills_it_again_name_each_other(january: Contract) -> None:
    fiona = User.objects.create_user("fiona")
    void_invoice(document("INV-000001"), reason="Wrong address", at=instant("2026-02-03"), by=fiona)
    bill_run.run(instant("2026-02-04"), by=fiona)
    old, new = shown("INV-000001"), shown("INV-000002")
    assert "Void since 3 Feb 2026, 00:00: Wrong address." in old
    assert "Billed again on INV-000002 Issued 1,321.61 EUR" in old
    assert "Voided: Wrong address fiona" in old
    assert "Amount due 0.00 EUR" in old
    assert "Replaces the voided INV-000001 Voided 1,321.61 EUR" in new
    assert "Issued as INV-000002 bill run, started by fiona" in new


def test_a_waived_invoice_leads_to_its_waiver(january: Contract) -> None:
    void_invoice(document("INV-000001"), reason="Goodwill", at=instant("2026-02-03"), waive=True)
    bill_run.run(instant("2026-02-04"))
    assert "Waived on INV-000002" in shown("INV-000001")
    assert "Waived: INV-000001" in shown("INV-000002")


def test_credit_is_shown_on_the_note_and_on_what_it_paid(shop: Shop) -> None:
    # February's base of 99.00 is billed with a credit of 150.00: a note of 51.00. March's invoice of 99.00 draws it.
    contract = shop.sign(shop.customer("acme"), shop.version(BASE))
    bill_run.run(instant("2026-01-01"))
    add_one_time(contract, "gone", "Lost data", Decimal(-150), dt.date(2026, 1, 20), at=instant("2026-01-21"))
    bill_run.run(instant("2026-02-02"))
    note = document("CN-000001")
    assert "Credit left 51.00 EUR of 51.00 in all" in shown("CN-000001")
    bill_run.run(instant("2026-03-02"))
    drawn = shown("INV-000002")
    assert "Credit note CN-000001 0.00 left then -51.00" in drawn
    assert "Amount due 48.00 EUR" in drawn
    spent = shown("CN-000001")
    assert "Spent on INV-000002 51.00" in spent
    assert "Credit left 0.00 EUR" in spent
    assert page(signed_in(), f"/admin/billing/creditnote/{note.pk}/change/")


def test_who_issued_and_who_voided_is_kept_also_for_an_api_key(shop: Shop, client: Client) -> None:
    shop.seller.review_drafts = True
    shop.seller.save()
    shop.sign(shop.customer("acme"), shop.version(BASE))
    bill_run.run(instant("2026-01-01"))
    draft = Invoice.objects.get()
    key, secret = create_key("ERP", [Scope.BILLING_WRITE], at=instant("2026-01-01"), by="admin")
    headers = {"Authorization": f"Bearer {secret}"}
    address = f"/api/v1/invoices/{draft.pk}"
    assert client.post(f"{address}/issue", content_type="application/json", headers=headers).status_code == 200
    said = client.post(f"{address}/void", {"reason": "Test"}, content_type="application/json", headers=headers)
    assert said.status_code == 200
    draft.refresh_from_db()
    assert (draft.issued_by, draft.voided_by) == (f"API key {key}", f"API key {key}")
    assert f"Issued as INV-000001 API key {key}" in shown("INV-000001")


def test_who_issued_cannot_be_rewritten(january: Contract) -> None:
    with pytest.raises(IntegrityError, match="its content cannot change"):
        Invoice.objects.update(issued_by="somebody else")


def test_a_page_asks_as_many_questions_for_30_lines_as_for_3(shop: Shop) -> None:
    """Every line has a discount, and an adjustment of the month before."""
    auditor = signed_in()
    pages = []
    for count in (3, 30):
        prices = [{**TOKENS, "key": f"tokens-{n}", "name": f"Tokens {n}"} for n in range(count)]
        key = f"acme-{count}"
        shop.sign(shop.customer(key), shop.version(*prices, plan=f"plan-{count}"), discounts=[tenth_off()])
        use(f"first-{count}", 1_000, "2026-01-10T10:00:00Z", "2026-01-10T10:01:00", subject=key)
    bill_run.run(instant("2026-02-02"))
    for count in (3, 30):
        use(f"late-{count}", 500, "2026-01-11T10:00:00Z", "2026-02-03T10:00:00", subject=f"acme-{count}")
    bill_run.run(instant("2026-03-02"))
    for count in (3, 30):
        latest = Invoice.objects.filter(customer__key=f"acme-{count}").latest("pk")
        assert latest.lines.filter(kind="adjustment").count() == 2 * count
        pages.append(questions(auditor, f"{LIST}{latest.pk}/change/"))
    assert pages[0] == pages[1]


def test_an_auditor_sees_everything_and_can_do_nothing(january: Contract) -> None:
    auditor = signed_in()
    html = page(auditor, f"{LIST}{document('INV-000001').pk}/change/")
    assert "deed-form" not in html
    for deed in ("issue_invoice", "void_invoice", "discard_draft"):
        do(auditor, deed, document("INV-000001"), confirmed="yes", reason="No")
    assert document("INV-000001").status == "issued"


def test_long_words_of_a_customer_are_text(shop: Shop) -> None:
    name = "<b>" + "Donaudampfschifffahrtsgesellschaft " * 5
    customer = shop.customer("acme", billing_address="<script>1</script>")
    customer.name = name[:200]
    customer.save()
    shop.sign(customer, shop.version(BASE))
    bill_run.run(instant("2026-01-01"))
    html = page(signed_in(), f"{LIST}{document('INV-000001').pk}/change/")
    assert "&lt;b&gt;Donau" in html
    assert "<script>1" not in html


def test_the_net_of_all_groups_is_the_subtotal(january: Contract) -> None:
    use("second-request", 5_000, "2026-01-11T10:00:00Z", "2026-02-03T10:00:00")
    use("third-request", 70, "2026-02-11T10:00:00Z", "2026-02-12T10:00:00")
    bill_run.run(instant("2026-03-02"))
    latest = document("INV-000002")
    # 70 at 0.01 less a tenth: 0.63; the corrections: 50.00 - 5.00.
    assert [(group.title, group.amount) for group in page_of(latest)["groups"]] == [
        ("Pro, version 1", Decimal("0.63")),
        ("Corrections of earlier periods", Decimal("45.00")),
    ]
    assert latest.subtotal == Decimal("45.63")
