"""A plan in two versions, and contracts on the first: what moving them changes is worked out by hand."""

from __future__ import annotations

import pytest

from catalog.models import PlanVersion
from revops.simulation.playing import perform, read_scenario
from revops.vocabulary.documents import read_text

# January: acme used 1,000 tokens and initech 5,000; it is closed. newcomer began in February.
WORLD = """
currency: EUR
meters: [{key: tokens, event_type: llm.request, aggregation: sum, value: tokens}]
plans:
  - key: pro
    versions:
      - prices:
          - {key: base, kind: recurring, model: flat, flat_amount: "20.00"}
          - {key: tokens, kind: usage, meter: tokens, model: per_unit, unit_amount: "0.01"}
      - prices:
          - {key: base, kind: recurring, model: flat, flat_amount: "25.00"}
          - {key: tokens, kind: usage, meter: tokens, model: per_unit, unit_amount: "0.008"}
      - currency: USD
        prices: [{key: base, kind: recurring, model: flat, flat_amount: "20.00"}]
customers: [{key: acme}, {key: initech}, {key: newcomer}, {key: abroad}]
contracts:
  - {number: C-1, customer: acme, starts_on: 2026-01-01, lines: [{plan: pro, version: 1}]}
  - {number: C-2, customer: initech, starts_on: 2026-01-01, lines: [{plan: pro, version: 1}]}
  - {number: C-3, customer: newcomer, starts_on: 2026-02-01, lines: [{plan: pro, version: 1}]}
  - {number: C-4, customer: abroad, currency: USD, starts_on: 2026-01-01, lines: [{plan: pro, version: 3}]}
steps:
  - {at: 2026-01-20T00:00:00Z, events: [
      {id: a, source: gw, type: llm.request, subject: acme, time: 2026-01-19T00:00:00Z, data: {tokens: 1000}},
      {id: b, source: gw, type: llm.request, subject: initech, time: 2026-01-19T00:00:00Z, data: {tokens: 5000}}]}
  - {at: 2026-02-03T00:00:00Z, bill_run: true}
"""


@pytest.fixture
def version(transactional_db: None) -> PlanVersion:
    """pro@2, with the world around it."""
    outcome = perform(read_scenario(read_text(WORLD)))
    assert outcome["mismatches"] == []
    return PlanVersion.objects.get(number=2)
