"""What rolled over into a period, folded over all periods of the contract before it. Pure.

Nothing of it is kept: late use of a period long gone changes what is left today.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from billing.rating.allowance import Lots, rolled_over
from catalog.money import exact_sum
from catalog.periods import Period, local_date
from contracts.agreement import Agreement
from contracts.entitled import EntitlementTerms, Rollover, all_together, extra_units

INSTANT = dt.timedelta(microseconds=1)

Agreed = Sequence[tuple[int, Agreement]]
"""The contracts of a customer that count, by id."""


@dataclass(frozen=True, slots=True)
class Granted:
    """A feature at an instant: what all contracts of a customer give together, and which of them leads."""

    contract_id: int
    lead: Agreement
    terms: EntitlementTerms


@dataclass(frozen=True, slots=True)
class Past:
    """A period before the one that is asked for."""

    period: Period
    meter_id: int
    own: Decimal | None
    rollover: Rollover | None


def granted(agreed: Agreed, feature: str, at: dt.datetime) -> Granted | None:
    """What a customer may use of a feature at an instant; None: nothing was agreed."""
    found = [(pk, one, terms) for pk, one in agreed if (terms := one.entitlements(at).get(feature)) is not None]
    if not found:
        return None
    pk, lead, _ = found[0]
    return Granted(pk, lead, all_together([terms for _, _, terms in found]))


def own_allowance(agreed: Agreed, given: Granted, period: Period, at: dt.datetime) -> Decimal | None:
    """Limit and extra units of a period, as agreed at an instant of it, without what rolled over."""
    if given.terms.limit is None:
        return None
    parts = [given.terms.limit]
    for _, one in agreed:
        first, day = local_date(period.starts_at, one.zone), local_date(at, one.zone)
        parts.append(extra_units(given.terms.feature, first, day, one.allowances))
    return exact_sum(parts)


def earlier(agreed: Agreed, given: Granted, period: Period) -> list[Past]:
    """The periods of the leading contract before this one from which something may have rolled over, in order."""
    feature, lead = given.terms.feature, given.lead
    found: list[Past] = []
    begins = lead.starts_at
    while begins < period.starts_at:
        past = lead.allowance_period(given.terms, begins)
        last = past.ends_at - INSTANT
        then = granted(agreed, feature, last)
        if then is None or then.terms.rollover is None or then.terms.meter_id is None:
            found = []
        else:
            own = own_allowance(agreed, then, past, last)
            found.append(Past(past, then.terms.meter_id, own, then.terms.rollover))
        begins = past.ends_at
    return found


def carried(pasts: Sequence[Past], used: Mapping[Period, Decimal]) -> Decimal:
    """What rolled over into the period after these."""
    lots: Lots = ()
    for past in pasts:
        lots = rolled_over(lots, past.own, used[past.period], past.rollover)
    return exact_sum(lots)
