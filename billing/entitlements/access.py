"""May this customer do this now? Allowances, what was used of them, and what is left.

Reads what was agreed from memory while nothing of it changes, and what was used from buckets: an answer costs the same
however many features the customer has and however many events it sent, and is right at once after each of them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from billing.agreed import Agreements, agreements_of, agreements_of_key
from billing.entitlements.rollover import Agreed, Granted, Past, carried, earlier, granted, own_allowance
from billing.metering.usage import Ask, measure
from catalog.money import ZERO, exact_arithmetic, exact_sum
from catalog.periods import Period
from contracts.agreement import Agreement
from contracts.entitled import EntitlementTerms


@dataclass(frozen=True, slots=True)
class Standing:
    """How a customer stands with a feature at an instant.

    `limit` includes what rolled over; None: as much as they like. What is not counted has no period and no use.
    `contract_id` is the contract that leads where several give the feature; `clock` is when the use was read.
    """

    customer_id: int
    contract_id: int
    terms: EntitlementTerms
    zone: ZoneInfo
    period: Period | None = None
    limit: Decimal | None = None
    used: Decimal | None = None
    clock: int = 0

    @property
    def has_access(self) -> bool:
        if self.terms.kind == "boolean":
            return self.terms.value is not False
        if self.limit is None or self.used is None:
            return True
        return self.terms.on_limit != "restrict" or self.used < self.limit

    @property
    def remaining(self) -> Decimal | None:
        return None if self.limit is None or self.used is None else max(ZERO, exact_sum([self.limit, -self.used]))

    @property
    def overage(self) -> Decimal | None:
        if self.used is None:
            return None
        return ZERO if self.limit is None else max(ZERO, exact_sum([self.used, -self.limit]))

    @property
    def percent(self) -> Decimal | None:
        """How much of the limit is used; where that is zero and something is used, all of it and more."""
        if self.limit is None or self.used is None:
            return None
        if not self.limit:
            return Decimal(1000) if self.used > 0 else ZERO
        return self.used * 100 / self.limit

    def has_reached(self, threshold: int) -> bool:
        if self.limit is None or self.used is None or self.used <= 0:
            return False
        with exact_arithmetic():
            return self.used * 100 >= self.limit * threshold


def access(customer: str, feature: str, at: dt.datetime) -> Standing | None:
    """How a customer stands with a feature now; None: nothing was agreed. Raises UnknownCustomer."""
    found = standings([_known(customer)], at, feature)
    return found[0] if found else None


def all_access(customer: str, at: dt.datetime) -> list[Standing]:
    """The same for every feature that the customer has, by feature. Raises UnknownCustomer."""
    return standings([_known(customer)], at)


class UnknownCustomer(Exception):
    """There is no customer of this key."""


def _known(customer: str) -> tuple[int, Agreed]:
    known = agreements_of_key(customer)
    if known is None:
        raise UnknownCustomer(customer)
    return known[0], readable(known[1])


def agreed_by(customers: Iterable[int]) -> list[tuple[int, Agreed]]:
    """What customers (ids) have agreed to, as far as it can be read."""
    return [(pk, readable(found)) for pk, found in agreements_of(customers).items()]


def readable(found: Agreements) -> Agreed:
    contracts, read = found
    return [(one.pk, said) for one in contracts if isinstance(said := read[one.pk], Agreement)]


@dataclass(frozen=True, slots=True)
class Question:
    """A feature of a customer in one period, as agreed at an instant of it."""

    customer_id: int
    agreed: Agreed
    given: Granted
    period: Period | None
    own: Decimal | None

    def ask(self) -> Ask | None:
        meter = self.given.terms.meter_id
        if meter is None or self.period is None:
            return None
        return Ask(self.customer_id, meter, self.period, adds_up=self.given.terms.adds_up)

    def pasts(self) -> list[Past]:
        """The earlier periods from which something may have rolled over."""
        if self.own is None or self.period is None or self.given.terms.rollover is None:
            return []
        return earlier(self.agreed, self.given, self.period)


def question(customer_id: int, agreed: Agreed, feature: str, at: dt.datetime) -> Question | None:
    given = granted(agreed, feature, at)
    if given is None:
        return None
    if given.terms.meter_id is None:
        return Question(customer_id, agreed, given, None, None)
    period = given.lead.allowance_period(given.terms, at)
    return Question(customer_id, agreed, given, period, own_allowance(agreed, given, period, at))


def standings(known: Sequence[tuple[int, Agreed]], at: dt.datetime, feature: str | None = None) -> list[Standing]:
    """How customers stand at an instant, with one feature or all; in the order of customers and features."""
    asked = []
    for customer_id, agreed in known:
        features = sorted({key for _, one in agreed for key in one.entitlements(at)}) if feature is None else [feature]
        asked += [one for name in features if (one := question(customer_id, agreed, name, at)) is not None]
    return answered(asked)


def answered(questions: Sequence[Question], with_rollover: bool = True) -> list[Standing]:
    """The standing of each question, in one query for all that buckets answer."""
    pasts = [one.pasts() if with_rollover else [] for one in questions]
    asks = {ask for one in questions if (ask := one.ask()) is not None}
    asks |= {_ask(one, past) for one, earlier_ones in zip(questions, pasts, strict=True) for past in earlier_ones}
    measured = measure(list(asks))
    found = []
    for one, before in zip(questions, pasts, strict=True):
        ask, limit = one.ask(), one.own
        about: dict[str, Any] = {}
        if ask is not None:
            if limit is not None:
                used = {past.period: measured[_ask(one, past)].quantity for past in before}
                limit = exact_sum([limit, carried(before, used)])
            reading = measured[ask]
            about = {"period": one.period, "limit": limit, "used": reading.quantity, "clock": reading.clock}
        given = one.given
        found.append(Standing(one.customer_id, given.contract_id, given.terms, given.lead.zone, **about))
    return found


def _ask(one: Question, past: Past) -> Ask:
    terms = one.given.terms
    same = past.meter_id == terms.meter_id
    return Ask(one.customer_id, past.meter_id, past.period, adds_up=same and terms.adds_up)
