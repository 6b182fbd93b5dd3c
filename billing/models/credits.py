"""Credit, and what it paid."""

from __future__ import annotations

from django.db import models

from billing.models.invoices import Invoice
from catalog.auditing import Fact


class CreditUseQuerySet(models.QuerySet["CreditUse"]):
    def standing(self) -> CreditUseQuerySet:
        """Credit still used up: not returned by a void."""
        return self.filter(returned_at__isnull=True)


class CreditUse(Fact):
    """Credit of a credit note spent on an invoice at its issue; returned when the invoice is voided."""

    changeable = ("returned_at",)

    credit_note = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="uses")
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="credits")
    amount = models.DecimalField(max_digits=24, decimal_places=4)
    used_at = models.DateTimeField()
    returned_at = models.DateTimeField(null=True)
    objects = CreditUseQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(amount__gt=0), name="credit_use_positive"),
            models.UniqueConstraint(fields=["credit_note", "invoice"], name="credit_use_once"),
        ]

    def __str__(self) -> str:
        return f"{self.credit_note.number} on {self.invoice.number}: {self.amount}"
