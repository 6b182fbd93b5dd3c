"""Proposing what becomes of held records, and deciding it: two persons, told apart as `user:12` or `key:3`.

A proposal covers the records it was made for. What arrives later is covered too only where the resolution is kept as a
rule: then the approval takes in what has become alike since.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import IntegrityError, connections, transaction

from billing.models import Decision, Outcome, Proposal, ResolutionKind
from billing.review.alike import QUARANTINE, GroupKey
from billing.review.choosing import Chosen, Groups, Matching, Records, as_json, directory_now, record_ids
from billing.review.keeping import UnableToKeep, check_keepable
from billing.review.release import Released, release
from billing.review.resolutions import (
    AssignCustomer,
    Discard,
    FixValue,
    InvalidArgument,
    MapType,
    Resolution,
    read_resolution,
    stored_argument,
)
from catalog.auditing import Actor, are_one_person, identity, name_of
from contracts.models import Customer

CONFLICT, MALFORMED = "conflict", "malformed"

# What can be done with a record that contradicts one already counted, and with one that could not be read.
FOR_CONFLICTS = (ResolutionKind.REPLACE, ResolutionKind.FIX_VALUE, ResolutionKind.DISCARD)
FOR_MALFORMED = (ResolutionKind.FIX_VALUE, ResolutionKind.DISCARD)


class UnableToPropose(Exception):
    """The proposal cannot be made; nothing was stored. `path` names the field at fault, `code` what kind of fault."""

    def __init__(self, code: str, message: str, path: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.path = path


class UnableToDecide(Exception):
    """The proposal cannot be decided so; it stays as it is. `code` is decided, own_proposal, not_yours or changed."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def propose(
    chosen: Chosen,
    kind: str,
    argument: Mapping[str, Any],
    *,
    reason: str,
    by: Actor,
    at: dt.datetime,
    keep_as_rule: bool = False,
) -> Proposal:
    """Propose what becomes of open records. Changes nothing but that they wait for a decision. Raises UnableToPropose.

    Of groups and conditions, records under a standing proposal are left out; named ones must all be free.
    """
    if not reason.strip():
        raise UnableToPropose("required", "Say why this is right: the approver and the books need it.", "reason")
    try:
        resolution = read_resolution(kind, argument)
    except InvalidArgument as invalid:
        raise UnableToPropose("invalid", str(invalid), invalid.path) from invalid
    _check_known(resolution)
    try:
        with transaction.atomic(using=QUARANTINE):
            proposal = Proposal.objects.create(
                kind=kind,
                argument=stored_argument(resolution),
                reason=reason.strip(),
                keep_as_rule=keep_as_rule,
                chosen=as_json(chosen),
                proposed_by=identity(by),
                proposed_by_name=name_of(by),
                proposed_at=at,
            )
            covered = _cover(proposal, chosen)
            _check_fits(resolution, kind, _reasons(proposal), covered)
            if keep_as_rule:
                check_keepable(proposal, resolution)
    except IntegrityError as error:
        raise UnableToPropose(
            "already_proposed", "Somebody has proposed something for one of these records just now."
        ) from error
    except UnableToKeep as unable:
        raise UnableToPropose("no_rule", str(unable), "keep_as_rule") from unable
    return proposal


def _check_known(resolution: Resolution) -> None:
    if isinstance(resolution, AssignCustomer) and not Customer.objects.filter(key=resolution.customer).exists():
        raise UnableToPropose("unknown_customer", f"There is no customer {resolution.customer!r}.", "customer")
    if isinstance(resolution, MapType):
        types = directory_now().types
        if resolution.type not in types:
            known = ", ".join(sorted(types)) or "none yet"
            raise UnableToPropose(
                "unknown_type", f"No meter counts events of type {resolution.type!r}; types are: {known}.", "type"
            )


_PUT_UNDER = """
    INSERT INTO quarantine_proposedrecord (proposal_id, record_id, outcome, reason, detail)
    SELECT %s, id, '', '', '' FROM unnest(%s::bigint[]) AS id ORDER BY id
"""
_UNLESS_TAKEN = " ON CONFLICT (record_id) WHERE outcome = '' DO NOTHING"


def _cover(proposal: Proposal, chosen: Chosen) -> int:
    """Put the chosen records under the proposal; returns how many."""
    ids = record_ids(chosen)
    if isinstance(chosen, Records) and len(ids) < len(set(chosen.ids)):
        missing = sorted(set(chosen.ids) - set(ids))
        raise UnableToPropose(
            "not_open", f"The held record {missing[0]} is not open, or already under a proposal.", "records"
        )
    if not ids:
        raise UnableToPropose("nothing_chosen", "There is no open record here that is not under a proposal already.")
    with connections[QUARANTINE].cursor() as cursor:
        cursor.execute(_PUT_UNDER, [proposal.pk, ids])
    return len(ids)


_REASONS = """
    SELECT DISTINCT held.current_reason FROM quarantine_proposedrecord proposed
    JOIN quarantine_heldrecord held ON held.id = proposed.record_id WHERE proposed.proposal_id = %s
"""


def _reasons(proposal: Proposal) -> set[str]:
    with connections[QUARANTINE].cursor() as cursor:
        cursor.execute(_REASONS, [proposal.pk])
        return {reason for (reason,) in cursor.fetchall()}


def _check_fits(resolution: Resolution, kind: str, reasons: set[str], covered: int) -> None:
    """Some resolutions make no sense for some reasons."""
    if CONFLICT in reasons and kind not in FOR_CONFLICTS:
        raise UnableToPropose(
            "unfit", "A conflict has been counted with other content: replace that, give it an id of its own with a fix"
            " of `id`, or discard it.", "kind",
        )  # fmt: skip
    if kind == ResolutionKind.REPLACE and reasons != {CONFLICT}:
        raise UnableToPropose("unfit", "Only what is in conflict with a counted event can replace it.", "kind")
    if MALFORMED in reasons and kind not in FOR_MALFORMED:
        raise UnableToPropose("unfit", "A malformed record can only be fixed or discarded.", "kind")
    if isinstance(resolution, FixValue) and covered > 1 and (resolution.event is not None or "id" in resolution.set):
        raise UnableToPropose("unfit", "A whole event, or an id, fixes one record; choose a single one.", "set")


def approve(proposal: Proposal, *, by: Actor, at: dt.datetime, note: str = "") -> Released:
    """Approve what somebody else proposed, keep it as a rule where that was asked, and release its records.

    Raises UnableToDecide, and UnableToRelease where a database is away: then it is approved, and `release` (or the
    worker) goes on with it.
    """
    with transaction.atomic(using=QUARANTINE):
        locked = _undecided(proposal)
        if are_one_person(locked.proposed_by, identity(by)):
            raise UnableToDecide(
                "own_proposal", "Two persons decide what becomes of held records: somebody else has to approve this."
            )
        try:
            resolution = read_resolution(locked.kind, locked.argument)
            if locked.keep_as_rule:
                _take_in_later_ones(locked)
                check_keepable(locked, resolution)  # with those that came later: nothing of it was checked for them
        except UnableToKeep as unable:
            raise UnableToDecide("changed", f"It can no longer be kept as a rule: {unable}") from unable
        except InvalidArgument as invalid:
            raise UnableToDecide("changed", f"What is proposed cannot be done: {invalid}") from invalid
        _decide(locked, Decision.APPROVED, by, at, note)
    return release(locked, at=at)


def reject(proposal: Proposal, *, by: Actor, at: dt.datetime, note: str = "") -> Proposal:
    """Say no to what somebody else proposed: its records wait for another proposal. Raises UnableToDecide."""
    with transaction.atomic(using=QUARANTINE):
        locked = _undecided(proposal)
        if are_one_person(locked.proposed_by, identity(by)):
            raise UnableToDecide("own_proposal", "This is your own proposal: withdraw it, or let somebody else decide.")
        _decide(locked, Decision.REJECTED, by, at, note)
        _drop(locked, at)
    return locked


def withdraw(proposal: Proposal, *, by: Actor, at: dt.datetime, note: str = "") -> Proposal:
    """Take back one's own proposal before it is decided. Raises UnableToDecide."""
    with transaction.atomic(using=QUARANTINE):
        locked = _undecided(proposal)
        if locked.proposed_by != identity(by):
            raise UnableToDecide("not_yours", "Only who made a proposal withdraws it; reject it instead.")
        _decide(locked, Decision.WITHDRAWN, by, at, note)
        _drop(locked, at)
    return locked


def _undecided(proposal: Proposal) -> Proposal:
    """The proposal under a lock. Raises UnableToDecide where somebody was faster."""
    locked = Proposal.objects.select_for_update().get(pk=proposal.pk)
    if not locked.is_undecided:
        who = locked.decided_by_name or locked.decided_by
        raise UnableToDecide("decided", f"This proposal is decided: {who} has {locked.decision} it.")
    return locked


def _decide(proposal: Proposal, decision: str, by: Actor, at: dt.datetime, note: str) -> None:
    proposal.decision = decision
    proposal.decided_by, proposal.decided_by_name = identity(by), name_of(by)
    proposal.decided_at = at
    proposal.note = note.strip()
    proposal.save(update_fields=["decision", "decided_by", "decided_by_name", "decided_at", "note"])


def _drop(proposal: Proposal, at: dt.datetime) -> None:
    proposal.records.filter(outcome="").update(outcome=Outcome.DROPPED, settled_at=at)


def _take_in_later_ones(proposal: Proposal) -> None:
    """What has come since and is alike: the rule would catch it from now on."""
    ids = record_ids(later(proposal))
    if ids:
        with connections[QUARANTINE].cursor() as cursor:
            cursor.execute(_PUT_UNDER + _UNLESS_TAKEN, [proposal.pk, ids])


def later(proposal: Proposal) -> Chosen:
    """What a proposal that is kept as a rule covers beyond its records: what is alike, or what its match meets."""
    resolution = read_resolution(proposal.kind, proposal.argument)
    if isinstance(resolution, Discard) and resolution.match is not None:
        return Matching(resolution.match)
    return Groups(tuple(covered_groups(proposal)))


_COVERED = """
    SELECT DISTINCT held.current_reason, held.source, held.alike FROM quarantine_proposedrecord proposed
    JOIN quarantine_heldrecord held ON held.id = proposed.record_id WHERE proposed.proposal_id = %s ORDER BY 1, 2, 3
"""


def covered_groups(proposal: Proposal) -> Sequence[GroupKey]:
    """The groups that the records of a proposal belong to."""
    with connections[QUARANTINE].cursor() as cursor:
        cursor.execute(_COVERED, [proposal.pk])
        return [GroupKey(*row) for row in cursor.fetchall()]
