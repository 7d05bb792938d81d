"""Extreme customers and parameters, one parameter set a row, that every model has to survive."""

from __future__ import annotations

import numpy as np

from touchpoint_lib._checks import FloatArray
from touchpoint_lib.lifetime._rows import Rows


def stress_rows(n: int, seed: int) -> Rows:
    """Return customers with up to 10,000 repeat purchases in up to 10,000 units of time."""
    generator = np.random.default_rng(seed)
    frequency = np.floor(np.exp(generator.uniform(0, np.log(10_001), n))) - 1
    age = np.exp(generator.uniform(np.log(0.01), np.log(10_000), n))
    # Some buy on the very last day, some went silent at once, most in between.
    share = np.where(generator.random(n) < 0.1, 1.0, generator.beta(0.7, 0.7, n))
    recency = np.where(frequency > 0, np.maximum(share, 1e-6) * age, 0.0)
    return Rows(frequency, recency, age, np.ones(n))


def stress_params(n: int, k: int, seed: int) -> FloatArray:
    """Return ``k`` parameters for each of ``n`` rows, log-uniform over 1e-3 to 1e3."""
    generator = np.random.default_rng(seed)
    return np.exp(generator.uniform(np.log(1e-3), np.log(1e3), (k, n)))
