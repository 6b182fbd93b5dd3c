"""Door by door: each writing call lets in keys with its scope, and no other key."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from billing.models import Source
from catalog.models import Feature, Meter, Plan
from catalog.publishing import PriceDraft, draft_version
from contracts.models import Contact, Customer, CustomerAlias
from revops.models import Scope

from .conftest import THEN, Api, Company
from .test_migrating import sign

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])

CATALOG, CONTRACTS = Scope.CATALOG_WRITE, Scope.CONTRACTS_WRITE
CALLS: list[tuple[str, str, Any, Scope]] = [
    ("POST", "sources", {}, CATALOG),
    ("PATCH", "sources/nix", {}, CATALOG),
    ("POST", "meters", {}, CATALOG),
    ("PATCH", "meters/nix", {}, CATALOG),
    ("POST", "features", {}, CATALOG),
    ("PATCH", "features/nix", {}, CATALOG),
    ("POST", "plans", {}, CATALOG),
    ("PATCH", "plans/nix", {}, CATALOG),
    ("POST", "plans/nix/versions", {}, CATALOG),
    ("PATCH", "plans/nix/versions/1", {}, CATALOG),
    ("DELETE", "plans/nix/versions/1", None, CATALOG),
    ("POST", "plans/nix/versions/1/submit", None, CATALOG),
    ("POST", "plans/nix/versions/1/approve", None, CATALOG),
    ("POST", "plans/nix/versions/1/retire", {"reason": "x"}, CATALOG),
    ("POST", "plans/nix/versions/1/migrate", {"all": True, "on": "2026-01-01"}, CONTRACTS),
    ("POST", "customers", {}, CONTRACTS),
    ("PATCH", "customers/nix", {}, CONTRACTS),
    ("POST", "contracts", {}, CONTRACTS),
    ("PATCH", "contracts/nix", {}, CONTRACTS),
    ("DELETE", "contracts/nix", None, CONTRACTS),
    ("POST", "contracts/nix/submit", None, CONTRACTS),
    ("POST", "contracts/nix/approve", None, CONTRACTS),
    ("POST", "contracts/nix/amend", {}, CONTRACTS),
    ("POST", "contracts/nix/credits", {}, CONTRACTS),
    ("POST", "contracts/nix/end", {"on": "2026-01-01", "reason": "x"}, CONTRACTS),
]
READS = {
    "sources": Scope.CATALOG_READ, "meters": Scope.CATALOG_READ, "features": Scope.CATALOG_READ,
    "plans": Scope.CATALOG_READ, "plans/pro/versions": Scope.CATALOG_READ, "plans/pro/versions/1": Scope.CATALOG_READ,
    "customers": Scope.CONTRACTS_READ, "contracts": Scope.CONTRACTS_READ, "contracts/C-1": Scope.CONTRACTS_READ,
    "customers/acme/credits": Scope.BILLING_READ,
}  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body", "scope"), CALLS)
def test_a_writing_call_wants_its_scope_and_no_other_is_enough(
    api: Api, key, method: str, path: str, body: Any, scope: Scope
) -> None:
    others = [one for one in Scope.values if one != scope]
    refused = api.as_key(key(*others)).call(method, path, body)
    assert refused.status == 403
    assert refused.json["detail"] == f"This API key lacks the scope `{scope}`."
    # With it the call is looked at: what it says is incomplete, or names what is not there.
    assert api.as_key(key(scope)).call(method, path, body).status in (400, 404)
    assert api.as_key(None).call(method, path, body).status == 401


@pytest.mark.parametrize(("path", "scope"), READS.items())
def test_a_reading_call_wants_its_scope(api: Api, company: Company, key, path: str, scope: Scope) -> None:
    may = {scope.value, scope.value.replace(":read", ":write")}
    assert api.as_key(key(*[one for one in Scope.values if one not in may])).get(path).status == 403
    for one in may:
        assert api.as_key(key(one)).get(path).status == 200


def fill(company: Company, first: int, last: int) -> None:
    for index in range(first, last):
        name = f"row-{index}"
        Source.objects.create(key=name)
        Meter.objects.create(key=name, event_type="x", aggregation="count")
        Feature.objects.create(key=name, name=name)
        Plan.objects.create(key=name, name=name)
        sign(company, name, name)
        customer = Customer.objects.get(key=name)
        CustomerAlias.objects.create(customer=customer, subject=f"{name}-a")
        Contact.objects.create(customer=customer, email=f"{name}@example.com")
        prices = [PriceDraft("base", "recurring", {"model": "flat", "flat_amount": "1"})]
        draft_version(Plan.objects.get(key=name), currency="USD", prices=prices, at=THEN)


def queries_of(path: str, secret: str) -> int:
    with CaptureQueriesContext(connection) as queries:
        answer = Client().get(f"/api/v1/{path}", HTTP_AUTHORIZATION=f"Bearer {secret}")
    assert answer.status_code == 200
    assert len(json.loads(answer.content)["results"]) >= 3
    return len(queries)


def test_a_list_of_thirty_costs_as_many_queries_as_one_of_three(company: Company, key) -> None:
    secret = key(*Scope.values)
    lists = ["sources", "meters", "features", "plans", "customers", "contracts", "contracts?plan=pro"]
    fill(company, 0, 3)
    queries_of("sources", secret)  # the first call of a minute notes that the key is in use
    few = {path: queries_of(path, secret) for path in lists}
    fill(company, 3, 30)
    assert {path: queries_of(path, secret) for path in lists} == few
    assert max(few.values()) <= 9  # a contract has terms of seven kinds, each read at once for all
