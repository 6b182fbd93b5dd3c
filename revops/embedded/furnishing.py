"""What a cluster holds before any migration: roles, databases, extensions. Repeatable; as the superuser."""

import psycopg
from psycopg import sql

from revops.embedded.home import Credentials

SUPERUSER = "watertight_superuser"
OWNER = "watertight_owner"
APPLICATION = "watertight_app"
QUARANTINE_APPLICATION = "watertight_quarantine_app"

DATABASE = "watertight"
QUARANTINE_DATABASE = "watertight_quarantine"
ROLE_OF_DATABASE = {DATABASE: APPLICATION, QUARANTINE_DATABASE: QUARANTINE_APPLICATION}

# Raised when the steps below change, so that an older cluster is furnished again at the next start.
RECIPE = 1

EXTENSIONS = ("btree_gist", "pg_trgm")
ZONES = ("Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe")

Connection = psycopg.Connection[tuple[object, ...]]


class UnableToFurnish(Exception):
    """The server lacks something that billing depends on."""


def furnish_cluster(connection: Connection, credentials: Credentials) -> None:
    """Roles with their passwords, both databases, and who may connect to them.

    `connection` is the superuser's, in autocommit mode, to the database `postgres`. What exists is kept;
    passwords are set to the home's, so that a home whose credentials were lost gets its server back.
    """
    check_time_zones(connection)
    set_role(connection, OWNER, credentials.owner_password, "CREATEDB")
    set_role(connection, APPLICATION, credentials.application_password, "NOCREATEDB")
    set_role(connection, QUARANTINE_APPLICATION, credentials.quarantine_password, "NOCREATEDB")
    for role in ROLE_OF_DATABASE.values():
        # The owner may act as the application (SET ROLE): tests prove in that role what the database refuses.
        execute(connection, "GRANT {} TO {}", role, OWNER)
    for database, role in ROLE_OF_DATABASE.items():
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone()
        if found is None:
            execute(connection, "CREATE DATABASE {} OWNER {} TEMPLATE template1", database, OWNER)
        execute(connection, "REVOKE ALL ON DATABASE {} FROM PUBLIC", database)
        execute(connection, "GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}", database, role)
    # Making and dropping databases is done from `postgres`; nobody else has business there.
    execute(connection, "REVOKE ALL ON DATABASE postgres FROM PUBLIC")
    execute(connection, "GRANT CONNECT ON DATABASE postgres TO {}", OWNER)
    execute(connection, "REVOKE ALL ON DATABASE template1 FROM PUBLIC")


def furnish_template(connection: Connection) -> None:
    """Extensions in `template1`, for every database made later. `connection` is the superuser's, to it."""
    for extension in EXTENSIONS:
        execute(connection, "CREATE EXTENSION IF NOT EXISTS {}", extension)


def set_role(connection: Connection, role: str, password: str, right: str) -> None:
    found = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
    verb = "CREATE" if found is None else "ALTER"
    # Only the verifier travels, so no log can ever hold the password.
    verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
    statement = sql.SQL("{} ROLE {} LOGIN NOSUPERUSER NOCREATEROLE {} PASSWORD {}").format(
        sql.SQL(verb), sql.Identifier(role), sql.SQL(right), sql.Literal(verifier.decode())
    )
    connection.execute(statement)


def check_time_zones(connection: Connection) -> None:
    """Billing periods are computed in named zones; some builds of the server bring none."""
    for zone in ZONES:
        try:
            connection.execute("SELECT timestamptz '2026-07-01 00:00+00' AT TIME ZONE %s", [zone])
        except psycopg.errors.InvalidParameterValue as error:
            raise UnableToFurnish(
                f"The server does not know the time zone {zone}. Install the system's time zone data "
                "(tzdata), or use server binaries that bring their own."
            ) from error


def execute(connection: Connection, statement: str, *names: str) -> None:
    """Run a statement of ours with names put in as identifiers."""
    connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
