"""The shop's calendar: what the year, the week, the hour and the discounts do to a day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from touchpoint_lib._checks import DAYS_PER_YEAR, BoolArray, FloatArray
from touchpoint_lib.simulate.settings import ShopDiscounts, ShopProvince, ShopSeasons

#: Day 1 of the season's clock. One fixed day: a season counted anew every January would jump.
_EPOCH = pd.Timestamp("2000-01-01")
#: Days in which every date of every year comes at least once (the 29th of February aside).
_LOOK_BACK = 366
# The last moment of a day that survives being added to a day below 2**20: orders at the very end
# of a day must not be rounded into the next one.
LAST_MOMENT = 1 - 2.0**-32


@dataclass(frozen=True)
class Calendar:
    """Factors of the days since ``start``.

    season, of shape (provinces, days), multiplies the hazard. depth and flash, one a day, are the
    discount of the day (0: none) and the short limit of the promotion behind it. clock holds the
    share of a day's orders before each hour, 0 to 24.
    """

    start: pd.Timestamp
    season: FloatArray
    depth: FloatArray
    flash: BoolArray
    clock: FloatArray

    def time_of_day(self, fraction: FloatArray) -> FloatArray:
        """Return the share of the day that is over when ``fraction`` of its orders are in.

        Both lie in [0, 1) and the order is kept; the result is uniform within an hour.
        """
        hours = np.linspace(0, 1, len(self.clock))
        return np.minimum(np.interp(fraction, self.clock, hours), LAST_MOMENT)

    def fraction_of_orders(self, time_of_day: FloatArray) -> FloatArray:
        """Return the share of a day's orders that is in by ``time_of_day``: the inverse."""
        return np.interp(time_of_day, np.linspace(0, 1, len(self.clock)), self.clock)


def build_calendar(
    start: pd.Timestamp,
    n_days: int,
    provinces: Sequence[ShopProvince],
    seasons: ShopSeasons | None,
    discounts: ShopDiscounts | None,
) -> Calendar:
    """Return the calendar of ``n_days`` days from ``start``, midnight, without a time zone.

    A process that is None changes nothing: factors are 1, hours are equal, depths are 0. Of two
    promotions as deep on one day the first one listed counts.
    """
    days = pd.date_range(start, periods=n_days)
    season = np.ones((len(provinces), n_days))
    clock = np.linspace(0, 1, 25)
    if seasons is not None:
        angle = 2 * np.pi * ((days - _EPOCH).days.to_numpy() + 1 - seasons.peak) / DAYS_PER_YEAR
        amplitude = np.array([province.season for province in provinces])
        weekdays = np.array(seasons.weekdays) / np.mean(seasons.weekdays)
        season = (1 + amplitude[:, None] * np.cos(angle)) * weekdays[days.day_of_week.to_numpy()]
        cumulated = np.cumsum((0.0, *seasons.hours))
        clock = cumulated / cumulated[-1]
    depth, flash = np.zeros(n_days), np.zeros(n_days, dtype=bool)
    # A promotion that began before the start may still run.
    seen = pd.date_range(start - pd.Timedelta(days=_LOOK_BACK), periods=_LOOK_BACK + n_days)
    month, day, at = seen.month.to_numpy(), seen.day.to_numpy(), np.arange(len(seen))
    for promotion in discounts.promotions if discounts is not None else ():
        begins = (day == promotion.day) & ((promotion.month == 0) | (month == promotion.month))
        begun = np.maximum.accumulate(np.where(begins, at, 0))
        deeper = ((at - begun)[_LOOK_BACK:] < promotion.days) & (depth < promotion.depth)
        depth[deeper] = promotion.depth
        flash[deeper] = promotion.flash
    return Calendar(start, season, depth, flash, clock)
