"""The effect of a campaign day by day: does it last, or were purchases only pulled forward?"""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from scipy.special import ndtr, ndtri

from touchpoint_lib._checks import (
    FloatArray,
    InputError,
    IntArray,
    check_columns,
    check_integer,
    check_number,
    fail,
)
from touchpoint_lib.campaigns._data import read_arms, read_values
from touchpoint_lib.campaigns._moments import (
    DAY,
    TICK,
    Moments,
    check_same_kind,
    last_instant,
    plain,
    read_moments,
)

_LOG_REMEDY = "pass the purchase log, a row a purchase, and name its columns"


def cumulative_effect(
    customers: Any,
    events: Any,
    *,
    arm: str,
    control: Any,
    start: Any,
    days: int,
    customer: str = "customer_id",
    time: str = "time",
    amount: str | None = None,
    before: int = 0,
    treated: Any = None,
    window: int | None = None,
    cycle: float | None = None,
    until: Any = None,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the effect on all that a customer bought from the contact to each day after it.

    A campaign that only moves purchases forward (提前购买, pull-forward) shows an effect at the end
    of a short window that has vanished one repurchase cycle later. The effect is cumulated, so the
    line rises while the campaign sells more, stays level when it has ended, and falls back as far
    as purchases were only moved.

    Parameters
    ----------
    customers : DataFrame
        A row a customer of the experiment, contacted or held out.
    events : DataFrame
        The purchase log, of these customers and others (who are left aside).
    arm : str
        Column of ``customers`` of the arm a customer was assigned to.
    control : scalar
        Its value for the control.
    start : str or date or number
        Column of ``customers`` of the moment of contact (of the hold-out: the moment at which a
        contact would have been made), or one moment for all. Dates or numbers of days.
    days : int
        How many days to follow, at least 1. Day d begins at ``start`` + (d - 1) 24 h and ends
        just before ``start`` + d 24 h. So with dates without a time of day the day of the contact
        is day 1: what was bought in its morning adds noise to both arms alike, and no effect is
        missed.
    customer : str
        Column of the customer, in both frames.
    time : str
        Column of ``events`` of the moment of purchase: dates or numbers as ``start``.
    amount : str, optional
        Column of ``events`` of what is summed (a return is negative). Without it purchases are
        counted.
    before : int
        How many days before the contact to show too, >= 0: a placebo (安慰剂检验), where
        randomised arms do not differ. For customers chosen for their silence it must reach back
        beyond it, or there is nothing to compare.
    treated : scalar, optional
        The arm compared with the control; needed where there are several.
    window : int, optional
        The short window that is usually reported, in 1..``days`` - 1: adds the comparison.
    cycle : float, optional
        Days of a repurchase cycle (复购周期). With it ``days`` must reach a cycle beyond
        ``window``, since purchases are missing only then.
    until : date or number, optional
        The moment up to which the log is complete; a date without a time of day (a whole number)
        to its end. Without it that of the last event.
    level : float
        Of intervals and band, in (0, 1).
    resamples : int
        Draws that the width of the band is found from, at least 100.
    seed : int
        Of the draws.

    Returns
    -------
    DataFrame
        A row a day: day (-``before``..-1, then 1..``days``; there is no day 0), n_treated,
        n_control, mean_treated and mean_control (a customer's sum from the contact to the end of
        the day; before the contact: from the first of these days on), effect, standard_error
        (Welch's), ci_low and ci_high (of this one day), band_low and band_high (cover the effect
        on all days after the contact together; the days before have a band of their own). The
        error and all bounds are NaN as long as the sum is the same for everybody.
        ``attrs``: level, treated, control, outcome, window, cycle, until (a date as ISO text),
        other_events (events of customers not compared), and comparison, None without ``window``:
        window, days,
        effect_window and effect_days, each with _low and _high; change (effect_days -
        effect_window) with its own change_low, change_high and change_p (two-sided), from the
        covariance of the two days (NaN where nobody bought in between); pulled_forward, the share
        of the effect at ``window`` that was gone by ``days`` (above 1 if the effect turned; None
        unless a positive effect shrank).

    Raises
    ------
    InputError
        If the log ends before the last day of a customer, or begins after the first one before; a
        column is missing or holds something else; a customer is named twice; no event is of a
        customer; or an argument is out of bounds.

    Notes
    -----
    The covariance of the cumulated sums over days is estimated in each arm; the band is the plain
    interval with the ``level`` quantile of the largest absolute value of a normal vector with that
    correlation in place of the normal quantile (sup-t). Both take the mean of an arm as normal:
    with 5 customers in one arm (and hundreds in the other) the intervals of one day cover 88 %
    instead of 95 % even where sums are normal, with 30 they cover 94 %; skewed sums need hundreds.

    References
    ----------
    Montiel Olea and Plagborg-Møller (2019), "Simultaneous confidence bands: theory,
    implementation, and an application to SVARs", Journal of Applied Econometrics 34.

    Examples
    --------
    Seven in ten customers buy once within 60 days; the contact makes a third of these buy in the
    first ten days instead, and nobody more:

    >>> import numpy as np, pandas as pd
    >>> import touchpoint_lib as tp
    >>> rng = np.random.default_rng(0)
    >>> people = pd.DataFrame({"customer_id": range(3000), "group": rng.integers(0, 2, 3000)})
    >>> day = rng.integers(0, 60, 3000)
    >>> moved = (people["group"] == 1) & (rng.random(3000) < 1 / 3)
    >>> bought = pd.Timestamp("2024-03-01") + pd.to_timedelta(np.where(moved, day % 10, day), "D")
    >>> log = people[["customer_id"]].assign(time=bought)[rng.random(3000) < 0.7]
    >>> table = tp.cumulative_effect(people, log, arm="group", control=0, start="2024-03-01",
    ...                           days=60, window=14, cycle=45)
    >>> table.loc[[6, 13, 29, 59], ["day", "effect", "band_low", "band_high"]].round(2)
        day  effect  band_low  band_high
    6     7    0.13      0.09       0.16
    13   14    0.17      0.13       0.21
    29   30    0.09      0.04       0.14
    59   60   -0.02     -0.07       0.03
    >>> comparison = table.attrs["comparison"]
    >>> [round(comparison[name], 2) for name in ("change", "change_low", "change_high")]
    [-0.19, -0.23, -0.16]
    """
    check_columns(customers, [customer], "customers", "pass a row a customer, and name its columns")
    check_columns(events, [customer, time], "events", _LOG_REMEDY)
    last = check_integer("days", days, ge=1)
    first = check_integer("before", before, ge=0)
    share = check_number("level", level, gt=0, lt=1)
    draws = check_integer("resamples", resamples, ge=100)
    generator = np.random.default_rng(check_integer("seed", seed, ge=0))
    short = _check_window(window, cycle, last)

    arms = read_arms(customers, arm, control)
    code = arms.pair(treated)
    place = _places(customers, events, customer)
    begin = _read_start(customers, start)
    moments = read_moments(f"time {time!r}", events[time])
    check_same_kind("start", begin, f"time {time!r}", moments)
    compared = arms.with_control(code)
    ids = customers[customer][compared]
    end = _check_end(ids, begin[compared], moments, last, until)
    if first:
        _check_begin(ids, begin[compared], moments, first)
    value = np.ones(len(events)) if amount is None else read_values(events, amount, "amount")

    mine = place >= 0
    mine[mine] = compared[place[mine]]
    row, passed = place[mine], moments[mine] - begin[place[mine]]
    column = np.floor_divide(passed, _one_day(begin)).astype(np.int64) + first
    inside = (column >= 0) & (column < first + last)
    bought = csr_array(
        (value[mine][inside], (row[inside], column[inside])), shape=(len(customers), first + last)
    )
    n, mean, covariance = zip(
        *(_cumulated(bought[arms.code == number], first) for number in (code, 0)), strict=True
    )
    joint = covariance[0] / n[0] + covariance[1] / n[1]
    effect = mean[0] - mean[1]
    error = np.sqrt(np.where(joint.diagonal() > 0, joint.diagonal(), np.nan))
    narrow = float(ndtri(0.5 + share / 2))
    wide = np.empty(first + last)
    for part in (slice(first), slice(first, None)):
        wide[part] = max(_critical(joint[part, part], share, draws, generator), narrow)
    table = pd.DataFrame(
        {
            "day": np.concatenate([np.arange(-first, 0), np.arange(1, last + 1)]),
            "n_treated": n[0],
            "n_control": n[1],
            "mean_treated": mean[0],
            "mean_control": mean[1],
            "effect": effect,
            "standard_error": error,
            "ci_low": effect - narrow * error,
            "ci_high": effect + narrow * error,
            "band_low": effect - wide * error,
            "band_high": effect + wide * error,
        }
    )
    table.attrs = {
        "level": share,
        "treated": plain(arms.labels[code]),
        "control": plain(arms.labels[0]),
        "outcome": "purchases" if amount is None else amount,
        "window": short,
        "cycle": None if cycle is None else float(cycle),
        "until": plain(end),
        "other_events": int((~mine).sum()),
        "comparison": None if short is None else _comparison(table, joint, first, short, narrow),
    }
    return table


def _check_window(window: Any, cycle: Any, days: int) -> int | None:
    """Return the short window; raise unless it and a cycle behind it lie within ``days``."""
    if window is None:
        if cycle is not None:
            raise fail(
                f"cycle is {cycle!r} without a window", "name the window that it follows: window="
            )
        return None
    short = check_integer("window", window, ge=1)
    if short >= days:
        raise fail(f"window is {short} of {days} days", "it must be < days: follow them longer")
    if cycle is not None and check_number("cycle", cycle, gt=0) + short > days:
        raise fail(
            f"days is {days}, less than window + cycle = {short + cycle:g}",
            "purchases pulled forward are missing only a cycle later: follow the customers longer, "
            "or leave cycle out",
        )
    return short


def _places(customers: pd.DataFrame, events: pd.DataFrame, customer: str) -> IntArray:
    """Return the row of ``customers`` that each event belongs to, -1 for none."""
    for name, frame in (("customers", customers), ("events", events)):
        missing = frame[customer].isna()
        if missing.any():
            raise fail(
                f"{customer!r} of {name} is missing at index {frame.index[missing][0]!r} "
                f"({int(missing.sum()):,} rows)",
                "fill it or leave these rows out",
            )
    ids = pd.Index(customers[customer])
    if not ids.is_unique:
        raise fail(
            f"customers has several rows of customer {ids[ids.duplicated()].tolist()[0]!r}",
            "pass a row a customer",
        )
    if events.empty:
        raise fail("events has no rows", _LOG_REMEDY)
    place = ids.get_indexer(events[customer]).astype(np.int64)
    if (place < 0).all():
        raise fail(
            f"no event is of a customer of the experiment (events: {_named(events[customer], 0)}, "
            f"customers: {_named(ids, 0)})",
            "use the same identifiers in both frames",
        )
    return place


def _read_start(customers: pd.DataFrame, start: Any) -> Moments:
    """Return the moment of contact of each customer."""
    if isinstance(start, str) and start in customers.columns:
        check_columns(customers, [start], "customers")
        return read_moments(f"start {start!r}", customers[start])
    try:
        moment = read_moments("start", pd.Series([start]))
    except InputError:
        if isinstance(start, dt.datetime) and start.tzinfo is not None:
            raise
        raise fail(
            f"start is {start!r}, neither a column of customers nor a moment",
            'pass a column, a date such as "2024-03-31", or a number of days',
        ) from None
    return np.repeat(moment, len(customers))


def _named(ids: Any, at: int) -> str:
    """Return one identifier as people write it: 7, not np.int64(7)."""
    return repr(ids[at : at + 1].tolist()[0])


def _shown(moment: Any) -> Any:
    return pd.Timestamp(moment) if isinstance(moment, np.datetime64) else float(moment)


def _one_day(moments: Moments) -> Any:
    return DAY if moments.dtype.kind == "M" else 1.0


def _check_end(ids: pd.Series, begin: Moments, moments: Moments, days: int, until: Any) -> Any:
    """Return the end of observation; raise unless ``days`` of every customer are over by then."""
    if until is None:
        end = moments.max(keepdims=True)
    else:
        end = read_moments("until", pd.Series([until]))
        check_same_kind("until", end, "time", moments)
    dates = begin.dtype.kind == "M"
    over = (last_instant(end) + TICK if dates else end + (end == np.floor(end)))[0]
    step = _one_day(begin)
    late = begin + days * step > over
    if late.any():
        at = int(begin.argmax())
        most = int(np.floor_divide(over - begin[at], step))
        raise fail(
            f"day {days} of customer {_named(ids, at)}, who started at {_shown(begin[at])}, is "
            f"after the end of observation at {_shown(end[0])} "
            f"({int(late.sum()):,} such customers)",
            (f"pass days={most} or less" if most > 0 else "leave out who started so late")
            + ", or until= if the log is complete to a later moment",
        )
    return _shown(end[0])


def _check_begin(ids: pd.Series, begin: Moments, moments: Moments, before: int) -> None:
    """Raise unless the log begins before the placebo days of every customer."""
    step = _one_day(begin)
    opening, at = moments.min(), int(begin.argmin())
    if begin[at] - before * step < opening:
        most = int(np.floor_divide(begin[at] - opening, step))
        raise fail(
            f"day -{before} of customer {_named(ids, at)}, who started at {_shown(begin[at])}, is "
            f"before the first event at {_shown(opening)}",
            f"pass before={max(most, 0)} or less, or a log that begins earlier",
        )


def _cumulated(bought: Any, first: int) -> tuple[int, FloatArray, FloatArray]:
    """Return of one arm the customers, and mean and covariance of what is cumulated by each day.

    ``bought`` has a row a customer and a column a day, the first ``first`` of them before the
    contact: these are cumulated on their own.
    """
    n, width = bought.shape
    if n < 2:
        raise fail("an arm has one customer", "pass at least two an arm")
    mean = np.asarray(bought.sum(axis=0), dtype=np.float64) / n
    square = (bought.T @ bought).toarray()
    spread = (square - n * np.outer(mean, mean)) / (n - 1)
    sums = np.tril(np.ones((width, width)))
    sums[first:, :first] = 0.0
    covariance = sums @ spread @ sums.T
    # Where everybody has the same sum, the variance is the rounding of 0.
    same = covariance.diagonal() <= 1e-12 * (sums @ square @ sums.T).diagonal() / n
    covariance[same] = 0.0
    covariance[:, same] = 0.0
    return n, sums @ mean, covariance


def _critical(
    covariance: FloatArray, level: float, draws: int, generator: np.random.Generator
) -> float:
    """Return the quantile of the largest absolute value of a vector of this correlation."""
    spread = np.sqrt(covariance.diagonal())
    varies = spread > 0
    if not varies.any():
        return 0.0
    scale = spread[varies]
    correlation = covariance[np.ix_(varies, varies)] / np.outer(scale, scale)
    # The symmetric root is the same on every machine, whatever the signs of the eigenvectors.
    values, vectors = np.linalg.eigh(correlation)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    normal = generator.standard_normal((draws, len(scale))) @ root
    return float(np.quantile(np.abs(normal).max(axis=1), level))


def _comparison(
    table: pd.DataFrame, joint: FloatArray, first: int, window: int, reach: float
) -> dict[str, Any]:
    """Return the effect at the window and at the end, and what changed in between."""
    early, late = first + window - 1, len(table) - 1
    found: dict[str, Any] = {"window": window, "days": int(table["day"].iloc[late])}
    for name, at in (("window", early), ("days", late)):
        found[f"effect_{name}"] = float(table["effect"].iloc[at])
        found[f"effect_{name}_low"] = float(table["ci_low"].iloc[at])
        found[f"effect_{name}_high"] = float(table["ci_high"].iloc[at])
    change = found["effect_days"] - found["effect_window"]
    variance = joint[early, early] + joint[late, late] - 2 * joint[early, late]
    error = float(np.sqrt(variance)) if variance > 0 else np.nan
    shrank = found["effect_window"] > 0 > change
    return found | {
        "change": change,
        "change_low": change - reach * error,
        "change_high": change + reach * error,
        "change_p": float(2 * ndtr(-abs(change / error))),
        "pulled_forward": -change / found["effect_window"] if shrank else None,
    }
