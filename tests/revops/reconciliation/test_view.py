"""The books look at both databases as of one instant, change nothing, and need no more than the application's role."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import InternalError, connection, connections

from billing.invoicing import bill_run
from billing.metering.ingestion import ingest
from billing.models import HeldRecord, Register
from contracts.models import Customer
from revops.reconciliation import books
from revops.reconciliation.held import confirm_missing, prove_held
from revops.reconciliation.received import prove_received
from revops.reconciliation.snapshot import consistent_view
from revops.simulation.databases import throw_away_databases
from revops.simulation.playing import perform, read_scenario
from revops.vocabulary.documents import read_file, read_text
from tests.factories import body, event

pytestmark = [pytest.mark.sql, pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])]

AT = dt.datetime(2026, 1, 20, 12, tzinfo=dt.UTC)

SHOP = """
sources: [{key: gw}]
meters: [{key: tokens, event_type: llm.request, aggregation: sum, value: tokens}]
plans:
  - key: pro
    versions: [{prices: [{key: tokens, kind: usage, meter: tokens, model: per_unit, unit_amount: "0.01"}]}]
customers: [{key: acme}]
contracts: [{number: C-1, customer: acme, starts_on: 2026-01-01, lines: [{plan: pro}]}]
"""


@pytest.fixture
def shop(transactional_db: None) -> None:
    perform(read_scenario(read_text(SHOP)))


def elsewhere(work: Callable[[], object]) -> None:
    """Do something on connections of its own, and wait for it."""
    faults: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as fault:
            faults.append(fault)
        finally:
            connections.close_all()

    thread = threading.Thread(target=guarded)
    thread.start()
    thread.join()
    assert faults == []


def send(*ids: str, subject: str = "acme") -> None:
    ingest(body(*(event(id, subject=subject) for id in ids)), at=AT, door="test")


def test_what_arrives_during_a_check_is_not_seen_by_half(shop: None) -> None:
    send("e1")
    with consistent_view():
        before = prove_received()
        elsewhere(lambda: send("e2", "e3"))
        elsewhere(lambda: send("x1", subject="nobody"))
        after = prove_received()
    assert (after.figures, after.leaks) == (before.figures, [])
    later = books.check(AT)
    assert later.ok
    assert later.checks[0].figures["received"] == 4


def test_a_check_beside_senders_and_bill_runs_finds_no_leak(shop: None) -> None:
    done = threading.Event()

    def sender() -> None:
        for number in range(60):
            send(f"a{number}", f"b{number}")
            send(f"x{number}", subject="nobody")

    def biller() -> None:
        for month in range(2, 12):
            bill_run.run(dt.datetime(2026, month, 2, tzinfo=dt.UTC))

    def work() -> None:
        try:
            elsewhere(lambda: [sender(), biller(), sender()])
        finally:
            done.set()

    thread = threading.Thread(target=work)
    thread.start()
    checked = 0
    while not done.is_set() or checked == 0:
        report = books.check(dt.datetime(2026, 12, 1, tzinfo=dt.UTC))
        assert report.leaks == []
        checked += 1
    thread.join()
    last = books.check(dt.datetime(2026, 12, 1, tzinfo=dt.UTC))
    # each pass sends 120 events and 60 records of nobody; the second pass brings nothing new
    assert last.ok
    assert last.checks[0].figures["received"] == 360
    assert last.checks[0].figures["accepted"] == 120
    assert last.checks[0].figures["duplicates"] == 120


def test_a_record_superseded_between_the_two_views_is_no_leak(shop: None) -> None:
    send("x1", subject="late")
    key = HeldRecord.objects.get().key
    with consistent_view():
        check, missing = prove_held()
        assert missing == []
    HeldRecord.objects.update(status="superseded", resolved_at=AT)
    with consistent_view():
        check, missing = prove_held()
    assert [record[5] for record in missing] == [key]
    Register.objects.create(key=key, digest=key, customer_id=Customer.objects.get().pk, occurred_at=AT)
    confirm_missing(check, missing)
    assert check.leaks == []


def test_a_view_writes_nothing(shop: None) -> None:
    with pytest.raises(InternalError, match="read-only"), consistent_view():
        Customer.objects.update(name="Changed")
    assert Customer.objects.get().name == "acme"


def test_the_application_may_check_the_books() -> None:
    with throw_away_databases():
        perform(read_scenario(read_file(Path(__file__).with_name("world.yaml"))))
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_has_role(current_user, relowner, 'USAGE') FROM pg_class WHERE relname = %s",
                ["billing_event"],
            )
            assert cursor.fetchone() == (False,)
        report = books.check(dt.datetime(2026, 4, 5, tzinfo=dt.UTC))
    assert report.ok
    assert report.checks[0].figures["accepted"] == 19


def test_an_empty_product_has_clean_books(transactional_db: None) -> None:
    report = books.check(AT)
    assert report.ok
    assert report.as_text().splitlines()[0] == "1 receipts: 0 received = 0 accepted + 0 duplicates + 0 quarantined  ok"
