"""What the recovery tests share: quiet shops, their summaries, clustered errors, exact bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

import touchpoint_lib as tp

#: Long ago: a summary in stretched time must not reach into the future.
START = pd.Timestamp("1980-01-01")
#: Nothing but arrivals and purchases, in a time that runs evenly.
QUIET: dict[str, Any] = {
    "start": START,
    "goods": tp.ShopGoods(again=0.0),
    "seasons": None,
    "discounts": None,
    "visits": None,
    "contacts": None,
    "payments": None,
    "parcels": None,
    "reviews": None,
}
#: Probability of one tail behind 4 standard errors of the normal: what a single check may fail
#: with by chance.
TAIL = float(stats.norm.sf(4))
#: Level of an interval of 4 standard errors.
SURE = 1 - 2 * TAIL


def check_coverage(held: Any, what: str) -> None:
    """Fail unless 95 % intervals hold the truth as often as they should, up to binomial error.

    ``held`` has one row a population that is independent of the others, and one column a truth;
    each column has to lie between the exact binomial bounds of a probability of 0.95.
    """
    table = np.atleast_2d(np.asarray(held, dtype=np.float64).T)
    low, high = stats.binom(table.shape[1], 0.95).interval(SURE)
    counts = table.sum(axis=1)
    assert ((low <= counts) & (counts <= high)).all(), (what, counts, (low, high))


def one_segment(**parameters: Any) -> tp.ShopArrivals:
    """Arrivals of a single segment."""
    segment = tp.ShopSegment(name="only", share=1.0, **parameters)
    return tp.ShopArrivals(segments=(segment,))


def summary(orders: pd.DataFrame, days: float, per_day: int) -> pd.DataFrame:
    """rfm_summary of the first ``days`` days, with 1 / ``per_day`` of a day as its day.

    The library knows calendar days only. In a clock that runs 96 times as fast a day is a quarter
    of an hour, and next to no two orders are merged.
    """
    known = orders[orders["time"] < START + pd.Timedelta(days=days)]
    faster = START + (known["time"] - START) * per_day
    until = START + pd.Timedelta(days=days * per_day - 1)
    return tp.rfm_summary(known.assign(time=faster), time="time", unit="D", until=until)


def part(frame: pd.DataFrame, number: int, n_groups: int) -> pd.DataFrame:
    """Return every ``n_groups``-th customer: they are independent, so these are a shop too."""
    chosen = frame[frame.index % n_groups == number]
    chosen.attrs = frame.attrs
    return chosen


def gap_survival(days: Any, k: int, r: float, alpha: float, a: float, b: float) -> Any:
    """P(no second order within ``days``) of an MBG/CNBD-k customer.

    Who leaves after the first order never comes back; for the others it is the Erlang-k survival
    averaged over Gamma(r, alpha) rates: P(NB(r, alpha / (alpha + t)) < k).
    """
    never = a / (a + b)
    stays = stats.nbinom.cdf(k - 1, r, alpha / (alpha + np.asarray(days, dtype=np.float64)))
    return never + (1 - never) * stays


def difference(outcome: Any, treated: Any, customer: Any) -> tuple[float, float]:
    """Return the difference of means of the treated and the others, and its standard error.

    The error allows for opportunities of one customer that overlap: it is the linearised one,
    with the influences summed by customer (Liang and Zeger 1986), times n / (n - 1).
    """
    y, d = np.asarray(outcome, dtype=np.float64), np.asarray(treated, dtype=bool)
    with_, without = y[d].mean(), y[~d].mean()
    influence = np.where(d, (y - with_) / d.sum(), (without - y) / (~d).sum())
    sums = np.bincount(pd.factorize(np.asarray(customer))[0], weights=influence)
    return with_ - without, float(np.sqrt((sums**2).sum() * len(sums) / (len(sums) - 1)))
