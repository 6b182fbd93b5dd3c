"""A whole invoice: lines, then their discounts, those of the invoice, tax, and what credits pay of the rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from billing.rating.credits import Credit, Payable, pay_document
from billing.rating.discounts import DiscountableLine, LineDiscount, Spread, apply_discounts
from billing.rating.taxes import RoundPer, TaxableLine, tax_lines
from catalog.money import ZERO, Rounding, exact_arithmetic, exact_sum


@dataclass(frozen=True, slots=True)
class TotalledLine:
    """A line before discounts, with its tax rates in percent; `kind` is what a credit may be limited to."""

    id: str
    amount: Decimal
    rates: tuple[Decimal, ...] = ()
    kind: str | None = None


@dataclass(frozen=True, slots=True)
class TotalledCredit:
    """A credit that pays what is due, or at most the net of the lines of some kinds."""

    amount: Decimal
    kinds: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Totals:
    """subtotal - discount_total + tax_total - credits_applied = total, the amount to pay."""

    subtotal: Decimal
    discount_total: Decimal
    line_taxes: tuple[Decimal, ...]
    tax_total: Decimal
    credits: tuple[Decimal, ...]  # what each pays, in their order
    total: Decimal

    @property
    def credits_applied(self) -> Decimal:
        return exact_sum(self.credits)


def totals(
    lines: Sequence[TotalledLine],
    discounts: Sequence[LineDiscount],
    credits: Sequence[TotalledCredit],
    rounding: Rounding | None,
    *,
    spread: Spread = "largest_remainder",
    share_rounding: Rounding | None = None,
    tax_round_per: RoundPer = "line",
) -> Totals:
    """The sums of an invoice; discounts come in their order, those of single lines before those of the invoice."""
    discounted = apply_discounts(
        [DiscountableLine(line.id, line.amount) for line in lines],
        discounts,
        rounding,
        spread=spread,
        share_rounding=share_rounding,
    )
    taxed = tax_lines(
        [TaxableLine(line.amount, line.rates, off) for line, off in zip(lines, discounted.line_discounts, strict=True)],
        rounding,
        round_per=tax_round_per,
    )
    subtotal = exact_sum(line.amount for line in lines)
    with exact_arithmetic():
        due = subtotal - discounted.total + taxed.tax_total
        paid = _paid(lines, discounted.line_nets, credits, due)
        return Totals(subtotal, discounted.total, taxed.line_taxes, taxed.tax_total, paid, due - exact_sum(paid))


def _paid(
    lines: Sequence[TotalledLine], nets: Sequence[Decimal], credits: Sequence[TotalledCredit], due: Decimal
) -> tuple[Decimal, ...]:
    parts = [Payable(line.kind or "", net) for line, net in zip(lines, nets, strict=True)]
    return pay_document(due, parts, [Credit("", credit.amount, credit.kinds) for credit in credits])


@dataclass(frozen=True, slots=True)
class Balance:
    """What a document comes to: an invoice to pay, or credit for the account. One of them is zero."""

    invoice: Decimal
    credit: Decimal


def balance_of(amounts: Iterable[Decimal]) -> Balance:
    """New items and negative ones that repair old items; below zero the rest becomes credit."""
    total = exact_sum(amounts)
    return Balance(max(ZERO, total), max(ZERO, total.copy_negate()))
