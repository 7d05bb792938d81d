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

from touchpoint_lib._checks import FloatArray, InputError, fail

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
#: Splits of a tree at most, one bit each, and nodes of a file.
_MOST_SPLITS = 15
_MOST_NODES = 10**8
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
        coded = [self._coded(root) for root in roots.tolist()]
        for start in range(0, len(result), _BLOCK):
            rows = slice(start, start + _BLOCK)
            part = {
                name: (values[rows], None if missing is None else missing[rows])
                for name, (values, missing) in columns.items()
            }
            block = result[rows]
            for splits, leaves in coded:
                code = np.zeros(len(block), dtype=np.uint16)
                for bit, node in enumerate(splits):
                    values, missing = part[int(self.feature[node])]
                    # NaN is never at or below a threshold.
                    left = values <= self.threshold[node]
                    if missing is not None and self.missing_left[node]:
                        left |= missing
                    code += left * np.uint16(1 << bit)
                block += leaves.take(code)

    def _coded(self, root: int) -> tuple[list[int], FloatArray]:
        """Return the splits of a tree, parents first, and what it adds by the bits "goes left"."""
        splits, waiting = [], [root]
        while waiting:
            node = waiting.pop()
            if self.feature[node] >= 0:
                splits.append(node)
                waiting += [int(self.left[node]), int(self.right[node])]
        codes = np.arange(1 << len(splits))
        at = np.full(len(codes), root)
        for bit, node in enumerate(splits):
            here = at == node
            at[here] = np.where(codes[here] >> bit & 1, self.left[node], self.right[node])
        return splits, self.value[at]

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
        arrays: dict[str, Any] = {
            name: np.array([float(value) for value in content[name]]) for name in _ARRAYS
        }
        whole = all(
            (np.abs(arrays[name]) < _MOST_NODES).all()
            and (arrays[name] == np.floor(arrays[name])).all()
            for name in (*integers, "missing_left")
        )
        if not whole:
            raise _unsound()
        for name in integers:
            arrays[name] = arrays[name].astype(np.int64)
        arrays["missing_left"] = arrays["missing_left"].astype(bool)
        trees = cls(int(content["n_columns"]), float(content["baseline"]), **arrays)
        if not trees._sound():
            raise _unsound()
        return trees

    def _sound(self) -> bool:
        """Return whether every array fits, and every tree is one, of few splits."""
        n = len(self.feature)
        if any(len(getattr(self, name)) != n for name in _ARRAYS[:-1]):
            return False
        sizes = np.diff(np.append(self.roots, n))
        inner = np.flatnonzero(self.feature >= 0)
        children = np.concatenate([self.left[inner], self.right[inner]])
        # Each node but the roots is a child once, behind its parent and in its parent's tree.
        if (
            (len(self.roots) > 0 and self.roots[0] != 0)
            or (n > 0 and len(self.roots) == 0)
            or (sizes <= 0).any()
            or not np.array_equal(np.sort(children), np.setdiff1d(np.arange(n), self.roots))
            or (children <= np.tile(inner, 2)).any()
        ):
            return False
        tree = np.repeat(np.arange(len(sizes)), sizes)
        return bool(
            (tree[children] == np.tile(tree[inner], 2)).all()
            and (np.bincount(tree[inner], minlength=1) <= _MOST_SPLITS).all()
            and (self.feature >= -1).all()
            and (self.feature < self.n_columns).all()
            and np.isfinite(self.value).all()
            and np.isfinite(self.baseline)
            and not np.isnan(self.threshold).any()
        )


def _unsound() -> InputError:
    return fail("the saved trees do not fit together", "fit and save the model again")


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
