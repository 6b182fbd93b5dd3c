"""The building blocks of documented answers. Only described by these types, rendered as plain documents."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Generic, TypeVar

import msgspec
from msgspec import Meta

T = TypeVar("T")


class Shown(msgspec.Struct, kw_only=True):
    """Base of what an answer holds. A field without a default is always there."""


class RequestFault(Shown, kw_only=True):
    """One thing wrong with a request."""

    path: Annotated[str, Meta(description="Where: a parameter, a header or `lines[0].amount`.", examples=["reason"])]
    code: Annotated[str, Meta(description="What, for programs.", examples=["required"])]
    detail: Annotated[str, Meta(description="What to do, for people.")]


class ProblemDocument(Shown, kw_only=True):
    """A refusal, as RFC 9457 has it. `status` and `errors[].code` are for programs, the rest is for people."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[RequestFault]


class Paged(Shown, Generic[T], kw_only=True):
    """A page of a list."""

    results: list[T]
    next: Annotated[
        str | None, Meta(description="The address of the next page; null on the last one.", examples=[None])
    ]


Instant = Annotated[dt.datetime, Meta(tz=True, description="An instant with its offset.")]
Day = Annotated[dt.date, Meta(description="A date in the contract's time zone.")]
Money = Annotated[
    str,
    Meta(
        pattern=r"^-?\d+(\.\d+)?$",
        description="An amount with the places of its currency, always.",
        examples=["64.00"],
    ),
]
Quantity = Annotated[
    str, Meta(pattern=r"^-?\d+(\.\d+)?$", description="An exact decimal number, as text.", examples=["120000"])
]
Currency = Annotated[str, Meta(pattern="^[A-Z]{3}$", description="ISO 4217.", examples=["USD"])]
