"""What it costs to ask whether a customer may do something, against a bare read by a key through the same server."""

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
from billing.models import Source
from catalog.entitling import EntitlementDraft
from catalog.models import Feature, Meter, Plan, PlanVersion, Seller
from catalog.publishing import PriceDraft, draft_version, publish
from contracts.drafts import LineDraft, TermsDraft
from contracts.lifecycle import approve, draft
from contracts.models import Contract, Customer
from revops.api.keys import create_key
from revops.benchmarks.ingest import percentile
from revops.benchmarks.sample import SOURCE
from revops.benchmarks.usage import server_time
from revops.models import Scope
from revops.serving import current_names, environment_for, free_port, start_server, wait_until_healthy
from revops.simulation.databases import throw_away_databases

SIZE = 100_000
FEATURES = {"one": 1, "hundred": 100}
"""Customer -> how many metered features it has."""
OPEN_FOR = dt.timedelta(days=25)  # how far the running period reaches back
REQUESTS = 500
WARM_UP = 50
BATCH = 4000

Say = Callable[[str], None]
Timings = dict[str, list[tuple[float, float]]]


def measure(size: int, workers: int, at: dt.datetime, say: Say, progress: Callable[[int], None]) -> dict[str, Any]:
    """Each customer has the same number of events in a running period of 25 days, all of them on the feature asked for.

    Every answer is checked. The bare read is that of a feature by its key, by the same API key.
    """
    starts_at = (at - OPEN_FOR).replace(hour=0, minute=0, second=0, microsecond=0)
    with throw_away_databases(say):
        environment = environment_for(current_names())
        secret = found(starts_at.date(), at)
        for customer in FEATURES:
            say(f"Ingesting {size} events of the customer with {FEATURES[customer]} metered features")
            for batch in batches(customer, size, starts_at, at - dt.timedelta(minutes=1)):
                ingest(batch, at=at, door="bench")
                progress(len(batch))
        for connection in connections.all():
            connection.close()
        port = free_port()
        server = start_server(port, environment, workers)
        try:
            wait_until_healthy(port, server)
            say(f"Asking {REQUESTS} times each")
            timings = ask(port, secret, size)
        finally:
            server.terminate()
            server.wait()
    return figures(size, workers, timings)


def found(starts_on: dt.date, at: dt.datetime) -> str:
    """Meters, features and a plan for each customer; returns the secret of a key."""
    seller = Seller.objects.create(key="bench", name="Bench Inc")
    Source.objects.create(key=SOURCE)
    for customer, count in FEATURES.items():
        version = offered(customer, count, at)
        who = Customer.objects.create(key=customer, name=customer)
        contract = Contract(number=customer, customer=who, seller=seller, currency="USD", starts_on=starts_on)
        draft(contract, TermsDraft(lines=(LineDraft(version, starts_on=starts_on),)), at=at)
        approve(contract, at=at)
    return create_key("bench", [Scope.EVENTS_WRITE, Scope.USAGE_READ, Scope.CATALOG_READ], at=at)[1]


def offered(customer: str, count: int, at: dt.datetime) -> PlanVersion:
    names = [f"{customer}-{number}" for number in range(count)]
    for name in names:
        Feature.objects.create(key=name, name=name)
        Meter.objects.create(key=name, event_type=name, aggregation="sum", value="units")
    plan = Plan.objects.create(key=customer, name=customer)
    given = [EntitlementDraft(name, "metered", meter=name, limit=Decimal(10**12)) for name in names]
    base = PriceDraft("base", "recurring", {"model": "flat", "flat_amount": "99"})
    return publish(draft_version(plan, currency="USD", prices=[base], entitlements=given, at=at), at=at)


def batches(customer: str, size: int, begins: dt.datetime, ends: dt.datetime) -> Iterator[list[bytes]]:
    for start in range(0, size, BATCH):
        yield [
            msgspec.json.encode(
                {
                    "specversion": "1.0",
                    "id": f"{customer}-{number}",
                    "source": SOURCE,
                    "type": f"{customer}-0",
                    "subject": customer,
                    "time": (begins + (ends - begins) * number / size).isoformat(),
                    "data": {"units": 1},
                }
            )
            for number in range(start, min(start + BATCH, size))
        ]


def ask(port: int, secret: str, size: int) -> Timings:
    """(in the server, round trip) in seconds for each request, in turns."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    paths = {"bare_read": "/api/v1/features/one-0"}
    paths |= {name: f"/api/v1/customers/{name}/entitlements/{name}-0" for name in FEATURES}
    paths["all_hundred"] = "/api/v1/customers/hundred/entitlements"
    timings: Timings = {name: [] for name in paths}
    for turn in range(WARM_UP + REQUESTS):
        for name, path in paths.items():
            begun = time.monotonic()
            connection.request("GET", path, headers={"Authorization": f"Bearer {secret}"})
            response = connection.getresponse()
            text = response.read()
            round_trip = time.monotonic() - begun
            check(name, response.status, json.loads(text), size)
            if turn >= WARM_UP:
                timings[name].append((server_time(response), round_trip))
    return timings


def check(name: str, status: int, shown: Any, size: int) -> None:
    """Raises AssertionError where an answer is not right."""
    right = status == 200
    if right and name in FEATURES:
        right = shown["used"] == str(size) and shown["has_access"]
    elif right and name == "all_hundred":
        right = len(shown) == FEATURES["hundred"] and shown[0]["used"] == str(size)
    if not right:
        raise AssertionError(f"{name}: {status} {shown}")


def figures(size: int, workers: int, timings: Timings) -> dict[str, Any]:
    shown: dict[str, Any] = {"bench": "entitlement", "events": size, "workers": workers, "requests": REQUESTS}
    for name, pairs in timings.items():
        in_server, round_trip = (sorted(side) for side in zip(*pairs, strict=True))
        shown[name] = {
            "server_p50_ms": percentile(in_server, 50),
            "server_p99_ms": percentile(in_server, 99),
            "round_trip_p50_ms": percentile(round_trip, 50),
            "round_trip_p99_ms": percentile(round_trip, 99),
        }
    return {**shown, "ratio": round(shown["hundred"]["server_p50_ms"] / shown["bare_read"]["server_p50_ms"], 2)}
