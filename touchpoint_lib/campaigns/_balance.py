"""Were the arms alike before the campaign: sizes, covariates, overlap."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import chdtrc, ndtr

from touchpoint_lib._checks import FloatArray, IntArray
from touchpoint_lib.campaigns._estimates import cluster_sums


def sample_ratio_p(sizes: IntArray, shares: FloatArray) -> float:
    """Return the p of Pearson's test that the arms have their designed shares."""
    expected = sizes.sum() * shares
    statistic = float(((sizes - expected) ** 2 / expected).sum())
    return float(chdtrc(len(sizes) - 1, statistic))


def balance_rows(
    names: list[str], matrix: FloatArray, treated: FloatArray, weights: FloatArray | None
) -> list[dict[str, Any]]:
    """Return a row a covariate: means of both arms, standardised difference, p.

    ``weights`` are those that the method gives to rows; with them the difference that is left
    behind them, in the same standard deviations.
    """
    n_treated, n_control = treated.sum(), (1 - treated).sum()
    mean_treated, mean_control = (
        treated @ matrix / n_treated,
        (1 - treated) @ matrix / n_control,
    )
    centred = matrix - np.where(treated[:, None] > 0, mean_treated, mean_control)
    squares_treated, squares_control = treated @ centred**2, (1 - treated) @ centred**2
    gap = mean_treated - mean_control
    spread = np.sqrt((squares_treated / n_treated + squares_control / n_control) / 2)
    error = np.sqrt(squares_treated / n_treated**2 + squares_control / n_control**2)
    # A column that varies in no arm differs in all standard deviations, or in none.
    apart = np.where(gap == 0, 0.0, np.copysign(np.inf, gap))
    smd = np.divide(gap, spread, out=apart.copy(), where=spread > 0)
    z = np.abs(np.divide(gap, error, out=apart.copy(), where=error > 0))
    rows = [
        {
            "covariate": name,
            "mean_treated": mean_treated[place],
            "mean_control": mean_control[place],
            "standardised_difference": smd[place],
            "p_value": 2 * float(ndtr(-z[place])),
        }
        for place, name in enumerate(names)
    ]
    if weights is not None:
        left = np.zeros(len(names))
        for arm, sign in ((treated, 1), (1 - treated, -1)):
            weight = weights * arm
            left += sign * (weight @ matrix / weight.sum())
        behind = np.where(left == 0, 0.0, np.copysign(np.inf, left))
        left = np.divide(left, spread, out=behind, where=spread > 0)
        for row, value in zip(rows, left, strict=True):
            row["weighted_difference"] = float(value)
    return rows


def balance_p(matrix: FloatArray, treated: FloatArray, cluster: IntArray | None) -> float:
    """Return the p of the test that no covariate tells the arms apart (Hansen and Bowers 2008).

    ``matrix`` has independent columns. Chi-square with a degree of freedom each.
    """
    n, share = len(treated), treated.mean()
    # In standard deviations, so that a small unit is not taken for rounding.
    centred = (matrix - matrix.mean(axis=0)) / matrix.std(axis=0)
    gaps = (treated - share)[:, None] * centred
    if cluster is None:
        covariance = centred.T @ centred * share * (1 - share) * n / (n - 1)
    else:
        sums = cluster_sums(gaps, cluster)
        covariance = sums.T @ sums
    gap = gaps.sum(axis=0)
    return float(chdtrc(len(gap), max(float(gap @ np.linalg.pinv(covariance) @ gap), 0.0)))
