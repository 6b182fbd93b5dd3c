"""Keeping a resolution as a rule, so that what arrives later needs no review.

An assigned subject becomes a subject of the customer (CustomerAlias); a mapped type, a fixed value and a discard
become rules of the source, each with the proposal and the two persons it comes from. Kept again, nothing changes.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable

from django.contrib.auth import get_user_model
from django.db import IntegrityError, connections, transaction

from billing.metering.places import DATA, Place
from billing.metering.rule_checks import faults
from billing.metering.rule_kinds import RuleTerms
from billing.metering.rulebook import Approval, UnableToKeepRule, keep_rule
from billing.models import Proposal, Source
from billing.models.quarantine import BY_SUBJECT, BY_TYPE
from billing.review.alike import QUARANTINE
from billing.review.choosing import COLUMNS, HeldRow, as_labelled, directory_now, held_row
from billing.review.resolutions import AssignCustomer, Discard, FixValue, MapType, Resolution
from catalog.auditing import Actor, create_signed, sign
from contracts.models import Customer, CustomerAlias

MOST_VALUES = 50  # different wrong texts a fix is kept for
ATTEMPTS = 3

# A rule, and the source whose rule it is.
SourceTerms = tuple[str, RuleTerms]


class UnableToKeep(Exception):
    """The resolution cannot become a rule; the message says what can be done instead."""


def check_keepable(proposal: Proposal, resolution: Resolution) -> None:
    """Whether the resolution can become a rule for the records under the proposal. Raises UnableToKeep."""
    if isinstance(resolution, AssignCustomer):
        _check_subjects(resolution.customer, subjects_of(proposal))
        return
    found = rules_for(proposal, resolution)
    known = set(Source.objects.filter(key__in={source for source, _ in found}).values_list("key", flat=True))
    for source, terms in found:
        if source not in known:
            raise UnableToKeep(f"there is no source {source!r} yet, so it can have no rule")
        wrong = faults(terms)
        if wrong:
            raise UnableToKeep("; ".join(fault.detail for fault in wrong))


def keep(proposal: Proposal, resolution: Resolution, at: dt.datetime) -> None:
    """Make the rule of an approved proposal, and write down what became of it."""
    try:
        kept = _keep(proposal, resolution, at)
    except (UnableToKeep, UnableToKeepRule) as unable:
        kept = f"not kept: {unable}"
    Proposal.objects.filter(pk=proposal.pk, rule="").update(rule=kept)


def _keep(proposal: Proposal, resolution: Resolution, at: dt.datetime) -> str:
    by, reason = _approver(proposal), f"Proposal {proposal.pk}: {proposal.reason}"[:1000]
    if isinstance(resolution, AssignCustomer):
        return _keep_subjects(resolution.customer, subjects_of(proposal), at, by, reason)
    approval = Approval(proposal.pk, proposal.proposed_by, proposal.decided_by)
    kept = []
    with transaction.atomic():
        for key, terms in rules_for(proposal, resolution):
            source = Source.objects.get(key=key)
            rule = keep_rule(
                source, terms, at=at, by=by, reason=reason, note=proposal.reason[:500], approval=approval
            )  # fmt: skip
            kept.append(f"rule {rule.pk} of {key}")
    return ", ".join(kept)[:2000]


def _approver(proposal: Proposal) -> Actor:
    kind, _, id = proposal.decided_by.partition(":")
    if kind == "user" and id.isdecimal():
        user = get_user_model().objects.filter(pk=int(id)).first()
        if user is not None:
            return user
    return proposal.decided_by_name or proposal.decided_by


# Subjects of a customer

_SUBJECTS = """
    SELECT DISTINCT held.subject FROM quarantine_proposedrecord proposed
    JOIN quarantine_heldrecord held ON held.id = proposed.record_id
    WHERE proposed.proposal_id = %s AND held.subject <> '' ORDER BY 1
"""


def subjects_of(proposal: Proposal) -> list[str]:
    with connections[QUARANTINE].cursor() as cursor:
        cursor.execute(_SUBJECTS, [proposal.pk])
        return [subject for (subject,) in cursor.fetchall()]


def _check_subjects(customer: str, subjects: list[str]) -> None:
    if not subjects:
        raise UnableToKeep("these records have no subject that could be the customer's from now on")
    for subject, owner in _owners(subjects).items():
        if owner != customer:
            raise UnableToKeep(f"the subject {subject!r} is {owner}'s; assign without keeping it as a rule")


def _owners(subjects: list[str]) -> dict[str, str]:
    """Whose subjects these are: by their own key, else by alias."""
    found = {key: key for key in Customer.objects.filter(key__in=subjects).values_list("key", flat=True)}
    return found | dict(
        CustomerAlias.objects.filter(subject__in=subjects).values_list("subject", "customer__key")
    )  # fmt: skip


def _keep_subjects(key: str, subjects: list[str], at: dt.datetime, by: Actor, reason: str) -> str:
    for _ in range(ATTEMPTS):
        _check_subjects(key, subjects)
        owned = _owners(subjects)
        customer = Customer.objects.get(key=key)
        new = [CustomerAlias(customer=customer, subject=subject) for subject in subjects if subject not in owned]
        for alias in new:
            sign(alias, at, by, reason)
        try:
            with transaction.atomic():
                create_signed(new)
        except IntegrityError:
            continue  # somebody has given one of them away just now
        return f"{len(subjects)} subjects of {key}" if len(subjects) > 1 else f"the subject {subjects[0]} of {key}"
    raise UnableToKeep("subjects change hands too quickly; add them to the customer by hand")


# Rules of a source


def rules_for(proposal: Proposal, resolution: Resolution) -> list[SourceTerms]:
    """The rules that do with later records what the resolution does with these. Raises UnableToKeep."""
    match resolution:
        case MapType(type):
            return [(source, _mapping(old, type, proposal)) for source, old in _types(proposal)]
        case FixValue():
            return list(_fixes(proposal, resolution))
        case Discard(match):
            if match is None:
                return list(_discards(proposal))
            if match.is_empty:
                raise UnableToKeep("say what the rule is to discard: a type, subjects, or a field and its values")
            return [(match.source, match.terms("discard", proposal.pk))]
    raise UnableToKeep("a release as it is, or a replacement, says nothing about later records")


def _mapping(old: str, new: str, proposal: Proposal) -> RuleTerms:
    return RuleTerms(kind="map_type", value=old, to=new, proposal=proposal.pk)


_TYPES = """
    SELECT DISTINCT held.source, held.type FROM quarantine_proposedrecord proposed
    JOIN quarantine_heldrecord held ON held.id = proposed.record_id
    WHERE proposed.proposal_id = %s AND held.type <> '' ORDER BY 1, 2
"""


def _types(proposal: Proposal) -> list[tuple[str, str]]:
    with connections[QUARANTINE].cursor() as cursor:
        cursor.execute(_TYPES, [proposal.pk])
        return [(source, type) for source, type in cursor.fetchall()]


_COVERED = f"""
    SELECT {COLUMNS} FROM quarantine_proposedrecord proposed
    JOIN quarantine_heldrecord held ON held.id = proposed.record_id WHERE proposed.proposal_id = %s ORDER BY held.id
"""


def _covered(proposal: Proposal) -> list[HeldRow]:
    with connections[QUARANTINE].cursor() as cursor:
        cursor.execute(_COVERED, [proposal.pk])
        return [held_row(row) for row in cursor.fetchall()]


def _fixes(proposal: Proposal, fix: FixValue) -> Iterable[SourceTerms]:
    """An absent field is filled, a wrong text is replaced: only those that were seen, so that good ones stay."""
    if fix.event is not None or not all(path.startswith(DATA) for path in fix.set):
        raise UnableToKeep("only a fix of fields of `data` can be kept as a rule")
    directory = directory_now()
    records = [record for row in _covered(proposal) if (record := as_labelled(row, directory)).fault is None]
    for path, value in fix.set.items():
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise UnableToKeep(f"a rule sets {path} to a number or a text, nothing else")
        wrong: dict[tuple[str, str], set[str | None]] = defaultdict(set)
        place = Place(path)
        for record in records:
            if place.read(record) is not None and place.read_text(record) is None:
                raise UnableToKeep(f"{path} holds a list or an object in some of them; a rule compares texts")
            wrong[record.source, record.type].add(place.read_text(record))
        for (source, type), texts in sorted(wrong.items()):
            yield from ((source, terms) for terms in _fix_of(path, str(value), type, texts, proposal))


def _fix_of(path: str, value: str, type: str, texts: set[str | None], proposal: Proposal) -> Iterable[RuleTerms]:
    if None in texts:
        yield RuleTerms(kind="default", field=path, value=value, when_type=type, proposal=proposal.pk)
    seen = sorted(text for text in texts if text is not None)
    if len(seen) > MOST_VALUES or any("*" in text for text in seen):
        raise UnableToKeep(f"{path} holds too many different values in them; write a rule of the source by hand")
    if seen:
        yield RuleTerms(
            kind="set", field=path, value=value, when_type=type, when_field=path, when_values=tuple(seen),
            proposal=proposal.pk,
        )  # fmt: skip


_GROUPED = """
    SELECT DISTINCT held.current_reason, held.source, held.subject, held.type FROM quarantine_proposedrecord proposed
    JOIN quarantine_heldrecord held ON held.id = proposed.record_id WHERE proposed.proposal_id = %s ORDER BY 1, 2, 3, 4
"""


def _discards(proposal: Proposal) -> Iterable[SourceTerms]:
    """One rule for all subjects of a source, one for each of its types."""
    subjects: dict[str, set[str]] = defaultdict(set)
    types: set[tuple[str, str]] = set()
    with connections[QUARANTINE].cursor() as cursor:
        cursor.execute(_GROUPED, [proposal.pk])
        for reason, source, subject, type in cursor.fetchall():
            if reason in BY_SUBJECT and reason != "conflict" and subject and "*" not in subject:
                subjects[source].add(subject)
            elif reason in BY_TYPE and type:
                types.add((source, type))
            else:
                raise UnableToKeep(
                    f"what is held for {reason} has no subject or type in common; say in `match` what the rule discards"
                )
    for source, found in sorted(subjects.items()):
        yield source, RuleTerms(kind="discard", when_subjects=tuple(sorted(found)), proposal=proposal.pk)
    for source, type in sorted(types):
        yield source, RuleTerms(kind="discard", when_type=type, proposal=proposal.pk)
