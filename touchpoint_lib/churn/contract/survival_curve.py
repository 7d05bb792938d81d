"""Kaplan-Meier curves of subscriptions that were cancelled or are still running."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import chdtrc, ndtri

from touchpoint_lib._checks import (
    BoolArray,
    FloatArray,
    IntArray,
    check_columns,
    check_number,
    check_values,
    fail,
)
from touchpoint_lib.metrics._shared import flags

#: The largest number up to which floats hold every whole number.
_MOST = 2.0**53
_CURVE = ["time", "n_at_risk", "n_ended", "survival", "lower", "upper", "standard_error"]


@dataclass(frozen=True)
class Tenures:
    """Checked rows of a frame of subscriptions; those with a count of 0 are gone."""

    frame: pd.DataFrame
    tenure: FloatArray
    ended: BoolArray
    entry: FloatArray | None
    count: FloatArray


def read_tenures(
    subscriptions: Any, tenure: str, ended: str, entry: str | None, count: str | None
) -> Tenures:
    """Return the columns of ``subscriptions`` by role.

    Raises
    ------
    InputError
        If a column is missing, a value is missing or impossible, or nothing ended.
    """
    check_present(subscriptions, [tenure, ended, *(name for name in (entry, count) if name)])
    frame = subscriptions
    if count is not None:
        weight = check_values(count, frame[count], ge=0, whole=True, index=frame.index)
        if weight.sum() > _MOST:
            raise fail(
                f"{count} adds up to {weight.sum():g}",
                f"no more than {_MOST:g} subscriptions can be counted exactly: use a larger unit",
            )
        frame = frame[weight > 0]
    index = frame.index
    times = check_values(tenure, frame[tenure], ge=0, index=index)
    over = flags(ended, frame[ended])
    if not over.any():
        raise fail(
            f"none of the {len(frame)} rows of subscriptions has {ended} 1",
            "observe longer: without a cancellation no churn can be estimated",
        )
    begun = None
    if entry is not None:
        begun = check_values(entry, frame[entry], ge=0, index=index)
        late = np.flatnonzero(begun >= times)
        if late.size:
            raise fail(
                f"{entry} is {begun[late[0]]:g} and {tenure} {times[late[0]]:g} at index "
                f"{index[late[0]]!r} ({late.size} such rows)",
                f"{entry} is the tenure at which observation began: it must be < {tenure}; leave "
                "out subscriptions that were never observed",
            )
    counts = np.ones(len(frame)) if count is None else weight[weight > 0]
    return Tenures(frame, times, over, begun, counts)


def check_present(subscriptions: Any, columns: list[str]) -> None:
    """Raise unless ``subscriptions`` is a frame with ``columns``, each of them once."""
    remedy = "rename the columns, or name yours in the arguments"
    check_columns(subscriptions, columns, "subscriptions", remedy)


def kaplan_meier(
    subscriptions: pd.DataFrame,
    tenure: str = "tenure",
    ended: str = "ended",
    groups: str | None = None,
    count: str | None = None,
    entry: str | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Return the share of subscriptions still running by tenure, with its interval.

    Who is still running counts as running up to the present tenure, and drops out of the risk set
    there: that is no cancellation. Estimates are those of ``statsmodels.SurvfuncRight``.

    Parameters
    ----------
    subscriptions : DataFrame
        One row a subscription.
    tenure : str
        Column of the time from the start to the cancellation, or to the present; >= 0.
    ended : str
        Column of bool or 0/1: True was cancelled at that tenure, False still runs.
    groups : str, optional
        Column by which to compare curves.
    count : str, optional
        Column of whole numbers: how many subscriptions a row stands for.
    entry : str, optional
        Column of the tenure at which observation began (left truncation), where subscriptions
        that had ended before could not be in the data. A subscription is at risk after it.
    level : float
        Level of the intervals, in (0, 1).

    Returns
    -------
    DataFrame
        A row for the start (0, or the first entry), for each tenure at which some ended, and for
        the longest tenure observed, of each group:

        ``group`` (only with ``groups``); ``time`` in the unit of the tenures; ``n_at_risk`` just
        before it and ``n_ended`` at it; ``survival`` in [0, 1], from the start on; ``lower`` and
        ``upper`` on the scale of log(-log) and inside [0, 1]; ``standard_error`` (Greenwood).
        Where survival is 0 all three are NaN, and where nothing ended up to a time after the start
        both bounds are: Greenwood's formula has no value there.

        ``attrs["median"]`` has median, lower and upper (Brookmeyer & Crowley: where the interval
        crosses one half; inf where it never does), by group with ``groups``;
        ``attrs["log_rank"]`` (with ``groups``) has chi_squared, degrees_of_freedom and p_value of
        the log-rank test; ``attrs["level"]``, and ``attrs["unit"]`` where the data tell.
        The share at a horizon: `retention_at`.

    Raises
    ------
    InputError
        If a column or value is missing or impossible, nothing ended, there is a single group, or
        late entries leave a time at which the curve is not known.

    References
    ----------
    Kaplan, E. L. and Meier, P. (1958). "Nonparametric Estimation from Incomplete Observations",
    JASA 53. Brookmeyer, R. and Crowley, J. (1982). "A Confidence Interval for the Median Survival
    Time", Biometrics 38. Klein, J. P. and Moeschberger, M. L. (2003). "Survival Analysis", 2nd
    ed., sections 4.2-4.5 and 7.3.

    Examples
    --------
    >>> import pandas as pd
    >>> from touchpoint_lib.churn.contract.survival_curve import kaplan_meier
    >>> subscriptions = pd.DataFrame({"tenure": [2, 4, 4, 6, 8], "ended": [1, 1, 0, 1, 0]})
    >>> curve = kaplan_meier(subscriptions)
    >>> curve[["time", "n_at_risk", "n_ended", "survival"]].round(3)
       time  n_at_risk  n_ended  survival
    0   0.0          5        0       1.0
    1   2.0          5        1       0.8
    2   4.0          4        1       0.6
    3   6.0          2        1       0.3
    4   8.0          1        0       0.3
    >>> curve.attrs["median"]["median"]
    6.0
    """
    check_number("level", level, gt=0, lt=1)
    data = read_tenures(subscriptions, tenure, ended, entry, count)
    codes, labels = _grouped(data, groups)
    curves = []
    by_group = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
    for label, mine in zip(labels, by_group, strict=True):
        start = None if data.entry is None else data.entry[mine]
        where = "" if groups is None else f" of {groups} {label!r}"
        _check_observed(data.tenure[mine], start, where)
        curve = _curve(data.tenure[mine], data.ended[mine], start, data.count[mine], level, where)
        curves.append(curve)
    medians = [_median(curve) for curve in curves]
    # One frame of all groups: thousands of small ones would take most of the time.
    table = pd.DataFrame({name: np.concatenate([c[name] for c in curves]) for name in _CURVE})
    if groups is not None:
        lengths = [len(curve["time"]) for curve in curves]
        table.insert(0, "group", pd.Series(labels).repeat(lengths).reset_index(drop=True))
    table.attrs["level"] = level
    table.attrs["median"] = medians[0]
    if groups is not None:
        table.attrs["median"] = dict(zip(labels, medians, strict=True))
        table.attrs["log_rank"] = _log_rank(data, codes, groups, labels)
    if "unit" in subscriptions.attrs:
        table.attrs["unit"] = subscriptions.attrs["unit"]
    return table


def retention_at(curve: pd.DataFrame, times: Any) -> pd.DataFrame:
    """Return the share still running at given tenures, read off a `kaplan_meier` curve.

    Parameters
    ----------
    curve : DataFrame
        As `kaplan_meier` returns it.
    times : float, or list of float
        Tenures, in the unit of the curve.

    Returns
    -------
    DataFrame
        A row for each time (of each group): ``group`` where the curve has it, time, survival,
        lower, upper, standard_error. NaN as in the curve.

    Raises
    ------
    InputError
        If a time is missing, before the start of a curve, or beyond the longest tenure that it
        has seen.

    Examples
    --------
    >>> import pandas as pd
    >>> from touchpoint_lib.churn.contract.survival_curve import kaplan_meier, retention_at
    >>> subscriptions = pd.DataFrame({"tenure": [2, 4, 4, 6, 8], "ended": [1, 1, 0, 1, 0]})
    >>> retention_at(kaplan_meier(subscriptions), [3, 7])[["time", "survival"]].round(3)
       time  survival
    0   3.0       0.8
    1   7.0       0.3
    """
    missing = set(_CURVE) - set(curve.columns) if isinstance(curve, pd.DataFrame) else set(_CURVE)
    if missing:
        raise fail("curve is no table of kaplan_meier", "pass what kaplan_meier returns")
    wanted = np.atleast_1d(check_values("times", times))
    if wanted.ndim != 1 or wanted.size == 0:
        raise fail(f"times has shape {wanted.shape}", "pass a number or a list of numbers")
    if len(curve) == 0:
        raise fail("curve has no rows", "pass what kaplan_meier returns")
    grouped = "group" in curve.columns
    parts = []
    for label, part in curve.groupby("group", sort=False) if grouped else [(None, curve)]:
        where = f" of group {label!r}" if grouped else ""
        known = check_values("time of curve", part["time"])
        if (np.diff(known) <= 0).any():
            raise fail(
                f"the times of the curve{where} do not rise",
                "pass what kaplan_meier returns, in its order",
            )
        outside = (wanted < known[0]) | (wanted > known[-1])
        if outside.any():
            raise fail(
                f"times has {wanted[outside][0]:g}, but the curve{where} is known from "
                f"{known[0]:g} to {known[-1]:g}",
                "ask for times within it, or observe longer",
            )
        at = np.searchsorted(known, wanted, side="right") - 1
        parts.append(part.iloc[at].assign(time=wanted))
    columns = ["group"] * grouped + ["time", "survival", "lower", "upper", "standard_error"]
    return pd.concat(parts, ignore_index=True)[columns]


def _grouped(data: Tenures, groups: str | None) -> tuple[IntArray, list[Any]]:
    """Return the group of each row as a number, and the labels of the groups."""
    if groups is None:
        return np.zeros(len(data.frame), dtype=np.int64), [None]
    check_present(data.frame, [groups])
    column = data.frame[groups]
    if column.isna().any():
        first = data.frame.index[int(np.flatnonzero(column.isna())[0])]
        raise fail(
            f"{groups} is missing at index {first!r} ({int(column.isna().sum())} such values)",
            "fill or remove them",
        )
    codes, labels = pd.factorize(column, sort=True)
    if len(labels) < 2:
        raise fail(f"{groups} is {labels[0]!r} in all rows", "leave groups out: none to compare")
    return codes.astype(np.int64), labels.tolist()


def _check_observed(tenure: FloatArray, entry: FloatArray | None, where: str) -> None:
    """Raise where nobody was observed for a while between the first entry and the last tenure."""
    if entry is None:
        return
    order = np.argsort(entry)
    until = np.maximum.accumulate(tenure[order])[:-1]
    gap = np.flatnonzero(entry[order][1:] > until)
    if gap.size:
        raise fail(
            f"no subscription{where} was observed at tenures between {until[gap[0]]:g} and "
            f"{entry[order][gap[0] + 1]:g}",
            "survival cannot be carried over: leave out those before or after the gap",
        )


def _curve(
    tenure: FloatArray,
    ended: BoolArray,
    entry: FloatArray | None,
    count: FloatArray,
    level: float,
    where: str,
) -> dict[str, npt.NDArray[Any]]:
    """Return the columns of the curve of one group."""
    from statsmodels.duration.survfunc import SurvfuncRight

    fitted = SurvfuncRight(tenure, ended.astype(np.float64), entry=entry, freq_weights=count)
    time, at_risk, lost = fitted.surv_times, fitted.n_risk, fitted.n_events
    start, last = 0.0 if entry is None else float(entry.min()), float(tenure.max())
    empty = np.flatnonzero((lost == at_risk) & (time < last))
    if empty.size:
        raise fail(
            f"all {at_risk[empty[0]]:g} subscriptions{where} at risk at tenure "
            f"{time[empty[0]]:g} ended there, though others were observed later",
            "too few entered early: leave out the rows with the smallest entry",
        )
    # A row for the start and one for the longest tenure, unless some ended there.
    head = [] if time.size and time[0] == start else [start]
    tail = [] if time.size and time[-1] == last else [last]
    initial = count.sum() if entry is None else count[entry == start].sum()
    n = np.concatenate([[initial] * len(head), at_risk, [count[tenure == last].sum()] * len(tail)])
    d = np.concatenate([[0.0] * len(head), lost, [0.0] * len(tail)])
    left = np.concatenate([[1.0] * len(head), fitted.surv_prob])
    survival = np.concatenate([left, left[-1:]] if tail else [left])
    # Greenwood; statsmodels has Tsiatis' formula instead where rows are weighted.
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(survival > 0, np.sqrt(np.cumsum(d / (n * (n - d)))), np.nan)
        width = ndtri((1 + level) / 2) * relative / np.abs(np.log(survival))
        # 1 to the power of NaN is 1.
        power = np.where(survival < 1, np.exp(width), np.nan)
        lower, upper = np.where(survival < 1, [survival**power, survival ** (1 / power)], np.nan)
    if head:
        lower[0] = upper[0] = 1.0
    return {
        "time": np.concatenate([head, time, tail]),
        "n_at_risk": n.astype(np.int64),
        "n_ended": d.astype(np.int64),
        "survival": survival,
        "lower": lower,
        "upper": upper,
        "standard_error": survival * relative,
    }


def _median(curve: dict[str, npt.NDArray[Any]]) -> dict[str, float]:
    """Return when survival, and the bounds of its interval, fall to one half; inf where never."""
    time, gone = curve["time"], curve["survival"] == 0

    def crossing(values: Any) -> float:
        at = np.flatnonzero(np.asarray(values) <= 0.5 + 1e-12)
        return float(time[at[0]]) if at.size else float("inf")

    return {
        "median": crossing(curve["survival"]),
        # A lower bound is no higher than the survival itself.
        "lower": crossing(np.where(gone, 0.0, curve["lower"])),
        "upper": crossing(curve["upper"]),
    }


def _log_rank(data: Tenures, codes: IntArray, groups: str, labels: list[Any]) -> dict[str, float]:
    """Return the log-rank test from weighted tables, however many a row stands for.

    Ends of each group less those expected, and the hypergeometric covariance of these, are sums
    over the times; each is taken row by row, over the times at which the row was at risk.
    """
    times = np.unique(data.tenure[data.ended])
    last = np.searchsorted(times, data.tenure, side="right")
    first = np.zeros_like(last)
    if data.entry is not None:
        first = np.searchsorted(times, data.entry, side="right")
    m, size = len(labels), len(times)
    d = np.bincount(last[data.ended] - 1, data.count[data.ended], size)
    out = np.bincount(last, data.count, size + 1) - np.bincount(first, data.count, size + 1)
    n = -np.cumsum(out)[:-1]
    _check_comparable(first, last, n > d, codes, groups, labels)
    spread = d * (n - d) / np.maximum(n - 1, 1)

    def over_rows(by_time: FloatArray) -> FloatArray:
        total = np.concatenate([[0.0], np.cumsum(by_time)])
        sums = np.bincount(codes, data.count * (total[last] - total[first]), m)
        return np.asarray(sums, dtype=np.float64)

    excess = np.bincount(codes[data.ended], data.count[data.ended], m) - over_rows(d / n)
    covariance = np.diag(over_rows(spread / n))
    for j in range(m):
        mine = codes == j
        moves = np.bincount(first[mine], data.count[mine], size + 1)
        moves -= np.bincount(last[mine], data.count[mine], size + 1)
        covariance[j] -= over_rows(spread / n**2 * np.cumsum(moves)[:-1])
    # The excesses add up to 0: one of them follows from the others.
    chi_squared = float(excess[1:] @ np.linalg.solve(covariance[1:, 1:], excess[1:]))
    return {
        "chi_squared": chi_squared,
        "degrees_of_freedom": m - 1,
        "p_value": float(chdtrc(m - 1, chi_squared)),
    }


def _check_comparable(
    first: IntArray,
    last: IntArray,
    telling: BoolArray,
    codes: IntArray,
    groups: str,
    labels: list[Any],
) -> None:
    """Raise unless ends at which several groups were at risk link all groups.

    A row is at risk at the times from ``first`` to before ``last``; a time at which all at risk
    end is not ``telling``.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    passed = np.concatenate([[0], np.cumsum(telling)])
    first, last = passed[first], passed[last]
    seen = last > first
    codes, first, last = codes[seen], first[seen], last[seen]
    # Times next to each other belong together where some row was at risk at both.
    size = int(passed[-1])
    both = np.cumsum(np.bincount(first, minlength=size) - np.bincount(last - 1, minlength=size))
    run = np.concatenate([[0], np.cumsum(both[:-1] == 0)]) if size else both
    nodes = len(labels) + size
    links = coo_array((np.ones(len(codes)), (codes, len(labels) + run[first])), (nodes, nodes))
    part = connected_components(links, directed=False)[1][: len(labels)]
    if (part != part[0]).any():
        alone = labels[int(np.flatnonzero(part != part[0])[0])]
        raise fail(
            f"{groups} {alone!r} was at risk at no tenure at which {groups} {labels[0]!r} can be "
            "compared with it",
            "leave it out: the log-rank test needs groups at risk at the same tenures",
        )
