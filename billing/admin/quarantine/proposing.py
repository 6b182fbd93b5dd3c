"""Proposing: what becomes of what is chosen; then what that would do; then it waits for another person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode

import msgspec
from django.contrib import messages
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from billing.admin.quarantine.forms import FORMS, ProposalForm
from billing.admin.quarantine.queue import queue_address
from billing.admin.quarantine.record_page import raw_text
from billing.admin.quarantine.selection import Selection, UnableToSelect, about, of_records, read_selection
from billing.admin.quarantine.wording import KIND_WORDS, match_words, reason_label, what_words
from billing.models import ResolutionKind
from billing.review.choosing import Matching, Records
from billing.review.details import suggestions
from billing.review.preview import UnableToPreview, preview
from billing.review.proposals import UnableToPropose, propose
from billing.review.suggestions import Suggestion
from contracts.models import Customer

STEPS = ("step", "switch", "suggested", "csrfmiddlewaretoken")  # fields that say what to do, not what is proposed


def propose_view(desk: Any, request: HttpRequest) -> HttpResponse:
    """The form, its preview, or once confirmed the proposal. By GET (`?record=1&kind=...`) a form that is filled in."""
    if not request.user.has_perm("quarantine.propose_resolution"):
        raise PermissionDenied
    asked = request.POST if request.method == "POST" else request.GET
    try:
        selection = read_selection(asked)
        return Proposing(desk, request, selection, asked).answer()
    except UnableToSelect as unable:
        messages.error(request, str(unable))
        return HttpResponseRedirect(queue_address())


def propose_for(desk: Any, request: HttpRequest, chosen: Records) -> HttpResponse:
    """The form for records that were ticked elsewhere."""
    if not request.user.has_perm("quarantine.propose_resolution"):
        raise PermissionDenied
    try:
        return Proposing(desk, request, of_records(chosen.ids), QueryDict()).answer()
    except UnableToSelect as unable:
        messages.error(request, str(unable))
        return HttpResponseRedirect(request.get_full_path())


class Proposing:
    """One request of the way from a choice to a proposal. Raises UnableToSelect where nothing of the choice is left."""

    def __init__(self, desk: Any, request: HttpRequest, selection: Selection, asked: QueryDict) -> None:
        self.desk = desk
        self.request = request
        self.selection = selection
        self.asked = asked
        self.back = urlencode(parse_qsl(asked.get("back", "")))  # which page of the queue it was chosen on
        self.about = about(selection)
        self.kind = self._kind()
        self.suggestions = suggestions([self.about.sample])[0] if self._has_one_subject() else []
        self.form = self._form()

    def answer(self) -> HttpResponse:
        step = self.asked.get("step", "")
        if step not in ("preview", "store") or not self.form.is_valid():
            return self._page("form")
        stores = step == "store" and self.request.method == "POST"  # an address stores nothing
        try:
            return self._store() if stores else self._preview()
        except UnableToPropose as unable:
            self.form.add_error(unable.path if unable.path in self.form.fields else None, str(unable))
        except UnableToPreview as unable:
            self.form.add_error(None, str(unable))
        return self._page("form")

    def _kind(self) -> ResolutionKind:
        kinds = self.about.kinds
        asked = self.asked.get("switch") or self.asked.get("kind", "")
        return next((kind for kind in kinds if kind == asked), kinds[0] if kinds else ResolutionKind.DISCARD)

    def _has_one_subject(self) -> bool:
        """Whether what is likely of one record is likely of all."""
        return self.about.is_single or len(self.about.subjects) <= 1 or self.kind == ResolutionKind.MAP_TYPE

    def _form(self) -> ProposalForm:
        """Bound where it was sent as this kind; else fresh, with what the address or the best suggestion fills in."""
        was_sent = "step" in self.asked and not self.asked.get("switch") and not self.asked.get("suggested")
        data = self.asked if was_sent else None
        return FORMS[self.kind](data, self.about, self._initial())

    def _initial(self) -> dict[str, Any]:
        initial: dict[str, Any] = {
            "reason": self.asked.get("reason", ""),
            "keep_as_rule": self.asked.get("keep_as_rule", ""),
            "type": self.asked.get("type") or next((one.value for one in self._of_kind(ResolutionKind.MAP_TYPE)), ""),
        }
        if key := self.asked.get("suggested"):
            initial["customer"] = Customer.objects.filter(key=key).first()
            initial["type"] = key
        if isinstance(self.selection.chosen, Matching):
            initial["match"] = msgspec.to_builtins(self.selection.chosen.match)
        return initial

    def _of_kind(self, kind: str) -> list[Suggestion]:
        return [one for one in self.suggestions if one.kind == kind]

    def _page(self, step: str, **found: Any) -> HttpResponse:
        context = {
            **self.desk.admin_site.each_context(self.request),
            "title": f"Propose for {self.about.title}",
            "opts": self.desk.opts,
            "about": self.about,
            "reasons": [reason_label(reason) for reason in self.about.reasons],
            "fields": self.selection.fields,
            "back": self.back,
            "queue": queue_address(self.back),
            "form": self.form,
            "kind": self.kind,
            "kinds": [(kind, kind.label) for kind in self.about.kinds],
            "kind_words": KIND_WORDS[self.kind],
            "suggestions": self._of_kind(self.kind),
            "match_words": match_words(self.form.initial.get("match") or {}),
            "sample_text": raw_text(self.about.sample),
            **found,
        }
        return TemplateResponse(self.request, f"admin/quarantine/proposal/{step}.html", context)

    def _preview(self) -> HttpResponse:
        argument = self.form.argument()
        # What a condition meets was read already, and a discard with that condition catches no more.
        is_condition = isinstance(self.selection.chosen, Matching)
        chosen = Records(self.about.ids) if is_condition else self.selection.chosen
        looks_further = self.form.keeps_rule and not (is_condition and self.kind == ResolutionKind.DISCARD)
        found = preview(chosen, self.kind, argument, at=timezone.now(), keep_as_rule=looks_further)
        return self._page(
            "preview",
            preview=found,
            what=what_words(self.kind, argument),
            failures=failure_rows(found.would_fail),
            sent=[(name, value) for name, values in self.asked.lists() if name not in STEPS for value in values],
        )

    def _store(self) -> HttpResponse:
        proposal = propose(
            self.selection.chosen,
            self.kind,
            self.form.argument(),
            reason=self.form.cleaned_data["reason"],
            by=cast(AbstractBaseUser, self.request.user),
            at=timezone.now(),
            keep_as_rule=self.form.keeps_rule,
        )
        address = reverse("admin:quarantine_proposal_change", args=[proposal.pk])
        said = format_html(
            'Proposed for {}: <a href="{}">{}</a>. Another person has to approve it; until then nothing changes.',
            self.about.title, address, what_words(proposal.kind, proposal.argument),
        )  # fmt: skip
        messages.success(self.request, said)
        return HttpResponseRedirect(queue_address(self.back) if self.back else address)


def failure_rows(failures: Mapping[str, int]) -> list[tuple[str, int]]:
    """Why records are held again, in words, the most frequent first."""
    return [
        (reason_label(reason), count) for reason, count in sorted(failures.items(), key=lambda one: (-one[1], one[0]))
    ]
