"""Plan versions on their way from a draft to what is sold."""

import datetime as dt
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from catalog.auditing import KeyHolder
from catalog.models import Plan, PlanVersion, VersionStatus
from catalog.publishing import (
    PriceDraft,
    UnableToPublish,
    VersionContent,
    approve,
    content_of,
    discard,
    draft_version,
    publish,
    redraft,
    retire,
    same_content,
    submit,
)
from tests.factories import MeterFactory

pytestmark = pytest.mark.django_db

AT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
BASE = PriceDraft("base", "recurring", {"model": "flat", "flat_amount": "99.00"}, billing="in_advance")
TOKENS = PriceDraft(
    "tokens",
    "usage",
    {
        "model": "graduated",
        "tiers": [{"up_to": "10", "unit_amount": "0.002"}, {"up_to": None, "unit_amount": "0.001"}],
    },
    meter="tokens",
)


@pytest.fixture
def plan() -> Plan:
    MeterFactory(key="tokens", group_by=["model"])
    MeterFactory(key="peak", aggregation="max")
    return Plan.objects.create(key="pro", name="Pro")


def drafted(plan: Plan, *prices: PriceDraft, **given: Any) -> PlanVersion:
    return draft_version(plan, prices=prices or (BASE, TOKENS), at=AT, **{"currency": "USD", **given})


def faults(error: pytest.ExceptionInfo[UnableToPublish]) -> list[tuple[str, str]]:
    return [(one.path, one.code) for one in error.value.errors]


def test_a_draft_holds_its_prices_and_tiers_exactly(plan: Plan) -> None:
    version = drafted(plan, effective_from=dt.date(2026, 1, 1))
    assert str(version) == "pro@1"
    assert version.status == VersionStatus.DRAFT
    assert same_content(content_of(version), VersionContent("USD", dt.date(2026, 1, 1), (BASE, TOKENS)))


def test_a_draft_holds_the_cap_of_a_tier_in_percent(plan: Plan) -> None:
    tiers = [{"up_to": "500", "rate_percent": "10", "cap_amount": "20"}, {"up_to": None, "rate_percent": "2"}]
    fee = PriceDraft("fee", "usage", {"model": "graduated_percentage", "tiers": tiers}, meter="tokens")
    assert same_content(content_of(drafted(plan, fee)), VersionContent("USD", None, (fee,)))


def test_versions_are_numbered_in_order(plan: Plan) -> None:
    assert [drafted(plan).number, drafted(plan).number] == [1, 2]


def test_contents_differ_in_what_they_charge_not_in_how_numbers_are_written() -> None:
    one = VersionContent("USD", None, (PriceDraft("a", "recurring", {"model": "flat", "flat_amount": "5"}),))
    same = VersionContent(
        "USD", None, (PriceDraft("a", "recurring", {"model": "flat", "flat_amount": Decimal("5.000")}),)
    )
    other = VersionContent("USD", None, (PriceDraft("a", "recurring", {"model": "flat", "flat_amount": "6"}),))
    assert same_content(one, same)
    assert not same_content(one, other)


def test_a_version_submitted_by_one_person_is_published_by_another(plan: Plan) -> None:
    version = drafted(plan)
    ann, ben = User.objects.create(username="ann"), User.objects.create(username="ben")
    submit(version, at=AT, by=ann)
    with pytest.raises(UnableToPublish) as error:
        approve(version, at=AT, by=ann)
    assert faults(error) == [("by", "same_person")]
    approve(version, at=AT, by=ben)
    version.refresh_from_db()
    assert (version.status, version.published_at) == (VersionStatus.PUBLISHED, AT)
    last = version.history.latest("history_id")
    assert (last.history_user, last.history_date, last.history_change_reason) == (ben, AT, "Approved and published")


def test_the_operator_stands_for_both_persons_and_the_history_says_so(plan: Plan) -> None:
    version = publish(drafted(plan), at=AT)
    reasons = [row.history_change_reason for row in version.history.order_by("history_id")]
    assert reasons == [
        "Drafted",
        "Submitted for review by the operator at the command line",
        "Approved and published by the operator at the command line",
    ]


def test_a_draft_cannot_be_approved_without_a_review(plan: Plan) -> None:
    with pytest.raises(UnableToPublish, match="must be in review"):
        approve(drafted(plan), at=AT)


def test_a_published_version_keeps_its_content(plan: Plan) -> None:
    version = publish(drafted(plan), at=AT)
    price = version.prices.get(key="base")
    price.flat_amount = Decimal(1)
    with pytest.raises(IntegrityError, match="UPDATE is refused"), transaction.atomic():
        price.save()


def test_a_retired_version_is_no_longer_in_force_but_still_honoured(plan: Plan) -> None:
    version = publish(drafted(plan), at=AT)
    retire(version, at=AT)
    assert not plan.versions.in_force(dt.date(2026, 5, 1)).exists()
    assert plan.versions.sold().get() == version
    with pytest.raises(UnableToPublish, match="must be published"):
        retire(version, at=AT)


def test_a_version_ends_where_the_next_one_begins(plan: Plan) -> None:
    first = publish(drafted(plan, effective_from=dt.date(2026, 1, 1)), at=AT)
    second = publish(drafted(plan, effective_from=dt.date(2026, 7, 1)), at=AT)
    assert plan.versions.in_force(dt.date(2026, 6, 30)).first() == first
    assert plan.versions.in_force(dt.date(2026, 7, 1)).first() == second
    with pytest.raises(UnableToPublish) as error:
        publish(drafted(plan, effective_from=dt.date(2026, 6, 30)), at=AT)
    assert faults(error) == [("effective_from", "order")]


EACH = {"model": "per_unit", "unit_amount": "1"}
FEE = {"model": "percentage", "rate_percent": "1", "fixed_amount": "0.10"}


@pytest.mark.parametrize(
    ("price", "fault"),
    [
        (PriceDraft("t", "usage", {"model": "flat", "flat_amount": "1"}), ("prices[0].meter", "missing")),
        (PriceDraft("t", "usage", {"model": "flat", "flat_amount": "1"}, meter="x"), ("prices[0].meter", "unknown")),
        (
            PriceDraft("t", "recurring", {"model": "flat", "flat_amount": "1"}, meter="tokens"),
            ("prices[0].meter", "invalid"),
        ),
        (
            PriceDraft("t", "usage", {"model": "flat", "flat_amount": "1"}, meter="tokens", billing="in_advance"),
            ("prices[0].billing", "invalid"),
        ),
        (PriceDraft("t", "recurring", {"model": "flat"}), ("prices[0].flat_amount", "missing")),
        (
            PriceDraft("t", "recurring", {"model": "graduated", "tiers": [{"up_to": "5"}]}),
            ("prices[0].tiers[0].up_to", "order"),
        ),
        (
            PriceDraft("t", "recurring", {"model": "percentage", "rate_percent": "2"}),
            ("prices[0].model", "invalid"),
        ),
        (PriceDraft("t", "usage", FEE, meter="tokens", window="P1D"), ("prices[0].window", "invalid")),
        (PriceDraft("t", "usage", FEE, meter="peak"), ("prices[0].meter", "invalid")),
        (
            PriceDraft(
                "t",
                "usage",
                {**EACH, "unit_conversion": {"op": "divide", "factor": "1000000000000000000"}},
                meter="tokens",
            ),
            ("prices[0].unit_conversion.factor", "precision"),
        ),
        (
            PriceDraft("t", "usage", EACH, meter="tokens", filters={"color": ["red"]}),
            ("prices[0].filters.color", "unknown"),
        ),
        (
            PriceDraft("t", "usage", EACH, meter="tokens", filters={"model": []}),
            ("prices[0].filters.model", "missing"),
        ),
        (PriceDraft("t", "usage", EACH, meter="tokens", window="PT7H"), ("prices[0].window", "invalid")),
        (PriceDraft("t", "usage", EACH, meter="tokens", combine="mean"), ("prices[0].combine", "invalid")),
        (PriceDraft("t", "usage", EACH, meter="tokens", dimension="model"), ("prices[0].dimension", "invalid")),
        (
            PriceDraft(
                "t",
                "usage",
                {"model": "graduated_by_dimension", "tiers": [{"up_to": None, "unit_amounts": {"m1": "1"}}]},
                meter="tokens",
            ),
            ("prices[0].dimension", "unknown"),
        ),
        (
            PriceDraft("t", "recurring", {"model": "flat", "flat_amount": "1"}, window="P1D"),
            ("prices[0].window", "invalid"),
        ),
    ],
)
def test_a_price_that_cannot_be_sold_is_refused_with_its_path(
    plan: Plan, price: PriceDraft, fault: tuple[str, str]
) -> None:
    with pytest.raises(UnableToPublish) as error:
        drafted(plan, price)
    assert faults(error) == [fault]
    assert not plan.versions.exists()


def test_everything_that_is_wrong_is_said_at_once(plan: Plan) -> None:
    with pytest.raises(UnableToPublish) as error:
        drafted(plan, BASE, BASE, PriceDraft("t", "usage", {"model": "nonsense"}), currency="XXQ")
    assert faults(error) == [
        ("currency", "invalid"),
        ("prices[1].key", "duplicate"),
        ("prices[2].meter", "missing"),
        ("prices[2].model", "invalid"),
    ]


def test_a_draft_is_redrafted_in_place_and_nothing_else_is(plan: Plan) -> None:
    version = drafted(plan)
    dearer = VersionContent(
        "EUR", dt.date(2026, 5, 1), (replace(BASE, arithmetic={**BASE.arithmetic, "flat_amount": "5"}),)
    )
    redraft(version, dearer, at=AT)
    version.refresh_from_db()
    assert same_content(content_of(version), dearer)
    written = version.history.count()
    redraft(version, dearer, at=AT)
    assert version.history.count() == written
    with pytest.raises(UnableToPublish) as error:
        redraft(version, replace(dearer, prices=(replace(TOKENS, meter="nix"),)), at=AT)
    assert faults(error) == [("prices[0].meter", "unknown")]
    publish(version, at=AT)
    with pytest.raises(UnableToPublish, match="draft another version"):
        redraft(version, dearer, at=AT)


def test_what_was_never_published_is_discarded_with_its_prices(plan: Plan) -> None:
    version, kept = submit(drafted(plan), at=AT), publish(drafted(plan), at=AT)
    discard(version, at=AT, reason="Not wanted")
    assert list(PlanVersion.objects.all()) == [kept]
    gone = PlanVersion.history.filter(number=1).latest("history_id")
    assert (gone.history_type, gone.history_change_reason) == ("-", "Not wanted")
    with pytest.raises(UnableToPublish, match="is published and stays; retire it"):
        discard(kept, at=AT)


def test_an_api_key_is_a_person_and_named_in_the_history(plan: Plan) -> None:
    ci, ops, ann = KeyHolder(1, "ci"), KeyHolder(2, "ops"), User.objects.create(username="ann", pk=1)
    version = submit(drafted(plan), at=AT, by=ci)
    with pytest.raises(UnableToPublish) as error:
        approve(version, at=AT, by=ci)
    assert faults(error) == [("by", "same_person")]
    approve(version, at=AT, by=ops)
    version.refresh_from_db()
    assert (version.submitted_by, version.approved_by) == ("key:1", "key:2")
    reasons = version.history.order_by("history_id").values_list("history_change_reason", flat=True)
    assert list(reasons)[1:] == ["Submitted for review (API key ci)", "Approved and published (API key ops)"]
    # A user of the same number is somebody else.
    approve(submit(drafted(plan), at=AT, by=ci), at=AT, by=ann)
