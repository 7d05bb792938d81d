"""How well a score ranks: the area under the ROC curve with DeLong's variance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit, ndtri

from touchpoint_lib._checks import BoolArray, FloatArray, check_number
from touchpoint_lib.metrics._shared import (
    Record,
    check_precision,
    shortfall,
    too_small,
    truth_and_score,
    wilson_cases,
    wilson_interval,
)


@dataclass(frozen=True)
class AreaUnderCurve(Record):
    """The area under the ROC curve of one score, with its interval."""

    n: int
    n_actual: int
    auc: float
    standard_error: float
    auc_low: float
    auc_high: float


def auc(
    actual: Any, score: Any, level: float = 0.95, *, precision: float | None = None
) -> AreaUnderCurve:
    """Return the chance that a case to be found scores above one that is not, ties half.

    Parameters
    ----------
    actual : array of bool or 0/1, shape (n,)
        What happened.
    score : array of float, shape (n,)
        Higher means more likely; only the order matters.
    level : float
        Of the interval, in (0, 1).
    precision : float, optional
        In [1e-6, 0.5): the half width of the interval that is needed.

    Returns
    -------
    AreaUnderCurve
        n, n_actual, auc, standard_error (DeLong), auc_low and auc_high: the normal interval of
        the logit, taken back, so it stays within [0, 1]. At an area of 0 or 1, where the
        estimated variance is 0, the bounds are Wilson's for as many cases as the smaller class
        has: the largest variance an area can have is area x (1 - area) / that number. NaN where
        a class is missing; with a single case in a class the standard error is NaN, and so are
        the bounds of an area between 0 and 1.

    Raises
    ------
    InputError
        If lengths or indexes differ, or a value is missing.
    HoldoutTooSmallError
        If the interval's half width exceeds ``precision``, or there is no interval. The number
        of cases that it says are needed is for the same share of each class.

    References
    ----------
    DeLong, DeLong and Clarke-Pearson (1988), "Comparing the areas under two or more correlated
    receiver operating characteristic curves", Biometrics 44, eq. 4-6; computed in O(n log n) as
    by Sun and Xu (2014), IEEE Signal Processing Letters 21. The largest variance: Birnbaum and
    Klose (1957), Annals of Mathematical Statistics 28.

    Examples
    --------
    >>> from touchpoint_lib.metrics.ranking import auc
    >>> area = auc([0, 0, 1, 0, 1, 1], [0.1, 0.2, 0.3, 0.4, 0.8, 0.9])
    >>> round(area.auc, 3), round(area.auc_low, 3), round(area.auc_high, 3)
    (0.889, 0.261, 0.995)
    """
    truth, values = truth_and_score(actual, score)
    share = check_number("level", level, gt=0, lt=1)
    wanted = None if precision is None else check_precision(precision)
    areas, covariance = auc_covariance(truth, values[:, None])
    area, error = float(areas[0]), float(np.sqrt(covariance[0, 0]))
    n, n_actual = len(truth), int(truth.sum())
    smaller = min(n_actual, n - n_actual)
    if area in (0, 1):
        low, high = wilson_interval(area * smaller, smaller, share)
    else:
        reach = float(ndtri((1 + share) / 2)) * error / (area * (1 - area))
        low, high = (float(expit(logit(area) + side * reach)) for side in (-1, 1))
    result = AreaUnderCurve(n, n_actual, area, error, low, high)
    if wanted is not None and not (high - low) / 2 <= wanted:
        if area in (0, 1):
            needed = wilson_cases(area, wanted, share) * n / smaller
        else:
            needed = n * ((high - low) / 2 / wanted) ** 2
        found = f"{n:,} customers, {n_actual:,} of them to be found"
        raise too_small([shortfall("auc", area, low, high, found, needed)], wanted)
    return result


def placements(truth: BoolArray, score: FloatArray, weight: FloatArray | None = None) -> FloatArray:
    """Return DeLong's structural components, shape (n,).

    For a case to be found it is the share of the others that score below it, ties half (V10 of
    the paper); for one of the others the share of those to be found that score above it (V01).
    The mean over either class is the area. Both classes must have weight.
    """
    _, place = np.unique(score, return_inverse=True)
    mass = np.ones(len(truth)) if weight is None else weight
    found = np.bincount(place, weights=mass * truth)
    rest = np.bincount(place, weights=mass * ~truth)
    below = (np.cumsum(rest) - rest / 2) / rest.sum()
    above = (found.sum() - np.cumsum(found) + found / 2) / found.sum()
    return np.where(truth, below[place], above[place])


def weighted_auc(truth: BoolArray, score: FloatArray, weight: FloatArray) -> float:
    """Return the area where each row stands for ``weight`` cases; NaN without both classes."""
    found, rest = float(weight[truth].sum()), float(weight[~truth].sum())
    if found == 0 or rest == 0:
        return float("nan")
    return float(weight[truth] @ placements(truth, score, weight)[truth]) / found


def auc_covariance(
    truth: BoolArray, scores: FloatArray, clusters: npt.NDArray[np.intp] | None = None
) -> tuple[FloatArray, FloatArray]:
    """Return the areas of k scores on the same cases, shape (k,), and their covariance, (k, k).

    Parameters
    ----------
    truth : array of bool, shape (n,)
    scores : array of float, shape (n, k)
    clusters : array of int, optional, shape (n,)
        Codes from 0 on: rows of one code (one customer at several times) may depend on each
        other, rows of different codes do not. Without it every row is on its own.

    Returns
    -------
    tuple of arrays
        NaN where a class is missing; the covariance is also NaN where all cases of a class are
        one cluster.

    References
    ----------
    Obuchowski (1997), "Nonparametric analysis of clustered ROC curve data", Biometrics 53,
    eq. 5-8: sums of the components over a cluster take the place of single components. With one
    row a cluster it is DeLong's covariance.

    Examples
    --------
    >>> import numpy as np
    >>> from touchpoint_lib.metrics.ranking import auc_covariance
    >>> truth = np.array([False, False, True, True])
    >>> areas, covariance = auc_covariance(truth, np.array([[1, 2], [3, 1], [2, 3], [4, 4.0]]))
    >>> areas.tolist(), covariance.tolist()
    ([0.75, 1.0], [[0.125, 0.0], [0.0, 0.0]])
    """
    n, k = scores.shape
    m = int(truth.sum())
    if m in (0, n):
        return np.full(k, np.nan), np.full((k, k), np.nan)
    place = np.column_stack([placements(truth, column) for column in scores.T])
    areas = place[truth].mean(axis=0)
    codes = np.arange(n) if clusters is None else clusters
    size = int(codes.max()) + 1

    def some(numbers: npt.NDArray[np.int64]) -> int:
        # np.unique hashes, ten times slower.
        return int(np.count_nonzero(np.bincount(numbers, minlength=size)))

    def sums(rows: BoolArray) -> tuple[FloatArray, int]:
        centred = place[rows] - areas
        total = [np.bincount(codes[rows], weights=column, minlength=size) for column in centred.T]
        return np.column_stack(total), some(codes[rows])

    (found, n_found), (rest, n_rest) = sums(truth), sums(~truth)
    if min(n_found, n_rest) < 2:
        return areas, np.full((k, k), np.nan)
    found, rest = found / m, rest / (n - m)
    cross = found.T @ rest
    n_clusters = some(codes)
    covariance = (
        n_found / (n_found - 1) * found.T @ found
        + n_rest / (n_rest - 1) * rest.T @ rest
        + n_clusters / (n_clusters - 1) * (cross + cross.T)
    )
    return areas, covariance
