"""The company that is measured, made through the real operations, and the events it reports.

An event is a function of its number, so that senders and the proof agree without talking.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

SOURCE = "bench"
TYPE = "llm.request"
MODELS = ("small", "medium", "large", "vision")


@dataclass(frozen=True)
class Load:
    """`size` events of `customers` customers, spread evenly over `span` from `start`; `prefix` keeps loads apart."""

    size: int
    customers: int
    start: dt.datetime
    span: dt.timedelta
    prefix: str = "e"

    def event(self, number: int) -> tuple[str, str, dt.datetime, int, str]:
        """(id, customer, time, tokens, model) of an event."""
        mixed = (number * 2654435761) & 0xFFFFFFFF
        customer = f"{self.prefix}-{(mixed >> 7) % self.customers:05d}"
        time = self.start + self.span * number / self.size
        return f"{self.prefix}-{number:010d}", customer, time, mixed % 4000 + 1, MODELS[(mixed >> 13) % 4]

    def record(self, number: int) -> dict[str, object]:
        """The event as a CloudEvent."""
        id, customer, time, tokens, model = self.event(number)
        return {
            "specversion": "1.0",
            "id": id,
            "source": SOURCE,
            "type": TYPE,
            "subject": customer,
            "time": time.isoformat(),
            "data": {"tokens": tokens, "model": model},
        }

    def batches(self, fresh: int, repeated: int, worker: int = 0, workers: int = 1) -> Iterator[bytes]:
        """The bodies one of several senders sends: new events, and repeats of those in its batch before."""
        count = -(-self.size // fresh)
        before: list[dict[str, object]] = []
        for index in range(worker, count, workers):
            records = [self.record(number) for number in range(index * fresh, min((index + 1) * fresh, self.size))]
            yield msgspec.json.encode([*records, *(before or records)[:repeated]])
            before = records
