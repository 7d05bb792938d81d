"""The curve of both rates and the thresholds that criteria pick, against every threshold."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import touchpoint_lib as tp
from tests.metrics.samples import (
    CASES,
    brute_rates,
    refused,
)

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
