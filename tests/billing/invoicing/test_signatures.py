"""Who did a thing to a document: a person, a bill run somebody started, an API key, or nobody signed in."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from billing.invoicing import bill_run
from billing.invoicing.crediting import void_invoice
from billing.invoicing.issuing import issue
from billing.models import BillRun, Invoice
from tests.billing.invoicing.conftest import BASE, Shop, instant

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_bill_run_signs_what_it_issues_and_says_who_started_it(shop: Shop) -> None:
    shop.sign(shop.customer("acme"), shop.version(BASE))
    bill_run.run(instant("2026-01-01"))
    assert (Invoice.objects.get().issued_by, BillRun.objects.get().by) == ("bill run", "")
    fiona = User.objects.create_user("fiona")
    bill_run.run(instant("2026-02-02"), by=fiona)
    assert Invoice.objects.latest("pk").issued_by == "bill run, started by fiona"
    assert BillRun.objects.latest("pk").by == "fiona"


def test_a_person_signs_an_issue_and_a_void(shop: Shop) -> None:
    shop.seller.review_drafts = True
    shop.seller.save()
    shop.sign(shop.customer("acme"), shop.version(BASE))
    bill_run.run(instant("2026-01-01"))
    draft = Invoice.objects.get()
    assert draft.issued_by == ""
    fiona = User.objects.create_user("fiona")
    issue(draft, at=instant("2026-01-02"), by=fiona)
    void_invoice(draft, reason="Wrong", at=instant("2026-01-03"), by="API key ERP")
    draft.refresh_from_db()
    assert (draft.issued_by, draft.voided_by) == ("fiona", "API key ERP")


def test_a_waiver_over_the_api_names_the_key_in_the_contracts_history(shop: Shop) -> None:
    contract = shop.sign(shop.customer("acme"), shop.version(BASE))
    bill_run.run(instant("2026-01-01"))
    void_invoice(Invoice.objects.get(), reason="Wrong", at=instant("2026-01-03"), waive=True, by="API key ERP")
    latest = contract.history.latest()
    assert latest.history_user is None
    assert "API key ERP" in latest.history_change_reason
