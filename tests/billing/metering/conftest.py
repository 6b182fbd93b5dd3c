from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import UUID

import pytest
from django.db.models import Count

from billing.metering.ingestion import ReceiptResult, ingest
from billing.models import HeldRecord, HeldStatus, Sighting, Source
from catalog.models import Meter
from contracts.models import Customer
from tests.factories import ContractFactory, CustomerFactory, MeterFactory, SourceFactory, body

AT = dt.datetime(2026, 1, 20, 12, tzinfo=dt.UTC)


def send(*events: dict[str, Any] | bytes, at: dt.datetime = AT, bound_source: str | None = None) -> ReceiptResult:
    return ingest(body(*events), at=at, door="api", bound_source=bound_source)


def open_by_reason() -> dict[str, int]:
    """How many records wait for review, per reason."""
    counted = HeldRecord.objects.filter(status=HeldStatus.OPEN).values_list("reason").annotate(Count("id"))
    return dict(counted.order_by("reason"))


def sightings_by_receipt() -> dict[UUID, int]:
    """How many sightings each receipt has in the quarantine."""
    return dict(Sighting.objects.values_list("receipt").annotate(Count("id")).order_by())


def statuses(result: ReceiptResult) -> list[str]:
    return [one.reason or one.status for one in result.results]


@pytest.fixture
def source() -> Source:
    return SourceFactory.create()


@pytest.fixture
def meter() -> Meter:
    return MeterFactory.create(key="tokens", group_by=["model"])


@pytest.fixture
def acme(source: Source, meter: Meter) -> Customer:
    """A customer with a contract, in a world with one source and one meter."""
    return ContractFactory.create(customer=CustomerFactory.create(key="acme", subjects=["acme-eu"])).customer
