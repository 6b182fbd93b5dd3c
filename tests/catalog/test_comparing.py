"""What differs between two contents of a plan: tiers side by side, everything else in plain words."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from catalog.comparing import Difference, Said, TierPair, compare, compare_versions, version_before
from catalog.entitling import EntitlementDraft, RolloverDraft
from catalog.models import Plan, PlanVersion
from catalog.publishing import PriceDraft, VersionContent, draft_version, publish
from tests.factories import MeterFactory

AT = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


def price(key: str = "tokens", **arithmetic: Any) -> PriceDraft:
    return PriceDraft(key, "usage", arithmetic, meter="tokens")


def tiered(*steps: tuple[str | None, str], **also: Any) -> PriceDraft:
    return price(model="graduated", tiers=[{"up_to": end, "unit_amount": amount} for end, amount in steps], **also)


def difference(before: PriceDraft | None, after: PriceDraft | None, currency: str = "USD") -> Difference:
    old, new = (() if one is None else (one,) for one in (before, after))
    return compare(VersionContent("USD", None, old), VersionContent(currency, None, new), names=("p@1", "p@2"))


def changed(said: tuple[Said, ...]) -> list[tuple[str, str, str]]:
    return [(one.label, one.before, one.after) for one in said if one.differs]


def pairs(found: Difference) -> list[tuple[tuple[str, ...], tuple[str, ...], tuple[bool, ...]]]:
    table = found.prices[0].tiers
    assert table is not None
    return [(row.before, row.after, row.changed) for row in table.rows]


def test_tiers_stand_side_by_side_and_changed_numbers_are_marked() -> None:
    found = difference(
        tiered(("1000", "0.02"), ("10000", "0.01"), (None, "0.005")),
        tiered(("1000", "0.020"), ("5000", "0.012"), ("10000", "0.01"), (None, "0.004")),
    )
    assert found.prices[0].shift == "changed"
    assert pairs(found) == [
        (("up to 1,000", "0.02"), ("up to 1,000", "0.02"), (False, False)),
        ((), ("up to 5,000", "0.012"), (True, True)),
        (("up to 10,000", "0.01"), ("up to 10,000", "0.01"), (False, False)),
        (("above 10,000", "0.005"), ("above 10,000", "0.004"), (False, True)),
    ]


def test_a_step_that_ends_elsewhere_stands_beside_the_one_it_was() -> None:
    found = difference(tiered(("1000", "0.02"), (None, "0.01")), tiered(("2000", "0.02"), (None, "0.01")))
    assert [row[2] for row in pairs(found)] == [(True, False), (True, False)]
    assert pairs(found)[1][:2] == (("above 1,000", "0.01"), ("above 2,000", "0.01"))


def test_the_columns_are_those_that_say_something() -> None:
    capped = price(model="graduated", tiers=[{"up_to": None, "unit_amount": "1", "flat_amount": 0, "cap_amount": "9"}])
    table = difference(None, capped).prices[0].tiers
    assert table is not None and table.columns == ("Each unit", "At most")
    assert table.rows == (TierPair((), ("any quantity", "1.00", "9.00"), (None, capped.arithmetic["tiers"][0])),)
    shared = price(model="graduated_by_dimension", tiers=[{"up_to": None, "unit_amounts": {"m1": "2", "m2": "3"}}])
    table = difference(shared, shared).prices[0].tiers
    assert table is not None and table.columns == ("M1", "M2")


def test_other_fields_are_in_plain_words() -> None:
    before = replace(price(model="per_unit", unit_amount="0.02"), filters={"model": ["m1"]})
    after = replace(
        price(model="package", package_size="1000", package_amount="5", minimum_amount="10",
              unit_conversion={"op": "divide", "factor": "1024", "rounding": "ceil"}),
        filters={"model": ["m1", "m2"]}, name="Tokens",
    )  # fmt: skip
    assert changed(difference(before, after).prices[0].fields) == [
        ("Name", "none", "Tokens"),
        ("Model", "per unit", "package"),
        ("Package size", "none", "1,000"),
        ("Package amount", "none", "5.00"),
        ("Minimum amount", "none", "10.00"),
        ("Unit conversion", "none", "divided by 1,024, up to whole units"),
        ("Filters", "model m1", "model m1 or m2"),
        ("Each unit", "0.02", "none"),
    ]


def test_what_is_written_otherwise_is_the_same() -> None:
    plain = price(model="per_unit", unit_amount="0.02")
    written = price(model="per_unit", unit_amount="0.0200", included_units="0", package_rounding="up")
    assert difference(plain, written).is_same
    assert difference(tiered((None, "1")), price(model="graduated", tiers=[{"up_to": None, "unit_amount": 1,
                      "flat_amount": "0", "cap_amount": None}])).is_same  # fmt: skip


def test_prices_come_and_go_and_the_version_itself_changes() -> None:
    one, other = price("one", model="flat", flat_amount="5"), price("two", model="flat", flat_amount="6")
    before = VersionContent("USD", None, (one,))
    after = VersionContent("EUR", dt.date(2026, 7, 1), (other,))
    found = compare(before, after, names=("p@1", "p@2"))
    assert [(one.key, one.shift) for one in found.prices] == [("two", "added"), ("one", "removed")]
    assert changed(found.fields) == [("Currency", "USD", "EUR"), ("Effective from", "from ever", "2026-07-01")]
    assert not found.is_same


@dataclass(frozen=True, slots=True)
class Promise:
    feature: str
    limit: str = ""


@dataclass(frozen=True, slots=True)
class LaterPrice(PriceDraft):
    tax_category: str = ""


@dataclass(frozen=True, slots=True)
class LaterContent(VersionContent):
    notice_days: int = 0
    promises: tuple[Promise, ...] = field(default=())


def test_fields_that_a_content_comes_to_have_are_shown_without_being_named_here() -> None:
    taxed = LaterPrice("base", "recurring", {"model": "flat", "flat_amount": "9"}, tax_category="books")
    before = LaterContent("USD", None, (replace(taxed, tax_category=""),))
    after = LaterContent("USD", None, (taxed,), notice_days=14, promises=(Promise("tokens", "20000"),))
    found = compare(before, after, names=("p@1", "p@2"))
    assert changed(found.fields) == [
        ("Notice days", "0", "14"),
        ("Promises", "none", "feature tokens; limit 20,000"),
    ]
    assert changed(found.prices[0].fields) == [("Tax category", "none", "books")]


def test_an_interval_and_a_trial_are_said_where_there_is_one() -> None:
    fee = PriceDraft("base", "recurring", {"model": "flat", "flat_amount": "9"})
    before, after = (
        VersionContent("USD", None, (fee,)),
        VersionContent("USD", None, (replace(fee, interval="year"),), 14),
    )
    found = compare(before, after, names=("p@1", "p@2"))
    assert changed(found.fields) == [("Trial days", "0", "14")]
    assert changed(found.prices[0].fields) == [("Interval", "none", "year")]
    assert [said.name for said in compare(before, before, names=("p@1", "p@1")).fields] == ["currency"]


@pytest.fixture
def plan(db: None) -> Plan:
    """pro@1 in force at 0.02, pro@2 in force from April at 0.03, pro@3 a draft in two tiers."""
    MeterFactory(key="tokens")
    plan = Plan.objects.create(key="pro", name="Pro")
    said = [
        (None, price(model="per_unit", unit_amount="0.02")),
        (dt.date(2026, 4, 1), price(model="per_unit", unit_amount="0.03")),
        (None, tiered(("100", "0.03"), (None, "0.01"))),
    ]
    for begins, one in said:
        version = draft_version(plan, currency="USD", prices=[one], at=AT, effective_from=begins)
        if version.number < 3:
            publish(version, at=AT)
    return plan


def number(version: PlanVersion | None) -> int | None:
    return None if version is None else version.number


def test_a_draft_is_compared_with_what_is_in_force_and_a_frozen_version_with_the_one_before(plan: Plan) -> None:
    first, second, draft = plan.versions.order_by("number")
    assert number(version_before(draft, dt.date(2026, 3, 31))) == 1
    assert number(version_before(draft, dt.date(2026, 4, 1))) == 2
    assert number(version_before(second, dt.date(2026, 3, 31))) == 1
    assert number(version_before(first, dt.date(2026, 3, 31))) is None


def test_entitlements_are_in_plain_words() -> None:
    metered = EntitlementDraft(
        "tokens", "metered", meter="tokens", limit=Decimal(20000), on_limit="bill",
        rollover=RolloverDraft(Decimal(50), Decimal(5000), 2),
    )  # fmt: skip
    before = VersionContent("USD", None, (), entitlements=(EntitlementDraft("sso"),))
    after = replace(before, entitlements=(metered, EntitlementDraft("seats", "static", value=5)))
    [said] = compare(before, after, names=("p@1", "p@2")).fields[-1:]
    assert (said.label, said.before) == ("Entitlements", "sso on")
    assert said.after == (
        "tokens 20,000 each billing period, then access, and more is billed; told at 50, 90, 100 %; 50 % of what is "
        "left stays for 2 periods, at most 5,000; and seats 5"
    )


def test_stored_versions_are_compared_in_a_fixed_number_of_queries(plan: Plan, django_assert_num_queries: Any) -> None:
    first, _, draft = plan.versions.select_related("plan").order_by("number")
    with django_assert_num_queries(8):
        found = compare_versions(first, draft)
    assert (found.before, found.after) == ("pro@1", "pro@3")
    [only] = found.prices
    assert (only.shift, only.words) == ("changed", "0.03 up to 100, then 0.01 above USD")


def test_the_page_compares_with_the_version_that_is_asked_for(plan: Plan) -> None:
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    first, second, draft = plan.versions.order_by("number")
    address = f"/admin/catalog/planversion/{draft.pk}/compare/"
    assert "Compare with pro@" in client.get(f"/admin/catalog/planversion/{draft.pk}/change/").content.decode()
    shown = client.get(address, {"with": first.pk}).content.decode()
    assert '<td>per unit</td><td class="changes">graduated</td>' in shown
    assert '<td class="number changes">0.03</td>' in shown
    assert client.get(address, {"with": second.pk}).context["other"] == second
    assert client.get(address, {"with": draft.pk}).status_code == 404
    client.force_login(User.objects.create_user("nobody", is_staff=True))
    assert client.get(address).status_code == 403
