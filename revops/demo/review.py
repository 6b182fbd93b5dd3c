"""What the sample company's people do with what is held: two resolutions through, one that waits for finance."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import User
from django.db.models import QuerySet

from billing.models import HeldRecord, HeldStatus, ProposedRecord, ResolutionKind
from billing.review.alike import group_of
from billing.review.at_risk import refresh_estimates
from billing.review.choosing import Groups, Records
from billing.review.proposals import approve, propose

Staff = Mapping[str, User]


def repair_counter(at: dt.datetime, staff: Staff) -> None:
    """Northgate reads the number that its release 42 got wrong out of its own log."""
    argument = {"set": {"data.output_tokens": 31_000}}
    reason = "31,000 output tokens by Northgate's own log, mailed by Tom Hale"
    broken = HeldRecord.objects.filter(event_id="ng-rel42-3")
    _resolve(broken, ResolutionKind.FIX_VALUE, argument, reason, at, staff)


def discard_probe(at: dt.datetime, staff: Staff) -> None:
    """What the monitoring sends is no usage."""
    probe = HeldRecord.objects.filter(raw=b'"ping <b>?</b>"')
    _resolve(probe, ResolutionKind.DISCARD, {}, "A probe of the monitoring, no usage", at, staff)


def propose_helios(at: dt.datetime, staff: Staff) -> None:
    """The subject that a new deployment of Helios spells wrong; finance has not looked at it yet."""
    record = HeldRecord.objects.filter(subject="helios-robotcs", status=HeldStatus.OPEN).first()
    if record is not None and not ProposedRecord.objects.filter(record=record).exists():
        propose(
            Groups((group_of(record),)), ResolutionKind.ASSIGN_CUSTOMER, {"customer": "helios"}, by=staff["revops"],
            reason="Helios misspelled its subject in a new deployment; confirmed by phone", at=at, keep_as_rule=True,
        )  # fmt: skip
    refresh_estimates(at)


def _resolve(
    records: QuerySet[HeldRecord], kind: str, argument: Mapping[str, Any], reason: str, at: dt.datetime, staff: Staff
) -> None:
    """Proposed by RevOps, and approved by finance an hour later; once."""
    record = records.filter(status=HeldStatus.OPEN).first()
    if record is not None:
        proposal = propose(Records((record.pk,)), kind, argument, reason=reason, by=staff["revops"], at=at)
        approve(proposal, by=staff["finance"], at=at + dt.timedelta(hours=1))
