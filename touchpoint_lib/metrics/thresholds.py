"""Both rates at every threshold, and the threshold that a criterion picks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib._checks import check_integer, check_number, fail
from touchpoint_lib.metrics._shared import truth_and_score


def rates_curve(actual: Any, score: Any) -> pd.DataFrame:
    """Return both rates at every threshold that changes who is flagged.

    Parameters
    ----------
    actual : array of bool or 0/1, shape (n,)
        What happened.
    score : array of float, shape (n,)
        Higher means more likely.

    Returns
    -------
    DataFrame
        threshold (falling), error_rate, omission_rate, n_flagged; a row a distinct score.
        omission_rate is NaN throughout where there is nothing to find.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> tp.rates_curve([1, 0, 1], [0.9, 0.5, 0.5])
       threshold  error_rate  omission_rate  n_flagged
    0        0.9    0.000000            0.5          1
    1        0.5    0.333333            0.0          3
    """
    truth, values = truth_and_score(actual, score)
    order = np.argsort(-values, kind="stable")
    ordered = values[order]
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    n_flagged = last + 1
    found = np.cumsum(truth[order])[last]
    total = int(truth.sum())
    return pd.DataFrame(
        {
            "threshold": ordered[last],
            # Not 1 - found / n_flagged: 3 wrong of 10 must not exceed a bound of 0.3.
            "error_rate": (n_flagged - found) / n_flagged,
            "omission_rate": (total - found) / total if total else np.full(len(last), np.nan),
            "n_flagged": n_flagged,
        }
    )


def choose_threshold(
    actual: Any,
    score: Any,
    *,
    max_error_rate: float | None = None,
    max_omission_rate: float | None = None,
    capacity: int | None = None,
    benefit: float | None = None,
    cost: float | None = None,
) -> float:
    """Return the threshold that one criterion picks on known outcomes.

    Parameters
    ----------
    actual, score : array, shape (n,)
        As in `rates_curve`.
    max_error_rate : float
        The lowest omission rate among the thresholds with at most this error rate.
    max_omission_rate : float
        The lowest error rate among the thresholds with at most this omission rate.
    capacity : int
        As many as can be contacted: the lowest threshold that flags no more.
    benefit, cost : float
        The largest ``benefit`` x (rightly flagged) - ``cost`` x (flagged), both > 0 and given
        together. inf (flag nobody) where no threshold earns anything.

    Returns
    -------
    float
        Flag at and above it. Of equals, the one that flags fewer.

    Raises
    ------
    InputError
        If there is not exactly one criterion, nothing to find, or no threshold meets it; the
        message says what can be reached.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> tp.choose_threshold([1, 1, 0, 1, 0], [0.9, 0.8, 0.7, 0.6, 0.2], max_error_rate=0.3)
    0.6
    """
    money = (benefit, cost)
    given = [
        name
        for name, value in (
            ("max_error_rate", max_error_rate),
            ("max_omission_rate", max_omission_rate),
            ("capacity", capacity),
        )
        if value is not None
    ]
    if any(value is not None for value in money):
        given.append("benefit and cost")
    if len(given) != 1 or (benefit is None) != (cost is None):
        raise fail(
            f"the criteria given are {', '.join(given) or 'none'}",
            "give exactly one of max_error_rate, max_omission_rate, capacity, or benefit with cost",
        )
    curve = rates_curve(actual, score)
    if curve["omission_rate"].isna().any():
        raise fail("actual has no positive case", "thresholds need outcomes to learn from")
    if max_error_rate is not None:
        limit = check_number("max_error_rate", max_error_rate, ge=0, le=1)
        return _best(curve, "error_rate", limit, "omission_rate")
    if max_omission_rate is not None:
        limit = check_number("max_omission_rate", max_omission_rate, ge=0, le=1)
        return _best(curve, "omission_rate", limit, "error_rate")
    if capacity is not None:
        fits = curve[curve["n_flagged"] <= check_integer("capacity", capacity, ge=1)]
        if fits.empty:
            raise fail(
                f"capacity is {capacity}, but {curve['n_flagged'].iloc[0]} customers share the "
                "highest score",
                "raise the capacity, or break the tie with a finer score",
            )
        return float(fits["threshold"].iloc[-1])
    gain = check_number("benefit", benefit, gt=0)
    price = check_number("cost", cost, gt=0)
    found = (curve["n_flagged"] * (1 - curve["error_rate"])).round()
    profit = found * gain - curve["n_flagged"] * price
    best = int(profit.to_numpy().argmax())
    return float(curve["threshold"].iloc[best]) if profit.iloc[best] > 0 else float("inf")


def _best(curve: pd.DataFrame, bounded: str, limit: float, wanted: str) -> float:
    fits = curve[curve[bounded] <= limit]
    if fits.empty:
        raise fail(
            f"no threshold has {bounded} <= {limit:g}",
            f"the lowest that can be reached is {curve[bounded].min():.4f}",
        )
    # argmin takes the first of equals: the highest threshold, so the fewest flagged.
    return float(fits["threshold"].iloc[int(fits[wanted].to_numpy().argmin())])
