"""The desk of bill runs: what was run, what could not be billed, which periods are closed."""

from __future__ import annotations

import datetime as dt

from django.contrib import admin
from django.utils.html import format_html
from django.utils.safestring import SafeString

from billing.models import BillRun, BillRunFault, CreditUse, NumberSeries, PeriodClose
from catalog.columns import count, money
from catalog.desks import FactDesk, ShownInline


class FaultInline(ShownInline):
    model = BillRunFault
    fields = ["contract", "error"]
    verbose_name_plural = "contracts that could not be billed"


@admin.register(BillRun)
class BillRunDesk(FactDesk):
    list_display = [
        "started_at", "outcome", "as_of", "started_by", "took_figure", "closed_figure", "invoices_figure",
        "credit_notes_figure", "faults_figure",
    ]  # fmt: skip
    list_filter = ["at"]
    date_hierarchy = "at"
    ordering = ["-started_at"]
    fields = [("started_at", "finished_at"), ("as_of", "started_by"), ("closed", "invoices", "credit_notes", "faults")]
    readonly_fields = ["as_of", "started_by"]
    inlines = [FaultInline]
    empty_hint = "The schedule runs billing every hour; “Run billing now” is on the list of invoices."
    closed_figure = count("closed", title="periods closed")
    invoices_figure = count("invoices")
    credit_notes_figure = count("credit_notes")
    faults_figure = count("faults")

    @admin.display(description="outcome")
    def outcome(self, run: BillRun) -> SafeString:
        return outcome_label(run)

    @admin.display(description="billed as of", ordering="at")
    def as_of(self, run: BillRun) -> dt.datetime:
        return run.at

    @admin.display(description="started by", ordering="by")
    def started_by(self, run: BillRun) -> str:
        return run.by or "schedule or command"

    @admin.display(description="took")
    def took_figure(self, run: BillRun) -> str:
        if run.finished_at is None:
            return "-"
        return f"{(run.finished_at - run.started_at).total_seconds():,.1f} s"


def outcome_label(run: BillRun) -> SafeString:
    """How a run ended, as a coloured label."""
    if run.finished_at is None:
        return format_html('<span class="state warn">{}</span>', "not finished")
    if run.faults:
        return format_html('<span class="state bad">{}</span>', f"{run.faults:,} failed")
    return format_html('<span class="state good">{}</span>', "done")


@admin.register(BillRunFault)
class BillRunFaultDesk(FactDesk):
    list_display = ["contract", "error", "run"]
    list_filter = ["run__at"]
    list_select_related = ["contract", "run"]
    search_fields = ["contract__number", "error"]
    search_help_text = "A contract's number, or words of the error."
    ordering = ["-pk"]
    empty_hint = "Every contract could be billed."


@admin.register(PeriodClose)
class PeriodCloseDesk(FactDesk):
    list_display = ["contract", "starts_at", "ends_at", "closed_at", "invoice", "stale", "reopened_at"]
    list_filter = ["stale", ("reopened_at", admin.EmptyFieldListFilter), "closed_at"]
    list_select_related = ["contract", "invoice"]
    search_fields = ["contract__number", "invoice__number"]
    search_help_text = "A contract's or an invoice's number."
    ordering = ["-pk"]
    empty_hint = "A period is closed by the first bill run after its end and its tolerance window."


@admin.register(NumberSeries)
class NumberSeriesDesk(FactDesk):
    list_display = ["prefix", "seller", "document", "next_figure"]
    list_select_related = ["seller"]
    ordering = ["prefix"]
    empty_hint = "A series begins with the first document that a seller issues."
    next_figure = count("next_seq", title="next number")


@admin.register(CreditUse)
class CreditUseDesk(FactDesk):
    list_display = ["source", "contract", "invoice", "amount_figure", "remaining_figure", "used_at", "returned_at"]
    list_filter = [
        ("returned_at", admin.EmptyFieldListFilter), ("credit_note", admin.EmptyFieldListFilter), "used_at",
    ]  # fmt: skip
    list_select_related = ["credit_note", "invoice", "contract"]
    search_fields = ["credit_note__number", "invoice__number", "grant_key", "contract__number"]
    search_help_text = "The number of a credit note, an invoice or a contract, or the key of a grant."
    ordering = ["-pk"]
    empty_hint = "Prepaid grants and credit notes are spent on the next invoices, when these are issued."
    amount_figure = money("amount", currency="invoice.currency")
    remaining_figure = money("remaining", currency="invoice.currency", title="left then", with_currency=False)

    @admin.display(description="credit", ordering="credit_note__number")
    def source(self, use: CreditUse) -> str:
        return f"{use.description} ({use.grant_key})" if use.grant_key else use.words
