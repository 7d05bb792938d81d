"""Models that take static covariates: the fit, and tests of the coefficients."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from scipy.special import chdtrc, ndtr

from touchpoint_lib._checks import FloatArray, fail
from touchpoint_lib.lifetime._covariates import Covariates, as_formula, objective
from touchpoint_lib.lifetime._newton import minimise
from touchpoint_lib.lifetime._predictions import Params
from touchpoint_lib.lifetime._purchases import PurchaseModel
from touchpoint_lib.lifetime._rows import Rows, check_rows, group_with_design


class CovariateModel(PurchaseModel):
    """A purchase model whose rate and drop-out may depend on what is known of a customer."""

    #: Positions of the parameters in units of time.
    _time_parameters: ClassVar[tuple[int, ...]] = (1,)
    #: Positions of the parameters whose sum a fit with covariates holds by a weak prior.
    _penalised: ClassVar[tuple[int, ...]] = ()

    @abstractmethod
    def _row_derivatives(
        self, params: Params, rows: Rows
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Log-likelihood of each row, gradient and Hessian by its own log parameters."""

    def wald_test(self) -> pd.DataFrame:
        """Return for each coefficient of a covariate whether it differs from 0.

        Returns
        -------
        DataFrame
            estimate, standard_error, z, p_value (two-sided, normal), and ``factor``: what a unit
            of the covariate multiplies the purchase rate by, or the rate (Pareto/NBD) or the odds
            (BG/NBD, MBG/NBD) of dropping out.

        Raises
        ------
        InputError
            If the model has no covariates, or its fit did not converge.
        """
        self._require_covariates()
        self._interval_covariance()
        names = list(self._coefficients)
        estimate, error = self.params_[names], self.standard_errors_[names]
        z = estimate / error
        return pd.DataFrame(
            {
                "estimate": estimate,
                "standard_error": error,
                "z": z,
                "p_value": 2 * ndtr(-z.abs()),
                "factor": np.exp(estimate),
            }
        )

    def likelihood_ratio_test(self, reduced: CovariateModel) -> pd.Series:
        """Return whether the coefficients that ``reduced`` lacks improve the fit.

        Parameters
        ----------
        reduced : model of the same type
            Fitted to the same customers with fewer covariates, or none.

        Returns
        -------
        Series
            statistic (twice the difference in log-likelihood), degrees_of_freedom, p_value
            (chi-square).

        Raises
        ------
        InputError
            If the models are not nested, differ in unit or regularity, or were fitted to different
            customers.
        """
        self._require_covariates()
        if type(reduced) is not type(self) or not set(reduced._names()) < set(self._names()):
            raise fail(
                f"reduced is {reduced!r}, which is not the same model with fewer coefficients",
                "fit it with some of the covariates left out",
            )
        reduced._errors()
        self._errors()
        if reduced.unit_ != self.unit_ or reduced._shown() != self._shown():
            raise fail(
                f"the models are {self._kind()} and {reduced._kind()}", "fit both in the same way"
            )
        if not np.allclose(reduced._data, self._data, rtol=1e-9):
            raise fail(
                f"the models were fitted to {self.n_customers_:,.0f} customers with "
                f"{self._data[1]:,.0f} repeat purchases, and to {reduced.n_customers_:,.0f} with "
                f"{reduced._data[1]:,.0f}",
                "fit both to the same customers",
            )
        degrees = len(self._names()) - len(reduced._names())
        # The weak prior may leave the larger model a hair below.
        statistic = max(0.0, 2 * (self.log_likelihood_ - reduced.log_likelihood_))
        return pd.Series(
            {
                "statistic": statistic,
                "degrees_of_freedom": degrees,
                "p_value": float(chdtrc(degrees, statistic)),
            }
        )

    def _require_covariates(self) -> None:
        self._require_fit()
        if self._covariates is None:
            raise fail(
                "the model has no covariates",
                "fit it with rate_covariates= or dropout_covariates=",
            )

    def _given(self, rate: Any, dropout: Any) -> dict[str, Any]:
        """Return the covariates a fit was given by set; those of an earlier fit are forgotten."""
        self._covariates, self._coefficients = None, ()
        sets = {"rate": rate, "dropout": dropout}
        return {name: value for name, value in sets.items() if value is not None}

    def _one_each(self, n: int, covariates: pd.DataFrame | None) -> Params:
        """Return the parameters of ``n`` customers to be drawn."""
        params = self._require_fit()
        if self._covariates is None:
            if covariates is not None:
                raise fail("covariates was given, but the model has none", "leave it out")
            return params
        if covariates is None:
            raise fail("the model has covariates", "pass covariates=, a frame with a row each")
        if len(covariates) != n:
            raise fail(
                f"covariates has {len(covariates)} rows for {n} customers", "pass one row each"
            )
        return self._at(params, self._covariates.matrix(covariates))

    def _fit_covariates(
        self,
        frame: pd.DataFrame,
        given: Mapping[str, Any],
        start: FloatArray,
        scale: float,
        constant: float = 0.0,
    ) -> None:
        """Fit with covariates, from the log parameters without any, on times divided by ``scale``.

        ``given`` holds a formula or a frame by set; ``constant`` is part of the log-likelihood
        that no row knows.
        """
        if "count" in frame.columns:
            frame = frame[frame["count"] > 0]
        formulas: dict[str, str] = {}
        for name, value in given.items():
            formulas[name], frame = as_formula(name, value, frame)
        covariates = Covariates.build(frame, formulas)
        rows, design, _ = group_with_design(check_rows(frame), covariates.matrix(frame))
        n, k = rows.n_customers, len(self.parameter_names)
        # Newton moves coefficients of standardised columns, so that every step is of order one.
        mean = rows.count @ design / n
        spread = np.sqrt(rows.count @ (design - mean) ** 2 / n)
        scaled = Rows(rows.frequency, rows.recency / scale, rows.T / scale, rows.count)
        moves = covariates.shifts(self._links)
        optimum = minimise(
            objective(
                self._row_derivatives, scaled, (design - mean) / spread, moves, self._penalised
            ),
            np.concatenate([start, np.zeros(len(mean))]),
        )
        back = np.diag(np.concatenate([np.ones(k), 1 / spread]))
        back[:k, k:] = -moves * (mean / spread)
        log_scale = np.zeros(len(back))
        log_scale[list(self._time_parameters)] = np.log(scale)
        self._covariates, self._coefficients = covariates, covariates.names

        def log_likelihood(theta: FloatArray) -> FloatArray:
            totals = np.empty(len(theta))
            for i, point in enumerate(theta):
                at = self._at(self._natural(point), design)
                totals[i] = rows.count @ self._row_derivatives(at, rows)[0] + constant
            return totals

        self._log_likelihood, self._data = log_likelihood, rows.totals
        there = back @ optimum.theta + log_scale
        self._finish(optimum, log_scale, float(log_likelihood(there[None])[0]), n, back)

    def _state(self) -> dict[str, Any]:
        if self._covariates is None:
            return {}
        return {"covariates": asdict(self._covariates)}

    def _restore(self, state: Mapping[str, Any]) -> None:
        if "covariates" in state:
            self._covariates = Covariates.from_saved(state["covariates"], set(self._links))
            self._coefficients = self._covariates.names
