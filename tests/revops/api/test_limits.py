"""How much may be asked for: the allowance itself, and what callers see of it."""

from __future__ import annotations

import multiprocessing
from itertools import count
from typing import Any

import pytest
from django.test import RequestFactory

from revops.api import keys, limits
from revops.api.keys import create_key
from revops.api.limits import Kind, take
from revops.api.problems import Problem

from .conftest import THEN, Api, Company, event

NUMBERS = count(40_000)

called = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])


@pytest.fixture
def number() -> int:
    """A key nobody else counts with."""
    return next(NUMBERS)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time the allowance is counted by; tests move it."""
    now = [1000.0]
    monkeypatch.setattr(limits, "monotonic", lambda: now[0])
    return now


def test_a_minutes_allowance_may_be_used_at_once_and_flows_back(number: int, clock: list[float]) -> None:
    left = [take(Kind.REQUESTS, number, 10).left for _ in range(10)]
    assert left == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    refused = take(Kind.REQUESTS, number, 10)
    # Ten a minute: one every six seconds.
    assert refused.wait == pytest.approx(6)
    clock[0] += 6
    assert take(Kind.REQUESTS, number, 10).wait == 0
    assert take(Kind.REQUESTS, number, 10).wait == pytest.approx(6)
    clock[0] += 60
    assert take(Kind.REQUESTS, number, 10).left == 9


def test_a_batch_passes_whole_and_the_next_one_waits_for_it(number: int, clock: list[float]) -> None:
    assert take(Kind.RECORDS, number, 100, cost=250).wait == 0
    refused = take(Kind.RECORDS, number, 100, cost=1)
    # 250 records take 150 seconds to flow back; one is there again after 90.6.
    assert refused.wait == pytest.approx(90.6)
    clock[0] += 90.6
    assert take(Kind.RECORDS, number, 100, cost=1).wait == 0


def test_kinds_and_keys_count_apart(number: int, clock: list[float]) -> None:
    take(Kind.RECORDS, number, 1)
    assert take(Kind.RECORDS, number, 1).wait > 0
    assert take(Kind.REQUESTS, number, 1).wait == 0
    assert take(Kind.RECORDS, number + 1, 1).wait == 0


def test_what_is_left_is_said_as_the_draft_of_the_ietf_has_it(number: int, clock: list[float]) -> None:
    assert take(Kind.REQUESTS, number, 600).headers() == {
        "RateLimit": '"requests";r=599;t=1',
        "RateLimit-Policy": '"requests";q=600;w=60',
    }


def _take_some(number: int, passed: Any) -> None:
    for _ in range(100):
        if not take(Kind.REQUESTS, number, 150).wait:
            with passed.get_lock():
                passed.value += 1


def test_processes_that_were_forked_count_together(number: int) -> None:
    fork = multiprocessing.get_context("fork")
    passed = fork.Value("i", 0)
    workers = [fork.Process(target=_take_some, args=(number, passed)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    # 150 of 200 pass, and what flows back meanwhile (2.5 a second); nothing is locked, so a few more may.
    assert 150 <= passed.value <= 175


@called
def test_a_key_that_asks_too_much_is_told_when_to_come_back(api: Api, key: Any) -> None:
    slow = api.as_key(key("catalog:read", requests_per_minute=2))
    first = slow.get("meters")
    assert (first.status, first.headers["ratelimit-policy"]) == (200, '"requests";q=2;w=60')
    assert first.headers["ratelimit"].startswith('"requests";r=1;')
    assert slow.get("meters").status == 200
    refused = slow.get("meters")
    assert (refused.status, refused.headers["content-type"]) == (429, "application/problem+json")
    assert 1 <= int(refused.headers["retry-after"]) <= 30
    assert refused.headers["ratelimit"].startswith('"requests";r=0;')
    assert api.get("meters").status == 200


@called
def test_events_are_limited_by_records_and_nothing_of_a_refused_batch_is_stored(
    api: Api, key: Any, company: Company
) -> None:
    slow = api.as_key(key("events:write", records_per_minute=60))
    batch = [event(f"e{number}") for number in range(100)]
    taken = slow.post("events", batch)
    assert (taken.status, taken.json["accepted"]) == (200, 100)
    assert taken.headers["ratelimit"].startswith('"records";r=0;')
    refused = slow.post("events", [event("later")])
    assert refused.status == 429
    # 100 records at one a second; the next may come when 41 have flowed back.
    assert 39 <= int(refused.headers["retry-after"]) <= 41
    assert api.get("events?source=gw&id=later").json["results"] == []
    # Reading is not reporting.
    assert api.as_key(key("usage:read")).get("usage?customer=acme&meter=tokens").status == 200


@pytest.mark.django_db
def test_who_tries_many_keys_is_slowed_down_and_good_keys_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "FAILURES", 3)
    _, secret = create_key("good", ["usage:read"], at=THEN)

    def status(secret: str) -> int:
        request = RequestFactory().get("/", HTTP_AUTHORIZATION=f"Bearer {secret}", REMOTE_ADDR="192.0.2.7")
        try:
            keys.authenticated(request, THEN)
        except Problem as problem:
            return problem.status
        return 200

    assert [status("wt_nobody") for _ in range(5)] == [401, 401, 401, 429, 429]
    assert status(secret) == 200
