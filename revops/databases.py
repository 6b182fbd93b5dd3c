"""Which databases this process uses, and as whom. Read by settings: imports no model, starts no server.

DATABASE_URL             the application's role; without it the embedded server
DATABASE_OWNER_URL       migrations and grants; default: DATABASE_URL
QUARANTINE_DATABASE_URL  default: DATABASE_URL with `_quarantine` added to the database's name
QUARANTINE_OWNER_URL     default: DATABASE_OWNER_URL's user at the quarantine's address
WATERTIGHT_ROLE          `application` (default) or `owner`: as whom this process connects
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import dj_database_url
import psycopg

from revops.embedded.furnishing import (
    APPLICATION,
    DATABASE,
    OWNER,
    QUARANTINE_APPLICATION,
    QUARANTINE_DATABASE,
)
from revops.embedded.home import Credentials, Home, locate_home

QUARANTINE = "quarantine"  # alias and app label
ALIASES = ("default", QUARANTINE)
URL_VARIABLES = ("DATABASE_URL", "DATABASE_OWNER_URL", "QUARANTINE_DATABASE_URL", "QUARANTINE_OWNER_URL")

Role = Literal["application", "owner"]


class UnableToReadEnvironment(ValueError):
    """A variable that names a database or a role cannot be understood. Never holds a password."""


@dataclass(frozen=True)
class ConnectionPlan:
    """Both databases by alias, as a URL for each role."""

    embedded: bool
    role: Role
    application: Mapping[str, str] = field(repr=False)
    owner: Mapping[str, str] = field(repr=False)

    @property
    def databases(self) -> dict[str, dict[str, Any]]:
        """Django's DATABASES for the role of this process; fresh dictionaries at each call."""
        return self.databases_as(self.role)

    def databases_as(self, role: Role) -> dict[str, dict[str, Any]]:
        chosen = self.owner if role == "owner" else self.application
        return {alias: self._settings(url) for alias, url in chosen.items()}

    def _settings(self, url: str) -> dict[str, Any]:
        settings = read_url(url)
        options = {"application_name": "watertight", "connect_timeout": 10, **settings.get("OPTIONS", {})}
        if self.embedded and psycopg.pq.version() >= 160000:
            # A stranger on our port, while the server is down, must not get to ask for the password in clear.
            options["require_auth"] = "scram-sha-256"
        return {
            **settings,
            "OPTIONS": options,
            "CONN_MAX_AGE": 60,
            "CONN_HEALTH_CHECKS": True,
            "ATOMIC_REQUESTS": False,
        }


def connection_settings(env: Mapping[str, str]) -> ConnectionPlan:
    """Read the environment.

    Raises UnableToReadEnvironment, or UnableToUseHome for the embedded server's files.
    """
    role = env.get("WATERTIGHT_ROLE") or "application"
    if role not in ("application", "owner"):
        raise UnableToReadEnvironment(f"WATERTIGHT_ROLE is {role!r}; it must be application or owner.")
    if not env.get("DATABASE_URL"):
        for name in ("DATABASE_OWNER_URL", "QUARANTINE_DATABASE_URL", "QUARANTINE_OWNER_URL"):
            if env.get(name):
                raise UnableToReadEnvironment(f"{name} is set without DATABASE_URL; set both or neither.")
        return embedded_plan(locate_home(env).credentials(), cast(Role, role))
    given = {name: checked_url(name, env[name]) for name in URL_VARIABLES if env.get(name)}
    application = given["DATABASE_URL"]
    owner = given.get("DATABASE_OWNER_URL", application)
    quarantine = given.get("QUARANTINE_DATABASE_URL", with_name_suffix(application, "_quarantine"))
    if "QUARANTINE_OWNER_URL" in given:
        quarantine_owner = given["QUARANTINE_OWNER_URL"]
    elif "DATABASE_OWNER_URL" in given:
        quarantine_owner = with_user_of(owner, quarantine)
    else:
        quarantine_owner = quarantine
    return ConnectionPlan(
        embedded=False,
        role=cast(Role, role),
        application={"default": application, QUARANTINE: quarantine},
        owner={"default": owner, QUARANTINE: quarantine_owner},
    )


def urls(plan: ConnectionPlan) -> dict[str, str]:
    """Connection strings by alias, of the application's role."""
    return dict(plan.application)


def home(env: Mapping[str, str]) -> Path:
    """The folder of everything this installation keeps outside the database."""
    return locate_home(env).path


def secret_key(path: Path) -> str:
    """The key that signs sessions, made once and kept in the home."""
    return Home(path).secret_key()


def embedded_plan(credentials: Credentials, role: Role) -> ConnectionPlan:
    def url(user: str, password: str, database: str) -> str:
        return f"postgresql://{user}:{quote(password, safe='')}@127.0.0.1:{credentials.port}/{database}"

    return ConnectionPlan(
        embedded=True,
        role=role,
        application={
            "default": url(APPLICATION, credentials.application_password, DATABASE),
            QUARANTINE: url(QUARANTINE_APPLICATION, credentials.quarantine_password, QUARANTINE_DATABASE),
        },
        owner={
            "default": url(OWNER, credentials.owner_password, DATABASE),
            QUARANTINE: url(OWNER, credentials.owner_password, QUARANTINE_DATABASE),
        },
    )


def checked_url(variable: str, url: str) -> str:
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in ("postgres", "postgresql"):
        raise UnableToReadEnvironment(
            f"{variable} must read postgresql://USER:PASSWORD@HOST:PORT/DATABASE (PostgreSQL only)."
        )
    try:
        settings = read_url(url)
    except ValueError as error:
        raise UnableToReadEnvironment(
            f"{variable} is not a URL; special characters in user or password must be percent-encoded, and "
            "only one host can be named."
        ) from error
    if not settings["NAME"]:
        raise UnableToReadEnvironment(f"{variable} names no database: end it with /DATABASE.")
    return url


def read_url(url: str) -> dict[str, Any]:
    """Django's settings for a PostgreSQL URL; a socket directory (`%2Frun%2Fpostgresql`) keeps its case."""
    settings = dict(dj_database_url.parse(url))
    if str(settings["HOST"]).startswith("/"):
        address = urlsplit(url).netloc.rpartition("@")[2]
        settings["HOST"] = unquote(address.partition(":")[0])
    return settings


def with_name_suffix(url: str, suffix: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path + suffix))


def with_user_of(user_url: str, url: str) -> str:
    """The second URL's server and database with the first one's user and password."""
    user, at, _ = urlsplit(user_url).netloc.rpartition("@")
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=user + at + parts.netloc.rpartition("@")[2]))


class QuarantineRouter:
    """The quarantine lives in its own database, with no relation out of it; all else in the default one."""

    def db_for_read(self, model: type[Any], **hints: object) -> str:
        return alias_of(model._meta.app_label)

    def db_for_write(self, model: type[Any], **hints: object) -> str:
        return alias_of(model._meta.app_label)

    def allow_relation(self, first: Any, second: Any, **hints: object) -> bool:
        return alias_of(first._meta.app_label) == alias_of(second._meta.app_label)

    def allow_migrate(self, db: str, app_label: str, **hints: object) -> bool:
        return db == alias_of(app_label)


def alias_of(app_label: str) -> str:
    return QUARANTINE if app_label == QUARANTINE else "default"
