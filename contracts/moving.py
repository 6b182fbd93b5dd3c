"""Contracts moved to another version of a plan together: `lifecycle.move_to_version` for many.

Everything is read, checked and written in a number of queries that does not grow with the contracts.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from django.db import transaction
from django.db.models import QuerySet

from catalog.auditing import Actor, save_signed, sign
from catalog.models import PlanVersion
from catalog.pricing import FieldError
from contracts.checking import Surroundings, faults
from contracts.drafts import TermsDraft, terms_by_contract
from contracts.lifecycle import (
    Signature,
    UnableToAmend,
    demand_approved,
    difference,
    replace_rows,
    said,
    terms_on,
)
from contracts.models import Contract, ContractLine, Customer


def move_all(
    contracts: Sequence[int], version: PlanVersion, on: dt.date, *, at: dt.datetime, by: Actor = None
) -> list[Contract]:
    """`move_to_version` for many contracts (ids), all or none, in a number of queries that does not grow with them.

    Raises UnableToAmend, with paths as in `contracts[3].lines[0].version`.
    """
    with transaction.atomic():
        found = _locked_all(contracts)
        moved, errors = _moves(found, version, on)
        if errors:
            raise UnableToAmend(errors)
        _store_lines(moved, Signature(at, by, said(f"Moved to {version} on {on}", by)))
    return found


def move_faults(contracts: Sequence[int], version: PlanVersion, on: dt.date) -> list[FieldError]:
    """What `move_all` would be refused for now."""
    rows = Contract.objects.select_related("customer", "seller").in_bulk(contracts)
    return _moves([rows[pk] for pk in contracts if pk in rows], version, on)[1]


def movable(version: PlanVersion, on: dt.date) -> QuerySet[Contract]:
    """Approved contracts in the version's currency with a line, running on the day, on another version of its plan."""
    lines = (
        ContractLine.objects.in_force()
        .filter(plan_version__plan=version.plan_id, starts_on__lte=on)
        .exclude(plan_version=version)
        .exclude(ends_on__lte=on)
    )
    rows = Contract.objects.approved().filter(currency=version.currency, pk__in=lines.values("contract"))
    return rows.exclude(ends_on__lte=on)


Moves = list[tuple[Contract, TermsDraft]]


def _moves(contracts: Sequence[Contract], version: PlanVersion, on: dt.date) -> tuple[Moves, list[FieldError]]:
    """The contracts with the terms each would have, and what is in the way of the others."""
    terms, surroundings = terms_by_contract(contracts), Surroundings()
    surroundings.read({contract.customer_id for contract in contracts})
    moved: Moves = []
    errors: list[FieldError] = []
    for index, contract in enumerate(contracts):
        try:
            demand_approved(contract)
            after = terms_on(contract, terms[contract.pk], version, on)
            if wrong := faults(contract, after, surroundings):
                raise UnableToAmend(wrong)
        except UnableToAmend as unable:
            errors += [FieldError(f"contracts[{index}].{one.path}", one.code, one.detail) for one in unable.errors]
        else:
            surroundings.amend(contract, after)
            moved.append((contract, after))
    return moved, errors


def _store_lines(moved: Moves, signature: Signature) -> None:
    rows: dict[int, list[ContractLine]] = {contract.pk: [] for contract, _ in moved}
    for row in ContractLine.objects.in_force().filter(contract__in=list(rows)).select_related("plan_version__plan"):
        rows[row.contract_id].append(row)
    changes = [difference(contract, rows[contract.pk], terms.lines) for contract, terms in moved]
    replace_rows([row for gone, _ in changes for row in gone], [row for _, new in changes for row in new], signature)
    for contract, _ in moved:
        contract.revision += 1
        sign(contract, signature.at, signature.by, signature.reason)
    save_signed([contract for contract, _ in moved], ["revision"])


def _locked_all(contracts: Sequence[int]) -> list[Contract]:
    """The rows and their customers under lock, in the order of the ids; the locks are taken in that of the keys."""
    rows = Contract.objects.select_for_update(of=("self",), no_key=True).select_related("seller")
    found = {row.pk: row for row in rows.filter(pk__in=contracts).order_by("pk")}
    customers = Customer.objects.select_for_update(no_key=True).order_by("pk")
    by_key = {row.pk: row for row in customers.filter(pk__in={row.customer_id for row in found.values()})}
    for row in found.values():
        row.customer = by_key[row.customer_id]
    return [found[pk] for pk in contracts if pk in found]
