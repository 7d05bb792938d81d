"""Kaplan-Meier curves of nested classes, each shrunk to the wider class it belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtri

from touchpoint_lib._checks import (
    FloatArray,
    IntArray,
    check_number,
    check_values,
    fail,
)
from touchpoint_lib.metrics._shared import flags

#: Fewer cases give no curve, and a curve ends where fewer are left.
_FEWEST = 20
#: Cells of a table of nodes by times; with more, it holds every second, third ... time.
_CELLS = 4_000_000


@dataclass(frozen=True, eq=False)
class ClassCurves:
    """Survival curves of nested classes, from `fit_curves`.

    Parameters
    ----------
    nodes
        A row a node, the root first: level_1, level_2 ... (its labels, missing for those of
        narrower classes), n, n_ended, depth (0 for the root), parent (missing for the root).
    last
        The largest time at which at least 20 of all cases were at risk; curves end there.
    shrinkage
        Pseudo-cases of the wider class in every narrower one.
    """

    nodes: pd.DataFrame
    last: float
    shrinkage: float
    #: Times of the tables' columns; a first column more stands for the time before them.
    _times: FloatArray = field(repr=False)
    #: By node and time: log survival, and Greenwood's sum, the variance of log survival.
    _log_survival: FloatArray = field(repr=False)
    _variance: FloatArray = field(repr=False)
    #: By node: the durations of its own cases, sorted.
    _durations: tuple[FloatArray, ...] = field(repr=False)
    #: By level: its labels, and the keys (parent times number of labels plus label) and numbers
    #: of its nodes.
    _labels: tuple[pd.Index[Any], ...] = field(repr=False)
    _keys: tuple[tuple[IntArray, IntArray], ...] = field(repr=False)

    def node(self, levels: Sequence[npt.ArrayLike]) -> IntArray:
        """Return the node of each row by its labels.

        Parameters
        ----------
        levels
            Columns of labels as in `fit_curves`, each of shape (n,); without any, no row.

        Returns
        -------
        array of int, shape (n,)
            The narrowest node that is known: a label (or combination) that `fit_curves` did not
            see leads to the node of the levels before it, whose ``nodes["depth"]`` is smaller
            than the number of levels.

        Raises
        ------
        InputError
            If there are more or fewer columns, of different lengths, or a label is missing.
        """
        columns = _columns(levels)
        if len(columns) != len(self._labels):
            raise fail(
                f"levels has {len(columns)} columns, the curves have {len(self._labels)}",
                "pass the same columns of labels as to fit_curves",
            )
        node = np.zeros(len(columns[0]) if columns else 0, dtype=np.int64)
        known = np.ones(len(node), dtype=np.bool_)
        for column, labels, (keys, numbers) in zip(columns, self._labels, self._keys, strict=True):
            code = labels.get_indexer(pd.Index(column))
            key = node * len(labels) + code
            at = np.minimum(np.searchsorted(keys, key), len(keys) - 1)
            known &= (code >= 0) & (keys[at] == key)
            node = np.where(known, numbers[at], node)
        return node

    def survival(self, node: npt.ArrayLike, times: npt.ArrayLike) -> FloatArray:
        """Return P(duration > t), elementwise: a right-continuous step function.

        Parameters
        ----------
        node
            Numbers of nodes; any shape that broadcasts with ``times``.
        times
            From 0 to ``last``.

        Returns
        -------
        array of float, of the common shape

        Raises
        ------
        InputError
            If a node does not exist, or a time is missing, negative or above ``last``.
        """
        number = self._numbers(node)
        return np.asarray(np.exp(self._log_survival[number, self._column("times", times)]))

    def at_risk(self, node: npt.ArrayLike, times: npt.ArrayLike) -> FloatArray:
        """Return how many of a node's own cases have a duration above t, elementwise.

        Parameters and errors are those of `survival`.
        """
        self._column("times", times)
        numbers, at = np.broadcast_arrays(self._numbers(node), np.asarray(times, np.float64))
        left = np.empty(numbers.shape)
        for number in np.unique(numbers):
            mine, own = numbers == number, self._durations[number]
            left[mine] = len(own) - np.searchsorted(own, at[mine], side="right")
        return left

    def within(self, node: npt.ArrayLike, age: npt.ArrayLike, until: npt.ArrayLike) -> FloatArray:
        """Return P(duration <= until | duration > age) = 1 - S(until) / S(age), elementwise.

        Parameters
        ----------
        node
            Numbers of nodes.
        age, until
            0 <= age <= until <= ``last``; all three broadcast.

        Returns
        -------
        array of float, of the common shape, in [0, 1]

        Raises
        ------
        InputError
            As `survival`; or if ``until`` is below ``age``, or survival at ``age`` is 0: nobody
            is left of whom to tell.
        """
        # Not -0.0 where the window is empty.
        return np.asarray(0.0 - np.expm1(self._window(node, age, until)[0]))

    def within_interval(
        self, node: npt.ArrayLike, age: npt.ArrayLike, until: npt.ArrayLike, level: float = 0.95
    ) -> tuple[FloatArray, FloatArray]:
        """Return pointwise bounds of `within`.

        The variance of log(S(until) / S(age)) is Greenwood's sum over (age, until] of
        h / (n (1 - h)), with n the own cases at risk and the pseudo-cases; the bounds are on the
        scale of log(-log), which keeps them in [0, 1]. The wider class's curve is taken as known.
        Where nobody or everybody ends in the window that scale has no value: there the bound is
        the exact binomial one of none, or all, of the n at risk after ``age``. An empty window
        has the bounds 0.

        Parameters
        ----------
        node, age, until
            As for `within`.
        level
            In (0, 1).

        Returns
        -------
        low, high : array of float, of the common shape

        Raises
        ------
        InputError
            As `within`.
        """
        check_number("level", level, gt=0, lt=1)
        log_ratio, variance = self._window(node, age, until)
        # Without pseudo-cases, as of the root, nobody may be at risk: then nothing is known.
        cases = self.at_risk(node, age) + np.where(np.asarray(node) > 0, self.shrinkage, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            width = ndtri((1 + level) / 2) * np.sqrt(variance) / -log_ratio
            low = -np.expm1(log_ratio * np.exp(-width))
            high = -np.expm1(log_ratio * np.exp(width))
            exact = ((1 - level) / 2) ** (1 / cases)
        nobody, everybody = log_ratio == 0, np.isneginf(log_ratio)
        low = np.where(nobody, 0.0, np.where(everybody, exact, low))
        high = np.where(nobody, 1 - exact, np.where(everybody, 1.0, high))
        return low, np.where(np.asarray(age) == np.asarray(until), 0.0, high)

    def _window(self, node: Any, age: Any, until: Any) -> tuple[FloatArray, FloatArray]:
        """Return the log of S(until) / S(age), and its variance."""
        number = self._numbers(node)
        first, last = self._column("age", age), self._column("until", until)
        early = np.broadcast_arrays(np.asarray(age), np.asarray(until))
        if (early[1] < early[0]).any():
            at = tuple(np.argwhere(early[1] < early[0])[0])
            raise fail(
                f"until is {early[1][at]:g} where age is {early[0][at]:g}",
                "pass moments at or after the age",
            )
        before = self._log_survival[number, first]
        if np.isneginf(before).any():
            ages, numbers = np.broadcast_arrays(np.asarray(age, np.float64), number)
            at = tuple(np.argwhere(np.isneginf(before))[0])
            raise fail(
                f"age is {ages[at]:g}, but survival of node {numbers[at]} is 0 by then",
                "ask for earlier ages, or fit with a larger shrinkage",
            )
        variance = self._variance[number, last] - self._variance[number, first]
        # Rounding of the sums must not make it negative.
        return self._log_survival[number, last] - before, np.maximum(variance, 0.0)

    def _numbers(self, node: npt.ArrayLike) -> IntArray:
        values = check_values("node", node, ge=0, le=len(self.nodes) - 1, whole=True)
        return values.astype(np.int64)

    def _column(self, name: str, times: npt.ArrayLike) -> IntArray:
        """Return the columns of the tables for ``times``; raise beyond the end of the curves."""
        values = check_values(name, times, ge=0)
        if values.size and values.max() > self.last:
            raise fail(
                f"{name} has {values.max():g}, but the curves end at {self.last:g}, the last time "
                f"at which {_FEWEST} cases were at risk",
                "ask for earlier times, or observe longer",
            )
        return np.searchsorted(self._times, values, side="right")


def fit_curves(
    duration: npt.ArrayLike,
    ended: npt.ArrayLike,
    levels: Sequence[npt.ArrayLike],
    shrinkage: float = 20.0,
) -> ClassCurves:
    r"""Return the survival curves of everybody, of classes, and of classes within these.

    The curve of everybody is Kaplan and Meier's. The hazard of a narrower class c at each of
    the times at which anybody ends is

    .. math:: h_c(t) = \frac{d_c(t) + m\,h_\text{parent}(t)}{n_c(t) + m},

    with d ended of n at risk: m pseudo-cases behave like the wider class. It is the posterior
    mean of a beta process whose prior mean is the curve of the wider class. At m = 0 it is the
    class's own Kaplan-Meier curve, and where none of its cases is at risk the wider class's hazard
    (the limit of small m).

    Parameters
    ----------
    duration
        Time to the end, or so far, shape (n,) with n >= 20; finite, >= 0, any unit.
    ended
        True where the case ended at that time, False where it was only seen so far (censored):
        bool or 0/1, shape (n,).
    levels
        Columns of labels, each of shape (n,), from wide to narrow: the nodes are everybody, the
        classes of the first column, those of the second within them, and so on.
    shrinkage
        Pseudo-cases m, >= 0.

    Returns
    -------
    ClassCurves

    Raises
    ------
    InputError
        If there are fewer than 20 cases, none ended, lengths differ, or a value is missing or out
        of bounds.

    Notes
    -----
    Times are not binned. Curves are computed at every time at which anybody ended; with more than
    4,000,000 nodes x times they are kept at every k-th of these: exact there, constant between.

    References
    ----------
    Kaplan, E. L. and Meier, P. (1958). "Nonparametric Estimation from Incomplete Observations",
    JASA 53. Susarla, V. and Van Ryzin, J. (1976). "Nonparametric Bayesian Estimation of Survival
    Curves from Incomplete Observations", JASA 71. Hjort, N. L. (1990). "Nonparametric Bayes
    Estimators Based on Beta Processes in Models for Life History Data", Annals of Statistics
    18(3), equation 4.1.

    Examples
    --------
    >>> import numpy as np
    >>> from touchpoint_lib.timing._curves import fit_curves
    >>> days = np.arange(1.0, 41.0)
    >>> carrier = np.where(days % 4 == 0, "slow", "quick")
    >>> curves = fit_curves(days, np.ones(40), [carrier])
    >>> curves.nodes[["level_1", "n", "n_ended", "depth"]]
      level_1   n  n_ended  depth
    0    None  40       40      0
    1   quick  30       30      1
    2    slow  10       10      1
    >>> curves.survival(curves.node([["slow", "never seen"]]), 10.0).round(3)
    array([0.766, 0.75 ])
    """
    from statsmodels.duration.survfunc import SurvfuncRight

    check_number("shrinkage", shrinkage, ge=0)
    time, over = check_values("duration", duration, ge=0), flags("ended", ended)
    if time.ndim != 1 or len(time) < _FEWEST:
        raise fail(
            f"duration has shape {time.shape}",
            f"pass one value a case, of at least {_FEWEST} cases",
        )
    columns = _columns(levels)
    for name, given in (("ended", over), *((f"levels[{i}]", c) for i, c in enumerate(columns))):
        if len(given) != len(time):
            raise fail(f"{name} has {len(given)} values, duration {len(time)}", "pass one each")
    if not over.any():
        raise fail("ended is False in every row", "observe longer: no case has ended yet")

    order = np.argsort(time, kind="stable")
    time, over = time[order], over[order]
    fitted = SurvfuncRight(time, over.astype(np.float64))
    last = float(time[-_FEWEST])
    known = fitted.surv_times <= last
    times = np.asarray(fitted.surv_times, dtype=np.float64)[known]
    tree = _nested([column[order] for column in columns], len(time))
    n_nodes = len(tree.rows)
    # A case is at risk at the first `passed` times.
    passed = np.searchsorted(times, time, side="right")
    ends = over & (time <= last)
    step = max(1, -(-len(times) * n_nodes // _CELLS))
    kept = np.arange(len(times))[::-step][::-1]
    log_survival, variance = np.zeros((2, n_nodes, len(kept) + 1))

    def descend(number: int, hazard: FloatArray, cases: FloatArray) -> None:
        # Depth first: only the hazards of one line of classes are held at a time.
        with np.errstate(divide="ignore", invalid="ignore"):
            log_survival[number, 1:] = np.cumsum(np.log1p(-hazard))[kept]
            growth = np.where(hazard > 0, hazard / (cases * (1 - hazard)), 0.0)
            variance[number, 1:] = np.cumsum(growth)[kept]
        for child in tree.children[number]:
            mine = tree.rows[child]
            gone = np.cumsum(np.bincount(passed[mine], minlength=len(times) + 1))[:-1]
            lost = np.bincount(passed[mine[ends[mine]]] - 1, minlength=len(times))
            base = np.asarray(len(mine) - gone + shrinkage, dtype=np.float64)
            shrunk = (lost + shrinkage * hazard) / np.where(base > 0, base, 1.0)
            descend(child, np.where(base > 0, shrunk, hazard), base)

    at_risk = np.asarray(fitted.n_risk, dtype=np.float64)[known]
    descend(0, np.asarray(fitted.n_events, dtype=np.float64)[known] / at_risk, at_risk)
    nodes = tree.nodes
    nodes.insert(len(columns), "n", [len(mine) for mine in tree.rows])
    nodes.insert(len(columns) + 1, "n_ended", [int(over[mine].sum()) for mine in tree.rows])
    return ClassCurves(
        nodes=nodes,
        last=last,
        shrinkage=float(shrinkage),
        _times=times[kept],
        _log_survival=log_survival,
        _variance=variance,
        _durations=tuple(time[mine] for mine in tree.rows),
        _labels=tree.labels,
        _keys=tree.keys,
    )


def _columns(levels: Sequence[npt.ArrayLike]) -> list[npt.NDArray[Any]]:
    """Return columns of labels as arrays; raise where one is no list or a label is missing."""
    columns = [np.asarray(level) for level in levels]
    for i, column in enumerate(columns):
        if column.ndim != 1 or len(column) != len(columns[0]):
            raise fail(
                f"levels[{i}] has shape {column.shape}, levels[0] {columns[0].shape}",
                "pass columns of labels, one a case",
            )
        missing = pd.isna(column)
        if missing.any():
            raise fail(
                f"levels[{i}] is missing at row {int(np.argmax(missing))} "
                f"({int(missing.sum())} such values)",
                "give these a label of their own, or remove them",
            )
    return columns


@dataclass(frozen=True, eq=False)
class _Tree:
    """Nested classes of rows; rows and children are lists by node."""

    nodes: pd.DataFrame
    rows: list[IntArray]
    children: list[list[int]]
    labels: tuple[pd.Index[Any], ...]
    keys: tuple[tuple[IntArray, IntArray], ...]


def _nested(columns: Sequence[npt.NDArray[Any]], n: int) -> _Tree:
    """Return the tree of the classes of ``n`` rows."""
    path: list[tuple[Any, ...]] = [()]
    children: list[list[int]] = [[]]
    parents, rows, labels, keys = [-1], [np.arange(n)], [], []
    node = np.zeros(n, dtype=np.int64)
    for column in columns:
        codes, seen = pd.factorize(pd.Index(column), sort=True)
        key, place = np.unique(node * len(seen) + codes, return_inverse=True)
        numbers = len(path) + np.arange(len(key))
        for number, one in zip(numbers.tolist(), key.tolist(), strict=True):
            parent, label = divmod(one, len(seen))
            path.append((*path[parent], seen[label]))
            parents.append(parent)
            children[parent].append(number)
            children.append([])
        # Stable: the rows of a class keep their order.
        order = np.argsort(place, kind="stable")
        rows += np.split(order, np.searchsorted(place[order], np.arange(1, len(key))))
        node = numbers[place]
        labels.append(seen)
        keys.append((key, numbers))
    # As objects, so that whole numbers stay whole beside what is missing.
    table = {
        f"level_{i + 1}": [one[i] if i < len(one) else None for one in path]
        for i in range(len(columns))
    }
    nodes = pd.DataFrame(table, dtype=object, index=range(len(path)))
    nodes["depth"] = [len(one) for one in path]
    nodes["parent"] = pd.array([None if p < 0 else p for p in parents], dtype="Int64")
    return _Tree(nodes, rows, children, tuple(labels), tuple(keys))
