"""The desk of proposals: what waits for approval, what was decided, and what became of it."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.auth.models import AbstractBaseUser
from django.db.models import (
    Aggregate,
    Case,
    CharField,
    Count,
    DecimalField,
    Field,
    IntegerField,
    Max,
    Min,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Sum,
    Value,
    When,
)
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from billing.admin.quarantine.decisions import DEEDS, is_open_to
from billing.admin.quarantine.proposing import failure_rows
from billing.admin.quarantine.wording import (
    KIND_WORDS,
    OUTCOME_WORDS,
    chosen_words,
    match_words,
    reason_label,
    state_of,
    what_words,
)
from billing.models import Decision, Outcome, Proposal, ProposedRecord
from billing.review.preview import UnableToPreview, preview_proposal
from billing.review.release import released
from catalog.auditing import identity
from catalog.columns import count
from catalog.deeds import DeedsMixin
from catalog.desks import FactDesk
from catalog.wording import about_figure
from contracts.models import Customer

RECORDS_SHOWN = 20

STATES = {
    "waiting": ("Waits for approval", Q(decision="")),
    "underway": ("Approved, not finished", Q(decision=Decision.APPROVED, done_at__isnull=True)),
    "approved": ("Approved", Q(decision=Decision.APPROVED)),
    "rejected": ("Rejected", Q(decision=Decision.REJECTED)),
    "withdrawn": ("Withdrawn", Q(decision=Decision.WITHDRAWN)),
}


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, words) for name, (words, _) in STATES.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        state = STATES.get(self.value() or "")
        return queryset.filter(state[1]) if state else queryset


@admin.register(Proposal)
class ProposalDesk(DeedsMixin, FactDesk):
    list_display = [
        "number", "what", "covers", "records_figure", "at_risk_figure", "why", "proposer", "proposed_at", "state",
    ]  # fmt: skip
    list_filter = [StateFilter, "kind", "keep_as_rule", "proposed_at"]
    search_fields = ["reason", "note", "proposed_by_name", "decided_by_name"]
    search_help_text = "Words of the reason or the note, or who proposed or decided."
    csv_columns = [
        "pk", "kind", "argument", "reason", "keep_as_rule", "records_figure", "at_risk_figure", "proposed_by_name",
        "proposed_at",
        "decision", "decided_by_name", "decided_at", "note", "rule", "done_at", "outcome",
    ]  # fmt: skip
    fields = ["kind"]
    change_form_template = "admin/quarantine/proposal/page.html"
    deeds = DEEDS
    empty_hint = "In the review queue, tick what is alike and propose what becomes of it; another person approves it."
    records_figure = count("record_count", title="records")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Proposal]:
        """Those that wait come first, then those that are not finished, then the latest."""
        rows = self.model._default_manager.get_queryset()
        rank = Case(When(STATES["waiting"][1], then=0), When(STATES["underway"][1], then=1), default=2)
        ranked: QuerySet[Proposal] = rows.annotate(
            rank=rank,
            record_count=_counted(),
            risk=_estimated(Sum("record__estimate__amount"), DecimalField()),
            risk_currency=_estimated(Min("record__estimate__currency"), CharField()),
            other_currency=_estimated(Max("record__estimate__currency"), CharField()),
            released_count=_counted(Outcome.RELEASED),
            discarded_count=_counted(Outcome.DISCARDED),
            failed_count=_counted(Outcome.FAILED),
        )
        return ranked.order_by(*self.get_ordering(request))

    def get_ordering(self, request: HttpRequest) -> Any:
        return ["rank", "-proposed_at", "-pk"]

    @admin.display(description="no.", ordering="pk")
    def number(self, proposal: Proposal) -> str:
        return f"#{proposal.pk}"

    @admin.display(description="what", ordering="kind")
    def what(self, proposal: Proposal) -> str:
        return Truncator(what_words(proposal.kind, proposal.argument)).chars(50) + (
            ", rule" if proposal.keep_as_rule else ""
        )

    @admin.display(description="for")
    def covers(self, proposal: Proposal) -> str:
        return Truncator(chosen_words(proposal)).chars(70)

    @admin.display(description="why", ordering="reason")
    def why(self, proposal: Proposal) -> str:
        return Truncator(proposal.reason).chars(60)

    @admin.display(description="at risk, about", ordering="risk")
    def at_risk_figure(self, proposal: Any) -> str:
        """The sum of the estimates; of several currencies there is none."""
        if proposal.risk is None:
            return "-"
        if proposal.risk_currency != proposal.other_currency:
            return "several currencies"
        return f"{about_figure(proposal.risk, proposal.risk_currency)} {proposal.risk_currency}"

    @admin.display(description="proposed by", ordering="proposed_by_name")
    def proposer(self, proposal: Proposal) -> str:
        return proposal.proposed_by_name or proposal.proposed_by

    @admin.display(description="state", ordering="rank")
    def state(self, proposal: Proposal) -> SafeString:
        words, tone = state_of(proposal)
        return format_html('<span class="state {}">{}</span> <small>{}</small>', tone, words, self.outcome(proposal))

    @admin.display(description="outcome")
    def outcome(self, proposal: Any) -> str:
        parts = (
            (proposal.released_count, "counted"),
            (proposal.discarded_count, "discarded"),
            (proposal.failed_count, "held again"),
        )
        return ", ".join(f"{n:,} {words}" for n, words in parts if n)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id) if request.method == "GET" else None
        context: dict[str, Any] = {}
        if row is not None:
            allowed = [
                deed for deed in self.deeds
                if deed.is_allowed(request) and deed.applies(row) and is_open_to(deed, row, request)
            ]  # fmt: skip
            context = {**self.page_of(request, row), "deeds": allowed, "title": f"Proposal #{row.pk}"}
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    def page_of(self, request: HttpRequest, proposal: Proposal) -> dict[str, Any]:
        """What the page shows: what is proposed; what approving would do now; what became of it."""
        words, tone = state_of(proposal)
        rows = proposal.records.select_related("record").defer("record__raw").order_by("pk")
        return {
            "proposal": proposal,
            "what": what_words(proposal.kind, proposal.argument),
            "kind_words": KIND_WORDS[proposal.kind],
            "customer": Customer.objects.filter(key=proposal.argument.get("customer", "")).first(),
            "chosen": chosen_words(proposal),
            "rule_match": match_words(proposal.argument.get("match") or {}),
            "whole_event": proposal.argument.get("event"),
            "state_words": words,
            "state_tone": tone,
            "is_own": proposal.proposed_by == identity(cast(AbstractBaseUser, request.user)),
            "may_approve": request.user.has_perm("quarantine.approve_resolution"),
            "record_count": proposal.records.count(),
            "records": [
                (row, reason_label(row.record.current_reason or row.record.reason), OUTCOME_WORDS[row.outcome])
                for row in rows[:RECORDS_SHOWN]
            ],
            "all_records": _records_address(proposal),
            **(self._as_of_now(request, proposal) if proposal.is_undecided else _outcome(proposal)),
        }

    def _as_of_now(self, request: HttpRequest, proposal: Proposal) -> dict[str, Any]:
        try:
            found = preview_proposal(proposal, at=timezone.now())
        except UnableToPreview as unable:
            messages.warning(request, f"It could not be done as it stands: {unable}")
            return {}
        return {"preview": found, "failures": failure_rows(found.would_fail)}


def _outcome(proposal: Proposal) -> dict[str, Any]:
    """What became of the records of a decided proposal, each figure with the address of its records."""
    done = released(proposal)
    parts = (
        ("Counted", done.released, Outcome.RELEASED),
        ("Discarded", done.discarded, Outcome.DISCARDED),
        ("Had come in meanwhile", done.superseded, Outcome.SUPERSEDED),
        ("Still to do", done.waiting, ""),
    )
    failures = [
        (reason_label(reason), n, _records_address(proposal, outcome__exact=Outcome.FAILED, reason__exact=reason))
        for reason, n in done.failures.items()
    ]
    return {
        "outcomes": [(words, n, _records_address(proposal, outcome__exact=state)) for words, n, state in parts if n],
        "failures_by_reason": failures,
    }


def _records_address(proposal: Proposal, **asked: str) -> str:
    address = reverse("admin:quarantine_proposedrecord_changelist")
    return f"{address}?{urlencode({'proposal__id__exact': str(proposal.pk), **asked})}"


def _counted(outcome: str | None = None) -> Coalesce:
    """A subquery that counts the records of a proposal, of one outcome or of any."""
    rows = ProposedRecord.objects.filter(proposal=OuterRef("pk"))
    if outcome is not None:
        rows = rows.filter(outcome=outcome)
    counted = rows.order_by().values("proposal").annotate(n=Count("pk")).values("n")
    return Coalesce(Subquery(counted, output_field=IntegerField()), Value(0))


def _estimated(aggregate: Aggregate, field: Field[Any, Any]) -> Subquery:
    """A subquery over the estimates of the records of a proposal."""
    rows = ProposedRecord.objects.filter(proposal=OuterRef("pk"), record__estimate__amount__isnull=False)
    found = rows.order_by().values("proposal").annotate(found=aggregate).values("found")
    return Subquery(found, output_field=field)


@admin.register(ProposedRecord)
class ProposedRecordDesk(FactDesk):
    """The records under proposals, and what became of each."""

    list_display = ["event", "proposal_link", "subject", "type", "became", "why", "detail", "settled_at"]
    list_filter = ["outcome", "reason"]
    list_select_related = ["record", "proposal"]
    search_fields = ["=proposal__id", "record__event_id", "record__subject"]
    search_help_text = "A proposal's number, or the id or subject of an event."
    list_display_links = None
    ordering = ["pk"]
    empty_hint = "Each record that somebody proposed something for is listed here, with what became of it."

    def get_queryset(self, request: HttpRequest) -> QuerySet[ProposedRecord]:
        rows: QuerySet[ProposedRecord] = super().get_queryset(request)
        return rows.defer("record__raw")

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup == "proposal__id__exact" or bool(super().lookup_allowed(lookup, value, request))

    @admin.display(description="event", ordering="record__event_id")
    def event(self, row: ProposedRecord) -> SafeString:
        address = reverse("admin:quarantine_heldrecord_change", args=[row.record_id])
        return format_html('<a href="{}">{}</a>', address, row.record.event_id or "(no id)")

    @admin.display(description="proposal", ordering="proposal")
    def proposal_link(self, row: ProposedRecord) -> SafeString:
        address = reverse("admin:quarantine_proposal_change", args=[row.proposal_id])
        return format_html('<a href="{}">#{} {}</a>', address, row.proposal_id, row.proposal.get_kind_display())

    @admin.display(description="subject", ordering="record__subject")
    def subject(self, row: ProposedRecord) -> str:
        return row.record.subject

    @admin.display(description="type", ordering="record__type")
    def type(self, row: ProposedRecord) -> str:
        return row.record.type

    @admin.display(description="became", ordering="outcome")
    def became(self, row: ProposedRecord) -> str:
        return OUTCOME_WORDS[row.outcome]

    @admin.display(description="held again because", ordering="reason")
    def why(self, row: ProposedRecord) -> str:
        return reason_label(row.reason) if row.reason else "-"
