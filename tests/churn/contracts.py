"""Simulated subscriptions whose truth is known."""

from __future__ import annotations

import numpy as np
import pandas as pd


def weibull(
    n: int, seed: int, shape: float = 1.0, scale: float = 10.0, longest: float = 12.0
) -> pd.DataFrame:
    """Subscriptions with hazard ratios e^0.6 for a unit of visits and e^-0.8 for yearly plans.

    At the means of both the survival is exp(-(t / scale)^shape); nothing is seen after ``longest``,
    and some began too late to be seen even that long.
    """
    rng = np.random.default_rng(seed)
    visits, plan = rng.normal(size=n), rng.choice(["monthly", "yearly"], size=n)
    ratio = np.exp(0.6 * visits - 0.8 * (plan == "yearly"))
    until = scale * (rng.exponential(size=n) / ratio) ** (1 / shape)
    seen = longest * np.minimum(1, rng.uniform(0.2, 1.8, size=n))
    return pd.DataFrame(
        {
            "visits": visits,
            "plan": plan,
            "tenure": np.minimum(until, seen),
            "ended": until <= seen,
            "until": until,
        }
    )
