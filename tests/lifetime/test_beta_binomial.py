from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import mpmath as mp
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import comb

from tests.lifetime.beta_binomial_oracle import Enumeration, Exact
from tests.lifetime.samples import one, params_within
from tests.reference import lifetime as published
from touchpoint_lib.lifetime._beta_binomial_likelihood import Likelihood
from touchpoint_lib.lifetime._rows import Rows, check_rows
from touchpoint_lib.lifetime.beta_binomial import BetaGeoBetaBinomModel

SANE = params_within(*[(0.05, 20)] * 4)


@st.composite
def whole_histories(draw: st.DrawFn) -> pd.DataFrame:
    """One customer with up to 400 opportunities, with at most one purchase at each."""
    age = draw(st.integers(1, 400))
    recency = draw(st.integers(0, age))
    return one(draw(st.integers(1, recency)) if recency else 0, recency, age)


# -- published figures ---------------------------------------------------------------------------


def test_published_estimates(bg_bb: BetaGeoBetaBinomModel) -> None:
    assert bg_bb.converged_
    assert bg_bb.n_customers_ == 11_104
    assert bg_bb.unit_ == "Y"
    np.testing.assert_allclose(bg_bb.params_, published.BG_BB["params"], atol=6e-7, rtol=0)
    np.testing.assert_allclose(
        bg_bb.standard_errors_, published.BG_BB["standard_errors"], atol=6e-5, rtol=0
    )
    assert bg_bb.log_likelihood_ == pytest.approx(published.BG_BB["log_likelihood"], abs=6e-5)


def test_the_gradient_vanishes_at_the_optimum(
    bg_bb: BetaGeoBetaBinomModel, donors: pd.DataFrame
) -> None:
    theta = np.log(bg_bb.params_.to_numpy())
    value, gradient, _ = Likelihood(check_rows(donors)).derivatives(theta)
    assert np.abs(gradient).max() < 1e-7
    assert -value * 11_104 == pytest.approx(bg_bb.log_likelihood_, rel=1e-13)


def test_one_row_a_customer_is_the_same_fit(
    bg_bb: BetaGeoBetaBinomModel, donors: pd.DataFrame
) -> None:
    single = donors.loc[donors.index.repeat(donors["count"])].drop(columns="count")
    other = BetaGeoBetaBinomModel().fit(single.sample(frac=1, random_state=1))
    np.testing.assert_allclose(other.params_, bg_bb.params_, rtol=1e-9)
    assert other.log_likelihood_ == pytest.approx(bg_bb.log_likelihood_, rel=1e-12)
    many = bg_bb.expected_purchases(single, 5)
    few = bg_bb.expected_purchases(donors, 5)
    np.testing.assert_allclose(many.groupby(level=0).mean(), few, rtol=1e-13)
    assert many.index.equals(single.index)


# -- every history there can be ------------------------------------------------------------------


@pytest.mark.parametrize(
    "params", [[1.2, 0.75, 0.66, 2.8], [0.3, 2.0, 1.0, 4.0], [5.0, 1.5, 3.2, 0.4]]
)
@pytest.mark.parametrize("history", [(0, 0, 4), (1, 1, 4), (2, 3, 4), (3, 4, 4), (0, 0, 0)])
def test_predictions_equal_the_enumeration(
    params: list[float], history: tuple[int, int, int]
) -> None:
    x, recency, age = history
    ahead = 4
    every = Enumeration(params, age + ahead + 1)
    assert sum(p for _, _, p in every.table) == pytest.approx(1, rel=1e-12)
    model = BetaGeoBetaBinomModel.from_params(params, unit="Y")
    row = one(*history)

    def check(ours: Any, value: Callable[..., float]) -> None:
        assert ours[0] == pytest.approx(every.mean(x, recency, age, value), rel=1e-11)

    for future in range(ahead):
        check(
            model.probability_alive(row, future),
            lambda _, life, future=future: life >= age + 1 + future,
        )
    for h in range(1, ahead + 1):
        check(model.expected_purchases(row, h), lambda y, _, h=h: y[:h].sum())
        check(model.probability_of_purchase(row, h), lambda y, _, h=h: y[:h].any())
        check(
            model.discounted_expected_purchases(row, 0.15, h),
            lambda y, _, h=h: (y[:h] * 1.15 ** -np.arange(1.0, h + 1)).sum(),
        )
        for n in range(h + 1):
            check(
                model.probability_of_n_purchases(row, n, h),
                lambda y, _, h=h, n=n: y[:h].sum() == n,
            )
        assert model.probability_of_n_purchases(row, h + 1, h)[0] == 0
    for silent in range(ahead):
        seen = every.mean(
            x, recency, age, lambda y, _, s=silent: not y[:s].any() and bool(y[s])
        ) / every.mean(x, recency, age, lambda y, _, s=silent: not y[:s].any())
        assert model.purchase_hazard(row, silent)[0] == pytest.approx(seen, rel=1e-11)
    own = model.own_return_probability(row, silence=age - recency, horizon=3)
    check(own, lambda y, _: y[:3].any())


@settings(max_examples=30, deadline=None)
@given(params=SANE, age=st.integers(0, 9))
def test_likelihood_sums_to_one_over_histories(params: list[float], age: int) -> None:
    rows = [
        (x, recency, comb(recency - 1, x - 1) if x else 1.0)
        for recency in range(age + 1)
        for x in range(min(1, recency), recency + 1)
    ]
    total = 0.0
    for x, recency, histories_ in rows:
        row = Rows(*(np.array([float(v)]) for v in (x, recency, age)), np.ones(1))
        total += histories_ * np.exp(Likelihood(row).totals(np.log([params])))[0]
    assert total == pytest.approx(1, rel=1e-12)


# -- another implementation ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitter(donors: pd.DataFrame) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lifetimes warns on import and while it fits
        from lifetimes import BetaGeoBetaBinomFitter

        return BetaGeoBetaBinomFitter().fit(
            donors["frequency"], donors["recency"], donors["T"], donors["count"]
        )


def test_agrees_with_lifetimes(
    fitter: Any, bg_bb: BetaGeoBetaBinomModel, donors: pd.DataFrame
) -> None:
    theirs = fitter.params_.to_numpy()
    np.testing.assert_allclose(bg_bb.params_, theirs, rtol=1e-3)
    # No optimum of theirs may be better than ours.
    assert bg_bb.log_likelihood_ >= bg_bb._log_likelihood(np.log(theirs)[None])[0] - 1e-9
    same = BetaGeoBetaBinomModel.from_params(theirs)
    rows = donors["frequency"], donors["recency"], donors["T"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for future in (0, 1, 7):
            # Their argument counts from opportunity T, ours from the coming one.
            alive = fitter.conditional_probability_alive(future + 1, *rows)
            np.testing.assert_allclose(same.probability_alive(donors, future), alive, rtol=1e-9)
        for horizon in (1, 5, 30):
            expected = fitter.conditional_expected_number_of_purchases_up_to_time(horizon, *rows)
            np.testing.assert_allclose(
                same.expected_purchases(donors, horizon), expected, rtol=1e-9
            )
        first = fitter.expected_number_of_transactions_in_first_n_periods(6)["model"]
    ours = [11_104 * same.probability_of_n_purchases_new_customer(x, 6) for x in range(7)]
    np.testing.assert_allclose(ours, first, rtol=1e-9)


def test_where_lifetimes_is_wrong(fitter: Any) -> None:
    """It adds 1e-15 to the likelihood of having left, which is more than that of long histories."""
    age, x, recency = 200, 60, 190
    model = BetaGeoBetaBinomModel.from_params(fitter.params_.to_numpy())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = fitter.conditional_probability_alive(
            1, np.array([x]), np.array([recency]), np.array([age])
        )[0]
    with mp.workdps(50):
        exact = float(Exact(fitter.params_, x, recency, age).alive(0))
    assert model.probability_alive(one(x, recency, age))[0] == pytest.approx(exact, rel=1e-12)
    assert exact > 0.5
    assert theirs < 1e-6


# -- properties ----------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(params=SANE, history=whole_histories(), horizon=st.integers(1, 100))
def test_predictions_are_what_they_claim(
    params: list[float], history: pd.DataFrame, horizon: int
) -> None:
    model = BetaGeoBetaBinomModel.from_params(params, unit="W")
    alive = model.probability_alive(history)[0]
    buys = model.probability_of_purchase(history, horizon)[0]
    expected = model.expected_purchases(history, horizon)[0]
    discounted = model.discounted_expected_purchases(history, 0.2, horizon)[0]
    later = model.probability_alive(history, future=horizon)[0]
    assert 0 <= later <= alive * (1 + 1e-12)
    assert alive <= 1
    assert 0 <= buys <= min(alive, expected) * (1 + 1e-12)
    assert expected * 1.2 ** (-horizon * 7 / 365.25) * (1 - 1e-12) <= discounted <= expected
    counts = np.array(
        [model.probability_of_n_purchases(history, n, horizon)[0] for n in range(horizon + 1)]
    )
    assert (counts >= 0).all()
    assert counts.sum() == pytest.approx(1, rel=1e-10)
    assert counts @ np.arange(horizon + 1) == pytest.approx(expected, rel=1e-10)
    assert 1 - counts[0] == pytest.approx(buys, rel=1e-9, abs=1e-13)
    assert model.purchase_hazard(history)[0] == pytest.approx(
        model.probability_of_purchase(history, 1)[0], rel=1e-12
    )
    # Nothing happens in no time.
    assert model.expected_purchases(history, 0)[0] == 0
    assert model.discounted_expected_purchases(history, 0.2, 0)[0] == 0
    assert model.probability_of_n_purchases(history, 0, 0)[0] == pytest.approx(1, rel=1e-14)


@settings(max_examples=60, deadline=None)
@given(params=SANE, history=whole_histories(), level=st.floats(0.02, 0.98))
def test_gap_and_quantile_are_the_smallest_whole_numbers(
    params: list[float], history: pd.DataFrame, level: float
) -> None:
    model, rows = BetaGeoBetaBinomModel.from_params(params), check_rows(history)

    def alive_after(missed: float) -> float:
        later = Rows(rows.frequency, rows.recency, rows.recency + missed, rows.count)
        return float(model._alive(params, later, 0.0)[0])

    gap = model.dormancy_gap(history, alive=level)[0]
    # What takes more than 2^53 opportunities is given as endless.
    if np.isinf(gap):
        assert alive_after(2.0**53) > level
    else:
        assert alive_after(gap) <= level
        assert gap == 0 or alive_after(gap - 1) > level
    wait = model.time_to_next_purchase(history, quantile=level)[0]
    if np.isfinite(wait):
        assert wait >= 1
        assert model.probability_of_purchase(history, wait)[0] >= level
        assert model.probability_of_purchase(history, wait - 1)[0] < level
    else:
        assert model.probability_of_purchase(history, 2**53)[0] < level


def test_gap_at_the_ends(bg_bb: BetaGeoBetaBinomModel, donors: pd.DataFrame) -> None:
    assert (bg_bb.dormancy_gap(donors, alive=1.0) == 0).all()
    levels = np.linspace(0.9, 0.05, len(donors))
    gaps = bg_bb.dormancy_gap(donors, alive=levels)
    single = [
        bg_bb.dormancy_gap(donors.iloc[[i]], alive=float(levels[i])).iloc[0]
        for i in range(len(donors))
    ]
    assert gaps.tolist() == single
    # Nobody drops out: P(alive) does not fall within 2^53 opportunities.
    loyal = BetaGeoBetaBinomModel.from_params([1e-3, 1e3, 1e-3, 1e3])
    assert loyal.dormancy_gap(one(0, 0, 3), alive=0.5)[0] == np.inf
    assert loyal.time_to_next_purchase(one(0, 0, 3), quantile=0.99)[0] == np.inf


@pytest.mark.parametrize("horizon", [3, 60, 700])
def test_nothing_happens_at_gamma_one(horizon: int) -> None:
    row = one(2, 5, 8)

    def expected(gamma: float) -> float:
        model = BetaGeoBetaBinomModel.from_params([1.2, 0.75, gamma, 2.8])
        return float(model.expected_purchases(row, horizon)[0])

    at_one = expected(1.0)
    with mp.workdps(50):
        exact = float(Exact([1.2, 0.75, 1.0, 2.8], 2, 5, 8).purchases(horizon))
    assert at_one == pytest.approx(exact, rel=1e-13)
    for step in (1e-15, 1e-12, 1e-9):
        for gamma in (1 - step, 1 + step):
            assert expected(gamma) == pytest.approx(at_one, rel=10 * step + 1e-13)


def test_an_endless_horizon_is_the_limit(bg_bb: BetaGeoBetaBinomModel, donors: Any) -> None:
    endless = bg_bb.discounted_expected_purchases(donors, 0.1)
    long = bg_bb.discounted_expected_purchases(donors, 0.1, horizon=600)
    np.testing.assert_allclose(endless, long, rtol=1e-12)
    yearly = [bg_bb.expected_purchases(donors, h) for h in range(41)]
    summed = sum((yearly[h] - yearly[h - 1]) * 1.1**-h for h in range(1, 41))
    np.testing.assert_allclose(
        bg_bb.discounted_expected_purchases(donors, 0.1, horizon=40), summed, rtol=1e-10
    )


def test_many_rows_are_those_of_one(bg_bb: BetaGeoBetaBinomModel, donors: pd.DataFrame) -> None:
    many = pd.concat([donors] * 400, ignore_index=True)
    for name, args in (("expected_purchases", (70,)), ("probability_alive", ())):
        whole, part = getattr(bg_bb, name)(many, *args), getattr(bg_bb, name)(donors, *args)
        np.testing.assert_array_equal(whole.iloc[: len(donors)], part)
        np.testing.assert_array_equal(whole.iloc[-len(donors) :], part)
