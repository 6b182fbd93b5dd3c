"""Closed periods, documents and their lines, and the numbers they get.

An invoice is drafted, then issued; from then on the database refuses to change its content or its lines. What is
billed for a key is the sum of the lines of documents that are not voided; a draft already claims what it carries, so
that a second run does not bill it again.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from billing.models.usage import NumericField
from catalog.auditing import Fact
from catalog.models import Seller, TaxBehavior
from contracts.models import Contract, Customer


class MoneyField(models.DecimalField[Any, Any]):
    """An amount of money in a currency of up to four decimals."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_digits": 24, "decimal_places": 4, **options})


class NumberSeries(Fact):
    """The numbers of one seller's documents of one kind, without a gap. Locked while a number is taken."""

    changeable = ("next_seq",)

    seller = models.ForeignKey(Seller, on_delete=models.PROTECT, related_name="number_series")
    document = models.CharField(max_length=12)
    prefix = models.CharField(max_length=20)
    next_seq = models.PositiveIntegerField(default=1)

    class Meta:
        verbose_name_plural = "number series"
        constraints = [
            models.UniqueConstraint(fields=["seller", "document"], name="number_series_per_document"),
            models.UniqueConstraint(fields=["prefix"], name="number_series_prefix"),
        ]

    def __str__(self) -> str:
        return self.prefix


class Document(models.TextChoices):
    INVOICE = "invoice"
    CREDIT_NOTE = "credit_note", "credit note"


class InvoiceStatus(models.TextChoices):
    DRAFT = "draft"
    ISSUED = "issued"
    VOIDED = "voided"


class Purpose(models.TextChoices):
    CLOSE = "close", "a period's close"
    ADVANCE = "advance", "the first period, in advance"
    ADJUSTMENT = "adjustment", "adjustments after the contract's end"


class InvoiceQuerySet(models.QuerySet["Invoice"]):
    def invoices(self) -> InvoiceQuerySet:
        return self.filter(document=Document.INVOICE)

    def credit_notes(self) -> InvoiceQuerySet:
        return self.filter(document=Document.CREDIT_NOTE)

    def issued(self) -> InvoiceQuerySet:
        return self.filter(status=InvoiceStatus.ISSUED)

    def drafts(self) -> InvoiceQuerySet:
        return self.filter(status=InvoiceStatus.DRAFT)


class Invoice(Fact):
    """A document to a customer: an invoice, or (below zero) a credit note. `number` comes at issue."""

    changeable = (
        "status", "series", "seq", "prev_seq", "number", "issued_at", "issued_by", "due_on", "credited", "amount_due",
        "voided_at", "voided_by", "void_reason", "waived",
    )  # fmt: skip
    deletable = True

    document = models.CharField(max_length=12, choices=Document, default=Document.INVOICE)
    purpose = models.CharField(max_length=12, choices=Purpose)
    status = models.CharField(max_length=8, choices=InvoiceStatus, default=InvoiceStatus.DRAFT)
    contract = models.ForeignKey(Contract, on_delete=models.PROTECT, related_name="invoices")
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="invoices")
    seller = models.ForeignKey(Seller, on_delete=models.PROTECT, related_name="invoices")
    currency = models.CharField(max_length=3)
    period_starts_at = models.DateTimeField(help_text="The billing period, as instants ...")
    period_ends_at = models.DateTimeField()
    period_start = models.DateField(help_text="... and as days of the contract's time zone: the first,")
    period_end = models.DateField(help_text="and the day after the last.")
    drafted_at = models.DateTimeField()
    seller_details = models.JSONField(help_text="Name, address and tax id as they were.")
    customer_details = models.JSONField(help_text="Name, address and tax id as they were.")
    subtotal = MoneyField()
    tax = models.JSONField(default=list, help_text="[{code, percent, base, amount}], decimal strings.")
    total = MoneyField()

    series = models.ForeignKey(NumberSeries, on_delete=models.PROTECT, null=True, related_name="invoices")
    seq = models.PositiveIntegerField(null=True)
    prev_seq = models.PositiveIntegerField(null=True)
    number = models.CharField(max_length=40, null=True, unique=True)  # noqa: DJ001  (null: drafts have none)
    issued_at = models.DateTimeField(null=True)
    issued_by = models.CharField(max_length=250, blank=True, help_text="A user, an API key, or a bill run.")
    due_on = models.DateField(null=True)
    credited = MoneyField(default=0, help_text="Paid by prepaid grants and credit notes, at issue.")
    amount_due = MoneyField(default=0)
    voided_at = models.DateTimeField(null=True)
    voided_by = models.CharField(max_length=250, blank=True, help_text="A user or an API key.")
    void_reason = models.TextField(blank=True)
    waived = models.BooleanField(default=False)
    objects = InvoiceQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["series", "seq"], name="invoice_number_once"),
            models.CheckConstraint(
                condition=Q(status=InvoiceStatus.DRAFT, seq__isnull=True)
                | (~Q(status=InvoiceStatus.DRAFT) & Q(seq__isnull=False, number__isnull=False)),
                name="invoice_numbered_when_issued",
            ),
            models.CheckConstraint(
                condition=Q(seq__isnull=True) | Q(seq=1, prev_seq__isnull=True) | Q(seq__gt=1, prev_seq=F("seq") - 1),
                name="invoice_names_the_number_before",
            ),
        ]
        indexes = [
            models.Index(fields=["customer", "period_starts_at"], name="invoice_customer_period"),
            models.Index(fields=["status"], condition=Q(status="draft"), name="invoice_drafts"),
            models.Index(fields=["issued_at"], name="invoice_issued"),
            models.Index(fields=["voided_at"], condition=Q(voided_at__isnull=False), name="invoice_voided"),
        ]
        permissions = [
            ("issue_invoice", "Can issue an invoice"),
            ("void_invoice", "Can void an invoice"),
            ("run_billing", "Can start a bill run"),
        ]

    def __str__(self) -> str:
        return self.number or f"draft {self.pk}"

    @property
    def still_due(self) -> Decimal:
        """What its customer is to pay: nothing once it is voided."""
        return Decimal(0) if self.status == InvoiceStatus.VOIDED else self.amount_due


class CreditNoteManager(models.Manager["CreditNote"]):
    def get_queryset(self) -> models.QuerySet[CreditNote]:
        return super().get_queryset().filter(document=Document.CREDIT_NOTE)


class CreditNote(Invoice):
    """A document below zero; spent on later invoices."""

    objects = CreditNoteManager()  # type: ignore[assignment,misc]

    class Meta:
        proxy = True


class LineKind(models.TextChoices):
    RECURRING = "recurring"
    USAGE = "usage"
    ONE_TIME = "one_time", "one-time"
    ADJUSTMENT = "adjustment"
    DISCOUNT = "discount"
    TRUE_UP = "true_up", "true-up"
    CREDIT = "credit"


class InvoiceLine(Fact):
    """A line of a document. Its entry is named by (contract, period_starts_at, entry_key)."""

    deletable = True

    invoice = models.ForeignKey(Invoice, on_delete=models.CASCADE, related_name="lines")
    position = models.PositiveSmallIntegerField()
    kind = models.CharField(max_length=12, choices=LineKind)
    contract = models.ForeignKey(Contract, on_delete=models.PROTECT, related_name="+")
    period_starts_at = models.DateTimeField(help_text="The billing period the entry belongs to.")
    entry_key = models.TextField()
    entry_kind = models.CharField(max_length=12, help_text="The entry's own kind, also where the line adjusts it.")
    tax_key = models.TextField(help_text="The entry whose net the tax is taken on.")
    price = models.CharField(max_length=80, blank=True)
    meter = models.CharField(max_length=80, blank=True)
    term = models.CharField(max_length=200, help_text="The price version or contract term it comes from.")
    contract_line = models.CharField(max_length=80, blank=True)
    description = models.TextField()
    unit = models.CharField(max_length=40, blank=True)
    quantity = NumericField()
    amount = MoneyField()
    tax_category = models.CharField(max_length=80, blank=True)
    tax_behavior = models.CharField(
        max_length=10, default=TaxBehavior.EXCLUSIVE, help_text="Whether its price was with tax; the amount never is."
    )
    taxes = models.JSONField(default=list, help_text="[{code, percent, base, amount}], decimal strings.")
    tax_percent = models.DecimalField(max_digits=9, decimal_places=4, default=0, help_text="The sum of its rates.")
    tax_amount = MoneyField(default=0, help_text="The sum of its taxes.")
    service_starts_at = models.DateTimeField()
    service_ends_at = models.DateTimeField()
    service_start = models.DateField()
    service_end = models.DateField()
    clock_from = models.BigIntegerField(null=True, help_text="Its events have a stamp above this one ...")
    clock_to = models.BigIntegerField(null=True, help_text="... and at most this one.")
    extent = models.JSONField(
        default=list,
        help_text="Where no two clocks say it (after a void, or where terms moved its days): "
        "[[times, service starts, service ends, clock]] that add up to its events.",
    )
    selection = models.JSONField(
        default=dict, help_text="Which of the meter's use it is for, where its price has filters or leaves some out."
    )
    corrects = models.OneToOneField(
        "self",
        on_delete=models.PROTECT,
        null=True,
        related_name="corrected_by",
        help_text="The line it adjusts.",
    )
    steps = models.JSONField(default=list)

    class Meta:
        ordering = ["invoice", "position"]
        constraints = [models.UniqueConstraint(fields=["invoice", "position"], name="invoice_line_position")]
        indexes = [
            models.Index(fields=["contract", "period_starts_at", "entry_key"], name="invoice_line_entry"),
            models.Index(fields=["contract", "term"], condition=Q(entry_kind="credit"), name="invoice_line_credit"),
        ]

    def __str__(self) -> str:
        return f"{self.invoice_id}.{self.position}"


class PeriodCloseQuerySet(models.QuerySet["PeriodClose"]):
    def standing(self) -> PeriodCloseQuerySet:
        """Closed and not opened again by a void."""
        return self.filter(reopened_at__isnull=True)


class PeriodClose(Fact):
    """A period is closed. One row for each contract and period: the lock between two runs.

    `clock` and `revision` say what was known when it was last rated, `closing` what it leaves to the next period;
    `stale` that something changed since.
    """

    changeable = ("clock", "revision", "stale", "invoice", "reopened_at", "closing")

    contract = models.ForeignKey(Contract, on_delete=models.PROTECT, related_name="closes")
    customer_id = models.BigIntegerField()
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    closed_at = models.DateTimeField()
    clock = models.BigIntegerField()
    revision = models.PositiveIntegerField()
    tax = models.JSONField(default=dict, help_text="What it was closed with: rates by category, exemption, rounding.")
    stale = models.BooleanField(default=False)
    closing = models.JSONField(
        default=dict, help_text="What crosses periods, by term: {key: amount}, decimal strings, as it was last rated."
    )
    invoice = models.ForeignKey(Invoice, on_delete=models.SET_NULL, null=True, related_name="closes")
    reopened_at = models.DateTimeField(null=True)
    objects = PeriodCloseQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["contract", "starts_at"],
                condition=Q(reopened_at__isnull=True),
                name="period_closed_once",
            ),
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="period_ends_after_start"),
        ]
        indexes = [models.Index(fields=["contract"], condition=Q(stale=True), name="period_close_stale")]

    def __str__(self) -> str:
        return f"{self.contract_id} {self.starts_at:%Y-%m-%d}"


class BillRun(Fact):
    """One bill run: when, as of when, and what it did."""

    changeable = ("finished_at", "invoices", "credit_notes", "closed", "faults")

    at = models.DateTimeField(help_text="The instant it bills as of.")
    by = models.CharField(max_length=250, blank=True, help_text="Who started it; empty: the schedule or a command.")
    started_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)
    closed = models.PositiveIntegerField(default=0)
    invoices = models.PositiveIntegerField(default=0)
    credit_notes = models.PositiveIntegerField(default=0)
    faults = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"run {self.pk} at {self.at:%Y-%m-%d %H:%M}"


class BillRunFault(Fact):
    """A contract that could not be billed in a run, and why. The next run tries it again."""

    run = models.ForeignKey(BillRun, on_delete=models.PROTECT, related_name="fault_rows")
    contract = models.ForeignKey(Contract, on_delete=models.PROTECT, related_name="+")
    error = models.TextField()

    def __str__(self) -> str:
        return f"{self.contract_id}: {self.error}"
