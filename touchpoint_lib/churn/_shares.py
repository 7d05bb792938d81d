"""Shares of influence from held-out losses, with resampled intervals and the noise level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from touchpoint_lib._checks import BoolArray, FloatArray, IntArray
from touchpoint_lib.churn._cross_fit import Scores

#: Resamples of the customers, and the customers weighed at once.
_DRAWS = 1000
_BLOCK = 2048


@dataclass(frozen=True)
class Shares:
    """Estimates and bounds; arrays of an entry a group (G), or a column (p) where it says so.

    Attributes
    ----------
    increase, low, high
        Log loss a row that permuting the group adds.
    share, share_low, share_high
        Of the sum of the positive increases; NaN where there is none.
    signal
        The lower bound in the trees as grown, whichever of two groups that can stand in for each
        other a fit prefers, is above ``noise``.
    noise
        The largest increase of a shadow, at least 0.
    weight, alone, stands_out
        A column's part of its group; the share of deviance that it explains alone; whether that
        is above all shadows. Shape (p,).
    column_share, column_low, column_high
        Shares of the columns, shape (p,).
    draws
        Resampled shares of the columns, shape (draws, p).
    explained, explained_low, explained_high
        Share of the deviance that all columns explain together.
    """

    increase: FloatArray
    low: FloatArray
    high: FloatArray
    share: FloatArray
    share_low: FloatArray
    share_high: FloatArray
    signal: BoolArray
    noise: float
    weight: FloatArray
    alone: FloatArray
    stands_out: BoolArray
    column_share: FloatArray
    column_low: FloatArray
    column_high: FloatArray
    draws: FloatArray
    explained: float
    explained_low: float
    explained_high: float


def measure(
    scores: Scores, customer: IntArray, group: IntArray, level: float, rng: np.random.Generator
) -> Shares:
    """Return shares of G groups and p columns from the scores of n rows.

    Parameters
    ----------
    scores : Scores
        Of n rows.
    customer : array of int, shape (n,)
        Rising from 0; customers are drawn with all their rows.
    group : array of int, shape (p,)
        The group of each column.
    level : float
        Of the intervals.
    rng : Generator
        Draws the resamples.
    """
    values = (scores.loss[:, None], scores.null[:, None], scores.increase, scores.gain)
    loss, null, increase, gain = (part.mean(axis=0) for part in values)
    drawn_loss, drawn_null, drawn_increase, drawn_gain = _resample(values, customer, rng)
    as_grown, _ = _quantiles(drawn_increase, level)
    drawn_increase += _between_fits(scores.fits, rng)
    counts = increase > 0
    share, weight = _divide(increase, gain, group, counts)
    drawn_share, drawn_weight = _divide(drawn_increase, drawn_gain, group, counts)
    low, high = _quantiles(drawn_increase, level)
    noise = max(float(scores.shadow.max()), 0.0)
    gain_low, _ = _quantiles(drawn_gain, level)
    draws = drawn_share[:, group] * drawn_weight
    explained_low, explained_high = _quantiles(1 - drawn_loss / drawn_null, level)
    column_share = share[group] * weight
    share_low, share_high = share_bounds(drawn_share, share, level)
    column_low, column_high = share_bounds(draws, column_share, level)
    return Shares(
        increase=increase,
        low=low,
        high=high,
        share=share,
        share_low=share_low,
        share_high=share_high,
        signal=as_grown > noise,
        noise=noise,
        weight=weight,
        alone=gain / null,
        stands_out=gain_low > max(float(scores.shadow_gain.max()), 0.0),
        column_share=column_share,
        column_low=column_low,
        column_high=column_high,
        draws=draws,
        explained=float(1 - loss[0] / null[0]),
        explained_low=float(explained_low[0]),
        explained_high=float(explained_high[0]),
    )


def share_bounds(draws: FloatArray, share: Any, level: float) -> tuple[Any, Any]:
    """Return the bounds of shares within [0, 1], the share itself between them."""
    low, high = _quantiles(draws, level)
    return np.clip(np.minimum(low, share), 0, 1), np.clip(np.maximum(high, share), 0, 1)


def _quantiles(draws: FloatArray, level: float) -> tuple[Any, Any]:
    """Return the bounds of each column of ``draws``; a draw of NaN counts for nothing."""
    tail = (1 - level) / 2
    known = draws[~np.isnan(draws).any(axis=1)] if draws.ndim > 1 else draws[~np.isnan(draws)]
    if not len(known):
        nothing = np.full(draws.shape[1:], np.nan)
        return nothing, nothing
    low, high = np.quantile(known, [tail, 1 - tail], axis=0)
    return low, high


def _divide(
    increase: FloatArray, gain: FloatArray, group: IntArray, counts: BoolArray
) -> tuple[FloatArray, FloatArray]:
    """Return the share of each group, and the part of its group that each column has.

    The last axis runs over groups (``increase``, ``counts``) or columns (``gain``). The groups
    that ``counts`` are those of a positive estimate, in every resample the same ones and with
    their sign: the positive parts of the noise in a resample would grow the sum. Shares are NaN
    where the sum is not positive.
    """
    total = increase[..., counts].sum(axis=-1, keepdims=True)
    kept = np.where(counts, increase, np.maximum(increase, 0))
    share = np.divide(kept, total, out=np.full_like(kept, np.nan), where=total > 0)
    alone = np.maximum(gain, 0)
    each = np.eye(len(counts))[group]
    of_group = (alone @ each)[..., group]
    equal = np.broadcast_to((1 / each.sum(axis=0))[group], alone.shape)
    weight = np.divide(alone, of_group, out=equal.copy(), where=of_group > 0)
    return share, weight


def _between_fits(fits: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Return deviations of the mean over K fits, shape (draws, G): other trees, other increases.

    Fits are weighed at random (Bayesian bootstrap), and the deviations stretched so that their
    variance is half of that between fits: more rounds share the same customers, so they are
    worth no more than the two halves of one.
    """
    k = len(fits)
    weight = rng.dirichlet(np.ones(k), _DRAWS)
    return np.sqrt((k + 1) * k / (2 * (k - 1))) * (weight - 1 / k) @ fits


def _resample(
    values: tuple[FloatArray, ...], customer: IntArray, rng: np.random.Generator
) -> list[FloatArray]:
    """Return means a row of each array over resamples of the customers: Poisson weights."""
    starts = np.flatnonzero(np.diff(customer, prepend=-1))
    sizes = np.diff(starts, append=len(customer)).astype(float)
    sums = [np.zeros((_DRAWS, part.shape[1])) for part in values]
    rows = np.zeros(_DRAWS)
    for first in range(0, len(starts), _BLOCK):
        some = starts[first : first + _BLOCK]
        last = starts[first + _BLOCK] if first + _BLOCK < len(starts) else len(customer)
        weight = rng.poisson(1.0, (_DRAWS, len(some))).astype(float)
        rows += weight @ sizes[first : first + _BLOCK]
        for total, part in zip(sums, values, strict=True):
            total += weight @ np.add.reduceat(part[some[0] : last], some - some[0], axis=0)
    return [total / rows[:, None] for total in sums]
