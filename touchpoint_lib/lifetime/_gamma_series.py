"""Sums whose terms fall by a ratio of gamma functions: partial hypergeometric series.

The first terms are added one by one. Behind them the terms are smooth, so their sum is an
integral over ln(j) with corrections at its ends: every part is positive or tiny, and an endless
series costs no more than a long one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import roots_legendre

from touchpoint_lib._checks import FloatArray, IntArray

#: Terms of a series that are added one by one; those behind them are integrated.
HEAD = 64
#: ln of what is left where a series is cut.
_NEGLIGIBLE = 70.0
#: Where an endless series without discounting follows its power law to the last digit.
_FAR = 1e15
#: Gauss-Legendre on [0, 1], and the widest panel of ln(j) that it serves.
_NODES, _WEIGHTS = (roots_legendre(16)[0] + 1) / 2, roots_legendre(16)[1] / 2
_PANEL = 2.5
#: A sum over j < N is the integral to N - 1/2 less these multiples of the differences there, of
#: order 1, 3, 5 and 7: the Euler-Maclaurin formula in central differences.
_CENTRAL = (1 / 24, -17 / 5760, 367 / 967680, -27859 / 464486400)
#: Cells (rows by terms) held at once.
_BLOCK = 2_000_000
#: Rows whose integrals are taken at once.
_ROWS = 4096


def series(
    pairs: Sequence[tuple[Any, Any]], terms: Any, rate: float = 0.0
) -> tuple[FloatArray, FloatArray]:
    """Return the sum of f(j) over j < ``terms``, and f(``terms``).

    f(0) is 1 and f(j + 1) / f(j) = exp(-rate) times (u + j) / (u + gap + j) for every pair (u,
    gap): a falling sequence. ``terms`` may be infinite if ``rate`` > 0 or the gaps sum to more
    than 1.
    """
    terms, *flat = np.broadcast_arrays(
        np.asarray(terms, dtype=np.float64), *(value for pair in pairs for value in pair)
    )
    uppers, gaps = flat[::2], flat[1::2]
    head = int(min(terms.max(initial=0.0), HEAD))
    j = np.arange(head)
    total, last = np.empty(len(terms)), np.empty(len(terms))
    step = max(1, _BLOCK // (head + 1))
    for start in range(0, len(terms), step):
        block = slice(start, start + step)
        count = terms[block, None]
        falling = np.ones((len(count), head + 1))
        falling[:, 1:] = np.exp(-rate)
        for upper, gap in zip(uppers, gaps, strict=True):
            u = upper[block, None] + j
            falling[:, 1:] *= u / (u + gap[block, None])
        np.cumprod(falling, axis=1, out=falling)
        total[block] = np.where(j < count, falling[:, :-1], 0.0).sum(axis=1)
        at = np.minimum(count, head).astype(np.int64)
        last[block] = np.take_along_axis(falling, at, axis=1)[:, 0]
    far = np.flatnonzero(terms > HEAD)
    for start in range(0, len(far), _ROWS):
        rows = far[start : start + _ROWS]
        own_pairs = [(u[rows], gap[rows]) for u, gap in zip(uppers, gaps, strict=True)]
        beyond, there = _tail(own_pairs, terms[rows], rate)
        total[rows] += last[rows] * beyond
        last[rows] *= there
    return total, last


def _tail(
    pairs: Sequence[tuple[FloatArray, FloatArray]], terms: FloatArray, rate: float
) -> tuple[FloatArray, FloatArray]:
    """Return the sum of f(j) over HEAD <= j < ``terms`` and f(``terms``), both over f(HEAD)."""
    start = HEAD - 0.5
    endless = np.isinf(terms)
    # Where f, times j, is negligible; an endless power law is followed to its asymptote instead.
    end = np.where(endless, np.inf if rate > 0 else _FAR, terms - 0.5)
    if rate > 0:
        end = np.minimum(end, HEAD + _NEGLIGIBLE / max(rate, 1e-280))
    with np.errstate(over="ignore"):
        for upper, gap in pairs:
            end = np.minimum(end, HEAD + (upper + HEAD) * np.expm1(_NEGLIGIBLE / gap))
    # In ln(j), where f is a power that bends slowly.
    width = np.log(end / start)
    panels = int(np.ceil(width.max() / _PANEL))
    total = _correction(pairs, np.full(len(terms), float(HEAD)), rate)
    for panel in range(panels):
        y = start * np.exp((panel + _NODES) / panels * width[:, None])
        total += (_values(pairs, y, rate) * y) @ _WEIGHTS * (width / panels)
    if rate == 0:
        power = end[endless] >= _FAR
        at_end = np.flatnonzero(endless)[power]
        own = _rows_of(pairs, at_end)
        slope = sum(gap for _, gap in own) - 1.0
        total[at_end] += _FAR * _values(own, np.full((len(at_end), 1), _FAR), rate)[:, 0] / slope
    there = np.zeros(len(terms))
    finite = np.flatnonzero(~endless)
    own, number = _rows_of(pairs, finite), terms[finite]
    # Where the series was cut before its end, there is nothing left at its end.
    total[finite] -= _correction(own, number, rate)
    there[finite] = _values(own, number[:, None], rate)[:, 0]
    return total, there


def _rows_of(
    pairs: Sequence[tuple[FloatArray, FloatArray]], at: IntArray
) -> list[tuple[FloatArray, FloatArray]]:
    return [(upper[at], gap[at]) for upper, gap in pairs]


def _values(
    pairs: Sequence[tuple[FloatArray, FloatArray]], y: FloatArray, rate: float
) -> FloatArray:
    """Return f(y) / f(HEAD), a row of ``y`` for each row of the pairs."""
    logs = -rate * (y - HEAD)
    for upper, gap in pairs:
        z, gaps = upper[:, None], gap[:, None]
        logs += log_rising(z + HEAD, gaps) - log_rising(z + y, gaps)
    return np.exp(logs)


def _correction(
    pairs: Sequence[tuple[FloatArray, FloatArray]], number: FloatArray, rate: float
) -> FloatArray:
    """Return the sum of f(j) over j >= ``number`` less the integral from ``number`` - 1/2."""
    near = _values(pairs, number[:, None] + np.arange(-4.0, 4.0), rate)
    result = np.zeros(len(number))
    for order, factor in zip((1, 3, 5, 7), _CENTRAL, strict=True):
        edge = (7 - order) // 2
        result += factor * np.diff(near[:, edge : 8 - edge], order, axis=1)[:, 0]
    return result


def log_ratio(upper: FloatArray, gap: FloatArray, n: int) -> FloatArray:
    """Return ln of the product of (upper + j) / (upper + gap + j) over j < ``n``."""
    logs = np.zeros(np.broadcast(upper, gap).shape)
    for j in range(min(n, HEAD)):
        logs -= np.log1p(gap / (upper + j))
    if n > HEAD:
        logs += log_rising(upper + HEAD, gap) - log_rising(upper + n, gap)
    return logs


def log_rising(z: FloatArray, gap: FloatArray) -> FloatArray:
    """Return ln of gamma(z + gap) / gamma(z) by Stirling's series, for z of 60 or more."""
    end = z + gap
    return (
        (z - 0.5) * np.log1p(gap / z)
        + gap * (np.log(end) - 1.0)
        + (_stirling(1.0 / end) - _stirling(1.0 / z))
    )


def _stirling(inverse: FloatArray) -> FloatArray:
    square = inverse * inverse
    return inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1260)))
