"""Amendments from a day on, worked out on the terms alone: before the day everything stays as it was."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from catalog.models import Plan, PlanVersion
from contracts import amendments
from contracts.drafts import CommitmentDraft, DiscountDraft, LineDraft, OverrideDraft, TermsDraft

JANUARY, MARCH, JUNE, SEPTEMBER = (dt.date(2026, month, 1) for month in (1, 3, 6, 9))
PRO = PlanVersion(pk=1, plan=Plan(pk=1, key="pro"), number=1)
MAX = PlanVersion(pk=2, plan=Plan(pk=2, key="max"), number=3)
LINE = LineDraft(PRO, JANUARY, key="pro")


def lines(terms: TermsDraft) -> list[tuple[str, dt.date, dt.date | None, int]]:
    return [(one.key, one.starts_on, one.ends_on, int(one.quantity)) for one in terms.lines]


def test_a_quantity_changes_from_a_day_on_also_on_later_lines() -> None:
    other = LineDraft(MAX, JANUARY, key="max")
    terms = TermsDraft((LineDraft(PRO, JANUARY, JUNE, key="pro"), LineDraft(PRO, JUNE, key="pro"), other))
    assert lines(amendments.change_quantity(terms, "pro", Decimal(5), MARCH)) == [
        ("pro", JANUARY, MARCH, 1),
        ("pro", MARCH, JUNE, 5),
        ("pro", JUNE, None, 5),
        ("max", JANUARY, None, 1),
    ]
    assert lines(amendments.change_quantity(TermsDraft((LINE,)), "pro", Decimal(5), JANUARY)) == [
        ("pro", JANUARY, None, 5)
    ]


def test_a_line_is_added_and_taken_off() -> None:
    both = amendments.add_line(TermsDraft((LINE,)), LineDraft(MAX, MARCH, key="max"))
    assert lines(both) == [("pro", JANUARY, None, 1), ("max", MARCH, None, 1)]
    assert lines(amendments.remove_line(both, "pro", JUNE)) == [("pro", JANUARY, JUNE, 1), ("max", MARCH, None, 1)]
    assert lines(amendments.remove_line(both, "max", MARCH)) == [("pro", JANUARY, None, 1)]
    ended = TermsDraft((LineDraft(PRO, JANUARY, MARCH, key="pro"),))
    assert amendments.remove_line(ended, "pro", JUNE) == ended


def test_a_line_moves_to_another_plan_for_the_rest_of_its_days() -> None:
    terms = TermsDraft((LineDraft(PRO, JANUARY, SEPTEMBER, Decimal(3), "pro"),))
    moved = amendments.move_line(terms, "pro", MAX, MARCH)
    assert lines(moved) == [("pro", JANUARY, MARCH, 3), ("max", MARCH, SEPTEMBER, 3)]
    assert amendments.move_line(terms, "pro", MAX, MARCH, "main").lines[1].key == "main"
    assert lines(amendments.move_line(terms, "pro", MAX, SEPTEMBER)) == [("pro", JANUARY, SEPTEMBER, 3)]


def test_discounts_and_commitments_begin_and_end() -> None:
    discount = DiscountDraft("percent", Decimal(10), JANUARY, key="a")
    later = DiscountDraft("percent", Decimal(10), JUNE, key="b")
    terms = amendments.add_discount(amendments.add_discount(TermsDraft((LINE,)), discount), later)
    ended = amendments.end_discount(amendments.end_discount(terms, "a", MARCH), "b", MARCH)
    assert [(one.key, one.starts_on, one.ends_on) for one in ended.discounts] == [("a", JANUARY, MARCH)]
    commitment = CommitmentDraft("minimum", JANUARY, SEPTEMBER, amount=Decimal(10), key="least")
    terms = amendments.add_commitment(TermsDraft((LINE,)), commitment)
    assert amendments.end_commitment(terms, "least", JUNE).commitments[0].ends_on == JUNE
    assert amendments.end_commitment(terms, "other", JUNE) == terms


def override(starts_on: dt.date, ends_on: dt.date | None, **terms: Any) -> OverrideDraft:
    return OverrideDraft("pro", "base", terms or {"flat_amount": "1"}, starts_on, ends_on)


def test_an_override_takes_the_place_of_others_on_its_days() -> None:
    seats = OverrideDraft("pro", "seats", {"unit_amount": "1"}, JANUARY)
    terms = TermsDraft((LINE,), overrides=(override(JANUARY, None), seats))
    new = amendments.override_price(terms, "pro", "base", {"flat_amount": "2"}, MARCH, JUNE)
    assert new.overrides == (
        override(JANUARY, MARCH), override(JUNE, None), seats, override(MARCH, JUNE, flat_amount="2"),
    )  # fmt: skip
    whole = amendments.override_price(new, "pro", "base", {"flat_amount": "3"}, JANUARY, None)
    assert whole.overrides == (seats, override(JANUARY, None, flat_amount="3"))
    assert amendments.end_override(whole, "pro", "base", MARCH).overrides[1].ends_on == MARCH
    assert amendments.end_override(whole, "pro", "base", JANUARY).overrides == (seats,)
