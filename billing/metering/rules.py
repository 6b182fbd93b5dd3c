"""The rules of a source, compiled once per directory and applied to each of its records on arrival, in order.

Before anything is looked up: what follows labels the record as the rules leave it. The record keeps its bytes, its
key and its digest, which are those of what was received, so that a repeat is a duplicate whatever the rules say by
then. What came is kept beside it (`Record.original`) where a rule changed it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from billing.metering.decoding import Original, Record, Stop, instant_of
from billing.metering.patterns import STAR, Pattern
from billing.metering.places import DATA, Place
from billing.metering.rule_kinds import CHANGED, MAX_TEXT, Act, RuleTerms, act_of
from billing.metering.rule_order import is_limited
from billing.metering.rule_wording import sentence

HOLD, DISCARD = "hold", "discard"
_STOPPED = "stopped"

_encode = msgspec.json.Encoder(decimal_format="number").encode


class Texts:
    """Texts of which one is asked for; some may be patterns."""

    def __init__(self, texts: Iterable[str], ignores_case: bool) -> None:
        self.ignores_case = ignores_case
        known = [text.lower() if ignores_case else text for text in texts]
        self.plain = frozenset(text for text in known if STAR not in text)
        self.patterns = [Pattern(text) for text in known if STAR in text]

    def __contains__(self, text: str) -> bool:
        if self.ignores_case:
            text = text.lower()
        return text in self.plain or any(pattern.match(text) is not None for pattern in self.patterns)


class Condition:
    """When a rule applies: to which type and subjects, where a field is one of some texts, to what happened when."""

    def __init__(self, terms: RuleTerms) -> None:
        self.type = terms.when_type
        self.subjects = Texts(terms.when_subjects, terms.when_ignores_case) if terms.when_subjects else None
        self.place = Place(terms.when_field) if terms.when_field else None
        self.values = Texts(terms.when_values, terms.when_ignores_case)
        self.starts = None if terms.occurs_from is None else instant_of(terms.occurs_from)
        self.ends = None if terms.occurs_until is None else instant_of(terms.occurs_until)

    def unmet(self, record: Record, occurred_at: int) -> str:
        """Why the rule does not apply; nothing where it does."""
        if self.type and record.type != self.type:
            return f"the type is not {self.type}"
        if self.subjects is not None and record.subject not in self.subjects:
            return "the subject is another"
        if self.starts is not None and occurred_at < self.starts:
            return "it happened before the rule begins"
        if self.ends is not None and occurred_at >= self.ends:
            return "it happened after the rule ends"
        if self.place is not None:
            found = self.place.read_text(record)
            if found is None or len(found) > MAX_TEXT:
                return f"there is no text to compare in {self.place.text}"
            if found not in self.values:
                return f"{self.place.text} is another"
        return ""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule ready to be applied. One without an action stops the record."""

    id: int
    kind: str
    detail: str
    approval: int | None
    condition: Condition | None
    act: Act | None
    changes_data: bool


Rules = tuple[Rule, ...]


def compile_rules(rules: Iterable[RuleTerms]) -> Rules:
    """The active ones among these, in their order."""
    active = [terms for terms in rules if terms.is_active]
    return tuple(_compiled(terms) for terms in sorted(active, key=lambda terms: terms.position))


def _compiled(terms: RuleTerms) -> Rule:
    return Rule(
        id=terms.id,
        kind=terms.kind,
        detail=f"{sentence(terms)} (rule {terms.id})" if terms.id else sentence(terms),
        approval=terms.proposal,
        condition=Condition(terms) if is_limited(terms) else None,
        act=act_of(terms),
        changes_data=terms.field.startswith(DATA) or terms.to.startswith(DATA),
    )


def apply_rules(rules: Rules, record: Record, arrival: int) -> None:
    """Change a record as the rules say; `arrival`, in microseconds since EPOCH, stands in for a missing time.

    A record that is malformed stays as it is.
    """
    if record.fault is not None:
        return
    type, subject, occurred_at = record.type, record.subject, _time_of(record, arrival)
    changed = [rule for rule in rules if _apply(rule, record, occurred_at) == CHANGED]
    if changed:
        record.original = Original(type, subject, record.data_text, tuple([rule.id for rule in changed]))
        if any(rule.changes_data for rule in changed):
            record.data_text = _encode(record.data)


def _time_of(record: Record, arrival: int) -> int:
    return arrival if record.occurred_at is None else record.occurred_at


def _apply(rule: Rule, record: Record, occurred_at: int) -> str:
    """CHANGED, or why the record is as it was. The first rule that stops a record is the one that counts."""
    unmet = rule.condition.unmet(record, occurred_at) if rule.condition is not None else ""
    if unmet:
        return unmet
    if rule.act is not None:
        return rule.act(record)
    if record.stop is None:
        record.stop = Stop(rule.id, rule.kind, rule.detail, rule.approval)
    return _STOPPED


@dataclass(frozen=True, slots=True)
class FieldChange:
    """What a rule did to one field: JSON texts, empty where there was or is nothing."""

    field: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Step:
    """What one rule did to one record, or why it left it as it was."""

    rule: RuleTerms
    changes: list[FieldChange]
    is_stop: bool
    said: str


def trace_rules(rules: Sequence[RuleTerms], record: Record, arrival: int) -> list[Step]:
    """Apply rules as `apply_rules` does, and say step by step what each did. Rules that are off are left out."""
    by_position = sorted((terms for terms in rules if terms.is_active), key=lambda terms: terms.position)
    if record.fault is not None:
        return []
    steps, changed = [], []
    original = Original(record.type, record.subject, record.data_text, ())
    for terms, rule in zip(by_position, compile_rules(by_position), strict=True):
        before = _fields(record)
        said = _apply(rule, record, _time_of(record, arrival))
        if said == CHANGED:
            changed.append(rule)
        after = _fields(record)
        fields = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        changes = [FieldChange(name, before.get(name, ""), after.get(name, "")) for name in fields]
        steps.append(Step(terms, changes, said == _STOPPED, "" if said in (CHANGED, _STOPPED) else said))
    if changed:
        record.original = Original(original.type, original.subject, original.data_text, tuple(r.id for r in changed))
        record.data_text = _encode(record.data)
    return steps


def _fields(record: Record) -> dict[str, str]:
    """The fields of a record that rules may change, each as JSON."""
    found = {"type": _json(record.type), "subject": _json(record.subject)}
    _flatten(DATA[:-1], record.data, found)
    return found


def _flatten(path: str, value: Any, found: dict[str, str]) -> None:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            _flatten(f"{path}.{name}", inner, found)
    else:
        found[path] = _json(value)


def _json(value: Any) -> str:
    return _encode(value).decode()
