"""What each kind of rule does to a record, and when it leaves it alone. Pure: no database."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from time import perf_counter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.metering.decoding import Record, decode_data, decode_record
from billing.metering.patterns import Pattern, fill_in, stars_named
from billing.metering.rule_kinds import RuleTerms
from billing.metering.rules import apply_rules, compile_rules, trace_rules
from tests.factories import event

NOON = "2026-01-20T12:00:00Z"


def rule(kind: str, field: str = "", **terms: Any) -> RuleTerms:
    return RuleTerms(kind=kind, field=field, **terms)


def record(**attributes: Any) -> Record:
    return decode_record(msgspec.json.encode(event("e", **attributes)))


def after(*rules: RuleTerms, arrival: int = 0, **attributes: Any) -> Record:
    said = record(**attributes)
    apply_rules(compile_rules(rules), said, arrival)
    return said


def data_after(rule: RuleTerms, data: Any) -> dict[str, Any]:
    said = after(rule, data=data)
    stored = decode_data(said.data_text)
    assert stored == said.data, "what is stored says what was counted"
    return stored


@pytest.mark.parametrize(
    ("terms", "data", "expected"),
    [
        (rule("rename", "data.tok", to="data.tokens"), {"tok": 5, "x": 1}, {"x": 1, "tokens": 5}),
        (rule("rename", "data.a.b", to="data.c.d"), {"a": {"b": 5, "z": 1}}, {"a": {"z": 1}, "c": {"d": 5}}),
        (rule("rename", "data.a.b", to="data.tokens"), {"a.b": 5}, {"tokens": 5}),
        (rule("rename", "data.tok", to="data.tokens"), {"tok": 5, "tokens": None}, {"tokens": 5}),
        (rule("copy", "data.a", to="data.b"), {"a": 5, "b": 1}, {"a": 5, "b": 5}),
        (rule("default", "data.region", value="eu"), {"tokens": 1}, {"tokens": 1, "region": "eu"}),
        (rule("default", "data.usage.tokens", value="0"), {}, {"usage": {"tokens": 0}}),
        (rule("default", "data.tokens", value="1.50"), {"tokens": None}, {"tokens": Decimal("1.5")}),
        (rule("default", "data.cached", value="false"), {}, {"cached": False}),
        (rule("set", "data.tokens", value="0", when_field="data.tokens", when_values=("n/a", "-")),
         {"tokens": "n/a"}, {"tokens": 0}),
        (rule("trim", "data.model"), {"model": " \u00a0m1\t"}, {"model": "m1"}),
        (rule("lower", "data.model"), {"model": "M1"}, {"model": "m1"}),
        (rule("upper", "data.model"), {"model": "m1"}, {"model": "M1"}),
        (rule("strip_prefix", "data.model", value="models/"), {"model": "models/m1"}, {"model": "m1"}),
        (rule("strip_suffix", "data.model", value="-latest"), {"model": "m1-latest"}, {"model": "m1"}),
        (rule("rewrite", "data.m", value="org/*/m-*", to="$2 of $1"), {"m": "org/acme/m-1"}, {"m": "1 of acme"}),
        (rule("number", "data.tokens"), {"tokens": " 1,234.5 "}, {"tokens": Decimal("1234.5")}),
        (rule("number", "data.tokens"), {"tokens": "1 234 567"}, {"tokens": 1234567}),
        (rule("number", "data.tokens"), {"tokens": "-12"}, {"tokens": -12}),
        (rule("number", "data.n", number_format="comma"), {"n": "1.234.567,25"}, {"n": Decimal("1234567.25")}),
        (rule("number", "data.tokens", number_format="comma"), {"tokens": "0,5"}, {"tokens": Decimal("0.5")}),
        (rule("text", "data.account"), {"account": 42}, {"account": "42"}),
        (rule("text", "data.account"), {"account": 1.50}, {"account": "1.5"}),
        (rule("text", "data.cached"), {"cached": True}, {"cached": "true"}),
        (rule("convert", "data.ms", factor=Decimal("0.001")), {"ms": 1500}, {"ms": Decimal("1.5")}),
        (rule("convert", "data.ms", factor=Decimal("0.001")), {"ms": "2000"}, {"ms": 2}),
        # 1 GiB is 2^30 bytes: 1 / 1073741824 = 9.31322574615478515625E-10, and 3 x 2^30 bytes are 3.
        (rule("convert", "data.n", factor=Decimal("9.31322574615478515625E-10")), {"n": 3221225472}, {"n": 3}),
    ],
)  # fmt: skip
def test_a_rule_changes_data(terms: RuleTerms, data: Any, expected: dict[str, Any]) -> None:
    assert data_after(terms, data) == expected


@pytest.mark.parametrize(
    ("terms", "data", "because"),
    [
        (rule("rename", "data.tok", to="data.tokens"), {"tok": 5, "tokens": 6}, "there is a data.tokens already"),
        (rule("rename", "data.tok", to="data.tokens"), {"x": 1}, "the field is not there"),
        (rule("rename", "data.tok", to="data.x.tokens"), {"tok": 5, "x": 1}, "x in data.x.tokens is not an object"),
        (rule("default", "data.tokens", value="0"), {"tokens": 0}, "it is there"),
        (rule("default", "data.x.y", value="0"), {"x": "text"}, "x in data.x.y is not an object"),
        (rule("trim", "data.model"), {"model": 5}, "it is not a text"),
        (rule("trim", "data.model"), {"model": "m1"}, "it is so already"),
        (rule("lower", "data.model"), {"model": "A" * 1001}, "it is longer than 1000 characters"),
        (rule("strip_prefix", "data.model", value="models/"), {"model": "m1"}, "it does not begin with 'models/'"),
        (rule("rewrite", "data.model", value="a*b", to="$1"), {"model": "a-c"}, "it is not like a*b"),
        (rule("number", "data.tokens"), {"tokens": "1,23"}, "it is not a number written like 1,234.5"),
        (rule("number", "data.tokens"), {"tokens": "1.234,5"}, "it is not a number written like 1,234.5"),
        (rule("number", "data.tokens"), {"tokens": "12 GB"}, "it is not a number written like 1,234.5"),
        (rule("number", "data.tokens"), {"tokens": "9" * 101}, "it is not a number written like 1,234.5"),
        (rule("number", "data.tokens", number_format="comma"), {"tokens": "1,234.5"},
         "it is not a number written like 1.234,5"),
        (rule("number", "data.tokens"), {"tokens": 5}, "it is not a text"),
        (rule("text", "data.x"), {"x": {"y": 1}}, "it is neither a number nor true or false"),
        (rule("convert", "data.ms", factor=Decimal(2)), {"ms": "many"}, "it is not a number"),
        (rule("map_type", value="a", to="b"), {}, "it is not a"),
        (rule("trim", "data.model", when_type="other"), {"model": " m "}, "the type is not other"),
        (rule("trim", "data.model", when_subjects=("beta",)), {"model": " m "}, "the subject is another"),
        (rule("trim", "data.model", when_field="data.region", when_values=("eu",)), {"model": " m ", "region": "us"},
         "data.region is another"),
        (rule("trim", "data.model", when_field="data.region", when_values=("eu",)), {"model": " m "},
         "there is no text to compare in data.region"),
    ],
)  # fmt: skip
def test_a_rule_leaves_a_record_alone_and_says_why(terms: RuleTerms, data: Any, because: str) -> None:
    (step,) = trace_rules([terms], record(data=data), 0)
    assert (step.said, step.changes) == (because, [])
    said = after(terms, data=data)
    assert said.original is None
    assert said.data_text == record(data=data).data_text, "byte for byte as it came"


class TestSubjectsAndTypes:
    def test_are_texts_like_any_other(self) -> None:
        rules = [
            rule("trim", "subject"),
            rule("lower", "subject"),
            rule("rewrite", "subject", value="org-*-prod", to="$1"),
        ]
        assert after(*rules, subject="  ORG-Acme-Prod ").subject == "acme"

    def test_can_be_filled_from_data(self) -> None:
        assert (
            after(rule("rename", "data.tenant", to="subject"), subject=None, data={"tenant": "acme"}).subject == "acme"
        )
        assert after(rule("copy", "data.tenant", to="subject"), data={"tenant": 42}).subject == "42"

    def test_stay_where_nothing_would_be_left_or_it_would_be_too_long(self) -> None:
        assert after(rule("strip_prefix", "subject", value="acme"), subject="acme").subject == "acme"
        assert after(rule("copy", "data.tenant", to="subject"), data={"tenant": "x" * 256}).subject == "acme"
        assert after(rule("copy", "data.tenant", to="subject"), data={"tenant": {"a": 1}}).subject == "acme"

    def test_a_default_that_looks_like_a_number_is_a_text(self) -> None:
        assert after(rule("default", "subject", value="42"), subject=None).subject == "42"

    def test_a_type_is_mapped(self) -> None:
        assert after(rule("map_type", value="llm.req", to="llm.request"), type="llm.req").type == "llm.request"

    def test_the_data_stay_as_they_came_where_only_these_change(self) -> None:
        raw = msgspec.json.encode(event("e", subject=" acme ")).replace(b'{"tokens":1}', b'{ "tokens" : 1.00 }')
        said = decode_record(raw)
        apply_rules(compile_rules([rule("trim", "subject")]), said, 0)
        assert (said.subject, said.data_text) == ("acme", b'{ "tokens" : 1.00 }')


class TestConditions:
    def test_compare_texts_and_patterns(self) -> None:
        only_bots = rule("hold", when_field="data.agent", when_values=("curl", "*bot*"))
        assert after(only_bots, data={"agent": "Googlebot/2.1"}).stop is not None
        assert after(only_bots, data={"agent": "curl"}).stop is not None
        assert after(only_bots, data={"agent": "curl/8"}).stop is None
        assert after(only_bots, data={"agent": "GoogleBOT"}).stop is None

    def test_may_ignore_case(self) -> None:
        of_bots = rule("hold", when_subjects=("*Bot*", "CURL"), when_ignores_case=True)
        assert after(of_bots, subject="googleBOT").stop is not None
        assert after(of_bots, subject="curl").stop is not None

    def test_compare_numbers_by_what_is_meant(self) -> None:
        refunds = rule("hold", when_field="data.status", when_values=("404",))
        assert after(refunds, data={"status": 404}).stop is not None
        assert after(refunds, data={"status": 404.0}).stop is not None

    def test_are_about_the_time_of_the_event_half_open(self) -> None:
        """From noon on the source reports milliseconds."""
        noon = dt.datetime(2026, 1, 20, 12, tzinfo=dt.UTC)
        terms = rule("convert", "data.tokens", factor=Decimal("0.001"), occurs_from=noon)
        until = rule("convert", "data.tokens", factor=Decimal("0.001"), occurs_until=noon)
        assert after(terms, data={"tokens": 1000}, time="2026-01-20T11:59:59.999999Z").data == {"tokens": 1000}
        assert after(terms, data={"tokens": 1000}, time=NOON).data == {"tokens": 1}
        assert after(until, data={"tokens": 1000}, time=NOON).data == {"tokens": 1000}

    def test_take_the_arrival_where_there_is_no_time(self) -> None:
        later = rule("hold", occurs_from=dt.datetime(2000, 1, 1, 0, 0, 1, tzinfo=dt.UTC))
        assert after(later, time=None, arrival=999_999).stop is None
        assert after(later, time=None, arrival=1_000_000).stop is not None

    def test_see_what_earlier_rules_have_made(self) -> None:
        rules = [
            rule("map_type", value="llm.req", to="llm.request"),
            rule("default", "data.model", value="m1", when_type="llm.request"),
        ]
        assert after(*rules, type="llm.req").data == {"tokens": 1, "model": "m1"}


class TestStopping:
    def test_the_first_rule_that_stops_counts_and_the_later_ones_go_on(self) -> None:
        rules = [rule("hold", id=4), rule("discard", id=5, proposal=9), rule("trim", "subject", id=6)]
        said = after(*rules, subject=" acme ")
        assert said.stop is not None and (said.stop.rule, said.stop.kind, said.subject) == (4, "hold", "acme")

    def test_a_discard_names_its_approval(self) -> None:
        said = after(rule("discard", id=5, proposal=9, when_type="llm.request"))
        assert said.stop is not None and (said.stop.kind, said.stop.approval) == ("discard", 9)


class TestApplying:
    def test_keeps_key_digest_and_bytes_of_what_was_received(self) -> None:
        came = record(subject=" acme ")
        said = after(rule("trim", "subject", id=3), rule("set", "data.tokens", id=4, value="9"), subject=" acme ")
        assert (said.key, said.digest, bytes(said.raw)) == (came.key, came.digest, bytes(came.raw))

    def test_keeps_what_came_with_the_rules_that_changed_it(self) -> None:
        said = after(rule("trim", "subject", id=3), rule("upper", "data.none", id=4), subject=" acme ")
        assert said.original is not None
        assert (said.original.subject, said.original.type, said.original.rules) == (" acme ", "llm.request", (3,))

    def test_goes_by_position_and_leaves_out_what_is_off(self) -> None:
        rules = [
            rule("strip_prefix", "subject", value="b", position=2),
            rule("strip_prefix", "subject", value="a", position=1),
            rule("strip_prefix", "subject", value="c", position=3, is_active=False),
        ]
        assert after(*rules, subject="abc").subject == "c"

    def test_leaves_a_malformed_record_alone(self) -> None:
        said = decode_record(b'{"id": "e", "source": "gw", "subject": " acme ", "time": "noon"}')
        apply_rules(compile_rules([rule("trim", "subject"), rule("hold")]), said, 0)
        assert (said.subject, said.original, said.stop) == (" acme ", None, None)
        assert trace_rules([rule("trim", "subject")], said, 0) == []

    def test_a_copy_is_of_its_own(self) -> None:
        rules = [rule("copy", "data.a", to="data.b"), rule("set", "data.b.x", value="2")]
        assert after(*rules, data={"a": {"x": 1}}).data == {"a": {"x": 1}, "b": {"x": 2}}


class TestPatterns:
    @pytest.mark.parametrize(
        ("pattern", "text", "taken"),
        [
            ("acme", "acme", []), ("acme", "acme ", None), ("*", "", [""]), ("*", "x", ["x"]),
            ("a*", "ab", ["b"]), ("*b", "ab", ["a"]), ("a*b", "ab", [""]), ("aba*aba", "aba", None),
            ("*/t/*/c", "x/t/acme/c", ["x", "acme"]), ("*-*", "a-b-c", ["a", "b-c"]), ("a*b*c", "a-c", None),
        ],
    )  # fmt: skip
    def test_a_star_takes_as_little_as_it_can(self, pattern: str, text: str, taken: list[str] | None) -> None:
        assert Pattern(pattern).match(text) == taken

    def test_no_text_makes_them_slow(self) -> None:
        started = perf_counter()
        for _ in range(1000):
            assert Pattern("*a*a*ab").match("a" * 1000) is None
        assert perf_counter() - started < 1

    @given(st.lists(st.text(alphabet="ab", max_size=3), min_size=2, max_size=4), st.lists(st.text("abc"), max_size=4))
    def test_match_what_is_built_of_their_parts(self, parts: list[str], between: list[str]) -> None:
        filled = [*between, *([""] * 4)][: len(parts) - 1]
        text = "".join(part + gap for part, gap in zip(parts, [*filled, ""], strict=True))
        taken = Pattern("*".join(parts)).match(text)
        assert taken is not None
        assert "".join(part + gap for part, gap in zip(parts, [*taken, ""], strict=True)) == text

    def test_results_name_what_stars_took(self) -> None:
        assert fill_in("$2-$1 $ 5", ["a", "b"]) == "b-a $ 5"
        assert stars_named("$1 and $3") == 3 and stars_named("$ none") == 0


texts = st.text(max_size=8)
scalars = (
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | texts | st.sampled_from(["1,234.5", "1.234,5", "n/a"])
)
contents = st.dictionaries(
    st.sampled_from(["a", "b", "c", "a.b"]), scalars | st.dictionaries(st.sampled_from(["a", "b"]), scalars)
)
fields = st.sampled_from(["data.a", "data.b", "data.a.b", "data.c.a", "subject", "type"])
any_rule = st.builds(
    RuleTerms,
    kind=st.sampled_from(
        [
            "rename",
            "copy",
            "number",
            "text",
            "trim",
            "lower",
            "strip_prefix",
            "rewrite",
            "convert",
            "default",
            "set",
            "hold",
        ]
    ),
    field=fields,
    value=st.sampled_from(["a", "x*", "12", "true", "*"]),
    to=fields,
    factor=st.sampled_from([Decimal("0.001"), Decimal(1024)]),
    number_format=st.sampled_from(["point", "comma"]),
    when_field=st.sampled_from(["", "data.a", "subject"]),
    when_values=st.just(("a", "*1*")),
    id=st.integers(1, 9),
)


class TestAnyRules:
    @given(st.lists(any_rule, max_size=6), contents, texts)
    def test_say_the_same_twice_and_what_is_stored_is_what_was_counted(
        self, rules: list[RuleTerms], data: dict[str, Any], subject: str
    ) -> None:
        raw = msgspec.json.encode(event("e", data=data, subject=subject or "acme"))
        one, other = decode_record(raw), decode_record(raw)
        untouched = decode_record(raw)
        apply_rules(compile_rules(rules), one, 0)
        trace_rules(rules, other, 0)
        assert (one.type, one.subject, one.data, one.stop) == (other.type, other.subject, other.data, other.stop)
        if one.fault is None:
            assert decode_data(one.data_text) == one.data
        assert one.type and one.subject and len(one.subject) <= 255
        if one.original is None:
            assert one == msgspec.structs.replace(untouched, stop=one.stop)
        else:
            assert one.original.data_text == untouched.data_text
            assert (one.key, one.digest) == (untouched.key, untouched.digest)

    @given(contents, texts)
    def test_that_are_none_change_nothing(self, data: dict[str, Any], subject: str) -> None:
        raw = msgspec.json.encode(event("e", data=data, subject=subject))
        said = decode_record(raw)
        apply_rules(compile_rules([]), said, 0)
        assert said == decode_record(raw)
