"""The page of one customer: who it is, what it uses and owes, its next documents as they stand, and what changed.

Reads buckets, never events, and a bounded number of rows of everything: it costs the same for a customer with a
thousand events or a billion.
"""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Count, Min, Prefetch, Sum

from billing.admin.allowances import bars_of
from billing.admin.customer_charts import charts_of
from billing.admin.invoice_page import grouped
from billing.admin.standing import credit_left, guessed, named, names_of, open_amounts
from billing.admin.timeline import timeline_of
from billing.invoicing.balances import balance_of, credit_notes, grants
from billing.invoicing.preview import Preview, preview_documents
from billing.invoicing.tracing import chains
from billing.models import Invoice, InvoiceStatus, Notice
from catalog.periods import Period
from contracts.models import ContractLine, ContractStatus, Customer

LATEST = 12  # documents shown
SHEETS = 6  # next documents shown with their lines; of more contracts, only what they come to


def overview_of(customer: Customer, at: dt.datetime, *, range_name: str, user: Any) -> dict[str, Any]:
    """Everything the page shows that a person may see, as of an instant."""
    lines = ContractLine.objects.in_force().select_related("plan_version__plan")
    contracts = list(
        customer.contracts.select_related("customer", "seller")
        .prefetch_related(Prefetch("lines", lines, to_attr="lines_in_force"))
        .order_by("-starts_on", "number")
    )
    zone = ZoneInfo(next((one.timezone_name() for one in contracts), customer.timezone or "UTC"))
    shown, faults = preview_documents(customer, at)
    context = {
        "customer": customer,
        "at": at,
        "zone": zone.key,
        "aliases": list(customer.aliases.order_by("subject")),
        "contacts": list(customer.contacts.order_by("email")),
        "contracts": contracts,
        "timeline": timeline_of(customer, [contract.pk for contract in contracts], user),
    }
    if user.has_perm("billing.view_invoice"):
        sheets = [sheet_of(one) for one in shown[:SHEETS]]
        context |= {"sheets": sheets, "more": [one.document for one in shown[SHEETS:]], "no_preview": faults}
        context |= documents_of(customer, at.astimezone(zone).date())
        context |= credit_of(customer, at)
    if user.has_perm("billing.view_notice"):
        context |= {
            "allowances": bars_of(customer, at),
            "notices": Notice.objects.filter(contract__in=contracts).exists(),
        }
    if user.has_perm("billing.view_bucket"):
        period = next((Period(one.document.period_starts_at, one.document.period_ends_at) for one in shown), None)
        context |= charts_of(customer, at, zone, range_name, period)
    if user.has_perm("quarantine.view_heldrecord"):
        context["held"] = held_groups(customer)
    return context


def sheet_of(preview: Preview) -> dict[str, Any]:
    """A preview as its invoice would be shown."""
    document = preview.document
    document.tax = [rate for rate in document.tax if rate["amount"] not in ("0", "0.00") or rate["code"]]
    return {
        "document": document,
        "groups": grouped(document, preview.lines, chains(preview.lines)),
        "drawn": preview.uses,
        "line_count": len(preview.lines),
    }


def documents_of(customer: Customer, today: dt.date) -> dict[str, Any]:
    """The latest documents with what is due on each, and what the customer owes in all, by currency."""
    latest = list(customer.invoices.select_related("contract").order_by("-pk")[:LATEST])
    return {
        "documents": [(document, *due_state(document, today)) for document in latest],
        "document_count": customer.invoices.count(),
        "credit_left": credit_left(customer),
        "owed": [(currency, owed, overdue or 0) for _, currency, owed, overdue in open_amounts([customer.pk], today)],
    }


def credit_of(customer: Customer, at: dt.datetime) -> dict[str, Any]:
    """The grants of its approved contracts, those with something left first, and its open credit notes."""
    rows = grants().filter(contract__customer=customer, contract__status=ContractStatus.APPROVED)
    balances = [balance_of(row, at) for row in rows.order_by("contract__number", "position", "pk")]
    return {
        "grants": sorted(balances, key=lambda one: one.state not in ("open", "not begun")),
        "open_notes": [
            (note, note.granted - (note.spent or 0))
            for note in credit_notes().filter(customer=customer).order_by("pk")
            if note.granted > (note.spent or 0)
        ],
    }


def due_state(document: Invoice, today: dt.date) -> tuple[str, str]:
    """How a document stands, as (tone, words): "overdue by 3 days"."""
    if document.status == InvoiceStatus.VOIDED:
        return "bad", "void"
    if document.status == InvoiceStatus.DRAFT:
        return "warn", "draft"
    if document.total < 0:
        return "good", "credit note"
    if not document.amount_due:
        return "good", "nothing due"
    if document.due_on is None:
        return "", "due"
    days = (document.due_on - today).days
    if days < 0:
        return "bad", f"overdue by {-days} day{'' if days == -1 else 's'}"
    return "", "due today" if not days else f"due in {days} day{'' if days == 1 else 's'}"


def held_groups(customer: Customer) -> list[dict[str, Any]]:
    """Held records that are or may be its own, by subject and reason: how many, since when, the money at risk."""
    names = names_of([customer])
    groups = []
    for rows, why in ((named(names), "one of its names"), (guessed([customer.key], names), "most likely")):
        found = (
            rows.order_by()
            .values("subject", "current_reason", "estimate__currency")
            .annotate(records=Count("pk"), since=Min("held_at"), at_risk=Sum("estimate__amount"))
            .order_by("-records")[:20]
        )
        groups += [{**group, "why": why, "reason": group["current_reason"].replace("_", " ")} for group in found]
    return groups
