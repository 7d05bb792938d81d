"""Estimators of both arms' means, each with what every row adds to them.

An estimate is a sum over customers; its influence values say what each adds to its error, so that
covariances, clusters, ratios and totals in money all follow from the same two columns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtri, stdtr, stdtrit

from touchpoint_lib._checks import FloatArray, InputError, IntArray
from touchpoint_lib.campaigns._propensity import Propensity, with_intercept

#: A covariate that keeps less than this share of its variance beside the earlier ones follows
#: from them.
_DEPENDENT = 1e-10


class TooFewError(InputError):
    """An arm has too few rows for the method."""


@dataclass(frozen=True, eq=False)
class Means:
    """Means of the treated and the control arm, with their covariance.

    Attributes
    ----------
    treated, control : float
        The means; the effect is their difference.
    covariance : array, shape (2, 2)
        Of (treated, control).
    df : float
        Degrees of freedom of the effect's t distribution; inf for the normal.
    influence : array, shape (n, 2)
        What each row adds to the error of each mean.
    """

    treated: float
    control: float
    covariance: FloatArray
    df: float
    influence: FloatArray

    @property
    def effect(self) -> float:
        """Treated less control."""
        return self.treated - self.control

    @property
    def variance(self) -> float:
        """Of the effect; 0 where rounding puts it below."""
        both = self.covariance
        return max(float(both[0, 0] + both[1, 1] - 2 * both[0, 1]), 0.0)

    def less(self, other: Means, times: float = 1.0) -> Means:
        """Return the means of this less ``times`` another outcome of the same rows."""
        influence = self.influence - times * other.influence
        return Means(
            self.treated - times * other.treated,
            self.control - times * other.control,
            influence.T @ influence,
            self.df,
            influence,
        )

    def clustered(self, cluster: IntArray, treated: FloatArray) -> Means:
        """Return the same means with a covariance by sums of clusters.

        Liang and Zeger's, times G / (G - 1); t with G - 1 degrees of freedom.
        """
        for indicator in (treated, 1 - treated):
            # The influences of an arm sum to 0 over a single cluster, as if it were certain.
            if indicator.any() and np.count_nonzero(np.bincount(cluster, indicator)) < 2:
                raise TooFewError("an arm is a single cluster; two is the least")
        sums = cluster_sums(self.influence, cluster)
        groups = n_groups(cluster)
        covariance = sums.T @ sums * (groups / (groups - 1))
        return replace(self, covariance=covariance, df=float(groups - 1))


def n_groups(cluster: IntArray) -> int:
    """Return how many clusters there are."""
    return int(np.count_nonzero(np.bincount(cluster)))


def cluster_sums(influence: FloatArray, cluster: IntArray) -> FloatArray:
    """Return the sum of each column by cluster, shape (G, columns)."""
    size = int(cluster.max()) + 1
    columns = [np.bincount(cluster, weights=column, minlength=size) for column in influence.T]
    return np.stack(columns, axis=1)


def independent(matrix: FloatArray, *subsets: FloatArray) -> list[int]:
    """Return the columns that vary and do not follow from earlier ones, in each of the subsets.

    ``subsets`` are weights of 0 and 1 of the rows; without any, all rows.
    """
    kept: list[int] = []
    if not matrix.shape[1]:
        return kept
    scale = np.maximum(matrix.max(axis=0), -matrix.min(axis=0))
    grams = [_gram(matrix, weight, scale) for weight in (subsets or (None,))]
    # No column has less left over than the smallest eigenvalue.
    if min(float(np.linalg.eigvalsh(gram)[0]) for gram in grams) > _DEPENDENT:
        return list(range(matrix.shape[1]))
    for column in range(matrix.shape[1]):
        if all(_left_over(gram, kept, column) > _DEPENDENT for gram in grams):
            kept.append(column)
    return kept


def rows_of(matrix: FloatArray, weight: FloatArray) -> FloatArray:
    """Return the rows that weigh something, stored by columns as the matrix is."""
    return np.take(matrix.T, np.flatnonzero(weight), axis=1).T


def _gram(matrix: FloatArray, weight: FloatArray | None, scale: FloatArray) -> FloatArray:
    """Return the correlations of the columns, 0 where one does not vary.

    ``scale`` is the largest value of each column, without its sign.
    """
    rows = matrix if weight is None else rows_of(matrix, weight)
    centred = rows - rows.mean(axis=0)
    gram = centred.T @ centred
    size = np.sqrt(np.diag(gram))
    # What is left of a constant after its mean is taken off is rounding.
    size = np.where(size > 1e-12 * len(rows) ** 0.5 * scale, size, np.inf)
    return gram / size / size[:, None]


def _left_over(gram: FloatArray, kept: list[int], column: int) -> float:
    """Return the share of a column's variance that the kept ones do not explain."""
    own = float(gram[column, column])
    if not kept or own == 0:
        return own
    beside = gram[kept, column]
    return own - float(beside @ np.linalg.solve(gram[np.ix_(kept, kept)], beside))


def linearised_ratio(
    above: FloatArray, below: FloatArray, treated: FloatArray, top: Means, bottom: Means
) -> FloatArray:
    """Return values whose mean in each arm is the ratio of means, and its error the ratio's.

    R + (above - R below) / mean(below), the delta method (Deng, Knoblich and Lu 2018, eq. 2).
    ``top`` and ``bottom`` are the means of both, by the method that is to average the values: about
    other means the ratio would be wrong where the arms differ in more than the contact.
    """
    values = np.empty_like(above)
    for rows, over, mean in (
        (treated == 1, top.treated, bottom.treated),
        (treated == 0, top.control, bottom.control),
    ):
        if mean <= 0:
            raise TooFewError(
                "the denominator of the ratio is not above 0 in an arm; leave the arm out"
            )
        ratio = over / mean
        values[rows] = ratio + (above[rows] - ratio * below[rows]) / mean
    return values


def difference(y: FloatArray, treated: FloatArray) -> Means:
    """Return the means of both arms with Welch's covariance."""
    means, variances, sizes = np.empty(2), np.empty(2), np.empty(2)
    influence = np.empty((2, len(y)))
    for place, (indicator, own) in enumerate(zip((treated, 1 - treated), influence, strict=True)):
        n = indicator.sum()
        if n < 2:
            raise TooFewError(f"an arm has {n:.0f} rows; two is the least")
        mean = float(y @ indicator / n)
        np.subtract(y, mean, out=own)
        own *= indicator
        # Scaled such that the sum of squares is s^2 / n.
        own /= np.sqrt(n * (n - 1))
        means[place], sizes[place], variances[place] = mean, n, own @ own
    return Means(
        float(means[0]),
        float(means[1]),
        np.diag(variances),
        welch_df(variances, sizes),
        influence.T,
    )


def one_sample(y: FloatArray) -> Means:
    """Return the mean of one arm beside 0."""
    n = len(y)
    if n < 2:
        raise TooFewError(f"an arm has {n} rows; two is the least")
    influence = np.zeros((n, 2))
    influence[:, 0] = (y - y.mean()) / np.sqrt(n * (n - 1))
    return Means(float(y.mean()), 0.0, influence.T @ influence, float(n - 1), influence)


def welch_df(variances: FloatArray, sizes: FloatArray) -> float:
    """Return the degrees of freedom of Welch (1947) and Satterthwaite (1946)."""
    total = variances.sum()
    if total == 0:
        return float("inf")
    # Shares of the variance, so that tiny values do not underflow when squared.
    shares = variances / total
    return float(1 / (shares**2 / (sizes - 1)).sum())


def t_quantile(level: float, df: float) -> float:
    """Return the two-sided quantile of Student's t, the normal one at df = inf."""
    return float(stdtrit(df, (1 + level) / 2) if np.isfinite(df) else ndtri((1 + level) / 2))


def tested(effect: float, error: float, df: float, level: float) -> dict[str, float]:
    """Return effect, standard_error, ci_low, ci_high, p_value; NaN but the effect at no error."""
    if error == 0:
        nothing = dict.fromkeys(("standard_error", "ci_low", "ci_high", "p_value"), np.nan)
        return {"effect": effect} | nothing
    reach = t_quantile(level, df) * error
    return {
        "effect": effect,
        "standard_error": error,
        "ci_low": effect - reach,
        "ci_high": effect + reach,
        "p_value": float(2 * stdtr(df, -abs(effect) / error)),
    }


def cuped(y: FloatArray, treated: FloatArray, matrix: FloatArray) -> Means:
    """Return the difference after the part of y that covariates explain in both arms together.

    Deng, Xu, Kohavi and Walker (2013), eq. 4 and 7, with several covariates by least squares.
    """
    if len(y) <= matrix.shape[1] + 2:
        raise TooFewError(
            f"both arms have {len(y)} rows for {matrix.shape[1]} covariates; leave out covariates"
        )
    centred = matrix - matrix.mean(axis=0)
    slope = np.linalg.solve(centred.T @ centred, centred.T @ (y - y.mean()))
    return difference(y - centred @ slope, treated)


def lin(y: FloatArray, treated: FloatArray, matrix: FloatArray) -> Means:
    """Return means at the average covariates, by a regression in each arm.

    Lin (2013), eq. 3, as an estimate for the population: HC1 of each arm's regression plus the
    variance of the average covariates (Negi and Wooldridge 2021, section 3).
    """
    n, k = len(y), matrix.shape[1] + 1
    design = with_intercept(matrix)
    means, variances, sizes = np.empty(2), np.empty(2), np.empty(2)
    influence = np.empty((n, 2))
    for place, indicator in enumerate((treated, 1 - treated)):
        rows = indicator > 0
        size = float(rows.sum())
        if size <= k:
            raise TooFewError(
                f"an arm has {size:.0f} rows for {k} coefficients; leave out covariates"
            )
        slope, inverse = _least_squares(y[rows], rows_of(design, indicator))
        residual = (y - design @ slope) * indicator
        own = design @ inverse[0] * residual * np.sqrt(size / (size - k))
        influence[:, place] = own + design[:, 1:] @ slope[1:] / n
        means[place], sizes[place] = slope[0], size
        variances[place] = own @ own
    return Means(
        float(means[0]),
        float(means[1]),
        influence.T @ influence,
        welch_df(variances, sizes - k + 1),
        influence,
    )


def _least_squares(y: FloatArray, design: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the coefficients, and the inverse of design' design."""
    inverse = np.asarray(np.linalg.inv(design.T @ design), dtype=np.float64)
    slope = inverse @ (design.T @ y)
    # One step of refinement takes the rounding of the normal equations out.
    return slope + inverse @ (design.T @ (y - design @ slope)), inverse


def stratified(y: FloatArray, treated: FloatArray, stratum: IntArray) -> Means:
    """Return means over strata in the shares of all rows (post-stratification).

    Miratrix, Sekhon and Yu (2013), eq. 4, plus the variance of the strata's shares. Every stratum
    has two rows of either arm, or none.
    """
    n, strata = len(y), int(stratum.max()) + 1
    weight = np.bincount(stratum, minlength=strata) / n
    influence, means = np.empty((n, 2)), np.empty(2)
    variances, df = np.empty(2), np.empty(2)
    for place, indicator in enumerate((treated, 1 - treated)):
        # An empty stratum, two rows or none, weighs nothing.
        size = np.bincount(stratum, weights=indicator, minlength=strata)
        size = np.where(weight > 0, size, 2.0)
        mean = np.bincount(stratum, weights=indicator * y, minlength=strata) / size
        own = indicator * (y - mean[stratum])
        own *= (weight / np.sqrt(size * (size - 1)))[stratum]
        means[place] = weight @ mean
        influence[:, place] = own + (mean[stratum] - means[place]) / n
        variances[place] = own @ own
        df[place] = size[weight > 0].sum() - (weight > 0).sum()
    return Means(
        float(means[0]),
        float(means[1]),
        influence.T @ influence,
        welch_df(variances, df + 1),
        influence,
    )


def aipw(
    y: FloatArray,
    treated: FloatArray,
    matrix: FloatArray,
    propensity: Propensity | FloatArray,
    *,
    on_treated: bool,
) -> Means:
    """Return augmented inverse probability weighted means with the stacked sandwich.

    A regression of the outcome in each arm, corrected by the weighted residuals of the arm; right
    if either the regressions or the propensity is. Robins, Rotnitzky and Zhao (1994); the errors
    of both first steps are carried over as in Newey and McFadden (1994), theorem 6.1, which is
    the standard error of Stata's teffects. ``propensity`` is fitted, or known (shape (n,)).
    ``on_treated`` averages over the treated instead of all rows.
    """
    n = len(y)
    design = with_intercept(matrix)
    fitted = propensity if isinstance(propensity, Propensity) else None
    chance = propensity.chance if isinstance(propensity, Propensity) else propensity
    share = float(treated.mean())
    means, influence = np.empty(2), np.empty((n, 2))
    for place, indicator in enumerate((treated, 1 - treated)):
        rows = indicator > 0
        if rows.sum() <= design.shape[1]:
            raise TooFewError(
                f"an arm has {int(rows.sum())} rows for {design.shape[1]} coefficients; leave out "
                "covariates"
            )
        own = chance if place == 0 else 1 - chance
        if on_treated and place == 0:
            # The treated are their own sample.
            means[0] = y @ treated / treated.sum()
            influence[:, 0] = treated * (y - means[0]) / (share * n)
            continue
        slope, inverse = _least_squares(y[rows], rows_of(design, indicator))
        predicted = design @ slope
        residual = y - predicted
        # To whom the average belongs, and how often a row of the arm stands for one of them.
        target = treated / share if on_treated else np.ones(n)
        weight = indicator * (chance / share if on_treated else 1.0) / own
        values = target * predicted + weight * residual
        means[place] = values.mean()
        influence[:, place] = (values - target * means[place]) / n
        by_slope = (target - weight) @ design / n
        influence[:, place] += indicator * residual * (design @ (inverse @ by_slope))
        if fitted is not None:
            # How the weight times its denominator, squared, changes with the chance.
            change = 1 / share if on_treated else (-1.0, 1.0)[place]
            by_chance = indicator * residual * change / own**2 * fitted.slope
            influence[:, place] += fitted.influence(by_chance @ fitted.design) / n**2
    return Means(float(means[0]), float(means[1]), influence.T @ influence, float("inf"), influence)
