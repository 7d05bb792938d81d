"""The area under the curve and its variance, against all pairs, Stata and simulation."""

from __future__ import annotations

import itertools
import math
import pickle
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import touchpoint_lib as tp
from tests.metrics.samples import CASES, SERIES, TURNED, market, refused, simulated, wilson
from touchpoint_lib.metrics._shared import HoldoutTooSmallError
from touchpoint_lib.metrics.ranking import auc, auc_covariance, placements, weighted_auc

#: Cases with two tied scores and a customer.
PAIRED = st.lists(
    st.tuples(st.booleans(), st.integers(0, 6), st.integers(0, 6), st.integers(0, 5)),
    min_size=4,
    max_size=30,
)


def columns(cases):
    """Outcomes, two scores as columns and the customers of paired cases; both kinds occur."""
    actual, first, second, customer = (np.array(column) for column in zip(*cases, strict=True))
    assume(0 < actual.sum() < len(actual))
    return actual, np.column_stack([first, second]).astype(float), customer


def brute_placements(actual, score):
    """Psi of every pair, averaged one pair after the other."""

    def psi(x, y):
        return 1.0 if x > y else 0.5 if x == y else 0.0

    positive = [x for a, x in zip(actual, score, strict=True) if a]
    negative = [y for a, y in zip(actual, score, strict=True) if not a]
    return [
        np.mean([psi(s, y) for y in negative]) if a else np.mean([psi(x, s) for x in positive])
        for a, s in zip(actual, score, strict=True)
    ]


def obuchowski(actual, scores, customer):
    """Obuchowski (1997), eq. 5-8, customer by customer."""
    m, n = int(actual.sum()), int((~actual).sum())
    place = np.column_stack([brute_placements(actual, score) for score in scores.T])
    area = place[actual].mean(axis=0)
    s10 = s01 = s11 = np.zeros((2, 2))
    ids = np.unique(customer)
    n10 = n01 = 0
    for one in ids:
        own = customer == one
        x = (place[own & actual] - area).sum(axis=0)
        y = (place[own & ~actual] - area).sum(axis=0)
        n10, n01 = n10 + bool((own & actual).any()), n01 + bool((own & ~actual).any())
        s10, s01 = s10 + np.outer(x, x), s01 + np.outer(y, y)
        s11 = s11 + np.outer(x, y)
    if min(n10, n01) < 2:
        return area, np.full((2, 2), np.nan)
    s10 = s10 * n10 / ((n10 - 1) * m)
    s01 = s01 * n01 / ((n01 - 1) * n)
    s11 = s11 * len(ids) / (len(ids) - 1)
    return area, s10 / m + s01 / n + (s11 + s11.T) / (m * n)


# --- DeLong's components and variance ----------------------------------------------------------


@settings(deadline=None)
@given(PAIRED)
def test_components_are_the_means_over_all_pairs(cases):
    actual, scores, _ = columns(cases)
    for score in scores.T:
        place = placements(actual, score)
        assert place == pytest.approx(brute_placements(actual, score), abs=1e-12)
        assert place[actual].mean() == pytest.approx(place[~actual].mean(), abs=1e-12)


@settings(deadline=None)
@given(PAIRED)
def test_the_covariance_is_the_paper_s(cases):
    actual, scores, customer = columns(cases)
    areas, covariance = auc_covariance(actual, scores)
    place = np.column_stack([brute_placements(actual, score) for score in scores.T])
    assert areas == pytest.approx(place[actual].mean(axis=0))
    m, n = actual.sum(), (~actual).sum()
    if min(m, n) < 2:
        assert np.isnan(covariance).all()
    else:
        # DeLong et al. (1988), eq. 4-6: S10 / m + S01 / n.
        s10, s01 = (np.cov(place[rows], rowvar=False) for rows in (actual, ~actual))
        assert covariance == pytest.approx(s10 / m + s01 / n, abs=1e-12)
    codes = np.unique(customer, return_inverse=True)[1]
    areas, covariance = auc_covariance(actual, scores, codes)
    expected = obuchowski(actual, scores, customer)
    assert areas == pytest.approx(expected[0])
    assert covariance == pytest.approx(expected[1], abs=1e-12, nan_ok=True)
    if not np.isnan(covariance).any():
        assert np.linalg.eigvalsh(covariance).min() > -1e-12


def test_rows_twice_are_as_good_as_once_when_their_customer_is_known():
    actual, score = simulated(80, 1)
    scores = np.column_stack([score, score**2 + 0.3 * np.random.default_rng(2).random(80)])
    areas, covariance = auc_covariance(actual, scores)
    twice = np.repeat(np.arange(80), 2)
    again, clustered = auc_covariance(actual[twice], scores[twice], twice)
    assert again == pytest.approx(areas)
    assert clustered == pytest.approx(covariance)
    # Taken as 160 customers they pretend to half the variance.
    assert auc_covariance(actual[twice], scores[twice])[1] == pytest.approx(
        covariance / 2, rel=0.05
    )


def test_the_standard_error_is_that_of_resampled_customers():
    actual, score = simulated(600, 3)
    generator = np.random.default_rng(4)
    areas = []
    for _ in range(800):
        rows = generator.integers(0, 600, 600)
        areas.append(weighted_auc(actual[rows], score[rows], np.ones(600)))
    assert auc(actual, score).standard_error == pytest.approx(np.std(areas), rel=0.1)


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4), st.integers(0, 3)), min_size=1))
def test_whole_weights_stand_for_repeated_rows(cases):
    actual, score, weight = (np.array(column) for column in zip(*cases, strict=True))
    area = weighted_auc(actual, score.astype(float), weight.astype(float))
    repeated = np.repeat(actual, weight)
    if repeated.sum() in (0, len(repeated)):
        assert math.isnan(area)
    else:
        assert area == pytest.approx(auc(repeated, np.repeat(score, weight)).auc)


@settings(deadline=None)
@given(CASES, st.randoms(use_true_random=False))
def test_only_the_order_of_the_scores_matters(cases, random):
    actual = np.array([a for a, _ in cases])
    score = np.array([s for _, s in cases], dtype=float)
    area = auc(actual, score)
    for moved in (np.exp(score) - 50, score**3, np.where(score == 6, math.inf, score)):
        assert auc(actual, moved).to_frame().equals(area.to_frame())
    # Another order of rows, and the reversed question, which mirrors the interval.
    rows = list(range(len(cases)))
    random.shuffle(rows)
    for other in (auc(actual[rows], score[rows]), auc(~actual, -score)):
        assert (other.auc, other.standard_error, other.auc_low, other.auc_high) == pytest.approx(
            (area.auc, area.standard_error, area.auc_low, area.auc_high), nan_ok=True, abs=1e-9
        )
    mirrored = auc(actual, -score)
    assert (1 - mirrored.auc, 1 - mirrored.auc_high, 1 - mirrored.auc_low) == pytest.approx(
        (area.auc, area.auc_low, area.auc_high), nan_ok=True, abs=1e-9
    )


def test_the_area_is_scikit_learn_s():
    from sklearn.metrics import roc_auc_score

    actual, score = simulated(5000, 5)
    for values in (score, score.round(1)):
        assert auc(actual, values).auc == pytest.approx(roc_auc_score(actual, values))


# --- the interval ------------------------------------------------------------------------------


def test_the_interval_is_normal_in_the_logit():
    actual, score = simulated(200, 6)
    area = auc(actual, score, level=0.9)
    centre = math.log(area.auc / (1 - area.auc))
    reach = NormalDist().inv_cdf(0.95) * area.standard_error / (area.auc * (1 - area.auc))
    for bound, end in ((area.auc_low, centre - reach), (area.auc_high, centre + reach)):
        assert math.log(bound / (1 - bound)) == pytest.approx(end)


def test_at_the_ends_the_bounds_are_those_of_the_smaller_class():
    perfect = auc([0] * 20 + [1] * 8, range(28))
    assert (perfect.auc, perfect.standard_error) == (1, 0)
    assert (perfect.auc_low, perfect.auc_high) == pytest.approx(wilson(8, 8, 0.95))
    worst = auc([1] * 20 + [0] * 8, range(28), level=0.8)
    assert worst.auc == 0
    assert (worst.auc_low, worst.auc_high) == pytest.approx(wilson(0, 8, 0.8), abs=1e-9)


def test_no_variance_is_larger_than_the_one_behind_those_bounds():
    # Birnbaum and Klose (1957), reached where one class splits around the other.
    actual = np.array([True] * 40 + [False] * 400)
    score = np.concatenate([[-1.0] * 10, [1.0] * 30, np.zeros(400)])
    area = auc(actual, score)
    assert area.standard_error**2 == pytest.approx(area.auc * (1 - area.auc) / 39)


def test_one_class_has_no_area_and_a_single_case_no_error():
    for actual in ([0, 0, 0], [1, 1, 1]):
        area = auc(actual, [1, 2, 3])
        assert math.isnan(area.auc)
        assert math.isnan(area.standard_error)
        assert math.isnan(area.auc_low)
        assert math.isnan(area.auc_high)
        assert (area.n, area.n_actual) == (3, sum(actual))
    single = auc([0, 0, 1], [1, 3, 2])
    assert single.auc == 0.5
    assert math.isnan(single.standard_error)
    assert math.isnan(single.auc_low)
    assert auc([0, 0, 1], [1, 2, 3]).auc_low == pytest.approx(wilson(1, 1, 0.95)[0])


@pytest.mark.parametrize(("shift", "n", "found"), [(1.0, 200, 0.3), (2.0, 150, 0.4)])
def test_intervals_cover_the_true_area(shift, n, found):
    generator = np.random.default_rng(7)
    truth = NormalDist().cdf(shift / math.sqrt(2))
    covered, repeats = 0, 2000
    for _ in range(repeats):
        actual = generator.random(n) < found
        area = auc(actual, generator.normal(size=n) + shift * actual)
        covered += area.auc_low <= truth <= area.auc_high
    assert 0.93 < covered / repeats < 0.97


@pytest.mark.slow
@pytest.mark.parametrize(("n", "cutoffs"), [(300, 1), (150, 3)])
def test_intervals_of_a_difference_cover_the_truth_when_customers_are_known(n, cutoffs):
    generator = np.random.default_rng(13)
    actual, scores = market(300_000, generator, cutoffs)
    sharp, blunt = (auc(actual, score).auc for score in scores.values())
    customer = np.repeat(np.arange(n), cutoffs)
    contrast = np.array([1, -1])
    reach = NormalDist().inv_cdf(0.975)
    known, ignored, repeats = 0, 0, 1000
    for _ in range(repeats):
        actual, scores = market(n, generator, cutoffs)
        matrix = np.column_stack(list(scores.values()))
        areas, covariance = auc_covariance(actual, matrix, customer)
        miss = abs(contrast @ areas - (sharp - blunt))
        known += miss <= reach * math.sqrt(contrast @ covariance @ contrast)
        covariance = auc_covariance(actual, matrix)[1]
        ignored += miss <= reach * math.sqrt(contrast @ covariance @ contrast)
    assert 0.93 < known / repeats < 0.97
    # One row a customer is the same; several that are taken for strangers promise too much.
    assert ignored == known if cutoffs == 1 else ignored / repeats < 0.93


# --- a holdout that is too small ---------------------------------------------------------------


def test_a_wide_interval_is_refused_and_a_narrow_one_is_not():
    actual, score = simulated(100, 8)
    area = auc(actual, score)
    half = (area.auc_high - area.auc_low) / 2
    assert auc(actual, score, precision=half + 1e-9) == area
    with pytest.raises(HoldoutTooSmallError) as caught:
        auc(actual, score, precision=half / 2)
    for part in (
        f"half width {half / 2:g}",
        f"auc is {area.auc:.3f} ({area.auc_low:.3f} to {area.auc_high:.3f})",
        f"half width {half:.3f} on 100 customers, {area.n_actual} of them to be found",
        "about 400 needed",
        "larger or longer holdout",
    ):
        assert part in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_as_many_as_it_says_are_enough():
    actual, score = simulated(100, 9)
    with pytest.raises(HoldoutTooSmallError, match="about") as caught:
        auc(actual, score, precision=0.03)
    needed = int(str(caught.value).split("about ")[1].split(" needed")[0].replace(",", ""))
    area = auc(*simulated(needed, 10))
    assert (area.auc_high - area.auc_low) / 2 == pytest.approx(0.03, rel=0.2)
    # A perfect ranking: Wilson's half width z^2 / (2 (n + z^2)) is 0.025 at n = 19 z^2 = 72.99 in
    # the smaller class, four times that in all.
    with pytest.raises(HoldoutTooSmallError, match="about 292 needed"):
        auc([0] * 15 + [1] * 5, range(20), precision=0.025)


def test_no_interval_is_never_precise_enough():
    refused(["auc has no interval on 2 customers, 0 of them"], auc, [0, 0], [1, 2], precision=0.4)


@pytest.mark.parametrize(
    ("arguments", "options", "parts"),
    [
        (([1, 0], [0.1, math.nan]), {}, ["score is nan at row 1"]),
        (([1, 0], [0.1]), {}, ["actual has 2 values, score 1"]),
        (([], []), {}, ["actual is empty"]),
        (([1, 2], [0.1, 0.2]), {}, ["actual has the value 2", "0 or 1"]),
        ((SERIES, TURNED), {}, ["actual and score have different indexes"]),
        (([1, 0], [0.1, 0.2], 1), {}, ["level is 1", "< 1"]),
        (([1, 0], [0.1, 0.2]), {"precision": 0}, ["precision is 0", "> 0"]),
        (([1, 0], [0.1, 0.2]), {"precision": 0.5}, ["precision is 0.5", "< 0.5"]),
        (([1, 0], [0.1, 0.2]), {"precision": 1e-300}, ["precision is 1e-300", ">= 1e-06"]),
        (([1, 0], [10**400, 1]), {}, ["score holds a whole number above 1.8e308", "unit"]),
        (([10**400, 1], [1, 0]), {}, ["actual holds a whole number above 1.8e308"]),
        (([[1], [1, 0]], [1, 0]), {}, ["actual is not numeric"]),
        (([1, 0], [0.1, 0.2]), {"precision": "5 %"}, ["precision is '5 %'", "number"]),
    ],
)
def test_bad_input_is_refused(arguments, options, parts):
    refused(parts, auc, *arguments, **options)


# --- published ---------------------------------------------------------------------------------


def rank_auc(actual, score):
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
        assert rank_auc(bought, score) == pytest.approx(published, abs=5e-5)
        assert auc(bought, score).auc == pytest.approx(published, abs=5e-5)
        assert auc_of_curve(bought, score) == pytest.approx(published, abs=5e-5)


def test_the_area_is_that_of_all_pairs():
    actual, score = simulated(60, 8)
    score = score.round(1)
    pairs = list(itertools.product(score[actual], score[~actual]))
    area = np.mean([(a > b) + (a == b) / 2 for a, b in pairs])
    assert auc_of_curve(actual, score) == pytest.approx(area)
    assert auc(actual, score).auc == pytest.approx(area)


def test_the_area_and_its_error_that_stata_prints():
    # Hanley and McNeil (1982), "The meaning and use of the area under a ROC curve", Radiology 143,
    # table 1: ratings 1-5 of 58 normal and 51 abnormal CT images. Stata's manual, [R] roctab,
    # prints the area and DeLong's error of these data: 0.8932, 0.0307, 0.83295 to 0.95339.
    normal, abnormal = [33, 6, 6, 11, 2], [3, 2, 2, 11, 33]
    rating = np.concatenate([np.repeat(np.arange(5), normal), np.repeat(np.arange(5), abnormal)])
    area = auc(np.repeat([0, 1], [58, 51]), rating)
    assert area.auc == pytest.approx(0.8932, abs=5e-5)
    assert area.standard_error == pytest.approx(0.0307, abs=5e-5)
    reach = NormalDist().inv_cdf(0.975) * area.standard_error
    assert (area.auc - reach, area.auc + reach) == pytest.approx((0.83295, 0.95339), abs=5e-6)
