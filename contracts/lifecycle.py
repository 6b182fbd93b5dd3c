"""A contract from draft to approval, its amendments and its end.

Terms of an approved contract are superseded, never edited: an amendment leaves alone what it does not change, so keys
and histories survive, and counts the contract's `revision` up exactly when terms changed. It may reach back in time;
what that changes in closed periods becomes adjustments.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Model

from catalog.auditing import Actor, are_one_person, create_signed, identity, sign, update_signed
from catalog.models import Plan, PlanVersion, TaxBehavior
from catalog.periods import local_date
from catalog.pricing import FieldError
from catalog.publishing import OPERATOR
from contracts.checking import Surroundings, faults, renewal_faults
from contracts.drafts import (
    KINDS,
    SINGULAR,
    AllowanceDraft,
    GrantDraft,
    LineDraft,
    OneTimeDraft,
    TermsDraft,
    terms_draft,
    terms_of,
)
from contracts.extending import RENEWAL_COLUMNS, Renewal, extended, next_end, runs_to_end
from contracts.models import Contract, ContractStatus, CreditGrant, Customer

# What the database refuses in terms of any contract, a draft's too.
CONTRADICTIONS = ("order", "overlap", "duplicate", "invalid")


class UnableToApprove(Exception):
    """The contract cannot take the step; `errors` says everything that is in the way."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        self.errors = list(errors)
        super().__init__("; ".join(f"{error.path}: {error.detail}" for error in errors))


class UnableToDraft(UnableToApprove):
    """The terms contradict themselves, so that they cannot even be kept for later."""


class UnableToAmend(UnableToApprove):
    """The contract cannot be changed like that; it stays as it is."""


@dataclass(frozen=True, slots=True)
class Signature:
    """When, who and why, as the histories of the changed rows say it."""

    at: dt.datetime
    by: Actor
    reason: str


def draft(contract: Contract, terms: TermsDraft, *, at: dt.datetime, by: Actor = None) -> Contract:
    """Store a contract that is not approved yet with these terms, in place of those it had.

    A draft may still lack what an approval needs; it is refused (UnableToDraft) where its terms contradict themselves.
    """
    found = faults(contract, terms)
    if any(fault.code in CONTRADICTIONS for fault in found):
        raise UnableToDraft(found)
    with transaction.atomic():
        if contract.pk is not None:
            stored = _locked(contract)
            if stored.status == ContractStatus.APPROVED:
                raise UnableToDraft([FieldError("status", "invalid", f"{stored} is approved; amend it")])
            for kind in KINDS.values():
                getattr(stored, kind.manager).all().delete()
        contract.status, contract.submitted_by = ContractStatus.DRAFT, ""
        signature = Signature(at, by, "Drafted")
        _save(contract, signature)
        for _, wanted in terms.each():
            for position, term in enumerate(wanted):
                _save(term.row(contract, position), signature)
    return contract


class Drafts:
    """New contracts drafted and approved together, by the operator: `draft` and `approve` for many.

    Everything is checked when it is said and stored by `write`, in a fixed number of queries, with the histories that
    one after the other would leave. The caller is in a transaction. Where it approves, it holds the locks of the
    contracts that are stored and of all customers, and `surroundings` was read under them.
    """

    def __init__(self, surroundings: Surroundings, at: dt.datetime, by: Actor = None) -> None:
        self.surroundings, self.at, self.by = surroundings, at, by
        self._drafted: list[tuple[Contract, TermsDraft]] = []
        self._approved: list[Contract] = []

    def draft(self, contract: Contract, terms: TermsDraft) -> list[FieldError]:
        """Draft a new contract. What is in the way of approving it is returned; raises UnableToDraft."""
        found = faults(contract, terms, self.surroundings)
        if any(fault.code in CONTRADICTIONS for fault in found):
            raise UnableToDraft(found)
        self._drafted.append((contract, terms))
        return found

    def approve(self, contract: Contract, terms: TermsDraft, found: Sequence[FieldError] | None = None) -> None:
        """Approve a draft; `found` is what drafting it just now has returned. Raises UnableToApprove."""
        if errors := faults(contract, terms, self.surroundings) if found is None else found:
            raise UnableToApprove(errors)
        self._approved.append(contract)
        self.surroundings.approve(contract, terms)

    def write(self) -> None:
        signature = Signature(self.at, self.by, "Drafted")
        for contract, _ in self._drafted:
            contract.status = ContractStatus.DRAFT
        _create([contract for contract, _ in self._drafted], signature)
        for name in KINDS:
            rows = [
                term.row(contract, position)
                for contract, terms in self._drafted
                for position, term in enumerate(getattr(terms, name))
            ]
            _create(rows, signature)
        for contract in self._approved:
            sign(contract, self.at, self.by, said("Approved", self.by))
        update_signed(self._approved, status=ContractStatus.APPROVED, approved_by=identity(self.by))
        self._drafted, self._approved = [], []


def _create(rows: Sequence[Model], signature: Signature) -> None:
    for row in rows:
        sign(row, signature.at, signature.by, signature.reason)
    create_signed(rows)


def submit(contract: Contract, *, at: dt.datetime, by: Actor = None) -> Contract:
    """Hand a draft over for approval. Raises UnableToApprove."""

    def step(locked: Contract) -> None:
        if locked.status != ContractStatus.DRAFT:
            raise UnableToApprove([FieldError("status", "invalid", f"{locked} is {locked.status}, not a draft")])
        _demand_sound(locked)
        locked.status, locked.submitted_by = ContractStatus.REVIEW, identity(by)
        _save(locked, Signature(at, by, said("Submitted for approval", by)))

    return _step(contract, step)


def approve(contract: Contract, *, at: dt.datetime, by: Actor = None) -> Contract:
    """Let the contract count; not by the person who submitted it, nor with a key of theirs.

    Without a user the operator at the command line stands for both persons, and a draft may be approved at once.
    Raises UnableToApprove.
    """

    def step(locked: Contract) -> None:
        if locked.status == ContractStatus.APPROVED:
            raise UnableToApprove([FieldError("status", "invalid", f"{locked} is approved already")])
        if by is not None:
            _demand_another(locked, by)
        _demand_sound(locked)
        locked.status, locked.approved_by = ContractStatus.APPROVED, identity(by)
        _save(locked, Signature(at, by, said("Approved", by)))

    return _step(contract, step)


def discard(contract: Contract, *, at: dt.datetime, by: Actor = None, reason: str = "") -> None:
    """Delete a contract that was never approved, with its terms. Raises UnableToDraft."""
    with transaction.atomic():
        locked = _locked(contract)
        if locked.status == ContractStatus.APPROVED:
            raise UnableToDraft([FieldError("status", "frozen", f"{locked} is approved and stays; end it")])
        sign(locked, at, by, reason or "Discarded")
        locked.delete()


def amend(
    contract: Contract,
    *,
    at: dt.datetime,
    by: Actor = None,
    reason: str = "",
    renewal: Renewal | None = None,
    **kinds: Sequence[Any] | None,
) -> Contract:
    """Replace the lists of terms that are named, as in `discounts=[...]`, and how it renews. Raises UnableToAmend."""

    def amended(locked: Contract, terms: TermsDraft) -> TermsDraft:
        if renewal is not None:
            _demand_time_to_renew(locked, renewal, at)
            renewal.put(locked)
        named = {name: given for name, given in kinds.items() if given is not None}
        return terms_draft(**{**dict(terms.each()), **named})

    return _amend(contract, amended, Signature(at, by, reason or said("Amended", by)))


def amend_by(
    contract: Contract,
    change: Callable[[TermsDraft], TermsDraft],
    *,
    at: dt.datetime,
    by: Actor = None,
    reason: str = "",
) -> Contract:
    """Let the terms be what a change makes of those in force, read under the lock. Raises UnableToAmend."""

    def amended(locked: Contract, terms: TermsDraft) -> TermsDraft:
        return terms_draft(**dict(change(terms).each()))

    return _amend(contract, amended, Signature(at, by, reason or said("Amended", by)))


def move_to_version(
    contract: Contract,
    plan: Plan,
    version: PlanVersion,
    on: dt.date,
    *,
    at: dt.datetime,
    by: Actor = None,
) -> Contract:
    """From that day on, let the lines of a plan stand on another of its versions. Raises UnableToAmend."""

    if version.plan_id != plan.pk:
        raise UnableToAmend([FieldError("version", "invalid", f"{version} is not a version of {plan.key}")])
    signature = Signature(at, by, said(f"Moved to {version} on {on}", by))
    return _amend(contract, lambda locked, terms: terms_on(locked, terms, version, on), signature)


def terms_on(contract: Contract, terms: TermsDraft, version: PlanVersion, on: dt.date) -> TermsDraft:
    """The terms with every line of the version's plan that runs on a day standing on the version from then on."""
    lines: list[LineDraft] = []
    for line in terms.lines:
        if line.plan_version.plan_id != version.plan_id or not _runs(line, on) or line.plan_version == version:
            lines.append(line)
            continue
        if line.starts_on < on:
            lines.append(replace(line, ends_on=on))
        lines.append(replace(line, plan_version=version, starts_on=on))
    if tuple(lines) == terms.lines:
        detail = f"no line of {contract} is on another version of {version.plan.key} on {on}"
        raise UnableToAmend([FieldError("plan", "unknown", detail)])
    return replace(terms, lines=tuple(lines))


def add_one_time(
    contract: Contract,
    key: str,
    description: str,
    amount: Decimal,
    on: dt.date,
    *,
    at: dt.datetime,
    by: Actor = None,
    tax_category: str = "",
    tax_behavior: str = TaxBehavior.EXCLUSIVE,
) -> Contract:
    """Charge an amount once, or give one back (below zero), on a day of the contract. Raises UnableToAmend."""
    term = OneTimeDraft(key, description, amount, on, tax_category, tax_behavior)

    def added(locked: Contract, terms: TermsDraft) -> TermsDraft:
        return replace(terms, one_time=(*terms.one_time, term))

    return _amend(contract, added, Signature(at, by, said(description, by)))


def grant_credit(
    contract: Contract, grant: GrantDraft, *, at: dt.datetime, by: Actor = None, reason: str = ""
) -> CreditGrant:
    """Give the contract credit besides what it has. A key that is not named is one that no grant of it ever had.

    Raises UnableToAmend, with paths as in the grant.
    """
    with transaction.atomic():
        locked = _locked(contract)
        known = set(locked.credits.values_list("key", flat=True))
        if grant.key in known:
            detail = f"{locked} has, or had, a grant {grant.key}; give this one another key"
            raise UnableToAmend([FieldError("key", "taken", detail)])
        key = grant.key or next(key for place in count(1) if (key := f"{SINGULAR['credits']}-{place}") not in known)

        def granted(locked: Contract, terms: TermsDraft) -> TermsDraft:
            return replace(terms, credits=(*terms.credits, replace(grant, key=key)))

        try:
            _amend(contract, granted, Signature(at, by, reason or said("Credit granted", by)))
        except UnableToAmend as unable:
            own = [replace(error, path=_OF_GRANT.sub("", error.path)) for error in unable.errors]
            raise UnableToAmend(own) from unable
        return CreditGrant.objects.get(contract=locked, key=key, superseded_at=None)


_OF_GRANT = re.compile(r"^credits\[\d+\]\.")


def add_allowance(contract: Contract, allowance: AllowanceDraft, *, at: dt.datetime, by: Actor = None) -> Contract:
    """Agree on a feature otherwise from a day on, beside what was agreed before. Raises UnableToAmend."""

    def added(locked: Contract, terms: TermsDraft) -> TermsDraft:
        taken = {one.key for one in terms.entitlements}
        key = next(name for place in count(1) if (name := f"entitlement-{place}") not in taken)
        named = allowance if allowance.key else replace(allowance, key=key)
        return replace(terms, entitlements=(*terms.entitlements, named))

    return _amend(contract, added, Signature(at, by, said(allowance.reason or f"Changed {allowance.feature}", by)))


def end(contract: Contract, on: dt.date, *, at: dt.datetime, by: Actor = None, reason: str = "") -> Contract:
    """Let the contract end: `on` is the first day out, and its lines end with it. It no longer renews by itself.

    A day that has passed takes back what was billed after it. A later end than before is an extension; it must be
    agreed before the contract has ended, because its last period is closed then, and changes nothing about how it
    renews. Raises UnableToAmend.
    """

    def ended(locked: Contract, terms: TermsDraft) -> TermsDraft:
        before, locked.ends_on = locked.ends_on, on
        if before is None or before >= on:
            locked.renewal_auto = False
        elif _is_over(locked, before, at):
            detail = f"{locked} ended on {before} and cannot run on; sign another contract"
            raise UnableToAmend([FieldError("ends_on", "ended", detail)])
        lines = [line for line in terms.lines if line.starts_on < on]
        return replace(terms, lines=tuple(_ending(line, before, on) for line in lines))

    return _amend(contract, ended, Signature(at, by, reason or said(f"Ended on {on}", by)))


def renew(
    contract: Contract,
    *,
    at: dt.datetime,
    by: Actor = None,
    months: int | None = None,
    uplift_percent: Decimal | None = None,
    reason: str = "",
) -> Contract:
    """Let the contract run on past its end, for as long and at the uplift it agrees unless told. Raises UnableToAmend.

    It must be agreed before the contract has ended; one that renews by itself may be late.
    """

    def run_on(locked: Contract, terms: TermsDraft) -> TermsDraft:
        return renewed(locked, terms, at, months, uplift_percent)

    return _amend(contract, run_on, Signature(at, by, reason or said("Renewed", by)))


def renewed(
    contract: Contract,
    terms: TermsDraft,
    at: dt.datetime,
    months: int | None = None,
    uplift_percent: Decimal | None = None,
) -> TermsDraft:
    """The terms after one renewal; moves the end of the row, which is not stored. Raises UnableToAmend."""
    before = contract.ends_on
    if before is None:
        detail = f"{contract} runs without an end, so there is nothing to renew"
        raise UnableToAmend([FieldError("ends_on", "missing", detail)])
    if not contract.renewal_auto and _is_over(contract, before, at):
        detail = f"{contract} ended on {before} and cannot be renewed; sign another contract"
        raise UnableToAmend([FieldError("ends_on", "ended", detail)])
    if not any(runs_to_end(line, before) for line in terms.lines):
        detail = f"no line of {contract} runs to its end on {before}, so nothing would run on; amend its lines first"
        raise UnableToAmend([FieldError("lines", "ended", detail)])
    agreed = Renewal.of(contract)
    months = agreed.months if months is None else months
    uplift = agreed.uplift_percent if uplift_percent is None else uplift_percent
    if errors := list(renewal_faults(replace(agreed, months=months, uplift_percent=uplift), "")):
        raise UnableToAmend(errors)
    contract.ends_on = next_end(contract, months)
    return extended(terms, before, contract.ends_on, uplift)


def _demand_time_to_renew(contract: Contract, renewal: Renewal, at: dt.datetime) -> None:
    if renewal.auto and contract.ends_on is not None and _is_over(contract, contract.ends_on, at):
        detail = f"{contract} ended on {contract.ends_on} and no longer renews; sign another contract"
        raise UnableToAmend([FieldError("renewal.auto", "ended", detail)])


def _is_over(contract: Contract, end: dt.date, at: dt.datetime) -> bool:
    return local_date(at, ZoneInfo(contract.timezone_name())) >= end


def _ending(line: LineDraft, before: dt.date | None, on: dt.date) -> LineDraft:
    """A line that ran to the contract's end, or beyond its new one, ends with the contract."""
    runs_to_end = line.ends_on is None or line.ends_on == before or line.ends_on > on
    return replace(line, ends_on=on) if runs_to_end else line


def _amend(contract: Contract, change: Callable[[Contract, TermsDraft], TermsDraft], signature: Signature) -> Contract:
    def step(locked: Contract) -> None:
        demand_approved(locked)
        before, ended_on, renews = terms_of(locked), locked.ends_on, Renewal.of(locked)
        after = change(locked, before)
        if errors := faults(locked, after):
            raise UnableToAmend(errors)
        changed = [
            _supersede(locked, getattr(locked, KINDS[name].manager).in_force(), wanted, signature)
            for name, wanted in after.each()
        ]
        changed.append(locked.ends_on != ended_on)
        locked.revision += any(changed)
        if any(changed) or Renewal.of(locked) != renews:
            _save(locked, signature)

    return _step(contract, step)


def _supersede(contract: Contract, rows: Any, wanted: Sequence[Any], signature: Signature) -> bool:
    """Make the rows in force say what is wanted; rows that say it already are left alone. Whether any changed."""
    gone, new = difference(contract, rows, wanted)
    replace_rows(gone, new, signature)
    return bool(gone or new)


def difference(contract: Contract, rows: Iterable[Any], wanted: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """The rows that no longer say anything wanted, and new ones for what none says."""
    missing = list(enumerate(wanted))
    gone = []
    for row in rows:
        found = next((one for one in missing if _says(row, *one)), None)
        if found is None:
            gone.append(row)
        else:
            missing.remove(found)
    return gone, [term.row(contract, position) for position, term in missing]


def replace_rows(gone: Sequence[Any], new: Sequence[Any], signature: Signature) -> None:
    """Supersede rows of one kind by others."""
    for row in (*gone, *new):
        sign(row, signature.at, signature.by, signature.reason)
    update_signed(gone, superseded_at=signature.at)
    create_signed(new)


def _says(row: Any, position: int, term: Any) -> bool:
    """Whether a row says the term already, at its place where that is a part of it."""
    return bool(type(term).of(row) == term and (not term.counts_by_place or row.position == position))


def _step(contract: Contract, step: Callable[[Contract], None]) -> Contract:
    """Take a step on the locked row; the caller's instance follows it."""
    with transaction.atomic():
        locked = _locked(contract)
        step(locked)
    for name in ("status", "revision", "ends_on", "submitted_by", "approved_by", *RENEWAL_COLUMNS):
        setattr(contract, name, getattr(locked, name))
    return contract


def _locked(contract: Contract) -> Contract:
    """The row under lock, and then its customer's: two contracts must not come to bill the same use."""
    rows = Contract.objects.select_for_update(of=("self",), no_key=True).select_related("seller")
    locked = rows.get(pk=contract.pk)
    locked.customer = Customer.objects.select_for_update(no_key=True).get(pk=locked.customer_id)
    return locked


def demand_approved(contract: Contract) -> None:
    if contract.status != ContractStatus.APPROVED:
        detail = f"{contract} is not approved yet; edit the draft"
        raise UnableToAmend([FieldError("status", "invalid", detail)])


def _demand_sound(contract: Contract) -> None:
    if errors := faults(contract, terms_of(contract)):
        raise UnableToApprove(errors)


def _demand_another(contract: Contract, by: Actor) -> None:
    if contract.status != ContractStatus.REVIEW:
        raise UnableToApprove([FieldError("status", "invalid", f"{contract} must be submitted first")])
    if are_one_person(contract.submitted_by, identity(by)):
        theirs = "" if contract.submitted_by == identity(by) else ", nor with an API key of theirs"
        detail = f"whoever submitted a contract cannot approve it{theirs}; ask another person"
        raise UnableToApprove([FieldError("by", "same_person", detail)])


def _runs(line: LineDraft, on: dt.date) -> bool:
    return line.starts_on <= on and (line.ends_on is None or on < line.ends_on)


def _save(row: Any, signature: Signature) -> None:
    sign(row, signature.at, signature.by, signature.reason)
    row.save()


def said(deed: str, by: Actor) -> str:
    return deed if by is not None else f"{deed} {OPERATOR}"
