"""The gateway log with 1,750 unknown clients, worked off: the ten largest assigned, crawlers discarded by rule."""

from __future__ import annotations

import datetime as dt
import logging
from collections import Counter
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from time import perf_counter

import pytest

from billing.invoicing import bill_run
from billing.metering.formats import Layout
from billing.metering.importing import ImportReceipt, import_file
from billing.models import Event, HeldRecord, InvoiceLine, Source
from billing.review.alike import Asked, groups, totals_by_reason
from billing.review.at_risk import refresh_estimates
from billing.review.choosing import Groups, Match, Matching
from billing.review.proposals import approve, propose
from catalog.models import Meter, Plan, PriceKind, Seller
from catalog.publishing import PriceDraft, draft_version, publish
from contracts.models import Customer, CustomerAlias
from revops.reconciliation.books import check
from tests.billing.review.conftest import FINN, RITA, Company, signed

LOG = Path("/work/shared/data/gateway_access.log")
pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "quarantine"]),
    pytest.mark.skipif(not LOG.exists(), reason="the folder of real usage is not there"),
]
THEN = dt.datetime(2015, 5, 1, tzinfo=dt.UTC)
AT = dt.datetime(2015, 5, 20, 22, tzinfo=dt.UTC)
JUNE_2 = dt.datetime(2015, 6, 2, 1, tzinfo=dt.UTC)
KNOWN = ("66.249.73.135", "46.105.14.53", "130.237.218.86")


@pytest.fixture
def log(transactional_db: None) -> Company:
    """Three known clients; 0.001 a request and 0.00000001 a byte. Calendar months of UTC."""
    seller = Seller.objects.create(key="main", name="Watertight Inc")
    Meter.objects.create(key="requests", event_type="http.request", aggregation="count")
    Meter.objects.create(key="bytes", event_type="http.request", aggregation="sum", value="bytes")
    plan = Plan.objects.create(key="web", name="Web", interval="month")
    prices = [
        PriceDraft("requests", PriceKind.USAGE, {"model": "per_unit", "unit_amount": "0.001"}, meter="requests"),
        PriceDraft("bytes", PriceKind.USAGE, {"model": "per_unit", "unit_amount": "0.00000001"}, meter="bytes"),
    ]
    publish(draft_version(plan, currency="USD", prices=prices, at=THEN), at=THEN)
    company = Company(seller, plan, Customer(), None, Source.objects.create(key="gateway"))  # type: ignore[arg-type]
    for number, client in enumerate(KNOWN):
        customer = Customer.objects.create(key=f"client-{number}", name=f"Client {number}")
        CustomerAlias.objects.create(customer=customer, subject=client)
        signed(f"C-{number}", customer, company, THEN.date())
    total = ImportReceipt()
    with LOG.open("rb") as stream:
        import_file(stream, Layout("clf", "gateway", "http.request"), at=AT, total=total)
    assert (total.accepted, total.quarantined) == (1_203, 8_797)
    return company


def lap(what: str, began: float) -> None:
    """Figures for whoever runs it with `-o log_cli=true -o log_cli_level=INFO`."""
    logging.getLogger(__name__).info("%s: %.2f s", what, perf_counter() - began)


def test_is_worked_off_in_a_few_steps_and_the_books_are_right(log: Company) -> None:
    began = perf_counter()
    assert refresh_estimates(AT) == 8_797
    lap("estimates", began)

    began = perf_counter()
    page = groups(Asked(reason="unknown_customer"), order="records", limit=10)
    lap("groups", began)
    assert page.total == 1_750
    lines = LOG.read_text().splitlines()
    clients = Counter(line.split()[0] for line in lines)
    largest = [client for client in clients.most_common(13) if client[0] not in KNOWN]
    assert sorted((group.records for group in page.groups), reverse=True) == [n for _, n in largest]
    [total] = totals_by_reason()
    assert (total.reason, total.records, total.sightings, total.unestimated) == ("unknown_customer", 8_797, 8_797, 0)
    # 8,797 requests at 0.001, and their bytes at a hundred millionth.
    sent = sum(
        int(size) if (size := line.split('"')[2].split()[1]) != "-" else 0
        for line in lines
        if line.split()[0] not in KNOWN
    )
    assert round(float(total.at_risk["USD"]), 6) == round(8.797 + sent / 1e8, 6)

    began = perf_counter()
    chosen = Groups(tuple(group.key for group in page.groups))
    assign = {"customer": "client-0"}
    proposal = propose(chosen, "assign_customer", assign, reason="Their proxies", by=RITA, at=AT, keep_as_rule=True)
    done = approve(proposal, by=FINN, at=AT)
    lap(f"assigned {done.released}", began)
    assert (done.released, done.failed) == (sum(n for _, n in largest), 0)
    assert done.proposal.rule == "10 subjects of client-0"

    began = perf_counter()
    crawlers = Match("gateway", field="data.agent", values=("*bot*", "*spider*"), ignores_case=True)
    argument = {"match": {"source": "gateway", "field": "data.agent", "values": ["*bot*", "*spider*"],
                          "ignores_case": True}}  # fmt: skip
    proposal = propose(
        Matching(crawlers), "discard", argument, reason="Crawlers pay nothing", by=RITA, at=AT, keep_as_rule=True
    )
    done = approve(proposal, by=FINN, at=AT)
    lap(f"discarded {done.discarded}", began)
    agents = [(line.split()[0], line.split('"', 5)[5].lower()) for line in lines]
    gone = [client for client, agent in agents if "bot" in agent or "spider" in agent]
    assigned = {client for client, _ in largest}
    assert done.discarded == sum(1 for client in gone if client not in assigned and client not in KNOWN)

    began = perf_counter()
    rest = HeldRecord.objects.filter(status="open").count()
    page = groups(limit=2000)
    proposal = propose(
        Groups(tuple(group.key for group in page.groups)), "assign_customer", {"customer": "client-1"},
        reason="All others", by=RITA, at=AT,
    )  # fmt: skip
    done = approve(proposal, by=FINN, at=AT)
    lap(f"assigned the other {done.released}", began)
    assert (done.released, done.failed) == (rest, 0)
    assert not HeldRecord.objects.filter(status="open").exists()
    assert Event.objects.count() == 1_203 + done.released + sum(n for _, n in largest)

    bill_run.run(JUNE_2)
    billed = {line.invoice.customer.key: {} for line in InvoiceLine.objects.select_related("invoice__customer")}
    for line in InvoiceLine.objects.filter(price__in=["requests", "bytes"]).select_related("invoice__customer"):
        billed[line.invoice.customer.key][line.price] = line.amount
    assert billed == due(lines, assigned)
    assert check(JUNE_2).leaks == []


def due(lines: list[str], assigned: set[str]) -> dict[str, dict[str, Decimal]]:
    """What May costs each customer, counted from the lines: client-1 pays for all others but crawlers."""
    used: dict[str, list[int]] = {f"client-{n}": [0, 0] for n in range(3)}
    for line in lines:
        client, agent = line.split()[0], line.split('"', 5)[5].lower()
        size = line.split('"')[2].split()[1]
        if client in KNOWN:
            customer = f"client-{KNOWN.index(client)}"
        elif client in assigned:
            customer = "client-0"
        elif "bot" in agent or "spider" in agent:
            continue
        else:
            customer = "client-1"
        used[customer][0] += 1
        used[customer][1] += 0 if size == "-" else int(size)
    return {
        customer: {"requests": cents(Decimal(n) / 1000), "bytes": cents(Decimal(sent) / 10**8)}
        for customer, (n, sent) in used.items()
    }


def cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"), ROUND_HALF_UP)
