"""The customers: shares, arrivals and constants have the distributions of the settings."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tests.strategies import START
from touchpoint_lib import InputError
from touchpoint_lib.simulate._calendar import Calendar, build_calendar
from touchpoint_lib.simulate._draws import Draws
from touchpoint_lib.simulate._population import Population, populate
from touchpoint_lib.simulate.settings import (
    ShopArrivals,
    ShopDiscounts,
    ShopPromotion,
    ShopProvince,
    ShopSeasons,
    ShopSegment,
)

N = 200_000
#: Two years from 2024-01-01.
DAYS = 731
#: Tail of four standard errors, both sides.
ALPHA = 6.3e-5
ARRIVALS = ShopArrivals()
ONE = ShopSegment(name="one", share=1.0)
PICKY = ShopSegment(name="picky", share=1.0, discount_only=True)


def _calendar(
    days: int = DAYS,
    discounts: ShopDiscounts | None = None,
    seasons: ShopSeasons | None = None,
) -> Calendar:
    return build_calendar(START, days, ARRIVALS.provinces, seasons, discounts)


def _populate(
    arrivals: ShopArrivals = ARRIVALS,
    n: int = N,
    days: int = DAYS,
    discounts: ShopDiscounts | None = None,
) -> Population:
    return populate(Draws(7), arrivals, _calendar(days, discounts), n, days)


@pytest.fixture(scope="module")
def shop() -> Population:
    """The default customers with the default calendar."""
    calendar = _calendar(discounts=ShopDiscounts(), seasons=ShopSeasons())
    return populate(Draws(7), ARRIVALS, calendar, N, DAYS)


def _fits(codes: Any, shares: Any) -> bool:
    """Return whether the counts of several codes agree with their shares (chi-square)."""
    shares = np.asarray(shares) / np.sum(shares)
    counts = np.bincount(codes, minlength=len(shares))
    assert not counts[shares == 0].any()
    some = shares > 0
    return bool(stats.chisquare(counts[some], counts.sum() * shares[some]).pvalue > ALPHA)


def _month(population: Population) -> Any:
    """Return the number of months from the start to each arrival."""
    dates = pd.date_range(START, periods=DAYS)
    months = dates.year.to_numpy() * 12 + dates.month.to_numpy() - START.year * 12 - 1
    return months[population.arrived.astype(int)]


def _columns(population: Population, keys: Any) -> dict[str, Any]:
    """Return the constants of the customers ``keys``, in this order."""
    at = np.argsort(population.key)[keys]
    return {name: values[at] for name, values in vars(population).items()}


def test_every_customer_is_there_once_in_order_of_arrival(shop: Population) -> None:
    assert len(shop) == N
    np.testing.assert_array_equal(np.sort(shop.key), np.arange(N))
    assert (np.diff(shop.arrived) >= 0).all()
    assert shop.arrived[0] >= 0
    assert shop.arrived[-1] < DAYS
    assert {field.name for field in dataclasses.fields(shop)} == set(vars(shop))
    assert all(len(values) == N for values in vars(shop).values())
    for name in ("segment", "province", "city", "channel"):
        assert getattr(shop, name).dtype == np.int8


def test_shares_are_those_of_the_settings(shop: Population) -> None:
    assert _fits(shop.segment, [segment.share for segment in ARRIVALS.segments])
    assert _fits(shop.province, [province.share for province in ARRIVALS.provinces])
    assert _fits(shop.channel, list(ARRIVALS.channels.values()))


def test_cities_are_those_of_their_province(shop: Population) -> None:
    homes = [
        (code, province.share * share)
        for code, province in enumerate(ARRIVALS.provinces)
        for share in province.cities.values()
    ]
    assert _fits(shop.city, [share for _, share in homes])
    np.testing.assert_array_equal(shop.province, np.array([code for code, _ in homes])[shop.city])


def test_segment_home_and_channel_are_independent(shop: Population) -> None:
    for first, second in (("segment", "city"), ("segment", "channel"), ("city", "channel")):
        table = pd.crosstab(getattr(shop, first), getattr(shop, second))
        assert stats.chi2_contingency(table).pvalue > ALPHA


def test_arrivals_by_month_follow_weights_and_growth() -> None:
    arrivals = replace(ARRIVALS, segments=(ONE,), growth=1.8)
    dates = pd.date_range(START, periods=DAYS)
    weights = np.array(arrivals.months)[dates.month - 1] * 1.8 ** (np.arange(DAYS) / 365.25)
    population = _populate(arrivals)
    assert _fits(population.arrived.astype(int), weights)
    # The closed form of one ratio: June of the second year to January of the first.
    by_month = np.bincount(_month(population))
    ratio = by_month[17] / by_month[0]
    days = np.arange(DAYS)[(dates.year == 2025) & (dates.month == 6)]
    expected = 1.3 * (1.8 ** (days / 365.25)).sum() / (1.8 ** (np.arange(31) / 365.25)).sum()
    error = expected * np.sqrt(1 / by_month[17] + 1 / by_month[0])
    assert abs(ratio - expected) < 4 * error


def test_nobody_arrives_in_a_month_of_weight_zero() -> None:
    months = (0.0, 1.0, 0.0, *(2.0,) * 8, 0.0)
    population = _populate(replace(ARRIVALS, segments=(ONE,), months=months))
    assert set(_month(population)) == {1, *range(3, 11), 13, *range(15, 23)}
    assert population.arrived[-1] < DAYS - 31


@pytest.mark.parametrize("growth", [1e-300, 1e300])
def test_extreme_growth_does_not_overflow(growth: float) -> None:
    arrived = _populate(replace(ARRIVALS, growth=growth), n=1000).arrived
    # A thousandfold in 3.7 days.
    assert np.abs(arrived - (DAYS if growth > 1 else 0)).max() < 20


def test_hours_of_arrival_are_those_of_the_shop(shop: Population) -> None:
    assert _fits((shop.arrived % 1 * 24).astype(int), ShopSeasons().hours)
    # Also on a few days alone: the hour has nothing to do with the day.
    few = shop.arrived[(shop.arrived >= 500) & (shop.arrived < 510)]
    assert _fits((few % 1 * 24).astype(int), ShopSeasons().hours)


def test_promotion_driven_customers_arrive_on_discount_only(shop: Population) -> None:
    calendar = _calendar(discounts=ShopDiscounts())
    day = shop.arrived.astype(int)
    picky = shop.segment == 3
    weights = np.array(ARRIVALS.months)[pd.date_range(START, periods=DAYS).month - 1]
    assert (calendar.depth[day[picky]] > 0).all()
    assert _fits(day[picky], weights * (calendar.depth > 0))
    assert _fits(day[~picky], weights)


def test_without_a_discount_they_arrive_like_everybody() -> None:
    # No promotion; one in a month without arrivals; one behind the window.
    january = ShopPromotion(name="x", month=1, day=5)
    march = ShopPromotion(name="x", month=3, day=5)
    months = (0.0, *(1.0,) * 11)
    arrivals = replace(ARRIVALS, segments=(PICKY,), months=months)
    for promotion, days in ((None, 60), (january, 60), (march, 60)):
        discounts = None if promotion is None else ShopDiscounts(promotions=(promotion,))
        arrived = _populate(arrivals, 10_000, days, discounts).arrived.astype(int)
        assert _fits(arrived, [0] * 31 + [1] * 29)


def test_the_window_may_be_shorter_than_the_calendar() -> None:
    # Parcels and payments run on behind the window.
    discounts = ShopDiscounts(promotions=(ShopPromotion(name="x", month=2, day=1, days=9),))
    arrivals = replace(ARRIVALS, segments=(PICKY,))
    calendar = _calendar(60, discounts)
    assert populate(Draws(1), arrivals, calendar, 500, 33).arrived.astype(int).min() == 31
    assert populate(Draws(1), arrivals, calendar, 500, 33).arrived.max() < 33


def test_rates_dropouts_and_values_are_those_of_their_segment(shop: Population) -> None:
    for code, s in enumerate(ARRIVALS.segments):
        who = shop.segment == code
        for values, law in (
            (shop.rate[who], stats.gamma(s.r, scale=1 / s.alpha)),
            (shop.dropout[who], stats.beta(s.a, s.b)),
            (shop.nu[who], stats.gamma(s.q, scale=1 / s.gamma)),
        ):
            assert stats.kstest(values, law.cdf).pvalue > ALPHA
            error = law.std() / np.sqrt(len(values))
            assert abs(values.mean() - law.mean()) < 4 * error
            # The standard error of a variance needs the law's fourth moment.
            kurtosis = float(law.stats("k"))
            error = law.var() * np.sqrt((kurtosis + 2) / len(values))
            assert abs(values.var() - law.var()) < 4 * error


def test_mean_list_value_is_that_of_gamma_gamma(shop: Population) -> None:
    for code, s in enumerate(ARRIVALS.segments):
        means = s.p / shop.nu[shop.segment == code]
        # Fader, Hardie and Lee (2005): p gamma / (q - 1); p / nu is inverse gamma.
        error = s.p * s.gamma / (s.q - 1) / np.sqrt((s.q - 2) * len(means))
        assert abs(means.mean() - s.p * s.gamma / (s.q - 1)) < 4 * error


def test_constants_of_a_customer_are_independent(shop: Population) -> None:
    who = shop.segment == 2
    names = ["arrived", "rate", "dropout", "nu", "city", "channel"]
    ranks = [stats.rankdata(getattr(shop, name)[who]) for name in names]
    correlations = np.corrcoef(ranks) - np.eye(len(names))
    assert np.abs(correlations).max() < 4.5 / np.sqrt(np.count_nonzero(who))


@given(st.integers(0, 2**70), st.integers(0, 40), st.integers(0, 40))
@settings(max_examples=25)
def test_customers_keep_their_luck_whatever_the_others_do(seed: int, few: int, more: int) -> None:
    calendar = _calendar(400, ShopDiscounts())
    small = populate(Draws(seed), ARRIVALS, calendar, few, 400)
    large = populate(Draws(seed), ARRIVALS, calendar, few + more, 400)
    first = _columns(large, np.arange(few))
    for name, values in _columns(small, np.arange(few)).items():
        np.testing.assert_array_equal(values, first[name])


def test_one_segment_can_change_and_leave_the_others_alone(shop: Population) -> None:
    # As many core customers, who buy twice as often and on discount only; another discount.
    core = replace(ARRIVALS.segments[0], r=8.0, q=6.0, discount_only=True)
    arrivals = replace(ARRIVALS, segments=(core, *ARRIVALS.segments[1:]))
    more = ShopDiscounts(promotions=(ShopPromotion(name="x", month=4, day=2),))
    calendar = _calendar(discounts=more, seasons=ShopSeasons())
    other = populate(Draws(7), arrivals, calendar, N, DAYS)
    mass = shop.key[shop.segment == 2]
    before, after = _columns(shop, mass), _columns(other, mass)
    for name, values in before.items():
        np.testing.assert_array_equal(values, after[name])
    cores = shop.key[shop.segment == 0]
    assert (_columns(other, cores)["rate"] > _columns(shop, cores)["rate"]).all()


def test_a_window_without_arrivals_is_refused() -> None:
    months = (0.0, 0.0, *(1.0,) * 10)
    message = (
        "months has no arrivals from 2024-01-01 to 2024-02-29: the weights of the months of this "
        "window are all 0; give one of them a weight above 0, or simulate another window"
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        _populate(replace(ARRIVALS, months=months), 10, 60)
    arrived = _populate(replace(ARRIVALS, months=months), 10, 61).arrived
    assert (arrived.astype(int) == 60).all()


def test_one_province_with_one_city() -> None:
    home = ShopProvince(name="Hainan", share=1.0, cities={"Haikou": 1.0})
    arrivals = replace(ARRIVALS, provinces=(home,), channels={"search": 1.0})
    population = _populate(arrivals, 100)
    assert not population.province.any()
    assert not population.city.any()
    assert not population.channel.any()
