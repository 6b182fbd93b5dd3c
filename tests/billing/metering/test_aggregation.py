import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.metering.aggregation import (
    AGGREGATIONS,
    EMPTY,
    Sample,
    UnableToAggregate,
    active_values,
    bucket_of,
    fold,
    fold_windows,
    keep_latest,
    matches,
    merge,
    value,
    value_or_none,
    window_of,
)
from catalog.money import Rounding
from catalog.periods import Period

D = Decimal
START = datetime(2026, 3, 29, tzinfo=UTC)
DAY = Period(START, START + timedelta(days=1))


def sample(text: str | None, hours: str = "0", clock: int = 0, unique: str | None = None) -> Sample:
    at = START + timedelta(microseconds=int(D(hours) * 3_600_000_000))
    return Sample(None if text is None else D(text), at, clock, unique)


# Values 4, 1, 7 at 01:00, 02:00 and 12:00, by hand:
# weighted over 24 h: (4 x 23 + 1 x 22 + 7 x 12) / 24 = 198 / 24 = 8.25
THREE = [sample("4", "1", unique="b"), sample("1", "2", unique="a"), sample("7", "12", unique="b")]


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [
        ("count", "3"),
        ("sum", "12"),
        ("max", "7"),
        ("min", "1"),
        ("avg", "4"),
        ("latest", "7"),
        ("unique_count", "2"),
        ("weighted_sum", "8.25"),
    ],
)
def test_each_aggregation_gives_the_value_worked_out_by_hand(aggregation: str, expected: str) -> None:
    assert value(aggregation, fold(aggregation, THREE, DAY), DAY) == D(expected)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_nothing_to_aggregate_is_zero(aggregation: str) -> None:
    assert value(aggregation, EMPTY, DAY) == 0
    counts = ("count", "unique_count")
    assert value_or_none(aggregation, [], DAY) == (0 if aggregation in counts else None)


def test_events_without_a_value_are_counted_but_not_averaged() -> None:
    samples = [sample("3"), sample(None), sample("5")]
    assert value("count", fold("count", samples, DAY), DAY) == 3
    assert value("avg", fold("avg", samples, DAY), DAY) == 4


def test_the_latest_value_is_that_of_the_latest_time_then_of_the_latest_batch() -> None:
    samples = [sample("9", "2", clock=1), sample("8", "2", clock=2), sample("10", "1", clock=3)]
    assert value("latest", fold("latest", samples, DAY), DAY) == 8


def test_an_average_without_end_is_rounded_once_from_its_exact_value() -> None:
    two_thirds = fold("avg", [sample("1"), sample("1"), sample("0")], DAY)
    assert value("avg", two_thirds, DAY) == D("0.666666666666666667")
    assert value("avg", two_thirds, DAY, rounding=Rounding(2)) == D("0.67")


def test_what_a_period_begins_with_counts_all_along() -> None:
    assert value("weighted_sum", fold("weighted_sum", THREE, DAY), DAY, initial=D(10)) == D("18.25")
    assert value("sum", EMPTY, DAY, initial=D(10)) == 10
    with pytest.raises(UnableToAggregate):
        value("max", EMPTY, DAY, initial=D(10))


def test_a_sum_of_very_different_sizes_keeps_every_digit() -> None:
    samples = [sample("1e30"), sample("1e-7"), sample("-1e30")]
    assert value("sum", fold("sum", samples, DAY), DAY) == D("1e-7")


def test_a_sample_outside_its_stretch_and_an_unknown_aggregation_are_refused() -> None:
    with pytest.raises(UnableToAggregate, match="outside"):
        fold("sum", [sample("1", "24")], DAY)
    with pytest.raises(UnableToAggregate, match="median"):
        fold("median", [], DAY)


def test_a_weighted_sum_refuses_samples_from_beyond_its_period() -> None:
    long = Period(START, START + timedelta(days=2))
    with pytest.raises(UnableToAggregate, match="beyond"):
        value("weighted_sum", fold("weighted_sum", THREE, long), DAY)


def test_a_bucket_is_a_quarter_of_an_hour() -> None:
    instant = START + timedelta(hours=3, minutes=44, seconds=59, microseconds=999_999)
    assert bucket_of(instant) == Period(START + timedelta(hours=3, minutes=30), START + timedelta(hours=3, minutes=45))
    assert bucket_of(START).starts_at == START


samples_of_a_day = st.lists(
    st.builds(
        Sample,
        value=st.one_of(st.none(), st.decimals(-(10**12), 10**12, places=9)),
        at=st.integers(0, 86_400_000_000 - 1).map(lambda micro: START + timedelta(microseconds=micro)),
        clock=st.integers(0, 3),
        unique=st.one_of(st.none(), st.sampled_from("abc")),
    ),
    max_size=40,
)


@given(aggregation=st.sampled_from(sorted(AGGREGATIONS)), samples=samples_of_a_day, shuffle=st.randoms())
def test_buckets_merged_in_any_order_give_the_value_of_all_samples(
    aggregation: str, samples: list[Sample], shuffle: random.Random
) -> None:
    buckets: dict[Period, list[Sample]] = {}
    for one in samples:
        buckets.setdefault(bucket_of(one.at), []).append(one)
    partials = []
    for bucket, inside in buckets.items():
        shuffle.shuffle(inside)
        cut = shuffle.randint(0, len(inside))  # a bucket is filled by several batches
        first, second = fold(aggregation, inside[:cut], bucket), fold(aggregation, inside[cut:], bucket)
        assert merge(first, second) == merge(second, first) == fold(aggregation, inside, bucket)
        partials.append(merge(first, second))
    shuffle.shuffle(partials)
    whole = fold(aggregation, samples, DAY)
    assert value_or_none(aggregation, partials, DAY) == value_or_none(aggregation, whole, DAY)


def test_windows_are_parts_of_the_local_day() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    # 29 March 2026 has 23 hours in Berlin, from 28 March 23:00Z to 29 March 22:00Z
    day = window_of(START, timedelta(days=1), berlin)
    assert day == Period(START - timedelta(hours=1), START + timedelta(hours=22))
    # the ten-hour windows of that day are 10, 10 and 3 hours long
    last = window_of(START + timedelta(hours=21), timedelta(hours=10), berlin)
    assert last == Period(START + timedelta(hours=19), START + timedelta(hours=22))


def test_only_windows_with_samples_appear_in_order() -> None:
    folded = fold_windows("sum", reversed(THREE), DAY, timedelta(hours=6), UTC)
    assert [(window.starts_at.hour, value("sum", partial, window)) for window, partial in folded.items()] == [
        (0, 5),
        (12, 7),
    ]


def test_of_a_repeated_id_the_latest_sample_is_kept() -> None:
    early, late = Sample(D(1), START, id="x"), Sample(D(2), START + timedelta(hours=1), id="x")
    tied = Sample(D(3), late.at, id="x")
    anonymous = Sample(D(4), START)
    assert keep_latest([late, early, anonymous, anonymous]) == [late, anonymous, anonymous]
    assert keep_latest([late, tied]) == [tied]


def test_a_value_added_and_removed_is_not_active_at_the_end() -> None:
    def mark(name: str, hours: str, removes: bool = False) -> Sample:
        return Sample(None, sample(None, hours).at, unique=name, removes=removes)

    marks = [mark("a", "1"), mark("b", "2"), mark("a", "3", removes=True), mark("c", "1", removes=True)]
    assert active_values(marks, ["c", "d"]) == {"b", "d"}


def test_filters_allow_the_listed_values_only() -> None:
    assert matches({"model": "m1", "region": "eu"}, {"model": ["m1", "m2"]})
    assert not matches({"region": "eu"}, {"model": ["m1", "m2"]})
    assert matches({}, {})
