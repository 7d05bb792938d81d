"""The columns of a churn regression: read, checked, and left out where nobody chose them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib._checks import FloatArray, check_values, fail
from touchpoint_lib.churn._maximum import dependent
from touchpoint_lib.churn._splines import Design

#: The indicators where nobody chose, tried on held-out halves of CDNOW and of simulated shops with
#: random and with regular gaps. Sets of a slightly lower deviance had near twins, whose odds
#: ratios point in opposite directions.
_DEFAULT = "silence silence_per_mean_gap purchases_per_day purchases_180d T amount_mean"
DEFAULT_COLUMNS = tuple(_DEFAULT.split())
#: The one of them that a customer may lack: a one-time buyer has no gap.
_OF_GAPS = "silence_per_mean_gap"

INTERCEPT = "intercept"


def _names(columns: Any) -> list[str]:
    """Return the indicators to use; raise unless they are a list of different names."""
    if columns is None:
        return list(DEFAULT_COLUMNS)
    if isinstance(columns, str) or not isinstance(columns, Sequence | pd.Index):
        raise fail(f"columns is {columns!r}", "pass a list of names of indicators")
    names = list(columns)
    if not names:
        raise fail("columns is empty", "name at least one indicator, or leave it out")
    for name in names:
        if not isinstance(name, str):
            raise fail(f"columns has {name!r}", "names must be text")
        if names.count(name) > 1:
            raise fail(f"columns has {name!r} twice", "name it once")
    return names


def read_column(frame: Any, name: str) -> FloatArray:
    """Return one indicator as floats, NaN where it is missing; raise where it is no number."""
    times = int((checked_frame(frame).columns == name).sum())
    if times != 1:
        raise fail(
            f"indicators has {'no column' if times == 0 else 'several columns'} {name!r}",
            "pass the frame that behaviour_indicators or indicator_panel returns, or choose other "
            "columns",
        )
    column = frame[name]
    present = column.notna().to_numpy()
    values = np.full(len(frame), np.nan)
    values[present] = check_values(name, column[present], index=frame.index[present])
    return values


def checked_frame(frame: Any) -> pd.DataFrame:
    if not isinstance(frame, pd.DataFrame):
        raise fail(f"indicators is a {type(frame).__name__}", "it must be a pandas DataFrame")
    if len(frame) == 0:
        raise fail("indicators has no rows", "pass at least one customer")
    return frame


def usable_columns(
    frame: pd.DataFrame, columns: Any, kinds: tuple[int, int], apart: Mapping[str, str]
) -> tuple[Design, FloatArray, dict[str, str]]:
    """Return the design of the columns, its matrix, and which default columns it goes without.

    ``kinds`` are the rows with the outcome, and those without; ``apart`` says which default
    columns tell the outcomes apart.
    """
    usable, left_out = dict[str, FloatArray](), dict(apart)
    for name in _names(columns):
        if name in apart:
            continue
        if columns is None and name not in frame.columns:
            left_out[name] = "is no column"
            continue
        values = read_column(frame, name)
        observed = values[~np.isnan(values)]
        if columns is None and name == _OF_GAPS and len(observed) == len(values):
            left_out[name] = "is known of everybody, so that nothing is learned of one-time buyers"
            continue
        if len(observed) and observed.min() < observed.max():
            usable[name] = values
            continue
        flat = f"is {observed[0]:g} wherever it is known" if len(observed) else "is never known"
        if columns is not None:
            raise fail(f"{name!r} {flat}", "leave it out: nothing can be learned from it")
        left_out[name] = flat
    while usable:
        design = Design.read(usable)
        twice = [name for name in design.names if design.names.count(name) > 1 or name == INTERCEPT]
        if twice:
            raise fail(f"two coefficients would be named {twice[0]!r}", "rename that column")
        k = len(design.names) + 1
        if min(kinds) < k:
            raise fail(
                f"outcome is true in {kinds[0]} of {sum(kinds)} rows, for {k} coefficients",
                f"pass at least {k} rows of each kind, or choose fewer columns",
            )
        matrix = design.matrix(usable)
        twins = dependent(matrix, design)
        if not twins:
            return design, matrix, left_out
        if columns is not None:
            others = "the others" if len(twins) > 2 else "the other"
            raise fail(
                f"{' and '.join(map(repr, twins))} say the same: each follows from {others}",
                "leave one of them out",
            )
        left_out[twins[-1]] = f"follows from {' and '.join(map(repr, twins[:-1]))}"
        del usable[twins[-1]]
    raise fail(f"no default column can be used: {left_out}", "pass columns=, with indicators")
