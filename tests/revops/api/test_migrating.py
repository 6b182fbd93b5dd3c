"""Contracts moved to another version of their plan, and what that changes in money."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing.invoicing import bill_run
from billing.invoicing.shadow import migrate
from catalog.models import PlanVersion
from catalog.publishing import approve, submit
from contracts.drafts import LineDraft, TermsDraft
from contracts.lifecycle import approve as approve_contract
from contracts.lifecycle import draft as draft_contract
from contracts.models import Contract, ContractLine, Customer

from .conftest import THEN, Api, Company, event
from .test_catalog_writing import fault

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])

FEBRUARY = dt.datetime(2026, 2, 2, tzinfo=dt.UTC)
MARCH = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)
MOVE = "plans/pro/versions/2/migrate"
PRICES = [
    {"key": "base", "kind": "recurring", "model": "flat", "flat_amount": "25.00"},
    {"key": "tokens", "kind": "usage", "meter": "tokens", "model": "per_unit", "unit_amount": "0.008"},
]


def sign(company: Company, number: str, customer: str) -> Contract:
    """Another contract on pro@1 since January, of a customer of its own."""
    made = Contract(
        number=number,
        customer=Customer.objects.create(key=customer, name=customer),
        seller=company.seller,
        currency="USD",
        starts_on=THEN.date(),
    )
    version = company.plan.versions.get(number=1)
    draft_contract(made, TermsDraft(lines=(LineDraft(version, starts_on=THEN.date(), key="pro"),)), at=THEN)
    return approve_contract(made, at=THEN)


@pytest.fixture
def moving(api: Api, company: Company) -> Api:
    """acme (C-1) used 1,000 tokens in January and initech (C-2) 5,000; it is closed. pro@2 is a draft."""
    sign(company, "C-2", "initech")
    sent = api.post("events", [event("e1", 1000), event("e2", 5000, subject="initech")]).json
    assert sent["accepted"] == 2
    bill_run.run(FEBRUARY)
    assert api.post("plans/pro/versions", {"currency": "USD", "prices": PRICES}).status == 201
    return api


def publish() -> PlanVersion:
    version = PlanVersion.objects.get(number=2)
    return approve(submit(version, at=THEN), at=THEN)


def test_a_dry_run_says_what_january_would_have_cost_and_stores_nothing(moving: Api) -> None:
    answer = moving.post(MOVE, {"contracts": ["C-2", "C-1"], "on": "2026-03-01", "dry_run": True})
    assert answer.status == 200, answer.json
    # pro@1: 20.00 + 0.01 a token; pro@2: 25.00 + 0.008 a token
    # C-1, 1,000 tokens: 30.00 -> 33.00; C-2, 5,000 tokens: 70.00 -> 65.00
    told = answer.json
    shown = [(one["contract"], one["before"], one["after"], one["delta"]) for one in told["contracts"]]
    assert shown == [("C-2", "70.00", "65.00", "-5.00"), ("C-1", "30.00", "33.00", "3.00")]
    assert told["contracts"][1] == {
        "contract": "C-1", "customer": "acme", "currency": "USD", "period_start": "2026-01-01",
        "period_end": "2026-02-01", "before": "30.00", "after": "33.00", "delta": "3.00",
        "prices": [
            {"line": "pro", "price": "base", "before": "20.00", "after": "25.00"},
            {"line": "pro", "price": "tokens", "before": "10.00", "after": "8.00"},
        ],
    }  # fmt: skip
    assert told["totals"] == [{"currency": "USD", "before": "100.00", "after": "98.00", "delta": "-2.00"}]
    assert (told["plan"], told["version"], told["on"], told["dry_run"]) == ("pro", 2, "2026-03-01", True)
    # The draft would be refused as the second line, from March on.
    assert [(one["path"], one["code"]) for one in told["refused"]] == [
        ("contracts[0].lines[1].version", "unsold"), ("contracts[1].lines[1].version", "unsold"),
    ]  # fmt: skip
    assert ContractLine.objects.count() == 2
    assert set(Contract.objects.values_list("revision", flat=True)) == {0}


def test_the_move_is_billed_from_its_day_on(moving: Api) -> None:
    publish()
    moved = moving.post(MOVE, {"contracts": ["C-1"], "on": "2026-02-15", "dry_run": False})
    assert (moved.status, moved.json["refused"]) == (200, [])
    assert moved.json["contracts"][0]["delta"] == "3.00"
    contract = moving.get("contracts/C-1").json
    assert [(line["version"], line["from"], line["until"]) for line in contract["lines"]] == [
        (1, "2026-01-01", "2026-02-15"), (2, "2026-02-15", None),
    ]  # fmt: skip
    assert contract["revision"] == 1
    bill_run.run(MARCH)
    invoice = moving.get("invoices?contract=C-1").json["results"][0]
    # February: 14 days of 20.00 and 14 of 25.00, of 28: 10.00 + 12.50
    assert invoice["total"] == "22.50"
    reason = Contract.objects.get(number="C-1").history.latest("history_id").history_change_reason
    assert reason == "Moved to pro@2 on 2026-02-15 (API key test)"


def test_all_moves_every_contract_that_stands_on_another_version_that_day(moving: Api, company: Company) -> None:
    publish()
    ended, on_it = sign(company, "C-3", "ended"), sign(company, "C-4", "there")
    moving.post("contracts/C-3/end", {"on": "2026-02-01", "reason": "Cancelled"})
    moving.post(MOVE, {"contracts": ["C-4"], "on": "2026-01-01"})
    told = moving.post(MOVE, {"all": True, "on": "2026-03-01"}).json
    assert [(one["contract"], one["delta"]) for one in told["contracts"]] == [("C-1", "3.00"), ("C-2", "-5.00")]
    again = moving.post(MOVE, {"all": True, "on": "2026-03-01"}).json
    assert (again["contracts"], again["totals"]) == ([], [])
    for contract, versions in ((ended, [1]), (on_it, [2])):
        assert [line.plan_version.number for line in contract.lines.in_force()] == versions


def test_a_move_into_the_past_is_adjusted(moving: Api) -> None:
    publish()
    moving.post(MOVE, {"contracts": ["C-1"], "on": "2026-01-01"})
    bill_run.run(MARCH)
    invoice = moving.get("invoices?contract=C-1").json["results"][0]
    adjusted = [line["amount"] for line in invoice["lines"] if line["kind"] == "adjustment"]
    # January again: -20.00 - 10.00 + 25.00 + 8.00
    assert sorted(adjusted, key=float) == ["-20.00", "-10.00", "8.00", "25.00"]
    assert moving.post(MOVE, {"contracts": ["C-1"], "on": "2026-01-01"}).status == 409


def test_all_or_none_move(moving: Api, company: Company) -> None:
    publish()
    moving.post("contracts", {"number": "C-3", "customer": "acme", "starts_on": "2026-01-01", "lines": []})
    refused = moving.post(MOVE, {"contracts": ["C-1", "C-3"], "on": "2026-03-01"})
    assert refused.status == 409
    moved = moving.post(MOVE, {"contracts": ["C-2", "C-1"], "on": "2025-03-01"})
    assert {(one["path"], one["code"]) for one in moved.json["errors"]} == {
        ("contracts[0].plan", "unknown"), ("contracts[1].plan", "unknown"),
    }  # fmt: skip
    assert moved.status == 409
    assert ContractLine.objects.filter(plan_version__number=2).count() == 0


def test_two_contracts_of_a_customer_do_not_come_to_bill_one_meter(moving: Api, company: Company) -> None:
    """pro@3 bills requests, too; C-1 and a second contract of acme's cannot both move to it."""
    light = moving.post("plans", {"key": "light", "versions": [{"currency": "USD", "prices": [PRICES[0]]}]}).json
    assert light["versions"][0]["number"] == 1
    heavier = [PRICES[0], {**PRICES[1], "key": "requests", "meter": "requests"}]
    moving.post("plans/light/versions", {"currency": "USD", "prices": heavier})
    for version in PlanVersion.objects.filter(plan__key="light"):
        approve(submit(version, at=THEN), at=THEN)
    first = PlanVersion.objects.get(plan__key="light", number=1)
    for number in ("L-1", "L-2"):
        made = Contract(
            number=number, customer=company.customer, seller=company.seller, currency="USD", starts_on=THEN.date()
        )
        draft_contract(made, TermsDraft(lines=(LineDraft(first, starts_on=THEN.date(), key="light"),)), at=THEN)
        approve_contract(made, at=THEN)
    both = moving.post("plans/light/versions/2/migrate", {"all": True, "on": "2026-03-01"})
    assert fault(both) == (409, "contracts[1].lines[1].plan", "billed_twice")
    one = moving.post("plans/light/versions/2/migrate", {"contracts": ["L-2"], "on": "2026-03-01"})
    assert one.status == 200


def test_a_contract_without_a_closed_period_has_no_delta(moving: Api, company: Company) -> None:
    sign(company, "C-9", "newcomer")
    told = moving.post(MOVE, {"contracts": ["C-9"], "on": "2026-03-01", "dry_run": True}).json
    assert told["contracts"] == [
        {
            "contract": "C-9", "customer": "newcomer", "currency": "USD", "period_start": None, "period_end": None,
            "before": None, "after": None, "delta": None, "prices": [],
        }
    ]  # fmt: skip
    assert told["totals"] == []


@pytest.mark.parametrize(
    ("body", "status", "where", "code"),
    [
        ({"on": "2026-03-01"}, 400, "contracts", "invalid"),
        ({"on": "2026-03-01", "all": True, "contracts": ["C-1"]}, 400, "contracts", "invalid"),
        ({"on": "2026-03-01", "contracts": ["nix"]}, 400, "contracts[0]", "unknown"),
        ({"on": "2026-03-01", "contracts": ["C-1", "C-1"]}, 400, "contracts[1]", "duplicate"),
        ({"on": "2026-03-01", "contracts": ["C-1"] * 1001}, 400, "contracts", "too_many"),
        ({"contracts": ["C-1"]}, 400, "on", "missing"),
        ({"on": "soon", "contracts": ["C-1"]}, 400, "on", "invalid"),
        ({"on": "2026-03-01", "contracts": ["C-1"], "dry": True}, 400, "dry", "unknown"),
    ],
)
def test_a_move_that_is_not_said_rightly_is_refused(
    api: Api, company: Company, body: dict[str, Any], status: int, where: str, code: str
) -> None:
    api.post("plans/pro/versions", {"currency": "USD", "prices": PRICES})
    assert fault(api.post(MOVE, body)) == (status, where, code)


def test_a_move_to_another_currency_or_to_what_is_not_there_is_refused(api: Api, company: Company) -> None:
    assert api.post(MOVE, {"all": True, "on": "2026-03-01"}).status == 404
    api.post("plans/pro/versions", {"currency": "EUR", "prices": PRICES})
    answer = api.post(MOVE, {"contracts": ["C-1"], "on": "2026-03-01", "dry_run": True})
    assert fault(answer) == (409, "", "unable_to_compare")
    assert "in EUR" in answer.json["detail"]
    assert api.post(MOVE, {"all": True, "on": "2026-03-01", "dry_run": True}).json["contracts"] == []


def queries_of_a_move(company: Company, count: int, name: str, dry_run: bool) -> int:
    contracts = [sign(company, f"{name}-{index}", f"{name}-{index}").pk for index in range(count)]
    version = PlanVersion.objects.get(number=2)
    with CaptureQueriesContext(connection) as queries:
        migrate(contracts, version, dt.date(2026, 3, 1), dry_run=dry_run, at=FEBRUARY)
    return len(queries)


@pytest.mark.parametrize("dry_run", [True, False])
def test_thirty_contracts_are_moved_in_as_many_queries_as_three(api: Api, company: Company, dry_run: bool) -> None:
    api.post("plans/pro/versions", {"currency": "USD", "prices": PRICES})
    publish()
    few = queries_of_a_move(company, 3, "few", dry_run)
    assert queries_of_a_move(company, 30, "many", dry_run) == few
