"""The rules that resolutions were kept as: which proposal each comes from, what it caught since, and its switch."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import BigIntegerField, Count, F, Func
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from billing.admin.quarantine.wording import what_words
from billing.metering.rule_wording import sentence
from billing.metering.rulebook import UnableToKeepRule, switch_rule, terms_of
from billing.models import Decision, HeldRecord, OriginalEvent, Proposal, RuleKind, SourceRule
from catalog.deeds import Change, Deed

PER_PAGE = 50
DAYS_COUNTED = 31


class Why(forms.Form):
    reason = forms.CharField(
        label="Why",
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 2, "cols": 60}),
        help_text="Kept in the history of the rule.",
    )


class SwitchDeed(Deed):
    """Whether a rule is applied to what arrives from now on."""

    permission = "billing.change_sourcerule"
    refusals = (UnableToKeepRule,)
    form_class = Why
    is_active: bool

    def changes(self, row: SourceRule, at: dt.datetime) -> Sequence[Change]:
        words = {True: "applied to what arrives", False: "off"}
        return [
            Change("Rule", sentence(terms_of(row)), sentence(terms_of(row))),
            Change("State", words[row.is_active], words[self.is_active]),
        ]

    def do(self, row: SourceRule, at: dt.datetime, by: AbstractBaseUser, asked: Mapping[str, Any]) -> str:
        switch_rule(row, self.is_active, at=at, by=by, reason=asked["reason"])
        return f"Rule {row.pk} is {'on' if self.is_active else 'off'}."


class SwitchOff(SwitchDeed):
    name, label, is_active = "switch_rule_off", "Switch off", False
    explanation = "What arrives from now on is no longer changed or turned away by it. What was decided stays decided."


class SwitchOn(SwitchDeed):
    name, label, is_active = "switch_rule_on", "Switch on", True
    explanation = "It is applied again to what arrives from now on."


SWITCHES = {deed.name: deed for deed in (SwitchOff(), SwitchOn())}


@dataclass(frozen=True, slots=True)
class KeptRule:
    """A rule of a source as the page shows it. `caught`: records turned away since, or events changed lately."""

    rule: SourceRule
    words: str
    proposal: Proposal | None
    caught: int

    @property
    def caught_words(self) -> str:
        is_discard = self.rule.kind == RuleKind.DISCARD
        return "turned away" if is_discard else f"changed, of the last {DAYS_COUNTED} days"

    @property
    def switch(self) -> Deed:
        return SWITCHES["switch_rule_off" if self.rule.is_active else "switch_rule_on"]


def rules_view(desk: Any, request: HttpRequest) -> HttpResponse:
    """The page of kept rules; by POST the switch of one of them, with its confirm page."""
    if not desk.has_view_permission(request):
        raise PermissionDenied
    if request.method == "POST":
        deed = SWITCHES.get(request.POST.get("action", ""))
        ids = [int(text) for text in request.POST.getlist(ACTION_CHECKBOX_NAME) if text.isdecimal() and len(text) < 19]
        if deed is None:
            raise PermissionDenied
        return deed.run(desk, request, SourceRule.objects.filter(pk__in=ids, proposal__isnull=False))
    rows = SourceRule.objects.filter(proposal__isnull=False).select_related("source").order_by("-pk")
    page = Paginator(rows, PER_PAGE).get_page(request.GET.get("p"))
    assigned = Proposal.objects.filter(
        decision=Decision.APPROVED, keep_as_rule=True, kind="assign_customer"
    ).order_by("-decided_at")  # fmt: skip
    context = {
        **desk.admin_site.each_context(request),
        "title": "Rules kept",
        "opts": desk.opts,
        "page": page,
        "rules": kept(list(page), timezone.now()),
        "assigned": [(one, what_words(one.kind, one.argument)) for one in assigned[:PER_PAGE]],
        "checkbox": ACTION_CHECKBOX_NAME,
        "may_switch": request.user.has_perm("billing.change_sourcerule"),
    }
    return TemplateResponse(request, "admin/quarantine/queue/rules.html", context)


def kept(rules: Sequence[SourceRule], at: dt.datetime) -> list[KeptRule]:
    """Rules with the proposals they come from and what they caught since; three queries however many."""
    proposals = Proposal.objects.in_bulk([rule.proposal for rule in rules if rule.proposal is not None])
    turned = dict(
        HeldRecord.objects.filter(discarded_by__in=list(proposals))
        .values_list("discarded_by")
        .annotate(n=Count("pk"))
        .order_by()
    )
    changing = {rule.pk for rule in rules if rule.kind != RuleKind.DISCARD}
    changed = changed_by(changing, at)
    return [
        KeptRule(
            rule,
            sentence(terms_of(rule)),
            proposals.get(rule.proposal or 0),
            changed.get(rule.pk, 0) if rule.pk in changing else turned.get(rule.proposal, 0),
        )
        for rule in rules
    ]


def changed_by(rules: set[int], at: dt.datetime) -> dict[int, int]:
    """How many events of the last days each of these rules has changed; no further back, for there may be millions."""
    if not rules:
        return {}
    recent = OriginalEvent.objects.filter(occurred_at__gte=at - dt.timedelta(days=DAYS_COUNTED))
    by_rule = recent.annotate(rule=Func(F("rules"), function="unnest", output_field=BigIntegerField()))
    counted = dict(by_rule.values_list("rule").annotate(n=Count("position")).order_by())
    return {rule: counted.get(rule, 0) for rule in rules}
