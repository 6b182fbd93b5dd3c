"""Customers: who uses and pays, the subjects of their events, whom to write to."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.urls import path
from msgspec import Meta
from rest_framework.request import Request

from contracts.models import Customer, CustomerAlias
from revops.api import catalog_shapes as shapes
from revops.api.calls import Document, call
from revops.api.catalog import NAMED_FOR_EVER
from revops.api.paging import Page
from revops.api.problems import Problem
from revops.api.shapes import Paged
from revops.api.shelves import CHANGED, MADE, MARKED, Shelf, changes, refused
from revops.models import Scope
from revops.vocabulary.contract_loading import drop_others, keep_customers
from revops.vocabulary.loading import Load
from revops.vocabulary.words import CustomerWords

CustomerKey = Annotated[str, Meta(description="The customer's key.", examples=["globex"])]
NO_CUSTOMER = Problem(404, "There is no customer 'globex'.")
TAKEN = refused("subjects[0]", "taken", "the subject globex-prod belongs to the customer initech")
LISTS = ("subjects", "contacts")


class CustomerFilter(Page, frozen=True, kw_only=True):
    country: Annotated[str | None, Meta(description="Only customers of this country.", examples=["DE"])] = None
    subject: Annotated[
        str | None, Meta(description="Whose events come under this subject.", examples=["globex-prod"])
    ] = None


class CustomerShelf(Shelf):
    tag = "Customers and contracts"
    words = CustomerWords
    filters = {"country": "country"}

    def rows(self) -> QuerySet[Customer]:
        return Customer.objects.prefetch_related("aliases", "contacts")

    def render(self, row: Customer) -> dict[str, Any]:
        names = (
            "key", "name", "country", "timezone", "tax_id", "tax_exempt", "tax_exempt_reason", "billing_address",
        )  # fmt: skip
        contacts = sorted(row.contacts.all(), key=lambda one: one.pk)
        return {
            **{name: getattr(row, name) for name in names},
            "subjects": sorted(alias.subject for alias in row.aliases.all()),
            "contacts": [
                {"email": one.email, "name": one.name, "receives_invoices": one.receives_invoices} for one in contacts
            ],
        }

    def said(self, row: Customer) -> dict[str, Any]:
        """What is empty is not said."""
        return {name: value for name, value in super().said(row).items() if value != ""}


class CustomerList(CustomerShelf):
    @call(
        Scope.CONTRACTS_READ,
        "List customers",
        answers=Paged[shapes.Customer],
        example={"results": [shapes.CUSTOMER], "next": None},
    )
    def get(self, request: Request, asked: CustomerFilter) -> HttpResponse:
        return self.page(request, asked)

    def matching(self, asked: Any) -> QuerySet[Customer]:
        rows: QuerySet[Customer] = super().matching(asked)
        if asked.subject is None:
            return rows
        aliases = CustomerAlias.objects.filter(subject=asked.subject)
        return rows.filter(Q(key=asked.subject) | Q(pk__in=aliases.values("customer")))

    @call(
        Scope.CONTRACTS_WRITE,
        "Add a customer",
        status=201,
        is_deed=True,
        tells=MADE,
        answers=shapes.Customer,
        example=shapes.CUSTOMER,
        sends={"key": "globex", "name": "Globex Corp", "country": "DE", "subjects": ["globex-prod"]},
        refuses=[refused("key", "exists", "there is a customer globex already; change it with PATCH"), TAKEN],
    )
    def post(self, request: Request, sent: CustomerWords) -> HttpResponse:
        """Its events come under its key and under its `subjects`, each of which belongs to one customer."""
        return self.create(request, lambda load: keep_customers([("", sent)], load), key=sent.key)


class CustomerDetail(CustomerShelf):
    @call(
        Scope.CONTRACTS_READ,
        "Read a customer",
        tells=MARKED,
        answers=shapes.Customer,
        example=shapes.CUSTOMER,
        refuses=[NO_CUSTOMER],
    )
    def get(self, request: Request, key: CustomerKey) -> HttpResponse:
        return self.one(key=key)

    @call(
        Scope.CONTRACTS_WRITE,
        "Change a customer",
        tells=MARKED,
        answers=shapes.Customer,
        example=shapes.CUSTOMER,
        takes=changes(CustomerWords, "CustomerChange"),
        sends={"subjects": ["globex-prod", "globex-eu"]},
        refuses=[
            NO_CUSTOMER,
            NAMED_FOR_EVER,
            TAKEN,
            refused("timezone", "frozen", "contracts of globex are billed by its time zone"),
            refused("tax_id", "invalid", "DE123 is not a VAT id of DE. The number has an invalid length."),
            CHANGED,
        ],
    )
    def patch(self, request: Request, key: CustomerKey, sent: Document) -> HttpResponse:
        """`subjects` and `contacts` are replaced whole. Events that are labelled already stay the customer's; new ones
        under a subject that is nobody's any more are held for review.
        """
        return self.change(request, sent, keep_customer, key=key)


def keep_customer(load: Load, row: Customer, words: CustomerWords, cleared: set[str]) -> None:
    """The words are all of the customer."""
    words = replace(words, subjects=words.subjects or (), contacts=words.contacts or ())
    keep_customers([("", words)], load, [name for name in cleared if name not in LISTS])
    load.finish()
    drop_others(words, load)


addresses = [
    path("customers", CustomerList.as_view(), name="customers"),
    path("customers/<str:key>", CustomerDetail.as_view(), name="customer"),
]
