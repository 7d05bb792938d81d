"""What a model promises about itself, and whether it keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from touchpoint_lib._checks import check_integer, check_number, check_values, fail
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
        Number of quantile bins; equal probabilities stay together, so there may be fewer.
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
