"""What must hold before the terms of a contract count: everything that is wrong, not just the first."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from django.core.exceptions import ValidationError
from django.db.models import Model

from catalog.models import Price, PriceKind, VersionStatus
from catalog.money import minor_places, quantize
from catalog.periods import known_zones
from catalog.pricing import FieldError
from contracts.allowance_checks import allowance_faults, included_faults
from contracts.drafts import LineDraft, OneTimeDraft, TermsDraft
from contracts.extending import LONGEST_NOTICE, LONGEST_RENEWAL, Renewal
from contracts.models import Contract, ContractLine
from contracts.term_checks import commitment_faults, discount_faults, grant_faults, override_faults

Span = tuple[dt.date, dt.date | None]
SOLD = (VersionStatus.PUBLISHED, VersionStatus.RETIRED)


@dataclass(frozen=True, slots=True)
class Billing:
    """A plan version that the approved contract of this number bills on some days."""

    number: str
    days: Span
    version: int


class Surroundings:
    """What checks read beside the terms: prices of versions, and what approved contracts of a customer bill.

    Each is read once, when it is asked for or with others by `read`. Whoever checks many contracts with the same
    surroundings holds the customers' locks, says what it approves (`approve`), and `forget`s what else has changed.
    """

    def __init__(self) -> None:
        self._prices: dict[int, list[Price]] = {}
        self._billings: dict[int, list[Billing]] = {}

    def read(self, customers: Iterable[int]) -> None:
        """Read the billings of many customers, and the prices of their versions."""
        self._read_billings([pk for pk in customers if pk not in self._billings])

    def forget(self, customer: int) -> None:
        self._billings.pop(customer, None)

    def approve(self, contract: Contract, terms: TermsDraft) -> None:
        """From now on these terms count."""
        self.billings(contract.customer_id).extend(
            Billing(contract.number, _cut(_days(line), contract), line.plan_version.pk) for line in terms.lines
        )

    def amend(self, contract: Contract, terms: TermsDraft) -> None:
        """From now on these terms count in place of those the contract had."""
        billings = self.billings(contract.customer_id)
        billings[:] = [one for one in billings if one.number != contract.number]
        self.approve(contract, terms)

    def prices(self, versions: Iterable[int]) -> dict[int, list[Price]]:
        versions = set(versions)
        if missing := versions - self._prices.keys():
            self._prices |= {pk: [] for pk in missing}
            rows = Price.objects.filter(version__in=missing).select_related("meter").prefetch_related("tiers")
            for price in rows:
                self._prices[price.version_id].append(price)
        return {pk: self._prices[pk] for pk in versions}

    def billings(self, customer: int) -> list[Billing]:
        if customer not in self._billings:
            self._read_billings([customer])
        return self._billings[customer]

    def _read_billings(self, customers: Sequence[int]) -> None:
        self._billings |= {pk: [] for pk in customers}
        rows = (
            ContractLine.objects.in_force()
            .filter(contract__in=Contract.objects.approved().filter(customer__in=customers))
            .select_related("contract")
        )
        for line in rows:
            other = line.contract
            days = _cut((line.starts_on, line.ends_on), other)
            self._billings[other.customer_id].append(Billing(other.number, days, line.plan_version_id))
        self.prices(one.version for pk in customers for one in self._billings[pk])


def faults(contract: Contract, terms: TermsDraft, surroundings: Surroundings | None = None) -> list[FieldError]:
    """Why the contract cannot count with these terms; empty where it can. Paths as in `lines[0].plan`."""
    around = surroundings or Surroundings()
    prices = around.prices(line.plan_version.pk for line in terms.lines)
    found = [*_contract_faults(contract), *_line_faults(contract, terms.lines)]
    of_lines = [(line, prices[line.plan_version.pk]) for line in terms.lines]
    found += discount_faults(contract, terms.discounts, of_lines)
    found += override_faults(terms.overrides, of_lines)
    found += commitment_faults(contract, terms.commitments, of_lines)
    found += grant_faults(contract, terms.credits, of_lines)
    found += allowance_faults(terms.entitlements, of_lines)
    found += included_faults(of_lines)
    found += _one_time_faults(contract, terms.one_time)
    found += _billed_elsewhere(contract, terms.lines, prices, around)
    known = {(fault.path, fault.code) for fault in found}
    return found + [fault for fault in _unstorable(contract, terms) if (fault.path, fault.code) not in known]


# As the terms are called where they are written down.
WORDS = {"starts_on": "from", "ends_on": "until"}


def _unstorable(contract: Contract, terms: TermsDraft) -> Iterator[FieldError]:
    """What no column can hold: too many digits, too long a text."""
    yield from _field_faults(contract, "", {})
    for name, each in terms.each():
        for index, term in enumerate(each):
            yield from _field_faults(term.row(contract, index), f"{name}[{index}].", WORDS)


def _field_faults(row: Model, path: str, words: Mapping[str, str]) -> Iterator[FieldError]:
    try:
        row.clean_fields(exclude={one.name for one in row._meta.concrete_fields if one.is_relation})
    except ValidationError as invalid:
        for name, messages in invalid.message_dict.items():
            yield FieldError(f"{path}{words.get(name, name)}", "invalid", " ".join(messages))


def _contract_faults(contract: Contract) -> Iterator[FieldError]:
    if contract.ends_on is not None and contract.ends_on <= contract.starts_on:
        yield FieldError("ends_on", "order", "a contract ends after it starts; ends_on is the first day out")
    if contract.timezone_name() not in known_zones():
        detail = f"{contract.timezone_name()!r} is not a time zone; use a name such as Europe/Berlin"
        yield FieldError("timezone", "invalid", detail)
    if contract.bill_day is not None and (contract.anchor != "start" or not 1 <= contract.bill_day <= 31):
        yield FieldError("bill_day", "invalid", "a bill day is 1 to 31, and a calendar contract has none")
    if contract.renewal_auto and contract.ends_on is None:
        detail = "a contract without an end runs on by itself; only one that ends renews"
        yield FieldError("renewal.auto", "invalid", detail)
    yield from renewal_faults(Renewal.of(contract), "renewal.")


def renewal_faults(renewal: Renewal, path: str) -> Iterator[FieldError]:
    if not 1 <= renewal.months <= LONGEST_RENEWAL:
        yield FieldError(f"{path}months", "invalid", f"a renewal is for 1 to {LONGEST_RENEWAL} months")
    if not 0 <= renewal.notice_days <= LONGEST_NOTICE:
        yield FieldError(f"{path}notice_days", "invalid", f"the notice is 0 to {LONGEST_NOTICE:,} days before the end")
    if renewal.uplift_percent <= -100:
        yield FieldError(f"{path}uplift_percent", "invalid", "an uplift is above -100 percent")


def _line_faults(contract: Contract, lines: Sequence[LineDraft]) -> Iterator[FieldError]:
    if not lines:
        yield FieldError("lines", "missing", "a contract needs a line")
    if contract.bill_day is not None and any(line.plan_version.plan.interval in ("day", "week") for line in lines):
        detail = "a bill day is a day of the month; plans by the day or the week have none"
        yield FieldError("bill_day", "invalid", detail)
    for index, line in enumerate(lines):
        path, version = f"lines[{index}]", line.plan_version
        if version.status not in SOLD:
            detail = f"{version} is {version.get_status_display().lower()}; publish it, or name a published version"
            yield FieldError(f"{path}.version", "unsold", detail)
        if version.currency != contract.currency:
            detail = f"{version} is in {version.currency}, the contract in {contract.currency}"
            yield FieldError(f"{path}.version", "currency", detail)
        if line.quantity < 0:
            yield FieldError(f"{path}.quantity", "invalid", "a quantity is not negative")
        yield from _outside(contract, line, path)
    for (_, one), (index, other) in combinations(enumerate(lines), 2):
        if one.line_key == other.line_key and _overlap(_days(one), _days(other)):
            detail = f"two lines of the key {one.line_key} overlap; give each its own `key`, or its own days"
            yield FieldError(f"lines[{index}]", "overlap", detail)


def _outside(contract: Contract, line: LineDraft, path: str) -> Iterator[FieldError]:
    if line.ends_on is not None and line.ends_on <= line.starts_on:
        yield FieldError(f"{path}.until", "order", "a line ends after it starts; until is the first day out")
    if line.starts_on < contract.starts_on:
        detail = f"the line begins on {line.starts_on}, the contract on {contract.starts_on}"
        yield FieldError(f"{path}.from", "outside", detail)
    if contract.ends_on is None:
        return
    if line.starts_on >= contract.ends_on or (line.ends_on is not None and line.ends_on > contract.ends_on):
        detail = f"the line runs from {line.starts_on} to {line.ends_on}, the contract ends on {contract.ends_on}"
        yield FieldError(f"{path}.until", "outside", detail)


def _one_time_faults(contract: Contract, one_time: Sequence[OneTimeDraft]) -> Iterator[FieldError]:
    seen: set[str] = set()
    places = minor_places(contract.currency)
    for index, term in enumerate(one_time):
        path = f"one_time[{index}]"
        if term.on < contract.starts_on or (contract.ends_on is not None and term.on >= contract.ends_on):
            yield FieldError(f"{path}.on", "outside", f"{term.on} is not a day of the contract")
        if quantize(term.amount, places) != term.amount:
            detail = f"an amount in {contract.currency} has at most {places} decimals"
            yield FieldError(f"{path}.amount", "precision", detail)
        if term.key in seen:
            yield FieldError(f"{path}.key", "duplicate", f"the key {term.key} is there twice")
        seen.add(term.key)


def _billed_elsewhere(
    contract: Contract, lines: Sequence[LineDraft], prices: dict[int, list[Price]], around: Surroundings
) -> Iterator[FieldError]:
    """Use that another contract of the customer bills already would be billed twice."""
    meters = {price.meter_id for each in prices.values() for price in each if price.kind == PriceKind.USAGE}
    if not meters:
        return
    for other in around.billings(contract.customer_id):
        theirs = {price.meter_id for price in around.prices([other.version])[other.version]} & meters
        if not theirs or other.number == contract.number:
            continue
        for index, line in enumerate(lines):
            if not _overlap(_cut(_days(line), contract), other.days):
                continue
            for price in prices[line.plan_version.pk]:
                if price.meter is not None and price.meter_id in theirs:
                    detail = f"the meter {price.meter.key} is billed by contract {other.number} on the same days"
                    yield FieldError(f"lines[{index}].plan", "billed_twice", detail)


def _days(line: LineDraft) -> Span:
    return line.starts_on, line.ends_on


def _cut(days: Span, contract: Contract) -> Span:
    """A line runs no longer than its contract."""
    starts_on, ends_on = days
    ends = [day for day in (ends_on, contract.ends_on) if day is not None]
    return starts_on, min(ends) if ends else None


def _overlap(one: Span, other: Span) -> bool:
    return (one[1] is None or other[0] < one[1]) and (other[1] is None or one[0] < other[1])
