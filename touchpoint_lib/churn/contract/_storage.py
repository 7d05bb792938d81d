"""Files of a Cox model: what they hold, and the checks of one that is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from touchpoint_lib._checks import FloatArray, check_number, check_values, fail
from touchpoint_lib.churn.contract._parts import SET, HazardCovariates, coefficient_names

FORMAT = "touchpoint_lib Cox model"
FORMAT_VERSION = 1

#: Share by which a covariance may be off by rounding.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Baseline:
    """Cumulative hazard of a stratum after each tenure at which some ended, at the mean design.

    Nothing is known beyond ``reach``, the longest tenure observed.
    """

    times: FloatArray
    hazard: FloatArray
    reach: float


def read_estimates(
    content: dict[str, Any],
) -> tuple[HazardCovariates, list[str], FloatArray, FloatArray, FloatArray]:
    """Return covariates, names, coefficients, covariance (NaN where there is none) and centre."""
    covariates = HazardCovariates.from_saved(content["design"], {SET})
    names, k = list(content["params"]), len(covariates.names)
    params = check_values("params", list(content["params"].values()))
    centre = check_values("centre", content["centre"])
    covariance = np.full((k, k), np.nan)
    if content["covariance"] is not None:
        covariance = check_values("covariance", content["covariance"])
    if not k or len(names) != k or centre.shape != (k,) or covariance.shape != (k, k):
        raise fail(f"params, centre and covariance are not of {k} columns", "save it again")
    if names != (known := coefficient_names(covariates)):
        raise fail(
            f"params are {', '.join(names)}, the design has {', '.join(known)}", "save again"
        )
    if content["covariance"] is not None:
        _check_covariance(covariance)
    return covariates, names, params, covariance, centre


def _check_covariance(covariance: FloatArray) -> None:
    """Raise unless a matrix is symmetric and no variance in it is negative."""
    variance = check_values("variance", np.diag(covariance), ge=0)
    # Covariates come in any unit: what counts are correlations.
    size = np.sqrt(np.where(variance > 0, variance, 1.0))
    with np.errstate(over="ignore", invalid="ignore"):
        correlation = covariance / size / size[:, None]
        symmetric = np.abs(correlation - correlation.T) <= _ROUNDING
    if not symmetric.all() or np.linalg.eigvalsh(correlation)[0] < -_ROUNDING:
        raise fail("covariance is no covariance matrix", "save it again")


def read_baselines(content: dict[str, Any], strata: str | None) -> dict[str, Baseline]:
    """Return the baseline of each stratum, checked."""
    found = {}
    levels = list(content["baseline"])
    if not levels or (strata is None and levels != [""]):
        raise fail(f"baseline is of {levels}, strata is {strata!r}", "save it again")
    for level, kept in content["baseline"].items():
        times = check_values("times", kept["times"], ge=0)
        hazard = check_values("hazard", kept["hazard"], ge=0)
        if times.ndim != 1 or times.size == 0 or times.shape != hazard.shape:
            raise fail(
                f"the baseline of stratum {level!r} has times of shape {times.shape} and hazards "
                f"of shape {hazard.shape}",
                "save it again",
            )
        reach = check_number("reach", kept["reach"], ge=times[-1])
        falls = (np.diff(times) <= 0).any() or (np.diff(hazard) < 0).any()
        if falls:
            raise fail(f"the baseline of stratum {level!r} does not rise", "save it again")
        found[level] = Baseline(times, hazard, reach)
    return found
