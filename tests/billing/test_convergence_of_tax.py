"""Whatever happens in whatever order, the tax that is billed in the end is the tax that is due.

Two taxes that add up, one of which changes in March; prices without and with tax; a customer who becomes exempt and
stops being it; each way of rounding. What is due is worked out here, by hand, from the facts that stand at the end: a
period is exempt where the customer was when it was closed for the last time.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from itertools import count, pairwise
from typing import Any

import pytest
from django.db.models import Sum
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.invoicing import bill_run
from billing.invoicing.crediting import UnableToVoid, void_invoice
from billing.metering.corrections import amend_event, void_event
from billing.metering.ingestion import ingest
from billing.models import Invoice, InvoiceLine, PeriodClose
from catalog.models import Plan, PlanVersion, TaxRate
from catalog.publishing import PriceDraft, draft_version, publish
from contracts import lifecycle
from contracts.drafts import DiscountDraft, LineDraft, terms_draft
from contracts.models import Contract, Customer
from revops.reconciliation import books
from tests.billing.invoicing.conftest import BASE, START, TOKENS, Shop, instant

pytestmark = [pytest.mark.sql, pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])]

MONTHS = [dt.date(2026, month, 1) for month in (1, 2, 3, 4)]
DEAR = dict(BASE, arithmetic={"model": "flat", "flat_amount": "33.33"})
CALLS = dict(TOKENS, arithmetic={"model": "per_unit", "unit_amount": "0.013"})
RECEIVED = instant("2026-06-01")
QST = Fraction("0.09975")
GST = {1: Fraction("0.05"), 2: Fraction("0.05"), 3: Fraction("0.06")}

ids = st.integers(0, 5)
tokens = st.integers(0, 999)
steps = st.one_of(
    st.tuples(st.just("send"), ids, st.integers(0, 89), tokens),
    st.tuples(st.just("send"), ids, st.integers(0, 89), tokens),
    st.tuples(st.just("void_event"), ids),
    st.tuples(st.just("amend_event"), ids, tokens),
    st.tuples(st.just("run"), st.integers(0, 40)),
    st.tuples(st.just("run"), st.integers(0, 40)),
    st.tuples(st.just("void_invoice"), st.integers(0, 9)),
    st.tuples(st.just("exempt")),
)
numbers = count(1)


@pytest.fixture
def shop(transactional_db: None) -> Shop:
    shop = Shop()
    TaxRate.objects.create(code="gst-5", percent=Decimal(5), country="DE", tax="gst")
    TaxRate.objects.create(
        code="gst-6", percent=Decimal(6), country="DE", tax="gst", effective_from=dt.date(2026, 3, 15)
    )
    TaxRate.objects.create(code="qst", percent=Decimal("9.975"), country="DE", tax="qst")
    return shop


def cents(amount: Fraction) -> Decimal:
    exact = Decimal(amount.numerator) / Decimal(amount.denominator)
    return exact.quantize(Decimal("0.01"), ROUND_HALF_UP)


@dataclass
class Story:
    """A customer with a contract over three months, and the facts that stand, kept beside the product's own."""

    customer: Customer
    with_tax: bool
    rounding: str
    now: dt.datetime = field(default_factory=lambda: instant("2026-01-01"))
    standing: dict[str, tuple[int, int]] = field(default_factory=dict)
    sent: set[str] = field(default_factory=set)
    closed: dict[dt.date, bool] = field(default_factory=dict)
    """The months that are closed, and whether they were exempt then."""

    def send(self, id: int, day: int, tokens: int) -> None:
        name = f"{self.customer.key}-{id}"
        if name in self.sent:
            return
        time = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC) + dt.timedelta(days=day)
        record = {
            "specversion": "1.0",
            "id": name,
            "source": "gw",
            "type": "llm.request",
            "subject": self.customer.key,
            "time": time.isoformat(),
            "data": {"tokens": tokens},
        }
        assert ingest(json.dumps(record).encode(), at=RECEIVED, door="test").accepted == 1
        self.sent.add(name)
        self.standing[name] = (time.month, tokens)

    def void_event(self, id: int) -> None:
        if self.standing.pop(f"{self.customer.key}-{id}", None):
            void_event("gw", f"{self.customer.key}-{id}", reason="test", at=self.now)

    def amend_event(self, id: int, tokens: int) -> None:
        name = f"{self.customer.key}-{id}"
        if name in self.standing:
            amend_event("gw", name, {"tokens": tokens}, reason="test", at=self.now)
            self.standing[name] = (self.standing[name][0], tokens)

    def run(self, days: int) -> None:
        self.now += dt.timedelta(days=days)
        assert bill_run.run(self.now, customers=[self.customer.key]).failures == []
        for month, following in pairwise(MONTHS):
            if self.now >= instant(f"{following}") + dt.timedelta(hours=24):
                self.closed.setdefault(month, self.customer.tax_exempt)

    def void_invoice(self, place: int) -> None:
        issued = list(Invoice.objects.issued().filter(customer=self.customer).order_by("pk"))
        if not issued:
            return
        chosen = issued[place % len(issued)]
        opened = [row.starts_at.date() for row in PeriodClose.objects.standing().filter(invoice=chosen)]
        try:
            void_invoice(chosen, reason="test", at=self.now)
        except UnableToVoid as unable:
            assert "was spent on" in str(unable)
        else:
            self.closed = {month: exempt for month, exempt in self.closed.items() if month not in opened}

    def exempt(self) -> None:
        self.customer.tax_exempt = not self.customer.tax_exempt
        self.customer.tax_exempt_reason = "charity"
        self.customer.save()

    # What is due

    def due(self) -> tuple[Decimal, Decimal]:
        """Net and tax, from the facts that stand."""
        net = tax = Decimal(0)
        for month in MONTHS[:-1]:
            used = sum(tokens for of, tokens in self.standing.values() if of == month.month)
            charge = cents(used * Fraction("0.013"))
            quoted = [Fraction("33.33"), Fraction(charge - cents(Fraction(charge) / 10))]
            rates = [GST[month.month], QST]
            whole = 1 + sum(rates) if self.with_tax else Fraction(1)
            taxes = [[amount * rate / whole for rate in rates] for amount in quoted]
            by_line = sum((cents(Fraction(sum(each))) for each in taxes), Decimal(0))
            by_rate = sum((cents(one) for each in taxes for one in each), Decimal(0))
            by_invoice = cents(Fraction(sum(one for each in taxes for one in each)))
            exempt = self.closed[month]
            drop = by_rate if self.rounding == "rate" else by_line
            due = {"line": by_line, "rate": by_rate, "invoice": by_invoice}[self.rounding]
            tax += Decimal(0) if exempt else due
            total = cents(Fraction(sum(quoted)))
            net += total - (drop if exempt else due) if self.with_tax else total
        return net, tax

    def lines(self) -> Any:
        return InvoiceLine.objects.filter(invoice__customer=self.customer).exclude(invoice__status="voided")

    def billed(self) -> tuple[Decimal, Decimal]:
        """The same, as the lines of standing documents say it."""
        sums = self.lines().aggregate(net=Sum("amount"), tax=Sum("tax_amount"))
        return sums["net"] or Decimal(0), sums["tax"] or Decimal(0)

    def bases(self) -> dict[str, Decimal]:
        """What the lines say each rate is on."""
        found: dict[str, Decimal] = {}
        for taxes in self.lines().values_list("taxes", flat=True):
            for tax in taxes:
                found[tax["code"]] = found.get(tax["code"], Decimal(0)) + Decimal(tax["base"])
        return found


def version(tax_behavior: str) -> PlanVersion:
    plan = Plan.objects.create(key=tax_behavior, name=tax_behavior)
    prices = [PriceDraft(**price) for price in (DEAR, CALLS)]
    at = instant("2025-12-01")
    return publish(draft_version(plan, currency="EUR", prices=prices, tax_behavior=tax_behavior, at=at), at=at)


def begin(shop: Shop, version: PlanVersion, rounding: str) -> Story:
    customer = shop.customer(f"t{next(numbers)}")
    contract = Contract(
        number=f"C-{customer.key}",
        customer=customer,
        seller=shop.seller,
        currency="EUR",
        starts_on=START,
        ends_on=MONTHS[-1],
    )
    off = DiscountDraft("percent", Decimal(10), START, None, applies_to=("tokens",))
    lifecycle.draft(contract, terms_draft([LineDraft(version, START)], [off]), at=instant("2025-12-02"))
    lifecycle.approve(contract, at=instant("2025-12-02"))
    return Story(customer, version.tax_behavior == "inclusive", rounding)


@pytest.mark.parametrize("rounding", ["line", "rate", "invoice"])
def test_the_tax_that_is_billed_in_the_end_is_what_is_due(shop: Shop, rounding: str) -> None:
    shop.seller.tax_rounding = rounding
    shop.seller.save()
    versions = {behavior: version(behavior) for behavior in ("exclusive", "inclusive")}

    @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(sorted(versions)), st.lists(steps, min_size=5, max_size=20))
    def tell(behavior: str, chosen: list[tuple[Any, ...]]) -> None:
        story = begin(shop, versions[behavior], rounding)
        for step, *arguments in chosen:
            getattr(story, step)(*arguments)
        story.run(300)
        assert story.billed() == story.due()
        again = bill_run.run(story.now, customers=[story.customer.key])
        assert (again.invoices, again.credit_notes) == ([], [])
        # Every amount is under gst of one kind, and under qst, or exempt
        bases, net = story.bases(), story.billed()[0]
        exempt = bases.get("exempt", Decimal(0))
        assert bases.get("gst-5", 0) + bases.get("gst-6", 0) == bases.get("qst", 0) == net - exempt

    tell()
    report = books.check(instant("2027-06-01"))
    assert report.ok, report.as_text()
