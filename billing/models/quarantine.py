"""What was received and could not be labelled or trusted. In a database of its own, with no foreign key out of it."""

from __future__ import annotations

from django.db import models

from catalog.auditing import Fact


class HeldStatus(models.TextChoices):
    OPEN = "open"
    RELEASED = "released"
    SUPERSEDED = "superseded"
    DISCARDED = "discarded"


class HeldRecord(Fact):
    """A record held for review: what came, byte for byte, and why it was not counted.

    One row for each (source, id, digest, reason); a repeat is another sighting of it.
    """

    changeable = ("status", "resolved_at")

    key = models.UUIDField(
        null=True, db_index=True, help_text="As in the register; empty where source or id is unknown."
    )
    source = models.TextField(blank=True)
    event_id = models.TextField(blank=True)
    digest = models.UUIDField()
    reason = models.CharField(max_length=30, db_index=True)
    detail = models.TextField(blank=True)
    type = models.TextField(blank=True)
    subject = models.TextField(blank=True)
    occurred_at = models.DateTimeField(null=True)
    raw = models.BinaryField()
    receipt = models.UUIDField(help_text="The receipt of the first sighting.")
    held_at = models.DateTimeField(db_index=True)
    status = models.CharField(max_length=10, choices=HeldStatus, default=HeldStatus.OPEN)
    resolved_at = models.DateTimeField(null=True)

    class Meta:
        app_label = "quarantine"
        constraints = [
            models.UniqueConstraint(fields=["source", "event_id", "digest", "reason"], name="held_record_once"),
        ]
        indexes = [
            models.Index(fields=["key"], condition=models.Q(status="open"), name="held_record_open_key"),
        ]

    def __str__(self) -> str:
        return f"{self.reason}: {self.source} {self.event_id}"


class Sighting(Fact):
    """One arrival of a held record, in one receipt."""

    record = models.ForeignKey(HeldRecord, on_delete=models.PROTECT, related_name="sightings")
    receipt = models.UUIDField(db_index=True)
    index = models.PositiveIntegerField(help_text="Its place in the batch.")
    seen_at = models.DateTimeField()

    class Meta:
        app_label = "quarantine"
        constraints = [models.UniqueConstraint(fields=["receipt", "index"], name="sighting_once")]

    def __str__(self) -> str:
        return f"{self.receipt}[{self.index}]"
