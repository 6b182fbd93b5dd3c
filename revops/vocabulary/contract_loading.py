"""Customers and contracts as a file says them. Repeatable: what is there already is left alone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from django.db import transaction

from billing.invoicing.granting import demand_covered
from catalog.models import Seller
from contracts import lifecycle
from contracts.checking import Surroundings
from contracts.drafts import TermsDraft, terms_by_contract, terms_draft
from contracts.extending import RENEWAL_COLUMNS, Renewal
from contracts.lifecycle import Drafts, UnableToApprove
from contracts.models import Contact, Contract, ContractStatus, Customer, CustomerAlias
from revops.vocabulary.contract_terms import Plans, UnknownTerm, renewal, terms
from revops.vocabulary.decoding import under
from revops.vocabulary.loading import Load, Shelf, chunks, first_seller, keep_seller
from revops.vocabulary.words import ContractsWords, ContractWords, CustomerWords, RenewalWords

# What an approved contract is built on; another contract is needed to change it.
FROZEN_IN_CONTRACT = ("currency", "starts_on", "anchor", "bill_day", "timezone")
EDITABLE_IN_CONTRACT = ("tolerance_window", "payment_terms_days", "purchase_order")
# Read, checked and written together.
CHUNK = 200


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
    """As `load_contracts`, inside the caller's transaction; what is wrong is left in `load.errors`.

    Contracts are looked at only where nothing is wrong before.
    """
    customers = [(f"customers[{index}]", customer) for index, customer in enumerate(words.customers)]
    for some_customers in chunks(((path, (path, one)) for path, one in customers), CHUNK):
        keep_customers(some_customers, load)
        load.step(len(some_customers))
    if load.errors:
        return
    contracts = [(f"contracts[{index}]", contract) for index, contract in enumerate(words.contracts)]
    loading = _Contracts(load, seller, words.currency, publish)
    for some in chunks(((one.number, (path, one)) for path, one in contracts), CHUNK):
        loading.keep(some)
        load.step(len(some))


def keep_customers(words: Sequence[tuple[str, CustomerWords]], load: Load, cleared: Collection[str] = ()) -> None:
    """The customers (each with its path, no key twice), their subjects and contacts beside those they have."""
    _Customers(load, [one for _, one in words]).keep(words, cleared)


def drop_others(words: CustomerWords, load: Load) -> None:
    """Take away the subjects and contacts of a customer that the words, naming some or none, do not name."""
    customer = Customer.objects.get(key=words.key)
    gone: list[CustomerAlias | Contact] = []
    if words.subjects is not None:
        gone += customer.aliases.exclude(subject__in=words.subjects)
    if words.contacts is not None:
        gone += customer.contacts.exclude(email__in=[one.email for one in words.contacts])
    for row in gone:
        load.sign(row)
        row.delete()


class _Customers:
    """Some customers of a file, with their subjects and contacts."""

    def __init__(self, load: Load, words: Sequence[CustomerWords]) -> None:
        self.load = load
        keys = {one.key for one in words}
        subjects = {subject for one in words for subject in one.subjects or ()}
        self.known_by_key = set(Customer.objects.filter(key__in=subjects).values_list("key", flat=True))
        self.customers = Shelf(load, Customer.objects.filter(key__in=keys), lambda row: row.key)
        billed = Contract.objects.approved().filter(customer__key__in=keys, timezone="")
        self.billed_by_zone = set(billed.values_list("customer__key", flat=True))
        self.aliases = Shelf(
            load,
            CustomerAlias.objects.filter(subject__in=subjects).select_related("customer"),
            lambda row: row.subject,
            self.customers,
        )
        self.contacts = Shelf(
            load,
            Contact.objects.filter(customer__key__in=keys).select_related("customer"),
            lambda row: (row.customer.key, row.email),
            self.customers,
        )

    def keep(self, words: Sequence[tuple[str, CustomerWords]], cleared: Collection[str]) -> None:
        for path, customer in words:
            self._keep_customer(customer, path, cleared)
        self.aliases.write()
        self.contacts.write()

    def _keep_customer(self, words: CustomerWords, path: str, cleared: Collection[str]) -> None:
        values = {name: value for name, value in vars(words).items() if name not in ("subjects", "contacts")}
        if self._moves_billing(words, cleared):
            detail = f"contracts of {words.key} are billed by its time zone; give the zone to new contracts instead"
            self.load.fail(under(path, "timezone"), "frozen", detail)
            return
        customer = self.customers.keep(words.key, path, values, {"name": words.key}, cleared)
        if customer is None:
            return
        for index, subject in enumerate(words.subjects or ()):
            self._keep_subject(customer, subject, under(path, f"subjects[{index}]"))
        for index, contact in enumerate(words.contacts or ()):
            key = (customer.key, contact.email)
            self.contacts.keep(key, under(path, f"contacts[{index}]"), vars(contact), {"customer": customer})

    def _moves_billing(self, words: CustomerWords, cleared: Collection[str]) -> bool:
        """Whether the time zone that approved contracts are billed by would be another."""
        stored = self.customers.get(words.key)
        if stored is None or words.key not in self.billed_by_zone:
            return False
        zone = "" if "timezone" in cleared else words.timezone
        return zone is not None and zone != stored.timezone

    def _keep_subject(self, customer: Customer, subject: str, path: str) -> None:
        if subject == customer.key:
            return  # a customer is known by its key anyway
        taken = self.aliases.get(subject)
        if taken is not None and taken.customer.key != customer.key:
            other = taken.customer.key
        elif subject in self.known_by_key or self.customers.get(subject) is not None:
            other = subject
        else:
            self.aliases.keep(subject, path, {"subject": subject}, {"customer": customer})
            return
        self.load.fail(path, "taken", f"the subject {subject} belongs to the customer {other}")


def keep_contract(words: ContractWords, load: Load, seller: Seller, path: str = "") -> None:
    """A contract as a draft; `seller` is whose it is where it names none. One that is approved is left as it is."""
    _Contracts(load, seller, None, publish=False).keep([(path, words)])


def change_contract(
    contract: Contract, words: ContractWords, named: Collection[str], cleared: Collection[str], load: Load
) -> None:
    """Let a contract say something else: all of a draft; of an approved one what its terms are not.

    `words` are the whole contract, `named` what of it is to change. What is in the way is left in `load.errors`.
    """
    if contract.status == ContractStatus.REVIEW:
        detail = f"{contract} waits for approval: what is approved is what was submitted; delete it and draft another"
        load.fail("status", "review", detail)
    elif contract.status == ContractStatus.DRAFT:
        keep_contract(words, load, contract.seller)
    elif frozen := [name for name in named if name not in EDITABLE_IN_CONTRACT]:
        for name in frozen:
            load.fail(name, "frozen", f"{contract} is approved; its terms change by `amend`, its end by `end`")
    else:
        editable = {name: getattr(words, name) for name in EDITABLE_IN_CONTRACT}
        defaults = {"payment_terms_days": contract.seller.payment_terms_days}
        load.keep(Contract.objects.filter(pk=contract.pk), "", editable, defaults, cleared)


class _Contracts:
    """The contracts of a file, some at a time, no number twice in one keep."""

    def __init__(self, load: Load, seller: Seller, currency: str | None, publish: bool) -> None:
        self.load, self.seller, self.currency, self.publish = load, seller, currency, publish
        self.plans = Plans()
        self.surroundings = Surroundings()
        self.drafts = Drafts(self.surroundings, load.at, load.by)
        self.sellers: dict[str, Seller | None] = {}
        self.customers: dict[str, Customer] = {}
        self.stored: dict[str, Contract] = {}
        self.standing: dict[int, TermsDraft] = {}

    def keep(self, words: Sequence[tuple[str, ContractWords]]) -> None:
        self._read([one for _, one in words])
        for path, one in words:
            try:
                self._keep_contract(one, path)
            except UnknownTerm as unknown:
                self.load.fail_under(path, [unknown.error])
            except UnableToApprove as unable:
                self.load.fail_under(path, unable.errors)
        self.drafts.write()

    def _read(self, words: Sequence[ContractWords]) -> None:
        """What is there of these contracts and their customers, under the locks an approval needs."""
        contracts = Contract.objects.filter(number__in={one.number for one in words}).order_by("pk")
        customers = Customer.objects.filter(key__in={one.customer for one in words})
        if self.publish:
            customers = customers.select_for_update(no_key=True)
        locked = contracts.select_for_update(of=("self",), no_key=True)
        self.stored = {row.number: row for row in locked.select_related("customer", "seller")}
        self.customers = {row.key: row for row in customers.order_by("pk")}
        self.standing = terms_by_contract(list(self.stored.values()))
        self.surroundings.read(row.pk for row in self.customers.values())

    def _keep_contract(self, words: ContractWords, path: str) -> None:
        customer, seller = self.customers.get(words.customer), self._seller(words)
        if customer is None:
            self.load.fail(under(path, "customer"), "unknown", f"there is no customer {words.customer}")
            return
        if seller is None:
            self.load.fail(under(path, "seller"), "unknown", f"there is no seller {words.seller}")
            return
        contract = self.stored.get(words.number)
        if contract is None or contract.status != ContractStatus.APPROVED:
            wanted = _contract(words, customer, seller, words.currency or self.currency or seller.currency)
            self._keep_draft(words, contract, wanted)
            return
        if contract.customer != customer:
            self.load.fail(under(path, "customer"), "frozen", f"contract {contract} is with {contract.customer.key}")
            return
        self._keep_approved(words, contract, path)

    def _seller(self, words: ContractWords) -> Seller | None:
        if words.seller is None:
            return self.seller
        if words.seller not in self.sellers:
            self.sellers[words.seller] = Seller.objects.filter(key=words.seller).first()
        return self.sellers[words.seller]

    def _keep_draft(self, words: ContractWords, stored: Contract | None, wanted: Contract) -> None:
        terms, found = self._terms(words, stored), None
        if stored is None:
            found = self.drafts.draft(wanted, terms)
            self.load.note(f"contract {wanted}", "drafted")
        elif _same(stored, wanted) and self.standing[stored.pk] == terms:
            self.load.unchanged += 1
            wanted = stored
        else:
            wanted.pk = stored.pk
            lifecycle.draft(wanted, terms, at=self.load.at, by=self.load.by)
            self.load.note(f"contract {wanted}", "drafted")
        if not self.publish:
            return
        if self.load.by is None:
            self.drafts.approve(wanted, terms, found)
        else:
            self.drafts.write()
            lifecycle.approve(wanted, at=self.load.at, by=self.load.by)
        self.load.note(f"contract {wanted}", "approved")

    def _terms(self, words: ContractWords, stored: Contract | None) -> TermsDraft:
        contract = Contract(number=words.number, starts_on=words.starts_on)
        standing = self.standing[stored.pk].lines if stored else ()
        return terms_draft(**terms(words, contract, standing, self.plans))

    def _keep_approved(self, words: ContractWords, contract: Contract, path: str) -> None:
        for name in FROZEN_IN_CONTRACT:
            given = getattr(words, name)
            if given is not None and given != getattr(contract, name):
                what = name.replace("_", " ")
                detail = f"contract {contract} is approved, so its {what} is frozen; end it and sign another"
                self.load.fail(under(path, name), "frozen", detail)
                return
        self._keep_editable(words, contract, path)
        before = self.standing[contract.pk]
        after = terms_draft(**{**dict(before.each()), **terms(words, contract, before.lines, self.plans)})
        ends = words.ends_on is not None and words.ends_on != contract.ends_on
        if after == before and not ends and _renewal(words, contract) == Renewal.of(contract):
            return
        if not self.publish:
            detail = f"contract {contract} is approved and its terms differ from the file; --publish amends it"
            self.load.fail(path, "approved", detail)
            return
        self.drafts.write()
        self._amend(words, contract, after, ends)

    def _keep_editable(self, words: ContractWords, contract: Contract, path: str) -> None:
        editable = {name: getattr(words, name) for name in EDITABLE_IN_CONTRACT}
        if all(value is None or value == getattr(contract, name) for name, value in editable.items()):
            self.load.unchanged += 1
        else:
            self.load.keep(Contract.objects.filter(pk=contract.pk), path, editable)

    @transaction.atomic
    def _amend(self, words: ContractWords, contract: Contract, after: TermsDraft, ends: bool) -> None:
        if ends and words.ends_on is not None:
            lifecycle.end(contract, words.ends_on, at=self.load.at, by=self.load.by)
        named: dict[str, Any] = dict(after.each())
        renews = _renewal(words, contract)
        lifecycle.amend(contract, **named, renewal=renews, at=self.load.at, by=self.load.by, reason=self.load.why)
        demand_covered(contract)
        self.surroundings.forget(contract.customer_id)
        self.load.note(f"contract {contract}", "amended")


def _renewal(words: ContractWords, contract: Contract) -> Renewal:
    return renewal(words.renewal or RenewalWords(), Renewal.of(contract))


def _contract(words: ContractWords, customer: Customer, seller: Seller, currency: str) -> Contract:
    days = words.payment_terms_days
    made = Contract(
        number=words.number,
        customer=customer,
        seller=seller,
        currency=currency,
        starts_on=words.starts_on,
        ends_on=words.ends_on,
        anchor=words.anchor or "start",
        bill_day=words.bill_day,
        timezone=words.timezone or "",
        tolerance_window=words.tolerance_window,
        payment_terms_days=seller.payment_terms_days if days is None else days,
        purchase_order=words.purchase_order or "",
    )
    _renewal(words, made).put(made)
    return made


def _same(stored: Contract, wanted: Contract) -> bool:
    names = ("customer_id", "seller_id", "ends_on", *RENEWAL_COLUMNS, *FROZEN_IN_CONTRACT, *EDITABLE_IN_CONTRACT)
    return all(getattr(stored, name) == getattr(wanted, name) for name in names)
