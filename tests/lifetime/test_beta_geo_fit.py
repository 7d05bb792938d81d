from __future__ import annotations

import warnings
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest

import touchpoint_lib as tp
from tests.lifetime.samples import both, one
from touchpoint_lib.lifetime import _beta_geo_likelihood
from touchpoint_lib.lifetime._beta_geo_likelihood import Likelihood
from touchpoint_lib.lifetime._rows import Rows, check_rows, group

# -- derivatives and errors ----------------------------------------------------------------------


@both
def test_derivatives_equal_finite_differences(model_type: type, split: pd.DataFrame) -> None:
    likelihood = Likelihood(group(check_rows(split)), 30.0, model_type._chance_at_first)
    theta = np.log([0.4, 0.2, 0.9, 2.0])
    _, gradient, hessian = likelihood.derivatives(theta)
    for i in range(4):
        step = np.zeros(4)
        step[i] = 1e-5
        up, down = likelihood.derivatives(theta + step), likelihood.derivatives(theta - step)
        assert gradient[i] == pytest.approx((up[0] - down[0]) / 2e-5, abs=1e-7)
        np.testing.assert_allclose(hessian[i], (up[1] - down[1]) / 2e-5, atol=1e-6)


@both
@pytest.mark.parametrize("k", [1, 3])
def test_blocks_and_the_order_of_rows_do_not_matter(
    model_type: type, k: int, split: pd.DataFrame
) -> None:
    rows = group(check_rows(split))
    theta = np.log([0.4, 0.2, 0.9, 2.0])
    chance = model_type._chance_at_first
    expected = Likelihood(rows, 30.0, chance, k)
    order = np.random.default_rng(1).permutation(len(rows.T))
    # Off the grid of days, where times are looked up by another way.
    by_value = Rows(rows.frequency, rows.recency * np.pi, rows.T * np.pi, rows.count)
    with patch.multiple(_beta_geo_likelihood, _CACHED=7 * k, _LEAST=1):
        for likelihood in (
            Likelihood(rows, 30.0, chance, k),
            Likelihood(rows.part(order), 30.0, chance, k),
            Likelihood(by_value, 30.0 * np.pi, chance, k),
        ):
            found = likelihood.derivatives(theta)
            for got, wanted in zip(found, expected.derivatives(theta), strict=True):
                np.testing.assert_allclose(got, wanted, rtol=1e-11, atol=1e-13)
            assert likelihood.total(theta) == pytest.approx(expected.total(theta), rel=1e-12)
            assert likelihood.total(theta) == pytest.approx(-found[0] * likelihood.n, rel=1e-12)


def test_a_long_unit_needs_no_long_table() -> None:
    seconds = np.array([86_400.0 * 90, 86_400.0 * 60])
    rows = Rows(np.array([0.0, 2.0]), np.array([0.0, 3e6]), seconds, np.ones(2))
    assert len(Likelihood(rows, 1e6, 1).times) == 4


def test_odds_beyond_all_floats_are_certain() -> None:
    odds = np.array([-np.inf, -800.0, 0.0, 699.0, 800.0])
    value, gone, stays = _beta_geo_likelihood._softplus(odds)
    np.testing.assert_allclose(value, [0, 0, np.log(2), 699, 800], rtol=1e-15)
    np.testing.assert_allclose(gone, [0, 0, 0.5, 1, 1], rtol=1e-15)
    np.testing.assert_allclose(stays, [1, 1, 0.5, np.exp(-699.0), 0], atol=1e-303)


@both
@pytest.mark.slow
def test_bootstrap_confirms_the_standard_errors(
    model_type: type, fitted_split: dict[type, Any], split: pd.DataFrame
) -> None:
    model = fitted_split[model_type]
    generator = np.random.default_rng(5)
    draws = []
    for _ in range(300):
        resample = split.iloc[generator.integers(0, len(split), len(split))]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", tp.ConvergenceWarning)  # a rare resample runs away
            draws.append(np.log(model_type().fit(resample).params_.to_numpy()))
    spread = np.subtract(*np.quantile(draws, [0.75, 0.25], axis=0)) / 1.349
    hessian = np.sqrt(np.diag(model.log_covariance_))
    np.testing.assert_allclose(spread, hessian, rtol=0.35)


@both
def test_recovers_the_truth_from_customers_of_all_ages(model_type: type) -> None:
    truth = np.array([0.6, 7.0, 0.8, 2.0])
    source = model_type.from_params(truth, unit="W")
    model = model_type().fit(source.simulate(40_000, T=np.linspace(20, 52, 40_000), seed=1))
    assert (np.abs(model.params_ - truth) < 4 * model.standard_errors_).all()
    assert (model.standard_errors_ < 0.2 * truth).all()


@both
def test_simulated_customers_are_alive_as_often_as_predicted(model_type: type) -> None:
    model = model_type.from_params([0.6, 7.0, 0.8, 2.0], unit="W")
    customers = model.simulate(60_000, T=40.0, seed=2)
    alive = model.probability_alive(customers)
    for _, part in customers.groupby(pd.cut(alive, [0, 0.3, 0.6, 0.9, 1.0]), observed=True):
        predicted = alive.reindex(part.index)
        error = 4 * np.sqrt((predicted * (1 - predicted)).sum())
        assert abs(part["alive"].sum() - predicted.sum()) <= error + 1e-9
    mean = model.expected_purchases_new_customer(40.0)
    error = customers["frequency"].std() / np.sqrt(60_000)
    assert customers["frequency"].mean() == pytest.approx(mean, abs=4 * error)
    none = model.probability_of_n_purchases_new_customer(0, 40.0)
    error = 4 * np.sqrt(none * (1 - none) / 60_000)
    assert (customers["frequency"] == 0).mean() == pytest.approx(none, abs=error)
    pd.testing.assert_frame_equal(customers, model.simulate(60_000, T=40.0, seed=2))
    assert customers.attrs["unit"] == "W"


# -- intervals -----------------------------------------------------------------------------------


@both
@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("probability_alive", ()),
        ("expected_purchases", (39,)),
        ("discounted_expected_purchases", (0.1, 39)),
        ("probability_of_purchase", (39,)),
        ("probability_of_n_purchases", (1, 39)),
        ("time_to_next_purchase", (0.3,)),
        ("dormancy_gap", (0.4,)),
        ("own_return_probability", (3.0, 39)),
        ("purchase_hazard", (2.0,)),
    ],
)
def test_every_prediction_has_an_interval_around_it(
    model_type: type,
    name: str,
    args: tuple[float, ...],
    fitted_split: dict[type, Any],
    split: pd.DataFrame,
) -> None:
    model = fitted_split[model_type]
    some = split.iloc[::50]
    point = getattr(model, name)(some, *args)
    frame = getattr(model, name)(some, *args, interval=0.95)
    np.testing.assert_allclose(frame["estimate"], point, rtol=1e-10)
    assert frame.index.equals(some.index)
    # Monotone quantiles of draws around the estimate; equal where the model leaves no doubt.
    assert (frame["lower"] <= frame["upper"]).all()
    inside = (frame["lower"] <= frame["estimate"]) & (frame["estimate"] <= frame["upper"])
    assert inside.all()
    wider = getattr(model, name)(some, *args, interval=0.99)
    assert (wider["upper"] >= frame["upper"]).all()
    assert (wider["lower"] <= frame["lower"]).all()


@pytest.mark.slow
def test_interval_of_a_prediction_covers_the_truth() -> None:
    truth = tp.ModifiedBetaGeoModel.from_params([0.6, 7.0, 0.8, 2.0], unit="W")
    row = one(2, 20.0, 40.0)
    target = truth.expected_purchases(row, 39.0)[0]
    inside = 0
    for seed in range(60):
        model = tp.ModifiedBetaGeoModel().fit(truth.simulate(3000, 40.0, seed=100 + seed))
        bounds = model.expected_purchases(row, 39.0, interval=0.9).iloc[0]
        inside += bounds["lower"] <= target <= bounds["upper"]
    assert abs(inside / 60 - 0.9) < 4 * np.sqrt(0.09 / 60)


def test_posterior_agrees_with_the_covariance(fitted: dict[type, Any]) -> None:
    model = fitted[tp.BetaGeoModel]
    draws = model.posterior(draws=4000, seed=1)
    assert draws.attrs["effective_size"] > 2800
    logs = np.log(draws[["r", "alpha"]])
    expected = np.sqrt(np.diag(model.log_covariance_))[:2]
    np.testing.assert_allclose(logs.std(), expected, rtol=0.1)
    np.testing.assert_allclose(
        logs.mean(), np.log(model.params_[["r", "alpha"]]), atol=0.3 * expected.max()
    )
    pd.testing.assert_frame_equal(draws, model.posterior(draws=4000, seed=1))


# -- bad input -----------------------------------------------------------------------------------


def test_without_repeats_there_is_no_rate() -> None:
    with pytest.raises(tp.InputError, match="none of the 1 customers has a repeat purchase"):
        tp.BetaGeoModel().fit(one(0, 0, 10))


def steady_buyers() -> pd.DataFrame:
    """Customers who differ by chance alone and never leave: r, a and b are not identified."""
    generator = np.random.default_rng(0)
    log = pd.DataFrame(
        {
            "customer_id": generator.integers(0, 2500, 20_000),
            "date": pd.Timestamp("2010-12-01")
            + pd.to_timedelta(generator.integers(0, 373, 20_000), unit="D"),
            "amount": 1.0,
        }
    )
    return tp.rfm_split(log, split="2011-06-30")


@both
@pytest.mark.parametrize(
    "rows",
    [
        pd.DataFrame({"frequency": [3] * 9, "recency": [30.0] * 9, "T": [31.0] * 9}),
        pd.DataFrame({"frequency": [4], "recency": [20.0], "T": [30.0]}),
        pd.DataFrame({"frequency": [59] * 50, "recency": [59.0] * 50, "T": [59.0] * 50}),
        steady_buyers(),
    ],
    ids=["same", "one", "daily", "steady"],
)
def test_what_the_data_do_not_bound_is_said_and_has_no_interval(
    model_type: type, rows: pd.DataFrame
) -> None:
    with pytest.warns(tp.ConvergenceWarning, match="use more customers"):
        model = model_type().fit(rows)
    assert not model.converged_
    assert model.convergence_message_
    assert model.summary()[["standard_error", "lower", "upper"]].isna().all(axis=None)
    for prediction in (
        model.probability_alive(rows),
        model.expected_purchases(rows, 13),
        model.time_to_next_purchase(rows),
        model.dormancy_gap(rows),
    ):
        assert prediction.notna().all()
    with pytest.raises(tp.InputError, match=f"the {model_type.__name__} did not converge"):
        model.expected_purchases(rows, 13, interval=0.95)
    with pytest.raises(tp.InputError, match="did not converge"):
        model.posterior()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, c: m.expected_purchases(c, -1), "horizon is -1; it must be >= 0"),
        (lambda m, c: m.expected_purchases(c, "1"), "horizon is '1'; it must be a number"),
        (lambda m, c: m.probability_alive(c, future=float("nan")), "future is nan"),
        (lambda m, c: m.probability_of_n_purchases(c, 1.5, 3), "n is 1.5; it must be a whole"),
        (lambda m, c: m.time_to_next_purchase(c, 1.0), "quantile is 1.0; it must be < 1"),
        (lambda m, c: m.dormancy_gap(c, alive=0), "alive is 0 at row 0"),
        (lambda m, c: m.own_return_probability(c, [-1.0], 3), "silence is -1 at index 0"),
        (lambda m, c: m.own_return_probability(c, [1.0, 2.0], 3), "shape"),
        (
            lambda m, c: m.own_return_probability(c, pd.Series([1.0], index=["z"]), 3),
            "silence has an index that differs",
        ),
        (lambda m, c: m.probability_alive(c, interval=1.5), "interval is 1.5"),
        (lambda m, c: m.discounted_expected_purchases(c, 0), "over an endless horizon"),
        (lambda m, _: m.simulate(0, 3.0, seed=1), "n_customers is 0"),
        (lambda m, _: m.simulate(2, 0.0, seed=1), "T is 0"),
    ],
)
def test_bad_arguments_are_named(call: Any, message: str, fitted: dict[type, Any]) -> None:
    with pytest.raises(tp.InputError, match=message):
        call(fitted[tp.BetaGeoModel], one(2, 3.0, 4.0))


def test_models_say_what_they_lack() -> None:
    row = one(2, 3.0, 4.0)
    with pytest.raises(tp.InputError, match="BetaGeoModel has no parameters"):
        tp.BetaGeoModel().probability_alive(row)
    given_ = tp.BetaGeoModel.from_params([1, 2, 3, 4])
    with pytest.raises(tp.InputError, match="no standard errors"):
        given_.probability_alive(row, interval=0.9)
    with pytest.raises(tp.InputError, match="the model's unit is unknown"):
        given_.discounted_expected_purchases(row, 0.1)
    with pytest.raises(tp.InputError, match="needs 4: r, alpha, a, b"):
        tp.BetaGeoModel.from_params([1, 2, 3])
    with pytest.raises(tp.InputError, match="alpha is -2; it must be > 0"):
        tp.BetaGeoModel.from_params([1, -2, 3, 4])
    with pytest.raises(tp.InputError, match="they must be r, alpha, a, b"):
        tp.BetaGeoModel.from_params({"r": 1})
    with pytest.raises(tp.InputError, match="params is 5; pass r, alpha, a, b in a list"):
        tp.BetaGeoModel.from_params(5)


def test_units_must_agree(fitted: dict[type, Any]) -> None:
    days = tp.rfm_summary(tp.load_cdnow(sample=True), unit="D")
    with pytest.raises(tp.InputError, match='summarised in "D", the model was fitted in "W"'):
        fitted[tp.BetaGeoModel].probability_alive(days)
    with pytest.raises(tp.InputError, match='unit is "W", but the times of the data are in "D"'):
        tp.BetaGeoModel().fit(days, unit="W")


def test_copies_of_every_customer_change_the_counts_alone(
    fitted: dict[type, Any], cdnow: pd.DataFrame
) -> None:
    copies = pd.concat([cdnow] * 20, ignore_index=True)
    small, big = fitted[tp.BetaGeoModel], tp.BetaGeoModel().fit(copies)
    np.testing.assert_allclose(big.params_, small.params_, rtol=1e-8)
    np.testing.assert_allclose(
        big.standard_errors_, small.standard_errors_ / np.sqrt(20), rtol=1e-6
    )
    assert big.log_likelihood_ == pytest.approx(20 * small.log_likelihood_)
