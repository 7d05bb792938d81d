"""The shop's calendar: seasons with mean 1, discounts on their dates, hours of the day."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tests.strategies import START
from touchpoint_lib.simulate._calendar import Calendar, build_calendar
from touchpoint_lib.simulate.settings import (
    ShopDiscounts,
    ShopPromotion,
    ShopProvince,
    ShopSeasons,
)

EQUAL_DAYS = (1.0,) * 7
CITIES = {"Ningbo": 1.0}
PLAIN = (ShopProvince(name="flat", share=1.0, cities=CITIES, season=0.0),)
WAVY = (
    ShopProvince(name="calm", share=0.5, cities=CITIES, season=0.1),
    ShopProvince(name="wild", share=0.5, cities=CITIES, season=0.9),
)


def _discounts(*promotions: ShopPromotion) -> ShopDiscounts:
    return ShopDiscounts(promotions=promotions)


def _calendar(
    n_days: int,
    *promotions: ShopPromotion,
    start: pd.Timestamp = START,
    seasons: ShopSeasons | None = None,
) -> Calendar:
    return build_calendar(start, n_days, PLAIN, seasons, _discounts(*promotions))


def _on(calendar: Calendar) -> list[str]:
    """Return the dates with a discount."""
    days = pd.date_range(calendar.start, periods=len(calendar.depth))
    return [f"{day:%m-%d}" for day in days[calendar.depth > 0]]


def test_season_has_mean_one() -> None:
    # 7 x 1461 days hold whole weeks and whole periods of 365.25 days: the mean is exact.
    calendar = build_calendar(START, 7 * 1461, WAVY, ShopSeasons(), None)
    assert calendar.season.shape == (2, 7 * 1461)
    np.testing.assert_allclose(calendar.season.mean(axis=1), 1, atol=1e-12)


def test_season_peaks_on_its_day_with_its_amplitude() -> None:
    calendar = build_calendar(START, 366, WAVY, ShopSeasons(peak=100, weekdays=EQUAL_DAYS), None)
    # Day 100 of the leap year 2024 is 9 April, day 283 half a year on. The clock of the season
    # is at most three quarters of a day off that of the year.
    slack = 0.9 * (1 - np.cos(2 * np.pi * 0.75 / 365.25))
    assert abs(int(calendar.season[1].argmax()) - 99) <= 1
    np.testing.assert_allclose(calendar.season.max(axis=1), [1.1, 1.9], atol=slack)
    np.testing.assert_allclose(calendar.season.min(axis=1), [0.9, 0.1], atol=slack)
    # One wave, in proportion to the provinces' amplitudes.
    np.testing.assert_allclose((calendar.season[1] - 1) / 9, calendar.season[0] - 1, atol=1e-15)


def test_season_runs_on_over_new_year() -> None:
    seasons = ShopSeasons(peak=1, weekdays=EQUAL_DAYS)
    calendar = build_calendar(START, 5 * 366, WAVY, seasons, None)
    steepest = np.array([[0.1], [0.9]]) * 2 * np.pi / 365.25
    assert (np.abs(np.diff(calendar.season, axis=1)) <= steepest).all()


def test_weekdays_keep_their_ratios() -> None:
    weekdays = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0)
    # A Thursday.
    start = pd.Timestamp("2024-02-01")
    calendar = build_calendar(start, 7, PLAIN, ShopSeasons(weekdays=weekdays), None)
    np.testing.assert_allclose(calendar.season[0], np.array([4, 5, 6, 7, 1, 2, 3]) / 4)


def test_processes_switched_off_change_nothing() -> None:
    calendar = build_calendar(START, 40, WAVY, None, None)
    assert (calendar.season == 1).all()
    assert calendar.season.shape == (2, 40)
    assert not calendar.depth.any()
    assert not calendar.flash.any()
    fractions = np.linspace(0, 0.999, 1000)
    np.testing.assert_allclose(calendar.time_of_day(fractions), fractions, atol=1e-15)


def test_orders_fall_into_hours_as_their_weights_say() -> None:
    hours = ShopSeasons().hours
    calendar = _calendar(1, seasons=ShopSeasons())
    # Every quantile once: counts are exact to the two that lie on the hour's borders.
    n = 100_000
    times = calendar.time_of_day((np.arange(n) + 0.5) / n)
    counts = np.bincount((times * 24).astype(int), minlength=24)
    np.testing.assert_allclose(counts, n * np.array(hours) / sum(hours), atol=2)
    # Uniform within the hour.
    evening = times[(times * 24).astype(int) == 20] * 24 - 20
    assert stats.kstest(evening, "uniform").statistic < 2 / len(evening)


@given(
    st.lists(st.floats(1e-6, 1e6), min_size=24, max_size=24),
    st.lists(st.floats(0, 1, exclude_max=True), min_size=2, max_size=20),
    st.integers(0, 2**20 - 1),
)
@settings(max_examples=60)
def test_time_of_day_keeps_the_order_and_the_day(
    hours: list[float], fractions: list[float], day: int
) -> None:
    calendar = _calendar(1, seasons=ShopSeasons(hours=tuple(hours)))
    times = calendar.time_of_day(np.array(sorted(fractions)))
    assert (np.diff(times) >= 0).all()
    assert times[0] >= 0
    assert times[-1] < 1
    np.testing.assert_array_equal(np.floor(day + times), day)


def test_the_last_moment_stays_within_its_day() -> None:
    # The largest uniform number would be midnight of the next day once a day is added.
    for seasons in (None, ShopSeasons()):
        last = _calendar(1, seasons=seasons).time_of_day(np.array([1 - 2.0**-53]))
        assert np.floor(2**20 - 1 + last).item() == 2**20 - 1
        assert last.item() > 1 - 1e-8


@pytest.mark.parametrize(
    ("month", "day", "lasts", "n_days", "expected"),
    [
        (2, 27, 3, 70, ["02-27", "02-28", "02-29"]),
        (0, 15, 1, 60, ["01-15", "02-15"]),
        (1, 1, 1, 5, ["01-01"]),
        (12, 28, 1, 20, []),
        # Began on 28 December.
        (12, 28, 6, 20, ["01-01", "01-02"]),
        (0, 28, 5, 30, ["01-01", "01-28", "01-29", "01-30"]),
        # Began in January of the year before.
        (1, 2, 365, 3, ["01-01", "01-02", "01-03"]),
        (1, 3, 364, 3, ["01-01", "01-03"]),
        # Never ends.
        (7, 7, 10**9, 3, ["01-01", "01-02", "01-03"]),
    ],
)
def test_promotions_run_on_their_dates(
    month: int, day: int, lasts: int, n_days: int, expected: list[str]
) -> None:
    calendar = _calendar(n_days, ShopPromotion(name="x", month=month, day=day, days=lasts))
    assert _on(calendar) == expected
    assert set(calendar.depth) <= {0.0, 0.1}


def test_the_deeper_of_two_promotions_counts() -> None:
    wide = ShopPromotion(name="wide", month=1, day=1, days=4, depth=0.1, flash=True)
    deep = ShopPromotion(name="deep", month=1, day=3, days=4, depth=0.3)
    for promotions in ((wide, deep), (deep, wide)):
        calendar = _calendar(7, *promotions)
        assert calendar.depth.tolist() == [0.1, 0.1, 0.3, 0.3, 0.3, 0.3, 0.0]
        assert calendar.flash.tolist() == [True, True, False, False, False, False, False]


def test_of_two_promotions_as_deep_the_first_counts() -> None:
    slow = ShopPromotion(name="slow", month=1, day=1, depth=0.2)
    fast = ShopPromotion(name="fast", month=1, day=1, depth=0.2, flash=True)
    assert not _calendar(1, slow, fast).flash[0]
    assert _calendar(1, fast, slow).flash[0]


def test_the_default_discounts_of_a_year() -> None:
    calendar = build_calendar(pd.Timestamp("2023-01-01"), 365, PLAIN, None, ShopDiscounts())
    # 14 days of the six yearly promotions, and 12 member days, none of which falls on one.
    assert np.count_nonzero(calendar.depth) == 4 + 2 + 3 + 2 + 2 + 1 + 12
    on = pd.Series(calendar.depth, index=pd.date_range("2023-01-01", periods=365))
    assert on["2023-11-11"] == 0.3
    assert on["2023-06-18"] == 0.25
    assert on["2023-05-20"] == 0.1
    assert np.count_nonzero(calendar.flash) == 3


@given(
    st.integers(0, 1500),
    st.integers(1, 400),
    st.builds(
        ShopPromotion,
        name=st.just("x"),
        month=st.integers(0, 12),
        day=st.integers(1, 28),
        days=st.integers(1, 500),
        depth=st.sampled_from([0.2, 0.4]),
        flash=st.booleans(),
    ),
)
@settings(max_examples=60)
def test_a_later_start_only_cuts_the_calendar(
    offset: int, n_days: int, promotion: ShopPromotion
) -> None:
    discounts = _discounts(
        promotion,
        ShopPromotion(name="y", month=5, day=1, days=40, depth=0.3),
    )
    late = START + pd.Timedelta(days=offset)
    whole = build_calendar(START, offset + n_days, WAVY, ShopSeasons(), discounts)
    part = build_calendar(late, n_days, WAVY, ShopSeasons(), discounts)
    np.testing.assert_allclose(part.season, whole.season[:, offset:], rtol=1e-12)
    np.testing.assert_array_equal(part.depth, whole.depth[offset:])
    np.testing.assert_array_equal(part.flash, whole.flash[offset:])
