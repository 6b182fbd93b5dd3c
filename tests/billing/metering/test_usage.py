import datetime as dt
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from billing.metering.corrections import amend_event, void_event
from billing.metering.usage import Ask, Measured, UnableToMeasure, measure, windows
from catalog.models import Meter
from catalog.periods import Period
from contracts.models import Customer
from tests.billing.metering.conftest import AT, send
from tests.factories import MeterFactory, event

pytestmark = pytest.mark.django_db(databases=["default", "quarantine"])

UTC = dt.UTC
BERLIN = ZoneInfo("Europe/Berlin")


def span(first: str, last: str) -> Period:
    return Period(dt.datetime.fromisoformat(first), dt.datetime.fromisoformat(last))


JANUARY = span("2026-01-01T00:00Z", "2026-02-01T00:00Z")


class TestAMeasure:
    def test_is_of_the_period_alone_and_carries_the_clock(self, acme: Customer, meter: Meter) -> None:
        send(event("e1", 1, time="2026-01-31T23:59:59.999999Z"), at=AT + dt.timedelta(days=30))
        send(event("e2", 10, time="2026-02-01T00:00:00Z"), at=AT + dt.timedelta(days=30))
        february = span("2026-02-01T00:00Z", "2026-03-01T00:00Z")
        asks = [Ask(acme.pk, meter.pk, JANUARY), Ask(acme.pk, meter.pk, february)]
        assert measure(asks) == {asks[0]: Measured(Decimal(1), 1, 2), asks[1]: Measured(Decimal(10), 1, 2)}

    def test_of_a_customer_who_used_nothing_is_zero_at_clock_zero(self, acme: Customer, meter: Meter) -> None:
        ask = Ask(acme.pk, meter.pk, JANUARY)
        assert measure([ask]) == {ask: Measured(Decimal(0), 0, 0)}

    def test_takes_one_query_for_any_number_of_asks(
        self, acme: Customer, meter: Meter, django_assert_num_queries: Any
    ) -> None:
        send(event("e1", 5))
        days = [JANUARY.starts_at + dt.timedelta(days=day) for day in range(31)]
        asks = [Ask(acme.pk, meter.pk, Period(day, day + dt.timedelta(days=1))) for day in days]
        with django_assert_num_queries(1):
            measured = measure(asks)
        assert sum(one.quantity for one in measured.values()) == 5

    def test_counts_distinct_values_as_corrected_in_exact_form(self, acme: Customer) -> None:
        users = MeterFactory.create(key="users", aggregation="unique_count", value="user")
        for number, user in enumerate(["ada", "1", 1, 1.0, 2.5, "2.5", True]):
            send(event(f"e{number}", data={"tokens": 1, "user": user}))
        ask = Ask(acme.pk, users.pk, JANUARY)
        assert measure([ask])[ask] == Measured(Decimal(4), 7, 7)  # ada, 1, 2.5, true
        void_event("gw", "e0", reason="", at=AT)
        amend_event("gw", "e6", {"tokens": 1, "user": "bob"}, reason="", at=AT)
        assert measure([ask])[ask] == Measured(Decimal(3), 6, 9)  # 1, 2.5, bob

    def test_refuses_a_time_inside_a_quarter_of_an_hour(self, acme: Customer, meter: Meter) -> None:
        with pytest.raises(UnableToMeasure, match="quarters"):
            measure([Ask(acme.pk, meter.pk, span("2026-01-01T00:00:01Z", "2026-02-01T00:00Z"))])


class TestWindows:
    def test_are_local_days_with_use_also_where_a_day_has_25_hours(self, acme: Customer, meter: Meter) -> None:
        october = span("2026-10-01T00:00+02:00", "2026-11-01T00:00+01:00")
        times = ["2026-10-24T21:59:59Z", "2026-10-24T22:00:00Z", "2026-10-25T22:59:59Z", "2026-10-25T23:00:00Z"]
        at = dt.datetime(2026, 11, 1, tzinfo=UTC)
        send(*(event(f"e{place}", 10**place, time=time) for place, time in enumerate(times)), at=at)
        found = windows(acme.pk, meter, october, "day", BERLIN)
        assert [(one.starts_at.isoformat(), one.ends_at - one.starts_at, one.value) for one in found] == [
            ("2026-10-23T22:00:00+00:00", dt.timedelta(hours=24), 1),
            ("2026-10-24T22:00:00+00:00", dt.timedelta(hours=25), 110),
            ("2026-10-25T23:00:00+00:00", dt.timedelta(hours=24), 1000),
        ]

    def test_keep_the_hour_that_comes_twice_apart(self, acme: Customer, meter: Meter) -> None:
        times = ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"]  # both 02:30 in Berlin
        send(*(event(f"e{n}", time=time) for n, time in enumerate(times)), at=dt.datetime(2026, 11, 1, tzinfo=UTC))
        day = span("2026-10-25T00:00+02:00", "2026-10-26T00:00+01:00")
        assert len(windows(acme.pk, meter, day, "hour", BERLIN)) == 2

    def test_start_at_local_hours_where_zones_are_off_by_half(self, acme: Customer, meter: Meter) -> None:
        send(event("e1", 1, time="2026-01-20T09:29:00Z"), event("e2", 2, time="2026-01-20T09:30:00Z"))
        found = windows(acme.pk, meter, JANUARY, "hour", ZoneInfo("Asia/Kolkata"))
        assert [(one.starts_at.minute, one.value) for one in found] == [(30, 1), (30, 2)]

    def test_are_cut_to_what_was_asked_for(self, acme: Customer, meter: Meter) -> None:
        send(event("e1", 1))
        asked = span("2026-01-20T09:45Z", "2026-01-20T10:15Z")
        (only,) = windows(acme.pk, meter, asked, "month", dt.UTC)
        assert (only.starts_at, only.ends_at, only.value) == (asked.starts_at, asked.ends_at, 1)

    @pytest.mark.parametrize("aggregation", ["sum", "unique_count"])
    def test_are_grouped_by_some_of_the_dimensions(self, acme: Customer, aggregation: str) -> None:
        grouped = MeterFactory.create(key="grouped", aggregation=aggregation, group_by=["region", "model"])
        said = [("eu", "m1"), ("us", "m1"), ("eu", "m2"), (None, "m2")]
        send(
            *(
                event(f"e{place}", data={"tokens": place, "region": region, "model": model})
                for place, (region, model) in enumerate(said)
            )
        )

        def by(*names: str) -> list[tuple[list[str | None], Decimal]]:
            found = windows(acme.pk, grouped, JANUARY, "month", dt.UTC, names)
            return [(list(one.group.values()), one.value) for one in found]

        is_sum = aggregation == "sum"
        assert by() == [([], 6 if is_sum else 4)]
        assert by("model") == [(["m1"], 1 if is_sum else 2), (["m2"], 5 if is_sum else 2)]
        assert by("region") == [(["eu"], 2), (["us"], 1), ([None], 3 if is_sum else 1)]
        with pytest.raises(UnableToMeasure, match="region, model"):
            by("zone")

    def test_weigh_values_to_the_end_of_each_window(self, acme: Customer) -> None:
        seats = MeterFactory.create(key="seats", aggregation="weighted_sum", value="seats")
        send(event("e1", data={"tokens": 1, "seats": 8}, time="2026-01-20T06:00:00Z"))
        (day,) = windows(acme.pk, seats, JANUARY, "day", dt.UTC)
        assert day.value == 6  # 8 for 18 of 24 hours
        (hour,) = windows(acme.pk, seats, JANUARY, "hour", dt.UTC)
        assert hour.value == 8

    def test_show_the_latest_value_and_extremes_of_each(self, acme: Customer) -> None:
        of = {name: MeterFactory.create(key=name, aggregation=name) for name in ("latest", "max", "min", "avg")}
        send(event("e1", 5, time="2026-01-20T10:50:00Z"), event("e2", 9, time="2026-01-20T10:05:00Z"))
        shown = {name: windows(acme.pk, one, JANUARY, "hour", dt.UTC)[0].value for name, one in of.items()}
        assert shown == {"latest": 5, "max": 9, "min": 5, "avg": 7}

    def test_are_not_made_without_end(self, acme: Customer, meter: Meter) -> None:
        with pytest.raises(UnableToMeasure, match="shorter"):
            windows(acme.pk, meter, span("2020-01-01T00:00Z", "2026-01-01T00:00Z"), "hour", dt.UTC)
