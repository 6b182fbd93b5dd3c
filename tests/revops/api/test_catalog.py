"""Read-only lists, and calculate."""

import pytest

from billing.models import Source

from .conftest import Api, Company

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])


def test_what_is_sold_is_listed_in_the_words_of_a_scenario_file(api: Api, company: Company) -> None:
    plan = api.get("plans").json["results"][0]
    assert (plan["key"], plan["interval"]) == ("pro", "month")
    version = plan["versions"][0]
    assert (version["number"], version["status"]) == (1, "published")
    assert [(price["key"], price["kind"], price["meter"]) for price in version["prices"]] == [
        ("base", "recurring", None),
        ("tokens", "usage", "tokens"),
    ]
    assert version["prices"][1]["unit_amount"] == "0.01"
    assert api.get("plans/pro").json == plan
    meter = api.get("meters/tokens").json
    assert (meter["aggregation"], meter["value"], meter["group_by"]) == ("sum", "tokens", ["model"])
    assert [source["key"] for source in api.get("sources").json["results"]] == ["gw"]
    assert api.get("features").json["results"] == []
    Source.objects.create(key="https://example.com/gateway")
    assert api.get("sources/https://example.com/gateway").json["key"] == "https://example.com/gateway"


def test_customers_and_contracts_are_listed(api: Api, company: Company) -> None:
    customer = api.get("customers/acme").json
    assert (customer["name"], customer["subjects"]) == ("Acme GmbH", ["acme-eu"])
    contract = api.get("contracts?customer=acme&status=approved").json["results"][0]
    assert (contract["number"], contract["starts_on"], contract["ends_on"]) == ("C-1", "2026-01-01", None)
    assert [(line["plan"], line["version"], line["quantity"]) for line in contract["lines"]] == [("pro", 1, "1")]
    assert api.get("contracts/C-1").json == contract
    assert api.get("contracts?customer=nobody").json["results"] == []


def test_calculate_explains_a_price(api: Api) -> None:
    price = {"model": "graduated", "tiers": [{"up_to": "10", "unit_amount": "2"}, {"up_to": None, "unit_amount": "1"}]}
    asked = {"currency": "USD", "price": price, "quantity": "15"}
    one = api.post("calculate", asked).json
    # 10 x 2 + 5 x 1
    assert one["amount"] == "25.00"
    assert [step["amount"] for step in one["steps"]] == ["20.00", "5.00"]
    assert api.post("calculate", [asked, asked]).json == [one, one]


def test_calculate_names_what_is_wrong(api: Api) -> None:
    answer = api.post("calculate", {"currency": "USD", "price": {"model": "magic"}, "quantity": "1"})
    assert answer.status == 400
    assert answer.json["errors"][0]["path"].startswith("price")
