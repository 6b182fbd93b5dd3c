"""The desk of API keys, and of the deeds that integrations called."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AdminSplitDateTime
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from billing.models import Source
from catalog.deeds import Change, DeedsMixin
from catalog.deeds import Deed as ConsoleDeed
from catalog.desks import FactDesk, HistoryDesk
from revops.api.keys import create_key, revoke_key
from revops.console import background, people
from revops.models import ApiKey, Deed, Scope

__all__ = ["ApiKeyDesk", "DeedDesk", "background", "people"]


class NewKeyForm(forms.Form):
    name = forms.CharField(max_length=200, help_text="Whose key it is, and what for.")
    scopes = forms.MultipleChoiceField(
        choices=Scope.choices, widget=forms.CheckboxSelectMultiple, help_text="Who may write a thing may read it too."
    )
    source = forms.ModelChoiceField(
        Source.objects.order_by("key"), required=False, help_text="The only source it may report for. Empty: any."
    )
    expires_at = forms.SplitDateTimeField(required=False, widget=AdminSplitDateTime, help_text="Empty: never.")


class RevokeKey(ConsoleDeed):
    name, label, permission = "revoke_key", "Revoke", "revops.change_apikey"
    explanation = "Calls with this key are refused from now on. It cannot be taken back: make a new key instead."
    is_grave = True

    def applies(self, row: ApiKey) -> bool:
        return row.revoked_at is None

    def changes(self, row: ApiKey, at: dt.datetime) -> Sequence[Change]:
        return [Change("Works", "yes" if row.is_usable(at) else "no", "no")]

    def do(self, row: ApiKey, at: dt.datetime, by: AbstractBaseUser, asked: Mapping[str, Any]) -> str:
        revoke_key(row, at=at, by=by)
        return f"{row} is revoked."


@admin.register(ApiKey)
class ApiKeyDesk(DeedsMixin, HistoryDesk):
    list_display = ["name", "prefix", "scopes", "source", "works", "created_at", "expires_at", "last_used_at"]
    list_filter = [("revoked_at", admin.EmptyFieldListFilter), "source"]
    list_select_related = ["source"]
    search_fields = ["name", "prefix"]
    ordering = ["-created_at"]
    fields = ["name", "prefix", "scopes", "source", "expires_at", "revoked_at", "created_at", "created_by"]
    readonly_fields = ["prefix", "scopes", "source", "revoked_at", "created_at", "created_by"]
    deeds = (RevokeKey(),)

    @admin.display(description="works", boolean=True)
    def works(self, key: ApiKey) -> bool:
        return key.is_usable(timezone.now())

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A key is revoked; who had which right, and when, stays known."""
        return False

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """A key is made by the operation that hands out its secret, once."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = NewKeyForm(request.POST or None)
        context = {**self.admin_site.each_context(request), "title": "New API key", "opts": self.opts, "form": form}
        if form.is_valid():
            asked = form.cleaned_data
            context["key"], context["secret"] = create_key(
                asked["name"],
                asked["scopes"],
                at=timezone.now(),
                source=asked["source"].key if asked["source"] else None,
                expires_at=asked["expires_at"],
                by=request.user.get_username(),
            )
            self.log_addition(request, context["key"], "Key made")
        return TemplateResponse(request, "admin/revops/apikey/add.html", context)


@admin.register(Deed)
class DeedDesk(FactDesk):
    """What integrations called with an Idempotency-Key."""

    list_display = ["idempotency_key", "api_key", "begun_at", "status"]
    list_filter = ["status", "begun_at"]
    list_select_related = ["api_key"]
    search_fields = ["=idempotency_key", "api_key__name"]
    ordering = ["-begun_at"]
