"""Pareto/NBD: Poisson purchases, and a lifetime that ends at any moment, seen by nobody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from scipy.special import betaln, expit, exprel

from touchpoint_lib._checks import FloatArray, check_each, check_integer
from touchpoint_lib.lifetime._base import all_or_nothing
from touchpoint_lib.lifetime._centroids import centroids, minimise_rows
from touchpoint_lib.lifetime._covariate_model import CovariateModel
from touchpoint_lib.lifetime._covariates import Links
from touchpoint_lib.lifetime._pareto_integral import (
    DayGrid,
    TwoPowers,
    count_integral,
    discount_integral,
)
from touchpoint_lib.lifetime._pareto_likelihood import (
    Likelihood,
    log_odds_after,
    log_odds_gone,
    row_derivatives,
)
from touchpoint_lib.lifetime._predictions import Params
from touchpoint_lib.lifetime._roots import increasing_root
from touchpoint_lib.lifetime._rows import (
    Rows,
    check_rows,
    common_unit,
    customer_frame,
    group,
    group_with_inverse,
    mean_age,
    total_repeats,
)

#: From so many rows on it pays to look for customers that share one.
_MANY = 500
#: Relative error of P(alive) from tables.
_TABLE_ERROR = 1e-13


class ParetoNBDModel(CovariateModel):
    """Pareto/NBD: while alive a customer buys at a Gamma(r, alpha) rate, and dies at a
    Gamma(s, beta) rate, independent of it.

    Unlike under `BetaGeoModel`, silence counts against everybody from the first day, also where
    there was no repeat purchase. Every integral is taken by quadrature to rounding: there is no
    2F1 that overflows, and all predictions are finite for any history.

    References
    ----------
    Schmittlein, Morrison & Colombo (1987), "Counting your customers: who are they and what will
    they do next?", Management Science 33(1). Fader & Hardie (2005), "A note on deriving the
    Pareto/NBD model and related expressions". Discounted purchases: Fader, Hardie & Lee (2005),
    "RFM and CLV: using iso-value curves for customer base analysis", JMR 42(4).

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> split = tp.rfm_split(tp.load_cdnow(sample=True), split="1997-09-30")
    >>> model = tp.ParetoNBDModel().fit(split)
    >>> model.params_.round(2).to_dict()
    {'r': 0.55, 'alpha': 10.58, 's': 0.61, 'beta': 11.67}
    >>> model.expected_purchases(split, horizon=39).sum().round()
    np.float64(1666.0)
    """

    parameter_names: ClassVar[tuple[str, ...]] = ("r", "alpha", "s", "beta")
    _links: ClassVar[Links] = {"rate": {1: -1.0}, "dropout": {3: -1.0}}
    _time_parameters: ClassVar[tuple[int, ...]] = (1, 3)

    @all_or_nothing
    def fit(
        self,
        customers: Any,
        unit: str | None = None,
        *,
        rate_covariates: str | pd.DataFrame | None = None,
        dropout_covariates: str | pd.DataFrame | None = None,
    ) -> Self:
        """Estimate r, alpha, s and beta by maximum likelihood.

        Parameters
        ----------
        customers : DataFrame or CustomerBase
            With frequency, recency and T; a column ``count`` weighs the rows.
        unit : {"D", "W"}, optional
            Unit of the times, where ``customers.attrs`` does not tell.
        rate_covariates, dropout_covariates : str or DataFrame, optional
            What is known of each customer: a formula over columns of ``customers``, such as
            ``"channel + np.log1p(visits)"``, or a frame of columns on the same index. The
            purchase rate is multiplied by exp(z @ coefficients), and so is the rate of dropping
            out, each by its own set (Fader & Hardie 2007). Predictions then need the columns.

        Returns
        -------
        self

        Raises
        ------
        InputError
            If a value is missing or impossible, nobody has a repeat purchase, the units
            disagree, or a covariate is constant or follows from others.

        Warns
        -----
        ConvergenceWarning
            If the likelihood has no proper maximum.
        """
        given = self._given(rate_covariates, dropout_covariates)
        frame = customer_frame(customers, compressed=not given)
        rows = group(check_rows(frame))
        self.unit_ = common_unit(frame.attrs, unit)
        total_repeats(rows)
        # Newton moves parameters of times divided by their mean, so that all are of order one.
        scale = mean_age(rows)
        log_scale = np.log([1.0, scale, 1.0, scale])
        likelihood, coarse = Likelihood(rows, scale), centroids(rows)
        optimum = minimise_rows(likelihood, None if coarse is None else Likelihood(coarse, scale))
        if given:
            self._fit_covariates(frame, given, optimum.theta, scale)
            return self
        self._log_likelihood, self._data = likelihood.totals, rows.totals
        self._finish(optimum, log_scale, -optimum.value * rows.n_customers, rows.n_customers)
        return self

    def simulate(
        self, n_customers: int, T: Any, seed: int, covariates: pd.DataFrame | None = None
    ) -> pd.DataFrame:
        """Draw customers from the model.

        Parameters
        ----------
        n_customers : int
            How many.
        T : float or array of float
            Length of observation of all or of each customer, > 0, in the unit.
        seed : int
            Seed of the generator.
        covariates : DataFrame, optional
            One row a customer, where the model has covariates.

        Returns
        -------
        DataFrame
            frequency, recency, T, and the truth ``alive`` (at T). Times are continuous.
        """
        n = check_integer("n_customers", n_customers, ge=1)
        r, alpha, s, beta = self._one_each(n, covariates)
        observed = check_each("T", T, n, gt=0)
        generator = np.random.default_rng(check_integer("seed", seed, ge=0))
        rate = generator.gamma(r, 1 / alpha, n)
        # A rate may underflow to 0 where s is small: such a customer never dies.
        with np.errstate(divide="ignore"):
            death = generator.standard_exponential(n) / generator.gamma(s, 1 / beta, n)
        active = np.minimum(death, observed)
        frequency = generator.poisson(rate * active)
        # The last of x purchases at uniform times.
        share = (1 - generator.random(n)) ** (1 / np.maximum(frequency, 1))
        frame = pd.DataFrame(
            {
                "frequency": frequency,
                "recency": np.where(frequency > 0, active * share, 0.0),
                "T": observed,
                "alive": death > observed,
            }
        )
        return self._in_unit(frame)

    # -- predictions on rows -----------------------------------------------------------------

    def _row_derivatives(
        self, params: Params, rows: Rows
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        return row_derivatives(params, rows)

    def _if_alive(self, params: Params, rows: Rows, value: Callable[[Any, Any], Any]) -> FloatArray:
        """P(alive at T) times ``value(x, T)``, the expectation of something of the living."""
        if len(rows.T) >= _MANY and _same_for_all(params):
            grid = DayGrid.of(rows)
            numbers = np.asarray(params, dtype=np.float64)
            n = 0 if grid is None else int(grid.nodes_needed(numbers[None], _TABLE_ERROR)[0])
            if grid is not None and n:
                inside, alive, _ = grid.densities(numbers, n)
                total = grid.sums(inside.sum(axis=1), alive).over(grid.start, grid.end)
                with np.errstate(over="ignore"):  # on days before any row begins
                    alive *= value(grid.k[:, None], grid.ends())
                return np.divide(alive.ravel()[grid.end], total, out=total)
        alive = expit(-log_odds_gone(params, rows))
        return np.asarray(alive * value(rows.frequency, rows.T), dtype=np.float64)

    def _alive(self, params: Params, rows: Rows, future: float) -> FloatArray:
        _, _, s, beta = params
        return self._if_alive(params, rows, lambda _, T: np.exp(-s * np.log1p(future / (beta + T))))

    def _purchases(self, params: Params, rows: Rows, horizon: float) -> FloatArray:
        r, alpha, s, beta = params

        def expected(x: Any, T: Any) -> Any:
            # The rate, times the integral of P(alive) over the horizon, which has no pole at s = 1.
            ahead = np.log1p(horizon / (beta + T))
            return (r + x) * ((beta + T) / (alpha + T) * ahead * exprel((1 - s) * ahead))

        return self._if_alive(params, rows, expected)

    def _discounted(
        self, params: Params, rows: Rows, rate: float, horizon: float | None
    ) -> FloatArray:
        r, alpha, s, beta = params
        if rate == 0 and horizon is not None:
            return self._purchases(params, rows, horizon)
        aged = beta + rows.T
        flow = np.exp(
            discount_integral(s, rate * aged, None if horizon is None else horizon / aged)
        )
        return (
            self._alive(params, rows, 0) * (r + rows.frequency) * (aged / (alpha + rows.T) * flow)
        )

    def _buys(self, params: Params, rows: Rows, horizon: float) -> FloatArray:
        return self._on_distinct(
            params,
            rows,
            lambda some: self._alive(params, some, 0) * _returns(params, some, horizon)[0],
        )

    def _buys_n(self, params: Params, rows: Rows, n: int, horizon: float) -> FloatArray:
        r, alpha, s, beta = params
        c, bought, aged = r + rows.frequency, alpha + rows.T, beta + rows.T
        log_odds = log_odds_gone(params, rows)
        if horizon == 0:
            return np.full(len(c), float(n == 0))
        # n purchases and alive all along, or dead within the horizon after n purchases.
        stays = -c * np.log1p(horizon / bought) - s * np.log1p(horizon / aged)
        if n == 0:
            dies = (
                np.log(s / aged)
                + TwoPowers.of(bought, c, aged, s + 1.0, np.full(len(c), horizon)).log()
            )
            silent = np.exp(stays) + np.exp(dies)
            return np.minimum(expit(log_odds) + expit(-log_odds) * silent, 1.0)
        ways = -betaln(c, n) - np.log(n)
        stays += n * np.log(horizon / (bought + horizon))
        dies = np.log(s) + count_integral(n, c, s, bought / aged, horizon / bought)
        return np.asarray(
            expit(-log_odds) * (np.exp(ways + stays) + np.exp(ways + dies)), dtype=np.float64
        )

    def _hazard(self, params: Params, rows: Rows, ahead: float) -> FloatArray:
        r, alpha, s, beta = params
        c, silence = r + rows.frequency, rows.T - rows.recency + ahead
        log_odds = log_odds_after(alpha + rows.recency, c, beta + rows.recency, s, silence)
        return expit(-log_odds) * c / (alpha + rows.T + ahead)

    def _next_purchase(self, params: Params, rows: Rows, quantile: float) -> FloatArray:
        alive = self._alive(params, rows, 0)
        times = np.full(len(alive), np.inf)
        # Of those who are alive, this share has to buy.
        can = alive > quantile
        can[can] = _returns(*_pick(params, rows, can), np.inf)[0] > quantile / alive[can]
        own, some = _pick(params, rows, can)
        share = quantile / alive[can]
        log_share = np.log(share)
        r, alpha, s, beta = own
        c, bought, aged = r + some.frequency, alpha + some.T, beta + some.T
        # Exact where alpha = beta.
        rate = c / bought + s / aged
        near = np.minimum(share * rate * bought / c, 1 - 1e-9)
        guess = np.log((c + s) / rate) + _log_expm1(-np.log1p(-near) / (c + s))

        def missing(y: FloatArray, at: Any) -> tuple[FloatArray, FloatArray]:
            chance, density = _returns(*_pick(own, some, at), np.exp(y))
            return np.log(chance) - log_share[at], np.exp(y) * density / chance

        times[can] = increasing_root(missing, guess)
        return times

    def _dormancy(self, params: Params, rows: Rows, alive: Any) -> FloatArray:
        if len(rows.T) >= _MANY and _same_for_all(params):
            code, levels = pd.factorize(np.broadcast_to(alive, rows.T.shape))
            distinct, inverse = group_with_inverse(
                Rows(rows.frequency, rows.recency, code.astype(np.float64), rows.count)
            )
            level = levels[distinct.T.astype(np.int64)]
            return self._gaps(params, distinct, level)[inverse]
        return self._gaps(params, rows, np.broadcast_to(alive, rows.T.shape))

    def _gaps(self, params: Params, rows: Rows, alive: FloatArray) -> FloatArray:
        gaps = np.zeros(len(rows.T))
        later = alive < 1
        own, some = _pick(params, rows, later)
        r, alpha, s, beta = own
        log_odds = np.log1p(-alive[later]) - np.log(alive[later])
        bought, c, aged = alpha + some.recency, r + some.frequency, beta + some.recency
        s = np.broadcast_to(s, c.shape)

        def excess(y: FloatArray, at: Any) -> tuple[FloatArray, FloatArray]:
            gap = np.exp(y)
            odds = log_odds_after(bought[at], c[at], aged[at], s[at], gap)
            per_age = s[at] / (aged[at] + gap)
            slope = gap * (c[at] / (bought[at] + gap) + per_age + per_age * np.exp(-odds))
            return odds - log_odds[at], slope

        # Exact where alpha = beta.
        rate = c / bought + s / aged
        grown = np.logaddexp(0, log_odds + np.log(rate * aged / s))
        guess = np.log((c + s) / rate) + _log_expm1(grown / (c + s))
        gaps[later] = increasing_root(excess, guess)
        return gaps

    def _on_distinct(
        self, params: Params, rows: Rows, evaluate: Callable[[Rows], FloatArray]
    ) -> FloatArray:
        """Evaluate on the distinct rows, where many may share one."""
        if len(rows.T) < _MANY or not _same_for_all(params):
            return evaluate(rows)
        distinct, inverse = group_with_inverse(rows)
        return evaluate(distinct)[inverse]


def _returns(params: Params, rows: Rows, horizon: Any) -> tuple[FloatArray, FloatArray]:
    """Return, for who is alive at T, P(a purchase by T + horizon), and its density there."""
    r, alpha, s, beta = params
    c, bought, aged = r + rows.frequency, alpha + rows.T, beta + rows.T
    horizon = np.broadcast_to(np.asarray(horizon, dtype=np.float64), c.shape)
    integral = TwoPowers.of(bought, c + 1, aged, s, horizon).log()
    log_rate = np.log(c / bought)
    fall = (c + 1) * np.log1p(horizon / bought) + s * np.log1p(horizon / aged)
    return np.exp(np.minimum(log_rate + integral, 0.0)), np.exp(log_rate - fall)


def _log_expm1(y: FloatArray) -> FloatArray:
    return np.asarray(y + np.log(-np.expm1(-y)), dtype=np.float64)


def _same_for_all(params: Params) -> bool:
    return all(np.ndim(p) == 0 for p in params)


def _pick(params: Params, rows: Rows, at: Any) -> tuple[Params, Rows]:
    """Return the rows at ``at`` with their own parameters."""
    own = [p if np.ndim(p) == 0 else p[at] for p in params]
    return own, rows.part(at)
