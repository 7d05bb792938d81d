"""Codes become categories, days become times."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchpoint_lib.simulate._columns import as_category, as_ids, as_times

START = pd.Timestamp("2024-02-28")


def test_times_are_whole_seconds_since_the_start() -> None:
    days = np.array([0.0, 0.5, 1.0, 1.999999, 2.25 + 0.9 / 86_400, 36_525.0])
    times = as_times(START, days)
    assert times.dtype == "datetime64[us]"
    expected = ["2024-02-28", "2024-02-28 12:00", "2024-02-29", "2024-02-29 23:59:59"]
    expected += ["2024-03-01 06:00", "2124-02-29"]
    assert pd.DatetimeIndex(times).tolist() == [pd.Timestamp(text) for text in expected]


def test_what_is_missing_or_later_has_no_time() -> None:
    times = as_times(START, np.array([np.nan, 1.0, 3.0, 3.0000001, np.inf]), until=3.0)
    assert np.isnat(times).tolist() == [True, False, False, True, True]
    assert as_times(START, np.zeros(0)).shape == (0,)


@settings(max_examples=30, deadline=None)
@given(st.dates(dt.date(1900, 1, 1), dt.date(2200, 12, 31)), st.integers(0, 3 * 10**9))
def test_times_are_exact_to_the_second(start: dt.date, second: int) -> None:
    day = pd.Timestamp(start)
    # The middle of a second: no rounding of days can leave it.
    time = as_times(day, np.array([(second + 0.5) / 86_400]))[0]
    assert pd.Timestamp(time) == day + pd.Timedelta(seconds=second)


def test_categories_are_texts_in_the_order_of_the_codes() -> None:
    words = as_category(np.array([2, -1, 0], dtype=np.int8), ["b", "a", "c"])
    assert list(words) == ["c", np.nan, "b"]
    assert list(words.categories) == ["b", "a", "c"]
    assert words.categories.dtype == "str"
    assert not words.ordered
    assert as_category([], []).categories.dtype == "str"


def test_unknown_codes_raise() -> None:
    with pytest.raises(ValueError, match="codes need to be"):
        as_category([3], ["b", "a", "c"])


def test_ids_may_be_missing() -> None:
    ids = pd.Series(as_ids(np.array([7, 8, -1]), np.array([True, False, True])))
    assert ids.dtype == "Int64"
    assert ids.tolist() == [7, pd.NA, -1]
