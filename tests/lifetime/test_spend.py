from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gammaln

import touchpoint_lib as tp
from tests.reference import lifetime as published


@pytest.fixture(scope="module")
def cdnow() -> pd.DataFrame:
    return published.cdnow_summary()


@pytest.fixture(scope="module")
def model(cdnow: pd.DataFrame) -> tp.GammaGammaModel:
    return tp.GammaGammaModel().fit(cdnow)


def spend(frequency: list[int], monetary: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"frequency": frequency, "monetary_value": monetary})


def simulated(p: float, q: float, gamma: float, n: int, seed: int) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    x = generator.integers(1, 9, n)
    rate = generator.gamma(q, 1 / gamma, n)
    return pd.DataFrame({"frequency": x, "monetary_value": generator.gamma(p * x, 1 / rate) / x})


def test_published_estimates(model: tp.GammaGammaModel) -> None:
    figures = published.GAMMA_GAMMA
    assert model.converged_
    assert model.n_customers_ == 946
    np.testing.assert_allclose(model.params_, figures["params"], atol=6e-5, rtol=0)
    np.testing.assert_allclose(
        model.standard_errors_, figures["standard_errors"], atol=6e-4, rtol=0
    )
    assert model.log_likelihood_ == pytest.approx(figures["log_likelihood"], abs=6e-4)


def test_agrees_with_lifetimes(cdnow: pd.DataFrame, model: tp.GammaGammaModel) -> None:
    buyers = cdnow[cdnow["frequency"] > 0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lifetimes warns on import and while it fits
        from lifetimes import GammaGammaFitter

        fitter = GammaGammaFitter().fit(buyers["frequency"], buyers["monetary_value"])
        theirs = fitter.conditional_expected_average_profit(
            buyers["frequency"], buyers["monetary_value"]
        )
    np.testing.assert_allclose(
        model.params_, [fitter.params_[key] for key in ("p", "q", "v")], rtol=1e-3
    )
    np.testing.assert_allclose(tp.from_lifetimes(fitter).expected_spend(buyers), theirs, rtol=1e-6)


def test_log_likelihood_from_the_paper(model: tp.GammaGammaModel, cdnow: pd.DataFrame) -> None:
    p, q, gamma = 5.0, 4.0, 20.0
    buyers = cdnow[cdnow["frequency"] > 0]
    x, m = buyers["frequency"].to_numpy(), buyers["monetary_value"].to_numpy()
    terms = (
        gammaln(p * x + q)
        - gammaln(p * x)
        - gammaln(q)
        + q * np.log(gamma)
        + (p * x - 1) * np.log(m)
        + p * x * np.log(x)
        - (p * x + q) * np.log(gamma + x * m)
    )
    assert model._log_likelihood is not None
    (total,) = model._log_likelihood(np.log([[p, q, gamma]]))
    assert total == pytest.approx(terms.sum(), rel=1e-12)


def test_derivatives_equal_finite_differences(cdnow: pd.DataFrame) -> None:
    from touchpoint_lib.lifetime.spend import _Likelihood

    buyers = cdnow[cdnow["frequency"] > 0]
    likelihood = _Likelihood(
        buyers["frequency"].to_numpy(float),
        (buyers["frequency"] * buyers["monetary_value"]).to_numpy() / 30,
        np.ones(len(buyers)),
    )
    theta = np.log([5.0, 3.0, 0.5])
    _, gradient, hessian = likelihood.derivatives(theta)
    for i in range(3):
        step = np.zeros(3)
        step[i] = 1e-5
        up, down = likelihood.derivatives(theta + step), likelihood.derivatives(theta - step)
        assert gradient[i] == pytest.approx((up[0] - down[0]) / 2e-5, abs=1e-7)
        np.testing.assert_allclose(hessian[i], (up[1] - down[1]) / 2e-5, atol=1e-6)


@settings(max_examples=50, deadline=None)
@given(x=st.integers(0, 50), m=st.floats(0.01, 500))
def test_expected_spend_lies_between_own_and_population(
    x: int, m: float, model: tp.GammaGammaModel
) -> None:
    value = model.expected_spend(spend([x], [m if x else 0.0]))[0]
    if x == 0:
        assert value == pytest.approx(model.mean_spend_)
    else:
        low, high = sorted((m, model.mean_spend_))
        assert low - 1e-9 <= value <= high + 1e-9


def test_money_may_be_counted_in_any_currency(
    cdnow: pd.DataFrame, model: tp.GammaGammaModel
) -> None:
    cents = cdnow.assign(monetary_value=cdnow["monetary_value"] * 100)
    other = tp.GammaGammaModel().fit(cents)
    np.testing.assert_allclose(other.params_, model.params_ * [1, 1, 100], rtol=1e-6)
    np.testing.assert_allclose(
        other.expected_spend(cents), 100 * model.expected_spend(cdnow), rtol=1e-6
    )


def test_counts_weigh_rows(cdnow: pd.DataFrame, model: tp.GammaGammaModel) -> None:
    grouped = cdnow.groupby(["frequency", "monetary_value"]).size().rename("count").reset_index()
    np.testing.assert_allclose(tp.GammaGammaModel().fit(grouped).params_, model.params_, rtol=1e-7)


def test_a_customer_base_gives_the_same_fit() -> None:
    log = tp.load_cdnow(sample=True)
    direct = tp.GammaGammaModel().fit(tp.rfm_summary(log))
    np.testing.assert_allclose(
        tp.GammaGammaModel().fit(tp.customer_base(log)).params_, direct.params_, rtol=1e-9
    )


def test_zero_spend_is_left_out_and_counted() -> None:
    buyers = simulated(6, 4, 15, 500, seed=1)
    with_zero = pd.concat([buyers, spend([2, 3, 0], [0.0, 0.0, 0.0])], ignore_index=True)
    model = tp.GammaGammaModel().fit(with_zero)
    assert model.n_left_out_ == 2
    np.testing.assert_allclose(model.params_, tp.GammaGammaModel().fit(buyers).params_)
    assert np.isfinite(model.expected_spend(with_zero)).all()


@pytest.mark.slow
def test_recovers_the_truth_with_honest_intervals() -> None:
    truth = np.array([6.0, 4.0, 15.0])
    inside = []
    for seed in range(120):
        table = tp.GammaGammaModel().fit(simulated(6, 4, 15, 3000, seed)).summary(level=0.9)
        inside.append(((table["lower"] <= truth) & (truth <= table["upper"])).to_numpy())
    coverage = np.mean(inside, axis=0)
    assert (np.abs(coverage - 0.9) < 4 * np.sqrt(0.09 / 120)).all(), coverage


def test_an_infinite_mean_is_said(cdnow: pd.DataFrame) -> None:
    heavy = tp.GammaGammaModel.from_params([2.0, 0.9, 15.0])
    with pytest.warns(tp.InfiniteMeanWarning, match=r"q is 0\.9"):
        value = heavy.expected_spend(spend([0, 3], [0.0, 20.0]))
    assert np.isinf(value[0])
    assert np.isfinite(value[1])
    purchases = tp.BetaGeoModel().fit(cdnow)
    with pytest.raises(tp.InputError, match="the mean spend is infinite"):
        tp.customer_lifetime_value(purchases, heavy, cdnow, 39)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (spend([1, 2], [-1.0, 3.0]), "monetary_value is -1 at index 0"),
        (spend([1, 2], [float("nan"), 3.0]), "monetary_value is nan at index 0"),
        (spend([1, 2], [5.0, 5.0]), "all have monetary_value 5"),
        (spend([0, 0], [0.0, 0.0]), "0 repeat buyers"),
        (spend([1, 2], [5.0, 5.0]).drop(columns="frequency"), "no column 'frequency'"),
    ],
)
def test_bad_input_is_named(frame: pd.DataFrame, message: str) -> None:
    with pytest.raises(tp.InputError, match=message):
        tp.GammaGammaModel().fit(frame)


def test_lifetime_value_is_margin_times_spend_times_purchases(
    cdnow: pd.DataFrame, model: tp.GammaGammaModel
) -> None:
    purchases = tp.ModifiedBetaGeoModel().fit(cdnow)
    value = tp.customer_lifetime_value(
        purchases, model, cdnow, horizon=39, discount_rate=0.15, margin=0.3
    )
    product = (
        0.3 * model.expected_spend(cdnow) * purchases.discounted_expected_purchases(cdnow, 0.15, 39)
    )
    np.testing.assert_allclose(value, product, rtol=1e-9)
    undiscounted = tp.customer_lifetime_value(
        purchases, model, cdnow, 39, discount_rate=0, margin=0.3
    )
    assert (undiscounted >= value).all()
    whole = tp.customer_lifetime_value(purchases, model, cdnow, None, discount_rate=0.15)
    assert (whole > value).all()


def test_discounting_is_a_sum_over_time(cdnow: pd.DataFrame) -> None:
    """Weekly slices of the undiscounted expectation, each discounted at its middle."""
    purchases = tp.ModifiedBetaGeoModel().fit(cdnow)
    row = cdnow.iloc[[0]]
    cumulative = [purchases.expected_purchases(row, t).iloc[0] for t in np.arange(0, 39.25, 0.25)]
    middle = np.arange(0.125, 39, 0.25)
    yearly = 365.25 / 7
    total = (np.diff(cumulative) * 1.15 ** (-middle / yearly)).sum()
    assert purchases.discounted_expected_purchases(row, 0.15, 39).iloc[0] == pytest.approx(
        total, rel=1e-6
    )


def test_value_has_an_interval(cdnow: pd.DataFrame, model: tp.GammaGammaModel) -> None:
    purchases = tp.ModifiedBetaGeoModel().fit(cdnow)
    some = cdnow.iloc[:40]
    frame = tp.customer_lifetime_value(purchases, model, some, 39, interval=0.9)
    np.testing.assert_allclose(
        frame["estimate"], tp.customer_lifetime_value(purchases, model, some, 39)
    )
    assert (frame["lower"] < frame["estimate"]).all()
    assert (frame["estimate"] < frame["upper"]).all()
    # Both models' doubt is in it: wider than with the spend known.
    number = purchases.discounted_expected_purchases(some, 0.1, 39, interval=0.9)
    mean = model.expected_spend(some)
    with_spend_known = (number["upper"] - number["lower"]) * mean
    assert ((frame["upper"] - frame["lower"]) / with_spend_known).median() > 1.03


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"margin": 0}, "margin is 0; it must be > 0"),
        ({"discount_rate": -0.1}, "discount_rate is -0.1; it must be >= 0"),
        ({"horizon": -1}, "horizon is -1"),
    ],
)
def test_bad_values_are_named(
    arguments: dict[str, float], message: str, cdnow: pd.DataFrame, model: tp.GammaGammaModel
) -> None:
    purchases = tp.ModifiedBetaGeoModel.from_params([0.5, 6, 0.9, 1.6], unit="W")
    with pytest.raises(tp.InputError, match=message):
        tp.customer_lifetime_value(purchases, model, cdnow, **({"horizon": 39} | arguments))


def test_the_models_of_a_value_may_not_be_swapped(
    cdnow: pd.DataFrame, model: tp.GammaGammaModel
) -> None:
    purchases = tp.ModifiedBetaGeoModel().fit(cdnow)
    with pytest.raises(tp.InputError, match="purchases is a GammaGammaModel"):
        tp.customer_lifetime_value(model, purchases, cdnow, 39)


def test_heavy_tails_are_no_runaway() -> None:
    """The mean by which money is divided may be inflated: that bounds nothing."""
    heavy = simulated(6, 1.1, 15, 3000, seed=1)
    heavy.loc[0, "monetary_value"] *= 1e9
    model = tp.GammaGammaModel().fit(heavy)
    assert model.converged_
    assert model.params_["gamma"] < 1e-5 * heavy["monetary_value"].mean()


def test_customers_that_count_nothing_are_no_customers() -> None:
    with pytest.raises(tp.InputError, match="0 repeat buyers"):
        tp.GammaGammaModel().fit(spend([1, 2], [3.0, 4.0]).assign(count=0))


def test_the_median_exists_where_the_mean_does_not() -> None:
    endless = tp.GammaGammaModel.from_params([6.0, 0.9, 15.0])
    customers = spend([0, 0, 3], [0.0, 0.0, 40.0])
    with pytest.warns(tp.InfiniteMeanWarning, match=r"infinite for 2 customers; use median_spend"):
        assert np.isinf(endless.expected_spend(customers)).tolist() == [True, True, False]
    median = endless.median_spend(customers)
    # The median of p / nu with nu ~ Gamma(p x + q, gamma + x m), drawn.
    level = np.random.default_rng(0).gamma(6 * 3 + 0.9, 1 / (15 + 3 * 40.0), 400_000)
    assert median[2] == pytest.approx(np.median(6 / level), rel=2e-3)
    level = np.random.default_rng(0).gamma(0.9, 1 / 15.0, 400_000)
    assert median[0] == median[1] == pytest.approx(np.median(6 / level), rel=5e-3)


def test_the_median_has_an_interval(model: tp.GammaGammaModel, cdnow: pd.DataFrame) -> None:
    found = model.median_spend(cdnow, interval=0.95)
    assert (found["lower"] < found["estimate"]).all()
    assert (found["estimate"] < found["upper"]).all()
    # Levels are skewed to the right.
    assert (found["estimate"] < model.expected_spend(cdnow)).all()
    draws = model.posterior(draws=400)
    mean = model.expected_spend(cdnow, draws=draws)
    np.testing.assert_allclose(mean, model.expected_spend(cdnow), rtol=0.1)


def test_correlated_spend_is_warned_about() -> None:
    drawn = simulated(6, 4, 15, 800, seed=3)
    model = tp.GammaGammaModel().fit(drawn)
    by_hand = np.corrcoef(drawn["frequency"], drawn["monetary_value"])[0, 1]
    assert model.spend_correlation_ == pytest.approx(by_hand)
    drawn["monetary_value"] *= drawn["frequency"]
    with pytest.warns(tp.SpendCorrelationWarning, match=r"800 repeat buyers have a correlation"):
        tp.GammaGammaModel().fit(drawn)


def test_correlation_on_cdnow(model: tp.GammaGammaModel, cdnow: pd.DataFrame) -> None:
    """Fader & Hardie find hardly any correlation among the repeat buyers of CDNOW."""
    buyers = cdnow[cdnow["frequency"] > 0]
    by_hand = np.corrcoef(buyers["frequency"], buyers["monetary_value"])[0, 1]
    assert model.spend_correlation_ == pytest.approx(by_hand)
    assert abs(by_hand) < 0.12
    alike = tp.GammaGammaModel.from_params([6.0, 3.7, 15.0]).simulate(np.full(500, 2), seed=1)
    assert tp.GammaGammaModel().fit(alike).spend_correlation_ == 0


def test_simulated_spend_is_recovered() -> None:
    truth = tp.GammaGammaModel.from_params([6.25, 3.74, 15.44])
    frequency = np.random.default_rng(5).poisson(2, 20_000)
    drawn = truth.simulate(frequency, seed=5)
    assert (drawn["monetary_value"] == 0).equals(drawn["frequency"] == 0)
    assert drawn["mean_spend"].mean() == pytest.approx(truth.mean_spend_, rel=0.03)
    model = tp.GammaGammaModel().fit(drawn)
    table = model.summary(0.999)
    assert ((table["lower"] < truth.params_) & (truth.params_ < table["upper"])).all()
    pd.testing.assert_frame_equal(drawn, truth.simulate(frequency, seed=5))


def test_conditional_mean_is_the_mean_of_those_who_spent_so_much() -> None:
    truth = tp.GammaGammaModel.from_params([6.25, 3.74, 15.44])
    drawn = truth.simulate(np.full(200_000, 3), seed=6)
    near = drawn[drawn["monetary_value"].between(49, 51)]
    expected = truth.expected_spend(near)
    error = near["mean_spend"].std() / np.sqrt(len(near))
    assert abs(near["mean_spend"].mean() - expected.mean()) < 4 * error


def test_nothing_bought_is_worth_nothing_at_an_infinite_mean(cdnow: pd.DataFrame) -> None:
    loose = tp.GammaGammaModel.from_params([3, 1.15, 10.0]).simulate(np.arange(400) % 4, seed=3)
    spend_model = tp.GammaGammaModel().fit(loose)
    purchases = tp.BetaGeoModel().fit(cdnow)
    head = cdnow.head(30)
    none = tp.customer_lifetime_value(purchases, spend_model, head, 0, interval=0.95)
    assert (none == 0).all().all()
    with pytest.warns(tp.InfiniteMeanWarning, match="at most 1 in some draws: the upper bound"):
        some = tp.customer_lifetime_value(purchases, spend_model, head, 10, interval=0.95)
    assert np.isinf(some["upper"]).any()
    assert np.isfinite(some["lower"]).all()
    with pytest.warns(tp.InfiniteMeanWarning, match="and at most 1 in some draws"):
        spend_model.expected_spend(head, interval=0.95)


def test_parameters_by_name_keep_their_names() -> None:
    params = pd.Series({"gamma": 15.0, "p": 6.0, "q": 3.7})
    assert tp.GammaGammaModel.from_params(params).params_.to_dict() == params.to_dict()
