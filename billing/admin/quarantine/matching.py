"""Choosing held records by what they say: a condition as a rule of their source has it, tried before it is used."""

from __future__ import annotations

from typing import Any

import msgspec
from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from billing.admin.quarantine.forms import flattened
from billing.admin.quarantine.queue import open_sources
from billing.admin.quarantine.wording import at_risk_words, match_words, reason_label
from billing.metering.rule_checks import faults
from billing.models import HeldRecord, HeldStatus
from billing.review.choosing import Match
from billing.review.details import readable
from billing.review.preview import catches

MOST_TEXTS = 200
SAMPLES = 5  # records of a source whose fields are offered


class Texts(forms.CharField):
    """Texts, one a line."""

    widget = forms.Textarea(attrs={"rows": 3, "cols": 50})

    def clean(self, value: Any) -> Any:
        lines = [line.strip() for line in str(super().clean(value) or "").splitlines()]
        found = tuple(dict.fromkeys(line for line in lines if line))
        if len(found) > MOST_TEXTS:
            raise forms.ValidationError(f"At most {MOST_TEXTS} lines.")
        return found


class MatchForm(forms.Form):
    source = forms.ChoiceField(help_text="A rule belongs to one source.")
    field = forms.CharField(
        required=False,
        max_length=200,
        widget=forms.TextInput(attrs={"list": "known-fields", "autocomplete": "off"}),
        help_text="Where to look: subject, type, or data.NAME.",
    )
    values = Texts(
        label="Is one of",
        required=False,
        max_length=50_000,
        help_text="One a line. * stands for anything: *bot* is whatever contains bot.",
    )
    ignores_case = forms.BooleanField(label="Capitals do not matter", required=False)
    type = forms.CharField(label="Only of type", required=False, max_length=255)
    subjects = Texts(label="Only of subjects", required=False, max_length=50_000, help_text="One a line, * as above.")

    def __init__(self, data: Any, sources: list[str]) -> None:
        super().__init__(data, initial={"ignores_case": True})
        self.fields["source"].choices = [(source, source) for source in sources if source]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        asked: dict[str, Any] = super().clean() or self.cleaned_data
        if self.errors:
            return asked
        if bool(asked.get("field")) != bool(asked.get("values")):
            raise forms.ValidationError("A field and its values belong together: say both, or neither.")
        match = self.match()
        if match.is_empty:
            raise forms.ValidationError("Say what they have in common: a field and its values, a type, or subjects.")
        if wrong := faults(match.terms("discard", 1)):
            raise forms.ValidationError([fault.detail for fault in wrong])
        return asked

    def match(self) -> Match:
        return Match(**{name: self.cleaned_data[name] for name in Match.__struct_fields__})


def matching_view(desk: Any, request: HttpRequest) -> HttpResponse:
    """The condition, and once it is written what it meets: how many, what they say, the money."""
    if not request.user.has_perm("quarantine.propose_resolution"):
        raise PermissionDenied
    sources = [source for source in open_sources("") if source]
    form = MatchForm(request.GET if "source" in request.GET else None, sources)
    context = {
        **desk.admin_site.each_context(request),
        "title": "Choose by what they say",
        "opts": desk.opts,
        "form": form,
        "has_sources": bool(sources),
        "known_fields": known_fields(request.GET.get("source") or (sources[0] if sources else "")),
        **(found(form.match()) if form.is_bound and form.is_valid() else {}),
    }
    return TemplateResponse(request, "admin/quarantine/queue/matching.html", context)


def found(match: Match) -> dict[str, Any]:
    """What a match meets among what is open and under no proposal."""
    caught = catches(match)
    samples = HeldRecord.objects.filter(pk__in=caught.sample).order_by("pk")
    return {
        "caught": caught,
        "match": msgspec.json.encode(match).decode(),
        "at_risk": at_risk_words(caught.at_risk),
        "words": match_words(msgspec.to_builtins(match)),
        "samples": [(one, reason_label(one.current_reason or one.reason), said(one, match.field)) for one in samples],
    }


def said(record: HeldRecord, field: str) -> str:
    """What a record says in the field that is looked at."""
    event = readable(bytes(record.raw))
    return flattened(event).get(field, "") if isinstance(event, dict) and field else ""


def known_fields(source: str) -> list[str]:
    """The fields that some of the source's open records have."""
    rows = HeldRecord.objects.filter(status=HeldStatus.OPEN, source=source).order_by("-pk")[:SAMPLES]
    events = [readable(bytes(record.raw)) for record in rows]
    return list(dict.fromkeys(path for event in events if isinstance(event, dict) for path in flattened(event)))
