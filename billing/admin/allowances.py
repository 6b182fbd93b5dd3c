"""The desks of allowances: notices and how they travel, and who is about to run out."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone

from billing.entitlements.access import Standing, agreed_by, standings
from billing.entitlements.delivering import UnableToReplay, replay
from billing.entitlements.endpoints import give_new_secret
from billing.models import AllowanceMark, Delivery, DeliveryAttempt, DeliveryStatus, Notice, WebhookEndpoint
from catalog.columns import count, quantity, status
from catalog.deeds import Change, Deed, DeedsMixin
from catalog.desks import FactDesk, HistoryDesk, ShownInline
from contracts.models import Customer

FULL = 90  # percent
PER_PAGE = 50  # customers


class DeliveryInline(ShownInline):
    model = Delivery
    fields = ["channel", "endpoint", "address", "status", "attempts", "next_attempt_at"]
    show_change_link = True


@admin.register(Notice)
class NoticeDesk(FactDesk):
    list_display = [
        "at",
        "customer",
        "contract",
        "feature",
        "threshold_figure",
        "used_figure",
        "limit_figure",
        "on_limit",
    ]
    list_filter = ["threshold", "feature", "on_limit", "at"]
    list_select_related = ["contract__customer"]
    search_fields = ["contract__number", "contract__customer__key", "contract__customer__name", "feature"]
    search_help_text = "A customer, a contract's number or a feature."
    date_hierarchy = "at"
    ordering = ["-at", "-pk"]
    inlines = [DeliveryInline]
    empty_hint = "A notice is given when a customer has used as much of an allowance as its plan or contract names."
    threshold_figure = count("threshold", title="percent")
    used_figure = quantity("used", unit="unit")
    limit_figure = quantity("limit", unit="unit")

    @admin.display(description="customer", ordering="contract__customer__name")
    def customer(self, notice: Notice) -> Customer:
        return notice.contract.customer

    def get_urls(self) -> list[URLPattern]:
        full = self.admin_site.admin_view(self.full_view)
        return [path("full/", full, name="billing_notice_full"), *super().get_urls()]

    def full_view(self, request: HttpRequest) -> HttpResponse:
        """Who has used most of an allowance, the fullest first."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": f"Above {FULL} %",
            "opts": self.opts,
            "full": FULL,
            **almost_used_up(request.GET.get("p", "1"), timezone.now()),
        }
        return TemplateResponse(request, "admin/billing/notice/full.html", context)


def almost_used_up(page: str, at: dt.datetime) -> dict[str, Any]:
    """Customers that were full when they were last looked over, by the page; what is shown of them is read now."""
    marks = AllowanceMark.objects.filter(fullest__gte=FULL).order_by("-fullest", "customer_id")
    found = Paginator(marks.values_list("customer_id", flat=True), PER_PAGE).get_page(page)
    customers = Customer.objects.in_bulk(list(found.object_list))
    shown = [one for one in standings(agreed_by(customers), at) if one.percent is not None and one.percent >= FULL]
    shown.sort(key=lambda one: (-(one.percent or 0), one.customer_id, one.terms.feature))
    return {"page": found, "bars": [(customers[one.customer_id], bar(one)) for one in shown]}


def bar(one: Standing) -> dict[str, Any]:
    """An allowance as it is drawn; `width` is at most the whole."""
    percent = one.percent
    tone = "" if percent is None else "bad" if percent >= 100 else "warn" if percent >= FULL else "good"
    return {
        "standing": one,
        "terms": one.terms,
        "percent": None if percent is None else percent.quantize(Decimal(1)) if percent < 1000 else Decimal(1000),
        "width": 0 if percent is None else max(0, min(100, int(percent))),
        "tone": tone,
        "resets_at": one.period.ends_at.astimezone(one.zone) if one.period else None,
    }


def bars_of(customer: Customer, at: dt.datetime) -> list[dict[str, Any]]:
    """What a customer may use, for its page."""
    return [bar(one) for one in standings(agreed_by([customer.pk]), at)]


class Replay(Deed):
    name, label, permission = "replay_delivery", "Send again", "billing.replay_delivery"
    explanation = "The same message once more, within a minute. A receiver knows it by its id."
    refusals = (UnableToReplay,)

    def applies(self, row: Delivery) -> bool:
        return row.status != DeliveryStatus.PENDING

    def changes(self, row: Delivery, at: dt.datetime) -> Sequence[Change]:
        if row.status == DeliveryStatus.PENDING:
            raise UnableToReplay("It is on its way already.")
        return [Change(str(row), row.get_status_display(), DeliveryStatus.PENDING.label)]

    def do(self, row: Delivery, at: dt.datetime, by: AbstractBaseUser, asked: Mapping[str, Any]) -> str:
        replay(row, at=at)
        return f"{row} is on its way again."


class AttemptInline(ShownInline):
    model = DeliveryAttempt
    fields = ["number", "started_at", "finished_at", "succeeded", "answer"]
    verbose_name_plural = "tries"


@admin.register(Delivery)
class DeliveryDesk(DeedsMixin, FactDesk):
    list_display = ["notice", "channel", "endpoint", "address", "state", "attempts_figure", "next_attempt_at"]
    list_filter = ["status", "channel", "endpoint"]
    list_select_related = ["notice", "endpoint"]
    search_fields = ["address", "notice__contract__number", "notice__feature"]
    search_help_text = "An address, a contract's number or a feature."
    ordering = ["-pk"]
    inlines = [AttemptInline]
    deeds = (Replay(),)
    empty_hint = "A notice goes to the contacts of its customer, once a mail server is set up, and to every endpoint."
    attempts_figure = count("attempts", title="tries")
    state = status(
        "status", good=[DeliveryStatus.DELIVERED], warn=[DeliveryStatus.PENDING], bad=[DeliveryStatus.FAILED]
    )


@admin.register(DeliveryAttempt)
class DeliveryAttemptDesk(FactDesk):
    list_display = ["started_at", "delivery", "number", "succeeded", "answer"]
    list_filter = ["succeeded", "started_at"]
    list_select_related = ["delivery"]
    search_fields = ["answer", "delivery__address"]
    ordering = ["-pk"]
    empty_hint = "Every try to deliver a notice is written down here, with what was answered."


class RotateSecret(Deed):
    name, label, permission = "rotate_webhookendpoint", "Give a new secret", "billing.rotate_webhookendpoint"
    explanation = "From now on messages are signed with it alone: give it to the receiver at once. It is shown once."
    is_grave = True

    def changes(self, row: WebhookEndpoint, at: dt.datetime) -> Sequence[Change]:
        return [Change(row.url, "signed with the secret it has", "signed with a new one")]

    def do(self, row: WebhookEndpoint, at: dt.datetime, by: AbstractBaseUser, asked: Mapping[str, Any]) -> str:
        give_new_secret(row, at=at, by=by)
        return f"{row} has a new secret."

    def _attempt(self, desk: Any, request: HttpRequest, row: Any, at: dt.datetime, asked: Mapping[str, Any]) -> None:
        super()._attempt(desk, request, row, at, asked)
        row.refresh_from_db()
        show_secret(request, row)


@admin.register(WebhookEndpoint)
class WebhookEndpointDesk(DeedsMixin, HistoryDesk):
    list_display = ["name", "url", "is_active"]
    list_filter = ["is_active"]
    search_fields = ["name", "url"]
    ordering = ["name"]
    fields = ["name", "url", "is_active"]
    formfield_overrides = {models.URLField: {"assume_scheme": "https"}}
    deeds = (RotateSecret(),)
    empty_hint = "An endpoint is told every notice over HTTPS, signed as Standard Webhooks has it."

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """What was sent stays on record, and where to; switch it off."""
        return False

    def save_model(self, request: HttpRequest, obj: WebhookEndpoint, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if not change:
            show_secret(request, obj)


def show_secret(request: HttpRequest, endpoint: WebhookEndpoint) -> None:
    """Once; afterwards only a new one can be had."""
    messages.warning(request, f"The secret of {endpoint}, shown this once: {endpoint.secret}")


@admin.register(AllowanceMark)
class AllowanceMarkDesk(FactDesk):
    list_display = ["customer_id", "clock", "looked_at", "fullest_figure"]
    list_filter = ["looked_at"]
    search_fields = ["=customer_id"]
    ordering = ["-fullest"]
    empty_hint = "Up to where the allowances of each customer were looked over; the worker does it every minute."
    fullest_figure = quantity("fullest", title="fullest, in percent")
