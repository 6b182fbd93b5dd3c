"""Deeds on documents: issue, void, discard."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Sum

from billing.invoicing.crediting import UnableToDiscard, UnableToVoid, discard_draft, void_invoice
from billing.invoicing.issuing import UnableToIssue, issue
from billing.models import CreditUse, Document, Invoice, InvoiceStatus
from catalog.deeds import Change, Deed
from catalog.wording import money_words


class IssueInvoice(Deed):
    name, label, permission = "issue_invoice", "Issue", "billing.issue_invoice"
    explanation = (
        "The document gets its number and is final: after this it can only be voided. "
        "Open credit notes of the customer are spent on it."
    )
    refusals = (UnableToIssue,)

    def applies(self, row: Invoice) -> bool:
        return row.status == InvoiceStatus.DRAFT

    def changes(self, row: Invoice, at: dt.datetime) -> Sequence[Change]:
        if row.status != InvoiceStatus.DRAFT:
            raise UnableToIssue(f"{row} is {row.get_status_display()} already; only a draft can be issued.")
        total = money_words(row.total, row.currency)
        if row.document == Document.CREDIT_NOTE:
            return [Change("Number", "none", "the next"), Change("Credit to the customer", "none", total)]
        left = _open_credit(row)
        spent = min(max(row.total, Decimal(0)), left)
        return [
            Change("Number", "none", "the next"),
            Change("Total", "not billed", total),
            Change("Credit notes left", money_words(left, row.currency), money_words(left - spent, row.currency)),
            Change("Amount due", "nothing", money_words(max(row.total, Decimal(0)) - spent, row.currency)),
        ]

    def do(self, row: Invoice, at: dt.datetime, by: AbstractBaseUser, asked: Mapping[str, Any]) -> str:
        issued = issue(row, at=at, by=by)
        return f"{issued.number} is issued; {money_words(issued.amount_due, issued.currency)} due on {issued.due_on}."


class VoidForm(forms.Form):
    reason = forms.CharField(
        label="Why", widget=forms.Textarea(attrs={"rows": 2, "cols": 60}), help_text="Why this document was wrong."
    )
    waive = forms.BooleanField(
        required=False, help_text="Let the amount go. Otherwise the next bill run bills the period again."
    )


class VoidInvoice(Deed):
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
        if drawn:
            changes.append(Change("Credit spent on it", money_words(drawn, row.currency), nothing))
        return changes

    def do(self, row: Invoice, at: dt.datetime, by: AbstractBaseUser, asked: Mapping[str, Any]) -> str:
        voided = void_invoice(row, reason=asked["reason"], at=at, waive=asked["waive"], by=by)
        ahead = "the amount is waived" if voided.waived else "the next bill run bills its period again"
        return f"{voided.number} is void; {ahead}."


class DiscardDraft(Deed):
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
