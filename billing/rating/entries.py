"""Entries: what one price, or one dated amount, comes to in a billing period, and what it reads of the meters. Pure.

Each entry has a key that stays the same when the period is rated again, and an amount before tax, rounded once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import tzinfo
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from billing.rating.charges import Charge, Step, charge, charge_events, charge_windows
from billing.rating.event_prices import PricedEvent
from billing.rating.parts import spoken
from billing.rating.proration import share_of_whole
from catalog.money import ZERO, decimal_of, exact_arithmetic, exact_sum, round_money
from catalog.periods import Period, local_date, local_days
from catalog.pricing import PriceRule
from catalog.selection import EVERYTHING, Selection
from contracts.terms import MeterTerms, OneTimeTerms, Segment, Terms

EntryKind = Literal["recurring", "usage", "one_time", "discount", "true_up", "credit"]


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
NO_USE = Measure(ZERO, 0)


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
    tax_category: str = ""
    with_tax: bool = False
    """Whether its price has tax in it; the statement takes that out of the amount."""
    gross: Decimal | None = None
    """What such an entry came to with its tax."""


@dataclass(frozen=True, slots=True)
class Priced:
    """An entry of a price, and what it was made of, so that it can be priced otherwise.

    `measure` is all use since the price began to count, `prior` what of it lies before the billing period.
    """

    entry: Entry
    segment: Segment
    measure: Measure = NO_USE
    prior: Measure = NO_USE

    @property
    def rule(self) -> PriceRule:
        return self.segment.price.rule

    def amount_under(self, rule: PriceRule, terms: Terms) -> Decimal:
        """What the same use would come to under another rule."""
        return _of_use(self.segment, rule, self.measure, self.prior, terms).amount

    def amount_before(self, terms: Terms) -> Decimal:
        """What the use of earlier billing periods came to, where it adds up over several."""
        return _of_earlier(self.segment, self.rule, self.prior, terms)

    def amount_of(self, quantity: Decimal, terms: Terms) -> Decimal:
        """What a quantity would come to in the whole of the price's interval."""
        return _settled(self.segment, terms, lambda currency: charge(self.rule, quantity, currency)).amount


def needs(terms: Terms) -> list[Need]:
    """What a statement of these terms reads."""
    return [need for segment in terms.segments for need in needs_of(terms, segment)]


def needs_of(terms: Terms, segment: Segment) -> Iterator[Need]:
    """The use since the price began to count, and where that was before this period, the use before it."""
    meter = segment.price.meter
    if meter is None:
        return
    begun = segment.stretch.starts_at
    yield _need(terms, segment, meter, Period(begun, segment.service.ends_at))
    if segment.adds_up:
        yield _need(terms, segment, meter, Period(begun, segment.service.starts_at))


def _need(terms: Terms, segment: Segment, meter: MeterTerms, period: Period) -> Need:
    selection = segment.price.selection
    return Need(meter.id, period, selection, None if selection.window is None else terms.zone)


def priced(terms: Terms, segment: Segment, usage: Usage) -> Priced | None:
    """The entry of one price over the part of a period its line covers; None where nothing can be due."""
    price = segment.price
    if price.meter is not None:
        measure, *before = (usage[need] for need in needs_of(terms, segment))
        prior = before[0] if before else NO_USE
        with exact_arithmetic():
            quantity = measure.quantity - prior.quantity
        charged = _of_use(segment, price.rule, measure, prior, terms)
        return Priced(_entry(terms, segment, quantity, charged, measure), segment, measure, prior)
    if (price.kind == "one_time" and not segment.opens_line) or (price.kind == "recurring" and segment.is_trial):
        return None
    quantity, part, said = segment.line.quantity, Fraction(1), ""
    if price.kind == "recurring" and price.prorate:
        part, said = _part(terms, segment)
    charged = _settled(segment, terms, lambda currency: charge(price.rule, quantity, currency), part, said)
    return Priced(_entry(terms, segment, quantity, charged), segment)


def one_time(terms: Terms, term: OneTimeTerms) -> Entry:
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
        tax_category=term.tax_category,
        with_tax=term.with_tax,
    )


def _of_use(segment: Segment, rule: PriceRule, measure: Measure, prior: Measure, terms: Terms) -> Charge:
    """What a price makes of use; of use that adds up over several periods, what is more than before this one.

    The minimum of a longer interval is settled where that ends.
    """
    if segment.is_trial:
        return Charge(ZERO, (Step("free during the trial", measure.quantity, ZERO, ZERO),))
    now = rule if segment.is_last else replace(rule, minimum_amount=None)
    total = _settled(segment, terms, lambda currency: _charged(segment, now, measure, currency))
    if not segment.adds_up:
        return total
    counted = _of_earlier(segment, rule, prior, terms)
    step = Step(f"already counted for {spoken(prior.quantity)} units of earlier periods", None, None, -counted)
    with exact_arithmetic():
        return Charge(total.amount - counted, (*total.steps, step))


def _of_earlier(segment: Segment, rule: PriceRule, prior: Measure, terms: Terms) -> Decimal:
    """What the use of earlier billing periods came to."""
    if not segment.adds_up:
        return ZERO
    before = replace(rule, minimum_amount=None)
    return _settled(segment, terms, lambda currency: _charged(segment, before, prior, currency)).amount


def _charged(segment: Segment, rule: PriceRule, measure: Measure, currency: str | None) -> Charge:
    """What a rule makes of a total, of windows, or of single events; exact without a currency."""
    selection = segment.price.selection
    if rule.reads_events:
        return charge_events(rule, measure.events, currency)
    if selection.window is not None:
        return charge_windows(rule, measure.windows, currency, combine=selection.combine)
    return charge(rule, measure.quantity, currency)


def _settled(
    segment: Segment, terms: Terms, make: Callable[[str | None], Charge], part: Fraction = Fraction(1), said: str = ""
) -> Charge:
    """What is made, raised by the line's uplift, cut to the part of the interval, and rounded once."""
    uplift = segment.line.uplift
    if part == 1 and not uplift:
        return make(terms.currency)
    exact = make(None)
    raised = Fraction(exact.amount) * (1 + Fraction(uplift) / 100)
    amount = round_money(raised * part, terms.currency)
    steps = list(exact.steps)
    if uplift:
        more = decimal_of(raised - Fraction(exact.amount)) if said else amount - exact.amount
        steps.append(Step(f"{spoken(uplift)} % more since its renewal", None, None, more))
    if said:
        with exact_arithmetic():
            steps.append(Step(said, None, None, amount - exact_sum(step.amount for step in steps)))
    return Charge(amount, tuple(steps))


def _part(terms: Terms, segment: Segment) -> tuple[Fraction, str]:
    """The part of the price's interval that is covered, and how that reads; nothing is said of all of it."""
    if segment.service == segment.whole:
        return Fraction(1), ""
    share = share_of_whole(segment.service, segment.whole, terms.zone, terms.proration)
    if share.ratio == 1:
        return Fraction(1), ""
    if terms.proration == "seconds":
        return share.ratio, f"{spoken(share.numerator)} of {spoken(share.denominator)} seconds"
    days = {"fixed_months": " in months of 30"}.get(terms.proration, "")
    return max(share.ratio, Fraction(0)), f"{share.numerator:f} of {share.denominator:f} days{days}"


def covered_share(terms: Terms, covered: Period | None, of: Period) -> Fraction:
    """The part of a stretch of days that is covered, in local days."""
    if covered is None:
        return Fraction(0)
    return Fraction(local_days(covered, terms.zone), local_days(of, terms.zone))


def _entry(terms: Terms, segment: Segment, quantity: Decimal, charged: Charge, measure: Measure | None = None) -> Entry:
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
        tax_category=price.tax_category,
        with_tax=line.with_tax,
    )
