"""Uplift against scikit-uplift, every order of ties, Welch's test and simulated truth."""

from __future__ import annotations

import itertools
import math
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from touchpoint_lib import InputError
from touchpoint_lib.campaigns._qini import RankedArm, qini_frame, totals
from touchpoint_lib.campaigns.uplift import evaluate_uplift, uplift_scores

NAMES = {"arm": "arm", "control": "none", "outcome": "y"}
#: Of scikit-uplift 0.5.1.
OLD_SKLEARN = pytest.mark.filterwarnings(
    "ignore:Function stable_cumsum is deprecated:FutureWarning"
)
#: The effect of the simulated experiments at score s, and what a customer brings without.
BINARY, MONEY = 0.2, 0.4


def experiment(n, seed, outcome="binary", digits=None, treated=0.5):
    """Customers with a score uniform on (0, 1) and an effect in proportion to it."""
    generator = np.random.default_rng([seed, n])
    score = generator.random(n)
    if digits is not None:
        score = (np.floor(score * 10**digits) + 0.5) / 10**digits
    contacted = generator.random(n) < treated
    if outcome == "binary":
        y = (generator.random(n) < 0.1 + BINARY * score * contacted).astype(float)
    else:
        buys = generator.random(n) < 0.3
        y = buys * generator.gamma(2, 0.5, n) + MONEY * score * contacted
    return pd.DataFrame({"arm": np.where(contacted, "mail", "none"), "s": score, "y": y})


def arrays(data):
    return (
        data["y"].to_numpy(),
        data["s"].to_numpy(),
        (data["arm"] == "mail").to_numpy().astype(int),
    )


@st.composite
def small_experiments(draw, most=7, levels=3):
    """A few customers of both arms with many ties."""
    n = draw(st.integers(4, most))
    arm = draw(st.lists(st.booleans(), min_size=n, max_size=n).filter(lambda a: 0 < sum(a) < n))
    score = draw(st.lists(st.integers(0, levels - 1), min_size=n, max_size=n))
    y = draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
    return pd.DataFrame({"arm": np.where(arm, "mail", "none"), "s": score, "y": y}).astype(
        {"s": float, "y": float}
    )


# --- scikit-uplift -------------------------------------------------------------------------------


@OLD_SKLEARN
@pytest.mark.parametrize("digits", [None, 2, 1], ids=["distinct", "ties", "many ties"])
def test_qini_is_scikit_uplifts(digits):
    oracle = pytest.importorskip("sklift.metrics")
    data = experiment(3000, 1, digits=digits)
    result = evaluate_uplift(data, "s", **NAMES, resamples=100)
    n, qini = oracle.qini_curve(*arrays(data))
    np.testing.assert_array_equal(result.curve["n"], n)
    np.testing.assert_allclose(result.curve["qini"], qini, rtol=1e-12, atol=1e-12)
    wanted = oracle.qini_auc_score(*arrays(data), negative_effect=True)
    coefficients = result.qini.set_index("coefficient")
    assert coefficients.loc["normalised", "value"] == pytest.approx(wanted, rel=1e-12)
    assert "scikit-uplift" in coefficients.loc["normalised", "normalisation"]


@OLD_SKLEARN
@given(data=small_experiments(most=40, levels=5))
@settings(max_examples=150, deadline=None)
def test_qini_is_scikit_uplifts_on_any_few_rows(data):
    oracle = pytest.importorskip("sklift.metrics")
    ranks = np.unique(-data["s"], return_inverse=True)[1]
    treated = (data["arm"] == "mail").to_numpy()
    arms = [RankedArm(data["y"].to_numpy()[part], ranks[part]) for part in (treated, ~treated)]
    normalised = totals(arms, ranks.max() + 1).coefficients(binary=True)[1]
    if not data["y"].any():
        # There scikit-uplift divides by 0.
        assert np.isnan(normalised)
        return
    if data["y"].all():
        # It refuses outcomes without a 0.
        with pytest.raises(ValueError, match="not binary"):
            oracle.qini_auc_score(*arrays(data))
        assert np.isfinite(normalised)
        return
    assert normalised == pytest.approx(oracle.qini_auc_score(*arrays(data)), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_uplift_at_k_is_scikit_uplifts_without_a_tie_at_the_cut(share):
    """With one the two differ: scikit-uplift takes the tied rows in reverse order of the data."""
    oracle = pytest.importorskip("sklift.metrics")
    data = experiment(2000, 2)
    row = evaluate_uplift(data, "s", **NAMES, at=[share], resamples=100).to_frame().iloc[0]
    y, score, treated = arrays(data)
    wanted = oracle.uplift_at_k(y, score, treated, strategy="overall", k=share)
    assert row["effect"] == pytest.approx(wanted, rel=1e-12)
    tied = data.assign(s=0.5)
    whole = evaluate_uplift(tied, "s", **NAMES, at=[share], resamples=100).to_frame().iloc[0]
    overall = y[treated == 1].mean() - y[treated == 0].mean()
    assert whole["effect"] == pytest.approx(overall, rel=1e-12)
    assert oracle.uplift_at_k(y, tied["s"], treated, strategy="overall", k=share) != pytest.approx(
        overall, rel=1e-3
    )


# --- ties, order, scale --------------------------------------------------------------------------


@given(data=small_experiments(), position=st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_a_cut_in_a_tie_is_the_mean_over_all_orders(data, position):
    n = len(data)
    y, score, treated = arrays(data)
    result = evaluate_uplift(
        data, "s", **NAMES, at=[position / n], value=3, cost=0.2, propensity=0.4, resamples=100
    )
    drawn = []
    for order in itertools.permutations(range(n)):
        best = sorted(order, key=lambda row: -score[row])[:position]
        t, won = treated[best], y[best]
        money = (3 * won * (t / 0.4 - (1 - t) / 0.6) - 0.2).sum() / n
        drawn.append([t.sum(), (1 - t).sum(), (won * t).sum(), (won * (1 - t)).sum(), money])
    n_treated, n_control, won, own, money = np.mean(drawn, axis=0)
    row = result.to_frame().iloc[0]
    np.testing.assert_allclose(row[["n_treated", "n_control"]], [n_treated, n_control], atol=1e-12)
    if n_treated and n_control:
        assert row["effect"] == pytest.approx(won / n_treated - own / n_control, abs=1e-12)
    else:
        assert np.isnan(row["effect"])
    policy = result.policy.set_index("rule")
    assert policy.iloc[2]["value_per_1000"] == pytest.approx(1000 * money, abs=1e-9)
    assert policy.iloc[2]["share"] == pytest.approx(position / n)


@pytest.mark.parametrize("outcome", ["binary", "money"])
@pytest.mark.parametrize("digits", [None, 1])
def test_order_of_rows_and_scale_of_the_score_play_no_part(outcome, digits):
    data = experiment(1500, 3, outcome, digits)
    first = evaluate_uplift(data, "s", **NAMES, value=5, cost=0.1, resamples=100)
    shuffled = data.sample(frac=1, random_state=1)
    again = evaluate_uplift(shuffled, "s", **NAMES, value=5, cost=0.1, resamples=100)
    scaled = evaluate_uplift(
        data, np.exp(3 * data["s"]) - 5, **NAMES, value=5, cost=0.1, resamples=100
    )
    for other in (again, scaled):
        pd.testing.assert_frame_equal(first.to_frame(), other.to_frame(), rtol=1e-9)
        pd.testing.assert_frame_equal(first.curve, other.curve, rtol=1e-9, atol=1e-9)
        pd.testing.assert_frame_equal(first.qini, other.qini, rtol=1e-9)
        # "positive" is the one rule that reads the score as money.
        pd.testing.assert_frame_equal(first.policy[:-1], other.policy[:-1], rtol=1e-9)
    pd.testing.assert_frame_equal(first.policy, again.policy, rtol=1e-9)


def test_the_curve_and_the_area_are_their_formulas():
    data = experiment(400, 4, "money", digits=1)
    result = evaluate_uplift(data, "s", **NAMES, resamples=100)
    y, score, treated = arrays(data)
    points = [0.0]
    for cut in np.unique(score)[::-1]:
        top = score >= cut
        won, own = y[top & (treated == 1)], y[top & (treated == 0)]
        points.append(won.sum() - own.sum() * len(won) / len(own))
    np.testing.assert_allclose(result.curve["qini"], points, rtol=1e-10)
    np.testing.assert_allclose(
        result.curve["random"], result.curve["share"] * points[-1], rtol=1e-10
    )
    gap = result.curve["qini"] - result.curve["random"]
    area = np.trapezoid(gap, result.curve["share"]) / treated.sum()
    assert result.qini["coefficient"].tolist() == ["area"]
    assert result.qini["value"][0] == pytest.approx(area, rel=1e-10)
    assert "per treated customer" in result.qini["normalisation"][0]


def test_without_control_the_curve_counts_the_treated_alone():
    data = pd.DataFrame({"arm": ["mail", "mail", "none", "none"], "s": [4, 3, 2, 1], "y": 1.0})
    curve = evaluate_uplift(data, "s", **NAMES, at=[0.5], resamples=100).curve
    assert curve["qini"].tolist() == [0, 1, 2, 0, 0]


# --- effects and policies against other formulas -------------------------------------------------


@pytest.mark.parametrize("outcome", ["binary", "money"])
def test_effects_are_welchs_where_no_tie_is_cut(outcome):
    data = experiment(3000, 5, outcome)
    row = evaluate_uplift(data, "s", **NAMES, at=[0.2], resamples=100).to_frame().iloc[0]
    top = data["s"].rank() > 2400
    parts = []
    for chosen in (top, ~top):
        groups = [data.loc[chosen & (data["arm"] == arm), "y"] for arm in ("mail", "none")]
        error = math.sqrt(sum(group.var(ddof=1) / len(group) for group in groups))
        parts.append((groups[0].mean() - groups[1].mean(), error))
    (effect, error), (rest, rest_error) = parts
    reach = NormalDist().inv_cdf(0.975)
    both = math.hypot(error, rest_error)
    p = 2 * stats.norm.sf(abs(effect - rest) / both)
    wanted = {
        "share": 0.2,
        "n": 600,
        "n_treated": (top & (data["arm"] == "mail")).sum(),
        "n_control": (top & (data["arm"] == "none")).sum(),
        "effect": effect,
        "standard_error": error,
        "ci_low": effect - reach * error,
        "ci_high": effect + reach * error,
        "effect_rest": rest,
        "effect_rest_low": rest - reach * rest_error,
        "effect_rest_high": rest + reach * rest_error,
        "difference": effect - rest,
        "difference_low": effect - rest - reach * both,
        "difference_high": effect - rest + reach * both,
        "p_value": p,
    }
    assert list(row.index) == list(wanted)
    np.testing.assert_allclose(row, list(wanted.values()), rtol=1e-9)


def test_policy_values_agree_with_the_table():
    data = experiment(4000, 6, "money", digits=2)
    result = evaluate_uplift(data, "s", **NAMES, at=[0.15, 0.5], value=7, cost=1.2, resamples=100)
    table, policy = result.to_frame().set_index("share"), result.policy.set_index("rule")
    rules = ["nobody", "everybody", "best 15 %", "best 50 %", "positive"]
    assert list(policy.index) == rules
    for share, rule in ((0.15, "best 15 %"), (0.5, "best 50 %")):
        worth = 1000 * share * (7 * table.loc[share, "effect"] - 1.2)
        assert policy.loc[rule, "value_per_1000"] == pytest.approx(worth, rel=1e-12)
        assert policy.loc[rule, "share"] == pytest.approx(share, rel=1e-12)
    y, score, treated = arrays(data)
    everybody = 1000 * (7 * (y[treated == 1].mean() - y[treated == 0].mean()) - 1.2)
    assert policy.loc["everybody", "value_per_1000"] == pytest.approx(everybody, rel=1e-12)
    np.testing.assert_allclose(
        policy["difference"], policy["value_per_1000"] - everybody, atol=1e-9
    )
    assert policy.loc["positive", "share"] == np.mean(score * 7 > 1.2)
    assert policy.loc["nobody", ["share", "value_per_1000"]].tolist() == [0, 0]
    assert policy.loc["nobody", ["standard_error", "ci_low", "ci_high"]].isna().all()
    assert policy.loc["everybody", ["difference_low", "difference_high"]].isna().all()
    assert policy.drop(columns=["difference_low", "difference_high"])[1:].notna().all(axis=None)


def test_known_propensity_is_the_mean_of_inverse_weights():
    data = experiment(2500, 7, "money", treated=0.7)
    result = evaluate_uplift(
        data, "s", **NAMES, at=[0.2], value=2, cost=0.1, propensity=0.7, resamples=100
    )
    y, score, treated = arrays(data)
    weight = np.where(treated == 1, 1 / 0.7, -1 / 0.3)
    each = (2 * y * weight - 0.1) * (score >= np.sort(score)[-500])
    row = result.policy.set_index("rule").loc["best 20 %"]
    assert row["value_per_1000"] == pytest.approx(1000 * each.mean(), rel=1e-12)
    assert row["standard_error"] == pytest.approx(1000 * stats.sem(each), rel=1e-12)
    everybody = 2 * y * weight - 0.1
    half = NormalDist().inv_cdf(0.975) * 1000 * stats.sem(each - everybody)
    assert row["difference_high"] - row["difference"] == pytest.approx(half, rel=1e-9)


def test_an_estimated_share_has_the_influence_of_the_notes():
    data = experiment(900, 18, "money", digits=1, treated=0.7)
    value, cost = 2.0, 1.3
    policy = evaluate_uplift(
        data, "s", **NAMES, at=[0.37], value=value, cost=cost, resamples=100
    ).policy.set_index("rule")
    y, score, treated = arrays(data)
    # 0.37 of the rows: all of the best, and a part of the group in which it ends.
    size = {one: (score == one).sum() for one in np.unique(score)}
    weight, left = np.zeros(900), 333.0
    for one in sorted(size, reverse=True):
        weight[score == one] = min(1.0, left / size[one])
        left -= weight[score == one].sum()
    influence = {}
    for name, w in (
        ("everybody", np.ones(900)),
        ("best 37 %", weight),
        ("positive", (score * value > cost).astype(float)),
    ):
        effect, each = 0.0, np.zeros(900)
        for sign, part in ((1, treated == 1), (-1, treated == 0)):
            mean = np.average(y[part], weights=w[part])
            rows = w[part].sum() ** 2 / (w[part] ** 2).sum()
            effect += sign * mean
            each[part] = sign * w[part] * (y[part] - mean) / w[part].sum()
            each[part] *= math.sqrt(rows / (rows - 1))
        gain = effect * value - cost
        influence[name] = w.mean() * value * each + (w - w.mean()) * gain / 900
        row = policy.loc[name]
        assert row["share"] == pytest.approx(w.mean(), rel=1e-12)
        assert row["value_per_1000"] == pytest.approx(1000 * w.mean() * gain, rel=1e-9)
        error = 1000 * math.sqrt((influence[name] ** 2).sum())
        assert row["standard_error"] == pytest.approx(error, rel=1e-9)
        if name != "everybody":
            apart = ((influence[name] - influence["everybody"]) ** 2).sum()
            half = NormalDist().inv_cdf(0.975) * 1000 * math.sqrt(apart)
            assert row["difference_high"] - row["difference"] == pytest.approx(half, rel=1e-9)


@pytest.mark.slow
def test_errors_are_those_of_a_bootstrap():
    """Cuts and all drawn anew: 400 resamples know a standard error to 4 %."""
    data = experiment(3000, 8, digits=2)
    arguments = {**NAMES, "at": [0.25], "value": 4, "cost": 0.3, "resamples": 100}
    result = evaluate_uplift(data, "s", **arguments)
    generator = np.random.default_rng(8)
    draws = []
    for _ in range(400):
        again = evaluate_uplift(data.iloc[generator.integers(0, 3000, 3000)], "s", **arguments)
        row, policy = again.to_frame().iloc[0], again.policy
        draws.append(
            [row["effect"], row["difference"], *policy["value_per_1000"], *policy["difference"]]
        )
    spread = np.std(draws, axis=0, ddof=1)
    row, policy = result.to_frame().iloc[0], result.policy
    reach = NormalDist().inv_cdf(0.975)
    errors = [
        row["standard_error"],
        (row["difference_high"] - row["difference"]) / reach,
        *policy["standard_error"],
        *((policy["difference_high"] - policy["difference"]) / reach),
    ]
    known = ~np.isnan(errors)
    assert known.sum() == 8
    np.testing.assert_allclose(np.array(errors)[known], spread[known], rtol=0.15)
    assert (spread[~known] == 0).all()


def test_qini_bootstrap_agrees_with_resampled_rows():
    """The draws by score and arm are those of rows; joining scores leaves the spread alone."""
    data = experiment(2500, 9)
    result = evaluate_uplift(data, "s", **NAMES, resamples=2000).qini.set_index("coefficient")
    generator = np.random.default_rng(9)
    arms = [data[data["arm"] == arm] for arm in ("mail", "none")]
    draws = []
    for _ in range(500):
        rows = [part.iloc[generator.integers(0, len(part), len(part))] for part in arms]
        ranks = np.unique(-pd.concat(rows)["s"], return_inverse=True)[1]
        ranked = [
            RankedArm(part["y"].to_numpy(), ranks[place])
            for part, place in zip(
                rows, (slice(0, len(rows[0])), slice(len(rows[0]), None)), strict=True
            )
        ]
        draws.append(totals(ranked, ranks.max() + 1).coefficients(binary=True))
    np.testing.assert_allclose(result["standard_error"], np.std(draws, axis=0, ddof=1), rtol=0.12)
    for name, column in (("area", 0), ("normalised", 1)):
        row = result.loc[name]
        assert abs(np.mean(draws, axis=0)[column] - row["value"]) < 0.3 * row["standard_error"]


def test_p_values_of_a_score_that_says_nothing_are_uniform():
    """Their mean over 300 experiments is 1/2, and one in twenty is below 0.05."""
    p = []
    for seed in range(300):
        data = experiment(400, 2000 + seed, digits=1)
        data["s"] = np.random.default_rng(seed).integers(0, 10, 400)
        ranks = 9 - data["s"].to_numpy()
        arms = [
            RankedArm(data.loc[part, "y"].to_numpy(), ranks[part])
            for part in (data["arm"] == "mail", data["arm"] == "none")
        ]
        frame = qini_frame(arms, totals(arms, 10), True, 0.95, 200, np.random.default_rng(seed))
        p.append(frame["p_value"])
        # The interval excludes 0 where the p is small.
        outside = (frame["ci_low"] > 0) | (frame["ci_high"] < 0)
        assert (outside == (frame["p_value"] < 0.05))[(frame["p_value"] - 0.05).abs() > 0.02].all()
    np.testing.assert_allclose(np.mean(p, axis=0), 0.5, atol=3 * math.sqrt(1 / 12 / 300))
    below = np.mean(np.array(p) < 0.05, axis=0)
    np.testing.assert_allclose(below, 0.05, atol=3 * math.sqrt(0.05 * 0.95 / 300))


def test_resamples_of_joined_scores_lie_around_the_area_of_all(monkeypatch):
    """Even of two points: what joining takes from the area is given back."""
    data = experiment(20_000, 19, "money")
    monkeypatch.setattr("touchpoint_lib.campaigns._qini._MOST_POINTS", 2)
    row = evaluate_uplift(data, "s", **NAMES, resamples=300).qini.loc[0]
    middle = (row["ci_low"] + row["ci_high"]) / 2
    assert abs(middle - row["value"]) < 0.5 * row["standard_error"]
    assert row["standard_error"] < MONEY / 48


# --- what cannot be known ------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", ["binary", "money"])
def test_one_score_for_all_parts_nobody(outcome):
    data = experiment(300, 10, outcome).assign(s=0.1)
    result = evaluate_uplift(data, "s", **NAMES, resamples=100)
    assert (result.qini["value"].abs() < 1e-15).all()
    assert result.qini[["standard_error", "ci_low", "ci_high", "p_value"]].isna().all(axis=None)
    table = result.to_frame()
    np.testing.assert_allclose(table["difference"], 0, atol=1e-12)
    assert table[["difference_low", "difference_high", "p_value"]].isna().all(axis=None)
    # The whole experiment tells the effect of a random tenth.
    np.testing.assert_allclose(table["effect"], table["effect"][0], rtol=1e-12)
    assert table["standard_error"].notna().all()


@pytest.mark.parametrize("constant", [0.0, 1.0, 0.1])
def test_an_outcome_that_does_not_vary_has_no_interval(constant):
    data = experiment(300, 11).assign(y=constant)
    result = evaluate_uplift(data, "s", **NAMES, cost=0.01, resamples=100)
    values = result.qini.set_index("coefficient")["value"]
    assert ("normalised" in values) == (constant in (0, 1))
    if constant == 0:
        assert np.isnan(values["normalised"])
    table = result.to_frame()
    np.testing.assert_allclose(table["effect"], 0, atol=1e-12)
    assert table[["ci_low", "ci_high", "p_value"]].isna().all(axis=None)


def test_resamples_may_lack_every_buyer():
    data = experiment(200, 17).assign(y=0.0)
    data.loc[[0, 1], ["arm", "y"]] = [["mail", 30.0], ["none", 20.0]]
    money = evaluate_uplift(data, "s", **NAMES).qini
    assert money[["ci_low", "ci_high", "p_value"]].notna().all(axis=None)
    # In a third of the resamples nobody bought, and the normalised one is not known.
    data["y"] = (data.index == 0).astype(float)
    binary = evaluate_uplift(data, "s", **NAMES).qini.set_index("coefficient")
    assert binary.loc["area", ["ci_low", "ci_high"]].notna().all()
    assert binary.loc["normalised", ["ci_low", "ci_high"]].notna().all()


def test_shares_without_an_arm_or_a_rest_are_nan():
    data = pd.DataFrame(
        {
            "arm": ["mail"] * 10 + ["none"] * 10,
            "s": np.arange(20.0, 0, -1),
            "y": np.arange(20) % 3 / 2,
        }
    )
    result = evaluate_uplift(data, "s", **NAMES, at=[0.3, 0.55, 1.0], resamples=100)
    none, single, whole = (row for _, row in result.to_frame().iterrows())
    assert none[["effect", "standard_error", "difference", "p_value"]].isna().all()
    assert not np.isnan(single["effect"])
    assert np.isnan(single["standard_error"])
    assert np.isnan(single["effect_rest"])
    assert not np.isnan(whole["ci_low"])
    assert whole[["effect_rest", "difference", "p_value"]].isna().all()
    assert np.isnan(result.policy.set_index("rule").loc["best 30 %", "value_per_1000"])


def test_a_rule_that_contacts_nobody_is_worth_nothing():
    policy = evaluate_uplift(
        experiment(200, 12), "s", **NAMES, value=1, cost=2, resamples=100
    ).policy.set_index("rule")
    assert policy.loc["positive", ["share", "value_per_1000"]].tolist() == [0, 0]
    assert np.isnan(policy.loc["positive", "ci_low"])


# --- recovery and coverage -----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("outcome", "propensity"), [("binary", None), ("money", 0.6)])
def test_intervals_cover_the_truth(outcome, propensity):
    """300 experiments: shares within 3 standard errors of 95 %, estimates without bias."""
    slope = BINARY if outcome == "binary" else MONEY
    worth, share, line = 10.0, 0.3, 0.25
    price = line * worth * slope
    best, rest, mean = slope * (1 - share / 2), slope * (1 - share) / 2, slope / 2
    everybody = 1000 * (worth * mean - price)
    some = 1000 * share * (worth * best - price)
    positive = 1000 * (1 - line) * (worth * slope * (1 + line) / 2 - price)
    # The integral over s of s (slope (1 - s / 2)) - s slope / 2.
    area = slope / 12
    truth = [best, best - rest, everybody, some, positive, some - everybody, area]
    hits, values = [], []
    for seed in range(300):
        data = experiment(2000, 1000 + seed, outcome, digits=2, treated=0.6)
        data["s"] *= slope
        result = evaluate_uplift(
            data, "s", **NAMES, at=[share], value=worth, cost=price, propensity=propensity,
            resamples=300,
        )  # fmt: skip
        row, policy = result.to_frame().iloc[0], result.policy.set_index("rule")
        rules = ["everybody", "best 30 %", "positive"]
        intervals = [
            row[["effect", "ci_low", "ci_high"]],
            row[["difference", "difference_low", "difference_high"]],
            *(policy.loc[rule, ["value_per_1000", "ci_low", "ci_high"]] for rule in rules),
            policy.loc["best 30 %", ["difference", "difference_low", "difference_high"]],
            result.qini.loc[0, ["value", "ci_low", "ci_high"]],
        ]
        bounds = np.array([list(one) for one in intervals], dtype=float)
        hits.append((bounds[:, 1] <= truth) & (truth <= bounds[:, 2]))
        values.append(bounds[:, 0])
    allowed = 3 * math.sqrt(0.95 * 0.05 / 300)
    np.testing.assert_allclose(np.mean(hits, axis=0), 0.95, atol=allowed)
    spread = np.std(values, axis=0, ddof=1) / math.sqrt(300)
    assert (np.abs(np.mean(values, axis=0) - truth) < 4 * spread).all()


def test_the_curve_and_the_area_are_those_of_all_scores():
    """Though beyond 1,000 distinct ones the resamples join neighbours."""
    data = experiment(20_000, 13, "money")
    result = evaluate_uplift(data, "s", **NAMES, resamples=100)
    assert len(result.curve) == 20_001
    area = np.trapezoid(result.curve["qini"] - result.curve["random"], result.curve["share"])
    assert result.qini["value"][0] == pytest.approx(area / result.n_treated, rel=1e-9)
    assert result.qini["ci_low"][0] < MONEY / 12 < result.qini["ci_high"][0]


# --- scores --------------------------------------------------------------------------------------


def customers(n, seed):
    """Covariates, one of them text, that move the effect; a third arm beside."""
    generator = np.random.default_rng([seed, 14])
    data = pd.DataFrame(
        {
            "orders": generator.poisson(3, n),
            "channel": generator.choice(["web", "shop"], n),
            "arm": generator.choice(["none", "mail", "call"], n),
        },
        index=[f"c{number}" for number in range(n)],
    )
    web = (data["channel"] == "web").to_numpy()
    data["effect"] = 0.5 * data["orders"] - 2.0 * web
    contacted = (data["arm"] == "mail").to_numpy()
    data["spend"] = 5 + data["orders"] + data["effect"] * contacted + generator.normal(0, 1, n)
    chance = 0.2 + 0.05 * data["orders"].clip(upper=8) * contacted
    data["bought"] = generator.random(n) < chance
    data["visits"] = generator.poisson(1 + 0.5 * data["orders"] * contacted)
    return data


COVARIATES = ["orders", "channel"]
SCORED = {"arm": "arm", "control": "none", "treated": "mail", "covariates": COVARIATES}


@pytest.mark.parametrize("outcome", ["spend", "bought", "visits"])
@pytest.mark.parametrize("learner", ["linear", "boosting"])
def test_scores_rank_the_rows_that_were_not_fitted(learner, outcome):
    data = customers(6000, 0)
    score = uplift_scores(data, outcome=outcome, **SCORED, learner=learner, share=0.6)
    own = data[data["arm"] != "call"]
    assert score.name == "uplift"
    assert score.index.isin(own.index).all()
    assert score.attrs == {
        "n_fitted": len(own) - len(score),
        "learner": learner,
        "treated": "mail",
        "control": "none",
    }
    for arm in ("none", "mail"):
        n = (own["arm"] == arm).sum()
        left = (data.loc[score.index, "arm"] == arm).sum()
        assert left == n - round(0.6 * n)
    assert list(score.index) == list(data.index[data.index.isin(score.index)])
    truth = data.loc[score.index, "effect" if outcome == "spend" else "orders"]
    assert stats.spearmanr(score, truth).statistic > 0.9
    again = uplift_scores(data, outcome=outcome, **SCORED, learner=learner, share=0.6)
    pd.testing.assert_series_equal(score, again)
    other = uplift_scores(data, outcome=outcome, **SCORED, learner=learner, share=0.6, seed=1)
    assert not score.index.equals(other.index)


def test_linear_scores_are_least_squares_by_arm():
    import statsmodels.formula.api as smf

    data = customers(800, 1)
    score = uplift_scores(data, outcome="spend", **SCORED)
    fitted = data[(data["arm"] != "call") & ~data.index.isin(score.index)]
    wanted = 0.0
    for sign, arm in ((1, "mail"), (-1, "none")):
        model = smf.ols("spend ~ orders + channel", fitted[fitted["arm"] == arm]).fit()
        wanted = wanted + sign * model.predict(data.loc[score.index])
    np.testing.assert_allclose(score, wanted, rtol=1e-9)
    # A copy of a covariate adds nothing.
    doubled = data.assign(twice=2 * data["orders"], one=1)
    same = uplift_scores(
        doubled, outcome="spend", **{**SCORED, "covariates": [*COVARIATES, "twice", "one"]}
    )
    np.testing.assert_allclose(same, score, rtol=1e-9)


def test_scores_of_one_half_are_judged_on_that_half():
    data = customers(3000, 2)
    score = uplift_scores(data, outcome="spend", **SCORED)
    result = evaluate_uplift(
        data, score, arm="arm", control="none", treated="mail", outcome="spend", resamples=100
    )
    assert result.n_treated + result.n_control == len(score)
    assert result.n_unscored == score.attrs["n_fitted"]
    assert result.n_other_arms == 0
    assert (result.to_frame()["difference_low"] > 0).all()
    everyone = pd.Series(1.0 * data["orders"], index=data.index).sample(frac=1, random_state=0)
    beside = evaluate_uplift(
        data, everyone, arm="arm", control="none", treated="mail", outcome="spend", resamples=100
    )
    assert beside.n_other_arms == (data["arm"] == "call").sum()
    assert beside.n_unscored == 0
    column = evaluate_uplift(
        data, "orders", arm="arm", control="none", treated="mail", outcome="spend", resamples=100
    )
    pd.testing.assert_frame_equal(column.to_frame(), beside.to_frame())
    assert column.n_other_arms == beside.n_other_arms


def test_a_result_shows_itself_and_keeps_its_own_frame():
    result = evaluate_uplift(experiment(300, 15), "s", **NAMES, resamples=100, level=0.9)
    assert repr(result) == "UpliftEvaluation('y', 'mail' against 'none', 300 customers)"
    html = result._repr_html_()
    assert html.count("<table") == 3
    assert "best 10 %" in html
    frame = result.to_frame()
    frame["effect"] = 0.0
    assert (result.to_frame()["effect"] != 0).all()
    wider = evaluate_uplift(experiment(300, 15), "s", **NAMES, resamples=100, level=0.99)
    assert (wider.to_frame()["ci_low"] < result.to_frame()["ci_low"]).all()
    assert (wider.qini["ci_low"] < result.qini["ci_low"]).all()


def test_every_share_has_a_rule_of_its_own():
    result = evaluate_uplift(
        experiment(400, 3), "s", **NAMES, at=[0.1234567, 0.1234568], resamples=100
    )
    assert result.policy["rule"].tolist()[2:4] == ["best 12.34567 %", "best 12.34568 %"]
    assert result.policy["share"].tolist()[2:4] == pytest.approx([0.1234567, 0.1234568])


# --- bad input -----------------------------------------------------------------------------------

GOOD = experiment(60, 16)
THREE = GOOD.assign(arm=np.where(np.arange(60) < 20, "call", GOOD["arm"]))


@pytest.mark.parametrize(
    ("data", "score", "change", "message"),
    [
        (GOOD, "none", {}, "data has no column 'none'"),
        (GOOD, GOOD["s"].set_axis(GOOD.index + 1), {}, "score has 1 index values .* such as 60"),
        (GOOD, pd.concat([GOOD["s"], GOOD["s"]]), {}, "score has several rows of index .*0"),
        (GOOD.set_index("s"), GOOD["s"], {}, "score has 60 index values"),
        (GOOD.set_axis([0] * 60), GOOD["s"], {}, "data has several rows of index .*0"),
        (GOOD, GOOD["s"].where(GOOD.index != 3), {}, "score is nan at index 3"),
        (GOOD, GOOD["s"].replace(GOOD["s"][3], np.inf), {}, "score is inf at index 3"),
        (GOOD, GOOD["arm"], {}, "score is not numeric"),
        (GOOD, GOOD.loc[GOOD["arm"] == "none", "s"], {}, "no row of arm 'mail' has a score"),
        (GOOD, GOOD.loc[GOOD["arm"] == "mail", "s"], {}, "no row of arm 'none' has a score"),
        (GOOD, "s", {"arm": "x"}, "data has no column 'x'"),
        (GOOD, "s", {"control": "x"}, "no row of arm is the control 'x'"),
        (GOOD, "s", {"treated": "x"}, "treated='x' is no arm of arm"),
        (THREE, "s", {}, "several arms beside the control"),
        (GOOD, "s", {"outcome": "arm"}, "outcome 'arm' is not numeric"),
        (GOOD.assign(y=GOOD["y"].where(GOOD.index != 5)), "s", {}, "outcome 'y' is nan at index 5"),
        (GOOD, "s", {"at": []}, "at is \\[\\]; name at least one"),
        (GOOD, "s", {"at": [0.1, 0.1]}, "each of them once"),
        (GOOD, "s", {"at": [0.3, 0.1 + 0.2]}, "each of them once"),
        (GOOD, "s", {"at": [0]}, "a share of at is 0; it must be > 0"),
        (GOOD, "s", {"at": [1.2]}, "a share of at is 1.2; it must be <= 1"),
        (GOOD, "s", {"at": 0.1}, "at is 0.1; pass a list"),
        (GOOD, "s", {"at": "0.1"}, "at is '0.1'; pass a list"),
        (GOOD, "s", {"value": 0}, "value is 0; it must be > 0"),
        (GOOD, "s", {"cost": -1}, "cost is -1; it must be >= 0"),
        (GOOD, "s", {"propensity": 1}, "propensity is 1; it must be < 1"),
        (GOOD, "s", {"level": 95}, "level is 95; it must be < 1"),
        (GOOD, "s", {"resamples": 99}, "resamples is 99; it must be >= 100"),
        (GOOD, "s", {"seed": -1}, "seed is -1; it must be >= 0"),
    ],
)
def test_bad_input_of_the_evaluation_is_named(data, score, change, message):
    with pytest.raises(InputError, match=message):
        evaluate_uplift(data, score, **{**NAMES, **change})


FEW = customers(60, 3)


@pytest.mark.parametrize(
    ("data", "change", "message"),
    [
        (FEW, {"learner": "forest"}, "learner is 'forest'; it must be one of"),
        (FEW, {"share": 1}, "share is 1; it must be < 1"),
        (FEW, {"share": 0.02}, "has 0 of \\d+ rows to fit 2 covariates; at least 4 are needed"),
        (FEW, {"share": 0.99}, "one left to score"),
        (FEW, {"seed": 0.5}, "seed is 0.5; it must be a whole number"),
        (FEW, {"covariates": []}, "covariates is empty"),
        (FEW, {"covariates": ["age"]}, "data has no column 'age'"),
        (FEW, {"outcome": "channel"}, "outcome 'channel' is not numeric"),
        (FEW.set_axis(["a"] * 60), {}, "data has several rows of index 'a'"),
        (
            FEW.assign(spend=(FEW["arm"] == "mail").astype(int)),
            {"learner": "boosting"},
            "outcome 'spend' is 0 in all \\d+ fitted rows of arm 'none'",
        ),
    ],
)
def test_bad_input_of_the_scores_is_named(data, change, message):
    with pytest.raises(InputError, match=message):
        uplift_scores(data, **{**SCORED, "outcome": "spend", **change})
