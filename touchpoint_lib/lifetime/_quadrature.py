"""Quadrature over the drop-out probability, and over discounted time.

Given that a customer is alive after x repeat purchases, the drop-out probability p is
Beta(a, b + x + m) and the purchase rate is Gamma(r + x, alpha + T), independently (m is 0 for
BG/NBD, 1 for MBG/NBD). Every expectation over the future is then one integral over p of a
function that is smooth on [0, 1], and Gauss-Jacobi nodes give it to rounding with a few dozen
terms, all positive: no 2F1, no series, no pole at a = 1.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg import eigh_tridiagonal
from scipy.special import roots_legendre

from touchpoint_lib._checks import FloatArray

_MAX_NODES = 2048
#: Gauss-Legendre on [0, 1].
_NODES, _WEIGHTS = (roots_legendre(32)[0] + 1) / 2, roots_legendre(32)[1] / 2


def nodes_needed(stretch: float, exponent: float) -> int:
    """Return how many nodes integrate (1 + p * stretch)^-exponent over p to rounding.

    The nearest singularity lies at p = -1/stretch, so the error falls like
    exp(-4 n / sqrt(stretch)); the factors are calibrated against mpmath in the tests.
    """
    n = (8.0 + 8.0 * math.sqrt(stretch)) * (1.0 + 0.4 * math.log1p(exponent))
    return min(_MAX_NODES, 8 * math.ceil(n / 8.0) + 8)


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
    for node, weight in zip(_NODES, _WEIGHTS, strict=True):
        s = end * node
        total += weight * np.exp(-c * s - pull * np.expm1(s))
    return total * end * (c / p)
