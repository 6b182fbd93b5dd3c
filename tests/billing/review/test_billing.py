"""What a release does to the bill: ordinary use of an open period, an adjustment of a closed one. Amounts by hand."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from billing.invoicing import bill_run
from billing.invoicing.preview import previews as next_invoice
from billing.models import Invoice
from billing.review.choosing import Records
from billing.review.preview import preview, preview_proposal
from revops.reconciliation.books import check
from tests.billing.review.conftest import Company, held, proposed, resolved, send
from tests.factories import event

pytestmark = [pytest.mark.sql, pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])]

FEB_2 = dt.datetime(2026, 2, 2, 1, tzinfo=dt.UTC)
FEB_3 = dt.datetime(2026, 2, 3, tzinfo=dt.UTC)
MAR_2 = dt.datetime(2026, 3, 2, 1, tzinfo=dt.UTC)


def lines(invoice: Invoice) -> list[tuple[str, str, Decimal]]:
    return [(line.kind, line.price, line.amount) for line in invoice.lines.order_by("pk")]


def test_a_release_into_an_open_period_is_ordinary_use(company: Company) -> None:
    send(event("ok", 100), event("e1", 40, subject="stranger"))
    at = dt.datetime(2026, 1, 25, tzinfo=dt.UTC)
    # 20.00 and 100 tokens at 0.01, then 140.
    assert next_invoice(company.customer, at)[0]["total"] == "21.00"
    resolved("assign_customer", "e1", customer="acme", at=at)
    assert next_invoice(company.customer, at)[0]["total"] == "21.40"
    bill_run.run(FEB_2)
    assert sorted(lines(Invoice.objects.get())) == [
        ("recurring", "base", Decimal("20.00")), ("usage", "tokens", Decimal("1.40")),
    ]  # fmt: skip
    assert check(FEB_2).leaks == []


def test_a_release_into_a_closed_period_is_an_adjustment_on_the_next_invoice(company: Company) -> None:
    send(event("ok", 100), event("e1", 40, subject="stranger"))
    bill_run.run(FEB_2)
    [january] = Invoice.objects.all()
    resolved("assign_customer", "e1", customer="acme", at=FEB_3)
    report = check(FEB_3)
    assert report.leaks == []
    assert [(pending.period_start, pending.amount) for pending in report.pending] == [("2026-01-01", "0.40")]

    bill_run.run(MAR_2)
    february = Invoice.objects.exclude(pk=january.pk).get()
    # 40 tokens of January at 0.01, beside February's base.
    assert sorted(lines(february)) == [
        ("adjustment", "tokens", Decimal("0.40")), ("recurring", "base", Decimal("20.00")),
    ]  # fmt: skip
    adjustment = february.lines.get(kind="adjustment")
    assert adjustment.corrects == january.lines.get(price="tokens")
    assert check(MAR_2).leaks == []


def test_the_preview_of_a_resolution_says_what_comes_in_and_what_fails(company: Company) -> None:
    send(event("ok", 100), event("e1", 40, subject="stranger"), event("e2", "x", subject="stranger"))
    send(event("e3", 7, subject="stranger", time="2025-06-01T00:00:00Z"))
    bill_run.run(FEB_2)
    chosen = Records(tuple(held(id).pk for id in ("e1", "e2", "e3")))
    found = preview(chosen, "assign_customer", {"customer": "acme"}, at=FEB_3, keep_as_rule=True)
    assert (found.records, found.sightings, found.would_release, found.adjustments) == (3, 3, 1, 1)
    assert found.would_fail == {"invalid_value": 1, "no_active_contract": 1}
    assert found.amount == {"USD": Decimal("0.40")}
    assert [(failure.record, failure.reason) for failure in found.failures] == [
        (held("e2").pk, "invalid_value"), (held("e3").pk, "no_active_contract"),
    ]  # fmt: skip
    assert held("e1").status == "open"


def test_the_approver_sees_what_the_rule_would_catch_too(company: Company) -> None:
    send(event("e1", 40, subject="stranger"))
    proposal = proposed("assign_customer", "e1", keep_as_rule=True, customer="acme")
    send(event("e2", 10, subject="stranger"), event("e3", 10, subject="other"))
    found = preview_proposal(proposal, at=FEB_3)
    assert (found.records, found.would_release, found.also_caught) == (1, 1, 1)
    assert found.rules == ["From now on stranger is acme"]
