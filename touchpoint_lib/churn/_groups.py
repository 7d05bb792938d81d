"""Groups of columns: given by the caller, or clusters of columns that say nearly the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from touchpoint_lib._checks import FloatArray, fail
from touchpoint_lib.churn._labelled import check_label

#: Columns share a cluster where their rank correlations average at least this.
TWINS = 0.8


def given_groups(groups: Any, columns: pd.Index[Any]) -> npt.NDArray[Any]:
    """Return the group of each column from a mapping or a Series; raise where one has none."""
    if isinstance(groups, pd.Series):
        if groups.index.has_duplicates:
            twice = groups.index[groups.index.duplicated()][0]
            raise fail(f"groups names column {twice!r} twice", "give each column one group")
        groups = groups.to_dict()
    if not isinstance(groups, Mapping):
        raise fail(
            f"groups is a {type(groups).__name__}",
            "pass a mapping of column to group, indicator_dictionary(frame)['group'], or None",
        )
    missing = [column for column in columns if column not in groups]
    if missing:
        raise fail(
            f"groups has no group for column {missing[0]!r} ({len(missing)} such columns)",
            "name a group for every column",
        )
    named = [groups[column] for column in columns]
    bare = [
        column
        for column, group in zip(columns, named, strict=True)
        if pd.api.types.is_scalar(group) and pd.isna(group)
    ]
    if bare:
        raise fail(
            f"groups has a missing group for column {bare[0]!r} ({len(bare)} such columns)",
            "name a group for every column",
        )
    for column, group in zip(columns, named, strict=True):
        check_label(f"groups has for column {column!r}", group, "name groups by text or numbers")
    return pd.Series(named, dtype=object).to_numpy()


def clusters(rank: FloatArray) -> npt.NDArray[np.int64]:
    """Return a cluster number for each column, from the ranks within columns, shape (n, p).

    Average linkage on 1 - |Spearman|, cut where columns of two clusters correlate by less than
    `TWINS` on average. Missing values count as equal and beyond one end of the others: the
    end that makes two columns more alike, so that a column and its negative are twins.
    """
    if rank.shape[1] == 1:
        return np.zeros(1, dtype=np.int64)
    from scipy.cluster.hierarchy import fcluster, linkage

    alike = alikeness(rank)
    distance = (1 - alike)[np.triu_indices(len(alike), 1)]
    tree = linkage(np.maximum(distance, 0.0), method="average")
    return np.asarray(fcluster(tree, 1 - TWINS, criterion="distance"), dtype=np.int64)


def alikeness(rank: FloatArray) -> FloatArray:
    """Return |Spearman| of each pair of columns, none of them constant, shape (p, p)."""
    missing = np.isnan(rank)
    n_missing = missing.sum(axis=0)
    lowest = _standard(np.where(missing, (n_missing + 1) / 2, rank + n_missing))
    alike = np.abs(lowest.T @ lowest)
    if n_missing.any():
        highest = _standard(np.where(missing, len(rank) - (n_missing - 1) / 2, rank))
        alike = np.maximum(alike, np.abs(lowest.T @ highest))
        # Which of the two is turned round must not matter.
        alike = np.maximum(alike, alike.T)
    return alike


def _standard(rank: FloatArray) -> FloatArray:
    """Return columns of mean 0 and length 1."""
    centred = rank - rank.mean(axis=0)
    return centred / np.sqrt((centred**2).sum(axis=0))
