"""The desk of background work: what is scheduled, what waits, what was done and what failed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from django.contrib import admin
from django.contrib.auth.models import AbstractBaseUser
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django_q.admin import ScheduleAdmin
from django_q.models import Failure, OrmQ, Schedule, Success
from django_q.tasks import async_task

from catalog.deeds import Change, Deed, DeedsMixin
from catalog.desks import Desk, FactDesk

admin.site.unregister([Failure, OrmQ, Schedule, Success])


class RunAgain(Deed):
    name, label, permission = "run_again", "Run again", "django_q.change_failure"
    explanation = "The work is put into the queue once more, as it was asked for; a worker takes it within seconds."

    def changes(self, row: Failure, at: dt.datetime) -> Sequence[Change]:
        return [Change(row.func, f"failed at {row.stopped:%Y-%m-%d %H:%M}", "waits in the queue")]

    def do(self, row: Failure, at: dt.datetime, by: AbstractBaseUser, asked: Mapping[str, Any]) -> str:
        async_task(row.func, *(row.args or ()), hook=row.hook, group=row.group, **(row.kwargs or {}))
        return f"{row.name} is in the queue again."


class WorkDesk(FactDesk):
    """Work that ended, as the worker recorded it."""

    search_fields = ["name", "func", "group"]
    search_help_text = "Name, function or group."
    list_filter = ["group", "started"]
    ordering = ["-stopped"]

    @admin.display(description="took")
    def took(self, work: Any) -> str:
        return f"{work.time_taken():,.1f} s"


@admin.register(Failure)
class FailureDesk(DeedsMixin, WorkDesk):
    list_display = ["name", "func", "started", "took", "attempt_count", "why"]
    fields = ["name", "func", "args", "kwargs", "group", "started", "stopped", "attempt_count", "result"]
    empty_hint = "Nothing failed."
    deeds = (RunAgain(),)

    @admin.display(description="why")
    def why(self, work: Failure) -> str:
        """The last line a fault says is what it is; the whole is on the page."""
        lines = str(work.result or "").strip().splitlines()
        return lines[-1][:120] if lines else ""


@admin.register(Success)
class SuccessDesk(WorkDesk):
    list_display = ["name", "func", "started", "took", "group"]
    fields = ["name", "func", "args", "kwargs", "group", "started", "stopped", "result"]


@admin.register(OrmQ)
class QueueDesk(FactDesk):
    """What waits for a worker, or is being done."""

    list_display = ["name", "func", "task_id", "lock"]
    fields = ["key", "task_id", "name", "func", "lock"]
    readonly_fields = ["task_id", "name", "func"]
    ordering = ["lock"]
    empty_hint = "Nothing waits: work is taken as soon as it is there."


@admin.register(Schedule)
class ScheduleDesk(ScheduleAdmin, Desk):  # type: ignore[misc]
    """When regular work runs. What it runs is code, so it comes with the product and is not typed in here."""

    list_display = ["name", "func", "schedule_type", "next_run", "last_run"]
    list_display_links = ["name"]
    list_filter = ["schedule_type"]
    ordering = ["next_run"]
    fields = ["name", "func", "args", "kwargs", "schedule_type", "minutes", "cron", "next_run", "repeats"]
    readonly_fields = ["name", "func", "args", "kwargs", "cron"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    @admin.display(description="last time")
    def last_run(self, schedule: Any) -> SafeString | str:
        """How the last run ended; annotated by the list's query, and gone with old work."""
        if schedule.task_id is None:
            return "-"
        kind, tone, words = ("success", "good", "done") if schedule.task_success else ("failure", "bad", "failed")
        address = reverse(f"admin:django_q_{kind}_change", args=[schedule.task_id])
        return format_html('<a class="state {}" href="{}">{}</a>', tone, address, words)
