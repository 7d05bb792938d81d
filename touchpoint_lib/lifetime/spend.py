"""What a purchase is worth: Gamma-Gamma, and with a purchase model the lifetime value."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from scipy.special import gammaincinv, gammaln, polygamma, psi

from touchpoint_lib._checks import (
    FloatArray,
    check_columns,
    check_integer,
    check_number,
    check_values,
    fail,
)
from touchpoint_lib.data.base import CustomerBase
from touchpoint_lib.lifetime._base import LifetimeModel, all_or_nothing
from touchpoint_lib.lifetime._intervals import N_DRAWS, low_discrepancy, over_draws
from touchpoint_lib.lifetime._newton import minimise
from touchpoint_lib.lifetime._purchases import PurchaseModel
from touchpoint_lib.lifetime._rows import common_unit, customer_frame

#: Frequencies up to this are counted into a table.
_COUNTED = 1_000_000
#: Correlation of frequency and spend from which on Gamma-Gamma is doubtful.
_CORRELATED = 0.3


class InfiniteMeanWarning(UserWarning):
    """The fitted spend or tenure has no finite mean; the message says what to do."""


class SpendCorrelationWarning(UserWarning):
    """Frequency and spend go together, and Gamma-Gamma takes them for independent."""


class GammaGammaModel(LifetimeModel):
    """Gamma-Gamma: spend a purchase is Gamma(p, nu) around a customer's own level, and the
    levels are spread by nu ~ Gamma(q, gamma).

    Fitted on repeat buyers with a positive ``monetary_value``; ``n_left_out_`` counts the
    repeat buyers whose monetary value is 0, about whom the model says nothing.
    ``spend_correlation_`` is the correlation of frequency and monetary value among the repeat
    buyers, which the model takes for 0; the fit warns where it is 0.3 or more either way.

    References
    ----------
    Fader & Hardie (2013), "The Gamma-Gamma model of monetary value", eq. (1a) likelihood,
    eq. (5) conditional mean. Fader, Hardie & Lee (2005), "RFM and CLV", on the independence of
    frequency and spend.

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
    _kept: ClassVar[tuple[str, ...]] = ("n_left_out_", "spend_correlation_")
    n_left_out_: float
    spend_correlation_: float

    @all_or_nothing
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
        SpendCorrelationWarning
            If frequency and spend of the repeat buyers go together.
        """
        frame = _spend_frame(customers)
        frequency, spend = _check_spend(frame)
        count = (
            check_values("count", frame["count"], ge=0, index=frame.index)
            if "count" in frame.columns
            else np.ones(len(frame))
        )
        self.unit_ = common_unit(frame.attrs, unit)
        repeat = frequency > 0
        used = np.flatnonzero(repeat & (spend > 0) & (count > 0))
        if not used.size:
            raise fail("0 repeat buyers with a positive monetary_value", "use a longer window")
        x, m, weight = frequency[used], spend[used], count[used]
        if m.min() == m.max():
            raise fail(
                f"{used.size} repeat buyers all have monetary_value {m[0]:g}, and "
                "Gamma-Gamma needs a spread",
                "value every purchase at that amount",
            )
        self.n_left_out_ = float(count[repeat & (spend == 0)].sum())
        # Money is divided by its mean, so that every parameter is of order one.
        spent = x * m
        scale = float(weight @ spent / (weight @ x))
        likelihood = _Likelihood(x, spent / scale, weight)
        optimum = minimise(likelihood.derivatives, likelihood.start())
        log_scale = np.array([0.0, 0.0, np.log(scale)])
        n = float(weight.sum())

        def log_likelihood(theta: FloatArray) -> FloatArray:
            return likelihood.totals(theta - log_scale) - n * float(np.log(scale))

        self._log_likelihood = log_likelihood
        here = optimum.theta + log_scale
        self._finish(optimum, log_scale, float(log_likelihood(here[None])[0]), n)
        self.spend_correlation_ = _correlation(x, m, weight)
        if abs(self.spend_correlation_) >= _CORRELATED:
            warnings.warn(
                f"frequency and monetary_value of the {n:,.0f} repeat buyers have a correlation "
                f"of {self.spend_correlation_:.2f}, and Gamma-Gamma takes them for independent; "
                "fit groups of like frequency on their own, or check values on the holdout",
                SpendCorrelationWarning,
                stacklevel=3,
            )
        return self

    @property
    def mean_spend_(self) -> float:
        """Mean spend a purchase over all customers, p gamma / (q - 1); inf where q <= 1."""
        return float(_population_mean(self._require_fit()))

    def expected_spend(
        self, customers: Any, *, interval: float | None = None, draws: Any = None
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
        draws : DataFrame, optional
            From `posterior`, for the posterior's own mean and interval.

        Returns
        -------
        Series or DataFrame
            In money. inf, with an `InfiniteMeanWarning`, where the mean does not exist;
            `median_spend` always does.

        Raises
        ------
        InputError
            If a value is missing or negative.
        """
        q = float(self._require_fit()[1])
        expected = self._on_customers(
            "expected_spend", conditional_mean, customers, interval, draws
        )
        endless = int(np.isinf(expected.to_numpy()).reshape(len(expected), -1).any(axis=1).sum())
        if endless:
            where = f"q is {q:.3g}" if q <= 1 else f"q is {q:.3g}, and at most 1 in some draws"
            warnings.warn(
                f"{where}: the mean spend or a bound of it is infinite for {endless} customers; "
                "use median_spend, and look for extreme amounts in the log",
                InfiniteMeanWarning,
                stacklevel=2,
            )
        return expected

    def median_spend(
        self, customers: Any, *, interval: float | None = None, draws: Any = None
    ) -> pd.Series | pd.DataFrame:
        """Return the median of what each customer's mean spend a purchase may be.

        It is finite even where q <= 1 and the expected spend is not. Parameters and errors are
        those of `expected_spend`.
        """
        return self._on_customers("median_spend", _conditional_median, customers, interval, draws)

    def simulate(self, frequency: Any, seed: int) -> pd.DataFrame:
        """Draw customers' mean spend from the model.

        Parameters
        ----------
        frequency : array of int
            Repeat purchases of each customer, >= 0.
        seed : int
            Seed of the generator.

        Returns
        -------
        DataFrame
            frequency, monetary_value (0 without repeats), and the truth ``mean_spend``.
        """
        p, q, gamma = self._require_fit()
        x = np.atleast_1d(check_values("frequency", frequency, ge=0, whole=True))
        if x.ndim > 1:
            raise fail(f"frequency has shape {x.shape}", "pass one number a customer")
        generator = np.random.default_rng(check_integer("seed", seed, ge=0))
        level = generator.gamma(q, 1 / gamma, len(x))
        shape = np.where(x > 0, p * x, 1.0)
        mean = generator.gamma(shape) / (level * np.maximum(x, 1))
        return pd.DataFrame(
            {
                "frequency": x.astype(np.int64),
                "monetary_value": np.where(x > 0, mean, 0.0),
                "mean_spend": p / level,
            }
        )

    def _on_customers(
        self, name: str, evaluate: Any, customers: Any, interval: float | None, draws: Any
    ) -> pd.Series | pd.DataFrame:
        self._require_fit()
        frame = customers.to_frame() if isinstance(customers, CustomerBase) else customers
        frequency, spend = _check_spend(frame)
        found = self._summarise(
            lambda params, block: evaluate(params, frequency[block], spend[block]),
            len(frame),
            interval,
            draws,
        )
        if interval is None:
            return pd.Series(found["estimate"], index=frame.index, name=name)
        return pd.DataFrame(found, index=frame.index)


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

    Warns
    -----
    InfiniteMeanWarning
        If an upper bound is infinite.

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
    mean = conditional_mean(spend._require_fit(), frequency, monetary)
    if np.isinf(mean).any():
        raise fail(
            f"the mean spend is infinite (q is {spend.params_['q']:.3g})",
            "look for extreme amounts in the log, or value purchases by spend.median_spend",
        )
    number = purchases.discounted_expected_purchases(frame, discount_rate, horizon)
    value = share * mean * number.to_numpy()
    if interval is None:
        return pd.Series(value, index=frame.index, name="customer_lifetime_value")
    bounds = _joint_interval(purchases, spend, frame, (discount_rate, horizon), share, interval)
    endless = int(np.isinf(bounds["upper"]).sum())
    if endless:
        warnings.warn(
            f"q is {spend.params_['q']:.3g}, and at most 1 in some draws: the upper bound is "
            f"infinite for {endless} customers; look for extreme amounts in the log",
            InfiniteMeanWarning,
            stacklevel=2,
        )
    return pd.DataFrame({"estimate": value, **bounds}, index=frame.index)


def _joint_interval(
    purchases: PurchaseModel,
    spend: GammaGammaModel,
    frame: pd.DataFrame,
    future: tuple[float, float | None],
    share: float,
    level: float,
) -> dict[str, FloatArray]:
    """Return the bounds of value over independent draws of both models' parameters."""
    k = len(purchases.params_)
    check_number("interval", level, gt=0, lt=1)
    points = low_discrepancy(N_DRAWS, k + len(spend.params_))
    draws = np.hstack([purchases._draws(points[:, :k]), spend._draws(points[:, k:])])
    rate = purchases._rate_per_unit(*future)
    rows, design, inverse = purchases._rows(frame, grouped=True)
    assert not isinstance(inverse, slice)  # that is for rows left as they are
    frequency, monetary = _check_spend(frame)

    # Purchases on the distinct rows, once for all customers that share them.
    purchased = [
        purchases._discounted(purchases._at(draw[:k], design), rows, rate, future[1])
        for draw in draws
    ]

    def evaluate(draw: FloatArray, block: slice) -> FloatArray:
        mean = conditional_mean(draw[k:-1], frequency[block], monetary[block])
        number = purchased[int(draw[-1])][inverse[block]]
        # Nothing is bought at however infinite a mean.
        return np.where(number > 0, share * number * np.where(number > 0, mean, 0.0), 0.0)

    numbered = np.column_stack([draws, np.arange(len(draws))])
    return over_draws(evaluate, numbered, len(frame), level, None)


def _spend_frame(customers: Any) -> Any:
    """Return what the fit needs; a customer base gives its repeat buyers alone."""
    return customers.repeat_spend() if isinstance(customers, CustomerBase) else customers


def _check_spend(frame: Any) -> tuple[FloatArray, FloatArray]:
    check_columns(frame, ("frequency", "monetary_value"), "customers")
    return (
        check_values("frequency", frame["frequency"], ge=0, whole=True, index=frame.index),
        check_values("monetary_value", frame["monetary_value"], ge=0, index=frame.index),
    )


def _population_mean(params: FloatArray) -> float:
    p, q, gamma = params
    return float(p * gamma / (q - 1)) if q > 1 else float("inf")


def conditional_mean(params: FloatArray, frequency: FloatArray, spend: FloatArray) -> FloatArray:
    p, q, gamma = params
    divisor = p * frequency + q - 1
    finite = divisor > 0
    return np.where(
        finite, p * (gamma + frequency * spend) / np.where(finite, divisor, 1.0), np.inf
    )


def _conditional_median(params: FloatArray, frequency: FloatArray, spend: FloatArray) -> FloatArray:
    p, q, gamma = params
    return p * (gamma + frequency * spend) / gammaincinv(p * frequency + q, 0.5)


def _correlation(x: FloatArray, m: FloatArray, weight: FloatArray) -> float:
    """Return the weighted correlation of x and m; 0 where all have the same x."""
    total = weight.sum()
    x, m = x - weight @ x / total, m - weight @ m / total
    spread = float(np.sqrt((weight @ x**2) * (weight @ m**2)))
    return float(weight @ (x * m)) / spread if spread > 0 else 0.0


class _Likelihood:
    """Mean negative log-likelihood with closed-form derivatives; gamma functions once an x."""

    def __init__(self, x: FloatArray, spent: FloatArray, weight: FloatArray) -> None:
        self.x, self.spent, self.weight = x, spent, weight
        self.n = float(weight.sum())
        if x.max() <= _COUNTED:
            counts = np.bincount(x.astype(np.int64), weights=weight)
            at = np.flatnonzero(counts)
            self.k, self.k_count = at.astype(np.float64), counts[at]
        else:
            self.k, place = np.unique(x, return_inverse=True)
            self.k_count = np.bincount(place, weights=weight)
        self.wx = weight * x
        log_spent = np.log(spent)
        self.sum_x_log_spent = float(self.wx @ log_spent)
        # The mean of a purchase is the total by their number.
        log_x = float(self.k_count @ np.log(self.k))
        self.sum_log_m = float(weight @ log_spent) - log_x

    def start(self) -> FloatArray:
        mean = float(self.weight @ (self.spent / self.x)) / self.n
        return np.log([5.0, 4.0, 0.6 * mean])

    def totals(self, theta: FloatArray) -> FloatArray:
        """Return the log-likelihood at each row of log parameters."""
        totals = np.empty(len(theta))
        for i, (p, q, gamma) in enumerate(np.exp(theta)):
            log_total = np.log(self.spent + gamma)
            totals[i] = self._value(p, q, gamma, self.weight @ log_total, self.wx @ log_total)
        return totals

    def _value(self, p: float, q: float, gamma: float, log_0: float, log_1: float) -> float:
        """Return the log-likelihood, given the sums of ln(gamma + x m) and of x times it."""
        k = self.k
        return float(
            self.k_count @ (gammaln(p * k + q) - gammaln(p * k))
            + self.n * (q * np.log(gamma) - gammaln(q))
            + p * (self.sum_x_log_spent - log_1)
            - self.sum_log_m
            - q * log_0
        )

    def derivatives(self, theta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        p, q, gamma = params = np.exp(theta)
        k, count, n = self.k, self.k_count, self.n
        total = self.spent + gamma
        log_total, inverse = np.log(total), 1 / total
        log_0, log_1 = self.weight @ log_total, self.wx @ log_total
        inverse_0, inverse_1 = self.weight @ inverse, self.wx @ inverse
        square = inverse * inverse
        both, own = psi(p * k + q), psi(p * k)
        gradient = np.array(
            [
                count @ (k * (both - own)) + self.sum_x_log_spent - log_1,
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
        return (
            -self._value(p, q, gamma, log_0, log_1) / n,
            -gradient * params / n,
            -on_log_scale / n,
        )
