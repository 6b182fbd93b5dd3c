"""What open periods amount to so far: previews of the customers that are billed most.

A preview reads buckets and costs some milliseconds for each customer, so it is made for a dozen of them at most: those
with the largest of the latest invoices in each currency, the newest contracts where there are fewer.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from itertools import zip_longest
from typing import Any

from billing.invoicing.preview import UnableToPreview, previews
from billing.models import Invoice
from contracts.models import Contract, Customer

PREVIEWED = 12  # customers
LATEST = 1_000  # invoices that are looked at to find them


@dataclass(frozen=True, slots=True)
class OpenPeriods:
    """The next documents, the largest first in each currency; `others` is the number of customers left out."""

    documents: list[dict[str, Any]]  # the JSON of a preview, with `customer_id`, `customer_name` and `total` as Decimal
    failures: list[tuple[Customer, str]]
    others: int


def open_periods(at: dt.datetime) -> OpenPeriods:
    billed = Contract.objects.approved().order_by().values("customer_id").distinct().count()
    documents, failures = [], []
    customers = Customer.objects.in_bulk(most_billed())
    for customer in customers.values():
        try:
            found = previews(customer, at)
        except UnableToPreview as unable:
            failures.append((customer, str(unable)))
            continue
        documents += [
            {**one, "customer_id": customer.pk, "customer_name": str(customer), "total": Decimal(one["total"])}
            for one in found
        ]
    documents.sort(key=lambda one: (str(one["currency"]), -one["total"]))
    return OpenPeriods(documents, failures, max(billed - len(customers), 0))


def most_billed() -> list[int]:
    """The ids of a dozen customers with approved contracts, those whose latest invoices are the largest first."""
    approved = Contract.objects.approved()
    latest = Invoice.objects.invoices().issued().order_by("-pk").values_list("currency", "customer_id", "total")
    totals: dict[str, dict[int, Decimal]] = {}
    for currency, customer, total in latest[:LATEST]:
        totals.setdefault(currency, {}).setdefault(customer, total)
    # No exchange rate is known here: the largest of each currency, then the second of each, and so on.
    ranked = [sorted(found, key=found.__getitem__, reverse=True) for found in totals.values()]
    in_turn = [customer for turn in zip_longest(*ranked) for customer in turn if customer is not None]
    standing = set(approved.filter(customer__in=in_turn[:LATEST]).values_list("customer_id", flat=True))
    newest = approved.order_by("-pk").values_list("customer_id", flat=True)[: PREVIEWED * 4]
    chosen = dict.fromkeys([*(one for one in in_turn if one in standing), *newest])
    return list(chosen)[:PREVIEWED]
