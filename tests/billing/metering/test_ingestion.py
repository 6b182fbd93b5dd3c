import datetime as dt
from decimal import Decimal
from unittest import mock

import pytest
from django.db import OperationalError
from django.db.models import F, Sum

from billing.metering.ingestion import ingest
from billing.models import Bucket, Event, HeldRecord, HeldStatus, Receipt, ReceiptCount, Register, Sighting, UsageClock
from contracts.models import Customer, CustomerAlias
from tests.billing.metering.conftest import AT, open_by_reason, send, sightings_by_receipt, statuses
from tests.factories import ContractFactory, CustomerFactory, MeterFactory, SourceFactory, body, event

pytestmark = pytest.mark.django_db(databases=["default", "quarantine"])


def used() -> Decimal:
    return Bucket.objects.aggregate(used=Sum("total"))["used"] or Decimal(0)


class TestABatch:
    def test_is_stored_counted_and_stamped(self, acme: Customer) -> None:
        result = send(event("e1", 5), event("e2", "2.50", subject="acme-eu", time="2026-01-20T10:14:59.999999Z"))
        assert (result.received, result.accepted, result.duplicates, result.quarantined) == (2, 2, 0, 0)
        first, second = Event.objects.order_by("event_id")
        assert (first.customer_id, first.clock, first.data, first.receipt) == (
            acme.pk,
            1,
            '{"tokens":5}',
            result.receipt,
        )
        assert second.occurred_at == dt.datetime(2026, 1, 20, 10, 14, 59, 999999, dt.UTC)
        bucket = Bucket.objects.get()
        assert bucket.starts_at == dt.datetime(2026, 1, 20, 10, tzinfo=dt.UTC)
        assert (bucket.n, bucket.total, bucket.group, bucket.clock) == (2, Decimal("7.50"), "[null]", 1)
        clock = UsageClock.objects.get()
        assert (clock.clock, clock.dirty_from) == (1, first.occurred_at)
        assert Register.objects.count() == 2

    def test_adds_to_the_buckets_that_are_there(self, acme: Customer) -> None:
        send(event("e1", 5))
        send(event("e2", 6), event("e3", 7, time="2026-01-20T10:15:00Z"))
        assert list(Bucket.objects.order_by("starts_at").values_list("n", "total", "clock")) == [(2, 11, 2), (1, 7, 2)]

    def test_keeps_one_bucket_for_each_set_of_dimensions(self, acme: Customer) -> None:
        send(*(event(f"e{n}", data={"tokens": n, "model": f"m{n % 2}"}) for n in range(4)))
        assert list(Bucket.objects.order_by("group").values_list("group", "total")) == [('["m0"]', 2), ('["m1"]', 4)]

    def test_sent_again_adds_nothing(self, acme: Customer) -> None:
        batch = [event("e1", 5), event("e2", 6)]
        send(*batch)
        again = send(*batch)
        assert (again.accepted, again.duplicates) == (0, 2)
        assert (used(), UsageClock.objects.get().clock, Event.objects.count()) == (11, 1, 2)

    def test_answers_for_every_record_in_its_place(self, acme: Customer) -> None:
        send(event("e0"))
        result = send(event("e1"), event("e0"), event("e2", "many"), b"{nonsense}", event("e1"), event("e1", 9))
        assert statuses(result) == ["accepted", "duplicate", "invalid_value", "malformed", "duplicate", "conflict"]
        assert [one.index for one in result.not_accepted] == [1, 2, 3, 4, 5]
        assert (result.results[5].source, result.results[5].id) == ("gw", "e1")

    def test_leaves_a_receipt_that_adds_up_per_source(self, acme: Customer) -> None:
        result = send(event("e1"), event("e1"), event("e2", source="stranger"), b"{nonsense}")
        receipt = Receipt.objects.get()
        assert (receipt.pk, receipt.door, receipt.received_at) == (result.receipt, "api", AT)
        assert (receipt.received, receipt.accepted, receipt.duplicates, receipt.quarantined) == (4, 1, 1, 2)
        parts = ReceiptCount.objects.order_by("source").values_list("source", "accepted", "duplicates", "quarantined")
        assert list(parts) == [("", 0, 0, 1), ("gw", 1, 1, 0), ("stranger", 0, 0, 1)]
        assert sightings_by_receipt() == {result.receipt: 2}

    def test_of_nothing_gets_a_receipt_too(self) -> None:
        assert send().received == 0
        assert Receipt.objects.get().received == 0

    def test_may_come_as_records_of_their_own(self, acme: Customer) -> None:
        result = ingest([b'{"id":', body(event("e1"))[1:-1]], at=AT, door="import")
        assert statuses(result) == ["malformed", "accepted"]

    def test_spreads_over_the_months_in_which_its_events_happened(self, acme: Customer) -> None:
        months = ["2026-01-31T23:59:59.999999Z", "2026-02-01T00:00:00Z", "2026-12-31T23:59:59Z"]
        at = dt.datetime(2027, 1, 1, tzinfo=dt.UTC)
        result = send(*(event(f"e{n}", time=time) for n, time in enumerate(months)), at=at)
        assert result.accepted == 3
        assert Event.objects.filter(occurred_at__month=F("occurred_at__month")).count() == 3

    def test_keeps_an_event_that_no_meter_counts_because_of_its_filters(self, acme: Customer) -> None:
        MeterFactory.create(key="gpu", event_type="gpu", filters={"kind": ["a100"]})
        result = send(event("e1", type="gpu", data={"kind": "h100"}))
        assert result.accepted == 1
        assert (Event.objects.get().meters, Bucket.objects.count()) == ([], 0)

    def test_without_times_is_known_again_although_it_arrives_later(self, acme: Customer) -> None:
        send(event("e1", time=None))
        assert send(event("e1", time=None), at=AT + dt.timedelta(hours=1)).duplicates == 1


class TestTheFirstOfAnId:
    def test_wins_and_other_content_is_a_conflict(self, acme: Customer) -> None:
        send(event("e1", 5))
        assert statuses(send(event("e1", 6))) == ["conflict"]
        held = HeldRecord.objects.get()
        assert (held.reason, held.status, held.event_id) == ("conflict", HeldStatus.OPEN, "e1")
        assert bytes(held.raw) == body(event("e1", 6))[1:-1]
        assert used() == 5

    def test_is_settled_by_the_register_also_inside_a_batch(self, acme: Customer) -> None:
        send(event("e1", 5))
        assert statuses(send(event("e1", 6), event("e1", 5), event("e1", 6))) == ["conflict", "duplicate", "conflict"]

    def test_is_taken_for_ever_whatever_else_the_repeat_says(self, acme: Customer) -> None:
        """The same id for another customer, or in another month, is no new event."""
        ContractFactory.create(customer=CustomerFactory.create(key="beta"))
        send(event("e1", 5))
        later = AT + dt.timedelta(days=60)
        assert statuses(send(event("e1", 5, subject="beta"))) == ["conflict"]
        assert statuses(send(event("e1", 5, time="2026-02-20T10:00:00Z"), at=later)) == ["conflict"]

    def test_belongs_to_its_source(self, acme: Customer) -> None:
        SourceFactory.create(key="other")
        assert send(event("e1"), event("e1", source="other")).accepted == 2

    def test_stays_a_duplicate_when_it_could_no_longer_be_labelled(self, acme: Customer) -> None:
        send(event("e1", subject="acme-eu"))
        CustomerAlias.objects.all().delete()
        assert statuses(send(event("e1", subject="acme-eu"))) == ["duplicate"]
        assert HeldRecord.objects.count() == 0


class TestAHeldRecord:
    def test_keeps_what_came_byte_for_byte_and_what_could_be_read(self, source: object, meter: object) -> None:
        send(event("e1", subject="nobody"))
        held = HeldRecord.objects.get()
        assert bytes(held.raw) == body(event("e1", subject="nobody"))[1:-1]
        assert (held.source, held.event_id, held.type, held.subject) == ("gw", "e1", "llm.request", "nobody")
        assert held.occurred_at == dt.datetime(2026, 1, 20, 10, tzinfo=dt.UTC)
        assert "nobody" in held.detail

    def test_repeated_is_another_sighting_of_the_same_record(self, source: object, meter: object) -> None:
        first = send(event("e1"), event("e1"))
        second = send(event("e1"))
        assert (first.quarantined, second.quarantined) == (2, 1)
        assert HeldRecord.objects.get().receipt == first.receipt
        assert sightings_by_receipt() == {first.receipt: 2, second.receipt: 1}
        assert open_by_reason() == {"unknown_customer": 1}

    def test_with_other_content_or_another_reason_is_a_record_of_its_own(self, source: object, meter: object) -> None:
        send(event("e1"), event("e1", 2), event("e1", None))
        assert open_by_reason() == {"missing_field": 1, "unknown_customer": 2}

    def test_is_superseded_when_its_id_arrives_in_good_form(self, acme: Customer) -> None:
        send(event("e1", "many"), event("e2", "many"))
        later = AT + dt.timedelta(minutes=1)
        assert send(event("e1", 5), at=later).accepted == 1
        states = HeldRecord.objects.order_by("event_id").values_list("event_id", "status", "resolved_at")
        assert list(states) == [("e1", "superseded", later), ("e2", "open", None)]

    def test_stays_open_where_it_came_after_the_good_one_however_often_that_is_repeated(self, acme: Customer) -> None:
        send(event("e1", 5))
        send(event("e1", 6), event("e1", "many"), at=AT + dt.timedelta(minutes=1))
        send(event("e1", 5), at=AT + dt.timedelta(minutes=2))
        states = HeldRecord.objects.order_by("reason").values_list("reason", "status")
        assert list(states) == [("conflict", "open"), ("invalid_value", "open")]

    def test_stays_open_where_it_came_after_the_good_one_in_a_batch_and_not_before(self, acme: Customer) -> None:
        send(event("e1", "many"), event("e1", 5), event("e1", "few"))
        assert [bytes(one.raw).find(b"few") > 0 for one in HeldRecord.objects.filter(status="open")] == [True]
        assert HeldRecord.objects.filter(status="superseded").count() == 1

    def test_is_superseded_by_a_duplicate_where_that_was_kept_from_being_noted(self, acme: Customer) -> None:
        send(event("e1", "many"))
        with mock.patch("billing.metering.ingestion.is_any_open", side_effect=OperationalError("away")):
            assert send(event("e1", 5), at=AT + dt.timedelta(minutes=1)).accepted == 1
        assert HeldRecord.objects.get().status == "open"
        send(event("e1", 5), at=AT + dt.timedelta(minutes=2))
        assert HeldRecord.objects.get().status == "superseded"

    def test_counts_once_what_was_wrong_is_put_right(self, source: object, meter: object) -> None:
        assert statuses(send(event("e1", 5))) == ["unknown_customer"]
        ContractFactory.create(customer=CustomerFactory.create(key="acme"))
        assert statuses(send(event("e1", 5))) == ["accepted"]
        assert HeldRecord.objects.get().status == HeldStatus.SUPERSEDED
        assert Sighting.objects.count() == 1

    def test_may_be_longer_than_any_index_takes(self, acme: Customer) -> None:
        assert statuses(send(event("e" * 3000), event("e", source="s" * 3000))) == ["malformed", "malformed"]
