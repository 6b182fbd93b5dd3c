"""What is alike, by money and by number; which records a choice covers; and the money at risk, by hand."""

from __future__ import annotations

import base64
import datetime as dt
import json
from decimal import Decimal

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from billing.models import Estimate, HeldRecord
from billing.review.alike import Asked, GroupKey, group_of, groups, totals_by_reason, waiting
from billing.review.at_risk import refresh_estimates
from billing.review.choosing import Groups, Match, Matching, Records, record_ids
from billing.review.details import contradictions
from catalog.models import PriceKind
from catalog.publishing import PriceDraft
from contracts.models import Customer
from tests.billing.review.conftest import AT, Company, held, make_company, proposed, send, signed
from tests.factories import event

pytestmark = [pytest.mark.sql, pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])]


@pytest.fixture
def some_held(company: Company) -> None:
    """Of acme-emea three records (one came twice), of stranger one, one with a word for a number, one malformed."""
    repeated = event("e1", 100, subject="acme-emea")
    send(repeated, event("e2", 200, subject="acme-emea"), event("e3", 300, subject="acme-emea"))
    send(repeated, event("s1", 50, subject="stranger"), event("bad", "many"), b'{"id": 7}')
    refresh_estimates(AT)


def test_groups_come_by_the_money_at_risk(some_held: None) -> None:
    page = groups()
    found = [(group.reason, group.alike, group.records, group.sightings, group.at_risk) for group in page.groups]
    # 0.01 a token: 600 tokens as acme; 50 at the commonest price; for the word, the median of 50, 100, 200 and 300.
    assert found == [
        ("unknown_customer", "acme-emea", 3, 4, {"USD": Decimal("6")}),
        ("invalid_value", "llm.request: tokens: 'many' is not a decimal number", 1, 1, {"USD": Decimal("1.5")}),
        ("unknown_customer", "stranger", 1, 1, {"USD": Decimal("0.5")}),
        ("malformed", "Expected `str | null`, got `int` - at `$.id`", 1, 1, {}),
    ]
    assert (page.total, page.next) == (4, None)
    assert [group.customer for group in page.groups] == ["acme", "acme", "", ""]


def test_pages_of_groups_neither_skip_nor_repeat(some_held: None) -> None:
    for order in ("money", "records", "sightings", "oldest", "newest"):
        seen, after = [], None
        while True:
            page = groups(order=order, limit=1, after=after)  # type: ignore[arg-type]
            seen += page.groups
            after = page.next
            if after is None:
                break
        assert seen == groups(order=order).groups  # type: ignore[arg-type]
        assert len(seen) == 4


def test_groups_are_searched_and_those_under_a_proposal_left_out(some_held: None) -> None:
    assert [group.alike for group in groups(Asked(text="EMEA")).groups] == ["acme-emea"]
    assert groups(Asked(text="100%")).groups == []
    proposed("discard", "s1")
    assert {group.alike: group.proposed for group in groups(Asked(reason="unknown_customer")).groups} == {
        "acme-emea": 0, "stranger": 1,
    }  # fmt: skip
    left = groups(Asked(reason="unknown_customer", unproposed=True)).groups
    assert [group.alike for group in left] == ["acme-emea"]
    assert waiting().undecided == 1


def test_totals_by_reason_in_one_query(some_held: None) -> None:
    with CaptureQueriesContext(connections["quarantine"]) as queries:
        totals = totals_by_reason()
    assert len(queries) == 1
    found = [(one.reason, one.records, one.sightings, one.at_risk, one.unestimated) for one in totals]
    assert found == [
        ("invalid_value", 1, 1, {"USD": Decimal("1.5")}, 0),
        ("malformed", 1, 1, {}, 1),
        ("unknown_customer", 4, 5, {"USD": Decimal("6.5")}, 0),
    ]
    assert totals[0].oldest == AT


def test_a_token_names_its_group() -> None:
    key = GroupKey("unknown_customer", "gw", "ünï ☃ / + =")
    assert GroupKey.read(key.token) == key
    for nonsense in ("", "a", "WzFd", "!!"):
        with pytest.raises(ValueError, match="token"):
            GroupKey.read(nonsense)


def test_a_choice_covers_what_is_open_and_free(some_held: None) -> None:
    emea = Groups((group_of(held("e1")),))
    assert record_ids(emea) == [held(id).pk for id in ("e1", "e2", "e3")]
    proposed("discard", "e2")
    assert record_ids(emea) == [held(id).pk for id in ("e1", "e3")]
    assert record_ids(Records((held("e2").pk, held("s1").pk, 10**9))) == [held("s1").pk]


@pytest.mark.parametrize(
    ("match", "found"),
    [
        (Match("gw", subjects=("ACME-*",), ignores_case=True), ["e1", "e2", "e3"]),
        (Match("gw", subjects=("ACME-*",)), []),
        (Match("gw", field="data.tokens", values=("100", "50")), ["e1", "s1"]),
        (Match("gw", type="llm.request", field="subject", values=("*",)), ["e1", "e2", "e3", "bad", "s1"]),
        (Match("other", type="llm.request"), []),
        (Match("gw"), []),
    ],
)
def test_a_match_finds_what_a_rule_would_catch(some_held: None, match: Match, found: list[str]) -> None:
    ids = record_ids(Matching(match))
    assert list(HeldRecord.objects.filter(pk__in=ids).order_by("pk").values_list("event_id", flat=True)) == found


# Money at risk


def at_risk(id: str) -> tuple[Decimal | None, str]:
    estimate = Estimate.objects.get(record__event_id=id)
    return estimate.amount, estimate.basis


def graduated() -> Company:
    """The first 1,000 tokens at 0.01, the rest at 0.002."""
    tiers = [{"up_to": "1000", "unit_amount": "0.01"}, {"up_to": None, "unit_amount": "0.002"}]
    return make_company([PriceDraft("tokens", PriceKind.USAGE, {"model": "graduated", "tiers": tiers}, meter="tokens")])


def test_what_comes_on_top_of_this_months_use_is_estimated_in_its_tier(transactional_db: None) -> None:
    graduated()
    send(event("ok", 900))
    send(event("e1", 200, subject="acme-emea"), event("e2", 300, subject="acme-emea"))
    refresh_estimates(AT)
    # 500 more after 900: 100 at 0.01 and 400 at 0.002 are 1.80, of which 200/500 and 300/500.
    assert at_risk("e1")[0] == Decimal("0.72")
    assert at_risk("e2")[0] == Decimal("1.08")


def test_of_another_month_it_is_the_first_tier_again(transactional_db: None) -> None:
    graduated()
    send(event("ok", 1000))
    feb = dt.datetime(2026, 2, 3, tzinfo=dt.UTC)
    send(event("e1", 200, subject="acme-emea", time="2026-02-02T10:00:00Z"), at=feb)
    refresh_estimates(feb)
    assert at_risk("e1")[0] == Decimal("2.00")


def test_of_a_conflict_the_difference_is_at_risk(company: Company) -> None:
    send(event("e1", 100))
    send(event("e1", 40))
    refresh_estimates(AT)
    assert at_risk("e1")[0] == Decimal("0.60")
    assert "the difference to what was counted" in at_risk("e1")[1]


def test_a_wrong_value_is_taken_for_what_the_customers_events_usually_add(company: Company) -> None:
    send(event("a", 100), event("b", 300))
    send(event("bad", "n/a"), event("none", None))
    refresh_estimates(AT)
    assert at_risk("bad")[0] == at_risk("none")[0] == Decimal("2.00")
    assert "tokens as its events usually have it" in at_risk("bad")[1]


def test_a_type_that_is_nearly_known_is_estimated_as_that_one(company: Company) -> None:
    send(event("t1", 100, type="llm.requests"), event("t2", 100, type="video"))
    refresh_estimates(AT)
    assert at_risk("t1") == (Decimal("1.00"), "as on its plan pro; counted as llm.request")
    assert at_risk("t2") == (None, "no meter counts anything like 'video'")


def test_a_customer_without_a_contract_then_pays_as_on_its_next_one(company: Company) -> None:
    globex = Customer.objects.create(key="globex", name="Globex")
    signed("G-1", globex, company, dt.date(2026, 3, 1))
    send(event("g1", 100, subject="globex"))
    refresh_estimates(AT)
    assert at_risk("g1") == (Decimal("1.00"), "as on its plan pro")


def test_new_records_are_estimated_and_old_estimates_left_alone_unless_all_are_asked_for(company: Company) -> None:
    send(event("e1", 100, subject="acme-emea"))
    assert refresh_estimates(AT) == 1
    assert refresh_estimates(AT) == 0
    send(event("e2", 100, subject="acme-emea"))
    later = AT + dt.timedelta(hours=1)
    assert refresh_estimates(later) == 1
    assert [one.estimated_at for one in Estimate.objects.order_by("pk")] == [AT, later]
    assert refresh_estimates(later, only_new=False) == 2


def test_absurd_values_do_not_stop_the_estimate_of_others(company: Company) -> None:
    send(event("e1", 10**37, subject="stranger"), event("e2", 10, subject="other"))
    assert refresh_estimates(AT) == 2
    assert at_risk("e1") == (None, "its value is beyond any sense")


def test_of_several_conflicts_of_one_id_each_is_a_difference_of_its_own(company: Company) -> None:
    send(event("e1", 100))
    send(event("e1", 40))
    send(event("e1", 90))
    refresh_estimates(AT)
    # 0.01 a token: 60 and 10 tokens of difference to the 100 that were counted.
    amounts = Estimate.objects.order_by("record").values_list("amount", flat=True)
    assert list(amounts) == [Decimal("0.60"), Decimal("0.10")]
    differing = contradictions(HeldRecord.objects.order_by("pk"))
    assert [(one.counted, one.held) for [one] in differing.values()] == [("100", "40"), ("100", "90")]


def token(*texts: str) -> str:
    return base64.urlsafe_b64encode(json.dumps(texts).encode()).decode().rstrip("=")


@pytest.mark.parametrize("alike", ["a\0b", "\ud800"])
def test_a_token_that_no_group_has_is_no_token(company: Company, alike: str) -> None:
    with pytest.raises(ValueError, match="not the token"):
        GroupKey.read(token("unknown_customer", "gw", alike))
    with pytest.raises(ValueError, match="not the `next`"):
        groups(after=token("1", "unknown_customer", "gw", alike))


@pytest.mark.parametrize("rank", ["1E+999999", "1E-999999", "NaN", "Infinity", "9" * 61])
def test_a_page_that_begins_at_an_absurd_rank_is_none(company: Company, rank: str) -> None:
    with pytest.raises(ValueError, match="not the `next`"):
        groups(after=token(rank, "", "", ""))
