"""Times, flags and ids of parcels and reviews, read and checked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib._checks import (
    FloatArray,
    IntArray,
    check_columns,
    check_values,
    fail,
    first_of,
)

DAY = pd.Timedelta(days=1)
_REMEDY = "rename the columns"


def check_frame(what: str, frame: Any, columns: Iterable[str], remedy: str = _REMEDY) -> None:
    """Raise unless ``frame`` has the columns and a row."""
    check_columns(frame, columns, what, remedy)
    if len(frame) == 0:
        raise fail(f"{what} has no rows", "pass at least one")


def check_times(
    what: str, frame: pd.DataFrame, column: str, zone: Any, *, missing: bool = False
) -> pd.Series:
    """Return a column of times in ``zone``; raise where it is none, or a time is missing."""
    values = frame[column]
    if not pd.api.types.is_datetime64_any_dtype(values.dtype):
        raise fail(
            f"{column} of {what} holds {values.dtype}, no times",
            f"convert it: pd.to_datetime({what}[{column!r}])",
        )
    if values.dt.tz != zone:
        raise fail(
            f"{column} of {what} has the time zone {values.dt.tz}, orders {zone}",
            "bring all times to one zone: tz_localize() or tz_convert()",
        )
    if not missing:
        refuse(what, frame, values.isna(), f"{column} is missing")
    return values


def check_ids(what: str, frame: pd.DataFrame, column: str) -> None:
    """Raise where an id is missing or stands twice."""
    refuse(what, frame, frame[column].isna(), f"{column} is missing")
    refuse(what, frame, frame[column].duplicated(), f"{column} repeats")


def refuse(what: str, frame: pd.DataFrame, bad: Any, problem: str) -> None:
    """Raise with the first bad row, if there is any."""
    rows = np.asarray(bad, dtype=np.bool_)
    if rows.any():
        raise fail(
            f"{problem} at index {first_of(frame.index, rows)} of {what} "
            f"({int(rows.sum()):,} such rows)",
            "correct or remove these rows",
        )


def stars_of(reviews: pd.DataFrame) -> FloatArray:
    """Return the stars of reviews; raise unless they are whole numbers from 1 on."""
    return check_values("rating", reviews["rating"], ge=1, whole=True, index=reviews.index)


def hours_between(first: pd.Series, last: pd.Series) -> FloatArray:
    """Return hours from one time to another; NaN where either is missing."""
    return (last - first).dt.total_seconds().to_numpy(dtype=np.float64) / 3600


def labels_of(columns: list[pd.Series]) -> IntArray:
    """Return a number for each combination of labels that is there."""
    codes = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        code, values = pd.factorize(column)
        codes = np.unique(codes * len(values) + code, return_inverse=True)[1]
    return codes
