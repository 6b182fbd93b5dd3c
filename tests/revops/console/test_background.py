"""Background work on the console: read-only, but for running again what failed and moving what is scheduled."""

from __future__ import annotations

import datetime as dt

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django_q.models import Failure, OrmQ, Schedule, Success

pytestmark = pytest.mark.django_db(databases=["default", "quarantine"])

AT = dt.datetime(2026, 3, 10, 12, 30, tzinfo=dt.UTC)


@pytest.fixture
def office(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("boss"))
    return client


@pytest.fixture
def failure() -> Failure:
    return Failure.objects.create(
        id="f1", name="run-1", func="billing.tasks.bill_run", started=AT, stopped=AT, success=False,
        result="Traceback\nUnableToBill: contract C-1 has no line",
    )  # fmt: skip


def test_the_last_line_of_a_fault_is_in_the_list(office: Client, failure: Failure) -> None:
    page = office.get("/admin/django_q/failure/").content.decode()
    assert "UnableToBill: contract C-1 has no line" in page


def test_failed_work_is_put_into_the_queue_again_once_confirmed(office: Client, failure: Failure) -> None:
    chosen = {"action": "run_again", "_selected_action": "f1"}
    page = office.post("/admin/django_q/failure/", chosen).content.decode()
    assert "waits in the queue" in page
    assert OrmQ.objects.count() == 0
    office.post("/admin/django_q/failure/", {**chosen, "confirmed": "yes"})
    assert OrmQ.objects.get().task["func"] == "billing.tasks.bill_run"
    assert Failure.objects.count() == 1


def test_only_who_may_change_failures_runs_them_again(client: Client, failure: Failure) -> None:
    clerk = User.objects.create_user("clerk", is_staff=True)
    clerk.user_permissions.add(Permission.objects.get(codename="view_failure"))
    client.force_login(clerk)
    chosen = {"action": "run_again", "_selected_action": "f1", "confirmed": "yes"}
    client.post("/admin/django_q/failure/", chosen)
    assert OrmQ.objects.count() == 0


def test_what_is_scheduled_is_moved_but_what_it_runs_is_not_typed_in(office: Client) -> None:
    schedule = Schedule.objects.create(name="Bill run", func="billing.tasks.bill_run", schedule_type="H", next_run=AT)
    page = office.get(f"/admin/django_q/schedule/{schedule.pk}/change/")
    assert {"func", "args", "kwargs"}.isdisjoint(page.context["adminform"].form.fields)
    moved = {
        "schedule_type": "H", "next_run_0": "2026-03-11", "next_run_1": "06:00:00", "repeats": "-1",
        "func": "os.system", "args": "'true'",
    }  # fmt: skip
    assert office.post(f"/admin/django_q/schedule/{schedule.pk}/change/", moved).status_code == 302
    schedule.refresh_from_db()
    assert (schedule.func, schedule.args) == ("billing.tasks.bill_run", None)
    assert schedule.next_run == dt.datetime(2026, 3, 11, 6, tzinfo=dt.UTC)
    assert office.get("/admin/django_q/schedule/add/").status_code == 403


def test_a_schedule_shows_how_its_last_run_ended(office: Client) -> None:
    Success.objects.create(id="s1", name="run-1", func="f", started=AT, stopped=AT, success=True)
    Schedule.objects.create(name="Bill run", func="f", next_run=AT, task="s1")
    page = office.get("/admin/django_q/schedule/").content.decode()
    assert 'href="/admin/django_q/success/s1/change/"' in page


@pytest.mark.parametrize("model", ["success", "ormq", "failure"])
def test_recorded_work_cannot_be_added_or_deleted(office: Client, failure: Failure, model: str) -> None:
    assert office.get(f"/admin/django_q/{model}/add/").status_code == 403
    assert office.get("/admin/django_q/failure/f1/delete/").status_code == 403


def test_people_are_listed_with_their_roles(office: Client) -> None:
    page = office.get("/admin/auth/user/").content.decode()
    assert "Administrator" in page
