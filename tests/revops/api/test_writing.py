"""A whole agreement made by API only, by two keys: from a meter to the bill, with amounts worked out by hand."""

from __future__ import annotations

import datetime as dt

import pytest

from billing.invoicing import bill_run
from catalog.models import Seller
from contracts.models import Contract

from .conftest import Api, event

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])

FEBRUARY = dt.datetime(2026, 2, 2, tzinfo=dt.UTC)

PRICES = [
    {"key": "base", "kind": "recurring", "model": "flat", "flat_amount": "99.00", "name": "Base fee"},
    {
        "key": "tokens",
        "kind": "usage",
        "meter": "tokens",
        "model": "graduated",
        "included_units": "1000",
        "tiers": [{"up_to": "10000", "unit_amount": "0.002"}, {"up_to": None, "unit_amount": "0.001"}],
    },
]


@pytest.fixture
def seller(transactional_db: None) -> Seller:
    return Seller.objects.create(key="main", name="Watertight Inc")


@pytest.fixture
def other(api: Api, key) -> Api:
    """Another key with the same scopes."""
    return api.as_key(key("catalog:write", "contracts:write"))


@pytest.fixture
def world(api: Api, other: Api, seller: Seller) -> Api:
    """gw, tokens, pro@1 published, acme and its contract C-1 approved: all by API."""
    assert api.post("sources", {"key": "gw"}).status == 201
    meter = {"key": "tokens", "event_type": "llm.request", "aggregation": "sum", "value": "tokens", "unit": "tokens"}
    assert api.post("meters", meter).status == 201
    assert api.post("plans", {"key": "pro", "name": "Pro", "interval": "month"}).status == 201
    assert api.post("plans/pro/versions", {"currency": "USD", "prices": PRICES}).status == 201
    assert api.post("plans/pro/versions/1/submit").status == 200
    assert other.post("plans/pro/versions/1/approve").status == 200
    customer = {"key": "acme", "name": "Acme GmbH", "country": "DE", "subjects": ["acme-eu"]}
    assert api.post("customers", customer).status == 201
    contract = {
        "number": "C-1", "customer": "acme", "currency": "USD", "starts_on": "2026-01-01", "anchor": "calendar",
        "lines": [{"plan": "pro"}],
    }  # fmt: skip
    assert api.post("contracts", contract).status == 201
    assert api.post("contracts/C-1/submit").status == 200
    assert other.post("contracts/C-1/approve").status == 200
    return api


def test_what_was_made_by_api_bills_what_a_pencil_says(world: Api) -> None:
    sent = world.post("events", [event("e1", 9000), event("e2", 4000, subject="acme-eu")]).json
    assert (sent["accepted"], sent["quarantined"]) == (2, 0)
    preview = world.get("customers/acme/preview").json[0]
    # 13,000 tokens, 1,000 of them included: 10,000 x 0.002 + 2,000 x 0.001 = 22.00; with the base 121.00
    assert [line["amount"] for line in preview["lines"]] == ["99.00", "22.00"]
    assert (preview["status"], preview["total"]) == ("preview", "121.00")


def test_an_amendment_changes_the_next_invoice_and_an_end_the_last(world: Api) -> None:
    discount = {"kind": "percent", "value": "10", "applies_to": ["base"]}
    amended = world.post("contracts/C-1/amend", {"discounts": [discount], "reason": "Agreed with sales"})
    assert amended.status == 200, amended.json
    assert (amended.json["revision"], amended.json["discounts"][0]["key"]) == (1, "discount-1")
    history = Contract.objects.get().history.latest("history_id")
    assert history.history_change_reason == "Agreed with sales (API key test)"
    bill_run.run(FEBRUARY)
    # 99.00 less 10 %
    assert world.get("invoices").json["results"][0]["total"] == "89.10"
    ended = world.post("contracts/C-1/end", {"on": "2026-02-15", "reason": "Cancelled"})
    assert (ended.status, ended.json["ends_on"], ended.json["lines"][0]["until"]) == (200, "2026-02-15", "2026-02-15")
    # 14 of February's 28 days: 49.50 less 10 %
    assert world.get("customers/acme/preview").json[0]["total"] == "44.55"


def test_lines_are_amended_in_the_words_they_were_drafted_in(world: Api) -> None:
    lines = [{"plan": "pro", "until": "2026-01-16"}, {"plan": "pro", "from": "2026-01-16", "quantity": "2"}]
    answer = world.post("contracts/C-1/amend", {"lines": lines})
    assert answer.status == 200, answer.json
    shown = [(line["version"], line["quantity"], line["from"], line["until"]) for line in answer.json["lines"]]
    assert shown == [(1, "1", "2026-01-01", "2026-01-16"), (1, "2", "2026-01-16", None)]


def test_an_amendment_that_cannot_be_says_where_and_changes_nothing(world: Api) -> None:
    before = world.get("contracts/C-1").json
    seats = {"discounts": [{"kind": "percent", "value": "10", "applies_to": ["seats"]}]}
    answer = world.post("contracts/C-1/amend", {"ends_on": "2026-12-31", **seats})
    assert answer.status == 400
    assert answer.json["errors"][0] == {
        "path": "discounts[0].applies_to", "code": "unknown", "detail": "no line of the contract has a price seats",
    }  # fmt: skip
    assert world.get("contracts/C-1").json == before
    assert world.post("contracts/C-1/amend", {"lines": [{"plan": "nix"}]}).json["errors"][0]["path"] == "lines[0].plan"
    unknown = world.post("contracts/C-1/amend", {"discount": []})
    assert (unknown.status, unknown.json["errors"][0]["path"]) == (400, "discount")
    later = world.post("contracts/C-1/amend", {"overrides": [{"price": "tokens"}]})
    assert (later.status, later.json["errors"][0]["code"]) == (400, "unsupported")


def test_a_deed_sent_twice_under_a_key_is_done_once(world: Api) -> None:
    terms = {"one_time": [{"key": "setup", "description": "Setup", "amount": "10.00", "on": "2026-01-05"}]}
    headers = {"Idempotency-Key": "amend-1"}
    answers = [world.post("contracts/C-1/amend", terms, headers=headers) for _ in range(2)]
    assert answers[0].json == answers[1].json
    assert answers[1].json["revision"] == 1
    assert answers[0].json["one_time"] == [
        {"key": "setup", "description": "Setup", "amount": "10.00", "on": "2026-01-05"}
    ]
    other_body = world.post("contracts/C-1/amend", {"one_time": []}, headers=headers)
    assert other_body.status == 422


def test_a_plan_sent_twice_under_a_key_is_made_once_and_located_both_times(api: Api, seller: Seller) -> None:
    headers = {"Idempotency-Key": "plan-1"}
    answers = [api.post("plans", {"key": "team"}, headers=headers) for _ in range(2)]
    assert [answer.status for answer in answers] == [201, 201]
    assert {answer.headers["location"].partition("/api/")[2] for answer in answers} == {"v1/plans/team"}
    again = api.post("plans", {"key": "team"})
    assert (again.status, again.json["errors"][0]["code"]) == (409, "exists")


DEEP = b'{"key": "m", "event_type": "x", "aggregation": "count", "filters": {"a": ' + b"[" * 960 + b"]" * 960 + b"}}"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"key": "\xff"}',
        b'{"key": "a", "name": "\\ud800"}',
        b'{"key": "a", "name": "\\u0000"}',
        b'{"key": 1e999999999}',
        b'{"key": ' + b"9" * 5000 + b"}",
        b'{"key": "m", "event_type": "x", "aggregation": "count", "filters": {"a": {"b": 1}}}',
        DEEP,
        b"[" * 100_000,
    ],
)
def test_a_hostile_body_is_refused_and_never_a_fault_of_ours(api: Api, body: bytes) -> None:
    for method, path in (("POST", "meters"), ("POST", "features"), ("POST", "plans"), ("POST", "contracts")):
        answer = api.call(method, path, body)
        assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json"), path


def test_another_content_type_is_refused(api: Api) -> None:
    assert api.post("features", b"key: sso", content_type="application/yaml").status == 415
