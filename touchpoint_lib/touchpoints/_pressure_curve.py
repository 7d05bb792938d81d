"""What one more contact is worth after n recent ones: a curve through noisy classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import brentq, minimize_scalar
from scipy.sparse import coo_array

from touchpoint_lib._checks import FloatArray, IntArray

#: Draws behind the intervals.
_DRAWS = 2000
#: The steepest fall: behind it a second contact would do nothing at all.
_STEEPEST = 3.0
#: Values of kappa that a draw may take; the estimate itself is exact.
_KAPPAS = np.linspace(0.0, _STEEPEST, 301)
#: More recent contacts count as so many: a single test account may have thousands.
MOST = 100
#: The largest exponent of e that is ever taken.
_LARGEST = 300.0
#: Singular values of a covariance below this share of the largest are rounding.
_ROUNDING = 1e-10


@dataclass(frozen=True, eq=False)
class Lots:
    """Opportunities for which lots were drawn, a row each.

    ``cell`` numbers what is alike but for the lot: campaign and class of recent contacts.
    """

    channel: IntArray
    n: IntArray
    cell: IntArray
    made: FloatArray
    customer: IntArray
    outcome: FloatArray
    covariates: FloatArray


@dataclass(frozen=True, eq=False)
class Decline:
    """Effects theta_c exp(-kappa n) of a contact by channel c: estimate first, then draws.

    ``falls`` says whether any channel has lots at several n: without, any kappa fits as well.
    """

    kappa: FloatArray  # (1 + draws,)
    theta: FloatArray  # (1 + draws, channels)
    falls: bool

    def at(self, n: IntArray) -> FloatArray:
        """Return the effects, shape (1 + draws, channels, len(n))."""
        fall = np.exp(-self.kappa[:, None] * n)
        return np.asarray(self.theta[:, :, None] * fall[:, None, :])


def fit_decline(lots: Lots, n_channels: int, generator: np.random.Generator) -> Decline:
    """Return the decline by weighted nonlinear least squares on contacts, with draws of it.

    Outcome and contact are taken less their means in the cell, the outcome also less what the
    covariates explain (Frisch and Waugh 1933; Lovell 1963), so that only the lot is left. The sum
    of squares then depends on the data through two sums a channel and n, whose covariance is that
    of sums of customers: the draws are normal in those sums, and each is fitted anew.
    """
    top = int(lots.n.max()) + 1
    place = lots.channel * top + lots.n
    size = n_channels * top
    lot = _within(lots.made[:, None], lots.cell)[:, 0]
    both = _within(np.column_stack([lots.outcome, lots.covariates]), lots.cell)
    slopes = np.linalg.lstsq(both[:, 1:], both[:, 0], rcond=None)[0]
    outcome = both[:, 0] - both[:, 1:] @ slopes
    gain = _sums(place, lot * outcome, size)
    chance = _sums(place, lot * lot, size).reshape(n_channels, top)
    rows = np.maximum(np.bincount(lots.channel, minlength=n_channels), 1)
    spread = np.bincount(lots.channel, weights=outcome**2, minlength=n_channels) / rows
    # A channel whose outcomes never vary has an effect of 0 for sure: any weight will do.
    weight = 1 / np.where(spread > 0, spread, 1.0)
    estimate = _decline(gain.reshape(1, n_channels, top), chance, weight)
    kappa = _exact(gain.reshape(n_channels, top), chance, weight, float(estimate.kappa[0]))
    theta = _levels(gain.reshape(1, n_channels, top), chance, np.array([kappa]))[0][0, :, 0]

    fitted = theta[lots.channel] * np.exp(-kappa * lots.n)
    score = lot * (outcome - lot * fitted)
    n_customers = int(lots.customer.max()) + 1
    sums = coo_array((score, (lots.customer, place)), shape=(n_customers, size)).tocsr()
    groups = len(np.unique(lots.customer))
    covariance = (sums.T @ sums).toarray() * groups / max(groups - 1, 1)
    drawn = gain + _normal(covariance, generator)
    draws = _decline(drawn.reshape(-1, n_channels, top), chance, weight)
    return Decline(
        np.concatenate([[kappa], draws.kappa]),
        np.concatenate([theta[None], draws.theta]),
        estimate.falls,
    )


def _sums(place: IntArray, values: FloatArray, size: int) -> FloatArray:
    return np.bincount(place, weights=values, minlength=size).astype(np.float64)


def _within(columns: FloatArray, cell: IntArray) -> FloatArray:
    """Return columns less their means in the cells."""
    size = np.maximum(np.bincount(cell), 1)
    found = np.empty_like(columns)
    for number, column in enumerate(columns.T):
        found[:, number] = column - (np.bincount(cell, weights=column) / size)[cell]
    return found


def _levels(
    gain: FloatArray, chance: FloatArray, kappas: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return theta, and how much it lowers each channel's sum of squares, by kappa."""
    fall = np.exp(-kappas[:, None] * np.arange(chance.shape[1]))
    across, below = gain @ fall.T, chance @ (fall**2).T
    # Without lots there is no effect to be seen, and no weight on kappa.
    theta = np.divide(across, below, out=np.zeros_like(across), where=below > 0)
    return theta, theta * across


def _decline(gain: FloatArray, chance: FloatArray, weight: FloatArray) -> Decline:
    """Return the best kappa on the grid, and theta there, for each set of sums."""
    theta, less = _levels(gain, chance, _KAPPAS)
    best = np.einsum("dck,c->dk", less, weight).argmax(axis=1)
    falls = bool(((chance > 0).sum(axis=1) > 1).any())
    return Decline(_KAPPAS[best], theta[np.arange(len(best)), :, best], falls)


def _exact(gain: FloatArray, chance: FloatArray, weight: FloatArray, near: float) -> float:
    """Return the best kappa around the best one on the grid."""
    step = float(_KAPPAS[1])

    def squares(kappa: float) -> float:
        less = _levels(gain[None], chance, np.array([kappa]))[1]
        return -float(weight @ less[0, :, 0])

    bounds = (max(near - step, 0.0), min(near + step, _STEEPEST))
    found = minimize_scalar(squares, bounds=bounds, method="bounded", options={"xatol": 1e-9})
    # The search never looks at its bounds themselves.
    return float(min([found.x, *bounds], key=squares))


def _normal(covariance: FloatArray, generator: np.random.Generator) -> FloatArray:
    """Return draws from a normal distribution around 0 whose covariance may be singular."""
    values, vectors = np.linalg.eigh(covariance)
    kept = values > _ROUNDING * values.max(initial=0.0)
    root = vectors[:, kept] * np.sqrt(values[kept])
    return np.asarray(generator.standard_normal((_DRAWS, int(kept.sum()))) @ root.T)


@dataclass(frozen=True, eq=False)
class Leaving:
    """Rates exp(a_c + b n) of leaving a channel for good: estimate first, then draws."""

    slope: FloatArray  # (1 + draws,)
    level: FloatArray  # (1 + draws, channels): exp(a_c); the estimate is 0 where nobody left

    def at(self, n: IntArray) -> FloatArray:
        """Return the rates, at most 1, shape (1 + draws, channels, len(n))."""
        rise = np.exp(self.slope[:, None] * n)
        return np.minimum(self.level[:, :, None] * rise[:, None, :], 1.0)


def fit_leaving(left: FloatArray, contacts: FloatArray, generator: np.random.Generator) -> Leaving:
    """Return the rate of leaving from counts (channels, n) of contacts and of those who left.

    Poisson regression with a level a channel and one slope. Given the counts by channel the slope
    has a likelihood of its own, and given the slope a channel's count is Poisson: the draws are
    normal for the slope and gamma for the levels, with half a case more than there were (Jeffreys'
    prior), so that a channel that nobody left so far is not sure to keep everybody.
    """
    n = np.arange(contacts.shape[1])
    total = left.sum(axis=1)

    def tilted(slope: float) -> tuple[float, float]:
        """Return the derivative of the log-likelihood of the slope, and the information."""
        weight = contacts * np.exp(slope * n)
        weight = weight / np.maximum(weight.sum(axis=1, keepdims=True), np.finfo(float).tiny)
        mean = weight @ n
        spread = (weight * (n - mean[:, None]) ** 2).sum(axis=1)
        return float((left @ n - total * mean).sum()), float(total @ spread)

    # Of hundreds of contacts powers must stay numbers.
    steepest = min(_STEEPEST, _LARGEST / max(int(n[-1]), 1))
    low, high = -steepest, steepest
    if tilted(0.0)[1] == 0:
        # Nobody left, or all contacts found the same number of recent ones.
        low = high = 0.0
    elif tilted(high)[0] >= 0:
        low = high
    elif tilted(low)[0] <= 0:
        high = low
    slope = low if low == high else float(brentq(lambda one: tilted(one)[0], low, high))
    known = tilted(slope)[1]
    error = 1 / np.sqrt(known) if known > 0 else 0.0
    slopes = slope + error * np.concatenate([[0.0], generator.standard_normal(_DRAWS)])
    slopes = np.clip(slopes, -steepest, steepest)
    exposure = np.exp(slopes[:, None] * n) @ contacts.T
    counts = np.vstack([total, generator.gamma(np.tile(total + 0.5, (_DRAWS, 1)))])
    level = np.divide(counts, exposure, out=np.zeros_like(counts), where=exposure > 0)
    return Leaving(slopes, level)


def best_number(value: FloatArray) -> IntArray:
    """Return how many contacts, from 0 on, have the largest sum of values along the last axis."""
    sums = np.concatenate([np.zeros((*value.shape[:-1], 1)), value.cumsum(axis=-1)], axis=-1)
    return np.asarray(sums.argmax(axis=-1), dtype=np.int64)


def value_rows(n: IntArray, value: FloatArray, tail: float) -> pd.DataFrame:
    """Return value and its running sum by n with their intervals; ``value`` has the draws."""
    running = value.cumsum(axis=1)
    low, high = np.quantile(value[1:], [tail, 1 - tail], axis=0)
    sum_low, sum_high = np.quantile(running[1:], [tail, 1 - tail], axis=0)
    return pd.DataFrame(
        {
            "n": n,
            "value": value[0],
            "low": low,
            "high": high,
            "cumulative": running[0],
            "cumulative_low": sum_low,
            "cumulative_high": sum_high,
        }
    )
