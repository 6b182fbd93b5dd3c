"""Rules at work: from the bytes of a batch to events, buckets and held records, on PostgreSQL."""

from __future__ import annotations

import contextlib
import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.metering.corrections import UnableToCorrect, amend_event, void_event
from billing.metering.ingestion import ingest
from billing.metering.originals import originals_of
from billing.metering.recount import recount
from billing.metering.rule_kinds import RuleTerms
from billing.metering.rulebook import Approval, keep_rule, move_rule, switch_rule
from billing.models import Bucket, Event, HeldRecord, OriginalEvent, Source, SourceRule
from catalog.models import Meter
from contracts.models import Customer
from tests.billing.metering.conftest import AT, send, statuses
from tests.factories import ContractFactory, CustomerFactory, MeterFactory, SourceFactory, event

pytestmark = pytest.mark.django_db(databases=["default", "quarantine"])


def keep(kind: str, field: str = "", **terms: Any) -> SourceRule:
    source = Source.objects.get(key="gw")
    approval = Approval(7, "user:1", "user:2") if kind == "discard" else None
    terms_of_it = RuleTerms(kind=kind, field=field, **terms)
    return keep_rule(source, terms_of_it, at=AT, by=None, reason="a test", approval=approval)


def total() -> Decimal | None:
    return sum((bucket.total or Decimal(0) for bucket in Bucket.objects.all()), Decimal(0))


class TestOnArrival:
    def test_an_event_counts_as_the_rules_leave_it(self, acme: Customer) -> None:
        """1.234,5 thousand tokens under another name, for a subject with blanks, are 1234500."""
        keep("trim", "subject")
        keep("rename", "data.tok", to="data.tokens")
        keep("number", "data.tokens", number_format="comma")
        keep("convert", "data.tokens", factor=Decimal(1000))
        keep("map_type", value="llm.req", to="llm.request")
        result = send(event("e1", type="llm.req", subject=" acme ", data={"tok": "1.234,5", "model": "m1"}))
        assert statuses(result) == ["accepted"]
        stored = Event.objects.get()
        assert (stored.type, stored.subject, stored.data) == ("llm.request", "acme", '{"model":"m1","tokens":1234500}')
        bucket = Bucket.objects.get()
        assert (bucket.group, bucket.n, bucket.total) == ('["m1"]', 1, 1234500)
        assert list(recount()) == []

    def test_what_came_is_kept_beside_it(self, acme: Customer) -> None:
        trim, rename = keep("trim", "subject"), keep("rename", "data.tok", to="data.tokens")
        send(event("e1", subject=" acme", data={"tok": 5}), event("e2", 6))
        original = OriginalEvent.objects.get()
        changed, plain = Event.objects.order_by("event_id")
        assert (original.key, original.position) == (changed.key, 0)
        assert (original.customer_id, original.occurred_at) == (changed.customer_id, changed.occurred_at)
        assert (original.type, original.subject, original.data) == ("llm.request", " acme", '{"tok":5}')
        assert original.rules == [trim.pk, rename.pk]
        assert originals_of([changed, plain]) == {changed.key: original}

    def test_a_source_without_rules_keeps_nothing_beside(self, acme: Customer) -> None:
        send(event("e1", 5))
        assert Event.objects.count() == 1 and not OriginalEvent.objects.exists()

    def test_rules_are_those_of_the_source_alone(self, acme: Customer) -> None:
        keep("set", "data.tokens", value="100", when_type="llm.request")
        SourceFactory.create(key="other")
        send(event("e1", 1), event("e1", 1, source="other"))
        assert total() == 101

    def test_a_subject_is_looked_up_as_the_rules_leave_it(self, acme: Customer) -> None:
        keep("lower", "subject")
        keep("rewrite", "subject", value="org-*", to="$1-eu")
        assert statuses(send(event("e1", subject="ORG-ACME"), event("e2", subject="ORG-Nobody"))) == [
            "accepted",
            "unknown_customer",
        ]

    def test_what_is_held_is_kept_byte_for_byte_under_the_subject_that_was_looked_up(self, acme: Customer) -> None:
        keep("lower", "subject")
        raw = b'{"id": "e1", "source": "gw", "type": "llm.request", "subject": "NOBODY", "data": {"tokens": 1}}'
        send(raw)
        held = HeldRecord.objects.get()
        assert (held.subject, bytes(held.raw)) == ("nobody", raw)

    def test_a_rule_counts_from_the_next_batch_on(self, acme: Customer) -> None:
        send(event("e1", 1000))
        rule = keep("convert", "data.tokens", factor=Decimal("0.001"))
        send(event("e2", 1000))
        switch_rule(rule, False, at=AT, by=None, reason="back again")
        send(event("e3", 1000))
        assert [one.data for one in Event.objects.order_by("event_id")] == [
            '{"tokens":1000}', '{"tokens":1}', '{"tokens":1000}',
        ]  # fmt: skip
        assert total() == 2001


class TestARepeat:
    def test_is_a_duplicate_whatever_the_rules_say_by_then(self, acme: Customer) -> None:
        send(event("e1", 1000))
        rule = keep("convert", "data.tokens", factor=Decimal("0.001"))
        assert statuses(send(event("e1", 1000))) == ["duplicate"]
        send(event("e2", 1000))
        switch_rule(rule, False, at=AT, by=None, reason="back again")
        keep("hold")
        assert statuses(send(event("e1", 1000), event("e2", 1000))) == ["duplicate", "duplicate"]
        assert total() == 1001

    def test_that_says_what_the_rules_made_of_the_first_is_a_conflict(self, acme: Customer) -> None:
        """What was received is compared, not what counts: the source has said two things."""
        keep("convert", "data.tokens", factor=Decimal("0.001"))
        assert statuses(send(event("e1", 1000), event("e1", 1))) == ["accepted", "conflict"]

    def test_of_a_held_record_is_accepted_once_a_rule_makes_it_fit(self, acme: Customer) -> None:
        assert statuses(send(event("e1", "1,000"))) == ["invalid_value"]
        keep("number", "data.tokens")
        assert statuses(send(event("e1", "1,000"))) == ["accepted"]
        assert HeldRecord.objects.get().status == "superseded"
        assert total() == 1000


class TestTheOrderOfReasons:
    """A rule is looked for after everything but a conflict (design, section 5)."""

    @pytest.mark.parametrize(
        ("said", "reason"),
        [
            (event("e", time="noon"), "malformed"),
            (event("e", source="nobody"), "unknown_source"),
            (event("e", data={}), "missing_field"),
            (event("e", time="2026-02-20T10:00:00Z"), "time_in_future"),
            (event("e", type="other"), "unknown_event_type"),
            (event("e", subject="nobody"), "unknown_customer"),
            (event("e", time="2025-12-31T23:59:59Z"), "no_active_contract"),
            (event("e", "many"), "invalid_value"),
            (event("e"), "rule"),
        ],
    )
    def test_stays_as_it_is(self, acme: Customer, said: dict[str, Any], reason: str) -> None:
        keep("hold")
        assert statuses(send(said)) == [reason]

    def test_and_a_conflict_comes_last(self, acme: Customer) -> None:
        send(event("e1", 1))
        keep("hold")
        assert statuses(send(event("e1", 2))) == ["rule"]

    def test_a_held_record_says_which_rule(self, acme: Customer) -> None:
        rule = keep("hold", when_field="data.model", when_values=("*-preview",))
        result = send(
            event("e1", data={"tokens": 1, "model": "m2-preview"}), event("e2", data={"tokens": 1, "model": "m2"})
        )
        assert statuses(result) == ["rule", "accepted"]
        assert HeldRecord.objects.get().detail == f"Hold for review, where data.model is “*-preview” (rule {rule.pk})"

    def test_rules_fill_what_would_be_missing(self, acme: Customer) -> None:
        keep("default", "data.tokens", value="3")
        keep("rename", "data.tenant", to="subject")
        assert statuses(send(event("e1", subject=None, data={"tenant": "acme"}))) == ["accepted"]
        assert total() == 3

    def test_a_discard_is_known_by_the_record_whatever_the_reason(self, acme: Customer) -> None:
        keep("discard", when_subjects=("66.249.*",))
        result = send(event("e1", subject="66.249.73.135"), event("e2", subject="acme"))
        assert statuses(result) == ["unknown_customer", "accepted"]
        stop = result._records[0].stop
        assert stop is not None and (stop.kind, stop.approval) == ("discard", 7)


class TestCorrections:
    def test_the_new_data_of_an_event_go_through_the_rules(self, acme: Customer) -> None:
        """The source reports milliseconds; whoever corrects it says milliseconds too."""
        keep("convert", "data.tokens", factor=Decimal("0.001"))
        send(event("e1", 5000))
        correction = amend_event("gw", "e1", {"tokens": 7000}, reason="meter fault", at=AT, by="ada")
        assert correction.data == '{"tokens":7}'
        assert total() == 7 and list(recount()) == []
        original = OriginalEvent.objects.get(position=1)
        assert (original.key, original.data) == (correction.key, '{"tokens":7000}')

    def test_are_read_by_the_type_under_which_the_event_came(self, acme: Customer) -> None:
        keep("default", "data.tokens", value="9", when_type="llm.req")
        keep("map_type", value="llm.req", to="llm.request")
        send(event("e1", 5, type="llm.req"))
        amend_event("gw", "e1", {}, reason="nothing was said", at=AT, by="ada")
        assert total() == 9 and list(recount()) == []

    def test_keep_nothing_beside_what_the_rules_left_alone(self, acme: Customer) -> None:
        keep("trim", "subject")
        send(event("e1", 5, subject=" acme"))
        amend_event("gw", "e1", {"tokens": 6}, reason="meter fault", at=AT, by="ada")
        assert [original.position for original in OriginalEvent.objects.all()] == [0]

    def test_that_a_rule_would_hold_are_refused(self, acme: Customer) -> None:
        send(event("e1", 5))
        keep("hold", when_field="data.tokens", when_values=("0",))
        with pytest.raises(UnableToCorrect, match="a rule says Hold for review") as refused:
            amend_event("gw", "e1", {"tokens": 0}, reason="meter fault", at=AT, by="ada")
        assert refused.value.code == "invalid_data"
        assert total() == 5

    def test_a_void_takes_back_what_was_counted(self, acme: Customer) -> None:
        rule = keep("convert", "data.tokens", factor=Decimal("0.001"))
        send(event("e1", 5000), event("e2", 1000))
        switch_rule(rule, False, at=AT, by=None, reason="they report seconds now")
        void_event("gw", "e1", reason="test traffic", at=AT, by="ada")
        assert total() == 1 and list(recount()) == []


class TestARule:
    def test_is_moved_among_the_others(self, acme: Customer) -> None:
        first, second = keep("strip_prefix", "subject", value="a-"), keep("strip_prefix", "subject", value="b-")
        assert statuses(send(event("e1", subject="b-a-acme"))) == ["unknown_customer"]
        move_rule(second, -1, at=AT, by=None, reason="first this")
        assert statuses(send(event("e2", subject="b-a-acme"))) == ["accepted"]
        assert [rule.pk for rule in SourceRule.objects.order_by("position")] == [second.pk, first.pk]


rules = st.lists(
    st.sampled_from(
        [
            RuleTerms(kind="convert", field="data.tokens", factor=Decimal("0.001")),
            RuleTerms(kind="number", field="data.tokens"),
            RuleTerms(kind="rename", field="data.tok", to="data.tokens"),
            RuleTerms(kind="default", field="data.tokens", value="7"),
            RuleTerms(kind="lower", field="data.model"),
            RuleTerms(kind="rewrite", field="data.model", value="m*-latest", to="m$1"),
            RuleTerms(kind="set", field="data.tokens", value="1", when_field="data.tokens", when_values=("n/a",)),
            RuleTerms(kind="strip_prefix", field="subject", value="org:"),
            RuleTerms(kind="hold", when_field="data.model", when_values=("bad*",)),
        ]
    ),
    unique_by=lambda terms: terms.kind,
    max_size=6,
)
contents = st.lists(
    st.tuples(
        st.sampled_from([1, 1500, "1,500", "n/a", None, 2.5, "x"]),
        st.sampled_from(["m1", "M1-latest", "bad-1", None]),
        st.sampled_from(["tokens", "tok"]),
        st.sampled_from(["acme", "org:acme"]),
        st.integers(1, 28),
    ),
    max_size=12,
)


@pytest.fixture
def every_meter() -> list[Meter]:
    SourceFactory.create()
    ContractFactory.create(customer=CustomerFactory.create(key="acme"))
    aggregations = ("sum", "count", "max", "min", "latest", "avg", "unique_count", "weighted_sum")
    return [MeterFactory.create(key=name, aggregation=name, group_by=["model"]) for name in aggregations]


class Rounds:
    """A source of its own for each example: hypothesis asks many times in one transaction."""

    count = 0


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(chosen=rules, said=contents, amended=st.integers(0, 11))
def test_buckets_are_the_fold_of_the_events_whatever_the_rules(
    every_meter: list[Meter], chosen: list[RuleTerms], said: list[Any], amended: int
) -> None:
    Rounds.count += 1
    source = SourceFactory.create(key=f"s{Rounds.count}")
    for terms in chosen:
        keep_rule(source, terms, at=AT, by=None, reason="")
    batch = [
        event(
            f"e{n}",
            source=source.key,
            subject=subject,
            time=f"2026-01-{day:02}T10:00:00Z",
            data={field: value, "model": model},
        )
        for n, (value, model, field, subject, day) in enumerate(said)
    ]
    later = dt.datetime(2026, 2, 1, tzinfo=dt.UTC)
    first = send(*batch, at=later)
    assert list(recount()) == []
    again = send(*batch, at=later)
    assert again.accepted == 0 and again.duplicates == first.accepted
    with contextlib.suppress(UnableToCorrect):
        amend_event(source.key, f"e{amended}", {"tokens": 2500, "model": "M1-latest"}, reason="x", at=later)
    assert list(recount()) == []


def test_ingest_is_the_same_for_every_door(acme: Customer) -> None:
    keep("convert", "data.tokens", factor=Decimal("0.001"))
    ingest(
        b'{"id": "e1", "source": "gw", "type": "llm.request", "subject": "acme", "data": {"tokens": 1000}}',
        at=AT,
        door="import",
    )
    assert total() == 1
