"""What changed about a customer, from every history it is part of: the latest first, a bounded number of each."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Q
from django.urls import reverse

from billing.models import Correction, CorrectionKind, Invoice
from catalog.wording import money_words
from contracts.models import Contact, Contract, Customer, CustomerAlias

EACH = 20
SHOWN = 30
CORRECTIONS_READ = 200

VERBS = {"+": "added", "~": "changed", "-": "removed"}


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that happened: when, who, what, why, and where to look."""

    at: dt.datetime
    by: str
    what: str
    why: str = ""
    link: str = ""


def timeline_of(customer: Customer, contracts: Sequence[int], user: Any) -> list[Change]:
    """The latest changes of the customer, its names, contacts, contracts, documents and events that a user may see.

    Six queries at most.
    """
    found = list(_histories(customer, contracts))
    if user.has_perm("billing.view_invoice"):
        found += _documents(customer)
    if user.has_perm("billing.view_correction"):
        found += _corrections(customer)
    return sorted(found, key=lambda one: one.at, reverse=True)[:SHOWN]


def _histories(customer: Customer, contracts: Sequence[int]) -> Iterable[Change]:
    histories: list[tuple[Any, Any]] = [
        (Customer, {"id": customer.pk}),
        (CustomerAlias, {"customer_id": customer.pk}),
        (Contact, {"customer_id": customer.pk}),
        (Contract, {"id__in": contracts}),
    ]
    for model, mine in histories:
        rows = model.history.filter(**mine).select_related("history_user").order_by("-history_date", "-history_id")
        for row in rows[:EACH]:
            yield Change(
                at=row.history_date,
                by=str(row.history_user or ""),
                what=_said(model, row),
                why=row.history_change_reason or "",
                link=_address(model, row),
            )


def _said(model: Any, row: Any) -> str:
    if model is Contract:
        status = f", {row.get_status_display()}" if row.history_type != "-" else ""
        return f"Contract {row.number} {VERBS[row.history_type]}{status}"
    if model is CustomerAlias:
        return f"Subject {row.subject} {VERBS[row.history_type]}"
    if model is Contact:
        return f"Contact {row.email} {VERBS[row.history_type]}"
    return f"Customer {VERBS[row.history_type]}"


def _address(model: Any, row: Any) -> str:
    if model is not Contract or row.history_type == "-":
        return ""
    return reverse("admin:contracts_contract_change", args=[row.id])


def _documents(customer: Customer) -> Iterable[Change]:
    rows = Invoice.objects.filter(customer=customer).filter(Q(issued_at__isnull=False)).order_by("-pk")
    for document in rows[:EACH]:
        link = reverse("admin:billing_invoice_change", args=[document.pk])
        amount = money_words(document.total, document.currency)
        if document.issued_at is not None:
            yield Change(document.issued_at, document.issued_by, f"{document} issued, {amount}", link=link)
        if document.voided_at is not None:
            yield Change(document.voided_at, document.voided_by, f"{document} voided", document.void_reason, link)


def _corrections(customer: Customer) -> Iterable[Change]:
    """Corrections of one kind that were made at once, for one reason, are one change."""
    rows = Correction.objects.filter(customer_id=customer.pk).order_by("-occurred_at")[:CORRECTIONS_READ]
    together: dict[tuple[dt.datetime, str, str, str], list[Correction]] = defaultdict(list)
    for row in rows:
        together[row.made_at, row.kind, row.reason, row.made_by].append(row)
    for (made_at, kind, reason, made_by), ones in together.items():
        verb = "taken back" if kind == CorrectionKind.VOID else "replaced"
        which = f"Event {ones[0].event_id[:60]}" if len(ones) == 1 else f"{len(ones)} events"
        yield Change(made_at, made_by, f"{which} {verb}", reason)
