"""Regular buyers: gaps of an Erlang distribution, k > 1."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from scipy.special import gammaln
from scipy.stats import beta, gamma, poisson

import touchpoint_lib as tp
from tests.lifetime.samples import both, one
from touchpoint_lib.lifetime._beta_geo_likelihood import Likelihood
from touchpoint_lib.lifetime._rows import Rows, check_rows, group


@pytest.fixture(scope="module")
def regular() -> pd.DataFrame:
    source = tp.ModifiedBetaGeoModel.from_params([1.5, 3.0, 0.8, 2.5], unit="W", regularity=3)
    return source.simulate(6000, T=np.linspace(26, 60, 6000), seed=4)


@both
def test_cdnow_buys_at_random(
    model_type: type, fitted_split: dict[type, Any], split: pd.DataFrame
) -> None:
    """BTYDplus, vignette: for MBG/CNBD-k on CDNOW k = 1 is chosen."""
    model, plain = model_type(regularity="auto").fit(split), fitted_split[model_type]
    assert model.regularity_ == 1
    np.testing.assert_allclose(model.params_, plain.params_, rtol=1e-6)
    assert model.log_likelihood_ == pytest.approx(plain.log_likelihood_, rel=1e-12)
    likelihoods = model.regularity_likelihoods_
    assert list(likelihoods.index) == list(range(1, 13))
    assert likelihoods.is_monotonic_decreasing
    assert model.aic_ == pytest.approx(8 - 2 * likelihoods[1])
    # Each k from where the last one ended is as good as from the start.
    assert likelihoods[4] == pytest.approx(model_type(4).fit(split).log_likelihood_, rel=1e-10)


def test_regular_customers_are_recognised(regular: pd.DataFrame) -> None:
    model = tp.ModifiedBetaGeoModel("auto").fit(regular)
    assert model.regularity_ == 3
    assert model.converged_
    table = model.summary(level=0.99)
    truth = np.array([1.5, 3.0, 0.8, 2.5])
    assert ((table["lower"] <= truth) & (truth <= table["upper"])).all()
    fixed = tp.ModifiedBetaGeoModel(3).fit(regular)
    np.testing.assert_allclose(fixed.params_, model.params_, rtol=1e-6)
    assert fixed.log_likelihood_ == pytest.approx(model.log_likelihood_, rel=1e-12)
    assert "regularity=3" in repr(fixed)
    assert "regularity" not in repr(tp.ModifiedBetaGeoModel().fit(regular))
    draws = fixed.posterior(draws=400, seed=2)
    np.testing.assert_allclose(
        np.log(draws).std(), np.sqrt(np.diag(fixed.log_covariance_)), rtol=0.3
    )
    again = tp.ModifiedBetaGeoModel(3).fit(regular.assign(count=1))
    assert again.log_likelihood_ == pytest.approx(fixed.log_likelihood_, rel=1e-12)


@both
def test_a_customer_base_gives_the_same_fit(model_type: type, split: pd.DataFrame) -> None:
    log = tp.load_cdnow(sample=True).query("date <= '1997-09-30'")
    base = tp.customer_base(log, until="1997-09-30")
    model, same = model_type(2).fit(split), model_type(2).fit(base)
    np.testing.assert_allclose(same.params_, model.params_, rtol=1e-9)
    assert same.log_likelihood_ == pytest.approx(model.log_likelihood_, rel=1e-12)


@both
def test_derivatives_for_regular_gaps(model_type: type, regular: pd.DataFrame) -> None:
    rows = group(check_rows(regular.drop(columns="alive").iloc[::20]))
    theta = np.log([0.9, 0.1, 0.9, 2.0])
    for k in (1, 2, 5):
        likelihood = Likelihood(rows, 30.0, model_type._chance_at_first, k)
        value, gradient, hessian = likelihood.derivatives(theta)
        assert value * rows.n_customers == pytest.approx(-likelihood.total(theta), rel=1e-12)
        for i in range(4):
            step = np.zeros(4)
            step[i] = 1e-5
            up, down = likelihood.derivatives(theta + step), likelihood.derivatives(theta - step)
            assert gradient[i] == pytest.approx((up[0] - down[0]) / 2e-5, abs=1e-7)
            np.testing.assert_allclose(hessian[i], (up[1] - down[1]) / 2e-5, atol=1e-6)
        # The same from the rows' own derivatives.
        scaled = Rows(rows.frequency, rows.recency / 30, rows.T / 30, rows.count)
        model = model_type.from_params([1, 1, 1, 1], regularity=k)
        own = model._row_derivatives(list(np.exp(theta)), scaled)
        for ours, theirs in zip((value, gradient, hessian), own, strict=True):
            np.testing.assert_allclose(ours, -(theirs @ rows.count) / rows.n_customers, rtol=1e-9)


@both
@pytest.mark.parametrize("k", [1, 3])
def test_likelihood_of_one_customer_by_integration(model_type: type, k: int) -> None:
    """Gaps of 2, 5 and 4 until 11, then silence until 16, over the rate and the drop-out."""
    r, alpha, a, b = params = [1.3, 2.1, 0.8, 2.5]
    gaps, silence = np.array([2.0, 5.0, 4.0]), 5.0
    x, m = 3, model_type._chance_at_first

    def over_rate(rate: float, waits: bool) -> float:
        gap_density = np.exp(
            k * np.log(rate) + (k - 1) * np.log(gaps) - rate * gaps - gammaln(k)
        ).prod()
        # Fewer than k stages in the silence.
        quiet = poisson.cdf(k - 1, rate * silence) if waits else 1.0
        return float(gap_density * quiet * gamma.pdf(rate, r, scale=1 / alpha))

    def chance(stays: int, leaves: int) -> float:
        return float(quad(lambda p: p**leaves * (1 - p) ** stays * beta.pdf(p, a, b), 0, 1)[0])

    exact = chance(x + m, 0) * quad(over_rate, 0, np.inf, args=(True,), epsabs=0)[0]
    exact += chance(x + m - 1, 1) * quad(over_rate, 0, np.inf, args=(False,), epsabs=0)[0]
    history = one(3, 11.0, 16.0).assign(log_gaps=np.log(gaps).sum())
    other = one(1, 1.0, 2.0).assign(log_gaps=0.0)
    pair = pd.concat([history, other], ignore_index=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tp.ConvergenceWarning)  # two customers bound nothing
        both_, single = model_type(k).fit(pair), model_type(k).fit(other)
    theta = np.log([params])
    ours = (both_._log_likelihood(theta) - single._log_likelihood(theta))[0]
    assert ours == pytest.approx(np.log(exact), rel=1e-7)


@both
def test_regular_counts_sum_to_one_and_to_the_expectation(model_type: type) -> None:
    model = model_type.from_params([1.5, 3.0, 0.8, 2.5], unit="W", regularity=3)
    rows = pd.DataFrame({"frequency": [0, 3, 8], "recency": [0, 20.0, 33], "T": [9.0, 30, 34]})
    probability = np.array([model.probability_of_n_purchases(rows, n, 20.0) for n in range(120)])
    assert ((probability >= 0) & (probability <= 1)).all()
    np.testing.assert_allclose(probability.sum(axis=0), 1, rtol=1e-9)
    np.testing.assert_allclose(
        np.arange(120) @ probability, model.expected_purchases(rows, 20.0), rtol=1e-9
    )
    np.testing.assert_allclose(
        1 - probability[0], model.probability_of_purchase(rows, 20.0), rtol=1e-12
    )
    # Alive at the end of it: who bought n times has passed n chances to leave.
    assert (model.probability_alive(rows, future=20.0) < model.probability_alive(rows)).all()


@both
@pytest.mark.parametrize("k", [2, 4])
def test_simulated_regular_customers_do_what_is_predicted(model_type: type, k: int) -> None:
    model = model_type.from_params([1.2, 1.5, 0.8, 2.5], unit="W", regularity=k)
    early = model.simulate(40_000, T=20.0, seed=6)
    alive = model.probability_alive(early)
    error = 4 * np.sqrt((alive * (1 - alive)).sum())
    assert early["alive"].sum() == pytest.approx(alive.sum(), abs=error)
    for horizon in (3.0, 20.0):
        later = model.simulate(40_000, T=horizon, seed=7)
        expected = model.expected_purchases_new_customer(horizon)
        error = 4 * later["frequency"].std() / np.sqrt(40_000)
        assert later["frequency"].mean() == pytest.approx(expected, abs=error)
        for n in range(3):
            share = model.probability_of_n_purchases_new_customer(n, horizon)
            error = 4 * np.sqrt(share * (1 - share) / 40_000)
            assert (later["frequency"] == n).mean() == pytest.approx(share, abs=error)
    # A forecast of those who are known at 3 adds up to what is seen in between.
    gain = model.expected_purchases(model.simulate(40_000, T=3.0, seed=8), 17.0)
    whole = model.expected_purchases_new_customer(20.0) - model.expected_purchases_new_customer(3.0)
    assert gain.mean() == pytest.approx(whole, abs=4 * gain.std() / np.sqrt(40_000))
    repeats = early[early["frequency"] > 0]
    most = repeats["frequency"] * np.log(repeats["recency"] / repeats["frequency"])
    assert (repeats["log_gaps"] <= most + 1e-9).all()
    assert (early.loc[early["frequency"] == 0, "log_gaps"] == 0).all()


def test_regularity_is_saved(regular: pd.DataFrame, tmp_path: Any) -> None:
    model = tp.ModifiedBetaGeoModel("auto").fit(regular)
    model.save(tmp_path / "model.json")
    loaded = tp.load_model(tmp_path / "model.json")
    assert isinstance(loaded, tp.ModifiedBetaGeoModel)
    assert loaded.regularity_ == 3
    rows = regular.iloc[:50]
    pd.testing.assert_series_equal(
        loaded.expected_purchases(rows, 9), model.expected_purchases(rows, 9)
    )


@pytest.mark.parametrize("value", [0, -1, 1.5, "foo", True, None])
def test_bad_regularity_is_named(value: Any) -> None:
    with pytest.raises(
        tp.InputError, match=r"regularity is .*; it must be a whole number .*, or \"auto\""
    ):
        tp.BetaGeoModel(regularity=value)
    with pytest.raises(tp.InputError, match=r"regularity is .*; it must be a whole number"):
        tp.BetaGeoModel.from_params([1, 2, 3, 4], regularity=value)


def test_a_model_of_given_parameters_has_one_regularity() -> None:
    with pytest.raises(tp.InputError, match="regularity is 'auto'; it must be a whole number"):
        tp.BetaGeoModel.from_params([1, 2, 3, 4], regularity="auto")


@pytest.mark.parametrize("regularity", [2, "auto"])
def test_regular_gaps_need_the_logarithms(regularity: Any, regular: pd.DataFrame) -> None:
    model = tp.ModifiedBetaGeoModel(regularity)
    with pytest.raises(tp.InputError, match=r"no column 'log_gaps', which regularity=.*rfm"):
        model.fit(regular.drop(columns="log_gaps"))
    broken = regular.astype({"log_gaps": float})
    broken.loc[7, "log_gaps"] = np.nan
    with pytest.raises(tp.InputError, match="log_gaps is nan at index 7"):
        model.fit(broken)
    # Sums in days with times in weeks.
    other = regular.assign(log_gaps=regular["log_gaps"] + regular["frequency"] * np.log(7))
    with pytest.raises(tp.InputError, match=r"log_gaps is .* in the unit of recency"):
        model.fit(other)
    tp.ModifiedBetaGeoModel(1).fit(regular.drop(columns="log_gaps"))
