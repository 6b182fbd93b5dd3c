"""What open periods amount to so far: previews of the contracts of the customers that are billed most.

A preview reads buckets and rates them, so it is made for a dozen customers at most: those with the largest of the
latest invoices in each currency, the newest contracts where there are fewer.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from itertools import zip_longest

from billing.invoicing.preview import preview_contracts
from billing.models import Invoice
from contracts.models import Contract

PREVIEWED = 12  # customers
CONTRACTS = 40  # of them, the newest first
LATEST = 1_000  # invoices that are looked at to find them


@dataclass(frozen=True, slots=True)
class OpenPeriods:
    """The next documents, by currency, the largest first; `others` is the number of customers left out."""

    documents: list[Invoice]  # not stored
    faults: list[str]  # why a contract has none
    others: int


def open_periods(at: dt.datetime) -> OpenPeriods:
    """The number of queries is that of one preview and four more, whatever the number of contracts."""
    approved = Contract.objects.approved()
    customers = most_billed()
    contracts = list(approved.filter(customer__in=customers).order_by("-pk").values_list("pk", flat=True)[:CONTRACTS])
    previews, faults = preview_contracts(contracts, at)
    documents = sorted((one.document for one in previews), key=lambda one: (one.currency, -one.total))
    billed = approved.order_by().values("customer_id").distinct().count()
    return OpenPeriods(documents, faults, billed - len(customers))


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
