"""What a plan version lets a customer use, and how much."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from catalog.auditing import history


class EntitlementKind(models.TextChoices):
    BOOLEAN = "boolean", "on or off"
    STATIC = "static", "a value"
    METERED = "metered", "so many units"


class Reset(models.TextChoices):
    """When an allowance begins anew: on the grid of the contract, in its time zone."""

    BILLING_PERIOD = "billing_period", "billing period"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class OnLimit(models.TextChoices):
    """What the answer is once the allowance is used up. Events are counted whatever it says."""

    RESTRICT = "restrict", "no access"
    WARN = "warn", "access, with a warning"
    BILL = "bill", "access, and more is billed"


class UnitsField(models.DecimalField[Any, Any]):
    """A number of units: up to 12 decimals."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_digits": 30, "decimal_places": 12, **options})


def usual_thresholds() -> list[int]:
    return [50, 90, 100]


class Entitlement(models.Model):
    """A feature in a plan version; frozen by the database with it."""

    version = models.ForeignKey("catalog.PlanVersion", on_delete=models.CASCADE, related_name="entitlements")
    feature = models.ForeignKey("catalog.Feature", on_delete=models.PROTECT, related_name="entitlements")
    kind = models.CharField(max_length=8, choices=EntitlementKind)
    value = models.JSONField(null=True, blank=True, help_text="Of a feature that is a value: text, number, list.")
    meter = models.ForeignKey(
        "catalog.Meter", on_delete=models.PROTECT, null=True, blank=True, related_name="entitlements"
    )
    limit = UnitsField(
        null=True, blank=True, validators=[MinValueValidator(Decimal(0))], help_text="Empty: as much as they like."
    )
    reset = models.CharField(max_length=14, choices=Reset, default=Reset.BILLING_PERIOD)
    on_limit = models.CharField(max_length=8, choices=OnLimit, default=OnLimit.RESTRICT)
    thresholds = ArrayField(
        models.PositiveSmallIntegerField(), default=usual_thresholds, blank=True,
        help_text="At how many percent of the limit the customer is told.",
    )  # fmt: skip
    rollover_percent = models.DecimalField(
        "rolls over", max_digits=7, decimal_places=4, null=True, blank=True,
        validators=[MinValueValidator(Decimal(0)), MaxValueValidator(Decimal(100))],
        help_text="Percent of what is left of the allowance. Empty: nothing.",
    )  # fmt: skip
    rollover_cap = UnitsField(
        verbose_name="at most", null=True, blank=True, validators=[MinValueValidator(Decimal(0))],
        help_text="Units in all.",
    )  # fmt: skip
    rollover_periods = models.PositiveSmallIntegerField(
        "for", default=1, validators=[MinValueValidator(1)], help_text="For how many periods it stays."
    )
    position = models.PositiveSmallIntegerField(default=0)
    history = history()

    class Meta:
        ordering = ["position", "id"]
        constraints = [
            models.UniqueConstraint(fields=["version", "feature"], name="entitlement_of_feature_in_version"),
            models.CheckConstraint(
                condition=Q(kind=EntitlementKind.METERED, meter__isnull=False)
                | (~Q(kind=EntitlementKind.METERED) & Q(meter__isnull=True, limit__isnull=True)),
                name="entitlement_metered_has_meter",
                violation_error_message="A number of units needs a meter; what is no number of units has none.",
            ),
            models.CheckConstraint(
                condition=(Q(limit__isnull=True) | Q(limit__gte=0))
                & (Q(rollover_percent__isnull=True) | Q(rollover_percent__gte=0, rollover_percent__lte=100))
                & (Q(rollover_cap__isnull=True) | Q(rollover_cap__gte=0))
                & Q(rollover_periods__gte=1),
                name="entitlement_bounds",
                violation_error_message="A limit is not negative, and at most all of what is left rolls over.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.version} {self.feature}"
