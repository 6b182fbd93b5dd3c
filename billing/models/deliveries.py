"""How notices reach people and programs: to whom, and every try."""

from __future__ import annotations

import base64
import secrets

from django.db import models
from django.db.models import Q

from billing.models.notices import Notice
from catalog.auditing import Fact, history

SECRET_BYTES = 32


def new_secret() -> str:
    """The secret of an endpoint, as Standard Webhooks writes it."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


class WebhookEndpoint(models.Model):
    """An address that is told every notice; what it is sent is signed with its secret."""

    name = models.CharField(max_length=80)
    url = models.URLField("address", max_length=500, help_text="https; an address of the inside is never called.")
    secret = models.CharField(max_length=100, default=new_secret, editable=False)
    is_active = models.BooleanField("active", default=True)
    history = history("secret")

    class Meta:
        permissions = [("rotate_webhookendpoint", "Can give a webhook endpoint a new secret")]

    def __str__(self) -> str:
        return self.name


class Channel(models.TextChoices):
    MAIL = "mail"
    WEBHOOK = "webhook"


class DeliveryStatus(models.TextChoices):
    PENDING = "pending", "on its way"
    DELIVERED = "delivered"
    FAILED = "failed"


class Delivery(Fact):
    """A notice on its way to one address."""

    changeable = ("status", "attempts", "next_attempt_at")

    notice = models.ForeignKey(Notice, on_delete=models.PROTECT, related_name="deliveries")
    channel = models.CharField(max_length=8, choices=Channel)
    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.PROTECT, null=True, related_name="deliveries")
    address = models.CharField(max_length=254, blank=True)
    status = models.CharField(max_length=10, choices=DeliveryStatus, default=DeliveryStatus.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(
                fields=["notice", "channel", "endpoint", "address"], name="delivery_once", nulls_distinct=False
            ),
            models.CheckConstraint(
                condition=Q(channel=Channel.MAIL, endpoint__isnull=True) | Q(channel=Channel.WEBHOOK, address=""),
                name="delivery_has_one_target",
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_attempt_at"], condition=Q(status=DeliveryStatus.PENDING), name="delivery_pending"
            )
        ]
        permissions = [("replay_delivery", "Can send a notice again")]

    def __str__(self) -> str:
        return f"{self.notice_id} to {self.address or self.endpoint_id}"


class DeliveryAttempt(Fact):
    """One try. Written before the call; without an outcome, whoever made it died."""

    changeable = ("finished_at", "succeeded", "answer")

    delivery = models.ForeignKey(Delivery, on_delete=models.PROTECT, related_name="tries")
    number = models.PositiveSmallIntegerField()
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    succeeded = models.BooleanField(null=True)
    answer = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["delivery", "number"], name="delivery_attempt_number")]

    def __str__(self) -> str:
        return f"{self.delivery_id}/{self.number}"
