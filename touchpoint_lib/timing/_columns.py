"""Columns of labels, and moments in the zone of a column of times."""

from __future__ import annotations

from typing import Any

import pandas as pd

from touchpoint_lib._checks import check_moment, check_zone, fail


def check_labels(name: str, column: pd.Series) -> None:
    """Raise where labels are of several types, or lists."""
    kind = pd.api.types.infer_dtype(column)
    if kind.startswith("mixed"):
        raise fail(f"{name} holds labels of different types ({kind})", "make them all text")


def as_moment(name: str, value: Any, times: pd.Series) -> pd.Timestamp:
    """Return ``value`` as a moment like those of ``times``; raise where it is none."""
    moment = check_moment(name, value, "pass a moment such as '2025-06-30 12:00'")
    zone = times.dt.tz
    check_zone(name, moment, zone, times.name)
    return moment if zone is None else moment.tz_convert(zone)
