"""The integrals of Pareto/NBD in mpmath, with all of its current digits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np

from touchpoint_lib.lifetime._rows import Rows

mp = mpmath.mpf


def exact_integral(curve: Callable[[Any], Any], low: Any, high: Any) -> Any:
    """Return ln of the integral of exp(curve), concave, in pieces about its peak."""
    left, right = mp(low), mp(high)
    for _ in range(40):
        third = (right - left) / 3
        if curve(left + third) < curve(right - third):
            left += third
        else:
            right -= third
    peak = (left + right) / 2
    top = curve(peak)
    marks = [peak]
    for end in (mp(low), mp(high)):
        near, far = peak, end
        if top - curve(end) > 90:
            for _ in range(20):
                middle = (near + far) / 2
                near, far = (middle, far) if top - curve(middle) < 90 else (near, middle)
        marks += [peak + (far - peak) * mp(k) / 100 for k in (2, 6, 14, 28, 50, 75, 100)]
    total = mpmath.quad(
        lambda y: mpmath.exp(curve(y) - top),
        sorted(set(marks)),
        method="gauss-legendre",
        maxdegree=6,
    )
    return top + mpmath.log(total)


def exact_two_powers(a: Any, e: Any, b: Any, f: Any, tau: Any) -> Any:
    """Return ln of the integral over v in [0, tau] of (1 + v/a)^-e (1 + v/b)^-f."""
    if a > b:
        a, e, b, f = b, f, a, e
    share = a / b

    # Over w = ln(1 + v/a): of the two logs one is w itself.
    def curve(w: Any) -> Any:
        return (1 - e) * w - f * mpmath.log(1 - share + share * mpmath.exp(w))

    return mpmath.log(a) + exact_integral(curve, 0, mpmath.log1p(tau / a))


def exact_log_odds(params: Any, x: float, recency: float, age: float) -> Any:
    """Return ln of P(gone) / P(alive), from the numbers as they are stored."""
    r, alpha, s, beta = (mp(float(p)) for p in params)
    c, a, b, tau = r + mp(x), alpha + mp(recency), beta + mp(recency), mp(age) - mp(recency)
    if tau == 0:
        return -mp("inf")
    both = c * mpmath.log1p(tau / a) + s * mpmath.log1p(tau / b)
    return mpmath.log(s / b) + both + exact_two_powers(a, c, b, s + 1, tau)


def some(rows: Rows, params: np.ndarray, n: int) -> list[tuple[Any, float, float, float]]:
    return [(params[:, i], rows.frequency[i], rows.recency[i], rows.T[i]) for i in range(n)]
