"""Random contracts as values: a preview is tomorrow's invoice, lines sum to totals, nothing is billed twice."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from billing.invoicing.drafting import Closed, Draft, Ledger, draft_preview, draft_run, usage_needs
from billing.rating.entries import Measure, Need
from billing.rating.event_prices import PricedEvent
from catalog.money import exact_sum, round_money
from catalog.periods import Interval, Period, local_date
from catalog.pricing import parse_price
from catalog.selection import Selection
from contracts.agreement import Agreement
from contracts.tax_terms import RateTerms
from contracts.terms import (
    CommitmentTerms,
    Days,
    DiscountTerms,
    GrantTerms,
    LineTerms,
    MeterTerms,
    OneTimeTerms,
    OverrideTerms,
    PriceTerms,
)

VAT = RateTerms("vat", Decimal(19))
TAXES = [
    (),
    ((None, VAT),),
    ((None, RateTerms("gst", Decimal(5), tax="gst")), (None, RateTerms("pst", Decimal("9.975"), tax="pst"))),
    (
        (None, VAT),
        (dt.date(2026, 3, 1), RateTerms("more", Decimal(21))),
        (None, RateTerms("on", Decimal(2), tax="on", compound=True)),
    ),
]
TIERS = [{"up_to": "20", "unit_amount": "0.37", "flat_amount": "1"}, {"up_to": None, "unit_amount": "0.111"}]
MODELS: list[dict[str, Any]] = [
    {"model": "per_unit", "unit_amount": "0.333"},
    {"model": "per_unit", "unit_amount": "0.07", "included_units": "9", "minimum_amount": "2", "maximum_amount": "20"},
    {"model": "package", "package_size": "7", "package_amount": "1.99"},
    {"model": "graduated", "tiers": TIERS},
    {"model": "volume", "tiers": TIERS, "zero_quantity": "first_tier_flat"},
    {"model": "stairstep", "tiers": [{"up_to": "30", "flat_amount": "5"}, {"flat_amount": "11"}], "cumulative": True},
    {"model": "percentage", "rate_percent": "2.9", "fixed_amount": "0.30", "free_events": "2"},
    {"model": "dynamic", "multiplier": "1.2"},
]
START = dt.date(2026, 1, 31)
EVERYTHING: frozenset[str] = frozenset()
UNITS = ("day", "week", "month", "quarter", "half_year", "year")

amounts = st.integers(1, 300).map(Decimal)  # in any currency
zones = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"])
days = st.integers(0, 120).map(lambda offset: START + dt.timedelta(days=offset))


@st.composite
def spans(draw: st.DrawFn) -> Days:
    start = draw(st.one_of(st.just(START), days))
    return Days(start, draw(st.one_of(st.none(), st.integers(1, 90).map(lambda n: start + dt.timedelta(days=n)))))


@st.composite
def prices(draw: st.DrawFn, key: str, plan: str) -> PriceTerms:
    own = [unit for unit in UNITS if UNITS.index(unit) >= UNITS.index(plan)]
    interval = draw(st.one_of(st.none(), st.sampled_from(own).map(Interval)))
    if draw(st.booleans()):
        arithmetic = {"model": "flat", "flat_amount": str(draw(amounts))}
        in_advance, prorate = draw(st.booleans()), draw(st.booleans())
        rule = parse_price(arithmetic)
        return PriceTerms(key, key, "recurring", rule, None, in_advance, prorate, interval=interval)
    arithmetic = draw(st.sampled_from(MODELS))
    rule = parse_price(arithmetic)
    meter = MeterTerms(1, "units", "units", adds_up=draw(st.booleans()))
    selection = Selection(by_event=rule.reads_events)
    return PriceTerms(key, key, "usage", rule, meter, False, False, selection, interval, arithmetic)


@st.composite
def commitments(draw: st.DrawFn, key: str, plan: str) -> CommitmentTerms:
    longer = [Interval(unit) for unit in UNITS if UNITS.index(unit) >= UNITS.index(plan)]  # type: ignore[arg-type]
    return CommitmentTerms(
        key,
        draw(st.sampled_from(["minimum", "prepaid", "cap"])),
        draw(amounts),
        draw(st.one_of(st.none(), st.sampled_from(longer))),
        frozenset(),
        draw(spans()),
        draw(st.sampled_from([Decimal(1), Decimal("1.5")])),
        draw(st.booleans()),
        draw(st.booleans()),
    )


@st.composite
def agreements(draw: st.DrawFn) -> Agreement:
    plan = draw(st.sampled_from(["week", "month", "quarter"]))
    lines, with_tax = [], draw(st.booleans())
    for place in range(draw(st.integers(1, 2))):
        key = f"line-{place}"
        found = tuple(draw(prices(f"{key}-p{number}", plan)) for number in range(draw(st.integers(1, 3))))
        span = draw(spans())
        uplift = draw(st.sampled_from([Decimal(0), Decimal(3)]))
        trial = draw(st.sampled_from([0, 0, 10]))
        lines.append(
            LineTerms(
                key,
                key,
                1,
                draw(st.sampled_from([Decimal(1), Decimal("2.5")])),
                span,
                found,
                Interval(plan),
                uplift,
                trial,
                with_tax,
            )
        )
    used = [price for line in lines for price in line.prices if price.kind == "usage"]
    overrides = ()
    if used and draw(st.booleans()):
        line = next(line for line in lines if used[0] in line.prices)
        overrides = (OverrideTerms(line.key, used[0].key, {"minimum_amount": "3"}, draw(spans())),)
    keys = [price.key for line in lines for price in line.prices]
    scope = st.one_of(st.just(EVERYTHING), st.sampled_from(keys).map(lambda key: frozenset({key})))
    return Agreement(
        number="C-1",
        currency=draw(st.sampled_from(["USD", "JPY", "KWD"])),
        zone=ZoneInfo(draw(zones)),
        days=Days(START, draw(st.one_of(st.none(), st.integers(20, 200).map(lambda n: START + dt.timedelta(days=n))))),
        anchor=draw(st.sampled_from(["start", "calendar"])),
        interval=Interval(plan),
        lines=tuple(lines),
        discounts=tuple(
            DiscountTerms(
                f"d{place}",
                kind,
                draw(st.decimals("0.01", "100", places=2)),
                draw(scope),
                draw(spans()),
                draw(st.one_of(st.none(), amounts)),
            )
            for place, kind in enumerate(draw(st.lists(st.sampled_from(["percent", "amount"]), max_size=2)))
        ),
        one_time=tuple(
            OneTimeTerms(f"o{n}", "once", Decimal(n), day) for n, day in enumerate(draw(st.lists(days, max_size=1)), 5)
        ),
        taxes=draw(st.sampled_from(TAXES)),
        tax_relief=draw(st.sampled_from(["", "", "", "exempt"])),
        tax_rounding=draw(st.sampled_from(["line", "rate", "invoice"])),
        tolerance=dt.timedelta(0),
        overrides=overrides,
        commitments=tuple(draw(commitments(f"c{place}", plan)) for place in range(draw(st.integers(0, 2)))),
        grants=tuple(
            GrantTerms(f"g{place}", "Credit", draw(amounts), draw(st.integers(0, 2)), frozenset(), draw(spans()))
            for place in range(draw(st.integers(0, 2)))
        ),
        proration=draw(st.sampled_from(["days", "utc_days", "seconds", "fixed_months"])),
        settles_at_once=draw(st.booleans()),
    )


class Meter:
    """Use by the local day: the same few numbers over and over, so that any stretch of days adds up."""

    def __init__(self, agreement: Agreement, use: list[int]) -> None:
        self.agreement, self.use = agreement, use

    def events(self, period: Period) -> list[int]:
        first = local_date(period.starts_at, self.agreement.zone)
        count = (local_date(period.ends_at, self.agreement.zone) - first).days
        return [self.use[(first + dt.timedelta(days=place)).toordinal() % len(self.use)] for place in range(count)]

    def measure(self, need: Need) -> Measure:
        events = [value for value in self.events(need.period) if value]
        singles = tuple(PricedEvent(Decimal(value)) for value in events) if need.selection.by_event else ()
        return Measure(Decimal(sum(events)), 1, (), singles)


def said(draft: Draft | None) -> list[tuple[Any, ...]]:
    return (
        []
        if draft is None
        else [
            (one.period, one.due.entry.key, one.due.kind, one.due.quantity, one.due.amount, one.due.tax)
            for one in draft.lines
        ]
    )


def prove(draft: Draft) -> None:
    """Every line is rounded, is the sum of its steps, and the lines and their tax are the total."""
    for one in draft.lines:
        assert exact_sum(step.amount for step in one.due.steps) == one.due.amount, one.due
        assert round_money(Fraction(one.due.amount), draft.currency) == one.due.amount
    assert draft.subtotal == exact_sum(one.due.amount for one in draft.lines)
    assert draft.total == draft.subtotal + exact_sum(rate.amount for rate in draft.tax)
    for rate in draft.tax:
        taxes = [tax for one in draft.lines for tax in one.due.taxes if tax.key == (rate.code, rate.percent)]
        assert exact_sum(tax.base for tax in taxes) == rate.base
        assert round_money(Fraction(rate.amount), draft.currency) == rate.amount


@settings(max_examples=1000)
@given(agreements(), st.lists(st.integers(0, 12), min_size=1, max_size=9))
def test_a_preview_is_tomorrows_invoice(agreement: Agreement, use: list[int]) -> None:
    meter, ledger = Meter(agreement, use), Ledger()
    for _ in range(4):
        begins = max((one.ends_at for one in ledger.closed), default=agreement.starts_at)
        period = next(agreement.periods_from(begins), None)
        if period is None:
            break
        wanted = [*ledger.closed, period, *([after] if (after := agreement.following(period)) else [])]
        ledger.usage = {need: meter.measure(need) for need in usage_needs(agreement, wanted)}
        running = draft_run(agreement, ledger, period.starts_at)
        assert not running.closes
        shown = draft_preview(agreement, ledger, period.ends_at - dt.timedelta(seconds=1))
        made = draft_run(agreement, ledger, period.ends_at)
        for draft in (*running.drafts, *made.drafts):
            prove(draft)
        [(closed, close)] = made.closes
        assert closed == period and said(close) == said(shown)
        ledger.closed[period] = Closed(agreement.tax_in(period), stale=False, closing=made.closings[period])
        ledger.closings = {}
    again = draft_run(agreement, ledger, max(ledger.closed).ends_at)
    assert again.drafts == () or agreement.ends_at is None or all(one.purpose == "adjustment" for one in again.drafts)
