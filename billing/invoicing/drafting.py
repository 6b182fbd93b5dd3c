"""Which documents a contract is due, as values. Pure: the ledger of what is known comes in, drafts go out.

A run works through the periods that have ended; each gives one document with what is due in arrears for it, in advance
for the next, and (the first document only) what changed in periods closed before. A contract's first period in advance
has a document of its own, and where the seller settles at once, so has what changed of what was billed in advance.
Where no later document will come, adjustments get one.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Literal

from billing.rating.balance import Due, balance, settle
from billing.rating.claims import Claim, RateKey
from billing.rating.entries import Entry, Measure, Need, needs
from billing.rating.reductions import Carried
from billing.rating.statement import NOTHING, Statement, advance, statement
from catalog.money import ZERO, exact_sum
from catalog.periods import Period
from contracts.agreement import Agreement
from contracts.tax_terms import TaxTerms

PurposeName = Literal["close", "advance", "adjustment"]


@dataclass(frozen=True, slots=True)
class PeriodDue:
    """A line to be, and the billing period its entry belongs to."""

    period: Period
    due: Due


@dataclass(frozen=True, slots=True)
class TaxSum:
    code: str
    percent: Decimal
    base: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Draft:
    """A document to be."""

    purpose: PurposeName
    period: Period
    currency: str
    lines: tuple[PeriodDue, ...]

    @property
    def subtotal(self) -> Decimal:
        return exact_sum(line.due.amount for line in self.lines)

    @property
    def tax(self) -> tuple[TaxSum, ...]:
        """Tax per rate, in the order the rates appear. Lines under no rate are left out."""
        sums: dict[RateKey, tuple[Decimal, Decimal]] = {}
        for tax in (tax for line in self.lines for tax in line.due.taxes):
            base, amount = sums.get(tax.key, (ZERO, ZERO))
            sums[tax.key] = (base + tax.base, amount + tax.amount)
        return tuple(TaxSum(*key, *both) for key, both in sums.items())

    @property
    def total(self) -> Decimal:
        return self.subtotal + exact_sum(line.due.tax for line in self.lines)


@dataclass(frozen=True, slots=True)
class Closed:
    """A closed period: what it was taxed with then, and whether something changed since it was last rated."""

    tax: TaxTerms
    stale: bool
    closing: Carried = field(default_factory=dict)
    """What it leaves to the next period, as it was last rated."""


@dataclass
class Ledger:
    """What is known of one contract: which periods are closed, what documents claim, what was used."""

    closed: dict[Period, Closed] = field(default_factory=dict)
    """The latest closed period, every stale one, with those after and the one before the first of them; all where a
    period is open again."""
    reopened: frozenset[Period] = frozenset()
    claims: dict[dt.datetime, dict[str, Claim]] = field(default_factory=dict)
    usage: dict[Need, Measure] = field(default_factory=dict)
    clock: int = 0
    closings: dict[Period, Carried] = field(default_factory=dict)
    """What periods that were rated anew leave to those after them."""

    def is_closed(self, period: Period) -> bool:
        return any(closed.starts_at == period.starts_at for closed in self.closed)

    def opening(self, period: Period) -> Carried:
        """What the period before left to this one."""
        known = {one: closed.closing for one, closed in self.closed.items() if not closed.stale} | self.closings
        before = max((one for one in known if one.starts_at < period.starts_at), default=None)
        return known[before] if before is not None else NOTHING

    def state(self, agreement: Agreement, period: Period, tax: TaxTerms | None = None) -> Statement:
        """The statement of a whole period, remembered for those after it."""
        found = statement(agreement.terms(period, tax), self.usage, self.opening(period))
        self.closings[period] = found.closing
        return found

    def spread_staleness(self) -> None:
        """Rate everything again after the first period that changed, or is open again: it carries over."""
        changed = (period for period, closed in self.closed.items() if closed.stale)
        first = min((*changed, *self.reopened), default=None)
        if first is not None:
            self.closed = {
                period: replace(closed, stale=closed.stale or period > first) for period, closed in self.closed.items()
            }

    def claims_on(self, period: Period) -> dict[str, Claim]:
        return self.claims.get(period.starts_at, {})

    def has_billed(self, period: Period) -> bool:
        return any(claim.quantity or claim.amount for claim in self.claims_on(period).values())

    def is_ahead_of(self, period: Period) -> bool:
        """Whether what is in advance for the period had its document, even if there was nothing to put on it."""
        return self.has_billed(period) or any(closed.ends_at == period.starts_at for closed in self.closed)

    def claim(self, lines: Sequence[PeriodDue]) -> None:
        """Take these lines as claimed."""
        for period in {line.period for line in lines}:
            dues = [line.due for line in lines if line.period == period]
            self.claims[period.starts_at] = settle(self.claims_on(period), dues)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run does to one contract: documents, periods closed, stale periods now level or on a document.

    `waiting` are those whose difference no document took yet; `closings` is what each period leaves to the next.
    """

    drafts: tuple[Draft, ...]
    closes: tuple[tuple[Period, Draft | None], ...]
    rerated: tuple[Period, ...]
    waiting: tuple[Period, ...] = ()
    closings: Mapping[Period, Carried] = field(default_factory=dict)


def due_periods(agreement: Agreement, ledger: Ledger, at: dt.datetime) -> list[Period]:
    """Periods to close at an instant: past their end and the tolerance window, and not closed. Oldest first."""
    found = sorted(ledger.reopened)
    for period in open_periods(agreement, ledger):
        if period.ends_at + agreement.tolerance > at:
            break
        found.append(period)
    return found


def open_periods(agreement: Agreement, ledger: Ledger) -> Iterator[Period]:
    """The periods after all that were ever closed, in order."""
    return agreement.periods_from(_closed_until(agreement, ledger))


def cut_off(agreement: Agreement, ledger: Ledger) -> Period | None:
    """The time after all that was ever closed, where the contract has come to end before it.

    What was billed for it in advance is no longer due, and no run will ever close it.
    """
    last = _closed_until(agreement, ledger)
    if agreement.ends_at is None or agreement.ends_at > last:
        return None
    return Period(last, agreement.calendar.period_at(last).ends_at)


def _closed_until(agreement: Agreement, ledger: Ledger) -> dt.datetime:
    return max((period.ends_at for period in (*ledger.closed, *ledger.reopened)), default=agreement.starts_at)


def relevant_periods(agreement: Agreement, ledger: Ledger, at: dt.datetime) -> list[Period]:
    """Every period whose claims a run, or a preview, at that instant reads."""
    rated = rated_periods(agreement, ledger, at)
    ahead = (agreement.following(period) for period in rated)
    also = (*ahead, cut_off(agreement, ledger))
    return sorted({*rated, *(period for period in also if period is not None)})


def rated_periods(agreement: Agreement, ledger: Ledger, at: dt.datetime) -> list[Period]:
    """Every period that a run, or a preview, at that instant rates whole, and so reads the use of."""
    first = next(open_periods(agreement, ledger), None)
    stale = (period for period, closed in ledger.closed.items() if closed.stale)
    return sorted({*due_periods(agreement, ledger, at), *stale, *([first] if first is not None else [])})


def usage_needs(agreement: Agreement, periods: Sequence[Period]) -> list[Need]:
    """What statements of these periods read."""
    return [need for period in periods for need in needs(agreement.terms(period))]


def draft_run(agreement: Agreement, ledger: Ledger, at: dt.datetime) -> Outcome:
    """All that a run at an instant makes for one contract. Takes what it drafts as claimed in `ledger`."""
    drafts: list[Draft] = []
    closes: list[tuple[Period, Draft | None]] = []
    ahead = _first_advance(agreement, ledger, at)
    if ahead is not None:
        drafts.append(ahead)
        ledger.claim(ahead.lines)
    pending = _adjustments(agreement, ledger)
    changed = _changed_advance(agreement, ledger, at, pending)
    if changed is not None:
        drafts.append(changed)
        ledger.claim(changed.lines)
        pending = ()
    on_paper = False
    for period in due_periods(agreement, ledger, at):
        draft = _close(agreement, ledger, period, () if on_paper else pending)
        on_paper = True
        if draft is not None:
            drafts.append(draft)
            ledger.claim(draft.lines)
        closes.append((period, draft))
    ended = agreement.ends_at is not None and agreement.ends_at <= at
    if pending and not on_paper and ended and next(open_periods(agreement, ledger), None) is None:
        period = max(line.period for line in pending)
        drafts.append(Draft("adjustment", period, agreement.currency, pending))
        ledger.claim(pending)
        on_paper = True
    waiting = set() if on_paper else {line.period for line in pending}
    stale = (period for period, closed in ledger.closed.items() if closed.stale)
    rerated = tuple(period for period in stale if period not in waiting)
    return Outcome(tuple(drafts), tuple(closes), rerated, tuple(waiting & ledger.closed.keys()), ledger.closings)


def draft_preview(agreement: Agreement, ledger: Ledger, at: dt.datetime) -> Draft | None:
    """The next document as it stands: the oldest period not closed, with its use so far. None where none will come."""
    pending = _adjustments(agreement, ledger)
    waiting = sorted(ledger.reopened) or [period for period in [next(open_periods(agreement, ledger), None)] if period]
    if not waiting:
        if not pending:
            return None
        return Draft("adjustment", max(line.period for line in pending), agreement.currency, pending)
    if waiting[0].starts_at > at:
        return None
    draft = _close(agreement, ledger, waiting[0], pending)
    return draft or Draft("close", waiting[0], agreement.currency, ())


def _close(agreement: Agreement, ledger: Ledger, period: Period, pending: Sequence[PeriodDue]) -> Draft | None:
    """The document that closes a period, or None where nothing is on it."""
    arrears = _arrears(agreement, ledger, period)
    lines = [*arrears, *_advance(agreement, ledger, agreement.following(period)), *pending]
    return Draft("close", period, agreement.currency, tuple(lines)) if lines else None


def _arrears(agreement: Agreement, ledger: Ledger, period: Period) -> list[PeriodDue]:
    entries = ledger.state(agreement, period).entries
    dues = balance(entries, ledger.claims_on(period), agreement.tax_in(period), agreement.currency, closed=False)
    return [PeriodDue(period, due) for due in dues]


def _advance(agreement: Agreement, ledger: Ledger, period: Period | None) -> list[PeriodDue]:
    """What is billed of a period before it is over; nothing of one that is closed, or that a close bills whole."""
    if period is None or ledger.is_closed(period) or period in ledger.reopened:
        return []
    terms = agreement.terms(period)
    entries = advance(terms, ledger.opening(period)).entries
    dues = balance(entries, ledger.claims_on(period), terms.tax, agreement.currency, closed=False)
    return [PeriodDue(period, due) for due in dues]


def _first_advance(agreement: Agreement, ledger: Ledger, at: dt.datetime) -> Draft | None:
    """What is in advance for the contract's first period, once it has begun and until it is on a document."""
    first = agreement.first_period()
    if first.starts_at > at or ledger.closed or first in ledger.reopened or ledger.has_billed(first):
        return None
    lines = _advance(agreement, ledger, first)
    return Draft("advance", first, agreement.currency, tuple(lines)) if lines else None


def _changed_advance(
    agreement: Agreement, ledger: Ledger, at: dt.datetime, pending: Sequence[PeriodDue]
) -> Draft | None:
    """What changed of what was billed in advance, where the seller settles that at once, with all that is pending.

    A price with an interval of its own may have been billed with a period that is closed by now.
    """
    if not agreement.settles_at_once or at < agreement.starts_at:
        return None
    running = next((period for period in open_periods(agreement, ledger) if period.ends_at > at), None)
    if running is None:
        return None
    lines = _advance(agreement, ledger, running) if ledger.is_ahead_of(running) else []
    if not lines and not any(_was_ahead(line.due.entry) for line in pending):
        return None
    return Draft("advance", running, agreement.currency, (*lines, *pending))


def _was_ahead(entry: Entry) -> bool:
    return entry.in_advance and entry.kind in ("recurring", "one_time")


def _adjustments(agreement: Agreement, ledger: Ledger) -> tuple[PeriodDue, ...]:
    """What changed in closed periods, at the rates of tax each was closed with, and what an end has cut off."""
    lines: list[PeriodDue] = []
    for period in sorted({*ledger.closed, *ledger.reopened}):
        closed = ledger.closed.get(period)
        if closed is None:
            ledger.state(agreement, period)  # it is billed by its own close, and carries over to those after it
        elif closed.stale:
            entries = ledger.state(agreement, period, closed.tax).entries
            dues = balance(entries, ledger.claims_on(period), closed.tax, agreement.currency, closed=True)
            lines += [PeriodDue(period, due) for due in dues]
    gone = cut_off(agreement, ledger)
    if gone is not None:
        dues = balance((), ledger.claims_on(gone), agreement.tax_in(gone), agreement.currency, closed=True)
        lines += [PeriodDue(gone, due) for due in dues]
    return tuple(lines)
