"""What is left of an allowance and rolls over. Pure.

Units that rolled over are used first, those that are lost soonest before others. At the end of a period a share of what
is left of its own allowance joins them; each lot stays for its number of periods and never rolls over again. Where a
cap bounds them, the lots that last longest stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from catalog.money import ZERO, exact_arithmetic, exact_sum
from contracts.entitled import Rollover

Lots = tuple[Decimal, ...]
"""Units that rolled over: the first are lost at the end of the period they are for, the next one period later."""


def rolled_over(lots: Lots, own: Decimal | None, used: Decimal, rollover: Rollover | None) -> Lots:
    """What a period leaves to the next one. `own` is its allowance without the lots; None: as much as they like."""
    if rollover is None:
        return ()
    with exact_arithmetic():
        left, needed = _drawn(lots, used if own is not None else ZERO)
        fresh = ZERO if own is None else max(ZERO, own - needed) * rollover.percent / 100
        kept = [*left[1:], *[ZERO] * rollover.periods]
        stay = [*kept[: rollover.periods - 1], exact_sum(kept[rollover.periods - 1 :]) + fresh]
        return _capped(stay, rollover.cap)


def _drawn(lots: Sequence[Decimal], used: Decimal) -> tuple[list[Decimal], Decimal]:
    """The lots after use, and what of the use they did not cover."""
    needed = max(ZERO, used)
    left = []
    for lot in lots:
        taken = min(lot, needed)
        left.append(lot - taken)
        needed -= taken
    return left, needed


def _capped(lots: Sequence[Decimal], cap: Decimal | None) -> Lots:
    if cap is None:
        return tuple(lots)
    stay: list[Decimal] = []
    room = cap
    for lot in reversed(lots):
        stay.append(min(lot, room))
        room -= stay[-1]
    return tuple(reversed(stay))
