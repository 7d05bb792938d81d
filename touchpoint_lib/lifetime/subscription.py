"""Subscribers who renew or leave at known dates: sBG and BdW models of retention."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from touchpoint_lib._checks import (
    DAYS_PER_YEAR,
    PERIOD_DAYS,
    FloatArray,
    check_each,
    check_integer,
    check_number,
    check_values,
    fail,
)
from touchpoint_lib.lifetime._base import LifetimeModel, all_or_nothing
from touchpoint_lib.lifetime._newton import minimise
from touchpoint_lib.lifetime._rows import common_unit
from touchpoint_lib.lifetime._survival import future_sum, log_survival, shape_of
from touchpoint_lib.lifetime._tenures import Likelihood, compressed
from touchpoint_lib.lifetime.spend import InfiniteMeanWarning

#: The last period that a float counts exactly.
_LONGEST = 2.0**53


class _SubscriptionModel(LifetimeModel):
    """Base of the models of subscribers who may leave at each of a row of renewals.

    Predictions are for whole numbers of renewals and return a Series (with ``interval`` a frame
    with estimate, lower and upper) on the index of a Series that was passed, else by the number.
    """

    _kept: ClassVar[tuple[str, ...]] = ("n_left_out_",)
    _units = PERIOD_DAYS
    #: Total weight of rows with tenure 0 who have not left: they met no renewal yet.
    n_left_out_: float

    @all_or_nothing
    def fit(self, subscribers: pd.DataFrame, unit: str | None = None) -> Self:
        """Estimate the parameters by maximum likelihood.

        Parameters
        ----------
        subscribers : DataFrame
            Either a survival table of one cohort, as `load_subscriptions` returns it: ``period``
            0, 1, 2, ... (0 is the start) and ``count``, the customers left after that many
            renewals; a column ``survival`` (their share) is checked against ``count``. Or a row a
            customer: ``tenure`` and ``churned``. With churned = 1 the customer left at renewal
            number ``tenure``; with churned = 0 the customer took ``tenure`` renewals and is
            still subscribed. There a column ``count`` weighs the rows.
        unit : {"D", "W", "M", "Y"}, optional
            Time between two renewals, where ``subscribers.attrs`` does not tell.

        Returns
        -------
        self

        Raises
        ------
        InputError
            If a value is missing or impossible, nobody left, everybody left at the first
            renewal, or the units disagree.

        Warns
        -----
        ConvergenceWarning
            If the likelihood has no proper maximum, as with a single renewal, or with customers
            who do not differ.
        """
        tenure, churned, count = compressed(subscribers)
        self.unit_ = common_unit(subscribers.attrs, unit, self._units)
        seen = tenure > 0
        self.n_left_out_ = float(count[~seen].sum())
        likelihood = Likelihood(tenure[seen], churned[seen], count[seen])
        k = len(self.parameter_names)
        optimum = minimise(likelihood.derivatives, likelihood.start(k))
        self._log_likelihood = likelihood.total
        total = float(likelihood.total(optimum.theta[None, :])[0])
        self._finish(optimum, np.zeros(k), total, likelihood.n)
        return self

    def survival(
        self, periods: Any, *, interval: float | None = None, draws: Any = None
    ) -> pd.Series | pd.DataFrame:
        """Return the share of a cohort that is still subscribed after each number of renewals.

        Parameters
        ----------
        periods : int, or array, Series or range of int
            Numbers of renewals, >= 0.
        interval : float, optional
            Level of an interval, in (0, 1).
        draws : DataFrame, optional
            Draws of the parameters, as `posterior` returns them.

        Returns
        -------
        Series or DataFrame
            In [0, 1], by period.

        Raises
        ------
        InputError
            If a period is missing, not whole, or < 0.
        """
        times, index = _whole("period", periods, ge=0)

        def evaluate(params: FloatArray, block: slice) -> FloatArray:
            return np.exp(log_survival(shape_of(params), 0.0, times[block]))

        return self._series(
            "survival", index, self._summarise(evaluate, len(times), interval, draws)
        )

    def retention(
        self, periods: Any, *, interval: float | None = None, draws: Any = None
    ) -> pd.Series | pd.DataFrame:
        """Return the share of those still subscribed before each renewal who take it.

        Parameters
        ----------
        periods : int, or array, Series or range of int
            Which renewals, >= 1.
        interval : float, optional
            Level of an interval, in (0, 1).
        draws : DataFrame, optional
            Draws of the parameters, as `posterior` returns them.

        Returns
        -------
        Series or DataFrame
            In [0, 1], by period.

        Raises
        ------
        InputError
            If a period is missing, not whole, or < 1.
        """
        times, index = _whole("period", periods, ge=1)

        def evaluate(params: FloatArray, block: slice) -> FloatArray:
            return np.exp(log_survival(shape_of(params), times[block] - 1, 1.0))

        return self._series(
            "retention", index, self._summarise(evaluate, len(times), interval, draws)
        )

    def expected_remaining_tenure(
        self,
        age: Any,
        horizon: int | None = None,
        *,
        interval: float | None = None,
        draws: Any = None,
    ) -> pd.Series | pd.DataFrame:
        """Return the expected number of further renewals of a customer who took ``age`` of them.

        Parameters
        ----------
        age : int, or array, Series or range of int
            Renewals taken so far, >= 0, by customers who are still subscribed.
        horizon : int, optional
            Renewals to come that count, >= 0; without it all of them.
        interval : float, optional
            Level of an interval, in (0, 1).
        draws : DataFrame, optional
            Draws of the parameters, as `posterior` returns them; the estimate is then the median.

        Returns
        -------
        Series or DataFrame
            In periods, by age. inf, with an `InfiniteMeanWarning`, where the sum without a horizon
            has no finite value: alpha <= 1 (BdW: c alpha <= 1) lets some customers stay for ever.

        Raises
        ------
        InputError
            If a value is missing, not whole, or < 0.
        """
        times, index = _whole("age", age, ge=0)
        ahead = None if horizon is None else check_integer("horizon", horizon, ge=0)
        found = self._summarise(
            lambda params, block: future_sum(shape_of(params), times[block], 0.0, ahead),
            len(times),
            interval,
            draws,
            "median",
        )
        if np.isinf(found["estimate"]).any():
            warnings.warn(
                "the expected remaining tenure is infinite: the fitted model lets some customers "
                "stay for ever; give a horizon, or discount with expected_residual_value",
                InfiniteMeanWarning,
                stacklevel=2,
            )
        return self._series("expected_remaining_tenure", index, found)

    def expected_residual_value(
        self,
        age: Any,
        price: float,
        discount_rate: float,
        horizon: int | None = None,
        *,
        interval: float | None = None,
        draws: Any = None,
    ) -> pd.Series | pd.DataFrame:
        """Return the discounted value of the renewals to come of a customer who took ``age``.

        Each renewal pays ``price`` on its date; the next one is a whole period away.

        Parameters
        ----------
        age : int, or array, Series or range of int
            Renewals taken so far, >= 0, by customers who are still subscribed.
        price : float
            Money (or margin) a renewal, > 0.
        discount_rate : float
            A year (0.1 is 10 %), compounded continuously at ln(1 + rate).
        horizon : int, optional
            Renewals to come that count, >= 0; without it all of them, for which
            ``discount_rate`` must be > 0.
        interval : float, optional
            Level of an interval, in (0, 1).
        draws : DataFrame, optional
            Draws of the parameters, as `posterior` returns them.

        Returns
        -------
        Series or DataFrame
            In money, by age.

        Raises
        ------
        InputError
            If the model's unit is unknown (a rate a year needs it), or a value is impossible.

        References
        ----------
        Fader & Hardie (2010), "Customer-base valuation in a contractual setting: the perils of
        ignoring heterogeneity", Marketing Science 29(1): discounted expected residual lifetime,
        here at the end of a period, just after a renewal.
        """
        times, index = _whole("age", age, ge=0)
        each = check_number("price", price, gt=0)
        ahead = None if horizon is None else check_integer("horizon", horizon, ge=0)
        rate = self._rate_a_period(discount_rate, ahead)
        found = self._summarise(
            lambda params, block: each * future_sum(shape_of(params), times[block], rate, ahead),
            len(times),
            interval,
            draws,
        )
        return self._series("expected_residual_value", index, found)

    def simulate(self, n_customers: int, T: Any, seed: int) -> pd.DataFrame:
        """Draw subscribers from the model.

        Parameters
        ----------
        n_customers : int
            How many.
        T : int or array of int
            Renewals that all or each of them had the chance to take, >= 0.
        seed : int
            Seed of the generator.

        Returns
        -------
        DataFrame
            tenure and churned, a row a customer, as `fit` takes them.
        """
        alpha, beta, c = shape_of(self._require_fit())
        n = check_integer("n_customers", n_customers, ge=1)
        observed = check_each("T", T, n, ge=0, le=_LONGEST, whole=True)
        generator = np.random.default_rng(check_integer("seed", seed, ge=0))
        leaves = generator.beta(alpha, beta, n)
        # Given the chance theta to leave, P(tenure > t) = (1 - theta)^(t^c).
        with np.errstate(divide="ignore", over="ignore"):
            hazard = -np.log1p(-leaves)
            lasts = np.exp(np.log(generator.standard_exponential(n) / hazard) / c)
        tenure = np.maximum(np.ceil(lasts), 1.0)
        churned = tenure <= observed
        frame = pd.DataFrame(
            {
                "tenure": np.minimum(tenure, observed).astype(np.int64),
                "churned": churned.astype(np.int64),
            }
        )
        return self._in_unit(frame)

    def _series(
        self, name: str, index: pd.Index[Any], found: dict[str, FloatArray]
    ) -> pd.Series | pd.DataFrame:
        if len(found) == 1:
            return pd.Series(found["estimate"], index=index, name=name)
        return pd.DataFrame(found, index=index)

    def _rate_a_period(self, discount_rate: float, horizon: int | None) -> float:
        """Return the continuous discount rate a period."""
        yearly = check_number("discount_rate", discount_rate, ge=0)
        self._require_fit()
        if self.unit_ is None:
            raise fail(
                "the model's unit is unknown, and discount_rate is a year",
                f"fit or make it with unit= one of {', '.join(map(repr, self._units))}",
            )
        if horizon is None and yearly == 0:
            raise fail(
                "discount_rate is 0 over an endless horizon", "give a horizon, or a rate > 0"
            )
        return float(np.log1p(yearly)) * self._units[self.unit_] / DAYS_PER_YEAR


class ShiftedBetaGeoModel(_SubscriptionModel):
    """Shifted beta-geometric (sBG): each customer leaves at every renewal with the same
    probability, which is spread over customers by Beta(alpha, beta).

    Retention rises with age because those prone to leave have left, not because anybody changes:
    S(t) = B(alpha, beta + t) / B(alpha, beta).

    References
    ----------
    Fader & Hardie (2007), "How to project customer retention", Journal of Interactive
    Marketing 21(1).

    Examples
    --------
    Seven renewals are known; the shares left after eight and twelve turned out .468 and .394:

    >>> import touchpoint_lib as tp
    >>> table = tp.load_subscriptions("high_end")
    >>> model = tp.ShiftedBetaGeoModel().fit(table[table["period"] <= 7])
    >>> model.params_.round(3).to_dict()
    {'alpha': 0.668, 'beta': 3.806}
    >>> model.survival([8, 12]).round(3).to_dict()
    {8: 0.46, 12: 0.378}
    >>> model.expected_residual_value([0, 5], price=100, discount_rate=0.1).round(1).to_dict()
    {0: 492.2, 5: 648.7}
    """

    parameter_names: ClassVar[tuple[str, ...]] = ("alpha", "beta")


class BetaDiscreteWeibullModel(_SubscriptionModel):
    """Beta-discrete-Weibull (BdW): like sBG, but a customer's own chance to leave may also change
    with age: it rises where c > 1 and falls where c < 1. With c = 1 it is sBG.

    S(t) = B(alpha, beta + t^c) / B(alpha, beta).

    References
    ----------
    Fader, Hardie, Liu, Davin & Steenburgh (2018), "'How to project customer retention' revisited:
    the role of duration dependence", Journal of Interactive Marketing 43.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> table = tp.load_subscriptions("high_end")
    >>> model = tp.BetaDiscreteWeibullModel().fit(table[table["period"] <= 4])
    >>> model.params_.round(3).to_dict()
    {'alpha': 0.259, 'beta': 1.723, 'c': 1.584}
    >>> model.survival([8, 12]).round(3).to_dict()
    {8: 0.457, 12: 0.389}
    """

    parameter_names: ClassVar[tuple[str, ...]] = ("alpha", "beta", "c")


def _whole(name: str, values: Any, ge: float) -> tuple[FloatArray, pd.Index[Any]]:
    """Return whole numbers and the index of a prediction for them."""
    own = values.index if isinstance(values, pd.Series) else None
    array = check_values(name, values, ge=ge, le=_LONGEST, whole=True, index=own)
    if array.ndim > 1 or array.size == 0:
        raise fail(f"{name} has shape {array.shape}", "pass one number, or a row of them")
    array = np.atleast_1d(array)
    return array, pd.Index(array.astype(np.int64), name=name) if own is None else own
