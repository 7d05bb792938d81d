"""Formulas, and BG/NBD, MBG/NBD and Pareto/NBD with static covariates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import touchpoint_lib as tp
from tests.reference import lifetime as published
from touchpoint_lib.lifetime._covariates import Covariates, objective
from touchpoint_lib.lifetime._rows import Rows

BASE: dict[type, list[float]] = {
    tp.BetaGeoModel: [0.8, 8.0, 0.9, 3.0],
    tp.ModifiedBetaGeoModel: [0.8, 8.0, 0.9, 3.0],
    tp.ParetoNBDModel: [0.8, 8.0, 0.7, 12.0],
}
all_models = pytest.mark.parametrize("model_type", list(BASE))
#: The truth of `shop`: by what the rate, and the drop-out, are multiplied.
RATE, DROPOUT = {"sms": 0.6, "page": -0.4, "visits": 0.3}, 0.7


def shop(model_type: type, n: int, seed: int) -> pd.DataFrame:
    """Return customers whose rate depends on channel and visits, and whose drop-out on age."""
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "channel": generator.choice(["e-mail", "sms", "page"], n),
            "visits": generator.poisson(2, n),
            "young": generator.random(n) < 0.4,
        }
    )
    rate = frame["channel"].map(RATE).fillna(0) + RATE["visits"] * frame["visits"]
    model = model_type.from_params(BASE[model_type])  # type: ignore[attr-defined]
    parts = []
    for (by_rate, young), group in frame.groupby([rate, "young"]):
        r, alpha, third, fourth = BASE[model_type]
        alpha *= np.exp(-by_rate)
        if model_type is tp.ParetoNBDModel:
            fourth *= np.exp(-DROPOUT * young)
        else:
            third, fourth = (
                third * np.exp(DROPOUT * young / 2),
                fourth / np.exp(DROPOUT * young / 2),
            )
        model = model_type.from_params([r, alpha, third, fourth])  # type: ignore[attr-defined]
        drawn = model.simulate(len(group), 60.0, seed=int(generator.integers(1 << 30)))
        parts.append(drawn.set_index(group.index).join(group))
    return pd.concat(parts).sort_index()


@pytest.fixture(scope="module")
def shops() -> dict[type, pd.DataFrame]:
    return {model_type: shop(model_type, 4000, seed=4) for model_type in BASE}


@pytest.fixture(scope="module")
def fitted(shops: dict[type, pd.DataFrame]) -> dict[type, Any]:
    return {
        model_type: model_type().fit(
            frame, rate_covariates="channel + visits", dropout_covariates="young"
        )
        for model_type, frame in shops.items()
    }


COEFFICIENTS = ["rate[channel[T.page]]", "rate[channel[T.sms]]", "rate[visits]", "dropout[young]"]
TRUTH = [RATE["page"], RATE["sms"], RATE["visits"], DROPOUT]


@all_models
def test_the_truth_is_recovered(model_type: type, fitted: dict[type, Any]) -> None:
    model = fitted[model_type]
    assert model.converged_
    assert list(model.params_.index) == [*model.parameter_names, *COEFFICIENTS]
    table = model.summary(0.999)
    truth = [*BASE[model_type], *TRUTH]
    assert ((table["lower"] < truth) & (truth < table["upper"])).all()
    wald = model.wald_test()
    assert list(wald.index) == COEFFICIENTS
    assert (wald["p_value"] < 1e-4).all()
    np.testing.assert_allclose(wald["factor"], np.exp(wald["estimate"]))
    np.testing.assert_allclose(wald["z"], wald["estimate"] / wald["standard_error"])


@all_models
def test_the_log_likelihood_is_that_of_the_groups(
    model_type: type, fitted: dict[type, Any], shops: dict[type, pd.DataFrame]
) -> None:
    """Each group of like customers has the log-likelihood of a plain model at its parameters."""
    model, frame = fitted[model_type], shops[model_type]
    total = 0.0
    for _, group in frame.groupby(["channel", "visits", "young"]):
        (params,) = own_params(model, group.head(1))
        plain = model_type.from_params(params)  # type: ignore[attr-defined]
        rows = Rows(
            *(group[column].to_numpy(float) for column in ("frequency", "recency", "T")),
            np.ones(len(group)),
        )
        total += plain._row_derivatives(np.array(params), rows)[0].sum()
    assert model.log_likelihood_ == pytest.approx(total, rel=1e-12)
    k = len(model.params_)
    assert model.aic_ == pytest.approx(2 * k - 2 * total)


def own_params(model: Any, frame: pd.DataFrame) -> list[list[float]]:
    design = model._covariates.matrix(frame)
    spread = model._at(model.params_.to_numpy(), design)
    return np.column_stack([np.broadcast_to(part, len(frame)) for part in spread]).tolist()


@all_models
def test_predictions_are_those_of_each_customers_parameters(
    model_type: type, fitted: dict[type, Any], shops: dict[type, pd.DataFrame]
) -> None:
    model, frame = fitted[model_type], shops[model_type].head(40)
    frame = frame[["frequency", "recency", "T", "channel", "visits", "young"]]
    calls = {
        "probability_alive": (3.0,),
        "expected_purchases": (20.0,),
        "probability_of_purchase": (20.0,),
        "probability_of_n_purchases": (2, 20.0),
        "time_to_next_purchase": (0.3,),
        "dormancy_gap": (0.4,),
        "own_return_probability": (5.0, 20.0),
        "purchase_hazard": (4.0,),
    }
    for name, arguments in calls.items():
        found = getattr(model, name)(frame, *arguments)
        for i, params in enumerate(own_params(model, frame)):
            plain = model_type.from_params(params)  # type: ignore[attr-defined]
            single = getattr(plain, name)(frame.iloc[[i]], *arguments)
            assert found.iloc[i] == pytest.approx(single.iloc[0], rel=1e-8), name
    new = model.expected_purchases_new_customer(20, covariates=frame)
    assert new.index.equals(frame.index)
    plain = model_type.from_params(own_params(model, frame)[0])  # type: ignore[attr-defined]
    assert new.iloc[0] == pytest.approx(plain.expected_purchases_new_customer(20), rel=1e-8)


@all_models
def test_intervals_hold_the_estimate(
    model_type: type, fitted: dict[type, Any], shops: dict[type, pd.DataFrame]
) -> None:
    model, frame = fitted[model_type], shops[model_type].head(12)
    found = model.expected_purchases(frame, 20, interval=0.95)
    assert (found["lower"] < found["estimate"]).all()
    assert (found["estimate"] < found["upper"]).all()
    pd.testing.assert_series_equal(
        found["estimate"], model.expected_purchases(frame, 20), check_names=False, rtol=1e-9
    )


@all_models
def test_a_likelihood_ratio_agrees_with_wald(
    model_type: type, fitted: dict[type, Any], shops: dict[type, pd.DataFrame]
) -> None:
    frame, full = shops[model_type], fitted[model_type]
    without = model_type().fit(frame, rate_covariates="channel + visits")
    test = full.likelihood_ratio_test(without)
    assert test["degrees_of_freedom"] == 1
    z = full.wald_test().loc["dropout[young]", "z"]
    assert test["statistic"] == pytest.approx(z**2, rel=0.25)
    assert test["p_value"] < 1e-6
    plain = model_type().fit(frame)
    assert full.likelihood_ratio_test(plain)["degrees_of_freedom"] == 4
    with pytest.raises(tp.InputError, match="not the same model with fewer coefficients"):
        without.likelihood_ratio_test(full)
    with pytest.raises(tp.InputError, match=r"repeat purchases, and to 100 with .*; fit both"):
        full.likelihood_ratio_test(model_type().fit(frame.head(100)))
    with pytest.raises(tp.InputError, match="has no covariates"):
        plain.wald_test()


@all_models
def test_noise_has_no_effect(model_type: type, shops: dict[type, pd.DataFrame]) -> None:
    frame = shops[model_type].copy()
    frame["noise"] = np.random.default_rng(8).normal(size=len(frame)) * 1e-4
    model = model_type().fit(frame, rate_covariates="noise", dropout_covariates="noise")
    assert model.converged_
    assert (model.wald_test()["p_value"] > 0.01).all()
    plain = model_type().fit(frame)
    assert model.likelihood_ratio_test(plain)["p_value"] > 0.01


@all_models
def test_a_frame_of_covariates_equals_a_formula(
    model_type: type, fitted: dict[type, Any], shops: dict[type, pd.DataFrame]
) -> None:
    frame = shops[model_type]
    plain = frame[["frequency", "recency", "T"]]
    model = model_type().fit(
        plain,
        rate_covariates=frame[["channel", "visits"]],
        dropout_covariates=frame[["young"]],
    )
    np.testing.assert_allclose(model.params_, fitted[model_type].params_, rtol=1e-6)
    with pytest.raises(tp.InputError, match="no column 'channel'"):
        model.probability_alive(plain)
    assert model.probability_alive(frame).between(0, 1).all()


@all_models
def test_a_saved_model_predicts_the_same(
    model_type: type, fitted: dict[type, Any], shops: dict[type, pd.DataFrame], tmp_path: Path
) -> None:
    model, frame = fitted[model_type], shops[model_type].head(30)
    model.save(tmp_path / "model.json")
    loaded: Any = tp.load_model(tmp_path / "model.json")
    pd.testing.assert_series_equal(loaded.params_, model.params_)
    pd.testing.assert_frame_equal(loaded.covariance_, model.covariance_)
    pd.testing.assert_series_equal(
        loaded.expected_purchases(frame, 10), model.expected_purchases(frame, 10)
    )
    # One customer alone has the same design: nothing is estimated from the rows predicted for.
    one = frame.iloc[[3]]
    assert loaded.expected_purchases(one, 10).iloc[0] == pytest.approx(
        model.expected_purchases(frame, 10).iloc[3]
    )


def test_simulation_with_covariates(fitted: dict[type, Any]) -> None:
    customers = pd.DataFrame(
        {"channel": ["sms", "page"] * 4000, "visits": 1, "young": [True, False] * 4000}
    )
    for model in fitted.values():
        drawn = model.simulate(8000, 30.0, seed=2, covariates=customers)
        expected = model.expected_purchases_new_customer(30.0, covariates=customers)
        for part in (slice(0, None, 2), slice(1, None, 2)):
            count = drawn["frequency"].iloc[part]
            error = count.std() / np.sqrt(len(count))
            assert abs(count.mean() - expected.iloc[part].mean()) < 4 * error
        with pytest.raises(tp.InputError, match="pass covariates="):
            model.simulate(10, 30.0, seed=2)
        with pytest.raises(tp.InputError, match="has 8000 rows for 10 customers"):
            model.simulate(10, 30.0, seed=2, covariates=customers)


def test_the_weak_penalty_keeps_equal_customers_from_running_away() -> None:
    """Customers with one and the same drop-out send a + b to infinity without a penalty."""
    generator = np.random.default_rng(3)
    n, end = 3000, 60.0
    rate = generator.gamma(1.0, 0.3, (n, 1))
    times = np.cumsum(generator.exponential(1.0, (n, 300)) / rate, axis=1)
    x = np.minimum(generator.geometric(0.25, n) - 1, (times < end).sum(axis=1))
    recency = np.where(x > 0, times[np.arange(n), np.maximum(x, 1) - 1], 0.0)
    frame = pd.DataFrame({"frequency": x, "recency": recency, "T": end, "z": generator.random(n)})
    with pytest.warns(tp.ConvergenceWarning, match="a, b ran away|standard error of ln a"):
        tp.ModifiedBetaGeoModel().fit(frame)
    model = tp.ModifiedBetaGeoModel().fit(frame, dropout_covariates="z")
    assert model.converged_
    assert 10 < model.params_["a"] + model.params_["b"] < 1e5
    assert model.params_["a"] / model.params_["b"] == pytest.approx(1 / 3, rel=0.2)
    assert model.wald_test()["p_value"].iloc[0] > 0.01


def test_the_objective_has_exact_derivatives() -> None:
    """Against central differences, for every model and with the penalty."""
    generator = np.random.default_rng(0)
    x = generator.poisson(2, 30).astype(float)
    age = generator.uniform(1, 3, 30)
    rows = Rows(x, np.where(x > 0, generator.uniform(0.1, 1, 30) * age, 0), age, np.ones(30))
    design = generator.normal(size=(30, 3))
    for model_type, links in ((m, m._links) for m in BASE):  # type: ignore[attr-defined]
        covariates = Covariates({}, {}, {"rate": ["u", "v"], "dropout": ["w"]})
        moves = covariates.shifts(links)
        model = model_type.from_params([1.0] * 4)  # type: ignore[attr-defined]
        derivatives = objective(model._row_derivatives, rows, design, moves, (2, 3))
        theta = np.array([0.3, -0.2, 0.1, 0.6, 0.2, -0.3, 0.4])
        _, gradient, hessian = derivatives(theta)
        step = 1e-5
        for i in range(7):
            ahead, back = theta.copy(), theta.copy()
            ahead[i] += step
            back[i] -= step
            up, down = derivatives(ahead), derivatives(back)
            assert gradient[i] == pytest.approx((up[0] - down[0]) / (2 * step), abs=1e-8)
            np.testing.assert_allclose(hessian[i], (up[1] - down[1]) / (2 * step), atol=1e-7)


def test_newcomers_need_their_covariates(fitted: dict[type, Any]) -> None:
    model = fitted[tp.BetaGeoModel]
    with pytest.raises(tp.InputError, match="a new customer's are not known; pass covariates="):
        model.expected_purchases_new_customer(10)
    plain = tp.BetaGeoModel.from_params(BASE[tp.BetaGeoModel])
    with pytest.raises(tp.InputError, match="the model has none"):
        plain.expected_purchases_new_customer(10, covariates=pd.DataFrame({"visits": [1]}))


FRAME = pd.DataFrame(
    {
        "visits": [1, 2, 3, 4, 1, 5],
        "spend": [10.0, 0.5, 3.0, 8.0, 2.0, 7.0],
        "channel": ["a", "b", "a", "c", "c", "b"],
        "flat": 1,
        "twice": [2, 4, 6, 8, 2, 10],
        "gap": [1.0, np.nan, 2.0, 3.0, 1.0, 2.0],
        "lost": ["a", None, "b", "c", "a", "b"],
        "own name": [3, 1, 2, 5, 4, 4],
        "once": ["a", None, None, None, None, None],
        "mixed": pd.Series([1, "1", 2, 3, 4, 5], index=list("uvwxyz"), dtype=object),
        "huge": np.array([3, 1, 2, 9, 4, 4]) * 1e300,
        "tiny": np.array([3, 1, 2, 9, 4, 4]) * 1e-300,
    },
    index=list("uvwxyz"),
)


def test_formulas_become_columns() -> None:
    covariates = Covariates.build(
        FRAME, {"rate": "~ channel + np.log(spend) + visits:spend", "dropout": "`own name`"}
    )
    assert covariates.names == (
        "rate[channel[T.b]]",
        "rate[channel[T.c]]",
        "rate[np.log(spend)]",
        "rate[visits:spend]",
        "dropout[own name]",
    )
    matrix = covariates.matrix(FRAME.iloc[[3, 0]])
    np.testing.assert_allclose(
        matrix, [[0, 1, np.log(8.0), 32.0, 5], [0, 0, np.log(10.0), 10.0, 3]]
    )


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("nothing", "no column 'nothing', which the formula of rate_covariates names"),
        ("flat", "'flat' of rate_covariates is the same for all customers"),
        ("visits + twice", "'twice' of rate_covariates follows from the columns before it"),
        ("gap", "gap is missing at index 'v'"),
        ("lost", "lost is missing at index 'v'"),
        ("once", "once is missing at index 'v' .5 such values."),
        ("mixed", "'mixed' is object, neither numeric nor text .it holds mixed-integer values."),
        ("huge", "'huge' of rate_covariates reaches 9e.300, in a unit whose squares no float can"),
        ("visits + tiny", "'tiny' of rate_covariates reaches 9e-300"),
        ("np.log(visits - 1)", r"rate_covariates is -inf at index 'u'"),
        ("center(visits)", "rate_covariates has 'center'"),
        ("visits.__class__", "rate_covariates has 'visits.__class__'"),
        ("visits + 'a'", "rate_covariates has"),
        ("[visits]", "rate_covariates has"),
        ("visits +", "cannot be read"),
        ("1", "name at least one column"),
        ("visits + twice:0", "cannot be read .Operator `:` has"),
    ],
)
def test_bad_formulas_are_refused(formula: str, message: str) -> None:
    with pytest.raises(tp.InputError, match=message):
        Covariates.build(FRAME, {"rate": formula})


def test_objects_that_hold_numbers_are_numbers() -> None:
    objects = FRAME.assign(spend=FRAME["spend"].astype(object))
    covariates = Covariates.build(objects, {"rate": "spend"})
    assert covariates.names == ("rate[spend]",)
    np.testing.assert_array_equal(covariates.matrix(objects)[:, 0], FRAME["spend"])


def test_categories_of_one_text_are_refused() -> None:
    both = pd.Categorical([1, "1", 2, 1, "1", 2], categories=[1, "1", 2])
    with pytest.raises(tp.InputError, match="kind holds both 1 and '1'; make all of it texts"):
        Covariates.build(FRAME.assign(kind=both), {"rate": "kind"})


def test_levels_that_the_fit_has_not_seen_are_refused() -> None:
    covariates = Covariates.build(FRAME, {"rate": "channel"})
    strange = FRAME.assign(channel=["a", "b", "a", "a", "a", "letter"])
    with pytest.raises(tp.InputError, match="channel is 'letter' at index 'z', which the fit has"):
        covariates.matrix(strange)


def test_other_covariates_are_refused() -> None:
    customers = published.cdnow_summary()
    with pytest.raises(tp.InputError, match="rate_covariates is a int; pass a formula"):
        tp.BetaGeoModel().fit(customers, rate_covariates=3)
    with pytest.raises(tp.InputError, match="index that differs"):
        tp.BetaGeoModel().fit(customers, rate_covariates=pd.DataFrame({"z": [1.0, 2.0]}))
    shared = pd.DataFrame({"T": customers["T"] + 1})
    with pytest.raises(tp.InputError, match="customers differ in 'T'"):
        tp.BetaGeoModel().fit(customers, rate_covariates=shared)


# -- what careless input must not do -------------------------------------------------------------


def test_a_repeated_index_does_not_multiply_customers() -> None:
    customers = published.cdnow_summary().head(600)
    covariate = pd.DataFrame({"q": np.arange(600.0) % 7}, index=customers.index)
    plain = tp.BetaGeoModel().fit(customers, rate_covariates=covariate)
    twice = np.repeat(np.arange(300), 2)
    again = tp.BetaGeoModel().fit(
        customers.set_axis(twice), rate_covariates=covariate.set_axis(twice)
    )
    assert again.n_customers_ == 600
    pd.testing.assert_series_equal(again.params_, plain.params_)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("count", "rate_covariates has a column 'count'; rename it"),
        (0, "rate_covariates has a column 0; rename it"),
        ("a`b", "rename it"),
        ("Intercept", "an intercept is always there"),
    ],
)
def test_names_that_mean_something_else_are_refused(column: Any, message: str) -> None:
    customers = published.cdnow_summary()
    covariates = pd.DataFrame({column: np.arange(len(customers)) % 3}, index=customers.index)
    with pytest.raises(tp.InputError, match=message):
        tp.BetaGeoModel().fit(customers, rate_covariates=covariates)


@pytest.mark.parametrize("formula", ["visits - spend", "visits ~ spend", "- visits"])
def test_a_formula_takes_nothing_away(formula: str) -> None:
    with pytest.raises(tp.InputError, match="join columns by"):
        Covariates.build(FRAME, {"rate": formula})


def test_dates_are_no_covariates() -> None:
    frame = FRAME.assign(since=pd.date_range("2024-01-01", periods=len(FRAME)))
    with pytest.raises(tp.InputError, match="'since' holds dates or durations"):
        Covariates.build(frame, {"rate": "since"})


def test_rows_that_count_nothing_teach_nothing() -> None:
    customers = published.cdnow_summary()
    customers["kind"] = np.where(np.arange(len(customers)) % 2, "x", "y")
    for model_type in BASE:
        only = customers.assign(count=(customers["kind"] == "x") * 1)
        with pytest.raises(tp.InputError, match=r"for all |at least one column"):
            model_type().fit(only, rate_covariates="kind")


@all_models
def test_a_failed_fit_leaves_the_model_as_it_was(
    model_type: type, shops: dict[type, pd.DataFrame]
) -> None:
    frame = shops[model_type].head(300)
    model = model_type().fit(frame, unit="W", rate_covariates="visits")
    before = model.expected_purchases(frame, 10)
    for bad in (
        lambda: model.fit(frame, unit="D", rate_covariates="nothing"),
        lambda: model.fit(frame.assign(frequency=0, recency=0.0, log_gaps=0.0), unit="D"),
    ):
        with pytest.raises(tp.InputError):
            bad()
        assert model.unit_ == "W"
        pd.testing.assert_series_equal(model.expected_purchases(frame, 10), before)
    # And a plain fit forgets the covariates.
    model.fit(frame)
    assert list(model.params_.index) == list(model.parameter_names)
    assert model.expected_purchases(frame[["frequency", "recency", "T"]], 10).notna().all()


def test_only_nested_fits_of_one_kind_are_compared() -> None:
    customers = published.cdnow_summary()
    customers["z"] = np.arange(len(customers)) % 5
    full = tp.BetaGeoModel().fit(customers, rate_covariates="z")
    days = customers.assign(recency=customers["recency"] * 7, T=customers["T"] * 7)
    days.attrs["unit"] = "D"
    other = customers.assign(frequency=customers["frequency"] * 2)
    for reduced, message in (
        (tp.BetaGeoModel().fit(days), "in weeks and BetaGeoModel in days"),
        (tp.BetaGeoModel().fit(other), "fit both to the same customers"),
        (tp.BetaGeoModel.from_params([1, 1, 1, 1], unit="W"), "no standard errors"),
        (
            tp.BetaGeoModel.from_params([1, 1, 1, 1], unit="W", regularity=2),
            "no standard errors|regularity=2",
        ),
    ):
        with pytest.raises(tp.InputError, match=message):
            full.likelihood_ratio_test(reduced)


@pytest.mark.parametrize("covariates", [{"visits": 1}, [1, 2], pd.Series([1.0])])
def test_new_customers_are_a_frame(fitted: dict[type, Any], covariates: Any) -> None:
    with pytest.raises(tp.InputError, match=r"covariates is a .*; it must be a pandas DataFrame"):
        fitted[tp.BetaGeoModel].expected_purchases_new_customer(10, covariates=covariates)


def test_no_new_customers_are_refused(fitted: dict[type, Any]) -> None:
    nobody = pd.DataFrame({"channel": [], "visits": [], "young": []})
    with pytest.raises(tp.InputError, match="covariates has no rows"):
        fitted[tp.BetaGeoModel].expected_purchases_new_customer(10, covariates=nobody)


@pytest.mark.parametrize(
    "change",
    [
        {"formulas": {"rate": "__import__('os').system('id')", "dropout": "young"}},
        {"formulas": {"rate": "np.log.__class__", "dropout": "young"}},
        {"formulas": {"rate": "visits", "dropout": "young"}},
        {"formulas": None},
        {"formulas": {"other": "visits"}},
        {"levels": {"channel": ["e-mail", "e-mail"]}},
        {"levels": {"channel": ["sms", "page", "e-mail"]}},
        {"levels": {"channel": "x"}},
        {"columns": {"rate": ["rate[visits]"]}},
    ],
)
def test_tampered_covariates_are_refused(
    change: dict[str, Any],
    fitted: dict[type, Any],
    shops: dict[type, pd.DataFrame],
    tmp_path: Path,
) -> None:
    path = tmp_path / "model.json"
    fitted[tp.BetaGeoModel].save(path)
    content = json.loads(path.read_text())
    content["state"]["covariates"] |= change
    path.write_text(json.dumps(content))
    with pytest.raises(tp.InputError):
        load_and_predict(path, shops[tp.BetaGeoModel].head(3))


def load_and_predict(path: Path, customers: pd.DataFrame) -> None:
    loaded: Any = tp.load_model(path)
    loaded.expected_purchases(customers, 10)
