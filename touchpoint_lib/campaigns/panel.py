"""Arms over time: an event study (事件研究), and the difference in differences (双重差分)."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import fdtrc

from touchpoint_lib._checks import FloatArray, IntArray, check_choice, check_number, fail
from touchpoint_lib.campaigns._data import (
    Arms,
    Design,
    read_arms,
    read_codes,
    read_covariates,
    read_values,
)
from touchpoint_lib.campaigns._estimates import tested
from touchpoint_lib.campaigns._moments import read_moments

#: What is left of a covariate below this share of the whole is rounding.
_ROUNDING = 1e-10
#: The same of a standard error, a root of sums that cancel.
_ROUNDING_ERROR = 1e-7


@dataclass(frozen=True, eq=False)
class EventStudy:
    """The difference between the arms in each period, measured from the last one before.

    Attributes
    ----------
    table : DataFrame
        What `to_frame` returns.
    effect, standard_error, ci_low, ci_high, p_value : float
        The difference in differences: the mean of the periods after the reference less the mean
        of those up to it, treated less control. It is more precise than a mean of the effects of
        the table, which rest on one period before.
    pretrend_statistic : float or None
        F of the joint Wald test that the arms moved alike in all periods before the reference;
        None where there is no such period, too few customers to test, or a period in which no
        outcome has changed.
    pretrend_df : tuple of int or None
        Its degrees of freedom: periods tested, customers - 1.
    pretrend_p : float or None
        Its p-value. A large one does not prove that the arms would have moved alike afterwards.
    outcome, treated, control, reference
        As compared.
    covariates : tuple of str
        Names of the covariates in the regression.
    n_treated, n_control : int
        Customers.
    level : float
        Of the intervals.
    """

    table: pd.DataFrame
    effect: float
    standard_error: float
    ci_low: float
    ci_high: float
    p_value: float
    pretrend_statistic: float | None
    pretrend_df: tuple[int, int] | None
    pretrend_p: float | None
    outcome: str
    treated: Any
    control: Any
    reference: Any
    covariates: tuple[str, ...]
    n_treated: int
    n_control: int
    level: float

    def to_frame(self) -> pd.DataFrame:
        """Return a row a period.

        Returns
        -------
        DataFrame
            period; effect (treated less control, less the same in the reference period),
            standard_error, ci_low, ci_high, p_value (t with customers - 1 degrees of freedom);
            n_treated, n_control. In the reference period the effect is 0 and the rest NaN; the
            error, bounds and p-value are NaN too in a period that no outcome has changed in.
        """
        return self.table.copy()

    def __repr__(self) -> str:
        before = "" if self.pretrend_p is None else f", pre-trend p = {self.pretrend_p:.2g}"
        return (
            f"EventStudy(difference in differences {self.effect:.4g}, "
            f"{100 * self.level:g}% interval {self.ci_low:.4g} to {self.ci_high:.4g}, "
            f"{self.n_treated + self.n_control:,} customers, {len(self.table)} periods{before})"
        )

    def _repr_html_(self) -> str:
        shown = self.table.to_html(index=False, float_format=lambda value: f"{value:.4g}")
        return f"<p>{html.escape(repr(self))}</p>{shown}"


def event_study(
    data: Any,
    *,
    customer: str,
    period: str,
    arm: str,
    control: Any,
    outcome: str,
    reference: Any,
    treated: Any = None,
    covariates: Iterable[str] | None = None,
    level: float = 0.95,
) -> EventStudy:
    """Follow the difference between the arms from period to period.

    Without a random holdout the arms may differ from the start; the difference in differences
    takes that off, and is the effect on the contacted if both would have moved alike without the
    contact (平行趋势, parallel trends). The periods before show whether they did until then. Those
    chosen for a silence return to their mean whatever one does: they do not move like others.

    Parameters
    ----------
    data : DataFrame
        A row a customer and period; every customer has every period.
    customer : str
        Column of the customer.
    period : str
        Column of the period: numbers (such as weeks from the campaign), dates or sorted labels.
    arm : str
        Column of the arm, the same in all rows of a customer.
    control : scalar
        Its value for the control.
    outcome : str
        Column of the outcome in the period: a number, or true or false.
    reference : scalar
        The last period before the campaign; all later ones are after it.
    treated : scalar, optional
        The arm compared with the control; needed where there are several.
    covariates : iterable of str, optional
        Columns that change over time, and that the contact cannot have changed (a price, a public
        holiday in the customer's city). What does not change is taken off as it is.
    level : float
        Of the intervals, in (0, 1).

    Returns
    -------
    EventStudy
        ``to_frame()`` has the effects by period; ``effect`` is the difference in differences.

    Raises
    ------
    InputError
        If a customer lacks a period, has it twice or changes arms; an arm has fewer than two
        customers; the reference is no period or the last one; a covariate follows from customer,
        period and arm or from other covariates; no outcome changes over time; or a column is
        missing or holds something else.

    Notes
    -----
    Ordinary least squares of the outcome, less its mean by customer, on periods, periods of the
    treated, and covariates, all less their means by customer. The coefficients are those of a
    regression with a level of every customer. Standard errors are clustered by customer, with the
    factor G / (G - 1) (n - 1) / (n - k) for G customers and n rows, where k counts the regressors
    without the levels of the customers, as these lie within the clusters. They need customers by
    the dozen in both arms: with 3 in one and 150 in the other the intervals cover 79 % instead of
    95 %, with 30 they cover it.

    References
    ----------
    Angrist and Pischke (2009), "Mostly Harmless Econometrics", sections 5.2 and 8.2; Bertrand,
    Duflo and Mullainathan (2004), Quarterly Journal of Economics 119, on clustering; Roth (2022),
    American Economic Review: Insights 4, on what tests of pre-trends can tell.

    Examples
    --------
    Customers with levels of their own, a season for all, and 3 more for the contacted from week 0:

    >>> import numpy as np, pandas as pd
    >>> import touchpoint_lib as tp
    >>> rng = np.random.default_rng(0)
    >>> panel = pd.MultiIndex.from_product(
    ...     [range(1000), range(-3, 2)], names=["customer_id", "week"]).to_frame(index=False)
    >>> panel["contacted"] = panel["customer_id"] < 400
    >>> level = np.where(panel["contacted"], 20, 15) + np.repeat(rng.normal(0, 4, 1000), 5)
    >>> effect = 3 * (panel["contacted"] & (panel["week"] >= 0))
    >>> panel["spent"] = level + panel["week"] ** 2 + effect + rng.normal(0, 5, 5000)
    >>> study = tp.event_study(panel, customer="customer_id", period="week", arm="contacted",
    ...                     control=False, outcome="spent", reference=-1)
    >>> study.to_frame()[["period", "effect", "ci_low", "ci_high"]].round(2)
       period  effect  ci_low  ci_high
    0      -3   -0.53   -1.46     0.39
    1      -2   -0.59   -1.46     0.27
    2      -1    0.00     NaN      NaN
    3       0    2.60    1.71     3.48
    4       1    2.94    2.06     3.81
    >>> print(f"{study.effect:.2f}, from {study.ci_low:.2f} to {study.ci_high:.2f}")
    3.14, from 2.56 to 3.72
    """
    share = check_number("level", level, gt=0, lt=1)
    arms = read_arms(data, arm, control)
    code = arms.pair(treated)
    who, names = read_codes(data, customer, "customer")
    when, periods = read_codes(data, period, "period")
    base = _place(period, periods, reference)
    y = read_values(data, outcome)
    design = read_covariates(data, [] if covariates is None else covariates)

    rows = np.flatnonzero(arms.with_control(code))
    present, who = np.unique(who[rows], return_inverse=True)
    order = rows[_balanced(who, when[rows], [names[one] for one in present], periods)]
    shape = (len(present), len(periods))
    is_treated = _constant_arm(arms, order, shape, [names[one] for one in present]) == code
    own = y[order].reshape(shape)
    own = own - own.mean(axis=1, keepdims=True)
    spread = float(np.sqrt((own**2).mean()))
    if spread <= 1e-12 * float(np.abs(y).max()):
        raise fail(
            f"outcome {outcome!r} is the same in all periods of every customer",
            "there is nothing to compare: pass an outcome that changes",
        )
    added = _within(design, order, shape, is_treated)
    coefficients, covariance, df = _fit(own, is_treated, added, base)

    after = np.arange(len(periods)) > base
    weights = np.where(after, 1 / after.sum(), -1 / (~after).sum())
    overall = _estimate(weights, coefficients, covariance, df, share, spread)
    statistic, pretrend_df, pretrend_p = _pretrend(coefficients, covariance, df, base)
    sizes = {"n_treated": int(is_treated.sum()), "n_control": int((~is_treated).sum())}
    table = pd.DataFrame(
        [
            {
                "period": label,
                **_estimate(unit, coefficients, covariance, df, share, spread),
                **sizes,
            }
            for label, unit in zip(periods, np.eye(len(periods)), strict=True)
        ]
    )
    return EventStudy(
        table=table,
        effect=overall["effect"],
        standard_error=overall["standard_error"],
        ci_low=overall["ci_low"],
        ci_high=overall["ci_high"],
        p_value=overall["p_value"],
        pretrend_statistic=statistic,
        pretrend_df=pretrend_df,
        pretrend_p=pretrend_p,
        outcome=outcome,
        treated=arms.labels[code],
        control=arms.labels[0],
        reference=periods[base],
        covariates=tuple(design.names),
        **sizes,
        level=share,
    )


def _place(column: str, periods: list[Any], reference: Any) -> int:
    """Return which period the reference is."""
    if isinstance(periods[0], pd.Timestamp):
        moment = read_moments("reference", pd.Series([reference]))[0]
        reference = pd.Timestamp(moment) if isinstance(moment, np.datetime64) else reference
    check_choice("reference", reference, periods)
    place = periods.index(reference)
    if place == len(periods) - 1:
        raise fail(
            f"reference is {reference!r}, the last value of {column}",
            "pass the last period before the campaign, and later ones in the data",
        )
    return place


def _balanced(who: IntArray, when: IntArray, names: list[Any], periods: list[Any]) -> IntArray:
    """Return the order of the rows by customer and period; raise unless each has each once."""
    cell = who * len(periods) + when
    count = np.bincount(cell, minlength=len(names) * len(periods))
    if (count > 1).any():
        at = int(np.flatnonzero(count > 1)[0])
        raise fail(
            f"customer {names[at // len(periods)]!r} has {count[at]} rows in period "
            f"{periods[at % len(periods)]!r}",
            "sum them up to a row a customer and period",
        )
    if (count == 0).any():
        gaps = np.flatnonzero(count == 0)
        at = int(gaps[0])
        raise fail(
            f"customer {names[at // len(periods)]!r} has no row in period "
            f"{periods[at % len(periods)]!r} ({len(gaps):,} such gaps)",
            "add a row with what the customer did then (0 if nothing), or leave out customers who "
            "were not there in all periods",
        )
    return np.argsort(cell)


def _constant_arm(
    arms: Arms, order: IntArray, shape: tuple[int, int], names: list[Any]
) -> IntArray:
    """Return the arm of each customer; raise where it changes, or where an arm has too few."""
    codes = arms.code[order].reshape(shape)
    changed = (codes != codes[:, :1]).any(axis=1)
    if changed.any():
        raise fail(
            f"{arms.column} of customer {names[int(changed.argmax())]!r} changes between periods "
            f"({int(changed.sum()):,} such customers)",
            "give the arm the customer was assigned to in all periods, also before the campaign",
        )
    own: IntArray = codes[:, 0]
    present, sizes = np.unique(own, return_counts=True)
    if sizes.min() < 2:
        raise fail(
            f"arm {arms.labels[present[sizes.argmin()]]!r} of {arms.column} has one customer",
            "pass at least two an arm",
        )
    return own


def _within(design: Design, order: IntArray, shape: tuple[int, int], is_treated: Any) -> FloatArray:
    """Return covariates less their means by customer, on a scale of 1.

    Raise where nothing of their own is left.
    """
    cube = design.matrix[order].reshape(*shape, len(design.names))
    own = cube - cube.mean(axis=1, keepdims=True)
    # In a balanced panel this takes off all that customer, period and arm explain.
    left = own.copy()
    for side in (is_treated, ~is_treated):
        left[side] -= own[side].mean(axis=0)
    flat = left.reshape(len(order), len(design.names))
    size = np.sqrt((cube**2).sum(axis=(0, 1)))
    remains = np.sqrt((flat**2).sum(axis=0))
    for name, part, whole in zip(design.names, remains, size, strict=True):
        if part <= _ROUNDING * whole:
            raise fail(
                f"covariate {name!r} follows from customer, period and arm",
                "leave it out: that is taken off already",
            )
    if design.names:
        root = np.abs(np.diagonal(np.asarray(np.linalg.qr(flat / remains, mode="r"))))
        if root.min() <= np.sqrt(_ROUNDING):
            raise fail(
                f"covariate {design.names[int(root.argmin())]!r} follows from the others",
                "leave it out",
            )
    return own.reshape(flat.shape) / (remains / np.sqrt(len(order)))


def _fit(
    own: FloatArray, is_treated: Any, added: FloatArray, base: int
) -> tuple[FloatArray, FloatArray, int]:
    """Return effects by period (0 in the reference), their covariance and degrees of freedom."""
    # Takes long to import, and only this needs it.
    from statsmodels.regression.linear_model import OLS

    n_customers, n_periods = own.shape
    others = np.arange(n_periods) != base
    dummies = (np.eye(n_periods) - 1 / n_periods)[:, others]
    season = np.tile(dummies, (n_customers, 1))
    regressors = np.column_stack(
        [np.repeat(is_treated, n_periods)[:, None] * season, season, added]
    )
    fitted = OLS(own.ravel(), regressors, hasconst=False).fit(
        cov_type="cluster",
        cov_kwds={"groups": np.repeat(np.arange(n_customers), n_periods)},
    )
    coefficients = np.zeros(n_periods)
    covariance = np.zeros((n_periods, n_periods))
    coefficients[others] = fitted.params[: n_periods - 1]
    covariance[np.ix_(others, others)] = fitted.cov_params()[: n_periods - 1, : n_periods - 1]
    return coefficients, covariance, n_customers - 1


def _estimate(
    weights: FloatArray,
    coefficients: FloatArray,
    covariance: FloatArray,
    df: int,
    level: float,
    spread: float,
) -> dict[str, float]:
    """Return a weighted sum of the effects with its error; NaN where there is none."""
    effect = float(weights @ coefficients)
    error = float(np.sqrt(max(float(weights @ covariance @ weights), 0.0)))
    if error <= _ROUNDING_ERROR * spread / np.sqrt(df):
        error = 0.0
    return tested(effect, error, df, level)


def _pretrend(
    coefficients: FloatArray, covariance: FloatArray, df: int, base: int
) -> tuple[float | None, tuple[int, int] | None, float | None]:
    """Return the joint Wald test of the periods before the reference, as F."""
    block = covariance[:base, :base]
    errors = np.sqrt(block.diagonal())
    if base == 0 or errors.min() <= _ROUNDING_ERROR * errors.max():
        return None, None, None
    if np.linalg.matrix_rank(block / np.outer(errors, errors), tol=_ROUNDING) < base:
        return None, None, None
    statistic = float(coefficients[:base] @ np.linalg.solve(block, coefficients[:base])) / base
    return statistic, (base, df), float(fdtrc(base, df, statistic))
