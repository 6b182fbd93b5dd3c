"""The desk of rules: all of them in one list to search, and the page on which one is written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from django.contrib import admin
from django.contrib.auth.models import AbstractBaseUser
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from billing.admin.rule_form import CONDITIONAL, EXPLAINED, RuleForm
from billing.admin.source_trials import example_record, trial_of, trials_of_held
from billing.metering.rule_wording import sentence
from billing.metering.rulebook import change_rule, keep_rule, rules_of, terms_of
from billing.models import RuleKind, Source, SourceRule
from catalog.columns import count
from catalog.desks import HistoryDesk, ModelAdmin


def user_of(request: HttpRequest) -> AbstractBaseUser:
    return cast(AbstractBaseUser, request.user)


def to_rules(source: Source) -> HttpResponse:
    """Back to the rules on the page of their source."""
    return HttpResponseRedirect(reverse("admin:billing_source_change", args=[source.pk]) + "#rules")


@admin.register(SourceRule)
class SourceRuleDesk(HistoryDesk):
    """All rules of all sources, to search; each is edited from the page of its source."""

    form = RuleForm
    list_display = ["source", "position_figure", "what", "state", "note"]
    position_figure = count("position", title="order")
    list_display_links = ["what"]
    list_filter = ["source", "kind", "is_active"]
    list_select_related = ["source"]
    search_fields = ["field", "value", "to", "when_type", "note"]
    ordering = ["source__key", "position"]
    fieldsets = [
        (None, {"fields": ["source", "kind", "explanation", *CONDITIONAL]}),
        (
            "Only where (all that is given must hold; nothing given: always)",
            {
                "fields": [
                    "when_type", "when_subjects", "when_field", "when_values", "when_ignores_case", "occurs_from",
                    "occurs_until",
                ]
            },
        ),
        ("For the record", {"fields": ["note"]}),
    ]  # fmt: skip
    conditional_fields = CONDITIONAL
    change_form_template = "admin/billing/source/rule_form.html"
    empty_hint = "Rules make what a source sends fit to be counted. Add one on the page of its source."

    @admin.display(description="what it does")
    def what(self, rule: SourceRule) -> str:
        return sentence(terms_of(rule))

    @admin.display(description="state", ordering="is_active")
    def state(self, rule: SourceRule) -> SafeString:
        tone, word = ("good", "on") if rule.is_active else ("", "off")
        return format_html('<span class="state {}">{}</span>', tone, word)

    @admin.display(description="")
    def explanation(self, rule: SourceRule) -> SafeString:
        """What the chosen kind does; the page shows the one that applies."""
        return format_html_join("", "<span x-show=\"kind === '{}'\">{}</span>", EXPLAINED.items())

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """The source is locked before the rule, as wherever its rules are kept."""
        if request.method == "POST":
            row = ModelAdmin.get_object(self, request, object_id, from_field)
            if row is not None:
                Source.objects.select_for_update().get(pk=row.source_id)
        return super().get_object(request, object_id, from_field)

    def frozen(self, row: Any) -> str | None:
        if row.kind != RuleKind.DISCARD:
            return None
        return (
            f"Two persons agreed on what this rule discards (proposal {row.proposal}, approved by {row.approved_by}). "
            "It cannot be edited; it can be switched off on the page of its source."
        )

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: SourceRule | None = None) -> list[str]:
        return ["explanation", *(["source"] if obj else [])]

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"kind": "rename", "source": request.GET.get("source", "")}

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The page of a rule; with `_try`, what it would do if it were saved like that. Its faults are shown there."""
        if request.method == "POST" and "_try" in request.POST:
            rule = SourceRule.objects.filter(pk=object_id).first() if object_id else None
            form = cast(RuleForm, self.get_form(request, rule, change=rule is not None)(request.POST, instance=rule))
            if self._may_write(request, rule) and form.is_valid():
                return self._tried(request, form)
        return super().changeform_view(request, object_id, form_url, extra_context)

    def _may_write(self, request: HttpRequest, rule: SourceRule | None) -> bool:
        return self.has_change_permission(request, rule) if rule else self.has_add_permission(request)

    def _tried(self, request: HttpRequest, form: RuleForm) -> HttpResponse:
        """What the rule of a sound form would make of a record, and of what is held. Nothing is stored."""
        at, source, terms = timezone.now(), form.source(), form.terms()
        others = [one for one in rules_of(source) if one.id != (form.instance.pk or -1)]
        place = form.instance.position or max((one.position for one in others), default=0) + 1
        rules = [*others, replace(terms, position=place, id=form.instance.pk or 0)]
        context = {
            **self.admin_site.each_context(request),
            "title": "Try a rule",
            "opts": self.opts,
            "source": source,
            "sentence": sentence(terms),
            "sees_customers": request.user.has_perm("contracts.view_customer"),
            **trial_of(source, request.POST.get("record") or example_record(source, at), at, rules),
        }
        if request.user.has_perm("quarantine.view_heldrecord"):
            context["over_held"] = trials_of_held(source, at, rules)
        return TemplateResponse(request, "admin/billing/source/try_rule.html", context)

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        chosen = request.GET.get("source", "")
        source = obj.source if obj else Source.objects.filter(pk=chosen).first() if chosen.isdecimal() else None
        record = request.POST.get("record") or (example_record(source, timezone.now()) if source else "")
        said = {"pasted": record, "can_try": self._may_write(request, obj)}
        return super().render_change_form(request, {**context, **said}, add, change, form_url, obj)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        signed: dict[str, Any] = {
            "at": timezone.now(),
            "by": user_of(request),
            "reason": form.cleaned_data.get("change_reason", ""),
        }
        # The form has checked it, and holds the lock on the source's rules.
        stored = change_rule(obj, form.terms(), **signed) if change else keep_rule(obj.source, form.terms(), **signed)
        obj.__dict__.update(stored.__dict__)

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        answer = super().response_add(request, obj, post_url_continue)
        return answer if {"_addanother", "_continue"} & set(request.POST) else to_rules(obj.source)

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        answer = super().response_change(request, obj)
        return answer if {"_addanother", "_continue"} & set(request.POST) else to_rules(obj.source)
