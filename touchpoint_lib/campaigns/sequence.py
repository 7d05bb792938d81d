"""The effect at every look at a running experiment: an interval that may be peeked at."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import lambertw, ndtri

from touchpoint_lib._checks import (
    FloatArray,
    check_columns,
    check_integer,
    check_number,
    fail,
)
from touchpoint_lib.campaigns._data import read_arms, read_values
from touchpoint_lib.campaigns._moments import (
    Moments,
    check_same_kind,
    last_instant,
    plain,
    read_moments,
)

#: Rows an arm needs before its mean is taken as normal.
_FEWEST = 30
#: Looks where none are named.
_MOST_LOOKS = 60


def confidence_sequence(
    data: Any,
    *,
    arm: str,
    control: Any,
    outcome: str,
    time: str,
    treated: Any = None,
    looks: Iterable[Any] | None = None,
    planned: int | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Return the effect at every look at an experiment, with an interval valid at all of them.

    A plain interval is right at one look that was fixed in advance. Who looks every day and stops
    at the first one that excludes 0 is wrong far more often (偷看, peeking): 14 looks at nothing
    raise a false alarm in about 21 % of experiments. The confidence sequence (置信序列) covers the
    effect at all looks together with probability ``level``, however many there are and whenever
    one stops; it is wider, and the price is in the table.

    Parameters
    ----------
    data : DataFrame, n rows
        A row a customer.
    arm : str
        Column of the arm a customer was assigned to.
    control : scalar
        Its value for the control.
    outcome : str
        Column of the outcome: a number, or true or false.
    time : str
        Column of when the outcome of the row is known, such as the assignment plus the window:
        dates (datetime64, or ISO text) or numbers. A row counts whole from then on.
    treated : scalar, optional
        The arm compared with the control; needed where there are several.
    looks : iterable of dates or numbers, optional
        When to look, rising. A row counts at a look if its time is not later; a date without a
        time of day is meant to its end. Without it the last row of every calendar day (of every
        number), or 60 of these, evenly spaced, where there are more.
    planned : int, optional
        The number of rows (of both arms) at which the sequence shall be narrowest. Without it the
        rows of ``data``. To be strictly valid it must be fixed before the first look.
    level : float
        Of the intervals, in [0.01, 1).

    Returns
    -------
    DataFrame
        A row a look: look, n, n_treated, n_control, effect (difference of the means),
        standard_error (Welch's), ci_low and ci_high (the plain interval of this one look),
        sequence_low and sequence_high, decided (the sequence excludes 0 at this or an earlier
        look). The effect, its error and its bounds are NaN at looks where an arm has fewer than
        30 rows, too few for the normal approximation, or where the outcome has not varied in
        either arm.
        ``attrs``: level, planned, treated, control, outcome, first_decided (the first look at
        which the sequence excludes 0, or None; dates as ISO text) and plain_decided (the same of
        the plain interval: where a peeker would have stopped).

    Raises
    ------
    InputError
        If a column is missing or holds something else, looks do not rise, or an argument is out
        of bounds.

    Notes
    -----
    Robbins' boundary for a sum of m terms of variance 1 is crossed with probability alpha at
    most, at any m; standardised by Welch's error the difference of means behaves like such a sum
    (asymptotically; heavy tails need more rows) of m = n_treated n_control / n terms, a number
    that grows as 1 / standard_error^2 does, also where one arm fills before the other. With rho
    fixed in advance the bounds are

    effect +- standard_error sqrt(2 (m rho^2 + 1) / (m rho^2) ln(sqrt(m rho^2 + 1) / alpha)),

    narrowest at the m of ``planned`` rows with the shares of the arms in ``data``, M, for
    rho^2 = (-W(-alpha^2 / e) - 1) / M, W the lower branch of Lambert's function. There it is 1.55
    times as wide as the plain interval at 95 %.

    References
    ----------
    Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2024), "Time-uniform central limit theory and
    asymptotic confidence sequences", Annals of Statistics 52, theorem 2.2 and its appendix on the
    choice of rho; Robbins (1970), "Statistical methods related to the law of the iterated
    logarithm", Annals of Mathematical Statistics 41.

    Examples
    --------
    Ten days of 200 customers, and no effect. A peeker would have stopped on the ninth day:

    >>> import numpy as np, pandas as pd
    >>> import touchpoint_lib as tp
    >>> rng = np.random.default_rng(36)
    >>> data = pd.DataFrame({
    ...     "group": rng.permutation(np.repeat(["contact", "holdout"], 1000)),
    ...     "bought": rng.random(2000) < 0.2,
    ...     "known": np.repeat(pd.date_range("2024-03-01", periods=10), 200),
    ... })
    >>> table = tp.confidence_sequence(
    ...     data, arm="group", control="holdout", outcome="bought", time="known"
    ... )
    >>> columns = ["effect", "ci_low", "ci_high", "sequence_low", "sequence_high", "decided"]
    >>> table.set_index("look")[columns].tail(2).round(3)
                effect  ci_low  ci_high  sequence_low  sequence_high  decided
    look
    2024-03-09   0.041   0.003    0.079        -0.018          0.100    False
    2024-03-10   0.032  -0.004    0.068        -0.024          0.088    False
    >>> table.attrs["plain_decided"], table.attrs["first_decided"]
    ('2024-03-09T00:00:00', None)
    """
    # Lambert's function has no digits where alpha is all but 1.
    share = check_number("level", level, ge=0.01, lt=1)
    arms = read_arms(data, arm, control)
    code = arms.pair(treated)
    y = read_values(data, outcome)
    check_columns(data, [time], "data", "name the column of when a row's outcome is known")
    moments = read_moments(f"time {time!r}", data[time])
    taken = arms.with_control(code)
    is_treated, y, moments = arms.code[taken] == code, y[taken], moments[taken]
    if planned is None:
        planned = len(y)
    planned = check_integer("planned", planned, ge=1)
    asked = _default_looks(moments) if looks is None else _check_looks(looks, moments)

    # The first look that counts the row; those after the last look belong to none.
    first = np.searchsorted(last_instant(asked), moments)
    parts = [_running(y[side], first[side], len(asked)) for side in (is_treated, ~is_treated)]
    (n_treated, mean_treated, square_treated), (n_control, mean_control, square_control) = parts
    n = n_treated + n_control
    variance = square_treated + square_control
    known = (np.minimum(n_treated, n_control) >= _FEWEST) & (variance > 0)
    effect = np.where(known, mean_treated - mean_control, np.nan)
    error = np.sqrt(np.where(known, variance, np.nan))
    narrow = ndtri(0.5 + share / 2) * error
    # Rows of two equal arms are worth a quarter; planned ones are parted as those there are.
    worth = np.where(known, n_treated * (n_control / np.maximum(n, 1)), 1.0)
    planned_worth = planned * is_treated.mean() * (1 - is_treated.mean())
    wide = _multiplier(worth / planned_worth, 1 - share) * error
    alarm, plain_alarm = np.abs(effect) > wide, np.abs(effect) > narrow
    shown = pd.Series(asked)
    result = pd.DataFrame(
        {
            "look": shown,
            "n": n,
            "n_treated": n_treated,
            "n_control": n_control,
            "effect": effect,
            "standard_error": error,
            "ci_low": effect - narrow,
            "ci_high": effect + narrow,
            "sequence_low": effect - wide,
            "sequence_high": effect + wide,
            "decided": np.logical_or.accumulate(alarm),
        }
    )
    result.attrs = {
        "level": share,
        "planned": planned,
        "treated": plain(arms.labels[code]),
        "control": plain(arms.labels[0]),
        "outcome": outcome,
        "first_decided": plain(shown[alarm.argmax()]) if alarm.any() else None,
        "plain_decided": plain(shown[plain_alarm.argmax()]) if plain_alarm.any() else None,
    }
    return result


def _multiplier(part: FloatArray, alpha: float) -> FloatArray:
    """Return how many standard errors the sequence reaches after a ``part`` of what is planned."""
    # The derivative of the boundary at v = M rho^2 + 1 vanishes where v - ln v = 1 - 2 ln alpha.
    v = -float(lambertw(-(alpha**2) / np.e, k=-1).real)
    grown = part * (v - 1)
    return np.sqrt(2 * (grown + 1) / grown * (np.log1p(grown) / 2 - np.log(alpha)))


def _running(
    y: FloatArray, first: npt.NDArray[np.intp], n_looks: int
) -> tuple[npt.NDArray[np.intp], FloatArray, FloatArray]:
    """Return of one arm at each look: the rows, their mean, and its variance."""
    # Around the mean of the arm, so that large values with a small spread keep their digits.
    centre = float(y.mean())
    around = y - centre
    n, total, squares = (
        np.bincount(first, weights=weights, minlength=n_looks + 1)[:n_looks].cumsum()
        for weights in (None, around, around * around)
    )
    rows = np.maximum(n, 1)
    mean = total / rows
    spread = np.maximum(squares - total * mean, 0.0)
    # The sum of squares of equal values is the rounding of 0.
    spread[spread <= 1e-12 * squares] = 0.0
    return n, centre + mean, spread / np.maximum(n - 1, 1) / rows


def _default_looks(moments: Moments) -> Moments:
    """Return the last moment of each day (each number), or evenly spaced ones of too many."""
    last = np.unique(moments)
    if last.dtype.kind == "M":
        days = last.astype("datetime64[D]")
        last = last[np.append(days[1:] != days[:-1], True)]
    chosen = np.linspace(0, len(last) - 1, min(len(last), _MOST_LOOKS))
    return last[np.unique(chosen.round().astype(int))]


def _check_looks(looks: Any, moments: Moments) -> Moments:
    """Return the looks; raise unless they are of the kind of the times, and rise."""
    if isinstance(looks, str) or not isinstance(looks, Iterable):
        raise fail(f"looks is {looks!r}", "pass a list of moments")
    given = pd.Series(list(looks))
    if given.empty:
        raise fail("looks is empty", "pass at least one moment, or leave it out")
    asked = read_moments("looks", given)
    check_same_kind("looks", asked, "time", moments)
    if (asked[1:] <= asked[:-1]).any():
        place = int(np.flatnonzero(asked[1:] <= asked[:-1])[0])
        raise fail(
            f"looks has {given[place + 1]} after {given[place]}", "name each look once, rising"
        )
    return asked
