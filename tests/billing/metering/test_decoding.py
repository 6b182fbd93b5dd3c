import datetime as dt
from decimal import Decimal
from hashlib import blake2b

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from billing.metering.decoding import (
    MAX_DEPTH,
    MAX_RECORD,
    NotABatch,
    datetime_of,
    decode_batch,
    decode_record,
    instant_of,
    parse_time,
    register_key,
)

GOOD = b'{"id":"a","source":"gw","type":"t","subject":"s","data":{"x":1}}'


def elements(body: bytes) -> list[bytes]:
    return [bytes(element) for element in decode_batch(body)]


class TestABatch:
    def test_is_one_object_or_an_array_of_them(self) -> None:
        assert elements(b' {"id":"a"}\n') == [b' {"id":"a"}\n']
        assert elements(b'[{"id":"a"}, {"id":"b"}]') == [b'{"id":"a"}', b'{"id":"b"}']
        assert elements(b"[ ]") == []

    @pytest.mark.parametrize(
        "body",
        [
            b"", b"  ", b"5", b'"text"', b"null", b"not json", b"{not json}", b'{"id":', b'{"id":"a"}{"id":"b"}',
            b"[", b'[{"id":"a"}', b'[{"id":"a"},{"id":]', b'[{"id":"a"}] x', b'[{"a":NaN}][{}]', b'[{"id":"a}]',
            b"id=a&source=b", b"\xff\xfe[\x00]\x00",
        ],
    )  # fmt: skip
    def test_that_is_not_json_of_that_form_is_refused_as_a_whole(self, body: bytes) -> None:
        with pytest.raises(NotABatch):
            decode_batch(body)

    @pytest.mark.parametrize(
        "bad",
        [
            b'{"id":"b","data":{"x":NaN}}', b'{"id":"b","data":{"x":Infinity}}', b'{"id":"b" "source":"gw"}', b"tru",
            b'{"id":"b","data":{"x":01}}', b'{"id":"b","data":{"x":"\\ud800"}}', b'{"id":"b","data":{"x":"\x01"}}',
            b'{"id":"b","data":{"x":"\xff"}}', b'{"id":"\\u0000b","source":"gw"}', b"[]", b"5", b'"]},{["', b"null",
            b'{"id":5}', b'{"id":"b","data":[1]}', b'{"id":"b","data":{"x":1e99999999999999999999}}',
            b'{"id":"b","data":' + b'{"x":' * 2000 + b"1" + b"}" * 2001,
            b'{"id":"b","data":{"x":' + b"9" * 5000 + b"}}", b'{"data":"' + b"x" * MAX_RECORD + b'"}',
        ],
    )  # fmt: skip
    def test_never_lets_a_bad_record_cost_a_good_one(self, bad: bytes) -> None:
        records = [decode_record(raw) for raw in decode_batch(b"[" + GOOD + b", " + bad + b"," + GOOD + b"]")]
        assert [record.fault is None for record in records] == [True, False, True]
        assert bytes(records[1].raw) == bad

    def test_of_escaped_quotes_that_never_ends_is_refused_at_once(self) -> None:
        with pytest.raises(NotABatch):
            decode_batch(b'[tru,"' + b'\\"' * 2_000_000)

    @given(st.binary(max_size=200))
    @example(b"[[[[[[[[")
    def test_of_any_bytes_is_refused_or_judged_record_by_record(self, noise: bytes) -> None:
        try:
            records = [decode_record(raw) for raw in decode_batch(b"[" + noise + b"]")]
        except NotABatch:
            return
        assert all(record.fault is None or record.key is None or record.id for record in records)


class TestARecord:
    def test_keeps_its_attributes_and_its_data_as_they_came(self) -> None:
        raw = (
            b'{"specversion":"1.0","id":"a","source":"gw","type":"t","subject":"s","time":"2026-01-20T10:00:00Z",'
            b'"dataschema":"x","trace":{"deep":[1]},"data": {"b":1.50, "a":"x"} }'
        )
        record = decode_record(raw)
        assert (record.id, record.source, record.type, record.subject) == ("a", "gw", "t", "s")
        assert record.data == {"b": Decimal("1.5"), "a": "x"}
        assert record.data_text.strip() == b'{"b":1.50, "a":"x"}'
        assert record.occurred_at is not None
        assert datetime_of(record.occurred_at) == dt.datetime(2026, 1, 20, 10, tzinfo=dt.UTC)

    def test_without_a_version_is_taken_as_1_0_and_any_other_is_refused(self) -> None:
        assert decode_record(GOOD).fault is None
        assert "specversion" in str(decode_record(b'{"specversion":"0.3",' + GOOD[1:]).fault)

    def test_of_bad_form_is_still_named_where_it_can_be(self) -> None:
        record = decode_record(b'{"id":"a","source":"gw","time":"yesterday"}')
        assert (record.id, record.source) == ("a", "gw")
        assert record.key == register_key("gw", "a")
        assert record.digest == blake2b(bytes(record.raw), digest_size=16).digest()

    def test_may_be_nested_as_deep_as_allowed_and_no_deeper(self) -> None:
        def nested(levels: int) -> bytes:
            return b'{"id":"a","data":' + b'{"x":' * levels + b"1" + b"}" * levels + b"}"

        assert decode_record(nested(MAX_DEPTH - 1)).fault is None
        assert "nested" in str(decode_record(nested(MAX_DEPTH)).fault)

    def test_takes_many_lists_side_by_side_for_what_they_are(self) -> None:
        assert decode_record(b'{"id":"a","data":{"x":[' + b",".join([b"[]"] * 100) + b"]}}").fault is None

    def test_may_hold_a_backslash_before_u0000(self) -> None:
        assert decode_record(b'{"id":"a","data":{"path":"C:\\\\u0000"}}').fault is None

    @pytest.mark.parametrize("name", ["id", "source", "type", "subject"])
    def test_has_attributes_of_bounded_length(self, name: str) -> None:
        assert decode_record(msgspec.json.encode({name: "ä" * 255})).fault is None
        fault = decode_record(msgspec.json.encode({"id": "a", "source": "gw", name: "ä" * 256})).fault
        assert fault == f"{name} is longer than 255 characters"


class TestADigest:
    @pytest.mark.parametrize(
        "same",
        [
            b'{"subject":"s","data":{"y":"z","x":1},"type":"t","source":"gw","id":"a","time":"2026-01-20T10:00:00Z"}',
            b'{"id":"a","source":"gw","type":"t","subject":"s","time":"2026-01-20T11:00:00+01:00",'
            b'"data":{"x":1.0,"y":"z"}}',
            b'{"id":"a","source":"gw","type":"t","subject":"s","time":"2026-01-20T10:00:00.0000009Z",'
            b'"data":{"x":10e-1,"y":"\\u007a"}, "trace":"other"}',
        ],
    )
    def test_is_that_of_the_content_however_it_is_written(self, same: bytes) -> None:
        written = (
            b'{"id":"a","source":"gw","type":"t","subject":"s","time":"2026-01-20T10:00:00Z","data":{"x":1,"y":"z"}}'
        )
        assert decode_record(same).digest == decode_record(written).digest

    @pytest.mark.parametrize(
        "other", [b'{"x":"1"}', b'{"x":true}', b'{"x":1.000000000000000000000000000001}', b'{"x":1,"y":null}', b"{}"]
    )
    def test_differs_where_the_data_do(self, other: bytes) -> None:
        assert decode_record(b'{"data":{"x":1}}').digest != decode_record(b'{"data":' + other + b"}").digest

    def test_keeps_every_digit_of_a_number(self) -> None:
        wide = b"0.1234567890123456789012345678901234567890"
        assert decode_record(b'{"data":{"x":' + wide + b"}}").data == {"x": Decimal(wide.decode())}

    def test_of_a_key_does_not_confuse_where_the_source_ends(self) -> None:
        assert register_key("a", "bc") != register_key("ab", "c")


class TestATime:
    @pytest.mark.parametrize(
        ("text", "instant"),
        [
            ("2026-01-20T10:00:00Z", dt.datetime(2026, 1, 20, 10, tzinfo=dt.UTC)),
            ("2026-01-20t10:00:00z", dt.datetime(2026, 1, 20, 10, tzinfo=dt.UTC)),
            ("2026-01-20 10:00:00-05:30", dt.datetime(2026, 1, 20, 15, 30, tzinfo=dt.UTC)),
            ("2026-01-20T10:00:00.1234569Z", dt.datetime(2026, 1, 20, 10, 0, 0, 123456, dt.UTC)),
            ("1969-12-31T23:59:59.9999999Z", dt.datetime(1969, 12, 31, 23, 59, 59, 999999, dt.UTC)),
            ("0001-01-01T00:00:00Z", dt.datetime(1, 1, 1, tzinfo=dt.UTC)),
            ("9999-12-31T23:59:59.999999Z", dt.datetime(9999, 12, 31, 23, 59, 59, 999999, dt.UTC)),
        ],
    )
    def test_is_cut_off_after_microseconds_and_never_rounded(self, text: str, instant: dt.datetime) -> None:
        assert parse_time(text) == instant_of(instant)

    @pytest.mark.parametrize(
        "text",
        [
            "2026-01-20T10:00:00", "2026-01-20", "20260120T100000Z", "2026-W04-2T10:00:00Z", "2026-01-20T10:00Z",
            "2026-02-30T00:00:00Z", "2026-01-20T24:00:00Z", "2026-01-20T10:00:00+24:00", "2026-01-20T10:00:00,5Z",
            "0001-01-01T00:00:00+10:00", "9999-12-31T23:59:59-10:00", "1768903200", "", "٢٠٢٦-01-20T10:00:00Z",
        ],
    )  # fmt: skip
    def test_without_an_offset_or_off_the_calendar_is_none(self, text: str) -> None:
        assert parse_time(text) is None

    def test_is_read_the_same_whatever_was_read_before_in_its_second(self) -> None:
        second = instant_of(dt.datetime(2026, 3, 4, 5, 6, 7, tzinfo=dt.UTC))
        assert parse_time("2026-03-04T05:06:07Z") == second
        tails = {
            ".5Z": 500_000,
            ".1234567Z": 123_456,
            ".000001Z": 1,
            "Z": 0,
            "+00:00": 0,
            "z": 0,
            ".25-01:00": 3600250000,
        }
        assert {tail: parse_time(f"2026-03-04T05:06:07{tail}") for tail in tails} == {
            tail: second + microseconds for tail, microseconds in tails.items()
        }
        for tail in ("", ".Z", ",5Z", "xZ", "ZZ", ".5xZ", ".\u0665Z", ".-5Z", "+01:00Z", " Z"):
            assert parse_time(f"2026-03-04T05:06:07{tail}") is None
