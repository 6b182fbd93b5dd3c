"""`POST plans/{key}/versions/{number}/migrate`: contracts moved to a version, with what that changes in money."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from django.http import HttpResponse
from django.urls import path
from django.utils import timezone
from rest_framework.request import Request

from billing.invoicing.shadow import Migration, Shadow, migrate
from billing.rating.statement import Statement
from catalog.models import PlanVersion
from catalog.money import exact_sum, money_text
from catalog.periods import local_date
from catalog.pricing import FieldError
from contracts.models import Contract
from contracts.moving import movable
from revops.api import catalog_shapes as shapes
from revops.api.calls import call
from revops.api.deeds import deed
from revops.api.door import answer
from revops.api.plan_versions import NO_VERSION, Number, VersionShelf
from revops.api.plans import PlanKey
from revops.api.problems import Problem
from revops.api.shelves import refusal, refused, writing
from revops.models import Scope

MOST_NAMED = 1000


@dataclass(frozen=True, kw_only=True)
class MigrationWords:
    """`contracts`, or `all` that are in the version's currency and on another version of the plan on the day."""

    on: dt.date
    contracts: tuple[str, ...] | None = None
    all: bool | None = None
    dry_run: bool = False


class Migrate(VersionShelf):
    @call(
        Scope.CONTRACTS_WRITE,
        "Move contracts to a version",
        is_deed=True,
        answers=shapes.Migration,
        example=shapes.MIGRATION,
        sends={"contracts": ["G-1"], "on": "2026-07-01", "dry_run": True},
        refuses=[
            NO_VERSION,
            refused("contracts[0]", "unknown", "there is no contract G-1"),
            refused("contracts[0].status", "invalid", "G-1 is not approved yet; edit the draft"),
            refused("contracts[0].lines[0].version", "unsold", "translate@2 is draft; publish it"),
        ],
    )
    def post(self, request: Request, key: PlanKey, number: Number, sent: MigrationWords) -> HttpResponse:
        """From the day `on`, the contracts' lines of the plan stand on this version: all of them or, where one cannot,
        none. A day in the past is adjusted on the next invoice.

        For each contract, `delta` is what its last closed period would have cost with this version over all of it,
        minus what it costs as it stands, before tax; null where no period is closed yet. With `dry_run` nothing is
        stored, the version need not be published yet, and `refused` says what would be in the way.
        """
        at = timezone.now()

        def done() -> HttpResponse:
            with writing(request, at, conflict=True) as load:
                version = self.rows().filter(plan__key=key, number=number).first()
                if version is None:
                    raise self.absent(plan__key=key, number=number)
                contracts = chosen(sent, version)
                made = migrate(contracts, version, sent.on, dry_run=sent.dry_run, at=at, by=load.by)
            return answer(migration_json(made, version, sent))

        return deed(request, at, done)


def chosen(sent: MigrationWords, version: PlanVersion) -> list[int]:
    """The ids of the contracts that are meant, in their order. Raises Problem (400)."""
    if bool(sent.all) == bool(sent.contracts):
        raise bad("contracts", "invalid", "name `contracts`, or say `all`: one of the two")
    if sent.all:
        return list(movable(version, sent.on).order_by("number").values_list("pk", flat=True))
    numbers = sent.contracts or ()
    if len(numbers) > MOST_NAMED:
        raise bad("contracts", "too_many", f"at most {MOST_NAMED} contracts are named at once; say `all`, or in parts")
    known = dict(Contract.objects.filter(number__in=numbers).values_list("number", "pk"))
    errors = [
        FieldError(f"contracts[{index}]", *fault)
        for index, number in enumerate(numbers)
        if (fault := fault_in(number, numbers[:index], known))
    ]
    if errors:
        raise refusal(errors)
    return [known[number] for number in numbers]


def bad(path: str, code: str, detail: str) -> Problem:
    return refusal([FieldError(path, code, detail)])


def fault_in(number: str, before: Sequence[str], known: Mapping[str, int]) -> tuple[str, str] | None:
    if number in before:
        return "duplicate", f"{number} is there twice"
    return None if number in known else ("unknown", f"there is no contract {number}")


def migration_json(made: Migration, version: PlanVersion, sent: MigrationWords) -> dict[str, Any]:
    return {
        "plan": version.plan.key,
        "version": version.number,
        "on": sent.on,
        "dry_run": sent.dry_run,
        "contracts": [shadow_json(shadow) for shadow in made.shadows],
        "totals": totals(made.shadows),
        "refused": [asdict(fault) for fault in made.refused],
    }


def shadow_json(shadow: Shadow) -> dict[str, Any]:
    contract, period, zone = shadow.contract, shadow.period, shadow.agreement.zone
    return {
        "contract": contract.number,
        "customer": contract.customer.key,
        "currency": contract.currency,
        "period_start": period and local_date(period.starts_at, zone),
        "period_end": period and local_date(period.ends_at, zone),
        "before": money(shadow.before, contract.currency),
        "after": money(shadow.after, contract.currency),
        "delta": money(shadow.delta, contract.currency),
        "prices": list(prices(shadow)),
    }


def prices(shadow: Shadow) -> Iterable[dict[str, Any]]:
    """By price of a line, with its discounts; one-time terms have no price and stay as they are."""
    if shadow.live is None or shadow.candidate is None:
        return
    before, after = by_price(shadow.live), by_price(shadow.candidate)
    for line, price in {**before, **after}:
        yield {
            "line": line,
            "price": price,
            "before": money(before.get((line, price), Decimal(0)), shadow.contract.currency),
            "after": money(after.get((line, price), Decimal(0)), shadow.contract.currency),
        }


def by_price(statement: Statement) -> dict[tuple[str, str], Decimal]:
    found: dict[tuple[str, str], list[Decimal]] = defaultdict(list)
    for entry in statement.entries:
        if entry.price:
            found[entry.line, entry.price].append(entry.amount)
    return {key: exact_sum(amounts) for key, amounts in found.items()}


def totals(shadows: Sequence[Shadow]) -> list[dict[str, Any]]:
    """The sums of what was compared, by currency."""
    found: dict[str, list[tuple[Decimal, Decimal]]] = defaultdict(list)
    for shadow in shadows:
        if shadow.before is not None and shadow.after is not None:
            found[shadow.contract.currency].append((shadow.before, shadow.after))
    return [
        {
            "currency": currency,
            "before": money(before := exact_sum(one for one, _ in both), currency),
            "after": money(after := exact_sum(one for _, one in both), currency),
            "delta": money(after - before, currency),
        }
        for currency, both in sorted(found.items())
    ]


def money(amount: Decimal | None, currency: str) -> str | None:
    return None if amount is None else money_text(amount, currency)


addresses = [path("plans/<str:key>/versions/<int:number>/migrate", Migrate.as_view(), name="migrate")]
