"""What customers are told about their allowances, and up to where it was looked.

A notice that is not there yet is found from what was counted: the mark of a customer says up to which stamp of its
usage clock all that was due is there.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from billing.models.usage import NumericField
from catalog.auditing import Fact
from contracts.models import Contract


class Notice(Fact):
    """A threshold of an allowance that was reached: once for a contract, feature, period and threshold."""

    contract = models.ForeignKey(Contract, on_delete=models.PROTECT, related_name="notices")
    feature = models.CharField(max_length=80, help_text="The key of the feature.")
    threshold = models.PositiveSmallIntegerField(help_text="Percent of the limit.")
    period_starts_at = models.DateTimeField()
    period_ends_at = models.DateTimeField()
    used = NumericField()
    limit = NumericField(help_text="With what rolled over, when it was reached.")
    unit = models.CharField(max_length=40, blank=True)
    on_limit = models.CharField(max_length=8)
    at = models.DateTimeField(help_text="When what crossed it came in.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["contract", "feature", "period_starts_at", "threshold"], name="notice_given_once"
            ),
            models.CheckConstraint(condition=Q(period_ends_at__gt=models.F("period_starts_at")), name="notice_period"),
        ]
        indexes = [models.Index(fields=["-at", "-id"], name="notice_latest")]

    def __str__(self) -> str:
        return f"{self.feature} {self.threshold} %"


class AllowanceMark(Fact):
    """Up to where the allowances of a customer were looked over.

    `clock` is a stamp of its usage clock, `terms` counts the changes of its contracts; `fullest` is the highest part of
    a limit that was used then, in percent.
    """

    changeable = ("clock", "terms", "looked_at", "fullest")

    customer_id = models.BigIntegerField(primary_key=True)
    clock = models.BigIntegerField()
    terms = models.BigIntegerField()
    looked_at = models.DateTimeField()
    fullest = NumericField(default=0)

    class Meta:
        indexes = [models.Index(fields=["-fullest"], name="allowance_fullest")]

    def __str__(self) -> str:
        return f"{self.customer_id}: {self.clock}"
