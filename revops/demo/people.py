"""Who works at the sample company: one login for each role, a key for an integration, and the note of both."""

from __future__ import annotations

import datetime as dt
import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from django.contrib.auth.models import Group, Permission, User
from django.db.models import Q

from revops.api.keys import create_key, revoke_key
from revops.demo.usage import GATEWAY
from revops.models import READ_SCOPES, ApiKey, Scope

KEY_NAME = "Demo integration"
OURS = ("catalog", "contracts", "billing", "quarantine", "revops")

# Role -> (username, full name). The role is the group's name, too.
ROLES = {
    "admin": ("admin", "Alex Admin"),
    "revops": ("robin", "Robin RevOps"),
    "finance": ("fiona", "Fiona Finance"),
    "auditor": ("arthur", "Arthur Auditor"),
}

# What a role may do besides reading everything: app_label.codename.
DEEDS = {
    "revops": (
        "catalog.submit_planversion", "catalog.retire_planversion", "contracts.submit_contract",
        "contracts.amend_contract", "contracts.end_contract", "billing.correct_event",
    ),
    "finance": (
        "catalog.publish_planversion", "contracts.approve_contract", "billing.issue_invoice", "billing.void_invoice",
        "billing.delete_invoice", "billing.run_billing",
    ),
    "auditor": (),
}  # fmt: skip
EDITED_BY_REVOPS = ("catalog", "contracts")


@dataclass(frozen=True, slots=True)
class Login:
    username: str
    password: str
    role: str


@dataclass
class Note:
    """`demo.json`: where the product is, and how to get in. Readable by its owner alone."""

    url: str = ""
    api_key: str = ""
    source: str = GATEWAY
    users: list[Login] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Note:
        """The note at a path; an empty one where there is none that can be read."""
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return cls(found["url"], found["api_key"], found["source"], [Login(**user) for user in found["users"]])
        except (OSError, ValueError, KeyError, TypeError):
            return cls()

    def write(self, path: Path) -> None:
        draft = path.with_suffix(".draft")
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(asdict(self), stream, indent=2)
            stream.write("\n")
        draft.replace(path)

    def password_of(self, username: str) -> str:
        return next((login.password for login in self.users if login.username == username), "")


def employ(note: Note) -> dict[str, User]:
    """The staff by role, with the passwords of the note; who has none gets one, which is then in the note."""
    staff = {}
    logins = []
    for role, (username, name) in ROLES.items():
        user, is_new = User.objects.get_or_create(username=username, defaults={"email": f"{username}@aurora.example"})
        password = note.password_of(username)
        if is_new or not password:
            password = secrets.token_urlsafe(9)
            user.set_password(password)
            user.first_name, _, user.last_name = name.partition(" ")
            user.is_staff, user.is_superuser = True, role == "admin"
            user.save()
        if role in DEEDS:
            user.groups.add(group_of(role))
        staff[role] = user
        logins.append(Login(username, password, role))
    note.users = logins
    return staff


def group_of(role: str) -> Group:
    """The group of a role with its permissions."""
    group, is_new = Group.objects.get_or_create(name=role)
    if is_new:
        ours = Permission.objects.filter(content_type__app_label__in=OURS)
        wanted = Q(codename__startswith="view_")
        for deed in DEEDS[role]:
            app, _, codename = deed.partition(".")
            wanted |= Q(content_type__app_label=app, codename=codename)
        if role == "revops":
            edits = (
                Q(codename__startswith="add_") | Q(codename__startswith="change_") | Q(codename__startswith="delete_")
            )
            wanted |= edits & Q(content_type__app_label__in=EDITED_BY_REVOPS)
        group.permissions.set(ours.filter(wanted))
    return group


def is_complete() -> bool:
    """The key is made last: where it is, the company is all there."""
    return ApiKey.objects.filter(name=KEY_NAME).exists()


def hand_out_key(note: Note, at: dt.datetime) -> None:
    """Put a key into the note, which may write events of its source and read everything."""
    for lost in ApiKey.objects.usable(at).filter(name=KEY_NAME):
        revoke_key(lost, at=at, reason="Its secret was lost with demo.json")
    scopes = [Scope.EVENTS_WRITE, *READ_SCOPES]
    _, note.api_key = create_key(KEY_NAME, scopes, at=at, source=note.source, by="demo")
