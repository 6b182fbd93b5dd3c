"""What a live preview costs for a customer with few events and for one with many."""

from __future__ import annotations

import datetime as dt
import http.client
import json
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import msgspec
from django.db import connections

from billing.metering.ingestion import ingest
from revops.benchmarks.company import found
from revops.benchmarks.ingest import percentile
from revops.benchmarks.sample import Load
from revops.serving import current_names, environment_for, free_port, start_server, wait_until_healthy
from revops.simulation.databases import throw_away_databases

SIZE = 1_000_000
FEWER = 100  # the small customer has this part of the large one's events
OPEN_FOR = dt.timedelta(days=25)  # how far the open period reaches back
REQUESTS = 300
WARM_UP = 30
BATCH = 4000

Say = Callable[[str], None]


def measure(size: int, workers: int, at: dt.datetime, say: Say, progress: Callable[[int], None]) -> dict[str, Any]:
    """Both customers have one contract and an open period of 25 days; their buckets come from real ingestion."""
    starts_at = (at - OPEN_FOR).replace(hour=0, minute=0, second=0, microsecond=0)
    span = at - starts_at - dt.timedelta(minutes=1)
    loads = {
        "small": Load(max(size // FEWER, 1), 1, starts_at, span, "small"),
        "large": Load(size, 1, starts_at, span, "large"),
    }
    with throw_away_databases(say):
        environment = environment_for(current_names())
        secret = ""
        for load in loads.values():
            secret = found(load, starts_at.date(), at)
            say(f"Ingesting {load.size} events of the {load.prefix} customer")
            for batch in batches(load):
                ingest(batch, at=at, door="bench")
                progress(len(batch))
        for connection in connections.all():
            connection.close()
        port = free_port()
        server = start_server(port, environment, workers)
        try:
            wait_until_healthy(port, server)
            say(f"Asking for {2 * REQUESTS} previews")
            timings = ask(port, secret, {name: quantity(load) for name, load in loads.items()})
        finally:
            server.terminate()
            server.wait()
    return figures(loads, workers, timings)


def batches(load: Load) -> Iterator[list[bytes]]:
    for start in range(0, load.size, BATCH):
        yield [msgspec.json.encode(load.record(number)) for number in range(start, min(start + BATCH, load.size))]


def quantity(load: Load) -> Decimal:
    """The tokens the preview must show."""
    return Decimal(sum(load.event(number)[3] for number in range(load.size)))


def ask(port: int, secret: str, wanted: dict[str, Decimal]) -> dict[str, list[tuple[float, float]]]:
    """(in the server, round trip) in seconds, for each request, in turns; every answer is checked."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    timings: dict[str, list[tuple[float, float]]] = {name: [] for name in wanted}
    for turn in range(WARM_UP + REQUESTS):
        for name, tokens in wanted.items():
            begun = time.monotonic()
            path = f"/api/v1/customers/{name}-00000/preview"
            connection.request("GET", path, headers={"Authorization": f"Bearer {secret}"})
            response = connection.getresponse()
            text = response.read()
            round_trip = time.monotonic() - begun
            shown = [line["quantity"] for line in json.loads(text)[0]["lines"] if line["meter"] == "tokens"]
            if response.status != 200 or Decimal(shown[0]) != tokens:
                raise AssertionError(f"The preview of {name} shows {shown}, not {tokens}.")
            if turn >= WARM_UP:
                timings[name].append((server_time(response), round_trip))
    return timings


def server_time(response: http.client.HTTPResponse) -> float:
    """Seconds, from `Server-Timing: total;dur=12.3`."""
    return float((response.getheader("Server-Timing") or "").partition("dur=")[2]) / 1000


def figures(loads: dict[str, Load], workers: int, timings: dict[str, list[tuple[float, float]]]) -> dict[str, Any]:
    shown: dict[str, Any] = {"bench": "usage", "workers": workers, "requests": REQUESTS}
    for name, pairs in timings.items():
        in_server, round_trip = (sorted(side) for side in zip(*pairs, strict=True))
        shown[name] = {
            "events": loads[name].size,
            "server_p50_ms": percentile(in_server, 50),
            "server_p99_ms": percentile(in_server, 99),
            "round_trip_p50_ms": percentile(round_trip, 50),
            "round_trip_p99_ms": percentile(round_trip, 99),
        }
    return {**shown, "ratio": round(shown["large"]["server_p50_ms"] / shown["small"]["server_p50_ms"], 2)}
