"""What a person can get wrong in the terms of a contract, each with the message that says so."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from catalog.models import Plan, PlanVersion
from catalog.publishing import PriceDraft, draft_version, publish
from contracts.checking import faults
from contracts.drafts import CommitmentDraft, DiscountDraft, GrantDraft, LineDraft, OverrideDraft, terms_draft
from contracts.models import Contract
from tests.contracts.conftest import AT, START
from tests.factories import CustomerFactory, MeterFactory, SellerFactory

FEBRUARY, MARCH = dt.date(2026, 2, 1), dt.date(2026, 3, 1)


@pytest.fixture
def pro(db: None) -> PlanVersion:
    """A fee, calls at tiers, a share of sales, seats by their peak, and calls in windows; by the month, in dollars."""
    MeterFactory(key="calls", group_by=["region"])
    MeterFactory(key="seats", aggregation="max")
    flat, unit = {"model": "flat", "flat_amount": "30"}, {"model": "per_unit", "unit_amount": "1"}
    share = {"model": "percentage", "rate_percent": "2", "fixed_amount": "0.1"}
    prices = [
        PriceDraft("base", "recurring", flat),
        PriceDraft("calls", "usage", unit, meter="calls"),
        PriceDraft("seats", "usage", unit, meter="seats"),
        PriceDraft("share", "usage", share, meter="calls", filters={"region": ["eu"]}),
        PriceDraft("hourly", "usage", unit, meter="calls", filters={"region": ["us"]}, window="PT1H"),
    ]
    plan = Plan.objects.create(key="pro", name="Pro", interval="month")
    return publish(draft_version(plan, currency="USD", prices=prices, at=AT), at=AT)


def found(pro: PlanVersion, ends_on: dt.date | None = None, **terms: Any) -> list[tuple[str, str, str]]:
    """What is wrong with a contract from January on this version, with these terms."""
    contract = Contract(
        number="C-1",
        customer=CustomerFactory(),
        seller=SellerFactory(),
        currency="USD",
        starts_on=START,
        ends_on=ends_on,
    )
    wanted = terms_draft([LineDraft(pro, START)], **terms)
    return [(one.path, one.code, one.detail) for one in faults(contract, wanted)]


def discount(**given: Any) -> DiscountDraft:
    return DiscountDraft(**{"kind": "percent", "value": Decimal(10), "starts_on": START, **given})


def override(price: str = "calls", *, line: str = "pro", **terms: Any) -> OverrideDraft:
    days = {name: terms.pop(name) for name in ("starts_on", "ends_on") if name in terms}
    return OverrideDraft(line, price, terms, **{"starts_on": START, **days})


def commitment(kind: str = "minimum", **given: Any) -> CommitmentDraft:
    amount = {} if kind == "quantity" else {"amount": Decimal(100)}
    return CommitmentDraft(**{"kind": kind, "starts_on": START, **amount, **given})


def units(**given: Any) -> CommitmentDraft:
    return commitment("quantity", **{"quantity": Decimal(100), "applies_to": ("calls",), **given})


def grant(**given: Any) -> GrantDraft:
    return GrantDraft(**{"kind": "promotional", "amount": Decimal(50), "starts_on": START, **given})


def test_terms_that_hold_have_no_faults(pro: PlanVersion) -> None:
    assert (
        found(
            pro,
            ends_on=dt.date(2027, 1, 1),
            discounts=[
                discount(value=Decimal(100)),
                discount(kind="amount", value=Decimal("9.99"), total=Decimal("50.5")),
                discount(kind="quantity", applies_to=("calls", "seats")),
            ],
            overrides=[override(unit_amount="2", ends_on=MARCH), override(unit_amount="3", starts_on=MARCH)],
            commitments=[
                commitment(interval="month", applies_to=("base",)),
                commitment("prepaid", interval="year", overage_factor=Decimal(1)),
                commitment("cap", interval="term"),
                units(overage_factor=Decimal("1.5")),
            ],
            credits=[grant(), grant(kind="prepaid", expires_on=MARCH, applies_to=("base",))],
        )
        == []
    )


OFF = "a discount is not negative, and at most 100 percent"


@pytest.mark.parametrize(
    ("given", "path", "code", "detail"),
    [
        ({"kind": "gift"}, "kind", "invalid", "a discount is percent, amount or quantity"),
        ({"value": Decimal(-1)}, "value", "invalid", OFF),
        ({"value": Decimal("100.1")}, "value", "invalid", OFF),
        ({"kind": "amount", "value": Decimal(-1)}, "value", "invalid", OFF),
        (
            {"kind": "amount", "value": Decimal("0.005")}, "value", "precision",
            "an amount in USD has at most 2 decimals",
        ),
        ({"total": Decimal(-1)}, "total", "invalid", "an amount is not negative"),
        ({"total": Decimal("0.001")}, "total", "precision", "an amount in USD has at most 2 decimals"),
        ({"applies_to": ("base", "nix")}, "applies_to", "unknown", "no line of the contract has a price nix"),
        ({"kind": "quantity"}, "applies_to", "missing", "units are of a price: name it"),
        (
            {"kind": "quantity", "applies_to": ("base",)}, "applies_to", "invalid",
            "base is flat, which charges for no quantity of use",
        ),
        (
            {"kind": "quantity", "applies_to": ("share",)}, "applies_to", "invalid",
            "share is percentage, which charges for no quantity of use",
        ),
        ({"ends_on": START}, "until", "order", "a discount ends after it starts"),
    ],
)  # fmt: skip
def test_a_discount_that_does_not_hold(
    pro: PlanVersion, given: dict[str, Any], path: str, code: str, detail: str
) -> None:
    assert found(pro, discounts=[discount(**given)]) == [(f"discounts[0].{path}", code, detail)]


def test_two_terms_of_a_kind_have_two_keys(pro: PlanVersion) -> None:
    twice = {
        "discounts": [discount(key="a"), discount(key="a")],
        "commitments": [commitment(key="a"), commitment("cap", key="a")],
        "credits": [grant(key="a"), grant(key="a")],
    }
    assert found(pro, **twice) == [
        (f"{name}[1].key", "duplicate", "the key a is there twice") for name in ("discounts", "commitments", "credits")
    ]


@pytest.mark.parametrize(
    ("given", "path", "code", "detail"),
    [
        (override(), "", "missing", "an override of calls says what is otherwise, and this nothing"),
        (override(window="PT1H"), ".window", "unknown", "window is nothing that an override changes"),
        (override(unit_amount="2", ends_on=START), ".until", "order", "an override ends after it starts"),
        (
            override("nix", unit_amount="2"), ".price", "unknown",
            "no line pro of the contract has a price nix on these days",
        ),
        (
            override(unit_amount="2", line="max"), ".price", "unknown",
            "no line max of the contract has a price calls on these days",
        ),
        (
            override(model="percentage", rate_percent="2", free_events=3), ".model", "invalid",
            "such a price looks at single events, and seats is not of a sum or a count of them",
        ),
        (
            override(model="graduated_by_dimension", tiers=[{"up_to": None, "unit_amounts": {"eu": "1"}}]), ".model",
            "invalid", "calls has no dimension to share tiers over; only a plan version can give it one",
        ),
    ],
)  # fmt: skip
def test_an_override_that_does_not_hold(
    pro: PlanVersion, given: OverrideDraft, path: str, code: str, detail: str
) -> None:
    if "seats" in detail:
        given = OverrideDraft("pro", "seats", given.terms, START)
    assert (f"overrides[0]{path}", code, detail) in found(pro, overrides=[given])


def test_an_override_that_makes_no_price_says_which_field(pro: PlanVersion) -> None:
    paths = [
        path for path, _, _ in found(pro, overrides=[override(flat_amount="1"), override("base", flat_amount="x")])
    ]
    assert paths == ["overrides[0].flat_amount", "overrides[1].flat_amount"]
    tiers = [{"up_to": "10", "unit_amount": "1"}, {"up_to": "5", "unit_amount": "1"}]
    [(path, _, _), *_] = found(pro, overrides=[override(model="graduated", tiers=tiers)])
    assert path.startswith("overrides[0].tiers[")


def test_two_overrides_of_a_price_do_not_hold_on_the_same_days(pro: PlanVersion) -> None:
    both = [override(unit_amount="2"), override(unit_amount="3", starts_on=FEBRUARY)]
    assert found(pro, overrides=both) == [("overrides[1]", "overlap", "two overrides of calls hold on the same days")]


@pytest.mark.parametrize(
    ("given", "path", "code", "detail"),
    [
        (commitment("gift"), "kind", "invalid", "a commitment is minimum, quantity, prepaid or cap"),
        (commitment(amount=None), "amount", "invalid", "a commitment of the kind minimum needs its amount"),
        (units(quantity=None), "quantity", "invalid", "a commitment of the kind quantity needs its quantity"),
        (commitment(quantity=Decimal(1)), "quantity", "invalid", "a commitment of the kind minimum has no quantity"),
        (units(amount=Decimal(1)), "amount", "invalid", "a commitment of the kind quantity has no amount"),
        (commitment(amount=Decimal(-1)), "amount", "invalid", "an amount is not negative"),
        (commitment(amount=Decimal("0.001")), "amount", "precision", "an amount in USD has at most 2 decimals"),
        (units(quantity=Decimal(-1)), "quantity", "invalid", "a quantity is not negative"),
        (commitment(overage_factor=Decimal("0.9")), "overage_factor", "invalid", "an overage factor is at least 1"),
        (
            commitment("cap", overage_factor=Decimal(2)), "overage_factor", "invalid",
            "nothing is charged beyond a cap",
        ),
        (
            units(interval="year"), "interval", "invalid",
            "a committed quantity is for each interval of its price; give the price one",
        ),
        (
            commitment(interval="decade"), "interval", "invalid",
            "interval is one of day, week, month, quarter, half_year, year, term",
        ),
        (
            commitment(interval="week"), "interval", "invalid",
            "the contract is billed by the month, so a commitment is at least as long",
        ),
        (
            commitment(interval="term"), "interval", "invalid",
            "the contract has no end, so its term has none; give the commitment an interval, or an until",
        ),
        (commitment(applies_to=("nix",)), "applies_to", "unknown", "no line of the contract has a price nix"),
        (commitment(ends_on=START), "until", "order", "a commitment ends after it starts"),
        (
            units(applies_to=("calls", "seats")), "applies_to", "invalid",
            "a committed quantity is of one price: name it",
        ),
        (units(applies_to=()), "applies_to", "missing", "units are of a price: name it"),
        (
            units(applies_to=("hourly",)), "applies_to", "invalid",
            "hourly is per unit, which charges for no quantity of use",
        ),
    ],
)  # fmt: skip
def test_a_commitment_that_does_not_hold(
    pro: PlanVersion, given: CommitmentDraft, path: str, code: str, detail: str
) -> None:
    assert (f"commitments[0].{path}", code, detail) in found(pro, commitments=[given])


def test_a_term_ends_with_the_contract_or_with_the_commitment(pro: PlanVersion) -> None:
    whole = commitment(interval="term")
    assert found(pro, ends_on=dt.date(2027, 1, 1), commitments=[whole]) == []
    assert found(pro, commitments=[commitment(interval="term", ends_on=MARCH)]) == []


@pytest.mark.parametrize(
    ("given", "path", "code", "detail"),
    [
        ({"kind": "gift"}, "kind", "invalid", "a grant is promotional or prepaid"),
        ({"amount": Decimal(0)}, "amount", "invalid", "a grant is above zero"),
        ({"amount": Decimal("0.001")}, "amount", "precision", "an amount in USD has at most 2 decimals"),
        ({"applies_to": ("nix",)}, "applies_to", "unknown", "no line of the contract has a price nix"),
        ({"expires_on": START}, "expires_on", "order", "a grant expires after it begins"),
    ],
)
def test_a_grant_that_does_not_hold(pro: PlanVersion, given: dict[str, Any], path: str, code: str, detail: str) -> None:
    assert (f"credits[0].{path}", code, detail) in found(pro, credits=[grant(**given)])
