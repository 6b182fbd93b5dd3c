"""What many contracts share when they are changed together: their locks, and one writing for all.

Everything is read and written in a number of queries that does not grow with the contracts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from catalog.auditing import save_signed, sign
from contracts.drafts import KINDS, TermsDraft, rows_of
from contracts.lifecycle import Signature, difference, replace_rows
from contracts.models import Contract, Customer

Changes = list[tuple[Contract, TermsDraft]]
"""Contracts with the terms each is to have."""


def locked_together(contracts: Sequence[int]) -> list[Contract]:
    """The rows and their customers under lock, in the order of the ids; the locks are taken in that of the keys."""
    rows = Contract.objects.select_for_update(of=("self",), no_key=True).select_related("seller")
    found = {row.pk: row for row in rows.filter(pk__in=contracts).order_by("pk")}
    customers = Customer.objects.select_for_update(no_key=True).order_by("pk")
    by_key = {row.pk: row for row in customers.filter(pk__in={row.customer_id for row in found.values()})}
    for row in found.values():
        row.customer = by_key[row.customer_id]
    return [found[pk] for pk in contracts if pk in found]


def store_together(changes: Changes, signature: Signature, columns: Sequence[str] = ()) -> None:
    """Store terms of locked contracts, and the columns of their own that are named."""
    for name, kind in KINDS.items():
        rows: dict[int, list[Any]] = {contract.pk: [] for contract, _ in changes}
        for row in rows_of(kind).filter(contract__in=list(rows), superseded_at=None):
            rows[row.contract_id].append(row)
        found = [difference(contract, rows[contract.pk], getattr(terms, name)) for contract, terms in changes]
        replace_rows([row for gone, _ in found for row in gone], [row for _, new in found for row in new], signature)
    for contract, _ in changes:
        contract.revision += 1
        sign(contract, signature.at, signature.by, signature.reason)
    save_signed([contract for contract, _ in changes], ["revision", *columns])
