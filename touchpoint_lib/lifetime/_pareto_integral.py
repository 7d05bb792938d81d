"""The integrals of the Pareto/NBD model, by quadrature that is exact to rounding everywhere.

Every quantity of the model is an integral of a product of two powers over time. In the logarithm
of the distance to the nearer singularity the integrand is log-concave and smooth, so that
Gauss-Legendre nodes between its peak and where exp(-40) is left of it give it to rounding, with
fewer operations than the textbook 2F1: all terms are positive, nothing overflows, and the interval
may be as short as one likes. The tests hold it against mpmath, quadrature and 2F1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import factorial
from typing import Any

import numpy as np
from scipy.special import roots_legendre

from touchpoint_lib._checks import FloatArray, IntArray
from touchpoint_lib.lifetime._rows import Rows

#: What is left of an integrand where it is cut off: exp(-40) is 4e-18.
_CUT = 40.0
#: Rows times nodes that stay in the processor's cache.
_CELLS = 65_536
#: More nodes than any integral needs.
_MAX_NODES = 256

#: Values at points of shape (rows,) or (rows, nodes), given the columns of those rows.
Curve = Callable[..., Any]


@lru_cache(maxsize=128)
def rule(n: int) -> tuple[FloatArray, FloatArray]:
    """Return ``n`` nodes and weights of Gauss-Legendre on [0, 1]."""
    nodes, weights = roots_legendre(n)
    return (nodes + 1) / 2, weights / 2


@dataclass(frozen=True)
class Panel:
    """Rows that share a rule: their positions, nodes, and weights that sum to the integral.

    The integral is exp(``top``) times the sum of ``mass`` over the nodes.
    """

    at: IntArray
    nodes: FloatArray
    mass: FloatArray
    top: FloatArray


def panels(
    curve: Curve, slope: Curve, columns: tuple[FloatArray, ...], start: FloatArray, end: FloatArray
) -> Iterator[Panel]:
    """Integrate exp(``curve``) from ``start`` to ``end``, for a concave curve.

    The curve has its peak at ``start``, or rises to it at a slope of one at most; ``end`` may lie
    on either side. ``slope`` is its derivative.
    """
    top = curve(start, *columns)
    end = cut(curve, slope, columns, top, end)
    length = end - start
    drop = np.abs(top - curve(end, *columns)) + np.maximum(slope(start, *columns) * length, 0.0)
    # Calibrated: the strip of analyticity limits long intervals, the exponential the deep ones.
    n = np.minimum(5.0 + 2.6 * np.sqrt(drop) + 1.6 * np.abs(length), _MAX_NODES)
    n = (4 * np.ceil(n / 4)).astype(np.int64)
    order = np.argsort(n, kind="stable")
    sizes, firsts = np.unique(n[order], return_index=True)
    for size, first, last in zip(sizes, firsts, np.append(firsts, len(n))[1:], strict=True):
        nodes, weights = rule(int(size))
        step = max(1, _CELLS // int(size))
        for i in range(first, last, step):
            at = order[i : min(i + step, last)]
            points = start[at, None] + length[at, None] * nodes
            mass = curve(points, *(column[at, None] for column in columns))
            mass -= top[at, None]
            np.exp(mass, out=mass)
            mass *= weights
            mass *= np.abs(length[at, None])
            yield Panel(at, points, mass, top[at])


def cut(
    curve: Curve,
    slope: Curve,
    columns: tuple[FloatArray, ...],
    top: FloatArray,
    end: FloatArray,
) -> FloatArray:
    """Move ``end`` towards the peak to where the curve is _CUT below ``top``.

    Newton's method on a concave curve stays beyond the root, so it may stop at any step.
    """
    end = end.copy()
    low = top - curve(end, *columns) - _CUT
    at = np.flatnonzero(low > 1)
    while at.size:
        own = tuple(column[at] for column in columns)
        end[at] += low[at] / slope(end[at], *own)
        low[at] = top[at] - curve(end[at], *own) - _CUT
        at = at[low[at] > 1]
    return end


def log_sum(panel_sets: Iterator[Panel], n: int) -> FloatArray:
    """Return the logarithms of ``n`` integrals."""
    total = np.empty(n)
    with np.errstate(divide="ignore"):  # an empty interval
        for panel in panel_sets:
            total[panel.at] = np.log(panel.mass.sum(axis=1)) + panel.top
    return total


# -- two powers of time ----------------------------------------------------------------------


def _powers(w: Any, p: Any, q: Any, ratio: Any) -> Any:
    return -(p * w + q * np.log1p(ratio * np.expm1(w)))


def _powers_slope(w: Any, p: Any, q: Any, ratio: Any) -> Any:
    # The share is 1 where the exponential overflows.
    grown = ratio * np.exp(np.minimum(w, 700.0))
    return -(p + q * (grown / (1 - ratio + grown)))


@dataclass(frozen=True)
class TwoPowers:
    """The integral over v in [0, tau] of (1 + v/a)^-e (1 + v/b)^-f, one a row.

    In w = ln(1 + v/m), m the smaller of a and b, it is m times the integral of
    exp(-p w - q ln(1 + m/M (e^w - 1))): log-concave, and smooth within pi of the real axis.
    """

    nearest: FloatArray
    columns: tuple[FloatArray, FloatArray, FloatArray]
    end: FloatArray
    log_tail: FloatArray

    @classmethod
    def of(cls, a: FloatArray, e: FloatArray, b: FloatArray, f: Any, tau: FloatArray) -> TwoPowers:
        """Return the integral with these columns; ``tau`` may be infinite."""
        f = np.broadcast_to(f, a.shape)
        first = a <= b
        nearest, farther = np.where(first, a, b), np.where(first, b, a)
        p, q = np.where(first, e, f) - 1, np.where(first, f, e)
        ratio = nearest / farther
        with np.errstate(over="ignore"):
            end = np.log1p(tau / nearest)
        # From here on both powers are one power of e^w, whose integral is known.
        last = np.log(np.maximum(1 / ratio - 1, 1)) + _CUT
        log_tail = np.full(len(end), -np.inf)
        far = end > last
        if far.any():
            fall = e[far] + f[far] - 1
            at, beyond = last[far], end[far] - last[far]
            log_tail[far] = _powers(at, p[far], q[far], ratio[far]) + np.log(
                -np.expm1(-fall * beyond) / fall
            )
            end = np.minimum(end, last)
        return cls(nearest, (p, q, ratio), end, log_tail)

    def panels(self) -> Iterator[Panel]:
        """Yield nodes in w and their weights."""
        return panels(_powers, _powers_slope, self.columns, np.zeros(len(self.end)), self.end)

    def log(self) -> FloatArray:
        """Return the logarithm of the integral; -inf where ``tau`` is 0."""
        return np.log(self.nearest) + np.logaddexp(
            log_sum(self.panels(), len(self.end)), self.log_tail
        )


# -- discounted time, and the number of purchases --------------------------------------------


def _flow(y: Any, s: Any, pull: Any) -> Any:
    return (1 - s) * y - pull * np.expm1(y)


def _flow_slope(y: Any, s: Any, pull: Any) -> Any:
    return (1 - s) - pull * np.exp(y)


def discount_integral(s: Any, pull: FloatArray, horizon: FloatArray | None) -> FloatArray:
    """Return ln of the integral over v in [0, horizon] of exp(-pull v) (1 + v)^-s; None: no end.

    In y = ln(1 + v) it is log-concave.
    """
    # Where there is no end, exp(-150) is less than exp(-40) of the peak for any s.
    with np.errstate(over="ignore"):
        end = np.log1p(150.0 / pull)
    if horizon is not None:
        end = np.minimum(end, np.log1p(horizon))
    columns = (np.broadcast_to(np.asarray(s, dtype=np.float64), pull.shape), pull)
    return log_sum(panels(_flow, _flow_slope, columns, np.zeros(len(pull)), end), len(pull))


def _count(y: Any, n: Any, c: Any, s: Any, ratio: Any) -> Any:
    grown = np.exp(y)
    return (n + 1) * y - (c + n) * np.log1p(grown) - (s + 1) * np.log1p(ratio * grown)


def _count_slope(y: Any, n: Any, c: Any, s: Any, ratio: Any) -> Any:
    grown = np.exp(y)
    aged = ratio * grown
    return (n + 1) - (c + n) * (grown / (1 + grown)) - (s + 1) * (aged / (1 + aged))


def count_integral(
    n: int, c: FloatArray, s: Any, ratio: FloatArray, horizon: FloatArray
) -> FloatArray:
    """Return ln of ratio times the integral over [0, horizon] of
    v^n (1 + v)^-(c + n) (1 + ratio v)^-(s + 1).

    In y = ln v it is log-concave with its peak at the root of a quadratic: one integral on either
    side of it.
    """
    shape = c.shape
    s = np.broadcast_to(np.asarray(s, dtype=np.float64), shape)
    columns = (np.full(shape, float(n)), c, s, ratio)
    far = 1 / ratio
    middle = (n + 1) * (1 + far) - (c + n) * far - (s + 1)
    root = np.sqrt(middle**2 + 4 * (c + s) * (n + 1) * far)
    up = middle > 0
    peak = np.where(up, (middle + root) / (2 * (c + s)), 1.0)
    peak = np.where(up, peak, 2 * (n + 1) * far / np.where(up, 1.0, root - middle))
    end = np.log(horizon)
    start = np.minimum(np.log(peak), end)
    sides = (end, np.minimum(start, 0.0) - 45.0)
    parts = [log_sum(panels(_count, _count_slope, columns, start, side), len(c)) for side in sides]
    return np.log(ratio) + np.logaddexp(*parts)


# -- the grid of days ------------------------------------------------------------------------

#: Tables of fewer cells a row than this cost less than quadrature by row; and their largest size.
_TABLE, _LARGEST = 20, 2_000_000
#: Rows whose arrays stay in the cache.
_CACHED = 16_384
#: Frequencies beyond this go by row.
_OFTEN = 100_000
#: Powers of e that a table may span.
_SPAN = 600.0


@dataclass(frozen=True)
class Sums:
    """Two flat tables whose cells at t_x and at T add up to a sum between the two."""

    start: FloatArray
    end: FloatArray

    def over(self, start: IntArray, end: IntArray) -> FloatArray:
        """Return the sum between the cells ``start`` and ``end``."""
        total = self.end.take(end)
        total += self.start.take(start)
        return total


@dataclass(frozen=True)
class DayGrid:
    """Rows whose times are whole days, as places in tables with a line an x and a column a day.

    The integral from day i to day j is the difference of two cells of a table of sums from the
    last day backwards: it is never less exact than the likelihood, whose other branch is larger
    than all that lies behind T.
    """

    k: FloatArray
    #: First day of each x.
    first: IntArray
    #: Of each row: the line of its x, and the places of (x, t_x) and (x, T) in a flat table of
    #: days + 1 columns.
    line: IntArray
    start: IntArray
    end: IntArray
    days: int
    step: float

    @classmethod
    def of(cls, rows: Rows) -> DayGrid | None:
        """Return the grid; None off the grid, or where tables would be dearer than the rows."""
        n, days, limit = len(rows.T), rows.days, min(_TABLE * len(rows.T), _LARGEST)
        if days is None or not 0 < days.last <= limit or rows.frequency.max() > _OFTEN:
            return None
        seen = np.zeros(int(rows.frequency.max()) + 1, dtype=bool)
        # In blocks that stay in the cache: many passes over a million rows do not.
        blocks = [slice(i, i + _CACHED) for i in range(0, n, _CACHED)]
        for block in blocks:
            seen[rows.frequency[block].astype(np.int64)] = True
        k, columns = np.flatnonzero(seen), days.last + 1
        if len(k) * days.last > limit:
            return None
        place = np.cumsum(seen) - 1
        line, start, end = (np.empty(n, dtype=np.int64) for _ in range(3))
        taken = np.zeros(len(k) * columns, dtype=bool)
        for block in blocks:
            line[block] = place.take(rows.frequency[block].astype(np.int64))
            first = line[block] * columns
            np.add(first, days.recency[block], out=start[block])
            np.add(first, days.T[block], out=end[block])
            taken[start[block]] = True
        first = taken.reshape(len(k), columns).argmax(axis=1)
        return cls(k.astype(np.float64), first, line, start, end, days.last, 1 / days.per_unit)

    def nodes_needed(self, params: FloatArray, error: float = 1e-11) -> IntArray:
        """Return how many nodes a day serve each row of parameters.

        ``error`` is the relative error of the integral over a day. 0 where a day is too long
        beside alpha or beta, or the powers would overflow. It is that of Gauss-Legendre: its
        constant times a bound of the derivative of order 2n.
        """
        r, alpha, s, beta = params.T[:, :, None]
        c, first = r + self.k, self.first * self.step
        bought, aged, end = alpha + first, beta + first, self.days * self.step
        span = c * np.log((alpha + end) / bought) + (s + 1) * np.log((beta + end) / aged)
        needed = np.zeros(len(params), dtype=np.int64)
        fits = (span < _SPAN).all(axis=1)
        for n in (3, 4, 6, 8, 12):
            order = n - 0.5
            rate = self.step * ((c + order) / bought + (s + 1 + order) / aged).max(axis=1)
            constant = factorial(n) ** 4 / ((2 * n + 1) * factorial(2 * n) ** 3)
            enough = fits & (needed == 0) & (constant * rate ** (2 * n) < error)
            needed[enough] = n
        return needed

    @cached_property
    def rows_of_lines(self) -> list[IntArray]:
        """Return the rows of each line."""
        order = np.argsort(self.line, kind="stable")
        return np.split(order, np.cumsum(np.bincount(self.line))[:-1])

    def points(self, n: int) -> FloatArray:
        """Return the times of the nodes, shape (n, days)."""
        return (np.arange(self.days) + rule(n)[0][:, None]) * self.step

    def ends(self) -> FloatArray:
        """Return the times at which days begin and end, shape (days + 1,)."""
        return np.asarray(np.arange(self.days + 1) * self.step, dtype=np.float64)

    def sums(self, inside: FloatArray, at_end: FloatArray) -> Sums:
        """Return tables of the sum of ``inside`` from any day to any other, ``at_end`` added there.

        Shapes (x, days) and (x, days + 1).
        """
        behind = np.zeros(at_end.shape)
        np.cumsum(inside[:, ::-1], axis=1, out=behind[:, -2::-1])
        return Sums(behind.ravel(), (at_end - behind).ravel())

    def densities(self, params: FloatArray, n: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return s (alpha + u)^-c (beta + u)^-(s + 1) du at the nodes, shape (x, n, days), and the
        branch alive on each day, (x, days + 1); both without the factor whose log comes third.
        """
        r, alpha, s, beta = params
        c, u, day = r + self.k, self.points(n), self.ends()
        log_a, log_b = np.log(alpha + day), np.log(beta + day)
        reference = c * log_a[-1] + (s + 1) * log_b[-1]
        weight = np.log(s * self.step * rule(n)[1])[:, None] - (s + 1) * np.log(beta + u)
        inside = -np.multiply.outer(c, np.log(alpha + u)) + weight
        inside += reference[:, None, None]
        alive = reference[:, None] - np.multiply.outer(c, log_a) - s * log_b
        # Days before any row begins may overflow: nobody looks there.
        for table in (inside, alive):
            np.minimum(table, _SPAN + 50, out=table)
            np.exp(table, out=table)
        return inside, alive, reference
