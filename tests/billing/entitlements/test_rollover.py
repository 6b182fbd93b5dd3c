"""What whoever asks is told and what is billed are one: the allowance of a period, with what rolled over. Pure."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from billing.entitlements.rollover import carried, earlier, granted, own_allowance
from billing.rating.entries import Measure, Need
from billing.rating.statement import statement
from catalog.periods import Interval, Period
from catalog.pricing import parse_price
from contracts.agreement import Agreement
from contracts.entitled import AllowanceTerms, EntitlementTerms, Rollover
from contracts.terms import Days, LineTerms, MeterTerms, PriceTerms

METER = MeterTerms(7, "tokens", "tokens")
START = dt.date(2026, 1, 31)
ZONE = ZoneInfo("Europe/Berlin")


def agreement(limit: int, rollover: Rollover | None, *others: AllowanceTerms) -> Agreement:
    """One token costs 1.00 beyond the allowance, in months from the last of January on."""
    rule = parse_price({"model": "per_unit", "unit_amount": "1"})
    price = PriceTerms("tokens", "Tokens", "usage", rule, METER, False, False, entitlement="tokens")
    terms = EntitlementTerms("tokens", "metered", None, 7, "tokens", "tokens", Decimal(limit), rollover=rollover)
    line = LineTerms("pro", "pro", 1, Decimal(1), Days(START), (price,), entitlements=(terms,))
    days = Days(START)
    return Agreement("C-1", "USD", ZONE, days, "start", Interval("month"), (line,), allowances=others)


def limits(agreed: Agreement, periods: list[Period], used: list[int]) -> list[Decimal]:
    """What each period's limit is to whoever asks in it."""
    found = []
    known = {period: Decimal(amount) for period, amount in zip(periods, used, strict=True)}
    for period in periods:
        last = period.ends_at - dt.timedelta(microseconds=1)
        given_then = granted([(1, agreed)], "tokens", last)
        assert given_then is not None
        own = own_allowance([(1, agreed)], given_then, period, last)
        assert own is not None
        found.append(own + carried(earlier([(1, agreed)], given_then, period), known))
    return found


def billed(agreed: Agreement, periods: list[Period], used: list[int]) -> list[Decimal]:
    """What each period's statement comes to, each opened with what the one before left."""
    amounts, opening = [], {}
    for period, amount in zip(periods, used, strict=True):
        usage = {Need(7, period): Measure(Decimal(amount), 1)}
        found = statement(agreed.terms(period), usage, opening)
        amounts.append(sum((entry.amount for entry in found.entries), Decimal(0)))
        opening = found.closing
    return amounts


def months(agreed: Agreement, count: int) -> list[Period]:
    following = agreed.periods_from(agreed.starts_at)
    return [next(following) for _ in range(count)]


ROLLOVERS = st.none() | st.builds(
    Rollover,
    st.sampled_from([Decimal(0), Decimal(25), Decimal(50), Decimal(100)]),
    st.none() | st.integers(0, 8).map(lambda one: Decimal(one * 100)),
    st.integers(1, 3),
)
USE = st.integers(0, 20).map(lambda one: one * 100)


@given(
    limit=st.integers(0, 10).map(lambda one: one * 100),
    rollover=ROLLOVERS,
    used=st.lists(USE, min_size=1, max_size=8),
    raised=st.none() | st.tuples(st.integers(0, 7), st.integers(1, 9).map(lambda one: one * 100)),
)
def test_what_is_free_is_what_whoever_asks_is_told(
    limit: int, rollover: Rollover | None, used: list[int], raised: tuple[int, int] | None
) -> None:
    agreed = agreement(limit, rollover)
    periods = months(agreed, len(used))
    if raised is not None:
        begins = START + dt.timedelta(days=40 * raised[0])
        agreed = replace(agreed, allowances=(AllowanceTerms("tokens", begins, None, {"limit": Decimal(raised[1])}),))
    told = limits(agreed, periods, used)
    beyond = [max(Decimal(0), Decimal(amount) - most) for amount, most in zip(used, told, strict=True)]
    assert billed(agreed, periods, used) == beyond


def test_what_rolls_over_crosses_periods_only_where_a_price_counts_on_it() -> None:
    rolling = Rollover(Decimal(50), None, 1)
    assert agreement(100, rolling).carries_over
    assert not agreement(100, None).carries_over
    plain = agreement(100, rolling)
    price = replace(plain.lines[0].prices[0], entitlement="")
    assert not replace(plain, lines=(replace(plain.lines[0], prices=(price,)),)).carries_over


def test_an_extra_is_free_in_the_periods_that_its_days_touch() -> None:
    extra = AllowanceTerms("tokens", dt.date(2026, 2, 10), dt.date(2026, 2, 11), extra=Decimal(50))
    agreed = agreement(100, None, extra)
    # From 31 January to 27 February: 150 are free; from 28 February on 100 again.
    assert billed(agreed, months(agreed, 2), [160, 160]) == [10, 60]


def test_what_is_unlimited_is_free() -> None:
    agreed = agreement(100, None, AllowanceTerms("tokens", dt.date(2026, 2, 28), None, {"limit": None}))
    assert billed(agreed, months(agreed, 2), [160, 160]) == [60, 0]
