"""Many contracts moved to a version at once: as one after the other would be."""

import datetime as dt
from typing import Any

import pytest

from contracts.drafts import LineDraft
from contracts.lifecycle import UnableToAmend, end, move_to_version
from contracts.models import Contract
from contracts.moving import movable, move_all, move_faults
from tests.contracts.conftest import AT, START, Desk
from tests.factories import CustomerFactory

MARCH = dt.date(2026, 3, 1)
LATER = AT + dt.timedelta(days=10)


@pytest.fixture
def signed(desk: Desk) -> list[Contract]:
    """C-1 to C-3 on pro@1, each of a customer of its own."""
    version = desk.version("pro")
    return [
        desk.signed(LineDraft(version, START), number=f"C-{number}", customer=CustomerFactory())
        for number in range(1, 4)
    ]


def trail(contract: Contract) -> list[tuple[Any, ...]]:
    """All that a contract's rows and their histories say, without their ids."""
    lines = [
        (line.key, str(line.plan_version), line.starts_on, line.ends_on, line.position, line.superseded_at)
        for line in contract.lines.order_by("superseded_at", "starts_on")
    ]
    histories = [
        (row.history_type, row.history_date, row.history_change_reason, row.starts_on, row.superseded_at)
        for line in contract.lines.order_by("pk")
        for row in line.history.order_by("history_id")
    ]
    own = [
        (row.history_type, row.history_date, row.history_change_reason, row.revision)
        for row in contract.history.order_by("history_id")
    ]
    return [*lines, *sorted(histories, key=str), *own]


def test_moved_together_or_one_by_one_they_are_the_same(desk: Desk, signed: list[Contract]) -> None:
    first, second, third = signed
    newer = desk.version("pro")
    move_to_version(first, newer.plan, newer, MARCH, at=LATER)
    moved = move_all([third.pk, second.pk], newer, MARCH, at=LATER)
    assert [contract.number for contract in moved] == ["C-3", "C-2"]
    assert trail(second) == trail(first) == trail(third)
    assert {contract.revision for contract in Contract.objects.all()} == {1}


def test_all_or_none_move_and_each_refusal_names_its_contract(desk: Desk, signed: list[Contract]) -> None:
    newer = desk.version("pro")
    first, second, third = signed
    move_all([second.pk], newer, MARCH, at=LATER)
    asked = [first.pk, second.pk, third.pk]
    with pytest.raises(UnableToAmend) as error:
        move_all(asked, newer, MARCH, at=LATER)
    faults = [(one.path, one.code) for one in error.value.errors]
    assert faults == [("contracts[1].plan", "unknown")]
    assert [(one.path, one.code) for one in move_faults(asked, newer, MARCH)] == faults
    first.refresh_from_db()
    assert first.revision == 0


def test_movable_is_what_runs_on_another_version_that_day(desk: Desk, signed: list[Contract]) -> None:
    newer = desk.version("pro")
    first, second, third = signed
    end(first, MARCH, at=LATER)
    move_all([second.pk], newer, START, at=LATER)
    assert list(movable(newer, MARCH)) == [third]
    assert list(movable(newer, MARCH - dt.timedelta(days=1)).order_by("number")) == [first, third]
    assert list(movable(newer, START - dt.timedelta(days=1))) == []
    assert list(movable(desk.version("pro", currency="EUR", meters=[]), MARCH)) == []
