"""Commitments: what a promised amount adds to charges, what a limit takes off, and what use beyond a promise costs.

Everything takes charges that were priced before, and is exact until it is rounded once. Our rule for a minimum
rounds its prorated amount, the one that is printed, and the true-up; the other stages are what customers bring
from elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from billing.rating.discounts import Spread, spread_over
from billing.rating.proration import Share
from catalog.money import ONE, ZERO, Rounding, decimal_of, exact_arithmetic, exact_sum, rounded

RoundStage = Literal["minimum", "charges", "true_up"]


@dataclass(frozen=True, slots=True)
class TrueUp:
    """The minimum for the stretch of time it holds, and what is missing from it; never below zero."""

    minimum: Decimal
    amount: Decimal


def true_up(
    minimum: Decimal,
    charges: Iterable[Decimal],
    rounding: Rounding | None,
    *,
    share: Share | None = None,
    round_stage: RoundStage = "minimum",
) -> TrueUp:
    """What lifts the charges to the minimum, or to its share of the period.

    `round_stage` says what is rounded before subtracting: the prorated minimum, each of the charges, or nothing.
    The true-up itself is always rounded.
    """
    part = Fraction(1) if share is None else max(share.ratio, Fraction(0))
    owed = Fraction(minimum) * part
    if round_stage == "minimum":
        owed = Fraction(rounded(owed, rounding))
    if round_stage == "charges":
        charges = [rounded(Fraction(charge), rounding) for charge in charges]
    missing = max(owed - Fraction(exact_sum(charges)), Fraction(0))
    return TrueUp(decimal_of(owed), rounded(missing, rounding))


@dataclass(frozen=True, slots=True)
class SpendLimits:
    """What a period's spend is held between, and a percentage that comes off before."""

    minimum: Decimal | None = None
    maximum: Decimal | None = None
    percent_discount: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class LimitedSpend:
    """One line of a period: total = gross - discount - maximum_discount + minimum_true_up."""

    gross: Decimal
    discount: Decimal
    maximum_discount: Decimal
    minimum_true_up: Decimal
    total: Decimal


def limit_spend(
    gross: Decimal,
    limits: SpendLimits,
    rounding: Rounding | None,
    *,
    prior: Decimal = ZERO,
    final_line: bool = True,
) -> LimitedSpend:
    """One line of a period that may be billed in several; `prior` is the net of the lines before, before any cap.

    The percentage comes off the line; the net of the whole period so far is then capped at the maximum, and on the
    final line raised to the minimum.
    """
    with exact_arithmetic():
        discount = rounded(Fraction(gross) * Fraction(limits.percent_discount) / 100, rounding)
        net = gross - discount
        before, after = _capped(prior, limits), _capped(prior + net, limits)
        missing = ZERO
        if final_line and limits.minimum is not None:
            missing = max(ZERO, limits.minimum - after)
        line = after - before
        return LimitedSpend(gross, discount, net - line, missing, line + missing)


def _capped(spend: Decimal, limits: SpendLimits) -> Decimal:
    return spend if limits.maximum is None else min(spend, limits.maximum)


def clamped(amount: Decimal, minimum: Decimal | None, maximum: Decimal | None) -> Decimal:
    """The amount between its minimum and its maximum; the maximum has the last word."""
    raised = amount if minimum is None else max(amount, minimum)
    return raised if maximum is None else min(raised, maximum)


@dataclass(frozen=True, slots=True)
class CommittedWindow:
    """The charge of a window of time and what was promised for it (None: nothing).

    Beyond the promise a charge counts `overage_factor` times; with `true_up` the promise is due in any case.
    """

    charge: Decimal
    commitment: Decimal | None
    overage_factor: Decimal = ONE
    true_up: bool = False


@dataclass(frozen=True, slots=True)
class Overage:
    """What windows cost: total = utilized + overage + true_up."""

    per_window: tuple[Decimal, ...]
    utilized: Decimal
    overage: Decimal
    true_up: Decimal
    total: Decimal


def overage(windows: Sequence[CommittedWindow], rounding: Rounding | None = None) -> Overage:
    """The charges of windows against what was promised for each; every part is rounded once, over all windows."""
    with exact_arithmetic():
        found = [_parts(window) for window in windows]
        utilized, beyond, missing = (
            rounded(exact_sum(parts[place] for parts in found), rounding) for place in range(3)
        )
        per_window = tuple(exact_sum(parts) for parts in found)
        return Overage(per_window, utilized, beyond, missing, utilized + beyond + missing)


def _parts(window: CommittedWindow) -> tuple[Decimal, Decimal, Decimal]:
    """What a window uses of its promise, what it costs beyond, and what is missing."""
    if window.commitment is None:
        return window.charge, ZERO, ZERO
    used = min(window.charge, window.commitment)
    missing = window.commitment - used if window.true_up else ZERO
    return used, (window.charge - used) * window.overage_factor, missing


@dataclass(frozen=True, slots=True)
class CumulativeOverage:
    """The charges of one invoice against what is left of a commitment; total = covered + overage."""

    covered: Decimal
    overage: Decimal
    total: Decimal
    allocations: tuple[Decimal, ...]  # what the commitment covers of each charge


def cumulative_overage(
    commitment: Decimal,
    prior_usage: Decimal,
    charges: Sequence[Decimal],
    overage_factor: Decimal,
    rounding: Rounding | None,
    *,
    spread: Spread = "largest_remainder",
) -> CumulativeOverage:
    """Charges against a commitment that invoices use up together: what is over counts `overage_factor` times.

    What is covered is spread over the charges in proportion; "proportional" rounds each share by itself.
    """
    with exact_arithmetic():
        spent = exact_sum(charges)
        covered = max(ZERO, min(spent, commitment - prior_usage))
        over = rounded(Fraction(spent - covered) * Fraction(overage_factor), rounding)
        allocations = tuple(spread_over(charges, covered, rounding, spread=spread, share_rounding=rounding))
        return CumulativeOverage(covered, over, covered + over, allocations)


@dataclass(frozen=True, slots=True)
class Expiry:
    """A prepaid amount at its end: what was not consumed is gone, and nothing remains."""

    expired: Decimal
    remaining: Decimal


def expire(prepaid: Decimal, consumed: Decimal) -> Expiry:
    with exact_arithmetic():
        return Expiry(max(ZERO, prepaid - consumed), ZERO)
