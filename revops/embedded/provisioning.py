"""From nothing to a migrated database, before a command runs: start the server, migrate, grant.

When everything is in place this costs one query per database.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pkgutil import iter_modules

from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import InterfaceError, OperationalError, ProgrammingError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader
from psycopg import errors

from revops.databases import ALIASES, ConnectionPlan, connection_settings
from revops.embedded.grants import apply_grants
from revops.embedded.launcher import ensure_running, status

Say = Callable[[str], None]

# Any number, the same in every process: the advisory lock of whoever makes or migrates databases.
MIGRATION_LOCK = 0x77617465


class UnableToPrepare(Exception):
    """The database is not fit for use; the message says what to do."""


def prepare(say: Say) -> None:
    """Make both databases ready for this process; `say` is told what takes time. Safe to race.

    Without DATABASE_URL the embedded server is started and kept migrated. A database of the operator's is
    migrated when it is empty; later migrations there are theirs to run.

    Raises UnableToStart, UnableToPrepare, UnableToGrant.
    """
    if is_ready():
        return
    start_server(say)
    if is_ready():
        return
    for alias in ALIASES:
        create_if_missing(alias, say)
    with sole_migrator():
        for alias in ALIASES:
            bring_up_to_date(alias, say)


def start_server(say: Say) -> None:
    """The embedded server, where it is used and does not run. Raises UnableToStart."""
    plan: ConnectionPlan = settings.PLAN
    if plan.embedded:
        if not status().running:
            say("Starting the embedded database server")
        ensure_running()
        read_connections_anew()


def is_ready() -> bool:
    try:
        return not any(unapplied(connections[alias]) for alias in ALIASES)
    except (OperationalError, InterfaceError):
        for alias in ALIASES:
            connections[alias].close()
        return False


def bring_up_to_date(alias: str, say: Say) -> None:
    plan: ConnectionPlan = settings.PLAN
    with as_owner(alias) as connection:
        waiting = unapplied(connection)
        if waiting and not plan.embedded and waiting != migrations_on_disk():
            names = ", ".join(sorted(f"{app}.{name}" for app, name in waiting))
            raise UnableToPrepare(
                f"The database {connection.settings_dict['NAME']} lacks migrations ({names}). "
                "Run: python manage.py migrate"
            )
        if waiting:
            say(f"Migrating the database {connection.settings_dict['NAME']}")
            call_command("migrate", database=alias, interactive=False, verbosity=0)
        else:
            # Migrated, though the application cannot see so: its grants are missing.
            apply_grants(alias)


def unapplied(connection: BaseDatabaseWrapper) -> set[tuple[str, str]]:
    """Migrations (app, name) on disk that the database has no record of; all of them where it cannot tell."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT app, name FROM django_migrations")
            applied = set(cursor.fetchall())
    except ProgrammingError as error:
        if isinstance(error.__cause__, errors.UndefinedTable | errors.InsufficientPrivilege):
            return migrations_on_disk()
        raise
    return migrations_on_disk() - applied


def migrations_on_disk() -> set[tuple[str, str]]:
    """Names only: the migrations themselves are not imported, which takes much longer."""
    found = set()
    for app in apps.get_app_configs():
        package, _ = MigrationLoader.migrations_module(app.label)
        try:
            paths = import_module(package).__path__ if package else []
        except ModuleNotFoundError:
            continue
        found |= {(app.label, part.name) for part in iter_modules(paths) if part.name[0] not in "_~"}
    return found


def create_if_missing(alias: str, say: Say) -> None:
    """The operator may have made only one of the two databases."""
    with as_owner(alias) as connection:
        try:
            connection.ensure_connection()
        except OperationalError as error:
            name = connection.settings_dict["NAME"]
            if f'database "{name}" does not exist' not in str(error):
                raise UnableToPrepare(f"Cannot connect to the database {name}: {error}") from error
            say(f"Creating the database {name}")
            try:
                with connection._nodb_cursor() as cursor:
                    cursor.execute(f"CREATE DATABASE {connection.ops.quote_name(name)}")
            except (ProgrammingError, OperationalError) as refused:
                if not isinstance(refused.__cause__, errors.DuplicateDatabase | errors.UniqueViolation):
                    raise UnableToPrepare(
                        f"The database {name} does not exist and cannot be created ({refused}). "
                        "Create it, owned by the role of DATABASE_OWNER_URL."
                    ) from refused


@contextmanager
def as_owner(alias: str) -> Iterator[BaseDatabaseWrapper]:
    """This thread's connection with the owner's rights; for migrations, grants and throw-away databases.

    Outside of any transaction: the connection is closed before and after, unless it is the owner's anyway.
    """
    plan: ConnectionPlan = settings.PLAN
    connection = connections[alias]
    mine = connection.settings_dict
    owner, application = plan.databases_as("owner")[alias], plan.databases_as("application")[alias]
    if mine["USER"] == owner["USER"]:
        yield connection
        return
    if connection.in_atomic_block:
        raise UnableToPrepare("The owner's rights cannot be taken inside a transaction.")
    theirs = {**mine, **{key: owner[key] for key in ("USER", "PASSWORD", "HOST", "PORT")}}
    # A pool holds connections of the application's role.
    theirs["OPTIONS"] = {key: value for key, value in mine["OPTIONS"].items() if key != "pool"}
    if mine["NAME"] == application["NAME"]:
        theirs["NAME"] = owner["NAME"]
    connection.close()
    connection.settings_dict = theirs
    try:
        yield connection
    finally:
        connection.close()
        connection.settings_dict = mine


@contextmanager
def sole_migrator() -> Iterator[None]:
    """Wait until nobody else migrates, on any machine; a killed holder's lock goes with its connection."""
    with as_owner("default") as connection:
        holder = connection.copy()
    try:
        with holder.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [MIGRATION_LOCK])
        yield
    finally:
        holder.close()


def read_connections_anew() -> None:
    """The server may have had to move to another port since the settings were read. Whoever is connected stays who."""
    plan = settings.PLAN = connection_settings(os.environ)
    for alias in ALIASES:
        as_roles = [plan.databases_as(role)[alias] for role in ("application", "owner")]
        fresh = {one["USER"]: {key: one[key] for key in ("PASSWORD", "HOST", "PORT")} for one in as_roles}
        for kept in (settings.DATABASES[alias], connections[alias].settings_dict):
            kept.update(fresh.get(kept["USER"], {}))
