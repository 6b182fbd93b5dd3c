import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from billing.metering.corrections import UnableToCorrect, amend_event, void_event
from billing.models import Bucket, Correction, Event, UsageClock
from contracts.models import Customer
from tests.billing.metering.conftest import AT, send
from tests.factories import MeterFactory, event

pytestmark = pytest.mark.django_db(databases=["default", "quarantine"])


def void(id: str, source: str = "gw") -> Correction:
    return void_event(source, id, reason="test traffic", at=AT, by="ada")


def amend(id: str, data: bytes | dict[str, Any]) -> Correction:
    return amend_event("gw", id, data, reason="meter fault", at=AT, by="ada")


def buckets(key: str = "tokens") -> dict[str, tuple[int, Decimal | None]]:
    meter = MeterFactory._meta.model.objects.get(key=key)
    return {bucket.group: (bucket.n, bucket.total) for bucket in Bucket.objects.filter(meter_id=meter.pk)}


class TestAVoid:
    def test_takes_the_event_out_of_its_bucket_and_leaves_the_event_as_it_came(self, acme: Customer) -> None:
        send(event("e1", 5), event("e2", 7))
        correction = void("e1")
        assert buckets() == {"[null]": (1, 7)}
        assert (correction.position, correction.kind, correction.clock, correction.data) == (1, "void", 2, "")
        assert (correction.reason, correction.made_by, correction.made_at) == ("test traffic", "ada", AT)
        assert Event.objects.get(event_id="e1").data == '{"tokens":5}'

    def test_lowers_the_instant_from_which_closed_periods_are_looked_over(self, acme: Customer) -> None:
        send(event("e1", time="2026-01-05T00:00:00Z"), event("e2"))
        UsageClock.objects.update(dirty_from=None)
        void("e2")
        assert UsageClock.objects.get().dirty_from == dt.datetime(2026, 1, 20, 10, tzinfo=dt.UTC)
        void("e1")
        clock = UsageClock.objects.get()
        assert (clock.clock, clock.dirty_from) == (3, dt.datetime(2026, 1, 5, tzinfo=dt.UTC))

    def test_happens_once(self, acme: Customer) -> None:
        send(event("e1", 5))
        void("e1")
        with pytest.raises(UnableToCorrect, match="voided"):
            void("e1")
        with pytest.raises(UnableToCorrect, match="voided"):
            amend("e1", {"tokens": 1})
        assert buckets() == {"[null]": (0, 0)}

    def test_needs_an_event_that_was_accepted(self, acme: Customer) -> None:
        send(event("held", "many"))
        for source, id in (("gw", "nothing"), ("gw", "held"), ("other", "e1")):
            with pytest.raises(UnableToCorrect) as refused:
                void(id, source)
            assert refused.value.code == "unknown_event"

    def test_does_not_free_the_id(self, acme: Customer) -> None:
        send(event("e1", 5))
        void("e1")
        assert send(event("e1", 5)).duplicates == 1
        assert buckets() == {"[null]": (0, 0)}


class TestAnAmendment:
    def test_replaces_the_whole_data_and_may_move_to_another_group(self, acme: Customer) -> None:
        send(event("e1", data={"tokens": 5, "model": "m1"}), event("e2", data={"tokens": 7, "model": "m1"}))
        amend("e1", {"tokens": "80.5", "model": "m2"})
        assert buckets() == {'["m1"]': (1, 7), '["m2"]': (1, Decimal("80.5"))}

    def test_may_be_amended_and_voided_again(self, acme: Customer) -> None:
        send(event("e1", 5))
        assert amend("e1", b'{"tokens": 6}').position == 1
        assert amend("e1", b'{"tokens": 0.25}').position == 2
        assert buckets() == {"[null]": (1, Decimal("0.25"))}
        assert void("e1").position == 3
        assert buckets() == {"[null]": (0, 0)}

    def test_keeps_the_text_of_the_data_as_given(self, acme: Customer) -> None:
        send(event("e1", 5))
        assert amend("e1", b'{"tokens": 6.50}').data == '{"tokens": 6.50}'

    @pytest.mark.parametrize(
        "data",
        [
            b"", b"[1]", b"{nonsense", b'{"tokens":1}, "id":"other"', b"{}", b'{"tokens":null}', b'{"tokens":-1}',
            b'{"tokens":"NaN"}', b'{"tokens":true}', b"null", b'{"tokens":1,"x":"\\u0000"}',
            b'{"tokens":1,"x":' + b"[" * 40 + b"]" * 40 + b"}",
        ],
    )  # fmt: skip
    def test_must_be_data_that_a_new_event_could_have(self, acme: Customer, data: bytes) -> None:
        send(event("e1", 5))
        with pytest.raises(UnableToCorrect) as refused:
            amend("e1", data)
        assert refused.value.code == "invalid_data"
        assert (buckets(), Correction.objects.count()) == ({"[null]": (1, 5)}, 0)
        assert UsageClock.objects.get().clock == 1

    def test_changes_which_meters_count_the_event(self, acme: Customer) -> None:
        MeterFactory.create(key="m1", filters={"model": ["m1"]})
        send(event("e1", data={"tokens": 5, "model": "m1"}))
        amend("e1", {"tokens": 6, "model": "m2"})
        assert buckets("m1") == {"": (0, 0)}
        amend("e1", {"tokens": 7, "model": "m1"})
        assert buckets("m1") == {"": (1, 7)}


class TestExtremesAndLatestValues:
    def test_come_back_to_what_stood_before(self, acme: Customer) -> None:
        for aggregation in ("max", "min", "latest"):
            MeterFactory.create(key=aggregation, aggregation=aggregation)
        send(event("e1", 5), event("e2", 9, time="2026-01-20T10:05:00Z"), event("e3", 1, time="2026-01-20T10:01:00Z"))

        def values() -> tuple[Decimal | None, Decimal | None, Decimal | None]:
            by_key = {meter.key: meter.pk for meter in MeterFactory._meta.model.objects.all()}
            of = {key: Bucket.objects.get(meter_id=by_key[key]) for key in ("max", "min", "latest")}
            return of["max"].maximum, of["min"].minimum, of["latest"].latest

        assert values() == (9, 1, 9)
        amend("e2", {"tokens": 2})
        assert values() == (5, 1, 2)
        void("e3")
        assert values() == (5, 2, 2)
        void("e2")
        assert values() == (5, 5, 5)
        void("e1")
        assert values() == (None, None, None)
        send(event("e4", 3))
        assert values() == (3, 3, 3)


@pytest.mark.sql
def test_two_voids_of_one_event_are_refused_by_the_database(acme: Customer) -> None:
    send(event("e1", 5))
    first = void("e1")
    first.pk, first.position = None, 2
    with pytest.raises(IntegrityError, match="event_voided_once"), transaction.atomic():
        first.save(force_insert=True)
