from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.special import gammaln, hyp2f1

import touchpoint_lib as tp
from tests.lifetime.samples import histories, one, params_within
from tests.lifetime.stress import stress_rows
from tests.reference import lifetime as published
from touchpoint_lib.lifetime._pareto_likelihood import row_values
from touchpoint_lib.lifetime._rows import check_rows
from touchpoint_lib.lifetime.pareto_nbd import ParetoNBDModel

SANE = params_within((0.05, 5), (0.3, 60), (0.05, 5), (0.3, 60))


# -- published figures ---------------------------------------------------------------------------


def test_published_estimates(pareto: ParetoNBDModel) -> None:
    assert pareto.converged_
    assert pareto.n_customers_ == 2357
    np.testing.assert_allclose(pareto.params_, published.PARETO_NBD["params"], rtol=1e-6)
    np.testing.assert_allclose(
        pareto.standard_errors_, published.PARETO_NBD["standard_errors"], rtol=1e-4, atol=6e-5
    )
    assert pareto.log_likelihood_ == pytest.approx(published.PARETO_NBD["log_likelihood"], abs=6e-5)
    assert pareto.aic_ == pytest.approx(8 - 2 * pareto.log_likelihood_, rel=1e-14)


def test_forecasts(
    pareto: ParetoNBDModel, cdnow: pd.DataFrame, pareto_split: ParetoNBDModel, split: pd.DataFrame
) -> None:
    """Regression figures, computed once by an independent prototype: no paper prints them."""
    total, error = published.PARETO_FORECAST
    expected = pareto_split.expected_purchases(split, 39)
    assert pareto.expected_purchases(cdnow, 39).sum() == pytest.approx(total, abs=0.05)
    assert expected.sum() == pytest.approx(total, abs=0.05)
    assert (expected - split["holdout_frequency"]).abs().mean() == pytest.approx(error, abs=1e-4)


def test_rates_in_the_holdout(pareto_split: ParetoNBDModel, split: pd.DataFrame) -> None:
    """Regression figures, computed once by an independent prototype."""
    buys = pareto_split.probability_of_purchase(split, 39)
    bought = split["holdout_frequency"] > 0
    rates = tp.prediction_rates(bought, buys, 0.5)
    assert rates.error_rate == pytest.approx(published.PARETO_HOLDOUT["error_rate"], abs=5e-4)
    assert rates.omission_rate == pytest.approx(published.PARETO_HOLDOUT["omission_rate"], abs=5e-4)
    # The share of pairs of a buyer and another that are ranked right, ties as one half.
    ranks = buys.rank()
    pairs = bought.sum() * (~bought).sum()
    auc = (ranks[bought].sum() - bought.sum() * (bought.sum() + 1) / 2) / pairs
    assert auc == pytest.approx(published.PARETO_HOLDOUT["auc"], abs=5e-5)


def test_point_predictions(pareto: ParetoNBDModel) -> None:
    history = one(26, 30.86, 31.0)
    assert pareto.probability_alive(history)[0] == pytest.approx(0.997918, abs=1e-6)
    assert pareto.expected_purchases(history, 52)[0] == pytest.approx(25.456543, rel=1e-6)


@pytest.mark.parametrize(("week", "expected"), published.PARETO_NEW_CUSTOMER.items())
def test_new_customer(week: float, expected: float, pareto: ParetoNBDModel) -> None:
    assert pareto.expected_purchases_new_customer(week) == pytest.approx(expected, abs=6e-7)


@pytest.mark.parametrize(("x", "expected"), published.PARETO_UNDERFLOW.items())
def test_frequent_customers_do_not_underflow(x: int, expected: float) -> None:
    model = ParetoNBDModel.from_params([0.55, 10.58, 0.61, 11.67])
    assert model.expected_purchases(one(x, 200, 200), 10)[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("history", "expected"), published.PARETO_FINITE.items())
def test_long_histories_are_finite(history: tuple[float, ...], expected: float) -> None:
    model = ParetoNBDModel.from_params([0.5143, 2.8845, 0.2856, 14.1087])
    assert model.probability_alive(one(*history))[0] == pytest.approx(expected, abs=5e-7)


# -- lifetimes -----------------------------------------------------------------------------------


def lifetimes_fitter(params: Any = None) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lifetimes warns on import
        from lifetimes import ParetoNBDFitter
    fitter = ParetoNBDFitter()
    if params is not None:
        fitter.params_ = pd.Series(dict(zip(("r", "alpha", "s", "beta"), params, strict=True)))
    return fitter


def test_agrees_with_lifetimes(pareto_split: ParetoNBDModel, split: pd.DataFrame) -> None:
    rows = (split["frequency"], split["recency"], split["T"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns while it fits
        fitter = lifetimes_fitter().fit(*rows)
        theirs = fitter.params_[["r", "alpha", "s", "beta"]].to_numpy(dtype=float)
        alive = fitter.conditional_probability_alive(*rows)
        expected = fitter.conditional_expected_number_of_purchases_up_to_time(39, *rows)
    # Nelder-Mead stops earlier than Newton.
    np.testing.assert_allclose(pareto_split.params_, theirs, rtol=2e-3)
    ours = pareto_split._log_likelihood(np.log([theirs]))[0]
    assert pareto_split.log_likelihood_ >= ours
    own = -fitter._negative_log_likelihood(theirs, *rows, np.ones(len(split)), 0.0)
    assert own == pytest.approx(ours, rel=1e-10)
    same = ParetoNBDModel.from_params(theirs)
    np.testing.assert_allclose(same.probability_alive(split), alive, rtol=1e-10)
    np.testing.assert_allclose(same.expected_purchases(split, 39), expected, rtol=1e-10)


def test_where_lifetimes_is_wrong() -> None:
    params = [0.55, 10.58, 0.61, 11.67]
    fitter, model = lifetimes_fitter(params), ParetoNBDModel.from_params(params)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it overflows
        expectation = fitter.conditional_expected_number_of_purchases_up_to_time
        # A thousand purchases: NaN there. Here near the rate of 1000.55 / 210.58 a week.
        assert np.isnan(expectation(10, np.array([1000.0]), np.array([200.0]), np.array([200.0])))
        # A pole where s = 1.
        at_one = lifetimes_fitter([0.55, 10.58, 1.0, 11.67])
        with np.errstate(all="ignore"):
            theirs = at_one.conditional_expected_number_of_purchases_up_to_time(
                10, np.array([2.0]), np.array([30.0]), np.array([39.0])
            )
        assert not np.isfinite(theirs).all()
    ours = model.expected_purchases(one(1000, 200, 200), 10)[0]
    assert 0.9 < ours / (10 * 1000.55 / 210.58) < 1
    pole, near = (
        ParetoNBDModel.from_params([0.55, 10.58, s, 11.67]).expected_purchases(one(2, 30, 39), 10)
        for s in (1.0, 1.0 + 1e-9)
    )
    assert pole[0] == pytest.approx(near[0], rel=1e-8)


# -- properties ----------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(params=SANE, history=histories(), horizon=st.floats(0.1, 200))
def test_predictions_are_what_they_claim(
    params: list[float], history: pd.DataFrame, horizon: float
) -> None:
    model = ParetoNBDModel.from_params(params, unit="W")
    alive = model.probability_alive(history)[0]
    later = model.probability_alive(history, future=horizon)[0]
    buys = model.probability_of_purchase(history, horizon)[0]
    expected = model.expected_purchases(history, horizon)[0]
    discounted = model.discounted_expected_purchases(history, 0.2, horizon)[0]
    assert 0 <= later <= alive * (1 + 1e-12)
    assert alive <= 1
    # The last digit may differ from call to call, with the place of an array in memory.
    assert 0 <= buys <= min(alive, expected) * (1 + 1e-12)
    assert buys <= model.probability_of_purchase(history, 2 * horizon)[0] * (1 + 1e-12)
    assert expected <= model.expected_purchases(history, 2 * horizon)[0] * (1 + 1e-12)
    assert 0 <= discounted <= expected * (1 + 1e-12)
    assert discounted >= expected * np.exp(-np.log(1.2) * 7 / 365.25 * horizon) * (1 - 1e-9)
    # 1 - buys has lost digits where buys is near one.
    assert model.probability_of_n_purchases(history, 0, horizon)[0] == pytest.approx(
        1 - buys, rel=1e-10, abs=1e-13
    )
    r, alpha, _, _ = params
    x, recency, age = history.iloc[0]
    assert model.purchase_hazard(history)[0] == pytest.approx(
        alive * (r + x) / (alpha + age), rel=1e-12
    )
    # Silence after T is silence: the hazard ahead is that of an older customer.
    older = history.assign(T=age + horizon)
    assert model.purchase_hazard(history, horizon)[0] == pytest.approx(
        model.purchase_hazard(older)[0], rel=1e-9
    )
    silence = age - recency
    own = model.own_return_probability(history, silence, horizon)[0]
    assert own == pytest.approx(buys, rel=1e-9)


@settings(max_examples=8, deadline=None)
@given(params=SANE, history=histories(), stretch=st.floats(0.01, 1))
def test_counts_sum_to_one_and_to_the_expectation(
    params: list[float], history: pd.DataFrame, stretch: float
) -> None:
    rows = check_rows(history)
    model = ParetoNBDModel()
    # Counts fall like (t / (alpha + T + t))^n: at the longest horizon, with 65 purchases behind,
    # less than 1e-30 of them is beyond 300.
    horizon = stretch * (params[1] + history["T"][0])
    expected = model._purchases(params, rows, horizon)[0]
    numbers = np.arange(300)
    probability = np.array([model._buys_n(params, rows, int(n), horizon)[0] for n in numbers])
    assert (probability >= 0).all()
    assert probability[-1] < 1e-30
    assert probability.sum() == pytest.approx(1, abs=1e-11)
    assert probability @ numbers == pytest.approx(expected, rel=1e-10)


@settings(max_examples=40, deadline=None)
@given(params=SANE, history=histories(), level=st.floats(0.02, 0.98))
def test_gap_and_quantile_invert_the_probabilities(
    params: list[float], history: pd.DataFrame, level: float
) -> None:
    model = ParetoNBDModel.from_params(params)
    # Silence takes everybody's P(alive) from 1 to 0.
    gap = model.dormancy_gap(history, alive=level)[0]
    assert 0 < gap < np.inf
    there = history.assign(T=history["recency"] + gap)
    assert model.probability_alive(there)[0] == pytest.approx(level, rel=1e-10)
    ever = model.probability_of_purchase(history, 1e290)[0]
    assume(abs(ever - level) > 1e-9)
    wait = model.time_to_next_purchase(history, quantile=level)[0]
    assert np.isfinite(wait) == (ever > level)
    if ever > level:
        assert model.probability_of_purchase(history, wait)[0] == pytest.approx(level, rel=1e-11)
    assert model.dormancy_gap(history, alive=1)[0] == 0


@settings(max_examples=40, deadline=None)
@given(params=SANE, history=histories(), stretch=st.floats(0.1, 10))
def test_time_may_be_measured_in_any_unit(
    params: list[float], history: pd.DataFrame, stretch: float
) -> None:
    r, alpha, s, beta = params
    model = ParetoNBDModel.from_params(params)
    scaled = ParetoNBDModel.from_params([r, alpha * stretch, s, beta * stretch])
    other = history.assign(recency=history["recency"] * stretch, T=history["T"] * stretch)
    for name, args, factor in (
        ("probability_alive", (), 1),
        ("expected_purchases", (5.0,), 1),
        ("probability_of_purchase", (5.0,), 1),
        ("time_to_next_purchase", (), stretch),
        ("dormancy_gap", (), stretch),
    ):
        moved = tuple(arg * stretch for arg in args)
        np.testing.assert_allclose(
            getattr(scaled, name)(other, *moved),
            getattr(model, name)(history, *args) * factor,
            rtol=1e-9,
        )


@settings(max_examples=40, deadline=None)
@given(params=SANE, history=histories())
def test_log_likelihood_of_one_customer_from_the_paper(
    params: list[float], history: pd.DataFrame
) -> None:
    """The form of Fader & Hardie (2005) with two 2F1, written out plainly."""
    r, alpha, s, beta = params
    x, recency, age = history.iloc[0]
    high, b = (alpha, s + 1) if alpha >= beta else (beta, r + x)
    # Beyond that the series of 2F1 is slow, and its digits are few.
    assume(abs(alpha - beta) / (high + recency) <= 0.9)

    def tail(t: float) -> float:
        z = abs(alpha - beta) / (high + t)
        return hyp2f1(r + s + x, b, r + s + x + 1, z) * (high + t) ** -(r + s + x)

    shared = gammaln(r + x) - gammaln(r) + r * np.log(alpha) + s * np.log(beta)
    alive = np.exp(-(r + x) * np.log(alpha + age) - s * np.log(beta + age))
    gone = s / (r + s + x) * (tail(recency) - tail(age))
    assume(gone > 1e-290 and alive > 1e-290)
    exact = shared + np.log(alive + gone)
    assert row_values(params, check_rows(history))[0] == pytest.approx(exact, rel=1e-10, abs=1e-10)


@settings(max_examples=20, deadline=None)
@given(params=SANE)
def test_each_row_may_have_its_own_parameters(params: list[float]) -> None:
    rows, model = stress_rows(30, 9), ParetoNBDModel()
    spread = [p * np.linspace(0.5, 2, 30) for p in params]
    for kernel, args in (
        (model._alive, (3.0,)),
        (model._purchases, (3.0,)),
        (model._discounted, (0.01, None)),
        (model._buys, (3.0,)),
        (model._buys_n, (2, 3.0)),
        (model._next_purchase, (0.3,)),
        (model._dormancy, (0.5,)),
        (model._hazard, (3.0,)),
    ):
        whole = kernel(spread, rows, *args)
        for i in (0, 13, 29):
            own = [p[i] for p in spread]
            single = kernel(own, rows.part(slice(i, i + 1)), *args)[0]
            assert whole[i] == pytest.approx(single, rel=1e-11, abs=1e-300)


def test_newcomers() -> None:
    """Fader & Hardie (2005): E[X(t)] = r beta / (alpha (s - 1)) (1 - (beta/(beta + t))^(s - 1))."""
    r, alpha, s, beta = 0.55, 10.6, 0.61, 11.7
    model = ParetoNBDModel.from_params([r, alpha, s, beta])
    exact = r * beta / (alpha * (s - 1)) * (1 - (beta / (beta + 39)) ** (s - 1))
    assert model.expected_purchases_new_customer(39) == pytest.approx(exact, rel=1e-12)
    counts = [model.probability_of_n_purchases_new_customer(n, 39) for n in range(300)]
    assert sum(counts) == pytest.approx(1, abs=1e-12)
    assert np.dot(counts, range(300)) == pytest.approx(exact, rel=1e-11)


def test_tables_and_rows_predict_the_same(
    pareto_split: ParetoNBDModel, split: pd.DataFrame
) -> None:
    off_grid = split.assign(T=split["T"] + 1e-5 * np.arange(len(split)) / len(split))
    for name, args in (
        ("probability_alive", (0,)),
        ("probability_alive", (20,)),
        ("expected_purchases", (39,)),
    ):
        whole = getattr(pareto_split, name)(split, *args)
        single = pd.concat(
            [getattr(pareto_split, name)(split.iloc[[i]], *args) for i in range(0, 2357, 61)]
        )
        np.testing.assert_allclose(single, whole.reindex(single.index), rtol=1e-11)
        # A hair off the grid the rows are taken one by one.
        np.testing.assert_allclose(getattr(pareto_split, name)(off_grid, *args), whole, rtol=1e-5)
    shuffled = split.sample(frac=1, random_state=3)
    for name, args in (
        ("probability_of_purchase", (39,)),
        ("own_return_probability", (3.0, 39)),
        ("dormancy_gap", (0.4,)),
    ):
        pd.testing.assert_series_equal(
            getattr(pareto_split, name)(shuffled, *args).reindex(split.index),
            getattr(pareto_split, name)(split, *args),
            rtol=1e-12,
        )


def test_dormancy_takes_one_level_a_customer(
    pareto_split: ParetoNBDModel, split: pd.DataFrame
) -> None:
    levels = np.linspace(0.05, 1, len(split))
    gaps = pareto_split.dormancy_gap(split, alive=levels)
    for i in (0, 700, 1500, 2356):
        single = pareto_split.dormancy_gap(split.iloc[[i]], alive=float(levels[i])).iloc[0]
        assert gaps.iloc[i] == pytest.approx(single, rel=1e-11)
    assert gaps.iloc[-1] == 0
