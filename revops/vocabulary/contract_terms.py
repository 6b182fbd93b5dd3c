"""The terms of a contract as a file says them."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from catalog.entitling import RolloverDraft
from catalog.models import Plan, PlanVersion, TaxBehavior
from catalog.money import quantity_text
from catalog.pricing import FieldError
from contracts.drafts import (
    AllowanceDraft,
    CommitmentDraft,
    DiscountDraft,
    GrantDraft,
    LineDraft,
    OneTimeDraft,
    OverrideDraft,
)
from contracts.extending import Renewal
from contracts.models import Contract
from revops.vocabulary.decoding import Key
from revops.vocabulary.words import (
    AllowanceWords,
    AmendmentWords,
    CommitmentWords,
    ContractWords,
    DiscountWords,
    GrantWords,
    LineWords,
    OneTimeWords,
    RenewalWords,
    RolloverWords,
)


class UnknownTerm(Exception):
    """A line names a plan or version that does not exist."""

    def __init__(self, path: str, detail: str) -> None:
        self.error = FieldError(path, "unknown", detail)
        super().__init__(detail)


class Plans:
    """The plans and versions that lines name, each read once."""

    def __init__(self) -> None:
        self._plans: dict[str, Plan | None] = {}
        self._in_force: dict[tuple[int, dt.date], PlanVersion | None] = {}
        self._versions: dict[tuple[int, int], PlanVersion] = {}

    def get(self, key: str) -> Plan | None:
        if key not in self._plans:
            self._plans[key] = Plan.objects.filter(key=key).first()
        return self._plans[key]

    def in_force(self, plan: Plan, on: dt.date) -> PlanVersion | None:
        """The version that a line beginning on this day stands on."""
        if (plan.pk, on) not in self._in_force:
            self._in_force[plan.pk, on] = plan.versions.in_force(on).select_related("plan").first()
        return self._in_force[plan.pk, on]

    def version(self, plan: Plan, number: int, path: str) -> PlanVersion:
        """Raises UnknownTerm."""
        if (plan.pk, number) not in self._versions:
            self._versions[plan.pk, number] = version_of(plan, number, path)
        return self._versions[plan.pk, number]


def terms(
    words: ContractWords | AmendmentWords,
    contract: Contract,
    standing: Sequence[LineDraft] = (),
    plans: Plans | None = None,
) -> dict[str, list[Any]]:
    """The lists of terms that the words name, by kind. Overrides are said with their lines, and go with them.

    A line that names no version keeps the one it has in `standing`, else takes the one in force at its start.
    Raises UnknownTerm.
    """
    named: dict[str, list[Any]] = {}
    if words.lines is not None:
        named["lines"] = lines(words.lines, contract, standing, plans)
        named["overrides"] = overrides(words.lines, contract)
    if words.discounts is not None:
        named["discounts"] = discounts(words.discounts, contract)
    if words.one_time is not None:
        named["one_time"] = one_time(words.one_time)
    if words.commitments is not None:
        named["commitments"] = commitments(words.commitments, contract)
    if words.credits is not None:
        named["credits"] = credits(words.credits, contract)
    if words.entitlements is not None:
        named["entitlements"] = allowances(words.entitlements, contract)
    return named


def lines(
    words: Sequence[LineWords],
    contract: Contract,
    standing: Sequence[LineDraft] = (),
    plans: Plans | None = None,
) -> list[LineDraft]:
    """The lines of a file. A line that names no version keeps the one it stands on, else the one in force at its start.

    Raises UnknownTerm.
    """
    plans = plans or Plans()
    return [_line(line, f"lines[{index}]", contract, standing, plans) for index, line in enumerate(words)]


def _line(words: LineWords, path: str, contract: Contract, standing: Sequence[LineDraft], plans: Plans) -> LineDraft:
    plan = plans.get(words.plan)
    if plan is None:
        raise UnknownTerm(f"{path}.plan", f"there is no plan {words.plan}")
    starts_on = words.from_ or contract.starts_on
    version = _version(words, path, plan, starts_on, standing, plans)
    quantity = Decimal(1) if words.quantity is None else words.quantity
    return LineDraft(
        version,
        starts_on,
        words.until,
        quantity,
        words.key or plan.key,
        words.uplift_percent or Decimal(0),
        words.trial_days,
    )


def _version(
    words: LineWords, path: str, plan: Plan, starts_on: dt.date, standing: Sequence[LineDraft], plans: Plans
) -> PlanVersion:
    if words.version is not None:
        return plans.version(plan, words.version, f"{path}.version")
    for line in standing:
        same = line.plan_version.plan_id == plan.pk and line.starts_on == starts_on
        if same and line.line_key == (words.key or plan.key):
            return line.plan_version
    version = plans.in_force(plan, starts_on)
    if version is None:
        detail = f"the plan {plan.key} has no published version in force on {starts_on}; publish one, or name a version"
        raise UnknownTerm(f"{path}.version", detail)
    return version


def version_of(plan: Plan, number: int, path: str) -> PlanVersion:
    """A plan's version by its number. Raises UnknownTerm."""
    version = plan.versions.filter(number=number).select_related("plan").first()
    if version is None:
        raise UnknownTerm(path, f"the plan {plan.key} has no version {number}")
    return version


def discounts(words: Sequence[DiscountWords], contract: Contract) -> list[DiscountDraft]:
    """The discounts of a file; without days they run with the contract."""
    return [
        DiscountDraft(
            kind=one.kind,
            value=one.value,
            starts_on=one.from_ or contract.starts_on,
            ends_on=one.until,
            applies_to=one.applies_to or (),
            key=one.key or "",
            total=one.total,
        )
        for one in words
    ]


def overrides(words: Sequence[LineWords], contract: Contract) -> list[OverrideDraft]:
    """The overrides of lines; without days of their own, over those of their line."""
    return [
        OverrideDraft(
            line=line.key or Key(line.plan),
            price=one.price,
            terms=as_stored({"model": one.model, **one.arithmetic()} if one.model else one.arithmetic()),
            starts_on=one.from_ or line.from_ or contract.starts_on,
            ends_on=one.until or line.until,
        )
        for line in words
        for one in line.overrides or ()
    ]


def as_stored(terms: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a price as JSON keeps them: numbers as decimal strings."""
    stored: dict[str, Any] = json.loads(json.dumps(terms, default=quantity_text))
    return stored


def commitments(words: Sequence[CommitmentWords], contract: Contract) -> list[CommitmentDraft]:
    return [
        CommitmentDraft(
            kind=one.kind,
            starts_on=one.from_ or contract.starts_on,
            ends_on=one.until,
            amount=one.amount,
            quantity=one.quantity,
            interval=one.interval or "",
            overage_factor=one.overage_factor,
            true_up=one.true_up is not False,
            prorate=one.prorate is not False,
            applies_to=one.applies_to or (),
            key=one.key or "",
        )
        for one in words
    ]


def credits(words: Sequence[GrantWords], contract: Contract) -> list[GrantDraft]:
    return [credit(one, contract.starts_on) for one in words]


def credit(words: GrantWords, starts_on: dt.date) -> GrantDraft:
    """One grant, which may be spent from a day unless it says another."""
    return GrantDraft(
        kind=words.kind,
        amount=words.amount,
        starts_on=words.from_ or starts_on,
        expires_on=words.expires_on,
        priority=1 if words.priority is None else words.priority,
        applies_to=words.applies_to or (),
        name=words.name or "",
        key=words.key or "",
    )


def renewal(words: RenewalWords, standing: Renewal) -> Renewal:
    """How a contract renews; what is left out is as it stands."""
    named = {name: value for name, value in vars(words).items() if value is not None}
    return replace(standing, **named)


def allowances(words: Sequence[AllowanceWords], contract: Contract) -> list[AllowanceDraft]:
    return [
        AllowanceDraft(
            feature=one.feature,
            starts_on=one.from_ or contract.starts_on,
            ends_on=one.until,
            kind=one.kind or "",
            value=one.value,
            meter=one.meter or "",
            limit=one.limit,
            unlimited=bool(one.unlimited),
            extra=one.extra,
            reset=one.reset or "",
            on_limit=one.on_limit or "",
            thresholds=None if one.thresholds is None else tuple(sorted(one.thresholds)),
            rollover=rollover(one.rollover),
            reason=one.reason or "",
            key=one.key or "",
        )
        for one in words
    ]


def rollover(words: RolloverWords | None) -> RolloverDraft | None:
    if words is None:
        return None
    return RolloverDraft(words.unused, words.cap, 1 if words.periods is None else words.periods)


def one_time(words: Sequence[OneTimeWords]) -> list[OneTimeDraft]:
    return [
        OneTimeDraft(
            key=one.key,
            description=one.description,
            amount=one.amount,
            on=one.on,
            tax_category=one.tax_category or "",
            tax_behavior=one.tax_behavior or TaxBehavior.EXCLUSIVE,
        )
        for one in words
    ]
