"""Deeds on the console: what cannot be undone by typing it back.

A deed is an action of its own permission. Its page shows what changes, in money, before and after; confirmed, it calls
one operation for each row and shows what came of it, or why the operation could not do it. A deed whose outcome hangs
on what is asked (`TriedDeed`) is tried first: done, looked at, and taken back.
"""

from __future__ import annotations

import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString


class DayField(forms.DateField):
    """A day of a deed's form, picked from a calendar."""

    widget = forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"})


@dataclass(frozen=True, slots=True)
class Change:
    """A line of the confirm page: what it is about, as it is now, as it will be."""

    subject: str
    before: str
    after: str


class Deed(ABC):
    """One deed of a desk. Subclasses name the permission and call the operation."""

    name: ClassVar[str]
    label: ClassVar[str]
    permission: ClassVar[str]
    explanation: ClassVar[str] = ""
    refusals: ClassVar[tuple[type[Exception], ...]] = ()
    form_class: ClassVar[type[forms.Form]] = forms.Form
    is_grave: ClassVar[bool] = False
    template: ClassVar[str] = "admin/deed.html"

    def applies(self, row: Any) -> bool:
        """Whether the button is shown on the row's page."""
        return True

    def title(self, row: Any) -> str:
        """What the confirm page calls a row."""
        return str(row)

    def overall(self, rows: Sequence[Any]) -> str:
        """What the confirm page says of several rows together."""
        return f"{len(rows)} chosen."

    @abstractmethod
    def changes(self, row: Any, at: dt.datetime) -> Sequence[Change]:
        """What the confirm page says of a row. Raises one of `refusals` where the deed cannot be done."""

    def shown(self, row: Any, at: dt.datetime, by: AbstractBaseUser) -> SafeString | str:
        """What the confirm page shows this person of a row in place of a table of its changes: HTML, or nothing.

        Raises one of `refusals`, as `changes` does.
        """
        return ""

    @abstractmethod
    def do(self, row: Any, at: dt.datetime, by: AbstractBaseUser, asked: Mapping[str, Any]) -> str:
        """Call the one operation; returns what to say of it. Raises one of `refusals`."""

    def is_allowed(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm(self.permission))

    def run(self, desk: Any, request: HttpRequest, rows: QuerySet[Any]) -> HttpResponse:
        """The confirm page, or once confirmed the deed itself."""
        if not self.is_allowed(request):
            raise PermissionDenied
        at = timezone.now()
        form = self.form_for(rows, request.POST if {"confirmed", "tried"} & request.POST.keys() else None)
        if "confirmed" in request.POST and form.is_valid():
            for row in rows:
                self._attempt(desk, request, row, at, form.cleaned_data)
            return HttpResponseRedirect(_way_back(desk, request))
        return self._page(desk, request, list(rows), form, at)

    def form_for(self, rows: QuerySet[Any], sent: Any) -> forms.Form:
        """The form of the page, with what was sent in it."""
        return self.form_class(sent)

    def _attempt(self, desk: Any, request: HttpRequest, row: Any, at: dt.datetime, asked: Mapping[str, Any]) -> None:
        try:
            said = self.do(row, at, cast(AbstractBaseUser, request.user), asked)
        except self.refusals as refusal:
            messages.error(request, f"{row}: {refusal}")
        else:
            desk.log_change(request, row, said)
            messages.success(request, said)

    def _page(
        self, desk: Any, request: HttpRequest, rows: Sequence[Any], form: forms.Form, at: dt.datetime
    ) -> HttpResponse:
        context = {
            **desk.admin_site.each_context(request),
            "title": self.label,
            "opts": desk.opts,
            "deed": self,
            "form": form,
            "overall": self.overall(rows) if len(rows) > 1 else "",
            "cases": [self._case(row, at, form, cast(AbstractBaseUser, request.user)) for row in rows],
            "checkbox": ACTION_CHECKBOX_NAME,
            "origin": "row" if request.method == "GET" else request.POST.get("origin", ""),
        }
        return TemplateResponse(request, self.template, context)

    def _case(self, row: Any, at: dt.datetime, form: forms.Form, by: AbstractBaseUser) -> dict[str, Any]:
        try:
            shown = self.shown(row, at, by)
            changes = [] if shown else self.changes(row, at)
            return {"row": row, "title": self.title(row), "changes": changes, "shown": shown}
        except self.refusals as refusal:
            return {"row": row, "title": self.title(row), "refusal": str(refusal)}


class Standing(str):
    """Words that are shown also where a deed does not change them."""

    __slots__ = ()


Watch = Callable[[Any, dt.datetime], Mapping[str, str]]
"""What is to be seen of a row as it is stored: subject -> words, in money where it is money."""


class TriedDeed(Deed):
    """A deed whose outcome hangs on what is asked: the page asks first, tries it, and shows before and after.

    Trying is doing: the operation is called in a transaction that is taken back. What is compared is what the watches
    see of the row, among them those that other packages add for its model (`watch`).
    """

    template = "admin/tried_deed.html"
    watches: ClassVar[dict[type[Model], list[Watch]]] = {}

    @classmethod
    def watch(cls, model: type[Model], look: Watch) -> None:
        """Let every deed that is tried on rows of a model show this, too."""
        cls.watches.setdefault(model, []).append(look)

    def changes(self, row: Any, at: dt.datetime) -> Sequence[Change]:
        """Nothing is known before something is asked."""
        return []

    def tried(self, row: Any, at: dt.datetime, by: AbstractBaseUser, asked: Mapping[str, Any]) -> Sequence[Change]:
        """What the deed would change. Raises one of `refusals` where it cannot be done."""
        looks = self.watches.get(type(row), ())
        before = [look(row, at) for look in looks]
        with transaction.atomic():
            stored = type(row)._default_manager.get(pk=row.pk)
            self.do(stored, at, by, asked)
            after = [look(stored, at) for look in looks]
            transaction.set_rollback(True)
        return [change for seen in zip(before, after, strict=True) for change in _compared(*seen)]

    def _case(self, row: Any, at: dt.datetime, form: forms.Form, by: AbstractBaseUser) -> dict[str, Any]:
        case = {"row": row, "title": self.title(row)}
        if not form.is_bound or not form.is_valid():
            return case
        try:
            return {**case, "is_tried": True, "changes": self.tried(row, at, by, form.cleaned_data)}
        except self.refusals as refusal:
            return {**case, "refusal": str(refusal)}


def _compared(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Change]:
    for subject in dict.fromkeys([*before, *after]):
        now, then = before.get(subject, "-"), after.get(subject, "-")
        if now != then or isinstance(now, Standing):
            yield Change(subject, now, then)


class DeedsMixin:
    """A desk with deeds: they are among the actions of the list, and buttons on the page of a row."""

    deeds: ClassVar[Sequence[Deed]] = ()

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions: dict[str, Any] = super().get_actions(request)  # type: ignore[misc]
        for deed in self.deeds:
            if deed.is_allowed(request):
                actions[deed.name] = (deed.run, deed.name, deed.label)
        return actions

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id) if request.method == "GET" else None  # type: ignore[attr-defined]
        allowed = [deed for deed in self.deeds if row is not None and deed.is_allowed(request) and deed.applies(row)]
        context = {"deeds": allowed, "checkbox": ACTION_CHECKBOX_NAME, **(extra_context or {})}
        return cast(HttpResponse, super().change_view(request, object_id, form_url, context))  # type: ignore[misc]


def _way_back(desk: Any, request: HttpRequest) -> str:
    """Back to the page of the row where the deed was begun there, else to the list."""
    chosen = request.POST.getlist(ACTION_CHECKBOX_NAME)
    if request.POST.get("origin") == "row" and len(chosen) == 1:
        return reverse(f"admin:{desk.opts.app_label}_{desk.opts.model_name}_change", args=chosen)
    return request.get_full_path()
