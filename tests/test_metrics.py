"""Error rate, omission rate, intervals, thresholds and calibration, against other roads to them."""

from __future__ import annotations

import itertools
import math
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import touchpoint_lib as tp
from touchpoint_lib import InputError
from touchpoint_lib.metrics._shared import quantile_cuts, wilson_interval


def refused(parts, function, *args, **kwargs):
    """Assert that the call raises an InputError whose message has all ``parts``."""
    with pytest.raises(InputError) as caught:
        function(*args, **kwargs)
    for part in parts:
        assert part in str(caught.value)


def brute_rates(actual, flagged):
    """Error and omission rate by counting one case after the other."""
    wrong = sum(1 for a, f in zip(actual, flagged, strict=True) if f and not a)
    missed = sum(1 for a, f in zip(actual, flagged, strict=True) if a and not f)
    return (
        wrong / sum(map(bool, flagged)) if any(flagged) else math.nan,
        missed / sum(map(bool, actual)) if any(actual) else math.nan,
    )


def wilson(count, n, level):
    """The roots of (p - count/n)^2 = z^2 p (1 - p) / n, from its polynomial in p."""
    z2 = NormalDist().inv_cdf((1 + level) / 2) ** 2
    share = count / n
    roots = np.roots([1 + z2 / n, -2 * share - z2 / n, share**2])
    return sorted(float(root.real) for root in roots)


#: Cases of 0 or 1 with a score that is often tied.
CASES = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=1, max_size=40)


# --- the two rates -----------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=30))
def test_rates_are_counted(cases):
    actual, flagged = [a for a, _ in cases], [f for _, f in cases]
    error, omission = brute_rates(actual, flagged)
    assert tp.error_rate(actual, flagged) == pytest.approx(error, nan_ok=True)
    assert tp.omission_rate(actual, flagged) == pytest.approx(omission, nan_ok=True)
    # Numbers and pandas' own booleans mean the same.
    for kind in ("int64", "float64", "boolean"):
        typed = pd.Series(actual, dtype=kind), pd.Series(flagged, dtype=kind)
        assert tp.error_rate(*typed) == pytest.approx(error, nan_ok=True)
        assert tp.omission_rate(*typed) == pytest.approx(omission, nan_ok=True)


@settings(deadline=None)
@given(CASES, st.integers(0, 7))
def test_missed_and_wrong_change_places_with_the_question(cases, cut):
    # Who is not flagged as gone is flagged as staying: recall of one is the other's precision's
    # denominator, so the four cells are those of the mirrored question.
    actual = np.array([a for a, _ in cases])
    score = np.array([s for _, s in cases], dtype=float)
    rates = tp.prediction_rates(actual, score, cut)
    mirror = tp.prediction_rates(~actual, -score, -cut + 0.5)
    assert rates.false_positive == mirror.false_negative
    assert rates.true_positive == mirror.true_negative
    assert rates.n == mirror.n == len(cases)
    assert rates.n_flagged + mirror.n_flagged == len(cases)
    assert rates.n_actual == actual.sum()


def test_nothing_flagged_and_nothing_to_find_are_nan_with_their_bounds():
    nobody = tp.prediction_rates([1, 0], [0.1, 0.2], threshold=math.inf)
    assert math.isnan(nobody.error_rate)
    assert math.isnan(nobody.error_rate_low)
    assert math.isnan(nobody.error_rate_high)
    assert nobody.omission_rate == 1
    assert nobody.n_flagged == 0
    for weights in (None, [1.0, 2.0]):
        nothing = tp.prediction_rates([0, 0], [0.1, 0.2], threshold=0, weights=weights)
        assert nothing.error_rate == 1
        assert math.isnan(nothing.omission_rate)
        assert math.isnan(nothing.omission_rate_low)
        assert math.isnan(nothing.omission_rate_high)
    assert math.isnan(tp.error_rate([], []))


@pytest.mark.parametrize(
    ("actual", "predicted", "parts"),
    [
        ([1, 0], [1], ["actual has 2 values, predicted 1"]),
        ([1, 2], [1, 0], ["actual has the value 2", "0 or 1"]),
        ([1, 0], [1, 0.5], ["predicted has the value 0.5", "0 or 1"]),
        ([1, None], [1, 0], ["actual is nan at row 1", "remove"]),
        (["yes", "no"], [1, 0], ["actual is not numeric", "convert"]),
        (1, 1, ["actual has 0 dimensions", "list"]),
        ([[1], [0]], [1, 0], ["actual has 2 dimensions", "one a customer"]),
        (
            pd.Series([1, 0], index=["a", "b"]),
            pd.Series([1, 0], index=["b", "a"]),
            ["actual and predicted have different indexes", "predicted.reindex(actual.index)"],
        ),
    ],
)
def test_cases_that_do_not_fit_are_refused(actual, predicted, parts):
    refused(parts, tp.error_rate, actual, predicted)
    refused(parts, tp.omission_rate, actual, predicted)


SERIES = pd.Series([1.0, 0.0], index=["a", "b"])
TURNED = pd.Series([0.4, 0.6], index=["b", "a"])


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (([1, 0], [0.1, math.nan], 0.5), ["score is nan at row 1"]),
        (([1, 0], [0.1], 0.5), ["actual has 2 values, score 1"]),
        (([], [], 0.5), ["actual is empty"]),
        (([1, 0], [0.1, 0.2], math.nan), ["threshold is nan", "inf flags nobody"]),
        (([1, 0], [0.1, 0.2], "high"), ["threshold is 'high'", "number"]),
        (([1, 0], [0.1, 0.2], None), ["threshold is None", "number"]),
        (([1, 0], [0.1, 0.2], 0.5, 1.0), ["level is 1.0", "< 1"]),
        (([1, 0], [0.1, 0.2], 0.5, 0), ["level is 0", "> 0"]),
        (([1, 0], [[0.1], [0.2]], 0.5), ["score has 2 dimensions"]),
        (([1, 0], [0.1, 0.2], 0.5, 0.95, [1, -1]), ["weights is -1 at row 1", ">= 0"]),
        (([1, 0], [0.1, 0.2], 0.5, 0.95, [1]), ["actual has 2 values, weights 1"]),
        ((SERIES, TURNED, 0.5), ["actual and score have different indexes", "reindex"]),
        ((SERIES, [1, 2], 0.5, 0.95, TURNED), ["actual and weights have different indexes"]),
        (([1, 0], SERIES, 0.5, 0.95, TURNED), ["score and weights have different indexes"]),
    ],
)
def test_bad_input_of_prediction_rates_is_refused(arguments, parts):
    refused(parts, tp.prediction_rates, *arguments)


def test_a_method_must_suit_the_weights():
    case = ([1, 0], [0.1, 0.2], 0.5)
    refused(["'exact'", "'wilson', 'bootstrap'"], tp.prediction_rates, *case, method="exact")
    refused(["wilson", "bootstrap"], tp.prediction_rates, *case, weights=[1, 1], method="wilson")
    refused(["seed is -1"], tp.prediction_rates, *case, method="bootstrap", seed=-1)


# --- intervals ---------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(1, 400), st.data(), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_wilson_bounds_solve_their_equation(n, data, level):
    count = data.draw(st.integers(0, n))
    low, high = wilson_interval(count, n, level)
    assert [low, high] == pytest.approx(wilson(count, n, level), abs=1e-7)
    assert 0 <= low <= count / n <= high <= 1


def test_wilson_bounds_that_are_published():
    # Newcombe (1998), "Two-sided confidence intervals for the single proportion", Statistics in
    # Medicine 17, table I, method 3: 81/263, 15/148, 0/20, 1/29.
    for count, n, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        assert wilson_interval(count, n, 0.95) == pytest.approx((low, high), abs=5e-5)


def test_the_rates_carry_the_bounds_of_their_own_cases():
    actual = [1] * 12 + [0] * 5 + [1] * 4 + [0] * 9
    score = [1.0] * 17 + [0.0] * 13
    rates = tp.prediction_rates(actual, score, 0.5, level=0.9)
    assert (rates.error_rate_low, rates.error_rate_high) == pytest.approx(wilson(5, 17, 0.9))
    assert (rates.omission_rate_low, rates.omission_rate_high) == pytest.approx(wilson(4, 16, 0.9))
    frame = rates.to_frame()
    assert frame.loc[0, "true_negative"] == 9
    assert "0.294" in rates._repr_html_()


def test_wilson_intervals_cover_the_true_rate():
    generator = np.random.default_rng(1)
    covered = {"error_rate": 0, "omission_rate": 0}
    repeats = 1500
    for _ in range(repeats):
        # A customer is flagged with probability .4; wrongly for 25 %, and 30 % are missed.
        flagged = generator.random(150) < 0.4
        actual = generator.random(150) < np.where(flagged, 0.75, 0.6 / 1.4 * 0.5)
        rates = tp.prediction_rates(actual, flagged.astype(float), 0.5)
        truth = {"error_rate": 0.25, "omission_rate": 0.6 * 0.3 / 1.4}
        truth["omission_rate"] /= 0.3 + truth["omission_rate"]
        for name, value in truth.items():
            low, high = getattr(rates, f"{name}_low"), getattr(rates, f"{name}_high")
            covered[name] += low <= value <= high
    for name, count in covered.items():
        assert 0.93 < count / repeats < 0.97, name


def simulated(n, seed):
    generator = np.random.default_rng(seed)
    score = generator.random(n)
    return generator.random(n) < score, score


def test_the_bootstrap_agrees_with_wilson_on_many_cases():
    actual, score = simulated(4000, 2)
    exact = tp.prediction_rates(actual, score, 0.6)
    drawn = tp.prediction_rates(actual, score, 0.6, method="bootstrap")
    assert drawn.error_rate == exact.error_rate
    for name in ("error_rate", "omission_rate"):
        width = getattr(exact, f"{name}_high") - getattr(exact, f"{name}_low")
        for side in ("low", "high"):
            near = pytest.approx(getattr(exact, f"{name}_{side}"), abs=0.1 * width)
            assert getattr(drawn, f"{name}_{side}") == near


def test_the_bootstrap_repeats_itself_for_a_seed_only():
    actual, score = simulated(200, 3)
    first, again, other = (
        tp.prediction_rates(actual, score, 0.5, method="bootstrap", seed=seed) for seed in (7, 7, 8)
    )
    assert first == again
    assert first != other
    assert (first.error_rate, first.n) == (other.error_rate, other.n)


@settings(deadline=None, max_examples=15)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 3)), min_size=1))
def test_whole_weights_stand_for_repeated_rows(cases):
    actual, score, weights = (np.array(column) for column in zip(*cases, strict=True))
    weighted = tp.prediction_rates(actual, score, 2, weights=weights)
    if weights.sum() == 0:
        assert weighted.n == 0
        assert math.isnan(weighted.error_rate)
        return
    repeated = tp.prediction_rates(np.repeat(actual, weights), np.repeat(score, weights), 2)
    for name in ("n", "n_flagged", "n_actual", "true_positive", "false_positive", "true_negative"):
        assert getattr(weighted, name) == getattr(repeated, name)
    for name in ("error_rate", "omission_rate"):
        rate = getattr(weighted, name)
        assert rate == pytest.approx(getattr(repeated, name), nan_ok=True)
        if not math.isnan(rate):
            assert getattr(weighted, f"{name}_low") <= rate <= getattr(weighted, f"{name}_high")


def test_rows_of_weight_two_are_fewer_cases_than_twice_as_many_rows():
    actual, score = simulated(300, 4)
    doubled = tp.prediction_rates(actual, score, 0.5, weights=np.full(300, 2.0))
    repeated = tp.prediction_rates(np.repeat(actual, 2), np.repeat(score, 2), 0.5)
    width = doubled.error_rate_high - doubled.error_rate_low
    assert doubled.n == repeated.n == 600
    assert width > 1.25 * (repeated.error_rate_high - repeated.error_rate_low)


# --- curves and thresholds ---------------------------------------------------------------------


@settings(deadline=None)
@given(CASES)
def test_the_curve_is_the_rates_at_every_threshold(cases):
    actual, score = [a for a, _ in cases], [s for _, s in cases]
    curve = tp.rates_curve(actual, score)
    assert curve["threshold"].tolist() == sorted(set(score), reverse=True)
    for row in curve.itertuples():
        flagged = [s >= row.threshold for s in score]
        error, omission = brute_rates(actual, flagged)
        assert row.n_flagged == sum(flagged)
        # To the last digit: a bound of 0.3 must hold 3 wrong of 10.
        assert row.error_rate == error
        assert row.omission_rate == omission or (math.isnan(omission) and not any(actual))
    assert curve["n_flagged"].iloc[-1] == len(cases)
    if any(actual):
        assert curve["omission_rate"].iloc[-1] == 0
        assert curve["omission_rate"].is_monotonic_decreasing


def test_infinite_scores_have_their_place_on_the_curve():
    curve = tp.rates_curve([1, 0, 1], [math.inf, 0.5, -math.inf])
    assert curve["threshold"].tolist() == [math.inf, 0.5, -math.inf]
    assert curve["omission_rate"].tolist() == [0.5, 0.5, 0]


MONEY = st.tuples(st.integers(1, 9), st.integers(1, 9))


@settings(deadline=None)
@given(CASES, st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5, 0.7, 1.0]))
def test_no_threshold_within_the_bound_is_better(cases, limit):
    actual, score = [a for a, _ in cases], [s for _, s in cases]
    reachable = [
        (cut, *brute_rates(actual, [s >= cut for s in score])) for cut in sorted(set(score))
    ]
    for criterion, bounded, wanted in (("max_error_rate", 1, 2), ("max_omission_rate", 2, 1)):
        if not any(actual):
            refused(["no positive case"], tp.choose_threshold, actual, score, **{criterion: limit})
            continue
        fits = [row for row in reachable if row[bounded] <= limit]
        if not fits:
            least = min(row[bounded] for row in reachable)
            parts = [f"<= {limit:g}", f"lowest that can be reached is {least:.4f}"]
            refused(parts, tp.choose_threshold, actual, score, **{criterion: limit})
            continue
        best = min(row[wanted] for row in fits)
        # Of equals the highest threshold: the fewest flagged.
        expected = max(row[0] for row in fits if row[wanted] == best)
        assert tp.choose_threshold(actual, score, **{criterion: limit}) == expected


@settings(deadline=None)
@given(CASES, st.integers(1, 45), MONEY)
def test_capacity_and_money_choose_the_best_threshold(cases, capacity, money):
    actual, score = [a for a, _ in cases], [s for _, s in cases]
    if not any(actual):
        return
    cuts = sorted(set(score), reverse=True)
    fits = [cut for cut in cuts if sum(s >= cut for s in score) <= capacity]
    if fits:
        assert tp.choose_threshold(actual, score, capacity=capacity) == min(fits)
    else:
        tied = score.count(max(score))
        parts = [f"capacity is {capacity}", f"{tied} customers share the highest score", "raise"]
        refused(parts, tp.choose_threshold, actual, score, capacity=capacity)
    benefit, cost = money
    profit = {
        cut: sum(benefit * a - cost for a, s in cases if s >= cut) for cut in [*cuts, math.inf]
    }
    chosen = tp.choose_threshold(actual, score, benefit=benefit, cost=cost)
    assert profit[chosen] == max(profit.values())
    assert chosen == max(cut for cut in profit if profit[cut] == profit[chosen])


def test_flagging_nobody_is_the_answer_where_nothing_earns():
    chosen = tp.choose_threshold([1, 0, 0], [0.9, 0.8, 0.7], benefit=1, cost=2)
    assert chosen == math.inf
    # The answer can be used as it is.
    assert tp.prediction_rates([1, 0, 0], [0.9, 0.8, 0.7], chosen).n_flagged == 0
    assert tp.expected_rates([0.9, 0.8, 0.7], chosen).n_flagged == 0


def test_a_bound_that_is_met_exactly_is_met():
    assert tp.choose_threshold([1] * 7 + [0] * 3, [1.0] * 10, max_error_rate=0.3) == 1


@pytest.mark.parametrize(
    ("criteria", "parts"),
    [
        ({}, ["criteria given are none", "exactly one"]),
        (
            {"capacity": 3, "max_error_rate": 0.1},
            ["criteria given are max_error_rate, capacity", "exactly one"],
        ),
        ({"benefit": 1.0}, ["benefit and cost", "benefit with cost"]),
        ({"cost": 1.0}, ["benefit with cost"]),
        ({"benefit": 1.0, "cost": 1.0, "capacity": 1}, ["capacity, benefit and cost"]),
        ({"max_error_rate": 1.5}, ["max_error_rate is 1.5", "<= 1"]),
        ({"max_omission_rate": -0.5}, ["max_omission_rate is -0.5", ">= 0"]),
        ({"capacity": 0}, ["capacity is 0", ">= 1"]),
        ({"capacity": 1.5}, ["capacity is 1.5", "whole"]),
        ({"benefit": 0, "cost": 1}, ["benefit is 0", "> 0"]),
        ({"benefit": 1, "cost": -1}, ["cost is -1", "> 0"]),
    ],
)
def test_criteria_that_make_no_sense_are_refused(criteria, parts):
    refused(parts, tp.choose_threshold, [1, 0], [0.2, 0.1], **criteria)


# --- what a model promises ---------------------------------------------------------------------


def test_the_promise_is_the_mean_of_what_happens_and_its_interval_holds():
    generator = np.random.default_rng(5)
    p = generator.beta(0.7, 1.5, 800)
    promised = tp.expected_rates(p, 0.4, level=0.9)
    seen = [tp.prediction_rates(generator.random(800) < p, p, 0.4) for _ in range(1500)]
    assert promised.n_flagged == seen[0].n_flagged
    assert promised.expected_actual == pytest.approx(np.mean([r.n_actual for r in seen]), rel=0.01)
    for name in ("error_rate", "omission_rate"):
        rates = np.array([getattr(r, name) for r in seen])
        error = rates.std() / np.sqrt(len(rates))
        assert getattr(promised, name) == pytest.approx(rates.mean(), abs=4 * error)
        low, high = getattr(promised, f"{name}_low"), getattr(promised, f"{name}_high")
        assert 0.87 < ((low <= rates) & (rates <= high)).mean() < 0.93


def test_sure_probabilities_promise_without_doubt():
    promised = tp.expected_rates([1, 1, 0, 0], 0.5)
    assert (promised.error_rate_low, promised.error_rate_high) == (0, 0)
    assert (promised.omission_rate_low, promised.omission_rate_high) == (0, 0)
    assert promised.to_frame().loc[0, "n"] == 4
    assert "0.000" in promised._repr_html_()


def test_a_promise_without_cases_is_nan():
    nobody = tp.expected_rates([0.2, 0.3], 0.5)
    assert math.isnan(nobody.error_rate)
    assert math.isnan(nobody.error_rate_low)
    assert nobody.omission_rate == 1
    nothing = tp.expected_rates([0.0, 0.0], 0)
    assert nothing.error_rate == 1
    assert math.isnan(nothing.omission_rate)
    assert math.isnan(nothing.omission_rate_high)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (([0.5, 1.5], 0.5), ["probability is 1.5 at row 1", "<= 1"]),
        ((pd.Series([-0.1], index=["x"]), 0.5), ["probability is -0.1 at index 'x'", ">= 0"]),
        (([math.nan], 0.5), ["probability is nan"]),
        (([], 0.5), ["probability is empty"]),
        (([[0.5]], 0.5), ["probability has 2 dimensions"]),
        (([0.5], "x"), ["threshold is 'x'"]),
        (([0.5], 0.5, 95), ["level is 95", "< 1"]),
    ],
)
def test_bad_probabilities_are_refused(arguments, parts):
    refused(parts, tp.expected_rates, *arguments)


# --- calibration -------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 20)), min_size=1, max_size=60),
    st.integers(1, 12),
)
def test_bins_partition_the_cases_and_never_part_ties(cases, bins):
    actual = np.array([a for a, _ in cases])
    p = np.array([s for _, s in cases]) / 20
    table = tp.calibration_table(actual, p, bins=bins)
    assert table["n"].sum() == len(cases)
    assert (table["n"] > 0).all()
    assert len(table) <= bins
    assert (table["mean_probability"].diff().iloc[1:] > 0).all()
    assert (table["n"] * table["observed_rate"]).sum() == pytest.approx(actual.sum())
    assert (table["n"] * table["mean_probability"]).sum() == pytest.approx(p.sum())
    # Ranked by probability, the bins are stretches of whole groups of equals.
    ends = np.cumsum(table["n"])
    groups = np.cumsum(np.unique(p, return_counts=True)[1])
    assert set(ends) <= set(groups)
    start = 0
    order = np.argsort(p, kind="stable")
    for row, end in zip(table.itertuples(), ends, strict=True):
        part = order[start:end]
        assert row.mean_probability == pytest.approx(p[part].mean())
        assert row.observed_rate == pytest.approx(actual[part].mean())
        bounds = wilson(actual[part].sum(), row.n, 0.95)
        assert [row.observed_low, row.observed_high] == pytest.approx(bounds, abs=1e-7)
        start = end


def test_without_ties_the_bins_have_one_size():
    actual, p = simulated(1000, 6)
    assert tp.calibration_table(actual, p)["n"].tolist() == [100] * 10


@pytest.mark.parametrize("many", [5, 95])
def test_two_probabilities_are_two_bins_however_uneven(many):
    p = np.repeat([0.1, 0.9], [many, 100 - many])
    table = tp.calibration_table(p > 0.5, p)
    assert table["n"].tolist() == [many, 100 - many]
    assert table["observed_rate"].tolist() == [0, 1]


def test_right_probabilities_lie_in_their_intervals_about_as_often_as_promised():
    inside = []
    for seed in range(60):
        actual, p = simulated(2000, 100 + seed)
        table = tp.calibration_table(actual, p, level=0.9)
        inside.append(table["mean_probability"].between(table.observed_low, table.observed_high))
    assert 0.86 < np.mean(inside) < 0.95
    actual, p = simulated(2000, 7)
    # And wrong ones do not.
    table = tp.calibration_table(actual, p**2, level=0.9)
    assert table["mean_probability"].between(table.observed_low, table.observed_high).mean() < 0.6


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (([1, 0], [0.5, 2], 2), ["probability is 2 at row 1", "<= 1"]),
        (([1, 0], [0.5, 0.2], 0), ["bins is 0", ">= 1"]),
        (([1, 0], [0.5, 0.2], 2.5), ["bins is 2.5", "whole"]),
        (([1, 0], [0.5, 0.2], 2, 1), ["level is 1", "< 1"]),
        ((SERIES, TURNED), ["actual and probability have different indexes"]),
    ],
)
def test_bad_input_of_the_calibration_is_refused(arguments, parts):
    refused(parts, tp.calibration_table, *arguments)


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=50), st.integers(2, 8))
def test_quantile_cuts_leave_nobody_out_of_the_lowest_class(values, bins):
    array = np.array(values, dtype=float)
    cuts = quantile_cuts(array, bins)
    assert (np.diff(cuts) > 0).all()
    assert len(cuts) < bins
    assert (cuts > array.min()).all()
    assert (cuts <= array.max()).all()
    # Whoever differ at all are not thrown together into one class.
    assert (len(cuts) == 0) == (len(set(values)) == 1)


# --- published ---------------------------------------------------------------------------------


def auc(actual, score):
    """Share of pairs of a buyer and a non-buyer that the score orders rightly, ties half."""
    ranks = pd.Series(score).rank().to_numpy()
    buyers, others = int(actual.sum()), int((~actual).sum())
    return (ranks[actual].sum() - buyers * (buyers + 1) / 2) / (buyers * others)


def auc_of_curve(actual, score):
    """The same as an area: recall over the share of the others that is flagged."""
    curve = tp.rates_curve(actual, score)
    others = (curve["error_rate"] * curve["n_flagged"]).round() / int((~actual).sum())
    found = 1 - curve["omission_rate"]
    return np.trapezoid([0, *found], [0, *others])


def test_recency_alone_ranks_the_buyers_of_the_cdnow_holdout():
    # tests/reference: 39 weeks after 1997-09-30, probability of a purchase against plain recency.
    split = tp.rfm_split(tp.load_cdnow(sample=True), split="1997-09-30")
    bought = (split["holdout_frequency"] > 0).to_numpy()
    scores = {
        0.7714: -(split["T"] - split["recency"]),
        0.7601: tp.ModifiedBetaGeoModel().fit(split).probability_of_purchase(split, 39),
        0.7569: tp.BetaGeoModel().fit(split).probability_of_purchase(split, 39),
    }
    for published, score in scores.items():
        assert auc(bought, score) == pytest.approx(published, abs=5e-5)
        assert auc_of_curve(bought, score) == pytest.approx(published, abs=5e-5)


def test_the_area_is_that_of_all_pairs():
    actual, score = simulated(60, 8)
    score = score.round(1)
    pairs = list(itertools.product(score[actual], score[~actual]))
    area = np.mean([(a > b) + (a == b) / 2 for a, b in pairs])
    assert auc_of_curve(actual, score) == pytest.approx(area)
