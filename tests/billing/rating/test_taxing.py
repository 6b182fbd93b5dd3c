"""The tax of what is due: groups, prices with tax in them, and parts of one rounded tax. Amounts by hand."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from billing.rating.balance import balance, settle
from billing.rating.charges import Step
from billing.rating.claims import Claims, Tax, sum_of_taxes
from billing.rating.entries import Entry
from billing.rating.taxing import without_tax
from catalog.money import exact_sum, split_near
from catalog.periods import Period
from contracts.tax_terms import RateTerms, Relief, TaxRounding, TaxTerms

D = Decimal
JANUARY = Period(dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.datetime(2026, 2, 1, tzinfo=dt.UTC))
VAT = RateTerms("vat", D(19))
GST, PST = RateTerms("gst", D(5), tax="gst"), RateTerms("pst", D(8), tax="pst", compound=True)


def entry(key: str, amount: str, of: str = "", with_tax: bool = False, category: str = "") -> Entry:
    return Entry(
        key=key,
        kind="discount" if of else "recurring",
        tax_key=of or key,
        price="base",
        meter="",
        term="pro@1",
        line="pro",
        description=key,
        unit="",
        quantity=D(1),
        amount=D(amount),
        service=JANUARY,
        in_advance=False,
        clock=None,
        steps=(Step("flat", None, None, D(amount)),),
        tax_category=category,
        with_tax=with_tax,
    )


def terms(*rates: RateTerms, relief: Relief = "", rounding: TaxRounding = "line") -> TaxTerms:
    return TaxTerms(rates, relief, rounding)


def billed(entries: list[Entry], tax: TaxTerms, claims: Claims | None = None) -> list[tuple[str, Decimal, Decimal]]:
    """(key, net, tax) of the lines."""
    net = list(without_tax(entries, tax, "EUR"))
    return [(due.entry.key, due.amount, due.tax) for due in balance(net, claims or {}, tax, "EUR", closed=False)]


def claims_of(entries: list[Entry], tax: TaxTerms, claims: Claims | None = None) -> Claims:
    net = list(without_tax(entries, tax, "EUR"))
    return settle(claims or {}, balance(net, claims or {}, tax, "EUR", closed=False))


def test_a_compound_rate_is_taken_on_the_price_with_the_taxes_before() -> None:
    # 5 % of 100.00 and 8 % of 105.00
    [due] = balance([entry("a", "100.00")], {}, terms(GST, PST), "CAD", closed=False)
    assert due.taxes == (Tax("gst", D(5), D("100.00"), D("5.00")), Tax("pst", D(8), D("100.00"), D("8.40")))
    assert due.tax_percent == 13


def test_a_reduction_is_what_it_changes_of_the_net_so_that_its_entry_stays() -> None:
    tax = terms(VAT)
    whole, off = entry("a", "9.99", with_tax=True), entry("d", "-1.50", "a", with_tax=True)
    # 9.99 has 1.595 of tax in it; 8.49 has 1.3555
    assert billed([whole], tax) == [("a", D("8.39"), D("1.60"))]
    assert billed([whole, off], tax) == [("a", D("8.39"), D("1.36")), ("d", D("-1.26"), D(0))]
    assert billed([whole, off], tax, claims_of([whole], tax)) == [("d", D("-1.26"), D("-0.24"))]


def test_the_steps_of_a_price_with_tax_add_up_to_its_net() -> None:
    [net] = without_tax([entry("a", "119.00", with_tax=True)], terms(VAT), "EUR")
    assert [(step.description, step.amount) for step in net.steps] == [
        ("flat", D("119.00")),
        ("less the tax in it: 19 % vat", D("-19.00")),
    ]
    assert net.gross == D("119.00")


def test_who_pays_no_tax_pays_the_net_of_a_price_with_tax() -> None:
    exempt = terms(VAT, relief="exempt")
    entries = [entry("a", "9.99", with_tax=True), entry("b", "10.00")]
    assert billed(entries, exempt) == [("a", D("8.39"), D(0)), ("b", D("10.00"), D(0))]


def test_tax_of_another_rate_than_is_billed_comes_back_under_the_one_it_was_billed_at() -> None:
    before = claims_of([entry("a", "100.00")], terms(VAT))
    [due] = balance([entry("a", "100.00")], before, terms(RateTerms("vat", D(16))), "EUR", closed=False)
    # The same code at another percentage is another rate
    assert due.taxes == (
        Tax("vat", D(16), D("100.00"), D("16.00")),
        Tax("vat", D(19), D("-100.00"), D("-19.00")),
    )
    assert due.amount == 0


def test_what_is_no_longer_due_comes_back_with_its_tax() -> None:
    before = claims_of([entry("a", "119.00", with_tax=True)], terms(VAT))
    assert [(due.amount, due.tax) for due in balance([], before, terms(VAT), "EUR", closed=False)] == [
        (D("-100.00"), D("-19.00"))
    ]


def test_one_rounded_tax_is_shared_and_what_is_billed_keeps_its_part() -> None:
    tax = terms(VAT, rounding="invoice")
    three = [entry(key, "0.03") for key in "abc"]
    # 0.0057 each, 0.0171 together
    assert billed(three, tax) == [("a", D("0.03"), D("0.01")), ("b", D("0.03"), D("0.01")), ("c", D("0.03"), D(0))]
    claims = claims_of(three, tax)
    assert billed(three, tax, claims) == []
    # One more of 0.06: 0.0285 in all
    assert billed([*three, entry("d", "0.06")], tax, claims) == [("d", D("0.06"), D("0.01"))]


def test_prices_with_tax_come_to_their_total_also_where_the_invoice_is_rounded() -> None:
    tax = terms(VAT, rounding="invoice")
    three = [entry(key, "0.10", with_tax=True) for key in "abc"]
    # 0.10 has 0.015966 of tax in it, 0.30 has 0.047899, so 0.05: 0.01 each, and 0.01 more for two (line by line 0.06)
    found = billed(three, tax)
    assert found == [("a", D("0.08"), D("0.02")), ("b", D("0.08"), D("0.02")), ("c", D("0.09"), D("0.01"))]
    assert billed(three, tax, claims_of(three, tax)) == []


def test_tax_given_back_under_no_code_belongs_to_the_rate_it_was_billed_at() -> None:
    old = [Tax("vat", D(19), D(99), D("18.81")), Tax("", D(0), D(0), D("-18.81"))]
    assert sum_of_taxes(old) == {("vat", D(19)): Tax("vat", D(19), D(0), D("0.00"))}


amounts = st.decimals(-100, 100, places=2)
stories = st.lists(st.dictionaries(st.sampled_from("abcd"), amounts, min_size=1), min_size=1, max_size=6)


@given(stories, st.sampled_from(["line", "rate", "invoice"]), st.booleans())
def test_whatever_is_due_from_time_to_time_the_tax_in_the_end_is_that_of_the_last(
    story: list[dict[str, Decimal]], rounding: TaxRounding, with_tax: bool
) -> None:
    tax = terms(GST, PST, rounding=rounding)
    claims: Claims = {}
    for due in story:
        entries = [entry(key, str(amount), with_tax=with_tax) for key, amount in sorted(due.items())]
        claims = claims_of(entries, tax, claims)
        assert billed(entries, tax, claims) == []
    at_once = claims_of(entries, tax)
    assert exact_sum(claim.tax for claim in claims.values()) == exact_sum(claim.tax for claim in at_once.values())
    assert exact_sum(one.amount for one in claims.values()) == exact_sum(one.amount for one in at_once.values())


@given(st.lists(st.fractions(-10, 10), min_size=1, max_size=8), st.decimals(-50, 50, places=2))
def test_parts_sum_back_and_nothing_is_left_to_split_again(shares: list[Fraction], amount: Decimal) -> None:
    parts = split_near(amount, shares, 2)
    assert exact_sum(parts) == amount
    left = [share - Fraction(part) for share, part in zip(shares, parts, strict=True)]
    assert split_near(D(0), left, 2) == [0] * len(shares)
    near = split_near(exact_sum(split_near(amount, shares, 2)), shares, 2)
    assert near == parts
