"""Signing, amending, moving and ending contracts."""

import datetime as dt
from decimal import Decimal

import pytest
from django.contrib.auth.models import User

from contracts.drafts import CommitmentDraft, DiscountDraft, LineDraft, OneTimeDraft, terms_of
from contracts.lifecycle import (
    UnableToAmend,
    UnableToApprove,
    UnableToDraft,
    add_one_time,
    amend,
    approve,
    end,
    move_to_version,
    submit,
)
from contracts.models import Contract, ContractStatus
from tests.contracts.conftest import AT, START, Desk
from tests.factories import CustomerFactory

JULY, MID_MONTH = dt.date(2026, 7, 1), dt.date(2026, 1, 16)
LATER = AT + dt.timedelta(days=40)


def faults(error: pytest.ExceptionInfo[UnableToApprove]) -> list[tuple[str, str]]:
    return [(one.path, one.code) for one in error.value.errors]


def ten_percent(**given: object) -> DiscountDraft:
    return DiscountDraft(**{"kind": "percent", "value": Decimal(10), "starts_on": START, **given})  # type: ignore[arg-type]


def test_a_contract_submitted_by_one_person_is_approved_by_another(desk: Desk) -> None:
    contract = desk.draft(LineDraft(desk.version(), START))
    ann, ben = User.objects.create(username="ann"), User.objects.create(username="ben")
    with pytest.raises(UnableToApprove, match="must be submitted first"):
        approve(contract, at=AT, by=ben)
    submit(contract, at=AT, by=ann)
    with pytest.raises(UnableToApprove) as error:
        approve(contract, at=AT, by=ann)
    assert faults(error) == [("by", "same_person")]
    approve(contract, at=AT, by=ben)
    contract.refresh_from_db()
    assert (contract.status, contract.revision) == (ContractStatus.APPROVED, 0)
    assert contract.history.latest("history_id").history_user == ben


def test_the_operator_approves_a_draft_at_once_and_the_history_says_so(desk: Desk) -> None:
    contract = desk.signed(LineDraft(desk.version(), START))
    reason = contract.history.latest("history_id").history_change_reason
    assert reason == "Approved by the operator at the command line"
    with pytest.raises(UnableToApprove, match="approved already"):
        approve(contract, at=AT)


def test_a_line_is_named_after_its_plan_and_a_discount_after_its_place(desk: Desk) -> None:
    contract = desk.signed(LineDraft(desk.version(), START), discounts=[ten_percent(), ten_percent()])
    assert [line.key for line in contract.lines.all()] == ["pro"]
    assert [one.key for one in contract.discounts.all()] == ["discount-1", "discount-2"]


def test_a_contract_that_does_not_hold_is_refused_with_everything_in_the_way(desk: Desk) -> None:
    unsold, euros = desk.version("beta", published=False), desk.version("gamma", currency="EUR", meters=[])
    weekly = desk.version("delta", interval="week", meters=[])
    with pytest.raises(UnableToApprove) as error:
        desk.signed(
            LineDraft(unsold, dt.date(2025, 12, 31)),
            LineDraft(euros, START, JULY, Decimal(-1)),
            LineDraft(weekly, START, START),
            discounts=[ten_percent(applies_to=("storage",), value=Decimal(101))],
            ends_on=dt.date(2026, 6, 1),
        )
    assert faults(error) == [
        ("lines[0].version", "unsold"),
        ("lines[0].from", "outside"),
        ("lines[1].version", "currency"),
        ("lines[1].quantity", "invalid"),
        ("lines[1].until", "outside"),
        ("lines[2].until", "order"),
        ("discounts[0].value", "invalid"),
        ("discounts[0].applies_to", "unknown"),
    ]


def test_a_draft_may_lack_what_an_approval_needs(desk: Desk) -> None:
    contract = desk.draft(LineDraft(desk.version(published=False), START))
    with pytest.raises(UnableToApprove, match="pro@1 is draft; publish it"):
        submit(contract, at=AT)


def test_a_draft_that_contradicts_itself_is_not_kept(desk: Desk) -> None:
    version = desk.version()
    with pytest.raises(UnableToDraft) as error:
        desk.draft(LineDraft(version, START), LineDraft(version, JULY))
    assert faults(error) == [("lines[1]", "overlap")]
    assert not Contract.objects.exists()


def test_a_contract_without_lines_is_refused(desk: Desk) -> None:
    with pytest.raises(UnableToApprove) as error:
        desk.signed()
    assert faults(error) == [("lines", "missing")]


def test_two_lines_of_one_key_may_follow_each_other_but_not_overlap(desk: Desk) -> None:
    version = desk.version()
    desk.signed(LineDraft(version, START, JULY), LineDraft(version, JULY, quantity=Decimal(2)))
    contract = desk.draft(LineDraft(version, START, key="a"), number="C-2", customer=CustomerFactory())
    approve(contract, at=AT)
    with pytest.raises(UnableToAmend) as error:
        amend(contract, lines=[LineDraft(version, START, JULY), LineDraft(version, START)], at=LATER)
    assert faults(error) == [("lines[1]", "overlap")]


def test_use_that_another_contract_bills_on_the_same_days_is_refused(desk: Desk) -> None:
    desk.signed(LineDraft(desk.version(), START, JULY))
    addon = desk.version("addon", meters=["tokens", "storage"])
    with pytest.raises(UnableToApprove, match="the meter tokens is billed by contract C-1 on the same days"):
        desk.signed(LineDraft(addon, START), number="C-2")
    Contract.objects.get(number="C-2").delete()
    desk.signed(LineDraft(addon, JULY), number="C-3")
    desk.signed(LineDraft(addon, START), number="C-4", customer=CustomerFactory())


def test_an_amendment_supersedes_what_it_changes_and_leaves_the_rest_alone(desk: Desk) -> None:
    version = desk.version()
    contract = desk.signed(LineDraft(version, START), discounts=[ten_percent(applies_to=("tokens",))])
    line, old = contract.lines.get(), contract.discounts.get()
    amend(contract, discounts=[ten_percent(applies_to=("base",))], at=LATER)
    assert contract.revision == 1
    assert contract.lines.get() == line
    old.refresh_from_db()
    new = contract.discounts.in_force().get()
    assert (old.superseded_at, new.key, new.applies_to) == (LATER, "discount-1", ["base"])
    assert old.history.count() == 2


def test_an_amendment_that_changes_nothing_counts_no_revision(desk: Desk) -> None:
    version = desk.version()
    contract = desk.signed(LineDraft(version, START), discounts=[ten_percent()])
    amend(contract, lines=[LineDraft(version, START)], discounts=[ten_percent(value=Decimal("10.0"))], at=LATER)
    contract.refresh_from_db()
    assert contract.revision == 0
    assert (contract.lines.count(), contract.discounts.count()) == (1, 1)


def test_discounts_are_taken_in_their_order_so_a_new_order_is_an_amendment(desk: Desk) -> None:
    first, second = ten_percent(key="a"), ten_percent(key="b", value=Decimal(5))
    contract = desk.signed(LineDraft(desk.version(), START), discounts=[first, second])
    amend(contract, discounts=[second, first], at=LATER)
    assert [one.key for one in contract.discounts.in_force()] == ["b", "a"]
    assert contract.revision == 1


def test_a_refused_amendment_leaves_the_contract_as_it_was(desk: Desk) -> None:
    contract = desk.signed(LineDraft(desk.version(), START))
    before = terms_of(contract)
    with pytest.raises(UnableToAmend):
        amend(contract, discounts=[ten_percent(applies_to=("storage",))], at=LATER)
    contract.refresh_from_db()
    assert (terms_of(contract), contract.revision) == (before, 0)


def test_a_draft_is_edited_not_amended(desk: Desk) -> None:
    with pytest.raises(UnableToAmend, match="not approved yet"):
        amend(desk.draft(LineDraft(desk.version(), START)), lines=[], at=LATER)


def test_moving_to_another_version_keeps_the_key_of_the_line(desk: Desk) -> None:
    first, second = desk.version(), desk.version()
    contract = desk.signed(LineDraft(first, START, quantity=Decimal(3)))
    move_to_version(contract, first.plan, second, MID_MONTH, at=AT)
    assert [
        (line.key, line.plan_version, line.quantity, line.starts_on, line.ends_on)
        for line in contract.lines.in_force().order_by("starts_on")
    ] == [("pro", first, 3, START, MID_MONTH), ("pro", second, 3, MID_MONTH, None)]
    assert contract.revision == 1
    with pytest.raises(UnableToAmend, match="no line of C-1 is on another version of pro"):
        move_to_version(contract, first.plan, second, MID_MONTH, at=AT)


def test_moving_from_the_first_day_replaces_the_line(desk: Desk) -> None:
    first, second = desk.version(), desk.version()
    contract = desk.signed(LineDraft(first, START))
    move_to_version(contract, first.plan, second, START, at=LATER)
    line = contract.lines.in_force().get()
    assert (line.plan_version, line.starts_on, line.ends_on) == (second, START, None)


def test_a_line_cannot_move_to_a_version_of_another_plan(desk: Desk) -> None:
    version, other = desk.version(), desk.version("other", meters=[])
    contract = desk.signed(LineDraft(version, START))
    with pytest.raises(UnableToAmend, match="is not a version of pro"):
        move_to_version(contract, version.plan, other, MID_MONTH, at=AT)


def test_a_manual_credit_is_a_dated_term_below_zero(desk: Desk) -> None:
    contract = desk.signed(LineDraft(desk.version(), START))
    add_one_time(contract, "sorry", "Goodwill", Decimal("-12.50"), MID_MONTH, at=LATER)
    assert terms_of(contract).one_time == (OneTimeDraft("sorry", "Goodwill", Decimal("-12.50"), MID_MONTH),)
    assert contract.revision == 1
    with pytest.raises(UnableToAmend) as error:
        add_one_time(contract, "sorry", "Again", Decimal("0.001"), dt.date(2025, 12, 31), at=LATER)
    assert faults(error) == [
        ("one_time[1].on", "outside"),
        ("one_time[1].amount", "precision"),
        ("one_time[1].key", "duplicate"),
    ]


def test_a_contract_ends_and_its_lines_with_it(desk: Desk) -> None:
    version = desk.version()
    contract = desk.signed(
        LineDraft(version, START, JULY), LineDraft(version, JULY), LineDraft(version, START, key="seats")
    )
    end(contract, MID_MONTH, at=LATER)
    contract.refresh_from_db()
    assert (contract.ends_on, contract.revision) == (MID_MONTH, 1)
    ended = [("pro", MID_MONTH), ("seats", MID_MONTH)]
    assert sorted((line.key, line.ends_on) for line in contract.lines.in_force()) == ended
    with pytest.raises(UnableToAmend) as error:
        end(contract, START, at=LATER)
    assert ("ends_on", "order") in faults(error)


def test_an_end_may_be_put_off_until_it_has_come(desk: Desk) -> None:
    contract = desk.signed(LineDraft(desk.version(), START), ends_on=JULY)
    end(contract, dt.date(2026, 8, 1), at=LATER)
    assert contract.lines.in_force().get().ends_on == contract.ends_on == dt.date(2026, 8, 1)
    with pytest.raises(UnableToAmend, match="ended on 2026-08-01 and cannot run on"):
        end(contract, dt.date(2027, 1, 1), at=dt.datetime(2026, 8, 1, tzinfo=dt.UTC))


def test_commitments_do_not_count_prices_with_and_without_tax_together(desk: Desk) -> None:
    contract = desk.signed(LineDraft(desk.version(), START))
    with_tax = desk.version(plan="shop", tax_behavior="inclusive", meters=[])
    lines = [LineDraft(contract.lines.get().plan_version, START), LineDraft(with_tax, START)]
    amend(contract, at=AT, lines=lines)
    with pytest.raises(UnableToAmend) as refused:
        amend(contract, at=AT, commitments=[CommitmentDraft("minimum", START, amount=Decimal(100))])
    assert faults(refused) == [("commitments", "mixed")]
