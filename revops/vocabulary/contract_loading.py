"""Customers and contracts as a file says them. Repeatable: what is there already is left alone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal

from django.db import transaction

from catalog.models import Plan, PlanVersion, Seller
from catalog.pricing import FieldError
from contracts import lifecycle
from contracts.drafts import DiscountDraft, LineDraft, OneTimeDraft, TermsDraft, terms_draft, terms_of
from contracts.lifecycle import UnableToApprove
from contracts.models import Contact, Contract, ContractStatus, Customer, CustomerAlias
from revops.vocabulary.loading import Load, first_seller, keep_seller
from revops.vocabulary.words import (
    ContractsWords,
    ContractWords,
    CustomerWords,
    DiscountWords,
    LineWords,
    OneTimeWords,
)

# What an approved contract is built on; another contract is needed to change it.
FROZEN_IN_CONTRACT = ("currency", "starts_on", "anchor", "timezone")
EDITABLE_IN_CONTRACT = ("tolerance_window", "payment_terms_days", "purchase_order")


class UnknownTerm(Exception):
    """A line names a plan or version that does not exist."""

    def __init__(self, path: str, detail: str) -> None:
        self.error = FieldError(path, "unknown", detail)
        super().__init__(detail)


def load_contracts(words: ContractsWords, load: Load, *, publish: bool = False) -> Load:
    """Make customers and contracts say what the words say, all or nothing.

    A new contract becomes a draft; `publish` goes on to approve it, and to amend an approved one whose terms differ.
    Raises UnableToLoad.
    """
    with transaction.atomic():
        seller = _seller(load, words)
        if seller is not None:
            keep_contracts(words, load, seller, publish=publish)
        load.finish()
    return load


def _seller(load: Load, words: ContractsWords) -> Seller | None:
    """The seller of a contract file, which does not change one that exists: `currency` is its contracts' then."""
    seller = first_seller()
    if seller is None:
        return keep_seller(load, None, words)
    for name in ("timezone", "tolerance_window"):
        given = getattr(words, name)
        if given is not None and given != getattr(seller, name):
            detail = (
                f"{seller.key} has another {name.replace('_', ' ')}; load_catalog changes it, or give it to contracts"
            )
            load.fail(name, "other", detail)
    return seller


def keep_contracts(words: ContractsWords, load: Load, seller: Seller, *, publish: bool) -> None:
    """As `load_contracts`, inside the caller's transaction; what is wrong is left in `load.errors`."""
    for index, customer in enumerate(words.customers):
        _keep_customer(load, customer, f"customers[{index}]")
    for index, contract in enumerate(words.contracts):
        path = f"contracts[{index}]"
        try:
            with transaction.atomic():
                _keep_contract(load, contract, path, seller, words.currency, publish)
        except UnknownTerm as unknown:
            load.fail_under(path, [unknown.error])
        except UnableToApprove as unable:
            load.fail_under(path, unable.errors)


def _keep_customer(load: Load, words: CustomerWords, path: str) -> None:
    values = {name: value for name, value in vars(words).items() if name not in ("subjects", "contacts")}
    customer = load.keep(Customer.objects.filter(key=words.key), path, values, {"name": words.key})
    if customer is None:
        return
    for index, subject in enumerate(words.subjects or ()):
        _keep_subject(load, customer, subject, f"{path}.subjects[{index}]")
    for index, contact in enumerate(words.contacts or ()):
        rows = Contact.objects.filter(customer=customer, email=contact.email)
        load.keep(rows, f"{path}.contacts[{index}]", vars(contact), {"customer": customer})


def _keep_subject(load: Load, customer: Customer, subject: str, path: str) -> None:
    if subject == customer.key:
        return  # a customer is known by its key anyway
    taken = CustomerAlias.objects.exclude(customer=customer).filter(subject=subject).select_related("customer").first()
    other = taken.customer if taken else Customer.objects.exclude(pk=customer.pk).filter(key=subject).first()
    if other is not None:
        load.fail(path, "taken", f"the subject {subject} belongs to the customer {other.key}")
        return
    load.keep(CustomerAlias.objects.filter(subject=subject), path, {"subject": subject}, {"customer": customer})


def _keep_contract(
    load: Load, words: ContractWords, path: str, seller: Seller, currency: str | None, publish: bool
) -> None:
    customer = Customer.objects.filter(key=words.customer).first()
    if customer is None:
        load.fail(f"{path}.customer", "unknown", f"there is no customer {words.customer}")
        return
    if words.seller is not None:
        named = Seller.objects.filter(key=words.seller).first()
        if named is None:
            load.fail(f"{path}.seller", "unknown", f"there is no seller {words.seller}")
            return
        seller = named
    contract = Contract.objects.filter(number=words.number).select_related("customer", "seller").first()
    if contract is None or contract.status != ContractStatus.APPROVED:
        wanted = _contract(words, customer, seller, words.currency or currency or seller.currency)
        _keep_draft(load, words, contract, wanted, publish)
        return
    if contract.customer != customer:
        load.fail(f"{path}.customer", "frozen", f"contract {contract} is with {contract.customer.key}")
        return
    _keep_approved(load, words, contract, path, publish)


def _keep_draft(load: Load, words: ContractWords, stored: Contract | None, wanted: Contract, publish: bool) -> None:
    terms = _terms(words, stored)
    if stored is not None and _same(stored, wanted) and terms_of(stored) == terms:
        load.unchanged += 1
        wanted = stored
    else:
        wanted.pk = stored.pk if stored else None
        lifecycle.draft(wanted, terms, at=load.at, by=load.by)
        load.note(f"contract {wanted}", "drafted")
    if publish:
        lifecycle.approve(wanted, at=load.at, by=load.by)
        load.note(f"contract {wanted}", "approved")


def _contract(words: ContractWords, customer: Customer, seller: Seller, currency: str) -> Contract:
    days = words.payment_terms_days
    return Contract(
        number=words.number,
        customer=customer,
        seller=seller,
        currency=currency,
        starts_on=words.starts_on,
        ends_on=words.ends_on,
        anchor=words.anchor or "start",
        timezone=words.timezone or "",
        tolerance_window=words.tolerance_window,
        payment_terms_days=seller.payment_terms_days if days is None else days,
        purchase_order=words.purchase_order or "",
    )


def _same(stored: Contract, wanted: Contract) -> bool:
    names = ("customer_id", "seller_id", "ends_on", *FROZEN_IN_CONTRACT, *EDITABLE_IN_CONTRACT)
    return all(getattr(stored, name) == getattr(wanted, name) for name in names)


def _keep_approved(load: Load, words: ContractWords, contract: Contract, path: str, publish: bool) -> None:
    for name in FROZEN_IN_CONTRACT:
        given = getattr(words, name)
        if given is not None and given != getattr(contract, name):
            detail = (
                f"contract {contract} is approved, so its {name.replace('_', ' ')} is frozen; end it and sign another"
            )
            load.fail(f"{path}.{name}", "frozen", detail)
            return
    editable = {name: getattr(words, name) for name in EDITABLE_IN_CONTRACT}
    load.keep(Contract.objects.filter(pk=contract.pk), path, editable)
    before = terms_of(contract)
    after = terms_draft(
        lines(words.lines, contract, before.lines),
        before.discounts if words.discounts is None else discounts(words.discounts, contract),
        before.one_time if words.one_time is None else one_time(words.one_time),
    )
    ends = words.ends_on is not None and words.ends_on != contract.ends_on
    if after == before and not ends:
        return
    if not publish:
        detail = f"contract {contract} is approved and its terms differ from the file; --publish amends it"
        load.fail(path, "approved", detail)
        return
    if ends and words.ends_on is not None:
        lifecycle.end(contract, words.ends_on, at=load.at, by=load.by)
    lifecycle.amend(
        contract,
        lines=after.lines,
        discounts=after.discounts,
        one_time=after.one_time,
        at=load.at,
        by=load.by,
        reason=f"Loaded from {load.origin}",
    )
    load.note(f"contract {contract}", "amended")


def _terms(words: ContractWords, stored: Contract | None) -> TermsDraft:
    contract = Contract(number=words.number, starts_on=words.starts_on)
    standing = terms_of(stored).lines if stored else ()
    return terms_draft(
        lines(words.lines, contract, standing),
        discounts(words.discounts or (), contract),
        one_time(words.one_time or ()),
    )


def lines(words: Sequence[LineWords], contract: Contract, standing: Sequence[LineDraft] = ()) -> list[LineDraft]:
    """The lines of a file. A line that names no version keeps the one it stands on, else the one in force at its start.

    Raises UnknownTerm.
    """
    return [_line(line, f"lines[{index}]", contract, standing) for index, line in enumerate(words)]


def _line(words: LineWords, path: str, contract: Contract, standing: Sequence[LineDraft]) -> LineDraft:
    plan = Plan.objects.filter(key=words.plan).first()
    if plan is None:
        raise UnknownTerm(f"{path}.plan", f"there is no plan {words.plan}")
    starts_on = words.from_ or contract.starts_on
    version = _version(words, path, plan, starts_on, standing)
    quantity = Decimal(1) if words.quantity is None else words.quantity
    return LineDraft(version, starts_on, words.until, quantity, words.key or plan.key)


def _version(words: LineWords, path: str, plan: Plan, starts_on: dt.date, standing: Sequence[LineDraft]) -> PlanVersion:
    if words.version is not None:
        return version_of(plan, words.version, f"{path}.version")
    for line in standing:
        same = line.plan_version.plan_id == plan.pk and line.starts_on == starts_on
        if same and line.line_key == (words.key or plan.key):
            return line.plan_version
    version = plan.versions.in_force(starts_on).select_related("plan").first()
    if version is None:
        detail = f"the plan {plan.key} has no published version in force on {starts_on}; publish one, or name a version"
        raise UnknownTerm(f"{path}.version", detail)
    return version


def version_of(plan: Plan, number: int, path: str) -> PlanVersion:
    """A plan's version by its number. Raises UnknownTerm."""
    version = plan.versions.filter(number=number).select_related("plan").first()
    if version is None:
        raise UnknownTerm(path, f"the plan {plan.key} has no version {number}")
    return version


def discounts(words: Sequence[DiscountWords], contract: Contract) -> list[DiscountDraft]:
    """The discounts of a file; without days they run with the contract."""
    return [
        DiscountDraft(
            kind=one.kind,
            value=one.value,
            starts_on=one.from_ or contract.starts_on,
            ends_on=one.until,
            applies_to=one.applies_to or (),
            key=one.key or "",
        )
        for one in words
    ]


def one_time(words: Sequence[OneTimeWords]) -> list[OneTimeDraft]:
    return [OneTimeDraft(one.key, one.description, one.amount, one.on) for one in words]
