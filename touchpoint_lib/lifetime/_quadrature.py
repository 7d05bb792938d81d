"""Quadrature over the drop-out probability, and over discounted time.

Given that a customer is alive after x repeat purchases, the drop-out probability p is
Beta(a, b + x + m) and the purchase rate is Gamma(r + x, alpha + T), independently (m is 0 for
BG/NBD, 1 for MBG/NBD). Every expectation over the future is then one integral over p of a
function that is smooth on [0, 1], and Gauss-Jacobi nodes give it to rounding with a few dozen
terms, all positive: no 2F1, no series, no pole at a = 1. Where the nodes would be too many, or
every customer has a Beta distribution of its own, Gauss-Legendre on the logit of p takes over.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh_tridiagonal
from scipy.special import betainc, betaln, roots_legendre

from touchpoint_lib._checks import FloatArray, IntArray

#: A function of p and ln(1 - p), of shape (1 or rows, nodes), and of the numbers of the rows.
Integrand = Callable[[FloatArray, FloatArray, IntArray], FloatArray]

#: More shared nodes than this cost more than a rule a row.
_MAX_NODES = 400
#: Length of ln(1 + p t / age) from which on 32 nodes do not do.
_LONG = 12.0
#: Distinct a up to which the rows of each share rules.
_PATTERNS = 64
#: Rows that share a rule: up to this multiple of the lowest b' above it.
_SHARED_RULE = 3.0
#: Cells of rows by nodes evaluated at once.
_BLOCK = 2_000_000
#: Nodes of the rule a row, left and right of the peak.
_HALF = 192
#: Means below this share of the largest value are left to the rule a row.
_TINY = 1e-6
#: Below e^-60 of its peak an integrand adds nothing.
_NOTHING = 60.0


@lru_cache(maxsize=32)
def legendre(n: int) -> tuple[FloatArray, FloatArray]:
    """Return ``n`` Gauss-Legendre nodes and weights on [0, 1]."""
    nodes, weights = roots_legendre(n)
    return (nodes + 1) / 2, weights / 2


def nodes_needed(stretch: float, exponent: float, steep: float, beta: float) -> int:
    """Return how many nodes integrate (1 + p * stretch)^-exponent over Beta(., beta) to rounding.

    The nearest singularity lies at p = -1/stretch, so the error falls like
    exp(-4 n / sqrt(stretch)); and as the integrand falls like exp(-p * steep), while the weight
    falls like exp(-p * beta), Chebyshev's or Laguerre's rate limits it too. The factors are
    calibrated against mpmath in the tests.
    """
    n = (8.0 + 8.0 * math.sqrt(stretch)) * (1.0 + 0.4 * math.log1p(exponent))
    n = max(n, 12.0 + min(3.0 * math.sqrt(steep), 9.0 * steep / beta))
    return 8 * math.ceil(n / 8.0) + 8


def beta_rule(a: float, b: float, n: int) -> tuple[FloatArray, FloatArray]:
    """Return ``n`` nodes and weights for the expectation over Beta(a, b).

    Golub & Welsch (1969): eigenvalues of the Jacobi matrix, here of the Jacobi polynomials
    shifted to [0, 1]; the weights are the squared first components and sum to one.
    """
    alpha, beta = b - 1.0, a - 1.0
    k = np.arange(1.0, n)
    total = 2.0 * k + alpha + beta
    diagonal = np.empty(n)
    diagonal[0] = (beta - alpha) / (alpha + beta + 2.0)
    diagonal[1:] = (beta - alpha) * (beta + alpha) / (total * (total + 2.0))
    off = 4.0 * k * (k + alpha) * (k + beta) / (total**2 * (total + 1.0))
    # The factor (k + alpha + beta) / (total - 1) is 1 at k = 1, and 0/0 there if alpha + beta = -1.
    off[1:] *= (k[1:] + alpha + beta) / (total[1:] - 1.0)
    values, vectors = eigh_tridiagonal(diagonal, np.sqrt(off))
    # Rounding may put the outermost nodes on the ends, where integrands divide by p.
    return np.clip((1.0 + values) / 2.0, 1e-300, 1.0), vectors[0] ** 2


def dropout_mean(
    a: Any,
    beta: FloatArray,
    stretch: FloatArray,
    exponent: FloatArray,
    steep: FloatArray,
    integrand: Integrand,
    log_size: Integrand,
    lead: tuple[int, ...] = (),
    reach: float | FloatArray = 0.0,
) -> FloatArray:
    """Return for every row the mean of ``integrand`` over p ~ Beta(a, beta).

    One rule serves all rows of one a whose beta are within a factor of each other, reweighted by
    (1 - p)^(beta - lowest beta).

    Parameters
    ----------
    a : float or array (n,)
    beta : array (n,)
    stretch, exponent : array (n,)
        The integrand is about as smooth as (1 + p stretch)^-exponent.
    steep : array (n,)
        And at p = 0 it falls about as exp(-p steep).
    integrand : callable
        Of p, ln(1 - p) and the rows asked for; returns ``lead`` + (rows, nodes).
    log_size : callable
        The logarithm of the integrand, roughly, in the same arguments: where its peak is.
    lead : tuple of int
        Leading shape of what the integrand returns.
    reach : float or array (n,)
        The integrand is constant in 1 - p where that is far below e^-reach.

    Returns
    -------
    array, ``lead`` + (n,)
    """
    values = np.empty((*lead, len(beta)))
    order = np.argsort(beta, kind="stable")
    # What no shared rule can do is left to the rule a row.
    left = np.ones(len(beta), dtype=bool)
    patterns = np.unique(a)
    for pattern in patterns if len(patterns) <= _PATTERNS else []:
        todo = order[np.broadcast_to(np.equal(a, pattern), beta.shape)[order]]
        while todo.size:
            low = float(beta[todo[0]])
            end = np.searchsorted(beta[todo], low + _SHARED_RULE * low, side="right")
            at, todo = todo[:end], todo[end:]
            extra = beta[at] - low
            spread = max(float(stretch[at].max()), float(extra[-1]) / low)
            fall = float(steep[at].max())
            n = nodes_needed(spread, float(exponent[at].max()), fall, low)
            if n > _MAX_NODES:
                continue
            p, weights = beta_rule(float(pattern), low, n)
            log_stay = np.log1p(-p)
            shift = betaln(pattern, beta[at]) - betaln(pattern, low)
            for part, more, less in _blocks(n * math.prod(lead), at, extra, shift):
                density = np.exp(more[:, None] * log_stay - less[:, None])
                cells = integrand(p[None], log_stay[None], part)
                mean = (cells * density) @ weights
                values[..., part] = mean
                # Of an integral far below its largest value the weights have lost digits.
                tiny = mean < _TINY * cells[..., 0]
                left[part] = tiny.any(axis=tuple(range(len(lead))))
    rest = np.flatnonzero(left)
    if rest.size:
        a = np.broadcast_to(np.asarray(a, dtype=np.float64), beta.shape)
        ends = np.stack(
            [
                -37 - np.log(1 + beta + steep),
                37 + np.log1p(a + exponent) + np.broadcast_to(reach, beta.shape),
            ]
        )
        for (part,) in _blocks(2 * _HALF * math.prod(lead), rest):
            p, log_stay, weights = _rule_a_row(a[part], beta[part], ends[:, part], log_size, part)
            values[..., part] = (integrand(p, log_stay, part) * weights).sum(axis=-1)
    return values


def _blocks(nodes: int, *columns: Any) -> list[tuple[Any, ...]]:
    """Return the columns in blocks: rows times nodes may be many."""
    step = max(1, _BLOCK // nodes)
    return [
        tuple(column[i : i + step] for column in columns) for i in range(0, len(columns[0]), step)
    ]


def _rule_a_row(
    a: FloatArray, beta: FloatArray, ends: FloatArray, log_size: Integrand, at: IntArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return p, ln(1 - p) and weights, (rows, nodes) each, of a rule for every row.

    Gauss-Legendre on s = logit p, left and right of the integrand's peak, as far as it is more
    than nothing. Where that is up to ``ends``, beyond which the integrand is constant, the Beta
    distribution has a share of its own there.
    """

    def height(s: FloatArray) -> FloatArray:
        log_p, log_stay = -np.logaddexp(0, -s), -np.logaddexp(0, s)
        size = log_size(np.exp(log_p)[:, None], log_stay[:, None], at)[:, 0]
        return a * log_p + beta * log_stay + size

    peak = highest(height, ends[0], ends[1])
    floor = height(peak) - _NOTHING
    left = boundary(lambda s: height(s) < floor, ends[0], peak)
    right = boundary(lambda s: height(s) < floor, ends[1], peak)
    nodes, weights = legendre(_HALF)
    centre, down, up = peak[:, None], (peak - left)[:, None], (right - peak)[:, None]
    s = np.concatenate(
        [left[:, None], centre - down * nodes, centre + up * nodes, right[:, None]], axis=1
    )
    log_p, log_stay = -np.logaddexp(0, -s), -np.logaddexp(0, s)
    # In s the density is p^a (1 - p)^beta / B(a, beta).
    log_density = a[:, None] * log_p + beta[:, None] * log_stay - betaln(a, beta)[:, None]
    w = np.exp(log_density)
    w[:, 1:-1] *= np.concatenate([down * weights, up * weights], axis=1)
    w[:, 0] = np.where(left > ends[0], 0, betainc(a, beta, np.exp(log_p[:, 0])))
    w[:, -1] = np.where(right < ends[1], 0, betainc(beta, a, np.exp(log_stay[:, -1])))
    return np.exp(log_p), log_stay, w


def highest(
    function: Callable[[FloatArray], FloatArray], low: FloatArray, high: FloatArray
) -> FloatArray:
    """Return where a function with one peak is highest, between ``low`` and ``high``."""
    golden = (math.sqrt(5) - 1) / 2
    left, right = high - golden * (high - low), low + golden * (high - low)
    at_left, at_right = function(left), function(right)
    for _ in range(36):
        rises = at_left < at_right
        low, high = np.where(rises, left, low), np.where(rises, high, right)
        new = np.where(rises, low + golden * (high - low), high - golden * (high - low))
        at_new = function(new)
        left, right = np.where(rises, right, new), np.where(rises, new, left)
        at_left, at_right = np.where(rises, at_right, at_new), np.where(rises, at_new, at_left)
    return (low + high) / 2


def boundary(
    outside: Callable[[FloatArray], npt.NDArray[np.bool_]], far: FloatArray, near: FloatArray
) -> FloatArray:
    """Return where ``outside`` begins between ``near`` and ``far``; ``far`` where it never does."""
    beyond = outside(far)
    there, here = far, near
    for _ in range(24):
        middle = (there + here) / 2
        out = outside(middle)
        there, here = np.where(out, middle, there), np.where(out, here, middle)
    return np.where(beyond, there, far)


def discounted_flow(
    p: FloatArray, c: FloatArray, age: FloatArray, rate: float, horizon: float | None
) -> FloatArray:
    """Return the integral over [0, horizon] of exp(-rate t) (c / age) (1 + p t / age)^-(c + 1).

    With s = ln(1 + p t / age) the integrand is an entire function that falls from its start, so
    Gauss-Legendre nodes up to where exp(-40) is left of it are enough. ``horizon`` None is
    infinity, and needs ``rate`` > 0.
    """
    pull = rate * age / p
    end = 40.0 / (c + pull)
    with np.errstate(divide="ignore"):
        end = np.minimum(end, np.log1p(40.0 / pull))
    if horizon is not None:
        end = np.minimum(end, np.log1p(p * horizon / age))
    total = np.zeros(end.shape)
    # A long way that ends in a steep fall needs more.
    for node, weight in zip(*legendre(32 if end.max() < _LONG else 128), strict=True):
        s = end * node
        total += weight * np.exp(-c * s - pull * np.expm1(s))
    return total * end * (c / p)
