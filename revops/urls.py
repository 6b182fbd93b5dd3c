"""Every address: the console under /admin/, the REST doors under /api/v1/."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from revops.api import (
    catalog,
    contracts,
    credits,
    customers,
    differing,
    entitlements,
    invoices,
    migrating,
    plan_versions,
    plans,
    problems,
    quarantine,
)
from revops.api.calculating import Calculate
from revops.api.corrections import Corrections
from revops.api.docs import docs
from revops.api.events import Events
from revops.api.health import healthz
from revops.api.lineage import LineEvents
from revops.api.schema import schema
from revops.api.usage import Preview, Usage

doors = [
    path("corrections", Corrections.as_view(), name="corrections"),
    path("events", Events.as_view(), name="events"),
    path("usage", Usage.as_view(), name="usage"),
    path("customers/<str:key>/preview", Preview.as_view(), name="preview"),
    path("invoices", invoices.Invoices.as_view(), name="invoices"),
    path("invoices/<int:id>", invoices.InvoiceDetail.as_view(), name="invoice"),
    path("invoices/<int:id>/document", invoices.InvoiceDocument.as_view(), name="invoice-document"),
    path("invoices/<int:id>/issue", invoices.IssueInvoice.as_view(), name="issue-invoice"),
    path("invoices/<int:id>/void", invoices.VoidInvoice.as_view(), name="void-invoice"),
    path("invoices/<int:id>/lines/<int:line>/events", LineEvents.as_view(), name="line-events"),
    path("calculate", Calculate.as_view(), name="calculate"),
    *catalog.addresses,
    *plans.addresses,
    *plan_versions.addresses,
    *differing.addresses,
    *migrating.addresses,
    *credits.addresses,
    *customers.addresses,
    *entitlements.addresses,
    *contracts.addresses,
    *quarantine.addresses,
]

urlpatterns = [
    path("", RedirectView.as_view(url="/admin/"), name="start"),
    path("healthz", healthz, name="healthz"),
    path("admin/", admin.site.urls),
    path("api/v1/", include((doors, "api"))),
    path("api/schema", schema, name="schema"),
    path("api/docs", docs, name="docs"),
]

handler400 = problems.bad_request
handler404 = problems.not_found
handler500 = problems.server_error
