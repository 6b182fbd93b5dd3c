"""The page of a price: begun on its version's page, with its tiers on it, checked as when it is submitted."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from catalog.models import BillingTime, Meter, Plan, PlanVersion, Price, PriceModel
from catalog.price_form import TIER_FIELDS, page_facts, read_filters, typed_terms
from catalog.pricing import fields_of, known_models
from catalog.publishing import PriceDraft, content_of, draft_version, submit
from tests.factories import MeterFactory

pytestmark = pytest.mark.django_db

AT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
ADD = "/admin/catalog/price/add/"


@pytest.fixture
def meter() -> Meter:
    meter: Meter = MeterFactory(key="tokens", group_by=["model", "region"])
    return meter


@pytest.fixture
def draft(meter: Meter) -> PlanVersion:
    return draft_version(Plan.objects.create(key="pro", name="Pro"), currency="USD", prices=[], at=AT)


@pytest.fixture
def boss() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    return client


def form(version: PlanVersion, *tiers: dict[str, str], **fields: str) -> dict[str, str]:
    """What the browser sends for a graduated price of usage: what is hidden is left out."""
    sent = {
        "version": str(version.pk), "key": "tokens", "name": "Tokens", "kind": "usage", "model": "graduated",
        "meter": str(Meter.objects.get().pk), "included_units": "0", "position": "0",
        "tiers-TOTAL_FORMS": str(len(tiers)), "tiers-INITIAL_FORMS": "0",
    }  # fmt: skip
    for index, tier in enumerate(tiers):
        sent |= {f"tiers-{index}-{name}": value for name, value in tier.items()}
    return sent | fields


def step(up_to: str = "", **amounts: str) -> dict[str, str]:
    return {"up_to": up_to, **amounts}


THREE = (step("1000", unit_amount="0.02"), step("10000", unit_amount="0.01"), step(unit_amount="0.005"))


def errors(answer: Any) -> dict[str, list[str]]:
    assert answer.status_code == 200
    found: dict[str, list[str]] = answer.context["adminform"].form.errors
    return found


def test_a_tiered_price_is_added_to_a_draft_on_one_page(draft: PlanVersion, boss: Client) -> None:
    page = boss.get(ADD, {"version": draft.pk})
    assert page.context["adminform"].form.initial["version"] == str(draft.pk)
    assert f"{ADD}?version={draft.pk}" in boss.get(f"/admin/catalog/planversion/{draft.pk}/change/").content.decode()
    added = boss.post(ADD, form(draft, *THREE, step()))
    assert added.headers["Location"] == f"/admin/catalog/planversion/{draft.pk}/change/"
    [price] = content_of(draft).prices
    assert price.key == "tokens" and price.meter == "tokens"
    assert [(tier["up_to"], tier["unit_amount"]) for tier in price.arithmetic["tiers"]] == [
        (Decimal(1000), Decimal("0.02")), (Decimal(10000), Decimal("0.01")), (None, Decimal("0.005")),
    ]  # fmt: skip
    assert boss.get(ADD, {"version": draft.pk}).context["adminform"].form.initial["position"] == 1


def test_tiers_are_put_in_the_order_of_their_ends_and_may_go(draft: PlanVersion, boss: Client) -> None:
    boss.post(ADD, form(draft, THREE[2], THREE[1], THREE[0]))
    price = Price.objects.get()
    assert [tier.up_to for tier in price.tiers.all()] == [1000, 10000, None]
    kept = [step(id=str(tier.pk), price=str(price.pk), unit_amount="1") for tier in price.tiers.all()]
    kept[0] |= {"up_to": "1000", "DELETE": "on"}
    kept[1] |= {"up_to": "10000"}
    sent = form(draft, *kept, step("500", unit_amount="2"), **{"tiers-INITIAL_FORMS": "3"})
    assert boss.post(f"/admin/catalog/price/{price.pk}/change/", sent).status_code == 302
    assert [(tier.position, tier.up_to, tier.unit_amount) for tier in price.tiers.all()] == [
        (0, 500, 2), (1, 10000, 1), (2, None, 1),
    ]  # fmt: skip


def test_a_model_that_is_changed_leaves_nothing_of_the_one_before(draft: PlanVersion, boss: Client) -> None:
    """The hidden fields are not sent: tiers, included units and filters are as usual again."""
    boss.post(ADD, form(draft, *THREE, included_units="100", filters="model=m1"))
    price = Price.objects.get()
    assert price.filters == {"model": ["m1"]}
    sent = {"key": "fee", "kind": "recurring", "model": "flat", "flat_amount": "5", "billing": "in_advance",
            "prorate": "on", "tiers-TOTAL_FORMS": "3", "tiers-INITIAL_FORMS": "3"}  # fmt: skip
    for index, tier in enumerate(price.tiers.all()):
        sent |= {f"tiers-{index}-id": str(tier.pk), f"tiers-{index}-DELETE": "on"}
    assert boss.post(f"/admin/catalog/price/{price.pk}/change/", sent).status_code == 302
    price.refresh_from_db()
    assert (price.meter, price.included_units, price.filters, price.billing, price.prorate) == (
        None, 0, {}, BillingTime.IN_ADVANCE, True,
    )  # fmt: skip
    assert price.terms() == {"model": "flat", "flat_amount": 5}
    submit(draft, at=AT)


def test_what_cannot_be_sold_is_said_beside_its_field(draft: PlanVersion, boss: Client) -> None:
    assert errors(boss.post(ADD, form(draft, model="per_unit"))) == {"unit_amount": ["Unit amount is required."]}
    gap = errors(boss.post(ADD, form(draft, step("1000", unit_amount="1"))))
    assert gap == {"__all__": ["Tier 1, up to: The last tier has no upper bound: its up to is null."]}
    foreign = errors(boss.post(ADD, form(draft, model="per_unit", unit_amount="1", rate_percent="3")))
    assert foreign == {"rate_percent": ["Rate percent is not a field of the model per_unit."]}
    wrong = errors(boss.post(ADD, form(draft, *THREE, filters="language=de")))
    assert wrong == {"filters": ["The meter tokens is not grouped by 'language'; its dimensions are: model, region."]}
    assert "is not read" in errors(boss.post(ADD, form(draft, *THREE, filters="model")))["filters"][0]
    assert not Price.objects.exists()


def test_a_key_is_taken_once_in_a_version(draft: PlanVersion, boss: Client) -> None:
    boss.post(ADD, form(draft, *THREE))
    assert errors(boss.post(ADD, form(draft, *THREE))) == {"key": ["pro@1 has a price of this key already."]}


def test_a_price_is_added_to_a_draft_alone(draft: PlanVersion, boss: Client) -> None:
    boss.post(ADD, form(draft, *THREE))
    submit(draft, at=AT)
    assert "version" in errors(boss.post(ADD, form(draft, *THREE, key="other")))
    assert "Add a price" not in boss.get(f"/admin/catalog/planversion/{draft.pk}/change/").content.decode()
    assert Price.objects.count() == 1


def test_tiers_over_a_dimension_are_typed_by_value(draft: PlanVersion, boss: Client) -> None:
    tiers = (step("1000", unit_amounts="m1=0.02, m2=0.03"), step(unit_amounts="m1=0.01, m2=0.02", unit_amount="0.05"))
    sent = form(draft, *tiers, model="graduated_by_dimension", dimension="model")
    assert boss.post(ADD, sent).status_code == 302
    price = Price.objects.get()
    assert [(tier.unit_amounts, tier.unit_amount) for tier in price.tiers.all()] == [
        ({"m1": "0.02", "m2": "0.03"}, None), ({"m1": "0.01", "m2": "0.02"}, Decimal("0.05")),
    ]  # fmt: skip
    assert 'value="m1=0.02, m2=0.03"' in boss.get(f"/admin/catalog/price/{price.pk}/change/").content.decode()


CASES: list[tuple[dict[str, str], dict[str, Any]]] = [
    ({"model": "flat", "flat_amount": "5"}, {"model": "flat", "flat_amount": "5"}),
    (
        {"model": "package", "package_size": "1000", "package_amount": "5", "package_rounding": "down"},
        {"model": "package", "package_size": "1000", "package_amount": "5", "package_rounding": "down"},
    ),
    (
        {"model": "per_unit", "unit_amount": "1", "included_units": "0.00", "package_rounding": "up", "cumulative": ""},
        {"model": "per_unit", "unit_amount": "1"},
    ),
    (
        {"model": "per_unit", "unit_amount": "1", "conversion_op": "divide", "conversion_factor": "1024"},
        {
            "model": "per_unit",
            "unit_amount": "1",
            "unit_conversion": {"op": "divide", "factor": "1024", "rounding": "none"},
        },
    ),
    (
        {"model": "stairstep", "cumulative": "on", "tiers-TOTAL_FORMS": "2", "tiers-0-flat_amount": "9",
         "tiers-1-up_to": "10", "tiers-1-flat_amount": "5", "tiers-1-unit_amount": "7"},
        {"model": "stairstep", "cumulative": True,
         "tiers": [{"up_to": "10", "flat_amount": "5"}, {"up_to": None, "flat_amount": "9"}]},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("typed", "terms"), CASES)
def test_what_is_typed_is_read_in_the_words_of_a_file(typed: dict[str, str], terms: dict[str, Any]) -> None:
    assert typed_terms(typed) == terms


def test_filters_are_typed_by_dimension() -> None:
    assert read_filters("model=m1, m2; region = eu;") == {"model": ["m1", "m2"], "region": ["eu"]}


def test_the_page_knows_every_model(draft: PlanVersion, boss: Client) -> None:
    facts = page_facts()
    assert {*facts["models"]} == {*PriceModel.values} == {*known_models()}
    assert all(one["words"] for one in facts["models"].values())
    assert {model for model in known_models() if "tiers" in fields_of(model)} == {*TIER_FIELDS}
    shown = boss.get(ADD, {"version": draft.pk}).context["adminform"].form.fields
    named = {name for one in facts["models"].values() for name in one["fields"]}
    assert named <= {*shown} and {*facts["ofUsage"], *facts["notOfUsage"]} <= {*shown}


def test_a_price_drafted_elsewhere_is_saved_as_it_is(meter: Meter, boss: Client) -> None:
    """The form of a stored price, sent back as the page has it, changes nothing."""
    said = PriceDraft(
        "tokens", "usage", {"model": "graduated", "tiers": [{"up_to": "10", "unit_amount": "0"}, {"unit_amount": "1"}]},
        meter="tokens", filters={"model": ["m1"]},
    )  # fmt: skip
    version = draft_version(Plan.objects.create(key="pro"), currency="USD", prices=[said], at=AT)
    before = content_of(version)
    price = version.prices.get()
    page = boss.get(f"/admin/catalog/price/{price.pk}/change/")
    sent = {**initial_of(page.context["adminform"].form), "prorate": "on"}
    formset = page.context["inline_admin_formsets"][0].formset
    sent |= {f"tiers-{name}": str(value) for name, value in formset.management_form.initial.items()}
    for one in formset.forms:
        sent |= {f"{one.prefix}-{name}": value for name, value in initial_of(one).items()}
    assert boss.post(f"/admin/catalog/price/{price.pk}/change/", sent).status_code == 302
    assert content_of(PlanVersion.objects.get()) == before


def initial_of(shown: Any) -> dict[str, str]:
    values = {field.name: field.value() for field in shown}
    return {name: str(getattr(value, "pk", value)) for name, value in values.items() if value not in (None, False)}
