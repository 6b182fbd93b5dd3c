"""A database that fails in the middle of a batch: 503, nothing of the batch is stored, and the repeat heals it."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import psycopg
import pytest

from tests.faults import company
from tests.faults.installation import MAIN, QUARANTINE, Answer, Installation, until

pytestmark = pytest.mark.sql

SIZE = 400
FACTS = (
    "billing_event", "billing_register", "billing_receipt", "billing_receiptcount", "billing_bucket",
    "billing_distinctvalue", "billing_usageclock",
)  # fmt: skip

numbers = itertools.count(1, 1000)


class Batch:
    """Good events with two strangers among them."""

    def __init__(self) -> None:
        first = next(numbers)
        self.numbers = range(first, first + SIZE)
        self.strangers = [f"s{number}" for number in self.numbers[:2]]
        records = [company.event(number) for number in self.numbers]
        records[100:100] = [company.stranger(number) for number in self.numbers[:2]]
        self.body = company.encode(records)
        self.good = company.encode(record for record in records if record["id"] not in self.strangers)


def facts(installation: Installation) -> dict[str, Any]:
    """Everything a batch writes to the main database, to the row."""
    found = {
        table: installation.sql(f"SELECT count(*), md5(string_agg(t::text, ',' ORDER BY t::text)) FROM {table} t")
        for table in existing(installation)
    }
    return found


def existing(installation: Installation) -> list[str]:
    return [name for name in FACTS if installation.number("SELECT to_regclass(%s) IS NOT NULL", [name])]


def assert_asked_to_repeat(answer: Answer) -> None:
    assert answer.status == 503, (answer.status, answer.raw[:500])
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) > 0
    assert "same ids" in answer.json["detail"]


def assert_taken_whole(answer: Answer) -> None:
    counted = {name: answer.json[name] for name in ("received", "accepted", "duplicates", "quarantined")}
    assert (answer.status, counted) == (
        200,
        {"received": SIZE + 2, "accepted": SIZE, "duplicates": 0, "quarantined": 2},
    )


def end_sessions(installation: Installation) -> None:
    """So that all come anew, and what is set for a role or a database counts."""
    installation.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename LIKE 'watertight\\_%app'",
        None,
        "postgres",
    )


# Ways to fail. Each is a plan: what breaks it, and what mends it.

Fault = Callable[[Installation], AbstractContextManager[None]]


@contextmanager
def quarantine_closed(installation: Installation) -> Iterator[None]:
    """Nobody gets in, and whoever was in is out."""
    installation.sql(f"ALTER DATABASE {QUARANTINE} ALLOW_CONNECTIONS false", None, "postgres")
    end_sessions(installation)
    try:
        yield
    finally:
        installation.sql(f"ALTER DATABASE {QUARANTINE} ALLOW_CONNECTIONS true", None, "postgres")


@contextmanager
def quarantine_revoked(installation: Installation) -> Iterator[None]:
    """The application's role may not connect any more."""
    revoke = f"REVOKE CONNECT ON DATABASE {QUARANTINE} FROM PUBLIC, watertight_quarantine_app"
    installation.sql(revoke, None, "postgres")
    end_sessions(installation)
    try:
        yield
    finally:
        installation.sql(f"GRANT CONNECT ON DATABASE {QUARANTINE} TO watertight_quarantine_app", None, "postgres")


@contextmanager
def quarantine_read_only(installation: Installation) -> Iterator[None]:
    """As on a standby that was not promoted."""
    name = f"ALTER DATABASE {QUARANTINE}"
    installation.sql(f"{name} SET default_transaction_read_only = on", None, "postgres")
    end_sessions(installation)
    try:
        yield
    finally:
        installation.sql(f"{name} RESET default_transaction_read_only", None, "postgres")
        end_sessions(installation)


def raising(table: str, database: str, then: str, error: str) -> Fault:
    """A trigger that raises an error at a row in the middle."""

    @contextmanager
    def broken(installation: Installation) -> Iterator[None]:
        installation.sql(
            f"CREATE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF {then} THEN {error}; END IF;"
            " RETURN NEW; END $$",
            None,
            database,
        )
        installation.sql(
            f"CREATE TRIGGER fault BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION fault()", None, database
        )
        try:
            yield
        finally:
            installation.sql(f"DROP TRIGGER fault ON {table}", None, database)
            installation.sql("DROP FUNCTION fault()", None, database)

    return broken


def slow(setting: str) -> Fault:
    """Every row takes a while, and the server has no patience."""
    sleeping = raising("billing_event", MAIN, "true", "PERFORM pg_sleep(0.005)")

    @contextmanager
    def broken(installation: Installation) -> Iterator[None]:
        with sleeping(installation):
            installation.sql(f"ALTER ROLE watertight_app SET {setting} = '700ms'", None, "postgres")
            end_sessions(installation)
            try:
                yield
            finally:
                installation.sql(f"ALTER ROLE watertight_app RESET {setting}", None, "postgres")
                end_sessions(installation)

    return broken


MIDDLE = "NEW.key < '80000000-0000-0000-0000-000000000000'"
LAST_CUSTOMER = "NEW.customer_id = (SELECT max(id) FROM contracts_customer)"

FAULTS: dict[str, Fault] = {
    "quarantine: closed": quarantine_closed,
    "quarantine: revoked": quarantine_revoked,
    "quarantine: read only": quarantine_read_only,
    "quarantine: disk full": raising(
        "quarantine_sighting", QUARANTINE, "NEW.index > 100", "RAISE 'No space left on device' USING ERRCODE = '53100'"
    ),
    "quarantine: a trigger raises": raising("quarantine_heldrecord", QUARANTINE, "true", "RAISE 'not today'"),
    "events: a trigger raises in COPY": raising("billing_event", MAIN, MIDDLE, "RAISE 'not today'"),
    "events: disk full in COPY": raising(
        "billing_event", MAIN, MIDDLE, "RAISE 'could not extend file: No space left on device' USING ERRCODE = '53100'"
    ),
    "events: out of memory in COPY": raising(
        "billing_event", MAIN, MIDDLE, "RAISE 'out of memory' USING ERRCODE = '53200'"
    ),
    "events: an input/output error in COPY": raising(
        "billing_event", MAIN, MIDDLE, "RAISE 'could not read block' USING ERRCODE = '58030'"
    ),
    "events: a damaged page in COPY": raising(
        "billing_event", MAIN, MIDDLE, "RAISE 'invalid page in block' USING ERRCODE = 'XX001'"
    ),
    "events: a constraint refuses in COPY": raising(
        "billing_event", MAIN, MIDDLE, "RAISE 'refused' USING ERRCODE = '23514'"
    ),
    "events: statement_timeout in COPY": slow("statement_timeout"),
    "events: transaction_timeout in COPY": slow("transaction_timeout"),
    "register: a trigger raises": raising("billing_register", MAIN, MIDDLE, "RAISE 'not today'"),
    "buckets: a trigger raises at the last": raising("billing_bucket", MAIN, LAST_CUSTOMER, "RAISE 'not today'"),
    "distinct values: a trigger raises at the last": raising(
        "billing_distinctvalue", MAIN, LAST_CUSTOMER, "RAISE 'not today'"
    ),
    "receipt: a trigger raises": raising("billing_receipt", MAIN, "true", "RAISE 'not today'"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_nothing_is_half_stored_and_the_repeat_heals(installation: Installation, name: str) -> None:
    if "transaction_timeout" in name and installation.number("SHOW server_version_num") < "170000":
        pytest.skip("this server has no transaction_timeout")
    batch = Batch()
    before = facts(installation)
    with FAULTS[name](installation):
        assert_asked_to_repeat(installation.post(batch.body))
        assert facts(installation) == before
        assert_asked_to_repeat(installation.post(batch.body))
        assert facts(installation) == before
        if name.startswith("quarantine"):
            assert installation.post(batch.good).json["accepted"] == SIZE  # what needs no quarantine is taken
    healed = installation.post(batch.body)
    if name.startswith("quarantine"):
        assert (healed.json["duplicates"], healed.json["quarantined"]) == (SIZE, 2)
    else:
        assert_taken_whole(healed)
    assert held(installation, batch) == 2


def held(installation: Installation, batch: Batch) -> int:
    return int(
        installation.number(
            "SELECT count(*) FROM quarantine_heldrecord WHERE event_id = ANY (%s)", [batch.strangers], QUARANTINE
        )
    )


def sightings(installation: Installation, batch: Batch) -> list[int]:
    found = installation.sql(
        "SELECT count(*) FROM quarantine_sighting s JOIN quarantine_heldrecord h ON h.id = s.record_id"
        " WHERE h.event_id = ANY (%s) GROUP BY h.id",
        [batch.strangers],
        QUARANTINE,
    )
    return [n for (n,) in found]


@pytest.mark.parametrize("end", ["session", "web server"])
def test_what_fails_after_the_quarantine_has_committed_is_sighted_again(installation: Installation, end: str) -> None:
    """The main database goes, or the web server, between the two commits."""
    batch = Batch()
    before = facts(installation)
    answers: list[Answer | None] = []

    def send() -> None:
        try:
            answers.append(installation.post(batch.body))
        except OSError:
            answers.append(None)

    sender = threading.Thread(target=send)
    with installation.superuser() as connection, connection.transaction():
        # The receipt is written after the quarantine's commit.
        connection.execute("LOCK TABLE billing_receipt IN SHARE MODE")
        sender.start()
        until(lambda: held(installation, batch) == 2, "the quarantine has committed")
        until(lambda: is_waiting(installation), "the batch waits for its receipt")
        if end == "session":
            end_sessions(installation)
        else:
            installation.kill_web()
        sender.join()
    if end == "session":
        assert answers[0] is not None
        assert_asked_to_repeat(answers[0])
    else:
        assert answers == [None]
        installation.serve()
    until(lambda: facts(installation) == before, "nothing of it is in the main database")
    assert sightings(installation, batch) == [1, 1]

    assert_taken_whole(installation.post(batch.body))
    assert held(installation, batch) == 2
    assert sightings(installation, batch) == [2, 2]
    report = installation.check_books(company.LATER)
    assert report["ok"]


def is_waiting(installation: Installation) -> bool:
    return bool(
        installation.number(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'billing_receipt'::regclass"
        )
    )


def test_other_doors_say_so_too_and_work_again_without_a_restart(installation: Installation) -> None:
    name = f"ALTER DATABASE {MAIN} ALLOW_CONNECTIONS"
    web = installation.web_processes()
    installation.sql(f"{name} false", None, "postgres")
    end_sessions(installation)
    try:
        for path in ("/api/v1/invoices", "/api/v1/customers/c001/preview", "/api/v1/events", "/healthz"):
            answer = installation.call("GET", path)
            assert (answer.status, int(answer.headers["retry-after"]) > 0) == (503, True), path
        for path in ("/admin/", "/admin/login/", "/admin/billing/invoice/"):
            answer = installation.call("GET", path, headers={"Cookie": "sessionid=abcdefghijklmnopqrstuvwxyz012345"})
            assert answer.status in (200, 302, 503), (path, answer.status)
    finally:
        installation.sql(f"{name} true", None, "postgres")
    assert installation.call("GET", "/api/v1/invoices").status == 200
    assert installation.web_processes() == web


def test_a_long_wait_for_a_lock_is_no_failure(installation: Installation) -> None:
    """Somebody holds a customer's clock for a while: the batch waits, and is taken."""
    batch = Batch()
    with installation.superuser() as connection, connection.transaction():
        connection.execute("LOCK TABLE billing_usageclock IN SHARE ROW EXCLUSIVE MODE")
        answers: list[Answer] = []
        sender = threading.Thread(target=lambda: answers.append(installation.post(batch.body)))
        sender.start()
        time.sleep(2)
    sender.join()
    assert_taken_whole(answers[0])


def test_the_books_are_clean_after_all_this(installation: Installation) -> None:
    report = installation.check_books(company.LATER)
    assert report["ok"]
    accepted = installation.number("SELECT sum(accepted) FROM billing_receipt")
    assert accepted == installation.number("SELECT count(*) FROM billing_event")
    with pytest.raises(psycopg.errors.UniqueViolation):
        installation.sql("INSERT INTO billing_register SELECT * FROM billing_register LIMIT 1")
