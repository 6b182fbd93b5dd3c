"""What publishing a version changes and for whom, on the pages that ask to submit and to approve it.

It moves nobody: contracts keep the version they stand on. What those would have cost on the new one is shown to who
may see contracts and invoices.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import F
from django.http import HttpRequest

from billing.admin.migrating import read
from billing.invoicing.shadow import Migration, UnableToCompare, shadows
from catalog.admin import ApproveVersion, SubmitVersion
from catalog.models import Plan, PlanVersion
from contracts.models import Contract
from contracts.standing import Standing, customers_on, running, standing_on

COMPARED = 1000
SHOWN = 20
NAMED = 8

User = AbstractBaseUser | AnonymousUser


class KnowinglyMixin:
    """The page of a step towards publishing says what it changes, and for whom."""

    review_template = "admin/billing/planversion/review.html"

    def review(self, row: PlanVersion, at: dt.datetime, by: AbstractBaseUser) -> dict[str, Any]:
        said: dict[str, Any] = super().review(row, at, by)  # type: ignore[misc]
        return {**said, "version": row, **consequences(row, at.date(), by)}


class SubmitKnowingly(KnowinglyMixin, SubmitVersion):
    pass


class ApproveKnowingly(KnowinglyMixin, ApproveVersion):
    pass


def may_try(request: HttpRequest) -> bool:
    return sees_money(request.user)


def sees_money(user: User) -> bool:
    """Whether a person sees what contracts would cost on a version: what they were billed shows in it."""
    needed = ["catalog.view_planversion", "contracts.view_contract", "billing.view_invoice"]
    return all(user.has_perm(permission) for permission in needed)  # type: ignore[union-attr]


def consequences(version: PlanVersion, day: dt.date, user: User) -> dict[str, Any]:
    """Who stays where, who gets the version from when, and what it would have cost those who stay."""
    said: dict[str, Any] = {"for_new_contracts": for_new_contracts(version, day)}
    if user.has_perm("contracts.view_contract"):  # type: ignore[union-attr]
        said["staying"] = staying(version, day)
        lines = running(day).filter(plan_version__plan=version.plan_id)
        said["staying_contracts"] = lines.order_by().values("contract").distinct().count()
    if sees_money(user):
        said |= compared(version, day)
    return said


def staying(version: PlanVersion, day: dt.date) -> list[dict[str, Any]]:
    """The versions that contracts stand on, the latest first, with their customers: some by name. Three queries."""
    versions = list(version.plan.versions.select_related("plan").order_by("-number"))
    standing = standing_on([one.pk for one in versions], day)
    customers = customers_on([one.pk for one in versions], day)
    return [
        {
            "row": one,
            "standing": standing[one.pk],
            "customers": customers[one.pk][:NAMED],
            "more": max(len(customers[one.pk]) - NAMED, 0),
        }
        for one in versions
        if standing[one.pk] != Standing()
    ]


def compared(version: PlanVersion, day: dt.date) -> dict[str, Any]:
    """What the contracts on the plan's other versions would have cost on it in their last closed period."""
    lines = running(day).filter(plan_version__plan=version.plan_id).exclude(plan_version=version)
    there = Contract.objects.filter(pk__in=lines.values("contract")).order_by("number")
    in_currency = there.filter(currency=version.currency)
    contracts = list(in_currency.values_list("pk", flat=True)[: COMPARED + 1])
    said: dict[str, Any] = {
        "compared_up_to": COMPARED if len(contracts) > COMPARED else None,
        "elsewhere": there.exclude(currency=version.currency).count(),
    }
    contracts = contracts[:COMPARED]
    if not contracts:
        return said
    try:
        said["trial"] = read(Migration(shadows(contracts, version), []), contracts, version, most=SHOWN)
    except UnableToCompare as refusal:
        said["cannot_compare"] = str(refusal)
    return said


def for_new_contracts(version: PlanVersion, day: dt.date) -> str:
    """From which day a new contract on the plan gets the version, once it is published, in a sentence."""
    published = published_versions(version.plan, but=version)
    dated = [one for one in published if one.effective_from is not None]
    begins = version.effective_from
    if begins is None:
        in_force = next((one for one in reversed(dated) if begun(one, day)), None)
        if in_force is not None:
            return (
                f"New contracts do not get it by themselves: it has no date, and {in_force}, which has one, stays in "
                "force for them. It can be named in a contract."
            )
        following = next(iter(dated), None)
        start = "New contracts get it as soon as it is published"
    else:
        following = next((one for one in dated if one.effective_from is not None and one.effective_from > begins), None)
        start = (
            f"New contracts get it from {begins}"
            if begins > day
            else f"New contracts that start on {begins} or later get it as soon as it is published"
        )
    until = f", until {following} begins on {following.effective_from}" if following else ""
    return f"{start}{until}."


def begun(version: PlanVersion, day: dt.date) -> bool:
    return version.effective_from is not None and version.effective_from <= day


def published_versions(plan: Plan, but: PlanVersion) -> list[PlanVersion]:
    """Those beside this one, by the day they begin."""
    rows = plan.versions.filter(status="published").exclude(pk=but.pk).select_related("plan")
    return list(rows.order_by(F("effective_from").asc(nulls_first=True), "number"))
