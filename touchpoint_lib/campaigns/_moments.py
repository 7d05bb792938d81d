"""Moments of contacts, purchases and looks: dates without a time zone, or numbers of days."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from touchpoint_lib._checks import check_values, fail

#: Dates as datetime64[us], or numbers as float64.
Moments = npt.NDArray[Any]

DAY = np.timedelta64(1, "D")
TICK = np.timedelta64(1, "us")


def read_moments(name: str, values: pd.Series) -> Moments:
    """Return moments as datetime64[us], or as numbers where they are numbers.

    Raises
    ------
    InputError
        If one is missing, has a time zone, or is neither a date, ISO text nor a number.
    """
    if values.dtype.kind in "iuf":
        return check_values(name, values, index=values.index)
    remedy = 'pass dates (pd.to_datetime, or text such as "2024-03-31") or numbers'
    if values.dtype.kind != "M":
        kind = pd.api.types.infer_dtype(values)
        # Numbers among objects would be read as nanoseconds.
        if kind not in ("string", "date", "datetime", "datetime64"):
            raise fail(f"{name} holds {kind} values", remedy)
        try:
            values = pd.to_datetime(values, format="ISO8601")
        except (ValueError, TypeError) as error:
            reason = str(error).splitlines()[0]
            raise fail(f"{name} is not a date everywhere ({reason})", remedy) from None
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        raise fail(
            f"{name} has the time zone {values.dtype.tz}",
            "turn it into the shop's local time: column.dt.tz_localize(None)",
        )
    if values.isna().any():
        missing = values.index[values.isna()]
        raise fail(
            f"{name} is missing at index {missing[0]!r} ({len(missing):,} rows)",
            "fill it or leave these rows out",
        )
    return values.to_numpy(dtype="datetime64[us]")


def check_same_kind(name: str, moments: Moments, other: str, others: Moments) -> None:
    """Raise unless both are dates, or both numbers."""
    words = {"M": "dates", "f": "numbers"}
    mine, theirs = words[moments.dtype.kind], words[others.dtype.kind]
    if mine != theirs:
        raise fail(f"{name} holds {mine} and {other} {theirs}", "pass both as the same")


def last_instant(moments: Moments) -> Moments:
    """Return the end of a date without a time of day; any other moment itself."""
    if moments.dtype.kind != "M":
        return moments
    whole = moments == moments.astype("datetime64[D]")
    return np.where(whole, moments + DAY - TICK, moments)


def plain(value: Any) -> Any:
    """Return a moment or label as JSON has it: dates as ISO text, other objects as their text."""
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return value if isinstance(value, str | bool | int | float | None) else str(value)
