"""Due minus billed, without a database: agreements and use as values, amounts worked out by hand."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from billing.invoicing.drafting import Closed, Draft, Ledger, draft_preview, draft_run, usage_needs
from billing.rating.entries import Measure
from catalog.money import ZERO
from catalog.periods import Interval, Period
from catalog.pricing import parse_price
from contracts.agreement import Agreement
from contracts.tax_terms import RateTerms
from contracts.terms import Days, DiscountTerms, LineTerms, MeterTerms, OneTimeTerms, PriceTerms

UTC = ZoneInfo("UTC")
TOKENS = MeterTerms(1, "tokens", "tokens")
VAT = RateTerms("de-vat", Decimal(19))

BASE = PriceTerms(
    "base", "Base fee", "recurring", parse_price({"model": "flat", "flat_amount": "99.00"}), None, True, True
)
USE = PriceTerms(
    "tokens", "Tokens", "usage", parse_price({"model": "per_unit", "unit_amount": "0.01"}), TOKENS, False, True
)


def instant(day: str) -> dt.datetime:
    return dt.datetime.fromisoformat(day).replace(tzinfo=dt.UTC)


def agreement(*prices: PriceTerms, **changes: object) -> Agreement:
    """C-1 from 1 January 2026, monthly, on one line of plan pro."""
    line = LineTerms("pro", "pro", 1, Decimal(1), Days(dt.date(2026, 1, 1)), prices)
    values = {
        "number": "C-1",
        "currency": "EUR",
        "zone": UTC,
        "days": Days(dt.date(2026, 1, 1)),
        "anchor": "start",
        "interval": Interval("month"),
        "lines": (line,),
    }
    return Agreement(**(values | changes))  # type: ignore[arg-type]


class World:
    """A contract over time: its use by month, and what runs made of it."""

    def __init__(self, agreement: Agreement) -> None:
        self.agreement = agreement
        self.ledger = Ledger()
        self.used: dict[Period, Decimal] = {}
        self.clock = 0
        self.drafts: list[Draft] = []

    def use(self, month: str, quantity: str) -> None:
        """Set what was used in a month, however late."""
        self.clock += 1
        period = self.agreement.period_at(instant(f"{month}-01"))
        self.used[period] = Decimal(quantity)
        if period in self.ledger.closed:
            self.ledger.closed[period] = Closed(self.ledger.closed[period].tax, stale=True)

    def _read(self) -> None:
        periods = [*self.ledger.closed, *(period for period, _ in zip(self._from_start(), range(24), strict=False))]
        self.ledger.usage = {
            need: Measure(self.used.get(self.agreement.period_at(need.period.starts_at), ZERO), self.clock)
            for need in usage_needs(self.agreement, periods)
        }

    def _from_start(self):  # type: ignore[no-untyped-def]
        return self.agreement.periods_from(self.agreement.starts_at)

    def run(self, day: str) -> list[Draft]:
        self._read()
        outcome = draft_run(self.agreement, self.ledger, instant(day))
        for period in outcome.rerated:
            self.ledger.closed[period] = Closed(self.ledger.closed[period].tax, stale=False)
        for period, _ in outcome.closes:
            self.ledger.closed[period] = Closed(self.agreement.tax_in(period), stale=False)
        self.drafts += outcome.drafts
        return list(outcome.drafts)

    def preview(self, day: str) -> Draft | None:
        self._read()
        return draft_preview(self.agreement, self.ledger, instant(day))


def lines(draft: Draft | None) -> list[tuple[str, str, str, str]]:
    assert draft is not None
    return [(line.due.kind, line.due.entry.price, str(line.due.quantity), str(line.due.amount)) for line in draft.lines]


def test_a_base_in_advance_is_invoiced_at_the_start_and_then_with_each_close() -> None:
    world = World(agreement(BASE, USE))
    [opening] = world.run("2026-01-01")
    assert opening.purpose == "advance"
    assert lines(opening) == [("recurring", "base", "1", "99.00")]
    world.use("2026-01", "250")
    [january] = world.run("2026-02-02")
    assert january.purpose == "close"
    assert lines(january) == [("usage", "tokens", "250", "2.50"), ("recurring", "base", "1", "99.00")]
    assert january.lines[1].period.starts_at == instant("2026-02-01")


def test_nothing_is_closed_inside_the_tolerance_window() -> None:
    world = World(agreement(USE))
    world.use("2026-01", "250")
    assert world.run("2026-02-01T23:59:59") == []
    assert len(world.run("2026-02-02")) == 1


def test_a_second_run_makes_nothing() -> None:
    world = World(agreement(BASE, USE))
    world.use("2026-01", "250")
    assert len(world.run("2026-02-02")) == 2
    assert world.run("2026-02-02") == []


def test_a_run_that_finds_several_periods_due_makes_an_invoice_for_each() -> None:
    world = World(agreement(BASE))
    made = world.run("2026-04-05")
    # January is invoiced at its start; the closes of January, February and March carry the month after each
    assert [draft.purpose for draft in made] == ["advance", "close", "close", "close"]
    assert [draft.total for draft in made] == [Decimal("99.00")] * 4


def test_late_use_of_a_closed_period_is_an_adjustment_on_the_next_invoice() -> None:
    world = World(agreement(USE))
    world.use("2026-01", "250")
    world.run("2026-02-02")
    world.use("2026-01", "300")
    assert world.run("2026-02-15") == []
    world.use("2026-02", "100")
    [february] = world.run("2026-03-02")
    # 50 more at 0.01
    assert lines(february) == [("usage", "tokens", "100", "1.00"), ("adjustment", "tokens", "50", "0.50")]


def test_late_use_after_the_contracts_end_gets_a_document_of_its_own() -> None:
    world = World(agreement(USE, days=Days(dt.date(2026, 1, 1), dt.date(2026, 2, 1))))
    world.use("2026-01", "250")
    world.run("2026-02-02")
    world.use("2026-01", "200")
    [correction] = world.run("2026-02-10")
    assert correction.purpose == "adjustment"
    assert lines(correction) == [("adjustment", "tokens", "-50", "-0.50")]
    assert world.run("2026-02-11") == []


def test_tax_follows_its_key() -> None:
    # 19 % of 2.50 is 0.475, billed as 0.48; of 3.00 it is 0.57, so 0.09 are left for the adjustment
    world = World(agreement(USE, taxes=((None, VAT),)))
    world.use("2026-01", "250")
    [january] = world.run("2026-02-02")
    assert [(tax.code, tax.base, tax.amount) for tax in january.tax] == [("de-vat", Decimal("2.50"), Decimal("0.48"))]
    world.use("2026-01", "300")
    [february] = world.run("2026-03-02")
    assert [(tax.base, tax.amount) for tax in february.tax] == [(Decimal("0.50"), Decimal("0.09"))]
    assert february.total == Decimal("0.59")


def test_tax_is_taken_on_the_net_of_an_entry_and_its_discount() -> None:
    # 33.35 less 10 % (3.335, so 3.34) is 30.01; 19 % of that is 5.7019, so 5.70 (6.34 - 0.63 would be 5.71)
    discount = DiscountTerms("d", "percent", Decimal(10), frozenset({"tokens"}), Days(dt.date(2026, 1, 1)))
    world = World(agreement(USE, taxes=((None, VAT),), discounts=(discount,)))
    world.use("2026-01", "3335")
    [january] = world.run("2026-02-02")
    assert january.subtotal == Decimal("30.01")
    assert january.total == Decimal("35.71")


def test_a_rate_of_tax_counts_from_the_period_whose_last_day_it_covers() -> None:
    taxes = ((None, VAT), (dt.date(2026, 2, 28), RateTerms("de-vat-26", Decimal(16))))
    world = World(agreement(USE, taxes=taxes))
    world.use("2026-01", "10000")
    world.use("2026-02", "10000")
    january, february = world.run("2026-03-05")
    assert january.total == Decimal("119.00")
    assert february.total == Decimal("116.00")


def test_a_line_that_ends_in_mid_period_gives_back_what_was_billed_in_advance() -> None:
    whole = agreement(BASE)
    world = World(whole)
    world.run("2026-01-01")
    old = LineTerms("pro", "pro", 1, Decimal(1), Days(dt.date(2026, 1, 1), dt.date(2026, 1, 16)), (BASE,))
    new = LineTerms("pro", "pro", 2, Decimal(1), Days(dt.date(2026, 1, 16)), (BASE,))
    world.agreement = agreement(lines=(old, new))
    [january] = world.run("2026-02-02")
    # 15 of 31 days: 47.903... = 47.90, so 51.10 come back; 16 of 31 days of the new: 51.0967... = 51.10
    assert lines(january) == [
        ("recurring", "base", "0", "-51.10"),
        ("recurring", "base", "1", "51.10"),
        ("recurring", "base", "1", "99.00"),
    ]


def test_a_calendar_contract_starts_with_a_short_stub() -> None:
    start = Days(dt.date(2026, 1, 15))
    line = LineTerms("pro", "pro", 1, Decimal(1), start, (BASE,))
    world = World(agreement(days=start, anchor="calendar", lines=(line,)))
    [opening] = world.run("2026-01-15")
    # 17 of 31 days of 99.00 is 54.290...
    assert lines(opening) == [("recurring", "base", "1", "54.29")]


def test_a_one_time_term_and_its_opposite_fall_together() -> None:
    charge = OneTimeTerms("setup", "Setup", Decimal("500.00"), dt.date(2026, 1, 10))
    credit = OneTimeTerms("credit", "Goodwill", Decimal("-500.00"), dt.date(2026, 1, 11))
    [january] = World(agreement(one_time=(charge, credit))).run("2026-02-02")
    assert january.total == ZERO
    assert lines(january) == [("one_time", "", "1", "500.00"), ("one_time", "", "1", "-500.00")]


def test_an_amount_off_the_period_is_spread_by_largest_remainder_and_never_below_zero() -> None:
    off = DiscountTerms("d", "amount", Decimal("200.00"), frozenset(), Days(dt.date(2026, 1, 1)))
    arrears = PriceTerms("base", "Base fee", "recurring", BASE.rule, None, False, True)
    world = World(agreement(arrears, USE, discounts=(off,)))
    world.use("2026-01", "100")
    [january] = world.run("2026-02-02")
    assert january.total == ZERO
    assert [amount for _, _, _, amount in lines(january)] == ["99.00", "1.00", "-99.00", "-1.00"]


def test_a_discount_over_a_part_of_the_days_counts_by_that_part() -> None:
    # 50 % for 16 to 31 January: 16 of 31 days of 49.50 is 25.548...
    off = DiscountTerms("d", "percent", Decimal(50), frozenset({"base"}), Days(dt.date(2026, 1, 16)))
    [opening] = World(agreement(BASE, discounts=(off,))).run("2026-01-01")
    assert [amount for _, _, _, amount in lines(opening)] == ["99.00", "-25.55"]


def test_free_use_is_shown_and_no_use_makes_no_invoice() -> None:
    free = PriceTerms(
        "tokens",
        "Tokens",
        "usage",
        parse_price({"model": "per_unit", "unit_amount": "0.01", "included_units": "1000"}),
        TOKENS,
        False,
        True,
    )
    world = World(agreement(free))
    assert world.run("2026-02-02") == []
    world.use("2026-02", "400")
    [february] = world.run("2026-03-02")
    assert [(kind, quantity, Decimal(amount)) for kind, _, quantity, amount in lines(february)] == [
        ("usage", "400", ZERO)
    ]


def test_a_preview_shows_the_open_period_and_what_waits_from_closed_ones() -> None:
    world = World(agreement(BASE, USE))
    world.use("2026-01", "250")
    assert lines(world.preview("2026-01-20")) == [
        ("recurring", "base", "1", "99.00"),
        ("usage", "tokens", "250", "2.50"),
        ("recurring", "base", "1", "99.00"),
    ]
    world.run("2026-02-02")
    world.use("2026-01", "150")
    assert lines(world.preview("2026-02-03")) == [
        ("recurring", "base", "1", "99.00"),
        ("adjustment", "tokens", "-100", "-1.00"),
    ]


def test_there_is_no_preview_before_a_contract_begins_or_after_all_is_billed() -> None:
    world = World(agreement(USE, days=Days(dt.date(2026, 1, 1), dt.date(2026, 2, 1))))
    assert world.preview("2025-12-31") is None
    world.use("2026-01", "250")
    world.run("2026-02-02")
    assert world.preview("2026-02-03") is None


@given(
    st.lists(
        st.tuples(st.sampled_from(["2026-01", "2026-02", "2026-03", "run"]), st.integers(0, 5000)),
        min_size=1,
        max_size=20,
    )
)
def test_any_order_of_use_and_runs_ends_in_the_same_total(steps: list[tuple[str, int]]) -> None:
    """Graduated price, discount, tax: what was billed in pieces is what one late run bills at once."""
    tiered = PriceTerms(
        "tokens",
        "Tokens",
        "usage",
        parse_price(
            {
                "model": "graduated",
                "tiers": [{"up_to": "1000", "unit_amount": "0.013"}, {"up_to": None, "unit_amount": "0.0071"}],
                "minimum_amount": "5.00",
            }
        ),
        TOKENS,
        False,
        True,
    )
    off = DiscountTerms("d", "percent", Decimal("12.5"), frozenset({"tokens"}), Days(dt.date(2026, 1, 20)))
    signed = agreement(
        BASE,
        tiered,
        taxes=((None, VAT),),
        discounts=(off,),
        days=Days(dt.date(2026, 1, 1), dt.date(2026, 4, 1)),
    )
    often, once = World(signed), World(signed)
    day = dt.date(2026, 1, 1)
    for month, quantity in steps:
        if month == "run":
            day += dt.timedelta(days=quantity % 40)
            often.run(day.isoformat())
        else:
            often.use(month, str(quantity))
            once.use(month, str(quantity))
    often.run("2027-01-01")
    once.run("2027-01-01")
    assert sum(draft.total for draft in often.drafts) == sum(draft.total for draft in once.drafts)
    assert often.run("2027-01-02") == []
