"""The desk of documents: invoices and credit notes, their lines, and the bill run's button."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString, mark_safe

from billing.admin.invoice_deeds import DiscardDraft, IssueInvoice, VoidInvoice
from billing.invoicing import bill_run
from billing.invoicing.rendering import for_rendering, invoice_html
from billing.metering.lineage import LineageEntry, events_behind
from billing.models import CreditNote, CreditUse, Document, Invoice, InvoiceLine, InvoiceStatus, Source
from catalog.deeds import DeedsMixin
from catalog.desks import FactDesk
from catalog.wording import figure, money_figure, money_words

PER_PAGE = 200  # events behind a line


class DocumentDesk(DeedsMixin, FactDesk):
    """A document is written by a bill run; what people do to it are deeds."""

    list_display = [
        "__str__", "customer", "contract", "period_start", "status", "total_figure", "due_figure", "due_on",
    ]  # fmt: skip
    list_select_related = ["customer", "contract"]
    search_fields = ["number", "customer__key", "customer__name", "contract__number"]
    search_help_text = "Number, customer or contract."
    date_hierarchy = "period_start"
    ordering = ["-pk"]
    change_form_template = "admin/billing/invoice/change_form.html"
    fieldsets = [
        (
            None,
            {
                "fields": [
                    ("status", "purpose", "period"),
                    ("customer", "contract", "seller"),
                    ("issued_at", "due_on", "currency"),
                ]
            },
        ),
        ("Lines", {"fields": ["content"], "classes": ["wide"]}),
        (
            "Record",
            {
                "classes": ["collapse"],
                "fields": ["drafted_at", "period_starts_at", "period_ends_at", "seller_details", "customer_details"],
            },
        ),
    ]
    readonly_fields = ["period", "content"]
    deeds = (IssueInvoice(), VoidInvoice(), DiscardDraft())

    @admin.display(description="period", ordering="period_start")
    def period(self, invoice: Invoice) -> str:
        """The first day, and the day after the last."""
        return f"{invoice.period_start} until {invoice.period_end}"

    def get_fieldsets(self, request: HttpRequest, obj: Invoice | None = None) -> Any:
        """What a void writes is shown on voided documents only."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or obj.status != InvoiceStatus.VOIDED:
            return fieldsets
        return [("Void", {"fields": [("voided_at", "waived"), "void_reason"]}), *fieldsets]

    @admin.display(description="total", ordering="total")
    def total_figure(self, invoice: Invoice) -> str:
        return money_words(invoice.total, invoice.currency)

    @admin.display(description="due", ordering="amount_due")
    def due_figure(self, invoice: Invoice) -> str:
        voided = invoice.status == InvoiceStatus.VOIDED
        return money_figure(0 if voided else invoice.amount_due, invoice.currency)

    @admin.display(description="")
    def content(self, invoice: Invoice) -> SafeString:
        """The lines with their steps, tax and credits, and what each adjustment corrects."""
        lines = invoice.lines.select_related("corrects__invoice", "corrected_by__invoice").order_by("position")
        context = {
            "invoice": invoice,
            "lines": lines,
            "credits": invoice.credits.select_related("credit_note"),
            "uses": CreditUse.objects.filter(credit_note=invoice.pk).select_related("invoice"),
        }
        return mark_safe(render_to_string("admin/billing/invoice/content.html", context))

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        document = self.admin_site.admin_view(self.document_view)
        return [path("<int:pk>/document/", document, name=f"{name}_document"), *super().get_urls()]

    def document_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The printable document."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        invoice = for_rendering(Invoice.objects.filter(pk=pk)).first()
        if invoice is None:
            raise Http404(f"There is no document {pk}.")
        return HttpResponse(invoice_html(invoice))


@admin.register(Invoice)
class InvoiceDesk(DocumentDesk):
    list_filter = ["status", "document", "purpose", "currency", "seller", "issued_at"]
    change_list_template = "admin/billing/invoice/change_list.html"

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        may_run = request.user.has_perm("billing.run_billing")
        return super().changelist_view(request, {"may_run_billing": may_run, **(extra_context or {})})

    def get_urls(self) -> list[URLPattern]:
        run = self.admin_site.admin_view(self.run_billing_view)
        return [path("run-billing/", run, name="billing_run_now"), *super().get_urls()]

    def run_billing_view(self, request: HttpRequest) -> HttpResponse:
        """What a run would do now, on documents that are not kept; confirmed, the run."""
        if not request.user.has_perm("billing.run_billing"):
            raise PermissionDenied
        at = timezone.now()
        if request.method == "POST":
            return self.run_billing(request, bill_run.run(at, by=cast(AbstractBaseUser, request.user)))
        found = bill_run.run(at, dry_run=True)
        context = {
            **self.admin_site.each_context(request),
            "title": "Run billing now",
            "opts": self.opts,
            "result": found,
            "documents": [*found.invoices, *found.credit_notes],
        }
        return TemplateResponse(request, "admin/billing/invoice/run_billing.html", context)

    def run_billing(self, request: HttpRequest, result: bill_run.RunResult) -> HttpResponse:
        """Say what a run did, back at the list."""
        done = f"{len(result.invoices)} invoices, {len(result.credit_notes)} credit notes"
        messages.success(request, f"Billing was run: {result.closed} periods closed, {done}.")
        for failure in result.failures:
            messages.error(request, f"Contract {failure['contract']} could not be billed: {failure['error']}")
        return HttpResponseRedirect(reverse("admin:billing_invoice_changelist"))


@admin.register(CreditNote)
class CreditNoteDesk(DocumentDesk):
    list_filter = ["status", "purpose", "currency", "seller", "issued_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).filter(document=Document.CREDIT_NOTE)


@admin.register(InvoiceLine)
class InvoiceLineDesk(FactDesk):
    change_form_template = "admin/billing/invoiceline/change_form.html"
    list_display = [
        "description", "invoice", "kind", "price", "quantity_figure", "amount_figure", "service_start",
    ]  # fmt: skip
    list_filter = ["kind", "invoice__status", "service_start"]
    readonly_fields = ["explanation"]
    list_select_related = ["invoice"]
    search_fields = ["invoice__number", "contract__number", "price", "meter", "description"]
    ordering = ["-invoice", "position"]
    fieldsets = [
        (None, {"fields": [("invoice", "position"), "description", ("kind", "entry_kind"), "explanation"]}),
        ("Where it comes from", {"fields": ["contract", "contract_line", "term", "price", "meter", "entry_key"]}),
        ("Tax", {"fields": ["tax_code", "tax_percent", "tax_amount"]}),
        ("Usage", {"fields": [("service_start", "service_end"), ("clock_from", "clock_to"), "corrects"]}),
    ]

    def get_urls(self) -> list[URLPattern]:
        events = self.admin_site.admin_view(self.events_view)
        return [path("<int:pk>/events/", events, name="billing_invoiceline_events"), *super().get_urls()]

    def events_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The events behind a line; all are counted, a page of them is shown."""
        if not (self.has_view_permission(request) and request.user.has_perm("billing.view_event")):
            raise PermissionDenied
        line = get_object_or_404(InvoiceLine.objects.select_related("invoice", "contract"), pk=pk)
        page = max(int(request.GET.get("p", "1")) if request.GET.get("p", "1").isdecimal() else 1, 1)
        found = events_behind(line, offset=(page - 1) * PER_PAGE, limit=PER_PAGE)
        sources = dict(Source.objects.filter(pk__in={one.source_id for one in found.entries}).values_list("pk", "key"))
        context = {
            **self.admin_site.each_context(request),
            "title": f"Events behind {line.description}",
            "opts": self.opts,
            "line": line,
            "found": found,
            "entries": [
                (one, sources.get(one.source_id, f"#{one.source_id}"), value_figure(one)) for one in found.entries
            ],
            "page": page,
            "has_next": len(found.entries) == PER_PAGE,
        }
        return TemplateResponse(request, "admin/billing/invoiceline/events.html", context)

    @admin.display(description="quantity", ordering="quantity")
    def quantity_figure(self, line: InvoiceLine) -> str:
        return figure(line.quantity)

    @admin.display(description="amount", ordering="amount")
    def amount_figure(self, line: InvoiceLine) -> str:
        return money_words(line.amount, line.invoice.currency)

    @admin.display(description="how the amount comes about")
    def explanation(self, line: InvoiceLine) -> SafeString:
        context = {"invoice": line.invoice, "lines": [line], "plain": True}
        return mark_safe(render_to_string("admin/billing/invoice/content.html", context))


def value_figure(entry: LineageEntry) -> str:
    """What the meter read in an event, with the sign of its change; a count reads nothing."""
    sign = "-" if entry.sign < 0 else ""
    if entry.value is None:
        return f"{sign}1"
    return sign + (figure(entry.value) if isinstance(entry.value, Decimal) else entry.value)
