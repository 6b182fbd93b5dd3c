"""What a call takes and answers, said once: the door reads requests by it and the documentation is made of it.

    class Usage(Door):
        @call(Scope.USAGE_READ, "Read what a customer used", answers=Used, example=USED, refuses=[NO_CUSTOMER])
        def get(self, request: Request, asked: UsageQuery) -> HttpResponse: ...

The annotations say the rest. A `Query` is read from the address (without one, no parameter is taken), a `Body` or the
words of a file from the JSON body, a `Document` is any JSON; `key: str` and `id: int` are parts of the path.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass, replace
from functools import wraps
from typing import Annotated, Any, NewType, get_args, get_origin, get_type_hints

from django.http import HttpResponse
from rest_framework.request import Request

from revops.api.problems import Problem
from revops.api.reading import Body, Empty, Nothing, Query, body, document, query, words

JSON = "application/json"
HTML = "text/html"
SENDING = ("post", "put", "patch")

Document = NewType("Document", object)
"""A JSON body that the operation itself reads, with its own words for what is wrong with it."""


@dataclass(frozen=True)
class Call:
    """One method of one address."""

    scope: str
    summary: str
    answers: Any
    example: Any
    status: int
    media: str
    sends: Any
    takes: Mapping[str, Any]
    refuses: tuple[Problem, ...]
    is_deed: bool
    tells: tuple[str, ...]
    description: str
    query: type[Query] = Nothing
    body: Any = None
    body_name: str = ""
    query_name: str = ""
    path: Mapping[str, Any] = field(default_factory=dict)

    def arguments(self, request: Request) -> dict[str, Any]:
        """What the request says, as the method's arguments. Raises Problem (400, 415)."""
        given: dict[str, Any] = {}
        asked = query(request, self.query)
        if self.query_name:
            given[self.query_name] = asked
        if self.body is not None:
            sent = self.sent(request)
            if self.body_name:
                given[self.body_name] = sent
        return given

    def sent(self, request: Request) -> Any:
        if self.body is Document:
            return document(request)
        read = body if issubclass(self.body, Body) else words
        return read(request, self.body)


def call(
    scope: str,
    summary: str,
    *,
    answers: Any,
    example: Any,
    status: int = 200,
    media: str = JSON,
    sends: Any = None,
    takes: Any = None,
    refuses: Sequence[Problem] = (),
    is_deed: bool = False,
    tells: Sequence[str] = (),
    reads_itself: type[Query] | None = None,
) -> Callable[[Callable[..., HttpResponse]], Callable[..., HttpResponse]]:
    """Declare the method below as a call.

    `answers` is the type of the answer, `example` one such answer, `sends` an example of the body; `takes` is the type
    of a body that is a `Document`, or several by content type. `refuses` are the refusals peculiar to this call, as the
    code raises them: the common ones (key, scope, form of the request, limits) are added. `is_deed`: it heeds an
    Idempotency-Key. `tells`: headers of its answer beside the common ones. `reads_itself`, the parameters of
    its address: the method reads the request without our help, and what it says here is for the documentation.
    """

    def declare(method: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        found = read_from_signature(method)
        body_kind = found.get("body")
        made = Call(
            scope=str(scope),
            summary=summary,
            answers=answers,
            example=example,
            status=status,
            media=media,
            sends=sends,
            takes=by_content_type(body_kind if takes is None else takes),
            refuses=tuple(refuses),
            is_deed=is_deed,
            tells=tuple(tells),
            description=inspect.getdoc(method) or "",
            **found,
        )
        if reads_itself is not None:
            method.call = replace(made, query=reads_itself)  # type: ignore[attr-defined]
            return method

        @wraps(method)
        def read_and_do(view: Any, request: Request, **path: Any) -> HttpResponse:
            return method(view, request, **path, **made.arguments(request))

        read_and_do.call = made  # type: ignore[attr-defined]
        return read_and_do

    return declare


def call_of(view: object, method: str) -> Call | None:
    """What a view declares for a method; HEAD is GET without the body."""
    name = "get" if method == "HEAD" else method.lower()
    found = getattr(getattr(view, name, None), "call", None)
    return found if isinstance(found, Call) else None


def by_content_type(takes: Any) -> Mapping[str, Any]:
    if takes is None:
        return {}
    return takes if isinstance(takes, Mapping) else {JSON: takes}


def read_from_signature(method: Callable[..., HttpResponse]) -> dict[str, Any]:
    """A method that sends and names no body takes an empty one."""
    found: dict[str, Any] = {"path": {}}
    if method.__name__ in SENDING:
        found["body"] = Empty
    hints = get_type_hints(method, include_extras=True)
    for name in list(inspect.signature(method).parameters)[2:]:
        kind = hints[name]
        plain = get_args(kind)[0] if get_origin(kind) is Annotated else kind
        if isinstance(plain, type) and issubclass(plain, Query):
            found |= {"query": plain, "query_name": name}
        elif plain is Document or is_dataclass(plain) or (isinstance(plain, type) and issubclass(plain, Body)):
            found |= {"body": plain, "body_name": name}
        else:
            found["path"][name] = kind
    return found
