"""The tax of what is due for a period, and the net of prices that have it in them. Pure.

An entry and what reduces it are taxed together, as one group: discounts lower the tax with the price. What is due of a
rate for a group, less what documents that stand claim of it, is what a document still has to take.

Where a seller rounds by the line, or by each of its rates, the tax of a group is rounded by itself and depends on
nothing else. By the invoice, what is rounded is the exact tax of all that is due for the period; the rates, and then
the groups, get parts next to their own exact ones (largest remainder). So that a late event does not move a cent from
one old line to another, a group whose value and rates are as they were billed keeps the tax it has, and only those on
the document share what is left: the rounded tax of the period less all that is claimed for it. Whatever the order of
events, runs and voids, the taxes of a period's lines thus add up to its exact tax rounded once. A document with prices
in advance is of two periods, so it has the sum of two such taxes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from billing.rating.charges import Step
from billing.rating.claims import Claims, RateKey, Tax, sum_of_taxes
from billing.rating.entries import Entry
from billing.rating.taxes import LineTax, rate_factors, tax_of
from catalog.money import ZERO, exact_arithmetic, exact_sum, money_rounding, quantity_text, round_money, split_near
from contracts.tax_terms import RateTerms, TaxTerms


def without_tax(entries: Iterable[Entry], terms: TaxTerms, currency: str) -> Iterator[Entry]:
    """The entries with what is in their prices of tax taken out; what each came to with it is kept as its `gross`.

    The net of a group is its price less the tax in it, rounded. Every reduction is what it changes of that net, so
    that the entry itself stays as it was billed when a reduction comes later.
    """
    gross: dict[str, Decimal] = defaultdict(Decimal)
    for entry in entries:
        if not entry.with_tax:
            yield entry
            continue
        rates = terms.of(entry.tax_category)
        with exact_arithmetic():
            before = gross[entry.tax_key]
            after = gross[entry.tax_key] = before + entry.amount
            net = _tax_in(after, rates, terms, currency).net - _tax_in(before, rates, terms, currency).net
        yield _as_net(replace(entry, gross=entry.amount), net, f"less the tax in it: {_spoken(rates)}")


def _as_net(entry: Entry, net: Decimal, said: str) -> Entry:
    if net == entry.amount:
        return entry
    return replace(entry, amount=net, steps=(*entry.steps, Step(said, None, None, net - entry.amount)))


def _spoken(rates: Sequence[RateTerms]) -> str:
    return " and ".join(f"{quantity_text(rate.percent)} % {rate.code}" for rate in rates)


@lru_cache(maxsize=1_000)
def _factors(rates: tuple[RateTerms, ...]) -> list[Fraction]:
    return rate_factors([rate.percent for rate in rates], [rate.compound for rate in rates])


def _tax_in(gross: Decimal, rates: tuple[RateTerms, ...], terms: TaxTerms, currency: str) -> LineTax:
    return _rounded(gross, rates, terms, currency, with_tax=True)


def _rounded(
    amount: Decimal, rates: tuple[RateTerms, ...], terms: TaxTerms, currency: str, *, with_tax: bool
) -> LineTax:
    return tax_of(
        amount,
        _factors(rates),
        money_rounding(currency),
        behavior="inclusive" if with_tax else "exclusive",
        round_per="rate" if terms.rounding == "rate" else "line",
    )


@dataclass(slots=True)
class Group:
    """An entry with what reduces it: its value, the tax on it, and both as they are claimed."""

    entries: list[Entry]
    rates: tuple[RateTerms, ...]
    has_tax_in_it: bool
    value: Decimal
    claimed_value: Decimal
    exact: dict[RateKey, Fraction]
    claimed: dict[RateKey, Tax]
    amounts: dict[RateKey, Decimal] = field(default_factory=dict)
    """What is due of each rate, rounded."""

    def open_amount(self, key: RateKey) -> Decimal:
        return self.amounts.get(key, ZERO) - self.claimed_amount(key)

    def claimed_amount(self, key: RateKey) -> Decimal:
        return self.claimed[key].amount if key in self.claimed else ZERO

    def exact_left(self, key: RateKey) -> Fraction:
        return self.exact.get(key, Fraction(0)) - Fraction(self.claimed_amount(key))

    def has(self, key: RateKey) -> bool:
        return key in self.exact or key in self.claimed

    @property
    def has_changed(self) -> bool:
        """Whether its value or its rates are not those that are claimed."""
        gone = any(key not in self.exact and (tax.base or tax.amount) for key, tax in self.claimed.items())
        new = bool(self.value) and any(key not in self.claimed for key in self.exact)
        return self.value != self.claimed_value or gone or new


def groups_of(entries: Sequence[Entry], claims: Claims, terms: TaxTerms, currency: str) -> dict[str, Group]:
    """The groups of a period by their key, with what is due of each rate.

    `entries` are those of the period, and with nothing due those that are claimed but are not among them any more.
    """
    members: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        members[entry.tax_key].append(entry)
    groups = {key: _group(found, claims, terms, currency) for key, found in members.items()}
    if terms.rounding == "invoice":
        _share_for_the_invoice(list(groups.values()), currency)
    return groups


def _group(entries: list[Entry], claims: Claims, terms: TaxTerms, currency: str) -> Group:
    first = entries[0]
    rates = terms.charged(first.tax_category)
    has_tax_in_it = first.with_tax and not terms.relief
    value = exact_sum(entry.gross if has_tax_in_it and entry.gross is not None else entry.amount for entry in entries)
    claimed = [claims[entry.key] for entry in entries if entry.key in claims]
    taken = [claim.amount + (claim.tax if has_tax_in_it and claim.entry.with_tax else ZERO) for claim in claimed]
    tax = _rounded(value, rates, terms, currency, with_tax=has_tax_in_it)
    keys = [(rate.code, rate.percent) for rate in rates]
    return Group(
        entries=entries,
        rates=rates,
        has_tax_in_it=has_tax_in_it,
        value=value,
        claimed_value=exact_sum(taken),
        exact=dict(zip(keys, tax.exact, strict=True)),
        claimed=sum_of_taxes(one for claim in claimed for one in claim.taxes.values()),
        amounts=dict(zip(keys, tax.by_rate, strict=True)),
    )


def _share_for_the_invoice(groups: Sequence[Group], currency: str) -> None:
    """Round the tax of the period once, and let the groups that have changed share what is not claimed of it."""
    places = money_rounding(currency).places
    exact: dict[RateKey, Fraction] = defaultdict(Fraction)
    for group in groups:
        for key in group.exact | group.claimed:
            exact[key] += group.exact.get(key, Fraction(0))
        group.amounts = {key: tax.amount for key, tax in group.claimed.items()}
    if not exact:
        return
    whole = round_money(sum(exact.values(), Fraction(0)), currency)
    for key, wanted in zip(exact, split_near(whole, list(exact.values()), places), strict=True):
        having = [group for group in groups if group.has(key)]
        left = wanted - exact_sum(group.claimed_amount(key) for group in having)
        sharing = [group for group in having if group.has_changed]
        if not sharing and left:
            sharing = [max(having, key=lambda group: abs(group.exact_left(key)))]
        if sharing:
            parts = split_near(left, [group.exact_left(key) for group in sharing], places)
            for group, part in zip(sharing, parts, strict=True):
                group.amounts[key] = group.claimed_amount(key) + part
    for group in groups:
        _take_out(group)


def _take_out(group: Group) -> None:
    """Let the net of a price with tax be what the tax it got leaves of it."""
    if group.has_tax_in_it:
        left = group.value - exact_sum(group.amounts.values()) - exact_sum(entry.amount for entry in group.entries)
        first, *others = group.entries
        group.entries = [_as_net(first, first.amount + left, "rounding of the invoice's tax"), *others]
