"""BG/NBD and MBG/NBD, and with regular gaps BG/CNBD-k and MBG/CNBD-k: geometric drop-out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from scipy.special import gammaln

from touchpoint_lib._checks import FloatArray, check_each, check_integer
from touchpoint_lib.lifetime._base import all_or_nothing
from touchpoint_lib.lifetime._beta_geo_likelihood import (
    Likelihood,
    row_derivatives,
    total_log_gaps,
)
from touchpoint_lib.lifetime._centroids import centroids, minimise_rows
from touchpoint_lib.lifetime._covariate_model import CovariateModel
from touchpoint_lib.lifetime._covariates import Links
from touchpoint_lib.lifetime._erlang import Future
from touchpoint_lib.lifetime._newton import Optimum
from touchpoint_lib.lifetime._predictions import Params
from touchpoint_lib.lifetime._quadrature import discounted_flow, dropout_mean
from touchpoint_lib.lifetime._rows import (
    Rows,
    check_rows,
    common_unit,
    customer_frame,
    distinct_pairs,
    group,
    mean_age,
    total_repeats,
)
from touchpoint_lib.lifetime._stages import Stages, check_regularity, silence_of

#: Rows whose arrays stay in the processor's cache.
_CACHED = 32_768
#: The k that "auto" tries.
_CANDIDATES = range(1, 13)


class BetaGeoModel(CovariateModel):
    """BG/NBD: while alive a customer buys at a Gamma(r, alpha) rate, and drops out after each
    repeat purchase with a Beta(a, b) probability.

    With ``regularity=k`` it is BG/CNBD-k: a purchase takes k stages, each at the customer's
    Gamma(r, alpha) rate, so that gaps are Erlang-k: the larger k, the more regular (the mean gap
    is k / rate; alpha is that of the stages). A customer without a repeat purchase is alive for
    ever under this model; use `ModifiedBetaGeoModel` where that matters (sleep states, timing).

    Parameters
    ----------
    regularity : int or "auto"
        k >= 1; with "auto" the k from 1 to 12 of the highest likelihood. Fits with k > 1 or "auto"
        need the column log_gaps of `rfm_summary`.

    Attributes
    ----------
    regularity_ : int
        The k of the fit.
    regularity_likelihoods_ : Series
        After a fit with "auto" (not in a file): the log-likelihood of each k. Information
        criteria do not count k as a parameter.

    Notes
    -----
    For k > 1 too every prediction is exact. The R package BTYDplus approximates the expected
    purchases by those of k = 1 and rescales them.

    References
    ----------
    Fader, Hardie & Lee (2005), "Counting your customers the easy way", Marketing Science 24(2):
    eq. (6) likelihood, eq. (8)-(10) predictions. P(alive): Fader, Hardie & Lee (2008),
    "Computing P(alive) using the BG/NBD model". Covariates: Fader & Hardie (2007), "Incorporating
    time-invariant covariates into the Pareto/NBD and BG/NBD models". Regularity: Platzer &
    Reutterer (2016), "Ticking away the moments: timing regularity helps to better predict
    customer activity", Marketing Science 35(5); Reutterer, Platzer & Schröder (2021), "Leveraging
    purchase regularity for predicting customer behavior the easy way", IJRM 38(1), which defines
    (M)BG/CNBD-k.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> split = tp.rfm_split(tp.load_cdnow(sample=True), split="1997-09-30")
    >>> model = tp.BetaGeoModel().fit(split)
    >>> model.params_.round(2).to_dict()
    {'r': 0.24, 'alpha': 4.41, 'a': 0.79, 'b': 2.43}
    >>> model.expected_purchases(split, horizon=39).sum().round()
    np.float64(1653.0)
    >>> tp.BetaGeoModel(regularity="auto").fit(split).regularity_
    1
    """

    parameter_names: ClassVar[tuple[str, ...]] = ("r", "alpha", "a", "b")
    _links: ClassVar[Links] = {"rate": {1: -1.0}, "dropout": {2: 0.5, 3: -0.5}}
    _penalised: ClassVar[tuple[int, ...]] = (2, 3)
    #: 1 where a customer may also drop out right after the first purchase.
    _chance_at_first: ClassVar[int] = 0

    regularity_: int
    regularity_likelihoods_: pd.Series

    def __init__(self, regularity: int | str = 1) -> None:
        auto = isinstance(regularity, str) and regularity == "auto"
        self.regularity = "auto" if auto else check_regularity(regularity)

    @all_or_nothing
    def fit(
        self,
        customers: Any,
        unit: str | None = None,
        *,
        rate_covariates: str | pd.DataFrame | None = None,
        dropout_covariates: str | pd.DataFrame | None = None,
    ) -> Self:
        """Estimate r, alpha, a and b by maximum likelihood.

        Parameters
        ----------
        customers : DataFrame or CustomerBase
            With frequency, recency and T, and for regular gaps log_gaps; a column ``count``
            weighs the rows.
        unit : {"D", "W"}, optional
            Unit of the times, where ``customers.attrs`` does not tell.
        rate_covariates, dropout_covariates : str or DataFrame, optional
            What is known of each customer: a formula over columns of ``customers``, such as
            ``"channel + np.log1p(visits)"``, or a frame of columns on the same index. The
            purchase rate is multiplied by exp(z @ coefficients), and the odds a / b of dropping
            out after a purchase by exp(z @ coefficients) of their own set. A normal prior on
            ln(a + b), with standard deviation 3 and worth less than one customer, keeps a and b
            from running away; "auto" chooses k without the covariates. Predictions then need the
            columns.

        Returns
        -------
        self

        Raises
        ------
        InputError
            If a value is missing or impossible, nobody has a repeat purchase, the units
            disagree, log_gaps is needed and missing, or a covariate is constant or follows from
            others.

        Warns
        -----
        ConvergenceWarning
            If the likelihood has no proper maximum.
        """
        given = self._given(rate_covariates, dropout_covariates)
        frame = customer_frame(customers, compressed=not given)
        each = check_rows(frame)
        gaps = 0.0 if self.regularity == 1 else total_log_gaps(customers, each, self.regularity)
        rows = group(each)
        self.unit_ = common_unit(frame.attrs, unit)
        repeats = total_repeats(rows)
        # Times are divided by their mean, so that every parameter is of order one.
        scale = mean_age(rows)
        fits: dict[int, tuple[float, Likelihood, Optimum, float]] = {}
        start: FloatArray | None = None
        coarse = centroids(rows)
        for k in _CANDIDATES if self.regularity == "auto" else [int(self.regularity)]:
            likelihood = Likelihood(rows, scale, self._chance_at_first, k)
            rough = None if coarse is None else Likelihood(coarse, scale, self._chance_at_first, k)
            optimum = minimise_rows(likelihood, rough, start)
            # Of the times to the unit of the data, and of the gaps: no parameter is in it.
            constant = (k - 1) * gaps - repeats * float(gammaln(k) + k * np.log(scale))
            fits[k] = (constant - optimum.value * rows.n_customers, likelihood, optimum, constant)
            # The same purchases from more stages: each takes as much less time.
            start = optimum.theta - np.array([0.0, np.log((k + 1) / k), 0.0, 0.0])
        if self.regularity == "auto":
            self.regularity_likelihoods_ = pd.Series(
                {k: total for k, (total, *_) in fits.items()}, name="log_likelihood"
            ).rename_axis("regularity")
        self.regularity_ = max(fits, key=lambda k: fits[k][0])
        total, likelihood, optimum, constant = fits[self.regularity_]
        if given:
            constant += repeats * self.regularity_ * float(np.log(scale))
            self._fit_covariates(frame, given, optimum.theta, scale, constant)
            return self
        log_scale = np.array([0.0, np.log(scale), 0.0, 0.0])

        def log_likelihood(theta: FloatArray) -> FloatArray:
            return np.array([likelihood.total(point) for point in theta - log_scale]) + constant

        self._log_likelihood, self._data = log_likelihood, rows.totals
        self._finish(optimum, log_scale, total, rows.n_customers)
        return self

    @classmethod
    def from_params(
        cls,
        params: Sequence[float] | Mapping[str, float] | pd.Series,
        unit: str | None = None,
        *,
        regularity: int = 1,
    ) -> Self:
        """Return a model at given parameters, to evaluate without a fit.

        Parameters
        ----------
        params : sequence, mapping or Series of float
            In the order of ``parameter_names``, or by name; all > 0.
        unit : {"D", "W"}, optional
            Unit of time that the parameters are in.
        regularity : int
            k of the Erlang-k gaps.

        Raises
        ------
        InputError
            If a name or the number of parameters is wrong, or one is not > 0.
        """
        model = super().from_params(params, unit)
        model.regularity = model.regularity_ = check_regularity(regularity, "")
        return model

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
            frequency, recency, T, log_gaps (the sum of ln gap, 0 without repeats), and the truth
            ``alive`` (at T). Times are continuous.
        """
        n = check_integer("n_customers", n_customers, ge=1)
        r, alpha, a, b = self._one_each(n, covariates)
        observed = check_each("T", T, n, gt=0)
        generator = np.random.default_rng(check_integer("seed", seed, ge=0))
        rate = generator.gamma(r, 1 / alpha, n)
        leaves = generator.beta(a, b, n)
        frequency, recency, log_gaps = np.zeros(n, dtype=np.int64), np.zeros(n), np.zeros(n)
        alive = np.ones(n, dtype=bool)
        if self._chance_at_first:
            alive = generator.random(n) >= leaves
        active = np.flatnonzero(alive)
        while active.size:
            # A rate may underflow to 0 where r is small: such a customer never comes back.
            with np.errstate(divide="ignore"):
                gap = generator.standard_gamma(self.regularity_, active.size) / rate[active]
            inside = recency[active] + gap <= observed[active]
            active, gap = active[inside], gap[inside]
            frequency[active] += 1
            recency[active] += gap
            log_gaps[active] += np.log(gap)
            stays = generator.random(active.size) >= leaves[active]
            alive[active[~stays]] = False
            active = active[stays]
        frame = pd.DataFrame(
            {
                "frequency": frequency,
                "recency": recency,
                "T": observed,
                "log_gaps": log_gaps,
                "alive": alive,
            }
        )
        return self._in_unit(frame)

    def _shown(self) -> list[str]:
        return [] if self._k == 1 else [f"regularity={self._k}"]

    def _state(self) -> dict[str, Any]:
        return {**super()._state(), "regularity": self.regularity_}

    def _restore(self, state: Mapping[str, Any]) -> None:
        super()._restore(state)
        self.regularity = self.regularity_ = check_regularity(state["regularity"], "")

    def _row_derivatives(
        self, params: Params, rows: Rows
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Log-likelihood of each row, gradient and Hessian by its own log parameters."""
        return row_derivatives(params, rows, self._chance_at_first, self._k)

    # -- predictions on rows -----------------------------------------------------------------

    @property
    def _k(self) -> int:
        """The k in force: that of the fit, or before it the one asked for."""
        asked = 1 if self.regularity == "auto" else int(self.regularity)
        return int(getattr(self, "regularity_", asked))

    def _dead_log_odds(self, params: Params, rows: Rows) -> FloatArray:
        """ln of P(dropped out at t_x) / P(alive at T); no power is ever formed."""
        r, alpha, a, b = params
        since = rows.T - rows.recency
        silence = np.log1p(since / (alpha + rows.recency))
        chances = rows.frequency + self._chance_at_first
        # Who had no chance to leave has b + x + m - 1 at infinity: cheaper than a selection.
        with np.errstate(divide="ignore"):
            stays = (b + chances) / np.minimum(chances, 1.0) - 1
        k = self._k
        c = r + k * rows.frequency
        odds = c * silence + (np.log(a) - np.log(stays))
        if k > 1:
            odds -= Stages(k, c, since / (alpha + rows.T)).log_polynomial()
        return np.asarray(odds)

    def _alive(self, params: Params, rows: Rows, future: float) -> FloatArray:
        now = np.empty(len(rows.T))
        # In blocks that stay in the cache: several passes over a million rows do not.
        for start in range(0, len(now), _CACHED):
            block = slice(start, start + _CACHED)
            # Infinite odds are a probability of 0, and far quicker than expit.
            with np.errstate(over="ignore"):
                odds = self._dead_log_odds(_part(params, block), rows.part(block))
                now[block] = 1 / (1 + np.exp(odds))
        if future == 0:
            return now
        if self._k > 1:
            return now * self._future(params, rows).stays(future)
        return now * self._over_dropout(
            params,
            rows,
            future,
            lambda p, c, age: np.exp(-c * np.log1p(p * (future / age))),
            lambda p, c, stretch: -c * np.log1p(p * stretch),
        )

    def _purchases(self, params: Params, rows: Rows, horizon: float) -> FloatArray:
        if horizon == 0:
            return np.zeros(len(rows.T))
        alive = self._alive(params, rows, 0)
        if self._k > 1:
            return alive * self._future(params, rows).purchases(horizon)
        # Alive with (rate, p), the expected number by t is (1 - exp(-rate p t)) / p.
        return alive * self._over_dropout(
            params,
            rows,
            horizon,
            lambda p, c, age: -np.expm1(-c * np.log1p(p * (horizon / age))) / p,
            _log_count,
        )

    def _discounted(
        self, params: Params, rows: Rows, rate: float, horizon: float | None
    ) -> FloatArray:
        if horizon == 0:
            return np.zeros(len(rows.T))
        alive = self._alive(params, rows, 0)
        if self._k > 1:
            return alive * self._future(params, rows).discounted(rate, horizon)
        reach = 5 / rate if horizon is None else min(horizon, 5 / max(rate, 1e-300))
        # The purchase rate at t is E[rate exp(-rate p t)], discounted and summed over time.
        return alive * self._over_dropout(
            params,
            rows,
            reach,
            lambda p, c, age: discounted_flow(p, c, age, rate, horizon),
            _log_count,
        )

    def _future(self, params: Params, rows: Rows) -> Future:
        return Future(self._k, params, rows, self._chance_at_first)

    def _over_dropout(
        self,
        params: Params,
        rows: Rows,
        horizon: float,
        integrand: Callable[[FloatArray, FloatArray, FloatArray], FloatArray],
        log_size: Callable[[FloatArray, FloatArray, FloatArray], FloatArray],
    ) -> FloatArray:
        """E of ``integrand(p, r + x, alpha + T)`` over the drop-out probability of the living.

        ``log_size(p, r + x, horizon / (alpha + T))`` is roughly its logarithm.
        """
        r, alpha, a, b = params
        inverse: Any = slice(None)
        x, age = rows.frequency, alpha + rows.T
        if not any(np.ndim(value) for value in params):
            # It depends on a customer through (x, T) only.
            x, age, inverse = distinct_pairs(rows.frequency, rows.T)
            age = alpha + age
        c, stretch = r + x, horizon / age
        values = dropout_mean(
            a,
            b + x + self._chance_at_first,
            stretch,
            c,
            c * stretch,
            lambda p, _, at: integrand(p, c[at, None], age[at, None]),
            lambda p, _, at: log_size(p, c[at, None], stretch[at, None]),
        )
        return np.asarray(values[inverse])

    def _buys(self, params: Params, rows: Rows, horizon: float) -> FloatArray:
        alive = self._alive(params, rows, 0)
        if self._k > 1:
            # Rounding may put the share of the living a hair above one.
            return alive * np.minimum(self._future(params, rows).buys(horizon), 1.0)
        r, alpha, _, _ = params
        exponent = -(r + rows.frequency) * np.log1p(horizon / (alpha + rows.T))
        return -alive * np.expm1(exponent)

    def _buys_n(self, params: Params, rows: Rows, n: int, horizon: float) -> FloatArray:
        alive = self._alive(params, rows, 0)
        if n == 0:
            with np.errstate(over="ignore"):
                gone = 1 / (1 + np.exp(-self._dead_log_odds(params, rows)))
            return np.minimum(gone + alive * self._future(params, rows).misses(horizon), 1.0)
        return alive * self._future(params, rows).buys_n(n, horizon)

    def _next_purchase(self, params: Params, rows: Rows, quantile: float) -> FloatArray:
        alive = self._alive(params, rows, 0)
        times = np.full(len(alive), np.inf)
        can = np.flatnonzero(alive > quantile)
        if not can.size:
            return times
        share, params, some = quantile / alive[can], _part(params, can), rows.part(can)
        if self._k > 1:
            times[can] = self._future(params, some).quantile(share)
            return times
        r, alpha, _, _ = params
        with np.errstate(over="ignore"):
            times[can] = (alpha + some.T) * np.expm1(-np.log1p(-share) / (r + some.frequency))
        return times

    def _dormancy(self, params: Params, rows: Rows, alive: Any) -> FloatArray:
        r, alpha, _, _ = params
        k = self._k
        c, age = r + k * rows.frequency, alpha + rows.recency
        at_first = self._dead_log_odds(
            params, Rows(rows.frequency, rows.recency, rows.recency, rows.count)
        )
        # How far the log-odds of being gone have to rise: by -ln P(no purchase since | alive).
        with np.errstate(divide="ignore", invalid="ignore"):
            level = np.log1p(-np.asarray(alive)) - np.log(alive)
            rise = np.maximum(level, at_first) - at_first
        rise = np.where(at_first == -np.inf, np.inf, rise)
        with np.errstate(over="ignore"):
            if k == 1:
                return np.asarray(age * np.expm1(rise / c))
            return np.asarray(age * silence_of(rise, np.broadcast_to(c, rise.shape), k))

    def _hazard(self, params: Params, rows: Rows, ahead: float) -> FloatArray:
        later = Rows(rows.frequency, rows.recency, rows.T + ahead, rows.count)
        alive = self._alive(params, later, 0)
        if self._k > 1:
            return alive * self._future(params, later).hazard()
        r, alpha, _, _ = params
        return np.asarray(alive * (r + rows.frequency) / (alpha + later.T))


class ModifiedBetaGeoModel(BetaGeoModel):
    """MBG/NBD: like BG/NBD, but a customer may also drop out right after the first purchase.

    So one-time customers are not alive for ever, and silence counts against everybody. With
    ``regularity=k`` it is MBG/CNBD-k; see `BetaGeoModel`.

    References
    ----------
    Batislam, Denizel & Filiztekin (2007), "Empirical validation and comparison of models for
    customer base analysis", IJRM 24(3). Hoppe & Wagner (2007), "Customer base analysis: the
    case for a central variant of the Betageometric/NBD model", eq. (3)-(8). Reutterer, Platzer &
    Schröder (2021), "Leveraging purchase regularity for predicting customer behavior the easy
    way", IJRM 38(1).

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> split = tp.rfm_split(tp.load_cdnow(sample=True), split="1997-09-30")
    >>> model = tp.ModifiedBetaGeoModel().fit(split)
    >>> model.params_.round(2).to_dict()
    {'r': 0.52, 'alpha': 6.18, 'a': 0.89, 'b': 1.61}
    >>> model.probability_alive(split).between(0, 1).all()
    np.True_
    >>> regular = tp.ModifiedBetaGeoModel.from_params([2, 4, 1, 3], unit="W", regularity=3)
    >>> tp.ModifiedBetaGeoModel("auto").fit(regular.simulate(2000, T=52, seed=1)).regularity_
    3
    """

    _chance_at_first: ClassVar[int] = 1


def _part(params: Params, rows: Any) -> list[Any]:
    """Return the parameters of some rows."""
    return [value[rows] if np.ndim(value) else value for value in params]


def _log_count(p: FloatArray, c: FloatArray, stretch: FloatArray) -> FloatArray:
    """Return the logarithm of the expected purchases given p."""
    return np.log(-np.expm1(-c * np.log1p(p * stretch)) / p)
