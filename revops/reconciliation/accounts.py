"""Contracts as the books see them: every closed period rated again, beside what documents claim. Set-based.

Claims are read by a query of its own, not by that of the bill run, so that a fault in one shows against the other; the
rating is by the same pure functions.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from billing.invoicing.drafting import Closed, Ledger, due_periods, usage_needs
from billing.invoicing.ledgers import answers, asks_for, changed_since, claimed_taxes
from billing.metering.usage import Ask, Measured, measure
from billing.models import PeriodClose
from billing.rating.balance import Due, balance
from billing.rating.claims import Claim
from billing.rating.entries import Entry, Need, Usage
from billing.rating.statement import Statement, advance
from catalog.models import TaxBehavior
from catalog.money import ZERO
from catalog.periods import Period
from contracts.agreement import Agreement
from contracts.models import Contract
from contracts.queries import PriceBook, agreements, for_rating
from contracts.tax_terms import TaxTerms, tax_from_json
from revops.reconciliation.snapshot import ROWS, rows, stream

CHUNK = 200  # customers rated at a time

CARRIED = "an earlier period of its term changed, and carries over"
AMENDED = "its terms were amended since it was closed"

_CUSTOMERS = """
    SELECT customer_id FROM billing_usageclock
    UNION SELECT customer_id FROM contracts_contract WHERE status = 'approved'
    ORDER BY 1
"""

_CLAIMS = """
    SELECT DISTINCT ON (line.contract_id, line.period_starts_at, line.entry_key)
        line.contract_id, line.period_starts_at, line.entry_key,
        coalesce(sum(line.quantity) FILTER (WHERE invoice.status <> 'voided') OVER entry, 0),
        coalesce(sum(line.amount) FILTER (WHERE invoice.status <> 'voided') OVER entry, 0),
        jsonb_agg(line.taxes) FILTER (WHERE invoice.status <> 'voided') OVER entry,
        line.id, line.entry_kind, line.tax_key, line.price, line.meter, line.term, line.contract_line,
        line.description, line.service_starts_at, line.service_ends_at, line.tax_category, line.tax_behavior
    FROM billing_invoiceline line JOIN billing_invoice invoice ON invoice.id = line.invoice_id
    WHERE line.contract_id = ANY(%s)
    WINDOW entry AS (PARTITION BY line.contract_id, line.period_starts_at, line.entry_key)
    ORDER BY line.contract_id, line.period_starts_at, line.entry_key, line.id DESC
"""


@dataclass(frozen=True, slots=True)
class ClosedPeriod:
    """A closed period, and its tax terms then. `waits` says why a difference is pending; empty where none may be."""

    period: Period
    tax: TaxTerms
    waits: str


@dataclass(frozen=True, slots=True)
class Rated:
    """A closed period rated now: what is due for it, and what of that no standing document claims."""

    closed: ClosedPeriod
    entries: tuple[Entry, ...]
    dues: tuple[Due, ...]


@dataclass(frozen=True, slots=True)
class Overdue:
    """A period that the next run at the instant bills, what is due for it, and why it waits."""

    period: Period
    dues: tuple[Due, ...]
    waits: str


@dataclass
class Account:
    """A contract with its closed periods, and what standing documents claim of any period.

    `amended`: its terms changed since a period was last rated, so the next run looks again. `fault` says why it
    cannot be rated; then it has no agreement, or nothing was rated.
    """

    contract: Contract
    agreement: Agreement | None
    closed: list[ClosedPeriod] = field(default_factory=list)
    reopened: frozenset[Period] = frozenset()
    claims: dict[dt.datetime, dict[str, Claim]] = field(default_factory=lambda: defaultdict(dict))
    rated: list[Rated] = field(default_factory=list)
    overdue: list[Overdue] = field(default_factory=list)
    amended: bool = False
    fault: str = ""

    def ledger(self) -> Ledger:
        closed = {one.period: Closed(one.tax, stale=True) for one in self.closed}
        return Ledger(closed=closed, reopened=self.reopened)


def customer_ids() -> Iterator[list[int]]:
    """Every customer with use or an approved contract, some at a time."""
    some: list[int] = []
    for (customer_id,) in stream(_CUSTOMERS):
        some.append(customer_id)
        if len(some) == CHUNK:
            yield some
            some = []
    if some:
        yield some


def read_accounts(customers: Sequence[int], prices: PriceBook, at: dt.datetime) -> list[Account]:
    """The approved contracts of some customers, rated as of an instant."""
    ids = Contract.objects.approved().filter(customer__in=customers).values_list("pk", flat=True)
    contracts = for_rating(ids)
    read = agreements(contracts, prices)
    accounts = {contract.pk: Account(contract, None) for contract in contracts}
    for pk, found in read.items():
        if isinstance(found, Agreement):
            accounts[pk].agreement = found
        else:
            accounts[pk].fault = str(found)
    _read_closes(accounts, customers)
    _read_claims(accounts)
    _rate(list(accounts.values()), at)
    return list(accounts.values())


def _read_closes(accounts: dict[int, Account], customers: Sequence[int]) -> None:
    moved = set(changed_since(customers))
    standing = set()
    reopened = defaultdict(set)
    for row in PeriodClose.objects.filter(contract__in=accounts).order_by("contract_id", "starts_at"):
        account, period = accounts[row.contract_id], Period(row.starts_at, row.ends_at)
        if row.reopened_at is not None:
            reopened[row.contract_id].add(period)
            continue
        standing.add((row.contract_id, row.starts_at))
        tax = tax_from_json(row.tax)
        account.amended = account.amended or row.revision < account.contract.revision
        waits = _why(row, account.contract) if row.stale or row.pk in moved else ""
        account.closed.append(ClosedPeriod(period, tax, waits))
    for pk, periods in reopened.items():
        accounts[pk].reopened = frozenset(one for one in periods if (pk, one.starts_at) not in standing)


def _why(row: PeriodClose, contract: Contract) -> str:
    if row.revision < contract.revision:
        return AMENDED
    return "its use or its documents changed since it was closed"


def _read_claims(accounts: dict[int, Account]) -> None:
    for pk, starts_at, key, quantity, amount, taxes, latest, *described in rows(_CLAIMS, [list(accounts)]):
        claimed = claimed_taxes(json.loads(taxes) if taxes else [])
        claim = Claim(_entry(key, *described), quantity, amount, latest, seen={}, taxes=claimed)
        accounts[pk].claims[starts_at][key] = claim


def _entry(
    key: str,
    kind: Any,
    tax_key: str,
    price: str,
    meter: str,
    term: str,
    line: str,
    description: str,
    starts_at: dt.datetime,
    ends_at: dt.datetime,
    tax_category: str,
    tax_behavior: str,
) -> Entry:
    """The entry as the latest line of its key described it."""
    return Entry(
        key=key,
        kind=kind,
        tax_key=tax_key,
        price=price,
        meter=meter,
        term=term,
        line=line,
        description=description,
        unit="",
        quantity=ZERO,
        amount=ZERO,
        service=Period(starts_at, ends_at),
        in_advance=False,
        clock=None,
        steps=(),
        tax_category=tax_category,
        with_tax=tax_behavior == TaxBehavior.INCLUSIVE,
    )


def _rate(accounts: Sequence[Account], at: dt.datetime) -> None:
    """Rate what is closed, and what a run at that instant would close, with all use known now."""
    overdue: dict[int, list[Period]] = {}
    needs: dict[int, dict[Need, Ask]] = {}
    for account in accounts:
        agreement = account.agreement
        if agreement is None:
            continue
        try:
            overdue[account.contract.pk] = due_periods(agreement, account.ledger(), at)
            periods = [*(one.period for one in account.closed), *overdue[account.contract.pk]]
            needs[account.contract.pk] = asks_for(account.contract.customer_id, usage_needs(agreement, periods))
        except Exception as error:
            # Whatever makes a contract unratable is a leak by itself; the others are proved all the same.
            account.fault = f"{error}" or type(error).__name__
    measured = _measured([ask for asks in needs.values() for ask in asks.values()])
    for account in accounts:
        asks = needs.get(account.contract.pk)
        if account.agreement is None or asks is None:
            continue
        usage = answers(asks, measured)
        try:
            _rate_one(account, account.agreement, overdue[account.contract.pk], usage, at)
        except Exception as error:
            account.fault = f"{error}" or type(error).__name__


def _measured(asks: Sequence[Ask]) -> dict[Ask, Measured]:
    found: dict[Ask, Measured] = {}
    for start in range(0, len(asks), ROWS):
        found |= measure(asks[start : start + ROWS])
    return found


def _rate_one(
    account: Account,
    agreement: Agreement,
    overdue: Sequence[Period],
    usage: Usage,
    at: dt.datetime,
) -> None:
    ledger = account.ledger()
    ledger.usage = dict(usage)
    closed = {one.period: one for one in account.closed}
    before = CARRIED if account.reopened and agreement.carries_over else ""
    for period in sorted({*closed, *overdue}):  # in order: what is due may depend on what came before
        if period in closed:
            one = closed[period] if closed[period].waits else replace(closed[period], waits=before)
            before = CARRIED if one.waits and agreement.carries_over else before
            entries = ledger.state(agreement, period, one.tax).entries
            dues = balance(entries, account.claims[period.starts_at], one.tax, agreement.currency, closed=True)
            account.rated.append(Rated(one, entries, tuple(dues)))
        else:
            reopened = period in account.reopened
            waits = "opened again by a void" if reopened else "past its tolerance window, and no run has closed it yet"
            account.overdue.append(_overdue(account, agreement, period, ledger.state(agreement, period), waits))
    first = agreement.first_period()
    if first.starts_at <= at and not (account.closed or account.reopened or overdue or account.claims[first.starts_at]):
        waits = "begun, and no run has invoiced what is due in advance yet"
        account.overdue.append(_overdue(account, agreement, first, advance(agreement.terms(first)), waits))


def _overdue(account: Account, agreement: Agreement, period: Period, due: Statement, waits: str) -> Overdue:
    claims, tax = account.claims[period.starts_at], agreement.tax_in(period)
    return Overdue(period, tuple(balance(due.entries, claims, tax, agreement.currency, closed=False)), waits)


def claimed(account: Account, period: Period, key: str) -> Decimal:
    """What standing documents claim of an entry, its discounts taken off."""
    claims = account.claims[period.starts_at].values()
    return sum((claim.amount for claim in claims if claim.entry.tax_key == key), ZERO)
