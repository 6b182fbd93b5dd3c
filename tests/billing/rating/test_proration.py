from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.rating.proration import (
    Change,
    MonthCount,
    Share,
    capped_credit,
    change,
    days_between,
    prorate,
    share_of_fixed_months,
    share_of_month,
    share_of_period,
)
from catalog.money import Rounding, exact_sum
from catalog.periods import local_midnight

D = Decimal
CENTS = Rounding(2)
BERLIN = ZoneInfo("Europe/Berlin")


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


MARCH = (utc(2026, 2, 28, 23), utc(2026, 3, 31, 22))  # in Berlin, with the clock change on the 29th


def test_days_are_counted_in_the_local_zone_half_open() -> None:
    # from 15 March, local midnight: 17 of the 31 days of March
    share = share_of_period(utc(2026, 3, 14, 23), MARCH[1], *MARCH, BERLIN)
    assert (share.numerator, share.denominator) == (17, 31)
    assert days_between(utc(2026, 3, 14, 23), utc(2026, 3, 14, 22, 59), BERLIN) == -1


def test_seconds_count_the_hour_that_the_clock_change_took() -> None:
    share = share_of_period(utc(2026, 3, 14, 23), MARCH[1], *MARCH, BERLIN, "seconds")
    assert (share.numerator, share.denominator) == ((17 * 24 - 1) * 3600, (31 * 24 - 1) * 3600)
    tick = share_of_period(utc(2026, 1, 1), utc(2026, 1, 1, 0, 0, 0, 5), *MARCH, UTC, "seconds")
    assert tick.numerator == D("0.000005")


def test_a_fixed_month_has_thirty_days_whatever_the_calendar_says() -> None:
    # 31 January counts as the 30th: 15 days to 15 February
    assert share_of_fixed_months(utc(2026, 1, 31), utc(2026, 2, 15), UTC) == Share(D(15), D(30))
    assert share_of_fixed_months(utc(2026, 1, 1), utc(2026, 3, 1), UTC).ratio == 2


@pytest.mark.parametrize(
    ("first", "last", "method", "used", "of"),
    [
        (date(2024, 2, 20), date(2024, 2, 29), "month_actual", 10, 29),
        (date(2026, 1, 27), date(2026, 1, 31), "month_30_actual_days", 5, 30),
        (date(2026, 1, 27), date(2026, 1, 31), "month_30_360", 4, 30),  # the 31st is day 30
        (date(2026, 2, 1), date(2026, 2, 28), "month_30_360", 30, 30),  # so is 28 February
        (date(2026, 2, 1), date(2026, 2, 27), "month_30_360", 27, 30),
    ],
)
def test_a_month_may_count_its_days_in_three_ways(
    first: date, last: date, method: MonthCount, used: int, of: int
) -> None:
    assert share_of_month(first, last, method) == Share(D(used), D(of))


def test_days_of_two_months_are_no_part_of_one() -> None:
    with pytest.raises(ValueError, match="not days of one month"):
        share_of_month(date(2026, 1, 31), date(2026, 2, 1), "month_actual")


def test_a_prorated_amount_is_rounded_once() -> None:
    assert prorate(D(99), Share(D(17), D(31)), CENTS) == D("54.29")  # 54.2903...
    assert prorate(D(99), Share(D(-1), D(31)), CENTS) == 0
    assert prorate(D(100), Share(D(14), D(31)), CENTS, full_periods=1) == D("145.16")
    assert prorate(D(3), Share(D(1), D(4)), None) == D("0.75")


def test_a_share_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than nothing"):
        Share(D(1), D(0))


def test_a_change_credits_the_old_price_and_charges_the_new_one() -> None:
    # 20 of 30 days: -13.33 and 33.33
    left = Share(D(20), D(30))
    assert change(D(20), D(50), left, CENTS) == Change(D("-13.33"), D("33.33"), D("20.00"))
    assert change(D(20), D(50), left, CENTS, credit_cap=D(5)).credit == -5


def test_the_net_of_a_change_can_be_rounded_from_the_exact_difference() -> None:
    # a third of 50 is 16.667 and of 150.01 is 50.003; the difference is 33.337
    third = Share(D(1), D(3))
    assert change(D(50), D("150.01"), third, CENTS).net == D("33.33")
    assert change(D(50), D("150.01"), third, CENTS, net_rounding="rounded_difference").net == D("33.34")


def test_a_credit_never_exceeds_what_is_left_of_the_original() -> None:
    assert capped_credit(D(100), D(200), D(180)) == 20
    assert capped_credit(D(100), D(200), D(250)) == 0


@given(
    amount=st.decimals(0, 10**6, places=2),
    days=st.lists(st.integers(2, 31), max_size=6, unique=True).map(sorted),
)
def test_a_period_cut_into_parts_costs_what_it_does_whole(amount: Decimal, days: list[int]) -> None:
    edges = [MARCH[0], *(local_midnight(date(2026, 3, day), BERLIN) for day in days), MARCH[1]]
    parts = [
        prorate(amount, share_of_period(start, end, *MARCH, BERLIN), Rounding(20)) for start, end in pairwise(edges)
    ]
    assert abs(exact_sum([*parts, -amount])) <= len(parts) * D("1e-20")
