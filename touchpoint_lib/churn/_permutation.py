"""Grouped permutation on held-out rows: what the trees lose without a group of columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from touchpoint_lib._checks import BoolArray, FloatArray, IntArray
from touchpoint_lib.churn._boosting import Trees, split_columns

#: Permutations of each group.
PERMUTATIONS = 5


@dataclass(frozen=True)
class Losses:
    """Log losses of n held-out rows.

    Attributes
    ----------
    loss
        Of the trees, shape (n,).
    increase
        What each row contributes to the mean increase when a group is permuted, shape (n, groups).
        The mean over rows is the increase of the log loss.
    """

    loss: FloatArray
    increase: FloatArray


def shuffle_within(strata: Sequence[IntArray], n: int, rng: np.random.Generator) -> IntArray:
    """Return a permutation of n rows that moves none out of its stratum."""
    result = np.empty(n, dtype=np.int64)
    for rows in strata:
        result[rows] = rng.permutation(rows)
    return result


def permuted_losses(
    trees: Trees,
    data: FloatArray,
    truth: BoolArray,
    groups: Sequence[IntArray],
    strata: Sequence[IntArray],
    rng: np.random.Generator,
) -> Losses:
    """Return the losses of the trees, and what permuting each group's columns together adds.

    Only the trees that use a permuted column are evaluated again.

    Parameters
    ----------
    trees : Trees
        Grown on other rows.
    data : array of float, shape (n, trees.n_columns)
        The held-out rows.
    truth : array of bool, shape (n,)
        Their outcomes.
    groups : sequence of arrays of int
        The columns of each group.
    strata : sequence of arrays of int
        Rows within which values change places.
    rng : Generator
        Draws the permutations.
    """
    n = len(data)
    used = trees.columns_used()
    columns = split_columns(data, np.unique(trees.feature[trees.feature >= 0]))
    score = trees.log_odds(data)
    # The loss of an outcome is log(1 + exp(-margin)).
    sign = np.where(truth, -1.0, 1.0)
    loss = np.logaddexp(0.0, sign * score)
    increase = np.zeros((n, len(groups)), order="F")
    for place, group in enumerate(groups):
        wanted = set(group.tolist())
        touched = [tree for tree, needs in enumerate(used) if not wanted.isdisjoint(needs.tolist())]
        if not touched:
            continue
        roots = trees.roots[touched]
        needed = {column for tree in touched for column in used[tree].tolist()}
        before = {column: columns[column] for column in needed}
        rest = score.copy()
        said = np.zeros(n)
        trees.add(said, before, roots)
        rest -= said
        received, given = np.zeros(n), np.zeros(n)
        for _ in range(PERMUTATIONS):
            moved = shuffle_within(strata, n, rng)
            after = dict(before)
            for column in needed & wanted:
                values, missing = before[column]
                after[column] = (values[moved], None if missing is None else missing[moved])
            said = rest.copy()
            trees.add(said, after, roots)
            added = (np.logaddexp(0.0, sign * said) - loss) / PERMUTATIONS
            received += added
            given[moved] += added
        # A customer's chance enters twice: as the one who gets other values, and as the one whose
        # values others get (both first-order terms of a two-sample statistic).
        for rows in strata:
            given[rows] -= given[rows].mean()
        increase[:, place] = received + given
    return Losses(loss, increase)
