"""Error rate and omission rate with their intervals, against other roads to them."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import touchpoint_lib as tp
from tests.metrics.samples import (
    CASES,
    SERIES,
    TURNED,
    brute_rates,
    refused,
    simulated,
    wilson,
)
from touchpoint_lib import InputError
from touchpoint_lib.metrics._shared import HoldoutTooSmallError, wilson_cases, wilson_interval

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


# --- a holdout that is too small ---------------------------------------------------------------


@settings(deadline=None)
@given(st.floats(0, 1), st.floats(0.005, 0.45), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_the_cases_that_are_needed_have_the_half_width(rate, half_width, level):
    n = wilson_cases(rate, half_width, level)
    z = NormalDist().inv_cdf((1 + level) / 2)
    # Wilson (1927) for any n > 0, whole or not.
    half = z / (1 + z**2 / n) * math.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2))
    assert half == pytest.approx(half_width, rel=1e-6)


def test_wide_intervals_are_refused_by_name_and_narrow_ones_are_not():
    actual, score = simulated(120, 5)
    rates = tp.prediction_rates(actual, score, 0.5)
    halves = {
        name: (getattr(rates, f"{name}_high") - getattr(rates, f"{name}_low")) / 2
        for name in ("error_rate", "omission_rate")
    }
    enough = max(halves.values()) + 1e-9
    assert tp.prediction_rates(actual, score, 0.5, precision=enough) == rates
    cases = {
        "error_rate": f"{rates.n_flagged} flagged",
        "omission_rate": f"{rates.n_actual} to be found",
    }
    # Between the two half widths only the wider interval is to blame.
    wide = max(halves, key=halves.get)
    narrow = min(halves, key=halves.get)
    with pytest.raises(HoldoutTooSmallError) as caught:
        tp.prediction_rates(actual, score, 0.5, precision=sum(halves.values()) / 2)
    assert wide in str(caught.value)
    assert narrow not in str(caught.value)
    with pytest.raises(HoldoutTooSmallError) as caught:
        tp.prediction_rates(actual, score, 0.5, precision=0.02)
    assert isinstance(caught.value, InputError)
    for name, half in halves.items():
        rate, low, high = (getattr(rates, name + side) for side in ("", "_low", "_high"))
        needed = math.ceil(wilson_cases(rate, 0.02, 0.95))
        for part in (
            "half width 0.02",
            f"{name} is {rate:.3f} ({low:.3f} to {high:.3f}), half width {half:.3f}",
            f"on {cases[name]}, about {needed:,} needed",
            "larger or longer holdout",
        ):
            assert part in str(caught.value)


def test_a_rate_without_a_case_is_never_precise_enough():
    parts = ["error_rate has no interval on 0 flagged"]
    refused(parts, tp.prediction_rates, [1, 0] * 40, [0] * 80, 1, precision=0.3)


def test_a_resampled_interval_asks_for_as_many_as_its_width_demands():
    actual, score = simulated(400, 6)
    rates = tp.prediction_rates(actual, score, 0.5, weights=np.full(400, 2.0))
    half = (rates.omission_rate_high - rates.omission_rate_low) / 2
    parts = [f"{rates.n_actual:g} to be found, about {math.ceil(rates.n_actual * 16):,} needed"]
    options = {"weights": np.full(400, 2.0), "precision": half / 4}
    refused(parts, tp.prediction_rates, actual, score, 0.5, **options)


@pytest.mark.parametrize(
    ("n_wrong", "n_right", "weights", "precision", "parts"),
    [
        # Nobody was wrong: resamples hold nothing else, and have no width.
        (0, 3, [1, 1, 1], 0.01, ["error_rate is 0.000 (0.000 to 0.561)", "on 3.0 effective"]),
        (3, 0, [1, 1, 1], 0.01, ["error_rate is 1.000 (0.439 to 1.000)", "about 189 needed"]),
        # z^2 / (2 (n + z^2)) <= .01 from n = 189 on.
        (0, 188, [1] * 188, 0.01, ["on 188.0 effective cases), about 189 needed"]),
        (0, 189, [1] * 189, 0.01, None),
        # Each row stands for 10 cases, of which resamples know only one.
        (0, 188, [10] * 188, 0.01, ["on 1,880 flagged (Wilson's on 188.0", "about 1,883 needed"]),
        # Kish: (1000 + 400)^2 / (1000^2 + 400) = 1.96.
        (0, 401, [1000] + [1] * 400, 0.01, ["on 1,400 flagged (Wilson's on 2.0 effective"]),
        # 1 of 29: (.0061, .1718) by Newcombe's table, and at most .1034 in 95 % of resamples.
        (1, 28, [1] * 29, 0.07, ["(0.006 to 0.172), half width 0.083 on 29 flagged (Wilson's"]),
        (1, 29, [1] * 30, 0.07, None),
    ],
)
def test_a_bootstrap_of_few_or_like_cases_is_judged_by_wilson(
    n_wrong, n_right, weights, precision, parts
):
    n = n_wrong + n_right
    actual = [0] * n_wrong + [1] * n_right
    score, share = [1.0] * n, np.array(weights, dtype=float)
    options = {"weights": share, "precision": precision}
    if parts is None:
        tp.prediction_rates(actual, score, 0.5, **options)
        return
    refused([*parts, "error_rate"], tp.prediction_rates, actual, score, 0.5, **options)
    if len(set(weights)) == 1:
        options = {"method": "bootstrap", "precision": precision}
        refused(["error_rate is"], tp.prediction_rates, actual, score, 0.5, **options)


def test_a_precision_beyond_floats_is_refused_whatever_the_interval():
    for options in ({}, {"method": "bootstrap"}):
        parts = ["precision is 1e-300", ">= 1e-06"]
        case = ([1, 0, 1, 1], [0.9, 0.8, 0.1, 0.7], 0.5)
        refused(parts, tp.prediction_rates, *case, precision=1e-300, **options)
        refused(["half width 1e-06"], tp.prediction_rates, *case, precision=1e-6, **options)


@pytest.mark.parametrize("precision", [0, 0.5, -0.1, math.nan, "wide"])
def test_a_precision_that_makes_no_sense_is_refused(precision):
    refused(["precision is"], tp.prediction_rates, [1, 0], [1, 0], 0.5, precision=precision)
