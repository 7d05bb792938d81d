"""What a model promises, and calibration, against simulation and statsmodels."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

import touchpoint_lib as tp
from tests.metrics.samples import (
    SERIES,
    TURNED,
    refused,
    simulated,
    wilson,
)
from touchpoint_lib import InputError
from touchpoint_lib.metrics._shared import quantile_cuts
from touchpoint_lib.metrics.calibration import calibration_slope

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


@settings(deadline=None)
@given(st.lists(st.integers(0, 99), min_size=1, max_size=50), st.integers(0, 60))
def test_more_bins_than_values_part_all_that_differ(values, more):
    array = np.array(values, dtype=float)
    # 10**15 cut points would fill any memory.
    for bins in (len(values) + more, 10**15):
        assert quantile_cuts(array, bins).tolist() == sorted(set(values))[1:]


# --- recalibration -----------------------------------------------------------------------------


def recalibrated(slope, intercept, n, seed):
    """Outcomes whose log odds are intercept + slope x those of the probabilities."""
    generator = np.random.default_rng(seed)
    odds = generator.normal(-0.5, 1.5, n)
    return generator.random(n) < expit(intercept + slope * odds), expit(odds)


@pytest.mark.parametrize(
    ("slope", "intercept", "n", "spread"),
    [(1, 0, 300, 1), (0.4, -1, 2000, 1), (-0.5, 2, 500, 1), (1, 0, 400, 9), (0.02, 0, 400, 200)],
)
def test_slope_and_intercept_are_those_of_statsmodels(slope, intercept, n, spread):
    actual, p = recalibrated(slope, intercept, n, 11)
    # Probabilities from 1e-9 on, or down to 1e-250, promise far too much.
    p = np.clip(expit(logit(p) * spread), 1e-250, 1 - 1e-15)
    fit = calibration_slope(actual, p, level=0.9)
    family = sm.families.Binomial()
    odds = logit(p)
    free = sm.GLM(actual.astype(float), sm.add_constant(odds), family=family).fit()
    assert fit.slope == pytest.approx(free.params[1], rel=1e-5)
    assert fit.slope_standard_error == pytest.approx(free.bse[1], rel=1e-4)
    assert (fit.slope_low, fit.slope_high) == pytest.approx(free.conf_int(0.1)[1], rel=1e-4)
    # Calibration in the large: the promised number is the observed one.
    moved = expit(odds + fit.intercept)
    assert moved.sum() == pytest.approx(actual.sum())
    if spread == 1:
        fixed = sm.GLM(actual.astype(float), np.ones(n), family=family, offset=odds).fit()
        assert fit.intercept == pytest.approx(fixed.params[0], abs=1e-6)
        assert fit.intercept_standard_error == pytest.approx(fixed.bse[0], rel=1e-5)
        bounds = (fit.intercept_low, fit.intercept_high)
        assert bounds == pytest.approx(fixed.conf_int(0.1)[0], abs=1e-5)
    assert (fit.n, fit.mean_probability, fit.observed_rate) == (n, p.mean(), actual.mean())


def test_intervals_of_the_recalibration_cover_the_truth():
    covered, repeats = {"slope": 0, "intercept": 0}, 600
    for seed in range(repeats):
        actual, p = recalibrated(0.6, 0, 400, 1000 + seed)
        slope = calibration_slope(actual, p)
        covered["slope"] += slope.slope_low <= 0.6 <= slope.slope_high
        # Held at slope 1, only a slope of 1 leaves an intercept that was put in.
        actual, p = recalibrated(1, -0.4, 400, 5000 + seed)
        large = calibration_slope(actual, p)
        covered["intercept"] += large.intercept_low <= -0.4 <= large.intercept_high
    for name, count in covered.items():
        assert 0.93 < count / repeats < 0.97, name


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 99)), min_size=6, max_size=40))
def test_the_mirrored_question_has_the_same_slope_and_the_opposite_intercept(cases):
    actual, p = (np.array(column) for column in zip(*cases, strict=True))
    p = p / 100
    try:
        fit = calibration_slope(actual, p)
    except InputError:
        with pytest.raises(InputError):
            calibration_slope(~actual, 1 - p)
        return
    mirror = calibration_slope(~actual, 1 - p)
    assert mirror.slope == pytest.approx(fit.slope, rel=1e-4, abs=1e-4)
    assert mirror.intercept == pytest.approx(-fit.intercept, abs=1e-8)
    assert mirror.intercept_standard_error == pytest.approx(fit.intercept_standard_error)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (([1, 0, 1], [0.5, 1, 0]), ["exactly 0 or 1 in 2 of 3", "clip", "calibration_table"]),
        (([1, 0], [0.5, 1.2]), ["probability is 1.2 at row 1", "<= 1"]),
        (([1, 0], [0.5, math.nan]), ["probability is nan at row 1"]),
        (([1, 1], [0.5, 0.2]), ["actual is 1 in every row", "both outcomes"]),
        (([0, 0], [0.5, 0.2]), ["actual is 0 in every row"]),
        (([1, 0, 1], [0.3] * 3), ["probability is 0.3 in every row", "two different"]),
        (([1, 0, 1, 0], [0.8, 0.2, 0.9, 0.1]), ["separate the 2 that are 1", "no bound"]),
        (([1, 0, 1, 0], [0.2, 0.8, 0.1, 0.2]), ["separate the 2 that are 1", "larger holdout"]),
        (([1, 0, 0], [0.5, 0.4, 0.6], 2), ["level is 2", "< 1"]),
        (([1, 0], [0.5]), ["actual has 2 values, probability 1"]),
        ((SERIES, TURNED), ["actual and probability have different indexes"]),
    ],
)
def test_bad_input_of_the_recalibration_is_refused(arguments, parts):
    refused(parts, calibration_slope, *arguments)
