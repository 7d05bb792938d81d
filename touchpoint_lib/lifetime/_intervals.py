"""Intervals of predictions: spread-out draws of parameters, and quantiles over them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from touchpoint_lib._checks import FloatArray

#: Parameter draws behind an interval.
N_DRAWS = 512
#: Values held at once while an interval is computed.
_BLOCK = 20_000_000

#: What a prediction over given draws is: times may be infinite in some, so they have a median.
Centre = Literal["mean", "median"]


def low_discrepancy(n: int, dimensions: int) -> FloatArray:
    """Return ``n`` evenly spread points in the open unit cube.

    The additive recurrence of the generalised golden ratio g, the root of
    g^(d+1) = g + 1 (Roberts 2018).
    """
    ratio = 2.0
    for _ in range(64):
        ratio = (1.0 + ratio) ** (1.0 / (dimensions + 1))
    steps = ratio ** -np.arange(1.0, dimensions + 1)
    return (0.5 + np.outer(np.arange(1.0, n + 1), steps)) % 1.0


def over_draws(
    evaluate: Callable[[FloatArray, slice], FloatArray],
    draws: FloatArray,
    n_rows: int,
    level: float | None,
    centre: Centre | None,
) -> dict[str, FloatArray]:
    """Return the centre and the bounds over ``draws`` of a prediction, in blocks of rows.

    ``evaluate(params, block)`` predicts for the rows in ``block``; without a ``level`` there are
    no bounds, without a ``centre`` no estimate.
    """
    tail = 0.0 if level is None else (1 - level) / 2
    last = len(draws) - 1
    # Order statistics, not interpolated: predictions may be infinite.
    at = (
        {}
        if level is None
        else {"lower": int(np.floor(tail * last)), "upper": int(np.ceil((1 - tail) * last))}
    )
    if centre == "median":
        at = {"estimate": last // 2} | at
    found = {name: np.empty(n_rows) for name in (["estimate"] if centre else []) + list(at)}
    size = max(1, _BLOCK // len(draws))
    for start in range(0, n_rows, size):
        block = slice(start, min(start + size, n_rows))
        values = np.stack([evaluate(params, block) for params in draws])
        if centre == "mean":
            found["estimate"][block] = values.mean(axis=0)
        if at:
            values.sort(axis=0)
            for name, position in at.items():
                found[name][block] = values[position]
    return found
