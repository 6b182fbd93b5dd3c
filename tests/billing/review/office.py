"""People of the office at the desk: a client for each role, and what a page says."""

from __future__ import annotations

import html
import re
from typing import Any

from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse
from django.utils.html import strip_tags

from revops.roles import found_roles

QUEUE = "/admin/quarantine/heldrecord/queue/"
MATCHING = f"{QUEUE}matching/"
PROPOSE = f"{QUEUE}propose/"
REPLAY = f"{QUEUE}replay/"
RULES = "/admin/quarantine/heldrecord/rules/"
RECORDS = "/admin/quarantine/heldrecord/"
PROPOSALS = "/admin/quarantine/proposal/"


def employ(username: str, role: str) -> Client:
    """Somebody who signed in, with the rights of a role and no others."""
    if not Group.objects.filter(name=role).exists():
        found_roles()
    user = User.objects.create_user(username, is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    return client


def page(client: Client, address: str, **asked: Any) -> str:
    """A page as text, its white space folded."""
    answer = client.get(address, asked)
    assert answer.status_code == 200, answer.status_code
    return text_of(answer)


def text_of(answer: Any) -> str:
    shown = re.sub(r"<(script|style).*?</\1>|<[^>]*>", " ", answer.content.decode(), flags=re.S)
    return re.sub(r"\s+", " ", html.unescape(shown))


def messages(answer: Any) -> list[str]:
    return [strip_tags(str(message)) for message in answer.context["messages"]]


def record_page(id: int) -> str:
    return reverse("admin:quarantine_heldrecord_change", args=[id])


def proposal_page(id: int) -> str:
    return reverse("admin:quarantine_proposal_change", args=[id])


def decide(client: Client, deed: str, *ids: int, **asked: Any) -> Any:
    """Begin a deed on proposals; with `confirmed` do it."""
    origin = {"origin": "row"} if len(ids) == 1 else {}
    return client.post(PROPOSALS, {"action": deed, "_selected_action": list(ids), **origin, **asked}, follow=True)


def errors(answer: Any) -> list[str]:
    """What the form of a proposal refuses."""
    form = answer.context["form"]
    return [str(error) for found in form.errors.values() for error in found]
