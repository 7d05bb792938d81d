"""Demand by region and month (区域与季节): where and when more is bought than expected."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import gammaincinv, gammaln, ndtri

from touchpoint_lib._checks import (
    FloatArray,
    IntArray,
    check_choice,
    check_columns,
    check_number,
    check_present,
    check_values,
    fail,
)
from touchpoint_lib.campaigns._data import read_codes
from touchpoint_lib.campaigns._events import end_of, moments
from touchpoint_lib.timing._columns import as_moment

__all__ = ["demand_index"]

#: Standard deviations of the true ratios that are weighed, and how they are spaced: finely near 0.
_SPREADS = np.linspace(0.0, 1.0, 121)[1:] ** 2 * 3.0


def demand_index(
    orders: pd.DataFrame,
    *,
    region: str | pd.Series,
    freq: str = "M",
    value: str | None = None,
    since: Any = None,
    until: Any = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Return by region and month how demand compares with what region and month alone explain.

    The expected demand of a region in a month is region total x month total / total. Observed over
    expected is noisy where orders are few, so it is shrunk (收缩) towards 1: the true ratios of a
    region are gamma around 1, and how far they spread is learned from the region and from all
    others (gamma-Poisson).

    Parameters
    ----------
    orders : DataFrame
        A row an order that counts, with customer_id and time.
    region : str or Series
        Column of ``orders``, or a Series by customer_id such as
        ``customers.set_index("customer_id")["province"]``.
    freq : {"M", "Q", "W"}
        Calendar months, quarters, or weeks from Monday.
    value : str, optional
        Column of money, >= 0, to be summed up; by default orders are counted.
    since, until : date or time, optional
        Between these ``orders`` is complete (``since`` a date: from its beginning; ``until`` a
        date: to its end); others are left out, and counted. By default from the beginning of the
        day of the first order to the end of that of the last.
    level : float
        Of the intervals, in (0, 1).

    Returns
    -------
    DataFrame
        A row a region and period: region, period (its first day), days (of it that were observed:
        the first and the last may be incomplete), demand (orders or money), expected, ratio (NaN
        where nothing is expected), index (the ratio, shrunk) with index_low and index_high,
        exceptional (the interval leaves out 1), and with an interval each, _low and _high:
        period_index (the demand of a day in the period, over that of a day on average) and
        region_index (the demand of the region over that of a region on average). ``attrs``: spread
        (by region, the posterior mean of the standard deviation of its true ratios), dispersion,
        level, freq, since, until, orders (that count), value (the column, None for orders), outside
        (orders before ``since`` or after ``until``).

    Raises
    ------
    InputError
        If a column is missing, not of its kind or has missing values, a customer has no region, or
        there are fewer than two regions or two periods with demand.

    Notes
    -----
    Incomplete periods are told from others by their days alone: in period_index each counts by the
    day, and the other columns compare regions within a period, where its length does not matter.

    Counts are not quite Poisson, and money is not at all: orders of one customer come together. The
    variance of a cell is taken as dispersion x mean. With v the demand of a customer in a period,
    V of the customer in all and q the period's share of all demand, dispersion is the sum of
    (v - V q)^2 over customers and periods, over the sum of V (1 - sum of q^2): 1 where orders are
    independent, more where customers come for a while and go, less where they buy by the clock.

    Intervals of period_index and region_index have errors by customer: regions hold few customers
    that buy much and many that buy little. The index takes both margins for known.

    Both margins are made of the cells themselves, which ties the ratio of a cell down: its variance
    is dispersion (1 - share of the region) (1 - share of the period) / expected (the delta method
    for an independent table). The variance of the true ratios of a region is inverse gamma over
    regions (shape 1, of heavy tail: one may have a season of its own where others have none) and
    integrated over, as is its scale, which is flat up to 3; index_low and index_high are quantiles
    of the gamma with the mean and variance of the posterior. Where the data know of no interaction,
    the index is close to 1 everywhere. In simulated tables intervals at 0.95 cover 93 to 96 %, and
    90 % where true ratios spread by less than the noise of a cell.

    References
    ----------
    Clayton and Kaldor (1987), "Empirical Bayes estimates of age-standardized relative risks for use
    in disease mapping", Biometrics 43; Haberman (1973), "The analysis of residuals in
    cross-classified tables", Biometrics 29 (the variance of a cell).

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> shop = tp.load_shop()
    >>> paid = shop.orders[shop.orders["status"] == "paid"]
    >>> table = tp.demand_index(paid, region=shop.customers.set_index("customer_id")["province"])
    >>> names = ["region", "demand", "expected", "ratio", "index", "index_low", "index_high"]
    >>> table.loc[table["period"] == "2025-05-01", names].round(2)
               region  demand  expected  ratio  index  index_low  index_high
    16        Beijing   232.0    213.35   1.09   1.01       0.96        1.06
    40      Guangdong   297.0    298.90   0.99   1.00       0.96        1.04
    64   Heilongjiang   114.0    140.56   0.81   0.96       0.87        1.06
    88        Sichuan   256.0    237.44   1.08   1.01       0.96        1.06
    112      Zhejiang   280.0    288.75   0.97   1.00       0.96        1.03
    """
    check_choice("freq", freq, ["M", "Q", "W"])
    check_number("level", level, gt=0, lt=1)
    columns = [] if value is None else [value]
    columns += [region] if isinstance(region, str) else []
    check_columns(
        orders,
        ["customer_id", "time", *columns],
        "orders",
        "make it with order_log(...), or rename",
    )
    if len(orders) == 0:
        raise fail("orders has no rows", "pass a row an order")
    check_present("orders", orders, "customer_id")
    time = pd.Series(moments("orders", orders, "time"), index=orders.index, name="time")
    start = time.min().normalize() if since is None else as_moment("since", since, time)
    last = time.max().normalize() if until is None else until
    end = end_of(last, pd.DatetimeIndex(time), "time")
    if start >= end:
        raise fail(f"since is {start}, until {end}", "pass since before until")
    inside = ((time >= start) & (time <= end)).to_numpy()
    if not inside.any():
        raise fail(f"orders has no row from {start} to {end}", "pass a wider range")
    known = orders[inside]
    amount = np.ones(len(known))
    if value is not None:
        amount = check_values(f"{value} of orders", known[value], ge=0, index=known.index)
    named = pd.DataFrame({"region": _regions(known, region)}, index=known.index)
    code, labels = read_codes(named, "region", "region")
    # Local clock times: a period is what the calendar on the wall says.
    edges = _edges(start.tz_localize(None), end.tz_localize(None), freq)
    period = np.searchsorted(
        edges[:-1], time[inside].dt.tz_localize(None).to_numpy("datetime64[us]"), side="right"
    )
    shape = (len(labels), len(edges) - 1)
    cell = code * shape[1] + period - 1
    demand = np.bincount(cell, weights=amount, minlength=shape[0] * shape[1]).reshape(shape)
    if (demand.sum(axis=1) > 0).sum() < 2 or (demand.sum(axis=0) > 0).sum() < 2:
        raise fail(
            f"demand is in {int((demand.sum(axis=1) > 0).sum())} regions and "
            f"{int((demand.sum(axis=0) > 0).sum())} periods",
            "pass at least two of both",
        )
    total = demand.sum()
    share = [demand.sum(axis=1) / total, demand.sum(axis=0) / total]
    owner = pd.factorize(known["customer_id"])[0].astype(np.int64)
    dispersion = _dispersion(owner * shape[1] + period - 1, amount, share[1])
    days = np.diff(edges) / np.timedelta64(1, "D")
    expected = total * np.outer(*share)
    # Observed orders that would tell as much of the ratio as the cell does.
    tied = dispersion * np.outer(1 - share[0], 1 - share[1])
    mean, variance, spread = _shrunk(demand / tied, expected / tied)
    shape_of = mean**2 / variance
    tail = (1 - level) / 2
    low, high = (gammaincinv(shape_of, p) * variance / mean for p in (tail, 1 - tail))
    row, column = (axis.ravel() for axis in np.indices(shape))
    table = pd.DataFrame(
        {
            "region": pd.Series(labels).take(row).to_numpy(),
            "period": pd.DatetimeIndex(_first_days(edges, freq))[column],
            "days": days[column],
            "demand": demand.ravel(),
            "expected": expected.ravel(),
            "ratio": np.divide(
                demand, expected, out=np.full(shape, np.nan), where=expected > 0
            ).ravel(),
            "index": mean.ravel(),
            "index_low": low.ravel(),
            "index_high": high.ravel(),
            "exceptional": ((low > 1) | (high < 1)).ravel(),
        }
    )
    reach = float(ndtri(1 - tail))
    for name, label, part, weight, place in (
        ("period", period - 1, share[1], days / days.sum(), column),
        ("region", code, share[0], np.full(shape[0], 1 / shape[0]), row),
    ):
        error = reach * _share_error(owner, label, amount, part)
        for side, bound in (("", part), ("_low", part - error), ("_high", part + error)):
            table[f"{name}_index{side}"] = (np.maximum(bound, 0.0) / weight)[place]
    table.attrs = {
        "spread": dict(zip(labels, spread.tolist(), strict=True)),
        "dispersion": dispersion,
        "level": float(level),
        "freq": freq,
        "since": str(start),
        "until": str(end),
        "orders": len(known),
        "value": value,
        "outside": int((~inside).sum()),
    }
    return table


def _regions(orders: pd.DataFrame, region: str | pd.Series) -> Any:
    """Return the region of each order."""
    if isinstance(region, str):
        return orders[region]
    if not isinstance(region, pd.Series):
        raise fail(
            f"region is a {type(region).__name__}",
            "pass a column of orders, or a Series by customer_id",
        )
    if not region.index.is_unique:
        raise fail("region has a customer several times", "pass one region a customer")
    owner = orders["customer_id"]
    place = region.index.get_indexer(pd.Index(owner))
    if (place < 0).any():
        first = owner[place < 0].tolist()[0]
        raise fail(
            f"region has no customer {first!r} ({int((place < 0).sum()):,} orders of such)",
            "pass the region of every customer with orders, 'unknown' where it is",
        )
    return region.iloc[place].to_numpy()


def _edges(start: pd.Timestamp, end: pd.Timestamp, freq: str) -> Any:
    """Return where periods begin, the first at ``start``, and behind them the end."""
    periods = pd.period_range(start.to_period(freq), end.to_period(freq), freq=freq)
    behind = [start, *periods.start_time[1:], end + pd.Timedelta("1us")]
    return np.array(behind, dtype="datetime64[us]")


def _first_days(edges: Any, freq: str) -> Any:
    """Return the first days of periods, also of one that began before the first edge."""
    return pd.DatetimeIndex(edges[:-1]).to_period(freq).start_time


def _dispersion(place: IntArray, amount: FloatArray, share: FloatArray) -> float:
    """Return the variance of demand over its mean, customers being what varies at random.

    ``place`` is the customer times the number of periods, plus the period; ``share`` is that of
    each period in all demand.
    """
    places, at = np.unique(place, return_inverse=True)
    own = np.bincount(at, weights=amount)
    customer, period = np.divmod(places, len(share))
    whole = np.bincount(customer, weights=own)
    # The squares of own - whole x share, also where a customer has no order.
    squares = (own @ own) - 2 * (own * share[period]) @ whole[customer]
    squares += (whole @ whole) * (share @ share)
    found = float(squares / ((1 - share @ share) * whole.sum()))
    if found < 1e-9 * amount.max():
        raise fail(
            "every customer's demand is spread over the periods as that of all",
            "pass orders as they came in, not averages",
        )
    return found


def _share_error(
    owner: IntArray, label: IntArray, amount: FloatArray, share: FloatArray
) -> FloatArray:
    """Return the standard error of each label's share of demand, customers being what varies."""
    places, at = np.unique(owner * len(share) + label, return_inverse=True)
    own = np.bincount(at, weights=amount)
    customer, of = np.divmod(places, len(share))
    whole = np.bincount(customer, weights=own)
    # The squares of own - whole x share, also where a customer has no such order.
    apart = own * (own - 2 * share[of] * whole[customer])
    squares = np.bincount(of, weights=apart, minlength=len(share)) + share**2 * (whole @ whole)
    return np.asarray(np.sqrt(np.maximum(squares, 0.0)) / whole.sum())


def _shrunk(
    observed: FloatArray, expected: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the posterior mean and variance of each ratio, and the spread of each region.

    Given the spread s of its region, a ratio is Gamma(1 / s^2, 1 / s^2) and ``observed`` negative
    binomial. Over regions s^2 is InverseGamma(1, scale^2): both are integrated over the grid.
    """
    prior = 1 / _SPREADS[:, None, None] ** 2
    log_likelihood = (
        gammaln(prior + observed)
        - gammaln(prior)
        + prior * np.log(prior)
        - (prior + observed) * np.log(prior + expected)
    ).sum(axis=2)
    likelihood = np.exp(log_likelihood - log_likelihood.max(axis=0))
    # The points of the grid are not equally far apart.
    step = np.gradient(_SPREADS)
    # Below a twentieth the density is next to nothing, but must not be 0 by rounding.
    relative = _SPREADS[:, None] / _SPREADS
    given = step[:, None] * np.exp(-1 / np.maximum(relative, 0.05) ** 2) / relative**3
    given /= given.sum(axis=0)
    # (scales, regions): how well each scale explains each region.
    evidence = given.T @ likelihood
    log_scale = np.log(evidence).sum(axis=1) + np.log(step)
    scale = np.exp(log_scale - log_scale.max())
    weight = likelihood * (given @ (scale[:, None] / evidence))
    weight /= weight.sum(axis=0)
    means = (prior + observed) / (prior + expected)
    mean = np.einsum("gr,grp->rp", weight, means)
    within = means / (prior + expected) + (means - mean) ** 2
    return mean, np.einsum("gr,grp->rp", weight, within), _SPREADS @ weight
