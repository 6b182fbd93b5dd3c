"""The sample company: the same every time, honest, complete, and made once."""

from __future__ import annotations

import datetime as dt
import json
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.core.management.base import CommandError
from django.test import Client
from django_q.models import Schedule

from billing.models import (
    BillRunFault,
    Correction,
    Event,
    HeldRecord,
    Invoice,
    InvoiceLine,
    InvoiceStatus,
    LineKind,
    Proposal,
    Receipt,
    Source,
)
from catalog.models import PlanVersion, VersionStatus
from contracts.models import Contract, ContractStatus
from revops.demo import children, people
from revops.demo.company import months_so_far
from revops.demo.months import Months
from revops.demo.story import Story
from revops.demo.usage import HABITS, events_of_day
from revops.management.commands.demo import Command, schedule_work
from revops.models import ApiKey
from revops.reconciliation import books

NOW = dt.datetime(2026, 11, 20, 9, 30, tzinfo=dt.UTC)
FIRST = dt.date(2026, 8, 1)
# The same customers with a fraction of their traffic, so that the story is quick to play.
QUIET = [replace(one, texts=min(one.texts, 2), pictures=min(one.pictures, 1), sessions=min(one.sessions, 1),
                 transcripts=min(one.transcripts, 1)) for one in HABITS]  # fmt: skip


@pytest.mark.parametrize(
    ("at", "first", "open"),
    [
        ("2026-11-20", "2026-08-01", "2026-11-01"),
        ("2026-01-01", "2025-10-01", "2026-01-01"),
        ("2026-03-31", "2025-12-01", "2026-03-01"),
    ],
)
def test_three_months_are_over_and_one_is_open(at: str, first: str, open: str) -> None:
    months = Months.before(dt.datetime.fromisoformat(f"{at}T09:30:00+00:00"))
    assert (months.first.isoformat(), months.open.isoformat()) == (first, open)


def test_the_events_of_a_day_are_the_same_whenever_they_are_asked_for() -> None:
    day = dt.date(2026, 9, 7)
    once, again = (list(events_of_day(HABITS[0], day, FIRST)) for _ in range(2))
    assert once == again
    assert len({sent.id for sent in once}) == len(once) > 30


def test_events_occur_on_their_customers_day() -> None:
    sakura = next(habit for habit in HABITS if habit.customer == "sakura")
    day = dt.date(2026, 9, 7)
    local = {sent.occurred_at.astimezone(ZoneInfo("Asia/Tokyo")).date() for sent in events_of_day(sakura, day, FIRST)}
    assert local == {day}


@pytest.mark.sql
@pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])
@pytest.mark.parametrize("until", [NOW, dt.datetime(2026, 11, 1, 0, 5, tzinfo=dt.UTC)], ids=["20th", "first minutes"])
def test_the_story_ends_with_books_that_prove_clean(until: dt.datetime) -> None:
    months = Months.before(until)
    Story(months, until, people.employ(people.Note()), QUIET).play(lambda arrived: None)

    report = books.check(until)
    assert report.ok, report.as_text()
    assert not any(check.findings for check in report.checks)
    assert not BillRunFault.objects.exists()
    reasons = set(HeldRecord.objects.filter(status="open").values_list("reason", flat=True))
    assert reasons == {
        "malformed",
        "unknown_source",
        "missing_field",
        "time_in_future",
        "unknown_event_type",
        "unknown_customer",
        "no_active_contract",
        "invalid_value",
        "conflict",
    }
    assert sorted(Proposal.objects.values_list("kind", "decision")) == [
        ("assign_customer", ""), ("discard", "approved"), ("fix_value", "approved"),
    ]  # fmt: skip
    assert Event.objects.get(event_id="ng-rel42-3").data.count("31000") == 1
    late = InvoiceLine.objects.filter(kind=LineKind.ADJUSTMENT, contract__number="A-1011", quantity__gt=0)
    assert late.exists()  # the office in Tokyo that was cut off
    assert set(Correction.objects.values_list("kind", flat=True)) == {"void", "amend"}
    voided = Invoice.objects.get(status=InvoiceStatus.VOIDED)
    again = Invoice.objects.issued().get(contract=voided.contract, period_start=voided.period_start)
    assert (again.total, again.lines.count()) == (voided.total, voided.lines.count())
    assert again.customer_details["address"] != voided.customer_details["address"]
    assert Invoice.objects.credit_notes().issued().get().customer.key == "fjord"
    assert {"EUR", "GBP", "USD", "JPY"} <= set(Invoice.objects.values_list("currency", flat=True))
    assert PlanVersion.objects.get(plan__key="payg", number=2).status == VersionStatus.REVIEW
    assert Contract.objects.get(number="A-1016").status == ContractStatus.REVIEW
    slowest = max(
        event.received_at - event.occurred_at for event in Event.objects.exclude(event_id__startswith="tokyo")
    )
    assert slowest < dt.timedelta(days=2)


@pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])
def test_a_story_that_was_cut_off_goes_on_where_it_was() -> None:
    staff = people.employ(people.Note())
    months = Months.before(NOW)
    story = Story(months, NOW, staff, QUIET)
    half = sorted(story._steps(), key=lambda step: step.at)
    for step in half[: len(half) // 2]:
        step.do(step.at)
    assert months_so_far() == months

    Story(months, NOW, staff, QUIET).play(lambda arrived: None)
    assert Correction.objects.values("event_id").distinct().count() == Correction.objects.count()
    assert Invoice.objects.filter(status=InvoiceStatus.VOIDED).count() == 1
    assert Contract.objects.filter(customer__key="helios").count() == 1
    assert books.check(NOW).ok
    assert Receipt.objects.filter(duplicates__gt=0).exists()


@pytest.mark.django_db
def test_everybody_can_sign_in_and_does_their_own_part(tmp_path: Path) -> None:
    note = people.Note()
    people.employ(note)
    path = tmp_path / "home" / "demo.json"
    note.write(path)
    assert path.stat().st_mode & 0o777 == 0o600
    for login in json.loads(path.read_text())["users"]:
        client = Client()
        assert client.login(username=login["username"], password=login["password"])
        assert client.get("/admin/billing/invoice/").status_code == 200
    may = {role: User.objects.get(username=name) for role, (name, _, _) in people.STAFF.items()}
    assert may["revops"].has_perm("catalog.submit_planversion")
    assert not may["revops"].has_perm("catalog.publish_planversion")
    assert may["finance"].has_perm("billing.void_invoice")
    assert not may["finance"].has_perm("contracts.change_contract")
    changes = ("add_", "change_", "delete_", "void_", "issue_", "publish_", "approve_", "run_")
    assert not [one for one in may["auditor"].get_all_permissions() if one.partition(".")[2].startswith(changes)]


@pytest.mark.django_db
def test_passwords_stay_and_a_lost_note_gets_new_ones(tmp_path: Path) -> None:
    path = tmp_path / "demo.json"
    first = people.Note()
    people.employ(first)
    first.write(path)
    second = people.Note.read(path)
    people.employ(second)
    assert second.users == first.users
    path.write_text("{}")
    third = people.Note.read(path)
    people.employ(third)
    assert Client().login(username="admin", password=third.users[0].password)
    assert third.users[0].password != first.users[0].password


@pytest.mark.django_db
def test_a_lost_key_is_revoked_when_another_is_handed_out() -> None:
    Source.objects.create(key="gateway")
    note = people.Note()
    people.hand_out_key(note, NOW)
    people.hand_out_key(note, NOW + dt.timedelta(hours=1))
    lost, current = ApiKey.objects.order_by("pk")
    assert (lost.revoked_at, current.revoked_at) == (NOW + dt.timedelta(hours=1), None)
    assert note.api_key.startswith("wt_")


@pytest.mark.django_db
def test_work_is_scheduled_once_for_the_instants_that_are_meant() -> None:
    schedule_work(NOW)
    schedule_work(NOW + dt.timedelta(hours=5))
    assert {(one.func, one.intended_date_kwarg, one.next_run) for one in Schedule.objects.all()} == {
        ("billing.tasks.bill_run", "at", dt.datetime(2026, 11, 20, 10, tzinfo=dt.UTC)),
        ("billing.tasks.give_notices", "at", dt.datetime(2026, 11, 20, 9, 31, tzinfo=dt.UTC)),
        ("billing.tasks.deliver_notices", "at", dt.datetime(2026, 11, 20, 9, 31, tzinfo=dt.UTC)),
        ("billing.tasks.review_held", "at", dt.datetime(2026, 11, 20, 9, 35, tzinfo=dt.UTC)),
        ("billing.tasks.estimate_held_again", "at", dt.datetime(2026, 11, 21, tzinfo=dt.UTC)),
    }


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_port_that_is_taken_is_said_so(taken_port: int) -> None:
    with pytest.raises(CommandError, match=f"already listens on 127.0.0.1:{taken_port}; choose another"):
        Command().usable_port(taken_port)


def test_children_are_stopped_and_an_end_of_one_is_noticed() -> None:
    sleeper = subprocess.Popen(["sleep", "60"], start_new_session=True)
    ended = subprocess.Popen(["true"], start_new_session=True)
    with pytest.raises(children.ChildEnded, match="The worker ended with code 0"):
        children.watch({"web server": sleeper, "worker": ended})
    children.stop_all({"web server": sleeper, "worker": ended})
    assert sleeper.returncode is not None
