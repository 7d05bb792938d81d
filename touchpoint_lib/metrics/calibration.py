"""What a model promises about itself, and whether it keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit, log_expit, logit, ndtri

from touchpoint_lib._checks import (
    BoolArray,
    FloatArray,
    check_integer,
    check_number,
    check_values,
    fail,
)
from touchpoint_lib.metrics._shared import (
    Record,
    check_list,
    check_threshold,
    index_of,
    quantile_cuts,
    ratio,
    truth_and_score,
    wilson_interval,
)


@dataclass(frozen=True)
class ExpectedRates(Record):
    """What a model promises about a threshold, before the outcome is known."""

    n: int
    n_flagged: int
    expected_actual: float
    error_rate: float
    omission_rate: float
    error_rate_low: float
    error_rate_high: float
    omission_rate_low: float
    omission_rate_high: float


def expected_rates(probability: Any, threshold: float, level: float = 0.95) -> ExpectedRates:
    """Return the rates that the model itself promises, before the outcome is known.

    Every customer is taken as an independent draw with its probability, so the expected error
    rate is the mean of 1 - p over the flagged, and the expected omission rate the share of the
    summed p that is not flagged. Compare with `prediction_rates` once the outcome is in.

    Parameters
    ----------
    probability : array of float, shape (n,)
        In [0, 1].
    threshold : float
        Flag at and above it.
    level : float
        Of the intervals, in (0, 1): where the rates fall by chance if the probabilities are
        right (normal approximation to the sum of draws, delta method for the omission rate).

    Returns
    -------
    ExpectedRates
        n, n_flagged, expected_actual, both rates and their bounds; NaN where a denominator is
        empty.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> rates = tp.expected_rates([0.9, 0.7, 0.2], threshold=0.5)
    >>> round(rates.error_rate, 3), round(rates.omission_rate, 3)
    (0.2, 0.111)
    """
    p = check_values("probability", probability, ge=0, le=1, index=index_of(probability))
    check_list("probability", p)
    if len(p) == 0:
        raise fail("probability is empty", "pass at least one case")
    cut = check_threshold(threshold)
    z = float(ndtri((1 + check_number("level", level, gt=0, lt=1)) / 2))
    flagged = p >= cut
    n_flagged, expected = int(flagged.sum()), float(p.sum())
    error = ratio(float((1 - p[flagged]).sum()), n_flagged)
    omission = ratio(float(p[~flagged].sum()), expected)
    variance = p * (1 - p)
    error_sd = ratio(float(np.sqrt(variance[flagged].sum())), n_flagged)
    # A missed draw moves missed / all by (1 - omission) / all, a found one by -omission / all.
    slope = np.where(flagged, -omission, 1 - omission)
    omission_sd = ratio(float(np.sqrt((slope**2 * variance).sum())), expected)
    bounds = [
        float(np.clip(rate + side * z * sd, 0, 1))
        for rate, sd in ((error, error_sd), (omission, omission_sd))
        for side in (-1, 1)
    ]
    return ExpectedRates(len(p), n_flagged, expected, error, omission, *bounds)


@dataclass(frozen=True)
class CalibrationSlope(Record):
    """How far probabilities must be moved and stretched to fit what happened."""

    n: int
    mean_probability: float
    observed_rate: float
    intercept: float
    intercept_standard_error: float
    intercept_low: float
    intercept_high: float
    slope: float
    slope_standard_error: float
    slope_low: float
    slope_high: float


def calibration_slope(actual: Any, probability: Any, level: float = 0.95) -> CalibrationSlope:
    """Return Cox's recalibration: how the log odds of what happened follow those promised.

    The intercept is calibration in the large: what must be added to all log odds (slope held at
    1) so that the promised number is the observed one; 0 is right, below 0 too much was promised.
    The slope is the factor of the log odds in a logistic regression with a free intercept; 1 is
    right, below 1 the probabilities are too extreme, as those of an overfitted model are.

    Parameters
    ----------
    actual : array of bool or 0/1, shape (n,)
        What happened; both kinds must occur.
    probability : array of float, shape (n,)
        In (0, 1), at least two different values.
    level : float
        Of the intervals (normal), in (0, 1).

    Returns
    -------
    CalibrationSlope
        n, mean_probability, observed_rate, intercept and slope in log odds, their standard errors
        (inverse information) and bounds.

    Raises
    ------
    InputError
        If a probability is 0 or 1, all are equal, only one outcome occurs, or the probabilities
        separate the outcomes, so that no finite slope fits best.

    References
    ----------
    Cox (1958), "Two further applications of a model for binary regression", Biometrika 45.

    Examples
    --------
    >>> from touchpoint_lib.metrics.calibration import calibration_slope
    >>> fit = calibration_slope([0, 1, 0, 0, 1, 1], [0.1, 0.2, 0.3, 0.6, 0.7, 0.9])
    >>> round(fit.intercept, 3), round(fit.slope, 3)
    (0.199, 0.785)
    """
    truth, p = truth_and_score(actual, probability, "probability")
    z = float(ndtri((1 + check_number("level", level, gt=0, lt=1)) / 2))
    check_values("probability", p, ge=0, le=1, index=index_of(probability))
    sure = int(((p == 0) | (p == 1)).sum())
    if sure:
        raise fail(
            f"probability is exactly 0 or 1 in {sure} of {len(p)} rows, which has no log odds",
            "move them inside by what the model can tell apart, such as p.clip(1e-6, 1 - 1e-6), "
            "or judge by calibration_table",
        )
    n_actual = int(truth.sum())
    if n_actual in (0, len(p)):
        raise fail(
            f"actual is {int(truth[0])} in every row", "pass a holdout in which both outcomes occur"
        )
    odds = logit(p)
    if odds.min() == odds.max():
        raise fail(
            f"probability is {p[0]:g} in every row",
            "a slope needs at least two different probabilities",
        )
    if odds[truth].min() >= odds[~truth].max() or odds[truth].max() <= odds[~truth].min():
        raise fail(
            f"the probabilities separate the {n_actual} that are 1 from the "
            f"{len(p) - n_actual} that are 0 in actual, so the slope has no bound",
            "pass a larger holdout, or judge by calibration_table",
        )
    observed = n_actual / len(p)

    def surplus(shift: float) -> float:
        return float(expit(odds + shift).mean()) - observed

    # At these ends every single probability is below, or above, the observed rate.
    middle = float(logit(observed))
    intercept = float(brentq(surplus, middle - odds.max() - 1, middle - odds.min() + 1, xtol=1e-12))
    fitted = expit(odds + intercept)
    intercept_error = float(1 / np.sqrt((fitted * (1 - fitted)).sum()))
    slope, slope_error = _logistic_slope(truth, odds)
    return CalibrationSlope(
        len(p),
        float(p.mean()),
        observed,
        intercept,
        intercept_error,
        intercept - z * intercept_error,
        intercept + z * intercept_error,
        slope,
        slope_error,
        slope - z * slope_error,
        slope + z * slope_error,
    )


def _logistic_slope(truth: BoolArray, x: FloatArray) -> tuple[float, float]:
    """Return the slope of a logistic regression on ``x`` and its standard error.

    Newton's steps, halved until the concave log-likelihood rises; the caller has made sure that
    it has a maximum.
    """
    scale = float(x.std())
    design = np.column_stack([np.ones(len(x)), (x - x.mean()) / scale])
    sign = np.where(truth, 1.0, -1.0)
    beta = np.array([float(logit(truth.mean())), 0.0])
    value = float(log_expit(sign * (design @ beta)).sum())
    while True:
        p = expit(design @ beta)
        gradient = design.T @ (truth - p)
        information = design.T @ (design * (p * (1 - p))[:, None])
        step = np.linalg.solve(information, gradient)
        gain = float(gradient @ step)  # in log-likelihood, twice over
        while (new := float(log_expit(sign * (design @ (beta + step))).sum())) < value:
            step /= 2
        # No gain, or one within the rounding of the value: the step was the last.
        done = new == value or gain <= 1e-14 * abs(value)
        beta, value = beta + step, new
        if done:
            break
    error = float(np.sqrt(np.linalg.inv(information)[1, 1]))
    return float(beta[1]) / scale, error / scale


def calibration_table(
    actual: Any, probability: Any, bins: int = 10, level: float = 0.95
) -> pd.DataFrame:
    """Return predicted against observed by bins of equal size.

    Parameters
    ----------
    actual : array of bool or 0/1, shape (n,)
        What happened.
    probability : array of float, shape (n,)
        In [0, 1].
    bins : int
        Number of quantile bins; equal probabilities stay together, so there may be fewer, and
        never more than rows.
    level : float
        Of Wilson's interval for the observed rate, in (0, 1).

    Returns
    -------
    DataFrame
        A row a bin, rising: n, mean_probability, observed_rate, observed_low, observed_high.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> tp.calibration_table([0, 0, 1, 1], [0.1, 0.2, 0.7, 0.9], bins=2).round(2)
       n  mean_probability  observed_rate  observed_low  observed_high
    0  2              0.15            0.0          0.00           0.66
    1  2              0.80            1.0          0.34           1.00
    """
    truth, p = truth_and_score(actual, probability, "probability")
    check_values("probability", p, ge=0, le=1, index=index_of(probability))
    wanted = check_integer("bins", bins, ge=1)
    place = np.searchsorted(quantile_cuts(p, wanted), p, side="right")
    n = np.bincount(place)
    found = np.bincount(place, weights=truth)
    low, high = wilson_interval(found, n, check_number("level", level, gt=0, lt=1))
    return pd.DataFrame(
        {
            "n": n,
            "mean_probability": np.bincount(place, weights=p) / n,
            "observed_rate": found / n,
            "observed_low": low,
            "observed_high": high,
        }
    )
