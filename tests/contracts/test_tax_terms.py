"""Which rates count for a price on a day."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from contracts.tax_terms import RateTerms, TaxTerms, rates_on, tax_from_json

D = Decimal
JULY = dt.date(2026, 7, 1)


def codes(terms: TaxTerms, category: str = "") -> list[str]:
    return [rate.code for rate in terms.of(category)]


def test_of_one_tax_the_latest_that_has_begun_counts() -> None:
    dated = [(None, RateTerms("vat-19", D(19))), (JULY, RateTerms("vat-16", D(16)))]
    assert [rate.code for rate in rates_on(dt.date(2026, 6, 30), dated)] == ["vat-19"]
    assert [rate.code for rate in rates_on(JULY, dated)] == ["vat-16"]


def test_other_taxes_and_those_of_the_same_day_count_together() -> None:
    dated = [
        (None, RateTerms("pst", D(7), tax="pst", compound=True)),
        (None, RateTerms("gst", D(5), tax="gst")),
        (JULY, RateTerms("levy-1", D(1), tax="levy")),
        (JULY, RateTerms("levy-2", D(2), tax="levy")),
    ]
    # What is taken on the others comes last
    assert [rate.code for rate in rates_on(JULY, dated)] == ["gst", "levy-1", "levy-2", "pst"]


def test_a_category_goes_before_the_general_rate_of_the_same_tax() -> None:
    rates = (
        RateTerms("gst", D(5), tax="gst"),
        RateTerms("qst", D("9.975"), tax="qst"),
        RateTerms("qst-books", D(0), category="books", tax="qst"),
    )
    assert codes(TaxTerms(rates)) == ["gst", "qst"]
    assert codes(TaxTerms(rates), "books") == ["gst", "qst-books"]
    assert codes(TaxTerms(rates), "food") == ["gst", "qst"]


def test_a_relief_is_said_in_place_of_rates() -> None:
    terms = TaxTerms((RateTerms("vat", D(19)),), "exempt")
    assert terms.charged("") == (RateTerms("exempt", D(0)),)
    assert codes(terms) == ["vat"]  # what a price with tax is brought down by


def test_a_closed_period_keeps_all_of_it() -> None:
    rates = (RateTerms("gst", D(5), tax="gst"), RateTerms("food", D("2.5"), category="food", compound=True))
    for terms in (TaxTerms(), TaxTerms(rates), TaxTerms(rates, "reverse-charge", "invoice")):
        assert tax_from_json(terms.as_json()) == terms
    assert TaxTerms((RateTerms("vat", D(19)),)).as_json() == {"rates": [{"code": "vat", "percent": "19"}]}
