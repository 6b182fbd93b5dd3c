"""From events to lines, through the real ingestion: closes, late use, what races with a run."""

from __future__ import annotations

import datetime as dt
import json
import threading
from decimal import Decimal

import pytest
from django.db import connections
from django.db.models import Sum

from billing.invoicing import bill_run
from billing.invoicing.preview import previews
from billing.metering.ingestion import ingest
from billing.models import Invoice, InvoiceLine, PeriodClose, UsageClock
from contracts.drafts import DiscountDraft
from contracts.lifecycle import amend
from tests.billing.invoicing.conftest import TOKENS, Shop, instant

pytestmark = [pytest.mark.sql, pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])]


def send(id: str, tokens: int, time: str, received: str, subject: str = "acme") -> None:
    event = {
        "specversion": "1.0",
        "id": id,
        "source": "gw",
        "type": "llm.request",
        "subject": subject,
        "time": f"{time}Z",
        "data": {"tokens": tokens},
    }
    result = ingest(json.dumps(event).encode(), at=instant(received), door="test")
    assert (result.accepted, result.duplicates) == (1, 0)


def lines(invoice: dict[str, object]) -> list[tuple[object, ...]]:
    return [(line["kind"], line["quantity"], line["amount"]) for line in invoice["lines"]]  # type: ignore[index,attr-defined]


def test_late_use_is_an_adjustment_that_names_the_line_it_corrects(shop: Shop) -> None:
    shop.vat()
    shop.sign(shop.customer("acme"), shop.version(TOKENS))
    send("e1", 250, "2026-01-10T10:00:00", "2026-01-10T10:00:01")
    [january] = bill_run.run(instant("2026-02-02")).invoices
    # 2.50 and 19 %, 0.475, so 0.48
    assert (lines(january), january["total"]) == ([("usage", "250", "2.50")], "2.98")
    send("e2", 50, "2026-01-31T23:59:59.999999", "2026-02-03T00:00:00")
    send("e3", 100, "2026-02-05T00:00:00", "2026-02-05T00:00:00")
    assert bill_run.run(instant("2026-02-10")).invoices == []
    [february] = bill_run.run(instant("2026-03-02")).invoices
    assert lines(february) == [("usage", "100", "1.00"), ("adjustment", "50", "0.50")]
    assert february["lines"][1]["corrects"] == january["lines"][0]["id"]
    send("e4", 50, "2026-01-01T00:00:00", "2026-03-03T00:00:00")
    [march] = bill_run.run(instant("2026-04-02")).invoices
    # 3.50 in all is 0.665, so 0.67 of tax; 0.48 and 0.09 are billed, 0.10 is left
    assert march["lines"][0]["corrects"] == february["lines"][1]["id"]
    assert march["tax"] == [{"code": "de-vat", "percent": "19", "base": "0.50", "amount": "0.10"}]


def test_use_inside_the_tolerance_window_is_ordinary_use(shop: Shop) -> None:
    shop.sign(shop.customer("acme"), shop.version(TOKENS))
    send("e1", 250, "2026-01-31T23:00:00", "2026-02-01T20:00:00")
    assert bill_run.run(instant("2026-02-01T23:59:59")).invoices == []
    [january] = bill_run.run(instant("2026-02-02")).invoices
    assert lines(january) == [("usage", "250", "2.50")]


def test_a_backdated_discount_comes_back_on_the_next_invoice(shop: Shop) -> None:
    contract = shop.sign(shop.customer("acme"), shop.version(TOKENS))
    send("e1", 10000, "2026-01-10T10:00:00", "2026-01-10T10:00:00")
    bill_run.run(instant("2026-02-02"))
    discount = DiscountDraft("percent", Decimal(10), dt.date(2026, 1, 1), applies_to=("tokens",))
    amend(contract, at=instant("2026-02-10"), discounts=[discount])
    send("e2", 20000, "2026-02-10T10:00:00", "2026-02-10T10:00:00")
    [february] = bill_run.run(instant("2026-03-02")).invoices
    assert lines(february) == [
        ("usage", "20000", "200.00"),
        ("discount", "1", "-20.00"),
        ("adjustment", "1", "-10.00"),
    ]
    assert bill_run.run(instant("2026-03-03")).invoices == []


def test_a_preview_sees_an_event_at_once_and_late_use_of_a_closed_period(shop: Shop) -> None:
    customer = shop.customer("acme")
    shop.sign(customer, shop.version(TOKENS))
    assert previews(customer, instant("2026-01-05"))[0]["total"] == "0.00"
    send("e1", 250, "2026-01-10T10:00:00", "2026-01-10T10:00:01")
    assert previews(customer, instant("2026-01-10T10:00:02"))[0]["total"] == "2.50"
    bill_run.run(instant("2026-02-02"))
    send("e2", 50, "2026-01-31T00:00:00", "2026-02-03T00:00:00")
    [shown] = previews(customer, instant("2026-02-03"))
    assert lines(shown) == [("adjustment", "50", "0.50")]
    assert not PeriodClose.objects.filter(stale=True).exists()


def test_only_what_changed_is_rated_again(shop: Shop) -> None:
    shop.sign(shop.customer("acme"), shop.version(TOKENS))
    send("e1", 250, "2026-01-10T10:00:00", "2026-01-10T10:00:01")
    send("e2", 250, "2026-02-10T10:00:00", "2026-02-10T10:00:01")
    bill_run.run(instant("2026-03-02"))
    january, february = PeriodClose.objects.order_by("starts_at")
    assert (january.clock, february.clock) == (2, 2)
    send("e3", 250, "2026-02-20T10:00:00", "2026-03-03T10:00:01")
    bill_run.run(instant("2026-03-04"))
    assert list(PeriodClose.objects.order_by("starts_at").values_list("stale", flat=True)) == [False, True]
    assert UsageClock.objects.get().dirty_from is None
    bill_run.run(instant("2026-04-02"))
    january.refresh_from_db()
    february.refresh_from_db()
    assert (january.clock, february.clock, february.stale) == (2, 3, False)


def test_use_that_arrives_while_runs_go_on_is_billed_exactly_once(shop: Shop) -> None:
    """Two senders and two runs at once; when all is quiet, every token is on one line."""
    shop.sign(shop.customer("acme"), shop.version(TOKENS))
    send("first", 1, "2026-01-10T10:00:00", "2026-01-10T10:00:00")
    faults: list[BaseException] = []

    def sender(name: str) -> None:
        for number in range(40):
            send(f"{name}-{number}", 100, f"2026-01-{number % 28 + 1:02d}T12:00:00", "2026-02-02T00:00:00")

    def biller(day: int) -> None:
        for month in range(2, 8):
            bill_run.run(instant(f"2026-{month:02d}-{day:02d}"))

    def guarded(work: object, argument: object) -> None:
        try:
            work(argument)  # type: ignore[operator]
        except BaseException as error:
            faults.append(error)
        finally:
            connections.close_all()

    jobs = [(sender, "a"), (sender, "b"), (biller, 2), (biller, 3)]
    threads = [threading.Thread(target=guarded, args=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    bill_run.run(instant("2026-12-02"))
    billed = InvoiceLine.objects.filter(price="tokens").aggregate(quantity=Sum("quantity"), amount=Sum("amount"))
    assert billed == {"quantity": Decimal(8001), "amount": Decimal("80.01")}
    assert not Invoice.objects.filter(total__lt=0).exists()
