"""Times at which an increasing function reaches 0, for many customers at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from touchpoint_lib._checks import FloatArray

#: Logarithm of times that count as never.
_NEVER = 690.0
#: Relative error of a root, and a Newton step after which it is smaller.
_ROOT_ERROR, _LAST_STEP = 1e-13, 1e-9
#: Longest step in the logarithm of time.
_STEP = 20.0


def increasing_root(
    function: Callable[[FloatArray, Any], tuple[FloatArray, FloatArray]], guess: FloatArray
) -> FloatArray:
    """Return exp(y) where ``function``, increasing in y, is 0; inf where that is beyond 1e299.

    ``function(y, at)`` returns values and slopes of the rows ``at``. Newton's method; once the
    root lies between two points, bisection wherever that leaves them or dawdles.
    """
    n = len(guess)
    low, high, moved = np.full(n, -np.inf), np.full(n, np.inf), np.full(n, np.inf)
    y, found = np.minimum(guess, _NEVER), np.full(n, np.inf)
    at = np.arange(n)
    while at.size:
        value, slope = function(y[at], at)
        live = (value > 0) | (y[at] < _NEVER)
        at, value, slope = at[live], value[live], slope[live]
        here, under = y[at], value <= 0
        low[at], high[at] = np.where(under, here, low[at]), np.where(under, high[at], here)
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            step = np.clip(-value / slope, -_STEP, _STEP)
            new = np.minimum(here + step, _NEVER)
            middle = (low[at] + high[at]) / 2
            good = (low[at] < new) & (new < high[at]) & (np.abs(new - here) <= moved[at] / 2)
        newton = good | ~np.isfinite(middle)
        new = np.where(newton, new, middle)
        length = np.abs(new - here)
        moved[at] = np.where(np.isfinite(middle), length, np.inf)
        y[at] = new
        # A Newton step squares the error; the spacing of numbers about y counts where it is large.
        done = (newton & (length <= _LAST_STEP)) | (
            high[at] - low[at] <= _ROOT_ERROR + 4e-16 * np.abs(new)
        )
        found[at[done]] = np.exp(new[done])
        at = at[~done]
    return found
