"""Two versions of a plan compared over the API."""

from __future__ import annotations

import pytest

from catalog.models import PlanVersion
from catalog.publishing import approve, submit

from .conftest import THEN, Api, Company

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])

TIERS = [{"up_to": "1000", "unit_amount": "0.01"}, {"up_to": None, "unit_amount": "0.008"}]
PRICES = [
    {"key": "base", "kind": "recurring", "model": "flat", "flat_amount": "20.00"},
    {"key": "tokens", "kind": "usage", "meter": "tokens", "model": "graduated", "tiers": TIERS},
]


def draft(api: Api, **said: object) -> int:
    answer = api.post("plans/pro/versions", {"currency": "USD", "prices": PRICES, **said})
    assert answer.status == 201, answer.json
    number: int = answer.json["number"]
    return number


def test_a_draft_is_compared_with_what_is_in_force(api: Api, company: Company) -> None:
    assert draft(api, effective_from="2026-07-01") == 2
    answer = api.get("plans/pro/versions/2/diff")
    assert answer.status == 200, answer.json
    told = answer.json
    assert (told["plan"], told["version"], told["against"], told["same"]) == ("pro", 2, 1, False)
    assert told["fields"] == [{"field": "effective_from", "before": None, "after": "2026-07-01"}]
    base, tokens = told["prices"]
    assert (base["change"], base["fields"], base["tiers"]) == ("same", [], [])
    assert tokens["fields"] == [
        {"field": "model", "before": "per_unit", "after": "graduated"},
        {"field": "unit_amount", "before": "0.01", "after": None},
    ]
    assert tokens["tiers"] == [
        {"before": None, "after": {"up_to": "1000", "flat_amount": "0.00", "unit_amount": "0.01"}, "changed": True},
        {"before": None, "after": {"up_to": None, "flat_amount": "0.00", "unit_amount": "0.008"}, "changed": True},
    ]


def test_any_two_versions_are_compared(api: Api, company: Company) -> None:
    draft(api)
    version = PlanVersion.objects.get(number=2)
    approve(submit(version, at=THEN), at=THEN)
    draft(api)
    told = api.get("plans/pro/versions/3/diff?against=2").json
    assert (told["against"], told["same"], told["fields"]) == (2, True, [])
    assert [(price["key"], price["change"], price["tiers"]) for price in told["prices"]] == [
        ("base", "same", []), ("tokens", "same", []),
    ]  # fmt: skip
    back = api.get("plans/pro/versions/1/diff?against=3").json
    assert {"field": "model", "before": "graduated", "after": "per_unit"} in back["prices"][1]["fields"]
    assert api.get("plans/pro/versions/1/diff").json["against"] in (2, 3)


def test_a_first_version_has_nothing_to_be_compared_with(api: Api, company: Company) -> None:
    told = api.get("plans/pro/versions/1/diff").json
    assert told["against"] is None
    assert [(price["key"], price["change"]) for price in told["prices"]] == [("base", "added"), ("tokens", "added")]
    assert {"field": "flat_amount", "before": None, "after": "20.00"} in told["prices"][0]["fields"]


def test_what_is_not_there_is_not_compared(api: Api, company: Company) -> None:
    assert api.get("plans/pro/versions/9/diff").status == 404
    assert api.get("plans/pro/versions/1/diff?against=9").status == 404
    assert api.get("plans/none/versions/1/diff").status == 404
    assert api.get("plans/pro/versions/1/diff?against=x").status == 400
    assert api.get("plans/pro/versions/1/diff?with=2").status == 400
