from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2, chisquare, kstest, norm

import touchpoint_lib as tp
from touchpoint_lib.campaigns._balance import balance_p, balance_rows, sample_ratio_p


@pytest.mark.parametrize("seed", range(3))
def test_the_sample_ratio_is_pearson_s_test(seed):
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet([5, 5, 5])
    sizes = rng.multinomial(500, shares)
    expected = chisquare(sizes, 500 * shares).pvalue
    assert sample_ratio_p(sizes, shares) == pytest.approx(expected, rel=1e-12)


def test_rows_of_the_balance():
    rng = np.random.default_rng(0)
    x = rng.gamma(2, 1, (200, 2))
    treated = (rng.random(200) < 0.4).astype(float)
    x[:, 1] += treated
    rows = balance_rows(["a", "b"], x, treated, None, None)
    for place, row in enumerate(rows):
        arms = [x[treated == arm, place] for arm in (1, 0)]
        assert (row["mean_treated"], row["mean_control"]) == pytest.approx(
            (arms[0].mean(), arms[1].mean())
        )
        # Austin (2009), Statistics in Medicine 28: by the mean of both variances.
        spread = ((arms[0].var() + arms[1].var()) / 2) ** 0.5
        gap = arms[0].mean() - arms[1].mean()
        assert row["standardised_difference"] == pytest.approx(gap / spread)
        error = sum(arm.var() / len(arm) for arm in arms) ** 0.5
        assert row["p_value"] == pytest.approx(2 * norm.sf(abs(gap) / error), rel=1e-9)
    assert rows[0].keys() == {
        "covariate", "mean_treated", "mean_control", "standardised_difference", "p_value",
    }  # fmt: skip


def test_right_weights_take_the_difference_away():
    rng = np.random.default_rng(1)
    x = rng.normal(0, 1, (20_000, 1))
    chance = 1 / (1 + np.exp(-x[:, 0]))
    treated = (rng.random(20_000) < chance).astype(float)
    weights = np.where(treated > 0, 1 / chance, 1 / (1 - chance))
    row = balance_rows(["x"], x, treated, weights, None)[0]
    assert row["standardised_difference"] > 0.8
    assert abs(row["weighted_difference"]) < 0.05
    left = sum(
        sign * np.average(x[treated == arm, 0], weights=weights[treated == arm])
        for arm, sign in ((1, 1), (0, -1))
    )
    spread = (row["mean_treated"] - row["mean_control"]) / row["standardised_difference"]
    assert row["weighted_difference"] == pytest.approx(left / spread)


def test_columns_that_vary_in_no_arm():
    treated = np.repeat([1.0, 0.0], 5)
    matrix = np.column_stack([np.ones(10), treated, 1 - treated])
    rows = balance_rows(["same", "arm", "other"], matrix, treated, np.ones(10), None)
    for name in ("standardised_difference", "weighted_difference"):
        assert [row[name] for row in rows] == [0, np.inf, -np.inf]
    assert [row["p_value"] for row in rows] == [1, 0, 0]


def test_p_of_a_covariate_is_by_clusters():
    rng = np.random.default_rng(2)
    treated = np.repeat([1.0, 0.0], 60)
    x, cluster = rng.gamma(2, 1, (120, 1)), np.arange(120)
    once = balance_rows(["x"], x, treated, None, cluster)[0]
    # Rows that stand three times are no news.
    thrice = [np.concatenate([each] * 3) for each in (x, treated, cluster)]
    same = balance_rows(["x"], thrice[0], thrice[1], None, thrice[2])[0]
    assert same["p_value"] == pytest.approx(once["p_value"], rel=1e-9)
    assert balance_rows(["x"], x, treated, None, None)[0]["p_value"] < once["p_value"]


def test_more_columns_than_clusters_tell_nothing():
    rng = np.random.default_rng(6)
    treated, cluster = np.repeat([1.0, 0.0], 20), np.arange(40) // 10
    assert np.isnan(balance_p(rng.normal(0, 1, (40, 4)), treated, cluster))
    assert np.isfinite(balance_p(rng.normal(0, 1, (40, 3)), treated, cluster))


def draws(*, clusters, seed=0, n=120, times=1000):
    """Return p-values of lots that were drawn for customers, or for households of 3."""
    rng = np.random.default_rng(seed)
    size = 3 if clusters else 1
    household = np.repeat(np.arange(n), size)
    home = rng.gamma(1, 1, (n, 2))
    x = home[household] + 0.3 * rng.normal(0, 1, (n * size, 2))
    matrix = np.column_stack([x, x[:, 0] > 1])
    for _ in range(times):
        treated = rng.permutation(np.arange(n) % 2).astype(float)[household]
        yield balance_p(matrix, treated, household if clusters else None)


@pytest.mark.parametrize("clusters", [False, True])
def test_p_is_uniform_under_lots(clusters):
    p_values = np.array(list(draws(clusters=clusters)))
    if clusters:
        # The robust covariance of few households makes it a little careful, never rash.
        assert (p_values < 0.05).mean() < 0.05 + 3 * (0.05 * 0.95 / 1000) ** 0.5
        assert kstest(p_values, "uniform").statistic < 0.08
    else:
        assert kstest(p_values, "uniform").pvalue > 0.01


def test_p_is_hotelling_s_with_the_covariance_of_the_lots():
    rng = np.random.default_rng(3)
    x = rng.normal(0, 1, (80, 3))
    treated = rng.permutation(np.repeat([1.0, 0.0], [30, 50]))
    gap = x[treated == 1].mean(axis=0) - x[treated == 0].mean(axis=0)
    covariance = np.cov(x.T) * (1 / 30 + 1 / 50)
    statistic = gap @ np.linalg.solve(covariance, gap)
    assert balance_p(x, treated, None) == pytest.approx(chi2.sf(statistic, 3), rel=1e-9)


def test_units_far_apart_keep_every_covariate():
    rng = np.random.default_rng(4)
    treated = np.repeat([1.0, 0.0], 100)
    x = rng.normal(0, 1, (200, 2))
    x[:, 1] += treated
    assert balance_p(x, treated, None) < 1e-6
    assert balance_p(x * [1e9, 1e-6], treated, None) == pytest.approx(
        balance_p(x, treated, None), rel=1e-6
    )


def test_p_of_an_evaluation_is_uniform_under_lots():
    rng = np.random.default_rng(5)
    p_values = []
    for _ in range(200):
        data = pd.DataFrame(
            {
                "arm": rng.integers(0, 2, 300),
                "y": rng.normal(0, 1, 300),
                "past": rng.gamma(1, 1, 300),
                "town": rng.choice(["a", "b", "c"], 300),
            }
        )
        found = tp.evaluate_campaign(
            data, arm="arm", control=0, outcomes="y", covariates=["past", "town"]
        )
        p_values.append(found.to_frame()["balance_p"].iloc[0])
    assert kstest(p_values, "uniform").pvalue > 0.01
