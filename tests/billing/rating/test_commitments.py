"""Minimums, limits and overage; the sums are worked out beside the values."""

from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.rating.commitments import (
    CommittedWindow,
    RoundStage,
    SpendLimits,
    clamped,
    cumulative_overage,
    expire,
    limit_spend,
    overage,
    true_up,
)
from billing.rating.proration import Share
from catalog.money import Rounding

CENTS = Rounding(2)
amounts = st.decimals(min_value=0, max_value=10_000, places=2)
precise = st.decimals(min_value=0, max_value=10_000, places=5)


def test_a_true_up_lifts_the_charges_to_the_minimum() -> None:
    done = true_up(D("500"), [D("120.50"), D("79.50")], CENTS)
    assert (done.minimum, done.amount) == (D("500.00"), D("300.00"))


def test_charges_above_the_minimum_need_no_true_up() -> None:
    assert true_up(D("500"), [D("600")], CENTS).amount == 0


def test_nothing_charged_owes_the_whole_minimum() -> None:
    assert true_up(D("500"), [], CENTS).amount == D("500.00")


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        # 100 x 1/3 = 33.333..; charges 10.004 and 10.004
        ("minimum", "13.32"),  # 33.33 - 20.008 = 13.322
        ("charges", "13.33"),  # 33.333.. - 10.00 - 10.00 = 13.333..
        ("true_up", "13.33"),  # 33.333.. - 20.008 = 13.3253..
    ],
)
def test_a_true_up_is_rounded_where_the_policy_says(stage: RoundStage, expected: str) -> None:
    charges = [D("10.004"), D("10.004")]
    done = true_up(D("100"), charges, CENTS, share=Share(D(1), D(3)), round_stage=stage)
    assert done.amount == D(expected)


def test_a_cap_counts_what_the_period_was_billed_before() -> None:
    # 80 before, 50 x 0.9 = 45 now: 125 in all, 25 over the cap of 100
    done = limit_spend(D("50"), SpendLimits(maximum=D("100"), percent_discount=D("10")), CENTS, prior=D("80"))
    assert (done.discount, done.maximum_discount, done.total) == (D("5.00"), D("25.00"), D("20.00"))


def test_use_that_is_taken_back_above_the_cap_gives_back_only_what_was_billed() -> None:
    # 130 so far was capped at 100; 40 taken back leaves 90, so 10 of the 100 come back
    done = limit_spend(D("-40"), SpendLimits(maximum=D("100")), CENTS, prior=D("130"))
    assert (done.maximum_discount, done.total) == (D("-30"), D("-10"))


def test_a_minimum_is_due_on_the_final_line_only() -> None:
    limits = SpendLimits(minimum=D("100"))
    assert limit_spend(D("30"), limits, CENTS, prior=D("20"), final_line=False).total == D("30")
    done = limit_spend(D("30"), limits, CENTS, prior=D("20"))  # 50 in all, 50 missing
    assert (done.minimum_true_up, done.total) == (D("50"), D("80"))


def test_overage_counts_what_is_beyond_each_promise_at_its_factor() -> None:
    windows = [
        CommittedWindow(D("30"), D("20"), D("1.5"), true_up=True),  # 20 + 10 x 1.5 = 35
        CommittedWindow(D("12"), D("20"), D("1.5"), true_up=True),  # 12 + 8 missing = 20
        CommittedWindow(D("12"), D("20"), D("1.5")),  # 12
        CommittedWindow(D("7"), None),  # 7
    ]
    done = overage(windows, CENTS)
    assert done.per_window == (D("35"), D("20"), D("12"), D("7"))
    assert (done.utilized, done.overage, done.true_up, done.total) == (D("51"), D("15"), D("8"), D("74"))


def test_no_windows_cost_nothing() -> None:
    assert overage([], CENTS).total == 0


def test_a_cumulative_commitment_is_shared_in_proportion_and_sums_back() -> None:
    # 10 of the commitment are left for three charges of 5: 5 over, twice 10; 10 / 3 with the missing cent first
    done = cumulative_overage(D("60"), D("50"), [D("5")] * 3, D("2"), CENTS)
    assert done.allocations == (D("3.34"), D("3.33"), D("3.33"))
    assert (done.covered, done.overage, done.total) == (D("10"), D("10.00"), D("20.00"))


def test_a_share_may_be_rounded_by_itself() -> None:
    done = cumulative_overage(D("60"), D("50"), [D("5")] * 3, D("2"), CENTS, spread="proportional")
    assert done.allocations == (D("3.33"),) * 3


def test_a_commitment_that_was_used_up_covers_nothing() -> None:
    done = cumulative_overage(D("60"), D("75"), [D("5")], D("1.5"), CENTS)
    assert (done.covered, done.total, done.allocations) == (D("0"), D("7.50"), (D("0"),))


def test_an_amount_is_held_between_its_limits() -> None:
    held = [clamped(D(amount), D("45"), D("60")) for amount in ("40", "50", "70")]
    assert held == [D("45"), D("50"), D("60")]
    assert clamped(D("40"), None, None) == D("40")


def test_what_was_not_consumed_expires() -> None:
    assert (expire(D("1200"), D("800")).expired, expire(D("1200"), D("1300")).expired) == (D("400"), D("0"))


@given(minimum=amounts, charges=st.lists(precise), stage=st.sampled_from(["minimum", "charges", "true_up"]))
def test_a_true_up_is_never_negative_and_reaches_the_minimum(minimum: D, charges: list[D], stage: RoundStage) -> None:
    done = true_up(minimum, charges, CENTS, round_stage=stage)
    assert done.amount >= 0
    rounded = [CENTS.of(charge) for charge in charges] if stage == "charges" else charges
    assert sum(rounded, D(0)) + done.amount >= minimum - D("0.005")


@given(gross=amounts, prior=amounts, cap=amounts, percent=st.integers(0, 100), final=st.booleans())
def test_a_capped_line_explains_itself_and_never_passes_the_cap(
    gross: D, prior: D, cap: D, percent: int, final: bool
) -> None:
    limits = SpendLimits(maximum=cap, percent_discount=D(percent))
    done = limit_spend(gross, limits, CENTS, prior=prior, final_line=final)
    assert done.total == gross - done.discount - done.maximum_discount + done.minimum_true_up
    assert 0 <= done.total <= max(D(0), cap - min(prior, cap))


@given(parts=st.lists(amounts, min_size=1, max_size=6), minimum=amounts, extra=amounts)
def test_a_period_billed_in_parts_comes_to_the_same(parts: list[D], minimum: D, extra: D) -> None:
    limits = SpendLimits(minimum, minimum + extra)
    at_once = limit_spend(sum(parts, D(0)), limits, CENTS).total
    totals = [
        limit_spend(part, limits, CENTS, prior=sum(parts[:n], D(0)), final_line=n == len(parts) - 1).total
        for n, part in enumerate(parts)
    ]
    assert sum(totals) == at_once == clamped(sum(parts, D(0)), limits.minimum, limits.maximum)


windows = st.builds(
    CommittedWindow,
    charge=precise,
    commitment=st.none() | amounts,
    overage_factor=st.sampled_from([D(1), D("1.5"), D(2)]),
    true_up=st.booleans(),
)


@given(st.lists(windows))
def test_overage_adds_up_and_no_part_of_it_is_negative(listed: list[CommittedWindow]) -> None:
    done = overage(listed)
    assert min(done.utilized, done.overage, done.true_up) >= 0
    assert done.utilized + done.overage + done.true_up == done.total == sum(done.per_window, D(0))


@given(commitment=amounts, prior=amounts, charges=st.lists(amounts, max_size=6))
def test_what_a_commitment_covers_is_shared_without_a_rest(commitment: D, prior: D, charges: list[D]) -> None:
    done = cumulative_overage(commitment, prior, charges, D(2), CENTS)
    assert sum(done.allocations, D(0)) == done.covered
    assert done.total - done.covered == 2 * (sum(charges, D(0)) - done.covered) >= 0
