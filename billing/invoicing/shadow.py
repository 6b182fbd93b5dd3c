"""Contracts moved to another version of a plan, and what they would have cost on it in their last closed period.

That period is rated twice: with the same use, days, discounts and rate; only the prices differ. What was billed is not
asked: late use that waits for an adjustment is on both sides.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from django.db import transaction
from django.db.models import Q

from billing.invoicing.ledgers import answers, asks_for, carried
from billing.metering.usage import measure
from billing.models import PeriodClose
from billing.rating.entries import Usage, needs
from billing.rating.reductions import Carried
from billing.rating.statement import NOTHING, Statement, statement
from catalog.auditing import Actor
from catalog.models import PlanVersion, TaxBehavior
from catalog.money import exact_sum
from catalog.periods import Period
from catalog.pricing import FieldError, InvalidPrice
from contracts import moving
from contracts.agreement import Agreement
from contracts.models import Contract
from contracts.queries import PriceBook, UnreadableContract, agreements, for_rating
from contracts.tax_terms import TaxTerms, tax_from_json
from contracts.terms import LineTerms, Terms


class UnableToCompare(ValueError):
    """A version or a contract that cannot be rated, and why."""


@dataclass(frozen=True, slots=True)
class Migration:
    """What moving contracts changes; `refused` is what is in the way of it."""

    shadows: list[Shadow]
    refused: list[FieldError]


@dataclass(frozen=True, slots=True)
class Shadow:
    """A contract's last closed period as it stands and under the version, before tax; no period: none is closed yet."""

    contract: Contract
    agreement: Agreement
    period: Period | None = None
    live: Statement | None = None
    candidate: Statement | None = None

    @property
    def before(self) -> Decimal | None:
        return None if self.live is None else exact_sum(entry.amount for entry in self.live.entries)

    @property
    def after(self) -> Decimal | None:
        return None if self.candidate is None else exact_sum(entry.amount for entry in self.candidate.entries)

    @property
    def delta(self) -> Decimal | None:
        before, after = self.before, self.after
        return None if before is None or after is None else after - before


def migrate(
    contracts: Sequence[int],
    version: PlanVersion,
    on: dt.date,
    *,
    dry_run: bool = False,
    at: dt.datetime,
    by: Actor = None,
) -> Migration:
    """From that day on, let the lines of contracts (ids) stand on the version: all or none.

    `dry_run` stores nothing and also takes a version that is not published yet. Raises UnableToCompare, UnableToAmend.
    """
    with transaction.atomic():
        compared = shadows(contracts, version)
        if dry_run:
            return Migration(compared, moving.move_faults(contracts, version, on))
        moving.move_all(contracts, version, on, at=at, by=by)
    return Migration(compared, [])


def shadows(contracts: Sequence[int], version: PlanVersion) -> list[Shadow]:
    """The contracts (ids), in that order, with and without the version, in a fixed number of queries.

    All lines of the version's plan stand on the version, over the whole of the period. Raises UnableToCompare.
    """
    rows = {contract.pk: contract for contract in for_rating(contracts)}
    for contract in rows.values():
        if contract.currency != version.currency:
            raise UnableToCompare(f"{version} is in {version.currency}, the contract {contract} in {contract.currency}")
    book = PriceBook()
    try:
        book.load([version.pk])
    except InvalidPrice as invalid:
        raise UnableToCompare(f"{version} cannot be rated: {invalid}") from invalid
    live = _readable(agreements(list(rows.values()), book))
    candidates = {pk: under(agreement, version, book) for pk, agreement in live.items()}
    closed = _last_closed(list(rows))
    before = {pk: live[pk].terms(period, tax) for pk, (period, tax) in closed.items()}
    after = {pk: candidates[pk].terms(period, tax) for pk, (period, tax) in closed.items()}
    usage, openings = _usage(rows, [before, after]), _openings({pk: period for pk, (period, _) in closed.items()})
    return [
        Shadow(
            rows[pk],
            live[pk],
            closed[pk][0],
            statement(before[pk], usage[pk], openings.get(pk, NOTHING)),
            statement(after[pk], usage[pk], openings.get(pk, NOTHING)),
        )
        if pk in closed
        else Shadow(rows[pk], live[pk])
        for pk in contracts
    ]


def under(agreement: Agreement, version: PlanVersion, book: PriceBook) -> Agreement:
    """The agreement with every line of the version's plan standing on the version."""
    prices, given = book.of(version.pk), book.entitlements(version.pk)
    with_tax = version.tax_behavior == TaxBehavior.INCLUSIVE

    def moved(line: LineTerms) -> LineTerms:
        if line.plan != version.plan.key:
            return line
        return replace(line, version=version.number, prices=prices, entitlements=given, with_tax=with_tax)

    return replace(agreement, lines=tuple(moved(line) for line in agreement.lines))


def _readable(found: Mapping[int, Agreement | UnreadableContract]) -> dict[int, Agreement]:
    read: dict[int, Agreement] = {}
    for pk, agreement in found.items():
        if not isinstance(agreement, Agreement):
            raise UnableToCompare(str(agreement))
        read[pk] = agreement
    return read


def _last_closed(contracts: Sequence[int]) -> dict[int, tuple[Period, TaxTerms]]:
    """Contract id -> its latest period that is closed, and what it was closed with."""
    rows = PeriodClose.objects.filter(contract__in=contracts, reopened_at__isnull=True)
    return {
        row.contract_id: (Period(row.starts_at, row.ends_at), tax_from_json(row.tax))
        for row in rows.order_by("contract_id", "-starts_at").distinct("contract_id")
    }


def _openings(periods: Mapping[int, Period]) -> dict[int, Carried]:
    """Contract id -> what the period before the one given left to it."""
    earlier = Q()
    for pk, period in periods.items():
        earlier |= Q(contract=pk, starts_at__lt=period.starts_at)
    if not earlier:
        return {}
    rows = PeriodClose.objects.standing().filter(earlier).order_by("contract_id", "-starts_at")
    return {row.contract_id: carried(row.closing) for row in rows.distinct("contract_id")}


def _usage(rows: Mapping[int, Contract], terms: Sequence[Mapping[int, Terms]]) -> dict[int, Usage]:
    """Contract id -> the use that all of its terms read, in one reading for all."""
    asks = {
        pk: asks_for(row.customer_id, [need for each in terms if pk in each for need in needs(each[pk])])
        for pk, row in rows.items()
    }
    measured = measure([ask for each in asks.values() for ask in each.values()])
    return {pk: answers(each, measured) for pk, each in asks.items()}
