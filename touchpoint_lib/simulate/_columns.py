"""Columns of the tables: codes to categories, days to times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from touchpoint_lib._checks import BoolArray, FloatArray, IntArray, check_moment, fail

_DAY_SECONDS = 86_400.0
#: Times are kept to the second.
_SECOND = 1_000_000

Times = npt.NDArray[np.datetime64]


def as_moment(name: str, date: Any) -> pd.Timestamp:
    """Return a date or time without a zone as a timestamp; raise where it is none."""
    remedy = "pass a date such as '2024-12-31', without a time zone"
    moment = check_moment(name, date, remedy)
    if moment.tz is not None:
        raise fail(f"{name} is {date!r}", remedy)
    return moment


def as_times(start: pd.Timestamp, days: FloatArray, until: float = np.inf) -> Times:
    """Return days since ``start`` as times, whole seconds; NaT for NaN and what is later than
    ``until``.
    """
    known = days <= until
    seconds = np.floor(np.where(known, days, 0.0) * _DAY_SECONDS).astype(np.int64)
    origin = start.to_datetime64().astype("datetime64[us]")
    times = origin + (seconds * _SECOND).astype("timedelta64[us]")
    times[~known] = np.datetime64("NaT")
    return times


def as_category(codes: npt.ArrayLike, names: Sequence[str]) -> pd.Categorical:
    """Return codes into ``names`` as a categorical; -1 is missing."""
    return pd.Categorical.from_codes(
        np.asarray(codes), categories=pd.Index(list(names), dtype="str")
    )


def as_ids(numbers: IntArray, present: BoolArray) -> Any:
    """Return whole numbers as a nullable column."""
    return pd.arrays.IntegerArray(numbers.astype(np.int64), ~present)
