"""Work in several threads, each over a database connection of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import DEFAULT_DB_ALIAS, connection, connections

Given = TypeVar("Given")
Made = TypeVar("Made")


def in_turns(work: Callable[[Given], Made], items: Sequence[Given], workers: int) -> Iterator[Made]:
    """The results of `work`, in the order of the items, `workers` of them at a time.

    The threads' connections lead where the caller's does. Inside a transaction of the caller's all is done there: what
    that has written nobody else sees.
    """
    if workers < 2 or len(items) < 2 or connection.in_atomic_block:
        yield from map(work, items)
        return
    own = connections[DEFAULT_DB_ALIAS]

    def begin() -> None:
        connections[DEFAULT_DB_ALIAS] = own.copy()

    def turn(item: Given) -> Made:
        try:
            return work(item)
        finally:
            connections[DEFAULT_DB_ALIAS].close()

    with ThreadPoolExecutor(workers, "turn", initializer=begin) as threads:
        yield from threads.map(turn, items)
