"""What one column tells about the outcome: rank AUC and pure values, from one sort a column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from touchpoint_lib._checks import FloatArray

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

#: Fewer rows than this prove nothing by being of one kind.
MIN_PURE = 50
#: Rows in a class of a continuous column, and beside a pure class: at least this many.
MIN_ROWS = 200
#: Rows beside a pure class are compared with it when there are at least this many.
MIN_BESIDE = 30
#: The share of the other class that still counts as pure.
MAX_IMPURE = 0.001
#: A continuous column is cut into about this many classes.
BINS = 100
#: A log odds ratio of e^4 = 55 between a pure class and the rows beside it is abrupt.
MIN_JUMP = 4.0
#: A log odds ratio of e^1.6 = 5 between a pure class and what the reference leads to expect.
MIN_SURPRISE = 1.6
#: An AUC among present values needs this many rows of either kind.
MIN_KIND = 20

_MAX = np.finfo(np.float64).max


@dataclass(frozen=True)
class PureClass:
    """Values next to each other whose rows are all but purely of one kind, and abruptly so."""

    where: str
    outcome: bool
    n: int
    exceptions: int
    beside: float  # share of that kind among the rows beside
    rows: BoolArray


@dataclass(frozen=True)
class Told:
    """What a column tells: AUC of its values and of their presence (0.5 or more, NaN where there
    is nothing to compare), the rows in pure classes, those classes that end abruptly, and how many
    categories were too small to check, where most rows are in such."""

    auc: float
    presence_auc: float
    pure_rows: int
    pure: list[PureClass]
    unchecked: int = 0


@dataclass(frozen=True)
class Reference:
    """The rows in classes of a column known to be honest, with the share of outcomes in each."""

    name: str
    codes: IntArray
    share: FloatArray

    def surprise(self, found: PureClass) -> float:
        """Return the log odds ratio of the other kind: as expected from the reference, over the
        most that the class may hide (rule of three)."""
        share = self.share[self.codes[found.rows]]
        expected = float((1 - share if found.outcome else share).sum())
        if expected == 0:
            return -np.inf
        at_most = found.exceptions + 3
        rest = max(found.n - expected, 1e-9)  # a sum of shares of 1 may exceed n by rounding
        return float(np.log(expected / rest) - np.log(at_most / (found.n - found.exceptions)))

    def auc_within(self, values: FloatArray, outcome: IntArray) -> float:
        """Return the AUC among rows of one class of the reference; 0.5 where it leaves no pair."""
        present = np.flatnonzero(~np.isnan(values))
        order = present[np.argsort(self.codes[present], kind="stable")]
        edges = np.flatnonzero(np.diff(self.codes[order])) + 1
        won, pairs = 0.0, 0
        for rows in np.split(order, edges):
            ranks = _Ranks.of(values[rows], outcome[rows])
            won, pairs = won + ranks.won(), pairs + ranks.pairs()
        return _either_way(won / pairs) if pairs else 0.5


@dataclass(frozen=True)
class _Ranks:
    """The present values in rising order."""

    values: FloatArray  # tidy
    starts: IntArray  # the first place of each value
    found: IntArray  # the places that have the outcome

    @classmethod
    def of(cls, values: FloatArray, outcome: IntArray) -> _Ranks:
        """Sort once: the outcome rides in the last bit of its value, so no order is looked up."""
        tidy = _tidy(values)
        keys = tidy.view(np.int64)
        keys |= outcome
        tidy.sort()  # NaN comes last
        keys = keys[: len(values) - np.count_nonzero(np.isnan(values))]
        found = np.flatnonzero((keys & 1).astype(bool))
        keys &= -2
        starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
        return cls(keys.view(np.float64), starts, found)

    def pairs(self) -> int:
        return len(self.found) * (len(self.values) - len(self.found))

    def won(self) -> float:
        """Return the pairs in which the row with the outcome has the larger value, ties half."""
        places = np.arange(len(self.found))
        won = float((self.found - places).sum())
        if len(self.starts) == len(self.values):
            return won
        ends = np.append(self.starts[1:], len(self.values))
        tied = np.flatnonzero(ends - self.starts > 1)
        starts, ends = self.starts[tied], ends[tied]
        yes = np.searchsorted(self.found, ends) - np.searchsorted(self.found, starts)
        half = yes * (ends - starts - yes) / 2
        # Within a tie the odd bit sorts last among positive numbers, first among negative ones.
        return won + float(np.where(self.values[starts] < 0, half, -half).sum())

    def class_edges(self) -> IntArray:
        """Return the first places of classes of about equal size, and the number of values.

        Ties stay together, and a value with as many rows as a class is a class of its own.
        """
        n = len(self.values)
        size = max(MIN_ROWS, -(-n // BINS))
        steps = np.arange(size, n, size)
        # The value at each step: a value with ``size`` rows has a step among them.
        at = np.searchsorted(self.starts, steps, side="right")
        last = len(self.starts) - 1
        first, end = self.starts[at - 1], np.where(at > last, n, self.starts[np.minimum(at, last)])
        heavy = end - first >= size
        begins = np.where(first == steps, first, end)
        return np.unique(np.concatenate([[0], begins, first[heavy], end[heavy], [n]]))


def tell_ordered(values: FloatArray, outcome: IntArray) -> Told:
    """Return what numbers tell about ``outcome`` (0 or 1); missing values are a class."""
    ranks = _Ranks.of(values, outcome)
    n, n_found = len(ranks.values), len(ranks.found)
    if n == 0:
        return Told(np.nan, np.nan, 0, [])
    auc = (
        _either_way(ranks.won() / ranks.pairs())
        if min(n_found, n - n_found) >= MIN_KIND
        else np.nan
    )
    edges = ranks.class_edges()
    runs, pure_rows = _pure_runs(np.diff(edges), np.diff(np.searchsorted(ranks.found, edges)))
    pure = []
    for run in runs:
        low, high = ranks.values[edges[run.start]], ranks.values[edges[run.stop] - 1]
        where = f"value {low:.6g}" if low == high else f"values from {low:.6g} to {high:.6g}"
        tidy = _tidy(values)  # NaN stays NaN, and is in no range
        pure.append(run.at(where, (tidy >= low) & (tidy <= high)))
    if n == len(values):
        return Told(auc, np.nan, pure_rows, pure)
    presence, presence_rows, presence_auc = _tell_presence(np.isnan(values), outcome)
    return Told(auc, presence_auc, max(pure_rows, presence_rows), [*pure, *presence])


def tell_unordered(codes: IntArray, labels: Sequence[Any], outcome: IntArray) -> Told:
    """Return what categories tell; code -1 is a missing value."""
    missing = codes < 0
    if missing.all():
        return Told(np.nan, np.nan, 0, [])
    presence, presence_rows, presence_auc = _tell_presence(missing, outcome)
    n = np.bincount(codes[~missing])
    found = np.bincount(codes[~missing], outcome[~missing]).astype(np.int64)
    pure, pure_rows = [], 0
    for kind in (False, True):
        other = n - found if kind else found
        sizes = np.where((n >= MIN_PURE) & (other <= MAX_IMPURE * n), n, 0)
        pure_rows += int(sizes.sum())
        # Categories have no neighbours. The largest pure one stands against all others: together
        # the pure ones of many would be pure by selection.
        largest = int(np.argmax(sizes))
        sides = np.array([n[largest], n.sum() - n[largest]])
        runs, _ = _pure_runs(sides, np.array([found[largest], found.sum() - found[largest]]))
        pure += [
            run.at(f"value {labels[largest]!r}", codes == largest)
            for run in runs
            if run.start == 0 and run.outcome == kind
        ]
    small = n[n < MIN_PURE]
    unchecked = len(small) if 2 * small.sum() > n.sum() else 0
    pure = [*pure, *presence]
    return Told(np.nan, presence_auc, max(pure_rows, presence_rows), pure, unchecked)


def reference_classes(name: str, values: FloatArray, outcome: IntArray) -> Reference:
    """Return the classes of the column that others are compared with; missing is one of them."""
    ranks = _Ranks.of(values, outcome)
    lows = ranks.values[ranks.class_edges()[:-1]]
    codes = np.searchsorted(lows, _tidy(values), side="right")
    codes[np.isnan(values)] = 0
    n = np.bincount(codes)
    return Reference(name, codes, np.bincount(codes, outcome) / np.maximum(n, 1))


@dataclass(frozen=True)
class _Run:
    start: int
    stop: int
    outcome: bool
    n: int
    exceptions: int
    beside: float

    def at(self, where: str, rows: BoolArray) -> PureClass:
        return PureClass(where, self.outcome, self.n, self.exceptions, self.beside, rows)


def _tell_presence(missing: BoolArray, outcome: IntArray) -> tuple[list[PureClass], int, float]:
    """Return pure classes, the rows in them and the AUC of whether there is a value."""
    n = np.array([missing.size - np.count_nonzero(missing), np.count_nonzero(missing)])
    if not n.all():
        return [], 0, np.nan
    found = np.array([outcome[~missing].sum(), outcome[missing].sum()])
    runs, rows = _pure_runs(n, found)
    pure = [
        run.at("missing value", missing) if run.start else run.at("any value", ~missing)
        for run in runs
    ]
    rest = n - found
    won = found[0] * rest[1] + (found[0] * rest[0] + found[1] * rest[1]) / 2
    return pure, rows, _either_way(won / (found.sum() * rest.sum()))


def _tidy(values: FloatArray) -> FloatArray:
    """Return the values with an even last bit, free for the outcome.

    What differs by the last bit is the noise of one number. Infinities become the largest
    number, -0 becomes 0.
    """
    tidy = np.clip(values, -_MAX, _MAX)
    bits = tidy.view(np.int64)
    bits &= -2
    tidy += 0.0
    return tidy


def _pure_runs(n: IntArray, found: IntArray) -> tuple[list[_Run], int]:
    """Return the runs of pure classes that end abruptly, and the rows in all pure runs."""
    runs, pure_rows = [], 0
    total = np.concatenate([[0], np.cumsum(n)])
    for kind in (False, True):
        other = n - found if kind else found
        pure = other <= MAX_IMPURE * n
        if not pure.any():
            continue
        others = np.concatenate([[0], np.cumsum(other)])
        change = np.flatnonzero(np.diff(np.concatenate([[False], pure, [False]]).astype(np.int8)))
        for start, stop in change.reshape(-1, 2).tolist():
            rows, exceptions = int(total[stop] - total[start]), int(others[stop] - others[start])
            if rows < MIN_PURE:
                continue
            pure_rows += rows
            # The nearest classes on either side that hold enough rows together.
            left = max(int(np.searchsorted(total, total[start] - MIN_ROWS, side="right")) - 1, 0)
            right = min(int(np.searchsorted(total, total[stop] + MIN_ROWS)), len(n))
            sides = [
                (int(total[b] - total[a]), int(others[b] - others[a]))
                for a, b in ((left, start), (stop, right))
                if total[b] - total[a] >= MIN_BESIDE
            ]
            if not sides:
                continue
            # Judged on the smoother side: the end of a trend is smooth on its only side.
            lowest, beside = min(
                (_least_log_odds(count, size), count / size) for size, count in sides
            )
            jump = lowest - np.log((exceptions + 3) / (rows - exceptions))
            if jump >= MIN_JUMP:
                runs.append(_Run(start, stop, kind, rows, exceptions, 1 - beside))
    return runs, pure_rows


def _least_log_odds(count: int, n: int) -> float:
    """Return the log odds of ``count`` in ``n``, less two standard errors."""
    yes, no = count + 0.5, n - count + 0.5
    return float(np.log(yes / no) - 2 * np.sqrt(1 / yes + 1 / no))


def _either_way(auc: float) -> float:
    return float(max(auc, 1 - auc))
