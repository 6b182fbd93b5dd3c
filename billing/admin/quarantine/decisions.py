"""The deeds on a proposal: approve, reject, withdraw, and go on with a release that was cut short."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, cast

from django import forms
from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Count
from django.http import HttpRequest

from billing.admin.quarantine.wording import at_risk_words, chosen_words, reason_label, state_of, what_words
from billing.models import Proposal, ResolutionKind
from billing.review.preview import Preview, UnableToPreview, preview_proposal
from billing.review.proposals import UnableToDecide, approve, reject, withdraw
from billing.review.release import Released, UnableToRelease, release
from catalog.auditing import identity
from catalog.deeds import Change, Deed


class Noted(forms.Form):
    note = forms.CharField(
        required=False,
        max_length=1000,
        widget=forms.Textarea(attrs={"rows": 2, "cols": 60}),
        help_text="Kept with the decision, for who proposed it and for the auditor.",
    )


class Because(forms.Form):
    note = forms.CharField(
        label="Why",
        max_length=1000,
        widget=forms.Textarea(attrs={"rows": 2, "cols": 60}),
        help_text="Who proposed it reads this, and can propose something better.",
    )


class DecisionDeed(Deed):
    """A decision about a proposal that nobody has decided yet."""

    refusals = (UnableToDecide, UnableToRelease, UnableToPreview)

    def applies(self, row: Proposal) -> bool:
        return row.is_undecided

    def check_undecided(self, row: Proposal) -> None:
        if not row.is_undecided:
            who = row.decided_by_name or row.decided_by
            raise UnableToDecide("decided", f"It is decided: {who} has {row.decision} it.")


class Approve(DecisionDeed):
    name, label, permission = "approve_proposal", "Approve", "quarantine.approve_resolution"
    explanation = (
        "It is done at once. What is counted is billed with its own period, or as an adjustment where that is closed. "
        "An approval cannot be taken back; what was counted can still be corrected."
    )
    form_class = Noted

    def changes(self, row: Proposal, at: dt.datetime) -> Sequence[Change]:
        self.check_undecided(row)
        return approval_changes(row, preview_proposal(row, at=at))

    def do(self, row: Proposal, at: dt.datetime, by: AbstractBaseUser, asked: Mapping[str, Any]) -> str:
        return outcome_sentence(approve(row, by=by, at=at, note=asked["note"]))


class Reject(DecisionDeed):
    name, label, permission = "reject_proposal", "Reject", "quarantine.approve_resolution"
    explanation = "Its records stay held, and can be proposed for again."
    form_class = Because

    def changes(self, row: Proposal, at: dt.datetime) -> Sequence[Change]:
        self.check_undecided(row)
        return [Change("Records", f"{count_of(row):,} wait under this proposal", "held, under no proposal")]

    def do(self, row: Proposal, at: dt.datetime, by: AbstractBaseUser, asked: Mapping[str, Any]) -> str:
        reject(row, by=by, at=at, note=asked["note"])
        return f"Proposal {row.pk} is rejected; its records stay held."


class Withdraw(DecisionDeed):
    name, label, permission = "withdraw_proposal", "Withdraw", "quarantine.propose_resolution"
    explanation = "Takes your proposal back. Its records stay held, and can be proposed for again."
    form_class = Noted

    def changes(self, row: Proposal, at: dt.datetime) -> Sequence[Change]:
        self.check_undecided(row)
        return [Change("Records", f"{count_of(row):,} wait under this proposal", "held, under no proposal")]

    def do(self, row: Proposal, at: dt.datetime, by: AbstractBaseUser, asked: Mapping[str, Any]) -> str:
        withdraw(row, by=by, at=at, note=asked["note"])
        return f"Proposal {row.pk} is withdrawn; its records stay held."


class GoOn(Deed):
    name, label, permission = "continue_release", "Continue", "quarantine.release_resolution"
    explanation = "Goes on with a release that was cut short. What is done already is not done twice."
    refusals = (UnableToRelease,)

    def applies(self, row: Proposal) -> bool:
        return row.is_unfinished

    def changes(self, row: Proposal, at: dt.datetime) -> Sequence[Change]:
        if not row.is_unfinished:
            raise UnableToRelease(f"Nothing is left to do: {state_of(row)[0]}.")
        left = row.records.filter(outcome="").count()
        return [Change("Records without an outcome", f"{left:,}", "0")]

    def do(self, row: Proposal, at: dt.datetime, by: AbstractBaseUser, asked: Mapping[str, Any]) -> str:
        return outcome_sentence(release(row, at=at))


DEEDS: tuple[Deed, ...] = (Approve(), Reject(), Withdraw(), GoOn())


def is_open_to(deed: Deed, row: Proposal, request: HttpRequest) -> bool:
    """Whether a person sees the button: approving and rejecting is for others, withdrawing for who proposed it."""
    is_own = row.proposed_by == identity(cast(AbstractBaseUser, request.user))
    return is_own if isinstance(deed, Withdraw) else not (is_own and isinstance(deed, Approve | Reject))


def approval_changes(row: Proposal, found: Preview) -> list[Change]:
    """The confirm page of an approval: records and money before and after."""
    discards = row.kind == ResolutionKind.DISCARD
    held, stays = f"{found.records:,} held", sum(found.would_fail.values())
    changes = [Change("What", chosen_words(row), what_words(row.kind, row.argument))]
    if discards:
        changes.append(Change("Records", held, f"{found.records:,} discarded, never counted"))
        changes.append(Change("Money, about", at_risk_words(found.at_risk) or "not estimated", "not billed"))
    else:
        why = ", ".join(f"{count:,} {reason_label(reason).lower()}" for reason, count in found.would_fail.items())
        changes.append(Change("Records", held, f"{found.would_release:,} counted"))
        if stays:
            changes.append(Change("Held again", "", f"{stays:,}: {why}"))
        money = at_risk_words(found.amount) or ("nothing" if found.would_release else "not billed")
        changes.append(Change("Money, about", "not billed", f"{money} more use to bill, before tax"))
    if found.adjustments:
        changes.append(Change("Of periods closed already", "", f"{found.adjustments:,}, billed as adjustments"))
    if row.keep_as_rule:
        caught = f" (it takes in {found.also_caught:,} more that are held)" if found.also_caught else ""
        changes.append(Change("Rule", "none", f"{'; '.join(found.rules) or 'kept'}{caught}"))
    return changes


def outcome_sentence(done: Released) -> str:
    """What became of a proposal's records: "482 counted, 3 held again (no active contract)"."""
    said = [
        f"{count:,} {words}"
        for count, words in (
            (done.released, "counted"),
            (done.discarded, "discarded"),
            (done.failed, "held again"),
            (done.superseded, "had come in meanwhile"),
            (done.waiting, "still to do"),
        )
        if count
    ]
    why = ", ".join(f"{reason_label(reason).lower()} {count:,}" for reason, count in done.failures.items())
    reasons = f" ({why})" if why else ""
    return f"Proposal {done.proposal.pk} is approved: {', '.join(said) or 'nothing was left to do'}{reasons}."


def count_of(row: Proposal) -> int:
    """How many records a proposal covers."""
    return int(row.records.aggregate(n=Count("pk"))["n"])
