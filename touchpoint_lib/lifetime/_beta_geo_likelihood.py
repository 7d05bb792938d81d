"""The likelihood of (M)BG/NBD and (M)BG/CNBD-k, with closed-form derivatives.

With c = r + k x stages so far, b' = b + x + m, f = ln P of `erlang.log_polynomial` (0 at k = 1) and
d = ln a - ln(b' - 1) + c ln((alpha + T) / (alpha + t_x)), the log-likelihood of a customer is

    ln Gamma(c) - ln Gamma(r) + r ln alpha + ln B(a, b') - ln B(a, b) - c ln(alpha + T)
    + f + ln(1 + e^(d - f)),

where d - f are the log-odds of having dropped out. Of regular buyers the gaps themselves count too:
sum over the gaps of (k - 1) ln gap - ln Gamma(k), a constant that tells one k from another.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from scipy.special import gammaln, psi, zeta

from touchpoint_lib._checks import FloatArray, check_values, fail
from touchpoint_lib.data.transactions import CustomerBase
from touchpoint_lib.lifetime._predictions import Params
from touchpoint_lib.lifetime._rows import Rows, tally
from touchpoint_lib.lifetime._stages import Stages

#: The trigamma function.
_trigamma = partial(zeta, 2)


class Likelihood:
    """Mean negative log-likelihood over compressed rows, with closed-form derivatives.

    Gamma functions are taken once a distinct x, logarithms once a distinct T and recency; sums
    of terms in one of them run over tables of weights. Sums are not left to BLAS, whose threads
    cost more than they gain at these sizes.
    """

    def __init__(self, rows: Rows, scale: float, chance_at_first: int, regularity: int = 1) -> None:
        self.m, self.regularity = chance_at_first, regularity
        self.weight, self.n = rows.count, rows.n_customers
        self.rows, self.scale = rows, scale
        self.stages = regularity * rows.frequency
        self.T, self.at_T = np.unique(rows.T / scale, return_inverse=True)
        self.recency, self.at_recency = np.unique(rows.recency / scale, return_inverse=True)
        self.x, self.at_x = np.unique(rows.frequency, return_inverse=True)
        self.x_count = tally(self.at_x, self.weight)
        self.T_count = tally(self.at_T, self.weight)
        self.T_stages = tally(self.at_T, self.weight * self.stages)
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
        _, log_odds = self._log_odds(*params)
        value = self._tables(params)
        if self.regularity > 1:
            polynomial = self._stages(params).log_polynomial()
            log_odds -= polynomial
            value += dot(self.weight, polynomial)
        return value + dot(self.weight, _softplus(log_odds)[0])

    def _stages(self, params: FloatArray) -> Stages:
        r, alpha, _, _ = params
        silence = (self.rows.T - self.rows.recency) / self.scale
        share = silence / (alpha + self.T)[self.at_T]
        return Stages(self.regularity, r + self.stages, share)

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
        by_T = (r * self.T_count + self.T_stages) * np.log(alpha + self.T)
        return dot(self.x_count, rate + stay - leave) + self.n * float(shared) - float(by_T.sum())

    def _log_odds(
        self, r: float, alpha: float, a: float, b: float
    ) -> tuple[FloatArray, FloatArray]:
        """Return ln((alpha + T)/(alpha + t_x)) and d, the log-odds of being gone at k = 1."""
        silence = np.log(alpha + self.T)[self.at_T]
        silence -= np.log(alpha + self.recency)[self.at_recency]
        first = np.full(len(self.x), -np.inf)
        leave = self.can_leave
        first[leave] = np.log(a) - np.log(b + self.x[leave] + self.m - 1)
        return silence, first[self.at_x] + (r + self.stages) * silence

    def derivatives(self, theta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Return mean value, gradient and Hessian with respect to the log parameters."""
        r, alpha, a, b = params = np.exp(theta)
        x, count, n, w = self.x, self.x_count, self.n, self.weight
        beta = b + x + self.m
        silence, log_odds = self._log_odds(r, alpha, a, b)
        per_T, per_recency = 1 / (alpha + self.T), 1 / (alpha + self.recency)
        c_T = r * self.T_count + self.T_stages
        # d is the log-odds of being gone; step is the slope of ln((alpha + T)/(alpha + t_x)).
        step = per_T[self.at_T] - per_recency[self.at_recency]
        slope_r, slope_alpha = silence, (r + self.stages) * step
        bend = np.zeros((2, 2))
        value, tilt = self._tables(params), np.zeros(2)
        if self.regularity > 1:
            # With f in it d has other slopes, and f itself adds to value, gradient and Hessian.
            f, f_slope, f_bend = self._stages(params).derivatives(per_T[self.at_T])
            log_odds -= f
            slope_r, slope_alpha = silence - f_slope[0], slope_alpha - f_slope[1]
            value += dot(w, f)
            tilt = np.array([dot(w, slope) for slope in f_slope])
            lives = w * (1 - _softplus(log_odds)[1])
            bend = np.array([[dot(lives, part) for part in row] for row in f_bend])
        softplus, gone = _softplus(log_odds)
        value += dot(w, softplus)

        slope_b = np.where(self.can_leave, -1 / np.where(self.can_leave, beta - 1, 1.0), 0.0)
        wg = w * gone
        gone_x = tally(self.at_x, wg, len(x))
        gone_n = float(gone_x.sum())

        rate, stay, leave, rate_0, stay_0, leave_0 = self._special(psi, params)
        shared_ab = n * leave_0 - dot(count, leave)
        gradient = np.array(
            [
                dot(count, rate)
                + n * (np.log(alpha) - rate_0)
                - dot(self.T_count, np.log(alpha + self.T))
                + dot(wg, slope_r)
                + tilt[0],
                n * r / alpha - dot(c_T, per_T) + dot(wg, slope_alpha) + tilt[1],
                shared_ab + gone_n / a,
                shared_ab + dot(count, stay) - n * stay_0 + dot(gone_x, slope_b),
            ]
        )
        # Curvature of ln(1 + e^d) times the slopes of d, then the second derivatives of d.
        spread = wg * (1 - gone)
        by_r, by_alpha = spread * slope_r, spread * slope_alpha
        x_0, x_r, x_alpha = (tally(self.at_x, part, len(x)) for part in (spread, by_r, by_alpha))
        hessian = np.zeros((4, 4))
        hessian[0, 0] = dot(by_r, slope_r)
        hessian[0, 1] = dot(by_r, slope_alpha) + dot(wg, step)
        hessian[1, 1] = dot(by_alpha, slope_alpha) - dot(
            wg, (r + self.stages) * step * (per_T[self.at_T] + per_recency[self.at_recency])
        )
        hessian[:2, :2] += bend
        hessian[0, 2], hessian[1, 2] = x_r.sum() / a, x_alpha.sum() / a
        hessian[0, 3], hessian[1, 3] = dot(x_r, slope_b), dot(x_alpha, slope_b)
        hessian[2, 2] = (x_0.sum() - gone_n) / a**2
        hessian[2, 3] = dot(x_0, slope_b) / a
        hessian[3, 3] = dot(x_0 + gone_x, slope_b**2)
        # Those of the tables.
        rate, stay, leave, rate_0, stay_0, leave_0 = self._special(_trigamma, params)
        hessian[0, 0] += dot(count, rate) - n * rate_0
        hessian[0, 1] += n / alpha - dot(self.T_count, per_T)
        hessian[1, 1] += dot(c_T, per_T**2) - n * r / alpha**2
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
    softplus, gone = _softplus(log_odds)
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
        return float(customers.rows.sum("log_gaps").fetchall()[0][0])
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


def _softplus(d: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return ln(1 + e^d) and its slope e^d / (1 + e^d), from one exponential."""
    small = np.exp(-np.abs(d))
    share = 1 / (1 + small)
    return np.maximum(d, 0) + np.log1p(small), np.where(d > 0, share, small * share)
