"""The desk of documents: invoices and credit notes, the page of each, the queue of drafts, the bill run's button."""

from __future__ import annotations

import datetime as dt
from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import RangeDateFilter

from billing.admin.drafts import queue_of
from billing.admin.invoice_deeds import DiscardDraft, IssueInvoice, VoidInvoice
from billing.admin.invoice_page import page_of
from billing.invoicing import bill_run
from billing.invoicing.comparing import differences
from billing.invoicing.rendering import for_rendering, invoice_html
from billing.models import CreditNote, Document, Invoice, InvoiceLine, InvoiceStatus, LineKind
from catalog.columns import money, status
from catalog.deeds import DeedsMixin
from catalog.desks import FactDesk
from catalog.wording import period_words

SHORT_PURPOSE = {"close": "close", "advance": "in advance", "adjustment": "adjustments"}


class AdjustmentFilter(admin.SimpleListFilter):
    """Documents that correct a period closed before."""

    title = "adjustments"
    parameter_name = "adjustments"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "With adjustments"), ("no", "Without")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        adjusting = Exists(InvoiceLine.objects.filter(invoice=OuterRef("pk"), kind=LineKind.ADJUSTMENT))
        if self.value() == "yes":
            return queryset.filter(adjusting)
        return queryset.exclude(adjusting) if self.value() == "no" else queryset


class DocumentDesk(DeedsMixin, FactDesk):
    """A document is written by a bill run; what people do to it are deeds."""

    list_display = [
        "number_and_purpose", "customer_and_contract", "period", "state", "issued_on", "due_on", "total_figure",
        "due_figure",
    ]  # fmt: skip
    list_select_related = ["customer", "contract"]
    list_filter = [
        "status", "purpose", AdjustmentFilter, "seller", "currency", ("issued_at", RangeDateFilter),
        ("period_start", RangeDateFilter),
    ]  # fmt: skip
    list_filter_submit = True
    search_fields = ["number", "customer__key", "customer__name", "contract__number"]
    search_help_text = "Number, customer or contract."
    ordering = ["-pk"]
    csv_columns = [
        "number", "document", "status", "purpose", "customer", "contract", "period_start", "period_end", "issued_at",
        "due_on", "total_figure", "due_figure",
    ]  # fmt: skip
    change_form_template = "admin/billing/invoice/change_form.html"
    change_list_template = "admin/billing/invoice/change_list.html"
    fields = ["number"]
    deeds = (IssueInvoice(), VoidInvoice(), DiscardDraft())

    total_figure = money("total")
    due_figure = money("still_due", title="amount due", order="amount_due")
    state = status("status", good=["issued"], warn=["draft"], bad=["voided"])

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("customer", "contract", "seller")

    @admin.display(description="number", ordering="number")
    def number_and_purpose(self, invoice: Invoice) -> SafeString:
        return format_html('<span class="nowrap">{}<small>{}</small></span>', invoice, SHORT_PURPOSE[invoice.purpose])

    @admin.display(description="customer, contract", ordering="customer__name")
    def customer_and_contract(self, invoice: Invoice) -> SafeString:
        return format_html("{}<small>{}</small>", invoice.customer, invoice.contract)

    @admin.display(description="period", ordering="period_start")
    def period(self, invoice: Invoice) -> SafeString:
        first, to, last = period_words(invoice.period_start, invoice.period_end).partition(" to ")
        return format_html('<span class="nowrap">{}{}</span><br>{}' if last else "{}{}{}", first, to, last)

    @admin.display(description="issued", ordering="issued_at")
    def issued_on(self, invoice: Invoice) -> dt.date | None:
        return invoice.issued_at.date() if invoice.issued_at else None

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        document = self.get_object(request, object_id) if request.method == "GET" else None
        context: dict[str, Any] = {}
        if document is not None:
            context = {**page_of(document), "title": _title(document)}
            if document.status == InvoiceStatus.DRAFT:
                context["difference"] = differences([document])[document.pk]
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

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


def _title(document: Invoice) -> str:
    return f"{'Credit note' if document.document == Document.CREDIT_NOTE else 'Invoice'} {document}"


@admin.register(Invoice)
class InvoiceDesk(DocumentDesk):
    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        said = {
            "may_run_billing": request.user.has_perm("billing.run_billing"),
            "draft_count": Invoice.objects.drafts().count(),
        }
        return super().changelist_view(request, {**said, **(extra_context or {})})

    def get_urls(self) -> list[URLPattern]:
        run = self.admin_site.admin_view(self.run_billing_view)
        review = self.admin_site.admin_view(self.review_view)
        return [
            path("run-billing/", run, name="billing_run_now"),
            path("review/", review, name="billing_invoice_review"),
            *super().get_urls(),
        ]

    def review_view(self, request: HttpRequest) -> HttpResponse:
        """The drafts that wait for a person, each with what differs from the document before it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        allowed = [deed for deed in self.deeds if deed.is_allowed(request) and deed.applies(Invoice())]
        if request.method == "POST":
            deed = next((one for one in allowed if one.name == request.POST.get("action")), None)
            if deed is None:
                raise PermissionDenied
            chosen = [pk for pk in request.POST.getlist(admin.helpers.ACTION_CHECKBOX_NAME) if pk.isdecimal()]
            if chosen:
                return deed.run(self, request, self.get_queryset(request).filter(pk__in=chosen))
            messages.error(request, "No draft is chosen. Tick the ones to work on.")
            return HttpResponseRedirect(request.get_full_path())
        context = {
            **self.admin_site.each_context(request),
            "title": "Drafts to review",
            "opts": self.opts,
            "deeds": allowed,
            "checkbox": admin.helpers.ACTION_CHECKBOX_NAME,
            **queue_of(request.GET.get("p", "1")),
        }
        return TemplateResponse(request, "admin/billing/invoice/review.html", context)

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
    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).filter(document=Document.CREDIT_NOTE)
