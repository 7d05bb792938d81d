"""The readable half of the churn model: a logistic regression with restricted cubic splines.

Every indicator bends where the data bend it, and still has one odds ratio, one test and one curve
that can be read aloud. statsmodels finds the maximum of the likelihood.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import chdtrc, erfc, ndtri

from touchpoint_lib._checks import (
    FloatArray,
    InputError,
    check_integer,
    check_number,
    check_values,
    fail,
)
from touchpoint_lib.churn._columns import (
    INTERCEPT,
    checked_frame,
    read_column,
    usable_columns,
)
from touchpoint_lib.churn._maximum import SeparationError, estimable, maximise
from touchpoint_lib.churn._splines import Design
from touchpoint_lib.metrics._shared import check_list, flags

#: No fit has a larger coefficient; times the largest term it is a number.
_LARGEST = 1e150


@dataclass(frozen=True)
class SplineLogit:
    """A logistic regression on indicators, each a restricted cubic spline; made by `fit`.

    The log-odds are an intercept, that of a customer at the median of every indicator, plus the
    terms of each indicator less those at its median: see `Design` for the terms, for skewed
    columns, and for missing values, which have a coefficient of their own.

    Attributes
    ----------
    design : Design
        Scale, knots, median and the two values of the odds ratio of each indicator.
    estimates, covariance : ndarray, shapes (k,) and (k, k)
        Coefficients in the order of `names`.
    n_rows, n_events : int
        Rows of the fit, and those with the outcome.
    n_clusters : int or None
        Customers, where rows repeat them and the covariance allows for it.
    log_likelihood : float
    left_out : dict of str to str
        Default columns that could not be used, and why; empty where the columns were chosen.

    Notes
    -----
    Where the indicators tell the outcomes apart, the likelihood has no maximum, and `fit` raises
    instead of returning a penalised estimate (Firth's): such a column is nearly always a leak or
    a rare level, and a penalty would hand out finite odds for it. The linear programme of Konis,
    with the least sum of absolute coefficients, names the columns. Default columns are indicators
    of the log, known to be honest: of those that tell the outcomes apart (silence does, where
    everybody buys weekly until they leave) the one that counts most is left out, until there is a
    maximum.

    References
    ----------
    Harrell (2015), Regression Modeling Strategies, 2nd ed., sections 2.4.5 and 2.4.6.
    Konis (2007), Linear programming algorithms for detecting separated data in binary logistic
    regression models, DPhil thesis, University of Oxford.
    Liang and Zeger (1986), Longitudinal data analysis using generalized linear models,
    Biometrika 73, 13-22, for the covariance by clusters.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> from touchpoint_lib.churn._logit import SplineLogit
    >>> split = tp.rfm_split(tp.load_cdnow(sample=True), split="1997-09-30", unit="D")
    >>> split["silence"] = split["T"] - split["recency"]
    >>> model = SplineLogit.fit(split, split["holdout_frequency"] > 0, ["frequency", "silence"])
    >>> model.summary()[["low", "high", "odds_ratio", "lower", "upper"]].round(2)
                 low   high  odds_ratio  lower  upper
    indicator
    frequency    0.0    1.0        1.67   1.18   2.36
    silence    140.0  236.0        0.42   0.27   0.64
    """

    design: Design
    estimates: FloatArray
    covariance: FloatArray
    n_rows: int
    n_events: int
    n_clusters: int | None
    log_likelihood: float
    left_out: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        frame: pd.DataFrame,
        outcome: Any,
        columns: Sequence[str] | None = None,
        *,
        clusters: Any = None,
    ) -> Self:
        """Return the model of ``outcome`` by maximum likelihood.

        Parameters
        ----------
        frame : DataFrame, n rows
            Indicators; NaN where one has no meaning.
        outcome : array of bool or 0/1, shape (n,)
            What is to be foreseen.
        columns : sequence of str, optional
            The indicators to use. None takes `DEFAULT_COLUMNS`, less those that ``frame``
            has not, those that in these rows are constant, follow from the others or tell the
            outcomes apart, and silence_per_mean_gap where no one-time buyer lacks it, since the
            fit could not say what that means: see ``left_out``.
        clusters : array, shape (n,), optional
            The customer of each row. Where one has several rows, errors and tests allow for it.

        Raises
        ------
        InputError
            If a column is missing, infinite, constant, or follows from the others; if there are
            fewer rows of either outcome, or fewer customers, than coefficients; if the columns
            tell the outcomes apart; or if no default column can be used.
        """
        n = len(checked_frame(frame))
        truth = flags("outcome", outcome)
        if len(truth) != n:
            raise fail(f"outcome has {len(truth)} values for {n} rows", "pass one each")
        groups = None if clusters is None else _groups(clusters, n)
        n_events = int(truth.sum())
        kinds = (n_events, n - n_events)
        n_clusters = None if groups is None else int(groups.max()) + 1
        apart: dict[str, str] = {}
        while True:
            design, matrix, left_out = usable_columns(frame, columns, kinds, apart)
            k = len(design.names) + 1
            if n_clusters is not None and n_clusters < k:
                raise fail(
                    f"clusters has {n_clusters} customers for {k} coefficients",
                    f"pass rows of at least {k} customers, or choose fewer columns",
                )
            try:
                estimates, covariance, value = maximise(matrix, truth, groups, design)
            except SeparationError as error:
                if columns is not None:
                    raise
                others = " and ".join(repr(name) for name in error.names if name != error.worst)
                apart[error.worst] = "tells the outcomes apart" + (others and f" with {others}")
                continue
            return cls(design, estimates, covariance, n, n_events, n_clusters, value, left_out)

    @property
    def names(self) -> list[str]:
        """Names of the coefficients: intercept, silence, silence', ..., missing(x)."""
        return [INTERCEPT, *self.design.names]

    def log_odds(self, frame: pd.DataFrame) -> FloatArray:
        """Return the log-odds of the outcome, shape (n,).

        Raises
        ------
        InputError
            If a column is missing or infinite, or NaN where the fit has seen no NaN.
        """
        return self.estimates[0] + self._terms(frame) @ self.estimates[1:]

    def held_out_log_odds(
        self, frame: pd.DataFrame, outcome: Any, folds: npt.NDArray[np.integer[Any]]
    ) -> FloatArray:
        """Return the log-odds of each row by coefficients of the rows in other folds, shape (n,).

        The design (columns, scales, knots, medians, missing values) stays that of the whole fit.
        A term that the other folds do not bound has the coefficient 0 there, which leaves it out
        in that fold: one that is the same in all their rows or follows from other terms, as that
        of a missing value which nobody there lacks, or that tells their outcomes apart.

        Parameters
        ----------
        frame, outcome
            Those of the fit.
        folds : array of int, shape (n,)
            The fold of each row.
        """
        matrix, truth = self._terms(frame), flags("outcome", outcome)
        result = np.empty(len(matrix))
        for fold in np.unique(folds):
            held = folds == fold
            estimates = estimable(matrix[~held], truth[~held])
            result[held] = estimates[0] + matrix[held] @ estimates[1:]
        return result

    def _terms(self, frame: pd.DataFrame) -> FloatArray:
        values = {name: read_column(frame, name) for name in self.design.columns}
        return self.design.matrix(values, frame.index)

    def coefficients(self, level: float = 0.95) -> pd.DataFrame:
        """Return every coefficient, in log-odds per unit of its scale, shape (k, 6).

        Index ``coefficient``; estimate, standard_error, z, p_value (of z being 0, two-sided),
        lower, upper.
        """
        half = _half_width(level)
        errors = np.sqrt(np.diag(self.covariance))
        z = self.estimates / errors
        return pd.DataFrame(
            {
                "estimate": self.estimates,
                "standard_error": errors,
                "z": z,
                "p_value": erfc(np.abs(z) / np.sqrt(2)),
                "lower": self.estimates - half * errors,
                "upper": self.estimates + half * errors,
            },
            index=pd.Index(self.names, name="coefficient"),
        )

    def summary(self, level: float = 0.95) -> pd.DataFrame:
        """Return what each indicator says, a row an indicator.

        Parameters
        ----------
        level : float
            Of the intervals, in (0, 1).

        Returns
        -------
        DataFrame
            Index ``indicator``; low and high (its lower and upper quartile; where these are the
            same value its quantiles .05 and .95, else its extremes), odds_ratio (of the outcome at
            high against low, all else equal; inf above 1.8e308), lower and upper (delta method),
            chi_squared, df and p_value (Wald's test of all its coefficients, that of missing
            included), scale
            ("linear", or the logarithm in which a skewed column enters), knots (a tuple in the
            unit of the column, empty for a straight line) and missing (share of the rows).
        """
        half = _half_width(level)
        rows = []
        for indicator in self.design.indicators:
            terms = indicator.terms(np.array([indicator.low, indicator.high]))
            move, error = self._contrast(indicator.name, terms[1] - terms[0])
            with np.errstate(over="ignore", under="ignore"):
                ratio, lower, upper = np.exp(move + half * error * np.array([0.0, -1.0, 1.0]))
            chi_squared, df = self._wald(indicator.name)
            rows.append(
                {
                    "low": indicator.low,
                    "high": indicator.high,
                    "odds_ratio": float(ratio),
                    "lower": float(lower),
                    "upper": float(upper),
                    "chi_squared": chi_squared,
                    "df": df,
                    "p_value": float(chdtrc(df, chi_squared)),
                    "scale": indicator.scale,
                    "knots": indicator.places,
                    "missing": indicator.missing,
                }
            )
        return pd.DataFrame(rows, index=pd.Index(self.design.columns, name="indicator"))

    def effect(self, column: str, values: Any, level: float = 0.95) -> pd.DataFrame:
        """Return the log-odds over one indicator, relative to its median.

        Parameters
        ----------
        column : str
            An indicator of the model.
        values : array of float, shape (m,)
            Where to evaluate the curve.
        level : float
            Of the band at each value, in (0, 1).

        Returns
        -------
        DataFrame, shape (m, 4)
            value, log_odds, lower, upper. At the median log_odds is 0, without error.
        """
        if column not in self.design.columns:
            raise fail(
                f"column is {column!r}",
                f"the model has {', '.join(map(repr, self.design.columns))}",
            )
        at = check_values("values", values)
        check_list("values", at)
        half = _half_width(level)
        (indicator,) = (each for each in self.design.indicators if each.name == column)
        curve, error = self._contrast(column, indicator.terms(at))
        return pd.DataFrame(
            {
                "value": at,
                "log_odds": curve,
                "lower": curve - half * error,
                "upper": curve + half * error,
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """Return all of the model as plain JSON; `from_dict` takes it back unchanged."""
        return {
            "indicators": [
                {**asdict(each), "knots": list(each.knots)} for each in self.design.indicators
            ],
            "absent": [list(group) for group in self.design.absent],
            "estimates": dict(zip(self.names, self.estimates.tolist(), strict=True)),
            "covariance": self.covariance.tolist(),
            "n_rows": self.n_rows,
            "n_events": self.n_events,
            "n_clusters": self.n_clusters,
            "log_likelihood": self.log_likelihood,
            "left_out": dict(self.left_out),
        }

    @classmethod
    def from_dict(cls, content: Any) -> Self:
        """Return the model that `to_dict` described.

        Raises
        ------
        InputError
            If the content cannot be what `to_dict` wrote.
        """
        try:
            return cls._restored(content)
        except (InputError, KeyError, TypeError, ValueError, AttributeError) as error:
            reason = f"{type(error).__name__}: {error}" if isinstance(error, KeyError) else error
            raise fail(
                f"the saved logistic regression is incomplete or damaged ({reason})",
                "fit and save the model again",
            ) from None

    @classmethod
    def _restored(cls, content: Any) -> Self:
        design = Design.restored(content["indicators"], content["absent"])
        names = [INTERCEPT, *design.names]
        if list(content["estimates"]) != names:
            raise ValueError(f"estimates are not those of {', '.join(names)}")
        estimates = check_values("estimates", list(content["estimates"].values()))
        covariance = check_values("covariance", content["covariance"])
        if covariance.shape != (len(names), len(names)):
            raise ValueError(f"covariance has shape {covariance.shape} for {len(names)} names")
        errors = np.sqrt(np.maximum(np.diag(covariance), 0.0))
        if not np.array_equal(covariance, covariance.T) or errors.min() == 0:
            raise ValueError("covariance is not symmetric, or has a variance of 0")
        if np.linalg.eigvalsh(covariance / np.outer(errors, errors))[0] < -1e-8:
            raise ValueError("covariance is not positive")
        if np.abs(estimates).max() > _LARGEST:
            raise ValueError(f"a coefficient is above {_LARGEST:g} in size")
        n_rows = check_integer("n_rows", content["n_rows"], ge=1)
        n_events = check_integer("n_events", content["n_events"], ge=1)
        clusters = content["n_clusters"]
        left_out = content["left_out"]
        if n_events >= n_rows or not all(isinstance(text, str) for text in left_out.values()):
            raise ValueError("n_events or left_out is none")
        return cls(
            design,
            estimates,
            covariance,
            n_rows,
            n_events,
            None if clusters is None else check_integer("n_clusters", clusters, ge=1),
            check_number("log_likelihood", content["log_likelihood"], le=0),
            dict(left_out),
        )

    def _contrast(self, column: str, terms: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return ``terms`` (..., own terms) of one indicator times its coefficients, and errors."""
        at = 1 + self.design.positions(column)[: terms.shape[-1]]
        variance = np.einsum("...i,ij,...j", terms, self.covariance[np.ix_(at, at)], terms)
        # At the median itself rounding may leave a variance just below 0.
        return terms @ self.estimates[at], np.sqrt(np.maximum(variance, 0.0))

    def _wald(self, column: str) -> tuple[float, int]:
        """Return the chi-squared of all coefficients of an indicator being 0, and how many."""
        at = 1 + self.design.positions(column)
        part = self.covariance[np.ix_(at, at)]
        # Terms differ in size by orders of magnitude: in standard errors they do not.
        errors = np.sqrt(np.diag(part))
        z = self.estimates[at] / errors
        return float(z @ np.linalg.solve(part / np.outer(errors, errors), z)), len(at)


def _groups(clusters: Any, n: int) -> npt.NDArray[np.intp] | None:
    """Return the number of each row's customer; None where no customer has two rows."""
    values = pd.Series(np.asarray(clusters))
    if len(values) != n:
        raise fail(f"clusters has {len(values)} values for {n} rows", "pass the customer of each")
    if values.isna().any():
        raise fail(
            f"clusters is missing at row {int(values.isna().argmax())}", "every row has a customer"
        )
    codes, found = pd.factorize(values)
    return None if len(found) == n else codes


def _half_width(level: Any) -> float:
    """Return how many standard errors an interval reaches to either side."""
    return float(ndtri((1 + check_number("level", level, gt=0, lt=1)) / 2))
