"""Somebody at the console: who signs in, opens pages, and begins and confirms deeds."""

from __future__ import annotations

import json
import re
from typing import Any

from django.contrib.auth.models import Permission, User
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from billing.metering.ingestion import ingest
from billing.models import Invoice
from tests.billing.invoicing.conftest import instant

LIST = "/admin/billing/invoice/"


def signed_in(*permissions: str) -> Client:
    """A member of staff who may see everything of billing, and do what is named."""
    user = User.objects.create_user(f"user{User.objects.count()}", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    user.user_permissions.add(*Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def page(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return answer.content.decode()


def do(client: Client, deed: str, invoice: Invoice, **asked: Any) -> Any:
    """Begin a deed on an invoice's page; with `confirmed` do it."""
    chosen = {"action": deed, "_selected_action": invoice.pk, "origin": "row"}
    return client.post(LIST, {**chosen, **asked}, follow=True)


def messages(answer: Any) -> list[str]:
    return [str(message) for message in answer.context["messages"]]


def use(id: str, tokens: int, time: str, received: str, subject: str = "acme") -> None:
    event = {"specversion": "1.0", "id": id, "source": "gw", "type": "llm.request", "subject": subject}
    ingest(json.dumps({**event, "time": time, "data": {"tokens": tokens}}).encode(), at=instant(received), door="test")


def words(html: str) -> str:
    """The text of a page, without its markup, its blanks made one."""
    text = re.sub(r"<(script|style)\b.*?</\1>", " ", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", text).replace("&#x27;", "'").split())


def questions(client: Client, address: str) -> int:
    """How many queries a page asks, of both databases."""
    client.get(address)
    with (
        CaptureQueriesContext(connections["default"]) as main,
        CaptureQueriesContext(connections["quarantine"]) as side,
    ):
        assert client.get(address).status_code == 200
    return len(main) + len(side)
