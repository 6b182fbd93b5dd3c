"""The company of the fault tests, and events of its customers that are a function of their number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec

CUSTOMERS = 40
MODELS = ("m0", "m1", "m2")
LATER = "2026-03-01T00:00:00Z"

CATALOG: dict[str, Any] = {
    "currency": "USD",
    "sources": [{"key": "gw"}],
    "meters": [
        {"key": "tokens", "event_type": "llm.request", "aggregation": "sum", "value": "tokens", "group_by": ["model"]},
        {"key": "requests", "event_type": "llm.request", "aggregation": "count"},
        {"key": "largest", "event_type": "llm.request", "aggregation": "max", "value": "tokens"},
        {"key": "sizes", "event_type": "llm.request", "aggregation": "unique_count", "value": "tokens"},
    ],
    "plans": [
        {
            "key": "pro",
            "interval": "month",
            "versions": [
                {
                    "prices": [
                        {"key": "base", "kind": "recurring", "model": "flat", "flat_amount": "20.00"},
                        {"key": "tokens", "kind": "usage", "meter": "tokens", "model": "graduated",
                         "tiers": [{"up_to": "99", "unit_amount": "0.0123"}, {"up_to": None, "unit_amount": "0.007"}]},
                        {"key": "requests", "kind": "usage", "meter": "requests", "model": "per_unit",
                         "unit_amount": "0.05"},
                    ]
                }
            ],
        }
    ],
}  # fmt: skip


def contracts(count: int) -> dict[str, Any]:
    """Customers c000 ... with a contract each, since January 2026, in months of the calendar."""
    names = [f"c{number:03d}" for number in range(count)]
    return {
        "currency": "USD",
        "customers": [{"key": name, "name": name.upper(), "country": "US"} for name in names],
        "contracts": [
            {"number": f"N-{name}", "customer": name, "starts_on": "2026-01-01", "anchor": "calendar",
             "lines": [{"plan": "pro"}]}
            for name in names
        ],
    }  # fmt: skip


FOUND = """
import datetime, pathlib, sys
from django.core.management import call_command
from revops.api.keys import create_key
from revops.models import Scope
catalog, contracts = sys.argv[1:]
call_command("load_catalog", pathlib.Path(catalog), publish=True, stdout=sys.stderr)
call_command("load_contracts", pathlib.Path(contracts), publish=True, stdout=sys.stderr)
print(create_key("test", Scope.values, at=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC))[1])
"""


def customer_of(number: int) -> str:
    return f"c{number * 7 % CUSTOMERS:03d}"


def tokens_of(number: int) -> int:
    return number * 2654435761 % 997 + 1


def model_of(number: int) -> str:
    return MODELS[number % len(MODELS)]


def event(number: int | str, **attributes: Any) -> dict[str, Any]:
    """An event of January and February 2026."""
    n = number if isinstance(number, int) else 0
    said = {
        "specversion": "1.0",
        "id": f"e{number}",
        "source": "gw",
        "type": "llm.request",
        "subject": customer_of(n),
        "time": f"2026-0{n % 2 + 1}-{n % 28 + 1:02d}T{n % 24:02d}:{n % 60:02d}:00Z",
        "data": {"tokens": tokens_of(n), "model": model_of(n)},
        **attributes,
    }
    return {name: value for name, value in said.items() if value is not None}


def stranger(number: int) -> dict[str, Any]:
    """An event of somebody nobody knows."""
    return event(number, id=f"s{number}", subject=f"stranger-{number}")


def encode(records: Iterable[dict[str, Any]]) -> bytes:
    return msgspec.json.encode(list(records))


def batches(first: int, count: int, size: int, strangers: int = 2) -> list[bytes]:
    """Batches of `size` new events, `strangers` that will be held, and two that the batch before sent already."""
    made = []
    for place in range(count):
        begin = first + place * size
        numbers = list(range(begin, begin + size))
        again = numbers[:2] if place == 0 else [begin - 1, begin - 2]
        unknown = [stranger(number) for number in numbers[:strangers]]
        made.append(encode([*map(event, numbers), *unknown, *map(event, again)]))
    return made


def totals(numbers: Iterable[int]) -> tuple[dict[str, int], dict[tuple[str, str], int], dict[str, int]]:
    """What the meters must say: requests and largest by customer, tokens by customer and model."""
    requests: Counter[str] = Counter()
    tokens: Counter[tuple[str, str]] = Counter()
    largest: dict[str, int] = {}
    for number in numbers:
        customer = customer_of(number)
        requests[customer] += 1
        tokens[customer, model_of(number)] += tokens_of(number)
        largest[customer] = max(largest.get(customer, 0), tokens_of(number))
    return dict(requests), dict(tokens), largest
