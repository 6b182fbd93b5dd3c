"""Every list of the console: it opens, and asks as many questions for 30 rows as for 3."""

from __future__ import annotations

import csv
import datetime as dt
import io
import uuid
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connections, models
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing.models import (
    AllowanceMark,
    BillRun,
    BillRunFault,
    Bucket,
    Correction,
    CreditUse,
    Delivery,
    DeliveryAttempt,
    DistinctValue,
    Document,
    Estimate,
    Event,
    HeldRecord,
    Invoice,
    InvoiceLine,
    LineKind,
    Notice,
    NumberSeries,
    OriginalEvent,
    PeriodClose,
    Proposal,
    ProposedRecord,
    Purpose,
    Receipt,
    ReceiptCount,
    Register,
    Sighting,
    Source,
    SourceRule,
    UsageClock,
    WebhookEndpoint,
)
from catalog.auditing import facts
from catalog.entitlements import Entitlement
from catalog.models import Feature, Meter, Plan, PlanVersion, Price, PriceKind, PriceModel, PriceTier, Seller, TaxRate
from contracts.models import (
    AllowanceTerm,
    Commitment,
    Contact,
    Contract,
    ContractLine,
    CreditGrant,
    Customer,
    CustomerAlias,
    Discount,
    DiscountKind,
    OneTimeTerm,
    PriceOverride,
)
from revops.models import ApiKey, Deed

pytestmark = pytest.mark.django_db(databases=["default", "quarantine"])

OURS = ("catalog", "contracts", "billing", "quarantine", "revops")
AT = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
DAY = dt.date(2026, 3, 1)
MEMBERS = [model for model in admin.site._registry if model._meta.app_label in OURS]


def make(model: type[models.Model], rows: Iterable[models.Model]) -> list[Any]:
    return list(model._default_manager.bulk_create(rows))


def world(numbers: range) -> None:
    """For each number a row of everything, each with parents of its own."""
    sellers = make(Seller, [Seller(key=f"s{n}", name=f"Seller {n}") for n in numbers])
    make(TaxRate, [TaxRate(code=f"t{n}", percent=n, country=f"{n:02d}") for n in numbers])
    features = make(Feature, [Feature(key=f"f{n}", name=f"Feature {n}") for n in numbers])
    meters = make(Meter, [Meter(key=f"m{n}", event_type="e", aggregation="count") for n in numbers])
    plans = make(Plan, [Plan(key=f"p{n}", name=f"Plan {n}") for n in numbers])
    versions = make(PlanVersion, [PlanVersion(plan=plan, number=1, currency="EUR") for plan in plans])
    usage = {"kind": PriceKind.USAGE, "model": PriceModel.GRADUATED, "key": "use"}
    priced = zip(versions, meters, strict=True)
    prices = make(Price, [Price(version=version, meter=meter, **usage) for version, meter in priced])
    make(PriceTier, [PriceTier(price=price, position=0, unit_amount=Decimal("0.01")) for price in prices])
    given = zip(versions, features, strict=True)
    make(Entitlement, [Entitlement(version=version, feature=one, kind="boolean") for version, one in given])
    customers = make(Customer, [Customer(key=f"c{n}", name=f"Customer {n}") for n in numbers])
    make(CustomerAlias, [CustomerAlias(customer=one, subject=f"alias-{one.key}") for one in customers])
    make(Contact, [Contact(customer=one, email=f"{one.key}@example.com") for one in customers])
    agreed = zip(customers, sellers, strict=True)
    contracts = make(
        Contract,
        [
            Contract(number=f"A-{one.key}", customer=one, seller=seller, currency="EUR", starts_on=DAY)
            for one, seller in agreed
        ],
    )
    lined = zip(contracts, versions, strict=True)
    make(ContractLine, [ContractLine(contract=one, plan_version=v, key="x", starts_on=DAY) for one, v in lined])
    amount = {"kind": DiscountKind.AMOUNT, "value": 5, "starts_on": DAY, "key": "d"}
    make(Discount, [Discount(contract=one, **amount) for one in contracts])
    granted = {"kind": "prepaid", "amount": 5, "starts_on": DAY, "key": "g"}
    make(CreditGrant, [CreditGrant(contract=one, **granted) for one in contracts])
    dated = {"starts_on": DAY, "key": "k"}
    make(Commitment, [Commitment(contract=one, kind="minimum", amount=9, **dated) for one in contracts])
    said = {"line": "x", "price": "use", "terms": {"unit_amount": "1"}, "starts_on": DAY}
    make(PriceOverride, [PriceOverride(contract=one, **said) for one in contracts])
    make(OneTimeTerm, [OneTimeTerm(contract=one, key="o", description="Once", amount=1, on=DAY) for one in contracts])
    make(AllowanceTerm, [AllowanceTerm(contract=one, key="e", feature="f", starts_on=DAY) for one in contracts])
    told(contracts)
    documents(contracts)
    use(customers, meters, numbers)
    held(numbers)
    sources = make(Source, [Source(key=f"gw{n}") for n in numbers])
    make(SourceRule, [SourceRule(source=one, position=1, kind="trim", field="subject") for one in sources])
    keys = make(
        ApiKey,
        [ApiKey(name=f"Key {one.key}", secret_hash=one.key, source=one, created_at=AT) for one in sources],
    )
    make(Deed, [Deed(api_key=key, idempotency_key="k", digest="d", begun_at=AT) for key in keys])


def told(contracts: list[Contract]) -> None:
    period = {"period_starts_at": AT, "period_ends_at": AT + dt.timedelta(days=31)}
    said = {"feature": "f", "threshold": 90, "used": 9, "limit": 10, "on_limit": "bill", "at": AT}
    notices = make(Notice, [Notice(contract=one, **said, **period) for one in contracts])
    endpoints = make(WebhookEndpoint, [WebhookEndpoint(name=one.number, url="https://x.example") for one in contracts])
    sent = [
        Delivery(notice=notice, channel="webhook", endpoint=endpoint, next_attempt_at=AT)
        for notice, endpoint in zip(notices, endpoints, strict=True)
    ]
    make(DeliveryAttempt, [DeliveryAttempt(delivery=one, number=1, started_at=AT) for one in make(Delivery, sent)])
    marks = [
        AllowanceMark(customer_id=one.customer_id, clock=1, terms=1, looked_at=AT, fullest=95) for one in contracts
    ]
    make(AllowanceMark, marks)


def documents(contracts: list[Contract]) -> None:
    def document(contract: Contract, kind: str, total: int) -> Invoice:
        return Invoice(
            document=kind,
            purpose=Purpose.CLOSE,
            contract=contract,
            customer=contract.customer,
            seller=contract.seller,
            currency="EUR",
            period_starts_at=AT,
            period_ends_at=AT + dt.timedelta(days=31),
            period_start=DAY,
            period_end=DAY + dt.timedelta(days=31),
            drafted_at=AT,
            seller_details={},
            customer_details={},
            subtotal=total,
            total=total,
        )

    invoices = make(Invoice, [document(one, Document.INVOICE, 10) for one in contracts])
    notes = make(Invoice, [document(one, Document.CREDIT_NOTE, -10) for one in contracts])
    pairs = list(zip(notes, invoices, strict=True))
    make(CreditUse, [CreditUse(credit_note=note, invoice=one, amount=1, used_at=AT) for note, one in pairs])
    spent = {"grant_key": "g", "amount": 2, "used_at": AT}
    make(CreditUse, [CreditUse(contract=one.contract, invoice=one, **spent) for one in invoices])

    def line(invoice: Invoice, position: int, corrects: InvoiceLine | None = None) -> InvoiceLine:
        return InvoiceLine(
            invoice=invoice,
            position=position,
            kind=LineKind.ADJUSTMENT if corrects else LineKind.USAGE,
            contract=invoice.contract,
            period_starts_at=AT,
            entry_key="k",
            entry_kind=LineKind.USAGE,
            tax_key="k",
            term="p@1",
            description="Use",
            quantity=1,
            amount=10,
            service_starts_at=AT,
            service_ends_at=AT + dt.timedelta(days=31),
            service_start=DAY,
            service_end=DAY + dt.timedelta(days=31),
            corrects=corrects,
        )

    lines = make(InvoiceLine, [line(one, 1) for one in invoices])
    make(InvoiceLine, [line(note, 1, corrected) for note, corrected in zip(notes, lines, strict=True)])
    closes = [
        PeriodClose(
            contract=one.contract,
            customer_id=one.customer_id,
            starts_at=AT,
            ends_at=AT + dt.timedelta(days=31),
            closed_at=AT,
            clock=1,
            revision=0,
            invoice=one,
        )
        for one in invoices
    ]
    make(PeriodClose, closes)
    make(NumberSeries, [NumberSeries(seller=one.seller, document="invoice", prefix=one.number) for one in contracts])
    runs = make(BillRun, [BillRun(at=AT) for _ in contracts])
    make(
        BillRunFault, [BillRunFault(run=run, contract=one, error="?") for run, one in zip(runs, contracts, strict=True)]
    )


def use(customers: list[Customer], meters: list[Meter], numbers: range) -> None:
    counts = {"received": 1, "accepted": 1, "duplicates": 0, "quarantined": 0}
    receipts = make(Receipt, [Receipt(id=uuid.UUID(int=n), received_at=AT, door="api", **counts) for n in numbers])
    make(ReceiptCount, [ReceiptCount(receipt=one, source="gw", **counts) for one in receipts])
    make(UsageClock, [UsageClock(customer_id=one.pk, clock=1) for one in customers])
    keys = [uuid.UUID(int=n) for n in numbers]
    pairs = list(zip(keys, customers, strict=True))
    make(Register, [Register(key=key, digest=key, customer_id=one.pk, occurred_at=AT) for key, one in pairs])
    corrections = [
        Correction(
            key=key,
            position=1,
            kind="void",
            customer_id=one.pk,
            occurred_at=AT,
            source_id=1,
            event_id="e",
            clock=1,
            meters=[],
            reason="?",
            made_at=AT,
        )
        for key, one in pairs
    ]
    make(Correction, corrections)


def held(numbers: range) -> None:
    records = make(
        HeldRecord,
        [
            HeldRecord(
                source="gw",
                event_id=f"e{n}",
                digest=uuid.UUID(int=n),
                reason="malformed",
                raw=b"{",
                receipt=uuid.UUID(int=n),
                held_at=AT,
            )
            for n in numbers
        ],
    )
    make(Sighting, [Sighting(record=one, receipt=one.receipt, index=0, seen_at=AT) for one in records])
    make(Estimate, [Estimate(record=one, amount=1, currency="EUR", estimated_at=AT) for one in records])
    signed = {"kind": "discard", "reason": "?", "proposed_by": "user:1", "proposed_at": AT}
    proposals = make(Proposal, [Proposal(**signed) for _ in records])
    proposed = zip(proposals, records, strict=True)
    make(ProposedRecord, [ProposedRecord(proposal=proposal, record=record) for proposal, record in proposed])


@pytest.fixture
def office(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("boss"))
    return client


def questions(client: Client, address: str) -> int:
    with (
        CaptureQueriesContext(connections["default"]) as main,
        CaptureQueriesContext(connections["quarantine"]) as side,
    ):
        answer = client.get(address)
    assert answer.status_code == 200
    return len(main) + len(side)


def exported(client: Client, address: str) -> tuple[int, list[list[str]]]:
    """How many questions a download asks, and its lines."""
    with (
        CaptureQueriesContext(connections["default"]) as main,
        CaptureQueriesContext(connections["quarantine"]) as side,
    ):
        answer = client.get(address)
        assert answer.status_code == 200
        text = b"".join(answer.streaming_content).decode("utf-8-sig")  # type: ignore[attr-defined]
    return len(main) + len(side), list(csv.reader(io.StringIO(text, newline="")))


def request_of(client: Client) -> Any:
    return client.get("/admin/").wsgi_request


@pytest.mark.parametrize("model", MEMBERS, ids=lambda model: model._meta.label)
def test_a_list_costs_the_same_queries_for_3_and_for_30_rows(model: type[models.Model], office: Client) -> None:
    address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    world(range(3))
    office.get(address)
    few = questions(office, address)
    world(range(3, 30))
    assert questions(office, address) == few
    assert model._default_manager.count() >= 30


@pytest.mark.parametrize("model", MEMBERS, ids=lambda model: model._meta.label)
def test_a_list_is_exported_whole_with_the_same_queries_for_3_and_for_30_rows(
    model: type[models.Model], office: Client
) -> None:
    address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_export")
    world(range(3))
    exported(office, address)
    few, _ = exported(office, address)
    world(range(3, 30))
    many, rows = exported(office, address)
    assert many == few
    assert len(rows) == 1 + admin.site._registry[model].get_queryset(request_of(office)).count()


@pytest.mark.parametrize("model", MEMBERS, ids=lambda model: model._meta.label)
def test_a_list_can_be_searched_and_a_row_opened(model: type[models.Model], office: Client) -> None:
    world(range(2))
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    assert office.get(reverse(f"{name}_changelist"), {"q": "no such thing"}).status_code == 200
    row = model._default_manager.first()
    assert row is not None
    assert office.get(reverse(f"{name}_change", args=[row.pk])).status_code == 200
    assert office.get(reverse(f"{name}_history", args=[row.pk])).status_code == 200


def test_every_model_has_a_desk_or_a_place_on_one() -> None:
    """Events and buckets have composite keys: they are read on the pages of their customer and invoice line."""
    elsewhere = {Event, Bucket, DistinctValue, OriginalEvent}
    placed = {inline.model for desk in admin.site._registry.values() for inline in desk.inlines}
    seen = {*admin.site._registry, *placed}
    missing = [model for model in apps.get_models() if model._meta.app_label in OURS and model not in seen]
    assert {model for model in missing if not model.__name__.startswith("Historical")} == elsewhere


@pytest.mark.parametrize("model", list(facts()), ids=lambda model: model._meta.label)
def test_facts_cannot_be_added_changed_or_deleted(model: type[models.Model], rf: Any) -> None:
    if model in (Event, Bucket, DistinctValue, OriginalEvent):
        assert model not in admin.site._registry
        return
    request = rf.get("/")
    request.user = User.objects.create_superuser("boss")
    desk = admin.site._registry[model]
    allowed = (
        desk.has_add_permission(request),
        desk.has_change_permission(request),
        desk.has_delete_permission(request),
        "delete_selected" in desk.get_actions(request),
    )
    assert allowed == (False, False, False, False)


def test_the_index_is_in_the_order_of_the_work(office: Client) -> None:
    groups = [group["name"] for group in office.get("/admin/").context["app_list"]]
    assert groups == ["Quarantine", "Customers", "Contracts", "Catalog", "Usage", "Invoices", "Settings"]
