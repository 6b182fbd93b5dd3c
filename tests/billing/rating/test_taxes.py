from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from billing.rating.taxes import Behavior, RoundPer, TaxableLine, tax_lines
from catalog.money import Rounding, exact_sum

D = Decimal
CENTS = Rounding(2)


def line(amount: str, *rates: str, discount: str = "0") -> TaxableLine:
    return TaxableLine(D(amount), tuple(D(rate) for rate in rates), D(discount))


def test_exclusive_tax_is_added_after_the_discount_and_rounded_once_per_line() -> None:
    # 19 % of 0.99 is 0.1881, twice
    done = tax_lines([line("1.09", "19", discount="0.10")] * 2, CENTS)
    assert done.line_taxes == (D("0.19"), D("0.19"))
    assert (done.net_total, done.tax_total, done.total) == (D("1.98"), D("0.38"), D("2.36"))


def test_rates_of_a_line_add_up_unless_they_compound() -> None:
    assert tax_lines([line("100", "5", "7")], CENTS).tax_total == 12
    # 5, then 7 % of 105
    assert tax_lines([line("100", "5", "7")], CENTS, compound=True).tax_total == D("12.35")


def test_rounding_per_rate_and_per_line_differ_by_a_cent() -> None:
    # 0.075 and 0.075: 0.08 each, but 0.15 together
    rates = [line("1", "7.5", "7.5")]
    assert tax_lines(rates, CENTS, round_per="rate").tax_total == D("0.16")
    assert tax_lines(rates, CENTS).tax_total == D("0.15")
    assert tax_lines(rates, CENTS).rate_taxes == ((D("0.08"), D("0.07")),)


def test_the_invoice_tax_can_be_rounded_from_unrounded_lines() -> None:
    # 0.004 twice: nothing per line, 0.01 together
    done = tax_lines([line("0.04", "10")] * 2, CENTS, round_per="line_then_total_of_unrounded")
    assert (done.line_taxes, done.tax_total, done.total) == ((0, 0), D("0.01"), D("0.09"))


def test_inclusive_tax_is_taken_out_and_the_total_stays() -> None:
    # 100 / 1.1 = 90.909...
    done = tax_lines([line("100", "10")], CENTS, behavior="inclusive")
    assert (done.net_total, done.tax_total, done.total) == (D("90.91"), D("9.09"), 100)


def test_inclusive_rounding_of_the_net_or_of_the_tax_differs_at_a_tie() -> None:
    # 0.03 at 20 %: net 0.025, tax 0.005; whichever is rounded goes up
    tie = [line("0.03", "20")]
    assert tax_lines(tie, CENTS, behavior="inclusive").tax_total == D("0.01")
    done = tax_lines(tie, CENTS, behavior="inclusive", inclusive_rounding="net")
    assert (done.net_total, done.tax_total) == (D("0.03"), 0)


def test_the_parts_of_an_unrounded_tax_are_exact() -> None:
    assert tax_lines([line("10", "7.5", "2.5")], None).rate_taxes == ((D("0.75"), D("0.25")),)


def test_the_parts_of_a_compound_tax_follow_what_each_rate_adds() -> None:
    # 100, 10 on it, 22 on both; the net of 132 comes out even
    done = tax_lines([line("132", "10", "20")], CENTS, behavior="inclusive", compound=True, inclusive_rounding="net")
    assert (done.net_total, done.rate_taxes) == (100, ((10, 22),))


def test_the_exempt_pay_no_tax_and_an_inclusive_price_drops_to_its_net() -> None:
    assert tax_lines([line("100", "10")], CENTS, exempt=True).total == 100
    done = tax_lines([line("110", "10")], CENTS, behavior="inclusive", exempt=True)
    assert (done.line_taxes, done.net_total, done.total) == ((0,), 100, 100)


@given(
    lines=st.lists(
        st.builds(
            TaxableLine,
            amount=st.decimals(-(10**6), 10**6, places=2),
            rates=st.lists(st.decimals(0, 30, places=3), max_size=3).map(tuple),
        ),
        max_size=6,
    ),
    behavior=st.sampled_from(["exclusive", "inclusive"]),
    round_per=st.sampled_from(["line", "rate"]),
    compound=st.booleans(),
    exempt=st.booleans(),
)
def test_net_and_tax_add_up_to_the_total(
    lines: list[TaxableLine], behavior: Behavior, round_per: RoundPer, compound: bool, exempt: bool
) -> None:
    done = tax_lines(lines, CENTS, behavior=behavior, round_per=round_per, compound=compound, exempt=exempt)
    assert exact_sum([done.net_total, done.tax_total]) == done.total
    assert exact_sum(done.line_taxes) == done.tax_total
    assert [exact_sum(rates) for rates in done.rate_taxes] == list(done.line_taxes)
