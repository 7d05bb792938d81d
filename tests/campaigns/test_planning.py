"""Plans: against formulas by hand, statsmodels, simulated tests and simulated futures."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import (
    power_proportions_2indep,
    samplesize_proportions_2indep_onetail,
)

import touchpoint_lib as tp
from touchpoint_lib import InputError
from touchpoint_lib.campaigns.planning import CampaignPlan, plan_campaign

#: Standard errors of a normal effect that 80 % of two-sided 5 % tests find.
NEEDED = ndtri(0.975) + ndtri(0.8)
PRIOR: dict[str, Any] = {"n_customers": 20_000, "prior": (0.3, 0.4), "future": 200_000}


# --- sample size, detectable effect, duration ---------------------------------------------------


@pytest.mark.parametrize("holdout", [0.05, 0.3, 0.5, 0.9])
@pytest.mark.parametrize(("power", "level"), [(0.8, 0.95), (0.5, 0.95), (0.9, 0.8)])
def test_sizes_of_a_mean_are_those_of_statsmodels(
    holdout: float, power: float, level: float
) -> None:
    plan = plan_campaign(sd=30, effect=2, holdout=holdout, power=power, level=level)
    ratio = (1 - holdout) / holdout
    control = NormalIndPower().solve_power(
        effect_size=2 / 30, alpha=1 - level, power=power, ratio=ratio
    )
    assert plan.n_control == pytest.approx(control, abs=1.01)
    assert plan.n_treated == pytest.approx(control * ratio, rel=1e-4, abs=1.01)
    assert plan.n_total == (plan.n_control or 0) + (plan.n_treated or 0)


def test_the_textbook_sizes() -> None:
    # Half a standard deviation at 80 %: 63 an arm by the normal formula (Cohen 1988 has 64 by t).
    plan = plan_campaign(sd=1, effect=0.5)
    assert (plan.n_control, plan.n_treated, plan.n_total) == (63, 63, 126)
    assert plan_campaign(sd=1, effect=1e200).n_total == 2
    # 10 % against 12 %: 3,839 an arm; 3,841 with the pooled share.
    assert plan_campaign(mean=0.1, effect=0.02).n_control == 3839


@pytest.mark.parametrize(("mean", "effect"), [(0.1, 0.02), (0.02, 0.01), (0.6, -0.05)])
def test_sizes_of_shares_are_near_those_of_statsmodels_in_halves(
    mean: float, effect: float
) -> None:
    # At equal arms the pooled and the separate variance are nearly the same.
    plan = plan_campaign(mean=mean, effect=effect)
    pooled = samplesize_proportions_2indep_onetail(effect, mean, 0.8, alternative="two-sided")
    assert plan.n_control == pytest.approx(pooled, rel=3e-3)
    assert power_proportions_2indep(effect, mean, plan.n_control).power == pytest.approx(
        0.8, abs=2e-3
    )


def test_the_detectable_effect_is_so_many_standard_errors() -> None:
    plan = plan_campaign(sd=30, n_customers=10_000, holdout=0.2)
    error = 30 * math.sqrt(1 / 2_000 + 1 / 8_000)
    assert plan.detectable_effect == pytest.approx(NEEDED * error, rel=1e-5)
    found = plan_campaign(mean=0.1, n_customers=10_000, holdout=0.2).detectable_effect or 0
    share = 0.1 + found
    error = math.sqrt(0.09 / 2_000 + share * (1 - share) / 8_000)
    assert found == pytest.approx(NEEDED * error, rel=1e-5)


@settings(max_examples=100, deadline=None)
@given(
    mean=st.floats(0.01, 0.95),
    sd=st.one_of(st.none(), st.floats(0.1, 1e4)),
    n=st.integers(3_000, 10**7),
    holdout=st.floats(0.02, 0.98),
    power=st.floats(0.1, 0.99),
    reduction=st.floats(0, 0.9),
)
def test_the_customers_for_a_detectable_effect_are_those_it_was_detectable_with(
    mean: float, sd: float | None, n: int, holdout: float, power: float, reduction: float
) -> None:
    options: dict[str, Any] = {
        "mean": mean,
        "sd": sd,
        "holdout": holdout,
        "power": power,
        "variance_reduction": reduction,
    }
    try:
        effect = plan_campaign(n_customers=n, **options).detectable_effect or 0
    except InputError:
        assert sd is None
        return
    assert effect > 0
    # Both arms are rounded up.
    assert 0 <= (plan_campaign(effect=effect, **options).n_total or 0) - n <= 2


def test_covariates_that_take_half_of_the_variance_save_half_of_the_customers() -> None:
    plain = plan_campaign(sd=30, effect=1)
    adjusted = plan_campaign(sd=30, effect=1, variance_reduction=0.5)
    assert (adjusted.n_total or 0) == pytest.approx((plain.n_total or 0) / 2, abs=2)
    assert adjusted.sd == 30


def test_a_log_gives_its_own_mean_and_spread() -> None:
    split = tp.rfm_split(tp.load_cdnow(sample=True), split="1997-09-30", unit="D")
    spend = split["holdout_amount"]
    plan = plan_campaign(spend, relative_effect=0.2, holdout=0.3, n_customers=2000)
    assert (plan.mean, plan.sd, plan.binary) == (spend.mean(), spend.std(), False)
    by_hand = plan_campaign(
        mean=spend.mean(), sd=spend.std(), effect=0.2 * spend.mean(), holdout=0.3, n_customers=2000
    )
    pd.testing.assert_frame_equal(plan.to_frame(), by_hand.to_frame())
    bought = plan_campaign(spend > 0, relative_effect=0.2, holdout=0.3)
    share = float((spend > 0).mean())
    assert (bought.mean, bought.binary) == (share, True)
    pd.testing.assert_frame_equal(
        bought.to_frame(),
        plan_campaign(mean=share, relative_effect=0.2, holdout=0.3).to_frame(),
    )


def test_the_duration_ends_with_the_last_outcome() -> None:
    assert plan_campaign(sd=1, effect=0.5, per_day=10, window=30).days == 13 + 30
    assert plan_campaign(sd=1, n_customers=1000, per_day=300).days == 4
    # With an effect it is the time to find that.
    assert plan_campaign(sd=1, n_customers=1000, effect=0.5, per_day=126).days == 1


# --- the power that was promised ----------------------------------------------------------------


def welch(outcomes: tuple[Any, Any, int], others: tuple[Any, Any, int]) -> Any:
    """Return whether |z| of differences of means passes 1.96; each is mean, variance and n."""
    (m1, v1, n1), (m0, v0, n0) = outcomes, others
    return np.abs(m1 - m0) > ndtri(0.975) * np.sqrt(v1 / (n1 - 1) + v0 / (n0 - 1))


@pytest.mark.parametrize(
    ("mean", "effect", "holdout", "slack"),
    [
        (0.1, 0.02, 0.5, 0),
        (0.4, 0.05, 0.2, 0),
        (0.3, -0.05, 0.5, 0),
        # Far from a half normality is late: the docstring says so.
        (0.02, 0.01, 0.1, 0.025),
        (0.02, 0.01, 0.9, 0.03),
    ],
)
def test_shares_are_found_as_often_as_promised(
    mean: float, effect: float, holdout: float, slack: float
) -> None:
    plan = plan_campaign(mean=mean, effect=effect, holdout=holdout)
    n0, n1, tests = plan.n_control or 0, plan.n_treated or 0, 200_000
    generator = np.random.default_rng(1)
    arms = []
    for share, n in ((mean + effect, n1), (mean, n0)):
        got = generator.binomial(n, share, tests) / n
        arms.append((got, got * (1 - got), n))
    reached = welch(*arms).mean()
    # Shares move in steps of a customer, which is as much as 4 standard errors.
    assert abs(reached - 0.8) < 4 * math.sqrt(0.16 / tests) + 0.002 + slack
    if slack:
        # The formulas for the pooled share and for its arcsine would be further off.
        ratio = n0 / n1
        pooled = power_proportions_2indep(effect, mean, n1, ratio=ratio).power
        size = 2 * (math.asin(math.sqrt(mean + effect)) - math.asin(math.sqrt(mean)))
        arcsine = NormalIndPower().power(size, n0, 0.05, ratio=1 / ratio)
        assert abs(reached - 0.8) < min(abs(reached - pooled), abs(reached - arcsine))


@pytest.mark.parametrize("holdout", [0.5, 0.25])
def test_spend_is_found_as_often_as_promised(holdout: float) -> None:
    generator = np.random.default_rng(2)
    population = np.where(generator.random(200_000) < 0.3, generator.gamma(2, 40, 200_000), 0.0)
    plan = plan_campaign(population, relative_effect=0.25, holdout=holdout)
    tests, arms = 6_000, []
    for n, extra in ((plan.n_treated or 0, plan.effect or 0), (plan.n_control or 0, 0.0)):
        draws = [population[generator.integers(0, len(population), n)] for _ in range(tests)]
        means = np.array([one.mean() for one in draws]) + extra
        arms.append((means, np.array([one.var() for one in draws]), n))
    assert abs(welch(*arms).mean() - 0.8) < 4 * math.sqrt(0.16 / tests)


# --- the expected profit ------------------------------------------------------------------------


def money_of(plan: CampaignPlan) -> tuple[Any, ...]:
    names = ("best_holdout", "profit_best", "profit_even", "profit_all", "profit_none")
    return tuple(getattr(plan, name) for name in (*names, "value_of_testing"))


def simulated_profit(share: float, value: float, cost: float, n: int = 400_000) -> tuple[Any, Any]:
    """Return profit and standard error over futures: effect, estimate, belief, decision, money."""
    generator = np.random.default_rng(3)
    mean, sd = PRIOR["prior"]
    true = mean + sd * generator.standard_normal(n)
    held_out = share * PRIOR["n_customers"]
    contacted = PRIOR["n_customers"] - held_out
    variance = 30**2 / contacted + 30**2 / held_out
    estimate = true + math.sqrt(variance) * generator.standard_normal(n)
    belief = (mean / sd**2 + estimate / variance) / (1 / sd**2 + 1 / variance)
    each = true * value - cost
    profit = contacted * each + np.where(belief * value > cost, PRIOR["future"] * each, 0)
    return profit.mean(), profit.std() / math.sqrt(n)


@pytest.mark.parametrize("cost", [0.05, 0.09, 0.12])
def test_the_expected_profit_is_that_of_simulated_futures(cost: float) -> None:
    plan = plan_campaign(mean=5, sd=30, value=0.3, cost=cost, **PRIOR)
    share, best, even, everybody, nobody, gained = money_of(plan)
    for at, expected in ((share, best), (0.5, even)):
        profit, error = simulated_profit(at, 0.3, cost)
        assert abs(expected - profit) < 4 * error
    assert everybody == pytest.approx(220_000 * (0.3 * 0.3 - cost))
    assert nobody == 0
    assert gained == best - max(everybody, nobody) > 0


@settings(max_examples=80, deadline=None)
@given(
    sd=st.floats(0.5, 500),
    mean=st.floats(-1, 1),
    doubt=st.floats(1e-3, 2),
    n=st.integers(2, 100_000),
    future=st.floats(1, 1e7),
    cost=st.floats(0, 1),
)
def test_no_other_share_is_better_than_the_best(
    sd: float, mean: float, doubt: float, n: int, future: float, cost: float
) -> None:
    plan = plan_campaign(
        sd=sd, n_customers=n, prior=(mean, doubt), future=future, value=1, cost=cost
    )
    share, best, even, everybody, nobody, gained = money_of(plan)
    slack = 1e-9 * (n + future)
    assert best >= max(even, everybody, nobody) - slack
    assert gained >= 0
    assert 0 <= share <= 1
    # The profit with any share, by the formula of the docstring in another form.
    shares = np.linspace(1 / n, 1 - 1 / n, 1999)
    variance = sd**2 * (1 / (1 - shares) + 1 / shares) / n
    width = doubt * np.sqrt(doubt**2 / (doubt**2 + variance))
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    beliefs = mean - cost + width[:, None] * nodes
    kept = np.maximum(beliefs, 0) @ (weights / weights.sum())
    # Quadrature of a kink is good to some per cent of the width.
    others = (1 - shares) * n * (mean - cost) + future * kept
    assert (others - best).max() <= 0.02 * future * width.max() + slack


def test_nobody_tests_what_is_known() -> None:
    sure = {"n_customers": 1000, "future": 10, "value": 30.0, "cost": 0.05}
    good = plan_campaign(mean=0.02, prior=(0.01, 1e-5), **sure)
    assert money_of(good)[:2] == (0.0, pytest.approx(1010 * (0.3 - 0.05)))
    assert good.value_of_testing == 0
    assert "No test is worth its cost: contact all 1,000, for" in good.statement
    bad = plan_campaign(mean=0.02, prior=(0.001, 1e-200), **sure)
    assert money_of(bad)[:2] == (1.0, 0.0)
    assert "contact nobody" in bad.statement


def test_more_doubt_and_more_future_are_worth_more_testing() -> None:
    base = {"sd": 30.0, "cost": 0.05, "value": 0.3} | PRIOR
    less = plan_campaign(**base)
    for changes in ({"prior": (0.3, 0.8)}, {"future": 400_000}):
        more = plan_campaign(**(base | changes))
        assert (more.value_of_testing or 0) > (less.value_of_testing or 0)
    # Shares of yes and no, by the variance of their own.
    yes = plan_campaign(mean=0.1, value=30, cost=0.2, **(PRIOR | {"prior": (0.01, 0.02)}))
    assert 0 < (yes.best_holdout or 0) < 0.5
    by_variance = plan_campaign(
        sd=math.sqrt(0.09), value=30, cost=0.2, **(PRIOR | {"prior": (0.01, 0.02)})
    )
    assert yes.profit_best == pytest.approx(by_variance.profit_best, rel=1e-3)
    assert yes.profit_best != by_variance.profit_best


# --- the result ---------------------------------------------------------------------------------


def test_only_what_is_known_is_told() -> None:
    plan = plan_campaign(sd=30, effect=2)
    assert plan.to_frame()["quantity"].tolist() == ["effect", "n_control", "n_treated", "n_total"]
    assert (plan.mean, plan.detectable_effect, plan.days, plan.best_holdout) == (None,) * 4
    plan = plan_campaign(
        mean=5, sd=30, effect=2, per_day=50, window=60, value=0.3, cost=0.05, holdout=0.2, **PRIOR
    )
    frame = plan.to_frame()
    assert frame.columns.tolist() == ["quantity", "value", "unit", "meaning"]
    assert len(frame) == 12
    assert frame.notna().all(axis=None)
    assert frame.attrs == {"holdout": 0.2, "power": 0.8, "level": 0.95}
    for name, value in zip(frame["quantity"], frame["value"], strict=True):
        assert getattr(plan, name) == value


def test_the_statement_says_it_in_words() -> None:
    plan = plan_campaign(
        mean=5, sd=30, effect=2, per_day=50, window=60, value=0.3, cost=0.05, holdout=0.2, **PRIOR
    )
    assert plan.statement == (
        "An effect of 2 a customer (40% of the mean) is found by 80% of tests with 11,038 "
        "customers: 2,208 held out and 8,830 contacted. With 20,000 customers, 20% of them held "
        "out, the smallest effect that 80% of tests find is 1.486 a customer (29.7% of the mean). "
        "The last outcome is known after 281 days. The expected profit is highest with 43.6% held "
        "out: 11,754, which is 2,954 more than without a test."
    )
    assert repr(plan) == f"CampaignPlan({plan.statement})"
    page = plan._repr_html_()
    assert plan.statement in page
    assert page.count("<tr") == 13
    assert "(" not in plan_campaign(sd=30, effect=2).statement
    rare = plan_campaign(mean=0.0004, sd=1, effect=0.02, power=0.999).statement
    assert rare.startswith("An effect of 0.02 a customer (5,000% of the mean) is found by 99.9% of")
    share = plan_campaign(mean=0.02, effect=0.01).statement
    assert share.startswith("An effect of 1 percentage points (50% of the mean) is found by 80% of")
    assert "of the mean" not in plan_campaign(mean=-5, sd=30, effect=2).statement


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "outcome, mean and sd are not given; pass past values"),
        ({"outcome": [1, 2], "sd": 1}, "outcome is given, and mean or sd too; pass the one or"),
        ({"outcome": [1.0, np.nan]}, "outcome is nan at row 1"),
        ({"outcome": pd.Series([1.0, np.inf], index=["a", "b"])}, "outcome is inf at index 'b'"),
        ({"outcome": ["x"]}, "outcome is not numeric"),
        ({"outcome": [3]}, r"outcome has shape \(1,\); pass one value a customer, two at least"),
        ({"outcome": [[1, 2]]}, r"outcome has shape \(1, 2\)"),
        ({"outcome": [3, 3]}, "outcome is 3 for every customer; pass one that differs"),
        ({"mean": 5}, "mean is 5 and sd is not given; pass sd=, or a share between 0 and 1"),
        ({"mean": 1}, "mean is 1 and sd is not given"),
        ({"mean": "5", "sd": 1}, "mean is '5'; it must be a number"),
        ({"sd": 0}, "sd is 0; it must be > 0"),
        ({"sd": 1e200, "n_customers": 9}, "sd is 1e.200; it must be <= 1e.100"),
        ({"outcome": [1.0, 1e200]}, "outcome is 1e.200 at row 1 .* every value must be <= 1e.100"),
        ({"sd": 1}, "effect, relative_effect and n_customers are not given; pass the effect"),
        ({"sd": 1, "effect": 1, "relative_effect": 1}, "effect and relative_effect are both given"),
        ({"sd": 1, "relative_effect": 1}, "share of the mean, which is not given; pass effect="),
        ({"mean": 0, "sd": 1, "relative_effect": 1}, "share of the mean, which is 0; pass effect="),
        ({"sd": 1, "effect": 0}, "the effect to be found is 0; pass one that would matter"),
        ({"sd": 1, "effect": 1e-9}, "an effect of 1e-09 needs more than 1e.12 customers; pass one"),
        ({"sd": 1, "effect": 5e-324}, "needs more than 1e.12 customers"),
        ({"mean": 0.9, "effect": 0.2}, "the effect of 0.2 takes a share of 0.9 to 1.1; pass one"),
        ({"mean": 0.2, "relative_effect": -1}, "the effect of -0.2 takes a share of 0.2 to 0"),
        ({"sd": 1, "n_customers": 1}, "n_customers is 1; it must be >= 2"),
        ({"sd": 1, "n_customers": 9.5}, "n_customers is 9.5; it must be a whole number"),
        ({"sd": 1, "n_customers": 9, "holdout": 0.1}, "holdout is 0.1 of 9 customers, which lea"),
        ({"mean": 0.5, "n_customers": 8}, "no increase from a share of 0.5 is large enough to be"),
        ({"sd": 1, "effect": 1, "holdout": 1}, "holdout is 1; it must be < 1"),
        ({"sd": 1, "effect": 1, "level": 0}, "level is 0; it must be > 0"),
        ({"sd": 1, "effect": 1, "power": 0.04}, "power is 0.04; it must be > 0.05"),
        ({"sd": 1, "effect": 1, "variance_reduction": 1}, "variance_reduction is 1; it must be < "),
        ({"sd": 1, "effect": 1, "per_day": 0}, "per_day is 0; it must be > 0"),
        ({"sd": 1, "effect": 1, "per_day": 9, "window": -1}, "window is -1; it must be >= 0"),
        ({"sd": 1, "effect": 1, "window": 90}, "window is given without per_day; pass the custom"),
        ({"sd": 1, "effect": 1, "cost": 1}, "cost is given without prior and future; it serves"),
        ({"sd": 1, "effect": 1, "value": 1}, "value is given without prior and future"),
        ({"sd": 1, "effect": 1, "prior": (0, 1)}, "future is not given; the expected profit needs"),
        ({"sd": 1, "effect": 1, "future": 9}, "prior is not given; the expected profit needs"),
        ({"sd": 1, "effect": 1, "future": 9, "prior": (0, 1)}, "n_customers is not given"),
        ({"sd": 1, **PRIOR, "prior": 3}, "prior is 3; pass a mean and a standard deviation"),
        ({"sd": 1, **PRIOR, "prior": (1, 2, 3)}, r"prior is \(1, 2, 3\); pass a mean and a"),
        ({"sd": 1, **PRIOR, "prior": (0, 0)}, "the standard deviation of prior is 0; it must be >"),
        ({"sd": 1, **PRIOR, "prior": (None, 1)}, "the mean of prior is None; it must be a number"),
        ({"sd": 1, **PRIOR, "future": 0}, "future is 0; it must be > 0"),
        ({"sd": 1, **PRIOR, "value": 0}, "value is 0; it must be > 0"),
        ({"sd": 1, **PRIOR, "cost": -1}, "cost is -1; it must be >= 0"),
        ({"mean": 0.9, **PRIOR}, "the mean of prior of 0.3 takes a share of 0.9 to 1.2"),
    ],
)
def test_bad_input_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan_campaign(**options)
