"""The page of a customer and the list of customers: what is used, what comes next, what is owed, what is held."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.utils import timezone

from billing.admin.customer_charts import SPANS, charts_of, stretch
from billing.admin.customer_page import due_state
from billing.invoicing import bill_run
from billing.invoicing.crediting import void_invoice
from billing.invoicing.preview import previews
from billing.metering.corrections import void_event
from billing.metering.ingestion import ingest
from billing.models import Event, Invoice
from billing.review.at_risk import refresh_estimates
from catalog.auditing import sign
from catalog.models import Meter
from catalog.periods import Period
from contracts.lifecycle import add_one_time
from contracts.models import Contact, Customer, CustomerAlias
from tests.billing.invoicing.conftest import BASE, TOKENS, Shop, instant
from tests.billing.invoicing.console import page, questions, signed_in, use, words

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])

LIST = "/admin/contracts/customer/"


def overview(customer: Customer, client: Client | None = None, **asked: str) -> str:
    answer = (client or signed_in()).get(f"{LIST}{customer.pk}/overview/", asked)
    assert answer.status_code == 200
    return words(answer.content.decode())


@pytest.fixture
def acme(shop: Shop) -> Customer:
    """99.00 a month ahead and 0.01 a token; known as acme and acme-eu."""
    shop.vat()
    customer = shop.customer("acme", billing_address="Main Street 1", timezone="Europe/Berlin")
    CustomerAlias.objects.create(customer=customer, subject="acme-eu")
    Contact.objects.create(customer=customer, name="Ann", email="ann@acme.example")
    shop.sign(customer, shop.version(BASE, TOKENS))
    return customer


def test_it_says_who_the_customer_is_and_on_which_plans(acme: Customer) -> None:
    text = overview(acme)
    for part in ("Acme acme", "Main Street 1", "DE, Europe/Berlin", "acme-eu", "Ann, ann@acme.example"):
        assert part in text
    assert "C-acme Approved 2026-01-01 open Pro, version 1 EUR Watertight Inc" in text


def test_the_next_invoice_stands_as_the_preview_says(acme: Customer) -> None:
    """700 tokens at 0.01 are 7.00, the base of 99.00 for the next period: 106.00, with 19 % 126.14."""
    bill_run.run(instant("2026-01-01"))
    use("one", 700, "2026-01-10T10:00:00Z", "2026-01-10T10:01:00")
    text = overview(acme)
    assert "C-acme , Jan 2026 126.14 EUR" in text
    assert "Tokens Jan 2026 700 tokens 19 % 7.00" in text
    assert "700 \N{MULTIPLICATION SIGN} 0.01 = 7.00" in text
    assert "Base fee Feb 2026 1 19 % 99.00" in text
    assert [one["total"] for one in previews(acme, timezone.now())] == ["126.14"]


def test_invoices_are_listed_with_what_is_open_and_since_when(acme: Customer) -> None:
    bill_run.run(instant("2026-02-02"))
    void_invoice(Invoice.objects.get(number="INV-000002"), reason="Wrong", at=instant("2026-02-03"))
    text = overview(acme)
    assert "Owes 117.81 EUR 117.81 EUR overdue" in text
    assert "INV-000001 C-acme Jan 2026 2026-02-02 2026-03-04 overdue by" in text
    assert "void 117.81 EUR 0.00" in text


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"status": "draft"}, "draft"),
        ({"status": "voided"}, "void"),
        ({"status": "issued", "total": -5, "amount_due": 0}, "credit note"),
        ({"status": "issued", "total": 5, "amount_due": 0}, "nothing due"),
        ({"status": "issued", "total": 5, "amount_due": 5, "due_on": dt.date(2026, 3, 9)}, "overdue by 1 day"),
        ({"status": "issued", "total": 5, "amount_due": 5, "due_on": dt.date(2026, 3, 10)}, "due today"),
        ({"status": "issued", "total": 5, "amount_due": 5, "due_on": dt.date(2026, 3, 12)}, "due in 2 days"),
    ],
)
def test_a_document_says_how_it_stands(fields: dict[str, Any], words: str) -> None:
    assert due_state(Invoice(**fields), dt.date(2026, 3, 10))[1] == words


def test_use_is_drawn_by_local_days_and_shown_as_a_table(acme: Customer) -> None:
    """22:30 and 23:30 UTC of 9 January are 23:30 of the 9th and 0:30 of the 10th in Berlin."""
    use("one", 700, "2026-01-09T22:30:00Z", "2026-01-09T23:00:00")
    use("two", 50, "2026-01-09T23:30:00Z", "2026-01-09T23:31:00")
    shown = charts_of(acme, instant("2026-01-11"), ZoneInfo("Europe/Berlin"), "30d", None)
    (chart,) = shown["charts"]
    assert chart.rows == [("9 Jan", Decimal(700)), ("10 Jan", Decimal(50))]
    assert chart.total == Decimal(750)
    data = json.loads(chart.data)
    assert len(data["labels"]) == 30
    assert data["labels"][-3:] == ["9 Jan", "10 Jan", "11 Jan"]
    assert data["datasets"][0]["data"][-3:] == [700, 50, 0]


def test_hours_and_the_current_period_are_other_spans(acme: Customer) -> None:
    use("one", 700, "2026-01-09T22:30:00Z", "2026-01-09T23:00:00")
    zone, at = ZoneInfo("Europe/Berlin"), instant("2026-01-10T10:20:00")
    hours = charts_of(acme, at, zone, "48h", None)["charts"][0]
    assert hours.rows == [("9 Jan 23:00", Decimal(700))]
    assert len(json.loads(hours.data)["labels"]) == 48
    january = Period(instant("2025-12-31T23:00:00"), instant("2026-01-31T23:00:00"))
    assert stretch(SPANS[1], at, zone, january) == Period(january.starts_at, instant("2026-01-10T10:30:00"))
    days = charts_of(acme, at, zone, "period", january)["charts"][0]
    assert json.loads(days.data)["labels"] == [f"{day} Jan" for day in range(1, 11)]


def test_distinct_values_are_drawn_by_day_and_have_no_total(acme: Customer) -> None:
    Meter.objects.create(key="seats", event_type="llm.request", aggregation="unique_count", value="tokens")
    use("one", 700, "2026-01-08T22:30:00Z", "2026-01-09T23:00:00")
    use("two", 700, "2026-01-09T22:30:00Z", "2026-01-09T23:00:00")
    use("three", 50, "2026-01-09T22:30:00Z", "2026-01-09T23:00:00")
    shown = charts_of(acme, instant("2026-01-11"), ZoneInfo("UTC"), "", None)
    assert ([chart.meter.key for chart in shown["charts"]], shown["other_meters"]) == (["seats", "tokens"], [])
    seats = shown["charts"][0]
    assert (seats.rows, seats.total) == ([("8 Jan", 1), ("9 Jan", 2)], None)
    assert json.loads(seats.data)["datasets"][0]["data"][-4:] == [1, 2, 0, 0]


def test_held_records_that_name_the_customer_are_shown(acme: Customer) -> None:
    broken = {"specversion": "1.0", "id": "x", "source": "gw", "type": "llm.request", "subject": "acme-eu"}
    late = {**broken, "id": "y", "time": "2025-06-01T00:00:00Z", "data": {"tokens": 1}}
    ingest(json.dumps([{**broken, "data": {}}, late]).encode(), at=instant("2026-01-10"), door="test")
    text = overview(acme)
    assert "acme-eu missing field; one of its names 2026-01-10 1" in text
    assert "acme-eu no active contract; one of its names 2026-01-10 1" in text
    assert "Acme acme DE 1 - - never 2" in words(page(signed_in(), LIST))


def test_money_at_risk_is_shown_rounded(acme: Customer) -> None:
    """1.2345 tokens at 0.01 are 0.012345: an estimate has more places than money."""
    late = {"specversion": "1.0", "id": "y", "source": "gw", "type": "llm.request", "subject": "acme-eu"}
    late |= {"time": "2025-06-01T00:00:00Z", "data": {"tokens": "1.2345"}}
    ingest(json.dumps([late]).encode(), at=instant("2026-01-10"), door="test")
    assert refresh_estimates(instant("2026-01-10")) == 1
    assert "acme-eu no active contract; one of its names 2026-01-10 1 0.01 EUR" in overview(acme)


def test_what_changed_names_who_and_why(acme: Customer) -> None:
    robin = User.objects.create_user("robin")
    sign(acme, instant("2026-01-05"), robin, "They moved")
    acme.billing_address = "Side Street 2"
    acme.save()
    bill_run.run(instant("2026-01-06"), by=robin)
    text = overview(acme)
    assert "2026-01-05 00:00 Customer changed They moved robin" in text
    assert "INV-000001 issued, 117.81 EUR bill run, started by robin" in text
    assert "Subject acme-eu added" in text


def test_it_costs_the_same_with_many_events_and_invoices(acme: Customer) -> None:
    reader = signed_in()
    address = f"{LIST}{acme.pk}/overview/"
    bill_run.run(instant("2026-01-02"))
    use("one", 700, "2026-01-10T10:00:00Z", "2026-01-10T10:01:00")
    few = questions(reader, address)
    event = {"specversion": "1.0", "source": "gw", "type": "llm.request", "subject": "acme"}
    many = [
        {**event, "id": f"many-{n}", "time": f"2026-0{1 + n % 6}-10T{n % 24:02}:00:00Z", "data": {"tokens": n}}
        for n in range(1_000)
    ]
    ingest(json.dumps(many).encode(), at=instant("2026-06-11"), door="test")
    bill_run.run(instant("2026-06-12"))
    assert Event.objects.count() == 1_001
    assert questions(reader, address) == few


def test_a_role_sees_the_parts_it_may(acme: Customer) -> None:
    bill_run.run(instant("2026-01-02"))
    use("one", 700, "2026-01-10T10:00:00Z", "2026-01-10T10:01:00")
    sales = User.objects.create_user("sam", is_staff=True)
    sales.user_permissions.set(Permission.objects.filter(codename="view_customer"))
    client = Client()
    client.force_login(sales)
    text = overview(acme, client)
    assert "C-acme Approved" in text
    for part in ("Next invoices", "Invoices Number", "Held records", "INV-000001"):
        assert part not in text
    nobody = User.objects.create_user("nobody", is_staff=True)
    client.force_login(nobody)
    assert client.get(f"{LIST}{acme.pk}/overview/").status_code == 403


def test_the_list_counts_what_is_held_for_who_may_see_it(acme: Customer) -> None:
    """Sales sees customers and their invoices, and nothing of the quarantine."""
    sam = User.objects.create_user("sam", is_staff=True)
    sam.groups.add(Group.objects.get(name="Sales"))
    client = Client()
    client.force_login(sam)
    assert "column-held_figure" in signed_in().get(LIST).content.decode()
    assert "column-held_figure" not in client.get(LIST).content.decode()


def test_the_list_says_what_is_owed_and_leads_to_the_page(acme: Customer) -> None:
    bill_run.run(instant("2026-01-01"))
    use("one", 700, "2026-01-10T10:00:00Z", "2026-01-10T10:01:00")
    html = page(signed_in(), LIST)
    assert f'href="{LIST}{acme.pk}/overview/' in html
    assert "Acme acme DE 1 117.81 EUR 117.81 EUR" in words(html)


def test_credit_that_is_left_is_shown_beside_what_is_owed(shop: Shop) -> None:
    """February's base of 99.00 is billed with a credit of 150.00: a note of 51.00."""
    customer = shop.customer("acme")
    contract = shop.sign(customer, shop.version(BASE))
    bill_run.run(instant("2026-01-01"))
    add_one_time(contract, "gone", "Lost data", Decimal(-150), dt.date(2026, 1, 20), at=instant("2026-01-21"))
    bill_run.run(instant("2026-02-02"))
    assert "Owes 99.00 EUR 99.00 EUR overdue 51.00 EUR of credit left" in overview(customer)
    bill_run.run(instant("2026-03-02"))
    assert "of credit left" not in overview(customer)


def test_corrections_made_at_once_are_one_change(acme: Customer) -> None:
    for number in range(3):
        use(f"twice-{number}", 5, "2026-01-10T10:00:00Z", "2026-01-10T10:01:00")
        void_event("gw", f"twice-{number}", reason="Job ran twice", at=instant("2026-01-12"), by="API key ERP")
    assert "2026-01-12 00:00 3 events taken back Job ran twice API key ERP" in overview(acme)


def test_a_customer_without_anything_has_a_page(shop: Shop) -> None:
    text = overview(shop.customer("new"))
    for part in ("nothing", "None: what it uses is held until it has an approved contract.", "None will come."):
        assert part in text


def test_many_contracts_cost_no_more_than_some(shop: Shop) -> None:
    """Six next invoices are shown with their lines, of the others what they come to: 99.00 each."""
    customer, version, reader = shop.customer("acme"), shop.version({**BASE, "billing": "in_arrears"}), signed_in()
    counts = []
    for numbers in (range(7), range(7, 20)):
        for number in numbers:
            shop.sign(customer, version, number=f"C-{number:02}")
        counts.append(questions(reader, f"{LIST}{customer.pk}/overview/"))
    assert counts[0] == counts[1]
    assert "C-19 Jan 2026 99.00 EUR" in overview(customer)
