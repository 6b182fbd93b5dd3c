"""The desk of bill runs: what was run, what could not be billed, which periods are closed."""

from __future__ import annotations

from django.contrib import admin

from billing.models import BillRun, BillRunFault, CreditUse, NumberSeries, PeriodClose
from catalog.desks import FactDesk, ShownInline
from catalog.wording import money_words


class FaultInline(ShownInline):
    model = BillRunFault
    fields = ["contract", "error"]


@admin.register(BillRun)
class BillRunDesk(FactDesk):
    list_display = [
        "at", "started_at", "finished_at", "closed_figure", "invoices_figure", "credit_notes_figure", "faults_figure",
    ]  # fmt: skip
    list_filter = ["at"]
    date_hierarchy = "at"
    ordering = ["-started_at"]
    inlines = [FaultInline]

    @admin.display(description="periods closed", ordering="closed")
    def closed_figure(self, run: BillRun) -> str:
        return f"{run.closed:,}"

    @admin.display(description="invoices", ordering="invoices")
    def invoices_figure(self, run: BillRun) -> str:
        return f"{run.invoices:,}"

    @admin.display(description="credit notes", ordering="credit_notes")
    def credit_notes_figure(self, run: BillRun) -> str:
        return f"{run.credit_notes:,}"

    @admin.display(description="faults", ordering="faults")
    def faults_figure(self, run: BillRun) -> str:
        return f"{run.faults:,}"


@admin.register(BillRunFault)
class BillRunFaultDesk(FactDesk):
    list_display = ["contract", "error", "run"]
    list_select_related = ["contract", "run"]
    search_fields = ["contract__number", "error"]
    ordering = ["-pk"]


@admin.register(PeriodClose)
class PeriodCloseDesk(FactDesk):
    list_display = ["contract", "starts_at", "ends_at", "closed_at", "invoice", "stale", "reopened_at"]
    list_filter = ["stale", ("reopened_at", admin.EmptyFieldListFilter), "closed_at"]
    list_select_related = ["contract", "invoice"]
    search_fields = ["contract__number", "invoice__number"]
    date_hierarchy = "starts_at"
    ordering = ["-closed_at", "contract__number"]


@admin.register(NumberSeries)
class NumberSeriesDesk(FactDesk):
    list_display = ["prefix", "seller", "document", "next_seq"]
    list_select_related = ["seller"]
    ordering = ["prefix"]


@admin.register(CreditUse)
class CreditUseDesk(FactDesk):
    list_display = ["credit_note", "invoice", "amount_figure", "used_at", "returned_at"]
    list_filter = [("returned_at", admin.EmptyFieldListFilter), "used_at"]
    list_select_related = ["credit_note", "invoice"]
    search_fields = ["credit_note__number", "invoice__number"]
    ordering = ["-used_at", "-pk"]

    @admin.display(description="amount", ordering="amount")
    def amount_figure(self, use: CreditUse) -> str:
        return money_words(use.amount, use.invoice.currency)
