"""The desk of contracts: drafts are edited with their terms; what counts is amended, renewed and ended by deeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.safestring import SafeString, mark_safe

from catalog.columns import status
from catalog.deeds import Deed, DeedsMixin
from catalog.desks import HistoryDesk, StackedInline, TabularInline
from catalog.models import PlanVersion
from contracts.admin.allowances import ChangeAllowance
from contracts.admin.amending import amendments_of
from contracts.admin.deeds import (
    AddOneTime,
    ApproveContract,
    EndContract,
    MoveToVersion,
    RenewContract,
    SubmitContract,
)
from contracts.models import (
    Commitment,
    Contract,
    ContractLine,
    ContractStatus,
    CreditGrant,
    Discount,
    OneTimeTerm,
    PriceOverride,
)
from contracts.standing import running, standing_contracts
from contracts.wording import terms_in_words


class TermInline(TabularInline[Any, Contract]):
    """Terms of a draft. Once the contract counts they are superseded by amendments, and shown as a table."""

    extra = 0


class WideTermInline(StackedInline[Any, Contract]):
    """Terms of a draft that say too much for one line."""

    extra = 0


class LineInline(TermInline):
    model = ContractLine
    fields = ["plan_version", "key", "quantity", "starts_on", "ends_on", "uplift_percent", "trial_days"]
    autocomplete_fields = ["plan_version"]


class OverrideInline(TermInline):
    model = PriceOverride
    fields = ["line", "price", "terms", "starts_on", "ends_on"]


class DiscountInline(WideTermInline):
    model = Discount
    fields = [("key", "kind"), ("value", "total"), ("starts_on", "ends_on"), ("applies_to", "position")]


class CommitmentInline(WideTermInline):
    model = Commitment
    fields = [
        ("key", "kind"), ("amount", "quantity"), ("interval", "overage_factor"), ("starts_on", "ends_on"),
        ("true_up", "prorate"), ("applies_to", "position"),
    ]  # fmt: skip


class CreditInline(WideTermInline):
    model = CreditGrant
    fields = [("key", "name"), ("kind", "amount"), ("starts_on", "expires_on"), ("applies_to", "priority")]


class OneTimeInline(TermInline):
    model = OneTimeTerm
    fields = ["key", "description", "amount", "on"]


INLINES: list[Any] = [LineInline, OverrideInline, DiscountInline, CommitmentInline, CreditInline, OneTimeInline]


class VersionFilter(admin.SimpleListFilter):
    """The contracts with a line that runs today on a version."""

    title = "stands today on"
    parameter_name = "on_version"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        standing = running(timezone.now().date()).values("plan_version")
        versions = PlanVersion.objects.filter(pk__in=standing).select_related("plan")
        return [(str(version.pk), str(version)) for version in versions.order_by("plan__key", "number")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Contract]) -> QuerySet[Contract]:
        asked = self.value()
        if asked is None:
            return queryset
        if not asked.isdecimal():
            raise IncorrectLookupParameters
        return queryset.filter(pk__in=standing_contracts(int(asked), timezone.now().date()).values("pk"))


@admin.register(Contract)
class ContractDesk(DeedsMixin, HistoryDesk):
    list_display = ["number", "customer", "state", "currency", "starts_on", "ends_on", "purchase_order"]
    empty_hint = "A contract says which customer has which plan version, from when, and at which terms."
    state = status("status", good=[ContractStatus.APPROVED], warn=[ContractStatus.DRAFT, ContractStatus.REVIEW])
    list_filter = ["status", "currency", "seller", "anchor", "renewal_auto", VersionFilter]
    list_select_related = ["customer", "seller"]
    search_fields = ["number", "customer__key", "customer__name", "purchase_order"]
    date_hierarchy = "starts_on"
    ordering = ["-starts_on", "number"]
    autocomplete_fields = ["customer"]
    fieldsets = [
        (None, {"fields": [("number", "status"), ("customer", "seller"), "purchase_order"]}),
        ("Dates", {"fields": [("starts_on", "ends_on"), ("anchor", "bill_day"), "timezone"]}),
        (
            "At its end",
            {
                "fields": [
                    ("renewal_auto", "renewal_months"),
                    ("renewal_notice_days", "renewal_uplift_percent"),
                ]
            },
        ),
        ("Money", {"fields": [("currency", "payment_terms_days"), "tolerance_window"]}),
        ("Terms", {"fields": ["terms"]}),
    ]
    deeds: ClassVar[Sequence[Deed]] = (
        SubmitContract(), ApproveContract(), MoveToVersion(), AddOneTime(), ChangeAllowance(), RenewContract(),
        EndContract(),
    )  # fmt: skip
    change_form_template = "admin/contracts/contract/change_form.html"

    def frozen(self, row: Contract) -> str | None:
        if row.status == ContractStatus.REVIEW:
            return "This contract waits for approval: what is approved is what was submitted."
        if row.status == ContractStatus.APPROVED:
            return (
                "This contract is approved and billed as it stands. To change its terms, amend it: that supersedes "
                "terms from a day on, and keeps what was agreed before."
            )
        return None

    def has_delete_permission(self, request: HttpRequest, obj: Contract | None = None) -> bool:
        """A contract that was submitted and is not wanted may go, too."""
        if obj is not None and obj.status == ContractStatus.REVIEW:
            return bool(admin.ModelAdmin.has_delete_permission(self, request, obj))
        return super().has_delete_permission(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Contract | None = None) -> list[str]:
        return ["status", "terms"]

    def get_inlines(self, request: HttpRequest, obj: Contract | None = None) -> Any:
        draft = obj is None or obj.status == ContractStatus.DRAFT
        return INLINES if draft else []

    @admin.display(description="as agreed")
    def terms(self, contract: Contract) -> SafeString | str:
        if contract.pk is None:
            return "Save the contract with its lines and its other terms below."
        return mark_safe(render_to_string("admin/contracts/terms.html", {"terms": terms_in_words(contract)}))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {"may_amend": request.user.has_perm("contracts.amend_contract"), **(extra_context or {})}
        return super().change_view(request, object_id, form_url, context)

    def get_urls(self) -> list[URLPattern]:
        amend, amend_by = self.admin_site.admin_view(self.amend_view), self.admin_site.admin_view(self.amend_by_view)
        return [
            path("<int:pk>/amend/", amend, name="contracts_contract_amend"),
            path("<int:pk>/amend/<slug:name>/", amend_by, name="contracts_contract_amend_by"),
            *super().get_urls(),
        ]

    def amend_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The ways to amend a contract, to choose one."""
        contract = self._amendable(request, pk)
        context = {
            **self.admin_site.each_context(request),
            "title": "Amend",
            "opts": self.opts,
            "original": contract,
            "amendments": amendments_of(contract),
        }
        return TemplateResponse(request, "admin/contracts/contract/amend.html", context)

    def amend_by_view(self, request: HttpRequest, pk: int, name: str) -> HttpResponse:
        """One amendment: asked for, tried, and done."""
        contract = self._amendable(request, pk)
        found = next((one for one in amendments_of(contract) if one.name == name), None)
        if found is None:
            raise Http404
        return found.run(self, request, Contract.objects.filter(pk=contract.pk).select_related("customer", "seller"))

    def _amendable(self, request: HttpRequest, pk: int) -> Contract:
        if not request.user.has_perm("contracts.amend_contract") or not self.has_view_permission(request):
            raise PermissionDenied
        return get_object_or_404(Contract.objects.approved(), pk=pk)
