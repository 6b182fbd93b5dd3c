"""Plans and versions over HTTP: drafted, changed, submitted, approved by another key, retired, discarded."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError

from catalog.models import Plan, PlanVersion
from catalog.publishing import submit
from contracts.lifecycle import discard
from contracts.models import Contract

from .conftest import THEN, Api, Company
from .test_catalog_writing import fault

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])

BASE: dict[str, Any] = {"key": "base", "kind": "recurring", "model": "flat", "flat_amount": "99.00"}
TOKENS: dict[str, Any] = {
    "key": "tokens", "kind": "usage", "meter": "tokens", "model": "graduated", "included_units": "1000",
    "tiers": [{"up_to": "10000", "unit_amount": "0.002"}, {"up_to": None, "unit_amount": "0.001"}],
    "minimum_amount": "5.00",
}  # fmt: skip
DRAFT = "plans/pro/versions/2"


@pytest.fixture
def other(api: Api, key) -> Api:
    return api.as_key(key("catalog:write"))


@pytest.fixture
def draft(api: Api, company: Company) -> Api:
    """pro@2, a draft, beside pro@1 that is published."""
    made = api.post("plans/pro/versions", {"effective_from": "2026-07-01", "prices": [BASE, TOKENS]})
    assert made.status == 201, made.json
    return api


def test_a_version_is_drafted_in_the_words_of_a_file_and_read_back_the_same(draft: Api) -> None:
    read = draft.get(DRAFT).json
    assert {name: read[name] for name in ("number", "status", "currency", "effective_from", "published_at")} == {
        "number": 2, "status": "draft", "currency": "USD", "effective_from": "2026-07-01", "published_at": None,
    }  # fmt: skip
    base, tokens = read["prices"]
    assert base == {
        **BASE, "flat_amount": "99.00", "name": "", "meter": None, "billing": "in_arrears", "prorate": True,
    }  # fmt: skip
    assert tokens == {
        **TOKENS, "minimum_amount": "5.00", "name": "", "billing": "in_arrears", "prorate": False,
        "tiers": [
            {"up_to": "10000", "unit_amount": "0.002", "flat_amount": "0.00"},
            {"up_to": None, "unit_amount": "0.001", "flat_amount": "0.00"},
        ],
    }  # fmt: skip
    again = draft.post("plans/pro/versions", {"prices": read["prices"], "effective_from": "2026-08-01"})
    assert (again.json["number"], again.json["prices"]) == (3, read["prices"])
    assert again.headers["location"].endswith("/api/v1/plans/pro/versions/3")


def test_a_trial_and_the_interval_of_a_price_are_read_as_they_were_sent(draft: Api) -> None:
    yearly = {**BASE, "interval": "year"}
    made = draft.post("plans/pro/versions", {"trial_days": 14, "prices": [yearly, TOKENS]}).json
    assert (made["trial_days"], made["prices"][0]["interval"]) == (14, "year")
    assert "interval" not in made["prices"][1]
    changed = draft.call("PATCH", "plans/pro/versions/3", {"effective_from": "2026-08-01"}).json
    assert changed == {**made, "effective_from": "2026-08-01"}
    assert draft.call("PATCH", "plans/pro/versions/3", {"trial_days": None}).json["trial_days"] == 0


def test_versions_are_listed_by_state(draft: Api) -> None:
    found = draft.get("plans/pro/versions").json["results"]
    assert [(one["number"], one["status"]) for one in found] == [(1, "published"), (2, "draft")]
    assert [one["number"] for one in draft.get("plans/pro/versions?status=draft").json["results"]] == [2]
    assert draft.get("plans/pro/versions?status=old").status == 400
    assert draft.get("plans/nix/versions").status == 404
    assert draft.get("plans/pro/versions/9").json["detail"] == "There is no version 9 of the plan 'pro'."


def test_a_draft_changes_and_what_it_does_not_name_stays(draft: Api) -> None:
    before = draft.get(DRAFT).json
    assert draft.call("PATCH", DRAFT, {"effective_from": None}).json == {**before, "effective_from": None}
    dearer = {**BASE, "flat_amount": "120.50", "billing": "in_advance"}
    changed = draft.call("PATCH", DRAFT, {"prices": [dearer]}).json
    assert [(one["key"], one["flat_amount"], one["billing"]) for one in changed["prices"]] == [
        ("base", "120.50", "in_advance")
    ]
    reason = PlanVersion.objects.get(number=2).history.latest("history_id").history_change_reason
    assert reason == "Drafted anew (API key test)"


def test_two_keys_publish_and_one_cannot(draft: Api, other: Api) -> None:
    submitted = draft.post(f"{DRAFT}/submit")
    assert (submitted.status, submitted.json["status"]) == (200, "review")
    assert submitted.json["submitted_by"].startswith("key:")
    alone = draft.post(f"{DRAFT}/approve")
    assert fault(alone) == (409, "by", "same_person")
    assert alone.json["detail"] == "Whoever submitted a version cannot approve it; ask another person."
    approved = other.post(f"{DRAFT}/approve")
    assert (approved.status, approved.json["status"]) == (200, "published")
    assert approved.json["approved_by"] != approved.json["submitted_by"]
    last = PlanVersion.objects.get(number=2).history.latest("history_id")
    assert (last.history_user, last.history_change_reason) == (None, "Approved and published (API key test)")


def test_a_person_may_approve_what_a_key_submitted_and_a_key_what_a_person_did(draft: Api) -> None:
    rita = User.objects.create(username="rita")
    version = PlanVersion.objects.get(number=2)
    submit(version, at=THEN, by=rita)
    approved = draft.post(f"{DRAFT}/approve").json
    assert approved["submitted_by"] == f"user:{rita.pk}"
    assert approved["approved_by"].startswith("key:")


def test_the_database_refuses_one_person_for_both(draft: Api) -> None:
    draft.post(f"{DRAFT}/submit")
    version = PlanVersion.objects.get(number=2)
    with pytest.raises(IntegrityError, match="plan_version_two_persons"):
        PlanVersion.objects.filter(pk=version.pk).update(status="published", approved_by=version.submitted_by)
    with pytest.raises(IntegrityError, match="contract_two_persons"):
        Contract.objects.update(submitted_by="key:1", approved_by="key:1")


def test_what_is_in_review_or_published_stays_as_it_is(draft: Api, other: Api) -> None:
    early = draft.post(f"{DRAFT}/approve")
    assert (early.status, early.json["detail"]) == (409, "pro@2 is draft; to approve it, it must be in review.")
    draft.post(f"{DRAFT}/submit")
    for answer in (draft.call("PATCH", DRAFT, {"prices": []}), draft.post(f"{DRAFT}/submit")):
        assert fault(answer) == (409, "status", "invalid")
    other.post(f"{DRAFT}/approve")
    frozen = draft.call("PATCH", DRAFT, {"prices": [BASE]})
    assert fault(frozen) == (409, "status", "invalid")
    assert "draft another version" in frozen.json["detail"]
    assert fault(draft.call("DELETE", DRAFT)) == (409, "status", "frozen")


def test_a_published_version_is_retired_with_a_reason(draft: Api) -> None:
    assert draft.post("plans/pro/versions/1/retire", {}).status == 400
    assert fault(draft.post(f"{DRAFT}/retire", {"reason": "old"})) == (409, "status", "invalid")
    retired = draft.post("plans/pro/versions/1/retire", {"reason": "Replaced by 2"})
    assert (retired.status, retired.json["status"]) == (200, "retired")
    last = PlanVersion.objects.get(number=1).history.latest("history_id")
    assert last.history_change_reason == "Replaced by 2 (API key test)"


def test_a_draft_is_discarded_unless_a_contract_names_it(draft: Api) -> None:
    body = {"number": "C-2", "customer": "acme", "starts_on": "2026-08-01", "lines": [{"plan": "pro", "version": 2}]}
    assert draft.post("contracts", body).status == 201
    named = draft.call("DELETE", DRAFT)
    assert fault(named) == (409, "status", "in_use")
    assert named.json["detail"] == "The contract C-2 names pro@2; change or delete that contract first."
    discard(Contract.objects.get(number="C-2"), at=THEN)
    gone = draft.call("DELETE", DRAFT)
    assert (gone.status, gone.raw) == (204, b"")
    assert draft.get(DRAFT).status == 404
    assert draft.call("DELETE", DRAFT).status == 404
    last = PlanVersion.history.filter(number=2).latest("history_id")
    assert (last.history_type, last.history_change_reason) == ("-", "Discarded (API key test)")


def test_a_deed_on_what_has_changed_since_it_was_read_is_refused(draft: Api, other: Api) -> None:
    draft.post(f"{DRAFT}/submit")
    read = draft.get(DRAFT).headers["etag"]
    draft.call("DELETE", DRAFT)
    draft.post("plans/pro/versions", {"prices": [{**BASE, "flat_amount": "1.00"}]})
    draft.post(f"{DRAFT}/submit")
    assert other.post(f"{DRAFT}/approve", headers={"If-Match": read}).status == 412
    assert PlanVersion.objects.get(number=2).status == "review"


@pytest.mark.parametrize(
    ("prices", "where", "code"),
    [
        ([{**TOKENS, "meter": "nix"}], "prices[0].meter", "unknown"),
        ([{**TOKENS, "meter": None}], "prices[0].meter", "missing"),
        ([{**TOKENS, "billing": "in_advance"}], "prices[0].billing", "invalid"),
        ([{**TOKENS, "tiers": [{"up_to": "10", "unit_amount": "1"}]}], "prices[0].tiers[0].up_to", "order"),
        ([{**TOKENS, "tiers": []}], "prices[0].tiers", "invalid"),
        ([{**BASE, "flat_amount": "-1"}], "prices[0].flat_amount", "invalid"),
        ([{**BASE, "flat_amount": "1" + "0" * 18}], "prices[0].flat_amount", "precision"),
        ([{**BASE, "flat_amount": "0.0000000000001"}], "prices[0].flat_amount", "precision"),
        ([{**BASE, "flat_amount": "NaN"}], "prices[0].flat_amount", "invalid"),
        ([{**BASE, "flat_amount": True}], "prices[0].flat_amount", "invalid"),
        ([{**BASE, "model": "magic"}], "prices[0].model", "invalid"),
        ([{**BASE, "rate_percent": "3"}], "prices[0].rate_percent", "unknown"),
        ([{**BASE, "name": "x" * 201}], "prices[0].name", "invalid"),
        ([BASE, BASE], "prices[1].key", "duplicate"),
        ([{**BASE, "colour": "red"}], "prices[0].colour", "unknown"),
        ("many", "prices", "invalid"),
    ],
)
def test_a_version_that_cannot_be_sold_is_refused_where_it_is_wrong(
    api: Api, company: Company, prices: Any, where: str, code: str
) -> None:
    answer = api.post("plans/pro/versions", {"prices": prices})
    assert answer.status == 400, answer.json
    assert (where, code) in {(one["path"], one["code"]) for one in answer.json["errors"]}
    assert PlanVersion.objects.count() == 1


@pytest.mark.parametrize(
    ("body", "where", "code"),
    [
        ({"key": "p", "interval": "fortnight"}, "interval", "invalid"),
        ({"key": "p", "versions": [{"currency": "XXL"}]}, "versions[0].currency", "invalid"),
        ({"key": "p", "versions": [{"effective_from": "9999-12-31"}]}, "versions[0].effective_from", "invalid"),
        (
            {"key": "p", "versions": [{"prices": [{**TOKENS, "meter": "nix"}]}]},
            "versions[0].prices[0].meter",
            "unknown",
        ),
        ({"key": "p", "trial_days": 14}, "trial_days", "unsupported"),
    ],
)
def test_a_plan_that_does_not_hold_is_not_made(
    api: Api, company: Company, body: dict[str, Any], where: str, code: str
) -> None:
    assert fault(api.post("plans", body)) == (400, where, code)
    assert not Plan.objects.filter(key="p").exists()


def test_a_version_without_a_currency_needs_a_seller_to_take_it_from(api: Api) -> None:
    assert fault(api.post("plans", {"key": "p", "versions": [{"prices": []}]})) == (
        400,
        "versions[0].currency",
        "missing",
    )
    made = api.post("plans", {"key": "p", "versions": [{"currency": "EUR", "prices": [BASE]}]})
    assert (made.status, made.json["versions"][0]["currency"]) == (201, "EUR")


def test_a_plan_changes_in_name_and_not_in_what_contracts_stand_on(api: Api, company: Company) -> None:
    assert api.call("PATCH", "plans/pro", {"name": "Professional"}).json["name"] == "Professional"
    assert api.call("PATCH", "plans/pro", {"tolerance_window": "48h"}).json["tolerance_window"] == "48h"
    assert api.call("PATCH", "plans/pro", {"tolerance_window": None}).json["tolerance_window"] is None
    assert fault(api.call("PATCH", "plans/pro", {"interval": "year"})) == (409, "interval", "frozen")
    assert fault(api.call("PATCH", "plans/pro", {"versions": []})) == (400, "versions", "elsewhere")
    assert fault(api.call("PATCH", "plans/pro", {"versions": [{}]})) == (400, "versions", "elsewhere")
    api.post("plans", {"key": "yearly", "interval": "year"})
    assert api.call("PATCH", "plans/yearly", {"interval": None}).json["interval"] == "month"
    assert [one["key"] for one in api.get("plans?interval=month").json["results"]] == ["pro", "yearly"]
    for method in ("PUT", "DELETE"):
        assert api.call(method, "plans/pro", {}).status == 405
