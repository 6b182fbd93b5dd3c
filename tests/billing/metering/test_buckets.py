"""Buckets hold what the pure fold makes of the events, whatever came in whichever order."""

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import UUID

import msgspec
import pytest
from django.db import connection
from django.db.models import F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.metering.aggregation import EMPTY, Latest, Partial
from billing.metering.corrections import UnableToCorrect, amend_event, void_event
from billing.metering.ingestion import ingest
from billing.metering.recount import Difference, months_with_use, recount
from billing.metering.usage import Ask, Measured, measure
from billing.models import Bucket, DistinctValue
from catalog.models import Aggregation, Meter
from catalog.periods import Period
from contracts.models import Customer
from tests.billing.metering.conftest import AT, send
from tests.billing.metering.test_distinct import filled_anew, values_kept
from tests.factories import ContractFactory, CustomerFactory, MeterFactory, SourceFactory, event

pytestmark = pytest.mark.django_db(databases=["default", "quarantine"])

AGGREGATIONS = [aggregation.value for aggregation in Aggregation]


@pytest.fixture
def every_meter() -> Iterator[list[Meter]]:
    """A meter of each aggregation over the same values, two customers with contracts."""
    SourceFactory.create()
    for key in ("acme", "beta"):
        ContractFactory.create(customer=CustomerFactory.create(key=key))
    yield [
        MeterFactory.create(
            key=name, aggregation=name, group_by=["model"] if name != "latest" else [], allow_negative=True
        )
        for name in AGGREGATIONS
    ]


@pytest.fixture
def meters_of_users(every_meter: list[Meter]) -> None:
    """Unique counts of a text beside the others: of everybody by model, and of those of one model."""
    MeterFactory.create(key="users", aggregation="unique_count", value="user", group_by=["model"])
    MeterFactory.create(key="m1-users", aggregation="unique_count", value="user", filters={"model": ["m1"]})


values = st.one_of(st.integers(-5, 5), st.decimals(-1, 1, places=3, allow_nan=False), st.integers(10**20, 10**20 + 5))
users = st.sampled_from(
    ["", " ", "ada", "Ada", "ä", "\\", '"', "1", 1, Decimal("1.0"), True, "true", 10**30, "x" * 5000]
)
data = st.fixed_dictionaries({"tokens": values, "user": users}, optional={"model": st.sampled_from(["m1", "m2"])})
seconds = st.one_of(st.sampled_from([0, 899, 900, 1800]), st.integers(0, 2 * 3600))
arrivals = st.tuples(st.sampled_from(["acme", "beta"]), st.integers(0, 9), seconds, data)
deeds = st.one_of(
    st.tuples(st.just("batch"), st.lists(arrivals, min_size=1, max_size=8)),
    st.tuples(st.just("void"), st.integers(0, 9)),
    st.tuples(st.just("amend"), st.tuples(st.integers(0, 9), data)),
)


def do(deed: tuple[str, Any]) -> None:
    kind, given_ = deed
    encode = msgspec.json.Encoder(decimal_format="number").encode
    if kind == "batch":
        batch = []
        for subject, number, second, said in given_:
            time = dt.datetime(2026, 1, 20, 8, tzinfo=dt.UTC) + dt.timedelta(seconds=second)
            batch.append(encode(event(f"e{number}", subject=subject, time=time.isoformat(), data=said)))
        ingest(batch, at=AT, door="api")
        return
    try:
        if kind == "void":
            void_event("gw", f"e{given_}", reason="", at=AT)
        else:
            amend_event("gw", f"e{given_[0]}", encode(given_[1]), reason="", at=AT)
    except UnableToCorrect:
        pass  # never came, or is voided already


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(deeds, min_size=1, max_size=6))
def test_buckets_equal_the_pure_fold_after_any_batches_voids_and_amendments(
    meters_of_users: None, history: list[tuple[str, Any]]
) -> None:
    with connection.cursor() as cursor:
        for deed in history:
            do(deed)
        assert list(recount()) == []
        kept = values_kept()
        assert filled_anew() == kept
        # The next example starts empty; rolling back to a savepoint would do as well, and is slower.
        cursor.execute(
            "TRUNCATE billing_event, billing_register, billing_bucket, billing_distinctvalue, billing_usageclock,"
            " billing_correction"
        )


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_the_order_of_arrival_does_not_matter(every_meter: list[Meter], order: tuple[int, ...]) -> None:
    times = ["10:00:00", "10:07:30", "10:07:30.5", "10:20:00"]
    tokens = [3, "0.5", -1, 4]
    for place in order:
        send(event(f"e{place}", tokens[place], time=f"2026-01-20T{times[place]}Z"))
    hour = Period(dt.datetime(2026, 1, 20, 10, tzinfo=dt.UTC), dt.datetime(2026, 1, 20, 11, tzinfo=dt.UTC))
    acme = Customer.objects.get(key="acme")
    asks = {meter.key: Ask(acme.pk, meter.pk, hour) for meter in every_meter}
    measured = measure(list(asks.values()))
    # By hand: weighted_sum is (3 x 3600 + 0.5 x 3150 - 1 x 3149.5 + 4 x 2400) s / 3600 s.
    expected = {
        "count": "4", "sum": "6.5", "max": "4", "min": "-1", "avg": "1.625", "latest": "4", "unique_count": "4",
        "weighted_sum": "5.229305555555555556",
    }  # fmt: skip
    assert {key: measured[ask].quantity for key, ask in asks.items()} == {
        key: Decimal(number) for key, number in expected.items()
    }
    assert set(measured.values()) == {Measured(Decimal(expected[key]), 4, 4) for key in expected}


class TestARecount:
    def test_names_a_bucket_that_was_changed(self, acme: Customer, meter: Meter) -> None:
        send(event("e1", 5))
        Bucket.objects.update(total=F("total") - 1)
        (found,) = recount()
        assert found == Difference(
            acme.pk,
            meter.pk,
            dt.datetime(2026, 1, 20, 10, tzinfo=dt.UTC),
            "[null]",
            expected=Partial(n=1, total=Decimal(5)),
            found=Partial(n=1, total=Decimal(4)),
        )

    def test_names_a_bucket_without_events_and_events_without_a_bucket(self, acme: Customer) -> None:
        send(event("e1", 5))
        Bucket.objects.update(starts_at=dt.datetime(2026, 3, 1, tzinfo=dt.UTC))
        first, second = recount()
        assert (first.found, second.expected) == (EMPTY, EMPTY)
        assert (first.starts_at.month, second.starts_at.month) == (1, 3)

    def test_finds_nothing_wrong_with_a_bucket_that_was_emptied(self, every_meter: list[Meter]) -> None:
        send(event("e1", 5))
        void_event("gw", "e1", reason="", at=AT)
        assert Bucket.objects.count() == len(AGGREGATIONS)
        assert list(recount()) == []

    def test_tells_apart_which_value_is_the_latest(self, every_meter: list[Meter]) -> None:
        send(event("e1", 5), event("e2", 7))
        Bucket.objects.filter(latest__isnull=False).update(latest=5)
        (found,) = recount()
        at = dt.datetime(2026, 1, 20, 10, tzinfo=dt.UTC)
        assert found.expected == Partial(n=2, latest=Latest(at, 1, Decimal(7)))

    def test_names_a_value_too_many_and_one_too_few(self, acme: Customer) -> None:
        users = MeterFactory.create(key="users", aggregation="unique_count", value="user")
        send(*(event(f"e{user}", data={"tokens": 1, "user": user}) for user in ("ada", "bob")))
        ada = DistinctValue.objects.get(digest=UUID(bytes=sha256(b"ada").digest()[:16]))
        DistinctValue.objects.filter(digest=ada.digest).delete()
        (found,) = recount()
        assert (found.meter_id, found.expected.values - found.found.values) == (users.pk, {str(ada.digest)})
        ada.starts_at = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
        ada.save(force_insert=True)
        _, orphan = recount()
        assert (orphan.starts_at.month, orphan.expected) == (3, EMPTY)
        assert orphan.found == Partial(values=frozenset({str(ada.digest)}))

    def test_goes_month_by_month(self, acme: Customer) -> None:
        send(
            event("e1", time="2026-01-31T23:59:59Z"), event("e2", time="2026-12-31T23:59:59Z"), at=AT.replace(year=2027)
        )
        assert [one.month.ends_at.date().isoformat() for one in months_with_use()] == ["2026-02-01", "2027-01-01"]
        assert list(recount()) == []
