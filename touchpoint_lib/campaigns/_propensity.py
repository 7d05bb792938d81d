"""The chance of being contacted, by covariates: logit or probit by Newton steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import expit, log_ndtr, ndtr

from touchpoint_lib._checks import FloatArray, InputError

Link = Literal["logit", "probit"]

_MOST_STEPS = 50
#: The last step moves linear predictors by less: errors are squared by a step. Where covariates
#: tell the arms apart every step moves some by about 1, however flat the likelihood has become.
_STILL = 1e-5
#: |Gradient| a row of standardised covariates at the maximum.
_FLAT = 1e-9
#: A linear predictor beyond this is a chance that rounds to 0 or 1.
_FAR: dict[Link, float] = {"logit": 30.0, "probit": 8.0}
#: Where 1 - p underflows the step was too long anyway.
_LEAST = 1e-300
_ROOT_TWO_PI = float(np.sqrt(2 * np.pi))


class OverlapError(InputError):
    """The covariates tell contacted and not contacted apart: there is nobody to compare with."""


@dataclass(frozen=True, eq=False)
class Propensity:
    """A fitted chance of being contacted.

    ``chance``, ``slope`` (its derivative by the linear predictor) and ``score`` (that of the
    log-likelihood) have shape (n,), ``design`` (n, k) are the covariates of the fit, ``covariance``
    (k, k) is the inverse of the information a row.
    """

    chance: FloatArray
    slope: FloatArray
    score: FloatArray
    design: FloatArray
    covariance: FloatArray

    def influence(self, direction: FloatArray) -> FloatArray:
        """Return what each row adds to the coefficients times ``direction`` (k,), shape (n,)."""
        return self.score * (self.design @ (self.covariance @ direction))


def with_intercept(matrix: FloatArray) -> FloatArray:
    """Return the matrix less its means behind a column of ones.

    Stored by columns: sums over rows are fast. Far from zero normal equations would lose digits.
    """
    design = np.empty((matrix.shape[1] + 1, len(matrix)))
    design[0] = 1.0
    np.subtract(matrix.T, matrix.mean(axis=0)[:, None], out=design[1:])
    return design.T


def fit_propensity(treated: FloatArray, matrix: FloatArray, link: Link) -> Propensity:
    """Return the maximum likelihood fit of ``treated`` (0 or 1) on covariates and an intercept.

    ``matrix`` has no constant columns, and none that follows from the others.

    Raises
    ------
    OverlapError
        If the likelihood has no maximum, since covariates tell the arms apart.
    """
    n = len(treated)
    # The likelihood does not know units; its gradient does.
    design = with_intercept(matrix)
    design[:, 1:] /= np.sqrt(np.einsum("ij,ij->j", design, design)[1:] / n)
    beta = np.zeros(design.shape[1])
    predictor = design @ beta
    likelihood, score, weight = _parts(treated, predictor, link)
    moved, rooted = np.inf, np.empty_like(design)
    for _ in range(_MOST_STEPS):
        gradient = design.T @ score / n
        # The product of a matrix with itself takes half the time.
        np.multiply(design, np.sqrt(weight)[:, None], out=rooted)
        information = rooted.T @ rooted / n
        if moved < _STILL or np.abs(predictor).max() > _FAR[link]:
            break
        step = np.linalg.solve(information, gradient)
        before, was, size = likelihood, predictor, 1.0
        # Far from the maximum a whole step may lead down; at it rounding does.
        while size > 1e-3:
            predictor = design @ (beta + size * step)
            likelihood, score, weight = _parts(treated, predictor, link)
            if likelihood >= before - 1e-12 * abs(before):
                break
            size /= 2
        beta = beta + size * step
        moved = np.abs(predictor - was).max()
    if np.abs(gradient).max() > _FLAT or np.abs(predictor).max() > _FAR[link]:
        raise OverlapError(
            "the covariates tell the contacted from the others (the likelihood of the "
            f"{link} has no maximum); leave out what decided who was contacted, or pass "
            "propensity="
        )
    chance, slope = _chance(predictor, link)
    covariance = np.asarray(np.linalg.inv(information), dtype=np.float64)
    return Propensity(chance, slope, score, design, covariance)


def _chance(predictor: FloatArray, link: Link) -> tuple[FloatArray, FloatArray]:
    """Return probability and its derivative."""
    if link == "logit":
        chance = expit(predictor)
        return chance, chance * expit(-predictor)
    return ndtr(predictor), np.exp(-(predictor**2) / 2) / _ROOT_TWO_PI


def _parts(
    treated: FloatArray, predictor: FloatArray, link: Link
) -> tuple[float, FloatArray, FloatArray]:
    """Return log-likelihood, its derivative by the predictor and minus the second one, a row."""
    if link == "logit":
        chance = expit(predictor)
        # ln p = t (x b) - ln(1 + exp(x b)), and 1 - p = 1 / (1 + exp(x b)).
        other = 1 - chance
        likelihood = treated @ predictor + np.log(np.maximum(other, _LEAST)).sum()
        return float(likelihood), treated - chance, chance * other
    sign = 2 * treated - 1
    log_chance = log_ndtr(sign * predictor)
    ratio = sign * np.exp(-(predictor**2) / 2 - log_chance) / _ROOT_TWO_PI
    return float(log_chance.sum()), ratio, ratio * (ratio + predictor)
