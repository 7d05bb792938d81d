"""What every lifetime model shares: estimates, errors, intervals, posterior, save and load."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, Self, TypeVar

import numpy as np
import pandas as pd
from scipy.special import ndtri

from touchpoint_lib._checks import (
    UNIT_WORDS,
    FloatArray,
    check_columns,
    check_integer,
    check_number,
    check_unit,
    check_values,
    fail,
)
from touchpoint_lib._files import write_model
from touchpoint_lib.lifetime._estimates import Estimates
from touchpoint_lib.lifetime._intervals import N_DRAWS, Centre, low_discrepancy, over_draws
from touchpoint_lib.lifetime._posterior import importance_resample

FORMAT = "touchpoint_lib model"
FORMAT_VERSION = 1

#: Standard deviation of the weak prior on the log of a parameter: a factor of 20 either way.
_PRIOR_SPREAD = 3.0

_P = ParamSpec("_P")
_T = TypeVar("_T")

#: Log density of parameters, given a frame with a column each and a row a draw.
Prior = Callable[[pd.DataFrame], Any]


def all_or_nothing(fit: Callable[_P, _T]) -> Callable[_P, _T]:
    """Leave a model as it was where its ``fit`` fails."""

    @wraps(fit)
    def whole(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        model = args[0]
        before = dict(vars(model))
        try:
            return fit(*args, **kwargs)
        except Exception:
            vars(model).clear()
            vars(model).update(before)
            raise

    return whole


class LifetimeModel(Estimates):
    """Base of all models: parameters are positive and estimated on the log scale.

    Coefficients of covariates, where a model has them, follow the parameters everywhere and may
    have any sign: for them "log" below means the coefficient itself.

    Attributes
    ----------
    params_ : Series
        Estimates by parameter name.
    standard_errors_ : Series
        On the natural scale, from the Hessian. NaN (after a `ConvergenceWarning`) where the
        likelihood has no proper maximum.
    covariance_, log_covariance_ : DataFrame
        Of the parameters, and of their logarithms (which feeds the intervals).
    log_likelihood_, aic_, bic_ : float
        At the estimates, in the unit of the data.
    converged_ : bool
        Whether the gradient per customer is below 1e-7, the Hessian is positive definite, and the
        data bound every parameter (the standard error of its logarithm is below 5).
    convergence_message_ : str
        Why the fit did not converge; empty where it did.
    n_customers_ : float
        Customers (or their total weight) behind the fit.
    unit_ : {"D", "W", "M", "Y"} or None
        Unit of time of the data.
    """

    @abstractmethod
    def fit(self, customers: Any, unit: str | None = None) -> Self:
        """Estimate the parameters by maximum likelihood."""

    @classmethod
    def from_params(
        cls, params: Sequence[float] | Mapping[str, float] | pd.Series, unit: str | None = None
    ) -> Self:
        """Return a model at given parameters, to evaluate without a fit.

        Parameters
        ----------
        params : sequence, mapping or Series of float
            In the order of ``parameter_names``, or by name; all > 0.
        unit : {"D", "W"}, optional
            Unit of time that the parameters are in (models of periods take "M" and "Y" too).

        Raises
        ------
        InputError
            If a name or the number of parameters is wrong, or one is not > 0.
        """
        model = cls()
        names = cls.parameter_names
        if isinstance(params, pd.Series) and params.index.inferred_type == "string":
            params = {str(name): value for name, value in params.items()}
        if not isinstance(params, Mapping):
            if not isinstance(params, Iterable):
                raise fail(f"params is {params!r}", f"pass {', '.join(names)} in a list")
            values = list(params)
            if len(values) != len(names):
                raise fail(
                    f"params has {len(values)} values",
                    f"{cls.__name__} needs {len(names)}: {', '.join(names)}",
                )
            params = dict(zip(names, values, strict=True))
        model._take_params(params)
        model.unit_ = None if unit is None else check_unit(unit, cls._units)
        return model

    def summary(self, level: float = 0.95) -> pd.DataFrame:
        """Return one row a parameter: estimate, standard_error, lower, upper.

        The interval is symmetric on the log scale, so that it stays positive. Errors and bounds
        are NaN where the fit warned that it did not converge.

        Raises
        ------
        InputError
            If the model was not fitted.
        """
        half = np.sqrt(np.diag(self._errors())) * ndtri(
            (1 + check_number("level", level, gt=0, lt=1)) / 2
        )
        return pd.DataFrame(
            {
                "estimate": self.params_,
                "standard_error": self.standard_errors_,
                "lower": self._natural(self._theta() - half),
                "upper": self._natural(self._theta() + half),
            }
        )

    def posterior(
        self, draws: int = 4000, seed: int = 0, prior: Prior | None = None
    ) -> pd.DataFrame:
        """Return draws from the posterior of the parameters, without a sampler.

        Draws from a multivariate t with 5 degrees of freedom around the mode, weighted by the
        exact likelihood and the prior, smoothed (Vehtari et al. 2024) and resampled: no chain, no
        warm-up. Any prediction takes the frame as ``draws=``.

        Parameters
        ----------
        draws : int
            Number of draws, at least 100.
        seed : int
            Seed of the generator.
        prior : callable, optional
            Takes a frame with a column a parameter and a row a draw, and returns the log of the
            prior density of each row, up to a constant. Without it, the log of each parameter is
            normal with a standard deviation of 3 (a factor of 20 either way) around 0, or, for
            parameters in units of time or money, around the log of the mean length of
            observation or the mean spend; the prior of coefficients of covariates is flat.

        Returns
        -------
        DataFrame
            One row a draw, a column a parameter. ``attrs["effective_size"]`` says how many
            independent draws they are worth, ``attrs["pareto_k"]`` is the diagnostic: below 0.7
            quantiles, and means of predictions, can be relied on. Means of parameters with a
            heavy tail need more draws.

        Raises
        ------
        InputError
            If the model was not fitted in this session, its fit has no proper maximum, or Pareto
            k is above 0.7.
        """
        covariance = self._interval_covariance()
        if self._log_likelihood is None:
            raise fail("the model was loaded and has no data", "fit it to draw from its posterior")
        if prior is not None and not callable(prior):
            raise fail(f"prior is a {type(prior).__name__}", "pass a function of a frame of draws")
        likelihood = self._log_likelihood
        k = len(self.parameter_names)

        def log_target(theta: FloatArray) -> FloatArray:
            if prior is None:
                off = (theta[:, :k] - self._prior_centre[:k]) / _PRIOR_SPREAD
                return likelihood(theta) - (off**2).sum(axis=1) / 2
            density = check_values("prior", prior(self._draw_frame(theta)), infinite=True)
            if density.shape != (len(theta),) or (density == np.inf).any():
                raise fail(
                    f"prior returned an array of shape {density.shape} for {len(theta)} draws, "
                    f"with {int((density == np.inf).sum())} infinite values",
                    "return one log density for each row, -inf where a draw is impossible",
                )
            # The density of the logarithm of a parameter is that of the parameter times it.
            return likelihood(theta) + density + theta[:, :k].sum(axis=1)

        theta, effective, shape = importance_resample(
            self._theta(),
            covariance,
            log_target,
            check_integer("draws", draws, ge=100),
            check_integer("seed", seed, ge=0),
        )
        frame = self._draw_frame(theta)
        frame.attrs.update(effective_size=effective, pareto_k=shape)
        return frame

    def save(self, path: str | Path) -> None:
        """Write the model as JSON: parameters, covariance and fit statistics, never code or data.

        Raises
        ------
        InputError
            If the model was not fitted, or there is no such folder.
        """
        write_model(path, FORMAT, FORMAT_VERSION, self._content())

    def _content(self) -> dict[str, Any]:
        """Return what a file holds of the model."""
        self._require_fit()
        covariance = self._log_covariance
        return {
            "model": type(self).__name__,
            "unit": self.unit_,
            "params": self.params_.to_dict(),
            "state": self._state(),
            "fit": None
            if covariance is None
            else {
                "log_covariance": covariance.tolist() if np.isfinite(covariance).all() else None,
                "log_likelihood": self.log_likelihood_,
                "n_customers": self.n_customers_,
                "converged": self.converged_,
                "convergence_message": self.convergence_message_,
                "data": list(self._data),
            },
        }

    @classmethod
    def _from_saved(cls, content: Mapping[str, Any]) -> Self:
        """Return the model that ``save`` wrote."""
        model = cls()
        model._restore(content["state"])
        model._take_params(content["params"])
        model.unit_ = None if content["unit"] is None else check_unit(content["unit"], cls._units)
        fit = content["fit"]
        if fit is not None:
            model._set_fit(
                _check_covariance(fit["log_covariance"], len(model.params_)),
                check_number("log_likelihood", fit["log_likelihood"]),
                check_number("n_customers", fit["n_customers"], gt=0),
                fit["converged"] is True,
            )
            model.convergence_message_ = str(fit["convergence_message"])
            model._data = tuple(check_number("data", value) for value in fit["data"])
        return model

    def __repr__(self) -> str:
        name = type(self).__name__
        if not hasattr(self, "params_"):
            return f"{name}()"
        parts = [f"{key}={value:.6g}" for key, value in self.params_.items()]
        parts += self._shown()
        if self.unit_ is not None:
            parts.append(f"unit={UNIT_WORDS[self.unit_]}")
        if hasattr(self, "n_customers_"):
            parts.append(f"n_customers={self.n_customers_:,.0f}")
        return f"{name}({', '.join(parts)})"

    # -- for the models -------------------------------------------------------------------

    def _draws(self, points: FloatArray | None = None) -> FloatArray:
        """Return parameter draws from the normal approximation on the log scale.

        ``points`` in the open unit cube are low-discrepancy by default, so the same model always
        gives the same interval and a few hundred draws suffice.
        """
        covariance = self._interval_covariance()
        if points is None:
            points = low_discrepancy(N_DRAWS, len(covariance))
        return self._natural(self._theta() + ndtri(points) @ np.linalg.cholesky(covariance).T)

    def _given_draws(self, draws: Any) -> FloatArray:
        """Return the draws of ``draws``, a frame as `posterior` returns it, as an array."""
        names = self._names()
        check_columns(draws, names, "draws")
        if len(draws) == 0:
            raise fail("draws has no rows", "pass the frame of posterior()")
        of = draws.attrs.get("model", self._kind())
        if of != self._kind():
            raise fail(f"draws are of a {of}", f"pass the posterior() of this {self._kind()}")
        k = len(self.parameter_names)
        columns = [
            check_values(name, draws[name], gt=0 if i < k else None) for i, name in enumerate(names)
        ]
        return np.column_stack(columns)

    def _summarise(
        self,
        evaluate: Callable[[FloatArray, slice], FloatArray],
        n_rows: int,
        interval: float | None,
        draws: Any,
        centre: Centre = "mean",
    ) -> dict[str, FloatArray]:
        """Return estimate, lower and upper of a prediction; the bounds where they are asked for.

        ``evaluate(params, block)`` predicts for the rows in ``block``. The estimate is the
        prediction at the estimates, or with given draws the mean (median) over them.
        """
        if interval is not None:
            check_number("interval", interval, gt=0, lt=1)
        everything = slice(0, n_rows)
        if draws is not None:
            return over_draws(evaluate, self._given_draws(draws), n_rows, interval, centre)
        estimate = {"estimate": evaluate(self._require_fit(), everything)}
        if interval is None:
            return estimate
        bounds = over_draws(evaluate, self._draws(), n_rows, interval, None)
        return estimate | bounds


def _check_covariance(saved: Any, k: int) -> FloatArray:
    """Return the covariance of a file, NaN where the fit had none; raise where it is none."""
    if saved is None:
        return np.full((k, k), np.nan)
    matrix = check_values("log_covariance", saved)
    if (
        matrix.shape != (k, k)
        or not np.allclose(matrix, matrix.T)
        or not np.linalg.eigvalsh(matrix)[0] > 0
    ):
        raise fail(
            f"log_covariance of shape {matrix.shape} is no covariance of {k} parameters",
            "fit and save the model again",
        )
    return matrix
