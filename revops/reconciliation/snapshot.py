"""One unchanging view of both databases, and rows streamed out of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from django.db import connections, router, transaction

from billing.models import Event, HeldRecord

MAIN: str = router.db_for_read(Event)
QUARANTINE: str = router.db_for_read(HeldRecord)

ROWS = 2000  # fetched at a time


@contextmanager
def consistent_view() -> Iterator[None]:
    """Read-only, and as of one instant in each database, whatever is ingested or billed meanwhile.

    The main database is looked at first: what is held is committed before the receipt that counts it, so every
    receipt seen has its sightings. Inside a caller's transaction, that one is the view.
    """
    with ExitStack() as views:
        for alias in (MAIN, QUARANTINE):
            if connections[alias].in_atomic_block:
                continue
            views.enter_context(transaction.atomic(using=alias))
            with connections[alias].cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                cursor.execute("SELECT 1")  # the view is that of the first query
        yield


def stream(sql: str, parameters: Sequence[Any] = (), using: str = MAIN) -> Iterator[tuple[Any, ...]]:
    """The rows of a query, some at a time, through a cursor of the server. Call within a view."""
    with connections[using].chunked_cursor() as cursor:
        cursor.execute(sql, parameters)
        while rows := cursor.fetchmany(ROWS):
            yield from rows


def rows(sql: str, parameters: Sequence[Any] = (), using: str = MAIN) -> list[tuple[Any, ...]]:
    """All rows of a query that has few."""
    with connections[using].cursor() as cursor:
        cursor.execute(sql, parameters)
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found
