"""A start for fits to very many distinct rows: the same fit to the centroids of weekly cells.

Rows of one frequency, whose recency and T fall into the same weeks, hardly differ: their centroid
stands for all of them. What is lost is the spread within a cell, a few thousandths of an estimate.
From there one evaluation on the rows themselves leads next to their optimum, and Newton's method
on the rows has the last word. Purchases are never merged by week, which would move the estimates.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from touchpoint_lib._checks import FloatArray
from touchpoint_lib.lifetime._newton import Objective, Optimum, minimise
from touchpoint_lib.lifetime._rows import Rows, tally

#: Fewer rows are fitted as fast as they are binned.
_MANY = 100_000
#: Rows a cell, on average, that pay for the binning and for steps that tables make dear for both.
_FULL = 5
#: Length of a cell in days.
_DAYS = 7
#: Rows whose arrays stay in the processor's cache.
_CACHED = 32_768
#: Cells a row of the table that the rows are counted into, at most.
_TABLE = 4
#: Gradient per customer that is small beside what the centroids are off by.
_ROUGHLY = 1e-5
#: The farthest that the rows may lie from their centroids in a log parameter.
_NEAR = 0.5


class Likelihood(Protocol):
    """What a fit minimises over rows, and where it starts."""

    def derivatives(self, theta: FloatArray) -> tuple[float, FloatArray, FloatArray]: ...

    def start(self) -> FloatArray: ...


def centroids(rows: Rows) -> Rows | None:
    """Return the centroids of weekly cells, on whole days; None where they would save nothing."""
    days, n = rows.days, len(rows.T)
    if n < _MANY or days is None:
        return None
    week, weeks = np.arange(days.last + 1) // _DAYS, days.last // _DAYS + 1
    # Rows come sorted: a line holds those of one x whose recency is in one week, side by side.
    # Of rows that are not sorted there are more lines, too many.
    bought = week.take(days.recency)
    new = bought[1:] != bought[:-1]
    new[rows.runs[1:] - 1] = True
    lines = np.concatenate([[0], np.flatnonzero(new) + 1])
    size = len(lines) * weeks
    if size > _TABLE * n:
        return None
    cell = np.repeat(np.arange(len(lines)) * weeks, np.diff(lines, append=n))
    cell += week.take(days.T)
    # Counting the cells costs little beside summing in them.
    seen = np.zeros(size, dtype=bool)
    seen[cell] = True
    if _FULL * np.count_nonzero(seen) > n:
        return None
    count, recency, age = totals = np.zeros((3, size))
    # In blocks that stay in the cache, as do the cells that sorted rows of a block fall into.
    for start in range(0, n, _CACHED):
        block = slice(start, start + _CACHED)
        first = int(cell[block].min())
        place, weight = cell[block] - first, rows.count[block]
        for total, part in zip(
            totals, (weight, weight * days.recency[block], weight * days.T[block]), strict=True
        ):
            there = tally(place, part)
            total[first : first + len(there)] += there
    filled = np.flatnonzero(count)
    # Look-ups need whole days. Both sums are taken in one order, so that recency never exceeds T.
    recency, age = (
        np.rint(part[filled] / count[filled]) / days.per_unit for part in (recency, age)
    )
    return Rows(rows.frequency[lines][filled // weeks], recency, age, count[filled])


def minimise_rows(
    exact: Likelihood, rough: Likelihood | None, start: FloatArray | None = None
) -> Optimum:
    """Minimise ``exact``, by way of ``rough``, the same over centroids, where there are any.

    ``start`` is where to begin, without it where the likelihood says. Whatever goes wrong over the
    centroids, the fit to the rows then begins there too.
    """
    if rough is not None:
        near = minimise(rough.derivatives, rough.start() if start is None else start, _ROUGHLY)
        begin = _beside(exact.derivatives, rough.derivatives, near)
        if begin is not None:
            optimum = minimise(exact.derivatives, begin)
            if optimum.flat and optimum.curved:
                return optimum
    return minimise(exact.derivatives, exact.start() if start is None else start)


def _beside(exact: Objective, rough: Objective, near: Optimum) -> FloatArray | None:
    """Return a point beside the optimum of ``exact``, from the optimum of a ``rough`` likeness.

    What the two differ by, to second order around that optimum, is added to the rough one: a step
    that is right to the product of its square and of what their third derivatives differ by, where
    Newton's would be right to its square.
    """
    if np.abs(near.gradient).max() > _ROUGHLY or not near.curved:
        return None
    with np.errstate(all="ignore"):
        value, gradient, hessian = exact(near.theta)
    value, gradient, hessian = value - near.value, gradient - near.gradient, hessian - near.hessian

    def corrected(theta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        step = theta - near.theta
        known = near.value, near.gradient, near.hessian
        own_value, own_gradient, own_hessian = rough(theta) if step.any() else known
        bend = hessian @ step
        return (
            own_value + value + float(gradient @ step + step @ bend / 2),
            own_gradient + gradient + bend,
            own_hessian + hessian,
        )

    beside = minimise(corrected, near.theta)
    close = np.abs(beside.theta - near.theta).max() < _NEAR
    return beside.theta if beside.flat and close else None
