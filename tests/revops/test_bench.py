"""Measurements end with a proof, and the proof sees what it should."""

import datetime as dt
import io
import json
from collections.abc import Iterator
from typing import Any

import msgspec
import psycopg
import pytest
from django.core.management import call_command

from billing.metering.ingestion import ingest
from revops.benchmarks import bill_run as bill_runs
from revops.benchmarks.company import found
from revops.benchmarks.ingest import copy_rate, percentile, prove
from revops.benchmarks.sample import Load
from revops.serving import current_names, environment_for
from revops.simulation.databases import throw_away_databases

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])

AT = dt.datetime(2026, 6, 15, 12, tzinfo=dt.UTC)
LOAD = Load(100, 3, AT - dt.timedelta(hours=2), dt.timedelta(hours=1))

Database = psycopg.Connection[Any]


def bench(*arguments: str) -> dict[str, Any]:
    out = io.StringIO()
    call_command("bench", *arguments, "--json", stdout=out)
    result: dict[str, Any] = json.loads(out.getvalue())
    return result


@pytest.fixture
def ingested() -> Iterator[Database]:
    """The whole load in databases of its own, as the owner sees them."""
    with throw_away_databases():
        found(LOAD, dt.date(2026, 6, 1), AT)
        for body in LOAD.batches(40, 5):
            ingest(body, at=AT, door="bench")
        url = environment_for(current_names())["DATABASE_OWNER_URL"]
        with psycopg.connect(url) as database:
            yield database


def test_ingest_is_measured_with_a_proof() -> None:
    result = bench("ingest", "--size", "2000", "--workers", "1")
    assert (result["events"], result["accepted"], result["quarantined"]) == (2000, 2000, 0)
    # Three batches (950, 950, 100 events), each with 50 repeats.
    assert (result["sent"], result["duplicates"]) == (2150, 150)
    assert (result["lost"], result["doubled"], result["miscounted"]) == (0, 0, 0)
    assert result["events_per_second"] > 0 < result["copy_rows_per_second"]
    assert result["ratio"] == pytest.approx(result["events_per_second"] / result["copy_rows_per_second"], abs=0.006)


def test_previews_are_measured_for_few_and_for_many_events() -> None:
    result = bench("usage", "--size", "2000", "--workers", "1")
    assert (result["small"]["events"], result["large"]["events"]) == (20, 2000)
    for side in ("small", "large"):
        assert 0 < result[side]["server_p50_ms"] <= result[side]["server_p99_ms"]
        assert result[side]["server_p50_ms"] <= result[side]["round_trip_p50_ms"]


def test_entitlements_are_measured_against_a_bare_read() -> None:
    result = bench("entitlement", "--size", "200", "--workers", "1")
    for side in ("bare_read", "one", "hundred", "all_hundred"):
        assert 0 < result[side]["server_p50_ms"] <= result[side]["server_p99_ms"]
    assert result["ratio"] > 0


def test_percentiles_are_of_the_nearest_rank() -> None:
    hundred = [number / 1000 for number in range(1, 101)]
    assert percentile(hundred, 50) == 50.0
    assert percentile(hundred, 99) == 99.0
    assert percentile([0.007], 99) == 7.0


def test_a_load_says_the_same_wherever_it_is_made() -> None:
    records = [
        record for worker in (0, 1) for body in LOAD.batches(40, 5, worker, 2) for record in msgspec.json.decode(body)
    ]
    assert {record["id"] for record in records} == {f"e-{number:010d}" for number in range(100)}
    # Batches of 40, 40 and 20 events, each with 5 repeats.
    assert len(records) == 115


def test_the_proof_is_clean_where_all_is_well(ingested: Database) -> None:
    assert prove(ingested, LOAD) == {"lost": 0, "doubled": 0, "miscounted": 0}


def test_the_proof_names_what_is_missing(ingested: Database) -> None:
    longer = Load(102, 3, LOAD.start, LOAD.span)
    proof = prove(ingested, longer)
    assert proof["lost"] == 2
    assert proof["miscounted"] > 0


def test_the_proof_names_what_nobody_sent(ingested: Database) -> None:
    shorter = Load(98, 3, LOAD.start, LOAD.span)
    assert prove(ingested, shorter)["doubled"] == 2


def test_the_proof_names_a_bucket_that_is_off(ingested: Database) -> None:
    ingested.execute(
        "UPDATE billing_bucket SET total = total + 1 WHERE ctid = (SELECT min(ctid) FROM billing_bucket"
        " WHERE total IS NOT NULL)"
    )
    assert prove(ingested, LOAD) == {"lost": 0, "doubled": 0, "miscounted": 1}


def test_the_limit_copies_every_row_into_tables_of_the_same_make(ingested: Database) -> None:
    assert copy_rate(ingested) > 0
    for table in ("register", "event"):
        count = f"SELECT count(*), count(DISTINCT key) FROM {table}"
        assert ingested.execute(count.replace(table, f"copy_{table}")).fetchone() == (100, 100)
        indexes = "SELECT count(*) FROM pg_indexes WHERE tablename LIKE %s"
        copied = ingested.execute(indexes, [f"copy\\_%{table}%"]).fetchone()
        assert copied == ingested.execute(indexes, [f"billing\\_{table}%"]).fetchone()


def test_bill_runs_are_measured_and_bill_each_customer_once() -> None:
    result = bench("bill_run", "--size", "30")
    assert (result["few"]["customers"], result["many"]["customers"], result["lines"]) == (3, 30, 3)
    assert result["many"]["invoices_per_second"] > 0 < result["copied_per_second"]


def test_a_customer_that_was_left_out_fails_the_measurement() -> None:
    with throw_away_databases():
        bill_runs.sign("few", 2, dt.datetime(2026, 3, 1, tzinfo=dt.UTC), lambda count: None)
        with pytest.raises(bill_runs.Unbilled, match="3 customers: 2 invoices, 6 lines, 0 failures"):
            bill_runs.bill("few", 3, dt.datetime(2026, 3, 1, tzinfo=dt.UTC))
