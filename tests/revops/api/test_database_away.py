"""An absent database is answered 503 with Retry-After, and nothing of the batch is counted."""

from collections.abc import Iterator

import psycopg
import pytest
from django.conf import settings
from psycopg import sql

from billing.models import Event, Receipt, Source
from catalog.models import Meter
from revops.serving import current_names, environment_for, free_port, start_server, wait_until_healthy, with_name
from revops.simulation.databases import throw_away_databases

from .conftest import Api, event

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])


@pytest.fixture
def lonely(key) -> Iterator[Api]:
    """A server on databases of its own, with a source and a meter."""
    with throw_away_databases():
        Source.objects.create(key="gw")
        Meter.objects.create(key="requests", event_type="llm.request", aggregation="count")
        secret = key("events:write", "billing:read")
        port = free_port()
        server = start_server(port, environment_for(current_names()), workers=1)
        try:
            wait_until_healthy(port, server)
            yield Api(port, secret)
        finally:
            server.terminate()
            server.wait()


def take_away(alias: str) -> None:
    """Drop a database under everybody's feet."""
    name = current_names()[alias]
    with psycopg.connect(with_name(settings.PLAN.owner[alias], "postgres"), autocommit=True) as owner:
        owner.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def assert_unavailable(answer) -> None:
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["content-type"] == "application/problem+json"


def test_without_the_quarantine_a_batch_that_needs_it_is_not_taken(lonely: Api) -> None:
    take_away("quarantine")
    assert_unavailable(lonely.post("events", [event("e1", subject="nobody")]))
    assert Receipt.objects.count() == Event.objects.count() == 0
    assert_unavailable(lonely.get("/healthz"))
    assert lonely.get("invoices").status == 200


def test_without_the_main_database_every_door_says_so(lonely: Api) -> None:
    assert lonely.get("invoices").status == 200
    take_away("default")
    assert_unavailable(lonely.post("events", [event("e1")]))
    assert_unavailable(lonely.get("invoices"))
    assert_unavailable(lonely.post("invoices/1/void", {"reason": "x"}))
