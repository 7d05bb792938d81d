"""Files of a Cox model: what they hold, and the checks of one that is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from touchpoint_lib._checks import FloatArray, check_number, check_values, fail
from touchpoint_lib.churn.contract._parts import SET
from touchpoint_lib.lifetime._covariates import Covariates

FORMAT = "touchpoint_lib Cox model"
FORMAT_VERSION = 1


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
) -> tuple[Covariates, list[str], FloatArray, FloatArray, FloatArray]:
    """Return covariates, names, coefficients, covariance (NaN where there is none) and centre."""
    covariates = Covariates.from_saved(content["design"], {SET})
    names, k = list(content["params"]), len(covariates.names)
    params = check_values("params", list(content["params"].values()))
    centre = check_values("centre", content["centre"])
    covariance = np.full((k, k), np.nan)
    if content["covariance"] is not None:
        covariance = check_values("covariance", content["covariance"])
    if len(names) != k or centre.shape != (k,) or covariance.shape != (k, k):
        raise fail(f"params, centre and covariance are not of {k} columns", "save it again")
    return covariates, names, params, covariance, centre


def read_baselines(content: dict[str, Any]) -> dict[str, Baseline]:
    """Return the baseline of each stratum, checked."""
    found = {}
    for level, kept in content["baseline"].items():
        times = check_values("times", kept["times"], ge=0)
        hazard = check_values("hazard", kept["hazard"], ge=0)
        reach = check_number("reach", kept["reach"], ge=times[-1])
        falls = (np.diff(times) <= 0).any() or (np.diff(hazard) < 0).any()
        if times.shape != hazard.shape or falls:
            raise fail(f"the baseline of stratum {level!r} does not rise", "save it again")
        found[level] = Baseline(times, hazard, reach)
    return found
