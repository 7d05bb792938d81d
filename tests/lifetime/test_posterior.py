from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import touchpoint_lib as tp
from tests.reference import lifetime as published
from touchpoint_lib.lifetime._posterior import importance_resample, pareto_fit, smoothed_weights


@pytest.fixture(scope="module")
def model() -> tp.BetaGeoModel:
    return tp.BetaGeoModel().fit(published.cdnow_summary())


def pymc_marketing_prior(params: pd.DataFrame) -> pd.Series:
    """The default priors of pymc-marketing's BetaGeoModel, as log densities of r, alpha, a, b.

    r ~ Weibull(2, 1), alpha ~ Weibull(2, 10), a = phi kappa and b = (1 - phi) kappa with
    phi ~ Uniform(0, 1) and kappa ~ Pareto(1, 1).
    """
    kappa = params["a"] + params["b"]
    # d(phi, kappa) / d(a, b) is 1 / kappa.
    dropout = stats.pareto.logpdf(kappa, 1) - np.log(kappa)
    return (
        stats.weibull_min.logpdf(params["r"], 2, scale=1)
        + stats.weibull_min.logpdf(params["alpha"], 2, scale=10)
        + dropout
    )


def test_means_of_mcmc_under_the_same_priors(model: tp.BetaGeoModel) -> None:
    """pymc-marketing, NUTS on the CDNOW sample: means r .246, alpha 4.526, a .782, b 2.424."""
    draws = model.posterior(draws=4000, seed=0, prior=pymc_marketing_prior)
    assert list(draws) == ["r", "alpha", "a", "b"]
    mean = draws.mean()
    # NUTS had some 1,000 effective draws and ours 3,000: twice the error of their difference.
    error = draws.std() * np.sqrt(1 / 1000 + 1 / draws.attrs["effective_size"])
    published_means = pd.Series({"r": 0.246, "alpha": 4.526, "a": 0.782, "b": 2.424})
    rounding = pd.Series({"r": 5e-4, "alpha": 5e-4, "a": 5e-4, "b": 5e-4})
    assert ((mean - published_means).abs() < 2 * error + rounding).all()


def test_posterior_says_how_far_it_can_be_trusted(model: tp.BetaGeoModel) -> None:
    draws = model.posterior()
    assert len(draws) == 4000
    assert 2500 < draws.attrs["effective_size"] <= 4000
    assert draws.attrs["pareto_k"] < 0.5
    # The weak prior hardly moves the mode of 2,357 customers.
    inside = draws.quantile([0.025, 0.975])
    assert (inside.loc[0.025] < model.params_).all()
    assert (model.params_ < inside.loc[0.975]).all()
    pd.testing.assert_frame_equal(draws, model.posterior())
    assert not model.posterior(seed=1).equals(draws)


def test_predictions_over_draws(model: tp.BetaGeoModel) -> None:
    customers = published.cdnow_summary().head(50)
    draws = model.posterior(draws=500)
    single = pd.concat(
        [
            tp.BetaGeoModel.from_params(row.to_list()).expected_purchases(customers, 39)
            for _, row in draws.iterrows()
        ],
        axis=1,
    )
    mean = model.expected_purchases(customers, 39, draws=draws)
    assert isinstance(mean, pd.Series)
    np.testing.assert_allclose(mean, single.mean(axis=1), rtol=1e-12)
    found = model.expected_purchases(customers, 39, draws=draws, interval=0.9)
    assert list(found) == ["estimate", "lower", "upper"]
    ordered = np.sort(single.to_numpy(), axis=1)
    np.testing.assert_allclose(found["lower"], ordered[:, 24], rtol=1e-12)
    np.testing.assert_allclose(found["upper"], ordered[:, 475], rtol=1e-12)
    gap = model.time_to_next_purchase(customers, draws=draws)
    times = pd.concat(
        [
            tp.BetaGeoModel.from_params(row.to_list()).time_to_next_purchase(customers)
            for _, row in draws.iterrows()
        ],
        axis=1,
    )
    np.testing.assert_allclose(gap, np.sort(times.to_numpy(), axis=1)[:, 249], rtol=1e-12)
    new = model.expected_purchases_new_customer(39, draws=draws, interval=0.9)
    assert new["lower"] < new["estimate"] < new["upper"]


def test_intervals_of_posterior_and_normal_draws_agree(model: tp.BetaGeoModel) -> None:
    customers = published.cdnow_summary()
    normal = model.expected_purchases(customers, 39, interval=0.95)
    posterior = model.expected_purchases(customers, 39, interval=0.95, draws=model.posterior())
    width = normal["upper"] - normal["lower"]
    assert ((posterior["lower"] - normal["lower"]).abs() / width).median() < 0.1
    assert ((posterior["upper"] - normal["upper"]).abs() / width).median() < 0.1


@pytest.mark.parametrize(
    ("draws", "message"),
    [
        (3, "draws is a int"),
        (pd.DataFrame({"r": [1.0]}), "draws has no column 'alpha', 'a', 'b'"),
        (pd.DataFrame({"r": [], "alpha": [], "a": [], "b": []}, dtype=float), "no rows"),
        (
            pd.DataFrame({"r": [1.0, -1.0], "alpha": 1.0, "a": 1.0, "b": 1.0}),
            "r is -1 at row 1 .1 such values.; every value must be > 0",
        ),
    ],
)
def test_other_draws_are_refused(model: tp.BetaGeoModel, draws: object, message: str) -> None:
    with pytest.raises(tp.InputError, match=message):
        model.expected_purchases(published.cdnow_summary(), 39, draws=draws)


def test_bad_priors_are_refused(model: tp.BetaGeoModel) -> None:
    with pytest.raises(tp.InputError, match=r"shape \(3,\) for 4000 draws"):
        model.posterior(prior=lambda _: np.zeros(3))
    with pytest.raises(tp.InputError, match=r"prior is nan at row 0 .4000 such values"):
        model.posterior(prior=lambda params: params["r"] * np.nan)
    with pytest.raises(tp.InputError, match="4000 infinite values"):
        model.posterior(prior=lambda params: np.full(len(params), np.inf))
    with pytest.raises(tp.InputError, match="prior is not numeric"):
        model.posterior(prior=lambda _: "flat")
    with pytest.raises(tp.InputError, match="prior is a int; pass a function"):
        model.posterior(prior=3)  # type: ignore[arg-type]
    with pytest.raises(tp.InputError, match="no draw has a positive posterior density"):
        model.posterior(prior=lambda params: np.full(len(params), -np.inf))
    with pytest.raises(tp.InputError, match="draws is 10; it must be >= 100"):
        model.posterior(draws=10)


def test_draws_of_another_model_are_refused(model: tp.BetaGeoModel) -> None:
    customers = published.cdnow_summary()
    other = tp.ModifiedBetaGeoModel().fit(customers).posterior(draws=100)
    with pytest.raises(tp.InputError, match="draws are of a ModifiedBetaGeoModel in weeks"):
        model.expected_purchases(customers, 39, draws=other)
    days = customers.assign(recency=customers["recency"] * 7, T=customers["T"] * 7)
    days.attrs["unit"] = "D"
    other = tp.BetaGeoModel().fit(days).posterior(draws=100)
    with pytest.raises(tp.InputError, match="draws are of a BetaGeoModel in days"):
        model.expected_purchases(customers, 39, draws=other)


def test_a_loaded_model_has_no_posterior(model: tp.BetaGeoModel, tmp_path: object) -> None:
    path = f"{tmp_path}/model.json"
    model.save(path)
    with pytest.raises(tp.InputError, match="loaded and has no data"):
        tp.load_model(path).posterior()


def test_a_target_with_heavier_tails_is_refused() -> None:
    with pytest.raises(tp.InputError, match="Pareto k is"):
        importance_resample(
            np.zeros(2),
            np.eye(2) * 0.01,
            lambda theta: -np.log1p((theta**2).sum(axis=1)) / 2,  # its integral is infinite
            4000,
            0,
        )


def test_a_known_posterior_is_found() -> None:
    """A bivariate normal: means, variances and correlation within their own error."""
    covariance = np.array([[1.0, 0.6], [0.6, 2.0]])
    precision = np.linalg.inv(covariance)
    theta, effective, k = importance_resample(
        np.array([1.0, -1.0]),
        covariance * 1.3,  # the proposal is not the target
        lambda at: -np.einsum("ni,ij,nj->n", at - [1.2, -1], precision, at - [1.2, -1]) / 2,
        8000,
        0,
    )
    assert effective > 5000
    assert k < 0.3
    # Resampling adds up to as much noise again as the importance weights.
    np.testing.assert_allclose(theta.mean(axis=0), [1.2, -1], atol=4 * np.sqrt(2 * 2 / effective))
    np.testing.assert_allclose(np.cov(theta.T), covariance, atol=0.12)


@pytest.mark.parametrize("shape", [0.1, 0.5, 1.0])
def test_the_shape_of_a_pareto_tail_is_found(shape: float) -> None:
    excess = np.sort(stats.genpareto.rvs(shape, scale=2, size=20_000, random_state=1))
    k, scale = pareto_fit(excess)
    assert k == pytest.approx(shape, abs=0.04)
    assert scale == pytest.approx(2, rel=0.05)


def test_smoothing_keeps_the_order_and_the_sum() -> None:
    ratio = np.random.default_rng(0).normal(size=1000) * 2
    weights, k = smoothed_weights(ratio)
    assert weights.sum() == pytest.approx(1)
    assert 0.2 < k < 1.5
    assert (np.diff(weights[np.argsort(ratio)]) >= -1e-15).all()
    equal, none = smoothed_weights(np.zeros(1000))
    assert none == -np.inf
    np.testing.assert_allclose(equal, 1e-3)
