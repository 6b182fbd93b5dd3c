"""Starting points of tests: what somebody would have entered by hand before anything happened.

What the product itself makes (an issued invoice, an accepted event) is made in tests by the operation that makes it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

import factory
import msgspec
from factory.django import DjangoModelFactory

from billing.models import Source
from catalog.models import Meter, Seller
from contracts.models import Contract, ContractStatus, Customer, CustomerAlias

_encode = msgspec.json.Encoder(decimal_format="number").encode


class SellerFactory(DjangoModelFactory[Seller]):
    class Meta:
        model = Seller
        django_get_or_create = ("key",)

    key = "main"
    name = "Watertight Inc"


class SourceFactory(DjangoModelFactory[Source]):
    class Meta:
        model = Source
        django_get_or_create = ("key",)

    key = "gw"


class MeterFactory(DjangoModelFactory[Meter]):
    """Sums `data.tokens` of `llm.request`."""

    class Meta:
        model = Meter

    key = factory.Sequence(lambda number: f"meter-{number}")
    event_type = "llm.request"
    aggregation = "sum"
    value = factory.LazyAttribute(lambda meter: "" if meter.aggregation == "count" else "tokens")


class CustomerFactory(DjangoModelFactory[Customer]):
    """`subjects`: other names under which its events arrive."""

    class Meta:
        model = Customer
        skip_postgeneration_save = True

    key = factory.Sequence(lambda number: f"customer-{number}")
    name = factory.LazyAttribute(lambda customer: customer.key.title())

    @factory.post_generation
    def subjects(customer: Customer, create: bool, given: Iterable[str] | None, **_: Any) -> None:
        for subject in given or ():
            CustomerAlias.objects.create(customer=customer, subject=subject)


class ContractFactory(DjangoModelFactory[Contract]):
    """An approved agreement without lines: enough for events to be accepted, not to be billed."""

    class Meta:
        model = Contract

    number = factory.Sequence(lambda number: f"C-{number}")
    customer = factory.SubFactory(CustomerFactory)
    seller = factory.SubFactory(SellerFactory)
    status = ContractStatus.APPROVED
    currency = "USD"
    starts_on = dt.date(2026, 1, 1)


def event(id: str, tokens: Any = 1, **attributes: Any) -> dict[str, Any]:
    """An event of acme's that used some tokens on 20 January 2026 at 10:00 UTC; None leaves an attribute out."""
    said = {
        "specversion": "1.0",
        "id": id,
        "source": "gw",
        "type": "llm.request",
        "subject": "acme",
        "time": "2026-01-20T10:00:00Z",
        "data": {"tokens": tokens},
        **attributes,
    }
    return {name: value for name, value in said.items() if value is not None}


def body(*events: dict[str, Any] | bytes) -> bytes:
    """A batch of events as the body of a request; bytes go in as they are."""
    return b"[" + b",".join([one if isinstance(one, bytes) else _encode(one) for one in events]) + b"]"
