"""How held records and proposals read in the API, with one example of each."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from revops.api.shapes import Currency, Instant, Money, Shown

RecordId = Annotated[int, Meta(ge=1, description="The `id` of the held record.", examples=[7])]
ProposalId = Annotated[int, Meta(ge=1, description="The `id` of the proposal.", examples=[3])]

Reason = Literal[
    "malformed", "unknown_source", "missing_field", "time_in_future", "unknown_event_type", "unknown_customer",
    "no_active_contract", "invalid_value", "rule", "conflict",
]  # fmt: skip
Status = Literal["open", "released", "superseded", "discarded"]
Kind = Literal["assign_customer", "map_type", "fix_value", "release", "replace", "discard"]


class AtRisk(Shown, kw_only=True):
    """An estimate of what the record would have cost, at the best guess of customer and price."""

    amount: Annotated[Money | None, Meta(description="Before tax; null where there is nothing to go by.")]
    currency: Currency | None
    customer: Annotated[str | None, Meta(description="Whose it probably is: a customer's key.", examples=["globex"])]
    score: Annotated[int, Meta(description="How likely that is, 0 to 100.")]
    basis: Annotated[str, Meta(description="How it was estimated.")]
    estimated_at: Instant


class Suggested(Shown, kw_only=True):
    """What the record was probably meant to be."""

    kind: Literal["assign_customer", "map_type"]
    value: Annotated[str, Meta(description="A customer's key or an event type.", examples=["globex"])]
    label: str
    score: Annotated[int, Meta(description="0 to 100.")]
    why: str


class FieldDifference(Shown, kw_only=True):
    """One field in which a conflict differs from what was counted; null where it is absent."""

    path: Annotated[str, Meta(examples=["data.words"])]
    counted: str | None
    held: str | None


class Proposal(Shown, kw_only=True):
    """What one person, or key, proposes for held records, and what another decided."""

    id: int
    kind: Kind
    argument: Annotated[dict[str, Any], Meta(description="The customer, the type, the values ...")]
    reason: str
    keep_as_rule: bool
    rule: Annotated[str | None, Meta(description="What became of keeping it as a rule.")]
    status: Literal["proposed", "approved", "rejected", "withdrawn"]
    proposed_by: Annotated[str, Meta(description="A user or an API key.", examples=["key:3"])]
    proposed_at: Instant
    decided_by: str | None
    decided_at: Instant | None
    note: Annotated[str, Meta(description="What the approver wrote.")]
    records: Annotated[int, Meta(description="How many records it covers.")]
    outcomes: Annotated[
        dict[str, int],
        Meta(
            description="What became of them: `waiting`, `released`, `failed` (held again), `discarded`, `superseded`"
            " (resolved otherwise meanwhile), `dropped` (rejected or withdrawn)."
        ),
    ]
    failures: Annotated[dict[str, int], Meta(description="Of those held again, how many for which reason.")]


class HeldRecord(Shown, kw_only=True):
    """A record that was received and not counted."""

    id: int
    status: Status
    reason: Annotated[Reason, Meta(description="Why it is held now.")]
    detail: str
    first_reason: Annotated[Reason, Meta(description="Why it was held at first.")]
    source: str
    event_id: Annotated[str, Meta(description="The `id` of the event.")]
    type: str
    subject: str
    time: Annotated[Instant | None, Meta(description="When it says it happened.")]
    held_at: Instant
    resolved_at: Instant | None
    sightings: Annotated[int, Meta(description="How often it came.")]
    at_risk: Annotated[AtRisk | None, Meta(description="Null until it has been estimated, within minutes.")]
    suggestions: list[Suggested]
    differences: Annotated[list[FieldDifference], Meta(description="For a conflict: from what was counted.")]
    proposal: Annotated[int | None, Meta(description="The `id` of the proposal it is under, or was last.")]
    raw: Annotated[
        Any, Meta(description="What came, as JSON where it is a JSON object, else as text. Null in lists if large.")
    ]


class HeldGroup(Shown, kw_only=True):
    """Open records that are alike: of one reason and source, with the same subject, type or fault."""

    group: Annotated[str, Meta(description="Names the group in a proposal.")]
    reason: Reason
    source: str
    alike: Annotated[str, Meta(description="What they share: a subject, a type, a fault.", examples=["globex-test"])]
    records: int
    sightings: int
    oldest: Instant
    newest: Instant
    at_risk: Annotated[dict[str, Money], Meta(description="By currency. An estimate.", examples=[{"USD": "12.40"}])]
    unestimated: Annotated[int, Meta(description="Records without an estimate.")]
    proposed: Annotated[int, Meta(description="Records under a proposal that is not through.")]
    sample: Annotated[int, Meta(description="The `id` of one of the records.")]
    customer: Annotated[str | None, Meta(description="Whose they probably are.")]


RECORD = {
    "id": 7,
    "status": "open",
    "reason": "unknown_customer",
    "detail": "no customer has the subject 'globex-test'",
    "first_reason": "unknown_customer",
    "source": "gateway",
    "event_id": "req-9",
    "type": "text.translated",
    "subject": "globex-test",
    "time": "2026-02-03T10:00:00+00:00",
    "held_at": "2026-02-03T10:00:04+00:00",
    "resolved_at": None,
    "sightings": 2,
    "at_risk": {
        "amount": "0.50",
        "currency": "USD",
        "customer": "globex",
        "score": 85,
        "basis": "as on its plan translate; probably Globex Corp: shares globex with its key globex",
        "estimated_at": "2026-02-03T10:05:00+00:00",
    },
    "suggestions": [
        {
            "kind": "assign_customer",
            "value": "globex",
            "label": "Globex Corp",
            "score": 85,
            "why": "shares globex with its key globex",
        }
    ],
    "differences": [],
    "proposal": None,
    "raw": {
        "specversion": "1.0",
        "id": "req-9",
        "source": "gateway",
        "type": "text.translated",
        "subject": "globex-test",
        "time": "2026-02-03T10:00:00Z",
        "data": {"words": 1250},
    },
}

GROUP = {
    "group": "WyJ1bmtub3duX2N1c3RvbWVyIiwiZ2F0ZXdheSIsImdsb2JleC10ZXN0Il0",
    "reason": "unknown_customer",
    "source": "gateway",
    "alike": "globex-test",
    "records": 31,
    "sightings": 62,
    "oldest": "2026-02-03T10:00:04+00:00",
    "newest": "2026-02-04T08:12:00+00:00",
    "at_risk": {"USD": "12.40"},
    "unestimated": 0,
    "proposed": 0,
    "sample": 7,
    "customer": "globex",
}

PROPOSED = {
    "id": 3,
    "kind": "assign_customer",
    "argument": {"customer": "globex"},
    "reason": "Their test environment is billed, says their contract",
    "keep_as_rule": True,
    "rule": None,
    "status": "proposed",
    "proposed_by": "key:3",
    "proposed_at": "2026-02-04T09:00:00+00:00",
    "decided_by": None,
    "decided_at": None,
    "note": "",
    "records": 31,
    "outcomes": {"waiting": 31},
    "failures": {},
}

APPROVED = PROPOSED | {
    "rule": "the subject globex-test of globex",
    "status": "approved",
    "decided_by": "key:4",
    "decided_at": "2026-02-04T09:20:00+00:00",
    "outcomes": {"released": 31},
}

REJECTED = PROPOSED | {
    "status": "rejected",
    "decided_by": "key:4",
    "decided_at": "2026-02-04T09:20:00+00:00",
    "note": "Their test environment is free",
    "outcomes": {"dropped": 31},
}
