"""Bill runs on a real database: what is stored, what a second run does, what a fault costs."""

from __future__ import annotations

import datetime as dt
import threading
from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, connections, transaction

from billing.invoicing import bill_run
from billing.invoicing.crediting import UnableToVoid, discard_draft, void_invoice
from billing.invoicing.issuing import UnableToIssue, issue
from billing.invoicing.preview import previews
from billing.models import BillRun, BillRunFault, CreditUse, Invoice, InvoiceLine, PeriodClose
from contracts.lifecycle import add_one_time
from contracts.models import ContractLine
from tests.billing.invoicing.conftest import BASE, TOKENS, Shop, instant

pytestmark = [pytest.mark.sql, pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])]


def test_a_run_issues_numbered_invoices_and_records_the_close(shop: Shop) -> None:
    contract = shop.sign(shop.customer("acme"), shop.version(BASE))
    result = bill_run.run(instant("2026-02-02"))
    assert [(one["purpose"], one["number"], one["total"]) for one in result.invoices] == [
        ("advance", "INV-000001", "99.00"),
        ("close", "INV-000002", "99.00"),
    ]
    closing = result.invoices[1]
    assert (closing["period_start"], closing["period_end"]) == ("2026-01-01", "2026-02-01")
    assert closing["due_on"] == "2026-03-04"  # 2 February and 30 days
    [line] = closing["lines"]
    assert (line["period_start"], line["period_end"]) == ("2026-02-01", "2026-03-01")
    close = PeriodClose.objects.get(contract=contract)
    assert close.invoice_id == closing["id"]
    run = BillRun.objects.get()
    assert (run.closed, run.invoices, run.faults) == (1, 2, 0)


def test_a_second_run_does_nothing(shop: Shop) -> None:
    shop.sign(shop.customer("acme"), shop.version(BASE))
    bill_run.run(instant("2026-02-02"))
    again = bill_run.run(instant("2026-02-02"))
    assert (again.invoices, again.credit_notes, again.failures) == ([], [], [])


def test_a_dry_run_shows_the_same_documents_and_writes_nothing(shop: Shop) -> None:
    shop.sign(shop.customer("acme"), shop.version(BASE))
    dry = bill_run.run(instant("2026-03-02"), dry_run=True)
    assert not Invoice.objects.exists()
    assert not PeriodClose.objects.exists()
    real = bill_run.run(instant("2026-03-02"))
    assert [(one["status"], one["number"]) for one in dry.invoices] == [("draft", None)] * 3
    assert [one["total"] for one in dry.invoices] == [one["total"] for one in real.invoices]


def test_two_runs_at_once_make_one_invoice(shop: Shop) -> None:
    version = shop.version(BASE)
    for number in range(20):
        shop.sign(shop.customer(f"c{number}"), version)
    faults: list[BaseException] = []
    start = threading.Barrier(2)

    def work() -> None:
        try:
            start.wait()
            bill_run.run(instant("2026-02-02"))
        except BaseException as error:
            faults.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert Invoice.objects.count() == 40
    assert sorted(Invoice.objects.values_list("seq", flat=True)) == list(range(1, 41))
    assert PeriodClose.objects.count() == 20


def test_one_contracts_fault_is_recorded_and_never_stops_the_others(shop: Shop) -> None:
    version = shop.version(BASE)
    broken = shop.sign(shop.customer("broken"), version)
    shop.sign(shop.customer("fine"), version)
    ContractLine.objects.filter(contract=broken).update(superseded_at=instant("2026-01-01"))
    result = bill_run.run(instant("2026-02-02"))
    assert [one["customer"] for one in result.invoices] == ["fine", "fine"]
    assert [failure["contract"] for failure in result.failures] == ["C-broken"]
    assert "has no line" in BillRunFault.objects.get(contract=broken).error


def test_a_contract_that_cannot_be_written_costs_no_other(shop: Shop) -> None:
    shop.sign(shop.customer("fine"), shop.version(BASE))
    # 10^17 times a quantity of a hundred thousand does not fit the column of an amount
    huge = dict(BASE, arithmetic={"model": "per_unit", "unit_amount": "99999999999999999.00"})
    contract = shop.sign(shop.customer("huge"), shop.version(huge, plan="huge"))
    contract.lines.update(quantity=100000)
    result = bill_run.run(instant("2026-02-02"))
    assert [one["customer"] for one in result.invoices] == ["fine", "fine"]
    assert [failure["contract"] for failure in result.failures] == ["C-huge"]


def test_drafts_wait_for_review_and_are_not_billed_twice(shop: Shop) -> None:
    shop.seller.review_drafts = True
    shop.seller.save()
    shop.sign(shop.customer("acme"), shop.version(BASE))
    result = bill_run.run(instant("2026-02-02"))
    assert [one["status"] for one in result.invoices] == ["draft", "draft"]
    assert bill_run.run(instant("2026-02-03")).invoices == []
    draft = Invoice.objects.order_by("pk")[1]
    issued = issue(draft, at=instant("2026-02-04"))
    assert (issued.number, issued.status) == ("INV-000001", "issued")
    with pytest.raises(UnableToIssue, match="INV-000001 is issued already"):
        issue(draft, at=instant("2026-02-05"))


def test_a_discarded_draft_is_made_again(shop: Shop) -> None:
    shop.seller.review_drafts = True
    shop.seller.save()
    shop.sign(shop.customer("acme"), shop.version(BASE))
    bill_run.run(instant("2026-02-02"))
    discard_draft(Invoice.objects.get(purpose="close"), at=instant("2026-02-03"))
    [again] = bill_run.run(instant("2026-02-04")).invoices
    assert (again["purpose"], again["total"], again["period_start"]) == ("close", "99.00", "2026-01-01")


def test_a_voided_invoice_keeps_its_number_and_is_billed_again(shop: Shop) -> None:
    shop.sign(shop.customer("acme"), shop.version(BASE))
    bill_run.run(instant("2026-02-02"))
    void_invoice(Invoice.objects.get(purpose="close"), reason="wrong address", at=instant("2026-02-05"))
    [again] = bill_run.run(instant("2026-02-06")).invoices
    assert (again["number"], again["total"], again["purpose"]) == ("INV-000003", "99.00", "close")
    assert Invoice.objects.get(number="INV-000002").void_reason == "wrong address"
    assert bill_run.run(instant("2026-02-07")).invoices == []


def test_a_voided_advance_invoice_is_billed_again(shop: Shop) -> None:
    shop.sign(shop.customer("acme"), shop.version(BASE))
    bill_run.run(instant("2026-01-01"))
    void_invoice(Invoice.objects.get(), reason="typo", at=instant("2026-01-02"))
    [again] = bill_run.run(instant("2026-01-03")).invoices
    assert (again["number"], again["purpose"], again["total"]) == ("INV-000002", "advance", "99.00")


def test_an_old_invoice_voided_after_the_next_close_comes_back_whole(shop: Shop) -> None:
    shop.sign(shop.customer("acme"), shop.version(BASE))
    bill_run.run(instant("2026-03-02"))
    # January's close carried February's base, and February is closed by now
    void_invoice(Invoice.objects.get(number="INV-000002"), reason="wrong", at=instant("2026-03-03"))
    [again] = bill_run.run(instant("2026-03-04")).invoices
    assert again["total"] == "99.00"
    assert again["period_start"] == "2026-01-01"
    assert [line["period_start"] for line in again["lines"]] == ["2026-02-01"]
    assert bill_run.run(instant("2026-03-05")).invoices == []


def test_waiving_makes_due_and_billed_fall_together(shop: Shop) -> None:
    shop.vat()
    shop.sign(shop.customer("acme"), shop.version(BASE))
    bill_run.run(instant("2026-02-02"))
    void_invoice(Invoice.objects.get(purpose="close"), reason="goodwill", at=instant("2026-02-05"), waive=True)
    [again] = bill_run.run(instant("2026-02-06")).invoices
    assert [(line["kind"], line["amount"]) for line in again["lines"]] == [
        ("one_time", "-99.00"),
        ("recurring", "99.00"),
    ]
    assert (again["total"], again["amount_due"]) == ("0.00", "0.00")
    assert bill_run.run(instant("2026-02-07")).invoices == []


def test_waiving_an_advance_invoice_leaves_nothing_to_pay(shop: Shop) -> None:
    shop.sign(shop.customer("acme"), shop.version(BASE))
    bill_run.run(instant("2026-01-01"))
    void_invoice(Invoice.objects.get(), reason="goodwill", at=instant("2026-01-02"), waive=True)
    [again] = bill_run.run(instant("2026-01-03")).invoices
    assert (again["purpose"], again["total"]) == ("advance", "0.00")
    assert bill_run.run(instant("2026-01-04")).invoices == []


def test_a_void_needs_a_reason_and_an_issued_document(shop: Shop) -> None:
    shop.sign(shop.customer("acme"), shop.version(BASE))
    bill_run.run(instant("2026-01-01"))
    invoice = Invoice.objects.get()
    with pytest.raises(UnableToVoid, match="needs a reason"):
        void_invoice(invoice, reason=" ", at=instant("2026-01-02"))
    void_invoice(invoice, reason="typo", at=instant("2026-01-02"))
    with pytest.raises(UnableToVoid, match="voided already"):
        void_invoice(invoice, reason="typo", at=instant("2026-01-02"))


def test_below_zero_is_a_credit_note_that_pays_the_next_invoice(shop: Shop) -> None:
    contract = shop.sign(shop.customer("acme"), shop.version(BASE))
    bill_run.run(instant("2026-02-02"))
    add_one_time(contract, "goodwill", "Goodwill", Decimal("-150.00"), dt.date(2026, 2, 10), at=instant("2026-02-10"))
    result = bill_run.run(instant("2026-03-02"))
    # 99.00 for March less 150.00
    [note] = result.credit_notes
    assert (note["number"], note["total"], note["amount_due"]) == ("CN-000001", "-51.00", "0.00")
    [april] = bill_run.run(instant("2026-04-02")).invoices
    assert april["credits"] == [{"grant": "CN-000001", "amount": "51.00"}]
    assert (april["total"], april["amount_due"]) == ("99.00", "48.00")
    credit_note = Invoice.objects.get(number="CN-000001")
    with pytest.raises(UnableToVoid, match=f"was spent on {april['number']}"):
        void_invoice(credit_note, reason="wrong", at=instant("2026-04-03"))
    void_invoice(Invoice.objects.get(number=april["number"]), reason="wrong", at=instant("2026-04-03"))
    assert not CreditUse.objects.standing().exists()
    [again] = bill_run.run(instant("2026-04-04")).invoices
    assert (again["credits"], again["amount_due"]) == ([{"grant": "CN-000001", "amount": "51.00"}], "48.00")


def test_the_database_refuses_to_change_what_is_issued(shop: Shop) -> None:
    shop.sign(shop.customer("acme"), shop.version(BASE))
    bill_run.run(instant("2026-02-02"))
    for statement in (
        "UPDATE billing_invoice SET total = 1",
        "UPDATE billing_invoice SET status = 'draft'",
        "DELETE FROM billing_invoice",
        "UPDATE billing_invoiceline SET amount = 1",
        "DELETE FROM billing_invoiceline",
        "UPDATE billing_periodclose SET ends_at = ends_at + interval '1 day'",
        "DELETE FROM billing_periodclose",
        "INSERT INTO billing_periodclose (contract_id, customer_id, starts_at, ends_at, closed_at, clock, revision,"
        " tax, stale) SELECT contract_id, customer_id, starts_at, ends_at, closed_at, clock,"
        " revision, tax, stale FROM billing_periodclose",
        "UPDATE billing_invoice SET seq = 7, prev_seq = 6 WHERE seq = 2",
    ):
        with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)


def test_a_line_cannot_join_an_issued_invoice(shop: Shop) -> None:
    shop.sign(shop.customer("acme"), shop.version(BASE))
    bill_run.run(instant("2026-01-01"))
    line = InvoiceLine.objects.get()
    line.pk, line.position = None, 2
    with pytest.raises(IntegrityError, match="a line of an issued invoice"), transaction.atomic():
        line.save(force_insert=True)


def test_a_preview_is_tomorrows_invoice(shop: Shop) -> None:
    customer = shop.customer("acme")
    shop.sign(customer, shop.version(BASE, TOKENS))
    bill_run.run(instant("2026-01-01"))
    [shown] = previews(customer, instant("2026-01-20"))
    [made] = bill_run.run(instant("2026-02-02")).invoices
    assert shown["status"] == "preview"
    same = ("customer", "contract", "purpose", "period_start", "period_end", "subtotal", "tax", "total", "amount_due")
    assert {key: shown[key] for key in same} == {key: made[key] for key in same}
    assert [dict(line, id=None) for line in made["lines"]] == shown["lines"]


def test_billing_many_contracts_takes_as_many_queries_as_billing_few(
    shop: Shop, django_assert_max_num_queries: object
) -> None:
    version = shop.version(BASE, TOKENS)
    counts = []
    for batch in ("a", "b"):
        for number in range(2 if batch == "a" else 30):
            shop.sign(shop.customer(f"{batch}{number}"), version)
        keys = [f"{batch}{number}" for number in range(30)]
        with django_assert_max_num_queries(60) as queries:  # type: ignore[operator]
            assert bill_run.run(instant("2026-02-02"), customers=keys).failures == []
        counts.append(len(queries))
    assert counts[1] <= counts[0] + 2  # the number series is made once


def test_a_run_tells_after_each_chunk_how_far_it_is(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bill_run, "CHUNK", 2)
    version = shop.version(BASE)
    for key in ("a", "b", "c"):
        shop.sign(shop.customer(key), version)
    told: list[tuple[int, int]] = []
    bill_run.run(instant("2026-02-02"), progress=lambda done, of: told.append((done, of)))
    assert told == [(2, 3), (3, 3)]
