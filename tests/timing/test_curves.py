"""Nested Kaplan-Meier curves: against statsmodels, closed forms and their own definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from statsmodels.duration.survfunc import SurvfuncRight

from touchpoint_lib._checks import FloatArray, InputError
from touchpoint_lib.churn.contract.survival_curve import kaplan_meier, retention_at
from touchpoint_lib.timing import _curves
from touchpoint_lib.timing._curves import ClassCurves, fit_curves

Sample = dict[str, Any]


def sample(seed: int = 0, n: int = 600, steps: float = 0.0) -> Sample:
    """Exponential durations in four classes of two, censored; rounded to ``steps`` for ties."""
    random = np.random.default_rng(seed)
    wide = random.choice(["a", "b"], n, p=[0.7, 0.3])
    narrow = random.integers(0, 2, n)
    own = random.exponential(np.where(wide == "a", 5.0, 20.0) * (1 + narrow))
    hidden = random.exponential(30.0, n)
    time = np.minimum(own, hidden)
    if steps:
        time = np.round(time / steps) * steps
    return {"duration": time, "ended": own <= hidden, "levels": [wide, narrow]}


def by_statsmodels(duration: FloatArray, ended: Any, times: FloatArray) -> FloatArray:
    curve = SurvfuncRight(duration, np.asarray(ended, dtype=float))
    before = np.searchsorted(curve.surv_times, times, side="right")
    return np.concatenate([[1.0], curve.surv_prob])[before]


def plain_hazards(data: Sample, rows: Any, parent: dict[float, float], m: float) -> Any:
    """The hazards of a class at the times of the root, one after the other, by definition."""
    hazards = {}
    for t, wider in parent.items():
        n = int((data["duration"][rows] >= t).sum())
        d = int(((data["duration"][rows] == t) & data["ended"][rows]).sum())
        hazards[t] = (d + m * wider) / (n + m) if n + m > 0 else wider
    return hazards


@pytest.mark.parametrize("steps", [0.0, 1.0])
def test_everybody_is_kaplan_meier(steps: float) -> None:
    data = sample(steps=steps)
    curves = fit_curves(**data)
    times = np.linspace(0, curves.last, 301)
    expected = by_statsmodels(data["duration"], data["ended"], times)
    np.testing.assert_allclose(curves.survival(0, times), expected, rtol=1e-12)
    table = kaplan_meier(pd.DataFrame({"tenure": data["duration"], "ended": data["ended"]}))
    known = times[times >= table["time"].iloc[0]]
    read = retention_at(table, known)["survival"]
    np.testing.assert_allclose(curves.survival(0, known), read, rtol=1e-12)


@pytest.mark.parametrize("steps", [0.0, 1.0])
def test_without_shrinkage_each_class_is_its_own_curve(steps: float) -> None:
    data = sample(steps=steps)
    curves = fit_curves(**data, shrinkage=0)
    wide, narrow = data["levels"]
    for row in curves.nodes.iloc[1:].itertuples():
        mine = wide == row.level_1
        if row.depth == 2:
            mine &= narrow == row.level_2
        end = min(curves.last, data["duration"][mine].max())
        times = np.linspace(0, end, 101)
        expected = by_statsmodels(data["duration"][mine], data["ended"][mine], times)
        np.testing.assert_allclose(curves.survival(row.Index, times), expected, rtol=1e-9)
        assert row.n == mine.sum()
        assert row.n_ended == data["ended"][mine].sum()


def test_hazards_follow_their_definition_and_durations_are_counted() -> None:
    data = sample(n=90, steps=1.0)
    m = 7.0
    curves = fit_curves(**data, shrinkage=m)
    wide, narrow = data["levels"]
    everybody = np.ones(90, dtype=bool)
    times = np.unique(data["duration"][data["ended"] & (data["duration"] <= curves.last)])
    root = plain_hazards(data, everybody, dict.fromkeys(times, 0.0), 0.0)
    level_1 = plain_hazards(data, wide == "b", root, m)
    level_2 = plain_hazards(data, (wide == "b") & (narrow == 1), level_1, m)
    nodes = {
        0: (root, everybody, 0.0),
        int(curves.nodes.index[(curves.nodes["level_1"] == "b")][0]): (level_1, wide == "b", m),
        int(curves.node([["b"], [1]])[0]): (level_2, (wide == "b") & (narrow == 1), m),
    }
    for node, (hazards, rows, pseudo) in nodes.items():
        expected = np.cumprod(1 - np.array(list(hazards.values())))
        np.testing.assert_allclose(curves.survival(node, times), expected, rtol=1e-12)
        left = [(data["duration"][rows] > t).sum() for t in times]
        np.testing.assert_array_equal(curves.at_risk(node, times), left)
        # Greenwood's sum over (age, until], of the cases and the pseudo-cases.
        age, until = times[2], times[9]
        h = np.array([hazards[t] for t in times[3:10]])
        n = np.array([(data["duration"][rows] >= t).sum() for t in times[3:10]]) + pseudo
        variance = np.sum(h / (n * (1 - h)))
        ratio = np.prod(1 - h)
        factor = np.exp(1.959963984540054 * np.sqrt(variance) / -np.log(ratio))
        low, high = curves.within_interval(node, age, until)
        assert curves.within(node, age, until) == pytest.approx(1 - ratio, rel=1e-12)
        assert low == pytest.approx(1 - ratio ** (1 / factor), rel=1e-9)
        assert high == pytest.approx(1 - ratio**factor, rel=1e-9)


def test_the_interval_of_everybody_is_that_of_kaplan_meier() -> None:
    data = sample()
    curves = fit_curves(**data)
    table = kaplan_meier(pd.DataFrame({"tenure": data["duration"], "ended": data["ended"]}))
    row = table.iloc[200]
    low, high = curves.within_interval(0, 0.0, row["time"])
    assert 1 - low == pytest.approx(row["upper"], rel=1e-9)
    assert 1 - high == pytest.approx(row["lower"], rel=1e-9)


def test_exponential_durations_are_recovered() -> None:
    random = np.random.default_rng(3)
    n = 40_000
    rate = random.choice([0.05, 0.2], n)
    own, hidden = random.exponential(1 / rate), random.exponential(20.0, n)
    curves = fit_curves(np.minimum(own, hidden), own <= hidden, [rate])
    for value in (0.05, 0.2):
        node = curves.node([[value]])
        low, high = curves.within_interval(node, 2.0, [3.0, 5.0, 10.0], level=0.9999)
        expected = -np.expm1(-value * np.array([1.0, 3.0, 8.0]))
        assert ((low < expected) & (expected < high)).all()
        assert (high - low < 0.04).all()


def test_shrinkage_draws_a_class_to_the_wider_one() -> None:
    data = sample(n=400)
    at = 8.0
    gaps = []
    for m in (0.0, 5.0, 50.0, 5e6):
        curves = fit_curves(**data, shrinkage=m)
        node = curves.node([["b"], [1]])
        gaps.append(float((curves.survival(node, at) - curves.survival(0, at))[0]))
    assert gaps[0] > gaps[1] > gaps[2] > gaps[3] > 0
    assert gaps[3] < 1e-4


def test_shrinkage_helps_small_classes_that_are_alike() -> None:
    """Mean squared error against the truth over 40 classes of 10 with nearly one rate."""
    random = np.random.default_rng(4)
    classes = np.repeat(np.arange(40), 10)
    mean = np.exp(random.normal(2.0, 0.1, 40))
    own = random.exponential(mean[classes])
    errors = []
    for m in (0.0, 20.0):
        curves = fit_curves(own, np.ones(400), [classes], shrinkage=m)
        found = curves.survival(curves.node([np.arange(40)]), 6.0)
        errors.append(np.mean((found - np.exp(-6.0 / mean)) ** 2))
    assert errors[1] < errors[0] / 2


@pytest.mark.slow
def test_intervals_cover() -> None:
    """At least 400 trials each of a class and of everybody; binomial bounds at 4 errors."""
    random = np.random.default_rng(5)
    trials, n = 400, 300
    covered = np.zeros(2)
    for _ in range(trials):
        group = random.integers(0, 2, n)
        own, hidden = random.exponential(10.0, n), random.exponential(25.0, n)
        curves = fit_curves(np.minimum(own, hidden), own <= hidden, [group], shrinkage=0)
        low, high = curves.within_interval([0, 1], 2.0, 10.0, level=0.9)
        truth = -np.expm1(-0.8)
        covered += (low <= truth) & (truth <= high)
    margin = 4 * np.sqrt(0.9 * 0.1 / trials)
    assert (np.abs(covered / trials - 0.9) < margin).all()


def test_unseen_labels_lead_to_the_wider_node() -> None:
    data = sample()
    data["levels"][1] = np.where(data["levels"][0] == "b", 1, data["levels"][1])
    curves = fit_curves(**data)
    node = curves.node([["a", "a", "b", "b", "c"], [0, 7, 1, 0, 0]])
    depth = curves.nodes["depth"].to_numpy()[node]
    np.testing.assert_array_equal(depth, [2, 1, 2, 1, 0])
    assert curves.nodes.loc[node[1], "level_1"] == "a"
    assert curves.nodes.loc[node[3], "level_1"] == "b"
    assert curves.nodes.loc[node[1], "level_2"] is None
    assert curves.nodes["parent"].isna().tolist() == [True] + [False] * 5
    assert curves.nodes.loc[node[2], "parent"] == node[3]


def test_labels_may_be_categories_and_there_may_be_none() -> None:
    data = sample()
    wide, narrow = data["levels"]
    plain = fit_curves(**data)
    levels = [pd.Series(wide, dtype="category"), pd.Series(narrow, dtype="Int64")]
    other = fit_curves(data["duration"], data["ended"], levels)
    np.testing.assert_array_equal(other.node(levels), plain.node([wide, narrow]))
    root = fit_curves(data["duration"], data["ended"], [])
    assert len(root.nodes) == 1
    assert root.survival(0, 4.0) == plain.survival(0, 4.0)
    assert len(root.node([])) == 0


def test_a_step_is_right_continuous_and_time_zero_may_be_an_event() -> None:
    duration = np.repeat([0.0, 2.0, 5.0], [10, 20, 30])
    curves = fit_curves(duration, np.repeat([1, 1, 0], [10, 20, 30]), [])
    found = curves.survival(0, [0.0, 1.999, 2.0, 5.0])
    np.testing.assert_allclose(found, np.array([50, 50, 30, 30]) / 60)
    assert curves.last == 5
    np.testing.assert_array_equal(curves.at_risk(0, [0.0, 2.0, 5.0]), [50, 30, 0])


def test_where_none_or_all_end_the_bounds_are_binomial() -> None:
    curves = fit_curves(np.repeat([3.0, 8.0], 30), np.ones(60), [])
    # None of 60 by 2: Clopper and Pearson's bound of 0 in 60 is 1 - .025^(1/60).
    low, high = curves.within_interval(0, 0.0, 2.0)
    assert (low, high) == (0, pytest.approx(1 - 0.025 ** (1 / 60)))
    # All of the 30 left by 8.
    low, high = curves.within_interval(0, 3.0, 8.0)
    assert (low, high) == (pytest.approx(0.025 ** (1 / 30)), 1)
    assert curves.within(0, 3.0, 8.0) == 1
    assert curves.within_interval(0, 2.5, 2.5) == (0, 0)
    with pytest.raises(InputError, match="age is 8, but survival of node 0 is 0 by then"):
        curves.within(0, 8.0, 8.0)


def test_without_own_cases_and_shrinkage_nothing_is_known() -> None:
    duration = np.concatenate([np.arange(1.0, 101.0), [1.0] * 5])
    group = np.repeat(["long", "short"], [100, 5])
    curves = fit_curves(duration, np.repeat([True, False], [100, 5]), [group], shrinkage=0)
    node = curves.node([["short"]])
    # Its five cases are gone after 1: the hazard is that of everybody.
    expected = curves.within(0, 1.0, 50.0)
    np.testing.assert_allclose(curves.within(node, 1.0, 50.0), expected, rtol=1e-12)
    low, high = curves.within_interval(node, 1.0, 50.0)
    assert (low[0], high[0]) == (0, 1)


def test_many_times_are_kept_at_every_kth(monkeypatch: pytest.MonkeyPatch) -> None:
    data = sample(n=3000)
    exact = fit_curves(**data)
    monkeypatch.setattr(_curves, "_CELLS", 500)
    coarse = fit_curves(**data)
    kept = coarse._times
    assert len(kept) * len(coarse.nodes) <= 500 + len(coarse.nodes)
    node = np.arange(len(exact.nodes))[:, None]
    np.testing.assert_array_equal(coarse.survival(node, kept), exact.survival(node, kept))
    low, high = coarse.within_interval(node, kept[0], kept[5:9])
    np.testing.assert_array_equal(low, exact.within_interval(node, kept[0], kept[5:9])[0])
    assert (high > low).all()
    # Between these times the curves are constant; the last time of all is kept.
    between = np.linspace(0, coarse.last, 1000)
    before = np.concatenate([[0.0], kept])[np.searchsorted(kept, between, side="right")]
    np.testing.assert_array_equal(coarse.survival(node, between), exact.survival(node, before))
    assert kept[-1] == exact._times[-1]


def test_many_cases_in_many_classes_are_fitted() -> None:
    random = np.random.default_rng(6)
    n = 300_000
    own, hidden = random.exponential(50, n), random.exponential(100, n)
    levels = [random.integers(0, 5, n), random.integers(0, 5, n)]
    curves = fit_curves(np.minimum(own, hidden), own <= hidden, levels)
    assert len(curves.nodes) == 31
    assert curves._log_survival.size <= _curves._CELLS + 2 * len(curves.nodes)
    found = curves.survival(curves.node(levels), 40.0)
    error = np.sqrt(np.exp(-0.8) * (1 - np.exp(-0.8)) / (n / 25) * 1.5)
    assert np.abs(found - np.exp(-0.8)).max() < 4.5 * error


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    n = draw(st.integers(20, 60))
    whole = st.integers(0, 12).map(float)
    time = draw(st.lists(whole, min_size=n, max_size=n))
    ended = draw(st.lists(st.booleans(), min_size=n, max_size=n).filter(any))
    levels = [
        draw(st.lists(st.sampled_from("abc"), min_size=n, max_size=n)),
        draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)),
    ]
    return {"duration": np.array(time), "ended": np.array(ended), "levels": levels}


def all_of(curves: ClassCurves, scale: float = 1.0) -> FloatArray:
    """Survival of all nodes on a grid of times up to the end."""
    times = np.arange(0, curves.last / scale + 0.25, 0.5) * scale
    times = np.minimum(times, curves.last)
    return curves.survival(np.arange(len(curves.nodes))[:, None], times)


@effort(max_examples=60, deadline=None)
@given(data=samples(), m=st.sampled_from([0.0, 0.5, 20.0]), random=st.randoms())
def test_curves_fall_within_bounds_whatever_the_order_and_the_unit(
    data: Sample, m: float, random: Any
) -> None:
    curves = fit_curves(**data, shrinkage=m)
    found = all_of(curves)
    assert ((found >= 0) & (found <= 1)).all()
    assert (np.diff(found, axis=1) <= 0).all()
    rows = list(range(len(data["ended"])))
    random.shuffle(rows)
    levels = [np.array(level)[rows] for level in data["levels"]]
    shuffled = fit_curves(data["duration"][rows], data["ended"][rows], levels, shrinkage=m)
    np.testing.assert_allclose(all_of(shuffled), found, rtol=1e-12)
    pd.testing.assert_frame_equal(shuffled.nodes, curves.nodes)
    # Days in seconds.
    split = fit_curves(data["duration"] * 86_400, data["ended"], data["levels"], shrinkage=m)
    np.testing.assert_allclose(all_of(split, 86_400.0), found, rtol=1e-12)


@effort(max_examples=60, deadline=None)
@given(data=samples(), m=st.sampled_from([0.0, 20.0]), part=st.floats(0, 1))
def test_intervals_hold_what_they_are_of(data: Sample, m: float, part: float) -> None:
    curves = fit_curves(**data, shrinkage=m)
    node = np.arange(len(curves.nodes))
    age = np.floor(part * curves.last)
    node = node[curves.survival(node, age) > 0]
    found = curves.within(node, age, curves.last)
    low, high = curves.within_interval(node, age, curves.last)
    assert ((low >= 0) & (high <= 1)).all()
    assert ((low <= found + 1e-12) & (found <= high + 1e-12)).all()


def test_bad_samples_are_refused() -> None:
    data = sample(n=40)
    time, ended, levels = data["duration"], data["ended"], data["levels"]
    hole = np.where(np.arange(40) == 3, np.nan, time)
    gap = pd.Series(levels[0]).where(np.arange(40) != 3)
    for given_, message in (
        ((hole, ended, levels), "duration is nan at row 3"),
        ((-time, ended, levels), "every value must be >= 0"),
        ((time[:19], ended[:19], []), r"duration has shape \(19,\); .* at least 20 cases"),
        ((time, ended[:39], levels), "ended has 39 values, duration 40"),
        ((time, ended, [levels[0][:39]]), r"levels\[0\] has 39 values, duration 40"),
        ((time, ended, [levels[0], [levels[1]]]), r"levels\[1\] has shape \(1, 40\)"),
        ((time, ended, [gap]), r"levels\[0\] is missing at row 3 \(1 such values\)"),
        ((time, ended * 2, levels), "every value must be 0 or 1"),
        ((time, ended & False, levels), "ended is False in every row; observe longer"),
        ((time, ended, levels, -1), "shrinkage is -1; it must be >= 0"),
    ):
        with pytest.raises(InputError, match=message):
            fit_curves(*given_)


def test_bad_questions_are_refused() -> None:
    data = sample(n=100)
    curves = fit_curves(**data)
    assert curves.last == np.sort(data["duration"])[-20]
    beyond = curves.last + 1
    for ask, message in (
        (lambda: curves.survival(0, [1.0, beyond]), "times has .* the curves end at .* 20 cases"),
        (lambda: curves.at_risk(0, beyond), "the curves end at"),
        (lambda: curves.within(0, 1.0, beyond), "until has .* the curves end at"),
        (lambda: curves.within(0, 3.0, 2.0), "until is 2 where age is 3"),
        (lambda: curves.survival(7, 1.0), "node is 7 .* every value must be <= 6"),
        (lambda: curves.survival(0, np.nan), "times is nan"),
        (lambda: curves.survival(0, -1.0), "times is -1"),
        (lambda: curves.within_interval(0, 1.0, 2.0, level=1.0), "level is 1.0; it must be < 1"),
        (lambda: curves.node([["a"]]), "levels has 1 columns, the curves have 2"),
        (lambda: curves.node([["a"], [1, 2]]), r"levels\[1\] has shape"),
        (lambda: curves.node([["a"], [None]]), r"levels\[1\] is missing at row 0"),
    ):
        with pytest.raises(InputError, match=message):
            ask()
