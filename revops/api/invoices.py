"""Invoices: lists, one, its document, the events behind a line; and the deeds, issue and void."""

from __future__ import annotations

import datetime as dt

from django.http import HttpResponse
from django.utils import timezone
from rest_framework.request import Request

from billing.invoicing.crediting import UnableToVoid, void_invoice
from billing.invoicing.issuing import UnableToIssue, issue
from billing.invoicing.rendering import for_rendering, invoice_html, invoice_json
from billing.models import Document, Invoice, InvoiceLine, InvoiceStatus
from revops.api.deeds import deed
from revops.api.door import Door, answer, caller
from revops.api.paging import Page, page_of
from revops.api.problems import Fault, Problem, invalid
from revops.api.reading import Body, Empty, Nothing, body, query
from revops.models import Scope


class InvoiceFilter(Page, frozen=True, kw_only=True):
    """`document` is invoice (default) or credit_note."""

    customer: str | None = None
    contract: str | None = None
    status: str | None = None
    document: str = Document.INVOICE.value


class Void(Body, frozen=True, kw_only=True):
    reason: str
    waive: bool = False


class Invoices(Door):
    """The latest first."""

    scopes = {"GET": Scope.BILLING_READ}

    def get(self, request: Request) -> HttpResponse:
        asked = query(request, InvoiceFilter)
        one_of("status", asked.status, InvoiceStatus.values)
        one_of("document", asked.document, Document.values)
        rows = Invoice.objects.filter(document=asked.document)
        if asked.customer is not None:
            rows = rows.filter(customer__key=asked.customer)
        if asked.contract is not None:
            rows = rows.filter(contract__number=asked.contract)
        if asked.status is not None:
            rows = rows.filter(status=asked.status)
        page = page_of(
            for_rendering(rows),
            request,
            asked,
            {"pk": int},
            lambda found: [invoice_json(invoice) for invoice in found],
            descending=True,
        )
        return answer(page)


class InvoiceDetail(Door):
    scopes = {"GET": Scope.BILLING_READ}

    def get(self, request: Request, id: int) -> HttpResponse:
        query(request, Nothing)
        return answer(invoice_json(found_invoice(id)))


class InvoiceDocument(Door):
    """The document itself, to read and print."""

    scopes = {"GET": Scope.BILLING_READ}

    def get(self, request: Request, id: int) -> HttpResponse:
        query(request, Nothing)
        return HttpResponse(invoice_html(found_invoice(id)))


class IssueInvoice(Door):
    """A draft becomes an issued invoice; 409 where it is none."""

    scopes = {"POST": Scope.BILLING_WRITE}

    def post(self, request: Request, id: int) -> HttpResponse:
        at = timezone.now()
        body(request, Empty)
        invoice = found_invoice(id)
        return deed(request, at, lambda: self.issued(invoice, at, f"API key {caller(request)}"))

    def issued(self, invoice: Invoice, at: dt.datetime, by: str) -> HttpResponse:
        try:
            issue(invoice, at=at, by=by)
        except UnableToIssue as unable:
            raise refused("unable_to_issue", unable) from unable
        return answer(invoice_json(found_invoice(invoice.pk)))


class VoidInvoice(Door):
    """`{reason, waive}`; 409 where the document cannot be voided."""

    scopes = {"POST": Scope.BILLING_WRITE}

    def post(self, request: Request, id: int) -> HttpResponse:
        at = timezone.now()
        asked = body(request, Void)
        if not asked.reason.strip():
            raise invalid("reason", "required", "Say why this document was wrong.")
        invoice = found_invoice(id)
        return deed(request, at, lambda: self.voided(invoice, asked, at, f"API key {caller(request)}"))

    def voided(self, invoice: Invoice, asked: Void, at: dt.datetime, by: str) -> HttpResponse:
        try:
            void_invoice(invoice, reason=asked.reason, at=at, waive=asked.waive, by=by)
        except UnableToVoid as unable:
            raise refused("unable_to_void", unable) from unable
        return answer(invoice_json(found_invoice(invoice.pk)))


def found_invoice(id: int) -> Invoice:
    invoice = for_rendering(Invoice.objects.filter(pk=id)).first()
    if invoice is None:
        raise Problem(404, f"There is no invoice {id}.")
    return invoice


def found_line(id: int, line: int) -> InvoiceLine:
    row = InvoiceLine.objects.select_related("invoice", "contract").filter(invoice=id, pk=line).first()
    if row is None:
        raise Problem(404, f"Invoice {id} has no line {line}.")
    return row


def one_of(name: str, value: str | None, choices: list[str]) -> None:
    if value is not None and value not in choices:
        raise invalid(name, "invalid", f"`{name}` is one of {', '.join(choices)}.")


def refused(code: str, error: Exception) -> Problem:
    """What an operation said it cannot do."""
    return Problem(409, str(error), [Fault("", code, str(error))])
