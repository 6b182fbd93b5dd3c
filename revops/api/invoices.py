"""Invoices: lists, one, its document, the events behind a line; and the deeds, issue and void."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

from django.http import HttpResponse
from django.utils import timezone
from msgspec import Meta
from rest_framework.request import Request

from billing.invoicing.crediting import UnableToVoid, void_invoice
from billing.invoicing.issuing import UnableToIssue, issue
from billing.invoicing.rendering import for_rendering, invoice_html, invoice_json
from billing.models import Invoice, InvoiceLine
from revops.api import invoice_shapes as shapes
from revops.api.calls import HTML, call
from revops.api.deeds import deed
from revops.api.door import Door, answer, caller
from revops.api.invoice_shapes import InvoiceId
from revops.api.paging import Page, page_of
from revops.api.problems import Fault, Problem, invalid
from revops.api.reading import Body
from revops.api.shapes import Paged
from revops.models import Scope


class InvoiceFilter(Page, frozen=True, kw_only=True):
    customer: Annotated[str | None, Meta(description="Only those of this customer.", examples=["globex"])] = None
    contract: Annotated[str | None, Meta(description="Only those of this contract.", examples=["G-1"])] = None
    status: Annotated[Literal["draft", "issued", "voided"] | None, Meta(description="Only in this state.")] = None
    document: Literal["invoice", "credit_note"] = "invoice"


class VoidReason(Body, frozen=True, kw_only=True):
    """Why a document was wrong."""

    reason: Annotated[str, Meta(description="It stays with the document.", examples=["sent to the wrong address"])]
    waive: Annotated[
        bool, Meta(description="True: what it billed is not billed again. False: the next bill run bills it anew.")
    ] = False


NO_INVOICE = Problem(404, "There is no invoice 1042.")


def refused(code: str, detail: str) -> Problem:
    """What an operation said it cannot do."""
    return Problem(409, detail, [Fault("", code, detail)])


class Invoices(Door):
    tag = "Invoices"

    @call(
        Scope.BILLING_READ,
        "List invoices",
        answers=Paged[shapes.Invoice],
        example={"results": [shapes.INVOICE], "next": None},
    )
    def get(self, request: Request, asked: InvoiceFilter) -> HttpResponse:
        """Invoices with their lines, the latest first; credit notes with `document=credit_note`."""
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
    tag = "Invoices"

    @call(Scope.BILLING_READ, "Read an invoice", answers=shapes.Invoice, example=shapes.INVOICE, refuses=[NO_INVOICE])
    def get(self, request: Request, id: InvoiceId) -> HttpResponse:
        return answer(invoice_json(found_invoice(id)))


class InvoiceDocument(Door):
    tag = "Invoices"

    @call(
        Scope.BILLING_READ,
        "Read an invoice as a page",
        answers=str,
        example="<!doctype html><title>Invoice INV-000050</title>...",
        media=HTML,
        refuses=[NO_INVOICE],
    )
    def get(self, request: Request, id: InvoiceId) -> HttpResponse:
        """The document itself, to read and print."""
        return HttpResponse(invoice_html(found_invoice(id)))


class IssueInvoice(Door):
    tag = "Invoices"

    @call(
        Scope.BILLING_WRITE,
        "Issue a draft",
        answers=shapes.Invoice,
        example=shapes.INVOICE,
        is_deed=True,
        refuses=[NO_INVOICE, refused("unable_to_issue", "INV-000050 is issued already; only a draft can be issued.")],
    )
    def post(self, request: Request, id: InvoiceId) -> HttpResponse:
        """The draft gets its number and its date, and never changes again."""
        at = timezone.now()
        invoice = found_invoice(id)
        return deed(request, at, lambda: self.issued(invoice, at, f"API key {caller(request)}"))

    def issued(self, invoice: Invoice, at: dt.datetime, by: str) -> HttpResponse:
        try:
            issue(invoice, at=at, by=by)
        except UnableToIssue as unable:
            raise refused("unable_to_issue", str(unable)) from unable
        return answer(invoice_json(found_invoice(invoice.pk)))


class VoidInvoice(Door):
    tag = "Invoices"

    @call(
        Scope.BILLING_WRITE,
        "Void an invoice",
        answers=shapes.Invoice,
        example=shapes.INVOICE | {"status": "voided"},
        sends={"reason": "sent to the wrong address", "waive": False},
        is_deed=True,
        refuses=[
            NO_INVOICE,
            invalid("reason", "required", "Say why this document was wrong."),
            refused("unable_to_void", "INV-000050 is voided already."),
        ],
    )
    def post(self, request: Request, id: InvoiceId, asked: VoidReason) -> HttpResponse:
        """The document keeps its number. What it billed is due again and the next bill run bills it, unless it is
        waived.
        """
        at = timezone.now()
        if not asked.reason.strip():
            raise invalid("reason", "required", "Say why this document was wrong.")
        invoice = found_invoice(id)
        return deed(request, at, lambda: self.voided(invoice, asked, at, f"API key {caller(request)}"))

    def voided(self, invoice: Invoice, asked: VoidReason, at: dt.datetime, by: str) -> HttpResponse:
        try:
            void_invoice(invoice, reason=asked.reason, at=at, waive=asked.waive, by=by)
        except UnableToVoid as unable:
            raise refused("unable_to_void", str(unable)) from unable
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
