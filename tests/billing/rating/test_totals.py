"""Whole invoices; the sums are worked out beside the values."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from billing.rating.discounts import LineDiscount
from billing.rating.totals import TotalledCredit, TotalledLine, balance_of, totals
from catalog.money import Rounding

D = Decimal
CENTS = Rounding(2)


def test_an_invoice_goes_from_lines_over_discounts_and_tax_to_credits() -> None:
    lines = [TotalledLine("a", D(100), (D(19),)), TotalledLine("b", D(50), (D(7),))]
    discounts = [LineDiscount("percent", D(10), frozenset("a")), LineDiscount("amount", D(14))]
    done = totals(lines, discounts, [TotalledCredit(D(40))], CENTS)
    # a 90, b 50; 14 off both by 9:5 makes 81 and 45; tax 15.39 and 3.15
    assert (done.subtotal, done.discount_total) == (D(150), D(24))
    assert (done.line_taxes, done.tax_total) == ((D("15.39"), D("3.15")), D("18.54"))
    assert (done.credits_applied, done.total) == (D(40), D("104.54"))


def test_a_limited_credit_pays_the_net_of_its_lines_and_others_do_not_take_it_away() -> None:
    lines = [TotalledLine("a", D(50), (D(10),), "usage"), TotalledLine("b", D(50), kind="fixed")]
    limited = TotalledCredit(D(80), frozenset({"usage"}))
    assert totals(lines, [], [limited], CENTS).credits == (D(50),)  # the tax of 5 is not usage
    # 105 due: 60, then all 45 that are left; 50 of usage were open to it
    assert totals(lines, [], [TotalledCredit(D(60)), limited], CENTS).credits == (D(60), D(45))
    # the second one finds what the first left of the usage
    assert totals(lines, [], [TotalledCredit(D(30), frozenset({"usage"})), limited], CENTS).credits == (30, 20)
    assert totals(lines, [], [TotalledCredit(D(9), frozenset({"seat"}))], CENTS).credits == (0,)


def test_a_credit_is_not_spent_on_an_invoice_below_zero() -> None:
    done = totals([TotalledLine("a", D(-20))], [], [TotalledCredit(D(5))], CENTS)
    assert (done.credits_applied, done.total) == (D(0), D(-20))


def test_items_that_come_to_less_than_nothing_become_credit() -> None:
    assert balance_of([D("9.63"), D("-239.95")]).credit == D("230.32")
    assert (balance_of([D(5), D(-3)]).invoice, balance_of([D(5), D(-3)]).credit) == (2, 0)


amounts = st.decimals(min_value=0, max_value=1000, places=2)
lines = st.lists(
    st.builds(TotalledLine, st.sampled_from("abcd"), amounts, st.sampled_from([(), (D(19),), (D(7), D("1.5"))])),
    max_size=4,
    unique_by=lambda line: line.id,
)
discounts = st.lists(
    st.builds(LineDiscount, st.sampled_from(["percent", "amount"]), amounts)
    | st.builds(LineDiscount, st.just("amount"), amounts, st.frozensets(st.sampled_from("abcd"))),
    max_size=3,
)


@given(lines=lines, discounts=discounts, credits=st.lists(st.builds(TotalledCredit, amounts), max_size=3))
def test_an_invoice_adds_up_and_is_never_below_zero(
    lines: list[TotalledLine], discounts: list[LineDiscount], credits: list[TotalledCredit]
) -> None:
    done = totals(lines, discounts, credits, CENTS)
    assert done.subtotal - done.discount_total + done.tax_total - done.credits_applied == done.total >= 0
    assert sum(done.line_taxes) == done.tax_total
    assert all(0 <= paid <= credit.amount for paid, credit in zip(done.credits, credits, strict=True))
