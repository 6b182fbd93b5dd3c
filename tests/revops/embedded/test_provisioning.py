"""A command finds its databases running and migrated, from nothing, and with the application's rights only."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import errors, sql

from revops.databases import connection_settings
from revops.embedded.home import CHECKOUT
from revops.embedded.launcher import Cluster, ensure_running
from tests.revops.embedded.conftest import Environment, throw_away_homes
from tests.revops.embedded.test_launcher import MakeHome

# A command that goes through `DatabaseCommand` and tells as whom it reads, from what Django's own shell offers.
PROBE = """
import django
django.setup()
from django.core.management import call_command
from django.db import connections
from revops.embedded.commands import DatabaseCommand

class Command(DatabaseCommand):
    json_result = True
    def handle(self, *args, **options):
        seen = {}
        for alias in connections:
            with connections[alias].cursor() as cursor:
                cursor.execute("SELECT current_user, count(*) > 0 FROM django_migrations GROUP BY 1")
                seen[alias] = cursor.fetchone()
        self.finish(seen, "seen", options["json"])

call_command(Command(), json=True)
"""


def process(arguments: list[str], environment: Environment) -> subprocess.Popen[str]:
    inherited = {name: value for name, value in os.environ.items() if name != "WATERTIGHT_ROLE"}
    return subprocess.Popen(
        [sys.executable, *arguments],
        env={**inherited, "DJANGO_SETTINGS_MODULE": "revops.settings", **environment},
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def outcome(running: subprocess.Popen[str]) -> tuple[int, str, str]:
    said, told = running.communicate(timeout=120)
    return running.returncode, said, told


def manage(environment: Environment, *arguments: str) -> tuple[int, str, str]:
    return outcome(process(["manage.py", *arguments], environment))


@pytest.fixture(scope="module")
def environment() -> Iterator[Environment]:
    """A home where nothing ever ran, until the first test of this file."""
    with throw_away_homes() as make:
        yield make()


@pytest.fixture(scope="module")
def cluster(environment: Environment) -> Cluster:
    return ensure_running(environment)


def test_two_commands_at_once_start_and_migrate_from_nothing(environment: Environment) -> None:
    both = [process(["-c", PROBE], environment) for _ in range(2)]
    for code, said, told in map(outcome, both):
        assert code == 0, told
        assert json.loads(said) == {
            "default": ["watertight_app", True],
            "quarantine": ["watertight_quarantine_app", True],
        }
    code, said, told = outcome(process(["-c", PROBE], environment))
    assert (code, told) == (0, ""), "the second time nothing is left to do, or to tell"


def test_status_tells_how_the_application_connects(environment: Environment, cluster: Cluster) -> None:
    code, said, told = manage(environment, "db", "status", "--json")
    assert code == 0, told
    status = json.loads(said)
    assert set(status) == {"running", "version", "default", "quarantine"}
    assert (status["running"], status["version"]) == (True, cluster.version)
    for alias, role, database in (
        ("default", "watertight_app", "watertight"),
        ("quarantine", "watertight_quarantine_app", "watertight_quarantine"),
    ):
        with psycopg.connect(status[alias]) as connection:
            found = connection.execute("SELECT current_user, current_database()").fetchone()
        assert found == (role, database)


def test_lost_grants_are_given_again(environment: Environment, cluster: Cluster) -> None:
    with cluster.connect_as_superuser() as connection:
        connection.execute("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM watertight_app")
    code, _, told = outcome(process(["-c", PROBE], environment))
    assert code == 0, told


def test_the_application_cannot_change_what_is_migrated(environment: Environment, cluster: Cluster) -> None:
    plan = connection_settings(environment)
    with psycopg.connect(plan.application["default"], autocommit=True) as application:
        for statement in (
            "DELETE FROM django_migrations",
            "DELETE FROM billing_event",
            "UPDATE billing_register SET customer_id = 1",
            "DELETE FROM billing_receipt",
            "UPDATE billing_invoice SET total = 0",
            "UPDATE billing_invoiceline SET amount = 0",
            "SELECT * FROM watertight_directory",
            "ALTER TABLE auth_user ADD COLUMN extra text",
            "TRUNCATE auth_user CASCADE",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                application.execute(sql.SQL(statement))
        made = application.execute("SELECT watertight_event_partition('2031-03-05T00:00:00Z')").fetchone()
        assert made == (True,)
        with pytest.raises(errors.InsufficientPrivilege):
            application.execute("SELECT * FROM billing_event_2031_03")


def test_stop_stops_and_start_starts(environment: Environment) -> None:
    assert manage(environment, "db", "stop")[:2] == (0, "Stopped.\n")
    code, said, _ = manage(environment, "db", "status", "--json")
    assert (code, json.loads(said)["running"]) == (0, False)
    code, said, told = manage(environment, "db", "start")
    assert code == 0, told
    assert "is running" in said


def test_start_and_stop_answer_in_json(environment: Environment, cluster: Cluster) -> None:
    code, said, _ = manage(environment, "db", "stop", "--json")
    stopped = json.loads(said)
    assert (code, stopped["running"], stopped["version"]) == (0, False, cluster.version.split(".")[0])
    code, said, told = manage(environment, "db", "start", "--json")
    assert code == 0, told
    started = json.loads(said)
    assert (started["running"], started["version"]) == (True, cluster.version)
    assert set(started) == set(stopped) == {"running", "version", "default", "quarantine"}


@pytest.fixture
def operators_server(cluster: Cluster, environment: Environment) -> Iterator[Environment]:
    """The same server as an operator's own would be given: an owner who may make databases, an application role."""
    plan = connection_settings(environment)
    owner = urlunsplit(urlsplit(plan.owner["default"])._replace(path="/operators"))
    application = urlunsplit(urlsplit(plan.application["default"])._replace(path="/operators"))
    yield {**environment, "DATABASE_URL": application, "DATABASE_OWNER_URL": owner}
    with cluster.connect_as_superuser("postgres") as server:
        for name in ("operators", "operators_quarantine"):
            server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def test_an_operators_empty_server_is_migrated_and_left_alone_later(
    operators_server: Environment, cluster: Cluster
) -> None:
    code, said, told = outcome(process(["-c", PROBE], operators_server))
    assert code == 0, told
    assert json.loads(said) == {"default": ["watertight_app", True], "quarantine": ["watertight_app", True]}

    code, said, told = manage(operators_server, "db", "status", "--json")
    status = json.loads(said)
    assert (code, status["running"], status["default"]) == (0, True, operators_server["DATABASE_URL"])
    for action in ("start", "stop"):
        code, said, told = manage(operators_server, "db", action)
        assert (code != 0, said) == (True, "")
        assert "not ours" in told

    with cluster.connect_as_superuser("operators") as connection:
        connection.execute("DELETE FROM django_migrations WHERE app = 'sessions'")
    code, said, told = outcome(process(["-c", PROBE], operators_server))
    assert code != 0
    assert "lacks migrations (sessions.0001_initial). Run: python manage.py migrate" in told
    code, _, told = manage(operators_server, "migrate", "sessions", "--fake")
    assert code == 0, told
    with cluster.connect_as_superuser("operators") as connection:
        found = connection.execute("SELECT count(*) FROM django_migrations WHERE app = 'sessions'").fetchone()
    assert found == (1,)


def test_an_absent_server_is_an_error_that_names_the_database(make_home: MakeHome) -> None:
    absent = make_home(DATABASE_URL="postgresql://app:secret@127.0.0.1:1/billing")
    code, said, told = outcome(process(["-c", PROBE], absent))
    assert (code != 0, said) == (True, "")
    assert "Cannot connect to the database billing" in told
    code, said, _ = manage(absent, "db", "status", "--json")
    assert (code, json.loads(said)["running"], json.loads(said)["version"]) == (0, False, None)
