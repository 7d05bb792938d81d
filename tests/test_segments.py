"""RFM scores, value segments, their outcomes and the sleep states."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import touchpoint_lib as tp
from tests import strategies
from touchpoint_lib import InputError
from touchpoint_lib.segments import SLEEP_STATES, VALUE_SEGMENTS

#: MBG/NBD at the CDNOW estimates, in weeks (Platzer's BTYDplus prints the same).
CDNOW = [0.524838, 6.182992, 0.891356, 1.613999]


def refused(parts, function, *args, **kwargs):
    """Assert that the call raises an InputError whose message has all ``parts``."""
    with pytest.raises(InputError) as caught:
        function(*args, **kwargs)
    for part in parts:
        assert part in str(caught.value)


def frame(frequency, recency, age, money=None, unit="W"):
    made = pd.DataFrame({"frequency": frequency, "recency": recency, "T": age}, dtype=float)
    made["frequency"] = made["frequency"].astype(int)
    if money is not None:
        made["monetary_value"] = money
    made.attrs["unit"] = unit
    return made


@pytest.fixture(scope="module")
def split():
    return tp.rfm_split(tp.load_cdnow(sample=True), split="1997-09-30")


@pytest.fixture(scope="module")
def model(split):
    return tp.ModifiedBetaGeoModel().fit(split)


@pytest.fixture(scope="module")
def states(model, split):
    return tp.sleep_states(model, split)


# --- RFM scores --------------------------------------------------------------------------------


def test_cuts_by_hand_give_the_classes_that_a_reader_counts():
    customers = frame([0, 1, 4, 9], [0, 5, 6, 30], [4, 9, 18, 30], [0.0, 9.99, 10, 50])
    scores = tp.rfm_scores(
        customers, recency_cuts=[4, 12], frequency_cuts=[1, 5], monetary_cuts=[10]
    )
    assert scores["silence"].tolist() == [4, 4, 12, 0]
    # At or above a cut is beyond it: 4 weeks of silence are no longer the best class.
    assert scores["rfm"].tolist() == ["2-1-1", "2-2-1", "1-2-2", "3-3-2"]
    assert scores.attrs["cuts"] == {"recency": [4, 12], "frequency": [1, 5], "monetary": [10]}
    assert scores.attrs["unit"] == "W"


def test_without_ties_the_classes_are_equal_fifths():
    n = 50
    generator = np.random.default_rng(1)
    age = 40 + generator.permutation(n)
    frequency = 1 + generator.permutation(n)
    scores = tp.rfm_scores(frame(frequency, np.full(n, 40.0), age, generator.permutation(n) + 0.5))
    for name, low_is_good in (("recency", True), ("frequency", False), ("monetary", False)):
        assert scores[f"{name}_score"].value_counts().to_dict() == dict.fromkeys(range(1, 6), 10)
        column = {"recency": "silence", "monetary": "monetary_value"}.get(name, name)
        best = scores.loc[scores[f"{name}_score"] == 5, column]
        extreme = scores[column].nsmallest(10) if low_is_good else scores[column].nlargest(10)
        assert set(best) == set(extreme)


def test_one_time_buyers_are_a_class_of_their_own_even_where_they_are_most():
    # 17 of 20 bought once: every quantile of the frequency but the top is 0.
    frequency = [0] * 17 + [1, 2, 3]
    recency = [0] * 17 + [5] * 3
    scores = tp.rfm_scores(frame(frequency, recency, [20] * 20, [0.0] * 17 + [5, 6, 7]))
    assert scores["frequency_score"].tolist() == [1] * 17 + [2] * 3
    assert scores["monetary_score"].tolist() == [1] * 17 + [2] * 3


def test_customers_who_are_all_alike_share_the_one_score():
    scores = tp.rfm_scores(frame([0] * 3, [0] * 3, [7] * 3, [0.0] * 3))
    assert set(scores["rfm"]) == {"1-1-1"}
    assert tp.rfm_scores(frame([2], [3], [7], [4.0]))["rfm"].tolist() == ["1-1-1"]


@settings(deadline=None, max_examples=40)
@given(strategies.customers(max_size=15), st.integers(2, 6), st.randoms(use_true_random=False))
def test_scores_follow_the_values_whatever_the_order_of_the_rows(customers, bins, random):
    money = [random.choice([0.0, 5.0, 7.5, 20.0]) for _ in range(len(customers))]
    customers = customers.assign(monetary_value=money)
    customers.index = [f"c{i}" for i in range(len(customers))]
    scores = tp.rfm_scores(customers, bins=bins)
    for value, score in (
        # In whole days, so that equal silences are equal numbers.
        (-(7 * (customers["T"] - customers["recency"])).round(), scores["recency_score"]),
        (customers["frequency"], scores["frequency_score"]),
        (customers["monetary_value"], scores["monetary_score"]),
    ):
        assert score.between(1, bins).all()
        # Equal values have equal scores, a higher value never a lower one.
        by_value = score.groupby(value).agg(["min", "max"])
        assert (by_value["min"] == by_value["max"]).all()
        assert by_value["min"].is_monotonic_increasing
        assert score.min() == 1
        assert sorted(score.unique()) == list(range(1, score.max() + 1))
        assert (score.max() > 1) == (len(set(value)) > 1)
    order = list(range(len(customers)))
    random.shuffle(order)
    shuffled = tp.rfm_scores(customers.iloc[order], bins=bins)
    pd.testing.assert_frame_equal(shuffled, scores.iloc[order])


@settings(deadline=None)
@given(strategies.customers(unit="D"), st.sampled_from([0.25, 2.0, 1024.0]))
def test_the_unit_of_time_changes_no_score(customers, scale):
    customers = customers.assign(monetary_value=1.0)
    stretched = customers.assign(T=customers["T"] * scale, recency=customers["recency"] * scale)
    assert tp.rfm_scores(stretched)["rfm"].tolist() == tp.rfm_scores(customers)["rfm"].tolist()


def test_duplicate_labels_do_no_harm():
    customers = frame([0, 1, 4], [0, 5, 6], [4, 9, 18], [0.0, 10, 20]).set_axis(["a", "b", "a"])
    assert tp.rfm_scores(customers).index.tolist() == ["a", "b", "a"]
    assert len(tp.purchase_classes(customers)) == 3


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"bins": 1}, ["bins is 1", ">= 2"]),
        ({"bins": 2.5}, ["bins is 2.5", "whole"]),
        ({"recency_cuts": [4, 4]}, ["recency_cuts is [4, 4]", "rise"]),
        ({"frequency_cuts": [5, 1]}, ["frequency_cuts is [5, 1]", "rise"]),
        ({"monetary_cuts": []}, ["monetary_cuts is []", "rise"]),
        ({"monetary_cuts": [1, np.nan]}, ["monetary_cuts is nan at row 1"]),
    ],
)
def test_bad_cuts_are_refused(options, parts):
    refused(parts, tp.rfm_scores, frame([0, 1], [0, 2], [4, 4], [0.0, 3]), **options)


@pytest.mark.parametrize(
    ("customers", "parts"),
    [
        (frame([0], [0], [4]), ["customers has no column 'monetary_value'", "rfm_summary"]),
        (frame([0, 1], [0, 2], [4, 4], [0, np.nan]), ["monetary_value is nan at index 1"]),
        (frame([1], [5], [4], [1.0]), ["recency exceeds T at index 0"]),
        (frame([], [], [], []), ["customers has no rows"]),
        ([1, 2], ["customers is a list", "DataFrame"]),
    ],
)
def test_bad_customers_are_refused(customers, parts):
    refused(parts, tp.rfm_scores, customers)


# --- value segments ----------------------------------------------------------------------------

VALUES = st.lists(st.integers(0, 12), min_size=1, max_size=12)


def smallest_group(values, share):
    """Size of the smallest set of customers that holds ``share`` of the value, by all sets."""
    total = sum(values)
    for size in range(1, len(values) + 1):
        if any(sum(c) >= share * total for c in itertools.combinations(values, size)):
            return size
    raise AssertionError


@settings(deadline=None, max_examples=60)
@given(VALUES, st.sampled_from([(0.5, 0.8), (0.25, 0.5), (0.125, 0.875)]))
def test_the_core_is_the_smallest_group_that_holds_its_share(values, shares):
    if sum(values) == 0:
        refused(["value is 0 for every customer"], tp.value_segments, pd.Series(values))
        return
    core, potential = shares
    result = tp.value_segments(pd.Series(values), core=core, potential=potential)
    segment = result["segment"]
    for share, names in ((core, ["core"]), (potential, ["core", "potential"])):
        inside = segment.isin(names).to_numpy()
        size = smallest_group(values, share)
        # Whoever equals the last of the group belongs to it.
        last = sorted(values, reverse=True)[size - 1]
        assert inside.tolist() == [value >= last for value in values]
    assert result["value"].tolist() == values
    assert segment.cat.categories.tolist() == list(VALUE_SEGMENTS)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from([0.0, 0.4, 0.5, 1.0])), min_size=1),
    st.randoms(use_true_random=False),
)
def test_the_order_of_the_customers_is_irrelevant(customers, random):
    value = pd.Series([float(v) for v, _ in customers])
    share = pd.Series([s for _, s in customers])
    if value[share < 0.5].sum() == 0:
        return
    result = tp.value_segments(value, share)
    order = list(range(len(value)))
    random.shuffle(order)
    pd.testing.assert_frame_equal(
        tp.value_segments(value.iloc[order], share.iloc[order]), result.iloc[order]
    )
    # A change of currency changes nothing either.
    assert tp.value_segments(value * 7.3, share)["segment"].equals(result["segment"])


def test_promotion_driven_customers_are_set_apart_before_the_ranking():
    value = pd.Series([100.0, 6, 3, 1], index=list("abcd"))
    share = pd.Series([0.5, 0.49, 0.0, 1.0], index=list("abcd"))
    result = tp.value_segments(value, share)["segment"]
    # a is worth most and d least, but both buy at a discount: b is the core of the others.
    assert result.to_dict() == {
        "a": "promotion-driven",
        "b": "core",
        "c": "potential",
        "d": "promotion-driven",
    }
    assert tp.value_segments(value, share, promotion=0.6)["segment"]["a"] == "core"


def test_a_share_that_is_met_exactly_needs_nobody_more():
    # In floating point .7 + .1 falls just short of .8.
    value = pd.Series([0.7, 0.1, 0.09, 0.06, 0.05])
    assert value[:2].sum() / value.sum() < 0.8
    segment = tp.value_segments(value, core=0.8, potential=0.85)["segment"]
    assert segment.tolist() == ["core", "core", "potential", "mass", "mass"]


def test_one_customer_and_equal_customers_are_core():
    assert tp.value_segments(pd.Series([3.0]))["segment"].tolist() == ["core"]
    assert set(tp.value_segments(pd.Series([3.0] * 9))["segment"]) == {"core"}


ONE = pd.Series([1.0, 2.0])


@pytest.mark.parametrize(
    ("arguments", "options", "parts"),
    [
        ((pd.Series([1.0, np.nan], index=["x", "y"]),), {}, ["value is nan at index 'y'"]),
        ((pd.Series([1.0, np.inf]),), {}, ["value is inf at index 1", "finite"]),
        ((pd.Series([1.0, -2.0]),), {}, ["value is -2 at index 1", ">= 0"]),
        ((pd.Series([0.0, 0.0]),), {}, ["value is 0 for every customer", "margin"]),
        ((pd.Series([], dtype=float),), {}, ["value is empty", "at least one customer"]),
        (([1.0, 2.0],), {}, ["value is a list", "Series"]),
        ((ONE, [0.1, 0.2]), {}, ["discount_share is not a Series on the index", "reindex"]),
        ((ONE, pd.Series([0, 0], index=[1, 0])), {}, ["discount_share is not", "reindex"]),
        ((ONE, pd.Series([0.1, 2])), {}, ["discount_share is 2 at index 1", "<= 1"]),
        ((ONE, pd.Series([1.0, 0.5])), {}, ["all 2 customers are promotion-driven", "raise prom"]),
        ((ONE,), {"core": 0.8}, ["core is 0.8", "< 0.8"]),
        ((ONE,), {"core": 0}, ["core is 0", "> 0"]),
        ((ONE,), {"potential": 1}, ["potential is 1", "< 1"]),
        ((ONE, ONE / 4), {"promotion": 0}, ["promotion is 0", "> 0"]),
    ],
)
def test_values_that_cannot_be_ranked_are_refused(arguments, options, parts):
    refused(parts, tp.value_segments, *arguments, **options)


# --- what the segments did ---------------------------------------------------------------------


def outcome_frames():
    names = pd.Categorical(["core", "core", "mass", "mass", "mass"], VALUE_SEGMENTS, ordered=True)
    index = pd.Index(list("abcde"), name="customer")
    segments = pd.DataFrame({"value": [40.0, 30, 20, 10, 0], "segment": names}, index=index)
    split = pd.DataFrame(
        {"holdout_frequency": [3, 0, 1, 2, 0], "holdout_amount": [60.0, 0, 10, 30, 0]}, index=index
    )
    return segments, split


def test_outcomes_that_are_computed_by_hand():
    segments, split = outcome_frames()
    expected = pd.Series([2.0, 1, 1, 0.5, 0], index=segments.index)
    result = tp.segment_outcomes(segments, split, expected)
    assert result.index.tolist() == ["core", "mass"]
    assert result["n"].tolist() == [2, 3]
    assert result["customer_share"].tolist() == [0.4, 0.6]
    assert result["value_share"].tolist() == [0.7, 0.3]
    assert result["holdout_amount_share"].tolist() == [0.6, 0.4]
    assert result["holdout_amount_mean"].tolist() == pytest.approx([30, 40 / 3])
    assert result["holdout_frequency_mean"].tolist() == [1.5, 1]
    assert result["expected_frequency_mean"].tolist() == [1.5, 0.5]
    assert result["buyer_rate"].tolist() == pytest.approx([1 / 2, 2 / 3])
    # Wilson's bounds for 1 of 2 are 1/2 -+ z/2 / sqrt(2 + z^2).
    half = 1.959964 / 2 / np.sqrt(2 + 1.959964**2)
    assert result.loc["core", "buyer_low"] == pytest.approx(0.5 - half)
    assert result.loc["core", "buyer_high"] == pytest.approx(0.5 + half)
    # Residuals of the share: .4 x 60 in the core, -.6 x 10 and -.6 x 30 outside, over 100.
    half = 1.959963985 * np.sqrt(24**2 + 6**2 + 18**2) / 100
    assert result.loc["core", "holdout_amount_share_low"] == pytest.approx(max(0.6 - half, 0))
    assert result.loc["core", "holdout_amount_share_high"] == pytest.approx(min(0.6 + half, 1))


def test_classes_divide_the_segments_and_the_shares_stay_shares_of_all():
    segments, split = outcome_frames()
    by = pd.Series(["1", "2+", "1", "2+", "1"], index=segments.index)
    result = tp.segment_outcomes(segments, split, by=by)
    assert result["n"].to_dict() == {
        ("1", "core"): 1,
        ("1", "mass"): 2,
        ("2+", "core"): 1,
        ("2+", "mass"): 1,
    }
    assert result.loc[("1", "mass"), "holdout_amount_share"] == 0.1
    assert result.loc[("1", "mass"), "value_share"] == pytest.approx(0.2)
    whole = tp.segment_outcomes(segments, split)
    for name in ("n", "customer_share", "value_share", "holdout_amount_share"):
        assert result[name].groupby(level=1).sum()["mass"] == pytest.approx(whole[name]["mass"])
        assert result[name].sum() == pytest.approx(5 if name == "n" else 1)


def test_segments_without_customers_have_no_row():
    result = tp.segment_outcomes(*outcome_frames())
    assert "potential" not in result.index


def test_the_interval_of_the_share_is_that_of_a_bootstrap(split):
    # One customer in ten of the sample brings far more than the rest: the hard case.
    segments = tp.value_segments(split["monetary_value"] * split["frequency"] + 1.0)
    result = tp.segment_outcomes(segments, split)
    generator = np.random.default_rng(3)
    amount, n = split["holdout_amount"].to_numpy(), len(split)
    codes = segments["segment"].cat.codes.to_numpy()
    draws = []
    for _ in range(1500):
        times = np.bincount(generator.integers(0, n, n), minlength=n) * amount
        draws.append(np.bincount(codes, weights=times, minlength=3) / times.sum())
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    width = (high - low).max()
    assert result["holdout_amount_share_low"].to_numpy() == pytest.approx(low, abs=width / 8)
    assert result["holdout_amount_share_high"].to_numpy() == pytest.approx(high, abs=width / 8)


def test_one_segment_that_spends_everything_has_no_nan():
    # Amounts whose sum depends on the order of the additions.
    n = 1001
    amounts = np.where(np.arange(n) % 3, 0.1 * np.arange(n) + 0.3, 0.0)
    segment = pd.Categorical(np.where(np.arange(n) % 3, "core", "mass"), VALUE_SEGMENTS)
    result = tp.segment_outcomes(
        pd.DataFrame({"segment": segment}),
        pd.DataFrame({"holdout_frequency": (amounts > 0) * 1, "holdout_amount": amounts}),
    )
    assert result["holdout_amount_share"].tolist() == pytest.approx([1, 0])
    assert result.notna().all(axis=None)


def test_outcomes_take_duplicate_labels():
    segments, split = outcome_frames()
    same = ["a", "a", "b", "b", "c"]
    result = tp.segment_outcomes(segments.set_axis(same), split.set_axis(same))
    assert result["holdout_amount_share"].tolist() == [0.6, 0.4]


def changed(column=None, value=None, order=None):
    segments, split = outcome_frames()
    if column in segments:
        segments[column] = value
    elif column:
        split[column] = value
    return segments, split.iloc[order] if order else split


@pytest.mark.parametrize(
    ("frames", "options", "parts"),
    [
        (changed(order=[1, 0, 2, 3, 4]), {}, ["segments and split have different indexes"]),
        (changed(), {"by": pd.Series(list("11111"))}, ["segments and by have different"]),
        (changed(), {"expected_purchases": pd.Series([1.0])}, ["expected_purchases have diff"]),
        (changed("holdout_amount", 0.0), {}, ["no spend in the holdout", "earlier split"]),
        (changed("segment", None), {}, ["5 of 5 customers have no segment", "give every"]),
        (
            changed(),
            {"by": pd.Series(["1", None, "1", "1", "1"], index=list("abcde"))},
            ["1 of 5 customers have no class or segment"],
        ),
        ((outcome_frames()[0]["segment"], outcome_frames()[1]), {}, ["segments is a Series"]),
        ((outcome_frames()[1], outcome_frames()[1]), {}, ["segments has no column 'segment'"]),
        ((outcome_frames()[0], outcome_frames()[0]), {}, ["'holdout_frequency'", "'holdout_amou"]),
    ],
)
def test_outcomes_of_frames_that_do_not_fit_are_refused(frames, options, parts):
    refused(parts, tp.segment_outcomes, *frames, **options)


def test_purchase_classes_count_the_first_purchase():
    customers = frame([0, 1, 2, 3, 4, 50], [0, 1, 1, 1, 1, 1], [9] * 6)
    classes = tp.purchase_classes(customers)
    assert classes.tolist() == ["1", "2", "3-4", "3-4", "5+", "5+"]
    assert classes.cat.ordered


# --- sleep states ------------------------------------------------------------------------------


def test_sleep_states_of_the_cdnow_sample(states):
    # On the 2,357 customers at 1997-09-30; a regression value of this library.
    counts = states["state"].value_counts(sort=False).to_dict()
    assert counts == {"awake": 374, "drowsy": 1646, "half asleep": 272, "asleep": 65}


def by_level(relative, lines):
    """The state as the docstring explains it: by P(alive) relative to the day of purchase."""
    return [SLEEP_STATES[sum(value <= line for line in lines)] for value in relative]


@pytest.mark.parametrize("lines", [(0.8, 0.5, 0.2), (0.99, 0.6, 0.01), (0.3, 0.2, 0.1)])
def test_states_by_silence_are_states_by_probability(model, split, lines):
    states = tp.sleep_states(model, split, lines)
    assert states["state"].tolist() == by_level(states["relative"], lines)
    alive = model.probability_alive(split)
    on_the_day = model.probability_alive(split.assign(T=split["recency"]))
    assert states["relative"].to_numpy() == pytest.approx((alive / on_the_day).to_numpy())
    # At the silence that a line names, P(alive) stands on the line.
    for name, line in zip(
        ["drowsy_after", "half_asleep_after", "asleep_after"], lines, strict=True
    ):
        there = model.probability_alive(split.assign(T=split["recency"] + states[name]))
        assert (there / on_the_day).to_numpy() == pytest.approx(line)


@settings(deadline=None)
@given(strategies.customers(max_size=10))
def test_states_agree_with_their_own_numbers(customers):
    model = tp.ModifiedBetaGeoModel.from_params(CDNOW, unit="W")
    states = tp.sleep_states(model, customers)
    days = (7 * (customers["T"] - customers["recency"])).round()
    assert states["silence"].to_numpy() == pytest.approx(days.to_numpy() / 7, abs=1e-8)
    # As many different silences as there are in days: ties must not be torn by rounding.
    assert states["silence"].nunique() == days.nunique()
    assert states["relative"].between(0, 1).all()
    assert (states["state"][states["silence"] == 0] == "awake").all()
    after = states[["drowsy_after", "half_asleep_after", "asleep_after"]]
    assert (after.diff(axis=1).iloc[:, 1:] > 0).all(axis=None)
    assert (after > 0).all(axis=None)
    assert states["state"].tolist() == by_level(states["relative"], (0.8, 0.5, 0.2))


def test_longer_silence_never_wakes_and_frequent_buyers_sleep_sooner():
    model = tp.ModifiedBetaGeoModel.from_params(CDNOW, unit="W")
    silence = np.arange(0, 200.0)
    states = tp.sleep_states(model, frame(np.full(200, 9), np.full(200, 20.0), 20 + silence))
    assert states["state"].cat.codes.is_monotonic_increasing
    assert set(states["state"]) == set(SLEEP_STATES)
    # Of two with the same first and last day, the one who came oftener is missed sooner.
    pair = tp.sleep_states(model, frame([2, 20], [20, 20], [40, 40]))
    assert pair["asleep_after"].iloc[1] < pair["asleep_after"].iloc[0]
    assert pair["relative"].iloc[1] < pair["relative"].iloc[0]


def test_days_and_weeks_tell_the_same_story(states):
    days = tp.rfm_split(tp.load_cdnow(sample=True), split="1997-09-30", unit="D")
    in_days = tp.sleep_states(tp.ModifiedBetaGeoModel().fit(days), days)
    assert in_days["state"].tolist() == states["state"].tolist()
    for name in ("silence", "drowsy_after", "half_asleep_after", "asleep_after"):
        assert in_days[name].to_numpy() == pytest.approx(7 * states[name].to_numpy(), rel=1e-4)


LINES = ["drowsy", "half_asleep", "asleep"]


@settings(deadline=None, max_examples=60)
@given(strategies.customers(max_size=20), st.sampled_from(["W", "D"]), st.integers(0, 90))
def test_the_day_of_a_line_is_the_first_in_its_state(customers, unit, ahead):
    """Seen again on any later day, if silent, a customer is over a line iff its day has come."""
    if unit == "D":
        customers = customers.assign(
            recency=(7 * customers["recency"]).round(), T=(7 * customers["T"]).round()
        )
    customers.attrs = {"unit": unit, "until": "2024-05-09"}
    scale = 1 if unit == "W" else 7
    model = tp.ModifiedBetaGeoModel.from_params([CDNOW[0], CDNOW[1] * scale, *CDNOW[2:]], unit=unit)
    now = tp.sleep_states(model, customers)
    later = customers.assign(T=customers["T"] + ahead * scale / 7)
    seen = tp.sleep_states(model, later)["state"].cat.codes
    day = pd.Timestamp("2024-05-09") + pd.Timedelta(days=ahead)
    assert (sum((now[f"{line}_on"] <= day).astype(int) for line in LINES) == seen).all()
    bought = pd.Timestamp("2024-05-09") - pd.to_timedelta(now["silence"] * 7 / scale, unit="D")
    for line in LINES:
        waited = (now[f"{line}_on"] - bought.dt.round("D")).dt.days
        assert waited.tolist() == np.ceil(now[f"{line}_after"] * 7 / scale).tolist()
        assert now[f"{line}_on"].dtype == "datetime64[s]"


class FixedLines(tp.ModifiedBetaGeoModel):
    """A model whose lines are given, whatever P(alive) is."""

    def dormancy_gap(self, customers, **_):
        return customers["line"]


@pytest.mark.parametrize("unit", ["W", "D"])
def test_a_silence_equal_to_the_line_has_crossed_it(unit):
    """Of every number of days, on sevenths that are not exact: over it on the day, not before."""
    days = 7 if unit == "W" else 1
    whole = np.arange(1, 3000)
    recency = np.where(whole % 3 == 0, 0.0, (whole % 500) / days)
    one = frame((recency > 0).astype(int), recency, recency + whole / days, unit=unit)
    # As silence is rounded to 9 digits, so is the line that is to be met exactly.
    one["line"] = (whole / days).round(9)
    one.attrs["until"] = "2024-05-09"
    found = tp.sleep_states(FixedLines.from_params(CDNOW, unit=unit), one)
    assert (found["state"] == "asleep").all()
    assert (found["drowsy_on"] == pd.Timestamp("2024-05-09")).all()
    yesterday = one.assign(T=recency + (whole - 1) / days)
    yesterday.attrs["until"] = "2024-05-08"
    before = tp.sleep_states(FixedLines.from_params(CDNOW, unit=unit), yesterday)
    assert (before["state"] == "awake").all()
    pd.testing.assert_series_equal(before["drowsy_on"], found["drowsy_on"])


def test_a_line_within_the_rounding_of_silence_has_one_day():
    """Four sevenths, rounded down, lie before a line of four sevenths: the day says so too."""
    whole = np.arange(1, 3000)
    one = frame(np.zeros(2999), np.zeros(2999), whole / 7)
    one["line"] = whole / 7
    one.attrs["until"] = "2024-05-09"
    found = tp.sleep_states(FixedLines.from_params(CDNOW, unit="W"), one)
    crossed = found["state"] == "asleep"
    assert 0 < crossed.sum() < 2999
    assert ((found["asleep_on"] <= pd.Timestamp("2024-05-09")) == crossed).all()
    assert found["asleep_on"].isin(pd.to_datetime(["2024-05-09", "2024-05-10"])).all()


def test_days_that_no_calendar_has_are_missing():
    one = frame([0] * 6, [0] * 6, [9] * 6, unit="W")
    one["line"] = [9.0, 1e3, 1e7, 1e18, 1.7e308, np.inf]
    one.attrs["until"] = "2024-05-09"
    found = tp.sleep_states(FixedLines.from_params(CDNOW, unit="W"), one)["asleep_on"]
    assert found.isna().tolist() == [False, False, True, True, True, True]
    assert found[:2].dt.date.astype(str).tolist() == ["2024-05-09", "2043-05-07"]
    # The last day that there is, and the one after it.
    one["line"] = [9 + (pd.Timestamp("9999-12-31") - pd.Timestamp("2024-05-09")).days / 7] * 6
    one.loc[1:, "line"] += 1 / 7
    found = tp.sleep_states(FixedLines.from_params(CDNOW, unit="W"), one)["asleep_on"]
    assert str(found[0]) == "9999-12-31 00:00:00"
    assert found[1:].isna().all()


def test_days_count_from_the_split_and_need_a_day_and_a_unit(model, split):
    states = tp.sleep_states(model, split)
    summary = tp.rfm_summary(tp.load_cdnow(sample=True), until="1997-09-30")
    pd.testing.assert_frame_equal(tp.sleep_states(model, summary), states)
    base = tp.customer_base(tp.load_cdnow(sample=True), until="1997-09-30")
    pd.testing.assert_frame_equal(tp.sleep_states(model, base), states)
    on = [f"{line}_on" for line in LINES]
    plain = split.copy()
    plain.attrs = {"unit": "W"}
    pd.testing.assert_frame_equal(tp.sleep_states(model, plain), states.drop(columns=on))
    # The model knows the unit where the frame does not.
    plain.attrs = {"until": "1997-09-30"}
    pd.testing.assert_frame_equal(tp.sleep_states(model, plain), states)
    no_unit = tp.ModifiedBetaGeoModel.from_params(CDNOW)
    assert not set(on) & set(tp.sleep_states(no_unit, plain).columns)


def test_a_customer_older_than_the_calendar_is_refused(model, split):
    old = split.assign(T=split["T"].where(split.index != "00004", 1e6))
    refused(
        ["T is 1e+06 at index '00004'", "split is 1997-09-30", "year 1"],
        tp.sleep_states,
        model,
        old,
    )
    old.attrs = {"unit": "W", "until": "yesterday"}
    refused(["customers.attrs['until'] is 'yesterday'"], tp.sleep_states, model, old)


def test_a_customer_base_and_duplicate_labels_are_taken(model):
    log = tp.load_cdnow(sample=True)
    base = tp.customer_base(log, until="1997-09-30")
    assert tp.sleep_states(model, base)["state"].value_counts()["asleep"] == 65
    twice = frame([0, 3], [0, 5], [9, 9]).set_axis(["a", "a"])
    assert tp.sleep_states(model, twice).index.tolist() == ["a", "a"]


def test_the_plain_model_is_refused(split):
    model = tp.BetaGeoModel.from_params([0.243, 4.414, 0.793, 2.426], unit="W")
    refused(
        ["BetaGeoModel", "alive for ever", "ModifiedBetaGeoModel"], tp.sleep_states, model, split
    )


@pytest.mark.parametrize(
    ("lines", "parts"),
    [
        ((0.2, 0.5, 0.8), ["lines are 0.2, 0.5, 0.8", "falling", "(0.8, 0.5, 0.2)"]),
        ((0.8, 0.5, 0.5), ["lines are 0.8, 0.5, 0.5", "falling"]),
        ((1, 0.5, 0.2), ["lines are 1, 0.5, 0.2", "(0, 1)"]),
        ((0.8, 0.5), ["lines are 0.8, 0.5", "three"]),
        ((), ["lines are", "three"]),
        ((0.8, 0.5, 0), ["lines is 0 at row 2", "> 0"]),
        ((0.8, np.nan, 0.2), ["lines is nan at row 1"]),
    ],
)
def test_lines_that_do_not_fall_are_refused(model, split, lines, parts):
    refused(parts, tp.sleep_states, model, split, lines)
