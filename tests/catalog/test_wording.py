"""Numbers and prices as people read them."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from catalog.models import Plan
from catalog.publishing import PriceDraft, draft_version
from catalog.wording import figure, money_words, price_figure, price_words
from tests.factories import MeterFactory


@pytest.mark.parametrize(
    ("number", "shown"),
    [("1234567.50", "1,234,567.5"), ("0", "0"), ("-1000", "-1,000"), ("1E+6", "1,000,000"), ("0.0000025", "0.0000025")],
)
def test_a_number_has_separators_and_no_trailing_zeros(number: str, shown: str) -> None:
    assert figure(number) == shown


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [("1234.5", "EUR", "1,234.50 EUR"), ("-12000", "JPY", "-12,000 JPY"), ("1.5", "KWD", "1.500 KWD")],
)
def test_money_has_the_places_of_its_currency(amount: str, currency: str, shown: str) -> None:
    assert money_words(amount, currency) == shown


@pytest.mark.parametrize(("amount", "shown"), [("9", "9.00"), ("0.5", "0.50"), ("0.0000025", "0.0000025")])
def test_a_price_has_at_least_the_places_of_its_currency(amount: str, shown: str) -> None:
    assert price_figure(amount, "EUR") == shown


TIERS = [{"up_to": "1000", "unit_amount": "0.02"}, {"up_to": None, "unit_amount": "0.01", "flat_amount": "5"}]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arithmetic", "words"),
    [
        ({"model": "per_unit", "unit_amount": "0.02"}, "0.02 USD each"),
        ({"model": "package", "package_size": "1000", "package_amount": "3"}, "3.00 USD per 1,000"),
        ({"model": "graduated", "tiers": TIERS}, "0.02 up to 1,000, then 5.00 + 0.01 each above USD"),
        ({"model": "volume", "tiers": TIERS}, "all at 0.02 up to 1,000, or all at 5.00 + 0.01 each above USD"),
        (
            {"model": "per_unit", "unit_amount": "1", "included_units": "60", "minimum_amount": "5"},
            "1.00 USD each; the first 60 included; at least 5.00",
        ),
        (
            {"model": "stairstep", "tiers": [{"up_to": "10", "flat_amount": "5"}, {"up_to": None, "flat_amount": "9"}]},
            "5.00 up to 10, 9.00 above USD",
        ),
        (
            {"model": "percentage", "rate_percent": "1.5", "fixed_amount": "0.25", "free_events": 3},
            "1.5 % + 0.25 USD an event, the first 3 events free",
        ),
        (
            {"model": "graduated_percentage", "tiers": [{"up_to": "1000", "rate_percent": "2"}, {"up_to": None}]},
            "2 % up to 1,000, then 0 % above",
        ),
        ({"model": "dynamic", "multiplier": "1.1"}, "the amounts of the events times 1.1"),
        (
            {"model": "per_unit", "unit_amount": "1", "unit_conversion": {"op": "divide", "factor": "1000"}},
            "1.00 USD each; units divided by 1,000",
        ),
    ],
)
def test_a_price_in_words(arithmetic: dict[str, Any], words: str) -> None:
    MeterFactory(key="tokens")
    draft = PriceDraft("tokens", "usage", arithmetic, meter="tokens")
    at = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    version = draft_version(Plan.objects.create(key="pro", name="Pro"), currency="USD", prices=[draft], at=at)
    assert price_words(version.prices.get(), "USD") == words


@pytest.mark.django_db
def test_an_interval_of_its_own_is_said() -> None:
    fee = PriceDraft("fee", "recurring", {"model": "flat", "flat_amount": "90"}, interval="half_year")
    version = draft_version(Plan.objects.create(key="pro"), currency="USD", prices=[fee], at=dt.datetime.now(dt.UTC))
    assert price_words(version.prices.get(), "USD") == "90.00 USD; every half-year"
