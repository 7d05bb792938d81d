"""Columns of labels, and moments in the zone of a column of times."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib._checks import fail


def check_labels(name: str, column: pd.Series) -> None:
    """Raise where labels are of several types, or lists."""
    kind = pd.api.types.infer_dtype(column)
    if kind.startswith("mixed"):
        raise fail(f"{name} holds labels of different types ({kind})", "make them all text")


def as_moment(name: str, value: Any, times: pd.Series) -> pd.Timestamp:
    """Return ``value`` as a moment like those of ``times``; raise where it is none."""
    remedy = "pass a moment such as '2025-06-30 12:00'"
    # A number would be read as nanoseconds.
    if not isinstance(value, str | dt.date | np.datetime64):
        raise fail(f"{name} is {value!r}", remedy)
    try:
        moment = pd.Timestamp(value)
    except (ValueError, TypeError) as error:
        raise fail(f"{name} is {value!r} ({error})", remedy) from None
    if pd.isna(moment):
        raise fail(f"{name} is {value!r}", remedy)
    zone = times.dt.tz
    if (moment.tz is None) != (zone is None):
        has, needs = ("no", "one") if moment.tz is None else ("a", "none")
        raise fail(
            f"{name} ({moment}) has {has} time zone", f"{times.name} has {needs}: pass it alike"
        )
    return moment if zone is None else moment.tz_convert(zone)
