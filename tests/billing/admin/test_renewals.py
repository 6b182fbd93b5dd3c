"""Contracts that come to their end: nothing of it goes unnoticed."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from billing.admin.renewals import renewals
from billing.invoicing import bill_run
from contracts.extending import Renewal
from contracts.models import Contract
from tests.billing.invoicing.conftest import BASE, Shop, shop
from tests.billing.invoicing.console import page, signed_in, words
from tests.revops.console.test_today import clerk

__all__ = ["shop"]

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])

AUTO = Renewal(auto=True, months=6, notice_days=30, uplift_percent=Decimal(5))


def day(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


@pytest.fixture
def ending(shop: Shop) -> Shop:
    """One that renews by itself, one by hand, one that ends in a year."""
    version = shop.version({**BASE, "billing": "in_arrears"})
    for key, end, renewal in (
        ("auto", "2026-04-01", AUTO), ("hand", "2026-03-01", Renewal()), ("later", "2027-01-01", AUTO),
    ):  # fmt: skip
        shop.sign(shop.customer(key), version, ends_on=dt.date.fromisoformat(end), **renewal.columns())
    bill_run.run(day("2026-02-02"))
    return shop


def states(at: str) -> list[tuple[str, str, str]]:
    return [(one.contract.number, one.tone, one.state) for one in renewals(day(at), with_money=True)]


def test_it_says_what_becomes_of_each(ending: Shop) -> None:
    assert states("2026-02-10") == [
        ("C-hand", "warn", "ends in 19 days unless it is renewed"),
        ("C-auto", "good", "renews by itself in 20 days"),
    ]
    assert states("2026-03-01") == [
        ("C-hand", "bad", "ends today"),
        ("C-auto", "good", "renews by itself in 1 day"),
    ]
    assert states("2026-03-02") == [("C-auto", "warn", "renews with the next bill run")]
    # Nothing was run since: what should have been renewed stays in sight, what was to end does not.
    assert states("2026-04-02") == [("C-auto", "bad", "has ended and was not renewed")]


def test_it_says_what_is_at_stake(ending: Shop) -> None:
    found = {one.contract.number: one for one in renewals(day("2026-02-10"), with_money=True)}
    auto = found["C-auto"]
    assert (auto.value, auto.value_after) == (99, Decimal("103.95"))  # 5 % more
    assert (auto.period_start, auto.period_end) == (dt.date(2026, 1, 1), dt.date(2026, 2, 1))
    assert (auto.notice_on, auto.runs_until) == (dt.date(2026, 3, 2), dt.date(2026, 10, 1))
    assert renewals(day("2026-02-10"), with_money=False)[0].value is None


def test_the_number_of_queries_does_not_grow(ending: Shop) -> None:
    with CaptureQueriesContext(connection) as few:
        renewals(day("2026-02-10"), with_money=True)
    version = Contract.objects.get(number="C-auto").lines.get().plan_version
    for number in range(5):
        shop_customer = ending.customer(f"more-{number}")
        ending.sign(shop_customer, version, ends_on=dt.date(2026, 4, 1), **AUTO.columns())
    with CaptureQueriesContext(connection) as many:
        assert len(renewals(day("2026-02-10"), with_money=True)) == 7
    assert len(many) == len(few) == 2


def test_the_page_and_the_day_lead_to_them(ending: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django.utils.timezone.now", lambda: day("2026-02-10"))
    ann = signed_in()
    text = words(page(ann, "/admin/contracts/contract/renewals/"))
    assert "2026-03-01 C-hand Hand ends in 19 days unless it is renewed - 2027-03-01 12 months 0 % 99.00 EUR" in text
    assert "2026-03-02 2026-10-01 6 months 5 % 99.00 EUR Jan 2026 with the uplift ≈ 103.95" in text
    today = page(ann, "/admin/")
    assert "/admin/contracts/contract/renewals/" in today
    assert "End within 90 days 2 1 unless they are renewed 1 by themselves renewed" in words(today)


def test_nobody_without_the_right_sees_them(ending: Shop, client: Client) -> None:
    client.force_login(clerk("contracts.view_customer"))
    assert client.get("/admin/contracts/contract/renewals/").status_code == 403
