"""Tests run as the owner of throw-away databases: on the embedded server, or on the one `DATABASE_URL` names."""

from __future__ import annotations

import os
import re

import pytest
from django.conf import settings
from django.core.cache import cache
from django.db import connections
from hypothesis import settings as hypothesis
from psycopg import sql

from revops.databases import ALIASES, connection_settings
from revops.embedded.launcher import Cluster, ensure_running

os.environ["WATERTIGHT_ROLE"] = "owner"

# The same examples every time, so that a change is not refused for what it did not touch, and no clock: other jobs
# share the machine. `HYPOTHESIS_PROFILE=search` looks for new ones.
hypothesis.register_profile("steady", derandomize=True, deadline=None)
hypothesis.register_profile("search", deadline=None)
hypothesis.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))

TEST_DATABASE = re.compile(r"test_\w+_p(\d+)")


@pytest.fixture(autouse=True)
def forgetful() -> None:
    """Nothing that one test had in the cache is there for the next."""
    cache.clear()


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The embedded server. Skips where the tests were pointed at another one."""
    if os.environ.get("DATABASE_URL"):
        pytest.skip("needs the embedded server, and DATABASE_URL names another")
    return ensure_running()


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> None:
    """Databases of this run alone, so that several runs share a server."""
    if not os.environ.get("DATABASE_URL"):
        drop_databases_of_dead_runs(ensure_running())
    databases = connection_settings(os.environ).databases
    for alias in ALIASES:
        name = f"test_{databases[alias]['NAME']}_p{os.getpid()}"
        databases[alias]["TEST"] = {"NAME": name}
    settings.DATABASES = databases
    connections.settings = connections.configure_settings(databases)
    for alias in ALIASES:
        if hasattr(connections._connections, alias):
            del connections[alias]


def drop_databases_of_dead_runs(cluster: Cluster) -> None:
    with cluster.connect_as_superuser("postgres") as server:
        names = [str(name) for (name,) in server.execute("SELECT datname FROM pg_database").fetchall()]
        for name in names:
            run = TEST_DATABASE.fullmatch(name)
            if run and not is_alive(int(run[1])):
                server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
