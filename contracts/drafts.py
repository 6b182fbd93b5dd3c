"""What the terms of a contract are to be, comparable with what they are."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from typing import Any, ClassVar, Protocol, Self

from django.db.models import QuerySet

from catalog.entitlements import EntitlementKind
from catalog.entitling import RolloverDraft, rollover_of
from catalog.models import PlanVersion, TaxBehavior
from contracts.models import (
    AllowanceTerm,
    Commitment,
    Contract,
    ContractLine,
    CreditGrant,
    Discount,
    OneTimeTerm,
    PriceOverride,
)


class TermDraft(Protocol):
    """One term of a contract: what it says, to compare, and the row that would say it."""

    manager: ClassVar[str]
    """Where a contract has its rows."""
    counts_by_place: ClassVar[bool]
    """Whether terms of this kind are taken in their order, so that a term's place is a part of it."""

    @classmethod
    def of(cls, row: Any) -> Self: ...

    def row(self, contract: Contract, position: int) -> Any: ...


@dataclass(frozen=True, slots=True)
class LineDraft:
    """One plan version over days; `ends_on` is the first day out, None: as long as the contract."""

    plan_version: PlanVersion
    starts_on: dt.date
    ends_on: dt.date | None = None
    quantity: Decimal = Decimal(1)
    key: str = ""
    uplift_percent: Decimal = Decimal(0)
    trial_days: int | None = None

    manager: ClassVar[str] = "lines"
    counts_by_place: ClassVar[bool] = False

    @property
    def line_key(self) -> str:
        """The key that survives amendments: the plan's, unless the line has its own."""
        return self.key or self.plan_version.plan.key

    @classmethod
    def of(cls, row: ContractLine) -> LineDraft:
        return cls(
            row.plan_version,
            row.starts_on,
            row.ends_on,
            row.quantity,
            row.key,
            row.uplift_percent,
            row.trial_days,
        )

    def row(self, contract: Contract, position: int) -> ContractLine:
        return ContractLine(
            contract=contract,
            key=self.line_key,
            plan_version=self.plan_version,
            quantity=self.quantity,
            starts_on=self.starts_on,
            ends_on=self.ends_on,
            uplift_percent=self.uplift_percent,
            trial_days=self.trial_days,
            position=position,
        )


@dataclass(frozen=True, slots=True)
class OverrideDraft:
    """Other numbers for one price of a line; `terms` are fields of a price, in the words of files."""

    line: str
    price: str
    terms: Mapping[str, Any]
    starts_on: dt.date
    ends_on: dt.date | None = None

    manager: ClassVar[str] = "overrides"
    counts_by_place: ClassVar[bool] = False

    @classmethod
    def of(cls, row: PriceOverride) -> OverrideDraft:
        return cls(row.line, row.price, row.terms, row.starts_on, row.ends_on)

    def row(self, contract: Contract, position: int) -> PriceOverride:
        return PriceOverride(
            contract=contract,
            line=self.line,
            price=self.price,
            terms=dict(self.terms),
            starts_on=self.starts_on,
            ends_on=self.ends_on,
        )


@dataclass(frozen=True, slots=True)
class DiscountDraft:
    """A percentage, or an amount or units for each billing period; no prices named: on everything in the period."""

    kind: str
    value: Decimal
    starts_on: dt.date
    ends_on: dt.date | None = None
    applies_to: tuple[str, ...] = ()
    key: str = ""
    total: Decimal | None = None

    manager: ClassVar[str] = "discounts"
    counts_by_place: ClassVar[bool] = True

    @classmethod
    def of(cls, row: Discount) -> DiscountDraft:
        return cls(row.kind, row.value, row.starts_on, row.ends_on, tuple(row.applies_to), row.key, row.total)

    def row(self, contract: Contract, position: int) -> Discount:
        return Discount(
            contract=contract,
            key=self.key,
            kind=self.kind,
            value=self.value,
            total=self.total,
            applies_to=list(self.applies_to),
            starts_on=self.starts_on,
            ends_on=self.ends_on,
            position=position,
        )


@dataclass(frozen=True, slots=True)
class CommitmentDraft:
    """What is spent at least, at most or ahead; `interval` empty: in each billing period."""

    kind: str
    starts_on: dt.date
    ends_on: dt.date | None = None
    amount: Decimal | None = None
    quantity: Decimal | None = None
    interval: str = ""
    overage_factor: Decimal | None = None
    true_up: bool = True
    prorate: bool = True
    applies_to: tuple[str, ...] = ()
    key: str = ""

    manager: ClassVar[str] = "commitments"
    counts_by_place: ClassVar[bool] = True

    @classmethod
    def of(cls, row: Commitment) -> CommitmentDraft:
        values = {one.name: getattr(row, one.name) for one in fields(cls)}
        return cls(**{**values, "applies_to": tuple(row.applies_to)})

    def row(self, contract: Contract, position: int) -> Commitment:
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return Commitment(contract=contract, position=position, **{**values, "applies_to": list(self.applies_to)})


@dataclass(frozen=True, slots=True)
class GrantDraft:
    """Credit, given away or paid for elsewhere."""

    kind: str
    amount: Decimal
    starts_on: dt.date
    expires_on: dt.date | None = None
    priority: int = 1
    applies_to: tuple[str, ...] = ()
    name: str = ""
    key: str = ""

    manager: ClassVar[str] = "credits"
    counts_by_place: ClassVar[bool] = True

    @classmethod
    def of(cls, row: CreditGrant) -> GrantDraft:
        values = {one.name: getattr(row, one.name) for one in fields(cls)}
        return cls(**{**values, "applies_to": tuple(row.applies_to)})

    def row(self, contract: Contract, position: int) -> CreditGrant:
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return CreditGrant(contract=contract, position=position, **{**values, "applies_to": list(self.applies_to)})


@dataclass(frozen=True, slots=True)
class AllowanceDraft:
    """A feature otherwise than the plans say, or beside them; None and empty: as they say."""

    feature: str
    starts_on: dt.date
    ends_on: dt.date | None = None
    kind: str = ""
    value: Any = None
    meter: str = ""
    limit: Decimal | None = None
    unlimited: bool = False
    extra: Decimal | None = None
    reset: str = ""
    on_limit: str = ""
    thresholds: tuple[int, ...] | None = None
    rollover: RolloverDraft | None = None
    reason: str = ""
    key: str = ""

    manager: ClassVar[str] = "entitlements"
    counts_by_place: ClassVar[bool] = True

    @property
    def own_kind(self) -> str:
        """What the feature is where no plan gives it."""
        if self.kind:
            return self.kind
        if self.meter or self.limit is not None or self.extra is not None or self.unlimited:
            return EntitlementKind.METERED
        is_switch = self.value is None or isinstance(self.value, bool)
        return EntitlementKind.BOOLEAN if is_switch else EntitlementKind.STATIC

    @classmethod
    def of(cls, row: AllowanceTerm) -> AllowanceDraft:
        values = {one.name: getattr(row, one.name) for one in fields(cls) if one.name != "rollover"}
        thresholds = None if row.thresholds is None else tuple(row.thresholds)
        return cls(**{**values, "thresholds": thresholds, "rollover": rollover_of(row)})

    def row(self, contract: Contract, position: int) -> AllowanceTerm:
        values = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "rollover"}
        rolls = self.rollover
        return AllowanceTerm(
            contract=contract,
            position=position,
            rollover_percent=rolls.percent if rolls else None,
            rollover_cap=rolls.cap if rolls else None,
            rollover_periods=rolls.periods if rolls else 1,
            **{**values, "thresholds": None if self.thresholds is None else sorted(self.thresholds)},
        )


@dataclass(frozen=True, slots=True)
class OneTimeDraft:
    """An amount charged once on a day; below zero a credit."""

    key: str
    description: str
    amount: Decimal
    on: dt.date
    tax_category: str = ""
    tax_behavior: str = TaxBehavior.EXCLUSIVE

    manager: ClassVar[str] = "one_time_terms"
    counts_by_place: ClassVar[bool] = False

    @classmethod
    def of(cls, row: OneTimeTerm) -> OneTimeDraft:
        return cls(row.key, row.description, row.amount, row.on, row.tax_category, row.tax_behavior)

    def row(self, contract: Contract, position: int) -> OneTimeTerm:
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return OneTimeTerm(contract=contract, **values)


@dataclass(frozen=True, slots=True)
class TermsDraft:
    """All terms of a contract, one field a kind. Build it with `terms_draft`, which gives each term its key."""

    lines: tuple[LineDraft, ...] = field(metadata={"draft": LineDraft})
    discounts: tuple[DiscountDraft, ...] = field(default=(), metadata={"draft": DiscountDraft})
    one_time: tuple[OneTimeDraft, ...] = field(default=(), metadata={"draft": OneTimeDraft})
    overrides: tuple[OverrideDraft, ...] = field(default=(), metadata={"draft": OverrideDraft})
    commitments: tuple[CommitmentDraft, ...] = field(default=(), metadata={"draft": CommitmentDraft})
    credits: tuple[GrantDraft, ...] = field(default=(), metadata={"draft": GrantDraft})
    entitlements: tuple[AllowanceDraft, ...] = field(default=(), metadata={"draft": AllowanceDraft})

    def each(self) -> Iterator[tuple[str, Sequence[Any]]]:
        """(kind, its terms), as they are named in files."""
        for name in KINDS:
            yield name, getattr(self, name)


KINDS: Mapping[str, type[TermDraft]] = {one.name: one.metadata["draft"] for one in fields(TermsDraft)}
"""The kinds of terms as files name them. Everything that stores, reads, amends or compares terms goes by this."""

SINGULAR = {
    "discounts": "discount",
    "commitments": "commitment",
    "credits": "credit",
    "entitlements": "entitlement",
}


def terms_draft(
    lines: Sequence[LineDraft],
    discounts: Sequence[DiscountDraft] = (),
    one_time: Sequence[OneTimeDraft] = (),
    **others: Sequence[Any],
) -> TermsDraft:
    """The terms with stable keys: a line's from its plan, a discount's or another's from its place in its list."""
    kinds = {"discounts": discounts, "one_time": one_time, **others}
    return TermsDraft(
        tuple(replace(line, key=line.line_key) for line in lines),
        **{name: tuple(_with_keys(name, terms)) for name, terms in kinds.items()},
    )


def _with_keys(name: str, terms: Sequence[Any]) -> Iterator[Any]:
    for place, one in enumerate(terms, 1):
        yield replace(one, key=f"{SINGULAR[name]}-{place}") if name in SINGULAR and not one.key else one


def terms_of(contract: Contract) -> TermsDraft:
    """The terms in force on a stored contract."""
    return terms_by_contract([contract])[contract.pk]


def terms_by_contract(contracts: Sequence[Contract]) -> dict[int, TermsDraft]:
    """The terms in force on stored contracts, by the contract's id."""
    if not contracts:
        return {}
    kept: dict[int, dict[str, list[Any]]] = {contract.pk: {name: [] for name in KINDS} for contract in contracts}
    for name, draft in KINDS.items():
        for row in rows_of(draft).filter(contract__in=list(kept), superseded_at__isnull=True):
            kept[row.contract_id][name].append(draft.of(row))
    return {pk: TermsDraft(**{name: tuple(terms) for name, terms in found.items()}) for pk, found in kept.items()}


def rows_of(draft: type[TermDraft]) -> QuerySet[Any]:
    """All rows of a kind of terms."""
    model: Any = Contract._meta.get_field(draft.manager).related_model
    rows: QuerySet[Any] = model._default_manager.all()
    return rows.select_related("plan_version__plan") if model is ContractLine else rows
