"""Regular buyers: a purchase takes k stages, so that gaps are Erlang-k and not exponential.

With c = r + k x stages behind a customer at the last purchase, the stages since then, fewer than
k, are j with weights w_j proportional to (c)_j / j! q^j, q = (T - t_x) / (alpha + T). Given j the
rate of the stages is Gamma(c + j, alpha + T), so N, their number within t, is negative binomial:
P(N >= s) = I_z(s, c + j), z = t / (alpha + T + t). The n-th purchase is stage n k - j, and comes
about with (1 - p)^(n - 1): every expectation is a positive series in n. Where it is long, its sum
given p is had in closed form from the k roots of unity, with y = (1 - p)^(1/k) and
v = y exp(2 pi i l / k), age = alpha + T:

    E[purchases | p] = y^(j + 1 - k) / k
        sum_l e^(2 pi i l (j + 1) / k) (1 - (1 + (1 - v) t / age)^-(c + j)) / (1 - v)

and the mean over p ~ Beta(a, b + x + m) is a quadrature. Where the roots would cancel, the
series is short.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy.special import betainc, betaln, gammaln

from touchpoint_lib._checks import FloatArray, IntArray
from touchpoint_lib.lifetime._predictions import Params
from touchpoint_lib.lifetime._quadrature import (
    boundary,
    dropout_mean,
    highest,
    legendre,
)
from touchpoint_lib.lifetime._rows import Rows, distinct_pairs
from touchpoint_lib.lifetime._stages import Stages, log_rising

#: Cancellation that the roots of unity may suffer, once in t and once in p.
_LOSS = 1e-2
#: Terms of the series in (1 - p) where y^(k-1) < _LOSS: the last is below 1e-16 of the first.
_TERMS = 9
#: Steps of the root finder at most.
_STEPS = 100
#: Below e^-_NOTHING of its start a flow adds nothing.
_NOTHING = 40.0


class Future:
    """The purchases of customers who are alive at T, by the stages behind them.

    Parameters
    ----------
    k : int
    params : r, alpha, a, b, each a float or one value a row
    rows : Rows
    chance_at_first : int
        m: 1 where a customer may drop out right after the first purchase.
    """

    def __init__(self, k: int, params: Params, rows: Rows, chance_at_first: int) -> None:
        self.k = k
        r, alpha, self.a, b = params
        own_age = alpha + rows.T
        own_c = r + k * rows.frequency
        self.since = rows.T - rows.recency
        self.stages = Stages(k, own_c, self.since / own_age)
        if any(np.ndim(value) for value in params):
            self.c, self.age, self.beta = own_c, own_age, b + rows.frequency + chance_at_first
            self.inverse: Any = slice(None)
        else:
            # Given the stages a customer differs from others by (x, T) only.
            x, age, self.inverse = distinct_pairs(rows.frequency, rows.T)
            self.c, self.age, self.beta = r + k * x, alpha + age, b + x + chance_at_first

    def _mix(self, table: FloatArray) -> FloatArray:
        """Return the mean of a table (stages, pairs) over the stages of each row."""
        return np.asarray((self.stages.weights * table[:, self.inverse]).sum(axis=0))

    def _share(self, table: FloatArray) -> FloatArray:
        """The same of probabilities, which rounding may take beyond 1."""
        return np.minimum(self._mix(table), 1.0)

    # -- one purchase, or n ------------------------------------------------------------------

    def buys(self, horizon: float | FloatArray) -> FloatArray:
        """P(a purchase within ``horizon`` | alive)."""
        return self._share(self._reaches(1, horizon))

    def buys_n(self, n: int, horizon: float) -> FloatArray:
        """P(n >= 1 purchases within ``horizon`` | alive): still alive, or gone with the n-th."""
        z, log_rest = horizon / (self.age + horizon), -np.log1p(horizon / self.age)
        table = np.empty((self.k, len(self.c)))
        log_b = betaln(self.a, self.beta)
        stayed = np.exp(betaln(self.a, self.beta + n) - log_b)
        left = np.exp(betaln(self.a + 1, self.beta + n - 1) - log_b)
        with np.errstate(divide="ignore"):
            log_z = np.log(z)
        for j in range(self.k):
            c = self.c + j
            s = n * self.k - j + np.arange(self.k)[:, None]
            log_count = log_rising(c, s) - gammaln(s + 1.0) + s * log_z + c * log_rest
            table[j] = stayed * np.exp(log_count).sum(axis=0) + left * betainc(s[0], c, z)
        return self._share(table)

    def misses(self, horizon: float | FloatArray) -> FloatArray:
        """P(no purchase within ``horizon`` | alive)."""
        return self._share(self._misses(1, horizon))

    def hazard(self) -> FloatArray:
        """Rate of the next purchase at T: all stages but one are behind, and that one ends."""
        return np.asarray(
            self.stages.weights[-1] * ((self.c + self.k - 1) / self.age)[self.inverse]
        )

    def quantile(self, share: FloatArray) -> FloatArray:
        """Return the time to the next purchase of the living that ``share`` of them fall short of.

        By Newton steps in ln t on the log-odds, between a bound from below (all stages but one
        were behind) and the largest number; inf beyond that.
        """
        own = self._own()
        with np.errstate(over="ignore", divide="ignore"):
            first = own.age * np.expm1(-np.log1p(-share) / (own.c + self.k - 1))
            low = np.log(np.clip(first, 1e-300, 1e308))
        high = np.full(len(low), np.log(1e308))
        goal = np.log(share) - np.log1p(-share)
        at = np.minimum(low + 1, high)
        for _ in range(_STEPS):
            time = np.exp(at)
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                buys, misses = own.buys(time), own.misses(time)
                off = np.log(buys) - np.log(misses) - goal
                # The slope of the log-odds in ln t, from the hazard at t.
                share_then = (own.since + time) / (own.age + time)
                last = Stages(self.k, own.c, share_then).weights[-1]
                slope = time * last * (own.c + self.k - 1) / (own.age + time) / buys
                step = at - off / slope
            low, high = np.where(off < 0, at, low), np.where(off < 0, high, at)
            inside = (step > low) & (step < high)
            new = np.where(inside, step, (low + high) / 2)
            done = np.abs(new - at) <= 1e-14 * np.maximum(1, np.abs(at))
            at = new
            if done.all():
                break
        return np.where(at >= np.log(1e308) - 1e-6, np.inf, np.exp(at))

    def _own(self) -> Future:
        """Return the same with a pair for every row."""
        own = object.__new__(Future)
        own.k, own.stages, own.inverse, own.since = self.k, self.stages, slice(None), self.since
        own.c, own.age, own.beta = self.c, self.age, self.beta
        if not isinstance(self.inverse, slice):
            own.c, own.age = self.c[self.inverse], self.age[self.inverse]
            own.beta = self.beta[self.inverse]
        own.a = self.a
        return own

    def _reaches(self, n: int, horizon: float | FloatArray) -> FloatArray:
        """P(the stage of the n-th purchase is reached within ``horizon``), by stages so far."""
        z = horizon / (self.age + horizon)
        return np.stack([betainc(n * self.k - j, self.c + j, z) for j in range(self.k)])

    def _misses(self, n: int, horizon: float | FloatArray) -> FloatArray:
        rest = self.age / (self.age + horizon)
        return np.stack([betainc(self.c + j, n * self.k - j, rest) for j in range(self.k)])

    # -- expectations ------------------------------------------------------------------------

    def purchases(self, horizon: float) -> FloatArray:
        """E[purchases within ``horizon`` | alive]."""
        k, stretch = self.k, horizon / self.age
        z = horizon / (self.age + horizon)
        short = betainc(k, self.c, z) < _LOSS * betainc(1, self.c, z)
        few = self._sum(np.flatnonzero(short), lambda n, part: part._reaches(n, horizon))
        long = self._part(np.flatnonzero(~short))
        first = [long._reaches(n, horizon) for n in range(1, _TERMS + 1)]
        stretch = stretch[~short]

        def integrand(p: FloatArray, log_stay: FloatArray, at: IntArray) -> FloatArray:
            c, tau = long.c[at, None], stretch[at, None]
            total = np.zeros((k, len(at), p.shape[1]))
            log_y, usable = _roots_usable(k, log_stay)
            for times, turn, gap in _roots(k, log_y):
                root = 1 + gap * tau
                power = np.exp(-c * _log1p(gap, tau))
                flow = -_expm1(-c * _log1p(gap, tau)) / gap
                for j in range(k):
                    total[j] += times * (turn ** (j + 1) * flow).real
                    # One stage more: 1 - (1 + g t)^-(c + 1) in terms of that of c.
                    flow = flow + power * (tau / root)
                    power = power / root
            scale = np.exp(log_y * (np.arange(1.0, k + 1)[:, None, None] - k)) / k
            return np.where(usable, total * scale, _powers(first, log_stay, at))

        def log_size(_: FloatArray, log_stay: FloatArray, at: IntArray) -> FloatArray:
            gap = _gap(log_stay / k)
            return np.log(-np.expm1(-long.c[at, None] * np.log1p(gap * stretch[at, None])) / gap)

        table = np.empty((k, len(self.c)))
        table[:, short] = few
        table[:, ~short] = long._over_dropout(stretch, integrand, log_size)
        return self._mix(table)

    def stays(self, future: float) -> FloatArray:
        """P(alive at T + ``future`` | alive at T)."""
        k, stretch = self.k, future / self.age
        z = future / (self.age + future)
        first = [self._misses(n, future) for n in range(1, _TERMS + 1)]

        def integrand(_: FloatArray, log_stay: FloatArray, at: IntArray) -> FloatArray:
            c, tau = self.c[at, None], stretch[at, None]
            series = _powers(first, log_stay, at) * -np.expm1(log_stay)
            busy = c * z[at, None] * np.exp(log_stay / k) >= k / 4
            usable = busy | ((k - 1) / k * log_stay >= np.log(_LOSS))
            log_y = np.where(usable, log_stay, -1.0) / k
            y, gap_0 = np.exp(log_y), _gap(log_y)
            lead = -np.log1p(gap_0 * tau)
            values = np.empty(series.shape)
            for j in range(k):
                others = np.zeros(y.shape)
                for times, turn, gap in _roots(k, log_y):
                    if turn == 1:
                        continue
                    # ln of |1 + g t| over the real root's, and the angle.
                    more = np.log1p(2 * y * tau * (1 + tau) * (1 - turn.real) * np.exp(2 * lead))
                    angle = np.arctan2(gap.imag * tau, 1 + gap.real * tau)
                    ratio = turn ** (j + 1) * gap_0 / gap
                    others = (
                        others + times * (ratio * np.exp(-(c + j) * (more / 2 + 1j * angle))).real
                    )
                size = np.exp((c + j) * lead + (j + 1 - k) * log_y)
                values[j] = -np.expm1(k * log_y) / (k * gap_0) * size * (1 + others)
            return np.where(usable, values, series)

        def log_size(_: FloatArray, log_stay: FloatArray, at: IntArray) -> FloatArray:
            return -self.c[at, None] * np.log1p(_gap(log_stay / k) * stretch[at, None])

        return self._share(self._over_dropout(stretch, integrand, log_size))

    def discounted(self, rate: float, horizon: float | None) -> FloatArray:
        """E[sum of exp(-rate t) over the purchases within ``horizon`` | alive]."""
        k = self.k
        end = np.inf if horizon is None else horizon
        short = self._worth(k, 0, rate, end) < _LOSS * self._worth(1, 0, rate, end)
        few = self._sum(np.flatnonzero(short), lambda n, part: part._worths(n, rate, end))
        long = self._part(np.flatnonzero(~short))
        first = [long._worths(n, rate, end) for n in range(1, _TERMS + 1)]
        with np.errstate(divide="ignore"):
            reach = np.minimum(end, 5 / np.float64(rate)) / long.age

        def integrand(p: FloatArray, log_stay: FloatArray, at: IntArray) -> FloatArray:
            c, age = long.c[at, None], long.age[at, None]
            total = np.zeros((k, len(at), p.shape[1]))
            log_y, usable = _roots_usable(k, log_stay)
            for times, turn, gap in _roots(k, log_y):
                for j, flow in enumerate(_flows(k, gap, c, age, rate, end)):
                    total[j] += times * (turn ** (j + 1) * (c + j) * flow).real
            scale = np.exp(log_y * (np.arange(1.0, k + 1)[:, None, None] - k)) / k
            return np.where(usable, total * scale, _powers(first, log_stay, at))

        def log_size(_: FloatArray, log_stay: FloatArray, at: IntArray) -> FloatArray:
            gap = _gap(log_stay / k)
            return np.log(-np.expm1(-long.c[at, None] * np.log1p(gap * reach[at, None])) / gap)

        table = np.empty((k, len(self.c)))
        table[:, short] = few
        table[:, ~short] = long._over_dropout(reach, integrand, log_size)
        return self._mix(table)

    def _worths(self, n: int, rate: float, end: float) -> FloatArray:
        return np.stack([self._worth(n * self.k - j, j, rate, end) for j in range(self.k)])

    def _worth(self, s: int, j: int, rate: float, end: float) -> FloatArray:
        """E[exp(-rate t); t <= end] of the time t of stage ``s`` from now, ``j`` behind."""
        c, pull = self.c + j, rate * self.age
        with np.errstate(divide="ignore"):
            top = np.log(np.minimum(end / self.age, 100 / pull))

        def height(log_t: FloatArray) -> FloatArray:
            t = np.exp(log_t)
            return s * log_t - (s + c) * np.log1p(t) - pull * t

        low = np.minimum(top, np.log(s / (s + c + pull))) - 60
        peak = highest(height, low, top)
        floor = height(peak) - _NOTHING
        left = boundary(lambda at: height(at) < floor, low, peak)
        right = boundary(lambda at: height(at) < floor, top, peak)
        total = np.zeros(len(c))
        for node, weight in zip(*legendre(64), strict=True):
            total += weight * (peak - left) * np.exp(height(peak + (left - peak) * node) - floor)
            total += weight * (right - peak) * np.exp(height(peak + (right - peak) * node) - floor)
        return total * np.exp(floor - betaln(s, c))

    def _part(self, at: IntArray) -> Future:
        """Return the pairs in ``at``, for tables by stage."""
        part = object.__new__(Future)
        part.k, part.c, part.age, part.beta = self.k, self.c[at], self.age[at], self.beta[at]
        part.a = self.a[at] if np.ndim(self.a) else self.a
        return part

    def _sum(self, at: IntArray, reaches: Callable[[int, Future], FloatArray]) -> FloatArray:
        """Return the series over the n-th purchases, each with E[(1 - p)^(n - 1)], for ``at``."""
        part = self._part(at)
        total = np.zeros((self.k, len(at)))
        stays, n, more = np.ones(len(at)), 1, len(at) > 0
        while more:
            term = stays * reaches(n, part)
            total += term
            more = bool((term > 1e-17 * total).any())
            stays = stays * (part.beta + n - 1) / (part.a + part.beta + n - 1)
            n += 1
        return total

    def _over_dropout(self, stretch: FloatArray, integrand: Any, log_size: Any) -> FloatArray:
        # In p the nearest singularity is where y = 1 + 1 / stretch.
        with np.errstate(divide="ignore", over="ignore"):
            near = 1 / np.expm1(self.k * np.log1p(1 / stretch))
        return dropout_mean(
            self.a,
            self.beta,
            near,
            self.c,
            self.c * stretch / self.k,
            integrand,
            log_size,
            lead=(self.k,),
            reach=self.k * np.log1p(self.c),
        )


def _roots_usable(k: int, log_stay: FloatArray) -> tuple[FloatArray, Any]:
    """Return ln y where the roots of unity can be used (elsewhere ln 1/2), and where that is."""
    usable = (k - 1) / k * log_stay >= np.log(_LOSS)
    return np.where(usable, log_stay / k, -np.log(2)), usable


def _gap(log_y: FloatArray) -> FloatArray:
    """Return 1 - y."""
    return np.maximum(-np.expm1(log_y), 1e-300)


def _roots(k: int, log_y: FloatArray) -> Iterator[tuple[float, Any, Any]]:
    """Yield the roots of unity, conjugates once: how often each counts, itself, and 1 - v."""
    yield 1.0, 1.0, _gap(log_y)
    y = np.exp(log_y)
    for i in range(1, (k + 1) // 2):
        turn = complex(np.cos(2 * np.pi * i / k), np.sin(2 * np.pi * i / k))
        yield 2.0, turn, 1 - y * turn
    if k % 2 == 0:
        yield 1.0, -1.0, 1 + y


def _log1p(gap: Any, tau: FloatArray) -> Any:
    """Return ln(1 + gap tau); numpy's own loses digits of the modulus near 1."""
    if np.isrealobj(gap):
        return np.log1p(gap * tau)
    x, y = gap.real * tau, gap.imag * tau
    return np.log1p(2 * x + x**2 + y**2) / 2 + 1j * np.arctan2(y, 1 + x)


def _expm1(w: Any) -> Any:
    """Return exp(w) - 1, near 0 too."""
    if np.isrealobj(w):
        return np.expm1(w)
    size = np.exp(w.real)
    return np.expm1(w.real) - 2 * size * np.sin(w.imag / 2) ** 2 + 1j * size * np.sin(w.imag)


def _powers(first: list[FloatArray], log_stay: FloatArray, at: IntArray) -> FloatArray:
    """Return the first terms of the series over n, each times (1 - p)^(n - 1)."""
    stay = np.exp(log_stay)
    total = np.zeros((len(first[0]), len(at), log_stay.shape[1]))
    for term in reversed(first):
        total = total * stay + term[:, at, None]
    return total


def _flows(k: int, gap: Any, c: FloatArray, age: FloatArray, rate: float, end: float) -> list[Any]:
    """Return the integral of exp(-rate t) (1 + gap t/age)^-(c + j + 1) / age over [0, end], by j.

    With s = ln(1 + gap t/age) the integrand is entire, so that the path from 0 to the end of s may
    be straight, and Gauss-Legendre nodes on it are enough.
    """
    pull = rate * age / gap
    with np.errstate(divide="ignore", over="ignore"):
        last = np.minimum(np.expm1(_NOTHING / c) / gap.real, _NOTHING / (rate * age))
    last = _log1p(gap, np.minimum(last, end / age))
    # The more nodes the longer the path, and the more it turns.
    turns = 0.0 if np.isrealobj(gap) else float(np.abs(gap.imag / gap.real).max())
    nodes, weights = legendre(40 + 8 * int(3 * turns) + 8 * int(np.abs(last).max() / 4))
    flows: list[Any] = [0.0] * k
    for node, weight in zip(nodes, weights, strict=True):
        s = last * node
        flow = weight * np.exp(-c * s - pull * _expm1(s))
        step = np.exp(-s)
        for j in range(k):
            flows[j] = flows[j] + flow
            flow = flow * step
    return [flow * last / gap for flow in flows]
