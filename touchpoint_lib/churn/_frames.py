"""Frames of indicators: checked, numbered by customer and cutoff, as one array."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib._checks import BoolArray, FloatArray, IntArray, check_columns, fail
from touchpoint_lib.metrics._shared import flags


def checked_panel(panel: Any, outcome: str) -> tuple[pd.DataFrame, BoolArray, IntArray]:
    """Return the indicators of a panel, its outcome, and the number of each row's customer.

    The numbers do not depend on the order of the rows.
    """
    check_columns(panel, [outcome], "panel", "pass the frame of indicator_panel, or name outcome=")
    happened = flags(outcome, panel[outcome])
    frame = panel.drop(columns=outcome)
    check_frame(frame, "panel")
    labels, cutoff = index_levels(frame.index, "panel")
    codes, customers = pd.factorize(labels)
    missing = (codes < 0) | (cutoff < 0)
    if missing.any():
        raise fail(
            f"the index of panel is missing in {int(missing.sum())} rows",
            "give every row its customer and cutoff",
        )
    rows = pd.MultiIndex.from_arrays([codes, cutoff])
    if rows.has_duplicates:
        first = int(np.flatnonzero(rows.duplicated())[0])
        raise fail(
            f"customer {labels[first]!r} has several rows at one cutoff",
            "pass one row a customer and cutoff, with both in the index as of indicator_panel",
        )
    order = np.argsort(pd.util.hash_pandas_object(pd.Index(customers), index=False).to_numpy())
    number = np.empty(len(order), dtype=np.int64)
    number[order] = np.arange(len(order))
    return frame, happened, number[codes]


def index_levels(index: pd.Index[Any], what: str) -> tuple[pd.Index[Any], IntArray]:
    """Return the customer of each row, and the number of its cutoff, rising in time."""
    if not isinstance(index, pd.MultiIndex):
        return index, np.zeros(len(index), dtype=np.int64)
    if index.nlevels != 2:
        raise fail(
            f"the index of {what} has {index.nlevels} levels", "use (customer, cutoff) or customer"
        )
    place = 0 if index.names[0] == "cutoff" else 1
    codes, _ = pd.factorize(index.get_level_values(place), sort=True)
    return index.get_level_values(1 - place), codes.astype(np.int64)


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


def by_outcome(happened: BoolArray, customers: IntArray) -> tuple[int, int]:
    """Return how many customers have an outcome of 0, and how many one of 1."""
    stayed, bought = (
        int(np.count_nonzero(np.bincount(customers[who]))) for who in (~happened, happened)
    )
    return stayed, bought


def check_enough(happened: BoolArray, customers: IntArray, least: int) -> None:
    """Raise unless at least ``least`` customers have either outcome."""
    stayed, bought = by_outcome(happened, customers)
    if min(bought, stayed) < least:
        raise fail(
            f"the outcome is 1 for {bought:,} customers and 0 for {stayed:,}",
            f"the model needs at least {least} of each: pass more customers or another horizon",
        )


def row_losses(happened: BoolArray, odds: FloatArray) -> FloatArray:
    """Return the log loss of each row under log-odds."""
    return np.logaddexp(0.0, np.where(happened, -odds, odds))


def as_matrix(frame: pd.DataFrame, known: pd.DataFrame) -> FloatArray:
    """Return the indicators and what the lifetime models say as one array, not to be written."""
    data: FloatArray = frame.to_numpy(dtype=np.float64, na_value=np.nan)
    if known.shape[1] == 0:
        return data
    # By columns, as a frame keeps them.
    both = np.empty((len(data), data.shape[1] + known.shape[1]), order="F")
    both[:, : data.shape[1]] = data
    both[:, data.shape[1] :] = known.to_numpy(dtype=np.float64)
    return both


def cutoff_codes(frame: pd.DataFrame) -> IntArray:
    """Return the number of each row's cutoff, rising in time; 0 where the index has none."""
    return index_levels(frame.index, "frame")[1]
