"""The desk of document lines, and the events behind one."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from billing.admin.invoice_page import grouped
from billing.invoicing.tracing import chains
from billing.metering.lineage import LineageEntry, count_behind, entries_behind
from billing.models import InvoiceLine, Source
from catalog.columns import money, quantity
from catalog.desks import FactDesk
from catalog.exporting import Column, csv_lines
from catalog.models import Aggregation, Meter
from catalog.wording import figure

PER_PAGE = 200
FIRST = 10  # events shown on the page of the document


@admin.register(InvoiceLine)
class InvoiceLineDesk(FactDesk):
    change_form_template = "admin/billing/invoiceline/change_form.html"
    list_display = [
        "description", "invoice", "kind", "price", "quantity_figure", "amount_figure", "service_start",
    ]  # fmt: skip
    list_filter = ["kind", "invoice__status", "service_start"]
    list_select_related = ["invoice"]
    search_fields = ["invoice__number", "contract__number", "price", "meter", "description"]
    ordering = ["-invoice", "position"]
    fields = ["description"]

    quantity_figure = quantity("quantity", unit="unit")
    amount_figure = money("amount", currency="invoice.currency")

    def get_queryset(self, request: HttpRequest) -> QuerySet[InvoiceLine]:
        rows: QuerySet[InvoiceLine] = super().get_queryset(request)
        return rows.select_related("invoice__customer", "invoice__contract", "contract")

    def get_urls(self) -> list[URLPattern]:
        views = {"events": self.events_view, "events_csv": self.csv_view, "first_events": self.first_view}
        addresses = {"events": "events/", "events_csv": "events.csv", "first_events": "first-events/"}
        own = [
            path(f"<int:pk>/{addresses[name]}", self.admin_site.admin_view(view), name=f"billing_invoiceline_{name}")
            for name, view in views.items()
        ]
        return [*own, *super().get_urls()]

    def events_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The events behind a line, by the page."""
        line = self._line(request, pk)
        asked = request.GET.get("p", "1")
        page = min(max(int(asked), 1), 1_000_000) if asked.isdecimal() and len(asked) < 9 else 1
        entries = list(entries_behind(line, offset=(page - 1) * PER_PAGE, limit=PER_PAGE + 1))
        context = {
            **self.admin_site.each_context(request),
            "title": f"Events behind {line.description}",
            "opts": self.opts,
            "original": line,
            **_behind(line, entries[:PER_PAGE]),
            "page": page,
            "has_next": len(entries) > PER_PAGE,
        }
        return TemplateResponse(request, "admin/billing/invoiceline/events.html", context)

    def first_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The first of them, for the page of the document, which asks when the line is opened."""
        line = self._line(request, pk)
        context = _behind(line, list(entries_behind(line, limit=FIRST)))
        return TemplateResponse(request, "admin/billing/invoiceline/first_events.html", context)

    def csv_view(self, request: HttpRequest, pk: int) -> HttpResponse | StreamingHttpResponse:
        """All of them, streamed."""
        line = self._line(request, pk)
        answer = StreamingHttpResponse(
            csv_lines(_columns(), entries_behind(line)), content_type="text/csv; charset=utf-8"
        )
        answer["Content-Disposition"] = f'attachment; filename="events-of-line-{line.pk}.csv"'
        return answer

    def _line(self, request: HttpRequest, pk: int) -> InvoiceLine:
        if not (self.has_view_permission(request) and request.user.has_perm("billing.view_event")):
            raise PermissionDenied
        return get_object_or_404(self.get_queryset(request), pk=pk)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The line as its document shows it, opened."""
        line = self.get_object(request, object_id)
        shown = {} if line is None else {"line": line, **line_context(line)}
        return super().change_view(request, object_id, form_url, {**shown, **(extra_context or {})})


def line_context(line: InvoiceLine) -> dict[str, Any]:
    """What the page of a line shows: the line alone, its steps open."""
    groups = grouped(line.invoice, [line], chains([line]))
    return {"document": line.invoice, "groups": groups, "open_lines": True}


def _behind(line: InvoiceLine, entries: Sequence[LineageEntry]) -> dict[str, Any]:
    """A page of the events behind a line, how many there are, and for a sum what they come to: the line's quantity."""
    sources = dict(Source.objects.filter(pk__in={one.source_id for one in entries}).values_list("pk", "key"))
    meter = Meter.objects.filter(key=line.meter).first()
    return {
        "line": line,
        "meter": meter,
        "count": count_behind(line),
        "sums": meter is not None and meter.aggregation == Aggregation.SUM,
        "entries": [(one, sources.get(one.source_id, f"#{one.source_id}"), value_figure(one)) for one in entries],
    }


def value_figure(entry: LineageEntry) -> str:
    """What the meter read in an event, with the sign of its change; a count reads nothing."""
    sign = "-" if entry.sign < 0 else ""
    if entry.value is None:
        return f"{sign}1"
    return sign + (figure(entry.value) if isinstance(entry.value, Decimal) else entry.value)


def _columns() -> list[Column]:
    sources = dict(Source.objects.values_list("pk", "key"))
    return [
        ("time", lambda one: one.occurred_at),
        ("source", lambda one: sources.get(one.source_id, f"#{one.source_id}")),
        ("id", lambda one: one.event_id),
        ("what", lambda one: one.kind),
        ("sign", lambda one: one.sign),
        ("value", lambda one: one.value),
    ]
