"""The spine: what is due for one billing period, as entries that explain themselves. Pure.

    statement(terms, usage) -> Statement          a whole period
    advance(terms) -> Statement                   only what is billed before the period is over

An invoice is the statement of a closed period minus what is already billed for it; a preview is the statement of the
open one. Each entry has a key that stays the same when the period is rated again, and an amount before tax, rounded
once. A discount is an entry of its own that names the price it reduces; tax is taken on an entry's net (`tax_key`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from billing.rating.charges import Charge, Step, charge, charge_events, charge_windows
from billing.rating.discounts import DiscountableLine, LineDiscount, apply_discounts
from billing.rating.event_prices import PricedEvent
from billing.rating.parts import spoken
from catalog.money import decimal_of, money_rounding, round_money
from catalog.periods import Period, local_date, local_days
from catalog.selection import EVERYTHING, Selection
from contracts.terms import DiscountTerms, MeterTerms, OneTimeTerms, PriceTerms, Segment, Terms

EntryKind = Literal["recurring", "usage", "one_time", "discount"]


@dataclass(frozen=True, slots=True)
class Need:
    """What a price asks of a meter: a stretch of time, and which of its use in which pieces.

    `zone` is where its windows are local; None where there are none.
    """

    meter_id: int
    period: Period
    selection: Selection = EVERYTHING
    zone: tzinfo | None = None


@dataclass(frozen=True, slots=True)
class Measure:
    """What a meter says, and the usage clock at which it was read.

    `windows` are the quantities of the windows asked for, in order; `events` the single events.
    """

    quantity: Decimal
    clock: int
    windows: tuple[Decimal, ...] = ()
    events: tuple[PricedEvent, ...] = ()


Usage = Mapping[Need, Measure]


@dataclass(frozen=True, slots=True)
class Entry:
    """One amount due for a period. `key` is unique in the contract's period."""

    key: str
    kind: EntryKind
    tax_key: str
    price: str
    meter: str
    term: str
    line: str
    description: str
    unit: str
    quantity: Decimal
    amount: Decimal
    service: Period
    in_advance: bool
    clock: int | None
    steps: tuple[Step, ...]
    selection: Selection = EVERYTHING


@dataclass(frozen=True, slots=True)
class Statement:
    """All that is due for a period, before tax. The order is that of the lines of the contract, discounts last."""

    period: Period
    currency: str
    entries: tuple[Entry, ...]


def needs(terms: Terms) -> list[Need]:
    """What a statement of these terms reads."""
    return [_need(terms, segment, segment.price.meter) for segment in terms.segments if segment.price.meter is not None]


def _need(terms: Terms, segment: Segment, meter: MeterTerms) -> Need:
    selection = segment.price.selection
    return Need(meter.id, segment.service, selection, None if selection.window is None else terms.zone)


def statement(terms: Terms, usage: Usage) -> Statement:
    """All that is due for the period. `usage` answers all of `needs(terms)`."""
    entries = [entry for segment in terms.segments if (entry := _entry(terms, segment, usage)) is not None]
    entries += [_one_time(terms, term) for term in terms.one_time]
    return Statement(terms.period, terms.currency, (*entries, *_discounts(terms, terms.discounts, entries)))


def advance(terms: Terms) -> Statement:
    """What is due when the period begins: prices in advance, and one-time terms dated on its first day.

    Discounts on named prices come with them; discounts on the whole period wait for its close.
    """
    entries = [
        entry
        for segment in terms.segments
        if segment.price.in_advance and (entry := _entry(terms, segment, {})) is not None
    ]
    entries += [_one_time(terms, term) for term in terms.one_time if terms.starts_on(term.on)]
    named = [discount for discount in terms.discounts if discount.applies_to]
    return Statement(terms.period, terms.currency, (*entries, *_discounts(terms, named, entries)))


def _entry(terms: Terms, segment: Segment, usage: Usage) -> Entry | None:
    """The entry of one price over the part of the period its line covers; None where nothing can be due."""
    price = segment.price
    if price.meter is not None:
        measure = usage[_need(terms, segment, price.meter)]
        return _priced(terms, segment, measure.quantity, _charged(terms, price, measure), measure)
    if price.kind == "one_time" and not segment.opens_line:
        return None
    quantity = segment.line.quantity
    if price.kind == "one_time" or not price.prorate:
        return _priced(terms, segment, quantity, charge(price.rule, quantity, terms.currency))
    return _priced(terms, segment, quantity, _prorated(terms, segment))


def _charged(terms: Terms, price: PriceTerms, measure: Measure) -> Charge:
    """What a price makes of use: of its total, its windows, or its single events."""
    selection = price.selection
    if selection.by_event:
        return charge_events(price.rule, measure.events, terms.currency)
    if selection.window is not None:
        return charge_windows(price.rule, measure.windows, terms.currency, combine=selection.combine)
    return charge(price.rule, measure.quantity, terms.currency)


def _prorated(terms: Terms, segment: Segment) -> Charge:
    """A recurring price for the days of the full period that the segment covers, half-open local days."""
    covered = local_days(segment.service, terms.zone)
    days = local_days(terms.whole, terms.zone)
    if covered == days:
        return charge(segment.price.rule, segment.line.quantity, terms.currency)
    full = charge(segment.price.rule, segment.line.quantity, None)
    amount = round_money(Fraction(full.amount) * Fraction(covered, days), terms.currency)
    share = Step(f"{covered} of {days} days", None, None, amount - full.amount)
    return Charge(amount, (*full.steps, share))


def _priced(
    terms: Terms, segment: Segment, quantity: Decimal, charged: Charge, measure: Measure | None = None
) -> Entry:
    line, price = segment.line, segment.price
    begins = local_date(segment.service.starts_at, terms.zone)
    key = f"{line.key}/{line.term}/{price.key}/{begins}"
    return Entry(
        key=key,
        kind=price.kind,
        tax_key=key,
        price=price.key,
        meter=price.meter.key if price.meter else "",
        term=line.term,
        line=line.key,
        description=price.description,
        unit=price.meter.unit if price.meter else "",
        quantity=quantity,
        amount=charged.amount,
        service=segment.service,
        in_advance=price.in_advance,
        clock=measure.clock if measure else None,
        steps=charged.steps,
        selection=price.selection,
    )


def _one_time(terms: Terms, term: OneTimeTerms) -> Entry:
    key = f"term/{term.key}"
    return Entry(
        key=key,
        kind="one_time",
        tax_key=key,
        price="",
        meter="",
        term=term.key,
        line="",
        description=term.description,
        unit="",
        quantity=Decimal(1),
        amount=term.amount,
        service=terms.period,
        in_advance=terms.starts_on(term.on),
        clock=None,
        steps=(Step(term.description, Decimal(1), term.amount, term.amount),),
    )


def _discounts(terms: Terms, discounts: Sequence[DiscountTerms], entries: Sequence[Entry]) -> Iterator[Entry]:
    """Line discounts first, then those on the whole period, each in its order on what is left of its entries.

    Percentages compound. A discount that covers a part of the days counts by that part. Money is spread over its
    entries by what is left of each, with the largest remainder.
    """
    left = {entry.key: entry.amount for entry in entries if entry.price and entry.amount > 0}
    for discount in sorted(discounts, key=lambda one: not one.applies_to):
        scope = [
            entry
            for entry in entries
            if entry.key in left and (not discount.applies_to or entry.price in discount.applies_to)
        ]
        for entry, off, share in _taken_off(terms, discount, scope, left):
            left[entry.key] -= off
            if off:
                yield _discount_entry(terms, discount, entry, off, share)


def _taken_off(
    terms: Terms, discount: DiscountTerms, scope: Sequence[Entry], left: Mapping[str, Decimal]
) -> Iterator[tuple[Entry, Decimal, Fraction]]:
    """What a discount takes off each entry, and the part of the days it counts for.

    A percentage on named prices is taken and rounded on each entry, so that what was billed in advance stands; anything
    else is taken on all entries together and spread over them.
    """
    singly = discount.kind == "percent" and discount.applies_to
    for group in [[entry] for entry in scope] if singly else [scope]:
        share = _share(terms, discount, group[0].service if singly else terms.period)
        value = Fraction(discount.value) * share
        exact = decimal_of(value) if discount.kind == "percent" else round_money(value, terms.currency)
        taken = apply_discounts(
            [DiscountableLine(entry.key, left[entry.key]) for entry in group],
            [LineDiscount(discount.kind, exact)],
            money_rounding(terms.currency),
        )
        for entry, off in zip(group, taken.line_discounts, strict=True):
            yield entry, off, share


def _share(terms: Terms, discount: DiscountTerms, service: Period) -> Fraction:
    """The part of a stretch of days that the discount covers."""
    covered = discount.days.period(terms.zone, service)
    if covered is None:
        return Fraction(0)
    return Fraction(local_days(covered, terms.zone), local_days(service, terms.zone))


def _discount_entry(terms: Terms, discount: DiscountTerms, entry: Entry, off: Decimal, share: Fraction) -> Entry:
    value = (
        f"{spoken(discount.value)} %" if discount.kind == "percent" else f"{spoken(discount.value)} {terms.currency}"
    )
    partly = "" if share == 1 else f", for {spoken(decimal_of(share * 100, 2))} % of the days"
    return Entry(
        key=f"discount/{discount.key}/{entry.key}",
        kind="discount",
        tax_key=entry.key,
        price=entry.price,
        meter="",
        term=discount.key,
        line=entry.line,
        description=f"Discount {value} on {entry.description}{partly}",
        unit="",
        quantity=Decimal(1),
        amount=-off,
        service=entry.service,
        in_advance=entry.in_advance,
        clock=None,
        steps=(Step(f"{value} off{partly}", None, None, -off),),
    )
