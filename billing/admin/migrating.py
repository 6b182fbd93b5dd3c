"""Contracts moved to a version by hand: chosen, tried without storing anything, then moved, all or none.

What is confirmed are the contracts that the trial showed, so nobody comes along who was not looked at.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django import forms
from django.db.models import Q, QuerySet

from billing.invoicing.shadow import Migration, Shadow, migrate
from catalog.auditing import Actor
from catalog.deeds import DayField
from catalog.models import PlanVersion
from catalog.money import ZERO, exact_sum
from catalog.periods import local_date
from catalog.pricing import FieldError
from contracts.models import Contract, ContractLine
from contracts.moving import movable

PERMISSION = "contracts.migrate_contract"
LISTED = 300
SHOWN = 100


class DayForm(forms.Form):
    on = DayField(label="From", help_text="Their first day at the new prices; a day in the past is adjusted.")
    q = forms.CharField(label="Only", required=False, max_length=200, help_text="A contract's number, or a customer.")


@dataclass(frozen=True, slots=True)
class Choice:
    """A contract that can be chosen, and the versions its lines of the plan stand on that day."""

    contract: Contract
    stands_on: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Trial:
    """What moving contracts would change, in one currency: the largest changes, and the sums of all."""

    shadows: list[Shadow]
    refused: list[tuple[Contract, list[str]]]
    currency: str
    shown: list[dict[str, Any]] = field(default_factory=list)
    left_off: int = 0

    @property
    def movable(self) -> list[int]:
        return [shadow.contract.pk for shadow in self.shadows]

    @property
    def before(self) -> Decimal:
        return exact_sum(one.before for one in self.shadows if one.before is not None)

    @property
    def after(self) -> Decimal:
        return exact_sum(one.after for one in self.shadows if one.after is not None)

    @property
    def delta(self) -> Decimal:
        return self.after - self.before

    @property
    def without_period(self) -> int:
        return sum(one.delta is None for one in self.shadows)

    @property
    def dearer(self) -> int:
        return sum(one.delta is not None and one.delta > 0 for one in self.shadows)

    @property
    def cheaper(self) -> int:
        return sum(one.delta is not None and one.delta < 0 for one in self.shadows)


def candidates(version: PlanVersion, on: dt.date, words: str = "") -> QuerySet[Contract]:
    """The contracts that can be chosen for a move on a day, by number."""
    rows = movable(version, on).select_related("customer").order_by("number")
    if words:
        rows = rows.filter(
            Q(number__icontains=words) | Q(customer__key__icontains=words) | Q(customer__name__icontains=words)
        )
    return rows


def choices(version: PlanVersion, on: dt.date, contracts: Sequence[Contract]) -> list[Choice]:
    """The contracts with the versions they stand on. One query."""
    lines = (
        ContractLine.objects.in_force()
        .filter(contract__in=contracts, plan_version__plan=version.plan_id, starts_on__lte=on)
        .exclude(ends_on__lte=on)
        .select_related("plan_version__plan")
        .order_by("plan_version__number")
    )
    found: dict[int, dict[str, None]] = defaultdict(dict)
    for line in lines:
        found[line.contract_id][str(line.plan_version)] = None
    return [Choice(contract, tuple(found[contract.pk])) for contract in contracts]


def elsewhere(version: PlanVersion, on: dt.date) -> int:
    """How many contracts on other versions of the plan are billed in another currency, so that they cannot move."""
    lines = (
        ContractLine.objects.in_force()
        .filter(plan_version__plan=version.plan_id, starts_on__lte=on)
        .exclude(plan_version=version)
        .exclude(ends_on__lte=on)
    )
    rows = Contract.objects.approved().filter(pk__in=lines.values("contract")).exclude(currency=version.currency)
    return rows.exclude(ends_on__lte=on).count()


def trial(contracts: Sequence[int], version: PlanVersion, on: dt.date, at: dt.datetime) -> Trial:
    """What moving the contracts (ids) would change; nothing is stored. Raises UnableToCompare."""
    return read(migrate(contracts, version, on, dry_run=True, at=at), contracts, version)


def move(contracts: Sequence[int], version: PlanVersion, on: dt.date, at: dt.datetime, by: Actor) -> int:
    """Move them, all or none; how many. Raises UnableToCompare, UnableToAmend."""
    return len(migrate(contracts, version, on, at=at, by=by).shadows)


def read(made: Migration, contracts: Sequence[int], version: PlanVersion, most: int = SHOWN) -> Trial:
    """A migration as its page shows it: who can move by the size of the change, who cannot and why.

    That a version is not published yet is said once, and is in nobody's way here.
    """
    faults = by_contract(one for one in made.refused if one.code != "unsold" or version.is_frozen)
    able = [one for index, one in enumerate(made.shadows) if index not in faults]
    refused = [(made.shadows[index].contract, why) for index, why in sorted(faults.items())]
    return Trial(
        shadows=able,
        refused=refused,
        currency=version.currency,
        shown=[row_of(one) for one in largest(able, most)],
        left_off=max(len(able) - most, 0),
    )


def largest(shadows: Iterable[Shadow], most: int) -> list[Shadow]:
    """Those whose bill changes the most, the largest change first; those without a closed period last."""
    return sorted(shadows, key=size)[:most]


def size(shadow: Shadow) -> tuple[bool, Decimal, str]:
    return shadow.delta is None, -abs(shadow.delta or ZERO), shadow.contract.number


def row_of(shadow: Shadow) -> dict[str, Any]:
    """A contract's last closed period, with its days as its zone has them."""
    period, zone = shadow.period, shadow.agreement.zone
    return {
        "contract": shadow.contract,
        "period_start": period and local_date(period.starts_at, zone),
        "period_end": period and local_date(period.ends_at, zone),
        "before": shadow.before,
        "after": shadow.after,
        "delta": shadow.delta,
    }


def by_contract(errors: Iterable[FieldError]) -> Mapping[int, list[str]]:
    """Place of a contract among those asked for -> what is in its way, from paths like `contracts[3].lines[0].plan`."""
    found: dict[int, list[str]] = defaultdict(list)
    for error in errors:
        place = error.path.partition("[")[2].partition("]")[0]
        if error.detail not in found[int(place)]:
            found[int(place)].append(error.detail)
    return found
