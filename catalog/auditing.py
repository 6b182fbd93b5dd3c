"""What every audited model shares.

Human-edited rows carry their history (who, when, why). Machine-written rows are facts: the application's role
may add them and read them; what else it may change is named column by column.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from django.apps import apps
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from simple_history.models import HistoricalRecords


class History(HistoricalRecords):  # type: ignore[misc]
    """A change without a reason has an empty one."""

    def get_change_reason_for_object(self, instance: models.Model, history_type: str, using: str) -> Any:
        return super().get_change_reason_for_object(instance, history_type, using) or ""


def history(*secrets: str) -> HistoricalRecords:
    """The history of a human-edited model; the reason of a change is kept beside who and when.

    Fields that are `secrets` are not kept in it.
    """
    reason = models.TextField(default="", blank=True)
    return History(history_change_reason_field=reason, excluded_fields=list(secrets))


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


OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """Whoever calls with an API key: where two persons are needed, a key is one of them."""

    id: int
    name: str

    def __str__(self) -> str:
        return f"API key {self.name}"


Actor = AbstractBaseUser | KeyHolder | str | None
"""Who did something: a person signed in, an API key, or the name of whatever did it instead (a bill run).

None where nobody signed in: the operator at the command line.
"""


def name_of(by: Actor) -> str:
    """Who, as it is kept in a column; empty where nobody was signed in."""
    return by.get_username() if isinstance(by, AbstractBaseUser) else str(by or "")


def identity(by: Actor) -> str:
    """Who, told apart from everybody else: `user:7`, `key:3`, or `operator`."""
    if isinstance(by, AbstractBaseUser):
        return f"user:{by.pk}"
    return f"key:{by.id}" if isinstance(by, KeyHolder) else by or OPERATOR


class MadeKey(models.Model):
    """An API key, as far as it matters who stands behind it.

    `makers` are the identities of everybody who was shown its secret, or that of a key it replaces, and of the keys it
    replaces. Empty where the operator made it at the command line.
    """

    makers = ArrayField(models.CharField(max_length=80), default=list, blank=True, editable=False)

    class Meta:
        abstract = True


def persons_behind(who: str) -> set[str]:
    """An identity, and where it is a key's those of its makers."""
    kind, _, number = who.partition(":")
    found = {who}
    for model in apps.get_models() if kind == "key" and number.isdecimal() else ():
        if issubclass(model, MadeKey):
            for makers in model._default_manager.filter(pk=int(number)).values_list("makers", flat=True):
                found |= set(makers)
    return found


def are_one_person(one: str, other: str) -> bool:
    """Whether the same person may stand behind two identities: as themselves, or with a key whose secret they had."""
    return one == other or not persons_behind(one).isdisjoint(persons_behind(other))


def two_persons() -> Q:
    """Whoever submitted did not approve; the operator at the command line stands for both."""
    return Q(approved_by__in=["", OPERATOR]) | ~Q(approved_by=F("submitted_by"))


def sign(row: models.Model, at: dt.datetime, by: Actor, reason: str) -> None:
    """Say when, who and why, for the history the next `save()` of the row writes.

    Who is no user is named with the reason.
    """
    is_user = isinstance(by, AbstractBaseUser)
    row._history_date = at  # type: ignore[attr-defined]
    row._history_user = by if is_user else None  # type: ignore[attr-defined]
    row._change_reason = reason if is_user or by is None else f"{reason} ({name_of(by)})"  # type: ignore[attr-defined]


def create_signed(rows: Sequence[models.Model]) -> None:
    """Store new rows of one model, each signed, with the histories that `save()` of each would write."""
    if rows:
        model: Any = type(rows[0])
        model._default_manager.bulk_create(rows, batch_size=1000)
        model.history.bulk_history_create(rows, batch_size=1000)


def save_signed(rows: Sequence[models.Model], names: Sequence[str]) -> None:
    """Store these fields of locked rows of one model, each signed, with the histories `save()` of each would write."""
    if rows:
        model: Any = type(rows[0])
        model._default_manager.bulk_update(rows, names, batch_size=1000)
        model.history.bulk_history_create(rows, batch_size=1000, update=True)


def update_signed(rows: Sequence[models.Model], **values: Any) -> None:
    """Give locked rows of one model, each signed, the same values, with the histories `save()` of each would write."""
    if rows:
        model: Any = type(rows[0])
        model._default_manager.filter(pk__in=[row.pk for row in rows]).update(**values)
        for row in rows:
            for name, value in values.items():
                setattr(row, name, value)
        model.history.bulk_history_create(rows, batch_size=1000, update=True)
