"""The desk of API keys, and of the deeds that integrations called."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, cast

from django import forms
from django.contrib import admin
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone

from billing.models import Source
from catalog.auditing import identity
from catalog.deeds import Change, DeedsMixin
from catalog.deeds import Deed as ConsoleDeed
from catalog.desks import FactDesk, HistoryDesk
from revops.api.keys import UnableToRotate, create_key, revoke_key, rotate_key
from revops.api.limits import RECORDS, REQUESTS, next_generation
from revops.console import background, people
from revops.models import ApiKey, Deed, Scope
from revops.roles import may_hand_out

__all__ = ["ApiKeyDesk", "DeedDesk", "background", "people"]

LARGEST = 1_000_000_000


class NewKeyForm(forms.Form):
    name = forms.CharField(max_length=200, help_text="Whose key it is, and what for.")
    scopes = forms.MultipleChoiceField(
        widget=forms.CheckboxSelectMultiple,
        help_text="Who may write a thing may read it too. Offered are those that stand for what you may do yourself.",
        error_messages={"invalid_choice": "%(value)s stands for what you may not do yourself, so you cannot give it."},
    )
    source = forms.ModelChoiceField(
        Source.objects.order_by("key"),
        required=False,
        empty_label="any source",
        help_text="The only source it may report for.",
    )
    expires_at = forms.DateTimeField(
        required=False, widget=forms.DateTimeInput({"type": "datetime-local"}), help_text="In UTC. Empty: never."
    )
    requests_per_minute = forms.IntegerField(
        min_value=1,
        max_value=LARGEST,
        required=False,
        help_text=f"Calls other than reporting events. Empty: {REQUESTS:,}.",
    )
    records_per_minute = forms.IntegerField(
        min_value=1, max_value=LARGEST, required=False, help_text=f"Records of events. Empty: {RECORDS:,}."
    )

    def __init__(self, maker: AbstractBaseUser | AnonymousUser, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offered = [scope for scope in Scope if may_hand_out(maker, [scope.value])]
        self.fields["scopes"].choices = [(scope.value, f"{scope.value}: {scope.label}") for scope in offered]  # type: ignore[attr-defined]

    def clean_expires_at(self) -> dt.datetime | None:
        expires_at: dt.datetime | None = self.cleaned_data["expires_at"]
        if expires_at is not None and expires_at <= timezone.now():
            raise ValidationError("This is past: such a key would never work.")
        return expires_at


class RotateForm(forms.Form):
    overlap = forms.TypedChoiceField(
        label="The old key",
        choices=[
            (1, "works for another hour"),
            (24, "works for another day"),
            (7 * 24, "works for another week"),
            (0, "stops at once"),
        ],
        initial=24,
        coerce=int,
        help_text="Time to put the new one in its place. It never works longer than it would have.",
    )


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
    fields = [
        "name", "prefix", "scopes", "source", "expires_at", "requests_per_minute", "records_per_minute", "revoked_at",
        "created_at", "created_by", "last_used_at",
    ]  # fmt: skip
    readonly_fields = ["prefix", "scopes", "source", "revoked_at", "created_at", "created_by", "last_used_at"]
    change_form_template = "admin/revops/apikey/change_form.html"
    deeds = (RevokeKey(),)

    @admin.display(description="works", boolean=True)
    def works(self, key: ApiKey) -> bool:
        return key.is_usable(timezone.now())

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A key is revoked; who had which right, and when, stays known."""
        return False

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        transaction.on_commit(next_generation)

    def get_urls(self) -> list[URLPattern]:
        rotate = path("<int:pk>/rotate/", self.admin_site.admin_view(self.rotate_view), name="revops_apikey_rotate")
        return [rotate, *super().get_urls()]

    def rotate_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """A new secret for the same rights, for who could have made the key; the old one works on for a while."""
        if not (self.has_add_permission(request) and self.has_change_permission(request)):
            raise PermissionDenied
        key = self.get_queryset(request).filter(pk=pk).first()
        if key is None:
            raise Http404
        if not may_hand_out(request.user, key.scopes):
            raise PermissionDenied("The key may do what you may not do yourself; ask somebody who may to rotate it.")
        at = timezone.now()
        form = RotateForm(request.POST or None)
        context = {"title": f"Rotate {key}", "form": form, "old": key}
        if form.is_valid():
            works_until = at + dt.timedelta(hours=form.cleaned_data["overlap"])
            try:
                new, secret = rotate_key(key, works_until=works_until, at=at, by=request.user)  # type: ignore[arg-type]
            except UnableToRotate as refusal:
                form.add_error(None, str(refusal))
            else:
                key.refresh_from_db()
                self.log_addition(request, new, f"Made in place of {key.prefix}...")
                self.log_change(
                    request, key, f"Replaced by {new.prefix}...; works until {key.expires_at:%Y-%m-%d %H:%M %Z}"
                )
                context |= {"key": new, "secret": secret}
        return self.page(request, context)

    def page(self, request: HttpRequest, context: Mapping[str, Any]) -> HttpResponse:
        """A form of ours, or once it is done the secret."""
        shared = {**self.admin_site.each_context(request), "opts": self.opts}
        shared["api"] = request.build_absolute_uri("/api/v1")
        return TemplateResponse(request, "admin/revops/apikey/add.html", {**shared, **context})

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """A key is made by the operation that hands out its secret, once."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = NewKeyForm(request.user, request.POST or None)
        context: dict[str, Any] = {"title": "New API key", "form": form}
        if form.is_valid():
            asked = form.cleaned_data
            context["key"], context["secret"] = create_key(
                asked["name"],
                asked["scopes"],
                at=timezone.now(),
                source=asked["source"].key if asked["source"] else None,
                expires_at=asked["expires_at"],
                requests_per_minute=asked["requests_per_minute"],
                records_per_minute=asked["records_per_minute"],
                by=request.user.get_username(),
                makers=[identity(cast(AbstractBaseUser, request.user))],
            )
            self.log_addition(request, context["key"], "Key made")
        return self.page(request, context)


@admin.register(Deed)
class DeedDesk(FactDesk):
    """What integrations called with an Idempotency-Key."""

    list_display = ["idempotency_key", "api_key", "begun_at", "status"]
    list_filter = ["status", "begun_at"]
    list_select_related = ["api_key"]
    search_fields = ["=idempotency_key", "api_key__name"]
    ordering = ["-begun_at"]
