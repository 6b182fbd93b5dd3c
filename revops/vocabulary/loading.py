"""Making stored rows say what words say: what loading catalog and contract files shares."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from django.core.exceptions import ValidationError
from django.db import models

from catalog.auditing import Actor, create_signed, sign
from catalog.comparing import Difference
from catalog.models import Seller
from catalog.pricing import FieldError
from contracts.models import Contract
from revops.vocabulary.decoding import under
from revops.vocabulary.words import MAIN, FileWords, SellerWords

Row = TypeVar("Row", bound=models.Model)
Item = TypeVar("Item")


class UnableToLoad(Exception):
    """Words that cannot be loaded; nothing of them was. `errors` says everything that is in the way."""

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
    """One file, or the body of a call, being loaded: when, by whom, from where; what it changed, what is wrong."""

    at: dt.datetime
    origin: str
    by: Actor = None
    reason: str = ""
    changes: list[Change] = field(default_factory=list)
    unchanged: int = 0
    errors: list[FieldError] = field(default_factory=list)
    # Drafted versions beside the one each was compared with, with the currencies of both.
    drafted: list[tuple[Difference, tuple[str, str]]] = field(default_factory=list)
    # Told how many more objects of the file are done.
    progress: Callable[[int], object] | None = None

    def step(self, count: int = 1) -> None:
        if self.progress is not None:
            self.progress(count)

    def note(self, object: str, change: str, detail: str = "") -> None:
        self.changes.append(Change(object, change, detail))

    def fail(self, path: str, code: str, detail: str) -> None:
        self.errors.append(FieldError(path, code, detail))

    def fail_under(self, path: str, errors: Sequence[FieldError]) -> None:
        """Errors of a part, with paths from the whole."""
        self.errors += [
            FieldError(under(path, error.path) if error.path else path, error.code, error.detail) for error in errors
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
        cleared: Collection[str] = (),
    ) -> Row | None:
        """The one row of `rows` with these values: made, changed or left as it is.

        A value of None was left out of the file: an existing row keeps its own, a new one gets its default. So does an
        existing one of what is `cleared`. None is answered where the values cannot be stored.
        """
        row = rows.select_for_update(no_key=True).first()
        row, change, detail = changed(row, rows.model, values, defaults, cleared)
        if not change:
            self.unchanged += 1
            return row
        if not self.accepts(row.full_clean, path):
            return None
        self.sign(row)
        row.save()
        self.note_row(row, change, detail)
        return row

    def accepts(self, check: Callable[[], None], path: str) -> bool:
        """Whether Django's check of a row passes; what it finds becomes errors under `path`."""
        try:
            check()
        except ValidationError as invalid:
            for name, messages in invalid.message_dict.items():
                place = path if name == "__all__" else under(path, name)
                for message in messages:
                    self.fail(place, "invalid", message)
            return False
        return True

    @property
    def why(self) -> str:
        return self.reason or f"Loaded from {self.origin}"

    def sign(self, row: models.Model) -> None:
        sign(row, self.at, self.by, self.why)

    def note_row(self, row: models.Model, change: str, detail: str) -> None:
        self.note(f"{row._meta.verbose_name} {_name_of(row)}", change, detail)


class Shelf(Generic[Row]):
    """Rows of a model by their key: those there are, read and locked together, and new ones, stored together.

    `Load.keep` for many. The key is all that is unique in such a row, and what the row points to is at hand, so that
    neither is asked for again. Call `write` at the end; it writes the shelf of the rows' `owners` first.
    """

    def __init__(
        self, load: Load, rows: models.QuerySet[Row], key: Callable[[Row], Hashable], owners: Shelf[Any] | None = None
    ) -> None:
        self.load, self.model, self.owners = load, rows.model, owners
        self._rows: dict[Hashable, Row] = {}
        self._new: list[Row] = []
        for row in rows.select_for_update(of=("self",)).order_by("pk"):
            self._rows.setdefault(key(row), row)

    def get(self, key: Hashable) -> Row | None:
        return self._rows.get(key)

    def keep(
        self,
        key: Hashable,
        path: str,
        values: Mapping[str, Any],
        defaults: Mapping[str, Any] | None = None,
        cleared: Collection[str] = (),
    ) -> Row | None:
        """As `Load.keep`, for the row of this key."""
        stored = self._rows.get(key)
        if stored is not None and stored.pk is None:
            self.write()
        row, change, detail = changed(stored, self.model, values, defaults, cleared)
        if not change:
            self.load.unchanged += 1
            return row
        related = {one.name for one in self.model._meta.concrete_fields if one.is_relation}
        check = partial(row.full_clean, exclude=related, validate_unique=False, validate_constraints=False)
        if not self.load.accepts(check, path):
            return None
        self.load.sign(row)
        if stored is None:
            self._new.append(row)
            self._rows[key] = row
        else:
            row.save()
        self.load.note_row(row, change, detail)
        return row

    def write(self) -> None:
        if self.owners is not None:
            self.owners.write()
        create_signed(self._new)
        self._new = []


def changed(
    stored: Row | None,
    model: type[Row],
    values: Mapping[str, Any],
    defaults: Mapping[str, Any] | None,
    cleared: Collection[str] = (),
) -> tuple[Row, str, str]:
    """The row with the values that are not None or cleared, how it changed (or nothing), and in what."""
    known = {name: value for name, value in values.items() if value is not None}
    for name in cleared:
        field: Any = model._meta.get_field(name)
        known[name] = (defaults or {}).get(name, field.get_default())
    if stored is None:
        return model(**{**(defaults or {}), **known}), "created", ""
    differing = {name: getattr(stored, name) for name, value in known.items() if getattr(stored, name) != value}
    for name in differing:
        setattr(stored, name, known[name])
    said = [f"{name}: {_value(before)} -> {_value(known[name])}" for name, before in differing.items()]
    return stored, "updated" if differing else "", ", ".join(said)


def _value(value: Any) -> str:
    return "none" if value in (None, "", [], {}) else str(value)


def chunks(items: Iterable[tuple[Hashable, Item]], size: int) -> Iterator[list[Item]]:
    """The items in their order, some at a time; those of one key are never in one chunk."""
    chunk: list[Item] = []
    seen: set[Hashable] = set()
    for key, item in items:
        if key in seen or len(chunk) == size:
            yield chunk
            chunk, seen = [], set()
        chunk.append(item)
        seen.add(key)
    if chunk:
        yield chunk


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
