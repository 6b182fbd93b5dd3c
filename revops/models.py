"""What the office itself stores: the keys its integrations call with."""

from __future__ import annotations

import datetime as dt

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q

from billing.models import Source
from catalog.auditing import MadeKey, history
from revops.api.limits import RECORDS, REQUESTS, Allowance, Kind, take


class Scope(models.TextChoices):
    """What a key may do. Who may write a thing may read it too."""

    EVENTS_WRITE = "events:write", "report and correct events"
    USAGE_READ = "usage:read", "read events, usage and previews"
    CATALOG_READ = "catalog:read", "read what is sold"
    CATALOG_WRITE = "catalog:write", "change what is sold"
    CONTRACTS_READ = "contracts:read", "read customers and contracts"
    CONTRACTS_WRITE = "contracts:write", "change customers and contracts"
    BILLING_READ = "billing:read", "read invoices"
    BILLING_WRITE = "billing:write", "issue and void invoices"
    QUARANTINE_READ = "quarantine:read", "read what is held"
    QUARANTINE_WRITE = "quarantine:write", "review what is held"


READ_SCOPES = [scope for scope in Scope if scope.value.endswith(":read")]


def validate_scopes(scopes: list[str]) -> None:
    unknown = sorted(set(scopes) - set(Scope.values))
    if unknown:
        raise ValidationError(f"Unknown scope {unknown[0]!r}; there are: {', '.join(Scope.values)}.")


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def usable(self, at: dt.datetime) -> ApiKeyQuerySet:
        return self.filter(revoked_at__isnull=True).filter(Q(expires_at__isnull=True) | Q(expires_at__gt=at))


class ApiKey(MadeKey):
    """The right of an integration to call the API. Only a hash of the secret is kept."""

    name = models.CharField(max_length=200)
    prefix = models.CharField(max_length=12, editable=False, help_text="How the secret starts, to tell keys apart.")
    secret_hash = models.CharField(max_length=64, unique=True, editable=False, help_text="SHA-256, hexadecimal.")
    scopes = ArrayField(models.CharField(max_length=40), default=list, validators=[validate_scopes])
    source = models.ForeignKey(
        Source, to_field="key", db_column="source_key", on_delete=models.PROTECT, null=True, blank=True,
        related_name="api_keys", help_text="The only source it may report for. Empty: any.",
    )  # fmt: skip
    created_at = models.DateTimeField(editable=False)
    created_by = models.CharField(max_length=200, blank=True, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Empty: never.")
    requests_per_minute = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1)], help_text=f"Empty: {REQUESTS:,}."
    )
    records_per_minute = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1)], help_text=f"Records of events. Empty: {RECORDS:,}."
    )
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, editable=False, help_text="To the minute.")
    history = history()
    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = "API key"
        verbose_name_plural = "API keys"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}...)"

    def is_usable(self, at: dt.datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > at)

    def allowance(self, kind: Kind, cost: int = 1) -> Allowance:
        """Take so much of what the key may ask for in a minute."""
        own = self.records_per_minute if kind is Kind.RECORDS else self.requests_per_minute
        return take(kind, self.pk, own or (RECORDS if kind is Kind.RECORDS else REQUESTS), cost)

    def may(self, scope: str) -> bool:
        """Whether the key has the scope, or may write what the scope reads."""
        return scope in self.scopes or (scope.endswith(":read") and scope[:-4] + "write" in self.scopes)


class Deed(models.Model):
    """A deed called with an `Idempotency-Key`, and how it was answered: asked again, the answer is the same.

    Without an answer it is under way, or was cut off; after some minutes it may be tried again.
    """

    api_key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, related_name="deeds")
    idempotency_key = models.CharField(max_length=200)
    digest = models.CharField(max_length=64, help_text="SHA-256 of method, address and body.")
    begun_at = models.DateTimeField()
    status = models.PositiveSmallIntegerField(null=True)
    answer = models.TextField(blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["api_key", "idempotency_key"], name="deed_once_per_key")]

    def __str__(self) -> str:
        return self.idempotency_key
