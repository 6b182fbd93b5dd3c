"""Who works at the sample company: one login for each role, a key for an integration, and the note of both."""

from __future__ import annotations

import datetime as dt
import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from django.contrib.auth.models import Group, User

from revops.api.keys import create_key, revoke_key
from revops.demo.usage import GATEWAY
from revops.models import READ_SCOPES, ApiKey, Scope
from revops.roles import AUDITOR, ENGINEERING, FINANCE, REVOPS, SALES

KEY_NAME = "Demo integration"

# Role, as demo.json names it -> (username, full name, the group whose rights they have).
STAFF = {
    "admin": ("admin", "Alex Admin", ""),
    "revops": ("robin", "Robin RevOps", REVOPS),
    "finance": ("fiona", "Fiona Finance", FINANCE),
    "sales": ("sam", "Sam Sales", SALES),
    "engineering": ("erin", "Erin Engineering", ENGINEERING),
    "auditor": ("arthur", "Arthur Auditor", AUDITOR),
}


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
        path.parent.mkdir(parents=True, exist_ok=True)  # with a server of your own, nothing has made the home yet
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
    for role, (username, name, group) in STAFF.items():
        user, is_new = User.objects.get_or_create(username=username, defaults={"email": f"{username}@aurora.example"})
        password = note.password_of(username)
        if is_new or not password:
            password = secrets.token_urlsafe(9)
            user.set_password(password)
            user.first_name, _, user.last_name = name.partition(" ")
            user.is_staff, user.is_superuser = True, role == "admin"
            user.save()
        if group:
            user.groups.add(Group.objects.get(name=group))
        staff[role] = user
        logins.append(Login(username, password, role))
    note.users = logins
    return staff


def is_complete() -> bool:
    """The key is made last: where it is, the company is all there."""
    return ApiKey.objects.filter(name=KEY_NAME).exists()


def hand_out_key(note: Note, at: dt.datetime) -> None:
    """Put a key into the note, which may write events of its source and read everything."""
    for lost in ApiKey.objects.usable(at).filter(name=KEY_NAME):
        revoke_key(lost, at=at, reason="Its secret was lost with demo.json")
    scopes = [Scope.EVENTS_WRITE, *READ_SCOPES]
    _, note.api_key = create_key(KEY_NAME, scopes, at=at, source=note.source, by="demo")
