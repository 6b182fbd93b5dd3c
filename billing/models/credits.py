"""Credit, and what it paid."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from billing.models.invoices import Invoice, MoneyField
from catalog.auditing import Fact
from contracts.models import Contract


class CreditUseQuerySet(models.QuerySet["CreditUse"]):
    def standing(self) -> CreditUseQuerySet:
        """Credit still used up: not returned by a void."""
        return self.filter(returned_at__isnull=True)


class CreditUse(Fact):
    """Credit spent on an invoice at its issue, of a credit note or of a prepaid grant; returned when that is voided.

    A grant is named by its contract and key, which survive amendments.
    """

    changeable = ("returned_at",)

    credit_note = models.ForeignKey(Invoice, on_delete=models.PROTECT, null=True, related_name="uses")
    contract = models.ForeignKey(Contract, on_delete=models.PROTECT, null=True, related_name="credit_uses")
    grant_key = models.CharField(max_length=80, blank=True)
    description = models.CharField(max_length=200, blank=True, help_text="Of a grant, as printed on the invoice.")
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="credits")
    amount = models.DecimalField(max_digits=24, decimal_places=4)
    remaining = MoneyField(null=True, help_text="What the credit had left then.")
    used_at = models.DateTimeField()
    returned_at = models.DateTimeField(null=True)
    objects = CreditUseQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="credit_use_positive"),
            models.CheckConstraint(
                condition=Q(credit_note__isnull=False, contract__isnull=True, grant_key="")
                | (Q(credit_note__isnull=True, contract__isnull=False) & ~Q(grant_key="")),
                name="credit_use_of_one",
            ),
            models.UniqueConstraint(fields=["credit_note", "invoice"], name="credit_use_once"),
            models.UniqueConstraint(
                fields=["invoice", "grant_key"], condition=~Q(grant_key=""), name="credit_use_of_grant_once"
            ),
        ]
        indexes = [
            models.Index(fields=["contract", "grant_key"], condition=~Q(grant_key=""), name="credit_use_of_grant"),
        ]

    def __str__(self) -> str:
        return f"{self.name} on {self.invoice.number}: {self.amount}"

    @property
    def name(self) -> str:
        """The key of the grant, or the number of the credit note."""
        return self.grant_key or (self.credit_note.number or "" if self.credit_note else "")

    @property
    def words(self) -> str:
        """What was spent, as a document names it."""
        return self.description if self.grant_key else f"Credit note {self.name}"
