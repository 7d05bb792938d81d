from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.duration.survfunc import SurvfuncRight, survdiff

from tests.churn.contracts import weibull
from tests.reference import contracts as published
from tests.reference.contracts import freireich, ovarian
from touchpoint_lib._checks import InputError
from touchpoint_lib.churn.contract.survival_curve import kaplan_meier, retention_at


def arm(curve: pd.DataFrame, label: str = "6-MP") -> pd.DataFrame:
    return curve[curve["group"] == label].set_index("time")


@st.composite
def subscriptions(draw: st.DrawFn) -> pd.DataFrame:
    """Few tenures, so that ties are common; at least one ended."""
    row = st.tuples(st.integers(0, 8), st.booleans(), st.integers(1, 4))
    rows = [*draw(st.lists(row, max_size=25)), (draw(st.integers(0, 8)), True, 1)]
    return pd.DataFrame(rows, columns=["tenure", "ended", "count"])


# -- published figures -----------------------------------------------------------------------------


def test_published_curve() -> None:
    curve = arm(kaplan_meier(freireich(), groups="arm"))
    assert curve.index.tolist() == [0, *published.CURVE, 35]
    columns = ["n_at_risk", "n_ended", "survival", "standard_error"]
    np.testing.assert_allclose(
        curve.loc[list(published.CURVE), columns].to_numpy(),
        list(published.CURVE.values()),
        atol=5e-5,
    )
    assert curve.loc[35, "survival"] == curve.loc[23, "survival"]
    assert curve.loc[35, "n_ended"] == 0


def test_published_medians_and_log_rank() -> None:
    attrs = kaplan_meier(freireich(), groups="arm").attrs
    assert attrs["log_rank"]["chi_squared"] == pytest.approx(published.LOG_RANK, abs=0.005)
    assert attrs["log_rank"]["degrees_of_freedom"] == 1
    assert attrs["log_rank"]["p_value"] == pytest.approx(4.17e-5, abs=5e-8)
    # The medians are published; the intervals are checked against statsmodels below.
    assert attrs["median"] == {
        "6-MP": {"median": 23, "lower": 13, "upper": float("inf")},
        "placebo": {"median": 8, "lower": 4, "upper": 11},
    }


def test_bounds_against_statsmodels() -> None:
    frame = freireich()
    for label, rows in frame.groupby("arm"):
        fitted = SurvfuncRight(rows["tenure"], rows["ended"])
        curve = arm(kaplan_meier(frame, groups="arm", level=0.9), str(label))
        np.testing.assert_allclose(curve["survival"][fitted.surv_times], fitted.surv_prob)
        inside = curve["survival"].between(0, 1, inclusive="neither")
        np.testing.assert_allclose(
            curve["standard_error"][inside & (curve["n_ended"] > 0)],
            fitted.surv_prob_se[fitted.surv_prob > 0],
        )
        median = kaplan_meier(frame, groups="arm", level=0.9).attrs["median"][label]
        with np.errstate(divide="ignore", invalid="ignore"):  # statsmodels, where survival is 0
            assert (median["lower"], median["upper"]) == fitted.quantile_ci(0.5, alpha=0.1)
    # Klein & Moeschberger (2003), equation 4.3.2, by hand at week 10.
    s, error = 0.752941, 0.096350
    theta = np.exp(1.959964 * error / s / np.log(s))
    week = arm(kaplan_meier(frame, groups="arm")).loc[10]
    np.testing.assert_allclose(
        week[["lower", "upper"]].astype(float), [s ** (1 / theta), s**theta], atol=1e-5
    )


def test_three_groups_and_entries_against_survdiff() -> None:
    rng = np.random.default_rng(4)
    frame = weibull(400, seed=3).assign(
        group=rng.integers(0, 3, 400), count=rng.integers(1, 4, 400)
    )
    frame["entry"] = rng.uniform(0, 0.8, 400) * frame["tenure"] * (np.arange(400) > 20)
    for entry in (None, "entry"):
        found = kaplan_meier(frame, groups="group", count="count", entry=entry).attrs["log_rank"]
        long = frame.loc[frame.index.repeat(frame["count"])]
        chi_squared, p_value = survdiff(
            long["tenure"],
            long["ended"].astype(float),
            long["group"],
            entry=None if entry is None else long["entry"].to_numpy(),
        )
        assert found["chi_squared"] == pytest.approx(chi_squared, rel=1e-12)
        assert found["p_value"] == pytest.approx(p_value, rel=1e-9)
        assert found["degrees_of_freedom"] == 2


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), late=st.booleans(), m=st.integers(2, 5))
def test_log_rank_of_counts_is_that_of_expanded_rows(seed: int, late: bool, m: int) -> None:
    rng = np.random.default_rng(seed)
    n = 40
    frame = pd.DataFrame(
        {
            "ended": rng.random(n) < 0.7,
            "group": np.arange(n) % m,
            "count": rng.integers(0, 4, n),
            "entry": rng.integers(0, 3, n) * late * (np.arange(n) >= 2 * m),
        }
    )
    # Everybody sees the first time, and ties are common.
    frame["tenure"] = frame["entry"] + rng.integers(1, 6, n)
    frame.loc[: 2 * m - 1, ["tenure", "ended", "count"]] = [9, False, 1]
    frame.loc[2 * m, ["entry", "tenure", "ended", "count"]] = [0, 1, True, 1]
    long = frame.loc[frame.index.repeat(frame["count"])]
    found = kaplan_meier(frame, groups="group", count="count", entry="entry" if late else None)
    chi_squared, _ = survdiff(
        long["tenure"],
        long["ended"].astype(float),
        long["group"],
        entry=long["entry"].to_numpy() if late else None,
    )
    assert found.attrs["log_rank"]["chi_squared"] == pytest.approx(chi_squared, rel=1e-9)


def test_a_row_may_stand_for_millions() -> None:
    frame = weibull(100, seed=6).assign(group=np.arange(100) % 3)
    large = kaplan_meier(frame.assign(count=10**7), groups="group", count="count")
    # n / (n - 1) in the variance is all that differs from one subscription a row.
    some = kaplan_meier(frame.assign(count=1000), groups="group", count="count")
    ratio = large.attrs["log_rank"]["chi_squared"] / some.attrs["log_rank"]["chi_squared"]
    assert ratio == pytest.approx(10**4, rel=1e-3)
    np.testing.assert_allclose(large["survival"], some["survival"])
    with pytest.raises(InputError, match=r"count adds up to 1e\+18; no more than 9.*e\+15 subscr"):
        kaplan_meier(frame.assign(count=10**16), count="count")


def test_many_groups_take_no_table_of_times_by_groups() -> None:
    rng = np.random.default_rng(10)
    n = 20_000
    frame = pd.DataFrame(
        {"tenure": rng.exponential(10, n), "ended": rng.random(n) < 0.6, "plan": np.arange(n) % 400}
    )
    tracemalloc.start()
    curve = kaplan_meier(frame, groups="plan")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # 12,000 tenures by 400 groups are 38 MB.
    assert peak < 25e6
    assert curve.attrs["log_rank"]["degrees_of_freedom"] == 399
    assert curve["group"].drop_duplicates().tolist() == list(range(400))


# -- the truth of a simulation ---------------------------------------------------------------------


def test_late_entries_are_allowed_for() -> None:
    truth = weibull(60_000, seed=5, shape=1.3, scale=6, longest=20)
    rng = np.random.default_rng(6)
    entry = rng.uniform(0, 8, len(truth)) * (rng.random(len(truth)) < 0.9)
    # Who had left before observation began is not in the data.
    seen = truth.assign(entry=entry)[truth["tenure"] > entry]
    times = [1, 2, 4, 6, 8]
    actual = [(truth["until"] > t).mean() for t in times]
    right = retention_at(kaplan_meier(seen, entry="entry"), times)
    assert ((right["lower"] <= actual) & (actual <= right["upper"])).all()
    np.testing.assert_allclose(right["survival"], actual, atol=0.015)
    wrong = retention_at(kaplan_meier(seen), times)
    assert (wrong["survival"] - actual > 0.04).all()


@pytest.mark.slow
def test_bounds_cover_the_truth() -> None:
    # 80 subscriptions, exponential with mean 10, seen for 3 to 12.
    hits, medians = np.zeros(3), 0
    rng = np.random.default_rng(7)
    for _ in range(250):
        until, seen = rng.exponential(10, 80), rng.uniform(3, 12, 80)
        curve = kaplan_meier(
            pd.DataFrame({"tenure": np.minimum(until, seen), "ended": until <= seen})
        )
        at = retention_at(curve, [1.0, 4.0, 7.0])
        truth = np.exp(-at["time"] / 10)
        hits += (at["lower"] <= truth) & (truth <= at["upper"])
        median = curve.attrs["median"]
        medians += median["lower"] <= 10 * np.log(2) <= median["upper"]
    assert ((hits / 250 > 0.92) & (hits / 250 < 0.98)).all()
    assert 0.92 < medians / 250 < 0.99


# -- properties ------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(frame=subscriptions(), seed=st.integers(0, 99))
def test_curves_fall_within_0_and_1(frame: pd.DataFrame, seed: int) -> None:
    curve = kaplan_meier(frame, count="count")
    assert (curve["time"].diff().dropna() > 0).all()
    survival = curve["survival"].to_numpy()
    assert (np.diff(survival) <= 0).all()
    assert ((survival >= 0) & (survival <= 1)).all()
    known = curve.dropna()
    assert ((known["lower"] >= 0) & (known["lower"] <= known["survival"] + 1e-12)).all()
    assert ((known["survival"] <= known["upper"] + 1e-12) & (known["upper"] <= 1)).all()
    missing = curve["standard_error"].isna()
    assert (missing == (survival == 0)).all()
    # By hand, one tenure after another.
    long = frame.loc[frame.index.repeat(frame["count"])]
    by_hand = 1.0
    for time in sorted(set(long["tenure"][long["ended"]])):
        by_hand *= (
            1 - (long["ended"] & (long["tenure"] == time)).sum() / (long["tenure"] >= time).sum()
        )
        at = curve.set_index("time").loc[time]
        assert at["survival"] == pytest.approx(by_hand, abs=1e-12)
    # Rows in any order, and rows that stand for several, are the same.
    shuffled = long.sample(frac=1, random_state=seed)
    pd.testing.assert_frame_equal(kaplan_meier(shuffled), curve)
    assert kaplan_meier(shuffled).attrs == curve.attrs


@settings(max_examples=30, deadline=None)
@given(frame=subscriptions())
def test_entries_at_the_start_change_nothing(frame: pd.DataFrame) -> None:
    later = frame.assign(tenure=frame["tenure"] + 1, entry=0)
    pd.testing.assert_frame_equal(kaplan_meier(later, entry="entry"), kaplan_meier(later))


def test_time_may_be_in_any_unit() -> None:
    frame = freireich()
    frame.attrs["unit"] = "W"
    weeks = kaplan_meier(frame, groups="arm")
    assert weeks.attrs["unit"] == "W"
    days = kaplan_meier(frame.assign(tenure=frame["tenure"] * 7.0), groups="arm")
    pd.testing.assert_frame_equal(days.assign(time=days["time"] / 7), weeks)


def test_groups_that_nobody_left() -> None:
    frame = pd.DataFrame(
        {"plan": ["a"] * 4 + ["b"] * 3, "tenure": [1, 2, 3, 4, 3, 4, 5], "ended": [1] * 4 + [0] * 3}
    )
    curve = kaplan_meier(frame, groups="plan")
    stayed = curve[curve["group"] == "b"]
    assert stayed[["time", "survival", "standard_error"]].to_numpy().tolist() == [
        [0, 1, 0],
        [5, 1, 0],
    ]
    # Certain at the start alone: that nobody left yet is no interval.
    assert stayed["lower"].isna().tolist() == [False, True]
    assert curve.attrs["median"]["b"] == dict.fromkeys(["median", "lower", "upper"], np.inf)


def test_who_ends_at_once() -> None:
    curve = kaplan_meier(pd.DataFrame({"tenure": [0, 0, 3, 5], "ended": [1, 1, 1, 0]}))
    assert curve["time"].tolist() == [0, 3, 5]
    np.testing.assert_allclose(curve["survival"], [0.5, 0.25, 0.25])
    assert curve.attrs["median"]["median"] == 0


def test_retention_at_horizons() -> None:
    curve = kaplan_meier(freireich(), groups="arm")
    table = retention_at(curve, [0, 9.99, 10])
    assert table["group"].tolist() == ["6-MP"] * 3 + ["placebo"] * 3
    np.testing.assert_allclose(
        table["survival"], [1, 0.806723, 0.752941, 1, 8 / 21, 8 / 21], atol=1e-6
    )
    one = retention_at(kaplan_meier(ovarian()), 365)
    assert one.columns.tolist() == ["time", "survival", "lower", "upper", "standard_error"]
    # 7 of 26 died within the year, and nobody was lost before.
    assert one["survival"].iloc[0] == pytest.approx(19 / 26)


# -- bad input -------------------------------------------------------------------------------------


def frame(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"tenure": [1.0, 2, 3], "ended": [1, 1, 0]} | columns)


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        ([1], {}, "subscriptions is a list; it must be a pandas DataFrame"),
        (
            frame(),
            {"ended": "churned"},
            "no column 'churned' .it has 'tenure', 'ended'.; rename",
        ),
        (frame(tenure=[1, -2, 3]), {}, "tenure is -2 at index 1"),
        (frame(tenure=[1, np.nan, 3]), {}, "tenure is nan at index 1"),
        (frame(tenure=pd.to_timedelta([1, 2, 3], "D")), {}, "tenure holds durations"),
        (frame(ended=[1, 2, 0]), {}, "ended has the value 2; every value must be 0 or 1"),
        (frame(ended=[1, np.nan, 0]), {}, "ended is nan at index 1"),
        (frame(ended=0), {}, "none of the 3 rows of subscriptions has ended 1; observe longer"),
        (frame(count=[1, 2.5, 1]), {"count": "count"}, r"count is 2\.5 at index 1"),
        (frame(count=[0, 0, 1]), {"count": "count"}, "none of the 1 rows"),
        (
            frame(entry=[0, 2, 0]),
            {"entry": "entry"},
            r"entry is 2 and tenure 2 at index 1 \(1 such rows\); entry is the tenure at which",
        ),
        (frame(entry=[0, -1, 0]), {"entry": "entry"}, "entry is -1 at index 1"),
        (
            frame(entry=[0, 1.5, 2]),
            {"entry": "entry"},
            r"no subscription was observed at tenures between 1 and 1\.5; survival cannot be",
        ),
        (
            frame(entry=[0, 1, 1]),
            {"entry": "entry"},
            "all 1 subscriptions at risk at tenure 1 ended there, though others were observed",
        ),
        (frame(plan="a"), {"groups": "plan"}, "plan is 'a' in all rows; leave groups out"),
        (frame(plan=["a", None, "b"]), {"groups": "plan"}, "plan is missing at index 1"),
        (
            frame(plan=list("abb"), tenure=[1, 2, 2], ended=[0, 1, 1]),
            {"groups": "plan"},
            "plan 'b' was at risk at no tenure at which plan 'a' can be compared with it",
        ),
        (
            frame(plan=list("aab"), tenure=[2, 3, 9], entry=[0, 0, 2.5], ended=[1, 0, 1], count=9),
            {"groups": "plan", "count": "count", "entry": "entry"},
            "plan 'b' was at risk at no tenure",
        ),
        (
            frame(plan=list("abb"), tenure=[2, 2, 2], ended=1),
            {"groups": "plan"},
            "plan 'b' was at risk at no tenure",
        ),
        (frame(), {"level": 1}, "level is 1; it must be < 1"),
    ],
)
def test_bad_data_are_named(data: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        kaplan_meier(data, **options)


def test_bad_horizons_are_named() -> None:
    curve = kaplan_meier(freireich(), groups="arm")
    with pytest.raises(
        InputError,
        match="times has 24, but the curve of group 'placebo' is known from 0 to 23; ask for times",
    ):
        retention_at(curve, [1, 24])
    with pytest.raises(InputError, match="times has -1"):
        retention_at(curve, -1)
    with pytest.raises(InputError, match=r"times has shape \(0,\)"):
        retention_at(curve, [])
    with pytest.raises(InputError, match="curve is no table of kaplan_meier"):
        retention_at(freireich(), 5)
    with pytest.raises(InputError, match="curve has no rows; pass what kaplan_meier returns"):
        retention_at(curve.iloc[:0], 4)
    for other in (curve.sort_values("survival"), pd.concat([curve, curve])):
        with pytest.raises(InputError, match=r"the times of the curve of group '.*' do not rise"):
            retention_at(other, 4)
    late = kaplan_meier(frame(entry=[0.5, 0.5, 0.5]), entry="entry")
    assert late["time"].tolist() == [0.5, 1, 2, 3]
    with pytest.raises(InputError, match=r"known from 0\.5 to 3"):
        retention_at(late, 0.25)
