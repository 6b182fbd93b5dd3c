"""Throw-away databases: empty, migrated, used as the application's role, and gone afterwards."""

import pytest
from django.db import connection, connections
from django.db.utils import ProgrammingError

from billing.models import HeldRecord
from catalog.models import Seller
from revops.databases import ALIASES
from revops.simulation.databases import _clones, _execute, _server, throw_away_databases

pytestmark = [pytest.mark.sql, pytest.mark.usefixtures("throw_away")]


def clones() -> list[str]:
    """Clones on the server, of both databases."""
    names = []
    for alias in ALIASES:
        with _server(alias) as server:
            found = server.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [_clones(server)])
            names += [str(name) for (name,) in found.fetchall()]
    return names


def test_they_are_empty_and_separate_and_gone_afterwards() -> None:
    usual = [connections[alias] for alias in ALIASES]
    with throw_away_databases():
        names = [str(connections[alias].settings_dict["NAME"]) for alias in ALIASES]
        assert set(names) <= set(clones())
        Seller.objects.create(key="main", name="Main")
        assert HeldRecord.objects.count() == 0
        with throw_away_databases():
            assert not Seller.objects.exists()
        assert Seller.objects.exists()
    assert [connections[alias] for alias in ALIASES] == usual
    assert not set(names) & set(clones())


def test_they_are_dropped_when_something_fails() -> None:
    names: list[str] = []
    with pytest.raises(ZeroDivisionError), throw_away_databases():
        names += [str(connections[alias].settings_dict["NAME"]) for alias in ALIASES]
        raise ZeroDivisionError
    assert names
    assert not set(names) & set(clones())


def test_what_plays_there_has_the_rights_of_the_application_alone() -> None:
    with throw_away_databases():
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_user, rolsuper FROM pg_roles WHERE rolname = current_user")
            user, is_superuser = cursor.fetchone()
        assert not is_superuser
        if user != _owner():
            with pytest.raises(ProgrammingError, match="permission denied"), connection.cursor() as cursor:
                cursor.execute("DELETE FROM billing_receipt")


def test_what_a_killed_run_left_is_swept_by_the_next() -> None:
    with _server("default") as server:
        left = f"{_clones(server)}1_deadbeef"
        _execute(server, "CREATE DATABASE {}", left)
    with throw_away_databases():
        assert left not in clones()


def _owner() -> str:
    with _server("default") as server:
        return server.info.user
