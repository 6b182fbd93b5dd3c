import datetime as dt
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from billing.metering.decoding import decode_record, instant_of
from billing.metering.directory import FOR_EVER, Directory, KnownCustomer, KnownSource, event_type, meter_plan
from billing.metering.labelling import Held, Label, decide
from catalog.models import Meter
from tests.factories import event

AT = dt.datetime(2026, 1, 20, 12, tzinfo=dt.UTC)
STARTS = instant_of(dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
FIVE_MINUTES = 300_000_000


def meter(aggregation: str = "sum", **terms: Any) -> Meter:
    return Meter(
        pk=1, **{"key": "tokens", "event_type": "llm.request", "value": "tokens", **terms}, aggregation=aggregation
    )


def directory(*meters: Meter, spans: tuple[tuple[int, int], ...] = ((STARTS, FOR_EVER),)) -> Directory:
    by_type = {"llm.request": event_type(meter_plan(one) for one in meters or [meter()])}
    return Directory(None, {"gw": KnownSource(7, FIVE_MINUTES)}, by_type, {"acme": KnownCustomer(3, spans)})


def decided(said: dict[str, Any] | bytes, *meters: Meter, at: dt.datetime = AT, **options: Any) -> Label | Held:
    raw = said if isinstance(said, bytes) else msgspec.json.encode(said)
    return decide(decode_record(raw), directory(*meters), at, **options)


def reason(said: dict[str, Any] | bytes, *meters: Meter, **options: Any) -> str:
    decision = decided(said, *meters, **options)
    assert isinstance(decision, Held), decision
    return decision.reason.value


def reading(said: dict[str, Any] | bytes, *meters: Meter) -> tuple[str, object]:
    decision = decided(said, *meters)
    assert isinstance(decision, Label), decision
    (only,) = decision.readings
    return only.group, only.value


def with_value(text: str) -> bytes:
    return msgspec.json.encode(event("e")).replace(b'"tokens":1', b'"tokens":' + text.encode())


class TestALabel:
    def test_names_source_customer_time_and_what_each_meter_gets(self) -> None:
        label = decided(event("e", tokens=12), meter())
        assert isinstance(label, Label)
        assert (label.source_id, label.customer_id, label.meters) == (7, 3, (1,))
        assert label.occurred_at == instant_of(dt.datetime(2026, 1, 20, 10, tzinfo=dt.UTC))
        assert label.readings[0].value == 12

    def test_takes_the_arrival_where_there_is_no_time(self) -> None:
        label = decided(event("e", time=None))
        assert isinstance(label, Label) and label.occurred_at == instant_of(AT)

    def test_stands_where_no_meter_of_the_type_lets_the_event_pass(self) -> None:
        label = decided(event("e", data={"model": "m2"}), meter(filters={"model": ["m1"]}))
        assert isinstance(label, Label) and label.readings == []

    @pytest.mark.parametrize("status", [200, "200", 200.0])
    def test_compares_filters_by_what_is_meant(self, status: object) -> None:
        label = decided(event("e", data={"tokens": 1, "status": status}), meter(filters={"status": [200, 201]}))
        assert isinstance(label, Label) and label.meters == (1,)

    def test_groups_by_texts_and_keeps_what_is_absent_apart(self) -> None:
        by_model = meter(group_by=["model", "cached"])
        assert reading(event("e", data={"tokens": 1, "model": "m1", "cached": True}), by_model)[0] == '["m1","true"]'
        assert reading(event("e", data={"tokens": 1, "cached": 1.0}), by_model)[0] == '[null,"1"]'

    def test_reads_values_along_a_dotted_path(self) -> None:
        nested = event("e", data={"usage": {"tokens": "2.50"}})
        assert reading(nested, meter(value="usage.tokens")) == ("", Decimal("2.50"))

    @pytest.mark.parametrize(("value", "text"), [("x", "x"), (5, "5"), (5.0, "5"), (True, "true")])
    def test_counts_any_scalar_as_a_distinct_value(self, value: object, text: str) -> None:
        assert reading(event("e", tokens=value), meter("unique_count")) == ("", text)

    @pytest.mark.parametrize(
        "text", ["0.1", '"0.1"', "1e-1", "12345678901234567890123456789012345678", '"+3.50"', "0", "-0"]
    )
    def test_has_exact_values_from_numbers_and_numeric_strings(self, text: str) -> None:
        _, value = reading(with_value(text), meter())
        assert value == Decimal(text.strip('"'))

    def test_may_be_below_zero_where_the_meter_allows_it_or_weighs_changes(self) -> None:
        assert reading(event("e", tokens=-3), meter(allow_negative=True))[1] == -3
        assert reading(event("e", tokens=-3), meter("weighted_sum"))[1] == -3


class TestAReason:
    def test_is_malformed_for_a_record_of_bad_form(self) -> None:
        assert reason(event("e", time="2026-01-20T10:00:00")) == "malformed"

    def test_is_unknown_source_for_one_nobody_declared_or_the_key_may_not_use(self) -> None:
        assert reason(event("e", source="other")) == "unknown_source"
        assert reason(event("e"), bound_source="other") == "unknown_source"
        assert isinstance(decided(event("e"), bound_source="gw"), Label)

    @pytest.mark.parametrize("name", ["id", "source", "type", "subject"])
    @pytest.mark.parametrize("value", [None, ""])
    def test_is_missing_field_for_an_attribute(self, name: str, value: str | None) -> None:
        assert reason(event(**{"id": "e", name: value})) == "missing_field"  # type: ignore[arg-type]

    @pytest.mark.parametrize("data", [{}, {"tokens": None}, None])
    def test_is_missing_field_for_the_value_of_a_meter_that_counts_it(self, data: dict[str, Any] | None) -> None:
        assert reason(event("e", data=data)) == "missing_field"
        assert isinstance(decided(event("e", data=data), meter("count", value="")), Label)

    def test_is_time_in_future_beyond_the_clock_skew_only(self) -> None:
        arrival = dt.datetime(2026, 1, 20, 9, 55, tzinfo=dt.UTC)
        assert isinstance(decided(event("e"), at=arrival), Label)
        assert reason(event("e"), at=arrival - dt.timedelta(microseconds=1)) == "time_in_future"

    def test_is_unknown_event_type_where_no_meter_counts_the_type(self) -> None:
        assert reason(event("e", type="other")) == "unknown_event_type"

    def test_is_unknown_customer_for_a_subject_of_nobody(self) -> None:
        assert reason(event("e", subject="nobody")) == "unknown_customer"

    def test_is_no_active_contract_outside_half_open_spans(self) -> None:
        noon = instant_of(dt.datetime(2026, 1, 20, 10, tzinfo=dt.UTC))
        record = decode_record(msgspec.json.encode(event("e")))
        for spans, is_inside in (((noon, noon + 1), True), ((noon + 1, FOR_EVER), False), ((STARTS, noon), False)):
            assert isinstance(decide(record, directory(spans=(spans,)), AT), Label) is is_inside
        assert isinstance(decide(record, directory(spans=()), AT), Held)

    @pytest.mark.parametrize(
        "text",
        [
            '"NaN"', '"Infinity"', '"-Infinity"', "true", "false", "-1", '"-0.5"', '"12 "', '"1_000"', '"0x10"', '""',
            "[1]", '{"x":1}', "1e400", "1e-400", "123456789012345678901234567890123456789", '"twelve"', '"١٢"',
        ],
    )  # fmt: skip
    def test_is_invalid_value_for_what_is_no_exact_number_or_below_zero(self, text: str) -> None:
        assert reason(with_value(text)) == "invalid_value"

    def test_is_invalid_value_for_a_group_too_long_or_not_a_text(self) -> None:
        grouped = meter(group_by=["model"])
        assert reason(event("e", data={"tokens": 1, "model": "m" * 2000}), grouped) == "invalid_value"
        assert reason(event("e", data={"tokens": 1, "model": {"name": "m"}}), grouped) == "invalid_value"

    def test_is_the_first_that_applies_in_the_order_of_the_design(self) -> None:
        worst: dict[str, Any] = event(
            "e",
            specversion="0.3",
            source="other",
            time="2027-01-01T00:00:00Z",
            type="other",
            subject="nobody",
            data=None,
        )
        remedies: list[tuple[str, dict[str, Any]]] = [
            ("malformed", {"specversion": "1.0"}),
            ("unknown_source", {"source": "gw"}),
            ("time_in_future", {"time": "2025-01-01T00:00:00Z"}),
            ("unknown_event_type", {"type": "llm.request"}),
            ("missing_field", {"data": {"tokens": True}}),
            ("unknown_customer", {"subject": "acme"}),
            ("no_active_contract", {"time": "2026-01-20T10:00:00Z"}),
            ("invalid_value", {"data": {"tokens": 1}}),
        ]
        for expected, remedy in remedies:
            assert reason(worst) == expected
            worst |= remedy
        assert isinstance(decided(worst), Label)

    def test_is_missing_field_before_the_invalid_value_of_another_meter(self) -> None:
        other = Meter(pk=2, key="other", event_type="llm.request", aggregation="max", value="size")
        assert reason(event("e", tokens="many"), meter(), other) == "missing_field"
