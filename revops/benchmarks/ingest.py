"""How fast events come in through HTTP, against what the tables can take, with the proof that none leaked."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Mapping
from typing import Any

import psycopg
from django.db import connections

from revops.benchmarks.company import found
from revops.benchmarks.sample import Load
from revops.benchmarks.sending import Sent, send_all
from revops.serving import current_names, environment_for, free_port, start_server, wait_until_healthy
from revops.simulation.databases import throw_away_databases

SIZE = 200_000
CUSTOMERS = 100
FRESH, REPEATED = 950, 50  # of each batch of 1,000; what is sent twice is 5 %
SENDERS = 2  # for each web server process, so that it has work while a batch waits for the disk
SPAN = dt.timedelta(hours=6)

Say = Callable[[str], None]


def measure(size: int, workers: int, at: dt.datetime, say: Say) -> dict[str, Any]:
    """The whole measurement; `workers` web server processes, and SENDERS times as many senders."""
    load = Load(size, CUSTOMERS, at - SPAN - dt.timedelta(minutes=1), SPAN)
    with throw_away_databases(say):
        environment = environment_for(current_names())
        secret = found(load, (at - dt.timedelta(days=25)).date(), at)
        for connection in connections.all():
            connection.close()
        warm_up = Load(FRESH * workers * 4, CUSTOMERS, load.start, SPAN, "warm")
        found(warm_up, (at - dt.timedelta(days=25)).date(), at)
        port = free_port()
        say(f"Starting the web server with {workers} workers")
        server = start_server(port, environment, workers)
        try:
            wait_until_healthy(port, server)
            send_all(warm_up, port, secret, workers, FRESH, REPEATED)
            say(f"Sending {size} events, and {REPEATED / (FRESH + REPEATED):.0%} of them twice")
            sent = send_all(load, port, secret, SENDERS * workers, FRESH, REPEATED)
        finally:
            server.terminate()
            server.wait()
        with psycopg.connect(environment["DATABASE_OWNER_URL"]) as database:
            say("Copying the same rows")
            copied = copy_rate(database)
            say("Proving that nothing was lost or counted twice")
            proof = prove(database, load)
    return figures(size, workers, sent, copied) | proof


def figures(size: int, workers: int, sent: list[Sent], copied: float) -> dict[str, Any]:
    """Rates count each event once: what was sent again is part of the load, not of the yield."""
    seconds = max(one.ended for one in sent) - min(one.began for one in sent)
    latencies = sorted(latency for one in sent for latency in one.latencies)
    rate = size / seconds
    return {
        "bench": "ingest",
        "events": size,
        "sent": sum(one.received for one in sent),
        "accepted": sum(one.accepted for one in sent),
        "duplicates": sum(one.duplicates for one in sent),
        "quarantined": sum(one.quarantined for one in sent),
        "workers": workers,
        "seconds": round(seconds, 2),
        "batch_p50_ms": percentile(latencies, 50),
        "batch_p99_ms": percentile(latencies, 99),
        "events_per_second": round(rate),
        "copy_rows_per_second": round(copied),
        "ratio": round(rate / copied, 2),
    }


def percentile(ordered: list[float], percent: int) -> float:
    """In milliseconds, of seconds in ascending order (nearest rank)."""
    place = max(0, -(-len(ordered) * percent // 100) - 1)
    return round(ordered[place] * 1000, 1)


# The limit


REGISTER = ("key", "digest", "customer_id", "occurred_at")
EVENT = (
    "customer_id", "occurred_at", "key", "clock", "source_id", "event_id", "type", "subject", "data", "meters",
    "receipt", "received_at",
)  # fmt: skip
ROWS_AT_ONCE = 1000  # as the batches were: what is answered for must be on disk


def copy_rate(database: psycopg.Connection[Any]) -> float:
    """Events per second that one process copies into tables like register and events, a commit for each batch.

    The rows are those that were ingested, in the order of their arrival; they are in memory, encoded, before the
    clock starts.
    """
    make_copies(database)
    joined = "billing_event e JOIN billing_register r USING (key) ORDER BY e.received_at, e.receipt, e.event_id"
    events = read(database, f"SELECT {', '.join('e.' + name for name in EVENT)} FROM {joined}")
    register = read(database, f"SELECT {', '.join('r.' + name for name in REGISTER)} FROM {joined}")
    database.commit()
    begun = time.monotonic()
    with database.cursor() as cursor:
        for start in range(0, len(events), ROWS_AT_ONCE):
            for table, rows in (("copy_register", register), ("copy_event", events)):
                with cursor.copy(f"COPY {table} FROM STDIN") as copy:
                    copy.write(b"".join(rows[start : start + ROWS_AT_ONCE]))
            database.commit()
    return len(events) / (time.monotonic() - begun)


def make_copies(database: psycopg.Connection[Any]) -> None:
    """Empty tables with the columns, indexes and partitions of register and events."""
    execute = database.execute
    execute("CREATE TABLE copy_register (LIKE billing_register INCLUDING ALL) PARTITION BY HASH (key)")
    execute("CREATE TABLE copy_event (LIKE billing_event INCLUDING ALL) PARTITION BY RANGE (occurred_at)")
    for table, copied in (("billing_register", "copy_register"), ("billing_event", "copy_event")):
        parts = execute(
            "SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i"
            " JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = %s::regclass",
            [table],
        ).fetchall()
        for name, bound in parts:
            execute(f"CREATE TABLE copy_{name} PARTITION OF {copied} {bound}")
    database.commit()


def read(database: psycopg.Connection[Any], query: str) -> list[bytes]:
    """The rows of a query as COPY writes them."""
    with database.cursor() as cursor, cursor.copy(f"COPY ({query}) TO STDOUT") as copy:
        return [bytes(row) for row in copy]


# The proof


def prove(database: psycopg.Connection[Any], load: Load) -> dict[str, int]:
    """Compare what was sent with register, events and buckets.

    lost: ids that are not in the register or have no event; doubled: ids with more than one entry, and entries
    nobody sent; miscounted: customers whose buckets do not hold the sums of what was sent, on either meter.
    """
    database.execute("CREATE TEMP TABLE sent (event_id text, customer text, tokens numeric, model text)")
    with database.cursor() as cursor, cursor.copy("COPY sent FROM STDIN") as copy:
        for number in range(load.size):
            id, customer, _, tokens, model = load.event(number)
            copy.write_row((id, customer, tokens, model))
    answers: Mapping[str, str] = {
        "lost": """
            SELECT count(*) FROM sent WHERE NOT EXISTS (
                SELECT 1 FROM billing_event e JOIN billing_register r ON r.key = e.key
                JOIN contracts_customer c ON c.id = e.customer_id AND c.id = r.customer_id
                WHERE e.event_id = sent.event_id AND c.key = sent.customer)""",
        "doubled": """
            SELECT (SELECT count(*) FROM billing_event e WHERE e.event_id LIKE %(like)s)
                - (SELECT count(DISTINCT e.event_id) FROM billing_event e
                   JOIN sent ON sent.event_id = e.event_id WHERE e.event_id LIKE %(like)s)
                + (SELECT count(*) FROM billing_register) - (SELECT count(*) FROM billing_event)""",
        "miscounted": """
            SELECT count(*) FROM (
                SELECT customer, '[]' AS model, count(*)::numeric AS value FROM sent GROUP BY 1
                UNION ALL SELECT customer, model, sum(tokens) FROM sent GROUP BY 1, 2
            ) wanted FULL JOIN (
                SELECT c.key AS customer, CASE WHEN m.key = 'requests' THEN '[]' ELSE b."group"::json->>0 END AS model,
                    sum(CASE WHEN m.key = 'requests' THEN b.n ELSE b.total END) AS value
                FROM billing_bucket b JOIN contracts_customer c ON c.id = b.customer_id
                JOIN catalog_meter m ON m.id = b.meter_id WHERE c.key LIKE %(like)s GROUP BY 1, 2
            ) counted USING (customer, model) WHERE wanted.value IS DISTINCT FROM counted.value""",
    }
    database.execute("ANALYZE sent")
    like = {"like": f"{load.prefix}-%"}
    return {name: int(database.execute(query, like).fetchone()[0]) for name, query in answers.items()}  # type: ignore[index]
