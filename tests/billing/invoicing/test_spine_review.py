"""Awkward histories: ends that move, drafts thrown away, voids of voids; what is billed is what is due."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest
from django.conf import settings
from django.db import connection, connections
from django.db.models import F, Sum
from django.test.utils import CaptureQueriesContext

from billing.invoicing import bill_run
from billing.invoicing.crediting import UnableToDiscard, UnableToVoid, discard_draft, void_invoice
from billing.invoicing.issuing import issue
from billing.invoicing.preview import previews
from billing.metering.corrections import void_event
from billing.models import Invoice, InvoiceLine, NumberSeries
from catalog.models import Meter, PlanVersion, Seller
from contracts import lifecycle
from contracts.drafts import DiscountDraft, LineDraft
from contracts.models import Contract, Customer
from tests.billing.invoicing.conftest import BASE, START, TOKENS, Shop, instant
from tests.billing.invoicing.test_usage_billing import send

pytestmark = [pytest.mark.sql, pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])]


def billed(contract: Contract) -> Decimal:
    """All lines of documents that stand, before tax."""
    standing = InvoiceLine.objects.filter(contract=contract).exclude(invoice__status="voided")
    return standing.aggregate(total=Sum("amount"))["total"] or Decimal(0)


def taxed(contract: Contract) -> Decimal:
    standing = InvoiceLine.objects.filter(contract=contract).exclude(invoice__status="voided")
    return standing.aggregate(total=Sum("tax_amount"))["total"] or Decimal(0)


def level(at: str) -> bool:
    """Whether a run at this instant has nothing to do."""
    result = bill_run.run(instant(at))
    return (result.invoices, result.credit_notes, result.failures) == ([], [], [])


def days(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


# Ends that move


def test_what_was_billed_in_advance_beyond_a_backdated_end_comes_back(shop: Shop) -> None:
    contract = shop.sign(shop.customer("acme"), shop.version(BASE))
    bill_run.run(instant("2026-02-02"))
    lifecycle.end(contract, days("2026-02-01"), at=instant("2026-02-05"))
    [note] = bill_run.run(instant("2026-02-06")).credit_notes
    assert [(line["kind"], line["amount"], line["period_start"]) for line in note["lines"]] == [
        ("adjustment", "-99.00", "2026-02-01")
    ]
    assert billed(contract) == Decimal("99.00")
    assert level("2026-02-07")
    assert level("2026-06-07")


def test_an_end_before_a_closed_period_gives_back_that_period_and_what_was_in_advance(shop: Shop) -> None:
    contract = shop.sign(shop.customer("acme"), shop.version(BASE))
    bill_run.run(instant("2026-03-02"))
    lifecycle.end(contract, days("2026-02-15"), at=instant("2026-03-05"))
    bill_run.run(instant("2026-03-06"))
    # January, and 14 of 28 days of February
    assert billed(contract) == Decimal("148.50")
    assert level("2026-03-07")


def test_an_end_inside_the_closed_period_after_one_that_is_open_again(shop: Shop) -> None:
    contract = shop.sign(shop.customer("acme"), shop.version(BASE, TOKENS))
    send("e1", 1000, "2026-01-10T10:00:00", "2026-01-10T10:00:00")
    send("e2", 500, "2026-02-10T10:00:00", "2026-02-10T10:00:00")
    bill_run.run(instant("2026-03-02"))
    void_invoice(Invoice.objects.get(number="INV-000002"), reason="wrong", at=instant("2026-03-03"))
    lifecycle.end(contract, days("2026-02-15"), at=instant("2026-03-05"))
    bill_run.run(instant("2026-03-06"))
    # 99.00 and 10.00 for January, 49.50 and 5.00 for half of February
    assert billed(contract) == Decimal("163.50")
    assert level("2026-03-07")


def test_a_change_to_another_interval_never_bills_a_closed_time_again(shop: Shop) -> None:
    contract = shop.sign(shop.customer("acme"), shop.version(TOKENS))
    send("e1", 1000, "2026-01-10T10:00:00", "2026-01-10T10:00:00")
    bill_run.run(instant("2026-02-02"))
    yearly = shop.version(TOKENS, plan="yearly", interval="year")
    lifecycle.amend(contract, at=instant("2026-02-03"), lines=[LineDraft(yearly, START)])
    lifecycle.end(contract, days("2027-01-01"), at=instant("2026-02-03"))
    send("e2", 500, "2026-02-10T10:00:00", "2026-02-10T10:00:00")
    assert bill_run.run(instant("2027-01-03")).failures == []
    assert billed(contract) == Decimal("15.00")
    assert level("2027-02-01")


def test_a_discount_weighs_the_same_whether_the_end_came_before_the_close_or_after(shop: Shop) -> None:
    version = shop.version(dict(BASE, billing="in_arrears"))
    half = DiscountDraft("percent", Decimal(50), days("2026-02-08"))
    early = shop.sign(shop.customer("early"), version, discounts=[half])
    late = shop.sign(shop.customer("late"), version, discounts=[half])
    lifecycle.end(early, days("2026-02-15"), at=instant("2026-01-05"))
    bill_run.run(instant("2026-03-02"))
    lifecycle.end(late, days("2026-02-15"), at=instant("2026-03-05"))
    bill_run.run(instant("2026-03-06"))
    # 99.00, and 49.50 less 50 % for 7 of 14 days, 12.375
    assert (billed(early), billed(late)) == (Decimal("136.12"), Decimal("136.12"))


# Drafts


def test_a_draft_that_a_later_document_corrects_cannot_be_discarded(shop: Shop) -> None:
    Seller.objects.update(review_drafts=True)
    contract = shop.sign(shop.customer("acme"), shop.version(TOKENS))
    send("e1", 1000, "2026-01-10T10:00:00", "2026-01-10T10:00:00")
    bill_run.run(instant("2026-02-02"))
    send("e2", 500, "2026-01-11T10:00:00", "2026-02-03T10:00:00")
    bill_run.run(instant("2026-03-02"))
    january, february = Invoice.objects.order_by("pk")
    with pytest.raises(UnableToDiscard, match="draft"):
        discard_draft(january, at=instant("2026-03-03"))
    discard_draft(february, at=instant("2026-03-03"))
    discard_draft(january, at=instant("2026-03-03"))
    assert billed(contract) == 0
    bill_run.run(instant("2026-03-04"))
    assert billed(contract) == Decimal("15.00")
    assert level("2026-03-05")


# Voids and the chain of corrections


def test_corrections_form_a_chain_through_voids_and_discards(shop: Shop) -> None:
    contract = shop.sign(shop.customer("acme"), shop.version(TOKENS))
    send("e0", 100, "2026-01-10T10:00:00", "2026-01-10T10:00:00")
    bill_run.run(instant("2026-02-02"))
    months = ["2026-03", "2026-04", "2026-05", "2026-06", "2026-07", "2026-08"]
    for number, month in enumerate(months):
        send(f"late{number}", 100, "2026-01-11T10:00:00", f"{month}-01T12:00:00")
        bill_run.run(instant(f"{month}-02"))
        latest = Invoice.objects.order_by("pk").last()
        assert latest is not None
        if number % 2:
            void_invoice(latest, reason="wrong", at=instant(f"{month}-03"))
            bill_run.run(instant(f"{month}-04"))
        if number == 2:
            first = Invoice.objects.issued().order_by("pk").first()
            assert first is not None
            void_invoice(first, reason="wrong", at=instant(f"{month}-05"))
            bill_run.run(instant(f"{month}-06"))
    assert billed(contract) == Decimal("7.00")
    assert level("2026-08-10")
    corrected = InvoiceLine.objects.filter(corrects__isnull=False)
    assert not corrected.exclude(corrects__entry_key=F("entry_key")).exists()


def test_adjustments_of_a_period_whose_invoice_is_voided_still_stand(shop: Shop) -> None:
    contract = shop.sign(shop.customer("acme"), shop.version(BASE, TOKENS))
    send("e1", 1000, "2026-01-10T10:00:00", "2026-01-10T10:00:00")
    bill_run.run(instant("2026-02-02"))
    send("e2", 500, "2026-01-11T10:00:00", "2026-02-03T10:00:00")
    send("e3", 500, "2026-02-11T10:00:00", "2026-02-12T10:00:00")
    bill_run.run(instant("2026-03-02"))
    send("e4", 100, "2026-02-12T10:00:00", "2026-03-03T10:00:00")
    bill_run.run(instant("2026-04-02"))
    for number in ("INV-000002", "INV-000003"):  # the closes of January and February
        void_invoice(Invoice.objects.get(number=number), reason="wrong", at=instant("2026-04-03"))
    bill_run.run(instant("2026-04-04"))
    # Base of January to April, 2,100 tokens
    assert billed(contract) == Decimal("417.00")
    assert InvoiceLine.objects.exclude(invoice__status="voided").filter(quantity__lt=0).count() == 0
    assert level("2026-04-05")


def test_a_waived_document_of_a_time_the_contract_no_longer_covers_is_waived_on_its_last_day(shop: Shop) -> None:
    contract = shop.sign(shop.customer("acme"), shop.version(TOKENS))
    send("e1", 1000, "2026-03-10T10:00:00", "2026-03-10T10:00:00")
    bill_run.run(instant("2026-04-02"))
    lifecycle.end(contract, days("2026-03-01"), at=instant("2026-04-03"))
    [note] = bill_run.run(instant("2026-04-04")).credit_notes
    assert note["total"] == "-10.00"
    document = Invoice.objects.get(number=note["number"])
    void_invoice(document, reason="they keep paying", at=instant("2026-04-05"), waive=True)
    bill_run.run(instant("2026-04-06"))
    assert billed(contract) == Decimal("10.00")
    assert level("2026-04-07")


def test_a_waiver_that_the_contract_cannot_take_voids_nothing(shop: Shop) -> None:
    shop.sign(shop.customer("acme"), shop.version(BASE))
    bill_run.run(instant("2026-01-02"))
    Customer.objects.update(timezone="Mars/Olympus")
    with pytest.raises(UnableToVoid, match="is not a time zone"):
        void_invoice(Invoice.objects.get(), reason="goodwill", at=instant("2026-01-03"), waive=True)
    assert Invoice.objects.get().status == "issued"


def test_a_voided_credit_note_is_made_again(shop: Shop) -> None:
    contract = shop.sign(shop.customer("acme"), shop.version(TOKENS))
    send("e1", 1000, "2026-01-10T10:00:00", "2026-01-10T10:00:00")
    bill_run.run(instant("2026-02-02"))
    void_event("gw", "e1", reason="test", at=instant("2026-02-10"))
    [note] = bill_run.run(instant("2026-03-02")).credit_notes
    void_invoice(Invoice.objects.get(number=note["number"]), reason="wrong", at=instant("2026-03-03"))
    [again] = bill_run.run(instant("2026-03-04")).credit_notes
    assert (again["total"], billed(contract)) == ("-10.00", Decimal(0))
    assert level("2026-03-05")


# Tax


def test_a_customer_who_moves_abroad_gets_tax_back_and_the_document_says_so(shop: Shop) -> None:
    shop.vat()
    contract = shop.sign(shop.customer("acme"), shop.version(BASE))
    bill_run.run(instant("2026-02-02"))
    Customer.objects.update(country="US")
    [closing] = bill_run.run(instant("2026-03-02")).invoices
    # The base of February was billed with 18.81 of tax in advance; no tax is due for February or March
    assert closing["total"] == "80.19"
    said = sum((Decimal(rate["amount"]) for rate in closing["tax"]), Decimal(0))
    assert Decimal(closing["subtotal"]) + said == Decimal(closing["total"])
    assert taxed(contract) == Decimal("18.81")
    assert level("2026-03-03")


# One bad contract


def test_a_customer_with_an_unknown_time_zone_costs_no_other(shop: Shop) -> None:
    version = shop.version(BASE)
    shop.sign(shop.customer("fine"), version)
    shop.sign(shop.customer("lost"), version)
    Customer.objects.filter(key="lost").update(timezone="Mars/Olympus")
    result = bill_run.run(instant("2026-02-02"))
    assert [one["customer"] for one in result.invoices] == ["fine", "fine"]
    assert [failure["contract"] for failure in result.failures] == ["C-lost"]


def test_a_contract_that_starts_at_the_end_of_time_costs_no_other(shop: Shop) -> None:
    version = shop.version(BASE)
    shop.sign(shop.customer("fine"), version)
    last = shop.sign(shop.customer("last"), version)
    Contract.objects.filter(pk=last.pk).update(starts_on=dt.date(9999, 12, 31))
    result = bill_run.run(instant("2026-02-02"))
    assert [one["customer"] for one in result.invoices] == ["fine", "fine"]
    assert [failure["contract"] for failure in result.failures] == ["C-last"]


def test_a_second_seller_with_a_long_key_gets_numbers(shop: Shop) -> None:
    shop.sign(shop.customer("acme"), shop.version(BASE))
    bill_run.run(instant("2026-01-02"))
    shop.seller = Seller.objects.create(key="watertight-netherlands-bv-amsterdam", name="NL", currency="EUR")
    shop.sign(shop.customer("other"), PlanVersion.objects.get())
    shop.seller = Seller.objects.create(key="watertight-netherlands-bv-rotterdam", name="NL", currency="EUR")
    shop.sign(shop.customer("third"), PlanVersion.objects.get())
    result = bill_run.run(instant("2026-01-02"))
    assert result.failures == []
    assert NumberSeries.objects.count() == 3


# Preview


def test_a_preview_spends_the_open_credit_notes_that_the_invoice_will_spend(shop: Shop) -> None:
    customer = shop.customer("acme")
    contract = shop.sign(customer, shop.version(BASE))
    bill_run.run(instant("2026-02-02"))
    lifecycle.add_one_time(contract, "g", "Goodwill", Decimal(-150), days("2026-02-10"), at=instant("2026-02-10"))
    bill_run.run(instant("2026-03-02"))
    [shown] = previews(customer, instant("2026-03-20"))
    [dry] = bill_run.run(instant("2026-04-02"), dry_run=True).invoices
    [made] = bill_run.run(instant("2026-04-02")).invoices
    same = ("credits", "total", "amount_due")
    assert {key: shown[key] for key in same} == {key: made[key] for key in same}
    assert {key: dry[key] for key in same} == {key: made[key] for key in same}


# Cost


def test_a_run_takes_as_many_queries_after_a_year_as_after_a_month(shop: Shop) -> None:
    meter = Meter.objects.create(
        key="users", event_type="llm.request", aggregation="unique_count", value="user", unit="users"
    )
    users = dict(TOKENS, key="users", meter=meter.key)
    version = shop.version(BASE, TOKENS, users)
    for number in range(5):
        shop.sign(shop.customer(f"c{number}"), version)
    counts = []
    for month in ("2026-02", "2026-03", "2026-12", "2027-01"):
        with CaptureQueriesContext(connection) as queries:
            assert bill_run.run(instant(f"{month}-02")).failures == []
        counts.append(len(queries))
    assert counts[3] <= counts[1]
    assert counts[1] <= 60


# The application's role


@pytest.fixture
def as_application(shop: Shop) -> Iterator[Callable[[], str]]:
    """Go on as the application's role, as the product does."""
    ours = connection.settings_dict
    owner = {name: ours[name] for name in ("USER", "PASSWORD")}

    def change() -> str:
        theirs = settings.PLAN.databases_as("application")["default"]
        ours.update({name: theirs[name] for name in owner})
        connection.close()
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_user")
            return str(cursor.fetchone()[0])

    yield change
    ours.update(owner)
    connection.close()


def test_the_application_may_do_all_of_this(shop: Shop, as_application: Callable[[], str]) -> None:
    role = as_application()
    assert role != settings.PLAN.databases_as("owner")["default"]["USER"]
    Seller.objects.update(review_drafts=True)
    shop.vat()
    contract = shop.sign(shop.customer("acme"), shop.version(BASE, TOKENS))
    send("e1", 1000, "2026-01-10T10:00:00", "2026-01-10T10:00:00")
    assert bill_run.run(instant("2026-02-02")).failures == []
    discard_draft(Invoice.objects.get(purpose="close"), at=instant("2026-02-03"))
    bill_run.run(instant("2026-02-04"))
    for draft in Invoice.objects.drafts().order_by("pk"):
        issue(draft, at=instant("2026-02-05"))
    Seller.objects.update(review_drafts=False)
    send("e2", 100000, "2026-01-11T10:00:00", "2026-02-06T10:00:00")
    bill_run.run(instant("2026-03-02"))
    void_event("gw", "e2", reason="test", at=instant("2026-03-03"))
    [note] = bill_run.run(instant("2026-04-02")).credit_notes
    [paid] = bill_run.run(instant("2026-05-02")).invoices
    assert paid["credits"] != []
    void_invoice(Invoice.objects.get(number=paid["number"]), reason="wrong", at=instant("2026-05-03"))
    void_invoice(Invoice.objects.get(number=note["number"]), reason="wrong", at=instant("2026-05-03"), waive=True)
    assert bill_run.run(instant("2026-05-04")).failures == []
    lifecycle.end(contract, days("2026-04-15"), at=instant("2026-05-05"))
    assert bill_run.run(instant("2026-05-06")).failures == []
    assert level("2026-05-07")


# Races


def together(*works: Callable[[], object]) -> list[BaseException]:
    faults: list[BaseException] = []
    start = threading.Barrier(len(works))

    def guarded(work: Callable[[], object]) -> None:
        try:
            start.wait()
            work()
        except BaseException as error:
            faults.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return faults


def test_amendments_voids_and_late_use_beside_runs_leave_nothing_unbilled(shop: Shop) -> None:
    """Two contracts of one customer, on two meters; runs, voids, amendments, late use and corrections at once."""
    Meter.objects.create(key="calls", event_type="llm.request", aggregation="count", unit="calls")
    calls = dict(TOKENS, key="calls", meter="calls", arithmetic={"model": "per_unit", "unit_amount": "1"})
    customer = shop.customer("acme")
    first = shop.sign(customer, shop.version(BASE, TOKENS))
    customer.key = "acme2"  # only for the contract's number
    second = shop.sign(customer, shop.version(BASE, calls, plan="calls"))
    send("e0", 100, "2026-01-10T10:00:00", "2026-01-10T10:00:00")
    bill_run.run(instant("2026-03-02"))

    def run_often() -> None:
        for day in range(3, 15):
            assert bill_run.run(instant(f"2026-03-{day:02d}")).failures == []

    def void_some() -> None:
        for invoice in Invoice.objects.issued().order_by("-pk")[:4]:
            void_invoice(invoice, reason="wrong", at=instant("2026-03-05"))

    def amend_some() -> None:
        for percent in ("1", "3", "2", "4", "50", "5"):
            discount = DiscountDraft("percent", Decimal(percent), START, applies_to=("base",), key="some")
            lifecycle.amend(first, at=instant("2026-03-05"), discounts=[discount])
            lifecycle.amend(second, at=instant("2026-03-05"), discounts=[discount])

    def send_late() -> None:
        for number in range(20):
            send(f"late{number}", 100, f"2026-0{number % 2 + 1}-11T10:00:00", "2026-03-05T10:00:00")
            if number % 4 == 0:
                void_event("gw", f"late{number}", reason="test", at=instant("2026-03-06"))

    assert together(run_often, run_often, void_some, amend_some, send_late) == []
    lifecycle.end(first, days("2026-04-01"), at=instant("2026-03-20"))
    lifecycle.end(second, days("2026-04-01"), at=instant("2026-03-20"))
    assert bill_run.run(instant("2026-04-02")).failures == []
    # Base 99.00 less 5 % (4.95) for three months; 100 tokens and calls of 16 events that stand, at 1.00 each
    assert billed(first) == Decimal("298.15")
    assert billed(second) == Decimal("298.15")
    assert level("2026-04-03")
