"""Plans: what they are called and when they are billed. What they cost is in their versions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from django.db.models import Prefetch, QuerySet
from django.http import HttpResponse
from django.urls import path
from msgspec import Meta
from rest_framework.request import Request

from catalog.entitlements import Entitlement
from catalog.models import Plan, PlanVersion, Price
from catalog.pricing import FieldError
from revops.api import catalog_shapes as shapes
from revops.api.calls import Document, call
from revops.api.catalog import NAMED_FOR_EVER, plain_amounts, window
from revops.api.entitlements import entitlement_json
from revops.api.paging import Page
from revops.api.problems import Problem
from revops.api.shapes import Paged
from revops.api.shelves import CHANGED, MADE, MARKED, Shelf, changes, refusal, refused
from revops.models import Scope
from revops.vocabulary.catalog_loading import keep_plan
from revops.vocabulary.loading import Load, first_seller
from revops.vocabulary.words import PlanWords, VersionWords

PlanKey = Annotated[str, Meta(description="The plan's key.", examples=["translate"])]
NO_PLAN = Problem(404, "There is no plan 'translate'.")
NO_CURRENCY = "say in which currency: there is no seller whose currency it could be"
PRICE = {"key": "base", "kind": "recurring", "model": "flat", "flat_amount": "20.00", "name": "Base fee"}


class PlanFilter(Page, frozen=True, kw_only=True):
    interval: Literal["day", "week", "month", "quarter", "half_year", "year"] | None = None


class PlanShelf(Shelf):
    tag = "What is sold"
    words = PlanWords
    filters = {"interval": "interval"}

    def rows(self) -> QuerySet[Plan]:
        return Plan.objects.prefetch_related(Prefetch("versions", versions()))

    def render(self, row: Plan) -> dict[str, Any]:
        return {
            "key": row.key,
            "name": row.name,
            "interval": row.interval,
            "tolerance_window": window(row.tolerance_window),
            "versions": [version_json(version) for version in row.versions.all()],
        }

    def said(self, row: Plan) -> dict[str, Any]:
        """Without its versions: they have addresses of their own."""
        return {name: value for name, value in super().said(row).items() if name != "versions"}


class PlanList(PlanShelf):
    @call(
        Scope.CATALOG_READ,
        "List plans",
        answers=Paged[shapes.Plan],
        example={"results": [shapes.PLAN], "next": None},
    )
    def get(self, request: Request, asked: PlanFilter) -> HttpResponse:
        return self.page(request, asked)

    @call(
        Scope.CATALOG_WRITE,
        "Add a plan",
        status=201,
        is_deed=True,
        tells=MADE,
        answers=shapes.Plan,
        example={**shapes.PLAN, "versions": [shapes.DRAFT]},
        sends={"key": "translate", "name": "Translate", "versions": [{"currency": "USD", "prices": [PRICE]}]},
        refuses=[refused("key", "exists", "there is a plan translate already; change it with PATCH")],
    )
    def post(self, request: Request, sent: PlanWords) -> HttpResponse:
        """Its versions, if it has any yet, become drafts; without a currency they are in the seller's."""

        def keep(load: Load) -> None:
            for index, version in enumerate(sent.versions):
                demand_currency(version, f"versions[{index}].")
            keep_plan(load, sent, "", default_currency() or "")

        return self.create(request, keep, key=sent.key)


class PlanDetail(PlanShelf):
    @call(
        Scope.CATALOG_READ,
        "Read a plan",
        tells=MARKED,
        answers=shapes.Plan,
        example=shapes.PLAN,
        refuses=[NO_PLAN],
    )
    def get(self, request: Request, key: PlanKey) -> HttpResponse:
        return self.one(key=key)

    @call(
        Scope.CATALOG_WRITE,
        "Change a plan",
        tells=MARKED,
        answers=shapes.Plan,
        example=shapes.PLAN,
        takes=changes(PlanWords, "PlanChange"),
        sends={"name": "Translate"},
        refuses=[
            NO_PLAN,
            NAMED_FOR_EVER,
            refused("interval", "frozen", "contracts stand on the plan translate, so its interval is frozen"),
            CHANGED,
        ],
    )
    def patch(self, request: Request, key: PlanKey, sent: Document) -> HttpResponse:
        """What it is called, and when it is billed. What it costs is in its versions, each at an address of its own."""

        def keep(load: Load, row: Plan, words: PlanWords, cleared: set[str]) -> None:
            if isinstance(sent, dict) and "versions" in sent:
                detail = (
                    f"versions have addresses of their own: POST plans/{key}/versions, PATCH plans/{key}/versions/1"
                )
                load.fail("versions", "elsewhere", detail)
                load.finish()
            keep_plan(load, words, "", "", cleared)

        return self.change(request, sent, keep, key=key)


def versions() -> QuerySet[PlanVersion]:
    """Versions with what their JSON reads, in their order."""
    prices = Price.objects.select_related("meter").prefetch_related("tiers")
    given = Entitlement.objects.select_related("feature", "meter")
    return PlanVersion.objects.order_by("number").prefetch_related(
        Prefetch("prices", prices), Prefetch("entitlements", given)
    )


def version_json(version: PlanVersion) -> dict[str, Any]:
    return {
        "number": version.number,
        "status": version.status,
        "currency": version.currency,
        "effective_from": version.effective_from,
        "tax_behavior": version.tax_behavior,
        "trial_days": version.trial_days,
        "published_at": version.published_at,
        "submitted_by": version.submitted_by or None,
        "approved_by": version.approved_by or None,
        "prices": [price_json(price, version.currency) for price in version.prices.all()],
        "entitlements": [entitlement_json(one) for one in version.entitlements.all()],
    }


def price_json(price: Price, currency: str) -> dict[str, Any]:
    terms = plain_amounts(price.terms(), currency)
    about = {"key": price.key, "name": price.name, "kind": price.kind, "meter": price.meter and price.meter.key}
    names = ("filters", "dimension", "window", "included", "tax_category", "interval")
    taken = {name: found for name in names if (found := getattr(price, name))}
    if price.window:
        taken["combine"] = price.combine
    return {**about, **terms, **taken, "billing": price.billing, "prorate": price.prorate}


def default_currency() -> str | None:
    """The seller's, where there is one."""
    seller = first_seller()
    return seller.currency if seller else None


def demand_currency(words: VersionWords, path: str = "") -> str:
    """The currency of a version. Raises Problem (400)."""
    currency = words.currency or default_currency()
    if currency is None:
        raise refusal([FieldError(f"{path}currency", "missing", NO_CURRENCY)])
    return currency


def found_plan(key: str) -> Plan:
    plan = Plan.objects.filter(key=key).first()
    if plan is None:
        raise Problem(404, f"There is no plan {key!r}.")
    return plan


addresses = [
    path("plans", PlanList.as_view(), name="plans"),
    path("plans/<str:key>", PlanDetail.as_view(), name="plan"),
]
