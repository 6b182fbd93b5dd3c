"""Credit: what a customer's grants and credit notes have, where it went, and one more grant for a contract."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils import timezone
from msgspec import Meta
from rest_framework.request import Request

from billing.invoicing.balances import GrantBalance, balance_of, credit_notes, grants
from billing.invoicing.movements import Movement, movements
from catalog.money import ZERO, money_text
from contracts.models import Contract, Customer
from revops.api import credit_shapes as shapes
from revops.api.calls import call
from revops.api.contracts import NO_CONTRACT, ContractNumber, ContractShelf
from revops.api.customers import NO_CUSTOMER, CustomerKey
from revops.api.deeds import deed
from revops.api.door import Door, absolute, answer
from revops.api.keys import holder
from revops.api.paging import Page, decoded, encoded
from revops.api.problems import Problem
from revops.api.shelves import CHANGED, refused, writing
from revops.models import Scope
from revops.vocabulary.amending import grant
from revops.vocabulary.words import NewGrantWords


class CreditFilter(Page, frozen=True, kw_only=True):
    contract: Annotated[str | None, Meta(description="Only of this contract.", examples=["G-1"])] = None
    grant: Annotated[
        str | None, Meta(description="Only the history of this grant (or credit note).", examples=["starter"])
    ] = None


class CustomerCredit(Door):
    tag = "Invoices"

    @call(
        Scope.BILLING_READ,
        "Read what credit a customer has",
        answers=shapes.Credit,
        example=shapes.CREDIT,
        refuses=[NO_CUSTOMER],
    )
    def get(self, request: Request, key: CustomerKey, asked: CreditFilter) -> HttpResponse:
        """Every grant with its balance now, the open credit notes, and what was drawn and returned, page by page.

        An invoice draws prepaid grants of its contract when it is issued, by priority and then by what expires first,
        and after them the customer's credit notes.
        """
        customer = Customer.objects.filter(key=key).first()
        if customer is None:
            raise Problem(404, f"There is no customer {key!r}.")
        at = timezone.now()
        contracts = Contract.objects.filter(customer=customer)
        if asked.contract is not None:
            contracts = contracts.filter(number=asked.contract)
        found = {contract.pk: contract for contract in contracts.order_by("number")}
        rows = grants().filter(contract__in=found).order_by("contract__number", "position", "pk")
        notes = credit_notes().filter(contract__in=found).order_by("pk")
        return answer(
            {
                "grants": [grant_json(balance_of(row, at)) for row in rows],
                "credit_notes": [
                    {
                        "number": note.number,
                        "contract": note.contract.number,
                        "currency": note.currency,
                        "amount": money_text(note.granted, note.currency),
                        "left": money_text(note.granted - (note.spent or ZERO), note.currency),
                    }
                    for note in notes
                    if note.granted > (note.spent or ZERO)
                ],
                "history": history(request, asked, found),
            }
        )


def history(request: HttpRequest, asked: CreditFilter, contracts: dict[int, Contract]) -> dict[str, Any]:
    """A page of what was drawn and returned, the latest first."""
    before: Any = decoded(asked.cursor, [dt.datetime, str]) if asked.cursor is not None else None
    found = movements(list(contracts), credit=asked.grant, before=before, limit=asked.limit + 1)
    shown = found[: asked.limit]
    following = None
    if len(found) > asked.limit:
        following = absolute(request, {"cursor": encoded([shown[-1].at, shown[-1].place])})
    return {"results": [movement_json(one, contracts[one.contract_id]) for one in shown], "next": following}


class GrantContractCredit(ContractShelf):
    @call(
        Scope.CONTRACTS_WRITE,
        "Grant credit to a contract",
        status=201,
        is_deed=True,
        answers=shapes.Grant,
        example=shapes.NEW_GRANT,
        sends={"kind": "prepaid", "amount": "25.00", "name": "Starter pack", "reason": "Outage of 3 March"},
        refuses=[
            NO_CONTRACT,
            refused("status", "invalid", "G-1 is not approved yet; edit the draft"),
            refused("amount", "invalid", "a grant is above zero"),
            refused("key", "taken", "G-1 has, or had, a grant starter; give this one another key"),
            CHANGED,
        ],
    )
    def post(self, request: Request, number: ContractNumber, sent: NewGrantWords) -> HttpResponse:
        """One grant more, beside those the contract has: an amendment. Without `from` it may be spent from today;
        without `key` it gets one that no grant of the contract ever had. To change or end grants, `amend` the whole
        list, with their keys.
        """
        at = timezone.now()

        def granted() -> HttpResponse:
            with writing(request, at):
                row = grant(self.locked(request, number=number), sent, at=at, by=holder(request))
            return answer(grant_json(balance_of(grants().get(pk=row.pk), at)), 201)

        return deed(request, at, granted)


def grant_json(balance: GrantBalance) -> dict[str, Any]:
    row = balance.grant
    currency = row.contract.currency
    figures = ("drawn", "returned", "left", "expired", "withdrawn")
    return {
        "contract": row.contract.number,
        "grant": row.key,
        "name": row.name,
        "kind": row.kind,
        "state": balance.state,
        "currency": currency,
        "amount": money_text(row.amount, currency),
        **{name: money_text(getattr(balance, name), currency) for name in figures},
        "priority": row.priority,
        "from": row.starts_on,
        "expires_on": row.expires_on,
        "applies_to": row.applies_to,
    }


def movement_json(movement: Movement, contract: Contract) -> dict[str, Any]:
    return {
        "at": movement.at.astimezone(dt.UTC),
        "kind": movement.kind,
        "grant": movement.credit,
        "contract": contract.number,
        "invoice": movement.invoice_id,
        "number": movement.number,
        "amount": money_text(movement.amount, contract.currency),
    }


addresses = [
    path("customers/<str:key>/credits", CustomerCredit.as_view(), name="customer-credits"),
    path("contracts/<path:number>/credits", GrantContractCredit.as_view(), name="grant-credit"),
]
