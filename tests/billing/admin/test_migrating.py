"""Contracts moved to a version on the console: chosen, tried, moved; with amounts worked out by hand."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from billing.admin.migrating import read, trial
from billing.invoicing.shadow import migrate
from catalog.models import PlanVersion
from contracts.lifecycle import move_to_version
from contracts.models import Contract, ContractLine
from revops.roles import AUDITOR, ENGINEERING, FINANCE, REVOPS, ROLES, SALES

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])

AT = dt.datetime(2026, 2, 10, tzinfo=dt.UTC)
MARCH = dt.date(2026, 3, 1)


def signed_in(role: str) -> Client:
    user = User.objects.create_user(role.lower(), is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    return client


def page(version: PlanVersion) -> str:
    return f"/admin/catalog/planversion/{version.pk}/migrate/"


def ids(*numbers: str) -> list[int]:
    return [Contract.objects.get(number=number).pk for number in numbers]


def shown(answer: Any) -> list[tuple[str, Decimal | None, Decimal | None, Decimal | None]]:
    return [
        (row["contract"].number, row["before"], row["after"], row["delta"]) for row in answer.context["trial"].shown
    ]


def messages(answer: Any) -> list[str]:
    return [str(message) for message in answer.context["messages"]]


def test_who_can_be_chosen_is_on_another_version_that_day_in_the_same_currency(version: PlanVersion) -> None:
    client = signed_in(REVOPS)
    listed = client.get(page(version), {"on": "2026-03-01"})
    assert [(one.contract.number, one.stands_on) for one in listed.context["choices"]] == [
        ("C-1", ("pro@1",)), ("C-2", ("pro@1",)), ("C-3", ("pro@1",)),
    ]  # fmt: skip
    assert listed.context["elsewhere"] == 1
    assert "cannot stand on this one: it is in EUR" in listed.content.decode()
    found = client.get(page(version), {"on": "2026-01-15", "q": "initech"})
    assert [one.contract.number for one in found.context["choices"]] == ["C-2"]
    assert client.get(page(version), {"on": "2025-01-15"}).context["choices"] == []


def test_a_trial_shows_before_after_and_the_sum_and_stores_nothing(version: PlanVersion) -> None:
    tried = signed_in(REVOPS).post(page(version), {"on": "2026-03-01", "all": "yes"})
    # pro@1: 20.00 + 0.01 a token; pro@2: 25.00 + 0.008 a token.
    # C-1, 1,000 tokens: 30.00 -> 33.00; C-2, 5,000 tokens: 70.00 -> 65.00; the sum: 100.00 -> 98.00
    assert shown(tried) == [
        ("C-2", Decimal("70.00"), Decimal("65.00"), Decimal("-5.00")),
        ("C-1", Decimal("30.00"), Decimal("33.00"), Decimal("3.00")),
        ("C-3", None, None, None),
    ]
    text = tried.content.decode()
    assert "3 contracts: 1 pay more, 1 less, 1 cannot be compared yet" in text
    assert '<td class="number">100.00</td><td class="number">98.00</td><td class="number changes">-2.00</td>' in text
    assert "Move 3 contracts from 2026-03-01" in text
    assert ContractLine.objects.count() == 4


def test_those_that_were_tried_are_moved_and_the_record_says_who_and_from_where(version: PlanVersion) -> None:
    client = signed_in(REVOPS)
    tried = client.post(page(version), {"on": "2026-03-01", "contract": ids("C-1", "C-3")})
    confirmed = {
        "on": "2026-03-01",
        "confirmed": "yes",
        "contracts": ",".join(map(str, tried.context["trial"].movable)),
    }
    done = client.post(page(version), confirmed, follow=True)
    assert messages(done) == ["2 contracts moved to pro@2 from 2026-03-01."]
    spans = ContractLine.objects.in_force().filter(contract__number="C-1").order_by("starts_on")
    assert list(spans.values_list("plan_version__number", "starts_on", "ends_on")) == [
        (1, dt.date(2026, 1, 1), MARCH), (2, MARCH, None),
    ]  # fmt: skip
    assert not ContractLine.objects.filter(contract__number="C-2", plan_version=version).exists()
    told = [(move.by, move.contract.number, move.came_from, move.on) for move in done.context["moves"]]
    assert sorted(told) == [("revops", "C-1", ("pro@1",), MARCH), ("revops", "C-3", ("pro@1",), MARCH)]
    assert "2 contracts moved to pro@2" in LogEntry.objects.get().get_change_message()
    assert client.post(page(version), confirmed, follow=True).status_code == 200
    assert ContractLine.objects.filter(contract__number="C-1", plan_version=version).count() == 1


def test_who_cannot_be_moved_is_left_out_with_the_reason(version: PlanVersion) -> None:
    """A contract of acme's that bills tokens on pro@2 already is in the way of C-1."""
    asked = ids("C-1", "C-2")
    other = Contract.objects.get(number="C-1")
    second = Contract.objects.create(
        number="C-5", customer=other.customer, seller=other.seller, currency="EUR", starts_on=dt.date(2026, 1, 1),
        status="approved",
    )  # fmt: skip
    ContractLine.objects.create(contract=second, key="pro", plan_version=version, starts_on=dt.date(2026, 2, 1))
    client = signed_in(REVOPS)
    tried = client.post(page(version), {"on": "2026-03-01", "contract": asked})
    assert [row[0] for row in shown(tried)] == ["C-2"]
    [(contract, [reason])] = tried.context["trial"].refused
    assert contract.number == "C-1" and "C-5" in reason
    assert "Left out: 1 that cannot be moved" in tried.content.decode()
    confirmed = {"on": "2026-03-01", "confirmed": "yes", "contracts": ",".join(map(str, asked))}
    refused = client.post(page(version), confirmed)
    assert messages(refused)[0].startswith("Nobody was moved: contracts[0]")
    assert not ContractLine.objects.filter(contract__in=asked, plan_version=version).exists()


def test_a_contract_that_was_moved_meanwhile_lets_nobody_be_moved_twice(version: PlanVersion) -> None:
    client, asked = signed_in(REVOPS), ids("C-1", "C-2")
    client.post(page(version), {"on": "2026-03-01", "contract": asked})
    move_to_version(Contract.objects.get(number="C-1"), version.plan, version, MARCH, at=AT)
    confirmed = {"on": "2026-03-01", "confirmed": "yes", "contracts": ",".join(map(str, asked))}
    refused = client.post(page(version), confirmed)
    assert "no line of C-1 is on another version of pro on 2026-03-01" in messages(refused)[0]
    assert not ContractLine.objects.filter(contract__number="C-2", plan_version=version).exists()


def test_what_is_not_said_rightly_is_refused(version: PlanVersion) -> None:
    client = signed_in(REVOPS)
    assert "Choose at least one contract." in messages(client.post(page(version), {"on": "2026-03-01"}))
    assert client.post(page(version), {"on": "soon", "all": "yes"}).context["form"].errors["on"]
    # One in another currency is none of those that can be chosen, whoever names it.
    foreign = client.post(page(version), {"on": "2026-03-01", "contract": ids("C-4")})
    assert "Choose at least one contract." in messages(foreign)
    named = {"on": "2026-03-01", "confirmed": "yes", "contracts": str(ids("C-4")[0])}
    assert "pro@2 is in EUR, the contract C-4 in USD" in messages(client.post(page(version), named))[0]
    assert client.get("/admin/catalog/planversion/0/migrate/").status_code == 404


def test_a_draft_is_tried_and_moves_nobody(version: PlanVersion) -> None:
    client = signed_in(REVOPS)
    client.post("/admin/catalog/planversion/", {"action": "copy_version", "_selected_action": version.pk,
                                                "confirmed": "yes"})  # fmt: skip
    draft = PlanVersion.objects.get(number=4)
    tried = client.post(page(draft), {"on": "2026-03-01", "contract": ids("C-1")})
    assert shown(tried) == [("C-1", Decimal("30.00"), Decimal("33.00"), Decimal("3.00"))]
    assert tried.context["trial"].refused == []
    assert "confirmed" not in tried.content.decode()
    confirmed = {"on": "2026-03-01", "confirmed": "yes", "contracts": str(ids("C-1")[0])}
    assert client.post(page(draft), confirmed).status_code == 403
    assert "Try it on contracts" in client.get(f"/admin/catalog/planversion/{draft.pk}/change/").content.decode()


def test_each_role_sees_and_does_what_is_its_own(version: PlanVersion) -> None:
    """Who sees contracts and invoices may try; RevOps alone moves."""
    confirmed = {"on": "2026-03-01", "confirmed": "yes", "contracts": str(ids("C-1")[0])}
    for role in (FINANCE, SALES, ENGINEERING, AUDITOR):
        client = signed_in(role)
        tried = client.post(page(version), {"on": "2026-03-01", "all": "yes"})
        assert tried.status_code == 200 and 'name="confirmed"' not in tried.content.decode(), role
        assert client.post(page(version), confirmed).status_code == 403, role
        assert (
            "Move contracts here" not in client.get(f"/admin/catalog/planversion/{version.pk}/change/").content.decode()
        )
    assert not ContractLine.objects.filter(plan_version=version).exists()
    assert signed_in(REVOPS).post(page(version), confirmed).status_code == 302
    assert ContractLine.objects.filter(plan_version=version).count() == 1
    assert {*ROLES} == {FINANCE, SALES, ENGINEERING, AUDITOR, REVOPS}


def test_who_may_not_see_invoices_tries_nothing(version: PlanVersion) -> None:
    user = User.objects.create_user("clerk", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_planversion", "view_contract"]))
    client = Client()
    client.force_login(user)
    assert client.get(page(version)).status_code == 403
    assert page(version) not in client.get(f"/admin/catalog/planversion/{version.pk}/change/").content.decode()


def test_a_trial_costs_the_same_queries_for_one_contract_and_for_three(version: PlanVersion) -> None:
    def queries(*numbers: str) -> int:
        asked = ids(*numbers)
        with CaptureQueriesContext(connection) as found:
            trial(asked, version, MARCH, AT)
        return len(found)

    queries("C-1")  # reads what is read once
    assert queries("C-1") == queries("C-1", "C-2", "C-3")


def test_the_largest_changes_are_shown_and_the_sum_is_over_all(version: PlanVersion) -> None:
    asked = ids("C-1", "C-2", "C-3")
    found = read(migrate(asked, version, MARCH, dry_run=True, at=AT), asked, version, most=1)
    assert [row["contract"].number for row in found.shown] == ["C-2"]
    assert (found.left_off, found.delta) == (2, Decimal("-2.00"))
