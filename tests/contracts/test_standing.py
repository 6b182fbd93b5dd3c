"""Who stands on which version, and how they came to."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from contracts.drafts import LineDraft
from contracts.lifecycle import amend, end, move_to_version
from contracts.models import Contract
from contracts.moving import move_all
from contracts.standing import Standing, moves_to, standing_contracts, standing_on
from tests.contracts.conftest import AT, START, Desk
from tests.factories import CustomerFactory

MARCH = dt.date(2026, 3, 1)
LATER = AT + dt.timedelta(days=10)


@pytest.fixture
def signed(desk: Desk) -> list[Contract]:
    """C-1 and C-2 of acme and C-3 of another customer on pro@1; what bills one meter twice is on another key."""
    version = desk.version("pro", meters=[])
    other = CustomerFactory()
    owners = [desk.customer, desk.customer, other]
    return [
        desk.signed(LineDraft(version, START), number=f"C-{number}", customer=owner)
        for number, owner in enumerate(owners, 1)
    ]


def test_lines_contracts_and_customers_are_counted_on_a_day(desk: Desk, signed: list[Contract]) -> None:
    first = signed[0].lines.get().plan_version
    second = desk.version("pro", meters=[])
    desk.draft(LineDraft(second, START), number="D-1")
    move_all([signed[0].pk], second, MARCH, at=LATER)
    end(signed[1], MARCH, at=LATER, reason="Leaving")
    before, after = MARCH - dt.timedelta(days=1), MARCH
    assert standing_on([first.pk, second.pk], before) == {first.pk: Standing(3, 3, 2), second.pk: Standing()}
    assert standing_on([first.pk, second.pk], after) == {first.pk: Standing(1, 1, 1), second.pk: Standing(1, 1, 1)}
    assert [one.number for one in standing_contracts(first.pk, after)] == ["C-3"]


def test_two_lines_of_a_contract_on_a_version_are_one_contract(desk: Desk) -> None:
    version = desk.version("pro", meters=[])
    desk.signed(LineDraft(version, START), LineDraft(version, START, key="pro-2"))
    assert standing_on([version.pk], START) == {version.pk: Standing(2, 1, 1)}


def test_a_move_is_kept_with_who_when_from_where_and_from_which_day(desk: Desk, signed: list[Contract]) -> None:
    second, third = desk.version("pro", meters=[]), desk.version("pro", meters=[])
    robin = User.objects.create_user("robin")
    move_all([signed[0].pk, signed[1].pk], second, MARCH, at=LATER, by=robin)
    move_to_version(signed[0], third.plan, third, MARCH, at=LATER + dt.timedelta(days=1))
    told = [(one.at, one.by, one.contract.number, one.on, one.came_from) for one in moves_to(second, 10)]
    assert sorted(told, key=lambda one: one[2]) == [
        (LATER, "robin", "C-1", MARCH, ("pro@1",)),
        (LATER, "robin", "C-2", MARCH, ("pro@1",)),
    ]
    [move] = moves_to(third, 10)
    assert (move.by, move.came_from) == ("", ("pro@2",))
    assert move.reason == "Moved to pro@3 on 2026-03-01 by the operator at the command line"
    assert moves_to(signed[0].lines.first().plan_version, 10) == []  # type: ignore[union-attr]


def test_a_line_that_is_signed_or_amended_there_was_not_moved(desk: Desk, signed: list[Contract]) -> None:
    second = desk.version("pro", meters=[])
    amend(signed[2], at=LATER, lines=(LineDraft(second, START),), reason="Renegotiated")
    assert moves_to(second, 10) == []


def test_moves_cost_the_same_queries_for_one_and_for_many(desk: Desk) -> None:
    version = desk.version("pro", meters=[])

    def moved(count: int, name: str) -> int:
        rows = [
            desk.signed(LineDraft(version, START), number=f"{name}-{index}", customer=CustomerFactory())
            for index in range(count)
        ]
        newer = desk.version("pro", meters=[])
        move_all([row.pk for row in rows], newer, MARCH, at=LATER)
        with CaptureQueriesContext(connection) as queries:
            assert len(moves_to(newer, 50)) == count
        return len(queries)

    assert moved(1, "one") == moved(20, "many")


@pytest.fixture
def boss(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    return client


def test_the_list_of_contracts_shows_those_on_a_version(desk: Desk, signed: list[Contract], boss: Client) -> None:
    second = desk.version("pro", meters=[])
    move_all([signed[0].pk], second, START, at=LATER)
    shown = boss.get("/admin/contracts/contract/", {"on_version": second.pk})
    assert [row.number for row in shown.context["cl"].result_list] == ["C-1"]
    assert boss.get("/admin/contracts/contract/", {"on_version": "x"}).status_code == 302


def rows(answer: Any) -> list[tuple[int, Standing | None]]:
    return [(one["row"].number, one["standing"]) for one in answer.context["versions"]]


def test_the_pages_of_plan_and_version_say_who_is_where(desk: Desk, signed: list[Contract], boss: Client) -> None:
    first, second = signed[0].lines.get().plan_version, desk.version("pro", meters=[])
    move_all([signed[0].pk], second, START, at=LATER, by=User.objects.get(username="boss"))
    expected = [(2, Standing(1, 1, 1)), (1, Standing(2, 2, 2))]
    plan = boss.get(f"/admin/catalog/plan/{first.plan_id}/change/")
    assert rows(plan) == expected
    assert f"/admin/contracts/contract/?on_version={first.pk}" in plan.content.decode()
    version = boss.get(f"/admin/catalog/planversion/{second.pk}/change/")
    assert rows(version) == expected
    assert "Moved here" in version.content.decode()
    assert [(move.contract.number, move.by) for move in version.context["moves"]] == [("C-1", "boss")]


def test_who_may_not_see_contracts_sees_no_standing(desk: Desk, signed: list[Contract]) -> None:
    user = User.objects.create_user("clerk", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_planversion", "view_plan"]))
    client = Client()
    client.force_login(user)
    version = signed[0].lines.get().plan_version
    shown = client.get(f"/admin/catalog/planversion/{version.pk}/change/")
    assert rows(shown) == [(1, None)]
    assert "Moved here" not in shown.content.decode() and "not shown to your role" in shown.content.decode()
