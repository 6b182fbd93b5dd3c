"""Lists of what is sold and to whom, in the words of a scenario file."""

from __future__ import annotations

import datetime as dt
from abc import ABC, abstractmethod
from typing import Annotated, Any, Literal

from django.db.models import Prefetch, QuerySet
from django.http import HttpResponse
from django.urls import path
from msgspec import Meta
from rest_framework.request import Request

from billing.models import Source
from catalog.models import Feature, Meter, Plan, PlanVersion, Price
from contracts.models import Contract, ContractLine, Customer, Discount, OneTimeTerm
from revops.api import catalog_shapes as shapes
from revops.api.calls import call
from revops.api.door import Door, answer
from revops.api.paging import Page, page_of
from revops.api.problems import Problem
from revops.api.shapes import Paged
from revops.models import Scope


class CustomerFilter(Page, frozen=True, kw_only=True):
    country: Annotated[str | None, Meta(description="Only customers of this country.", examples=["DE"])] = None


class ContractFilter(Page, frozen=True, kw_only=True):
    customer: Annotated[str | None, Meta(description="Only contracts of this customer.", examples=["globex"])] = None
    status: Annotated[Literal["draft", "review", "approved"] | None, Meta(description="Only in this state.")] = None


FILTERS = {"customer": "customer__key", "status": "status", "country": "country"}


class Shelf(Door, ABC):
    """Rows of one kind: `page` for their list, `one` for a single row by its key."""

    key_field = "key"

    @abstractmethod
    def rows(self) -> QuerySet[Any]:
        """The rows of the list, with what `render` reads."""

    @abstractmethod
    def render(self, row: Any) -> dict[str, Any]:
        """One row as JSON."""

    def page(self, request: Request, asked: Page) -> HttpResponse:
        rows = self.rows()
        for name, lookup in FILTERS.items():
            value = getattr(asked, name, None)
            if value is not None:
                rows = rows.filter(**{lookup: value})
        return answer(page_of(rows, request, asked, {"pk": int}, lambda found: [self.render(row) for row in found]))

    def one(self, key: str) -> HttpResponse:
        row = self.rows().filter(**{self.key_field: key}).first()
        if row is None:
            raise Problem(404, f"There is no {self.rows().model._meta.verbose_name} {key!r}.")
        return answer(self.render(row))


SourceKey = Annotated[str, Meta(description="The source's key.", examples=["gateway"])]


class SourceShelf(Shelf):
    tag = "What is sold"

    def rows(self) -> QuerySet[Source]:
        return Source.objects.all()

    def render(self, row: Source) -> dict[str, Any]:
        return {"key": row.key, "name": row.name, "tolerance_window": window(row.tolerance_window)}


class SourceList(SourceShelf):
    @call(
        Scope.CATALOG_READ,
        "List sources",
        answers=Paged[shapes.Source],
        example={"results": [shapes.SOURCE], "next": None},
    )
    def get(self, request: Request, asked: Page) -> HttpResponse:
        return self.page(request, asked)


class SourceDetail(SourceShelf):
    @call(
        Scope.CATALOG_READ,
        "Read a source",
        answers=shapes.Source,
        example=shapes.SOURCE,
        refuses=[Problem(404, "There is no source 'gateway'.")],
    )
    def get(self, request: Request, key: SourceKey) -> HttpResponse:
        return self.one(key)


MeterKey = Annotated[str, Meta(description="The meter's key.", examples=["words"])]


class MeterShelf(Shelf):
    tag = "What is sold"

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
    def get(self, request: Request, asked: Page) -> HttpResponse:
        return self.page(request, asked)


class MeterDetail(MeterShelf):
    @call(
        Scope.CATALOG_READ,
        "Read a meter",
        answers=shapes.Meter,
        example=shapes.METER,
        refuses=[Problem(404, "There is no meter 'words'.")],
    )
    def get(self, request: Request, key: MeterKey) -> HttpResponse:
        return self.one(key)


FeatureKey = Annotated[str, Meta(description="The feature's key.", examples=["glossaries"])]


class FeatureShelf(Shelf):
    tag = "What is sold"

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


class FeatureDetail(FeatureShelf):
    @call(
        Scope.CATALOG_READ,
        "Read a feature",
        answers=shapes.Feature,
        example=shapes.FEATURE,
        refuses=[Problem(404, "There is no feature 'glossaries'.")],
    )
    def get(self, request: Request, key: FeatureKey) -> HttpResponse:
        return self.one(key)


PlanKey = Annotated[str, Meta(description="The plan's key.", examples=["translate"])]


class PlanShelf(Shelf):
    tag = "What is sold"

    def rows(self) -> QuerySet[Plan]:
        prices = Price.objects.select_related("meter").prefetch_related("tiers")
        versions = PlanVersion.objects.order_by("number").prefetch_related(Prefetch("prices", prices))
        return Plan.objects.prefetch_related(Prefetch("versions", versions))

    def render(self, row: Plan) -> dict[str, Any]:
        return {
            "key": row.key,
            "name": row.name,
            "interval": row.interval,
            "tolerance_window": window(row.tolerance_window),
            "versions": [version_json(version) for version in row.versions.all()],
        }


class PlanList(PlanShelf):
    @call(
        Scope.CATALOG_READ,
        "List plans",
        answers=Paged[shapes.Plan],
        example={"results": [shapes.PLAN], "next": None},
    )
    def get(self, request: Request, asked: Page) -> HttpResponse:
        return self.page(request, asked)


class PlanDetail(PlanShelf):
    @call(
        Scope.CATALOG_READ,
        "Read a plan",
        answers=shapes.Plan,
        example=shapes.PLAN,
        refuses=[Problem(404, "There is no plan 'translate'.")],
    )
    def get(self, request: Request, key: PlanKey) -> HttpResponse:
        return self.one(key)


def version_json(version: PlanVersion) -> dict[str, Any]:
    return {
        "number": version.number,
        "status": version.status,
        "currency": version.currency,
        "effective_from": version.effective_from,
        "published_at": version.published_at,
        "prices": [price_json(price) for price in version.prices.all()],
    }


def price_json(price: Price) -> dict[str, Any]:
    terms = {name: plain_number(value) for name, value in price.terms().items()}
    about = {"key": price.key, "name": price.name, "kind": price.kind, "meter": price.meter and price.meter.key}
    return {**about, **terms, "billing": price.billing, "prorate": price.prorate}


def plain_number(value: Any) -> Any:
    """Without the zeros that a column of 12 decimals adds."""
    if isinstance(value, list):
        return [{name: plain_number(inner) for name, inner in tier.items()} for tier in value]
    return f"{value.normalize():f}" if hasattr(value, "normalize") else value


CustomerKey = Annotated[str, Meta(description="The customer's key.", examples=["globex"])]


class CustomerShelf(Shelf):
    tag = "Customers and contracts"

    def rows(self) -> QuerySet[Customer]:
        return Customer.objects.prefetch_related("aliases")

    def render(self, row: Customer) -> dict[str, Any]:
        names = ("key", "name", "country", "timezone", "tax_id", "billing_address")
        subjects = sorted(alias.subject for alias in row.aliases.all())
        return {**{name: getattr(row, name) for name in names}, "subjects": subjects}


class CustomerList(CustomerShelf):
    @call(
        Scope.CONTRACTS_READ,
        "List customers",
        answers=Paged[shapes.Customer],
        example={"results": [shapes.CUSTOMER], "next": None},
    )
    def get(self, request: Request, asked: CustomerFilter) -> HttpResponse:
        return self.page(request, asked)


class CustomerDetail(CustomerShelf):
    @call(
        Scope.CONTRACTS_READ,
        "Read a customer",
        answers=shapes.Customer,
        example=shapes.CUSTOMER,
        refuses=[Problem(404, "There is no customer 'globex'.")],
    )
    def get(self, request: Request, key: CustomerKey) -> HttpResponse:
        return self.one(key)


ContractKey = Annotated[str, Meta(description="The contract's number.", examples=["G-1"])]


class ContractShelf(Shelf):
    tag = "Customers and contracts"
    key_field = "number"

    def rows(self) -> QuerySet[Contract]:
        lines = ContractLine.objects.filter(superseded_at__isnull=True).select_related("plan_version__plan")
        return Contract.objects.select_related("customer", "seller").prefetch_related(
            Prefetch("lines", lines),
            Prefetch("discounts", Discount.objects.filter(superseded_at__isnull=True)),
            Prefetch("one_time_terms", OneTimeTerm.objects.filter(superseded_at__isnull=True)),
        )

    def render(self, row: Contract) -> dict[str, Any]:
        names = ("status", "currency", "starts_on", "ends_on", "anchor", "payment_terms_days", "purchase_order")
        return {
            "number": row.number,
            "customer": row.customer.key,
            "seller": row.seller.key,
            **{name: getattr(row, name) for name in names},
            "timezone": row.timezone_name(),
            "tolerance_window": window(row.tolerance_window),
            "lines": [line_json(line) for line in row.lines.all()],
            "discounts": [discount_json(discount) for discount in row.discounts.all()],
            "one_time_terms": [
                {"key": term.key, "description": term.description, "amount": plain_number(term.amount), "on": term.on}
                for term in row.one_time_terms.all()
            ],
        }


class ContractList(ContractShelf):
    @call(
        Scope.CONTRACTS_READ,
        "List contracts",
        answers=Paged[shapes.Contract],
        example={"results": [shapes.CONTRACT], "next": None},
    )
    def get(self, request: Request, asked: ContractFilter) -> HttpResponse:
        return self.page(request, asked)


class ContractDetail(ContractShelf):
    @call(
        Scope.CONTRACTS_READ,
        "Read a contract",
        answers=shapes.Contract,
        example=shapes.CONTRACT,
        refuses=[Problem(404, "There is no contract 'G-1'.")],
    )
    def get(self, request: Request, key: ContractKey) -> HttpResponse:
        return self.one(key)


def line_json(line: ContractLine) -> dict[str, Any]:
    return {
        "key": line.key,
        "plan": line.plan_version.plan.key,
        "version": line.plan_version.number,
        "quantity": plain_number(line.quantity),
        "from": line.starts_on,
        "until": line.ends_on,
    }


def discount_json(discount: Discount) -> dict[str, Any]:
    return {
        "key": discount.key,
        "kind": discount.kind,
        "value": plain_number(discount.value),
        "applies_to": discount.applies_to,
        "from": discount.starts_on,
        "until": discount.ends_on,
    }


def window(duration: dt.timedelta | None) -> str | None:
    """A duration as in a scenario file: 24h, 90m, 45s."""
    if duration is None:
        return None
    seconds = int(duration.total_seconds())
    for size, letter in ((3600, "h"), (60, "m")):
        if seconds % size == 0:
            return f"{seconds // size}{letter}"
    return f"{seconds}s"


# Keys of sources and numbers of contracts may hold slashes: a source is often an address, a number whatever it is on
# paper.
listings = [
    path("sources", SourceList.as_view(), name="sources"),
    path("sources/<path:key>", SourceDetail.as_view(), name="source"),
    path("meters", MeterList.as_view(), name="meters"),
    path("meters/<str:key>", MeterDetail.as_view(), name="meter"),
    path("features", FeatureList.as_view(), name="features"),
    path("features/<str:key>", FeatureDetail.as_view(), name="feature"),
    path("plans", PlanList.as_view(), name="plans"),
    path("plans/<str:key>", PlanDetail.as_view(), name="plan"),
    path("customers", CustomerList.as_view(), name="customers"),
    path("customers/<str:key>", CustomerDetail.as_view(), name="customer"),
    path("contracts", ContractList.as_view(), name="contracts"),
    path("contracts/<path:key>", ContractDetail.as_view(), name="contract"),
]
