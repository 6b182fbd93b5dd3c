"""Who agreed to what, and when: customers, the subjects they are known by, contracts and their terms."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import ArrayField, DateRangeField, RangeBoundary, RangeOperators
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Func, Q

from catalog.auditing import history, two_persons
from catalog.entitlements import EntitlementKind, OnLimit, Reset, UnitsField
from catalog.models import KEY, Interval, PlanVersion, Seller, TaxBehavior, demand_tax_id, validate_currency


class DateRange(Func):
    """[from, until) of two date columns, for the exclusion constraint."""

    function = "DATERANGE"
    output_field = DateRangeField()


class Customer(models.Model):
    """Whoever uses and pays. Known to events by its key and by its subjects."""

    key = models.CharField(max_length=80, unique=True, validators=[KEY])
    name = models.CharField(max_length=200)
    country = models.CharField(max_length=2, blank=True, help_text="Two letters, ISO 3166: decides the tax rate.")
    timezone = models.CharField(max_length=60, blank=True, help_text="Empty: the seller's.")
    tax_id = models.CharField(
        "tax id", max_length=40, blank=True,
        help_text="In the EU and the UK a VAT id. One of another EU country than the seller's: reverse charge.",
    )  # fmt: skip
    tax_exempt = models.BooleanField(
        default=False, help_text="Pays no tax. Counts for what is not closed yet; closed periods stay as they are."
    )
    tax_exempt_reason = models.CharField("why exempt", max_length=200, blank=True, help_text="As printed on invoices.")
    billing_address = models.TextField(blank=True)
    history = history()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(tax_exempt=False) | ~Q(tax_exempt_reason=""),
                name="customer_exempt_for_a_reason",
                violation_error_message="Say why the customer pays no tax.",
            )
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        demand_tax_id(self.tax_id, self.country)
        if self.tax_exempt and not self.tax_exempt_reason.strip():
            raise ValidationError({"tax_exempt_reason": "Say why the customer pays no tax."})


class CustomerAlias(models.Model):
    """A subject under which events of a customer arrive. A subject belongs to one customer."""

    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="aliases")
    subject = models.CharField(max_length=255, unique=True)
    history = history()

    class Meta:
        verbose_name_plural = "customer aliases"

    def __str__(self) -> str:
        return self.subject


class Contact(models.Model):
    """A person at the customer's to write to."""

    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="contacts")
    name = models.CharField(max_length=200, blank=True)
    email = models.EmailField()
    receives_invoices = models.BooleanField(default=True)
    receives_notices = models.BooleanField(default=True, help_text="How much of an allowance is used.")
    history = history()

    def __str__(self) -> str:
        return self.email


class ContractStatus(models.TextChoices):
    DRAFT = "draft"
    REVIEW = "review", "in review"
    APPROVED = "approved"


class Anchor(models.TextChoices):
    START = "start", "the contract's start"
    CALENDAR = "calendar"


class ContractQuerySet(models.QuerySet["Contract"]):
    def approved(self) -> ContractQuerySet:
        return self.filter(status=ContractStatus.APPROVED)


class Contract(models.Model):
    """An agreement with a customer. Its terms are its lines, discounts and one-time terms that are not superseded."""

    number = models.CharField(max_length=80, unique=True)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="contracts")
    seller = models.ForeignKey(Seller, on_delete=models.PROTECT, related_name="contracts")
    status = models.CharField(max_length=10, choices=ContractStatus, default=ContractStatus.DRAFT)
    currency = models.CharField(max_length=3, validators=[validate_currency])
    starts_on = models.DateField()
    ends_on = models.DateField(null=True, blank=True, help_text="The first day that is no longer covered.")
    anchor = models.CharField(max_length=10, choices=Anchor, default=Anchor.START)
    bill_day = models.PositiveSmallIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(31)],
        help_text="The day of the month on which periods begin, or its last. Empty: as the anchor says.",
    )  # fmt: skip
    timezone = models.CharField(max_length=60, blank=True, help_text="Empty: the customer's, else the seller's.")
    tolerance_window = models.DurationField(null=True, blank=True, help_text="Empty: the plan's, else the seller's.")
    payment_terms_days = models.PositiveSmallIntegerField("days to pay", default=30)
    purchase_order = models.CharField(max_length=80, blank=True)
    renewal_auto = models.BooleanField(
        "renews by itself", default=False, help_text="At its end, unless it is cancelled before the notice day."
    )
    renewal_months = models.PositiveSmallIntegerField(
        "renewed for", default=12, validators=[MinValueValidator(1), MaxValueValidator(120)], help_text="Months."
    )
    renewal_notice_days = models.PositiveSmallIntegerField(
        "notice", default=30, validators=[MaxValueValidator(1000)], help_text="So many days before its end it renews."
    )
    renewal_uplift_percent = models.DecimalField(
        "uplift at renewal", max_digits=12, decimal_places=6, default=Decimal(0),
        validators=[MinValueValidator(Decimal(-100))], help_text="Percent on all prices, on top of earlier ones.",
    )  # fmt: skip
    submitted_by = models.CharField(max_length=80, blank=True, editable=False, help_text="user:ID, key:ID or operator.")
    approved_by = models.CharField(max_length=80, blank=True, editable=False, help_text="Another than submitted it.")
    revision = models.PositiveIntegerField(
        default=0, editable=False, help_text="Counts the changes of terms; tells which closed periods to rate again."
    )
    history = history()
    objects = ContractQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(ends_on__isnull=True) | Q(ends_on__gt=F("starts_on")),
                name="contract_ends_after_start",
                violation_error_message="A contract ends after it starts.",
            ),
            models.CheckConstraint(
                condition=Q(bill_day__isnull=True) | Q(bill_day__gte=1, bill_day__lte=31, anchor=Anchor.START),
                name="contract_bill_day",
                violation_error_message="A bill day is 1 to 31; a calendar contract has none.",
            ),
            models.CheckConstraint(
                condition=Q(renewal_auto=False) | Q(ends_on__isnull=False, renewal_months__gte=1),
                name="contract_renews_at_its_end",
                violation_error_message="Only a contract that ends renews by itself, and for a month or more.",
            ),
            models.CheckConstraint(condition=two_persons(), name="contract_two_persons"),
        ]
        indexes = [
            models.Index(fields=["ends_on"], condition=Q(status=ContractStatus.APPROVED), name="contract_approved_ends")
        ]
        permissions = [
            ("submit_contract", "Can submit a contract for approval"),
            ("approve_contract", "Can approve a contract"),
            ("amend_contract", "Can amend a contract"),
            ("end_contract", "Can end a contract"),
            ("migrate_contract", "Can move contracts to another version of their plan"),
            ("renew_contract", "Can renew a contract"),
        ]

    def __str__(self) -> str:
        return self.number

    def timezone_name(self) -> str:
        return self.timezone or self.customer.timezone or self.seller.timezone


class TermQuerySet(models.QuerySet[Any]):
    def in_force(self) -> TermQuerySet:
        """Terms that no amendment has replaced."""
        return self.filter(superseded_at__isnull=True)


class Term(models.Model):
    """A dated term of a contract. An amendment supersedes it; it is never edited once the contract is approved."""

    superseded_at = models.DateTimeField(null=True, blank=True, editable=False)
    objects = TermQuerySet.as_manager()

    class Meta:
        abstract = True


class ContractLine(Term):
    """One plan version over a range of days. Its key survives amendments."""

    contract = models.ForeignKey(Contract, on_delete=models.CASCADE, related_name="lines")
    key = models.CharField(max_length=80, validators=[KEY], blank=True, help_text="Empty: the plan's key.")
    plan_version = models.ForeignKey(PlanVersion, on_delete=models.PROTECT, related_name="contract_lines")
    quantity = models.DecimalField(
        max_digits=20, decimal_places=6, default=Decimal(1), validators=[MinValueValidator(Decimal(0))]
    )
    starts_on = models.DateField()
    ends_on = models.DateField(null=True, blank=True, help_text="The first day that is no longer covered.")
    uplift_percent = models.DecimalField(
        "uplift", max_digits=12, decimal_places=6, default=Decimal(0), validators=[MinValueValidator(Decimal(-100))],
        help_text="Percent on all of its prices, as a renewal raises them.",
    )  # fmt: skip
    trial_days = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Free days at its start. Empty: as many as the plan version gives."
    )
    position = models.PositiveSmallIntegerField(default=0)
    history = history()

    class Meta:
        ordering = ["position", "starts_on", "id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(ends_on__isnull=True) | Q(ends_on__gt=F("starts_on")),
                name="contract_line_ends_after_start",
                violation_error_message="A line ends after it starts.",
            ),
            ExclusionConstraint(
                name="contract_line_overlap",
                expressions=[
                    ("contract", RangeOperators.EQUAL),
                    ("key", RangeOperators.EQUAL),
                    (DateRange("starts_on", "ends_on", RangeBoundary()), RangeOperators.OVERLAPS),
                ],
                condition=Q(superseded_at__isnull=True),
                violation_error_message="Two lines of this key overlap.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.contract.number}/{self.key}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.key = self.key or self.plan_version.plan.key
        super().save(*args, **kwargs)


def validate_numbers(terms: Any) -> None:
    """Refuse what is no object with the fields of a price."""
    if not isinstance(terms, dict):
        raise ValidationError('Say what the price says instead, as in {"unit_amount": "0.0015"}.')


class PriceOverride(Term):
    """Other numbers for one price of a contract line: what is given replaces what the plan version says."""

    contract = models.ForeignKey(Contract, on_delete=models.CASCADE, related_name="overrides")
    line = models.CharField(max_length=80, validators=[KEY], help_text="The key of the line.")
    price = models.CharField(max_length=80, validators=[KEY], help_text="The key of the price.")
    terms = models.JSONField(
        default=dict,
        blank=True,
        validators=[validate_numbers],
        help_text='What it says instead: {"unit_amount": "0.0015"}, decimal strings.',
    )
    starts_on = models.DateField()
    ends_on = models.DateField(null=True, blank=True, help_text="The first day it no longer counts.")
    history = history()

    class Meta:
        ordering = ["line", "price", "starts_on", "id"]
        constraints = [
            ExclusionConstraint(
                name="price_override_overlap",
                expressions=[
                    ("contract", RangeOperators.EQUAL),
                    ("line", RangeOperators.EQUAL),
                    ("price", RangeOperators.EQUAL),
                    (DateRange("starts_on", "ends_on", RangeBoundary()), RangeOperators.OVERLAPS),
                ],
                condition=Q(superseded_at__isnull=True),
                violation_error_message="Two overrides of this price overlap.",
            ),
            models.CheckConstraint(
                condition=Q(ends_on__isnull=True) | Q(ends_on__gt=F("starts_on")),
                name="price_override_ends_after_start",
                violation_error_message="An override ends after it starts.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.contract.number}/{self.key}"

    @property
    def key(self) -> str:
        return f"{self.line}/{self.price}"


class DiscountKind(models.TextChoices):
    PERCENT = "percent"
    AMOUNT = "amount"
    QUANTITY = "quantity", "units free"


class Discount(Term):
    """Less to pay: on named prices, or (with none named) on all entries of a period."""

    contract = models.ForeignKey(Contract, on_delete=models.CASCADE, related_name="discounts")
    key = models.CharField(max_length=80, validators=[KEY])
    kind = models.CharField(max_length=10, choices=DiscountKind)
    value = models.DecimalField(
        max_digits=30, decimal_places=12, validators=[MinValueValidator(Decimal(0))],
        help_text="Percent, or an amount or a number of units for each billing period.",
    )  # fmt: skip
    total = models.DecimalField(
        max_digits=24, decimal_places=4, null=True, blank=True, validators=[MinValueValidator(Decimal(0))],
        help_text="It runs out once it has taken off this much in all. Empty: it does not run out.",
    )  # fmt: skip
    applies_to = ArrayField(models.CharField(max_length=80), default=list, blank=True, help_text="Keys of prices.")
    starts_on = models.DateField()
    ends_on = models.DateField(null=True, blank=True, help_text="The first day it no longer counts.")
    position = models.PositiveSmallIntegerField(default=0)
    history = history()

    class Meta:
        ordering = ["position", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["contract", "key"], condition=Q(superseded_at__isnull=True), name="discount_key"
            ),
            models.CheckConstraint(
                condition=Q(value__gte=0) & (~Q(kind=DiscountKind.PERCENT) | Q(value__lte=100)),
                name="discount_value",
                violation_error_message="A discount is not negative, and at most 100 percent.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.contract.number}/{self.key}"


class CommitmentKind(models.TextChoices):
    MINIMUM = "minimum", "minimum spend"
    QUANTITY = "quantity", "committed quantity"
    PREPAID = "prepaid", "prepaid spend"
    CAP = "cap", "spend cap"


class Commitment(Term):
    """What the customer spends at least, at most, or ahead, in each of its intervals."""

    contract = models.ForeignKey(Contract, on_delete=models.CASCADE, related_name="commitments")
    key = models.CharField(max_length=80, validators=[KEY])
    kind = models.CharField(max_length=10, choices=CommitmentKind)
    amount = models.DecimalField(
        max_digits=24, decimal_places=4, null=True, blank=True, validators=[MinValueValidator(Decimal(0))],
        help_text="Money, before tax. Not for a committed quantity.",
    )  # fmt: skip
    quantity = models.DecimalField(
        max_digits=30, decimal_places=12, null=True, blank=True, validators=[MinValueValidator(Decimal(0))],
        help_text="Units of one price, for a committed quantity alone.",
    )  # fmt: skip
    interval = models.CharField(
        max_length=10, blank=True, choices=[*Interval.choices, ("term", "the whole term")],
        help_text="How long each stretch is that it is counted in. Empty: the billing period.",
    )  # fmt: skip
    overage_factor = models.DecimalField(
        max_digits=12, decimal_places=6, null=True, blank=True, validators=[MinValueValidator(Decimal(1))],
        help_text="Spend beyond it costs so many times as much. Empty: as much.",
    )  # fmt: skip
    true_up = models.BooleanField(default=True, help_text="What is missing at the end of a stretch is charged.")
    prorate = models.BooleanField(default=True, help_text="By days, where a stretch is not whole.")
    applies_to = ArrayField(
        models.CharField(max_length=80), default=list, blank=True, help_text="Keys of prices. Empty: all of them."
    )
    starts_on = models.DateField()
    ends_on = models.DateField(null=True, blank=True, help_text="The first day it no longer counts.")
    position = models.PositiveSmallIntegerField(default=0)
    history = history()

    class Meta:
        ordering = ["position", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["contract", "key"], condition=Q(superseded_at__isnull=True), name="commitment_key"
            ),
            models.CheckConstraint(
                condition=Q(kind=CommitmentKind.QUANTITY, quantity__isnull=False, amount__isnull=True)
                | (~Q(kind=CommitmentKind.QUANTITY) & Q(quantity__isnull=True, amount__isnull=False)),
                name="commitment_in_money_or_units",
                violation_error_message="A committed quantity is in units, every other commitment in money.",
            ),
            models.CheckConstraint(
                condition=Q(ends_on__isnull=True) | Q(ends_on__gt=F("starts_on")),
                name="commitment_ends_after_start",
                violation_error_message="A commitment ends after it starts.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.contract.number}/{self.key}"


class GrantKind(models.TextChoices):
    PROMOTIONAL = "promotional", "promotional, before tax"
    PREPAID = "prepaid", "prepaid, after tax"


class CreditGrant(Term):
    """Credit the customer has: given away (lowers the net before tax), or paid for elsewhere (pays what is due)."""

    contract = models.ForeignKey(Contract, on_delete=models.CASCADE, related_name="credits")
    key = models.CharField(max_length=80, validators=[KEY])
    name = models.CharField(max_length=200, blank=True, help_text="As printed on an invoice.")
    kind = models.CharField(max_length=12, choices=GrantKind)
    amount = models.DecimalField(
        max_digits=24, decimal_places=4, validators=[MinValueValidator(Decimal(0))], help_text="Money of the contract."
    )
    priority = models.PositiveSmallIntegerField(default=1, help_text="The lowest is spent first.")
    starts_on = models.DateField(help_text="The first day it may be spent.")
    expires_on = models.DateField(null=True, blank=True, help_text="The first day it may no longer be spent.")
    applies_to = ArrayField(
        models.CharField(max_length=80), default=list, blank=True, help_text="Keys of prices. Empty: everything."
    )
    position = models.PositiveSmallIntegerField(default=0)
    history = history()

    class Meta:
        ordering = ["position", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["contract", "key"], condition=Q(superseded_at__isnull=True), name="credit_grant_key"
            ),
            models.CheckConstraint(
                condition=Q(amount__gt=0),
                name="credit_grant_positive",
                violation_error_message="A grant is above zero.",
            ),
            models.CheckConstraint(
                condition=Q(expires_on__isnull=True) | Q(expires_on__gt=F("starts_on")),
                name="credit_grant_expires_after_start",
                violation_error_message="A grant expires after it begins.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.contract.number}/{self.key}"


class AllowanceTerm(Term):
    """A feature agreed otherwise than its plan says, or beside it: what is empty stays as the plan has it.

    Of several that hold at once, the one that began last counts; what they give `extra` adds up.
    """

    contract = models.ForeignKey(Contract, on_delete=models.CASCADE, related_name="entitlements")
    key = models.CharField(max_length=80, validators=[KEY])
    feature = models.CharField(max_length=80, validators=[KEY], help_text="The key of the feature.")
    kind = models.CharField(max_length=8, choices=EntitlementKind, blank=True)
    value = models.JSONField(null=True, blank=True)
    meter = models.CharField(max_length=80, blank=True, help_text="The key, where the plans do not give the feature.")
    limit = UnitsField(null=True, blank=True, validators=[MinValueValidator(Decimal(0))])
    unlimited = models.BooleanField(default=False, help_text="As much as they like.")
    extra = UnitsField(
        null=True, blank=True, validators=[MinValueValidator(Decimal(0))],
        help_text="Units more than the limit, in each period that its days touch.",
    )  # fmt: skip
    reset = models.CharField(max_length=14, choices=Reset, blank=True)
    on_limit = models.CharField(max_length=8, choices=OnLimit, blank=True)
    thresholds = ArrayField(models.PositiveSmallIntegerField(), null=True, blank=True)
    rollover_percent = models.DecimalField(
        max_digits=7, decimal_places=4, null=True, blank=True,
        validators=[MinValueValidator(Decimal(0)), MaxValueValidator(Decimal(100))],
    )  # fmt: skip
    rollover_cap = UnitsField(null=True, blank=True, validators=[MinValueValidator(Decimal(0))])
    rollover_periods = models.PositiveSmallIntegerField(default=1, validators=[MinValueValidator(1)])
    starts_on = models.DateField()
    ends_on = models.DateField(null=True, blank=True, help_text="The first day it no longer counts.")
    reason = models.CharField(max_length=200, blank=True)
    position = models.PositiveSmallIntegerField(default=0)
    history = history()

    class Meta:
        ordering = ["position", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["contract", "key"], condition=Q(superseded_at__isnull=True), name="allowance_term_key"
            ),
            models.CheckConstraint(
                condition=Q(ends_on__isnull=True) | Q(ends_on__gt=F("starts_on")),
                name="allowance_term_ends_after_start",
                violation_error_message="An allowance ends after it starts.",
            ),
            models.CheckConstraint(
                condition=(Q(limit__isnull=True) | Q(limit__gte=0, unlimited=False))
                & (Q(extra__isnull=True) | Q(extra__gte=0)),
                name="allowance_term_bounds",
                violation_error_message="A limit is not negative, and what is unlimited has none.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.contract.number}/{self.key}"


class OneTimeTerm(Term):
    """An amount charged once, or (below zero) a manual credit, on a day of the contract."""

    contract = models.ForeignKey(Contract, on_delete=models.CASCADE, related_name="one_time_terms")
    key = models.CharField(max_length=80, validators=[KEY])
    description = models.CharField(max_length=200)
    amount = models.DecimalField(max_digits=24, decimal_places=4)
    on = models.DateField()
    tax_category = models.CharField(
        max_length=80, blank=True, validators=[KEY], help_text="Where it has tax rates of its own."
    )
    tax_behavior = models.CharField("amount is", max_length=10, choices=TaxBehavior, default=TaxBehavior.EXCLUSIVE)
    history = history()

    class Meta:
        ordering = ["on", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["contract", "key"], condition=Q(superseded_at__isnull=True), name="one_time_term_key"
            )
        ]

    def __str__(self) -> str:
        return f"{self.contract.number}/{self.key}"
