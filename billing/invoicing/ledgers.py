"""What is known of contracts when they are billed: closed periods, claims of documents, use. Set-based.

Everything is read for many contracts at once, in a number of queries that does not grow with them.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from django.db import connection, transaction

from billing.invoicing.drafting import Closed, Ledger, rated_periods, relevant_periods, usage_needs
from billing.metering.usage import Ask, Measured, measure
from billing.models import PeriodClose, UsageClock
from billing.rating.claims import Claim, Seen, Tax, Taxes, sum_of_taxes
from billing.rating.entries import Entry, Measure, Need
from billing.rating.event_prices import PricedEvent
from catalog.models import TaxBehavior
from catalog.money import ZERO
from catalog.periods import Period
from catalog.selection import from_json
from contracts.agreement import Agreement
from contracts.models import Contract
from contracts.tax_terms import tax_from_json

_CHANGED_SINCE = """
    SELECT closed.id
    FROM contracts_contract contract
    JOIN billing_periodclose closed ON closed.contract_id = contract.id
    LEFT JOIN billing_usageclock clock ON clock.customer_id = contract.customer_id
    WHERE contract.customer_id = ANY(%s) AND closed.reopened_at IS NULL AND NOT closed.stale
      AND (
        closed.revision < contract.revision
        OR clock.dirty_from < closed.ends_at AND clock.clock > closed.clock AND EXISTS (
            SELECT 1 FROM catalog_meter meter
            JOIN billing_bucket bucket ON bucket.customer_id = closed.customer_id AND bucket.meter_id = meter.id
            WHERE bucket.starts_at >= closed.starts_at AND bucket.starts_at < closed.ends_at
              AND bucket.clock > closed.clock
        )
      )
"""
"""Closed periods whose use or terms moved since they were rated. `dirty_from` keeps the look at buckets short."""

_CLOSES = (
    "WITH moved AS ("
    + _CHANGED_SINCE.replace("%s", "%(customers)s")
    + """), reopened AS (
        SELECT contract_id, starts_at, ends_at FROM billing_periodclose closed
        WHERE contract_id = ANY(%(contracts)s) AND reopened_at IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM billing_periodclose again
            WHERE again.contract_id = closed.contract_id AND again.starts_at = closed.starts_at
              AND again.reopened_at IS NULL
        )
    ), changed AS (
        SELECT contract_id, min(starts_at) AS starts_at FROM billing_periodclose
        WHERE contract_id = ANY(%(contracts)s) AND reopened_at IS NULL AND (stale OR id IN (SELECT id FROM moved))
        GROUP BY contract_id
    ), carried AS (
        SELECT contract_id, coalesce((
            SELECT max(before.starts_at) FROM billing_periodclose before
            WHERE before.contract_id = changed.contract_id AND before.reopened_at IS NULL
              AND before.starts_at < changed.starts_at
        ), starts_at) AS starts_at FROM changed
    )
    SELECT DISTINCT contract_id, starts_at, ends_at, true, false, '{}'::jsonb, '{}'::jsonb FROM reopened
    UNION ALL
    SELECT * FROM (
        SELECT contract_id, starts_at, ends_at, false, stale OR id IN (SELECT id FROM moved), tax, closing
        FROM billing_periodclose standing
        WHERE contract_id = ANY(%(contracts)s) AND reopened_at IS NULL AND (
            EXISTS (
                SELECT 1 FROM carried
                WHERE carried.contract_id = standing.contract_id AND carried.starts_at <= standing.starts_at
            )
            OR contract_id IN (SELECT contract_id FROM reopened)
            OR (contract_id, starts_at) IN (
                SELECT contract_id, max(starts_at) FROM billing_periodclose
                WHERE contract_id = ANY(%(contracts)s) AND reopened_at IS NULL
                GROUP BY contract_id
            )
        )
        ORDER BY starts_at
    ) standing
"""
)
"""Of each contract: periods that a void opened and no run has closed since; then, in order, the closed periods that a
run or a preview reads: from the one before the first that changed on, and the latest."""

_CLAIMS = """
    WITH asked AS (
        SELECT * FROM unnest(%s::bigint[], %s::timestamptz[]) AS asked (contract_id, period_starts_at)
    ), sums AS (
        SELECT line.contract_id, line.period_starts_at, line.entry_key,
            coalesce(sum(line.quantity) FILTER (WHERE invoice.status <> 'voided'), 0) AS quantity,
            coalesce(sum(line.amount) FILTER (WHERE invoice.status <> 'voided'), 0) AS amount,
            jsonb_agg(line.taxes ORDER BY line.id) FILTER (WHERE invoice.status <> 'voided') AS taxes,
            jsonb_agg(jsonb_build_array(
                line.service_starts_at, line.service_ends_at, line.clock_from, line.clock_to, line.extent
            )) FILTER (WHERE invoice.status <> 'voided' AND line.clock_to IS NOT NULL) AS seen,
            max(line.id) AS latest
        FROM asked
        JOIN billing_invoiceline line USING (contract_id, period_starts_at)
        JOIN billing_invoice invoice ON invoice.id = line.invoice_id
        GROUP BY 1, 2, 3
    )
    SELECT sums.contract_id, sums.period_starts_at, sums.entry_key, sums.quantity, sums.amount, sums.taxes, sums.seen,
        sums.latest, line.entry_kind, line.tax_key, line.price, line.meter, line.term, line.contract_line,
        line.description, line.unit, line.service_starts_at, line.service_ends_at, line.selection,
        line.tax_category, line.tax_behavior
    FROM sums JOIN billing_invoiceline line ON line.id = sums.latest
    ORDER BY sums.latest
"""


def sweep(customers: Iterable[int]) -> None:
    """Mark the closed periods of these customers that must be rated again, and start looking anew from here.

    In a transaction of its own, short: the customers' contracts are locked first, so that no period is being closed
    meanwhile, then their clocks, for which ingestion waits.
    """
    ids = sorted(set(customers))
    with transaction.atomic():
        list(Contract.objects.select_for_update(no_key=True).filter(customer__in=ids).order_by("pk").values("pk"))
        clocks = UsageClock.objects.filter(customer_id__in=ids, dirty_from__isnull=False)
        dirty = list(clocks.select_for_update().order_by("customer_id").values_list("customer_id", flat=True))
        PeriodClose.objects.filter(pk__in=changed_since(ids)).update(stale=True)
        UsageClock.objects.filter(customer_id__in=dirty).update(dirty_from=None)


def changed_since(customers: Sequence[int]) -> list[int]:
    """Ids of closed periods whose use or terms moved since they were last rated and that are not marked yet."""
    with connection.cursor() as cursor:
        cursor.execute(_CHANGED_SINCE, [list(customers)])
        return [pk for (pk,) in cursor.fetchall()]


def load(contracts: Sequence[Contract], agreements: Mapping[int, Agreement], at: dt.datetime) -> dict[int, Ledger]:
    """Contract id -> its ledger, with the claims and the use that a run or a preview at that instant reads."""
    ledgers = _closes([contract for contract in contracts if contract.pk in agreements])
    for pk, ledger in ledgers.items():
        if agreements[pk].carries_over:
            ledger.spread_staleness()
    _read_claims(ledgers, {pk: relevant_periods(agreements[pk], ledger, at) for pk, ledger in ledgers.items()})
    rated = {pk: rated_periods(agreements[pk], ledger, at) for pk, ledger in ledgers.items()}
    _read_usage(contracts, agreements, ledgers, rated)
    return ledgers


def _closes(contracts: Sequence[Contract]) -> dict[int, Ledger]:
    """The latest closed period of each contract, all stale ones, and all where one was opened again by a void."""
    ids = [contract.pk for contract in contracts]
    reopened: dict[int, set[Period]] = defaultdict(set)
    closed: dict[int, dict[Period, Closed]] = defaultdict(dict)
    with connection.cursor() as cursor:
        cursor.execute(_CLOSES, {"contracts": ids, "customers": [contract.customer_id for contract in contracts]})
        for pk, starts_at, ends_at, is_open, is_stale, tax, closing in cursor.fetchall():
            if is_open:
                reopened[pk].add(Period(starts_at, ends_at))
            else:
                terms = tax_from_json(json.loads(tax))
                closed[pk][Period(starts_at, ends_at)] = Closed(terms, is_stale, carried(json.loads(closing)))
    return {pk: Ledger(reopened=frozenset(reopened[pk]), closed=closed[pk]) for pk in ids}


def carried(stored: Mapping[str, str]) -> dict[str, Decimal]:
    """What crosses periods, as a close keeps it."""
    return {key: Decimal(amount) for key, amount in stored.items()}


def _read_claims(ledgers: dict[int, Ledger], periods: Mapping[int, Sequence[Period]]) -> None:
    asked = {(pk, period.starts_at) for pk, found in periods.items() for period in found}
    with connection.cursor() as cursor:
        cursor.execute(_CLAIMS, [[pk for pk, _ in asked], [starts_at for _, starts_at in asked]])
        for pk, starts_at, key, *rest in cursor.fetchall():
            ledgers[pk].claims.setdefault(starts_at, {})[key] = _claim(key, *rest)


def _claim(
    key: str,
    quantity: Decimal,
    amount: Decimal,
    taxes: str | None,
    seen: str | None,
    latest: int,
    *described: Any,
) -> Claim:
    kind, tax_key, price, meter, term, line, description, unit, starts_at, ends_at, selection, *tax = described
    entry = Entry(
        key=key,
        kind=kind,
        tax_key=tax_key,
        price=price,
        meter=meter,
        term=term,
        line=line,
        description=description,
        unit=unit,
        quantity=ZERO,
        amount=ZERO,
        service=Period(starts_at, ends_at),
        in_advance=False,
        clock=None,
        steps=(),
        selection=from_json(json.loads(selection)),
        tax_category=tax[0],
        with_tax=tax[1] == TaxBehavior.INCLUSIVE,
    )
    read = _seen(json.loads(seen) if seen else [])
    return Claim(entry, quantity, amount, latest, read, claimed_taxes(json.loads(taxes) if taxes else []))


def claimed_taxes(lines: Iterable[Iterable[Mapping[str, str]]]) -> Taxes:
    """The taxes of lines, as they are stored, by rate."""
    return sum_of_taxes(
        Tax(one["code"], Decimal(one["percent"]), Decimal(one["base"]), Decimal(one["amount"]))
        for taxes in lines
        for one in taxes
    )


def _seen(lines: Iterable[tuple[str, str, int | None, int, list[list[Any]]]]) -> Seen:
    """The use that lines are for, taken together."""
    counts: Counter[tuple[Period, int]] = Counter()
    for starts_at, ends_at, clock_from, clock_to, extent in lines:
        plain: list[list[Any]] = [[1, starts_at, ends_at, clock_to]]
        if clock_from:
            plain.append([-1, starts_at, ends_at, clock_from])
        for times, begins, ends, clock in extent or plain:
            counts[Period(dt.datetime.fromisoformat(begins), dt.datetime.fromisoformat(ends)), clock] += times
    return {reading: times for reading, times in counts.items() if times}


def _read_usage(
    contracts: Sequence[Contract],
    agreements: Mapping[int, Agreement],
    ledgers: dict[int, Ledger],
    periods: Mapping[int, Sequence[Period]],
) -> None:
    """One reading for all: the customer's clock and the buckets of one snapshot.

    The clock of a customer without usage prices is read first: use that comes in between is found later, not lost.
    """
    customers = {contract.pk: contract.customer_id for contract in contracts}
    needs = {pk: asks_for(customers[pk], usage_needs(agreements[pk], found)) for pk, found in periods.items()}
    without = {customers[pk] for pk, asks in needs.items() if not asks}
    read = UsageClock.objects.filter(customer_id__in=without).values_list("customer_id", "clock")
    clocks = dict(read) if without else {}
    measured = measure([ask for asks in needs.values() for ask in asks.values()])
    for pk, asks in needs.items():
        ledger = ledgers[pk]
        ledger.usage = answers(asks, measured)
        seen = [reading.clock for reading in ledger.usage.values()]
        ledger.clock = min(seen, default=clocks.get(customers[pk], 0))


def asks_for(customer_id: int, needs: Iterable[Need]) -> dict[Need, Ask]:
    """What the prices of a customer ask of the meters, in the words of metering."""
    return {need: Ask(customer_id, need.meter_id, need.period, need.selection, need.zone) for need in needs}


def answers(asks: Mapping[Need, Ask], measured: Mapping[Ask, Measured]) -> dict[Need, Measure]:
    """What was measured, in the words of rating."""
    return {need: _answer(measured[ask]) for need, ask in asks.items()}


def _answer(measured: Measured) -> Measure:
    events = tuple(PricedEvent(value, dimension) for value, dimension in measured.singles)
    return Measure(measured.quantity, measured.clock, measured.windows, events)
