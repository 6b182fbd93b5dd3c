"""What a customer may use, and how much of it is left: right at once after everything that changes it."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from billing.entitlements.access import UnknownCustomer, access, all_access
from billing.entitlements.intake import amend_event, void_event
from billing.entitlements.notices import look_over
from catalog.entitling import EntitlementDraft
from contracts.drafts import AllowanceDraft
from contracts.lifecycle import amend, end, move_to_version
from contracts.models import Contract
from tests.billing.entitlements.conftest import START, Office, instant, tokens, told, use

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])


def standing(contract: Contract, at: str, feature: str = "tokens") -> Any:
    return access(contract.customer.key, feature, instant(at))


def figures(contract: Contract, at: str) -> tuple[Any, Any, Any, bool]:
    found = standing(contract, at)
    return found.limit, found.used, found.remaining, found.has_access


def test_a_hard_limit_says_no_once_it_is_reached_and_refuses_nothing(office: Office) -> None:
    contract = office.sign(office.version(tokens("100")))
    assert use(contract.customer, 99, "2026-01-10T00:00").accepted == 1
    assert figures(contract, "2026-01-10T00:00") == (100, 99, 1, True)
    assert use(contract.customer, 1, "2026-01-11T00:00").accepted == 1
    assert figures(contract, "2026-01-11T00:00") == (100, 100, 0, False)
    assert use(contract.customer, 50, "2026-01-12T00:00").accepted == 1
    found = standing(contract, "2026-01-12T00:00")
    assert (found.used, found.remaining, found.overage) == (150, 0, 50)


@pytest.mark.parametrize("on_limit", ["warn", "bill"])
def test_a_soft_limit_is_access(office: Office, on_limit: str) -> None:
    contract = office.sign(office.version(tokens("100", on_limit=on_limit)))
    use(contract.customer, 150, "2026-01-10T00:00")
    assert figures(contract, "2026-01-10T00:00") == (100, 150, 0, True)


def test_use_is_right_at_once_after_corrections(office: Office) -> None:
    contract = office.sign(office.version(tokens("100")))
    use(contract.customer, 60, "2026-01-10T00:00", id="a")
    amend_event("gw", "a", {"tokens": 80}, reason="fault", at=instant("2026-01-11T00:00"))
    assert figures(contract, "2026-01-11T00:00")[1] == 80
    void_event("gw", "a", reason="test", at=instant("2026-01-12T00:00"))
    assert figures(contract, "2026-01-12T00:00")[1] == 0


def test_a_plan_change_in_mid_period_counts_the_use_of_the_period_against_the_new_limit(office: Office) -> None:
    contract = office.sign(office.version(tokens("100")))
    larger = office.version(tokens("500"))
    use(contract.customer, 90, "2026-01-10T00:00")
    move_to_version(contract, larger.plan, larger, dt.date(2026, 1, 15), at=instant("2026-01-12T00:00"))
    assert figures(contract, "2026-01-14T23:59") == (100, 90, 10, True)
    assert figures(contract, "2026-01-15T00:00") == (500, 90, 410, True)
    look_over(instant("2026-01-15T00:00"))
    # What was told at the old limit stays told, and nothing of the new one is reached.
    assert told(contract) == [("2026-01-01", 50), ("2026-01-01", 90)]


def test_a_smaller_plan_is_told_by_the_clock_when_it_begins(office: Office) -> None:
    contract = office.sign(office.version(tokens("500")))
    smaller = office.version(tokens("100"))
    use(contract.customer, 95, "2026-01-10T00:00")
    move_to_version(contract, smaller.plan, smaller, dt.date(2026, 1, 15), at=instant("2026-01-12T00:00"))
    look_over(instant("2026-01-12T00:00"))
    assert told(contract) == []
    look_over(instant("2026-01-15T00:30"))
    assert told(contract) == [("2026-01-01", 50), ("2026-01-01", 90)]


def test_a_contract_says_otherwise_for_some_days(office: Office) -> None:
    contract = office.sign(office.version(tokens("100")))
    raised = AllowanceDraft("tokens", dt.date(2026, 1, 10), dt.date(2026, 1, 20), limit=Decimal(300), reason="launch")
    more = AllowanceDraft("tokens", dt.date(2026, 1, 12), dt.date(2026, 1, 13), extra=Decimal(50))
    amend(contract, entitlements=[raised, more], at=instant("2026-01-05T00:00"))
    limits = {day: figures(contract, f"2026-{day}T12:00")[0] for day in ("01-09", "01-10", "01-12", "01-25", "02-01")}
    # An extra stays for the period that its days touch; the raised limit ends with its last day.
    assert limits == {"01-09": 100, "01-10": 300, "01-12": 350, "01-25": 150, "02-01": 100}


def test_a_contract_gives_what_its_plan_does_not(office: Office) -> None:
    contract = office.sign(
        office.version(EntitlementDraft("seats", "static", value=5)),
        allowances=[
            AllowanceDraft("sso", START),
            AllowanceDraft("tokens", START, meter="tokens", unlimited=True),
            AllowanceDraft("seats", START, value=9),
        ],
    )
    found = {one.terms.feature: one for one in all_access(contract.customer.key, instant("2026-01-10T00:00"))}
    assert list(found) == ["seats", "sso", "tokens"]
    assert found["seats"].terms.value == 9
    assert found["sso"].has_access
    assert (found["tokens"].limit, found["tokens"].remaining, found["tokens"].has_access) == (None, None, True)


def test_limits_of_several_contracts_add_up(office: Office) -> None:
    first = office.sign(office.version(tokens("100")))
    office.sign(office.version(tokens("50", on_limit="warn"), plan="addon"), customer=first.customer)
    use(first.customer, 150, "2026-01-10T00:00")
    assert figures(first, "2026-01-10T00:00") == (150, 150, 0, True)
    assert told(first) == [("2026-01-01", 50), ("2026-01-01", 90), ("2026-01-01", 100)]


def test_an_allowance_begins_anew_with_the_local_day_across_a_change_of_the_clock(office: Office) -> None:
    version = office.version(tokens("10", reset="day"))
    contract = office.sign(version, timezone="Europe/Berlin")
    # On 29 March 2026 the day in Berlin has 23 hours: from 23:00 UTC on the 28th to 22:00 UTC on the 29th.
    use(contract.customer, 4, "2026-03-28T22:59")
    use(contract.customer, 5, "2026-03-28T23:00")
    use(contract.customer, 6, "2026-03-29T21:59")
    assert figures(contract, "2026-03-29T21:59")[1] == 11
    assert figures(contract, "2026-03-29T22:00")[1] == 0
    assert standing(contract, "2026-03-29T12:00").period.seconds == 23 * 3600


@pytest.mark.parametrize(
    ("reset", "starts"), [("billing_period", "2026-03-15"), ("week", "2026-03-19"), ("day", "2026-03-20")]
)
def test_the_grid_is_that_of_the_contract(office: Office, reset: str, starts: str) -> None:
    contract = office.sign(office.version(tokens("10", reset=reset)), starts_on=dt.date(2026, 1, 15))
    period = standing(contract, "2026-03-20T12:00").period
    # 15 January 2026 was a Thursday, and so are 19 March and every week's first day.
    assert period.starts_at == instant(f"{starts}T00:00")


def test_nothing_is_given_before_and_after_the_contract(office: Office) -> None:
    contract = office.sign(office.version(tokens("10"), EntitlementDraft("sso")))
    end(contract, dt.date(2026, 2, 10), at=instant("2026-01-20T00:00"))
    assert standing(contract, "2025-12-31T23:59") is None
    assert standing(contract, "2026-02-09T23:59").period.ends_at == instant("2026-02-10T00:00")
    assert standing(contract, "2026-02-10T00:00", "sso") is None


def test_an_unknown_customer_is_said(office: Office) -> None:
    with pytest.raises(UnknownCustomer):
        access("nobody", "tokens", instant("2026-01-10T00:00"))


def test_an_answer_takes_two_queries(office: Office, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    contract = office.sign(office.version(tokens("100"), EntitlementDraft("sso")))
    at = instant("2026-01-10T00:00")
    access(contract.customer.key, "tokens", at)
    with django_assert_num_queries(2):
        access(contract.customer.key, "tokens", at)
    with django_assert_num_queries(2):
        all_access(contract.customer.key, at)
