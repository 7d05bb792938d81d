"""The silence at which P(alive) falls to a level, of regular buyers and at extremes."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

import touchpoint_lib as tp
from tests.reference import lifetime as published
from touchpoint_lib.lifetime._stages import silence_of


@pytest.mark.parametrize("k", [2, 3, 12])
@pytest.mark.parametrize("c", [0.05, 1.7, 40.0, 9000.0])
def test_silence_against_mpmath(k: int, c: float) -> None:
    """P(no purchase) is I of 1 / (1 + silence): from hardly any silence to 1e-300."""
    rises = np.array([1e-8, 1e-3, 0.4, 0.8, 5.0, 60.0, 290.0, 300.0, 400.0, 690.0])
    silence = silence_of(rises, np.full(len(rises), c), k)
    for rise, found in zip(rises, silence, strict=True):
        if np.isinf(found):
            # Beyond the largest number: there the probability is still above the level.
            found = 1e307
            assert log_quiet(c, k, found) > -rise
            continue
        assert float(log_quiet(c, k, found)) == pytest.approx(-rise, rel=1e-9)


def log_quiet(c: float, k: int, silence: float) -> mpmath.mpf:
    with mpmath.workdps(60):
        left = 1 / (1 + mpmath.mpf(silence))
        terms = (
            mpmath.rf(mpmath.mpf(c), j) / mpmath.factorial(j) * (1 - left) ** j for j in range(k)
        )
        return mpmath.mpf(c) * mpmath.log(left) + mpmath.log(mpmath.fsum(terms))


@pytest.mark.parametrize("level", [1.0, 0.5, 1e-6, 1e-130, 1e-230, 1e-300])
@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("model_type", [tp.BetaGeoModel, tp.ModifiedBetaGeoModel])
def test_no_level_gives_a_gap_that_is_no_number(model_type: type, k: int, level: float) -> None:
    params = [0.5, 5.0, 0.8, 2.0]
    model = model_type.from_params(params, unit="W", regularity=k)  # type: ignore[attr-defined]
    customers = published.cdnow_summary().head(200)
    gap = model.dormancy_gap(customers, level)
    assert (gap >= 0).all()
    if model_type is tp.BetaGeoModel:
        assert np.isinf(gap[customers["frequency"] == 0]).all()
    # Where the gap is a number, P(alive) has fallen to the level after it, or was below at once.
    near = gap[(gap > 0) & (gap < 1e15)].index
    if level == 1:
        assert near.empty
        return
    assert len(near) > 0
    silent = customers.loc[near].assign(T=customers.loc[near, "recency"] + gap[near])
    alive = model.probability_alive(silent)
    np.testing.assert_allclose(np.log(alive), np.log(level), rtol=1e-9, atol=1e-9)
