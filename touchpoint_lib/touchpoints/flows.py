"""Journeys through the stages (客户旅程): who moved from where to where in each month."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib._checks import FloatArray, IntArray, check_number, fail, first_of
from touchpoint_lib.campaigns._events import end_of
from touchpoint_lib.metrics._shared import wilson_interval
from touchpoint_lib.touchpoints.stages import check_history

__all__ = ["flow_difference", "stage_flows"]

START, LOST = "start", "lost"


def stage_flows(
    history: pd.DataFrame,
    *,
    group: pd.Series | None = None,
    asleep: Any = "asleep",
    until: Any = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Return how many customers went from which stage to which in each whole month.

    A customer counts in the stage of the last moment before a month and of the last moment of it,
    so that one month goes on where the other ends; what lies between is passed through. Who came in
    the month flows from "start" (新进). Who was asleep before the month began and until its end is
    "lost" (流失) at its end, and flows from there if it wakes up.

    Parameters
    ----------
    history : DataFrame
        From `stage_history`, or a frame like it: of value segments month by month, for example.
    group : Series, optional
        A label by customer, to compare groups by `flow_difference`; customers without one are
        refused.
    asleep
        The stage in which a whole month makes a customer lost; None for none.
    until : date or time, optional
        The last moment observed (a date: to its end): a month that is not over by then is left out.
        By default that of ``history.attrs``, behind which it cannot lie; without one there, the
        last start of a stage.
    level : float
        Of the intervals, in (0, 1).

    Returns
    -------
    DataFrame
        A row a month and a pair of stages with customers: group ("all" without one), month (its
        first day), source, target (ordered categories: start, the stages, lost), customers, share
        (of the customers of the group in ``source``; NaN of "start", which holds no customers
        before) with share_low and share_high (Wilson).

    Raises
    ------
    InputError
        If the history cannot be one, a stage is called start or lost, a customer has no group,
        ``until`` lies behind that of the history, or no whole month is in the log.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> log = tp.load_cdnow(sample=True).rename(columns={"date": "time"})
    >>> model = tp.ModifiedBetaGeoModel().fit(tp.rfm_summary(log, time="time"))
    >>> flows = tp.stage_flows(tp.stage_history(log, model))
    >>> june = flows[(flows["month"] == "1997-06-01") & (flows["source"] == "drowsy")]
    >>> june[["target", "customers", "share"]].round(3)
             target  customers  share
    42        awake        101  0.064
    43       drowsy       1421  0.895
    44  half asleep         65  0.041
    """
    check_number("level", level, gt=0, lt=1)
    order, ids, steps = _steps(history, asleep, until)
    label, groups = _groups(group, ids)
    size = len(order)
    parts = []
    for month, before, now in steps:
        there = np.flatnonzero(now > 0)
        keys = (label[there] * size + before[there]) * size + now[there]
        counts = np.bincount(keys, minlength=len(groups) * size * size)
        parts.append(_month(counts, groups, order, month, level))
    return pd.concat(parts, ignore_index=True)


def _steps(
    history: pd.DataFrame, asleep: Any, until: Any
) -> tuple[list[Any], Any, Iterator[tuple[pd.Timestamp, IntArray, IntArray]]]:
    """Return the nodes, the customers, and by month where each was before and after it.

    Places are numbers of the nodes, 0 before a customer's first stage.
    """
    check_history(history)
    stages = history["stage"].cat.categories
    for name in (START, LOST):
        if name in stages:
            raise fail(f"a stage is called {name!r}", "rename it: the flows have such a node")
    if asleep is not None and asleep not in list(stages):
        raise fail(
            f"asleep is {asleep!r}, which is no stage",
            f"the stages are {', '.join(map(repr, stages))}; pass None for none",
        )
    start = pd.DatetimeIndex(history["start"]).as_unit("us")
    months = _months(start, _end(history, start, until))
    who, ids = pd.factorize(history["customer_id"], sort=True)
    code = history["stage"].cat.codes.to_numpy(dtype=np.int64) + 1
    sleeping = (history["stage"] == asleep).to_numpy(dtype=bool)
    begin, end = start.asi8, pd.DatetimeIndex(history["end"]).as_unit("us").asi8
    end = np.where(history["end"].isna(), np.iinfo(np.int64).max, end)
    lost = len(stages) + 1

    def walk() -> Iterator[tuple[pd.Timestamp, IntArray, IntArray]]:
        before: IntArray | None = None
        moments = months.as_unit("us").asi8
        for number, moment in enumerate(moments):
            rows = np.flatnonzero((begin < moment) & (moment <= end))
            now = np.zeros(len(ids), dtype=np.int64)
            now[who[rows]] = code[rows]
            if before is not None:
                now[(before > 0) & (now == 0)] = lost
                slept = sleeping[rows] & (begin[rows] < moments[number - 1])
                now[who[rows[slept]]] = lost
                yield months[number - 1], before, now
            before = now

    return [START, *stages, LOST], ids, walk()


def _end(history: pd.DataFrame, start: pd.DatetimeIndex, until: Any) -> pd.Timestamp:
    """Return the last moment observed."""
    known = history.attrs.get("until")
    end = end_of(known if until is None else until, start, "start")
    # Behind its end a history would say that everybody stays where he was.
    if known is not None and end > (last := end_of(known, start, "start")):
        raise fail(
            f"until is {end}, history ends at {last}",
            "pass an earlier until, or make the history up to then",
        )
    return end


def _months(start: pd.DatetimeIndex, end: pd.Timestamp) -> pd.DatetimeIndex:
    """Return the first moments of the whole months of a log, and of the month behind them."""
    first = start.min().to_period("M")
    if start.min().normalize() > first.start_time:
        first += 1
    # The day after a last moment of 23:59:59.999999 begins the next month.
    last = (end + pd.Timedelta("1us")).to_period("M")
    months = pd.period_range(first, last, freq="M").to_timestamp()
    if len(months) < 2:
        raise fail(
            f"no whole month lies between {start.min()} and {end}", "pass a longer log, or until="
        )
    return months


def _groups(group: pd.Series | None, ids: Any) -> tuple[IntArray, list[Any]]:
    """Return the number of each customer's group, and the labels."""
    if group is None:
        return np.zeros(len(ids), dtype=np.int64), ["all"]
    if not isinstance(group, pd.Series) or not group.index.is_unique:
        raise fail("group is no Series with one label a customer", "pass one by customer_id")
    own = group.reindex(ids)
    if own.isna().any():
        raise fail(
            f"customer {first_of(own.index, own.isna())} has no group "
            f"({int(own.isna().sum()):,} such customers)",
            "label all of them, or leave the others out of history",
        )
    label, groups = pd.factorize(own, sort=True)
    return label.astype(np.int64), list(groups)


def _month(
    counts: IntArray, groups: list[Any], order: list[Any], month: pd.Timestamp, level: float
) -> pd.DataFrame:
    """Return the flows of a month from the counts of all groups, sources and targets."""
    size = len(order)
    cube = counts.reshape(len(groups), size, size)
    group, source, target = np.nonzero(cube)
    customers = cube[group, source, target]
    of = cube.sum(axis=2)[group, source]
    low, high = wilson_interval(customers, of, level)
    came = source == 0
    return pd.DataFrame(
        {
            "group": [groups[number] for number in group],
            "month": month,
            "source": pd.Categorical.from_codes(source, pd.Index(order), ordered=True),
            "target": pd.Categorical.from_codes(target, pd.Index(order), ordered=True),
            "customers": customers,
            "share": np.where(came, np.nan, customers / of),
            "share_low": np.where(came, np.nan, low),
            "share_high": np.where(came, np.nan, high),
        }
    )


def flow_difference(
    history: pd.DataFrame,
    group: pd.Series,
    *,
    asleep: Any = "asleep",
    until: Any = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Return by how much the monthly flows of two groups differ, over all months.

    Parameters
    ----------
    history, asleep, until
        As for `stage_flows`.
    group : Series
        One of two labels by customer. Only where a lot drew it, as for a standing control group
        (对照组), is the difference an effect.
    level : float
        Of the intervals, in (0, 1).

    Returns
    -------
    DataFrame
        A row a pair of stages between which somebody went: source, target; for the two groups, in
        the order of ``attrs["groups"]``, months_1 and months_2 (that customers began in
        ``source``), moved_1 and moved_2 (of them to ``target``), share_1 and share_2; difference
        (share_2 - share_1) with low and high. NaN where a group had nobody in ``source``.

        Intervals are Newcombe's (method 10), each group's months divided by its design effect,
        since months of one customer belong together.

    Raises
    ------
    InputError
        As for `stage_flows`, and if there are not two groups.

    References
    ----------
    Newcombe (1998), Statistics in Medicine 17, p. 873; Kish (1965), "Survey Sampling", section 8.2
    (design effects).

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> shop = tp.load_shop()
    >>> paid = shop.orders[shop.orders["status"] == "paid"]
    >>> model = tp.ModifiedBetaGeoModel().fit(tp.rfm_summary(paid, time="time"))
    >>> group = shop.customers.set_index("customer_id")["control_group"]
    >>> found = tp.flow_difference(tp.stage_history(paid, model), group)
    >>> found.loc[found["source"] == "drowsy", ["target", "difference", "low", "high"]].round(3)
            target  difference    low   high
    6        awake       0.002 -0.015  0.021
    7       drowsy      -0.011 -0.033  0.010
    8  half asleep       0.009 -0.006  0.027
    9       asleep      -0.000 -0.000  0.003
    """
    check_number("level", level, gt=0, lt=1)
    order, ids, steps = _steps(history, asleep, until)
    label, groups = _groups(group, ids)
    if len(groups) != 2:
        raise fail(f"group has {len(groups)} labels", "pass two: whom to compare with whom")
    size = len(order)
    # How often each customer went from where to where; of the start nobody was before.
    keys = [
        (there * size + before[there]) * size + now[there]
        for _, before, now in steps
        for there in [np.flatnonzero(before > 0)]
    ]
    key, times = np.unique(np.concatenate(keys), return_counts=True)
    begun, entry = np.unique(key // size, return_inverse=True)
    months = np.bincount(entry, weights=times)
    pair, cells = key % size**2, np.unique(key % size**2)
    source, target = np.divmod(cells, size)
    table = pd.DataFrame(
        {
            name: pd.Categorical.from_codes(codes, pd.Index(order), ordered=True)
            for name, codes in (("source", source), ("target", target))
        }
    )
    bounds = []
    for place in range(2):
        moved, stayed = label[key // size**2] == place, label[begun // size] == place
        by_pair = pair[moved], size**2
        by_source = begun[stayed] % size, size
        k, n = _sums(times[moved], *by_pair)[cells], _sums(months[stayed], *by_source)[source]
        share = np.divide(k, n, out=np.full(len(n), np.nan), where=n > 0)
        # Squares of what customers moved more or less often than expected.
        squares = _sums(times[moved] ** 2, *by_pair)[cells]
        squares -= 2 * share * _sums((times * months[entry])[moved], *by_pair)[cells]
        squares += share**2 * _sums(months[stayed] ** 2, *by_source)[source]
        plain = n * share * (1 - share)
        effect = np.divide(squares, plain, out=np.ones(len(n)), where=plain > 0)
        effect = np.maximum(effect, 1.0)
        table[f"months_{place + 1}"] = n.astype(np.int64)
        table[f"moved_{place + 1}"] = k.astype(np.int64)
        table[f"share_{place + 1}"] = share
        bounds.append((share, *_bounds(k / effect, n / effect, level)))
    (share_1, low_1, high_1), (share_2, low_2, high_2) = bounds
    gap = share_2 - share_1
    table["difference"] = gap
    table["low"] = gap - np.hypot(share_2 - low_2, high_1 - share_1)
    table["high"] = gap + np.hypot(high_2 - share_2, share_1 - low_1)
    table.attrs = {"groups": groups, "level": level}
    return table


def _sums(weights: Any, place: IntArray, size: int) -> FloatArray:
    """Return the sum of the weights at each place."""
    return np.bincount(place, weights=weights, minlength=size).astype(np.float64)


def _bounds(k: FloatArray, n: FloatArray, level: float) -> tuple[FloatArray, FloatArray]:
    """Return Wilson's bounds of shares k / n, NaN where n is 0."""
    low, high = np.full(len(n), np.nan), np.full(len(n), np.nan)
    there = n > 0
    low[there], high[there] = wilson_interval(k[there], n[there], level)
    return low, high
