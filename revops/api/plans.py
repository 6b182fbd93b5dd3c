"""Plans and their versions: drafted, submitted, approved by another, retired."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

import msgspec
from django.db.models import Prefetch, QuerySet
from django.http import HttpResponse
from django.urls import path
from django.utils import timezone
from msgspec import Meta
from rest_framework.request import Request

from catalog import publishing
from catalog.auditing import Actor
from catalog.models import Plan, PlanVersion, Price
from catalog.pricing import FieldError
from catalog.publishing import VersionContent
from revops.api import catalog_shapes as shapes
from revops.api.calls import Document, call
from revops.api.catalog import NAMED_FOR_EVER, plain_number, window
from revops.api.deeds import deed
from revops.api.paging import Page
from revops.api.problems import Problem
from revops.api.reading import Body
from revops.api.shapes import Paged
from revops.api.shelves import CHANGED, MADE, MARKED, Shelf, address, changes, refusal, refused, tagged, writing
from revops.models import Scope
from revops.vocabulary.catalog_loading import content_of, keep_plan
from revops.vocabulary.loading import Load, first_seller
from revops.vocabulary.words import PlanWords, VersionWords

PlanKey = Annotated[str, Meta(description="The plan's key.", examples=["translate"])]
Number = Annotated[int, Meta(description="The version's number.", examples=[1])]
NO_PLAN = Problem(404, "There is no plan 'translate'.")
NO_VERSION = Problem(404, "There is no version 2 of the plan 'translate'.")
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
    return PlanVersion.objects.order_by("number").prefetch_related(Prefetch("prices", prices))


def version_json(version: PlanVersion) -> dict[str, Any]:
    return {
        "number": version.number,
        "status": version.status,
        "currency": version.currency,
        "effective_from": version.effective_from,
        "published_at": version.published_at,
        "submitted_by": version.submitted_by or None,
        "approved_by": version.approved_by or None,
        "prices": [price_json(price) for price in version.prices.all()],
    }


def price_json(price: Price) -> dict[str, Any]:
    terms = {name: plain_number(value) for name, value in price.terms().items()}
    about = {"key": price.key, "name": price.name, "kind": price.kind, "meter": price.meter and price.meter.key}
    return {**about, **terms, "billing": price.billing, "prorate": price.prorate}


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


def content(words: VersionWords) -> VersionContent:
    return content_of(words, demand_currency(words))


class VersionFilter(Page, frozen=True, kw_only=True):
    status: Annotated[
        Literal["draft", "review", "published", "retired"] | None, Meta(description="Only in this state.")
    ] = None


class VersionShelf(Shelf):
    tag = "What is sold"
    words = VersionWords
    fixed = ()
    filters = {"status": "status"}

    def rows(self) -> QuerySet[PlanVersion]:
        return versions().select_related("plan")

    def render(self, row: PlanVersion) -> dict[str, Any]:
        return version_json(row)

    def absent(self, **place: Any) -> Problem:
        return Problem(404, f"There is no version {place['number']} of the plan {place['plan__key']!r}.")

    def locked(self, request: Request, **place: Any) -> PlanVersion:
        """The plan first: its versions are changed one by one."""
        list(Plan.objects.select_for_update().filter(key=place["plan__key"]).values_list("pk"))
        row: PlanVersion = super().locked(request, **place)
        return row


class VersionList(VersionShelf):
    @call(
        Scope.CATALOG_READ,
        "List a plan's versions",
        answers=Paged[shapes.PlanVersion],
        example={"results": [shapes.VERSION], "next": None},
        refuses=[NO_PLAN],
    )
    def get(self, request: Request, key: PlanKey, asked: VersionFilter) -> HttpResponse:
        self.plan = found_plan(key)
        return self.page(request, asked)

    def matching(self, asked: Page) -> QuerySet[PlanVersion]:
        return super().matching(asked).filter(plan=self.plan)

    @call(
        Scope.CATALOG_WRITE,
        "Draft a version",
        status=201,
        is_deed=True,
        tells=MADE,
        answers=shapes.PlanVersion,
        example=shapes.DRAFT,
        sends={"effective_from": "2026-07-01", "prices": [PRICE]},
        refuses=[
            NO_PLAN,
            refused("prices[0].meter", "unknown", "there is no meter words"),
        ],
    )
    def post(self, request: Request, key: PlanKey, sent: VersionWords) -> HttpResponse:
        """The next version of the plan, as a draft. Submit it, and let another key or person approve it."""
        at = timezone.now()

        def made() -> HttpResponse:
            with writing(request, at) as load:
                said = content(sent)
                version = publishing.draft_version(
                    found_plan(key),
                    currency=said.currency,
                    effective_from=said.effective_from,
                    prices=said.prices,
                    at=at,
                    by=load.by,
                )
            return self.shown(201, plan__key=key, number=version.number)

        response = deed(request, at, made)
        if response.status_code == 201:
            response["Location"] = address(request, msgspec.json.decode(response.content)["number"])
        return tagged(response)


class VersionDetail(VersionShelf):
    @call(
        Scope.CATALOG_READ,
        "Read a version",
        tells=MARKED,
        answers=shapes.PlanVersion,
        example=shapes.VERSION,
        refuses=[NO_VERSION],
    )
    def get(self, request: Request, key: PlanKey, number: Number) -> HttpResponse:
        return self.one(plan__key=key, number=number)

    @call(
        Scope.CATALOG_WRITE,
        "Change a draft",
        tells=MARKED,
        answers=shapes.PlanVersion,
        example=shapes.DRAFT,
        takes=changes(VersionWords, "VersionChange"),
        sends={"effective_from": "2026-08-01"},
        refuses=[
            NO_VERSION,
            refused("status", "invalid", "translate@1 is published, so it stays as it is; draft another version"),
            CHANGED,
        ],
    )
    def patch(self, request: Request, key: PlanKey, number: Number, sent: Document) -> HttpResponse:
        """Only a draft changes: what is in review is approved as it was submitted, and what is published never
        changes. `prices` are replaced whole.
        """

        def keep(load: Load, row: PlanVersion, words: VersionWords, cleared: set[str]) -> None:
            publishing.redraft(row, content(words), at=load.at, by=load.by)

        return self.change(request, sent, keep, plan__key=key, number=number)

    @call(
        Scope.CATALOG_WRITE,
        "Discard a draft",
        status=204,
        answers=None,
        example=None,
        refuses=[NO_VERSION, refused("status", "frozen", "translate@1 is published and stays; retire it"), CHANGED],
    )
    def delete(self, request: Request, key: PlanKey, number: Number) -> HttpResponse:
        """A version in review that is not wanted may go, too."""
        return self.remove(
            request, lambda row, at, by: publishing.discard(row, at=at, by=by), plan__key=key, number=number
        )


class SubmitVersion(VersionShelf):
    @call(
        Scope.CATALOG_WRITE,
        "Submit a version",
        is_deed=True,
        tells=MARKED,
        answers=shapes.PlanVersion,
        example={**shapes.DRAFT, "status": "review", "submitted_by": "key:3"},
        refuses=[
            NO_VERSION,
            refused("status", "invalid", "translate@2 is in review; to submit it, it must be draft"),
            CHANGED,
        ],
    )
    def post(self, request: Request, key: PlanKey, number: Number) -> HttpResponse:
        """A draft goes into review. Another key or person then approves it."""
        return self.act(request, lambda row, at, by: publishing.submit(row, at=at, by=by), plan__key=key, number=number)


class ApproveVersion(VersionShelf):
    @call(
        Scope.CATALOG_WRITE,
        "Approve and publish a version",
        is_deed=True,
        tells=MARKED,
        answers=shapes.PlanVersion,
        example=shapes.VERSION,
        refuses=[
            NO_VERSION,
            refused("by", "same_person", "whoever submitted a version cannot approve it; ask another person"),
            refused("status", "invalid", "translate@2 is draft; to approve it, it must be in review"),
            CHANGED,
        ],
    )
    def post(self, request: Request, key: PlanKey, number: Number) -> HttpResponse:
        """From then on it never changes. The key that submitted it cannot approve it."""
        return self.act(
            request, lambda row, at, by: publishing.approve(row, at=at, by=by), plan__key=key, number=number
        )


class Because(Body, frozen=True, kw_only=True):
    reason: Annotated[str, Meta(min_length=1, max_length=500, description="Why.", examples=["Replaced by version 2"])]


class RetireVersion(VersionShelf):
    @call(
        Scope.CATALOG_WRITE,
        "Retire a version",
        is_deed=True,
        tells=MARKED,
        answers=shapes.PlanVersion,
        example={**shapes.VERSION, "status": "retired"},
        sends={"reason": "Replaced by version 2"},
        refuses=[
            NO_VERSION,
            refused("status", "invalid", "translate@2 is draft; to retire it, it must be published"),
            CHANGED,
        ],
    )
    def post(self, request: Request, key: PlanKey, number: Number, sent: Because) -> HttpResponse:
        """It is not sold any more. Contracts that stand on it keep it and are billed as before."""

        def retire(row: PlanVersion, at: dt.datetime, by: Actor) -> None:
            publishing.retire(row, at=at, by=by, reason=sent.reason)

        return self.act(request, retire, plan__key=key, number=number)


def found_plan(key: str) -> Plan:
    plan = Plan.objects.filter(key=key).first()
    if plan is None:
        raise Problem(404, f"There is no plan {key!r}.")
    return plan


addresses = [
    path("plans", PlanList.as_view(), name="plans"),
    path("plans/<str:key>", PlanDetail.as_view(), name="plan"),
    path("plans/<str:key>/versions", VersionList.as_view(), name="versions"),
    path("plans/<str:key>/versions/<int:number>", VersionDetail.as_view(), name="version"),
    path("plans/<str:key>/versions/<int:number>/submit", SubmitVersion.as_view(), name="submit-version"),
    path("plans/<str:key>/versions/<int:number>/approve", ApproveVersion.as_view(), name="approve-version"),
    path("plans/<str:key>/versions/<int:number>/retire", RetireVersion.as_view(), name="retire-version"),
]
