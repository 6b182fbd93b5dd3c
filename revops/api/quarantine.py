"""The review queue: what is held, what is alike in it, and what two persons do with it."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal

from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpResponse
from django.urls import path
from django.utils import timezone
from msgspec import Meta
from rest_framework.request import Request

from billing.models import Estimate, HeldRecord, Outcome, Proposal, ProposedRecord, Sighting
from billing.review.alike import Asked, Group, GroupKey, group_of, groups
from billing.review.choosing import Chosen, Groups, Match, Matching, Records
from billing.review.details import contradictions, suggestions, verbatim
from billing.review.proposals import UnableToDecide, UnableToPropose, approve, propose, reject, withdraw
from billing.review.release import UnableToRelease
from catalog.money import money_rounding, money_text
from revops.api import quarantine_shapes as shapes
from revops.api.calls import call
from revops.api.deeds import deed
from revops.api.door import Door, absolute, answer
from revops.api.keys import holder
from revops.api.paging import Page, page_of
from revops.api.problems import Fault, Problem, invalid
from revops.api.quarantine_shapes import ProposalId, RecordId
from revops.api.reading import Body
from revops.api.shapes import Paged
from revops.models import Scope

LARGEST_RAW = 16 * 1024  # bytes of what came, in lists
MOST_CHOSEN = 2000  # groups, or records, of one proposal


class HeldFilter(Page, frozen=True, kw_only=True):
    status: Annotated[shapes.Status | None, Meta(description="Only in this state.")] = None
    reason: Annotated[shapes.Reason | None, Meta(description="Only held for this now.")] = None
    source: Annotated[str | None, Meta(description="Only of this source.", examples=["gateway"])] = None
    subject: Annotated[str | None, Meta(description="Only of this subject.", examples=["globex-test"])] = None
    type: Annotated[str | None, Meta(description="Only of this event type.", examples=["text.translated"])] = None


class GroupFilter(Page, frozen=True, kw_only=True):
    reason: Annotated[shapes.Reason | None, Meta(description="Only held for this.")] = None
    source: Annotated[str | None, Meta(description="Only of this source.", examples=["gateway"])] = None
    order: Annotated[
        Literal["money", "records", "sightings", "oldest", "newest"], Meta(description="What comes first.")
    ] = "money"


class ProposalFilter(Page, frozen=True, kw_only=True):
    status: Annotated[
        Literal["proposed", "approved", "rejected", "withdrawn"] | None, Meta(description="Only in this state.")
    ] = None


class RuleMatch(Body, frozen=True, kw_only=True):
    """What records of a source have in common, as its rules look for it. Texts may hold `*`."""

    source: Annotated[str, Meta(min_length=1, examples=["gateway"])]
    type: str = ""
    subjects: tuple[str, ...] = ()
    field: Annotated[str, Meta(description="`subject`, or `data.` and a property.", examples=["data.agent"])] = ""
    values: tuple[str, ...] = ()
    ignores_case: bool = False


class Resolution(Body, frozen=True, kw_only=True):
    """What is to become of records. The kind says which of the other fields it needs."""

    kind: Annotated[
        shapes.Kind,
        Meta(
            description="`assign_customer` needs `customer`, `map_type` needs `type`, `fix_value` needs `set` or"
            " `event`; `release` (as it is, the cause is gone), `replace` (a conflict: what was counted is amended to"
            " it) and `discard` need no more."
        ),
    ]
    reason: Annotated[str, Meta(description="Why this is right; it stays with the proposal.")]
    customer: Annotated[str | None, Meta(description="A customer's key.", examples=["globex"])] = None
    type: Annotated[str | None, Meta(description="An event type that a meter counts.")] = None
    set: Annotated[
        dict[str, Any] | None,
        Meta(
            description="Fields to correct in what came (null takes one away): `id`, `source`, `type`, `subject`,"
            " `time`, `data.NAME`. Write numbers of more than 15 digits as text.",
            examples=[{"data.words": 1250}],
        ),
    ] = None
    event: Annotated[dict[str, Any] | None, Meta(description="The whole event, in place of what came.")] = None
    match: Annotated[
        RuleMatch | None,
        Meta(description="With `discard` and `keep_as_rule`: what is discarded from now on. Default: what is alike."),
    ] = None
    keep_as_rule: Annotated[bool, Meta(description="Do the same with what arrives from the approval on.")] = False

    def argument(self) -> dict[str, Any]:
        """The part that belongs to the kind."""
        given = {name: getattr(self, name) for name in ("customer", "type", "set", "event")}
        found = {name: value for name, value in given.items() if value is not None}
        return found if self.match is None else {**found, "match": match_of(self.match)}


class RecordResolution(Resolution, frozen=True, kw_only=True):
    """What is to become of a record, or of all that are alike."""

    alike: Annotated[bool, Meta(description="Also of every open record of its group.")] = False


class ChosenResolution(Resolution, frozen=True, kw_only=True):
    """What is to become of a choice of records: `groups`, or `records`, or those that `matching` describes."""

    groups: Annotated[
        Annotated[list[str], Meta(min_length=1, max_length=MOST_CHOSEN)] | None, Meta(description="Names of groups.")
    ] = None
    records: Annotated[
        Annotated[list[Annotated[int, Meta(ge=1, le=2**63 - 1)]], Meta(min_length=1, max_length=MOST_CHOSEN)] | None,
        Meta(description="The `id`s of held records.", examples=[[7, 8]]),
    ] = None
    matching: RuleMatch | None = None


class Note(Body, frozen=True, kw_only=True):
    """What the decision is given along."""

    note: str = ""


NO_RECORD = Problem(404, "There is no held record 7.")
NO_PROPOSAL = Problem(404, "There is no proposal 3.")
PROPOSAL_SENT = {
    "kind": "assign_customer",
    "customer": "globex",
    "reason": "Their test environment is billed, says their contract",
    "keep_as_rule": True,
}


def refused(code: str, detail: str) -> Problem:
    """What an operation said it cannot do."""
    return Problem(409, detail, [Fault("", code, detail)])


PROPOSING_REFUSALS = [
    invalid("customer", "unknown_customer", "There is no customer 'globx'."),
    refused("not_open", "The held record 7 is not open, or already under a proposal."),
]
OWN_PROPOSAL = refused(
    "own_proposal", "Two persons decide what becomes of held records: somebody else has to approve this."
)
UNDECIDED = refused("not_proposed", "Nothing is proposed for the held record 7 that waits for a decision.")


class HeldRecords(Door):
    tag = "Quarantine"

    @call(
        Scope.QUARANTINE_READ,
        "List what was held",
        answers=Paged[shapes.HeldRecord],
        example={"results": [shapes.RECORD], "next": None},
    )
    def get(self, request: Request, asked: HeldFilter) -> HttpResponse:
        """Records that were received and not counted, the latest first."""
        names = {
            "status": "status", "reason": "current_reason", "source": "source", "subject": "subject", "type": "type",
        }  # fmt: skip
        given = {column: getattr(asked, name) for name, column in names.items()}
        rows = for_showing().filter(**{column: value for column, value in given.items() if value is not None})
        return answer(page_of(rows, request, asked, {"pk": int}, rendered, descending=True))


class HeldRecordDetail(Door):
    tag = "Quarantine"

    @call(
        Scope.QUARANTINE_READ, "Read a held record", answers=shapes.HeldRecord, example=shapes.RECORD,
        refuses=[NO_RECORD],
    )  # fmt: skip
    def get(self, request: Request, id: RecordId) -> HttpResponse:
        record = found_record(id)
        [shown] = rendered([record])
        return answer(shown | {"raw": verbatim(bytes(record.raw))})


class HeldGroups(Door):
    tag = "Quarantine"

    @call(
        Scope.QUARANTINE_READ,
        "List what is held by what is alike",
        answers=Paged[shapes.HeldGroup],
        example={"results": [shapes.GROUP], "next": None},
    )
    def get(self, request: Request, asked: GroupFilter) -> HttpResponse:
        """Open records of one reason and source with the same subject, type or fault, by the money at risk in them."""
        try:
            page = groups(
                Asked(asked.reason or "", asked.source or ""), order=asked.order, limit=asked.limit, after=asked.cursor
            )
        except ValueError as error:
            raise invalid("cursor", "invalid", "This cursor was not made by this list; follow `next`.") from error
        following = absolute(request, {"cursor": page.next}) if page.next else None
        return answer({"results": [group_json(group) for group in page.groups], "next": following})


class Propose(Door):
    tag = "Quarantine"

    @call(
        Scope.QUARANTINE_WRITE,
        "Propose what becomes of a record",
        status=201,
        answers=shapes.Proposal,
        example=shapes.PROPOSED,
        sends=PROPOSAL_SENT | {"alike": True},
        is_deed=True,
        refuses=[NO_RECORD, *PROPOSING_REFUSALS],
    )
    def post(self, request: Request, id: RecordId, asked: RecordResolution) -> HttpResponse:
        """Nothing changes until somebody else (another key, or a user of the console) approves."""
        at = timezone.now()
        record = found_record(id)
        chosen = Groups((group_of(record),)) if asked.alike else Records((record.pk,))
        return deed(request, at, lambda: proposed(request, chosen, asked, at))


class Approve(Door):
    tag = "Quarantine"

    @call(
        Scope.QUARANTINE_WRITE,
        "Approve what is proposed for a record",
        answers=shapes.Proposal,
        example=shapes.APPROVED,
        sends={"note": "Checked with their contract"},
        is_deed=True,
        refuses=[NO_RECORD, UNDECIDED, OWN_PROPOSAL],
    )
    def post(self, request: Request, id: RecordId, asked: Note) -> HttpResponse:
        """The whole proposal the record is under is approved, and its records are released through the front door.

        What cannot be counted even so stays held, and says why. Not by the key that made the proposal.
        """
        return decided(request, lambda: standing_proposal(found_record(id)), asked, approved)


class Reject(Door):
    tag = "Quarantine"

    @call(
        Scope.QUARANTINE_WRITE,
        "Reject what is proposed for a record",
        answers=shapes.Proposal,
        example=shapes.REJECTED,
        sends={"note": "Their test environment is free"},
        is_deed=True,
        refuses=[NO_RECORD, UNDECIDED, refused("own_proposal", "This is your own proposal: withdraw it.")],
    )
    def post(self, request: Request, id: RecordId, asked: Note) -> HttpResponse:
        """The whole proposal the record is under is rejected; its records wait for another one."""
        return decided(request, lambda: standing_proposal(found_record(id)), asked, reject)


class Proposals(Door):
    tag = "Quarantine"

    @call(
        Scope.QUARANTINE_READ,
        "List proposals",
        answers=Paged[shapes.Proposal],
        example={"results": [shapes.PROPOSED], "next": None},
    )
    def get(self, request: Request, asked: ProposalFilter) -> HttpResponse:
        """What was proposed for held records, the latest first."""
        rows = Proposal.objects.all()
        if asked.status is not None:
            rows = rows.filter(decision="" if asked.status == "proposed" else asked.status)
        return answer(page_of(rows, request, asked, {"pk": int}, proposals_json, descending=True))

    @call(
        Scope.QUARANTINE_WRITE,
        "Propose what becomes of many records",
        status=201,
        answers=shapes.Proposal,
        example=shapes.PROPOSED,
        sends=PROPOSAL_SENT | {"groups": [shapes.GROUP["group"]]},
        is_deed=True,
        refuses=[invalid("groups", "required", "Choose by one of `groups`, `records` and `matching`."),
                 *PROPOSING_REFUSALS],
    )  # fmt: skip
    def post(self, request: Request, asked: ChosenResolution) -> HttpResponse:
        """For whole groups, for single records, or for all that a rule would catch."""
        at = timezone.now()
        chosen = chosen_by(asked)
        return deed(request, at, lambda: proposed(request, chosen, asked, at))


class ProposalDetail(Door):
    tag = "Quarantine"

    @call(
        Scope.QUARANTINE_READ, "Read a proposal", answers=shapes.Proposal, example=shapes.PROPOSED,
        refuses=[NO_PROPOSAL],
    )  # fmt: skip
    def get(self, request: Request, id: ProposalId) -> HttpResponse:
        return answer(proposals_json([found_proposal(id)])[0])


class ApproveProposal(Door):
    tag = "Quarantine"

    @call(
        Scope.QUARANTINE_WRITE,
        "Approve a proposal",
        answers=shapes.Proposal,
        example=shapes.APPROVED,
        sends={"note": "Checked with their contract"},
        is_deed=True,
        refuses=[NO_PROPOSAL, OWN_PROPOSAL],
    )
    def post(self, request: Request, id: ProposalId, asked: Note) -> HttpResponse:
        """Its records are released through the front door, or discarded."""
        return decided(request, lambda: found_proposal(id), asked, approved)


class RejectProposal(Door):
    tag = "Quarantine"

    @call(
        Scope.QUARANTINE_WRITE,
        "Reject a proposal",
        answers=shapes.Proposal,
        example=shapes.REJECTED,
        sends={"note": "Their test environment is free"},
        is_deed=True,
        refuses=[NO_PROPOSAL, refused("decided", "This proposal is decided: Sync has approved it.")],
    )
    def post(self, request: Request, id: ProposalId, asked: Note) -> HttpResponse:
        """Its records wait for another one."""
        return decided(request, lambda: found_proposal(id), asked, reject)


class WithdrawProposal(Door):
    tag = "Quarantine"

    @call(
        Scope.QUARANTINE_WRITE,
        "Withdraw a proposal",
        answers=shapes.Proposal,
        example=shapes.REJECTED | {"status": "withdrawn", "decided_by": "key:3", "note": ""},
        sends={"note": ""},
        is_deed=True,
        refuses=[NO_PROPOSAL, refused("not_yours", "Only who made a proposal withdraws it; reject it instead.")],
    )
    def post(self, request: Request, id: ProposalId, asked: Note) -> HttpResponse:
        """By the key that made it, before it is decided."""
        return decided(request, lambda: found_proposal(id), asked, withdraw)


addresses = [
    path("quarantine", HeldRecords.as_view(), name="quarantine"),
    path("quarantine/groups", HeldGroups.as_view(), name="quarantine-groups"),
    path("quarantine/proposals", Proposals.as_view(), name="proposals"),
    path("quarantine/proposals/<int:id>", ProposalDetail.as_view(), name="proposal"),
    path("quarantine/proposals/<int:id>/approve", ApproveProposal.as_view(), name="approve-proposal"),
    path("quarantine/proposals/<int:id>/reject", RejectProposal.as_view(), name="reject-proposal"),
    path("quarantine/proposals/<int:id>/withdraw", WithdrawProposal.as_view(), name="withdraw-proposal"),
    path("quarantine/<int:id>", HeldRecordDetail.as_view(), name="held-record"),
    path("quarantine/<int:id>/propose", Propose.as_view(), name="propose"),
    path("quarantine/<int:id>/approve", Approve.as_view(), name="approve-held"),
    path("quarantine/<int:id>/reject", Reject.as_view(), name="reject-held"),
]


# Finding


def for_showing() -> QuerySet[HeldRecord]:
    seen = Sighting.objects.filter(record=OuterRef("pk")).order_by().values("record")
    counted = Subquery(seen.annotate(count=Count("pk")).values("count"), output_field=IntegerField())
    last = ProposedRecord.objects.filter(record=OuterRef("pk")).order_by("-pk").values("proposal")[:1]
    return HeldRecord.objects.select_related("estimate").annotate(
        sighting_count=Coalesce(counted, 0), last_proposal=Subquery(last)
    )


def found_record(id: int) -> HeldRecord:
    record = for_showing().filter(pk=id).first()
    if record is None:
        raise Problem(404, f"There is no held record {id}.")
    return record


def found_proposal(id: int) -> Proposal:
    proposal = Proposal.objects.filter(pk=id).first()
    if proposal is None:
        raise Problem(404, f"There is no proposal {id}.")
    return proposal


def standing_proposal(record: HeldRecord) -> Proposal:
    """The proposal a record is under, or the last one it was."""
    last = ProposedRecord.objects.filter(record=record).order_by("-pk").select_related("proposal").first()
    if last is None:
        detail = f"Nothing is proposed for the held record {record.pk} that waits for a decision."
        raise refused("not_proposed", detail)
    return last.proposal


def match_of(asked: RuleMatch) -> dict[str, Any]:
    names = ("source", "type", "subjects", "field", "values", "ignores_case")
    return {name: getattr(asked, name) for name in names}


def chosen_by(asked: ChosenResolution) -> Chosen:
    """Raises Problem (400)."""
    if sum(one is not None for one in (asked.groups, asked.records, asked.matching)) != 1:
        raise invalid("groups", "required", "Choose by one of `groups`, `records` and `matching`.")
    if asked.records is not None:
        return Records(tuple(asked.records))
    if asked.matching is not None:
        match = Match(**match_of(asked.matching))
        if match.is_empty:
            raise invalid("matching", "required", "Say what they have in common: `type`, `subjects`, or a `field`.")
        return Matching(match)
    keys = []
    for place, token in enumerate(asked.groups or ()):
        try:
            keys.append(GroupKey.read(token))
        except ValueError as error:
            raise invalid(f"groups[{place}]", "invalid", "This names no group; take `group` of the list.") from error
    return Groups(tuple(keys))


# Doing

ARGUMENT_FAULTS = ("required", "invalid", "unknown_customer", "unknown_type")


def proposed(request: Request, chosen: Chosen, asked: Resolution, at: dt.datetime) -> HttpResponse:
    try:
        proposal = propose(
            chosen, asked.kind, asked.argument(), reason=asked.reason, by=holder(request), at=at,
            keep_as_rule=asked.keep_as_rule,
        )  # fmt: skip
    except UnableToPropose as unable:
        status = 400 if unable.code in ARGUMENT_FAULTS else 409
        raise Problem(status, str(unable), [Fault(unable.path, unable.code, str(unable))]) from unable
    return answer(proposals_json([proposal])[0], status=201)


def approved(proposal: Proposal, **decision: Any) -> None:
    """A release that is cut short is approved nevertheless, and says how many records wait."""
    try:
        approve(proposal, **decision)
    except UnableToRelease:
        proposal.refresh_from_db()


def decided(
    request: Request, find: Callable[[], Proposal], asked: Note, decide: Callable[..., object]
) -> HttpResponse:  # fmt: skip
    at = timezone.now()

    def do() -> HttpResponse:
        proposal = find()
        try:
            decide(proposal, by=holder(request), at=at, note=asked.note)
        except UnableToDecide as unable:
            raise refused(unable.code, str(unable)) from unable
        return answer(proposals_json([found_proposal(proposal.pk)])[0])

    return deed(request, at, do)


# Rendering


def rendered(records: Sequence[Any]) -> list[dict[str, Any]]:
    suggested, differing = suggestions(records), contradictions(records)
    return [
        record_json(record)
        | {
            "suggestions": [
                {"kind": one.kind, "value": one.value, "label": one.label, "score": one.score, "why": one.why}
                for one in found
            ],
            "differences": [
                {"path": one.path, "counted": one.counted, "held": one.held} for one in differing.get(record.pk, ())
            ],
            "raw": verbatim(bytes(record.raw)) if len(record.raw) <= LARGEST_RAW else None,
        }
        for record, found in zip(records, suggested, strict=True)
    ]


def record_json(record: Any) -> dict[str, Any]:
    return {
        "id": record.pk,
        "status": record.status,
        "reason": record.current_reason,
        "detail": record.current_detail,
        "first_reason": record.reason,
        "source": record.source,
        "event_id": record.event_id,
        "type": record.type,
        "subject": record.subject,
        "time": record.occurred_at,
        "held_at": record.held_at,
        "resolved_at": record.resolved_at,
        "sightings": record.sighting_count,
        "at_risk": at_risk_json(getattr(record, "estimate", None)),
        "proposal": record.last_proposal,
    }


def at_risk_json(estimate: Estimate | None) -> dict[str, Any] | None:
    if estimate is None:
        return None
    return {
        "amount": None if estimate.amount is None else money(estimate.amount, estimate.currency),
        "currency": estimate.currency or None,
        "customer": estimate.customer or None,
        "score": estimate.score,
        "basis": estimate.basis,
        "estimated_at": estimate.estimated_at,
    }


def money(amount: Decimal, currency: str) -> str:
    """An estimate as an amount of money: rounded to the currency's places."""
    return money_text(money_rounding(currency).of(amount), currency)


def group_json(group: Group) -> dict[str, Any]:
    return {
        "group": group.key.token,
        "reason": group.reason,
        "source": group.source,
        "alike": group.alike,
        "records": group.records,
        "sightings": group.sightings,
        "oldest": group.oldest,
        "newest": group.newest,
        "at_risk": {currency: money(amount, currency) for currency, amount in group.at_risk.items()},
        "unestimated": group.unestimated,
        "proposed": group.proposed,
        "sample": group.sample,
        "customer": group.customer or None,
    }


def proposals_json(proposals: Sequence[Any]) -> list[dict[str, Any]]:
    """Proposals with what became of their records; one query for all of them."""
    rows = ProposedRecord.objects.filter(proposal__in=[one.pk for one in proposals])
    outcomes: dict[int, Counter[str]] = defaultdict(Counter)
    failures: dict[int, dict[str, int]] = defaultdict(dict)
    for id, outcome, reason, n in rows.values_list("proposal", "outcome", "reason").annotate(Count("id")).order_by():
        outcomes[id][outcome or "waiting"] += n
        if outcome == Outcome.FAILED:
            failures[id][reason] = n
    return [proposal_json(one, outcomes[one.pk], failures[one.pk]) for one in proposals]


def proposal_json(proposal: Proposal, outcomes: Counter[str], failures: dict[str, int]) -> dict[str, Any]:
    return {
        "id": proposal.pk,
        "kind": proposal.kind,
        "argument": proposal.argument,
        "reason": proposal.reason,
        "keep_as_rule": proposal.keep_as_rule,
        "rule": proposal.rule or None,
        "status": proposal.decision or "proposed",
        "proposed_by": proposal.proposed_by,
        "proposed_at": proposal.proposed_at,
        "decided_by": proposal.decided_by or None,
        "decided_at": proposal.decided_at,
        "note": proposal.note,
        "records": outcomes.total(),
        "outcomes": dict(sorted(outcomes.items())),
        "failures": dict(sorted(failures.items())),
    }
