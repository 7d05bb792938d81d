"""Models of when customers buy: the predictions that every such model answers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from touchpoint_lib._checks import (
    DAYS_PER_YEAR,
    UNIT_DAYS,
    FloatArray,
    check_integer,
    check_number,
    check_values,
    fail,
)
from touchpoint_lib.lifetime._base import LifetimeModel, interval_bounds
from touchpoint_lib.lifetime._rows import (
    Rows,
    check_rows,
    common_unit,
    customer_frame,
    group_with_inverse,
)

#: A prediction for rows at parameters; the third argument is one extra value a row, or none.
Evaluate = Callable[[FloatArray, Rows, Any], FloatArray]
PerCustomer = float | pd.Series | npt.NDArray[np.float64]


class PurchaseModel(LifetimeModel):
    """Base of the models that predict purchases from frequency, recency and T.

    Every prediction takes the frame of `rfm_summary` and returns a Series on its index; with
    ``interval=0.95`` it returns a frame with ``estimate``, ``lower`` and ``upper``, the
    quantiles over draws of the log parameters. Times are in the unit of the model. No
    prediction is ever NaN.
    """

    def probability_alive(
        self, customers: Any, future: float = 0, *, interval: float | None = None
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

        Raises
        ------
        InputError
            If a value is missing or impossible, or the unit differs from the model's.
        """
        ahead = check_number("future", future, ge=0)
        return self._predict(
            customers,
            "probability_alive",
            lambda params, rows, _: self._alive(params, rows, ahead),
            interval,
            grouped=ahead > 0,
        )

    def expected_purchases(
        self, customers: Any, horizon: float, *, interval: float | None = None
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

        Raises
        ------
        InputError
            If a value is missing or impossible, or the unit differs from the model's.
        """
        ahead = check_number("horizon", horizon, ge=0)
        return self._predict(
            customers,
            "expected_purchases",
            lambda params, rows, _: self._purchases(params, rows, ahead),
            interval,
            grouped=False,
        )

    def discounted_expected_purchases(
        self,
        customers: Any,
        discount_rate: float,
        horizon: float | None = None,
        *,
        interval: float | None = None,
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
        ahead = None if horizon is None else check_number("horizon", horizon, ge=0)
        return self._predict(
            customers,
            "discounted_expected_purchases",
            lambda params, rows, _: self._discounted(params, rows, rate, ahead),
            interval,
        )

    def probability_of_purchase(
        self, customers: Any, horizon: float, *, interval: float | None = None
    ) -> pd.Series | pd.DataFrame:
        """Return the probability that each customer buys at least once within ``horizon``.

        Parameters and errors are those of `expected_purchases`.
        """
        ahead = check_number("horizon", horizon, ge=0)
        return self._predict(
            customers,
            "probability_of_purchase",
            lambda params, rows, _: self._buys(params, rows, ahead),
            interval,
        )

    def probability_of_n_purchases(
        self, customers: Any, n: int, horizon: float, *, interval: float | None = None
    ) -> pd.Series | pd.DataFrame:
        """Return the probability of exactly ``n`` purchases of each customer within ``horizon``.

        Parameters and errors are those of `expected_purchases`; ``n`` is a whole number >= 0.
        """
        ahead = check_number("horizon", horizon, ge=0)
        number = check_integer("n", n, ge=0)
        return self._predict(
            customers,
            "probability_of_n_purchases",
            lambda params, rows, _: self._buys_n(params, rows, number, ahead),
            interval,
        )

    def time_to_next_purchase(
        self, customers: Any, quantile: float = 0.5, *, interval: float | None = None
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
        )

    def dormancy_gap(
        self, customers: Any, alive: PerCustomer = 0.5, *, interval: float | None = None
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
            extra=("alive", alive, partial(check_values, gt=0, le=1)),
        )

    def own_return_probability(
        self,
        customers: Any,
        silence: PerCustomer,
        horizon: float,
        *,
        interval: float | None = None,
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
        """
        ahead = check_number("horizon", horizon, ge=0)

        def evaluate(params: FloatArray, rows: Rows, after: Any) -> FloatArray:
            later = Rows(rows.frequency, rows.recency, rows.recency + after, rows.count)
            return self._buys(params, later, ahead)

        return self._predict(
            customers,
            "own_return_probability",
            evaluate,
            interval,
            extra=("silence", silence, partial(check_values, ge=0)),
        )

    def expected_purchases_new_customer(
        self, horizon: float, *, interval: float | None = None
    ) -> float | pd.Series:
        """Return the expected repeat purchases of a customer in the ``horizon`` after the first.

        With ``interval`` a Series of estimate, lower and upper.
        """
        ahead = check_number("horizon", horizon, ge=0)
        return self._newcomer(lambda p, rows, _: self._purchases(p, rows, ahead), interval)

    def probability_of_n_purchases_new_customer(
        self, n: int, horizon: float, *, interval: float | None = None
    ) -> float | pd.Series:
        """Return the probability of ``n`` repeat purchases in the ``horizon`` after the first.

        With ``interval`` a Series of estimate, lower and upper.
        """
        ahead = check_number("horizon", horizon, ge=0)
        number = check_integer("n", n, ge=0)
        return self._newcomer(lambda p, rows, _: self._buys_n(p, rows, number, ahead), interval)

    # -- what a model defines, on rows, at given parameters ----------------------------------

    @abstractmethod
    def _alive(self, params: FloatArray, rows: Rows, future: float) -> FloatArray:
        """P(alive at T + future)."""

    @abstractmethod
    def _purchases(self, params: FloatArray, rows: Rows, horizon: float) -> FloatArray:
        """E[purchases in (T, T + horizon]]."""

    @abstractmethod
    def _discounted(
        self, params: FloatArray, rows: Rows, rate: float, horizon: float | None
    ) -> FloatArray:
        """E[sum of exp(-rate t) over the purchases]; ``rate`` a unit."""

    @abstractmethod
    def _buys(self, params: FloatArray, rows: Rows, horizon: float) -> FloatArray:
        """P(at least one purchase in (T, T + horizon])."""

    @abstractmethod
    def _buys_n(self, params: FloatArray, rows: Rows, n: int, horizon: float) -> FloatArray:
        """P(n purchases in (T, T + horizon])."""

    @abstractmethod
    def _next_purchase(self, params: FloatArray, rows: Rows, quantile: float) -> FloatArray:
        """Quantile of the time to the next purchase."""

    @abstractmethod
    def _dormancy(self, params: FloatArray, rows: Rows, alive: Any) -> FloatArray:
        """Silence at which P(alive) is ``alive``."""

    # -- shared ------------------------------------------------------------------------------

    def _rate_per_unit(self, discount_rate: float, horizon: float | None) -> float:
        """Return the continuous discount rate a unit of time."""
        yearly = check_number("discount_rate", discount_rate, ge=0)
        self._require_fit()
        if self.unit_ is None:
            raise fail(
                "the model's unit is unknown, and discount_rate is a year",
                'fit on the frame of rfm_summary, or pass unit="D" or "W"',
            )
        if horizon is None and yearly == 0:
            raise fail(
                "discount_rate is 0 over an endless horizon", "give a horizon, or a rate > 0"
            )
        return float(np.log1p(yearly)) * UNIT_DAYS[self.unit_] / DAYS_PER_YEAR

    def _predict(
        self,
        customers: Any,
        name: str,
        evaluate: Evaluate,
        interval: float | None,
        *,
        grouped: bool = True,
        extra: tuple[str, Any, Callable[..., FloatArray]] | None = None,
    ) -> pd.Series | pd.DataFrame:
        """Evaluate on the distinct rows and scatter back, with an interval if asked.

        ``extra`` is (name, value or values a customer, their check); such rows are not grouped.
        """
        params = self._require_fit()
        frame = customer_frame(customers)
        rows = check_rows(frame)
        self._check_unit(frame)
        values = None if extra is None else _per_customer(*extra, frame.index)
        if values is None and (grouped or interval is not None):
            rows, inverse = group_with_inverse(rows)
        else:
            inverse = np.arange(len(frame))
        estimate = evaluate(params, rows, values)
        if interval is None:
            return pd.Series(estimate[inverse], index=frame.index, name=name)

        def on_block(draw: FloatArray, block: slice) -> FloatArray:
            return evaluate(draw, rows.part(block), None if values is None else values[block])

        lower, upper = interval_bounds(on_block, self._draws(), len(estimate), interval)
        return pd.DataFrame(
            {"estimate": estimate[inverse], "lower": lower[inverse], "upper": upper[inverse]},
            index=frame.index,
        )

    def _newcomer(self, evaluate: Evaluate, interval: float | None) -> float | pd.Series:
        """Evaluate for a customer on the day of the first purchase."""
        params = self._require_fit()
        zero = np.zeros(1)
        rows = Rows(zero, zero, zero, np.ones(1))
        estimate = float(evaluate(params, rows, None)[0])
        if interval is None:
            return estimate
        lower, upper = interval_bounds(
            lambda draw, _: evaluate(draw, rows, None), self._draws(), 1, interval
        )
        return pd.Series({"estimate": estimate, "lower": lower[0], "upper": upper[0]})

    def _check_unit(self, frame: pd.DataFrame) -> None:
        own = common_unit(frame.attrs, None)
        if own is not None and self.unit_ is not None and own != self.unit_:
            raise fail(
                f'the customers are summarised in "{own}", the model was fitted in "{self.unit_}"',
                f'call rfm_summary(..., unit="{self.unit_}")',
            )


def _per_customer(
    name: str, value: Any, check: Callable[..., FloatArray], index: pd.Index[Any]
) -> FloatArray:
    """Return one value a customer from a number, an array in their order, or a Series."""
    if isinstance(value, pd.Series) and not value.index.equals(index):
        raise fail(
            f"{name} has an index that differs from that of customers",
            f"pass {name}.reindex(customers.index)",
        )
    values = check(name, value, index=index if np.ndim(value) else None)
    if values.ndim > 1 or (values.ndim == 1 and len(values) != len(index)):
        raise fail(
            f"{name} has shape {values.shape} for {len(index)} customers",
            "pass one number, or one value a customer",
        )
    return np.broadcast_to(values, (len(index),)).astype(np.float64)
