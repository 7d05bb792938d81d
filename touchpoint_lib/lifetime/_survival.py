"""The share of subscribers who stay, S(t) = B(alpha, beta + t^c) / B(alpha, beta), and its sums.

Ratios of S are formed without cancellation, for any distance of the two times: every sum below
has terms of one sign, or nearly so.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import expit

from touchpoint_lib._checks import FloatArray

#: alpha, beta and c, each a number or an array.
Shape = tuple[Any, Any, Any]
#: Coefficients c of c z^-m in the asymptotic series of ln gamma, of -psi and of psi'.
_LOG_GAMMA = ((1, 1 / 12), (3, -1 / 360), (5, 1 / 1260), (7, -1 / 1680))
_DIGAMMA = ((1, 1 / 2), (2, 1 / 12), (4, -1 / 120), (6, 1 / 252), (8, -1 / 240), (10, 1 / 132))
_TRIGAMMA = ((1, 1.0), (2, 1 / 2), (3, 1 / 6), (5, -1 / 30), (7, 1 / 42), (9, -1 / 30))
#: Arguments below this are raised by it first, by the recurrence of the gamma function.
_SHIFT = 16
#: Logarithm of t^c from which S is a power of t to all digits.
_POWER_LAW = 600.0
#: Terms summed one by one before an integral takes over: at least, and at most.
_FEWEST, _MOST = 64, 1024
#: Cells of ages by terms evaluated at once.
_BLOCK = 1_000_000


def shape_of(params: FloatArray) -> Shape:
    """Return alpha, beta and c of parameters along the last axis; c is 1 in sBG."""
    return params[..., 0], params[..., 1], params[..., 2] if params.shape[-1] == 3 else 1.0


def log_ratio(alpha: Any, b: Any, d: Any) -> FloatArray:
    """Return ln of B(alpha, b + d) / B(alpha, b) for d >= 0, to full relative accuracy."""
    total = np.zeros(np.broadcast_shapes(np.shape(alpha), np.shape(b), np.shape(d)))
    low = b
    if np.min(b, initial=_SHIFT) < _SHIFT:
        for k in range(_SHIFT):
            total += np.log1p(alpha / (b + k) * (d / (alpha + b + d + k)))
        low = b + _SHIFT
    far = low + d
    # Stirling's (z - 1/2) ln z at the four corners, regrouped so that nothing large cancels.
    total += alpha * np.log1p(d / (low + alpha)) + d * np.log1p(alpha / far)
    total -= (low - 0.5) * np.log1p(alpha / low * (d / (far + alpha)))
    total += _fall(_LOG_GAMMA, low, d) - _fall(_LOG_GAMMA, low + alpha, d)
    return -total


def digamma_gap(z: FloatArray, step: float) -> FloatArray:
    """Return psi(z + step) - psi(z)."""
    total = np.zeros(np.shape(z))
    for k in range(_SHIFT):
        total += step / (z + k) / (z + k + step)
    return total + np.log1p(step / (z + _SHIFT)) + _fall(_DIGAMMA, z + _SHIFT, step)


def trigamma_gap(z: FloatArray, step: float) -> FloatArray:
    """Return psi'(z) - psi'(z + step)."""
    total = np.zeros(np.shape(z))
    for k in range(_SHIFT):
        total += _fall(((2, 1.0),), z + k, step)
    return total + _fall(_TRIGAMMA, z + _SHIFT, step)


def _fall(series: tuple[tuple[int, float], ...], z: Any, step: Any) -> Any:
    """Return the sum of c (z^-m - (z + step)^-m) over a series of (m, c)."""
    apart = np.log1p(step / z)
    return sum(c * z ** -float(m) * -np.expm1(-m * apart) for m, c in series)


def log_survival(shape: Shape, age: Any, ahead: Any) -> FloatArray:
    """Return ln of S(age + ahead) / S(age) for age, ahead >= 0."""
    old = np.greater(age, 0)
    start = np.where(old, age, 1.0)
    apart = np.where(old, np.log1p(ahead / start), np.log(np.where(ahead > 0, ahead, 1.0)))
    return np.where(np.greater(ahead, 0), _log_survival(shape, age, apart), 0.0)


def _log_survival(shape: Shape, age: Any, apart: Any) -> FloatArray:
    """The same of ``apart``, ln((age + ahead) / age), or ln(ahead) at age 0."""
    alpha, beta, c = shape
    old = np.greater(age, 0)
    start = np.minimum(c * np.log(np.where(old, age, 1.0)), _POWER_LAW)
    rise = c * apart
    exact = np.minimum(rise, _POWER_LAW - start)
    # Up to where S is a power law the gamma functions count, from there its exponent.
    power = np.exp(start)
    b = beta + np.where(old, power, 0.0)
    d = np.where(old, power * np.expm1(exact), np.exp(exact))
    return log_ratio(alpha, b, d) - alpha * (rise - exact)


def future_sum(shape: Shape, age: FloatArray, rate: float, horizon: int | None) -> FloatArray:
    """Return the sum over i = 1, ..., horizon of exp(-rate i) S(age + i) / S(age), an age each.

    ``shape`` is three numbers. Without a horizon the sum has no end; it is infinite where the
    rate is 0 and c alpha <= 1, or where it exceeds the largest float.
    """
    alpha, beta, c = shape
    if horizon is None and rate == 0:
        if alpha * c <= 1:
            return np.full(len(age), np.inf)
        if c == 1:
            return (beta + age) / (alpha - 1)
    # S bends on the scale of t / c and falls by some c max(1, alpha) / t: smooth from n on.
    n = min(_MOST, math.ceil(_FEWEST * max(1.0, c * max(1.0, alpha))))
    size = max(1, _BLOCK // n)
    blocks = [age[i : i + size, None] for i in range(0, len(age), size)]
    return np.concatenate([_block_sum(shape, block, rate, horizon, n) for block in blocks])


def _block_sum(
    shape: Shape, age: FloatArray, rate: float, horizon: int | None, n: int
) -> FloatArray:
    """Sum ``n`` terms, and the rest by an integral corrected at its ends (Euler-Maclaurin)."""

    def terms(first: float, count: int) -> FloatArray:
        ahead = np.arange(first, first + count)
        return np.exp(log_survival(shape, age, ahead) - rate * ahead)

    if horizon is not None and horizon <= n:
        return terms(1.0, horizon).sum(axis=1)
    near = terms(1.0, n + 2)
    total = near[:, :n].sum(axis=1) + _correction(near[:, -4:])
    if horizon is not None:
        total -= _correction(terms(horizon - 1.0, 4))
    return total + _integral(shape, age, n + 0.5, rate, horizon)


def _correction(around: FloatArray) -> FloatArray:
    """Return sum minus integral at an end that lies half-way between two of four terms."""
    slope = around[:, 2] - around[:, 1]
    third = around[:, 3] - around[:, 0] - 3 * slope
    return slope / 24 - 17 / 5760 * third


def _integral(
    shape: Shape, age: FloatArray, start: float, rate: float, horizon: int | None
) -> FloatArray:
    """Integrate exp(-rate x) S(age + x) / S(age) from ``start`` to half a period past the horizon.

    Over y = ln x, by the tanh-sinh rule (Takahasi & Mori 1974), whose step follows the bends of S.
    """
    alpha, beta, c = shape
    with np.errstate(divide="ignore"):
        log_age = np.log(age)
    low = math.log(start)
    # From here on S is a power law but for one correction, which the tail below carries.
    power_law = math.log(1e6 * (1 + alpha) * (1 + alpha + beta)) / c
    high = max(low, power_law) if horizon is None else math.log(horizon + 0.5)
    if rate > 0:
        discounted = math.log(start + 60 / rate)
        high = discounted if horizon is None else min(high, discounted)
    bends = c * max(1.0, math.sqrt(alpha)) if low < power_law else 0.0
    finest = 0.45 / max(bends, 1.0 if rate > 0 else 0.0, 1e-9) / max(high - low, 1e-9)
    half = math.ceil(3.3 / min(0.05, finest))
    s = np.linspace(-3.3, 3.3, 2 * half + 1)
    x, rest = expit(np.pi * np.sinh(s)), expit(-np.pi * np.sinh(s))
    weight = (high - low) * np.pi * np.cosh(s) * x * rest * (3.3 / half)
    total = np.empty(len(age))
    y = low + (high - low) * x
    size = max(1, _BLOCK // len(y))
    for i in range(0, len(age), size):
        part, log_part = age[i : i + size], log_age[i : i + size]
        # A sum may exceed the largest float: it is infinite then.
        with np.errstate(over="ignore"):
            log_f = _log_survival(shape, part, _apart(log_part, y))
            total[i : i + size] = np.exp(log_f + y - rate * np.exp(np.minimum(y, 700.0))) @ weight
    if horizon is None and rate == 0:
        k = alpha * c
        log_t = np.logaddexp(log_age, high)[:, 0]
        log_f = _log_survival(shape, age, _apart(log_age, np.array([high])))[:, 0]
        bend = alpha * (2 * beta + alpha - 1) / 2 * np.exp(-c * log_t)
        with np.errstate(over="ignore"):
            total += np.exp(log_f + log_t) / (k - 1) * (1 + bend * c / (k + c - 1))
    return total


def _apart(log_age: FloatArray, y: FloatArray) -> FloatArray:
    """Return ln((age + x) / age) of y = ln x, and y itself at age 0."""
    old = np.isfinite(log_age)
    return np.where(old, np.logaddexp(0.0, y - np.where(old, log_age, 0.0)), y)
