"""Rules of a source in the words of a file: read into rules, kept, and said again."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from billing.metering.rule_kinds import RuleTerms
from billing.metering.rule_order import content_of
from billing.metering.rulebook import UnableToKeepRule, replace_rules, rules_of
from billing.models import RuleKind, Source
from catalog.money import quantity_text
from revops.vocabulary.loading import Load
from revops.vocabulary.words import RuleWords, WhenWords


def keep_rules(load: Load, source: Source, words: Sequence[RuleWords], path: str) -> None:
    """Make these the rules of a source; what is there already is left alone, what is not named is switched off."""
    for place, one in enumerate(words):
        if isinstance(one.value, list | dict):
            load.fail(f"{path}[{place}].value", "invalid", "a text, a number, true or false is expected")
            return
    wanted = [terms_of_words(one) for one in words]
    known = [terms for terms in rules_of(source) if terms.kind != RuleKind.DISCARD]
    in_force = [terms for terms in known if terms.is_active or _said(terms) in map(_said, wanted)]
    if [_said(terms) for terms in in_force] == [_said(terms) for terms in wanted]:
        load.unchanged += 1
        return
    try:
        replace_rules(source, wanted, at=load.at, by=load.by, reason=load.why)
    except UnableToKeepRule as unable:
        for error in unable.errors:
            number, _, name = error.path.partition(".")
            where = f"{path}[{number}]" if number else path
            load.fail(f"{where}.{_WORDS.get(name, name)}" if name else where, error.code, error.detail)
    else:
        load.note(f"rules of {source.key}", "updated")


def _said(terms: RuleTerms) -> tuple[RuleTerms, bool, str]:
    return content_of(terms), terms.is_active, terms.note


# What a file calls the parts of a rule, where it is not what we call them.
_WORDS = {
    "number_format": "format",
    "when_type": "when.type",
    "when_subjects": "when.subjects",
    "when_field": "when.field",
    "when_values": "when.equals",
    "when_ignores_case": "when.ignore_case",
    "occurs_from": "when.from",
    "occurs_until": "when.until",
}


def terms_of_words(words: RuleWords) -> RuleTerms:
    when = words.when or WhenWords()
    return RuleTerms(
        kind=words.kind,
        field=words.field_ or "",
        value=_text(words.value),
        to=words.to or "",
        factor=words.factor,
        number_format=words.format or "point",
        when_type=when.type or "",
        when_subjects=when.subjects or (),
        when_field=when.field_ or "",
        when_values=when.equals or (),
        when_ignores_case=bool(when.ignore_case),
        occurs_from=when.from_,
        occurs_until=when.until,
        note=words.note or "",
        is_active=words.active is not False,
    )


def _text(value: Any) -> str:
    """A value as it stands in a rule, where numbers, true and false are told from how they are written."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return quantity_text(value) if isinstance(value, Decimal) else str(value)


def rule_json(terms: RuleTerms) -> dict[str, Any]:
    """A rule in the words of a file, without what it does not say."""
    when = {
        "type": terms.when_type,
        "subjects": list(terms.when_subjects),
        "field": terms.when_field,
        "equals": list(terms.when_values),
        "ignore_case": terms.when_ignores_case,
        "from": terms.occurs_from,
        "until": terms.occurs_until,
    }
    said = {
        "kind": terms.kind,
        "field": terms.field,
        "value": terms.value,
        "to": terms.to,
        "factor": None if terms.factor is None else quantity_text(terms.factor),
        "format": terms.number_format if terms.kind == RuleKind.NUMBER else None,
        "when": {name: value for name, value in when.items() if value},
        "note": terms.note,
    }
    return {**{name: value for name, value in said.items() if value}, "active": terms.is_active}
