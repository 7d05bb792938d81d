"""Trees and shadows grown on one half of the customers and scored on the other, in turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from touchpoint_lib._checks import BoolArray, FloatArray, IntArray
from touchpoint_lib.churn._alone import classes, explain_alone
from touchpoint_lib.churn._boosting import grow_trees
from touchpoint_lib.churn._permutation import permuted_losses, shuffle_within


@dataclass(frozen=True)
class Scores:
    """What held-out rows say of G groups and p columns; every row is held out once a round.

    Attributes
    ----------
    loss, null
        Log loss of each row under the trees, and under the rate of the other half, shape (n,).
    increase
        Contribution of each row to the loss of permuting a group, shape (n, G).
    gain
        Loss that each column saves alone, shape (n, p).
    auc
        Of each column alone, shape (p,).
    shadow
        Mean increase of each group's shadow, shape (G,).
    shadow_gain
        Mean loss that each column's shadow saves alone, shape (p,).
    fits
        Mean increase of each group in each fit, shape (2 * rounds, G).
    """

    loss: FloatArray
    null: FloatArray
    increase: FloatArray
    gain: FloatArray
    auc: FloatArray
    shadow: FloatArray
    shadow_gain: FloatArray
    fits: FloatArray


def cross_fit(
    data: FloatArray,
    truth: BoolArray,
    customer: IntArray,
    cutoff: IntArray,
    groups: Sequence[IntArray],
    rounds: int,
    rng: np.random.Generator,
) -> Scores:
    """Return the mean scores of ``rounds`` rounds, each with halves and shadows of its own.

    Parameters
    ----------
    data : array of float, shape (n, p)
        No constant column.
    truth : array of bool, shape (n,)
        Outcomes.
    customer, cutoff : array of int, shape (n,)
        Numbers from 0. A customer's rows stay in one half; shadows and permutations stay within
        a cutoff.
    groups : sequence of arrays of int
        The columns of each group; together all p.
    rounds : int
        How often all customers are split anew.
    rng : Generator
        Draws the halves, the shadows, the permutations and the seeds of the trees.
    """
    n, p = data.shape
    parts, n_groups = 2 * rounds, len(groups)
    shapes = (n, n, (n, n_groups), (n, p), p, n_groups, p, (parts, n_groups))
    total = Scores(*(np.zeros(shape) for shape in shapes))
    # The shadows' columns stand behind all others.
    both = [*groups, *(group + p for group in groups)]
    for turn in range(rounds):
        half = _halves(truth, customer, rng)
        for held_out in (0, 1):
            learn, asked = np.flatnonzero(half != held_out), np.flatnonzero(half == held_out)
            strata = _strata(cutoff, asked)
            sources = [_shadow_rows(cutoff, learn, asked, rng) for _ in groups]
            wide = np.empty((n, 2 * p), order="F")
            wide[:, :p] = data
            level = classes(data, learn)
            shadow_level = np.empty_like(level)
            for group, source in zip(groups, sources, strict=True):
                wide[:, group + p] = data[np.ix_(source, group)]
                shadow_level[:, group] = level[np.ix_(source, group)]
            trees = grow_trees(wide[learn], truth[learn], seed=int(rng.integers(2**31)))
            found = permuted_losses(trees, wide[asked], truth[asked], both, strata, rng)
            total.loss[asked] += found.loss / rounds
            base = truth[learn].mean()
            total.null[asked] -= np.log(np.where(truth[asked], base, 1 - base)) / rounds
            increase = found.increase[:, :n_groups]
            total.increase[asked] += increase / rounds
            total.fits[2 * turn + held_out] = increase.mean(axis=0)
            # Halves may differ by a customer: rows weigh the same.
            weight = len(asked) / (n * rounds)
            total.shadow[:] += found.increase[:, n_groups:].mean(axis=0) * weight
            alone = explain_alone(level[learn], truth[learn], level[asked], truth[asked])
            total.gain[asked] += alone.gain / rounds
            total.auc[:] += alone.auc / parts
            shadow = explain_alone(
                shadow_level[learn], truth[learn], shadow_level[asked], truth[asked]
            )
            total.shadow_gain[:] += shadow.gain.mean(axis=0) * weight
    return total


def _halves(truth: BoolArray, customer: IntArray, rng: np.random.Generator) -> IntArray:
    """Return the half, 0 or 1, of each row: customers with and without an outcome of 1 apart.

    So both halves have both outcomes where there are enough of each.
    """
    n_customers = int(customer.max()) + 1
    positive = np.bincount(customer, weights=truth, minlength=n_customers) > 0
    half = np.empty(n_customers, dtype=np.int64)
    half[np.lexsort((rng.random(n_customers), positive))] = np.arange(n_customers) % 2
    return half[customer]


def _strata(cutoff: IntArray, rows: IntArray) -> list[IntArray]:
    """Return the places among ``rows`` of each cutoff."""
    return [np.flatnonzero(cutoff[rows] == value) for value in np.unique(cutoff[rows])]


def _shadow_rows(
    cutoff: IntArray, learn: IntArray, asked: IntArray, rng: np.random.Generator
) -> IntArray:
    """Return the row that each row's shadow copies: of the same half and cutoff."""
    source = np.empty(len(cutoff), dtype=np.int64)
    for rows in (learn, asked):
        source[rows] = rows[shuffle_within(_strata(cutoff, rows), len(rows), rng)]
    return source
