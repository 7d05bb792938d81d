"""Paired differences of scores, against one resample after the other, DeLong and simulation."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import touchpoint_lib as tp
from tests.metrics.samples import SERIES, TURNED, market, refused
from touchpoint_lib import InputError
from touchpoint_lib.lifetime.comparison import expected_hits
from touchpoint_lib.metrics.paired import compare_predictions
from touchpoint_lib.metrics.ranking import auc, auc_covariance

DIFFERENCES = [f"{name}_difference" for name in ("auc", "error", "omission")]
RULES = [
    {"threshold": 0.6},
    {"threshold": {"good": 0.5, "poor": 0.7}},
    {"n_flagged": 17},
    {"max_error_rate": 0.4},
    {"max_omission_rate": 0.3},
]


def paired(n, seed, digits=None):
    """Outcomes, and a good and a poor probability for them."""
    generator = np.random.default_rng(seed)
    p = generator.random(n)
    actual = generator.random(n) < p
    scores = {"good": p, "poor": np.clip(p + generator.normal(0, 0.3, n), 0, 1)}
    if digits is not None:
        scores = {name: score.round(digits) for name, score in scores.items()}
    return actual, scores


def rates_by_hand(actual, score, name, rule, share):
    """Error and omission rate of one score on one sample, by the library's other functions."""
    ((criterion, value),) = rule.items()
    if criterion == "n_flagged":
        wanted = share * len(actual)
        hits = expected_hits(score, actual, np.ones(len(actual)), wanted)
        return (wanted - hits) / wanted, (actual.sum() - hits) / actual.sum()
    if criterion == "threshold":
        cut = value[name] if isinstance(value, dict) else value
    else:
        try:
            cut = tp.choose_threshold(actual, score, **rule)
        except InputError:
            cut = math.inf
    flagged = score >= cut
    return tp.error_rate(actual, flagged), tp.omission_rate(actual, flagged)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: "-".join(rule))
@pytest.mark.parametrize("clustered", [False, True])
def test_each_resample_is_judged_as_a_sample_of_its_own(rule, clustered):
    n = 60
    actual, scores = paired(n, 3, digits=1)
    customers = np.random.default_rng(4).integers(0, 25, n) if clustered else np.arange(n)
    options = {"customers": customers} if clustered else {}
    table = compare_predictions(
        actual, scores, baseline="poor", resamples=150, seed=5, level=0.8, **rule, **options
    )
    share = rule.get("n_flagged", 0) / n
    rates = {
        name: rates_by_hand(actual, score, name, rule, share) for name, score in scores.items()
    }
    for name, (error, omission) in rates.items():
        assert table.loc[name, ["error_rate", "omission_rate"]].tolist() == pytest.approx(
            [error, omission]
        )
    # The customers are numbered as they first occur, and drawn by number.
    generator = np.random.default_rng(5)
    ids = pd.unique(customers)
    draws = []
    for _ in range(150):
        chosen = generator.integers(0, len(ids), len(ids))
        rows = np.concatenate([np.flatnonzero(customers == ids[one]) for one in chosen])
        good, poor = (
            np.array(rates_by_hand(actual[rows], scores[name][rows], name, rule, share))
            for name in ("good", "poor")
        )
        draws.append(good - poor)
    low, high = np.nanquantile(draws, [0.1, 0.9], axis=0)
    for i, name in enumerate(("error", "omission")):
        row = table.loc["good"]
        difference = rates["good"][i] - rates["poor"][i]
        assert row[f"{name}_difference"] == pytest.approx(difference)
        assert row[f"{name}_difference_low"] == pytest.approx(low[i])
        assert row[f"{name}_difference_high"] == pytest.approx(high[i])
    assert low[1] < high[1]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: "-".join(rule))
def test_the_thresholds_give_the_rates_of_the_table(rule):
    actual, scores = paired(300, 6)
    table = compare_predictions(actual, scores, baseline="good", resamples=100, **rule)
    thresholds = table.attrs["thresholds"]
    if "n_flagged" in rule:
        assert thresholds == {}
        assert table["n_flagged"].tolist() == [17, 17]
        return
    for name, score in scores.items():
        rates = tp.prediction_rates(actual, score, thresholds[name])
        row = table.loc[name]
        assert (row["n_flagged"], row["error_rate"], row["omission_rate"]) == (
            rates.n_flagged,
            rates.error_rate,
            rates.omission_rate,
        )
        if "threshold" not in rule:
            assert thresholds[name] == tp.choose_threshold(actual, score, **rule)


def test_the_areas_differ_by_delong():
    actual, scores = paired(250, 7)
    table = compare_predictions(actual, scores, baseline="poor", threshold=0.5, level=0.9)
    matrix = np.column_stack(list(scores.values()))
    areas, covariance = auc_covariance(actual, matrix)
    error = math.sqrt(np.array([1, -1]) @ covariance @ np.array([1, -1]))
    row = table.loc["good"]
    alone = [auc(actual, score).auc for score in scores.values()]
    assert table["auc"].tolist() == pytest.approx(alone, rel=1e-12)
    assert row["auc_difference"] == pytest.approx(areas[0] - areas[1])
    reach = NormalDist().inv_cdf(0.95) * error
    assert row["auc_difference_high"] - row["auc_difference"] == pytest.approx(reach)
    assert row["auc_difference"] - row["auc_difference_low"] == pytest.approx(reach)
    p = 2 * NormalDist().cdf(-abs(areas[0] - areas[1]) / error)
    assert row["auc_difference_p"] == pytest.approx(p)
    # Being on the same customers is what makes the difference sharp.
    assert error < 0.8 * math.sqrt(np.trace(covariance))


def test_columns_and_attributes_are_as_documented():
    actual, scores = paired(50, 8)
    scores["rank"] = scores["good"] * 10
    table = compare_predictions(
        actual, scores, baseline="poor", n_flagged=5, resamples=100, customers=np.arange(50) // 2
    )
    bounds = [f"{name}{side}" for name in DIFFERENCES for side in ("", "_low", "_high")]
    assert list(table.columns) == [
        *["n_flagged", "auc", "error_rate", "omission_rate", "brier"],
        *bounds[:3],
        "auc_difference_p",
        *bounds[3:],
    ]
    assert table.index.name == "score"
    assert list(table.index) == ["good", "poor", "rank"]
    for name in ("good", "poor"):
        assert table.loc[name, "brier"] == pytest.approx(np.mean((scores[name] - actual) ** 2))
    assert math.isnan(table.loc["rank", "brier"])
    assert table.attrs == {
        "baseline": "poor",
        "level": 0.95,
        "n": 50,
        "n_actual": actual.sum(),
        "n_customers": 25,
        "resamples": 100,
        "thresholds": {},
    }


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 4)), min_size=4),
    st.sampled_from([{"n_flagged": 3}, {"max_omission_rate": 0.3}, {"max_error_rate": 1}]),
)
def test_a_score_does_not_differ_from_itself_in_other_units(cases, rule):
    actual, score, customer = (np.array(column) for column in zip(*cases, strict=True))
    assume(0 < actual.sum() < len(actual))
    scores = {"as it is": score, "baseline": np.exp(score) - 9}
    table = compare_predictions(
        actual, scores, baseline="baseline", customers=customer, resamples=100, **rule
    )
    for name in DIFFERENCES:
        assert (table[[name, f"{name}_low", f"{name}_high"]].fillna(0) == 0).all(axis=None)
    assert table[DIFFERENCES].notna().all(axis=None)
    first, second = table.drop(columns="brier").to_numpy()
    assert np.array_equal(first, second, equal_nan=True)
    # With two customers of either kind the variance is known, and the p is 1.
    if min(len(set(customer[actual])), len(set(customer[~actual]))) > 1:
        assert (table["auc_difference_p"] == 1).all()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from(RULES[2:]))
def test_the_order_of_the_rows_is_irrelevant(seed, rule):
    actual, scores = paired(80, 9, digits=1)
    rows = np.random.default_rng(seed).permutation(80)
    turned = {name: score[rows] for name, score in scores.items()}
    first, second = (
        compare_predictions(a, s, baseline="poor", resamples=100, **rule)
        for a, s in ((actual, scores), (actual[rows], turned))
    )
    drawn = [
        f"{name}_difference_{side}" for name in ("error", "omission") for side in ("low", "high")
    ]
    pd.testing.assert_frame_equal(first.drop(columns=drawn), second.drop(columns=drawn))


def test_rows_twice_are_as_good_as_once_when_their_customer_is_known():
    actual, scores = paired(200, 10)
    twice = np.repeat(np.arange(200), 2)
    doubled = {name: score[twice] for name, score in scores.items()}
    once = compare_predictions(actual, scores, baseline="poor", n_flagged=60)
    again = compare_predictions(
        actual[twice],
        doubled,
        baseline="poor",
        n_flagged=120,
        customers=np.array([f"c{i}" for i in twice]),
    )
    pd.testing.assert_frame_equal(again.assign(n_flagged=60), once)
    # Taken as 400 customers, the intervals pretend to more.
    naive = compare_predictions(actual[twice], doubled, baseline="poor", n_flagged=120)
    for name in DIFFERENCES:
        widths = [
            t.loc["good", f"{name}_high"] - t.loc["good", f"{name}_low"] for t in (once, naive)
        ]
        assert widths[1] / widths[0] == pytest.approx(math.sqrt(0.5), rel=0.1)


def test_a_seed_repeats_the_bootstrap():
    actual, scores = paired(100, 11)
    options = {"baseline": "poor", "n_flagged": 30, "resamples": 100}
    first = compare_predictions(actual, scores, seed=1, **options)
    pd.testing.assert_frame_equal(compare_predictions(actual, scores, seed=1, **options), first)
    other = compare_predictions(actual, scores, seed=2, **options)
    assert (
        other.loc["good", "omission_difference_low"] != first.loc["good", "omission_difference_low"]
    )


# --- what has no answer ------------------------------------------------------------------------


def test_what_has_no_case_is_nan():
    scores = {"a": [0.1, 0.2, 0.3], "b": [0.3, 0.1, 0.2]}
    nobody = compare_predictions([1, 0, 1], scores, baseline="a", threshold=math.inf, resamples=100)
    assert nobody["n_flagged"].tolist() == [0, 0]
    assert nobody.filter(like="error").isna().all(axis=None)
    assert (nobody["omission_rate"] == 1).all()
    assert (nobody.filter(like="omission_difference") == 0).all(axis=None)
    nothing = compare_predictions([0, 0, 0], scores, baseline="a", n_flagged=2, resamples=100)
    assert nothing.filter(like="auc").isna().all(axis=None)
    assert nothing.filter(like="omission").isna().all(axis=None)
    assert (nothing["error_rate"] == 1).all()


def test_a_difference_without_a_variance_has_no_interval():
    actual = np.repeat([0, 1], 10)
    scores = {"perfect": actual, "constant": np.zeros(20)}
    table = compare_predictions(actual, scores, baseline="constant", n_flagged=10, resamples=100)
    assert table.loc["perfect", "auc_difference"] == 0.5
    assert table.loc["perfect", ["auc_difference_low", "auc_difference_high"]].isna().all()
    assert math.isnan(table.loc["perfect", "auc_difference_p"])
    # Chance finds half among the tied.
    assert table.loc["constant", ["error_rate", "omission_rate"]].tolist() == [0.5, 0.5]


ACTUAL = [1, 0, 1, 0]
LABELLED = pd.Series([0.4, 0.3, 0.2, 0.1], index=list("wxyz"))
SCORES = {"a": [0.4, 0.3, 0.2, 0.1], "b": [1, 2, 3, 4]}


@pytest.mark.parametrize(
    ("arguments", "options", "parts"),
    [
        ((ACTUAL, [0.1, 0.2]), {}, ["scores is a list", "dict of name to score"]),
        ((ACTUAL, {}), {}, ["scores is empty"]),
        ((ACTUAL, {0: [1, 2, 3, 4]}), {}, ["a score is named 0", "text"]),
        ((ACTUAL, {"a": [1, 2, math.nan, 4]}), {}, ["scores['a'] is nan at row 2"]),
        ((ACTUAL, {"a": [1, 2]}), {}, ["actual has 4 values, scores['a'] 2"]),
        ((SERIES, {"a": TURNED}), {}, ["actual and scores['a'] have different indexes"]),
        (([], {"a": []}), {}, ["actual is empty"]),
        ((ACTUAL, SCORES), {"baseline": "c"}, ["baseline is 'c'", "'a', 'b'"]),
        ((ACTUAL, SCORES), {"n_flagged": None}, ["criteria given are none", "exactly one"]),
        ((ACTUAL, SCORES), {"threshold": 0.2}, ["criteria given are threshold, n_flagged"]),
        ((ACTUAL, SCORES), {"n_flagged": 0}, ["n_flagged is 0", ">= 1"]),
        ((ACTUAL, SCORES), {"n_flagged": 2.5}, ["n_flagged is 2.5", "whole"]),
        ((ACTUAL, SCORES), {"n_flagged": 5}, ["n_flagged is 5", "there are 4 rows", "<= 4"]),
        (
            (ACTUAL, SCORES),
            {"n_flagged": None, "threshold": {"a": 1, "c": 2}},
            ["threshold and scores differ in 'b', 'c'", "same names"],
        ),
        (
            (ACTUAL, SCORES),
            {"n_flagged": None, "threshold": {"a": 1, "b": math.nan}},
            ["threshold is nan"],
        ),
        (
            (ACTUAL, SCORES),
            {"n_flagged": None, "max_error_rate": 1.1},
            ["max_error_rate is 1.1", "<= 1"],
        ),
        (
            (ACTUAL, SCORES),
            {"n_flagged": None, "max_error_rate": 0.1},
            ["scores['b']: no threshold has error_rate <= 0.1", "0.5000"],
        ),
        (
            ([0, 0, 0, 0], SCORES),
            {"n_flagged": None, "max_omission_rate": 0.1},
            ["scores['a']: actual has no positive case"],
        ),
        ((ACTUAL, SCORES), {"customers": [1, 2]}, ["actual has 4 values, customers 2"]),
        ((ACTUAL, SCORES), {"customers": 7}, ["customers has 0 dimensions"]),
        (
            (ACTUAL, SCORES),
            {"customers": ["x", None, "y", None]},
            ["customers is missing at row 1 (2 such values)"],
        ),
        ((SERIES, {"a": [1, 2]}), {"customers": TURNED}, ["actual and customers have different"]),
        (
            (ACTUAL, {"a": LABELLED, "b": LABELLED[::-1]}),
            {},
            ["scores['a'] and scores['b'] have different indexes", "reindex(scores['a'].index)"],
        ),
        (
            (ACTUAL, {"a": SCORES["a"], "b": LABELLED, "c": LABELLED[::-1]}),
            {},
            ["scores['b'] and scores['c'] have different indexes"],
        ),
        (
            (ACTUAL, {"a": LABELLED}),
            {"customers": LABELLED[::-1]},
            ["scores['a'] and customers have different indexes"],
        ),
        ((ACTUAL, SCORES), {"level": 1}, ["level is 1", "< 1"]),
        ((ACTUAL, SCORES), {"resamples": 99}, ["resamples is 99", ">= 100"]),
        ((ACTUAL, SCORES), {"seed": -1}, ["seed is -1"]),
    ],
)
def test_bad_input_is_refused(arguments, options, parts):
    given_options = {"baseline": "a", "n_flagged": 1, **options}
    refused(parts, compare_predictions, *arguments, **given_options)


# --- coverage ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "cutoffs", "rule", "rates"),
    [
        (400, 1, {"threshold": 0.5}, ["error", "omission"]),
        (1000, 1, {"n_flagged": 250}, ["error", "omission"]),
        (300, 3, {"n_flagged": 225}, ["error", "omission"]),
        # The rate that is held to a limit hardly differs in any sample: the other one is judged.
        (600, 1, {"max_error_rate": 0.55}, ["omission"]),
        (400, 1, {"max_omission_rate": 0.3}, ["error"]),
    ],
    ids=["threshold", "n_flagged", "three-cutoffs", "max_error_rate", "max_omission_rate"],
)
def test_intervals_of_the_differences_cover_the_truth(n, cutoffs, rule, rates):
    generator = np.random.default_rng(12)
    actual, scores = market(300_000, generator, cutoffs)
    share = rule.get("n_flagged", 0) / (n * cutoffs)
    sharp, blunt = (
        rates_by_hand(actual, score, name, rule, share) for name, score in scores.items()
    )
    truth = dict(zip(["error", "omission"], np.subtract(sharp, blunt), strict=True))
    repeats, covered = 250, dict.fromkeys(rates, 0)
    for _ in range(repeats):
        actual, scores = market(n, generator, cutoffs)
        row = compare_predictions(
            actual,
            scores,
            baseline="blunt",
            customers=np.repeat(np.arange(n), cutoffs),
            resamples=200,
            **rule,
        ).loc["sharp"]
        for name in rates:
            low, high = row[f"{name}_difference_low"], row[f"{name}_difference_high"]
            covered[name] += low <= truth[name] <= high
    for name, count in covered.items():
        assert 0.93 <= count / repeats <= 0.97, name
