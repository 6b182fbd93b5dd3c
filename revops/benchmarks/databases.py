"""Throw-away databases on the server at hand, migrated, and gone afterwards."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import psycopg
from django.conf import settings
from django.db import connections
from psycopg import sql

from revops.databases import ALIASES, ConnectionPlan
from revops.embedded.provisioning import bring_up_to_date

URL_VARIABLES = {
    ("default", "application"): "DATABASE_URL",
    ("default", "owner"): "DATABASE_OWNER_URL",
    ("quarantine", "application"): "QUARANTINE_DATABASE_URL",
    ("quarantine", "owner"): "QUARANTINE_OWNER_URL",
}


@contextmanager
def throw_away_databases(say: Callable[[str], None]) -> Iterator[dict[str, str]]:
    """Two empty, migrated databases that this process is connected to; yields the environment of child processes."""
    plan: ConnectionPlan = settings.PLAN
    before = {alias: connections[alias].settings_dict["NAME"] for alias in ALIASES}
    names = {alias: f"bench_{os.getpid()}_{alias}" for alias in ALIASES}
    say("Making throw-away databases")
    for alias in ALIASES:
        drop(plan.owner[alias], names[alias])
        with administrating(plan.owner[alias]) as server:
            server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(names[alias])))
    try:
        switch(names)
        for alias in ALIASES:
            bring_up_to_date(alias, lambda text: None)
        given = {"application": plan.application, "owner": plan.owner}
        urls = {
            variable: with_name(given[role][alias], names[alias]) for (alias, role), variable in URL_VARIABLES.items()
        }
        yield {**os.environ, **urls}
    finally:
        switch(before)
        for alias in ALIASES:
            drop(plan.owner[alias], names[alias])


def switch(names: dict[str, str]) -> None:
    """Let this process's connections lead to other databases of the same servers."""
    for alias, name in names.items():
        connections[alias].close()
        settings.DATABASES[alias]["NAME"] = name
        connections[alias].settings_dict["NAME"] = name


def drop(url: str, name: str) -> None:
    with administrating(url) as server:
        server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def administrating(url: str) -> psycopg.Connection[tuple[object, ...]]:
    """The owner's connection to the server's `postgres` database, where databases are made and dropped."""
    return psycopg.connect(with_name(url, "postgres"), autocommit=True)


def with_name(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
