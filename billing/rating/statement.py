"""The spine: what is due for one billing period, as entries that explain themselves. Pure.

    statement(terms, usage, opening) -> Statement     a whole period
    advance(terms, opening) -> Statement              only what is billed before the period is over

An invoice is the statement of a closed period minus what is already billed for it; a preview is the statement of the
open one. `opening` is what crosses periods, as the closing of the period before left it: annual spend so far, what a
discount with a total has taken off, what of a grant is spent, what of an allowance rolled over.

Order: entries, line discounts, commitments, discounts on the whole period, promotional credit. Prices with tax are
worked out with it; at the end it is taken out, so that every amount is before tax.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from billing.rating.committed import charged_ahead, settled
from billing.rating.entries import Entry, Priced, Usage, one_time, priced
from billing.rating.included import with_allowances
from billing.rating.reductions import Carried, Remainder, discounts, promotional_credit
from billing.rating.taxing import without_tax
from catalog.periods import Period
from contracts.terms import Terms

NOTHING: Carried = {}


@dataclass(frozen=True, slots=True)
class Statement:
    """All that is due for a period, before tax, and what it leaves to the next one.

    The order of entries is that of the lines of the contract, then dated amounts, then what lowers or lifts them.
    """

    period: Period
    currency: str
    entries: tuple[Entry, ...]
    closing: Carried = field(default_factory=dict)


def statement(terms: Terms, usage: Usage, opening: Carried = NOTHING) -> Statement:
    """All that is due for the period. `usage` answers all of `needs(terms)`."""
    terms, opening = with_allowances(terms, usage, opening)
    made = [one for segment in terms.segments if (one := priced(terms, segment, usage)) is not None]
    dated = [one_time(terms, term) for term in terms.one_time]
    remainder, entries = _begin(terms, made, [*dated, *charged_ahead(terms)], opening)
    by_key = {one.entry.key: one for one in made}
    entries += discounts(remainder, [one for one in terms.discounts if one.applies_to], by_key)
    entries += settled(remainder, by_key)
    entries += discounts(remainder, [one for one in terms.discounts if not one.applies_to], by_key)
    entries += promotional_credit(remainder, terms.grants)
    net = without_tax(entries, terms.tax, terms.currency)
    return Statement(terms.period, terms.currency, tuple(net), remainder.closing)


def advance(terms: Terms, opening: Carried = NOTHING) -> Statement:
    """What is due when the period begins: prices in advance, prepaid spend, one-time terms dated on its first day.

    Discounts on named prices and promotional credit come with them; all else waits for the period's close.
    """
    segments = (segment for segment in terms.segments if segment.price.in_advance)
    made = [one for segment in segments if (one := priced(terms, segment, {})) is not None]
    dated = [one_time(terms, term) for term in terms.one_time if terms.starts_on(term.on)]
    remainder, entries = _begin(terms, made, [*dated, *charged_ahead(terms)], opening)
    named = [one for one in terms.discounts if one.applies_to]
    entries += discounts(remainder, named, {one.entry.key: one for one in made})
    entries += promotional_credit(remainder, terms.grants)
    return Statement(terms.period, terms.currency, tuple(without_tax(entries, terms.tax, terms.currency)))


def _begin(
    terms: Terms, made: Sequence[Priced], others: Sequence[Entry], opening: Carried
) -> tuple[Remainder, list[Entry]]:
    entries = [*(one.entry for one in made), *others]
    return Remainder(terms, entries, opening), entries
