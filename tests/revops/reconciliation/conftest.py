"""A world played once for a module, and ways to do to it what the database refuses to everybody but its owner."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections, transaction
from pytest_django import DjangoDbBlocker

from revops.databases import ALIASES
from revops.simulation.playing import perform, read_scenario
from revops.vocabulary.documents import read_file

NOW = "2026-04-05T00:00:00Z"


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[dict[str, Any]]:
    """The outcome of the world, which stands committed while the module's tests run."""
    with django_db_blocker.unblock():
        try:
            outcome = perform(read_scenario(read_file(Path(__file__).with_name("world.yaml"))))
            assert outcome["mismatches"] == []
            yield outcome
        finally:
            for alias in ALIASES:
                call_command("flush", database=alias, interactive=False, verbosity=0)


@pytest.fixture
def taken_back(world: dict[str, Any]) -> Iterator[None]:
    """Whatever the test does to the databases is rolled back."""
    with ExitStack() as stack:
        for alias in ALIASES:
            stack.enter_context(transaction.atomic(using=alias))
        yield
        for alias in ALIASES:
            transaction.set_rollback(True, using=alias)


Plant = Callable[..., None]


@pytest.fixture
def plant(taken_back: None) -> Plant:
    """Run a statement on a table with its triggers off, as its owner can; it must touch a row."""

    def run(table: str, sql: str, *before: str, rows: int | None = 1) -> None:
        alias = "quarantine" if table.startswith("quarantine") else "default"
        with connections[alias].cursor() as cursor:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            for statement in before:
                cursor.execute(statement)
            cursor.execute(sql)
            assert rows is None or cursor.rowcount == rows

    return run


@dataclass
class Answer:
    """What the command printed, and how it ended."""

    failed: bool
    document: dict[str, Any]

    def leaks(self, check: int) -> list[dict[str, Any]]:
        return [leak for leak in self.document["leaks"] if leak["check"] == check]

    def check(self, number: int) -> dict[str, Any]:
        [found] = [check for check in self.document["checks"] if check["check"] == number]
        return dict(found)


def check_books(*options: str, at: str = NOW) -> Answer:
    """Run the command as an operator would."""
    out = io.StringIO()
    failed = False
    try:
        call_command("check_books", "--at", at, "--json", *options, stdout=out, stderr=io.StringIO())
    except CommandError as error:
        failed = error.returncode != 0
    return Answer(failed, json.loads(out.getvalue()))
