"""Check 5: every closed period is billed as it is due, or waits for a bill run that will see to it."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from decimal import Decimal

from billing.rating.balance import Due
from billing.rating.claims import Tax, Taxes
from catalog.money import ZERO, exact_sum, quantity_text
from catalog.periods import local_date
from contracts.agreement import Agreement
from revops.reconciliation.accounts import AMENDED, Account, Rated
from revops.reconciliation.report import Check, Pending, money
from revops.reconciliation.snapshot import stream

_CLOSES_NOTHING = """
    SELECT coalesce(invoice.number, 'draft ' || invoice.id), contract.number, invoice.period_start
    FROM billing_invoice invoice JOIN contracts_contract contract ON contract.id = invoice.contract_id
    WHERE invoice.purpose = 'close' AND invoice.status <> 'voided' AND NOT EXISTS (
        SELECT 1 FROM billing_periodclose closed
        WHERE closed.contract_id = invoice.contract_id AND closed.starts_at = invoice.period_starts_at
          AND closed.invoice_id = invoice.id AND closed.reopened_at IS NULL
    )
    ORDER BY invoice.id
"""

_CLOSED_BY_A_VOIDED = """
    SELECT invoice.number, contract.number, invoice.period_start
    FROM billing_periodclose closed JOIN billing_invoice invoice ON invoice.id = closed.invoice_id
    JOIN contracts_contract contract ON contract.id = closed.contract_id
    WHERE closed.reopened_at IS NULL AND invoice.status = 'voided'
"""


class SettledProof:
    """The check while accounts go by."""

    def __init__(self) -> None:
        self.check = Check(5, "closed periods")
        self.closed = 0
        self.waiting = 0
        self.open_money: dict[str, Decimal] = defaultdict(Decimal)

    def add(self, account: Account) -> None:
        agreement = account.agreement
        if account.fault or agreement is None:
            where = {"contract": account.contract.number}
            self.check.leak("a contract cannot be rated", where, "a statement", account.fault)
            return
        self._contiguous(account, agreement)
        for rated in account.rated:
            self.closed += 1
            if rated.closed.waits:
                self.waiting += 1
                amount = exact_sum(due.amount for due in rated.dues)
                if amount:
                    self._wait(agreement, rated.closed.period.starts_at, amount, rated.closed.waits)
            else:
                self._level(account, agreement, rated)
        for overdue in account.overdue:
            amount = exact_sum(due.amount for due in overdue.dues)
            self._wait(agreement, overdue.period.starts_at, amount, overdue.waits)
        self._covered(account, agreement)

    def finish(self) -> Check:
        for document, contract, period_start in stream(_CLOSES_NOTHING):
            where = {"document": document, "contract": contract, "period_start": period_start.isoformat()}
            self.check.leak("a document closes a period that is not closed", where, "a closed period", "none")
        for document, contract, period_start in stream(_CLOSED_BY_A_VOIDED):
            where = {"document": document, "contract": contract, "period_start": period_start.isoformat()}
            self.check.leak("a period is closed by a voided document", where, "opened again", "closed")
        pending = {currency: money(amount, currency) for currency, amount in sorted(self.open_money.items())}
        self.check.figures = {
            "closed": self.closed,
            "level": self.closed - self.waiting,
            "changed_since": self.waiting,
            "pending": pending,
        }
        said = ", ".join(f"{amount} {currency}" for currency, amount in pending.items()) or "nothing"
        self.check.sentence = (
            f"{self.closed:,} closed = {self.closed - self.waiting:,} billed as due + {self.waiting:,} changed since;"
            f" {said} pending"
        )
        return self.check

    def _level(self, account: Account, agreement: Agreement, rated: Rated) -> None:
        """Nothing may be due that is not claimed, in money and tax. Quantities of use are check 4's."""
        period = rated.closed.period
        claims = account.claims[period.starts_at]
        for due in rated.dues:
            where = {
                "contract": agreement.number,
                "period_start": _day(agreement, period.starts_at),
                "key": due.entry.key,
            }
            claim = claims.get(due.entry.key)
            billed = claim.amount if claim else ZERO
            if due.amount:
                expected, found = (money(one, agreement.currency) for one in (billed + due.amount, billed))
                self.check.leak("due is not billed", where, expected, found)
            elif any(tax.amount or tax.base for tax in due.taxes):
                self._taxed(agreement, where, due, claim.taxes if claim else {})
            elif due.quantity and due.entry.kind != "usage":
                quantity = claim.quantity if claim else ZERO
                self.check.leak("a quantity is not billed", where, quantity + due.quantity, quantity)

    def _taxed(self, agreement: Agreement, where: dict[str, str], due: Due, claimed: Taxes) -> None:
        """The tax of every rate, and what it is on."""
        for tax in due.taxes:
            if not (tax.amount or tax.base):
                continue
            before = claimed.get(tax.key, Tax(*tax.key, ZERO, ZERO))
            both = (before.base + tax.base, before.amount + tax.amount), (before.base, before.amount)
            expected, found = (
                f"{money(amount, agreement.currency)} on {money(base, agreement.currency)}" for base, amount in both
            )
            rate = {"rate": tax.code, "percent": quantity_text(tax.percent)}
            self.check.leak("tax due is not billed", {**where, **rate}, expected, found)

    def _wait(self, agreement: Agreement, starts_at: dt.datetime, amount: Decimal, why: str) -> None:
        self.open_money[agreement.currency] += amount
        text = money(amount, agreement.currency)
        pending = Pending(agreement.number, _day(agreement, starts_at), text, agreement.currency, why)
        self.check.pending.append(pending)

    def _covered(self, account: Account, agreement: Agreement) -> None:
        """What is claimed of a time is claimed of a period that is closed, or will be."""
        known = {one.period.starts_at for one in account.closed} | {one.starts_at for one in account.reopened}
        last = max((one.period.ends_at for one in account.closed), default=agreement.starts_at)
        for starts_at, claims in sorted(account.claims.items()):
            if starts_at in known or _will_be_closed(agreement, starts_at, last):
                continue
            amount = exact_sum(claim.amount for claim in claims.values())
            if account.amended:
                if amount:
                    self._wait(agreement, starts_at, -amount, AMENDED)
                continue
            for key, claim in sorted(claims.items()):
                if claim.amount or claim.quantity:
                    where = {"contract": agreement.number, "period_start": _day(agreement, starts_at), "key": key}
                    expected, found = (money(one, agreement.currency) for one in (ZERO, claim.amount))
                    self.check.leak("billed for a time that no period covers", where, expected, found)

    def _contiguous(self, account: Account, agreement: Agreement) -> None:
        """From the contract's start to the last closed period each instant is in one period, closed or opened again."""
        expected = agreement.starts_at
        for period in sorted({*(one.period for one in account.closed), *account.reopened}):
            if period.starts_at != expected:
                where = {"contract": agreement.number, "before": _day(agreement, period.starts_at)}
                what = "a period was never closed" if period.starts_at > expected else "a time is in two closed periods"
                self.check.leak(what, where, expected.isoformat(), period.starts_at.isoformat())
            expected = period.ends_at


def _day(agreement: Agreement, instant: dt.datetime) -> str:
    return local_date(instant, agreement.zone).isoformat()


def _will_be_closed(agreement: Agreement, starts_at: dt.datetime, last: dt.datetime) -> bool:
    """Whether a period of the contract begins at an instant after those that are closed."""
    if starts_at < last or (agreement.ends_at is not None and starts_at >= agreement.ends_at):
        return False
    return agreement.period_at(starts_at).starts_at == starts_at
