"""What rolls over, against a second way of counting: every unit by itself, with the period it is lost in."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from billing.rating.allowance import Lots, rolled_over
from contracts.entitled import Rollover


def chain(own: int, used: list[int], percent: int, cap: int | None, periods: int) -> list[int]:
    """What each period begins with beside its own allowance, unit by unit."""
    lots: list[tuple[int, int]] = []  # (the last period it may be used in, units)
    begun = []
    for now, amount in enumerate(used):
        begun.append(sum(units for _, units in lots))
        for place, (last, units) in enumerate(sorted(lots)):
            taken = min(units, amount)
            amount -= taken
            lots = [*sorted(lots)[:place], (last, units - taken), *sorted(lots)[place + 1 :]]
        left = max(0, own - amount) * percent // 100
        lots = [(last, units) for last, units in lots if last > now] + [(now + periods, left)]
        if cap is not None:
            kept, room = [], cap
            for last, units in sorted(lots, reverse=True):
                kept.append((last, min(units, room)))
                room -= kept[-1][1]
            lots = kept
    return begun


def folded(own: int, used: list[int], rollover: Rollover) -> list[int]:
    lots: Lots = ()
    begun = []
    for amount in used:
        begun.append(int(sum(lots)))
        lots = rolled_over(lots, Decimal(own), Decimal(amount), rollover)
    return begun


# Percentages that leave whole units of whole hundreds.
HUNDREDS = st.integers(0, 20).map(lambda one: one * 100)


@given(
    own=HUNDREDS,
    used=st.lists(HUNDREDS, min_size=1, max_size=8),
    percent=st.sampled_from([0, 1, 25, 50, 100]),
    cap=st.none() | HUNDREDS,
    periods=st.integers(1, 4),
)
def test_a_chain_is_what_counting_every_unit_comes_to(
    own: int, used: list[int], percent: int, cap: int | None, periods: int
) -> None:
    rollover = Rollover(Decimal(percent), None if cap is None else Decimal(cap), periods)
    assert folded(own, used, rollover) == chain(own, used, percent, cap, periods)


@given(used=st.lists(st.integers(0, 2000), min_size=2, max_size=6), more=st.integers(1, 500), cap=st.none() | HUNDREDS)
def test_late_use_never_leaves_more(used: list[int], more: int, cap: int | None) -> None:
    rollover = Rollover(Decimal(50), None if cap is None else Decimal(cap), 3)
    lots: list[Lots] = [(), ()]
    for place, amount in enumerate(used):
        for which, extra in enumerate((0, more if place == 0 else 0)):
            lots[which] = rolled_over(lots[which], Decimal(1000), Decimal(amount + extra), rollover)
    assert sum(lots[1]) <= sum(lots[0])


def test_the_documented_example_of_another_system() -> None:
    """Autumn: 1,000 a month, 600 used, at most 2,000 roll over: 1,400 the next month."""
    assert rolled_over((), Decimal(1000), Decimal(600), Rollover(Decimal(100), Decimal(2000), 1)) == (400,)


def test_two_periods_by_hand() -> None:
    two = Rollover(Decimal(100), None, 2)
    first = rolled_over((), Decimal(100), Decimal(40), two)  # 60 are left, for two periods
    assert first == (0, 60)
    second = rolled_over(first, Decimal(100), Decimal(20), two)  # 20 of the 60 are used; all 100 of its own stay
    assert second == (40, 100)
    # 50: the 40 that would be lost, 10 of the 100. Its own 100 stay, and 90 of those before for one more period.
    assert rolled_over(second, Decimal(100), Decimal(50), two) == (90, 100)


def test_without_a_limit_or_an_agreement_nothing_rolls_over() -> None:
    assert rolled_over((Decimal(5),), None, Decimal(3), Rollover(Decimal(100), None, 1)) == (0,)
    assert rolled_over((Decimal(5),), Decimal(10), Decimal(3), None) == ()
