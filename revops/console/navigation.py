"""The sidebar: the areas of the console in the order of the work, each with the pages under it.

A page is a list of rows, and is shown to who may view these rows; an area is shown to who may view one of its pages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.text import capfirst, slugify

from revops.console.held import open_records_if_known


@dataclass(frozen=True, slots=True)
class Page:
    """A page in the sidebar: the list of a model (app_label.ObjectName), titled where its own name will not do.

    A page that is no list has the name of its address instead, a title, and the permission that shows it.
    """

    model: str = ""
    title: str = ""
    link: str = ""
    permission: str = ""

    @property
    def label(self) -> str:
        return self.title or capfirst(str(apps.get_model(self.model)._meta.verbose_name_plural))

    @property
    def address(self) -> str:
        if self.link:
            return reverse(self.link)
        opts = apps.get_model(self.model)._meta
        return reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist")

    @property
    def is_open(self) -> bool:
        """Whether there is a desk for it."""
        return bool(self.link) or admin.site.is_registered(apps.get_model(self.model))

    def is_shown_to(self, request: HttpRequest) -> bool:
        if self.permission:
            return request.user.has_perm(self.permission)
        opts = apps.get_model(self.model)._meta
        return any(request.user.has_perm(f"{opts.app_label}.{verb}_{opts.model_name}") for verb in ("view", "change"))


@dataclass(frozen=True, slots=True)
class Area:
    """A part of the work. Its first page is the one that is opened by its name."""

    title: str
    icon: str
    pages: tuple[Page, ...]


AREAS = (
    Area(
        "Quarantine",
        "front_hand",
        (
            Page(link="admin:quarantine_queue", title="Review queue", permission="quarantine.view_heldrecord"),
            Page("quarantine.Proposal"),
            Page("quarantine.HeldRecord"),
            Page(link="admin:quarantine_rules", title="Rules kept", permission="quarantine.view_heldrecord"),
            Page("quarantine.ProposedRecord", "Records proposed for"),
            Page("quarantine.Sighting"),
            Page("quarantine.Estimate"),
        ),
    ),
    Area(
        "Customers",
        "domain",
        (Page("contracts.Customer"), Page("contracts.CustomerAlias"), Page("contracts.Contact")),
    ),
    Area(
        "Contracts",
        "contract",
        (
            Page("contracts.Contract"),
            Page(link="admin:contracts_contract_renewals", title="Renewals", permission="contracts.view_contract"),
            Page("contracts.ContractLine"),
            Page("contracts.PriceOverride"),
            Page("contracts.Discount"),
            Page("contracts.Commitment"),
            Page("contracts.OneTimeTerm"),
            Page("contracts.AllowanceTerm", "Allowances"),
        ),
    ),
    Area(
        "Catalog",
        "sell",
        (
            Page("catalog.Plan"),
            Page("catalog.PlanVersion"),
            Page("catalog.Price"),
            Page("catalog.Meter"),
            Page("catalog.Feature"),
            Page("catalog.Entitlement"),
            Page("catalog.TaxRate"),
        ),
    ),
    Area(
        "Usage",
        "water_drop",
        (
            Page("billing.Source"),
            Page("billing.SourceRule"),
            Page("billing.Receipt"),
            Page("billing.ReceiptCount"),
            Page("billing.Notice", "Notices of allowances"),
            Page(link="admin:billing_notice_full", title="Above 90 %", permission="billing.view_notice"),
            Page("billing.Delivery", "Deliveries of notices"),
            Page("billing.DeliveryAttempt", "Tries of deliveries"),
            Page("billing.AllowanceMark", "Marks of allowances"),
            Page("billing.Correction"),
            Page("billing.UsageClock"),
            Page("billing.Register"),
        ),
    ),
    Area(
        "Invoices",
        "receipt_long",
        (
            Page("billing.Invoice"),
            Page(link="admin:billing_invoice_review", title="Drafts to review", permission="billing.view_invoice"),
            Page("billing.CreditNote"),
            Page("billing.InvoiceLine"),
            Page("contracts.CreditGrant", "Credit"),
            Page("billing.CreditUse", "Credit drawn"),
            Page("billing.BillRun"),
            Page("billing.BillRunFault"),
            Page("billing.PeriodClose"),
        ),
    ),
    Area(
        "Settings",
        "settings",
        (
            Page("catalog.Seller"),
            Page("billing.NumberSeries"),
            Page("auth.User"),
            Page("auth.Group", "Roles"),
            Page("revops.ApiKey", "API keys"),
            Page("billing.WebhookEndpoint"),
            Page("revops.Deed", "Deeds over the API"),
            Page("django_q.Schedule", "Schedules"),
            Page("django_q.OrmQ", "Waiting work"),
            Page("django_q.Success", "Work done"),
            Page("django_q.Failure", "Work failed"),
        ),
    ),
)


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """The areas a person sees, for templates/unfold/helpers/app_list.html; the one under way shows its pages."""
    index = reverse("admin:index")
    today = {
        "title": "Today",
        "icon": "today",
        "link": index,
        "active": request.path == index,
        "badge": "",
        "items": [],
    }
    shown = [(area, [page for page in area.pages if page.is_open and page.is_shown_to(request)]) for area in AREAS]
    return [today, *(_entry(area, pages, request) for area, pages in shown if pages)]


def _entry(area: Area, pages: list[Page], request: HttpRequest) -> dict[str, Any]:
    current = area_of(request.path)
    shown = max((page.address for page in pages if request.path.startswith(page.address)), key=len, default="")
    return {
        "title": area.title,
        "icon": area.icon,
        "link": pages[0].address,
        "active": current is area,
        "badge": open_records_if_known() if area.title == "Quarantine" else "",
        "items": [{"title": page.label, "link": page.address, "active": page.address == shown} for page in pages],
    }


def area_of(address: str) -> Area | None:
    """The area of a page, by its address."""
    pages = ((area, page) for area in AREAS for page in area.pages if page.is_open)
    return next((area for area, page in pages if address.startswith(page.address)), None)


def areas(found: list[Any]) -> list[dict[str, Any]]:
    """Django's list of apps, sorted into the areas; what belongs to none comes last."""
    models = {f"{app['app_label']}.{model['object_name']}": model for app in found for model in app["models"]}
    sorted_out = [
        (area.title, [models.pop(page.model) for page in area.pages if page.model in models]) for area in AREAS
    ]
    return [
        {
            "name": name,
            "app_label": slugify(name),
            "app_url": f"{reverse('admin:index')}#{slugify(name)}",
            "has_module_perms": True,
            "models": listed,
        }
        for name, listed in [*sorted_out, ("Other", list(models.values()))]
        if listed
    ]
