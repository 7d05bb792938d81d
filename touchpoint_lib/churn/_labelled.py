"""A labelled frame checked: indicators, the outcome, whose rows they are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib._checks import BoolArray, IntArray, check_columns, fail
from touchpoint_lib.churn._boosting import SMALLEST_LEAF
from touchpoint_lib.churn._frames import by_outcome, index_levels
from touchpoint_lib.metrics._shared import flags, index_of

#: Customers with each outcome that there must be.
_FEWEST = 20


def check_label(what: str, label: Any, remedy: str) -> None:
    """Raise unless ``label`` can name a column or a group: lists, dicts and arrays cannot."""
    if not pd.api.types.is_hashable(label):
        raise fail(f"{what} {label!r}, a {type(label).__name__}", remedy)


def labels_of(columns: Any) -> list[Any]:
    """Return one label or several, each once, as a list; raise where there is none."""
    several = isinstance(columns, Iterable) and not isinstance(columns, str | tuple)
    names = list(columns) if several else [columns]
    if not names:
        raise fail("columns is empty", "name at least one column")
    for name in names:
        check_label("columns has", name, "name columns by their labels, such as text")
    return list(dict.fromkeys(names))


def split_outcome(frame: Any, outcome: Any) -> tuple[pd.DataFrame, BoolArray]:
    """Return the indicators, and the outcome as booleans."""
    check_columns(frame, (), "frame")
    if frame.columns.nlevels > 1:
        raise fail(
            f"the columns of frame have {frame.columns.nlevels} levels", "use one name a column"
        )
    if frame.columns.has_duplicates:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise fail(f"frame has several columns {twice!r}", "keep one of them")
    name = "outcome"
    if isinstance(outcome, str):
        name = outcome
        if name not in frame.columns:
            raise fail(
                f"frame has no column {name!r}", "name the column of the outcome, or pass its array"
            )
        outcome, frame = frame[name], frame.drop(columns=name)
    if frame.shape[1] == 0:
        raise fail("frame has no column but the outcome", "pass at least one indicator")
    truth = flags(name, outcome)
    if len(truth) != len(frame):
        raise fail(f"{name} has {len(truth)} values, frame {len(frame)} rows", "pass one each")
    index = index_of(outcome)
    if index is not None and not index.equals(frame.index):
        raise fail(f"{name} and frame have different indexes", f"pass {name}.reindex(frame.index)")
    return frame, truth


def arrange(index: pd.Index[Any], customers: Any) -> tuple[IntArray, IntArray, IntArray]:
    """Return an order of the rows that does not depend on theirs, customer and cutoff in it.

    Customers are numbered from 0 and rise; cutoffs are numbered, all 0 where there is none.
    """
    labels, cutoff = index_levels(index, "frame")
    if (cutoff < 0).any():
        raise fail("the index of frame has a missing cutoff", "give every row a cutoff")
    if customers is not None:
        labels = pd.Index(np.asarray(customers))
        if len(labels) != len(index):
            raise fail(
                f"customers has {len(labels)} values, frame {len(index)} rows", "pass one each"
            )
    number = pd.factorize(labels)[0]
    if (number < 0).any():
        raise fail(
            f"{int((number < 0).sum())} rows have no customer", "give every row its customer"
        )
    by_label = pd.util.hash_pandas_object(labels, index=False).to_numpy()
    by_row = pd.util.hash_pandas_object(index, index=False).to_numpy()
    order = np.lexsort((by_row, number, by_label))
    customer = np.cumsum(np.diff(number[order], prepend=number[order[:1]]) != 0)
    return order, customer, cutoff[order]


def check_enough(truth: BoolArray, customer: IntArray) -> None:
    """Raise unless both halves of the customers can grow trees."""
    n_customers = len(np.unique(customer))
    for outcome, some in enumerate(by_outcome(truth, customer)):
        if some < _FEWEST:
            raise fail(
                f"{some} of {n_customers} customers have an outcome of {outcome}",
                f"at least {_FEWEST} must, for {_FEWEST // 2} in each half",
            )
    needed = 4 * SMALLEST_LEAF
    if n_customers < needed:
        raise fail(
            f"frame has {n_customers} customers",
            f"pass at least {needed}: trees are grown on half of them, in leaves of "
            f"{SMALLEST_LEAF} or more",
        )
