"""Were the arms alike before the campaign: sizes, covariates, overlap."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import chdtrc, ndtr

from touchpoint_lib._checks import FloatArray, IntArray
from touchpoint_lib.campaigns._estimates import cluster_sums, n_groups, rows_of


def sample_ratio_p(sizes: IntArray, shares: FloatArray) -> float:
    """Return the p of Pearson's test that the arms have their designed shares."""
    expected = sizes.sum() * shares
    statistic = float(((sizes - expected) ** 2 / expected).sum())
    return float(chdtrc(len(sizes) - 1, statistic))


def balance_rows(
    names: list[str],
    matrix: FloatArray,
    treated: FloatArray,
    weights: FloatArray | None,
    cluster: IntArray | None,
) -> list[dict[str, Any]]:
    """Return a row a covariate: means of both arms, standardised difference, p.

    With ``cluster`` p is by sums of clusters. ``weights`` are those that the method gives to rows;
    with them the difference that is left behind them, in the same standard deviations.
    """
    means, of_mean, halves = [], [], []
    influence = np.empty((0 if cluster is None else len(names), len(treated)))
    for indicator, sign in ((treated, 1), (1 - treated, -1)):
        side = rows_of(matrix, indicator).T
        means.append(side.mean(axis=1))
        side = (side - means[-1][:, None]) * (sign / side.shape[1])
        of_mean.append(np.einsum("ij,ij->i", side, side))
        halves.append(of_mean[-1] * side.shape[1] / 2)
        if cluster is not None:
            influence[:, indicator > 0] = side
    mean_treated, mean_control = means
    gap, spread = mean_treated - mean_control, np.sqrt(sum(halves))
    if cluster is None:
        error = np.sqrt(sum(of_mean))
    else:
        groups = n_groups(cluster)
        sums = cluster_sums(influence.T, cluster)
        error = np.sqrt((sums * sums).sum(axis=0) * (groups / (groups - 1)))
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

    ``matrix`` has independent columns. Chi-square with a degree of freedom each; NaN where there
    are not more clusters than columns, which any lots would tell apart.
    """
    n, share = len(treated), treated.mean()
    centred = matrix - matrix.mean(axis=0)
    # In standard deviations, so that a small unit is not taken for rounding.
    centred /= np.sqrt(np.einsum("ij,ij->j", centred, centred) / n)
    gap = (treated - share) @ centred
    if cluster is None:
        covariance = centred.T @ centred * share * (1 - share) * n / (n - 1)
    else:
        if n_groups(cluster) <= len(gap):
            return float("nan")
        sums = cluster_sums((treated - share)[:, None] * centred, cluster)
        covariance = sums.T @ sums
    return float(chdtrc(len(gap), max(float(gap @ np.linalg.pinv(covariance) @ gap), 0.0)))
