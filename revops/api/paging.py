"""Cursor pages: `{results, next}`, where `next` is the address of the next page or null.

The cursor is the sort key of the last row shown, so that pages neither skip nor repeat rows while others are added.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import msgspec
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest

from revops.api.door import absolute
from revops.api.problems import invalid
from revops.api.reading import Query

PAGE = 100
LARGEST_PAGE = 1000

Key = int | str | dt.datetime | uuid.UUID


class Page(Query, frozen=True, kw_only=True):
    """The parameters every list has."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=LARGEST_PAGE, description="How many to a page.")] = PAGE
    cursor: Annotated[str | None, msgspec.Meta(description="Where the page begins; it is in `next`.")] = None


def encoded(key: Sequence[Key]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(list(key))).decode().rstrip("=")


def decoded(cursor: str, kinds: Sequence[type[Any]]) -> tuple[Any, ...]:
    """Raises Problem (400)."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return tuple(msgspec.json.decode(raw, type=tuple[tuple(kinds)]))  # type: ignore[misc]
    except (ValueError, binascii.Error, msgspec.MsgspecError) as error:
        raise invalid("cursor", "invalid", "This cursor was not made by this list; follow `next`.") from error


def page_of(
    rows: QuerySet[Any],
    request: HttpRequest,
    asked: Page,
    order: Mapping[str, type[Any]],
    render: Callable[[Sequence[Any]], list[Any]],
    descending: bool = False,
) -> dict[str, Any]:
    """A page in the order of some fields, which together are unique. `order` names each field's type."""
    sign = "-" if descending else ""
    rows = rows.order_by(*[sign + name for name in order])
    if asked.cursor is not None:
        rows = rows.filter(beyond(list(order), decoded(asked.cursor, list(order.values())), descending))
    found: list[Model] = list(rows[: asked.limit + 1])
    shown = found[: asked.limit]
    following = None
    if len(found) > asked.limit:
        following = absolute(request, {"cursor": encoded([getattr(shown[-1], name) for name in order])})
    return {"results": render(shown), "next": following}


def beyond(names: Sequence[str], key: Sequence[Any], descending: bool) -> Q:
    """(a, b, c) > key, spelled so that an index on them serves it."""
    step = "lt" if descending else "gt"
    condition = Q(**{f"{names[0]}__{step}e": key[0]})
    after = Q()
    for depth, name in enumerate(names):
        same = Q(**dict(zip(names[:depth], key[:depth], strict=True)))
        after |= same & Q(**{f"{name}__{step}": key[depth]})
    return condition & after
