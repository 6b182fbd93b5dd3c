"""The pages that ask to submit and to approve a version: what it changes, and for whom."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from billing.admin.consequences import compared, consequences, for_new_contracts, staying
from catalog.models import Plan, PlanVersion
from catalog.publishing import PriceDraft, draft_version, publish, submit
from contracts.models import Contract, ContractLine
from revops.roles import FINANCE, REVOPS

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])

AT = dt.datetime(2026, 2, 10, tzinfo=dt.UTC)
DAY = AT.date()
BASE = PriceDraft("base", "recurring", {"model": "flat", "flat_amount": "25.00"})
LIST = "/admin/catalog/planversion/"


def signed_in(role: str) -> Client:
    user = User.objects.create_user(role.lower(), is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    return client


def drafted(plan: Plan, begins: dt.date | None = None, currency: str = "EUR") -> PlanVersion:
    tokens = PriceDraft("tokens", "usage", {"model": "per_unit", "unit_amount": "0.008"}, meter="tokens")
    return draft_version(plan, currency=currency, prices=[BASE, tokens], at=AT, effective_from=begins)


def asked(client: Client, deed: str, version: PlanVersion) -> Any:
    answer = client.post(LIST, {"action": deed, "_selected_action": version.pk})
    assert answer.status_code == 200
    return answer.context["cases"][0]


def test_the_pages_say_that_nobody_is_moved_who_is_where_and_what_it_would_cost(version: PlanVersion) -> None:
    draft = drafted(version.plan)
    shown = asked(signed_in(REVOPS), "submit_version", draft)["shown"]
    assert "Publishing moves nobody." in shown
    assert "4 contracts on this plan keep what they have" in shown
    assert "New contracts get it as soon as it is published." in shown
    assert '<td class="changes">' in shown  # beside what is in force
    # C-1, 1,000 tokens: 30.00 -> 33.00; C-2, 5,000 tokens: 70.00 -> 65.00 (see conftest)
    assert '<td class="number">100.00</td><td class="number">98.00</td><td class="number changes">-2.00</td>' in shown
    assert "1 contract on other versions is billed in another currency than EUR" in shown
    submit(draft, at=AT)
    assert asked(signed_in(FINANCE), "approve_version", draft)["shown"].count("-2.00") == 1
    assert not ContractLine.objects.filter(plan_version=draft).exists()


def test_who_stays_is_named_by_version(version: PlanVersion) -> None:
    told = staying(drafted(version.plan), DAY)
    assert [(str(one["row"]), one["standing"].contracts, [c.key for c in one["customers"]]) for one in told] == [
        ("pro@3", 1, ["abroad"]), ("pro@1", 3, ["acme", "initech", "newcomer"]),
    ]  # fmt: skip


def test_the_largest_differences_come_first(version: PlanVersion) -> None:
    found = compared(drafted(version.plan), DAY)["trial"]
    assert [(row["contract"].number, row["delta"]) for row in found.shown] == [
        ("C-2", Decimal("-5.00")), ("C-1", Decimal("3.00")), ("C-3", None),
    ]  # fmt: skip


def test_what_cannot_be_compared_is_said(version: PlanVersion) -> None:
    Contract.objects.filter(number="C-3").update(timezone="Nowhere/Land")
    assert "Nowhere" in compared(drafted(version.plan), DAY)["cannot_compare"]


def test_amounts_are_shown_to_who_may_see_invoices_alone(version: PlanVersion) -> None:
    draft = drafted(version.plan)
    names = ["view_planversion", "view_price", "submit_planversion"]
    user = User.objects.create_user("clerk", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    client = Client()
    client.force_login(user)
    shown = asked(client, "submit_version", draft)["shown"]
    assert "Publishing moves nobody." in shown and "acme" not in shown and "-2.00" not in shown
    user.user_permissions.add(Permission.objects.get(codename="view_contract"))
    shown = asked(client, "submit_version", draft)["shown"]
    assert "Acme" in shown or "acme" in shown
    assert "-2.00" not in shown


def test_it_costs_the_same_queries_for_one_contract_and_for_three(version: PlanVersion) -> None:
    draft, boss = drafted(version.plan), User.objects.create_superuser("boss")

    def queries() -> int:
        with CaptureQueriesContext(connection) as found:
            consequences(draft, DAY, boss)
        return len(found)

    queries()
    many = queries()
    ContractLine.objects.filter(contract__number__in=["C-2", "C-3"]).update(superseded_at=AT)
    assert queries() == many


@pytest.fixture
def plan(db: None) -> Plan:
    return Plan.objects.create(key="solo", name="Solo")


def only(plan: Plan, begins: dt.date | None) -> PlanVersion:
    return draft_version(plan, currency="EUR", prices=[BASE], at=AT, effective_from=begins)


def test_new_contracts_get_it_from_its_day_until_the_next_begins(plan: Plan) -> None:
    march, may = dt.date(2026, 3, 1), dt.date(2026, 5, 1)
    assert for_new_contracts(only(plan, None), DAY) == "New contracts get it as soon as it is published."
    assert for_new_contracts(only(plan, march), DAY) == "New contracts get it from 2026-03-01."
    assert for_new_contracts(only(plan, dt.date(2026, 2, 1)), DAY) == (
        "New contracts that start on 2026-02-01 or later get it as soon as it is published."
    )
    dated = publish(only(plan, may), at=AT)
    until = f", until {dated} begins on 2026-05-01."
    assert for_new_contracts(only(plan, march), DAY) == f"New contracts get it from 2026-03-01{until}"
    assert for_new_contracts(only(plan, None), DAY) == f"New contracts get it as soon as it is published{until}"
    assert f"{dated}, which has one, stays in force for them" in for_new_contracts(only(plan, None), may)
