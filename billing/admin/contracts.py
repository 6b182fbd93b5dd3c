"""The desk of contracts as billing sees them: what each term brought and brings, and which contracts come to their end.

Credit is granted here, with what is left of it before and after. What a contract says belongs to contracts, and is
edited there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone

from billing.admin import contract_money
from billing.admin.contract_terms import terms_shown
from billing.admin.credit_deeds import GrantCredit
from billing.admin.renewals import AHEAD_DAYS, renewals
from catalog.deeds import Deed
from contracts.admin import ContractDesk
from contracts.models import Contract, ContractStatus

__all__ = ["ContractOffice", "contract_money"]

admin.site.unregister(Contract)


@admin.register(Contract)
class ContractOffice(ContractDesk):
    change_form_template = "admin/billing/contract/change_form.html"
    deeds: ClassVar[Sequence[Deed]] = (*ContractDesk.deeds[:-1], GrantCredit(), ContractDesk.deeds[-1])

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = dict(extra_context or {})
        contract = self.get_object(request, object_id) if request.method == "GET" else None
        if contract is not None and self.shows_money(request, contract):
            context["shown"] = terms_shown(contract, timezone.now())
        return super().change_view(request, object_id, form_url, context)

    def shows_money(self, request: HttpRequest, contract: Contract | None) -> bool:
        """Whether the terms are shown with what they bring, not in words alone."""
        approved = contract is not None and contract.status == ContractStatus.APPROVED
        return approved and bool(request.user.has_perm("billing.view_invoice"))

    def get_fieldsets(self, request: HttpRequest, obj: Contract | None = None) -> Any:
        found = super().get_fieldsets(request, obj)
        if not self.shows_money(request, obj):
            return found
        return [(title, options) for title, options in found if "terms" not in options["fields"]]

    def get_urls(self) -> list[URLPattern]:
        coming = self.admin_site.admin_view(self.renewals_view)
        return [path("renewals/", coming, name="contracts_contract_renewals"), *super().get_urls()]

    def renewals_view(self, request: HttpRequest) -> HttpResponse:
        """The contracts that come to their end, with what becomes of them."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        at = timezone.now()
        context = {
            **self.admin_site.each_context(request),
            "title": "Renewals",
            "opts": self.opts,
            "renewals": renewals(at, with_money=request.user.has_perm("billing.view_invoice")),
            "days": AHEAD_DAYS,
            "at": at,
        }
        return TemplateResponse(request, "admin/billing/contract/renewals.html", context)
