"""The bill run: close what is due, for many contracts at once. What renews by itself is renewed before.

Contracts are worked through in chunks. A chunk is one transaction: its contracts are locked in the order of their ids,
everything is read in a fixed number of queries, rated without a query, and written in bulk. A contract that cannot be
rated costs no other; a chunk that cannot be written is tried again one contract at a time, so that only the guilty one
is left out. Two runs at once take turns on a contract; the row of a closed period is the second fence.
"""

from __future__ import annotations

import datetime as dt
import gc
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from billing.invoicing.documents import invoice_row, line_rows
from billing.invoicing.drafting import Ledger, Outcome, draft_run
from billing.invoicing.drawing import draw_credit
from billing.invoicing.issuing import issue_drafts
from billing.invoicing.ledgers import load, sweep
from billing.invoicing.rendering import document_json
from billing.invoicing.storing import store
from billing.models import BillRun, BillRunFault, Document, Invoice, PeriodClose
from catalog.auditing import Actor, name_of
from catalog.periods import Period
from contracts.agreement import Agreement
from contracts.models import Contract
from contracts.queries import PriceBook, agreements, for_rating
from contracts.renewing import due, renew_due

log = logging.getLogger(__name__)

CHUNK = 200
Progress = Callable[[int, int], None]


@dataclass
class RunResult:
    """What a run did: documents in the JSON of the API, and the contracts it could not bill."""

    at: dt.datetime
    by: str = ""
    invoices: list[dict[str, Any]] = field(default_factory=list)
    credit_notes: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, str]] = field(default_factory=list)
    closed: int = 0

    def take(self, other: RunResult) -> None:
        self.failures += other.failures
        self.invoices += other.invoices
        self.credit_notes += other.credit_notes
        self.closed += other.closed

    def add(self, document: dict[str, Any], kind: str) -> None:
        (self.credit_notes if kind == Document.CREDIT_NOTE else self.invoices).append(document)


@dataclass(frozen=True)
class Billed:
    """What rating a contract came to."""

    contract: Contract
    agreement: Agreement
    ledger: Ledger
    outcome: Outcome


def run(
    at: dt.datetime,
    *,
    customers: Sequence[str] | None = None,
    dry_run: bool = False,
    by: Actor = None,
    progress: Progress | None = None,
) -> RunResult:
    """Close every period that is due at an instant, with all use known now. A second run does nothing.

    Contracts that renew by themselves and are due are renewed first. `customers` limits it to some, by key. `dry_run`
    writes nothing and shows the documents as drafts. `by` started it: a person, or nobody but the schedule. `progress`
    is told after each chunk how many contracts are done, of how many.
    """
    if not dry_run or not due(at, customers):
        return _run(at, customers, by, progress, dry_run=dry_run)
    with transaction.atomic():  # what it renews goes again
        result = _run(at, customers, by, progress, dry_run=True)
        transaction.set_rollback(True)
    return result


def _run(
    at: dt.datetime, customers: Sequence[str] | None, by: Actor, progress: Progress | None, *, dry_run: bool
) -> RunResult:
    result = RunResult(at, name_of(by))
    runner = f"bill run, started by {result.by}" if result.by else "bill run"
    unrenewed = renew_due(at, customers=customers, by=runner)
    result.failures += [{"contract": one.number, "error": one.error} for one in unrenewed]
    # What has ended and was to run on is not closed as if it had only ended.
    contracts = Contract.objects.approved().exclude(pk__in=[one.contract for one in unrenewed if one.is_over])
    if customers is not None:
        contracts = contracts.filter(customer__key__in=customers)
    ids = list(contracts.order_by("pk").values_list("pk", flat=True))
    row = None if dry_run else BillRun.objects.create(at=at, by=result.by)
    prices = PriceBook()
    try:
        for start in range(0, len(ids), CHUNK):
            some = ids[start : start + CHUNK]
            result.take(_bill_chunk(some, at=at, prices=prices, by=result.by, dry_run=dry_run))
            gc.freeze()  # what was made is not looked through again for garbage: a run's cost must not grow with it
            if progress is not None:
                progress(start + len(some), len(ids))
    finally:
        gc.unfreeze()
    if row is not None:
        _record(row, result)
    return result


def _bill_chunk(ids: Sequence[int], *, at: dt.datetime, prices: PriceBook, by: str, dry_run: bool) -> RunResult:
    """Bill these contracts together, or where that cannot be written, each by itself."""
    result = RunResult(at, by)
    try:
        return _bill(ids, at, prices, by=by, dry_run=dry_run)
    except Exception as error:
        # Whatever is wrong with one contract is its own fault, recorded, and never stops the others.
        if len(ids) == 1:
            number = Contract.objects.values_list("number", flat=True).get(pk=ids[0])
            log.exception("contract %s could not be billed", number)
            result.failures.append({"contract": number, "error": f"{error}".strip() or type(error).__name__})
            return result
    for pk in ids:
        result.take(_bill_chunk([pk], at=at, prices=prices, by=by, dry_run=dry_run))
    return result


def _bill(ids: Sequence[int], at: dt.datetime, prices: PriceBook, *, by: str, dry_run: bool) -> RunResult:
    if not dry_run:
        sweep(Contract.objects.filter(pk__in=ids).values_list("customer_id", flat=True))
    result = RunResult(at, by)
    with transaction.atomic(durable=not dry_run):
        if not dry_run:
            list(Contract.objects.select_for_update(no_key=True).filter(pk__in=ids).order_by("pk").values("pk"))
        billed = _rate(ids, at, prices, result)
        if dry_run:
            _show(billed, at, result)
        else:
            _write(billed, at, result)
    return result


def _rate(ids: Iterable[int], at: dt.datetime, prices: PriceBook, result: RunResult) -> list[Billed]:
    """Rate each contract without a query; one that cannot be rated becomes a failure."""
    contracts = for_rating(ids)
    read = agreements(contracts, prices)
    good = {pk: found for pk, found in read.items() if isinstance(found, Agreement)}
    ledgers = load(contracts, good, at)
    billed = []
    for contract in contracts:
        try:
            agreement = read[contract.pk]
            if not isinstance(agreement, Agreement):
                raise agreement
            ledger = ledgers[contract.pk]
            billed.append(Billed(contract, agreement, ledger, draft_run(agreement, ledger, at)))
        except Exception as error:
            # Whatever is wrong with one contract is its own fault, recorded, and never stops the others.
            log.exception("contract %s could not be rated", contract.number)
            result.failures.append({"contract": contract.number, "error": f"{error}" or type(error).__name__})
    return billed


def _show(billed: Sequence[Billed], at: dt.datetime, result: RunResult) -> None:
    """The same documents as drafts, with the credit that an issue now would draw."""
    documents = [(one, draft) for one in billed for draft in one.outcome.drafts]
    invoices = [invoice_row(one.contract, one.agreement, draft, at) for one, draft in documents]
    lines = [
        line_rows(invoice, one.agreement, draft) for (one, draft), invoice in zip(documents, invoices, strict=True)
    ]
    drawn = draw_credit(invoices, at, unlocked=lines)
    for invoice, rows, uses in zip(invoices, lines, drawn, strict=True):
        result.add(document_json(invoice, rows, uses, "draft"), invoice.document)
    result.closed += sum(len(one.outcome.closes) for one in billed)


def _write(billed: Sequence[Billed], at: dt.datetime, result: RunResult) -> None:
    """Store the documents and the closed periods of a chunk, and issue what its sellers do not hold for review."""
    documents = [(one, draft) for one in billed for draft in one.outcome.drafts]
    invoices = store([invoice_row(one.contract, one.agreement, draft, at) for one, draft in documents])
    stored = {id(draft): invoice for (_, draft), invoice in zip(documents, invoices, strict=True)}
    lines = [
        line_rows(invoice, one.agreement, draft) for (one, draft), invoice in zip(documents, invoices, strict=True)
    ]
    store(list(chain.from_iterable(lines)))
    closes = [
        _close_row(one, period, stored.get(id(draft)), at) for one in billed for period, draft in one.outcome.closes
    ]
    store(closes)
    _settle_stale(billed)
    runner = f"bill run, started by {result.by}" if result.by else "bill run"
    issued = [invoice for invoice in invoices if not invoice.seller.review_drafts]
    drawn = {invoice.pk: uses for invoice, uses in zip(issued, issue_drafts(issued, at, runner), strict=True)}
    result.closed += len(closes)
    for invoice, rows in zip(invoices, lines, strict=True):
        result.add(document_json(invoice, rows, drawn.get(invoice.pk, ()), invoice.status), invoice.document)


def _close_row(billed: Billed, period: Period, invoice: Invoice | None, at: dt.datetime) -> PeriodClose:
    return PeriodClose(
        contract=billed.contract,
        customer_id=billed.contract.customer_id,
        starts_at=period.starts_at,
        ends_at=period.ends_at,
        closed_at=at,
        clock=billed.ledger.clock,
        revision=billed.contract.revision,
        tax=billed.agreement.tax_in(period).as_json(),
        closing=_stored(billed, period),
        invoice=invoice,
    )


def _stored(billed: Billed, period: Period) -> dict[str, str]:
    """What the period leaves to the next one, as a close keeps it."""
    return {key: format(amount, "f") for key, amount in billed.outcome.closings[period].items()}


def _settle_stale(billed: Sequence[Billed]) -> None:
    """Note on periods closed before that they are level, or that their difference waits for a document."""
    rated = {
        (one.contract.pk, period.starts_at): (one, period)
        for one in billed
        for period in (*one.outcome.rerated, *one.outcome.waiting)
    }
    if not rated:
        return
    starts = {starts_at for _, starts_at in rated}
    rows = PeriodClose.objects.standing().filter(contract__in={pk for pk, _ in rated}, starts_at__in=starts)
    changed = []
    for row in rows:
        found = rated.get((row.contract_id, row.starts_at))
        if found is not None:
            one, period = found
            row.stale = period in one.outcome.waiting
            if not row.stale:
                row.clock, row.revision, row.closing = one.ledger.clock, one.contract.revision, _stored(one, period)
            changed.append(row)
    PeriodClose.objects.bulk_update(changed, ["clock", "revision", "stale", "closing"], batch_size=500)


def _record(row: BillRun, result: RunResult) -> None:
    with transaction.atomic():
        numbers = {failure["contract"]: failure["error"] for failure in result.failures}
        ids = dict(Contract.objects.filter(number__in=numbers).values_list("number", "pk"))
        BillRunFault.objects.bulk_create(
            BillRunFault(run=row, contract_id=ids[number], error=error) for number, error in numbers.items()
        )
        row.finished_at = Now()
        row.closed, row.faults = result.closed, len(result.failures)
        row.invoices, row.credit_notes = len(result.invoices), len(result.credit_notes)
        row.save(update_fields=["finished_at", "closed", "faults", "invoices", "credit_notes"])
