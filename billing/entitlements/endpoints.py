"""Webhook endpoints and their secrets."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from billing.models import WebhookEndpoint
from billing.models.deliveries import new_secret
from catalog.auditing import Actor, sign


def give_new_secret(endpoint: WebhookEndpoint, *, at: dt.datetime, by: Actor = None) -> WebhookEndpoint:
    """From now on what it is sent is signed with another secret, what is tried again too."""
    with transaction.atomic():
        locked = WebhookEndpoint.objects.select_for_update().get(pk=endpoint.pk)
        locked.secret = new_secret()
        sign(locked, at, by, "Gave it a new secret")
        locked.save()
    return locked
