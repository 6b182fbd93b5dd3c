"""Who reports events, what is counted, and what plans let customers use: in the words of a scenario file."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

from django.db.models import QuerySet
from django.http import HttpResponse
from django.urls import path
from msgspec import Meta
from rest_framework.request import Request

from billing.metering.rulebook import terms_of
from billing.models import RuleKind, Source
from catalog.models import Feature, Meter
from catalog.money import decimals, exact, minor_places, quantity_text, quantize
from revops.api import catalog_shapes as shapes
from revops.api.calls import Document, call
from revops.api.paging import Page
from revops.api.problems import Problem
from revops.api.shapes import Paged
from revops.api.shelves import CHANGED, MADE, MARKED, Shelf, changes, refused
from revops.models import Scope
from revops.vocabulary.catalog_loading import keep_feature, keep_meter, keep_source
from revops.vocabulary.rules import rule_json
from revops.vocabulary.words import FeatureWords, MeterWords, SourceWords

NAMED_FOR_EVER = refused("key", "frozen", "key names it for ever; make another one")


SourceKey = Annotated[str, Meta(description="The source's key.", examples=["gateway"])]
NO_SOURCE = Problem(404, "There is no source 'gateway'.")


class SourceShelf(Shelf):
    tag = "What is sold"
    words = SourceWords

    def rows(self) -> QuerySet[Source]:
        return Source.objects.prefetch_related("rules")

    def render(self, row: Source) -> dict[str, Any]:
        return {
            "key": row.key,
            "name": row.name,
            "tolerance_window": window(row.tolerance_window),
            "clock_skew": window(row.clock_skew),
            "cadence": window(row.cadence),
            "rules": [rule_json(terms_of(rule)) for rule in row.rules.all() if rule.kind != RuleKind.DISCARD],
        }


class SourceList(SourceShelf):
    @call(
        Scope.CATALOG_READ,
        "List sources",
        answers=Paged[shapes.Source],
        example={"results": [shapes.SOURCE], "next": None},
    )
    def get(self, request: Request, asked: Page) -> HttpResponse:
        return self.page(request, asked)

    @call(
        Scope.CATALOG_WRITE,
        "Add a source",
        status=201,
        is_deed=True,
        tells=MADE,
        answers=shapes.Source,
        example=shapes.SOURCE,
        sends={"key": "gateway", "name": "API gateway"},
        refuses=[refused("key", "exists", "there is a source gateway already; change it with PATCH")],
    )
    def post(self, request: Request, sent: SourceWords) -> HttpResponse:
        return self.create(request, lambda load: keep_source(load, sent, ""), key=sent.key)


class SourceDetail(SourceShelf):
    @call(
        Scope.CATALOG_READ,
        "Read a source",
        tells=MARKED,
        answers=shapes.Source,
        example=shapes.SOURCE,
        refuses=[NO_SOURCE],
    )
    def get(self, request: Request, key: SourceKey) -> HttpResponse:
        return self.one(key=key)

    @call(
        Scope.CATALOG_WRITE,
        "Change a source",
        tells=MARKED,
        answers=shapes.Source,
        example=shapes.SOURCE,
        takes=changes(SourceWords, "SourceChange"),
        sends={"name": "API gateway", "tolerance_window": None},
        refuses=[NO_SOURCE, CHANGED, NAMED_FOR_EVER],
    )
    def patch(self, request: Request, key: SourceKey, sent: Document) -> HttpResponse:
        return self.change(
            request, sent, lambda load, row, words, cleared: keep_source(load, words, "", cleared), key=key
        )


MeterKey = Annotated[str, Meta(description="The meter's key.", examples=["words"])]
NO_METER = Problem(404, "There is no meter 'words'.")
COUNTED = refused("value", "frozen", "the meter words has events, so what it counts is frozen; use a new key")


class MeterFilter(Page, frozen=True, kw_only=True):
    event_type: Annotated[
        str | None, Meta(description="Only meters of this type of event.", examples=["text.translated"])
    ] = None
    aggregation: Literal["count", "sum", "max", "min", "avg", "latest", "unique_count", "weighted_sum"] | None = None


class MeterShelf(Shelf):
    tag = "What is sold"
    words = MeterWords
    filters = {"event_type": "event_type", "aggregation": "aggregation"}

    def rows(self) -> QuerySet[Meter]:
        return Meter.objects.all()

    def render(self, row: Meter) -> dict[str, Any]:
        names = ("key", "name", "event_type", "aggregation", "value", "group_by", "filters", "unit", "allow_negative")
        return {name: getattr(row, name) for name in names}


class MeterList(MeterShelf):
    @call(
        Scope.CATALOG_READ,
        "List meters",
        answers=Paged[shapes.Meter],
        example={"results": [shapes.METER], "next": None},
    )
    def get(self, request: Request, asked: MeterFilter) -> HttpResponse:
        return self.page(request, asked)

    @call(
        Scope.CATALOG_WRITE,
        "Add a meter",
        status=201,
        is_deed=True,
        tells=MADE,
        answers=shapes.Meter,
        example=shapes.METER,
        sends=shapes.METER,
        refuses=[refused("key", "exists", "there is a meter words already; change it with PATCH")],
    )
    def post(self, request: Request, sent: MeterWords) -> HttpResponse:
        return self.create(request, lambda load: keep_meter(load, sent, ""), key=sent.key)


class MeterDetail(MeterShelf):
    @call(
        Scope.CATALOG_READ,
        "Read a meter",
        tells=MARKED,
        answers=shapes.Meter,
        example=shapes.METER,
        refuses=[NO_METER],
    )
    def get(self, request: Request, key: MeterKey) -> HttpResponse:
        return self.one(key=key)

    @call(
        Scope.CATALOG_WRITE,
        "Change a meter",
        tells=MARKED,
        answers=shapes.Meter,
        example=shapes.METER,
        takes=changes(MeterWords, "MeterChange"),
        sends={"name": "Words translated", "unit": "words"},
        refuses=[NO_METER, COUNTED, CHANGED],
    )
    def patch(self, request: Request, key: MeterKey, sent: Document) -> HttpResponse:
        """What it counts (`event_type`, `aggregation`, `value`, `group_by`, `filters`) is frozen once it has counted
        something; its name, its unit and what it takes below zero are not.
        """
        return self.change(
            request, sent, lambda load, row, words, cleared: keep_meter(load, words, "", cleared), key=key
        )


FeatureKey = Annotated[str, Meta(description="The feature's key.", examples=["glossaries"])]
NO_FEATURE = Problem(404, "There is no feature 'glossaries'.")


class FeatureShelf(Shelf):
    tag = "What is sold"
    words = FeatureWords

    def rows(self) -> QuerySet[Feature]:
        return Feature.objects.all()

    def render(self, row: Feature) -> dict[str, Any]:
        return {"key": row.key, "name": row.name, "description": row.description}


class FeatureList(FeatureShelf):
    @call(
        Scope.CATALOG_READ,
        "List features",
        answers=Paged[shapes.Feature],
        example={"results": [shapes.FEATURE], "next": None},
    )
    def get(self, request: Request, asked: Page) -> HttpResponse:
        return self.page(request, asked)

    @call(
        Scope.CATALOG_WRITE,
        "Add a feature",
        status=201,
        is_deed=True,
        tells=MADE,
        answers=shapes.Feature,
        example=shapes.FEATURE,
        sends=shapes.FEATURE,
        refuses=[refused("key", "exists", "there is a feature glossaries already; change it with PATCH")],
    )
    def post(self, request: Request, sent: FeatureWords) -> HttpResponse:
        return self.create(request, lambda load: keep_feature(load, sent, ""), key=sent.key)


class FeatureDetail(FeatureShelf):
    @call(
        Scope.CATALOG_READ,
        "Read a feature",
        tells=MARKED,
        answers=shapes.Feature,
        example=shapes.FEATURE,
        refuses=[NO_FEATURE],
    )
    def get(self, request: Request, key: FeatureKey) -> HttpResponse:
        return self.one(key=key)

    @call(
        Scope.CATALOG_WRITE,
        "Change a feature",
        tells=MARKED,
        answers=shapes.Feature,
        example=shapes.FEATURE,
        takes=changes(FeatureWords, "FeatureChange"),
        sends={"description": "Terms that are always translated alike."},
        refuses=[
            NO_FEATURE,
            CHANGED,
            NAMED_FOR_EVER,
        ],
    )
    def patch(self, request: Request, key: FeatureKey, sent: Document) -> HttpResponse:
        return self.change(
            request, sent, lambda load, row, words, cleared: keep_feature(load, words, "", cleared), key=key
        )


AMOUNTS = frozenset(
    {"unit_amount", "flat_amount", "package_amount", "fixed_amount", "free_amount", "per_transaction_min",
     "per_transaction_max", "minimum_amount", "maximum_amount", "cap_amount"}
)  # fmt: skip


def plain_amounts(terms: Mapping[str, Any], currency: str) -> dict[str, Any]:
    """The terms of a price with its amounts in the currency's places, or in as many more as they have."""
    shown: dict[str, Any] = {}
    for name, value in terms.items():
        if name == "tiers":
            shown[name] = [plain_amounts(tier, currency) for tier in value]
        elif name == "unit_amounts":
            shown[name] = {key: plain_money(exact(amount), currency) for key, amount in value.items()}
        else:
            is_money = name in AMOUNTS and value is not None
            shown[name] = plain_money(exact(value), currency) if is_money else plain_number(value)
    return shown


def plain_money(amount: Decimal, currency: str) -> str:
    return format(quantize(amount, max(minor_places(currency), decimals(amount))), "f")


def plain_number(value: Any) -> Any:
    """Without the zeros that a column of 12 decimals adds."""
    if isinstance(value, list):
        return [plain_number(inner) for inner in value]
    if isinstance(value, dict):
        return {name: plain_number(inner) for name, inner in value.items()}
    return quantity_text(value) if isinstance(value, Decimal) else value


def window(duration: dt.timedelta | None) -> str | None:
    """A duration as in a scenario file: 24h, 90m, 45s."""
    if duration is None:
        return None
    if duration.microseconds:
        return f"{plain_number(Decimal(duration // dt.timedelta(microseconds=1)) / 1_000_000)}s"
    seconds = int(duration.total_seconds())
    for size, letter in ((3600, "h"), (60, "m")):
        if seconds % size == 0:
            return f"{seconds // size}{letter}"
    return f"{seconds}s"


# Keys of sources may hold slashes: a source is often an address.
addresses = [
    path("sources", SourceList.as_view(), name="sources"),
    path("sources/<path:key>", SourceDetail.as_view(), name="source"),
    path("meters", MeterList.as_view(), name="meters"),
    path("meters/<str:key>", MeterDetail.as_view(), name="meter"),
    path("features", FeatureList.as_view(), name="features"),
    path("features/<str:key>", FeatureDetail.as_view(), name="feature"),
]
