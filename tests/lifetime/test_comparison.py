"""compare_models against published figures, plain definitions and made-up cases."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import touchpoint_lib as tp
from touchpoint_lib import InputError
from touchpoint_lib.lifetime.comparison import compare_models, expected_hits
from touchpoint_lib.lifetime.pareto_nbd import ParetoNBDModel

#: The contract: these columns in this order.
COLUMNS = [
    "log_likelihood",
    "aic",
    "bic",
    "holdout_expected",
    "holdout_actual",
    "bias",
    "mae",
    "rmse",
    "auc",
    "brier",
    "error_rate",
    "omission_rate",
]

#: CDNOW sample, calibration to 1997-09-30, 39 weeks of holdout: expected purchases, mean absolute
#: error a customer, AUC, at the estimates of tests/reference/lifetime.py (for Pareto/NBD those of
#: CLVTools: .55315 10.57633 .60625 11.67150).
FIGURES = {
    "BetaGeoModel": (1653.4, 0.7855, 0.7569),
    "ModifiedBetaGeoModel": (1576.7, 0.7648, 0.7601),
    "ParetoNBDModel": (1665.5, 0.7545, 0.7712),
}
RATE_MAE, RECENCY_AUC = 1.0237, 0.7714
PARETO_ERROR, PARETO_OMISSION = 0.275, 0.611


@pytest.fixture(scope="module")
def split() -> pd.DataFrame:
    return tp.rfm_split(tp.load_cdnow(sample=True), split="1997-09-30", until="1998-06-30")


@pytest.fixture(scope="module")
def models(split: pd.DataFrame) -> dict[str, Any]:
    kinds = (tp.BetaGeoModel, tp.ModifiedBetaGeoModel, ParetoNBDModel)
    return {kind.__name__: kind().fit(split) for kind in kinds}


@pytest.fixture(scope="module")
def table(models: dict[str, Any], split: pd.DataFrame) -> pd.DataFrame:
    return compare_models(models, split)


@pytest.fixture
def given_model() -> tp.ModifiedBetaGeoModel:
    return tp.ModifiedBetaGeoModel.from_params([0.525, 6.183, 0.891, 1.614], unit="W")


def refused(parts: list[str], *args: Any, **kwargs: Any) -> None:
    with pytest.raises(InputError) as caught:
        compare_models(*args, **kwargs)
    for part in parts:
        assert part in str(caught.value)


def made(frequency: Any, recency: Any, age: Any, came: Any, duration: Any = 10.0) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "frequency": frequency,
            "recency": np.asarray(recency, dtype=float),
            "T": np.asarray(age, dtype=float),
            "holdout_frequency": came,
            "holdout_duration": duration,
        }
    )
    frame.attrs["unit"] = "W"
    return frame


# -- published figures ---------------------------------------------------------------------------


def test_the_columns_are_the_contract(table: pd.DataFrame) -> None:
    assert table.columns.tolist() == COLUMNS
    assert table.index.name == "model"
    assert table.index.tolist() == [*FIGURES, "recency", "rate"]
    assert (table.dtypes == np.float64).all()


@pytest.mark.parametrize("name", FIGURES)
def test_published_forecasts(name: str, table: pd.DataFrame) -> None:
    total, mae, auc = FIGURES[name]
    row = table.loc[name]
    assert row["holdout_expected"] == pytest.approx(total, rel=1e-3)
    assert row["mae"] == pytest.approx(mae, abs=1e-4)
    assert row["auc"] == pytest.approx(auc, abs=1e-4)
    assert row["holdout_actual"] == 1882
    assert row["bias"] == pytest.approx(total / 1882 - 1, abs=1e-3)


def test_published_baselines_and_rates(table: pd.DataFrame) -> None:
    assert table.loc["rate", "mae"] == pytest.approx(RATE_MAE, abs=1e-4)
    assert table.loc["recency", "auc"] == pytest.approx(RECENCY_AUC, abs=1e-4)
    assert table.loc["ParetoNBDModel", "error_rate"] == pytest.approx(PARETO_ERROR, abs=5e-4)
    assert table.loc["ParetoNBDModel", "omission_rate"] == pytest.approx(PARETO_OMISSION, abs=5e-4)


def test_what_has_no_meaning_is_missing_and_nothing_else(
    table: pd.DataFrame, models: dict[str, Any]
) -> None:
    assert table.loc[list(models)].notna().all(axis=None)
    missing = table.columns[table.loc["recency"].isna()]
    assert missing.tolist() == [
        "log_likelihood",
        "aic",
        "bic",
        "holdout_expected",
        "bias",
        "mae",
        "rmse",
        "brier",
    ]
    missing = table.columns[table.loc["rate"].isna()]
    assert missing.tolist() == ["log_likelihood", "aic", "bic", "brier"]


# -- definitions ---------------------------------------------------------------------------------


def test_every_figure_is_its_definition(
    table: pd.DataFrame, models: dict[str, Any], split: pd.DataFrame
) -> None:
    came = split["holdout_frequency"]
    bought = came > 0
    for name, model in models.items():
        row = table.loc[name]
        expected = model.expected_purchases(split, 39)
        chance = model.probability_of_purchase(split, 39)
        rates = tp.prediction_rates(bought, chance, 0.5)
        buyers, others = chance[bought].to_numpy(), chance[~bought].to_numpy()
        above = (buyers[:, None] > others).mean() + (buyers[:, None] == others).mean() / 2
        assert row["log_likelihood"] == model.log_likelihood_
        assert (row["aic"], row["bic"]) == (model.aic_, model.bic_)
        assert row["holdout_expected"] == pytest.approx(expected.sum())
        assert row["mae"] == pytest.approx((expected - came).abs().mean())
        assert row["rmse"] == pytest.approx(np.sqrt(((expected - came) ** 2).mean()))
        assert row["auc"] == pytest.approx(above)
        assert row["brier"] == pytest.approx(((chance - bought) ** 2).mean())
        assert row["error_rate"] == pytest.approx(rates.error_rate)
        assert row["omission_rate"] == pytest.approx(rates.omission_rate)
        assert table.attrs["n_flagged"][name] == rates.n_flagged
    assert table.attrs["n"] == 2357
    assert table.attrs["n_actual"] == bought.sum()
    assert table.attrs["threshold"] == 0.5


def test_baselines_flag_as_many_as_the_likeliest_model(
    table: pd.DataFrame, models: dict[str, Any], split: pd.DataFrame
) -> None:
    best = max(models, key=lambda name: models[name].log_likelihood_)
    n_flagged = table.attrs["n_flagged"]
    assert n_flagged["recency"] == n_flagged["rate"] == n_flagged[best]
    # Both rates speak of the same number of flagged customers.
    buyers = table.attrs["n_actual"]
    for name in table.index:
        row = table.loc[name]
        hits = n_flagged[name] * (1 - row["error_rate"])
        assert hits == pytest.approx(buyers * (1 - row["omission_rate"]))
    silence = split["T"] - split["recency"]
    bought = split["holdout_frequency"] > 0
    # Between the rates of flagging fewer (without the tie at the cut) and more (with it).
    cut = np.sort(silence)[int(n_flagged[best]) - 1]
    fewer, more = (bought[silence < cut - 1e-9].sum(), bought[silence < cut + 1e-9].sum())
    hits = n_flagged[best] * (1 - table.loc["recency", "error_rate"])
    assert fewer <= hits <= more


def test_a_tie_at_the_cut_is_broken_by_chance(given_model: Any) -> None:
    """Worked by hand: the model flags the frequent buyer alone, and both bought today."""
    split = made([9, 1], [40, 40], [40.0, 40.0], [0, 1])
    chance = given_model.probability_of_purchase(split, 10)
    assert chance[0] > 0.5 > chance[1]
    table = compare_models([given_model], split)
    both = ["error_rate", "omission_rate"]
    assert table.loc["ModifiedBetaGeoModel", both].tolist() == [1, 1]
    assert table.loc["recency", both].tolist() == [0.5, 0.5]
    assert table.loc["rate", both].tolist() == [1, 1]
    assert table.loc["recency", "auc"] == 0.5


def test_chance_decides_within_a_tie_that_is_cut() -> None:
    score = np.array([3.0, 2.0, 2.0, 2.0, 1.0])
    buys = np.array([True, True, True, False, True])
    weight = np.ones(5)
    # One surely, then half of a class of three with two buyers.
    assert expected_hits(score, buys, weight, 2.5) == pytest.approx(1 + 1.5 * 2 / 3)
    assert expected_hits(score, buys, weight, 0) == 0
    assert expected_hits(score, buys, weight, 5) == 4
    assert expected_hits(score, buys, np.array([1.0, 0, 0, 0, 1]), 1) == 1


@settings(max_examples=30, deadline=None)
@given(data=st.data(), n=st.integers(2, 25))
def test_a_count_is_so_many_rows(data: st.DataObject, n: int) -> None:
    model = tp.ModifiedBetaGeoModel.from_params([0.525, 6.183, 0.891, 1.614], unit="W")
    x = np.array(data.draw(st.lists(st.integers(0, 6), min_size=n, max_size=n)))
    silence = np.array(data.draw(st.lists(st.integers(0, 20), min_size=n, max_size=n)))
    came = data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    count = data.draw(st.lists(st.integers(1, 3), min_size=n, max_size=n))
    age = 30.0 + np.where(x > 0, 0, silence)
    frame = made(x, np.where(x > 0, 30.0 - silence, 0), age, came)
    repeated = frame.loc[frame.index.repeat(count)].reset_index(drop=True)
    repeated.attrs = dict(frame.attrs)
    weighted = compare_models([model], frame.assign(count=count), threshold=0.4)
    pd.testing.assert_frame_equal(
        weighted, compare_models([model], repeated, threshold=0.4), rtol=1e-9
    )


# -- what is passed ------------------------------------------------------------------------------


def test_unfitted_models_are_fitted_on_a_copy(split: pd.DataFrame, table: pd.DataFrame) -> None:
    model = tp.ModifiedBetaGeoModel()
    result = compare_models([model], split)
    assert not hasattr(model, "params_")
    pd.testing.assert_series_equal(
        result.loc["ModifiedBetaGeoModel"], table.loc["ModifiedBetaGeoModel"]
    )


def test_one_model_alone_is_a_sequence_of_one(split: pd.DataFrame, given_model: Any) -> None:
    pd.testing.assert_frame_equal(
        compare_models(given_model, split),
        compare_models({"ModifiedBetaGeoModel": given_model}, split),
    )


def test_given_parameters_have_no_likelihood_and_the_first_such_model_leads(
    split: pd.DataFrame, given_model: Any, models: dict[str, Any]
) -> None:
    other = tp.BetaGeoModel.from_params([0.243, 4.414, 0.793, 2.426], unit="W")
    table = compare_models({"mbg": given_model, "bg": other}, split, threshold=0.3)
    likelihoods = table[["log_likelihood", "aic", "bic"]]
    assert likelihoods.isna().all(axis=None)
    assert table.attrs["n_flagged"]["recency"] == table.attrs["n_flagged"]["mbg"]
    assert table.attrs["n_flagged"]["mbg"] != table.attrs["n_flagged"]["bg"]
    # A fitted model leads, wherever it stands.
    table = compare_models({"mbg": given_model, "bg": models["BetaGeoModel"]}, split, threshold=0.3)
    assert table.attrs["n_flagged"]["recency"] == table.attrs["n_flagged"]["bg"]


def test_every_customer_is_forecast_over_the_own_duration(
    split: pd.DataFrame, given_model: Any
) -> None:
    mixed = split.assign(holdout_duration=np.where(np.arange(len(split)) % 2, 39.0, 10.0))
    table = compare_models([given_model], mixed)
    expected = sum(
        given_model.expected_purchases(mixed[mixed["holdout_duration"] == h], h).sum()
        for h in (10.0, 39.0)
    )
    assert table["holdout_expected"].iloc[0] == pytest.approx(expected)
    rate = mixed["frequency"] / mixed["T"] * mixed["holdout_duration"]
    assert table.loc["rate", "holdout_expected"] == pytest.approx(rate.sum())


# -- hostile logs --------------------------------------------------------------------------------


def test_nobody_bought_after_the_split(given_model: Any) -> None:
    table = compare_models([given_model], made([5, 0], [30, 0], [30.0, 30.0], [0, 0]))
    row = table.iloc[0]
    assert row["holdout_actual"] == 0
    assert row[["bias", "auc", "omission_rate"]].isna().all()
    assert row["error_rate"] == 1
    assert row["mae"] > 0


def test_everybody_bought_and_nobody_is_flagged(given_model: Any) -> None:
    table = compare_models([given_model], made([1, 0], [3, 0], [30.0, 30.0], [1, 1]))
    assert table.attrs["n_flagged"] == {"ModifiedBetaGeoModel": 0, "recency": 0, "rate": 0}
    assert table[["auc", "error_rate"]].isna().all(axis=None)
    assert (table["omission_rate"] == 1).all()


def test_a_customer_of_the_last_day_has_no_own_rate(given_model: Any) -> None:
    table = compare_models([given_model], made([0, 4, 0], [0, 20, 0], [0.0, 20.0, 9.0], [1, 2, 0]))
    assert table.loc["rate", "holdout_expected"] == pytest.approx(2)
    # One buyer of two ranks above the one who stayed away, the other ties with them.
    assert table.loc["rate", "auc"] == 0.75


@pytest.mark.parametrize(
    ("models", "parts"),
    [
        ([], ["models is empty"]),
        ({}, ["models is empty"]),
        ("MBG", ["models is a str"]),
        (5, ["models is a int"]),
        ([tp.GammaGammaModel()], ["'GammaGammaModel' is a GammaGammaModel", "models of purchases"]),
        ([tp.BetaGeoModel], ["is a ABCMeta", "such as ModifiedBetaGeoModel()"]),
        ([tp.BetaGeoModel(), tp.BetaGeoModel()], ["two models are a BetaGeoModel", "dict"]),
        ({"rate": tp.BetaGeoModel()}, ["a model is named 'rate'", "baseline"]),
        ({3: tp.BetaGeoModel()}, ["a model is named 3", "text"]),
        ({"": tp.BetaGeoModel()}, ["a model is named ''"]),
    ],
)
def test_models_that_cannot_be_compared_are_refused(
    models: Any, parts: list[str], split: pd.DataFrame
) -> None:
    refused(parts, models, split)


def test_a_model_that_has_seen_the_holdout_is_refused(split: pd.DataFrame) -> None:
    seen = tp.BetaGeoModel().fit(tp.rfm_summary(tp.load_cdnow(sample=True)))
    refused(
        ["'bg' was fitted on 2,357 customers", "fit it on the calibration"], {"bg": seen}, split
    )


def test_a_model_of_other_data_is_refused(split: pd.DataFrame, models: dict[str, Any]) -> None:
    parts = ["'bg' was fitted on 2,357 customers with 2,457", "split has 2,000 with", "calibration"]
    refused(parts, {"bg": models["BetaGeoModel"]}, split.head(2000))
    days = tp.BetaGeoModel.from_params([0.243, 30, 0.793, 2.426], unit="D")
    refused(['summarised in "W"', 'fitted in "D"'], [days], split)


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"holdout_frequency": -1}, ["holdout_frequency is -1", ">= 0"]),
        ({"holdout_frequency": 0.5}, ["holdout_frequency is 0.5", "whole number"]),
        ({"holdout_frequency": np.nan}, ["holdout_frequency is nan"]),
        ({"holdout_duration": 0}, ["holdout_duration is 0", "> 0"]),
        ({"count": 0}, ["count is 0 in every row"]),
        ({"T": np.nan}, ["T is nan"]),
    ],
)
def test_a_bad_split_is_refused(
    change: dict[str, Any], parts: list[str], split: pd.DataFrame, given_model: Any
) -> None:
    refused(parts, [given_model], split.assign(**change))


def test_a_split_needs_its_columns_and_a_threshold_its_bounds(
    split: pd.DataFrame, given_model: Any
) -> None:
    refused(
        ["no column 'holdout_frequency'"], [given_model], split.drop(columns="holdout_frequency")
    )
    refused(["no rows"], [given_model], split.head(0))
    refused(["threshold is 1.5", "<= 1"], [given_model], split, threshold=1.5)
    refused(["threshold is nan"], [given_model], split, threshold=float("nan"))
