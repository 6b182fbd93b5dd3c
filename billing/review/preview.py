"""What a resolution would do, before anybody decides: how many records would come in, at what price, and what fails."""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connections

from billing.metering.decoding import Record, instant_of
from billing.metering.directory import Directory
from billing.metering.labelling import Held, Label, Reason
from billing.metering.rule_wording import sentence
from billing.models import PeriodClose, Proposal, Register
from billing.review.alike import QUARANTINE, GroupKey
from billing.review.at_risk import estimate
from billing.review.choosing import (
    Chosen,
    Groups,
    HeldRow,
    Match,
    Matching,
    directory_now,
    held_rows,
    matching,
    record_ids,
)
from billing.review.keeping import UnableToKeep, rules_for, subjects_of
from billing.review.proposals import later
from billing.review.replacing import counted_under
from billing.review.resolutions import (
    AssignCustomer,
    Discard,
    InvalidArgument,
    Replace,
    Resolution,
    judge,
    read_resolution,
)

MOST_JUDGED = 20_000  # records that are tried; of more, the first
SHOWN_FAILURES = 10

Amounts = dict[str, Decimal]


class UnableToPreview(Exception):
    """There is nothing to try: the argument cannot be used, or the customer is not there."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A record that would be held again, and why."""

    record: int
    reason: str
    detail: str


@dataclass(slots=True)
class Preview:
    """What would happen now.

    `at_risk` is the present estimate of the records, `amount` the estimate of what those that come in would cost, both
    by currency. `adjustments` of them fall into closed periods. `also_caught` more would be taken in because the
    resolution is kept as a rule, which `rules` say in words. `judged` records were tried.
    """

    records: int = 0
    sightings: int = 0
    judged: int = 0
    at_risk: Amounts = field(default_factory=dict)
    would_release: int = 0
    would_fail: dict[str, int] = field(default_factory=dict)
    amount: Amounts = field(default_factory=dict)
    adjustments: int = 0
    also_caught: int = 0
    rules: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


def preview(
    chosen: Chosen, kind: str, argument: Mapping[str, Any], *, at: dt.datetime, keep_as_rule: bool = False
) -> Preview:
    """Try a resolution on the records that are chosen; stores nothing. Raises UnableToPreview."""
    try:
        resolution = read_resolution(kind, argument)
    except InvalidArgument as invalid:
        raise UnableToPreview(str(invalid)) from invalid
    ids = record_ids(chosen)
    found = _tried(ids, resolution, at)
    if keep_as_rule:
        beyond = set(record_ids(_alike_of(chosen, ids, resolution))) - set(ids)
        found.also_caught = len(beyond)
    return found


def preview_proposal(proposal: Proposal, *, at: dt.datetime) -> Preview:
    """Try a proposal on the records that wait under it, as its approver should see it. Raises UnableToPreview."""
    try:
        resolution = read_resolution(proposal.kind, proposal.argument)
    except InvalidArgument as invalid:
        raise UnableToPreview(str(invalid)) from invalid
    ids = list(proposal.records.filter(outcome="").order_by("record_id").values_list("record_id", flat=True))
    found = _tried(ids, resolution, at)
    if proposal.keep_as_rule and proposal.is_undecided:
        found.also_caught = len(record_ids(later(proposal)))
        found.rules = _in_words(proposal, resolution)
    return found


def _alike_of(chosen: Chosen, ids: Sequence[int], resolution: Resolution) -> Chosen:
    if isinstance(resolution, Discard) and resolution.match is not None:
        return Matching(resolution.match)
    if isinstance(chosen, Groups):
        return chosen
    with connections[QUARANTINE].cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT current_reason, source, alike FROM quarantine_heldrecord WHERE id = ANY(%s)", [list(ids)]
        )
        return Groups(tuple(GroupKey(*row) for row in cursor.fetchall()))


def _in_words(proposal: Proposal, resolution: Resolution) -> list[str]:
    if isinstance(resolution, AssignCustomer):
        subjects = subjects_of(proposal)
        more = f" and {len(subjects) - 5:,} more" if len(subjects) > 5 else ""
        return [f"From now on {', '.join(subjects[:5])}{more} is {resolution.customer}"]
    try:
        return [f"{source}: {sentence(terms)}" for source, terms in rules_for(proposal, resolution)]
    except UnableToKeep as unable:
        return [f"It cannot be kept as a rule: {unable}"]


def _tried(ids: Sequence[int], resolution: Resolution, at: dt.datetime) -> Preview:
    found = Preview(records=len(ids), judged=min(len(ids), MOST_JUDGED))
    found.sightings, found.at_risk = _standing(ids)
    if isinstance(resolution, Discard) or not ids:
        return found
    rows = held_rows(ids[:MOST_JUDGED])
    found.judged = len(rows)
    directory = directory_now()
    if isinstance(resolution, Replace):
        _try_replacing(rows, directory, found)
    else:
        records, decisions = judge(rows, resolution, directory, instant_of(at))
        _try_releasing(rows, records, decisions, resolution, directory, found)
    return found


_STANDING = """
    SELECT coalesce(estimate.currency, ''), sum(estimate.amount), sum(seen.n)::bigint
    FROM unnest(%s::bigint[]) AS chosen (id) LEFT JOIN quarantine_estimate estimate ON estimate.record_id = chosen.id
    CROSS JOIN LATERAL (SELECT count(*) AS n FROM quarantine_sighting WHERE record_id = chosen.id) seen
    GROUP BY 1 ORDER BY 1
"""


def _standing(ids: Sequence[int]) -> tuple[int, Amounts]:
    """How often these records were seen, and what is at risk in them by the last estimate."""
    with connections[QUARANTINE].cursor() as cursor:
        cursor.execute(_STANDING, [list(ids)])
        rows = cursor.fetchall()
    return sum(seen for *_, seen in rows), {currency: amount for currency, amount, _ in rows if amount is not None}


def _try_replacing(rows: Sequence[HeldRow], directory: Directory, found: Preview) -> None:
    keys = [UUID(bytes=row.key) for row in rows if row.key is not None]
    counted = counted_under(keys)
    found.would_release = sum(1 for key in keys if key in counted and not counted[key].is_void)
    if found.would_release < len(rows):
        found.would_fail = {Reason.CONFLICT.value: len(rows) - found.would_release}
    found.amount = _summed(one for one in estimate(rows, directory))


def _try_releasing(
    rows: Sequence[HeldRow],
    records: Sequence[Record],
    decisions: Sequence[Label | Held],
    resolution: Resolution,
    directory: Directory,
    found: Preview,
) -> None:
    taken = _taken({record.key for record in records if record.key is not None})
    failing: Counter[str] = Counter()
    coming: list[int] = []
    for place, (row, record, decision) in enumerate(zip(rows, records, decisions, strict=True)):
        if isinstance(decision, Label) and taken.get(record.key or b"", record.digest) != record.digest:
            decision = Held(Reason.CONFLICT, "this id of this source was received before with other content")
        if isinstance(decision, Label):
            coming.append(place)
            continue
        failing[decision.reason.value] += 1
        if len(found.failures) < SHOWN_FAILURES:
            found.failures.append(Failure(row.id, decision.reason.value, decision.detail))
    found.would_release, found.would_fail = len(coming), dict(sorted(failing.items()))
    found.adjustments = _in_closed_periods([decisions[place] for place in coming])
    customer = resolution.customer if isinstance(resolution, AssignCustomer) else None
    chosen_rows, chosen_records = [rows[place] for place in coming], [records[place] for place in coming]
    found.amount = _summed(estimate(chosen_rows, directory, records=chosen_records, customer=customer))


def _summed(estimates: Iterable[Any]) -> Amounts:
    amounts: dict[str, Decimal] = defaultdict(Decimal)
    for one in estimates:
        if one.amount is not None:
            amounts[one.currency] += one.amount
    return dict(sorted(amounts.items()))


def _taken(keys: set[bytes]) -> dict[bytes, bytes]:
    """The digests of what is registered under these keys."""
    entries = Register.objects.filter(key__in=[UUID(bytes=key) for key in keys]).values_list("key", "digest")
    return {key.bytes: digest.bytes for key, digest in entries}


def _in_closed_periods(labels: Iterable[Label | Held]) -> int:
    """How many fall into periods that are closed: they become adjustments on the next invoice."""
    events = [label for label in labels if isinstance(label, Label)]
    closes = PeriodClose.objects.standing().filter(customer_id__in={label.customer_id for label in events})
    spans: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for customer_id, starts_at, ends_at in closes.values_list("customer_id", "starts_at", "ends_at"):
        spans[customer_id].append((instant_of(starts_at), instant_of(ends_at)))
    for found in spans.values():
        found.sort()
    return sum(1 for label in events if _lies_in(spans.get(label.customer_id, []), label.occurred_at))


def _lies_in(spans: Sequence[tuple[int, int]], instant: int) -> bool:
    place = bisect_right(spans, (instant, 2**63)) - 1
    return place >= 0 and instant < spans[place][1]


@dataclass(frozen=True, slots=True)
class Catch:
    """What a rule would catch among what is open: how many, the money at risk in it, some of the records."""

    records: int
    at_risk: Amounts
    sample: list[int]


def catches(match: Match) -> Catch:
    """What a rule with this match would catch among what is held now."""
    ids = [row.id for row in matching(match)]
    return Catch(len(ids), _standing(ids)[1], ids[:SHOWN_FAILURES])
