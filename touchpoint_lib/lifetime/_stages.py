"""The stages of a regular buyer's gap: their number k, and how many may be behind by now."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import betaincinv, betaln, gammaln, logsumexp

from touchpoint_lib._checks import FloatArray, fail
from touchpoint_lib.lifetime._roots import increasing_root

#: The largest k: gaps that vary by 3 %.
_MOST_REGULAR = 1000


def check_regularity(value: Any, otherwise: str = ', or "auto"') -> int:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or not 1 <= value <= _MOST_REGULAR:
        raise fail(
            f"regularity is {value!r}",
            f"it must be a whole number from 1 to {_MOST_REGULAR}{otherwise}",
        )
    return int(value)


class Stages:
    """The stages since the last purchase, fewer than k: the weights of 0 to k - 1.

    Parameters
    ----------
    k : int
    c : array (n,)
        r + k x.
    share : array (n,)
        (T - t_x) / (alpha + T).
    """

    def __init__(self, k: int, c: FloatArray, share: FloatArray) -> None:
        self.k, self.c = k, c
        terms = np.zeros((k, len(share)))
        with np.errstate(divide="ignore"):
            log_share = np.log(share)
        for j in range(1, k):
            terms[j] = terms[j - 1] + np.log((c + j - 1) / j) + log_share
        top = terms.max(axis=0)
        sizes = np.exp(terms - top)
        total = sizes.sum(axis=0)
        self.weights = sizes / total
        self._log_sum = top + np.log(total)

    def log_polynomial(self) -> FloatArray:
        """Return f = ln sum_j (c)_j / j! q^j: what regularity adds to ln P(no purchase since)."""
        return self._log_sum

    def derivatives(self, per_age: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return f, its slopes (2, n) and second derivatives (2, 2, n) in r and alpha.

        ``per_age`` is 1 / (alpha + T).
        """
        slope, bend = np.zeros((2, *self.c.shape)), np.zeros((2, 2, *self.c.shape))
        if self.k == 1:
            return self._log_sum, slope, bend
        at = 1 / (self.c + np.arange(self.k - 1.0)[:, None])
        rise, fall = np.zeros_like(self.weights), np.zeros_like(self.weights)
        rise[1:], fall[1:] = np.cumsum(at, axis=0), np.cumsum(at**2, axis=0)
        stage = np.arange(float(self.k))[:, None]
        w = self.weights
        slope[0], mean = (w * rise).sum(axis=0), (w * stage).sum(axis=0)
        off, stage_off = rise - slope[0], stage - mean
        slope[1] = -mean * per_age
        bend[0, 0] = (w * (off**2 - fall)).sum(axis=0)
        bend[0, 1] = bend[1, 0] = -(w * off * stage_off).sum(axis=0) * per_age
        bend[1, 1] = ((w * stage_off**2).sum(axis=0) + mean) * per_age**2
        return self._log_sum, slope, bend


def silence_of(rise: FloatArray, c: FloatArray, k: int) -> FloatArray:
    """Return the silence, in ages, after which P(no purchase | alive) is exp(-rise).

    That probability is I of 1 / (1 + silence), the incomplete beta function of c and k.
    """
    with np.errstate(divide="ignore", over="ignore"):
        quiet = np.exp(-rise)
        # Exact from the smaller side.
        rest, passed = betaincinv(c, k, quiet), betaincinv(k, c, -np.expm1(-rise))
        silence = np.where(quiet < 0.5, 1 / rest - 1, passed / np.maximum(1 - passed, 1e-300))
    # Far out, where scipy's inverse loses digits: by the finite sum, in logarithms.
    hard = np.flatnonzero(((rise > 50) | ((rise > 1) & ~(rest > 1e-290))) & np.isfinite(rise))
    if hard.size:
        j = np.arange(k)
        ways = log_rising(c[hard, None], j) - gammaln(j + 1)

        def excess(y: FloatArray, at: Any) -> tuple[FloatArray, FloatArray]:
            log_rest, log_gone = -np.logaddexp(0, y), -np.logaddexp(0, -y)
            log_sum = logsumexp(ways[at] + j * log_gone[:, None], axis=1)
            value = -c[hard][at] * log_rest - log_sum - rise[hard][at]
            slope = np.exp(k * log_gone - betaln(c[hard][at], k) - log_sum)
            return value, slope

        silence[hard] = increasing_root(excess, rise[hard] / c[hard])
    return np.asarray(silence)


def log_rising(c: FloatArray, n: Any) -> FloatArray:
    """Return ln Gamma(c + n) - ln Gamma(c), to rounding where both are large."""
    # By Stirling's series from 20 on, where the logarithms themselves would lose digits.
    big = np.maximum(c, 20.0)
    with np.errstate(over="ignore"):
        series = (
            (big - 0.5) * np.log1p(n / big)
            + n * np.log(big + n)
            - n
            + _stirling(big + n)
            - _stirling(big)
        )
    return np.where(c < 20.0, gammaln(c + n) - gammaln(c), series)


def _stirling(z: FloatArray) -> FloatArray:
    per = 1 / z**2
    return (1 / 12 - per * (1 / 360 - per * (1 / 1260 - per * (1 / 1680 - per / 1188)))) / z
