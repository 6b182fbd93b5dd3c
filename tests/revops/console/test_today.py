"""The page of the day: what it counts, to whom it shows it, and what it costs."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable
from decimal import Decimal

import pytest
from django.contrib.auth.models import Permission, User
from django.core.cache import cache
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import Failure, Schedule

from billing.models import BillRun, BillRunFault, Estimate, HeldRecord, Proposal, Receipt
from catalog.models import Seller
from contracts.models import Contract, ContractStatus, Customer
from revops.console.today import Figure, today

pytestmark = pytest.mark.django_db(databases=["default", "quarantine"])

AT = dt.datetime(2026, 3, 10, 12, 30, tzinfo=dt.UTC)


@pytest.fixture
def boss() -> User:
    return User.objects.create_superuser("boss")


@pytest.fixture
def office(client: Client, boss: User) -> Client:
    client.force_login(boss)
    return client


def figures(user: User) -> dict[str, Figure]:
    found: list[Figure] = today(user, AT)["figures"]
    return {one.title: one for one in found}


def hold(numbers: Iterable[int], reason: str = "unknown_customer", status: str = "open") -> None:
    HeldRecord.objects.bulk_create(
        HeldRecord(
            source="gw",
            event_id=f"e{n}",
            digest=uuid.UUID(int=n),
            reason=reason,
            current_reason=reason,
            raw=b"{}",
            receipt=uuid.UUID(int=n),
            held_at=AT,
            status=status,
        )
        for n in numbers
    )


def receive(number: int, at: dt.datetime, accepted: int, duplicates: int = 0, held: int = 0) -> None:
    Receipt.objects.create(
        id=uuid.UUID(int=number),
        received_at=at,
        door="api",
        received=accepted + duplicates + held,
        accepted=accepted,
        duplicates=duplicates,
        quarantined=held,
    )


def clerk(*permissions: str) -> User:
    user = User.objects.create_user("clerk", is_staff=True)
    for name in permissions:
        app, _, codename = name.partition(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    return user


def test_open_records_are_counted_by_reason_and_others_are_not(boss: User) -> None:
    hold(range(4))
    hold(range(4, 6), reason="malformed")
    hold(range(6, 9), status="superseded")
    held = figures(boss)["Held for review"]
    assert (held.value, held.tone) == ("6", "warn")
    assert [fact.words for fact in held.facts] == [
        "6 not estimated",
        "4 unknown customer",
        "2 not readable",
    ]
    assert held.facts[1].address == f"{held.address}?reason=unknown_customer"


def test_money_at_risk_is_said_by_currency_and_as_about(boss: User) -> None:
    hold(range(3))
    first, second, third = HeldRecord.objects.order_by("pk")
    Estimate.objects.create(record=first, amount=Decimal("10.004"), currency="EUR", estimated_at=AT)
    Estimate.objects.create(record=second, amount=Decimal("2.5"), currency="EUR", estimated_at=AT)
    Estimate.objects.create(record=third, amount=Decimal("700"), currency="JPY", estimated_at=AT)
    words = [fact.words for fact in figures(boss)["Held for review"].facts]
    assert words[:2] == ["≈ 12.50 EUR at risk", "≈ 700 JPY at risk"]  # 10.004 + 2.5 = 12.504


def test_proposals_that_wait_for_a_second_person_are_counted(boss: User) -> None:
    made = [Proposal.objects.create(kind="discard", reason="?", proposed_by="user:1", proposed_at=AT) for _ in range(3)]
    Proposal.objects.filter(pk=made[0].pk).update(decision="rejected", decided_by="user:2", decided_at=AT)
    assert "2 proposals to decide on" in [fact.words for fact in figures(boss)["Held for review"].facts]


def test_nothing_held_says_so(boss: User) -> None:
    held = figures(boss)["Held for review"]
    assert (held.value, held.tone, held.facts[0].words) == ("0", "good", "Everything that came in was counted.")


def test_what_another_person_submitted_waits(boss: User) -> None:
    seller = Seller.objects.create(key="s", name="S")
    customer = Customer.objects.create(key="c", name="C")
    shared = {"customer": customer, "seller": seller, "currency": "EUR", "starts_on": AT.date()}
    Contract.objects.create(number="A-1", status=ContractStatus.REVIEW, submitted_by="user:1", **shared)
    Contract.objects.create(number="A-2", **shared)
    waits = figures(boss)["Waits for a person"]
    assert (waits.value, waits.facts[0].words) == ("1", "1 contract")
    assert waits.facts[0].address == "/admin/contracts/contract/?status__exact=review"


def test_records_are_added_up_by_the_hour_they_came_in(boss: User) -> None:
    receive(1, AT, accepted=3, duplicates=1)
    receive(2, AT - dt.timedelta(minutes=10), accepted=4)  # 12:20, the same hour
    receive(3, AT - dt.timedelta(hours=1), accepted=0, held=2)  # 11:30
    receive(4, AT - dt.timedelta(hours=30), accepted=10)  # within 48 hours, not within 24
    receive(5, AT - dt.timedelta(hours=49), accepted=99)  # before
    traffic = today(boss, AT)["traffic"]
    bars = traffic["bars"]
    assert len(bars) == 48
    assert bars[-1].hour.starts_at == AT.replace(minute=0)
    assert (bars[-1].hour.accepted, bars[-1].hour.duplicates) == (7, 1)
    assert bars[-2].hour.held == 2
    assert bars[-31].hour.accepted == 10
    assert (traffic["accepted"], traffic["duplicates"], traffic["held"]) == (7, 1, 2)
    assert bars[-31].parts == [("accepted", 0, 150)]  # the fullest hour takes the whole height
    assert [part[2] for part in bars[-1].parts] == [105, 15]  # 7 and 1 of 10, of 150


def test_an_hour_that_is_over_is_read_once_and_the_current_one_again(boss: User) -> None:
    receive(1, AT - dt.timedelta(hours=2), accepted=5)
    assert today(boss, AT)["traffic"]["accepted"] == 5
    receive(2, AT, accepted=1)
    assert today(boss, AT + dt.timedelta(minutes=1))["traffic"]["accepted"] == 6
    later = today(boss, AT + dt.timedelta(hours=1))["traffic"]
    assert (later["accepted"], later["bars"][-2].hour.accepted) == (6, 1)


def test_failed_work_of_a_week_is_counted(boss: User) -> None:
    for n, age in enumerate([1, 6, 8]):
        stopped = AT - dt.timedelta(days=age)
        Failure.objects.create(id=str(n), name="w", func="f", started=stopped, stopped=stopped, success=False)
    work = figures(boss)["Work failed in 7 days"]
    assert (work.value, work.tone) == ("2", "bad")


def test_regular_work_that_is_due_for_long_says_that_no_worker_runs(boss: User) -> None:
    Schedule.objects.create(func="f", next_run=AT - dt.timedelta(minutes=20))
    work = figures(boss)["Work failed in 7 days"]
    assert work.tone == "bad"
    assert work.facts[-1].words == "No worker runs: work was due at 2026-03-10 12:10."


def test_a_person_sees_the_figures_of_what_they_may_view() -> None:
    user = clerk("contracts.view_contract")
    shown = today(user, AT)
    assert [one.title for one in shown["figures"]] == ["Waits for a person", "End within 90 days"]
    assert shown["traffic"] is None
    assert shown["runs"] is None
    assert shown["drafts"] is None
    assert not shown["may_see_open_periods"]


def test_open_periods_are_refused_to_who_may_not_see_invoices(client: Client) -> None:
    client.force_login(clerk("contracts.view_contract"))
    assert client.get("/admin/today/open-periods/").status_code == 403


def test_an_empty_office_is_told_what_to_do_first(office: Client) -> None:
    page = office.get("/admin/").content.decode()
    assert "From here to the first invoice" in page
    assert 'href="/admin/catalog/seller/add/"' in page
    Seller.objects.create(key="s", name="S")
    assert 'href="/admin/catalog/seller/add/"' not in office.get("/admin/").content.decode()


def test_who_may_not_do_a_first_step_gets_no_link_to_it(client: Client) -> None:
    client.force_login(clerk("contracts.add_customer"))
    page = client.get("/admin/").content.decode()
    assert 'href="/admin/contracts/customer/add/"' in page
    assert 'href="/admin/catalog/seller/add/"' not in page


def test_the_steps_are_gone_once_events_came_and_billing_ran(office: Client) -> None:
    receive(1, AT, accepted=1)
    BillRun.objects.create(at=AT)
    assert "From here to the first invoice" not in office.get("/admin/").content.decode()


def test_faults_of_a_run_are_shown(office: Client) -> None:
    run = BillRun.objects.create(at=AT, finished_at=AT, faults=2)
    assert BillRunFault.objects.count() == 0
    page = office.get("/admin/").content.decode()
    assert "2 failed" in page
    assert f'href="/admin/billing/billrun/{run.pk}/change/"' in page


def test_the_page_costs_the_same_queries_whatever_there_is(office: Client) -> None:
    def questions() -> int:
        cache.clear()
        with (
            CaptureQueriesContext(connections["default"]) as main,
            CaptureQueriesContext(connections["quarantine"]) as side,
        ):
            assert office.get("/admin/").status_code == 200
        return len(main) + len(side)

    def fill(numbers: range) -> None:
        hold(numbers)
        for n in numbers:
            receive(n, timezone.now() - dt.timedelta(hours=n), accepted=1)
            BillRun.objects.create(at=AT)

    fill(range(3))
    few = questions()
    fill(range(3, 30))
    assert questions() == few


def test_where_the_quarantine_cannot_be_reached_the_page_says_so(boss: User) -> None:
    with connections["quarantine"].cursor() as cursor:
        cursor.execute("ALTER TABLE quarantine_heldrecord RENAME TO quarantine_away")
    held = figures(boss)["Held for review"]
    assert (held.value, held.tone) == ("?", "bad")
