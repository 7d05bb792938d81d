"""What a purchase is worth: Gamma-Gamma, and with a purchase model the lifetime value."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from scipy.special import gammaln, polygamma, psi

from touchpoint_lib._checks import (
    FloatArray,
    check_columns,
    check_number,
    check_values,
    fail,
)
from touchpoint_lib.data.transactions import CustomerBase
from touchpoint_lib.lifetime._base import (
    N_DRAWS,
    LifetimeModel,
    interval_bounds,
    low_discrepancy,
)
from touchpoint_lib.lifetime._newton import minimise
from touchpoint_lib.lifetime._purchases import PurchaseModel
from touchpoint_lib.lifetime._rows import (
    IntArray,
    Rows,
    check_rows,
    common_unit,
    customer_frame,
    group_with_inverse,
)


class InfiniteMeanWarning(UserWarning):
    """The fitted spend distribution has no finite mean; the message says what to do."""


class GammaGammaModel(LifetimeModel):
    """Gamma-Gamma: spend a purchase is Gamma(p, nu) around a customer's own level, and the
    levels are spread by nu ~ Gamma(q, gamma).

    Fitted on repeat buyers with a positive ``monetary_value``; ``n_left_out_`` counts the
    repeat buyers whose monetary value is 0, about whom the model says nothing.

    References
    ----------
    Fader & Hardie (2013), "The Gamma-Gamma model of monetary value", eq. (1a) likelihood,
    eq. (5) conditional mean.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> split = tp.rfm_split(tp.load_cdnow(sample=True), split="1997-09-30")
    >>> model = tp.GammaGammaModel().fit(split)
    >>> model.params_.round(2).to_dict()
    {'p': 6.25, 'q': 3.74, 'gamma': 15.44}
    >>> round(model.mean_spend_, 1)
    35.2
    """

    parameter_names: ClassVar[tuple[str, ...]] = ("p", "q", "gamma")
    n_left_out_: int

    def fit(self, customers: Any, unit: str | None = None) -> Self:
        """Estimate p, q and gamma by maximum likelihood.

        Parameters
        ----------
        customers : DataFrame or CustomerBase
            With frequency and monetary_value (mean spend a repeat purchase day); a column
            ``count`` weighs the rows. Customers without a repeat purchase play no part.
        unit : {"D", "W"}, optional
            Unit of time of the data; the model itself has none.

        Returns
        -------
        self

        Raises
        ------
        InputError
            If a value is missing or negative, or the repeat buyers do not differ in spend.

        Warns
        -----
        ConvergenceWarning
            If the likelihood has no proper maximum.
        """
        frame = _spend_frame(customers)
        frequency, spend = _check_spend(frame)
        count = (
            check_values("count", frame["count"], ge=0, index=frame.index)
            if "count" in frame.columns
            else np.ones(len(frame))
        )
        self.unit_ = common_unit(frame.attrs, unit)
        used = (frequency > 0) & (spend > 0)
        used &= count > 0
        if not used.any():
            raise fail("0 repeat buyers with a positive monetary_value", "use a longer window")
        if len(np.unique(spend[used])) == 1:
            raise fail(
                f"{int(used.sum())} repeat buyers all have monetary_value {spend[used][0]:g}, and "
                "Gamma-Gamma needs a spread",
                "value every purchase at that amount",
            )
        self.n_left_out_ = int(count[(frequency > 0) & (spend == 0)].sum())
        x, m, weight = frequency[used], spend[used], count[used]
        # Money is divided by its mean, so that every parameter is of order one.
        scale = float(weight @ (x * m) / (weight @ x))
        likelihood = _Likelihood(x, m / scale, weight)
        optimum = minimise(likelihood.derivatives, likelihood.start())
        log_scale = np.array([0.0, 0.0, np.log(scale)])
        n = float(weight.sum())

        def log_likelihood(theta: FloatArray) -> float:
            return -likelihood.derivatives(theta - log_scale)[0] * n - n * float(np.log(scale))

        self._log_likelihood = log_likelihood
        self._finish(optimum, log_scale, log_likelihood(optimum.theta + log_scale), n)
        return self

    @property
    def mean_spend_(self) -> float:
        """Mean spend a purchase over all customers, p gamma / (q - 1); inf where q <= 1."""
        return float(_population_mean(self._require_fit()))

    def expected_spend(
        self, customers: Any, *, interval: float | None = None
    ) -> pd.Series | pd.DataFrame:
        """Return the expected spend a purchase of each customer.

        A mean of the customer's own spend and the population's, weighted by the number of
        repeat purchases; customers without repeats get the population's mean.

        Parameters
        ----------
        customers : DataFrame or CustomerBase
            With frequency and monetary_value.
        interval : float, optional
            Level of an interval, in (0, 1).

        Returns
        -------
        Series or DataFrame
            In money. inf, with an `InfiniteMeanWarning`, where the mean does not exist.

        Raises
        ------
        InputError
            If a value is missing or negative.
        """
        params = self._require_fit()
        frame = customers.to_frame() if isinstance(customers, CustomerBase) else customers
        frequency, spend = _check_spend(frame)
        estimate = _conditional_mean(params, frequency, spend)
        if np.isinf(estimate).any():
            warnings.warn(
                f"q is {params[1]:.3g}: the mean spend is infinite for "
                f"{int(np.isinf(estimate).sum())} customers; look for extreme amounts in the log",
                InfiniteMeanWarning,
                stacklevel=2,
            )
        if interval is None:
            return pd.Series(estimate, index=frame.index, name="expected_spend")
        lower, upper = interval_bounds(
            lambda draw, block: _conditional_mean(draw, frequency[block], spend[block]),
            self._draws(),
            len(frame),
            interval,
        )
        return pd.DataFrame(
            {"estimate": estimate, "lower": lower, "upper": upper}, index=frame.index
        )


def customer_lifetime_value(
    purchases: PurchaseModel,
    spend: GammaGammaModel,
    customers: Any,
    horizon: float | None,
    discount_rate: float = 0.1,
    margin: float = 1.0,
    *,
    interval: float | None = None,
) -> pd.Series | pd.DataFrame:
    """Return the discounted value of each customer's future purchases.

    margin x expected spend a purchase x discounted expected purchases. The first purchase and
    everything else before the end of observation are not in it: this is residual value.

    Parameters
    ----------
    purchases : PurchaseModel
        Fitted model of when customers buy.
    spend : GammaGammaModel
        Fitted model of what they spend.
    customers : DataFrame or CustomerBase
        With frequency, recency, T and monetary_value.
    horizon : float or None
        Length of the future window in the unit of the model; None is the whole future.
    discount_rate : float
        A year, compounded continuously at ln(1 + rate).
    margin : float
        Profit share of spend, > 0.
    interval : float, optional
        Level of an interval from draws of the parameters of both models, in (0, 1): some
        seconds for a few thousand customers.

    Returns
    -------
    Series or DataFrame
        In money, on the customers' index.

    Raises
    ------
    InputError
        If units differ or are unknown, a value is impossible, or the mean spend is infinite.

    References
    ----------
    Fader, Hardie & Lee (2005), "RFM and CLV: using iso-value curves for customer base
    analysis", Journal of Marketing Research 42(4), eq. (3).

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> split = tp.rfm_split(tp.load_cdnow(sample=True), split="1997-09-30")
    >>> value = tp.customer_lifetime_value(
    ...     tp.ModifiedBetaGeoModel().fit(split), tp.GammaGammaModel().fit(split), split, 39
    ... )
    >>> round(value.sum(), -3)
    np.float64(55000.0)
    """
    for name, model, kind in (
        ("purchases", purchases, PurchaseModel),
        ("spend", spend, GammaGammaModel),
    ):
        if not isinstance(model, kind):
            raise fail(f"{name} is a {type(model).__name__}", f"it must be a {kind.__name__}")
    share = check_number("margin", margin, gt=0)
    frame = customer_frame(customers)
    frequency, monetary = _check_spend(frame)
    mean = _conditional_mean(spend._require_fit(), frequency, monetary)
    if np.isinf(mean).any():
        raise fail(
            f"the mean spend is infinite (q is {spend.params_['q']:.3g})",
            "look for extreme amounts in the log, or value purchases with an amount of your own",
        )
    number = purchases.discounted_expected_purchases(frame, discount_rate, horizon)
    value = share * mean * number.to_numpy()
    if interval is None:
        return pd.Series(value, index=frame.index, name="customer_lifetime_value")
    lower, upper = _joint_interval(
        purchases, spend, frame, (discount_rate, horizon), share, interval
    )
    return pd.DataFrame({"estimate": value, "lower": lower, "upper": upper}, index=frame.index)


def _joint_interval(
    purchases: PurchaseModel,
    spend: GammaGammaModel,
    frame: pd.DataFrame,
    future: tuple[float, float | None],
    share: float,
    level: float,
) -> tuple[FloatArray, FloatArray]:
    """Return the bounds of value over independent draws of both models' parameters."""
    k = len(purchases.parameter_names)
    points = low_discrepancy(N_DRAWS, k + len(spend.parameter_names))
    draws = np.hstack([purchases._draws(points[:, :k]), spend._draws(points[:, k:])])
    rate = purchases._rate_per_unit(*future)
    groups: dict[int, tuple[Rows, IntArray]] = {}

    def evaluate(draw: FloatArray, block: slice) -> FloatArray:
        part = frame.iloc[block]
        if block.start not in groups:
            groups[block.start] = group_with_inverse(check_rows(part))
        rows, inverse = groups[block.start]
        number = purchases._discounted(draw[:k], rows, rate, future[1])[inverse]
        return share * number * _conditional_mean(draw[k:], *_check_spend(part))

    return interval_bounds(evaluate, draws, len(frame), level)


def _spend_frame(customers: Any) -> Any:
    """Return what the fit needs; a customer base gives its repeat buyers alone."""
    if isinstance(customers, CustomerBase):
        frame = customers.rows.filter("frequency > 0").select("frequency, monetary_value").df()
        frame.attrs["unit"] = customers.unit
        return frame
    return customers


def _check_spend(frame: Any) -> tuple[FloatArray, FloatArray]:
    check_columns(frame, ("frequency", "monetary_value"), "customers")
    return (
        check_values("frequency", frame["frequency"], ge=0, whole=True, index=frame.index),
        check_values("monetary_value", frame["monetary_value"], ge=0, index=frame.index),
    )


def _population_mean(params: FloatArray) -> float:
    p, q, gamma = params
    return float(p * gamma / (q - 1)) if q > 1 else float("inf")


def _conditional_mean(params: FloatArray, frequency: FloatArray, spend: FloatArray) -> FloatArray:
    p, q, gamma = params
    divisor = p * frequency + q - 1
    finite = divisor > 0
    return np.where(
        finite, p * (gamma + frequency * spend) / np.where(finite, divisor, 1.0), np.inf
    )


class _Likelihood:
    """Mean negative log-likelihood with closed-form derivatives; gamma functions once an x."""

    def __init__(self, x: FloatArray, m: FloatArray, weight: FloatArray) -> None:
        self.x, self.total_spend, self.weight = x, x * m, weight
        self.n = float(weight.sum())
        self.k, at = np.unique(x, return_inverse=True)
        self.k_count = np.bincount(at, weights=weight)
        self.sum_log_m = float(weight @ np.log(m))
        self.sum_x_log_total = float(weight @ (x * np.log(x * m)))
        self.wx = weight * x

    def start(self) -> FloatArray:
        mean = float(self.weight @ (self.total_spend / self.x)) / self.n
        return np.log([5.0, 4.0, 0.6 * mean])

    def derivatives(self, theta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        p, q, gamma = params = np.exp(theta)
        k, count, n = self.k, self.k_count, self.n
        total = self.total_spend + gamma
        log_total, inverse = np.log(total), 1 / total
        log_0, log_1 = self.weight @ log_total, self.wx @ log_total
        inverse_0, inverse_1 = self.weight @ inverse, self.wx @ inverse
        square = inverse * inverse
        value = (
            count @ (gammaln(p * k + q) - gammaln(p * k))
            + n * (q * theta[2] - gammaln(q))
            + p * (self.sum_x_log_total - log_1)
            - self.sum_log_m
            - q * log_0
        )
        both, own = psi(p * k + q), psi(p * k)
        gradient = np.array(
            [
                count @ (k * (both - own)) + self.sum_x_log_total - log_1,
                count @ both - n * psi(q) + n * theta[2] - log_0,
                n * q / gamma - p * inverse_1 - q * inverse_0,
            ]
        )
        curve = polygamma(1, p * k + q)
        hessian = np.empty((3, 3))
        hessian[0, 0] = count @ (k * k * (curve - polygamma(1, p * k)))
        hessian[0, 1] = hessian[1, 0] = count @ (k * curve)
        hessian[1, 1] = count @ curve - n * polygamma(1, q)
        hessian[0, 2] = hessian[2, 0] = -inverse_1
        hessian[1, 2] = hessian[2, 1] = n / gamma - inverse_0
        hessian[2, 2] = -n * q / gamma**2 + p * (self.wx @ square) + q * (self.weight @ square)
        on_log_scale = hessian * np.outer(params, params) + np.diag(gradient * params)
        return float(-value / n), -gradient * params / n, -on_log_scale / n
