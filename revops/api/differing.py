"""`GET plans/{key}/versions/{number}/diff`: what differs between two versions of a plan."""

from __future__ import annotations

from typing import Annotated

from django.http import HttpResponse
from django.urls import path
from django.utils import timezone
from msgspec import Meta
from rest_framework.request import Request

from catalog.comparing import compare_versions, version_before
from catalog.models import PlanVersion
from revops.api import catalog_shapes as shapes
from revops.api.calls import call
from revops.api.door import answer
from revops.api.plan_versions import NO_VERSION, Number, VersionShelf
from revops.api.plans import PlanKey
from revops.api.reading import Query
from revops.models import Scope
from revops.vocabulary.differences import as_json


class Against(Query, frozen=True, kw_only=True):
    against: Annotated[
        int | None,
        Meta(
            description="The number of the version to compare with. Without it: for a draft or a version in review the "
            "one in force today, else the one before.",
            examples=[1],
        ),
    ] = None


class Diff(VersionShelf):
    @call(
        Scope.CATALOG_READ,
        "Compare two versions",
        answers=shapes.VersionDifference,
        example=shapes.DIFFERENCE,
        refuses=[NO_VERSION],
    )
    def get(self, request: Request, key: PlanKey, number: Number, asked: Against) -> HttpResponse:
        """What this version says otherwise than another of its plan: prices that come, go and change, field by field
        and tier by tier. Tiers with the same end stand side by side; a side without such a tier is null.
        """
        version = self._found(key, number)
        other = version_before(version, timezone.now().date())
        if asked.against is not None:
            other = self._found(key, asked.against)
        currencies = (version.currency if other is None else other.currency, version.currency)
        return answer(
            {
                "plan": key,
                "version": version.number,
                "against": None if other is None else other.number,
                **as_json(compare_versions(other, version), currencies),
            }
        )

    def _found(self, key: str, number: int) -> PlanVersion:
        version = PlanVersion.objects.select_related("plan").filter(plan__key=key, number=number).first()
        if version is None:
            raise self.absent(plan__key=key, number=number)
        return version


addresses = [path("plans/<str:key>/versions/<int:number>/diff", Diff.as_view(), name="version-diff")]
