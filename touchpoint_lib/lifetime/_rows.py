"""Compressed rows: the likelihood sees a customer only through frequency, recency and T.

Customers that share the three share one row with a count, so a fit costs what the distinct
rows cost, however many customers there are (Fader, Hardie & Lee 2005, section 5, note that the
three are sufficient).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from touchpoint_lib._checks import FloatArray, Unit, check_columns, check_unit, check_values, fail
from touchpoint_lib.data.transactions import CustomerBase

IntArray = npt.NDArray[np.int64]

#: A time counts as a whole number of days when it is this close to one.
_GRID = 1e-6
#: A counting table larger than this many cells costs more memory than a sort costs time.
_TABLE = 50_000_000


@dataclass(frozen=True)
class Rows:
    """Customers as arrays: frequency, recency, T, and how many customers each row stands for."""

    frequency: FloatArray
    recency: FloatArray
    T: FloatArray
    count: FloatArray

    @property
    def n_customers(self) -> float:
        return float(self.count.sum())


def customer_frame(customers: Any, *, compressed: bool = False) -> pd.DataFrame:
    """Return ``customers`` as a frame; a customer base gives its rows, or its distinct ones."""
    if isinstance(customers, CustomerBase):
        return customers.unique if compressed else customers.to_frame()
    check_columns(customers, ("frequency", "recency", "T"), "customers")
    if len(customers) == 0:
        raise fail("customers has no rows", "pass at least one customer")
    return customers


def check_rows(frame: pd.DataFrame) -> Rows:
    """Return the rows of ``frame``, every value checked; ``count`` is 1 where there is none."""
    index = frame.index
    frequency = check_values("frequency", frame["frequency"], ge=0, whole=True, index=index)
    recency = check_values("recency", frame["recency"], ge=0, index=index)
    age = check_values("T", frame["T"], ge=0, index=index)
    for bad, what, remedy in (
        (recency > age, "recency exceeds T", "the last purchase cannot lie after `until`"),
        (
            (frequency == 0) != (recency == 0),
            "frequency and recency disagree",
            "recency is 0 exactly where frequency is 0: purchases of one day count once",
        ),
    ):
        if bad.any():
            first = int(np.flatnonzero(bad)[0])
            raise fail(
                f"{what} at index {index[first]!r} (frequency {frequency[first]:g}, recency "
                f"{recency[first]:g}, T {age[first]:g}; {int(bad.sum())} such rows)",
                remedy,
            )
    if "count" in frame.columns:
        count = check_values("count", frame["count"], ge=0, index=index)
    else:
        count = np.ones(len(frame))
    return Rows(frequency, recency, age, count)


def common_unit(attrs: Any, unit: str | None) -> Unit | None:
    """Return the one unit that the frame's attrs and the argument name; raise if they differ."""
    own = attrs.get("unit")
    if unit is None:
        return None if own is None else check_unit(own)
    checked = check_unit(unit)
    if own is not None and own != checked:
        raise fail(
            f'unit is "{checked}", but the customers were summarised in "{own}"',
            f'leave unit out, or call rfm_summary(..., unit="{checked}")',
        )
    return checked


def group(rows: Rows) -> Rows:
    """Return the distinct rows with the counts of all customers that share them."""
    keys, size, decode = _keys(rows)
    weighted = bool((rows.count != 1).any())
    if size <= min(_TABLE, 64 * len(keys) + 4096):
        table = np.bincount(keys, weights=rows.count if weighted else None, minlength=size)
        distinct = np.flatnonzero(table)
        return decode(distinct, table[distinct].astype(float))
    if not weighted:
        keys = np.sort(keys)
        starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
        return decode(keys[starts], np.diff(np.append(starts, len(keys))).astype(float))
    distinct, inverse = np.unique(keys, return_inverse=True)
    return decode(distinct, np.bincount(inverse, weights=rows.count))


def group_with_inverse(rows: Rows) -> tuple[Rows, IntArray]:
    """Return the distinct rows, and for every customer the row that it belongs to."""
    keys, size, decode = _keys(rows)
    if size <= min(_TABLE, 64 * len(keys) + 4096):
        seen = np.zeros(size, dtype=bool)
        seen[keys] = True
        distinct = np.flatnonzero(seen)
        place = np.empty(size, dtype=np.int64)
        place[distinct] = np.arange(len(distinct))
        inverse = place[keys]
    else:
        inverse, distinct = pd.factorize(keys)
    return decode(distinct, np.bincount(inverse, weights=rows.count)), inverse


def distinct_pairs(
    first: FloatArray, second: FloatArray
) -> tuple[FloatArray, FloatArray, IntArray]:
    """Return the distinct pairs of two columns and, for every row, the pair it holds."""
    zero = np.zeros_like(second)
    pairs, inverse = group_with_inverse(Rows(first, zero, second, np.ones_like(second)))
    return pairs.frequency, pairs.T, inverse


def _keys(rows: Rows) -> tuple[IntArray, int, Any]:
    """Return one integer key a row, the number of possible keys, and the way back to rows."""
    x, x_values = _codes(rows.frequency)
    recency, recency_values = _codes(rows.recency)
    age, age_values = _codes(rows.T)
    n_recency, n_age = len(recency_values), len(age_values)
    size = len(x_values) * n_recency * n_age
    if size >= 2**62:
        raise fail(
            f"customers has {len(age_values):,} different T and {n_recency:,} different recency",
            "summarise the log by day with rfm_summary",
        )
    keys = (x * n_recency + recency) * n_age + age

    def decode(key: IntArray, count: FloatArray) -> Rows:
        return Rows(
            x_values[key // (n_recency * n_age)],
            recency_values[key // n_age % n_recency],
            age_values[key % n_age],
            count,
        )

    return keys, size, decode


def _codes(values: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return integer codes and the values they stand for.

    Times on the day grid (whole days, or weeks of a whole number of sevenths) are their own
    code; anything else is coded by its distinct values.
    """
    top = float(values.max())
    for days in (1.0, 7.0):
        if top * days > 10_000_000:
            continue
        scaled = values if days == 1.0 else values * days
        codes = np.rint(scaled)
        if np.abs(scaled - codes).max() < _GRID:
            # Sevenths of a week: divided here as in the summary, so that no digit is lost.
            return codes.astype(np.int64), np.arange(int(codes.max()) + 1) / days
    codes_, distinct = pd.factorize(values)
    return codes_.astype(np.int64), np.asarray(distinct, dtype=np.float64)
