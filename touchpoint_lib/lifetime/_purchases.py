"""Models of when customers buy: the predictions that every such model answers."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib._checks import (
    DAYS_PER_YEAR,
    FloatArray,
    check_integer,
    check_number,
    fail,
)
from touchpoint_lib.lifetime._predictions import Params, PerCustomer, RowModel
from touchpoint_lib.lifetime._rows import Rows


class PurchaseModel(RowModel):
    """Base of the models that predict purchases from frequency, recency and T.

    Every prediction takes the frame of `rfm_summary` and returns a Series on its index; with
    ``interval=0.95`` it returns a frame with ``estimate``, ``lower`` and ``upper``, the
    quantiles over draws of the log parameters. ``draws=model.posterior()`` takes them from the
    posterior instead; the estimate is then the mean over the draws (the median of times, which
    may be infinite). Times are in the unit of the model. No prediction is ever NaN.
    """

    def probability_alive(
        self, customers: Any, future: float = 0, *, interval: float | None = None, draws: Any = None
    ) -> pd.Series | pd.DataFrame:
        """Return the probability that each customer is alive, at T or ``future`` after it.

        Parameters
        ----------
        customers : DataFrame or CustomerBase
            With frequency, recency and T.
        future : float
            Time after the end of observation, >= 0, in the unit.
        interval : float, optional
            Level of an interval, in (0, 1).
        draws : DataFrame, optional
            From `posterior`, for the posterior's own mean and interval.

        Raises
        ------
        InputError
            If a value is missing or impossible, or the unit differs from the model's.
        """
        ahead = self._check_time("future", future)
        return self._predict(
            customers,
            "probability_alive",
            lambda params, rows, _: self._alive(params, rows, ahead),
            interval,
            draws,
            grouped=ahead > 0,
        )

    def expected_purchases(
        self, customers: Any, horizon: float, *, interval: float | None = None, draws: Any = None
    ) -> pd.Series | pd.DataFrame:
        """Return the expected number of purchases of each customer within ``horizon``.

        Parameters
        ----------
        customers : DataFrame or CustomerBase
            With frequency, recency and T.
        horizon : float
            Length of the future window, >= 0, in the unit.
        interval : float, optional
            Level of an interval, in (0, 1).
        draws : DataFrame, optional
            From `posterior`, for the posterior's own mean and interval.

        Raises
        ------
        InputError
            If a value is missing or impossible, or the unit differs from the model's.
        """
        ahead = self._check_time("horizon", horizon)
        return self._predict(
            customers,
            "expected_purchases",
            lambda params, rows, _: self._purchases(params, rows, ahead),
            interval,
            draws,
            grouped=False,
        )

    def discounted_expected_purchases(
        self,
        customers: Any,
        discount_rate: float,
        horizon: float | None = None,
        *,
        interval: float | None = None,
        draws: Any = None,
    ) -> pd.Series | pd.DataFrame:
        """Return the expected purchases, each discounted from its date to the end of observation.

        Parameters
        ----------
        customers : DataFrame or CustomerBase
            With frequency, recency and T.
        discount_rate : float
            A year (0.1 is 10 %), compounded continuously at ln(1 + rate).
        horizon : float, optional
            Length of the future window in the unit; without it the whole future, for which
            ``discount_rate`` must be > 0.
        interval : float, optional
            Level of an interval, in (0, 1). It evaluates every distinct row for each of several
            hundred draws: some seconds for a few thousand customers.
        draws : DataFrame, optional
            From `posterior`, for the posterior's own mean and interval.

        Raises
        ------
        InputError
            If the model's unit is unknown (a rate a year needs it), or a value is impossible.

        References
        ----------
        Fader, Hardie & Lee (2005), "RFM and CLV: using iso-value curves", eq. (5): the
        discounted expected residual transactions (DERT), here for any purchase model.
        """
        rate = self._rate_per_unit(discount_rate, horizon)
        ahead = None if horizon is None else self._check_time("horizon", horizon)
        return self._predict(
            customers,
            "discounted_expected_purchases",
            lambda params, rows, _: self._discounted(params, rows, rate, ahead),
            interval,
            draws,
        )

    def probability_of_purchase(
        self, customers: Any, horizon: float, *, interval: float | None = None, draws: Any = None
    ) -> pd.Series | pd.DataFrame:
        """Return the probability that each customer buys at least once within ``horizon``.

        Parameters and errors are those of `expected_purchases`.
        """
        ahead = self._check_time("horizon", horizon)
        return self._predict(
            customers,
            "probability_of_purchase",
            lambda params, rows, _: self._buys(params, rows, ahead),
            interval,
            draws,
        )

    def probability_of_n_purchases(
        self,
        customers: Any,
        n: int,
        horizon: float,
        *,
        interval: float | None = None,
        draws: Any = None,
    ) -> pd.Series | pd.DataFrame:
        """Return the probability of exactly ``n`` purchases of each customer within ``horizon``.

        Parameters and errors are those of `expected_purchases`; ``n`` is a whole number >= 0.
        """
        ahead = self._check_time("horizon", horizon)
        number = check_integer("n", n, ge=0)
        return self._predict(
            customers,
            "probability_of_n_purchases",
            lambda params, rows, _: self._buys_n(params, rows, number, ahead),
            interval,
            draws,
        )

    def time_to_next_purchase(
        self,
        customers: Any,
        quantile: float = 0.5,
        *,
        interval: float | None = None,
        draws: Any = None,
    ) -> pd.Series | pd.DataFrame:
        """Return the time after T by which each customer has bought with this probability.

        Parameters
        ----------
        customers : DataFrame or CustomerBase
            With frequency, recency and T.
        quantile : float
            Probability in (0, 1).
        interval : float, optional
            Level of an interval, in (0, 1).
        draws : DataFrame, optional
            From `posterior`, for the posterior's own mean and interval.

        Returns
        -------
        Series or DataFrame
            In the unit; inf where a purchase will never be that likely, because the customer
            may be gone.
        """
        q = check_number("quantile", quantile, gt=0, lt=1)
        return self._predict(
            customers,
            "time_to_next_purchase",
            lambda params, rows, _: self._next_purchase(params, rows, q),
            interval,
            draws,
            centre="median",
        )

    def dormancy_gap(
        self,
        customers: Any,
        alive: PerCustomer = 0.5,
        *,
        interval: float | None = None,
        draws: Any = None,
    ) -> pd.Series | pd.DataFrame:
        """Return the silence after the last purchase at which P(alive) has fallen to ``alive``.

        Parameters
        ----------
        customers : DataFrame or CustomerBase
            With frequency, recency and T (T plays no part).
        alive : float or one value a customer
            In (0, 1]; at 1 the gap is 0 or, for those never at risk, inf.
        interval : float, optional
            Level of an interval, in (0, 1).
        draws : DataFrame, optional
            From `posterior`, for the posterior's own mean and interval.

        Returns
        -------
        Series or DataFrame
            In the unit. 0 where P(alive) starts below ``alive`` on the day of the purchase;
            inf where silence never lowers it that far (BG/NBD without repeat purchases).
        """
        return self._predict(
            customers,
            "dormancy_gap",
            self._dormancy,
            interval,
            draws,
            extra=("alive", alive, {"gt": 0, "le": 1}),
            centre="median",
        )

    def own_return_probability(
        self,
        customers: Any,
        silence: PerCustomer,
        horizon: float,
        *,
        interval: float | None = None,
        draws: Any = None,
    ) -> pd.Series | pd.DataFrame:
        """Return the probability of a purchase within ``horizon``, unprompted, after ``silence``.

        This is the probability that a contact after that silence is wasted on someone who
        would have come anyway.

        Parameters
        ----------
        customers : DataFrame or CustomerBase
            With frequency, recency and T; the silence is counted from the last purchase, and T
            plays no part.
        silence : float or one value a customer
            Time since the last purchase, >= 0, in the unit.
        horizon : float
            Length of the window after the silence, >= 0, in the unit.
        interval : float, optional
            Level of an interval, in (0, 1).
        draws : DataFrame, optional
            From `posterior`, for the posterior's own mean and interval.
        """
        ahead = self._check_time("horizon", horizon)

        def evaluate(params: Params, rows: Rows, after: Any) -> FloatArray:
            later = Rows(rows.frequency, rows.recency, rows.recency + after, rows.count)
            return self._buys(params, later, ahead)

        return self._predict(
            customers,
            "own_return_probability",
            evaluate,
            interval,
            draws,
            extra=("silence", silence, {"ge": 0, "whole": self._whole_times}),
        )

    def purchase_hazard(
        self,
        customers: Any,
        ahead: float = 0,
        *,
        interval: float | None = None,
        draws: Any = None,
    ) -> pd.Series | pd.DataFrame:
        """Return the rate of the next purchase at T + ``ahead``, given none until then.

        Purchases a unit of time, with the chance that the customer is gone taken in. Where gaps
        are regular it rises towards the customer's own rhythm and then falls.

        Parameters
        ----------
        customers : DataFrame or CustomerBase
            With frequency, recency and T.
        ahead : float
            Time after T without a purchase, >= 0, in the unit.
        interval : float, optional
            Level of an interval, in (0, 1).
        draws : DataFrame, optional
            From `posterior`.
        """
        later = self._check_time("ahead", ahead)
        return self._predict(
            customers,
            "purchase_hazard",
            lambda params, rows, _: self._hazard(params, rows, later),
            interval,
            draws,
        )

    def expected_purchases_new_customer(
        self,
        horizon: float,
        *,
        covariates: pd.DataFrame | None = None,
        interval: float | None = None,
        draws: Any = None,
    ) -> float | pd.Series | pd.DataFrame:
        """Return the expected repeat purchases of a customer in the ``horizon`` after the first.

        With ``interval`` a Series of estimate, lower and upper. A model with covariates needs
        ``covariates``, a frame of them with one row a new customer, and returns what
        `expected_purchases` returns.
        """
        ahead = self._check_time("horizon", horizon)
        return self._newcomer(
            lambda p, rows, _: self._purchases(p, rows, ahead), covariates, interval, draws
        )

    def probability_of_n_purchases_new_customer(
        self,
        n: int,
        horizon: float,
        *,
        covariates: pd.DataFrame | None = None,
        interval: float | None = None,
        draws: Any = None,
    ) -> float | pd.Series | pd.DataFrame:
        """Return the probability of ``n`` repeat purchases in the ``horizon`` after the first.

        ``covariates``, ``interval`` and ``draws`` are those of `expected_purchases_new_customer`.
        """
        ahead = self._check_time("horizon", horizon)
        number = check_integer("n", n, ge=0)
        return self._newcomer(
            lambda p, rows, _: self._buys_n(p, rows, number, ahead), covariates, interval, draws
        )

    # -- what a model defines, on rows, at given parameters ----------------------------------

    @abstractmethod
    def _alive(self, params: Params, rows: Rows, future: float) -> FloatArray:
        """P(alive at T + future)."""

    @abstractmethod
    def _purchases(self, params: Params, rows: Rows, horizon: float) -> FloatArray:
        """E[purchases in (T, T + horizon]]."""

    @abstractmethod
    def _discounted(
        self, params: Params, rows: Rows, rate: float, horizon: float | None
    ) -> FloatArray:
        """E[sum of exp(-rate t) over the purchases]; ``rate`` a unit."""

    @abstractmethod
    def _buys(self, params: Params, rows: Rows, horizon: float) -> FloatArray:
        """P(at least one purchase in (T, T + horizon])."""

    @abstractmethod
    def _buys_n(self, params: Params, rows: Rows, n: int, horizon: float) -> FloatArray:
        """P(n purchases in (T, T + horizon])."""

    @abstractmethod
    def _next_purchase(self, params: Params, rows: Rows, quantile: float) -> FloatArray:
        """Quantile of the time to the next purchase."""

    @abstractmethod
    def _dormancy(self, params: Params, rows: Rows, alive: Any) -> FloatArray:
        """Silence at which P(alive) is ``alive``."""

    @abstractmethod
    def _hazard(self, params: Params, rows: Rows, ahead: float) -> FloatArray:
        """Rate of the next purchase at T + ahead, given none in (T, T + ahead]."""

    # -- shared ------------------------------------------------------------------------------

    def _rate_per_unit(self, discount_rate: float, horizon: float | None) -> float:
        """Return the continuous discount rate a unit of time."""
        yearly = check_number("discount_rate", discount_rate, ge=0)
        self._require_fit()
        if self.unit_ is None:
            raise fail(
                "the model's unit is unknown, and discount_rate is a year",
                "fit on the frame of rfm_summary, or pass unit= "
                + " or ".join(f'"{unit}"' for unit in self._units),
            )
        if horizon is None and yearly == 0:
            raise fail(
                "discount_rate is 0 over an endless horizon", "give a horizon, or a rate > 0"
            )
        return float(np.log1p(yearly)) * self._units[self.unit_] / DAYS_PER_YEAR
