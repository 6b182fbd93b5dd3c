"""What is sold: sellers, tax rates, features, meters, plans, their dated versions and prices."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q

from catalog.auditing import history, two_persons
from catalog.entitlements import Entitlement as Entitlement  # a model of this application
from catalog.money import UnknownCurrency, minor_places
from catalog.pricing import PriceRule, parse_price
from catalog.selection import parse_window
from catalog.tax_ids import InvalidTaxId, vat_id

KEY = RegexValidator(r"^[A-Za-z0-9][A-Za-z0-9._-]*$", "A key is made of letters, digits, dots, dashes and underscores.")


def validate_currency(code: str) -> None:
    try:
        minor_places(code)
    except UnknownCurrency as unknown:
        raise ValidationError(str(unknown)) from unknown


def validate_window(text: str) -> None:
    try:
        parse_window(text)
    except ValueError as error:
        raise ValidationError(str(error)) from error


def demand_tax_id(tax_id: str, country: str) -> None:
    """Raises ValidationError where a VAT id is expected and this is none."""
    try:
        vat_id(tax_id, country)
    except InvalidTaxId as invalid:
        raise ValidationError({"tax_id": str(invalid)}) from invalid


class UnitAmountField(models.DecimalField[Any, Any]):
    """A price: up to 12 decimals."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_digits": 30, "decimal_places": 12, **options})


class Interval(models.TextChoices):
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    HALF_YEAR = "half_year", "half-year"
    YEAR = "year"


class Proration(models.TextChoices):
    """How the part of a period is counted."""

    DAYS = "days", "days of the contract's time zone"
    UTC_DAYS = "utc_days", "days in UTC"
    SECONDS = "seconds"
    FIXED_MONTHS = "fixed_months", "months of 30 days"


class CreditUnused(models.TextChoices):
    """When what was billed in advance and is no longer due comes back."""

    NEXT_INVOICE = "next_invoice", "with the next invoice"
    AT_ONCE = "at_once", "at once, on a document of its own"


class TaxRounding(models.TextChoices):
    """What tax is rounded on."""

    LINE = "line", "each line"
    RATE = "rate", "each rate of each line"
    INVOICE = "invoice", "the invoice: all that is due for a period"


class TaxBehavior(models.TextChoices):
    """Whether an amount has its tax in it."""

    EXCLUSIVE = "exclusive", "without tax"
    INCLUSIVE = "inclusive", "with tax"


class Seller(models.Model):
    """The legal entity that invoices."""

    key = models.CharField(max_length=80, unique=True, validators=[KEY])
    name = models.CharField(max_length=200)
    country = models.CharField(max_length=2, blank=True, help_text="Two letters, ISO 3166.")
    address = models.TextField(blank=True)
    tax_id = models.CharField("tax id", max_length=40, blank=True)
    currency = models.CharField(max_length=3, default="USD", validators=[validate_currency])
    timezone = models.CharField(max_length=60, default="UTC")
    tolerance_window = models.DurationField(
        default=dt.timedelta(hours=24),
        help_text="How long after a period's end late events still reach its first invoice.",
    )
    payment_terms_days = models.PositiveSmallIntegerField("days to pay", default=30)
    review_drafts = models.BooleanField(
        default=False, help_text="Hold what a bill run makes as drafts until a person issues them."
    )
    proration = models.CharField(
        max_length=12, choices=Proration, default=Proration.DAYS, help_text="How a part of a period is counted."
    )
    credit_unused = models.CharField(
        "unused time", max_length=12, choices=CreditUnused, default=CreditUnused.NEXT_INVOICE,
        help_text="When what was billed in advance and changed in mid-period is settled.",
    )  # fmt: skip
    tax_rounding = models.CharField(
        max_length=8, choices=TaxRounding, default=TaxRounding.LINE,
        help_text="What tax is rounded on. What is closed stays as it was rounded.",
    )  # fmt: skip
    history = history()

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        demand_tax_id(self.tax_id, self.country)


# Codes that say why no tax is charged; no rate has them.
EXEMPT, REVERSE_CHARGE = "exempt", "reverse-charge"


class TaxRate(models.Model):
    """A percentage that customers of a country pay, from a date on.

    Of one country, category and tax the latest that has begun counts; those of other taxes, and those that begin on
    the same day, count together.
    """

    code = models.CharField(max_length=40, unique=True, validators=[KEY])
    description = models.CharField(max_length=200, blank=True)
    percent = models.DecimalField(max_digits=7, decimal_places=4, validators=[MinValueValidator(Decimal(0))])
    country = models.CharField(max_length=2, help_text="Two letters, ISO 3166: whose customers pay it.")
    category = models.CharField(
        max_length=80, blank=True, validators=[KEY],
        help_text="Of the prices it is for, before the rate for all. Empty: every price without a rate of its own.",
    )  # fmt: skip
    tax = models.CharField(
        max_length=80, blank=True, validators=[KEY],
        help_text="Which tax it is a rate of, where a country has several: gst, pst. They add up.",
    )  # fmt: skip
    compound = models.BooleanField(default=False, help_text="Taken on the price with the taxes before it.")
    effective_from = models.DateField(null=True, blank=True, help_text="Empty: from ever.")
    history = history()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(percent__gte=0), name="tax_rate_not_negative")]

    def __str__(self) -> str:
        return f"{self.code} ({self.percent.normalize():f} %)"

    def clean(self) -> None:
        if self.code in (EXEMPT, REVERSE_CHARGE):
            raise ValidationError({"code": f"{self.code} says on documents why there is no tax; use another code."})


class Feature(models.Model):
    """Something a plan lets a customer use."""

    key = models.CharField(max_length=80, unique=True, validators=[KEY])
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    history = history()

    def __str__(self) -> str:
        return self.name


class Aggregation(models.TextChoices):
    COUNT = "count"
    SUM = "sum"
    MAX = "max"
    MIN = "min"
    AVG = "avg", "average"
    LATEST = "latest"
    UNIQUE_COUNT = "unique_count", "unique count"
    WEIGHTED_SUM = "weighted_sum", "time-weighted sum"


# The quantity of a stretch of time is the sum of those of its parts.
ADDITIVE = (Aggregation.SUM, Aggregation.COUNT)


class Meter(models.Model):
    """What is counted, and how. Frozen by the database once it has events."""

    key = models.CharField(max_length=80, unique=True, validators=[KEY])
    name = models.CharField(max_length=200, blank=True)
    event_type = models.CharField(max_length=200, db_index=True)
    aggregation = models.CharField(max_length=20, choices=Aggregation)
    value = models.CharField(
        "value property", max_length=200, blank=True, help_text="The property of the event's data. Not for count."
    )
    group_by = ArrayField(models.CharField(max_length=200), default=list, blank=True)
    filters = models.JSONField(
        default=dict, blank=True, help_text='Only events whose data match, for example {"model": ["m1", "m2"]}.'
    )
    unit = models.CharField(max_length=40, blank=True, help_text="As printed on an invoice: tokens, GB, calls.")
    allow_negative = models.BooleanField(
        default=False, help_text="Take values below zero; otherwise they are held for review."
    )
    history = history()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(aggregation=Aggregation.COUNT) | ~Q(value=""),
                name="meter_names_its_value",
                violation_error_message="Every aggregation but count needs the property that holds the value.",
            )
        ]

    def __str__(self) -> str:
        return self.name or self.key


class Plan(models.Model):
    """A plan's identity. What it costs is in its versions."""

    key = models.CharField(max_length=80, unique=True, validators=[KEY])
    name = models.CharField(max_length=200)
    interval = models.CharField(max_length=10, choices=Interval, default=Interval.MONTH)
    tolerance_window = models.DurationField(null=True, blank=True, help_text="Empty: the seller's.")
    history = history()

    def __str__(self) -> str:
        return self.name


class VersionStatus(models.TextChoices):
    DRAFT = "draft"
    REVIEW = "review", "in review"
    PUBLISHED = "published"
    RETIRED = "retired"


class PlanVersionQuerySet(models.QuerySet["PlanVersion"]):
    def sold(self) -> PlanVersionQuerySet:
        """Versions a contract line may stand on: published, or retired and still honoured."""
        return self.filter(status__in=[VersionStatus.PUBLISHED, VersionStatus.RETIRED])

    def in_force(self, on: dt.date) -> PlanVersionQuerySet:
        """The published versions in force on a day, the latest first."""
        return (
            self.filter(status=VersionStatus.PUBLISHED)
            .filter(Q(effective_from__isnull=True) | Q(effective_from__lte=on))
            .order_by(F("effective_from").desc(nulls_last=True), "-number")
        )


class PlanVersion(models.Model):
    """The dated content of a plan; frozen by the database once published. It ends where the next one begins."""

    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    currency = models.CharField(max_length=3, validators=[validate_currency])
    status = models.CharField(max_length=10, choices=VersionStatus, default=VersionStatus.DRAFT)
    effective_from = models.DateField(null=True, blank=True, help_text="Empty: from ever.")
    trial_days = models.PositiveSmallIntegerField(
        default=0, help_text="Free days at the start of a contract line; use in them is counted and costs nothing."
    )
    tax_behavior = models.CharField(
        "prices are", max_length=10, choices=TaxBehavior, default=TaxBehavior.EXCLUSIVE,
        help_text="With tax: it is taken out of them on the invoice, whose total is the prices.",
    )  # fmt: skip
    published_at = models.DateTimeField(null=True, blank=True, editable=False)
    submitted_by = models.CharField(max_length=80, blank=True, editable=False, help_text="user:ID, key:ID or operator.")
    approved_by = models.CharField(max_length=80, blank=True, editable=False, help_text="Another than submitted it.")
    history = history()
    objects = PlanVersionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["plan", "number"], name="plan_version_number"),
            models.CheckConstraint(condition=two_persons(), name="plan_version_two_persons"),
        ]
        permissions = [
            ("submit_planversion", "Can submit a plan version for review"),
            ("publish_planversion", "Can approve and publish a plan version"),
            ("retire_planversion", "Can retire a plan version"),
        ]

    def __str__(self) -> str:
        return f"{self.plan.key}@{self.number}"

    @property
    def is_frozen(self) -> bool:
        return self.status in (VersionStatus.PUBLISHED, VersionStatus.RETIRED)


class PriceKind(models.TextChoices):
    RECURRING = "recurring"
    USAGE = "usage"
    ONE_TIME = "one_time", "one-time"


class PriceModel(models.TextChoices):
    FLAT = "flat"
    PER_UNIT = "per_unit", "per unit"
    PACKAGE = "package"
    GRADUATED = "graduated"
    VOLUME = "volume"
    STAIRSTEP = "stairstep"
    PERCENTAGE = "percentage"
    GRADUATED_PERCENTAGE = "graduated_percentage", "graduated percentage"
    DYNAMIC = "dynamic"
    GRADUATED_BY_DIMENSION = "graduated_by_dimension", "graduated, tiers shared over a dimension"


class BillingTime(models.TextChoices):
    IN_ARREARS = "in_arrears", "in arrears"
    IN_ADVANCE = "in_advance", "in advance"


# The arithmetic of a price, in the words of a scenario file: numbers that may be absent, and what is said only where it
# is not as usual.
NUMBERS = (
    "unit_amount", "flat_amount", "package_size", "package_amount", "rate_percent", "fixed_amount", "free_events",
    "free_amount", "per_transaction_min", "per_transaction_max", "multiplier", "minimum_amount", "maximum_amount",
)  # fmt: skip
PLAIN = {"included_units": 0, "package_rounding": "up", "cumulative": False, "zero_quantity": "no_charge"}


class Price(models.Model):
    """One way of charging, inside a version. `terms` is its arithmetic; the rest says which use it takes, and when."""

    version = models.ForeignKey(PlanVersion, on_delete=models.CASCADE, related_name="prices")
    key = models.CharField(max_length=80, validators=[KEY])
    name = models.CharField(max_length=200, blank=True, help_text="As printed on an invoice.")
    kind = models.CharField(max_length=10, choices=PriceKind)
    model = models.CharField(max_length=30, choices=PriceModel)
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, null=True, blank=True, related_name="prices")
    unit_amount = UnitAmountField(null=True, blank=True)
    flat_amount = UnitAmountField(null=True, blank=True)
    package_size = UnitAmountField(null=True, blank=True)
    package_amount = UnitAmountField(null=True, blank=True)
    package_rounding = models.CharField(
        max_length=4, choices=[("up", "a begun package counts"), ("down", "only full packages count")], default="up"
    )
    cumulative = models.BooleanField(
        default=False,
        help_text="Stairstep: the flat amounts of all bands up to the one reached, not of that one alone.",
    )
    rate_percent = UnitAmountField(null=True, blank=True, help_text="Of the amount that the events carry.")
    fixed_amount = UnitAmountField(null=True, blank=True, help_text="For each event, beside the percentage.")
    free_events = models.PositiveIntegerField(null=True, blank=True, help_text="The first so many are free.")
    free_amount = UnitAmountField(null=True, blank=True, help_text="The first so much is free.")
    per_transaction_min = UnitAmountField(null=True, blank=True, help_text="What each event costs at least.")
    per_transaction_max = UnitAmountField(null=True, blank=True, help_text="What each event costs at most.")
    multiplier = UnitAmountField(
        null=True, blank=True, help_text="Dynamic: what the events' amounts are multiplied by."
    )
    included_units = UnitAmountField(default=Decimal(0))
    conversion_op = models.CharField(
        "conversion", max_length=8, blank=True, choices=[("multiply", "multiply by"), ("divide", "divide by")],
        help_text="From the meter's unit to the priced one, before everything else.",
    )  # fmt: skip
    conversion_factor = UnitAmountField(null=True, blank=True)
    conversion_rounding = models.CharField(
        max_length=8, default="none",
        choices=[("none", "not rounded"), ("ceil", "up to whole units"), ("floor", "down to whole units"),
                 ("half_up", "to the nearest whole unit")],
    )  # fmt: skip
    zero_quantity = models.CharField(
        "without usage", max_length=16, default="no_charge",
        choices=[("no_charge", "costs nothing"), ("first_tier_flat", "costs the first tier's flat amount")],
    )  # fmt: skip
    minimum_amount = UnitAmountField(null=True, blank=True)
    maximum_amount = UnitAmountField(null=True, blank=True)
    filters = models.JSONField(
        default=dict, blank=True,
        help_text="Only usage with these values of the meter's dimensions: {property: [values]}. A price of the same "
        "meter without filters takes the rest.",
    )  # fmt: skip
    dimension = models.CharField(
        max_length=200, blank=True, help_text="Tiers shared over a dimension: which of the meter's properties it is."
    )
    window = models.CharField(
        max_length=10, blank=True, validators=[validate_window],
        help_text="Usage is taken in windows of this length (PT1M to PT12H, P1D), each aggregated by itself.",
    )  # fmt: skip
    combine = models.CharField(
        max_length=20, default="rate_each_bucket",
        choices=[("rate_each_bucket", "each window is priced"), ("sum_then_rate", "the windows' sum is priced")],
    )  # fmt: skip
    billing = models.CharField(max_length=10, choices=BillingTime, default=BillingTime.IN_ARREARS)
    interval = models.CharField(
        max_length=10, choices=Interval, blank=True,
        help_text="Where the price has an interval of its own: a yearly fee in a monthly plan. Empty: the plan's.",
    )  # fmt: skip
    included = models.CharField(
        max_length=12, blank=True, choices=[("entitlement", "as many as the entitlement on its meter")],
        help_text="Where the free units are the plan's allowance. Empty: as many as included_units says.",
    )  # fmt: skip
    prorate = models.BooleanField(default=True, help_text="By days, where a period is not whole.")
    tax_category = models.CharField(
        max_length=80, blank=True, validators=[KEY], help_text="Where it has tax rates of its own: books, food."
    )
    position = models.PositiveSmallIntegerField(default=0)
    history = history()

    class Meta:
        ordering = ["position", "id"]
        constraints = [
            models.UniqueConstraint(fields=["version", "key"], name="price_key_in_version"),
            models.CheckConstraint(
                condition=Q(kind=PriceKind.USAGE, meter__isnull=False)
                | (~Q(kind=PriceKind.USAGE) & Q(meter__isnull=True)),
                name="price_usage_has_meter",
                violation_error_message="A usage price needs a meter; other prices have none.",
            ),
            models.CheckConstraint(
                condition=~Q(kind=PriceKind.USAGE, billing=BillingTime.IN_ADVANCE),
                name="price_usage_in_arrears",
                violation_error_message="Usage is billed in arrears.",
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.key

    def terms(self) -> dict[str, Any]:
        """The arithmetic of this price in the words of a scenario file; what is not set is left out."""
        terms: dict[str, Any] = {"model": self.model}
        terms |= {name: getattr(self, name) for name in NUMBERS if getattr(self, name) is not None}
        terms |= {name: getattr(self, name) for name, plain in PLAIN.items() if getattr(self, name) != plain}
        if self.conversion_op:
            names = ("op", "factor", "rounding")
            terms["unit_conversion"] = {name: getattr(self, f"conversion_{name}") for name in names}
        tiers = [tier.terms(self.model) for tier in self.tiers.all()]
        return {**terms, "tiers": tiers} if tiers else terms

    def rule(self) -> PriceRule:
        """This price as a value. Raises InvalidPrice where the fields do not make one."""
        return parse_price(self.terms())


class PriceTier(models.Model):
    """A step in a price; `up_to` is included, and empty in the last tier."""

    price = models.ForeignKey(Price, on_delete=models.CASCADE, related_name="tiers")
    position = models.PositiveSmallIntegerField()
    up_to = UnitAmountField(null=True, blank=True)
    unit_amount = UnitAmountField(null=True, blank=True, default=Decimal(0))
    flat_amount = UnitAmountField(default=Decimal(0))
    cap_amount = UnitAmountField(null=True, blank=True, help_text="What the units of this tier cost at most.")
    rate_percent = UnitAmountField(default=Decimal(0))
    unit_amounts = models.JSONField(default=dict, blank=True, help_text="By value of the price's dimension.")

    class Meta:
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["price", "position"], name="price_tier_position")]

    def __str__(self) -> str:
        return f"up to {self.up_to.normalize():f}" if self.up_to is not None else "above"

    def terms(self, model: str) -> dict[str, Any]:
        """The tier in the words of a scenario file, as far as tiers of that price model have them."""
        if model == PriceModel.GRADUATED_BY_DIMENSION:
            rest = {} if self.unit_amount is None else {"unit_amount": self.unit_amount}
            return {"up_to": self.up_to, "unit_amounts": dict(self.unit_amounts), **rest}
        terms: dict[str, Any] = {"up_to": self.up_to, "flat_amount": self.flat_amount}
        if model == PriceModel.STAIRSTEP:
            return terms
        capped = {} if self.cap_amount is None else {"cap_amount": self.cap_amount}
        if model == PriceModel.GRADUATED_PERCENTAGE:
            return {**terms, "rate_percent": self.rate_percent, **capped}
        return {**terms, "unit_amount": self.unit_amount, **capped}
