"""Versions of plans: drafted, submitted, approved by another, retired."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

import msgspec
from django.db.models import QuerySet
from django.http import HttpResponse
from django.urls import path
from django.utils import timezone
from msgspec import Meta
from rest_framework.request import Request

from catalog import publishing
from catalog.auditing import Actor
from catalog.models import Plan, PlanVersion
from catalog.publishing import VersionContent
from revops.api import catalog_shapes as shapes
from revops.api.calls import Document, call
from revops.api.deeds import deed
from revops.api.paging import Page
from revops.api.plans import NO_PLAN, PRICE, PlanKey, demand_currency, found_plan, version_json, versions
from revops.api.problems import Problem
from revops.api.reading import Body
from revops.api.shapes import Paged
from revops.api.shelves import CHANGED, MADE, MARKED, Shelf, address, changes, refused, tagged, writing
from revops.models import Scope
from revops.vocabulary.catalog_loading import content_of
from revops.vocabulary.loading import Load
from revops.vocabulary.words import VersionWords

Number = Annotated[int, Meta(description="The version's number.", examples=[1])]
NO_VERSION = Problem(404, "There is no version 2 of the plan 'translate'.")


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
                    trial_days=said.trial_days,
                    tax_behavior=said.tax_behavior,
                    entitlements=said.entitlements,
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


def content(words: VersionWords) -> VersionContent:
    return content_of(words, demand_currency(words))


addresses = [
    path("plans/<str:key>/versions", VersionList.as_view(), name="versions"),
    path("plans/<str:key>/versions/<int:number>", VersionDetail.as_view(), name="version"),
    path("plans/<str:key>/versions/<int:number>/submit", SubmitVersion.as_view(), name="submit-version"),
    path("plans/<str:key>/versions/<int:number>/approve", ApproveVersion.as_view(), name="approve-version"),
    path("plans/<str:key>/versions/<int:number>/retire", RetireVersion.as_view(), name="retire-version"),
]
