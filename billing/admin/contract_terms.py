"""The terms of a contract, one by one: what each has billed, what it brings now, what it carries on, and its end.

Amounts are before tax. Billed is what lines of documents that are not void say of a term, drafts too. The number of
queries is fixed, however many terms, lines and documents there are.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db import connection

from billing.admin.credit_deeds import balances_of
from billing.invoicing.balances import GrantBalance
from billing.invoicing.ledgers import carried
from billing.invoicing.preview import preview_contracts
from billing.models import Invoice, InvoiceLine, PeriodClose
from catalog.models import Price
from catalog.money import ZERO
from catalog.wording import money_words, price_words
from contracts.drafts import KINDS, rows_of
from contracts.models import (
    AllowanceTerm,
    Commitment,
    CommitmentKind,
    Contract,
    ContractLine,
    CreditGrant,
    Discount,
    GrantKind,
    OneTimeTerm,
    PriceOverride,
)
from contracts.wording import (
    agreed_allowance_words,
    commitment_words,
    days_words,
    discount_words,
    grant_words,
    line_words,
    override_words,
    renewal_words,
    term_title,
)

Entry = tuple[str, str, str, dt.date]
"""What entries have in common that belong to one term in one period: the two first parts of their key, their price, and
the first day of their service. For a price these are its line and version, else the kind of the term and its key."""

Sums = dict[Entry, Decimal]

_BILLED = """
    SELECT split_part(line.entry_key, '/', 1), split_part(line.entry_key, '/', 2), line.price, line.service_start,
        sum(line.amount)
    FROM billing_invoiceline line JOIN billing_invoice invoice ON invoice.id = line.invoice_id
    WHERE line.contract_id = %s AND invoice.status <> 'voided'
    GROUP BY 1, 2, 3, 4
"""


@dataclass(slots=True)
class TermShown:
    """A term, or a price of a line. `is_head`: a line, whose prices follow."""

    title: str
    words: str = ""
    billed: Decimal = ZERO
    coming: Decimal = ZERO
    carries: str = ""
    until: dt.date | None = None
    is_head: bool = False
    is_part: bool = False
    replaced: str = ""


@dataclass(slots=True)
class TermsShown:
    """All terms of a contract; the sums of all billed amounts are those of its documents."""

    currency: str
    days: str
    renewal: str
    terms: list[TermShown] = field(default_factory=list)
    replaced: list[TermShown] = field(default_factory=list)
    billed: Decimal = ZERO
    coming: Decimal = ZERO
    unnamed: TermShown | None = None
    next_document: Invoice | None = None
    fault: str = ""


def terms_shown(contract: Contract, at: dt.datetime) -> TermsShown:
    """Every term in force and every one that was replaced, as of an instant."""
    rows = {name: list(rows_of(kind).filter(contract=contract)) for name, kind in KINDS.items()}
    previews, faults = preview_contracts([contract.pk], at)
    preview = previews[0] if previews else None
    table = _Table(contract, _billed(contract), _sums(preview.lines if preview else ()))
    table.carried = {**_closing(contract), **(preview.closing if preview else {})}
    table.prices = _prices(rows["lines"])
    table.balances = {one.grant.key: one for one in balances_of([contract.pk], at)}
    days, renewal = days_words(contract.starts_on, contract.ends_on), renewal_words(contract)
    shown = TermsShown(contract.currency, days, renewal, next_document=preview.document if preview else None)
    shown.fault = faults[0] if faults else ""
    shown.billed, shown.coming = sum(table.billed.values(), ZERO), sum(table.coming.values(), ZERO)
    shown.terms = list(table.of([row for each in rows.values() for row in each if row.superseded_at is None]))
    gone = [row for each in rows.values() for row in each if row.superseded_at is not None]
    gone.sort(key=lambda row: row.superseded_at, reverse=True)
    whys = _whys(gone)
    for row in gone:
        first, *parts = table.of([row])
        first.replaced = whys.get((type(row), row.pk), "")
        shown.replaced += [first, *(part for part in parts if part.billed or part.coming)]
    rest, coming = sum(table.billed.values(), ZERO), sum(table.coming.values(), ZERO)
    if rest or coming:
        shown.unnamed = TermShown("Of terms that are gone", billed=rest, coming=coming)
    return shown


class _Table:
    """Shares out what was billed, and what comes, over terms; each amount goes to one of them."""

    def __init__(self, contract: Contract, billed: Sums, coming: Sums) -> None:
        self.contract, self.billed, self.coming = contract, dict(billed), dict(coming)
        self.all_billed, self.all_coming = dict(billed), dict(coming)
        self.carried: dict[str, Decimal] = {}
        self.prices: dict[int, list[Price]] = {}
        self.balances: dict[str, GrantBalance] = {}

    def of(self, rows: Sequence[Any]) -> Iterable[TermShown]:
        overrides = [row for row in rows if isinstance(row, PriceOverride)]
        for row in rows:
            if isinstance(row, ContractLine):
                yield from self._line(row, [one for one in overrides if one.line == row.key and _meet(one, row)])
        lined = {row.key for row in rows if isinstance(row, ContractLine)}
        for row in rows:
            if isinstance(row, PriceOverride) and row.line not in lined:
                yield self._override(row, None)
            elif not isinstance(row, ContractLine | PriceOverride):
                yield self._other(row)

    def _line(self, line: ContractLine, overrides: Sequence[PriceOverride]) -> Iterable[TermShown]:
        yield TermShown(line_words(line), until=line.ends_on, is_head=True)
        for price in self.prices[line.plan_version_id]:
            term = TermShown(str(price), price_words(price, self.contract.currency), is_part=True)
            term.billed, term.coming = (
                _taken(sums, lambda entry, price=price: self._is_of(entry, line, price)) for sums in self._sums()
            )
            yield term
            for override in overrides:
                if override.price == price.key:
                    yield self._override(override, price, line)

    def _is_of(self, entry: Entry, line: ContractLine, price: Price) -> bool:
        head, version, key, day = entry
        begun = line.starts_on <= day and (line.ends_on is None or day < line.ends_on)
        return (head, version, key) == (line.key, str(line.plan_version), price.key) and begun

    def _override(self, row: PriceOverride, price: Price | None, line: ContractLine | None = None) -> TermShown:
        """What of its price's amounts falls into its days; they are counted with the price."""

        def within(entry: Entry) -> bool:
            begins = row.starts_on if line is None else max(row.starts_on, line.starts_on)
            ends = [day for day in (row.ends_on, line.ends_on if line else None) if day is not None]
            same = entry[0] == row.line and entry[2] == row.price and "@" in entry[1]
            return same and begins <= entry[3] and all(entry[3] < day for day in ends)

        charged = override_words(row, price, self.contract.currency)
        words = f"instead {charged}, {days_words(row.starts_on, row.ends_on)}"
        term = TermShown("of it with an override", words, is_part=True, until=row.ends_on)
        term.billed = sum((amount for entry, amount in self.all_billed.items() if within(entry)), ZERO)
        term.coming = sum((amount for entry, amount in self.all_coming.items() if within(entry)), ZERO)
        return term

    def _other(self, row: Any) -> TermShown:
        if isinstance(row, AllowanceTerm):  # a limit, which costs nothing
            return TermShown(term_title(row), agreed_allowance_words(row), until=row.ends_on)
        head = {Discount: "discount", Commitment: "commitment", CreditGrant: "grant", OneTimeTerm: "term"}[type(row)]
        term = TermShown(term_title(row), self._words(row), carries=self._carries(row), until=_end_of(row))
        term.billed, term.coming = (_taken(sums, lambda entry: entry[:2] == (head, row.key)) for sums in self._sums())
        return term

    def _sums(self) -> tuple[Sums, Sums]:
        return self.billed, self.coming

    def _words(self, row: Any) -> str:
        currency = self.contract.currency
        match row:
            case Discount():
                return discount_words(row, currency)
            case Commitment():
                return commitment_words(row, currency)
            case CreditGrant():
                return grant_words(row, currency)
        return money_words(row.amount, currency)

    def _carries(self, row: Any) -> str:
        currency = self.contract.currency
        match row:
            case Discount(total=Decimal() as total):
                taken = self.carried.get(f"discount/{row.key}", ZERO)
                return _left(taken, total, "taken off", currency)
            case CreditGrant(kind=GrantKind.PREPAID):
                balance = self.balances[row.key]
                left = money_words(balance.left, currency)
                return f"{money_words(balance.drawn, currency)} drawn, {left} left, {balance.state}"
            case CreditGrant():
                return _left(self.carried.get(f"grant/{row.key}", ZERO), row.amount, "spent", currency)
            case Commitment(amount=Decimal() as amount):
                state = f"commitment/{row.key}/"
                found = sorted((key, spent) for key, spent in self.carried.items() if key.startswith(state))
                if not found:
                    return ""
                key, spent = found[-1]
                return f"since {key.removeprefix(state)}: {_so_far(row, spent, amount, currency)}"
        return ""


def _so_far(row: Commitment, spent: Decimal, amount: Decimal, currency: str) -> str:
    if row.kind == CommitmentKind.MINIMUM:
        missing = max(amount - spent, ZERO)
        return f"{money_words(spent, currency)} spent, {money_words(missing, currency)} to go"
    return _left(spent, amount, "drawn" if row.kind == CommitmentKind.PREPAID else "spent", currency)


def _left(gone: Decimal, of: Decimal, verb: str, currency: str) -> str:
    left = money_words(max(of - gone, ZERO), currency)
    return f"{money_words(gone, currency)} {verb}, {left} left"


def _taken(sums: Sums, is_of: Any) -> Decimal:
    """The sum of what belongs to a term, which no other term then has."""
    entries = [entry for entry in sums if is_of(entry)]
    return sum((sums.pop(entry) for entry in entries), ZERO)


def _billed(contract: Contract) -> Sums:
    with connection.cursor() as cursor:
        cursor.execute(_BILLED, [contract.pk])
        return {(head, second, price, day): amount for head, second, price, day, amount in cursor.fetchall()}


def _sums(lines: Iterable[InvoiceLine]) -> Sums:
    sums: Sums = defaultdict(lambda: ZERO)
    for line in lines:
        head, second, *_ = line.entry_key.split("/")
        sums[head, second, line.price, line.service_start] += line.amount
    return dict(sums)


def _closing(contract: Contract) -> dict[str, Decimal]:
    """What the latest closed period left to the next."""
    latest = PeriodClose.objects.standing().filter(contract=contract).order_by("-starts_at").first()
    return carried(latest.closing) if latest else {}


def _prices(lines: Iterable[ContractLine]) -> dict[int, list[Price]]:
    """Plan version id -> its prices."""
    found: dict[int, list[Price]] = defaultdict(list)
    versions = {line.plan_version_id for line in lines}
    for price in Price.objects.filter(version__in=versions).select_related("meter").prefetch_related("tiers"):
        found[price.version_id].append(price)
    return found


def _whys(rows: Sequence[Any]) -> Mapping[tuple[type[Any], int], str]:
    """When, by whom and why each term was replaced; one query for each kind of them."""
    found = {}
    for model in dict.fromkeys(type(row) for row in rows):
        ids = [row.pk for row in rows if type(row) is model]
        changes = model.history.filter(id__in=ids, superseded_at__isnull=False).select_related("history_user")
        for change in changes.order_by("id", "-history_id").distinct("id"):
            who = f" by {change.history_user}" if change.history_user else ""
            why = f": {change.history_change_reason}" if change.history_change_reason else ""
            found[model, change.id] = f"{change.history_date:%Y-%m-%d}{who}{why}"
    return found


def _end_of(row: Any) -> dt.date | None:
    if isinstance(row, OneTimeTerm):
        return None
    end: dt.date | None = row.expires_on if isinstance(row, CreditGrant) else row.ends_on
    return end


def _meet(override: PriceOverride, line: ContractLine) -> bool:
    begins = line.ends_on is None or override.starts_on < line.ends_on
    return begins and (override.ends_on is None or line.starts_on < override.ends_on)
