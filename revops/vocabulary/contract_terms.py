"""The terms of a contract as a file says them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal

from catalog.models import Plan, PlanVersion
from catalog.pricing import FieldError
from contracts.drafts import DiscountDraft, LineDraft, OneTimeDraft
from contracts.models import Contract
from revops.vocabulary.words import DiscountWords, LineWords, OneTimeWords


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
    return LineDraft(version, starts_on, words.until, quantity, words.key or plan.key)


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
        )
        for one in words
    ]


def one_time(words: Sequence[OneTimeWords]) -> list[OneTimeDraft]:
    return [OneTimeDraft(one.key, one.description, one.amount, one.on) for one in words]
