"""The likelihood of (M)BG/NBD and (M)BG/CNBD-k, with closed-form derivatives.

With c = r + k x stages so far, b' = b + x + m, f = ln P of `erlang.log_polynomial` (0 at k = 1) and
d = ln a - ln(b' - 1) + c ln((alpha + T) / (alpha + t_x)), the log-likelihood of a customer is

    ln Gamma(c) - ln Gamma(r) + r ln alpha + ln B(a, b') - ln B(a, b) - c ln(alpha + T)
    + f + ln(1 + e^(d - f)),

where d - f are the log-odds of having dropped out. Of regular buyers the gaps themselves count too:
sum over the gaps of (k - 1) ln gap - ln Gamma(k), a constant that tells one k from another.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.special import gammaln, psi, zeta

from touchpoint_lib._checks import FloatArray, IntArray, check_values, fail
from touchpoint_lib.data.base import CustomerBase
from touchpoint_lib.lifetime._predictions import Params
from touchpoint_lib.lifetime._rows import Rows, tally
from touchpoint_lib.lifetime._stages import Stages

#: The trigamma function.
_trigamma = partial(zeta, 2)
#: Rows whose arrays stay in the processor's cache, one a stage.
_CACHED = 32_768
#: A block of fewer rows costs what its calls cost.
_LEAST = 1024
#: Days that are tabulated however few rows there are.
_TABLE = 4096
#: From here on ln(1 + e^d) is d, and e^d is not far from overflow.
_LARGE = 700.0


@dataclass(frozen=True)
class Block:
    """Consecutive rows: their places in tables, and what depends on x, one a row."""

    #: The runs of x that they belong to, and where in the block each begins.
    runs: slice
    begins: IntArray
    at_T: Any
    at_recency: Any
    weight: FloatArray
    #: r + k x, and ln a - ln(b + x + m - 1).
    stages: FloatArray
    odds: FloatArray


class Likelihood:
    """Mean negative log-likelihood over compressed rows, with closed-form derivatives.

    Gamma functions are taken once a run of rows with one x, logarithms once a distinct time; sums
    of terms in one of them run over tables of weights, the others over blocks of rows. Sums are
    not left to BLAS, whose threads cost more than they gain at these sizes.
    """

    def __init__(self, rows: Rows, scale: float, chance_at_first: int, regularity: int = 1) -> None:
        self.m, self.regularity = chance_at_first, regularity
        self.weight, self.n = rows.count, rows.n_customers
        self.rows, self.scale = rows, scale
        days = rows.days
        self.at_T: Any
        self.at_recency: Any
        if days is None or days.last > max(len(rows.T), _TABLE):
            T, self.at_T = np.unique(rows.T, return_inverse=True)
            recency, at_recency = np.unique(rows.recency, return_inverse=True)
            self.times = np.concatenate([T, recency]) / scale
            self.at_recency = at_recency + len(T)
        else:
            self.times, self.at_T, self.at_recency = days.times() / scale, days.T, days.recency
        # Rows come sorted by x: what depends on x alone is taken once a run of rows.
        self.x = rows.frequency[rows.runs]
        self.x_count = np.add.reduceat(self.weight, rows.runs)
        self.T_count = tally(self.at_T, self.weight, len(self.times))
        self.T_stages = regularity * tally(self.at_T, self.weight * rows.frequency, len(self.times))
        self.can_leave = self.x + self.m > 0

    def start(self) -> FloatArray:
        """Return log parameters from the moments of the purchase rates."""
        rows, weight = self.rows, self.weight / self.n
        seen = rows.T > 0
        age = np.where(seen, rows.T / self.scale, 1.0)
        rate = np.where(seen, rows.frequency / age, 0.0)
        mean = dot(weight, rate)
        noise = mean * dot(weight, np.where(seen, 1 / age, 0.0))
        between = max(dot(weight, (rate - mean) ** 2) - noise, 0.2 * mean**2)
        r = float(np.clip(mean**2 / between, 0.05, 20))
        alpha = r / (dot(weight, rows.frequency) * self.scale / dot(weight, rows.T))
        # The rate is that of the stages, of which a purchase takes k.
        return np.log([r, alpha / self.regularity, 1.0, 2.5])

    def total(self, theta: FloatArray) -> float:
        """Return the log-likelihood of all customers."""
        params = np.exp(theta)
        log_time, value = np.log(params[1] + self.times), self._tables(params)
        for block in self._blocks(params):
            log_odds = log_time.take(block.at_T)
            log_odds -= log_time.take(block.at_recency)
            log_odds *= block.stages
            log_odds += block.odds
            if self.regularity > 1:
                f = self._stages(block, params[1]).log_polynomial()
                log_odds -= f
                value += dot(block.weight, f)
            value += dot(block.weight, _softplus(log_odds)[0])
        return value

    def _blocks(self, params: FloatArray) -> Iterator[Block]:
        """Yield the rows in blocks that stay in the cache."""
        r, _, a, b = params
        stages = r + self.regularity * self.x
        odds = np.full(len(self.x), -np.inf)
        leave = self.can_leave
        odds[leave] = np.log(a) - np.log(b + self.x[leave] + self.m - 1)
        n, runs = len(self.weight), self.rows.runs
        ends = np.append(runs[1:], n)
        # Each stage has arrays of its own.
        size = max(_CACHED // self.regularity, _LEAST)
        for start in range(0, n, size):
            stop = min(start + size, n)
            some = slice(
                int(np.searchsorted(runs, start, side="right")) - 1,
                int(np.searchsorted(runs, stop)),
            )
            begins = np.maximum(runs[some], start)
            lengths = np.minimum(ends[some], stop) - begins
            yield Block(
                some,
                begins - start,
                self.at_T[start:stop],
                self.at_recency[start:stop],
                self.weight[start:stop],
                np.repeat(stages[some], lengths),
                np.repeat(odds[some], lengths),
            )

    def _stages(self, block: Block, alpha: float) -> Stages:
        T = self.times.take(block.at_T)
        silence = T - self.times.take(block.at_recency)
        return Stages(self.regularity, block.stages, silence / (alpha + T))

    def _special(self, function: Any, params: FloatArray) -> tuple[Any, ...]:
        """Return ``function`` of r + k x, b + x + m and a + b + x + m, and of r, b and a + b."""
        r, _, a, b = params
        beta = b + self.x + self.m
        rate = r + self.regularity * self.x
        values = function(np.concatenate([rate, beta, a + beta, [r, b, a + b]]))
        n = len(self.x)
        return values[:n], values[n : 2 * n], values[2 * n : 3 * n], *values[3 * n :]

    def _tables(self, params: FloatArray) -> float:
        """Return the part of the log-likelihood that needs no row."""
        r, alpha, _, _ = params
        rate, stay, leave, rate_0, stay_0, leave_0 = self._special(gammaln, params)
        shared = r * np.log(alpha) - rate_0 - stay_0 + leave_0
        by_T = (r * self.T_count + self.T_stages) * np.log(alpha + self.times)
        return dot(self.x_count, rate + stay - leave) + self.n * float(shared) - float(by_T.sum())

    def derivatives(self, theta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Return mean value, gradient and Hessian with respect to the log parameters."""
        r, alpha, a, b = params = np.exp(theta)
        count, n = self.x_count, self.n
        log_time, per_time = np.log(alpha + self.times), 1 / (alpha + self.times)
        c_T = r * self.T_count + self.T_stages
        # By run of x: the weight of the gone, that of the undecided, and its two slopes.
        by_x = np.zeros((4, len(self.x)))
        value, tilt, curve = self._tables(params), np.zeros(2), np.zeros((2, 2))
        for block in self._blocks(params):
            w = block.weight
            # d is the log-odds of being gone; step is the slope of ln((alpha + T)/(alpha + t_x)).
            slope_r = log_time.take(block.at_T)
            slope_r -= log_time.take(block.at_recency)
            log_odds = block.stages * slope_r
            log_odds += block.odds
            at_T, at_recency = per_time.take(block.at_T), per_time.take(block.at_recency)
            step = at_T - at_recency
            slope_alpha = block.stages * step
            bend = slope_alpha * (at_T + at_recency)
            if self.regularity > 1:
                # With f in it d has other slopes, and f itself adds to value and derivatives.
                f, f_slope, f_bend = self._stages(block, alpha).derivatives(at_T)
                log_odds -= f
                slope_r, slope_alpha = slope_r - f_slope[0], slope_alpha - f_slope[1]
                value += dot(w, f)
                tilt += [dot(w, slope) for slope in f_slope]
            softplus, gone, stays = _softplus(log_odds)
            value += dot(w, softplus)
            if self.regularity > 1:
                lives = w * stays
                curve += [[dot(lives, part) for part in row] for row in f_bend]
            gone *= w
            tilt += [dot(gone, slope_r), dot(gone, slope_alpha)]
            # Curvature of ln(1 + e^d) times the slopes of d, then the second derivatives of d.
            spread = stays
            spread *= gone
            by_r, by_alpha = spread * slope_r, spread * slope_alpha
            curve[0, 0] += dot(by_r, slope_r)
            curve[0, 1] += dot(by_r, slope_alpha) + dot(gone, step)
            curve[1, 1] += dot(by_alpha, slope_alpha) - dot(gone, bend)
            for total, part in zip(by_x, (gone, spread, by_r, by_alpha), strict=True):
                total[block.runs] += np.add.reduceat(part, block.begins)
        gone_x, x_0, x_r, x_alpha = by_x
        gone_n = float(gone_x.sum())
        chances = np.where(self.can_leave, b + self.x + self.m - 1, 1.0)
        slope_b = np.where(self.can_leave, -1 / chances, 0.0)

        rate, stay, leave, rate_0, stay_0, leave_0 = self._special(psi, params)
        shared_ab = n * leave_0 - dot(count, leave)
        gradient = np.array(
            [
                dot(count, rate) + n * (np.log(alpha) - rate_0) - dot(self.T_count, log_time),
                n * r / alpha - dot(c_T, per_time),
                shared_ab + gone_n / a,
                shared_ab + dot(count, stay) - n * stay_0 + dot(gone_x, slope_b),
            ]
        )
        gradient[:2] += tilt
        hessian = np.zeros((4, 4))
        hessian[:2, :2] = curve
        hessian[0, 2], hessian[1, 2] = x_r.sum() / a, x_alpha.sum() / a
        hessian[0, 3], hessian[1, 3] = dot(x_r, slope_b), dot(x_alpha, slope_b)
        hessian[2, 2] = (x_0.sum() - gone_n) / a**2
        hessian[2, 3] = dot(x_0, slope_b) / a
        hessian[3, 3] = dot(x_0 + gone_x, slope_b**2)
        # Those of the tables.
        rate, stay, leave, rate_0, stay_0, leave_0 = self._special(_trigamma, params)
        hessian[0, 0] += dot(count, rate) - n * rate_0
        hessian[0, 1] += n / alpha - dot(self.T_count, per_time)
        hessian[1, 1] += dot(c_T, per_time**2) - n * r / alpha**2
        hessian[2:, 2:] += n * leave_0 - dot(count, leave)
        hessian[3, 3] += dot(count, stay) - n * stay_0
        hessian = np.triu(hessian) + np.triu(hessian, 1).T
        on_log_scale = hessian * np.outer(params, params) + np.diag(gradient * params)
        return -value / n, -gradient * params / n, -on_log_scale / n


def row_derivatives(
    params: Params, rows: Rows, chance_at_first: int, regularity: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return each row's log-likelihood, its gradient and Hessian in the row's log parameters.

    ``params`` are floats or one value a row; the shapes are (n,), (4, n) and (4, 4, n). Of the gaps
    nothing is in it: they depend on no parameter.
    """
    n = len(rows.T)
    r, alpha, a, b = (np.broadcast_to(np.asarray(p, dtype=np.float64), (n,)) for p in params)
    c, beta = r + regularity * rows.frequency, b + rows.frequency + chance_at_first
    per_T, per_recency = 1 / (alpha + rows.T), 1 / (alpha + rows.recency)
    silence = rows.T - rows.recency
    passed = np.log1p(silence * per_recency)
    step = -silence * per_T * per_recency
    f, f_slope, f_bend = Stages(regularity, c, silence * per_T).derivatives(per_T)
    can_leave = rows.frequency + chance_at_first > 0
    chances = np.where(can_leave, beta - 1, 1.0)
    log_odds = np.where(can_leave, np.log(a) - np.log(chances), -np.inf) + c * passed - f
    softplus, gone, _ = _softplus(log_odds)
    value = gammaln(c) - gammaln(r) - rows.frequency * regularity * np.log(alpha + rows.T)
    value += -r * np.log1p(rows.T / alpha) + f + softplus
    value += gammaln(beta) - gammaln(b) + gammaln(a + b) - gammaln(a + beta)

    zero = np.zeros(n)
    slopes = np.stack(
        [
            passed - f_slope[0],
            c * step - f_slope[1],
            np.where(can_leave, 1 / a, 0.0),
            np.where(can_leave, -1 / chances, 0.0),
        ]
    )
    leave = psi(a + b) - psi(a + beta)
    gradient = gone * slopes + np.stack(
        [
            psi(c) - psi(r) - np.log1p(rows.T / alpha) + f_slope[0],
            r / alpha - c * per_T + f_slope[1],
            leave,
            leave + psi(beta) - psi(b),
        ]
    )
    hessian = gone * (1 - gone) * slopes[:, None] * slopes[None, :]
    hessian[:2, :2] += (1 - gone) * f_bend
    leave = _trigamma(a + b) - _trigamma(a + beta)
    for i, j, of_odds, of_rest in (
        (0, 0, zero, _trigamma(c) - _trigamma(r)),
        (0, 1, step, 1 / alpha - per_T),
        (1, 1, -c * step * (per_T + per_recency), c * per_T**2 - r / alpha**2),
        (2, 2, -(slopes[2] ** 2), leave),
        (2, 3, zero, leave),
        (3, 3, slopes[3] ** 2, leave + _trigamma(beta) - _trigamma(b)),
    ):
        hessian[i, j] += gone * of_odds + of_rest
        hessian[j, i] = hessian[i, j]
    params_ = np.stack([r, alpha, a, b])
    hessian *= params_[:, None] * params_[None, :]
    gradient *= params_
    hessian[range(4), range(4)] += gradient
    return value, gradient, hessian


def total_log_gaps(customers: Any, rows: Rows, regularity: int | str) -> float:
    """Return the sum of ln gap over all customers, checked against their ``rows``."""
    if isinstance(customers, CustomerBase):
        return customers.total("log_gaps")
    if "log_gaps" not in customers.columns:
        raise fail(
            f"customers has no column 'log_gaps', which regularity={regularity!r} needs",
            "pass the frame that rfm_summary or rfm_split returns, or fit with regularity=1",
        )
    gaps = check_values("log_gaps", customers["log_gaps"], index=customers.index)
    # The mean of logarithms is at most the logarithm of the mean.
    mean = rows.recency / np.maximum(rows.frequency, 1)
    most = rows.frequency * np.log(np.where(mean > 0, mean, 1.0))
    bad = (gaps > most + 1e-6 * (1 + rows.frequency)) | ((rows.frequency == 0) & (gaps != 0))
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise fail(
            f"log_gaps is {gaps[first]:g} at index {customers.index[first]!r}, but "
            f"{rows.frequency[first]:g} gaps within {rows.recency[first]:g} have at most "
            f"{most[first]:g} ({int(bad.sum())} such rows)",
            "it must be the sum of ln(gap) in the unit of recency, and 0 without repeats",
        )
    return dot(rows.count, gaps)


def dot(left: FloatArray, right: FloatArray) -> float:
    """Return the sum of products, without the threads of BLAS."""
    return float(np.einsum("i,i->", left, right))


def _softplus(d: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return ln(1 + e^d), its slope e^d / (1 + e^d), and 1 less the slope, from one exponential."""
    grown = np.exp(np.minimum(d, _LARGE))
    rest = 1 + grown
    value = np.log(rest)
    np.reciprocal(rest, out=rest)
    grown *= rest
    large = d > _LARGE
    return np.where(large, d, value) if large.any() else value, grown, rest
