"""Cox's model of contractual churn: who cancels sooner, and how likely within a horizon."""

from __future__ import annotations

import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from touchpoint_lib._checks import (
    PERIOD_DAYS,
    UNIT_WORDS,
    FloatArray,
    IntArray,
    Unit,
    check_choice,
    check_number,
    check_unit,
    check_values,
    fail,
)
from touchpoint_lib._files import read_model, write_model
from touchpoint_lib.churn.contract import _parts as parts
from touchpoint_lib.churn.contract._risk_sets import PartialLikelihood
from touchpoint_lib.churn.contract._storage import (
    FORMAT,
    FORMAT_VERSION,
    Baseline,
    read_baselines,
    read_estimates,
)
from touchpoint_lib.churn.contract._trend import trend_test
from touchpoint_lib.churn.contract.survival_curve import Tenures, check_present, read_tenures
from touchpoint_lib.lifetime._base import all_or_nothing
from touchpoint_lib.lifetime._estimates import ConvergenceWarning
from touchpoint_lib.lifetime._newton import minimise

#: Share by which tenure + horizon may pass the baseline by rounding.
_ROUNDING = 1e-12


class CoxModel:
    """Proportional hazards of cancelling: covariates multiply a baseline that no formula binds.

    The hazard of a subscription with covariates x is h(t) exp(x @ coefficients), with h(t) free
    (in each stratum its own). Estimates maximise the partial likelihood with Efron's treatment of
    tied tenures.

    Parameters
    ----------
    covariates : str or list of str
        A formula such as ``"plan + np.log1p(visits)"``, or columns that enter as they are. Texts
        become a column for each level but the first.
    strata : str, optional
        Column whose values have a baseline each (and no coefficient).

    Attributes
    ----------
    params_, standard_errors_ : Series
        Coefficients, by column of the design, and their errors: from the information, or robust to
        dependence within the clusters of the fit. NaN (after a `ConvergenceWarning`) where
        a coefficient runs away.
    covariance_ : DataFrame
        Of the coefficients.
    log_likelihood_ : float
        Log partial likelihood at the estimates.
    concordance_ : float
        Harrell's C: the share of usable pairs (within strata) in which the subscription that ended
        first has the higher hazard; ties of hazards count half.
    n_subscriptions_, n_ended_ : float
        Subscriptions (or their total count), and those of them that ended.
    converged_ : bool
        Whether the likelihood has a proper maximum.
    unit_ : {"D", "W", "M", "Y"} or None
        Unit of the tenures, where the frame of the fit told it (``attrs["unit"]``).

    References
    ----------
    Cox, D. R. (1972). "Regression Models and Life-Tables", JRSS B 34. Efron, B. (1977). "The
    Efficiency of Cox's Likelihood Function for Censored Data", JASA 72. Therneau, T. M. and
    Grambsch, P. M. (2000). "Modeling Survival Data", sections 3.3 (ties), 7.2 (robust errors).

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from touchpoint_lib.churn.contract.cox import CoxModel
    >>> rng = np.random.default_rng(1)
    >>> plan = np.where(np.arange(600) % 2, "yearly", "monthly")
    >>> until = rng.exponential(np.where(plan == "yearly", 20, 10))
    >>> subscriptions = pd.DataFrame(
    ...     {"plan": plan, "tenure": np.minimum(until, 12), "ended": until < 12}
    ... )
    >>> model = CoxModel("plan").fit(subscriptions)
    >>> model.summary()["hazard_ratio"].round(2).to_dict()
    {'plan[T.yearly]': 0.49}
    >>> running = pd.DataFrame({"plan": ["monthly", "yearly"], "tenure": [2.0, 2.0]})
    >>> model.churn_probability(running, horizon=6).round(2).tolist()
    [0.46, 0.26]
    """

    params_: pd.Series
    covariance_: pd.DataFrame
    log_likelihood_: float
    concordance_: float
    n_subscriptions_: float
    n_ended_: float
    converged_: bool
    unit_: Unit | None

    #: Where the baseline hazard begins: the first entry, 0 without entries.
    _start: float
    #: By stratum; "" without strata.
    _baseline: dict[str, Baseline]
    _covariates: parts.HazardCovariates
    _centre: FloatArray
    #: Likelihood, standardised coefficients and their scale, and the data; None after `load`.
    _fitted: tuple[PartialLikelihood, FloatArray, FloatArray, Tenures] | None = None

    def __init__(self, covariates: str | list[str], strata: str | None = None) -> None:
        if not isinstance(covariates, str):
            if not isinstance(covariates, list) or not covariates:
                raise fail(
                    f"covariates is {covariates!r}",
                    "pass a formula such as 'plan + np.log1p(visits)', or a list of columns",
                )
            for column in covariates:
                if not isinstance(column, str) or "`" in column:
                    raise fail(
                        f"covariates has {column!r}", "columns must have texts without ` as names"
                    )
        if strata is not None and not isinstance(strata, str):
            raise fail(f"strata is {strata!r}", "pass the name of one column")
        self.covariates = covariates
        self.strata = strata

    @all_or_nothing
    def fit(
        self,
        subscriptions: pd.DataFrame,
        tenure: str = "tenure",
        ended: str = "ended",
        entry: str | None = None,
        count: str | None = None,
        cluster: str | None = None,
    ) -> Self:
        """Estimate coefficients and baseline.

        Parameters
        ----------
        subscriptions : DataFrame
            One row a subscription, with the columns of the covariates and the stratum.
        tenure, ended : str
            Columns of the time from the start to the cancellation, or to the present (>= 0), and
            of bool or 0/1: True was cancelled then, False still runs.
        entry : str, optional
            Column of the tenure at which observation began (left truncation). A subscription is at
            risk after it.
        count : str, optional
            Column of whole numbers: how many subscriptions a row stands for.
        cluster : str, optional
            Column of who the subscriptions belong to, where one customer may have several: the
            errors then allow for dependence (Lin & Wei 1989).

        Returns
        -------
        self

        Raises
        ------
        InputError
            If a column or value is missing or impossible, nothing ended (in some stratum), or a
            covariate is constant or follows from others (altogether, or among those at risk), or
            is the tenure or the outcome itself.

        Warns
        -----
        ConvergenceWarning
            If a coefficient runs away: a covariate tells without error who ends first.
        """
        data = read_tenures(subscriptions, tenure, ended, entry, count)
        unit = subscriptions.attrs.get("unit")
        self.unit_ = None if unit is None else check_unit(unit, PERIOD_DAYS)
        self._covariates, design = parts.read_design(data.frame, self.covariates, (tenure, ended))
        names = parts.coefficient_names(self._covariates)
        codes, levels = parts.stratum_of(data.frame, self.strata)
        # Newton moves coefficients of standardised columns, so that every step is of order one.
        self._centre = data.count @ design / data.count.sum()
        scale = np.sqrt(data.count @ (design - self._centre) ** 2 / data.count.sum())
        likelihood = parts.partial_likelihood(
            data, (design - self._centre) / scale, codes, levels, names
        )
        optimum = minimise(likelihood.derivatives, np.zeros(len(names)))
        theta, n_ended = optimum.theta, likelihood.n_ended
        self.params_ = pd.Series(theta / scale, index=names, name="coefficient")
        self.log_likelihood_ = -optimum.value * n_ended
        self.n_subscriptions_, self.n_ended_ = float(data.count.sum()), n_ended
        trouble = parts.trouble(optimum, names, n_ended)
        self.converged_ = not trouble
        covariance = np.full((len(theta), len(theta)), np.nan)
        if not trouble:
            covariance = np.linalg.inv(optimum.hessian) / n_ended
            if cluster is not None:
                labels = parts.clusters(data.frame, cluster, len(theta))
                scores = likelihood.scores_by_cluster(theta, labels)
                covariance = covariance @ (scores.T @ scores) @ covariance
            covariance = covariance / np.outer(scale, scale)
        self.covariance_ = pd.DataFrame(covariance, index=names, columns=names)
        self.concordance_ = parts.concordance(design @ self.params_.to_numpy(), data, codes)
        self._start = 0.0 if data.entry is None else float(data.entry.min())
        self._baseline = {
            level: Baseline(
                stratum.times, stratum.baseline(theta), float(data.tenure[codes == i].max())
            )
            for i, (level, stratum) in enumerate(zip(levels, likelihood.strata, strict=True))
        }
        self._fitted = likelihood, theta, scale, data
        if trouble:
            warnings.warn(
                f"CoxModel did not converge, so it has no standard errors: {trouble}; a covariate "
                "may tell without error who ends first: merge its levels, leave it out, or use "
                "more subscriptions",
                ConvergenceWarning,
                stacklevel=3,
            )
        return self

    @property
    def standard_errors_(self) -> pd.Series:
        self._require_fit()
        errors = np.sqrt(np.diag(self.covariance_))
        return pd.Series(errors, index=self.params_.index, name="standard_error")

    def summary(self, level: float = 0.95) -> pd.DataFrame:
        """Return one row a coefficient, with its hazard ratio and the interval of that.

        Parameters
        ----------
        level : float
            Level of the interval, in (0, 1).

        Returns
        -------
        DataFrame
            coefficient, standard_error, hazard_ratio (by what a unit of the covariate multiplies
            the hazard of cancelling), lower, upper (of the hazard ratio), z, p_value (two-sided,
            normal). All but coefficient and hazard_ratio are NaN where the fit did not converge.

        Raises
        ------
        InputError
            If the model was not fitted.
        """
        coefficients, errors = self._require_fit(), self.standard_errors_
        half = ndtri((1 + check_number("level", level, gt=0, lt=1)) / 2) * errors
        z = coefficients / errors
        # A coefficient that ran away may have a ratio beyond the largest float.
        with np.errstate(over="ignore"):
            return pd.DataFrame(
                {
                    "coefficient": coefficients,
                    "standard_error": errors,
                    "hazard_ratio": np.exp(coefficients),
                    "lower": np.exp(coefficients - half),
                    "upper": np.exp(coefficients + half),
                    "z": z,
                    "p_value": 2 * ndtr(-z.abs()),
                }
            )

    def proportional_hazards_test(
        self, transform: Literal["km", "rank"] = "km", significance: float = 0.05
    ) -> pd.DataFrame:
        """Return for each coefficient whether it changes with tenure.

        The score test of a coefficient times g(tenure), which is a weighted sum of the Schoenfeld
        residuals, with its exact variance (as ``cox.zph`` of R's survival since version 3). It does
        not allow for clusters.

        Parameters
        ----------
        transform : {"km", "rank"}
            g: one minus the Kaplan-Meier curve before the tenure, or the rank of the tenure at
            which one ended, as a share.
        significance : float
            p-value below which ``finding`` names a remedy, in (0, 1).

        Returns
        -------
        DataFrame
            A row a coefficient and "all": slope (by how much the coefficient grows as g goes from 0
            to 1, one step of Newton; NaN for all), chi_squared, degrees_of_freedom, p_value,
            finding (what was found and what to do, in words).

        Raises
        ------
        InputError
            If the model was not fitted in this session, did not converge, or all that ended did so
            at one tenure.

        References
        ----------
        Grambsch, P. M. and Therneau, T. M. (1994). "Proportional Hazards Tests and Diagnostics
        Based on Weighted Residuals", Biometrika 81.
        """
        self._require_fit()
        check_choice("transform", transform, ["km", "rank"])
        check_number("significance", significance, gt=0, lt=1)
        if self._fitted is None:
            raise fail("the model was loaded and has no data", "fit it to test its assumption")
        if not self.converged_:
            raise fail("the model did not converge", "resolve that first: see the fit's warning")
        likelihood, theta, scale, data = self._fitted
        return trend_test(likelihood, theta, scale, data, self.params_, transform, significance)

    def survival_probability(self, subscriptions: pd.DataFrame, times: Any) -> pd.DataFrame:
        """Return the probability that each subscription runs longer than each of ``times``.

        Parameters
        ----------
        subscriptions : DataFrame
            A row a subscription, with the covariates and the stratum.
        times : float, or list of float
            Tenures, in the unit of the fit.

        Returns
        -------
        DataFrame
            In [0, 1]: a row a subscription on the index of ``subscriptions``, a column a time. In a
            fit with entries, given that the subscription reached the first of them.

        Raises
        ------
        InputError
            If a value is missing, a level is unknown, or a time is before the start of the
            baseline or beyond the longest tenure observed: there is no extrapolation.
        """
        risk, codes, levels = self._risk(subscriptions)
        wanted = np.atleast_1d(check_values("times", times, ge=0))
        if wanted.ndim != 1 or wanted.size == 0:
            raise fail(f"times has shape {wanted.shape}", "pass a number or a list of numbers")
        hazard = np.empty((len(risk), len(wanted)))
        for code in np.unique(codes):
            hazard[codes == code] = self._hazard(levels[code], wanted, "times")
        return pd.DataFrame(
            np.exp(-hazard * risk[:, None]), index=subscriptions.index, columns=wanted
        )

    def churn_probability(
        self, subscriptions: pd.DataFrame, horizon: float, tenure: str = "tenure"
    ) -> pd.Series:
        """Return the probability that each running subscription ends within ``horizon``.

        1 - S(t + horizon | x) / S(t | x) at the present tenure t. This is the forecast to judge by
        error and omission rate: pass it to `prediction_rates` with what came to pass.

        Parameters
        ----------
        subscriptions : DataFrame
            A row a subscription that still runs, with tenure, covariates and stratum.
        horizon : float
            Time from now on, > 0, in the unit of the fit.
        tenure : str
            Column of the present tenures.

        Returns
        -------
        Series
            In [0, 1], on the index of ``subscriptions``.

        Raises
        ------
        InputError
            If a value is missing, a level is unknown, or tenure + horizon is beyond the longest
            tenure observed (of the stratum): there is no extrapolation.
        """
        risk, codes, levels = self._risk(subscriptions)
        ahead = check_number("horizon", horizon, gt=0)
        check_present(subscriptions, [tenure])
        now = check_values(tenure, subscriptions[tenure], ge=0, index=subscriptions.index)
        hazard = np.empty(len(risk))
        for code in np.unique(codes):
            mine = codes == code
            before = self._hazard(levels[code], now[mine], tenure)
            after = self._hazard(levels[code], now[mine] + ahead, f"{tenure} + horizon")
            hazard[mine] = after - before
        return pd.Series(
            -np.expm1(-hazard * risk), index=subscriptions.index, name="churn_probability"
        )

    def save(self, path: str | Path) -> None:
        """Write the model as JSON: coefficients, covariance and baseline, never code or rows.

        Raises
        ------
        InputError
            If the model was not fitted, or there is no such folder.
        """
        self._require_fit()
        content = {
            "covariates": self.covariates,
            "strata": self.strata,
            "unit": self.unit_,
            "centre": self._centre.tolist(),
            "params": self.params_.to_dict(),
            "covariance": self.covariance_.to_numpy().tolist() if self.converged_ else None,
            "log_likelihood": self.log_likelihood_,
            "concordance": self.concordance_,
            "n_subscriptions": self.n_subscriptions_,
            "n_ended": self.n_ended_,
            "start": self._start,
            "baseline": {
                level: {
                    "times": found.times.tolist(),
                    "hazard": found.hazard.tolist(),
                    "reach": found.reach,
                }
                for level, found in self._baseline.items()
            },
            "design": asdict(self._covariates),
        }
        write_model(path, FORMAT, FORMAT_VERSION, content)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Return the model that `save` wrote to ``path``.

        Raises
        ------
        InputError
            If the file is missing, is not such a file, or was written in another format version.
        """
        content = read_model(path, FORMAT, FORMAT_VERSION)
        try:
            return cls._from_saved(content)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise fail(
                f"{str(path)!r} is incomplete or damaged ({error})", "fit and save the model again"
            ) from None

    @classmethod
    def _from_saved(cls, content: dict[str, Any]) -> Self:
        model = cls(content["covariates"], content["strata"])
        model.unit_ = None if content["unit"] is None else check_unit(content["unit"], PERIOD_DAYS)
        model._covariates, names, params, covariance, model._centre = read_estimates(content)
        model.params_ = pd.Series(params, index=names, name="coefficient")
        model.covariance_ = pd.DataFrame(covariance, index=names, columns=names)
        model.converged_ = content["covariance"] is not None
        model.log_likelihood_ = check_number("log_likelihood", content["log_likelihood"])
        model.concordance_ = check_number("concordance", content["concordance"], ge=0, le=1)
        model.n_subscriptions_ = check_number("n_subscriptions", content["n_subscriptions"], gt=0)
        model.n_ended_ = check_number("n_ended", content["n_ended"], gt=0)
        model._start = check_number("start", content["start"], ge=0)
        model._baseline = read_baselines(content, model.strata)
        return model

    def __repr__(self) -> str:
        given = f"{self.covariates!r}" + (f", strata={self.strata!r}" if self.strata else "")
        if not hasattr(self, "params_"):
            return f"CoxModel({given})"
        return (
            f"CoxModel({given}, n_subscriptions={self.n_subscriptions_:,.0f}, "
            f"n_ended={self.n_ended_:,.0f}, concordance={self.concordance_:.3f})"
        )

    def _require_fit(self) -> pd.Series:
        if not hasattr(self, "params_"):
            raise fail("CoxModel has no coefficients", "call fit(subscriptions) first")
        return self.params_

    def _risk(self, subscriptions: pd.DataFrame) -> tuple[FloatArray, IntArray, list[str]]:
        """Return by what each row multiplies the baseline, and its stratum."""
        self._require_fit()
        design = self._covariates.matrix(subscriptions)
        unit = subscriptions.attrs.get("unit")
        if None not in (unit, self.unit_) and unit != self.unit_:
            raise fail(
                f"the tenures of subscriptions are in {unit!r}, those of the fit in {self.unit_!r}",
                f"pass tenures in {self.unit_!r}",
            )
        codes, levels = parts.stratum_of(subscriptions, self.strata, list(self._baseline))
        # inf - inf is NaN: check_risk names both.
        with np.errstate(over="ignore", invalid="ignore"):
            risk = np.exp((design - self._centre) @ self.params_.to_numpy())
        parts.check_risk(risk)
        return risk, codes, levels

    def _hazard(self, level: str, at: FloatArray, name: str) -> FloatArray:
        """Return the cumulative baseline hazard of a stratum; raise where it is not known."""
        known = self._baseline[level]
        outside = (at < self._start) | (at > known.reach * (1 + _ROUNDING))
        if outside.any():
            unit = "" if self.unit_ is None else f" {UNIT_WORDS[self.unit_]}"
            where = f" of stratum {level!r}" if self.strata else ""
            raise fail(
                f"{name} is {at[outside][0]:g} ({int(outside.sum())} such values), but the "
                f"baseline{where} reaches from {self._start:g} to {known.reach:g}{unit}",
                "shorten the horizon, leave such rows out, or observe longer: there is no "
                "extrapolation",
            )
        passed = np.searchsorted(known.times, at, side="right")
        return np.concatenate([[0.0], known.hazard])[passed]
