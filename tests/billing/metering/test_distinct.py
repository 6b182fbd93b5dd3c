"""Distinct values of buckets: kept as they come, and made again from the events where there were none."""

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.db import connection

from billing import migrations
from billing.metering.corrections import amend_event, void_event
from billing.metering.recount import recount
from billing.metering.usage import Ask, measure
from billing.models import DistinctValue
from catalog.models import Meter
from catalog.periods import Period
from catalog.sql import REVERSE
from contracts.models import Customer
from tests.billing.metering.conftest import AT, send, statuses
from tests.factories import MeterFactory, event

pytestmark = pytest.mark.django_db(databases=["default", "quarantine"])

KEYS = ("customer_id", "meter_id", "starts_at", "group", "digest")
FILL = (Path(migrations.__file__).parent / "sql" / "distinct_values.sql").read_text().partition(REVERSE)[0]
JANUARY = Period(dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.datetime(2026, 2, 1, tzinfo=dt.UTC))


def values_kept() -> set[tuple[Any, ...]]:
    return set(DistinctValue.objects.values_list(*KEYS))


def filled_anew() -> set[tuple[Any, ...]]:
    """What the migration makes of the events there are."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE billing_distinctvalue")
        cursor.execute(FILL)
    return values_kept()


def login(id: str, user: Any, **data: Any) -> dict[str, Any]:
    return event(id, data={"tokens": 1, "user": user, **data})


@pytest.fixture
def users(acme: Customer) -> Meter:
    return MeterFactory.create(key="users", aggregation="unique_count", value="user")


def count(customer: Customer, meter: Meter) -> Decimal:
    ask = Ask(customer.pk, meter.pk, JANUARY)
    return measure([ask])[ask].quantity


def test_a_value_is_kept_once_in_a_bucket_with_the_stamp_that_brought_it(acme: Customer, users: Meter) -> None:
    send(login("e1", "ada"), login("e2", "ada"), login("e3", "bob"))
    send(login("e4", "ada"), login("e5", "eve"))
    assert sorted(DistinctValue.objects.values_list("clock", flat=True)) == [1, 1, 2]
    assert count(acme, users) == 3


def test_the_empty_text_and_a_long_one_are_values(acme: Customer, users: Meter) -> None:
    long = "x" * 100_000
    assert statuses(send(login("e1", ""), login("e2", long), login("e3", long + "y"), login("e4", None))) == [
        "accepted", "accepted", "accepted", "missing_field",
    ]  # fmt: skip
    assert count(acme, users) == 3
    assert list(recount()) == []


def test_a_correction_takes_a_value_back_when_no_other_event_has_it(acme: Customer, users: Meter) -> None:
    send(login("e1", "ada"), login("e2", "ada"), login("e3", "bob"))
    void_event("gw", "e1", reason="test", at=AT)
    assert count(acme, users) == 2
    amend_event("gw", "e2", {"tokens": 1, "user": "bob"}, reason="test", at=AT)
    assert count(acme, users) == 1
    amend_event("gw", "e3", {"tokens": 1, "user": "eve"}, reason="test", at=AT)
    assert count(acme, users) == 2
    assert sorted(DistinctValue.objects.values_list("clock", flat=True)) == [1, 4]  # bob, eve
    for id in ("e2", "e3"):
        void_event("gw", id, reason="test", at=AT)
    assert (count(acme, users), DistinctValue.objects.count()) == (0, 0)
    send(login("e4", "ada"))
    assert (count(acme, users), list(recount())) == (1, [])


def test_the_migration_reads_events_as_labelling_did(acme: Customer) -> None:
    """Nested and dotted names, numbers in any form, filters, groups of any spelling, corrections."""
    deep = {"key": "deep", "aggregation": "unique_count", "value": "who.id"}
    MeterFactory.create(**deep, group_by=["where.place", "model"])
    MeterFactory.create(**{**deep, "key": "m1"}, filters={"model": ["m1", None]})
    texts = ["ada", "", '"', "\\", "\n\t\x1f\x7f", "é\u2028😀", "/", "null", "[]"]
    said: list[dict[str, Any]] = [{"who": {"id": text}, "where": {"place": text}} for text in texts]
    said += [{"who": {"id": number}} for number in (1, -0.0, 1.50, 1e20, -7, True, False)]
    said += [{"who.id": "whole", "who": {"id": "nested"}, "where": {"place": ["none"]}} for _ in range(2)]
    said += [
        {"who.id": "whole", "who": ["id"], "where": 5},
        {"who": {"id": "m"}, "model": "m1", "where": [{"place": 1}]},
    ]
    said += [{"who": {"id": "m"}, "model": "m2", "where": {"place": "\u00e9"}}]
    encode = msgspec.json.Encoder(decimal_format="number").encode
    events = [event(f"e{n}", data={"tokens": 1, **data}) for n, data in enumerate(said)]
    raw = [encode(one).replace(b'"tokens":1', b'"tokens":1,"odd":1e999999,"odder":"\\ud83d\\ude00"') for one in events]
    accepted = [status for status in statuses(send(*raw)) if status == "accepted"]
    assert len(accepted) >= len(said) - 2  # a place that is a list is no group
    void_event("gw", "e0", reason="test", at=AT)
    amend_event("gw", "e1", {"tokens": 1, "who": {"id": 2.0}, "model": "m1"}, reason="test", at=AT)
    assert list(recount()) == []
    kept = values_kept()
    assert len(kept) > 20
    assert filled_anew() == kept
    assert list(recount()) == []
