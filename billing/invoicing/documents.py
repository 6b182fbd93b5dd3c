"""Drafts as rows, not yet saved: what a run stores and what a preview shows."""

from __future__ import annotations

import datetime as dt
from typing import Any

from billing.invoicing.drafting import Draft, PeriodDue, TaxSum
from billing.models import Document, Invoice, InvoiceLine
from billing.rating.balance import Due
from billing.rating.calculate import step_json
from billing.rating.claims import Tax
from catalog.models import Seller, TaxBehavior
from catalog.money import ZERO, money_text, quantity_text
from catalog.periods import local_date
from catalog.tax_ids import InvalidTaxId, vat_id
from contracts.agreement import Agreement
from contracts.models import Contract, Customer


def invoice_row(contract: Contract, agreement: Agreement, draft: Draft, at: dt.datetime) -> Invoice:
    """The document of a draft; below zero it is a credit note."""
    seller, customer = contract.seller, contract.customer
    return Invoice(
        document=Document.CREDIT_NOTE if draft.total < 0 else Document.INVOICE,
        purpose=draft.purpose,
        contract=contract,
        customer=customer,
        seller=seller,
        currency=draft.currency,
        period_starts_at=draft.period.starts_at,
        period_ends_at=draft.period.ends_at,
        period_start=local_date(draft.period.starts_at, agreement.zone),
        period_end=local_date(draft.period.ends_at, agreement.zone),
        drafted_at=at,
        seller_details={
            "name": seller.name,
            "address": seller.address,
            "tax_id": seller.tax_id,
            "vat_id": _vat_id(seller),
        },
        customer_details={
            "name": customer.name,
            "address": customer.billing_address,
            "tax_id": customer.tax_id,
            "vat_id": _vat_id(customer),
            "tax_exempt_reason": customer.tax_exempt_reason if customer.tax_exempt else "",
            "purchase_order": contract.purchase_order,
        },
        subtotal=draft.subtotal,
        tax=[_tax_json(rate, draft.currency) for rate in draft.tax],
        total=draft.total,
        amount_due=max(draft.total, ZERO),
    )


def _vat_id(party: Seller | Customer) -> str:
    """In full, as reverse charge asks for; empty where it has none that is valid."""
    try:
        return vat_id(party.tax_id, party.country)
    except InvalidTaxId:
        return ""


def _tax_json(tax: Tax | TaxSum, currency: str) -> dict[str, str]:
    return {
        "code": tax.code,
        "percent": quantity_text(tax.percent),
        "base": money_text(tax.base, currency),
        "amount": money_text(tax.amount, currency),
    }


def line_rows(invoice: Invoice, agreement: Agreement, draft: Draft) -> list[InvoiceLine]:
    """The lines of a draft, in its order."""
    return [_line_row(invoice, agreement, position, line) for position, line in enumerate(draft.lines, start=1)]


def _line_row(invoice: Invoice, agreement: Agreement, position: int, line: PeriodDue) -> InvoiceLine:
    due, entry = line.due, line.due.entry
    return InvoiceLine(
        invoice=invoice,
        position=position,
        kind=due.kind,
        contract=invoice.contract,
        period_starts_at=line.period.starts_at,
        entry_key=entry.key,
        entry_kind=entry.kind,
        tax_key=entry.tax_key,
        price=entry.price,
        meter=entry.meter,
        term=entry.term,
        contract_line=entry.line,
        description=entry.description,
        unit=entry.unit,
        quantity=due.quantity,
        amount=due.amount,
        tax_category=entry.tax_category,
        tax_behavior=TaxBehavior.INCLUSIVE if entry.with_tax else TaxBehavior.EXCLUSIVE,
        taxes=[_tax_json(tax, invoice.currency) for tax in due.taxes],
        tax_percent=due.tax_percent,
        tax_amount=due.tax,
        service_starts_at=entry.service.starts_at,
        service_ends_at=entry.service.ends_at,
        service_start=local_date(entry.service.starts_at, agreement.zone),
        service_end=local_date(entry.service.ends_at, agreement.zone),
        **_events_of(due),
        selection=entry.selection.as_json(),
        corrects_id=due.corrects,
        steps=[step_json(step, invoice.currency) for step in due.steps],
    )


def _events_of(due: Due) -> dict[str, Any]:
    """Which events a line of use is for: those of its service between two clocks, or what `extent` adds up to."""
    service, clock = due.entry.service, due.entry.clock
    if clock is None and not due.seen:
        return {}
    if clock is not None and not due.seen:
        return {"clock_from": clock, "clock_to": clock}
    before = [upto for (_, upto), times in due.seen.items() if times == -1]
    plain = {(service, upto): -1 for upto in before}
    if clock is not None and len(before) <= 1 and due.seen == plain | {(service, clock): 1}:
        return {"clock_from": before[0] if before else None, "clock_to": clock}
    extent = [
        [times, stretch.starts_at.isoformat(), stretch.ends_at.isoformat(), upto]
        for (stretch, upto), times in due.seen.items()
    ]
    return {"clock_to": max(upto for _, upto in due.seen), "extent": extent}
