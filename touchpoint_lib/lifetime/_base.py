"""What every lifetime model shares: estimates, errors, intervals, posterior, save and load."""

from __future__ import annotations

import json
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from scipy.special import ndtri

from touchpoint_lib._checks import (
    UNIT_WORDS,
    FloatArray,
    Unit,
    check_integer,
    check_number,
    check_unit,
    fail,
)
from touchpoint_lib._version import __version__
from touchpoint_lib.lifetime._newton import Optimum

FORMAT = "touchpoint_lib model"
FORMAT_VERSION = 1

#: Parameter draws behind an interval.
N_DRAWS = 512
#: Values held at once while an interval is computed.
_BLOCK = 20_000_000


class ConvergenceWarning(UserWarning):
    """The fit did not reach a proper maximum; the message says what to try."""


class LifetimeModel(ABC):
    """Base of all models: parameters are positive and estimated on the log scale.

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
    unit_ : {"D", "W"} or None
        Unit of time of the data.
    """

    parameter_names: ClassVar[tuple[str, ...]]

    params_: pd.Series
    log_likelihood_: float
    converged_: bool
    convergence_message_: str = ""
    n_customers_: float
    unit_: Unit | None

    _log_covariance: FloatArray | None = None
    #: Log-likelihood as a function of log parameters; None on a model that saw no data.
    _log_likelihood: Callable[[FloatArray], float] | None = None

    @property
    def log_covariance_(self) -> pd.DataFrame:
        return self._labelled(self._errors())

    @property
    def covariance_(self) -> pd.DataFrame:
        estimates = self._require_fit()
        return self._labelled(self._errors() * np.outer(estimates, estimates))

    @property
    def standard_errors_(self) -> pd.Series:
        errors = np.sqrt(np.diag(self._errors())) * self._require_fit()
        return pd.Series(errors, index=list(self.parameter_names), name="standard_error")

    @property
    def aic_(self) -> float:
        return 2 * len(self.parameter_names) - 2 * self.log_likelihood_

    @property
    def bic_(self) -> float:
        k = len(self.parameter_names)
        return k * float(np.log(self.n_customers_)) - 2 * self.log_likelihood_

    @abstractmethod
    def fit(self, customers: Any, unit: str | None = None) -> Self:
        """Estimate the parameters by maximum likelihood."""

    @classmethod
    def from_params(
        cls, params: Sequence[float] | Mapping[str, float], unit: str | None = None
    ) -> Self:
        """Return a model at given parameters, to evaluate without a fit.

        Parameters
        ----------
        params : sequence or mapping of float
            In the order of ``parameter_names``, or by name; all > 0.
        unit : {"D", "W"}, optional
            Unit of time that the parameters are in.

        Raises
        ------
        InputError
            If a name or the number of parameters is wrong, or one is not > 0.
        """
        names = cls.parameter_names
        if isinstance(params, Mapping):
            if set(params) != set(names):
                raise fail(
                    f"params has the names {', '.join(map(str, params))}",
                    f"they must be {', '.join(names)}",
                )
            values = [params[name] for name in names]
        else:
            if not isinstance(params, Iterable):
                raise fail(f"params is {params!r}", f"pass {', '.join(names)} in a list")
            values = list(params)
            if len(values) != len(names):
                raise fail(
                    f"params has {len(values)} values",
                    f"{cls.__name__} needs {len(names)}: {', '.join(names)}",
                )
        model = cls()
        checked = [
            check_number(name, value, gt=0) for name, value in zip(names, values, strict=True)
        ]
        model.params_ = pd.Series(checked, index=list(names), name="estimate")
        model.unit_ = None if unit is None else check_unit(unit)
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
        covariance = self._errors()
        z = ndtri((1 + check_number("level", level, gt=0, lt=1)) / 2)
        half = z * np.sqrt(np.diag(covariance))
        return pd.DataFrame(
            {
                "estimate": self.params_,
                "standard_error": self.standard_errors_,
                "lower": self.params_ * np.exp(-half),
                "upper": self.params_ * np.exp(half),
            }
        )

    def posterior(self, draws: int = 4000, seed: int = 0) -> pd.DataFrame:
        """Return weighted draws from the posterior under a flat prior on the log parameters.

        Importance sampling from a multivariate t with 5 degrees of freedom around the mode: no
        chain, no warm-up. The effective number of draws is in ``attrs["effective_size"]``.

        Parameters
        ----------
        draws : int
            Number of draws.
        seed : int
            Seed of the generator.

        Returns
        -------
        DataFrame
            One row a draw: the parameters and ``weight`` (sums to 1).

        Raises
        ------
        InputError
            If the model was not fitted in this session, or its fit has no proper maximum.
        """
        covariance = self._interval_covariance()
        if self._log_likelihood is None:
            raise fail("the model was loaded and has no data", "fit it to draw from its posterior")
        n = check_integer("draws", draws, ge=1)
        generator = np.random.default_rng(check_integer("seed", seed, ge=0))
        freedom, k = 5.0, len(self.params_)
        normal = generator.standard_normal((n, k))
        scaled = normal / np.sqrt(generator.chisquare(freedom, n) / freedom)[:, None]
        theta = self._theta() + scaled @ np.linalg.cholesky(covariance).T
        proposal = -(freedom + k) / 2 * np.log1p((scaled**2).sum(axis=1) / freedom)
        target = np.array([self._log_likelihood(point) for point in theta])
        weight = np.exp(target - proposal - (target - proposal).max())
        weight /= weight.sum()
        frame = pd.DataFrame(np.exp(theta), columns=list(self.parameter_names))
        frame["weight"] = weight
        frame.attrs["effective_size"] = float(1 / (weight**2).sum())
        return frame

    def save(self, path: str | Path) -> None:
        """Write the model as JSON: parameters, covariance and fit statistics, never code or data.

        Raises
        ------
        InputError
            If the model was not fitted, or there is no such folder.
        """
        self._require_fit()
        covariance = self._log_covariance
        content = {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "library": __version__,
            "model": type(self).__name__,
            "unit": self.unit_,
            "params": self.params_.to_dict(),
            "fit": None
            if covariance is None
            else {
                "log_covariance": covariance.tolist() if np.isfinite(covariance).all() else None,
                "log_likelihood": self.log_likelihood_,
                "n_customers": self.n_customers_,
                "converged": self.converged_,
            },
        }
        text = json.dumps(content, indent=2, allow_nan=False)
        file = Path(path)
        if not file.parent.is_dir():
            raise fail(f"there is no folder {str(file.parent)!r}", "make it first")
        file.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def _from_saved(cls, content: Mapping[str, Any]) -> Self:
        """Return the model that ``save`` wrote."""
        model = cls.from_params(content["params"], content["unit"])
        fit = content["fit"]
        if fit is not None:
            covariance = fit["log_covariance"]
            k = len(cls.parameter_names)
            model._set_fit(
                np.full((k, k), np.nan) if covariance is None else np.array(covariance, float),
                fit["log_likelihood"],
                fit["n_customers"],
                fit["converged"],
            )
        return model

    def __repr__(self) -> str:
        name = type(self).__name__
        if not hasattr(self, "params_"):
            return f"{name}()"
        parts = [f"{key}={value:.6g}" for key, value in self.params_.items()]
        if self.unit_ is not None:
            parts.append(f"unit={UNIT_WORDS[self.unit_]}")
        if hasattr(self, "n_customers_"):
            parts.append(f"n_customers={self.n_customers_:,.0f}")
        return f"{name}({', '.join(parts)})"

    # -- for the models -------------------------------------------------------------------

    def _theta(self) -> FloatArray:
        return np.log(self.params_.to_numpy(dtype=np.float64))

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
        names = list(self.parameter_names)
        return pd.DataFrame(matrix, index=names, columns=names)

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
        self, optimum: Optimum, log_scale: FloatArray, log_likelihood: float, n_customers: float
    ) -> None:
        """Set every fitted attribute from where Newton stopped, on data divided by a scale."""
        estimates = np.exp(optimum.theta + log_scale)
        self.params_ = pd.Series(estimates, index=list(self.parameter_names), name="estimate")
        covariance = np.full(optimum.hessian.shape, np.nan)
        trouble = optimum.trouble(self.parameter_names, n_customers)
        if not trouble:
            covariance = np.asarray(np.linalg.inv(optimum.hessian) / n_customers, np.float64)
        self._set_fit(covariance, log_likelihood, n_customers, not trouble)
        self.convergence_message_ = trouble
        if trouble:
            warnings.warn(
                f"{type(self).__name__} did not converge, so it has no intervals: {trouble}; "
                "use more customers or a longer window",
                ConvergenceWarning,
                stacklevel=3,
            )

    def _set_fit(
        self, log_covariance: FloatArray, log_likelihood: float, n_customers: float, converged: bool
    ) -> None:
        self._log_covariance = log_covariance
        self.log_likelihood_ = float(log_likelihood)
        self.n_customers_ = float(n_customers)
        self.converged_ = bool(converged)

    def _draws(self, points: FloatArray | None = None) -> FloatArray:
        """Return parameter draws from the normal approximation on the log scale.

        ``points`` in the open unit cube are low-discrepancy by default, so the same model always
        gives the same interval and a few hundred draws suffice.
        """
        covariance = self._interval_covariance()
        if points is None:
            points = low_discrepancy(N_DRAWS, len(covariance))
        return np.exp(self._theta() + ndtri(points) @ np.linalg.cholesky(covariance).T)


def low_discrepancy(n: int, dimensions: int) -> FloatArray:
    """Return ``n`` evenly spread points in the open unit cube.

    The additive recurrence of the generalised golden ratio g, the root of
    g^(d+1) = g + 1 (Roberts 2018).
    """
    ratio = 2.0
    for _ in range(64):
        ratio = (1.0 + ratio) ** (1.0 / (dimensions + 1))
    steps = ratio ** -np.arange(1.0, dimensions + 1)
    return (0.5 + np.outer(np.arange(1.0, n + 1), steps)) % 1.0


def interval_bounds(
    evaluate: Callable[[FloatArray, slice], FloatArray],
    draws: FloatArray,
    n_rows: int,
    level: float,
) -> tuple[FloatArray, FloatArray]:
    """Return the lower and upper quantile over ``draws`` of a prediction, a row at a time block.

    ``evaluate(params, block)`` predicts for the rows in ``block``.
    """
    tail = (1 - check_number("interval", level, gt=0, lt=1)) / 2
    lower, upper = np.empty(n_rows), np.empty(n_rows)
    size = max(1, _BLOCK // len(draws))
    for start in range(0, n_rows, size):
        block = slice(start, min(start + size, n_rows))
        values = np.stack([evaluate(params, block) for params in draws])
        values.sort(axis=0)
        # Order statistics, not interpolated: predictions may be infinite.
        last = len(draws) - 1
        lower[block] = values[int(np.floor(tail * last))]
        upper[block] = values[int(np.ceil((1 - tail) * last))]
    return lower, upper
