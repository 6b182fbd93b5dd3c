"""Part of a period, part of an amount: day counts, and the credit and charge of a change of price.

Half-open local days unless told otherwise: the first day of use counts, the day after the last does not. A
share stays an exact fraction until the amount is rounded.
"""

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from catalog.money import ZERO, Rounding, exact_arithmetic, rounded
from catalog.periods import Period, as_utc, local_date

Proration = Literal["days", "utc_days", "seconds", "fixed_months"]
MonthCount = Literal["month_actual", "month_30_actual_days", "month_30_360"]
NetRounding = Literal["sum_of_rounded", "rounded_difference"]


@dataclass(frozen=True, slots=True)
class Share:
    """How much of a whole was used; kept unreduced, as "15 of 31 days" reads."""

    numerator: Decimal
    denominator: Decimal

    def __post_init__(self) -> None:
        if self.denominator <= 0:
            raise ValueError("a share is of something longer than nothing")

    @property
    def ratio(self) -> Fraction:
        return Fraction(self.numerator) / Fraction(self.denominator)


@dataclass(frozen=True, slots=True)
class Change:
    """What a change inside a period gives back (zero or less) and charges, and the two together."""

    credit: Decimal
    charge: Decimal
    net: Decimal


def days_between(start: datetime, end: datetime, zone: tzinfo) -> int:
    """The difference of the local dates; below zero where the end comes first."""
    return (local_date(end, zone) - local_date(start, zone)).days


def share_of_period(
    service_start: datetime,
    service_end: datetime,
    period_start: datetime,
    period_end: datetime,
    zone: tzinfo,
    method: Literal["days", "seconds"] = "days",
) -> Share:
    """The part of the period that was used; below zero where the use is reversed."""
    if method == "days":
        used = days_between(service_start, service_end, zone)
        return Share(Decimal(used), Decimal(days_between(period_start, period_end, zone)))
    return Share(_seconds(service_start, service_end), _seconds(period_start, period_end))


def share_of_fixed_months(service_start: datetime, service_end: datetime, zone: tzinfo, month_days: int = 30) -> Share:
    """The months that were used, where every month has `month_days` days and later days count as its last."""
    start, end = local_date(service_start, zone), local_date(service_end, zone)
    months = (end.year - start.year) * 12 + end.month - start.month
    used = months * month_days + min(end.day, month_days) - min(start.day, month_days)
    return Share(Decimal(used), Decimal(month_days))


def share_of_whole(part: Period, whole: Period, zone: tzinfo, method: Proration = "days") -> Share:
    """The part of a whole interval that was used, by the rule of the seller; "days" are local ones."""
    if method == "fixed_months":
        used = share_of_fixed_months(part.starts_at, part.ends_at, zone).numerator
        return Share(used, share_of_fixed_months(whole.starts_at, whole.ends_at, zone).numerator)
    where = UTC if method == "utc_days" else zone
    rule: Literal["days", "seconds"] = "seconds" if method == "seconds" else "days"
    return share_of_period(part.starts_at, part.ends_at, whole.starts_at, whole.ends_at, where, rule)


def share_of_month(first_day: date, last_day: date, method: MonthCount) -> Share:
    """The part of one month from its `first_day` of use to its `last_day`, both included.

    Over the days of the month, over 30, or over 30 with the last day of the month counted as day 30.
    """
    length = monthrange(last_day.year, last_day.month)[1]
    if (first_day.year, first_day.month) != (last_day.year, last_day.month):
        raise ValueError(f"{first_day} and {last_day} are not days of one month")
    first, last = (30 if method == "month_30_360" and day.day == length else day.day for day in (first_day, last_day))
    return Share(Decimal(last - first + 1), Decimal(length if method == "month_actual" else 30))


def prorate(amount: Decimal, share: Share, rounding: Rounding | None, full_periods: int = 0) -> Decimal:
    """The share of the amount, after `full_periods` times the whole; a share below zero counts as none."""
    return rounded(Fraction(amount) * (full_periods + max(share.ratio, Fraction(0))), rounding)


def change(
    old_amount: Decimal,
    new_amount: Decimal,
    remaining: Share,
    rounding: Rounding | None,
    *,
    credit_cap: Decimal | None = None,
    net_rounding: NetRounding = "sum_of_rounded",
) -> Change:
    """A switch from one full price to another with `remaining` of the period to go.

    The credit never exceeds `credit_cap`, what was billed. The net is the sum of both as rounded, or their
    exact difference rounded.
    """
    part = max(remaining.ratio, Fraction(0))
    unused = Fraction(old_amount) * part
    if credit_cap is not None:
        unused = min(unused, Fraction(credit_cap))
    credit, charge = rounded(-unused, rounding), rounded(Fraction(new_amount) * part, rounding)
    if net_rounding == "rounded_difference":
        return Change(credit, charge, rounded(Fraction(new_amount) * part - unused, rounding))
    with exact_arithmetic():
        return Change(credit, charge, credit + charge)


def capped_credit(potential: Decimal, original: Decimal, previous: Decimal) -> Decimal:
    """A credit of at most what is left of the original amount after previous credits, never below zero."""
    with exact_arithmetic():
        return max(ZERO, min(potential, original - previous))


def _seconds(start: datetime, end: datetime) -> Decimal:
    length = as_utc(end) - as_utc(start)
    return Decimal(length.days * 86_400 + length.seconds) + Decimal(length.microseconds).scaleb(-6)
