"""What the rates share: their input checked, ratios, intervals, cut points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtri

from touchpoint_lib._checks import (
    BoolArray,
    FloatArray,
    InputError,
    check_number,
    check_values,
    fail,
)

#: A smaller half width takes more cases than there are people, and leaves the range of floats.
_FINEST = 1e-6


class HoldoutTooSmallError(InputError):
    """The holdout has too few cases for the precision that was asked for."""


@dataclass(frozen=True)
class Record:
    """A frozen dataclass of numbers that can be shown and tabulated."""

    def to_frame(self) -> pd.DataFrame:
        """Return the record as a frame of one row."""
        return pd.DataFrame([asdict(self)])

    def _repr_html_(self) -> str:
        return self.to_frame().to_html(index=False, float_format=lambda value: f"{value:.3f}")


def truth_and_score(actual: Any, score: Any, name: str = "score") -> tuple[BoolArray, FloatArray]:
    truth = flags("actual", actual)
    values = check_values(name, score, infinite=True, index=index_of(score))
    check_list(name, values)
    check_aligned(("actual", actual), (name, score))
    if len(truth) == 0:
        raise fail("actual is empty", "pass at least one case")
    return truth, values


def flags(name: str, values: Any) -> BoolArray:
    """Return ``values`` as booleans; raise unless every one is 0 or 1."""
    numbers = check_values(name, values, index=index_of(values))
    check_list(name, numbers)
    if ((numbers != 0) & (numbers != 1)).any():
        odd = numbers[(numbers != 0) & (numbers != 1)][0]
        raise fail(f"{name} has the value {odd:g}", "every value must be 0 or 1 (or bool)")
    return numbers == 1


def check_list(name: str, array: npt.NDArray[Any]) -> None:
    if array.ndim != 1:
        raise fail(f"{name} has {array.ndim} dimensions", "pass a list of values: one a customer")


def check_aligned(first: tuple[str, Any], second: tuple[str, Any]) -> None:
    (name, values), (other_name, other) = first, second
    if len(values) != len(other):
        raise fail(f"{name} has {len(values)} values, {other_name} {len(other)}", "pass one each")
    index, other_index = index_of(values), index_of(other)
    if index is not None and other_index is not None and not index.equals(other_index):
        raise fail(
            f"{name} and {other_name} have different indexes",
            f"pass {other_name}.reindex({name}.index)",
        )


def check_threshold(value: Any) -> float:
    """Return ``value`` as a float; raise unless it is a number, which may be infinite."""
    if isinstance(value, float | np.floating) and np.isinf(value):
        return float(value)
    if isinstance(value, float | np.floating) and np.isnan(value):
        raise fail("threshold is nan", "it must be a number; inf flags nobody")
    return check_number("threshold", value)


def index_of(values: Any) -> pd.Index[Any] | None:
    return values.index if isinstance(values, pd.Series) else None


def ratio(part: float, whole: float) -> float:
    return float(part) / float(whole) if whole else float("nan")


def wilson_interval(count: Any, n: Any, level: float) -> tuple[Any, Any]:
    """Return Wilson's bounds; NaN where there is no case."""
    from statsmodels.stats.proportion import proportion_confint

    if np.ndim(n) == 0 and n == 0:
        return float("nan"), float("nan")
    low, high = proportion_confint(count, n, alpha=1 - level, method="wilson")
    # Rounding can put the bound of 0 in 19 just above 0.
    low, high = np.minimum(low, count / n), np.maximum(high, count / n)
    return (float(low), float(high)) if np.ndim(n) == 0 else (low, high)


def wilson_cases(rate: float, half_width: float, level: float) -> float:
    """Return the number of cases at which Wilson's interval of ``rate`` has ``half_width``.

    The half width h solves h^2 (n + z^2)^2 = z^2 (p (1 - p) n + z^2 / 4), quadratic in n.
    """
    z2 = float(ndtri((1 + level) / 2)) ** 2
    half = z2 * (1 - rate * (1 - rate) / (2 * half_width**2))
    return -half + math.sqrt(half**2 - z2**2 * (1 - 1 / (4 * half_width**2)))


def check_precision(value: Any) -> float:
    """Return the half width of an interval that is asked for."""
    return check_number("precision", value, gt=0, ge=_FINEST, lt=0.5)


def shortfall(name: str, value: float, low: float, high: float, cases: str, needed: float) -> str:
    """Return what a figure reaches, and about how many cases would do."""
    if math.isnan(high - low):
        return f"{name} has no interval on {cases}"
    return (
        f"{name} is {value:.3f} ({low:.3f} to {high:.3f}), half width {(high - low) / 2:.3f} on "
        f"{cases}, about {math.ceil(needed):,} needed"
    )


def too_small(shortfalls: Sequence[str], precision: float) -> HoldoutTooSmallError:
    """Return the error for figures that fall short of the half width ``precision``."""
    return HoldoutTooSmallError(
        f"the holdout is too small for intervals of half width {precision:g}: "
        f"{'; '.join(shortfalls)}; take a larger or longer holdout, or allow a larger precision"
    )


def quantile_cuts(values: FloatArray, bins: int) -> FloatArray:
    """Return the rising cut points of ``bins`` classes of about equal size, ties kept together.

    A value at a cut belongs above it. Cuts are values that occur, and above the minimum, so no
    class is empty, and many who share the minimum are a class of their own.
    """
    above = values[values > values.min()]
    if above.size == 0:
        return np.empty(0)
    # As many classes as values part all that differ: more would find the same cuts.
    bins = min(bins, len(values))
    cuts = np.quantile(values, np.arange(1, bins) / bins, method="higher")
    return np.unique(np.maximum(cuts, above.min()))
