"""Terms that cross periods converge: yearly tiers, a minimum for the quarter, a discount and a grant that run out.

Whatever comes late, is taken back, amended or voided, in whatever order it is billed: in the end what standing
documents say is what the calculator below works out by hand from the facts that stand.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from itertools import count, pairwise

import pytest
from django.db.models import Sum
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.invoicing import bill_run
from billing.invoicing.crediting import UnableToVoid, void_invoice
from billing.metering.corrections import amend_event, void_event
from billing.metering.ingestion import ingest
from billing.models import Invoice, InvoiceLine
from catalog.models import PlanVersion
from contracts import lifecycle
from contracts.drafts import CommitmentDraft, DiscountDraft, GrantDraft, LineDraft, terms_draft
from contracts.models import Contract
from revops.reconciliation import books
from tests.billing.invoicing.conftest import BASE, START, TOKENS, Shop, instant
from tests.billing.test_convergence import cents

pytestmark = [pytest.mark.sql, pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])]

MONTHS = [dt.date(2026, month, 1) for month in range(1, 8)]
YEARLY_TIERS = dict(
    TOKENS,
    interval="year",
    arithmetic={
        "model": "graduated",
        "tiers": [{"up_to": "4000", "unit_amount": "0.013"}, {"up_to": None, "unit_amount": "0.0071"}],
    },
)
FEE = dict(BASE, billing="in_advance", arithmetic={"model": "flat", "flat_amount": "9.00"})
BEGINNING = instant("2026-01-01")
RECEIVED = instant("2026-08-01")
PROMOTION = Decimal("12.50")

ids = st.integers(0, 5)
steps = st.one_of(
    st.tuples(st.just("send"), ids, st.integers(0, 180), st.integers(0, 3000)),
    st.tuples(st.just("send"), ids, st.integers(0, 180), st.integers(0, 3000)),
    st.tuples(st.just("void_event"), ids),
    st.tuples(st.just("amend_event"), ids, st.integers(0, 3000)),
    st.tuples(st.just("run"), st.integers(0, 60)),
    st.tuples(st.just("run"), st.integers(0, 60)),
    st.tuples(st.just("void_invoice"), st.integers(0, 9)),
    st.tuples(st.just("set_minimum"), st.integers(0, 120)),
    st.tuples(st.just("set_total"), st.integers(0, 12)),
)
numbers = count(1)


@pytest.fixture
def shop(transactional_db: None) -> Shop:
    return Shop()


@dataclass
class Story:
    """A contract of six months, and the facts that stand, kept beside the product's own."""

    key: str
    contract: Contract
    now: dt.datetime = BEGINNING
    minimum: Decimal = Decimal(60)
    total: Decimal = Decimal(8)
    standing: dict[int, tuple[dt.date, int]] = field(default_factory=dict)
    sent: set[int] = field(default_factory=set)

    def send(self, id: int, day: int, tokens: int) -> None:
        if id in self.sent:
            return
        time = BEGINNING + dt.timedelta(days=day)
        record = {
            "id": f"{self.key}-{id}",
            "source": "gw",
            "type": "llm.request",
            "subject": self.key,
            "time": time.isoformat(),
            "data": {"tokens": tokens},
        }
        assert ingest(json.dumps(record).encode(), at=RECEIVED, door="test").accepted == 1
        self.sent.add(id)
        self.standing[id] = (time.date(), tokens)

    def void_event(self, id: int) -> None:
        if self.standing.pop(id, None):
            void_event("gw", f"{self.key}-{id}", reason="test", at=self.now)

    def amend_event(self, id: int, tokens: int) -> None:
        if id in self.standing:
            amend_event("gw", f"{self.key}-{id}", {"tokens": tokens}, reason="test", at=self.now)
            self.standing[id] = (self.standing[id][0], tokens)

    def run(self, days: int) -> None:
        self.now += dt.timedelta(days=days)
        assert bill_run.run(self.now, customers=[self.key]).failures == []

    def void_invoice(self, place: int) -> None:
        issued = list(Invoice.objects.issued().filter(contract=self.contract).order_by("pk"))
        if issued:
            try:
                void_invoice(issued[place % len(issued)], reason="test", at=self.now)
            except UnableToVoid as unable:
                assert "was spent on" in str(unable)

    def set_minimum(self, amount: int) -> None:
        self.minimum = Decimal(amount)
        lifecycle.amend(self.contract, at=self.now, commitments=[minimum(self.minimum)])

    def set_total(self, amount: int) -> None:
        self.total = Decimal(amount)
        lifecycle.amend(self.contract, at=self.now, discounts=[half_off(self.total)])

    def due(self) -> Decimal:
        """The net of six months, month by month: tiers over the year, half off tokens up to a total, 60.00 a quarter at
        least, 12.50 given away."""
        used, discounted, promoted, spent, net = 0, Decimal(0), Decimal(0), Decimal(0), Decimal(0)
        for place, (begins, ends) in enumerate(pairwise(MONTHS), 1):
            before = cents(tiers(used))
            used += sum(tokens for day, tokens in self.standing.values() if begins <= day < ends)
            tokens = cents(tiers(used)) - before
            off = min(cents(Fraction(tokens) / 2), self.total - discounted)
            discounted += off
            month = Decimal("9.00") + tokens - off
            spent += month
            if place % 3 == 0:
                month += max(self.minimum - spent, Decimal(0))
                spent = Decimal(0)
            drawn = min(month, PROMOTION - promoted)
            promoted += drawn
            net += month - drawn
        return net

    def billed(self) -> Decimal:
        lines = InvoiceLine.objects.filter(contract=self.contract).exclude(invoice__status="voided")
        return Decimal(lines.aggregate(net=Sum("amount"))["net"] or 0)


def tiers(units: int) -> Fraction:
    return min(units, 4000) * Fraction("0.013") + max(units - 4000, 0) * Fraction("0.0071")


def minimum(amount: Decimal) -> CommitmentDraft:
    return CommitmentDraft("minimum", START, amount=amount, interval="quarter")


def half_off(total: Decimal) -> DiscountDraft:
    return DiscountDraft("percent", Decimal(50), START, applies_to=("tokens",), total=total)


def begin(shop: Shop, version: PlanVersion) -> Story:
    key = f"t{next(numbers)}"
    customer = shop.customer(key, timezone="UTC")
    contract = Contract(
        number=f"C-{key}",
        customer=customer,
        seller=shop.seller,
        currency="EUR",
        starts_on=START,
        ends_on=MONTHS[-1],
    )
    terms = terms_draft(
        [LineDraft(version, START)],
        [half_off(Decimal(8))],
        commitments=[minimum(Decimal(60))],
        credits=[GrantDraft("promotional", PROMOTION, START)],
    )
    lifecycle.draft(contract, terms, at=instant("2025-12-02"))
    lifecycle.approve(contract, at=instant("2025-12-02"))
    return Story(key, contract)


def test_terms_that_cross_periods_converge(shop: Shop) -> None:
    version = shop.version(FEE, YEARLY_TIERS)

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(steps, min_size=5, max_size=25))
    def tell(chosen: list[tuple[str, ...]]) -> None:
        story = begin(shop, version)
        for step, *arguments in chosen:
            getattr(story, step)(*arguments)
        story.run(400)
        assert story.billed() == story.due()
        again = bill_run.run(story.now, customers=[story.key])
        assert (again.invoices, again.credit_notes) == ([], [])

    tell()
    report = books.check(instant("2028-01-01"))
    assert [leak for check in report.checks for leak in check.leaks] == []
