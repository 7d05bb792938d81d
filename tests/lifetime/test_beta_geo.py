from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.special import betaln, gammaln

import touchpoint_lib as tp
from tests.lifetime.samples import both, histories, one, params_within
from tests.reference import lifetime as published
from touchpoint_lib.lifetime._rows import check_rows

SANE = params_within((0.05, 5), (0.3, 60), (0.05, 8), (0.2, 15))


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
    assert model.aic_ == pytest.approx(8 - 2 * model.log_likelihood_, rel=1e-14)
    assert model.bic_ == pytest.approx(4 * np.log(2357) - 2 * model.log_likelihood_, rel=1e-14)


@both
def test_forecasts(
    model_type: type,
    fitted: dict[type, Any],
    fitted_split: dict[type, Any],
    cdnow: pd.DataFrame,
    split: pd.DataFrame,
) -> None:
    """Regression figures, computed once by an independent prototype: no paper prints them."""
    total, error = published.FORECAST[model_type.__name__]
    model = fitted_split[model_type]
    expected = model.expected_purchases(split, 39)
    assert split["frequency"].sum() == 2457
    assert split["holdout_frequency"].sum() == 1882
    # The totals are of the estimates on the summary rounded to two decimals.
    assert fitted[model_type].expected_purchases(cdnow, 39).sum() == (
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
    """Regression figures: E[X(t)] of a new customer at the fit, of four printed digits."""
    value = fitted[tp.BetaGeoModel].expected_purchases_new_customer(week)
    assert value == pytest.approx(expected, abs=5.1e-5)


def test_probability_of_no_purchase_of_a_new_customer() -> None:
    """A regression figure, and what it is: nobody buys by t with (alpha / (alpha + t))^r."""
    model = tp.BetaGeoModel.from_params([0.243, 4.414, 0.793, 2.426])
    assert model.probability_of_n_purchases_new_customer(0, 39) == pytest.approx(
        0.5737864, abs=6e-8
    )
    assert model.probability_of_n_purchases_new_customer(0, 39) == pytest.approx(
        (4.414 / 43.414) ** 0.243, rel=1e-13
    )


def test_tracking(fitted: dict[type, Any], split: pd.DataFrame) -> None:
    """Cumulative repeat purchases in weeks 20-22 of 1997, as the R package BTYD prints them.

    Its counts are exact; its expectations are those of other estimates.
    """
    log = tp.load_cdnow(sample=True)
    purchase_days = log[["customer_id", "date"]].drop_duplicates()
    repeats = purchase_days[purchase_days["customer_id"].duplicated()]
    born = (pd.Timestamp("1997-09-30") - pd.Timestamp("1997-01-01")).days / 7 - split["T"]
    for week, (actual, expected) in published.TRACKING.items():
        end = pd.Timestamp("1997-01-01") + pd.Timedelta(days=7 * week)
        assert (repeats["date"] < end).sum() == actual
        ages = (week - born).clip(lower=0)
        counts = ages.round(4).value_counts()
        total = sum(
            n * fitted[tp.BetaGeoModel].expected_purchases_new_customer(age)
            for age, n in counts.items()
        )
        assert total == pytest.approx(expected, rel=0.003)


# -- the oracle ----------------------------------------------------------------------------------


@both
def test_agrees_with_lifetimes(
    model_type: type, fitted_split: dict[type, Any], split: pd.DataFrame
) -> None:
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
    model = fitted_split[model_type]
    np.testing.assert_allclose(model.params_, theirs, rtol=2e-4)
    # No optimum of theirs may be better than ours.
    assert model.log_likelihood_ >= model._log_likelihood(np.log([theirs]))[0] - 1e-9
    same = tp.from_lifetimes(fitter, unit="W")
    np.testing.assert_allclose(same.probability_alive(split), alive, rtol=1e-11)
    np.testing.assert_allclose(same.expected_purchases(split, 39), expected, rtol=1e-11)


@both
@settings(max_examples=40, deadline=None)
@given(params=SANE, history=histories())
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
    ours = (both_._log_likelihood(theta[None]) - single._log_likelihood(theta[None]))[0]
    assert ours == pytest.approx(exact, rel=1e-12, abs=1e-12)


# -- properties ----------------------------------------------------------------------------------


@both
@settings(max_examples=60, deadline=None)
@given(
    params=SANE,
    history=histories(),
    horizon=st.floats(0.1, 200),
    k=st.sampled_from([1, 1, 2, 3, 7]),
)
def test_predictions_are_what_they_claim(
    model_type: type, params: list[float], history: pd.DataFrame, horizon: float, k: int
) -> None:
    model = model_type.from_params(params, unit="W", regularity=k)
    alive = model.probability_alive(history)[0]
    later = model.probability_alive(history, future=horizon)[0]
    buys = model.probability_of_purchase(history, horizon)[0]
    expected = model.expected_purchases(history, horizon)[0]
    discounted = model.discounted_expected_purchases(history, 0.2, horizon)[0]
    assert 0 <= later <= alive * (1 + 1e-12)
    assert alive <= 1
    # The last digit may differ from call to call, with the place of an array in memory.
    assert 0 <= buys <= min(alive, expected) * (1 + 1e-12)
    assert 0 <= discounted <= expected * (1 + 1e-12)
    assert discounted >= expected * np.exp(-np.log(1.2) * 7 / 365.25 * horizon) * (1 - 1e-9)
    assert model.probability_of_n_purchases(history, 0, horizon)[0] == pytest.approx(
        1 - buys, rel=1e-10, abs=1e-13
    )


@both
@settings(max_examples=10, deadline=None)
@given(params=SANE, history=histories(), stretch=st.floats(0.01, 1))
def test_counts_sum_to_one_and_to_the_expectation(
    model_type: type, params: list[float], history: pd.DataFrame, stretch: float
) -> None:
    model, rows = model_type.from_params(params), check_rows(history)
    # Counts fall like (t / (alpha + T + t))^n: at the longest horizon, with 65 purchases behind,
    # less than 1e-30 of them is beyond 300.
    horizon = stretch * (params[1] + history["T"][0])
    numbers = np.arange(300)
    probability = np.array([model._buys_n(params, rows, int(n), horizon)[0] for n in numbers])
    assert (probability >= 0).all()
    assert probability[-1] < 1e-30
    assert probability.sum() == pytest.approx(1, abs=1e-12)
    expected = model.expected_purchases(history, horizon)[0]
    assert probability @ numbers == pytest.approx(expected, rel=1e-11)


@both
@settings(max_examples=40, deadline=None)
@given(
    params=SANE,
    history=histories(),
    stretch=st.floats(0.1, 10),
    k=st.sampled_from([1, 1, 2, 3, 7]),
)
def test_time_may_be_measured_in_any_unit(
    model_type: type, params: list[float], history: pd.DataFrame, stretch: float, k: int
) -> None:
    model = model_type.from_params(params, regularity=k)
    r, alpha, a, b = params
    scaled = model_type.from_params([r, alpha * stretch, a, b], regularity=k)
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
@given(params=SANE, history=histories(), level=st.floats(0.02, 0.98))
def test_gap_and_quantile_invert_the_probabilities(
    model_type: type, params: list[float], history: pd.DataFrame, level: float
) -> None:
    model = model_type.from_params(params)
    # Who is alive buys some day: the wait ends exactly where P(alive) is above the level.
    alive = model.probability_alive(history)[0]
    assume(abs(alive - level) > 1e-9)
    wait = model.time_to_next_purchase(history, quantile=level)[0]
    assert model.probability_of_purchase(history, 1e300)[0] == pytest.approx(alive, rel=1e-11)
    assert np.isfinite(wait) == (alive > level)
    if alive > level:
        assert model.probability_of_purchase(history, wait)[0] == pytest.approx(level, rel=1e-11)
    on_the_day = model.probability_alive(history.assign(T=history["recency"]))[0]
    assume(abs(on_the_day - level) > 1e-9)
    gap = model.dormancy_gap(history, alive=level)[0]
    assert (gap == 0) == (on_the_day <= level)
    # Under BG/NBD nobody leaves before the first repeat purchase.
    never = model_type is tp.BetaGeoModel and history["frequency"][0] == 0
    assert np.isinf(gap) == never
    if gap > 0 and not never:
        there = history.assign(T=history["recency"] + gap)
        assert model.probability_alive(there)[0] == pytest.approx(level, rel=1e-11)


@both
@settings(max_examples=40, deadline=None)
@given(params=SANE, history=histories(), silence=st.floats(0, 100))
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
def test_compression_and_order_change_nothing(
    model_type: type, fitted_split: dict[type, Any], split: pd.DataFrame
) -> None:
    shuffled = split.sample(frac=1, random_state=3)
    counted = split.groupby(["frequency", "recency", "T"]).size().rename("count").reset_index()
    counted.attrs["unit"] = "W"
    model = fitted_split[model_type]
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
def test_off_the_day_grid_the_fit_is_the_same(
    model_type: type, fitted_split: dict[type, Any], split: pd.DataFrame
) -> None:
    # A factor that is no ratio of small integers takes every time off the grid.
    stretched = split.assign(recency=split["recency"] * np.pi, T=split["T"] * np.pi)
    stretched.attrs = {}
    model, other = fitted_split[model_type], model_type().fit(stretched)
    np.testing.assert_allclose(other.params_, model.params_ * np.array([1, np.pi, 1, 1]), rtol=1e-8)
    assert other.log_likelihood_ == pytest.approx(
        model.log_likelihood_ - split["frequency"].sum() * np.log(np.pi), rel=1e-10
    )
