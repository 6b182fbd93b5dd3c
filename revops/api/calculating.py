"""`POST calculate`: what a price makes of a quantity or of events."""

from __future__ import annotations

from typing import Annotated, Any

from django.http import HttpResponse
from msgspec import UNSET, Meta, UnsetType
from rest_framework.request import Request

from billing.rating.calculate import InvalidRequest, calculate
from revops.api.calls import Document, call
from revops.api.door import Door, answer
from revops.api.invoice_shapes import Step
from revops.api.problems import Fault, Problem
from revops.api.shapes import Currency, Money, Shown
from revops.models import Scope


class Calculation(Shown, kw_only=True):
    """A price, and a `quantity` or the `events` it is charged for."""

    currency: Currency
    price: Annotated[
        dict[str, Any],
        Meta(
            description="As in a plan or a scenario file: `model` with the numbers it uses. `included_units`, "
            "`minimum_amount` and `maximum_amount` go with every model."
        ),
    ]
    quantity: Annotated[str | float | UnsetType | None, Meta(examples=["15"])] = UNSET
    events: Annotated[
        list[Any] | UnsetType | None, Meta(description="For prices that look at single events: their values, in order.")
    ] = UNSET


class Calculated(Shown, kw_only=True):
    """What it comes to, before tax, and how."""

    amount: Money
    steps: list[Step]


CALCULATION = {
    "currency": "USD",
    "price": {
        "model": "graduated",
        "tiers": [{"up_to": "10", "unit_amount": "2"}, {"up_to": None, "unit_amount": "1"}],
    },
    "quantity": "15",
}

CALCULATED = {
    "amount": "25.00",
    "steps": [
        {"description": "up to 10 at 2 each", "quantity": "10", "unit_amount": "2", "amount": "20.00"},
        {"description": "over 10 at 1 each", "quantity": "5", "unit_amount": "1", "amount": "5.00"},
    ],
}


class Calculate(Door):
    tag = "What is sold"

    @call(
        Scope.CATALOG_READ,
        "Calculate a price",
        answers=Calculated | list[Calculated],
        example=CALCULATED,
        takes=Calculation | list[Calculation],
        sends=CALCULATION,
        refuses=[
            Problem(
                400,
                "This cannot be calculated.",
                [Fault("quantity", "missing", "give either quantity or events")],
            )
        ],
    )
    def post(self, request: Request, asked: Document) -> HttpResponse:
        """What a price makes of a quantity, with every step: the arithmetic of invoices. A list of calculations is
        answered by a list. Nothing is stored.
        """
        try:
            return answer(calculate(asked))
        except InvalidRequest as error:
            faults = [Fault(fault.path, fault.code, fault.detail) for fault in error.errors]
            raise Problem(400, "This cannot be calculated.", faults) from error
