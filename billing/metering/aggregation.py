"""The aggregations of a meter, each as a partial of some samples, a merge of partials, and a value.

A partial of a quarter of an hour holds exactly what an SQL bucket holds, so buckets and this fold can be
compared number by number. Merging is associative and commutative: any partition of the samples, merged in
any order, gives the value of them all. Numbers are exact; only an average and a time-weighted sum divide,
once, at the end.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from decimal import Decimal
from fractions import Fraction
from functools import reduce
from typing import TypeVar

from catalog.money import ZERO, Rounding, decimal_of, exact_arithmetic
from catalog.periods import BillingCalendar, Interval, Period

T = TypeVar("T")

QUOTIENT_PLACES = 18  # an average or a time-weighted sum without an end is rounded half up to these decimals
QUARTER = timedelta(minutes=15)
_MICROSECOND = timedelta(microseconds=1)


class UnableToAggregate(ValueError):
    """An aggregation that does not exist, or that cannot take what it was given."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one event gives a meter.

    `value` is None where the meter reads none; `unique` is the text whose distinct values are counted;
    `clock` orders events of the same instant; `removes` takes `unique` back (see `active_values`).
    """

    value: Decimal | None
    at: datetime
    clock: int = 0
    unique: str | None = None
    id: str | None = None
    removes: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Latest:
    """The greatest (time, clock) wins; at the same time in the same batch, the greater value."""

    at: datetime
    clock: int
    value: Decimal


@dataclass(frozen=True, slots=True)
class Partial:
    """What an aggregation keeps of some samples; each fills only what it needs, and `n`.

    `weighted` is the sum of value x microseconds from the sample to `ends_at`, the end of the partial's own
    stretch of time.
    """

    n: int = 0
    total: Decimal | None = None
    maximum: Decimal | None = None
    minimum: Decimal | None = None
    latest: Latest | None = None
    weighted: Decimal | None = None
    ends_at: datetime | None = None
    values: frozenset[str] = frozenset()


EMPTY = Partial()
Start = Callable[[Sample, datetime], Partial | None]


@dataclass(frozen=True, slots=True)
class Aggregation:
    """How one kind of aggregation starts from a sample (None: it does not count) and ends in a value.

    `ending` takes the merged partial, the period and the value carried into it; None: nothing counted.
    """

    name: str
    start: Start
    ending: Callable[[Partial, Period, Decimal | None], Fraction | None]
    takes_initial: bool = False


def fold(aggregation: str, samples: Iterable[Sample], stretch: Period) -> Partial:
    """The partial of samples that all lie in `stretch`: a bucket, or a whole period."""
    start = _known(aggregation).start
    return merge_all(_begun(start, samples, stretch))


def _begun(start: Start, samples: Iterable[Sample], stretch: Period) -> Iterator[Partial]:
    for sample in samples:
        if not stretch.contains(sample.at):
            raise UnableToAggregate(f"a sample of {sample.at.isoformat()} lies outside {stretch}")
        begun = start(sample, stretch.ends_at)
        if begun is not None:
            yield begun


def merge(one: Partial, other: Partial) -> Partial:
    """The partial of both; `weighted` is carried forward to the later end."""
    with exact_arithmetic():
        return _merged(one, other)


def merge_all(partials: Iterable[Partial]) -> Partial:
    """The partial of them all. Like is merged with like, so that n values are copied log n times and not n times."""
    held: list[Partial] = []  # the one at place k stands for 2 ** k; EMPTY where there is none
    with exact_arithmetic():
        for partial in partials:
            place = 0
            while place < len(held) and held[place] is not EMPTY:
                partial, held[place] = _merged(held[place], partial), EMPTY
                place += 1
            held[place : place + 1] = [partial]
        return reduce(_merged, held, EMPTY)


def value(
    aggregation: str,
    partials: Partial | Iterable[Partial],
    period: Period,
    *,
    initial: Decimal | None = None,
    rounding: Rounding | None = None,
) -> Decimal:
    """The aggregated value over the period; nothing to aggregate is zero.

    `initial` is what a sum or a time-weighted sum carries into the period. Exact unless `rounding` is given;
    an average or time-weighted sum without an end has 18 decimals, half up.
    """
    found = value_or_none(aggregation, partials, period, initial=initial, rounding=rounding)
    return ZERO if found is None else found


def value_or_none(
    aggregation: str,
    partials: Partial | Iterable[Partial],
    period: Period,
    *,
    initial: Decimal | None = None,
    rounding: Rounding | None = None,
) -> Decimal | None:
    """As `value`, but None where there is nothing to aggregate; a count of nothing is zero."""
    known = _known(aggregation)
    if initial is not None and not known.takes_initial:
        raise UnableToAggregate(f"{aggregation} carries nothing into a period")
    partial = partials if isinstance(partials, Partial) else merge_all(partials)
    exact = known.ending(partial, period, initial)
    if exact is None:
        return None
    return decimal_of(exact, QUOTIENT_PLACES) if rounding is None else rounding.of(exact)


def bucket_of(instant: datetime) -> Period:
    """The quarter of an hour that holds the instant."""
    seconds = instant.minute * 60 + instant.second
    into = timedelta(seconds=seconds % 900, microseconds=instant.microsecond)
    return Period(instant - into, instant - into + QUARTER)


def window_of(instant: datetime, length: timedelta, zone: tzinfo) -> Period:
    """The window that holds the instant: a local day, or an even part of one counted from local midnight."""
    day = BillingCalendar(Interval("day"), date(1970, 1, 1), zone).period_at(instant)
    if length > timedelta(days=1) or length <= timedelta(0):
        raise UnableToAggregate(f"a window is at most a day, not {length}")
    if length == timedelta(days=1):
        return day
    starts_at = instant - (instant - day.starts_at) % length
    return Period(starts_at, min(starts_at + length, day.ends_at))


def windows_in(period: Period, length: timedelta, zone: tzinfo) -> Iterator[Period]:
    """The windows of all the instants of a period (see `window_of`), in order; the first and last are cut to it."""
    if length > timedelta(days=1) or length <= timedelta(0):
        raise UnableToAggregate(f"a window is at most a day, not {length}")
    days = BillingCalendar(Interval("day"), date(1970, 1, 1), zone)
    for day in days.periods(period.starts_at, period.ends_at):
        if length == timedelta(days=1):
            yield day
            continue
        midnight, starts_at = days.period_at(day.starts_at).starts_at, day.starts_at
        while starts_at < day.ends_at:
            ends_at = min(starts_at - (starts_at - midnight) % length + length, day.ends_at)
            yield Period(starts_at, ends_at)
            starts_at = ends_at


def fold_windows(
    aggregation: str, samples: Iterable[Sample], period: Period, length: timedelta, zone: tzinfo
) -> dict[Period, Partial]:
    """The partial of every window with samples, in order; the first and last are cut to the period."""
    windows: dict[Period, list[Sample]] = {}
    for sample in samples:
        window = window_of(sample.at, length, zone).overlap(period)
        if window is None:
            raise UnableToAggregate(f"a sample of {sample.at.isoformat()} lies outside {period}")
        windows.setdefault(window, []).append(sample)
    return {window: fold(aggregation, windows[window], window) for window in sorted(windows)}


def keep_latest(samples: Iterable[Sample]) -> list[Sample]:
    """Per id the sample with the latest time, on a tie the later in the list; without an id all stay."""
    kept: dict[object, Sample] = {}
    for position, sample in enumerate(samples):
        key: object = position if sample.id is None else sample.id
        if key not in kept or sample.at >= kept[key].at:
            kept[key] = sample
    return list(kept.values())


def active_values(samples: Iterable[Sample], initially: Collection[str] = ()) -> frozenset[str]:
    """The values that are active after all samples, in (time, clock) order: added and not removed since."""
    active = set(initially)
    for sample in sorted(samples, key=lambda sample: (sample.at, sample.clock)):
        if sample.unique is not None:
            (active.discard if sample.removes else active.add)(sample.unique)
    return frozenset(active)


def matches(properties: Mapping[str, object], filters: Mapping[str, Collection[object]]) -> bool:
    """Whether every filtered property has one of its allowed values."""
    return all(properties.get(name) in allowed for name, allowed in filters.items())


def _known(aggregation: str) -> Aggregation:
    if aggregation not in AGGREGATIONS:
        raise UnableToAggregate(f"{aggregation!r} is not an aggregation; use one of {', '.join(AGGREGATIONS)}")
    return AGGREGATIONS[aggregation]


def _merged(one: Partial, other: Partial) -> Partial:
    if one.n == 0 or other.n == 0:
        return one if other.n == 0 else other
    ends_at = one.ends_at
    if one.ends_at is not None and other.ends_at is not None:
        ends_at = max(one.ends_at, other.ends_at)
    return Partial(
        n=one.n + other.n,
        total=_both(one.total, other.total, lambda a, b: a + b),
        maximum=_both(one.maximum, other.maximum, max),
        minimum=_both(one.minimum, other.minimum, min),
        latest=_both(one.latest, other.latest, max),
        weighted=_both(_weighted_to(one, ends_at), _weighted_to(other, ends_at), lambda a, b: a + b),
        ends_at=ends_at,
        values=one.values | other.values,
    )


def _both(one: T | None, other: T | None, combine: Callable[[T, T], T]) -> T | None:
    if one is None or other is None:
        return other if one is None else one
    return combine(one, other)


def _weighted_to(partial: Partial, ends_at: datetime | None) -> Decimal | None:
    """The weighted sum as it is at a later end: what was there goes on weighing."""
    if partial.weighted is None or partial.total is None or partial.ends_at is None or ends_at is None:
        return None
    return partial.weighted + partial.total * ((ends_at - partial.ends_at) // _MICROSECOND)


def _start_sum(sample: Sample, ends_at: datetime) -> Partial | None:
    return None if sample.value is None else Partial(n=1, total=sample.value)


def _start_weighted(sample: Sample, ends_at: datetime) -> Partial | None:
    if sample.value is None:
        return None
    weighted = sample.value * ((ends_at - sample.at) // _MICROSECOND)
    return Partial(n=1, total=sample.value, weighted=weighted, ends_at=ends_at)


def _start_max(sample: Sample, ends_at: datetime) -> Partial | None:
    return None if sample.value is None else Partial(n=1, maximum=sample.value)


def _start_min(sample: Sample, ends_at: datetime) -> Partial | None:
    return None if sample.value is None else Partial(n=1, minimum=sample.value)


def _start_latest(sample: Sample, ends_at: datetime) -> Partial | None:
    return None if sample.value is None else Partial(n=1, latest=Latest(sample.at, sample.clock, sample.value))


def _start_unique(sample: Sample, ends_at: datetime) -> Partial | None:
    return None if sample.unique is None else Partial(n=1, values=frozenset({sample.unique}))


def _end_sum(partial: Partial, period: Period, initial: Decimal | None) -> Fraction | None:
    if partial.total is None and initial is None:
        return None
    return Fraction(partial.total or ZERO) + Fraction(initial or ZERO)


def _end_average(partial: Partial, period: Period, initial: Decimal | None) -> Fraction | None:
    return None if partial.total is None or not partial.n else Fraction(partial.total) / partial.n


def _end_weighted(partial: Partial, period: Period, initial: Decimal | None) -> Fraction | None:
    if partial.n and partial.ends_at is not None and partial.ends_at > period.ends_at:
        raise UnableToAggregate(f"samples reach beyond the period {period}")
    with exact_arithmetic():
        weighted = _weighted_to(partial, period.ends_at)
    if weighted is None and initial is None:
        return None
    return Fraction(initial or ZERO) + Fraction(weighted or ZERO) / period.microseconds


def _fraction(number: Decimal | None) -> Fraction | None:
    return None if number is None else Fraction(number)


AGGREGATIONS = {
    known.name: known
    for known in (
        Aggregation("count", lambda sample, _: Partial(n=1), lambda partial, *_: Fraction(partial.n)),
        Aggregation("sum", _start_sum, _end_sum, takes_initial=True),
        Aggregation("max", _start_max, lambda partial, *_: _fraction(partial.maximum)),
        Aggregation("min", _start_min, lambda partial, *_: _fraction(partial.minimum)),
        Aggregation("avg", _start_sum, _end_average),
        Aggregation(
            "latest",
            _start_latest,
            lambda partial, *_: None if partial.latest is None else Fraction(partial.latest.value),
        ),
        Aggregation("unique_count", _start_unique, lambda partial, *_: Fraction(len(partial.values))),
        Aggregation("weighted_sum", _start_weighted, _end_weighted, takes_initial=True),
    )
}
