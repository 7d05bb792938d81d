"""Compressed rows: the likelihood sees a customer only through frequency, recency and T.

Customers that share the three share one row with a count, so a fit costs what the distinct
rows cost, however many customers there are (Fader, Hardie & Lee 2005, section 5, note that the
three are sufficient).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from touchpoint_lib._checks import (
    UNIT_DAYS,
    FloatArray,
    IntArray,
    Unit,
    check_columns,
    check_unit,
    check_values,
    fail,
)
from touchpoint_lib.data.base import CustomerBase

#: A time counts as a whole number of days when it is this close to one.
_GRID = 1e-6
#: Days beyond which a time is not looked up by its number of days.
_LONGEST = 10_000_000
#: A look-up table of more cells than this a customer costs more than hashing the keys.
_TABLE = 8
_SMALL = 4096
#: Rows whose arrays stay in the processor's cache.
_CACHED = 32_768

#: Days fit into integers of half the length.
ShortArray = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Days:
    """Recency and T of rows in whole days, the latest T, and how many days make a unit."""

    recency: ShortArray
    T: ShortArray
    last: int
    per_unit: float

    def times(self) -> FloatArray:
        """Return the times that the days 0 to ``last`` stand for."""
        return np.arange(self.last + 1) / self.per_unit


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

    @property
    def totals(self) -> tuple[float, ...]:
        """Sums by which two sets of customers can be told apart."""
        return (
            self.n_customers,
            float(self.count @ self.frequency),
            float(self.count @ self.recency),
            float(self.count @ self.T),
        )

    @cached_property
    def days(self) -> Days | None:
        """The times in whole days; None where they are not on the grid of days."""
        for per_unit in (1.0, 7.0):
            last = float(self.T.max()) * per_unit
            # A look at the first few refuses most rows that are off this grid.
            if last > _LONGEST or self.part(slice(100))._in_days(per_unit) is None:
                continue
            found = self._in_days(per_unit)
            if found is not None:
                return Days(*found, round(last), per_unit)
        return None

    def _in_days(self, per_unit: float) -> tuple[ShortArray, ShortArray] | None:
        """Return recency and T as whole days, or None where they are not whole."""
        recency, age = np.empty((2, len(self.T)), dtype=np.int32)
        for start in range(0, len(self.T), _CACHED):
            block = slice(start, start + _CACHED)
            for times, days in ((self.recency, recency), (self.T, age)):
                whole = _rounded(times[block], per_unit)
                if whole is None:
                    return None
                days[block] = whole
        return recency, age

    @cached_property
    def runs(self) -> IntArray:
        """The first row of each run of rows with one frequency: of each x where they are sorted."""
        changes = self.frequency[1:] != self.frequency[:-1]
        return np.concatenate([[0], np.flatnonzero(changes) + 1])

    def part(self, block: Any) -> Rows:
        """Return the rows in ``block``: a slice, positions or a mask."""
        return Rows(self.frequency[block], self.recency[block], self.T[block], self.count[block])


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
    plain = _plain_rows(frame)
    if plain is not None:
        return plain
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


def _plain_rows(frame: pd.DataFrame) -> Rows | None:
    """Return the rows where nothing is wrong with them, and None where a closer look is due.

    In blocks that stay in the cache: this is the common case, and predictions are quick.
    """
    names = ["frequency", "recency", "T"] + ["count"] * ("count" in frame.columns)
    columns = [frame[name].to_numpy() for name in names]
    if any(column.dtype.kind not in "if" for column in columns):
        return None
    x, recency, age, *counts = (column.astype(np.float64, copy=False) for column in columns)
    if counts and not (counts[0].min() >= 0 and counts[0].max() < np.inf):
        return None
    for start in range(0, len(x), _CACHED):
        block = slice(start, start + _CACHED)
        bought, last, old = x[block], recency[block], age[block]
        once = bought == 0
        # Comparisons with a missing value are false.
        if not (
            bought.min() >= 0
            and bought.max() < np.inf
            and (bought == np.floor(bought)).all()
            and last.min() >= 0
            and old.max() < np.inf
            and (last <= old).all()
            and (once == (last == 0)).all()
        ):
            return None
    return Rows(x, recency, age, counts[0] if counts else np.ones(len(x)))


def common_unit(
    attrs: Any, unit: str | None, known: Mapping[str, float] = UNIT_DAYS
) -> Unit | None:
    """Return the one unit that the frame's attrs and the argument name; raise if they differ."""
    own = attrs.get("unit")
    if unit is None:
        return None if own is None else check_unit(own, known)
    checked = check_unit(unit, known)
    if own is not None and own != checked:
        raise fail(
            f'unit is "{checked}", but the times of the data are in "{own}"',
            f'leave unit out, or make the data in "{checked}": rfm_summary(..., unit="{checked}")',
        )
    return checked


def group(rows: Rows) -> Rows:
    """Return the distinct rows with the counts of all customers that share them."""
    # Times that are 0 but for rounding are left to the keys.
    if _rising(rows) and (rows.days is None or rows.days.last > 0):
        return rows
    keys, size, decode = _keys(rows.frequency, rows.recency, rows.T)
    if (rows.count != 1).any():
        distinct, inverse = np.unique(keys, return_inverse=True)
        x, recency, age = decode(distinct)
        return Rows(x, recency, age, tally(inverse, rows.count))
    # Sorting short integers is faster than counting into a table that misses the cache.
    keys = np.sort(keys.astype(np.int32) if size < 2**31 else keys)
    starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    counts = np.diff(np.append(starts, len(keys))).astype(np.float64)
    x, recency, age = decode(keys[starts].astype(np.int64))
    return Rows(x, recency, age, counts)


def _rising(rows: Rows) -> bool:
    """Return whether the rows are sorted and no two are the same."""
    columns = (rows.frequency, rows.recency, rows.T)
    for start in range(0, len(rows.T) - 1, _CACHED):
        stop = min(start + _CACHED, len(rows.T) - 1)
        rises, same = np.zeros(stop - start, dtype=bool), np.ones(stop - start, dtype=bool)
        for column in columns:
            before, after = column[start:stop], column[start + 1 : stop + 1]
            rises |= same & (after > before)
            same &= after == before
        if not rises.all():
            return False
    return True


def group_with_inverse(rows: Rows) -> tuple[Rows, IntArray]:
    """Return the distinct rows, and for every customer the row that it belongs to."""
    (frequency, recency, age), inverse = _distinct(rows.frequency, rows.recency, rows.T)
    return Rows(frequency, recency, age, tally(inverse, rows.count)), inverse


def group_with_design(rows: Rows, design: FloatArray) -> tuple[Rows, FloatArray, IntArray]:
    """Return the distinct rows of customers and covariates, those covariates, and the way back."""
    pattern = np.zeros(len(design), dtype=np.int64)
    for column in design.T:
        code, values = pd.factorize(column)
        pattern = pd.factorize(pattern * len(values) + code)[0]
    (frequency, recency, age, _), inverse = _distinct(
        rows.frequency, rows.recency, rows.T, pattern.astype(np.float64)
    )
    first = np.empty(len(age), dtype=np.int64)
    first[inverse[::-1]] = np.arange(len(inverse) - 1, -1, -1)
    count = tally(inverse, rows.count, len(age))
    return Rows(frequency, recency, age, count), design[first], inverse


def total_repeats(rows: Rows) -> float:
    """Return the repeat purchases of all customers; raise where there are none."""
    repeats = float(np.einsum("i,i->", rows.count, rows.frequency))
    if repeats == 0:
        raise fail(
            f"none of the {rows.n_customers:,.0f} customers has a repeat purchase",
            "use a longer window: without repeats no rate can be estimated",
        )
    return repeats


def mean_age(rows: Rows) -> float:
    """Return the mean T, the natural unit of a fit; raise where grouping found every T to be 0."""
    mean = float(np.einsum("i,i->", rows.count, rows.T)) / rows.n_customers
    if not mean > 0:
        raise fail(
            f"T is below {_GRID:g} for all {rows.n_customers:,.0f} customers",
            "count time in a shorter unit, such as days",
        )
    return mean


def distinct_pairs(
    first: FloatArray, second: FloatArray
) -> tuple[FloatArray, FloatArray, IntArray]:
    """Return the distinct pairs of two columns and, for every row, the pair it holds."""
    (left, right), inverse = _distinct(first, second)
    return left, right, inverse


def tally(code: IntArray, weights: FloatArray, n: int = 0) -> FloatArray:
    """Return the summed weights of each code, of 0 to ``n`` - 1 at least."""
    return np.asarray(np.bincount(code, weights=weights, minlength=n), dtype=np.float64)


def _distinct(*columns: FloatArray) -> tuple[list[FloatArray], IntArray]:
    keys, size, decode = _keys(*columns)
    if size > _TABLE * len(keys) + _SMALL:
        inverse, distinct = pd.factorize(keys)
        return decode(distinct), inverse
    seen = np.zeros(size, dtype=bool)
    seen[keys] = True
    distinct = np.flatnonzero(seen)
    place = np.empty(size, dtype=np.int64)
    place[distinct] = np.arange(len(distinct))
    return decode(distinct), place[keys]


def _keys(*columns: FloatArray) -> tuple[IntArray, int, Callable[[IntArray], list[FloatArray]]]:
    """Return one integer key a row, the number of possible keys, and the way back to columns."""
    coded = [codes(column) for column in columns]
    size = math.prod(len(values) for _, values in coded)
    if size >= 2**62:
        raise fail(
            "customers has too many different values of "
            + " and ".join(f"{len(values):,}" for _, values in coded),
            "summarise the log by day with rfm_summary",
        )
    keys = coded[0][0]
    for code, values in coded[1:]:
        keys = keys * len(values) + code

    def decode(key: IntArray) -> list[FloatArray]:
        parts = []
        for _, values in reversed(coded):
            key, code = np.divmod(key, len(values))
            parts.append(values[code])
        return parts[::-1]

    return keys, size, decode


def codes(values: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return integer codes and the values they stand for.

    Times on the day grid (whole days, or weeks of a whole number of sevenths) are their own
    code; anything else is coded by its distinct values.
    """
    top = float(values.max())
    for days in (1.0, 7.0):
        # A look at the first few refuses most columns that are off this grid.
        if top * days > _LONGEST or _rounded(values[:100], days) is None:
            continue
        whole = _rounded(values, days)
        if whole is not None:
            # Sevenths of a week: divided here as in the summary, so that no digit is lost.
            return whole.astype(np.int64), np.arange(round(top * days) + 1) / days
    code, distinct = pd.factorize(values)
    return code.astype(np.int64), np.asarray(distinct, dtype=np.float64)


def _rounded(values: FloatArray, days: float) -> FloatArray | None:
    """Return ``values`` in whole days, or None where they are not whole."""
    off = values * days
    whole = np.rint(off)
    off -= whole
    return whole if max(off.max(), -off.min()) < _GRID else None
