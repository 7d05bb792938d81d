from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import touchpoint_lib as tp
from tests.reference import lifetime as published


@pytest.mark.parametrize(
    "model_type", [tp.BetaGeoModel, tp.ModifiedBetaGeoModel, tp.GammaGammaModel]
)
def test_a_model_survives_the_file(model_type: Any, tmp_path: Path) -> None:
    model = model_type().fit(published.cdnow_summary())
    model.save(tmp_path / "model.json")
    again = tp.load_model(tmp_path / "model.json")
    assert type(again) is model_type
    pd.testing.assert_frame_equal(again.summary(), model.summary())
    assert again.log_likelihood_ == model.log_likelihood_
    assert again.unit_ == model.unit_
    assert repr(again) == repr(model)
    with pytest.raises(tp.InputError, match="was loaded and has no data"):
        again.posterior()


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


def test_other_fitters_are_refused() -> None:
    class BetaGeoFitter:
        params_ = None

    with pytest.raises(tp.InputError, match="was not fitted"):
        tp.from_lifetimes(BetaGeoFitter())
    with pytest.raises(tp.InputError, match="fitter is a int"):
        tp.from_lifetimes(3)
