"""kill -9 in the middle of a bill run: another run ends with what an undisturbed one would have made, once."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from tests.faults import company
from tests.faults.conftest import found
from tests.faults.installation import MAIN, QUARANTINE, Installation, new_home, until

CONTRACTS = 300  # two chunks of the run
EVENTS = 2000
AT = "2026-03-02T06:00:00Z"  # January and February are over


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Hundreds of contracts with two months of use that nobody has billed yet, and the same world once more."""
    folder = tmp_path_factory.mktemp("billing")
    made = Installation(new_home())
    try:
        found(made, folder, CONTRACTS)
        usage = folder / "usage.jsonl"
        usage.write_bytes(b"\n".join(use(number) for number in range(EVENTS)))
        receipt = json.loads(
            made.run("import_usage", str(usage), "--source", "gw", "--format", "cloudevents", "--json")
        )
        assert receipt["accepted"] == EVENTS
        for name in (MAIN, QUARANTINE):
            end_sessions(made, name)
            made.sql(f"CREATE DATABASE {name}_twin TEMPLATE {name}", database="postgres")
        yield made
    finally:
        made.remove()


def use(number: int) -> bytes:
    return company.encode([company.event(number, subject=f"c{number % CONTRACTS:03d}")])[1:-1]


def end_sessions(installation: Installation, database: str) -> None:
    def is_alone() -> bool:
        return not installation.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
            [database],
            "postgres",
        )

    until(is_alone, "nobody is connected")


def of_twin(installation: Installation) -> dict[str, str]:
    """The environment of commands on the twin."""
    known = json.loads(installation.run("db", "status", "--json"))

    def renamed(url: str) -> str:
        parts = urlsplit(url)
        return urlunsplit(parts._replace(path=parts.path + "_twin"))

    return {"DATABASE_URL": renamed(known["default"]), "QUARANTINE_DATABASE_URL": renamed(known["quarantine"])}


@contextmanager
def numbers_locked(installation: Installation) -> Iterator[None]:
    """Nobody gets a number for an invoice: a run stands still with a chunk written and not committed."""
    with installation.superuser() as connection, connection.transaction():
        connection.execute("LOCK TABLE billing_numberseries IN EXCLUSIVE MODE")
        yield


def is_waiting_for_numbers(installation: Installation) -> bool:
    return bool(
        installation.number(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'billing_numberseries'::regclass"
        )
    )


def invoices(installation: Installation) -> int:
    return int(installation.number("SELECT count(*) FROM billing_invoice"))


def test_a_run_that_is_killed_again_and_again_ends_as_an_undisturbed_one(ready: Installation) -> None:
    environment = of_twin(ready)
    undisturbed = json.loads(ready.run("bill_run", "--at", AT, "--json", env=environment))
    assert len(undisturbed["invoices"]) == 2 * CONTRACTS

    # Killed with a chunk written and not committed, before anything was.
    with numbers_locked(ready):
        run = ready.start("bill_run", "--at", AT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        until(lambda: is_waiting_for_numbers(ready), "the run writes its first chunk")
        run.send_signal(signal.SIGKILL)
        run.wait()
    assert invoices(ready) == 0

    # Killed as soon as the first chunk is there, wherever it is by then.
    run = ready.start("bill_run", "--at", AT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    until(lambda: invoices(ready) > 0, "the run has committed a chunk")
    run.send_signal(signal.SIGKILL)
    run.wait()
    until(lambda: is_quiet(ready), "its session has ended")
    first = invoices(ready)
    assert 0 < first < 2 * CONTRACTS

    # The database server killed with a chunk written and not committed.
    with suppress(psycopg.OperationalError), numbers_locked(ready):  # the lock's own session ends with the rest
        run = ready.start("bill_run", "--at", AT, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
        until(lambda: is_waiting_for_numbers(ready), "the run writes its next chunk")
        ready.kill_database()
        said, told = run.communicate(timeout=60)
        assert run.returncode == 1
        assert_told_what_to_do(told.decode(), said.decode())

    # The next command starts the server, and a run to the end makes what is missing and nothing else.
    ready.start_database()
    assert invoices(ready) == first
    rest = json.loads(ready.run("bill_run", "--at", AT, "--json"))
    assert (len(rest["invoices"]), rest["failures"]) == (2 * CONTRACTS - first, [])
    assert json.loads(ready.run("bill_run", "--at", AT, "--json"))["invoices"] == []

    assert_one_invoice_for_each_period(ready)
    assert_numbers_have_no_gap(ready)
    assert totals(ready, MAIN) == totals(ready, f"{MAIN}_twin")
    assert ready.check_books(AT)["ok"]


def assert_told_what_to_do(told: str, said: str) -> None:
    """One clear sentence at the end, and not a page of code."""
    assert "Traceback" not in told, told[-3000:]
    assert "run it again" in told.lower()
    assert said == ""


def is_quiet(installation: Installation) -> bool:
    return not installation.sql(
        "SELECT 1 FROM pg_stat_activity WHERE state <> 'idle' AND backend_type = 'client backend'"
        " AND pid <> pg_backend_pid()"
    )


def assert_one_invoice_for_each_period(installation: Installation) -> None:
    per_period = installation.sql(
        "SELECT period_start, count(*), count(DISTINCT contract_id) FROM billing_invoice WHERE status = 'issued'"
        " GROUP BY 1 ORDER BY 1"
    )
    assert [(str(start), n, contracts) for start, n, contracts in per_period] == [
        ("2026-01-01", CONTRACTS, CONTRACTS),
        ("2026-02-01", CONTRACTS, CONTRACTS),
    ]
    closes = "SELECT count(*), count(DISTINCT (contract_id, starts_at)) FROM billing_periodclose"
    assert installation.sql(closes) == [(2 * CONTRACTS, 2 * CONTRACTS)]


def assert_numbers_have_no_gap(installation: Installation) -> None:
    lowest, highest, distinct = installation.sql("SELECT min(seq), max(seq), count(DISTINCT seq) FROM billing_invoice")[
        0
    ]
    assert (lowest, highest, distinct) == (1, 2 * CONTRACTS, 2 * CONTRACTS)
    assert installation.number("SELECT next_seq FROM billing_numberseries") == 2 * CONTRACTS + 1


def totals(installation: Installation, database: str) -> dict[tuple[str, str], Any]:
    """What each contract owes for each period, with every line."""
    found = installation.sql(
        "SELECT contract.number, invoice.period_start, invoice.total, array_agg(line.amount ORDER BY line.price),"
        " array_agg(line.quantity ORDER BY line.price)"
        " FROM billing_invoice invoice JOIN contracts_contract contract ON contract.id = invoice.contract_id"
        " JOIN billing_invoiceline line ON line.invoice_id = invoice.id GROUP BY 1, 2, 3",
        database=database,
    )
    assert len(found) == 2 * CONTRACTS
    return {(number, str(start)): rest for number, start, *rest in found}
