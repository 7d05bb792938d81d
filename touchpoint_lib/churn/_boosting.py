"""Boosted trees: scikit-learn grows them, plain arrays keep them and predict.

So a saved model is a list of numbers, no code, and does not depend on the version of
scikit-learn that grew it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import logit

from touchpoint_lib._checks import FloatArray, fail

#: Rows that a leaf has at least.
SMALLEST_LEAF = 100
#: Small trees from coarse bins, each split from a part of the columns: chosen on CDNOW by
#: cross-fitting, where 200 trees of a third of the step take five times as long for the same AUC.
_SETTINGS: dict[str, Any] = {
    "learning_rate": 0.1,
    "max_iter": 60,
    "max_bins": 63,
    "max_leaf_nodes": 6,
    "min_samples_leaf": SMALLEST_LEAF,
    "max_features": 0.3,
    "l2_regularization": 10.0,
    "early_stopping": False,
}
#: Rows predicted at once: their columns stay in the processor's cache.
_BLOCK = 8192
#: The values of a column, and where they are missing (None: nowhere).
Column = tuple[FloatArray, npt.NDArray[np.bool_] | None]
_ARRAYS = ("feature", "threshold", "missing_left", "left", "right", "value", "roots")


@dataclass(frozen=True)
class Trees:
    """Boosted trees for the log-odds of an outcome.

    Attributes
    ----------
    n_columns
        Columns of the data that they were grown on.
    baseline
        Log-odds to which every tree adds.
    feature, threshold, missing_left, left, right, value
        An entry a node: its column (-1 for a leaf); rows at or below the threshold, and with
        ``missing_left`` those without a value, go to node ``left``, others to ``right``; what a
        leaf adds.
    roots
        The first node of each tree.
    """

    n_columns: int
    baseline: float
    feature: npt.NDArray[np.int64]
    threshold: FloatArray
    missing_left: npt.NDArray[np.bool_]
    left: npt.NDArray[np.int64]
    right: npt.NDArray[np.int64]
    value: FloatArray
    roots: npt.NDArray[np.int64]

    def log_odds(self, data: FloatArray) -> FloatArray:
        """Return the log-odds of each row of ``data``, shape (n, n_columns), NaN for missing."""
        result = np.full(len(data), self.baseline)
        used = np.unique(self.feature[self.feature >= 0])
        for start in range(0, len(data), _BLOCK):
            block = data[start : start + _BLOCK]
            self.add(result[start : start + _BLOCK], split_columns(block, used), self.roots)
        return result

    def columns_used(self) -> list[npt.NDArray[np.int64]]:
        """Return the columns that each tree splits on, rising; none for a tree that is a leaf."""
        ends = [*self.roots, len(self.feature)][1:]
        return [
            np.unique(self.feature[start:end][self.feature[start:end] >= 0])
            for start, end in zip(self.roots, ends, strict=True)
        ]

    def add(
        self, result: FloatArray, columns: Mapping[int, Column], roots: npt.NDArray[np.int64]
    ) -> None:
        """Add to ``result`` what the trees at ``roots`` say of each row.

        ``columns`` holds at least those that these trees split on, from `split_columns`.
        """
        for start in range(0, len(result), _BLOCK):
            rows = slice(start, start + _BLOCK)
            part = {
                name: (values[rows], None if missing is None else missing[rows])
                for name, (values, missing) in columns.items()
            }
            block = result[rows]
            for root in roots.tolist():
                block += self._below(root, part)

    def _below(self, node: int, columns: Mapping[int, Column]) -> Any:
        """Return what the tree below ``node`` adds to each row."""
        feature = int(self.feature[node])
        if feature < 0:
            return self.value[node]
        values, missing = columns[feature]
        # NaN is never at or below a threshold.
        goes_left = values <= self.threshold[node]
        if missing is not None and self.missing_left[node]:
            goes_left |= missing
        return np.where(
            goes_left,
            self._below(int(self.left[node]), columns),
            self._below(int(self.right[node]), columns),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the trees as plain numbers and lists, for JSON."""
        lists = {name: getattr(self, name).tolist() for name in _ARRAYS}
        # A threshold may be infinite (present against missing), which JSON has no word for.
        lists["threshold"] = [
            str(value) if np.isinf(value) else value for value in lists["threshold"]
        ]
        return {"n_columns": self.n_columns, "baseline": self.baseline, **lists}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Trees:
        """Return the trees of `to_dict`.

        Raises
        ------
        InputError
            If they do not fit together: a child that is no later node, an unknown column.
        """
        integers = ("feature", "left", "right", "roots")
        kinds: dict[str, Any] = {**dict.fromkeys(integers, np.int64), "missing_left": bool}
        arrays: dict[str, Any] = {
            name: np.array([float(value) for value in content[name]]).astype(
                kinds.get(name, np.float64)
            )
            for name in _ARRAYS
        }
        trees = cls(int(content["n_columns"]), float(content["baseline"]), **arrays)
        n = len(trees.feature)
        nodes = np.arange(n)
        inner = trees.feature >= 0
        sound = (
            all(len(getattr(trees, name)) == n for name in _ARRAYS[:-1])
            and (trees.feature < trees.n_columns).all()
            # Children come after their parents, so every walk ends.
            and (trees.left[inner] > nodes[inner]).all()
            and (trees.right[inner] > nodes[inner]).all()
            and (trees.left[inner] < n).all()
            and (trees.right[inner] < n).all()
            # Each tree ends where the next begins.
            and (np.diff(trees.roots) > 0).all()
            and ((trees.roots >= 0) & (trees.roots < n)).all()
            and np.isfinite(trees.value).all()
            and np.isfinite(trees.baseline)
            and not np.isnan(trees.threshold).any()
        )
        if not sound:
            raise fail("the saved trees do not fit together", "fit and save the model again")
        return trees


def split_columns(data: FloatArray, wanted: npt.NDArray[np.int64]) -> dict[int, Column]:
    """Return the ``wanted`` columns of ``data``, each contiguous, with the mask of the missing."""
    values = np.ascontiguousarray(data[:, wanted].T)
    missing = np.isnan(values)
    return {
        name: (column, mask if mask.any() else None)
        for name, column, mask in zip(wanted.tolist(), values, missing, strict=True)
    }


def grow_trees(data: FloatArray, outcome: Any, *, seed: int) -> Trees:
    """Return trees for the log-odds of ``outcome`` (0 or 1, both present).

    Parameters
    ----------
    data : array of float, shape (n, p)
        NaN for missing.
    outcome : array of 0/1 or bool, shape (n,)
        What happened.
    seed : int
        Which columns each split may choose from.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    happened = np.asarray(outcome, dtype=bool)
    # fmin and fmax pass over NaN; a column of nothing else stays NaN.
    low, high = np.fmin.reduce(data), np.fmax.reduce(data)
    # scikit-learn cannot bin a column of one value: whether it is there is all it can say.
    alike = (low == high) & np.isnan(data).any(axis=0)
    used = np.flatnonzero((low < high) | alike)
    if not used.size:
        nothing = np.empty(0, dtype=np.int64)
        return Trees(
            n_columns=data.shape[1],
            baseline=float(logit(happened.mean())),
            feature=nothing,
            threshold=np.empty(0),
            missing_left=np.empty(0, dtype=bool),
            left=nothing,
            right=nothing,
            value=np.empty(0),
            roots=nothing,
        )
    given = data[:, used]
    given[:, alike[used]] = np.isnan(given[:, alike[used]])
    grown = HistGradientBoostingClassifier(random_state=seed, **_SETTINGS).fit(given, happened)
    nodes = [predictor.nodes for (predictor,) in grown._predictors]
    sizes = np.array([len(tree) for tree in nodes])
    roots = np.cumsum(sizes) - sizes
    shift = np.repeat(roots, sizes)
    flat = np.concatenate(nodes)
    leaf = flat["is_leaf"].astype(bool)
    feature = np.where(leaf, -1, used[np.where(leaf, 0, flat["feature_idx"])])
    # There or not: all values are at or below infinity, NaN is not.
    presence = ~leaf & alike[feature]
    threshold = np.where(presence, np.inf, flat["num_threshold"])
    return Trees(
        n_columns=data.shape[1],
        baseline=float(grown._baseline_prediction[0, 0]),
        feature=feature,
        threshold=np.where(leaf, 0.0, threshold),
        missing_left=~leaf & ~presence & flat["missing_go_to_left"].astype(bool),
        left=np.where(leaf, 0, flat["left"] + shift).astype(np.int64),
        right=np.where(leaf, 0, flat["right"] + shift).astype(np.int64),
        value=flat["value"].astype(np.float64),
        roots=roots,
    )
