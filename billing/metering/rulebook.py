"""Keeping the rules of a source: added, changed, moved, switched off and on; never deleted.

What is counted already stays as it is. A change counts from the next batch on, in every process, and for what is held
when it is sent through the front door again.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace

from django.db import transaction

from billing.metering.rule_checks import faults
from billing.metering.rule_kinds import RuleTerms
from billing.metering.rule_order import content_of, discard_faults, order_faults, writers_before
from billing.models import RuleKind, Source, SourceRule
from catalog.auditing import Actor, sign
from catalog.pricing import FieldError


class UnableToKeepRule(Exception):
    """A rule that cannot be kept so; nothing was changed. `errors` says everything that is in the way."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        self.errors = list(errors)
        super().__init__("; ".join(error.detail for error in errors))


@dataclass(frozen=True, slots=True)
class Approval:
    """A proposal of the quarantine desk that two persons agreed on, each told apart as `user:7` or `key:3`."""

    proposal: int
    proposed_by: str
    approved_by: str


def terms_of(rule: SourceRule) -> RuleTerms:
    """A stored rule as a value."""
    return RuleTerms(
        **{name: getattr(rule, name) for name in _PLAIN},
        when_subjects=tuple(rule.when_subjects),
        when_values=tuple(rule.when_values),
        id=rule.pk or 0,
    )


_PLAIN = (
    "kind", "field", "value", "to", "factor", "number_format", "when_type", "when_field", "when_ignores_case",
    "occurs_from", "occurs_until", "note", "is_active", "position", "proposal",
)  # fmt: skip
# What a rule says; the rest is where it stands and where it comes from.
_CONTENT = tuple(name for name in _PLAIN if name not in ("is_active", "position", "proposal"))


def rules_of(source: Source) -> list[RuleTerms]:
    """All rules of a source in their order, those switched off included."""
    return [terms_of(rule) for rule in SourceRule.objects.filter(source=source).order_by("position")]


def keep_rule(
    source: Source,
    terms: RuleTerms,
    *,
    at: dt.datetime,
    by: Actor,
    reason: str,
    note: str = "",
    approval: Approval | None = None,
) -> SourceRule:
    """Add a rule after the others. Raises UnableToKeepRule.

    `note` says why there is it. `approval`: the proposal it comes from, without which nothing is discarded. The same
    rule of the same proposal again is the one there is.
    """
    terms = replace(terms, note=note or terms.note)
    with transaction.atomic():
        rules = _locked(source)
        if approval is not None:
            kept = [rule for rule in rules if rule.proposal == approval.proposal]
            same = [rule for rule in kept if content_of(terms_of(rule)) == content_of(terms)]
            if same:
                return same[0]
        rule = SourceRule(source=source, position=_last(rules) + 1, is_active=terms.is_active)
        _write(rule, terms)
        if approval is not None:
            rule.proposal = approval.proposal
            rule.proposed_by, rule.approved_by = approval.proposed_by, approval.approved_by
        _check(rule, [*rules, rule])
        _store([rule], at, by, reason)
    return rule


def problems(source: Source, terms: RuleTerms, rule: SourceRule | None = None) -> list[FieldError]:
    """What is in the way of adding a rule, or of making `rule` say this. Nothing changes until the transaction ends."""
    with transaction.atomic():
        rules = _locked(source)
        if rule is None:
            tried = SourceRule(source=source, position=_last(rules) + 1)
            rules.append(tried)
        else:
            tried = _among(rules, rule)
        return _errors(_write(tried, terms), rules)


def change_rule(rule: SourceRule, terms: RuleTerms, *, at: dt.datetime, by: Actor, reason: str) -> SourceRule:
    """Make a rule say something else, from now on. Its place and whether it is switched on stay. Raises
    UnableToKeepRule."""
    with transaction.atomic():
        rules = _locked(rule.source)
        stored = _among(rules, rule)
        if stored.kind == RuleKind.DISCARD and content_of(terms_of(stored)) != content_of(terms):
            detail = "two persons have agreed on what it discards; switch it off, and propose another"
            raise UnableToKeepRule([FieldError("kind", "frozen", detail)])
        _write(stored, terms)
        _check(stored, rules)
        _store([stored], at, by, reason)
    return stored


def switch_rule(rule: SourceRule, is_active: bool, *, at: dt.datetime, by: Actor, reason: str) -> SourceRule:
    """Switch a rule off or on, from now on. Raises UnableToKeepRule where it could not work among the others."""
    with transaction.atomic():
        rules = _locked(rule.source)
        stored = _among(rules, rule)
        if stored.is_active != is_active:
            stored.is_active = is_active
            _check(stored, rules)
            _check_as_agreed(stored, rules)
            _store([stored], at, by, reason)
    return stored


def move_rule(rule: SourceRule, places: int, *, at: dt.datetime, by: Actor, reason: str) -> SourceRule:
    """Move a rule so many places down, or up below zero; as far as there are places. Raises UnableToKeepRule."""
    with transaction.atomic():
        rules = _locked(rule.source)
        stored = _among(rules, rule)
        place = rules.index(stored)
        order = [one for one in rules if one is not stored]
        order.insert(min(max(place + places, 0), len(order)), stored)
        _renumber(order, at, by, reason)
    return stored


def replace_rules(
    source: Source, rules: Sequence[RuleTerms], *, at: dt.datetime, by: Actor, reason: str
) -> list[SourceRule]:
    """Make these the rules of a source, in this order, as a file or an integration says them. Raises UnableToKeepRule.

    A rule that is there already keeps its row and its history; one that is not named is switched off. What two
    persons have agreed to discard stays, after the others; it cannot be named here.
    """
    named = [
        FieldError(f"{place}.kind", "not_allowed", "what is discarded, two persons decide on the quarantine desk")
        for place, terms in enumerate(rules)
        if terms.kind == RuleKind.DISCARD
    ]
    if named:
        raise UnableToKeepRule(named)
    with transaction.atomic():
        stored = _locked(source)
        spare = [rule for rule in stored if rule.kind != RuleKind.DISCARD]
        order: list[SourceRule] = []
        for terms in rules:
            same = next((rule for rule in spare if content_of(terms_of(rule)) == content_of(terms)), None)
            if same is not None:
                spare.remove(same)
            rule = same or _write(SourceRule(source=source), terms)
            rule.is_active, rule.note = terms.is_active, terms.note
            order.append(rule)
        for rule in spare:
            rule.is_active = False
        discards = [rule for rule in stored if rule.kind == RuleKind.DISCARD]
        _renumber([*order, *discards, *spare], at, by, reason)
    return order


def _locked(source: Source) -> list[SourceRule]:
    """The rules of a source in their order; nobody else changes one until the end of the transaction."""
    Source.objects.select_for_update().get(pk=source.pk)
    return list(SourceRule.objects.filter(source=source).order_by("position"))


def _among(rules: Sequence[SourceRule], rule: SourceRule) -> SourceRule:
    return next(one for one in rules if one.pk == rule.pk)


def _last(rules: Sequence[SourceRule]) -> int:
    return max((rule.position for rule in rules), default=0)


def _write(rule: SourceRule, terms: RuleTerms) -> SourceRule:
    for name in _CONTENT:
        setattr(rule, name, getattr(terms, name))
    rule.when_subjects, rule.when_values = list(terms.when_subjects), list(terms.when_values)
    return rule


def _check(rule: SourceRule, rules: Sequence[SourceRule]) -> None:
    """Raises UnableToKeepRule where the rule, or one of its source because of it, could not work."""
    errors = _errors(rule, rules)
    if errors:
        raise UnableToKeepRule(errors)


def _errors(rule: SourceRule, rules: Sequence[SourceRule]) -> list[FieldError]:
    errors = faults(terms_of(rule))
    if rule.kind == RuleKind.DISCARD and not _is_agreed(rule):
        detail = "what is discarded, two persons decide: propose it on the quarantine desk, and another approves"
        errors.append(FieldError("kind", "not_allowed", detail))
    return errors or _order_errors(rule, rules)


def _check_as_agreed(rule: SourceRule, rules: Sequence[SourceRule]) -> None:
    """Raises UnableToKeepRule for a discard to be switched on, where what it looks at is written otherwise by now."""
    if rule.kind != RuleKind.DISCARD or not rule.is_active:
        return
    history = rule.history
    latest_on = history.filter(is_active=True).latest("history_id").history_id
    switched_off = history.filter(history_id__gt=latest_on).earliest("history_id").history_date
    for terms in writers_before(terms_of(rule), [terms_of(one) for one in rules]):
        if SourceRule.history.filter(id=terms.id, history_date__gt=switched_off).exists():
            detail = (
                f"rule {terms.position}, which writes what it looks at before it, was changed since it was switched "
                "off; switch that rule off or place it after this one, or propose another discard"
            )
            raise UnableToKeepRule([FieldError("kind", "widens_discard", detail)])


def _is_agreed(rule: SourceRule) -> bool:
    is_named = rule.proposal is not None and rule.proposed_by and rule.approved_by
    return bool(is_named) and rule.proposed_by != rule.approved_by


def _order_errors(rule: SourceRule, rules: Sequence[SourceRule]) -> list[FieldError]:
    """Faults of the order, with paths of the rule at hand; another rule's are told by its position."""
    found = []
    after = [terms_of(one) for one in rules]
    for error in order_faults(after) or discard_faults(rules_of(rule.source), after):
        position, _, path = error.path.partition(".")
        if not position or position == str(rule.position):
            found.append(replace(error, path=path))
        else:
            found.append(FieldError("", error.code, f"rule {position}: {error.detail}"))
    return found


def _renumber(order: Sequence[SourceRule], at: dt.datetime, by: Actor, reason: str) -> None:
    """Number rules in this order and store those that are new or have changed. Raises UnableToKeepRule."""
    stored = {rule.pk: rule for rule in SourceRule.objects.filter(source=order[0].source)} if order else {}
    for position, rule in enumerate(order, start=1):
        rule.position = position
    errors = [
        replace(error, path=f"{place}.{error.path}")
        for place, rule in enumerate(order)
        for error in (faults(terms_of(rule)) if rule.is_active else [])
    ]
    before, after = [terms_of(rule) for rule in stored.values()], [terms_of(rule) for rule in order]
    errors = errors or [_at_place(error) for error in order_faults(after) or discard_faults(before, after)]
    if errors:
        raise UnableToKeepRule(errors)
    changed = [rule for rule in order if rule.pk is None or terms_of(rule) != terms_of(stored[rule.pk])]
    _store(changed, at, by, reason)


def _at_place(error: FieldError) -> FieldError:
    """The position, which counts from one, as a place in a list."""
    position, dot, path = error.path.partition(".")
    return replace(error, path=f"{int(position) - 1}{dot}{path}") if position else error


def _store(rules: Sequence[SourceRule], at: dt.datetime, by: Actor, reason: str) -> None:
    for rule in rules:
        sign(rule, at, by, reason)
        rule.save()
