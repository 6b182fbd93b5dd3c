"""What every audited model shares.

Human-edited rows carry their history (who, when, why). Machine-written rows are facts: the application's role
may add them and read them; what else it may change is named column by column.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from django.apps import apps
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import models
from simple_history.models import HistoricalRecords


class History(HistoricalRecords):  # type: ignore[misc]
    """A change without a reason has an empty one."""

    def get_change_reason_for_object(self, instance: models.Model, history_type: str, using: str) -> Any:
        return super().get_change_reason_for_object(instance, history_type, using) or ""


def history() -> HistoricalRecords:
    """The history of a human-edited model; the reason of a change is kept beside who and when."""
    return History(history_change_reason_field=models.TextField(default="", blank=True))


class Fact(models.Model):
    """A row written by the machine and never edited.

    `changeable` names the columns an operation may still set (a state, an instant); everything else the
    database refuses to the application's role. `deletable` says whether rows may go again.
    """

    changeable: ClassVar[tuple[str, ...]] = ()
    deletable: ClassVar[bool] = False

    class Meta:
        abstract = True


def facts() -> Iterator[type[Fact]]:
    """Every concrete model that is a fact."""
    return (model for model in apps.get_models() if issubclass(model, Fact))


def sign(row: models.Model, at: dt.datetime, by: AbstractBaseUser | None, reason: str) -> None:
    """Say when, who and why, for the history the next `save()` of the row writes. No user: nobody signed in."""
    row._history_date = at  # type: ignore[attr-defined]
    row._history_user = by  # type: ignore[attr-defined]
    row._change_reason = reason  # type: ignore[attr-defined]


def create_signed(rows: Sequence[models.Model]) -> None:
    """Store new rows of one model, each signed, with the histories that `save()` of each would write."""
    if rows:
        model: Any = type(rows[0])
        model._default_manager.bulk_create(rows, batch_size=1000)
        model.history.bulk_history_create(rows, batch_size=1000)


def update_signed(rows: Sequence[models.Model], **values: Any) -> None:
    """Give locked rows of one model, each signed, the same values, with the histories `save()` of each would write."""
    if rows:
        model: Any = type(rows[0])
        model._default_manager.filter(pk__in=[row.pk for row in rows]).update(**values)
        for row in rows:
            for name, value in values.items():
                setattr(row, name, value)
        model.history.bulk_history_create(rows, batch_size=1000, update=True)
