"""Held records that are alike, all at once: groups with counts and money, and the records a choice covers.

Alike are open records of one reason and source that share what the reason is about: the subject nobody knows, the type
no meter counts, the property that is missing (`HeldRecord.alike`).
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

import msgspec
from django.db import connections, router

from billing.models import HeldRecord, Proposal

MOST_DIGITS = 60  # of a rank, before the point and after it

QUARANTINE: str = router.db_for_write(HeldRecord)


class GroupKey(msgspec.Struct, frozen=True, array_like=True):
    """What the records of a group have in common."""

    reason: str
    source: str
    alike: str

    @property
    def token(self) -> str:
        """The key as a text for addresses and checkboxes."""
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")

    @classmethod
    def read(cls, token: str) -> GroupKey:
        """Raises ValueError for a text that is no token."""
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
            key = msgspec.json.decode(raw, type=cls)
        except (binascii.Error, msgspec.MsgspecError) as error:
            raise ValueError("not the token of a group") from error
        if any("\0" in text for text in (key.reason, key.source, key.alike)):
            raise ValueError("not the token of a group")
        return key


@dataclass(frozen=True, slots=True)
class Asked:
    """Which open records: `text` is part of a subject, type or id; `unproposed` leaves out what is under a proposal."""

    reason: str = ""
    source: str = ""
    text: str = ""
    unproposed: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Alike records. `at_risk` is by currency; `unestimated` records have no estimate; `sample` is one's id.

    `customer` is the likeliest customer's key (empty: nobody comes near), `score` how likely, 0 to 100.
    """

    key: GroupKey
    records: int
    sightings: int
    oldest: dt.datetime
    newest: dt.datetime
    at_risk: dict[str, Decimal]
    unestimated: int
    proposed: int
    sample: int
    subject: str
    type: str
    customer: str
    score: int

    @property
    def reason(self) -> str:
        return self.key.reason

    @property
    def source(self) -> str:
        return self.key.source

    @property
    def alike(self) -> str:
        return self.key.alike


@dataclass(frozen=True, slots=True)
class GroupPage:
    """Some groups, how many there are in all, and the token of the next page or None."""

    groups: list[Group]
    total: int
    next: str | None


Order = Literal["money", "records", "sightings", "oldest", "newest"]

# Each is ordered by from the largest down, then by the group itself.
_RANKS: dict[str, str] = {
    "money": "coalesce(risk, 0)",
    "records": "records",
    "sightings": "sightings",
    "oldest": "-extract(epoch FROM oldest)",
    "newest": "extract(epoch FROM newest)",
}

_OPEN = """
    SELECT held.id, held.current_reason AS reason, held.source, held.alike, held.held_at, held.subject, held.type
    FROM quarantine_heldrecord held
    WHERE held.status = 'open'
      AND (%(reason)s = '' OR held.current_reason = %(reason)s)
      AND (%(source)s = '' OR held.source = %(source)s)
      AND (%(text)s = '' OR held.subject ILIKE %(like)s OR held.type ILIKE %(like)s OR held.event_id ILIKE %(like)s)
      AND NOT (%(unproposed)s AND EXISTS (
        SELECT 1 FROM quarantine_proposedrecord standing WHERE standing.record_id = held.id AND standing.outcome = ''
      ))
"""

_GROUPS = f"""
    WITH held AS MATERIALIZED ({_OPEN}), seen AS (
        SELECT sighting.record_id AS id, count(*) AS n
        FROM held JOIN quarantine_sighting sighting ON sighting.record_id = held.id GROUP BY 1
    ), by_currency AS (
        SELECT held.reason, held.source, held.alike, coalesce(estimate.currency, '') AS currency, count(*) AS records,
            sum(seen.n) AS sightings, min(held.held_at) AS oldest, max(held.held_at) AS newest, min(held.id) AS sample,
            min(held.subject) AS subject, min(held.type) AS type, sum(estimate.amount) AS amount,
            count(*) - count(estimate.amount) AS unestimated, count(placed.id) AS proposed,
            max(estimate.customer) AS customer, max(estimate.score) AS score
        FROM held LEFT JOIN seen ON seen.id = held.id
        LEFT JOIN quarantine_estimate estimate ON estimate.record_id = held.id
        LEFT JOIN quarantine_proposedrecord placed ON placed.record_id = held.id AND placed.outcome = ''
        GROUP BY 1, 2, 3, 4
    ), counted AS (
        SELECT reason, source, alike, sum(records) AS records, sum(sightings) AS sightings, min(oldest) AS oldest,
            max(newest) AS newest, array_agg(currency) AS currencies, array_agg(amount) AS amounts,
            max(amount) AS risk, sum(unestimated) AS unestimated, sum(proposed) AS proposed, min(sample) AS sample,
            min(subject) AS subject, min(type) AS type, max(customer) AS customer, max(score) AS score
        FROM by_currency GROUP BY 1, 2, 3
    ), found AS (
        SELECT *, %(rank)s::numeric AS rank FROM counted
    )
    SELECT reason, source, alike, records, coalesce(sightings, 0), oldest, newest, currencies, amounts, unestimated,
        proposed, sample, subject, type, coalesce(customer, ''), coalesce(score, 0), rank,
        (SELECT count(*) FROM counted)
    FROM found
    WHERE %(after)s::numeric IS NULL OR (-rank, reason, source, alike)
        > (-%(after)s::numeric, %(after_reason)s, %(after_source)s, %(after_alike)s)
    ORDER BY -rank, reason, source, alike LIMIT %(limit)s
"""
"""In one pass over the open records; a group has a row for each currency first, mostly one."""


def groups(
    asked: Asked | None = None, *, order: Order = "money", limit: int = 50, after: str | None = None
) -> GroupPage:
    """Groups of alike open records, the largest first; one query however many records are held.

    `after` is the `next` of the page before. Raises ValueError where it is none.
    """
    asked = asked or Asked()
    sql = _GROUPS.replace("%(rank)s", _RANKS[order])
    parameters = {**_parameters(asked), **_position(after), "limit": limit + 1}
    with connections[QUARANTINE].cursor() as cursor:
        cursor.execute(sql, parameters)
        rows = cursor.fetchall()
    shown = rows[:limit]
    following = _token(shown[-1]) if len(rows) > limit else None
    return GroupPage([_group(row) for row in shown], rows[0][-1] if rows else 0, following)


def group_of(record: HeldRecord) -> GroupKey:
    """The group a record belongs to."""
    return GroupKey(record.current_reason, record.source, record.alike)


def _parameters(asked: Asked) -> dict[str, Any]:
    escaped = asked.text.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")
    return {
        "reason": asked.reason,
        "source": asked.source,
        "text": asked.text,
        "like": f"%{escaped}%",
        "unproposed": asked.unproposed,
    }


def _group(row: Sequence[Any]) -> Group:
    reason, source, alike, records, sightings, oldest, newest, currencies, amounts, *rest = row
    unestimated, proposed, sample, subject, type, customer, score, *_ = rest
    at_risk = {currency: sum_ for currency, sum_ in zip(currencies, amounts, strict=True) if sum_ is not None}
    return Group(
        key=GroupKey(reason, source, alike),
        records=int(records),
        sightings=int(sightings),
        oldest=oldest,
        newest=newest,
        at_risk=dict(sorted(at_risk.items())),
        unestimated=int(unestimated),
        proposed=int(proposed),
        sample=sample,
        subject=subject,
        type=type,
        customer=customer,
        score=score,
    )


def _amounts(found: str) -> dict[str, Decimal]:
    """Amounts by currency out of the text of a JSON object, exact."""
    return dict(sorted(msgspec.json.decode(found, type=dict[str, Decimal]).items()))


def _token(row: Sequence[Any]) -> str:
    position = [str(row[16]), row[0], row[1], row[2]]
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).decode().rstrip("=")


def _position(after: str | None) -> dict[str, Any]:
    rank, reason, source, alike = None, "", "", ""
    if after is not None:
        try:
            raw = base64.b64decode(after + "=" * (-len(after) % 4), altchars=b"-_", validate=True)
            rank, reason, source, alike = msgspec.json.decode(raw, type=tuple[Decimal, str, str, str])
        except (binascii.Error, msgspec.MsgspecError, ArithmeticError) as error:
            raise ValueError("not the `next` of a page of groups") from error
        if not _is_rank(rank) or any("\0" in text for text in (reason, source, alike)):
            raise ValueError("not the `next` of a page of groups")
    return {"after": rank, "after_reason": reason, "after_source": source, "after_alike": alike}


def _is_rank(rank: Decimal) -> bool:
    """Whether it can be the rank of a group: counts, instants and amounts have far fewer digits than this."""
    exponent = rank.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -MOST_DIGITS and rank.adjusted() < MOST_DIGITS


@dataclass(frozen=True, slots=True)
class ReasonTotal:
    """What is open for one reason."""

    reason: str
    records: int
    sightings: int
    at_risk: dict[str, Decimal] = field(default_factory=dict)
    unestimated: int = 0
    oldest: dt.datetime | None = None


_TOTALS = """
    WITH held AS MATERIALIZED (
        SELECT id, current_reason AS reason, held_at FROM quarantine_heldrecord WHERE status = 'open'
    ), money AS (
        SELECT reason, jsonb_object_agg(currency, amount) FILTER (WHERE amount IS NOT NULL) AS at_risk,
            sum(unestimated) AS unestimated
        FROM (
            SELECT reason, coalesce(estimate.currency, '') AS currency, sum(estimate.amount) AS amount,
                count(*) FILTER (WHERE estimate.amount IS NULL) AS unestimated
            FROM held LEFT JOIN quarantine_estimate estimate ON estimate.record_id = held.id GROUP BY 1, 2
        ) by_currency GROUP BY 1
    ), seen AS (
        SELECT reason, count(*) AS sightings
        FROM held JOIN quarantine_sighting sighting ON sighting.record_id = held.id GROUP BY 1
    )
    SELECT reason, count(*), coalesce(min(sightings), 0), coalesce(min(at_risk::text), '{}'),
        coalesce(min(unestimated), 0), min(held_at)
    FROM held LEFT JOIN money USING (reason) LEFT JOIN seen USING (reason)
    GROUP BY reason ORDER BY reason
"""


def totals_by_reason() -> list[ReasonTotal]:
    """What is open, by reason; one query."""
    with connections[QUARANTINE].cursor() as cursor:
        cursor.execute(_TOTALS)
        return [
            ReasonTotal(reason, records, int(sightings), _amounts(at_risk), int(unestimated), oldest)
            for reason, records, sightings, at_risk, unestimated, oldest in cursor.fetchall()
        ]


@dataclass(frozen=True, slots=True)
class Waiting:
    """Proposals nobody has decided, and approved ones that are not released to the end."""

    undecided: int
    unfinished: int


def waiting() -> Waiting:
    return Waiting(Proposal.objects.undecided().count(), Proposal.objects.unfinished().count())
