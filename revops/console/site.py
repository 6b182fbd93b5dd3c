"""The admin site: its name, and an index in the order of the work."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.urls import reverse
from django.utils.text import slugify

# What a person does, from selling to being paid: each group lists models as app_label.ObjectName.
GROUPS = (
    (
        "Catalog",
        ("catalog.Plan", "catalog.PlanVersion", "catalog.Price", "catalog.Meter", "catalog.Feature",
         "catalog.TaxRate", "catalog.Seller"),
    ),
    (
        "Customers and contracts",
        ("contracts.Customer", "contracts.Contract", "contracts.ContractLine", "contracts.Discount",
         "contracts.OneTimeTerm", "contracts.CustomerAlias", "contracts.Contact"),
    ),
    (
        "Usage",
        ("billing.Source", "billing.Receipt", "billing.ReceiptCount", "billing.Correction", "billing.UsageClock",
         "billing.Register"),
    ),
    ("Quarantine", ("quarantine.HeldRecord", "quarantine.Sighting")),
    (
        "Invoices",
        ("billing.Invoice", "billing.CreditNote", "billing.InvoiceLine", "billing.CreditUse", "billing.BillRun",
         "billing.BillRunFault", "billing.PeriodClose", "billing.NumberSeries"),
    ),
    ("People and keys", ("auth.User", "auth.Group", "revops.ApiKey", "revops.Deed")),
    ("Background work", ("django_q.Schedule", "django_q.OrmQ", "django_q.Success", "django_q.Failure")),
)  # fmt: skip


class Console(AdminSite):
    site_header = "Watertight"
    site_title = "Watertight"
    index_title = "Billing office"
    site_url = None  # this is the site

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """The index in groups; the page of one app stays Django's."""
        apps = super().get_app_list(request, app_label)
        if app_label is not None:
            return apps
        models = {f"{app['app_label']}.{model['object_name']}": model for app in apps for model in app["models"]}
        groups = [_group(name, [models.pop(key) for key in keys if key in models]) for name, keys in GROUPS]
        rest = _group("Other", list(models.values()))
        return [group for group in [*groups, rest] if group["models"]]


def _group(name: str, models: list[Any]) -> dict[str, Any]:
    label = slugify(name)
    return {
        "name": name,
        "app_label": label,
        "app_url": f"{reverse('admin:index')}#{label}",
        "has_module_perms": True,
        "models": models,
    }
