"""Migrations say what the models say, and go to zero and back."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.core.management import call_command
from psycopg import sql

from revops.databases import connection_settings
from revops.embedded.launcher import Cluster

CHECKOUT = Path(__file__).parent.parent
OURS = "relname !~ '^(auth|django)_'"


@pytest.mark.django_db(databases=["default", "quarantine"])
def test_no_model_has_changed_without_a_migration() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


@pytest.fixture
def empty_databases(cluster: Cluster) -> Iterator[dict[str, str]]:
    """Two new databases of the owner's, as variables of the environment."""
    owner = connection_settings({**os.environ, "WATERTIGHT_ROLE": "owner"}).owner
    names = {alias: f"test_{alias}_p{os.getpid()}" for alias in owner}
    urls = {alias: url.rpartition("/")[0] + "/" + names[alias] for alias, url in owner.items()}
    with cluster.connect_as_superuser("postgres") as server:
        for name in names.values():
            server.execute(sql.SQL("CREATE DATABASE {} OWNER watertight_owner").format(sql.Identifier(name)))
        try:
            yield {"DATABASE_URL": urls["default"], "QUARANTINE_DATABASE_URL": urls["quarantine"]}
        finally:
            for name in names.values():
                server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def migrate(urls: dict[str, str], *arguments: str) -> None:
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0", *arguments]
    subprocess.run(command, check=True, cwd=CHECKOUT, env={**os.environ, **urls})


def left_over(url: str) -> list[str]:
    """Tables, sequences and functions of ours, but those that extensions brought."""
    with psycopg.connect(url) as connection:
        found = connection.execute(
            f"""
            SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace
                AND relkind IN ('r', 'p', 'S') AND {OURS}
            UNION ALL
            SELECT proname FROM pg_proc JOIN pg_language ON pg_language.oid = prolang
            WHERE pronamespace = 'public'::regnamespace AND lanname = 'plpgsql'
            """
        ).fetchall()
    return [str(name) for (name,) in found]


@pytest.mark.sql
def test_migrations_go_to_zero_and_back(empty_databases: dict[str, str]) -> None:
    main, quarantine = empty_databases["DATABASE_URL"], empty_databases["QUARANTINE_DATABASE_URL"]
    migrate(empty_databases)
    made = len(left_over(main)), len(left_over(quarantine))
    assert min(made) > 2
    migrate(empty_databases, "--database", "quarantine", "quarantine", "zero")
    migrate(empty_databases, "--database", "default", "catalog", "zero")
    assert [
        name for name in left_over(main) if name.startswith(("billing", "contracts", "catalog", "watertight"))
    ] == []
    assert left_over(quarantine) == []
    migrate(empty_databases)
    assert (len(left_over(main)), len(left_over(quarantine))) == made


@pytest.mark.sql
def test_months_there_are_get_a_place_for_what_came(empty_databases: dict[str, str]) -> None:
    """Events were stored before there were rules."""
    migrate(empty_databases, "--database", "default", "billing", "0007")
    with psycopg.connect(empty_databases["DATABASE_URL"]) as connection:
        connection.execute("SELECT watertight_event_partition('2025-12-31T23:00:00-05:00')")
    migrate(empty_databases, "--database", "default", "billing", "0008")
    with psycopg.connect(empty_databases["DATABASE_URL"]) as connection:
        found = connection.execute(
            "SELECT relname FROM pg_class WHERE relname ~ '^billing_(original)?event_\\d{4}_\\d\\d$' ORDER BY 1"
        ).fetchall()
    assert [name for (name,) in found] == ["billing_event_2026_01", "billing_originalevent_2026_01"]
