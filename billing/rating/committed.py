"""Commitments of a period: what is charged ahead, missing, spent beyond, or more than a cap allows. Pure.

A commitment may run over several periods. What was spent in the earlier ones is carried under its key and first day,
so that each stretch begins anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from billing.rating.charges import Step
from billing.rating.commitments import true_up
from billing.rating.entries import Entry, EntryKind, Priced
from billing.rating.parts import spoken
from billing.rating.proration import Share, share_of_whole
from billing.rating.reductions import Reduction, Remainder, spend
from catalog.money import ZERO, decimal_of, exact_arithmetic, money_rounding, round_money
from catalog.periods import local_date
from catalog.pricing import UNIT_PRICE_PLACES
from contracts.terms import Stretch, Terms


def charged_ahead(terms: Terms) -> Iterator[Entry]:
    """Prepaid spend of the stretches that begin in the period."""
    for stretch in terms.commitments:
        if stretch.commitment.kind == "prepaid" and stretch.begins:
            amount = promised(terms, stretch)
            if amount:
                said = f"Prepaid spend of {spoken(amount)} {terms.currency}"
                yield _entry(terms, stretch, "one_time", said, amount, in_advance=True, kind_key="charge")


def settled(remainder: Remainder, priced: Mapping[str, Priced]) -> Iterator[Entry]:
    """What the commitments of a period come to, in their order; what carries on is remembered in `remainder`."""
    for stretch in remainder.terms.commitments:
        match stretch.commitment.kind:
            case "quantity":
                yield from _quantity(remainder, stretch, priced)
            case "minimum":
                yield from _minimum(remainder, stretch)
            case "prepaid":
                yield from _drawn_down(remainder, stretch)
            case "cap":
                yield from _capped(remainder, stretch)


def promised(terms: Terms, stretch: Stretch) -> Decimal:
    """The amount of a stretch: its share of the days, rounded, where it is not whole."""
    share = _share(terms, stretch)
    return true_up(stretch.commitment.amount, (), money_rounding(terms.currency), share=share).minimum


def _share(terms: Terms, stretch: Stretch) -> Share | None:
    if not stretch.commitment.prorate or stretch.days == stretch.whole:
        return None
    return share_of_whole(stretch.days, stretch.whole, terms.zone, terms.proration)


def _minimum(remainder: Remainder, stretch: Stretch) -> Iterator[Entry]:
    """What is missing from the minimum at the end of its stretch, and what spend beyond it costs more."""
    commitment, terms = stretch.commitment, remainder.terms
    before = remainder.closing.get(_state(terms, stretch), ZERO)
    now = remainder.net(remainder.of_prices(commitment.applies_to)) if stretch.counts else ZERO
    promise = promised(terms, stretch)
    with exact_arithmetic():
        spent = before + now
        beyond = max(spent - promise, ZERO) - max(before - promise, ZERO)
    if stretch.is_last and commitment.true_up:
        missing = true_up(
            commitment.amount, [spent], money_rounding(terms.currency), share=_share(terms, stretch)
        ).amount
        if missing:
            said = f"Minimum spend of {spoken(promise)} {terms.currency}"
            steps = (Step("minimum spend", None, None, promise), Step("spent", None, None, -spent))
            yield _true_up(remainder, stretch, said, missing, steps)
    yield from _overage(remainder, stretch, beyond)
    remainder.carry(_state(terms, stretch), ZERO if stretch.is_last else spent)


def _quantity(remainder: Remainder, stretch: Stretch, priced: Mapping[str, Priced]) -> Iterator[Entry]:
    """What committed units cost more than those that were used, and what use beyond them costs more."""
    commitment, terms = stretch.commitment, remainder.terms
    for entry in list(remainder.of_prices(commitment.applies_to)):
        made = priced.get(entry.key)
        if made is None or made.segment.is_trial:
            continue
        segment = made.segment
        share = share_of_whole(segment.stretch, segment.whole, terms.zone, terms.proration)
        units = commitment.amount
        if commitment.prorate and share.ratio < 1:
            units = decimal_of(Fraction(units) * share.ratio, UNIT_PRICE_PLACES)
        promise, before = made.amount_of(units, terms), made.amount_before(terms)
        with exact_arithmetic():
            now = before + entry.amount
            beyond = max(now - promise, ZERO) - max(before - promise, ZERO)
        if segment.is_last and commitment.true_up and now < promise:
            said = f"Committed quantity of {spoken(units)} {entry.unit or 'units'} of {entry.description}"
            steps = (Step(f"{spoken(units)} units", units, None, promise), Step("used", None, None, -now))
            yield _true_up(remainder, stretch, said, promise - now, steps, of=entry)
        yield from _overage(remainder, stretch, beyond, of=entry)


def _overage(remainder: Remainder, stretch: Stretch, beyond: Decimal, of: Entry | None = None) -> Iterator[Entry]:
    """Spend beyond the commitment is charged at its price already; here is what it costs more."""
    factor, terms = stretch.commitment.overage_factor, remainder.terms
    more = round_money(Fraction(beyond) * (Fraction(factor) - 1), terms.currency)
    if more:
        said = f"Overage of {spoken(beyond)} {terms.currency} at {spoken(factor)} times the price"
        yield remainder.add(_entry(terms, stretch, "true_up", said, more, kind_key="overage", of=of))


def _drawn_down(remainder: Remainder, stretch: Stretch) -> Iterator[Entry]:
    """What is paid from the prepaid spend; the rest is due, at the overage factor where there is one."""
    commitment, terms = stretch.commitment, remainder.terms
    if not stretch.counts:
        remainder.carry(_state(terms, stretch), ZERO)
        return
    before = remainder.closing.get(_state(terms, stretch), ZERO)
    scope = remainder.positive(commitment.applies_to)
    wanted = remainder.net(scope)
    key = f"commitment/{commitment.key}/{_first_day(terms, stretch)}"
    shown = Reduction(key, "credit", commitment.key, "Prepaid spend on", "paid from the prepaid spend")
    drawn = yield from spend(remainder, promised(terms, stretch) - before, scope, shown)
    yield from _overage(remainder, stretch, wanted - drawn)
    remainder.carry(_state(terms, stretch), ZERO if stretch.is_last else before + drawn)


def _capped(remainder: Remainder, stretch: Stretch) -> Iterator[Entry]:
    """What is more than the cap of the stretch allows, spread over what was spent."""
    commitment, terms = stretch.commitment, remainder.terms
    before = remainder.closing.get(_state(terms, stretch), ZERO)
    scope = remainder.positive(commitment.applies_to) if stretch.counts else []
    cap, wanted = promised(terms, stretch), remainder.net(scope)
    with exact_arithmetic():
        over = min(wanted, max(before + wanted - cap, ZERO))
    key = f"commitment/{commitment.key}/{_first_day(terms, stretch)}"
    said = f"spend cap of {spoken(cap)} {terms.currency}"
    for entry, off in list(remainder.spread(over, scope)):
        remainder.lower(entry, off)
        if off:
            yield Reduction(key, "discount", commitment.key, "Above the spend cap:", said).on(entry, off)
    with exact_arithmetic():
        remainder.carry(_state(terms, stretch), ZERO if stretch.is_last else before + wanted - over)


def _true_up(
    remainder: Remainder,
    stretch: Stretch,
    said: str,
    amount: Decimal,
    steps: tuple[Step, ...],
    of: Entry | None = None,
) -> Entry:
    entry = _entry(remainder.terms, stretch, "true_up", said, amount, of=of)
    return remainder.add(replace(entry, steps=steps))


def _state(terms: Terms, stretch: Stretch) -> str:
    return f"commitment/{stretch.commitment.key}/{_first_day(terms, stretch)}"


def _first_day(terms: Terms, stretch: Stretch) -> str:
    return local_date(stretch.days.starts_at, terms.zone).isoformat()


def _entry(
    terms: Terms,
    stretch: Stretch,
    kind: EntryKind,
    said: str,
    amount: Decimal,
    *,
    kind_key: str = "true-up",
    in_advance: bool = False,
    of: Entry | None = None,
) -> Entry:
    """An entry of a commitment, or of what it does to one entry (`of`)."""
    key = f"commitment/{stretch.commitment.key}/{_first_day(terms, stretch)}/{kind_key}"
    if of is not None:
        key = f"{key}/{of.key}"
    return Entry(
        key=key,
        kind=kind,
        tax_key=key,
        price="",
        meter="",
        term=stretch.commitment.key,
        line=of.line if of else "",
        description=said,
        unit="",
        quantity=Decimal(1),
        amount=amount,
        service=of.service if of else stretch.days,
        in_advance=in_advance,
        clock=None,
        steps=(Step(said, None, None, amount),),
        tax_category=of.tax_category if of else "",
        with_tax=terms.with_tax,
    )
