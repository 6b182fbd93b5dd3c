"""What the database adds up is what the pure fold makes of the events, by any window, filter and time zone."""

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.metering.aggregation import fold_windows, value
from billing.metering.corrections import amend_event, void_event
from billing.metering.pieces import condition
from billing.metering.standing import plans_of, readings_of, sample_of, standing_events
from billing.metering.usage import Ask, measure, windows
from billing.models import Bucket
from catalog.models import Aggregation, Meter
from catalog.money import exact_sum
from catalog.periods import Period
from catalog.selection import Selection
from contracts.models import Customer
from tests.billing.metering.conftest import AT, send
from tests.factories import ContractFactory, CustomerFactory, MeterFactory, SourceFactory, event

pytestmark = pytest.mark.django_db(databases=["default", "quarantine"])

UTC = dt.UTC
BERLIN = ZoneInfo("Europe/Berlin")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")  # changes its clock by half an hour
SPRING = Period(dt.datetime(2026, 3, 28, 12, tzinfo=UTC), dt.datetime(2026, 3, 30, 12, 45, tzinfo=UTC))
AUTUMN = Period(dt.datetime(2026, 10, 24, 12, tzinfo=UTC), dt.datetime(2026, 10, 26, 12, 45, tzinfo=UTC))
LATER = dt.datetime(2026, 12, 1, tzinfo=UTC)
MINUTE = dt.timedelta(minutes=1)
LENGTHS = [None, *(minutes * MINUTE for minutes in (1, 5, 10, 15, 20, 30, 45, 60, 180, 300, 1440))]


@pytest.fixture
def world() -> Iterator[tuple[Customer, list[Meter]]]:
    SourceFactory.create()
    customer = ContractFactory.create(customer=CustomerFactory.create(key="acme")).customer
    yield (
        customer,
        [
            MeterFactory.create(key=name, aggregation=name, group_by=["model", "region"], allow_negative=True)
            for name in Aggregation.values
        ],
    )


models, regions = st.sampled_from(["m1", "m2", 'm"3']), st.sampled_from(["eu", ""])
data = st.fixed_dictionaries({"tokens": st.integers(-3, 3)}, optional={"model": models, "region": regions})
minutes = st.one_of(st.integers(0, 48 * 60 + 44), st.sampled_from([12 * 60, 13 * 60, 14 * 60 - 1, 14 * 60]))
allowed = st.lists(st.sampled_from([None, "m1", "m2", 'm"3', "eu", ""]), max_size=3).map(tuple)
filters = st.lists(st.tuples(st.sampled_from(["model", "region", "other"]), allowed), max_size=2).map(tuple)
selections = st.builds(
    Selection, only=filters, besides=st.lists(filters, max_size=2).map(tuple), window=st.sampled_from(LENGTHS)
)


def expected(ask: Ask, meter: Meter) -> tuple[tuple[Decimal, ...], int]:
    """The value of each window with use, and the events behind them all, by the pure fold of what stands."""
    plans = plans_of([meter.pk])
    samples = [
        sample_of(reading, one)
        for one in standing_events(ask.customer_id, ask.period)
        for reading in readings_of(one.data, one.meters, plans)
        if ask.selection.takes(meter.group_by, msgspec.json.decode(reading.group))
    ]
    if ask.selection.window is None:
        kept = [sample for sample in samples if ask.period.contains(sample.at)]
        folded = fold_windows(meter.aggregation, kept, ask.period, dt.timedelta(days=1), UTC)
        quantity = (value(meter.aggregation, list(folded.values()), ask.period),)
        return quantity, len(kept)
    folded = fold_windows(meter.aggregation, samples, ask.period, ask.selection.window, ask.zone or UTC)
    return tuple(value(meter.aggregation, partial, window) for window, partial in folded.items()), len(samples)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(minutes, data), min_size=1, max_size=12),
    st.lists(selections, min_size=1, max_size=4),
    st.sampled_from([SPRING, AUTUMN]),
    st.sampled_from([UTC, BERLIN, LORD_HOWE, ZoneInfo("Asia/Kathmandu")]),
    st.booleans(),
)
def test_what_is_measured_is_what_the_pure_fold_says(
    world: tuple[Customer, list[Meter]],
    arrived: list[tuple[int, dict[str, Any]]],
    selected: list[Selection],
    period: Period,
    zone: dt.tzinfo,
    is_corrected: bool,
) -> None:
    customer, meters = world
    times = [(period.starts_at + minute * MINUTE).isoformat() for minute, _ in arrived]
    send(*(event(f"e{n}", time=times[n], data=said) for n, (_, said) in enumerate(arrived)), at=LATER)
    if is_corrected:
        void_event("gw", "e0", reason="", at=AT)
        if len(arrived) > 1:
            amend_event("gw", "e1", {"tokens": 2, "model": "m2"}, reason="", at=AT)
    asks = {Ask(customer.pk, meter.pk, period, selection, zone): meter for meter in meters for selection in selected}
    measured = measure(list(asks))
    for ask, meter in asks.items():
        quantities, events = expected(ask, meter)
        found = measured[ask]
        assert found.quantity == exact_sum(quantities), (ask, meter.key)
        assert found.windows == (quantities if ask.selection.window and events else ())
        assert found.events == events
    with connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE billing_event, billing_register, billing_bucket, billing_distinctvalue, billing_usageclock,"
            " billing_correction"
        )


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(selections, st.lists(st.tuples(st.none() | models, st.none() | regions), min_size=1, max_size=5, unique=True))
def test_a_filter_means_the_same_in_the_database(
    db: None, selection: Selection, groups: list[tuple[str | None, str | None]]
) -> None:
    texts = [msgspec.json.encode(group).decode() for group in groups]
    asked: dict[str, Any] = {"groups": texts}
    taken = condition(selection, ["model", "region"], asked)
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT "group" FROM unnest(%(groups)s::text[]) AS bucket ("group") WHERE {taken}', asked)
        found = {text for (text,) in cursor.fetchall()}
    takes = [selection.takes(["model", "region"], group) for group in groups]
    assert found == {text for text, is_taken in zip(texts, takes, strict=True) if is_taken}


@pytest.mark.parametrize("name", Aggregation.values)
def test_no_event_is_read_where_windows_are_quarters_of_an_hour(acme: Customer, name: str) -> None:
    meter = MeterFactory.create(key=name, aggregation=name, group_by=["model"])
    send(*(event(f"e{n}", data={"tokens": n, "model": f"m{n % 3}"}) for n in range(6)))
    day = Period(dt.datetime(2026, 1, 20, tzinfo=UTC), dt.datetime(2026, 1, 21, tzinfo=UTC))
    asks = [
        Ask(acme.pk, meter.pk, day, Selection(only=only, window=window))
        for only in ((), (("model", ("m1", None)),))
        for window in (None, 15 * MINUTE, 30 * MINUTE, dt.timedelta(days=1))
    ]
    with CaptureQueriesContext(connection) as queries:
        measured = measure(asks)
        for size in ("hour", "day", "month"):
            windows(acme.pk, meter, day, size, BERLIN, ["model"])
    assert all(one.events for one in measured.values())
    assert not any("billing_event" in query["sql"] for query in queries)


@pytest.mark.parametrize(
    ("day", "hours"), [(dt.date(2026, 3, 29), 23), (dt.date(2026, 10, 25), 25)], ids=["23 hours", "25 hours"]
)
def test_a_day_in_which_the_clock_changes_is_one_window(acme: Customer, day: dt.date, hours: int) -> None:
    """Ann in its first quarter of an hour, bob in its last, and both on the days beside it."""
    users = MeterFactory.create(key="users", aggregation="unique_count", value="user")
    seats = MeterFactory.create(key="seats", aggregation="weighted_sum", value="seats")
    midnight = dt.datetime.combine(day, dt.time(), BERLIN).astimezone(UTC)
    moments = [(0, "ann"), (hours * 60 - 1, "bob"), (-1, "eve"), (-2, "bob"), (hours * 60, "ann")]
    send(
        *(
            event(f"e{n}", time=(midnight + minute * MINUTE).isoformat(), data={"tokens": 1, "user": user, "seats": 1})
            for n, (minute, user) in enumerate(moments)
        ),
        at=LATER,
    )
    whole = Period(midnight - dt.timedelta(days=2), midnight + dt.timedelta(days=3))
    found = windows(acme.pk, users, whole, "day", BERLIN)
    assert [(one.value, one.ends_at - one.starts_at) for one in found] == [
        (2, dt.timedelta(hours=24)),
        (2, dt.timedelta(hours=hours)),
        (1, dt.timedelta(hours=24)),
    ]
    # a seat for all of the day, and one for its last minute
    weighed = windows(acme.pk, seats, whole, "day", BERLIN)[1].value
    assert weighed == (1 + Decimal(1) / (hours * 60)).quantize(Decimal(10) ** -18)
    ask = Ask(acme.pk, users.pk, whole, Selection(window=dt.timedelta(hours=24)), BERLIN)
    assert measure([ask])[ask].windows == (2, 2, 1)


def test_what_nothing_passes_is_nothing_at_the_clock_it_was_read(acme: Customer) -> None:
    meter = MeterFactory.create(key="users", aggregation="unique_count", group_by=["model"])
    send(event("e1"))
    send(event("e2"))
    day = Period(dt.datetime(2026, 1, 20, tzinfo=UTC), dt.datetime(2026, 1, 21, tzinfo=UTC))
    ask = Ask(acme.pk, meter.pk, day, Selection(only=(("model", ("m9",)),)))
    read = measure([ask])[ask]
    assert (read.quantity, read.events, read.clock, Bucket.objects.count()) == (0, 0, 2, 2)
