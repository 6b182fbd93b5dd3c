"""The environment decides which databases are used, and as whom."""

from types import SimpleNamespace
from typing import Any

import pytest

from revops.databases import (
    QuarantineRouter,
    UnableToReadEnvironment,
    connection_settings,
    home,
    secret_key,
    urls,
)
from revops.embedded.home import CHECKOUT, UnableToUseHome
from revops.embedded.launcher import ensure_running, status
from tests.revops.embedded.test_launcher import MakeHome

APPLICATION = "postgresql://app:a%2Fpw@db.example:6432/billing?sslmode=require"
OWNER = "postgresql://boss:b%40pw@direct.example/billing"


def test_one_url_serves_both_roles_and_names_the_quarantine_beside() -> None:
    plan = connection_settings({"DATABASE_URL": APPLICATION})
    assert plan.embedded is False
    assert urls(plan) == {
        "default": APPLICATION,
        "quarantine": "postgresql://app:a%2Fpw@db.example:6432/billing_quarantine?sslmode=require",
    }
    assert plan.owner == plan.application


def test_the_owner_of_the_quarantine_is_the_owner_at_the_quarantines_address() -> None:
    plan = connection_settings(
        {
            "DATABASE_URL": APPLICATION,
            "DATABASE_OWNER_URL": OWNER,
            "QUARANTINE_DATABASE_URL": "postgresql://q:qpw@other.example/held",
        }
    )
    assert plan.owner == {"default": OWNER, "quarantine": "postgresql://boss:b%40pw@other.example/held"}
    assert plan.application["quarantine"] == "postgresql://q:qpw@other.example/held"


def test_a_quarantine_owner_may_be_named() -> None:
    plan = connection_settings({"DATABASE_URL": APPLICATION, "QUARANTINE_OWNER_URL": "postgres://o@h/held"})
    assert plan.owner["quarantine"] == "postgres://o@h/held"


def test_django_gets_decoded_values_and_the_urls_options() -> None:
    found = connection_settings({"DATABASE_URL": APPLICATION}).databases["default"]
    expected = {
        "ENGINE": "django.db.backends.postgresql",
        "USER": "app",
        "PASSWORD": "a/pw",
        "HOST": "db.example",
        "PORT": 6432,
        "NAME": "billing",
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "ATOMIC_REQUESTS": False,
    }
    assert {key: found[key] for key in expected} == expected
    assert found["OPTIONS"] == {
        "sslmode": "require",
        "application_name": "watertight",
        "connect_timeout": 10,
    }


def test_a_socket_directory_keeps_its_case() -> None:
    plan = connection_settings({"DATABASE_URL": "postgresql://app@%2Frun%2FMy-Sockets/billing"})
    assert plan.databases["default"]["HOST"] == "/run/My-Sockets"


def test_the_process_connects_as_the_role_it_is_told() -> None:
    env = {"DATABASE_URL": APPLICATION, "DATABASE_OWNER_URL": OWNER}
    assert connection_settings(env).databases["default"]["USER"] == "app"
    assert connection_settings({**env, "WATERTIGHT_ROLE": "owner"}).databases["default"]["USER"] == "boss"


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"DATABASE_URL": "mysql://u:secret@h/d"}, "DATABASE_URL must read postgresql://"),
        ({"DATABASE_URL": "billing"}, "DATABASE_URL must read postgresql://"),
        ({"DATABASE_URL": "postgresql://u:secret@h"}, "DATABASE_URL names no database"),
        ({"DATABASE_URL": "postgresql://u:secret/x@h/d"}, "DATABASE_URL is not a URL"),
        ({"DATABASE_URL": "postgresql://u:secret@h1:1,h2:2/d"}, "DATABASE_URL is not a URL"),
        ({"DATABASE_OWNER_URL": OWNER}, "DATABASE_OWNER_URL is set without DATABASE_URL"),
        ({"QUARANTINE_DATABASE_URL": OWNER}, "QUARANTINE_DATABASE_URL is set without DATABASE_URL"),
        ({"WATERTIGHT_ROLE": "root"}, "WATERTIGHT_ROLE is 'root'"),
    ],
)
def test_what_cannot_be_understood_is_refused_without_telling_the_password(env: dict[str, str], said: str) -> None:
    with pytest.raises(UnableToReadEnvironment) as refused:
        connection_settings(env)
    assert said in str(refused.value)
    assert "secret" not in str(refused.value)


def test_reading_the_settings_starts_no_server_and_the_server_comes_as_they_say(make_home: MakeHome) -> None:
    env = make_home()
    plan = connection_settings(env)
    assert plan.embedded
    assert (status(env).running, status(env).version) == (False, None)
    assert connection_settings(env) == plan
    ensure_running(env)
    assert connection_settings(env) == plan
    assert [settings["USER"] for settings in plan.databases.values()] == [
        "watertight_app",
        "watertight_quarantine_app",
    ]
    assert {settings["USER"] for settings in plan.databases_as("owner").values()} == {"watertight_owner"}


def test_passwords_do_not_show_when_a_plan_is_printed(make_home: MakeHome) -> None:
    plan = connection_settings(make_home())
    password = plan.databases["default"]["PASSWORD"]
    assert len(password) >= 32
    assert password not in repr(plan)


def test_the_home_is_a_folder_of_the_checkout_unless_told() -> None:
    assert home({}) == CHECKOUT / ".watertight"
    assert home({"WATERTIGHT_HOME": "other/place"}) == CHECKOUT / "other" / "place"
    assert str(home({"WATERTIGHT_HOME": "/srv/watertight"})) == "/srv/watertight"


def test_the_signing_key_is_made_once(make_home: MakeHome) -> None:
    path = home(make_home())
    key = secret_key(path)
    assert len(key) >= 50
    assert secret_key(path) == key
    assert (path / "secret_key.json").stat().st_mode & 0o777 == 0o600


def test_a_home_that_cannot_be_written_is_named() -> None:
    with pytest.raises(UnableToUseHome, match="WATERTIGHT_HOME"):
        connection_settings({"WATERTIGHT_HOME": "/proc/home"})


def test_held_records_live_in_the_quarantine_and_nothing_else_does() -> None:
    router = QuarantineRouter()
    held, event = model_of("quarantine"), model_of("billing")
    assert router.db_for_read(held) == router.db_for_write(held) == "quarantine"
    assert router.db_for_read(event) == router.db_for_write(event) == "default"
    assert router.allow_migrate("quarantine", "quarantine")
    assert not router.allow_migrate("default", "quarantine")
    assert not router.allow_migrate("quarantine", "auth")
    assert not router.allow_relation(held, event)
    assert router.allow_relation(event, event)


def model_of(app_label: str) -> Any:
    return SimpleNamespace(_meta=SimpleNamespace(app_label=app_label))
