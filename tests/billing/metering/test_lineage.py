import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from billing.invoicing import bill_run
from billing.invoicing.crediting import void_invoice
from billing.metering.corrections import amend_event, void_event
from billing.metering.lineage import events_behind, lines_of
from billing.models import Event, Invoice, InvoiceLine
from contracts.lifecycle import move_to_version
from contracts.models import Contract
from tests.billing.invoicing.conftest import TOKENS, Shop, instant
from tests.billing.metering.conftest import send
from tests.factories import event

pytestmark = [pytest.mark.sql, pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])]


@pytest.fixture
def shop(transactional_db: None) -> Shop:
    """A customer that pays 0.01 for each token."""
    shop = Shop()
    shop.sign(shop.customer("acme"), shop.version(TOKENS))
    return shop


def used(id: str, tokens: object, time: str, received: str) -> None:
    assert send(event(id, tokens, time=f"{time}Z"), at=instant(received)).accepted == 1


def told(line: InvoiceLine) -> list[tuple[int, str, str, object]]:
    return [(entry.sign, entry.kind, entry.event_id, entry.value) for entry in events_behind(line).entries]


def at_risk(line: InvoiceLine) -> tuple[int, Decimal, Decimal]:
    lineage = events_behind(line)
    return lineage.count, lineage.sum, line.quantity


def test_a_line_and_its_adjustments_share_out_the_events_of_the_period(shop: Shop) -> None:
    used("e1", 250, "2026-01-10T10:00:00", "2026-01-10T10:00:01")
    used("e2", "0.5", "2026-01-31T23:59:59.999999", "2026-02-01T00:00:01")
    used("e3", 7, "2026-02-01T00:00:00", "2026-02-01T00:00:02")
    void_event("gw", "e1", reason="test", at=instant("2026-02-01T01:00:00"))
    bill_run.run(instant("2026-02-02"))
    used("late", 50, "2026-01-05T00:00:00", "2026-02-03T00:00:00")
    amend_event("gw", "e2", {"tokens": 30}, reason="fault", at=instant("2026-02-04"))
    amend_event("gw", "e2", {"tokens": 40}, reason="fault", at=instant("2026-02-05"))
    bill_run.run(instant("2026-03-02"))

    january = InvoiceLine.objects.get(service_start="2026-01-01", corrects__isnull=True)
    assert told(january) == [(1, "event", "e1", 250), (1, "event", "e2", Decimal("0.5")), (-1, "void", "e1", 250)]
    assert at_risk(january) == (1, Decimal("0.5"), Decimal("0.5"))
    adjustment = InvoiceLine.objects.get(corrects=january)
    assert told(adjustment) == [
        (1, "event", "late", 50),
        (-1, "amend", "e2", Decimal("0.5")),
        (1, "amend", "e2", 30),
        (-1, "amend", "e2", 30),
        (1, "amend", "e2", 40),
    ]
    assert at_risk(adjustment) == (1, Decimal("89.5"), Decimal("89.5"))
    february = InvoiceLine.objects.get(service_start="2026-02-01")
    assert at_risk(february) == (1, Decimal(7), Decimal(7))


def test_a_line_billed_again_after_a_void_has_what_its_adjustment_has_not(shop: Shop) -> None:
    used("e1", 100, "2026-01-10T10:00:00", "2026-01-10T10:00:01")
    used("e2", 50, "2026-01-11T10:00:00", "2026-01-11T10:00:01")
    [january] = bill_run.run(instant("2026-02-02")).invoices
    used("late", 7, "2026-01-12T10:00:00", "2026-02-03T00:00:00")
    bill_run.run(instant("2026-03-02"))
    void_invoice(Invoice.objects.get(number=january["number"]), reason="address", at=instant("2026-03-03"))
    used("later", 1, "2026-01-13T10:00:00", "2026-03-03T00:00:00")
    bill_run.run(instant("2026-03-04"))
    again = InvoiceLine.objects.order_by("pk").last()
    assert again is not None
    assert told(again) == [(1, "event", "e1", 100), (1, "event", "e2", 50), (1, "event", "later", 1)]
    assert at_risk(again) == (3, Decimal(151), Decimal(151))
    lines = lines_of(list(Event.objects.order_by("event_id")))
    assert [line.quantity for line in lines[Event.objects.get(event_id="late").key]] == [7]
    # the line that is void now, and the one in its place
    assert [line.quantity for line in lines[Event.objects.get(event_id="e1").key]] == [150, 151]


def test_use_that_terms_move_to_another_line_leaves_the_first(shop: Shop) -> None:
    contract = Contract.objects.get()
    used("e1", 100, "2026-01-10T10:00:00", "2026-01-10T10:00:01")
    used("e2", 50, "2026-01-20T10:00:00", "2026-01-20T10:00:01")
    bill_run.run(instant("2026-02-02"))
    second = shop.version(dict(TOKENS, arithmetic={"model": "per_unit", "unit_amount": "0.02"}))
    move_to_version(contract, second.plan, second, dt.date(2026, 1, 16), at=instant("2026-02-10"))
    bill_run.run(instant("2026-03-02"))
    back, moved = InvoiceLine.objects.filter(kind="adjustment").order_by("pk")
    assert told(back) == [(-1, "event", "e2", 50)]
    assert at_risk(back) == (-1, Decimal(-50), Decimal(-50))
    assert told(moved) == [(1, "event", "e2", 50)]
    # and once more: the first version was never theirs
    move_to_version(contract, second.plan, second, dt.date(2026, 1, 1), at=instant("2026-03-10"))
    bill_run.run(instant("2026-04-02"))
    for line in InvoiceLine.objects.filter(entry_kind="usage"):
        assert events_behind(line).sum == line.quantity


def test_a_page_of_entries_counts_all_of_them(shop: Shop) -> None:
    for number in range(5):
        used(f"e{number}", number, f"2026-01-10T10:00:0{number}", "2026-01-10T10:01:00")
    bill_run.run(instant("2026-02-02"))
    page = events_behind(InvoiceLine.objects.get(), offset=1, limit=2)
    assert (page.count, page.sum, [entry.event_id for entry in page.entries]) == (5, 10, ["e1", "e2"])


def test_events_know_the_lines_they_were_billed_on(shop: Shop, django_assert_num_queries: Any) -> None:
    used("e1", 250, "2026-01-10T10:00:00", "2026-01-10T10:00:01")
    used("e2", 250, "2026-02-10T10:00:00", "2026-02-10T10:00:01")
    bill_run.run(instant("2026-02-11"))
    void_event("gw", "e1", reason="test", at=instant("2026-02-12"))
    bill_run.run(instant("2026-03-02"))
    used("e3", 1, "2026-03-10T10:00:00", "2026-03-10T10:00:01")
    events = list(Event.objects.order_by("event_id"))
    with django_assert_num_queries(2):
        lines = lines_of(events)
    told = {one.event_id: [(line.kind, line.service_start, line.quantity) for line in lines[one.key]] for one in events}
    january, february = dt.date(2026, 1, 1), dt.date(2026, 2, 1)
    assert told == {
        "e1": [("usage", january, 250), ("adjustment", january, -250)],
        "e2": [("usage", february, 250)],
        "e3": [],
    }


def test_a_line_that_is_not_of_use_has_no_events(shop: Shop) -> None:
    line = InvoiceLine(entry_kind="recurring", meter="", clock_to=None)
    assert events_behind(line).entries == []
