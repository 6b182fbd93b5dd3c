"""Throw-away databases: clones of a migrated template, used as the application's role, dropped afterwards.

The template is made once for each state of the migrations and grants; a clone of it is there in a moment. Whoever
uses a clone holds an advisory lock named after it for as long; a clone nobody holds is what a killed run left, and
the next run drops it.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from hashlib import blake2b
from importlib import import_module
from pathlib import Path
from typing import Any

import psycopg
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

from revops.databases import ALIASES, ConnectionPlan
from revops.embedded.grants import table_grants

TEMPLATE_LOCK = "watertight template"
LONGEST_STEM = 24  # with what follows it, a name of a database has less than 64 characters

Server = psycopg.Connection[tuple[Any, ...]]
Say = Callable[[str], None]


class UnableToClone(Exception):
    """The server does not let us make databases."""


def silently(text: str) -> None:
    """Say nothing."""


@contextmanager
def throw_away_databases(say: Say = silently) -> Iterator[None]:
    """Let this thread's connections lead to fresh, migrated, empty databases, as the application's role.

    Raises UnableToClone.
    """
    with ExitStack() as stack:
        for alias in ALIASES:
            name = stack.enter_context(_clone(alias, say))
            stack.enter_context(_leading_to(alias, name, _plan().databases_as("application")[alias]))
        yield


@contextmanager
def _clone(alias: str, say: Say) -> Iterator[str]:
    with _server(alias) as server:
        template = _template(server, alias, say)
        _sweep(server)
        name = f"{_clones(server)}{os.getpid()}_{secrets.token_hex(6)}"
        _lock(server, name)
        try:
            _execute(server, "CREATE DATABASE {} TEMPLATE {}", name, template)
            _let_in(server, alias, name)
            yield name
        finally:
            _drop(server, name)


@contextmanager
def _leading_to(alias: str, name: str, settings_dict: dict[str, Any]) -> Iterator[BaseDatabaseWrapper]:
    """Put another connection in the place of this thread's own, which stays as it is meanwhile."""
    usual = connections[alias]
    connection = usual.copy()
    connection.settings_dict.update(
        {key: settings_dict[key] for key in ("USER", "PASSWORD", "HOST", "PORT", "OPTIONS")}, NAME=name
    )
    connections[alias] = connection
    try:
        yield connection
    finally:
        connection.close()
        connections[alias] = usual


def _template(server: Server, alias: str, say: Say) -> str:
    """The name of the migrated template, made first where there is none for this state of the code."""
    name = f"{_templates(server)}{_state_of_code(alias)}"
    if _exists(server, name):
        return name
    _lock(server, TEMPLATE_LOCK)
    try:
        if not _exists(server, name):
            say("Preparing a template for throw-away databases")
            draft = f"{name}_draft"  # what a killed run left half-migrated never gets the template's name
            _drop(server, draft)
            _execute(server, "CREATE DATABASE {} TEMPLATE template1", draft)
            with _leading_to(alias, draft, _plan().databases_as("owner")[alias]):
                call_command("migrate", database=alias, interactive=False, verbosity=0)
            _drop_older(server)
            _execute(server, "ALTER DATABASE {} RENAME TO {}", draft, name)
    finally:
        _unlock(server, TEMPLATE_LOCK)
    return name


def _state_of_code(alias: str) -> str:
    """A digest of everything that shapes an empty database: the migrations, their SQL, the grants."""
    digest = blake2b(digest_size=8)
    for app in sorted(apps.get_app_configs(), key=lambda app: app.label):
        try:
            package = import_module(f"{app.name}.migrations")
        except ModuleNotFoundError:
            continue
        for folder in map(Path, package.__path__):
            for file in sorted(path for path in folder.rglob("*") if path.suffix in (".py", ".sql")):
                digest.update(f"{app.label}/{file.relative_to(folder)}\0".encode())
                digest.update(file.read_bytes())
    digest.update(repr(sorted(table_grants(alias).items())).encode())
    digest.update(_application(alias).encode())
    return digest.hexdigest()


def _templates(server: Server) -> str:
    """How the names of templates begin: as the database they stand in for, whose advisory locks guard them."""
    return f"{server.info.dbname[:LONGEST_STEM]}_template_"


def _clones(server: Server) -> str:
    return f"{server.info.dbname[:LONGEST_STEM]}_clone_"


def _sweep(server: Server) -> None:
    """Drop clones that nobody holds."""
    found = server.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [_clones(server)])
    for (name,) in found.fetchall():
        locked = server.execute("SELECT pg_try_advisory_lock(%s)", [_number(name)]).fetchone()
        if locked and locked[0]:
            try:
                _drop(server, name)
            finally:
                _unlock(server, name)


def _drop_older(server: Server) -> None:
    """Templates of an earlier state of the code; one that is being cloned just now stays for the next time."""
    found = server.execute(
        "SELECT datname FROM pg_database WHERE starts_with(datname, %s) AND NOT datname LIKE '%%\\_draft'",
        [_templates(server)],
    )
    for (name,) in found.fetchall():
        try:
            _execute(server, "DROP DATABASE IF EXISTS {}", name)
        except psycopg.errors.ObjectInUse:
            continue


def _drop(server: Server, name: str) -> None:
    """Sessions that have just ended may take a moment to go; a database still in use stays for the next sweep."""
    for options in ("WITH (FORCE)", ""):
        try:
            server.execute(sql.SQL("DROP DATABASE IF EXISTS {} {}").format(sql.Identifier(name), sql.SQL(options)))
            return
        except psycopg.errors.InsufficientPrivilege:
            continue  # the owner may not end the application's sessions; without FORCE the server waits for them
        except psycopg.errors.ObjectInUse:
            return


def _let_in(server: Server, alias: str, name: str) -> None:
    """Rights on a database itself do not come with a template."""
    role = _application(alias)
    if role != server.info.user:
        _execute(server, "REVOKE ALL ON DATABASE {} FROM PUBLIC", name)
        _execute(server, "GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}", name, role)


@contextmanager
def _server(alias: str) -> Iterator[Server]:
    """The owner's connection to the server of an alias, outside of any transaction."""
    owner = _plan().databases_as("owner")[alias]
    server = psycopg.connect(
        host=owner["HOST"] or None,
        port=owner["PORT"] or None,
        user=owner["USER"],
        password=owner["PASSWORD"],
        dbname=owner["NAME"],
        autocommit=True,
        **owner["OPTIONS"],
    )
    with server:
        yield server


def _execute(server: Server, statement: str, *names: str) -> None:
    try:
        server.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
    except psycopg.errors.InsufficientPrivilege as error:
        raise UnableToClone(
            f"The role {server.info.user} may not make databases, and throw-away databases are needed here. "
            f"As an administrator: ALTER ROLE {server.info.user} CREATEDB"
        ) from error


def _exists(server: Server, name: str) -> bool:
    return server.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is not None


def _lock(server: Server, name: str) -> None:
    server.execute("SELECT pg_advisory_lock(%s)", [_number(name)])


def _unlock(server: Server, name: str) -> None:
    server.execute("SELECT pg_advisory_unlock(%s)", [_number(name)])


def _number(name: str) -> int:
    """An advisory lock's number."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), signed=True)


def _application(alias: str) -> str:
    return str(_plan().databases_as("application")[alias]["USER"])


def _plan() -> ConnectionPlan:
    plan: ConnectionPlan = settings.PLAN
    return plan
