from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import touchpoint_lib as tp
from tests.reference import lifetime as published

MODELS: dict[Any, Any] = {
    tp.BetaGeoModel: published.cdnow_summary,
    tp.ModifiedBetaGeoModel: published.cdnow_summary,
    tp.ParetoNBDModel: published.cdnow_summary,
    tp.GammaGammaModel: published.cdnow_summary,
    tp.BetaGeoBetaBinomModel: tp.load_donations,
    tp.ShiftedBetaGeoModel: tp.load_subscriptions,
    tp.BetaDiscreteWeibullModel: tp.load_subscriptions,
}


@pytest.mark.parametrize("model_type", MODELS)
def test_a_model_survives_the_file(model_type: Any, tmp_path: Path) -> None:
    model = model_type().fit(MODELS[model_type]())
    model.save(tmp_path / "model.json")
    again = tp.load_model(tmp_path / "model.json")
    assert type(again) is model_type
    pd.testing.assert_frame_equal(again.summary(), model.summary())
    assert again.log_likelihood_ == model.log_likelihood_
    assert again.unit_ == model.unit_
    assert repr(again) == repr(model)
    with pytest.raises(tp.InputError, match="was loaded and has no data"):
        again.posterior()


def test_regularity_survives_the_file(tmp_path: Path) -> None:
    model = tp.ModifiedBetaGeoModel.from_params([0.8, 2.0, 0.8, 2.5], unit="W", regularity=3)
    model.save(tmp_path / "model.json")
    again = tp.load_model(tmp_path / "model.json")
    assert isinstance(again, tp.ModifiedBetaGeoModel)
    assert again.regularity_ == 3
    assert "regularity=3" in repr(again)
    customers = published.cdnow_summary().head(20)
    pd.testing.assert_series_equal(
        again.expected_purchases(customers, 10), model.expected_purchases(customers, 10)
    )


def test_a_loaded_model_predicts_with_intervals(tmp_path: Path) -> None:
    customers = published.cdnow_summary().iloc[:20]
    model = tp.ModifiedBetaGeoModel().fit(published.cdnow_summary())
    model.save(tmp_path / "model.json")
    again = tp.load_model(tmp_path / "model.json")
    assert isinstance(again, tp.ModifiedBetaGeoModel)
    pd.testing.assert_frame_equal(
        again.expected_purchases(customers, 39, interval=0.9),
        model.expected_purchases(customers, 39, interval=0.9),
    )


def test_given_parameters_survive_too(tmp_path: Path) -> None:
    tp.BetaGeoModel.from_params([1, 2, 3, 4]).save(tmp_path / "model.json")
    again = tp.load_model(tmp_path / "model.json")
    assert again.params_.tolist() == [1, 2, 3, 4]
    assert again.unit_ is None


def test_a_fit_without_a_maximum_is_saved_as_such(tmp_path: Path) -> None:
    rows = pd.DataFrame({"frequency": [3] * 9, "recency": [30.0] * 9, "T": [31.0] * 9})
    with pytest.warns(tp.ConvergenceWarning):
        tp.BetaGeoModel().fit(rows).save(tmp_path / "model.json")
    json.loads((tmp_path / "model.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert not tp.load_model(tmp_path / "model.json").converged_


def test_an_unfitted_model_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(tp.InputError, match="call fit"):
        tp.BetaGeoModel().save(tmp_path / "model.json")
    with pytest.raises(tp.InputError, match="there is no folder"):
        tp.BetaGeoModel.from_params([1, 2, 3, 4]).save(tmp_path / "none" / "model.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "pickle"}, "holds no model"),
        ({"version": 99}, "has format version 99"),
        ({"model": "NoSuchModel"}, "holds a 'NoSuchModel'"),
        ({"params": {"r": 1}}, "they must be r, alpha, a, b"),
        ({"fit": {}}, "is incomplete"),
    ],
)
def test_other_files_are_refused(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    tp.BetaGeoModel().fit(published.cdnow_summary()).save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(tp.InputError, match=message):
        tp.load_model(path)


def test_missing_and_broken_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(tp.InputError, match="there is no file"):
        tp.load_model(tmp_path / "none.json")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(tp.InputError, match="is not JSON"):
        tp.load_model(tmp_path / "broken.json")


def fitted_by_lifetimes() -> dict[str, Any]:
    """Return a fitted fitter of every kind, on the data that the lifetimes package ships."""
    customers, donations = published.cdnow_summary(), tp.load_donations()
    history = (customers["frequency"], customers["recency"], customers["T"])
    repeat = customers["frequency"] > 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lifetimes warns on import and while it fits
        import lifetimes

        fitters = [
            lifetimes.BetaGeoFitter().fit(*history),
            lifetimes.ModifiedBetaGeoFitter().fit(*history),
            lifetimes.ParetoNBDFitter().fit(*history),
            lifetimes.BetaGeoBetaBinomFitter().fit(
                donations["frequency"], donations["recency"], donations["T"], donations["count"]
            ),
            lifetimes.GammaGammaFitter().fit(
                history[0][repeat], customers["monetary_value"][repeat]
            ),
        ]
    return {type(fitter).__name__: fitter for fitter in fitters}


def test_fitters_of_lifetimes_are_taken_over() -> None:
    customers, donations = published.cdnow_summary(), tp.load_donations()
    fitters = fitted_by_lifetimes()
    for name, own, data, tolerance in (
        ("BetaGeoFitter", tp.BetaGeoModel, customers, 2e-3),
        ("ModifiedBetaGeoFitter", tp.ModifiedBetaGeoModel, customers, 2e-3),
        # Its Nelder-Mead stops early: its log-likelihood is no better than ours.
        ("ParetoNBDFitter", tp.ParetoNBDModel, customers, 2e-2),
        ("BetaGeoBetaBinomFitter", tp.BetaGeoBetaBinomModel, donations, 2e-3),
        ("GammaGammaFitter", tp.GammaGammaModel, customers, 2e-3),
    ):
        taken: Any = tp.from_lifetimes(fitters[name], unit="W" if data is customers else "Y")
        assert type(taken) is own
        fitted: Any = own().fit(data)
        np.testing.assert_allclose(taken.params_, fitted.params_, rtol=tolerance)
        if isinstance(taken, tp.GammaGammaModel):
            theirs = fitters[name].conditional_expected_average_profit(
                customers["frequency"], customers["monetary_value"]
            )
            ours = taken.expected_spend(customers)
        elif own is tp.BetaGeoBetaBinomModel:
            theirs = fitters[name].conditional_expected_number_of_purchases_up_to_time(
                5, donations["frequency"], donations["recency"], donations["T"]
            )
            ours = taken.expected_purchases(donations, 5)
        else:
            theirs = fitters[name].conditional_expected_number_of_purchases_up_to_time(
                39, customers["frequency"], customers["recency"], customers["T"]
            )
            ours = taken.expected_purchases(customers, 39)
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize(
    "change",
    [
        {"model": []},
        {"params": {"r": "a", "alpha": 1, "a": 1, "b": 1}},
        {"params": {"r": -1, "alpha": 1, "a": 1, "b": 1}},
        {"params": {"r": 10**400, "alpha": 1, "a": 1, "b": 1}},
        {"unit": "parsec"},
        {"state": {"regularity": 10**9}},
        {"log_covariance": [[10**400] * 4] * 4},
        {"state": {}},
        {"log_covariance": [[1, 2], [3]]},
        {"log_covariance": np.eye(2).tolist()},
        {"log_covariance": (-np.eye(4)).tolist()},
        {"log_covariance": np.triu(np.ones((4, 4))).tolist()},
        {"log_likelihood": "abc"},
        {"log_likelihood": float("nan")},
        {"n_customers": -5},
        {"data": ["x"]},
    ],
)
def test_tampered_files_are_refused(change: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    tp.BetaGeoModel().fit(published.cdnow_summary()).save(path)
    content = json.loads(path.read_text())
    for key, value in change.items():
        (content if key in content else content["fit"])[key] = value
    path.write_text(json.dumps(content))
    with pytest.raises(tp.InputError):
        tp.load_model(path)


def test_paths_that_are_no_files_are_refused(tmp_path: Path) -> None:
    deep = tmp_path / "deep.json"
    deep.write_text("[" * 100_000)
    with pytest.raises(tp.InputError, match="is not JSON"):
        tp.load_model(deep)
    model = tp.BetaGeoModel.from_params([1, 1, 1, 1])
    for name, reason in (("a\0b", "null byte"), ("x" * 5000, "too long")):
        with pytest.raises(tp.InputError, match=f"cannot be written .*{reason}.*; pass the path"):
            model.save(tmp_path / name)
        with pytest.raises(tp.InputError, match=r"there is no file .*a|xxx' cannot be read .*long"):
            tp.load_model(tmp_path / name)
    with pytest.raises(tp.InputError, match="path is a NoneType"):
        tp.load_model(None)  # type: ignore[arg-type]
    with pytest.raises(tp.InputError, match="pass the path of the file"):
        model.save(tmp_path)


def test_what_a_fit_found_besides_survives_the_file(tmp_path: Path) -> None:
    model = tp.GammaGammaModel().fit(published.cdnow_summary())
    model.save(tmp_path / "model.json")
    again: Any = tp.load_model(tmp_path / "model.json")
    assert again.spend_correlation_ == model.spend_correlation_
    assert again.n_left_out_ == model.n_left_out_
    rows = pd.DataFrame({"frequency": [3] * 9, "recency": [30.0] * 9, "T": [31.0] * 9})
    with pytest.warns(tp.ConvergenceWarning):
        loose = tp.BetaGeoModel().fit(rows)
    loose.save(tmp_path / "loose.json")
    assert tp.load_model(tmp_path / "loose.json").convergence_message_ == loose.convergence_message_


@pytest.mark.parametrize("params", [{}, {"r": 1}, [1, 2, 3, 4], 5, "x"])
def test_half_fitted_fitters_are_refused(params: Any) -> None:
    fitter = type("BetaGeoFitter", (), {"params_": params})()
    with pytest.raises(tp.InputError, match="was not fitted"):
        tp.from_lifetimes(fitter)


def test_other_fitters_are_refused() -> None:
    class BetaGeoFitter:
        params_ = None

    with pytest.raises(tp.InputError, match="was not fitted"):
        tp.from_lifetimes(BetaGeoFitter())
    with pytest.raises(tp.InputError, match="fitter is a int"):
        tp.from_lifetimes(3)
