"""How what a source reports is made fit to be counted: its rules, and what came where a rule changed it."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from billing.models.usage import NumericField, Source
from catalog.auditing import Fact, history


class RuleKind(models.TextChoices):
    """What a rule does. How each works is in billing/metering/rule_kinds.py."""

    RENAME = "rename", "Rename a field"
    COPY = "copy", "Copy a field"
    NUMBER = "number", "Read a text as a number"
    TEXT = "text", "Write a number as a text"
    TRIM = "trim", "Trim blanks"
    LOWER = "lower", "Lower case"
    UPPER = "upper", "Upper case"
    STRIP_PREFIX = "strip_prefix", "Strip a prefix"
    STRIP_SUFFIX = "strip_suffix", "Strip a suffix"
    REWRITE = "rewrite", "Rewrite by a pattern"
    CONVERT = "convert", "Convert a unit"
    DEFAULT = "default", "Fill an absent field"
    SET = "set", "Set a value"
    MAP_TYPE = "map_type", "Map an event type"
    HOLD = "hold", "Hold for review"
    DISCARD = "discard", "Discard"


class NumberFormat(models.TextChoices):
    """How a number is written in a text."""

    POINT = "point", "1,234.5"
    COMMA = "comma", "1.234,5"


class SourceRule(models.Model):
    """One rule of a source. Rules are applied on arrival, in order; they are switched off, never deleted."""

    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="rules")
    position = models.PositiveIntegerField(help_text="Rules are applied in this order.")
    kind = models.CharField(max_length=12, choices=RuleKind)
    field = models.CharField(
        max_length=255, blank=True, help_text="subject, type, or data. and the way to a property: data.usage.tokens."
    )
    value = models.CharField(max_length=1000, blank=True)
    to = models.CharField(max_length=1000, blank=True)
    factor = NumericField(null=True, blank=True, help_text="What the value is multiplied by, exactly.")
    number_format = models.CharField(max_length=5, choices=NumberFormat, default=NumberFormat.POINT)
    when_type = models.CharField("type", max_length=255, blank=True, help_text="Only records of this type.")
    when_subjects = ArrayField(
        models.CharField(max_length=255), default=list, blank=True, verbose_name="subjects",
        help_text="Only where the subject is one of these, one a line. * stands for anything.",
    )  # fmt: skip
    when_field = models.CharField("field", max_length=255, blank=True, help_text="Only where this field ...")
    when_values = ArrayField(
        models.CharField(max_length=1000), default=list, blank=True, verbose_name="is one of",
        help_text="... is one of these, one a line. * stands for anything.",
    )  # fmt: skip
    when_ignores_case = models.BooleanField(
        "ignore case", default=False, help_text="Compare subjects and the field without regard to upper and lower case."
    )
    occurs_from = models.DateTimeField("from", null=True, blank=True, help_text="Only what happened then or later.")
    occurs_until = models.DateTimeField("until", null=True, blank=True, help_text="Only what happened before.")
    is_active = models.BooleanField("active", default=True, help_text="Switched off, it stays here and does nothing.")
    note = models.CharField(max_length=500, blank=True, help_text="Why there is this rule.")
    proposal = models.BigIntegerField(
        null=True, blank=True, help_text="The approved proposal of the quarantine desk that it came from."
    )
    proposed_by = models.CharField(max_length=200, blank=True)
    approved_by = models.CharField(max_length=200, blank=True)
    history = history()

    class Meta:
        ordering = ["source", "position"]
        constraints = [
            models.UniqueConstraint(
                fields=["source", "position"], name="rule_position", deferrable=models.Deferrable.DEFERRED
            ),
            models.CheckConstraint(
                condition=~models.Q(kind=RuleKind.DISCARD)
                | (
                    models.Q(proposal__isnull=False)
                    & ~models.Q(proposed_by="")
                    & ~models.Q(approved_by="")
                    & ~models.Q(proposed_by=models.F("approved_by"))
                ),
                name="discard_rule_has_two_persons",
                violation_error_message="What a rule discards, two persons have decided, on the quarantine desk.",
            ),
            models.CheckConstraint(
                condition=models.Q(factor=None) | ~models.Q(factor=0), name="rule_factor_is_not_zero"
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"Rule {self.position}: {self.get_kind_display()}"


class OriginalEvent(Fact):
    """An event, or the data of a correction, as received, where rules changed it; kept beside what counts.

    `position` is 0 for the event itself, else its correction's. Partitioned like events, by month of `occurred_at`.
    """

    pk = models.CompositePrimaryKey("customer_id", "occurred_at", "key", "position")
    customer_id = models.BigIntegerField()
    occurred_at = models.DateTimeField()
    key = models.UUIDField()
    position = models.PositiveIntegerField()
    type = models.TextField()
    subject = models.TextField()
    data = models.TextField(help_text="The JSON of the data, as it came.")
    rules = ArrayField(models.BigIntegerField(), help_text="The rules that changed it, in their order.")

    def __str__(self) -> str:
        return f"{self.key}[{self.position}]"
