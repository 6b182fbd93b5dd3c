"""Background entry points."""

from __future__ import annotations

import pytest

from billing.models import BillRun, Invoice
from billing.tasks import bill_run, deliver_notices, estimate_held_again, give_notices, review_held
from tests.billing.invoicing.conftest import BASE, Shop, instant

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])


@pytest.fixture
def shop(transactional_db: None) -> Shop:
    return Shop()


def test_a_late_worker_bills_the_instant_that_was_meant(shop: Shop) -> None:
    shop.sign(shop.customer("acme"), shop.version(BASE))
    assert bill_run("2025-12-31T23:00:00+00:00")["invoices"] == []
    done = bill_run("2026-01-01T01:00:00+01:00")
    assert done == {
        "at": "2026-01-01T01:00:00+01:00",
        "closed": 0,
        "invoices": ["INV-000001"],
        "credit_notes": [],
        "failures": [],
    }
    assert Invoice.objects.get().issued_at == instant("2026-01-01")
    assert BillRun.objects.count() == 2


def test_the_worker_goes_on_with_releases_and_estimates_what_is_held(shop: Shop) -> None:
    assert review_held("2026-01-01T00:05:00Z") == {"released": 0, "estimated": 0}
    assert estimate_held_again("2026-01-01T00:00:00Z") == {"estimated": 0}


def test_the_worker_gives_notices_and_delivers_them(shop: Shop) -> None:
    assert give_notices("2026-01-01T00:01:00Z") == {"given": 0}
    assert deliver_notices("2026-01-01T00:01:00Z") == {"delivered": 0, "failed": 0}


def test_an_instant_without_an_offset_is_refused() -> None:
    with pytest.raises(ValueError, match="has no offset"):
        bill_run("2026-01-01T00:00:00")
