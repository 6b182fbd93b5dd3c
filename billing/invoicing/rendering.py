"""How a document reads: the JSON of the API, and a plain printable page."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from django.db.models import Prefetch, QuerySet
from django.template.loader import render_to_string

from billing.models import CreditUse, Invoice, InvoiceLine
from catalog.money import money_text, quantity_text


def for_rendering(invoices: QuerySet[Invoice]) -> QuerySet[Invoice]:
    """The documents with everything their JSON reads, in a fixed number of queries."""
    return invoices.select_related("contract", "customer").prefetch_related(
        Prefetch("lines", InvoiceLine.objects.order_by("position")),
        Prefetch("credits", CreditUse.objects.select_related("credit_note").order_by("pk")),
    )


def invoice_json(invoice: Invoice) -> dict[str, Any]:
    """A stored document as the API shows it; comes from `for_rendering`."""
    return document_json(invoice, invoice.lines.all(), invoice.credits.all(), invoice.status)


def document_json(
    invoice: Invoice, lines: Iterable[InvoiceLine], credits: Iterable[CreditUse], status: str
) -> dict[str, Any]:
    """A document, stored or not, in the shape of interfaces.md: money in the currency's places, decimal strings."""
    currency = invoice.currency
    return {
        "id": invoice.pk,
        "document": invoice.document,
        "number": invoice.number,
        "status": status,
        "purpose": invoice.purpose,
        "customer": invoice.customer.key,
        "contract": invoice.contract.number,
        "currency": currency,
        "period_start": invoice.period_start.isoformat(),
        "period_end": invoice.period_end.isoformat(),
        "issued_at": _instant(invoice.issued_at),
        "due_on": invoice.due_on.isoformat() if invoice.due_on else None,
        "lines": [_line_json(line, currency) for line in lines],
        "subtotal": money_text(invoice.subtotal, currency),
        "tax": invoice.tax,
        "credits": [{"grant": use.name, "amount": money_text(use.amount, currency)} for use in credits],
        "total": money_text(invoice.total, currency),
        "amount_due": money_text(Decimal(invoice.amount_due), currency),
    }


def _line_json(line: InvoiceLine, currency: str) -> dict[str, Any]:
    return {
        "id": line.pk,
        "kind": line.kind,
        "price": line.price or None,
        "meter": line.meter or None,
        "description": line.description,
        "quantity": quantity_text(line.quantity),
        "unit": line.unit or None,
        "amount": money_text(line.amount, currency),
        "tax_percent": quantity_text(line.tax_percent),
        "taxes": line.taxes,
        "period_start": line.service_start.isoformat(),
        "period_end": line.service_end.isoformat(),
        "corrects": line.corrects_id,
        "term": line.term,
        "steps": line.steps,
    }


def _instant(instant: dt.datetime | None) -> str | None:
    return instant.astimezone(dt.UTC).isoformat() if instant else None


def invoice_html(invoice: Invoice) -> str:
    """The document as a page to read and print."""
    shown = invoice_json(invoice)
    corrected = InvoiceLine.objects.filter(corrected_by__invoice=invoice.pk).select_related("invoice").in_bulk()
    lines = [{**line, "corrected": corrected.get(line["corrects"])} for line in shown["lines"]]
    last_day = invoice.period_end - dt.timedelta(days=1)
    context = {
        "invoice": invoice,
        "shown": shown,
        "groups": _grouped(lines),
        "last_day": last_day,
        "credited": abs(invoice.total),
        "drawn": invoice.credits.all(),
    }
    return render_to_string("documents/invoice.html", context)


def _grouped(lines: Sequence[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Lines by what they are for: the charges by their days, then corrections of periods closed before."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        line["days"] = _days(line["period_start"], line["period_end"])
        corrections = line["kind"] == "adjustment"
        groups["Corrections of earlier periods" if corrections else line["days"]].append(line)
    return list(groups.items())


def _days(first: str, after_last: str) -> str:
    """As in "1 September to 30 September 2026"; a period of one day is that day."""
    start, end = dt.date.fromisoformat(first), dt.date.fromisoformat(after_last) - dt.timedelta(days=1)
    if start == end:
        return f"{end.day} {end:%B %Y}"
    year = "" if start.year == end.year else f" {start.year}"
    return f"{start.day} {start:%B}{year} to {end.day} {end:%B %Y}"
