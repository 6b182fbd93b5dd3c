"""Senders: processes of their own that post batches over HTTP, one after another, and keep the time."""

from __future__ import annotations

import http.client
import json
import multiprocessing
import time
from dataclasses import dataclass, field
from multiprocessing.synchronize import Barrier
from typing import Any

from revops.benchmarks.sample import Load

PATH = "/api/v1/events"
PATIENCE = 60  # seconds a sender goes on repeating a batch that is answered 503


class UnableToSend(Exception):
    """The server refused a batch, or was away for too long."""


@dataclass
class Sent:
    """What one sender saw. `latencies` in seconds, one for each batch."""

    received: int = 0
    accepted: int = 0
    duplicates: int = 0
    quarantined: int = 0
    began: float = 0
    ended: float = 0
    latencies: list[float] = field(default_factory=list)
    fault: str = ""


def send_all(load: Load, port: int, secret: str, senders: int, fresh: int, repeated: int) -> list[Sent]:
    """Send a load from several processes at once. Bodies are made before the clock starts. Raises UnableToSend."""
    spawn = multiprocessing.get_context("spawn")
    ready = spawn.Barrier(senders)
    results: Any = spawn.Queue()
    processes = [
        spawn.Process(
            target=send, args=(load, port, secret, (number, senders), (fresh, repeated), ready, results), daemon=True
        )
        for number in range(senders)
    ]
    for process in processes:
        process.start()
    done: list[Sent] = [results.get() for _ in processes]
    for process in processes:
        process.join()
    fault = next((sent.fault for sent in done if sent.fault), "")
    if fault:
        raise UnableToSend(fault)
    return done


def send(
    load: Load,
    port: int,
    secret: str,
    place: tuple[int, int],
    shape: tuple[int, int],
    ready: Barrier,
    results: Any,
) -> None:
    """One sender: `place` is its number among how many, `shape` new and repeated records of a batch."""
    sent = Sent()
    try:
        bodies = list(load.batches(*shape, *place))
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        connection.connect()
        ready.wait()
        # CLOCK_MONOTONIC counts the same in every process of the machine.
        sent.began = time.monotonic()
        for body in bodies:
            post(connection, body, secret, sent)
        sent.ended = time.monotonic()
    except Exception as error:
        ready.abort()
        sent.fault = f"{type(error).__name__}: {error}"
    results.put(sent)


def post(connection: http.client.HTTPConnection, body: bytes, secret: str, sent: Sent) -> None:
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/cloudevents-batch+json"}
    begun = time.monotonic()
    while True:
        connection.request("POST", PATH, body, headers)
        response = connection.getresponse()
        text = response.read()
        if response.status == 200:
            break
        if response.status != 503 or time.monotonic() - begun > PATIENCE:
            raise UnableToSend(f"{response.status}: {text[:500].decode(errors='replace')}")
        time.sleep(0.2)
    sent.latencies.append(time.monotonic() - begun)
    receipt = json.loads(text)
    sent.received += receipt["received"]
    sent.accepted += receipt["accepted"]
    sent.duplicates += receipt["duplicates"]
    sent.quarantined += receipt["quarantined"]
