"""Entitlements over HTTP: what plans give, what contracts say otherwise, and what a customer may use."""

from __future__ import annotations

from typing import Any

import pytest

from catalog.models import Feature
from contracts.drafts import AllowanceDraft
from contracts.lifecycle import amend

from .conftest import THEN, Api, Company, event

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])

GIVEN: list[dict[str, Any]] = [
    {"feature": "tokens", "meter": "tokens", "limit": "1000", "reset": "month", "on_limit": "bill",
     "thresholds": [80], "rollover": {"unused": "50%", "cap": "300", "periods": 2}},
    {"feature": "seats", "value": 5},
    {"feature": "sso"},
]  # fmt: skip


@pytest.fixture
def features(company: Company) -> None:
    for name in ("tokens", "seats", "sso"):
        Feature.objects.create(key=name, name=name)


def test_a_version_is_drafted_with_entitlements_and_keeps_them(api: Api, features: None) -> None:
    made = api.post("plans/pro/versions", {"prices": [], "entitlements": GIVEN})
    assert made.status == 201, made.raw
    assert made.json["entitlements"] == [
        {**GIVEN[0], "kind": "metered"},
        {"feature": "seats", "kind": "static", "value": 5},
        {"feature": "sso", "kind": "boolean"},
    ]
    changed = api.call("PATCH", "plans/pro/versions/2", {"effective_from": "2026-08-01"})
    assert changed.json["entitlements"] == made.json["entitlements"]


def test_what_contradicts_itself_is_refused_with_its_place(api: Api, features: None) -> None:
    wrong = [
        {"feature": "tokens", "limit": "10"},
        {"feature": "nothing"},
        {"feature": "sso", "value": "x", "meter": "tokens"},
        {"feature": "seats", "meter": "tokens", "limit": "-1", "thresholds": [0, 50, 50],
         "rollover": {"unused": "150%"}},
    ]  # fmt: skip
    refused = api.post("plans/pro/versions", {"prices": [], "entitlements": wrong})
    assert refused.status == 400
    found = {(one["path"], one["code"]) for one in refused.json["errors"]}
    assert found == {
        ("entitlements[0].meter", "missing"),
        ("entitlements[1].feature", "unknown"),
        ("entitlements[2].value", "invalid"),
        ("entitlements[3].limit", "invalid"),
        ("entitlements[3].thresholds", "invalid"),
        ("entitlements[3].thresholds", "duplicate"),
        ("entitlements[3].rollover.unused", "invalid"),
    }


def test_free_units_that_are_an_allowance_need_one_of_the_same_meter_and_period(api: Api, features: None) -> None:
    price = {"key": "tokens", "kind": "usage", "meter": "tokens", "model": "per_unit", "unit_amount": "0.01"}
    body = {"prices": [{**price, "included": "entitlement"}], "entitlements": GIVEN}
    refused = api.post("plans/pro/versions", body)
    assert [one["path"] for one in refused.json["errors"]] == ["prices[0].included"]
    assert "each month" in refused.json["errors"][0]["detail"]
    monthly = {name: value for name, value in GIVEN[0].items() if name != "reset"}
    made = api.post("plans/pro/versions", {**body, "entitlements": [monthly]})
    assert made.status == 201, made.raw
    assert made.json["prices"][0]["included"] == "entitlement"


def test_access_is_right_at_once(api: Api, company: Company, features: None) -> None:
    assert api.get("customers/acme/entitlements/tokens").json == {
        "feature": "tokens", "has_access": False, "kind": None, "value": None, "limit": None, "used": None,
        "remaining": None, "overage": None, "on_limit": None, "resets_at": None,
    }  # fmt: skip
    terms = {"entitlements": [{"feature": "tokens", "meter": "tokens", "limit": "15"}, {"feature": "sso"}]}
    assert api.post("contracts/C-1/amend", terms).status == 200
    now = {name: value for name, value in event("e1").items() if name != "time"}
    api.post("events", now)
    first = api.get("customers/acme/entitlements/tokens").json
    assert (first["limit"], first["used"], first["remaining"], first["has_access"]) == ("15", "10", "5", True)
    assert first["resets_at"].endswith("-01T00:00:00Z")
    api.post("events", {**now, "id": "e2"})
    second = api.get("customers/acme/entitlements/tokens").json
    assert (second["used"], second["remaining"], second["overage"], second["has_access"]) == ("20", "0", "5", False)
    api.post("corrections", {"kind": "void", "source": "gw", "id": "e2", "reason": "test"})
    assert api.get("customers/acme/entitlements/tokens").json["has_access"]
    listed = api.get("customers/acme/entitlements").json
    assert [(one["feature"], one["has_access"]) for one in listed] == [("sso", True), ("tokens", True)]


def test_a_contract_says_what_it_agrees_otherwise(api: Api, company: Company, features: None) -> None:
    said = {"feature": "tokens", "meter": "tokens", "limit": "15", "reset": "day", "thresholds": [90], "extra": "2.5",
            "rollover": {"unused": "25%"}, "from": "2026-02-01", "until": "2026-03-01", "reason": "Launch"}  # fmt: skip
    amended = api.post("contracts/C-1/amend", {"entitlements": [said]})
    assert amended.status == 200, amended.raw
    rollover = {"unused": "25%", "cap": None, "periods": 1}
    shown = {**said, "key": "entitlement-1", "rollover": rollover}
    assert api.get("contracts/C-1").json["entitlements"] == [shown]
    again = api.post("contracts/C-1/amend", {"entitlements": [shown]})
    assert again.json["revision"] == amended.json["revision"]
    refused = api.post(
        "contracts/C-1/amend", {"entitlements": [{"feature": "tokens", "extra": "-1", "unlimited": True, "limit": "1"}]}
    )
    assert {one["path"] for one in refused.json["errors"]} >= {
        "entitlements[0].extra",
        "entitlements[0].limit",
        "entitlements[0].meter",
    }


def test_who_and_what_is_not_there_is_said(api: Api, features: None) -> None:
    assert api.get("customers/nobody/entitlements").status == 404
    assert api.get("customers/nobody/entitlements/tokens").status == 404
    assert "feature" in api.get("customers/acme/entitlements/flying").json["detail"]


def test_the_scope_is_that_of_usage(api: Api, company: Company, features: None, key: Any) -> None:
    amend(company.contract, entitlements=[AllowanceDraft("sso", THEN.date())], at=THEN)
    assert api.as_key(key("usage:read")).get("customers/acme/entitlements/sso").status == 200
    assert api.as_key(key("catalog:read")).get("customers/acme/entitlements/sso").status == 403
