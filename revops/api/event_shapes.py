"""How events are reported and answered for, with an example of each."""

from __future__ import annotations

import uuid
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from revops.api.shapes import Instant


class CloudEvent(msgspec.Struct, kw_only=True):
    """One fact of use (CloudEvents 1.0). Further attributes are taken and kept with it."""

    specversion: Literal["1.0"] | UnsetType = UNSET
    id: Annotated[
        str,
        Meta(
            min_length=1,
            description="Names the event within its source, for ever. Take one that you can make again.",
            examples=["req-1"],
        ),
    ]
    source: Annotated[str, Meta(min_length=1, description="Who reports.", examples=["gateway"])]
    type: Annotated[str, Meta(min_length=1, description="What happened.", examples=["text.translated"])]
    subject: Annotated[
        str,
        Meta(
            min_length=1,
            description="Whose use it is: a customer's key or one of its subjects.",
            examples=["globex"],
        ),
    ]
    time: Annotated[Instant | UnsetType, Meta(description="When it happened; without it, when it arrives.")] = UNSET
    data: Annotated[
        dict[str, Any],
        Meta(description="What the meters read, and anything else.", examples=[{"words": 1250, "language": "de"}]),
    ]
    datacontenttype: Literal["application/json"] | UnsetType = UNSET


class RecordResult(msgspec.Struct, omit_defaults=True, gc=False):
    """What became of one record; `reason` where it was held."""

    index: Annotated[int, Meta(description="Its place in the batch, from 0.")]
    source: str
    id: str
    status: Literal["accepted", "duplicate", "quarantined"]
    reason: Annotated[str | None, Meta(description="Why it is held.", examples=["unknown_customer"])] = None


class Receipt(msgspec.Struct):
    """What became of a batch. It is stored: nothing of it needs to be sent again."""

    receipt: Annotated[uuid.UUID, Meta(description="Names this batch.")]
    received: int
    accepted: int
    duplicates: int
    quarantined: int
    results: Annotated[list[RecordResult], Meta(description="What was not accepted; with `?results=all` everything.")]


EVENT = {
    "specversion": "1.0",
    "id": "req-1",
    "source": "gateway",
    "type": "text.translated",
    "subject": "globex",
    "time": "2026-02-03T10:00:00Z",
    "data": {"words": 1250, "language": "de"},
}

RECEIPT = {
    "receipt": "8a60f82c-f500-450a-a680-1739fd581b45",
    "received": 3,
    "accepted": 1,
    "duplicates": 1,
    "quarantined": 1,
    "results": [
        {"index": 1, "source": "gateway", "id": "req-1", "status": "duplicate"},
        {"index": 2, "source": "gateway", "id": "req-2", "status": "quarantined", "reason": "unknown_customer"},
    ],
}
