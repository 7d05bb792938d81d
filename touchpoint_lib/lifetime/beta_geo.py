"""BG/NBD and MBG/NBD: Poisson purchases, geometric drop-out after each purchase."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from scipy.special import betainc, betaln, gammaln, psi, zeta

from touchpoint_lib._checks import FloatArray, check_integer, check_values, fail
from touchpoint_lib.lifetime._newton import minimise
from touchpoint_lib.lifetime._purchases import PurchaseModel
from touchpoint_lib.lifetime._quadrature import beta_rule, discounted_flow, nodes_needed
from touchpoint_lib.lifetime._rows import (
    Rows,
    check_rows,
    common_unit,
    customer_frame,
    distinct_pairs,
    group,
    tally,
)

#: x that share a quadrature rule: up to this multiple of the lowest b + x above it.
_SHARED_RULE = 3.0
#: Cells of (x, T) pairs by nodes evaluated at once.
_BLOCK = 2_000_000
#: Rows whose arrays stay in the processor's cache.
_CACHED = 32_768


class BetaGeoModel(PurchaseModel):
    """BG/NBD: while alive a customer buys at a Gamma(r, alpha) rate, and drops out after each
    repeat purchase with a Beta(a, b) probability.

    A customer without a repeat purchase is alive for ever under this model; use
    `ModifiedBetaGeoModel` where that matters (sleep states, timing).

    References
    ----------
    Fader, Hardie & Lee (2005), "Counting your customers the easy way", Marketing Science 24(2):
    eq. (6) likelihood, eq. (8)-(10) predictions. P(alive): Fader, Hardie & Lee (2008),
    "Computing P(alive) using the BG/NBD model".

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> split = tp.rfm_split(tp.load_cdnow(sample=True), split="1997-09-30")
    >>> model = tp.BetaGeoModel().fit(split)
    >>> model.params_.round(2).to_dict()
    {'r': 0.24, 'alpha': 4.41, 'a': 0.79, 'b': 2.43}
    >>> model.expected_purchases(split, horizon=39).sum().round()
    np.float64(1653.0)
    """

    parameter_names: ClassVar[tuple[str, ...]] = ("r", "alpha", "a", "b")
    #: 1 where a customer may also drop out right after the first purchase.
    _chance_at_first: ClassVar[int] = 0

    def fit(self, customers: Any, unit: str | None = None) -> Self:
        """Estimate r, alpha, a and b by maximum likelihood.

        Parameters
        ----------
        customers : DataFrame or CustomerBase
            With frequency, recency and T; a column ``count`` weighs the rows.
        unit : {"D", "W"}, optional
            Unit of the times, where ``customers.attrs`` does not tell.

        Returns
        -------
        self

        Raises
        ------
        InputError
            If a value is missing or impossible, nobody has a repeat purchase, or the units
            disagree.

        Warns
        -----
        ConvergenceWarning
            If the likelihood has no proper maximum.
        """
        frame = customer_frame(customers, compressed=True)
        rows = group(check_rows(frame))
        self.unit_ = common_unit(frame.attrs, unit)
        repeats = _dot(rows.count, rows.frequency)
        if repeats == 0:
            raise fail(
                f"none of the {rows.n_customers:,.0f} customers has a repeat purchase",
                "use a longer window: without repeats no rate can be estimated",
            )
        # Times are divided by their mean, so that every parameter is of order one.
        scale = _dot(rows.count, rows.T) / rows.n_customers
        likelihood = _Likelihood(rows, scale, self._chance_at_first)
        optimum = minimise(likelihood.derivatives, likelihood.start())
        log_scale = np.array([0.0, np.log(scale), 0.0, 0.0])
        in_unit = repeats * float(np.log(scale))

        def log_likelihood(theta: FloatArray) -> float:
            return likelihood.total(theta - log_scale) - in_unit

        self._log_likelihood = log_likelihood
        total = -optimum.value * rows.n_customers - in_unit
        self._finish(optimum, log_scale, total, rows.n_customers)
        return self

    def simulate(self, n_customers: int, T: Any, seed: int) -> pd.DataFrame:
        """Draw customers from the model.

        Parameters
        ----------
        n_customers : int
            How many.
        T : float or array of float
            Length of observation of all or of each customer, > 0, in the unit.
        seed : int
            Seed of the generator.

        Returns
        -------
        DataFrame
            frequency, recency, T, and the truth ``alive`` (at T). Times are continuous.
        """
        r, alpha, a, b = self._require_fit()
        n = check_integer("n_customers", n_customers, ge=1)
        observed = np.broadcast_to(check_values("T", T, gt=0), (n,)).astype(np.float64)
        generator = np.random.default_rng(check_integer("seed", seed, ge=0))
        rate = generator.gamma(r, 1 / alpha, n)
        leaves = generator.beta(a, b, n)
        frequency, recency = np.zeros(n, dtype=np.int64), np.zeros(n)
        alive = np.ones(n, dtype=bool)
        if self._chance_at_first:
            alive = generator.random(n) >= leaves
        active = np.flatnonzero(alive)
        clock = np.zeros(n)
        while active.size:
            # A rate may underflow to 0 where r is small: such a customer never comes back.
            with np.errstate(divide="ignore"):
                clock[active] += generator.standard_exponential(active.size) / rate[active]
            active = active[clock[active] <= observed[active]]
            frequency[active] += 1
            recency[active] = clock[active]
            stays = generator.random(active.size) >= leaves[active]
            alive[active[~stays]] = False
            active = active[stays]
        frame = pd.DataFrame(
            {"frequency": frequency, "recency": recency, "T": observed, "alive": alive}
        )
        if self.unit_ is not None:
            frame.attrs["unit"] = self.unit_
        return frame

    # -- predictions on rows -----------------------------------------------------------------

    def _dead_log_odds(self, params: FloatArray, rows: Rows) -> FloatArray:
        """ln of P(dropped out at t_x) / P(alive at T); no power is ever formed."""
        r, alpha, a, b = params
        silence = np.log1p((rows.T - rows.recency) / (alpha + rows.recency))
        chances = rows.frequency + self._chance_at_first
        # Who had no chance to leave has b + x + m - 1 at infinity: cheaper than a selection.
        with np.errstate(divide="ignore"):
            stays = (b + chances) / np.minimum(chances, 1.0) - 1
        return (r + rows.frequency) * silence + (np.log(a) - np.log(stays))

    def _alive(self, params: FloatArray, rows: Rows, future: float) -> FloatArray:
        now = np.empty(len(rows.T))
        # In blocks that stay in the cache: several passes over a million rows do not.
        for start in range(0, len(now), _CACHED):
            block = slice(start, start + _CACHED)
            # Infinite odds are a probability of 0, and far quicker than expit.
            with np.errstate(over="ignore"):
                now[block] = 1 / (1 + np.exp(self._dead_log_odds(params, rows.part(block))))
        if future == 0:
            return now
        return now * self._over_dropout(
            params, rows, future, lambda p, c, age: np.exp(-c * np.log1p(p * (future / age)))
        )

    def _purchases(self, params: FloatArray, rows: Rows, horizon: float) -> FloatArray:
        # Alive with (rate, p), the expected number by t is (1 - exp(-rate p t)) / p.
        return self._alive(params, rows, 0) * self._over_dropout(
            params,
            rows,
            horizon,
            lambda p, c, age: -np.expm1(-c * np.log1p(p * (horizon / age))) / p,
        )

    def _discounted(
        self, params: FloatArray, rows: Rows, rate: float, horizon: float | None
    ) -> FloatArray:
        if horizon == 0:
            return np.zeros(len(rows.T))
        reach = 5 / rate if horizon is None else min(horizon, 5 / max(rate, 1e-300))
        # The purchase rate at t is E[rate exp(-rate p t)], discounted and summed over time.
        return self._alive(params, rows, 0) * self._over_dropout(
            params,
            rows,
            reach,
            lambda p, c, age: discounted_flow(p, c, age, rate, horizon),
        )

    def _over_dropout(
        self,
        params: FloatArray,
        rows: Rows,
        horizon: float,
        integrand: Callable[[FloatArray, FloatArray, FloatArray], FloatArray],
    ) -> FloatArray:
        """E of ``integrand(p, r + x, alpha + T)`` over the drop-out probability of the living.

        It depends on a customer through (x, T) only. One rule serves all x whose Beta(a, b + x)
        are within a factor of each other, reweighted by (1 - p)^(x - lowest x).
        """
        r, alpha, a, b = params
        frequency, age, inverse = distinct_pairs(rows.frequency, rows.T)
        exposure = alpha + age
        values = np.empty(len(age))
        rest = np.argsort(frequency, kind="stable")
        while rest.size:
            low = float(frequency[rest[0]])
            beta = b + low + self._chance_at_first
            end = np.searchsorted(frequency[rest], low + _SHARED_RULE * beta, side="right")
            at, rest = rest[:end], rest[end:]
            extra = frequency[at] - low
            stretch = max(horizon / exposure[at].min(), extra[-1] / beta)
            p, weights = beta_rule(a, beta, nodes_needed(stretch, r + frequency[at[-1]]))
            shift = np.exp(
                extra[:, None] * np.log1p(-p) - (betaln(a, beta + extra) - betaln(a, beta))[:, None]
            )
            # In blocks: rows times nodes may be many.
            step = max(1, _BLOCK // len(p))
            for i in range(0, len(at), step):
                part = at[i : i + step]
                c, old = r + frequency[part, None], exposure[part, None]
                values[part] = (integrand(p, c, old) * shift[i : i + step]) @ weights
        return values[inverse]

    def _buys(self, params: FloatArray, rows: Rows, horizon: float) -> FloatArray:
        r, alpha, _, _ = params
        exponent = -(r + rows.frequency) * np.log1p(horizon / (alpha + rows.T))
        return -self._alive(params, rows, 0) * np.expm1(exponent)

    def _buys_n(self, params: FloatArray, rows: Rows, n: int, horizon: float) -> FloatArray:
        if n == 0:
            return 1 - self._buys(params, rows, horizon)
        r, alpha, a, b = params
        c = r + rows.frequency
        beta = b + rows.frequency + self._chance_at_first
        # n purchases and alive, or the n-th within the horizon was the last.
        quiet = c * np.log1p(horizon / (alpha + rows.T))
        z = horizon / (alpha + rows.T + horizon)
        with np.errstate(divide="ignore"):
            log_count = gammaln(c + n) - gammaln(c) - gammaln(n + 1) + n * np.log(z) - quiet
        stayed = np.exp(betaln(a, beta + n) - betaln(a, beta) + log_count)
        left = np.exp(betaln(a + 1, beta + n - 1) - betaln(a, beta)) * betainc(n, c, z)
        return self._alive(params, rows, 0) * (stayed + left)

    def _next_purchase(self, params: FloatArray, rows: Rows, quantile: float) -> FloatArray:
        r, alpha, _, _ = params
        alive = self._alive(params, rows, 0)
        times = np.full(len(alive), np.inf)
        can = alive > quantile
        age, c = alpha + rows.T[can], r + rows.frequency[can]
        with np.errstate(over="ignore"):
            times[can] = age * np.expm1(-np.log1p(-quantile / alive[can]) / c)
        return times

    def _dormancy(self, params: FloatArray, rows: Rows, alive: Any) -> FloatArray:
        r, alpha, _, _ = params
        on_the_day = Rows(rows.frequency, rows.recency, rows.recency, rows.count)
        # How far the log-odds of being gone have to rise, at ln(1 + g / (alpha + t_x)) each.
        rise = -np.log(alive / (1 - alive)) - self._dead_log_odds(params, on_the_day)
        with np.errstate(over="ignore"):
            gap = (alpha + rows.recency) * np.expm1(rise / (r + rows.frequency))
        return np.maximum(gap, 0.0)


class ModifiedBetaGeoModel(BetaGeoModel):
    """MBG/NBD: like BG/NBD, but a customer may also drop out right after the first purchase.

    So one-time customers are not alive for ever, and silence counts against everybody.

    References
    ----------
    Batislam, Denizel & Filiztekin (2007), "Empirical validation and comparison of models for
    customer base analysis", IJRM 24(3). Hoppe & Wagner (2007), "Customer base analysis: the
    case for a central variant of the Betageometric/NBD model", eq. (3)-(8).

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> split = tp.rfm_split(tp.load_cdnow(sample=True), split="1997-09-30")
    >>> model = tp.ModifiedBetaGeoModel().fit(split)
    >>> model.params_.round(2).to_dict()
    {'r': 0.52, 'alpha': 6.18, 'a': 0.89, 'b': 1.61}
    >>> model.probability_alive(split).between(0, 1).all()
    np.True_
    """

    _chance_at_first: ClassVar[int] = 1


class _Likelihood:
    """Mean negative log-likelihood over compressed rows, with closed-form derivatives.

    Gamma functions are taken once a distinct x, logarithms once a distinct T and recency; sums
    of terms in one of them run over tables of weights. Sums are not left to BLAS, whose threads
    cost more than they gain at these sizes.
    """

    def __init__(self, rows: Rows, scale: float, chance_at_first: int) -> None:
        self.m = chance_at_first
        self.weight, self.n = rows.count, rows.n_customers
        self.x, self.rows, self.scale = rows.frequency, rows, scale
        self.T, self.at_T = np.unique(rows.T / scale, return_inverse=True)
        self.recency, self.at_recency = np.unique(rows.recency / scale, return_inverse=True)
        self.k, self.at_x = np.unique(self.x, return_inverse=True)
        self.k_count = tally(self.at_x, self.weight)
        self.T_count = tally(self.at_T, self.weight)
        self.T_repeats = tally(self.at_T, self.weight * self.x)
        self.can_leave = self.k + self.m > 0

    def start(self) -> FloatArray:
        """Return log parameters from the moments of the purchase rates."""
        rows, weight = self.rows, self.weight / self.n
        seen = rows.T > 0
        age = np.where(seen, rows.T / self.scale, 1.0)
        rate = np.where(seen, rows.frequency / age, 0.0)
        mean = _dot(weight, rate)
        noise = mean * _dot(weight, np.where(seen, 1 / age, 0.0))
        between = max(_dot(weight, (rate - mean) ** 2) - noise, 0.2 * mean**2)
        r = float(np.clip(mean**2 / between, 0.05, 20))
        alpha = r / (_dot(weight, rows.frequency) * self.scale / _dot(weight, rows.T))
        return np.log([r, alpha, 1.0, 2.5])

    def total(self, theta: FloatArray) -> float:
        """Return the log-likelihood of all customers."""
        params = np.exp(theta)
        _, log_odds = self._log_odds(*params)
        return self._tables(params) + _dot(self.weight, _softplus(log_odds)[0])

    def _special(self, function: Any, params: FloatArray) -> tuple[Any, ...]:
        """Return ``function`` of r + x, b + x + m and a + b + x + m, and of r, b and a + b."""
        r, _, a, b = params
        beta = b + self.k + self.m
        values = function(np.concatenate([r + self.k, beta, a + beta, [r, b, a + b]]))
        n = len(self.k)
        return values[:n], values[n : 2 * n], values[2 * n : 3 * n], *values[3 * n :]

    def _tables(self, params: FloatArray) -> float:
        """Return the part of the log-likelihood that needs no row."""
        r, alpha, _, _ = params
        rate, stay, leave, rate_0, stay_0, leave_0 = self._special(gammaln, params)
        shared = r * np.log(alpha) - rate_0 - stay_0 + leave_0
        by_T = (r * self.T_count + self.T_repeats) * np.log(alpha + self.T)
        return _dot(self.k_count, rate + stay - leave) + self.n * float(shared) - float(by_T.sum())

    def _log_odds(
        self, r: float, alpha: float, a: float, b: float
    ) -> tuple[FloatArray, FloatArray]:
        """Return ln((alpha + T)/(alpha + t_x)) and the log-odds of being gone, a row each."""
        silence = np.log(alpha + self.T)[self.at_T]
        silence -= np.log(alpha + self.recency)[self.at_recency]
        first = np.full(len(self.k), -np.inf)
        leave = self.can_leave
        first[leave] = np.log(a) - np.log(b + self.k[leave] + self.m - 1)
        return silence, first[self.at_x] + (r + self.x) * silence

    def derivatives(self, theta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Return mean value, gradient and Hessian with respect to the log parameters."""
        r, alpha, a, b = params = np.exp(theta)
        k, count, n, w = self.k, self.k_count, self.n, self.weight
        beta = b + k + self.m
        silence, log_odds = self._log_odds(r, alpha, a, b)
        softplus, gone = _softplus(log_odds)
        value = self._tables(params) + _dot(w, softplus)

        per_T, per_recency = 1 / (alpha + self.T), 1 / (alpha + self.recency)
        c_T = r * self.T_count + self.T_repeats
        # d is the log-odds of being gone; step is the slope of ln((alpha + T)/(alpha + t_x)).
        step = per_T[self.at_T] - per_recency[self.at_recency]
        c = r + self.x
        slope_alpha = c * step
        slope_b = np.where(self.can_leave, -1 / np.where(self.can_leave, beta - 1, 1.0), 0.0)
        wg = w * gone
        gone_x = tally(self.at_x, wg, len(k))
        gone_n = float(gone_x.sum())

        rate, stay, leave, rate_0, stay_0, leave_0 = self._special(psi, params)
        shared_ab = n * leave_0 - _dot(count, leave)
        gradient = np.array(
            [
                _dot(count, rate)
                + n * (np.log(alpha) - rate_0)
                - _dot(self.T_count, np.log(alpha + self.T))
                + _dot(wg, silence),
                n * r / alpha - _dot(c_T, per_T) + _dot(wg, slope_alpha),
                shared_ab + gone_n / a,
                shared_ab + _dot(count, stay) - n * stay_0 + _dot(gone_x, slope_b),
            ]
        )
        # Curvature of ln(1 + e^d) times the slopes of d, then the second derivatives of d.
        spread = wg * (1 - gone)
        by_silence, by_alpha = spread * silence, spread * slope_alpha
        x_0, x_r, x_alpha = (
            tally(self.at_x, part, len(k)) for part in (spread, by_silence, by_alpha)
        )
        hessian = np.empty((4, 4))
        hessian[0, 0] = _dot(by_silence, silence)
        hessian[0, 1] = _dot(by_silence, slope_alpha) + _dot(wg, step)
        hessian[1, 1] = _dot(by_alpha, slope_alpha) - _dot(
            wg, slope_alpha * (per_T[self.at_T] + per_recency[self.at_recency])
        )
        hessian[0, 2], hessian[1, 2] = x_r.sum() / a, x_alpha.sum() / a
        hessian[0, 3], hessian[1, 3] = _dot(x_r, slope_b), _dot(x_alpha, slope_b)
        hessian[2, 2] = (x_0.sum() - gone_n) / a**2
        hessian[2, 3] = _dot(x_0, slope_b) / a
        hessian[3, 3] = _dot(x_0 + gone_x, slope_b**2)
        # Those of the tables; the trigamma function is zeta(2, x).
        rate, stay, leave, rate_0, stay_0, leave_0 = self._special(partial(zeta, 2), params)
        hessian[0, 0] += _dot(count, rate) - n * rate_0
        hessian[0, 1] += n / alpha - _dot(self.T_count, per_T)
        hessian[1, 1] += _dot(c_T, per_T**2) - n * r / alpha**2
        hessian[2:, 2:] += n * leave_0 - _dot(count, leave)
        hessian[3, 3] += _dot(count, stay) - n * stay_0
        hessian = np.triu(hessian) + np.triu(hessian, 1).T
        on_log_scale = hessian * np.outer(params, params) + np.diag(gradient * params)
        return -value / n, -gradient * params / n, -on_log_scale / n


def _dot(left: FloatArray, right: FloatArray) -> float:
    return float(np.einsum("i,i->", left, right))


def _softplus(d: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return ln(1 + e^d) and its slope e^d / (1 + e^d), from one exponential."""
    small = np.exp(-np.abs(d))
    share = 1 / (1 + small)
    return np.maximum(d, 0) + np.log1p(small), np.where(d > 0, share, small * share)
