"""Ingestion among others: batches at the same time, changes of what events are labelled by, databases that go away."""

from __future__ import annotations

import datetime as dt
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import pytest
from django.db import IntegrityError, connection, connections, transaction

from billing.metering.corrections import UnableToCorrect, void_event
from billing.metering.directory import current_directory
from billing.metering.ingestion import ReceiptResult, UnableToIngest
from billing.metering.recount import recount
from billing.metering.usage import Ask, measure
from billing.models import Bucket, DistinctValue, Event, HeldRecord, HeldStatus, Receipt, Register, UsageClock
from catalog.models import Meter
from catalog.periods import Period
from catalog.selection import Selection
from contracts.models import Contract, ContractStatus, Customer, CustomerAlias
from tests.billing.metering.conftest import AT, send, sightings_by_receipt, statuses
from tests.factories import ContractFactory, CustomerFactory, MeterFactory, SourceFactory, body, event

pytestmark = [pytest.mark.sql, pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])]


def at_once(*jobs: Callable[[], Any]) -> list[Any]:
    """Run jobs in threads of their own, all released together; an error in one is raised here."""
    barrier = threading.Barrier(len(jobs))
    done: list[Any] = [None] * len(jobs)
    errors: list[BaseException] = []

    def run(place: int, job: Callable[[], Any]) -> None:
        try:
            barrier.wait()
            done[place] = job()
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return done


@pytest.fixture
def world(transactional_db: None) -> list[Customer]:
    SourceFactory.create()
    for name in ("sum", "max", "latest", "weighted_sum", "count", "unique_count"):
        MeterFactory.create(key=name, aggregation=name, group_by=["model"])
    return [ContractFactory.create(customer=CustomerFactory.create(key=f"c{n}")).customer for n in range(5)]


def some_events(numbers: range | list[int]) -> list[dict[str, Any]]:
    return [
        event(
            f"e{number}",
            subject=f"c{number % 5}",
            time=f"2026-01-20T10:{number % 60:02d}:00Z",
            data={"tokens": number, "model": f"m{number % 3}"},
        )
        for number in numbers
    ]


def assert_counted_once(results: list[ReceiptResult], distinct: int) -> None:
    assert sum(one.accepted for one in results) == distinct
    assert all(one.received == one.accepted + one.duplicates + one.quarantined for one in results)
    assert Event.objects.count() == Register.objects.count() == distinct
    assert Receipt.objects.count() == len(results)
    assert list(recount()) == []


class TestBatchesAtTheSameTime:
    def test_with_the_same_events_count_them_once(self, world: list[Customer]) -> None:
        batch = some_events(range(200))
        results = at_once(*[lambda: send(*batch)] * 6)
        assert_counted_once(results, 200)
        assert sum(one.duplicates for one in results) == 1000

    def test_that_overlap_in_any_order_count_everything_once(self, world: list[Customer]) -> None:
        chooser = random.Random(7)
        batches = [some_events([chooser.randrange(300) for _ in range(150)]) for _ in range(6)]
        distinct = {one["id"] for batch in batches for one in batch}
        assert_counted_once(at_once(*[lambda batch=batch: send(*batch) for batch in batches]), len(distinct))

    def test_with_other_content_under_one_id_leave_one_winner(self, world: list[Customer]) -> None:
        results = at_once(*[lambda n=n: send(event("e1", n, subject="c0")) for n in range(6)])
        assert sorted(statuses(one)[0] for one in results) == ["accepted"] + ["conflict"] * 5
        assert list(recount()) == []

    def test_stamp_each_customer_without_a_gap(self, world: list[Customer]) -> None:
        at_once(*[lambda n=n: send(*some_events(range(n * 10, n * 10 + 10))) for n in range(6)])
        assert set(UsageClock.objects.values_list("clock", flat=True)) == {6}
        for customer in world:
            stamps = Event.objects.filter(customer_id=customer.pk).values_list("clock", flat=True)
            assert set(stamps) == set(range(1, 7))

    def test_hold_the_same_record_once_and_see_it_each_time(self, world: list[Customer]) -> None:
        results = at_once(*[lambda: send(event("bad", "many"), event("worse", None))] * 6)
        assert HeldRecord.objects.count() == 2
        assert sightings_by_receipt() == {one.receipt: 2 for one in results}

    def test_as_corrections_leave_buckets_right(self, world: list[Customer]) -> None:
        send(*some_events(range(60)))

        def void(number: int) -> bool:
            try:
                void_event("gw", f"e{number}", reason="test", at=AT)
            except UnableToCorrect:
                return False
            return True

        voids = [lambda n=n: void(n) for n in (0, 0, 5, 10)]
        done = at_once(*voids, lambda: send(*some_events(range(40, 100))))
        assert sorted(done[:4]) == [False, True, True, True]
        assert list(recount()) == []


class TestDistinctValues:
    """One bucket that everybody writes at once: each event is somebody's, by its number modulo three."""

    @pytest.fixture(autouse=True)
    def users(self, acme: Customer) -> Meter:
        return MeterFactory.create(key="users", aggregation="unique_count", value="user", group_by=["model"])

    @staticmethod
    def logins(numbers: range) -> list[dict[str, Any]]:
        return [event(f"e{n}", data={"tokens": 1, "user": f"u{n % 3}", "model": "m1"}) for n in numbers]

    def test_stay_right_while_they_come_and_are_taken_back(self) -> None:
        send(*self.logins(range(6)))
        jobs = [lambda n=n: void_event("gw", f"e{n}", reason="test", at=AT) for n in range(6)]
        jobs += [lambda n=n: send(*self.logins(range(n, n + 2))) for n in (6, 7, 8, 30)]
        at_once(*jobs)
        assert list(recount()) == []
        assert DistinctValue.objects.count() == 3

    def test_are_read_as_of_the_clock_that_is_read_with_them(self, acme: Customer, users: Meter) -> None:
        """A batch brings one new value each, so there are always as many as the clock says."""
        day = Period(dt.datetime(2026, 1, 20, tzinfo=dt.UTC), dt.datetime(2026, 1, 21, tzinfo=dt.UTC))
        only = Selection(only=(("model", ("m1",)),))
        asks = [Ask(acme.pk, users.pk, day), Ask(acme.pk, users.pk, day, only)]

        def write() -> None:
            for n in range(40):
                send(event(f"e{n}", data={"tokens": 1, "user": f"u{n}", "model": "m1"}))

        def read() -> list[tuple[int, int, int]]:
            found = []
            while len(found) < 20_000 and (not found or found[-1][0] < 40):
                found += [(one.clock, one.events, int(one.quantity)) for one in measure(asks).values()]
            return found

        _, found = at_once(write, read)
        assert all(clock == events == quantity for clock, events, quantity in found)


class TestAChangeOfWhatEventsAreLabelledBy:
    """Counts from the next batch on, whoever made it, on whatever connection."""

    @pytest.fixture(autouse=True)
    def known(self, acme: Customer) -> None:
        assert statuses(send(event("warm"))) == ["accepted"]

    def test_a_new_customer_and_its_contract(self) -> None:
        assert statuses(send(event("e1", subject="new"))) == ["unknown_customer"]
        customer = CustomerFactory.create(key="new")
        assert statuses(send(event("e1", subject="new"))) == ["no_active_contract"]
        contract = ContractFactory.create(customer=customer, status=ContractStatus.DRAFT)
        assert statuses(send(event("e1", subject="new"))) == ["no_active_contract"]
        contract.status = ContractStatus.APPROVED
        contract.save()
        assert statuses(send(event("e1", subject="new"))) == ["accepted"]

    def test_a_contract_that_ends_at_local_midnight(self) -> None:
        contract = Contract.objects.get()
        contract.timezone, contract.ends_on = "Asia/Tokyo", dt.date(2026, 1, 20)  # 15:00 UTC of the 19th
        contract.save()
        times = ["2026-01-19T14:59:59.999999Z", "2026-01-19T15:00:00Z"]
        assert statuses(send(*(event(time, time=time) for time in times))) == ["accepted", "no_active_contract"]

    def test_an_alias_that_goes_to_another_customer(self, acme: Customer) -> None:
        other = ContractFactory.create().customer
        assert statuses(send(event("e1", subject="acme-eu"))) == ["accepted"]
        alias = CustomerAlias.objects.get(subject="acme-eu")
        alias.customer = other
        alias.save()
        send(event("e2", subject="acme-eu"))
        owners = dict(Event.objects.values_list("event_id", "customer_id"))
        assert (owners["e1"], owners["e2"]) == (acme.pk, other.pk)

    def test_an_alias_of_one_customer_that_is_the_key_of_another(self, acme: Customer) -> None:
        other = ContractFactory.create().customer
        send(event("e1", subject=other.key))
        CustomerAlias.objects.create(customer=acme, subject=other.key)
        send(event("e2", subject=other.key))
        owners = dict(Event.objects.values_list("event_id", "customer_id"))
        assert (owners["e1"], owners["e2"]) == (other.pk, acme.pk)

    def test_a_source_and_a_meter(self) -> None:
        said = event("e1", source="late", type="gpu", data={"hours": 2})
        assert statuses(send(said)) == ["unknown_source"]
        SourceFactory.create(key="late")
        assert statuses(send(said)) == ["unknown_event_type"]
        Meter.objects.create(key="gpu", event_type="gpu", aggregation="sum", value="hours")
        assert statuses(send(said)) == ["accepted"]

    def test_made_by_another_process_in_plain_sql(self) -> None:
        def change() -> None:
            with connection.cursor() as cursor:
                cursor.execute("UPDATE contracts_contract SET status = 'draft'")

        at_once(change)
        assert statuses(send(event("e1"))) == ["no_active_contract"]

    def test_that_is_rolled_back_never_counts(self) -> None:
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            ContractFactory.create(customer=CustomerFactory.create(key="ghost"))
            assert "ghost" in _known_to_a_new_directory("ghost")
            raise ZeroDivisionError
        CustomerFactory.create(key="other")  # a change of its own gets the version the lost one would have had
        assert statuses(send(event("e1", subject="ghost"))) == ["unknown_customer"]

    def test_is_looked_up_for_the_subjects_of_the_batch_alone(self) -> None:
        CustomerFactory.create_batch(20)
        send(event("e1"), event("e2", subject="nobody"))
        assert set(current_directory().customers) == {"acme", "nobody"}

    def test_of_a_meter_waits_for_batches_and_is_refused_once_they_counted(self) -> None:
        """Whoever changes a meter's definition waits for the batches that were labelled by the old one."""
        meter = MeterFactory.create(key="size", event_type="upload", value="size")

        def change() -> str:
            until(lambda: waiting_for("billing_receipt") == 1)
            with connection.cursor() as cursor:
                try:
                    cursor.execute("UPDATE catalog_meter SET value = 'bytes' WHERE id = %s", [meter.pk])
                except IntegrityError as error:
                    return str(error)
            return "changed"

        def let_go() -> None:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("LOCK TABLE billing_receipt IN SHARE MODE")
                locked.set()
                until(lambda: waiting_for("billing_receipt") == 1)
                until(lambda: waiting_for(None) == 1)

        def count() -> ReceiptResult:
            locked.wait()
            return send(event("e1", type="upload", data={"size": 5}))

        locked = threading.Event()
        said, result, _ = at_once(change, count, let_go)
        assert "cannot change" in said
        assert statuses(result) == ["accepted"]
        assert list(recount()) == []


def waiting_for(table: str | None) -> int:
    """How many sessions wait for a lock on a table; None: for an advisory lock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation IS NOT DISTINCT FROM %s::regclass"
            " AND (relation IS NOT NULL OR locktype = 'advisory')"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            [table],
        )
        return int(cursor.fetchone()[0])


def _known_to_a_new_directory(subject: str) -> set[str]:
    directory = current_directory()
    directory.look_up([subject])
    return {name for name, customer in directory.customers.items() if customer is not None}


@contextmanager
def without_quarantine() -> Iterator[None]:
    """Nobody gets into the quarantine database."""
    name = connections["quarantine"].settings_dict["NAME"]
    connections["quarantine"].close()
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


class TestWithoutQuarantine:
    def test_a_batch_with_something_to_hold_is_not_taken_and_its_repeat_is(self, acme: Customer) -> None:
        batch = [event("e1"), event("bad", "many")]
        with without_quarantine():
            with pytest.raises(UnableToIngest):
                send(*batch)
            assert (Event.objects.count(), Register.objects.count(), Bucket.objects.count()) == (0, 0, 0)
            assert Receipt.objects.count() == 0
        assert statuses(send(*batch)) == ["accepted", "invalid_value"]
        assert list(recount()) == []

    def test_a_batch_with_nothing_to_hold_is_taken(self, acme: Customer) -> None:
        with without_quarantine():
            assert statuses(send(event("e1"))) == ["accepted"]


INGEST = """
import datetime as dt, os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "revops.settings"
import django
django.setup()
from billing.metering.ingestion import ingest
ingest(sys.stdin.buffer.read(), at=dt.datetime.fromisoformat(sys.argv[1]), door="api")
"""


def databases_of_this_test() -> dict[str, str]:
    def url(alias: str) -> str:
        said = connections[alias].settings_dict
        return f"postgresql://{said['USER']}:{quote(said['PASSWORD'])}@{said['HOST']}:{said['PORT']}/{said['NAME']}"

    return {"DATABASE_URL": url("default"), "QUARANTINE_DATABASE_URL": url("quarantine")}


def until(condition: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < give_up_at, "it did not come to that"
        time.sleep(0.05)


def test_a_process_killed_between_the_two_commits_is_healed_by_the_repeat(acme: Customer) -> None:
    send(event("good", "many"))  # held, and about to be superseded
    batch = [event("good", 5), event("bad", "many"), event("e1", 6)]
    with transaction.atomic(), connection.cursor() as cursor:
        # The receipt comes after the quarantine's commit and before the main one.
        cursor.execute("LOCK TABLE billing_receipt IN SHARE MODE")
        process = subprocess.Popen(
            [sys.executable, "-c", INGEST, AT.isoformat()],
            stdin=subprocess.PIPE,
            env={**os.environ, **databases_of_this_test()},
        )
        assert process.stdin is not None
        process.stdin.write(body(*batch))
        process.stdin.close()
        until(lambda: HeldRecord.objects.filter(event_id="bad").exists())
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert (Event.objects.count(), Register.objects.count(), Receipt.objects.count()) == (0, 0, 1)

    until(lambda: _locks_are_free())
    repeat = send(*batch)
    assert statuses(repeat) == ["accepted", "invalid_value", "accepted"]
    assert HeldRecord.objects.get(event_id="bad").sightings.count() == 2
    assert HeldRecord.objects.get(event_id="good").status == HeldStatus.SUPERSEDED
    assert statuses(send(*batch)) == ["duplicate", "invalid_value", "duplicate"]
    assert list(recount()) == []


def _locks_are_free() -> bool:
    """Nobody else is in a transaction; idle sessions of other tests' servers hold nothing."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend' AND state <> 'idle'"
        )
        return bool(cursor.fetchone()[0] == 0)


def test_a_partition_that_was_archived_is_made_again(acme: Customer) -> None:
    send(event("e1"))
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE billing_event_2026_01")
    assert statuses(send(event("e2"))) == ["accepted"]
    assert [one.event_id for one in Event.objects.all()] == ["e2"]
    assert statuses(send(event("e1"))) == ["duplicate"]  # the register keeps its identity for ever
