"""Frames of indicators: checked, numbered by customer and cutoff, as one array."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from touchpoint_lib._checks import FloatArray, check_columns, fail
from touchpoint_lib.metrics._shared import flags

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]


def checked_panel(panel: Any, outcome: str) -> tuple[pd.DataFrame, BoolArray, IntArray]:
    """Return the indicators of a panel, its outcome, and the number of each row's customer."""
    check_columns(panel, [outcome], "panel", "pass the frame of indicator_panel, or name outcome=")
    happened = flags(outcome, panel[outcome])
    frame = panel.drop(columns=outcome)
    check_frame(frame, "panel")
    codes, _ = pd.factorize(frame.index.get_level_values(0))
    if (codes < 0).any():
        raise fail(f"the index of panel is missing in {(codes < 0).sum()} rows", "name customers")
    return frame, happened, codes.astype(np.int64)


def check_frame(frame: pd.DataFrame, what: str) -> None:
    """Raise unless all columns are numbers with a name of their own, NaN or finite."""
    if frame.empty:
        raise fail(f"{what} has {len(frame)} rows and {frame.shape[1]} indicators", "pass some")
    check_columns(frame, frame.columns, what)
    odd = [name for name in frame.columns if not isinstance(name, str)]
    if odd:
        raise fail(f"{what} has a column {odd[0]!r}", "name columns by text")
    indicator_values(frame, what)


def indicator_values(frame: pd.DataFrame, what: str) -> FloatArray:
    """Return the columns as floats, NaN for missing; raise at one that is not numeric or finite."""
    for name, kind in frame.dtypes.items():
        if not pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_complex_dtype(kind):
            raise fail(
                f"column {name!r} of {what} holds {kind}",
                "convert it to numbers, or leave the column out",
            )
    data = frame.to_numpy(dtype=np.float64, na_value=np.nan)
    infinite = np.isinf(data)
    if infinite.any():
        row, column = np.argwhere(infinite)[0]
        raise fail(
            f"column {frame.columns[column]!r} of {what} is {data[row, column]:g} at index "
            f"{frame.index[row]!r} ({int(infinite[:, column].sum())} such values)",
            "every value must be finite, or NaN where it is missing",
        )
    return data


def check_enough(happened: BoolArray, customers: IntArray, least: int) -> None:
    """Raise unless at least ``least`` customers have either outcome."""
    bought = len(np.unique(customers[happened]))
    stayed = len(np.unique(customers[~happened]))
    if min(bought, stayed) < least:
        raise fail(
            f"the outcome is 1 for {bought:,} customers and 0 for {stayed:,}",
            f"the model needs at least {least} of each: pass more customers or another horizon",
        )


def as_matrix(frame: pd.DataFrame, known: pd.DataFrame) -> FloatArray:
    """Return the indicators and what the lifetime models say as one array."""
    return np.column_stack(
        [frame.to_numpy(dtype=np.float64, na_value=np.nan), known.to_numpy(dtype=np.float64)]
    )


def cutoff_codes(frame: pd.DataFrame) -> IntArray:
    """Return the number of each row's cutoff, rising in time; 0 where the index has none."""
    if "cutoff" not in frame.index.names:
        return np.zeros(len(frame), dtype=np.int64)
    codes, _ = pd.factorize(frame.index.get_level_values("cutoff"), sort=True)
    return codes.astype(np.int64)
