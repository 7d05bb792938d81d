"""Do 95% intervals hold the truth in 93 to 97% of simulated populations?

Each model is simulated at fixed parameters and fitted again, 200 times. The mean share over its
parameters, and for the purchase models the interval of a prediction, are held to the band.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import touchpoint_lib as tp

_POPULATIONS = 200
_CUSTOMERS = 3000

CASES: dict[str, tuple[Any, list[float], Any]] = {
    "BG/NBD": (tp.BetaGeoModel, [0.8, 6.0, 0.8, 2.5], 50.0),
    "MBG/NBD": (tp.ModifiedBetaGeoModel, [0.8, 6.0, 0.8, 2.5], 50.0),
    "Pareto/NBD": (tp.ParetoNBDModel, [0.8, 6.0, 0.8, 12.0], 50.0),
    "BG/BB": (tp.BetaGeoBetaBinomModel, [1.2, 0.75, 0.66, 2.8], 10.0),
    "sBG": (tp.ShiftedBetaGeoModel, [0.7, 2.5], 8.0),
    "BdW": (tp.BetaDiscreteWeibullModel, [0.6, 2.5, 1.3], 10.0),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_intervals_of_parameters_and_predictions_cover(name: str) -> None:
    model_type, params, length = CASES[name]
    truth = model_type.from_params(params)
    customer = pd.DataFrame({"frequency": [3], "recency": [5.0], "T": [9.0]})
    purchases = hasattr(truth, "probability_of_purchase")
    held = np.empty((_POPULATIONS, len(params)))
    predicted = np.empty(_POPULATIONS)
    for seed in range(_POPULATIONS):
        model = model_type().fit(truth.simulate(_CUSTOMERS, length, seed=seed))
        table = model.summary()
        held[seed] = (table["lower"] <= params) & (params <= table["upper"])
        if purchases:
            found = model.probability_of_purchase(customer, 9, interval=0.95).loc[0]
            expected = truth.probability_of_purchase(customer, 9)[0]
        else:
            found = model.survival([9], interval=0.95).loc[9]
            expected = truth.survival([9])[9]
        predicted[seed] = found["lower"] <= expected <= found["upper"]
    assert 0.93 <= held.mean() <= 0.97
    assert 0.93 <= predicted.mean() <= 0.97


@pytest.mark.slow
def test_intervals_of_spend_cover() -> None:
    params = [6.0, 3.7, 15.0]
    truth = tp.GammaGammaModel.from_params(params)
    held = np.empty((_POPULATIONS, 3))
    for seed in range(_POPULATIONS):
        frequency = np.random.default_rng(seed).poisson(2, _CUSTOMERS)
        table = tp.GammaGammaModel().fit(truth.simulate(frequency, seed=seed)).summary()
        held[seed] = (table["lower"] <= params) & (params <= table["upper"])
    assert 0.93 <= held.mean() <= 0.97


@pytest.mark.slow
def test_intervals_of_regular_buyers_cover() -> None:
    params = [0.8, 2.0, 0.8, 2.5]
    truth = tp.ModifiedBetaGeoModel.from_params(params, regularity=3)
    held = np.empty((_POPULATIONS, 4))
    for seed in range(_POPULATIONS):
        drawn = truth.simulate(_CUSTOMERS, 50.0, seed=seed)
        table = tp.ModifiedBetaGeoModel(regularity=3).fit(drawn).summary()
        held[seed] = (table["lower"] <= params) & (params <= table["upper"])
    assert 0.93 <= held.mean() <= 0.97
