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


LOOSE = """
    DO $$ DECLARE found record; BEGIN
        FOR found IN SELECT conname FROM pg_constraint WHERE conrelid = '{table}'::regclass AND contype = 'f' LOOP
            EXECUTE format('ALTER TABLE {table} DROP CONSTRAINT %I', found.conname);
        END LOOP;
        FOR found IN SELECT column_name FROM information_schema.columns
            WHERE table_name = '{table}' AND is_nullable = 'NO' AND column_name <> 'id' LOOP
            EXECUTE format('ALTER TABLE {table} ALTER COLUMN %I DROP NOT NULL', found.column_name);
        END LOOP;
    END $$
"""
"""So that a row needs no more than what the test is about."""


@pytest.mark.sql
def test_lines_and_closes_that_had_one_rate_of_tax_have_it_in_their_list(empty_databases: dict[str, str]) -> None:
    """Both are facts, whose rows no UPDATE may touch."""
    migrate(empty_databases, "--database", "default", "billing", "0014")
    url = empty_databases["DATABASE_URL"]
    with psycopg.connect(url) as connection:
        for table in ("billing_invoiceline", "billing_periodclose"):
            connection.execute(LOOSE.format(table=table).encode())
        connection.execute(
            "INSERT INTO billing_invoiceline (tax_code, tax_percent, amount, tax_amount)"
            " VALUES ('de-vat', 19, 99, 18.81), ('', 0, 5, 0), ('', 0, 0, -18.81)"
        )
        connection.execute("INSERT INTO billing_periodclose (tax_code, tax_percent) VALUES ('de-vat', 19), ('', 0)")
    migrate(empty_databases, "--database", "default", "billing", "0015")
    with psycopg.connect(url) as connection:
        lines = connection.execute("SELECT taxes FROM billing_invoiceline ORDER BY id").fetchall()
        closes = connection.execute("SELECT tax FROM billing_periodclose ORDER BY id").fetchall()
    assert [taxes for (taxes,) in lines] == [
        [{"code": "de-vat", "percent": "19", "base": "99", "amount": "18.81"}],
        [],
        [{"code": "", "percent": "0", "base": "0", "amount": "-18.81"}],
    ]
    assert [tax for (tax,) in closes] == [{"rates": [{"code": "de-vat", "percent": "19"}]}, {}]
    migrate(empty_databases, "--database", "default", "billing", "0014")
    with psycopg.connect(url) as connection:
        lines = connection.execute("SELECT tax_code FROM billing_invoiceline ORDER BY id").fetchall()
        closes = connection.execute("SELECT tax_code, tax_percent FROM billing_periodclose ORDER BY id").fetchall()
    assert [code for (code,) in lines] == ["de-vat", "", ""]
    assert [(code, int(percent)) for code, percent in closes] == [("de-vat", 19), ("", 0)]
