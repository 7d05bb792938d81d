"""Estimates of a model: names, values, errors, and what they were found from."""

from __future__ import annotations

import warnings
from abc import ABC
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from touchpoint_lib._checks import UNIT_DAYS, UNIT_WORDS, FloatArray, Unit, check_number, fail
from touchpoint_lib.lifetime._newton import Optimum


class ConvergenceWarning(UserWarning):
    """The fit did not reach a proper maximum; the message says what to try."""


class Estimates(ABC):
    """Parameters by name and on the log scale, their covariance, and how a fit sets them."""

    parameter_names: ClassVar[tuple[str, ...]]
    #: Units of time that the model takes, in days.
    _units: ClassVar[Mapping[str, float]] = UNIT_DAYS

    #: Numbers found by the fit that a file has to hold besides.
    _kept: ClassVar[tuple[str, ...]] = ()

    params_: pd.Series
    log_likelihood_: float
    converged_: bool
    convergence_message_: str = ""
    n_customers_: float
    unit_: Unit | None

    _log_covariance: FloatArray | None = None
    #: Totals of the data of the fit, by which two fits can tell whether they saw the same.
    _data: tuple[float, ...] = ()
    #: Log-likelihood of each row of an array of log parameters; None where there are no data.
    _log_likelihood: Callable[[FloatArray], FloatArray] | None = None
    #: Where the weak prior on the log parameters is centred.
    _prior_centre: FloatArray
    #: Names of the coefficients of covariates.
    _coefficients: tuple[str, ...] = ()

    @property
    def log_covariance_(self) -> pd.DataFrame:
        return self._labelled(self._errors())

    @property
    def covariance_(self) -> pd.DataFrame:
        slope = self._slope()
        return self._labelled(self._errors() * np.outer(slope, slope))

    @property
    def standard_errors_(self) -> pd.Series:
        errors = np.sqrt(np.diag(self._errors())) * self._slope()
        return pd.Series(errors, index=self._names(), name="standard_error")

    @property
    def aic_(self) -> float:
        self._errors()
        return 2 * len(self._names()) - 2 * self.log_likelihood_

    @property
    def bic_(self) -> float:
        self._errors()
        k = len(self._names())
        return k * float(np.log(self.n_customers_)) - 2 * self.log_likelihood_

    def _state(self) -> dict[str, Any]:
        """Return what else a file has to hold for the model to be the same, as plain JSON."""
        return {name: getattr(self, name) for name in self._kept if hasattr(self, name)}

    def _restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `_state` returned."""
        for name in self._kept:
            if name in state:
                setattr(self, name, check_number(name, state[name]))

    def _take_params(self, params: Mapping[str, float]) -> None:
        """Set the parameters by name, every one checked."""
        names = self._names()
        if set(params) != set(names):
            raise fail(
                f"params has the names {', '.join(map(str, params))}",
                f"they must be {', '.join(names)}",
            )
        # Coefficients of covariates, behind the parameters, may have any sign.
        checked = [
            check_number(name, params[name], gt=0 if name in self.parameter_names else None)
            for name in names
        ]
        self.params_ = pd.Series(checked, index=names, name="estimate")

    def _names(self) -> list[str]:
        return [*self.parameter_names, *self._coefficients]

    def _theta(self) -> FloatArray:
        theta = self.params_.to_numpy(dtype=np.float64, copy=True)
        k = len(self.parameter_names)
        theta[:k] = np.log(theta[:k])
        return theta

    def _natural(self, theta: FloatArray) -> FloatArray:
        """Return parameters from log parameters, along the last axis."""
        params = np.array(theta, dtype=np.float64)
        k = len(self.parameter_names)
        params[..., :k] = np.exp(params[..., :k])
        return params

    def _slope(self) -> FloatArray:
        """Return the slope of each parameter by its logarithm."""
        slope = np.ones(len(self._names()))
        k = len(self.parameter_names)
        slope[:k] = self._require_fit()[:k]
        return slope

    def _draw_frame(self, theta: FloatArray) -> pd.DataFrame:
        frame = pd.DataFrame(self._natural(theta), columns=self._names())
        frame.attrs["model"] = self._kind()
        return frame

    def _kind(self) -> str:
        """Return what draws of the parameters have to be of."""
        unit = "" if self.unit_ is None else f" in {UNIT_WORDS[self.unit_]}"
        return " ".join([f"{type(self).__name__}{unit}", *self._shown()])

    def _shown(self) -> list[str]:
        """Return what makes the model another one besides its parameters, as text."""
        return []

    def _require_fit(self) -> FloatArray:
        """Return the parameters; raise if there are none yet."""
        if not hasattr(self, "params_"):
            raise fail(f"{type(self).__name__} has no parameters", "call fit(customers) first")
        return self.params_.to_numpy(dtype=np.float64)

    def _errors(self) -> FloatArray:
        """Return the covariance of the log parameters; raise if there was no fit."""
        self._require_fit()
        if self._log_covariance is None:
            raise fail("a model from given parameters has no standard errors", "fit it to data")
        return self._log_covariance

    def _labelled(self, matrix: FloatArray) -> pd.DataFrame:
        return pd.DataFrame(matrix, index=self._names(), columns=self._names())

    def _interval_covariance(self) -> FloatArray:
        """Return the covariance of the log parameters; raise where it is not usable."""
        covariance = self._errors()
        if not np.isfinite(covariance).all():
            reason = self.convergence_message_ or "it was saved so"
            raise fail(
                f"the {type(self).__name__} did not converge ({reason}), so there is no interval",
                "use more customers or a longer window, or ask for predictions without interval",
            )
        return covariance

    def _finish(
        self,
        optimum: Optimum,
        log_scale: FloatArray,
        log_likelihood: float,
        n_customers: float,
        back: FloatArray | None = None,
    ) -> None:
        """Set every fitted attribute from where Newton stopped, on data divided by a scale.

        ``back`` is the matrix that leads from the log parameters Newton moved to ours.
        """
        theta = optimum.theta if back is None else back @ optimum.theta
        self.params_ = pd.Series(
            self._natural(theta + log_scale), index=self._names(), name="estimate"
        )
        self._prior_centre = log_scale
        covariance = np.full(optimum.hessian.shape, np.nan)
        trouble = optimum.trouble(self._names(), n_customers)
        if not trouble:
            covariance = np.asarray(np.linalg.inv(optimum.hessian) / n_customers, np.float64)
            if back is not None:
                covariance = back @ covariance @ back.T
        self._set_fit(covariance, log_likelihood, n_customers, not trouble)
        self.convergence_message_ = trouble
        if trouble:
            warnings.warn(
                f"{type(self).__name__} did not converge, so it has no intervals: {trouble}; "
                "use more customers or a longer window",
                ConvergenceWarning,
                stacklevel=4,
            )

    def _in_unit(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return a frame drawn from the model with the unit of its times, where that is known."""
        if self.unit_ is not None:
            frame.attrs["unit"] = self.unit_
        return frame

    def _set_fit(
        self, log_covariance: FloatArray, log_likelihood: float, n_customers: float, converged: bool
    ) -> None:
        self._log_covariance = log_covariance
        self.log_likelihood_ = float(log_likelihood)
        self.n_customers_ = float(n_customers)
        self.converged_ = bool(converged)
