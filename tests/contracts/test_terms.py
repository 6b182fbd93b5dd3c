"""What counts in a billing period: pieces of prices with intervals, trials and overrides, and commitments."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from catalog.periods import Interval, Period, local_date
from catalog.pricing import PerUnit, parse_price
from contracts.agreement import Agreement
from contracts.terms import CommitmentTerms, Days, LineTerms, MeterTerms, OverrideTerms, PriceTerms, Segment

UTC = ZoneInfo("UTC")
BERLIN = ZoneInfo("Europe/Berlin")
START = dt.date(2026, 1, 1)
FLAT = {"model": "flat", "flat_amount": "10"}
PER_UNIT = {"model": "per_unit", "unit_amount": "1"}


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


def fee(interval: str | None = None, in_advance: bool = True) -> PriceTerms:
    own = Interval(interval) if interval else None  # type: ignore[arg-type]
    return PriceTerms("fee", "Fee", "recurring", parse_price(FLAT), None, in_advance, True, interval=own)


def use(interval: str | None = None, adds_up: bool = True) -> PriceTerms:
    own = Interval(interval) if interval else None  # type: ignore[arg-type]
    meter = MeterTerms(1, "units", "units", adds_up)
    return PriceTerms(
        "use", "Use", "usage", parse_price(PER_UNIT), meter, False, False, interval=own, arithmetic=PER_UNIT
    )


def agree(*prices: PriceTerms, line: dict[str, Any] | None = None, **changes: Any) -> Agreement:
    """A contract by the month from 1 January 2026 in UTC, of one line."""
    first = LineTerms("pro", "pro", 1, Decimal(1), Days(START), prices)
    values: dict[str, Any] = {"lines": (replace(first, **(line or {})),), "zone": UTC, **changes}
    return Agreement("C-1", "EUR", days=Days(START), anchor="start", interval=Interval("month"), **values)


def month(number: int, zone: ZoneInfo = UTC) -> Period:
    start, end = (dt.datetime(2026 + place // 12, place % 12 + 1, 1, tzinfo=zone) for place in (number - 1, number))
    return Period(start, end)


def pieces(agreement: Agreement, number: int) -> list[tuple[str, str, str, bool]]:
    """(price, first day, day after the last, whether the interval ends) of a month's segments."""
    zone = agreement.zone

    def said(segment: Segment) -> tuple[str, str, str, bool]:
        days = (segment.service.starts_at, segment.service.ends_at)
        first, last = (local_date(instant, zone).isoformat() for instant in days)
        return segment.price.key, first, last, segment.is_last

    return [said(segment) for segment in agreement.terms(month(number, zone)).segments]


def test_a_yearly_fee_in_a_monthly_plan_is_settled_where_its_year_begins_or_ends() -> None:
    ahead, behind = agree(fee("year")), agree(fee("year", in_advance=False))
    year = ("fee", "2026-01-01", "2027-01-01", True)
    assert [pieces(ahead, number) for number in (1, 2, 12)] == [[year], [], []]
    assert [pieces(behind, number) for number in (1, 11, 12)] == [[], [], [year]]


def test_a_fee_whose_line_ends_in_mid_year_is_settled_as_far_as_that() -> None:
    behind = agree(fee("year", in_advance=False), line={"days": Days(START, day("2026-05-11"))})
    assert [pieces(behind, number) for number in (4, 5, 6)] == [[], [("fee", "2026-01-01", "2026-05-11", True)], []]


def test_use_with_an_interval_of_its_own_is_settled_piece_by_piece() -> None:
    quarterly = agree(use("quarter"))
    assert pieces(quarterly, 2) == [("use", "2026-02-01", "2026-03-01", False)]
    assert pieces(quarterly, 3) == [("use", "2026-03-01", "2026-04-01", True)]
    [march] = quarterly.terms(month(3)).segments
    assert (march.stretch, march.adds_up) == (Period(month(1).starts_at, month(3).ends_at), True)


def test_use_that_cannot_be_added_up_is_settled_where_its_interval_ends() -> None:
    quarterly = agree(use("quarter", adds_up=False))
    assert [pieces(quarterly, number) for number in (1, 2, 3)] == [[], [], [("use", "2026-01-01", "2026-04-01", True)]]


def test_a_monthly_price_in_a_yearly_plan_is_settled_month_by_month() -> None:
    yearly = replace(agree(fee("month", in_advance=False)), interval=Interval("year"))
    year = Period(month(1).starts_at, month(12).ends_at)
    segments = yearly.terms(year).segments
    assert len(segments) == 12
    assert segments[1].service == month(2) and segments[1].whole == month(2)


def test_a_trial_cuts_the_line_and_survives_a_move_to_another_version() -> None:
    free = agree(use(), line={"trial_days": 14})
    assert [piece[1:3] for piece in pieces(free, 1)] == [("2026-01-01", "2026-01-15"), ("2026-01-15", "2026-02-01")]
    assert [segment.is_trial for segment in free.terms(month(1)).segments] == [True, False]
    [line] = free.lines
    moved = (
        replace(line, days=Days(START, day("2026-01-06"))),
        replace(line, version=2, trial_days=0, days=Days(day("2026-01-06"))),
    )
    assert [segment.is_trial for segment in replace(free, lines=moved).terms(month(1)).segments] == [True, True, False]


def test_an_override_holds_on_its_days_and_keeps_what_it_does_not_name() -> None:
    cheaper = OverrideTerms("pro", "use", {"unit_amount": "0.5", "minimum_amount": "3"}, Days(day("2026-01-16")))
    before, after = agree(use(), overrides=(cheaper,)).terms(month(1)).segments
    assert before.price.rule.model == PerUnit(Decimal(1)) and before.price.rule.minimum_amount is None
    assert after.price.rule.model == PerUnit(Decimal("0.5")) and after.price.rule.minimum_amount == 3
    assert local_date(after.service.starts_at, UTC) == day("2026-01-16")


def test_an_override_with_another_model_reads_what_that_needs() -> None:
    model = {"model": "percentage", "rate_percent": "1", "fixed_amount": "0.10"}
    [segment] = agree(use(), overrides=(OverrideTerms("pro", "use", model, Days(START)),)).terms(month(1)).segments
    assert segment.price.selection.by_event


def test_a_line_that_would_begin_after_the_contract_has_ended_says_nothing() -> None:
    late = agree(use(), line={"days": Days(day("2026-03-01"))})
    assert pieces(replace(late, days=Days(START, day("2026-02-11"))), 2) == []


def commitment(interval: Any, start: str = "2026-01-01", until: str | None = None) -> CommitmentTerms:
    days = Days(day(start), day(until) if until else None)
    return CommitmentTerms("min", "minimum", Decimal(100), interval, frozenset(), days)


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        (None, [("2026-02-01", "2026-03-01", True, True, True)]),
        (Interval("month"), [("2026-02-01", "2026-03-01", True, True, True)]),
        (Interval("quarter"), [("2026-01-01", "2026-04-01", False, False, True)]),
        (Interval("year"), [("2026-01-01", "2027-01-01", False, False, True)]),
    ],
)
def test_a_commitment_is_counted_in_its_interval(interval: Any, expected: list[Any]) -> None:
    assert stretches(agree(commitments=(commitment(interval),)), 2) == expected


def test_where_two_stretches_meet_in_a_period_the_later_one_counts_it() -> None:
    # a commitment that begins in mid-February has its first quarter to the end of March
    late = agree(commitments=(commitment(Interval("quarter"), "2026-02-15"),))
    assert stretches(late, 1) == []
    assert stretches(late, 2) == [("2026-02-15", "2026-04-01", True, False, True)]
    assert stretches(late, 3) == [("2026-02-15", "2026-04-01", False, True, True)]
    # weeks do not fit into months: the week that runs on counts the month's end
    weekly = replace(agree(commitments=(commitment(Interval("month")),)), interval=Interval("week"))
    week = Period(dt.datetime(2026, 1, 29, tzinfo=dt.UTC), dt.datetime(2026, 2, 5, tzinfo=dt.UTC))
    found = weekly.terms(week).commitments
    assert [(one.is_last, one.counts) for one in found] == [(True, False), (False, True)]


def test_the_whole_term_is_one_stretch() -> None:
    agreement = replace(agree(commitments=(commitment("term"),)), days=Days(START, day("2026-07-01")))
    assert stretches(agreement, 2) == [("2026-01-01", "2026-07-01", False, False, True)]
    assert stretches(agreement, 6) == [("2026-01-01", "2026-07-01", False, True, True)]


def test_days_are_those_of_the_contracts_zone_also_where_the_clock_changes() -> None:
    berlin = agree(use(), commitments=(commitment(Interval("quarter")),), zone=BERLIN)
    [segment] = berlin.terms(month(3, BERLIN)).segments
    assert segment.service.seconds == (31 * 24 - 1) * 3600
    assert stretches(berlin, 3) == [("2026-01-01", "2026-04-01", False, True, True)]


def stretches(agreement: Agreement, number: int) -> list[tuple[str, str, bool, bool, bool]]:
    """(first day, day after the last, begins, is last, counts) of a month's commitments."""
    found = agreement.terms(month(number, agreement.zone)).commitments
    return [
        (
            local_date(one.days.starts_at, agreement.zone).isoformat(),
            local_date(one.days.ends_at, agreement.zone).isoformat(),
            one.begins,
            one.is_last,
            one.counts,
        )
        for one in found
    ]
