"""What the terms of a contract are to be, comparable with what they are."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from catalog.models import PlanVersion
from contracts.models import Contract, ContractLine, Discount, OneTimeTerm


@dataclass(frozen=True, slots=True)
class LineDraft:
    """One plan version over days; `ends_on` is the first day out, None: as long as the contract."""

    plan_version: PlanVersion
    starts_on: dt.date
    ends_on: dt.date | None = None
    quantity: Decimal = Decimal(1)
    key: str = ""

    @property
    def line_key(self) -> str:
        """The key that survives amendments: the plan's, unless the line has its own."""
        return self.key or self.plan_version.plan.key

    @classmethod
    def of(cls, row: ContractLine) -> LineDraft:
        return cls(row.plan_version, row.starts_on, row.ends_on, row.quantity, row.key)

    def row(self, contract: Contract, position: int) -> ContractLine:
        return ContractLine(
            contract=contract,
            key=self.line_key,
            plan_version=self.plan_version,
            quantity=self.quantity,
            starts_on=self.starts_on,
            ends_on=self.ends_on,
            position=position,
        )


@dataclass(frozen=True, slots=True)
class DiscountDraft:
    """A percentage, or an amount for each billing period; no prices named: on everything in the period."""

    kind: str
    value: Decimal
    starts_on: dt.date
    ends_on: dt.date | None = None
    applies_to: tuple[str, ...] = ()
    key: str = ""

    @classmethod
    def of(cls, row: Discount) -> DiscountDraft:
        return cls(row.kind, row.value, row.starts_on, row.ends_on, tuple(row.applies_to), row.key)

    def row(self, contract: Contract, position: int) -> Discount:
        return Discount(
            contract=contract,
            key=self.key,
            kind=self.kind,
            value=self.value,
            applies_to=list(self.applies_to),
            starts_on=self.starts_on,
            ends_on=self.ends_on,
            position=position,
        )


@dataclass(frozen=True, slots=True)
class OneTimeDraft:
    """An amount charged once on a day; below zero a credit."""

    key: str
    description: str
    amount: Decimal
    on: dt.date

    @classmethod
    def of(cls, row: OneTimeTerm) -> OneTimeDraft:
        return cls(row.key, row.description, row.amount, row.on)

    def row(self, contract: Contract, position: int) -> OneTimeTerm:
        return OneTimeTerm(
            contract=contract, key=self.key, description=self.description, amount=self.amount, on=self.on
        )


@dataclass(frozen=True, slots=True)
class TermsDraft:
    """All terms of a contract. Build it with `terms_draft`, which gives lines and discounts their keys."""

    lines: tuple[LineDraft, ...]
    discounts: tuple[DiscountDraft, ...] = ()
    one_time: tuple[OneTimeDraft, ...] = ()


def terms_draft(
    lines: Sequence[LineDraft],
    discounts: Sequence[DiscountDraft] = (),
    one_time: Sequence[OneTimeDraft] = (),
) -> TermsDraft:
    """The terms with stable keys: a line's from its plan, a discount's from its place in the list."""
    return TermsDraft(
        tuple(
            LineDraft(line.plan_version, line.starts_on, line.ends_on, line.quantity, line.line_key) for line in lines
        ),
        tuple(
            DiscountDraft(
                one.kind,
                one.value,
                one.starts_on,
                one.ends_on,
                one.applies_to,
                one.key or f"discount-{place}",
            )
            for place, one in enumerate(discounts, 1)
        ),
        tuple(one_time),
    )


def terms_of(contract: Contract) -> TermsDraft:
    """The terms in force on a stored contract."""
    return terms_by_contract([contract])[contract.pk]


def terms_by_contract(contracts: Sequence[Contract]) -> dict[int, TermsDraft]:
    """The terms in force on stored contracts, by the contract's id."""
    if not contracts:
        return {}
    kept: dict[int, tuple[list[Any], list[Any], list[Any]]] = {contract.pk: ([], [], []) for contract in contracts}
    kinds: tuple[tuple[Any, Any], ...] = (
        (LineDraft, ContractLine.objects.select_related("plan_version__plan")),
        (DiscountDraft, Discount.objects),
        (OneTimeDraft, OneTimeTerm.objects),
    )
    for place, (draft, rows) in enumerate(kinds):
        for row in rows.filter(contract__in=list(kept), superseded_at__isnull=True):
            kept[row.contract_id][place].append(draft.of(row))
    return {pk: TermsDraft(tuple(of), tuple(less), tuple(once)) for pk, (of, less, once) in kept.items()}
