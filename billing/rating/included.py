"""Free units that are an entitlement's: the allowance of the period, with what rolled over. Pure.

The allowance is one for the whole period, as whoever asks for it is told: where several prices of a feature follow each
other, what the earlier one has used the later one does not have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from billing.rating.allowance import Lots, rolled_over
from billing.rating.entries import Usage, needs_of
from billing.rating.reductions import Carried
from catalog.money import ZERO, exact_arithmetic, exact_sum
from contracts.terms import Allowance, Segment, Terms


def with_allowances(terms: Terms, usage: Usage, opening: Carried) -> tuple[Terms, Carried]:
    """The terms with these free units filled in, and what is carried on, each allowance as the period leaves it."""
    if not terms.allowances:
        return terms, opening
    filled: dict[int, Segment] = {}
    carried = {key: amount for key, amount in opening.items() if not key.startswith(PREFIX)}
    for allowance in terms.allowances:
        lots = _lots(opening, allowance)
        used = _fill(terms, usage, allowance, lots, filled)
        left = rolled_over(lots, allowance.own, used, allowance.rollover)
        carried |= {_key(allowance, place): lot for place, lot in enumerate(left, 1) if lot}
    segments = tuple(filled.get(index, segment) for index, segment in enumerate(terms.segments))
    return replace(terms, segments=segments), carried


PREFIX = "allowance/"


def _fill(terms: Terms, usage: Usage, allowance: Allowance, lots: Lots, filled: dict[int, Segment]) -> Decimal:
    """Give each price of the feature, in the order of time, what is left of the allowance. Returns what was used."""
    used = ZERO
    theirs = [(index, one) for index, one in enumerate(terms.segments) if one.price.entitlement == allowance.feature]
    for index, segment in sorted(theirs, key=lambda found: found[1].service.starts_at):
        quantity = usage[next(needs_of(terms, segment))].quantity
        with exact_arithmetic():
            left = quantity if allowance.own is None else allowance.own + exact_sum(lots) - used
            rule = replace(segment.price.rule, included_units=max(ZERO, left))
            used += quantity
        filled[index] = replace(segment, price=replace(segment.price, rule=rule))
    return used


def _lots(opening: Mapping[str, Decimal], allowance: Allowance) -> Lots:
    """What rolled over, as the period before left it."""
    start = f"{PREFIX}{allowance.feature}/"
    found = {int(key.removeprefix(start)): amount for key, amount in opening.items() if key.startswith(start)}
    return tuple(found.get(place, ZERO) for place in range(1, max(found, default=0) + 1))


def _key(allowance: Allowance, place: int) -> str:
    return f"{PREFIX}{allowance.feature}/{place}"
