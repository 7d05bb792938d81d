"""Cases, brute force and the check of a refusal that the tests of the metrics share."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies as st

from touchpoint_lib import InputError


def refused(parts, function, *args, **kwargs):
    """Assert that the call raises an InputError whose message has all ``parts``."""
    with pytest.raises(InputError) as caught:
        function(*args, **kwargs)
    for part in parts:
        assert part in str(caught.value)


def brute_rates(actual, flagged):
    """Error and omission rate by counting one case after the other."""
    wrong = sum(1 for a, f in zip(actual, flagged, strict=True) if f and not a)
    missed = sum(1 for a, f in zip(actual, flagged, strict=True) if a and not f)
    return (
        wrong / sum(map(bool, flagged)) if any(flagged) else math.nan,
        missed / sum(map(bool, actual)) if any(actual) else math.nan,
    )


def wilson(count, n, level):
    """The roots of (p - count/n)^2 = z^2 p (1 - p) / n, from its polynomial in p."""
    z2 = NormalDist().inv_cdf((1 + level) / 2) ** 2
    share = count / n
    roots = np.roots([1 + z2 / n, -2 * share - z2 / n, share**2])
    return sorted(float(root.real) for root in roots)


#: Cases of 0 or 1 with a score that is often tied.
CASES = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=1, max_size=40)

SERIES = pd.Series([1.0, 0.0], index=["a", "b"])
TURNED = pd.Series([0.4, 0.6], index=["b", "a"])


def simulated(n, seed):
    generator = np.random.default_rng(seed)
    score = generator.random(n)
    return generator.random(n) < score, score


def market(n, generator, cutoffs):
    """Outcomes, a sharp and a blunt score of n customers at each of ``cutoffs`` times."""
    lasting = np.repeat(generator.normal(size=n), cutoffs)
    now = (lasting + 0.5 * generator.normal(size=n * cutoffs)) / math.sqrt(1.25)
    habit = np.repeat(generator.normal(size=n), cutoffs)
    actual = now + 0.8 * habit > 0.6
    noise = np.repeat(generator.normal(size=n), cutoffs)
    sharp = now + 0.7 * noise
    return actual, {"sharp": sharp, "blunt": sharp + np.repeat(generator.normal(size=n), cutoffs)}
