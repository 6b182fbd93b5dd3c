"""Whatever happens in whatever order, what is billed in the end is what is due.

Events, repeats, conflicts, corrections, bill runs, voids, earlier ends and backdated ends of a discount, on a real
database; what is due is worked out here, by hand, from the facts that stand at the end.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from itertools import count, pairwise
from zoneinfo import ZoneInfo

import pytest
from django.db.models import Sum
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.invoicing import bill_run
from billing.invoicing.crediting import UnableToVoid, void_invoice
from billing.metering.corrections import amend_event, void_event
from billing.metering.ingestion import ingest
from billing.models import CreditUse, Invoice, InvoiceLine
from catalog.models import PlanVersion
from contracts import lifecycle
from contracts.drafts import DiscountDraft, LineDraft, terms_draft
from contracts.models import Contract, Customer
from tests.billing.invoicing.conftest import BASE, START, TOKENS, Shop, instant

pytestmark = [pytest.mark.sql, pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])]

BERLIN = ZoneInfo("Europe/Berlin")
MONTHS = [dt.date(2026, month, 1) for month in (1, 2, 3, 4)]
LAST = MONTHS[-1]
GRADUATED = dict(
    TOKENS,
    arithmetic={
        "model": "graduated",
        "tiers": [{"up_to": "1000", "unit_amount": "0.013"}, {"up_to": None, "unit_amount": "0.0071"}],
    },
)
SUPPORT = dict(BASE, key="support", billing="in_arrears", arithmetic={"model": "flat", "flat_amount": "49.00"})
BEGINNING = instant("2026-01-01")
RECEIVED = instant("2026-06-01")

days = st.dates(dt.date(2026, 1, 2), LAST)
ids = st.integers(0, 7)
tokens = st.integers(0, 3000)
steps = st.one_of(
    st.tuples(st.just("send"), ids, st.integers(0, 90 * 24 * 60), tokens),
    st.tuples(st.just("send"), ids, st.integers(0, 90 * 24 * 60), tokens),
    st.tuples(st.just("repeat"), ids),
    st.tuples(st.just("void_event"), ids),
    st.tuples(st.just("amend_event"), ids, tokens),
    st.tuples(st.just("run"), st.integers(0, 40)),
    st.tuples(st.just("run"), st.integers(0, 40)),
    st.tuples(st.just("void_invoice"), st.integers(0, 9)),
    st.tuples(st.just("end"), days),
    st.tuples(st.just("end_discount"), days),
)
numbers = count(1)
Due = tuple[Decimal, Decimal, Decimal]


@pytest.fixture
def shop(transactional_db: None) -> Shop:
    shop = Shop()
    shop.vat()
    return shop


def cents(amount: Fraction) -> Decimal:
    exact = Decimal(amount.numerator) / Decimal(amount.denominator)
    return exact.quantize(Decimal("0.01"), ROUND_HALF_UP)


def discount(until: dt.date) -> DiscountDraft:
    return DiscountDraft("percent", Decimal(10), START, until, applies_to=("tokens",))


@dataclass
class Story:
    """A customer with two contracts, and the facts that stand, kept beside the product's own."""

    customer: Customer
    usage: Contract
    now: dt.datetime = BEGINNING
    ends_on: dt.date = LAST
    discounted_until: dt.date = LAST
    sent: dict[str, tuple[dt.datetime, int]] = field(default_factory=dict)
    standing: dict[str, tuple[dt.datetime, int]] = field(default_factory=dict)

    # What happens

    def send(self, id: int, minute: int, tokens: int) -> None:
        """Accepted where the id is new and a contract runs, be it the one for support; else held."""
        time = dt.datetime(2025, 12, 31, 23, 0, tzinfo=dt.UTC) + dt.timedelta(minutes=minute)
        name = self._name(id)
        is_new = name not in self.sent and time.astimezone(BERLIN).date() < LAST
        assert self._deliver(name, time, tokens) == is_new
        if is_new:
            self.sent[name] = self.standing[name] = (time, tokens)

    def repeat(self, id: int) -> None:
        name = self._name(id)
        if name in self.sent:
            assert not self._deliver(name, *self.sent[name])

    def void_event(self, id: int) -> None:
        if self.standing.pop(self._name(id), None):
            void_event("gw", self._name(id), reason="test", at=self.now)

    def amend_event(self, id: int, tokens: int) -> None:
        name = self._name(id)
        if name in self.standing:
            amend_event("gw", name, {"tokens": tokens}, reason="test", at=self.now)
            self.standing[name] = (self.standing[name][0], tokens)

    def run(self, days: int) -> None:
        """Go on some days and bill; a dry run before shows what the run makes."""
        self.now += dt.timedelta(days=days)
        dry = bill_run.run(self.now, customers=[self.customer.key], dry_run=True)
        real = bill_run.run(self.now, customers=[self.customer.key])
        assert real.failures == []
        for shown, made in ((dry.invoices, real.invoices), (dry.credit_notes, real.credit_notes)):
            same = [[(one["total"], one["amount_due"]) for one in documents] for documents in (shown, made)]
            assert same[0] == same[1]

    def void_invoice(self, place: int) -> None:
        issued = list(Invoice.objects.issued().filter(customer=self.customer).order_by("pk"))
        if not issued:
            return
        try:
            void_invoice(issued[place % len(issued)], reason="test", at=self.now)
        except UnableToVoid as unable:
            assert "was spent on" in str(unable)

    def end(self, day: dt.date) -> None:
        if day < self.ends_on:
            lifecycle.end(self.usage, day, at=self.now)
            self.ends_on = day

    def end_discount(self, day: dt.date) -> None:
        lifecycle.amend(self.usage, at=self.now, discounts=[discount(day)])
        self.discounted_until = day

    def _name(self, id: int) -> str:
        return f"{self.customer.key}-{id}"

    def _deliver(self, name: str, time: dt.datetime, tokens: int) -> bool:
        record = {
            "specversion": "1.0",
            "id": name,
            "source": "gw",
            "type": "llm.request",
            "subject": self.customer.key,
            "time": time.isoformat(),
            "data": {"tokens": tokens},
        }
        return ingest(json.dumps(record).encode(), at=RECEIVED, door="test").accepted == 1

    # What is due

    def due(self) -> Due:
        """Net, tax at 19 % and tokens of both contracts, from the facts that stand."""
        net, tax, used = Decimal("147.00"), Decimal("27.93"), 0  # support: three months of 49.00 and 9.31
        for begins, following in pairwise(MONTHS):
            ends = min(following, self.ends_on)
            if begins >= ends:
                break
            base = cents(Fraction(99) * Fraction((ends - begins).days, (following - begins).days))
            tokens = sum(
                tokens for time, tokens in self.standing.values() if begins <= time.astimezone(BERLIN).date() < ends
            )
            charge = cents(min(tokens, 1000) * Fraction("0.013") + max(tokens - 1000, 0) * Fraction("0.0071"))
            discounted = Fraction(max((min(self.discounted_until, ends) - begins).days, 0), (ends - begins).days)
            charge -= cents(Fraction(charge) * discounted / 10)
            net += base + charge
            tax += cents(Fraction(base) * Fraction(19, 100)) + cents(Fraction(charge) * Fraction(19, 100))
            used += tokens
        return net, tax, Decimal(used)

    def billed(self) -> Due:
        """The same, as the lines of standing documents say it."""
        lines = InvoiceLine.objects.filter(invoice__customer=self.customer).exclude(invoice__status="voided")
        sums = lines.aggregate(net=Sum("amount"), tax=Sum("tax_amount"))
        used = lines.filter(price="tokens", entry_kind="usage").aggregate(used=Sum("quantity"))["used"]
        return sums["net"] or Decimal(0), sums["tax"] or Decimal(0), used or Decimal(0)


def begin(shop: Shop, versions: dict[str, PlanVersion]) -> Story:
    """A fresh customer in Berlin with a contract for use and one for support, from January to March."""
    number = next(numbers)
    customer = shop.customer(f"c{number}", timezone="Europe/Berlin")
    signed = {}
    for plan, version in versions.items():
        signed[plan] = Contract(
            number=f"C-{number}-{plan}",
            customer=customer,
            seller=shop.seller,
            currency="EUR",
            starts_on=START,
            ends_on=LAST,
        )
        terms = terms_draft([LineDraft(version, START)], [discount(LAST)] if plan == "pro" else [])
        lifecycle.draft(signed[plan], terms, at=instant("2025-12-02"))
        lifecycle.approve(signed[plan], at=instant("2025-12-02"))
    return Story(customer, signed["pro"])


def test_what_is_billed_in_the_end_is_what_is_due(shop: Shop) -> None:
    versions = {"pro": shop.version(BASE, GRADUATED), "support": shop.version(SUPPORT, plan="support")}

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(steps, min_size=5, max_size=30))
    def tell(chosen: list[tuple[str, ...]]) -> None:
        story = begin(shop, versions)
        for step, *arguments in chosen:
            getattr(story, step)(*arguments)
        story.run(300)
        assert story.billed() == story.due()
        again = bill_run.run(story.now, customers=[story.customer.key])
        assert (again.invoices, again.credit_notes) == ([], [])
        assert_credit_is_spent_once(story.customer)

    tell()


def assert_credit_is_spent_once(customer: Customer) -> None:
    for note in Invoice.objects.credit_notes().issued().filter(customer=customer):
        spent = CreditUse.objects.standing().filter(credit_note=note).aggregate(spent=Sum("amount"))["spent"]
        assert (spent or 0) <= -note.total
