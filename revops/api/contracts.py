"""Contracts: drafted, submitted, approved by another, amended and ended."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from django.db.models import Prefetch, QuerySet
from django.http import HttpResponse
from django.urls import path
from msgspec import Meta
from rest_framework.request import Request

from catalog.auditing import Actor
from catalog.models import Seller, TaxBehavior
from catalog.pricing import FieldError
from contracts import lifecycle
from contracts.drafts import terms_of
from contracts.models import AllowanceTerm, Contract, ContractLine, Discount, DiscountKind, OneTimeTerm
from revops.api import catalog_shapes as shapes
from revops.api.calls import Document, call
from revops.api.catalog import plain_money, plain_number, window
from revops.api.entitlements import allowance_json
from revops.api.paging import Page
from revops.api.problems import Problem
from revops.api.shapes import Paged
from revops.api.shelves import CHANGED, MADE, MARKED, Shelf, changes, refusal, refused
from revops.models import Scope
from revops.vocabulary.amending import amend
from revops.vocabulary.contract_loading import change_contract, keep_contract
from revops.vocabulary.loading import Load, first_seller
from revops.vocabulary.words import AmendmentWords, ContractWords

ContractNumber = Annotated[str, Meta(description="The contract's number.", examples=["G-1"])]
NO_CONTRACT = Problem(404, "There is no contract 'G-1'.")
NO_SELLER = "there is no seller yet who could sign; make one in the console under Settings, or with load_catalog"
LINE = {"plan": "translate"}


class ContractFilter(Page, frozen=True, kw_only=True):
    customer: Annotated[str | None, Meta(description="Only contracts of this customer.", examples=["globex"])] = None
    status: Annotated[Literal["draft", "review", "approved"] | None, Meta(description="Only in this state.")] = None
    plan: Annotated[
        str | None, Meta(description="Only contracts with a line on this plan.", examples=["translate"])
    ] = None
    currency: Annotated[str | None, Meta(description="Only contracts in this currency.", examples=["USD"])] = None
    seller: Annotated[str | None, Meta(description="Only contracts of this seller.", examples=["main"])] = None


class ContractShelf(Shelf):
    tag = "Customers and contracts"
    words = ContractWords
    fixed = ("number",)
    filters = {"customer": "customer__key", "status": "status", "currency": "currency", "seller": "seller__key"}

    def rows(self) -> QuerySet[Contract]:
        lines = ContractLine.objects.filter(superseded_at__isnull=True).select_related("plan_version__plan")
        return Contract.objects.select_related("customer", "seller").prefetch_related(
            Prefetch("lines", lines),
            Prefetch("discounts", Discount.objects.filter(superseded_at__isnull=True)),
            Prefetch("one_time_terms", OneTimeTerm.objects.filter(superseded_at__isnull=True)),
            Prefetch("entitlements", AllowanceTerm.objects.filter(superseded_at__isnull=True)),
        )

    def render(self, row: Contract) -> dict[str, Any]:
        names = ("status", "currency", "starts_on", "ends_on", "anchor", "payment_terms_days", "purchase_order")
        return {
            "number": row.number,
            "customer": row.customer.key,
            "seller": row.seller.key,
            **{name: getattr(row, name) for name in names},
            "timezone": row.timezone_name(),
            "tolerance_window": window(row.tolerance_window),
            "revision": row.revision,
            "submitted_by": row.submitted_by or None,
            "approved_by": row.approved_by or None,
            "lines": [line_json(line) for line in row.lines.all()],
            "discounts": [discount_json(discount, row.currency) for discount in row.discounts.all()],
            "one_time": [term_json(term, row.currency) for term in row.one_time_terms.all()],
            "entitlements": [allowance_json(term) for term in row.entitlements.all()],
        }

    def said(self, row: Contract) -> dict[str, Any]:
        """With the time zone it has of its own, if any, not the one it is billed by."""
        return {**super().said(row), "timezone": row.timezone or None}


class ContractList(ContractShelf):
    @call(
        Scope.CONTRACTS_READ,
        "List contracts",
        answers=Paged[shapes.Contract],
        example={"results": [shapes.CONTRACT], "next": None},
    )
    def get(self, request: Request, asked: ContractFilter) -> HttpResponse:
        return self.page(request, asked)

    def matching(self, asked: Any) -> QuerySet[Contract]:
        rows: QuerySet[Contract] = super().matching(asked)
        if asked.plan is None:
            return rows
        lines = ContractLine.objects.in_force().filter(plan_version__plan__key=asked.plan)
        return rows.filter(pk__in=lines.values("contract"))

    @call(
        Scope.CONTRACTS_WRITE,
        "Draft a contract",
        status=201,
        is_deed=True,
        tells=MADE,
        answers=shapes.Contract,
        example=shapes.CONTRACT_DRAFT,
        sends={"number": "G-1", "customer": "globex", "starts_on": "2026-01-01", "anchor": "calendar", "lines": [LINE]},
        refuses=[
            refused("number", "exists", "there is a contract G-1 already; change it with PATCH"),
            refused("customer", "unknown", "there is no customer globex"),
        ],
    )
    def post(self, request: Request, sent: ContractWords) -> HttpResponse:
        """Nothing is billed before another key or person than the one that submits it has approved it. A line that
        names no version takes the one in force at its start.
        """
        return self.create(request, lambda load: keep_contract(sent, load, demand_seller()), number=sent.number)


class ContractDetail(ContractShelf):
    @call(
        Scope.CONTRACTS_READ,
        "Read a contract",
        tells=MARKED,
        answers=shapes.Contract,
        example=shapes.CONTRACT,
        refuses=[NO_CONTRACT],
    )
    def get(self, request: Request, number: ContractNumber) -> HttpResponse:
        return self.one(number=number)

    @call(
        Scope.CONTRACTS_WRITE,
        "Change a contract",
        tells=MARKED,
        answers=shapes.Contract,
        example=shapes.CONTRACT,
        takes=changes(ContractWords, "ContractChange"),
        sends={"purchase_order": "PO-4711"},
        refuses=[
            NO_CONTRACT,
            refused("lines", "frozen", "G-1 is approved; its terms change by `amend`, its end by `end`"),
            CHANGED,
        ],
    )
    def patch(self, request: Request, number: ContractNumber, sent: Document) -> HttpResponse:
        """All of a draft. Of an approved contract `payment_terms_days`, `purchase_order` and `tolerance_window`; its
        terms change by `amend`. While it waits for approval, nothing changes.
        """

        def keep(load: Load, row: Contract, words: ContractWords, cleared: set[str]) -> None:
            named = sent if isinstance(sent, dict) else {}
            change_contract(row, words, [name for name in named if name != "number"], cleared, load)

        return self.change(request, sent, keep, number=number)

    @call(
        Scope.CONTRACTS_WRITE,
        "Discard a draft contract",
        status=204,
        answers=None,
        example=None,
        refuses=[NO_CONTRACT, refused("status", "frozen", "G-1 is approved and stays; end it"), CHANGED],
    )
    def delete(self, request: Request, number: ContractNumber) -> HttpResponse:
        """A contract that waits for approval and is not wanted may go, too."""
        return self.remove(request, lambda row, at, by: lifecycle.discard(row, at=at, by=by), number=number)


class SubmitContract(ContractShelf):
    @call(
        Scope.CONTRACTS_WRITE,
        "Submit a contract",
        is_deed=True,
        tells=MARKED,
        answers=shapes.Contract,
        example={**shapes.CONTRACT_DRAFT, "status": "review", "submitted_by": "key:3"},
        refuses=[
            NO_CONTRACT,
            refused("status", "invalid", "G-1 is approved, not a draft"),
            refused("lines[0].version", "unsold", "translate@2 is draft; publish it, or name a published version"),
            CHANGED,
        ],
    )
    def post(self, request: Request, number: ContractNumber) -> HttpResponse:
        """A draft goes to approval, by another key or person."""
        return self.act(request, lambda row, at, by: lifecycle.submit(row, at=at, by=by), number=number)


class ApproveContract(ContractShelf):
    @call(
        Scope.CONTRACTS_WRITE,
        "Approve a contract",
        is_deed=True,
        tells=MARKED,
        answers=shapes.Contract,
        example=shapes.CONTRACT,
        refuses=[
            NO_CONTRACT,
            refused("by", "same_person", "whoever submitted a contract cannot approve it; ask another person"),
            refused("status", "invalid", "G-1 must be submitted first"),
            CHANGED,
        ],
    )
    def post(self, request: Request, number: ContractNumber) -> HttpResponse:
        """From its start on its use is billed, and its terms change by amendment only. The key that submitted it
        cannot approve it.
        """
        return self.act(request, lambda row, at, by: lifecycle.approve(row, at=at, by=by), number=number)


class AmendContract(ContractShelf):
    @call(
        Scope.CONTRACTS_WRITE,
        "Amend a contract",
        is_deed=True,
        tells=MARKED,
        answers=shapes.Contract,
        example={**shapes.CONTRACT, "revision": 1, "discounts": [shapes.DISCOUNT]},
        sends={"discounts": [{"kind": "percent", "value": "10", "from": "2026-03-01"}], "reason": "Agreed with sales"},
        refuses=[
            NO_CONTRACT,
            refused("status", "invalid", "G-1 is not approved yet; edit the draft"),
            refused("discounts[0].applies_to", "unknown", "no line of the contract has a price seats"),
            CHANGED,
        ],
    )
    def post(self, request: Request, number: ContractNumber, sent: AmendmentWords) -> HttpResponse:
        """The lists that are named are replaced whole; what they say as before stays as it was, and a line that names
        no version keeps the one it stands on. It may reach back: what that changes in closed periods is adjusted on
        the next invoice.
        """

        def change(row: Contract, at: dt.datetime, by: Actor) -> None:
            amend(row, sent, at=at, by=by, standing=terms_of(row).lines, reason=sent.reason or "")

        return self.act(request, change, conflict=False, number=number)


@dataclass(frozen=True, kw_only=True)
class EndWords:
    """`on` is the first day that is no longer covered."""

    on: dt.date
    reason: str


class EndContract(ContractShelf):
    @call(
        Scope.CONTRACTS_WRITE,
        "End a contract",
        is_deed=True,
        tells=MARKED,
        answers=shapes.Contract,
        example={**shapes.CONTRACT, "revision": 1, "ends_on": "2026-07-01"},
        sends={"on": "2026-07-01", "reason": "Cancelled by the customer"},
        refuses=[
            NO_CONTRACT,
            refused("status", "invalid", "G-1 is not approved yet; edit the draft"),
            refused("ends_on", "order", "a contract ends after it starts; ends_on is the first day out"),
            CHANGED,
        ],
    )
    def post(self, request: Request, number: ContractNumber, sent: EndWords) -> HttpResponse:
        """Its lines end with it; use after that day is held for review. A day that has passed takes back what was
        billed after it; a later end than before is an extension, agreed before the contract has ended.
        """

        def end(row: Contract, at: dt.datetime, by: Actor) -> None:
            lifecycle.end(row, sent.on, at=at, by=by, reason=sent.reason)

        return self.act(request, end, conflict=False, number=number)


def demand_seller() -> Seller:
    """The seller of contracts that name none. Raises Problem (409)."""
    seller = first_seller()
    if seller is None:
        raise refusal([FieldError("seller", "missing", NO_SELLER)], conflict=True)
    return seller


def line_json(line: ContractLine) -> dict[str, Any]:
    return {
        "key": line.key,
        "plan": line.plan_version.plan.key,
        "version": line.plan_version.number,
        "quantity": plain_number(line.quantity),
        "from": line.starts_on,
        "until": line.ends_on,
    }


def term_json(term: OneTimeTerm, currency: str) -> dict[str, Any]:
    amount = plain_money(term.amount, currency)
    said = {"key": term.key, "description": term.description, "amount": amount, "on": term.on}
    if term.tax_category:
        said["tax_category"] = term.tax_category
    return said if term.tax_behavior == TaxBehavior.EXCLUSIVE else {**said, "tax_behavior": term.tax_behavior}


def discount_json(discount: Discount, currency: str) -> dict[str, Any]:
    is_money = discount.kind == DiscountKind.AMOUNT
    return {
        "key": discount.key,
        "kind": discount.kind,
        "value": plain_money(discount.value, currency) if is_money else plain_number(discount.value),
        "applies_to": discount.applies_to,
        "from": discount.starts_on,
        "until": discount.ends_on,
    }


# A contract's number is whatever it is on paper, and may hold slashes.
addresses = [
    path("contracts", ContractList.as_view(), name="contracts"),
    path("contracts/<path:number>/submit", SubmitContract.as_view(), name="submit-contract"),
    path("contracts/<path:number>/approve", ApproveContract.as_view(), name="approve-contract"),
    path("contracts/<path:number>/amend", AmendContract.as_view(), name="amend-contract"),
    path("contracts/<path:number>/end", EndContract.as_view(), name="end-contract"),
    path("contracts/<path:number>", ContractDetail.as_view(), name="contract"),
]
