"""Where the lifetimes package is wrong on BG/NBD, MBG/NBD and Gamma-Gamma, and what is right.

Those of Pareto/NBD and BG/BB stand beside the models' other comparisons. mpmath tells who is right.
"""

from __future__ import annotations

import warnings
from typing import Any

import mpmath as mp
import numpy as np
import pandas as pd
import pytest

import touchpoint_lib as tp
from tests.lifetime.samples import one

MODELS = {"BetaGeoFitter": tp.BetaGeoModel, "ModifiedBetaGeoFitter": tp.ModifiedBetaGeoModel}


def fitter_of(name: str, params: dict[str, float]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lifetimes warns on import
        import lifetimes

        fitter = getattr(lifetimes, name)()
    fitter.params_ = pd.Series(params)
    return fitter


def theirs(name: str, params: list[float], row: tuple[float, float, float]) -> float:
    fitter = fitter_of(name, dict(zip(("r", "alpha", "a", "b"), params, strict=True)))
    with np.errstate(all="ignore"):
        found = fitter.conditional_expected_number_of_purchases_up_to_time(
            39, *(np.array([value]) for value in row)
        )
    return float(np.ravel(found)[0])


def exact(params: list[float], row: tuple[float, float, float], m: int) -> float:
    """Expected purchases in 39 weeks: P(alive) times an integral over the drop-out probability."""
    with mp.workdps(40):
        r, alpha, a, b = (mp.mpf(value) for value in params)
        x, recency, age = (mp.mpf(value) for value in row)
        c, kept = r + x, b + x + m
        odds = mp.mpf(0)
        if x + m > 0:
            odds = a / (kept - 1) * ((alpha + age) / (alpha + recency)) ** c

        def of(p: Any) -> Any:
            density = p ** (a - 1) * (1 - p) ** (kept - 1) / mp.beta(a, kept)
            return density * (1 - (1 + p * 39 / (alpha + age)) ** -c) / p

        # The mass lies where p is about a / (a + kept).
        cuts = [0, *(min(mp.mpf(1) / 2, a / kept * 4**i) for i in range(-2, 4)), 1]
        return float(mp.quad(of, sorted(set(cuts))) / (1 + odds))


@pytest.mark.parametrize("name", MODELS)
def test_no_pole_where_a_is_one(name: str) -> None:
    """Its formula divides by a - 1: infinite at 1, and three digits left a trillionth beside."""
    model_type, row = MODELS[name], (2, 30.0, 39.0)
    for a in (1.0, 1 + 1e-12):
        params = [0.24, 4.4, a, 2.4]
        ours = model_type.from_params(params).expected_purchases(one(*row), 39)[0]
        right = exact(params, row, model_type._chance_at_first)
        assert ours == pytest.approx(right, rel=1e-10)
        found = theirs(name, params, row)
        assert np.isinf(found) if a == 1 else 1e-4 < abs(found / right - 1) < 0.1


def test_no_gap_where_purchases_are_many() -> None:
    """MBG/NBD: its 2F1 overflows, and the expectation of a heavy buyer is missing."""
    params, row = [0.24, 4.4, 0.8, 2.4], (2000, 38.9, 39.0)
    assert np.isnan(theirs("ModifiedBetaGeoFitter", params, row))
    ours = tp.ModifiedBetaGeoModel.from_params(params).expected_purchases(one(*row), 39)[0]
    assert ours == pytest.approx(exact(params, row, 1), rel=1e-10)


def test_no_negative_spend_where_the_mean_is_infinite() -> None:
    """Gamma-Gamma with q below 1: its expected spend of a one-time buyer is below zero."""
    fitter = fitter_of("GammaGammaFitter", {"p": 6.0, "q": 0.9, "v": 15.0})
    customers = pd.DataFrame({"frequency": [0, 1], "monetary_value": [0.0, 30.0]})
    found = fitter.conditional_expected_average_profit(
        customers["frequency"], customers["monetary_value"]
    )
    assert found[0] == pytest.approx(-900)
    model = tp.GammaGammaModel.from_params([6.0, 0.9, 15.0])
    with pytest.warns(tp.InfiniteMeanWarning):
        ours = model.expected_spend(customers)
    assert ours[0] == np.inf
    assert ours[1] == pytest.approx(found[1])
    assert (model.median_spend(customers) > 0).all()
