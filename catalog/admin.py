"""The desk of what is sold: sellers, taxes, features, meters, plans and their dated versions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Max, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString, mark_safe

from catalog.columns import count, quantity, status
from catalog.comparing import compare_versions, version_before
from catalog.deeds import Change, Deed, DeedsMixin
from catalog.desks import HistoryDesk, PartsMixin, TabularInline
from catalog.entitlement_desk import given_in_words
from catalog.models import (
    Feature,
    Meter,
    Plan,
    PlanVersion,
    Price,
    PriceTier,
    Seller,
    TaxRate,
    VersionStatus,
)
from catalog.price_form import PriceForm, TierForm, in_order, page_facts
from catalog.publishing import (
    UnableToPublish,
    approve,
    content_of,
    draft_version,
    require_sellable,
    retire,
    submit,
)
from catalog.wording import price_words


@admin.register(Seller)
class SellerDesk(HistoryDesk):
    list_display = ["name", "key", "country", "currency", "timezone", "tolerance_window", "review_drafts"]
    list_filter = ["review_drafts", "currency"]
    empty_hint = "The seller is the legal entity that invoices: its tax id, currency and time zone."
    search_fields = ["key", "name", "tax_id"]
    ordering = ["name"]

    def get_readonly_fields(self, request: HttpRequest, obj: Seller | None = None) -> list[str]:
        # The billing days of its contracts follow the zone; the key names its number series.
        return ["key", "timezone"] if obj else []


@admin.register(TaxRate)
class TaxRateDesk(HistoryDesk):
    list_display = ["code", "country", "category", "tax", "percent_figure", "compound", "effective_from", "description"]
    percent_figure = quantity("percent")
    list_filter = ["country", "category", "tax"]
    search_fields = ["code", "description", "country", "category"]
    ordering = ["country", "category", "tax", "effective_from"]
    fields = [("code", "percent"), "country", ("category", "tax"), "compound", "effective_from", "description"]
    empty_hint = "A tax rate is added to, or taken out of, what customers of a country are billed from a day on."


@admin.register(Feature)
class FeatureDesk(HistoryDesk):
    list_display = ["name", "key", "description"]
    search_fields = ["key", "name"]
    ordering = ["name"]


@admin.register(Meter)
class MeterDesk(HistoryDesk):
    list_display = ["key", "name", "event_type", "aggregation", "value", "group_by", "unit", "allow_negative"]
    list_filter = ["aggregation", "event_type"]
    empty_hint = "A meter says what is counted: the type of event, and how its values become a quantity."
    search_fields = ["key", "name", "event_type", "value"]
    ordering = ["key"]
    fieldsets = [
        (None, {"fields": ["key", "name", "unit"]}),
        (
            "What is counted",
            {
                "fields": ["event_type", "aggregation", "value", "group_by", "filters", "allow_negative"],
                "description": "Frozen once the meter has counted an event: for other content, make another meter.",
            },
        ),
    ]


@admin.register(Plan)
class PlanDesk(HistoryDesk):
    list_display = ["name", "key", "interval", "versions_figure", "in_force_from"]
    list_filter = ["interval"]
    search_fields = ["key", "name"]
    ordering = ["name"]
    empty_hint = "A plan is what customers buy: make one, give it a version with prices, and publish that."
    versions_figure = count("version_count", title="versions")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Plan]:
        rows: QuerySet[Plan] = super().get_queryset(request)
        return rows.annotate(version_count=Count("versions"), latest_start=Max("versions__effective_from"))

    @admin.display(description="latest starts on", ordering="latest_start")
    def in_force_from(self, plan: Any) -> dt.date | None:
        found: dt.date | None = plan.latest_start
        return found

    def get_readonly_fields(self, request: HttpRequest, obj: Plan | None = None) -> list[str]:
        return ["key", "interval"] if obj else []


class Because(forms.Form):
    """A deed that asks why."""

    reason = forms.CharField(label="Why", max_length=500, widget=forms.Textarea(attrs={"rows": 2, "cols": 60}))


class VersionDeed(Deed):
    """A step of a version's life."""

    refusals = (UnableToPublish,)
    from_status: VersionStatus

    def applies(self, row: PlanVersion) -> bool:
        return row.status == self.from_status

    def changes(self, row: PlanVersion, at: dt.datetime) -> Sequence[Change]:
        return [Change(key, words, words) for key, words in prices_in_words(row).items()]


class PublishingDeed(VersionDeed):
    """A step towards customers: its page compares the version with the one in force."""

    review_template: ClassVar[str] = "admin/catalog/difference.html"

    def shown(self, row: PlanVersion, at: dt.datetime, by: AbstractBaseUser) -> SafeString:
        return mark_safe(render_to_string(self.review_template, self.review(row, at, by)))

    def review(self, row: PlanVersion, at: dt.datetime, by: AbstractBaseUser) -> dict[str, Any]:
        """What its page says of a version to this person. Raises UnableToPublish where it cannot be sold as it is."""
        require_sellable(row)
        return {"difference": compare_versions(version_before(row, at.date()), row)}


class SubmitVersion(PublishingDeed):
    name, label, permission = "submit_version", "Submit for review", "catalog.submit_planversion"
    explanation = "Another person then approves it."
    from_status = VersionStatus.DRAFT

    def do(self, row: PlanVersion, at: dt.datetime, by: AbstractBaseUser, asked: Mapping[str, Any]) -> str:
        submit(row, at=at, by=by)
        return f"{row} is in review. Another person approves it."


class ApproveVersion(PublishingDeed):
    name, label, permission = "approve_version", "Approve and publish", "catalog.publish_planversion"
    explanation = "Published, its prices never change again; other prices are a new version."
    from_status = VersionStatus.REVIEW
    is_grave = True

    def do(self, row: PlanVersion, at: dt.datetime, by: AbstractBaseUser, asked: Mapping[str, Any]) -> str:
        approve(row, at=at, by=by)
        return f"{row} is published."


class RetireVersion(VersionDeed):
    name, label, permission = "retire_version", "Retire", "catalog.retire_planversion"
    explanation = "It is not sold any more. Contracts that stand on it keep it and are billed as before."
    form_class = Because
    from_status = VersionStatus.PUBLISHED

    def do(self, row: PlanVersion, at: dt.datetime, by: AbstractBaseUser, asked: Mapping[str, Any]) -> str:
        retire(row, at=at, by=by, reason=asked["reason"])
        return f"{row} is retired."


class CopyVersion(Deed):
    """The way on from a frozen version: the same content as the plan's next draft."""

    name, label, permission = "copy_version", "New draft from this", "catalog.add_planversion"
    explanation = "Makes the plan's next version, a draft with the same prices to edit."
    refusals = (UnableToPublish,)

    def changes(self, row: PlanVersion, at: dt.datetime) -> Sequence[Change]:
        return [Change(key, words, words) for key, words in prices_in_words(row).items()]

    def do(self, row: PlanVersion, at: dt.datetime, by: AbstractBaseUser, asked: Mapping[str, Any]) -> str:
        content = content_of(row)
        made = draft_version(
            row.plan,
            currency=content.currency,
            prices=content.prices,
            trial_days=content.trial_days,
            tax_behavior=content.tax_behavior,
            entitlements=content.entitlements,
            at=at,
            by=by,
            reason=f"Copied from {row}",
        )
        return f"{made} is a draft with the prices of {row}."


@admin.register(PlanVersion)
class PlanVersionDesk(DeedsMixin, HistoryDesk):
    list_display = ["__str__", "plan", "state", "currency", "tax_behavior", "effective_from", "published_at"]
    state = status("status", good=[VersionStatus.PUBLISHED], warn=[VersionStatus.DRAFT, VersionStatus.REVIEW])
    list_filter = ["status", "currency", "plan"]
    list_select_related = ["plan"]
    search_fields = ["plan__key", "plan__name"]
    ordering = ["plan__key", "-number"]
    autocomplete_fields = ["plan"]
    fields = [
        "plan",
        "number",
        "status",
        "currency",
        "tax_behavior",
        "effective_from",
        "trial_days",
        "published_at",
        "charges",
    ]
    deeds: ClassVar[Sequence[Deed]] = (SubmitVersion(), ApproveVersion(), RetireVersion(), CopyVersion())
    change_form_template = "admin/catalog/planversion/change_form.html"

    def frozen(self, row: PlanVersion) -> str | None:
        if row.status == VersionStatus.REVIEW:
            return "This version is in review: what is approved is what was submitted, so nothing changes meanwhile."
        if row.status != VersionStatus.DRAFT:
            return (
                f"This version is {row.get_status_display()}: customers rely on its prices, and the database refuses "
                "to change them. For other prices make a new draft from this one."
            )
        return None

    def has_delete_permission(self, request: HttpRequest, obj: PlanVersion | None = None) -> bool:
        """A version that was submitted and is not wanted may go, too."""
        if obj is not None and obj.status == VersionStatus.REVIEW:
            return bool(admin.ModelAdmin.has_delete_permission(self, request, obj))
        return super().has_delete_permission(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: PlanVersion | None = None) -> list[str]:
        always = ["number", "status", "published_at", "charges"]
        return ["plan", *always] if obj else always

    def get_fields(self, request: HttpRequest, obj: PlanVersion | None = None) -> Any:
        return self.fields if obj else ["plan", "currency", "tax_behavior", "effective_from", "trial_days"]

    def get_urls(self) -> list[URLPattern]:
        compare = self.admin_site.admin_view(self.compare_view)
        return [path("<int:pk>/compare/", compare, name="catalog_planversion_compare"), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id) if request.method == "GET" else None
        said = {} if row is None else self.said(request, row, timezone.now())
        return super().change_view(request, object_id, form_url, {**said, **(extra_context or {})})

    def said(self, request: HttpRequest, row: PlanVersion, at: dt.datetime) -> dict[str, Any]:
        """What the page of a version shows beside its fields."""
        return {"compared_with": version_before(row, at.date())}

    def compare_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The version beside another of its plan: `?with=` its id, else the one in force or the one before."""
        version = get_object_or_404(PlanVersion.objects.select_related("plan"), pk=pk)
        if not self.has_view_permission(request, version):
            raise PermissionDenied
        others = list(version.plan.versions.exclude(pk=pk).select_related("plan").order_by("-number"))
        asked = request.GET.get("with", "")
        named = [one for one in others if str(one.pk) == asked]
        if asked and not named:
            raise Http404(f"{version.plan} has no such version beside this one.")
        other = named[0] if named else version_before(version, timezone.now().date())
        context = {
            **self.admin_site.each_context(request),
            "title": f"What differs in {version}",
            "opts": self.opts,
            "original": version,
            "others": others,
            "other": other,
            "difference": None if other is None else compare_versions(other, version),
        }
        return TemplateResponse(request, "admin/catalog/planversion/compare.html", context)

    @admin.display(description="what it charges")
    def charges(self, version: PlanVersion) -> SafeString | str:
        if version.pk is None:
            return "-"
        prices = [(price, price_words(price, version.currency)) for price in priced(version)]
        shown = {"prices": prices, "version": version, "given": given_in_words(version)}
        return mark_safe(render_to_string("admin/catalog/prices.html", shown))

    def save_model(self, request: HttpRequest, obj: PlanVersion, form: Any, change: bool) -> None:
        if not change:
            plan = Plan.objects.select_for_update().get(pk=obj.plan_id)  # one number at a time
            obj.number = (plan.versions.aggregate(latest=Max("number"))["latest"] or 0) + 1
        super().save_model(request, obj, form, change)


class TierInline(TabularInline[PriceTier, Price]):
    """The tiers of a price of a draft, in the order of their ends."""

    model = PriceTier
    form = TierForm
    verbose_name, verbose_name_plural = "tier", "tiers"
    hide_title = True
    fields = ["up_to", "unit_amount", "flat_amount", "cap_amount", "rate_percent", "unit_amounts"]

    def get_extra(self, request: HttpRequest, obj: Price | None = None, **kwargs: Any) -> int:
        """Empty rows, for browsers without scripts, too."""
        return 3 if obj is None else 1

    def has_add_permission(self, request: HttpRequest, obj: Price | None = None) -> bool:
        return (obj is None or is_draft(obj.version)) and bool(super().has_add_permission(request, obj))

    def has_change_permission(self, request: HttpRequest, obj: Price | None = None) -> bool:
        return (obj is None or is_draft(obj.version)) and bool(super().has_change_permission(request, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Price | None = None) -> bool:
        return (obj is None or is_draft(obj.version)) and bool(super().has_delete_permission(request, obj))


@admin.register(Price)
class PriceDesk(PartsMixin, HistoryDesk):
    """A price with its tiers, on a page of its own; it is begun on the page of its version, and leads back there."""

    part_of = "version"

    form = PriceForm
    list_display = ["key", "version", "kind", "model", "meter", "in_words"]
    list_filter = ["kind", "model", "version__status"]
    list_select_related = ["version__plan", "meter"]
    search_fields = ["key", "name", "version__plan__key"]
    ordering = ["version__plan__key", "-version__number", "position"]
    inlines = [TierInline]
    change_form_template = "admin/catalog/price/change_form.html"
    fieldsets = [
        (None, {"fields": ["version", ("key", "name"), ("kind", "model"), ("meter", "position")]}),
        (
            "Which usage, in which unit",
            {
                "fields": [
                    "filters",
                    ("window", "combine"),
                    ("conversion_op", "conversion_factor"),
                    "conversion_rounding",
                ],
                "classes": ["collapse"],
                "description": "Without these: all usage of the meter, in its own unit.",
            },
        ),
        (
            "What it costs",
            {
                "fields": [
                    ("billing", "prorate"),
                    "interval",
                    "tax_category",
                    ("unit_amount", "flat_amount"),
                    ("package_size", "package_amount"),
                    "package_rounding",
                    ("rate_percent", "fixed_amount"),
                    ("per_transaction_min", "per_transaction_max"),
                    ("free_events", "free_amount"),
                    "multiplier",
                    "cumulative",
                    "dimension",
                    ("included_units", "included", "zero_quantity"),
                    ("minimum_amount", "maximum_amount"),
                ],
            },
        ),
    ]

    def get_readonly_fields(self, request: HttpRequest, obj: Price | None = None) -> list[str]:
        return ["version", "in_words"] if obj else []

    def get_fieldsets(self, request: HttpRequest, obj: Price | None = None) -> Any:
        """What a frozen price charges reads better in words than in the fields it was typed into."""
        if obj is None or is_draft(obj.version):
            return super().get_fieldsets(request, obj)
        return [
            (
                None,
                {
                    "fields": [
                        "version",
                        "key",
                        "name",
                        "kind",
                        "meter",
                        "in_words",
                        "billing",
                        "interval",
                        "prorate",
                        "tax_category",
                    ]
                },
            )
        ]

    def get_inlines(self, request: HttpRequest, obj: Price | None = None) -> Any:
        return self.inlines if obj is None or is_draft(obj.version) else []

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """A new price comes last on the invoice."""
        initial: dict[str, Any] = super().get_changeform_initial_data(request)
        version = str(initial.get("version", ""))
        if version.isdecimal():
            latest = Price.objects.filter(version=int(version)).aggregate(latest=Max("position"))["latest"]
            initial["position"] = 0 if latest is None else latest + 1
        return initial

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        return super().render_change_form(request, {**context, "price_facts": page_facts()}, *args, **kwargs)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Tiers are stored anew, in the order of their ends."""
        formset.save(commit=False)  # says what changed
        kept = [one for one in formset.forms if one not in formset.deleted_forms]
        tiers = in_order([one.instance for one in kept if one.instance.pk or one.has_changed()])
        form.instance.tiers.all().delete()
        for position, tier in enumerate(tiers):
            tier.pk, tier.price, tier.position = None, form.instance, position
            tier.save(force_insert=True)

    def response_post_save_add(self, request: HttpRequest, obj: Price) -> HttpResponseRedirect:
        return to_version(obj.version)

    def response_post_save_change(self, request: HttpRequest, obj: Price) -> HttpResponseRedirect:
        return to_version(obj.version)

    def frozen(self, row: Price) -> str | None:
        if is_draft(row.version):
            return None
        return (
            f"The version {row.version} is {row.version.get_status_display()}, so this price stays as it is. "
            "For another price make a new draft from that version."
        )

    def has_delete_permission(self, request: HttpRequest, obj: Price | None = None) -> bool:
        """A version in review goes with its prices; one of them alone stays."""
        if obj is not None and obj.version.status == VersionStatus.REVIEW:
            return bool(admin.ModelAdmin.has_delete_permission(self, request, obj))
        return super().has_delete_permission(request, obj)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Price]:
        rows: QuerySet[Price] = super().get_queryset(request)
        return rows.prefetch_related("tiers")

    @admin.display(description="charges")
    def in_words(self, price: Price) -> str:
        return price_words(price, price.version.currency)


def to_version(version: PlanVersion) -> HttpResponseRedirect:
    """Back to the page that shows all prices of a version."""
    return HttpResponseRedirect(reverse("admin:catalog_planversion_change", args=[version.pk]))


def is_draft(version: PlanVersion | None) -> bool:
    """Whether its prices may be edited; a version that is being added is one."""
    return version is None or version.status == VersionStatus.DRAFT


def priced(version: PlanVersion) -> QuerySet[Price]:
    return version.prices.select_related("meter").prefetch_related("tiers")


def prices_in_words(version: PlanVersion) -> dict[str, str]:
    """Price key -> what it charges."""
    return {price.key: price_words(price, version.currency) for price in priced(version)}
