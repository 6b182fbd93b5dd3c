"""Which usage a price takes."""

from __future__ import annotations

import datetime as dt
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.selection import EVERYTHING, Filter, Selection, filter_of, from_json, parse_window

DIMENSIONS = ("model", "region")
VALUES: list[str | None] = ["m1", "m2", None]

filters = st.dictionaries(
    st.sampled_from(DIMENSIONS), st.lists(st.sampled_from(VALUES), min_size=1, max_size=2), min_size=1
).map(filter_of)


@given(st.lists(filters, max_size=4))
def test_use_is_taken_once_by_prices_with_filters_or_else_by_the_rest(stated: list[Filter]) -> None:
    prices = [Selection(only=one, besides=tuple(stated[:place])) for place, one in enumerate(stated)]
    rest = Selection(besides=tuple(stated))
    for values in product(VALUES, VALUES):
        assert sum(price.takes(DIMENSIONS, values) for price in (*prices, rest)) == 1


def test_a_filter_wants_every_property_and_any_of_its_values() -> None:
    taken = Selection(only=filter_of({"model": ["m1", "m2"], "region": ["eu"]}))
    assert taken.takes(DIMENSIONS, ["m2", "eu"])
    assert not taken.takes(DIMENSIONS, ["m2", "us"])
    assert not taken.takes(DIMENSIONS, [None, "eu"])


def test_values_are_compared_as_dimensions_hold_them() -> None:
    assert filter_of({"paid": [True], "code": [200], "model": [None]}) == (
        ("code", ("200",)),
        ("model", (None,)),
        ("paid", ("true",)),
    )


@given(filters, st.lists(filters, max_size=2))
def test_a_line_names_its_events_as_the_price_chose_them(only: Filter, besides: list[Filter]) -> None:
    taken = Selection(only=only, besides=tuple(besides), window=dt.timedelta(hours=1))
    again = from_json(taken.as_json())
    for values in product(VALUES, VALUES):
        assert again.takes(DIMENSIONS, values) == taken.takes(DIMENSIONS, values)
    assert EVERYTHING.as_json() == {}
    assert from_json({}) == EVERYTHING


@pytest.mark.parametrize(
    ("text", "minutes"), [("PT1M", 1), ("PT15M", 15), ("PT1H30M", 90), ("PT12H", 720), ("P1D", 1440), ("hour", 60)]
)
def test_a_window_is_a_part_of_a_day(text: str, minutes: int) -> None:
    assert parse_window(text) == dt.timedelta(minutes=minutes)


@pytest.mark.parametrize("text", ["", "P2D", "PT7H", "PT0M", "1h", "PT", "P1M", "month"])
def test_what_does_not_divide_a_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no window"):
        parse_window(text)
