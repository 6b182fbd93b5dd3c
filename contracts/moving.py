"""Contracts moved to another version of a plan together: `lifecycle.move_to_version` for many.

Everything is read, checked and written in a number of queries that does not grow with the contracts.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from django.db import transaction
from django.db.models import QuerySet

from catalog.auditing import Actor
from catalog.models import PlanVersion
from catalog.pricing import FieldError
from contracts.checking import Surroundings, faults
from contracts.drafts import terms_by_contract
from contracts.lifecycle import Signature, UnableToAmend, demand_approved, said, terms_on
from contracts.models import Contract, ContractLine
from contracts.together import Changes, locked_together, store_together


def move_all(
    contracts: Sequence[int], version: PlanVersion, on: dt.date, *, at: dt.datetime, by: Actor = None
) -> list[Contract]:
    """`move_to_version` for many contracts (ids), all or none, in a number of queries that does not grow with them.

    Raises UnableToAmend, with paths as in `contracts[3].lines[0].version`.
    """
    with transaction.atomic():
        found = locked_together(contracts)
        moved, errors = _moves(found, version, on)
        if errors:
            raise UnableToAmend(errors)
        store_together(moved, Signature(at, by, said(f"Moved to {version} on {on}", by)))
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


def _moves(contracts: Sequence[Contract], version: PlanVersion, on: dt.date) -> tuple[Changes, list[FieldError]]:
    """The contracts with the terms each would have, and what is in the way of the others."""
    terms, surroundings = terms_by_contract(contracts), Surroundings()
    surroundings.read({contract.customer_id for contract in contracts})
    moved: Changes = []
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
