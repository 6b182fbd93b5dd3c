"""What the worker does by the clock."""

from __future__ import annotations

import datetime as dt

from django_q.models import Schedule

MINUTE = dt.timedelta(minutes=1)

# By name: the task, how often, and how long that is; each begins at a whole number of them.
SCHEDULES = {
    "Bill run": ("billing.tasks.bill_run", Schedule.HOURLY, dt.timedelta(hours=1)),
    "Notices": ("billing.tasks.give_notices", Schedule.MINUTES, dt.timedelta(minutes=1)),
    "Delivery of notices": ("billing.tasks.deliver_notices", Schedule.MINUTES, dt.timedelta(minutes=1)),
    "Held records": ("billing.tasks.review_held", Schedule.MINUTES, dt.timedelta(minutes=5)),
    "Money at risk": ("billing.tasks.estimate_held_again", Schedule.DAILY, dt.timedelta(days=1)),
}


def schedule_work(at: dt.datetime) -> None:
    """Put the regular work on the clock; a late run bills as of the hour that was meant.

    A schedule that is there keeps its place, whatever somebody made of it on the console.
    """
    for name, (task, kind, every) in SCHEDULES.items():
        Schedule.objects.get_or_create(
            name=name,
            defaults={
                "func": task,
                "schedule_type": kind,
                "minutes": every // MINUTE if kind == Schedule.MINUTES else None,
                "intended_date_kwarg": "at",
                "next_run": at + every - (at - dt.datetime.min.replace(tzinfo=dt.UTC)) % every,
            },
        )
