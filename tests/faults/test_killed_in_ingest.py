"""kill -9 in the middle of taking in: senders repeat with the same ids, and nothing is lost or counted twice."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time

import pytest

from revops.embedded.launcher import stop
from tests.faults import company
from tests.faults.installation import MAIN, QUARANTINE, Installation, Traffic, until

SENDERS = 4
BATCH = 100

# Each test has events of its own, so that what one counted stays in the books of the next.
numbers = itertools.count(1, 100_000)


class Load:
    """Batches of one test, and the proof that each of their records is there once."""

    def __init__(self, installation: Installation, count: int, strangers: int = 2) -> None:
        self.installation = installation
        first = next(numbers)
        self.numbers = range(first, first + count * BATCH)
        self.strangers = count * strangers
        self.batches = company.batches(first, count, BATCH, strangers)
        self.traffic = Traffic(installation)
        self.before = received(installation)

    def start(self) -> None:
        self.traffic.start(self.batches, SENDERS)

    def answered(self, share: float) -> None:
        """Wait until so much of the load is answered."""
        wanted = len(self.batches) * share
        until(lambda: len(self.traffic.answered) >= wanted or bool(self.traffic.faults), f"{wanted:.0f} answers")

    def prove(self) -> None:
        self.traffic.finish()
        answers = self.traffic.answered
        assert len(answers) == len(self.batches)
        for answer in answers:
            assert answer["received"] == answer["accepted"] + answer["duplicates"] + answer["quarantined"]
        after = received(self.installation)
        gained = {name: after[name] - self.before[name] for name in after}
        assert gained["events"] == gained["registered"] == gained["accepted"] == len(self.numbers)
        assert gained["held"] == self.strangers
        # An answer that never arrived was given all the same: then the receipts know more than the senders.
        assert gained["accepted"] >= sum(answer["accepted"] for answer in answers)
        assert_meters_say(self.installation, self.numbers)
        assert self.installation.check_books(company.LATER)["ok"]


def received(installation: Installation) -> dict[str, int]:
    events, registered, accepted = installation.sql(
        "SELECT (SELECT count(*) FROM billing_event), (SELECT count(*) FROM billing_register),"
        " (SELECT coalesce(sum(accepted), 0) FROM billing_receipt)"
    )[0]
    held = installation.number("SELECT count(*) FROM quarantine_heldrecord", database=QUARANTINE)
    return {"events": events, "registered": registered, "accepted": int(accepted), "held": held}


_counted: list[int] = []


def assert_meters_say(installation: Installation, sent: range) -> None:
    """The buckets hold what all tests so far have sent, to the token."""
    _counted.extend(sent)
    requests, tokens, largest = company.totals(_counted)
    query = """
        SELECT customer.key, bucket."group", sum(bucket.n), sum(bucket.total), max(bucket.maximum)
        FROM billing_bucket bucket JOIN contracts_customer customer ON customer.id = bucket.customer_id
        JOIN catalog_meter meter ON meter.id = bucket.meter_id WHERE meter.key = %s GROUP BY 1, 2
    """
    assert {name: n for name, _, n, _, _ in installation.sql(query, ["requests"])} == requests
    assert {(name, group[2:-2]): total for name, group, _, total, _ in installation.sql(query, ["tokens"])} == tokens
    assert {name: most for name, _, _, _, most in installation.sql(query, ["largest"])} == largest


def test_the_web_server_is_killed_again_and_again(installation: Installation) -> None:
    load = Load(installation, 60)
    load.start()
    for share in (0.1, 0.35, 0.6):
        load.answered(share)
        installation.kill_web()
        installation.serve()
    load.prove()
    assert load.traffic.cut > 0


def test_a_single_worker_is_killed_and_replaced(installation: Installation) -> None:
    load = Load(installation, 30)
    load.start()
    load.answered(0.2)
    killed = installation.web_processes()
    os.kill(killed[0], signal.SIGKILL)
    load.prove()
    assert len(installation.web_processes()) == 2


@pytest.mark.sql
def test_the_database_server_is_killed_and_comes_back_by_itself(installation: Installation) -> None:
    """Nobody restarts anything: the web server finds its embedded server dead and starts it."""
    load = Load(installation, 60)
    load.start()
    for share in (0.15, 0.5):
        load.answered(share)
        before = installation.postmaster()
        installation.kill_database()
        until(lambda: installation.postmaster() not in (None, before), "another server runs")  # noqa: B023
    load.prove()
    assert load.traffic.refused


@pytest.mark.sql
def test_a_session_of_the_database_is_killed(installation: Installation) -> None:
    """The server ends all its sessions then, and recovers as after a crash."""
    load = Load(installation, 40)
    load.start()
    for share in (0.1, 0.4):
        load.answered(share)
        until(installation.kill_backend, "a session is busy")
    load.prove()


def test_both_are_killed_at_once(installation: Installation) -> None:
    load = Load(installation, 30)
    load.start()
    load.answered(0.3)
    installation.kill_database()
    installation.kill_web()
    installation.serve()
    load.prove()


def test_the_same_batch_from_twenty_senders_at_once_is_one_copy(installation: Installation) -> None:
    first = next(numbers)
    sent = range(first, first + 300)
    batch = company.encode([*map(company.event, sent), *map(company.stranger, sent[:5]), *map(company.event, sent[:3])])
    before = received(installation)
    together = threading.Barrier(20)
    traffic = Traffic(installation)

    def one() -> None:
        together.wait()
        traffic._send_all([batch])

    threads = [threading.Thread(target=one) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not traffic.faults
    assert len(traffic.answered) == 20
    for answer in traffic.answered:
        assert (answer["received"], answer["quarantined"]) == (308, 5)
        assert answer["accepted"] + answer["duplicates"] == 303
        listed = [result["status"] for result in answer["results"]]
        assert (listed.count("duplicate"), listed.count("quarantined")) == (answer["duplicates"], 5)
    assert sum(answer["accepted"] for answer in traffic.answered) == 300
    after = received(installation)
    assert after["events"] - before["events"] == after["registered"] - before["registered"] == 300
    assert after["held"] - before["held"] == 5
    sightings = installation.number(
        "SELECT count(*) FROM quarantine_sighting s JOIN quarantine_heldrecord h ON h.id = s.record_id"
        " WHERE h.event_id = ANY (%s)",
        [[f"s{number}" for number in sent[:5]]],
        QUARANTINE,
    )
    assert sightings == 100
    assert_meters_say(installation, sent)
    assert installation.check_books(company.LATER)["ok"]


def test_a_server_that_was_stopped_on_purpose_stays_down_and_its_return_is_noticed(installation: Installation) -> None:
    stop(installation.environment)
    time.sleep(3)
    assert installation.postmaster() is None
    answer = installation.post(company.encode([company.event(next(numbers))]))
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    installation.start_database()
    until(installation.is_healthy, "the web server finds its database")


def test_no_session_is_left_behind(installation: Installation) -> None:
    """What was killed holds no lock and no transaction."""
    until(
        lambda: (
            installation.number(
                "SELECT count(*) FROM pg_stat_activity WHERE state <> 'idle' AND backend_type = 'client backend'"
                " AND pid <> pg_backend_pid()"
            )
            == 0
        ),
        "all sessions are idle",
    )
    assert installation.number("SELECT count(*) FROM pg_prepared_xacts", database=MAIN) == 0
