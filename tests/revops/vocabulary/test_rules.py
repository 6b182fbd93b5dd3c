"""Rules of a source in files: read, kept in their order, left alone when they say what is there, and said again."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from billing.metering.rule_kinds import RuleTerms
from billing.metering.rulebook import Approval, keep_rule, rules_of
from billing.models import Source, SourceRule
from revops.vocabulary.catalog_loading import load_catalog
from revops.vocabulary.decoding import InvalidDocument, decode
from revops.vocabulary.loading import Load, UnableToLoad
from revops.vocabulary.rules import rule_json, terms_of_words
from revops.vocabulary.words import CatalogWords, RuleWords
from tests.factories import SourceFactory

pytestmark = pytest.mark.django_db

AT = dt.datetime(2026, 1, 20, tzinfo=dt.UTC)
RENAME = {"kind": "rename", "field": "data.tok", "to": "data.tokens"}
CONVERT = {"kind": "convert", "field": "data.ms", "factor": "0.001", "when": {"type": "call", "from": "2026-01-01"}}


def load(*rules: Any, **source: Any) -> Load:
    document = {"sources": [{"key": "gw", "rules": list(rules), **source}]}
    return load_catalog(decode(CatalogWords, document), Load(at=AT, origin="a test"))


def in_force() -> list[RuleTerms]:
    return [terms for terms in rules_of(Source.objects.get()) if terms.is_active]


def test_rules_are_kept_in_the_order_of_the_file() -> None:
    load(RENAME, CONVERT, cadence="1h")
    first, second = in_force()
    assert (first.kind, first.field, first.to) == ("rename", "data.tok", "data.tokens")
    assert (second.factor, second.when_type) == (Decimal("0.001"), "call")
    assert second.occurs_from == dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    assert Source.objects.get().cadence == dt.timedelta(hours=1)
    history = SourceRule.history.latest("history_id")  # type: ignore[attr-defined]
    assert history.history_change_reason == "Loaded from a test"


def test_the_same_file_again_changes_nothing() -> None:
    load(RENAME, CONVERT)
    again = load(RENAME, CONVERT)
    assert again.changes == []
    assert SourceRule.history.count() == 2  # type: ignore[attr-defined]


def test_another_order_moves_rows_and_what_is_not_named_is_switched_off() -> None:
    load(RENAME, CONVERT)
    ids = {terms.kind: terms.id for terms in in_force()}
    load(CONVERT)
    assert [terms.id for terms in in_force()] == [ids["convert"]]
    load(CONVERT, RENAME)
    assert [terms.id for terms in in_force()] == [ids["convert"], ids["rename"]]
    assert SourceRule.objects.count() == 2


def test_a_file_without_rules_leaves_those_there_are() -> None:
    load(RENAME)
    load_catalog(decode(CatalogWords, {"sources": [{"key": "gw", "name": "Gateway"}]}), Load(at=AT, origin="a test"))
    assert len(in_force()) == 1
    load()
    assert in_force() == []


def test_what_two_persons_discard_stays_after_the_others() -> None:
    source = SourceFactory.create()
    discard = RuleTerms(kind="discard", when_subjects=("crawler",))
    keep_rule(source, discard, at=AT, by=None, reason="", approval=Approval(7, "user:1", "user:2"))
    load(RENAME)
    assert [terms.kind for terms in in_force()] == ["rename", "discard"]
    assert load(RENAME).changes == []


def test_no_file_discards() -> None:
    with pytest.raises(InvalidDocument) as invalid:
        load({"kind": "discard", "when": {"type": "x"}})
    assert [error.path for error in invalid.value.errors] == ["sources[0].rules[0].kind"]


@pytest.mark.parametrize(
    ("rules", "path"),
    [
        ([{**CONVERT, "factor": "0"}], "sources[0].rules[0].factor"),
        ([RENAME, {"kind": "number", "field": "data.tok"}], "sources[0].rules[1].field"),
        ([{"kind": "number", "field": "data.n", "to": "x"}], "sources[0].rules[0].to"),
        ([{"kind": "hold", "when": {"field": "data.agent"}}], "sources[0].rules[0].when.equals"),
        ([{"kind": "default", "field": "data.n", "value": [1]}], "sources[0].rules[0].value"),
    ],
)
def test_what_could_not_work_is_told_by_its_place_in_the_file(rules: list[Any], path: str) -> None:
    with pytest.raises(UnableToLoad) as unable:
        load(*rules)
    assert [error.path for error in unable.value.errors] == [path]
    assert not SourceRule.objects.exists()


@pytest.mark.parametrize(
    ("given", "kept"), [(0, "0"), ("0", "0"), (True, "true"), (Decimal("1.50"), "1.5"), ("eu", "eu")]
)
def test_values_are_written_as_they_are_meant(given: Any, kept: str) -> None:
    assert terms_of_words(RuleWords(kind="default", field_="data.n", value=given)).value == kept


@pytest.mark.parametrize(
    "rule",
    [
        RENAME,
        {**CONVERT, "active": False, "note": "from 2026 on in milliseconds"},
        {"kind": "number", "field": "data.n", "format": "comma"},
        {"kind": "hold", "when": {"subjects": ["a*"], "field": "data.agent", "equals": ["*bot*"], "ignore_case": True}},
        {"kind": "map_type", "value": "a", "to": "b", "when": {"until": "2026-02-01T00:00:00Z"}},
    ],
)
def test_a_rule_said_again_is_the_same_rule(rule: dict[str, Any]) -> None:
    terms = terms_of_words(decode(RuleWords, rule))
    assert terms_of_words(decode(RuleWords, rule_json(terms))) == terms
