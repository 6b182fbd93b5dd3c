"""Tax of lines: exclusive tax is added to the base, inclusive tax is taken out of it.

Our rule: the rates of a line add up, its tax is rounded once, the taxes of the lines are summed; inclusive
tax rounds the tax and leaves the rest as net. The other policies are settings of a seller.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from catalog.money import ZERO, Rounding, decimal_of, decimals, exact_arithmetic, exact_sum, rounded, split

Behavior = Literal["exclusive", "inclusive"]
RoundPer = Literal["line", "rate", "line_then_total_of_unrounded"]
InclusiveRounding = Literal["tax", "net"]


@dataclass(frozen=True, slots=True)
class TaxableLine:
    """The base is the amount less the discount; `rates` are percentages."""

    amount: Decimal
    rates: tuple[Decimal, ...]
    discount: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Taxed:
    """Taxes per line, and per line and rate; the net is before tax, the total is what is to be paid."""

    line_taxes: tuple[Decimal, ...]
    rate_taxes: tuple[tuple[Decimal, ...], ...]
    tax_total: Decimal
    net_total: Decimal
    total: Decimal


@dataclass(frozen=True, slots=True)
class LineTax:
    """The tax of one amount: net, tax and its parts by rate, rounded, and those parts as they are exactly."""

    net: Decimal
    tax: Decimal
    by_rate: tuple[Decimal, ...]
    exact: tuple[Fraction, ...]


def tax_lines(
    lines: Sequence[TaxableLine],
    rounding: Rounding | None,
    *,
    behavior: Behavior = "exclusive",
    round_per: RoundPer = "line",
    compound: bool = False,
    inclusive_rounding: InclusiveRounding = "tax",
    exempt: bool = False,
) -> Taxed:
    """The tax of the lines.

    `compound`: each rate is taken of the base with the taxes before it. `round_per` "rate" rounds every
    rate of every line; "line_then_total_of_unrounded" shows line taxes rounded and rounds the exact sum for
    the total. `exempt`: no tax, and an inclusive price drops to its net.
    """
    taxed = [_tax_line(line, rounding, behavior, round_per, compound, inclusive_rounding, exempt) for line in lines]
    tax_total = exact_sum(line.tax for line in taxed)
    if round_per == "line_then_total_of_unrounded" and not exempt:
        tax_total = rounded(sum((sum(line.exact, Fraction(0)) for line in taxed), Fraction(0)), rounding)
    with exact_arithmetic():
        if behavior == "inclusive" and not exempt:
            total = exact_sum(line.amount - line.discount for line in lines)
            net_total = total - tax_total
        else:
            net_total = exact_sum(line.net for line in taxed)
            total = net_total + tax_total
    return Taxed(
        tuple(line.tax for line in taxed),
        tuple(line.by_rate for line in taxed),
        tax_total,
        net_total,
        total,
    )


def _tax_line(
    line: TaxableLine,
    rounding: Rounding | None,
    behavior: Behavior,
    round_per: RoundPer,
    compound: bool,
    inclusive_rounding: InclusiveRounding,
    exempt: bool,
) -> LineTax:
    with exact_arithmetic():
        base = line.amount - line.discount
    found = tax_of(
        base,
        rate_factors(line.rates, [compound for _ in line.rates]),
        rounding,
        behavior=behavior,
        round_per=round_per,
        inclusive_rounding=inclusive_rounding,
    )
    if exempt:
        return LineTax(found.net, ZERO, tuple(ZERO for _ in found.by_rate), (Fraction(0),))
    return found


def tax_of(
    base: Decimal,
    factors: Sequence[Fraction],
    rounding: Rounding | None,
    *,
    behavior: Behavior = "exclusive",
    round_per: RoundPer = "line",
    inclusive_rounding: InclusiveRounding = "tax",
) -> LineTax:
    """The tax on, or in, one amount. `factors` are those of `rate_factors`."""
    exact = [Fraction(base) * factor for factor in factors]
    if behavior == "inclusive":
        whole = 1 + sum(factors, Fraction(0))
        exact = [part / whole for part in exact]
    total = exact[0] if len(exact) == 1 else sum(exact, Fraction(0))
    if behavior == "inclusive" and inclusive_rounding == "net":
        with exact_arithmetic():
            tax = base - rounded(Fraction(base) - total, rounding)
        shares = _split_tax(tax, exact, rounding)
    elif round_per == "rate":
        shares = [rounded(share, rounding) for share in exact]
        tax = exact_sum(shares)
    else:
        tax = rounded(total, rounding)
        shares = _split_tax(tax, exact, rounding)
    with exact_arithmetic():
        net = base - tax if behavior == "inclusive" else base
    return LineTax(net, tax, tuple(shares), tuple(exact))


def rate_factors(rates: Sequence[Decimal], compound: Sequence[bool]) -> list[Fraction]:
    """What each rate in percent adds to a base of one; a compound one is taken on it with the taxes before."""
    factors: list[Fraction] = []
    for rate, on_taxes in zip(rates, compound, strict=True):
        gross = 1 + sum(factors, Fraction(0)) if on_taxes else Fraction(1)
        factors.append(gross * Fraction(rate) / 100)
    return factors


def _split_tax(tax: Decimal, by_rate: Sequence[Fraction], rounding: Rounding | None) -> list[Decimal]:
    """The tax of a line as the parts of its rates; where it is rounded, so that they sum back."""
    if not tax or not any(by_rate):
        return [ZERO for _ in by_rate]
    if len(by_rate) == 1:
        return [tax]
    if rounding is None:
        return [decimal_of(part) for part in by_rate]
    return split(tax, [decimal_of(abs(part)) for part in by_rate], max(rounding.places, decimals(tax)))
