"""When a source was last heard from, and whether that is too long ago."""

from __future__ import annotations

import datetime as dt

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing.metering.ingestion import ingest
from billing.metering.sources import last_heard, silent_for
from billing.models import Source
from contracts.models import Customer
from tests.billing.metering.conftest import AT
from tests.factories import SourceFactory, body, event

pytestmark = pytest.mark.django_db(databases=["default", "quarantine"])

HOUR = dt.timedelta(hours=1)


def test_a_source_is_heard_from_by_whatever_it_sends(acme: Customer) -> None:
    SourceFactory.create(key="other")
    SourceFactory.create(key="mute")
    ingest(body(event("e1"), event("x", "many", source="other")), at=AT, door="api")
    ingest(body(event("e1")), at=AT + HOUR, door="import")
    assert last_heard(["gw", "other", "mute", "unknown"]) == {"gw": AT + HOUR, "other": AT}


def test_what_staff_take_in_is_not_the_source_reporting(acme: Customer) -> None:
    ingest(body(event("e1")), at=AT, door="api")
    for door in ("release", "replay"):
        ingest(body(event(f"e-{door}")), at=AT + HOUR, door=door)
    assert last_heard(["gw"]) == {"gw": AT}


def test_one_query_however_many_sources(acme: Customer) -> None:
    sources = [SourceFactory.create(key=f"s{n}").key for n in range(30)]
    with CaptureQueriesContext(
        connection,
    ) as asked:
        last_heard(sources)
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("cadence", "heard", "late"),
    [
        (None, AT - 100 * HOUR, None),
        (HOUR, None, None),
        (HOUR, AT - HOUR, None),
        (HOUR, AT - 3 * HOUR, 2 * HOUR),
    ],
)
def test_a_source_is_silent_after_its_cadence(
    cadence: dt.timedelta | None, heard: dt.datetime | None, late: dt.timedelta | None
) -> None:
    assert silent_for(Source(key="gw", cadence=cadence), heard, AT) == late
