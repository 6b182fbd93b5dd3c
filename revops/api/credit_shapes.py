"""How credit reads in the API: what grants and credit notes have, and where it went."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

from msgspec import Meta, field

from revops.api.shapes import Currency, Day, Instant, Money, Paged, Shown


class Grant(Shown, kw_only=True):
    """Credit of a contract. Its amount is what is drawn, left, expired and withdrawn."""

    contract: str
    grant: Annotated[str, Meta(description="Its key, which survives amendments.", examples=["starter"])]
    name: str
    kind: Annotated[
        Literal["promotional", "prepaid"],
        Meta(description="Promotional credit lowers the net before tax; prepaid credit pays what is due with tax."),
    ]
    state: Literal["draft", "not begun", "open", "used up", "expired", "withdrawn"]
    currency: Currency
    amount: Money
    drawn: Annotated[Money, Meta(description="Spent on documents that stand.")]
    returned: Annotated[Money, Meta(description="What came back of all that was ever drawn: by voids, by corrections.")]
    left: Money
    expired: Money
    withdrawn: Annotated[Money, Meta(description="What was left when an amendment took the grant out.")]
    priority: Annotated[int, Meta(description="The lowest is spent first.")]
    starts_on: Day = field(name="from")
    expires_on: Annotated[dt.date | None, Meta(description="The first day it may no longer be spent.")]
    applies_to: Annotated[list[str], Meta(description="Keys of the prices it may pay; empty: everything.")]


class CreditNote(Shown, kw_only=True):
    """An issued credit note; what is left is spent on later invoices, after prepaid grants."""

    number: str
    contract: str
    currency: Currency
    amount: Money
    left: Money


class Movement(Shown, kw_only=True):
    """Credit that an invoice drew, or that came back from one."""

    at: Instant
    kind: Literal["drawn", "returned"]
    grant: Annotated[str, Meta(description="Key of the grant, or number of the credit note.", examples=["starter"])]
    contract: str
    invoice: Annotated[int, Meta(description="The `id` of the invoice.")]
    number: Annotated[str | None, Meta(description="Its number; null on a draft.")]
    amount: Annotated[Money, Meta(description="Below zero where it was drawn.")]


class Credit(Shown, kw_only=True):
    """What a customer has, and page by page where it went."""

    grants: list[Grant]
    credit_notes: Annotated[list[CreditNote], Meta(description="Those with something left, the oldest first.")]
    history: Annotated[Paged[Movement], Meta(description="The latest first.")]


GRANT: dict[str, Any] = {
    "contract": "G-1",
    "grant": "starter",
    "name": "Starter pack",
    "kind": "prepaid",
    "state": "open",
    "currency": "USD",
    "amount": "200.00",
    "drawn": "64.00",
    "returned": "0.00",
    "left": "136.00",
    "expired": "0.00",
    "withdrawn": "0.00",
    "priority": 1,
    "from": "2026-01-01",
    "expires_on": "2026-07-01",
    "applies_to": [],
}

NEW_GRANT = {**GRANT, "grant": "credit-1", "amount": "25.00", "drawn": "0.00", "left": "25.00", "expires_on": None}

CREDIT: dict[str, Any] = {
    "grants": [GRANT],
    "credit_notes": [
        {"number": "CN-000003", "contract": "G-1", "currency": "USD", "amount": "12.50", "left": "12.50"},
    ],
    "history": {
        "results": [
            {
                "at": "2026-02-02T00:00:00Z",
                "kind": "drawn",
                "grant": "starter",
                "contract": "G-1",
                "invoice": 1042,
                "number": "INV-000050",
                "amount": "-64.00",
            }
        ],
        "next": None,
    },
}
