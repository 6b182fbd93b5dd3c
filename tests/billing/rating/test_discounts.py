from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.rating.discounts import DiscountableLine, LineDiscount, Spread, apply_discounts
from catalog.money import Rounding, exact_sum

D = Decimal
CENTS = Rounding(2)


def lines(*amounts: str) -> list[DiscountableLine]:
    return [DiscountableLine(f"l{index}", D(amount)) for index, amount in enumerate(amounts, 1)]


def percent(value: str, *ids: str) -> LineDiscount:
    return LineDiscount("percent", D(value), frozenset(ids) or None)


def amount(value: str, *ids: str, used: str = "0") -> LineDiscount:
    return LineDiscount("amount", D(value), frozenset(ids) or None, D(used))


def test_percentages_compound_in_the_order_given() -> None:
    # 10 % of 100, then 20 % of the 90 that are left
    done = apply_discounts(lines("100"), [percent("10"), percent("20")], CENTS)
    assert done.amounts == (10, 18)
    assert (done.total, done.subtotal_after) == (28, 72)


def test_an_amount_before_or_after_a_percentage_matters_unless_percentages_go_first() -> None:
    given_ = [amount("10"), percent("50")]
    assert apply_discounts(lines("100"), given_, CENTS).amounts == (10, 45)
    assert apply_discounts(lines("100"), given_, CENTS, order="percent_first").amounts == (10, 50)


def test_an_amount_takes_what_is_unspent_and_no_more_than_is_left() -> None:
    assert apply_discounts(lines("100"), [amount("12", used="5")], CENTS).total == 7
    assert apply_discounts(lines("4", "2"), [amount("12")], CENTS).line_nets == (0, 0)
    assert apply_discounts(lines("4"), [amount("12", used="15")], CENTS).total == 0
    assert apply_discounts(lines("0"), [amount("12")], CENTS).total == 0


def test_only_the_named_lines_are_discounted() -> None:
    done = apply_discounts(lines("100", "50"), [percent("10", "l2"), amount("5", "nobody")], CENTS)
    assert done.line_discounts == (0, 5)
    assert done.amounts == (5, 0)


def test_what_was_discounted_before_is_out_of_reach() -> None:
    line = DiscountableLine("l1", D(50), already_discounted=D(15))
    done = apply_discounts([line], [percent("10")], CENTS)
    assert (done.total, done.line_discounts, done.line_nets) == (D("3.5"), (D("18.5"),), (D("31.5"),))


@pytest.mark.parametrize(
    ("spread", "expected"),
    [
        ("largest_remainder", ["3.34", "3.33", "3.33"]),
        ("proportional", ["3.33", "3.33", "3.33"]),
        ("sequential", ["10", "0", "0"]),
    ],
)
def test_a_discount_is_spread_by_the_policy_that_is_asked_for(spread: Spread, expected: list[str]) -> None:
    done = apply_discounts(lines("20", "20", "20"), [amount("10")], CENTS, spread=spread, share_rounding=CENTS)
    assert list(done.line_discounts) == [D(share) for share in expected]


def test_the_largest_remainder_may_count_in_units_of_its_own() -> None:
    thirds = lines("1", "1", "1")
    assert apply_discounts(thirds, [amount("1")], CENTS).line_discounts == (D("0.34"), D("0.33"), D("0.33"))
    done = apply_discounts(thirds, [amount("1")], CENTS, share_rounding=Rounding(1))
    assert done.line_discounts == (D("0.4"), D("0.3"), D("0.3"))


amounts = st.decimals(0, 10**6, places=2)
discounts = st.builds(
    LineDiscount,
    kind=st.sampled_from(["percent", "amount"]),
    value=st.decimals(0, 300, places=2),
    lines=st.one_of(st.none(), st.frozensets(st.sampled_from(["l1", "l2", "l3"]))),
)


@given(
    prices=st.lists(amounts, min_size=1, max_size=5),
    taken=st.lists(discounts, max_size=4),
    spread=st.sampled_from(["largest_remainder", "sequential"]),
)
def test_discounts_conserve_money_and_never_go_below_zero(
    prices: list[Decimal], taken: list[LineDiscount], spread: Spread
) -> None:
    before = [DiscountableLine(f"l{index}", price) for index, price in enumerate(prices, 1)]
    done = apply_discounts(before, taken, CENTS, spread=spread)
    assert exact_sum(done.line_discounts) == done.total
    assert exact_sum([done.total, done.subtotal_after]) == exact_sum(prices)
    assert all(net >= 0 for net in done.line_nets)
