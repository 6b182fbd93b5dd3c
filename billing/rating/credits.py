"""Credits: which one is drawn first, what each pays of what, and what is left of it.

A credit never pays more than it has, a line is never paid below zero, and what a line is below zero is not paid.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from billing.rating.discounts import spread_over
from catalog.money import ZERO, Rounding, exact_arithmetic, exact_sum
from catalog.periods import as_utc


@dataclass(frozen=True, slots=True)
class Grant:
    """What decides when a grant is drawn: the lower priority first, then what expires first."""

    id: str
    priority: int
    created_at: datetime
    expires_at: datetime | None = None


def drawing_order(grants: Iterable[Grant]) -> list[Grant]:
    """By priority, expiry (within the second; none last), creation, id."""
    return sorted(grants, key=_turn)


def _turn(grant: Grant) -> tuple[int, bool, datetime, datetime, str]:
    created_at = as_utc(grant.created_at)
    expires_at = created_at if grant.expires_at is None else as_utc(grant.expires_at).replace(microsecond=0)
    return grant.priority, grant.expires_at is None, expires_at, created_at, grant.id


def turn(priority: int, expires_on: date | None) -> tuple[int, bool, date]:
    """What the grants of a contract are sorted by; they stand in the order they were made."""
    return priority, expires_on is None, expires_on or date.max


@dataclass(frozen=True, slots=True)
class Payable:
    """A line, fee or document that credits may pay."""

    id: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Credit:
    """What a credit has, and the lines it may pay (None: all)."""

    id: str
    amount: Decimal
    lines: frozenset[str] | None = None

    def pays(self, line: Payable) -> bool:
        return self.lines is None or line.id in self.lines


@dataclass(frozen=True, slots=True)
class Paid:
    """What each credit paid of each line, in line order, and what is left on both sides."""

    by_line: tuple[Mapping[str, Decimal], ...]  # without the credits that paid nothing
    due: tuple[Decimal, ...]
    remaining: Mapping[str, Decimal]

    @property
    def drawn(self) -> dict[str, Decimal]:
        """What was drawn of each credit that paid anything."""
        return {
            id: exact_sum(line.get(id, ZERO) for line in self.by_line)
            for id in self.remaining
            if any(id in line for line in self.by_line)
        }

    @property
    def total(self) -> Decimal:
        return exact_sum(amount for line in self.by_line for amount in line.values())


def pay(lines: Sequence[Payable], credits: Sequence[Credit]) -> Paid:
    """Each credit in its order pays the lines it may pay, in theirs."""
    by_line: list[dict[str, Decimal]] = [{} for _ in lines]
    due = [line.amount for line in lines]
    remaining = {credit.id: credit.amount for credit in credits}
    with exact_arithmetic():
        for credit in credits:
            for place, line in enumerate(lines):
                paid = min(remaining[credit.id], due[place])
                if paid > 0 and credit.pays(line):
                    by_line[place][credit.id] = paid
                    due[place] -= paid
                    remaining[credit.id] -= paid
    return Paid(tuple(by_line), tuple(due), remaining)


def pay_document(due: Decimal, parts: Sequence[Payable], credits: Sequence[Credit]) -> tuple[Decimal, ...]:
    """What each credit, in its order, pays of what is due on a document, where `parts` are of some kinds (their ids).

    Limited credits share what lies on the parts they may pay; the others never take it from them. golden/README.md,
    invoices: credits up to what is due, or up to the net of the named lines.
    """
    left, paid = [part.amount for part in parts], []
    with exact_arithmetic():
        for credit in credits:
            own = [] if credit.lines is None else [place for place, part in enumerate(parts) if credit.pays(part)]
            room = due if credit.lines is None else min(due, exact_sum(left[place] for place in own))
            amount = max(ZERO, min(credit.amount, room))
            paid.append(amount)
            due -= amount
            for place in own:
                share = max(ZERO, min(amount, left[place]))
                left[place] -= share
                amount -= share
    return tuple(paid)


@dataclass(frozen=True, slots=True)
class DrawnNotes:
    """What each credit note paid of an invoice and what is left of it, and the part of each fee in what was paid."""

    applied: tuple[Decimal, ...]
    remaining: tuple[Decimal, ...]
    total_applied: Decimal
    fee_shares: tuple[Decimal, ...]


def draw_notes(
    total: Decimal, notes: Sequence[Decimal], fees: Sequence[Decimal], share_rounding: Rounding | None = None
) -> DrawnNotes:
    """Credit notes pay an invoice in their order; each fee bears its part in proportion."""
    credits = [Credit(str(place), amount) for place, amount in enumerate(notes)]
    paid = pay([Payable("", total)], credits)
    shares = [ZERO for _ in fees]
    if exact_sum(fees):
        shares = spread_over(fees, paid.total, None, spread="proportional", share_rounding=share_rounding)
    return DrawnNotes(
        tuple(paid.drawn.get(credit.id, ZERO) for credit in credits),
        tuple(paid.remaining[credit.id] for credit in credits),
        paid.total,
        tuple(shares),
    )


def progressive_credit(
    fees: Mapping[str, Decimal], previously_billed: Sequence[Mapping[str, Decimal]]
) -> dict[str, Decimal]:
    """What each fee was billed before, of invoices that are cumulative: the last one counts, up to the fee."""
    billed = previously_billed[-1] if previously_billed else {}
    return {id: max(ZERO, min(fee, billed.get(id, ZERO))) for id, fee in fees.items()}


@dataclass(frozen=True, slots=True)
class Rollover:
    """What goes over into the next period, and what that period starts with."""

    rolled_over: Decimal
    next_balance: Decimal


def roll_over(grant: Decimal, used: Decimal, max_rollover: Decimal | None = None) -> Rollover:
    """What is left of a grant, up to a maximum, on top of the next grant of the same size."""
    with exact_arithmetic():
        left = max(ZERO, grant - used)
        rolled_over = left if max_rollover is None else min(left, max_rollover)
        return Rollover(rolled_over, grant + rolled_over)
