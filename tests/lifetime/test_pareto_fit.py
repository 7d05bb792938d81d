from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest

import touchpoint_lib as tp
from tests.lifetime.samples import one
from touchpoint_lib.lifetime._rows import check_rows, group
from touchpoint_lib.lifetime.pareto_nbd import ParetoNBDModel

# -- fit -----------------------------------------------------------------------------------------


def test_the_gradient_vanishes_by_quadrature_too(
    pareto_split: ParetoNBDModel, split: pd.DataFrame
) -> None:
    rows = group(check_rows(split))
    value, gradient, hessian = pareto_split._row_derivatives(pareto_split.params_.to_numpy(), rows)
    assert (np.abs(gradient @ rows.count) / 2357 < 1e-9).all()
    assert value @ rows.count == pytest.approx(pareto_split.log_likelihood_, rel=1e-12)
    errors = np.sqrt(np.diag(np.linalg.inv(-(hessian @ rows.count))))
    np.testing.assert_allclose(np.sqrt(np.diag(pareto_split.log_covariance_)), errors, rtol=1e-8)


def test_compression_and_order_change_nothing(
    pareto_split: ParetoNBDModel, split: pd.DataFrame
) -> None:
    counted = split.groupby(["frequency", "recency", "T"]).size().rename("count").reset_index()
    counted.attrs["unit"] = "W"
    for other in (split.sample(frac=1, random_state=3), counted):
        again = ParetoNBDModel().fit(other)
        np.testing.assert_allclose(again.params_, pareto_split.params_, rtol=1e-8)
        assert again.log_likelihood_ == pytest.approx(pareto_split.log_likelihood_, rel=1e-12)


def test_off_the_day_grid_the_fit_is_the_same(
    pareto_split: ParetoNBDModel, split: pd.DataFrame
) -> None:
    stretched = split.assign(recency=split["recency"] * np.pi, T=split["T"] * np.pi)
    stretched.attrs = {}
    other = ParetoNBDModel().fit(stretched)
    np.testing.assert_allclose(
        other.params_, pareto_split.params_ * np.array([1, np.pi, 1, np.pi]), rtol=1e-7
    )
    assert other.log_likelihood_ == pytest.approx(
        pareto_split.log_likelihood_ - split["frequency"].sum() * np.log(np.pi), rel=1e-11
    )
    draws = other._theta() + np.array([[0.0] * 4, [0.1, 0, 0, 0]])
    assert other._log_likelihood(draws)[0] == pytest.approx(other.log_likelihood_, rel=1e-12)
    assert other._log_likelihood(draws)[1] < other.log_likelihood_


def test_recovers_the_truth_from_customers_of_all_ages() -> None:
    truth = np.array([0.8, 6.0, 0.9, 12.0])
    source = ParetoNBDModel.from_params(truth, unit="W")
    model = ParetoNBDModel().fit(source.simulate(40_000, T=np.linspace(40, 80, 40_000), seed=1))
    assert (np.abs(model.params_ - truth) < 4 * model.standard_errors_).all()
    assert (model.standard_errors_ < 0.2 * truth).all()


def test_simulated_customers_do_as_predicted() -> None:
    model = ParetoNBDModel.from_params([0.6, 7.0, 0.8, 20.0], unit="W")
    customers = model.simulate(60_000, T=40.0, seed=2)
    alive = model.probability_alive(customers)
    for _, part in customers.groupby(pd.cut(alive, [0, 0.3, 0.6, 0.9, 1.0]), observed=True):
        predicted = alive.reindex(part.index)
        error = 4 * np.sqrt((predicted * (1 - predicted)).sum())
        assert abs(part["alive"].sum() - predicted.sum()) <= error + 1e-9
    for n in range(4):
        expected = model.probability_of_n_purchases_new_customer(n, 40.0)
        error = 4 * np.sqrt(expected * (1 - expected) / 60_000)
        assert (customers["frequency"] == n).mean() == pytest.approx(expected, abs=error)
    error = 4 * customers["frequency"].std() / np.sqrt(60_000)
    assert customers["frequency"].mean() == pytest.approx(
        model.expected_purchases_new_customer(40.0), abs=error
    )
    assert ((customers["frequency"] == 0) == (customers["recency"] == 0)).all()
    assert (customers["recency"] <= customers["T"]).all()
    pd.testing.assert_frame_equal(customers, model.simulate(60_000, T=40.0, seed=2))
    assert customers.attrs["unit"] == "W"


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("probability_alive", ()),
        ("expected_purchases", (39,)),
        ("discounted_expected_purchases", (0.1,)),
        ("probability_of_purchase", (39,)),
        ("probability_of_n_purchases", (1, 39)),
        ("time_to_next_purchase", (0.3,)),
        ("dormancy_gap", (0.4,)),
        ("own_return_probability", (3.0, 39)),
        ("purchase_hazard", (2.0,)),
    ],
)
def test_every_prediction_has_an_interval_around_it(
    name: str, args: tuple[float, ...], pareto_split: ParetoNBDModel, split: pd.DataFrame
) -> None:
    few = split.iloc[::50]
    point = getattr(pareto_split, name)(few, *args)
    frame = getattr(pareto_split, name)(few, *args, interval=0.95)
    np.testing.assert_allclose(frame["estimate"], point, rtol=1e-10)
    assert (frame["lower"] <= frame["upper"]).all()
    inside = (frame["lower"] <= frame["estimate"]) & (frame["estimate"] <= frame["upper"])
    assert inside.all()


def test_draws_of_parameters_have_the_likelihood_of_their_rows(
    pareto_split: ParetoNBDModel, split: pd.DataFrame
) -> None:
    rows = group(check_rows(split))
    draws = pareto_split._theta() + np.random.default_rng(4).normal(0, 0.5, (6, 4))
    draws[0, 3] -= 6  # beta of 10 minutes: too short for a table of days
    exact = [pareto_split._row_derivatives(np.exp(draw), rows)[0] @ rows.count for draw in draws]
    np.testing.assert_allclose(pareto_split._log_likelihood(draws), exact, rtol=1e-11)


def test_posterior_agrees_with_the_covariance(pareto_split: ParetoNBDModel) -> None:
    draws = pareto_split.posterior(seed=2)
    assert draws.attrs["effective_size"] > 1000
    logs = np.log(draws[["r", "alpha"]])
    errors = np.sqrt(np.diag(pareto_split.log_covariance_))[:2]
    np.testing.assert_allclose(logs.std(), errors, rtol=0.15)
    np.testing.assert_allclose(logs.mean(), pareto_split._theta()[:2], atol=0.5 * errors.max())
    # The posterior of s and beta leans to large values, which the Hessian does not see.
    leaning = np.log(draws[["s", "beta"]])
    assert (leaning.mean() > pareto_split._theta()[2:] + 0.05).all()
    assert (leaning.skew() > 0.1).all()


# -- bad input -----------------------------------------------------------------------------------


def test_a_copy_from_another_process_keeps_its_posterior(pareto_split: ParetoNBDModel) -> None:
    copy = pickle.loads(pickle.dumps(pareto_split))
    pd.testing.assert_frame_equal(
        copy.posterior(draws=100, seed=1), pareto_split.posterior(draws=100, seed=1)
    )


def test_without_repeats_there_is_no_rate() -> None:
    with pytest.raises(tp.InputError, match="none of the 1 customers has a repeat purchase"):
        ParetoNBDModel().fit(one(0, 0, 10))


@pytest.mark.parametrize(
    "rows",
    [
        pd.DataFrame({"frequency": [3] * 9, "recency": [30.0] * 9, "T": [31.0] * 9}),
        pd.DataFrame({"frequency": [4], "recency": [20.0], "T": [30.0]}),
        pd.DataFrame({"frequency": [59] * 50, "recency": [59.0] * 50, "T": [59.0] * 50}),
    ],
    ids=["same", "one", "daily"],
)
def test_what_the_data_do_not_bound_is_said(rows: pd.DataFrame) -> None:
    with pytest.warns(tp.ConvergenceWarning, match="use more customers"):
        model = ParetoNBDModel().fit(rows)
    assert not model.converged_
    assert model.summary()[["standard_error", "lower", "upper"]].isna().all(axis=None)
    for prediction in (
        model.probability_alive(rows),
        model.expected_purchases(rows, 13),
        model.time_to_next_purchase(rows),
        model.dormancy_gap(rows),
    ):
        assert prediction.notna().all()
    with pytest.raises(tp.InputError, match="the ParetoNBDModel did not converge"):
        model.expected_purchases(rows, 13, interval=0.95)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.simulate(0, 3.0, seed=1), "n_customers is 0"),
        (lambda m: m.simulate(2, 0.0, seed=1), "T is 0"),
        (lambda m: m.simulate(2, 3.0, seed=-1), "seed is -1"),
        (lambda _: ParetoNBDModel.from_params([1, 2, 0, 4]), "s is 0; it must be > 0"),
        (lambda _: ParetoNBDModel.from_params([1, 2, 3]), "needs 4: r, alpha, s, beta"),
        (lambda _: ParetoNBDModel().simulate(2, 3.0, seed=1), "has no parameters"),
        (lambda _: ParetoNBDModel().fit(one(2, 5.0, 4.0)), "recency exceeds T"),
    ],
)
def test_bad_arguments_are_named(call: Any, message: str) -> None:
    with pytest.raises(tp.InputError, match=message):
        call(ParetoNBDModel.from_params([1, 2, 3, 4]))


def test_units_must_agree(pareto: ParetoNBDModel) -> None:
    days = tp.rfm_summary(tp.load_cdnow(sample=True), unit="D")
    with pytest.raises(tp.InputError, match='summarised in "D"'):
        pareto.probability_alive(days)
    with pytest.raises(tp.InputError, match='unit is "W", but'):
        ParetoNBDModel().fit(days, unit="W")
    by_day = ParetoNBDModel().fit(days)
    by_week = ParetoNBDModel().fit(tp.rfm_summary(tp.load_cdnow(sample=True), unit="W"))
    np.testing.assert_allclose(by_day.params_, by_week.params_ * [1, 7, 1, 7], rtol=1e-7)


def test_nbd_is_the_limit_without_drop_out(cdnow: pd.DataFrame) -> None:
    """NBD on the CDNOW sample: r .384768, alpha 12.072083, log-likelihood -9763.6602, standard
    errors .0210 and .8087; a regression figure, computed once by an independent prototype."""
    rows = group(check_rows(cdnow))
    r, alpha = 0.384768, 12.072083
    never = ParetoNBDModel.from_params([r, alpha, 1e-12, 1.0])
    value, gradient, hessian = never._row_derivatives([r, alpha, 1e-12, 1.0], rows)
    assert rows.count @ value == pytest.approx(-9763.6602, abs=6e-5)
    # It is the maximum over r and alpha, to their six digits; its curvature gives their errors.
    assert np.abs(gradient[:2] @ rows.count).max() / 2357 < 1e-6
    information = -np.einsum("ijn,n->ij", hessian[:2, :2], rows.count)
    errors = np.sqrt(np.diag(np.linalg.inv(information))) * [r, alpha]
    np.testing.assert_allclose(errors, [0.0210, 0.8087], atol=6e-5)
