"""Rows of one kind: their list, one by its key, and how both are written: by the operations that load files.

A change (PATCH) is a JSON merge patch: what is named is replaced, null takes it back to what it is by default. Whoever
sends what was read (`ETag`) as `If-Match` is told (412) where somebody else has changed it since.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, field, fields, make_dataclass
from typing import Any, ClassVar, get_type_hints
from urllib.parse import quote

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils import timezone
from rest_framework.request import Request

from billing.invoicing.shadow import UnableToCompare
from catalog.auditing import KeyHolder
from catalog.pricing import FieldError
from catalog.publishing import UnableToPublish
from contracts.lifecycle import UnableToApprove
from revops.api.deeds import deed
from revops.api.door import Door, answer
from revops.api.keys import holder
from revops.api.paging import Page, page_of
from revops.api.problems import Fault, Problem, invalid
from revops.vocabulary.contract_terms import UnknownTerm
from revops.vocabulary.decoding import InvalidDocument, decode
from revops.vocabulary.loading import Load, UnableToLoad

# Faults that are no mistake of the body's: what is there, or what became of it, stands in the way.
CONFLICTS = frozenset(
    {"approved", "billed_twice", "ended", "exists", "frozen", "in_use", "review", "same_person", "taken"}
)
# A proxy that compresses makes a mark weak (W/), which is as good here.
MARK = re.compile(r'"[0-9a-f]{32}"')
MARKS = re.compile(rf"(W/)?{MARK.pattern}(\s*,\s*(W/)?{MARK.pattern})*")
# Headers of the answers: what a row is marked with, and where a new one is.
MARKED, MADE = ("ETag",), ("Location", "ETag")
CHANGED = Problem(412, "This was changed since it was read; read it again.")


class Shelf(Door, ABC):
    """`place` is where a row is found: its fields by name, as the address has them."""

    words: ClassVar[type[Any]]
    fixed: ClassVar[tuple[str, ...]] = ("key",)
    """Words that name the row, and so never change."""
    filters: ClassVar[Mapping[str, str]] = {}
    """Parameters of the list, and the look-up each stands for."""

    @abstractmethod
    def rows(self) -> QuerySet[Any]:
        """The rows of the list, with what `render` reads."""

    @abstractmethod
    def render(self, row: Any) -> dict[str, Any]:
        """One row as JSON."""

    def said(self, row: Any) -> dict[str, Any]:
        """What a row says, in the words of a file."""
        names = {one.metadata.get("word", one.name) for one in fields(self.words)}
        return {name: value for name, value in self.render(row).items() if name in names}

    def matching(self, asked: Page) -> QuerySet[Any]:
        rows = self.rows()
        for name, lookup in self.filters.items():
            value = getattr(asked, name, None)
            if value is not None:
                rows = rows.filter(**{lookup: value})
        return rows

    def page(self, request: Request, asked: Page) -> HttpResponse:
        found = self.matching(asked)
        return answer(page_of(found, request, asked, {"pk": int}, lambda rows: [self.render(row) for row in rows]))

    def absent(self, **place: Any) -> Problem:
        return Problem(404, f"There is no {self.rows().model._meta.verbose_name} {next(iter(place.values()))!r}.")

    def one(self, **place: Any) -> HttpResponse:
        return tagged(self.shown(**place))

    def shown(self, status: int = 200, **place: Any) -> HttpResponse:
        row = self.rows().filter(**place).first()
        if row is None:
            raise self.absent(**place)
        return answer(self.render(row), status)

    def locked(self, request: Request, **place: Any) -> Any:
        """The row until the end of the transaction, as the caller has read it. Raises Problem (400, 404, 412)."""
        read = marks_in(request)
        row = self.rows().select_for_update(of=("self",), no_key=True).filter(**place).first()
        if row is None:
            raise self.absent(**place)
        if read and tag_of(answer(self.render(row))) not in read:
            raise CHANGED
        return row

    def create(self, request: Request, keep: Callable[[Load], object], **place: Any) -> HttpResponse:
        """201 and the new row, which `keep` makes. Raises Problem (409 where there is one)."""
        at = timezone.now()

        def made() -> HttpResponse:
            with writing(request, at) as load:
                if self.rows().filter(**place).exists():
                    kind, name = self.rows().model._meta.verbose_name, next(iter(place.values()))
                    load.fail(self.fixed[0], "exists", f"there is a {kind} {name} already; change it with PATCH")
                    load.finish()
                keep(load)
                load.finish()
            return self.shown(201, **place)

        response = deed(request, at, made)
        if response.status_code == 201:
            response["Location"] = address(request, next(iter(place.values())))
        return tagged(response)

    def change(
        self, request: Request, sent: object, keep: Callable[[Load, Any, Any, set[str]], object], **place: Any
    ) -> HttpResponse:
        """200 and the row as it is then. `keep` is told the row, the words of all of it, and what is taken back."""
        with writing(request, timezone.now()) as load:
            row = self.locked(request, **place)
            words, cleared = self.merged(row, sent)
            keep(load, row, words, cleared)
            load.finish()
        return self.one(**place)

    def merged(self, row: Any, sent: object) -> tuple[Any, set[str]]:
        """The words of the whole row once changed, and what was sent as null. Raises Problem (400, 409)."""
        if not isinstance(sent, Mapping):
            raise invalid("", "invalid", "The body is an object with the fields to change.")
        stored = self.said(row)
        for name in self.fixed:
            if name in sent and sent[name] != stored[name]:
                raise refusal([FieldError(name, "frozen", f"{name} names it for ever; make another one")])
        try:
            words = decode(self.words, {**stored, **sent})
        except InvalidDocument as error:
            raise refusal(error.errors) from error
        return words, {name for name, value in sent.items() if value is None}

    def act(
        self,
        request: Request,
        do: Callable[[Any, dt.datetime, KeyHolder], object],
        conflict: bool = True,
        **place: Any,
    ) -> HttpResponse:
        """A deed on a row: 200 and the row as it is then. `conflict`: all that is in the way is 409."""
        at = timezone.now()

        def done() -> HttpResponse:
            with writing(request, at, conflict):
                do(self.locked(request, **place), at, holder(request))
            return self.shown(**place)

        return tagged(deed(request, at, done))

    def remove(
        self, request: Request, do: Callable[[Any, dt.datetime, KeyHolder], object], **place: Any
    ) -> HttpResponse:
        with writing(request, at := timezone.now(), conflict=True):
            do(self.locked(request, **place), at, holder(request))
        return HttpResponse(status=204)


@contextmanager
def writing(request: Request, at: dt.datetime, conflict: bool = False) -> Iterator[Load]:
    """One transaction of the caller's; what operations, words and the database refuse becomes a Problem."""
    try:
        with transaction.atomic():
            yield Load(at, "the API", by=holder(request), reason="Sent over the API")
    except (UnableToLoad, UnableToPublish, UnableToApprove) as unable:
        raise refusal(unable.errors, conflict) from unable
    except UnknownTerm as unknown:
        raise refusal([unknown.error], conflict) from unknown
    except UnableToCompare as unable:
        raise refusal([FieldError("", "unable_to_compare", str(unable))], conflict=True) from unable
    except IntegrityError as refused:
        raise said_no(refused) from refused


def refusal(errors: Sequence[FieldError], conflict: bool = False) -> Problem:
    """Everything that is in the way: 409 where it is what is there already, 400 where the body says something wrong."""
    faults = [Fault(error.path, error.code, error.detail) for error in errors]
    stands = conflict or all(one.code in CONFLICTS or is_state(one) for one in errors)
    detail = sentence(errors[0].detail) if len(errors) == 1 else "There are several things in the way; see `errors`."
    return Problem(409 if stands else 400, detail, faults)


def is_state(error: FieldError) -> bool:
    """Whether the step cannot be taken from where the row is; bodies name no status."""
    return error.path.endswith("status") and error.code == "invalid"


def refused(path: str, code: str, detail: str) -> Problem:
    """A refusal with one fault, as documents show it."""
    return refusal([FieldError(path, code, detail)])


def said_no(refused: IntegrityError) -> Problem:
    """Two at once, or what only the database can know."""
    if getattr(refused.__cause__, "sqlstate", "") == "23505":
        return refusal([FieldError("", "exists", "another call has just made this; read it, and change it with PATCH")])
    said = str(refused).partition("\n")[0]
    return refusal([FieldError("", "frozen", f"the database refuses this: {said}")])


def sentence(text: str) -> str:
    """With a capital, unless it begins with a name such as pro@2, and a full stop."""
    first = text.partition(" ")[0]
    return (text[:1].upper() + text[1:] if first.isalpha() else text) + ("" if text.endswith(".") else ".")


def address(request: Request, name: object) -> str:
    """Where a row of this list is read."""
    return str(request.build_absolute_uri(quote(f"{request.path}/{name}", safe="/:@")))


def marks_in(request: Request) -> list[str]:
    """The marks of `If-Match`; none where whatever is there is meant. Raises Problem (400)."""
    header = request.META.get("HTTP_IF_MATCH")
    if header is None or header.strip() == "*":
        return []
    if not MARKS.fullmatch(header.strip()):
        raise invalid("If-Match", "invalid", "`If-Match` is the `ETag` of what was read, in its quotes.")
    return MARK.findall(header)


def tag_of(response: HttpResponse) -> str:
    return f'"{hashlib.sha256(response.content).hexdigest()[:32]}"'


def tagged(response: HttpResponse) -> HttpResponse:
    """With the mark of what it shows, for `If-Match`."""
    if response.status_code < 300:
        response["ETag"] = tag_of(response)
    return response


def changes(kind: type[Any], name: str) -> type[Any]:
    """The words of a change to what is said in words of a kind: every one may be left out, or null. For documents."""
    hints = get_type_hints(kind, include_extras=True)
    optional = []
    for one in fields(kind):
        told = field(default=None, metadata=one.metadata)
        required = one.default is MISSING and one.default_factory is MISSING
        optional.append((one.name, hints[one.name] | None if required else hints[one.name], told))
    made = make_dataclass(name, optional, frozen=True, kw_only=True)
    made.__doc__ = f"{kind.__name__}: what is named is replaced, null takes it back to what it is by default."
    return made
