"""The calculator of the console: a price as it is typed or as it is stored, with amounts worked out by hand."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from catalog.models import Plan, PlanVersion, Price
from catalog.publishing import PriceDraft, draft_version, publish
from tests.factories import MeterFactory

pytestmark = pytest.mark.django_db

AT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
PAGE = "/admin/catalog/price/calculate/"
TIERS = [{"up_to": "1000", "unit_amount": "0.02"}, {"up_to": "10000", "unit_amount": "0.01"}, {"unit_amount": "0.005"}]


@pytest.fixture
def version() -> PlanVersion:
    """pro@1 in USD: tokens in three tiers, published."""
    MeterFactory(key="tokens", group_by=["model"])
    price = PriceDraft("tokens", "usage", {"model": "graduated", "tiers": TIERS}, meter="tokens")
    plan = Plan.objects.create(key="pro", name="Pro")
    return publish(draft_version(plan, currency="USD", prices=[price], at=AT), at=AT)


@pytest.fixture
def client() -> Client:
    user = User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_price", "view_planversion"]))
    client = Client()
    client.force_login(user)
    return client


def typed(version: PlanVersion, quantity: str = "", events: str = "", **fields: str) -> dict[str, str]:
    sent = {"calculator-typed": "yes", "calculator-quantity": quantity, "calculator-events": events}
    return {**sent, "version": str(version.pk), **fields}


def tiered(*steps: tuple[str, str]) -> dict[str, str]:
    sent = {"model": "graduated", "tiers-TOTAL_FORMS": str(len(steps))}
    for index, (end, amount) in enumerate(steps):
        sent |= {f"tiers-{index}-up_to": end, f"tiers-{index}-unit_amount": amount}
    return sent


def amount(answer: Any) -> str:
    assert answer.status_code == 200
    assert "faults" not in answer.context, answer.context["faults"]
    return str(answer.context["done"]["amount"])


def test_a_stored_price_is_calculated_with_its_steps(version: PlanVersion, client: Client) -> None:
    asked = {"calculator-price": Price.objects.get().pk, "calculator-quantity": "12000"}
    answer = client.post(PAGE, asked)
    # 1,000 at 0.02, 9,000 at 0.01 and 2,000 at 0.005: 20.00 + 90.00 + 10.00
    assert amount(answer) == "120.00"
    assert [step["amount"] for step in answer.context["done"]["steps"]] == ["20.00", "90.00", "10.00"]
    assert "<strong>120.00</strong> USD" in answer.content.decode()


def test_what_is_typed_counts_and_not_what_is_stored(version: PlanVersion, client: Client) -> None:
    fields = tiered(("1000", "0.03"), ("", "0.01"))
    stored = {"calculator-price": str(Price.objects.get().pk)}
    # 1,000 at 0.03 and 500 at 0.01
    assert amount(client.post(PAGE, typed(version, "1500", **fields))) == "35.00"
    assert amount(client.post(PAGE, typed(version, "1500", **fields, **stored))) == "35.00"
    fields["tiers-0-DELETE"] = "on"
    assert amount(client.post(PAGE, typed(version, "1500", **fields))) == "15.00"
    assert Price.objects.get().tiers.count() == 3


def test_events_are_given_one_a_line_with_the_value_of_their_dimension(version: PlanVersion, client: Client) -> None:
    percentage = {"model": "percentage", "rate_percent": "2", "fixed_amount": "0.10", "per_transaction_min": "1"}
    # 120.00: 2.40 + 0.10; 10.00: 0.20 + 0.10 is below 1.00
    assert amount(client.post(PAGE, typed(version, events="120.00\n 10\n\n", **percentage))) == "3.50"
    shared = {
        "model": "graduated_by_dimension", "dimension": "model", "tiers-TOTAL_FORMS": "2", "tiers-0-up_to": "10",
        "tiers-0-unit_amounts": "m1=1, m2=2", "tiers-1-unit_amounts": "m1=0.5, m2=1",
    }  # fmt: skip
    # 6 of m1 at 1.00; of 8 of m2, 4 at 2.00 and 4 at 1.00
    assert amount(client.post(PAGE, typed(version, events="6 m1\n8 m2", **shared))) == "18.00"


WRONG: list[tuple[dict[str, str], list[str]]] = [
    ({}, ["Choose a model first."]),
    ({"model": "per_unit"}, ["Unit amount is required."]),
    ({"model": "per_unit", "unit_amount": "cheap"}, ["Unit amount: 'cheap' is not a decimal number"]),
    ({"model": "flat", "flat_amount": "1", "quantity": "many"}, ["Quantity: 'many' is not"]),
    ({"model": "flat", "flat_amount": "1", "events": "x"}, ["Event 1: 'x' is not"]),
    (
        {"model": "percentage", "rate_percent": "1", "free_events": "3"},
        ["This price looks at single events: give their amounts, one a line."],
    ),
    (tiered(("5", "1"), ("5", "2"), ("", "1")), ["Tier 2, up to: Up to must be above 5, the end of the tier before."]),
    ({"model": "graduated"}, ["Tiers: Tiers is required."]),
    ({"model": "sliding"}, ["'sliding' is not one of"]),
]


@pytest.mark.parametrize(("fields", "said"), WRONG)
def test_what_is_in_the_way_is_said_in_plain_words(
    version: PlanVersion, client: Client, fields: dict[str, str], said: list[str]
) -> None:
    given = {**fields}
    sent = typed(version, given.pop("quantity", "1"), given.pop("events", ""), **given)
    faults = client.post(PAGE, sent).context["faults"]
    assert len(faults) == len(said)
    assert all(one in fault for one, fault in zip(said, faults, strict=True)), faults


def test_a_price_of_no_version_has_no_currency(client: Client) -> None:
    sent = {"calculator-typed": "yes", "model": "flat", "flat_amount": "1"}
    assert "Choose the version" in client.post(PAGE, sent).context["faults"][0]


def test_who_may_not_see_prices_calculates_none(version: PlanVersion) -> None:
    nobody = Client()
    nobody.force_login(User.objects.create_user("nobody", is_staff=True))
    assert nobody.post(PAGE, typed(version, "1", model="flat", flat_amount="1")).status_code == 403


def test_only_asked_by_post_for_a_price_there_is(version: PlanVersion, client: Client) -> None:
    assert client.get(PAGE).status_code == 405
    assert client.post(PAGE, {"calculator-price": "0"}).status_code == 404
    assert client.post(PAGE, {"calculator-price": "x"}).status_code == 404


def test_the_box_is_on_the_pages_of_the_version_and_of_its_prices(version: PlanVersion, client: Client) -> None:
    for page in (f"planversion/{version.pk}", f"price/{Price.objects.get().pk}"):
        shown = client.get(f"/admin/catalog/{page}/change/").content.decode()
        assert f'data-calculator="{PAGE}"' in shown and "data-typed" not in shown
        assert "console/calculator.js" in shown


def test_the_page_of_a_version_costs_the_same_queries_for_3_and_for_30_prices(version: PlanVersion) -> None:
    boss = Client()
    boss.force_login(User.objects.create_superuser("boss"))

    def queries(count: int) -> int:
        prices = [PriceDraft(f"fee-{n}", "recurring", {"model": "flat", "flat_amount": "1"}) for n in range(count)]
        drafted = draft_version(version.plan, currency="USD", prices=prices, at=AT)
        found = []
        for page in ("change", "compare"):
            address = f"/admin/catalog/planversion/{drafted.pk}/{page}/"
            boss.get(address)
            with CaptureQueriesContext(connection) as asked:
                assert boss.get(address).status_code == 200
            found.append(len(asked))
        return sum(found)

    assert queries(3) == queries(30)
