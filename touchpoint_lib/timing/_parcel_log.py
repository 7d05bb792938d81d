"""Parcels read and checked: who was on the way when, on one clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib._checks import BoolArray, FloatArray, IntArray, check_columns, fail
from touchpoint_lib.timing._columns import check_labels

#: Microseconds, in which parcels are timed.
MINUTE = 60_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
#: Where a parcel is not delivered as far as is known.
NEVER = np.iinfo(np.int64).max
#: Fewer parcels give no curve.
_FEWEST = 20
#: What the columns that are made are called.
_OWN = (
    *("n", "n_late", "late_share", "late_share_low", "late_share_high", "promised_days"),
    *("flag_after", "probability", "probability_low", "probability_high", "n_at_risk"),
    *("late", "flagged_at", "lead_hours", "age_hours", "probability_late", "pace", "flag", "due"),
)


@dataclass(frozen=True)
class ParcelLog:
    """Checked parcels shipped by ``until``; times in microseconds since the first midnight."""

    frame: pd.DataFrame
    shipped: IntArray
    promised: IntArray
    delivered: IntArray
    until: int

    @property
    def promise(self) -> FloatArray:
        """Hours from shipping to the promised time."""
        return np.asarray((self.promised - self.shipped) / HOUR)


def class_columns(by: Sequence[str]) -> list[str]:
    if isinstance(by, str) or not isinstance(by, Sequence) or not by:
        raise fail(f"by is {by!r}", 'pass columns from wide to narrow: by=("carrier", "province")')
    names = list(by)
    if len(set(names)) < len(names):
        raise fail(f"by is {by!r}", "name each column once")
    return names


def check_parcels(
    parcels: Any, parcel: str, names: list[str], shipped: str, promised: str, delivered: str
) -> pd.DataFrame:
    """Return the columns that are used, in this order; raise at the first fault."""
    columns = [parcel, *names, shipped, promised, delivered]
    for column in columns:
        if columns.count(column) > 1:
            raise fail(f"column {column!r} is named twice", "each argument needs its own column")
        if column in _OWN:
            raise fail(f"column {column!r} has the name of a result", "rename it in parcels")
    check_columns(parcels, columns, "parcels", "rename the columns, or name yours in the arguments")
    frame = parcels[columns]
    if frame.empty:
        raise fail("parcels has no row", "pass at least one parcel")
    for column in columns[:-1]:
        _refuse(frame, frame[column].isna(), f"{column} is missing", "fill or remove these rows")
    for name in (parcel, *names):
        check_labels(name, frame[name])
    _refuse(frame, frame[parcel].duplicated(), f"{parcel} repeats", "keep one row a parcel")
    for column in (shipped, promised, delivered):
        if frame[column].dtype.kind != "M":
            raise fail(
                f"{column} holds {frame[column].dtype} values, not times",
                f"convert it: pd.to_datetime(parcels[{column!r}])",
            )
    zones = {column: frame[column].dt.tz for column in (shipped, promised, delivered)}
    if len({zone is None for zone in zones.values()}) > 1:
        bare = ", ".join(column for column, zone in zones.items() if zone is None)
        raise fail(
            f"{bare} has no time zone, but another column of times has",
            "give it one: column.dt.tz_localize(...)",
        )
    _refuse(
        frame,
        frame[promised] <= frame[shipped],
        f"{promised} is not after {shipped}",
        "correct or remove these rows",
    )
    _refuse(
        frame,
        frame[delivered] < frame[shipped],
        f"{delivered} is before {shipped}",
        "correct or remove these rows",
    )
    return frame


def _refuse(frame: pd.DataFrame, bad: pd.Series, what: str, remedy: str) -> None:
    """Raise with the first bad row, if there is any."""
    if bad.any():
        first = frame.index[int(np.argmax(bad))]
        raise fail(f"{what} at index {first!r} ({int(bad.sum()):,} such rows)", remedy)


def measured(
    frame: pd.DataFrame,
    shipped: str,
    promised: str,
    delivered: str,
    end: pd.Timestamp,
    cut: pd.Timestamp,
) -> tuple[ParcelLog, int]:
    """Return the log as of ``end`` in microseconds, and ``cut`` on the same clock."""
    start, tick = frame[shipped].min().normalize(), pd.Timedelta(microseconds=1)

    def since(times: pd.Series) -> IntArray:
        return ((times - start) // tick).to_numpy(dtype=np.int64)

    known = (frame[delivered] <= end).to_numpy()
    arrival = np.full(len(frame), NEVER)
    arrival[known] = since(frame[delivered][known])
    shipping, promise = since(frame[shipped]), since(frame[promised])
    log = ParcelLog(frame, shipping, promise, arrival, (end - start) // tick)
    return log, (cut - start) // tick


def check_split(
    learned: BoolArray,
    judged: BoolArray,
    log: ParcelLog,
    at: int,
    shipped: str,
    cut: pd.Timestamp,
    end: pd.Timestamp,
) -> None:
    """Raise unless there is enough to learn from, and something to judge."""
    if learned.sum() < _FEWEST:
        raise fail(
            f"{int(learned.sum())} parcels have {shipped} before split ({cut})",
            f"at least {_FEWEST} are needed to learn from: pass a later split, or more parcels",
        )
    if not (log.delivered[learned] <= at).any():
        raise fail(
            f"none of the {int(learned.sum()):,} parcels shipped before split ({cut}) had been "
            "delivered by then",
            "pass a later split",
        )
    if not judged.any():
        raise fail(
            f"no parcel shipped from split ({cut}) on is promised by until ({end})",
            "pass an earlier split or a later until: there is nothing to judge",
        )
