"""Read-only lists of what is sold and to whom, in the words of a scenario file."""

from __future__ import annotations

import datetime as dt
from abc import ABC, abstractmethod
from typing import Any, ClassVar

from django.db.models import Prefetch, QuerySet
from django.http import HttpResponse
from django.urls import path
from rest_framework.request import Request

from billing.models import Source
from catalog.models import Feature, Meter, Plan, PlanVersion, Price
from contracts.models import Contract, ContractLine, Customer, Discount, OneTimeTerm
from revops.api.door import Door, answer
from revops.api.paging import Page, page_of
from revops.api.problems import Problem
from revops.api.reading import Nothing, query
from revops.models import Scope


class CustomerFilter(Page, frozen=True, kw_only=True):
    country: str | None = None


class ContractFilter(Page, frozen=True, kw_only=True):
    customer: str | None = None
    status: str | None = None


class Listing(Door, ABC):
    """A list of rows, and one row by its key."""

    form: ClassVar[type[Page]] = Page
    key_field: ClassVar[str] = "key"

    @abstractmethod
    def rows(self) -> QuerySet[Any]:
        """The rows of the list, with what `render` reads."""

    @abstractmethod
    def render(self, row: Any) -> dict[str, Any]:
        """One row as JSON."""

    def matching(self, asked: Any) -> QuerySet[Any]:
        """The rows that pass the filters of the address."""
        rows = self.rows()
        for name, lookup in FILTERS.items():
            value = getattr(asked, name, None)
            if value is not None:
                rows = rows.filter(**{lookup: value})
        return rows

    def get(self, request: Request, key: str | None = None) -> HttpResponse:
        if key is None:
            asked = query(request, self.form)
            return answer(
                page_of(
                    self.matching(asked), request, asked, {"pk": int}, lambda rows: [self.render(row) for row in rows]
                )
            )
        query(request, Nothing)
        row = self.rows().filter(**{self.key_field: key}).first()
        if row is None:
            raise Problem(404, f"There is no {self.rows().model._meta.verbose_name} {key!r}.")
        return answer(self.render(row))


FILTERS = {"customer": "customer__key", "status": "status", "country": "country"}


class Sources(Listing):
    scopes = {"GET": Scope.CATALOG_READ}

    def rows(self) -> QuerySet[Source]:
        return Source.objects.all()

    def render(self, row: Source) -> dict[str, Any]:
        return {"key": row.key, "name": row.name, "tolerance_window": window(row.tolerance_window)}


class Meters(Listing):
    scopes = {"GET": Scope.CATALOG_READ}

    def rows(self) -> QuerySet[Meter]:
        return Meter.objects.all()

    def render(self, row: Meter) -> dict[str, Any]:
        names = ("key", "name", "event_type", "aggregation", "value", "group_by", "filters", "unit", "allow_negative")
        return {name: getattr(row, name) for name in names}


class Features(Listing):
    scopes = {"GET": Scope.CATALOG_READ}

    def rows(self) -> QuerySet[Feature]:
        return Feature.objects.all()

    def render(self, row: Feature) -> dict[str, Any]:
        return {"key": row.key, "name": row.name, "description": row.description}


class Plans(Listing):
    scopes = {"GET": Scope.CATALOG_READ}

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


class Customers(Listing):
    scopes = {"GET": Scope.CONTRACTS_READ}
    form = CustomerFilter

    def rows(self) -> QuerySet[Customer]:
        return Customer.objects.prefetch_related("aliases")

    def render(self, row: Customer) -> dict[str, Any]:
        names = ("key", "name", "country", "timezone", "tax_id", "billing_address")
        subjects = sorted(alias.subject for alias in row.aliases.all())
        return {**{name: getattr(row, name) for name in names}, "subjects": subjects}


class Contracts(Listing):
    scopes = {"GET": Scope.CONTRACTS_READ}
    form = ContractFilter
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


LISTS: dict[str, type[Listing]] = {
    "sources": Sources,
    "meters": Meters,
    "features": Features,
    "plans": Plans,
    "customers": Customers,
    "contracts": Contracts,
}

# Keys of these may hold slashes: a source is often an address, a contract's number whatever it is on paper.
KIND = {"sources": "path", "contracts": "path"}

listings = [
    pattern
    for name, view in LISTS.items()
    for pattern in (
        path(name, view.as_view(), name=name),
        path(f"{name}/<{KIND.get(name, 'str')}:key>", view.as_view(), name=name.removesuffix("s")),
    )
]
