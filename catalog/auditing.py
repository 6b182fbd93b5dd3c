"""What every audited model shares.

Human-edited rows carry their history (who, when, why). Machine-written rows are facts: the application's role may add
them and read them; what else it may change is named column by column.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from django.apps import apps
from django.db import models
from simple_history.models import HistoricalRecords


def history() -> HistoricalRecords:
    """The history of a human-edited model; the reason of a change is kept beside who and when."""
    return HistoricalRecords(history_change_reason_field=models.TextField(default="", blank=True))


class Fact(models.Model):
    """A row written by the machine and never edited.

    `changeable` names the columns an operation may still set (a state, an instant); everything else the database
    refuses to the application's role. `deletable` says whether rows may go again.
    """

    changeable: ClassVar[tuple[str, ...]] = ()
    deletable: ClassVar[bool] = False

    class Meta:
        abstract = True


def facts() -> Iterator[type[Fact]]:
    """Every concrete model that is a fact."""
    return (model for model in apps.get_models() if issubclass(model, Fact))
