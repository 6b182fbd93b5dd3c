"""Taking back: voiding a document, and discarding a draft.

A voided document keeps its number. Its lines leave what is billed, credit it drew returns, its period opens again, and
the next run bills it anew, unless it was voided with `waive`: then a dated one-time term of the opposite amount makes
what is due and what is billed fall together.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from decimal import Decimal

from django.db import transaction

from billing.models import CreditUse, Document, Invoice, InvoiceLine, InvoiceStatus, PeriodClose
from catalog.auditing import Actor, name_of
from catalog.models import EXEMPT, REVERSE_CHARGE, TaxBehavior
from contracts.lifecycle import UnableToAmend, add_one_time
from contracts.models import Contract


class UnableToVoid(ValueError):
    """A document that cannot be voided, and why."""


class UnableToDiscard(ValueError):
    """A draft that cannot be discarded, and why."""


def void_invoice(invoice: Invoice, *, reason: str, at: dt.datetime, waive: bool = False, by: Actor = None) -> Invoice:
    """Void an issued document, and say who did. Raises UnableToVoid."""
    if not reason.strip():
        raise UnableToVoid("A void needs a reason: say why this document was wrong.")
    with transaction.atomic(durable=True):
        contract = Contract.objects.select_for_update(no_key=True).get(pk=invoice.contract_id)
        invoice = Invoice.objects.select_for_update().get(pk=invoice.pk)
        _check_voidable(invoice)
        invoice.status = InvoiceStatus.VOIDED
        invoice.voided_at, invoice.voided_by = at, name_of(by)
        invoice.void_reason, invoice.waived = reason, waive
        invoice.save(update_fields=["status", "voided_at", "voided_by", "void_reason", "waived"])
        CreditUse.objects.standing().filter(invoice=invoice).update(returned_at=at)
        PeriodClose.objects.standing().filter(invoice=invoice).update(reopened_at=at)
        _rate_again(invoice)
        if waive:
            _waive(invoice, contract, at, by)
    return invoice


def discard_draft(invoice: Invoice, *, at: dt.datetime) -> None:
    """Throw a draft away; its periods open again and the next run makes it anew. Raises UnableToDiscard."""
    with transaction.atomic(durable=True):
        Contract.objects.select_for_update(no_key=True).get(pk=invoice.contract_id)
        draft = Invoice.objects.select_for_update().get(pk=invoice.pk)
        if draft.status != InvoiceStatus.DRAFT:
            raise UnableToDiscard(f"{draft.number} is issued: void it instead, so that its number stays accounted for.")
        _check_uncorrected(draft)
        PeriodClose.objects.standing().filter(invoice=draft).update(reopened_at=at, invoice=None)
        _rate_again(draft)
        draft.delete()


def _check_voidable(invoice: Invoice) -> None:
    if invoice.status == InvoiceStatus.DRAFT:
        raise UnableToVoid("This is a draft: discard it, or issue it first.")
    if invoice.status == InvoiceStatus.VOIDED:
        raise UnableToVoid(f"{invoice.number} is voided already.")
    spent = CreditUse.objects.standing().filter(credit_note=invoice).select_related("invoice").first()
    if invoice.document == Document.CREDIT_NOTE and spent is not None:
        raise UnableToVoid(f"{invoice.number} was spent on {spent.invoice.number}: void that invoice first.")


def _check_uncorrected(draft: Invoice) -> None:
    later = InvoiceLine.objects.filter(corrects__invoice=draft).select_related("invoice").order_by("pk").last()
    if later is None:
        return
    if later.invoice.status == InvoiceStatus.DRAFT:
        raise UnableToDiscard(f"The later {later.invoice} corrects a line of this draft: discard that one first.")
    raise UnableToDiscard(f"{later.invoice} corrects a line of this draft: issue this draft, then void it.")


def _waive(invoice: Invoice, contract: Contract, at: dt.datetime, by: Actor) -> None:
    """The opposite of what was billed, taxed as that is: a term for each category of tax."""
    try:
        for place, ((category, behavior), amount) in enumerate(_taxed_alike(invoice), start=1):
            add_one_time(
                contract,
                key=f"waive-{invoice.number}" if place == 1 else f"waive-{invoice.number}-{place}",
                description=f"Waived: {invoice.number}" + (f", {category}" if category else ""),
                amount=-amount,
                on=_waiver_day(contract, invoice),
                at=at,
                by=by,
                tax_category=category,
                tax_behavior=behavior,
            )
    except UnableToAmend as unable:
        raise UnableToVoid(f"The contract cannot take the waiver: {unable}") from unable


def _taxed_alike(invoice: Invoice) -> list[tuple[tuple[str, str], Decimal]]:
    """What is billed for each category and behavior of tax: with its tax where the price was, and it was charged."""
    found: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for line in invoice.lines.order_by("position"):
        relieved = any(tax["code"] in (EXEMPT, REVERSE_CHARGE) for tax in line.taxes)
        behavior = TaxBehavior.EXCLUSIVE if relieved else line.tax_behavior
        with_tax = behavior == TaxBehavior.INCLUSIVE
        found[line.tax_category, behavior] += line.amount + (line.tax_amount if with_tax else 0)
    return [(kind, amount) for kind, amount in found.items() if amount]


def _waiver_day(contract: Contract, invoice: Invoice) -> dt.date:
    """The first day of the document's period, or the contract's last where it has come to end before that."""
    if contract.ends_on is None:
        return invoice.period_start
    return min(invoice.period_start, contract.ends_on - dt.timedelta(days=1))


def _rate_again(invoice: Invoice) -> None:
    """Have the closed periods that the document has lines of rated again."""
    periods = invoice.lines.values("period_starts_at").distinct()
    standing = PeriodClose.objects.standing().filter(contract=invoice.contract_id, starts_at__in=periods)
    standing.update(stale=True)
