"""Deeds on documents: issue, void, discard."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib.auth.models import AbstractBaseUser
from django.db.models import QuerySet, Sum
from django.http import HttpRequest, HttpResponse

from billing.invoicing.crediting import UnableToDiscard, UnableToVoid, discard_draft, void_invoice
from billing.invoicing.drawing import draw_credit
from billing.invoicing.issuing import UnableToIssue, issue
from billing.models import CreditUse, Document, Invoice, InvoiceStatus
from catalog.deeds import Change, Deed
from catalog.money import exact_sum
from catalog.wording import money_words, period_words


class DocumentDeed(Deed):
    """A deed on a document; its confirm page says whose it is, and for which days."""

    def title(self, row: Invoice) -> str:
        return f"{row}, {row.customer}, contract {row.contract}, {period_words(row.period_start, row.period_end)}"

    def run(self, desk: Any, request: HttpRequest, rows: QuerySet[Any]) -> HttpResponse:
        """In the order they were made, whatever the list is sorted by: so the numbers follow it."""
        return super().run(desk, request, rows.order_by("pk"))

    def overall(self, rows: Sequence[Invoice]) -> str:
        """How many documents are chosen, and what they come to in each currency."""
        sums: dict[str, Decimal] = {}
        for row in rows:
            sums[row.currency] = sums.get(row.currency, Decimal(0)) + row.total
        come_to = ", ".join(money_words(amount, currency) for currency, amount in sorted(sums.items()))
        return f"{len(rows)} documents, {come_to} with tax."


class IssueInvoice(DocumentDeed):
    name, label, permission = "issue_invoice", "Issue", "billing.issue_invoice"
    explanation = (
        "The document gets its number and is final: after this it can only be voided. "
        "Prepaid credit of its contract and open credit notes of the customer are spent on it."
    )
    refusals = (UnableToIssue,)

    def applies(self, row: Invoice) -> bool:
        return row.status == InvoiceStatus.DRAFT

    def changes(self, row: Invoice, at: dt.datetime) -> Sequence[Change]:
        if row.status != InvoiceStatus.DRAFT:
            raise UnableToIssue(f"{row} is {row.get_status_display()} already; only a draft can be issued.")
        total = money_words(row.total, row.currency)
        if row.document == Document.CREDIT_NOTE:
            then = money_words(_open_credit(row) - row.total, row.currency)
            return [
                Change("Number", "none", "the next"),
                Change("Credit notes left", money_words(_open_credit(row), row.currency), then),
            ]
        left, owed = _open_credit(row), _owed(row)
        [uses] = draw_credit([row], at, unlocked=[row.lines.all()])
        of_notes = exact_sum(use.amount for use in uses if not use.grant_key)
        return [
            Change("Number", "none", "the next"),
            Change("Total", "not billed", total),
            *(_drawn_from_grant(use, row.currency) for use in uses if use.grant_key),
            Change("Credit notes left", money_words(left, row.currency), money_words(left - of_notes, row.currency)),
            Change("Amount due", "nothing", money_words(row.amount_due, row.currency)),
            Change(
                "The customer owes", money_words(owed, row.currency), money_words(owed + row.amount_due, row.currency)
            ),
        ]

    def do(self, row: Invoice, at: dt.datetime, by: AbstractBaseUser, asked: Mapping[str, Any]) -> str:
        issued = issue(row, at=at, by=by)
        if issued.document == Document.CREDIT_NOTE:
            return f"{issued.number} is issued: {money_words(-issued.total, issued.currency)} to the customer's credit."
        return f"{issued.number} is issued; {money_words(issued.amount_due, issued.currency)} due on {issued.due_on}."


class VoidForm(forms.Form):
    reason = forms.CharField(
        label="Why", widget=forms.Textarea(attrs={"rows": 2, "cols": 60}), help_text="Why this document was wrong."
    )
    waive = forms.BooleanField(
        required=False, help_text="Let the amount go. Otherwise the next bill run bills the period again."
    )


class VoidInvoice(DocumentDeed):
    name, label, permission = "void_invoice", "Void", "billing.void_invoice"
    explanation = (
        "The document keeps its number and stays readable, marked void. Its lines leave what is billed, credit it drew "
        "returns, and its period opens again."
    )
    refusals = (UnableToVoid,)
    form_class = VoidForm
    is_grave = True

    def applies(self, row: Invoice) -> bool:
        return row.status == InvoiceStatus.ISSUED

    def changes(self, row: Invoice, at: dt.datetime) -> Sequence[Change]:
        if row.status != InvoiceStatus.ISSUED:
            raise UnableToVoid(f"{row} is {row.get_status_display()}; only an issued document can be voided.")
        nothing = money_words(0, row.currency)
        drawn = CreditUse.objects.standing().filter(invoice=row).aggregate(sum=Sum("amount"))["sum"] or 0
        changes = [
            Change("Status", row.get_status_display(), InvoiceStatus.VOIDED.label),
            Change("Billed before tax", money_words(row.subtotal, row.currency), nothing),
            Change("Total", money_words(row.total, row.currency), nothing),
            Change("Amount due", money_words(row.amount_due, row.currency), nothing),
        ]
        if row.amount_due:
            owed = _owed(row)
            after = money_words(owed - row.amount_due, row.currency)
            changes.append(Change("The customer owes", money_words(owed, row.currency), after))
        if drawn:
            changes.append(Change("Credit spent on it", money_words(drawn, row.currency), nothing))
        return changes

    def do(self, row: Invoice, at: dt.datetime, by: AbstractBaseUser, asked: Mapping[str, Any]) -> str:
        voided = void_invoice(row, reason=asked["reason"], at=at, waive=asked["waive"], by=by)
        ahead = "the amount is waived" if voided.waived else "the next bill run bills its period again"
        return f"{voided.number} is void; {ahead}."


class DiscardDraft(DocumentDeed):
    name, label, permission = "discard_draft", "Discard", "billing.delete_invoice"
    explanation = "The draft goes, its periods open again, and the next bill run makes it anew."
    refusals = (UnableToDiscard,)

    def applies(self, row: Invoice) -> bool:
        return row.status == InvoiceStatus.DRAFT

    def changes(self, row: Invoice, at: dt.datetime) -> Sequence[Change]:
        if row.status != InvoiceStatus.DRAFT:
            raise UnableToDiscard(f"{row} is {row.get_status_display()}: void it instead.")
        nothing = money_words(0, row.currency)
        return [Change("Claimed by this draft, before tax", money_words(row.subtotal, row.currency), nothing)]

    def do(self, row: Invoice, at: dt.datetime, by: AbstractBaseUser, asked: Mapping[str, Any]) -> str:
        discard_draft(row, at=at)
        return "The draft is gone; the next bill run makes it anew."


def _drawn_from_grant(use: CreditUse, currency: str) -> Change:
    left = use.remaining or Decimal(0)
    return Change(f"{use.words} left", money_words(left + use.amount, currency), money_words(left, currency))


def _owed(invoice: Invoice) -> Decimal:
    """What the customer of an invoice owes on all its issued invoices in that currency."""
    due = Invoice.objects.invoices().issued().filter(customer=invoice.customer_id, currency=invoice.currency)
    return due.aggregate(sum=Sum("amount_due"))["sum"] or Decimal(0)


def _open_credit(invoice: Invoice) -> Decimal:
    """What is left of the customer's credit notes in the currency and with the seller of an invoice."""
    notes = (
        Invoice.objects.credit_notes()
        .issued()
        .filter(customer=invoice.customer_id, seller=invoice.seller_id, currency=invoice.currency)
    )
    granted = notes.aggregate(sum=Sum("total"))["sum"] or Decimal(0)
    used = CreditUse.objects.standing().filter(credit_note__in=notes).aggregate(sum=Sum("amount"))["sum"] or Decimal(0)
    return -granted - used
