"""Rules that could not work are refused with a sentence, one by one and in their order. Pure: no database."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from billing.metering.rule_checks import SPECS, faults, trimmed
from billing.metering.rule_kinds import RuleTerms, act_of
from billing.metering.rule_order import MOST_RULES, order_faults
from billing.metering.rule_wording import sentence
from billing.models import RuleKind

DAY = dt.datetime(2026, 1, 20, tzinfo=dt.UTC)


def rule(kind: str, field: str = "", **terms: Any) -> RuleTerms:
    return RuleTerms(kind=kind, field=field, **terms)


SOUND = [
    rule("rename", "data.tok", to="data.tokens"),
    rule("copy", "data.tenant", to="subject"),
    rule("default", "data.region", value="eu"),
    rule("set", "data.tokens", value="0", when_field="data.tokens", when_values=("n/a",)),
    rule("trim", "subject"),
    rule("lower", "subject"),
    rule("upper", "data.model"),
    rule("strip_prefix", "subject", value="org:"),
    rule("strip_suffix", "subject", value="-prod"),
    rule("rewrite", "subject", value="*@example.com", to="$1"),
    rule("number", "data.tokens", number_format="comma"),
    rule("text", "data.account"),
    rule("convert", "data.ms", factor=Decimal("0.001")),
    rule("map_type", value="llm.req", to="llm.request"),
    rule("hold"),
    rule("discard", when_subjects=("66.249.*",)),
]


def test_every_kind_has_a_rule_that_works_and_a_sentence() -> None:
    assert {terms.kind for terms in SOUND} == set(SPECS) == set(RuleKind.values)
    for terms in SOUND:
        assert faults(terms) == []
        assert trimmed(terms) == terms
        assert (act_of(terms) is None) == (terms.kind in ("hold", "discard"))
        assert sentence(terms)


@pytest.mark.parametrize(
    ("terms", "path", "said"),
    [
        (rule("zap"), "kind", "'zap' is no kind of rule"),
        (rule("trim"), "field", "say which field, such as subject, type or data.tokens"),
        (rule("trim", "tokens"), "field", "'tokens' is no field; for a property of data write data.tokens"),
        (rule("trim", "id"), "field", "the id of a record stays as it came"),
        (rule("trim", "time"), "field", "the time of a record stays as it came"),
        (rule("number", "subject"), "field", "this kind of rule is for properties of data, such as data.tokens"),
        (rule("trim", "data."), "field", "is no field"),
        (rule("trim", "data.a..b"), "field", "names with one dot between them"),
        (rule("trim", "data" + ".a" * 9), "field", "8 names"),
        (rule("trim", "data." + "a" * 255), "field", "at most 255 characters"),
        (rule("rename", "data.tok"), "to", "say the new name of the field"),
        (rule("rename", "data.tok", to="tokens"), "to", "write data.tokens"),
        (rule("rename", "data.tok", to="data.tok"), "to", "one and the same"),
        (rule("rename", "data.a", to="data.a.b"), "to", "one of the two fields is inside the other"),
        (rule("rename", "data.tok", to="data.tokens", factor=Decimal(2)), "factor", "has no factor"),
        (rule("strip_prefix", "subject"), "value", "say the prefix to strip"),
        (rule("rewrite", "subject", value="a**b", to="$1"), "value", "two * side by side"),
        (rule("rewrite", "subject", value="*a*b*c*", to="$1"), "value", "at most 3 *"),
        (rule("rewrite", "subject", value="a*", to="$2"), "to", "$2 stands for a * that the pattern does not have"),
        (rule("rewrite", "subject", value="a", to="a"), "to", "it would change nothing"),
        (rule("convert", "data.ms"), "factor", "say the factor"),
        (rule("convert", "data.ms", factor=Decimal(0)), "factor", "a factor of zero would make every value 0"),
        (rule("convert", "data.ms", factor=Decimal("0.000")), "factor", "a factor of zero"),
        (rule("convert", "data.ms", factor=Decimal(-1)), "factor", "below zero"),
        (rule("convert", "data.ms", factor=Decimal("1.0")), "factor", "it would change nothing"),
        (rule("convert", "data.ms", factor=Decimal("NaN")), "factor", "not a number"),
        (rule("convert", "data.ms", factor=Decimal("1E+99")), "factor", "at most 38 digits"),
        (rule("number", "data.n", number_format="swiss"), "number_format", "'swiss' is no way to write numbers"),
        (rule("default", "data.n", value="a\nb"), "value", "none that cannot be seen"),
        (rule("default", "subject", value="x" * 256), "value", "a subject has at most 255 characters"),
        (rule("map_type", value="a", to="a"), "to", "it would change nothing"),
        (rule("map_type", value="a", to="b", when_type="c"), "when_type", "it could never apply"),
        (rule("set", "data.n", value="0"), "when_type", "say when"),
        (rule("discard"), "when_type", "say when"),
        (rule("hold", when_field="data.agent"), "when_values", "say what data.agent has to be"),
        (rule("hold", when_values=("x",)), "when_field", "say which field"),
        (rule("hold", when_field="agent", when_values=("x",)), "when_field", "write data.agent"),
        (rule("hold", when_subjects=("a", "")), "when_subjects", "1 to 255 characters"),
        (rule("hold", when_subjects=tuple(f"{n}*" for n in range(51))), "when_subjects", "at most 50 with a *"),
        (rule("hold", when_subjects=tuple(map(str, range(1001)))), "when_subjects", "at most 1,000"),
        (rule("hold", occurs_from=DAY, occurs_until=DAY), "occurs_until", "it ends before it begins"),
        (rule("trim", "subject", note="x" * 501), "note", "at most 500 characters"),
    ],
)  # fmt: skip
def test_a_rule_that_could_not_work_is_refused(terms: RuleTerms, path: str, said: str) -> None:
    found = faults(terms)
    assert [fault.path for fault in found] == [path]
    assert said in found[0].detail


def in_order(*rules: RuleTerms) -> list[RuleTerms]:
    return [RuleTerms(**{**vars(terms), "position": place}) for place, terms in enumerate(rules, start=1)]


LOWER = rule("lower", "subject")
RENAMED = rule("rename", "data.tok", to="data.tokens")
MAPPED = rule("map_type", value="llm.req", to="llm.request")


@pytest.mark.parametrize(
    ("rules", "path", "said"),
    [
        ([RENAMED, rule("number", "data.tok")], "2.field", "rule 1 has renamed data.tok to data.tokens before it"),
        ([RENAMED, rule("hold", when_field="data.tok.x", when_values=("1",))], "2.when_field", "rule 1 has renamed"),
        ([MAPPED, rule("hold", when_type="llm.req")], "2.when_type", "rule 1 has made llm.request of llm.req"),
        ([MAPPED, rule("map_type", value="llm.req", to="other")], "2.value", "rule 1 has made llm.request of llm.req"),
        ([LOWER, rule("strip_prefix", "subject", value="ORG-")], "2.value", "rule 1 has written subject in lower case"),
        ([LOWER, rule("hold", when_subjects=("ACME", "Beta"))], "2.when_subjects", "in lower case before it"),
        ([rule("trim", "data.a"), LOWER, rule("trim", "data.a")], "3.kind", "rule 1 says the same already"),
    ],
)  # fmt: skip
def test_a_rule_that_could_never_apply_in_its_place_is_refused(rules: list[RuleTerms], path: str, said: str) -> None:
    (found,) = order_faults(in_order(*rules))
    assert (found.path, found.code) == (path, "never_applies")
    assert said in found.detail


@pytest.mark.parametrize(
    "rules",
    [
        # Somebody has put it there again in between.
        [RENAMED, rule("default", "data.tok", value="1"), rule("number", "data.tok")],
        [RENAMED, rule("copy", "data.x", to="data.tok"), rule("number", "data.tok")],
        # What is renamed only sometimes may still be there.
        [rule("rename", "data.tok", to="data.tokens", when_type="a"), rule("number", "data.tok")],
        [MAPPED, rule("map_type", value="other", to="llm.req"), rule("hold", when_type="llm.req")],
        [rule("map_type", value="a", to="b", when_subjects=("x",)), rule("hold", when_type="a")],
        [LOWER, rule("hold", when_subjects=("ACME",), when_ignores_case=True)],
        [LOWER, rule("copy", "data.x", to="subject"), rule("strip_prefix", "subject", value="ORG-")],
        [rule("trim", "subject"), rule("strip_prefix", "subject", value="org:"), rule("trim", "subject")],
        [rule("number", "data.tok"), RENAMED],
    ],
)  # fmt: skip
def test_only_what_is_certain_is_refused(rules: list[RuleTerms]) -> None:
    assert order_faults(in_order(*rules)) == []


def test_rules_that_are_off_are_in_nobodys_way() -> None:
    off = rule("rename", "data.tok", to="data.tokens", is_active=False)
    assert order_faults(in_order(off, rule("number", "data.tok"))) == []


def test_a_source_has_so_many_rules_at_most() -> None:
    many = [rule("default", f"data.f{n}", value="1") for n in range(MOST_RULES + 1)]
    (found,) = order_faults(in_order(*many))
    assert found.code == "too_many"
    assert order_faults(in_order(*many[1:])) == []


def test_rules_read_as_sentences() -> None:
    assert sentence(RENAMED) == "Rename data.tok to data.tokens"
    said = sentence(rule("convert", "data.ms", factor=Decimal("0.0010"), when_type="llm.request", occurs_from=DAY))
    assert said == "Multiply data.ms by 0.001, where the type is llm.request, from 20 January 2026 on"
    several = rule(
        "hold", when_subjects=("a", "b", "c", "d", "e"), when_field="data.agent", when_values=("*bot*", "curl")
    )
    assert sentence(several) == (
        "Hold for review, where the subject is “a”, “b”, “c” or one of 2 others, where data.agent is “*bot*” or “curl”"
    )
