"""Open periods on the page of the day: whose are shown, what they amount to, and what that costs."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from billing.invoicing import bill_run
from catalog.models import PlanVersion
from contracts.models import Contract, ContractStatus
from revops.console.open_periods import PREVIEWED, most_billed, open_periods
from tests.billing.invoicing.conftest import START, Shop, instant

pytestmark = pytest.mark.django_db(databases=["default", "quarantine"])

AT = instant("2026-01-20T12:00")


@pytest.fixture
def shop(db: None) -> Shop:
    return Shop()


def fee(shop: Shop, amount: str, plan: str) -> PlanVersion:
    """A monthly fee in arrears: the open period amounts to the whole of it from its first day on."""
    flat = {"model": "flat", "flat_amount": amount}
    return shop.version({"key": "base", "kind": "recurring", "name": "Fee", "arithmetic": flat}, plan=plan)


def test_the_next_documents_are_shown_the_largest_first(shop: Shop) -> None:
    shop.sign(shop.customer("small"), fee(shop, "10.00", "s"))
    shop.sign(shop.customer("large"), fee(shop, "250.00", "l"))
    found = open_periods(AT)
    assert [(one.customer.key, one.total) for one in found.documents] == [
        ("large", Decimal("250.00")),
        ("small", Decimal("10.00")),
    ]
    assert (found.faults, found.others) == ([], 0)


def test_those_billed_most_come_first_and_the_others_are_counted(shop: Shop) -> None:
    """Fees of 1 to 14: the twelve largest invoices of January are of 3 to 14."""
    for n in range(1, PREVIEWED + 3):
        shop.sign(shop.customer(f"c{n}"), fee(shop, f"{n}.00", f"p{n}"))
    bill_run.run(instant("2026-02-03"))
    found = open_periods(instant("2026-02-10"))
    assert [int(one.total) for one in found.documents] == list(range(14, 2, -1))
    assert found.others == 2


def test_a_contract_that_cannot_be_read_costs_no_other_its_preview(shop: Shop) -> None:
    shop.sign(shop.customer("good"), fee(shop, "10.00", "s"))
    bare = shop.customer("bare")
    Contract.objects.create(
        number="X-1", customer=bare, seller=shop.seller, currency="EUR", starts_on=START, status=ContractStatus.APPROVED
    )
    found = open_periods(AT)
    assert [one.customer.key for one in found.documents] == ["good"]
    assert found.faults == ["contract X-1 has no line"]


def test_who_ended_is_not_chosen_for_an_old_invoice(shop: Shop) -> None:
    gone = shop.sign(shop.customer("gone"), fee(shop, "500.00", "g"))
    here = shop.sign(shop.customer("here"), fee(shop, "10.00", "h"))
    bill_run.run(instant("2026-02-03"))
    Contract.objects.filter(pk=gone.pk).update(status=ContractStatus.DRAFT)
    assert most_billed() == [here.customer_id]


def test_twelve_cost_the_same_queries_as_three(shop: Shop) -> None:
    def questions() -> int:
        with CaptureQueriesContext(connection) as asked:
            open_periods(AT)
        return len(asked)

    version = fee(shop, "10.00", "s")
    for n in range(3):
        shop.sign(shop.customer(f"c{n}"), version)
    few = questions()
    for n in range(3, 12):
        shop.sign(shop.customer(f"c{n}"), version)
    assert questions() == few


def test_the_page_shows_them_with_their_currency(shop: Shop, admin_client: Client) -> None:
    contract = shop.sign(shop.customer("acme"), fee(shop, "1234.50", "s"))
    page = admin_client.get("/admin/today/open-periods/").content.decode()
    assert "1,234.50 EUR" in page
    assert f'href="/admin/contracts/customer/{contract.customer_id}/change/"' in page


def test_without_contracts_the_page_says_what_to_do(db: None, admin_client: Client) -> None:
    assert "No contract is open" in admin_client.get("/admin/today/open-periods/").content.decode()
