"""What an amendment does to the terms of a contract: one thing from a day on, all else as it is.

Each function takes the terms in force and answers those there are to be; `lifecycle.amend_by` stores them. Before the
day everything stays as it was agreed; a day in the past is adjusted on the contract's next invoice.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, TypeVar

from catalog.models import PlanVersion
from contracts.drafts import CommitmentDraft, DiscountDraft, LineDraft, OverrideDraft, TermsDraft

Dated = TypeVar("Dated", DiscountDraft, CommitmentDraft, OverrideDraft, LineDraft)


def add_discount(terms: TermsDraft, discount: DiscountDraft) -> TermsDraft:
    return replace(terms, discounts=(*terms.discounts, discount))


def end_discount(terms: TermsDraft, key: str, on: dt.date) -> TermsDraft:
    return replace(terms, discounts=_ended(terms.discounts, on, lambda one: one.key == key))


def add_commitment(terms: TermsDraft, commitment: CommitmentDraft) -> TermsDraft:
    return replace(terms, commitments=(*terms.commitments, commitment))


def end_commitment(terms: TermsDraft, key: str, on: dt.date) -> TermsDraft:
    return replace(terms, commitments=_ended(terms.commitments, on, lambda one: one.key == key))


def change_quantity(terms: TermsDraft, key: str, quantity: Decimal, on: dt.date) -> TermsDraft:
    """From the day on, also on lines of that key which begin later."""
    before = _ended(terms.lines, on, lambda line: line.line_key == key)
    after = (replace(line, quantity=quantity) for line in _from(terms.lines, on) if line.line_key == key)
    return replace(terms, lines=_in_order(terms.lines, (*before, *after)))


def add_line(terms: TermsDraft, line: LineDraft) -> TermsDraft:
    return replace(terms, lines=(*terms.lines, line))


def remove_line(terms: TermsDraft, key: str, on: dt.date) -> TermsDraft:
    return replace(terms, lines=_ended(terms.lines, on, lambda line: line.line_key == key))


def move_line(terms: TermsDraft, key: str, version: PlanVersion, on: dt.date, new_key: str = "") -> TermsDraft:
    """Another plan in place of a line's, for the rest of its days and as many of it."""
    moved = [line for line in _from(terms.lines, on) if line.line_key == key]
    rest = remove_line(terms, key, on)
    if not moved:
        return rest
    first, last = min(moved, key=_begins), max(moved, key=_begins)
    line = LineDraft(version, first.starts_on, last.ends_on, first.quantity, new_key or version.plan.key)
    return replace(rest, lines=(*rest.lines, line))


def override_price(
    terms: TermsDraft, line: str, price: str, changes: Mapping[str, Any], on: dt.date, until: dt.date | None
) -> TermsDraft:
    """Other numbers for a price of a line over some days, in place of any other override it has then."""
    new = OverrideDraft(line, price, changes, on, until)
    kept = [one for other in terms.overrides for one in (_without(other, on, until) if _same(other, new) else (other,))]
    return replace(terms, overrides=(*kept, new))


def end_override(terms: TermsDraft, line: str, price: str, on: dt.date) -> TermsDraft:
    """From the day on the price is as its plan version says."""
    return replace(terms, overrides=_ended(terms.overrides, on, lambda one: (one.line, one.price) == (line, price)))


def _same(one: OverrideDraft, other: OverrideDraft) -> bool:
    return (one.line, one.price) == (other.line, other.price)


def _without(one: OverrideDraft, on: dt.date, until: dt.date | None) -> Sequence[OverrideDraft]:
    """What is left of an override outside of some days."""
    left = []
    if one.starts_on < on:
        left.append(replace(one, ends_on=on if one.ends_on is None else min(one.ends_on, on)))
    if until is not None and (one.ends_on is None or one.ends_on > until):
        left.append(replace(one, starts_on=max(one.starts_on, until)))
    return left


def _ended(terms: Sequence[Dated], on: dt.date, meant: Any) -> tuple[Dated, ...]:
    """The terms with those that are meant ending on a day; what would begin then or later never does."""
    kept = []
    for one in terms:
        if not meant(one):
            kept.append(one)
        elif one.starts_on < on:
            kept.append(one if one.ends_on is not None and one.ends_on <= on else replace(one, ends_on=on))
    return tuple(kept)


def _from(lines: Sequence[LineDraft], on: dt.date) -> Sequence[LineDraft]:
    """The rest of the lines from a day on."""
    running = (line for line in lines if line.ends_on is None or line.ends_on > on)
    return [replace(line, starts_on=max(line.starts_on, on)) for line in running]


def _in_order(before: Sequence[LineDraft], lines: Sequence[LineDraft]) -> tuple[LineDraft, ...]:
    """By the place that lines of their key had."""
    keys = [line.line_key for line in before]
    return tuple(sorted(lines, key=lambda line: (keys.index(line.line_key), line.starts_on)))


def _begins(line: LineDraft) -> dt.date:
    return line.starts_on
