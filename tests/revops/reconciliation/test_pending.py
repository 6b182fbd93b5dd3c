"""What waits for a bill run is pending, with its amount; the run that sees to it leaves nothing."""

from __future__ import annotations

import datetime as dt

import pytest

from revops.reconciliation import books
from revops.simulation.playing import perform, read_scenario
from revops.vocabulary.documents import read_text

pytestmark = [pytest.mark.sql, pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])]

SHOP = """
sources: [{key: gw}]
meters: [{key: tokens, event_type: llm.request, aggregation: sum, value: tokens}]
plans:
  - key: pro
    versions:
      - prices:
          - {key: base, kind: recurring, model: flat, flat_amount: "99.00", billing: in_advance}
          - {key: tokens, kind: usage, meter: tokens, model: per_unit, unit_amount: "0.01"}
      - effective_from: 2026-02-01
        prices:
          - {key: base, kind: recurring, model: flat, flat_amount: "99.00", billing: in_advance}
          - {key: tokens, kind: usage, meter: tokens, model: per_unit, unit_amount: "0.02"}
customers: [{key: acme}]
contracts: [{number: C-1, customer: acme, starts_on: 2026-01-01, lines: [{plan: pro, version: 1}]}]
steps:
"""
JANUARY = """
  - {at: 2026-01-01T00:00:00Z, bill_run: true}
  - at: 2026-01-11T00:00:00Z
    events:
      - {id: a1, source: gw, type: llm.request, subject: acme, time: 2026-01-05T10:00:00Z, data: {tokens: 100}}
      - {id: a2, source: gw, type: llm.request, subject: acme, time: 2026-01-10T10:00:00Z, data: {tokens: 1000}}
  - {at: 2026-02-02T00:00:00Z, bill_run: true}
"""


def pending(at: str, *steps: str) -> list[tuple[str, str, str]]:
    """Play a story; what is pending afterwards: first day of the period, amount, why. There is no leak."""
    outcome = perform(read_scenario(read_text(SHOP + "".join(steps))))
    assert outcome["mismatches"] == []
    report = books.check(dt.datetime.fromisoformat(at))
    assert report.leaks == []
    return [(one.period_start, one.amount, one.why) for one in report.pending]


PREVIEW = "  - {at: 2026-01-01T00:00:00Z, preview: acme}\n"
VOID = """
  - {at: 2026-02-03T00:00:00Z,
     void_invoice: {customer: acme, period_start: 2026-01-01, purpose: close, reason: wrong address}}
"""
LATE = """
  - at: 2026-02-05T00:00:00Z
    events:
      - {id: a3, source: gw, type: llm.request, subject: acme, time: 2026-01-06T10:00:00Z, data: {tokens: 300}}
"""
MOVED = "  - {at: 2026-02-06T00:00:00Z, migrate: {contract: C-1, plan: pro, version: 2, on: 2026-01-08}}\n"
RUN = "  - {at: 2026-03-02T00:00:00Z, bill_run: true}\n"


def test_the_first_advance_waits_for_a_run() -> None:
    waits = "begun, and no run has invoiced what is due in advance yet"
    assert pending("2026-01-01T00:00:00Z", PREVIEW) == [("2026-01-01", "99.00", waits)]


def test_a_period_waits_from_the_end_of_its_tolerance_window() -> None:
    assert pending("2026-03-01T23:59:59Z", JANUARY) == []


def test_a_period_past_its_tolerance_window_waits() -> None:
    waits = "past its tolerance window, and no run has closed it yet"
    # February was billed in advance, and nothing was used in it
    assert pending("2026-03-02T00:00:00Z", JANUARY) == [("2026-02-01", "0.00", waits)]


def test_a_period_opened_again_by_a_void_waits() -> None:
    assert pending("2026-02-04T00:00:00Z", JANUARY, VOID) == [("2026-01-01", "11.00", "opened again by a void")]


def test_late_use_waits() -> None:
    waits = "its use or its documents changed since it was closed"
    assert pending("2026-02-06T00:00:00Z", JANUARY, LATE) == [("2026-01-01", "3.00", waits)]


def test_a_backdated_amendment_waits() -> None:
    waits = "its terms were amended since it was closed"
    # the thousand tokens of 10 January cost 0.01 more each; the base is as dear in both versions: 7 of 31 days of
    # 99.00 are 22.35, 24 are 76.65, in all 99.00
    assert pending("2026-02-07T00:00:00Z", JANUARY, MOVED) == [("2026-01-01", "10.00", waits)]


@pytest.mark.parametrize("story", [(VOID,), (LATE,), (MOVED,), (LATE, MOVED), (VOID, LATE, MOVED)])
def test_nothing_waits_after_the_next_run(story: tuple[str, ...]) -> None:
    assert pending("2026-03-03T00:00:00Z", JANUARY, *story, RUN) == []
