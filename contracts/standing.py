"""Who stands on which version of a plan: today, and how they came to."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db.models import Count, F, Q, QuerySet

from catalog.auditing import name_of
from catalog.models import PlanVersion
from contracts.models import Contract, ContractLine, ContractStatus, Customer

MOVED = "Moved to {version} on "


@dataclass(frozen=True, slots=True)
class Standing:
    """How much stands on a version on a day."""

    lines: int = 0
    contracts: int = 0
    customers: int = 0


@dataclass(frozen=True, slots=True)
class Move:
    """A contract that was moved to a version: when and by whom, from which versions, from which day on."""

    at: dt.datetime
    by: str
    contract: Contract
    on: dt.date
    came_from: tuple[str, ...]
    reason: str


def running(day: dt.date) -> QuerySet[ContractLine]:
    """The lines of approved contracts that run on a day."""
    return (
        ContractLine.objects.in_force()
        .filter(contract__status=ContractStatus.APPROVED, starts_on__lte=day)
        .filter(Q(ends_on__isnull=True) | Q(ends_on__gt=day))
        .filter(Q(contract__ends_on__isnull=True) | Q(contract__ends_on__gt=day))
    )


def standing_on(versions: Iterable[int], day: dt.date) -> dict[int, Standing]:
    """Version (id) -> what stands on it that day; a version on which nothing stands is there, too. One query."""
    wanted = list(versions)
    rows = (
        running(day)
        .filter(plan_version__in=wanted)
        .order_by()
        .values("plan_version")
        .annotate(
            lines=Count("pk"),
            contracts=Count("contract", distinct=True),
            customers=Count("contract__customer", distinct=True),
        )
    )
    found = {row["plan_version"]: Standing(row["lines"], row["contracts"], row["customers"]) for row in rows}
    return {pk: found.get(pk, Standing()) for pk in wanted}


def customers_on(versions: Iterable[int], day: dt.date) -> dict[int, list[Customer]]:
    """Version (id) -> the customers with a contract that stands on it that day, by name. One query."""
    rows = (
        running(day)
        .filter(plan_version__in=list(versions))
        .order_by("contract__customer__name", "contract__customer")
        .select_related("contract__customer")
    )
    found: dict[int, dict[int, Customer]] = defaultdict(dict)
    for row in rows:
        found[row.plan_version_id][row.contract.customer_id] = row.contract.customer
    return {pk: list(customers.values()) for pk, customers in found.items()}


def standing_contracts(version: int, day: dt.date) -> QuerySet[Contract]:
    """The contracts with a line on the version that day."""
    return Contract.objects.filter(pk__in=running(day).filter(plan_version=version).values("contract"))


def moves_to(version: PlanVersion, most: int) -> list[Move]:
    """The latest moves of contracts to a version, from the histories of their lines. Three queries."""
    history = ContractLine.history
    made = list(
        history.filter(
            plan_version=version.pk,
            history_type="+",
            history_change_reason__startswith=MOVED.format(version=version),
        )
        .select_related("history_user")
        .order_by("-history_date", "-history_id")[:most]
    )
    contracts = Contract.objects.select_related("customer").in_bulk({row.contract_id for row in made})
    left = _left(version, made)
    return [
        Move(
            at=row.history_date,
            by=name_of(row.history_user),
            contract=contracts[row.contract_id],
            on=row.starts_on,
            came_from=tuple(sorted(left[row.contract_id, row.history_date])),
            reason=row.history_change_reason,
        )
        for row in made
        if row.contract_id in contracts
    ]


def _left(version: PlanVersion, made: Sequence[ContractLine]) -> dict[tuple[int, dt.datetime], set[str]]:
    """(contract, when) -> the versions of the lines that a move has superseded."""
    rows = ContractLine.objects.filter(
        contract__in={row.contract_id for row in made},
        superseded_at__in={row.history_date for row in made},  # type: ignore[attr-defined]
        plan_version__plan=version.plan_id,
    ).exclude(plan_version=version)
    left: dict[tuple[int, dt.datetime], set[str]] = defaultdict(set)
    for row in rows.annotate(plan_key=F("plan_version__plan__key"), number=F("plan_version__number")):
        assert row.superseded_at is not None
        left[row.contract_id, row.superseded_at].add(f"{row.plan_key}@{row.number}")
    return left
