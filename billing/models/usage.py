"""Use, as it arrived and as it is counted.

An event is stored once, in the month it occurred; the register holds its identity for ever; buckets hold what it adds
to the meters. There are no foreign keys from these tables to the others, and every key of events and buckets contains
the customer: one server can become several without a change of meaning. Their SQL is in billing/migrations/sql/.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from catalog.auditing import Fact, history


class NumericField(models.DecimalField[Any, Any]):
    """An exact decimal of any size and scale: PostgreSQL's plain numeric."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_digits": 1000, "decimal_places": 500, **options})

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return "numeric"


class Source(models.Model):
    """Who reports events."""

    key = models.CharField(max_length=255, unique=True, help_text="The `source` of its CloudEvents.")
    name = models.CharField(max_length=200, blank=True)
    tolerance_window = models.DurationField(
        null=True, blank=True, help_text="How late this source is expected to report."
    )
    clock_skew = models.DurationField(
        default=dt.timedelta(minutes=5), help_text="How far ahead of ours its clock may run."
    )
    cadence = models.DurationField(
        null=True, blank=True, help_text="How often it should report. Later than that, it is silent."
    )
    history = history()

    def __str__(self) -> str:
        return self.name or self.key


class Receipt(Fact):
    """One batch, as it was answered: how many records came and where they went."""

    id = models.UUIDField(primary_key=True)
    received_at = models.DateTimeField(db_index=True)
    door = models.CharField(max_length=20, help_text="api, import, release, scenario ...")
    received = models.PositiveIntegerField()
    accepted = models.PositiveIntegerField()
    duplicates = models.PositiveIntegerField()
    quarantined = models.PositiveIntegerField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(received=models.F("accepted") + models.F("duplicates") + models.F("quarantined")),
                name="receipt_adds_up",
            )
        ]

    def __str__(self) -> str:
        return str(self.id)


class ReceiptCount(Fact):
    """The part of a receipt that one source sent. `source` is as the records said it; empty where they said none."""

    receipt = models.ForeignKey(Receipt, on_delete=models.PROTECT, related_name="counts")
    source = models.TextField()
    received = models.PositiveIntegerField()
    accepted = models.PositiveIntegerField()
    duplicates = models.PositiveIntegerField()
    quarantined = models.PositiveIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["receipt", "source"], name="receipt_count_per_source"),
            models.CheckConstraint(
                condition=models.Q(received=models.F("accepted") + models.F("duplicates") + models.F("quarantined")),
                name="receipt_count_adds_up",
            ),
        ]
        indexes = [models.Index(fields=["source", "id"], name="receipt_count_last_of_source")]

    def __str__(self) -> str:
        return f"{self.receipt_id} {self.source}"


class Register(Fact):
    """The identity of every accepted event, for ever. `key` is BLAKE2b-16 of the length-prefixed (source, id)."""

    key = models.UUIDField(primary_key=True)
    digest = models.UUIDField(help_text="BLAKE2b-16 of the canonical type, subject, time and data, as received.")
    customer_id = models.BigIntegerField()
    occurred_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "register"

    def __str__(self) -> str:
        return str(self.key)


class UsageClock(Fact):
    """Counts the changes of one customer's use. Batches take it in key order and stamp what they add with it."""

    changeable = ("clock", "dirty_from")

    customer_id = models.BigIntegerField(primary_key=True)
    clock = models.BigIntegerField()
    dirty_from = models.DateTimeField(
        null=True, help_text="The earliest use touched since closed periods were last looked over."
    )

    def __str__(self) -> str:
        return f"{self.customer_id}: {self.clock}"


class Event(Fact):
    """One accepted event with its label. Partitioned by month of `occurred_at`."""

    pk = models.CompositePrimaryKey("customer_id", "occurred_at", "key")
    customer_id = models.BigIntegerField()
    occurred_at = models.DateTimeField()
    key = models.UUIDField()
    clock = models.BigIntegerField()
    source_id = models.BigIntegerField()
    event_id = models.TextField()
    type = models.TextField()
    subject = models.TextField()
    data = models.TextField(help_text="The JSON of the event's data, after the rules of its source.")
    meters = ArrayField(models.BigIntegerField(), help_text="The meters that counted it.")
    receipt = models.UUIDField()
    received_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.event_id


class CorrectionKind(models.TextChoices):
    VOID = "void"
    AMEND = "amend"


class Correction(Fact):
    """A new record that takes an event back or replaces its data. The event itself stays as it came."""

    key = models.UUIDField(help_text="The event's key in the register.")
    position = models.PositiveIntegerField(help_text="1 for the first correction of an event.")
    kind = models.CharField(max_length=5, choices=CorrectionKind)
    customer_id = models.BigIntegerField()
    occurred_at = models.DateTimeField()
    source_id = models.BigIntegerField()
    event_id = models.TextField()
    clock = models.BigIntegerField()
    data = models.TextField(blank=True, help_text="The data that replace the event's; empty for a void.")
    meters = ArrayField(models.BigIntegerField(), help_text="The meters that count the replaced data.")
    reason = models.TextField()
    made_at = models.DateTimeField()
    made_by = models.CharField(max_length=250, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["key", "position"], name="correction_position"),
            models.UniqueConstraint(
                fields=["key"], condition=models.Q(kind=CorrectionKind.VOID), name="event_voided_once"
            ),
        ]
        indexes = [models.Index(fields=["customer_id", "occurred_at"], name="correction_customer_time")]
        permissions = [("correct_event", "Can void or amend an event")]

    def __str__(self) -> str:
        return f"{self.kind} {self.event_id}"


class Bucket(Fact):
    """What one customer used on one meter, for one set of dimensions, in one quarter of an hour.

    Holds the partials of every aggregation (billing/metering/aggregation.py); `clock` is the last stamp on it.
    """

    changeable = (
        "n", "total", "maximum", "minimum", "latest", "latest_at", "latest_clock", "weighted", "clock",
    )  # fmt: skip

    pk = models.CompositePrimaryKey("customer_id", "meter_id", "starts_at", "group")
    customer_id = models.BigIntegerField()
    meter_id = models.BigIntegerField()
    starts_at = models.DateTimeField()
    group = models.TextField(help_text="JSON array of the meter's group-by values in their order; empty for none.")
    n = models.BigIntegerField()
    total = NumericField(null=True)
    maximum = NumericField(null=True)
    minimum = NumericField(null=True)
    latest = NumericField(null=True)
    latest_at = models.DateTimeField(null=True)
    latest_clock = models.BigIntegerField(null=True)
    weighted = NumericField(null=True, help_text="Sum of value x microseconds to the bucket's end.")
    clock = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.customer_id}/{self.meter_id} {self.starts_at:%Y-%m-%d %H:%M}"


class DistinctValue(Fact):
    """One value that a unique count has seen in one bucket. The text itself stays with its events.

    Rows come with their bucket and go when a correction leaves no event with the value; `clock` is the stamp that
    brought it.
    """

    deletable = True

    pk = models.CompositePrimaryKey("customer_id", "meter_id", "starts_at", "group", "digest")
    customer_id = models.BigIntegerField()
    meter_id = models.BigIntegerField()
    starts_at = models.DateTimeField()
    group = models.TextField(help_text="As in the bucket.")
    digest = models.UUIDField(help_text="The first 16 bytes of the SHA-256 of the value as a text.")
    clock = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.customer_id}/{self.meter_id} {self.starts_at:%Y-%m-%d %H:%M} {self.digest}"
