"""A column beside the same column built again from the log cut at the cutoff."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from touchpoint_lib._checks import FloatArray, fail

#: Relative difference that is still float noise of the same value.
_NOISE = 1e-9


@dataclass(frozen=True)
class Changed:
    """Rows whose recomputed value differs, and the first of them in words."""

    share: float
    sentence: str


def compare_columns(
    column: pd.Series[Any], again: pd.Series[Any], places: npt.NDArray[np.intp] | None
) -> Changed:
    """Compare a column with the recomputed one, float noise aside."""
    if places is not None:
        again = again.take(places)
    ours, theirs = ordered_numbers(column), ordered_numbers(again)
    if ours is not None and theirs is not None:
        differs = ours != theirs
        differs &= ~(np.isnan(ours) & np.isnan(theirs))
        # Dates and whole numbers are exact: in 10,000 days the tolerance would hide a second.
        if differs.any() and column.dtype.kind == "f":
            some = np.flatnonzero(differs)
            a, b = ours[some], theirs[some]
            with np.errstate(invalid="ignore", over="ignore"):  # inf - inf
                noise = np.abs(a - b) <= _NOISE * np.maximum(np.abs(a), np.abs(b))
            differs[some] = ~(noise & np.isfinite(a) & np.isfinite(b))
    else:
        a, b = column.astype(object).to_numpy(), again.astype(object).to_numpy()
        empty_a, empty_b = pd.isna(a), pd.isna(b)
        differs = empty_a != empty_b
        both = ~empty_a & ~empty_b
        differs[both] = a[both] != b[both]
    count = int(np.count_nonzero(differs))
    if not count:
        return Changed(0.0, "")
    first = int(np.argmax(differs))
    return Changed(
        count / len(column),
        f"Recomputed from the log cut at the cutoff, {count:,} of {len(column):,} rows have "
        f"another value, such as {column.index[first]!r}: {_shown(again.iloc[first])} instead of "
        f"{_shown(column.iloc[first])}.",
    )


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def read_numbers(column: pd.Series[Any]) -> FloatArray | None:
    """Return numbers however they are stored, as floats; None for categories.

    Besides `ordered_numbers`, objects (such as the Decimal of a database) and text of which
    Python's float reads every value.
    """
    values = ordered_numbers(column)
    if values is not None or isinstance(column.dtype, pd.CategoricalDtype):
        return values
    objects = column.astype(object).to_numpy()
    present = ~pd.isna(objects)
    numbers = np.full(len(objects), np.nan)
    try:
        numbers[present] = objects[present].astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    return numbers


def ordered_numbers(column: pd.Series[Any]) -> FloatArray | None:
    """Return an ordered column as floats (dates as days), None for categories."""
    kind = column.dtype.kind
    if kind == "c":
        raise fail(f"column {column.name!r} holds complex numbers", "pass its parts as columns")
    if kind in "mM":
        if getattr(column.dtype, "tz", None) is not None:
            column = column.dt.tz_convert(None)
        values = column.to_numpy()
        # Microseconds reach the year 9999, which stands for "never" in many a table.
        days = values.astype(f"{values.dtype.kind}8[us]").view(np.int64) / 86_400e6
        days[np.isnat(values)] = np.nan
        return days
    types = pd.api.types
    if not types.is_numeric_dtype(column.dtype) and not types.is_bool_dtype(column.dtype):
        return None
    if column.dtype == np.float64:
        return column.to_numpy()
    return column.to_numpy(dtype=np.float64, na_value=np.nan)
