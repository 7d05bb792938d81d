"""The customers of a log in the engine, and predictions joined to them there."""

from __future__ import annotations

import duckdb
import numpy as np
import pandas as pd
import pytest

import touchpoint_lib as tp
from tests.data.samples import frame

MODELS = {
    "MBG/NBD": tp.ModifiedBetaGeoModel.from_params([0.52, 6.18, 0.89, 1.61], unit="W"),
    "MBG/CNBD-3": tp.ModifiedBetaGeoModel.from_params([1.1, 4, 0.9, 1.6], unit="W", regularity=3),
    "BG/NBD": tp.BetaGeoModel.from_params([0.24, 4.41, 0.79, 2.43], unit="W"),
    "Pareto/NBD": tp.ParetoNBDModel.from_params([0.55, 10.58, 0.61, 11.67], unit="W"),
}
CALLS = {
    "probability_alive": {"future": 13},
    "expected_purchases": {"horizon": 39},
    "discounted_expected_purchases": {"discount_rate": 0.1},
    "probability_of_purchase": {"horizon": 39},
    "probability_of_n_purchases": {"n": 2, "horizon": 39},
    "time_to_next_purchase": {"quantile": 0.3},
    "dormancy_gap": {"alive": 0.4},
    "own_return_probability": {"silence": 5, "horizon": 13},
    "purchase_hazard": {"ahead": 2},
}


@pytest.fixture(scope="module")
def base() -> tp.CustomerBase:
    return tp.customer_base(tp.load_cdnow(sample=True), until="1997-09-30")


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_every_prediction_is_that_of_the_frame(base, model):
    customers = base.to_frame()
    for name, options in CALLS.items():
        got = base.predict(model, name, **options).to_frame()
        pd.testing.assert_frame_equal(got[customers.columns], customers)
        expected = getattr(model, name)(customers, **options)
        pd.testing.assert_series_equal(got[name], expected, rtol=1e-12, check_names=False)
        assert got.attrs == customers.attrs


def test_several_predictions_share_their_options(base):
    model = MODELS["MBG/NBD"]
    predicted = base.predict(model, ["probability_alive", "expected_purchases"], horizon=39)
    assert predicted.columns == ("probability_alive", "expected_purchases")
    assert predicted.rows.columns == [*base.rows.columns, *predicted.columns]
    assert len(predicted.to_frame()) == 2357
    ids = [row[0] for row in predicted.rows.project("customer_id").fetchall()]
    assert ids == sorted(ids)


def test_intervals_have_a_column_each(base):
    model = tp.ModifiedBetaGeoModel().fit(base)
    predicted = base.predict(model, "expected_purchases", horizon=39, interval=0.9)
    expected = model.expected_purchases(base.to_frame(), 39, interval=0.9)
    assert predicted.columns == tuple(
        f"expected_purchases{end}" for end in ("", "_lower", "_upper")
    )
    np.testing.assert_allclose(predicted.to_frame()[list(predicted.columns)], expected, rtol=1e-12)


def test_earlier_predictions_outlive_later_ones(base):
    model = MODELS["BG/NBD"]
    first = base.predict(model, "expected_purchases", horizon=1)
    second = base.predict(model, "expected_purchases", horizon=50)
    assert first.to_frame()["expected_purchases"].sum() == pytest.approx(
        model.expected_purchases(base.to_frame(), 1).sum()
    )
    assert second.to_frame()["expected_purchases"].sum() == pytest.approx(
        model.expected_purchases(base.to_frame(), 50).sum()
    )


def test_predictions_are_written_to_parquet(base, tmp_path):
    predicted = base.predict(MODELS["MBG/NBD"], "probability_alive")
    path = tmp_path / "it's.parquet"
    predicted.write_parquet(path)
    read = pd.read_parquet(path).set_index("customer_id").sort_index()
    pd.testing.assert_frame_equal(read, predicted.to_frame())
    with pytest.raises(tp.InputError, match="already; delete it, or pass another path"):
        predicted.write_parquet(path)
    with pytest.raises(tp.InputError, match=r"there is no folder '.*missing'; make it first"):
        predicted.write_parquet(tmp_path / "missing" / "p.parquet")


def test_what_cannot_be_written_is_named(base, tmp_path):
    predicted = base.predict(MODELS["MBG/NBD"], "probability_alive")
    path = tmp_path / "p.parquet"
    path.symlink_to(tmp_path / "missing" / "p.parquet")
    with pytest.raises(tp.InputError, match=r"p\.parquet' cannot be written .*; pass another path"):
        predicted.write_parquet(path)
    for none in (None, ""):
        with pytest.raises(tp.InputError, match=f"path is {none!r}; pass the path of a new file"):
            predicted.write_parquet(none)


@pytest.mark.parametrize("name", ["probability_alive", "Probability_Alive"])
def test_an_id_named_as_a_prediction_is_refused(name):
    log = frame(("a", "2024-01-01", 1.0), ("a", "2024-01-09", 2.0))
    base = tp.customer_base(log.rename(columns={"customer_id": name}), customer=name)
    with pytest.raises(tp.InputError, match=f"the customer column is named '{name}'; rename it"):
        base.predict(MODELS["BG/NBD"], "probability_alive")


def test_hostile_customer_names():
    log = frame(("a", "2024-01-01", 1.0), ("a", "2024-01-09", 2.0), ("b", "2024-01-02", 1.0))
    nasty = 'x"; DROP TABLE customers; --'
    base = tp.customer_base(log.rename(columns={"customer_id": nasty}), customer=nasty)
    got = base.predict(MODELS["BG/NBD"], "probability_alive").to_frame()
    assert got.index.name == nasty
    assert got.index.tolist() == ["a", "b"]


def test_a_log_without_amounts():
    log = frame(("a", "2024-01-01", 1.0), ("a", "2024-01-09", 2.0))[["customer_id", "date"]]
    base = tp.customer_base(log, amount=None)
    assert base.rows.columns == ["customer_id", "frequency", "recency", "T", "log_gaps"]
    with pytest.raises(tp.InputError, match="the base has no monetary_value; name the log's"):
        tp.GammaGammaModel().fit(base)


@pytest.mark.parametrize(
    ("model", "predictions", "options", "message"),
    [
        (3, "probability_alive", {}, "model is a int; pass a model of purchases"),
        (tp.BetaGeoModel, "probability_alive", {}, "model is a ABCMeta; pass a model of purchases"),
        (MODELS["BG/NBD"], None, {}, "predictions is None; pass the name of one"),
        (
            MODELS["BG/NBD"],
            "own_return_probability",
            {"silence": pd.Series(np.ones(1016)), "horizon": 3},
            "silence holds 1,016 values; pass one number, or predict for base.to_frame",
        ),
        (tp.BetaGeoModel(), "probability_alive", {}, "has no parameters; call fit"),
        (
            MODELS["BG/NBD"],
            "alive",
            {},
            "predictions has 'alive'; it must be one of .*probability_alive",
        ),
        (MODELS["BG/NBD"], "fit", {}, "predictions has 'fit'; it must be one of"),
        (MODELS["BG/NBD"], [], {}, "predictions is empty; the predictions are"),
        (MODELS["BG/NBD"], "expected_purchases", {}, "expected_purchases needs horizon; pass"),
        (
            MODELS["BG/NBD"],
            ["probability_alive"],
            {"horizon": 3},
            "horizon is an option of none of them",
        ),
        (MODELS["BG/NBD"], "expected_purchases", {"horizon": -1}, "horizon is -1"),
        (
            tp.BetaGeoModel.from_params([1, 1, 1, 1], unit="D"),
            "probability_alive",
            {},
            'summarised in "W", the model was fitted in "D"',
        ),
        (
            tp.GammaGammaModel.from_params([6, 4, 15]),
            "expected_spend",
            {},
            "model is a GammaGammaModel; pass a model of purchases",
        ),
    ],
)
def test_bad_predictions_are_refused(base, model, predictions, options, message):
    with pytest.raises(tp.InputError, match=message):
        base.predict(model, predictions, **options)


def test_a_model_with_covariates_is_refused(base):
    customers = base.to_frame()
    customers["odd"] = np.arange(len(customers)) % 2
    model = tp.BetaGeoModel().fit(customers, rate_covariates="odd")
    with pytest.raises(tp.InputError, match="odd"):
        base.predict(model, "probability_alive")


def test_both_say_what_they_are(base):
    predicted = base.predict(MODELS["BG/NBD"], "probability_alive")
    assert repr(predicted) == "CustomerPredictions(probability_alive for 2,357 customers)"
    assert "2,357 customers" in predicted._repr_html_()
    assert "2,357 customers, 1,218 distinct" in repr(tp.customer_base(tp.load_cdnow(sample=True)))
    assert "usable rows" in base._repr_html_()


def test_sums_and_spend_come_from_the_engine(base):
    customers = base.to_frame()
    assert base.total("log_gaps") == pytest.approx(customers["log_gaps"].sum(), rel=1e-12)
    for column in ("nope", "customer_id"):
        with pytest.raises(tp.InputError, match=f"column is '{column}'; it must be one of freq"):
            base.total(column)
    repeat = customers.loc[customers["frequency"] > 0, ["frequency", "monetary_value"]]
    got = base.repeat_spend()
    assert got.attrs == {"unit": "W"}
    pd.testing.assert_frame_equal(
        got, repeat.sort_values(["frequency", "monetary_value"]).reset_index(drop=True)
    )


def test_a_base_leaves_nothing_in_the_default_connection(base):
    base.predict(MODELS["BG/NBD"], "probability_alive").to_frame()
    assert duckdb.execute("SHOW TABLES").fetchall() == []
