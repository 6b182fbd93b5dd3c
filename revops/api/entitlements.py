"""What a customer may use, and how much of it is left."""

from __future__ import annotations

from typing import Annotated, Any

from django.http import HttpResponse
from django.urls import path
from django.utils import timezone
from msgspec import Meta
from rest_framework.request import Request

from billing.entitlements.access import Standing, UnknownCustomer, access, all_access
from catalog.entitlements import Entitlement, EntitlementKind
from catalog.models import Feature
from catalog.money import quantity_text
from contracts.models import AllowanceTerm
from revops.api import entitlement_shapes as shapes
from revops.api.calls import call
from revops.api.catalog import plain_number
from revops.api.door import Door, answer
from revops.api.problems import Problem
from revops.api.usage import NO_CUSTOMER, CustomerKey
from revops.models import Scope

FeatureKey = Annotated[str, Meta(description="The feature's key.", examples=["words"])]
NO_FEATURE = Problem(404, "There is no feature 'words'.")


class CustomerEntitlement(Door):
    tag = "Entitlements"

    @call(
        Scope.USAGE_READ,
        "Ask whether a customer may use a feature",
        answers=shapes.Access,
        example=shapes.ACCESS,
        refuses=[NO_CUSTOMER, NO_FEATURE],
    )
    def get(self, request: Request, key: CustomerKey, feature: FeatureKey) -> HttpResponse:
        """Ask it before you serve: the answer is right at once after an event, a correction or another agreement, and
        takes a few milliseconds however much was used. A limit never refuses an event: what was used is counted.
        A feature that the customer does not have is no access.
        """
        at = timezone.now()
        try:
            found = access(key, feature, at)
        except UnknownCustomer as unknown:
            raise Problem(404, f"There is no customer {key!r}.") from unknown
        if found is None:
            if not Feature.objects.filter(key=feature).exists():
                raise Problem(404, f"There is no feature {feature!r}.")
            return answer({**NOTHING, "feature": feature})
        return answer(access_json(found))


class CustomerEntitlements(Door):
    tag = "Entitlements"

    @call(
        Scope.USAGE_READ,
        "List what a customer may use",
        answers=list[shapes.Access],
        example=[shapes.ACCESS, shapes.SWITCH],
        refuses=[NO_CUSTOMER],
    )
    def get(self, request: Request, key: CustomerKey) -> HttpResponse:
        """Every feature that the customer has, by its key."""
        at = timezone.now()
        try:
            return answer([access_json(one) for one in all_access(key, at)])
        except UnknownCustomer as unknown:
            raise Problem(404, f"There is no customer {key!r}.") from unknown


NOTHING: dict[str, Any] = {
    "has_access": False,
    "kind": None,
    "value": None,
    "limit": None,
    "used": None,
    "remaining": None,
    "overage": None,
    "on_limit": None,
    "resets_at": None,
}


def access_json(one: Standing) -> dict[str, Any]:
    terms = one.terms
    is_metered = terms.kind == "metered"
    figures = {name: getattr(one, name) for name in ("limit", "used", "remaining", "overage")}
    return {
        "feature": terms.feature,
        "has_access": one.has_access,
        "kind": terms.kind,
        "value": terms.value,
        **{name: None if number is None else quantity_text(number) for name, number in figures.items()},
        "on_limit": terms.on_limit if is_metered else None,
        "resets_at": one.period.ends_at.astimezone(one.zone) if one.period else None,
    }


def entitlement_json(row: Entitlement) -> dict[str, Any]:
    about: dict[str, Any] = {"feature": row.feature.key, "kind": row.kind}
    if row.kind != EntitlementKind.METERED:
        return about if row.value is None else {**about, "value": row.value}
    about |= {"meter": row.meter and row.meter.key, "limit": plain_number(row.limit), "reset": row.reset}
    about |= {"on_limit": row.on_limit, "thresholds": row.thresholds}
    return about | _rollover(row)


def allowance_json(row: AllowanceTerm) -> dict[str, Any]:
    said = {
        name: found for name in ("kind", "meter", "reset", "on_limit", "unlimited") if (found := getattr(row, name))
    }
    for name in ("value", "limit", "extra", "thresholds"):
        found = getattr(row, name)
        said |= {} if found is None else {name: plain_number(found) if name != "value" else found}
    days = {"from": row.starts_on, "until": row.ends_on, "reason": row.reason}
    return {"key": row.key, "feature": row.feature, **said, **_rollover(row), **days}


def _rollover(row: Entitlement | AllowanceTerm) -> dict[str, Any]:
    if row.rollover_percent is None:
        return {}
    unused = f"{plain_number(row.rollover_percent)}%"
    return {"rollover": {"unused": unused, "cap": plain_number(row.rollover_cap), "periods": row.rollover_periods}}


addresses = [
    path("customers/<str:key>/entitlements", CustomerEntitlements.as_view(), name="entitlements"),
    path("customers/<str:key>/entitlements/<str:feature>", CustomerEntitlement.as_view(), name="entitlement"),
]
