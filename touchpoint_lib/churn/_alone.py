"""What single columns explain alone, on customers whose outcomes they have not seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from touchpoint_lib._checks import BoolArray, FloatArray, IntArray
from touchpoint_lib.metrics._shared import quantile_cuts

#: Classes of a column: tenths, and one of the missing.
_BINS = 10
_CLASSES = _BINS + 1


@dataclass(frozen=True)
class Alone:
    """What each of p columns explains alone of n held-out rows.

    Attributes
    ----------
    gain
        The log loss a row that knowing the class of its value saves, shape (n, p).
    auc
        Of the rate of the class, shape (p,).
    """

    gain: FloatArray
    auc: FloatArray


def classes(data: FloatArray, learn: IntArray) -> npt.NDArray[np.uint8]:
    """Return the class of each value, shape (n, p): tenths of the rows ``learn``, or missing."""
    result = np.full(data.shape, _BINS, dtype=np.uint8, order="F")
    for column, values in enumerate(data.T):
        present = ~np.isnan(values)
        known = values[learn][present[learn]]
        cuts = quantile_cuts(known, _BINS) if known.size else known
        result[present, column] = np.searchsorted(cuts, values[present], side="right")
    return result


def explain_alone(
    learned: npt.NDArray[np.uint8],
    learned_truth: BoolArray,
    asked: npt.NDArray[np.uint8],
    asked_truth: BoolArray,
) -> Alone:
    """Return what columns explain of the rows ``asked`` by the rates of the rows ``learned``.

    A class of few rows leans on the overall rate, which counts as one row more: no rate is 0
    or 1.
    """
    base = learned_truth.mean()
    n, buys = _tally(learned), _tally(learned[learned_truth])
    rate = (buys + base) / (n + 1)
    # The loss that the class saves, for an outcome of 0 and of 1.
    saved = np.stack([np.log1p(-rate) - np.log1p(-base), np.log(rate) - np.log(base)])
    gain = saved[asked_truth.astype(np.intp)[:, None], np.arange(asked.shape[1]), asked]
    found = _tally(asked[asked_truth])
    rest = _tally(asked[~asked_truth])
    above = (rate[:, :, None] > rate[:, None, :]) + 0.5 * (rate[:, :, None] == rate[:, None, :])
    auc = np.einsum("pa,pab,pb->p", found, above, rest) / (found.sum(axis=1) * rest.sum(axis=1))
    return Alone(gain, auc)


def _tally(places: npt.NDArray[np.uint8]) -> FloatArray:
    """Return how many rows of each column are in each class, shape (p, classes)."""
    p = places.shape[1]
    flat = places + np.arange(p, dtype=np.int64) * _CLASSES
    return np.bincount(flat.ravel(), minlength=p * _CLASSES).reshape(p, _CLASSES).astype(float)
