"""What a unit of a meter probably costs: as the guessed customer pays, else as most customers do.

Everything is read at once for all customers and meters asked about; prices are values, and nothing is written.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from django.db import connection
from django.db.models import Count, Q

from billing.rating.charges import charge_increment
from billing.rating.parts import UnableToCharge
from catalog.models import PlanVersion, Price
from catalog.money import ZERO
from catalog.pricing import PriceRule
from contracts.models import ContractLine, ContractStatus
from contracts.queries import PriceBook


@dataclass(frozen=True, slots=True)
class Tariff:
    """What a plan version charges for one meter; `rules` are its prices of it, `basis` says whose version it is."""

    rules: tuple[PriceRule, ...]
    currency: str
    basis: str

    def cost(self, before: Decimal, quantity: Decimal) -> Decimal | None:
        """What `quantity` more costs after `before`, never below zero; None where the price needs single events."""
        try:
            more = [charge_increment(rule, before, quantity, None).amount for rule in self.rules]
        except UnableToCharge:
            return None
        return max(ZERO, sum(more, ZERO))


@dataclass(frozen=True, slots=True)
class _Line:
    """A contract line of a customer, as far as it says what a meter costs when."""

    starts_on: dt.date
    ends_on: dt.date | None
    version_id: int
    currency: str
    plan: str

    def covers(self, day: dt.date) -> bool:
        return self.starts_on <= day and (self.ends_on is None or day < self.ends_on)


class PriceGuide:
    """The tariffs of some customers (by id), and the commonest for everybody else."""

    def __init__(self, customer_ids: Iterable[int]) -> None:
        self.book = PriceBook()
        self.lines = _lines_of(set(customer_ids))
        self.commonest = _commonest_versions()
        versions = {line.version_id for lines in self.lines.values() for line in lines}
        self.book.load(versions | {version.pk for version in self.commonest.values()})
        self.known: dict[tuple[int, int, str, str], Tariff] = {}

    def tariff(self, customer_id: int | None, meter_id: int, day: dt.date) -> Tariff | None:
        """What the meter costs the customer on a day; None where nobody has a price for it."""
        lines = self.lines.get(customer_id, []) if customer_id is not None else []
        current = [line for line in lines if line.covers(day)] or lines[-1:]
        for line in current:
            found = self._of(line.version_id, meter_id, line.currency, f"as on its plan {line.plan}")
            if found.rules or len(current) == 1:
                return found
        version = self.commonest.get(meter_id)
        if version is None:
            return None
        basis = f"at the commonest price, of plan {version.plan.key} version {version.number}"
        return self._of(version.pk, meter_id, version.currency, basis)

    def _of(self, version_id: int, meter_id: int, currency: str, basis: str) -> Tariff:
        asked = version_id, meter_id, currency, basis
        found = self.known.get(asked)
        if found is None:
            prices = [price for price in self.book.of(version_id) if price.meter and price.meter.id == meter_id]
            found = self.known[asked] = Tariff(tuple(price.rule for price in prices), currency, basis)
        return found


def _lines_of(customer_ids: set[int]) -> dict[int, list[_Line]]:
    """The lines of approved contracts by customer, the latest last."""
    lines = (
        ContractLine.objects.in_force()
        .filter(contract__customer_id__in=customer_ids, contract__status=ContractStatus.APPROVED)
        .select_related("contract", "plan_version__plan")
        .order_by("starts_on", "pk")
    )
    found: dict[int, list[_Line]] = defaultdict(list)
    for line in lines:
        contract = line.contract
        ends = [day for day in (line.ends_on, contract.ends_on) if day is not None]
        plan = line.plan_version.plan.key
        found[contract.customer_id].append(
            _Line(line.starts_on, min(ends, default=None), line.plan_version_id, contract.currency, plan)
        )
    return found


def _commonest_versions() -> dict[int, PlanVersion]:
    """The version that prices each meter on most contracts; the latest of those that are equally common."""
    uses = Count(
        "version__contract_lines",
        filter=Q(
            version__contract_lines__superseded_at__isnull=True,
            version__contract_lines__contract__status=ContractStatus.APPROVED,
        ),
        distinct=True,
    )
    prices = (
        Price.objects.filter(meter__isnull=False, version__in=PlanVersion.objects.sold())
        .annotate(uses=uses)
        .select_related("version__plan")
        .order_by("uses", "version__published_at", "version_id")
    )
    return {price.meter_id: price.version for price in prices if price.meter_id is not None}


# Customer and meter, and the first day of a month in UTC.
UseKey = tuple[int, int, dt.date]

_USED = """
    SELECT asked.customer_id, asked.meter_id, asked.month, coalesce(sum(bucket.n), 0), coalesce(sum(bucket.total), 0)
    FROM unnest(%s::bigint[], %s::bigint[], %s::date[]) AS asked (customer_id, meter_id, month)
    LEFT JOIN billing_bucket bucket ON bucket.customer_id = asked.customer_id AND bucket.meter_id = asked.meter_id
        AND bucket.starts_at >= asked.month::timestamp AT TIME ZONE 'UTC'
        AND bucket.starts_at < (asked.month + interval '1 month') AT TIME ZONE 'UTC'
    GROUP BY 1, 2, 3
"""

_PER_EVENT = """
    SELECT asked.customer_id, asked.meter_id, sum(bucket.total) / nullif(sum(bucket.n), 0)
    FROM unnest(%s::bigint[], %s::bigint[]) AS asked (customer_id, meter_id)
    JOIN billing_bucket bucket ON bucket.customer_id = asked.customer_id AND bucket.meter_id = asked.meter_id
    GROUP BY 1, 2
"""


def used_in_months(asked: Iterable[UseKey]) -> Mapping[UseKey, tuple[int, Decimal]]:
    """Events and total of customers' meters in months, from the buckets; one query."""
    keys = sorted(set(asked))
    if not keys:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_USED, [list(column) for column in zip(*keys, strict=True)])
        return {(customer, meter, month): (int(n), total) for customer, meter, month, n, total in cursor.fetchall()}


def usual_values(asked: Iterable[tuple[int, int]]) -> Mapping[tuple[int, int], Decimal]:
    """What an event of a customer adds to a meter on average; one query. Without any events it is not there."""
    keys = sorted(set(asked))
    if not keys:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_PER_EVENT, [list(column) for column in zip(*keys, strict=True)])
        return {(customer, meter): mean for customer, meter, mean in cursor.fetchall() if mean is not None}
