"""Whatever is billed, voided, corrected and granted: credit is never below zero, and none of it is lost."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.invoicing import bill_run
from billing.invoicing.balances import balance_of, grants
from billing.invoicing.crediting import UnableToVoid, discard_draft, void_invoice
from billing.invoicing.issuing import issue
from billing.invoicing.movements import history_of
from billing.metering.corrections import void_event
from billing.metering.ingestion import ingest
from billing.models import Invoice
from catalog.money import exact_sum
from contracts import lifecycle
from contracts.drafts import GrantDraft
from contracts.models import Contract
from revops.reconciliation.documents import prove_documents
from tests.billing.invoicing.conftest import BASE, START, TOKENS, Shop, instant

pytestmark = [pytest.mark.sql, pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])]

BEGINNING = instant("2026-01-01")
kinds = st.sampled_from(["prepaid", "promotional"])
scopes = st.sampled_from([(), ("tokens",), ("base",)])
steps = st.one_of(
    st.tuples(st.just("send"), st.integers(0, 89), st.integers(1, 20_000)),
    st.tuples(st.just("send"), st.integers(0, 89), st.integers(1, 20_000)),
    st.tuples(st.just("void_event"), st.integers(0, 9)),
    st.tuples(st.just("run"), st.integers(0, 40)),
    st.tuples(st.just("run"), st.integers(0, 40)),
    st.tuples(st.just("issue"), st.integers(0, 9)),
    st.tuples(st.just("discard"), st.integers(0, 9)),
    st.tuples(st.just("void_invoice"), st.integers(0, 9)),
    st.tuples(st.just("grant"), kinds, st.integers(1, 400), st.integers(0, 2), st.integers(0, 80), scopes),
    st.tuples(st.just("grant"), kinds, st.integers(1, 400), st.integers(0, 2), st.integers(0, 80), scopes),
    st.tuples(st.just("withdraw"), st.integers(0, 9)),
)
numbers = count(1)


@dataclass
class Story:
    """A contract of 99.00 a month ahead and 0.01 a token, and what is done to it."""

    contract: Contract
    now: dt.datetime = BEGINNING
    sent: list[str] = field(default_factory=list)

    def send(self, days: int, tokens: int) -> None:
        key = self.contract.customer.key
        self.sent.append(f"{key}-{next(numbers)}")
        time = (BEGINNING + dt.timedelta(days=days)).isoformat()
        record = {"specversion": "1.0", "source": "gw", "type": "llm.request", "subject": key}
        record |= {"id": self.sent[-1], "time": time, "data": {"tokens": tokens}}
        assert ingest(json.dumps(record).encode(), at=instant("2026-06-01"), door="test").accepted == 1

    def void_event(self, place: int) -> None:
        if place < len(self.sent):
            void_event("gw", self.sent.pop(place), reason="test", at=self.now)

    def run(self, days: int) -> None:
        """Go on some days and bill; a dry run before draws what the run draws."""
        self.now += dt.timedelta(days=days)
        dry, real = (
            bill_run.run(self.now, customers=[self.contract.customer.key], dry_run=dry) for dry in (True, False)
        )
        assert real.failures == []
        if not self.contract.seller.review_drafts:
            shown = [[(one["total"], one["credits"]) for one in result.invoices] for result in (dry, real)]
            assert shown[0] == shown[1]

    def issue(self, place: int) -> None:
        drafts = list(self.contract.invoices.filter(status="draft").order_by("pk"))
        if drafts:
            issue(drafts[place % len(drafts)], at=self.now)

    def discard(self, place: int) -> None:
        """The latest, which no other corrects."""
        draft = self.contract.invoices.filter(status="draft").order_by("-pk").first()
        if draft is not None:
            discard_draft(draft, at=self.now)

    def void_invoice(self, place: int) -> None:
        issued = list(self.contract.invoices.filter(status="issued").order_by("pk"))
        if issued:
            try:
                void_invoice(issued[place % len(issued)], reason="test", at=self.now)
            except UnableToVoid as unable:
                assert "was spent on" in str(unable)

    def grant(self, kind: str, amount: int, priority: int, days: int, scope: tuple[str, ...]) -> None:
        expires_on = self.now.date() + dt.timedelta(days=days) if days else None
        draft = GrantDraft(kind, Decimal(amount), START, expires_on, priority, scope)
        lifecycle.grant_credit(self.contract, draft, at=self.now)

    def withdraw(self, place: int) -> None:
        """Take a grant out of the contract: what is spent of it stays spent, or (promotional) is charged again."""
        rows = list(self.contract.credits.in_force())
        if rows:
            gone = rows[place % len(rows)]
            kept = [GrantDraft.of(row) for row in rows if row != gone]
            lifecycle.amend(self.contract, credits=kept, at=self.now)

    def balances(self) -> None:
        for row in grants().filter(contract=self.contract):
            one = balance_of(row, self.now)
            parts = (one.drawn, one.left, one.expired, one.withdrawn)
            assert exact_sum(parts) == row.amount, one
            assert min(parts) >= 0, one
            told = history_of(row, self.now)
            assert exact_sum(movement.amount for movement in told) == one.left == told[-1].left
        for invoice in self.contract.invoices.exclude(status="draft"):
            assert invoice.amount_due == max(invoice.total, Decimal(0)) - invoice.credited >= 0


@pytest.fixture
def shop(transactional_db: None) -> Shop:
    shop = Shop()
    shop.vat()
    return shop


@pytest.mark.parametrize("held", [False, True], ids=["issued at once", "held for review"])
def test_what_is_drawn_left_and_expired_is_what_was_granted(shop: Shop, held: bool) -> None:
    shop.seller.review_drafts = held
    shop.seller.save()
    version = shop.version(BASE, TOKENS)

    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(steps, min_size=5, max_size=25))
    def tell(chosen: list[tuple[str, ...]]) -> None:
        customer = shop.customer(f"c{next(numbers)}")
        story = Story(shop.sign(customer, version, ends_on=dt.date(2026, 4, 1)))
        for step, *arguments in [("grant", "prepaid", 150, 1, 60, ()), *chosen]:
            getattr(story, step)(*arguments)
            story.balances()
        story.run(200)
        story.balances()
        assert prove_documents().leaks == []

    tell()
    assert Invoice.objects.filter(credits__isnull=False).exists() or held
