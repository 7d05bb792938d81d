from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betaln, gammaln

import touchpoint_lib as tp
from tests.reference import lifetime as published

MODELS = [tp.BetaGeoModel, tp.ModifiedBetaGeoModel]
both = pytest.mark.parametrize("model_type", MODELS)


@pytest.fixture(scope="module")
def cdnow() -> pd.DataFrame:
    return published.cdnow_summary()


@pytest.fixture(scope="module")
def split() -> pd.DataFrame:
    return tp.rfm_split(tp.load_cdnow(sample=True), split="1997-09-30", until="1998-06-30")


@pytest.fixture(scope="module")
def fitted(cdnow: pd.DataFrame) -> dict[type, Any]:
    return {model_type: model_type().fit(cdnow) for model_type in MODELS}


def one(x: float, recency: float, age: float) -> pd.DataFrame:
    return pd.DataFrame({"frequency": [x], "recency": [recency], "T": [age]})


def sane_params() -> st.SearchStrategy[list[float]]:
    return st.tuples(
        st.floats(0.05, 5), st.floats(0.3, 60), st.floats(0.05, 8), st.floats(0.2, 15)
    ).map(list)


@st.composite
def histories(draw: st.DrawFn) -> pd.DataFrame:
    age = draw(st.floats(1, 150))
    x = draw(st.integers(0, 60))
    recency = age * draw(st.floats(0.05, 1)) if x else 0.0
    return one(x, recency, age)


# -- published figures ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model_type", "figures"),
    [(tp.BetaGeoModel, published.BG_NBD), (tp.ModifiedBetaGeoModel, published.MBG_NBD)],
)
def test_published_estimates(
    model_type: type, figures: dict[str, Any], fitted: dict[type, Any]
) -> None:
    model = fitted[model_type]
    assert model.converged_
    assert model.n_customers_ == 2357
    np.testing.assert_allclose(model.params_, figures["params"], atol=1e-6, rtol=0)
    np.testing.assert_allclose(
        model.standard_errors_, figures["standard_errors"], atol=6e-5, rtol=0
    )
    assert model.log_likelihood_ == pytest.approx(figures["log_likelihood"], abs=6e-5)
    assert model.aic_ == pytest.approx(8 - 2 * model.log_likelihood_)
    assert model.bic_ == pytest.approx(4 * np.log(2357) - 2 * model.log_likelihood_)


@both
def test_published_forecasts(model_type: type, fitted: dict[type, Any], split: Any) -> None:
    total, error = published.FORECAST[model_type.__name__]
    model = model_type().fit(split)
    expected = model.expected_purchases(split, 39)
    assert split["frequency"].sum() == 2457
    assert split["holdout_frequency"].sum() == 1882
    # The published totals are of the estimates on the summary rounded to two decimals.
    assert fitted[model_type].expected_purchases(published.cdnow_summary(), 39).sum() == (
        pytest.approx(total, abs=0.05)
    )
    assert expected.sum() == pytest.approx(total, rel=1e-3)
    assert (expected - split["holdout_frequency"]).abs().mean() == pytest.approx(error, abs=1e-4)


def test_point_predictions(fitted: dict[type, Any]) -> None:
    history = one(2, 30.43, 38.86)
    bg, mbg = fitted[tp.BetaGeoModel], fitted[tp.ModifiedBetaGeoModel]
    assert bg.expected_purchases(history, 39)[0] == pytest.approx(1.2259, abs=5e-5)
    assert bg.probability_alive(history)[0] == pytest.approx(0.726609, abs=1e-6)
    assert mbg.expected_purchases(history, 39)[0] == pytest.approx(1.262671, abs=1e-6)
    assert mbg.probability_alive(history)[0] == pytest.approx(0.706126, abs=1e-6)
    assert mbg.probability_alive(one(0, 0, 38.86))[0] == pytest.approx(0.389716, abs=1e-6)


@pytest.mark.parametrize(("week", "expected"), published.NEW_CUSTOMER.items())
def test_new_customer(week: float, expected: float, fitted: dict[type, Any]) -> None:
    value = fitted[tp.BetaGeoModel].expected_purchases_new_customer(week)
    assert value == pytest.approx(expected, abs=5.1e-5)


def test_probability_of_no_purchase_of_a_new_customer() -> None:
    model = tp.BetaGeoModel.from_params([0.243, 4.414, 0.793, 2.426])
    assert model.probability_of_n_purchases_new_customer(0, 39) == pytest.approx(
        0.5737864, abs=1e-7
    )


def test_tracking(fitted: dict[type, Any], split: pd.DataFrame) -> None:
    """Cumulative repeat purchases in weeks 20-22 of 1997, as the R package BTYD prints them."""
    log = tp.load_cdnow(sample=True)
    purchase_days = log[["customer_id", "date"]].drop_duplicates()
    repeats = purchase_days[purchase_days["customer_id"].duplicated()]
    born = (pd.Timestamp("1997-09-30") - pd.Timestamp("1997-01-01")).days / 7 - split["T"]
    for week, (actual, expected) in published.TRACKING.items():
        end = pd.Timestamp("1997-01-01") + pd.Timedelta(days=7 * week)
        assert (repeats["date"] < end).sum() == pytest.approx(actual, abs=6)
        ages = (week - born).clip(lower=0)
        counts = ages.round(4).value_counts()
        total = sum(
            n * fitted[tp.BetaGeoModel].expected_purchases_new_customer(age)
            for age, n in counts.items()
        )
        assert total == pytest.approx(expected, abs=6)


# -- the oracle ----------------------------------------------------------------------------------


@both
def test_agrees_with_lifetimes(model_type: type, split: pd.DataFrame) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lifetimes warns on import and while it fits
        import lifetimes

        name = {"BetaGeoModel": "BetaGeoFitter", "ModifiedBetaGeoModel": "ModifiedBetaGeoFitter"}
        fitter = getattr(lifetimes, name[model_type.__name__])().fit(
            split["frequency"], split["recency"], split["T"]
        )
        theirs = [fitter.params_[key] for key in ("r", "alpha", "a", "b")]
        rows = (split["frequency"], split["recency"], split["T"])
        alive = fitter.conditional_probability_alive(*rows)
        expected = fitter.conditional_expected_number_of_purchases_up_to_time(39, *rows)
    model = model_type().fit(split)
    np.testing.assert_allclose(model.params_, theirs, rtol=2e-4)
    # No optimum of theirs may be better than ours.
    assert model.log_likelihood_ >= model._log_likelihood(np.log(theirs)) - 1e-9
    same = tp.from_lifetimes(fitter, unit="W")
    np.testing.assert_allclose(same.probability_alive(split), alive, rtol=1e-6)
    np.testing.assert_allclose(same.expected_purchases(split, 39), expected, rtol=1e-6)


@both
@settings(max_examples=40, deadline=None)
@given(params=sane_params(), history=histories())
def test_log_likelihood_of_one_customer_from_the_paper(
    model_type: type, params: list[float], history: pd.DataFrame
) -> None:
    """The two-branch likelihood written out plainly for one customer."""
    r, alpha, a, b = params
    x, recency, age = history.iloc[0]
    m = 1 if model_type is tp.ModifiedBetaGeoModel else 0
    start = gammaln(r + x) - gammaln(r) + r * np.log(alpha) - betaln(a, b)
    alive = start + betaln(a, b + x + m) - (r + x) * np.log(alpha + age)
    gone = start + betaln(a + 1, b + x + m - 1) - (r + x) * np.log(alpha + recency)
    exact = np.logaddexp(alive, gone) if x + m > 0 else alive
    # Another customer with a repeat, so that a fit is possible; the sum is taken apart below.
    other = one(1, 1.0, 2.0)
    pair = pd.concat([history, other], ignore_index=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tp.ConvergenceWarning)  # two customers bound nothing
        both_, single = model_type().fit(pair), model_type().fit(other)
    theta = np.log(params)
    ours = both_._log_likelihood(theta) - single._log_likelihood(theta)
    assert ours == pytest.approx(exact, rel=1e-8, abs=1e-8)


# -- properties ----------------------------------------------------------------------------------


@both
@settings(max_examples=60, deadline=None)
@given(params=sane_params(), history=histories(), horizon=st.floats(0.1, 200))
def test_predictions_are_what_they_claim(
    model_type: type, params: list[float], history: pd.DataFrame, horizon: float
) -> None:
    model = model_type.from_params(params, unit="W")
    alive = model.probability_alive(history)[0]
    later = model.probability_alive(history, future=horizon)[0]
    buys = model.probability_of_purchase(history, horizon)[0]
    expected = model.expected_purchases(history, horizon)[0]
    discounted = model.discounted_expected_purchases(history, 0.2, horizon)[0]
    assert 0 <= later <= alive <= 1
    assert 0 <= buys <= min(alive, expected + 1e-12)
    assert 0 <= discounted <= expected * (1 + 1e-12)
    assert discounted >= expected * np.exp(-np.log(1.2) * 7 / 365.25 * horizon) * (1 - 1e-9)
    assert model.probability_of_n_purchases(history, 0, horizon)[0] == pytest.approx(1 - buys)


@both
@settings(max_examples=10, deadline=None)
@given(params=sane_params(), history=histories(), horizon=st.floats(0.1, 20))
def test_counts_sum_to_one_and_to_the_expectation(
    model_type: type, params: list[float], history: pd.DataFrame, horizon: float
) -> None:
    model = model_type.from_params(params)
    expected = model.expected_purchases(history, horizon)[0]
    # Far out in the tail what is left is at most (expected / n) by Markov's inequality.
    numbers = np.arange(0, 400)
    probability = np.array(
        [model.probability_of_n_purchases(history, int(n), horizon)[0] for n in numbers]
    )
    assert (probability >= 0).all()
    assert probability.sum() <= 1 + 1e-9
    if probability[-1] < 1e-12:
        assert probability.sum() == pytest.approx(1, abs=1e-6)
        assert probability @ numbers == pytest.approx(expected, rel=1e-5, abs=1e-9)


@both
@settings(max_examples=40, deadline=None)
@given(params=sane_params(), history=histories(), stretch=st.floats(0.1, 10))
def test_time_may_be_measured_in_any_unit(
    model_type: type, params: list[float], history: pd.DataFrame, stretch: float
) -> None:
    model = model_type.from_params(params)
    r, alpha, a, b = params
    scaled = model_type.from_params([r, alpha * stretch, a, b])
    other = history.assign(recency=history["recency"] * stretch, T=history["T"] * stretch)
    for name, args, times in (
        ("probability_alive", (), 1),
        ("expected_purchases", (5.0,), 1),
        ("probability_of_purchase", (5.0,), 1),
        ("time_to_next_purchase", (), stretch),
        ("dormancy_gap", (), stretch),
    ):
        moved = tuple(arg * stretch for arg in args)
        np.testing.assert_allclose(
            getattr(scaled, name)(other, *moved),
            getattr(model, name)(history, *args) * times,
            rtol=1e-9,
        )


@both
@settings(max_examples=40, deadline=None)
@given(params=sane_params(), history=histories(), level=st.floats(0.02, 0.98))
def test_gap_and_quantile_invert_the_probabilities(
    model_type: type, params: list[float], history: pd.DataFrame, level: float
) -> None:
    model = model_type.from_params(params)
    gap = model.dormancy_gap(history, alive=level)[0]
    on_the_day = model.probability_alive(history.assign(T=history["recency"]))[0]
    if gap == 0:
        assert on_the_day <= level + 1e-12
    elif np.isfinite(gap) and gap < 1e9:
        there = history.assign(T=history["recency"] + gap)
        assert model.probability_alive(there)[0] == pytest.approx(level, abs=1e-7)
    wait = model.time_to_next_purchase(history, quantile=level)[0]
    if np.isinf(wait):
        assert model.probability_of_purchase(history, 1e9)[0] <= level + 1e-9 or (
            model.probability_alive(history)[0] > level  # the power overflowed: a wait beyond 1e308
        )
    elif wait < 1e9:
        assert model.probability_of_purchase(history, wait)[0] == pytest.approx(level, abs=1e-7)


@both
@settings(max_examples=40, deadline=None)
@given(params=sane_params(), history=histories(), silence=st.floats(0, 100))
def test_own_return_is_the_probability_of_purchase_after_the_silence(
    model_type: type, params: list[float], history: pd.DataFrame, silence: float
) -> None:
    r, alpha, a, b = params
    model = model_type.from_params(params)
    own = model.own_return_probability(history, silence, 8.0)[0]
    x, recency = history.loc[0, ["frequency", "recency"]]
    m = 1 if model_type is tp.ModifiedBetaGeoModel else 0
    passed = (alpha + recency + silence) / (alpha + recency)
    odds = a / (b + x + m - 1) * passed ** (r + x) if x + m else 0.0
    returns = 1 - ((alpha + recency + silence) / (alpha + recency + silence + 8)) ** (r + x)
    assert own == pytest.approx(returns / (1 + odds), rel=1e-9)


@both
def test_longer_silence_never_raises_p_alive(model_type: type, fitted: dict[type, Any]) -> None:
    recency = np.linspace(0.5, 38, 60)
    rows = pd.DataFrame({"frequency": 3, "recency": recency, "T": 38.86})
    assert fitted[model_type].probability_alive(rows).is_monotonic_increasing


@both
def test_compression_and_order_change_nothing(model_type: type, split: pd.DataFrame) -> None:
    shuffled = split.sample(frac=1, random_state=3)
    counted = split.groupby(["frequency", "recency", "T"]).size().rename("count").reset_index()
    counted.attrs["unit"] = "W"
    model = model_type().fit(split)
    for other in (
        shuffled,
        counted,
        tp.customer_base(
            tp.load_cdnow(sample=True).query("date <= '1997-09-30'"), until="1997-09-30"
        ),
    ):
        again = model_type().fit(other)
        np.testing.assert_allclose(again.params_, model.params_, rtol=1e-9)
        assert again.log_likelihood_ == pytest.approx(model.log_likelihood_, rel=1e-12)
        assert again.n_customers_ == model.n_customers_
    whole = model.expected_purchases(split, 39)
    pd.testing.assert_series_equal(
        model.expected_purchases(shuffled, 39).reindex(split.index), whole, rtol=1e-12
    )
    single = pd.concat([model.expected_purchases(split.iloc[[i]], 39) for i in range(0, 2357, 97)])
    np.testing.assert_allclose(single, whole.reindex(single.index), rtol=1e-10)


@both
def test_off_the_day_grid_the_fit_is_the_same(model_type: type, split: pd.DataFrame) -> None:
    # A factor that is no ratio of small integers takes every time off the grid.
    stretched = split.assign(recency=split["recency"] * np.pi, T=split["T"] * np.pi)
    stretched.attrs = {}
    model, other = model_type().fit(split), model_type().fit(stretched)
    np.testing.assert_allclose(other.params_, model.params_ * np.array([1, np.pi, 1, 1]), rtol=1e-8)
    assert other.log_likelihood_ == pytest.approx(
        model.log_likelihood_ - split["frequency"].sum() * np.log(np.pi), rel=1e-10
    )


# -- derivatives and errors ----------------------------------------------------------------------


@both
def test_derivatives_equal_finite_differences(model_type: type, split: pd.DataFrame) -> None:
    from touchpoint_lib.lifetime._rows import check_rows, group
    from touchpoint_lib.lifetime.beta_geo import _Likelihood

    likelihood = _Likelihood(group(check_rows(split)), 30.0, model_type._chance_at_first)
    theta = np.log([0.4, 0.2, 0.9, 2.0])
    _, gradient, hessian = likelihood.derivatives(theta)
    for i in range(4):
        step = np.zeros(4)
        step[i] = 1e-5
        up, down = likelihood.derivatives(theta + step), likelihood.derivatives(theta - step)
        assert gradient[i] == pytest.approx((up[0] - down[0]) / 2e-5, abs=1e-7)
        np.testing.assert_allclose(hessian[i], (up[1] - down[1]) / 2e-5, atol=1e-6)


@both
@pytest.mark.slow
def test_bootstrap_confirms_the_standard_errors(model_type: type, split: pd.DataFrame) -> None:
    model = model_type().fit(split)
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
@pytest.mark.slow
def test_recovers_the_truth_with_honest_intervals(model_type: type) -> None:
    truth = np.array([0.6, 7.0, 0.8, 2.0])
    source = model_type.from_params(truth, unit="W")
    inside = []
    for seed in range(120):
        customers = source.simulate(4000, T=np.linspace(20, 52, 4000), seed=seed)
        table = model_type().fit(customers).summary(level=0.9)
        inside.append(((table["lower"] <= truth) & (truth <= table["upper"])).to_numpy())
    coverage = np.mean(inside, axis=0)
    # 120 draws of a 90 % interval: within 4 standard errors.
    assert (np.abs(coverage - 0.9) < 4 * np.sqrt(0.09 / 120)).all(), coverage


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
    assert (customers["frequency"] == 0).mean() == pytest.approx(
        model.probability_of_n_purchases_new_customer(0, 40.0), abs=0.01
    )
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
    ],
)
def test_every_prediction_has_an_interval_around_it(
    model_type: type, name: str, args: tuple[float, ...], split: pd.DataFrame
) -> None:
    model = model_type().fit(split)
    some = split.iloc[::50]
    point = getattr(model, name)(some, *args)
    frame = getattr(model, name)(some, *args, interval=0.95)
    np.testing.assert_allclose(frame["estimate"], point, rtol=1e-10)
    assert frame.index.equals(some.index)
    # Monotone quantiles of draws around the estimate; equal where the model leaves no doubt.
    assert (frame["lower"] <= frame["upper"]).all()
    inside = (frame["lower"] <= frame["estimate"]) & (frame["estimate"] <= frame["upper"])
    assert inside.mean() > 0.99
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
    assert draws["weight"].sum() == pytest.approx(1)
    assert draws.attrs["effective_size"] > 2800
    logs = np.log(draws[["r", "alpha"]])
    mean = (logs.mul(draws["weight"], axis=0)).sum()
    spread = np.sqrt((((logs - mean) ** 2).mul(draws["weight"], axis=0)).sum())
    expected = np.sqrt(np.diag(model.log_covariance_))[:2]
    np.testing.assert_allclose(spread, expected, rtol=0.1)
    np.testing.assert_allclose(mean, np.log(model.params_[["r", "alpha"]]), atol=3 * expected.max())
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
    with pytest.raises(tp.InputError, match='unit is "W", but the customers were summarised'):
        tp.BetaGeoModel().fit(days, unit="W")


def test_copies_of_every_customer_change_the_counts_alone() -> None:
    rows = published.cdnow_summary()
    copies = pd.concat([rows] * 20, ignore_index=True)
    small, big = tp.BetaGeoModel().fit(rows), tp.BetaGeoModel().fit(copies)
    np.testing.assert_allclose(big.params_, small.params_, rtol=1e-8)
    np.testing.assert_allclose(
        big.standard_errors_, small.standard_errors_ / np.sqrt(20), rtol=1e-6
    )
    assert big.log_likelihood_ == pytest.approx(20 * small.log_likelihood_)
