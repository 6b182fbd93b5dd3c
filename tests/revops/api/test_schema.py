"""The OpenAPI document: complete, true to the doors, and valid with every example in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from django.test import Client
from django.urls import URLPattern
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from billing.invoicing import bill_run
from revops.api.calls import call_of
from revops.api.schema import documentation
from revops.models import Scope
from revops.urls import doors

from .conftest import THEN, Api, Company, event

DOCUMENT = documentation()
REGISTRY = Registry().with_resource("urn:api", Resource.from_contents(DOCUMENT, DRAFT202012))


def operations() -> list[Any]:
    return [
        pytest.param(path, method, operation, id=f"{method} {path}")
        for path, methods in DOCUMENT["paths"].items()
        for method, operation in methods.items()
    ]


def resolved(node: Any) -> Any:
    """A part of the document, or what it refers to."""
    if "$ref" not in node:
        return node
    found: Any = DOCUMENT
    for name in node["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return found


def faults(value: Any, schema: Any, closed: bool = False) -> list[str]:
    """What is wrong with a value. `closed`: a field that the schema does not name is wrong too."""
    contents = closed_document() if closed else DOCUMENT
    registry = REGISTRY.with_resource("urn:api", Resource.from_contents(contents, DRAFT202012))
    # References of the document are seen from the document.
    placed = json.loads(json.dumps(schema).replace('"#/', '"urn:api#/'))
    checker = Draft202012Validator(placed, registry=registry, format_checker=FormatChecker())
    return [f"{error.json_path}: {error.message[:200]}" for error in checker.iter_errors(value)]


def closed_document() -> Any:
    def close(node: Any) -> Any:
        if isinstance(node, list):
            return [close(inner) for inner in node]
        if not isinstance(node, dict):
            return node
        made = {name: close(inner) for name, inner in node.items()}
        if made.get("type") == "object" and isinstance(made.get("properties"), dict):
            made.setdefault("additionalProperties", False)
        return made

    return {**DOCUMENT, "components": {**DOCUMENT["components"], "schemas": close(DOCUMENT["components"]["schemas"])}}


def test_every_address_declares_every_method_it_has() -> None:
    undeclared = []
    for pattern in doors:
        assert isinstance(pattern, URLPattern)
        view = pattern.callback.cls()
        methods = set(view.allowed_methods) - {"OPTIONS", "HEAD"}
        undeclared += [f"{method} {pattern.pattern}" for method in methods if call_of(view, method) is None]
    assert undeclared == []


def test_the_document_has_every_address() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    documented = sum(len(methods) for methods in DOCUMENT["paths"].values())
    declared = sum(len(set(p.callback.cls().allowed_methods) - {"OPTIONS", "HEAD"}) for p in doors)
    assert documented == declared


@pytest.mark.parametrize(("path", "method", "operation"), operations())
def test_a_call_says_its_scope_and_all_it_may_answer(path: str, method: str, operation: Any) -> None:
    scopes = {tuple(names) for one in operation["security"] for names in one.values()}
    assert len(scopes) == 1
    assert set(next(iter(scopes))) <= set(Scope.values)
    answers = set(operation["responses"])
    assert {"400", "401", "403", "405", "429", "500", "503"} <= answers
    assert "404" in answers or "{" not in path
    assert {"413", "415"} <= answers or method in ("get", "delete")
    assert operation["tags"][0] in {tag["name"] for tag in DOCUMENT["tags"]}
    assert operation["summary"]


def examples_of(operation: Any) -> Iterator[tuple[str, Any, Any]]:
    for parameter in operation["parameters"]:
        if "example" in parameter:
            yield parameter["name"], parameter["example"], parameter["schema"]
    bodies = [("body", operation["requestBody"])] if "requestBody" in operation else []
    for place, holder in [*bodies, *operation["responses"].items()]:
        for content in resolved(holder).get("content", {}).values():
            assert "example" in content or content.get("examples"), f"{place} has no example"
            if "example" in content:
                yield place, content["example"], content["schema"]
            for example in content.get("examples", {}).values():
                yield place, example["value"], content["schema"]


@pytest.mark.parametrize(("path", "method", "operation"), operations())
def test_every_example_is_valid(path: str, method: str, operation: Any) -> None:
    closed = {"closed": True}
    wrong = [
        (place, fault) for place, value, schema in examples_of(operation) for fault in faults(value, schema, **closed)
    ]
    assert wrong == []


@pytest.mark.parametrize(("path", "method", "operation"), operations())
def test_the_parts_of_a_path_are_its_parameters(path: str, method: str, operation: Any) -> None:
    named = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"}
    assert named == set(re.findall(r"{(\w+)}", path))


def test_calls_have_names_of_their_own() -> None:
    names = [one["operationId"] for methods in DOCUMENT["paths"].values() for one in methods.values()]
    assert len(names) == len(set(names))


def test_the_document_is_served_as_json_and_as_yaml_without_a_key(client: Client) -> None:
    as_json = client.get("/api/schema")
    assert (as_json.status_code, as_json["Content-Type"]) == (200, "application/json")
    assert as_json.json() == DOCUMENT
    for answer in (client.get("/api/schema?format=yaml"), client.get("/api/schema", HTTP_ACCEPT="application/yaml")):
        assert answer["Content-Type"] == "application/yaml"
        assert yaml.safe_load(answer.content) == DOCUMENT
    refused = client.get("/api/schema?format=xml")
    assert (refused.status_code, refused["Content-Type"]) == (400, "application/problem+json")
    assert client.post("/api/schema").status_code == 405


@pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])
def test_answers_hold_what_the_document_says_and_nothing_else(api: Api, company: Company) -> None:
    api.post("events", [event("e1", tokens=1000), event("e2", tokens=1), event("e3", subject="nobody")])
    api.post("corrections", {"kind": "void", "source": "gw", "id": "e2", "reason": "a test"})
    bill_run.run(THEN.replace(month=2, day=2))
    invoice = api.get("invoices").json["results"][0]
    line = next(line["id"] for line in invoice["lines"] if line["kind"] == "usage")
    addresses = {
        "/events": "events?customer=acme",
        "/usage": "usage?customer=acme&meter=tokens&from=2026-01-01&to=2026-02-01&group_by=model",
        "/customers/{key}/preview": "customers/acme/preview",
        "/invoices": "invoices",
        "/invoices/{id}": f"invoices/{invoice['id']}",
        "/invoices/{id}/lines/{line}/events": f"invoices/{invoice['id']}/lines/{line}/events",
        "/sources": "sources",
        "/meters": "meters",
        "/features": "features",
        "/plans": "plans",
        "/customers": "customers",
        "/contracts": "contracts",
    }
    wrong = {}
    for path, address in addresses.items():
        answer = api.get(address)
        assert answer.status == 200, (address, answer.json)
        content = DOCUMENT["paths"][f"/api/v1{path}"]["get"]["responses"]["200"]["content"]
        if found := faults(answer.json, content["application/json"]["schema"], closed=True):
            wrong[address] = found
    assert wrong == {}


@pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])
def test_every_call_needs_a_key_and_its_own_scope(api: Api, key: Any) -> None:
    wrong = []
    others = {scope: api.as_key(key(*[one for one in Scope.values if not opens(one, scope)])) for scope in Scope.values}
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            address = re.sub(r"{(number|id|line)}", "1", path).replace("{key}", "x")
            (scope,) = next(iter(operation["security"][0].values()))
            for caller, expected in ((api.as_key(None), 401), (others[scope], 403)):
                body = None if method in ("get", "delete") else {}
                answer = caller.call(method.upper(), address, body)
                if answer.status != expected or answer.headers["content-type"] != "application/problem+json":
                    wrong.append((method, path, answer.status, expected))
    assert wrong == []


def opens(owned: str, scope: str) -> bool:
    """Whether a key with `owned` may do what needs `scope`."""
    return owned == scope or (scope.endswith(":read") and owned == scope.replace(":read", ":write"))
