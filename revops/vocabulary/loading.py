"""Making stored rows say what words say: what loading catalog and contract files shares."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import models

from catalog.auditing import sign
from catalog.models import Seller
from catalog.pricing import FieldError
from contracts.models import Contract
from revops.vocabulary.words import MAIN, FileWords, SellerWords

Row = TypeVar("Row", bound=models.Model)


class UnableToLoad(Exception):
    """A file that cannot be loaded; nothing of it was. `errors` says everything that is in the way."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        self.errors = list(errors)
        super().__init__("; ".join(f"{error.path}: {error.detail}" for error in errors))


@dataclass(frozen=True, slots=True)
class Change:
    """What loading did to one object: `change` is created, updated, drafted, published, approved or amended."""

    object: str
    change: str
    detail: str = ""


@dataclass
class Load:
    """One file being loaded: when, by whom, from where; what it changed and what is wrong with it."""

    at: dt.datetime
    origin: str
    by: AbstractBaseUser | None = None
    changes: list[Change] = field(default_factory=list)
    unchanged: int = 0
    errors: list[FieldError] = field(default_factory=list)

    def note(self, object: str, change: str, detail: str = "") -> None:
        self.changes.append(Change(object, change, detail))

    def fail(self, path: str, code: str, detail: str) -> None:
        self.errors.append(FieldError(path, code, detail))

    def fail_under(self, path: str, errors: Sequence[FieldError]) -> None:
        """Errors of a part, with paths from the whole."""
        self.errors += [
            FieldError(".".join(filter(None, (path, error.path))), error.code, error.detail) for error in errors
        ]

    def finish(self) -> None:
        """Raises UnableToLoad where something is wrong."""
        if self.errors:
            raise UnableToLoad(self.errors)

    def keep(
        self,
        rows: models.QuerySet[Row],
        path: str,
        values: Mapping[str, Any],
        defaults: Mapping[str, Any] | None = None,
    ) -> Row | None:
        """The one row of `rows` with these values: made, changed or left as it is.

        A value of None was left out of the file: an existing row keeps its own, a new one gets its default. None is
        answered where the values cannot be stored.
        """
        row = rows.select_for_update().first()
        known = {name: value for name, value in values.items() if value is not None}
        if row is None:
            row = rows.model(**{**(defaults or {}), **known})
            return self._stored(row, path, "created", "")
        differing = [name for name, value in known.items() if getattr(row, name) != value]
        if not differing:
            self.unchanged += 1
            return row
        for name in differing:
            setattr(row, name, known[name])
        return self._stored(row, path, "updated", ", ".join(differing))

    def _stored(self, row: Row, path: str, change: str, detail: str) -> Row | None:
        try:
            row.full_clean()
        except ValidationError as invalid:
            for name, messages in invalid.message_dict.items():
                place = path if name == "__all__" else f"{path}.{name}"
                for message in messages:
                    self.fail(place, "invalid", message)
            return None
        sign(row, self.at, self.by, f"Loaded from {self.origin}")
        row.save()
        self.note(f"{row._meta.verbose_name} {_name_of(row)}", change, detail)
        return row


def keep_seller(load: Load, words: SellerWords | None, file: FileWords) -> Seller | None:
    """The seller of a catalog file: the one it names, else the first there is, else a new one."""
    settings = {
        "currency": file.currency,
        "timezone": file.timezone,
        "tolerance_window": file.tolerance_window,
    }
    if words is None:
        first = first_seller()
        words = SellerWords(key=MAIN if first is None else first.key)  # type: ignore[arg-type]
    own = {name: value for name, value in vars(words).items() if value is not None}
    values = {**settings, **own}
    if _bills_by(words.key, other_than=values["timezone"]):
        load.fail("timezone", "frozen", f"contracts of {words.key} are billed by its time zone; give it to contracts")
        return None
    defaults = {"name": "Main seller", "currency": "USD"}
    return load.keep(Seller.objects.filter(key=words.key), "seller", values, defaults)


def first_seller() -> Seller | None:
    return Seller.objects.order_by("pk").first()


def _bills_by(seller: str, other_than: object) -> bool:
    """Whether approved contracts may depend on the seller's time zone, and it is another one."""
    if other_than is None:
        return False
    signed = Contract.objects.approved().filter(seller__key=seller, timezone="", customer__timezone="")
    return signed.exclude(seller__timezone=other_than).exists()


def _name_of(row: models.Model) -> str:
    return str(getattr(row, "key", None) or getattr(row, "code", None) or getattr(row, "number", None) or row)
