"""Which credit pays what; the sums are worked out beside the values."""

from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from billing.rating.credits import (
    Credit,
    Grant,
    Paid,
    Payable,
    draw_notes,
    drawing_order,
    pay,
    pay_document,
    progressive_credit,
    roll_over,
)
from catalog.money import Rounding, exact_sum

D = Decimal
amounts = st.decimals(min_value=-100, max_value=1000, places=2)


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


def order(*grants: Grant) -> list[str]:
    return [grant.id for grant in drawing_order(grants)]


def test_grants_are_drawn_by_priority_expiry_creation_and_id() -> None:
    made = at(2026, 1, 1)
    grants = [
        Grant("never", 1, made),
        Grant("second", 2, made, at(2026, 1, 2)),
        Grant("later", 1, made, at(2026, 6, 1)),
        Grant("b", 1, at(2026, 1, 3), at(2026, 3, 1, 0, 0, 0, 100)),
        Grant("a", 1, at(2026, 1, 3), at(2026, 3, 1, 0, 0, 0, 900)),
        Grant("made first", 1, at(2026, 1, 2), at(2026, 3, 1, 0, 0, 0, 999)),
    ]
    assert order(*grants) == ["made first", "a", "b", "later", "never", "second"]


def test_grants_without_an_expiry_keep_to_their_creation() -> None:
    assert order(Grant("x", 1, at(2026, 2, 1)), Grant("y", 1, at(2026, 1, 1))) == ["y", "x"]


def paid(lines: list[str], *credits: Credit) -> Paid:
    return pay([Payable(str(place), D(amount)) for place, amount in enumerate(lines)], credits)


def test_credits_pay_lines_in_order() -> None:
    # 70 pay the 50 and 20 of the 40; the other 30 pay the last 20, and 10 are left
    done = paid(["50", "40"], Credit("a", D(70)), Credit("b", D(30)))
    assert done.by_line == ({"a": D(50)}, {"a": D(20), "b": D(20)})
    assert (done.due, done.remaining, done.drawn) == (
        (D(0), D(0)),
        {"a": D(0), "b": D(10)},
        {"a": D(70), "b": D(20)},
    )


def test_a_limited_credit_pays_its_lines_only_and_an_unused_one_is_not_drawn() -> None:
    done = paid(["50", "40"], Credit("a", D(70), frozenset({"1"})), Credit("b", D(5), frozenset({"7"})))
    assert (done.due, done.drawn, done.total) == ((D(50), D(0)), {"a": D(40)}, D(40))


def test_a_line_below_zero_is_not_paid() -> None:
    done = paid(["-10", "5"], Credit("a", D(20)))
    assert (done.due, done.remaining) == ((D(-10), D(0)), {"a": D(15)})


def test_credit_notes_are_drawn_in_order_and_borne_by_the_fees_in_proportion() -> None:
    done = draw_notes(D(60), [D(20), D(50)], [D(75), D(25)])
    assert (done.applied, done.remaining) == ((D(20), D(40)), (D(0), D(10)))
    assert done.fee_shares == (D(45), D(15))  # 60 x 3/4 and 60 x 1/4


def test_fee_shares_may_be_rounded_and_need_a_fee() -> None:
    done = draw_notes(D(10), [D(10)], [D(1), D(1), D(1)], Rounding(2))
    assert done.fee_shares == (D("3.33"),) * 3
    assert draw_notes(D(10), [D(10)], [D(0)]).fee_shares == (D(0),)
    assert draw_notes(D(10), [], []).total_applied == 0


def test_only_the_last_progressive_invoice_counts() -> None:
    billed = [{"usage": D(10)}, {"usage": D(30), "other": D(9)}, {"usage": D(80), "gone": D(5)}]
    assert progressive_credit({"usage": D(70), "base": D(20)}, billed) == {"usage": D(70), "base": D(0)}
    assert progressive_credit({"usage": D(70)}, []) == {"usage": D(0)}


def test_a_limited_credit_pays_what_lies_on_its_parts_and_others_leave_it_that() -> None:
    parts = [Payable("calls", D(60)), Payable("base", D(40)), Payable("", D(-10))]
    calls = frozenset({"calls"})
    assert pay_document(D(90), parts, [Credit("all", D(25)), Credit("calls", D(100), calls)]) == (D(25), D(60))
    # 90 - 80 leave 10, though 60 lie on calls
    assert pay_document(D(90), parts, [Credit("all", D(80)), Credit("calls", D(100), calls)]) == (D(80), D(10))
    # two share the 60
    assert pay_document(D(90), parts, [Credit("a", D(45), calls), Credit("b", D(45), calls)]) == (D(45), D(15))
    assert pay_document(D(0), parts, [Credit("all", D(5))]) == (D(0),)


def test_what_is_left_rolls_over_up_to_its_maximum() -> None:
    assert roll_over(D(100), D(30), D(50)).next_balance == 150
    assert roll_over(D(100), D(30)).rolled_over == 70
    assert roll_over(D(100), D(130), D(50)).rolled_over == 0


credits = st.lists(
    st.builds(
        Credit,
        id=st.uuids().map(str),
        amount=amounts,
        lines=st.none() | st.frozensets(st.sampled_from("0123")),
    ),
    max_size=4,
    unique_by=lambda credit: credit.id,
)


@given(lines=st.lists(amounts, max_size=4), given_=credits)
def test_what_credits_pay_is_what_lines_lose_and_nothing_goes_below_zero(lines: list[D], given_: list[Credit]) -> None:
    done = paid([str(amount) for amount in lines], *given_)
    assert exact_sum(lines) - done.total == exact_sum(done.due)
    assert exact_sum(credit.amount for credit in given_) - done.total == exact_sum(done.remaining.values())
    assert all(left >= min(amount, D(0)) for left, amount in zip(done.due, lines, strict=True))
    assert all(done.remaining[credit.id] >= min(credit.amount, D(0)) for credit in given_)


@given(
    parts=st.lists(st.builds(Payable, id=st.sampled_from("0123"), amount=amounts), max_size=4),
    given_=credits,
    due=amounts,
)
def test_a_document_is_never_paid_below_zero_nor_a_credit_beyond_what_it_has(
    parts: list[Payable], given_: list[Credit], due: D
) -> None:
    done = pay_document(due, parts, given_)
    assert exact_sum(done) <= max(due, D(0))
    for credit, amount in zip(given_, done, strict=True):
        assert D(0) <= amount <= max(credit.amount, D(0))
