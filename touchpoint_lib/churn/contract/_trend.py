"""The test of proportional hazards: does a coefficient change with tenure?"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import chdtrc

from touchpoint_lib._checks import FloatArray, fail
from touchpoint_lib.churn.contract._risk_sets import PartialLikelihood
from touchpoint_lib.churn.contract.survival_curve import Tenures


def trend_test(
    likelihood: PartialLikelihood,
    theta: FloatArray,
    scale: FloatArray,
    data: Tenures,
    coefficients: pd.Series,
    transform: str,
    significance: float,
) -> pd.DataFrame:
    """Return the score test of each coefficient times a clock, and of all of them together.

    ``theta`` are the coefficients of the design of the likelihood, each ``scale`` times ours.
    """
    score, plain, mixed, square = likelihood.trend(theta, _clocks(likelihood, data, transform))
    # What is left of the products with the clock, once the coefficients have had their share.
    shared = mixed @ np.linalg.solve(plain, mixed)
    own = np.diag(square - shared)
    chi_squared = np.append(score**2 / own, score @ np.linalg.solve(square - shared, score))
    degrees = np.append(np.ones(len(theta), dtype=np.int64), len(theta))
    slope = np.append(score / own / scale, np.nan)
    p_value = chdtrc(degrees, chi_squared)
    names = [*coefficients.index, "all"]
    growth = slope * np.append(coefficients, np.nan)
    return pd.DataFrame(
        {
            "slope": slope,
            "chi_squared": chi_squared,
            "degrees_of_freedom": degrees,
            "p_value": p_value,
            "finding": [
                _finding(name, bool(p < significance), grown)
                for name, p, grown in zip(names, p_value, growth, strict=True)
            ],
        },
        index=names,
    )


def _clocks(likelihood: PartialLikelihood, data: Tenures, transform: str) -> list[FloatArray]:
    """Return the transformed time of the ends of each stratum, around their mean."""
    from statsmodels.duration.survfunc import SurvfuncRight

    pooled = SurvfuncRight(
        data.tenure, data.ended.astype(np.float64), entry=data.entry, freq_weights=data.count
    )
    lost = pooled.n_events
    if transform == "km":
        clock = np.concatenate([[0.0], 1 - pooled.surv_prob[:-1]])
    else:
        clock = (np.cumsum(lost) - (lost - 1) / 2) / lost.sum()
    if np.ptp(clock) == 0:
        raise fail(
            "all subscriptions that ended did so at one tenure",
            "observe longer: no change with tenure can be seen",
        )
    clock = clock - lost @ clock / lost.sum()
    return [clock[np.searchsorted(pooled.surv_times, part.times)] for part in likelihood.strata]


def _finding(name: str, there: bool, growth: float) -> str:
    """Return in words what the test of proportional hazards says of a coefficient."""
    if not there:
        return "no sign that the effect changes with tenure"
    if name == "all":
        return "some effect changes with tenure: act on the rows with a small p_value"
    how = "grows with tenure" if growth > 0 else "wears off or turns with tenure"
    return (
        f"the effect {how}: put {name} (in classes, if it is a number) in strata=, or fit early "
        "and late tenures apart, the late ones with entry= at the cut"
    )
