"""What a closed period would have cost under another version, with amounts worked out by hand."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from billing.invoicing.shadow import UnableToCompare, migrate, shadows
from catalog.models import PlanVersion, VersionStatus
from contracts.models import Contract
from revops.simulation.playing import perform, read_scenario
from revops.vocabulary.documents import read_text

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])

AT = dt.datetime(2026, 2, 10, tzinfo=dt.UTC)
MARCH = dt.date(2026, 3, 1)

WORLD = """
currency: EUR
tax_rates: [{code: de-vat, percent: "19", country: DE}]
meters: [{key: calls, event_type: api.call, aggregation: count}]
plans:
  - key: pro
    versions:
      - prices:
          - {key: base, kind: recurring, model: flat, flat_amount: "31.00"}
          - {key: calls, kind: usage, meter: calls, model: per_unit, unit_amount: "1.50"}
      - prices:
          - {key: base, kind: recurring, model: flat, flat_amount: "62.00", billing: in_advance}
          - {key: setup, kind: one_time, model: flat, flat_amount: "5.00"}
  - key: support
    versions: [{prices: [{key: desk, kind: recurring, model: flat, flat_amount: "10.00"}]}]
customers: [{key: acme, country: DE}]
contracts:
  - number: C-1
    customer: acme
    starts_on: 2026-01-01
    anchor: calendar
    lines:
      - {plan: pro, version: 1, from: 2026-01-22}
      - {plan: support}
    discounts: [{kind: percent, value: "50", applies_to: [base]}]
    one_time: [{key: fee, description: Fee, amount: "7.00", on: 2026-01-05}]
steps:
  - {at: 2026-01-25T00:00:00Z, events: [
      {specversion: "1.0", id: a, source: gw, type: api.call, subject: acme, time: 2026-01-24T00:00:00Z, data: {}},
      {specversion: "1.0", id: b, source: gw, type: api.call, subject: acme, time: 2026-01-25T00:00:00Z, data: {}}]}
  - {at: 2026-02-03T00:00:00Z, bill_run: true}
"""


@pytest.fixture
def january(transactional_db: None) -> tuple[Contract, PlanVersion]:
    """C-1 with January closed, and pro@2."""
    outcome = perform(read_scenario(read_text(WORLD)))
    assert outcome["mismatches"] == []
    return Contract.objects.get(), PlanVersion.objects.get(plan__key="pro", number=2)


def test_the_last_closed_period_is_rated_with_the_same_days_use_and_discounts(
    january: tuple[Contract, PlanVersion],
) -> None:
    contract, version = january
    (shadow,) = shadows([contract.pk], version)
    # 10 of January's 31 days of 31.00 are 10.00, half off 5.00; two calls 3.00; support 10.00; the fee 7.00
    assert shadow.before == Decimal("25.00")
    # 10 of 31 days of 62.00 are 20.00, half off 10.00; no calls; the setup of the line that begins 5.00; 10.00; 7.00
    assert shadow.after == Decimal("32.00")
    assert shadow.delta == Decimal("7.00")
    assert shadow.period is not None
    assert shadow.period.starts_at == dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def test_a_dry_run_takes_a_version_that_is_not_published_and_says_so(january: tuple[Contract, PlanVersion]) -> None:
    contract, version = january
    draft = PlanVersion.objects.create(plan=version.plan, number=3, currency="EUR", status=VersionStatus.DRAFT)
    made = migrate([contract.pk], draft, MARCH, dry_run=True, at=AT)
    # Without prices: support and the fee.
    assert made.shadows[0].after == Decimal("17.00")
    assert [(one.path, one.code) for one in made.refused] == [("contracts[0].lines[1].version", "unsold")]
    contract.refresh_from_db()
    assert contract.revision == 0


def test_another_currency_is_not_compared(january: tuple[Contract, PlanVersion]) -> None:
    contract, version = january
    dollars = PlanVersion.objects.create(plan=version.plan, number=3, currency="USD")
    with pytest.raises(UnableToCompare, match="pro@3 is in USD, the contract C-1 in EUR"):
        shadows([contract.pk], dollars)
