"""What was received and could not be labelled or trusted, and its review by two persons.

In a database of its own, with no foreign key out of it: who did something is a text such as `user:12`. Everything here
is a fact but the estimates, which are made again from time to time. Its SQL is in billing/quarantine/migrations/sql/.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Case, F, Func, Q, Value, When
from django.db.models.functions import Concat, Left

from catalog.auditing import Fact


class HeldStatus(models.TextChoices):
    OPEN = "open"
    RELEASED = "released"
    SUPERSEDED = "superseded"
    DISCARDED = "discarded"


# What alike records share beside their reason and source.
BY_SUBJECT = ("unknown_customer", "no_active_contract", "time_in_future", "conflict")
BY_TYPE = ("unknown_event_type",)
BY_VALUE = ("missing_field", "invalid_value")
BY_FAULT = ("malformed", "unknown_source", "rule")


def _alike() -> Case:
    detail = Left(F("current_detail"), 100)
    faultless = Func(F("current_detail"), Value("[0-9]+"), Value("#"), Value("g"), function="regexp_replace")
    return Case(
        When(current_reason__in=BY_SUBJECT, then=Left(F("subject"), 255)),
        When(current_reason__in=BY_TYPE, then=Left(F("type"), 255)),
        When(current_reason__in=BY_VALUE, then=Concat(Left(F("type"), 255), Value(": "), detail)),
        When(current_reason__in=BY_FAULT, then=Left(faultless, 100)),
        default=Value(""),
        output_field=models.TextField(),
    )


class HeldRecord(Fact):
    """A record held for review: what came, byte for byte, and why it was not counted.

    One row for each (source, id, digest, reason); a repeat is another sighting of it. `reason` is what it was first
    held for; a release that fails again leaves it open and says why now in `current_reason`.
    """

    changeable = ("status", "resolved_at", "current_reason", "current_detail", "discarded_by")

    key = models.UUIDField(
        null=True, db_index=True, help_text="As in the register; empty where source or id is unknown."
    )
    source = models.TextField(blank=True)
    event_id = models.TextField(blank=True)
    digest = models.UUIDField()
    reason = models.CharField(max_length=30, db_index=True, help_text="What it was first held for.")
    detail = models.TextField(blank=True)
    current_reason = models.CharField(max_length=30, blank=True, help_text="Why it is held now.")
    current_detail = models.TextField(blank=True)
    type = models.TextField(blank=True)
    subject = models.TextField(blank=True)
    occurred_at = models.DateTimeField(null=True)
    raw = models.BinaryField()
    receipt = models.UUIDField(help_text="The receipt of the first sighting.")
    held_at = models.DateTimeField(db_index=True)
    bound_source = models.TextField(blank=True, help_text="The only source its sender could report for; empty: any.")
    status = models.CharField(max_length=10, choices=HeldStatus, default=HeldStatus.OPEN)
    resolved_at = models.DateTimeField(null=True)
    discarded_by = models.ForeignKey(
        "quarantine.Proposal", on_delete=models.PROTECT, null=True, related_name="turned_away",
        help_text="The approved discard whose rule turned it away.",
    )  # fmt: skip
    alike = models.GeneratedField(
        expression=_alike(), output_field=models.TextField(), db_persist=True,
        help_text="What alike records share beside reason and source.",
    )  # fmt: skip

    class Meta:
        app_label = "quarantine"
        constraints = [
            models.UniqueConstraint(fields=["source", "event_id", "digest", "reason"], name="held_record_once"),
        ]
        indexes = [
            models.Index(fields=["key"], condition=Q(status="open"), name="held_record_open_key"),
            models.Index(fields=["current_reason", "alike"], condition=Q(status="open"), name="held_record_open_alike"),
        ]

    def __str__(self) -> str:
        return f"{self.reason}: {self.source or 'no source'} {self.event_id or '(no id)'}"


class Sighting(Fact):
    """One arrival of a held record, in one receipt."""

    record = models.ForeignKey(HeldRecord, on_delete=models.PROTECT, related_name="sightings")
    receipt = models.UUIDField(db_index=True)
    index = models.PositiveIntegerField(help_text="Its place in the batch.")
    seen_at = models.DateTimeField()

    class Meta:
        app_label = "quarantine"
        constraints = [models.UniqueConstraint(fields=["receipt", "index"], name="sighting_once")]

    def __str__(self) -> str:
        return f"{self.receipt}[{self.index}]"


class ResolutionKind(models.TextChoices):
    """What can be done with held records."""

    ASSIGN_CUSTOMER = "assign_customer", "assign to a customer"
    MAP_TYPE = "map_type", "count as another event type"
    FIX_VALUE = "fix_value", "fix values"
    RELEASE = "release", "release as it is"
    REPLACE = "replace", "replace what was counted"
    DISCARD = "discard", "discard"


class Decision(models.TextChoices):
    APPROVED = "approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"


class ProposalQuerySet(models.QuerySet["Proposal"]):
    def undecided(self) -> ProposalQuerySet:
        return self.filter(decision="")

    def unfinished(self) -> ProposalQuerySet:
        """Approved, and not all of its records have their outcome yet."""
        return self.filter(decision=Decision.APPROVED, done_at__isnull=True)


class Proposal(Fact):
    """What one person proposes for some held records, and what another decided. The database refuses it otherwise."""

    changeable = ("decision", "decided_by", "decided_by_name", "decided_at", "note", "rule", "done_at")

    kind = models.CharField(max_length=20, choices=ResolutionKind)
    argument = models.JSONField(default=dict, help_text="The customer, the type, the values ...")
    reason = models.TextField(help_text="Why this is right.")
    keep_as_rule = models.BooleanField(default=False, help_text="Do the same with what arrives later.")
    chosen = models.JSONField(default=dict, help_text="How its records were chosen.")
    proposed_by = models.CharField(max_length=100, help_text="user:12, key:3")
    proposed_by_name = models.CharField(max_length=250, blank=True)
    proposed_at = models.DateTimeField()
    decision = models.CharField(max_length=10, choices=Decision, blank=True, help_text="Empty: not decided yet.")
    decided_by = models.CharField(max_length=100, blank=True)
    decided_by_name = models.CharField(max_length=250, blank=True)
    decided_at = models.DateTimeField(null=True)
    note = models.TextField(blank=True, help_text="What the approver wrote.")
    rule = models.TextField(blank=True, help_text="What became of keeping it as a rule.")
    done_at = models.DateTimeField(null=True, help_text="When the last of its records had its outcome.")

    objects = ProposalQuerySet.as_manager()

    class Meta:
        app_label = "quarantine"
        permissions = [
            ("propose_resolution", "Can propose what becomes of held records"),
            ("approve_resolution", "Can approve or reject what another proposed"),
            ("release_resolution", "Can go on with a release, and replay what is held"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(decision__in=["", Decision.WITHDRAWN]) | ~Q(decided_by=F("proposed_by")),
                name="proposal_two_persons",
            ),
            models.CheckConstraint(
                condition=~Q(decision=Decision.WITHDRAWN) | Q(decided_by=F("proposed_by")),
                name="proposal_withdrawn_by_its_proposer",
            ),
            models.CheckConstraint(
                condition=Q(decision="", decided_by="", decided_at__isnull=True)
                | (~Q(decision="") & ~Q(decided_by="") & Q(decided_at__isnull=False)),
                name="proposal_decided_by_somebody",
            ),
            models.CheckConstraint(condition=~Q(reason="") & ~Q(proposed_by=""), name="proposal_says_why_and_who"),
        ]
        indexes = [
            models.Index(
                fields=["id"],
                condition=Q(decision="") | Q(decision=Decision.APPROVED, done_at__isnull=True),
                name="proposal_unfinished",
            )
        ]

    def __str__(self) -> str:
        return f"Proposal {self.pk}: {self.get_kind_display()}"

    @property
    def is_undecided(self) -> bool:
        return not self.decision

    @property
    def is_unfinished(self) -> bool:
        return self.decision == Decision.APPROVED and self.done_at is None


class Outcome(models.TextChoices):
    RELEASED = "released"
    FAILED = "failed", "held again"
    DISCARDED = "discarded"
    SUPERSEDED = "superseded", "resolved otherwise meanwhile"
    DROPPED = "dropped", "rejected or withdrawn"


class ProposedRecord(Fact):
    """A record under a proposal, and what became of it. Without an outcome it waits, and is in no other proposal."""

    changeable = ("outcome", "reason", "detail", "key", "receipt", "settled_at")

    proposal = models.ForeignKey(Proposal, on_delete=models.PROTECT, related_name="records")
    record = models.ForeignKey(HeldRecord, on_delete=models.PROTECT, related_name="proposals")
    outcome = models.CharField(max_length=10, choices=Outcome, blank=True, help_text="Empty: it waits.")
    reason = models.CharField(max_length=30, blank=True, help_text="Why it is held again.")
    detail = models.TextField(blank=True)
    key = models.UUIDField(null=True, help_text="Its event in the register.")
    receipt = models.UUIDField(null=True, help_text="The receipt of its release.")
    settled_at = models.DateTimeField(null=True)

    class Meta:
        app_label = "quarantine"
        constraints = [
            models.UniqueConstraint(fields=["record"], condition=Q(outcome=""), name="record_in_one_standing_proposal"),
            models.UniqueConstraint(fields=["proposal", "record"], name="record_once_in_a_proposal"),
            models.CheckConstraint(
                condition=Q(outcome="", settled_at__isnull=True) | (~Q(outcome="") & Q(settled_at__isnull=False)),
                name="proposed_record_settled",
            ),
            models.CheckConstraint(
                condition=~Q(outcome=Outcome.RELEASED) | Q(key__isnull=False), name="released_record_names_its_event"
            ),
        ]
        indexes = [models.Index(fields=["proposal", "id"], condition=Q(outcome=""), name="proposed_record_waiting")]

    def __str__(self) -> str:
        return f"{self.proposal_id}: {self.record_id} {self.outcome}"


class Estimate(Fact):
    """What an open record would have cost, at the best guess of customer and price. Made again from time to time."""

    changeable = ("customer", "score", "type", "amount", "currency", "basis", "estimated_at")

    record = models.OneToOneField(HeldRecord, on_delete=models.PROTECT, primary_key=True, related_name="estimate")
    customer = models.CharField(max_length=80, blank=True, help_text="Key of the likeliest customer; empty: none.")
    score = models.PositiveSmallIntegerField(default=0, help_text="How likely, 0 to 100.")
    type = models.TextField(blank=True, help_text="The event type it was estimated as.")
    amount = models.DecimalField(
        max_digits=40, decimal_places=12, null=True, help_text="Before tax; empty: it cannot be estimated."
    )
    currency = models.CharField(max_length=3, blank=True)
    basis = models.TextField(blank=True, help_text="How it was estimated, in words.")
    estimated_at = models.DateTimeField()

    class Meta:
        app_label = "quarantine"
        indexes = [models.Index(fields=["estimated_at"], name="estimate_age")]

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"
