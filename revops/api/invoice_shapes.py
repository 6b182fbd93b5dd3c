"""How invoices and previews read in the API, with one example of each: the first steps of the README."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

from msgspec import Meta

from revops.api.shapes import Currency, Day, Instant, Money, Quantity, Shown

InvoiceId = Annotated[int, Meta(ge=1, description="The `id` of the invoice.", examples=[1042])]
LineId = Annotated[int, Meta(ge=1, description="The `id` of the line.", examples=[9001])]


class Step(Shown, kw_only=True):
    """One step from a quantity to an amount. Those of a line add up to its amount."""

    description: str
    quantity: Quantity | None
    unit_amount: Quantity | None
    amount: Annotated[Quantity, Meta(description="Not rounded; the rounding is a step of its own.")]


class TaxSum(Shown, kw_only=True):
    """The tax of one rate, and what it is on."""

    code: Annotated[
        str, Meta(description="The rate's, or why there is none: `exempt`, `reverse-charge`.", examples=["de-vat"])
    ]
    percent: Quantity
    base: Money
    amount: Money


class InvoiceLine(Shown, kw_only=True):
    """A line, and how its amount came to be."""

    id: Annotated[int | None, Meta(description="Null in a preview.")]
    kind: Literal["recurring", "usage", "one_time", "adjustment", "true_up", "discount", "credit"]
    price: Annotated[str | None, Meta(description="The key of the price.", examples=["words"])]
    meter: Annotated[str | None, Meta(description="The key of the meter.", examples=["words"])]
    description: str
    quantity: Quantity
    unit: str | None
    amount: Annotated[Money, Meta(description="Before tax.")]
    tax_percent: Annotated[Quantity, Meta(description="The sum of the rates in `taxes`.")]
    taxes: Annotated[list[TaxSum], Meta(description="Its tax by rate. What is given back is below zero.")]
    period_start: Day
    period_end: Annotated[dt.date, Meta(description="The day after the last.")]
    corrects: Annotated[int | None, Meta(description="The `id` of the line it corrects: an adjustment.")]
    term: Annotated[
        str | None, Meta(description="The plan version or contract term it comes from.", examples=["translate@1"])
    ]
    steps: list[Step]


class DrawnCredit(Shown, kw_only=True):
    """What a prepaid grant or a credit note paid."""

    grant: Annotated[str, Meta(description="Key of the grant, or number of the credit note.", examples=["CN-000003"])]
    amount: Money


class _Document(Shown, kw_only=True):
    document: Literal["invoice", "credit_note"]
    purpose: Annotated[
        Literal["close", "advance", "adjustment"],
        Meta(description="A period's close; the first period, in advance; adjustments after the contract's end."),
    ]
    customer: str
    contract: str
    currency: Currency
    period_start: Day
    period_end: Annotated[dt.date, Meta(description="The day after the last, in the contract's time zone.")]
    lines: list[InvoiceLine]
    subtotal: Annotated[Money, Meta(description="The sum of all lines, before tax.")]
    tax: list[TaxSum]
    credits: list[DrawnCredit]
    total: Annotated[Money, Meta(description="With tax.")]
    amount_due: Annotated[Money, Meta(description="The total less credits.")]


class Invoice(_Document, kw_only=True):
    """An invoice, or (below zero) a credit note."""

    id: int
    status: Literal["draft", "issued", "voided"]
    number: Annotated[str | None, Meta(description="Null on a draft.", examples=["INV-000050"])]
    issued_at: Instant | None
    due_on: dt.date | None


class Preview(_Document, kw_only=True):
    """The next invoice of a contract as it stands now: what would be billed with the use so far."""

    id: None
    status: Literal["preview"]
    number: None
    issued_at: None
    due_on: Annotated[dt.date | None, Meta(description="Set when it is issued.")]


LINES: list[dict[str, Any]] = [
    {
        "id": 9000,
        "kind": "recurring",
        "price": "base",
        "meter": None,
        "description": "Base fee",
        "quantity": "1",
        "unit": None,
        "amount": "20.00",
        "tax_percent": "0",
        "taxes": [],
        "period_start": "2026-01-01",
        "period_end": "2026-02-01",
        "corrects": None,
        "term": "translate@1",
        "steps": [{"description": "flat amount", "quantity": "1", "unit_amount": "20", "amount": "20.00"}],
    },
    {
        "id": 9001,
        "kind": "usage",
        "price": "words",
        "meter": "words",
        "description": "Words",
        "quantity": "120000",
        "unit": "words",
        "amount": "44.00",
        "tax_percent": "0",
        "taxes": [],
        "period_start": "2026-01-01",
        "period_end": "2026-02-01",
        "corrects": None,
        "term": "translate@1",
        "steps": [
            {
                "description": "up to 100,000 at 0.0004 each",
                "quantity": "100000",
                "unit_amount": "0.0004",
                "amount": "40.00",
            },
            {
                "description": "over 100,000 at 0.0002 each",
                "quantity": "20000",
                "unit_amount": "0.0002",
                "amount": "4.00",
            },
        ],
    },
]

INVOICE: dict[str, Any] = {
    "id": 1042,
    "document": "invoice",
    "number": "INV-000050",
    "status": "issued",
    "purpose": "close",
    "customer": "globex",
    "contract": "G-1",
    "currency": "USD",
    "period_start": "2026-01-01",
    "period_end": "2026-02-01",
    "issued_at": "2026-02-02T00:00:00+00:00",
    "due_on": "2026-03-04",
    "lines": LINES,
    "subtotal": "64.00",
    "tax": [],
    "credits": [],
    "total": "64.00",
    "amount_due": "64.00",
}

PREVIEW = INVOICE | {
    "id": None,
    "number": None,
    "status": "preview",
    "issued_at": None,
    "due_on": None,
    "lines": [line | {"id": None} for line in LINES],
}
