"""Validation shared by every module: each message names the value, the bound and the remedy."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Hashable, Iterable, Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

Unit = Literal["D", "W", "M", "Y"]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

#: Days in a unit of time of a log.
UNIT_DAYS: dict[str, float] = {"D": 1.0, "W": 7.0}
#: Days in a year, for rates a year.
DAYS_PER_YEAR = 365.25
#: Days between two opportunities or renewals, where time is counted in those.
PERIOD_DAYS: dict[str, float] = {**UNIT_DAYS, "M": DAYS_PER_YEAR / 12, "Y": DAYS_PER_YEAR}
#: The word for a unit in messages and axis titles.
UNIT_WORDS: dict[str, str] = {"D": "days", "W": "weeks", "M": "months", "Y": "years"}


#: Names that a message lists at most.
_SHOWN = 20
_KINDS = {"m": "durations", "M": "dates", "c": "complex numbers"}


class InputError(ValueError):
    """The caller's data or arguments cannot be used; the message says what to change."""


def fail(what: str, remedy: str) -> InputError:
    """Return the error for ``what`` is wrong, with the ``remedy`` behind it."""
    return InputError(f"{what}; {remedy}")


def check_choice(name: str, value: Any, allowed: Iterable[Any]) -> None:
    """Raise unless ``value`` is one of ``allowed``."""
    choices = list(allowed)
    if not isinstance(value, Hashable) or value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise fail(f"{name} is {value!r}", f"it must be one of {listed}")


def check_number(
    name: str,
    value: Any,
    *,
    gt: float | None = None,
    ge: float | None = None,
    lt: float | None = None,
    le: float | None = None,
) -> float:
    """Return ``value`` as a float; raise unless it is a finite number within the bounds."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise fail(f"{name} is {value!r}", "it must be a number")
    try:
        number = float(value)
    except OverflowError:
        raise fail(f"{name} is a number of {len(str(value))} digits", "it is too large") from None
    if not math.isfinite(number):
        raise fail(f"{name} is {number}", "it must be finite")
    for holds, sign, bound in (
        (gt is None or number > gt, ">", gt),
        (ge is None or number >= ge, ">=", ge),
        (lt is None or number < lt, "<", lt),
        (le is None or number <= le, "<=", le),
    ):
        if not holds:
            raise fail(f"{name} is {value}", f"it must be {sign} {bound}")
    return number


def check_integer(name: str, value: Any, *, ge: int) -> int:
    """Return ``value`` as an int; raise unless it is a whole number of at least ``ge``."""
    number = check_number(name, value, ge=ge)
    if number != int(number):
        raise fail(f"{name} is {value}", "it must be a whole number")
    # Not by way of the float, which has 53 bits.
    return int(value)


def check_unit(unit: Any, known: Mapping[str, float] = UNIT_DAYS) -> Unit:
    """Return ``unit`` when it is one of ``known``: by default "D" or "W" (seven days)."""
    if not isinstance(unit, str) or unit not in known:
        listed = ", ".join(f'"{key}" ({UNIT_WORDS[key]})' for key in known)
        raise fail(f"unit is {unit!r}", f"it must be one of {listed}")
    return unit  # type: ignore[return-value]


def check_columns(
    frame: Any,
    columns: Iterable[str],
    what: str,
    remedy: str = "pass the frame that rfm_summary or rfm_split returns, or rename the columns",
) -> None:
    """Raise unless ``frame`` is a pandas frame that has all ``columns``, each of them once."""
    if not isinstance(frame, pd.DataFrame):
        raise fail(f"{what} is a {type(frame).__name__}", "it must be a pandas DataFrame")
    columns = list(columns)
    odd = [column for column in columns if not isinstance(column, Hashable)]
    if odd:
        raise fail(f"{what} has no column {odd[0]!r}", "name columns by text")
    # Only a frame with doubles is counted: lists of hundreds of columns are checked often.
    twice = [] if frame.columns.is_unique else list(frame.columns[frame.columns.duplicated()])
    twice = [column for column in twice if column in columns]
    if twice:
        raise fail(f"{what} has several columns {twice[0]!r}", "keep one of them")
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        has = _listed([repr(str(column)) for column in frame.columns])
        lacks = _listed([repr(column) for column in missing])
        raise fail(f"{what} has no column {lacks} (it has {has})", remedy)


def _listed(names: list[str]) -> str:
    """Return names as a list in words, the first of very many."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def check_values(
    name: str,
    values: Any,
    *,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    whole: bool = False,
    infinite: bool = False,
    index: pd.Index[Any] | None = None,
) -> FloatArray:
    """Return ``values`` as a float array; raise at the first that is missing or out of bounds.

    ``index`` labels the offender in the message; without it its position does.
    ``infinite`` lets infinite values through (NaN never).
    """
    try:
        given = getattr(getattr(values, "dtype", None), "kind", None)
        kind = given or np.asarray(values).dtype.kind
        # Dates and durations would be read as nanoseconds.
        array = None if kind in "mMc" else np.asarray(values, dtype=np.float64)
    except OverflowError:
        raise fail(
            f"{name} holds a whole number above 1.8e308", "express it in a larger unit"
        ) from None
    except (TypeError, ValueError) as error:
        raise fail(f"{name} is not numeric ({error})", "convert it to numbers first") from None
    if array is None:
        raise fail(
            f"{name} holds {_KINDS[kind]}",
            "pass numbers in the unit, such as column / pd.Timedelta(days=7) for weeks",
        )
    if not array.size:
        return array
    # The extremes settle the common case in two passes without temporaries.
    low, high = array.min(), array.max()
    if np.isnan(low):
        raise _offence(name, array, np.isnan(array), "present", index)
    if not infinite and not (math.isfinite(low) and math.isfinite(high)):
        raise _offence(name, array, ~np.isfinite(array), "finite", index)
    if ge is not None and low < ge:
        raise _offence(name, array, array < ge, f">= {ge}", index)
    if gt is not None and low <= gt:
        raise _offence(name, array, array <= gt, f"> {gt}", index)
    if le is not None and high > le:
        raise _offence(name, array, array > le, f"<= {le}", index)
    if whole and (array != np.floor(array)).any():
        raise _offence(name, array, array != np.floor(array), "a whole number", index)
    return array


def check_present(what: str, frame: pd.DataFrame, column: str) -> None:
    """Raise where a value of a column is missing."""
    missing = frame[column].isna().to_numpy()
    if missing.any():
        raise fail(
            f"{column} of {what} is missing at index {first_of(frame.index, missing)} "
            f"({int(missing.sum()):,} such rows)",
            "fill or remove them",
        )


def first_of(values: Any, bad: Any) -> str:
    """Return how the first of the bad values is shown: 4, not np.int32(4)."""
    return repr(values[np.asarray(bad)][:1].tolist()[0])


def check_moment(name: str, value: Any, remedy: str) -> pd.Timestamp:
    """Return a date or time as a timestamp; raise where it is none."""
    # A number would be read as nanoseconds.
    if not isinstance(value, str | dt.date | np.datetime64):
        raise fail(f"{name} is {value!r}", remedy)
    try:
        moment = pd.Timestamp(value)
    except (ValueError, TypeError) as error:
        raise fail(f"{name} is {value!r} ({error})", remedy) from None
    if pd.isna(moment):
        raise fail(f"{name} is {value!r}", remedy)
    return moment


def check_zone(name: str, moment: pd.Timestamp, zone: Any, column: Any) -> None:
    """Raise unless a moment has a time zone where the column of times has one."""
    if (moment.tz is None) != (zone is None):
        has, needs = ("no", "one") if moment.tz is None else ("a", "none")
        raise fail(f"{name} ({moment}) has {has} time zone", f"{column} has {needs}: pass it alike")


def check_each(name: str, value: Any, n: int, **bounds: Any) -> FloatArray:
    """Return ``n`` values from one number or one a customer; raise at the first out of bounds."""
    values = check_values(name, value, **bounds)
    if values.shape not in ((), (n,)):
        raise fail(
            f"{name} has shape {values.shape} for {n} customers",
            "pass one number, or one value a customer",
        )
    return np.broadcast_to(values, (n,)).astype(np.float64)


def _offence(
    name: str, array: FloatArray, bad: Any, bound: str, index: pd.Index[Any] | None
) -> InputError:
    """Return the error that names the first bad value, where it stands and how many there are."""
    bad = np.atleast_1d(bad)
    first = int(np.flatnonzero(bad)[0])
    # As plain Python has it: 4, not np.int64(4).
    where = f"row {first}" if index is None else f"index {index[[first]].tolist()[0]!r}"
    value = float(array.ravel()[first])
    # 1.0000000000000002 must not be reported as 1.
    shown = f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return fail(
        f"{name} is {shown} at {where} ({int(bad.sum())} such values)",
        f"every value must be {bound}: correct or remove them",
    )
