"""The desk of sources: how each is to be read, its rules in their order, and a place to try a record."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from billing.admin.source_rules import to_rules, user_of
from billing.admin.source_trials import example_record, held_of, trial_of, trials_of_held
from billing.admin.spans import SpanField, rough_span, span_words
from billing.metering.rule_wording import conditions, deed
from billing.metering.rulebook import UnableToKeepRule, move_rule, switch_rule, terms_of
from billing.metering.sources import silent_for, with_last_heard
from billing.models import ReceiptCount, Source, SourceRule
from catalog.columns import count
from catalog.desks import HistoryDesk, ReasonForm


class SourceForm(ReasonForm):
    tolerance_window = SpanField(help_text="How late this source is expected to report, such as 24 h.")
    cadence = SpanField(
        label="Reports every", help_text="How often it should report. After longer than that it is shown as silent."
    )
    clock_skew = SpanField(required=True, initial="5 min", help_text="How far ahead of ours its clock may run.")


@admin.register(Source)
class SourceDesk(HistoryDesk):
    form = SourceForm
    list_display = ["key", "name", "rules_figure", "last_heard", "reports_every", "tolerance"]
    search_fields = ["key", "name"]
    ordering = ["key"]
    fields = ["key", "name", "cadence", "tolerance_window", "clock_skew"]
    change_form_template = "admin/billing/source/change_form.html"
    empty_hint = "A source is who reports events. Add one for each system that sends use."
    rules_figure = count("rules_in_force", title="rules")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Source]:
        rows: QuerySet[Any] = with_last_heard(super().get_queryset(request))
        in_force: QuerySet[Any] = rows.annotate(rules_in_force=Count("rules", filter=Q(rules__is_active=True)))
        return in_force

    def get_readonly_fields(self, request: HttpRequest, obj: Source | None = None) -> list[str]:
        # The key is part of the identity of every event it ever reported.
        return ["key"] if obj else []

    def has_delete_permission(self, request: HttpRequest, obj: Source | None = None) -> bool:
        """A source that ever reported is part of the identity of what it sent."""
        is_new = obj is None or not ReceiptCount.objects.filter(source=obj.key).exists()
        return is_new and super().has_delete_permission(request, obj)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions: dict[str, Any] = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    @admin.display(description="last heard from", ordering="heard_at")
    def last_heard(self, source: Any) -> str | SafeString:
        if source.heard_at is None:
            return "never"
        at = timezone.now()
        ago = f"{rough_span(at - source.heard_at)} ago"
        late = silent_for(source, source.heard_at, at)
        if late is None:
            return ago
        return format_html('{} <span class="state bad">silent for {} too long</span>', ago, rough_span(late))

    @admin.display(description="reports every", ordering="cadence")
    def reports_every(self, source: Source) -> str:
        return span_words(source.cadence) or "-"

    @admin.display(description="tolerance", ordering="tolerance_window")
    def tolerance(self, source: Source) -> str:
        return span_words(source.tolerance_window) or "-"

    def get_urls(self) -> list[URLPattern]:
        def address(route: str, view: Any, name: str) -> URLPattern:
            found: URLPattern = path(route, self.admin_site.admin_view(view), name=f"billing_source_{name}")
            return found

        return [
            address("<int:pk>/try/", self.try_view, "try"),
            address("<int:pk>/try-held/", self.try_held_view, "try_held"),
            address("<int:pk>/rules/<int:rule>/move/", require_POST(self.move_view), "move_rule"),
            address("<int:pk>/rules/<int:rule>/switch/", require_POST(self.switch_view), "switch_rule"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        source = Source.objects.filter(pk=object_id).first() if object_id.isdecimal() else None
        said = {} if source is None else self._rules_context(request, source)
        return super().change_view(request, object_id, form_url, {**said, **(extra_context or {})})

    def _rules_context(self, request: HttpRequest, source: Source) -> dict[str, Any]:
        rules = [(rule, terms_of(rule)) for rule in source.rules.order_by("position")]
        return {
            "source": source,
            "rules": [
                {
                    "row": rule,
                    "deed": deed(terms),
                    "conditions": conditions(terms),
                    "can_change": rule.kind != "discard",
                }
                for rule, terms in rules
            ],
            "sees_rules": request.user.has_perm("billing.view_sourcerule"),
            "changes_rules": request.user.has_perm("billing.change_sourcerule"),
            "adds_rules": request.user.has_perm("billing.add_sourcerule"),
            "sees_held": request.user.has_perm("quarantine.view_heldrecord"),
            "held": held_of(source).count() if request.user.has_perm("quarantine.view_heldrecord") else 0,
            "pasted": example_record(source, timezone.now()),
        }

    def _seen(self, request: HttpRequest, pk: int) -> Source:
        """The source, for who may see it and its rules."""
        source = get_object_or_404(Source, pk=pk)
        may_see = request.user.has_perm("billing.view_sourcerule") and self.has_view_permission(request, source)
        if not may_see:
            raise PermissionDenied
        return source

    def try_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """A record against the rules, step by step. Nothing is stored."""
        source, at = self._seen(request, pk), timezone.now()
        pasted = request.POST.get("record", "") if request.method == "POST" else example_record(source, at)
        tried = trial_of(source, pasted, at) if request.method == "POST" else {}
        return self._page(request, source, "try", f"Try a record against {source}", {"pasted": pasted, **tried})

    def try_held_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """What is held of the source against its rules as they are now. Nothing is released by it."""
        source = self._seen(request, pk)
        if not request.user.has_perm("quarantine.view_heldrecord"):
            raise PermissionDenied
        over_held = trials_of_held(source, timezone.now())
        return self._page(
            request, source, "try_held", f"Held records of {source} against its rules", {"over_held": over_held}
        )

    def _page(self, request: HttpRequest, source: Source, name: str, title: str, said: dict[str, Any]) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "original": source,
            "source": source,
            "sees_customers": request.user.has_perm("contracts.view_customer"),
            **said,
        }
        return TemplateResponse(request, f"admin/billing/source/{name}.html", context)

    def _changed(self, request: HttpRequest, pk: int, rule: int) -> SourceRule:
        """The rule, for who may change it."""
        if not request.user.has_perm("billing.change_sourcerule"):
            raise PermissionDenied
        return get_object_or_404(SourceRule.objects.select_related("source"), pk=rule, source_id=pk)

    def move_view(self, request: HttpRequest, pk: int, rule: int) -> HttpResponse:
        stored = self._changed(request, pk, rule)
        is_up = request.POST.get("to") == "up"
        reason = "Moved up" if is_up else "Moved down"
        try:
            move_rule(stored, -1 if is_up else 1, at=timezone.now(), by=user_of(request), reason=reason)
        except UnableToKeepRule as unable:
            messages.error(request, f"Not moved. {_sentences(unable)}")
        return to_rules(stored.source)

    def switch_view(self, request: HttpRequest, pk: int, rule: int) -> HttpResponse:
        stored = self._changed(request, pk, rule)
        is_on = request.POST.get("to") == "on"
        try:
            switch_rule(
                stored, is_on, at=timezone.now(), by=user_of(request), reason="Switched on" if is_on else "Switched off"
            )
        except UnableToKeepRule as unable:
            messages.error(request, f"Not switched on. {_sentences(unable)}")
        else:
            effect = "applies to what arrives from now on" if is_on else "does nothing from now on"
            messages.success(request, f"Rule {stored.position} {effect}.")
        return to_rules(stored.source)


def _sentences(unable: UnableToKeepRule) -> str:
    return " ".join(f"{error.detail[:1].upper()}{error.detail[1:]}." for error in unable.errors)
