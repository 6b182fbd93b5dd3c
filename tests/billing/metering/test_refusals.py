"""What the database refuses: raw SQL against facts, as the application's role and, behind that fence, as the owner."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.conf import settings
from django.db import IntegrityError, ProgrammingError, connections, router, transaction
from django.db.backends.utils import CursorWrapper

from billing.metering.corrections import void_event
from billing.models import Bucket
from catalog.auditing import Fact, facts
from contracts.models import Customer
from revops.databases import read_url
from tests.billing.metering.conftest import AT, send
from tests.factories import event

pytestmark = [pytest.mark.sql, pytest.mark.django_db(databases=["default", "quarantine"])]

FACTS = [pytest.param(model, id=model._meta.db_table) for model in facts() if not model._meta.proxy]


@contextmanager
def as_application(alias: str) -> Iterator[CursorWrapper]:
    """A cursor with the rights of the application in this database."""
    role = read_url(settings.PLAN.application[alias])["USER"]
    with connections[alias].cursor() as cursor:
        cursor.execute(f"SET ROLE {role}")
        try:
            yield cursor
        finally:
            cursor.execute("RESET ROLE")


def refused(statement: str, alias: str, error: type[Exception] = ProgrammingError, match: str = "permission") -> None:
    with as_application(alias) as cursor, pytest.raises(error, match=match), transaction.atomic(using=alias):
        cursor.execute(statement)


@pytest.mark.parametrize("model", FACTS)
def test_the_application_changes_no_column_of_a_fact_but_those_it_may(model: type[Fact]) -> None:
    alias, table = router.db_for_write(model), model._meta.db_table
    for field in model._meta.concrete_fields:
        column = field.column
        if column is None or field.generated or field.name in model.changeable:
            continue
        refused(f'UPDATE {table} SET "{column}" = "{column}"', alias)
    with as_application(alias) as cursor:
        for name in model.changeable:
            column = model._meta.get_field(name).column  # type: ignore[union-attr]
            cursor.execute(f'UPDATE {table} SET "{column}" = "{column}" WHERE false')


@pytest.mark.parametrize("model", FACTS)
def test_the_application_deletes_no_fact_and_empties_no_table(model: type[Fact]) -> None:
    alias, table = router.db_for_write(model), model._meta.db_table
    refused(f"TRUNCATE {table} CASCADE", alias)
    if not model.deletable:
        refused(f"DELETE FROM {table}", alias)


@pytest.fixture
def some_facts(acme: Customer) -> None:
    send(event("e1", 5), event("e2", 6), event("held", "many"))
    void_event("gw", "e1", reason="test", at=AT)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE billing_event_2026_01 SET data = '{}'", "DELETE FROM billing_event_2026_01",
        "INSERT INTO billing_event_2026_01 SELECT * FROM billing_event", "DELETE FROM billing_register_0",
        "ALTER TABLE billing_event DETACH PARTITION billing_event_2026_01", "DROP TABLE billing_event",
        "ALTER TABLE billing_event DISABLE TRIGGER ALL", "SET session_replication_role = replica",
        "CREATE TABLE public.mine (id int)", "UPDATE watertight_directory SET version = 0",
    ],
)  # fmt: skip
def test_the_application_gets_around_no_fence(some_facts: None, statement: str) -> None:
    refused(statement, "default", match="permission|must be owner")


OWNERS_ATTEMPTS = [
    ("billing_event", "data = '{}'"), ("billing_register", "customer_id = 0"), ("billing_receipt", "accepted = 0"),
    ("billing_receiptcount", "accepted = 0"), ("billing_correction", "reason = ''"),
]  # fmt: skip


@pytest.mark.parametrize(("table", "change"), OWNERS_ATTEMPTS)
def test_not_even_the_owner_changes_or_deletes_use(some_facts: None, table: str, change: str) -> None:
    with connections["default"].cursor() as cursor:
        for statement in (f"UPDATE {table} SET {change}", f"DELETE FROM {table}"):
            with pytest.raises(IntegrityError, match="refused"), transaction.atomic():
                cursor.execute(statement)


def test_what_is_held_keeps_its_content_and_its_fate(some_facts: None) -> None:
    with connections["quarantine"].cursor() as cursor:
        for statement in (
            "UPDATE quarantine_heldrecord SET raw = ''", "DELETE FROM quarantine_heldrecord",
            "UPDATE quarantine_sighting SET index = 9", "DELETE FROM quarantine_sighting",
        ):  # fmt: skip
            with pytest.raises(IntegrityError, match="refused"), transaction.atomic(using="quarantine"):
                cursor.execute(statement)
        cursor.execute("UPDATE quarantine_heldrecord SET status = 'superseded'")
        with pytest.raises(IntegrityError, match="refused"), transaction.atomic(using="quarantine"):
            cursor.execute("UPDATE quarantine_heldrecord SET status = 'open'")


def test_an_id_is_registered_once_whoever_asks(some_facts: None) -> None:
    statement = "INSERT INTO billing_register SELECT key, digest, customer_id + 1, occurred_at FROM billing_register"
    refused(statement, "default", IntegrityError, "duplicate key")


def test_a_receipt_that_does_not_add_up_is_refused(some_facts: None) -> None:
    statement = "INSERT INTO billing_receipt SELECT gen_random_uuid(), now(), 'api', 3, 1, 1, 0"
    refused(statement, "default", IntegrityError, "receipt_adds_up")


def test_a_meter_with_events_keeps_what_it_counts(some_facts: None) -> None:
    assert Bucket.objects.exists()
    for statement in (
        "UPDATE catalog_meter SET value = 'other'", "UPDATE catalog_meter SET filters = '{\"a\": [1]}'",
        "DELETE FROM catalog_meter",
    ):  # fmt: skip
        refused(statement, "default", IntegrityError, "cannot change|meter")
    with as_application("default") as cursor:
        cursor.execute("UPDATE catalog_meter SET name = 'Tokens', allow_negative = true")


def test_the_application_can_do_its_work(acme: Customer) -> None:
    """The whole life of an event with the application's rights alone, new partition included."""
    with as_application("default"), as_application("quarantine"):
        assert send(event("e1", 5, time="2026-01-03T00:00:00Z"), event("e2", "many")).accepted == 1
        assert send(event("e1", 5, time="2026-01-03T00:00:00Z"), event("e2", 2)).duplicates == 1
        void_event("gw", "e1", reason="test", at=AT)
