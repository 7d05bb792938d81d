"""What every evaluation reads from a frame of an experiment: arms, outcomes, covariates, labels."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib._checks import (
    BoolArray,
    FloatArray,
    IntArray,
    check_columns,
    check_values,
    fail,
)

#: More levels than this are names of single customers, or nearly so.
_MOST_LEVELS = 100
#: Squares of larger values leave the range of floats, those of smaller ones are 0.
_LARGEST, _SMALLEST = 1e100, 1e-100
_REMEDY = "pass a frame with a row a customer, and name its columns"


@dataclass(frozen=True, eq=False)
class Arms:
    """The arm of each row: ``labels`` has the control first, ``code`` counts from it."""

    column: str
    labels: list[Any]
    code: IntArray

    @cached_property
    def sizes(self) -> dict[Any, int]:
        """Rows of each arm."""
        counts = np.bincount(self.code, minlength=len(self.labels))
        return dict(zip(self.labels, counts.tolist(), strict=True))

    def with_control(self, code: int) -> BoolArray:
        """Return which rows are of the arm ``code`` or the control."""
        return (self.code == 0) | (self.code == code)

    def pair(self, treated: Any = None) -> int:
        """Return the code of the arm ``treated``; of the only one that is not the control."""
        others = self.labels[1:]
        if treated is None:
            if len(others) > 1:
                raise fail(
                    f"{self.column} has several arms beside the control "
                    f"({', '.join(map(repr, others))})",
                    "say which one: treated=",
                )
            return 1
        return 1 + _place(others, treated, f"treated={treated!r} is no arm of {self.column}")


@dataclass(frozen=True, eq=False)
class Design:
    """Covariates as numbers: ``matrix`` has a column for each of ``names``."""

    names: list[str]
    matrix: FloatArray


def read_arms(data: Any, arm: str, control: Any) -> Arms:
    """Return the arm of each row.

    Parameters
    ----------
    data : DataFrame
        A row a customer.
    arm : str
        Column that says to which arm a row was assigned, whatever became of it.
    control : scalar
        Its value for the control. Where the column has no such value, the one that reads the same
        as text: "0" is 0.

    Raises
    ------
    InputError
        If the column is missing or has missing values, or there is no row of the control, or of
        no other arm.
    """
    code, labels = read_codes(data, arm, "arm")
    if len(data) == 0:
        raise fail("data has no rows", _REMEDY)
    place = _place(labels, control, f"no row of {arm} is the control {control!r}")
    if len(labels) == 1:
        raise fail(
            f"every row of {arm} is the control {control!r}", "pass the rows of the other arms too"
        )
    order = [place, *(number for number in range(len(labels)) if number != place)]
    rank = np.empty(len(labels), dtype=np.int64)
    rank[order] = np.arange(len(labels))
    return Arms(arm, [labels[number] for number in order], rank[code])


def read_treated(data: Any, arm: str) -> Arms:
    """Return the arms where there is no control: code 0, None, has no rows."""
    code, labels = read_codes(data, arm, "arm")
    if len(data) == 0:
        raise fail("data has no rows", _REMEDY)
    return Arms(arm, [None, *labels], code + 1)


def _place(labels: Sequence[Any], wanted: Any, problem: str) -> int:
    """Return where ``wanted`` is in ``labels``, by value or else by its text."""
    # Comparisons with an array or with pd.NA are not true or false.
    if not isinstance(wanted, Hashable) or wanted is pd.NA:
        raise fail(problem, f"the values are {', '.join(repr(label) for label in labels[:20])}")
    for same in (lambda label: label == wanted, lambda label: str(label) == str(wanted)):
        found = [number for number, label in enumerate(labels) if same(label)]
        if len(found) == 1:
            return found[0]
    raise fail(problem, f"the values are {', '.join(repr(label) for label in labels[:20])}")


def _column(data: Any, column: Any, remedy: str) -> Any:
    check_columns(data, [column], "data", remedy)
    if data.columns.nlevels > 1:
        raise fail("the columns of data have names of several levels", "give each a single name")
    return data[column]


def read_values(data: Any, column: Any, what: str = "outcome") -> FloatArray:
    """Return a column as finite numbers; True is 1.

    Raises
    ------
    InputError
        If the column is missing or not numeric, a value is missing or infinite, or the largest is
        so large or small that its square is not a number.
    """
    values = _column(data, column, f"name the {what} by its column")
    if isinstance(values.dtype, pd.BooleanDtype | pd.Int64Dtype | pd.Float64Dtype):
        values = values.astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)
    found = check_values(f"{what} {column!r}", values, index=data.index)
    largest = float(np.abs(found).max(initial=0.0))
    if largest > _LARGEST or 0 < largest < _SMALLEST:
        raise fail(
            f"the largest {what} {column!r} is {largest:g}",
            f"pass it in a unit that brings it between {_SMALLEST:g} and {_LARGEST:g}",
        )
    return found


def read_codes(data: Any, column: Any, what: str) -> tuple[IntArray, list[Any]]:
    """Return the labels of a column, sorted, and the place of each row's label among them.

    Raises
    ------
    InputError
        If the column is missing, has a missing value, or labels of different types.
    """
    values = _column(data, column, f"name the column of the {what}")
    try:
        code, labels = pd.factorize(values)
    except TypeError:
        raise fail(f"{what} {column!r} holds lists or the like", "make them all text") from None
    if (code < 0).any():
        first = data.index[code < 0].tolist()[0]
        raise fail(
            f"{what} {column!r} is missing at index {first!r} ({int((code < 0).sum()):,} rows)",
            "fill it or leave these rows out",
        )
    named = [label.item() if isinstance(label, np.generic) else label for label in labels]
    if isinstance(values.dtype, pd.CategoricalDtype) and values.cat.ordered:
        rank = {label: number for number, label in enumerate(values.cat.categories)}
        order = sorted(range(len(named)), key=lambda number: rank[labels[number]])
    else:
        try:
            order = sorted(range(len(named)), key=lambda number: named[number])
        except TypeError:
            kinds = ", ".join(sorted({type(label).__name__ for label in named}))
            raise fail(
                f"{what} {column!r} holds labels of different types ({kinds})", "make them all text"
            ) from None
    place = np.empty(len(named), dtype=np.int64)
    place[order] = np.arange(len(named))
    return place[code], [named[number] for number in order]


def read_covariates(data: Any, columns: Iterable[str]) -> Design:
    """Return covariates as numbers: text, categories and truth values become indicators.

    The first level of such a column, in sorted order, is left out; indicators are called
    "column=level".

    Raises
    ------
    InputError
        If a column is missing, has a missing or infinite value, dates, or more than 100 levels.
    """
    names: list[str] = []
    parts: list[FloatArray] = []
    for column in as_names("covariates", columns):
        values = _column(data, column, "name the covariates by their columns")
        if pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(
            values.dtype
        ):
            names.append(str(column))
            parts.append(read_values(data, column, "covariate")[None])
            continue
        if values.dtype.kind in "mM":
            raise fail(
                f"covariate {column!r} holds dates or durations", "turn it into a number of days"
            )
        code, labels = read_codes(data, column, "covariate")
        if len(labels) > _MOST_LEVELS:
            raise fail(
                f"covariate {column!r} has {len(labels):,} levels",
                f"group them into at most {_MOST_LEVELS}, or leave it out",
            )
        names += [f"{column}={label}" for label in labels[1:]]
        parts.append((code == np.arange(1, len(labels))[:, None]).astype(np.float64))
    # By columns: what is summed over rows is fast.
    return Design(names, np.concatenate([np.empty((0, len(data))), *parts]).T)


def as_names(name: str, columns: Any) -> list[str]:
    """Return names of columns as a list, each of them once."""
    if not isinstance(columns, Iterable):
        raise fail(f"{name} is {columns!r}", "name columns by text, one or a list")
    names = [columns] if isinstance(columns, str) else list(columns)
    odd = [one for one in names if not isinstance(one, Hashable)]
    if odd:
        raise fail(f"{name} has {odd[0]!r}", "name columns by text")
    if len(set(names)) < len(names):
        twice = next(one for one in names if names.count(one) > 1)
        raise fail(f"{name} names {twice!r} twice", "name it once")
    return names
