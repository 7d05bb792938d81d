"""The rows of two arms beside a value of each: a score, or whether a rule would contact them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib._checks import BoolArray, check_columns, fail
from touchpoint_lib.campaigns._data import read_arms


@dataclass(frozen=True, eq=False)
class Trial:
    """The rows of two arms that have a value of their own (a score, a flag).

    ``rows`` are theirs of the data, ``treated`` and ``values`` in the same order.
    ``n_other_arms`` had a value and are of another arm, ``n_unscored`` are of the two arms and
    had none.
    """

    rows: pd.DataFrame
    treated: BoolArray
    values: Any
    treated_label: Any
    control_label: Any
    n_other_arms: int
    n_unscored: int


def read_trial(
    data: Any, values: Any, name: str, arm: str, control: Any, treated: Any = None
) -> Trial:
    """Return the rows of two arms beside a column, or a Series on some of their index."""
    arms = read_arms(data, arm, control)
    code = arms.pair(treated)
    own = arms.with_control(code)
    if isinstance(values, pd.Series):
        check_unique(data, "data")
        check_unique(values, name)
        place = data.index.get_indexer(values.index)
        if (place < 0).any():
            raise fail(
                f"{name} has {int((place < 0).sum()):,} index values that data has not, such as "
                f"{values.index[place < 0][0]!r}",
                f"pass {name} on the index of data, or of a part of it",
            )
        used = own[place]
        place, values = place[used], values[used]
        n_other, n_unscored = int((~used).sum()), int(own.sum() - used.sum())
    else:
        check_columns(data, [values], "data", f"name the column of the {name}, or pass a Series")
        place = np.flatnonzero(own)
        values, n_other, n_unscored = data[values].iloc[place], int((~own).sum()), 0
    treats = arms.code[place] == code
    for label, n in ((arms.labels[code], treats.sum()), (arms.labels[0], (~treats).sum())):
        if n == 0:
            raise fail(f"no row of arm {label!r} has a {name}", "pass rows of both arms")
    return Trial(
        data.iloc[place], treats, values, arms.labels[code], arms.labels[0], n_other, n_unscored
    )


def check_unique(frame: Any, name: str) -> None:
    """Raise unless each row of a frame or Series has its own index value."""
    if not frame.index.is_unique:
        twice = frame.index[frame.index.duplicated()][0]
        raise fail(f"{name} has several rows of index {twice!r}", "give each row its own")
