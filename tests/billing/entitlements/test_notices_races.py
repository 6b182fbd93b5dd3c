"""Notices among others: batches together, processes that die, late use. Never one too many, never one too few."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.entitlements.intake import take_in, void_event
from billing.entitlements.notices import look_over
from billing.metering.ingestion import ingest
from billing.models import Notice
from contracts.models import Contract
from tests.billing.entitlements.conftest import Office, instant, tokens, told, use
from tests.billing.metering.test_races import at_once
from tests.factories import body, event

pytestmark = [pytest.mark.sql, pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])]

NOW = instant("2026-02-20T00:00")
THRESHOLDS = (50, 90, 100)

# (day of 2026 from 1 January to 19 February, tokens): late use of January among that of February.
EVENTS = st.lists(st.tuples(st.integers(0, 49), st.integers(1, 60)), min_size=1, max_size=12)
BATCHES = st.lists(st.tuples(EVENTS, st.booleans()), min_size=2, max_size=4)


def due(events: list[tuple[int, int]], limit: int) -> set[tuple[str, int]]:
    """What must have been told, by hand: the tokens of each month against the thresholds."""
    used: Counter[str] = Counter()
    for day, amount in events:
        used["2026-01-01" if day < 31 else "2026-02-01"] += amount
    return {(month, one) for month, total in used.items() for one in THRESHOLDS if total * 100 >= limit * one}


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rounds=st.lists(BATCHES, min_size=1, max_size=3))
def test_every_threshold_is_told_once_whoever_comes_together_and_dies(
    office: Office, rounds: list[list[tuple[list[tuple[int, int]], bool]]]
) -> None:
    version = office_version(office)
    contract = office.sign(version)
    sent: list[tuple[int, int]] = []
    for batches in rounds:
        at_once(*[job(contract, events, dies) for events, dies in batches], lambda: look_over(NOW))
        sent += [one for events, _ in batches for one in events]
    look_over(NOW)
    found = told(contract)
    assert len(found) == len(set(found))
    assert set(found) == due(sent, 200)
    assert look_over(NOW) == 0


def office_version(office: Office) -> Any:
    found = office.seller.contracts.first()
    return found.lines.get().plan_version if found else office.version(tokens("200", thresholds=THRESHOLDS))


_sent = iter(range(10**9))


def job(contract: Contract, events: list[tuple[int, int]], dies: bool) -> Callable[[], Any]:
    """Send a batch; a process that dies after the commit has told nobody."""
    records = [
        event(
            f"r-{next(_sent)}",
            amount,
            subject=contract.customer.key,
            time=(instant("2026-01-01T12:00") + dt.timedelta(days=day)).isoformat(),
        )
        for day, amount in events
    ]
    take = ingest if dies else take_in
    return lambda: take(body(*records), at=NOW, door="api")


def test_two_batches_that_cross_together_give_one_notice(office: Office) -> None:
    contract = office.sign(office.version(tokens("100", thresholds=(50, 100))))
    for day in range(1, 11):
        jobs = [job(contract, [(30 + day, 10)], dies=False) for _ in range(4)]
        at_once(*jobs)
    assert sorted(told(contract)) == [("2026-02-01", 50), ("2026-02-01", 100)]


def test_late_use_of_a_period_long_gone_is_found_by_the_clock_after_a_death(office: Office) -> None:
    contract = office.sign(office.version(tokens("100")))
    use(contract.customer, 10, "2026-02-10T00:00")
    look_over(NOW)
    job(contract, [(3, 95)], dies=True)()
    # Another batch in between looks at its own use only, and must not hide what the dead one left.
    use(contract.customer, 10, "2026-02-11T00:00")
    assert told(contract) == []
    assert look_over(NOW) == 2
    assert told(contract) == [("2026-01-01", 50), ("2026-01-01", 90)]


def test_what_is_voided_and_sent_again_is_told_once(office: Office) -> None:
    contract = office.sign(office.version(tokens("100")))
    use(contract.customer, 60, "2026-02-10T00:00", id="a")
    void_event("gw", "a", reason="test", at=instant("2026-02-11T00:00"))
    use(contract.customer, 60, "2026-02-12T00:00", id="b")
    look_over(NOW)
    assert told(contract) == [("2026-02-01", 50)]
    assert Notice.objects.get(contract=contract).at == instant("2026-02-10T00:00")


def test_what_was_used_before_a_contract_ended_is_told_after_it(office: Office) -> None:
    version = office.version(tokens("100", thresholds=(50,)))
    contract = office.sign(version, ends_on=dt.date(2026, 2, 1))
    ingest(body(event("late", 60, subject=contract.customer.key, time="2026-01-10T00:00:00Z")), at=NOW, door="api")
    assert look_over(NOW) == 1
    assert told(contract) == [("2026-01-01", 50)]
