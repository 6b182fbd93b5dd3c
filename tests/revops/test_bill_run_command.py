"""`bill_run`: a thin door to the bill run."""

import datetime as dt
import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from billing.models import Invoice, PeriodClose
from catalog.models import Seller
from contracts.models import Contract
from revops.benchmarks.company import found
from revops.benchmarks.sample import Load

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])

NEW_YEAR = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
FEBRUARY = "2026-02-02T00:00:00Z"


@pytest.fixture(autouse=True)
def two_customers() -> None:
    """e-00000 and e-00001, on a plan of 99.00 a month since New Year."""
    found(Load(1, 2, NEW_YEAR, dt.timedelta(hours=1)), NEW_YEAR.date(), NEW_YEAR)


def run(*arguments: str) -> dict[str, Any]:
    out = io.StringIO()
    call_command("bill_run", *arguments, "--json", stdout=out)
    document: dict[str, Any] = json.loads(out.getvalue())
    return document


def test_what_is_due_is_invoiced_once() -> None:
    result = run("--at", FEBRUARY)
    assert dt.datetime.fromisoformat(result["at"]) == dt.datetime(2026, 2, 2, tzinfo=dt.UTC)
    assert [(one["customer"], one["total"], one["status"]) for one in result["invoices"]] == [
        ("e-00000", "99.00", "issued"),
        ("e-00001", "99.00", "issued"),
    ]
    assert result["credit_notes"] == result["failures"] == []
    assert run("--at", FEBRUARY)["invoices"] == []


def test_customers_may_be_named() -> None:
    assert [one["customer"] for one in run("--at", FEBRUARY, "--customer", "e-00001")["invoices"]] == ["e-00001"]
    assert [one["customer"] for one in run("--at", FEBRUARY)["invoices"]] == ["e-00000"]


def test_a_dry_run_shows_and_makes_nothing() -> None:
    shown = run("--at", FEBRUARY, "--dry-run")["invoices"]
    assert [one["total"] for one in shown] == ["99.00", "99.00"]
    assert Invoice.objects.count() == PeriodClose.objects.count() == 0


def test_without_json_it_prints_a_line_for_each_document() -> None:
    out = io.StringIO()
    call_command("bill_run", "--at", FEBRUARY, stdout=out)
    lines = out.getvalue().splitlines()
    assert len(lines) == 2
    assert "99.00 USD" in lines[0]


@pytest.mark.parametrize("at", ["2026-02-02T00:00:00", "soon"])
def test_an_instant_needs_an_offset(at: str) -> None:
    with pytest.raises(CommandError, match=r"2026-02-02T00:00:00Z|needs an offset"):
        run("--at", at)


def test_a_customer_nobody_knows_is_named() -> None:
    with pytest.raises(CommandError, match="no customer 'nix'"):
        run("--at", FEBRUARY, "--customer", "nix")


def test_a_contract_that_cannot_be_billed_makes_the_command_fail_and_stops_no_other() -> None:
    other = Seller.objects.create(key="broken", name="Broken Inc", timezone="Mars/Olympus")
    contract = Contract.objects.get(number="e-00000")
    contract.seller = other
    contract.save()
    out = io.StringIO()
    with pytest.raises(CommandError, match="1 contract"):
        call_command("bill_run", "--at", FEBRUARY, "--json", stdout=out)
    result = json.loads(out.getvalue())
    assert [failure["contract"] for failure in result["failures"]] == ["e-00000"]
    assert [one["customer"] for one in result["invoices"]] == ["e-00001"]
