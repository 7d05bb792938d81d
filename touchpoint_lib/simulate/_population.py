"""The customers: when they come, from where, and the constants of their own that nobody sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from touchpoint_lib._checks import DAYS_PER_YEAR, FloatArray, IntArray, fail
from touchpoint_lib.simulate._calendar import Calendar
from touchpoint_lib.simulate._draws import Draws
from touchpoint_lib.simulate._orders import Codes
from touchpoint_lib.simulate.settings import ShopArrivals


@dataclass(frozen=True)
class Population:
    """Customers by time of arrival, one an element; all arrays have one length.

    key is the number that addresses a customer's draws: 0 to n - 1 in no order of time, so that
    customers keep their luck whatever the others do. arrived is days since the start. segment,
    province and channel are codes into the settings, city into the cities of all provinces in
    turn. rate is lambda, stages a day; dropout the probability to leave after an order; the list
    value of an order is Gamma(p, nu).
    """

    key: IntArray
    arrived: FloatArray
    segment: Codes
    province: Codes
    city: Codes
    channel: Codes
    rate: FloatArray
    dropout: FloatArray
    nu: FloatArray

    def __len__(self) -> int:
        return len(self.key)


def populate(
    draws: Draws, arrivals: ShopArrivals, calendar: Calendar, n_customers: int, days: int
) -> Population:
    """Return ``n_customers`` customers who arrive in the first ``days`` days of ``calendar``.

    Customers who buy on discount only arrive on days with a discount, like everybody else where
    no such day has arrivals.

    Raises
    ------
    InputError
        When the weights of all months of the window are 0.
    """
    key = np.arange(n_customers)
    segments = arrivals.segments
    segment = draws.choice("population.segment", [each.share for each in segments], key)
    weights = _weights(arrivals, calendar.start, days)
    day = np.empty(n_customers, dtype=np.int64)
    picky = np.array([each.discount_only for each in segments])[segment]
    on_discount = np.where(calendar.depth[:days] > 0, weights, 0.0)
    for who, weight in ((~picky, weights), (picky, on_discount if on_discount.any() else weights)):
        cumulated = np.cumsum(weight)
        u = draws.uniform("population.day", key[who])
        day[who] = np.searchsorted(cumulated, u * cumulated[-1], side="right")
    arrived = day + calendar.time_of_day(draws.uniform("population.hour", key))
    # Sorted before the rest is drawn: the other draws then come out in order.
    order = np.argsort(arrived, kind="stable")
    key, segment = key[order], segment[order]
    # One draw for the home: a province's customers share its cities out among themselves.
    homes = [
        (code, province.share * share)
        for code, province in enumerate(arrivals.provinces)
        for share in province.cities.values()
    ]
    city = draws.choice("population.home", [share for _, share in homes], key)
    r, alpha, a, b, q, gamma = (
        np.array([getattr(each, name) for each in segments])[segment]
        for name in ("r", "alpha", "a", "b", "q", "gamma")
    )
    return Population(
        key=key,
        arrived=arrived[order],
        segment=segment,
        province=np.array([code for code, _ in homes], dtype=np.int8)[city],
        city=city,
        channel=draws.choice("population.channel", list(arrivals.channels.values()), key),
        rate=draws.gamma("population.rate", r, key) / alpha,
        dropout=draws.beta("population.dropout", a, b, key),
        nu=draws.gamma("population.nu", q, key) / gamma,
    )


def _weights(arrivals: ShopArrivals, start: pd.Timestamp, days: int) -> FloatArray:
    """Return the relative number of arrivals on each day of the window."""
    dates = pd.date_range(start, periods=days)
    months = np.array(arrivals.months)[dates.month.to_numpy() - 1]
    if not months.any():
        raise fail(
            f"months has no arrivals from {dates[0]:%Y-%m-%d} to {dates[-1]:%Y-%m-%d}: the "
            "weights of the months of this window are all 0",
            "give one of them a weight above 0, or simulate another window",
        )
    # Relative to the day with most: no growth may overflow.
    years = (np.arange(days) - (days - 1 if arrivals.growth > 1 else 0)) / DAYS_PER_YEAR
    return months * arrivals.growth**years
