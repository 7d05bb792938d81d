from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import touchpoint_lib as tp
from tests.lifetime.samples import one
from tests.reference import lifetime as published
from touchpoint_lib.lifetime._beta_binomial_likelihood import Likelihood
from touchpoint_lib.lifetime._rows import check_rows
from touchpoint_lib.lifetime.beta_binomial import BetaGeoBetaBinomModel

# -- derivatives, simulation and errors ----------------------------------------------------------


def test_derivatives_equal_finite_differences() -> None:
    model = BetaGeoBetaBinomModel.from_params([0.8, 2.0, 0.7, 60.0])
    ages = np.random.default_rng(2).integers(0, 150, 800)
    customers = model.simulate(800, T=np.maximum(ages, 1), seed=3)
    likelihood = Likelihood(check_rows(customers))
    theta = np.log([1.1, 1.5, 0.4, 30.0])
    value, gradient, hessian = likelihood.derivatives(theta)
    assert likelihood.totals(np.stack([theta, theta]))[1] == pytest.approx(-800 * value, rel=1e-13)
    for i in range(4):
        step = np.zeros(4)
        step[i] = 1e-5
        up, down = likelihood.derivatives(theta + step), likelihood.derivatives(theta - step)
        assert gradient[i] == pytest.approx((up[0] - down[0]) / 2e-5, abs=1e-8)
        np.testing.assert_allclose(hessian[i], (up[1] - down[1]) / 2e-5, atol=1e-7)


@pytest.mark.parametrize("truth", [[1.2, 0.75, 0.66, 2.8], [0.8, 3.0, 1.0, 100.0]])
def test_simulation_is_what_the_model_expects(truth: list[float]) -> None:
    model = BetaGeoBetaBinomModel.from_params(truth, unit="M")
    n, age = 40_000, 24
    customers = model.simulate(n, T=age, seed=11)
    assert customers.attrs["unit"] == "M"
    assert (customers["frequency"] <= customers["recency"]).all()
    assert (customers["recency"] <= age).all()
    error = customers["frequency"].std() / np.sqrt(n)
    mean = model.expected_purchases_new_customer(age)
    assert customers["frequency"].mean() == pytest.approx(mean, abs=4 * error)
    for x in (0, 1, 5, 20):
        share = model.probability_of_n_purchases_new_customer(x, age)
        error = np.sqrt(share * (1 - share) / n)
        assert (customers["frequency"] == x).mean() == pytest.approx(share, abs=4 * error)
    alive = model.probability_alive(customers)
    for _, part in customers.groupby(pd.cut(alive, [0, 0.3, 0.6, 0.9, 1.0]), observed=True):
        predicted = alive.reindex(part.index)
        error = 4 * np.sqrt((predicted * (1 - predicted)).sum())
        assert abs(part["alive"].sum() - predicted.sum()) <= error
    pd.testing.assert_frame_equal(customers, model.simulate(n, T=age, seed=11))


@pytest.mark.slow
def test_fits_thousands_of_opportunities() -> None:
    truth = [0.9, 12.0, 0.8, 700.0]
    customers = BetaGeoBetaBinomModel.from_params(truth, unit="D").simulate(
        1500, T=np.linspace(1000, 3000, 1500).round(), seed=4
    )
    model = BetaGeoBetaBinomModel().fit(customers)
    assert model.converged_
    away = (model.params_ - truth) / model.standard_errors_
    assert (away.abs() < 4).all()
    theta = np.log(model.params_.to_numpy())
    _, gradient, _ = Likelihood(check_rows(customers)).derivatives(theta)
    assert np.abs(gradient).max() < 1e-7


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("probability_alive", ()),
        ("expected_purchases", (5,)),
        ("discounted_expected_purchases", (0.1,)),
        ("probability_of_purchase", (5,)),
        ("probability_of_n_purchases", (1, 5)),
        ("time_to_next_purchase", (0.3,)),
        ("dormancy_gap", (0.4,)),
        ("own_return_probability", (3, 5)),
        ("purchase_hazard", (2,)),
    ],
)
def test_every_prediction_has_an_interval_around_it(
    name: str, args: tuple[float, ...], bg_bb: BetaGeoBetaBinomModel, donors: pd.DataFrame
) -> None:
    some = donors.iloc[::4]
    frame = getattr(bg_bb, name)(some, *args, interval=0.95)
    np.testing.assert_array_equal(frame["estimate"], getattr(bg_bb, name)(some, *args))
    assert (frame["lower"] <= frame["estimate"]).all()
    assert (frame["estimate"] <= frame["upper"]).all()


def test_posterior_agrees_with_the_covariance(bg_bb: BetaGeoBetaBinomModel) -> None:
    draws = np.log(bg_bb.posterior(draws=4000, seed=1)[list(bg_bb.parameter_names)])
    expected = np.sqrt(np.diag(bg_bb.log_covariance_))
    np.testing.assert_allclose(draws.std(), expected, rtol=0.1)
    np.testing.assert_allclose(draws.mean(), np.log(bg_bb.params_), atol=0.3 * expected.max())


# -- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (one(1, 1.5, 3), "recency is 1.5 at index 0"),
        (one(1, 1, 3.5), "T is 3.5 at index 0"),
        (one(0.5, 1, 3), "frequency is 0.5 at index 0"),
        (one(3, 2, 4), r"frequency exceeds recency at index 0 \(frequency 3, recency 2; 1 such"),
        (one(2, 5, 4), "recency exceeds T at index 0"),
        (one(1, float("nan"), 4), "recency is nan at index 0"),
        (one(0, 2, 4), "frequency and recency disagree"),
    ],
)
def test_what_is_no_count_of_opportunities_is_named(
    row: pd.DataFrame, message: str, bg_bb: BetaGeoBetaBinomModel
) -> None:
    with pytest.raises(tp.InputError, match=message):
        BetaGeoBetaBinomModel().fit(row)
    with pytest.raises(tp.InputError, match=message):
        bg_bb.probability_alive(row)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, c: m.expected_purchases(c, 1.5), "horizon is 1.5; it must be a whole number"),
        (lambda m, c: m.probability_of_purchase(c, -1), "horizon is -1; it must be >= 0"),
        (lambda m, c: m.probability_of_n_purchases(c, 1, 0.5), "horizon is 0.5"),
        (lambda m, c: m.discounted_expected_purchases(c, 0.1, 2.5), "horizon is 2.5"),
        (lambda m, c: m.discounted_expected_purchases(c, 0), "over an endless horizon"),
        (lambda m, c: m.probability_alive(c, future=0.5), "future is 0.5"),
        (lambda m, c: m.purchase_hazard(c, ahead=0.5), "ahead is 0.5"),
        (lambda m, c: m.own_return_probability(c, 1.5, 3), "silence is 1.5"),
        (lambda m, c: m.own_return_probability(c, 1, 3.5), "horizon is 3.5"),
        (lambda m, _: m.expected_purchases_new_customer(0.5), "horizon is 0.5"),
        (lambda m, _: m.simulate(2, 1.5, seed=1), "T is 1.5"),
        (lambda m, _: m.simulate(2, 0, seed=1), "T is 0"),
        (lambda m, _: m.simulate(2, [1, 2, 3], seed=1), r"T has shape \(3,\) for 2 customers"),
    ],
)
def test_bad_arguments_are_named(
    call: Any, message: str, bg_bb: BetaGeoBetaBinomModel, donors: pd.DataFrame
) -> None:
    with pytest.raises(tp.InputError, match=message):
        call(bg_bb, donors)


def test_without_repeats_there_is_no_fit() -> None:
    rows = pd.DataFrame({"frequency": [0, 0], "recency": [0, 0], "T": [4, 5], "count": [10, 5]})
    with pytest.raises(tp.InputError, match="none of the 15 customers has a repeat purchase"):
        BetaGeoBetaBinomModel().fit(rows)


@pytest.mark.parametrize(
    "rows", [one(3, 4, 5), pd.DataFrame({"frequency": [6] * 9, "recency": [6] * 9, "T": [6] * 9})]
)
def test_what_the_data_do_not_bound_is_said(rows: pd.DataFrame) -> None:
    with pytest.warns(tp.ConvergenceWarning, match="use more customers"):
        model = BetaGeoBetaBinomModel().fit(rows)
    assert not model.converged_
    assert model.probability_alive(rows).between(0, 1).all()
    with pytest.raises(tp.InputError, match="did not converge"):
        model.expected_purchases(rows, 3, interval=0.9)


def test_units(donors: pd.DataFrame) -> None:
    with pytest.raises(tp.InputError, match='unit is "M", but the times of the data are in'):
        BetaGeoBetaBinomModel().fit(donors, unit="M")
    bare = donors.copy()
    bare.attrs = {}
    assert BetaGeoBetaBinomModel().fit(bare).unit_ is None
    assert BetaGeoBetaBinomModel().fit(bare, unit="M").unit_ == "M"
    with pytest.raises(tp.InputError, match="unit is 'Q'"):
        BetaGeoBetaBinomModel.from_params(published.BG_BB["params"], unit="Q")
